//! Tasks learnt one after another: their order, the accuracy after each, and what is forgotten, method beside method.

use super::{
    arithmetic::other_arithmetic_ui,
    tasks::TabInfo,
    tasks_lessons::{Training, Work, percent_text, work_ui},
    tasks_outline::outline_ui,
};
use crate::{
    app::{Command, ContinualRequest, ContinualView, JobTarget},
    gui::{
        Panel, PanelCx,
        export::Subject,
        theme,
        widgets::{
            axis::Axis,
            chart::grown,
            control::{bar, caption, caption_width, choice, remark, room_for},
            curves::{Curve, Curves},
            labelled_grid::LabelledGrid,
            matrix::sequential,
            number::{counted, sig3},
            provenance,
            table::{ColumnWindow, Table, icon_button, twin_switch},
        },
    },
    report::export::View,
    task::{ContinualConfig, ContinualState, FIGURES, Figure, Method, Spread, seeds_words},
};
use eframe::egui::{Button, ComboBox, DragValue, Key, Modifiers, Response, ScrollArea, Sense, Stroke, StrokeKind, Ui, vec2};
use egui_material_icons::icons;
use std::collections::BTreeSet;

pub(super) const TAB: TabInfo = TabInfo {
    id: "continual",
    title: "Continual",
    hint: "Tasks learnt one after another: what each method learns, and what it forgets",
    done: |app| app.continual.as_ref().is_some_and(|v| !v.running && v.state.is_some()),
    make,
};

struct ContinualTab {
    /// All domains: those that are learnt, in order, then the others.
    order: Vec<String>,
    learnt: BTreeSet<String>,
    methods: BTreeSet<Method>,
    training: Training,
    temperature: f64,
    /// Whose matrix is shown.
    shown: Option<Method>,
    /// `None`: the mean of all.
    seed: Option<u64>,
    table: bool,
}

fn make() -> Box<dyn Panel> {
    Box::new(ContinualTab {
        order: Vec::new(),
        learnt: BTreeSet::new(),
        methods: Method::ALL.into(),
        training: Training::new(3),
        temperature: ContinualConfig::default().temperature,
        shown: None,
        seed: None,
        table: false,
    })
}

impl Panel for ContinualTab {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        self.take_domains(cx);
        ScrollArea::vertical().id_salt("continual").auto_shrink([false, false]).show(ui, |ui| {
            self.controls_ui(ui, cx);
            let app = cx.app;
            let Some(view) = &app.continual else {
                outline_ui(
                    ui,
                    cx,
                    TAB.id,
                    "Each task is learnt from its training rows, in this order. After each, every domain is judged on its test rows: what was learnt before may be forgotten.",
                );
                return;
            };
            ui.add_space(theme::GRID);
            match &view.state {
                Some(state) => self.results_ui(ui, cx, view, state),
                None if view.running => remark(ui, cx.theme, "The rows are being read."),
                None => {}
            }
        });
    }
    fn exports(&self) -> Option<(View, Subject)> {
        Some((View::Continual, Subject::default()))
    }
}

impl ContinualTab {
    /// Domains that came or left; the user's order stays.
    fn take_domains(&mut self, cx: &PanelCx<'_>) {
        let names: Vec<&str> = cx.app.project.enabled().map(|d| d.name.as_str()).collect();
        self.order.retain(|o| names.contains(&o.as_str()));
        for name in names {
            if !self.order.iter().any(|o| o == name) {
                self.order.push(name.to_owned());
                self.learnt.insert(name.to_owned());
            }
        }
        let order = &self.order;
        self.learnt.retain(|l| order.contains(l));
    }

