//! Where a tensor of ours lies in a GGUF file: its name, its rows of a fused one, and how the format's writers change it.

use super::metadata::Metadata;
use crate::model::{
    DecoderSpec, Matrix,
    weights::{BlockNorm, Role},
};

/// How a file's tensor differs from what the family's forward pass takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Inside each of so many heads, rows `0, 1, 2, 3, ...` are the first and second halves by turns: `0, n/2, 1, n/2 + 1, ...`.
    Uninterleave {
        heads: usize,
    },
    /// The family adds 1 to what is stored, and the file has it added.
    LessOne,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub name: String,
    /// Of the whole stored tensor.
    pub shape: Vec<usize>,
    /// First of our rows in it.
    pub first_row: usize,
    pub change: Change,
}

impl Place {
    /// Without the architecture's change.
    pub fn of(role: Role, spec: &DecoderSpec, meta: &Metadata<'_, '_>) -> Self {
        let mut shape = spec.shape(role).unwrap_or_default();
        let (mut name, mut first_row) = (name(role), 0);
        if let Role::Weight(l, m) | Role::Bias(l, m) = role {
            let end = if matches!(role, Role::Bias(..)) { "bias" } else { "weight" };
            let (q, kv) = (spec.q_width(), spec.kv_width());
            let fused = format!("blk.{l}.attn_qkv.{end}");
            match m {
                Matrix::Q | Matrix::K | Matrix::V if meta.has_tensor(&fused) => {
                    first_row = [0, q, q + kv][m as usize];
                    (name, shape[0]) = (fused, q + 2 * kv);
                }
                // Without a gate of its own, the first half of `ffn_up` is the gate.
                Matrix::Gate | Matrix::Up if spec.mlp.is_gated() && !meta.has_tensor(&format!("blk.{l}.ffn_gate.{end}")) => {
                    first_row = if m == Matrix::Up { spec.d_mlp } else { 0 };
                    (name, shape[0]) = (format!("blk.{l}.ffn_up.{end}"), 2 * spec.d_mlp);
                }
                _ => {}
            }
        }
        Self { name, shape, first_row, change: Change::None }
    }
}

/// Of a tensor that is stored alone.
fn name(role: Role) -> String {
    let linear = |m: Matrix| match m {
        Matrix::Q => "attn_q",
        Matrix::K => "attn_k",
        Matrix::V => "attn_v",
        Matrix::O => "attn_output",
        Matrix::Gate => "ffn_gate",
        Matrix::Up => "ffn_up",
        Matrix::Down => "ffn_down",
    };
    let norm = |n: BlockNorm| match n {
        BlockNorm::Attn => "attn_norm",
        BlockNorm::Mlp => "ffn_norm",
        BlockNorm::PostAttn => "post_attention_norm",
        BlockNorm::PostMlp => "post_ffw_norm",
        BlockNorm::Q => "attn_q_norm",
        BlockNorm::K => "attn_k_norm",
    };
    match role {
        Role::Embedding => "token_embd.weight".into(),
        Role::Positions => "position_embd.weight".into(),
        Role::Norm(n, l) => format!("blk.{l}.{}.weight", norm(n)),
        Role::NormBias(n, l) => format!("blk.{l}.{}.bias", norm(n)),
        Role::Weight(l, m) => format!("blk.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("blk.{l}.{}.bias", linear(m)),
        Role::NormFinal => "output_norm.weight".into(),
        Role::NormFinalBias => "output_norm.bias".into(),
        Role::Head => "output.weight".into(),
        // No architecture of the format has them.
        Role::ProjectIn => "project_in.weight".into(),
        Role::ProjectOut => "project_out.weight".into(),
    }
}

pub(super) fn unchanged(_: Role, _: &DecoderSpec) -> Change {
    Change::None
}

/// Queries and keys are stored for a rotation of neighbouring values, and our families rotate halves.
pub(super) fn interleaved(role: Role, spec: &DecoderSpec) -> Change {
    match role {
        Role::Weight(_, Matrix::Q) | Role::Bias(_, Matrix::Q) => Change::Uninterleave { heads: spec.attention.n_heads },
        Role::Weight(_, Matrix::K) | Role::Bias(_, Matrix::K) => Change::Uninterleave { heads: spec.attention.n_kv_heads },
        _ => Change::None,
    }
}

pub(super) fn gains_plus_one(role: Role, _: &DecoderSpec) -> Change {
    if matches!(role, Role::Norm(..) | Role::NormFinal) { Change::LessOne } else { Change::None }
}
