//! One unit at a time: a map that fills from the last layer up, and the units that matter most.

use super::{
    arithmetic::other_arithmetic_ui,
    map_controls::{MarksCache, scale_kind},
    sweep::{control_ui, domain_choice, nothing_yet_ui, settings_words},
    sweep_sought::Sought,
};
use crate::{
    ablate::{Sweep, SweepMeasure, SweepUnit, UnitId},
    app::{Command, SweepKind, SweepRequest, SweepView},
    base::{
        Grid, Neuron, NeuronSet,
        heatmap::{ColourMap, Scale, scale::PERCENTILE},
    },
    gui::{
        Ask, PanelCx, theme,
        widgets::{
            axis::Axis,
            cell_grid::CellGrid,
            chart::{grown, lines_that_fit},
            control::{bar, caption, choice, group, remark, room_for, tag},
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            legend::{self, Legend},
            line_chart::{LineChart, Series},
            number::{count, counted, sig3},
            prepared_map::{MapSource, PreparedMap},
            table::{Table, icon_button, twin_switch},
        },
    },
};
use eframe::egui::{self, DragValue, ScrollArea, Ui, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

/// Units listed by the size of their effect.
const LISTED: usize = 10;
/// Height of their title and one of them.
const LEAST_LIST: f32 = 48.0;

pub struct UnitsTab {
    unit: SweepUnit,
    domain: Option<String>,
    /// First and last layer; `None`: all.
    layers: Option<(usize, usize)>,
    measure: SweepMeasure,
    table: bool,
    view: HeatmapView,
    /// Version of the sweep, measure, and the map made of it.
    map: Option<((u64, usize, SweepMeasure), Arc<PreparedMap>)>,
    marks: MarksCache,
    /// The shown sweep's request, which the form has taken over.
    followed: Option<SweepRequest>,
    sought: Sought,
}

impl Default for UnitsTab {
    fn default() -> Self {
        Self {
            unit: SweepUnit::Neuron,
            domain: None,
            layers: None,
            measure: SweepMeasure::default(),
            table: false,
            view: HeatmapView::default(),
            map: None,
            marks: MarksCache::default(),
            followed: None,
            sought: Sought::default(),
        }
    }
}

impl UnitsTab {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        let view = app.sweeps.units.as_ref();
        self.follow(view);
        control_ui(ui, cx, view, SweepKind::Units, |ui, cx| {
            let request = self.request_ui(ui, cx);
            self.sought.look(cx, SweepKind::Units, view, request.as_ref());
            let words = request.as_ref().map_or("Start".to_owned(), |_| self.words(cx));
            (request, words)
        });
        let Some(view) = view else {
            nothing_yet_ui(ui, cx, &format!("Each unit is {} by itself; settings are those of Ablation.", settings_words(cx)));
            return;
        };
        let Some(sweep) = &view.result else { return };
        self.measure = shown_measure(sweep, self.measure);
        self.done_ui(ui, cx, sweep, view.running);
        if self.table {
            table(sweep, self.measure).ui(ui, cx.theme, "units of the sweep");
            return;
        }
        let room = ui.available_height();
        // The map has the larger part; of a high panel the list has more lines.
        let map = room - (0.36 * room).max(190f32.min(0.45 * room));
        let scroll = ScrollArea::vertical().auto_shrink([false, true]);
        if sweep.spec.unit == SweepUnit::Neuron {
            self.neurons_ui(ui, cx, sweep, view.version, map.max(room.min(120.0)));
            // Less would be half a line; the table has them all.
            if ui.available_height() >= LEAST_LIST {
                scroll.show(ui, |ui| largest_ui(ui, cx, sweep, self.measure));
            }
            return;
        }
        // Their charts do not take the wheel, so that all of it can move in a low panel.
        let grown = grown(ui, 320.0);
        scroll.show(ui, |ui| {
            match sweep.spec.unit {
                SweepUnit::Layer => layers_ui(ui, cx, sweep, self.measure, map.clamp(120.0, grown)),
                _ => heads_ui(ui, cx, sweep, self.measure, map.max(120.0)),
            }
            largest_ui(ui, cx, sweep, self.measure);
        });
    }

    /// The form asks for what is shown, wherever that came from.
    fn follow(&mut self, view: Option<&SweepView<Sweep>>) {
        let Some(view) = view.filter(|v| self.followed.as_ref() != Some(&v.request)) else { return };
        if let SweepRequest::Units { unit, domain, layers } = &view.request {
            (self.unit, self.domain, self.layers) = (*unit, Some(domain.clone()), *layers);
        }
        self.followed = Some(view.request.clone());
    }

    fn request_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) -> Option<SweepRequest> {
        let last = cx.app.library.spec().map_or(0, |s| s.n_layers.saturating_sub(1));
        let options = [
            (SweepUnit::Neuron, "neurons", "Every neuron of the MLPs"),
            (SweepUnit::Head, "heads", "Every attention head"),
            (SweepUnit::Layer, "layers", "All neurons and heads of a layer together"),
        ];
        choice(ui, cx.theme, &mut self.unit, &options);
        caption(ui, cx.theme, "over");
        let domain = domain_choice(ui, cx, "Domain of the sweep", &mut self.domain)?;
        room_for(ui, 130.0);
        caption(ui, cx.theme, "layers");
        let (mut from, mut to) = self.layers.unwrap_or((0, last));
        let a = ui.add(DragValue::new(&mut from).range(0..=to).speed(0.1)).accessible_name("First layer of the sweep");
        caption(ui, cx.theme, "to");
        let b = ui.add(DragValue::new(&mut to).range(from..=last).speed(0.1)).accessible_name("Last layer of the sweep");
        if a.changed() || b.changed() {
            self.layers = ((from, to) != (0, last)).then_some((from, to));
        }
        Some(SweepRequest::Units { unit: self.unit, domain, layers: self.layers.filter(|l| l.1 <= last) })
    }

    fn words(&self, cx: &PanelCx<'_>) -> String {
        let Some(spec) = cx.app.library.spec() else { return "Start".into() };
        let (from, to) = self.layers.unwrap_or((0, spec.n_layers.saturating_sub(1)));
        let n = (to + 1 - from.min(to)) * self.unit.per_layer(spec);
        format!("Sweep {}", counted(n as u64, self.unit.word()))
    }

    /// How far it is, of what, and what is shown of it.
    fn done_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, sweep: &Sweep, running: bool) {
        let theme = cx.theme;
        let (measure, table_shown) = (&mut self.measure, &mut self.table);
        let shown = *measure;
        let partial = !running && sweep.done() < sweep.total;
        bar(
            ui,
            3,
            cx,
            |ui, cx| {
                let known: Vec<_> = SweepMeasure::ALL.into_iter().filter(|m| sweep.baseline.get(*m).is_some()).collect();
                let options: Vec<_> = known.iter().map(|m| (*m, m.label(), "Change against nothing switched")).collect();
                choice(ui, theme, measure, &options);
                if partial {
                    tag(ui, theme, "partial", theme.warn)
                        .on_hover_text("Broken off before every unit was measured; it can be gone on with");
                }
                other_arithmetic_ui(ui, cx, &sweep.provenance);
                let n = format!("{} of {} measured, n {}", count(sweep.done() as u64), count(sweep.total as u64), sweep.baseline.n);
                ui.label(theme.small(format!("{} · {n}", sweep.domain)));
            },
            |ui, cx| {
                twin_switch(ui, table_shown, "the sweep", || table(sweep, shown));
                if icon_button(ui, icons::ICON_DOWNLOAD, "Save the sweep as CSV", "Every measured unit with its numbers and provenance")
                    .clicked()
                {
                    cx.link.ask(Ask::SaveFile(format!("sweep-{}-{}.csv", sweep.spec.unit.word(), sweep.domain), csv(sweep).into_bytes()));
                }
            },
        );
    }

    fn neurons_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, sweep: &Sweep, version: u64, height: f32) {
        let key = (version, std::ptr::from_ref(sweep) as usize, self.measure);
        let map = match &self.map {
            Some((k, map)) if *k == key => map.clone(),
            _ => {
                let map = Arc::new(PreparedMap::new(MapSource::plain(&sweep.grid(self.measure))));
                self.map = Some((key, map.clone()));
                map
            }
        };
        let kind = scale_kind(cx.app.project.view.scale);
        self.marks.follow(cx, false);
        let summary = map.summary(PERCENTILE);
        let scale = Scale::fit(&summary, kind, true);
        let what = format!("change of {} of {}", self.measure.label(), sweep.domain);
        let hover = cx.link.hover().clone();
        let selection = &cx.app.project.view.selection;
        let mut hovered = None;
        ui.allocate_ui(vec2(ui.available_width(), (height - legend::HEIGHT - ui.spacing().item_spacing.y).max(60.0)), |ui| {
            let nothing = NeuronSet::new();
            let input = HeatmapInput {
                map: &map,
                scale,
                colours: ColourMap::BlueRed,
                off: &nothing,
                selected: selection,
                marks_version: self.marks.version,
                what: &what,
                unit: self.measure.unit(),
                columns: Columns::Neurons,
                ordered: "",
                bare: false,
                pinned: &[],
                crosshair: false,
                hovered_layer: hover.layer,
                hovered_neuron: hover.neuron,
                reveal: None,
            };
            let out = self.view.ui(ui, cx.theme, cx.gpu, &input);
            if let Some(n) = out.pointed {
                hovered = map.grid.get(n.layer as usize, n.index as usize);
                cx.link.hover_neuron(n);
                let value = hovered
                    .filter(|v| v.is_finite())
                    .map_or("not measured".to_owned(), |v| format!("{} {}", sig3(f64::from(v)), self.measure.unit()));
                cx.link.readout(format!("{n} · {what} {value}"));
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
        let name = format!("Change of {}", self.measure.label());
        Legend { name: &name, unit: self.measure.unit(), scale: &scale, map: ColourMap::BlueRed, has_nan: summary.non_finite > 0, hovered }
            .show(ui, cx.theme);
    }
}

/// The measure asked for where the domain has it, else the loss, which every domain has.
fn shown_measure(sweep: &Sweep, wanted: SweepMeasure) -> SweepMeasure {
    if sweep.baseline.get(wanted).is_some() { wanted } else { SweepMeasure::Loss }
}

/// Change of each unit, row-major; `None` where it is not measured.
fn changes(grid: &Grid) -> Vec<Option<f64>> {
    grid.values().iter().map(|v| v.is_finite().then_some(f64::from(*v))).collect()
}

fn heads_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, sweep: &Sweep, measure: SweepMeasure, height: f32) {
    let values = changes(&sweep.grid(measure));
    let label = |r: usize, c: usize| sweep.name(UnitId { layer: r, index: c });
    let unit = format!("change of {} ({})", measure.label(), measure.unit());
    let grid = CellGrid {
        name: "Effect of each head",
        rows: sweep.n_layers,
        cols: sweep.width,
        values: &values,
        titles: ("layer", "head"),
        label: &label,
        unit: &unit,
        size: vec2(ui.available_width(), height),
        selected: None,
    };
    let out = grid.show(ui, cx.theme);
    if let Some((r, c)) = out.hovered {
        cx.link.hover_layer(r);
        let value = values[r * sweep.width + c].map_or("not measured".to_owned(), sig3);
        cx.link.readout(format!("{} · {unit} {value}", label(r, c)));
    }
    if let Some((r, c)) = out.clicked {
        cx.send(Command::ToggleHead { head: crate::base::Head::new(r as u32, c as u32) });
    }
    remark(ui, cx.theme, "A click switches the head.");
}

fn layers_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, sweep: &Sweep, measure: SweepMeasure, height: f32) {
    let values = changes(&sweep.grid(measure));
    let title = format!("change of {} ({})", measure.label(), measure.unit());
    let y = Axis::around(values.iter().flatten().copied().chain([0.0]), title);
    let series = [Series { name: sweep.domain.clone(), colour: cx.domain_colour(&sweep.domain), values }];
    let marked = cx.link.hover().layer;
    let chart =
        LineChart { name: "Effect of each layer", y, series: &series, size: vec2(ui.available_width(), height), marked, forward: None };
    let (_, hover) = chart.show(ui, cx.theme);
    if let Some(h) = hover {
        cx.link.hover_layer(h.layer);
        let value = series[0].values.get(h.layer).copied().flatten().map_or("not measured".to_owned(), sig3);
        cx.link.readout(format!("layer {} switched · {value} {}", h.layer, measure.unit()));
    }
}

