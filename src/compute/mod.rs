//! Arithmetic on shapes: knows matrices, norms, attention and the fused scan, knows no model.

pub mod backend;
pub mod cpu;
pub mod mat;
pub mod scan_job;

pub use backend::{Activation, AttentionShape, Backend, RopeTable};
pub use mat::{Mat, MatMut};
pub use scan_job::{HISTOGRAM_BINS, SampleSpan, ScanJob, ScanSums};
