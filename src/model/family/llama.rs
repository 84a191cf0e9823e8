//! Llama and what is built like it: RMS norm, rotary positions, grouped-query attention, gated SiLU MLP.

use super::{ConfigFile, Family};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec, Matrix,
        spec::{AttentionSpec, MlpSpec, NormSpec, RopeScaling},
        weights::Role,
    },
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "llama",
    label: "Llama",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/llama",
    spec,
    config,
    tensor_name,
};

/// Defaults are those of `LlamaConfig`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let attention = c.flag("attention_bias", false)?;
    gated_spec(c, &Biases { qkv: attention, out: attention, mlp: c.flag("mlp_bias", false)? }, 2048)
}

pub(super) struct Biases {
    pub qkv: bool,
    pub out: bool,
    pub mlp: bool,
}

/// The keys that this family shares with those built like it.
pub(super) fn gated_spec(c: &ConfigFile, biases: &Biases, default_positions: usize) -> Result<DecoderSpec> {
    if let Some(q) = c.get("quantization_config") {
        let method = q.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
        return Err(c.error(format!("weights are quantised ({method}); expected plain f32, f16 or bf16 weights")));
    }
    let act = match c.get("hidden_act").map_or("silu", |v| v.as_str().unwrap_or("?")) {
        "silu" | "swish" => Activation::Silu,
        _ => return Err(c.error(format!("`hidden_act` is {}, supported here: \"silu\"", c.get("hidden_act").unwrap_or(&Value::Null)))),
    };
    let (d_model, n_heads) = (c.size("hidden_size")?, c.size("num_attention_heads")?);
    let n_kv_heads = c.size_or("num_key_value_heads", None)?.unwrap_or(n_heads);
    if n_heads % n_kv_heads != 0 {
        return Err(c.error(format!("`num_key_value_heads` is {n_kv_heads}, expected a divisor of `num_attention_heads`, {n_heads}")));
    }
    let head_dim = match c.size_or("head_dim", None)? {
        Some(explicit) => explicit,
        None if d_model % n_heads == 0 => d_model / n_heads,
        None => {
            return Err(
                c.error(format!("`hidden_size` {d_model} is no multiple of `num_attention_heads` {n_heads}, and there is no `head_dim`"))
            );
        }
    };
    if head_dim % 2 != 0 {
        return Err(c.error(format!("heads are {head_dim} wide; rotary positions need an even width")));
    }
    let max_positions = c.size_or("max_position_embeddings", None)?.unwrap_or(default_positions);
    Ok(DecoderSpec {
        n_layers: c.layers("num_hidden_layers")?,
        d_model,
        d_mlp: c.size("intermediate_size")?,
        vocab: c.size("vocab_size")?,
        max_positions,
        attention: AttentionSpec { n_heads, n_kv_heads, head_dim, qkv_bias: biases.qkv, out_bias: biases.out },
        norm: NormSpec::Rms { eps: c.positive("rms_norm_eps", 1e-6)? as f32 },
        mlp: MlpSpec::Gated { act, bias: biases.mlp },
        rope: c.rope(10_000.0, max_positions)?,
        tied_head: c.flag("tie_word_embeddings", false)?,
    })
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = gated_config(spec, "llama", "LlamaForCausalLM");
    let MlpSpec::Gated { bias, .. } = spec.mlp;
    map.insert("attention_bias".into(), spec.attention.qkv_bias.into());
    map.insert("mlp_bias".into(), bias.into());
    map
}

