//! Do tasks that share neurons help each other? Overlap and likeness of parameters against what learning one task does to another, and the score
//! against the share that trains.

use super::{
    arithmetic::other_arithmetic_ui,
    tasks::TabInfo,
    tasks_lessons::{Training, Work, p_text, percent_text, work_ui},
    tasks_outline::outline_ui,
};
use crate::{
    app::{Command, JobTarget, TransferRequest},
    base::mantel::{Correlation, line},
    gui::{
        Panel, PanelCx,
        export::Subject,
        theme,
        widgets::{
            axis::Axis,
            chart::{Chart, filled, grown},
            control::{bar, caption, choice, remark, room_for},
            curves::{Band, Curve, Curves},
            number::sig3,
            provenance,
            table::{Table, icon_button, twin_switch},
        },
    },
    report::export::View,
    task::{Outcome, Pair, Proportion, Spread, TransferConfig, TransferState, seeds_words},
};
use eframe::egui::{Color32, ScrollArea, Shape, Slider, Stroke, TextEdit, Ui, Vec2, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

pub(super) const TAB: TabInfo = TabInfo {
    id: "generalise",
    title: "Generalise",
    hint: "Whether tasks that share neurons help each other, and how many neurons must train",
    done: |app| app.transfer.as_ref().is_some_and(|v| !v.running && v.state.is_some()),
    make,
};

/// What stands on the horizontal axis.
#[derive(Clone, Copy, PartialEq)]
enum Against {
    Overlap,
    Mean,
    Layer,
}

struct GeneraliseTab {
    training: Training,
    percents: String,
    against: Against,
    layer: usize,
    outcome: Outcome,
    table: bool,
    worked: Option<Worked>,
}

/// Of a pair; `None` where it is undefined.
type Quantity = Box<dyn Fn(&Pair) -> Option<f64>>;

/// What is made of a state, until another comes.
struct Worked {
    of: Arc<TransferState>,
    outcome: Outcome,
    pairs: Vec<Pair>,
    overlap: Option<Correlation>,
    mean: Option<Correlation>,
    layers: Vec<Option<Correlation>>,
    proportions: Vec<Proportion>,
}

fn make() -> Box<dyn Panel> {
    Box::new(GeneraliseTab {
        training: Training::new(1),
        percents: "1, 5, 10, 20, 50, 100".into(),
        against: Against::Overlap,
        layer: 0,
        outcome: Outcome::Gain,
        table: false,
        worked: None,
    })
}

impl Panel for GeneraliseTab {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ScrollArea::vertical().id_salt("generalise").auto_shrink([false, false]).show(ui, |ui| {
            self.controls_ui(ui, cx);
            let app = cx.app;
            let Some(view) = &app.transfer else {
                outline_ui(
                    ui,
                    cx,
                    TAB.id,
                    "Each domain's neurons are trained from the model as it is, and every domain is judged: what learning one does to the others, held against what \
                     their neurons have in common.",
                );
                return;
            };
            ui.add_space(theme::GRID);
            match &view.state {
                Some(state) => self.results_ui(ui, cx, state),
                None if view.running => remark(ui, cx.theme, "The rows are being read."),
                None => {}
            }
        });
    }
    fn exports(&self) -> Option<(View, Subject)> {
        Some((View::Transfer, Subject::default()))
    }
}

