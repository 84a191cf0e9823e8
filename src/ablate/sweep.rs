//! Neurons, heads or layers switched one at a time over a domain: what each does to accuracy, margin and loss.

use super::EvalSession;
use crate::{
    base::{Ctx, Error, Grid, Head, Neuron, NeuronSet, Result, provenance::Provenance, stats},
    data::DomainKind,
    eval::{AblationAt, AblationMode, DomainScore, Intervention},
    model::DecoderSpec,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What is switched at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepUnit {
    Neuron,
    Head,
    /// All neurons and all heads of a layer.
    Layer,
}

impl SweepUnit {
    pub const ALL: [Self; 3] = [Self::Neuron, Self::Head, Self::Layer];
    pub fn word(self) -> &'static str {
        match self {
            Self::Neuron => "neuron",
            Self::Head => "head",
            Self::Layer => "layer",
        }
    }
    /// Units of one layer.
    pub fn per_layer(self, spec: &DecoderSpec) -> usize {
        match self {
            Self::Neuron => spec.d_mlp,
            Self::Head => spec.attention.n_heads,
            Self::Layer => 1,
        }
    }
}

impl fmt::Display for SweepUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for SweepUnit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|u| u.word() == text).ok_or_else(|| format!("`{text}`: expected neuron, head or layer"))
    }
}

/// One of them. A layer has index 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId {
    pub layer: usize,
    pub index: usize,
}

/// A unit and what it made of the domain.
pub type Measured = (UnitId, Totals);

/// Scores of a domain in four numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub n: usize,
    /// Items answered rightly; `None` without choices.
    pub correct: Option<usize>,
    /// Mean log-likelihood margin of the right choice.
    pub margin: Option<f64>,
    /// Mean, nat a token.
    pub loss: Option<f64>,
}

impl Totals {
    pub fn of(score: &DomainScore) -> Self {
        let correct = (score.kind == DomainKind::MultipleChoice).then(|| score.items.iter().filter(|i| i.correct).count());
        Self { n: score.n(), correct, margin: score.mean_margin(), loss: score.loss() }
    }
    pub fn accuracy(&self) -> Option<f64> {
        self.correct.filter(|_| self.n > 0).map(|c| c as f64 / self.n as f64)
    }
    pub fn get(&self, measure: SweepMeasure) -> Option<f64> {
        match measure {
            SweepMeasure::Accuracy => self.accuracy(),
            SweepMeasure::Margin => self.margin,
            SweepMeasure::Loss => self.loss,
        }
    }
}

/// What a map of a sweep shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepMeasure {
    Accuracy,
    Margin,
    #[default]
    Loss,
}

impl SweepMeasure {
    pub const ALL: [Self; 3] = [Self::Accuracy, Self::Margin, Self::Loss];
    pub fn label(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Margin => "mean margin",
            Self::Loss => "loss",
        }
    }
    pub fn unit(self) -> &'static str {
        match self {
            Self::Accuracy => "share of items",
            Self::Margin => "nat",
            Self::Loss => "nat/token",
        }
    }
}

/// What is swept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepSpec {
    pub unit: SweepUnit,
    /// First and last; `None`: all.
    #[serde(default)]
    pub layers: Option<(usize, usize)>,
    pub mode: AblationMode,
    #[serde(default)]
    pub at: AblationAt,
}

impl SweepSpec {
    /// Every unit, from the last layer to the first: what is quick to measure comes first.
    ///
    /// # Errors
    /// When the layers are not the model's.
    pub fn units(&self, spec: &DecoderSpec) -> Result<Vec<UnitId>> {
        let last = spec.n_layers.saturating_sub(1);
        let (from, to) = self.layers.unwrap_or((0, last));
        if from > to || to > last {
            return Err(Error::invalid(format!("layers {from}-{to}: this model has layers 0-{last}")));
        }
        let width = self.unit.per_layer(spec);
        Ok((from..=to).rev().flat_map(|layer| (0..width).map(move |index| UnitId { layer, index })).collect())
    }

    /// Neurons and heads of a unit.
    pub fn places(&self, spec: &DecoderSpec, id: UnitId) -> (NeuronSet, BTreeSet<Head>) {
        let UnitId { layer, index } = id;
        let (layer, index) = (layer as u32, index as u32);
        match self.unit {
            SweepUnit::Neuron => (NeuronSet::from_iter([Neuron::new(layer, index)]), BTreeSet::new()),
            SweepUnit::Head => (NeuronSet::new(), BTreeSet::from([Head::new(layer, index)])),
            SweepUnit::Layer => (
                (0..spec.d_mlp as u32).map(|i| Neuron::new(layer, i)).collect(),
                (0..spec.attention.n_heads as u32).map(|i| Head::new(layer, i)).collect(),
            ),
        }
    }
}

