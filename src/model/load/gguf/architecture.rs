//! What `general.architecture` means: which family it is, its config.json in Hugging Face's words, and what its tensors are called.

use super::{GgmlType, metadata::Metadata, tensor::Change};
use crate::{
    base::Result,
    model::{
        DecoderSpec, Matrix,
        load::FileBytes,
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value, json};

/// One architecture of the format that is one of our families.
pub(super) struct Architecture {
    /// `general.architecture`.
    pub name: &'static str,
    /// `model_type` of the family that computes the same.
    pub model_type: &'static str,
    config: fn(&Metadata<'_, '_>, &FileBytes, &mut Map<String, Value>) -> Result<()>,
    pub change: fn(Role, &DecoderSpec) -> Change,
}

/// Every architecture that is read, one line each.
const ARCHITECTURES: &[Architecture] = &[
    Architecture { name: "llama", model_type: "llama", config: llama, change: interleaved_heads },
    Architecture { name: "qwen2", model_type: "qwen2", config: qwen2, change: |_, _| Change::None },
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
    "attn_logit_softcapping",
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
    pub fn config(&self, meta: &Metadata<'_, '_>, file: &FileBytes) -> Result<Map<String, Value>> {
        for key in REFUSED.iter().map(|key| meta.own(key)) {
            if meta.number(&key)?.is_some_and(|v| v != 0.0) {
                return Err(meta.error(format!(
                    "metadata `{key}` is {}; models with it are not supported",
                    meta.get(&key).map_or_else(String::new, ToString::to_string)
                )));
            }
        }
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
        let heads = meta.need("attention.head_count")?;
        let (d_model, head_dim) = (meta.need("embedding_length")?, head_dim(meta, heads)?);
        set("model_type", self.model_type.into());
        set("hidden_size", d_model.into());
        set("num_hidden_layers", meta.need("block_count")?.into());
        set("num_attention_heads", heads.into());
        set("intermediate_size", meta.need("feed_forward_length")?.into());
        set("max_position_embeddings", meta.need("context_length")?.into());
        set("vocab_size", vocabulary(meta)?.into());
        set("tie_word_embeddings", (!meta.has_tensor("output.weight")).into());
        set("num_key_value_heads", meta.own_whole("attention.head_count_kv")?.unwrap_or(heads).into());
        set("head_dim", head_dim.into());
        (self.config)(meta, file, &mut map)?;
        Ok(map)
    }

    /// A tensor's name in the file.
    pub fn tensor_name(&self, role: Role) -> String {
        let linear = |m: Matrix| match m {
            Matrix::Q => "attn_q",
            Matrix::K => "attn_k",
            Matrix::V => "attn_v",
            Matrix::O => "attn_output",
            Matrix::Gate => "ffn_gate",
            Matrix::Up => "ffn_up",
            Matrix::Down => "ffn_down",
        };
        let norm = |n: BlockNorm| match n {
            BlockNorm::Attn => "attn_norm",
            BlockNorm::Mlp => "ffn_norm",
            BlockNorm::PostAttn => "post_attention_norm",
            BlockNorm::PostMlp => "post_ffw_norm",
            BlockNorm::Q => "attn_q_norm",
            BlockNorm::K => "attn_k_norm",
        };
        match role {
            Role::Embedding => "token_embd.weight".into(),
            Role::Norm(n, l) => format!("blk.{l}.{}.weight", norm(n)),
            Role::NormBias(n, l) => format!("blk.{l}.{}.bias", norm(n)),
            Role::Weight(l, m) => format!("blk.{l}.{}.weight", linear(m)),
            Role::Bias(l, m) => format!("blk.{l}.{}.bias", linear(m)),
            Role::NormFinal => "output_norm.weight".into(),
            Role::Head => "output.weight".into(),
            Role::NormFinalBias => "output_norm.bias".into(),
            Role::Positions => "position_embd.weight".into(),
            Role::ProjectIn => "project_in.weight".into(),
            Role::ProjectOut => "project_out.weight".into(),
        }
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

fn llama(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Map<String, Value>) -> Result<()> {
    map.insert("attention_bias".into(), meta.has_tensor("blk.0.attn_q.bias").into());
    map.insert("mlp_bias".into(), meta.has_tensor("blk.0.ffn_up.bias").into());
    rms_and_rope(meta, file, map)
}

fn qwen2(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Map<String, Value>) -> Result<()> {
    map.insert("use_sliding_window".into(), false.into());
    rms_and_rope(meta, file, map)
}

fn rms_and_rope(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Map<String, Value>) -> Result<()> {
    let eps = "attention.layer_norm_rms_epsilon";
    let eps = meta.own_number(eps)?.ok_or_else(|| meta.error(format!("metadata `{}` is missing", meta.own(eps))))?;
    map.insert("rms_norm_eps".into(), json!(eps));
    map.insert("rope_theta".into(), json!(meta.own_number("rope.freq_base")?.unwrap_or(10_000.0)));
    let head_dim = map.get("head_dim").and_then(Value::as_u64).unwrap_or_default();
    let rotated = meta.own_whole("rope.dimension_count")?.unwrap_or(head_dim);
    if rotated != head_dim {
        map.insert("partial_rotary_factor".into(), json!(rotated as f64 / head_dim as f64));
    }
    if let Some(scaling) = rope_scaling(meta, file, map)? {
        map.insert("rope_scaling".into(), scaling);
    }
    Ok(())
}

fn rope_scaling(meta: &Metadata<'_, '_>, file: &FileBytes, map: &Map<String, Value>) -> Result<Option<Value>> {
    let original = meta.own_whole("rope.scaling.original_context_length")?;
    let key = meta.own("rope.scaling.type");
    let kind = meta.text(&key)?;
    let factor = || -> Result<f64> {
        let key = "rope.scaling.factor";
        meta.own_number(key)?.ok_or_else(|| meta.error(format!("metadata `{}` is missing", meta.own(key))))
    };
    let freqs = meta.has_tensor(FREQS);
    let scaling = match kind.as_deref() {
        // The oldest files scale so.
        None | Some("none") => {
            meta.own_number("rope.scale_linear")?.filter(|&f| f != 1.0).map(|f| json!({ "rope_type": "linear", "factor": f }))
        }
        Some("linear") => Some(json!({ "rope_type": "linear", "factor": factor()? })),
        Some("yarn") => Some(yarn(meta, factor()?, original)?),
        Some(other) => return Err(meta.error(format!("metadata `{key}` is `{other}`; supported: none, linear, yarn"))),
    };
    match (scaling, freqs) {
        (scaling, false) => Ok(scaling),
        (None, true) => llama3(meta, file, map).map(Some),
        (Some(_), true) => Err(meta.error(format!("has both metadata `{key}` and tensor {FREQS}; expected one of them"))),
    }
}

fn yarn(meta: &Metadata<'_, '_>, factor: f64, original: Option<u64>) -> Result<Value> {
    // 1, and -1 for "as the method says", are what both writers and llama.cpp mean by no change.
    for key in ["rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.attn_factor"] {
        if let Some(odd) = meta.own_number(key)?.filter(|v| v.abs() != 1.0) {
            return Err(meta.error(format!("metadata `{}` is {odd}; only 1 is supported", meta.own(key))));
        }
    }
    let mut value = json!({ "rope_type": "yarn", "factor": factor });
    if let Some(original) = original {
        value["original_max_position_embeddings"] = original.into();
    }
    for (key, own) in [("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow")] {
        if let Some(beta) = meta.own_number(own)? {
            value[key] = json!(beta);
        }
    }
    Ok(value)
}

/// A divisor for each rotary frequency.
const FREQS: &str = "rope_freqs.weight";

/// Tensors that are part of the config.
pub(super) const READ_APART: &[&str] = &[FREQS];

/// The file holds what Llama 3's scaling comes to, not its four numbers: those are found again and must give the same.
fn llama3(meta: &Metadata<'_, '_>, file: &FileBytes, map: &Map<String, Value>) -> Result<Value> {
    let unexpected = |what: String| meta.error(format!("tensor {FREQS} {what}; expected the divisors of Llama 3's rope scaling"));
    let info = &meta.header.tensors[FREQS];
    let pairs = map.get("head_dim").and_then(Value::as_u64).unwrap_or_default() / 2;
    if info.dtype != GgmlType::F32 || info.shape != [pairs as usize] {
        return Err(unexpected(format!("is {} of shape {:?} where {pairs} F32 values are needed", info.dtype, info.shape)));
    }
    let mut divisors = vec![0.0; info.shape[0]];
    info.dtype.widen(&file[info.bytes.clone()], &mut divisors);
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    if divisors.iter().all(|&d| d == 1.0) {
        return Ok(Value::Null);
    }
    let theta = map.get("rope_theta").and_then(Value::as_f64).unwrap_or(10_000.0);
    // Every published model has these; the factor differs.
    let (low, high, original) = (1.0, 4.0, 8192.0);
    for (i, &found) in divisors.iter().enumerate() {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(i as f64 / pairs as f64);
        let smooth = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        let want = 1.0 / ((1.0 - smooth) / f64::from(factor) + smooth);
        // They were computed in f32 by another program.
        if (f64::from(found) / want - 1.0).abs() > 1e-4 {
            return Err(unexpected(format!("holds {found} at place {i} where {want:.6} would be right")));
        }
    }
    Ok(json!({
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": original as u64,
    }))
}

/// Queries and keys are stored for a rotation of neighbouring values, and our families rotate halves.
fn interleaved_heads(role: Role, spec: &DecoderSpec) -> Change {
    match role {
        Role::Weight(_, Matrix::Q) | Role::Bias(_, Matrix::Q) => Change::Uninterleave { heads: spec.attention.n_heads },
        Role::Weight(_, Matrix::K) | Role::Bias(_, Matrix::K) => Change::Uninterleave { heads: spec.attention.n_kv_heads },
        _ => Change::None,
    }
}
