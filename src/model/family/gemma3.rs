//! Gemma 3: norms before and after each part that multiply by 1 + w, normed queries and keys, a scaled embedding, and layers that look back
//! through a window with a rotation of their own.

use super::{
    ConfigFile, Family, RopeDefaults,
    llama::{self, IGNORED, PREFIXES, refuse_quantised},
    whole,
    write::{self, entries},
};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec,
        spec::{MlpSpec, NormSpec, PositionSpec, Residual, RopeSpec, Sizes},
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "gemma3_text",
    also: &["gemma3"],
    label: "Gemma 3",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/gemma3",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Defaults are those of `Gemma3TextConfig`. A model that also sees nests its text half.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let c = &c.nested("text_config")?;
    refuse_quantised(c)?;
    if c.flag("use_bidirectional_attention", false)? {
        return Err(c.error("`use_bidirectional_attention` is true; only decoders that look back are supported"));
    }
    let bias = c.flag("attention_bias", false)?;
    let mut spec = DecoderSpec::llama(Sizes {
        n_layers: if c.get("num_hidden_layers").is_some() { c.layers("num_hidden_layers")? } else { 26 },
        d_model: c.size_or("hidden_size", None)?.unwrap_or(2304),
        d_mlp: c.size_or("intermediate_size", None)?.unwrap_or(9216),
        vocab: c.size_or("vocab_size", None)?.unwrap_or(262_208),
        max_positions: c.size_or("max_position_embeddings", None)?.unwrap_or(131_072),
        n_heads: c.size_or("num_attention_heads", None)?.unwrap_or(8),
        n_kv_heads: c.size_or("num_key_value_heads", None)?.unwrap_or(4),
        head_dim: c.size_or("head_dim", None)?.unwrap_or(256),
    });
    let a = &mut spec.attention;
    if !a.n_heads.is_multiple_of(a.n_kv_heads) {
        let (kv, q) = (a.n_kv_heads, a.n_heads);
        return Err(c.error(format!("`num_key_value_heads` is {kv}, expected a divisor of `num_attention_heads`, {q}")));
    }
    a.qkv_bias = bias;
    a.out_bias = bias;
    a.qk_norm = true;
    a.scale = c.positive("query_pre_attn_scalar", 256.0)?.powf(-0.5) as f32;
    a.soft_cap = c.positive_or_none("attn_logit_softcapping")?.map(|cap| cap as f32);
    // Every sixth layer sees everything, where `layer_types` does not say.
    let pattern = c.size_or("sliding_window_pattern", None)?.or(c.size_or("_sliding_window_pattern", None)?).unwrap_or(6);
    a.windows = c.windows(spec.n_layers, Some(4096), |l| (l + 1) % pattern != 0)?;
    let defaults = |theta, theta_key| RopeDefaults { theta_key, ..RopeDefaults::new(theta, a.head_dim, spec.max_positions) };
    let global = defaults(1_000_000.0, "rope_theta");
    let rope = match c.rope_of_layers("full_attention", &global)? {
        Some(rope) => rope,
        None => c.rope(&global)?,
    };
    let near = defaults(10_000.0, "rope_local_base_freq");
    let local = match c.rope_of_layers("sliding_attention", &near)? {
        Some(rope) => rope,
        None => RopeSpec { theta: c.positive("rope_local_base_freq", 10_000.0)?, ..RopeSpec::plain(near.theta, a.head_dim) },
    };
    spec.positions = PositionSpec::Rope { rope, local: Some(local) };
    spec.norm = NormSpec { gain_offset: 1.0, ..NormSpec::rms(c.positive("rms_norm_eps", 1e-6)? as f32) };
    spec.mlp = MlpSpec::Gated { act: c.activation("hidden_activation", Activation::GeluTanh)?, bias: false };
    spec.residual = Residual::Sandwich;
    spec.embedding.scale = (spec.d_model as f32).sqrt();
    spec.logit_soft_cap = c.positive_or_none("final_logit_softcapping")?.map(|cap| cap as f32);
    spec.tied_head = c.flag("tie_word_embeddings", true)?;
    Ok(spec)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "gemma3_text", "Gemma3ForCausalLM");
    for key in ["hidden_act", "rope_theta", "rope_scaling"] {
        map.remove(key);
    }
    let rope = |rope: &RopeSpec| {
        let mut group = match write::scaling(rope) {
            Value::Object(group) => group,
            _ => entries([("rope_type", json!("default"))]),
        };
        group.insert("rope_theta".into(), json!(rope.theta));
        Value::Object(group)
    };
    if let PositionSpec::Rope { rope: global, local } = &spec.positions {
        let local = local.as_ref().unwrap_or(global);
        map.insert("rope_parameters".into(), json!({ "full_attention": rope(global), "sliding_attention": rope(local) }));
    }
    // The scale was rounded to f32; the scalar is a whole number in every model, and transformers refuses `256.0`.
    let scalar = f64::from(spec.attention.scale).powi(-2);
    let scalar = if (scalar - scalar.round()).abs() < 1e-4 { json!(scalar.round() as u64) } else { json!(scalar) };
    map.extend(entries([
        ("hidden_activation", json!(write::activation(spec.mlp.act()))),
        ("attention_bias", json!(spec.attention.qkv_bias)),
        ("query_pre_attn_scalar", scalar),
        ("attn_logit_softcapping", json!(spec.attention.soft_cap.map(write::short))),
        ("final_logit_softcapping", json!(spec.logit_soft_cap.map(write::short))),
    ]));
    write::add_windows(&mut map, spec);
    if spec.attention.windows.is_empty() {
        map.insert("layer_types".into(), json!(vec!["full_attention"; spec.n_layers]));
    }
    map
}

fn tensor_name(role: Role) -> String {
    match role {
        Role::Norm(BlockNorm::PostAttn, l) => format!("model.layers.{l}.post_attention_layernorm.weight"),
        Role::Norm(BlockNorm::Mlp, l) => format!("model.layers.{l}.pre_feedforward_layernorm.weight"),
        Role::NormBias(BlockNorm::PostAttn, l) => format!("model.layers.{l}.post_attention_layernorm.bias"),
        Role::NormBias(BlockNorm::Mlp, l) => format!("model.layers.{l}.pre_feedforward_layernorm.bias"),
        other => llama::tensor_name(other),
    }
}
