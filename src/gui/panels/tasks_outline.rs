//! What a tab of Tasks shows before it has a result: what it will show, and the work as a whole with what of it is done.

use super::tasks::TABS;
use crate::gui::{
    PanelCx, theme,
    widgets::control::{group, remark},
};
use eframe::egui::{Button, Frame, Id, Margin, RichText, Ui};

/// Where the tab that was asked for is left.
fn wanted() -> Id {
    Id::unique("tab of Tasks that was asked for")
}

/// The place of the tab that was asked for since the last look.
pub(super) fn take_wanted(ui: &Ui) -> Option<usize> {
    ui.data_mut(|d| d.remove_temp(wanted()))
}

/// Height of such a window, and of a step's words.
const LARGE: f32 = 1000.0;
const STEP: f32 = 24.0;

/// Of the tab `id`: `sentence` says what it measures.
pub(super) fn outline_ui(ui: &mut Ui, cx: &PanelCx<'_>, id: &str, sentence: &str) {
    remark(ui, cx.theme, sentence);
    group(ui, cx.theme, "THE WORK, STEP BY STEP");
    ui.add_space(theme::GRID);
    // In a large window the steps part until they take the larger half of what is left of the panel.
    let large = ui.ctx().content_rect().height() >= LARGE;
    let air = if large { (0.6 * ui.available_height() / TABS.len() as f32 - STEP).clamp(12.0, 64.0) / 2.0 } else { 6.0 };
    for (place, tab) in TABS.iter().enumerate() {
        let here = tab.id == id;
        let fill = if here { cx.theme.raised } else { cx.theme.panel };
        Frame::new().fill(fill).corner_radius(4.0).inner_margin(Margin::symmetric(8, air as i8)).show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let name =
                    RichText::new(format!("{} · {}", place + 1, tab.title)).color(if here { cx.theme.text } else { cx.theme.secondary });
                ui.vertical(|ui| {
                    ui.set_width(96.0);
                    if ui.add(Button::new(name).frame(false)).on_hover_text("Go to this tab").clicked() {
                        ui.data_mut(|d| d.insert_temp(wanted(), place));
                    }
                });
                ui.vertical(|ui| {
                    ui.add_space(3.0);
                    remark(ui, cx.theme, tab.hint);
                    if (tab.done)(cx.app) {
                        ui.label(cx.theme.small("done").color(cx.theme.good));
                    }
                });
            });
        });
    }
}
