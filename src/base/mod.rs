//! The words everybody shares: no tensors library, no graphics, no screen.

pub mod atomic_file;
pub mod dendrogram;
pub mod error;
pub mod grid;
pub mod hash;
pub mod heatmap;
pub mod hook_point;
pub mod hub;
pub mod ids;
pub mod job;
pub mod json;
pub mod long_table;
pub mod mantel;
pub mod memory;
pub mod neuron_names;
pub mod neuron_set;
pub mod number;
pub mod one_writer;
pub mod overlap;
pub mod provenance;
pub mod python_random;
pub mod rng;
pub mod stats;
pub mod tensor_file;
pub mod visible;

pub use error::{Error, Result};
pub use grid::Grid;
pub use hook_point::HookPoint;
pub use ids::{Head, Neuron};
pub use job::{CancelToken, Ctx, Progress};
pub use long_table::LongTable;
pub use neuron_set::NeuronSet;
