//! What happened, newest first: filtered by words and by weight, copied line by line or whole.

use crate::{
    app::{Notice, NoticeLevel},
    gui::{
        Ask, Panel, PanelCx,
        widgets::{
            control::{bar, choice},
            number::counted,
            states::empty_ui,
            table::icon_button,
        },
    },
};
use eframe::egui::{Align, Label, Layout, RichText, TextEdit, Ui};
use egui_extras::{Column, TableBuilder};
use egui_material_icons::icons;

pub struct LogPanel {
    filter: String,
    least: NoticeLevel,
}

impl Default for LogPanel {
    fn default() -> Self {
        Self { filter: String::new(), least: NoticeLevel::Info }
    }
}

impl LogPanel {
    fn holds(&self, notice: &Notice) -> bool {
        let words = self.filter.to_lowercase();
        let text = || format!("{} {}", notice.title, notice.details).to_lowercase();
        notice.level >= self.least && (words.is_empty() || words.split_whitespace().all(|w| text().contains(w)))
    }
}

fn line(n: &Notice) -> String {
    let level = match n.level {
        NoticeLevel::Info => "info",
        NoticeLevel::Done => "done",
        NoticeLevel::Warn => "warning",
        NoticeLevel::Error => "error",
    };
    if n.details.is_empty() {
        format!("{} {level}: {}", n.time, n.title)
    } else {
        format!("{} {level}: {}\n  {}", n.time, n.title, n.details)
    }
}

impl Panel for LogPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let log = &cx.app.log;
        if log.is_empty() {
            empty_ui(ui, cx.theme, icons::ICON_NOTES, "Nothing to report yet.", "");
            return;
        }
        let shown: Vec<&Notice> = log.iter().rev().filter(|n| self.holds(n)).collect();
        bar(
            ui,
            1,
            cx,
            |ui, cx| {
                let edit = TextEdit::singleline(&mut self.filter).hint_text("Filter").desired_width(160.0);
                ui.add(edit).accessible_name("Filter the log");
                let options = [
                    (NoticeLevel::Info, "all", ""),
                    (NoticeLevel::Warn, "warnings", "Warnings and errors"),
                    (NoticeLevel::Error, "errors", ""),
                ];
                choice(ui, cx.theme, &mut self.least, &options);
                let text = if shown.len() == log.len() {
                    counted(log.len() as u64, "line")
                } else {
                    format!("{} of {} lines", shown.len(), log.len())
                };
                ui.label(cx.theme.small(text));
            },
            |ui, cx| {
                if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the lines shown", "").clicked() {
                    cx.link.ask(Ask::Copy(shown.iter().rev().map(|n| line(n)).collect::<Vec<_>>().join("\n")));
                }
            },
        );
        ui.add_space(4.0);
        let theme = cx.theme;
        TableBuilder::new(ui)
            .striped(false)
            .cell_layout(Layout::left_to_right(Align::Center))
            .column(Column::exact(18.0))
            .column(Column::exact(62.0))
            .column(Column::remainder().clip(true))
            .column(Column::exact(24.0))
            .body(|body| {
                body.rows(22.0, shown.len(), |mut row| {
                    let n = shown[row.index()];
                    let (icon, ink) = match n.level {
                        NoticeLevel::Info => (icons::ICON_INFO, theme.secondary),
                        NoticeLevel::Done => (icons::ICON_CHECK, theme.good),
                        NoticeLevel::Warn => (icons::ICON_WARNING, theme.warn),
                        NoticeLevel::Error => (icons::ICON_ERROR, theme.bad),
                    };
                    row.col(|ui| {
                        ui.label(icon.rich_text().size(14.0).color(ink));
                    });
                    row.col(|ui| {
                        ui.label(theme.small(clock(&n.time))).on_hover_text(&n.time);
                    });
                    row.col(|ui| {
                        ui.spacing_mut().item_spacing.x = 8.0;
                        ui.label(RichText::new(&n.title).color(theme.text));
                        let details = ui.add(Label::new(theme.faint(n.details.replace('\n', " "))).truncate());
                        if !n.details.is_empty() {
                            details.on_hover_text(&n.details);
                        }
                    });
                    row.col(|ui| {
                        let icon = icons::ICON_CONTENT_COPY.rich_text().size(13.0).color(theme.secondary);
                        let button = eframe::egui::Button::new(icon).frame_when_inactive(false);
                        let name = format!("Copy the line: {}", n.title);
                        if ui.add(button).on_hover_text("Copy with details").accessible_name(name).clicked() {
                            cx.link.ask(Ask::Copy(line(n)));
                        }
                    });
                });
            });
    }
}

/// `12:00:05` of `2026-01-31T12:00:05Z`.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

pub fn make() -> Box<dyn Panel> {
    Box::<LogPanel>::default()
}
