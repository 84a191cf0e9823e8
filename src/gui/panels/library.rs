//! The left side: the model, domains, runs and sets at hand, and the way from a fresh start to a scan.

use super::scan_cost::Cost;
use crate::{
    app::{Command, Loading},
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{control::switch, number, table::icon_button},
    },
};
use eframe::egui::{self, Align, Color32, Label, Layout, Response, RichText, ScrollArea, Sense, Ui, WidgetInfo, vec2};
use egui_material_icons::{MaterialIcon, icons};

#[derive(Default)]
pub struct LibraryPanel;

impl Panel for LibraryPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let footer = 40.0;
        ScrollArea::vertical().id_salt("library").max_height((ui.available_height() - footer).max(80.0)).auto_shrink([false, false]).show(
            ui,
            |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                models_ui(ui, cx);
                domains_ui(ui, cx);
                runs_ui(ui, cx);
                sets_ui(ui, cx);
            },
        );
        ui.add_space(8.0);
        scan_button_ui(ui, cx);
    }
}

/// The head of a section with one button at its end; true when it was pressed.
fn section(ui: &mut Ui, cx: &PanelCx<'_>, title: &str, icon: MaterialIcon, action: &str) -> bool {
    ui.add_space(4.0);
    let mut pressed = false;
    ui.horizontal(|ui| {
        ui.set_height(theme::ROW);
        ui.label(cx.theme.group(title));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            pressed = icon_button(ui, icon, action, "").clicked();
        });
    });
    pressed
}

/// A row that can be clicked: a mark, a name, a remark at the end.
fn row(ui: &mut Ui, cx: &PanelCx<'_>, mark: Option<(MaterialIcon, Color32)>, name: &str, remark: &str, chosen: bool) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, chosen, name));
    if chosen || response.hovered() || response.has_focus() {
        let fill = if chosen { ui.visuals().selection.bg_fill } else { cx.theme.raised };
        ui.painter().rect_filled(rect.expand2(vec2(4.0, 0.0)), 4.0, fill);
    }
    let mut left = rect.left();
    if let Some((icon, colour)) = mark {
        let font = egui::FontId::new(14.0, icon.font_family());
        ui.painter().text(egui::pos2(left + 8.0, rect.center().y), egui::Align2::CENTER_CENTER, icon.codepoint, font, colour);
        left += 22.0;
    }
    let small = egui::FontId::proportional(theme::SMALL);
    let remark = ui.painter().layout_no_wrap(remark.to_owned(), small, cx.theme.secondary);
    let mut job = egui::text::LayoutJob::simple_singleline(name.to_owned(), egui::FontId::proportional(theme::BODY), cx.theme.text);
    job.wrap = egui::text::TextWrapping::truncate_at_width((rect.right() - left - remark.size().x - 8.0).max(24.0));
    let name = ui.painter().layout_job(job);
    ui.painter().galley(egui::pos2(left, rect.center().y - name.size().y / 2.0), name, cx.theme.text);
    ui.painter().galley(egui::pos2(rect.right() - remark.size().x, rect.center().y - remark.size().y / 2.0), remark, cx.theme.secondary);
    response
}

fn remark(ui: &mut Ui, cx: &PanelCx<'_>, text: &str) {
    ui.add(Label::new(cx.theme.small(text)).wrap());
    ui.add_space(4.0);
}

fn models_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    if section(ui, cx, "Model", icons::ICON_FOLDER_OPEN, "Open a model folder") {
        cx.link.ask(Ask::OpenModel);
    }
    let Some(model) = &cx.app.library.model else {
        remark(ui, cx, "A folder with config.json, tokenizer.json and safetensors.");
        if row(ui, cx, Some((icons::ICON_PLAY_CIRCLE, cx.theme.accent)), "Open the demo", "", false).clicked() {
            cx.send(Command::OpenDemo);
        }
        return;
    };
    let icon = icons::ICON_DEPLOYED_CODE;
    let response = match &model.state {
        Loading::Ready((info, spec)) => {
            let remark = format!("{} × {}", spec.n_layers, number::count(spec.d_mlp as u64));
            row(ui, cx, Some((icon, cx.theme.secondary)), &info.name, &remark, false).on_hover_text(format!(
                "{} layers × {} neurons\n{}",
                spec.n_layers,
                spec.d_mlp,
                info.folder.display()
            ))
        }
        Loading::Working => row(ui, cx, Some((icon, cx.theme.secondary)), &model.path.display().to_string(), "opening…", false),
        Loading::Stopped => row(ui, cx, Some((icon, cx.theme.secondary)), &model.path.display().to_string(), "stopped", false)
            .on_hover_text("Opening it was stopped; Models opens it"),
        Loading::Failed(e) => {
            row(ui, cx, Some((icons::ICON_ERROR, cx.theme.bad)), &model.path.display().to_string(), "failed", false).on_hover_text(e)
        }
    };
    if response.clicked() {
        cx.link.ask(Ask::ShowPanel("models"));
    }
}

