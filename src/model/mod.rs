//! A language model on the disk, and one instrumented decoder that runs forward and backward block by block.

pub mod batch;
mod block;
mod buffer;
pub mod decoder;
pub mod family;
pub mod generate;
mod head;
pub mod hooks;
mod kept;
pub mod load;
mod part;
mod rope;
pub mod save;
pub mod spec;
pub mod tokenizer;
pub mod trace;
pub mod weights;

pub use batch::Batch;
pub use decoder::{BlockTape, Decoder, Objective, ObjectiveValues, ScoredToken};
pub use generate::{GenerateConfig, generate};
pub use hooks::{Hooks, Matrix, NoHooks, NoTaps, Taps};
pub use kept::Kept;
pub use load::{
    About, FoundModel, LoadOptions, find_models, find_on_disk, is_cache_name, is_gguf, load_embedded, load_model, load_model_with,
};
pub use part::RowsAt;
pub use save::{SaveDtype, save_model};
pub use spec::DecoderSpec;
pub use tokenizer::TextTokenizer;
pub use trace::{Trace, hook_points, trace};
pub use weights::{Block, BlockNorm, Role, Tensor, Weights};

use std::path::PathBuf;

/// A loaded model: what it is, its weights, its tokenizer.
pub struct Model {
    pub info: ModelInfo,
    pub spec: DecoderSpec,
    pub weights: Weights,
    pub tokenizer: TextTokenizer,
}

impl ModelInfo {
    /// What a reader of its numbers should know of how the weights are stored.
    pub fn note(&self) -> Option<&'static str> {
        let quantised = self.dtype.strip_prefix("gguf ").is_some_and(|types| types.contains('q'));
        quantised.then_some("The weights are quantised; activations and gradients are those of the weights widened to f32.")
    }
}

/// What a user reads about a model.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModelInfo {
    /// Folder name, name of a GGUF file without its ending, or `demo`.
    pub name: String,
    /// The model's folder, or its GGUF file.
    pub folder: PathBuf,
    pub model_type: String,
    /// Number of scalars, tied ones counted once.
    pub n_params: u64,
    /// As stored: `bf16`, `f32`, `f16`, or `mixed`; of a GGUF file `gguf q8_0` or, with the most used first, `gguf q4_k/q6_k mixed`.
    pub dtype: String,
    pub size_bytes: u64,
    /// SHA-256 over the digests of config.json, tokenizer.json and every weight file, in name order: what
    /// `sha256sum config.json model.safetensors tokenizer.json | sha256sum` prints. Of a GGUF file its own digest.
    pub sha256: String,
}
