//! The named neuron sets: what there is, where it came from, and new ones by formula, from the selection or from a file. A set made anywhere stands here,
//! and what is chosen here is selected everywhere.

use crate::{
    ablate::{Vocabulary, formula::quoted},
    app::{App, Command, NamedSet},
    base::NeuronSet,
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            control::{colour_spot, remark, switch},
            number::{count, counted, elided},
            sparkline::{by_layer, layer_bars, sparkline},
            table::{Fact, facts, icon_button},
        },
    },
};
use eframe::egui::{self, Align, Key, Label, Layout, RichText, ScrollArea, Sense, TextEdit, Ui, vec2};
use egui_material_icons::icons;

#[derive(Default)]
pub struct SetsPanel {
    editor: Editor,
    /// The set whose name is being typed, and the name so far.
    rename: Option<(usize, String)>,
    /// The set whose particulars are shown.
    open: Option<usize>,
}

/// Height of a chart of a set's layers: it is there where a short list of sets leaves room.
const LEAST_CHART: f32 = 56.0;
const MOST_CHART: f32 = 240.0;

impl Panel for SetsPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        self.editor.ui(ui, cx);
        ui.add_space(theme::GRID * 2.0);
        ui.painter().hline(ui.max_rect().x_range(), ui.cursor().top(), cx.theme.hairline_stroke());
        ui.add_space(theme::GRID * 2.0);
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            if cx.app.project.sets.is_empty() {
                ui.add_space(theme::GRID * 2.0);
                let text = "No set yet. Write a formula above, brush neurons in a map (shift-drag), or drop a set's JSON file here.";
                ui.add(Label::new(cx.theme.faint(text)).wrap());
            }
            let n = cx.app.project.sets.len();
            let chart = (ui.available_height() / n.max(1) as f32 - theme::ROW - theme::GRID * 5.0).min(MOST_CHART);
            let chart = Some(chart).filter(|h| *h >= LEAST_CHART);
            for index in 0..n {
                self.row_ui(ui, cx, index, chart);
            }
            for b in cx.app.project.besides_sets() {
                ui.add(Label::new(cx.theme.small(format!("{}: {}", b.name, b.which))).truncate()).on_hover_text("No set; see Ablation");
            }
        });
    }
}

/// Layers of the model, or as many as a set has.
fn layers_of(app: &App, set: &NeuronSet) -> usize {
    let known = app.library.spec().map(|s| s.n_layers).or_else(|| app.library.scan().map(|s| s.n_layers));
    known.unwrap_or(0).max(set.layers().last().map_or(0, |l| l + 1))
}

fn per_layer(app: &App, set: &NeuronSet) -> Vec<usize> {
    (0..layers_of(app, set)).map(|l| set.layer(l).count()).collect()
}