    fn controls_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.horizontal_wrapped(|ui| {
            caption(ui, cx.theme, "order").on_hover_text("Drag a task to its place, or use the arrow keys on it. A click leaves it out of what is learnt; it is judged all the same.");
            self.order_ui(ui, cx);
        });
        ui.horizontal_wrapped(|ui| {
            caption(ui, cx.theme, "methods");
            for method in Method::ALL {
                let on = self.methods.contains(&method);
                let button =
                    Button::selectable(on, method.label()).min_size(vec2(0.0, theme::ROW)).wrap_mode(eframe::egui::TextWrapMode::Extend);
                let response = ui.add(button).on_hover_text(method.words());
                response.widget_info(|| eframe::egui::WidgetInfo::selected(eframe::egui::Role::CheckBox, true, on, method.label()));
                if response.clicked() && !self.methods.remove(&method) {
                    self.methods.insert(method);
                }
            }
        });
        ui.horizontal_wrapped(|ui| {
            self.training.ui(ui, cx);
            if self.methods.contains(&Method::Wncft) {
                room_for(ui, 150.0);
                caption(ui, cx.theme, "temperature");
                ui.add(DragValue::new(&mut self.temperature).range(0.001..=100.0).speed(0.005).max_decimals(3))
                    .accessible_name("Temperature of W-NCFT")
                    .on_hover_text("Of the softmax over cosines between the mean last-layer states of a domain's questions and of each task's training questions");
            }
        });
        let request = self.request().map(|r| Command::Continual { request: Box::new(r) });
        let app = cx.app;
        let view = app.continual.as_ref();
        let work = Work {
            running: view.is_some_and(|v| v.running),
            failed: view.and_then(|v| v.failed.as_ref()),
            target: JobTarget::Continual,
            start: request,
            words: "Learn the tasks",
            again: view.and_then(|v| Some(Command::Continual { request: Box::new(v.request.clone()?) })),
        };
        work_ui(ui, cx, work);
    }

    /// The tasks as chips that can be dragged.
    fn order_ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>) {
        let mut moved: Option<(usize, usize)> = None;
        let mut number = 0;
        for (i, name) in self.order.iter().enumerate() {
            let on = self.learnt.contains(name);
            number += usize::from(on);
            let response = chip_ui(ui, cx, name, on.then_some(number));
            response.dnd_set_drag_payload(Dragged(i));
            if let Some(Dragged(from)) = response.dnd_hover_payload::<Dragged>().as_deref().copied() {
                // Where it would come to stand.
                let side = if from > i { response.rect.left() - 2.0 } else { response.rect.right() + 2.0 };
                ui.painter().vline(side, response.rect.y_range(), Stroke::new(2.0, cx.theme.accent));
            }
            if let Some(dragged) = response.dnd_release_payload::<Dragged>() {
                moved = Some((dragged.0, i));
            }
            if response.has_focus() {
                let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
                if pressed(Key::ArrowLeft) && i > 0 {
                    moved = Some((i, i - 1));
                } else if pressed(Key::ArrowRight) && i + 1 < self.order.len() {
                    moved = Some((i, i + 1));
                }
            }
            if response.clicked() {
                if on {
                    self.learnt.remove(name)
                } else {
                    self.learnt.insert(name.clone())
                };
            }
        }
        if let Some((from, to)) = moved {
            let name = self.order.remove(from);
            self.order.insert(to.min(self.order.len()), name);
        }
    }

    fn request(&self) -> Option<ContinualRequest> {
        let order: Vec<String> = self.order.iter().filter(|o| self.learnt.contains(*o)).cloned().collect();
        if order.is_empty() || self.methods.is_empty() {
            return None;
        }
        let usual = ContinualConfig::default();
        let config = ContinualConfig {
            methods: self.methods.clone(),
            seeds: self.training.seed_list(),
            percent: self.training.percent,
            temperature: self.temperature,
            tune: self.training.config(usual.tune.clone())?,
            ..usual
        };
        Some(ContinualRequest { order, config, rows: Default::default(), out: None })
    }

    fn results_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &ContinualView, state: &ContinualState) {
        let methods: Vec<Method> = Method::ALL.into_iter().filter(|m| state.config.methods.contains(m)).collect();
        // While it runs the matrix that fills is the one to see, until another is chosen.
        let filling = view.lesson.as_ref().filter(|_| view.running).map(|l| l.method);
        let shown = self.shown.filter(|m| methods.contains(m)).or(filling).or_else(|| methods.first().copied());
        let Some(shown) = shown else { return };
        self.seed = self.seed.filter(|s| state.config.seeds.contains(s));
        // Where several matrices fit beside each other nothing has to be chosen: all are seen.
        let (across, width) = beside(ui.available_width(), state.columns());
        let all = across > 1 && methods.len() > 1 && !self.table;
        let table = &mut self.table;
        let (chosen, seed) = (&mut self.shown, &mut self.seed);
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                let mut of = shown;
                if all {
                    ui.label(cx.theme.strong("Every method"));
                } else if ui.available_width() > 520.0 {
                    let options: Vec<(Method, &str, &str)> = methods.iter().map(|&m| (m, m.label(), m.words())).collect();
                    if choice(ui, cx.theme, &mut of, &options) {
                        *chosen = Some(of);
                    }
                } else {
                    let combo = ComboBox::from_id_salt("method").selected_text(of.label()).width(130.0);
                    let inner = combo.show_ui(ui, |ui| {
                        for &m in &methods {
                            if ui.selectable_label(of == m, m.label()).on_hover_text(m.words()).clicked() {
                                *chosen = Some(m);
                            }
                        }
                    });
                    inner.response.accessible_name("Method that is shown");
                }
                if state.config.seeds.len() > 1 {
                    let text = seed.map_or("mean of seeds".to_owned(), |s| format!("seed {s}"));
                    let combo = ComboBox::from_id_salt("seed").selected_text(text).width(110.0);
                    let inner = combo.show_ui(ui, |ui| {
                        ui.selectable_value(seed, None, "mean of seeds");
                        for &s in &state.config.seeds {
                            ui.selectable_value(seed, Some(s), format!("seed {s}"));
                        }
                    });
                    inner.response.accessible_name("Seed that is shown");
                }
                other_arithmetic_ui(ui, cx, &state.provenance);
            },
            |ui, cx| {
                twin_switch(ui, table, "the sequence", || table_of(state));
                icon_button(ui, icons::ICON_INFO, "Where these numbers come from", "")
                    .on_hover_ui(|ui| provenance::tooltip_ui(ui, cx.theme, &state.provenance, None));
                let _ = cx;
            },
        );
        if self.table {
            table_of(state).ui(ui, cx.theme, "continual");
            return;
        }
        if all {
            for row in methods.chunks(across) {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = APART;
                    for &method in row {
                        ui.vertical(|ui| {
                            ui.set_width(width);
                            matrix_ui(ui, cx, state, method, self.seed, true);
                        });
                    }
                });
                ui.add_space(theme::GRID);
            }
            remark(ui, cx.theme, reading(Method::Ncft));
        } else {
            matrix_ui(ui, cx, state, shown, self.seed, false);
            remark(ui, cx.theme, reading(shown));
        }
        if view.running {
            lesson_ui(ui, cx, view, state);
        }
        let weighed = shown == Method::Wncft || all && methods.contains(&Method::Wncft);
        let figures = ui.available_width() - APART - grid_width(state.tasks.len());
        if weighed && figures >= FIGURES.len() as f32 * (FIGURE_WIDTH + FIGURE_GAP) + NAMES_OF_METHODS {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = APART;
                ui.vertical(|ui| {
                    ui.set_width(figures);
                    summary_ui(ui, cx, state);
                });
                ui.vertical(|ui| weights_ui(ui, cx, state));
            });
        } else {
            summary_ui(ui, cx, state);
            if weighed {
                weights_ui(ui, cx, state);
            }
        }
        remark(ui, cx.theme, rows_words(state));
    }
}

