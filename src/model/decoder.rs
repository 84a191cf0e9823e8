//! The instrumented decoder: embed, block forward, block VJP (block.rs), and from the last residual to numbers (head.rs).

use super::{Batch, Hooks, Model, block::Scratch, rope, spec::NormSpec};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Backend, RopeTable},
};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use super::{
    block::BlockTape,
    head::{HeadGradients, Objective, ObjectiveValues},
};

/// A model on a device. Cheap to clone.
#[derive(Clone)]
pub struct Decoder {
    pub model: Arc<Model>,
    pub backend: Arc<dyn Backend>,
    shared: Arc<Shared>,
}

/// What clones of a decoder have in common: memory that is used again instead of being asked for anew.
#[derive(Default)]
struct Shared {
    rope: RwLock<Option<Arc<RopeTable>>>,
    scratch: Mutex<Vec<Scratch>>,
}

impl Decoder {
    pub fn new(model: Arc<Model>, backend: Arc<dyn Backend>) -> Self {
        Self { model, backend, shared: Arc::default() }
    }

    /// The model, for changing its weights; `None` while another decoder or the library holds it too.
    pub fn model_mut(&mut self) -> Option<&mut Model> {
        Arc::get_mut(&mut self.model)
    }

    /// Token embeddings `[n, d_model]`.
    ///
    /// # Errors
    /// When a sequence is empty or longer than the model's positions, or a token is outside its vocabulary.
    pub fn embed(&self, batch: &Batch, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let spec = &self.model.spec;
        for i in 0..batch.n_sequences() {
            match batch.span(i).len() {
                0 => return Err(Error::invalid(format!("sequence {i} of the batch has no tokens"))),
                n if n > spec.max_positions => {
                    let most = spec.max_positions;
                    return Err(Error::invalid(format!("a sequence of {n} tokens is longer than the model's {most} positions; cut it")));
                }
                _ => {}
            }
        }
        let (d, vocab) = (spec.d_model, spec.vocab);
        let mut resid = Vec::with_capacity(batch.n_tokens() * d);
        for &token in &batch.tokens {
            let token = token as usize;
            if token >= vocab {
                return Err(Error::invalid(format!(
                    "token {token} is outside the model's vocabulary of {vocab}; is the tokenizer another model's?"
                )));
            }
            resid.extend_from_slice(&self.model.weights.embedding[token * d..(token + 1) * d]);
        }
        call(hooks, HookPoint::Embed, batch, &mut resid)?;
        Ok(resid)
    }

    /// Adds the gradient of [`Decoder::embed`] to `d_embedding` `[vocab, d_model]`: row `t` gets the rows of `d_resid` where token `t` stood.
    pub fn embed_backward(&self, batch: &Batch, d_resid: &[f32], d_embedding: &mut [f32]) {
        let d = self.model.spec.d_model;
        for (&token, row) in batch.tokens.iter().zip(d_resid.chunks_exact(d)) {
            let token = token as usize;
            for (sum, g) in d_embedding[token * d..(token + 1) * d].iter_mut().zip(row) {
                *sum += g;
            }
        }
    }

    /// Embed and all blocks: the last `hook_resid_post`.
    ///
    /// # Errors
    /// As [`Decoder::embed`] and [`Decoder::block_forward`].
    pub fn forward(&self, batch: &Batch, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let mut resid = self.embed(batch, hooks)?;
        for layer in 0..self.model.spec.n_layers {
            self.block_forward(layer, batch, &mut resid, None, hooks)?;
        }
        Ok(resid)
    }

    /// Rotary table that covers every position of the batch.
    pub(super) fn rope_for(&self, batch: &Batch) -> Arc<RopeTable> {
        let needed = batch.positions.iter().max().map_or(1, |&p| p as usize + 1);
        let covers = |t: &Arc<RopeTable>| t.cos.len() >= needed * t.pairs;
        if let Some(table) = self.shared.rope.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(|t| covers(t)) {
            return table.clone();
        }
        let spec = &self.model.spec;
        // Grown by doubling, so that ever longer batches do not make it anew each time.
        let positions = needed.next_power_of_two();
        let table = Arc::new(rope::table(&spec.rope, spec.attention.head_dim, positions));
        let mut kept = self.shared.rope.write().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(covers) {
            *kept = Some(table.clone());
        }
        table
    }

    pub(super) fn take_scratch(&self) -> Scratch {
        self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn return_scratch(&self, scratch: Scratch) {
        self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }

    pub(super) fn norm_eps(&self) -> f32 {
        let NormSpec::Rms { eps } = self.model.spec.norm;
        eps
    }
}

/// Shows a hook the tensor if it wants it.
pub(super) fn call(hooks: &mut dyn Hooks, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
    if hooks.wants(point) { hooks.at(point, batch, values) } else { Ok(()) }
}

/// Sets the length; new room is zero, old room keeps whatever it held.
pub(super) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}
