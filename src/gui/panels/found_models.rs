//! The models of the Hugging Face cache: click one to open it.

use crate::{
    app::{Command, Fit, ModelRow},
    gui::{
        PanelCx,
        widgets::{
            control::{group, remark, tag},
            number::{bytes, short_count},
        },
    },
};
use eframe::egui::{self, Align, Layout, Ui};
use std::path::Path;

pub fn found_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    group(ui, cx.theme, "ON THIS DISK");
    let Some(report) = cx.app.models.clone() else {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Look for models").on_hover_text("In the Hugging Face cache on this disk; nothing is downloaded").clicked() {
                cx.send(Command::FindModels);
            }
        });
        return;
    };
    for row in &report.models {
        row_ui(ui, cx, row);
    }
    ui.horizontal_wrapped(|ui| {
        let place = report.cache.as_ref().map_or_else(|| "no home folder".to_owned(), |c| c.display().to_string());
        let words = if report.models.is_empty() { format!("No model in {place}.") } else { format!("In {place}.") };
        remark(ui, cx.theme, words);
        if ui.button("Look again").on_hover_text("HF_HUB_CACHE and HF_HOME say where the cache is; nothing is downloaded").clicked() {
            cx.send(Command::FindModels);
        }
    });
}

fn row_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, row: &ModelRow) {
    let open = cx.app.library.model.as_ref().is_some_and(|m| m.path == Path::new(&row.name) || m.path == row.path);
    ui.horizontal(|ui| {
        let usable = row.problem.is_none();
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            match (&row.facts, &row.problem) {
                (Some(facts), _) => {
                    let need = format!(
                        "A scan of 64 samples of up to 256 tokens wants {} with everything in memory, and at least {} block by block",
                        bytes(facts.memory.fast_bytes),
                        bytes(facts.memory.least_bytes)
                    );
                    let ink = match facts.fit {
                        Some(Fit::Fits) => cx.theme.good,
                        Some(Fit::Tight) => cx.theme.warn,
                        Some(Fit::TooLarge) => cx.theme.bad,
                        None => cx.theme.secondary,
                    };
                    tag(ui, cx.theme, facts.fit.map_or("memory unknown", Fit::label), ink).on_hover_text(need);
                }
                (None, problem) => {
                    tag(ui, cx.theme, "cannot be opened", cx.theme.secondary).on_hover_text(problem.as_deref().unwrap_or_default());
                }
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let name = if open { cx.theme.strong(&row.name) } else { egui::RichText::new(&row.name) };
                let button = ui.add_enabled(usable, egui::Button::new(name).frame(false).truncate());
                let hover = row.problem.clone().unwrap_or_else(|| row.path.display().to_string());
                if button.on_hover_text(&hover).on_disabled_hover_text(&hover).clicked() {
                    cx.send(Command::OpenModel { path: row.name.clone().into() });
                }
            });
        });
    });
    if let Some(f) = &row.facts {
        let dtype = if f.dtype.is_empty() { String::new() } else { format!(" · {}", f.dtype) };
        let words = format!("{} · {}{dtype} · {}", f.model_type, short_count(f.n_params), bytes(row.size_bytes));
        remark(ui, cx.theme, words);
    }
}
