//! Config entries that several families write alike, in the older generation's keys, which every reader knows.

use crate::{
    compute::Activation,
    model::{
        DecoderSpec,
        spec::{PositionSpec, RopeScaling, RopeSpec},
    },
};
use serde_json::{Map, Value, json};

pub(super) type Entries = Map<String, Value>;

pub(super) fn entries<const N: usize>(list: [(&str, Value); N]) -> Entries {
    list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Through text, so that 1e-5 is written as 1e-5 and not as the f32 nearest to it.
pub(super) fn short(value: f32) -> f64 {
    value.to_string().parse::<f64>().unwrap_or(f64::from(value))
}

pub(super) fn activation(act: Activation) -> &'static str {
    match act {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::QuickGelu => "quick_gelu",
        Activation::Relu => "relu",
    }
}

/// `rope_scaling` without theta; null where nothing is scaled.
pub(super) fn scaling(rope: &RopeSpec) -> Value {
    match &rope.scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_positions,
        }),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, attention_factor, truncate } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "original_max_position_embeddings": original_max_positions,
            "attention_factor": attention_factor,
            "truncate": truncate,
        }),
        RopeScaling::LongRope { short, long, original_max_positions, attention_factor } => json!({
            "rope_type": "longrope",
            "short_factor": short,
            "long_factor": long,
            "original_max_position_embeddings": original_max_positions,
            "attention_factor": attention_factor,
        }),
    }
}

/// The rotation of layers that see everything.
pub(super) fn global_rope(spec: &DecoderSpec) -> Option<&RopeSpec> {
    match &spec.positions {
        PositionSpec::Rope { rope, .. } => Some(rope),
        PositionSpec::Learned { .. } => None,
    }
}

/// `layer_types` and `sliding_window`.
pub(super) fn add_windows(map: &mut Entries, spec: &DecoderSpec) {
    let windows = &spec.attention.windows;
    let window = windows.iter().copied().flatten().next();
    map.insert("sliding_window".into(), json!(window));
    if window.is_some() {
        let kinds: Vec<&str> = windows.iter().map(|w| if w.is_some() { "sliding_attention" } else { "full_attention" }).collect();
        map.insert("layer_types".into(), json!(kinds));
    }
}

/// The keys of llama and of what is built like it.
pub(super) fn gated(spec: &DecoderSpec, model_type: &str, architecture: &str) -> Entries {
    let a = &spec.attention;
    let mut map = entries([
        ("architectures", json!([architecture])),
        ("model_type", json!(model_type)),
        ("hidden_size", json!(spec.d_model)),
        ("intermediate_size", json!(spec.d_mlp)),
        ("num_hidden_layers", json!(spec.n_layers)),
        ("num_attention_heads", json!(a.n_heads)),
        ("num_key_value_heads", json!(a.n_kv_heads)),
        ("head_dim", json!(a.head_dim)),
        ("vocab_size", json!(spec.vocab)),
        ("max_position_embeddings", json!(spec.max_positions)),
        ("hidden_act", json!(activation(spec.mlp.act()))),
        ("rms_norm_eps", json!(short(spec.norm.eps))),
        ("tie_word_embeddings", json!(spec.tied_head)),
    ]);
    if let Some(rope) = global_rope(spec) {
        map.insert("rope_theta".into(), json!(rope.theta));
        map.insert("rope_scaling".into(), scaling(rope));
    }
    map
}
