//! All pairs of samples at one layer: the square, the means of its blocks, and the two texts behind a cell.

use super::{
    similarity::{order_choice, view_choice},
    worker::{Stands, Worker},
};
use crate::{
    app::{Command, JobState, JobTarget, JobView, PanelView, RunEntry, SamplesCost},
    base::dendrogram::Tree,
    gui::{
        PanelCx, theme,
        widgets::{
            control::{SLIDER_HEIGHT, bar, caption, remark, room_for},
            matrix::{Matrix, names_width, sequential},
            number::{bytes, count, counted, sig3},
            provenance,
            sample_matrix::{SampleMatrix, SampleMatrixView},
            states::{failed_ui, job_line_ui, working_ui},
            table::{Table, icon_button, twin_switch},
        },
    },
    scan::{MetricKind, SampleSimilarity},
};
use eframe::egui::{self, Color32, Label, RichText, ScrollArea, Slider, Ui, Vec2, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

pub struct SamplesState {
    /// Of each domain, for the next request.
    samples: usize,
    table: bool,
    /// Two samples whose texts are read, by their numbers.
    pair: Option<(usize, usize)>,
    view: SampleMatrixView,
    worker: Worker<DrawnKey, Drawn>,
    drawn: Option<Arc<Drawn>>,
}

impl Default for SamplesState {
    fn default() -> Self {
        Self { samples: 64, table: false, pair: None, view: SampleMatrixView::default(), worker: Worker::default(), drawn: None }
    }
}

/// Lower than this, the matrix and the texts of a pair do not stand under each other.
const LOW: f32 = 330.0;

/// Address of the matrices, layer, whether clustered.
#[derive(Clone, Copy, PartialEq)]
struct DrawnKey(usize, usize, bool);

impl Stands for DrawnKey {
    fn stands_for(&self, other: &Self) -> bool {
        self == other
    }
}

/// What is worked out of one layer.
struct Drawn {
    /// Keeps its address, which is the key, taken.
    _of: Arc<SampleSimilarity>,
    clustered: bool,
    /// Sample in each row.
    order: Vec<usize>,
    /// Off the diagonal.
    range: (f64, f64),
    means: Vec<Option<f64>>,
}

impl Drawn {
    fn new(of: &Arc<SampleSimilarity>, layer: usize, clustered: bool) -> Self {
        let n = of.n();
        // A pair without a value counts as unlike.
        let distance = |i: usize, j: usize| 1.0 - of.cosine(layer, i, j).map_or(0.0, f64::from);
        let order = if clustered { Tree::average_linkage(n, distance).order } else { (0..n).collect() };
        let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in (0..n).flat_map(|a| (0..a).map(move |b| (a, b))).filter_map(|(a, b)| of.cosine(layer, a, b)) {
            (lo, hi) = (lo.min(f64::from(v)), hi.max(f64::from(v)));
        }
        let range = if lo < hi { (lo, hi) } else { (0.0, 1.0) };
        Self { _of: of.clone(), clustered, order, range, means: of.block_means(layer) }
    }
}

/// The newest comparison in the list of jobs.
fn job<'a>(cx: &PanelCx<'a>) -> Option<&'a JobView> {
    cx.app.last_job(|t| *t == JobTarget::Samples)
}

/// The layer that was chosen; else one that is there, else the middle one.
fn shown_layer(cx: &PanelCx<'_>, run: &RunEntry) -> usize {
    let there = || run.samples.as_ref().and_then(|s| s.layers.keys().last().copied());
    let last = run.output.n_layers.saturating_sub(1);
    cx.app.project.view.sample_layer.or_else(there).unwrap_or(run.output.n_layers / 2).min(last)
}

