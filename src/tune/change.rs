//! How far a tuning moved each neuron and each matrix of a model.

use crate::{
    base::{Error, Grid, Result},
    model::{Matrix, Model, weights::Role},
};
use serde::Serialize;

/// The change of one kind of matrix over all layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixChange {
    pub matrix: Matrix,
    /// Euclidean length of tuned less base.
    pub change: f64,
    /// Of the base.
    pub norm: f64,
}

/// What a tuning changed, measured in the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightChange {
    /// `[layer, d_mlp]`: Euclidean length of the change of a neuron's weights, its row of gate and up and its column of down together.
    pub neurons: Grid,
    /// The same as a share of the length of the neuron's weights in the base.
    pub relative: Grid,
    pub matrices: Vec<MatrixChange>,
    /// Neurons of whose rows and column no weight changed.
    pub untouched: usize,
}

/// In words, for files and hover texts.
pub const FORMULA: &str = "sqrt(|d gate row|^2 + |d up row|^2 + |d down column|^2), d = tuned less base, summed in f64";

/// # Errors
/// When the two are not of one shape.
pub fn weight_change(base: &Model, tuned: &Model) -> Result<WeightChange> {
    let spec = &base.spec;
    let (layers, f) = (spec.n_layers, spec.d_mlp);
    if (tuned.spec.n_layers, tuned.spec.d_mlp, tuned.spec.d_model) != (layers, f, spec.d_model) {
        return Err(Error::invalid("the tuned model has another shape than its base"));
    }
    let (mut change, mut size) = (vec![0f64; layers * f], vec![0f64; layers * f]);
    let mut matrices = Vec::new();
    for &matrix in spec.matrices() {
        let (mut moved, mut norm) = (0f64, 0f64);
        for layer in 0..layers {
            let role = Role::Weight(layer, matrix);
            let find = |m: &Model| m.weights.get(role).ok_or_else(|| Error::invalid(format!("the weights have no {role}")));
            let (a, b) = (find(base)?, find(tuned)?);
            // Down is `[d_model, d_mlp]`, a neuron its column; gate and up are `[d_mlp, d_model]`, a neuron a row.
            let inside = a.shape.get(1).copied().unwrap_or(1).max(1);
            for (i, (&x, &y)) in a.values().iter().zip(b.values()).enumerate() {
                let (d, x) = (f64::from(y) - f64::from(x), f64::from(x));
                moved += d * d;
                norm += x * x;
                let neuron = match matrix {
                    Matrix::Gate | Matrix::Up => Some(i / inside),
                    Matrix::Down => Some(i % inside),
                    _ => None,
                };
                if let Some(j) = neuron {
                    change[layer * f + j] += d * d;
                    size[layer * f + j] += x * x;
                }
            }
        }
        matrices.push(MatrixChange { matrix, change: moved.sqrt(), norm: norm.sqrt() });
    }
    let untouched = change.iter().filter(|v| **v == 0.0).count();
    let relative = change.iter().zip(&size).map(|(c, s)| if *s > 0.0 { (c / s).sqrt() as f32 } else { 0.0 }).collect::<Vec<_>>();
    let neurons = change.iter().map(|v| v.sqrt() as f32).collect::<Vec<_>>();
    Ok(WeightChange { neurons: Grid::new(layers, f, neurons)?, relative: Grid::new(layers, f, relative)?, matrices, untouched })
}
