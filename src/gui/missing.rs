//! The question for a model that lies elsewhere than the opened project says: asked once, answered for every project of that model.

use super::{
    Ask, PanelCx, theme,
    widgets::{
        control::{group, remark},
        overlay::overlay,
        table::{Fact, facts},
    },
};
use crate::app::{Command, MissingModel};
use eframe::egui::{Context, Key, TextEdit, Ui};
use std::path::PathBuf;

#[derive(Default)]
pub struct MissingWindow {
    path: String,
    /// The question that was put off.
    later: Option<MissingModel>,
}

impl MissingWindow {
    pub fn chosen(&mut self, path: &std::path::Path) {
        self.path = path.display().to_string();
    }

    pub fn ui(&mut self, ctx: &Context, cx: &mut PanelCx<'_>) {
        let Some(missing) = cx.app.missing_model.clone() else {
            self.later = None;
            return;
        };
        let mut open = self.later.as_ref() != Some(&missing);
        let was = open;
        overlay(ctx, cx.theme, "Where is the model?", 520.0, &mut open, |ui| self.body_ui(ui, cx, &missing));
        if was && !open {
            self.later = Some(missing);
        }
    }

    fn body_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, missing: &MissingModel) {
        remark(
            ui,
            cx.theme,
            "The project was made where its model lay elsewhere. Say once where it lies here; every project of this model will find it.",
        );
        ui.add_space(theme::GRID);
        let mark = &missing.mark;
        let mut list = Vec::new();
        if !mark.name.is_empty() {
            list.push(Fact::new("model", &mark.name));
        }
        list.push(Fact::copied("was at", missing.path.display().to_string(), missing.path.display().to_string()));
        if !mark.sha256.is_empty() {
            list.push(Fact::hash("SHA-256", &mark.sha256));
        }
        facts(ui, cx.theme, &list);
        let here = candidates(cx, missing);
        if !here.is_empty() {
            group(ui, cx.theme, "ON THIS MACHINE");
            for (name, path) in here {
                let button = ui.button(format!("Use {name}"));
                if button.on_hover_text(format!("{}\nIts digest is compared with the project's once it is read", path.display())).clicked()
                {
                    cx.send(Command::RelocateModel { path });
                }
            }
        }
        group(ui, cx.theme, "IT LIES AT");
        let mut entered = false;
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.path)
                .hint_text("Folder, .gguf file, or org/name")
                .desired_width(ui.available_width() - 84.0);
            let field = ui.add(edit).accessible_name("Path of the project's model");
            entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            if ui.button("Choose…").clicked() {
                cx.link.ask(Ask::LocateModel);
            }
        });
        ui.add_space(theme::GRID * 2.0);
        let path = self.path.trim();
        ui.horizontal(|ui| {
            let pressed = ui.add_enabled(!path.is_empty(), cx.theme.primary("Use this model")).clicked();
            if (pressed || entered) && !path.is_empty() {
                cx.send(Command::RelocateModel { path: PathBuf::from(path) });
            }
            if ui.button("Later").on_hover_text("The project stays open without its model").clicked() {
                self.later = Some(missing.clone());
            }
        });
    }
}

/// Models of the cache that are called the same.
fn candidates(cx: &PanelCx<'_>, missing: &MissingModel) -> Vec<(String, PathBuf)> {
    let Some(report) = &cx.app.models else { return Vec::new() };
    let names =
        [missing.mark.name.to_lowercase(), missing.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase())];
    let same = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
        names.iter().any(|n| !n.is_empty() && *n == last)
    };
    report.models.iter().filter(|m| m.problem.is_none() && same(&m.name)).map(|m| (m.name.clone(), PathBuf::from(&m.name))).collect()
}
