//! The instrumented decoder: embed, block forward, block VJP, objective.

use super::{Batch, Hooks, Model, Taps};
use crate::{base::Result, compute::Backend};
use std::sync::Arc;

/// A model on a device. Cheap to clone.
#[derive(Clone)]
pub struct Decoder {
    pub model: Arc<Model>,
    pub backend: Arc<dyn Backend>,
}

/// What a block's backward needs from its forward.
#[derive(Default)]
pub struct BlockTape {}

/// What is differentiated, for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// `max_v logit_v` at the last position.
    MaxLogit,
    /// Mean cross-entropy (natural log) of the tokens from index `from` (at least 1) to the end, each given what stands before it.
    Loss { from: usize },
}

/// One value a sequence, and the gradient of their sum.
pub struct ObjectiveValues {
    pub values: Vec<f32>,
    /// `[n, d_model]`, gradient with respect to the last block's `hook_resid_post`, of the sum over sequences of each one's value.
    pub d_resid: Vec<f32>,
}

impl Decoder {
    pub fn new(model: Arc<Model>, backend: Arc<dyn Backend>) -> Self {
        Self { model, backend }
    }
    /// Token embeddings `[n, d_model]`.
    pub fn embed(&self, _batch: &Batch, _hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        todo!()
    }
    /// Runs block `layer`: `resid` `[n, d_model]` is its `hook_resid_pre` on entry, its `hook_resid_post` on return.
    /// With `tape`, keeps what [`Decoder::block_backward`] needs.
    pub fn block_forward(
        &self,
        _layer: usize,
        _batch: &Batch,
        _resid: &mut Vec<f32>,
        _tape: Option<&mut BlockTape>,
        _hooks: &mut dyn Hooks,
    ) -> Result<()> {
        todo!()
    }
    /// VJP of block `layer`: `d_resid` is dD/d`hook_resid_post` on entry, dD/d`hook_resid_pre` on return.
    pub fn block_backward(
        &self,
        _layer: usize,
        _batch: &Batch,
        _tape: &BlockTape,
        _d_resid: &mut Vec<f32>,
        _taps: &mut dyn Taps,
    ) -> Result<()> {
        todo!()
    }
    /// Logits `[rows, vocab]` of chosen rows of the last `hook_resid_post` (final norm included).
    pub fn logits(&self, _resid: &[f32], _rows: &[usize]) -> Result<Vec<f32>> {
        todo!()
    }
    /// Natural-log probabilities of `tokens[i]` for each `i` in `scored` (indices into the batch's packed tokens, none the first of its
    /// sequence), given what stands before them; plus whether each was the arg max. Never holds more than a slice of logits.
    pub fn log_probs(&self, _batch: &Batch, _resid: &[f32], _scored: &[usize]) -> Result<Vec<(f32, bool)>> {
        todo!()
    }
    /// Values of the objectives (one for each sequence) and the gradient to start the backward pass with.
    pub fn objective(&self, _batch: &Batch, _resid: &[f32], _objectives: &[Objective]) -> Result<ObjectiveValues> {
        todo!()
    }
    /// Embed and all blocks: the last `hook_resid_post`.
    pub fn forward(&self, batch: &Batch, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let mut resid = self.embed(batch, hooks)?;
        for layer in 0..self.model.spec.n_layers {
            self.block_forward(layer, batch, &mut resid, None, hooks)?;
        }
        Ok(resid)
    }
}