/// The older generation's keys, which every reader knows.
pub(super) fn gated_config(spec: &DecoderSpec, model_type: &str, architecture: &str) -> Map<String, Value> {
    let NormSpec::Rms { eps } = spec.norm;
    let scaling = match &spec.rope.scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_positions,
        }),
    };
    let a = &spec.attention;
    // Through text, so that 1e-5 is written as 1e-5 and not as the f32 nearest to it.
    let eps = eps.to_string().parse::<f64>().unwrap_or(f64::from(eps));
    let entries = [
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
        ("hidden_act", json!("silu")),
        ("rms_norm_eps", json!(eps)),
        ("rope_theta", json!(spec.rope.theta)),
        ("rope_scaling", scaling),
        ("tie_word_embeddings", json!(spec.tied_head)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn tensor_name(role: Role) -> String {
    let linear = |m: Matrix| match m {
        Matrix::Q => "self_attn.q_proj",
        Matrix::K => "self_attn.k_proj",
        Matrix::V => "self_attn.v_proj",
        Matrix::O => "self_attn.o_proj",
        Matrix::Gate => "mlp.gate_proj",
        Matrix::Up => "mlp.up_proj",
        Matrix::Down => "mlp.down_proj",
    };
    match role {
        Role::Embedding => "model.embed_tokens.weight".into(),
        Role::NormAttn(l) => format!("model.layers.{l}.input_layernorm.weight"),
        Role::NormMlp(l) => format!("model.layers.{l}.post_attention_layernorm.weight"),
        Role::Weight(l, m) => format!("model.layers.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("model.layers.{l}.{}.bias", linear(m)),
        Role::NormFinal => "model.norm.weight".into(),
        Role::Head => "lm_head.weight".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(value: Value) -> Result<DecoderSpec> {
        spec(&ConfigFile::parse(Path::new("config.json"), value.to_string().as_bytes())?)
    }

    fn with(changes: Value) -> Value {
        let mut base = json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
            "vocab_size": 512,
        });
        for (key, value) in changes.as_object().expect("object") {
            base[key] = value.clone();
        }
        base
    }

    #[test]
    fn both_generations_of_config_give_the_same_spec() {
        let old = with(json!({ "rope_theta": 500000.0, "torch_dtype": "bfloat16", "max_position_embeddings": 131072, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3" } }));
        let new = with(json!({ "dtype": "bfloat16", "max_position_embeddings": 131072, "rope_parameters": { "rope_theta": 500000.0,
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3" } }));
        let spec = read(old).expect("old");
        assert_eq!(spec, read(new).expect("new"));
        assert_eq!(spec.rope.theta, 500000.0);
        assert!(matches!(spec.rope.scaling, RopeScaling::Llama3 { original_max_positions: 8192, .. }));
        let linear = read(with(json!({ "rope_scaling": { "type": "linear", "factor": 2.5 } }))).expect("linear");
        assert_eq!(linear.rope.scaling, RopeScaling::Linear { factor: 2.5 });
    }

    #[test]
    fn absent_keys_take_the_family_defaults() {
        let s = read(with(json!({ "num_key_value_heads": null }))).expect("spec");
        assert_eq!((s.attention.n_kv_heads, s.attention.head_dim, s.max_positions), (8, 8, 2048));
        assert_eq!(s.norm, NormSpec::Rms { eps: 1e-6 });
        assert!(!s.tied_head && !s.attention.qkv_bias);
        assert_eq!(s.rope.theta, 10_000.0);
    }

    #[test]
    fn what_is_saved_reads_back_as_the_same_spec() {
        for extra in [
            json!({ "tie_word_embeddings": true, "attention_bias": true, "rms_norm_eps": 1e-5, "num_key_value_heads": 2, "head_dim": 16 }),
            json!({ "mlp_bias": true, "rope_parameters": { "rope_type": "linear", "factor": 4.0, "rope_theta": 7e5 } }),
            json!({ "rope_scaling": { "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192 } }),
        ] {
            let s = read(with(extra)).expect("spec");
            assert_eq!(read(Value::Object(config(&s))).expect("saved"), s);
        }
    }

    #[test]
    fn a_config_that_makes_no_sense_is_refused_with_key_and_value() {
        for (change, words) in [
            (json!({ "hidden_size": -3 }), ["`hidden_size`", "-3"]),
            (json!({ "hidden_size": 1e30 }), ["`hidden_size`", "1e+30"]),
            (json!({ "num_hidden_layers": 0 }), ["`num_hidden_layers`", "0"]),
            (json!({ "vocab_size": "many" }), ["`vocab_size`", "many"]),
            (json!({ "num_key_value_heads": 3 }), ["`num_key_value_heads`", "divisor"]),
            (json!({ "hidden_size": 65 }), ["65", "head_dim"]),
            (json!({ "head_dim": 7 }), ["7", "even"]),
            (json!({ "hidden_act": "gelu" }), ["gelu", "silu"]),
            (json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } }), ["yarn", "llama3"]),
            (json!({ "rope_scaling": { "type": "linear" } }), ["rope_scaling.factor", "missing"]),
            (json!({ "rope_theta": 0 }), ["`rope_theta`", "above 0"]),
            (json!({ "rope_parameters": { "partial_rotary_factor": 0.5 } }), ["partial_rotary_factor", "0.5"]),
            (json!({ "quantization_config": { "quant_method": "gptq" } }), ["gptq", "bf16"]),
            (json!({ "tie_word_embeddings": "yes" }), ["tie_word_embeddings", "true or false"]),
        ] {
            let message = read(with(change.clone())).expect_err(&change.to_string()).to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{change}: {message}");
            assert!(message.starts_with("config.json"), "{message}");
        }
    }
}
