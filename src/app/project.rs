//! What a project file holds and undo restores: choices, never results.

use super::{Arrangement, ChosenOn, MapView, OverlapView, SimilarityView};
use crate::{
    ablate::ControlMatch,
    base::{Head, Neuron, NeuronSet},
    data::Mapping,
    eval::{AblationAt, AblationMode},
    scan::{MetricKind, Order, ScanConfig},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    pub model: Option<PathBuf>,
    pub domains: Vec<ProjectDomain>,
    pub scan: ScanConfig,
    pub sets: Vec<NamedSet>,
    /// Neurons toggled one by one, off beside the sets.
    pub single: NeuronSet,
    /// Neurons of a set in force that were switched back on one by one.
    pub spared: NeuronSet,
    /// Attention heads that are off.
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    /// Positions at which activations change.
    pub at: AblationAt,
    /// Random controls of an ablation.
    pub controls: usize,
    /// What they have in common with the set.
    pub control_match: ControlMatch,
    pub eval: EvalConfig,
    /// Run folder shown by the panels; follows the library and is not undone.
    pub run: Option<PathBuf>,
    pub view: View,
    /// Words of the user's.
    pub notes: String,
    /// How the window's panels lie; `None` until one was moved, and where no window was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrangement: Option<Arrangement>,
}

/// Which items of a domain an evaluation scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalConfig {
    /// `None`: all.
    pub samples: Option<usize>,
    pub seed: u64,
    pub order: Order,
    /// Longest sequence; the context loses its left end.
    pub max_tokens: usize,
    /// Lines of a domain's file that are not scored, by domain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude: BTreeMap<String, BTreeSet<usize>>,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { samples: None, seed: 0, order: Order::Shuffle, max_tokens: 256, exclude: BTreeMap::new() }
    }
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedSet {
    pub name: String,
    pub neurons: NeuronSet,
    /// In force: its neurons are switched off.
    pub on: bool,
    /// Where it came from, in words: `top 10 % relevance of arithmetic, run 2026-…`.
    pub source: String,
    /// What makes it again from the run's maps, where a formula made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub formula: String,
    /// The run that was shown when it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The model it is of.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_sha256: String,
    /// Words of the user's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Palette number, once one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<usize>,
    /// The rows it was chosen on, which should not judge it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_on: Vec<ChosenOn>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapScale {
    #[default]
    Linear,
    Log,
    /// Linear up to the view's percentile, clipped above.
    Clipped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    pub map: MapView,
    pub overlap: OverlapView,
    pub similarity: SimilarityView,
    /// Domains and samples in the order of their dendrogram.
    pub clustered: bool,
    /// Layer of the samples' matrix; `None`: one that is there, else the middle one.
    pub sample_layer: Option<usize>,
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
            map: MapView::default(),
            overlap: OverlapView::default(),
            similarity: SimilarityView::default(),
            clustered: false,
            sample_layer: None,
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
            heads: BTreeSet::new(),
            mode: AblationMode::Zero,
            at: AblationAt::All,
            controls: 5,
            control_match: ControlMatch::Size,
            eval: EvalConfig::default(),
            run: None,
            view: View::default(),
            notes: String::new(),
            arrangement: None,
        }
    }
}

/// Neurons or heads that are off or kept on by themselves, called alike wherever sets are listed.
pub struct Besides {
    pub name: &'static str,
    pub count: usize,
    /// `L4N193, L5N0-3`
    pub which: String,
}

