//! Top shares of several maps and what they have in common.

use super::null::{Chance, LnFactorials, Stratum, holm, ln_p_at_least, null_of_shared};
use crate::base::{Grid, Neuron, NeuronSet};

/// The top `percent` % of each map, as ascending flat indices (`layer * d_mlp + neuron`).
#[derive(Clone, Debug, PartialEq)]
pub struct TopSets {
    pub names: Vec<String>,
    pub sets: Vec<Vec<u32>>,
    pub n_layers: usize,
    pub d_mlp: usize,
    /// Row-major Jaccard index of every pair; `None` where both sets are empty.
    pub jaccard: Vec<Option<f64>>,
}

/// Two sets' overlap against chance, both with their own number of neurons in each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairTest {
    pub a: usize,
    pub b: usize,
    pub shared: usize,
    /// Of the Jaccard index; `None` where both sets are empty.
    pub chance: Option<Chance>,
    /// Natural logarithm of the probability of sharing at least as many by chance.
    pub ln_p: f64,
    /// The same after Holm's adjustment for all pairs.
    pub ln_p_holm: f64,
}

impl TopSets {
    pub fn new(maps: &[(String, Grid)], percent: f64) -> Self {
        let (n_layers, d_mlp) = maps.first().map_or((0, 0), |(_, g)| (g.rows(), g.cols()));
        let sets = maps.iter().map(|(n, g)| (n.clone(), NeuronSet::top_percent(g, percent)));
        Self::of(sets, n_layers, d_mlp)
    }
    /// Of sets that are there.
    pub fn of(named: impl Iterator<Item = (String, NeuronSet)>, n_layers: usize, d_mlp: usize) -> Self {
        let flat = |n: Neuron| n.layer * d_mlp as u32 + n.index;
        let (names, sets): (Vec<String>, Vec<Vec<u32>>) = named.map(|(name, set)| (name, set.iter().map(flat).collect())).unzip();
        let mut jaccard = Vec::with_capacity(sets.len() * sets.len());
        for a in &sets {
            for b in &sets {
                let both = shared(a, b).count();
                let any = a.len() + b.len() - both;
                jaccard.push((any > 0).then(|| both as f64 / any as f64));
            }
        }
        Self { names, sets, n_layers, d_mlp, jaccard }
    }
    pub fn neuron(&self, flat: u32) -> Neuron {
        let cols = self.d_mlp.max(1) as u32;
        Neuron::new(flat / cols, flat % cols)
    }
    fn by_layer_count(&self, flat: impl Iterator<Item = u32>) -> Vec<usize> {
        let mut n = vec![0_usize; self.n_layers];
        flat.for_each(|i| n[i as usize / self.d_mlp.max(1)] += 1);
        n
    }
    /// Neurons of a set in each layer.
    pub fn layer_sizes(&self, set: usize) -> Vec<usize> {
        self.by_layer_count(self.sets[set].iter().copied())
    }
    /// Jaccard index inside each layer; `None` where neither set has a neuron.
    pub fn by_layer(&self, a: usize, b: usize) -> Vec<Option<f64>> {
        let (of_a, of_b) = (self.layer_sizes(a), self.layer_sizes(b));
        let both = self.by_layer_count(shared(&self.sets[a], &self.sets[b]));
        let per = |l: usize| {
            let any = of_a[l] + of_b[l] - both[l];
            (any > 0).then(|| both[l] as f64 / any as f64)
        };
        (0..self.n_layers).map(per).collect()
    }
    /// How many neurons each of two sets has in each layer.
    pub fn strata(&self, a: usize, b: usize) -> Vec<Stratum> {
        let (of_a, of_b) = (self.layer_sizes(a), self.layer_sizes(b));
        of_a.into_iter().zip(of_b).map(|(a, b)| Stratum { n: self.d_mlp, a, b }).collect()
    }
    /// What chance gives inside each layer.
    pub fn chance_by_layer(&self, a: usize, b: usize) -> Vec<Option<Chance>> {
        let f = LnFactorials::up_to(self.d_mlp);
        let one = |s: Stratum| null_of_shared(&[s], &f).jaccard(s.a, s.b);
        self.strata(a, b).into_iter().map(one).collect()
    }
    /// Every pair `a < b` against chance.
    pub fn tests(&self) -> Vec<PairTest> {
        let f = LnFactorials::up_to(self.d_mlp);
        let mut tests = Vec::new();
        for a in 0..self.sets.len() {
            for b in a + 1..self.sets.len() {
                let strata = self.strata(a, b);
                let both = shared(&self.sets[a], &self.sets[b]).count();
                let chance = null_of_shared(&strata, &f).jaccard(self.sets[a].len(), self.sets[b].len());
                let ln_p = ln_p_at_least(&strata, both, &f);
                tests.push(PairTest { a, b, shared: both, chance, ln_p, ln_p_holm: ln_p });
            }
        }
        let adjusted = holm(&tests.iter().map(|t| t.ln_p).collect::<Vec<_>>());
        tests.iter_mut().zip(adjusted).for_each(|(t, p)| t.ln_p_holm = p);
        tests
    }
}

