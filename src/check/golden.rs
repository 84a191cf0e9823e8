//! Stored values beside a model (`golden.safetensors`): what another program computed for given tokens.

use crate::{
    base::{Error, Result},
    model::{Batch, Decoder, NoHooks},
};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "golden.safetensors";

/// Logits against the stored ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenCheck {
    pub tokens: usize,
    /// Largest |difference| of a logit.
    pub worst: f64,
    pub tolerance: f64,
    pub passed: bool,
}

/// `None` where no values are stored.
///
/// # Errors
/// When the file is damaged or made for another model.
pub(super) fn compare(decoder: &Decoder, tolerance: f64) -> Result<Option<GoldenCheck>> {
    let folder = &decoder.model.info.folder;
    let path = if folder.is_dir() { folder.join(FILE) } else { return Ok(None) };
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let (tokens, logits) = read(&path, &bytes)?;
    let batch = Batch::new(&[&tokens]);
    let resid = decoder.forward(&batch, &mut NoHooks)?;
    let ours = decoder.logits(&resid, &(0..tokens.len()).collect::<Vec<_>>())?;
    if ours.len() != logits.len() {
        return Err(Error::format(&path, format!("{} logits for {} tokens, expected {}", logits.len(), tokens.len(), ours.len())));
    }
    let worst =
        ours.iter().zip(&logits).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { d.max(m) });
    Ok(Some(GoldenCheck { tokens: tokens.len(), worst, tolerance, passed: worst <= tolerance }))
}

fn read(path: &Path, bytes: &[u8]) -> Result<(Vec<u32>, Vec<f32>)> {
    let wrong = |what: String| Error::format(path, what);
    let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(format!("not a whole safetensors file ({e})")))?;
    let tensor = |name: &str, dtype: Dtype| match file.tensor(name) {
        Ok(t) if t.dtype() == dtype => Ok(t.data().to_vec()),
        Ok(t) => Err(wrong(format!("tensor {name} is {}, expected {dtype}", t.dtype()))),
        Err(_) => Err(wrong(format!("tensor {name} is missing; expected input_ids (I64) and logits (F32)"))),
    };
    let ids = tensor("input_ids", Dtype::I64)?;
    let ids: Option<Vec<u32>> = ids.as_chunks::<8>().0.iter().map(|b| u32::try_from(i64::from_le_bytes(*b)).ok()).collect();
    let ids = ids.ok_or_else(|| wrong("a token id is no whole number from 0 up".into()))?;
    let logits = tensor("logits", Dtype::F32)?.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok((ids, logits))
}
