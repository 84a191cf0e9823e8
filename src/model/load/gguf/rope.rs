//! Rotary positions of a GGUF file as entries of a config.json: base, rotated share, scaling, and the tables of divisors that some files carry.

use super::{GgmlType, metadata::Metadata, value::decimal};
use crate::{base::Result, model::load::FileBytes};
use serde_json::{Map, Value, json};

/// A divisor for each rotary frequency.
const FREQS: &str = "rope_freqs.weight";
/// The same for sequences within the trained length, and beyond it.
const SHORT: &str = "rope_factors_short.weight";
const LONG: &str = "rope_factors_long.weight";

/// Tensors that are part of the config.
pub(super) const TABLES: &[&str] = &[FREQS, SHORT, LONG];

/// Adds `rope_theta`, `partial_rotary_factor` and `rope_scaling` to a config that holds `head_dim` and `max_position_embeddings`.
///
/// # Errors
/// For a kind of scaling that our families do not have, and tables of another length.
pub(super) fn set(meta: &Metadata<'_, '_>, file: &FileBytes, map: &mut Map<String, Value>) -> Result<()> {
    let theta = meta.own_number("rope.freq_base")?.unwrap_or(10_000.0);
    let head_dim = map.get("head_dim").and_then(Value::as_u64).unwrap_or_default();
    let dims = meta.own_whole("rope.dimension_count")?.unwrap_or(head_dim);
    map.insert("rope_theta".into(), json!(theta));
    if dims != head_dim {
        map.insert("partial_rotary_factor".into(), json!(dims as f64 / head_dim as f64));
    }
    let positions = map.get("max_position_embeddings").and_then(Value::as_u64).unwrap_or_default();
    let tables = Tables { meta, file, pairs: dims / 2, theta, positions };
    if let Some(scaling) = scaling(&tables)? {
        map.insert("rope_scaling".into(), scaling);
    }
    Ok(())
}

struct Tables<'m, 'h, 'a> {
    meta: &'m Metadata<'h, 'a>,
    file: &'m FileBytes,
    /// Frequencies.
    pairs: u64,
    theta: f64,
    positions: u64,
}

impl Tables<'_, '_, '_> {
    fn read(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(info) = self.meta.header.tensors.get(name) else { return Ok(None) };
        if info.dtype != GgmlType::F32 || info.shape != [self.pairs as usize] {
            let (dtype, shape, pairs) = (info.dtype, &info.shape, self.pairs);
            return Err(self.meta.error(format!("tensor {name} is {dtype} of shape {shape:?}, expected F32 of shape [{pairs}]")));
        }
        let mut values = vec![0.0; info.shape[0]];
        info.dtype.widen(&self.file[info.bytes.clone()], &mut values);
        match values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            Some(bad) => Err(self.meta.error(format!("tensor {name} holds {bad}, expected numbers above 0"))),
            None => Ok(Some(values.into_iter().map(decimal).collect())),
        }
    }
}

fn scaling(tables: &Tables<'_, '_, '_>) -> Result<Option<Value>> {
    let meta = tables.meta;
    let key = meta.own("rope.scaling.type");
    let kind = meta.text(&key)?;
    let factor = || meta.need_number("rope.scaling.factor");
    let by_kind = match kind.as_deref() {
        // The oldest files scale so.
        None | Some("none") => {
            meta.own_number("rope.scale_linear")?.filter(|&f| f != 1.0).map(|f| json!({ "rope_type": "linear", "factor": f }))
        }
        Some("linear") => Some(json!({ "rope_type": "linear", "factor": factor()? })),
        Some("yarn") => Some(yarn(meta, factor()?)?),
        // Said by its tables.
        Some("longrope") => None,
        Some(other) => return Err(meta.error(format!("metadata `{key}` is `{other}`; supported: none, linear, yarn, longrope"))),
    };
    let by_table = match (tables.read(SHORT)?, tables.read(LONG)?, tables.read(FREQS)?) {
        (Some(short), Some(long), None) => Some(long_rope(tables, &short, &long)?),
        (None, None, Some(freqs)) => llama3(tables, &freqs),
        (None, None, None) => None,
        _ => return Err(meta.error(format!("expected {SHORT} and {LONG}, or {FREQS}, or none of them"))),
    };
    match (by_kind, by_table) {
        (Some(_), Some(_)) => Err(meta.error(format!("has both metadata `{key}` and a table of divisors; expected one of them"))),
        (None, None) if kind.as_deref() == Some("longrope") => Err(meta.error(format!("`longrope` needs {SHORT} and {LONG}"))),
        (a, b) => Ok(a.or(b)),
    }
}

fn yarn(meta: &Metadata<'_, '_>, factor: f64) -> Result<Value> {
    // 1, and -1 for "as the method says", are what both writers and llama.cpp mean by no change.
    for key in ["rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.attn_factor"] {
        if let Some(odd) = meta.own_number(key)?.filter(|v| v.abs() != 1.0) {
            return Err(meta.error(format!("metadata `{}` is {odd}; only 1 is supported", meta.own(key))));
        }
    }
    let mut value = json!({ "rope_type": "yarn", "factor": factor });
    if let Some(original) = meta.own_whole("rope.scaling.original_context_length")? {
        value["original_max_position_embeddings"] = original.into();
    }
    for (key, own) in [("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow")] {
        if let Some(beta) = meta.own_number(own)? {
            value[key] = json!(beta);
        }
    }
    Ok(value)
}

fn long_rope(tables: &Tables<'_, '_, '_>, short: &[f64], long: &[f64]) -> Result<Value> {
    let original = tables.meta.own_whole("rope.scaling.original_context_length")?.unwrap_or(tables.positions);
    let mut value = json!({
        "rope_type": "longrope", "short_factor": short, "long_factor": long, "original_max_position_embeddings": original,
    });
    // What the method comes to need not be said, and is said in f32.
    let stretch = tables.positions as f64 / original as f64;
    let inferred = if stretch > 1.0 { (1.0 + stretch.ln() / (original as f64).ln()).sqrt() } else { 1.0 };
    if let Some(by) = tables.meta.own_number("rope.scaling.attn_factor")?.filter(|&by| by > 0.0 && (by / inferred - 1.0).abs() > 1e-6) {
        value["attention_factor"] = json!(by);
    }
    Ok(value)
}

/// The file holds what Llama 3's scaling comes to, not its four numbers: where the published ones give the same, they are told; other divisors are
/// taken as they are.
fn llama3(tables: &Tables<'_, '_, '_>, divisors: &[f64]) -> Option<Value> {
    if divisors.iter().all(|&d| d == 1.0) {
        return None;
    }
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    let (low, high, original) = (1.0, 4.0, 8192.0);
    let want = |i: usize| {
        let wavelength = 2.0 * std::f64::consts::PI * tables.theta.powf(i as f64 / tables.pairs as f64);
        let smooth = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    // They were computed in f32 by another program.
    let published = divisors.iter().enumerate().all(|(i, &found)| (found / want(i) - 1.0).abs() < 1e-4);
    Some(if published {
        json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
            "original_max_position_embeddings": original as u64,
        })
    } else {
        json!({
            "rope_type": "longrope", "short_factor": divisors, "long_factor": divisors, "attention_factor": 1.0,
            "original_max_position_embeddings": tables.positions,
        })
    })
}
