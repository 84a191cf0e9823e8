//! Writes a model folder that other tools load: config.json and model.safetensors under the family's own names.

use super::{DecoderSpec, Tensor, Weights, family};
use crate::base::{Error, Result, atomic_file};
use safetensors::Dtype;
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap, path::Path};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveDtype {
    F32,
    /// Rounded to the nearest, ties to even.
    Bf16,
}

/// Writes `config.json` and `model.safetensors` into `folder`, each either whole or not at all; the same weights give the same bytes.
/// `extra` are further entries of the config (`bos_token_id`, ...). The tokenizer is the caller's to copy. The file is put together in
/// memory first.
///
/// # Errors
/// When the family is unknown or the folder cannot be written to.
pub fn save_model(
    folder: &Path,
    model_type: &str,
    spec: &DecoderSpec,
    weights: &Weights,
    dtype: SaveDtype,
    extra: &Map<String, Value>,
) -> Result<()> {
    let family = family::find(model_type)?;
    let mut tensors = Vec::new();
    for role in spec.roles() {
        let values = weights.get(role).ok_or_else(|| Error::invalid(format!("the weights have no {role}")))?;
        tensors.push(((family.tensor_name)(role), Stored { values, dtype }));
    }
    // One entry only: a map of several would be written in an order that changes from run to run.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let path = folder.join("model.safetensors");
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::format(&path, e.to_string()))?;
    atomic_file::write(&path, &bytes)?;

    let mut config = (family.config)(spec);
    let name = match dtype {
        SaveDtype::F32 => "float32",
        SaveDtype::Bf16 => "bfloat16",
    };
    config.insert("torch_dtype".into(), name.into());
    config.extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    let text = format!("{:#}\n", Value::Object(config));
    atomic_file::write(&folder.join("config.json"), text.as_bytes())
}

struct Stored {
    values: Tensor,
    dtype: SaveDtype,
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            SaveDtype::F32 => Dtype::F32,
            SaveDtype::Bf16 => Dtype::BF16,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.values.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self.dtype {
            SaveDtype::F32 => self.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            SaveDtype::Bf16 => self.values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        })
    }
    fn data_len(&self) -> usize {
        self.values.len() * self.dtype().bitsize() / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;
    use std::collections::BTreeSet;

    #[test]
    fn every_family_names_its_tensors_apart() {
        for family in family::FAMILIES {
            let roles = [0, 1, 11].into_iter().flat_map(|l| {
                let linear = crate::model::Matrix::ALL.into_iter().flat_map(move |m| [Role::Weight(l, m), Role::Bias(l, m)]);
                linear.chain([Role::NormAttn(l), Role::NormMlp(l)])
            });
            let names: Vec<String> = roles.chain([Role::Embedding, Role::NormFinal, Role::Head]).map(family.tensor_name).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", family.model_type);
        }
    }
}
