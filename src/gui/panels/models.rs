//! The open model: what it is and where it lies; and the ways to open another.

use crate::{
    app::{Command, JobTarget, Loading},
    gui::{
        Ask, Panel, PanelCx,
        panels::{certificate, found_models},
        widgets::{
            control::{caption, group, remark},
            number::{bytes, count, short_count},
            states::{failed_strip_ui, working_ui},
            table::{Fact, facts},
        },
    },
    model::{DecoderSpec, ModelInfo},
};
use eframe::egui::{self, Key, ScrollArea, TextEdit, Ui};
use egui_material_icons::icons;
use std::path::PathBuf;

#[derive(Default)]
pub struct ModelsPanel {
    path: String,
}

impl Panel for ModelsPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            if let Some(model) = &cx.app.library.model {
                match &model.state {
                    Loading::Ready((info, spec)) => ready_ui(ui, cx, info, spec),
                    Loading::Working => {
                        let name = model.path.display().to_string();
                        match cx.app.job_for(|t| matches!(t, JobTarget::Model(_))) {
                            Some(job) => working_ui(ui, cx, job),
                            None => remark(ui, cx.theme, format!("Reading {name}")),
                        }
                    }
                    Loading::Stopped => {
                        remark(ui, cx.theme, format!("Opening {} was stopped.", model.path.display()));
                        if ui.button("Open it").clicked() {
                            cx.send(Command::OpenModel { path: model.path.clone() });
                        }
                    }
                    Loading::Failed(message) => {
                        let what = format!("{} could not be opened", model.path.display());
                        let details = format!(
                            "{message}\n\nA model is a folder with config.json, tokenizer.json and model.safetensors (or its shards with \
                             model.safetensors.index.json), or one .gguf file."
                        );
                        if failed_strip_ui(ui, cx, &what, &details, "Try again") {
                            cx.send(Command::OpenModel { path: model.path.clone() });
                        }
                    }
                }
            } else {
                remark(ui, cx.theme, "No model is open. A model is a Hugging Face folder or a .gguf file; the demo needs no download.");
            }
            self.open_ui(ui, cx);
            found_models::found_ui(ui, cx);
        });
    }
}

impl ModelsPanel {
    fn open_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        group(ui, cx.theme, "OPEN A MODEL");
        ui.horizontal_wrapped(|ui| {
            let first = cx.app.library.model.is_none();
            let demo = if first { cx.theme.primary("Open the demo") } else { egui::Button::new("Open the demo") };
            if ui.add(demo).on_hover_text("A small model trained by this program, its six domains and a stored run").clicked() {
                cx.send(Command::OpenDemo);
            }
            if ui.button("Choose a folder…").on_hover_text("Ctrl+O").clicked() {
                cx.link.ask(Ask::OpenModel);
            }
            if ui.button("Choose a .gguf file…").clicked() {
                cx.link.ask(Ask::OpenGguf);
            }
        });
        ui.horizontal(|ui| {
            caption(ui, cx.theme, "or its path or name");
            let room = (ui.available_width() - 64.0).max(80.0);
            let edit = TextEdit::singleline(&mut self.path).hint_text("org/name, folder or file.gguf").desired_width(room);
            let field = ui.add(edit).accessible_name("Path of a model folder");
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let filled = !self.path.trim().is_empty();
            let open = ui.add_enabled(filled, egui::Button::new("Open")).clicked();
            if filled && (open || entered) {
                cx.send(Command::OpenModel { path: PathBuf::from(self.path.trim()) });
                self.path.clear();
            }
        });
        remark(ui, cx.theme, "A folder or a .gguf file can also be dropped on the window.");
    }
}

fn ready_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, info: &ModelInfo, spec: &DecoderSpec) {
    ui.horizontal(|ui| {
        ui.label(icons::ICON_DEPLOYED_CODE.rich_text().size(20.0).color(cx.theme.secondary));
        ui.label(cx.theme.title(&info.name));
        certificate::badge_ui(ui, cx);
    });
    let a = &spec.attention;
    let heads = if a.n_heads == a.n_kv_heads {
        format!("{} of width {}", a.n_heads, a.head_dim)
    } else {
        format!("{} of width {}, {} for keys and values", a.n_heads, a.head_dim, a.n_kv_heads)
    };
    let folder = info.folder.display().to_string();
    facts(
        ui,
        cx.theme,
        &[
            Fact::copied(if info.dtype.starts_with("gguf") { "file" } else { "folder" }, folder.clone(), folder),
            Fact::new("type", &info.model_type),
            Fact::new("parameters", format!("{} ({})", short_count(info.n_params), count(info.n_params))),
            Fact::new("stored as", format!("{}, {}", info.dtype, bytes(info.size_bytes))),
            Fact::new("layers", count(spec.n_layers as u64)),
            Fact::new("neurons", format!("{} a layer, {} in all", count(spec.d_mlp as u64), count((spec.n_layers * spec.d_mlp) as u64)))
                .hover("Coordinates of mlp.hook_post"),
            Fact::new("heads", heads),
            Fact::new("width", format!("{} (vocabulary {})", count(spec.d_model as u64), count(spec.vocab as u64))),
            Fact::new("MLP", format!("{}, {:?}", if spec.mlp.is_gated() { "gated" } else { "plain" }, spec.mlp.act()).to_lowercase()),
            Fact::new("context", format!("{} tokens", count(spec.max_positions as u64))),
            Fact::hash("SHA-256", &info.sha256),
        ],
    );
    if let Some(note) = info.note() {
        remark(ui, cx.theme, note);
    }
    certificate::certificate_ui(ui, cx);
}

pub fn make() -> Box<dyn Panel> {
    Box::<ModelsPanel>::default()
}
