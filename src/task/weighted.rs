//! Updates of several tasks' neurons, weighted, on one base: what W-NCFT puts together at test time.

use crate::{
    base::{Error, Result, hash},
    model::{Model, ModelInfo, Weights},
    tune::Trained,
};

/// What learning a task changed in its neurons: values after minus values before, packed as [`Trained`] packs them.
#[derive(Clone, Debug)]
pub struct Update {
    pub trained: Trained,
    pub change: Vec<Vec<f32>>,
}

impl Update {
    /// # Errors
    /// When the weights are of another model.
    pub fn between(trained: Trained, before: &Weights, after: &Weights) -> Result<Self> {
        let (mut change, old) = (trained.read(after)?, trained.read(before)?);
        for (new, old) in change.iter_mut().flatten().zip(old.iter().flatten()) {
            *new -= old;
        }
        Ok(Self { trained, change })
    }
}

/// `base + sum_t weights[t] * updates[t]`. Where two tasks share a neuron, its updates are added.
///
/// # Errors
/// When there is not a weight for each update, or they are of another model.
pub fn weighted(base: &Model, updates: &[Update], weights: &[f64]) -> Result<Model> {
    if updates.len() != weights.len() {
        return Err(Error::invalid(format!("{} updates with {} weights", updates.len(), weights.len())));
    }
    let mut changed = base.weights.clone();
    let mut packed = Vec::new();
    for (update, &weight) in updates.iter().zip(weights) {
        let weight = weight as f32;
        for (slice, change) in update.trained.slices.iter().zip(&update.change) {
            let tensor = changed.get_mut(slice.role).ok_or_else(|| Error::invalid(format!("the model has no {}", slice.role)))?;
            slice.read(tensor.values(), &mut packed);
            packed.iter_mut().zip(change).for_each(|(w, c)| *w += weight * c);
            slice.write(&packed, tensor.values_mut());
        }
    }
    let mark = format!("{} {weights:?}", base.info.sha256);
    let info = ModelInfo {
        name: format!("{} + weighted neuron updates", base.info.name),
        dtype: "f32".into(),
        sha256: hash::sha256_bytes(mark.as_bytes()),
        ..base.info.clone()
    };
    Ok(Model { info, spec: base.spec.clone(), weights: changed, tokenizer: base.tokenizer.clone() })
}
