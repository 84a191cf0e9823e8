//! Dense numbers as safetensors, with where they come from under `__metadata__`.

use crate::base::{
    Result, atomic_file,
    tensor_file::{Tensor, to_bytes},
};
use std::path::Path;

/// # Errors
/// When the file cannot be written.
pub fn write_tensors(path: &Path, tensors: Vec<Tensor>, metadata: &[(&str, String)]) -> Result<()> {
    atomic_file::write(path, &to_bytes(tensors, metadata))
}
