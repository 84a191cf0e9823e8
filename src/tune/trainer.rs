//! The training loop's one step: forward, weighted loss, backward, clip, update; over every parameter, a neuron set, or low-rank adapters.

use super::{
    Optimizer, OptimizerConfig, Schedule,
    gradients::Gradients,
    lora::{Lora, LoraConfig},
    optimizer::Pace,
    trained::{Part, Trained},
};
use crate::{
    base::{Error, NeuronSet, Result},
    compute::Backend,
    model::{Batch, BlockTape, Decoder, Model, NoHooks, Taps, weights::Role},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    pub schedule: Schedule,
    pub optimizer: OptimizerConfig,
    /// Gradients are scaled down to this Euclidean norm where theirs is larger.
    pub clip: f64,
    /// Tokens of a micro-batch; a step's gradient is summed over as many as it takes.
    pub micro_batch_tokens: usize,
}

/// What of a model trains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum Target {
    #[default]
    All,
    /// Rows of gate and up, columns of down; everything else stays bit for bit.
    Neurons(NeuronSet),
    Lora(LoraConfig),
}

/// One sequence to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSequence {
    pub tokens: Vec<u32>,
    /// Weight of predicting each token, `[tokens]`; the first is 0.
    pub weights: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Weighted mean cross-entropy (natural log).
    pub loss: f64,
    /// Before clipping.
    pub gradient_norm: f64,
    pub rate: f64,
    pub tokens: usize,
}

/// What is being trained, with its gradients.
pub(super) enum Plan {
    Direct {
        trained: Arc<Trained>,
        gradients: Gradients,
        /// Values of slices that are no whole tensors, as they lie packed; empty for whole ones, which are updated in place.
        packed: Vec<Vec<f32>>,
    },
    Lora(Lora),
}

impl Plan {
    fn new(model: &Model, backend: &Arc<dyn Backend>, target: &Target, seed: u64) -> Result<Self> {
        let trained = match target {
            Target::All => Trained::all(&model.spec),
            Target::Neurons(set) => Trained::neurons(&model.spec, set)?,
            Target::Lora(config) => return Ok(Self::Lora(Lora::new(&model.spec, &model.weights, config.clone(), seed, backend.clone())?)),
        };
        let mut packed = Vec::with_capacity(trained.slices.len());
        for slice in &trained.slices {
            let mut values = Vec::new();
            if slice.part != Part::Whole {
                let tensor = model.weights.get(slice.role).ok_or_else(|| Error::invalid(format!("the weights have no {}", slice.role)))?;
                slice.read(&tensor, &mut values);
            }
            packed.push(values);
        }
        let trained = Arc::new(trained);
        Ok(Self::Direct { gradients: Gradients::zeros(&model.spec, trained.clone(), backend.clone()), trained, packed })
    }
    fn clear(&mut self) {
        match self {
            Self::Direct { gradients, .. } => gradients.clear(),
            Self::Lora(lora) => lora.clear(),
        }
    }
    fn taps(&mut self) -> &mut dyn Taps {
        match self {
            Self::Direct { gradients, .. } => gradients,
            Self::Lora(lora) => lora,
        }
    }
    fn first_layer(&self) -> usize {
        match self {
            Self::Direct { trained, .. } => trained.first_layer,
            Self::Lora(lora) => lora.adapters.first().map_or(0, |a| a.layer),
        }
    }
    /// True where no matrix outside the MLPs trains.
    fn mlp_alone(&self) -> bool {
        let is_mlp = |role| matches!(role, Role::Weight(_, m) if m.is_mlp());
        match self {
            Self::Direct { trained, .. } => trained.slices.iter().all(|s| is_mlp(s.role)),
            Self::Lora(lora) => lora.adapters.iter().all(|a| is_mlp(a.role)),
        }
    }
    fn norm(&self) -> f64 {
        match self {
            Self::Direct { gradients, .. } => gradients.norm(),
            Self::Lora(lora) => lora.norm(),
        }
    }
}

/// Owns the model while it changes. Weights shared with another model are copied where, and only where, they train.
pub struct Trainer {
    decoder: Decoder,
    pub config: TrainConfig,
    pub(super) optimizer: Optimizer,
    pub(super) plan: Plan,
    tapes: Vec<BlockTape>,
    /// Lends every block the buffer that need not be kept; `None` where all of a tape is needed.
    spare: Option<BlockTape>,
}

impl Trainer {
    /// Trains every parameter.
    ///
    /// # Errors
    /// As [`Trainer::with_target`].
    pub fn new(model: Model, backend: Arc<dyn Backend>, config: TrainConfig) -> Result<Self> {
        Self::with_target(model, backend, config, &Target::All, 0)
    }

