//! The model as far as it is there, said in the middle of a panel that needs one.

use crate::{
    app::{Command, JobTarget, Loading},
    gui::{
        Ask, PanelCx,
        widgets::states::{empty_ui, failed_ui, stopped_ui, working_ui},
    },
};
use eframe::egui::Ui;
use egui_material_icons::MaterialIcon;

/// True once a model is open; before that says why there is none and what to do. `sentence`: where none was chosen yet.
pub fn model_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, icon: MaterialIcon, sentence: &str) -> bool {
    let app = cx.app;
    let Some(model) = &app.library.model else {
        if empty_ui(ui, cx.theme, icon, sentence, "Open the demo") {
            cx.send(Command::OpenDemo);
        }
        return false;
    };
    match &model.state {
        Loading::Ready(_) => return true,
        Loading::Working => match app.job_for(|t| matches!(t, JobTarget::Model(_))) {
            Some(job) => working_ui(ui, cx, job),
            None => {
                empty_ui(ui, cx.theme, icon, "The model is being read.", "");
            }
        },
        Loading::Stopped => {
            let what = format!("Opening {} was stopped.", model.path.display());
            if stopped_ui(ui, cx.theme, &what, "Open it") {
                cx.send(Command::OpenModel { path: model.path.clone() });
            }
        }
        Loading::Failed(message) => {
            if failed_ui(ui, cx, "The model could not be opened", message, "Open another model") {
                cx.link.ask(Ask::OpenModel);
            }
        }
    }
    false
}

/// True once there is a model with an enabled domain; before that says what to do: `sentence` where no model was chosen yet, `add` where no domain is enabled.
pub fn model_and_domain_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, icon: MaterialIcon, sentence: &str, add: &str) -> bool {
    if !model_ui(ui, cx, icon, sentence) {
        return false;
    }
    let enabled = cx.app.project.domains.iter().any(|d| d.enabled);
    if !enabled && empty_ui(ui, cx.theme, icon, add, "Add a domain") {
        cx.link.ask(Ask::AddDomain);
    }
    enabled
}
