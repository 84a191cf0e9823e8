//! A language model on the disk, and one instrumented decoder that runs forward and backward block by block.

pub mod batch;
pub mod decoder;
pub mod family;
pub mod hooks;
pub mod load;
pub mod spec;
pub mod tokenizer;
pub mod weights;

pub use batch::Batch;
pub use decoder::{BlockTape, Decoder, Objective, ObjectiveValues};
pub use hooks::{Hooks, Matrix, NoHooks, NoTaps, Taps};
pub use load::load_model;
pub use spec::DecoderSpec;
pub use tokenizer::TextTokenizer;
pub use weights::Weights;

use std::path::PathBuf;

/// A loaded model: what it is, its weights, its tokenizer.
pub struct Model {
    pub info: ModelInfo,
    pub spec: DecoderSpec,
    pub weights: Weights,
    pub tokenizer: TextTokenizer,
}

/// What a user reads about a model.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModelInfo {
    /// Folder name, or `demo`.
    pub name: String,
    pub folder: PathBuf,
    pub model_type: String,
    /// Number of scalars, tied ones counted once.
    pub n_params: u64,
    /// As stored: `bf16`, `f32`, `f16`, or `mixed`.
    pub dtype: String,
    pub size_bytes: u64,
    /// SHA-256 over the digests of config.json, tokenizer.json and every weight file, in name order.
    pub sha256: String,
}
