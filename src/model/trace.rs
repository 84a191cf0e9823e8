//! One run of a model, with the tensors of chosen hook points kept under their TransformerLens names.

use super::{Batch, Decoder, DecoderSpec, Hooks};
use crate::base::{Ctx, Error, HookPoint, Result, atomic_file, provenance::Provenance};
use safetensors::Dtype;
use std::{borrow::Cow, collections::HashMap, path::Path};

/// What a run showed.
pub struct Trace {
    pub tokens: Vec<u32>,
    /// `[pos, vocab]`
    pub logits: Vec<f32>,
    /// In the order of the forward pass; TransformerLens shapes without the batch dimension.
    pub tensors: Vec<(HookPoint, Vec<usize>, Vec<f32>)>,
    vocab: usize,
}

/// Runs one token sequence and keeps the values at `points`.
///
/// # Errors
/// As the forward pass, and when the user stops it.
pub fn trace(decoder: &Decoder, tokens: &[u32], points: &[HookPoint], ctx: &Ctx<'_>) -> Result<Trace> {
    let spec = &decoder.model.spec;
    let batch = Batch::new(&[tokens]);
    let mut keeper = Keeper { points, decoder, tensors: Vec::new() };
    let mut resid = decoder.embed(&batch, &mut keeper)?;
    for layer in 0..spec.n_layers {
        ctx.check()?;
        ctx.progress("tracing", layer, spec.n_layers, "layers");
        decoder.block_forward(layer, &batch, &mut resid, None, &mut keeper)?;
    }
    ctx.check()?;
    let logits = decoder.logits_hooked(&batch, &resid, &mut keeper)?;
    let tensors = keeper.tensors;
    if let Some((point, ..)) = tensors.iter().find(|(_, _, values)| values.iter().any(|v| !v.is_finite())) {
        return Err(Error::numeric(point.to_string(), "a value is not finite"));
    }
    Ok(Trace { tokens: tokens.to_vec(), logits, tensors, vocab: spec.vocab })
}

struct Keeper<'a> {
    points: &'a [HookPoint],
    decoder: &'a Decoder,
    tensors: Vec<(HookPoint, Vec<usize>, Vec<f32>)>,
}

impl Hooks for Keeper<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        self.points.contains(&point)
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        let n = batch.n_tokens();
        let a = &self.decoder.model.spec.attention;
        let shape = match point {
            HookPoint::Q(_) | HookPoint::Z(_) => vec![n, a.n_heads, a.head_dim],
            HookPoint::K(_) | HookPoint::V(_) => vec![n, a.n_kv_heads, a.head_dim],
            HookPoint::Pattern(_) => vec![a.n_heads, n, n],
            _ => vec![n, values.len() / n],
        };
        self.tensors.push((point, shape, values.to_vec()));
        Ok(())
    }
}

/// Hook points of a model by name. `*` for a layer means every layer; no names at all mean every point.
///
/// # Errors
/// For a name that is none; the message lists the nearest ones.
pub fn hook_points(names: &[impl AsRef<str>], spec: &DecoderSpec) -> Result<Vec<HookPoint>> {
    let (all, n_layers) = (spec.hook_points(), spec.n_layers);
    if names.is_empty() {
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for name in names.iter().map(|n| n.as_ref().trim()) {
        let matching: Vec<HookPoint> = all.iter().copied().filter(|p| matches(name, &p.to_string())).collect();
        if matching.is_empty() {
            let mut near: Vec<(usize, String)> = all.iter().map(|p| p.to_string()).map(|known| (distance(name, &known), known)).collect();
            near.sort();
            let near: Vec<String> = near.into_iter().take(3).map(|(_, known)| known).collect();
            return Err(Error::invalid(format!(
                "`{name}` is no hook point of this model of {n_layers} layers; nearest: {}. Write `blocks.*.mlp.hook_post` for every layer",
                near.join(", ")
            )));
        }
        chosen.extend(matching);
    }
    chosen.sort_by_key(|p| all.iter().position(|q| q == p));
    chosen.dedup();
    Ok(chosen)
}

fn matches(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), name.split('.').collect());
    p.len() == n.len()
        && p.iter().zip(&n).enumerate().all(|(i, (p, n))| p == n || (i == 1 && *p == "*" && n.bytes().all(|b| b.is_ascii_digit())))
}

/// Edits (insert, delete, replace) that turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Trace {
    /// Writes every tensor under its name, `logits` `[pos, vocab]` and `tokens` `[pos]` (i64) into one safetensors file, with provenance in
    /// its metadata.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, provenance: &Provenance) -> Result<()> {
        let n = self.tokens.len();
        let floats = |shape: &[usize], values: &[f32]| Stored {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let mut tensors: Vec<(String, Stored)> =
            self.tensors.iter().map(|(point, shape, values)| (point.to_string(), floats(shape, values))).collect();
        tensors.push(("logits".into(), floats(&[n, self.vocab], &self.logits)));
        let ids = self.tokens.iter().flat_map(|&t| i64::from(t).to_le_bytes()).collect();
        tensors.push(("tokens".into(), Stored { dtype: Dtype::I64, shape: vec![n], bytes: ids }));
        let json = serde_json::to_string(provenance).map_err(|e| Error::format(path, e.to_string()))?;
        let metadata = HashMap::from([("provenance".to_owned(), json), ("layout".to_owned(), LAYOUT.to_owned())]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
        atomic_file::write(path, &bytes)
    }
}

const LAYOUT: &str = "TransformerLens names and shapes without the batch dimension. hook_q, hook_z [pos, n_heads, d_head]; hook_k, hook_v \
    [pos, n_key_value_heads, d_head]; hook_q and hook_k before rotation (and before their norm, where a family has one); hook_pattern [n_heads, query, key]; mlp.* [pos, d_mlp]; \
    ln_final.hook_normalized before gain and bias; everything else [pos, d_model]; logits [pos, vocab]; tokens [pos]";

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Sizes;

    fn spec(n_layers: usize) -> DecoderSpec {
        let sizes = Sizes { n_layers, d_model: 8, d_mlp: 16, vocab: 10, max_positions: 16, n_heads: 2, n_kv_heads: 2, head_dim: 4 };
        DecoderSpec::llama(sizes)
    }

    #[test]
    fn a_star_means_every_layer_and_no_names_mean_every_point() {
        assert_eq!(hook_points(&["blocks.*.mlp.hook_post"], &spec(3)).expect("star"), (0..3).map(HookPoint::MlpPost).collect::<Vec<_>>());
        assert_eq!(hook_points(&[] as &[&str], &spec(2)).expect("all"), spec(2).hook_points());
        // In the order of the forward pass, each once.
        let mixed =
            hook_points(&["ln_final.hook_normalized", "hook_embed", "blocks.1.attn.hook_z", "hook_embed"], &spec(2)).expect("mixed");
        assert_eq!(mixed, [HookPoint::Embed, HookPoint::Z(1), HookPoint::FinalNorm]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        let e = hook_points(&["blocks.1.mlp.hook_pots"], &spec(2)).expect_err("typo").to_string();
        assert!(e.contains("`blocks.1.mlp.hook_pots`") && e.contains("blocks.1.mlp.hook_post"), "{e}");
        let e = hook_points(&["blocks.7.attn.hook_z"], &spec(2)).expect_err("layer").to_string();
        assert!(e.contains("2 layers") && e.contains("blocks.0.attn.hook_z"), "{e}");
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("same", "same")), (3, 3, 0));
    }
}
