//! What `general.architecture` means: which family it is, its config.json in Hugging Face's words, and where its tensors lie.

use super::{
    metadata::Metadata,
    place::{self, Place},
    rope,
};
use crate::{
    base::Result,
    model::{DecoderSpec, load::FileBytes, weights::Role},
};
use serde_json::{Map, Value, json};

type Config = Map<String, Value>;

/// One architecture of the format that is one of our families.
pub(super) struct Architecture {
    /// `general.architecture`.
    pub name: &'static str,
    /// Fills a config that holds the sizes already.
    config: fn(&Metadata<'_, '_>, &FileBytes, &mut Config) -> Result<()>,
    /// How a file's tensor differs from what the family takes.
    change: fn(Role, &DecoderSpec) -> place::Change,
}

/// Every architecture that is read, one line each.
const ARCHITECTURES: &[Architecture] = &[
    Architecture { name: "llama", config: llama, change: place::interleaved },
    Architecture { name: "qwen2", config: qwen2, change: place::unchanged },
    Architecture { name: "qwen3", config: qwen3, change: place::unchanged },
    Architecture { name: "gemma3", config: gemma3, change: place::gains_plus_one },
    Architecture { name: "phi3", config: phi3, change: place::unchanged },
    Architecture { name: "gpt2", config: gpt2, change: place::unchanged },
    Architecture { name: "gptneox", config: gpt_neox, change: place::unchanged },
];

/// # Errors
/// For an architecture that is none of our families; the message says which are.
pub(super) fn find(meta: &Metadata<'_, '_>) -> Result<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == meta.architecture).ok_or_else(|| {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|a| a.name).collect();
        meta.error(format!("architecture `{}` is not supported; supported in GGUF files: {}", meta.architecture, known.join(", ")))
    })
}

/// Keys that would change what the model computes and that no family of ours has.
const REFUSED: &[&str] = &[
    "expert_count",
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "router_logit_softcapping",
];

impl Architecture {
    /// The config.json that says the same.
    ///
    /// # Errors
    /// When a number is missing or makes no sense, or the model computes something that no family of ours does.
    pub fn config(&self, meta: &Metadata<'_, '_>, file: &FileBytes) -> Result<Config> {
        for key in REFUSED.iter().map(|key| meta.own(key)) {
            if meta.number(&key)?.is_some_and(|v| v != 0.0) {
                let found = meta.get(&key).map_or_else(String::new, ToString::to_string);
                return Err(meta.error(format!("metadata `{key}` is {found}; models with it are not supported")));
            }
        }
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
        let heads = meta.need("attention.head_count")?;
        set("hidden_size", meta.need("embedding_length")?.into());
        set("num_hidden_layers", meta.need("block_count")?.into());
        set("num_attention_heads", heads.into());
        set("num_key_value_heads", meta.own_whole("attention.head_count_kv")?.unwrap_or(heads).into());
        set("head_dim", head_dim(meta, heads)?.into());
        set("intermediate_size", meta.need("feed_forward_length")?.into());
        set("max_position_embeddings", meta.need("context_length")?.into());
        set("vocab_size", vocabulary(meta)?.into());
        set("tie_word_embeddings", (!meta.has_tensor("output.weight")).into());
        (self.config)(meta, file, &mut map)?;
        Ok(map)
    }

    pub fn place(&self, role: Role, spec: &DecoderSpec, meta: &Metadata<'_, '_>) -> Place {
        Place { change: (self.change)(role, spec), ..Place::of(role, spec, meta) }
    }
}

/// Rows of the embedding: some files say nothing, some count rows that were dropped.
fn vocabulary(meta: &Metadata<'_, '_>) -> Result<u64> {
    let name = "token_embd.weight";
    let tensor = meta.header.tensors.get(name).ok_or_else(|| meta.error(format!("tensor {name} is missing")))?;
    match tensor.shape[..] {
        [rows, _] => Ok(rows as u64),
        ref other => Err(meta.error(format!("tensor {name} has shape {other:?}, expected [vocabulary, width]"))),
    }
}

fn head_dim(meta: &Metadata<'_, '_>, heads: u64) -> Result<u64> {
    let d_model = meta.need("embedding_length")?;
    let key = match meta.own_whole("attention.key_length")? {
        Some(explicit) => explicit,
        None if heads > 0 && d_model.is_multiple_of(heads) => d_model / heads,
        None => return Err(meta.error(format!("width {d_model} is no multiple of {heads} heads, and `attention.key_length` is missing"))),
    };
    match meta.own_whole("attention.value_length")? {
        Some(value) if value != key => Err(meta.error(format!("values are {value} wide and keys {key}; only equal widths are supported"))),
        _ => Ok(key),
    }
}

