//! Maps beside each other: any domains and metrics of the shown run and of a second one, on one scale, with one window and one pointer.

use super::{
    map_actions::{Pointed, act_on},
    map_controls::{MapWords, MarksCache, metric_ui, ordered_words, scale_kind},
    map_options::{More, options_ui},
    maps_grid::{places, shape_of},
    maps_head::{head_ui, operand_name},
    shown_run::shown_run,
};
use crate::{
    app::{Command, Loading, MapCell, MapChange, Operand, RunEntry, Side},
    base::{
        Grid, Neuron,
        heatmap::{ColourMap, Combine, Scale, Summary, Window},
    },
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            control::{TOOLBAR, caption_width, room_for, toolbar},
            heatmap_view::{Columns, HeatmapInput, HeatmapView, foot},
            legend::{self, Legend},
            prepared_map::{MapSource, Maps as MapCache, PreparedMap},
            table::{icon_button, icons_width},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{self, ComboBox, Label, Rect, RichText, Ui, UiBuilder, pos2, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

pub fn make() -> Box<dyn Panel> {
    Box::<Maps>::default()
}

#[derive(Default)]
pub struct Maps {
    views: Vec<HeatmapView>,
    cache: MapCache,
    marks: MarksCache,
    /// First of the maps that are seen, where not all fit.
    first: usize,
    seen: usize,
    /// What all maps show, while they are linked.
    window: Option<Window>,
}

/// Width of the choice of a second run while there is none.
const RUN_B: f32 = 96.0;

/// A colour bar and the space above it.
const BAR: f32 = legend::HEIGHT + 2.0;

/// A cell whose map is there, or why it is not.
struct Ready<'a> {
    cell: MapCell,
    words: MapWords,
    run: &'a RunEntry,
    state: State,
    signed: bool,
}

enum State {
    Map(Arc<PreparedMap>),
    Working,
    /// What is missing.
    Missing(String),
}

impl Panel for Maps {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(run) = shown_run(ui, cx, icons::ICON_GRID_VIEW, "the domains' maps beside each other") else { return };
        ui.spacing_mut().item_spacing.y = 6.0;
        let cells = cells(cx, run);
        toolbar(ui, |ui| {
            self.bar_ui(ui, cx, run, &cells);
            self.pages_ui(ui, cx, cells.len());
            runs_ui(ui, cx, run, &cells);
        });
        let ready: Vec<Ready<'_>> = cells.iter().map(|c| self.prepare(ui, cx, run, c)).collect();
        self.cache.sweep();
        self.marks.follow(cx, false);
        let view = &cx.app.project.view;
        let scales = scales(cx, &ready);
        // One colour bar below all, where all are of one kind; else each has its own.
        let alike = ready.iter().all(|r| r.kind() == ready[0].kind());
        let one_bar = if alike && !view.map.own_range { scales.iter().copied().flatten().next() } else { None };
        let room = ui.available_rect_before_wrap();
        let (below_all, below_each) = if one_bar.is_some() { (BAR, 0.0) } else { (0.0, BAR) };
        let grid = Rect::from_min_max(room.min, pos2(room.right(), room.bottom() - below_all));
        // Where all show the same columns in the same order, and they are low, the lowest have the numbers.
        let ordered = |r: &Ready<'_>| matches!(&r.state, State::Map(m) if m.order().is_some());
        let alike = ready.iter().all(|r| ordered(r) == ordered(&ready[0]) && r.run.output.d_mlp == run.output.d_mlp);
        let words = if ready.first().is_some_and(ordered) { ordered_words(cx, run.output.d_mlp) } else { String::new() };
        let axis = (alike && !view.map.own_view).then(|| foot(&words));
        let places = places(grid, ready.len(), shape_of(run), below_each, axis);
        self.seen = places.rects.len();
        self.first = if self.seen < ready.len() { self.first.min(ready.len() - 1) / self.seen * self.seen } else { 0 };
        self.views.resize_with(ready.len(), HeatmapView::default);
        let mut hovered = None;
        let reveal = cx.link.revealing();
        for ((i, r), rect) in ready.iter().enumerate().skip(self.first).zip(&places.rects) {
            ui.scope_builder(UiBuilder::new().max_rect(*rect).id_salt(("map", i)), |ui| {
                ui.set_clip_rect(rect.expand(2.0).intersect(ui.clip_rect()));
                let (scale, bar) = (scales[i], one_bar.is_none());
                self.cell_ui(ui, cx, run, (i, r), &cells, (scale, bar, places.bare(i - self.first)), reveal, &mut hovered);
            });
        }
        ui.allocate_rect(grid, egui::Sense::hover());
        if let Some((scale, colours)) = one_bar
            && let Some(first) = ready.first()
        {
            let has_nan = ready.iter().any(|r| matches!(&r.state, State::Map(m) if m.summary(100.0).non_finite > 0));
            let name = shared_name(&ready, first);
            let _ = Legend { name: &name, unit: first.words.bar_unit, scale: &scale, map: colours, has_nan, hovered }.show(ui, cx.theme);
        }
    }
}

