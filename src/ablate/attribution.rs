//! First-order effects of switching single neurons and heads, item by item: one forward and at most two backward passes for each item.
//!
//! Of a quantity Q of an item, the effect of neuron j is `E_j = sum_t (r_tj - a_tj) dQ/da_tj`: a = `mlp.hook_post`, r = what the ablation
//! writes in its place (0, a mean), dQ/da at the model as it is. A head's effect is the sum over its coordinates of `attn.hook_z`. Q is the
//! negative log-likelihood of the right answer and, for multiple choice, the margin LL(right) - LL(best other choice of the model as it is).
//! Source: the first-order Taylor estimate of METHODS 2 (Leng and Xiong, COLING 2025, arXiv 2407.06488), signed and kept for each item.

use super::predict::{Known, Quantity};
use crate::{
    base::{Ctx, Error, Head, HookPoint, Neuron, NeuronSet, Result},
    data::{DomainKind, Item},
    eval::{AblationAt, AblationMode, Intervention, ItemScore, Limits, Question, Sharing, Step, Switch, prepare},
    model::{BlockTape, Decoder, DecoderSpec, Matrix, NoHooks, ScoredToken, Taps},
};
use std::collections::BTreeSet;

/// What the effects of one domain may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributionLimits {
    pub eval: Limits,
    /// Bytes of the table of effects; items are thinned out evenly until it fits.
    pub table_bytes: usize,
    /// Bytes of the tapes of one step. A step that needs more keeps residuals only and runs its blocks forward a second time.
    pub tape_bytes: usize,
}

impl Default for AttributionLimits {
    fn default() -> Self {
        Self { eval: Limits::default(), table_bytes: 96 << 20, tape_bytes: 256 << 20 }
    }
}

/// Effects of every neuron and head on one quantity of every item, nat. Item-minor, so that a set's effects are a few long sums.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effects {
    /// `[L * d_mlp, items]`
    pub neurons: Vec<f32>,
    /// `[L * n_heads, items]`
    pub heads: Vec<f32>,
}

/// Effects on all items of a domain under one way to ablate.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    pub domain: String,
    pub kind: DomainKind,
    /// As [`attributed_mode`] has it: `Zero` stands for every scale too.
    pub mode: AblationMode,
    pub at: AblationAt,
    pub n_layers: usize,
    pub d_mlp: usize,
    pub n_heads: usize,
    /// Items of the evaluation; more than are attributed when they were thinned out.
    pub n_all: usize,
    pub(super) items: Vec<Known>,
    pub(super) nll: Effects,
    /// Of multiple choice only.
    pub(super) margin: Option<Effects>,
}

/// The way to ablate whose effects give those of `mode`: a scale is a share of zero.
pub fn attributed_mode(mode: &AblationMode) -> AblationMode {
    match mode {
        AblationMode::Scale(_) => AblationMode::Zero,
        other => other.clone(),
    }
}

