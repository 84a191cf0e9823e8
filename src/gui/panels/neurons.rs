//! The whole model at once: layers x neurons for a metric and a domain, or two domains compared. Where sets are made.

use super::{
    map_actions::{Pointed, act_on},
    map_controls::{MapWords, MarksCache, combine_ui, metric_ui, ordered_words, scale_kind},
    map_options::{More, options_ui},
    neuron_table::{Asked, NeuronTable},
    neurons_collapsed::{CollapsedMap, in_force},
    shown_run::shown_run,
};
use crate::{
    app::{Collapse, Command, MapChange, RunEntry},
    base::{
        Grid, NeuronSet,
        heatmap::{ColourMap, Scale},
    },
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            control::{caption, combo_width, fits, keep_together, log_slider, parse_number, room_for, toolbar},
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            legend::{self, Legend},
            number::{self, sig3},
            prepared_map::{MapSource, Maps, PreparedMap},
            table::{icon_button, icons_width},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{
    self, Align, ComboBox, DragValue, Layout, PopupCloseBehavior, Response, RichText, Ui,
    containers::menu::{MenuButton, MenuConfig},
    vec2,
};
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
}

/// A domain's name shows at least its beginning.
const LEAST: f32 = 72.0;
/// Narrower rows ask with one button what is compared, and how.
const WIDE: f32 = 520.0;
/// Narrower rows have the share and what is done with it behind one button: two rows of them would leave the map none.
const TIGHT: f32 = 240.0;
/// A rail, the two buttons beside it and what is selected need this much.
const RAIL: f32 = 490.0;

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
        let tight = ui.available_width() < TIGHT;
        let shown = shown_maps(cx, run, metric);
        let folded = self.choices_ui(ui, cx, run, metric, shown.as_ref().filter(|_| tight));
        let Some(shown) = shown else {
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
        let top = if tight { folded } else { self.actions_ui(ui, cx, &shown, metric) };
        if self.top.select_when_done
            && let Some(set) = self.top.get(ui.ctx(), &map, view.top_percent)
        {
            self.top.select_when_done = false;
            cx.send(Command::SelectNeurons { neurons: (*set).clone() });
        }
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
                bare: false,
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
    /// What is shown. `tight`: the maps whose share is chosen in the same rows; then whether that is being done.
    fn choices_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        metric: MetricKind,
        tight: Option<&Shown<'_>>,
    ) -> Option<(bool, Response)> {
        let view = &cx.app.project.view;
        let wide = ui.available_width() >= WIDE;
        let mut share = None;
        toolbar(ui, |ui| {
            if let Some(metric) = metric_ui(ui, "metric", run, metric) {
                cx.send(Command::SetMetric { metric });
            }
            let names: Vec<&str> = run.output.domains.iter().map(|d| d.name.as_str()).collect();
            let domain = view.domain.as_deref().filter(|d| names.contains(d)).or(names.first().copied()).unwrap_or_default();
            let minus = view.minus.as_deref().filter(|d| names.contains(d));
            let how = view.map.combine;
            // Where three icons leave too little for the domain's name, two do: what it is compared with is asked in the second.
            let gap = ui.spacing().item_spacing.x;
            let row = |icons: usize| icons as f32 * (icons_width(1) + gap);
            let beside = combo_width(ui, domain, LEAST) + row(3) <= ui.available_size_before_wrap().x;
            // With two domains that leave nothing of their names, the second begins a new row.
            let both = 2.0 * LEAST + row(2) + gap <= ui.available_size_before_wrap().x;
            let one = LEAST + row(2) <= ui.available_size_before_wrap().x;
            let icons = match minus {
                None if beside => row(3),
                None if one => row(2),
                Some(_) if both => row(2),
                _ => 0.0,
            };
            if let Some(Some(domain)) = domain_combo(ui, cx, ("Domain", icons), domain, domain, &names, false) {
                cx.send(Command::ShowDomain { domain: Some(domain), minus: view.minus.clone() });
            }
            if let Some(minus) = minus {
                if !both {
                    ui.end_row();
                }
                if wide && let Some(combine) = combine_ui(ui, "combine", how) {
                    cx.send(Command::ChangeMap { change: MapChange::Combine(combine) });
                }
                let words = if wide { minus.to_owned() } else { format!("{} {minus}", how.sign()) };
                if let Some(new) = domain_combo(ui, cx, ("Minus domain", row(2)), minus, &words, &names, true) {
                    cx.send(Command::ShowDomain { domain: Some(domain.to_owned()), minus: new });
                }
            } else if beside {
                let text = if wide { RichText::new("compare") } else { icons::ICON_COMPARE.rich_text().size(16.0) };
                let button = egui::Button::new(text).frame_when_inactive(wide).min_size(vec2(theme::ROW, theme::ROW));
                let (r, _) = MenuButton::from_button(button).ui(ui, |ui| {
                    for n in names.iter().filter(|n| **n != domain) {
                        if ui.button(*n).clicked() {
                            cx.send(Command::ShowDomain { domain: Some(domain.to_owned()), minus: Some((*n).to_owned()) });
                            ui.close();
                        }
                    }
                });
                let hover = "Compare with another domain: difference, ratio or rank difference, neuron by neuron";
                r.on_hover_text(hover).accessible_name("Minus domain");
            }
            if !one {
                room_for(ui, row(2));
            }
            let folded = in_force(view.map.collapse, run, metric) != Collapse::Neurons;
            let after = if folded { 0.0 } else { icons_width(1) + 6.0 };
            let others: Vec<&str> = names.iter().copied().filter(|n| *n != domain && minus.is_none() && !beside).collect();
            let more = More { fold: true, links: false, compared: minus.is_some() && !wide, others: &others };
            options_ui(ui, cx, run, (metric, domain), more, after);
            let (icon, name) = if self.table_shown { (icons::ICON_GRID_ON, "map") } else { (icons::ICON_TABLE_ROWS, "table") };
            if !folded && icon_button(ui, icon, &format!("Show the neurons as a {name}"), "").clicked() {
                self.table_shown = !self.table_shown;
            }
            if let Some(shown) = tight.filter(|_| !folded && !self.table_shown) {
                share = self.share_menu_ui(ui, cx, shown, metric);
            }
        });
        share
    }

    /// Share and selection; gives back whether the slider is in use, and its response.
    fn actions_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>, metric: MetricKind) -> Option<(bool, Response)> {
        let rail = ui.available_width() >= RAIL;
        let mut slider = None;
        toolbar(ui, |ui| {
            caption(ui, cx.theme, "Top");
            slider = Some(self.share_ui(ui, cx, shown, metric, rail));
            selection_ui(ui, cx, shown);
        });
        slider
    }

    /// The share and what is done with it behind one button; the selection after it.
    fn share_menu_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>, metric: MetricKind) -> Option<(bool, Response)> {
        let words = format!("Top {} %", sig3(cx.app.project.view.top_percent));
        keep_together(ui, std::iter::once(words.as_str()));
        let menu = MenuButton::new(words).config(MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside));
        let (r, open) = menu.ui(ui, |ui| ui.horizontal(|ui| self.share_ui(ui, cx, shown, metric, false)).inner);
        r.on_hover_text("Select or switch off the neurons with the largest values").accessible_name("Top neurons");
        selection_ui(ui, cx, shown);
        open.map(|o| o.inner)
    }

    /// The share and what is done with the neurons it takes. `rail`: there is room for one.
    fn share_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>, metric: MetricKind, rail: bool) -> (bool, Response) {
        let view = &cx.app.project.view;
        let mut percent = view.top_percent;
        const NAME: &str = "Top percent of neurons";
        let r = if rail {
            let r = log_slider(ui, cx.theme, &mut percent, 0.01..=100.0, 10.0, NAME);
            caption(ui, cx.theme, "%");
            r
        } else {
            // A drag moves it by a share of itself, as a logarithmic rail does.
            let speed = percent * 0.01;
            let drag = DragValue::new(&mut percent)
                .range(0.01..=100.0)
                .speed(speed)
                .custom_formatter(|v, _| format!("{} %", sig3(v)))
                .custom_parser(parse_number);
            ui.name_inputs(NAME, |ui| ui.add(drag)).accessible_name(NAME)
        };
        if r.changed() {
            cx.send(Command::SetTopPercent { percent });
        }
        let hot = r.dragged() || r.hovered() || r.has_focus();
        let r = r.on_hover_text("The share of all neurons with the largest values; outlined in the map while this is in use");
        let of = format!("the top {} %", sig3(view.top_percent));
        if ui.button("Select").on_hover_text(format!("Selects {of}")).clicked() {
            self.top.select_when_done = true;
        }
        if shown.minus.is_none() && ui.button("Switch off").on_hover_text(format!("Makes a set of {of} and switches it off")).clicked() {
            cx.send(Command::AddTopSet { domain: shown.domain.to_owned(), metric, percent: view.top_percent });
            cx.link.ask(Ask::ShowPanel("ablation"));
        }
        (hot, r)
    }
}

