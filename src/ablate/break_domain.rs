//! The smallest set found that breaks a domain while it spares the others, by a greedy search.
//!
//! The rule. Damage of a set to a domain: how far the mean margin falls (of a text domain: how far the mean loss of an item rises), in standard
//! deviations of the items' own values with nothing switched. Merit: damage to the domain less `penalty` times the mean damage to the others
//! (help counts as no damage). Each round adds the candidate with the most merit; candidates are tried in the order of what they added when last
//! tried, and trying ends when the best of this round adds at least what the next one did then (it can only have lost, if neurons mostly
//! substitute for each other: an assumption, so at least [`Rule::tried`] are tried). The search ends when accuracy is at most the threshold, when
//! nothing adds merit, or at the largest size. Then each neuron is taken back, the one that added least first, and stays out where accuracy remains
//! at most the threshold.
//!
//! The items are parted in two: on one half the set is sought, on the other it is judged.

use super::{EvalSession, Totals};
use crate::{
    base::{Ctx, Error, Neuron, NeuronSet, Result, provenance::Provenance, stats},
    eval::{DomainScore, Intervention, ItemScore},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the search decides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Accuracy at or below which the domain counts as broken; `None`: chance (one over the number of choices, mean over items).
    pub threshold: Option<f64>,
    /// Weight of the mean damage to the other domains.
    pub penalty: f64,
    /// Neurons of the largest set.
    pub most: usize,
    /// Candidates that are tried in a round at least.
    pub tried: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self { threshold: None, penalty: 1.0, most: 64, tried: 16 }
    }
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakStep {
    pub neuron: Neuron,
    /// Of the set so far, on the half that is searched.
    pub accuracy: Option<f64>,
    pub damage: f64,
    /// Mean over the other domains.
    pub others: f64,
    pub merit: f64,
}

/// A domain before and after, on the half that judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub domain: String,
    pub before: Totals,
    pub after: Totals,
    /// Under random sets of the same size in each layer.
    pub controls: Vec<Totals>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    pub domain: String,
    pub rule: Rule,
    pub threshold: f64,
    /// Candidates the search chose from, and how they were chosen.
    pub candidates: usize,
    pub ranking: String,
    /// In the order in which they were added.
    pub steps: Vec<BreakStep>,
    /// Without those that were taken back.
    pub set: NeuronSet,
    /// Accuracy came down to the threshold on the half that is searched.
    pub reached: bool,
    pub accuracy_before: Option<f64>,
    pub accuracy_after: Option<f64>,
    /// The domain itself first.
    pub judged: Vec<Judged>,
    pub provenance: Provenance,
}

/// A domain in two halves.
#[derive(Clone)]
pub struct Halves {
    pub search: Arc<EvalSession>,
    pub judge: Arc<EvalSession>,
}

/// One over the number of choices, mean over items; `None` without choices.
fn chance(score: &DomainScore) -> Option<f64> {
    score.acc()?;
    stats::mean(&score.items.iter().map(|i| 1.0 / i.log_likelihoods.len().max(1) as f64).collect::<Vec<_>>())
}

/// A domain with nothing switched: mean and standard deviation of what damage is counted in.
struct Scale {
    mean: f64,
    deviation: f64,
}

/// What damage lowers: an item's margin or, of a text, less its mean loss.
fn strength(item: &ItemScore) -> f64 {
    item.margin.unwrap_or_else(|| -item.nll / item.n_tokens.max(1) as f64)
}

fn mean_strength(score: &DomainScore) -> f64 {
    stats::mean(&score.items.iter().map(strength).collect::<Vec<_>>()).unwrap_or(0.0)
}

impl Scale {
    fn of(score: &DomainScore) -> Self {
        let values: Vec<f64> = score.items.iter().map(strength).collect();
        let deviation = stats::std_dev(&values).filter(|d| *d > 0.0).unwrap_or(1.0);
        Self { mean: mean_strength(score), deviation }
    }
    fn damage(&self, score: &DomainScore) -> f64 {
        (self.mean - mean_strength(score)) / self.deviation
    }
}

/// What a set does on the halves that are searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub accuracy: Option<f64>,
    pub damage: f64,
    /// Mean over the other domains.
    pub others: f64,
}

/// The search at work.
struct Search<'a> {
    target: &'a EvalSession,
    others: Vec<&'a EvalSession>,
    target_scale: Scale,
    other_scales: Vec<Scale>,
    penalty: f64,
    change: &'a dyn Fn(NeuronSet) -> Result<Intervention>,
}