/// What the colour bar under all maps says: the metric alone where only domains differ.
fn shared_name(ready: &[Ready<'_>], first: &Ready<'_>) -> String {
    if ready.len() == 1 {
        return first.words.name.clone();
    }
    let label = first.cell.metric.info().label;
    let per_layer = first.words.name.rsplit_once(", ").map(|(_, w)| w).filter(|_| first.words.unit != first.words.bar_unit);
    let what = if first.cell.against.is_some() { format!("{label}, compared") } else { label.to_owned() };
    per_layer.map_or_else(|| format!("{what}, one scale"), |w| format!("{what}, {w}"))
}

/// The cells in force: those that were chosen, else one a domain of the shown run that has the metric.
fn cells(cx: &PanelCx<'_>, run: &RunEntry) -> Vec<MapCell> {
    let map = &cx.app.project.view.map;
    if !map.cells.is_empty() {
        return map.cells.clone();
    }
    let metric = crate::report::metric_of(&run.output, map.all_metric);
    let with = run.output.domains.iter().filter(|d| d.map(metric).is_some());
    with.map(|d| MapCell { metric, of: Operand { side: Side::A, domain: d.name.clone() }, against: None, combine: Default::default() })
        .collect()
}

/// What must agree for maps to share a scale.
type Kind = (MetricKind, Option<Combine>, &'static str);

impl Ready<'_> {
    fn kind(&self) -> Kind {
        (self.cell.metric, self.cell.against.as_ref().map(|_| self.cell.combine), self.words.bar_unit)
    }
    fn summary(&self, percentile: f32) -> Option<Summary> {
        if let State::Map(m) = &self.state { Some(m.summary(percentile)) } else { None }
    }
}

/// The scale of each map that is there: one for all of a kind where ranges are linked.
fn scales(cx: &PanelCx<'_>, ready: &[Ready<'_>]) -> Vec<Option<(Scale, ColourMap)>> {
    let view = &cx.app.project.view;
    let scale = |(i, r): (usize, &Ready<'_>)| {
        let with = |(k, other): &(usize, &Ready<'_>)| *k == i || !view.map.own_range && other.kind() == r.kind();
        let summaries = ready.iter().enumerate().filter(with).filter_map(|(_, r)| r.summary(view.map.percentile));
        let summary = summaries.reduce(|a, b| a.join(&b))?;
        let colours = if r.signed { ColourMap::BlueRed } else { cx.app.settings.preferences.colours };
        Some((Scale::fit(&summary, scale_kind(view.scale), r.signed), colours))
    };
    ready.iter().enumerate().map(scale).collect()
}

/// The run of a side, or what is missing.
fn run_of<'a>(cx: &PanelCx<'a>, run: &'a RunEntry, side: Side) -> Result<&'a RunEntry, String> {
    match side {
        Side::A => Ok(run),
        Side::B if cx.app.other_run().is_some() => cx.app.other_run().ok_or_else(String::new),
        Side::B => Err(match cx.app.other_run_state() {
            Some(Loading::Stopped) => "Opening run B was stopped.".to_owned(),
            Some(Loading::Failed(why)) => format!("Run B could not be opened: {why}"),
            Some(_) => "Run B is being opened.".to_owned(),
            None => "Choose a run B above.".to_owned(),
        }),
    }
}

fn grid_of<'a>(run: &'a RunEntry, o: &Operand, metric: MetricKind) -> Result<&'a Grid, String> {
    let domain = run.output.domain(&o.domain).ok_or_else(|| format!("{} has no domain {}.", run.name, o.domain))?;
    domain.map(metric).ok_or_else(|| format!("{} did not measure {} of {}.", run.name, metric.label(), o.domain))
}