/// A sweep as far as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    pub spec: SweepSpec,
    pub domain: String,
    pub n_layers: usize,
    /// Units of a layer.
    pub width: usize,
    /// With nothing switched.
    pub baseline: Totals,
    /// `[layer * width + unit]`; `None`: not measured (yet).
    pub effects: Vec<Option<Totals>>,
    /// Units that will be measured.
    pub total: usize,
    pub provenance: Provenance,
}

impl Sweep {
    pub fn new(spec: SweepSpec, domain: &str, model: &DecoderSpec, baseline: Totals, provenance: Provenance) -> Result<Self> {
        let (n_layers, width) = (model.n_layers, spec.unit.per_layer(model));
        let total = spec.units(model)?.len();
        Ok(Self { spec, domain: domain.to_owned(), n_layers, width, baseline, effects: vec![None; n_layers * width], total, provenance })
    }
    pub fn done(&self) -> usize {
        self.effects.iter().flatten().count()
    }
    pub fn set(&mut self, id: UnitId, totals: Totals) {
        if let Some(effect) = self.effects.get_mut(id.layer * self.width + id.index) {
            *effect = Some(totals);
        }
    }
    pub fn get(&self, id: UnitId) -> Option<Totals> {
        if id.index < self.width { self.effects.get(id.layer * self.width + id.index).copied().flatten() } else { None }
    }
    /// Change that each unit makes when it is switched: its value less that with nothing switched, `[layer, unit]`. NaN where it was not
    /// measured, or the domain has no such value.
    pub fn grid(&self, measure: SweepMeasure) -> Grid {
        let before = self.baseline.get(measure);
        let change = |e: &Option<Totals>| e.and_then(|t| Some((t.get(measure)? - before?) as f32)).unwrap_or(f32::NAN);
        Grid::new(self.n_layers, self.width, self.effects.iter().map(change).collect::<Vec<_>>())
            .unwrap_or_else(|_| Grid::zeros(self.n_layers, self.width))
    }
    /// Mean and largest change of each layer's measured units, for a summary; `None` where there are none.
    pub fn layer_summary(&self, measure: SweepMeasure) -> Vec<Option<(f64, UnitId, f64)>> {
        let grid = self.grid(measure);
        let summary = |layer: usize| {
            let measured: Vec<(usize, f64)> =
                grid.row(layer).iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(i, &v)| (i, f64::from(v))).collect();
            let mean = stats::mean(&measured.iter().map(|m| m.1).collect::<Vec<_>>())?;
            let (index, most) = measured.into_iter().reduce(|a, b| if b.1.abs() > a.1.abs() { b } else { a })?;
            Some((mean, UnitId { layer, index }, most))
        };
        (0..self.n_layers).map(summary).collect()
    }
    /// How a unit is written: `L3N17`, `L3H2`, `L3`.
    pub fn name(&self, id: UnitId) -> String {
        match self.spec.unit {
            SweepUnit::Neuron => Neuron::new(id.layer as u32, id.index as u32).to_string(),
            SweepUnit::Head => Head::new(id.layer as u32, id.index as u32).to_string(),
            SweepUnit::Layer => format!("L{}", id.layer),
        }
    }
}

/// Units evaluated between two looks at the outside: few enough that a kill loses little.
const CHUNK: usize = 32;

/// Measures `units` in order. `change` makes the intervention of a unit; `measured` gets each chunk's results, and may end the sweep.
///
/// # Errors
/// Of `change`, the evaluation or `measured`; when the work is cancelled.
pub fn run(
    session: &EvalSession,
    units: &[UnitId],
    change: &dyn Fn(UnitId) -> Result<Intervention>,
    ctx: &Ctx<'_>,
    measured: &mut dyn FnMut(&[Measured]) -> Result<()>,
) -> Result<()> {
    let mut done = 0;
    for chunk in units.chunk_by(|a, b| a.layer == b.layer).flat_map(|layer| layer.chunks(CHUNK)) {
        ctx.check()?;
        let changes = chunk.iter().map(|&id| change(id)).collect::<Result<Vec<_>>>()?;
        let items = session.n_items().max(1);
        let phase = format!("sweeping layer {}", chunk[0].layer);
        let scores = session.evaluate_many(&changes, ctx, &mut |n| ctx.progress(phase.as_str(), done + n / items, units.len(), "units"))?;
        let results: Vec<Measured> = chunk.iter().copied().zip(scores.iter().map(Totals::of)).collect();
        measured(&results)?;
        done += chunk.len();
        ctx.progress(phase, done, units.len(), "units");
    }
    Ok(())
}