impl Search<'_> {
    fn try_sets(&self, sets: &[NeuronSet], ctx: &Ctx<'_>) -> Result<Vec<Outcome>> {
        let changes = sets.iter().map(|s| (self.change)(s.clone())).collect::<Result<Vec<_>>>()?;
        let on_target = self.target.evaluate_many(&changes, ctx, &mut |_| {})?;
        let mut others = vec![0.0; sets.len()];
        for (session, scale) in self.others.iter().zip(&self.other_scales) {
            let scores = session.evaluate_many(&changes, ctx, &mut |_| {})?;
            others.iter_mut().zip(&scores).for_each(|(sum, s)| *sum += scale.damage(s).max(0.0) / self.others.len() as f64);
        }
        let outcome = |(s, others): (&DomainScore, f64)| Outcome { accuracy: s.acc(), damage: self.target_scale.damage(s), others };
        Ok(on_target.iter().zip(others).map(outcome).collect())
    }
    fn merit(&self, outcome: &Outcome) -> f64 {
        outcome.damage - self.penalty * outcome.others
    }
}

/// A search between two rounds or in the middle of one: enough to go on to the same end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BreakBegun {
    pub steps: Vec<BreakStep>,
    /// Candidates that are left, in the order in which this round tries them, with what each added when it was last tried in a round before; `None`: never.
    pub open: Vec<(Neuron, Option<f64>)>,
    /// What the first of them, with the set so far, did in this round.
    #[serde(default)]
    pub tried: Vec<Outcome>,
}

impl BreakBegun {
    fn new(candidates: &[Neuron]) -> Self {
        let mut begun = Self { open: candidates.iter().map(|&n| (n, None)).collect(), ..Self::default() };
        begun.order();
        begun
    }
    /// Not yet tried counts as most.
    fn order(&mut self) {
        let gain = |g: Option<f64>| g.unwrap_or(f64::INFINITY);
        self.open.sort_by(|a, b| gain(b.1).total_cmp(&gain(a.1)).then(a.0.cmp(&b.0)));
    }
}

