//! Do domains use the same neurons? Their top shares: Jaccard matrix against chance, a pair by layer and against the share taken, and the exclusive
//! intersections of all (UpSet).

use super::{
    overlap_found::{CurveKey, CurvesWorker, Found, FoundKey, FoundWorker, pair_table, shown_pair},
    overlap_pairs::{MatrixInput, Shared, shared_of},
    overlap_upset::{UpsetState, upset_table},
    shown_run::shown_run,
};
use crate::{
    app::{Command, OverlapView, PanelView},
    base::{Grid, overlap::Curves},
    gui::{
        Panel, PanelCx,
        widgets::{
            arrange::Arrange,
            control::{bar, caption, caption_width, choice, colour_span, log_slider, remark, room_for},
            matrix::names_width,
            number::elided,
            table::twin_switch,
        },
    },
    scan::MetricKind,
};
use eframe::egui::{Color32, Ui, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

pub fn make() -> Box<dyn Panel> {
    Box::<Overlap>::default()
}

#[derive(Default)]
pub struct Overlap {
    table: bool,
    /// Colours span 0 to 1 instead of the values off the diagonal.
    pub(super) whole: bool,
    /// Where there is room for one thing only: the pair instead of the matrix.
    pair_alone: bool,
    found: FoundWorker,
    curves: CurvesWorker,
    pub(super) shared: Option<Shared>,
    upset: UpsetState,
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
        let address = Arc::as_ptr(&run.output) as usize;
        let cells = maps.iter().map(|m| m.1.values().len()).sum();
        let found = {
            let maps = maps.clone();
            self.found
                .get(ui.ctx(), FoundKey { run: address, metric, percent: percent.to_bits() }, cells, move || Found::new(&maps, percent))
        };
        self.controls_ui(ui, cx, metric, found.as_deref());
        let Some(found) = found else {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        };
        let view = cx.app.project.view.overlap;
        if self.table {
            match view {
                OverlapView::Upset => upset_table(&found).ui(ui, cx.theme, "intersections"),
                _ => pair_table(&found).ui(ui, cx.theme, "overlap"),
            }
            return;
        }
        if view == OverlapView::Upset {
            self.upset.ui(ui, cx, run, metric, &found);
            return;
        }
        let pair = shown_pair(cx, &found.top);
        if !self.shared.as_ref().is_some_and(|s| Arc::ptr_eq(&s.found, &found) && s.pair == pair) {
            self.shared = Some(shared_of(&run.output, metric, &found, pair));
        }
        let curves = (view == OverlapView::Curve)
            .then(|| {
                let key = CurveKey { run: address, metric, pair };
                self.curves
                    .get(ui.ctx(), key, 4 * cells, move || Curves::new(maps.iter().map(|m| &m.1), (pair.0.min(pair.1), pair.0.max(pair.1))))
            })
            .flatten();
        let room = ui.available_size();
        let labels: Vec<(String, Color32)> = found.top.names.iter().map(|name| (name.clone(), cx.domain_colour(name))).collect();
        let input = |size| MatrixInput { metric, found: &found, labels: &labels, pair, size };
        match Arrange::of(room, names_width(ui, &labels), labels.len(), vec2(200.0, 190.0)) {
            Arrange::Beside(side) => {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 16.0;
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        self.matrix_ui(ui, cx, &input(vec2(side, room.y)));
                    });
                    ui.vertical(|ui| self.pair_ui(ui, cx, run, metric, pair, curves.as_deref()));
                });
            }
            Arrange::Stacked(height) => {
                self.matrix_ui(ui, cx, &input(vec2(room.x, height)));
                ui.add_space(4.0);
                self.pair_ui(ui, cx, run, metric, pair, curves.as_deref());
            }
            Arrange::One => {
                let names = [&found.top.names[pair.0], &found.top.names[pair.1]];
                let alone = format!("{} and {}", elided(names[0], 14, 4), elided(names[1], 14, 4));
                let hover = format!("{} and {}: the neurons they share", names[0], names[1]);
                let options = [(false, "All pairs", "The Jaccard matrix of all domains"), (true, alone.as_str(), hover.as_str())];
                ui.horizontal(|ui| choice(ui, cx.theme, &mut self.pair_alone, &options));
                if self.pair_alone {
                    self.pair_ui(ui, cx, run, metric, pair, curves.as_deref());
                } else {
                    let room = ui.available_size();
                    self.pair_alone = self.matrix_ui(ui, cx, &input(room));
                }
            }
        }
    }
}

impl Overlap {
    fn controls_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, metric: MetricKind, found: Option<&Found>) {
        let view = cx.app.project.view.overlap;
        let (whole, table, upset) = (&mut self.whole, &mut self.table, &mut self.upset);
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                let mut chosen = view;
                let options = [
                    (OverlapView::Pairs, "By layer", "Jaccard matrix, and a pair layer by layer"),
                    (OverlapView::Curve, "By share", "Jaccard matrix, and a pair against the share of neurons that is taken"),
                    (OverlapView::Upset, "UpSet", "How many neurons lie in exactly which domains"),
                ];
                if choice(ui, cx.theme, &mut chosen, &options) {
                    cx.send(Command::SetPanelView { view: PanelView::Overlap(chosen) });
                }
                room_for(ui, 200.0);
                caption(ui, cx.theme, "top");
                // A rail as long as leaves the words after it in its row; where not even the shortest does, the unit alone.
                let by = format!("by {}", metric.info().label.to_lowercase());
                let words = format!("% {by}");
                let (usual, gaps) = (ui.spacing().slider_width, 2.0 * ui.spacing().item_spacing.x);
                let rail = |words: &str| ui.available_size_before_wrap().x - caption_width(ui, words) - gaps - 84.0;
                let words = if rail(&words) >= 48.0 { words.as_str() } else { "%" };
                let rail = rail(words);
                ui.spacing_mut().slider_width = usual.min(rail.max(48.0));
                let mut percent = cx.app.project.view.top_percent;
                let r = log_slider(ui, cx.theme, &mut percent, 0.01..=100.0, 10.0, "Top percent that overlaps");
                if r.changed() {
                    cx.send(Command::SetTopPercent { percent });
                }
                ui.spacing_mut().slider_width = usual;
                caption(ui, cx.theme, words).on_hover_text(format!("Share of all neurons with the largest values, {by}"));
            },
            |ui, _| {
                if let Some(found) = found {
                    match view {
                        OverlapView::Upset => twin_switch(ui, table, "intersections", || upset_table(found)),
                        _ => twin_switch(ui, table, "overlap", || pair_table(found)),
                    }
                }
                if view == OverlapView::Upset {
                    upset.order_ui(ui);
                } else {
                    let mut fitted = !*whole;
                    colour_span(ui, &mut fitted);
                    *whole = !fitted;
                }
            },
        );
    }
}