/// A chip on its way.
#[derive(Clone, Copy)]
struct Dragged(usize);

/// `2 ● logic`; without a number for what is only judged.
fn chip_ui(ui: &mut Ui, cx: &PanelCx<'_>, name: &str, place: Option<usize>) -> Response {
    let font = eframe::egui::FontId::proportional(theme::BODY);
    let ink = if place.is_some() { cx.theme.text } else { cx.theme.secondary };
    let words = place.map_or(String::new(), |n| n.to_string());
    let (number, label) =
        (ui.painter().layout_no_wrap(words, font.clone(), cx.theme.secondary), ui.painter().layout_no_wrap(name.to_owned(), font, ink));
    let width = number.size().x + label.size().x + 34.0;
    if ui.layout().main_wrap() && ui.available_size_before_wrap().x < width {
        ui.end_row();
    }
    let (rect, response) = ui.allocate_exact_size(vec2(width, theme::ROW), Sense::click_and_drag());
    let spoken = place.map_or(format!("{name}, judged only"), |n| format!("{name}, learnt as number {n}"));
    response.widget_info(|| eframe::egui::WidgetInfo::selected(eframe::egui::Role::CheckBox, true, place.is_some(), &spoken));
    let p = ui.painter();
    let lifted = response.dragged();
    let fill = if lifted {
        cx.theme.tint(cx.theme.accent, 0.25)
    } else if place.is_some() {
        cx.theme.raised
    } else {
        cx.theme.panel
    };
    p.rect(rect, 4.0, fill, cx.theme.hairline_stroke(), StrokeKind::Inside);
    let x = rect.left() + 8.0;
    let after = x + number.size().x + if place.is_some() { 6.0 } else { 0.0 };
    p.galley(eframe::egui::pos2(x, rect.center().y - number.size().y / 2.0), number, cx.theme.secondary);
    let colour = cx.domain_colour(name);
    p.circle_filled(
        eframe::egui::pos2(after + 4.0, rect.center().y),
        4.0,
        if place.is_some() { colour } else { cx.theme.tint(colour, 0.4) },
    );
    p.galley(eframe::egui::pos2(after + 13.0, rect.center().y - label.size().y / 2.0), label, ink);
    if response.has_focus() {
        p.rect_stroke(rect.expand(1.0), 5.0, Stroke::new(1.5, cx.theme.accent), StrokeKind::Outside);
    }
    let response = response.on_hover_cursor(eframe::egui::CursorIcon::Grab);
    match place {
        Some(_) => response.on_hover_text("Drag to its place in the order; a click leaves it out of what is learnt"),
        None => response.on_hover_text("Judged and not learnt; a click takes it in"),
    }
}

