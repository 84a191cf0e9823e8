//! Everything a user can ask for, as data: a button, a command line, a script, a test and a bug report have one form.

use super::{EvalConfig, Reading};
use crate::{
    ablate::{ControlMatch, Vocabulary},
    base::{Head, Neuron, NeuronSet, heatmap::ScaleKind, long_table::LongRow},
    data::Mapping,
    eval::{AblationAt, AblationMode},
    model::GenerateConfig,
    report::export::ExportSpec,
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
        #[serde(default)]
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
    /// Which graphics cards there are, and what `auto` takes.
    FindDevices,
    /// Which models lie in the Hugging Face cache.
    FindModels,
    /// Scans the enabled domains with the project's scan settings. `out`: run folder (default: one below the data folder).
    StartScan {
        out: Option<PathBuf>,
    },
    /// Which items an evaluation scores.
    SetEvalConfig {
        config: EvalConfig,
    },
    /// Accuracy of the enabled domains with nothing switched off.
    Evaluate,
    /// First-order effects of every neuron and head on the enabled domains, before anything is switched off.
    Predict,
    /// Forgets the changes that were predicted and measured.
    ForgetMeasured,
    /// Every hook point's tensor of one forward pass, the logits and the tokens, as one safetensors file.
    Trace {
        input: TraceInput,
        /// TransformerLens names; empty: all.
        hooks: Vec<String>,
        out: PathBuf,
    },
    /// Switches off the top `percent` of each enabled domain in turn and scores every domain (rows: set, columns: domain).
    AblationMatrix {
        metric: MetricKind,
        percent: f64,
    },
    /// The neurons that each task needs, how stable they are, and how many are worth taking. `out`: a run folder with the sets (default: one below
    /// the data folder, where runs are kept).
    FindTaskNeurons {
        request: Box<super::FindRequest>,
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Every task scored with each task's own neurons off, with every other's, and with random ones. `out` as for `Sweep`.
    ProveTasks {
        request: Box<super::ProveRequest>,
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// One unit at a time, accuracy against k, or the search for a set that breaks a domain. `out`: folder of the results; the same request goes on
    /// in it where it was stopped (default: one below the data folder).
    Sweep {
        request: super::SweepRequest,
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Shows what the data folder holds of a sweep of this kind that would be gone on with: of this one, or (`None`) of the one that was worked on
    /// last.
    FindSweep {
        #[serde(default)]
        kind: super::SweepKind,
        #[serde(default)]
        request: Option<super::SweepRequest>,
    },
    /// LLMDcos of every two samples at these layers, exactly. Of a shown run: the same rows in the same order, kept beside it.
    SampleSimilarity {
        layers: Vec<usize>,
        /// Of each domain.
        samples: usize,
        /// Empty: the shown run's; without a run the enabled ones.
        #[serde(default)]
        domains: Vec<String>,
        /// A file of its own.
        #[serde(default)]
        out: Option<PathBuf>,
    },
    /// Forward pass and gradients of the open model against plain f64 arithmetic. A certificate that is kept is made anew only `again`.
    CheckModel {
        again: bool,
    },
    /// The open model goes on from a prompt.
    Generate {
        prompt: String,
        config: GenerateConfig,
    },
    /// The activations of every neuron over the samples of the shown run, kept on the disk by model and data.
    IndexActivations,
    /// What a neuron writes and what is like it.
    InspectNeuron {
        neuron: Neuron,
    },
    /// A neuron's activation at every token of a text.
    ReadNeuron {
        neuron: Neuron,
        reading: Reading,
    },
    /// What the heads of this head's layer look at in a text.
    ReadHead {
        head: Head,
        reading: Reading,
    },
    /// Every layer's answer to a text; empty: none.
    TryText {
        text: String,
    },
    /// Trains the demo model from nothing into a model folder.
    TrainDemo {
        out: PathBuf,
        seed: u64,
        /// Other than the committed weights had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steps: Option<usize>,
        /// Domains that are left out of the training texts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        without: Vec<String>,
    },
    /// Trains the open model, or some neurons of it, on a domain; the result is an overlay in a folder.
    Tune {
        request: Box<super::TuneRequest>,
    },
    /// The tuned model computes, or its base.
    UseTuned {
        on: bool,
    },
    /// The folder that a tuning wrote, on the open model.
    OpenTuned {
        path: PathBuf,
    },
    /// The tuned model into a folder of its own.
    SaveTuned {
        path: PathBuf,
        kind: super::TunedFile,
    },
    /// Leaves the tuned model behind; its files stay.
    ForgetTuned,
    /// Makes the numbers of a project file again (`None`: of the project as it is) and compares them. `model`: where its model lies here.
    Replay {
        path: Option<PathBuf>,
        #[serde(default)]
        model: Option<PathBuf>,
    },
    /// Learns tasks one after another, by several methods; goes on with it where it was stopped.
    Continual {
        request: Box<super::ContinualRequest>,
    },
    /// Trains each task's neurons and judges every task; goes on with it where it was stopped.
    Transfer {
        request: Box<super::TransferRequest>,
    },
    /// The shown run as one HTML file that needs nothing else.
    WriteReport {
        path: PathBuf,
    },
    /// A view as a picture, a table or dense arrays.
    Export {
        spec: ExportSpec,
        path: PathBuf,
    },
    /// The same made for the clipboard: a picture, or its table where the kind of file is a table.
    CopyView {
        spec: ExportSpec,
    },
    /// Numbers that a panel has worked out, in long form; the file's end says the format.
    ExportRows {
        title: String,
        rows: Vec<LongRow>,
        path: PathBuf,
    },
    CancelJob {
        id: u64,
    },
    /// The newest running job (Esc).
    CancelNewest,

    // Ablation: every change starts a new evaluation and cancels the old one
    ToggleNeuron {
        neuron: Neuron,
    },
    ToggleHead {
        head: Head,
    },
    /// A new set, switched on.
    AddSet {
        name: String,
        neurons: NeuronSet,
        source: String,
        /// Domains whose maps of the shown run it was chosen by: the rows scanned of them will not judge it.
        #[serde(default)]
        chosen_on: Vec<String>,
    },
    /// A new set that is not in force.
    KeepSet {
        name: String,
        neurons: NeuronSet,
        source: String,
        #[serde(default)]
        chosen_on: Vec<String>,
    },
    /// A set by formula (`ablate::formula`) over the shown run's maps and the sets there are. `name` empty: the formula itself.
    AddFormula {
        name: String,
        formula: String,
        on: bool,
    },
    /// A copy beside it, not in force.
    DuplicateSet {
        index: usize,
    },
    NoteSet {
        index: usize,
        notes: String,
    },
    /// Colour number in the palette.
    ColourSet {
        index: usize,
        colour: usize,
    },
    /// A set of neurons and heads that was written to a file.
    AddSetFile {
        path: PathBuf,
    },
    /// Writes a set with where it came from.
    SaveSet {
        index: usize,
        path: PathBuf,
    },
    /// The same with layers named in another vocabulary.
    ExportSet {
        index: usize,
        vocabulary: Vocabulary,
        path: PathBuf,
    },
    /// The top `percent` of a metric's map of a domain, from the shown run.
    AddTopSet {
        domain: String,
        metric: MetricKind,
        percent: f64,
    },
    /// The top `percent` % of a task's neurons as they were found last. The rows that chose them will not judge them.
    KeepTaskSet {
        task: String,
        percent: f64,
        on: bool,
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
    /// At which positions activations change.
    SetAblationAt {
        at: AblationAt,
    },
    SetControls {
        count: usize,
    },
    /// What random controls have in common with the set.
    SetControlMatch {
        like: ControlMatch,
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
    /// Order, scale within layers, collapse, pins, and the maps beside each other.
    ChangeMap {
        change: super::MapChange,
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
    /// Which of its views a panel shows.
    SetPanelView {
        view: super::PanelView,
    },

    /// What the user sets once for this machine: theme, scale, threads, memory, device, colours.
    SetPreferences {
        preferences: super::Preferences,
    },

    // Project
    /// Words of the user's, kept in the project file.
    SetNotes {
        notes: String,
    },
    Undo,
    Redo,
    /// To any step of the history, on this branch or another.
    GoToStep {
        id: u64,
    },
    NewProject,
    SaveProject {
        path: Option<PathBuf>,
    },
    OpenProject {
        path: PathBuf,
    },
    /// Where the model of the opened project lies on this machine; kept for every project of that model.
    RelocateModel {
        path: PathBuf,
    },
    /// The window's panels were moved, closed or opened.
    Arrange {
        from: super::Arrangement,
        to: super::Arrangement,
    },
    /// What of the window is in front, for the project file; no step.
    SetLayout {
        layout: serde_json::Value,
    },
}

/// What a trace reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceInput {
    Text(String),
    Tokens(Vec<u32>),
}

/// As `--scale` reads it.
pub fn scale_word(scale: ScaleKind) -> &'static str {
    match scale {
        ScaleKind::Linear => "linear",
        ScaleKind::Log => "log",
        ScaleKind::Clipped => "clipped",
    }
}

impl Command {
    /// What the Edit menu says of a step that can be undone; `None` for requests that leave no step.
    pub fn undo_label(&self) -> Option<String> {
        Some(match self {
            Self::OpenModel { path } => format!("open {}", path.display()),
            Self::AddDomain { name, .. } => format!("add {name}"),
            Self::RemoveDomain { name } => format!("remove {name}"),
            Self::EnableDomain { name, on: true } => format!("include {name}"),
            Self::EnableDomain { name, on: false } => format!("leave out {name}"),
            Self::ColourDomain { name, .. } => format!("colour of {name}"),
            Self::OpenDemo => "open the demo".into(),
            Self::SetScanConfig { .. } => "scan settings".into(),
            Self::SetEvalConfig { .. } => "accuracy settings".into(),
            Self::ToggleNeuron { neuron } => format!("toggle {neuron}"),
            Self::ToggleHead { head } => format!("toggle {head}"),
            Self::KeepTaskSet { task, percent, .. } => format!("keep the top {percent} % of {task}"),
            Self::AddSet { name, .. } | Self::KeepSet { name, .. } => format!("add set {name}"),
            Self::AddFormula { name, formula, .. } => format!("add set {}", if name.trim().is_empty() { formula } else { name }),
            Self::DuplicateSet { .. } => "duplicate a set".into(),
            Self::NoteSet { .. } => "notes of a set".into(),
            Self::ColourSet { .. } => "colour of a set".into(),
            Self::AddSetFile { path } => format!("add set {}", path.display()),
            Self::AddTopSet { domain, percent, .. } => format!("add top {percent} % of {domain}"),
            Self::EnableSet { on: true, .. } => "switch a set off".into(),
            Self::EnableSet { on: false, .. } => "switch a set back on".into(),
            Self::RemoveSet { .. } => "remove a set".into(),
            Self::RenameSet { name, .. } => format!("rename a set to {name}"),
            Self::ClearAblation => "clear the ablation".into(),
            Self::SetAblationMode { .. } => "ablation mode".into(),
            Self::SetAblationAt { .. } => "ablated positions".into(),
            Self::SetControls { .. } => "number of controls".into(),
            Self::SetControlMatch { .. } => "kind of controls".into(),
            Self::SetMetric { .. } => "metric".into(),
            Self::ShowDomain { minus: Some(_), .. } => "show a difference".into(),
            Self::ShowDomain { .. } => "shown domain".into(),
            Self::SetMapScale { .. } => "map scale".into(),
            Self::ChangeMap { change } => change.undo_label(),
            Self::SetGamma { .. } => "gamma".into(),
            Self::SetTopPercent { .. } => "top share".into(),
            Self::SetLayerRange { .. } => "layer range".into(),
            Self::ShowPair { a, b } => format!("show {a} and {b}"),
            Self::SelectNeurons { .. } => "selection".into(),
            Self::SetObjective { .. } => "objective".into(),
            Self::SetPanelView { view } => view.undo_label().into(),
            Self::SetNotes { .. } => "notes".into(),
            Self::Arrange { from, to } => to.change_since(from),
            Self::NewProject => "new project".into(),
            Self::OpenProject { path } => format!("open {}", path.display()),
            Self::OpenRun { .. }
            | Self::ShowRun { .. }
            | Self::SaveSet { .. }
            | Self::ExportSet { .. }
            | Self::StartScan { .. }
            | Self::FindDevices
            | Self::FindModels
            | Self::Evaluate
            | Self::Predict
            | Self::ForgetMeasured
            | Self::Trace { .. }
            | Self::AblationMatrix { .. }
            | Self::FindTaskNeurons { .. }
            | Self::ProveTasks { .. }
            | Self::Sweep { .. }
            | Self::FindSweep { .. }
            | Self::SampleSimilarity { .. }
            | Self::CheckModel { .. }
            | Self::Generate { .. }
            | Self::IndexActivations
            | Self::InspectNeuron { .. }
            | Self::ReadNeuron { .. }
            | Self::ReadHead { .. }
            | Self::TryText { .. }
            | Self::TrainDemo { .. }
            | Self::Tune { .. }
            | Self::UseTuned { .. }
            | Self::OpenTuned { .. }
            | Self::SaveTuned { .. }
            | Self::ForgetTuned
            | Self::Replay { .. }
            | Self::Continual { .. }
            | Self::Transfer { .. }
            | Self::WriteReport { .. }
            | Self::Export { .. }
            | Self::CopyView { .. }
            | Self::ExportRows { .. }
            | Self::CancelJob { .. }
            | Self::CancelNewest
            | Self::SetPreferences { .. }
            | Self::Undo
            | Self::Redo
            | Self::GoToStep { .. }
            | Self::RelocateModel { .. }
            | Self::SetLayout { .. }
            | Self::SaveProject { .. } => return None,
        })
    }

    /// Steps of one gesture share a key: a slider drag sends many commands and is one step.
    pub(super) fn gesture(&self) -> Option<&'static str> {
        match self {
            Self::ChangeMap { change } => change.gesture(),
            Self::SetGamma { .. } => Some("gamma"),
            Self::SetTopPercent { .. } => Some("top percent"),
            Self::SetLayerRange { .. } => Some("layer range"),
            Self::SelectNeurons { .. } => Some("selection"),
            Self::SetScanConfig { .. } => Some("scan settings"),
            Self::SetEvalConfig { .. } => Some("accuracy settings"),
            Self::SetAblationMode { .. } => Some("ablation mode"),
            Self::SetControls { .. } => Some("controls"),
            Self::SetNotes { .. } => Some("notes"),
            Self::SetPanelView { view } => view.gesture(),
            Self::NoteSet { .. } => Some("notes of a set"),
            _ => None,
        }
    }
}
