//! What is switched off: named sets with a switch each, single neurons, and the way to add more.

use crate::{
    app::Command,
    base::{Neuron, NeuronSet},
    gui::{
        PanelCx, theme,
        widgets::{
            control::{caption, caption_width, remark, room_for, switch},
            number::{count, counted},
            table::icon_button,
        },
    },
    scan::MetricKind,
};
use eframe::egui::{self, Align, ComboBox, DragValue, Key, Label, Layout, RichText, TextEdit, Ui, vec2};
use egui_material_icons::icons;

/// The set whose name is being typed, and the name so far.
#[derive(Default)]
pub struct Rename(Option<(usize, String)>);

pub fn sets_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, rename: &mut Rename) {
    let app = cx.app;
    if !app.project.has_ablation() {
        remark(ui, cx.theme, "None yet. Add one below, or select neurons in the map.");
    }
    for (index, set) in app.project.sets.iter().enumerate() {
        ui.horizontal(|ui| {
            let mut on = set.on;
            let name = format!("{}: {}", set.name, if on { "off in the model" } else { "not in force" });
            let hover = "Whether the set is in force: its neurons are switched off";
            if switch(ui, cx.theme, &mut on, &name).on_hover_text(hover).changed() {
                cx.send(Command::EnableSet { index, on });
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                if icon_button(ui, icons::ICON_CLOSE, &format!("Remove {}", set.name), "Undo brings it back").clicked() {
                    cx.send(Command::RemoveSet { index });
                }
                if icon_button(ui, icons::ICON_EDIT, &format!("Rename {}", set.name), "").clicked() {
                    rename.0 = Some((index, set.name.clone()));
                }
                if icon_button(ui, icons::ICON_SELECT_ALL, &format!("Select the neurons of {}", set.name), "Marks them in every view")
                    .clicked()
                {
                    cx.send(Command::SelectNeurons { neurons: set.neurons.clone() });
                }
                ui.add_space(6.0);
                ui.label(cx.theme.faint(count(set.neurons.len() as u64))).on_hover_text("neurons");
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| name_ui(ui, cx, rename, index));
            });
        });
    }
}

fn name_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, rename: &mut Rename, index: usize) {
    let set = &cx.app.project.sets[index];
    match &mut rename.0 {
        Some((i, text)) if *i == index => {
            let edit = ui.add(TextEdit::singleline(text).desired_width(ui.available_width())).accessible_name("Name of the set");
            if edit.lost_focus() {
                if !ui.input(|i| i.key_pressed(Key::Escape)) && !text.trim().is_empty() && *text != set.name {
                    cx.send(Command::RenameSet { index, name: text.trim().to_owned() });
                }
                rename.0 = None;
            } else {
                edit.request_focus();
            }
        }
        _ => {
            let ink = if set.on { cx.theme.text } else { cx.theme.secondary };
            ui.add(Label::new(RichText::new(&set.name).color(ink)).truncate()).on_hover_text(&set.source);
        }
    }
}

/// Neurons shown one by one at most.
const SHOWN: usize = 120;

pub fn singles_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let lists = [("Single neurons off", &app.project.single, true), ("Spared, though in a set", &app.project.spared, false)];
    for (title, neurons, off) in lists {
        if neurons.is_empty() {
            continue;
        }
        ui.add_space(theme::GRID);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
            ui.label(cx.theme.small(format!("{title}:")));
            for neuron in neurons.iter().take(SHOWN) {
                chip(ui, cx, neuron, off);
            }
            if neurons.len() > SHOWN {
                ui.label(cx.theme.small(format!("and {} more", count((neurons.len() - SHOWN) as u64))));
            }
        });
    }
    if !app.project.heads.is_empty() {
        ui.horizontal_wrapped(|ui| {
            ui.label(cx.theme.small("Single heads off:"));
            for &head in &app.project.heads {
                let button = egui::Button::new(format!("{head}  ×")).min_size(vec2(0.0, theme::ROW));
                if ui.add(button).on_hover_text("Switch it on again").clicked() {
                    cx.send(Command::ToggleHead { head });
                }
            }
        });
    }
}

fn chip(ui: &mut Ui, cx: &mut PanelCx<'_>, neuron: Neuron, off: bool) {
    let button = egui::Button::new(format!("{neuron}  ×")).min_size(vec2(0.0, theme::ROW));
    let hover = if off { "Switch it on again" } else { "Switch it off with its set" };
    let response = ui.add(button).on_hover_text(hover);
    if response.hovered() {
        cx.link.hover_neuron(neuron);
    }
    if response.clicked() {
        cx.send(Command::ToggleNeuron { neuron });
    }
}

