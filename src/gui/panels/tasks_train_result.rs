//! What a tuning does and did: curves while it runs, every domain before and after, base against tuned, and what changed in the weights.

use super::{
    arithmetic::other_arithmetic_ui,
    map_controls::{MarksCache, scale_kind},
};
use crate::{
    app::{Command, TuneReport, TunedModel, TuningView},
    base::{
        NeuronSet,
        heatmap::{ColourMap, Scale, scale::PERCENTILE},
    },
    gui::{
        Ask, PanelCx, theme,
        widgets::{
            axis::Axis,
            chart::{grown, small_width},
            control::{caption, choice, group, remark},
            curves::{Curve, Curves},
            dumbbell::{Dumbbell, DumbbellRow, Mark},
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            legend::{self, Legend},
            number::{change, count, counted, duration, sig3},
            prepared_map::{MapSource, PreparedMap},
            provenance,
            table::{Fact, Table, facts, icon_button},
        },
    },
    tune::{Ended, TunePoint, WeightChange},
};
use eframe::egui::{Label, Ui, vec2};
use egui_material_icons::icons;
use std::{sync::Arc, time::Duration};

/// What is chosen in the views of a result.
pub struct Outcome {
    accuracy: bool,
    relative: bool,
    view: HeatmapView,
    /// The change that is drawn, and which of its two maps.
    map: Option<(Arc<WeightChange>, bool, Arc<PreparedMap>)>,
    marks: MarksCache,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { accuracy: true, relative: true, view: HeatmapView::default(), map: None, marks: MarksCache::default() }
    }
}

fn judged<'a>(points: &'a [TunePoint], domain: &'a str, accuracy: bool) -> Vec<(f64, Option<f64>)> {
    let value = |p: &TunePoint| {
        let e = p.evaluated.as_ref()?;
        if accuracy { e.accuracy.get(domain).copied() } else { e.loss.get(domain).copied() }
    };
    points.iter().filter_map(|p| Some((p.step as f64, Some(value(p)?)))).collect()
}

/// The same with runs of steps averaged: single batches jump.
fn smoothed(points: &[TunePoint]) -> Vec<(f64, Option<f64>)> {
    let losses: Vec<(f64, f64)> = points.iter().filter_map(|p| Some((p.step as f64, p.loss?))).collect();
    let width = (losses.len() / 60).clamp(1, 50);
    losses
        .chunks(width)
        .map(|c| {
            let n = c.len() as f64;
            (c.iter().map(|p| p.0).sum::<f64>() / n, Some(c.iter().map(|p| p.1).sum::<f64>() / n))
        })
        .collect()
}

