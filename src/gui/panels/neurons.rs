//! The whole model at once: layers x neurons for a metric and a domain, or two domains compared. Where sets are made.

use super::{
    map_actions::{Pointed, act_on},
    map_controls::{MapWords, MarksCache, combine_ui, metric_ui, order_ui, ordered_words, per_layer_ui, scale_kind, scale_ui},
    neuron_table::{Asked, NeuronTable},
    neurons_collapsed::{CollapsedMap, collapse_ui},
    shown_run::shown_run,
};
use crate::{
    app::{Collapse, Command, MapChange, RunEntry},
    base::{
        Grid, NeuronSet,
        heatmap::{ColourMap, Scale},
    },
    gui::{
        Ask, Panel, PanelCx,
        widgets::{
            control::{keep_together, log_slider},
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            legend::{self, Legend},
            number::{self, sig3},
            prepared_map::{MapSource, Maps, PreparedMap},
            table::icon_button,
        },
    },
    scan::MetricKind,
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
    collapsed: CollapsedMap,
    table: NeuronTable,
    table_shown: bool,
    /// In a small panel: how the map is drawn can be chosen too.
    more_shown: bool,
}

/// Below it the choices of scale, order and folding leave too little of the map; they are asked for then.
const ROOMY: egui::Vec2 = vec2(560.0, 420.0);

/// The domain shown and the one it is compared with, where the run has them.
pub struct Shown<'a> {
    pub domain: &'a str,
    pub minus: Option<&'a str>,
    pub map: &'a Grid,
    pub minus_map: Option<&'a Grid>,
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
        if self.collapsed.ui(ui, cx, run, &shown, metric) {
            return;
        }
        if cx.link.revealing().is_some() {
            self.table_shown = false;
        }
        if self.table_shown {
            self.marks.follow(cx, false);
            if let Asked::Show(n) = self.table.ui(ui, cx, run, metric, &self.marks.off, self.marks.version) {
                cx.link.reveal = Some(n);
            }
            return;
        }
        let compared = shown.minus.map(|m| (m, view.map.combine));
        let source = MapSource {
            a: shown.map.clone(),
            b: shown.minus_map.map(|g| (g.clone(), view.map.combine)),
            per_layer: view.map.per_layer,
            order: cx.app.permutation().cloned(),
        };
        let map = self.maps.get(ui.ctx(), &source);
        self.maps.sweep();
        let Some(map) = map else {
            ui.centered_and_justified(|ui| ui.spinner());
            return;
        };
        let top = self.actions_ui(ui, cx, &shown, metric, &map);
        let signed = shown.minus.is_some() || metric.info().signed;
        let scale = Scale::fit(&map.summary(view.map.percentile), scale_kind(view.scale), signed);
        let colours = if signed { ColourMap::BlueRed } else { cx.app.settings.preferences.colours };
        let words = MapWords::of(metric, shown.domain, compared, view.map.per_layer);
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
        let ordered = ordered_words(cx, map.grid.cols());
        let pinned: Vec<u32> = view.map.pinned.iter().copied().collect();
        ui.allocate_ui(vec2(ui.available_width(), height.max(60.0)), |ui| {
            let input = HeatmapInput {
                map: &map,
                scale,
                colours,
                off: &self.marks.off,
                selected,
                marks_version,
                what: &words.what,
                unit: words.unit,
                columns: Columns::Neurons,
                ordered: &ordered,
                pinned: &pinned,
                crosshair: false,
                hovered_layer: hover.layer,
                hovered_neuron: hover.neuron,
                reveal: cx.link.revealing(),
            };
            let out = self.view.ui(ui, cx.theme, cx.gpu, &input);
            let data = run.output.provenance.data_sha256.iter().find(|d| d.0 == shown.domain);
            let data = data.map_or(String::new(), |d| format!("data {} · ", d.1.chars().take(8).collect::<String>()));
            let pointed = Pointed { map: &map, words: &words, scale: &scale, off: &self.marks.off, run, data };
            hovered_value = act_on(ui, cx, out, &pointed);
        });
        let legend = Legend {
            name: &words.name,
            unit: words.bar_unit,
            scale: &scale,
            map: colours,
            has_nan: map.summary(100.0).non_finite > 0,
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
    fn choices_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind) {
        let view = &cx.app.project.view;
        let size = ui.available_size();
        let small = size.x < ROOMY.x && size.y < ROOMY.y;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 4.0);
            if let Some(metric) = metric_ui(ui, "metric", run, metric) {
                cx.send(Command::SetMetric { metric });
            }
            let names: Vec<&str> = run.output.domains.iter().map(|d| d.name.as_str()).collect();
            let domain = view.domain.as_deref().filter(|d| names.contains(d)).or(names.first().copied()).unwrap_or_default();
            if let Some(new) = domain_combo(ui, cx, "Domain", domain, &names, None) {
                cx.send(Command::ShowDomain { domain: new, minus: view.minus.clone() });
            }
            if let Some(combine) = combine_ui(ui, "combine", view.map.combine) {
                cx.send(Command::ChangeMap { change: MapChange::Combine(combine) });
            }
            let minus = view.minus.as_deref().filter(|d| names.contains(d)).unwrap_or("nothing");
            if let Some(new) = domain_combo(ui, cx, "Minus domain", minus, &names, Some("nothing")) {
                cx.send(Command::ShowDomain { domain: Some(domain.to_owned()), minus: new });
            }
            ui.add_space(4.0);
            if small {
                let name = if self.more_shown { "Hide scale and order" } else { "Scale and order" };
                if icon_button(ui, icons::ICON_TUNE, name, "Scale, order of the neurons, folding").clicked() {
                    self.more_shown = !self.more_shown;
                }
            }
            if !small || self.more_shown {
                scale_ui(ui, cx);
                per_layer_ui(ui, cx);
                order_ui(ui, cx, run, metric, domain);
                collapse_ui(ui, cx, run, metric);
            }
            let (icon, name) = if self.table_shown { (icons::ICON_GRID_ON, "map") } else { (icons::ICON_TABLE_ROWS, "table") };
            let folded = view.map.collapse != Collapse::Neurons;
            if !folded && icon_button(ui, icon, &format!("Show the neurons as a {name}"), "").clicked() {
                self.table_shown = !self.table_shown;
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
                let chosen = format!("{} selected", number::count(n as u64));
                keep_together(ui, [chosen.as_str(), "Make set, off", "Clear"].into_iter());
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
                    ui.label(cx.theme.faint(chosen));
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
            let set = Arc::new(NeuronSet::top_percent(&map.measured, percent));
            self.done = Some((key, set.clone()));
            return Some(set);
        }
        // One at a time: the newest share is taken up when the last one is done.
        if self.working.is_none() {
            let (send, receive) = mpsc::channel();
            let (map, ctx) = (map.clone(), ctx.clone());
            std::thread::spawn(move || {
                // The panel may be gone.
                let _ = send.send(NeuronSet::top_percent(&map.measured, percent));
                ctx.request_repaint();
            });
            self.working = Some((key, receive));
        }
        None
    }
}
