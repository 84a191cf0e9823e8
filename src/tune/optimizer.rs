//! AdamW and SGD over packed parameters. Sources: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; arithmetic of both as
//! in PyTorch. State is held for what trains and nothing else.

use crate::compute::{AdamWStep, Backend};
use serde::{Deserialize, Serialize};

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

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SgdConfig {
    pub momentum: f64,
    /// Added to the gradient, of matrices only.
    pub weight_decay: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptimizerConfig {
    AdamW(AdamWConfig),
    Sgd(SgdConfig),
}

impl OptimizerConfig {
    /// Per step, times the learning rate.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::AdamW(c) => c.weight_decay,
            Self::Sgd(c) => c.weight_decay,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamWConfig::default())
    }
}

impl From<AdamWConfig> for OptimizerConfig {
    fn from(config: AdamWConfig) -> Self {
        Self::AdamW(config)
    }
}

/// State of one packed parameter. SGD keeps its momentum in `mean`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub mean: Vec<f32>,
    pub square: Vec<f32>,
}

/// How far one update goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Learning rate.
    pub rate: f64,
    /// Gradients are multiplied by it (clipping).
    pub scale: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    pub config: OptimizerConfig,
    /// By number of the parameter; empty before its first update.
    pub moments: Vec<Moments>,
    /// Updates made so far.
    pub steps: usize,
}

impl Optimizer {
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, moments: Vec::new(), steps: 0 }
    }

    /// Begins an update: every parameter follows with [`Optimizer::update`].
    pub fn begin(&mut self) {
        self.steps += 1;
    }

    /// Updates parameter `index` with its gradient.
    pub fn update(&mut self, index: usize, w: &mut [f32], gradient: &[f32], decays: bool, pace: Pace, backend: &dyn Backend) {
        let Pace { rate, scale } = pace;
        if self.moments.len() <= index {
            self.moments.resize_with(index + 1, Moments::default);
        }
        let Moments { mean, square } = &mut self.moments[index];
        match self.config {
            OptimizerConfig::AdamW(c) => {
                mean.resize(w.len(), 0.0);
                square.resize(w.len(), 0.0);
                let correction1 = 1.0 - c.beta1.powi(self.steps as i32);
                let correction2 = 1.0 - c.beta2.powi(self.steps as i32);
                let step = AdamWStep {
                    beta1: c.beta1 as f32,
                    beta2: c.beta2 as f32,
                    eps: c.eps as f32,
                    step_size: (rate / correction1) as f32,
                    root2: correction2.sqrt() as f32,
                    keep: if decays { (1.0 - rate * c.weight_decay) as f32 } else { 1.0 },
                    scale,
                };
                backend.adamw(&step, w, gradient, mean, square);
            }
            OptimizerConfig::Sgd(c) => {
                let decay = if decays { c.weight_decay as f32 } else { 0.0 };
                let (rate, momentum) = (rate as f32, c.momentum as f32);
                // PyTorch's first step takes the gradient itself for the momentum, which is what 0 gives here without dampening.
                mean.resize(if momentum == 0.0 { 0 } else { w.len() }, 0.0);
                for (i, (w, &g)) in w.iter_mut().zip(gradient).enumerate() {
                    let mut g = g * scale + decay * *w;
                    if let Some(m) = mean.get_mut(i) {
                        *m = momentum * *m + g;
                        g = *m;
                    }
                    *w -= rate * g;
                }
            }
        }
    }
}
