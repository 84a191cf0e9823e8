//! What a map shows in a frame, and how it is said.

use crate::{
    base::{
        Neuron, NeuronSet,
        heatmap::{ColourMap, PerLayer, Scale},
    },
    gui::widgets::{number::sig3, prepared_map::PreparedMap},
};
use std::sync::Arc;

/// What the view shows in this frame.
pub struct HeatmapInput<'a> {
    pub map: &'a Arc<PreparedMap>,
    pub scale: Scale,
    pub colours: ColourMap,
    pub off: &'a NeuronSet,
    pub selected: &'a NeuronSet,
    /// Changes whenever `off` or `selected` does.
    pub marks_version: u64,
    /// Spoken and shown before the readout: `relevance of arithmetic`.
    pub what: &'a str,
    /// Of the measured values.
    pub unit: &'a str,
    pub columns: Columns<'a>,
    /// `sorted by relevance of logic`; empty where neurons stand by their index.
    pub ordered: &'a str,
    /// Without the columns' numbers: they stand under another map that shows the same columns below this one.
    pub bare: bool,
    /// Layers that stay at the top.
    pub pinned: &'a [u32],
    /// The pointed cell is marked by lines over the whole map, as in the maps beside it; these show its value too.
    pub crosshair: bool,
    /// A layer pointed at in another view.
    pub hovered_layer: Option<usize>,
    pub hovered_neuron: Option<Neuron>,
    /// Scroll here, once.
    pub reveal: Option<Neuron>,
}

/// What the columns of a map are. A [`Neuron`]'s index counts them in every case.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Columns<'a> {
    #[default]
    Neurons,
    Heads,
    Named(&'a [String]),
}

impl Columns<'_> {
    /// `L3N17`, `L3H2`, `L3 logic`
    pub fn name(&self, n: Neuron) -> String {
        match self {
            Self::Neurons => n.to_string(),
            Self::Heads => format!("L{}H{}", n.layer, n.index),
            Self::Named(names) => format!("L{} {}", n.layer, names.get(n.index as usize).map_or("", String::as_str)),
        }
    }
    fn spoken(&self, n: Neuron) -> String {
        match self {
            Self::Neurons => format!("layer {}, neuron {}", n.layer, n.index),
            Self::Heads => format!("layer {}, head {}", n.layer, n.index),
            Self::Named(names) => format!("layer {}, {}", n.layer, names.get(n.index as usize).map_or("", String::as_str)),
        }
    }
    fn word(&self) -> &'static str {
        match self {
            Self::Neurons => "neurons",
            Self::Heads => "heads",
            Self::Named(_) => "columns",
        }
    }
}

/// What a screen reader says and tests read: `Map of relevance of arithmetic: layer 14, neuron 7168, 0.283 nat, ablated`.
pub(super) fn spoken(input: &HeatmapInput<'_>, pointed: Option<Neuron>) -> String {
    let (rows, cols) = (input.map.grid.rows(), input.map.grid.cols());
    let ordered = if input.ordered.is_empty() { String::new() } else { format!(", {}", input.ordered) };
    match pointed {
        None => format!("Map of {}: {rows} layers of {cols} {}{ordered}", input.what, input.columns.word()),
        Some(n) => format!("Map of {}: {}", input.what, cell_words(input, n)),
    }
}

fn cell_words(input: &HeatmapInput<'_>, n: Neuron) -> String {
    let mut words = input.columns.spoken(n);
    words.push_str(&format!(", {}", value_words(input, n)));
    if input.columns == Columns::Neurons {
        if input.off.contains(n) {
            words.push_str(", ablated");
        }
        if input.selected.contains(n) {
            words.push_str(", selected");
        }
    }
    words
}

/// `0.283 nat`, with its share or rank where layers have their own scale.
pub(super) fn value_words(input: &HeatmapInput<'_>, n: Neuron) -> String {
    let (l, i) = (n.layer as usize, n.index as usize);
    let mut words = match input.map.measured.get(l, i).filter(|v| v.is_finite()) {
        Some(v) => format!("{} {}", sig3(f64::from(v)), input.unit).trim_end().to_owned(),
        None => "no value".to_owned(),
    };
    if let (per @ (PerLayer::Max | PerLayer::Rank), Some(v)) = (input.map.per_layer(), input.map.grid.get(l, i)) {
        words.push_str(&format!(", {} {}", sig3(f64::from(v)), per.words()));
    }
    words
}
