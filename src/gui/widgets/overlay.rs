//! A window over the panels that is no mode: settings, export. It leaves the panels in reach, and Esc or its cross closes it.

use super::table::icon_button;
use crate::gui::{Theme, theme};
use eframe::egui::{self, Align, Align2, Context, Frame, Layout, Margin, Ui, vec2};
use egui_material_icons::icons;

/// Draws it while `open`; the cross closes it.
pub fn overlay(ctx: &Context, theme: &Theme, title: &str, width: f32, open: &mut bool, add: impl FnOnce(&mut Ui)) {
    if !*open {
        return;
    }
    let frame = Frame::window(&ctx.global_style()).fill(theme.panel).inner_margin(Margin::symmetric(20, 16));
    egui::Window::new(title).title_bar(false).resizable(false).frame(frame).anchor(Align2::CENTER_TOP, vec2(0.0, 72.0)).show(ctx, |ui| {
        ui.set_width(width);
        ui.horizontal(|ui| {
            ui.label(theme.title(title));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_button(ui, icons::ICON_CLOSE, &format!("Close {}", title.to_lowercase()), "Esc").clicked() {
                    *open = false;
                }
            });
        });
        ui.add_space(theme::GRID * 2.0);
        add(ui);
    });
}
