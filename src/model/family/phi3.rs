//! Phi-3 and Phi-4-mini: llama's parts, with queries, keys and values in one matrix and gate and up in another, and long-context rotations.

use super::{
    ConfigFile, Family, Layout, RopeDefaults, Rows,
    llama::{GatedParts, IGNORED, PREFIXES, gated_spec, tensor_name as llama_name},
    whole, write,
};
use crate::{
    base::Result,
    model::{DecoderSpec, Matrix, spec::PositionSpec, weights::Role},
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "phi3",
    also: &[],
    label: "Phi-3",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/phi3",
    spec,
    config,
    tensor_name,
    layout,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Defaults are those of `Phi3Config`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let mut spec = gated_spec(c, &GatedParts { qkv_bias: false, out_bias: false, mlp_bias: false, head_dim: None, positions: 4096 })?;
    spec.norm.eps = c.positive("rms_norm_eps", 1e-5)? as f32;
    spec.attention.windows = c.windows(spec.n_layers, None, |_| true)?;
    let plain = RopeDefaults::new(10_000.0, spec.attention.head_dim, spec.max_positions);
    // As earlier versions of the model's own code called it.
    let defaults = RopeDefaults { aliases: &[("su", "longrope"), ("yarn", "longrope")], ..plain };
    spec.positions = PositionSpec::Rope { rope: c.rope(&defaults)?, local: None };
    Ok(spec)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "phi3", "Phi3ForCausalLM");
    write::add_windows(&mut map, spec);
    if let Some(rope) = write::global_rope(spec) {
        map.insert("partial_rotary_factor".into(), json!(rope.dims as f64 / spec.attention.head_dim as f64));
        if let Some(original) = map.get("rope_scaling").and_then(|s| s.get("original_max_position_embeddings")).cloned() {
            map.insert("original_max_position_embeddings".into(), original);
        }
    }
    map
}

fn tensor_name(role: Role) -> String {
    match role {
        Role::Weight(l, Matrix::Q | Matrix::K | Matrix::V) => format!("model.layers.{l}.self_attn.qkv_proj.weight"),
        Role::Weight(l, Matrix::Gate | Matrix::Up) => format!("model.layers.{l}.mlp.gate_up_proj.weight"),
        other => llama_name(other),
    }
}

fn layout(spec: &DecoderSpec, role: Role) -> Layout {
    let plain = whole(spec, role);
    let Role::Weight(_, m) = role else { return plain };
    let (q, kv, f) = (spec.q_width(), spec.kv_width(), spec.d_mlp);
    let (rows, first) = match m {
        Matrix::Q => (q + 2 * kv, 0),
        Matrix::K => (q + 2 * kv, q),
        Matrix::V => (q + 2 * kv, q + kv),
        Matrix::Gate => (2 * f, 0),
        Matrix::Up => (2 * f, f),
        Matrix::O | Matrix::Down => return plain,
    };
    Layout::part(&plain.shape, rows, Rows::range(first, plain.shape[0]))
}