impl GeneraliseTab {
    fn controls_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.horizontal_wrapped(|ui| {
            self.training.ui(ui, cx);
            room_for(ui, 220.0);
            caption(ui, cx.theme, "shares");
            ui.add(TextEdit::singleline(&mut self.percents).desired_width(150.0).hint_text("1, 10, 50"))
                .accessible_name("Shares that train")
                .on_hover_text("Percent of all neurons; each is trained for every domain");
        });
        let request = self.request(cx);
        let app = cx.app;
        let view = app.transfer.as_ref();
        let work = Work {
            running: view.is_some_and(|v| v.running),
            failed: view.and_then(|v| v.failed.as_ref()),
            target: JobTarget::Transfer,
            start: request.map(|r| Command::Transfer { request: Box::new(r) }),
            words: "Measure transfer",
            again: view.and_then(|v| Some(Command::Transfer { request: Box::new(v.request.clone()?) })),
        };
        work_ui(ui, cx, work);
        if app.project.enabled().count() < 2 {
            remark(ui, cx.theme, "Transfer is from one task to another: switch on at least two domains.");
        }
    }

    fn request(&self, cx: &PanelCx<'_>) -> Option<TransferRequest> {
        let tasks: Vec<String> = cx.app.project.enabled().map(|d| d.name.clone()).collect();
        let words = self.percents.split([',', ' ']).map(str::trim).filter(|w| !w.is_empty());
        let percents = words.map(|w| w.parse::<f64>().ok().filter(|p| *p > 0.0 && *p <= 100.0)).collect::<Option<Vec<f64>>>()?;
        let usual = TransferConfig::default();
        let tune = self.training.config(usual.tune.clone())?;
        let config = TransferConfig { percent: self.training.percent, percents, seeds: self.training.seed_list(), tune, ..usual };
        (tasks.len() > 1).then(|| TransferRequest { tasks, config, rows: Default::default(), out: None })
    }

    /// Permutations are gone through once a state, not once a frame.
    fn work_out(&mut self, state: &Arc<TransferState>) {
        let outcome = self.outcome;
        if self.worked.as_ref().is_some_and(|w| Arc::ptr_eq(&w.of, state) && w.outcome == outcome) {
            return;
        }
        let pairs = state.pairs();
        self.worked = Some(Worked {
            of: state.clone(),
            outcome,
            overlap: state.correlation(&pairs, outcome, |p| Some(p.overlap)),
            mean: state.correlation(&pairs, outcome, |p| p.mean_similarity()),
            layers: (0..state.n_layers).map(|l| state.correlation(&pairs, outcome, |p| p.similarity[l])).collect(),
            proportions: state.proportions(),
            pairs,
        });
    }

    fn results_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, state: &Arc<TransferState>) {
        self.layer = self.layer.min(state.n_layers.saturating_sub(1));
        self.work_out(state);
        let (against, layer, outcome, table) = (&mut self.against, &mut self.layer, &mut self.outcome, &mut self.table);
        let Some(worked) = &self.worked else { return };
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                let options = [
                    (Against::Overlap, "overlap", "Jaccard index of the two tasks' sets"),
                    (Against::Mean, "likeness", "Cosine of the two sets' parameters in the trained model, mean of the layers"),
                    (Against::Layer, "by layer", "The same cosine at one layer"),
                ];
                choice(ui, cx.theme, against, &options);
                if *against == Against::Layer {
                    room_for(ui, 150.0);
                    ui.spacing_mut().slider_width = 80.0;
                    ui.add(Slider::new(layer, 0..=state.n_layers.saturating_sub(1))).accessible_name("Layer");
                }
                let options = [
                    (Outcome::Gain, "change", "Accuracy on the other task minus that of the model as it was"),
                    (Outcome::Score, "score", "Accuracy on the other task"),
                ];
                choice(ui, cx.theme, outcome, &options);
                other_arithmetic_ui(ui, cx, &state.provenance);
            },
            |ui, cx| {
                twin_switch(ui, table, "transfer", || table_of(state, &worked.pairs));
                icon_button(ui, icons::ICON_INFO, "Where these numbers come from", "")
                    .on_hover_ui(|ui| provenance::tooltip_ui(ui, cx.theme, &state.provenance, None));
            },
        );
        if self.table {
            table_of(state, &worked.pairs).ui(ui, cx.theme, "transfer");
            return;
        }
        // A change of the outcome is worked out in the next frame.
        let outcome = worked.outcome;
        if worked.pairs.is_empty() {
            remark(ui, cx.theme, "The first task is being learnt.");
            proportions_ui(ui, cx, state, &worked.proportions);
        } else {
            let (x, title, found): (Quantity, String, Option<Correlation>) = match self.against {
                Against::Overlap => (Box::new(|p: &Pair| Some(p.overlap)), "overlap of the sets (Jaccard)".into(), worked.overlap),
                Against::Mean => (Box::new(Pair::mean_similarity), "cosine of the parameters, mean of layers".into(), worked.mean),
                Against::Layer => {
                    let l = self.layer;
                    (
                        Box::new(move |p: &Pair| p.similarity.get(l).copied().flatten()),
                        format!("cosine of the parameters, layer {l}"),
                        worked.layers[l],
                    )
                }
            };
            let scatter = |ui: &mut Ui, cx: &mut PanelCx<'_>, size| {
                scatter_ui(ui, cx, state, &worked.pairs, outcome, &*x, &title, found, size);
            };
            let mut layer = None;
            if ui.available_width() >= BESIDE {
                let width = (ui.available_width() - APART) / 2.0;
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = APART;
                    ui.vertical(|ui| {
                        ui.set_width(width);
                        scatter(ui, cx, vec2(width, filled(ui, 320.0, AROUND_SCATTER, width)));
                    });
                    ui.vertical(|ui| {
                        ui.set_width(width);
                        layer = layers_ui(ui, cx, worked);
                        proportions_ui(ui, cx, state, &worked.proportions);
                    });
                });
            } else {
                let width = ui.available_width().min(grown(ui, 640.0));
                scatter(ui, cx, vec2(width, (0.55 * ui.available_width()).clamp(200.0, grown(ui, 320.0))));
                layer = layers_ui(ui, cx, worked);
                proportions_ui(ui, cx, state, &worked.proportions);
            }
            if let Some(layer) = layer {
                (self.against, self.layer) = (Against::Layer, layer);
            }
        }
    }
}

