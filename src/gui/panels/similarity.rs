//! LLMDcos: how alike two domains' parameter activations are. A domain x domain matrix over a range of layers with its dendrogram, and a pair's box
//! plot by layer; and all pairs of samples at one layer.

use super::{shown_run::shown_run, similarity_samples::SamplesState};
use crate::{
    app::{Command, PanelView, RunEntry, SimilarityView},
    base::dendrogram::Tree,
    gui::{
        Panel, PanelCx,
        widgets::{
            arrange::Arrange,
            axis::Axis,
            box_plot::BoxPlot,
            control::{SLIDER_HEIGHT, bar, caption, choice, colour_span, remark, remark_height, room_for},
            dendrogram::{self, dendrogram_ui},
            five_numbers::BoxStats,
            matrix::{Matrix, names_width, sequential},
            number::{counted, sig3},
            provenance,
            table::{Table, icon_button, twin_switch},
        },
    },
    scan::{MetricKind, PairSeries, ScanOutput},
};
use eframe::egui::{self, Color32, RangeSlider, Ui, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

#[derive(Default)]
pub struct SimilarityPanel {
    table: bool,
    /// Colours span what is there instead of 0 to 1.
    fitted: bool,
    /// Where there is room for one thing only: the pair instead of the matrix.
    pair_alone: bool,
    matrix: Option<Cached>,
    boxes: Option<CachedBoxes>,
    samples: SamplesState,
}

/// Means of every pair over a range, for one run.
struct Cached {
    run: Arc<ScanOutput>,
    range: (usize, usize),
    clustered: bool,
    /// In the order of rows.
    names: Vec<String>,
    values: Vec<Option<f64>>,
    /// Of the domains in the order of the run, with their names.
    tree: Tree,
    leaves: Vec<String>,
}

struct CachedBoxes {
    run: Arc<ScanOutput>,
    pair: (String, String),
    boxes: Vec<Option<BoxStats>>,
    undefined: usize,
}

/// The layers METHODS averages over: floor(L/2) ..= L-3, at least one.
pub fn default_range(n_layers: usize) -> (usize, usize) {
    let first = n_layers / 2;
    (first, n_layers.saturating_sub(3).max(first))
}

impl Panel for SimilarityPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(run) = shown_run(ui, cx, icons::ICON_COMPARE_ARROWS, "which domains use the same weights") else { return };
        let out = &*run.output;
        if cx.app.project.view.similarity == SimilarityView::Samples {
            self.samples.ui(ui, cx, run);
            return;
        }
        if out.llmdcos.is_empty() {
            view_choice(ui, cx);
            remark(ui, cx.theme, "This run holds no LLMDcos. Choose it among the metrics of the scan and run it again.");
            return;
        }
        let range = self.range_ui(ui, cx, run);
        let names = self.means(&run.output, range, cx.app.project.view.clustered);
        let shown = Shown { run, range, pair: shown_pair(cx, &names) };
        if self.table {
            self.table_ui(ui, cx, run, &shown.pair);
            return;
        }
        let room = ui.available_size();
        let labels: Vec<(String, Color32)> = names.iter().map(|n| (n.clone(), cx.domain_colour(n))).collect();
        match Arrange::of(room, names_width(ui, &labels), names.len(), vec2(200.0, 130.0)) {
            Arrange::Beside(side) => {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 16.0;
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        self.matrix_ui(ui, cx, &shown, vec2(side, room.y));
                    });
                    let rest = (room.x - side - 16.0).max(120.0);
                    ui.vertical(|ui| {
                        ui.set_max_width(rest);
                        self.pair_ui(ui, cx, &shown, vec2(rest, room.y), false);
                    });
                });
            }
            Arrange::Stacked(top) => {
                self.matrix_ui(ui, cx, &shown, vec2(room.x, top));
                ui.add_space(8.0);
                let rest = vec2(room.x, ui.available_height());
                self.pair_ui(ui, cx, &shown, rest, false);
            }
            Arrange::One if self.pair_alone => self.pair_ui(ui, cx, &shown, room, true),
            Arrange::One => self.pair_alone = self.matrix_ui(ui, cx, &shown, room),
        }
    }
}

