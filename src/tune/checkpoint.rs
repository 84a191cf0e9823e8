//! Everything a run needs to go on as if it had never stopped: what trains, the optimiser's state, the step count.

use super::{Optimizer, TrainConfig, Trainer, optimizer::Moments};
use crate::base::{Error, Result, atomic_file};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

const FORMAT: &str = "brodmann-checkpoint-2";

/// Writes a checkpoint atomically, in f32.
///
/// # Errors
/// When the file cannot be written.
pub fn save(trainer: &Trainer, path: &Path) -> Result<()> {
    let parameters = trainer.parameters()?;
    let mut values: Vec<(String, &[f32])> = Vec::new();
    for (i, (name, parameter)) in parameters.iter().enumerate() {
        values.push((name.clone(), parameter));
        let Some(m) = trainer.optimizer.moments.get(i) else { continue };
        for (word, state) in [("mean", &m.mean), ("square", &m.square)] {
            if !state.is_empty() {
                values.push((format!("{word} {name}"), state));
            }
        }
    }
    let mut tensors = Vec::with_capacity(values.len());
    for (name, values) in &values {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
        tensors.push((name.as_str(), view.map_err(|e| Error::format(path, format!("{name}: {e}")))?));
    }
    let config = serde_json::to_string(&trainer.config).map_err(|e| Error::format(path, e.to_string()))?;
    let metadata = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("steps".to_owned(), trainer.steps_done().to_string()),
        ("config".to_owned(), config),
    ]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
    atomic_file::write(path, &bytes)
}

/// Puts a checkpoint's state into a trainer made with the same model, target and configuration.
///
/// # Errors
/// When the file is damaged, or was made with another shape, target or configuration; then nothing has changed.
pub fn load(trainer: &mut Trainer, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let bad = |e: safetensors::SafeTensorError| Error::format(path, format!("is no checkpoint: {e}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(bad)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    if entry("format") != FORMAT {
        return Err(Error::format(path, format!("has format `{}`, expected `{FORMAT}`", entry("format"))));
    }
    let config: TrainConfig = serde_json::from_str(entry("config")).map_err(|e| Error::format(path, format!("its configuration: {e}")))?;
    if config != trainer.config {
        return Err(Error::format(path, "was made with other training settings; use the same ones, or remove it to start anew"));
    }
    let steps: usize = entry("steps").parse().map_err(|_| Error::format(path, "has no step count"))?;
    let file = SafeTensors::deserialize(&bytes).map_err(bad)?;
    let read = |name: &str, n: usize| -> Result<Vec<f32>> {
        let view = file.tensor(name).map_err(|e| Error::format(path, format!("{name}: {e}")))?;
        let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if view.dtype() != Dtype::F32 || values.len() != n {
            return Err(Error::format(path, format!("{name} holds {} values, expected {n} of type F32", values.len())));
        }
        Ok(values)
    };
    let mut optimizer = Optimizer::new(trainer.config.optimizer);
    optimizer.steps = steps;
    let mut restored = Vec::new();
    for (name, now) in trainer.parameters()? {
        restored.push(read(&name, now.len())?);
        // SGD keeps no squares, and without momentum nothing at all.
        let state = |word: &str| match file.tensor(&format!("{word} {name}")) {
            Ok(_) => read(&format!("{word} {name}"), now.len()),
            Err(_) => Ok(Vec::new()),
        };
        optimizer.moments.push(Moments { mean: state("mean")?, square: state("square")? });
    }
    if steps > 0
        && matches!(trainer.config.optimizer, super::OptimizerConfig::AdamW(_))
        && optimizer.moments.iter().any(|m| m.square.is_empty())
    {
        return Err(Error::format(path, "lacks the optimiser's state of some parameter"));
    }
    trainer.restore(restored, optimizer)
}