/// The scatter plot stands beside the other charts in a panel of this width.
const BESIDE: f32 = 1200.0;
const APART: f32 = 24.0;
/// What is written over and under the scatter plot.
const AROUND_SCATTER: f32 = 130.0;

/// Every ordered pair of tasks, with the least-squares line.
#[expect(clippy::too_many_arguments, reason = "the parts of one chart")]
fn scatter_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    state: &TransferState,
    pairs: &[Pair],
    outcome: Outcome,
    x: &dyn Fn(&Pair) -> Option<f64>,
    title: &str,
    found: Option<Correlation>,
    size: Vec2,
) {
    let names: Vec<&str> = state.tasks().collect();
    let scale = 100.0;
    let dots: Vec<(f64, f64, &Pair)> = pairs.iter().filter_map(|p| Some((x(p)?, scale * p.outcome(outcome), p))).collect();
    let y_title = match outcome {
        Outcome::Gain => "change on the other task (points)",
        Outcome::Score => "accuracy on the other task (%)",
    };
    let said = match found {
        Some(c) => format!(
            "r {:+.2}, {} · Spearman {:+.2}, {} · {} pairs",
            c.pearson,
            p_text(c.pearson_p),
            c.spearman,
            p_text(c.spearman_p),
            c.pairs
        ),
        None if pairs.len() < names.len() * (names.len() - 1) => {
            format!("{} of {} pairs measured", pairs.len(), names.len() * (names.len() - 1))
        }
        None => "undefined: a pair lacks neurons here, or all are alike".to_owned(),
    };
    ui.label(cx.theme.strong(&said));
    remark(ui, cx.theme, seeds_words(&state.pair_seeds(), &state.config.seeds));
    if let Some(c) = found {
        remark(ui, cx.theme, format!("{}; as if pairs were independent p would be {} (t)", c.words(), sig3(c.pearson_p_t)));
    }
    let chart = Chart {
        name: "Pairs of tasks",
        x: padded(dots.iter().map(|d| d.0), title),
        y: padded(dots.iter().map(|d| d.1), y_title),
        size,
        right: 10.0,
    };
    let plot = chart.begin(ui, cx.theme, || said.clone());
    let painter = plot.inside();
    if (plot.y.min..plot.y.max).contains(&0.0) && outcome == Outcome::Gain {
        painter
            .line_segment([plot.at(plot.x.min, 0.0), plot.at(plot.x.max, 0.0)], Stroke::new(1.0, cx.theme.tint(cx.theme.secondary, 0.6)));
    }
    let (xs, ys): (Vec<f64>, Vec<f64>) = dots.iter().map(|d| (d.0, d.1)).unzip();
    if let Some((slope, intercept)) = line(&xs, &ys) {
        let ends = [plot.x.min, plot.x.max].map(|x| plot.at(x, intercept + slope * x));
        painter.extend(Shape::dashed_line(&ends, Stroke::new(1.5, cx.theme.secondary), 6.0, 4.0));
    }
    let over = plot.response.hover_pos();
    let near = over.and_then(|at| {
        let distance = |d: &(f64, f64, &Pair)| plot.at(d.0, d.1).distance(at);
        let (i, d) = dots.iter().map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        (d < 10.0).then_some(i)
    });
    for (i, (x, y, pair)) in dots.iter().enumerate() {
        let at = plot.at(*x, *y);
        // Filled as the task that was learnt, ringed as the one that is judged.
        let (inner, outer) = (cx.domain_colour(names[pair.learnt]), cx.domain_colour(names[pair.judged]));
        painter.circle(at, if near == Some(i) { 5.5 } else { 4.0 }, inner, Stroke::new(2.0, outer));
    }
    if let Some((x, y, pair)) = near.map(|i| dots[i]) {
        painter.circle_stroke(plot.at(x, y), 8.0, Stroke::new(1.5, cx.theme.text));
        let (a, b) = (names[pair.learnt], names[pair.judged]);
        cx.link.hover_pair(a, b);
        let words = format!(
            "learning {a}, judging {b}: {} {}, {:+.1} points, accuracy {:.1} %",
            title,
            sig3(x),
            100.0 * pair.gain,
            100.0 * pair.score
        );
        cx.link.readout(words.clone());
        let _ = y;
        plot.response.on_hover_text(words);
    }
    ui.horizontal_wrapped(|ui| {
        for name in &names {
            room_for(ui, 90.0);
            let (rect, _) = ui.allocate_exact_size(vec2(10.0, 14.0), eframe::egui::Sense::hover());
            ui.painter().circle_filled(rect.center(), 4.0, cx.domain_colour(name));
            ui.label(cx.theme.small(*name));
        }
    });
    remark(ui, cx.theme, "filled: the task that was learnt · ring: the one that is judged · dashed: least squares");
}

