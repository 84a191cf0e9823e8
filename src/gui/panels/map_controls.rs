//! Controls and words that all maps of neurons share: metric, comparison; what a map is called and in which unit.

use crate::{
    app::{MapScale, NamedSet, RunEntry},
    base::{
        NeuronSet,
        heatmap::{Combine, PerLayer, ScaleKind},
    },
    gui::PanelCx,
    scan::{MetricKind, metrics::METRICS},
};
use eframe::egui::{Button, ComboBox, Ui};

/// What a map shows, in words.
pub struct MapWords {
    /// On the colour bar: `Relevance: logic − facts`.
    pub name: String,
    /// In a sentence: `relevance of logic minus facts`.
    pub what: String,
    /// Of what was measured or compared.
    pub unit: &'static str,
    /// Of what is coloured.
    pub bar_unit: &'static str,
    pub formula: String,
}

impl MapWords {
    /// `a`, `b`: what is compared, as it is called.
    pub fn of(metric: MetricKind, a: &str, b: Option<(&str, Combine)>, per_layer: PerLayer) -> Self {
        let info = metric.info();
        let unit = b.map_or(info.unit, |(_, how)| how.unit(info.unit));
        let mut name = match b {
            None => format!("{}: {a}", info.label),
            Some((b, how)) => format!("{}: {}", info.label, how.words(a, b)),
        };
        let what = b.map_or_else(|| a.to_owned(), |(b, how)| how.spoken(a, b));
        let mut formula = b.map_or_else(|| info.formula.to_owned(), |(_, how)| format!("{}; {}", how.formula(), info.formula));
        if per_layer != PerLayer::None {
            name = format!("{name}, {}", per_layer.words());
            formula = format!("{}; {formula}", per_layer.words());
        }
        Self { name, what: format!("{} of {what}", metric.label()), unit, bar_unit: per_layer.unit(unit), formula }
    }
}

pub fn scale_kind(scale: MapScale) -> ScaleKind {
    match scale {
        MapScale::Linear => ScaleKind::Linear,
        MapScale::Log => ScaleKind::Log,
        MapScale::Clipped => ScaleKind::Clipped,
    }
}

/// What stands under the axis: the order in force, once it is there.
pub fn ordered_words(cx: &PanelCx<'_>, cols: usize) -> String {
    if cx.app.permutation().is_some() { cx.app.project.view.map.order.words(cols) } else { String::new() }
}

/// How two maps are compared; the chosen one where another was chosen.
pub fn combine_ui(ui: &mut Ui, salt: &str, now: Combine) -> Option<Combine> {
    let name = |c: Combine| match c {
        Combine::Difference => "minus",
        Combine::Ratio => "over",
        Combine::RankDifference => "rank minus",
    };
    let mut new = None;
    let r = ComboBox::from_id_salt(salt).width(64.0).selected_text(name(now)).show_ui(ui, |ui| new = combines_ui(ui, now));
    r.response.accessible_name("How they are compared").on_hover_text(now.formula());
    new
}

/// The ways to compare, one under the other.
pub fn combines_ui(ui: &mut Ui, now: Combine) -> Option<Combine> {
    let mut new = None;
    for c in Combine::ALL {
        let text = match c {
            Combine::Difference => "minus: difference",
            Combine::Ratio => "over: ratio, as log2",
            Combine::RankDifference => "rank minus rank",
        };
        if ui.selectable_label(c == now, text).on_hover_text(c.formula()).clicked() && c != now {
            new = Some(c);
        }
    }
    new
}

/// A choice among the metrics that have maps; those that no domain of `run` holds cannot be chosen.
pub fn metric_ui(ui: &mut Ui, salt: &str, run: &RunEntry, metric: MetricKind) -> Option<MetricKind> {
    let mut new = None;
    let measured = |m: MetricKind| run.output.domains.iter().any(|d| d.map(m).is_some());
    let combo = ComboBox::from_id_salt(salt).width(96.0).selected_text(metric.info().label);
    let r = combo.show_ui(ui, |ui| {
        for info in METRICS.iter().filter(|i| i.map.is_some()) {
            let item = ui.add_enabled(measured(info.kind), Button::selectable(info.kind == metric, info.label));
            if item.on_hover_text(info.formula).on_disabled_hover_text("Not measured by this scan").clicked() {
                new = Some(info.kind);
            }
        }
    });
    r.response.accessible_name("Metric").on_hover_text(format!("{}\n{}", metric.info().formula, metric.info().source));
    new
}

/// What is off and selected, kept until something that decides it changes; large sets are not joined every frame.
#[derive(Default)]
pub struct MarksCache {
    sets: Vec<NamedSet>,
    single: NeuronSet,
    spared: NeuronSet,
    selection: NeuronSet,
    pub off: NeuronSet,
    pub version: u64,
}

impl MarksCache {
    /// `preview`: something else than the selection is outlined.
    pub fn follow(&mut self, cx: &PanelCx<'_>, preview: bool) {
        let p = &cx.app.project;
        if self.sets != p.sets || self.single != p.single || self.spared != p.spared {
            (self.sets, self.single, self.spared) = (p.sets.clone(), p.single.clone(), p.spared.clone());
            self.off = p.off();
            self.version += 1;
        }
        if !preview && self.selection != p.view.selection {
            self.selection = p.view.selection.clone();
            self.version += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_what_it_is_in_which_unit() {
        let plain = MapWords::of(MetricKind::Relevance, "logic", None, PerLayer::None);
        assert_eq!((plain.name.as_str(), plain.what.as_str(), plain.unit), ("Relevance: logic", "relevance of logic", "nat"));
        let ratio = MapWords::of(MetricKind::Relevance, "logic", Some(("facts", Combine::Ratio)), PerLayer::None);
        assert_eq!((ratio.name.as_str(), ratio.unit), ("Relevance: logic ÷ facts", "log2"));
        assert!(ratio.formula.starts_with("log2(|A| / |B|)"));
        let ranked = MapWords::of(MetricKind::Relevance, "logic", None, PerLayer::Rank);
        assert_eq!((ranked.unit, ranked.bar_unit), ("nat", ""));
        assert!(ranked.name.ends_with("rank within the layer, 0 to 1"));
    }
}
