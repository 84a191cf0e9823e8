//! The training loop's one step: forward, weighted loss, backward, clip, update.

use super::{AdamW, AdamWConfig, Schedule, gradients::Gradients};
use crate::{
    base::{Error, Result},
    compute::Backend,
    model::{Batch, BlockTape, Decoder, Model, NoHooks, weights::Role},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    pub schedule: Schedule,
    pub optimizer: AdamWConfig,
    /// Gradients are scaled down to this Euclidean norm where theirs is larger.
    pub clip: f64,
    /// Tokens of a micro-batch; a step's gradient is summed over as many as it takes.
    pub micro_batch_tokens: usize,
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

/// Owns the model while it changes.
pub struct Trainer {
    decoder: Decoder,
    pub config: TrainConfig,
    pub(super) optimizer: AdamW,
    gradients: Gradients,
    roles: Vec<Role>,
    tapes: Vec<BlockTape>,
}

impl Trainer {
    pub fn new(model: Model, backend: Arc<dyn Backend>, config: TrainConfig) -> Self {
        let gradients = Gradients::zeros(&model.spec, backend.clone());
        let roles = model.spec.roles();
        let tapes = (0..model.spec.n_layers).map(|_| BlockTape::default()).collect();
        let optimizer = AdamW::new(config.optimizer);
        Self { decoder: Decoder::new(Arc::new(model), backend), config, optimizer, gradients, roles, tapes }
    }

    /// For evaluation between steps. Drop every clone before the next step.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub fn steps_done(&self) -> usize {
        self.optimizer.steps
    }

    pub(super) fn model_mut(&mut self) -> Result<&mut Model> {
        self.decoder.model_mut().ok_or_else(|| Error::invalid("the model cannot change while something else holds it"))
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
        self.gradients.clear();
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
        let n_layers = self.decoder.model.spec.n_layers;
        self.gradients.check_fired(n_layers, micro_batches)?;
        let gradient_norm = self.gradients.norm();
        if !gradient_norm.is_finite() {
            return Err(Error::numeric(
                "gradient",
                format!("its norm is {gradient_norm} at step {}; lower the learning rate", self.steps_done()),
            ));
        }
        let scale = if gradient_norm > self.config.clip { self.config.clip / gradient_norm } else { 1.0 };
        let rate = self.config.schedule.rate(self.steps_done());
        let weights =
            &mut self.decoder.model_mut().ok_or_else(|| Error::invalid("the model cannot change while something else holds it"))?.weights;
        self.optimizer.step(weights, &self.gradients, &self.roles, rate, scale as f32)?;
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
        let mut resid = decoder.embed(&batch, &mut NoHooks)?;
        for (layer, tape) in self.tapes.iter_mut().enumerate() {
            decoder.block_forward(layer, &batch, &mut resid, Some(tape), &mut NoHooks)?;
        }
        let (loss, mut d_resid) = decoder.weighted_loss(&batch, &resid, &weights, &mut self.gradients)?;
        for (layer, tape) in self.tapes.iter().enumerate().rev() {
            decoder.block_backward(layer, &batch, tape, &mut d_resid, &mut self.gradients)?;
        }
        decoder.embed_backward(&batch, &d_resid, &mut self.gradients);
        Ok(loss)
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
