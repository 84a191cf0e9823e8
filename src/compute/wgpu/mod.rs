//! The fused scan on graphics cards, in WGSL (shaders/kernels): any card with Vulkan, Metal or DirectX 12, no toolkit.
//!
//! Forward and backward stay on the processor; a card takes whole weight matrices with the inputs and gradients of all samples and gives back sums.
//! The matrix is worked on region by region: tiles are workgroups, which go through a chunk of samples each and leave the chunk's sum; what must
//! be kept for pairs of samples goes into a scratch buffer of bounded size; further kernels read means and products off both. There are no
//! atomic sums of floats, partial results are added in a fixed order, so a scan repeats to the bit on the same card.

mod adapters;
mod card;
mod gpu;
mod gpu_scan;
mod layout;
mod record;
mod shaders;
mod total;
mod transfer;
mod trial;

pub use adapters::{AdapterEntry, AdapterFacts, AdapterKind, adapters, find, may_have_card};
pub use card::Budget;
pub use gpu_scan::GpuScan;
pub use shaders::TileShape;
pub use trial::{Trial, TrialShape, race};
