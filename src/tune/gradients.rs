//! Sums of weight gradients, one tensor for each weight of the model, filled by the taps of a backward pass.

use crate::{
    base::{Error, HookPoint, Result},
    compute::{Backend, Mat, MatMut},
    model::{DecoderSpec, HeadGradients, Matrix, Taps, weights::Role},
};
use std::{collections::BTreeMap, sync::Arc};

/// Gradients by role. Shapes are those of the weights.
pub struct Gradients {
    backend: Arc<dyn Backend>,
    tensors: BTreeMap<Role, Vec<f32>>,
    shapes: BTreeMap<Role, (usize, usize)>,
    head: Role,
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
        let head = if spec.tied_head { Role::Embedding } else { Role::Head };
        Self { backend, tensors, shapes, head, fired: BTreeMap::new() }
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

    /// Where a tied head adds to the embedding's gradient, an untied one to its own.
    pub fn head(&mut self) -> Result<HeadGradients<'_>> {
        let head = self.head;
        let mut found = (None, None);
        for (role, tensor) in &mut self.tensors {
            if *role == head {
                found.0 = Some(tensor.as_mut_slice());
            } else if *role == Role::NormFinal {
                found.1 = Some(tensor.as_mut_slice());
            }
        }
        match found {
            (Some(head), Some(norm_final)) => Ok(HeadGradients { head, norm_final }),
            _ => Err(Error::invalid("a decoder needs a head and a final norm")),
        }
    }

    pub fn embedding(&mut self) -> &mut [f32] {
        self.tensors.get_mut(&Role::Embedding).map_or(&mut [], Vec::as_mut_slice)
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
            for m in Matrix::ALL {
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
    fn norm_gain(&mut self, layer: usize, first: bool) -> Option<&mut [f32]> {
        let role = if first { Role::NormAttn(layer) } else { Role::NormMlp(layer) };
        self.tensors.get_mut(&role).map(Vec::as_mut_slice)
    }
    fn bias(&mut self, layer: usize, matrix: Matrix) -> Option<&mut [f32]> {
        self.tensors.get_mut(&Role::Bias(layer, matrix)).map(Vec::as_mut_slice)
    }
}
