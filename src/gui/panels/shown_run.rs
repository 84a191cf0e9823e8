//! What a panel that draws a run says while there is none.

use crate::{
    app::{Command, JobState, JobView, Loading, RunEntry},
    gui::{
        Ask, PanelCx,
        widgets::states::{empty_ui, failed_ui, working_ui},
    },
};
use eframe::egui::Ui;
use egui_material_icons::MaterialIcon;

/// The newest scan in the list of jobs.
pub fn scan_job<'a>(cx: &PanelCx<'a>) -> Option<&'a JobView> {
    cx.app.jobs.iter().rev().find(|j| j.title.starts_with("Scan"))
}

/// The shown run, or `None` after saying why there is none and what to do. `to_see` ends the sentence `Scan the domains to see …`.
pub fn shown_run<'a>(ui: &mut Ui, cx: &mut PanelCx<'a>, icon: MaterialIcon, to_see: &str) -> Option<&'a RunEntry> {
    let app = cx.app;
    if let Some(run) = app.library.run() {
        return Some(run);
    }
    if let Some(job) = scan_job(cx) {
        match &job.state {
            JobState::Running => {
                working_ui(ui, cx, job);
                return None;
            }
            JobState::Failed(message) => {
                if failed_ui(ui, cx, "The scan failed", message, "Scan again") {
                    cx.send(Command::StartScan { out: None });
                }
                return None;
            }
            JobState::Done | JobState::Cancelled => {}
        }
    }
    match app.library.model.as_ref().map(|m| &m.state) {
        None => {
            if empty_ui(ui, cx.theme, icon, &format!("Open a model and a dataset to see {to_see}."), "Open the demo") {
                cx.send(Command::OpenDemo);
            }
        }
        Some(Loading::Failed(message)) => {
            if failed_ui(ui, cx, "The model could not be opened", message, "Open another model") {
                cx.link.ask(Ask::OpenModel);
            }
        }
        Some(Loading::Working) => match app.running() {
            Some(job) => working_ui(ui, cx, job),
            None => {
                empty_ui(ui, cx.theme, icon, "The model is being read.", "");
            }
        },
        Some(Loading::Ready(_)) if !app.project.domains.iter().any(|d| d.enabled) => {
            if empty_ui(ui, cx.theme, icon, &format!("Add a dataset and scan it to see {to_see}."), "Add a domain") {
                cx.link.ask(Ask::AddDomain);
            }
        }
        Some(Loading::Ready(_)) => {
            let n = app.project.domains.iter().filter(|d| d.enabled).count();
            let button = if n == 1 { "Scan 1 domain".to_owned() } else { format!("Scan {n} domains") };
            if empty_ui(ui, cx.theme, icon, &format!("Scan the domains to see {to_see}."), &button) {
                cx.send(Command::StartScan { out: None });
            }
        }
    }
    None
}
