//! What a panel that draws a run says while there is none.

use super::open_model::model_ui;
use crate::{
    app::{Command, JobState, JobTarget, JobView, RunEntry},
    gui::{
        Ask, PanelCx,
        widgets::{
            number::counted,
            states::{empty_ui, failed_ui, working_ui},
        },
    },
};
use eframe::egui::Ui;
use egui_material_icons::MaterialIcon;

/// The newest scan in the list of jobs.
pub fn scan_job<'a>(cx: &PanelCx<'a>) -> Option<&'a JobView> {
    cx.app.last_job(|t| *t == JobTarget::Scan)
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
    if !model_ui(ui, cx, icon, &format!("Open a model and a dataset to see {to_see}.")) {
        return None;
    }
    match app.project.domains.iter().filter(|d| d.enabled).count() {
        0 => {
            if empty_ui(ui, cx.theme, icon, &format!("Add a dataset and scan it to see {to_see}."), "Add a domain") {
                cx.link.ask(Ask::AddDomain);
            }
        }
        n => {
            let button = format!("Scan {}", counted(n as u64, "domain"));
            if empty_ui(ui, cx.theme, icon, &format!("Scan the domains to see {to_see}."), &button) {
                cx.send(Command::StartScan { out: None });
            }
        }
    }
    None
}
