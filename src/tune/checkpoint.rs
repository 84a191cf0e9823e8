//! Everything a run needs to go on as if it had never stopped: what trains, the optimiser's state, the step count.

use super::{Optimizer, TrainConfig, Trainer, optimizer::Moments};
use crate::base::{Error, Result, atomic_file};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

const FORMAT: &str = "brodmann-checkpoint-2";

/// What a run keeps beside the trainer's state, in the same file: either all of it is there, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Anything, as text.
    pub state: String,
    /// Values of what trains at another step, in the order of the parameters; empty for none.
    pub best: Vec<Vec<f32>>,
}

/// Writes a checkpoint atomically, in f32.
///
/// # Errors
/// When the file cannot be written.
pub fn save(trainer: &Trainer, path: &Path) -> Result<()> {
    save_beside(trainer, path, None)
}

/// As [`save`], with what the run keeps beside it.
///
/// # Errors
/// As [`save`].
pub fn save_beside(trainer: &Trainer, path: &Path, beside: Option<&Beside>) -> Result<()> {
    let parameters = trainer.parameters()?;
    let mut values: Vec<(String, &[f32])> = Vec::new();
    for (i, (name, parameter)) in parameters.iter().enumerate() {
        values.push((name.clone(), parameter));
        if let Some(best) = beside.and_then(|b| b.best.get(i)) {
            values.push((format!("best {name}"), best));
        }
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
    let mut metadata = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("steps".to_owned(), trainer.steps_done().to_string()),
        ("config".to_owned(), config),
    ]);
    metadata.extend(beside.map(|b| ("state".to_owned(), b.state.clone())));
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
    atomic_file::write(path, &bytes)
}

/// Puts a checkpoint's state into a trainer made with the same model, target and configuration.
///
/// # Errors
/// When the file is damaged, or was made with another shape, target or configuration; then nothing has changed.
pub fn load(trainer: &mut Trainer, path: &Path) -> Result<()> {
    load_beside(trainer, path, |_| Ok(())).map(|_| ())
}

/// As [`load`]; gives what was kept beside the trainer's state. `accept` sees its text before anything changes.
///
/// # Errors
/// As [`load`], and those of `accept`.
pub fn load_beside(trainer: &mut Trainer, path: &Path, accept: impl FnOnce(&str) -> Result<()>) -> Result<Beside> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let bad = |e: safetensors::SafeTensorError| Error::format(path, format!("is no checkpoint: {e}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(bad)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    if entry("format") != FORMAT {
        return Err(Error::format(path, format!("has format `{}`, expected `{FORMAT}`", entry("format"))));
    }
    accept(entry("state"))?;
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
    let (mut restored, mut beside) = (Vec::new(), Beside { state: entry("state").to_owned(), best: Vec::new() });
    for (name, now) in trainer.parameters()? {
        restored.push(read(&name, now.len())?);
        if file.tensor(&format!("best {name}")).is_ok() {
            beside.best.push(read(&format!("best {name}"), now.len())?);
        }
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
    if !beside.best.is_empty() && beside.best.len() != restored.len() {
        return Err(Error::format(path, "lacks the best values of some parameter"));
    }
    trainer.restore(restored, optimizer)?;
    Ok(beside)
}
