//! GPT-2: layer norms, learned positions, a plain GELU MLP, biases everywhere; linear weights are stored [in, out], queries, keys and values
//! in one.

use super::{
    ConfigFile, Family, Layout, Rows,
    llama::refuse_quantised,
    whole,
    write::{self, entries},
};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec, Matrix,
        spec::{MlpSpec, NormSpec, PositionSpec, Sizes},
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "gpt2",
    also: &[],
    label: "GPT-2",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/gpt2",
    spec,
    config,
    tensor_name,
    layout,
    prefixes: &["transformer.", ""],
    // The causal mask, which old files carry along.
    ignored: &[".attn.bias", ".attn.masked_bias"],
};

/// Defaults are those of `GPT2Config`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    refuse_quantised(c)?;
    if c.flag("add_cross_attention", false)? {
        return Err(c.error("`add_cross_attention` is true; only decoders that stand alone are supported"));
    }
    let d_model = c.size_or("n_embd", None)?.unwrap_or(768);
    let n_heads = c.size_or("n_head", None)?.unwrap_or(12);
    if d_model % n_heads != 0 {
        return Err(c.error(format!("`n_embd` {d_model} is no multiple of `n_head` {n_heads}")));
    }
    let max_positions = c.size_or("n_positions", None)?.unwrap_or(1024);
    let mut spec = DecoderSpec::llama(Sizes {
        n_layers: if c.get("n_layer").is_some() { c.layers("n_layer")? } else { 12 },
        d_model,
        d_mlp: c.size_or("n_inner", None)?.unwrap_or(4 * d_model),
        vocab: c.size_or("vocab_size", None)?.unwrap_or(50_257),
        max_positions,
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads,
    });
    spec.attention.qkv_bias = true;
    spec.attention.out_bias = true;
    if !c.flag("scale_attn_weights", true)? {
        spec.attention.scale = 1.0;
    }
    spec.attention.scale_by_layer = c.flag("scale_attn_by_inverse_layer_idx", false)?;
    spec.norm = NormSpec::layer(c.positive("layer_norm_epsilon", 1e-5)? as f32);
    spec.mlp = MlpSpec::Plain { act: c.activation("activation_function", Activation::GeluTanh)?, bias: true };
    spec.positions = PositionSpec::Learned { offset: 0 };
    spec.tied_head = c.flag("tie_word_embeddings", true)?;
    Ok(spec)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let a = &spec.attention;
    entries([
        ("architectures", json!(["GPT2LMHeadModel"])),
        ("model_type", json!("gpt2")),
        ("n_embd", json!(spec.d_model)),
        ("n_inner", json!(spec.d_mlp)),
        ("n_layer", json!(spec.n_layers)),
        ("n_head", json!(a.n_heads)),
        ("n_positions", json!(spec.max_positions)),
        ("vocab_size", json!(spec.vocab)),
        ("activation_function", json!(write::activation(spec.mlp.act()))),
        ("layer_norm_epsilon", json!(write::short(spec.norm.eps))),
        ("scale_attn_weights", json!(a.scale != 1.0 || a.head_dim == 1)),
        ("scale_attn_by_inverse_layer_idx", json!(a.scale_by_layer)),
        ("tie_word_embeddings", json!(spec.tied_head)),
    ])
}

fn tensor_name(role: Role) -> String {
    let linear = |m: Matrix| match m {
        Matrix::Q | Matrix::K | Matrix::V => "attn.c_attn",
        Matrix::O => "attn.c_proj",
        Matrix::Up => "mlp.c_fc",
        Matrix::Gate => "mlp.c_gate",
        Matrix::Down => "mlp.c_proj",
    };
    let norm = |n: BlockNorm| match n {
        BlockNorm::Attn => "ln_1",
        BlockNorm::Mlp => "ln_2",
        other => other.name(),
    };
    match role {
        Role::Embedding => "transformer.wte.weight".into(),
        Role::Positions => "transformer.wpe.weight".into(),
        Role::Norm(n, l) => format!("transformer.h.{l}.{}.weight", norm(n)),
        Role::NormBias(n, l) => format!("transformer.h.{l}.{}.bias", norm(n)),
        Role::Weight(l, m) => format!("transformer.h.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("transformer.h.{l}.{}.bias", linear(m)),
        Role::NormFinal => "transformer.ln_f.weight".into(),
        Role::NormFinalBias => "transformer.ln_f.bias".into(),
        Role::Head => "lm_head.weight".into(),
        Role::ProjectIn => "transformer.project_in.weight".into(),
        Role::ProjectOut => "transformer.project_out.weight".into(),
    }
}

fn layout(spec: &DecoderSpec, role: Role) -> Layout {
    let plain = whole(spec, role);
    let (Role::Weight(_, m) | Role::Bias(_, m)) = role else { return plain };
    let part = match m {
        Matrix::Q => 0,
        Matrix::K => 1,
        Matrix::V => 2,
        _ => return plain.transposed(),
    };
    let d = plain.shape[0];
    Layout::part(&plain.shape, 3 * d, Rows::range(part * d, d)).transposed()
}
