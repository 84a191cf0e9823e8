//! What a tuning changed, apart from the model it changed: only the values that trained, with the digest of the model they belong to. A base model
//! and its overlay make the tuned model in the time of a copy, and nothing else of the base is stored twice.

use super::{
    Target,
    lora::Lora,
    trained::{Part, Trained},
};
use crate::{
    base::{Error, Result, atomic_file, provenance::Provenance},
    compute::Backend,
    model::{Model, ModelInfo, Weights},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fs::File, io::Read, path::Path, sync::Arc};

const FORMAT: &str = "brodmann-overlay-1";
/// The format's own limit.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// Trained values by name, as a checkpoint packs them.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    pub target: Target,
    /// Digest of the model that was tuned.
    pub base_sha256: String,
    pub base_name: String,
    /// In the order of the target's parameters.
    pub values: Vec<(String, Vec<f32>)>,
    pub provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct Header {
    target: Target,
    base_sha256: String,
    base_name: String,
    provenance: Provenance,
}

impl Overlay {
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let header = Header {
            target: self.target.clone(),
            base_sha256: self.base_sha256.clone(),
            base_name: self.base_name.clone(),
            provenance: self.provenance.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| Error::format(path, e.to_string()))?;
        // safetensors sorts tensors its own way: the order is kept beside them.
        let order: Vec<&str> = self.values.iter().map(|(n, _)| n.as_str()).collect();
        let order = serde_json::to_string(&order).map_err(|e| Error::format(path, e.to_string()))?;
        let mut tensors = Vec::with_capacity(self.values.len());
        for (name, values) in &self.values {
            let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
            tensors.push((name.as_str(), view.map_err(|e| Error::format(path, format!("{name}: {e}")))?));
        }
        let metadata =
            HashMap::from([("format".to_owned(), FORMAT.to_owned()), ("overlay".to_owned(), header), ("order".to_owned(), order)]);
        let mut bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
        sort_header(&mut bytes);
        atomic_file::write(path, &bytes)
    }

    /// Where a file's values come from, without reading them.
    ///
    /// # Errors
    /// When the file is missing, its header damaged, or it is no overlay.
    pub fn read_provenance(path: &Path) -> Result<Provenance> {
        let io = |e| Error::io(path, e);
        let mut file = File::open(path).map_err(io)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MOST_HEADER_BYTES || length > file.metadata().map_err(io)?.len() {
            return Err(Error::format(path, "is no overlay: its header is longer than any, or than the file"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let json = |e: serde_json::Error| Error::format(path, format!("its header: {e}"));
        let header: serde_json::Value = serde_json::from_slice(&header).map_err(json)?;
        let text = |key: &str| header["__metadata__"][key].as_str().unwrap_or_default().to_owned();
        if text("format") != FORMAT {
            return Err(Error::format(path, format!("has format `{}`, expected `{FORMAT}`", text("format"))));
        }
        let header: Header = serde_json::from_str(&text("overlay")).map_err(json)?;
        Ok(header.provenance)
    }

    /// # Errors
    /// When the file is missing, damaged or no overlay.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let bad = |e: safetensors::SafeTensorError| Error::format(path, format!("is no overlay: {e}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(bad)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
        if entry("format") != FORMAT {
            return Err(Error::format(path, format!("has format `{}`, expected `{FORMAT}`", entry("format"))));
        }
        let json = |e: serde_json::Error| Error::format(path, format!("its header: {e}"));
        let Header { target, base_sha256, base_name, provenance } = serde_json::from_str(entry("overlay")).map_err(json)?;
        let order: Vec<String> = serde_json::from_str(entry("order")).map_err(json)?;
        let file = SafeTensors::deserialize(&bytes).map_err(bad)?;
        let mut values = Vec::with_capacity(order.len());
        for name in order {
            let view = file.tensor(&name).map_err(|e| Error::format(path, format!("{name}: {e}")))?;
            if view.dtype() != Dtype::F32 {
                return Err(Error::format(path, format!("{name} is {:?}, expected F32", view.dtype())));
            }
            let numbers: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            if let Some(bad) = numbers.iter().find(|v| !v.is_finite()) {
                return Err(Error::format(path, format!("{name} holds {bad}, expected finite numbers")));
            }
            values.push((name, numbers));
        }
        Ok(Self { target, base_sha256, base_name, values, provenance })
    }

    /// The tuned model. It shares with `base` every block that did not train.
    ///
    /// # Errors
    /// When `base` is not the model that was tuned, or the values do not fit it.
    pub fn apply(&self, base: &Model, backend: &Arc<dyn Backend>) -> Result<Model> {
        if base.info.sha256 != self.base_sha256 {
            return Err(Error::invalid(format!(
                "the overlay was made from {} with digest {}, but this is {} with {}; open the model it was made from",
                self.base_name, self.base_sha256, base.info.name, base.info.sha256
            )));
        }
        let mut weights = base.weights.clone();
        self.write(base, &mut weights, backend)?;
        let digest = self.digest();
        let info = ModelInfo {
            name: format!("{} + {}", base.info.name, self.word()),
            dtype: "f32".into(),
            sha256: crate::base::hash::sha256_bytes(format!("{}\n{digest}", self.base_sha256).as_bytes()),
            ..base.info.clone()
        };
        Ok(Model { info, spec: base.spec.clone(), weights, tokenizer: base.tokenizer.clone() })
    }

    fn write(&self, base: &Model, weights: &mut Weights, backend: &Arc<dyn Backend>) -> Result<()> {
        let check = |expected: Vec<(String, usize)>| {
            let found = self.values.iter().map(|(n, v)| (n.clone(), v.len()));
            if expected.iter().cloned().eq(found) {
                return Ok(());
            }
            Err(Error::invalid("the overlay does not hold the values that its own target names; the file is damaged or of another program"))
        };
        match &self.target {
            Target::Lora(config) => {
                let mut lora = Lora::new(&base.spec, &base.weights, config.clone(), 0, backend.clone())?;
                let names =
                    |a: &super::lora::Adapter| [(format!("{} lora_a", a.role), a.a.len()), (format!("{} lora_b", a.role), a.b.len())];
                check(lora.adapters.iter().flat_map(names).collect())?;
                for ((w, _), (_, values)) in lora.parameters().zip(&self.values) {
                    w.copy_from_slice(values);
                }
                lora.apply(weights)
            }
            Target::All | Target::Neurons(_) => {
                let trained = match &self.target {
                    Target::Neurons(set) => Trained::neurons(&base.spec, set)?,
                    _ => Trained::all(&base.spec),
                };
                check(trained.slices.iter().map(|s| (s.role.to_string(), s.len())).collect())?;
                for (slice, (_, values)) in trained.slices.iter().zip(&self.values) {
                    let tensor = weights.get_mut(slice.role).ok_or_else(|| Error::invalid(format!("the model has no {}", slice.role)))?;
                    if slice.part == Part::Whole {
                        tensor.values_mut().copy_from_slice(values);
                    } else {
                        slice.write(values, tensor.values_mut());
                    }
                }
                Ok(())
            }
        }
    }

    fn word(&self) -> &'static str {
        match self.target {
            Target::All => "full tuning",
            Target::Neurons(_) => "neuron tuning",
            Target::Lora(_) => "LoRA",
        }
    }

    /// SHA-256 over names and values.
    pub fn digest(&self) -> String {
        let mut bytes = Vec::new();
        for (name, values) in &self.values {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(bytemuck::cast_slice(values));
        }
        crate::base::hash::sha256_bytes(&bytes)
    }
}

/// The library writes its metadata in an order that is another each time; sorted, the same overlay is the same file.
fn sort_header(bytes: &mut [u8]) {
    let Some((length, rest)) = bytes.split_first_chunk_mut::<8>() else { return };
    let Some(header) = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|n| rest.get_mut(..n)) else { return };
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(header) else { return };
    if let Some(metadata) = value.get_mut("__metadata__").and_then(serde_json::Value::as_object_mut) {
        metadata.sort_keys();
    }
    let text = value.to_string();
    // As long as it was, but for the spaces that fill it up.
    if text.len() <= header.len() {
        header.fill(b' ');
        header[..text.len()].copy_from_slice(text.as_bytes());
    }
}