/// Controls that make a new set: the top of a map, or neurons by name.
pub struct Adder {
    domain: Option<String>,
    metric: MetricKind,
    percent: Option<f64>,
    typed: String,
    problem: Option<String>,
}

impl Default for Adder {
    fn default() -> Self {
        Self { domain: None, metric: MetricKind::Relevance, percent: None, typed: String::new(), problem: None }
    }
}

impl Adder {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        self.top_ui(ui, cx);
        self.typed_ui(ui, cx);
        let selected = &cx.app.project.view.selection;
        if !selected.is_empty() && ui.button(format!("Switch off the {} selected", counted(selected.len() as u64, "neuron"))).clicked() {
            let (neurons, n) = (selected.clone(), selected.len());
            let chosen_on = cx.app.project.view.domain.iter().chain(&cx.app.project.view.minus).cloned().collect();
            let name = format!("selection of {n}");
            cx.send(Command::AddSet { name, neurons, source: "selected in a view".into(), chosen_on });
        }
    }

    fn top_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(scan) = cx.app.library.scan() else {
            remark(ui, cx.theme, "Scan the domains to switch off the neurons that serve one of them most.");
            return;
        };
        let maps: Vec<MetricKind> = MetricKind::ALL.into_iter().filter(|&m| scan.domains.iter().any(|d| d.map(m).is_some())).collect();
        if !maps.contains(&self.metric) {
            let Some(&first) = maps.first() else { return };
            self.metric = first;
        }
        let known = |name: &String| scan.domain(name).is_some();
        let domain = self.domain.clone().filter(known).or_else(|| cx.app.project.view.domain.clone().filter(known));
        let Some(domain) = domain.or_else(|| scan.domains.first().map(|d| d.name.clone())) else { return };
        let mut percent = self.percent.unwrap_or(cx.app.project.view.top_percent);
        ui.horizontal_wrapped(|ui| {
            caption(ui, cx.theme, "top");
            let drag = DragValue::new(&mut percent).range(0.01..=100.0).speed(0.1).suffix(" %").max_decimals(2);
            if ui.add(drag).accessible_name("Share of all neurons, percent").changed() {
                self.percent = Some(percent);
            }
            caption(ui, cx.theme, "of");
            let combo = ComboBox::from_id_salt("top of domain").selected_text(&domain).width(110.0);
            let shown = ui.name_inputs("Domain", |ui| {
                combo.show_ui(ui, |ui| {
                    for d in &scan.domains {
                        if ui.selectable_label(d.name == domain, &d.name).clicked() {
                            self.domain = Some(d.name.clone());
                        }
                    }
                })
            });
            shown.response.accessible_name("Domain");
            room_for(ui, caption_width(ui, "by") + 160.0);
            caption(ui, cx.theme, "by");
            let combo = ComboBox::from_id_salt("top by metric").selected_text(self.metric.label()).width(130.0);
            let shown = combo.show_ui(ui, |ui| {
                for &m in &maps {
                    ui.selectable_value(&mut self.metric, m, m.label()).on_hover_text(m.info().formula);
                }
            });
            shown.response.accessible_name("Metric");
            let button = ui.add(cx.theme.primary("Switch off")).on_hover_text("A new set, in force at once");
            if button.accessible_name("Switch off the top neurons").clicked() {
                cx.send(Command::AddTopSet { domain: domain.clone(), metric: self.metric, percent });
            }
        });
    }

    fn typed_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 104.0).clamp(80.0, 220.0);
            let edit = TextEdit::singleline(&mut self.typed).hint_text("L3N17, L4N0-15").desired_width(width);
            let field = ui.add(edit).accessible_name("Neurons by name");
            if field.changed() {
                self.problem = None;
            }
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let add = ui.add_enabled(!self.typed.trim().is_empty(), egui::Button::new("Add these")).clicked();
            if (add || entered) && !self.typed.trim().is_empty() {
                self.add_typed(cx);
            }
        });
        if let Some(problem) = &self.problem {
            ui.label(RichText::new(problem).color(cx.theme.bad));
        }
    }

    fn add_typed(&mut self, cx: &mut PanelCx<'_>) {
        let parsed = NeuronSet::parse(&self.typed).and_then(|set| {
            if let Some(spec) = cx.app.library.spec() {
                set.check_inside(spec.n_layers, spec.d_mlp)?;
            }
            Ok(set)
        });
        match parsed {
            Ok(neurons) => {
                let name = crate::gui::widgets::number::elided(self.typed.trim(), 24, 8);
                cx.send(Command::AddSet { name, neurons, source: "typed".into(), chosen_on: Vec::new() });
                self.typed.clear();
                self.problem = None;
            }
            Err(e) => self.problem = Some(e.to_string()),
        }
    }
}
