//! Controls and words that all maps of neurons share: scale, order, comparison; what a map is called and in which unit.

use crate::{
    app::{Command, Loading, MapChange, MapScale, NamedSet, RunEntry},
    base::{
        NeuronSet,
        heatmap::{Combine, PerLayer, ScaleKind, scale},
    },
    gui::{
        PanelCx,
        widgets::control::{choice, parse_number},
    },
    report::neuron_order::NeuronOrder,
    scan::{MetricKind, metrics::METRICS},
};
use eframe::egui::{Button, ComboBox, DragValue, RichText, Ui};

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

/// Linear, log or clipped, and where it is clipped.
pub fn scale_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let view = &cx.app.project.view;
    let mut chosen = view.scale;
    let scales = [
        (MapScale::Linear, "linear", "Colour follows the value"),
        (MapScale::Log, "log", "Each step of the colour is a factor"),
        (MapScale::Clipped, "clipped", "Linear up to a percentile; larger values share the last colour"),
    ];
    if choice(ui, cx.theme, &mut chosen, &scales) {
        cx.send(Command::SetMapScale { scale: chosen });
    }
    if view.scale == MapScale::Clipped {
        let mut percentile = f64::from(view.map.percentile);
        let (lo, hi) = (f64::from(*scale::PERCENTILES.start()), f64::from(*scale::PERCENTILES.end()));
        let drag = DragValue::new(&mut percentile)
            .range(lo..=hi)
            .speed(0.05)
            .custom_formatter(|v, _| scale::ordinal(v as f32))
            .custom_parser(|text| parse_number(text.trim_end_matches(|c: char| c.is_alphabetic())));
        let r = ui.name_inputs("Percentile of the clip", |ui| ui.add(drag)).accessible_name("Percentile of the clip");
        if r.on_hover_text("Percentile of all magnitudes at which the colours end; drag or type, 50 to 100").changed() {
            cx.send(Command::ChangeMap { change: MapChange::Percentile(percentile as f32) });
        }
    }
}

/// As measured, or each layer on a scale of its own.
pub fn per_layer_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let now = cx.app.project.view.map.per_layer;
    let name = |p: PerLayer| match p {
        PerLayer::None => "as measured",
        PerLayer::Max => "layer max",
        PerLayer::Rank => "layer rank",
    };
    let hover = |p: PerLayer| match p {
        PerLayer::None => "All layers on one scale, in the metric's unit",
        PerLayer::Max => "Each value by the largest magnitude of its layer: shows what stands out in every layer",
        PerLayer::Rank => "Rank of the magnitude within its layer, 0 to 1, sign kept",
    };
    let combo = ComboBox::from_id_salt("per layer").width(96.0).selected_text(name(now));
    let r = combo.show_ui(ui, |ui| {
        for p in PerLayer::ALL {
            if ui.selectable_label(p == now, name(p)).on_hover_text(hover(p)).clicked() && p != now {
                cx.send(Command::ChangeMap { change: MapChange::PerLayer(p) });
            }
        }
    });
    r.response.accessible_name("Scale within layers").on_hover_text(hover(now));
}

/// By index, by value of what is shown, or clustered.
pub fn order_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind, domain: &str) {
    let now = &cx.app.project.view.map.order;
    let short = match now {
        NeuronOrder::Index => "by index".to_owned(),
        NeuronOrder::Value { domain, .. } => format!("by {domain}"),
        NeuronOrder::Profile { .. } => "clustered".to_owned(),
    };
    let cols = run.output.d_mlp;
    let combo = ComboBox::from_id_salt("order").width(84.0).selected_text(short);
    let r = combo.show_ui(ui, |ui| {
        let mut options = vec![(NeuronOrder::Index, "by index".to_owned(), "Neurons stand where the checkpoint has them")];
        let by = |domain: &str| NeuronOrder::Value { metric, domain: domain.to_owned() };
        options.push((
            by(domain),
            format!("by {} of {domain}", metric.label()),
            "Largest first within each layer; further maps keep this order",
        ));
        if let NeuronOrder::Value { metric: m, domain: d } = now
            && (*m != metric || d != domain)
        {
            options.push((now.clone(), format!("by {} of {d}", m.label()), "The order in force"));
        }
        options.push((
            NeuronOrder::Profile { metric },
            format!("clustered by {}", metric.label()),
            "Neurons that serve the same domains stand together (average linkage of their profiles over the domains)",
        ));
        for (order, text, hover) in options {
            if ui.selectable_label(*now == order, text).on_hover_text(hover).clicked() && *now != order {
                cx.send(Command::ChangeMap { change: MapChange::Order(order) });
            }
        }
    });
    let words = now.words(cols);
    let hover = if words.is_empty() { "Order of the neurons within a layer: by index".to_owned() } else { words };
    r.response.accessible_name("Order of neurons").on_hover_text(hover);
    match cx.app.neuron_order() {
        Some(Loading::Working) => {
            ui.spinner().on_hover_text("The order is being worked out; Esc stops it. Until then neurons stand by their index.");
        }
        Some(Loading::Stopped) => {
            ui.label(cx.theme.small("not ordered")).on_hover_text("Working out the order was stopped; choose it again to have it");
        }
        Some(Loading::Failed(message)) => {
            ui.label(RichText::new("not ordered").color(cx.theme.warn)).on_hover_text(message);
        }
        _ => {}
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
    let combo = ComboBox::from_id_salt(salt).width(120.0).selected_text(metric.info().label);
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
