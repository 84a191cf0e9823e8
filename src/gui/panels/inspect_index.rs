//! The state of the index of activations, where something of it would stand.

use super::inspect_parts::remark;
use crate::{
    app::{Command, IndexEntry, IndexState},
    base::number,
    gui::{
        Ask, PanelCx,
        widgets::{
            provenance,
            states::{failed_strip_ui, job_bar_ui, progress_line, short_progress},
        },
    },
};
use eframe::egui::{self, Ui};

/// Says why nothing is known of a neuron or head: there is no index yet, or the index is of a model without it.
pub fn unknown_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, what: &str) {
    if cx.app.index().is_some() {
        remark(ui, cx, format!("The open model has no such {what}: the shown run is of another model."));
    } else {
        index_state_ui(ui, cx);
    }
}

/// Says why there is no index yet and what can be done; nothing once it is there.
pub fn index_state_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let ask = |ui: &mut Ui, cx: &mut PanelCx<'_>, why: &str, button: &str| {
        remark(ui, cx, why);
        if ui.add_enabled(app.device().is_some(), egui::Button::new(button)).clicked() {
            cx.send(Command::IndexActivations);
        }
    };
    match &app.inspection.index {
        IndexState::Ready(_) => {}
        IndexState::None if app.device().is_none() => remark(ui, cx, "Open the model of this run to see where its neurons fire."),
        IndexState::None => {
            ask(
                ui,
                cx,
                "One pass over the scanned samples shows where every neuron fires, and the texts that drive it.",
                "Index activations",
            );
        }
        IndexState::Waits(tokens, layers) => {
            let why = format!(
                "{} tokens through {layers} layers take a while here, so this waits for you. It runs in the background and is kept.",
                number::count(*tokens as u64)
            );
            ask(ui, cx, &why, "Index activations");
        }
        IndexState::Stopped => ask(ui, cx, "Indexing was stopped.", "Index activations"),
        IndexState::Failed(message) => {
            if failed_strip_ui(ui, cx, "Activations could not be indexed", message, "Try again") {
                cx.send(Command::IndexActivations);
            }
        }
        IndexState::Working(id) => {
            let Some(job) = app.jobs.iter().find(|j| j.id == *id) else { return };
            let phase = if job.progress.phase.is_empty() { "Indexing activations" } else { &job.progress.phase };
            remark(ui, cx, phase);
            job_bar_ui(ui, job, ui.available_width());
            ui.horizontal(|ui| {
                if ui.button("Cancel").accessible_name("Cancel indexing").clicked() {
                    cx.send(Command::CancelJob { id: id.0 });
                }
                ui.add(egui::Label::new(cx.theme.small(short_progress(job))).truncate()).on_hover_text(progress_line(job));
            });
        }
    }
}

/// What the index is of, in a line; hover and click give the whole.
pub fn index_line_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &IndexEntry) {
    let index = &entry.index;
    let about = &index.about;
    let text = format!(
        "{} tokens of {} samples · {}",
        number::count(index.n_tokens() as u64),
        number::count(index.n_samples() as u64),
        number::bytes(index.size_bytes())
    );
    let r = ui.add(egui::Label::new(cx.theme.small(text)).truncate().sense(egui::Sense::click())).accessible_name("Index of activations");
    for words in &about.thinned {
        remark(ui, cx, format!("Thinned: {words}"));
    }
    if r.clicked() {
        cx.link.ask(Ask::Copy(provenance::text(&about.provenance, None)));
    }
    let theme = cx.theme;
    r.on_hover_ui(|ui| {
        ui.set_max_width(420.0);
        provenance::tooltip_ui(ui, theme, &about.provenance, None);
        let made = if entry.from_disk { "read from the disk; first made" } else { "made" };
        ui.label(theme.small(format!("{made} in {:.1} s", about.seconds)));
        if let Some(path) = &entry.path {
            ui.label(theme.small(path.display().to_string()));
        }
        ui.label(theme.small("Click to copy the provenance"));
    });
}