fn padded(values: impl Iterator<Item = f64>, title: &str) -> Axis {
    let (lo, hi) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if lo > hi {
        return Axis::linear(0.0, 1.0, title);
    }
    let air = (0.06 * (hi - lo)).max(1e-3);
    Axis::linear(lo - air, hi + air, title)
}

/// Correlation of likeness with the outcome, layer by layer. Gives a layer that was clicked.
fn layers_ui(ui: &mut Ui, cx: &PanelCx<'_>, worked: &Worked) -> Option<usize> {
    if worked.layers.iter().all(Option::is_none) {
        return None;
    }
    ui.add_space(theme::GRID);
    ui.label(cx.theme.group("correlation by layer: likeness of the parameters with the outcome"));
    let of = |pick: fn(&Correlation) -> f64| worked.layers.iter().enumerate().map(|(l, c)| (l as f64, c.as_ref().map(pick))).collect();
    let curve = |name: &str, colour: Color32, dashed: bool, points| Curve { name: name.into(), colour, points, dashed, ghost: false };
    let curves =
        [curve("Pearson", cx.theme.accent, false, of(|c| c.pearson)), curve("Spearman", cx.theme.secondary, true, of(|c| c.spearman))];
    let out = Curves {
        name: "Correlation by layer",
        x: Axis::layers(worked.layers.len()),
        y: Axis::linear(-1.0, 1.0, "correlation"),
        curves: &curves,
        band: None,
        size: vec2(ui.available_width().min(grown(ui, 640.0)), grown(ui, 150.0)),
        mark: None,
        place: None,
    }
    .show(ui, cx.theme);
    // What permutations of the labels seldom give.
    for (l, c) in worked.layers.iter().enumerate() {
        if let Some(c) = c.filter(|c| c.pearson_p <= 0.05) {
            out.plot.inside().circle_stroke(out.plot.at(l as f64, c.pearson), 5.5, Stroke::new(1.5, cx.theme.text));
        }
    }
    remark(ui, cx.theme, "ringed: p ≤ 0.05 by permutation, not corrected for the number of layers · click a layer to see its pairs");
    out.clicked.map(|x| x.round().clamp(0.0, worked.layers.len() as f64 - 1.0) as usize)
}