/// What is selected and what can be done with it: at the end of the row, behind one button where the row has no room for two.
fn selection_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &Shown<'_>) {
    let selection = &cx.app.project.view.selection;
    let n = selection.len();
    if n == 0 {
        return;
    }
    let chosen = format!("{} selected", number::count(n as u64));
    let acts = |ui: &mut Ui, cx: &mut PanelCx<'_>| {
        let clear = ui.button("Clear").on_hover_text("Empties the selection").clicked();
        if clear {
            cx.send(Command::SelectNeurons { neurons: NeuronSet::new() });
        }
        let make = ui.button("Make set, off").on_hover_text("Makes a set of the selection and switches it off").clicked();
        if make {
            let name = if n == 1 { selection.to_string() } else { format!("selection of {}", number::count(n as u64)) };
            cx.send(Command::AddSet {
                name,
                neurons: selection.clone(),
                source: format!("selected by hand, {}", shown.domain),
                chosen_on: std::iter::once(shown.domain).chain(shown.minus).map(str::to_owned).collect(),
            });
        }
        clear || make
    };
    if fits(ui, [chosen.as_str(), "Make set, off", "Clear"].into_iter()) {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            acts(ui, cx);
            ui.label(cx.theme.faint(chosen));
        });
        return;
    }
    let short = if fits(ui, std::iter::once(chosen.as_str())) { chosen.clone() } else { number::short_count(n as u64) };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let (r, _) = MenuButton::new(short).ui(ui, |ui| {
            ui.label(cx.theme.group(&chosen));
            if acts(ui, cx) {
                ui.close();
            }
        });
        r.accessible_name(chosen).on_hover_text("What can be done with the selected neurons");
    });
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

/// A choice among the run's domains, shown as `words`, that leaves the width `after` to what follows; `Some(None)` when none was chosen, which is offered
/// where `or_none`.
fn domain_combo(
    ui: &mut Ui,
    cx: &PanelCx<'_>,
    (name, after): (&str, f32),
    chosen: &str,
    words: &str,
    names: &[&str],
    or_none: bool,
) -> Option<Option<String>> {
    let mut new = None;
    let words = RichText::new(words).color(cx.theme.text);
    let combo = ComboBox::from_id_salt(name).width(LEAST).truncate().selected_text(words);
    // A long name leaves room for its neighbours.
    let r = ui.scope(|ui| {
        ui.set_max_width((ui.available_size_before_wrap().x - after).clamp(LEAST, 180.0));
        combo.show_ui(ui, |ui| {
            if or_none && ui.selectable_label(false, "nothing").clicked() {
                new = Some(None);
            }
            for n in names {
                if ui.selectable_label(*n == chosen, *n).clicked() {
                    new = Some(Some((*n).to_owned()));
                }
            }
        })
    });
    r.inner.response.accessible_name(name);
    new
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
