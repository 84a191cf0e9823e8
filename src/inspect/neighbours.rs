//! Neurons that are like one: in what they read and write, and in when they fire.

use super::{NeuronIndex, strip::verify_inside};
use crate::{
    base::{Ctx, Error, Neuron, Result},
    model::{Decoder, Matrix, Tensor},
};
use half::slice::HalfFloatSliceExt as _;
use rayon::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub neuron: Neuron,
    /// Cosine or correlation, -1 to 1.
    pub likeness: f32,
}

/// The most alike, most alike first, the neuron itself left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neighbours {
    pub in_layer: Vec<Neighbour>,
    pub in_model: Vec<Neighbour>,
}

pub const WEIGHT_FORMULA: &str = "cosine of the concatenated gate row, up row and down column, each of length 1 (the mean of their cosines); raw weights, no gain folded in";
pub const ACTIVATION_FORMULA: &str = "Pearson correlation of mlp.hook_post over a seeded sample of token positions";

/// Neurons of one block normalised by part: what each reads and writes.
struct Parts<'a> {
    /// Rows `[f, d]`.
    rows: Vec<&'a Tensor>,
    /// Columns of `[d, f]`.
    down: &'a Tensor,
    f: usize,
}

/// By weight. Every block is read once, layer by layer.
///
/// # Errors
/// When the neuron is outside the model, or the work is cancelled.
pub fn by_weight(decoder: &Decoder, neuron: Neuron, top: usize, ctx: &Ctx<'_>) -> Result<Neighbours> {
    let spec = &decoder.model.spec;
    verify_inside(neuron, spec.n_layers, spec.d_mlp)?;
    let (f, d, j) = (spec.d_mlp, spec.d_model, neuron.index as usize);
    let row_matrices: &[Matrix] = if spec.mlp.is_gated() { &[Matrix::Gate, Matrix::Up] } else { &[Matrix::Up] };
    let own = decoder.model.weights.block(neuron.layer as usize);
    let unit = |mut v: Vec<f32>| {
        let length = dot(&v, &v).sqrt();
        if length > 0.0 {
            v.iter_mut().for_each(|x| *x /= length);
        }
        v
    };
    let rows: Vec<Vec<f32>> = row_matrices.iter().map(|&m| unit(own.matrix(m)[j * d..(j + 1) * d].to_vec())).collect();
    let column = unit(own.matrix(Matrix::Down).chunks_exact(f).map(|r| r[j]).collect());
    drop(own);
    let mut likeness = Vec::with_capacity(spec.n_layers * f);
    for layer in 0..spec.n_layers {
        ctx.check()?;
        ctx.progress("comparing weights", layer, spec.n_layers, "layers");
        let block = decoder.model.weights.block(layer);
        let parts = Parts { rows: row_matrices.iter().map(|&m| block.matrix(m)).collect(), down: block.matrix(Matrix::Down), f };
        likeness.extend(parts.likeness(&rows, &column));
    }
    Ok(nearest(&likeness, f, neuron, top))
}

impl Parts<'_> {
    /// Mean of the parts' cosines with each neuron of the block, `[f]`.
    fn likeness(&self, rows: &[Vec<f32>], column: &[f32]) -> Vec<f32> {
        const BLOCK: usize = 128;
        let (f, d) = (self.f, column.len());
        let mut out = vec![0f32; f];
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(b, out)| {
            let first = b * BLOCK;
            let (mut dots, mut squares) = (vec![0f32; out.len()], vec![0f32; out.len()]);
            for (i, &c) in column.iter().enumerate() {
                let part = &self.down[i * f + first..i * f + first + out.len()];
                for ((dot, square), &v) in dots.iter_mut().zip(&mut squares).zip(part) {
                    *dot += c * v;
                    *square += v * v;
                }
            }
            for (k, out) in out.iter_mut().enumerate() {
                let cosine = |dot: f32, square: f32| if square > 0.0 { dot / square.sqrt() } else { 0.0 };
                let mut sum = cosine(dots[k], squares[k]);
                for (matrix, own) in self.rows.iter().zip(rows) {
                    let row = &matrix[(first + k) * d..(first + k + 1) * d];
                    sum += cosine(dot(row, own), dot(row, row));
                }
                *out = sum / (self.rows.len() + 1) as f32;
            }
        });
        out
    }
}

/// By activation, over the positions that the index compares at.
///
/// # Errors
/// When the neuron is outside the index.
pub fn by_activation(index: &NeuronIndex, neuron: Neuron, top: usize) -> Result<Neighbours> {
    let about = &index.about;
    verify_inside(neuron, about.n_layers, about.d_mlp)?;
    let m = index.positions.len();
    if m < 3 {
        return Err(Error::invalid(format!("{m} token positions are too few to compare neurons; scan more or longer samples")));
    }
    let place = index.place(neuron).unwrap_or(0);
    let own = index.compared[place * m..(place + 1) * m].to_f32_vec();
    let likeness: Vec<f32> = index
        .compared
        .par_chunks(m * 64)
        .flat_map_iter(|rows| {
            let mut wide = vec![0f32; m];
            let own = &own;
            rows.chunks_exact(m)
                .map(move |row| {
                    row.convert_to_f32_slice(&mut wide);
                    dot(&wide, own)
                })
                .collect::<Vec<_>>()
        })
        .collect();
    Ok(nearest(&likeness, about.d_mlp, neuron, top))
}

fn nearest(likeness: &[f32], f: usize, neuron: Neuron, top: usize) -> Neighbours {
    let own = neuron.layer as usize * f + neuron.index as usize;
    let pick = |values: &[f32], first: usize| {
        let found = super::logit_lens::extremes(values, top + 1, 1.0);
        let name = |i: usize| Neuron::new((i / f) as u32, (i % f) as u32);
        let others = found.into_iter().map(|(i, v)| (first + i as usize, v)).filter(|(i, _)| *i != own).take(top);
        others.map(|(i, v)| Neighbour { neuron: name(i), likeness: v.clamp(-1.0, 1.0) }).collect()
    };
    let layer = neuron.layer as usize * f;
    Neighbours { in_layer: pick(&likeness[layer..layer + f], layer), in_model: pick(likeness, 0) }
}

/// In 16 sums, so that it runs in vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a16, a_rest) = a.as_chunks::<16>();
    let (b16, b_rest) = b.as_chunks::<16>();
    for (x, y) in a16.iter().zip(b16) {
        for i in 0..16 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_takes_the_rest_too() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        // 0 + 1 + 4 + ... + 18^2 = 18 * 19 * 37 / 6
        assert_eq!(dot(&a, &a), 2109.0);
    }

    #[test]
    fn the_neuron_itself_is_no_neighbour() {
        let likeness = [0.1, 0.9, 1.0, 0.5, 0.95, -0.2];
        let n = nearest(&likeness, 3, Neuron::new(0, 2), 2);
        let names = |v: &[Neighbour]| v.iter().map(|n| n.neuron.to_string()).collect::<Vec<_>>();
        assert_eq!((names(&n.in_layer), names(&n.in_model)), (vec!["L0N1".into(), "L0N0".into()], vec!["L1N1".into(), "L0N1".into()]));
    }
}
