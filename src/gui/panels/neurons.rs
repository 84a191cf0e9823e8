//! The whole model at once: layers x neurons for a metric and a domain, or the difference of two domains. Where sets are made.

use super::shown_run::shown_run;
use crate::{
    app::{Command, MapScale, NamedSet, RunEntry},
    base::{
        Grid, Neuron, NeuronSet,
        heatmap::{ColourMap, Scale, ScaleKind},
    },
    gui::{
        Ask, Panel, PanelCx,
        widgets::{
            control::{choice, log_slider},
            heatmap_view::{HeatmapInput, HeatmapView},
            legend::{self, Legend},
            number::{self, sig3},
            prepared_map::{Maps, PreparedMap},
            provenance,
        },
    },
    report::export::View,
    scan::{MetricKind, metrics::METRICS},
};
use eframe::egui::{self, Align, ComboBox, Layout, Response, RichText, Ui, vec2};
use egui_material_icons::icons;
use std::sync::{Arc, mpsc};

pub fn make() -> Box<dyn Panel> {
    Box::<Neurons>::default()
}

#[derive(Default)]
pub struct Neurons {
    view: HeatmapView,
    maps: Maps,
    marks: MarksCache,
    top: TopCache,
}

/// The domain shown and the one taken off it, where the run has them.
struct Shown<'a> {
    domain: &'a str,
    minus: Option<&'a str>,
    map: &'a Grid,
    minus_map: Option<&'a Grid>,
}

impl Panel for Neurons {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(run) = shown_run(ui, cx, icons::ICON_GRID_ON, "every neuron of the model") else { return };
        let view = &cx.app.project.view;
        let metric = view.metric;
        ui.spacing_mut().item_spacing.y = 6.0;
        self.choices_ui(ui, cx, run, metric);
        let Some(shown) = shown_maps(cx, run, metric) else {
            let label = metric.info().label;
            let text = if metric.info().map.is_none() {
                format!("{label} compares domains; it has no map of neurons.")
            } else {
                format!("{} has no map of {}: the scan did not measure it.", run.name, label.to_lowercase())
            };
            ui.add_space(24.0);
            ui.vertical_centered(|ui| ui.label(cx.theme.faint(text)));
            return;
        };
        let Some(map) = self.maps.get(ui.ctx(), shown.map, shown.minus_map) else {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        };
        let top = self.actions_ui(ui, cx, &shown, metric, &map);
        let signed = shown.minus.is_some() || metric.info().signed;
        let kind = match view.scale {
            MapScale::Linear => ScaleKind::Linear,
            MapScale::Log => ScaleKind::Log,
            MapScale::Clipped => ScaleKind::Clipped,
        };
        let scale = Scale::fit(&map.summary, kind, signed);
        let colours = if signed { ColourMap::BlueRed } else { cx.app.settings.preferences.colours };
        let label = metric.info().label;
        let what = match shown.minus {
            None => format!("{} of {}", label.to_lowercase(), shown.domain),
            Some(minus) => format!("{} of {} minus {minus}", label.to_lowercase(), shown.domain),
        };
        // While the share is being chosen, the map shows what it would take.
        let preview = top.filter(|(hot, _)| *hot).and_then(|_| self.top.get(ui.ctx(), &map, view.top_percent));
        self.marks.follow(cx, preview.is_some());
        let selected = preview.as_deref().unwrap_or(&view.selection);
        let marks_version = match &preview {
            Some(set) => Arc::as_ptr(set) as u64 ^ self.marks.version,
            None => self.marks.version,
        };

