//! Everything a run needs to go on as if it had never stopped: weights, both moments, the step count.

use super::{AdamW, TrainConfig, Trainer, optimizer::Moments};
use crate::{
    base::{Error, Result, atomic_file},
    model::weights::Role,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

const FORMAT: &str = "brodmann-checkpoint-1";

/// Writes a checkpoint atomically, in f32.
///
/// # Errors
/// When the file cannot be written.
pub fn save(trainer: &Trainer, path: &Path) -> Result<()> {
    let model = &trainer.decoder().model;
    let mut views: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for role in model.spec.roles() {
        let Some(w) = model.weights.get(role) else { continue };
        views.push((role.to_string(), w.shape.clone(), bytemuck::cast_slice(w.values()).to_vec()));
        if let Some(m) = trainer.optimizer.moments.get(&role) {
            views.push((format!("mean {role}"), w.shape.clone(), bytemuck::cast_slice(&m.mean).to_vec()));
            views.push((format!("square {role}"), w.shape.clone(), bytemuck::cast_slice(&m.square).to_vec()));
        }
    }
    let mut tensors = Vec::with_capacity(views.len());
    for (name, shape, bytes) in &views {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| Error::format(path, format!("{name}: {e}")))?;
        tensors.push((name.as_str(), view));
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

/// Puts a checkpoint's state into a trainer made with the same model shape and configuration.
///
/// # Errors
/// When the file is damaged, or was made with another shape or configuration.
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
    let roles: Vec<Role> = trainer.decoder().model.spec.roles();
    let mut optimizer = AdamW::new(trainer.config.optimizer);
    optimizer.steps = steps;
    let mut restored = Vec::with_capacity(roles.len());
    for &role in &roles {
        let n = trainer.decoder().model.weights.get(role).map_or(0, |w| w.len());
        restored.push((role, read(&role.to_string(), n)?));
        if steps > 0 {
            let (mean, square) = (read(&format!("mean {role}"), n)?, read(&format!("square {role}"), n)?);
            optimizer.moments.insert(role, Moments { mean, square });
        }
    }
    let weights = &mut trainer.model_mut()?.weights;
    for (role, values) in restored {
        if let Some(w) = weights.get_mut(role) {
            w.values_mut().copy_from_slice(&values);
        }
    }
    trainer.optimizer = optimizer;
    Ok(())
}
