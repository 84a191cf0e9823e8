//! Work in the background: how far it is, how it ended, and a way to stop it.

use crate::{
    app::{Command, JobState, JobView},
    gui::{
        Ask, Panel, PanelCx,
        widgets::{
            number::duration,
            states::{empty_ui, job_bar_ui, progress_line},
            table::icon_button,
        },
    },
};
use eframe::egui::{Align, Label, Layout, RichText, ScrollArea, Ui};
use egui_material_icons::icons;

#[derive(Default)]
pub struct JobsPanel;

impl Panel for JobsPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let jobs = &cx.app.jobs;
        if jobs.is_empty() {
            empty_ui(ui, cx.theme, icons::ICON_PENDING_ACTIONS, "Nothing has run yet. Scans and measurements show here.", "");
            return;
        }
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            // Running first, then the newest.
            let (running, ended): (Vec<&JobView>, Vec<&JobView>) = jobs.iter().rev().partition(|j| j.state == JobState::Running);
            for (i, job) in running.into_iter().chain(ended).enumerate() {
                if i > 0 {
                    ui.separator();
                }
                ui.push_id(job.id, |ui| job_ui(ui, cx, job));
            }
        });
    }
}

fn job_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, job: &JobView) {
    let theme = cx.theme;
    ui.horizontal(|ui| {
        let (icon, ink) = match &job.state {
            JobState::Running => (icons::ICON_PLAY_ARROW, theme.accent),
            JobState::Done => (icons::ICON_CHECK, theme.good),
            JobState::Cancelled => (icons::ICON_BLOCK, theme.secondary),
            JobState::Failed(_) => (icons::ICON_ERROR, theme.bad),
        };
        ui.label(icon.rich_text().size(16.0).color(ink));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            match &job.state {
                JobState::Running if job.stopping => {
                    ui.label(theme.faint("stopping"));
                }
                JobState::Running => {
                    if ui
                        .button("Cancel")
                        .on_hover_text("Felt within a second (Esc)")
                        .accessible_name(format!("Cancel {}", job.title))
                        .clicked()
                    {
                        cx.send(Command::CancelJob { id: job.id.0 });
                    }
                }
                JobState::Done => {
                    ui.label(theme.faint(format!("done in {}", duration(job.elapsed))));
                }
                JobState::Cancelled => {
                    ui.label(theme.faint(format!("stopped after {}", duration(job.elapsed))));
                }
                JobState::Failed(message) => {
                    let name = format!("Copy the details of {}", job.title);
                    if icon_button(ui, icons::ICON_CONTENT_COPY, &name, "").clicked() {
                        cx.link.ask(Ask::Copy(format!("{}\n{message}", job.title)));
                    }
                    ui.label(RichText::new("failed").color(theme.bad));
                }
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(Label::new(theme.strong(&job.title)).truncate()));
        });
    });
    match &job.state {
        JobState::Running => {
            job_bar_ui(ui, job, ui.available_width());
            let phase = if job.progress.phase.is_empty() { String::new() } else { format!("{} · ", job.progress.phase) };
            ui.label(theme.small(format!("{phase}{}", progress_line(job))));
        }
        JobState::Failed(message) => {
            ui.add(Label::new(RichText::new(message).color(theme.secondary)).wrap().selectable(true));
        }
        JobState::Done | JobState::Cancelled => {}
    }
}

pub fn make() -> Box<dyn Panel> {
    Box::<JobsPanel>::default()
}