/// Loss of the training steps and of the judging rows; accuracy of every domain.
pub fn curves_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: &TuningView, shown: &mut Outcome) {
    let points = &view.points;
    let Some(last) = points.last().map(|p| p.step) else {
        remark(ui, cx.theme, "The model is judged before the first step.");
        return;
    };
    let domains: Vec<String> =
        points.iter().find_map(|p| p.evaluated.as_ref()).map(|e| e.loss.keys().cloned().collect()).unwrap_or_default();
    let steps = view.request.as_ref().map_or(last, |r| r.config.steps).max(last).max(1);
    let x = || Axis::linear(0.0, steps as f64, "step");
    let wide = ui.available_width() > 760.0;
    let width = if wide { (ui.available_width() - 16.0) / 2.0 } else { ui.available_width() };
    let size = vec2(width, grown(ui, 210.0));
    let best = view.report.as_ref().map(|r| r.best_step as f64);
    let loss = |ui: &mut Ui, cx: &mut PanelCx<'_>| {
        let curve = |name: &str, colour, points, dashed| Curve { name: name.to_owned(), colour, points, dashed, ghost: false };
        let curves = [
            curve("training", cx.theme.secondary, smoothed(points), true),
            curve(&view.task, cx.domain_colour(&view.task), judged(points, &view.task, false), false),
        ];
        let values = curves.iter().flat_map(|c| c.points.iter().filter_map(|p| p.1)).collect::<Vec<_>>();
        let chart = Curves {
            name: "Loss while training",
            x: x(),
            y: Axis::around(values, "loss (nat a token)"),
            curves: &curves,
            band: None,
            size,
            mark: best,
            place: None,
        };
        let out = chart.show(ui, cx.theme);
        if let Some((step, Some(v))) = out.hovered.and_then(|i| curves[0].points.get(i)) {
            cx.link.readout(format!("step {step:.0} · training loss {}", sig3(*v)));
        }
    };
    let accuracy = |ui: &mut Ui, cx: &mut PanelCx<'_>, accuracies: bool| {
        let forward = cx.link.hover().domain.clone();
        let curve = |d: &String| Curve {
            name: d.clone(),
            colour: cx.theme.tint(cx.domain_colour(d), if forward.as_ref().is_some_and(|f| f != d) { 0.4 } else { 1.0 }),
            points: judged(points, d, accuracies),
            dashed: false,
            ghost: false,
        };
        let curves: Vec<Curve> = domains.iter().map(curve).filter(|c| !c.points.is_empty()).collect();
        let y = if accuracies {
            Axis::linear(0.0, 1.0, "accuracy (share of questions)")
        } else {
            Axis::around(curves.iter().flat_map(|c| c.points.iter().filter_map(|p| p.1)).collect::<Vec<_>>(), "loss (nat a token)")
        };
        let chart = Curves { name: "Every domain while training", x: x(), y, curves: &curves, band: None, size, mark: best, place: None };
        let out = chart.show(ui, cx.theme);
        if let Some(i) = out.hovered {
            let at = |c: &Curve| c.points.get(i).and_then(|p| Some(format!("{} {}", c.name, sig3(p.1?))));
            let step = curves.first().and_then(|c| c.points.get(i)).map_or(0.0, |p| p.0);
            cx.link.readout(format!("step {step:.0} · {}", curves.iter().filter_map(at).collect::<Vec<_>>().join(" · ")));
        }
    };
    let has = points.iter().any(|p| p.evaluated.as_ref().is_some_and(|e| !e.accuracy.is_empty()));
    let row = ui.horizontal_wrapped(|ui| {
        caption(ui, cx.theme, "every domain's");
        let options = [(true, "accuracy", "Share of questions answered right"), (false, "loss", "Mean cross-entropy, nat a token")];
        ui.add_enabled_ui(has, |ui| choice(ui, cx.theme, &mut shown.accuracy, &options));
        let words = "dashed: mean of the training steps · solid: rows that are never learnt · upright: the step whose weights are kept";
        let fits = small_width(ui, words) <= ui.available_size_before_wrap().x;
        if fits {
            ui.label(cx.theme.small(words));
        }
        (!fits).then_some(words)
    });
    if let Some(words) = row.inner {
        remark(ui, cx.theme, words);
    }
    let accuracies = shown.accuracy && has;
    if wide {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 16.0;
            ui.vertical(|ui| loss(ui, cx));
            ui.vertical(|ui| accuracy(ui, cx, accuracies));
        });
    } else {
        loss(ui, cx);
        accuracy(ui, cx, accuracies);
    }
}

