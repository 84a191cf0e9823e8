//! Which column plays which part: detected, shown, changed, and its prompts seen before it is used.

use super::{domain_prompts::item_ui, domain_template::PromptControls};
use crate::{
    app::{Command, DomainEntry},
    data::{Mapping, Preview, preview, recipes::RECIPES},
    gui::{
        PanelCx,
        widgets::{
            control::{caption, name_cell, remark},
            number::counted,
        },
    },
};
use eframe::egui::{ComboBox, RichText, Ui};
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, TryRecvError, channel},
};

/// The mapping being looked at, and what a look at the file with it found. The file is read on a thread of its own.
#[derive(Default)]
pub struct MappingEditor {
    open: bool,
    looked: Option<Looked>,
    prompts: PromptControls,
}

struct Looked {
    domain: String,
    path: PathBuf,
    wanted: Mapping,
    coming: Option<Receiver<Result<Preview, String>>>,
    found: Option<Result<Preview, String>>,
}

impl Looked {
    fn start(ui: &Ui, domain: &str, path: PathBuf, wanted: Mapping, before: Option<Result<Preview, String>>) -> Self {
        let (tx, rx) = channel();
        let (ctx, file, mapping) = (ui.ctx().clone(), path.clone(), wanted.clone());
        let work = move || {
            // The panel may be gone by then.
            let _ = tx.send(preview(&file, &mapping).map_err(|e| e.to_string()));
            ctx.request_repaint();
        };
        let started = std::thread::Builder::new().name("preview".into()).spawn(work).is_ok();
        let found = if started { before } else { Some(Err("no thread could be started to read the file".into())) };
        Self { domain: domain.to_owned(), path, wanted, coming: started.then_some(rx), found }
    }

    fn poll(&mut self) {
        let news = self.coming.as_ref().map(Receiver::try_recv);
        match news {
            Some(Ok(found)) => {
                self.found = Some(found);
                self.coming = None;
            }
            Some(Err(TryRecvError::Disconnected)) => {
                self.found = Some(Err("the file could not be looked at: the program made a mistake".into()));
                self.coming = None;
            }
            Some(Err(TryRecvError::Empty)) | None => {}
        }
    }
}

impl MappingEditor {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &DomainEntry) {
        // A file that could not be read most often needs its columns mapped: the editor is open then.
        let failed = entry.state.failed().is_some();
        ui.add_space(4.0);
        let shown = self.open || failed;
        let demo = entry.path == std::path::Path::new("demo");
        let words = match (shown, demo) {
            (true, _) => "Hide the reading",
            (false, true) => "Examples and chat template…",
            (false, false) => "Columns, prompt and examples…",
        };
        if !failed && ui.button(words).clicked() {
            self.open = !self.open;
        }
        if !shown {
            return;
        }
        if demo {
            if let Some(prompt) = self.prompts.ui(ui, cx, &entry.mapping.prompt, false) {
                let mapping = Mapping { prompt: Box::new(prompt), ..entry.mapping.clone() };
                cx.send(Command::AddDomain { name: entry.name.clone(), path: entry.path.clone(), mapping });
            }
            return;
        }
        let same = |l: &Looked| l.domain == entry.name && l.path == entry.path;
        if !self.looked.as_ref().is_some_and(same) {
            self.looked = Some(Looked::start(ui, &entry.name, entry.path.clone(), entry.mapping.clone(), None));
        }
        let Some(looked) = &mut self.looked else { return };
        looked.poll();
        let changed = match &looked.found {
            None => {
                remark(ui, cx.theme, "Looking at the file.");
                None
            }
            Some(Err(message)) => {
                ui.label(RichText::new(message).color(cx.theme.bad));
                ui.button("Look again").clicked().then(|| looked.wanted.clone())
            }
            Some(Ok(found)) => mapping_ui(ui, cx, entry, &looked.wanted, found, &mut self.prompts),
        };
        if let Some(wanted) = changed {
            let before = looked.found.take();
            self.looked = Some(Looked::start(ui, &entry.name, entry.path.clone(), wanted, before));
        }
    }
}

