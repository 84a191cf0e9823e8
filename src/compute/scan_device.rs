//! A device beside the processor that runs the fused scan: what a graphics card offers a scan, and nothing else.

use super::{ScanJob, ScanSums};
use crate::base::Result;

/// Takes whole matrices; while it works, the processor is free for the next layer's backward pass.
pub trait ScanDevice: Send + Sync {
    /// A word for provenance: `NVIDIA H200 (Vulkan, NVIDIA 580.159)`.
    fn name(&self) -> String;

    /// [`super::Backend::scan`] of several matrices, in order. Jobs in a row that read the same `x` share its way to the device. `check` is asked
    /// every few milliseconds of work and its error ends the scan.
    ///
    /// # Errors
    /// That of `check`; when the device is lost, stops answering or has too little memory.
    fn scan(&self, jobs: &[ScanJob<'_>], check: &dyn Fn() -> Result<()>) -> Result<Vec<ScanSums>>;

    /// It will not work again before it is opened anew.
    fn is_lost(&self) -> bool {
        false
    }
}
