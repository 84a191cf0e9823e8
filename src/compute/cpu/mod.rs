//! The reference backend: plain f32 buffers, the `gemm` crate, a crew of threads, run-time chosen AVX-512 / AVX2 code.
//!
//! Every kernel gives the same bytes for any number of threads and for any number of rows handed over at once: work is cut at places that
//! depend on the shapes alone, and sums run in a fixed order.

mod activation;
mod attention;
mod cpu_backend;
mod crew;
mod cross_entropy;
mod elementwise;
mod isa;
mod matmul;
mod memory;
mod moved_logits;
mod norm;
mod numeric;
mod optimizer;
mod packed;
mod pairs;
mod panel;
mod pool;
mod products;
mod rope;
#[cfg(target_arch = "x86_64")]
mod row_lanes;
mod scan;
mod scan_block;
mod scan_gram;
mod scan_order;
mod scan_pairs;
mod scan_tile;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod vector;

pub use cpu_backend::CpuBackend;
pub use isa::Isa;
pub use memory::BigBlocks;
pub use products::Products;
