//! Qwen2 and Qwen2.5: llama's parts and names, with biases on queries, keys and values.

use super::{
    ConfigFile, Family,
    llama::{Biases, gated_config, gated_spec, tensor_name},
};
use crate::{base::Result, model::DecoderSpec};
use serde_json::{Map, Value};

pub const FAMILY: Family = Family {
    model_type: "qwen2",
    label: "Qwen2",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/qwen2",
    spec,
    config,
    tensor_name,
};

/// Defaults are those of `Qwen2Config`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    // A layer that looks back only so far would be computed as one that sees everything.
    let sliding = match c.get("layer_types") {
        Some(Value::Array(types)) => types.iter().any(|t| t != "full_attention"),
        Some(other) => return Err(c.error(format!("`layer_types` is {other}, expected a list"))),
        None => c.flag("use_sliding_window", false)?,
    };
    if sliding {
        return Err(c.error("layers with sliding-window attention are not supported; expected `use_sliding_window` false"));
    }
    gated_spec(c, &Biases { qkv: true, out: false, mlp: false }, 32_768)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = gated_config(spec, "qwen2", "Qwen2ForCausalLM");
    map.insert("use_sliding_window".into(), false.into());
    map
}
