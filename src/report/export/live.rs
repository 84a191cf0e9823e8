//! What the open program measured or looked up and no run folder holds: predictions, sweeps, one neuron, one head.

use super::super::Report;
use crate::{
    ablate::{BreakStep, Broken, KCurve, Summary, Sweep},
    base::{Error, Head, NeuronSet, Result, provenance::Provenance},
    inspect::{HeadFacts, NeuronFacts},
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
