//! How many neurons are worth taking: a task's accuracy with more and more of its own neurons off, on rows that did not choose them, and its knee.

use super::{Ranking, knee::Knee, knee::knee, stability::top};
use crate::{
    ablate::{EvalSession, KPoint, Totals, against_k},
    base::{Ctx, Grid, NeuronSet, Result},
    eval::Intervention,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Shares that a curve is measured at unless others are asked for.
pub const CURVE_PERCENTS: [f64; 9] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KneeCurve {
    pub task: String,
    /// Which rows were scored, in words.
    pub rows: String,
    /// Their lines in the task's file: a choice of k by them is a choice on them.
    pub lines: Vec<usize>,
    pub baseline: Totals,
    /// By rising share, as far as they are measured; one domain, the task's own.
    pub points: Vec<KPoint>,
    /// Once all points are there.
    pub knee: Option<Knee>,
}

impl KneeCurve {
    /// `(percent, value)`: accuracy, or minus the loss (nat a token) where the task has no choices.
    pub fn values(&self) -> Vec<(f64, f64)> {
        self.points.iter().filter_map(|p| Some((p.percent, value(p.scores.first()?)?))).collect()
    }
    /// The same for random sets, mean over seeds.
    pub fn random(&self) -> Vec<(f64, f64)> {
        let mean = |p: &KPoint| {
            let all: Vec<f64> = p.controls.iter().filter_map(|c| value(c.first()?)).collect();
            Some((p.percent, crate::base::stats::mean(&all)?))
        };
        self.points.iter().filter_map(mean).collect()
    }
    pub fn has_accuracy(&self) -> bool {
        self.baseline.accuracy().is_some()
    }
    /// What a difference of two accuracies of so many rows may be by chance, at 95 %. 0 for losses.
    fn noise(&self) -> f64 {
        let p = self.baseline.accuracy().map_or(0.0, |p| p.clamp(0.05, 0.95));
        1.96 * (2.0 * p * (1.0 - p) / self.baseline.n.max(1) as f64).sqrt()
    }
    /// Sets the knee from the points that are there. The whole model is one of them, a step before the smallest share, since 0 has no place on a
    /// logarithmic axis: accuracy that is gone with the first neurons has its bend there.
    pub fn conclude(&mut self) {
        let mut points = self.values();
        if let (Some(whole), [first, second, ..]) = (value(&self.baseline), &points[..]) {
            points.insert(0, (first.0 * first.0 / second.0, whole));
        }
        // How far a loss falls by chance is not known from one baseline: without accuracy no k is suggested.
        self.knee = if self.has_accuracy() { knee(&points, self.noise()) } else { None };
    }
    /// The bend lies at the smallest share that was measured, or before it.
    pub fn bends_at_smallest(&self) -> bool {
        self.knee.is_some_and(|k| self.points.first().is_some_and(|p| p.percent == k.percent))
    }
}

fn value(t: &Totals) -> Option<f64> {
    t.accuracy().or_else(|| t.loss.map(|l| -l))
}

/// Measures the points of `curve` one after another; `heard` gets it after each, with its knee at the end.
///
/// # Errors
/// Of `change` and the evaluation; when the work is cancelled.
#[expect(clippy::too_many_arguments, reason = "what is switched, where it is measured, and who hears of it")]
pub fn measure(
    curve: &mut KneeCurve,
    session: &Arc<EvalSession>,
    map: &Grid,
    ranking: Ranking,
    (percents, seeds): (&[f64], &[u64]),
    change: &dyn Fn(NeuronSet) -> Result<Intervention>,
    control: &dyn Fn(&NeuronSet, u64) -> NeuronSet,
    ctx: &Ctx<'_>,
    heard: &mut dyn FnMut(&KneeCurve),
) -> Result<()> {
    let take = |percent: f64| top(map, percent, ranking);
    against_k::run(std::slice::from_ref(session), &take, percents, seeds, change, control, ctx, &mut |point| {
        curve.points.push(point);
        heard(curve);
        Ok(())
    })?;
    curve.conclude();
    heard(curve);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(correct: usize) -> Totals {
        Totals { n: 100, correct: Some(correct), margin: None, loss: Some(1.0) }
    }

    fn curve(correct: &[usize]) -> KneeCurve {
        let points = [1.0, 3.0, 10.0, 30.0].iter().zip(correct).map(|(&percent, &c)| KPoint {
            percent,
            neurons: 1,
            scores: vec![totals(c)],
            controls: vec![vec![totals(90)], vec![totals(80)]],
        });
        let points = points.collect();
        KneeCurve { task: "a".into(), rows: "all".into(), lines: vec![], baseline: totals(95), points, knee: None }
    }

    #[test]
    fn the_knee_needs_a_fall_beyond_chance() {
        let mut falls = curve(&[90, 40, 35, 30]);
        falls.conclude();
        assert_eq!(falls.knee.expect("a fall").percent, 3.0);
        assert!((falls.random()[0].1 - 0.85).abs() < 1e-12);
        // At 95 % right of 100 a difference of 6 % may be chance: 1.96 sqrt(2 * 0.0475 / 100) = 0.060.
        let mut flat = curve(&[95, 93, 92, 92]);
        flat.conclude();
        assert_eq!(flat.knee, None);
    }

    #[test]
    fn an_accuracy_that_is_gone_with_the_first_neurons_bends_there() {
        // From the first point on it falls by no more than chance would; from the whole model by far more.
        let mut gone = curve(&[31, 30, 28, 27]);
        gone.conclude();
        assert_eq!(gone.knee.expect("the first neurons").percent, 1.0);
        assert!(gone.bends_at_smallest());
        let mut later = curve(&[90, 40, 35, 30]);
        later.conclude();
        assert!(!later.bends_at_smallest());
    }
}