impl SamplesState {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry) {
        let layer = shown_layer(cx, run);
        let made = run.samples.as_ref().filter(|s| s.layers.contains_key(&layer));
        self.controls_ui(ui, cx, run, layer, made);
        match (made, job(cx)) {
            (Some(s), job) => {
                if let Some(job) = job.filter(|j| j.state == JobState::Running) {
                    job_line_ui(ui, cx, Some(job), "Cancel", "The layers that are there stay", "");
                }
                self.matrix_ui(ui, cx, run, s, layer);
            }
            (None, Some(job)) if job.state == JobState::Running => working_ui(ui, cx, job),
            (None, Some(JobView { state: JobState::Failed(message), .. })) => {
                if failed_ui(ui, cx, "The samples could not be compared", message, "Compare again") {
                    self.ask(cx, vec![layer]);
                }
            }
            (None, _) => self.empty_ui(ui, cx, run, layer),
        }
    }

    fn ask(&self, cx: &mut PanelCx<'_>, layers: Vec<usize>) {
        cx.send(Command::SampleSimilarity { layers, samples: self.samples, domains: Vec::new(), out: None });
    }

    fn controls_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, layer: usize, made: Option<&Arc<SampleSimilarity>>) {
        let last = run.output.n_layers.saturating_sub(1);
        let table = &mut self.table;
        bar(
            ui,
            2,
            cx,
            |ui, cx| {
                view_choice(ui, cx);
                order_choice(ui, cx);
                room_for(ui, 190.0);
                caption(ui, cx.theme, "layer");
                let mut chosen = layer;
                let row = std::mem::replace(&mut ui.spacing_mut().interact_size.y, SLIDER_HEIGHT);
                let wide = (ui.available_width() - 70.0).clamp(60.0, 140.0);
                let usual = std::mem::replace(&mut ui.spacing_mut().slider_width, wide);
                ui.name_inputs("Layer of the samples", |ui| ui.add(Slider::new(&mut chosen, 0..=last.max(1))));
                ui.spacing_mut().slider_width = usual;
                ui.spacing_mut().interact_size.y = row;
                if chosen.min(last) != layer {
                    cx.send(Command::SetPanelView { view: PanelView::SampleLayer(chosen.min(last)) });
                }
                if let Some(s) = run.samples.as_ref() {
                    let layers: Vec<String> = s.layers.keys().map(ToString::to_string).collect();
                    let words = if layers.len() == run.output.n_layers {
                        "all layers".to_owned()
                    } else {
                        format!("computed: {}", layers.join(", "))
                    };
                    ui.add(Label::new(cx.theme.small(words)).truncate()).on_hover_text("Layers whose matrix is there");
                }
            },
            |ui, _| {
                if let Some(s) = made {
                    twin_switch(ui, table, "samples", || blocks_table(s, layer));
                }
            },
        );
    }

    /// Nothing there for this layer: what it is, what it takes, and the button.
    fn empty_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, layer: usize) {
        let most = run.output.domains.iter().map(|d| d.samples).max().unwrap_or(64).max(1);
        self.samples = self.samples.min(most);
        let cost = cx.app.samples_cost(&[layer], self.samples, &[]);
        let all: Vec<usize> = (0..run.output.n_layers).collect();
        let all_cost = cx.app.samples_cost(&all, self.samples, &[]);
        let space = ui.available_rect_before_wrap();
        let width = (space.width() - 32.0).clamp(120.0, 440.0);
        let rect = egui::Rect::from_min_size(
            egui::pos2(space.center().x - width / 2.0, space.top() + ((space.height() - 190.0) / 2.0).clamp(8.0, 240.0)),
            vec2(width, 190.0),
        );
        ui.scope_builder(egui::UiBuilder::new().max_rect(rect).layout(egui::Layout::top_down(egui::Align::Center)), |ui| {
            ui.label(icons::ICON_GRID_VIEW.rich_text().size(28.0).color(cx.theme.secondary));
            ui.add_space(theme::GRID);
            ui.label(
                cx.theme.faint(format!("How alike does every sample use the weights of layer {layer} as every other? Not compared yet.")),
            );
            let Some(cost) = cost else {
                ui.label(cx.theme.small("Open the model that this run is of to compare its samples."));
                return;
            };
            ui.add_space(theme::GRID);
            ui.horizontal(|ui| {
                ui.add_space(((ui.available_width() - 260.0) / 2.0).max(0.0));
                caption(ui, cx.theme, "samples of each domain");
                ui.name_inputs("Samples of each domain", |ui| ui.add(egui::DragValue::new(&mut self.samples).range(1..=most)));
            });
            let words = ui.label(cx.theme.small(cost_words(&cost)));
            if let Ok(pace) = &cost.pace {
                words.on_hover_text(pace.assumed());
            }
            ui.add_space(2.0 * theme::GRID);
            let busy = cost.too_much();
            let pressed = ui.add_enabled(!busy, cx.theme.primary(format!("Compute layer {layer}"))).clicked();
            if busy {
                let words = format!(
                    "Needs {} and {} are allowed: choose fewer samples.",
                    bytes(cost.estimate.least_bytes),
                    bytes(cost.allowed_bytes)
                );
                ui.label(RichText::new(words).color(cx.theme.warn));
            }
            let mut layers = pressed.then(|| vec![layer]);
            if let Some(c) = all_cost.filter(|c| !c.too_much() && all.len() > 1) {
                ui.add_space(theme::GRID);
                let words = format!("All {} layers", all.len());
                if ui.button(words).on_hover_text(cost_words(&c)).clicked() {
                    layers = Some(all);
                }
            }
            if let Some(layers) = layers {
                self.ask(cx, layers);
            }
        });
    }

    fn matrix_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, s: &Arc<SampleSimilarity>, layer: usize) {
        let clustered = cx.app.project.view.clustered;
        let of = s.clone();
        // Clustering goes through every pair about four times.
        let steps = if clustered { 4 } else { 1 } * s.n() * s.n();
        let key = DrawnKey(Arc::as_ptr(s) as usize, layer, clustered);
        self.drawn = self.worker.get(ui.ctx(), key, steps, move || Drawn::new(&of, layer, clustered));
        self.pair = self.pair.filter(|(a, b)| *a < s.n() && *b < s.n());
        if self.table {
            blocks_table(s, layer).ui(ui, cx.theme, "blocks");
            return;
        }
        if self.drawn.is_none() {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        }
        let room = ui.available_size();
        // Texts are read in lines: they need width more than height.
        if room.x > room.y * 1.15 && room.x > 560.0 {
            let side = (room.y + 90.0).min(room.x * 0.6);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 16.0;
                ui.vertical(|ui| {
                    ui.set_width(side);
                    self.square_ui(ui, cx, run, s, layer, vec2(side, room.y));
                });
                ui.vertical(|ui| self.pair_ui(ui, cx, run, s, layer));
            });
        } else if room.y < LOW {
            // Room for one of both: the texts take the matrix's place until they are closed.
            if self.pair.is_some() {
                self.pair_ui(ui, cx, run, s, layer);
            } else {
                self.square_ui(ui, cx, run, s, layer, room);
            }
        } else {
            let height = (room.y * 0.62).max(room.y - 260.0);
            self.square_ui(ui, cx, run, s, layer, vec2(room.x, height));
            ui.add_space(theme::GRID);
            self.pair_ui(ui, cx, run, s, layer);
        }
    }

    fn square_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, s: &Arc<SampleSimilarity>, layer: usize, size: Vec2) {
        let Some(drawn) = &self.drawn else { return };
        let order = &drawn.order;
        let domain = |row: usize| s.place(order[row]).map_or(0, |p| p.0);
        let domains: Vec<Color32> = s.domains.iter().map(|d| cx.domain_colour(&d.name)).collect();
        let colours: Vec<Color32> = (0..order.len()).map(|r| domains[domain(r)]).collect();
        let blocks: Vec<(std::ops::Range<usize>, String)> =
            if drawn.clustered { Vec::new() } else { s.ranges().into_iter().zip(s.domains.iter().map(|d| d.name.clone())).collect() };
        let row_of = |sample: usize| order.iter().position(|&o| o == sample);
        let square = SampleMatrix {
            name: &format!("Similarity of samples at layer {layer}"),
            version: (Arc::as_ptr(s) as usize, 2 * layer + usize::from(drawn.clustered)),
            n: order.len(),
            value: &|r, c| s.cosine(layer, order[r], order[c]),
            colours: &colours,
            blocks: &blocks,
            row: &|r| name_of(s, order[r]),
            selected: self.pair.and_then(|(a, b)| Some((row_of(a)?, row_of(b)?))),
            range: drawn.range,
            map: sequential(cx.app.settings.preferences.colours),
            size,
        };
        let out = self.view.ui(ui, cx.theme, &square);
        if let Some((r, c)) = out.hovered {
            let (a, b) = (order[r], order[c]);
            let value = s.cosine(layer, a, b).map_or("undefined (a norm is 0)".to_owned(), |v| sig3(f64::from(v)));
            cx.link.readout(format!("layer {layer} · {} and {} · LLMDcos {value} · {}", name_of(s, a), name_of(s, b), run.name));
            cx.link.hover_layer(layer);
            if let (Some(x), Some(y)) = (s.place(a), s.place(b)) {
                cx.link.hover_pair(&s.domains[x.0].name, &s.domains[y.0].name);
            }
        }
        if let Some((r, c)) = out.clicked {
            self.pair = Some((order[r], order[c]));
        }
    }

    fn pair_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, s: &Arc<SampleSimilarity>, layer: usize) {
        let Some((a, b)) = self.pair else {
            self.blocks_ui(ui, cx, s, layer);
            return;
        };
        let mut closed = false;
        ui.horizontal(|ui| {
            let (icon, more) = if ui.available_height() < LOW {
                (icons::ICON_ARROW_BACK, "Back to the matrix")
            } else {
                (icons::ICON_CLOSE, "Back to the means of the blocks")
            };
            closed = icon_button(ui, icon, "Close the texts", more).clicked();
            let value = s.cosine(layer, a, b).map_or("undefined: a norm is 0".to_owned(), |v| sig3(f64::from(v)));
            let words = cx.theme.strong(format!("LLMDcos {value} at layer {layer}"));
            ui.add(Label::new(words).truncate()).on_hover_ui(|ui| provenance::tooltip_ui(ui, cx.theme, &s.provenance, None));
        });
        if closed {
            self.pair = None;
        }
        let by_layer: Vec<String> =
            s.layers.keys().filter_map(|&l| Some(format!("layer {l}: {}", sig3(f64::from(s.cosine(l, a, b)?))))).collect();
        if by_layer.len() > 1 {
            remark(ui, cx.theme, by_layer.join(" · "));
        }
        let wide = ui.available_width() > 420.0;
        let both = [a, b].map(|i| (i, name_of(s, i), s.place(i)));
        let text_ui = |ui: &mut Ui, cx: &PanelCx<'_>, (i, name, place): &(usize, String, Option<(usize, usize)>)| {
            let Some((d, m)) = *place else { return };
            let domain = &s.domains[d];
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 20.0), egui::Sense::hover());
                ui.painter().circle_filled(rect.center(), 4.0, cx.domain_colour(&domain.name));
                // Older files do not say how long a sample could be.
                let known = domain.source.longest > 0;
                let longest = if known { domain.source.longest } else { s.config.max_tokens };
                let cut = if domain.tokens[m] >= longest && (!known || domain.source.cut > 0) { ", cut" } else { "" };
                let words = format!("{name} · {}{cut}", counted(domain.tokens[m] as u64, "token"));
                ui.add(Label::new(cx.theme.faint(words)).truncate())
                    .on_hover_text("As the model read it: cut to the scan's longest sequence");
            });
            egui::Frame::NONE.fill(cx.theme.raised).corner_radius(4.0).inner_margin(8.0).show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.push_id(("text", *i), |ui| {
                    ui.add(Label::new(RichText::new(&domain.texts[m]).color(cx.theme.text)).wrap().selectable(true))
                });
            });
        };
        ScrollArea::vertical().id_salt("texts").auto_shrink([false, false]).show(ui, |ui| {
            if wide && a != b {
                ui.columns(2, |columns| {
                    for (ui, one) in columns.iter_mut().zip(&both) {
                        text_ui(ui, cx, one);
                    }
                });
            } else {
                text_ui(ui, cx, &both[0]);
                if a != b {
                    ui.add_space(theme::GRID);
                    text_ui(ui, cx, &both[1]);
                }
            }
            ui.add_space(theme::GRID);
            remark(ui, cx.theme, format!("{} · {}", run.name, provenance::short(&s.provenance)));
        });
    }

    /// Means of the blocks, until two samples are chosen.
    fn blocks_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, s: &SampleSimilarity, layer: usize) {
        let Some(drawn) = &self.drawn else { return };
        ui.add(Label::new(cx.theme.strong("Mean of every block")).truncate());
        let words = format!(
            "{} of {}, every pair exact; the diagonal left out. Click a cell of the large matrix to read its two texts.",
            counted(s.n() as u64, "sample"),
            counted(s.domains.len() as u64, "domain")
        );
        remark(ui, cx.theme, words);
        let labels: Vec<(String, Color32)> = s.domains.iter().map(|d| (d.name.clone(), cx.domain_colour(&d.name))).collect();
        let values = drawn.means.iter().flatten().copied();
        let (lo, hi) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
        let (n, theme) = (labels.len(), cx.theme);
        let room = ui.available_size();
        if room.y < 120.0 || room.x < names_width(ui, &labels) + 14.0 * n as f32 + 50.0 {
            return;
        }
        let tip = |ui: &mut Ui, r: usize, c: usize| {
            let value = drawn.means[r * n + c].map_or("undefined".to_owned(), sig3);
            ui.label(theme.strong(format!("{} and {}   {value}", labels[r].0, labels[c].0)));
            let (a, b) = (s.domains[r].tokens.len(), s.domains[c].tokens.len());
            let pairs = if r == c { a * a.saturating_sub(1) / 2 } else { a * b };
            ui.label(theme.small(format!("mean LLMDcos of {} pairs of samples at layer {layer}", count(pairs as u64))));
            ui.label(theme.small(MetricKind::Llmdcos.info().formula));
        };
        let hover = cx.link.hover().pair.clone();
        let place = |name: &str| labels.iter().position(|l| l.0 == name);
        let matrix = Matrix {
            tip: &tip,
            name: "Means of the blocks",
            labels: &labels,
            values: &drawn.means,
            selected: None,
            marked: hover.and_then(|(a, b)| Some((place(&a)?, place(&b)?))),
            range: if lo < hi { (lo, hi) } else { (0.0, 1.0) },
            unit: "mean LLMDcos",
            map: sequential(cx.app.settings.preferences.colours),
            size: room.min(Vec2::splat(420.0)),
        };
        if let Some((r, c)) = matrix.show(ui, cx.theme).hovered {
            cx.link.hover_pair(&labels[r].0, &labels[c].0);
            let value = drawn.means[r * n + c].map_or("undefined".to_owned(), sig3);
            cx.link.readout(format!("layer {layer} · {} and {} · mean LLMDcos of all pairs {value}", labels[r].0, labels[c].0));
        }
    }
}

