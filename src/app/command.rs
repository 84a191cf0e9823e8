//! Everything a user can ask for, as data: a button, a command line, a script, a test and a bug report have one form.

use crate::{
    base::{Neuron, NeuronSet},
    data::Mapping,
    eval::AblationMode,
    scan::{MetricKind, ObjectiveKind, ScanConfig},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    // Library
    /// A model folder, or `demo`.
    OpenModel {
        path: PathBuf,
    },
    /// Adds or replaces the domain `name`. `mapping` empty: columns are detected.
    AddDomain {
        name: String,
        path: PathBuf,
        mapping: Mapping,
    },
    RemoveDomain {
        name: String,
    },
    /// Whether the next scan and evaluation include it.
    EnableDomain {
        name: String,
        on: bool,
    },
    /// Colour number in the palette.
    ColourDomain {
        name: String,
        colour: usize,
    },
    /// The demo model, its domains and its stored run.
    OpenDemo,
    OpenRun {
        path: PathBuf,
    },
    /// Makes a run of the library the one the panels show.
    ShowRun {
        index: usize,
    },

    // Work
    SetScanConfig {
        config: ScanConfig,
    },
    /// Scans the enabled domains with the project's scan settings. `out`: run folder (default: one below the data folder).
    StartScan {
        out: Option<PathBuf>,
    },
    /// Accuracy of the enabled domains with nothing switched off.
    Evaluate,
    CancelJob {
        id: u64,
    },
    /// The newest running job (Esc).
    CancelNewest,

    // Ablation: every change starts a new evaluation and cancels the old one
    ToggleNeuron {
        neuron: Neuron,
    },
    /// A new set, switched on.
    AddSet {
        name: String,
        neurons: NeuronSet,
        source: String,
    },
    /// The top `percent` of a metric's map of a domain, from the shown run.
    AddTopSet {
        domain: String,
        metric: MetricKind,
        percent: f64,
    },
    EnableSet {
        index: usize,
        on: bool,
    },
    RemoveSet {
        index: usize,
    },
    RenameSet {
        index: usize,
        name: String,
    },
    /// Removes all sets and single neurons.
    ClearAblation,
    SetAblationMode {
        mode: AblationMode,
    },
    SetControls {
        count: usize,
    },

    // View (undoable, changes no number)
    SetMetric {
        metric: MetricKind,
    },
    /// Domain of the neuron map; `minus` makes it a difference map.
    ShowDomain {
        domain: Option<String>,
        minus: Option<String>,
    },
    SetMapScale {
        scale: super::MapScale,
    },
    SetGamma {
        gamma: f32,
    },
    SetTopPercent {
        percent: f64,
    },
    /// Layers `first..=last` that the similarity matrix averages over; `None` = METHODS' default.
    SetLayerRange {
        range: Option<(usize, usize)>,
    },
    ShowPair {
        a: String,
        b: String,
    },
    SelectNeurons {
        neurons: NeuronSet,
    },
    SetObjective {
        objective: ObjectiveKind,
    },

    // Project
    Undo,
    Redo,
    NewProject,
    SaveProject {
        path: Option<PathBuf>,
    },
    OpenProject {
        path: PathBuf,
    },
}