/// What two ascending lists have in common.
pub fn shared<'a>(a: &'a [u32], b: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let mut rest = b;
    a.iter().copied().filter(move |v| {
        let skip = rest.partition_point(|w| w < v);
        rest = &rest[skip..];
        rest.first() == Some(v)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_of_two_small_maps() {
        // Top 50 % of 8 cells = 4. a: cells 0 1 2 4; b: cells 1 2 3 7. Shared: 1 and 2, of 6 in all.
        let a = Grid::new(2, 4, vec![9.0, 8.0, 7.0, 0.0, 6.0, 0.0, 0.0, 0.0]).expect("grid");
        let b = Grid::new(2, 4, vec![0.0, 8.0, 7.0, 6.0, 0.0, 0.0, 0.0, 9.0]).expect("grid");
        let top = TopSets::new(&[("a".into(), a), ("b".into(), b)], 50.0);
        assert_eq!(top.jaccard, [Some(1.0), Some(2.0 / 6.0), Some(2.0 / 6.0), Some(1.0)]);
        assert_eq!(shared(&top.sets[0], &top.sets[1]).collect::<Vec<_>>(), [1, 2]);
        // Layer 0: {0 1 2} and {1 2 3}; layer 1: {4} and {7}.
        assert_eq!(top.by_layer(0, 1), [Some(0.5), Some(0.0)]);
        assert_eq!(top.neuron(7), Neuron::new(1, 3));
        // Layer 0: 3 and 3 of 4 share 2 (3 in 4) or 3; layer 1: 1 and 1 of 4 share 1 in 4. At least 2: always; 3: 1 - 9/16; 4: 1/16.
        let test = top.tests()[0];
        assert_eq!((test.shared, test.ln_p), (2, 0.0));
        let expected = (9.0 * (2.0 / 6.0) + 6.0 * (3.0 / 5.0) + 1.0) / 16.0;
        assert!((test.chance.expect("sets").expected - expected).abs() < 1e-12);
        let layer = top.chance_by_layer(0, 1)[1].expect("sets");
        assert!((layer.expected - 0.25).abs() < 1e-12 && (layer.low, layer.high) == (0.0, 1.0));
    }

    #[test]
    fn agrees_with_the_sets_own_jaccard() {
        let map = |k: u32| Grid::new(4, 50, (0..200u32).map(|i| ((i * (7 + k)) % 199) as f32).collect::<Vec<_>>()).expect("grid");
        let (a, b) = (map(0), map(4));
        let want = NeuronSet::top_percent(&a, 20.0).jaccard(&NeuronSet::top_percent(&b, 20.0));
        let top = TopSets::new(&[("a".into(), a), ("b".into(), b)], 20.0);
        assert_eq!(top.jaccard[1], want);
    }
}