impl Project {
    /// Neurons that are off: all sets switched on, less the spared, plus the single ones.
    pub fn off(&self) -> NeuronSet {
        let sets = self.sets.iter().filter(|s| s.on).fold(NeuronSet::new(), |all, s| all.union(&s.neurons));
        sets.minus(&self.spared).union(&self.single)
    }
    pub fn is_off(&self, n: Neuron) -> bool {
        self.single.contains(n) || (!self.spared.contains(n) && self.in_set(n))
    }
    /// Whether there is a set, or anything is off or spared: what [`Command::ClearAblation`](super::Command::ClearAblation) would take away.
    pub fn has_ablation(&self) -> bool {
        !self.sets.is_empty() || !self.besides_sets().is_empty()
    }
    /// What is off, or kept on, one by one besides the sets; what is not there is left out.
    pub fn besides_sets(&self) -> Vec<Besides> {
        let heads = || self.heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let all = [
            Besides { name: "Single neurons off", count: self.single.len(), which: self.single.to_string() },
            Besides { name: "Spared, though in a set", count: self.spared.len(), which: self.spared.to_string() },
            Besides { name: "Single heads off", count: self.heads.len(), which: heads() },
        ];
        all.into_iter().filter(|b| b.count > 0).collect()
    }
    fn in_set(&self, n: Neuron) -> bool {
        self.sets.iter().any(|s| s.on && s.neurons.contains(n))
    }
    /// Switches one neuron off, or back on, whatever sets say of it.
    pub(super) fn toggle(&mut self, n: Neuron) {
        if self.is_off(n) {
            self.single.remove(n);
            if self.is_off(n) {
                self.spared.insert(n);
            }
        } else {
            self.spared.remove(n);
            if !self.is_off(n) {
                self.single.insert(n);
            }
        }
    }
    pub fn domain(&self, name: &str) -> Option<&ProjectDomain> {
        self.domains.iter().find(|d| d.name == name)
    }
    pub(super) fn domain_mut(&mut self, name: &str) -> Option<&mut ProjectDomain> {
        self.domains.iter_mut().find(|d| d.name == name)
    }
    /// Names of the domains that the next scan and evaluation include, in order.
    pub fn enabled(&self) -> impl Iterator<Item = &ProjectDomain> {
        self.domains.iter().filter(|d| d.enabled)
    }
    /// Palette number of a domain; domains only a run knows get one after those of the project.
    pub fn colour(&self, name: &str) -> usize {
        self.domain(name).map_or_else(
            || name.bytes().fold(self.domains.len(), |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b))) % PALETTE,
            |d| d.colour,
        )
    }
    /// The smallest palette number no domain has.
    pub(super) fn free_colour(&self) -> usize {
        (0..).find(|c| self.domains.iter().all(|d| d.colour != *c)).unwrap_or_default()
    }
    /// Rough size for the history's budget.
    pub(super) fn weight(&self) -> usize {
        1_000 + self.single.len() + self.spared.len() + self.view.selection.len() + self.sets.iter().map(|s| s.neurons.len()).sum::<usize>()
    }
}

/// Colours of the palette (Okabe-Ito); numbers beyond wrap around.
pub const PALETTE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_set(text: &str) -> Project {
        let set = NamedSet { name: "a".into(), neurons: NeuronSet::parse(text).expect("set"), on: true, ..NamedSet::default() };
        Project { sets: vec![set], ..Project::default() }
    }

    #[test]
    fn a_neuron_of_a_set_can_be_spared_and_switched_off_again() {
        let mut p = with_set("L0N0-3");
        let n = Neuron::new(0, 2);
        p.toggle(n);
        assert_eq!(p.off().to_string(), "L0N0-1,L0N3");
        assert!(!p.is_off(n) && p.single.is_empty());
        p.toggle(n);
        assert_eq!(p.off().to_string(), "L0N0-3");
        assert!(p.spared.is_empty() && p.single.is_empty());
    }

    #[test]
    fn a_single_neuron_stays_off_when_its_set_goes_on() {
        let mut p = with_set("L0N0-3");
        p.sets[0].on = false;
        p.toggle(Neuron::new(0, 2));
        assert_eq!(p.off().to_string(), "L0N2");
        p.sets[0].on = true;
        // In the set and single: one toggle must still switch it on.
        p.toggle(Neuron::new(0, 2));
        assert!(!p.is_off(Neuron::new(0, 2)));
        assert_eq!(p.off().to_string(), "L0N0-1,L0N3");
    }
}