/// Space between matrices beside each other.
const APART: f32 = 24.0;

/// Of a grid with so many columns and names before its rows.
fn grid_width(columns: usize) -> f32 {
    130.0 + 72.0 * columns as f32
}

/// How many matrices of so many columns stand beside each other in this room, and how wide: a little narrower than alone where one more fits so.
fn beside(room: f32, columns: usize) -> (usize, f32) {
    let least = 0.92 * grid_width(columns);
    let across = (((room + APART) / (least + APART)) as usize).max(1);
    (across, ((room + APART) / across as f32 - APART).min(grid_width(columns)))
}

/// What rows and frames of a matrix mean.
fn reading(method: Method) -> &'static str {
    if method == Method::Single {
        "rows: the model that learnt it · framed: its own task"
    } else {
        "rows: what was learnt last · framed: right after learning · below the frame: what is left of it"
    }
}

/// Accuracy on every column, before and after each task. `named`: the title says of which method.
fn matrix_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, state: &ContinualState, method: Method, seed: Option<u64>, named: bool) {
    let matrix = match seed {
        Some(s) => state.matrix(method, s).unwrap_or_default(),
        None => state.mean_matrix(method),
    };
    let before = state.before_accuracy();
    let rows: Vec<String> = std::iter::once("nothing learnt".to_owned())
        .chain(state.tasks.iter().enumerate().map(|(i, t)| if method == Method::Single { t.clone() } else { format!("{} {t}", i + 1) }))
        .collect();
    let columns: Vec<_> = state.column_names().map(|c| (c.to_owned(), cx.domain_colour(c))).collect();
    let values: Vec<Option<f64>> = before.iter().copied().chain(matrix.iter().flatten().copied()).collect();
    let m = columns.len();
    let spread = |r: usize, c: usize| {
        let of = |s: &u64| if r == 0 { before[c] } else { state.matrix(method, *s)?[r - 1][c] };
        Spread::of(&state.config.seeds.iter().filter_map(of).collect::<Vec<_>>())
    };
    let tip = |ui: &mut Ui, r: usize, c: usize| {
        let after = if r == 0 { "before anything is learnt".to_owned() } else { format!("after {}", state.tasks[r - 1]) };
        ui.label(format!("{} {after}", columns[c].0));
        ui.label(format!("accuracy {} %", percent_text(spread(r, c))));
        if let (Some(v), Some(b), true) = (values.get(r * m + c).copied().flatten(), before[c], r > 0) {
            ui.label(format!("{:+.1} points from the model as it was", 100.0 * (v - b)));
        }
        if let Some(n) = state.rows.get(c).map(|r| r.test) {
            ui.label(format!("n {n} test rows"));
        }
    };
    let what = if method == Method::Single { "accuracy of each task's own model, %" } else { "accuracy after each task, %" };
    let of = seed.map_or_else(|| state.mean_seeds(method), |s| vec![s]);
    let seeds = if of.is_empty() { String::new() } else { format!(": {}", seeds_words(&of, &state.config.seeds)) };
    let title = if named { format!("{}: {what}{seeds}", method.label()) } else { format!("{what}{seeds}") };
    ui.add(eframe::egui::Label::new(cx.theme.group(title)).truncate());
    let spoken = format!("Accuracy after each task, {}", method.label());
    let framed = |r: usize, c: usize| r > 0 && r - 1 == c;
    let grid = LabelledGrid {
        name: &spoken,
        rows: &rows,
        columns: &columns,
        values: &values,
        text: &|v| format!("{:.1}", 100.0 * v),
        range: (0.0, 1.0),
        unit: "accuracy",
        map: sequential(cx.app.settings.preferences.colours),
        framed: &framed,
        head_rows: 1,
        width: ui.available_width().min(grid_width(state.columns())),
        tip: &tip,
    };
    if let Some((r, c)) = grid.show(ui, cx.theme) {
        cx.link.hover_domain(&columns[c].0);
        cx.link.readout(format!("{} · {} · {}: {} %", method.label(), rows[r], columns[c].0, percent_text(spread(r, c))));
    }
}

