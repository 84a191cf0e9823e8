//! What a head writes at each token of a text, read through the unembedding.

use super::{
    logit_lens::{extremes, unembedded},
    pattern::Pattern,
};
use crate::{
    base::{Ctx, Error, Head, Result},
    compute::{Mat, MatMut},
    model::{BlockNorm, Decoder, DecoderSpec, Matrix, spec::Residual},
};

/// Tokens that a head's output at one position makes likelier and less likely.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadLens {
    /// Token and logit, largest first.
    pub promotes: Vec<(u32, f32)>,
    /// Token and logit, smallest first.
    pub suppresses: Vec<(u32, f32)>,
    /// Over the vocabulary.
    pub mean: f32,
    /// Length of what the head writes into the residual, before any norm.
    pub norm: f32,
}

impl HeadLens {
    /// What is folded in and what is left out for a model, in words.
    pub fn formula(spec: &DecoderSpec) -> String {
        super::LogitLens::formula_of(spec, "hook_z of the head × its columns of o", "attention", "logit at the token")
    }
}

/// Positions whose logits are held at once.
const SLICE: usize = 16;

/// One answer a token of `pattern`, of the `top` tokens most promoted and suppressed. In f32 with the model's own kernels; the output bias, which is no
/// head's, is left out.
///
/// # Errors
/// When the pattern is of another layer or model, a logit is not finite, or the work is cancelled.
pub fn head_lens(decoder: &Decoder, pattern: &Pattern, head: Head, top: usize, ctx: &Ctx<'_>) -> Result<Vec<HeadLens>> {
    let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
    let (heads, size, d, n) = (spec.attention.n_heads, spec.attention.head_dim, spec.d_model, pattern.tokens.len());
    let (layer, index) = (head.layer as usize, head.index as usize);
    if layer != pattern.layer || layer >= spec.n_layers || index >= heads || pattern.z.len() != n * heads * size {
        return Err(Error::invalid(format!(
            "{head} is not among the heads that were read: {} of layer {}",
            pattern.n_heads, pattern.layer
        )));
    }
    let width = heads * size;
    let part = |row: &[f32]| row[index * size..(index + 1) * size].to_vec();
    let z: Vec<f32> = pattern.z.chunks_exact(width).flat_map(part).collect();
    let o: Vec<f32> = weights.block(layer).matrix(Matrix::O).chunks_exact(width).flat_map(part).collect();
    let mut rows = vec![0.0; n * d];
    decoder.backend.gemm_nt(MatMut::new(&mut rows, n, d), Mat::new(&z, n, size), Mat::new(&o, d, size), 1.0, 0.0);
    let after = match spec.residual {
        Residual::Sandwich => Some(BlockNorm::PostAttn),
        Residual::PostNorm => Some(BlockNorm::Attn),
        Residual::Sequential | Residual::Parallel => None,
    };
    let mut found = Vec::with_capacity(n);
    for some in rows.chunks(SLICE * d) {
        ctx.check()?;
        let logits = unembedded(decoder, layer, some.to_vec(), after);
        if let Some(at) = logits.iter().position(|v| !v.is_finite()) {
            let token = at % spec.vocab;
            return Err(Error::numeric(
                format!("logit lens of {head}"),
                format!("{} for token {token}, expected a finite number", logits[at]),
            ));
        }
        found.extend(logits.chunks_exact(spec.vocab).zip(some.chunks_exact(d)).map(|(logits, row)| HeadLens {
            promotes: extremes(logits, top, 1.0),
            suppresses: extremes(logits, top, -1.0),
            mean: (logits.iter().map(|&v| f64::from(v)).sum::<f64>() / spec.vocab as f64) as f32,
            norm: row.iter().map(|v| v * v).sum::<f32>().sqrt(),
        }));
    }
    Ok(found)
}
