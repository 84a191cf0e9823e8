//! Qwen2 and Qwen2.5: llama's parts and names, with biases on queries, keys and values, and windows in upper layers where configured.

use super::{
    ConfigFile, Family,
    llama::{GatedParts, IGNORED, PREFIXES, gated_spec, tensor_name, with_rope},
    whole, write,
};
use crate::{base::Result, model::DecoderSpec};
use serde_json::{Map, Value};

pub const FAMILY: Family = Family {
    model_type: "qwen2",
    also: &[],
    label: "Qwen2",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/qwen2",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: PREFIXES,
    ignored: IGNORED,
};

/// Defaults are those of `Qwen2Config`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    let mut spec = gated_spec(c, &GatedParts { qkv_bias: true, out_bias: false, mlp_bias: false, head_dim: None, positions: 32_768 })?;
    spec.attention.windows = upper_windows(c, spec.n_layers)?;
    with_rope(spec, c, 10_000.0)
}

/// Layers from `max_window_layers` on have a window where `use_sliding_window` says so.
pub(super) fn upper_windows(c: &ConfigFile, n_layers: usize) -> Result<Vec<Option<usize>>> {
    if !c.flag("use_sliding_window", false)? {
        // transformers takes the window away then, whatever `layer_types` says.
        return Ok(Vec::new());
    }
    let from = c.whole_or("max_window_layers", 28)?;
    c.windows(n_layers, Some(4096), |l| l >= from)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let mut map = write::gated(spec, "qwen2", "Qwen2ForCausalLM");
    add_upper_windows(&mut map, spec);
    map
}

pub(super) fn add_upper_windows(map: &mut Map<String, Value>, spec: &DecoderSpec) {
    write::add_windows(map, spec);
    map.insert("use_sliding_window".into(), (!spec.attention.windows.is_empty()).into());
}
