//! Accuracy against k: the top k % of a ranking switched, for ever larger k, beside random sets of the same size.

use super::{EvalSession, Totals};
use crate::{
    base::{Ctx, Error, NeuronSet, Result, provenance::Provenance},
    eval::Intervention,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KPoint {
    pub percent: f64,
    /// Neurons of the set.
    pub neurons: usize,
    /// By domain, in the curve's order.
    pub scores: Vec<Totals>,
    /// Of random sets: `[seed][domain]`.
    pub controls: Vec<Vec<Totals>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KCurve {
    /// What the ranking is: `relevance of logic, run 1`.
    pub ranking: String,
    /// Domains that are scored.
    pub domains: Vec<String>,
    /// With nothing switched, by domain.
    pub baseline: Vec<Totals>,
    /// By rising percentage.
    pub points: Vec<KPoint>,
    pub provenance: Provenance,
}

impl KCurve {
    /// Accuracy of a domain at each point, `(percent, accuracy)`.
    pub fn accuracy(&self, domain: usize) -> Vec<(f64, f64)> {
        self.points.iter().filter_map(|p| Some((p.percent, p.scores.get(domain)?.accuracy()?))).collect()
    }
}

/// Checks and orders percentages: above 0, at most 100, each once.
///
/// # Errors
/// When there is none, or one is outside.
pub fn percentages(given: &[f64]) -> Result<Vec<f64>> {
    if let Some(bad) = given.iter().find(|p| !(**p > 0.0 && **p <= 100.0)) {
        return Err(Error::invalid(format!("{bad} % is no share: give percentages above 0, at most 100")));
    }
    let mut sorted = given.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    if sorted.is_empty() { Err(Error::invalid("give at least one percentage, e.g. 1,2,5,10,20")) } else { Ok(sorted) }
}

/// Measures every percentage on every domain. `top` takes a share of the ranking, `change` makes the intervention of a set, `control` the random set of a seed beside it; `point` gets
/// each point as soon as it is complete.
///
/// # Errors
/// Of `change` and the evaluation; when the work is cancelled.
#[expect(clippy::too_many_arguments, reason = "what is switched, where it is measured, and who hears of it")]
pub fn run(
    sessions: &[Arc<EvalSession>],
    top: &dyn Fn(f64) -> NeuronSet,
    percents: &[f64],
    seeds: &[u64],
    change: &dyn Fn(NeuronSet) -> Result<Intervention>,
    control: &dyn Fn(&NeuronSet, u64) -> NeuronSet,
    ctx: &Ctx<'_>,
    point: &mut dyn FnMut(KPoint) -> Result<()>,
) -> Result<()> {
    let items: usize = sessions.iter().map(|s| s.n_items()).sum();
    let total = percents.len() * (1 + seeds.len()) * items;
    let mut done = 0;
    for &percent in percents {
        let set = top(percent);
        let neurons = set.len();
        let mut changes = vec![change(set.clone())?];
        for &seed in seeds {
            changes.push(change(control(&set, seed))?);
        }
        // By domain, then by change; wanted is by change, then by domain.
        let mut by_change: Vec<Vec<Totals>> = vec![Vec::with_capacity(sessions.len()); changes.len()];
        for session in sessions {
            let phase = format!("top {percent} % off: {}", session.domain());
            let scores = session.evaluate_many(&changes, ctx, &mut |n| ctx.progress(phase.as_str(), done + n, total, "items"))?;
            by_change.iter_mut().zip(&scores).for_each(|(all, s)| all.push(Totals::of(s)));
            done += changes.len() * session.n_items();
        }
        let scores = by_change.remove(0);
        point(KPoint { percent, neurons, scores, controls: by_change })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::percentages;

    #[test]
    fn percentages_rise_and_lie_inside() {
        assert_eq!(percentages(&[10.0, 1.0, 10.0, 0.5]).expect("fine"), [0.5, 1.0, 10.0]);
        for bad in [&[][..], &[0.0], &[5.0, 101.0], &[f64::NAN]] {
            percentages(bad).expect_err("outside");
        }
    }
}