/// The lesson under way.
fn lesson_ui(ui: &mut Ui, cx: &PanelCx<'_>, view: &ContinualView, state: &ContinualState) {
    let Some(lesson) = view.lesson.as_ref().filter(|l| l.points.len() > 2) else { return };
    let name = state.tasks.get(lesson.task).map_or("", String::as_str);
    ui.label(cx.theme.group(format!("learning {name}: {}, seed {}", lesson.method.label(), lesson.seed)));
    let points: Vec<(f64, Option<f64>)> = lesson.points.iter().filter_map(|p| Some((p.step as f64, Some(p.loss?)))).collect();
    let values = points.iter().filter_map(|p| p.1);
    let curves = [Curve { name: "loss".into(), colour: cx.domain_colour(name), points: points.clone(), dashed: false, ghost: false }];
    Curves {
        name: "Loss of the lesson",
        x: Axis::linear(0.0, state.config.tune.steps as f64, "step"),
        y: Axis::around(values, "loss (nat a token)"),
        curves: &curves,
        band: None,
        size: vec2(ui.available_width().min(grown(ui, 560.0)), grown(ui, 130.0)),
        mark: None,
        place: None,
    }
    .show(ui, cx.theme);
}

/// Figures of every method as a small table whose heads explain themselves.
fn summary_ui(ui: &mut Ui, cx: &PanelCx<'_>, state: &ContinualState) {
    let methods: Vec<Method> = Method::ALL.into_iter().filter(|m| state.config.methods.contains(m)).collect();
    let figures: Vec<&Figure> = FIGURES.iter().filter(|f| f.id != "others" || !state.others.is_empty()).collect();
    let seeds = counted(state.config.seeds.len() as u64, "seed");
    // A method that has not learnt with every seed yet shows what it has.
    let whole = methods.iter().all(|&m| state.spread(m, FIGURES[0].of).is_some_and(|s| s.seeds == state.config.seeds.len()));
    let over = if whole { seeds } else { format!("the finished of {seeds}") };
    ui.label(cx.theme.group(format!("after the last task, mean ± sd over {over}")));
    // Columns as wide as what stands in them: a grid would give the last one all the room that is left.
    let right = eframe::egui::Layout::right_to_left(eframe::egui::Align::Center);
    let cell = |ui: &mut Ui, add: &mut dyn FnMut(&mut Ui)| {
        ui.allocate_ui_with_layout(vec2(FIGURE_WIDTH, theme::ROW), right, |ui| {
            ui.set_min_size(vec2(FIGURE_WIDTH, theme::ROW));
            add(ui);
        });
    };
    ui.push_id("figures", |ui| {
        // Whole columns only; those that have no room are a click away.
        let names = methods.iter().map(|m| caption_width(ui, m.label())).fold(0.0, f32::max);
        let widths: Vec<f32> = std::iter::once(names).chain(figures.iter().map(|_| FIGURE_WIDTH)).collect();
        let mut window = ColumnWindow::new(ui, &widths, 1);
        let figures: Vec<&Figure> = window.shown().into_iter().filter_map(|i| i.checked_sub(1)).map(|i| figures[i]).collect();
        let grid = eframe::egui::Grid::new("figures").num_columns(figures.len() + 1).spacing(vec2(FIGURE_GAP, 2.0)).show(ui, |ui| {
            ui.label("");
            for f in &figures {
                cell(ui, &mut |ui| {
                    ui.label(cx.theme.small(f.id)).on_hover_text(f.words);
                });
            }
            ui.end_row();
            for m in methods {
                ui.label(m.label()).on_hover_text(m.words());
                for f in &figures {
                    cell(ui, &mut |ui| {
                        ui.label(cx.theme.mono(f.text(state.spread(m, f.of))));
                    });
                }
                ui.end_row();
            }
        });
        window.foot_ui(ui, cx.theme, grid.response.rect);
    });
}

