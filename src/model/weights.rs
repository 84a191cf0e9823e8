//! Named tensors as f32: borrowed from the mapped file where it is f32, widened once where it is not.

use super::Matrix;
use std::{ops::Deref, sync::Arc};

/// A tensor's values, dense row-major, cheap to clone.
#[derive(Clone)]
pub struct Tensor {
    pub shape: Vec<usize>,
    data: Arc<[f32]>,
}

impl Tensor {
    pub fn new(shape: Vec<usize>, data: Arc<[f32]>) -> Self {
        Self { shape, data }
    }
}

impl Deref for Tensor {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data
    }
}

/// Weights of one block. Linear weights are `[out, in]`.
#[derive(Clone)]
pub struct Block {
    pub norm_attn: Tensor,
    pub norm_mlp: Tensor,
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub o: Tensor,
    pub gate: Tensor,
    pub up: Tensor,
    pub down: Tensor,
    pub q_bias: Option<Tensor>,
    pub k_bias: Option<Tensor>,
    pub v_bias: Option<Tensor>,
    pub o_bias: Option<Tensor>,
    pub gate_bias: Option<Tensor>,
    pub up_bias: Option<Tensor>,
    pub down_bias: Option<Tensor>,
}

impl Block {
    pub fn matrix(&self, m: Matrix) -> &Tensor {
        match m {
            Matrix::Q => &self.q,
            Matrix::K => &self.k,
            Matrix::V => &self.v,
            Matrix::O => &self.o,
            Matrix::Gate => &self.gate,
            Matrix::Up => &self.up,
            Matrix::Down => &self.down,
        }
    }
}

/// All weights of a decoder.
#[derive(Clone)]
pub struct Weights {
    /// `[vocab, d_model]`
    pub embedding: Tensor,
    pub blocks: Vec<Block>,
    pub norm_final: Tensor,
    /// `[vocab, d_model]`; the embedding itself where the head is tied.
    pub head: Tensor,
}
