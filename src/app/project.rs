//! What a project file holds and undo restores: choices, never results.

use crate::{
    base::NeuronSet,
    data::Mapping,
    eval::AblationMode,
    scan::{MetricKind, ScanConfig},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    pub model: Option<PathBuf>,
    pub domains: Vec<ProjectDomain>,
    pub scan: ScanConfig,
    pub sets: Vec<NamedSet>,
    /// Neurons toggled one by one, off beside the sets.
    pub single: NeuronSet,
    /// Neurons of a set in force that were switched back on one by one.
    pub spared: NeuronSet,
    pub mode: AblationMode,
    /// Random controls of an ablation.
    pub controls: usize,
    /// Run folder shown by the panels.
    pub run: Option<PathBuf>,
    pub view: View,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectDomain {
    pub name: String,
    /// `demo` for a generated domain.
    pub path: PathBuf,
    pub mapping: Mapping,
    pub enabled: bool,
    pub colour: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedSet {
    pub name: String,
    pub neurons: NeuronSet,
    pub on: bool,
    /// Where it came from, in words: `top 10 % relevance of arithmetic, run 2026-…`.
    pub source: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapScale {
    #[default]
    Linear,
    Log,
    /// Linear up to the 99.9th percentile, clipped above.
    Clipped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub metric: MetricKind,
    pub domain: Option<String>,
    pub minus: Option<String>,
    pub scale: MapScale,
    /// `None`: the run's own.
    pub gamma: Option<f32>,
    pub top_percent: f64,
    pub layer_range: Option<(usize, usize)>,
    pub pair: Option<(String, String)>,
    pub selection: NeuronSet,
}

impl Default for View {
    fn default() -> Self {
        Self {
            metric: MetricKind::Relevance,
            domain: None,
            minus: None,
            scale: MapScale::Log,
            gamma: None,
            top_percent: 10.0,
            layer_range: None,
            pair: None,
            selection: NeuronSet::new(),
        }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self {
            model: None,
            domains: Vec::new(),
            scan: ScanConfig::default(),
            sets: Vec::new(),
            single: NeuronSet::new(),
            spared: NeuronSet::new(),
            mode: AblationMode::Zero,
            controls: 5,
            run: None,
            view: View::default(),
        }
    }
}

impl Project {
    /// Neurons that are off: all sets switched on, less the spared, plus the single ones.
    pub fn off(&self) -> NeuronSet {
        let sets = self.sets.iter().filter(|s| s.on).fold(NeuronSet::new(), |all, s| all.union(&s.neurons));
        sets.minus(&self.spared).union(&self.single)
    }
}