/// Effects of every neuron and head on every item, or on as many as the limits allow, evenly spaced. `reference` says what an ablation writes
/// and where; its sets are not looked at, but what it brings of other texts must be there for every neuron and head.
///
/// # Errors
/// When the means are missing or another model's, an item cannot be scored, a tap did not fire, a number is not finite, or the work is
/// cancelled.
pub fn attribute(
    decoder: &Decoder,
    domain: &str,
    kind: DomainKind,
    items: &[Item],
    reference: &Intervention,
    limits: AttributionLimits,
    ctx: &Ctx<'_>,
) -> Result<Attribution> {
    let spec = &decoder.model.spec;
    let (layers, f, heads) = (spec.n_layers, spec.d_mlp, spec.attention.n_heads);
    let mode = attributed_mode(&reference.mode);
    let quantities: &[Quantity] = match kind {
        DomainKind::MultipleChoice => &[Quantity::Loss, Quantity::Margin],
        _ => &[Quantity::Loss],
    };
    let bytes = layers * (f + heads) * size_of::<f32>() * quantities.len();
    let kept = thinned(items.len(), limits.table_bytes / bytes.max(1));
    let chosen: Vec<Item> = kept.iter().map(|&i| items[i].clone()).collect();
    // Nothing needs to be written for zero: the change is minus the activation.
    let written = match (&mode, reference.at) {
        (AblationMode::Zero, AblationAt::All) => None,
        _ => {
            let (neurons, heads) = everything(spec);
            Some(Switch::new(&Intervention { neurons, heads, mode: mode.clone(), ..reference.clone() }, spec)?)
        }
    };
    let n = chosen.len();
    let empty = || Effects { neurons: vec![0.0; layers * f * n], heads: vec![0.0; layers * heads * n] };
    let mut effects: Vec<(Quantity, Effects)> = quantities.iter().map(|&q| (q, empty())).collect();
    let a_step = (limits.tape_bytes / tape_bytes_a_token(spec)).clamp(64, limits.eval.batch_tokens.max(64));
    // A gradient runs through whole sequences: nothing is shared here.
    let eval = Limits { batch_tokens: a_step, share: Sharing::Nothing, ..limits.eval };
    let steps = prepare(domain, kind, &chosen, &decoder.model.tokenizer, spec, eval, ctx)?;
    let mut known = Vec::with_capacity(n);
    for step in &steps {
        ctx.progress(format!("predicting {domain}"), known.len(), n, "items");
        let work = StepWork { decoder, step, written: written.as_ref(), first_item: known.len(), n, ctx };
        work.run(limits.tape_bytes, &mut effects, &mut known)?;
    }
    ctx.progress(format!("predicting {domain}"), n, n, "items");
    let mut effects = effects.into_iter();
    let nll = effects.next().map_or_else(empty, |e| e.1);
    let margin = effects.next().map(|e| e.1);
    let all = [Some(&nll), margin.as_ref()];
    if all.into_iter().flatten().any(|e| e.neurons.iter().chain(&e.heads).any(|v| !v.is_finite())) {
        return Err(Error::numeric(format!("first-order effects on {domain}"), "a value is not finite"));
    }
    Ok(Attribution {
        domain: domain.to_owned(),
        kind,
        mode,
        at: reference.at,
        n_layers: layers,
        d_mlp: f,
        n_heads: heads,
        n_all: items.len(),
        items: known,
        nll,
        margin,
    })
}

/// At most `most` (at least one) of `n` indices, evenly spaced.
fn thinned(n: usize, most: usize) -> Vec<usize> {
    let k = n.min(most.max(1));
    (0..k).map(|i| i * n / k).collect()
}

/// Every neuron and head of a model.
pub fn everything(spec: &DecoderSpec) -> (NeuronSet, BTreeSet<Head>) {
    let (layers, heads) = (0..spec.n_layers as u32, spec.attention.n_heads as u32);
    let neurons = layers.clone().flat_map(|l| (0..spec.d_mlp as u32).map(move |i| Neuron::new(l, i))).collect();
    (neurons, layers.flat_map(|l| (0..heads).map(move |i| Head::new(l, i))).collect())
}

/// Bytes that the tapes of all blocks take for one token.
fn tape_bytes_a_token(spec: &DecoderSpec) -> usize {
    spec.n_layers * BlockTape::floats_a_token(spec) * size_of::<f32>()
}

/// One step on its way up and down.
struct StepWork<'a> {
    decoder: &'a Decoder,
    step: &'a Step,
    written: Option<&'a Switch>,
    /// Place of the step's first item among all `n`.
    first_item: usize,
    n: usize,
    ctx: &'a Ctx<'a>,
}

/// How a block's tape comes about on the way down.
enum Kept {
    Tapes(Vec<BlockTape>),
    /// `hook_resid_pre` of every layer.
    Residuals(Vec<Vec<f32>>),
}

