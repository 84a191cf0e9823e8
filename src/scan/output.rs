//! What a scan gives. Stored as a run folder: run.json and grids.safetensors.

use super::ScanConfig;
use crate::{
    base::{Grid, number, provenance::Provenance},
    data::DomainKind,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which rows of which file a domain's numbers come from: enough for another program to read the same samples in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainSource {
    pub file: PathBuf,
    pub sha256: String,
    pub split: String,
    pub kind: DomainKind,
    /// How a prompt is made from a row, in words.
    pub template: String,
    /// Line in `file` of each sample, in the order scanned.
    pub sample_lines: Vec<usize>,
    /// Lines that were passed over because they make fewer than two tokens (or leave nothing to predict).
    pub too_short: Vec<usize>,
    /// Rows of the file that could not be read as items.
    pub unreadable: usize,
    /// Tokens that a sample may have: the setting, or the model's context where that is shorter. 0 where nothing was tokenised, or in old runs.
    pub longest: usize,
    /// Samples that were longer and were cut to it.
    pub cut: usize,
    /// Sample m is paired with sample `self_cycle[m]` for the domain's LLMDcos with itself. Empty for fewer than two samples.
    pub self_cycle: Vec<usize>,
}

impl Default for DomainSource {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            sha256: String::new(),
            split: String::new(),
            kind: DomainKind::Text,
            template: String::new(),
            sample_lines: Vec::new(),
            too_short: Vec::new(),
            unreadable: 0,
            longest: 0,
            cut: 0,
            self_cycle: Vec::new(),
        }
    }
}

impl DomainSource {
    /// `3 of 16 samples cut to 128 tokens`
    pub fn cut_words(&self) -> String {
        let of = number::counted(self.sample_lines.len() as u64, "sample");
        format!("{} of {of} cut to {} tokens", number::count(self.cut as u64), number::count(self.longest as u64))
    }
}

/// Everything measured on one domain. `L` layers, `f` = d_mlp.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainScan {
    pub name: String,
    pub source: DomainSource,
    pub samples: usize,
    /// Tokens of the objective's sequences.
    pub tokens: usize,
    /// Mean over samples of the objective's value.
    pub mean_objective: f64,
    /// Share of a block's linear weights whose mean activation exceeds gamma, `[L]`. Empty where not asked for.
    pub density: Vec<f64>,
    pub activated_count: Vec<u64>,
    /// Counts of the domain mean by magnitude, `[L][bins]`; edges by `compute::scan_job::histogram_edge`.
    pub histogram: Vec<Vec<u64>>,
    /// Row roll-up of the domain mean onto hidden units: sum over gate row, up row and down column, `[L, f]`.
    pub param_activation: Option<Grid>,
    /// `mean_samples |sum_t a_tj dLoss/da_tj|`, `[L, f]` (METHODS 2).
    pub relevance: Option<Grid>,
    /// Relevance with its sign, `[L, f]`.
    pub attribution: Option<Grid>,
    /// The same at `attn.hook_z`, summed over a head's coordinates before the absolute value, `[L, n_heads]`.
    pub head_relevance: Option<Grid>,
    /// Mean of `mlp.hook_post` over all tokens of all samples, `[L, f]`.
    pub mean_activation: Option<Grid>,
    pub mean_abs_activation: Option<Grid>,
}

/// LLMDcos of one pair of domains (or of a domain with itself).
#[derive(Clone, Debug, PartialEq)]
pub struct PairSeries {
    pub a: String,
    pub b: String,
    /// `[M, L]`, cosine of sample pair m at layer l, in [0, 1]; `None` where a norm is 0.
    pub cosines: Vec<Vec<Option<f32>>>,
}

impl PairSeries {
    fn layer(&self, l: usize) -> Vec<f64> {
        self.cosines.iter().filter_map(|row| row[l]).map(f64::from).collect()
    }
    pub fn n_layers(&self) -> usize {
        self.cosines.first().map_or(0, Vec::len)
    }
    pub fn per_layer_mean(&self) -> Vec<Option<f64>> {
        (0..self.n_layers()).map(|l| crate::base::stats::mean(&self.layer(l))).collect()
    }
    pub fn per_layer_std(&self) -> Vec<Option<f64>> {
        (0..self.n_layers()).map(|l| crate::base::stats::std_dev(&self.layer(l))).collect()
    }
    /// Mean over samples and over the given layers.
    pub fn mean_over(&self, layers: std::ops::RangeInclusive<usize>) -> Option<f64> {
        let all: Vec<f64> = layers.filter(|&l| l < self.n_layers()).flat_map(|l| self.layer(l)).collect();
        crate::base::stats::mean(&all)
    }
    /// Mean over samples and layers floor(L/2) ..= L-3 (METHODS 1); for fewer than 6 layers at least layer floor(L/2).
    pub fn scalar(&self) -> Option<f64> {
        let n = self.n_layers();
        let first = n / 2;
        self.mean_over(first..=n.saturating_sub(3).max(first))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub seconds: f64,
    pub samples_per_second: f64,
    pub peak_rss_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanOutput {
    pub config: ScanConfig,
    pub provenance: Provenance,
    pub timing: Timing,
    pub n_layers: usize,
    pub d_mlp: usize,
    /// P_l: scalars of a block's linear weights, `[L]`.
    pub params_per_layer: Vec<u64>,
    pub domains: Vec<DomainScan>,
    /// Every pair a < b in the order given, and each domain with itself.
    pub llmdcos: Vec<PairSeries>,
}

impl ScanOutput {
    pub fn domain(&self, name: &str) -> Option<&DomainScan> {
        self.domains.iter().find(|d| d.name == name)
    }
    pub fn pair(&self, a: &str, b: &str) -> Option<&PairSeries> {
        self.llmdcos.iter().find(|p| (p.a == a && p.b == b) || (p.a == b && p.b == a))
    }
}
