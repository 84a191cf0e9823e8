//! The program without a screen: everything one can ask for ([`Command`]) and the state it changes ([`App`]).

mod ablation;
mod apply;
mod check;
pub mod command;
pub mod demo;
mod device;
pub mod effect;
#[cfg(test)]
mod engine_tests;
mod event;
mod export;
mod generate;
pub mod held_out;
mod history;
pub mod inspect;
pub mod jobs;
pub mod lens;
pub mod library;
pub mod map_view;
pub mod matrix;
mod models;
mod neuron_order;
mod opening;
pub mod prediction;
#[cfg(test)]
mod prediction_tests;
pub mod preferences;
pub mod project;
pub mod project_file;
mod run;
mod score;
pub mod settings;
pub mod state;
pub mod sweep;
pub mod testing;
mod tuning;

pub use command::{Command, TraceInput};
pub use device::{DeviceChoice, DeviceReport, DeviceRow};
pub use effect::Effect;
pub use generate::Generated;
pub use held_out::{ChosenOn, HeldOut};
pub use inspect::{IndexEntry, IndexState, Inspection, NeuronDetails, Reading, Word};
pub use jobs::{JobId, JobState, JobView};
pub use lens::{LensAnswer, LensGrid, LensLive};
pub use library::{DomainEntry, Library, Loading, ModelEntry, RunEntry};
pub use map_view::{Collapse, MapCell, MapChange, MapView, Operand, Side};
pub use matrix::AblationMatrix;
pub use models::{Fit, MemoryNeed, ModelFacts, ModelRow, ModelsReport};
pub use prediction::{Measured, Origin, PredictionLive};
pub use preferences::{Preferences, ThemeChoice};
pub use project::{EvalConfig, MapScale, NamedSet, Project, ProjectDomain, View};
pub use settings::Settings;
pub use state::{AblationLive, App, Notice, NoticeLevel};
pub use sweep::{BreakLive, SweepKind, SweepRequest, SweepView, Sweeps};
pub use tuning::{OVERLAY_FILE, TrainWhat, TuneReport, TuneRequest, TuningView};
