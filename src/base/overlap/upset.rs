//! Exclusive intersections of several sets: which neurons lie in exactly these sets and in no other (Lex et al., "UpSet", IEEE TVCG 20 (2014)).

use super::TopSets;
use std::collections::BTreeMap;

/// Sets that can be told apart; what is in further ones is passed over.
pub const MOST_SETS: usize = 128;

/// Neurons in all of `members` and in none of the other sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Intersection {
    /// Indices of sets, ascending.
    pub members: Vec<usize>,
    /// Flat, ascending.
    pub neurons: Vec<u32>,
    /// Size on average if each set had its neurons at random places of the layers they are in.
    pub expected: f64,
}

/// All that are not empty, the largest first; ties go to fewer sets, then to the order of the sets.
pub fn upset(top: &TopSets) -> Vec<Intersection> {
    let sets = &top.sets[..top.sets.len().min(MOST_SETS)];
    let mut members = vec![0u128; top.n_layers * top.d_mlp];
    for (i, set) in sets.iter().enumerate() {
        set.iter().for_each(|&n| members[n as usize] |= 1 << i);
    }
    let mut groups: BTreeMap<u128, Vec<u32>> = BTreeMap::new();
    for (n, &mask) in members.iter().enumerate().filter(|(_, m)| **m != 0) {
        groups.entry(mask).or_default().push(n as u32);
    }
    let sizes: Vec<Vec<usize>> = (0..sets.len()).map(|i| top.layer_sizes(i)).collect();
    let mut all: Vec<Intersection> = groups
        .into_iter()
        .map(|(mask, neurons)| {
            let expected = (0..top.n_layers).map(|l| {
                let share = |i: usize| sizes[i][l] as f64 / top.d_mlp.max(1) as f64;
                let chance = |i: usize| if mask >> i & 1 == 1 { share(i) } else { 1.0 - share(i) };
                top.d_mlp as f64 * (0..sets.len()).map(chance).product::<f64>()
            });
            Intersection { expected: expected.sum(), members: (0..sets.len()).filter(|i| mask >> i & 1 == 1).collect(), neurons }
        })
        .collect();
    all.sort_by(|a, b| {
        b.neurons.len().cmp(&a.neurons.len()).then(a.members.len().cmp(&b.members.len())).then_with(|| a.members.cmp(&b.members))
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NeuronSet;
    use proptest::prelude::*;

    fn sets(texts: &[&str], layers: usize, width: usize) -> TopSets {
        let named = texts.iter().map(|t| ((*t).to_owned(), NeuronSet::parse(t).expect("set")));
        TopSets::of(named, layers, width)
    }

    #[test]
    fn every_neuron_stands_in_the_intersection_of_just_its_sets() {
        let top = sets(&["L0N0-4,L1N0", "L0N3-7", "L0N4,L1N0-1"], 2, 10);
        let all = upset(&top);
        let found: Vec<(Vec<usize>, usize)> = all.iter().map(|c| (c.members.clone(), c.neurons.len())).collect();
        assert_eq!(found, [(vec![0], 3), (vec![1], 3), (vec![2], 1), (vec![0, 1], 1), (vec![0, 2], 1), (vec![0, 1, 2], 1)]);
        // Layer 0: 5/10 x 5/10 x 9/10, layer 1: 1/10 x 0.
        let both = all.iter().find(|c| c.members == [0, 1]).expect("column");
        assert!((both.expected - 10.0 * 0.5 * 0.5 * 0.9).abs() < 1e-12, "{}", both.expected);
    }

    proptest! {
        #[test]
        fn sizes_add_up_to_the_sets(cells in proptest::collection::vec((0usize..5, 0u32..4, 0u32..30), 0..120)) {
            let mut parts = vec![NeuronSet::new(); 5];
            cells.iter().for_each(|(s, l, i)| { parts[*s].insert(crate::base::Neuron::new(*l, *i)); });
            let top = TopSets::of(parts.iter().map(|p| (String::new(), p.clone())), 4, 30);
            let all = upset(&top);
            for (i, part) in parts.iter().enumerate() {
                let sum: usize = all.iter().filter(|c| c.members.contains(&i)).map(|c| c.neurons.len()).sum();
                prop_assert_eq!(sum, part.len());
            }
            let union = parts.iter().fold(NeuronSet::new(), |all, p| all.union(p));
            prop_assert_eq!(all.iter().map(|c| c.neurons.len()).sum::<usize>(), union.len());
            prop_assert!(all.windows(2).all(|w| w[0].neurons.len() >= w[1].neurons.len()));
        }
    }
}
