//! Accuracy before and after switching neurons off, beside random controls of the same size; and sweeps of one unit at a time.

pub mod against_k;
pub mod attribution;
pub mod break_domain;
mod cache;
pub mod controls;
pub mod formula;
pub mod paired;
pub mod predict;
pub mod report;
pub mod run;
pub mod selection;
pub mod session;
pub mod set_file;
mod stack;
pub mod sweep;
pub mod sweep_file;

pub use against_k::{KCurve, KPoint};
pub use attribution::{Attribution, AttributionLimits, attribute, attributed_mode, everything};
pub use break_domain::{BreakBegun, BreakStep, Broken, Halves, Judged, Outcome, Rule};
pub use controls::{ControlMatch, random_heads_like, random_neurons};
pub use formula::Formula;
pub use paired::Difference;
pub use predict::{Prediction, Quantity, Summary};
pub use report::{AblationReport, DomainAblation};
pub use run::{AblationRequest, Part, run};
pub use selection::{Selected, Selection};
pub use session::{EvalSession, SessionLimits};
pub use set_file::{ChosenOn, NeuronSetFile, Vocabulary};
pub use sweep::{Sweep, SweepMeasure, SweepSpec, SweepUnit, Totals, UnitId};
pub use sweep_file::{SweepFile, SweepHeader};
