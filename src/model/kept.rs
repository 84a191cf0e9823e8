//! Keys and values of text that was read already: the next token then costs one row of every product instead of all rows.

use super::{Batch, Decoder, NoHooks, rope};
use crate::{base::Result, compute::AttentionSpan};

/// What is kept of one sequence, block by block. Reading on gives the same bits as reading everything at once.
#[derive(Default)]
pub struct Kept {
    tokens: Vec<u32>,
    layers: Vec<KeptLayer>,
}

/// Keys and values of every token so far, normed and rotated, `[tokens, n_kv_heads * head_dim]`.
#[derive(Default)]
pub(super) struct KeptLayer {
    pub k: Vec<f32>,
    pub v: Vec<f32>,
}

impl KeptLayer {
    /// Takes in the keys and values of `n` new tokens. The span of their queries over all keys.
    pub fn push(&mut self, k: &[f32], v: &[f32], n: usize) -> AttentionSpan {
        let width = k.len() / n.max(1);
        let first = self.k.len() / width.max(1);
        self.k.extend_from_slice(k);
        self.v.extend_from_slice(v);
        AttentionSpan { rows: 0..n, first, keys: std::iter::once(0..first + n).collect() }
    }
}

impl Kept {
    /// The text that was read.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

impl Decoder {
    /// Reads `tokens` after those of `kept`, which takes them in. Their last `hook_resid_post`, `[tokens, d_model]`.
    ///
    /// # Errors
    /// As [`Decoder::embed`]. Then `kept` is empty.
    pub fn read_on(&self, tokens: &[u32], kept: &mut Kept) -> Result<Vec<f32>> {
        let mut first = kept.tokens.len();
        kept.tokens.extend_from_slice(tokens);
        // Where a long text is rotated otherwise from its first token on, what was kept of it when it was short is of no use.
        let turns =
            |l: usize| self.model.spec.rope(l).and_then(rope::long_from).is_some_and(|from| first <= from && kept.tokens.len() > from);
        if (0..self.model.spec.n_layers).any(turns) {
            first = 0;
        }
        if first == 0 {
            kept.layers.clear();
        }
        kept.layers.resize_with(self.model.spec.n_layers, KeptLayer::default);
        let done = self.read_from(first, kept);
        if done.is_err() {
            *kept = Kept::default();
        }
        done.map(|mut resid| resid.split_off((kept.tokens.len() - first - tokens.len()) * self.model.spec.d_model))
    }

    fn read_from(&self, first: usize, kept: &mut Kept) -> Result<Vec<f32>> {
        let batch = Batch::going_on(&kept.tokens[first..], first);
        let mut resid = self.embed(&batch, &mut NoHooks)?;
        for (layer, kept) in kept.layers.iter_mut().enumerate() {
            self.block_forward_kept(layer, &batch, &mut resid, kept)?;
        }
        Ok(resid)
    }
}
