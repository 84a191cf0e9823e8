//! What a decoder is made of, as data. A family file turns a config.json into this; the forward pass reads nothing else.

use super::{
    Matrix,
    weights::{BlockNorm, Role},
};
use crate::{
    base::HookPoint,
    compute::{Activation, AttentionShape, Norm, NormKind},
};
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
    pub positions: PositionSpec,
    pub residual: Residual,
    pub embedding: EmbeddingSpec,
    /// There is a norm before the head.
    pub final_norm: bool,
    /// Logits become `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f32>,
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
    /// Multiplies `q . k`.
    pub scale: f32,
    /// The scale of layer `l` is divided by `l + 1` (an option of GPT-2).
    pub scale_by_layer: bool,
    /// Queries and keys are normed head by head before they are rotated.
    pub qk_norm: bool,
    /// Scores `s` become `cap * tanh(s / cap)`.
    pub soft_cap: Option<f32>,
    /// How many positions a query of each layer sees, its own included; `None` sees all before it. One a layer, or empty for `None` everywhere.
    pub windows: Vec<Option<usize>>,
}

/// The norms of a model; all have the same form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormSpec {
    pub kind: NormKind,
    pub eps: f32,
    /// 1 where a family stores the gain less 1.
    pub gain_offset: f32,
    pub bias: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MlpSpec {
    /// `down(act(gate(x)) * up(x))`
    Gated { act: Activation, bias: bool },
    /// `down(act(up(x)))`
    Plain { act: Activation, bias: bool },
}

/// How a token knows where it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PositionSpec {
    /// Queries and keys are rotated; layers with a window by `local` where there is one.
    Rope { rope: RopeSpec, local: Option<RopeSpec> },
    /// Row `position + offset` of a table is added to the embedding.
    Learned { offset: usize },
}

/// Where a block's norms stand and what its two parts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// `x += attn(norm(x)); x += mlp(norm(x))`
    Sequential,
    /// `x += attn(norm1(x)) + mlp(norm2(x))`
    Parallel,
    /// `x += norm(attn(norm(x))); x += norm(mlp(norm(x)))`
    Sandwich,
    /// `x = norm(x + attn(x)); x = norm(x + mlp(x))`
    PostNorm,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EmbeddingSpec {
    /// Width of the embedding table and of the head; other than `d_model` where two matrices go between.
    pub width: usize,
    /// Multiplies the embedding of each token.
    pub scale: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RopeSpec {
    pub theta: f64,
    /// Coordinates of a head that are rotated; the others stay.
    pub dims: usize,
    pub scaling: RopeScaling,
}

/// How positions are stretched beyond the trained length.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RopeScaling {
    None,
    Linear {
        factor: f64,
    },
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_positions: usize,
    },
    /// cos and sin are multiplied by `attention_factor`.
    Yarn {
        factor: f64,
        beta_fast: f64,
        beta_slow: f64,
        original_max_positions: usize,
        attention_factor: f64,
        truncate: bool,
    },
    /// Each pair has a factor of its own: `short` for sequences up to the original length, `long` for longer ones.
    LongRope {
        short: Vec<f64>,
        long: Vec<f64>,
        original_max_positions: usize,
        attention_factor: f64,
    },
}

/// Sizes of a decoder, for [`DecoderSpec::llama`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub n_layers: usize,
    pub d_model: usize,
    pub d_mlp: usize,
    pub vocab: usize,
    pub max_positions: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
}

impl RopeSpec {
    /// Unscaled, of whole heads.
    pub fn plain(theta: f64, dims: usize) -> Self {
        Self { theta, dims, scaling: RopeScaling::None }
    }
}

impl NormSpec {
    pub fn rms(eps: f32) -> Self {
        Self { kind: NormKind::Rms, eps, gain_offset: 0.0, bias: false }
    }
    pub fn layer(eps: f32) -> Self {
        Self { kind: NormKind::Layer, eps, gain_offset: 0.0, bias: true }
    }
    pub fn norm(&self) -> Norm {
        Norm { kind: self.kind, eps: self.eps, gain_offset: self.gain_offset }
    }
}

impl MlpSpec {
    pub fn act(&self) -> Activation {
        let (Self::Gated { act, .. } | Self::Plain { act, .. }) = *self;
        act
    }
    pub fn bias(&self) -> bool {
        let (Self::Gated { bias, .. } | Self::Plain { bias, .. }) = *self;
        bias
    }
    pub fn is_gated(&self) -> bool {
        matches!(self, Self::Gated { .. })
    }
}

