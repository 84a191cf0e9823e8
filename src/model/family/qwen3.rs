//! Qwen3: Qwen2 without its biases, with a norm of each head's queries and keys.

use super::{
    ConfigFile, Family,
    llama::{GatedParts, IGNORED, PREFIXES, gated_spec, tensor_name, with_rope},
    qwen2::{add_upper_windows, upper_windows},
    whole, write,
};
use crate::{base::Result, model::DecoderSpec};
use serde_json::{Map, Value};

pub const FAMILY: Family = Family {
    model_type: "qwen3",
    also: &[],
    label: "Qwen3",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/qwen3",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Defaults are those of `Qwen3Config`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let bias = c.flag("attention_bias", false)?;
    let mut spec = gated_spec(c, &GatedParts { qkv_bias: bias, out_bias: bias, mlp_bias: false, head_dim: Some(128), positions: 32_768 })?;
    spec.attention.qk_norm = true;
    spec.attention.windows = upper_windows(c, spec.n_layers)?;
    with_rope(spec, c, 10_000.0)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "qwen3", "Qwen3ForCausalLM");
    map.insert("attention_bias".into(), spec.attention.qkv_bias.into());
    add_upper_windows(&mut map, spec);
    map
}