impl SetsPanel {
    /// `chart`: height of where the neurons lie, under the row; else it stands in the row.
    fn row_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, index: usize, chart: Option<f32>) {
        let app = cx.app;
        let set = &app.project.sets[index];
        let selected = !set.neurons.is_empty() && app.project.view.selection == set.neurons;
        let colour = set.colour.map_or(cx.theme.secondary, |c| cx.theme.domain(c));
        let rect = egui::Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), theme::ROW));
        if selected {
            ui.painter().rect_filled(rect.expand2(vec2(4.0, 0.0)), 4.0, ui.visuals().selection.bg_fill);
        }
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            if colour_spot(ui, cx.theme, colour, &set.name).clicked() {
                let next = set.colour.map_or(0, |c| (c + 1) % cx.theme.domains.len());
                cx.send(Command::ColourSet { index, colour: next });
            }
            let mut on = set.on;
            let name = format!("{}: {}", set.name, if on { "off in the model" } else { "not in force" });
            let hover = "Whether the set is in force: its neurons are switched off";
            if switch(ui, cx.theme, &mut on, &name).on_hover_text(hover).changed() {
                cx.send(Command::EnableSet { index, on });
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                self.menu_ui(ui, cx, index);
                if icon_button(ui, icons::ICON_SELECT_ALL, &format!("Select the neurons of {}", set.name), "Marks them in every view")
                    .clicked()
                {
                    cx.send(Command::SelectNeurons { neurons: set.neurons.clone() });
                }
                let text = count(set.neurons.len() as u64);
                ui.allocate_ui_with_layout(vec2(56.0, theme::ROW), Layout::right_to_left(Align::Center), |ui| {
                    ui.label(cx.theme.faint(text)).on_hover_text("neurons");
                });
                if chart.is_none() && ui.available_width() > 220.0 {
                    let counts = per_layer(app, &set.neurons);
                    let words = by_layer(&counts, 12);
                    sparkline(ui, cx.theme, &counts, colour, 96.0, &format!("{} by layer: {words}", set.name)).on_hover_text(words);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| self.name_ui(ui, cx, index));
            });
        });
        if let Some(height) = chart {
            let counts = per_layer(app, &set.neurons);
            let words = by_layer(&counts, 12);
            layer_bars(ui, cx.theme, &counts, colour, height, &format!("{} by layer: {words}", set.name)).on_hover_text(words);
            ui.add_space(theme::GRID);
        }
        if self.open == Some(index) {
            particulars_ui(ui, cx, index);
        }
    }

    fn name_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, index: usize) {
        let set = &cx.app.project.sets[index];
        if let Some((_, text)) = self.rename.as_mut().filter(|r| r.0 == index) {
            let edit = ui.add(TextEdit::singleline(text).desired_width(ui.available_width())).accessible_name("Name of the set");
            if edit.lost_focus() {
                if !ui.input(|i| i.key_pressed(Key::Escape)) && !text.trim().is_empty() && *text != set.name {
                    cx.send(Command::RenameSet { index, name: text.trim().to_owned() });
                }
                self.rename = None;
            } else {
                edit.request_focus();
            }
            return;
        }
        let ink = if set.on { cx.theme.text } else { cx.theme.secondary };
        let label = ui.add(Label::new(RichText::new(&set.name).color(ink)).truncate().sense(Sense::click()));
        let label = label.on_hover_text(format!("{}\nClick for particulars, double click to rename", set.source));
        if label.double_clicked() {
            self.rename = Some((index, set.name.clone()));
        } else if label.clicked() {
            self.open = if self.open == Some(index) { None } else { Some(index) };
        }
    }

    fn menu_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, index: usize) {
        let set = &cx.app.project.sets[index];
        let icon = icons::ICON_MORE_VERT.rich_text().size(16.0);
        let button = egui::Button::new(icon).frame_when_inactive(false).min_size(vec2(theme::ROW, theme::ROW));
        let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
            let item = |ui: &mut Ui, text: &str| {
                let clicked = ui.button(text).clicked();
                if clicked {
                    ui.close();
                }
                clicked
            };
            if item(ui, "Particulars and notes") {
                self.open = Some(index);
            }
            if item(ui, "Rename") {
                self.rename = Some((index, set.name.clone()));
            }
            if item(ui, "Duplicate") {
                cx.send(Command::DuplicateSet { index });
            }
            if item(ui, "Use in a formula") {
                self.editor.append(&quoted(&set.name));
            }
            ui.separator();
            let named = cx.app.library.model_info().is_some();
            for (vocabulary, text, possible) in [
                (Vocabulary::Layers, "Save as JSON by layer…", true),
                (Vocabulary::HookPoints, "Save as JSON by hook point…", true),
                (Vocabulary::Tensors, "Save as JSON by tensor…", named),
            ] {
                let button = ui.add_enabled(possible, egui::Button::new(text));
                if button.on_disabled_hover_text("Open the model first: its tensors have the names").clicked() {
                    cx.link.ask(Ask::SaveSet(index, vocabulary));
                    ui.close();
                }
            }
            if item(ui, "Copy its neurons") {
                cx.link.ask(Ask::Copy(set.neurons.to_string()));
            }
            ui.separator();
            if item(ui, "Remove") {
                cx.send(Command::RemoveSet { index });
                self.open = None;
            }
        });
        response.on_hover_text("Rename, duplicate, save, remove").accessible_name(format!("Menu of {}", set.name));
    }
}

