//! What a dropped file or folder is, by looking at it.

use crate::{
    app::Command,
    base::{NeuronSet, neuron_names},
    data::Mapping,
    model::is_gguf,
};
use std::{io::Read as _, path::Path};

/// A dataset file under its own name.
pub fn add_domain(path: &Path) -> Command {
    let name = path.file_stem().map_or_else(|| "domain".to_owned(), |s| s.to_string_lossy().into_owned());
    Command::AddDomain { name, path: path.to_owned(), mapping: Mapping::default() }
}

/// What a .json file is.
#[derive(Debug, PartialEq, Eq)]
enum JsonKind {
    Project,
    Set,
    Data,
}

/// By the words at its beginning: a frame must not read a file of any size.
fn json_kind(path: &Path) -> JsonKind {
    const HEAD: u64 = 4096;
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(HEAD).read_to_end(&mut head));
    if read.is_err() {
        return JsonKind::Data;
    }
    let text: String = String::from_utf8_lossy(&head).chars().filter(|c| !c.is_whitespace()).collect();
    if text.contains("\"format\":\"brodmannproject\"") {
        return JsonKind::Project;
    }
    // A set names its layers first: {"3":[17,18], or {"neurons":, or a list of names.
    let first_key = text.strip_prefix("{\"").and_then(|t| t.split_once('"'));
    let layer = first_key.is_some_and(|(key, rest)| neuron_names::layer_of_key(key).is_some() && rest.starts_with(":["));
    let names = text.strip_prefix("[\"").and_then(|t| t.split('"').next()).is_some_and(|n| NeuronSet::parse(n).is_ok());
    if layer || names || text.contains("\"neurons\":{") || text.contains("\"neurons\":[\"") { JsonKind::Set } else { JsonKind::Data }
}

/// What a dropped file or folder is, by looking at it.
///
/// # Errors
/// What was expected, when it is nothing known.
pub fn dropped(path: &Path) -> Result<Command, String> {
    let shown = path.display();
    if path.is_dir() {
        if path.join("run.json").exists() {
            return Ok(Command::OpenRun { path: path.to_owned() });
        }
        if path.join("config.json").exists() {
            return Ok(Command::OpenModel { path: path.to_owned() });
        }
        if std::fs::read_dir(path).is_ok_and(|dir| dir.flatten().any(|e| is_gguf(&e.path()))) {
            return Ok(Command::OpenModel { path: path.to_owned() });
        }
        return Err(format!("{shown}: a folder with config.json or a .gguf file (a model) or run.json (a run) was expected"));
    }
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("jsonl" | "csv" | "tsv" | "parquet" | "txt") => Ok(add_domain(path)),
        Some("json") if path.file_name().is_some_and(|n| n == "run.json") => {
            Ok(Command::OpenRun { path: path.parent().unwrap_or(path).to_owned() })
        }
        Some("json") if path.file_name().is_some_and(|n| n == "config.json") => {
            Ok(Command::OpenModel { path: path.parent().unwrap_or(path).to_owned() })
        }
        Some("json") => Ok(match json_kind(path) {
            JsonKind::Project => Command::OpenProject { path: path.to_owned() },
            JsonKind::Set => Command::AddSetFile { path: path.to_owned() },
            JsonKind::Data => add_domain(path),
        }),
        Some("gguf") => Ok(Command::OpenModel { path: path.to_owned() }),
        Some("safetensors") => Ok(Command::OpenModel { path: path.parent().unwrap_or(path).to_owned() }),
        _ => Err(format!(
            "{shown}: a model folder or .gguf file, a run folder, a project, a neuron set or a dataset (.jsonl, .json, .csv, .tsv, .parquet, .txt) \
                 was expected"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_things_are_told_apart_by_their_contents() {
        let dir = tempfile::tempdir().expect("dir");
        let (model, run, other) = (dir.path().join("m"), dir.path().join("r"), dir.path().join("o"));
        for d in [&model, &run, &other] {
            std::fs::create_dir(d).expect("dir");
        }
        std::fs::write(model.join("config.json"), "{}").expect("write");
        std::fs::write(run.join("run.json"), "{}").expect("write");
        assert_eq!(dropped(&model), Ok(Command::OpenModel { path: model.clone() }));
        assert_eq!(dropped(&model.join("config.json")), Ok(Command::OpenModel { path: model.clone() }));
        assert_eq!(dropped(&run), Ok(Command::OpenRun { path: run.clone() }));
        assert!(dropped(&other).is_err_and(|e| e.contains("config.json") && e.contains("run.json")));
        let data = dir.path().join("boolq.JSONL");
        assert!(matches!(dropped(&data), Ok(Command::AddDomain { name, .. }) if name == "boolq"));
        assert!(dropped(&dir.path().join("weights.bin")).is_err());
        for (text, kind) in [
            ("{\n  \"format\": \"brodmann project\",", JsonKind::Project),
            (r#"{"3": [17, 18]}"#, JsonKind::Set),
            (r#"{"name": "mine", "neurons": {"3": [17]}}"#, JsonKind::Set),
            (r#"{"blocks.3.mlp.hook_post": [17]}"#, JsonKind::Set),
            (r#"["L3N17", "L4N0"]"#, JsonKind::Set),
            (r#"[{"question": "3", "choices": ["a"], "answer": 0}]"#, JsonKind::Data),
            (r#"["plain", "texts"]"#, JsonKind::Data),
        ] {
            let path = other.join("x.json");
            std::fs::write(&path, text).expect("write");
            assert_eq!(json_kind(&path), kind, "{text}");
        }
        std::fs::remove_file(other.join("x.json")).expect("remove");
        let file = other.join("model.Q4_K.GGUF");
        assert_eq!(dropped(&file), Ok(Command::OpenModel { path: file.clone() }));
        std::fs::write(&file, "GGUF").expect("write");
        assert_eq!(dropped(&other), Ok(Command::OpenModel { path: other.clone() }));
    }
}
