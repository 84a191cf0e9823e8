//! GPT-NeoX and Pythia: layer norms, attention and MLP side by side, rotation of a part of each head; queries, keys and values in one matrix,
//! head by head.

use super::{
    ConfigFile, Family, Layout, RopeDefaults, Rows,
    llama::refuse_quantised,
    whole,
    write::{self, entries},
};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec, Matrix,
        spec::{MlpSpec, NormSpec, PositionSpec, Residual, Sizes},
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "gpt_neox",
    also: &[],
    label: "GPT-NeoX",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/gpt_neox",
    spec,
    config,
    tensor_name,
    layout,
    prefixes: &["gpt_neox.", ""],
    ignored: &[".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"],
};

/// Defaults are those of `GPTNeoXConfig`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    refuse_quantised(c)?;
    let (d_model, n_heads) = (c.size("hidden_size")?, c.size("num_attention_heads")?);
    if d_model % n_heads != 0 {
        return Err(c.error(format!("`hidden_size` {d_model} is no multiple of `num_attention_heads` {n_heads}")));
    }
    let mut spec = DecoderSpec::llama(Sizes {
        n_layers: c.layers("num_hidden_layers")?,
        d_model,
        d_mlp: c.size("intermediate_size")?,
        vocab: c.size("vocab_size")?,
        max_positions: c.size_or("max_position_embeddings", None)?.unwrap_or(2048),
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads,
    });
    let bias = c.flag("attention_bias", true)?;
    spec.attention.qkv_bias = bias;
    spec.attention.out_bias = bias;
    spec.norm = NormSpec::layer(c.positive("layer_norm_eps", 1e-5)? as f32);
    spec.mlp = MlpSpec::Plain { act: c.activation("hidden_act", Activation::Gelu)?, bias: true };
    let plain = RopeDefaults::new(10_000.0, spec.attention.head_dim, spec.max_positions);
    let defaults = RopeDefaults { theta_key: "rotary_emb_base", partial: 0.25, partial_key: "rotary_pct", ..plain };
    spec.positions = PositionSpec::Rope { rope: c.rope(&defaults)?, local: None };
    spec.residual = if c.flag("use_parallel_residual", true)? { Residual::Parallel } else { Residual::Sequential };
    spec.tied_head = c.flag("tie_word_embeddings", false)?;
    Ok(spec)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = entries([
        ("architectures", json!(["GPTNeoXForCausalLM"])),
        ("model_type", json!("gpt_neox")),
        ("hidden_size", json!(spec.d_model)),
        ("intermediate_size", json!(spec.d_mlp)),
        ("num_hidden_layers", json!(spec.n_layers)),
        ("num_attention_heads", json!(spec.attention.n_heads)),
        ("vocab_size", json!(spec.vocab)),
        ("max_position_embeddings", json!(spec.max_positions)),
        ("hidden_act", json!(write::activation(spec.mlp.act()))),
        ("layer_norm_eps", json!(write::short(spec.norm.eps))),
        ("attention_bias", json!(spec.attention.qkv_bias)),
        ("use_parallel_residual", json!(spec.residual == Residual::Parallel)),
        ("tie_word_embeddings", json!(spec.tied_head)),
    ]);
    if let Some(rope) = write::global_rope(spec) {
        map.extend(entries([
            ("rotary_emb_base", json!(rope.theta)),
            ("rotary_pct", json!(rope.dims as f64 / spec.attention.head_dim as f64)),
            ("rope_scaling", write::scaling(rope)),
        ]));
    }
    map
}

fn tensor_name(role: Role) -> String {
    let linear = |m: Matrix| match m {
        Matrix::Q | Matrix::K | Matrix::V => "attention.query_key_value",
        Matrix::O => "attention.dense",
        Matrix::Up => "mlp.dense_h_to_4h",
        Matrix::Gate => "mlp.dense_gate",
        Matrix::Down => "mlp.dense_4h_to_h",
    };
    let norm = |n: BlockNorm| match n {
        BlockNorm::Attn => "input_layernorm",
        BlockNorm::Mlp => "post_attention_layernorm",
        other => other.name(),
    };
    match role {
        Role::Embedding => "gpt_neox.embed_in.weight".into(),
        Role::Norm(n, l) => format!("gpt_neox.layers.{l}.{}.weight", norm(n)),
        Role::NormBias(n, l) => format!("gpt_neox.layers.{l}.{}.bias", norm(n)),
        Role::Weight(l, m) => format!("gpt_neox.layers.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("gpt_neox.layers.{l}.{}.bias", linear(m)),
        Role::NormFinal => "gpt_neox.final_layer_norm.weight".into(),
        Role::NormFinalBias => "gpt_neox.final_layer_norm.bias".into(),
        Role::Head => "embed_out.weight".into(),
        Role::Positions => "gpt_neox.embed_positions.weight".into(),
        Role::ProjectIn => "gpt_neox.project_in.weight".into(),
        Role::ProjectOut => "gpt_neox.project_out.weight".into(),
    }
}

fn layout(spec: &DecoderSpec, role: Role) -> Layout {
    let plain = whole(spec, role);
    let (Role::Weight(_, m) | Role::Bias(_, m)) = role else { return plain };
    let part = match m {
        Matrix::Q => 0,
        Matrix::K => 1,
        Matrix::V => 2,
        _ => return plain,
    };
    let head = spec.attention.head_dim;
    Layout::part(&plain.shape, 3 * plain.shape[0], Rows { first: part * head, block: head, stride: 3 * head })
}
