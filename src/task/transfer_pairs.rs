//! From trained and judged tasks to pairs, correlations and the curve of the proportion study.

use super::{Spread, TransferState, measures};
use crate::base::{
    mantel::{Correlation, correlate},
    stats,
};
use serde::{Deserialize, Serialize};

/// What a pair of tasks is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accuracy on the other task minus that of the model as it was: what learning the one did to the other.
    #[default]
    Gain,
    /// Accuracy on the other task: the paper's out-of-domain score.
    Score,
}

impl Outcome {
    pub const ALL: [Self; 2] = [Self::Gain, Self::Score];
    pub fn words(self) -> &'static str {
        match self {
            Self::Gain => "change of the accuracy on the other task",
            Self::Score => "accuracy on the other task",
        }
    }
}

/// One task learnt, another judged. Means over [`TransferState::pair_seeds`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Places in the list of tasks.
    pub learnt: usize,
    pub judged: usize,
    /// Jaccard index of the two sets.
    pub overlap: f64,
    /// By layer.
    pub similarity: Vec<Option<f64>>,
    /// Accuracy on the judged task, and its change.
    pub score: f64,
    pub gain: f64,
}

impl Pair {
    pub fn outcome(&self, outcome: Outcome) -> f64 {
        match outcome {
            Outcome::Gain => self.gain,
            Outcome::Score => self.score,
        }
    }
    /// Mean over the layers where it is defined.
    pub fn mean_similarity(&self) -> Option<f64> {
        stats::mean(&self.similarity.iter().flatten().copied().collect::<Vec<_>>())
    }
}

/// Accuracy against the share that trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    pub percent: f64,
    /// On the task that was learnt, and on all others; means over tasks, spread over seeds.
    pub inside: Option<Spread>,
    pub outside: Option<Spread>,
    /// Of all of it: those with which every task is trained and judged at this share; before the first is, that alone with which it began.
    pub seeds: Vec<u64>,
    /// By task: on itself, and the mean on the others.
    pub by_task: Vec<(Option<f64>, Option<f64>)>,
}

impl TransferState {
    /// Seeds that means at a share are over: those with which every task is trained and judged; before the first is, that alone with which it began.
    fn seeds_at(&self, percent: f64) -> Vec<u64> {
        let whole = |u: &super::TransferUnit| u.cells.iter().all(Option::is_some);
        let unit = move |seed: u64, i: usize| self.unit(seed, percent, i);
        let tasks = 0..self.rows.len();
        measures::mean_seeds(
            &self.config.seeds,
            |s| tasks.clone().all(|i| unit(s, i).is_some_and(whole)),
            |s| tasks.clone().any(|i| unit(s, i).is_some()),
        )
    }
    /// The seeds that the pairs are means over.
    pub fn pair_seeds(&self) -> Vec<u64> {
        self.seeds_at(self.config.percent)
    }

    /// Every ordered pair that is measured.
    pub fn pairs(&self) -> Vec<Pair> {
        let n = self.rows.len();
        let (percent, seeds) = (self.config.percent, self.pair_seeds());
        let units = |i: usize| seeds.iter().filter_map(move |&s| self.unit(s, percent, i));
        let pair = |i: usize, j: usize| {
            let scores: Vec<f64> = units(i).filter_map(|u| u.cells[j]).map(|s| s.accuracy()).collect();
            let score = stats::mean(&scores)?;
            let at = |l: usize| {
                let values: Vec<f64> = units(i).filter_map(|u| *u.similarity.get(j)?.get(l)?).collect();
                stats::mean(&values)
            };
            Some(Pair {
                learnt: i,
                judged: j,
                overlap: *self.overlap.get(i)?.get(j)?,
                similarity: (0..self.n_layers).map(at).collect(),
                score,
                gain: score - self.before[j]?.accuracy(),
            })
        };
        (0..n).flat_map(|i| (0..n).filter(move |j| i != *j).map(move |j| (i, j))).filter_map(|(i, j)| pair(i, j)).collect()
    }

    /// Of a quantity of the pairs with the outcome; `None` while a pair is missing, or where one side is undefined or does not vary.
    pub fn correlation(&self, pairs: &[Pair], outcome: Outcome, x: impl Fn(&Pair) -> Option<f64>) -> Option<Correlation> {
        let n = self.rows.len();
        let (mut xs, mut ys) = (vec![f64::NAN; n * n], vec![f64::NAN; n * n]);
        for p in pairs {
            let at = p.learnt * n + p.judged;
            (xs[at], ys[at]) = (x(p).unwrap_or(f64::NAN), p.outcome(outcome));
        }
        correlate(n, &xs, &ys, self.config.tune.seed)
    }

    /// Accuracies against the share that trains, by rising share.
    pub fn proportions(&self) -> Vec<Proportion> {
        let n = self.rows.len();
        let mut shares = self.config.shares();
        shares.sort_by(f64::total_cmp);
        let own = |u: &super::TransferUnit| u.cells[u.task].map(|s| s.accuracy());
        let other = |u: &super::TransferUnit| {
            let scores: Option<Vec<f64>> =
                u.cells.iter().enumerate().filter(|(j, _)| *j != u.task).map(|(_, s)| s.map(|s| s.accuracy())).collect();
            stats::mean(&scores?)
        };
        let at = |percent: f64| {
            let seeds = self.seeds_at(percent);
            // Of a seed the mean over all tasks, once all are there.
            let of = |value: &dyn Fn(&super::TransferUnit) -> Option<f64>| {
                let seed = |seed: u64| {
                    let all = (0..n).map(|i| value(self.unit(seed, percent, i)?)).collect::<Option<Vec<f64>>>();
                    stats::mean(&all?)
                };
                measures::Spread::of(&seeds.iter().filter_map(|&s| seed(s)).collect::<Vec<_>>())
            };
            let task = |i: usize, value: &dyn Fn(&super::TransferUnit) -> Option<f64>| {
                stats::mean(&seeds.iter().filter_map(|&s| value(self.unit(s, percent, i)?)).collect::<Vec<_>>())
            };
            Proportion {
                percent,
                inside: of(&own),
                outside: of(&other),
                seeds: seeds.clone(),
                by_task: (0..n).map(|i| (task(i, &own), task(i, &other))).collect(),
            }
        };
        shares.into_iter().map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::provenance::Provenance,
        task::{RowCounts, Score, TransferConfig, TransferUnit},
    };