impl DecoderSpec {
    /// The plainest decoder of llama's kind: RMS norms (eps 1e-5), gated SiLU MLP, rotary positions (theta 10,000), no biases, a head of its own.
    pub fn llama(s: Sizes) -> Self {
        Self {
            n_layers: s.n_layers,
            d_model: s.d_model,
            d_mlp: s.d_mlp,
            vocab: s.vocab,
            max_positions: s.max_positions,
            attention: AttentionSpec {
                n_heads: s.n_heads,
                n_kv_heads: s.n_kv_heads,
                head_dim: s.head_dim,
                qkv_bias: false,
                out_bias: false,
                scale: 1.0 / (s.head_dim as f32).sqrt(),
                scale_by_layer: false,
                qk_norm: false,
                soft_cap: None,
                windows: Vec::new(),
            },
            norm: NormSpec::rms(1e-5),
            mlp: MlpSpec::Gated { act: Activation::Silu, bias: false },
            positions: PositionSpec::Rope { rope: RopeSpec::plain(10_000.0, s.head_dim), local: None },
            residual: Residual::Sequential,
            embedding: EmbeddingSpec { width: s.d_model, scale: 1.0 },
            final_norm: true,
            logit_soft_cap: None,
            tied_head: false,
        }
    }

    pub fn attention_shape(&self, layer: usize) -> AttentionShape {
        let a = &self.attention;
        let divided = if a.scale_by_layer { a.scale / (layer + 1) as f32 } else { a.scale };
        AttentionShape {
            n_heads: a.n_heads,
            n_kv_heads: a.n_kv_heads,
            head_dim: a.head_dim,
            scale: divided,
            window: self.window(layer),
            soft_cap: a.soft_cap,
        }
    }

