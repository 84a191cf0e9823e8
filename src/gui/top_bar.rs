//! The line at the top: menu, model, domains, undo and redo, jobs, theme.

use super::{
    Ask, PanelCx,
    actions::{self, Act, Action},
    keys, theme,
    widgets::{control::choice, number, table::icon_button},
};
use crate::app::{Command, JobState, Loading};
use eframe::egui::{self, Align, Color32, Layout, Response, RichText, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};
use egui_material_icons::icons;

pub fn top_bar_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, actions: &[Action], acts: &mut Vec<Act>) {
    ui.horizontal_centered(|ui| {
        menu_ui(ui, cx, actions, acts);
        ui.add_space(theme::GRID);
        model_chip_ui(ui, cx);
        tuned_ui(ui, cx);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let (icon, name) = if cx.theme.dark { (icons::ICON_LIGHT_MODE, "Light theme") } else { (icons::ICON_DARK_MODE, "Dark theme") };
            if icon_button(ui, icon, name, "").clicked() {
                acts.push(Act::ToggleTheme);
            }
            jobs_ui(ui, cx);
            let shortcut = |c: &Command| actions.iter().find(|a| a.act == Act::Send(Box::new(c.clone())));
            for (command, icon, name) in [(Command::Redo, icons::ICON_REDO, "Redo"), (Command::Undo, icons::ICON_UNDO, "Undo")] {
                let Some(action) = shortcut(&command) else { continue };
                let shown = action.shortcut.map(|k| keys::shortcut(ui.ctx(), &k)).unwrap_or_default();
                let button = ui.add_enabled_ui(action.enabled, |ui| icon_button(ui, icon, name, &format!("{}   {shown}", action.label)));
                if button.inner.clicked() {
                    acts.push(action.act.clone());
                }
            }
            ui.add_space(theme::GRID);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| domain_chips_ui(ui, cx));
        });
    });
}

fn menu_ui(ui: &mut Ui, cx: &PanelCx<'_>, actions: &[Action], acts: &mut Vec<Act>) {
    let title = ui.scope(|ui| {
        ui.spacing_mut().button_padding.x = 4.0;
        let name = cx.theme.strong("Brodmann").size(theme::TITLE);
        egui::containers::menu::MenuButton::from_button(
            egui::Button::new((icons::ICON_MENU.rich_text().size(18.0), name)).frame_when_inactive(false),
        )
        .ui(ui, |ui| {
            for menu in actions::MENUS {
                ui.menu_button(menu, |ui| {
                    for action in actions.iter().filter(|a| a.menu == menu) {
                        if action.starts_group {
                            ui.separator();
                        }
                        if action_ui(ui, action) {
                            acts.push(action.act.clone());
                            ui.close();
                        }
                    }
                });
            }
        })
        .0
    });
    title.inner.accessible_name("Menu");
}

fn action_ui(ui: &mut Ui, action: &Action) -> bool {
    let mut button = egui::Button::new(&action.label);
    if let Some(shortcut) = action.shortcut {
        button = button.shortcut_text(keys::shortcut(ui.ctx(), &shortcut));
    }
    ui.add_enabled(action.enabled, button).on_disabled_hover_text(action.why).clicked()
}

fn model_chip_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let (text, hover, colour) = match app.library.model.as_ref().map(|m| (&m.state, &m.path)) {
        None => ("Open a model…".to_owned(), "Opens a model folder".to_owned(), cx.theme.secondary),
        Some((Loading::Working, path)) => (format!("Opening {}…", path.display()), path.display().to_string(), cx.theme.secondary),
        Some((Loading::Stopped, path)) => {
            (format!("{} is not open", path.display()), "Opening it was stopped".to_owned(), cx.theme.secondary)
        }
        Some((Loading::Failed(e), path)) => (format!("{} could not be opened", path.display()), e.clone(), cx.theme.bad),
        Some((Loading::Ready((info, spec)), _)) => {
            let device = app.device();
            let mut text = format!("{} · {} · {}", info.name, number::short_count(info.n_params), info.dtype);
            if let Some(device) = &device {
                text.push_str(" · ");
                text.push_str(&short_device(device));
            }
            // Numbers that are not f32's are told at a glance.
            if app.products().is_coarse() {
                text.push_str(&format!(" · {} products", app.products()));
            }
            let hover = format!(
                "{}\n{}\ncomputes on {}\n{} layers · d_model {} · d_mlp {} · {} heads\n{}\nClick to open another model",
                info.folder.display(),
                info.model_type,
                device.as_deref().unwrap_or("nothing yet"),
                spec.n_layers,
                spec.d_model,
                spec.d_mlp,
                spec.attention.n_heads,
                number::bytes(info.size_bytes)
            );
            (text, hover, cx.theme.text)
        }
    };
    let button =
        egui::Button::new((icons::ICON_DEPLOYED_CODE.rich_text().size(14.0).color(cx.theme.secondary), RichText::new(text).color(colour)))
            .min_size(vec2(0.0, theme::ROW));
    if ui.add(button).on_hover_text(hover).clicked() {
        cx.link.ask(Ask::OpenModel);
    }
}

