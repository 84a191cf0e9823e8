//! Every action by name (Ctrl+P), and neurons by theirs, a number or a rank (Ctrl+F), in one field.

use super::{
    Theme,
    actions::{Act, Action},
    find::{Finder, Found, Shown},
    theme,
};
use crate::base::Neuron;
use eframe::egui::{self, Align2, Area, Context, Frame, Id, Key, Order, ScrollArea, TextEdit, vec2};

#[derive(Default)]
pub struct Palette {
    open: bool,
    find: bool,
    text: String,
    at: usize,
    /// The field takes the keyboard in its first frame.
    fresh: bool,
    finder: Finder,
}

/// What was chosen.
pub enum Choice {
    Act(Box<Act>),
    Neurons(Found),
}

impl Palette {
    pub fn open(&mut self, find: bool) {
        *self = Self { open: true, find, text: String::new(), at: 0, fresh: true, finder: Finder::default() };
    }
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// `shown`: the map that ranks come from; `focus`: the neuron in focus.
    pub fn ui(
        &mut self,
        ctx: &Context,
        theme: &Theme,
        actions: &[Action],
        shape: Option<(usize, usize)>,
        shown: Option<&Shown<'_>>,
        focus: Option<Neuron>,
    ) -> Option<Choice> {
        if !self.open {
            return None;
        }
        let (up, down, enter, escape) = ctx.input_mut(|i| {
            let mut take = |k| i.consume_key(egui::Modifiers::NONE, k);
            (take(Key::ArrowUp), take(Key::ArrowDown), take(Key::Enter), take(Key::Escape))
        });
        let none = Ok(Vec::new());
        let found = match shape {
            // A bare number or word may be meant for an action; the search for neurons knows what it is for.
            Some(shape) if self.find || self.text.trim_start().starts_with(['L', 'l', '#']) => {
                self.finder.find(&self.text, shape, shown, focus)
            }
            None if self.find && !self.text.trim().is_empty() => &Err("There is no model yet".to_owned()),
            _ => &none,
        };
        let hits: &[Found] = found.as_ref().map_or(&[], |f| f);
        let words: Vec<String> = self.text.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let matches: Vec<&Action> = actions
            .iter()
            .filter(|a| a.enabled && !matches!(a.act, Act::Palette) && !self.find)
            .filter(|a| {
                let name = format!("{} {}", a.menu, a.label).to_lowercase();
                words.iter().all(|w| name.contains(w))
            })
            .collect();
        let count = matches.len() + hits.len();
        if down {
            self.at += 1;
        }
        if up {
            self.at = self.at.saturating_sub(1);
        }
        self.at = self.at.min(count.saturating_sub(1));

        let mut chosen = None;
        let area = Area::new(Id::unique("palette")).order(Order::Foreground).anchor(Align2::CENTER_TOP, vec2(0.0, 72.0));
        let response = area.show(ctx, |ui| {
            Frame::popup(ui.style()).inner_margin(8.0).show(ui, |ui| {
                ui.set_width(440.0);
                let hint = if self.find { "L3N17, 17, L3, L3N0-99 or top 1" } else { "An action, or a neuron as L3N17" };
                let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(f32::INFINITY));
                let field = field.accessible_name(if self.find { "Find a neuron" } else { "Every action" });
                if std::mem::take(&mut self.fresh) {
                    field.request_focus();
                }
                if field.changed() {
                    self.at = 0;
                }
                ui.add_space(theme::GRID);
                ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 0.0;
                    let mut row = 0;
                    let mut line = |ui: &mut egui::Ui, text: String, keys: String| {
                        let mut button = egui::Button::selectable(row == self.at, text).min_size(vec2(ui.available_width(), theme::ROW));
                        if !keys.is_empty() {
                            button = button.shortcut_text(keys);
                        }
                        let response = ui.add(button);
                        if row == self.at && (up || down) {
                            response.scroll_to_me(None);
                        }
                        let hit = response.clicked() || (enter && row == self.at);
                        row += 1;
                        hit
                    };
                    for f in hits {
                        if line(ui, f.words.clone(), String::new()) {
                            chosen = Some(Choice::Neurons(f.clone()));
                        }
                    }
                    for a in &matches {
                        let keys = a.shortcut.map(|k| ui.ctx().format_shortcut(&k)).unwrap_or_default();
                        if line(ui, a.label.clone(), keys) {
                            chosen = Some(Choice::Act(Box::new(a.act.clone())));
                        }
                    }
                    if let Err(problem) = found {
                        ui.label(theme.faint(problem));
                    } else if count == 0 && (!self.find || !self.text.is_empty()) {
                        ui.label(theme.faint("Nothing by that name"));
                    }
                });
            });
        });
        let outside = ctx.input(|i| i.pointer.any_pressed()) && !response.response.contains_pointer() && !self.fresh;
        if chosen.is_some() || escape || outside {
            self.open = false;
        }
        chosen
    }
}