/// Searches. `change` makes the intervention of a set; `control` the random set of a seed beside it; `begun`: of a search for the same that was stopped; `heard`
/// is told where it stands after every few candidates and at the end of every round, which is when none of the next has been tried.
///
/// # Errors
/// When the domain has no choices and no threshold can be told, there is no candidate, or of the evaluation; when the work is cancelled.
#[expect(clippy::too_many_arguments, reason = "what is sought, where, by which rule, and who hears of it")]
pub fn run(
    target: &Halves,
    others: &[Halves],
    candidates: &[Neuron],
    rule: Rule,
    seeds: &[u64],
    change: &dyn Fn(NeuronSet) -> Result<Intervention>,
    control: &dyn Fn(&NeuronSet, u64) -> NeuronSet,
    (ranking, provenance): (String, Provenance),
    begun: Option<BreakBegun>,
    ctx: &Ctx<'_>,
    heard: &mut dyn FnMut(&BreakBegun) -> Result<()>,
) -> Result<Broken> {
    if candidates.is_empty() {
        return Err(Error::invalid("there is no candidate to break the domain with"));
    }
    let quiet = &mut |_: &[ItemScore]| {};
    let before = target.search.evaluate(None, ctx, quiet)?;
    let accuracy_before = before.acc();
    let Some(threshold) = rule.threshold.or_else(|| chance(&before)) else {
        return Err(Error::invalid(format!("{} has no choices, so no accuracy that could fall to chance", before.domain)));
    };
    if accuracy_before.is_none_or(|a| a <= threshold) {
        let a = accuracy_before.unwrap_or(0.0);
        return Err(Error::invalid(format!(
            "{}: accuracy is {a:.3} with nothing switched, which is not above the threshold {threshold:.3}: there is nothing to break",
            before.domain
        )));
    }
    let other_scales = others.iter().map(|o| Ok(Scale::of(&o.search.evaluate(None, ctx, quiet)?))).collect::<Result<Vec<_>>>()?;
    let search = Search {
        target: &target.search,
        others: others.iter().map(|o| &*o.search).collect(),
        target_scale: Scale::of(&before),
        other_scales,
        penalty: rule.penalty,
        change,
    };

    let mut now = begun.unwrap_or_else(|| BreakBegun::new(candidates));
    let mut set: NeuronSet = now.steps.iter().map(|s| s.neuron).collect();
    let (mut merit, mut accuracy) = now.steps.last().map_or((0.0, accuracy_before), |s| (s.merit, s.accuracy));
    let broken = |accuracy: Option<f64>| accuracy.is_some_and(|a| a <= threshold);
    while set.len() < rule.most && !broken(accuracy) && !now.open.is_empty() {
        ctx.progress(format!("{} neurons, accuracy {:.3}", set.len(), accuracy.unwrap_or(0.0)), set.len(), rule.most, "neurons");
        // Of those tried, the first of the best.
        let gains = |tried: &[Outcome]| tried.iter().map(|o| search.merit(o) - merit).collect::<Vec<f64>>();
        let best = |gains: &[f64]| (0..gains.len()).reduce(|best, i| if gains[i] > gains[best] { i } else { best });
        let ended = |now: &BreakBegun| {
            let gains = gains(&now.tried);
            let next = now.open.get(now.tried.len()).map(|(_, gain)| gain.unwrap_or(f64::INFINITY));
            best(&gains).is_some_and(|b| next.is_none_or(|next| gains[b] >= next))
        };
        while !ended(&now) {
            let first = now.tried.len();
            let end = (first + rule.tried.max(1)).min(now.open.len());
            let with = |&(n, _): &(Neuron, Option<f64>)| set.union(&NeuronSet::from_iter([n]));
            let sets: Vec<NeuronSet> = now.open[first..end].iter().map(with).collect();
            if set.is_empty() {
                // Later rounds try a few; this one takes longest.
                ctx.progress("trying every candidate by itself", first, now.open.len(), "candidates");
            }
            now.tried.extend(search.try_sets(&sets, ctx)?);
            heard(&now)?;
        }
        let tried = std::mem::take(&mut now.tried);
        let gains = gains(&tried);
        now.open.iter_mut().zip(&gains).for_each(|(candidate, gain)| candidate.1 = Some(*gain));
        let Some(b) = best(&gains).filter(|b| gains[*b] > 0.0) else { break };
        let (neuron, _) = now.open.remove(b);
        set.insert(neuron);
        let outcome = tried[b];
        merit = search.merit(&outcome);
        accuracy = outcome.accuracy;
        now.steps.push(BreakStep { neuron, accuracy, damage: outcome.damage, others: outcome.others, merit });
        now.order();
        heard(&now)?;
    }
    let steps = now.steps;
    let reached = broken(accuracy);
    if reached {
        // Those that added least first.
        let mut gains: Vec<(Neuron, f64)> =
            steps.iter().enumerate().map(|(i, s)| (s.neuron, s.merit - if i == 0 { 0.0 } else { steps[i - 1].merit })).collect();
        gains.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        for (neuron, _) in gains {
            let mut without = set.clone();
            without.remove(neuron);
            if without.is_empty() {
                break;
            }
            let score = target.search.evaluate(Some(&change(without.clone())?), ctx, quiet)?;
            if broken(score.acc()) {
                (set, accuracy) = (without, score.acc());
            }
        }
    }
    let judged =
        std::iter::once(target).chain(others).map(|h| judge(&h.judge, &set, seeds, change, control, ctx)).collect::<Result<_>>()?;
    Ok(Broken {
        domain: before.domain,
        rule,
        threshold,
        candidates: candidates.len(),
        ranking,
        steps,
        set,
        reached,
        accuracy_before,
        accuracy_after: accuracy,
        judged,
        provenance,
    })
}

fn judge(
    session: &EvalSession,
    set: &NeuronSet,
    seeds: &[u64],
    change: &dyn Fn(NeuronSet) -> Result<Intervention>,
    control: &dyn Fn(&NeuronSet, u64) -> NeuronSet,
    ctx: &Ctx<'_>,
) -> Result<Judged> {
    let mut changes = vec![Intervention::default(), change(set.clone())?];
    for &seed in seeds {
        changes.push(change(control(set, seed))?);
    }
    let mut scores = session.evaluate_many(&changes, ctx, &mut |_| {})?.iter().map(Totals::of).collect::<Vec<_>>();
    let controls = scores.split_off(2);
    Ok(Judged { domain: session.domain().to_owned(), before: scores[0], after: scores[1], controls })
}
