//! Whose neurons serve whom: every task scored with each task's own neurons off, with every other's, and with random ones; for several shares, and with
//! activations damped or amplified instead of removed.

use crate::{
    ablate::{EvalSession, Totals},
    base::{Ctx, Error, NeuronSet, Result, provenance::Provenance, stats},
    eval::{AblationMode, DomainScore, Intervention},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixPlan {
    /// Columns, and rows: the tasks and their sets.
    pub tasks: Vec<String>,
    /// By rising share.
    pub percents: Vec<f64>,
    /// Random sets beside each set.
    pub controls: usize,
    /// Activations times these, at the share with this index; empty: none.
    #[serde(default)]
    pub factors: Vec<f64>,
    #[serde(default)]
    pub scaled_at: usize,
    /// Random sets beside each scaled set.
    #[serde(default)]
    pub scaled_controls: usize,
}

/// One set's effect on one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    #[serde(flatten)]
    pub totals: Totals,
    /// Items that were right before and are wrong now, and the other way.
    pub lost: usize,
    pub gained: usize,
}

impl Cell {
    /// `before` and `after` are of the same items.
    pub fn of(before: &DomainScore, after: &DomainScore) -> Self {
        let pairs = || before.items.iter().zip(&after.items);
        let choices = before.acc().is_some();
        Self {
            totals: Totals::of(after),
            lost: if choices { pairs().filter(|(b, a)| b.correct && !a.correct).count() } else { 0 },
            gained: if choices { pairs().filter(|(b, a)| !b.correct && a.correct).count() } else { 0 },
        }
    }
    /// Accuracy less that with nothing off, with the 95 % interval of paired shares; `None` without choices.
    pub fn change(&self) -> Option<(f64, (f64, f64))> {
        let (n, correct) = (self.totals.n, self.totals.correct?);
        let both = correct.saturating_sub(self.gained);
        let neither = n.saturating_sub(both + self.lost + self.gained);
        let change = (self.gained as f64 - self.lost as f64) / n.max(1) as f64;
        Some((change, stats::paired_difference_95(both, self.lost, self.gained, neither)))
    }
    /// Wilson's 95 % interval of the accuracy.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.totals.correct.map(|c| stats::wilson_95(c, self.totals.n))
    }
}

/// A cell with its place.
pub type MeasuredCell = (CellId, Cell);

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// Index of the share.
    pub k: usize,
    /// Index of the factor; `None`: as the matrix itself is switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<usize>,
    /// Whose set.
    pub set: usize,
    /// The random set beside it; `None`: the set itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<usize>,
    /// Who is scored.
    pub task: usize,
}

impl MatrixPlan {
    /// Every cell, in the order in which they are measured: shares by the order given, then the factors.
    pub fn cells(&self) -> Vec<CellId> {
        let n = self.tasks.len();
        let of = |k: usize, factor: Option<usize>, seeds: usize| {
            (0..n).flat_map(move |task| {
                (0..n).flat_map(move |set| {
                    std::iter::once(None).chain((0..seeds).map(Some)).map(move |seed| CellId { k, factor, set, seed, task })
                })
            })
        };
        let mut all: Vec<CellId> = (0..self.percents.len()).flat_map(|k| of(k, None, self.controls)).collect();
        let changed = self.factors.iter().enumerate().filter(|(_, f)| **f != 1.0);
        all.extend(changed.flat_map(|(i, _)| of(self.scaled_at, Some(i), self.scaled_controls)));
        all
    }
}

/// As far as it is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskMatrix {
    pub plan: MatrixPlan,
    /// What the sets are: `top k % of all neurons by relevance, run 1`.
    pub sets: String,
    /// What becomes of the activations, in words: `set to 0 at every position`.
    pub switched: String,
    /// Neurons of each set: `[share][task]`.
    pub neurons: Vec<Vec<usize>>,
    /// With nothing off, by task.
    pub before: Vec<Totals>,
    /// Rows of each task that are not scored: they chose the neurons, or the user said so.
    pub left_out: Vec<usize>,
    pub cells: BTreeMap<CellId, Cell>,
    pub total: usize,
    pub provenance: Provenance,
}

