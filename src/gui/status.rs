//! The line at the bottom: what is under the pointer on the left, the running job on the right.

use super::{
    Ask, PanelCx,
    widgets::{
        provenance,
        states::{job_bar_ui, progress_line},
        table::icon_button,
    },
};
use crate::app::{App, Command};
use eframe::egui::{self, Align, Label, Layout, RichText, Ui};
use egui_material_icons::icons;

pub fn status_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    ui.horizontal_centered(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let app = cx.app;
            if let Some(job) = app.running() {
                if icon_button(ui, icons::ICON_CLOSE, "Cancel job", "Esc").clicked() {
                    cx.send(Command::CancelJob { id: job.id.0 });
                }
                ui.label(cx.theme.small(progress_line(job)));
                job_bar_ui(ui, job, 120.0);
                let phase = if job.progress.phase.is_empty() { &job.title } else { &job.progress.phase };
                ui.label(cx.theme.small(phase.clone()));
                let others = app.jobs.iter().filter(|j| j.state == crate::app::JobState::Running).count() - 1;
                if others > 0 {
                    ui.label(cx.theme.small(format!("+ {others} more")));
                }
            } else if let Some(run) = app.library.run() {
                let config = &run.output.config;
                let n = run.output.domains.iter().map(|d| d.samples).max().unwrap_or(0);
                let words = cx.theme.small(format!("{} · {n} samples a domain · seed {}", run.name, config.seed));
                let chip = ui.add(egui::Button::new(words).frame_when_inactive(false)).accessible_name("Provenance of the shown run");
                let p = &run.output.provenance;
                if chip.clicked() {
                    cx.link.ask(Ask::Copy(provenance::text(p, None)));
                }
                let theme = cx.theme;
                chip.on_hover_ui(|ui| {
                    provenance::tooltip_ui(ui, theme, p, None);
                    ui.add_space(4.0);
                    ui.label(theme.small("Click to copy, hashes in full"));
                });
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let text = match &cx.link.hover().readout {
                    Some(readout) => RichText::new(readout).color(cx.theme.text),
                    None => cx.theme.small(hint(app)),
                };
                ui.add(Label::new(text).truncate());
            });
        });
    });
}

/// What the pointer can do here, while it points at nothing.
fn hint(app: &App) -> &'static str {
    if app.library.scan().is_some() {
        "Wheel zooms · drag pans · shift-drag selects · click picks a neuron · Space switches it off · Home resets"
    } else {
        "Drop a model folder, a run folder or a dataset anywhere"
    }
}
