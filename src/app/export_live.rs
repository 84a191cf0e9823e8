//! What the open program holds of views that no run folder stores, made ready for an export.

use super::{
    App, IndexEntry, NeuronDetails, Origin, SweepView, Word,
    inspect::{HeadReading, Written},
    prediction::Measured,
};
use crate::{
    base::{Head, Neuron},
    eval::AblationAt,
    inspect::Peak,
    report::export::{
        ExportSpec, Live, View,
        live::{HeadSheet, NeuronSheet, PeakText, Piece, Point, PointKind, Search},
    },
};
use std::sync::Arc;

fn piece(w: &Word) -> Piece {
    Piece { piece: w.piece.clone(), value: w.value }
}

fn point(m: &Measured) -> Point {
    Point {
        label: m.label.clone(),
        kind: match m.origin {
            Origin::Toggle => PointKind::Set,
            Origin::Control => PointKind::Control,
            Origin::Sweep => PointKind::Sweep,
        },
        mode: match m.at {
            AblationAt::All => m.mode.word(),
            at => format!("{} at {at}", m.mode.word()),
        },
        neurons: m.neurons.clone(),
        domain: m.domain.clone(),
        n: m.n,
        predicted: m.predicted,
        measured: m.measured,
    }
}

fn text(entry: &IndexEntry, p: &Peak) -> PeakText {
    let of = |(token, value): (&u32, &f32)| Piece { piece: entry.piece(*token).to_owned(), value: *value };
    PeakText {
        domain: entry.index.about.domains.get(p.domain).map_or_else(String::new, |d| d.name.clone()),
        line: p.line,
        value: p.value,
        at: p.position.saturating_sub(p.first),
        first: p.first,
        tokens: p.tokens.iter().zip(&p.values).map(of).collect(),
    }
}

