//! Sums of the gradients of what trains, filled by the taps of a backward pass. Of a matrix of which only rows or columns train, only their
//! gradients are formed.

use super::trained::{Part, Slice, Trained};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Backend, Mat, MatMut},
    model::{DecoderSpec, Matrix, Taps, weights::Role},
};
use std::{collections::BTreeMap, sync::Arc};

/// One packed buffer for each slice of a [`Trained`], in its order.
pub struct Gradients {
    backend: Arc<dyn Backend>,
    trained: Arc<Trained>,
    sums: Vec<Vec<f32>>,
    by_role: BTreeMap<Role, usize>,
    matrices: &'static [Matrix],
    fired: BTreeMap<(usize, Matrix), usize>,
    gathered: Vec<f32>,
    product: Vec<f32>,
}

impl Gradients {
    pub fn zeros(spec: &DecoderSpec, trained: Arc<Trained>, backend: Arc<dyn Backend>) -> Self {
        let sums = trained.slices.iter().map(|s| vec![0.0; s.len()]).collect();
        let by_role = trained.slices.iter().enumerate().map(|(i, s)| (s.role, i)).collect();
        Self {
            backend,
            trained,
            sums,
            by_role,
            matrices: spec.matrices(),
            fired: BTreeMap::new(),
            gathered: Vec::new(),
            product: Vec::new(),
        }
    }

    /// Begins a step. A matrix' sum is overwritten by its first product; the others are added to and begin at 0.
    pub fn clear(&mut self) {
        for (slice, sum) in self.trained.slices.iter().zip(&mut self.sums) {
            if !matches!(slice.role, Role::Weight(..)) {
                sum.fill(0.0);
            }
        }
        self.fired.clear();
    }

    /// Packed gradient of slice `index`.
    pub fn slice(&self, index: usize) -> &[f32] {
        &self.sums[index]
    }

    /// Euclidean norm over every gradient, accumulated in f64 in a fixed order.
    pub fn norm(&self) -> f64 {
        self.sums.iter().map(|t| self.backend.square_norm(t)).sum::<f64>().sqrt()
    }

    /// # Errors
    /// When a matrix of a block that was differentiated did not get exactly one gradient a micro-batch: a missing gradient is never taken for a zero. Of the
    /// lowest block only the MLP's are expected where `mlp_alone` trains.
    pub fn check_fired(&self, n_layers: usize, micro_batches: usize, mlp_alone: bool) -> Result<()> {
        let first = self.trained.first_layer;
        for layer in first..n_layers {
            for &m in self.matrices.iter().filter(|m| layer > first || !mlp_alone || m.is_mlp()) {
                let n = self.fired.get(&(layer, m)).copied().unwrap_or(0);
                if n != micro_batches {
                    return Err(Error::numeric(
                        Role::Weight(layer, m).to_string(),
                        format!("its gradient arrived {n} times, expected {micro_batches}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Chosen columns of matrices of as many rows, one beside the other.
fn gathered<'a>(backend: &dyn Backend, of: &[(Mat<'_>, &[usize])], room: &'a mut Vec<f32>) -> Mat<'a> {
    let (rows, width) = (of.first().map_or(0, |(m, _)| m.rows), of.iter().map(|(_, columns)| columns.len()).sum());
    room.resize(rows * width, 0.0);
    let mut first = 0;
    for (from, columns) in of {
        backend.gather_columns(MatMut::new(room, rows, width).columns(first, columns.len()), *from, columns);
        first += columns.len();
    }
    Mat::new(room, rows, width)
}

impl Gradients {
    /// Notes that a matrix' gradient is there; what its sum held counts as so many times itself.
    fn fire(&mut self, layer: usize, matrix: Matrix) -> f32 {
        let fired = self.fired.entry((layer, matrix)).or_default();
        *fired += 1;
        if *fired == 1 { 0.0 } else { 1.0 }
    }
}

impl Taps for Gradients {
    fn wants_input(&self, layer: usize, matrix: Matrix) -> bool {
        self.by_role.contains_key(&Role::Weight(layer, matrix))
    }
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        let keep = self.fire(layer, matrix);
        let Some(&index) = self.by_role.get(&Role::Weight(layer, matrix)) else { return Ok(()) };
        let slice = &self.trained.slices[index];
        let (rows, cols) = (slice.shape[0], slice.shape[1]);
        let (n, sum) = (x.len() / cols, &mut self.sums[index]);
        let (delta, x) = (Mat::new(delta, n, rows), Mat::new(x, n, cols));
        let (delta, x) = match &slice.part {
            Part::Whole => (delta, x),
            Part::Rows(members) => (gathered(&*self.backend, &[(delta, members)], &mut self.gathered), x),
            // A column of dW is x_c^T delta: packed column after column, the product with its operands exchanged.
            Part::Columns(members) => (gathered(&*self.backend, &[(x, members)], &mut self.gathered), delta),
        };
        let (height, width) = (delta.cols, x.cols);
        self.backend.gemm_tn(MatMut::new(sum, height, width), delta, x, 1.0, keep);
        Ok(())
    }
    /// Rows of several matrices are one product: their input is read and packed once.
    fn linears(&mut self, layer: usize, x: &[f32], of: &[(Matrix, &[f32])]) -> Result<()> {
        let trained = self.trained.clone();
        let mut rows: Vec<(usize, f32, Mat<'_>, &[usize])> = Vec::new();
        for &(matrix, delta) in of {
            match self.by_role.get(&Role::Weight(layer, matrix)).map(|&index| (index, &trained.slices[index])) {
                Some((index, Slice { part: Part::Rows(members), shape, .. })) => {
                    let delta = Mat::new(delta, x.len() / shape[1], shape[0]);
                    rows.push((index, self.fire(layer, matrix), delta, members));
                }
                _ => self.linear(layer, matrix, x, delta)?,
            }
        }
        let Some(&(index, ..)) = rows.first() else { return Ok(()) };
        let cols = trained.slices[index].shape[1];
        let parts: Vec<(Mat<'_>, &[usize])> = rows.iter().map(|&(_, _, delta, members)| (delta, members)).collect();
        let deltas = gathered(&*self.backend, &parts, &mut self.gathered);
        self.product.resize(deltas.cols * cols, 0.0);
        self.backend.gemm_tn(MatMut::new(&mut self.product, deltas.cols, cols), deltas, Mat::new(x, deltas.rows, cols), 1.0, 0.0);
        let mut rest = self.product.as_slice();
        for (index, keep, ..) in rows {
            let (own, others) = rest.split_at(self.sums[index].len());
            rest = others;
            if keep == 0.0 { self.sums[index].copy_from_slice(own) } else { self.backend.add(&mut self.sums[index], own) }
        }
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
    fn parameter(&mut self, role: Role) -> Option<&mut [f32]> {
        let &index = self.by_role.get(&role)?;
        matches!(self.trained.slices[index].part, Part::Whole).then(|| self.sums[index].as_mut_slice())
    }
}