        let height = ui.available_height() - legend::HEIGHT - 4.0;
        let mut hovered_value = None;
        let hover = cx.link.hover().clone();
        ui.allocate_ui(vec2(ui.available_width(), height.max(60.0)), |ui| {
            let input = HeatmapInput {
                map: &map,
                scale,
                colours,
                off: &self.marks.off,
                selected,
                marks_version,
                what: &what,
                unit: metric.info().unit,
                hovered_layer: hover.layer,
                hovered_neuron: hover.neuron,
                reveal: cx.link.reveal.take(),
            };
            let out = self.view.ui(ui, cx.theme, cx.gpu, &input);
            if let Some(n) = out.pointed {
                let value = map.grid.get(n.layer as usize, n.index as usize);
                hovered_value = value;
                cx.link.hover_neuron(n);
                cx.link.readout(readout(n, value, label, metric.info().unit, &shown, run, &scale, self.marks.off.contains(n)));
            }
            if let Some(n) = out.clicked {
                select(cx, n, out.adding);
            }
            if let Some(neuron) = out.toggled {
                cx.send(Command::ToggleNeuron { neuron });
            }
            if let Some(neurons) = out.brushed {
                cx.send(Command::SelectNeurons { neurons });
            }
            menu_ui(&out.response, cx, out.pointed, &map, &self.marks.off, run);
            if let Some(n) = out.pointed.filter(|_| out.response.hovered() && rests(ui)) {
                let value = map.grid.get(n.layer as usize, n.index as usize);
                let theme = cx.theme;
                out.response.on_hover_ui_at_pointer(|ui| {
                    ui.set_max_width(420.0);
                    let value = value.map_or_else(|| "no value".to_owned(), |v| format!("{} {}", sig3(f64::from(v)), metric.info().unit));
                    ui.label(theme.strong(format!("{n}   {value}")));
                    ui.label(theme.small(&what));
                    ui.label(theme.small(metric.info().formula));
                    let data = run.output.provenance.data_sha256.iter().find(|d| d.0 == shown.domain);
                    let data = data.map_or(String::new(), |d| format!("data {} · ", d.1.chars().take(8).collect::<String>()));
                    ui.label(theme.small(format!("{data}{}", provenance::short(&run.output.provenance))));
                });
            }
        });
        let name = match shown.minus {
            None => label.to_owned(),
            Some(minus) => format!("{label}: {} − {minus}", shown.domain),
        };
        let legend = Legend {
            name: &name,
            unit: metric.info().unit,
            scale: &scale,
            map: colours,
            has_nan: map.summary.non_finite > 0,
            hovered: hovered_value,
        };
        if legend.show(ui, cx.theme).clicked() && !signed {
            let mut preferences = cx.app.settings.preferences.clone();
            preferences.colours = if colours == ColourMap::Viridis { ColourMap::Cividis } else { ColourMap::Viridis };
            cx.send(Command::SetPreferences { preferences });
        }
    }
}

impl Neurons {
    fn choices_ui(&self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind) {
        let view = &cx.app.project.view;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 4.0);
            let measured = |m: MetricKind| run.output.domains.iter().any(|d| d.map(m).is_some());
            let combo = ComboBox::from_id_salt("metric").width(120.0).selected_text(metric.info().label);
            let r = combo.show_ui(ui, |ui| {
                for info in METRICS.iter().filter(|i| i.map.is_some()) {
                    let text = RichText::new(info.label);
                    let item = ui.add_enabled(measured(info.kind), egui::Button::selectable(info.kind == metric, text));
                    if item.on_hover_text(info.formula).on_disabled_hover_text("Not measured by this scan").clicked() {
                        cx.send(Command::SetMetric { metric: info.kind });
                    }
                }
            });
            r.response.accessible_name("Metric").on_hover_text(format!("{}\n{}", metric.info().formula, metric.info().source));
            let names: Vec<&str> = run.output.domains.iter().map(|d| d.name.as_str()).collect();
            let domain = view.domain.as_deref().filter(|d| names.contains(d)).or(names.first().copied()).unwrap_or_default();
            if let Some(new) = domain_combo(ui, cx, "Domain", domain, &names, None) {
                cx.send(Command::ShowDomain { domain: new, minus: view.minus.clone() });
            }
            ui.label(cx.theme.faint("minus"));
            let minus = view.minus.as_deref().filter(|d| names.contains(d)).unwrap_or("nothing");
            if let Some(new) = domain_combo(ui, cx, "Minus domain", minus, &names, Some("nothing")) {
                cx.send(Command::ShowDomain { domain: Some(domain.to_owned()), minus: new });
            }
            ui.add_space(4.0);
            let mut scale = view.scale;
            let scales = [
                (MapScale::Linear, "linear", "Colour follows the value"),
                (MapScale::Log, "log", "Each step of the colour is a factor"),
                (MapScale::Clipped, "clipped", "Linear up to the 99.9th percentile; larger values share the last colour"),
            ];
            if choice(ui, cx.theme, &mut scale, &scales) {
                cx.send(Command::SetMapScale { scale });
            }
        });
    }

    /// Share and selection; gives back whether the slider is in use, and its response.
    fn actions_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        shown: &Shown<'_>,
        metric: MetricKind,
        map: &Arc<PreparedMap>,
    ) -> Option<(bool, Response)> {
        let view = &cx.app.project.view;
        let mut slider = None;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 4.0);
            ui.label(cx.theme.faint("Top"));
            let mut percent = view.top_percent;
            let r = log_slider(ui, cx.theme, &mut percent, 0.01..=100.0, 10.0, "Top percent of neurons");
            ui.label(cx.theme.faint("%"));
            if r.changed() {
                cx.send(Command::SetTopPercent { percent });
            }
            let hot = r.dragged() || r.hovered() || r.has_focus();
            slider =
                Some((hot, r.on_hover_text("The share of all neurons with the largest values; outlined in the map while this is in use")));
            let of = format!("the top {} %", sig3(view.top_percent));
            if ui.button("Select").on_hover_text(format!("Selects {of}")).clicked() {
                self.top.select_when_done = true;
            }
            if self.top.select_when_done
                && let Some(set) = self.top.get(ui.ctx(), map, view.top_percent)
            {
                self.top.select_when_done = false;
                cx.send(Command::SelectNeurons { neurons: (*set).clone() });
            }
            if shown.minus.is_none() && ui.button("Switch off").on_hover_text(format!("Makes a set of {of} and switches it off")).clicked()
            {
                cx.send(Command::AddTopSet { domain: shown.domain.to_owned(), metric, percent: view.top_percent });
                cx.link.ask(Ask::ShowPanel("ablation"));
            }
            let n = view.selection.len();
            if n > 0 {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if ui.button("Clear").on_hover_text("Empties the selection").clicked() {
                        cx.send(Command::SelectNeurons { neurons: NeuronSet::new() });
                    }
                    if ui.button("Make set, off").on_hover_text("Makes a set of the selection and switches it off").clicked() {
                        let name = if n == 1 { view.selection.to_string() } else { format!("selection of {}", number::count(n as u64)) };
                        cx.send(Command::AddSet {
                            name,
                            neurons: view.selection.clone(),
                            source: format!("selected by hand, {}", shown.domain),
                            chosen_on: std::iter::once(shown.domain).chain(shown.minus).map(str::to_owned).collect(),
                        });
                    }
                    ui.label(cx.theme.faint(format!("{} selected", number::count(n as u64))));
                });
            }
        });
        slider
    }
}

