//! What the open program measured or looked up and no scan holds: predictions, sweeps, one neuron, one head, task neurons, what was learnt.

use super::super::Report;
use crate::{
    ablate::{BreakStep, Broken, KCurve, Summary, Sweep},
    base::{Error, Head, NeuronSet, Result, provenance::Provenance},
    inspect::{HeadFacts, NeuronFacts},
    task::{ContinualState, KneeCurve, Ranking, TaskMatrix, TaskNeurons, TransferState},
    tune::{Evaluated, TunePoint},
};
use std::sync::Arc;

/// Of one view; the others are absent.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub provenance: Provenance,
    /// Changes that were predicted and measured.
    pub points: Vec<Point>,
    pub units: Option<Arc<Sweep>>,
    pub curve: Option<Arc<KCurve>>,
    pub broken: Option<Search>,
    pub neuron: Option<NeuronSheet>,
    pub head: Option<HeadSheet>,
    pub found: Option<Found>,
    pub matrix: Option<Arc<TaskMatrix>>,
    pub tuning: Option<TuningSheet>,
    pub continual: Option<Arc<ContinualState>>,
    pub transfer: Option<Arc<TransferState>>,
}

impl Live {
    /// Domains of the tasks' views, in their order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        names.extend(self.found.iter().flat_map(|f| &f.tasks).map(|t| t.name.as_str()));
        names.extend(self.matrix.iter().flat_map(|m| &m.plan.tasks).map(String::as_str));
        names.extend(self.tuning.iter().flat_map(|t| t.after.accuracy.keys().chain(t.after.loss.keys())).map(String::as_str));
        names.extend(self.continual.iter().flat_map(|s| s.column_names()));
        names.extend(self.transfer.iter().flat_map(|s| &s.rows).map(|r| r.name.as_str()));
        names
    }
}

/// The neurons of each task.
#[derive(Clone, Debug)]
pub struct Found {
    pub tasks: Vec<Arc<TaskNeurons>>,
    pub curves: Vec<KneeCurve>,
    /// Share that is taken, of how they are ranked.
    pub percent: f64,
    pub ranking: Ranking,
}

/// One tuning, while it runs or after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuningSheet {
    pub task: String,
    /// What trained, in words.
    pub what: String,
    pub trained: usize,
    pub parameters: u64,
    pub judged_on: String,
    pub points: Vec<TunePoint>,
    pub before: Evaluated,
    pub after: Evaluated,
    pub best_step: usize,
    pub steps: usize,
}

/// A search as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub domain: String,
    pub steps: Vec<BreakStep>,
    pub outcome: Option<Arc<Broken>>,
}

/// A change of the model that was predicted and then measured on a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// `L3N17`, `410 neurons`
    pub label: String,
    pub kind: PointKind,
    /// `zero`, `scale=2 at answer`
    pub mode: String,
    pub neurons: Arc<NeuronSet>,
    pub domain: String,
    /// Items that both are means over.
    pub n: usize,
    pub predicted: Summary,
    pub measured: Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    Set,
    Control,
    Sweep,
}

impl PointKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Control => "random control",
            Self::Sweep => "sweep",
        }
    }
}

/// A token as it is shown, with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub piece: String,
    pub value: f32,
}

/// A text that drives a neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct PeakText {
    pub domain: String,
    /// Line in the domain's file, where it is known.
    pub line: Option<usize>,
    pub value: f32,
    /// Which of `tokens` the value is of, and the position of the first in its text.
    pub at: usize,
    pub first: usize,
    pub tokens: Vec<Piece>,
}

/// All that is shown of one neuron.
#[derive(Clone, Debug)]
pub struct NeuronSheet {
    pub facts: NeuronFacts,
    /// In the facts' order.
    pub domains: Vec<String>,
    /// By domain of the shown run.
    pub relevance: Vec<(String, f32)>,
    pub texts: Vec<PeakText>,
    pub promotes: Vec<Piece>,
    pub suppresses: Vec<Piece>,
    pub lens_formula: String,
}

/// All that is shown of one head.
#[derive(Clone, Debug)]
pub struct HeadSheet {
    pub head: Head,
    pub facts: Option<HeadFacts>,
    pub domains: Vec<String>,
    pub relevance: Vec<(String, f32)>,
    /// What it looks at in one text, `[query, key]`, and the text.
    pub pattern: Vec<f32>,
    pub pieces: Vec<String>,
    /// First of the tokens that it promotes and suppresses most, at each token of the text.
    pub writes: Vec<(Piece, Piece)>,
    pub lens_formula: String,
}

/// The live part, or what is to be done to have one.
pub(super) fn live<'a>(report: &Report<'a>, what_to_do: &str) -> Result<&'a Live> {
    report.live.ok_or_else(|| Error::invalid(what_to_do))
}