/// `0.913 ± 0.004` in the font of numbers.
const FIGURE_WIDTH: f32 = 100.0;
const FIGURE_GAP: f32 = 10.0;
const NAMES_OF_METHODS: f32 = 140.0;

/// Which task's update W-NCFT takes for which questions.
fn weights_ui(ui: &mut Ui, cx: &PanelCx<'_>, state: &ContinualState) {
    let learnt = state.tasks.len();
    let values: Vec<Option<f64>> = (0..state.columns())
        .flat_map(|j| {
            let weights = state.weights(j, learnt);
            (0..learnt).map(move |t| weights.as_ref().map(|w| w[t]))
        })
        .collect();
    ui.label(
        cx.theme.group(format!("weight of each task's update for each domain's questions, temperature {}", sig3(state.config.temperature))),
    );
    let rows: Vec<String> = state.column_names().map(|c| format!("for {c}")).collect();
    let columns: Vec<_> = state.tasks.iter().map(|t| (t.clone(), cx.domain_colour(t))).collect();
    let tip = |ui: &mut Ui, r: usize, c: usize| {
        ui.label(format!("cosine {}", state.cosines.get(r).and_then(|row| row.get(c)).map_or("–".to_owned(), |v| sig3(*v))));
    };
    LabelledGrid {
        name: "Weights of the updates",
        rows: &rows,
        columns: &columns,
        values: &values,
        text: &|v| format!("{v:.2}"),
        range: (0.0, 1.0),
        unit: "weight",
        map: sequential(cx.app.settings.preferences.colours),
        framed: &|r, c| r == c,
        head_rows: 0,
        width: ui.available_width().min(grid_width(learnt)),
        tip: &tip,
    }
    .show(ui, cx.theme);
}

fn rows_words(state: &ContinualState) -> String {
    let how = state.rows.first().map_or("", |r| r.words.as_str());
    let counts: Vec<String> = state
        .rows
        .iter()
        .map(|r| {
            if r.train == 0 {
                format!("{} 0 / 0 / {}{}", r.name, r.test, r.cut_words())
            } else {
                format!("{} {} / {} / {}{}", r.name, r.train, r.validation, r.test, r.cut_words())
            }
        })
        .collect();
    format!("rows learnt / stopping / judging: {} ({how})", counts.join(", "))
}

/// Every cell of every method and seed.
fn table_of(state: &ContinualState) -> Table {
    let mut t = Table::new(&[("method", false), ("seed", true), ("after", false)]);
    for name in state.column_names() {
        t.column(format!("{name}, %"), true);
    }
    let cell = |v: &Option<f64>| v.map_or(String::new(), |v| format!("{:.1}", 100.0 * v));
    let mut first = vec!["–".to_owned(), String::new(), "nothing".to_owned()];
    first.extend(state.before_accuracy().iter().map(cell));
    t.row(first);
    for run in &state.runs {
        for (task, cells) in state.tasks.iter().zip(state.matrix(run.method, run.seed).unwrap_or_default()) {
            let mut row = vec![run.method.label().to_owned(), run.seed.to_string(), task.clone()];
            row.extend(cells.iter().map(cell));
            t.row(row);
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_give_up_a_little_width_for_one_more_beside_them() {
        let alone = grid_width(6);
        // The panel of a 4K window.
        let (across, width) = beside(1680.0, 6);
        assert!(across == 3 && width < alone && 3.0 * width + 2.0 * APART <= 1680.0, "{across} of {width}");
        assert_eq!(beside(1200.0, 6), (2, alone));
        assert_eq!(beside(700.0, 6), (1, alone));
    }
}
