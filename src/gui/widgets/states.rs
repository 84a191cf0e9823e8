//! The states a panel can be in besides done: empty, working, failed. One design for all.

use crate::{
    app::{Command, JobView},
    gui::{
        Ask, PanelCx, Theme, theme,
        widgets::{
            chart::small_width,
            control::remark,
            number::{count, duration, sig3},
        },
    },
};
use eframe::egui::{self, Align, Layout, ProgressBar, RichText, Ui, vec2};
use egui_material_icons::{MaterialIcon, icons};

/// Nothing to show yet: one sentence and one button. True when the button was pressed.
pub fn empty_ui(ui: &mut Ui, theme: &Theme, icon: MaterialIcon, sentence: &str, button: &str) -> bool {
    let mut pressed = false;
    centred(ui, 104.0, |ui| {
        ui.label(icon.rich_text().size(28.0).color(theme.secondary));
        ui.add_space(theme::GRID);
        ui.label(theme.faint(sentence));
        if !button.is_empty() {
            ui.add_space(2.0 * theme::GRID);
            pressed = ui.add(theme.primary(button)).clicked();
        }
    });
    pressed
}

/// Stopped by hand: said as calmly as that nothing is there yet, with the way to go on. True when `button` was pressed.
pub fn stopped_ui(ui: &mut Ui, theme: &Theme, sentence: &str, button: &str) -> bool {
    empty_ui(ui, theme, icons::ICON_BLOCK, sentence, button)
}

/// The same in one line beside other content: the button, then what is kept.
pub fn stopped_line_ui(ui: &mut Ui, theme: &Theme, button: &str, hover: &str, words: &str) -> bool {
    let pressed = !button.is_empty() && ui.button(button).on_hover_text(hover).clicked();
    ui.label(theme.small(words));
    pressed
}

/// What runs, how far it is, for how long, and a way to stop it.
pub fn working_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, job: &JobView) {
    centred(ui, 96.0, |ui| {
        ui.label(cx.theme.strong(&job.title));
        ui.label(cx.theme.small(&job.progress.phase));
        ui.add_space(theme::GRID);
        let width = (ui.available_width() - 24.0).clamp(60.0, 240.0);
        job_bar_ui(ui, job, width);
        ui.label(cx.theme.small(progress_line(job)));
        ui.add_space(theme::GRID);
        if ui.button("Cancel").clicked() {
            cx.send(Command::CancelJob { id: job.id.0 });
        }
    });
}

/// What happened and what can be done. True when `retry` (a button's words; empty: no button) was pressed.
pub fn failed_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, what: &str, details: &str, retry: &str) -> bool {
    let mut pressed = false;
    centred(ui, 132.0, |ui| {
        ui.label(icons::ICON_ERROR.rich_text().size(28.0).color(cx.theme.bad));
        ui.add_space(theme::GRID);
        ui.label(cx.theme.strong(what));
        ui.add(egui::Label::new(RichText::new(details).color(cx.theme.secondary)).wrap().selectable(true));
        ui.add_space(2.0 * theme::GRID);
        const COPY: &str = "Copy details";
        ui.horizontal(|ui| {
            let words: &[&str] = if retry.is_empty() { &[COPY] } else { &[retry, COPY] };
            ui.add_space(((ui.available_width() - buttons_width(ui, words)) / 2.0).max(0.0));
            if !retry.is_empty() {
                pressed = ui.button(retry).clicked();
            }
            if ui.button(COPY).clicked() {
                cx.link.ask(Ask::Copy(format!("{what}\n{details}")));
            }
        });
    });
    pressed
}

/// Width of a row of buttons with these words.
fn buttons_width(ui: &Ui, words: &[&str]) -> f32 {
    let font = egui::TextStyle::Button.resolve(ui.style());
    let (padding, gap) = (2.0 * ui.spacing().button_padding.x, ui.spacing().item_spacing.x);
    let text = |w: &&str| ui.painter().layout_no_wrap((*w).to_owned(), font.clone(), egui::Color32::PLACEHOLDER).size().x;
    words.iter().map(|w| text(w) + padding).sum::<f32>() + gap * words.len().saturating_sub(1) as f32
}

