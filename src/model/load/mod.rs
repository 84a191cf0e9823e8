//! A model folder as Hugging Face lays it out: config.json, tokenizer.json, model.safetensors (single or sharded), memory-mapped.

use super::Model;
use crate::base::{Ctx, Result};
use std::path::Path;

/// # Errors
/// When a file is missing, damaged or does not fit the config; the message names file, tensor, shape found and shape expected.
pub fn load_model(_folder: &Path, _ctx: &Ctx<'_>) -> Result<Model> {
    todo!()
}
