//! A set of neurons. The word in which scan, ablation, tuning and the window talk to each other.

use crate::base::{Error, Grid, Neuron, Result, neuron_names, rng::Rng};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Neurons by layer. As JSON: `{"3": [17, 18], "4": [0]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, BTreeSet<u32>>", into = "BTreeMap<String, BTreeSet<u32>>")]
pub struct NeuronSet(BTreeMap<u32, BTreeSet<u32>>);

/// Keys are text as JSON has them: inside a tagged enum (a `Command`) serde cannot turn them into numbers by itself.
impl TryFrom<BTreeMap<String, BTreeSet<u32>>> for NeuronSet {
    type Error = Error;
    fn try_from(map: BTreeMap<String, BTreeSet<u32>>) -> Result<Self> {
        let mut out = BTreeMap::new();
        for (layer, members) in map {
            let number = neuron_names::layer_of_key(&layer).ok_or_else(|| {
                Error::invalid(format!(
                    "`{layer}` is not a layer; write {{\"3\": [17, 18]}}, or the layer as blocks.3.mlp.hook_post or model.layers.3.mlp.down_proj.weight"
                ))
            })?;
            if !members.is_empty() {
                out.entry(number).or_insert_with(BTreeSet::new).extend(members);
            }
        }
        Ok(Self(out))
    }
}

impl From<NeuronSet> for BTreeMap<String, BTreeSet<u32>> {
    fn from(set: NeuronSet) -> Self {
        set.0.into_iter().map(|(layer, members)| (layer.to_string(), members)).collect()
    }
}

impl NeuronSet {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn insert(&mut self, n: Neuron) -> bool {
        self.0.entry(n.layer).or_default().insert(n.index)
    }
    pub fn remove(&mut self, n: Neuron) -> bool {
        let Some(layer) = self.0.get_mut(&n.layer) else {
            return false;
        };
        let was = layer.remove(&n.index);
        if layer.is_empty() {
            self.0.remove(&n.layer);
        }
        was
    }
    pub fn contains(&self, n: Neuron) -> bool {
        self.0.get(&n.layer).is_some_and(|s| s.contains(&n.index))
    }
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }
    pub fn iter(&self) -> impl Iterator<Item = Neuron> + '_ {
        self.0.iter().flat_map(|(&l, s)| s.iter().map(move |&i| Neuron::new(l, i)))
    }
    /// Indices in one layer, ascending.
    pub fn layer(&self, layer: usize) -> impl Iterator<Item = usize> + '_ {
        self.0.get(&(layer as u32)).into_iter().flatten().map(|&i| i as usize)
    }
    /// Layers that hold at least one neuron, ascending.
    pub fn layers(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter(|(_, s)| !s.is_empty()).map(|(&l, _)| l as usize)
    }
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (&layer, members) in &other.0 {
            out.0.entry(layer).or_default().extend(members);
        }
        out
    }
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.0.retain(|layer, members| {
            if let Some(gone) = other.0.get(layer) {
                members.retain(|i| !gone.contains(i));
            }
            !members.is_empty()
        });
        out
    }
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|&n| other.contains(n)).collect()
    }
    /// `|A and B| / |A or B|`; `None` when both are empty.
    pub fn jaccard(&self, other: &Self) -> Option<f64> {
        let both = self.intersection(other).len();
        let any = self.len() + other.len() - both;
        (any > 0).then(|| both as f64 / any as f64)
    }
    /// The largest `percent` % of a `[layer, d_mlp]` map over the whole model (at least one neuron for `percent > 0`).
    /// Ties go to the lower layer, then the lower index, so the answer never depends on the machine.
    pub fn top_percent(map: &Grid, percent: f64) -> Self {
        Self::top_count(map, Self::count_of(map.values().len(), percent))
    }
    /// How many of `total` neurons `percent` % are.
    pub fn count_of(total: usize, percent: f64) -> usize {
        ((percent / 100.0 * total as f64).round() as usize).clamp(usize::from(percent > 0.0 && total > 0), total)
    }
    /// The `count` largest cells of the map, same tie rule. Non-finite cells never enter.
    pub fn top_count(map: &Grid, count: usize) -> Self {
        let cols = map.cols().max(1) as u32;
        top_cells(map.values(), count).into_iter().map(|i| Neuron::new(i / cols, i % cols)).collect()
    }
    /// Random neurons, as many in each layer as this set has there: the control of an ablation.
    pub fn random_like(&self, d_mlp: usize, seed: u64) -> Self {
        let mut rng = Rng::stream(seed, "random control");
        let mut out = Self::new();
        for (&layer, members) in &self.0 {
            for i in rng.sample(d_mlp, members.len()) {
                out.insert(Neuron::new(layer, i as u32));
            }
        }
        out
    }
    /// At most `count` neurons in each layer: those with the largest `score`, the lower index among equals.
    pub fn cap(&self, count: usize, score: impl Fn(Neuron) -> f64) -> Self {
        let mut out = Self::new();
        for (&layer, members) in &self.0 {
            let mut ranked: Vec<(f64, u32)> = members.iter().map(|&i| (score(Neuron::new(layer, i)), i)).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let kept: BTreeSet<u32> = ranked.into_iter().take(count).map(|(_, i)| i).collect();
            if !kept.is_empty() {
                out.0.insert(layer, kept);
            }
        }
        out
    }
    /// Only the neurons of layers `first..=last`.
    pub fn in_layers(&self, first: usize, last: usize) -> Self {
        let inside = |l: &&u32| (first..=last).contains(&(**l as usize));
        Self(self.0.iter().filter(|(l, _)| inside(l)).map(|(&l, s)| (l, s.clone())).collect())
    }
    /// Reads `L3N17,L4N0-15`, and the same neurons by their other names ([`neuron_names`]).
    ///
    /// # Errors
    /// On a name that cannot be read; the message shows how to write it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut out = Self::new();
        for part in split_outside_brackets(text).map(str::trim).filter(|p| !p.is_empty()) {
            if part.contains('[') {
                let (layer, first, last) = neuron_names::parse(part)?;
                out.0.entry(layer).or_default().extend(first..=last);
                continue;
            }
            let (first, last) = match part.split_once('-') {
                None => (part.parse::<Neuron>()?, None),
                Some((a, b)) => {
                    let last = b
                        .trim()
                        .parse::<u32>()
                        .map_err(|_| Error::invalid(format!("`{part}` is not a range of neurons; write it as L4N0-15")))?;
                    (a.parse::<Neuron>()?, Some(last))
                }
            };
            let last = last.unwrap_or(first.index);
            if last < first.index || last - first.index > 1 << 20 {
                return Err(Error::invalid(format!(
                    "`{part}`: a range goes from the smaller to the larger index, over at most 1,048,576 neurons"
                )));
            }
            for index in first.index..=last {
                out.insert(Neuron::new(first.layer, index));
            }
        }
        Ok(out)
    }
    /// # Errors
    /// When a neuron lies outside a model of `n_layers` x `d_mlp`.
    pub fn check_inside(&self, n_layers: usize, d_mlp: usize) -> Result<()> {
        match self.iter().find(|n| n.layer as usize >= n_layers || n.index as usize >= d_mlp) {
            None => Ok(()),
            Some(n) => Err(Error::invalid(format!(
                "{n} is outside this model, which has layers 0..{} and neurons 0..{}",
                n_layers.saturating_sub(1),
                d_mlp.saturating_sub(1)
            ))),
        }
    }
}

/// Places of the `count` largest finite values, equals by their place; in no order.
pub fn top_cells(values: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).filter(|&i| values[i as usize].is_finite()).collect();
    let count = count.min(order.len());
    let by_value = |a: &u32, b: &u32| values[*b as usize].total_cmp(&values[*a as usize]).then(a.cmp(b));
    if count < order.len() && count > 0 {
        order.select_nth_unstable_by(count - 1, by_value);
    }
    order.truncate(count);
    order
}

/// At commas, but not at those of `[:, 17]`.
fn split_outside_brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0i32;
    text.split(move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
}

impl FromIterator<Neuron> for NeuronSet {
    fn from_iter<I: IntoIterator<Item = Neuron>>(iter: I) -> Self {
        let mut out = Self::new();
        for n in iter {
            out.insert(n);
        }
        out
    }
}

/// `L3N17,L4N0-15`: runs are folded, so that it can be pasted into `--neurons`.
impl fmt::Display for NeuronSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (layer, members) in &self.0 {
            let mut run: Option<(u32, u32)> = None;
            let mut runs = Vec::new();
            for &i in members {
                run = Some(match run {
                    Some((a, b)) if b + 1 == i => (a, i),
                    Some(done) => {
                        runs.push(done);
                        (i, i)
                    }
                    None => (i, i),
                });
            }
            runs.extend(run);
            for (a, b) in runs {
                let comma = if std::mem::take(&mut first) { "" } else { "," };
                if a == b {
                    write!(f, "{comma}L{layer}N{a}")?;
                } else {
                    write!(f, "{comma}L{layer}N{a}-{b}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_json_round_trip(cells in proptest::collection::vec((0u32..6, 0u32..40), 0..60)) {
            let set: NeuronSet = cells.into_iter().map(|(l, i)| Neuron::new(l, i)).collect();
            prop_assert_eq!(&NeuronSet::parse(&set.to_string()).expect("own text"), &set);
            let json = serde_json::to_string(&set).expect("json");
            prop_assert_eq!(&serde_json::from_str::<NeuronSet>(&json).expect("own json"), &set);
        }
    }

    #[test]
    fn top_takes_the_largest_and_breaks_ties_by_place() {
        let map = Grid::new(2, 3, vec![1.0, 5.0, 2.0, 5.0, 0.0, f32::NAN]).expect("grid");
        assert_eq!(NeuronSet::top_count(&map, 1).to_string(), "L0N1");
        assert_eq!(NeuronSet::top_count(&map, 3).to_string(), "L0N1-2,L1N0");
        assert_eq!(NeuronSet::top_count(&map, 9).len(), 5);
        assert_eq!(NeuronSet::top_percent(&map, 0.01).len(), 1);
        assert_eq!(NeuronSet::top_percent(&map, 0.0).len(), 0);
    }

    #[test]
    fn a_random_control_matches_each_layer() {
        let set = NeuronSet::parse("L0N0-9,L5N3").expect("set");
        let control = set.random_like(64, 1);
        assert_eq!(control.layer(0).count(), 10);
        assert_eq!(control.layer(5).count(), 1);
        assert_eq!(control, set.random_like(64, 1));
        assert_ne!(control, set.random_like(64, 2));
    }

    #[test]
    fn algebra() {
        let a = NeuronSet::parse("L0N0-3").expect("a");
        let b = NeuronSet::parse("L0N2-5").expect("b");
        assert_eq!(a.jaccard(&b), Some(2.0 / 6.0));
        assert_eq!(a.minus(&b).to_string(), "L0N0-1");
        assert_eq!(NeuronSet::new().jaccard(&NeuronSet::new()), None);
    }

    #[test]
    fn a_cap_keeps_the_highest_of_each_layer() {
        let set = NeuronSet::parse("L0N0-3,L2N7").expect("set");
        assert_eq!(set.cap(2, |n| f64::from(n.index % 3)).to_string(), "L0N1-2,L2N7");
        assert_eq!(set.cap(3, |_| 0.0).to_string(), "L0N0-2,L2N7", "equals go by index");
        assert!(set.cap(0, |_| 0.0).is_empty());
        assert_eq!(set.in_layers(1, 2).to_string(), "L2N7");
    }

    #[test]
    fn both_vocabularies_name_the_same_neurons() {
        let want = NeuronSet::parse("L3N17-19,L4N0").expect("set");
        let text = "model.layers.3.mlp.down_proj.weight[:, 17], blocks.3.mlp.hook_post[18:20], L4N0";
        assert_eq!(NeuronSet::parse(text).expect("names"), want);
        let json = r#"{"blocks.3.mlp.hook_post": [17, 18], "model.layers.3.mlp.down_proj.weight[:, *]": [19], "4": [0]}"#;
        assert_eq!(serde_json::from_str::<NeuronSet>(json).expect("json"), want);
        assert!(serde_json::from_str::<NeuronSet>(r#"{"blocks.3.hook_z": [1]}"#).is_err());
    }

    #[test]
    fn outside_the_model_is_named() {
        let e = NeuronSet::parse("L9N1").expect("set").check_inside(6, 512).expect_err("outside");
        assert!(e.to_string().contains("L9N1") && e.to_string().contains("0..5"), "{e}");
    }
}