impl TaskMatrix {
    pub fn get(&self, k: usize, set: usize, task: usize) -> Option<&Cell> {
        self.cells.get(&CellId { k, factor: None, set, seed: None, task })
    }
    /// Of the random sets beside a set, as far as they are measured.
    pub fn controls(&self, k: usize, set: usize, task: usize) -> Vec<Totals> {
        self.seeds(k, None, self.plan.controls, set, task)
    }
    fn seeds(&self, k: usize, factor: Option<usize>, n: usize, set: usize, task: usize) -> Vec<Totals> {
        (0..n).filter_map(|s| Some(self.cells.get(&CellId { k, factor, set, seed: Some(s), task })?.totals)).collect()
    }
    /// Mean and sample standard deviation of the random sets' accuracy.
    pub fn random(&self, k: usize, set: usize, task: usize) -> Option<(f64, Option<f64>)> {
        spread(self.controls(k, set, task).iter().filter_map(Totals::accuracy))
    }
    /// The same of their loss, in nat a token: all there is where a task has no choices.
    pub fn random_loss(&self, k: usize, set: usize, task: usize) -> Option<(f64, Option<f64>)> {
        spread(self.controls(k, set, task).iter().filter_map(|t| t.loss))
    }
    /// With the activations of a set times a factor: the set's cell (nothing changes at 1), and the random sets'.
    pub fn scaled(&self, factor: usize, set: usize, task: usize) -> (Option<Cell>, Option<(f64, Option<f64>)>) {
        if self.plan.factors.get(factor) == Some(&1.0) {
            let same = self.before.get(task).map(|&totals| Cell { totals, lost: 0, gained: 0 });
            return (same, same.and_then(|c| c.totals.accuracy()).map(|a| (a, None)));
        }
        let k = self.plan.scaled_at;
        let own = self.cells.get(&CellId { k, factor: Some(factor), set, seed: None, task }).copied();
        (own, spread(self.seeds(k, Some(factor), self.plan.scaled_controls, set, task).iter().filter_map(Totals::accuracy)))
    }
    /// Mean accuracy over tasks at one share: own set off, others' off (mean over them), random sets like the own off; `None` while one is missing.
    pub fn summary(&self, k: usize) -> Option<Summary> {
        let n = self.plan.tasks.len();
        let acc = |set: usize, task: usize| self.get(k, set, task)?.totals.accuracy();
        let (mut own, mut other, mut random, mut before) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for task in (0..n).filter(|&t| self.before.get(t).is_some_and(|b| b.accuracy().is_some())) {
            before.push(self.before[task].accuracy()?);
            own.push(acc(task, task)?);
            let others: Vec<f64> = (0..n).filter(|&s| s != task).map(|s| acc(s, task)).collect::<Option<_>>()?;
            other.extend(stats::mean(&others));
            random.extend(self.random(k, task, task).map(|r| r.0));
        }
        Some(Summary { before: stats::mean(&before)?, own: stats::mean(&own)?, other: stats::mean(&other), random: stats::mean(&random) })
    }
    pub fn done(&self) -> usize {
        self.cells.len()
    }
}

/// Means over tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub before: f64,
    pub own: f64,
    pub other: Option<f64>,
    pub random: Option<f64>,
}

fn spread(values: impl Iterator<Item = f64>) -> Option<(f64, Option<f64>)> {
    let all: Vec<f64> = values.collect();
    Some((stats::mean(&all)?, stats::std_dev(&all)))
}

/// Cells measured between two looks at the outside.
const CHUNK: usize = 8;

/// What a matrix is measured with.
pub struct MatrixWork<'a> {
    /// By task.
    pub sessions: &'a [Arc<EvalSession>],
    /// `[share][task]`
    pub sets: &'a [Vec<NeuronSet>],
    /// A set under the matrix's own mode, or times a factor.
    pub change: &'a dyn Fn(NeuronSet, Option<AblationMode>) -> Result<Intervention>,
    pub control: &'a dyn Fn(&NeuronSet, u64) -> NeuronSet,
}

/// Scores with nothing off, by task.
///
/// # Errors
/// Of the evaluation; when the work is cancelled.
pub fn baselines(sessions: &[Arc<EvalSession>], ctx: &Ctx<'_>) -> Result<Vec<DomainScore>> {
    let total: usize = sessions.iter().map(|s| s.n_items()).sum();
    let mut done = 0;
    let mut scores = Vec::with_capacity(sessions.len());
    for s in sessions {
        scores.push(s.evaluate(None, ctx, &mut |new| {
            done += new.len();
            ctx.progress(format!("scoring {}", s.domain()), done, total, "items");
        })?);
    }
    Ok(scores)
}

