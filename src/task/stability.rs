//! Would other samples of the task have chosen the same neurons? Jaccard index of a top set and those of bootstrap resamples.

use crate::base::{
    Grid, Neuron, NeuronSet,
    neuron_set::top_cells,
    overlap::{LnFactorials, Stratum, null_of_shared},
    stats,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Among which neurons a share is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Of the whole model: layers compete.
    #[default]
    Global,
    /// Of each layer: every layer gives the same share.
    PerLayer,
}

impl Ranking {
    pub fn words(self) -> &'static str {
        match self {
            Self::Global => "of all neurons",
            Self::PerLayer => "of each layer's neurons",
        }
    }
}

/// The top `percent` % of a `[layer, d_mlp]` map. A layer gives at least one neuron where it is ranked by itself.
pub fn top(map: &Grid, percent: f64, ranking: Ranking) -> NeuronSet {
    let cols = map.cols().max(1) as u32;
    cells(map, percent, ranking).into_iter().map(|i| Neuron::new(i / cols, i % cols)).collect()
}

/// The same as places in the map, in no order.
fn cells(map: &Grid, percent: f64, ranking: Ranking) -> Vec<u32> {
    let (values, cols) = (map.values(), map.cols());
    match ranking {
        Ranking::Global => top_cells(values, NeuronSet::count_of(values.len(), percent)),
        Ranking::PerLayer => {
            let of_row =
                |l: usize| top_cells(map.row(l), NeuronSet::count_of(cols, percent)).into_iter().map(move |i| i + (l * cols) as u32);
            (0..map.rows()).flat_map(of_row).collect()
        }
    }
}

/// Shares at which stability is worked out.
pub const STABILITY_PERCENTS: [f64; 13] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// Of the top set of one share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    pub percent: f64,
    /// Neurons of the set.
    pub neurons: usize,
    /// Mean over the resamples of the Jaccard index of the set and the resample's set.
    pub mean: f64,
    /// 2.5 and 97.5 % quantile over the resamples.
    pub low: f64,
    pub high: f64,
    /// The same index for two random sets of this size (in each layer, where each is ranked by itself): its expected value.
    pub chance: f64,
}

/// `map`: the ranking by all samples; `draws`: those by bootstrap resamples of the samples, each `[layer, d_mlp]`. Empty without draws.
///
/// A resample shares about 63 % of its samples with the whole, so this is how far the set would move under other samples, seen from its middle; two
/// independent sets of samples would agree somewhat less.
pub fn stability(map: &Grid, draws: &[Grid], percents: &[f64], ranking: Ranking) -> Vec<Stability> {
    if draws.is_empty() {
        return Vec::new();
    }
    let table = LnFactorials::up_to(map.values().len());
    let one = |&percent: &f64| {
        let set = Bits::of(map, percent, ranking);
        let mut found: Vec<f64> = draws.par_iter().map(|draw| set.jaccard(&Bits::of(draw, percent, ranking))).collect();
        found.sort_by(f64::total_cmp);
        let strata: Vec<Stratum> = match ranking {
            Ranking::Global => vec![Stratum { n: map.values().len(), a: set.count, b: set.count }],
            Ranking::PerLayer => {
                let k = NeuronSet::count_of(map.cols(), percent);
                vec![Stratum { n: map.cols(), a: k, b: k }; map.rows()]
            }
        };
        let chance = null_of_shared(&strata, &table).jaccard(set.count, set.count).map_or(0.0, |c| c.expected);
        Some(Stability {
            percent,
            neurons: set.count,
            mean: stats::mean(&found)?,
            low: stats::quantile_sorted(&found, 0.025)?,
            high: stats::quantile_sorted(&found, 0.975)?,
            chance,
        })
    };
    percents.iter().filter_map(one).collect()
}

/// A set as bits: thousands of sets are compared.
struct Bits {
    words: Vec<u64>,
    count: usize,
}

impl Bits {
    fn of(map: &Grid, percent: f64, ranking: Ranking) -> Self {
        let mut words = vec![0u64; map.values().len().div_ceil(64)];
        let cells = cells(map, percent, ranking);
        cells.iter().for_each(|&i| words[i as usize / 64] |= 1 << (i % 64));
        Self { words, count: cells.len() }
    }
    fn jaccard(&self, other: &Self) -> f64 {
        let both: u32 = self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones()).sum();
        let any = self.count + other.count - both as usize;
        if any == 0 { 1.0 } else { f64::from(both) / any as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(values: &[f32]) -> Grid {
        Grid::new(2, 4, values.to_vec()).expect("grid")
    }

    #[test]
    fn layers_compete_or_each_gives_its_share() {
        let map = grid(&[9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(top(&map, 50.0, Ranking::Global).to_string(), "L0N0-3");
        assert_eq!(top(&map, 50.0, Ranking::PerLayer).to_string(), "L0N0-1,L1N2-3");
        assert_eq!(top(&map, 0.01, Ranking::PerLayer).to_string(), "L0N0,L1N3");
        assert_eq!(top(&map, 0.01, Ranking::Global).to_string(), "L0N0");
    }

    #[test]
    fn stability_is_the_mean_jaccard_of_the_resamples() {
        let map = grid(&[9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0]);
        // The same top four, three of them (3 shared of 5), and none.
        let draws = [map.clone(), grid(&[9.0, 8.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0]), grid(&[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0])];
        let found = stability(&map, &draws, &[50.0, 100.0], Ranking::Global);
        assert!((found[0].mean - (1.0 + 0.6 + 0.0) / 3.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found[0].neurons, found[1].mean, found[1].chance), (4, 1.0, 1.0));
        // Quantiles of 0, 0.6, 1 at 2.5 and 97.5 %: 0.05 of the way from the ends.
        assert!((found[0].low - 0.03).abs() < 1e-12 && (found[0].high - 0.98).abs() < 1e-12);
        // 4 of 8 twice: s shared in C(4, s) C(4, 4 - s) of 70 ways, and the index is then s / (8 - s).
        let chance = (16.0 / 7.0 + 36.0 * 2.0 / 6.0 + 16.0 * 3.0 / 5.0 + 1.0) / 70.0;
        assert!((found[0].chance - chance).abs() < 1e-12);
        assert!(stability(&map, &[], &[10.0], Ranking::Global).is_empty());
    }
}