impl Outcome {
    /// The outcome, once there is one.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &TuningView) {
        let Some(report) = &view.report else { return };
        outcome_ui(ui, cx, report);
        let app = cx.app;
        // What is in use must be what is shown.
        let Some(tuned) = app.tuned.as_ref().filter(|t| t.report.overlay_sha256 == report.overlay_sha256) else { return };
        use_ui(ui, cx, tuned);
        self.change_ui(ui, cx, &tuned.change);
    }

    /// How far each neuron's weights moved.
    fn change_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, change: &Arc<WeightChange>) {
        group(ui, cx.theme, "WHAT CHANGED IN THE WEIGHTS");
        ui.horizontal_wrapped(|ui| {
            let options = [
                (true, "relative", "Length of the change of a neuron's weights, as a share of their length in the base"),
                (false, "absolute", crate::tune::change::FORMULA),
            ];
            choice(ui, cx.theme, &mut self.relative, &options);
            let untouched = format!("{} untouched to the last bit", counted(change.untouched as u64, "neuron"));
            ui.label(cx.theme.small(untouched));
        });
        let grid = if self.relative { &change.relative } else { &change.neurons };
        let map = match &self.map {
            Some((of, relative, map)) if Arc::ptr_eq(of, change) && *relative == self.relative => map.clone(),
            _ => {
                let map = Arc::new(PreparedMap::new(MapSource::plain(grid)));
                self.map = Some((change.clone(), self.relative, map.clone()));
                map
            }
        };
        let kind = scale_kind(cx.app.project.view.scale);
        self.marks.follow(cx, false);
        let summary = map.summary(PERCENTILE);
        let scale = Scale::fit(&summary, kind, false);
        let colours: ColourMap = cx.app.settings.preferences.colours;
        let (what, unit) = if self.relative { ("relative weight change", "share") } else { ("weight change", "length") };
        let hover = cx.link.hover().clone();
        let selection = &cx.app.project.view.selection;
        let mut hovered = None;
        ui.allocate_ui(vec2(ui.available_width(), grown(ui, 220.0)), |ui| {
            let input = HeatmapInput {
                map: &map,
                scale,
                colours,
                off: &self.marks.off,
                selected: selection,
                marks_version: self.marks.version,
                what,
                unit,
                columns: Columns::Neurons,
                ordered: "",
                bare: false,
                pinned: &[],
                crosshair: false,
                hovered_layer: hover.layer,
                hovered_neuron: hover.neuron,
                reveal: cx.link.revealing(),
            };
            let out = self.view.ui(ui, cx.theme, cx.gpu, &input);
            if let Some(n) = out.pointed {
                hovered = map.grid.get(n.layer as usize, n.index as usize);
                cx.link.hover_neuron(n);
                cx.link.readout(format!("{n} · {what} {}", hovered.map_or("none".into(), |v| sig3(f64::from(v)))));
            }
            if let Some(n) = out.clicked {
                cx.link.focus_neuron = Some(n);
                cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([n]) });
            }
            if let Some(neurons) = out.brushed {
                cx.send(Command::SelectNeurons { neurons });
            }
            if let Some(neuron) = out.toggled {
                cx.send(Command::ToggleNeuron { neuron });
            }
        });
        ui.allocate_ui(vec2(ui.available_width(), legend::HEIGHT), |ui| {
            Legend { name: "Weight change of each neuron", unit, scale: &scale, map: colours, has_nan: false, hovered }.show(ui, cx.theme);
        });
        let table = matrix_table(change);
        table.ui(ui, cx.theme, "change by matrix");
    }
}

fn matrix_table(change: &WeightChange) -> Table {
    let mut t = Table::new(&[("matrix", false)]);
    for title in ["length of the change", "of the base", "share, %"] {
        t.column(title, true);
    }
    for m in &change.matrices {
        let share = if m.norm > 0.0 { sig3(100.0 * m.change / m.norm) } else { "–".into() };
        t.row(vec![m.matrix.name().into(), sig3(m.change), sig3(m.norm), share]);
    }
    t
}

fn ended_words(r: &TuneReport) -> String {
    match r.ended {
        Ended::Finished => format!("all {} made", counted(r.steps as u64, "step")),
        Ended::Early => format!("stopped early after {}: no judgement got better", counted(r.steps as u64, "step")),
        Ended::Cancelled => format!("stopped after {}", counted(r.steps as u64, "step")),
    }
}

/// Every domain before and after, and what it took.
fn outcome_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, r: &TuneReport) {
    group(ui, cx.theme, "BEFORE AND AFTER");
    let table = before_after(r);
    ui.horizontal_wrapped(|ui| {
        let share = 100.0 * r.trained as f64 / r.parameters.max(1) as f64;
        let words =
            format!("{} of {} scalars trained ({} %); {}", count(r.trained as u64), count(r.parameters), sig3(share), ended_words(r));
        ui.add(Label::new(cx.theme.strong(words)).wrap());
        other_arithmetic_ui(ui, cx, &r.provenance);
        if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the result as a table", "Tab-separated").clicked() {
            cx.link.ask(Ask::Copy(table.tsv()));
        }
    });
    let p = &r.provenance;
    let list = [
        Fact::new("kept", format!("the weights of step {}, judged best", r.best_step)),
        Fact::new("learnt", format!("{} of {}; judged on {}", counted(r.train_lines.len() as u64, "row"), r.task, r.judged_on)),
        Fact::new("took", format!("{}, {}", duration(Duration::from_secs_f64(r.seconds.clamp(0.0, 1e9))), counted(r.tokens, "token"))),
        Fact::copied("made by", provenance::short(p), provenance::text(p, None)),
        Fact::copied("command", p.command.clone(), p.command.clone()),
    ];
    let numbers = |ui: &mut Ui, cx: &PanelCx<'_>| {
        table.ui(ui, cx.theme, "domains before and after");
        facts(ui, cx.theme, &list);
    };
    if ui.available_width() < BESIDE || r.after.accuracy.is_empty() {
        return numbers(ui, cx);
    }
    let width = (ui.available_width() - 24.0) / 2.0;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 24.0;
        ui.vertical(|ui| {
            ui.set_width(width);
            numbers(ui, cx);
        });
        ui.vertical(|ui| accuracies_ui(ui, cx, r, width));
    });
}