fn domains_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    if section(ui, cx, "Domains", icons::ICON_ADD, "Add datasets") {
        cx.link.ask(Ask::AddDomain);
    }
    let app = cx.app;
    if app.project.domains.is_empty() {
        remark(ui, cx, "Drop JSONL, CSV, TSV or text files here.");
    }
    for d in &app.project.domains {
        let entry = app.library.domain(&d.name);
        let (remark, failed) = match entry.map(|e| &e.state) {
            Some(Loading::Ready(data)) => (number::count(data.items.len() as u64), None),
            Some(Loading::Failed(e)) => ("failed".to_owned(), Some(e.clone())),
            Some(Loading::Stopped) => ("stopped".to_owned(), None),
            _ => ("reading…".to_owned(), None),
        };
        let shown = app.project.view.domain.as_deref() == Some(d.name.as_str());
        let colour = cx.domain_colour(&d.name);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let mut on = d.enabled;
            let width = ui.available_width() - 32.0;
            let r = ui
                .scope(|ui| {
                    ui.set_max_width(width);
                    let icon = if failed.is_some() { (icons::ICON_ERROR, cx.theme.bad) } else { (icons::ICON_CIRCLE, colour) };
                    row(ui, cx, Some(icon), &d.name, &remark, shown || cx.link.is_domain_hovered(&d.name))
                })
                .inner;
            if r.hovered() {
                cx.link.hover_domain(&d.name);
            }
            if r.clicked() {
                cx.send(Command::ShowDomain { domain: Some(d.name.clone()), minus: None });
                cx.link.focus_domain = Some(d.name.clone());
            }
            r.context_menu(|ui| {
                if ui.button("Remove from the project").clicked() {
                    cx.send(Command::RemoveDomain { name: d.name.clone() });
                    ui.close();
                }
            });
            if let Some(e) = &failed {
                r.on_hover_text(e);
            }
            if switch(ui, cx.theme, &mut on, &format!("Scan {}", d.name)).on_hover_text("Part of the next scan and of accuracy").changed() {
                cx.send(Command::EnableDomain { name: d.name.clone(), on });
            }
        });
    }
}

fn runs_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    if section(ui, cx, "Runs", icons::ICON_FOLDER_OPEN, "Open a run folder") {
        cx.link.ask(Ask::OpenRun);
    }
    let app = cx.app;
    if app.library.runs.is_empty() {
        remark(ui, cx, "A scan leaves a run here.");
    }
    for (index, run) in app.library.runs.iter().enumerate().rev() {
        let chosen = app.library.shown == Some(index);
        let n = run.output.domains.len() as u64;
        let icon = (icons::ICON_GRID_ON, cx.theme.secondary);
        let r = row(ui, cx, Some(icon), &run.name, &number::counted(n, "domain"), chosen);
        let p = &run.output.provenance;
        let where_ = run.path.as_ref().map_or_else(|| "not stored".to_owned(), |p| p.display().to_string());
        let r = r.on_hover_text(format!("{}\n{} · {}\nseed {} · {}\n{where_}", p.created, p.model, p.objective, p.seed, p.device));
        if r.clicked() && !chosen {
            cx.send(Command::ShowRun { index });
        }
    }
}

fn sets_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    if section(ui, cx, "Sets", icons::ICON_OPEN_IN_NEW, "Show the sets: new ones by formula, notes, files") {
        cx.link.ask(Ask::ShowPanel("sets"));
    }
    if !app.project.has_ablation() {
        remark(ui, cx, "Shift-drag neurons in a map and keep them as a set, or write a formula in Sets.");
    }
    for (index, set) in app.project.sets.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let width = ui.available_width() - 32.0;
            let r = ui
                .scope(|ui| {
                    ui.set_max_width(width);
                    row(ui, cx, None, &set.name, &number::count(set.neurons.len() as u64), app.project.view.selection == set.neurons)
                })
                .inner;
            if r.clicked() {
                cx.send(Command::SelectNeurons { neurons: set.neurons.clone() });
            }
            r.context_menu(|ui| {
                if ui.button("Duplicate").clicked() {
                    cx.send(Command::DuplicateSet { index });
                    ui.close();
                }
                if ui.button("Remove the set").clicked() {
                    cx.send(Command::RemoveSet { index });
                    ui.close();
                }
                if ui.button("Copy its neurons").clicked() {
                    cx.link.ask(Ask::Copy(set.neurons.to_string()));
                    ui.close();
                }
            });
            r.on_hover_text(format!("{}\nClick to select its neurons in every view", set.source));
            let mut on = set.on;
            if switch(ui, cx.theme, &mut on, &format!("{} off", set.name)).on_hover_text("Off means: switched off in the model").changed() {
                cx.send(Command::EnableSet { index, on });
            }
        });
    }
    for b in app.project.besides_sets() {
        let r = row(ui, cx, None, b.name, &number::count(b.count as u64), false);
        let r = r.on_hover_text(format!("{}\nClick to see them in Ablation", number::elided(&b.which, 120, 20)));
        if r.clicked() {
            cx.link.ask(Ask::ShowPanel("ablation"));
        }
    }
}

fn scan_button_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let n = app.project.domains.iter().filter(|d| d.enabled).count();
    let ready = app.library.spec().is_some() && n > 0;
    let scanning = app.job_for(|t| *t == crate::app::JobTarget::Scan).is_some();
    let text = match n {
        _ if scanning => "Scanning…".to_owned(),
        0 => "Scan".to_owned(),
        1 => "Scan 1 domain".to_owned(),
        n => format!("Scan {n} domains"),
    };
    // The first scan is the primary action; once there is a run, looking at it is.
    let button = if app.library.runs.is_empty() { cx.theme.primary(text) } else { egui::Button::new(RichText::new(text)) };
    ui.add_enabled_ui(ready && !scanning, |ui| {
        let why = if ready {
            "Find which neurons serve each domain that is switched on"
        } else {
            "Needs a model and a domain that is switched on"
        };
        let r = ui.add_sized([ui.available_width(), 28.0], button).on_disabled_hover_text(why);
        let r = r.on_hover_ui(|ui| {
            ui.label(why);
            if let Some(cost) = Cost::of(app) {
                ui.label(cx.theme.small(cost.words()));
            }
        });
        if r.clicked() {
            cx.send(Command::StartScan { out: None });
        }
    });
}