/// Where a set came from, and the user's words on it.
fn particulars_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, index: usize) {
    let set: &NamedSet = &cx.app.project.sets[index];
    egui::Frame::NONE.inner_margin(egui::Margin { left: 60, right: 8, top: 2, bottom: 8 }).show(ui, |ui| {
        ui.set_width(ui.available_width());
        let mut list = vec![Fact::copied("made from", elided(&set.source, 40, 16), &set.source)];
        if !set.formula.is_empty() {
            list.push(Fact::copied("formula", elided(&set.formula, 40, 16), &set.formula));
        }
        if !set.run.is_empty() {
            list.push(Fact::new("run", &set.run));
        }
        if !set.model_sha256.is_empty() {
            list.push(Fact::hash("model", &set.model_sha256));
        }
        let layers = set.neurons.layers().count() as u64;
        list.push(Fact::new("neurons", format!("{} in {}", count(set.neurons.len() as u64), counted(layers, "layer"))));
        facts(ui, cx.theme, &list);
        let mut notes = set.notes.clone();
        let field = TextEdit::multiline(&mut notes).hint_text("Notes").desired_rows(2).desired_width(f32::INFINITY);
        if ui.add(field).accessible_name(format!("Notes on {}", set.name)).changed() {
            cx.send(Command::NoteSet { index, notes });
        }
    });
}

/// A formula being written, and what it gives.
#[derive(Default)]
struct Editor {
    text: String,
    name: String,
    found: Option<Found>,
    help: bool,
}

/// What a formula gave, and of what.
struct Found {
    text: String,
    /// The shown run, the sets and the selection it was read with.
    of: (Option<usize>, Vec<(String, usize)>, usize),
    result: Result<NeuronSet, String>,
}

const EXAMPLES: &[(&str, &str)] = &[
    ("top(logic, 10%)", "the most relevant tenth of all neurons for a domain; a number instead of a share counts neurons"),
    ("top(logic, 10%, mean_abs_activation)", "by another metric of the run"),
    ("a | b    a & b    a - b", "in either, in both, in the first but not in the second; parentheses group"),
    ("cap(a, 20)", "at most 20 in each layer, the highest first"),
    ("layers(a, 4-9)", "only layers 4 to 9"),
    ("random_like(a, 1)", "as many in each layer, at random, by seed"),
    ("'my set'    selection    off", "a set by its name; what is selected; all that is off"),
    ("L3N17    L4N0-15    blocks.3.mlp.hook_post[17]", "neurons by name"),
];

impl Editor {
    fn append(&mut self, word: &str) {
        if !self.text.trim().is_empty() {
            self.text.push_str(" | ");
        }
        self.text.push_str(word);
    }