/// Measured units by the size of their change.
fn ordered(sweep: &Sweep, measure: SweepMeasure) -> Vec<(UnitId, f64)> {
    let grid = sweep.grid(measure);
    let mut all: Vec<(UnitId, f64)> = grid
        .values()
        .iter()
        .enumerate()
        .filter(|(_, v)| v.is_finite())
        .map(|(i, &v)| (UnitId { layer: i / sweep.width, index: i % sweep.width }, f64::from(v)))
        .collect();
    all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    all
}

fn largest_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, sweep: &Sweep, measure: SweepMeasure) {
    let all = ordered(sweep, measure);
    if all.is_empty() {
        return;
    }
    group(ui, cx.theme, "LARGEST EFFECTS");
    let lines = lines_that_fit(ui, theme::ROW).max(LISTED);
    for &(id, change) in all.iter().take(lines) {
        let predicted = predicted(cx, sweep, measure, id).map_or(String::new(), |p| format!(", predicted {}", sig3(p)));
        let name = sweep.name(id);
        ui.horizontal(|ui| {
            if sweep.spec.unit == SweepUnit::Neuron {
                let neuron = Neuron::new(id.layer as u32, id.index as u32);
                let button = ui.button(&name).on_hover_text("Selects it").accessible_name(format!("Select {name}"));
                if button.hovered() {
                    cx.link.hover_neuron(neuron);
                }
                if button.clicked() {
                    cx.link.reveal = Some(neuron);
                    cx.link.focus_neuron = Some(neuron);
                    cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([neuron]) });
                }
            } else {
                ui.label(cx.theme.strong(&name));
            }
            ui.add(egui::Label::new(format!("{} {}{predicted}", sig3(change), measure.unit())).truncate());
        });
    }
}

