//! Random sets that an ablation is held against.

use crate::base::{Grid, Head, Neuron, NeuronSet, rng::Rng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a random set has in common with the set that it stands beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlMatch {
    /// As many neurons in each layer.
    #[default]
    Size,
    /// As many in each layer and, there, in each tenth of its neurons by mean |activation|: a set of strong neurons is held against strong ones.
    Scale,
}

impl ControlMatch {
    pub const ALL: [Self; 2] = [Self::Size, Self::Scale];
    /// As `--match` reads it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Scale => "scale",
        }
    }
    pub fn words(self) -> &'static str {
        match self {
            Self::Size => "as many neurons in each layer",
            Self::Scale => "as many neurons in each layer and tenth of mean |activation|",
        }
    }
}

/// Parts of a layer that [`ControlMatch::Scale`] tells apart.
const BANDS: usize = 10;

/// Random neurons, as many as `set` has in each layer and in each tenth of the layer's neurons by `scale` `[layer, d_mlp]`. Equal values go by
/// their index.
pub fn random_in_bands(set: &NeuronSet, scale: &Grid, seed: u64) -> NeuronSet {
    let mut rng = Rng::stream(seed, "random control by scale");
    let mut out = NeuronSet::new();
    for layer in set.layers().filter(|&l| l < scale.rows()) {
        let row = scale.row(layer);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs()).then(a.cmp(&b)));
        let mut rank = vec![0; row.len()];
        order.iter().enumerate().for_each(|(r, &i)| rank[i] = r);
        let band = |rank: usize| rank * BANDS / row.len().max(1);
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        set.layer(layer).filter(|&i| i < row.len()).for_each(|i| *counts.entry(band(rank[i])).or_default() += 1);
        for (b, count) in counts {
            let members: Vec<usize> = order.iter().enumerate().filter(|(r, _)| band(*r) == b).map(|(_, &i)| i).collect();
            for at in rng.sample(members.len(), count) {
                out.insert(Neuron::new(layer as u32, members[at] as u32));
            }
        }
    }
    out
}

/// Random heads, as many in each layer.
pub fn random_heads_like(heads: &BTreeSet<Head>, n_heads: usize, seed: u64) -> BTreeSet<Head> {
    let mut rng = Rng::stream(seed, "random heads");
    let layers: BTreeSet<u32> = heads.iter().map(|h| h.layer).collect();
    let mut out = BTreeSet::new();
    for layer in layers {
        let count = heads.iter().filter(|h| h.layer == layer).count();
        out.extend(rng.sample(n_heads, count).into_iter().map(|i| Head::new(layer, i as u32)));
    }
    out
}

/// The random set number `seed` beside `set`; `scale` is asked only for [`ControlMatch::Scale`], without it sets match in size.
pub fn random_neurons(set: &NeuronSet, d_mlp: usize, like: ControlMatch, scale: Option<&Grid>, seed: u64) -> NeuronSet {
    match (like, scale) {
        (ControlMatch::Scale, Some(scale)) => random_in_bands(set, scale, seed),
        _ => set.random_like(d_mlp, seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_matches_each_tenth_of_a_layer() {
        // Neuron i of layer 1 has activation -i: its tenth is i / 10.
        let scale = Grid::new(2, 100, (0..200).map(|i| if i < 100 { 1.0 } else { -((i - 100) as f32) }).collect::<Vec<_>>()).expect("grid");
        let set = NeuronSet::parse("L1N0-4,L1N95-99,L0N3").expect("set");
        let control = random_in_bands(&set, &scale, 1);
        let in_range = |from: usize, to: usize| control.layer(1).filter(|i| (from..to).contains(i)).count();
        assert_eq!((in_range(0, 10), in_range(10, 90), in_range(90, 100)), (5, 0, 5));
        assert_eq!(control.layer(0).count(), 1);
        assert_eq!(control, random_in_bands(&set, &scale, 1));
        assert_ne!(control, random_in_bands(&set, &scale, 2));
    }
}
