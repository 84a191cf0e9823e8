//! Writes a model folder that other tools load: config.json and model.safetensors under the family's own names.

use super::{
    DecoderSpec, Tensor, Weights,
    family::{self, Layout},
};
use crate::base::{Error, Result, atomic_file};
use safetensors::Dtype;
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::Path,
};

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
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for role in spec.roles() {
        let values = weights.get(role).ok_or_else(|| Error::invalid(format!("the weights have no {role}")))?;
        parts.entry((family.tensor_name)(role)).or_default().push(Part { values, layout: (family.layout)(spec, role) });
    }
    let tensors = parts.into_iter().map(|(name, parts)| (name, Stored { parts, dtype }));
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

/// One of our tensors, and how it lies in a stored one.
struct Part {
    values: Tensor,
    layout: Layout,
}

/// A stored tensor: one of ours, or several that the family keeps together.
struct Stored {
    parts: Vec<Part>,
    dtype: SaveDtype,
}

impl Stored {
    fn bytes(&self, values: &[f32]) -> Vec<u8> {
        match self.dtype {
            SaveDtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            SaveDtype::Bf16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        }
    }
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            SaveDtype::F32 => Dtype::F32,
            SaveDtype::Bf16 => Dtype::BF16,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.parts[0].layout.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        if let [only] = &self.parts[..]
            && only.layout.is_whole()
        {
            return Cow::Owned(self.bytes(&only.values));
        }
        let mut all = vec![0f32; self.shape().iter().product()];
        for part in &self.parts {
            let width = part.values.shape.get(1).copied().unwrap_or(1);
            for (row, values) in part.values.chunks_exact(width).enumerate() {
                let (start, step) = part.layout.source(row);
                all[start..].iter_mut().step_by(step).zip(values).for_each(|(s, v)| *s = *v);
            }
        }
        Cow::Owned(self.bytes(&all))
    }
    fn data_len(&self) -> usize {
        self.shape().iter().product::<usize>() * self.dtype().bitsize() / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlockNorm, Matrix, Role};
    use std::collections::BTreeSet;

    #[test]
    fn every_family_names_its_tensors_apart() {
        for family in family::FAMILIES {
            let roles = [0, 1, 11].into_iter().flat_map(|l| {
                let linear = Matrix::ALL.into_iter().flat_map(move |m| [Role::Weight(l, m), Role::Bias(l, m)]);
                let norms = BlockNorm::ALL.into_iter().flat_map(move |n| [Role::Norm(n, l), Role::NormBias(n, l)]);
                linear.chain(norms)
            });
            let outer =
                [Role::Embedding, Role::Positions, Role::ProjectIn, Role::ProjectOut, Role::NormFinal, Role::NormFinalBias, Role::Head];
            let names: BTreeSet<String> = roles.clone().chain(outer).map(family.tensor_name).collect();
            // Families that keep matrices together name them alike: three in one, two in one.
            let fused: usize = roles.clone().filter(|r| matches!(r, Role::Weight(..) | Role::Bias(..))).count()
                - roles
                    .clone()
                    .filter(|r| matches!(r, Role::Weight(..) | Role::Bias(..)))
                    .map(family.tensor_name)
                    .collect::<BTreeSet<_>>()
                    .len();
            assert_eq!(names.len() + fused, roles.count() + outer.len(), "{}", family.model_type);
        }
    }
}
