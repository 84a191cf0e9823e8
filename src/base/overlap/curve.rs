//! Overlap against the share that is taken: the whole curve from one ranking of each map.

use super::null::{Chance, LnFactorials, Stratum, null_of_shared};
use crate::base::Grid;

/// From and to which share a curve goes, in percent, and how many it takes.
pub const SHARES: (f64, f64, usize) = (0.1, 50.0, 28);

/// Every cell's place in its map's ranking, strongest first.
pub struct Ranks {
    /// By map and flat index; the tie rule is that of `NeuronSet::top_count`. Cells that are no number stand last and are never taken.
    ranks: Vec<Vec<u32>>,
    n_layers: usize,
    d_mlp: usize,
}

/// `n` shares in percent from `from` to `to`, evenly on a logarithmic axis.
pub fn shares(from: f64, to: f64, n: usize) -> Vec<f64> {
    let step = (to / from).ln() / n.saturating_sub(1).max(1) as f64;
    (0..n).map(|i| from * (step * i as f64).exp()).collect()
}

impl Ranks {
    /// Of maps of one shape.
    pub fn new<'a>(maps: impl Iterator<Item = &'a Grid>) -> Self {
        let (mut n_layers, mut d_mlp) = (0, 0);
        let rank = |map: &Grid| {
            (n_layers, d_mlp) = (map.rows(), map.cols());
            let v = map.values();
            let mut order: Vec<u32> = (0..v.len() as u32).filter(|&i| v[i as usize].is_finite()).collect();
            order.sort_unstable_by(|a, b| v[*b as usize].total_cmp(&v[*a as usize]).then(a.cmp(b)));
            let mut ranks = vec![u32::MAX; v.len()];
            order.iter().enumerate().for_each(|(rank, &i)| ranks[i as usize] = rank as u32);
            ranks
        };
        let ranks = maps.map(rank).collect();
        Self { ranks, n_layers, d_mlp }
    }
    /// Neurons taken at each share, as `NeuronSet::top_percent` counts them.
    fn counts(&self, shares: &[f64]) -> Vec<usize> {
        let total = self.n_layers * self.d_mlp;
        shares.iter().map(|p| ((p / 100.0 * total as f64).round() as usize).clamp(usize::from(*p > 0.0), total)).collect()
    }
    /// For each share (ascending): how many ranks lie below its count, in each group of cells.
    fn below(ranks: impl Iterator<Item = (usize, u32)>, groups: usize, counts: &[usize]) -> Vec<Vec<usize>> {
        let mut all = vec![vec![0; groups]; counts.len()];
        for (group, rank) in ranks {
            let first = counts.partition_point(|&c| c <= rank as usize);
            if let Some(row) = all.get_mut(first) {
                row[group] += 1;
            }
        }
        for i in 1..all.len() {
            let (before, after) = all.split_at_mut(i);
            after[0].iter_mut().zip(&before[i - 1]).for_each(|(to, v)| *to += v);
        }
        all
    }
    fn by_layer(&self, map: usize, counts: &[usize]) -> Vec<Vec<usize>> {
        let width = self.d_mlp.max(1);
        Self::below(self.ranks[map].iter().enumerate().map(|(i, r)| (i / width, *r)), self.n_layers, counts)
    }
    /// Jaccard index of two maps' top shares, ascending; `None` where both are empty.
    pub fn jaccard(&self, a: usize, b: usize, shares: &[f64]) -> Vec<Option<f64>> {
        let counts = self.counts(shares);
        let single = |map: usize| Self::below(self.ranks[map].iter().map(|r| (0, *r)), 1, &counts);
        let both = Self::below(self.ranks[a].iter().zip(&self.ranks[b]).map(|(x, y)| (0, *x.max(y))), 1, &counts);
        let (of_a, of_b) = (single(a), single(b));
        (0..counts.len())
            .map(|i| {
                let any = of_a[i][0] + of_b[i][0] - both[i][0];
                (any > 0).then(|| both[i][0] as f64 / any as f64)
            })
            .collect()
    }
    /// What chance gives at each share, both sets with their own number of neurons in each layer.
    pub fn chance(&self, a: usize, b: usize, shares: &[f64]) -> Vec<Option<Chance>> {
        let counts = self.counts(shares);
        let f = LnFactorials::up_to(self.d_mlp);
        let (of_a, of_b) = (self.by_layer(a, &counts), self.by_layer(b, &counts));
        of_a.iter()
            .zip(&of_b)
            .map(|(a, b)| {
                let strata: Vec<Stratum> = a.iter().zip(b).map(|(&a, &b)| Stratum { n: self.d_mlp, a, b }).collect();
                null_of_shared(&strata, &f).jaccard(a.iter().sum(), b.iter().sum())
            })
            .collect()
    }
}

/// Indices of two maps, `a < b`, and their Jaccard index at every share.
pub type PairCurve = ((usize, usize), Vec<Option<f64>>);

/// Overlap at every share: each pair's, and what chance gives the named pair.
pub struct Curves {
    pub shares: Vec<f64>,
    pub pairs: Vec<PairCurve>,
    /// Of the forward pair.
    pub chance: Vec<Option<Chance>>,
}

impl Curves {
    pub fn new<'a>(maps: impl ExactSizeIterator<Item = &'a Grid>, forward: (usize, usize)) -> Self {
        let n = maps.len();
        let ranks = Ranks::new(maps);
        let shares = shares(SHARES.0, SHARES.1, SHARES.2);
        let all = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let pairs = all.map(|(a, b)| ((a, b), ranks.jaccard(a, b, &shares))).collect();
        let chance = ranks.chance(forward.0, forward.1, &shares);
        Self { shares, pairs, chance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{overlap::TopSets, rng::Rng};

    #[test]
    fn the_curve_is_what_the_top_sets_give_at_each_share() {
        let mut rng = Rng::new(2);
        let mut map = |ties: f64| {
            let mut v: Vec<f32> = (0..600).map(|_| ((rng.unit() * ties).floor() / ties) as f32).collect();
            v[17] = f32::NAN;
            Grid::new(6, 100, v).expect("grid")
        };
        let maps = [("a".to_owned(), map(1e6)), ("b".to_owned(), map(40.0))];
        let ranks = Ranks::new(maps.iter().map(|m| &m.1));
        let shares = shares(0.1, 50.0, 19);
        assert!((shares[0] - 0.1).abs() < 1e-12 && (shares[18] - 50.0).abs() < 1e-9);
        let (found, chance) = (ranks.jaccard(0, 1, &shares), ranks.chance(0, 1, &shares));
        for (i, &percent) in shares.iter().enumerate() {
            let top = TopSets::new(&maps, percent);
            assert_eq!(found[i], top.jaccard[1], "{percent} %");
            assert_eq!(chance[i], top.tests()[0].chance, "{percent} %");
        }
    }
}
