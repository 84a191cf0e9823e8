//! Sums of weight gradients, one tensor for each weight of the model, filled by the taps of a backward pass.

use crate::{
    base::{Error, HookPoint, Result},
    compute::{Backend, Mat, MatMut},
    model::{DecoderSpec, Matrix, Taps, weights::Role},
};
use std::{collections::BTreeMap, sync::Arc};

/// Gradients by role. Shapes are those of the weights.
pub struct Gradients {
    backend: Arc<dyn Backend>,
    tensors: BTreeMap<Role, Vec<f32>>,
    shapes: BTreeMap<Role, (usize, usize)>,
    matrices: &'static [Matrix],
    fired: BTreeMap<(usize, Matrix), usize>,
}

impl Gradients {
    pub fn zeros(spec: &DecoderSpec, backend: Arc<dyn Backend>) -> Self {
        let roles = spec.roles();
        let size = |role: &Role| spec.shape(*role).map_or(0, |s| s.iter().product());
        let tensors = roles.iter().map(|r| (*r, vec![0.0; size(r)])).collect();
        let shapes = roles
            .iter()
            .filter_map(|r| match *r {
                Role::Weight(_, m) => Some((*r, spec.matrix_shape(m))),
                _ => None,
            })
            .collect();
        Self { backend, tensors, shapes, matrices: spec.matrices(), fired: BTreeMap::new() }
    }

    pub fn clear(&mut self) {
        for t in self.tensors.values_mut() {
            t.fill(0.0);
        }
        self.fired.clear();
    }

    pub fn get(&self, role: Role) -> Option<&[f32]> {
        self.tensors.get(&role).map(Vec::as_slice)
    }

    /// Euclidean norm over every gradient, accumulated in f64 in a fixed order.
    pub fn norm(&self) -> f64 {
        let square = |t: &Vec<f32>| t.chunks(4096).map(|c| f64::from(c.iter().map(|g| g * g).sum::<f32>())).sum::<f64>();
        self.tensors.values().map(square).sum::<f64>().sqrt()
    }

    /// # Errors
    /// When a matrix did not get exactly one gradient a micro-batch: a missing gradient is never taken for a zero.
    pub fn check_fired(&self, n_layers: usize, micro_batches: usize) -> Result<()> {
        for layer in 0..n_layers {
            for &m in self.matrices {
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

impl Taps for Gradients {
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        let role = Role::Weight(layer, matrix);
        let (Some(sum), Some(&(rows, cols))) = (self.tensors.get_mut(&role), self.shapes.get(&role)) else {
            return Err(Error::numeric(role.to_string(), "a gradient arrived for a weight that this model does not have"));
        };
        let n = x.len() / cols;
        self.backend.gemm_tn(MatMut::new(sum, rows, cols), Mat::new(delta, n, rows), Mat::new(x, n, cols), 1.0, 1.0);
        *self.fired.entry((layer, matrix)).or_default() += 1;
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
    fn parameter(&mut self, role: Role) -> Option<&mut [f32]> {
        self.tensors.get_mut(&role).map(Vec::as_mut_slice)
    }
}