impl App {
    /// Why a view that no run stores cannot be exported now.
    pub(super) fn cannot_export_live(&self, view: View) -> Option<&'static str> {
        let s = &self.sweeps;
        let (there, why) = match view {
            View::Prediction => {
                (self.points().next().is_some(), "Nothing was predicted and then measured: switch neurons off and wait for the score.")
            }
            View::Sweep => {
                let some = s.units.as_ref().and_then(|v| v.result.as_ref()).is_some_and(|r| r.done() > 0);
                (some, "No unit was measured: start a sweep in the Sweep panel.")
            }
            View::AgainstK => {
                let some = s.against_k.as_ref().and_then(|v| v.result.as_ref()).is_some_and(|r| !r.points.is_empty());
                (some, "No curve was measured: the Sweep panel does it under Accuracy against k.")
            }
            View::Break => {
                let some = s.broken.as_ref().and_then(|v| v.result.as_ref()).is_some_and(|r| r.outcome.is_some() || !r.steps.is_empty());
                (some, "No set was searched: the Sweep panel does it under Break.")
            }
            View::Neuron => (self.index().is_some(), "The activations are not indexed: the inspector does it."),
            View::Head => (
                self.index().is_some() || self.inspection.head.found.is_some(),
                "No head is looked at: choose one in a map of heads, and the inspector shows it.",
            ),
            _ => return self.cannot_export_tasks(view),
        };
        (!there).then_some(why)
    }

    /// What the view asked for shows now; `None` for views that a run stores, and where there is nothing.
    pub(super) fn live_of(&self, spec: &ExportSpec) -> Option<Live> {
        fn result<T: Clone>(view: Option<&SweepView<T>>) -> Option<Arc<T>> {
            view?.result.clone().map(Arc::new)
        }
        match spec.what {
            View::Prediction => {
                let points: Vec<Point> = self.points().map(point).collect();
                let provenance = self.predicted_by().unwrap_or_else(|| self.provenance());
                Some(Live { provenance, points, ..Live::default() }).filter(|l| !l.points.is_empty())
            }
            View::Sweep => {
                let units = result(self.sweeps.units.as_ref())?;
                Some(Live { provenance: units.provenance.clone(), units: Some(units), ..Live::default() })
            }
            View::AgainstK => {
                let curve = result(self.sweeps.against_k.as_ref())?;
                Some(Live { provenance: curve.provenance.clone(), curve: Some(curve), ..Live::default() })
            }
            View::Break => {
                let view = self.sweeps.broken.as_ref()?;
                let found = view.result.as_ref()?;
                let super::SweepRequest::Break { domain, .. } = &view.request else { return None };
                let steps = found.outcome.as_ref().map_or(&found.steps, |o| &o.steps).clone();
                let provenance = found.outcome.as_ref().map_or_else(|| self.provenance(), |o| o.provenance.clone());
                let broken = Some(Search { domain: domain.clone(), steps, outcome: found.outcome.clone() });
                Some(Live { provenance, broken, ..Live::default() })
            }
            View::Neuron => self.neuron_live(spec.neuron?),
            View::Head => self.head_live(spec.head?),
            view => self.tasks_live(view, spec.top_percent),
        }
    }

    fn neuron_live(&self, neuron: Neuron) -> Option<Live> {
        let entry = self.index()?;
        let facts = entry.index.neuron(neuron)?;
        let relevance =
            |d: &crate::scan::DomainScan| Some((d.name.clone(), d.relevance.as_ref()?.get(neuron.layer as usize, neuron.index as usize)?));
        let details: Option<&Arc<NeuronDetails>> = self.inspection.details.get(&neuron);
        let words = |of: fn(&NeuronDetails) -> &[Word]| details.map(|d| of(d).iter().map(piece).collect()).unwrap_or_default();
        let sheet = NeuronSheet {
            domains: entry.index.about.domains.iter().map(|d| d.name.clone()).collect(),
            relevance: self.library.scan().map(|s| s.domains.iter().filter_map(relevance).collect()).unwrap_or_default(),
            texts: facts.top.iter().map(|p| text(entry, p)).collect(),
            promotes: words(|d| &d.promotes),
            suppresses: words(|d| &d.suppresses),
            lens_formula: details.map(|d| d.lens_formula.clone()).unwrap_or_default(),
            facts,
        };
        Some(Live { provenance: self.inspect_provenance(&neuron.to_string(), None), neuron: Some(sheet), ..Live::default() })
    }

    fn head_live(&self, head: Head) -> Option<Live> {
        let entry = self.index();
        let read: Option<&Arc<HeadReading>> = self.inspection.head.found.as_ref();
        let read = read.filter(|r| r.pattern.layer == head.layer as usize && (head.index as usize) < r.pattern.n_heads);
        if entry.is_none() && read.is_none() {
            return None;
        }
        let relevance =
            |d: &crate::scan::DomainScan| Some((d.name.clone(), d.head_relevance.as_ref()?.get(head.layer as usize, head.index as usize)?));
        let first = |w: &Written| Some((piece(w.promotes.first()?), piece(w.suppresses.first()?)));
        let own = read.filter(|r| r.head == head);
        let sheet = HeadSheet {
            head,
            facts: entry.and_then(|e| e.index.head(head)),
            domains: entry.map(|e| e.index.about.domains.iter().map(|d| d.name.clone()).collect()).unwrap_or_default(),
            relevance: self.library.scan().map(|s| s.domains.iter().filter_map(relevance).collect()).unwrap_or_default(),
            pattern: read.map(|r| r.pattern.head(head.index as usize).to_vec()).unwrap_or_default(),
            pieces: read.map(|r| r.pieces.clone()).unwrap_or_default(),
            writes: own.map(|r| r.writes.iter().filter_map(first).collect()).unwrap_or_default(),
            lens_formula: own.map(|r| r.lens_formula.clone()).unwrap_or_default(),
        };
        let provenance = self.inspect_provenance(&head.to_string(), read.map(|r| &r.reading));
        Some(Live { provenance, head: Some(sheet), ..Live::default() })
    }
}
