//! What a decoder is made of, as data. A family file turns a config.json into this; the forward pass reads nothing else.

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
}
