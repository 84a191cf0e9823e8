//! Numbers in long form, one value a row: what every view becomes when it leaves the program as a table.

use crate::base::{Grid, Neuron, Result, heatmap::Permutation};
use serde::{Deserialize, Serialize};

/// The columns of every table file, in order.
pub const HEAD: [&str; 9] = ["model", "layer", "module", "neuron", "domain", "metric", "value", "n", "seed"];

/// The tenth column, where neurons are ordered: place of the neuron within its layer, from 0.
pub const PLACE: &str = "place";

/// Module of a neuron: its coordinate of this hook point.
pub const NEURONS: &str = "mlp.hook_post";
/// Module of what a whole block has one of.
pub const BLOCK: &str = "block";
/// Module of what the whole model has one of.
pub const MODEL: &str = "model";

/// One value and what it is of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LongRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    pub module: String,
    /// Coordinate inside the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neuron: Option<u32>,
    /// `a|b` for a pair.
    pub domain: String,
    pub metric: String,
    /// `None` where undefined.
    pub value: Option<f64>,
    /// What the value is over: samples, questions, sample pairs, or for a Jaccard index the neurons in either set.
    pub n: u64,
    /// `None`: the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// A whole map, `[layer, neuron]`: a row a cell, made while it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct LongMap {
    pub module: String,
    pub domain: String,
    pub metric: String,
    pub grid: Grid,
    pub n: u64,
}

/// A row as writers see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowRef<'a> {
    pub layer: Option<u32>,
    pub module: &'a str,
    pub neuron: Option<u32>,
    pub domain: &'a str,
    pub metric: &'a str,
    /// Finite.
    pub value: Option<f64>,
    pub n: u64,
    pub seed: u64,
    /// Of a neuron in a table that orders them.
    pub place: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LongTable {
    pub model: String,
    pub seed: u64,
    pub maps: Vec<LongMap>,
    /// After the maps.
    pub rows: Vec<LongRow>,
    /// How the maps' neurons are ordered; each row then says its place.
    pub order: Option<Permutation>,
}

impl LongTable {
    pub fn new(model: impl Into<String>, seed: u64) -> Self {
        Self { model: model.into(), seed, ..Self::default() }
    }
    /// Titles of its columns.
    pub fn head(&self) -> Vec<&'static str> {
        HEAD.into_iter().chain(self.order.as_ref().map(|_| PLACE)).collect()
    }
    pub fn len(&self) -> usize {
        self.rows.len() + self.maps.iter().map(|m| m.grid.values().len()).sum::<usize>()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Every row in order; `each` may end it by an error.
    ///
    /// # Errors
    /// Of `each`.
    pub fn for_each(&self, mut each: impl FnMut(RowRef<'_>) -> Result<()>) -> Result<()> {
        for m in &self.maps {
            for layer in 0..m.grid.rows() {
                for (neuron, &v) in m.grid.row(layer).iter().enumerate() {
                    each(RowRef {
                        layer: Some(layer as u32),
                        module: &m.module,
                        neuron: Some(neuron as u32),
                        domain: &m.domain,
                        metric: &m.metric,
                        value: decimal(v),
                        n: m.n,
                        seed: self.seed,
                        place: self.order.as_ref().map(|o| o.place(Neuron::new(layer as u32, neuron as u32))),
                    })?;
                }
            }
        }
        for r in &self.rows {
            each(RowRef {
                layer: r.layer,
                module: &r.module,
                neuron: r.neuron,
                domain: &r.domain,
                metric: &r.metric,
                value: r.value.filter(|v| v.is_finite()),
                n: r.n,
                seed: r.seed.unwrap_or(self.seed),
                place: None,
            })?;
        }
        Ok(())
    }
}

/// The f64 with the fewest digits that is `v` as f32: text and binary files hold the same number, and a cast back to f32 gives the map's own bits.
pub fn decimal(v: f32) -> Option<f64> {
    if !v.is_finite() {
        return None;
    }
    v.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_casts_back_to_the_same_bits(bits in any::<u32>()) {
            let v = f32::from_bits(bits);
            match decimal(v) {
                None => prop_assert!(!v.is_finite()),
                Some(d) => prop_assert_eq!((d as f32).to_bits(), v.to_bits()),
            }
        }
    }

    #[test]
    fn maps_come_first_and_rows_may_have_their_own_seed() {
        let grid = Grid::new(1, 2, vec![0.1, f32::NAN]).expect("grid");
        let map = LongMap { module: NEURONS.into(), domain: "a".into(), metric: "relevance".into(), grid, n: 4 };
        let row = LongRow { module: MODEL.into(), value: Some(f64::INFINITY), seed: Some(9), ..LongRow::default() };
        let table = LongTable { maps: vec![map], rows: vec![row], ..LongTable::new("tiny", 7) };
        let mut seen = Vec::new();
        table
            .for_each(|r| {
                seen.push((r.neuron, r.value, r.seed));
                Ok(())
            })
            .expect("all");
        assert_eq!(seen, [(Some(0), Some(0.1), 7), (Some(1), None, 7), (None, None, 9)]);
        assert_eq!((table.len(), table.is_empty()), (3, false));
    }
}
