//! AdamW. Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; arithmetic as in PyTorch's `AdamW`.

use super::gradients::Gradients;
use crate::{
    base::{Error, Result},
    model::{Weights, weights::Role},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Applied to matrices (embedding and head included), not to norm gains and biases.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.1 }
    }
}

/// First and second moment of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub mean: Vec<f32>,
    pub square: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    pub config: AdamWConfig,
    pub moments: BTreeMap<Role, Moments>,
    /// Updates made so far.
    pub steps: usize,
}

impl AdamW {
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: BTreeMap::new(), steps: 0 }
    }

    /// One update of every tensor in `roles` with its gradient times `scale` (clipping).
    ///
    /// # Errors
    /// When a weight or its gradient is missing.
    pub fn step(&mut self, weights: &mut Weights, gradients: &Gradients, roles: &[Role], rate: f64, scale: f32) -> Result<()> {
        self.steps += 1;
        let c = self.config;
        let correction1 = 1.0 - c.beta1.powi(self.steps as i32);
        let correction2 = 1.0 - c.beta2.powi(self.steps as i32);
        let (b1, b2, eps) = (c.beta1 as f32, c.beta2 as f32, c.eps as f32);
        let (step_size, root2) = ((rate / correction1) as f32, correction2.sqrt() as f32);
        for &role in roles {
            let missing = |what: &str| Error::numeric(role.to_string(), format!("no {what} to train"));
            let g = gradients.get(role).ok_or_else(|| missing("gradient"))?;
            let w = weights.get_mut(role).ok_or_else(|| missing("weight"))?.values_mut();
            if g.len() != w.len() {
                return Err(Error::numeric(role.to_string(), format!("{} gradients for {} weights", g.len(), w.len())));
            }
            let decays = matches!(role, Role::Weight(..) | Role::Embedding | Role::Head);
            let keep = if decays { (1.0 - rate * c.weight_decay) as f32 } else { 1.0 };
            let m = self.moments.entry(role).or_insert_with(|| Moments { mean: vec![0.0; w.len()], square: vec![0.0; w.len()] });
            for (((w, &g), mean), square) in w.iter_mut().zip(g).zip(&mut m.mean).zip(&mut m.square) {
                let g = g * scale;
                *mean += (g - *mean) * (1.0 - b1);
                *square = *square * b2 + g * g * (1.0 - b2);
                *w = *w * keep - step_size * *mean / (square.sqrt() / root2 + eps);
            }
        }
        Ok(())
    }
}
