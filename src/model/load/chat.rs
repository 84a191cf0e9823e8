//! The chat template of a Hugging Face folder: chat_template.jinja, or an entry of tokenizer_config.json.

use crate::{
    base::{Error, Result},
    model::tokenizer::ChatTemplate,
};
use serde_json::Value;
use std::path::Path;

/// `None` where the model has none: a base model.
///
/// # Errors
/// When a file is there and cannot be read.
pub(super) fn of_folder(folder: &Path) -> Result<Option<ChatTemplate>> {
    let read = |name: &str| -> Result<Option<String>> {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path, e)),
        }
    };
    let config: Value = match read("tokenizer_config.json")? {
        None => Value::Null,
        Some(text) => {
            serde_json::from_str(&text).map_err(|e| Error::format(folder.join("tokenizer_config.json"), format!("not valid JSON: {e}")))?
        }
    };
    let source = match read("chat_template.jinja")? {
        Some(source) => Some(source),
        None => default_of(&config["chat_template"]),
    };
    // A text, or an object that describes the token.
    let token = |key: &str| config[key].as_str().or_else(|| config[key]["content"].as_str()).unwrap_or_default().to_owned();
    Ok(source.map(|source| ChatTemplate { source, bos_token: token("bos_token"), eos_token: token("eos_token") }))
}

/// One template, or several with names.
fn default_of(value: &Value) -> Option<String> {
    let named = || value.as_array()?.iter().find(|t| t["name"] == "default")?["template"].as_str();
    value.as_str().or_else(named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_is_found_wherever_folders_keep_it() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(of_folder(folder.path()).expect("none"), None);
        let config = folder.path().join("tokenizer_config.json");
        let write = |value: Value| std::fs::write(&config, value.to_string()).expect("write");
        let template = |source: &str| Some(ChatTemplate { source: source.into(), bos_token: "<s>".into(), eos_token: "</s>".into() });
        write(json!({ "bos_token": { "content": "<s>" }, "eos_token": "</s>", "chat_template": "{{ messages }}" }));
        assert_eq!(of_folder(folder.path()).expect("text"), template("{{ messages }}"));
        let list = json!([{ "name": "tool_use", "template": "t" }, { "name": "default", "template": "d" }]);
        write(json!({ "bos_token": "<s>", "eos_token": "</s>", "chat_template": list }));
        assert_eq!(of_folder(folder.path()).expect("list"), template("d"));
        std::fs::write(folder.path().join("chat_template.jinja"), "own file").expect("write");
        assert_eq!(of_folder(folder.path()).expect("file"), template("own file"));
        std::fs::write(&config, "{").expect("write");
        assert!(of_folder(folder.path()).expect_err("damaged").to_string().contains("tokenizer_config.json"));
    }
}
