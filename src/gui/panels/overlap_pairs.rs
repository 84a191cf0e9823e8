//! The Jaccard matrix, and one of its pairs: against chance, by layer or by share, and the shared neurons by name.

use super::{
    neuron_list::neurons_ui,
    overlap::Overlap,
    overlap_found::{Found, text},
};
use crate::{
    app::{Command, OverlapView, RunEntry},
    base::{
        Grid, Neuron, NeuronSet,
        number::p_value,
        overlap::{Chance, Curves as Shares, SHARES, shared},
    },
    gui::{
        PanelCx,
        widgets::{
            axis::Axis,
            chart::{grown, small_width},
            control::keep_together,
            curves::{Band, Curve, Curves},
            matrix::{Matrix, sequential},
            number::{count, counted, sig3},
            provenance,
        },
    },
    scan::{MetricKind, ScanOutput},
};
use eframe::egui::{Color32, Label, Sense, Ui, Vec2, vec2};
use std::sync::Arc;

/// Shared neurons of a pair, strongest first; and what chance gives in each layer.
pub(super) struct Shared {
    pub found: Arc<Found>,
    pub pair: (usize, usize),
    pub neurons: Vec<(Neuron, f32, f32)>,
    pub by_layer: Vec<Option<f64>>,
    pub chance: Vec<Option<Chance>>,
}

pub(super) struct MatrixInput<'a> {
    pub metric: MetricKind,
    pub found: &'a Found,
    pub labels: &'a [(String, Color32)],
    pub pair: (usize, usize),
    pub size: Vec2,
}

pub(super) fn shared_of(run: &ScanOutput, metric: MetricKind, found: &Arc<Found>, pair: (usize, usize)) -> Shared {
    let top = &found.top;
    let map = |i: usize| run.domain(&top.names[i]).and_then(|d| d.map(metric));
    let value = |g: Option<&Grid>, n: Neuron| g.and_then(|g| g.get(n.layer as usize, n.index as usize)).unwrap_or(f32::NAN);
    let (a, b) = (map(pair.0), map(pair.1));
    let mut neurons: Vec<(Neuron, f32, f32)> =
        shared(&top.sets[pair.0], &top.sets[pair.1]).map(|i| top.neuron(i)).map(|n| (n, value(a, n), value(b, n))).collect();
    // Strong in both first; by place where they tie.
    neurons.sort_by(|x, y| y.1.min(y.2).total_cmp(&x.1.min(x.2)).then(x.0.cmp(&y.0)));
    let chance = if pair.0 == pair.1 { Vec::new() } else { top.chance_by_layer(pair.0, pair.1) };
    Shared { found: found.clone(), pair, neurons, by_layer: top.by_layer(pair.0, pair.1), chance }
}

/// `0.053 by chance (95 %: 0.04 to 0.07), p 3e-12, Holm 4e-11`
fn against_chance(found: &Found, (a, b): (usize, usize)) -> String {
    let Some(t) = found.test(a, b) else { return "the same set".to_owned() };
    let chance =
        t.chance.map_or_else(String::new, |c| format!("{} by chance (95 %: {} to {}), ", sig3(c.expected), sig3(c.low), sig3(c.high)));
    format!("{chance}p {}, {} after Holm for {}", p_value(t.ln_p), p_value(t.ln_p_holm), counted(found.tests.len() as u64, "pair"))
}

const NULL: &str =
    "Chance: random sets with as many neurons in each layer; p: of sharing at least as many, exact (sum of hypergeometric counts)";

