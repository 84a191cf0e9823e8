//! A run as a folder: `run.json` says everything that repeats it, `grids.safetensors` holds the numbers.
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `density/{domain}` | `[L]` f32 | share of the block's linear weights whose mean activation exceeds gamma |
//! | `activated_count/{domain}` | `[L]` i64 | how many do |
//! | `param_histogram/{domain}` | `[L, bins]` i64 | by magnitude; `bins + 1` edges in the metadata under `histogram_edges` |
//! | `param_activation/{domain}` | `[L, f]` f32 | roll-up onto hidden units |
//! | `relevance/{domain}`, `attribution/{domain}`, `mean_activation/{domain}`, `mean_abs_activation/{domain}` | `[L, f]` f32 | |
//! | `head_relevance/{domain}` | `[L, heads]` f32 | |
//! | `llmdcos/{a}\|{b}` | `[M, L]` f32 | -1 where undefined |

mod read;
mod samples;
mod write;

pub use read::{parse_run, read_run};
pub use samples::{SAMPLES_FILE, parse_samples, read_samples, write_samples};
pub use write::write_run;

use super::{DomainSource, ScanConfig, Timing};
use crate::base::provenance::Provenance;
use serde::{Deserialize, Serialize};

pub const RUN_FILE: &str = "run.json";
pub const GRIDS_FILE: &str = "grids.safetensors";
const FORMAT: &str = "brodmann run";
const VERSION: u32 = 1;
/// Stands for a cosine whose norm is 0.
const UNDEFINED: f32 = -1.0;

/// run.json
#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    format: String,
    version: u32,
    /// Of grids.safetensors: the two files belong together.
    grids_sha256: String,
    provenance: Provenance,
    system: System,
    config: ScanConfig,
    timing: Timing,
    n_layers: usize,
    d_mlp: usize,
    params_per_layer: Vec<u64>,
    domains: Vec<DomainEntry>,
    /// Pairs of domain names, in the order of the scan.
    llmdcos: Vec<(String, String)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct System {
    os: String,
    arch: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DomainEntry {
    name: String,
    samples: usize,
    tokens: usize,
    mean_objective: f64,
    source: DomainSource,
    /// First parts of the names of this domain's tensors.
    tensors: Vec<String>,
}

/// First parts of the names of a domain's tensors.
mod names {
    pub const DENSITY: &str = "density";
    pub const COUNT: &str = "activated_count";
    pub const HISTOGRAM: &str = "param_histogram";
    pub const PARAM_ACTIVATION: &str = "param_activation";
    pub const RELEVANCE: &str = "relevance";
    pub const HEAD_RELEVANCE: &str = "head_relevance";
    pub const ATTRIBUTION: &str = "attribution";
    pub const MEAN: &str = "mean_activation";
    pub const MEAN_ABS: &str = "mean_abs_activation";
    pub const LLMDCOS: &str = "llmdcos";
}

#[cfg(test)]
mod tests;
