//! From a matrix of accuracies to the figures of a sequence of tasks.
//!
//! `matrix[i][j]` is the accuracy on task j after task i was learnt, `before[j]` that of the model as it was; A_j = `matrix[j][j]`, right after learning.
//! Sources: Leng and Xiong, arXiv 2407.06488 (average, FG); Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017 (forward transfer).

use crate::base::stats;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Mean accuracy over the tasks after the last one; of one model a task, of each task's own model.
    pub average: f64,
    /// Mean of A_j: how well each task was learnt when its turn came.
    pub learnt: f64,
    /// `FG_j = mean over earlier tasks i < j of (accuracy on i after j) / A_i` for each task j from the second on: the share that is left, 1 where
    /// nothing was forgotten. Empty for one task, and for one model a task.
    pub kept: Vec<Option<f64>>,
    /// The last FG_j: after all tasks.
    pub kept_last: Option<f64>,
    /// Mean over all but the last task of A_i minus the accuracy on i after the last one, as a share of the questions.
    pub lost: Option<f64>,
    /// Mean over tasks j from the second on of (accuracy on j just before it is learnt) minus `before[j]`.
    pub forward: Option<f64>,
    /// Mean accuracy after the last task on domains that were never learnt.
    pub others: Option<f64>,
}

/// One of the figures by which methods are compared, as tables and documents call it.
pub struct Figure {
    pub id: &'static str,
    /// Head of a column, with its unit.
    pub label: &'static str,
    pub words: &'static str,
    /// Written as a share; else in percent or points.
    pub share: bool,
    pub of: fn(&Measures) -> Option<f64>,
}

pub const FIGURES: [Figure; 6] = [
    Figure {
        id: "average",
        label: "average, %",
        words: "Mean accuracy over the tasks after the last one, %",
        share: false,
        of: |m| Some(m.average),
    },
    Figure {
        id: "learnt",
        label: "when learnt, %",
        words: "Mean accuracy of each task right after it was learnt, %",
        share: false,
        of: |m| Some(m.learnt),
    },
    Figure {
        id: "kept",
        label: "kept (FG)",
        words: "FG after the last task: mean over earlier tasks of accuracy / accuracy right after learning; 1 is nothing forgotten",
        share: true,
        of: |m| m.kept_last,
    },
    Figure {
        id: "lost",
        label: "lost, points",
        words: "Mean over earlier tasks of accuracy right after learning minus accuracy after the last task, points",
        share: false,
        of: |m| m.lost,
    },
    Figure {
        id: "forward",
        label: "forward, points",
        words: "Accuracy on a task just before it is learnt minus that of the model as it was, points",
        share: false,
        of: |m| m.forward,
    },
    Figure {
        id: "others",
        label: "others, %",
        words: "Mean accuracy on the domains that were never learnt, %",
        share: false,
        of: |m| m.others,
    },
];

impl Figure {
    /// `41.3 ± 2.0`, `0.913 ± 0.004`; a dash where there is none.
    pub fn text(&self, spread: Option<Spread>) -> String {
        let (scale, decimals) = if self.share { (1.0, 3) } else { (100.0, 1) };
        spread.map_or_else(
            || "–".to_owned(),
            |s| {
                let sd = s.sd.map_or(String::new(), |sd| format!(" ± {:.decimals$}", scale * sd));
                format!("{:.decimals$}{sd}", scale * s.mean)
            },
        )
    }
}

/// `matrix` is `[tasks][tasks and other domains]`, `before` as long as a row. `separate`: each row is a model of its own. `None` while a cell is missing.
pub fn measures(before: &[Option<f64>], matrix: &[Vec<Option<f64>>], n_tasks: usize, separate: bool) -> Option<Measures> {
    if n_tasks == 0 || matrix.len() < n_tasks {
        return None;
    }
    let at = |i: usize, j: usize| matrix[i].get(j).copied().flatten();
    let own = (0..n_tasks).map(|i| at(i, i)).collect::<Option<Vec<f64>>>()?;
    let learnt = stats::mean(&own)?;
    let rows = (0..n_tasks).map(|i| (0..before.len()).map(|j| at(i, j)).collect::<Option<Vec<f64>>>()).collect::<Option<Vec<_>>>()?;
    let last = n_tasks - 1;
    let others = |row: &Vec<f64>| stats::mean(&row[n_tasks..]);
    if separate {
        // Each model on the domains that nobody learnt.
        let all: Vec<f64> = rows.iter().filter_map(others).collect();
        return Some(Measures {
            average: learnt,
            learnt,
            kept: Vec::new(),
            kept_last: None,
            lost: None,
            forward: None,
            others: stats::mean(&all),
        });
    }
    let share = |j: usize| {
        let shares: Vec<f64> = (0..j).filter(|&i| own[i] > 0.0).map(|i| rows[j][i] / own[i]).collect();
        stats::mean(&shares)
    };
    let kept: Vec<Option<f64>> = (1..n_tasks).map(share).collect();
    let lost: Vec<f64> = (0..last).map(|i| own[i] - rows[last][i]).collect();
    let forward = (1..n_tasks).map(|j| Some(rows[j - 1][j] - (*before.get(j)?)?)).collect::<Option<Vec<f64>>>()?;
    Some(Measures {
        average: stats::mean(&rows[last][..n_tasks])?,
        learnt,
        kept_last: kept.last().copied().flatten(),
        kept,
        lost: stats::mean(&lost),
        forward: stats::mean(&forward),
        others: others(&rows[last]),
    })
}

