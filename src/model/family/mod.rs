//! Config keys and weight names of each family. No forward code: a family is data for the one decoder.

mod config;
pub mod llama;
pub mod qwen2;

pub use config::ConfigFile;

use super::{DecoderSpec, weights::Role};
use crate::base::{Error, Result};

/// A model family: what a config.json of its `model_type` means, and what its tensors are called.
pub struct Family {
    /// `model_type` of config.json.
    pub model_type: &'static str,
    /// What a user reads.
    pub label: &'static str,
    /// Where the architecture is described.
    pub source: &'static str,
    pub spec: fn(&ConfigFile) -> Result<DecoderSpec>,
    /// A config.json that gives this spec again, for models saved by us.
    pub config: fn(&DecoderSpec) -> serde_json::Map<String, serde_json::Value>,
    /// A tensor's name in the weight files.
    pub tensor_name: fn(Role) -> String,
}

/// Every family that loads, one line each.
pub const FAMILIES: &[Family] = &[llama::FAMILY, qwen2::FAMILY];

/// # Errors
/// For a `model_type` that is not in [`FAMILIES`]; the message says which are.
pub fn find(model_type: &str) -> Result<&'static Family> {
    FAMILIES.iter().find(|f| f.model_type == model_type).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|f| f.model_type).collect();
        Error::invalid(format!("model_type `{model_type}` is not supported; supported: {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_distinct_and_described() {
        for (i, f) in FAMILIES.iter().enumerate() {
            assert!(!f.label.is_empty() && f.source.starts_with("https://"), "{}", f.model_type);
            assert!(FAMILIES[..i].iter().all(|g| g.model_type != f.model_type), "{} twice", f.model_type);
        }
    }

    #[test]
    fn an_unknown_type_is_told_what_is_supported() {
        let e = find("mamba").err().expect("unknown").to_string();
        assert!(e.contains("`mamba`") && e.contains("llama"), "{e}");
    }
}
