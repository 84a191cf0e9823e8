//! What the inspector's views are made of.

use crate::gui::{PanelCx, theme};
use eframe::egui::{self, Align2, FontFamily, FontId, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons;

/// A part that can be folded; whether it is open is remembered between sessions.
pub fn section(ui: &mut Ui, cx: &mut PanelCx<'_>, name: &'static str, open_at_first: bool, add: impl FnOnce(&mut Ui, &mut PanelCx<'_>)) {
    let id = egui::Id::unique(("inspector section", name));
    let mut open = ui.data_mut(|d| d.get_persisted::<bool>(id)).unwrap_or(open_at_first);
    ui.add_space(4.0);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, open, name));
    let p = ui.painter();
    p.hline(rect.x_range(), p.round_to_pixel_center(rect.top()), cx.theme.hairline_stroke());
    let ink = if response.hovered() || response.has_focus() { cx.theme.text } else { cx.theme.secondary };
    let icon = if open { icons::ICON_EXPAND_MORE } else { icons::ICON_CHEVRON_RIGHT };
    let icon_font = FontId::new(16.0, FontFamily::Name(egui_material_icons::FONT_FAMILY.into()));
    p.text(pos2(rect.left() - 3.0, rect.center().y), Align2::LEFT_CENTER, icon.codepoint, icon_font, ink);
    let font = FontId::new(theme::SMALL, FontFamily::Name(theme::STRONG.into()));
    p.text(pos2(rect.left() + 16.0, rect.center().y), Align2::LEFT_CENTER, name, font, ink);
    if response.clicked() {
        open = !open;
        ui.data_mut(|d| d.insert_persisted(id, open));
    }
    if open {
        add(ui, cx);
        ui.add_space(4.0);
    }
}

/// A small wrapped remark in secondary ink.
pub fn remark(ui: &mut Ui, cx: &PanelCx<'_>, text: impl Into<String>) {
    ui.add(egui::Label::new(cx.theme.small(text)).wrap());
}