/// Seeds that a mean is over, so that no two of its numbers are of different ones: all that are `whole`; before the first is, the first that has begun.
pub fn mean_seeds(seeds: &[u64], whole: impl Fn(u64) -> bool, begun: impl Fn(u64) -> bool) -> Vec<u64> {
    let all: Vec<u64> = seeds.iter().copied().filter(|s| whole(*s)).collect();
    if all.is_empty() { seeds.iter().copied().find(|s| begun(*s)).into_iter().collect() } else { all }
}

/// `seed 0`, `mean over seeds 0, 1`, `mean over seeds 0, 1 of 0, 1, 2`.
pub fn seeds_words(of: &[u64], all: &[u64]) -> String {
    let list = |seeds: &[u64]| seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let what = if of.len() == 1 { format!("seed {}", list(of)) } else { format!("mean over seeds {}", list(of)) };
    if of.len() == all.len() { what } else { format!("{what} of {}", list(all)) }
}

/// A figure over repeated seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f64,
    /// Sample standard deviation; `None` of one seed.
    pub sd: Option<f64>,
    pub seeds: usize,
}

impl Spread {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self { mean: stats::mean(values)?, sd: stats::std_dev(values), seeds: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(rows: &[&[f64]]) -> Vec<Vec<Option<f64>>> {
        rows.iter().map(|r| r.iter().map(|v| Some(*v)).collect()).collect()
    }

    #[test]
    fn three_tasks_by_hand() {
        let before = [Some(0.2), Some(0.3), Some(0.4), Some(0.5)];
        // The fourth column is never learnt.
        let matrix = some(&[&[0.8, 0.5, 0.4, 0.5], &[0.4, 0.9, 0.6, 0.4], &[0.6, 0.45, 1.0, 0.3]]);
        let m = measures(&before, &matrix, 3, false).expect("complete");
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(m.average, (0.6 + 0.45 + 1.0) / 3.0);
        near(m.learnt, 0.9);
        // After the second task: 0.4 of 0.8. After the third: mean of 0.6 / 0.8 and 0.45 / 0.9.
        near(m.kept[0].expect("kept"), 0.5);
        near(m.kept[1].expect("kept"), (0.75 + 0.5) / 2.0);
        near(m.kept_last.expect("last"), 0.625);
        near(m.lost.expect("lost"), (0.2 + 0.45) / 2.0);
        // 0.5 - 0.3 and 0.6 - 0.4.
        near(m.forward.expect("forward"), 0.2);
        near(m.others.expect("others"), 0.3);
    }

    #[test]
    fn nothing_forgotten_keeps_all() {
        let m = measures(&[Some(0.5), Some(0.5)], &some(&[&[0.9, 0.5], &[0.9, 0.8]]), 2, false).expect("complete");
        assert_eq!((m.kept, m.lost, m.forward, m.others), (vec![Some(1.0)], Some(0.0), Some(0.0), None));
    }

    #[test]
    fn one_model_a_task_has_no_forgetting_and_missing_cells_no_figures() {
        let matrix = some(&[&[0.9, 0.1], &[0.2, 0.7]]);
        let m = measures(&[Some(0.5), Some(0.5)], &matrix, 2, true).expect("complete");
        assert!((m.average - 0.8).abs() < 1e-12 && m.kept.is_empty() && m.lost.is_none());
        let mut holes = matrix;
        holes[1][0] = None;
        assert_eq!(measures(&[Some(0.5), Some(0.5)], &holes, 2, false), None);
        assert_eq!(measures(&[Some(0.5), Some(0.5)], &holes[..1], 2, false), None);
        let one = measures(&[Some(0.5)], &some(&[&[0.9]]), 1, false).expect("complete");
        assert_eq!((one.average, one.kept_last, one.lost, one.forward), (0.9, None, None, None));
    }

    #[test]
    fn a_spread_says_how_many() {
        assert_eq!(Spread::of(&[1.0, 3.0]), Some(Spread { mean: 2.0, sd: Some(std::f64::consts::SQRT_2), seeds: 2 }));
        assert_eq!(Spread::of(&[1.0]).and_then(|s| s.sd), None);
        assert_eq!(Spread::of(&[]), None);
    }
}
