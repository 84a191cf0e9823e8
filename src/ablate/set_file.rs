//! A neuron set as a file: what it is, where it came from, in one of the vocabularies that people use.

use super::Selected;
use crate::{
    base::{
        Error, Head, NeuronSet, Result, atomic_file,
        neuron_names::{Axis, HOW},
    },
    model::{DecoderSpec, Matrix, Role, family},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, path::Path};

/// How a file names a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    /// `{"3": [17, 18]}`
    #[default]
    Layers,
    /// `{"blocks.3.mlp.hook_post": [17, 18]}`, as TransformerLens has them.
    HookPoints,
    /// `{"model.layers.3.mlp.down_proj.weight[:, *]": [17, 18]}`, as the checkpoint has them.
    Tensors,
}

/// Rows of a file that a neuron set was chosen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenOn {
    pub domain: String,
    /// Of the file: another domain may read the same.
    pub sha256: String,
    /// From 1.
    pub lines: BTreeSet<usize>,
}

/// `{"neurons": {"3": [17, 18]}, ...}`; a file may also hold the neurons alone. Only `neurons` must be there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeuronSetFile {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub neurons: NeuronSet,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Head>,
    pub source: String,
    /// What makes it again from the run's maps.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub formula: String,
    /// The run that the maps were of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    pub model_sha256: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Palette number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<usize>,
    /// Rows that must not judge it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chosen_on: Vec<ChosenOn>,
}

/// Reads either form of a neuron set file, in any vocabulary.
///
/// # Errors
/// When it cannot be read or is neither.
pub fn read(path: &Path) -> Result<NeuronSetFile> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let bad = |why: String| {
        Error::format(
            path,
            format!(
                "{why}; expected {{\"3\": [17, 18]}} (layer: neurons), a list of names such as {HOW}, or one of them under \"neurons\""
            ),
        )
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| bad(format!("not JSON: {e}")))?;
    let mut file = match value {
        Value::Object(map) if map.contains_key("neurons") => map,
        neurons => Map::from_iter([("neurons".to_owned(), neurons)]),
    };
    // A list of names is a vocabulary of its own.
    if let Some(Value::Array(names)) = file.get("neurons") {
        let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
        let names = names.ok_or_else(|| bad("a list of neurons holds something else than names".into()))?;
        let set = NeuronSet::parse(&names.join(",")).map_err(|e| bad(e.to_string()))?;
        file.insert("neurons".into(), serde_json::to_value(set).map_err(|e| bad(e.to_string()))?);
    }
    serde_json::from_value(Value::Object(file)).map_err(|e| bad(e.to_string()))
}

/// The set of a file with where it came from in words.
///
/// # Errors
/// As [`read`].
pub fn read_selected(path: &Path) -> Result<Selected> {
    let file = read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let source = if file.source.is_empty() { name.into_owned() } else { format!("{name}: {}", file.source) };
    Ok(Selected { neurons: file.neurons, heads: file.heads.into_iter().collect(), source })
}

/// Writes a neuron set so that [`read`] and `--neurons FILE.json` take it back. `model`: its type and spec, which [`Vocabulary::Tensors`] needs.
///
/// # Errors
/// When the file cannot be written, or the model is not known whose tensors are to be named.
pub fn write(path: &Path, file: &NeuronSetFile, vocabulary: Vocabulary, model: Option<(&str, &DecoderSpec)>) -> Result<()> {
    let bad = |e: serde_json::Error| Error::format(path, e.to_string());
    let mut value = serde_json::to_value(file).map_err(bad)?;
    if vocabulary != Vocabulary::Layers {
        let mut named = Map::new();
        for layer in file.neurons.layers() {
            let members: Vec<usize> = file.neurons.layer(layer).collect();
            named.insert(key(layer, vocabulary, model)?, members.into());
        }
        value["neurons"] = Value::Object(named);
    }
    let mut json = serde_json::to_vec_pretty(&value).map_err(bad)?;
    json.push(b'\n');
    atomic_file::write(path, &json)
}

fn key(layer: usize, vocabulary: Vocabulary, model: Option<(&str, &DecoderSpec)>) -> Result<String> {
    Ok(match vocabulary {
        Vocabulary::Layers => layer.to_string(),
        Vocabulary::HookPoints => format!("blocks.{layer}.mlp.hook_post"),
        Vocabulary::Tensors => {
            let (model_type, spec) =
                model.ok_or_else(|| Error::invalid("the names of tensors are the model's: open it first, or choose another vocabulary"))?;
            let family = family::find(model_type)?;
            let role = Role::Weight(layer, Matrix::Down);
            let axis = if (family.layout)(spec, role).transposed { Axis::Row } else { Axis::Column };
            format!("{}{}", (family.tensor_name)(role), axis.pattern())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Sizes;

    fn spec() -> DecoderSpec {
        DecoderSpec::llama(Sizes {
            n_layers: 6,
            d_model: 8,
            d_mlp: 32,
            vocab: 16,
            max_positions: 8,
            n_heads: 2,
            n_kv_heads: 2,
            head_dim: 4,
        })
    }

    #[test]
    fn every_vocabulary_reads_back_as_the_same_set() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("set.json");
        let file = NeuronSetFile {
            name: "mine".into(),
            neurons: NeuronSet::parse("L0N1,L3N17-18").expect("set"),
            heads: vec![Head::new(1, 2)],
            source: "by hand".into(),
            formula: "top(a, 5%)".into(),
            run: "run 1".into(),
            model_sha256: "ab".into(),
            notes: "why".into(),
            colour: Some(2),
            chosen_on: vec![ChosenOn { domain: "a".into(), sha256: "cd".into(), lines: [3, 4].into() }],
        };
        for (vocabulary, model_type, part) in [
            (Vocabulary::Layers, "llama", "\"3\""),
            (Vocabulary::HookPoints, "llama", "\"blocks.3.mlp.hook_post\""),
            (Vocabulary::Tensors, "llama", "\"model.layers.3.mlp.down_proj.weight[:, *]\""),
            (Vocabulary::Tensors, "gpt2", "\"transformer.h.3.mlp.c_proj.weight[*, :]\""),
            (Vocabulary::Tensors, "opt", ".layers.3.fc2.weight[:, *]\""),
        ] {
            write(&path, &file, vocabulary, Some((model_type, &spec()))).expect("write");
            let text = std::fs::read_to_string(&path).expect("text");
            assert!(text.contains(part), "{text}");
            assert_eq!(read(&path).expect("read"), file, "{text}");
        }
        let e = write(&path, &file, Vocabulary::Tensors, None).expect_err("no model").to_string();
        assert!(e.contains("open it first"), "{e}");
    }

    #[test]
    fn bare_neurons_and_lists_of_names_are_sets_too() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("set.json");
        for text in [
            r#"{"3": [17, 18], "0": [1]}"#,
            r#"["L0N1", "blocks.3.mlp.hook_post[17]", "model.layers.3.mlp.down_proj.weight[:, 18]"]"#,
            r#"{"neurons": ["L0N1", "L3N17-18"], "source": "by hand"}"#,
        ] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(read(&path).expect(text).neurons.to_string(), "L0N1,L3N17-18", "{text}");
        }
        for text in [r#"{"layer three": [17]}"#, "[3]", "17", r#"{"neurons": {"3": "all"}}"#, "{"] {
            std::fs::write(&path, text).expect("write");
            let e = read(&path).expect_err(text).to_string();
            assert!(e.contains("set.json") && e.contains("{\"3\": [17, 18]}"), "{e}");
        }
    }
}
