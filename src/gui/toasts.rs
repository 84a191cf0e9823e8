//! Warnings, errors and what was finished, of the log, shown for a while in the corner with their details to copy.

use super::{Ask, Link, Theme, theme};
use crate::app::{Notice, NoticeLevel};
use eframe::egui::{self, Align2, Area, Context, Frame, Id, Label, Order, RichText, Sense, vec2};
use egui_material_icons::icons;

struct Toast {
    notice: Notice,
    /// Seconds still to show; counted only while the pointer is elsewhere.
    left: f32,
    key: u64,
}

#[derive(Default)]
pub struct Toasts {
    shown: Vec<Toast>,
    /// Log lines already looked at.
    seen: usize,
    next_key: u64,
}

const AT_ONCE: usize = 4;

impl Toasts {
    /// Picks up what the log has gained.
    pub fn follow(&mut self, log: &[Notice]) {
        // The log forgets its oldest lines.
        self.seen = self.seen.min(log.len());
        for notice in &log[self.seen..] {
            if notice.level >= NoticeLevel::Done {
                self.add(notice.clone());
            }
        }
        self.seen = log.len();
    }
    pub fn add(&mut self, notice: Notice) {
        self.next_key += 1;
        let left = match notice.level {
            NoticeLevel::Error => 14.0,
            NoticeLevel::Warn => 8.0,
            NoticeLevel::Info => 3.0,
            NoticeLevel::Done => 5.0,
        };
        self.shown.push(Toast { notice, left, key: self.next_key });
        if self.shown.len() > AT_ONCE {
            self.shown.remove(0);
        }
    }
    pub fn note(&mut self, level: NoticeLevel, title: &str, details: &str) {
        self.add(Notice { level, title: title.to_owned(), details: details.to_owned(), time: String::new() });
    }

    pub fn ui(&mut self, ctx: &Context, theme: &Theme, link: &mut Link) {
        if self.shown.is_empty() {
            return;
        }
        let mut closed = Vec::new();
        let dt = ctx.input(|i| i.unstable_dt).min(0.5);
        let mut bottom = -40.0;
        for toast in self.shown.iter_mut().rev() {
            let area =
                Area::new(Id::unique(("toast", toast.key))).order(Order::Foreground).anchor(Align2::RIGHT_BOTTOM, vec2(-12.0, bottom));
            let response = area.show(ctx, |ui| {
                Frame::popup(ui.style()).fill(theme.raised).inner_margin(12.0).show(ui, |ui| {
                    ui.set_width(340.0);
                    let (icon, colour) = match toast.notice.level {
                        NoticeLevel::Error => (icons::ICON_ERROR, theme.bad),
                        NoticeLevel::Warn => (icons::ICON_WARNING, theme.warn),
                        NoticeLevel::Done => (icons::ICON_CHECK_CIRCLE, theme.good),
                        NoticeLevel::Info => (icons::ICON_INFO, theme.secondary),
                    };
                    ui.horizontal_top(|ui| {
                        ui.label(icon.rich_text().size(18.0).color(colour));
                        ui.vertical(|ui| {
                            ui.set_width(ui.available_width() - 28.0);
                            ui.add(Label::new(theme.strong(&toast.notice.title)).wrap());
                            if !toast.notice.details.is_empty() {
                                let short = shortened(&toast.notice.details, 240);
                                ui.add(Label::new(RichText::new(short).size(theme::SMALL).color(theme.secondary)).wrap());
                                if ui.small_button("Copy details").clicked() {
                                    link.ask(Ask::Copy(format!("{}\n{}", toast.notice.title, toast.notice.details)));
                                }
                            }
                        });
                        let close = egui::Button::new(icons::ICON_CLOSE.rich_text().size(14.0)).frame(false).sense(Sense::click());
                        if ui.add(close).on_hover_text("Dismiss").accessible_name("Dismiss").clicked() {
                            closed.push(toast.key);
                        }
                    });
                });
            });
            bottom -= response.response.rect.height() + 8.0;
            if !response.response.contains_pointer() {
                toast.left -= dt;
            }
            if toast.left <= 0.0 {
                closed.push(toast.key);
            }
        }
        self.shown.retain(|t| !closed.contains(&t.key));
        if !self.shown.is_empty() {
            ctx.request_repaint_after_secs(0.25);
        }
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most - 1).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_warnings_and_errors_are_shown() {
        let line = |level| Notice { level, title: "t".into(), details: String::new(), time: String::new() };
        let mut toasts = Toasts::default();
        let mut log = vec![line(NoticeLevel::Info), line(NoticeLevel::Error)];
        toasts.follow(&log);
        toasts.follow(&log);
        assert_eq!(toasts.shown.len(), 1);
        log.push(line(NoticeLevel::Warn));
        toasts.follow(&log);
        assert_eq!(toasts.shown.len(), 2);
        log.clear();
        toasts.follow(&log);
        log.push(line(NoticeLevel::Warn));
        toasts.follow(&log);
        assert_eq!(toasts.shown.len(), 3, "a shortened log is followed on");
    }
}