fn uses_b(cells: &[MapCell]) -> bool {
    cells.iter().any(|c| c.of.side == Side::B || c.against.as_ref().is_some_and(|a| a.side == Side::B))
}

impl Maps {
    fn prepare<'a>(&mut self, ui: &Ui, cx: &PanelCx<'a>, run: &'a RunEntry, cell: &MapCell) -> Ready<'a> {
        let map = &cx.app.project.view.map;
        let both = uses_b(std::slice::from_ref(cell));
        let of = operand_name(&cell.of, both);
        let against = cell.against.as_ref().map(|a| operand_name(a, both));
        let words = MapWords::of(cell.metric, &of, against.as_deref().map(|a| (a, cell.combine)), map.per_layer);
        let signed = cell.against.is_some() || cell.metric.info().signed;
        let find = || -> Result<(MapSource, &'a RunEntry), String> {
            let own_run = run_of(cx, run, cell.of.side)?;
            let a = grid_of(own_run, &cell.of, cell.metric)?;
            let b = match &cell.against {
                None => None,
                Some(o) => {
                    let other = run_of(cx, run, o.side)?;
                    let b = grid_of(other, o, cell.metric)?;
                    if (a.rows(), a.cols()) != (b.rows(), b.cols()) {
                        let shape = |g: &Grid| format!("{} layers of {} neurons", g.rows(), g.cols());
                        return Err(format!(
                            "{} has {}, {} has {}: only models of one shape have the same neurons to compare.",
                            own_run.model_label(),
                            shape(a),
                            other.model_label(),
                            shape(b)
                        ));
                    }
                    Some((b.clone(), cell.combine))
                }
            };
            // The order belongs to the shown run; a map of another shape keeps its own.
            let order = cx.app.permutation().filter(|o| (o.rows(), o.cols()) == (a.rows(), a.cols())).cloned();
            Ok((MapSource { a: a.clone(), b, per_layer: map.per_layer, order }, own_run))
        };
        let (state, run) = match find() {
            Ok((source, run)) => (self.cache.get(ui.ctx(), &source).map_or(State::Working, State::Map), run),
            Err(missing) => (State::Missing(missing), run),
        };
        Ready { cell: cell.clone(), words, run, state, signed }
    }

