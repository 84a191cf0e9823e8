//! Every action by name (Ctrl+P), and neurons by theirs, a number or a rank (Ctrl+F), in one field. What was used last comes first; what cannot be done now
//! says why.

use super::{
    Theme,
    actions::{Act, Action},
    find::{Finder, Found, Shown},
    keys, theme,
};
use crate::base::Neuron;
use eframe::egui::{self, Align2, Area, Context, Frame, Id, Key, Order, RichText, ScrollArea, TextEdit, vec2};

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
    /// And the action's name, to be remembered.
    Act(Box<Act>, String),
    Neurons(Found),
}

impl Palette {
    pub fn open(&mut self, find: bool) {
        *self = Self { open: true, find, text: String::new(), at: 0, fresh: true, finder: Finder::default() };
    }
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// `recent`: names of actions, newest first; `shown`: the map that ranks come from; `focus`: the neuron in focus.
    #[expect(clippy::too_many_arguments, reason = "all that the field searches, from one caller")]
    pub fn ui(
        &mut self,
        ctx: &Context,
        theme: &Theme,
        actions: &[Action],
        recent: &[String],
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
        let matches = if self.find { Vec::new() } else { ranked(actions, &self.text, recent) };
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
                ui.set_width(480.0);
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
                ScrollArea::vertical().max_height(360.0).show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 0.0;
                    let mut row = 0;
                    let mut line = |ui: &mut egui::Ui, text: RichText, end: String, why: &str| {
                        let mut button = egui::Button::selectable(row == self.at, text).min_size(vec2(ui.available_width(), theme::ROW));
                        if !end.is_empty() {
                            button = button.shortcut_text(end);
                        }
                        let response = ui.add(button);
                        if row == self.at && (up || down) {
                            response.scroll_to_me(None);
                        }
                        let hit = (response.clicked() || (enter && row == self.at)) && why.is_empty();
                        if !why.is_empty() {
                            response.on_hover_text(why);
                        }
                        row += 1;
                        hit
                    };
                    for f in hits {
                        if line(ui, RichText::new(&f.words), String::new(), "") {
                            chosen = Some(Choice::Neurons(f.clone()));
                        }
                    }
                    for a in &matches {
                        let shortcut = a.shortcut.map(|k| keys::shortcut(ui.ctx(), &k)).unwrap_or_default();
                        let (text, end) = match a.enabled {
                            true => (RichText::new(&a.label), shortcut),
                            false => {
                                let name = text_width(ui, &a.label);
                                let room = ui.available_width() - name - 4.0 * theme::GRID - 2.0 * ui.spacing().button_padding.x;
                                (RichText::new(&a.label).color(theme.secondary), fitting(ui, a.why, room))
                            }
                        };
                        if line(ui, text, end, a.why) {
                            chosen = Some(Choice::Act(Box::new(a.act.clone()), a.label.clone()));
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

/// The actions that fit, the best first. Without a text: what was used last, then all in the order of the menus. What cannot be done comes after what can.
fn ranked<'a>(actions: &'a [Action], text: &str, recent: &[String]) -> Vec<&'a Action> {
    let words: Vec<Vec<char>> = text.to_lowercase().split_whitespace().map(|w| w.chars().collect()).collect();
    let mut scored: Vec<(bool, i32, usize, &Action)> = Vec::new();
    for (place, a) in actions.iter().enumerate().filter(|(_, a)| !matches!(a.act, Act::Palette)) {
        let label: Vec<char> = a.label.to_lowercase().chars().collect();
        let whole: Vec<char> = format!("{} {}", a.menu, a.label).to_lowercase().chars().collect();
        let used = recent.iter().position(|r| *r == a.label).map_or(0, |at| 12 - at.min(11) as i32);
        let fits: Option<i32> = words.iter().map(|w| fit(w, &label).map(|s| s + 2).or_else(|| fit(w, &whole))).sum();
        if let Some(score) = fits {
            scored.push((!a.enabled, -(score + used), place, a));
        }
    }
    scored.sort_by_key(|(impossible, score, place, _)| (*impossible, *score, *place));
    scored.into_iter().map(|s| s.3).collect()
}

/// How well the letters of a word fit a text, in order but not side by side; `None` where they do not. Beginnings of words and runs count most.
fn fit(word: &[char], text: &[char]) -> Option<i32> {
    let begins = |i: usize| i == 0 || !text[i - 1].is_alphanumeric();
    // A run that begins a word, then any run, then letters one by one from the beginnings of words.
    let run = |from: usize| text.len() >= from + word.len() && text[from..from + word.len()] == *word;
    if let Some(at) = (0..text.len()).find(|&i| begins(i) && run(i)) {
        return Some(40 - (at as i32).min(20));
    }
    if (0..text.len()).any(run) {
        return Some(12);
    }
    let (mut at, mut score) = (0, 0);
    for (k, c) in word.iter().enumerate() {
        let rest = || (at..text.len()).filter(|&i| text[i] == *c);
        let next = rest().find(|&i| begins(i)).or_else(|| if k == 0 { None } else { rest().next() })?;
        score += if begins(next) { 3 } else { i32::from(next == at) };
        at = next + 1;
    }
    Some(score)
}

fn text_width(ui: &egui::Ui, text: &str) -> f32 {
    let font = egui::TextStyle::Button.resolve(ui.style());
    ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::PLACEHOLDER).size().x
}

/// As much of a text as there is room for: an action's name goes before the reason why it cannot be done.
fn fitting(ui: &egui::Ui, text: &str, room: f32) -> String {
    if text_width(ui, text) <= room {
        return text.to_owned();
    }
    let ends: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    let cut = |n: usize| format!("{}…", text[..ends[n]].trim_end());
    let n = ends.partition_point(|&end| text_width(ui, &format!("{}…", &text[..end])) <= room);
    cut(n.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::testing::sample_app, gui::actions};

    fn first(text: &str, recent: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("dir");
        let list = actions::all(&sample_app(dir.path()));
        let recent: Vec<String> = recent.iter().map(|r| (*r).to_owned()).collect();
        ranked(&list, text, &recent).first().map_or_else(String::new, |a| a.label.clone())
    }

    #[test]
    fn letters_find_actions_as_people_type_them() {
        assert_eq!(first("save", &[]), "Save project");
        assert_eq!(first("opmo", &[]), "Open model folder…");
        assert_eq!(first("scan", &[]), "Scan 6 domains");
        assert_eq!(first("rep html", &[]), "Save a report of the run (HTML)…");
        assert_eq!(first("panels hist", &[]), "History");
        assert_eq!(first("zzz", &[]), "");
    }

    #[test]
    fn what_was_used_last_comes_first_and_what_cannot_be_done_last() {
        assert_eq!(first("", &["Take the tour", "Quit"]), "Take the tour");
        assert_eq!(first("op", &["Open run…"]), "Open run…");
        let dir = tempfile::tempdir().expect("dir");
        let list = actions::all(&sample_app(dir.path()));
        let order = ranked(&list, "", &[]);
        let cut = order.iter().position(|a| !a.enabled).expect("undo cannot be done");
        assert!(order[cut..].iter().all(|a| !a.enabled && !a.why.is_empty()));
        assert_eq!(order.len(), list.len() - 1, "every action but the palette itself");
    }
}
