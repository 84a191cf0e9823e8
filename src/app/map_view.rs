//! How maps of neurons are shown: scale, order, collapse, pins, and the grid of maps beside each other. Part of the project's view: saved and undone.

use crate::{
    base::heatmap::{Combine, PerLayer, Reduce, scale},
    report::neuron_order::NeuronOrder,
    scan::MetricKind,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapView {
    /// Where a clipped scale ends, in percent of all magnitudes.
    pub percentile: f32,
    pub per_layer: PerLayer,
    pub order: NeuronOrder,
    /// What is done with the domain that the neuron map is compared with.
    pub combine: Combine,
    pub collapse: Collapse,
    /// How a layer's neurons become one number.
    pub reduce: Reduce,
    /// Layers that stay at the top.
    pub pinned: BTreeSet<u32>,
    /// The run beside the shown one: its folder, or its name where it has none.
    pub other_run: Option<PathBuf>,
    /// Maps beside each other; empty: all domains.
    pub cells: Vec<MapCell>,
    /// Metric of "all domains".
    pub all_metric: MetricKind,
    pub own_range: bool,
    pub own_view: bool,
}

impl Default for MapView {
    fn default() -> Self {
        Self {
            percentile: scale::PERCENTILE,
            per_layer: PerLayer::default(),
            order: NeuronOrder::default(),
            combine: Combine::default(),
            collapse: Collapse::default(),
            reduce: Reduce::default(),
            pinned: BTreeSet::new(),
            other_run: None,
            cells: Vec::new(),
            all_metric: MetricKind::Relevance,
            own_range: false,
            own_view: false,
        }
    }
}

/// What the columns of the neuron map are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collapse {
    #[default]
    Neurons,
    /// One number a layer and domain.
    Layers,
    /// Attention heads.
    Heads,
    /// Attention and MLP of each layer, one number a domain.
    Modules,
}

/// The shown run, or the one beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    A,
    B,
}

/// A domain's map in one of the two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operand {
    #[serde(default)]
    pub side: Side,
    pub domain: String,
}

/// One map of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapCell {
    pub metric: MetricKind,
    pub of: Operand,
    #[serde(default)]
    pub against: Option<Operand>,
    #[serde(default)]
    pub combine: Combine,
}

/// A change of [`MapView`], as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapChange {
    Percentile(f32),
    PerLayer(PerLayer),
    Order(NeuronOrder),
    Combine(Combine),
    Collapse(Collapse),
    Reduce(Reduce),
    Pin {
        layer: u32,
        on: bool,
    },
    /// A run of the library, or a run folder, to stand beside the shown one; `None` takes it away.
    OtherRun(Option<PathBuf>),
    /// Small multiples: one map a domain of the shown run.
    AllDomains(MetricKind),
    Cells(Vec<MapCell>),
    OwnRange(bool),
    OwnView(bool),
}

impl MapChange {
    pub(super) fn undo_label(&self) -> String {
        match self {
            Self::Percentile(_) => "percentile".into(),
            Self::PerLayer(_) => "scale within layers".into(),
            Self::Order(_) => "order of neurons".into(),
            Self::Combine(_) => "how maps are compared".into(),
            Self::Collapse(_) | Self::Reduce(_) => "collapse".into(),
            Self::Pin { layer, on: true } => format!("pin layer {layer}"),
            Self::Pin { layer, .. } => format!("unpin layer {layer}"),
            Self::OtherRun(Some(_)) => "choose a second run".into(),
            Self::OtherRun(None) => "take the second run away".into(),
            Self::AllDomains(_) => "maps of all domains".into(),
            Self::Cells(_) => "maps beside each other".into(),
            Self::OwnRange(_) | Self::OwnView(_) => "linking of maps".into(),
        }
    }
    pub(super) fn gesture(&self) -> Option<&'static str> {
        matches!(self, Self::Percentile(_)).then_some("percentile")
    }
    pub(super) fn make(self, view: &mut MapView) {
        match self {
            Self::Percentile(p) if p.is_finite() => view.percentile = p.clamp(*scale::PERCENTILES.start(), *scale::PERCENTILES.end()),
            Self::Percentile(_) => {}
            Self::PerLayer(p) => view.per_layer = p,
            Self::Order(o) => view.order = o,
            Self::Combine(c) => view.combine = c,
            Self::Collapse(c) => view.collapse = c,
            Self::Reduce(r) => view.reduce = r,
            Self::Pin { layer, on: true } => {
                view.pinned.insert(layer);
            }
            Self::Pin { layer, .. } => {
                view.pinned.remove(&layer);
            }
            Self::OtherRun(run) => view.other_run = run,
            Self::AllDomains(metric) => {
                view.cells.clear();
                view.all_metric = metric;
            }
            Self::Cells(cells) => view.cells = cells,
            Self::OwnRange(own) => view.own_range = own,
            Self::OwnView(own) => view.own_view = own,
        }
    }
}