    /// Which maps are seen, where not all fit, and the way to the others.
    fn pages_ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>, n: usize) {
        if self.seen == 0 || self.seen >= n {
            return;
        }
        let words = format!("{} to {} of {n}", self.first + 1, (self.first + self.seen).min(n));
        room_for(ui, 2.0 * icons_width(1) + caption_width(ui, &words));
        let apart = std::mem::replace(&mut ui.spacing_mut().item_spacing.x, 2.0);
        if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Maps before", "").clicked() {
            self.first = self.first.saturating_sub(self.seen);
        }
        ui.label(cx.theme.small(words));
        if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next maps", "").clicked() && self.first + self.seen < n {
            self.first += self.seen;
        }
        ui.spacing_mut().item_spacing.x = apart;
    }

    fn bar_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, cells: &[MapCell]) {
        let map = &cx.app.project.view.map;
        let metric = cells.first().map_or(map.all_metric, |c| c.metric);
        if let Some(metric) = metric_ui(ui, "metric of all", run, metric) {
            let change = if map.cells.is_empty() {
                MapChange::AllDomains(metric)
            } else {
                MapChange::Cells(cells.iter().map(|c| MapCell { metric, ..c.clone() }).collect())
            };
            cx.send(Command::ChangeMap { change });
        }
        let all = ui.add(egui::Button::selectable(map.cells.is_empty(), "all domains")).on_hover_text("Small multiples: one map a domain");
        if all.clicked() && !map.cells.is_empty() {
            cx.send(Command::ChangeMap { change: MapChange::AllDomains(metric) });
        }
        if icon_button(ui, icons::ICON_ADD, "Add a map", "Beside those that are shown").clicked() {
            let mut more = cells.to_vec();
            let next = |d: &&crate::scan::DomainScan| cells.iter().all(|c| c.of.domain != d.name || c.against.is_some());
            let domain = run.output.domains.iter().find(next).or(run.output.domains.first());
            if let Some(d) = domain {
                more.push(MapCell { metric, of: Operand { side: Side::A, domain: d.name.clone() }, against: None, combine: map.combine });
                cx.send(Command::ChangeMap { change: MapChange::Cells(more) });
            }
        }
        let domain = cells.first().map_or("", |c| c.of.domain.as_str());
        // The second run keeps its place in the first row, where none is chosen.
        let after = if map.other_run.is_none() { RUN_B + ui.spacing().item_spacing.x } else { 0.0 };
        options_ui(ui, cx, run, (metric, domain), More { links: true, ..More::default() }, after);
    }

    #[expect(clippy::too_many_arguments, reason = "one cell of a grid that shares all of these")]
    fn cell_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        (i, r): (usize, &Ready<'_>),
        cells: &[MapCell],
        (scale, bar, bare): (Option<(Scale, ColourMap)>, bool, bool),
        reveal: Option<Neuron>,
        hovered: &mut Option<f32>,
    ) {
        head_ui(ui, cx, run, i, cells);
        let map = match &r.state {
            State::Map(map) => map,
            State::Working => {
                ui.centered_and_justified(|ui| ui.spinner());
                return;
            }
            State::Missing(what) => {
                ui.add_space(theme::GRID * 2.0);
                ui.add(Label::new(cx.theme.faint(what)).wrap());
                return;
            }
        };
        let view = &cx.app.project.view;
        let Some((scale, colours)) = scale else { return };
        let below = if bar { BAR } else { 0.0 };
        let hover = cx.link.hover().clone();
        let ordered = if map.order().is_some() { ordered_words(cx, map.grid.cols()) } else { String::new() };
        let pinned: Vec<u32> = view.map.pinned.iter().copied().collect();
        let linked = !view.map.own_view;
        if linked {
            self.views[i].follow(self.window);
        }
        let mut own_hover = None;
        ui.allocate_ui(vec2(ui.available_width(), (ui.available_height() - below).max(40.0)), |ui| {
            let input = HeatmapInput {
                map,
                scale,
                colours,
                off: &self.marks.off,
                selected: &view.selection,
                marks_version: self.marks.version,
                what: &r.words.what,
                unit: r.words.unit,
                columns: Columns::Neurons,
                ordered: &ordered,
                bare,
                pinned: &pinned,
                crosshair: true,
                hovered_layer: hover.layer,
                hovered_neuron: hover.neuron,
                reveal,
            };
            let out = self.views[i].ui(ui, cx.theme, cx.gpu, &input);
            let data = |o: &Operand, run: &RunEntry| {
                let hash = run.output.provenance.data_sha256.iter().find(|d| d.0 == o.domain);
                hash.map_or(String::new(), |d| format!("data {} · ", d.1.chars().take(8).collect::<String>()))
            };
            let data = data(&r.cell.of, r.run);
            let pointed = Pointed { map, words: &r.words, scale: &scale, off: &self.marks.off, run: r.run, data };
            own_hover = act_on(ui, cx, out, &pointed);
        });
        if linked {
            // Whoever moved last is followed by all, those drawn before in the next frame.
            let now = self.views[i].window();
            if now != self.window {
                self.window = now;
                ui.ctx().request_repaint();
            }
        }
        if own_hover.is_some() {
            *hovered = own_hover;
        }
        if bar {
            let has_nan = map.summary(100.0).non_finite > 0;
            let _ = Legend { name: &r.words.name, unit: r.words.bar_unit, scale: &scale, map: colours, has_nan, hovered: own_hover }
                .show(ui, cx.theme);
        }
    }
}