/// The table has the same as a chart beside it in a panel of this width.
const BESIDE: f32 = 1200.0;

/// Accuracy of every domain before and after.
fn accuracies_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, r: &TuneReport, width: f32) {
    let mark = |v: Option<&f64>| v.map(|&value| Mark { value, interval: None });
    let row = |name: &String| {
        let (before, after) = (r.before.accuracy.get(name), r.after.accuracy.get(name));
        let text = |v: Option<&f64>| v.map_or_else(|| "not measured".to_owned(), |v| sig3(*v));
        DumbbellRow {
            name: name.clone(),
            colour: cx.domain_colour(name),
            before: mark(before),
            after: mark(after),
            predicted: None,
            control: None,
            chance: None,
            cells: Vec::new(),
            folded: String::new(),
            summary: format!("{name}: accuracy before {}, after {}", text(before), text(after)),
            scored: 1.0,
        }
    };
    let rows: Vec<DumbbellRow> = r.after.accuracy.keys().map(row).collect();
    let marked = cx.link.hover().domain.clone();
    let chart = Dumbbell {
        name: "Accuracy before and after",
        axis: Axis::linear(0.0, 1.0, "accuracy (share of questions answered right)"),
        rows: &rows,
        columns: &[],
        width,
        row: grown(ui, 22.0),
        marked: marked.as_deref(),
        control: false,
        chance: false,
        predicted: false,
    };
    if let Some(i) = chart.show(ui, cx.theme) {
        cx.link.hover_domain(&rows[i].name);
        cx.link.readout(rows[i].summary.clone());
    }
}

fn before_after(r: &TuneReport) -> Table {
    let mut t = Table::new(&[("domain", false)]);
    for title in ["accuracy before", "after", "change", "loss before", "loss after"] {
        t.column(title, true);
    }
    let text = |v: Option<&f64>| v.map_or_else(|| "–".to_owned(), |v| sig3(*v));
    for name in r.before.loss.keys() {
        let (b, a) = (r.before.accuracy.get(name), r.after.accuracy.get(name));
        let name_shown = if *name == r.task { format!("{name} (trained)") } else { name.clone() };
        let moved = b.zip(a).map_or_else(|| "–".to_owned(), |(b, a)| change(a - b));
        t.row(vec![name_shown, text(b), text(a), moved, text(r.before.loss.get(name)), text(r.after.loss.get(name))]);
    }
    t
}

/// Base or tuned, and the ways to keep it.
fn use_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, tuned: &TunedModel) {
    group(ui, cx.theme, "THE TUNED MODEL");
    ui.horizontal_wrapped(|ui| {
        caption(ui, cx.theme, "computes");
        let mut on = tuned.on;
        let options = [(false, "base", "The model as it was opened"), (true, "tuned", "The same with the overlay on it")];
        if choice(ui, cx.theme, &mut on, &options) {
            cx.send(Command::UseTuned { on });
        }
        ui.add_space(theme::GRID);
        if ui.button("Save as a model…").on_hover_text("A folder that other tools load: config, tokenizer, weights in f32").clicked() {
            cx.link.ask(Ask::SaveTuned(crate::app::TunedFile::Model));
        }
        let adapter = ui.add_enabled(tuned.is_adapter(), eframe::egui::Button::new("Save as a PEFT adapter…"));
        let adapter = adapter.on_disabled_hover_text("Only a LoRA tuning is an adapter");
        if adapter.on_hover_text("adapter_config.json and adapter_model.safetensors").clicked() {
            cx.link.ask(Ask::SaveTuned(crate::app::TunedFile::Adapter));
        }
    });
    remark(
        ui,
        cx.theme,
        format!("Overlay and report: {}. Scan with the tuned model in use for its maps; Maps compares two runs.", tuned.folder.display()),
    );
}