/// Which of base and tuned model computes, where there are both.
fn tuned_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let Some(tuned) = &cx.app.tuned else { return };
    let mut on = tuned.on;
    let hover = format!("{}: {}", tuned.tuned_info().name, tuned.report.task);
    let options = [(false, "base", "The model as it was opened computes"), (true, "tuned", hover.as_str())];
    if choice(ui, cx.theme, &mut on, &options) {
        cx.send(Command::UseTuned { on });
    }
}

/// `CPU` of `cpu (AVX-512, 2 threads)`.
fn short_device(device: &str) -> String {
    let word = device.split(" (").next().unwrap_or(device);
    if word.len() <= 4 { word.to_uppercase() } else { word.to_owned() }
}

/// One chip a domain; the shown one is outlined. Chips that do not fit are reached by scrolling.
fn domain_chips_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    egui::ScrollArea::horizontal()
        .id_salt("domain chips")
        .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden)
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                let app = cx.app;
                for d in &app.project.domains {
                    let shown = app.project.view.domain.as_deref() == Some(d.name.as_str());
                    let colour = cx.domain_colour(&d.name);
                    let r = chip_ui(ui, cx, &d.name, colour, d.enabled, shown);
                    if r.hovered() {
                        cx.link.hover_domain(&d.name);
                    }
                    if r.clicked() {
                        cx.send(Command::ShowDomain { domain: Some(d.name.clone()), minus: None });
                        cx.link.focus_domain = Some(d.name.clone());
                    }
                    let scanned = if d.enabled { "Leave out of the next scan" } else { "Include in the next scan" };
                    r.context_menu(|ui| {
                        if ui.button(scanned).clicked() {
                            cx.send(Command::EnableDomain { name: d.name.clone(), on: !d.enabled });
                            ui.close();
                        }
                        if ui.button("Next colour").clicked() {
                            cx.send(Command::ColourDomain { name: d.name.clone(), colour: (d.colour + 1) % cx.theme.domains.len() });
                            ui.close();
                        }
                        if ui.button("Remove").clicked() {
                            cx.send(Command::RemoveDomain { name: d.name.clone() });
                            ui.close();
                        }
                    });
                    r.on_hover_text(if d.enabled {
                        format!("Show {} in the maps", d.name)
                    } else {
                        format!("{} is left out of the next scan", d.name)
                    });
                }
            });
        });
}

fn chip_ui(ui: &mut Ui, cx: &PanelCx<'_>, name: &str, colour: Color32, enabled: bool, shown: bool) -> Response {
    let ink = if enabled { cx.theme.text } else { cx.theme.secondary };
    let galley = ui.painter().layout_no_wrap(name.to_owned(), egui::FontId::proportional(theme::BODY), ink);
    let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x + 30.0, theme::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, shown, name));
    let lit = response.hovered() || cx.link.is_domain_hovered(name);
    let fill = if shown || lit { cx.theme.raised } else { Color32::TRANSPARENT };
    ui.painter().rect_filled(rect, 12.0, fill);
    if shown || response.has_focus() {
        ui.painter().rect_stroke(rect, 12.0, Stroke::new(1.0, if shown { colour } else { cx.theme.accent }), StrokeKind::Inside);
    }
    let spot = egui::pos2(rect.left() + 12.0, rect.center().y);
    if enabled {
        ui.painter().circle_filled(spot, 4.0, colour);
    } else {
        ui.painter().circle_stroke(spot, 3.5, Stroke::new(1.5, colour));
    }
    ui.painter().galley(egui::pos2(rect.left() + 21.0, rect.center().y - galley.size().y / 2.0), galley, ink);
    response
}

fn jobs_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let running = cx.app.jobs.iter().filter(|j| j.state == JobState::Running).count();
    if running > 0 {
        let text = number::counted(running as u64, "job");
        let button = egui::Button::new((
            egui::Atom::from(icons::ICON_PROGRESS_ACTIVITY.rich_text().size(14.0).color(cx.theme.accent)),
            RichText::new(text).size(theme::SMALL),
        ))
        .frame_when_inactive(false)
        .min_size(vec2(0.0, theme::ROW));
        if ui.add(button).on_hover_text("Show the jobs").clicked() {
            cx.link.ask(Ask::ShowPanel("jobs"));
        }
    } else if icon_button(ui, icons::ICON_CHECKLIST, "Jobs", "Nothing runs").clicked() {
        cx.link.ask(Ask::ShowPanel("jobs"));
    }
}
