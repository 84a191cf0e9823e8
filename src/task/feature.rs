//! What tells tasks apart at test time: the mean state that a task's questions leave in the last layer, and weights from how alike two of them are.

use crate::{
    base::{Ctx, Error, Result},
    data::Item,
    eval::{encode_prompt, prompt_text},
    model::{Batch, Decoder, NoHooks},
};

/// Tokens of a batch.
const BATCH_TOKENS: usize = 2048;

/// Mean over questions of the mean over positions of the last block's `hook_resid_post`, `[d_model]`. Of a question the prompt alone is read: no answer.
///
/// # Errors
/// When no question has a token, a number is not finite, or the work is cancelled.
pub fn feature(decoder: &Decoder, items: &[Item], max_tokens: usize, ctx: &Ctx<'_>) -> Result<Vec<f64>> {
    let d = decoder.model.spec.d_model;
    let max_tokens = max_tokens.min(decoder.model.spec.max_positions);
    let mut prompts = Vec::with_capacity(items.len());
    for item in items {
        let tokens = encode_prompt(&decoder.model.tokenizer, &prompt_text(&decoder.model.tokenizer, item, 0)?, max_tokens)?;
        if !tokens.is_empty() {
            prompts.push(tokens);
        }
    }
    if prompts.is_empty() {
        return Err(Error::invalid("none of the rows has a prompt to read"));
    }
    let mut sum = vec![0.0f64; d];
    let mut rest = prompts.as_slice();
    while !rest.is_empty() {
        ctx.check()?;
        let mut size = 0;
        let take = rest.iter().take_while(|p| {
            size += p.len();
            size <= BATCH_TOKENS
        });
        let (now, later) = rest.split_at(take.count().max(1));
        let batch = Batch::new(now);
        let resid = decoder.forward(&batch, &mut NoHooks)?;
        for i in 0..batch.n_sequences() {
            let span = batch.span(i);
            let share = 1.0 / (span.len() * prompts.len()) as f64;
            for row in resid[span.start * d..span.end * d].chunks_exact(d) {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += share * f64::from(*v));
            }
        }
        rest = later;
    }
    if sum.iter().any(|v| !v.is_finite()) {
        return Err(Error::numeric("last layer's state", "its mean is not finite"));
    }
    Ok(sum)
}

/// Cosine; 0 where one side is 0.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}

/// `softmax(cosines / temperature)`; they sum to 1.
pub fn weights(cosines: &[f64], temperature: f64) -> Vec<f64> {
    let most = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raised: Vec<f64> = cosines.iter().map(|c| ((c - most) / temperature).exp()).collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_softmax() {
        // exp(0) : exp(-ln 2) : exp(-2 ln 2) = 4 : 2 : 1 at temperature 0.1 / ln 2.
        let w = weights(&[0.9, 0.8, 0.7], 0.1 / std::f64::consts::LN_2);
        for (w, expected) in w.iter().zip([4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]) {
            assert!((w - expected).abs() < 1e-12, "{w} {expected}");
        }
        assert_eq!(weights(&[0.3], 0.05), [1.0]);
        // A small temperature leaves the likest alone, a large one makes all equal.
        assert!(weights(&[0.9, 0.8], 1e-3)[0] > 0.999_999);
        assert!((weights(&[0.9, 0.8], 1e6)[0] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn cosines_are_of_directions() {
        assert!((cosine(&[3.0, 4.0], &[6.0, 8.0]) - 1.0).abs() < 1e-12);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
    }
}
