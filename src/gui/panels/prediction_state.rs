//! How far first-order effects are, said in a line; and the wish for them.

use crate::{
    app::{Command, Failure, JobTarget, Loading},
    gui::{
        Ask, PanelCx,
        widgets::{
            chart::small_width,
            control::remark,
            number::counted,
            states::{job_bar_ui, progress_line, short_progress, stopped_line_ui},
        },
    },
};
use eframe::egui::{self, Align, Layout, Sense, Ui, UiBuilder, vec2};
use egui_material_icons::icons;

/// Height of the line that says how far the effects are.
const LINE: f32 = 18.0;
/// Width of the bar in it.
const BAR: f32 = 80.0;
/// A shorter one shows nothing.
const LEAST_BAR: f32 = 16.0;

/// Asks for the effects once a model, as soon as it and its domains are read: the first toggle then finds them ready.
pub fn ask_ui(cx: &mut PanelCx<'_>, asked: &mut Option<String>) {
    let app = cx.app;
    let Some(model) = app.library.model_info().filter(|_| app.settings.predicts) else { return };
    let waits = app.project.enabled().any(|d| app.library.domain(&d.name).is_none_or(|e| matches!(e.state, Loading::Working)));
    if !waits && asked.as_ref() != Some(&model.sha256) {
        *asked = Some(model.sha256.clone());
        cx.send(Command::Predict);
    }
}

/// While effects are computed, where they failed, and where there can be none; `low`: nothing where all are ready.
pub fn state_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, low: bool) {
    let app = cx.app;
    let live = &app.prediction;
    if let Some(words) = live.not_predicted {
        remark(ui, cx.theme, words);
    }
    if live.failed == Some(Failure::Cancelled) {
        ui.horizontal_wrapped(|ui| {
            let words = format!("first-order effects: stopped with {} ready", counted(live.ready.len() as u64, "domain"));
            if stopped_line_ui(ui, cx.theme, "Go on", "Computes the effects that are missing; those that are ready stay", &words) {
                cx.send(Command::Predict);
            }
        });
    }
    if let Some(Failure::Failed(message)) = &live.failed {
        ui.horizontal_wrapped(|ui| {
            ui.label(icons::ICON_ERROR.rich_text().size(16.0).color(cx.theme.bad));
            ui.add(egui::Label::new(format!("The first-order effects could not be computed: {message}")).wrap());
            if ui.button("Predict again").clicked() {
                cx.send(Command::Predict);
            }
            if ui.button("Copy details").accessible_name("Copy details of the prediction").clicked() {
                cx.link.ask(Ask::Copy(message.clone()));
            }
        });
    }
    // A line of its own from the beginning, so that nothing below moves when effects come.
    if live.running || (!low && app.settings.predicts && live.failed.is_none() && live.not_predicted.is_none()) {
        let job = app.job_for(|t| matches!(t, JobTarget::Attribution(_))).filter(|_| live.running);
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
        let mut line = ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::left_to_right(Align::Center)));
        line.set_clip_rect(rect.intersect(ui.clip_rect()));
        let (what, how_many) = match live.ready.len() {
            0 => ("none ready yet".to_owned(), "none yet".to_owned()),
            n => (format!("{} ready", counted(n as u64, "domain")), format!("{n} ready")),
        };
        let gap = line.spacing().item_spacing.x;
        let short = job.map(short_progress).unwrap_or_default();
        let mut ready = format!("first-order effects: {what}");
        if small_width(&line, &ready) + small_width(&line, &short) + LEAST_BAR + 2.0 * gap > rect.width() {
            ready = format!("effects: {how_many}");
        }
        line.label(cx.theme.small(ready));
        if let Some(job) = job {
            // The words are whole: they are shorter, and so is the bar, where there is little room.
            let whole = progress_line(job);
            let room = line.available_width() - gap;
            let words = if small_width(&line, &whole) + BAR <= room { whole.clone() } else { short };
            let bar = (room - small_width(&line, &words)).min(BAR);
            if bar >= LEAST_BAR {
                job_bar_ui(&mut line, job, bar);
            }
            line.add(egui::Label::new(cx.theme.small(words)).truncate()).on_hover_text(whole);
        }
    }
}
