//! The models of the Hugging Face cache, and which of them this machine has the memory for.

use crate::{
    base::{Ctx, Result, hub, memory::Memory},
    model::{DecoderSpec, FoundModel, find_models},
    scan::{ScanConfig, estimate},
};
use serde::Serialize;
use std::path::PathBuf;

/// What `brodmann models` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelsReport {
    /// Where was looked; `None` without a home folder.
    pub cache: Option<PathBuf>,
    /// Bytes the system could still give; `None` where it does not say.
    pub free_bytes: Option<u64>,
    /// By name.
    pub models: Vec<ModelRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelRow {
    /// What `--model` takes.
    pub name: String,
    pub path: PathBuf,
    pub size_bytes: u64,
    /// Why it cannot be opened; then nothing more is known of it.
    pub problem: Option<String>,
    #[serde(flatten)]
    pub facts: Option<ModelFacts>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelFacts {
    pub model_type: String,
    pub dtype: String,
    pub n_params: u64,
    pub n_layers: usize,
    pub d_mlp: usize,
    pub memory: MemoryNeed,
    /// `None` where the system does not say how much there is.
    pub fit: Option<Fit>,
}

/// Bytes for a scan of one domain with the usual settings: 64 samples of up to 256 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryNeed {
    /// With all weights as f32 in memory and every activation kept.
    pub fast_bytes: u64,
    /// With one block's weights at a time, and activations computed again.
    pub least_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    Fits,
    /// Block by block: slower.
    Tight,
    TooLarge,
}

impl Fit {
    /// What a user reads.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Tight => "block by block",
            Self::TooLarge => "too large",
        }
    }
}

impl MemoryNeed {
    pub fn of(spec: &DecoderSpec) -> Self {
        let config = ScanConfig::default();
        let scan = estimate(spec, config.samples * config.max_tokens, config.samples, &config);
        let weights = 4 * spec.n_params();
        let block = 4 * spec.linear_params_per_layer();
        let outside = weights.saturating_sub(block * spec.n_layers as u64);
        // The next block is made while the last one may still be held.
        Self { fast_bytes: weights + scan.fast_bytes, least_bytes: outside + 2 * block + scan.least_bytes }
    }
    pub fn fit(self, free_bytes: u64) -> Fit {
        if self.fast_bytes <= free_bytes {
            Fit::Fits
        } else if self.least_bytes <= free_bytes {
            Fit::Tight
        } else {
            Fit::TooLarge
        }
    }
}

/// # Errors
/// When cancelled.
pub(super) fn report(ctx: &Ctx<'_>) -> Result<ModelsReport> {
    let cache = hub::cache_root();
    let found = match &cache {
        Some(root) => find_models(root, ctx)?,
        None => Vec::new(),
    };
    let free_bytes = Memory::now().map(|memory| memory.available_bytes);
    Ok(ModelsReport { cache, free_bytes, models: found.into_iter().map(|m| row(m, free_bytes)).collect() })
}

fn row(found: FoundModel, free_bytes: Option<u64>) -> ModelRow {
    let FoundModel { id, path, size_bytes, about } = found;
    let (facts, problem) = match about {
        Err(why) => (None, Some(why)),
        Ok(about) => {
            let memory = MemoryNeed::of(&about.spec);
            let facts = ModelFacts {
                model_type: about.model_type,
                dtype: about.dtype,
                n_params: about.spec.n_params(),
                n_layers: about.spec.n_layers,
                d_mlp: about.spec.d_mlp,
                memory,
                fit: free_bytes.map(|free| memory.fit(free)),
            };
            (Some(facts), None)
        }
    };
    ModelRow { name: id, path, size_bytes, problem, facts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Sizes;

    #[test]
    fn a_model_fits_runs_block_by_block_or_is_too_large() {
        // Of Llama-3-8B's shape: 8.03 billion weights are 32.1 GB as f32; a block has 218 million, embedding and head 1.05 billion.
        let sizes = Sizes {
            n_layers: 32,
            d_model: 4096,
            d_mlp: 14_336,
            vocab: 128_256,
            max_positions: 8192,
            n_heads: 32,
            n_kv_heads: 8,
            head_dim: 128,
        };
        let need = MemoryNeed::of(&DecoderSpec::llama(sizes));
        assert!(need.fast_bytes > 32_100_000_000 && need.least_bytes < 20_000_000_000, "{need:?}");
        assert!(need.least_bytes > 4 * (1_050_000_000 + 2 * 218_000_000), "{need:?}");
        assert_eq!(need.fit(need.fast_bytes), Fit::Fits);
        assert_eq!(need.fit(need.fast_bytes - 1), Fit::Tight);
        assert_eq!(need.fit(need.least_bytes - 1), Fit::TooLarge);
    }
}