    /// `seed` draws the start of adapters.
    ///
    /// # Errors
    /// When the target does not fit the model.
    pub fn with_target(model: Model, backend: Arc<dyn Backend>, config: TrainConfig, target: &Target, seed: u64) -> Result<Self> {
        let plan = Plan::new(&model, &backend, target, seed)?;
        let tapes = (plan.first_layer()..model.spec.n_layers).map(|_| BlockTape::default()).collect();
        let optimizer = Optimizer::new(config.optimizer);
        let spare = plan.mlp_alone().then(BlockTape::default);
        Ok(Self { decoder: Decoder::new(Arc::new(model), backend), config, optimizer, plan, tapes, spare })
    }

    /// For evaluation between steps. Drop every clone before the next step.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub fn steps_done(&self) -> usize {
        self.optimizer.steps
    }

    /// Scalars that train.
    pub fn n_trained(&self) -> usize {
        match &self.plan {
            Plan::Direct { trained, .. } => trained.len(),
            Plan::Lora(lora) => lora.len(),
        }
    }

    /// The adapters, where those are what trains.
    pub fn lora(&self) -> Option<&Lora> {
        match &self.plan {
            Plan::Direct { .. } => None,
            Plan::Lora(lora) => Some(lora),
        }
    }

    /// One optimiser step. The result depends on the sequences and their order only, not on the number of threads.
    ///
    /// # Errors
    /// On sequences that cannot be scored, and on a loss or gradient that is not finite.
    pub fn step(&mut self, sequences: &[TrainSequence]) -> Result<StepReport> {
        let total: f64 = sequences.iter().flat_map(|s| &s.weights).map(|w| f64::from(*w)).sum();
        if total <= 0.0 {
            return Err(Error::invalid("a training step needs at least one token with a positive weight"));
        }
        self.plan.clear();
        let (mut loss, mut tokens, mut micro_batches) = (0.0, 0, 0);
        let mut rest = sequences;
        while !rest.is_empty() {
            let mut take = 0;
            let mut size = 0;
            while take < rest.len() && (take == 0 || size + rest[take].tokens.len() <= self.config.micro_batch_tokens) {
                size += rest[take].tokens.len();
                take += 1;
            }
            let (now, later) = rest.split_at(take);
            loss += self.accumulate(now, total)?;
            tokens += size;
            micro_batches += 1;
            rest = later;
        }
        match &self.plan {
            Plan::Direct { gradients, .. } => {
                gradients.check_fired(self.decoder.model.spec.n_layers, micro_batches, self.spare.is_some())?;
            }
            Plan::Lora(lora) => lora.check_fired(micro_batches)?,
        }
        let gradient_norm = self.plan.norm();
        if !gradient_norm.is_finite() {
            return Err(Error::numeric(
                "gradient",
                format!("its norm is {gradient_norm} at step {}; lower the learning rate", self.steps_done()),
            ));
        }
        let scale = if gradient_norm > self.config.clip { self.config.clip / gradient_norm } else { 1.0 };
        let rate = self.config.schedule.rate(self.steps_done());
        self.update(Pace { rate, scale: scale as f32 })?;
        Ok(StepReport { step: self.steps_done(), loss, gradient_norm, rate, tokens })
    }

    /// Adds one micro-batch's gradients; gives its share of the loss.
    fn accumulate(&mut self, sequences: &[TrainSequence], total: f64) -> Result<f64> {
        let mut batch = Batch::default();
        let mut weights = Vec::new();
        for s in sequences {
            if s.tokens.len() != s.weights.len() {
                return Err(Error::invalid(format!("a training sequence has {} tokens but {} weights", s.tokens.len(), s.weights.len())));
            }
            batch.push(&s.tokens);
            weights.extend(s.weights.iter().map(|w| (f64::from(*w) / total) as f32));
        }
        let decoder = &self.decoder;
        let first = self.plan.first_layer();
        let mut resid = decoder.embed(&batch, &mut NoHooks)?;
        for layer in 0..first {
            decoder.block_forward(layer, &batch, &mut resid, None, &mut NoHooks)?;
        }
        for (i, tape) in self.tapes.iter_mut().enumerate() {
            if let Some(spare) = &mut self.spare {
                tape.exchange_z(spare);
            }
            decoder.block_forward(first + i, &batch, &mut resid, Some(tape), &mut NoHooks)?;
            if let Some(spare) = &mut self.spare {
                tape.exchange_z(spare);
            }
        }
        let taps = self.plan.taps();
        let (loss, mut d_resid) = decoder.weighted_loss(&batch, &resid, &weights, taps)?;
        for (i, tape) in self.tapes.iter().enumerate().rev() {
            if i == 0 && self.spare.is_some() {
                decoder.block_backward_mlp(first, &batch, tape, &d_resid, taps)?;
                return Ok(loss);
            }
            decoder.block_backward(first + i, &batch, tape, &mut d_resid, true, taps)?;
        }
        if first == 0 {
            decoder.embed_backward(&batch, &d_resid, taps);
        }
        Ok(loss)
    }

    fn update(&mut self, pace: Pace) -> Result<()> {
        let held = || Error::invalid("the model cannot change while something else holds it");
        let Self { decoder, optimizer, plan, .. } = self;
        let backend = decoder.backend.clone();
        let weights = &mut decoder.model_mut().ok_or_else(held)?.weights;
        optimizer.begin();
        match plan {
            Plan::Direct { trained, gradients, packed } => {
                for (i, (slice, packed)) in trained.slices.iter().zip(packed).enumerate() {
                    let tensor = weights.get_mut(slice.role).ok_or_else(|| Error::numeric(slice.role.to_string(), "no weight to train"))?;
                    let (gradient, decays) = (gradients.slice(i), slice.decays());
                    if slice.part == Part::Whole {
                        optimizer.update(i, tensor.values_mut(), gradient, decays, pace, &*backend);
                    } else {
                        optimizer.update(i, packed, gradient, decays, pace, &*backend);
                        slice.write(packed, tensor.values_mut());
                    }
                }
                Ok(())
            }
            Plan::Lora(lora) => {
                for (i, (w, gradient)) in lora.parameters().enumerate() {
                    optimizer.update(i, w, gradient, true, pace, &*backend);
                }
                lora.apply(weights)
            }
        }
    }

    /// Names and values of what trains, as a checkpoint holds them: packed, in a fixed order.
    pub(super) fn parameters(&self) -> Result<Vec<(String, Vec<f32>)>> {
        match &self.plan {
            Plan::Direct { trained, .. } => {
                let values = trained.read(&self.decoder.model.weights)?;
                Ok(trained.slices.iter().zip(values).map(|(s, v)| (s.role.to_string(), v)).collect())
            }
            Plan::Lora(lora) => {
                let both =
                    |a: &super::lora::Adapter| [(format!("{} lora_a", a.role), a.a.clone()), (format!("{} lora_b", a.role), a.b.clone())];
                Ok(lora.adapters.iter().flat_map(both).collect())
            }
        }
    }

    /// Puts values back that [`Trainer::parameters`] gave.
    pub(super) fn restore(&mut self, values: Vec<Vec<f32>>, optimizer: Optimizer) -> Result<()> {
        let held = || Error::invalid("the model cannot change while something else holds it");
        let weights = &mut self.decoder.model_mut().ok_or_else(held)?.weights;
        match &mut self.plan {
            Plan::Direct { trained, packed, .. } => {
                for ((slice, packed), values) in trained.slices.iter().zip(packed).zip(values) {
                    if let Some(tensor) = weights.get_mut(slice.role) {
                        slice.write(&values, tensor.values_mut());
                    }
                    if slice.part != Part::Whole {
                        *packed = values;
                    }
                }
            }
            Plan::Lora(lora) => {
                for ((w, _), values) in lora.parameters().zip(values) {
                    w.copy_from_slice(&values);
                }
                lora.apply(weights)?;
            }
        }
        self.optimizer = optimizer;
        Ok(())
    }

    /// Moves one number of an adapter (of B if `b`, else of A); for tests that compare gradients with differences.
    ///
    /// # Errors
    /// When no such number trains, or something else holds the model.
    pub fn nudge_adapter(&mut self, adapter: usize, b: bool, index: usize, by: f32) -> Result<()> {
        let Plan::Lora(lora) = &mut self.plan else { return Err(Error::invalid("no adapters train here")) };
        let at = lora.parameters().nth(2 * adapter + usize::from(b)).and_then(|(w, _)| w.get_mut(index));
        *at.ok_or_else(|| Error::invalid(format!("adapter {adapter} has no number {index}")))? += by;
        let held = || Error::invalid("the model cannot change while something else holds it");
        lora.apply(&mut self.decoder.model_mut().ok_or_else(held)?.weights)
    }

    /// Gives the trained model back.
    ///
    /// # Errors
    /// While a clone of [`Trainer::decoder`] is alive.
    pub fn into_model(self) -> Result<Model> {
        let Self { decoder, .. } = self;
        Arc::try_unwrap(decoder.model).map_err(|_| Error::invalid("the model cannot be taken while something else holds it"))
    }
}