    /// Three tasks, two seeds; the cell of learning i and judging j is `10 i + j` (+ 2 with the second seed) of 100.
    fn study() -> TransferState {
        let rows =
            ["a", "b", "c"].map(|name| RowCounts { name: name.into(), train: 9, validation: 9, test: 100, cut: 0, words: String::new() });
        let config = TransferConfig { percent: 10.0, percents: vec![50.0], seeds: vec![0, 1], ..TransferConfig::default() };
        let mut state = TransferState::new("k".into(), rows.to_vec(), 2, config, Provenance::default());
        let score = |correct: usize| Some(Score { n: 100, correct, loss: 1.0 });
        state.before = vec![score(5); 3];
        state.overlap = vec![vec![1.0, 0.2, 0.3], vec![0.2, 1.0, 0.4], vec![0.3, 0.4, 1.0]];
        for seed in 0..2 {
            for task in 0..3 {
                state.units.push(TransferUnit {
                    seed,
                    percent: 10.0,
                    task,
                    cells: (0..3).map(|j| score(10 * task + j + 2 * seed as usize)).collect(),
                    neurons: 4,
                    trained: 4,
                    steps: 1,
                    best_step: 1,
                    seconds: 0.0,
                    similarity: (0..3).map(|j| vec![Some(0.1 * (task + j) as f64), None]).collect(),
                });
            }
        }
        state
    }

    #[test]
    fn pairs_are_means_over_seeds() {
        let pairs = study().pairs();
        assert_eq!(pairs.len(), 6);
        let p = &pairs[2];
        assert_eq!((p.learnt, p.judged, p.overlap), (1, 0, 0.2));
        // 10 and 12 of 100, from 5.
        assert!((p.score - 0.11).abs() < 1e-12 && (p.gain - 0.06).abs() < 1e-12);
        assert_eq!(p.similarity, [Some(0.1), None]);
        assert_eq!(p.mean_similarity(), Some(0.1));
    }

    #[test]
    fn a_mean_is_over_seeds_that_are_whole_and_mixes_none() {
        let mut state = study();
        assert_eq!(state.pair_seeds(), [0, 1]);
        // The second seed has not judged one pair: no pair counts it.
        state.unit_mut(1, 10.0, 2).expect("unit").cells[0] = None;
        assert_eq!(state.pair_seeds(), [0]);
        let pairs = state.pairs();
        assert!(pairs.len() == 6 && (pairs[2].score - 0.10).abs() < 1e-12, "{pairs:?}");
        let points = state.proportions();
        assert!((points[0].by_task[2].0.expect("there") - 0.22).abs() < 1e-12 && points[0].seeds == [0]);
        assert_eq!((points[0].inside.expect("there").seeds, points[0].outside.expect("there").seeds), (1, 1));
        // Before a seed is whole the first that began is told, as far as it is.
        state.unit_mut(0, 10.0, 1).expect("unit").cells[0] = None;
        assert_eq!(state.pair_seeds(), [0]);
        let pairs = state.pairs();
        assert!(pairs.len() == 5 && !pairs.iter().any(|p| (p.learnt, p.judged) == (1, 0)), "{pairs:?}");
        assert_eq!(measures::seeds_words(&state.pair_seeds(), &state.config.seeds), "seed 0 of 0, 1");
        assert_eq!(measures::seeds_words(&[0, 1], &[0, 1]), "mean over seeds 0, 1");
    }

    #[test]
    fn a_correlation_needs_every_pair_and_a_defined_quantity() {
        let state = study();
        let pairs = state.pairs();
        let c = state.correlation(&pairs, Outcome::Gain, |p| Some(p.overlap)).expect("complete");
        assert_eq!((c.pairs, c.permutations), (6, 6));
        assert_eq!(state.correlation(&pairs, Outcome::Gain, |p| p.similarity[1]), None);
        assert_eq!(state.correlation(&pairs[1..], Outcome::Gain, |p| Some(p.overlap)), None);
        // A constant baseline moves no correlation.
        assert!((state.correlation(&pairs, Outcome::Score, |p| Some(p.overlap)).expect("complete").pearson - c.pearson).abs() < 1e-9);
    }

    #[test]
    fn the_curve_has_a_point_for_every_share_that_is_measured() {
        let points = study().proportions();
        assert_eq!(points.iter().map(|p| p.percent).collect::<Vec<_>>(), [10.0, 50.0]);
        // On itself 0, 11 and 22 (and 2 more), mean 11 and 13 of 100.
        let inside = points[0].inside.expect("there");
        assert!((inside.mean - 0.12).abs() < 1e-12 && inside.seeds == 2);
        // On others (1 + 2 + 10 + 12 + 20 + 21) / 6 = 11 and 13.
        assert!((points[0].outside.expect("there").mean - 0.12).abs() < 1e-12);
        assert!((points[0].by_task[2].0.expect("there") - 0.23).abs() < 1e-12);
        assert_eq!((points[1].inside, points[1].by_task[0]), (None, (None, None)));
    }
}