/// Which two runs are compared, by model and hash; where B is chosen.
fn runs_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, cells: &[MapCell]) {
    let map = &cx.app.project.view.map;
    let other = cx.app.other_run();
    let state = cx.app.other_run_state();
    let name = map.other_run.as_deref().and_then(|p| p.file_name()).map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let text = match (other, &state) {
        (Some(b), _) => format!("B: {}, {}", b.name, b.model_label()),
        (None, Some(Loading::Failed(_))) => format!("B: {name} could not be opened"),
        (None, Some(Loading::Stopped)) => format!("B: {name}, stopped"),
        (None, Some(_)) => format!("B: opening {name}"),
        (None, None) => "B: none".to_owned(),
    };
    let choices = if map.other_run.is_some() { 200.0 } else { RUN_B };
    if map.other_run.is_some() {
        let a = format!("A: {}, {}", run.name, run.model_label());
        room_for(ui, caption_width(ui, &a) + choices);
        ui.set_row_height(TOOLBAR);
        ui.add(Label::new(cx.theme.small(a)).truncate());
    }
    room_for(ui, choices);
    ui.set_row_height(TOOLBAR);
    let combo = ComboBox::from_id_salt("run b").width(choices).truncate().selected_text(RichText::new(text).size(theme::SMALL));
    let r = combo.show_ui(ui, |ui| {
        if ui.selectable_label(map.other_run.is_none(), "none").clicked() {
            cx.send(Command::ChangeMap { change: MapChange::OtherRun(None) });
        }
        for b in &cx.app.library.runs {
            let chosen = map.other_run.as_ref() == Some(&b.key());
            let text = format!("{}, {}", b.name, b.model_label());
            if ui.selectable_label(chosen, text).clicked() && !chosen {
                cx.send(Command::ChangeMap { change: MapChange::OtherRun(Some(b.key())) });
            }
        }
        ui.separator();
        if ui.button("Open another run…").on_hover_text("A run folder; it stands beside the shown run").clicked() {
            cx.link.ask(Ask::OpenOtherRun);
        }
    });
    r.response.accessible_name("Run B").on_hover_text("A second run, of the same or another model of this shape: base against tuned");
    match state {
        Some(Loading::Working) => {
            ui.spinner().on_hover_text("Run B is being opened; Esc stops it");
        }
        Some(Loading::Stopped | Loading::Failed(_)) => {
            let again =
                ui.button("Open it again").on_hover_text(map.other_run.as_deref().map_or_else(String::new, |p| p.display().to_string()));
            if again.clicked() {
                cx.send(Command::ChangeMap { change: MapChange::OtherRun(map.other_run.clone()) });
            }
        }
        _ => {}
    }
    if let Some(b) = other
        && !uses_b(cells)
    {
        let delta = ui.button("Delta maps").on_hover_text("For every domain that both runs have: B compared with A, neuron by neuron");
        if delta.clicked() {
            let metric = cells.first().map_or(map.all_metric, |c| c.metric);
            let both = run.output.domains.iter().filter(|d| b.output.domain(&d.name).is_some());
            let operand = |side, d: &str| Operand { side, domain: d.to_owned() };
            let delta = both.map(|d| MapCell {
                metric,
                of: operand(Side::B, &d.name),
                against: Some(operand(Side::A, &d.name)),
                combine: map.combine,
            });
            let delta: Vec<MapCell> = delta.collect();
            if delta.is_empty() {
                ui.label(RichText::new("the runs have no domain in common").color(cx.theme.warn));
            } else {
                cx.send(Command::ChangeMap { change: MapChange::Cells(delta) });
            }
        }
    }
}