/// The mapping asked for, when a control changed it.
fn mapping_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    entry: &DomainEntry,
    wanted: &Mapping,
    found: &Preview,
    prompts: &mut PromptControls,
) -> Option<Mapping> {
    let mut next = None;
    let reading = found.reading.as_ref().ok();
    let recipe_id = wanted.columns.get("recipe").map(String::as_str).or(reading.map(|r| r.recipe));
    let recipe = RECIPES.iter().find(|r| Some(r.id) == recipe_id);
    let effective = reading.map_or(wanted, |r| &r.mapping);
    remark(ui, cx.theme, format!("{}, {}", found.format, counted(found.columns.len() as u64, "column")));
    ui.horizontal_wrapped(|ui| {
        caption(ui, cx.theme, "read as");
        let combo = ComboBox::from_id_salt("recipe").selected_text(recipe_id.unwrap_or("choose")).width(150.0).height(640.0);
        let shown = combo.show_ui(ui, |ui| {
            // The registry goes from special to plain; a person maps the plain shapes most.
            for r in RECIPES.iter().rev() {
                if ui.selectable_label(Some(r.id) == recipe_id, r.id).on_hover_text(r.template).clicked() {
                    next = Some(Mapping { columns: [("recipe".to_owned(), r.id.to_owned())].into(), ..wanted.clone() });
                }
            }
        });
        shown.response.accessible_name("Read as");
        if ui.button("Detect").on_hover_text("From the names and values of the columns").clicked() {
            next = Some(Mapping { columns: Default::default(), ..wanted.clone() });
        }
    });
    for field in recipe.map_or(&[][..], |r| r.fields) {
        ui.horizontal(|ui| {
            let name = if field.required { field.name.to_owned() } else { format!("{} (optional)", field.name) };
            name_cell(ui, cx.theme.faint(name), 128.0, 24.0);
            let now = effective.columns.get(field.name);
            let combo = ComboBox::from_id_salt(("field", field.name)).selected_text(now.map_or("none", String::as_str)).width(150.0);
            let mut chosen = None;
            let shown = combo.show_ui(ui, |ui| {
                if !field.required && ui.selectable_label(now.is_none(), "none").clicked() {
                    chosen = Some(None);
                }
                for (column, examples) in &found.columns {
                    let hover = if examples.is_empty() { "no value".to_owned() } else { examples.join("\n") };
                    if ui.selectable_label(now == Some(column), column).on_hover_text(hover).clicked() {
                        chosen = Some(Some(column.clone()));
                    }
                }
            });
            shown.response.accessible_name(format!("Column for {}", field.name));
            if let Some(column) = now
                && let Some((_, examples)) = found.columns.iter().find(|(c, _)| c == column)
                && let Some(example) = examples.first()
            {
                ui.add(eframe::egui::Label::new(cx.theme.small(example.replace('\n', " "))).truncate());
            }
            if let Some(chosen) = chosen {
                let mut mapping = effective.clone();
                if let Some(id) = recipe_id {
                    mapping.columns.insert("recipe".into(), id.into());
                }
                match chosen {
                    Some(column) => mapping.columns.insert(field.name.into(), column),
                    None => mapping.columns.remove(field.name),
                };
                next = Some(mapping);
            }
        });
    }
    let mut strict = wanted.strict;
    if ui
        .checkbox(&mut strict, "Refuse the file at its first bad row")
        .on_hover_text("Otherwise such rows are skipped and counted")
        .changed()
    {
        next = Some(Mapping { strict, ..effective.clone() });
    }
    if let Some(prompt) = prompts.ui(ui, cx, &wanted.prompt, true) {
        next = Some(Mapping { prompt: Box::new(prompt), ..wanted.clone() });
    }
    match &found.reading {
        Err(message) => {
            ui.label(RichText::new(message).color(cx.theme.warn));
        }
        Ok(reading) => {
            let part = if found.complete { "" } else { " in the part looked at" };
            let skipped = if found.skipped.is_empty() { String::new() } else { format!(", {} skipped", found.skipped.len()) };
            remark(ui, cx.theme, format!("{}{part}{skipped} · {}", counted(found.usable as u64, "usable row"), reading.template));
            for note in &reading.notes {
                remark(ui, cx.theme, note);
            }
            // Nothing detected differently and nothing chosen: what is shown is in force already.
            let in_force = *wanted == entry.mapping && entry.state.ready().is_some();
            if !in_force {
                for item in reading.items.iter().take(2) {
                    item_ui(ui, cx, item);
                }
                if ui.add(cx.theme.primary("Read the file like this")).clicked() {
                    let (name, path) = (entry.name.clone(), entry.path.clone());
                    cx.send(Command::AddDomain { name, path, mapping: wanted.clone() });
                }
            }
        }
    }
    next
}
