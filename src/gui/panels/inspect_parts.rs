//! What the inspector's views are made of.

use crate::{
    app::Word,
    base::visible,
    gui::{
        PanelCx,
        export::{self, Subject},
        theme,
        widgets::{number::sig3, token_strip::ground},
    },
    report::export::View,
};
use eframe::egui::{self, Align2, FontFamily, FontId, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
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

/// The menu that lets a view of the inspector leave the program.
pub fn export_button(ui: &mut Ui, cx: &mut PanelCx<'_>, view: View, subject: Subject) {
    let icon = icons::ICON_DOWNLOAD.rich_text().size(16.0).color(cx.theme.secondary);
    let button = egui::Button::new(icon).frame_when_inactive(false).min_size(vec2(theme::ROW, theme::ROW));
    let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| export::menu_ui(ui, cx, view, subject));
    response.on_hover_text("Export, copy as image or table").accessible_name(format!("Export the {}", view.id()));
}

/// A small wrapped remark in secondary ink.
pub fn remark(ui: &mut Ui, cx: &PanelCx<'_>, text: impl Into<String>) {
    ui.add(egui::Label::new(cx.theme.small(text)).wrap());
}

/// What is promoted and suppressed, side by side, most first. `mean`: over the vocabulary, the zero of the bars; `more`: what the pointer is told beside.
pub fn words_ui(ui: &mut Ui, cx: &PanelCx<'_>, (promotes, suppresses): (&[Word], &[Word]), mean: f32, formula: &str, more: &str) {
    let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::hover());
    let font = FontId::proportional(theme::SMALL);
    let half = (rect.width() - 12.0) / 2.0;
    let p = ui.painter_at(rect);
    p.text(rect.left_center(), Align2::LEFT_CENTER, "makes likelier", font.clone(), cx.theme.secondary);
    p.text(pos2(rect.left() + half + 12.0, rect.center().y), Align2::LEFT_CENTER, "less likely", font.clone(), cx.theme.secondary);
    r.on_hover_text(formula);
    let largest = promotes.iter().chain(suppresses).map(|w| (w.value - mean).abs()).fold(f32::MIN_POSITIVE, f32::max);
    for i in 0..promotes.len().max(suppresses.len()) {
        let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
        let mut spoken = Vec::new();
        for (words, left, sign) in [(promotes, rect.left(), "+"), (suppresses, rect.left() + half + 12.0, "")] {
            let Some(w) = words.get(i) else { continue };
            let cell = Rect::from_min_size(pos2(left, rect.top()), vec2(half, rect.height()));
            let share = (w.value - mean).abs() / largest;
            let p = ui.painter_at(cell);
            let bar = Rect::from_min_size(cell.min + vec2(0.0, 1.0), vec2(cell.width() * share, cell.height() - 2.0));
            let colour = ground(cx.theme, if sign == "+" { 0.28 } else { -0.28 }, 1.0);
            p.rect_filled(bar, 2.0, colour);
            let value = p.layout_no_wrap(sig3(f64::from(w.value)), font.clone(), cx.theme.secondary);
            let mut job =
                egui::text::LayoutJob::simple_singleline(visible::alone(&w.piece), FontId::proportional(theme::BODY), cx.theme.text);
            job.wrap = egui::text::TextWrapping::truncate_at_width((half - value.size().x - 12.0).max(20.0));
            let galley = p.layout_job(job);
            p.galley(pos2(cell.left() + 4.0, cell.center().y - galley.size().y / 2.0), galley, cx.theme.text);
            p.galley(pos2(cell.right() - value.size().x, cell.center().y - value.size().y / 2.0), value, cx.theme.secondary);
            spoken.push(format!("{} {}", visible::alone(&w.piece), sig3(f64::from(w.value))));
        }
        let spoken = spoken.join(" | ");
        r.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("Logit {spoken}")));
        r.on_hover_text(format!("{spoken}\n{more}"));
    }
}
