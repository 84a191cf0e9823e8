//! Adapters in the files of PEFT (`adapter_config.json`, `adapter_model.safetensors`), so that `PeftModel.from_pretrained` loads them.

use super::lora::LoraConfig;
use crate::{
    base::{Error, Result, atomic_file},
    model::{Model, family, weights::Role},
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::{collections::BTreeSet, path::Path};

/// `values` as a trainer names them: A and B of each adapter in turn. Families that keep several matrices in one tensor (gpt2, gpt_neox, phi3) have no
/// such file: an adapter of a part of a tensor is none of PEFT's.
///
/// # Errors
/// When the family fuses its matrices, or the folder cannot be written to.
pub fn save(folder: &Path, base: &Model, config: &LoraConfig, values: &[(String, Vec<f32>)]) -> Result<()> {
    let family = family::find(&base.info.model_type)?;
    let mut names = BTreeSet::new();
    let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
    let roles = (0..base.spec.n_layers).flat_map(|l| base.spec.matrices().iter().map(move |m| Role::Weight(l, *m)));
    for role in roles {
        let find = |part: &str| values.iter().find(|(n, _)| *n == format!("{role} {part}")).map(|(_, v)| v.as_slice());
        let (Some(a), Some(b)) = (find("lora_a"), find("lora_b")) else { continue };
        let stored = (family.tensor_name)(role);
        if !names.insert(stored.clone()) {
            return Err(Error::invalid(format!(
                "{stored} holds several matrices of {}, of which PEFT cannot adapt one alone",
                base.info.model_type
            )));
        }
        let module = stored.trim_end_matches(".weight");
        let (out, inside) = (b.len() / config.rank, a.len() / config.rank);
        tensors.push((format!("base_model.model.{module}.lora_A.weight"), vec![config.rank, inside], a));
        tensors.push((format!("base_model.model.{module}.lora_B.weight"), vec![out, config.rank], b));
    }
    let targets: BTreeSet<&str> = names.iter().filter_map(|n| n.trim_end_matches(".weight").rsplit('.').next()).collect();
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join("adapter_model.safetensors");
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, values) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        views.push((name.as_str(), view.map_err(|e| Error::format(&path, format!("{name}: {e}")))?));
    }
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| Error::format(&path, e.to_string()))?;
    atomic_file::write(&path, &bytes)?;
    let described = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.info.name,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
    });
    let path = folder.join("adapter_config.json");
    let text = serde_json::to_string_pretty(&described).map_err(|e| Error::format(&path, e.to_string()))?;
    atomic_file::write(&path, format!("{text}\n").as_bytes())
}
