//! What a decoder is made of, as data. A family file turns a config.json into this; the forward pass reads nothing else.

use super::{Matrix, weights::Role};
use crate::compute::{Activation, AttentionShape};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecoderSpec {
    pub n_layers: usize,
    pub d_model: usize,
    pub d_mlp: usize,
    pub vocab: usize,
    pub max_positions: usize,
    pub attention: AttentionSpec,
    pub norm: NormSpec,
    pub mlp: MlpSpec,
    pub rope: RopeSpec,
    /// The output matrix is the embedding matrix.
    pub tied_head: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionSpec {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub qkv_bias: bool,
    pub out_bias: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NormSpec {
    Rms { eps: f32 },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MlpSpec {
    /// `down(act(gate(x)) * up(x))`
    Gated { act: Activation, bias: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RopeSpec {
    pub theta: f64,
    pub scaling: RopeScaling,
}

/// How positions are stretched beyond the trained length.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RopeScaling {
    None,
    Linear { factor: f64 },
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_max_positions: usize },
}

impl DecoderSpec {
    pub fn attention_shape(&self) -> AttentionShape {
        let a = &self.attention;
        AttentionShape { n_heads: a.n_heads, n_kv_heads: a.n_kv_heads, head_dim: a.head_dim, scale: 1.0 / (a.head_dim as f32).sqrt() }
    }

    /// Width of the queries and of `attn.hook_z`.
    pub fn q_width(&self) -> usize {
        self.attention.n_heads * self.attention.head_dim
    }

    /// Width of the keys and of the values.
    pub fn kv_width(&self) -> usize {
        self.attention.n_kv_heads * self.attention.head_dim
    }

    /// `(out, in)` of a linear layer.
    pub fn matrix_shape(&self, m: Matrix) -> (usize, usize) {
        match m {
            Matrix::Q => (self.q_width(), self.d_model),
            Matrix::K | Matrix::V => (self.kv_width(), self.d_model),
            Matrix::O => (self.d_model, self.q_width()),
            Matrix::Gate | Matrix::Up => (self.d_mlp, self.d_model),
            Matrix::Down => (self.d_model, self.d_mlp),
        }
    }

    pub fn has_bias(&self, m: Matrix) -> bool {
        let MlpSpec::Gated { bias, .. } = self.mlp;
        match m {
            Matrix::Q | Matrix::K | Matrix::V => self.attention.qkv_bias,
            Matrix::O => self.attention.out_bias,
            Matrix::Gate | Matrix::Up | Matrix::Down => bias,
        }
    }

    /// Shape of a tensor; `None` for one that this model does not have.
    pub fn shape(&self, role: Role) -> Option<Vec<usize>> {
        let inside = |layer: usize, shape: Vec<usize>| (layer < self.n_layers).then_some(shape);
        match role {
            Role::Embedding => Some(vec![self.vocab, self.d_model]),
            Role::Head => (!self.tied_head).then(|| vec![self.vocab, self.d_model]),
            Role::NormFinal => Some(vec![self.d_model]),
            Role::NormAttn(l) | Role::NormMlp(l) => inside(l, vec![self.d_model]),
            Role::Weight(l, m) => {
                let (rows, cols) = self.matrix_shape(m);
                inside(l, vec![rows, cols])
            }
            Role::Bias(l, m) => self.has_bias(m).then(|| inside(l, vec![self.matrix_shape(m).0])).flatten(),
        }
    }

    /// Every tensor of the model, in the order in which [`super::Weights::build`] asks for them.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles = vec![Role::Embedding];
        roles.extend((0..self.n_layers).flat_map(|l| self.roles_of_block(l)));
        roles.push(Role::NormFinal);
        if !self.tied_head {
            roles.push(Role::Head);
        }
        roles
    }

    /// Every tensor of block `layer`.
    pub fn roles_of_block(&self, layer: usize) -> Vec<Role> {
        let mut roles = vec![Role::NormAttn(layer), Role::NormMlp(layer)];
        roles.extend(Matrix::ALL.map(|m| Role::Weight(layer, m)));
        roles.extend(Matrix::ALL.into_iter().filter(|&m| self.has_bias(m)).map(|m| Role::Bias(layer, m)));
        roles
    }

    /// Scalars of one block's linear weights: `P_l` of METHODS 1.
    pub fn linear_params_per_layer(&self) -> u64 {
        Matrix::ALL
            .iter()
            .map(|&m| {
                let (rows, cols) = self.matrix_shape(m);
                rows as u64 * cols as u64
            })
            .sum()
    }

    /// Scalars of the model, tied ones counted once.
    pub fn n_params(&self) -> u64 {
        let d = self.d_model as u64;
        let biases: u64 = Matrix::ALL.iter().filter(|&&m| self.has_bias(m)).map(|&m| self.matrix_shape(m).0 as u64).sum();
        let matrices = if self.tied_head { 1 } else { 2 };
        self.n_layers as u64 * (self.linear_params_per_layer() + biases + 2 * d) + d + matrices * self.vocab as u64 * d
    }
}
