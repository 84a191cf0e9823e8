//! Mistral: llama with a window over the keys, in every layer or in none.

use super::{
    ConfigFile, Family,
    llama::{GatedParts, IGNORED, PREFIXES, gated_spec, tensor_name, with_rope},
    whole, write,
};
use crate::{base::Result, model::DecoderSpec};
use serde_json::{Map, Value};

pub const FAMILY: Family = Family {
    model_type: "mistral",
    also: &[],
    label: "Mistral",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/mistral",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Defaults are those of `MistralConfig`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let mut spec = gated_spec(c, &GatedParts { qkv_bias: false, out_bias: false, mlp_bias: false, head_dim: None, positions: 131_072 })?;
    spec.attention.windows = c.windows(spec.n_layers, Some(4096), |_| true)?;
    with_rope(spec, c, 10_000.0)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "mistral", "MistralForCausalLM");
    write::add_windows(&mut map, spec);
    map
}