/// First-order prediction of a unit's change, where its effects are there, of the same arithmetic, and the way to switch is predicted.
fn predicted(cx: &PanelCx<'_>, sweep: &Sweep, measure: SweepMeasure, id: UnitId) -> Option<f64> {
    let spec = cx.app.library.spec().filter(|_| cx.app.is_computed_as_now(&sweep.provenance))?;
    let (neurons, heads) = sweep.spec.places(spec, id);
    let change = cx.app.effects(&sweep.domain)?.predict(&neurons, &heads, &sweep.spec.mode, None)?.change();
    match measure {
        SweepMeasure::Accuracy => change.acc,
        SweepMeasure::Margin => change.margin,
        SweepMeasure::Loss => change.loss,
    }
}

fn table(sweep: &Sweep, measure: SweepMeasure) -> Table {
    let mut t = Table::new(&[(sweep.spec.unit.word(), false), ("layer", true)]);
    t.column(format!("change of {}, {}", measure.label(), measure.unit()), true);
    for title in ["accuracy", "margin, nat", "loss, nat/token"] {
        t.column(title, true);
    }
    let text = |v: Option<f64>| v.map_or(String::new(), sig3);
    for (id, change) in ordered(sweep, measure) {
        let Some(totals) = sweep.get(id) else { continue };
        t.row(vec![sweep.name(id), id.layer.to_string(), sig3(change), text(totals.accuracy()), text(totals.margin), text(totals.loss)]);
    }
    t
}

/// Long form, with what it was made from in the head.
fn csv(sweep: &Sweep) -> String {
    let p = &sweep.provenance;
    let mut text = format!("# {}, {}\n# model {} sha256 {}\n# {}\n", p.program, p.created, p.model, p.model_sha256, p.formula);
    for (name, hash) in &p.data_sha256 {
        text.push_str(&format!("# data {name} sha256 {hash}\n"));
    }
    text.push_str(&format!("# {}\n# baseline n {}\nunit,layer,index,measure,value,change,n\n", p.command, sweep.baseline.n));
    for measure in SweepMeasure::ALL {
        let Some(before) = sweep.baseline.get(measure) else { continue };
        for layer in 0..sweep.n_layers {
            for index in 0..sweep.width {
                let id = UnitId { layer, index };
                if let Some((t, v)) = sweep.get(id).and_then(|t| Some((t, t.get(measure)?))) {
                    let name = sweep.name(id);
                    text.push_str(&format!("{name},{layer},{index},{},{v},{},{}\n", measure.label(), v - before, t.n));
                }
            }
        }
    }
    text
}