impl StepWork<'_> {
    fn run(&self, tape_bytes: usize, effects: &mut [(Quantity, Effects)], known: &mut Vec<Known>) -> Result<()> {
        let (decoder, batch) = (self.decoder, &self.step.batch);
        let spec = &decoder.model.spec;
        let mut resid = decoder.embed(batch, &mut NoHooks)?;
        let mut kept = if batch.n_tokens() * tape_bytes_a_token(spec) <= tape_bytes {
            Kept::Tapes((0..spec.n_layers).map(|_| BlockTape::default()).collect())
        } else {
            Kept::Residuals(Vec::with_capacity(spec.n_layers))
        };
        for layer in 0..spec.n_layers {
            self.ctx.check()?;
            let tape = match &mut kept {
                Kept::Tapes(tapes) => Some(&mut tapes[layer]),
                Kept::Residuals(residuals) => {
                    residuals.push(resid.clone());
                    None
                }
            };
            decoder.block_forward(layer, batch, &mut resid, tape, &mut NoHooks)?;
        }
        let questions = self.step.questions();
        let scores = self.step.scores(decoder, &resid, self.ctx)?;
        known.extend(scores.iter().zip(&questions).map(|(s, q)| Known::new(s, q.gold)));
        let mut gradients = Vec::with_capacity(effects.len());
        for (quantity, _) in effects.iter() {
            let tokens = asked(*quantity, &questions, &scores);
            gradients.push(decoder.log_prob_gradient(batch, &resid, &tokens)?);
        }
        let mut scratch = BlockTape::default();
        for layer in (0..spec.n_layers).rev() {
            let tape = match &mut kept {
                Kept::Tapes(tapes) => &tapes[layer],
                Kept::Residuals(residuals) => {
                    decoder.block_forward(layer, batch, &mut residuals[layer], Some(&mut scratch), &mut NoHooks)?;
                    &scratch
                }
            };
            for ((_, effects), gradient) in effects.iter_mut().zip(&mut gradients) {
                self.ctx.check()?;
                let mut taps = EffectTaps { work: self, questions: &questions, layer, effects, fired: [0; 2] };
                decoder.block_backward(layer, batch, tape, gradient, layer > 0, &mut taps)?;
                for (times, point) in taps.fired.into_iter().zip([HookPoint::MlpPost(layer), HookPoint::Z(layer)]) {
                    if times != 1 {
                        let message = format!("its tap fired {times} times in one backward pass, expected once");
                        return Err(Error::numeric(point.to_string(), message));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The log-probabilities whose weighted sum is the quantity of each item, added up: items share no token, so their gradients stay apart.
fn asked(quantity: Quantity, questions: &[Question], scores: &[ItemScore]) -> Vec<ScoredToken> {
    let mut tokens = Vec::new();
    for (question, score) in questions.iter().zip(scores) {
        let mut add = |choice: usize, weight: f32| {
            tokens.extend(question.choices[choice].iter().map(|&(row, token)| ScoredToken { row, token, weight }));
        };
        match quantity {
            Quantity::Loss => add(question.gold.unwrap_or(0), -1.0),
            Quantity::Margin => {
                if let Some((gold, other)) = rivals(score, question.gold) {
                    add(gold, 1.0);
                    add(other, -1.0);
                }
            }
        }
    }
    tokens
}

/// The right choice and the best of the others, the first of equals; `None` where there is no such pair.
pub(super) fn rivals(score: &ItemScore, gold: Option<usize>) -> Option<(usize, usize)> {
    let (gold, lls) = (gold?, &score.log_likelihoods);
    score.margin?;
    let other = (0..lls.len()).filter(|&i| i != gold).reduce(|best, i| if lls[i] > lls[best] { i } else { best })?;
    Some((gold, other))
}

/// Sums what one block's backward pass shows into the effects of each item.
struct EffectTaps<'a> {
    work: &'a StepWork<'a>,
    questions: &'a [Question],
    layer: usize,
    effects: &'a mut Effects,
    fired: [u32; 2],
}

impl Taps for EffectTaps<'_> {
    fn wants_input(&self, _: usize, _: Matrix) -> bool {
        false
    }
    fn linear(&mut self, _: usize, _: Matrix, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }

    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()> {
        let StepWork { decoder, step, written, first_item, n, .. } = *self.work;
        let spec = &decoder.model.spec;
        let (place, group, out) = match point {
            HookPoint::MlpPost(l) if l == self.layer => (0, 1, &mut self.effects.neurons),
            HookPoint::Z(l) if l == self.layer => (1, spec.attention.head_dim, &mut self.effects.heads),
            _ => return Ok(()),
        };
        self.fired[place] += 1;
        let change = change_of(written, point, step, values);
        let width = values.len() / step.batch.n_tokens().max(1);
        let units = width / group;
        let out = &mut out[self.layer * units * n..(self.layer + 1) * units * n];
        let mut sums = vec![0.0f64; units];
        for (item, question) in (first_item..).zip(self.questions) {
            sums.fill(0.0);
            let cells = question.rows.start * width..question.rows.end * width;
            for (d, g) in change[cells.clone()].chunks_exact(width).zip(gradient[cells].chunks_exact(width)) {
                if group == 1 {
                    sums.iter_mut().zip(d).zip(g).for_each(|((s, &d), &g)| *s += f64::from(d) * f64::from(g));
                } else {
                    for ((s, d), g) in sums.iter_mut().zip(d.chunks_exact(group)).zip(g.chunks_exact(group)) {
                        *s += d.iter().zip(g).map(|(&d, &g)| f64::from(d) * f64::from(g)).sum::<f64>();
                    }
                }
            }
            for (row, &sum) in out.chunks_exact_mut(n).zip(&sums) {
                row[item] = sum as f32;
            }
        }
        Ok(())
    }
}

/// What the ablation would add to the values: what it writes, less what stands there.
fn change_of(written: Option<&Switch>, point: HookPoint, step: &Step, values: &[f32]) -> Vec<f32> {
    let Some(switch) = written else { return values.iter().map(|v| -v).collect() };
    let mut change = values.to_vec();
    switch.apply(point, &step.batch.positions, step.tags.all(), &mut change);
    change.iter_mut().zip(values).for_each(|(c, v)| *c -= v);
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_thinned_out_evenly() {
        assert_eq!(thinned(5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(thinned(10, 4), [0, 2, 5, 7]);
        assert_eq!(thinned(3, 0), [0]);
        assert!(thinned(0, 4).is_empty());
    }

    #[test]
    fn a_margin_is_asked_of_the_best_other_choice() {
        let score = ItemScore {
            line: 1,
            log_likelihoods: vec![-3.0, -1.0, -2.0, -1.0],
            correct: false,
            correct_norm: false,
            margin: Some(-1.0),
            nll: 2.0,
            n_tokens: 1,
            cut: 0,
        };
        let question = Question { gold: Some(2), rows: 0..4, choices: (0..4).map(|c| vec![(3, 10 + c)]).collect() };
        assert_eq!(rivals(&score, Some(2)), Some((2, 1)));
        let tokens = asked(Quantity::Margin, std::slice::from_ref(&question), std::slice::from_ref(&score));
        assert_eq!(tokens.iter().map(|t| (t.token, t.weight)).collect::<Vec<_>>(), [(12, 1.0), (11, -1.0)]);
        let tokens = asked(Quantity::Loss, &[question], std::slice::from_ref(&score));
        assert_eq!(tokens, [ScoredToken { row: 3, token: 12, weight: -1.0 }]);
        assert_eq!(rivals(&ItemScore { margin: None, ..score }, Some(2)), None);
    }
}
