//! The head of a map among others: which domain it shows, compared with which, and by which metric.

use super::map_controls::{combine_ui, combines_ui};
use crate::{
    app::{Command, MapCell, MapChange, Operand, RunEntry, Side},
    gui::{
        PanelCx, theme,
        widgets::{control::TOOLBAR, table::icon_button},
    },
    scan::MetricKind,
};
use eframe::egui::{self, ComboBox, Ui, containers::menu::MenuButton, vec2};
use egui_material_icons::icons;

/// A choice narrower than this shows nothing of its words.
const CHOICE: f32 = 84.0;

/// `logic`, or with a second run in play `logic in A`.
pub fn operand_name(o: &Operand, cells_of_both: bool) -> String {
    match (cells_of_both, o.side) {
        (false, _) => o.domain.clone(),
        (true, Side::A) => format!("{} A", o.domain),
        (true, Side::B) => format!("{} B", o.domain),
    }
}

/// The head of a cell: what it shows, each part a choice, and a cross.
pub fn head_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, i: usize, cells: &[MapCell]) {
    let cell = &cells[i];
    let mut new = cell.clone();
    let mut gone = false;
    let number = i + 1;
    ui.horizontal(|ui| {
        // As high as its icons, so that all stand on one line.
        ui.set_height(TOOLBAR);
        ui.spacing_mut().item_spacing.x = 4.0;
        // What is compared shares the room beside the icons.
        let most = if cell.against.is_some() { ((ui.available_width() - 96.0) / 3.0).max(48.0) } else { 180.0 };
        let (dot, _) = ui.allocate_exact_size(vec2(10.0, TOOLBAR), egui::Sense::hover());
        ui.painter().circle_filled(dot.center(), 4.0, cx.domain_colour(&cell.of.domain));
        if cell.against.is_some() && most < CHOICE {
            compared_ui(ui, cx, run, number, &mut new);
        } else {
            operand_ui(ui, cx, run, &format!("Domain of map {number}"), ("of", i), most, &mut new.of);
        }
        if let Some(mut against) = cell.against.clone().filter(|_| most >= CHOICE) {
            ui.scope(|ui| {
                ui.set_max_width(most);
                if let Some(c) = combine_ui(ui, &format!("combine {i}"), cell.combine) {
                    new.combine = c;
                }
            });
            operand_ui(ui, cx, run, &format!("Compared domain of map {number}"), ("against", i), most, &mut against);
            new.against = Some(against);
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            if cells.len() > 1 && icon_button(ui, icons::ICON_CLOSE, &format!("Remove map {number}"), "").clicked() {
                gone = true;
            }
            let (icon, name, more) = if cell.against.is_some() {
                (icons::ICON_UNDO, format!("Show map {number} alone"), "Without the domain it is compared with")
            } else {
                (icons::ICON_COMPARE, format!("Compare map {number} with another"), "Difference, ratio or rank difference")
            };
            if icon_button(ui, icon, &name, more).clicked() {
                new.against = match cell.against {
                    Some(_) => None,
                    None => other_operand(cx, run, &cell.of),
                };
            }
            if ui.available_width() > 100.0
                && let Some(metric) = small_metric_ui(ui, i, run, cell.metric)
            {
                new.metric = metric;
            }
        });
    });
    if gone || new != *cell {
        let mut all = cells.to_vec();
        if gone {
            all.remove(i);
        } else {
            all[i] = new;
        }
        cx.send(Command::ChangeMap { change: MapChange::Cells(all) });
    }
}

/// What is compared, and how, behind one button: where three would show nothing of their words.
fn compared_ui(ui: &mut Ui, cx: &PanelCx<'_>, run: &RunEntry, number: usize, new: &mut MapCell) {
    let Some(mut against) = new.against.clone() else { return };
    let two = cx.app.project.view.map.other_run.is_some();
    let words = new.combine.words(&operand_name(&new.of, two), &operand_name(&against, two));
    let width = (ui.available_width() - 2.0 * theme::ROW - 4.0).max(40.0);
    ui.scope(|ui| {
        ui.set_max_width(width);
        let button = egui::Button::new(words.as_str()).truncate();
        let (response, _) = MenuButton::from_button(button).ui(ui, |ui| {
            ui.horizontal_top(|ui| {
                let sides = |ui: &mut Ui, o: &mut Operand| ui.vertical(|ui| operands_ui(ui, cx, run, o));
                sides(ui, &mut new.of);
                ui.separator();
                ui.vertical(|ui| {
                    if let Some(how) = combines_ui(ui, new.combine) {
                        new.combine = how;
                    }
                });
                ui.separator();
                sides(ui, &mut against);
            });
        });
        response.accessible_name(format!("What map {number} compares")).on_hover_text(words);
    });
    new.against = Some(against);
}

/// The same domain in the other run where there is one; else the next domain.
fn other_operand(cx: &PanelCx<'_>, run: &RunEntry, of: &Operand) -> Option<Operand> {
    if cx.app.project.view.map.other_run.is_some() {
        let side = if of.side == Side::A { Side::B } else { Side::A };
        return Some(Operand { side, domain: of.domain.clone() });
    }
    let other = run.output.domains.iter().find(|d| d.name != of.domain)?;
    Some(Operand { side: of.side, domain: other.name.clone() })
}

/// `most`: the width it may take.
fn operand_ui(ui: &mut Ui, cx: &PanelCx<'_>, run: &RunEntry, name: &str, salt: (&str, usize), most: f32, o: &mut Operand) {
    let two = cx.app.project.view.map.other_run.is_some();
    let text = operand_name(o, two);
    ui.scope(|ui| {
        ui.set_max_width(most);
        let combo = ComboBox::from_id_salt(salt).width((if two { 92.0f32 } else { 80.0 }).min(most)).truncate().selected_text(text);
        let r = combo.show_ui(ui, |ui| operands_ui(ui, cx, run, o));
        r.response.accessible_name(name);
    });
}

/// The domains that may stand there, of both runs where there are two.
fn operands_ui(ui: &mut Ui, cx: &PanelCx<'_>, run: &RunEntry, o: &mut Operand) {
    let two = cx.app.project.view.map.other_run.is_some();
    for (side, run) in [(Side::A, Some(run)), (Side::B, cx.app.other_run())] {
        let Some(run) = run else { continue };
        if two {
            ui.label(cx.theme.group(format!("{side:?}: {}, {}", run.name, run.model_label())));
        }
        for d in &run.output.domains {
            let this = Operand { side, domain: d.name.clone() };
            if ui.selectable_label(*o == this, operand_name(&this, two)).clicked() {
                *o = this;
            }
        }
    }
}

fn small_metric_ui(ui: &mut Ui, i: usize, run: &RunEntry, metric: MetricKind) -> Option<MetricKind> {
    let mut new = None;
    let r = ComboBox::from_id_salt(("cell metric", i)).width(84.0).truncate().selected_text(metric.info().label).show_ui(ui, |ui| {
        for info in crate::scan::metrics::METRICS.iter().filter(|m| m.map.is_some()) {
            let measured = run.output.domains.iter().any(|d| d.map(info.kind).is_some());
            let item = ui.add_enabled(measured, egui::Button::selectable(info.kind == metric, info.label));
            if item.on_hover_text(info.formula).clicked() && info.kind != metric {
                new = Some(info.kind);
            }
        }
    });
    r.response.accessible_name(format!("Metric of map {}", i + 1));
    new
}
