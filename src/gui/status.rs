//! The line at the bottom: what is under the pointer on the left, the running job on the right.

use super::{
    PanelCx,
    widgets::{
        states::{job_bar_ui, progress_line},
        table::icon_button,
    },
};
use crate::app::{App, Command};
use eframe::egui::{Align, Label, Layout, RichText, Ui};
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
                ui.label(cx.theme.small(format!("{} · {n} samples a domain · seed {}", run.name, config.seed)));
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