/// The same beside other content of a panel: what happened, details, retry and copy, left-aligned. True when `retry` was pressed.
pub fn failed_strip_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, what: &str, details: &str, retry: &str) -> bool {
    let mut pressed = false;
    ui.add_space(theme::GRID);
    ui.horizontal_top(|ui| {
        ui.label(icons::ICON_ERROR.rich_text().size(18.0).color(cx.theme.bad));
        ui.vertical(|ui| {
            ui.add(egui::Label::new(cx.theme.strong(what)).wrap());
            ui.add(egui::Label::new(RichText::new(details).color(cx.theme.secondary)).wrap().selectable(true));
            ui.horizontal(|ui| {
                if !retry.is_empty() {
                    pressed = ui.button(retry).clicked();
                }
                if ui.button("Copy details").clicked() {
                    cx.link.ask(Ask::Copy(format!("{what}\n{details}")));
                }
            });
        });
    });
    ui.add_space(theme::GRID);
    pressed
}

/// A thin bar of a job's progress; full-width stripes would only pretend when the total is unknown.
pub fn job_bar_ui(ui: &mut Ui, job: &JobView, width: f32) {
    let share = if job.progress.total > 0 { job.progress.done as f32 / job.progress.total as f32 } else { 0.0 };
    let bar = ui.add(ProgressBar::new(share).desired_width(width).desired_height(6.0).fill(Theme::of(ui.ctx()).accent));
    bar.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, format!("{}: {}", job.title, progress_line(job))));
}

/// A bar, a way to stop it, and how far it is: in one line, or with the words below where they have no room beside. `hover`: what stopping keeps.
pub fn job_line_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, job: Option<&JobView>, stop: &str, hover: &str, more: &str) {
    let Some(job) = job else {
        ui.label(cx.theme.small("starting…"));
        return;
    };
    let line = progress_line(job);
    let words: Vec<&str> = [job.progress.phase.as_str(), &line, more].into_iter().filter(|w| !w.is_empty()).collect();
    let words = words.join(" · ");
    let beside = ui.horizontal(|ui| {
        job_bar_ui(ui, job, 120.0);
        if ui.button(stop).on_hover_text(hover).clicked() {
            cx.send(Command::CancelJob { id: job.id.0 });
        }
        let fits = small_width(ui, &words) <= ui.available_width();
        if fits {
            ui.label(cx.theme.small(&words));
        }
        fits
    });
    if !beside.inner {
        remark(ui, cx.theme, words);
    }
}

/// `41/64 samples · 3.9 /s · 6 s left`
pub fn progress_line(job: &JobView) -> String {
    let p = &job.progress;
    let mut parts = Vec::new();
    if p.total > 0 {
        parts.push(format!("{}/{} {}", count(p.done), count(p.total), p.unit).trim_end().to_owned());
    }
    if let Some(rate) = job.rate.filter(|r| r.is_finite() && *r > 0.0) {
        parts.push(format!("{} /s", sig3(rate)));
    }
    match job.left {
        Some(left) => parts.push(format!("{} left", duration(left))),
        None => parts.push(duration(job.elapsed)),
    }
    parts.join(" · ")
}

/// The same where there is little room: `63 % · 6 s left`
pub fn short_progress(job: &JobView) -> String {
    let share = (100 * job.progress.done).checked_div(job.progress.total).map(|p| format!("{p} %"));
    let left = job.left.map(|d| format!("{} left", duration(d)));
    let words: Vec<String> = share.into_iter().chain(left).collect();
    words.join(" · ")
}

/// A column of about `height` in the middle of what is left of `ui`.
fn centred(ui: &mut Ui, height: f32, add: impl FnOnce(&mut Ui)) {
    let space = ui.available_rect_before_wrap();
    let width = (space.width() - 32.0).clamp(80.0, 420.0);
    let top = ((space.height() - height) / 2.0).clamp(8.0, 240.0);
    let rect = egui::Rect::from_min_size(
        egui::pos2(space.center().x - width / 2.0, space.top() + top),
        vec2(width, (space.height() - top).max(height)),
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Center)), |ui| {
        add(ui);
    });
}
