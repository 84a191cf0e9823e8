//! Arithmetic on shapes: knows matrices, norms, attention and the fused scan, knows no model.

pub mod backend;
pub mod cpu;
pub mod mat;
pub mod scan_device;
pub mod scan_job;
pub mod wgpu;

pub use backend::{Activation, AdamWStep, AttentionShape, AttentionSpan, Backend, MovedLogits, Norm, NormKind, RopeTable};
pub use mat::{Mat, MatMut, all_zero};
pub use scan_device::ScanDevice;
pub use scan_job::{HISTOGRAM_BINS, SampleSpan, ScanJob, ScanSums};