/// Measures the cells of the plan that `known` does not say are known; `measured` gets each few of them, and may end the work.
///
/// # Errors
/// Of the evaluation or `measured`; when the work is cancelled.
pub fn run(
    plan: &MatrixPlan,
    work: &MatrixWork<'_>,
    before: &[DomainScore],
    known: &dyn Fn(&CellId) -> bool,
    ctx: &Ctx<'_>,
    measured: &mut dyn FnMut(&[MeasuredCell]) -> Result<()>,
) -> Result<()> {
    let all = plan.cells();
    let items = |id: &CellId| work.sessions.get(id.task).map_or(0, |s| s.n_items());
    let total: usize = all.iter().map(items).sum();
    let open: Vec<CellId> = all.iter().filter(|id| !known(id)).copied().collect();
    let mut done = total - open.iter().map(items).sum::<usize>();
    for group in open.chunk_by(|a, b| (a.k, a.factor, a.task) == (b.k, b.factor, b.task)).flat_map(|g| g.chunks(CHUNK)) {
        ctx.check()?;
        let first = group[0];
        let (Some(session), Some(before)) = (work.sessions.get(first.task), before.get(first.task)) else {
            return Err(Error::invalid("a matrix needs a session and a score of every task"));
        };
        let factor = first.factor.and_then(|f| plan.factors.get(f));
        let mut changes = Vec::with_capacity(group.len());
        for id in group {
            let set =
                work.sets.get(id.k).and_then(|s| s.get(id.set)).ok_or_else(|| Error::invalid("a matrix needs a set of every task"))?;
            let set = id.seed.map_or_else(|| set.clone(), |seed| (work.control)(set, seed as u64));
            changes.push((work.change)(set, factor.map(|&f| AblationMode::Scale(f as f32)))?);
        }
        let how = factor
            .map_or_else(|| format!("top {} % off", plan.percents[first.k]), |f| format!("top {} % times {f}", plan.percents[first.k]));
        let phase = format!("{how}: {}", session.domain());
        let scores = session.evaluate_many(&changes, ctx, &mut |n| ctx.progress(phase.as_str(), done + n, total, "items"))?;
        let cells: Vec<MeasuredCell> = group.iter().zip(&scores).map(|(&id, after)| (id, Cell::of(before, after))).collect();
        measured(&cells)?;
        done += group.len() * session.n_items();
    }
    ctx.progress("scored", total, total, "items");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> MatrixPlan {
        MatrixPlan {
            tasks: vec!["a".into(), "b".into()],
            percents: vec![1.0, 10.0],
            controls: 2,
            factors: vec![0.5, 1.0, 2.0],
            scaled_at: 1,
            scaled_controls: 1,
        }
    }

    fn cell(correct: usize) -> Cell {
        Cell { totals: Totals { n: 10, correct: Some(correct), margin: None, loss: None }, lost: 9 - correct.min(9), gained: 0 }
    }

    fn matrix() -> TaskMatrix {
        let before = vec![Totals { n: 10, correct: Some(9), margin: None, loss: None }; 2];
        TaskMatrix {
            total: plan().cells().len(),
            plan: plan(),
            sets: String::new(),
            switched: String::new(),
            neurons: vec![vec![1, 1], vec![10, 10]],
            before,
            left_out: vec![0, 0],
            cells: BTreeMap::new(),
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn a_plan_has_every_set_on_every_task_and_leaves_out_what_changes_nothing() {
        let cells = plan().cells();
        // Two shares: 2 sets x 3 x 2 tasks; two factors that change something: 2 sets x 2 x 2 tasks.
        assert_eq!(cells.len(), 2 * 12 + 2 * 8);
        let mut unique = cells.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), cells.len());
        assert!(cells.iter().all(|c| c.factor != Some(1)));
        // Two neighbours share share, factor and task as long as they can: their residuals are read once.
        assert_eq!(cells.chunk_by(|a, b| (a.k, a.factor, a.task) == (b.k, b.factor, b.task)).count(), 2 * 2 + 2 * 2);
    }

    #[test]
    fn means_over_tasks_wait_until_every_set_is_measured() {
        let mut m = matrix();
        let id = |set, seed, task| CellId { k: 1, factor: None, set, seed, task };
        for task in 0..2 {
            for set in 0..2 {
                assert_eq!(m.summary(1), None);
                m.cells.insert(id(set, None, task), cell(if set == task { 3 } else { 8 }));
            }
            m.cells.insert(id(task, Some(0), task), cell(7));
            m.cells.insert(id(task, Some(1), task), cell(9));
        }
        let s = m.summary(1).expect("all there");
        assert!((s.before - 0.9).abs() < 1e-12 && (s.own - 0.3).abs() < 1e-12);
        assert!((s.other.expect("others") - 0.8).abs() < 1e-12 && (s.random.expect("random") - 0.8).abs() < 1e-12);
        let (mean, sd) = m.random(1, 0, 0).expect("two seeds");
        assert!((mean - 0.8).abs() < 1e-12 && (sd.expect("sd") - 0.02f64.sqrt()).abs() < 1e-12);
        for (seed, loss) in [(0, 3.0), (1, 4.0)] {
            m.cells.get_mut(&id(0, Some(seed), 0)).expect("measured").totals.loss = Some(loss);
        }
        assert_eq!(m.random_loss(1, 0, 0), Some((3.5, Some(0.5f64.sqrt()))));
        assert_eq!(m.random_loss(1, 1, 0), None);
    }

    #[test]
    fn a_factor_of_one_is_the_model_as_it_is() {
        let m = matrix();
        let (same, random) = m.scaled(1, 0, 1);
        assert_eq!((same.expect("known").totals.correct, random.expect("known").0), (Some(9), 0.9));
        assert_eq!(m.scaled(0, 0, 1).0, None);
    }

    #[test]
    fn a_change_counts_lost_and_gained_items() {
        let c = Cell { totals: Totals { n: 100, correct: Some(50), margin: None, loss: None }, lost: 45, gained: 5 };
        let (change, (low, high)) = c.change().expect("choices");
        assert!((change + 0.4).abs() < 1e-12 && low < -0.4 && -0.4 < high);
        // 45 right in both, 45 only before, 5 only after, 5 in neither.
        assert_eq!((low, high), stats::paired_difference_95(45, 45, 5, 5));
    }
}