    fn result(&mut self, app: &App) -> Option<&Result<NeuronSet, String>> {
        if self.text.trim().is_empty() {
            self.found = None;
            return None;
        }
        let sets = app.project.sets.iter().map(|s| (s.name.clone(), s.neurons.len())).collect();
        let of = (app.library.shown, sets, app.project.view.selection.len());
        if self.found.as_ref().is_none_or(|f| f.text != self.text || f.of != of) {
            let result = app.formula(&self.text).map(|f| f.neurons).map_err(|e| e.to_string());
            self.found = Some(Found { text: self.text.clone(), of, result });
        }
        self.found.as_ref().map(|f| &f.result)
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let mut entered = false;
        ui.horizontal(|ui| {
            let room = ui.available_width() - 68.0;
            let hint = "Formula: top(logic, 10%) - top(code, 10%)";
            let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(room).font(egui::TextStyle::Monospace));
            let field = field.accessible_name("Formula of a new set");
            entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            ui.spacing_mut().item_spacing.x = 2.0;
            if icon_button(ui, icons::ICON_FUNCTIONS, "How formulas are written", "").clicked() {
                self.help = !self.help;
            }
            if icon_button(ui, icons::ICON_FILE_OPEN, "Add a set from a file…", "JSON, by layer, hook point or tensor").clicked() {
                cx.link.ask(Ask::OpenSet);
            }
        });
        if self.help {
            for (formula, meaning) in EXAMPLES {
                ui.horizontal_wrapped(|ui| {
                    ui.label(RichText::new(*formula).monospace().size(theme::SMALL).color(cx.theme.text));
                    ui.label(cx.theme.small(*meaning));
                });
            }
        }
        self.new_ui(ui, cx, entered);
    }

    /// What would be made, and the buttons that make it.
    fn new_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entered: bool) {
        let app = cx.app;
        let all = app.library.spec().map(|s| s.n_layers * s.d_mlp).or_else(|| app.library.scan().map(|s| s.n_layers * s.d_mlp));
        let theme = cx.theme;
        let found = match self.result(app) {
            None => None,
            Some(Err(e)) => {
                ui.add(Label::new(RichText::new(e).color(theme.bad)).wrap());
                None
            }
            Some(Ok(set)) => Some(set.clone()),
        };
        let selection = &app.project.view.selection;
        if let Some(set) = &found {
            ui.horizontal(|ui| {
                let share = all.filter(|a| *a > 0).map_or(String::new(), |a| format!(" ({:.2} %)", set.len() as f64 * 100.0 / a as f64));
                ui.label(theme.strong(format!("{}{share}", counted(set.len() as u64, "neuron"))));
                let counts = per_layer(app, set);
                let words = by_layer(&counts, 12);
                sparkline(ui, theme, &counts, theme.accent, 96.0, &format!("The new set by layer: {words}")).on_hover_text(words);
            });
        } else if self.text.trim().is_empty() && selection.is_empty() {
            remark(ui, theme, "Sets are made by a formula, from a file, or from what is selected in a view.");
        }
        let from_selection = found.is_none() && !selection.is_empty() && self.text.trim().is_empty();
        let Some(set) = found.filter(|s| !s.is_empty()).or_else(|| from_selection.then(|| selection.clone())) else { return };
        ui.horizontal_wrapped(|ui| {
            let hint = if from_selection { format!("selection of {}", set.len()) } else { "Name".to_owned() };
            ui.add(TextEdit::singleline(&mut self.name).hint_text(hint).desired_width(150.0)).accessible_name("Name of the new set");
            let what = if from_selection { format!("Keep the selection ({})", count(set.len() as u64)) } else { "Keep".to_owned() };
            let keep = ui.button(what).on_hover_text("A new set that switches nothing off");
            let keep = keep.accessible_name(if from_selection { "Keep the selection as a set" } else { "Keep the set" }).clicked();
            let off =
                ui.button("Switch off").on_hover_text("A new set, in force at once").accessible_name("Switch the new set off").clicked();
            if keep || off || entered {
                self.make(cx, set, from_selection, off);
            }
        });
    }

    fn make(&mut self, cx: &mut PanelCx<'_>, neurons: NeuronSet, from_selection: bool, on: bool) {
        let name = std::mem::take(&mut self.name);
        if !from_selection {
            cx.send(Command::AddFormula { name, formula: std::mem::take(&mut self.text), on });
            return;
        }
        let view = &cx.app.project.view;
        let chosen_on = view.domain.iter().chain(&view.minus).cloned().collect();
        let name = if name.trim().is_empty() { format!("selection of {}", neurons.len()) } else { name.trim().to_owned() };
        let name = cx.app.free_set_name(&name);
        let source = "selected in a view".to_owned();
        cx.send(if on {
            Command::AddSet { name, neurons, source, chosen_on }
        } else {
            Command::KeepSet { name, neurons, source, chosen_on }
        });
    }
}

pub fn make() -> Box<dyn Panel> {
    Box::<SetsPanel>::default()
}