fn names_of(out: &ScanOutput) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for p in &out.llmdcos {
        for name in [&p.a, &p.b] {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Domains, or their samples.
pub(super) fn view_choice(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut shown = cx.app.project.view.similarity;
    let options = [
        (SimilarityView::Domains, "Domains", "Every two domains, over a range of layers"),
        (SimilarityView::Samples, "Samples", "Every two samples, at one layer"),
    ];
    if choice(ui, cx.theme, &mut shown, &options) {
        cx.send(Command::SetPanelView { view: PanelView::Similarity(shown) });
    }
}

/// In the given order, or in that of their dendrogram.
pub(super) fn order_choice(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut clustered = cx.app.project.view.clustered;
    let options = [
        (false, "Given order", "As they were scanned"),
        (true, "Clustered", "By average linkage on 1 − LLMDcos: what is alike lies together"),
    ];
    if choice(ui, cx.theme, &mut clustered, &options) {
        cx.send(Command::SetPanelView { view: PanelView::Clustered(clustered) });
    }
}

fn shown_pair(cx: &PanelCx<'_>, names: &[String]) -> (String, String) {
    let known = |(a, b): &&(String, String)| names.contains(a) && names.contains(b);
    cx.app.project.view.pair.as_ref().filter(known).cloned().unwrap_or_else(|| {
        let first = names.first().cloned().unwrap_or_default();
        (first.clone(), names.get(1).cloned().unwrap_or(first))
    })
}

/// What is drawn of a run.
struct Shown<'a> {
    run: &'a RunEntry,
    range: (usize, usize),
    pair: (String, String),
}

impl SimilarityPanel {
    fn range_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry) -> (usize, usize) {
        let out = &*run.output;
        let last = out.n_layers.saturating_sub(1);
        let usual = default_range(out.n_layers);
        let asked = cx.app.project.view.layer_range.unwrap_or(usual);
        let before = (asked.0.min(last), asked.1.min(last));
        let mut range = before;
        let (fitted, table) = (&mut self.fitted, &mut self.table);
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                view_choice(ui, cx);
                order_choice(ui, cx);
                room_for(ui, 250.0);
                caption(ui, cx.theme, "layers").on_hover_text("The matrix shows means over these layers");
                let width = (ui.available_width() - 140.0).clamp(56.0, 120.0);
                let usual_width = std::mem::replace(&mut ui.spacing_mut().slider_width, width);
                let row = std::mem::replace(&mut ui.spacing_mut().interact_size.y, SLIDER_HEIGHT);
                ui.name_inputs("Layers to average over", |ui| {
                    ui.add(RangeSlider::new(&mut range.0, &mut range.1, 0..=last.max(1)).integer());
                });
                ui.spacing_mut().interact_size.y = row;
                ui.spacing_mut().slider_width = usual_width;
                let text = format!("Back to layers {} to {}", usual.0, usual.1);
                ui.add_enabled_ui(before != usual, |ui| {
                    let hover = "The paper's: from the middle, without the last two";
                    if icon_button(ui, icons::ICON_RESTART_ALT, &text, hover).clicked() {
                        cx.send(Command::SetLayerRange { range: None });
                    }
                });
            },
            |ui, cx| {
                let pair = shown_pair(cx, &names_of(out));
                twin_switch(ui, table, "similarity", || pair_table(out, &pair));
                colour_span(ui, fitted);
            },
        );
        range.1 = range.1.min(last).max(range.0.min(last));
        range.0 = range.0.min(range.1);
        if range != before {
            cx.send(Command::SetLayerRange { range: Some(range) });
        }
        range
    }

    /// Fills the cache; the names in the order of rows.
    fn means(&mut self, out: &Arc<ScanOutput>, range: (usize, usize), clustered: bool) -> Vec<String> {
        if let Some(c) = self.matrix.as_ref().filter(|c| Arc::ptr_eq(&c.run, out) && c.range == range && c.clustered == clustered) {
            return c.names.clone();
        }
        let leaves = names_of(out);
        // A pair without a value counts as unlike.
        let distance =
            |i: usize, j: usize| 1.0 - out.pair(&leaves[i], &leaves[j]).and_then(|p| p.mean_over(range.0..=range.1)).unwrap_or(0.0);
        let tree = Tree::average_linkage(leaves.len(), distance);
        let names: Vec<String> = if clustered { tree.order.iter().map(|&i| leaves[i].clone()).collect() } else { leaves.clone() };
        let mut values = Vec::with_capacity(names.len() * names.len());
        for a in &names {
            for b in &names {
                values.push(out.pair(a, b).and_then(|p| p.mean_over(range.0..=range.1)));
            }
        }
        self.matrix = Some(Cached { run: out.clone(), range, clustered, names: names.clone(), values, tree, leaves });
        names
    }

    /// True when a cell was clicked.
    fn matrix_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>, size: egui::Vec2) -> bool {
        let Shown { run, range, pair } = shown;
        let Some(cached) = &self.matrix else { return false };
        let labels: Vec<(String, Color32)> = cached.names.iter().map(|n| (n.clone(), cx.domain_colour(n))).collect();
        let place = |name: &str| cached.names.iter().position(|n| n == name);
        let cell = |(a, b): &(String, String)| Some((place(a)?, place(b)?));
        let marked = cx.link.hover().pair.as_ref().and_then(cell).or_else(|| {
            let i = place(cx.link.hover().domain.as_deref()?)?;
            Some((i, i))
        });
        let values = || cached.values.iter().flatten().copied();
        let fit = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let range_shown = if self.fitted && fit.0 < fit.1 { fit } else { (0.0, 1.0) };
        let (theme, p) = (cx.theme, &run.output.provenance);
        let tip = |ui: &mut Ui, r: usize, c: usize| {
            let (a, b) = (&cached.names[r], &cached.names[c]);
            let value = cached.values[r * cached.names.len() + c].map_or("undefined (a norm is 0)".to_owned(), sig3);
            let title = if a == b { format!("within {a}") } else { format!("{a} and {b}") };
            ui.set_max_width(420.0);
            ui.label(theme.strong(format!("{title}   {value}")));
            ui.label(theme.small(format!("mean LLMDcos over layers {} to {}", range.0, range.1)));
            ui.label(theme.small(MetricKind::Llmdcos.info().formula));
            ui.label(theme.small(provenance::short(p)));
            ui.label(theme.small("Click to see it layer by layer"));
        };
        let matrix = Matrix {
            tip: &tip,
            name: "LLMDcos of domains",
            labels: &labels,
            values: &cached.values,
            selected: cell(pair),
            marked,
            range: range_shown,
            unit: "mean LLMDcos",
            map: sequential(cx.app.settings.preferences.colours),
            size: if cached.clustered { size - vec2(dendrogram::WIDTH, 0.0) } else { size },
        };
        let output = if cached.clustered {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                let output = matrix.show(ui, cx.theme);
                // Rows of the tree are rows of the matrix.
                let (room, _) = ui.allocate_exact_size(vec2(dendrogram::WIDTH, output.cells.height()), egui::Sense::hover());
                let rect = egui::Rect::from_x_y_ranges(room.x_range(), output.cells.y_range());
                dendrogram_ui(ui, cx.theme, &cached.tree, &cached.leaves, rect, "1 − mean LLMDcos");
                output
            })
            .inner
        } else {
            matrix.show(ui, cx.theme)
        };
        if let Some((r, c)) = output.hovered {
            let (a, b) = (&cached.names[r], &cached.names[c]);
            cx.link.hover_pair(a, b);
            let value = cached.values[r * cached.names.len() + c].map_or("undefined (a norm is 0)".to_owned(), sig3);
            let n = run.output.pair(a, b).map_or(0, |p| p.cosines.len());
            let what = if a == b { format!("within {a}") } else { format!("{a} and {b}") };
            cx.link.readout(format!(
                "LLMDcos {what} {value} · layers {} to {} · {} · {}",
                range.0,
                range.1,
                counted(n as u64, "pair"),
                run.name
            ));
        }
        if let Some((r, c)) = output.clicked {
            cx.send(Command::ShowPair { a: cached.names[r].clone(), b: cached.names[c].clone() });
        }
        output.clicked.is_some()
    }

    /// `back`: it stands in the matrix's place.
    fn pair_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>, size: egui::Vec2, back: bool) {
        let Shown { run, range, pair } = shown;
        let range = *range;
        let Some(series) = run.output.pair(&pair.0, &pair.1) else { return };
        let fresh = |c: &&CachedBoxes| Arc::ptr_eq(&c.run, &run.output) && c.pair == *pair;
        if self.boxes.as_ref().filter(fresh).is_none() {
            let boxes = boxes(series);
            let undefined = series.cosines.iter().flatten().filter(|c| c.is_none()).count();
            self.boxes = Some(CachedBoxes { run: run.output.clone(), pair: pair.clone(), boxes, undefined });
        }
        let Some(cached) = &self.boxes else { return };
        let title = if pair.0 == pair.1 { format!("within {}", pair.0) } else { format!("{} and {}", pair.0, pair.1) };
        let n = series.cosines.len();
        let mut note = format!("box: quartiles and median · whiskers: within 1.5 IQR · diamond: mean · n {n} sample pairs a layer");
        if cached.undefined > 0 {
            note.push_str(&format!(" · {} undefined and left out (a norm is 0)", counted(cached.undefined as u64, "value")));
        }
        let mean = series.mean_over(range.0..=range.1).map_or("undefined".to_owned(), sig3);
        let head = ui.horizontal(|ui| {
            if back && icon_button(ui, icons::ICON_ARROW_BACK, "Back to the matrix", "").clicked() {
                self.pair_alone = false;
            }
            for (i, name) in [&pair.0, &pair.1].into_iter().enumerate() {
                if i == 0 || pair.0 != pair.1 {
                    let (rect, _) = ui.allocate_exact_size(vec2(8.0, 20.0), egui::Sense::hover());
                    ui.painter().circle_filled(rect.center(), 4.0, cx.domain_colour(name));
                }
            }
            ui.add(egui::Label::new(cx.theme.strong(&title)).truncate()).on_hover_text(&note);
            // Whole or not at all; where it does not fit it stands in the note.
            let text = egui::WidgetText::from(cx.theme.faint(format!("mean {mean}, n {n}")));
            let galley = text.into_galley(ui, Some(egui::TextWrapMode::Extend), f32::INFINITY, egui::TextStyle::Body);
            let fits = galley.size().x <= ui.available_width();
            if fits {
                ui.label(galley);
            }
            fits
        });
        if !head.inner {
            note.insert_str(0, &format!("mean {mean} · "));
        }
        // A chart that is left too low is no use: then the note stays with the head.
        let below = remark_height(ui, &note) + 8.0;
        let roomy = size.y - below > 180.0;
        let values = cached.boxes.iter().flatten();
        let lowest = values.clone().map(|b| b.outliers.iter().copied().fold(b.low, f64::min)).fold(1.0, f64::min);
        let highest = values.map(|b| b.outliers.iter().copied().fold(b.high, f64::max)).fold(0.0, f64::max);
        let y =
            if lowest > 0.5 { Axis::around([lowest, highest.max(lowest + 0.05)], "LLMDcos") } else { Axis::linear(0.0, 1.0, "LLMDcos") };
        let plot = BoxPlot {
            name: "LLMDcos by layer",
            y,
            boxes: &cached.boxes,
            colour: pair_colour(cx, pair),
            size: vec2(size.x, (size.y - head.response.rect.height() - 10.0 - if roomy { below } else { 0.0 }).max(80.0)),
            marked: cx.link.hover().layer,
            range: Some(range),
        };
        let (response, hovered) = plot.show(ui, cx.theme);
        if let Some(layer) = hovered {
            cx.link.hover_layer(layer);
            if let Some(b) = &cached.boxes[layer] {
                cx.link.readout(format!(
                    "layer {layer} · LLMDcos {title} · median {} · mean {} · quartiles {} to {} · n {} · {}",
                    sig3(b.median),
                    sig3(b.mean),
                    sig3(b.q1),
                    sig3(b.q3),
                    b.n,
                    run.name
                ));
                response.on_hover_text_at_pointer(format!(
                    "Layer {layer}\nmedian {}\nmean {}\nquartiles {} to {}\nwhiskers {} to {}\nn {}, undefined {}",
                    sig3(b.median),
                    sig3(b.mean),
                    sig3(b.q1),
                    sig3(b.q3),
                    sig3(b.low),
                    sig3(b.high),
                    b.n,
                    b.undefined
                ));
            } else {
                response.on_hover_text_at_pointer(format!("Layer {layer}: undefined, since the activations' norm is 0"));
            }
        }
        if roomy {
            remark(ui, cx.theme, note);
        }
    }

    fn table_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, pair: &(String, String)) {
        let Some(cached) = &self.matrix else { return };
        let mut t = Table::new(&[("domain", false)]);
        for name in &cached.names {
            t.column(name, true);
        }
        for (r, name) in cached.names.iter().enumerate() {
            let mut row = vec![name.clone()];
            let n = cached.names.len();
            row.extend(cached.values[r * n..(r + 1) * n].iter().map(|v| v.map_or("undefined".to_owned(), sig3)));
            t.row(row);
        }
        t.ui(ui, cx.theme, "matrix");
        ui.add_space(12.0);
        ui.label(cx.theme.group(format!("{} and {}, by layer", pair.0, pair.1)));
        pair_table(&run.output, pair).ui(ui, cx.theme, "pair");
    }
}