/// `logic, line 7`
fn name_of(s: &SampleSimilarity, sample: usize) -> String {
    let Some((d, m)) = s.place(sample) else { return format!("sample {sample}") };
    let domain = &s.domains[d];
    match domain.source.sample_lines.get(m) {
        Some(line) => format!("{}, line {line}", domain.name),
        None => format!("{}, sample {m}", domain.name),
    }
}

fn cost_words(cost: &SamplesCost) -> String {
    let n = cost.estimate.samples as u64;
    let seconds = cost.time_words().map_or_else(String::new, |time| format!("{time}, "));
    format!(
        "{}, {} pairs: {seconds}{} of memory beside the model",
        counted(n, "sample"),
        count(n * n.saturating_sub(1) / 2),
        bytes(cost.estimate.fast_bytes)
    )
}

fn blocks_table(s: &SampleSimilarity, layer: usize) -> Table {
    let mut table = Table::new(&[("a", false), ("b", false), ("samples of a", true), ("samples of b", true), ("mean LLMDcos", true)]);
    let (n, means) = (s.domains.len(), s.block_means(layer));
    for a in 0..n {
        for b in a..n {
            let (x, y) = (&s.domains[a], &s.domains[b]);
            let mean = means[a * n + b].map_or("undefined".to_owned(), sig3);
            table.row(vec![x.name.clone(), y.name.clone(), x.tokens.len().to_string(), y.tokens.len().to_string(), mean]);
        }
    }
    table
}
