//! Task-specific neurons (METHODS 2): what is put together from scans, ablations and tunings.

pub mod curve;
pub mod detect;
pub mod knee;
pub mod matrix;
pub mod matrix_file;
pub mod stability;

pub use curve::{CURVE_PERCENTS, KneeCurve};
pub use detect::{DetectConfig, TaskNeurons, detect, overlap};
pub use knee::{Knee, knee};
pub use matrix::{Cell, CellId, MatrixPlan, MatrixWork, TaskMatrix};
pub use matrix_file::{MATRIX_FILE, MatrixFile};
pub use stability::{Ranking, STABILITY_PERCENTS, Stability, stability, top};
