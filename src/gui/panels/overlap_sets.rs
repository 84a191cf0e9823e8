//! Top shares of several maps and what they have in common. Plain numbers, no drawing.

use crate::base::{Grid, Neuron, NeuronSet};

/// The top `percent` % of each map, as ascending flat indices (`layer * d_mlp + neuron`).
pub struct TopSets {
    pub names: Vec<String>,
    pub sets: Vec<Vec<u32>>,
    pub n_layers: usize,
    pub d_mlp: usize,
    /// Row-major Jaccard index of every pair; `None` where both sets are empty.
    pub jaccard: Vec<Option<f64>>,
}

impl TopSets {
    pub fn new(maps: &[(String, Grid)], percent: f64) -> Self {
        let (n_layers, d_mlp) = maps.first().map_or((0, 0), |(_, g)| (g.rows(), g.cols()));
        let flat = |n: Neuron| n.layer * d_mlp as u32 + n.index;
        let sets: Vec<Vec<u32>> = maps.iter().map(|(_, g)| NeuronSet::top_percent(g, percent).iter().map(flat).collect()).collect();
        let mut jaccard = Vec::with_capacity(sets.len() * sets.len());
        for a in &sets {
            for b in &sets {
                let both = shared(a, b).count();
                let any = a.len() + b.len() - both;
                jaccard.push((any > 0).then(|| both as f64 / any as f64));
            }
        }
        Self { names: maps.iter().map(|(n, _)| n.clone()).collect(), sets, n_layers, d_mlp, jaccard }
    }
    pub fn neuron(&self, flat: u32) -> Neuron {
        let cols = self.d_mlp.max(1) as u32;
        Neuron::new(flat / cols, flat % cols)
    }
    /// Jaccard index inside each layer; `None` where neither set has a neuron.
    pub fn by_layer(&self, a: usize, b: usize) -> Vec<Option<f64>> {
        let count = |set: &mut dyn Iterator<Item = u32>| {
            let mut n = vec![0_usize; self.n_layers];
            set.for_each(|i| n[i as usize / self.d_mlp.max(1)] += 1);
            n
        };
        let (of_a, of_b) = (count(&mut self.sets[a].iter().copied()), count(&mut self.sets[b].iter().copied()));
        let both = count(&mut shared(&self.sets[a], &self.sets[b]));
        let per = |l: usize| {
            let any = of_a[l] + of_b[l] - both[l];
            (any > 0).then(|| both[l] as f64 / any as f64)
        };
        (0..self.n_layers).map(per).collect()
    }
    /// What two random sets of the same sizes share on average: |A||B|/N of N neurons, as a Jaccard index.
    pub fn by_chance(&self, a: usize, b: usize) -> Option<f64> {
        let (a, b, n) = (self.sets[a].len() as f64, self.sets[b].len() as f64, (self.n_layers * self.d_mlp) as f64);
        let both = a * b / n;
        (a + b > 0.0).then(|| both / (a + b - both))
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
        // 4 * 4 / 8 = 2 shared of 6.
        assert_eq!(top.by_chance(0, 1), Some(2.0 / 6.0));
        assert_eq!(top.neuron(7), Neuron::new(1, 3));
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
