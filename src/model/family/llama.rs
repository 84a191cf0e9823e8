//! Llama and what is built like it: RMS norm, rotary positions, grouped-query attention, gated SiLU MLP.

use super::{ConfigFile, Family, RopeDefaults, whole, write};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec, Matrix,
        spec::{MlpSpec, NormSpec, PositionSpec, Sizes},
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value};

pub const FAMILY: Family = Family {
    model_type: "llama",
    also: &[],
    label: "Llama",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/llama",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Saved without a head, or as the text half of a model that sees.
pub(super) const PREFIXES: &[&str] = &["model.", "", "language_model.model.", "model.language_model."];
pub(super) const IGNORED: &[&str] = &["rotary_emb.inv_freq"];

/// Defaults are those of `LlamaConfig`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let attention = c.flag("attention_bias", false)?;
    let spec = gated_spec(
        c,
        &GatedParts { qkv_bias: attention, out_bias: attention, mlp_bias: c.flag("mlp_bias", false)?, head_dim: None, positions: 2048 },
    )?;
    with_rope(spec, c, 10_000.0)
}

/// What one of these families has, and what it takes where its config is silent.
pub(super) struct GatedParts {
    pub qkv_bias: bool,
    pub out_bias: bool,
    pub mlp_bias: bool,
    /// `None`: the model's width over its heads.
    pub head_dim: Option<usize>,
    pub positions: usize,
}

/// The keys that this family shares with those built like it.
pub(super) fn gated_spec(c: &ConfigFile, parts: &GatedParts) -> Result<DecoderSpec> {
    refuse_quantised(c)?;
    let act = c.activation("hidden_act", Activation::Silu)?;
    let (d_model, n_heads) = (c.size("hidden_size")?, c.size("num_attention_heads")?);
    let n_kv_heads = c.size_or("num_key_value_heads", None)?.unwrap_or(n_heads);
    if n_heads % n_kv_heads != 0 {
        return Err(c.error(format!("`num_key_value_heads` is {n_kv_heads}, expected a divisor of `num_attention_heads`, {n_heads}")));
    }
    let head_dim = match c.size_or("head_dim", parts.head_dim)? {
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
    let max_positions = c.size_or("max_position_embeddings", None)?.unwrap_or(parts.positions);
    let mut spec = DecoderSpec::llama(Sizes {
        n_layers: c.layers("num_hidden_layers")?,
        d_model,
        d_mlp: c.size("intermediate_size")?,
        vocab: c.size("vocab_size")?,
        max_positions,
        n_heads,
        n_kv_heads,
        head_dim,
    });
    spec.attention.qkv_bias = parts.qkv_bias;
    spec.attention.out_bias = parts.out_bias;
    spec.norm = NormSpec::rms(c.positive("rms_norm_eps", 1e-6)? as f32);
    spec.mlp = MlpSpec::Gated { act, bias: parts.mlp_bias };
    spec.tied_head = c.flag("tie_word_embeddings", false)?;
    Ok(spec)
}

/// Sets the rotation that the config describes.
pub(super) fn with_rope(mut spec: DecoderSpec, c: &ConfigFile, theta: f64) -> Result<DecoderSpec> {
    let defaults = RopeDefaults::new(theta, spec.attention.head_dim, spec.max_positions);
    spec.positions = PositionSpec::Rope { rope: c.rope(&defaults)?, local: None };
    Ok(spec)
}

/// Weights packed by a quantiser are no plain matrices.
pub(super) fn refuse_quantised(c: &ConfigFile) -> Result<()> {
    let Some(q) = c.get("quantization_config") else { return Ok(()) };
    let method = q.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
    Err(c.error(format!("weights are quantised ({method}); expected plain f32, f16 or bf16 weights")))
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "llama", "LlamaForCausalLM");
    map.insert("attention_bias".into(), spec.attention.qkv_bias.into());
    map.insert("mlp_bias".into(), spec.mlp.bias().into());
    map
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
    let norm = |n: BlockNorm| match n {
        BlockNorm::Attn => "input_layernorm",
        BlockNorm::Mlp => "post_attention_layernorm",
        BlockNorm::PostAttn => "post_attention_output_layernorm",
        BlockNorm::PostMlp => "post_feedforward_layernorm",
        BlockNorm::Q => "self_attn.q_norm",
        BlockNorm::K => "self_attn.k_norm",
    };
    match role {
        Role::Embedding => "model.embed_tokens.weight".into(),
        Role::Norm(n, l) => format!("model.layers.{l}.{}.weight", norm(n)),
        Role::NormBias(n, l) => format!("model.layers.{l}.{}.bias", norm(n)),
        Role::Weight(l, m) => format!("model.layers.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("model.layers.{l}.{}.bias", linear(m)),
        Role::NormFinal => "model.norm.weight".into(),
        Role::Head => "lm_head.weight".into(),
        // Not of this family; distinct all the same.
        Role::NormFinalBias => "model.norm.bias".into(),
        Role::Positions => "model.embed_positions.weight".into(),
        Role::ProjectIn => "model.project_in.weight".into(),
        Role::ProjectOut => "model.project_out.weight".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::RopeScaling;
    use serde_json::json;
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
        let rope = spec.rope(0).expect("rope");
        assert_eq!(rope.theta, 500000.0);
        assert!(matches!(rope.scaling, RopeScaling::Llama3 { original_max_positions: 8192, .. }));
        let linear = read(with(json!({ "rope_scaling": { "type": "linear", "factor": 2.5 } }))).expect("linear");
        assert_eq!(linear.rope(0).expect("rope").scaling, RopeScaling::Linear { factor: 2.5 });
    }

    #[test]
    fn absent_keys_take_the_family_defaults() {
        let s = read(with(json!({ "num_key_value_heads": null }))).expect("spec");
        assert_eq!((s.attention.n_kv_heads, s.attention.head_dim, s.max_positions), (8, 8, 2048));
        assert_eq!(s.norm, NormSpec::rms(1e-6));
        assert!(!s.tied_head && !s.attention.qkv_bias);
        assert_eq!(s.rope(0).map(|r| r.theta), Some(10_000.0));
    }

    #[test]
    fn what_is_saved_reads_back_as_the_same_spec() {
        for extra in [
            json!({ "tie_word_embeddings": true, "attention_bias": true, "rms_norm_eps": 1e-5, "num_key_value_heads": 2, "head_dim": 16 }),
            json!({ "mlp_bias": true, "rope_parameters": { "rope_type": "linear", "factor": 4.0, "rope_theta": 7e5 } }),
            json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512 }, "hidden_act": "gelu" }),
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
            (json!({ "hidden_act": "mish" }), ["mish", "silu"]),
            (json!({ "rope_scaling": { "type": "dynamic", "factor": 4.0 } }), ["dynamic", "llama3"]),
            (json!({ "rope_scaling": { "type": "linear" } }), ["rope_scaling.factor", "missing"]),
            (json!({ "rope_theta": 0 }), ["`rope_theta`", "above 0"]),
            (json!({ "rope_parameters": { "partial_rotary_factor": 1.5 } }), ["partial_rotary_factor", "1.5"]),
            (json!({ "quantization_config": { "quant_method": "gptq" } }), ["gptq", "bf16"]),
            (json!({ "tie_word_embeddings": "yes" }), ["tie_word_embeddings", "true or false"]),
        ] {
            let message = read(with(change.clone())).expect_err(&change.to_string()).to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{change}: {message}");
            assert!(message.starts_with("config.json"), "{message}");
        }
    }
}