/// Scores against the share that trains.
fn proportions_ui(ui: &mut Ui, cx: &PanelCx<'_>, state: &TransferState, points: &[Proportion]) {
    let there: Vec<&Proportion> = points.iter().filter(|p| p.inside.is_some()).collect();
    ui.add_space(theme::GRID);
    ui.label(cx.theme.group("accuracy against the share of the neurons that trains"));
    let before: Option<f64> = {
        let all: Option<Vec<f64>> = state.before.iter().map(|b| b.map(|b| b.accuracy())).collect();
        all.and_then(|a| crate::base::stats::mean(&a))
    };
    let (Some(first), Some(last)) = (there.first(), there.last()) else {
        return remark(ui, cx.theme, "A point is drawn once all tasks are trained at its share.");
    };
    let x = if last.percent / first.percent > 4.0 {
        Axis::log(first.percent / 1.2, last.percent * 1.2, "share that trains (%)")
    } else {
        Axis::linear(0.0, last.percent * 1.05, "share that trains (%)")
    };
    let of = |pick: fn(&Proportion) -> Option<Spread>| -> Vec<(f64, Option<f64>)> {
        there.iter().map(|p| (p.percent, pick(p).map(|s| 100.0 * s.mean))).collect()
    };
    let (inside, outside) = (of(|p| p.inside), of(|p| p.outside));
    let start = before.map(|b| 100.0 * b);
    let base: Vec<(f64, Option<f64>)> = there.iter().map(|p| (p.percent, start)).collect();
    let y = Axis::around(inside.iter().chain(&outside).chain(&base).filter_map(|p| p.1), "accuracy (%)");
    let curve = |name: &str, colour: Color32, points, dashed| Curve { name: name.into(), colour, points, dashed, ghost: false };
    let band = Band {
        colour: cx.theme.accent.gamma_multiply(0.16),
        points: there
            .iter()
            .filter_map(|p| p.inside.and_then(|s| Some((p.percent, 100.0 * (s.mean - s.sd?), 100.0 * (s.mean + s.sd?)))))
            .collect(),
    };
    let curves = [
        curve("own task", cx.theme.accent, inside, false),
        curve("other tasks", cx.theme.text, outside, false),
        curve("as it was", cx.theme.secondary, base, true),
    ];
    Curves {
        name: "Accuracy against the share that trains",
        x,
        y,
        curves: &curves,
        band: (band.points.len() > 1).then_some(&band),
        size: vec2(ui.available_width().min(grown(ui, 640.0)), grown(ui, 200.0)),
        mark: Some(state.config.percent),
        place: None,
    }
    .show(ui, cx.theme);
    // Shares are trained one after another: while a seed is under way some have it and some do not.
    let alike = there.iter().all(|p| p.seeds == first.seeds);
    let text = |p: &&Proportion| {
        let seeds = if alike { String::new() } else { format!(" ({})", seeds_words(&p.seeds, &state.config.seeds)) };
        format!("{} %: {} own, {} others{seeds}", sig3(p.percent), percent_text(p.inside), percent_text(p.outside))
    };
    let over = if alike { format!(", {}", seeds_words(&first.seeds, &state.config.seeds)) } else { String::new() };
    let points = there.iter().map(text).collect::<Vec<_>>().join(" · ");
    remark(ui, cx.theme, format!("means over {} tasks{over}; {points}", state.rows.len()));
}

fn table_of(state: &TransferState, pairs: &[Pair]) -> Table {
    let names: Vec<&str> = state.tasks().collect();
    let mut t = Table::new(&[
        ("learnt", false),
        ("judged", false),
        ("overlap", true),
        ("likeness", true),
        ("accuracy, %", true),
        ("change, points", true),
    ]);
    for p in pairs {
        t.row(vec![
            names[p.learnt].to_owned(),
            names[p.judged].to_owned(),
            sig3(p.overlap),
            p.mean_similarity().map_or(String::new(), sig3),
            format!("{:.1}", 100.0 * p.score),
            format!("{:+.1}", 100.0 * p.gain),
        ]);
    }
    t
}
