//! Do two domains use the same neurons? Jaccard index of their top shares: matrix, curve by layer, and the shared neurons by name.

use super::{
    overlap_sets::{TopSets, shared},
    shown_run::shown_run,
};
use crate::{
    app::{Command, RunEntry},
    base::{Grid, Neuron, NeuronSet},
    gui::{
        Panel, PanelCx,
        widgets::{
            arrange::Arrange,
            axis::Axis,
            control::{bar, caption, colour_span, keep_together, log_slider, remark},
            line_chart::{LineChart, Series},
            matrix::{Matrix, names_width, sequential},
            number::{count, counted, sig3},
            provenance,
            table::{Table, icon_button, twin_switch},
        },
    },
    scan::{MetricKind, ScanOutput},
};
use eframe::egui::{self, Color32, Context, Label, RichText, ScrollArea, Sense, Ui, Vec2, vec2};
use egui_material_icons::icons;
use std::sync::{Arc, mpsc};

pub fn make() -> Box<dyn Panel> {
    Box::<Overlap>::default()
}

#[derive(Default)]
pub struct Overlap {
    table: bool,
    /// Colours span 0 to 1 instead of the values off the diagonal.
    whole: bool,
    /// Where there is room for one thing only: the pair instead of the matrix.
    pair_alone: bool,
    tops: Tops,
    shared: Option<Shared>,
}

/// Shared neurons of a pair, strongest first.
struct Shared {
    top: Arc<TopSets>,
    pair: (usize, usize),
    neurons: Vec<(Neuron, f32, f32)>,
}

impl Panel for Overlap {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(run) = shown_run(ui, cx, icons::ICON_JOIN_INNER, "which domains share neurons") else { return };
        let chosen = cx.app.project.view.metric;
        let metric = if run.output.domains.iter().any(|d| d.map(chosen).is_some()) { chosen } else { MetricKind::Relevance };
        let maps: Vec<(String, Grid)> = run.output.domains.iter().filter_map(|d| Some((d.name.clone(), d.map(metric)?.clone()))).collect();
        if maps.len() < 2 {
            remark(ui, cx.theme, "Overlap compares the neurons of two domains or more. This run holds maps of fewer.");
            return;
        }
        let percent = cx.app.project.view.top_percent;
        let top = self.tops.get(ui.ctx(), &run.output, metric, percent, maps);
        self.controls_ui(ui, cx, metric, top.as_ref());
        let Some(top) = top else {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        };
        let pair = shown_pair(cx, &top);
        let key = |s: &Shared| Arc::ptr_eq(&s.top, &top) && s.pair == pair;
        if !self.shared.as_ref().is_some_and(key) {
            self.shared = Some(shared_of(&run.output, metric, &top, pair));
        }
        if self.table {
            pair_table(&top).ui(ui, cx.theme, "overlap");
            return;
        }
        let room = ui.available_size();
        let labels: Vec<(String, Color32)> = top.names.iter().map(|name| (name.clone(), cx.domain_colour(name))).collect();
        match Arrange::of(room, names_width(ui, &labels), labels.len(), vec2(200.0, 190.0)) {
            Arrange::Beside(side) => {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 16.0;
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        self.matrix_ui(ui, cx, metric, &top, &labels, pair, vec2(side, room.y));
                    });
                    ui.vertical(|ui| self.pair_ui(ui, cx, run, metric, &top, pair));
                });
            }
            Arrange::Stacked(height) => {
                self.matrix_ui(ui, cx, metric, &top, &labels, pair, vec2(room.x, height));
                ui.add_space(4.0);
                self.pair_ui(ui, cx, run, metric, &top, pair);
            }
            Arrange::One if self.pair_alone => {
                if icon_button(ui, icons::ICON_ARROW_BACK, "Back to the matrix", "").clicked() {
                    self.pair_alone = false;
                }
                self.pair_ui(ui, cx, run, metric, &top, pair);
            }
            Arrange::One => self.pair_alone = self.matrix_ui(ui, cx, metric, &top, &labels, pair, room),
        }
    }
}

fn shown_pair(cx: &PanelCx<'_>, top: &TopSets) -> (usize, usize) {
    let place = |name: &str| top.names.iter().position(|n| n == name);
    cx.app.project.view.pair.as_ref().and_then(|(a, b)| Some((place(a)?, place(b)?))).unwrap_or((0, 1))
}

fn shared_of(run: &ScanOutput, metric: MetricKind, top: &Arc<TopSets>, pair: (usize, usize)) -> Shared {
    let map = |i: usize| run.domain(&top.names[i]).and_then(|d| d.map(metric));
    let value = |g: Option<&Grid>, n: Neuron| g.and_then(|g| g.get(n.layer as usize, n.index as usize)).unwrap_or(f32::NAN);
    let (a, b) = (map(pair.0), map(pair.1));
    let mut neurons: Vec<(Neuron, f32, f32)> =
        shared(&top.sets[pair.0], &top.sets[pair.1]).map(|i| top.neuron(i)).map(|n| (n, value(a, n), value(b, n))).collect();
    // Strong in both first; by place where they tie.
    neurons.sort_by(|x, y| y.1.min(y.2).total_cmp(&x.1.min(x.2)).then(x.0.cmp(&y.0)));
    Shared { top: top.clone(), pair, neurons }
}

