//! What a neuron writes, read through the unembedding.

use super::strip::verify_inside;
use crate::{
    base::{Ctx, Error, Neuron, Result},
    compute::{Mat, MatMut, NormKind},
    model::{BlockNorm, Decoder, DecoderSpec, Matrix, Role, Tensor, spec::Residual},
};

/// Tokens that one unit of a neuron's activation makes likelier and less likely.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitLens {
    /// Token and logit, largest first.
    pub promotes: Vec<(u32, f32)>,
    /// Token and logit, smallest first.
    pub suppresses: Vec<(u32, f32)>,
    /// Over the vocabulary: a shift of all logits changes no probability, so it is the distance from the mean that counts.
    pub mean: f32,
    pub std: f32,
    /// Length of the output row itself.
    pub norm: f32,
}

impl LogitLens {
    /// What is folded in and what is left out for a model, in words.
    pub fn formula(spec: &DecoderSpec) -> String {
        Self::formula_of(spec, "column of down", "MLP", "logit per unit of activation")
    }

    /// `part`: what is written; `by`: the part of the block that writes it.
    pub(super) fn formula_of(spec: &DecoderSpec, part: &str, by: &str, unit: &str) -> String {
        let mut text = part.to_owned();
        match spec.residual {
            Residual::Sandwich => text.push_str(&format!(" × gain of the norm after the {by}")),
            Residual::PostNorm => text.push_str(&format!(" × gain of the norm after the block's {by}")),
            Residual::Sequential | Residual::Parallel => {}
        }
        if spec.final_norm {
            let centred = if spec.norm.kind == NormKind::Layer { ", centred" } else { "" };
            text.push_str(&format!(" × gain of the final norm{centred}"));
        }
        if spec.embedding.width != spec.d_model {
            text.push_str(" × output projection");
        }
        text.push_str(&format!(" × unembedding; {unit}"));
        let mut left_out = Vec::new();
        if spec.final_norm || matches!(spec.residual, Residual::Sandwich | Residual::PostNorm) {
            left_out.push("the norms' scale, which depends on the text");
        }
        if spec.logit_soft_cap.is_some() {
            left_out.push("the soft cap");
        }
        left_out.push("what later layers make of it");
        format!("{text}; left out: {}", left_out.join(", "))
    }
}

/// The `top` most promoted and suppressed tokens. Works in f32 with the model's own kernels, one row through the head.
///
/// # Errors
/// When the neuron is outside the model, a logit is not finite, or the work is cancelled.
pub fn logit_lens(decoder: &Decoder, neuron: Neuron, top: usize, ctx: &Ctx<'_>) -> Result<LogitLens> {
    let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
    verify_inside(neuron, spec.n_layers, spec.d_mlp)?;
    ctx.check()?;
    let block = weights.block(neuron.layer as usize);
    let down = block.matrix(Matrix::Down);
    let row: Vec<f32> = down.chunks_exact(spec.d_mlp).map(|r| r[neuron.index as usize]).collect();
    let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    let after = match spec.residual {
        Residual::Sandwich => Some(BlockNorm::PostMlp),
        Residual::PostNorm => Some(BlockNorm::Mlp),
        Residual::Sequential | Residual::Parallel => None,
    };
    ctx.check()?;
    let logits = unembedded(decoder, neuron.layer as usize, row, after);
    let vocab = spec.vocab;
    if let Some(at) = logits.iter().position(|v| !v.is_finite()) {
        return Err(Error::numeric(format!("logit lens of {neuron}"), format!("{} for token {at}, expected a finite number", logits[at])));
    }
    let n = vocab as f64;
    let mean = logits.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = logits.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    Ok(LogitLens {
        promotes: extremes(&logits, top, 1.0),
        suppresses: extremes(&logits, top, -1.0),
        mean: mean as f32,
        std: variance.sqrt() as f32,
        norm,
    })
}

/// Logits `[n, vocab]` of what `rows` `[n, d_model]` of a part of block `layer` add to the residual: the linear parts of the norm `after` that part and of
/// the final norm, then the unembedding.
pub(super) fn unembedded(decoder: &Decoder, layer: usize, mut rows: Vec<f32>, after: Option<BlockNorm>) -> Vec<f32> {
    let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
    let (d, width, vocab) = (spec.d_model, spec.embedding.width, spec.vocab);
    let block = weights.block(layer);
    let gains = [after.map(|norm| block.norm(norm)), weights.outer(Role::NormFinal)];
    for gain in gains.into_iter().flatten() {
        rows.chunks_exact_mut(d).for_each(|row| fold(row, spec, gain));
    }
    let n = rows.len() / d;
    if let Some(project) = weights.outer(Role::ProjectOut) {
        let mut narrow = vec![0.0; n * width];
        decoder.backend.gemm_nt(MatMut::new(&mut narrow, n, width), Mat::new(&rows, n, d), Mat::new(project, width, d), 1.0, 0.0);
        rows = narrow;
    }
    let mut logits = vec![0.0; n * vocab];
    decoder.backend.gemm_nt(
        MatMut::new(&mut logits, n, vocab),
        Mat::new(&rows, n, width),
        Mat::new(weights.head(), vocab, width),
        1.0,
        0.0,
    );
    logits
}

/// A norm's linear part: centring where it centres, then its gain.
fn fold(row: &mut [f32], spec: &DecoderSpec, gain: &Tensor) {
    if spec.norm.kind == NormKind::Layer {
        let mean = row.iter().sum::<f32>() / row.len().max(1) as f32;
        row.iter_mut().for_each(|v| *v -= mean);
    }
    row.iter_mut().zip(gain.iter()).for_each(|(v, g)| *v *= spec.norm.gain_offset + g);
}

/// Index and value of the `top` largest of `sign * values`, the first of equals first.
pub(super) fn extremes(values: &[f32], top: usize, sign: f32) -> Vec<(u32, f32)> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let key = |&i: &u32| sign * values[i as usize];
    let by = |a: &u32, b: &u32| key(b).total_cmp(&key(a)).then(a.cmp(b));
    if top < order.len() {
        order.select_nth_unstable_by(top, by);
        order.truncate(top);
    }
    order.sort_unstable_by(by);
    order.into_iter().map(|i| (i, values[i as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_sorted_and_ties_keep_their_order() {
        let v = [1.0, -2.0, 5.0, 5.0, 0.0];
        assert_eq!(extremes(&v, 3, 1.0), [(2, 5.0), (3, 5.0), (0, 1.0)]);
        assert_eq!(extremes(&v, 2, -1.0), [(1, -2.0), (4, 0.0)]);
        assert_eq!(extremes(&v, 9, 1.0).len(), 5);
    }
}
