//! Config keys and weight names of each family. No forward code: a family is data for the one decoder.

mod config;
pub mod gemma3;
pub mod gpt2;
pub mod gpt_neox;
mod layout;
pub mod llama;
pub mod mistral;
pub mod opt;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
mod write;

pub use config::{ConfigFile, RopeDefaults};
pub use layout::{Layout, Rows};

use super::{DecoderSpec, weights::Role};
use crate::base::{Error, Result};

/// A model family: what a config.json of its `model_type` means, and what its tensors are called.
pub struct Family {
    /// `model_type` of config.json.
    pub model_type: &'static str,
    /// Other values of `model_type` that mean this family.
    pub also: &'static [&'static str],
    /// What a user reads.
    pub label: &'static str,
    /// Where the architecture is described.
    pub source: &'static str,
    pub spec: fn(&ConfigFile) -> Result<DecoderSpec>,
    /// A config.json that gives this spec again, for models saved by us.
    pub config: fn(&DecoderSpec) -> serde_json::Map<String, serde_json::Value>,
    /// The name of the stored tensor that holds one of ours.
    pub tensor_name: fn(Role) -> String,
    /// How it lies in it; only asked for tensors that the spec has.
    pub layout: fn(&DecoderSpec, Role) -> Layout,
    /// How names begin, and what stands there instead in files saved by other classes or older versions.
    pub prefixes: &'static [&'static str],
    /// Ends of names of stored tensors that are no weights: masks and tables of positions.
    pub ignored: &'static [&'static str],
}

/// Every family that loads, one line each.
pub const FAMILIES: &[Family] = &[
    llama::FAMILY,
    mistral::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    gemma3::FAMILY,
    phi3::FAMILY,
    gpt2::FAMILY,
    gpt_neox::FAMILY,
    opt::FAMILY,
];

/// Every tensor stored as the decoder wants it.
fn whole(spec: &DecoderSpec, role: Role) -> Layout {
    Layout::whole(spec.shape(role).unwrap_or_default())
}

impl Family {
    /// Every name under which a tensor may be stored, the usual one first.
    pub fn names(&self, role: Role) -> Vec<String> {
        let name = (self.tensor_name)(role);
        let rest = self.prefixes.first().and_then(|usual| name.strip_prefix(usual));
        let others = rest.map(|rest| self.prefixes[1..].iter().map(|p| format!("{p}{rest}")).collect::<Vec<_>>());
        std::iter::once(name.clone()).chain(others.unwrap_or_default()).collect()
    }
}

/// # Errors
/// For a `model_type` that is not in [`FAMILIES`]; the message says which are.
pub fn find(model_type: &str) -> Result<&'static Family> {
    FAMILIES.iter().find(|f| f.model_type == model_type || f.also.contains(&model_type)).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().flat_map(|f| std::iter::once(f.model_type).chain(f.also.iter().copied())).collect();
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