fn pair_table(top: &TopSets) -> Table {
    let mut table =
        Table::new(&[("a", false), ("b", false), ("Jaccard", true), ("by chance", true), ("shared", true), ("in a", true), ("in b", true)]);
    for a in 0..top.names.len() {
        for b in a + 1..top.names.len() {
            let text = |v: Option<f64>| v.map_or_else(|| "undefined".to_owned(), sig3);
            let both = shared(&top.sets[a], &top.sets[b]).count();
            let sizes = [both, top.sets[a].len(), top.sets[b].len()].map(|n| count(n as u64));
            let [both, of_a, of_b] = sizes;
            let j = top.jaccard[a * top.names.len() + b];
            table.row(vec![top.names[a].clone(), top.names[b].clone(), text(j), text(top.by_chance(a, b)), both, of_a, of_b]);
        }
    }
    table
}

impl Overlap {
    fn controls_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, metric: MetricKind, top: Option<&Arc<TopSets>>) {
        let (whole, table) = (&mut self.whole, &mut self.table);
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                caption(ui, cx.theme, "top");
                let mut percent = cx.app.project.view.top_percent;
                let r = log_slider(ui, cx.theme, &mut percent, 0.01..=100.0, 10.0, "Top percent that overlaps");
                if r.changed() {
                    cx.send(Command::SetTopPercent { percent });
                }
                caption(ui, cx.theme, &format!("% by {}", metric.info().label.to_lowercase()));
            },
            |ui, _| {
                if let Some(top) = top {
                    twin_switch(ui, table, "overlap", || pair_table(top));
                }
                let mut fitted = !*whole;
                colour_span(ui, &mut fitted);
                *whole = !fitted;
            },
        );
    }

    /// True when a cell was clicked.
    #[expect(clippy::too_many_arguments, reason = "one matrix, one call")]
    fn matrix_ui(
        &self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        metric: MetricKind,
        top: &TopSets,
        labels: &[(String, Color32)],
        pair: (usize, usize),
        size: Vec2,
    ) -> bool {
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
            let j = top.jaccard[a * n + b].map_or_else(|| "undefined".to_owned(), sig3);
            ui.set_max_width(420.0);
            ui.label(theme.strong(format!("{} and {}   {j}", top.names[a], top.names[b])));
            let both = counted(shared(&top.sets[a], &top.sets[b]).count() as u64, "neuron");
            ui.label(theme.small(format!("Jaccard index of the top {} % by {label}: {both} in both", sig3(percent))));
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
            let j = top.jaccard[a * n + b].map_or_else(|| "undefined".to_owned(), sig3);
            let both = shared(&top.sets[a], &top.sets[b]).count() as u64;
            let percent = sig3(cx.app.project.view.top_percent);
            cx.link.readout(format!(
                "{} and {} · Jaccard {j} · {} shared · top {percent} %",
                top.names[a],
                top.names[b],
                counted(both, "neuron")
            ));
        }
        if let Some((a, b)) = out.clicked {
            cx.send(Command::ShowPair { a: top.names[a].clone(), b: top.names[b].clone() });
        }
        out.clicked.is_some()
    }

    fn pair_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind, top: &TopSets, (a, b): (usize, usize)) {
        let Some(shared) = &self.shared else { return };
        let (name_a, name_b) = (top.names[a].as_str(), top.names[b].as_str());
        let text = |v: Option<f64>| v.map_or_else(|| "undefined".to_owned(), sig3);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            for name in [name_a, name_b] {
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 20.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 4.0, cx.domain_colour(name));
            }
            ui.add(Label::new(cx.theme.strong(format!("{name_a} and {name_b}"))).truncate());
        });
        let j = top.jaccard[a * top.names.len() + b];
        remark(
            ui,
            cx.theme,
            format!(
                "Jaccard {} · {} by chance · {} of {} and {}",
                text(j),
                text(top.by_chance(a, b)),
                counted(shared.neurons.len() as u64, "shared neuron"),
                count(top.sets[a].len() as u64),
                count(top.sets[b].len() as u64)
            ),
        );
        let room = ui.available_height();
        let chart = (room * 0.45).clamp(90.0, 220.0);
        let mut layers = top.by_layer(a, b);
        let chance = vec![top.by_chance(a, b); layers.len()];
        let highest = layers.iter().flatten().copied().fold(top.by_chance(a, b).unwrap_or(0.0), f64::max);
        let series = [
            Series { name: "shared".into(), colour: cx.theme.text, values: std::mem::take(&mut layers) },
            Series { name: "chance".into(), colour: cx.theme.secondary, values: chance },
        ];
        let y = Axis::linear(0.0, (highest * 1.1).clamp(0.05, 1.0), "Jaccard by layer");
        let marked = cx.link.hover().layer;
        let line =
            LineChart { name: "Overlap by layer", y, series: &series, size: vec2(ui.available_width(), chart), marked, forward: None };
        let (_, hover) = line.show(ui, cx.theme);
        if let Some(h) = hover {
            cx.link.hover_layer(h.layer);
            cx.link.readout(format!(
                "layer {} · {name_a} and {name_b} · Jaccard {} · {}",
                h.layer,
                text(series[0].values.get(h.layer).copied().flatten()),
                run.name
            ));
        }
        self.list_ui(ui, cx, metric, shared, name_a, name_b);
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
        let row = 20.0;
        let width = ui.available_width();
        ScrollArea::vertical().id_salt("shared neurons").auto_shrink([false, false]).show_rows(
            ui,
            row,
            shared.neurons.len(),
            |ui, rows| {
                ui.spacing_mut().item_spacing.y = 0.0;
                for &(n, va, vb) in &shared.neurons[rows] {
                    let (rect, r) = ui.allocate_exact_size(vec2(width, row), Sense::click());
                    let off = cx.app.project.is_off(n);
                    let words = format!("{n}: {a} {}, {b} {}{}", sig3(f64::from(va)), sig3(f64::from(vb)), if off { ", off" } else { "" });
                    r.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &words));
                    if r.hovered() || cx.link.hover().neuron == Some(n) {
                        ui.painter().rect_filled(rect, 3.0, cx.theme.raised);
                    }
                    if r.hovered() {
                        cx.link.hover_neuron(n);
                        cx.link.readout(format!("{words} · {}", metric.info().label.to_lowercase()));
                    }
                    if r.clicked() {
                        cx.link.focus_neuron = Some(n);
                        cx.link.reveal = Some(n);
                        cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([n]) });
                    }
                    let mono = egui::FontId::monospace(12.0);
                    let body = egui::FontId::proportional(crate::gui::theme::BODY);
                    let p = ui.painter();
                    let ink = if off { cx.theme.secondary } else { cx.theme.text };
                    let at = |x: f32| egui::pos2(rect.left() + x, rect.center().y);
                    let name = p.text(at(4.0), egui::Align2::LEFT_CENTER, n.to_string(), mono, ink);
                    if off {
                        p.hline(name.x_range(), name.center().y, egui::Stroke::new(1.0, ink));
                    }
                    // Two columns of figures after the name, as far apart as there is room.
                    let column = ((width - 72.0) / 2.0).clamp(44.0, 96.0);
                    for (i, (v, name)) in [(va, a), (vb, b)].into_iter().enumerate() {
                        let right = 72.0 + column * (i as f32 + 1.0);
                        if column > 64.0 {
                            p.circle_filled(at(right - 58.0), 3.0, cx.domain_colour(name));
                        }
                        p.text(at(right), egui::Align2::RIGHT_CENTER, sig3(f64::from(v)), body.clone(), cx.theme.text);
                    }
                }
            },
        );
        if shared.neurons.is_empty() {
            ui.label(RichText::new("None at this share.").color(cx.theme.secondary));
        }
    }
}