fn set(map: &mut Config, key: &str, value: impl Into<Value>) {
    map.insert(key.to_owned(), value.into());
}

/// Positions that a layer looks back, where the file names a number above 0.
fn window(meta: &Metadata<'_, '_>) -> Result<Option<u64>> {
    Ok(meta.own_whole("attention.sliding_window")?.filter(|&w| w > 0))
}

fn rms(meta: &Metadata<'_, '_>, map: &mut Config) -> Result<()> {
    set(map, "rms_norm_eps", meta.need_number("attention.layer_norm_rms_epsilon")?);
    Ok(())
}

/// Mistral's models too, which differ by their window.
fn llama(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    match window(meta)? {
        None => {
            set(map, "model_type", "llama");
            set(map, "attention_bias", meta.has_tensor("blk.0.attn_q.bias"));
            set(map, "mlp_bias", meta.has_tensor("blk.0.ffn_up.bias"));
        }
        Some(window) => {
            set(map, "model_type", "mistral");
            set(map, "sliding_window", window);
        }
    }
    rms(meta, map)?;
    rope::set(meta, file, map)
}

fn qwen2(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "qwen2");
    rms(meta, map)?;
    rope::set(meta, file, map)
}

fn qwen3(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "qwen3");
    set(map, "attention_bias", meta.has_tensor("blk.0.attn_q.bias"));
    rms(meta, map)?;
    rope::set(meta, file, map)
}

fn gemma3(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "gemma3_text");
    rms(meta, map)?;
    rope::set(meta, file, map)?;
    set(map, "rope_local_base_freq", meta.own_number("rope.freq_base_swa")?.unwrap_or(10_000.0));
    let layers = meta.need("block_count")?;
    // No key holds it. The largest model, of 62 layers, divides by the width of a head's share; all others by a head's own.
    let heads = meta.need("attention.head_count")?;
    let scalar = if layers == 62 { meta.need("embedding_length")? / heads.max(1) } else { head_dim(meta, heads)? };
    set(map, "query_pre_attn_scalar", scalar);
    match window(meta)? {
        None => set(map, "sliding_window", Value::Null),
        Some(window) => set(map, "sliding_window", window),
    }
    // A period, or for each layer whether it has a window.
    let key = meta.own("attention.sliding_window_pattern");
    match meta.flags(&key)? {
        Some(slides) => {
            let name = |s: &bool| if *s { "sliding_attention" } else { "full_attention" };
            set(map, "layer_types", json!(slides.iter().map(name).collect::<Vec<_>>()));
        }
        None => set(map, "sliding_window_pattern", meta.whole(&key)?.unwrap_or(6)),
    }
    for (key, own) in [("attn_logit_softcapping", "attn_logit_softcapping"), ("final_logit_softcapping", "final_logit_softcapping")] {
        if let Some(cap) = meta.own_number(own)?.filter(|&c| c > 0.0) {
            set(map, key, cap);
        }
    }
    Ok(())
}

fn phi3(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "phi3");
    if let Some(window) = window(meta)? {
        set(map, "sliding_window", window);
    }
    rms(meta, map)?;
    rope::set(meta, file, map)
}

fn gpt2(meta: &Metadata<'_, '_>, _: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "gpt2");
    for (key, known) in [
        ("n_embd", "hidden_size"),
        ("n_head", "num_attention_heads"),
        ("n_layer", "num_hidden_layers"),
        ("n_inner", "intermediate_size"),
        ("n_positions", "max_position_embeddings"),
    ] {
        let value = map.get(known).cloned().unwrap_or_default();
        set(map, key, value);
    }
    set(map, "layer_norm_epsilon", meta.need_number("attention.layer_norm_epsilon")?);
    Ok(())
}

fn gpt_neox(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Config) -> Result<()> {
    set(map, "model_type", "gpt_neox");
    set(map, "layer_norm_eps", meta.need_number("attention.layer_norm_epsilon")?);
    set(map, "use_parallel_residual", meta.flag(&meta.own("use_parallel_residual"))?.unwrap_or(true));
    set(map, "attention_bias", meta.has_tensor("blk.0.attn_qkv.bias") || meta.has_tensor("blk.0.attn_q.bias"));
    rope::set(meta, file, map)?;
    // What the family takes without it is another share.
    map.entry("partial_rotary_factor").or_insert(json!(1.0));
    let (base, share) = (map.get("rope_theta").cloned(), map.get("partial_rotary_factor").cloned());
    set(map, "rotary_emb_base", base);
    set(map, "rotary_pct", share);
    Ok(())
}
