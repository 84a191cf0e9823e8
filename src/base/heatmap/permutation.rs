//! Which neuron of each layer stands at which place of a map. A map may be sorted or clustered; whatever is said of a cell, spoken, selected, switched
//! off or exported, names the neuron and not its place.

use crate::base::{Error, Grid, Neuron, NeuronSet, Result};
use rayon::prelude::*;

/// One permutation a layer, kept in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    rows: usize,
    cols: usize,
    /// `[layer][place]` -> neuron
    neurons: Vec<u32>,
    /// `[layer][neuron]` -> place
    places: Vec<u32>,
}

impl Permutation {
    /// `neurons[layer * cols + place]` is the neuron at that place.
    ///
    /// # Errors
    /// When a layer does not name each of its neurons once.
    pub fn new(rows: usize, cols: usize, neurons: Vec<u32>) -> Result<Self> {
        if neurons.len() != rows * cols {
            return Err(Error::invalid(format!(
                "an order of {rows} layers of {cols} neurons needs {} places, got {}",
                rows * cols,
                neurons.len()
            )));
        }
        const FREE: u32 = u32::MAX;
        let mut places = vec![FREE; neurons.len()];
        for (layer, line) in neurons.chunks_exact(cols.max(1)).enumerate() {
            for (place, &neuron) in line.iter().enumerate() {
                match places[layer * cols..(layer + 1) * cols].get_mut(neuron as usize) {
                    Some(p) if *p == FREE => *p = place as u32,
                    _ => return Err(Error::invalid(format!("the order of layer {layer} names neuron {neuron} twice or does not have it"))),
                }
            }
        }
        Ok(Self { rows, cols, neurons, places })
    }

    /// Largest value first; cells that are not finite last; ties by index, so the answer never depends on the machine.
    pub fn by_value(grid: &Grid) -> Self {
        let (rows, cols) = (grid.rows(), grid.cols());
        let mut neurons = vec![0_u32; rows * cols];
        neurons.par_chunks_mut(cols.max(1)).enumerate().for_each(|(layer, line)| {
            let row = grid.row(layer);
            line.iter_mut().zip(0..).for_each(|(n, i)| *n = i);
            let key = |i: u32| Some(row[i as usize]).filter(|v| v.is_finite()).unwrap_or(f32::NEG_INFINITY);
            line.sort_unstable_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
        });
        let mut places = vec![0; rows * cols];
        for (layer, line) in neurons.chunks_exact(cols.max(1)).enumerate() {
            for (place, &neuron) in line.iter().enumerate() {
                places[layer * cols + neuron as usize] = place as u32;
            }
        }
        Self { rows, cols, neurons, places }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// The neurons of a layer in the order of their places.
    pub fn layer(&self, layer: usize) -> &[u32] {
        &self.neurons[layer * self.cols..(layer + 1) * self.cols]
    }
    /// The neuron at a place.
    pub fn neuron(&self, layer: u32, place: u32) -> Neuron {
        let at = layer as usize * self.cols + place as usize;
        Neuron::new(layer, self.neurons.get(at).copied().unwrap_or(place))
    }
    /// Where a neuron stands in its layer.
    pub fn place(&self, n: Neuron) -> u32 {
        self.places.get(n.layer as usize * self.cols + n.index as usize).copied().unwrap_or(n.index)
    }
    /// The map with every value at its neuron's place.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn arrange(&self, grid: &Grid) -> Result<Grid> {
        if (grid.rows(), grid.cols()) != (self.rows, self.cols) {
            let (r, c) = (grid.rows(), grid.cols());
            return Err(Error::invalid(format!("an order of {} x {} neurons does not fit a map of {r} x {c}", self.rows, self.cols)));
        }
        let mut values = vec![0_f32; self.neurons.len()];
        values.par_chunks_mut(self.cols.max(1)).enumerate().for_each(|(layer, out)| {
            let row = grid.row(layer);
            out.iter_mut().zip(self.layer(layer)).for_each(|(v, &n)| *v = row[n as usize]);
        });
        Grid::new(self.rows, self.cols, values)
    }
    /// The places of a set's neurons, written as if they were neurons.
    pub fn places(&self, set: &NeuronSet) -> NeuronSet {
        set.iter().map(|n| Neuron::new(n.layer, self.place(n))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_and_neurons_undo_each_other(values in proptest::collection::vec(-1f32..1.0, 2..120)) {
            let cols = values.len() / 2;
            let grid = Grid::new(2, cols, values[..2 * cols].to_vec()).expect("grid");
            let p = Permutation::by_value(&grid);
            for layer in 0..2 {
                for i in 0..cols as u32 {
                    let n = Neuron::new(layer, i);
                    prop_assert_eq!(p.neuron(layer, p.place(n)), n);
                }
            }
            let sorted = p.arrange(&grid).expect("fits");
            for layer in 0..2 {
                prop_assert!(sorted.row(layer).windows(2).all(|w| w[0] >= w[1]));
            }
            prop_assert_eq!(Permutation::new(2, cols, p.neurons.clone()).expect("a permutation"), p);
        }
    }

    #[test]
    fn ties_keep_their_index_and_what_is_no_number_comes_last() {
        let grid = Grid::new(1, 4, vec![1.0, f32::NAN, 2.0, 1.0]).expect("grid");
        let p = Permutation::by_value(&grid);
        assert_eq!(p.layer(0), [2, 0, 3, 1]);
        let set = NeuronSet::parse("L0N1-2").expect("set");
        assert_eq!(p.places(&set).to_string(), "L0N0,L0N3");
    }

    #[test]
    fn an_order_that_is_none_is_refused() {
        for bad in [vec![0, 0], vec![0, 2], vec![0]] {
            assert!(Permutation::new(1, 2, bad).is_err());
        }
        assert!(Permutation::by_value(&Grid::zeros(2, 2)).arrange(&Grid::zeros(2, 3)).is_err());
    }
}