impl Overlap {
    /// True when a cell was clicked.
    pub(super) fn matrix_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, input: &MatrixInput<'_>) -> bool {
        let MatrixInput { metric, found, labels, pair, size } = *input;
        let top = &found.top;
        let n = top.names.len();
        let off_diagonal = (0..n * n).filter(|i| i / n != i % n).filter_map(|i| top.jaccard[i]).fold(0.0, f64::max);
        let hi = if self.whole || off_diagonal <= 0.0 { 1.0 } else { off_diagonal };
        let hover = cx.link.hover();
        let place = |name: &str| top.names.iter().position(|n| n == name);
        let marked = hover.pair.as_ref().and_then(|(a, b)| Some((place(a)?, place(b)?)));
        let marked = marked.or_else(|| hover.domain.as_deref().and_then(place).map(|i| (i, i)));
        // A set's overlap with itself is 1 by definition; leaving it out keeps the colours for what is not.
        let values: Vec<Option<f64>> = (0..n * n).map(|i| top.jaccard[i].filter(|_| i / n != i % n || self.whole)).collect();
        let (theme, run, percent, label) = (cx.theme, cx.app.library.run(), cx.app.project.view.top_percent, metric.label());
        let tip = |ui: &mut Ui, a: usize, b: usize| {
            ui.set_max_width(420.0);
            ui.label(theme.strong(format!("{} and {}   {}", top.names[a], top.names[b], text(found.jaccard(a, b)))));
            let both = counted(shared(&top.sets[a], &top.sets[b]).count() as u64, "neuron");
            ui.label(theme.small(format!("Jaccard index of the top {} % by {label}: {both} in both", sig3(percent))));
            ui.label(theme.small(against_chance(found, (a, b))));
            ui.label(theme.small(NULL));
            if let Some(run) = run {
                ui.label(theme.small(provenance::short(&run.output.provenance)));
            }
            ui.label(theme.small("Click to see it layer by layer, and which neurons they share"));
        };
        let matrix = Matrix {
            tip: &tip,
            name: "Overlap of domains",
            labels,
            values: &values,
            selected: Some(pair),
            marked,
            range: (0.0, hi),
            unit: "Jaccard",
            map: sequential(cx.app.settings.preferences.colours),
            size,
        };
        let out = matrix.show(ui, cx.theme);
        if let Some((a, b)) = out.hovered {
            cx.link.hover_pair(&top.names[a], &top.names[b]);
            let both = shared(&top.sets[a], &top.sets[b]).count() as u64;
            let percent = sig3(cx.app.project.view.top_percent);
            cx.link.readout(format!(
                "{} and {} · Jaccard {} · {} shared · {} · top {percent} %",
                top.names[a],
                top.names[b],
                text(found.jaccard(a, b)),
                counted(both, "neuron"),
                against_chance(found, (a, b))
            ));
        }
        if let Some((a, b)) = out.clicked {
            cx.send(Command::ShowPair { a: top.names[a].clone(), b: top.names[b].clone() });
        }
        out.clicked.is_some()
    }

    pub(super) fn pair_ui(
        &self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        metric: MetricKind,
        (a, b): (usize, usize),
        curves: Option<&Shares>,
    ) {
        let Some(shared) = &self.shared else { return };
        let (found, top) = (&*shared.found, &shared.found.top);
        let (name_a, name_b) = (top.names[a].as_str(), top.names[b].as_str());
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            for name in [name_a, name_b] {
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 20.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 4.0, cx.domain_colour(name));
            }
            ui.add(Label::new(cx.theme.strong(format!("{name_a} and {name_b}"))).truncate());
        });
        let words = format!(
            "Jaccard {} · {} · {} of {} and {}",
            text(found.jaccard(a, b)),
            against_chance(found, (a, b)),
            counted(shared.neurons.len() as u64, "shared neuron"),
            count(top.sets[a].len() as u64),
            count(top.sets[b].len() as u64)
        );
        ui.add(Label::new(cx.theme.small(words)).wrap()).on_hover_text(NULL);
        let room = ui.available_height();
        let size = vec2(ui.available_width(), (room * 0.45).clamp(90.0, grown(ui, 220.0)));
        match cx.app.project.view.overlap {
            OverlapView::Curve => match curves {
                Some(curves) => self.share_ui(ui, cx, run, curves, (a, b), size),
                None => {
                    ui.allocate_ui(size, |ui| ui.centered_and_justified(|ui| ui.spinner()));
                }
            },
            _ => self.layer_ui(ui, cx, run, (name_a, name_b), size),
        }
        self.list_ui(ui, cx, metric, shared, name_a, name_b);
    }

    fn layer_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, (a, b): (&str, &str), size: Vec2) {
        let Some(shared) = &self.shared else { return };
        let at = |l: usize| l as f64;
        let chance = |pick: fn(&Chance) -> f64| shared.chance.iter().enumerate().map(move |(l, c)| (at(l), c.as_ref().map(pick)));
        let curves = [
            curve("shared", cx.theme.text, shared.by_layer.iter().enumerate().map(|(l, v)| (at(l), *v)).collect()),
            Curve { dashed: true, ..curve("by chance", cx.theme.secondary, chance(|c| c.expected).collect()) },
        ];
        let band = band(cx, shared.chance.iter().enumerate().map(|(l, c)| (at(l), *c)));
        let highest = curves[0].points.iter().filter_map(|p| p.1).chain(band.points.iter().map(|p| p.2)).fold(0.0, f64::max);
        let chart = Curves {
            name: "Overlap by layer",
            x: Axis::layers(shared.by_layer.len()),
            y: Axis::linear(0.0, (highest * 1.1).clamp(0.05, 1.0), "Jaccard · band: 95 % by chance"),
            curves: &curves,
            band: Some(&band),
            size,
            mark: None,
            place: cx.link.hover().layer,
        };
        if let Some(l) = chart.show(ui, cx.theme).hovered {
            cx.link.hover_layer(l);
            let chance = shared.chance.get(l).copied().flatten();
            let chance =
                chance.map_or_else(String::new, |c| format!(" · {} by chance ({} to {})", sig3(c.expected), sig3(c.low), sig3(c.high)));
            cx.link.readout(format!("layer {l} · {a} and {b} · Jaccard {}{chance} · {}", text(shared.by_layer[l]), run.name));
        }
    }

    fn share_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, shares: &Shares, (a, b): (usize, usize), size: Vec2) {
        let Some(shared) = &self.shared else { return };
        let names = &shared.found.top.names;
        let forward = (a.min(b), a.max(b));
        let points = |values: &[Option<f64>]| shares.shares.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>();
        let expected: Vec<Option<f64>> = shares.chance.iter().map(|c| c.map(|c| c.expected)).collect();
        let mut curves = Vec::new();
        for (pair, values) in &shares.pairs {
            let name = format!("{} and {}", names[pair.0], names[pair.1]);
            if *pair == forward {
                curves.insert(0, curve("shared", cx.theme.text, points(values)));
            } else {
                curves.push(Curve { ghost: true, ..curve(&name, cx.theme.secondary, points(values)) });
            }
        }
        if a != b {
            curves.insert(1, Curve { dashed: true, ..curve("by chance", cx.theme.secondary, points(&expected)) });
        }
        let band = band(cx, shares.shares.iter().copied().zip(shares.chance.iter().copied()).filter(|_| a != b));
        let values = curves.iter().flat_map(|c| c.points.iter().filter_map(|p| p.1));
        let highest = values.chain(band.points.iter().map(|p| p.2)).fold(0.0, f64::max);
        // What the thin lines are is said where there is room for it.
        let title = "Jaccard · band: 95 % by chance";
        let whole = format!("{title} · thin: others");
        let title = if small_width(ui, &whole) <= size.x { whole.as_str() } else { title };
        let chart = Curves {
            name: "Overlap by share",
            x: Axis::log(SHARES.0, SHARES.1, "share of neurons taken, %"),
            y: Axis::linear(0.0, (highest * 1.1).clamp(0.05, 1.0), title),
            curves: &curves,
            band: Some(&band),
            size,
            mark: Some(cx.app.project.view.top_percent),
            place: None,
        };
        let out = chart.show(ui, cx.theme);
        if let Some(i) = out.hovered {
            let here = shares.pairs.iter().find(|p| p.0 == forward).and_then(|p| p.1[i]);
            let chance = shares.chance[i]
                .map_or_else(String::new, |c| format!(" · {} by chance ({} to {})", sig3(c.expected), sig3(c.low), sig3(c.high)));
            let share = sig3(shares.shares[i]);
            cx.link.readout(format!("top {share} % · {} and {} · Jaccard {}{chance} · {}", names[a], names[b], text(here), run.name));
        }
        if let Some(percent) = out.clicked {
            cx.send(Command::SetTopPercent { percent: (percent * 100.0).round() / 100.0 });
        }
    }

    fn list_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, metric: MetricKind, shared: &Shared, a: &str, b: &str) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(cx.theme.group("Shared neurons"));
            if shared.neurons.is_empty() {
                return;
            }
            let set = || -> NeuronSet { shared.neurons.iter().map(|(n, _, _)| *n).collect() };
            keep_together(ui, ["Select", "Switch off"].into_iter());
            if ui.small_button("Select").on_hover_text("Selects them in every view").clicked() {
                cx.send(Command::SelectNeurons { neurons: set() });
            }
            if ui.small_button("Switch off").on_hover_text("Makes a set of them and switches it off").clicked() {
                let source =
                    format!("top {} % {} of both {a} and {b}", sig3(cx.app.project.view.top_percent), metric.info().label.to_lowercase());
                let chosen_on = vec![a.to_owned(), b.to_owned()];
                cx.send(Command::AddSet { name: format!("{a} ∩ {b}"), neurons: set(), source, chosen_on });
            }
        });
        let neurons: Vec<_> = shared.neurons.iter().map(|(n, x, y)| (*n, vec![*x, *y])).collect();
        if let Some(n) = neurons_ui(ui, cx, metric, "shared neurons", &neurons, &[a, b]) {
            cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([n]) });
        }
    }
}

fn curve(name: &str, colour: Color32, points: Vec<(f64, Option<f64>)>) -> Curve {
    Curve { name: name.to_owned(), colour, points, dashed: false, ghost: false }
}

fn band(cx: &PanelCx<'_>, points: impl Iterator<Item = (f64, Option<Chance>)>) -> Band {
    let colour = cx.theme.tint(cx.theme.secondary, 0.22);
    Band { colour, points: points.filter_map(|(x, c)| c.map(|c| (x, c.low, c.high))).collect() }
}
