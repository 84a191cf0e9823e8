//! What the heads of a layer look at in one text.

use crate::{
    base::{Ctx, Error, HookPoint, Result},
    model::{Batch, Decoder, Hooks},
};

/// Attention of one layer on one text of `n` tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub layer: usize,
    pub tokens: Vec<u32>,
    pub n_heads: usize,
    /// `attn.hook_pattern`, `[n_heads, query, key]`: rows sum to 1, keys after the query are 0.
    pub values: Vec<f32>,
    /// Length of `attn.hook_z` of each head at each token, `[n_heads, n]`.
    pub z_norm: Vec<f32>,
    /// `attn.hook_z` itself, `[n, n_heads * head_dim]`.
    pub z: Vec<f32>,
}

impl Pattern {
    /// `[query, key]` of one head.
    pub fn head(&self, head: usize) -> &[f32] {
        let n = self.tokens.len();
        &self.values[head * n * n..(head + 1) * n * n]
    }
    pub fn z_norm(&self, head: usize) -> &[f32] {
        let n = self.tokens.len();
        &self.z_norm[head * n..(head + 1) * n]
    }
}

struct Keeper<'a> {
    head_dim: usize,
    pattern: &'a mut Pattern,
}

impl Hooks for Keeper<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        let l = self.pattern.layer;
        point == HookPoint::Pattern(l) || point == HookPoint::Z(l)
    }
    fn at(&mut self, point: HookPoint, _: &Batch, values: &mut [f32]) -> Result<()> {
        match point {
            HookPoint::Pattern(_) => self.pattern.values.extend_from_slice(values),
            _ => {
                self.pattern.z_norm = z_norms(values, self.pattern.n_heads, self.head_dim);
                self.pattern.z = values.to_vec();
            }
        }
        Ok(())
    }
}

/// Length of each head's part of `attn.hook_z` `[n, n_heads * head_dim]`, as `[n_heads, n]`.
pub(super) fn z_norms(z: &[f32], n_heads: usize, head_dim: usize) -> Vec<f32> {
    let n = z.len() / (n_heads * head_dim).max(1);
    let mut out = vec![0.0; n_heads * n];
    for (t, row) in z.chunks_exact(n_heads * head_dim).enumerate() {
        for (h, part) in row.chunks_exact(head_dim).enumerate() {
            out[h * n + t] = part.iter().map(|v| v * v).sum::<f32>().sqrt();
        }
    }
    out
}

/// Runs the model up to `layer` and keeps what its heads look at.
///
/// # Errors
/// When there is no such layer, the text has no token or too many, or the work is cancelled.
pub fn pattern(decoder: &Decoder, tokens: &[u32], layer: usize, ctx: &Ctx<'_>) -> Result<Pattern> {
    let spec = &decoder.model.spec;
    if layer >= spec.n_layers {
        return Err(Error::invalid(format!("there is no layer {layer}: this model has layers 0..{}", spec.n_layers - 1)));
    }
    let (n_heads, head_dim) = (spec.attention.n_heads, spec.attention.head_dim);
    let mut pattern = Pattern { layer, tokens: tokens.to_vec(), n_heads, values: Vec::new(), z_norm: Vec::new(), z: Vec::new() };
    let batch = Batch::new(&[tokens]);
    let mut keeper = Keeper { head_dim, pattern: &mut pattern };
    let mut resid = decoder.embed(&batch, &mut keeper)?;
    for l in 0..=layer {
        ctx.check()?;
        decoder.block_forward(l, &batch, &mut resid, None, &mut keeper)?;
    }
    if pattern.values.iter().chain(&pattern.z_norm).any(|v| !v.is_finite()) {
        return Err(Error::numeric(HookPoint::Pattern(layer).to_string(), "a value is not finite"));
    }
    Ok(pattern)
}