fn shown_maps<'a>(cx: &PanelCx<'a>, run: &'a RunEntry, metric: MetricKind) -> Option<Shown<'a>> {
    let view = &cx.app.project.view;
    let scan = &run.output;
    let domain = view.domain.as_deref().and_then(|d| scan.domain(d)).or(scan.domains.first())?;
    let minus = view.minus.as_deref().and_then(|d| scan.domain(d)).filter(|m| m.map(metric).is_some());
    Some(Shown {
        domain: &domain.name,
        minus: minus.map(|d| d.name.as_str()),
        map: domain.map(metric)?,
        minus_map: minus.and_then(|d| d.map(metric)),
    })
}

/// A choice among the run's domains; `Some(None)` when `none` was chosen.
fn domain_combo(ui: &mut Ui, cx: &PanelCx<'_>, name: &str, chosen: &str, names: &[&str], none: Option<&str>) -> Option<Option<String>> {
    let mut new = None;
    let text = if Some(chosen) == none { cx.theme.faint(chosen) } else { spotted(cx, chosen) };
    let combo = ComboBox::from_id_salt(name).width(96.0).selected_text(text);
    let r = combo.show_ui(ui, |ui| {
        if let Some(none) = none
            && ui.selectable_label(chosen == none, none).clicked()
        {
            new = Some(None);
        }
        for n in names {
            if ui.selectable_label(*n == chosen, *n).clicked() {
                new = Some(Some((*n).to_owned()));
            }
        }
    });
    r.response.accessible_name(name);
    new
}

fn spotted(cx: &PanelCx<'_>, name: &str) -> RichText {
    RichText::new(name).color(cx.theme.text)
}

fn select(cx: &mut PanelCx<'_>, n: Neuron, adding: bool) {
    let mut neurons = if adding { cx.app.project.view.selection.clone() } else { NeuronSet::new() };
    if !(adding && neurons.remove(n)) {
        neurons.insert(n);
    }
    cx.link.focus_neuron = Some(n);
    cx.send(Command::SelectNeurons { neurons });
}