/// The top sets of a run, metric and share; found off the interface thread where maps are large.
#[derive(Default)]
struct Tops {
    done: Option<(TopKey, Arc<TopSets>)>,
    working: Option<(TopKey, mpsc::Receiver<TopSets>)>,
}

type TopKey = (usize, MetricKind, u64);

impl Tops {
    fn get(
        &mut self,
        ctx: &Context,
        run: &Arc<ScanOutput>,
        metric: MetricKind,
        percent: f64,
        maps: Vec<(String, Grid)>,
    ) -> Option<Arc<TopSets>> {
        let key = (Arc::as_ptr(run) as usize, metric, percent.to_bits());
        if let Some((k, receive)) = &self.working
            && let Ok(top) = receive.try_recv()
        {
            self.done = Some((*k, Arc::new(top)));
            self.working = None;
        }
        let newest = self.done.as_ref().is_some_and(|(k, _)| *k == key);
        if !newest && self.working.is_none() {
            if maps.iter().map(|(_, g)| g.values().len()).sum::<usize>() <= 100_000 {
                self.done = Some((key, Arc::new(TopSets::new(&maps, percent))));
            } else {
                let (send, receive) = mpsc::channel();
                let ctx = ctx.clone();
                std::thread::spawn(move || {
                    // The panel may be gone.
                    let _ = send.send(TopSets::new(&maps, percent));
                    ctx.request_repaint();
                });
                self.working = Some((key, receive));
            }
        }
        // While a slider moves, the last answer for the same run and metric stays up.
        self.done.as_ref().filter(|(k, _)| (k.0, k.1) == (key.0, key.1)).map(|(_, t)| t.clone())
    }
}
