//! Items as the model will read them, one after another, the right choice marked.

use crate::{
    data::{Domain, Item},
    gui::{
        PanelCx, Theme,
        widgets::{
            control::tag,
            number::{count, counted},
            table::icon_button,
        },
    },
};
use eframe::egui::{self, Color32, FontId, Label, Ui, text::LayoutJob};
use egui_material_icons::icons;

/// Items a page.
const PAGE: usize = 3;

#[derive(Default)]
pub struct Prompts {
    domain: String,
    first: usize,
}

impl Prompts {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, domain: &Domain) {
        if self.domain != domain.name {
            *self = Self { domain: domain.name.clone(), first: 0 };
        }
        let n = domain.items.len();
        self.first = self.first.min(n.saturating_sub(1) / PAGE * PAGE);
        let last = (self.first + PAGE).min(n);
        for item in &domain.items[self.first..last] {
            item_ui(ui, cx, item);
        }
        ui.horizontal(|ui| {
            ui.add_enabled_ui(self.first > 0, |ui| {
                if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Previous items", "").clicked() {
                    self.first = self.first.saturating_sub(PAGE);
                }
            });
            ui.label(cx.theme.small(format!("{} to {} of {}", self.first + 1, last, count(n as u64))));
            ui.add_enabled_ui(last < n, |ui| {
                if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next items", "").clicked() {
                    self.first += PAGE;
                }
            });
        });
    }
}

/// One item in the monospaced face. White space at the ends of pieces, which models feel and eyes do not, is drawn as dots.
pub fn item_ui(ui: &mut Ui, cx: &PanelCx<'_>, item: &Item) {
    let theme = cx.theme;
    egui::Frame::NONE.fill(theme.raised).corner_radius(4).inner_margin(egui::Margin::symmetric(8, 6)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(theme.small(format!("line {}", item.line)));
        before_ui(ui, theme, item);
        match cx.app.chat_prompt(item) {
            Some(Ok(text)) => {
                ui.add(Label::new(piece(theme, &text, theme.text)).wrap().selectable(true));
            }
            Some(Err(message)) => {
                ui.label(egui::RichText::new(message).color(theme.warn));
                ui.add(Label::new(piece(theme, &item.context, theme.text)).wrap().selectable(true));
            }
            None if item.choice_contexts.is_empty() => {
                ui.add(Label::new(piece(theme, &item.context, theme.text)).wrap().selectable(true));
            }
            None => {}
        }
        if let Some(pair) = &item.pair {
            let score = pair.score.map_or_else(String::new, |s| format!("score {s} · "));
            ui.label(theme.small(format!("{score}beside it: {}", pair.second)));
        }
        for (i, _) in item.choices.iter().enumerate() {
            let gold = item.gold == Some(i);
            ui.horizontal_top(|ui| {
                let (icon, ink) = if gold { (icons::ICON_CHECK, theme.good) } else { (icons::ICON_ARROW_RIGHT, theme.secondary) };
                ui.label(icon.rich_text().size(14.0).color(ink));
                let mut job = LayoutJob::default();
                if let Some(own) = item.choice_contexts.get(i) {
                    append(&mut job, theme, own, theme.secondary);
                }
                append(&mut job, theme, &item.continuation(i), if gold { theme.text } else { theme.secondary });
                let room = (ui.available_width() - 52.0).max(60.0);
                ui.scope(|ui| {
                    ui.set_max_width(room);
                    ui.add(Label::new(job).wrap().selectable(true));
                });
                if gold {
                    tag(ui, theme, "gold", theme.good).on_hover_text("The right choice");
                }
            });
        }
    });
}

/// Description and examples, folded: they are long and much the same for every item.
fn before_ui(ui: &mut Ui, theme: &Theme, item: &Item) {
    let before = item.before();
    if before.is_empty() {
        return;
    }
    let lines: Vec<String> = item.shots.iter().map(|s| s.line.to_string()).collect();
    let title = match lines.len() {
        0 => "description".to_owned(),
        n => format!("{} before it: {} {}", counted(n as u64, "example"), if n == 1 { "line" } else { "lines" }, lines.join(", ")),
    };
    egui::CollapsingHeader::new(theme.small(title)).id_salt(("before", item.line)).show(ui, |ui| {
        ui.add(Label::new(piece(theme, &before, theme.secondary)).wrap().selectable(true));
    });
}

fn piece(theme: &Theme, text: &str, ink: Color32) -> LayoutJob {
    let mut job = LayoutJob::default();
    append(&mut job, theme, text, ink);
    job
}

fn append(job: &mut LayoutJob, theme: &Theme, text: &str, ink: Color32) {
    let format = |ink| egui::TextFormat { font_id: FontId::monospace(12.0), color: ink, ..Default::default() };
    let faint = theme.tint(theme.secondary, 0.7);
    let inner = text.trim_matches(' ');
    let before = text.len() - text.trim_start_matches(' ').len();
    let after = if inner.is_empty() { 0 } else { text.len() - text.trim_end_matches(' ').len() };
    job.append(&"·".repeat(before), 0.0, format(faint));
    job.append(inner, 0.0, format(ink));
    job.append(&"·".repeat(after), 0.0, format(faint));
}