fn menu_ui(response: &Response, cx: &mut PanelCx<'_>, pointed: Option<Neuron>, map: &Arc<PreparedMap>, off: &NeuronSet, run: &RunEntry) {
    // The menu stays with the neuron it was opened on.
    let id = response.id.with("menu");
    if response.secondary_clicked() {
        response.ctx.data_mut(|d| d.insert_temp(id, pointed));
    }
    let Some(n) = response.ctx.data(|d| d.get_temp::<Option<Neuron>>(id)).flatten() else { return };
    response.context_menu(|ui| {
        ui.label(cx.theme.group(n.to_string()));
        let toggle = if off.contains(n) { format!("Switch {n} back on") } else { format!("Switch {n} off") };
        let mut done = false;
        if ui.button(toggle).clicked() {
            cx.send(Command::ToggleNeuron { neuron: n });
            done = true;
        }
        if ui.button("Add to the selection").clicked() {
            select(cx, n, true);
            done = true;
        }
        if ui.button(format!("Select layer {}", n.layer)).clicked() {
            let neurons = (0..map.grid.cols() as u32).map(|i| Neuron::new(n.layer, i)).collect();
            cx.send(Command::SelectNeurons { neurons });
            done = true;
        }
        ui.separator();
        if ui.button("Copy its name").clicked() {
            cx.link.ask(Ask::Copy(n.to_string()));
            done = true;
        }
        if ui.button("Copy the map's provenance").clicked() {
            let formula = cx.app.project.view.metric.info().formula;
            cx.link.ask(Ask::Copy(provenance::text(&run.output.provenance, Some(formula))));
            done = true;
        }
        if ui.button("Export the map…").clicked() {
            cx.link.ask(Ask::Export(View::Neurons));
            done = true;
        }
        if done {
            ui.close();
        }
    });
}

/// The pointer has been still for a second: longer than for other tooltips, since this one covers cells that may be wanted next.
fn rests(ui: &Ui) -> bool {
    let still = ui.input(|i| i.pointer.time_since_last_movement());
    if still < 1.0 {
        ui.ctx().request_repaint_after_secs(1.0 - still);
    }
    still >= 1.0
}

#[expect(clippy::too_many_arguments, reason = "one line of the status bar says all of these")]
fn readout(n: Neuron, value: Option<f32>, label: &str, unit: &str, shown: &Shown<'_>, run: &RunEntry, scale: &Scale, off: bool) -> String {
    let value = value.map_or_else(|| "no value".to_owned(), |v| sig3(f64::from(v)));
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let of = shown.minus.map_or_else(|| shown.domain.to_owned(), |m| format!("{} − {m}", shown.domain));
    let off = if off { " · off" } else { "" };
    format!("L{} N{} · {} {value}{unit} ({of}) · {} · scale {}{off}", n.layer, n.index, label.to_lowercase(), run.name, scale.label())
}

/// What is off, kept until something that decides it changes; large sets are not joined every frame.
#[derive(Default)]
struct MarksCache {
    sets: Vec<NamedSet>,
    single: NeuronSet,
    spared: NeuronSet,
    selection: NeuronSet,
    off: NeuronSet,
    version: u64,
}

impl MarksCache {
    fn follow(&mut self, cx: &PanelCx<'_>, preview: bool) {
        let p = &cx.app.project;
        if self.sets != p.sets || self.single != p.single || self.spared != p.spared {
            (self.sets, self.single, self.spared) = (p.sets.clone(), p.single.clone(), p.spared.clone());
            self.off = p.off();
            self.version += 1;
        }
        if !preview && self.selection != p.view.selection {
            self.selection = p.view.selection.clone();
            self.version += 1;
        }
    }
}

/// The top share of a map, found off the interface thread where the map is large.
#[derive(Default)]
struct TopCache {
    done: Option<((usize, u64), Arc<NeuronSet>)>,
    working: Option<((usize, u64), mpsc::Receiver<NeuronSet>)>,
    select_when_done: bool,
}

impl TopCache {
    fn get(&mut self, ctx: &egui::Context, map: &Arc<PreparedMap>, percent: f64) -> Option<Arc<NeuronSet>> {
        let key = (Arc::as_ptr(map) as usize, percent.to_bits());
        if let Some((k, receive)) = &self.working
            && let Ok(set) = receive.try_recv()
        {
            self.done = Some((*k, Arc::new(set)));
            self.working = None;
        }
        if let Some((k, set)) = &self.done
            && *k == key
        {
            return Some(set.clone());
        }
        if map.grid.values().len() <= 100_000 {
            let set = Arc::new(NeuronSet::top_percent(&map.grid, percent));
            self.done = Some((key, set.clone()));
            return Some(set);
        }
        // One at a time: the newest share is taken up when the last one is done.
        if self.working.is_none() {
            let (send, receive) = mpsc::channel();
            let (map, ctx) = (map.clone(), ctx.clone());
            std::thread::spawn(move || {
                // The panel may be gone.
                let _ = send.send(NeuronSet::top_percent(&map.grid, percent));
                ctx.request_repaint();
            });
            self.working = Some((key, receive));
        }
        None
    }
}