    /// How far back the queries of a layer see, themselves included; `None`: to the beginning.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.attention.windows.get(layer).copied().flatten()
    }

    /// The rotation of a layer; `None` where positions are learned.
    pub fn rope(&self, layer: usize) -> Option<&RopeSpec> {
        match &self.positions {
            PositionSpec::Rope { rope, local } => Some(local.as_ref().filter(|_| self.window(layer).is_some()).unwrap_or(rope)),
            PositionSpec::Learned { .. } => None,
        }
    }

    /// The length beyond which a sequence is rotated otherwise from its first token on, where there is one.
    pub fn long_from(&self) -> Option<usize> {
        let PositionSpec::Rope { rope, local } = &self.positions else { return None };
        std::iter::once(rope).chain(local).filter_map(super::rope::long_from).min()
    }

    /// Width of the queries and of `attn.hook_z`.
    pub fn q_width(&self) -> usize {
        self.attention.n_heads * self.attention.head_dim
    }

    /// Width of the keys and of the values.
    pub fn kv_width(&self) -> usize {
        self.attention.n_kv_heads * self.attention.head_dim
    }

    /// The linear weights of a block, in the order in which they are flattened and reported.
    pub fn matrices(&self) -> &'static [Matrix] {
        if self.mlp.is_gated() { &Matrix::ALL } else { &Matrix::PLAIN }
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
        self.matrices().contains(&m)
            && match m {
                Matrix::Q | Matrix::K | Matrix::V => self.attention.qkv_bias,
                Matrix::O => self.attention.out_bias,
                Matrix::Gate | Matrix::Up | Matrix::Down => self.mlp.bias(),
            }
    }

    pub fn has_norm(&self, norm: BlockNorm) -> bool {
        match norm {
            BlockNorm::Attn | BlockNorm::Mlp => true,
            BlockNorm::PostAttn | BlockNorm::PostMlp => self.residual == Residual::Sandwich,
            BlockNorm::Q | BlockNorm::K => self.attention.qk_norm,
        }
    }

    /// Hook points this model has, in the order of the forward pass.
    pub fn hook_points(&self) -> Vec<HookPoint> {
        let has = |p: &HookPoint| match p {
            HookPoint::MlpPreLinear(_) => self.mlp.is_gated(),
            HookPoint::ResidMid(_) => self.residual != Residual::Parallel,
            HookPoint::PosEmbed => matches!(self.positions, PositionSpec::Learned { .. }),
            HookPoint::FinalNorm => self.final_norm,
            _ => true,
        };
        HookPoint::all(self.n_layers).into_iter().filter(has).collect()
    }

    /// Shape of a tensor; `None` for one that this model does not have.
    pub fn shape(&self, role: Role) -> Option<Vec<usize>> {
        let inside = |layer: usize, shape: Vec<usize>| (layer < self.n_layers).then_some(shape);
        let norm_width = |norm: BlockNorm| match norm {
            BlockNorm::Q | BlockNorm::K => self.attention.head_dim,
            _ => self.d_model,
        };
        let projected = self.embedding.width != self.d_model;
        match role {
            Role::Embedding => Some(vec![self.vocab, self.embedding.width]),
            Role::Head => (!self.tied_head).then(|| vec![self.vocab, self.embedding.width]),
            Role::Positions => match self.positions {
                PositionSpec::Learned { offset } => Some(vec![self.max_positions + offset, self.d_model]),
                PositionSpec::Rope { .. } => None,
            },
            Role::ProjectIn => projected.then(|| vec![self.d_model, self.embedding.width]),
            Role::ProjectOut => projected.then(|| vec![self.embedding.width, self.d_model]),
            Role::NormFinal => self.final_norm.then(|| vec![self.d_model]),
            Role::NormFinalBias => (self.final_norm && self.norm.bias).then(|| vec![self.d_model]),
            Role::Norm(norm, l) => self.has_norm(norm).then(|| inside(l, vec![norm_width(norm)])).flatten(),
            Role::NormBias(norm, l) => (self.norm.bias && self.has_norm(norm)).then(|| inside(l, vec![norm_width(norm)])).flatten(),
            Role::Weight(l, m) => {
                let (rows, cols) = self.matrix_shape(m);
                self.matrices().contains(&m).then(|| inside(l, vec![rows, cols])).flatten()
            }
            Role::Bias(l, m) => self.has_bias(m).then(|| inside(l, vec![self.matrix_shape(m).0])).flatten(),
        }
    }

    /// Every tensor of the model, in the order in which [`super::Weights::build`] asks for them.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles = self.roles_before_blocks();
        roles.extend((0..self.n_layers).flat_map(|l| self.roles_of_block(l)));
        roles.extend(self.roles_after_blocks());
        roles
    }

    pub(super) fn roles_before_blocks(&self) -> Vec<Role> {
        [Role::Embedding, Role::Positions, Role::ProjectIn].into_iter().filter(|r| self.shape(*r).is_some()).collect()
    }

    pub(super) fn roles_after_blocks(&self) -> Vec<Role> {
        [Role::NormFinal, Role::NormFinalBias, Role::ProjectOut, Role::Head].into_iter().filter(|r| self.shape(*r).is_some()).collect()
    }

    /// Every tensor of block `layer`.
    pub fn roles_of_block(&self, layer: usize) -> Vec<Role> {
        let norms = BlockNorm::ALL.into_iter().filter(|&n| self.has_norm(n));
        let mut roles: Vec<Role> = norms.clone().map(|n| Role::Norm(n, layer)).collect();
        roles.extend(self.matrices().iter().map(|&m| Role::Weight(layer, m)));
        roles.extend(self.matrices().iter().filter(|&&m| self.has_bias(m)).map(|&m| Role::Bias(layer, m)));
        if self.norm.bias {
            roles.extend(norms.map(|n| Role::NormBias(n, layer)));
        }
        roles
    }

    /// Scalars of one block's linear weights: `P_l` of METHODS 1.
    pub fn linear_params_per_layer(&self) -> u64 {
        let size = |&m: &Matrix| {
            let (rows, cols) = self.matrix_shape(m);
            rows as u64 * cols as u64
        };
        self.matrices().iter().map(size).sum()
    }

    /// Scalars of the model, tied ones counted once.
    pub fn n_params(&self) -> u64 {
        let count = |roles: Vec<Role>| -> u64 {
            roles.into_iter().filter_map(|r| self.shape(r)).map(|s| s.iter().map(|&n| n as u64).product::<u64>()).sum()
        };
        // All blocks are alike.
        let blocks = if self.n_layers == 0 { 0 } else { self.n_layers as u64 * count(self.roles_of_block(0)) };
        count(self.roles_before_blocks()) + blocks + count(self.roles_after_blocks())
    }
}