/// One domain with itself keeps its colour; two domains share the neutral one.
fn pair_colour(cx: &PanelCx<'_>, (a, b): &(String, String)) -> Color32 {
    if a == b { cx.domain_colour(a) } else { cx.theme.secondary }
}

fn boxes(series: &PairSeries) -> Vec<Option<BoxStats>> {
    (0..series.n_layers()).map(|l| BoxStats::of(series.cosines.iter().map(|row| row.get(l).copied().flatten().map(f64::from)))).collect()
}

fn pair_table(out: &ScanOutput, (a, b): &(String, String)) -> Table {
    let columns = ["layer", "n", "undefined", "low", "q1", "median", "q3", "high", "mean"];
    let mut t = Table::new(&columns.map(|c| (c, true)));
    let Some(series) = out.pair(a, b) else { return t };
    for (l, stats) in boxes(series).into_iter().enumerate() {
        t.row(match stats {
            Some(s) => {
                let numbers = [s.low, s.q1, s.median, s.q3, s.high, s.mean].map(sig3);
                [vec![l.to_string(), s.n.to_string(), s.undefined.to_string()], numbers.to_vec()].concat()
            }
            None => {
                let mut row = vec![l.to_string(), "0".into(), series.cosines.len().to_string()];
                row.resize(columns.len(), "undefined".into());
                row
            }
        });
    }
    t
}

pub fn make() -> Box<dyn Panel> {
    Box::<SimilarityPanel>::default()
}

#[cfg(test)]
mod tests {
    use super::default_range;

    #[test]
    fn the_default_range_leaves_out_the_first_half_and_the_last_two() {
        assert_eq!(default_range(32), (16, 29));
        assert_eq!(default_range(8), (4, 5));
        assert_eq!(default_range(4), (2, 2));
        assert_eq!(default_range(1), (0, 0));
    }
}
