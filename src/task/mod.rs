//! Task-specific neurons (METHODS 2): what is put together from scans, ablations and tunings.

pub mod continual;
pub mod continual_file;
pub mod course;
pub mod curve;
pub mod detect;
mod extend;
pub mod feature;
pub mod knee;
pub mod matrix;
pub mod matrix_file;
pub mod measures;
pub mod stability;
pub mod transfer;
pub mod transfer_file;
pub mod transfer_pairs;
pub mod weighted;

pub use continual::{ContinualConfig, ContinualPlan, Method};
pub use continual_file::{ContinualState, Lesson, MethodRun};
pub use course::{RowCounts, Score, TaskRows};
pub use curve::{CURVE_PERCENTS, KneeCurve};
pub use detect::{DetectConfig, TaskNeurons, detect, overlap};
pub use knee::{Knee, knee};
pub use matrix::{Cell, CellId, MatrixPlan, MatrixWork, Summary, TaskMatrix};
pub use matrix_file::{MATRIX_FILE, MatrixFile};
pub use measures::{FIGURES, Figure, Measures, Spread, measures, seeds_words};
pub use stability::{Ranking, STABILITY_PERCENTS, Stability, stability, top};
pub use transfer::{TransferConfig, TransferPlan};
pub use transfer_file::{TransferState, TransferUnit};
pub use transfer_pairs::{Outcome, Pair, Proportion};
