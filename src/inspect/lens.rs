//! The logit lens: what each layer would answer if the model ended there.

use crate::{
    base::{Ctx, Error, HookPoint, Result},
    eval::{
        Intervention, Switch,
        switch::{RowTags, SwitchHooks},
    },
    model::{Batch, Decoder, Hooks, NoHooks},
};
use rayon::prelude::*;

/// Last positions that are read out; earlier ones are context only.
pub const MOST_POSITIONS: usize = 64;

/// The next-token distribution at one layer and position: `hook_resid_post` through final norm and unembedding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LensCell {
    /// Token and probability, largest first.
    pub top: Vec<(u32, f32)>,
    pub entropy_bits: f32,
    /// Tokens that are likelier than the model's own answer at this position (its last layer's first token); 0 is first.
    pub rank: u32,
}

/// One layer at the positions read out, first position first.
pub type LensRow = Vec<LensCell>;

/// Reads the last [`MOST_POSITIONS`] positions of a text at every layer, `top` tokens each. `rows` hears of each layer as soon as it is done, from
/// the last to the first, since the last is what the model answers.
///
/// # Errors
/// When the text has no token or too many, a number is not finite, or the work is cancelled.
pub fn lens(
    decoder: &Decoder,
    tokens: &[u32],
    change: Option<&Intervention>,
    top: usize,
    ctx: &Ctx<'_>,
    rows: &mut dyn FnMut(usize, LensRow),
) -> Result<()> {
    let spec = &decoder.model.spec;
    let (d, layers) = (spec.d_model, spec.n_layers);
    let batch = Batch::new(&[tokens]);
    let switch = change.map(|c| Switch::new(c, spec)).transpose()?;
    // Where only the answer's positions change: here that is the last, whose prediction is the answer.
    let n = tokens.len();
    let tags = RowTags { lines: vec![0; n], answer: (0..n).map(|i| i + 1 == n).collect() };
    let (mut hooked, mut none) = (switch.as_ref().map(|s| SwitchHooks::one(s, &tags)), NoHooks);
    let hooks: &mut dyn Hooks = match &mut hooked {
        Some(hooks) => hooks,
        None => &mut none,
    };
    let from = tokens.len().saturating_sub(MOST_POSITIONS);
    let mut kept = Vec::with_capacity(layers);
    let mut resid = decoder.embed(&batch, hooks)?;
    for layer in 0..layers {
        ctx.check()?;
        decoder.block_forward(layer, &batch, &mut resid, None, hooks)?;
        if resid.iter().any(|v| !v.is_finite()) {
            return Err(Error::numeric(HookPoint::ResidPost(layer).to_string(), "a value is not finite"));
        }
        kept.push(resid[from * d..].to_vec());
    }
    let positions: Vec<usize> = (0..tokens.len() - from).collect();
    let mut answers: Vec<u32> = Vec::new();
    for layer in (0..layers).rev() {
        let mut row = LensRow::with_capacity(positions.len());
        // A few positions at a time: all logits of a long text at once would be large, and a cancel must be felt.
        for some in positions.chunks(16) {
            ctx.check()?;
            let logits = decoder.logits(&kept[layer], some)?;
            let cells = logits.par_chunks_exact(spec.vocab).enumerate().map(|(i, logits)| {
                let answer = answers.get(some[i]).copied();
                cell(logits, answer, top)
            });
            row.extend(cells.collect::<Vec<_>>());
        }
        if layer + 1 == layers {
            answers = row.iter().map(|c| c.top.first().map_or(0, |t| t.0)).collect();
        }
        rows(layer, row);
        ctx.progress("reading layers", layers - layer, layers, "layers");
    }
    Ok(())
}

/// Softmax in f64 sums. Without an `answer` the largest logit is the answer.
fn cell(logits: &[f32], answer: Option<u32>, top: usize) -> LensCell {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0f64, 0f64);
    for &v in logits {
        let x = f64::from(v - largest);
        let e = x.exp();
        sum += e;
        weighted += x * e;
    }
    // H = ln Z - E[x], in nats.
    let entropy = sum.ln() - weighted / sum;
    let rank = answer.map_or(0, |a| {
        let own = logits[a as usize];
        // Of equals the first counts as likelier, as arg max takes it.
        logits.iter().enumerate().filter(|(i, v)| **v > own || (**v == own && (*i as u32) < a)).count() as u32
    });
    let top = super::logit_lens::extremes(logits, top.max(1), 1.0);
    LensCell {
        top: top.into_iter().map(|(t, v)| (t, (f64::from(v - largest).exp() / sum) as f32)).collect(),
        entropy_bits: (entropy / std::f64::consts::LN_2).max(0.0) as f32,
        rank,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_softmax() {
        // Probabilities 1/2, 1/4, 1/8, 1/8: entropy 1.75 bits.
        let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln() + 3.0).collect();
        let c = cell(&logits, Some(3), 2);
        assert_eq!(c.top.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1]);
        // exp and ln of f32 logits near 3: 3e-7 each.
        assert!((c.top[0].1 - 0.5).abs() < 1e-6 && (c.top[1].1 - 0.25).abs() < 1e-6 && (c.entropy_bits - 1.75).abs() < 1e-5, "{c:?}");
        // Tokens 0 and 1 are likelier than 3, and token 2 is as likely but comes first.
        assert_eq!(c.rank, 3);
        assert_eq!(cell(&logits, None, 1).rank, 0);
    }

    #[test]
    fn a_certain_answer_has_no_entropy() {
        let c = cell(&[200.0, 0.0, 0.0], None, 5);
        assert_eq!((c.top.len(), c.top[0].1, c.entropy_bits), (3, 1.0, 0.0));
    }
}
