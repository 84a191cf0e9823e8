//! The project's history as a tree: every step by name and time, a click away; what was undone stays as a branch.

use crate::{
    app::{Command, HistoryRow},
    gui::{
        Panel, PanelCx, theme,
        widgets::{number::counted, table::icon_button},
    },
};
use eframe::egui::{self, Align, Layout, Rect, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct HistoryPanel {
    /// The step that was current when the list was last scrolled to it.
    followed: Option<u64>,
}

/// Between two branches beside each other, and how many are drawn apart.
const LANE: f32 = 12.0;
const LANES: usize = 8;

impl Panel for HistoryPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let rows = cx.app.history();
        bar_ui(ui, cx, &rows);
        if rows.len() < 2 {
            ui.add_space(theme::GRID * 2.0);
            let text = "Nothing has been done yet. Every step will stand here by name; undoing one and doing something else keeps both.";
            ui.add(egui::Label::new(cx.theme.faint(text)).wrap());
            return;
        }
        let current = rows.iter().position(|r| r.current);
        let moved = current.map(|i| rows[i].id) != self.followed;
        self.followed = current.map(|i| rows[i].id);
        let places: BTreeMap<u64, usize> = rows.iter().enumerate().map(|(i, r)| (r.id, i)).collect();
        let lanes = rows.iter().map(|r| r.lane).max().unwrap_or(0).min(LANES - 1) + 1;
        let n = rows.len();
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().auto_shrink([false, false]);
        if moved && let Some(i) = current {
            // Newest on top.
            let y = (n - 1 - i) as f32 * theme::ROW;
            area = area.vertical_scroll_offset((y - ui.available_height() / 2.0).max(0.0));
        }
        area.show_rows(ui, theme::ROW, n, |ui, shown| {
            for place in shown {
                let i = n - 1 - place;
                row_ui(ui, cx, &rows, i, &places, lanes);
            }
        });
    }
}

fn bar_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, rows: &[HistoryRow]) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (command, icon, verb, what) in
            [(Command::Undo, icons::ICON_UNDO, "Undo", cx.app.undo_label()), (Command::Redo, icons::ICON_REDO, "Redo", cx.app.redo_label())]
        {
            ui.add_enabled_ui(what.is_some(), |ui| {
                if icon_button(ui, icon, &format!("{verb} in the history"), what.unwrap_or_default()).clicked() {
                    cx.send(command);
                }
            });
        }
        ui.add_space(6.0);
        let branches = rows.iter().map(|r| r.lane).max().unwrap_or(0) as u64 + 1;
        let mut text = counted(rows.len().saturating_sub(1) as u64, "step");
        if branches > 1 {
            text.push_str(&format!(" in {branches} branches"));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.label(cx.theme.small(text)));
    });
}

fn row_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, rows: &[HistoryRow], i: usize, places: &BTreeMap<u64, usize>, lanes: usize) {
    let row = &rows[i];
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, row.current, &row.label));
    if row.current || response.hovered() || response.has_focus() {
        let fill = if row.current { ui.visuals().selection.bg_fill } else { cx.theme.raised };
        ui.painter().rect_filled(rect, 4.0, fill);
    }
    let x = |lane: usize| rect.left() + 10.0 + lane.min(LANES - 1) as f32 * LANE;
    graph_ui(ui, cx, rows, i, places, rect, &x);
    let ink = if row.on_branch { cx.theme.text } else { cx.theme.secondary };
    // `12:00:31` of `2026-01-31T12:00:31Z`
    let time = row.time.get(11..19).unwrap_or_default();
    let small = egui::FontId::proportional(theme::SMALL);
    let time = ui.painter().layout_no_wrap(time.to_owned(), small, cx.theme.secondary);
    let left = rect.left() + 20.0 + lanes as f32 * LANE;
    let mut job = egui::text::LayoutJob::simple_singleline(row.label.clone(), egui::FontId::proportional(theme::BODY), ink);
    job.wrap = egui::text::TextWrapping::truncate_at_width((rect.right() - left - time.size().x - 16.0).max(24.0));
    let label = ui.painter().layout_job(job);
    ui.painter().galley(pos2(left, rect.center().y - label.size().y / 2.0), label, ink);
    ui.painter().galley(pos2(rect.right() - time.size().x - 6.0, rect.center().y - time.size().y / 2.0), time, cx.theme.secondary);
    if response.clicked() && !row.current {
        cx.send(Command::GoToStep { id: row.id });
    }
    response.on_hover_text(format!(
        "{}\n{} UTC\nClick to go back to how the project was after it",
        row.label,
        row.time.replace('T', " ").trim_end_matches('Z')
    ));
}

/// The lines of the branches that pass a row, and its own mark. Newer rows are above.
fn graph_ui(ui: &Ui, cx: &PanelCx<'_>, rows: &[HistoryRow], i: usize, places: &BTreeMap<u64, usize>, rect: Rect, x: &dyn Fn(usize) -> f32) {
    let painter = ui.painter();
    let line = |on: bool| Stroke::new(1.5, if on { cx.theme.secondary } else { cx.theme.tint(cx.theme.secondary, 0.4) });
    let y = rect.center().y;
    for (j, child) in rows.iter().enumerate().skip(i) {
        let Some(&parent) = child.parent.as_ref().and_then(|p| places.get(p)) else { continue };
        let stroke = line(child.on_branch);
        let at = x(child.lane);
        if parent < i && j > i {
            painter.vline(at, rect.y_range(), stroke);
        } else if j == i {
            // Down towards the parent.
            painter.vline(at, y..=rect.bottom(), stroke);
        } else if parent == i {
            let from = x(rows[i].lane);
            if (at - from).abs() < 0.5 {
                painter.vline(at, rect.top()..=y, stroke);
            } else {
                painter.hline(from.min(at)..=from.max(at), y, stroke);
                painter.vline(at, rect.top()..=y, stroke);
            }
        }
    }
    let row = &rows[i];
    let at = pos2(x(row.lane), y);
    if row.current {
        painter.circle_filled(at, 5.0, cx.theme.accent);
    } else {
        painter.circle(at, 3.5, cx.theme.panel, line(row.on_branch));
    }
}

pub fn make() -> Box<dyn Panel> {
    Box::<HistoryPanel>::default()
}
