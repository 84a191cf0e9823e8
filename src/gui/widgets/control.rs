//! Small controls: a switch, a chip, sliders that show their default.

use super::{chart::small_font, number};
use crate::gui::{Theme, theme};
use eframe::egui::{self, Align2, Color32, Response, Role, Sense, Slider, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use std::ops::RangeInclusive;

/// On or off at once, with a name that is spoken.
pub fn switch(ui: &mut Ui, theme: &Theme, on: &mut bool, name: &str) -> Response {
    let (rect, mut response) = ui.allocate_exact_size(vec2(28.0, theme::ROW), Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::selected(Role::Switch, enabled, *on, name));
    let t = ui.ctx().animate_bool_responsive(response.id, *on);
    let track = egui::Rect::from_center_size(rect.center(), vec2(28.0, 16.0));
    let off = theme.tint(theme.secondary, 0.35);
    let fill = egui::lerp(egui::Rgba::from(off)..=egui::Rgba::from(theme.accent), t);
    ui.painter().rect_filled(track, 8.0, Color32::from(fill));
    let knob = pos2(egui::lerp(track.left() + 8.0..=track.right() - 8.0, t), track.center().y);
    ui.painter().circle_filled(knob, 6.0, if theme.dark { theme.text } else { Color32::WHITE });
    if response.has_focus() {
        ui.painter().rect_stroke(track.expand(2.0), 10.0, Stroke::new(1.5, theme.accent), StrokeKind::Outside);
    }
    response
}

/// A round spot in a domain's colour; click to change it.
pub fn colour_spot(ui: &mut Ui, theme: &Theme, colour: Color32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(theme::ROW, theme::ROW), Sense::click());
    let name = format!("Colour of {name}");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    ui.painter().circle_filled(rect.center(), 6.0, colour);
    if response.hovered() || response.has_focus() {
        ui.painter().circle_stroke(rect.center(), 8.5, Stroke::new(1.5, theme.secondary));
    }
    response.on_hover_text("Change the colour")
}

/// A domain's name with its colour before it; `wide` sets the room the name may take.
pub fn domain_name(ui: &mut Ui, theme: &Theme, name: &str, colour: Color32, wide: f32) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(wide, 20.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name));
    let painter = ui.painter_at(rect);
    painter.circle_filled(pos2(rect.left() + 5.0, rect.center().y), 4.0, colour);
    let mut job = egui::text::LayoutJob::simple_singleline(name.to_owned(), egui::FontId::proportional(theme::BODY), theme.text);
    job.wrap = egui::text::TextWrapping::truncate_at_width((wide - 16.0).max(8.0));
    let galley = painter.layout_job(job);
    painter.galley(pos2(rect.left() + 14.0, rect.center().y - galley.size().y / 2.0), galley, theme.text);
    response
}

/// Keeps the handle, which egui sizes by this, in proportion to the text.
pub const SLIDER_HEIGHT: f32 = 20.0;

/// A logarithmic slider with a typed value (three significant digits, `2e-6` is read) and a tick at the default.
pub fn log_slider(ui: &mut Ui, theme: &Theme, value: &mut f64, range: RangeInclusive<f64>, default: f64, name: &str) -> Response {
    // Rail, gap and value are one widget, which does not wrap by itself.
    room_for(ui, 84.0 + 48.0);
    let usual = ui.spacing().slider_width;
    let left = ui.available_size_before_wrap().x;
    let room = if left >= 84.0 + 48.0 { left } else { ui.available_width() };
    let width = usual.min((room - 84.0).max(48.0));
    ui.spacing_mut().slider_width = width;
    let (lo, hi) = (*range.start(), *range.end());
    let slider = Slider::new(value, range)
        .logarithmic(true)
        .smallest_positive(lo)
        .smart_aim(false)
        .custom_formatter(|v, _| number::sig3(v))
        .custom_parser(parse_number);
    let row = std::mem::replace(&mut ui.spacing_mut().interact_size.y, SLIDER_HEIGHT);
    let response = ui.name_inputs(name, |ui| ui.add(slider)).accessible_name(name);
    ui.spacing_mut().interact_size.y = row;
    ui.spacing_mut().slider_width = usual;
    if default > lo && default < hi {
        // As egui lays a rail out: inset by the handle's radius.
        let radius = SLIDER_HEIGHT / 2.5;
        let t = ((default / lo).ln() / (hi / lo).ln()) as f32;
        let x = ui.painter().round_to_pixel_center(response.rect.left() + radius + t * (width - 2.0 * radius));
        let y = response.rect.bottom();
        ui.painter().vline(x, y - 5.0..=y - 1.0, Stroke::new(1.5, theme.secondary));
    }
    response
}

/// Reads `2e-6`, `0.5`, `12 %`, `1,000`.
pub fn parse_number(text: &str) -> Option<f64> {
    text.trim().trim_end_matches('%').trim().replace(',', "").parse().ok()
}

/// A segmented choice of a few words. In a row that wraps the words stay together.
pub fn choice<T: PartialEq + Copy>(ui: &mut Ui, theme: &Theme, value: &mut T, options: &[(T, &str, &str)]) -> bool {
    let options: Vec<(T, &str, &str, bool)> = options.iter().map(|&(value, label, hover)| (value, label, hover, true)).collect();
    choice_among(ui, theme, value, &options)
}

/// A [`choice`] of which some cannot be had: the last of each says whether it can, and its hover text why not.
pub fn choice_among<T: PartialEq + Clone>(ui: &mut Ui, theme: &Theme, value: &mut T, options: &[(T, &str, &str, bool)]) -> bool {
    let mut changed = false;
    keep_together(ui, options.iter().map(|o| o.1));
    let apart = std::mem::replace(&mut ui.spacing_mut().item_spacing.x, 2.0);
    for (option, label, hover, enabled) in options {
        let chosen = *value == *option;
        let ink = if chosen { theme.text } else { theme.secondary };
        let text = egui::RichText::new(*label).color(ink);
        let button = egui::Button::selectable(chosen, text).wrap_mode(egui::TextWrapMode::Extend).min_size(vec2(0.0, theme::ROW));
        let mut response = ui.add_enabled(*enabled, button);
        if !hover.is_empty() {
            response = response.on_hover_text(*hover).on_disabled_hover_text(*hover);
        }
        if response.clicked() && !chosen {
            *value = option.clone();
            changed = true;
        }
    }
    ui.spacing_mut().item_spacing.x = apart;
    ui.add_space(apart - 2.0);
    changed
}

/// Room that a [`choice`] among these words takes.
pub fn choice_width<'a>(ui: &Ui, words: impl Iterator<Item = &'a str>) -> f32 {
    words_width(ui, words) + ui.spacing().item_spacing.x
}

/// Room that a combo box of at least `least` takes when it shows these words.
pub fn combo_width(ui: &Ui, words: &str, least: f32) -> f32 {
    let s = ui.spacing();
    least.max(words_width(ui, std::iter::once(words)) + s.icon_width + s.icon_spacing)
}

/// A row of controls of one height, icons among them, that wraps where it must.
pub fn toolbar(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(5.0, 4.0);
        // Icons are the highest; what comes before one does not know yet how high the row will be.
        ui.set_row_height(TOOLBAR);
        add(ui);
    });
}

/// Height of a row of a [`toolbar`].
pub const TOOLBAR: f32 = 28.0;

/// Begins a new line where buttons with these words would be broken over two.
pub fn keep_together<'a>(ui: &mut Ui, words: impl Iterator<Item = &'a str>) {
    if ui.layout().main_wrap() && !fits(ui, words) {
        ui.end_row();
    }
}

/// Begins a new line where less than this width is left of a row that wraps: for a slider with its name and value, which do not wrap by themselves.
pub fn room_for(ui: &mut Ui, width: f32) {
    if ui.layout().main_wrap() && ui.available_size_before_wrap().x < width {
        ui.end_row();
    }
}

/// Whether buttons with these words fit what is left of the line.
pub fn fits<'a>(ui: &Ui, words: impl Iterator<Item = &'a str>) -> bool {
    words_width(ui, words) <= ui.available_size_before_wrap().x
}

/// Width of buttons with these words, side by side.
fn words_width<'a>(ui: &Ui, words: impl Iterator<Item = &'a str>) -> f32 {
    let font = egui::TextStyle::Button.resolve(ui.style());
    let padding = 2.0 * ui.spacing().button_padding.x + 2.0;
    let width = |w: &str| ui.painter().layout_no_wrap(w.to_owned(), font.clone(), Color32::PLACEHOLDER).size().x + padding;
    words.map(width).sum()
}

/// Which span the colours of a matrix cover: 0 to 1, or the values shown.
pub fn colour_span(ui: &mut Ui, fitted: &mut bool) {
    use egui_material_icons::icons::{ICON_COMPRESS, ICON_EXPAND};
    let (icon, name, more) = if *fitted {
        (ICON_EXPAND, "Colours from 0 to 1", "They span the values shown now")
    } else {
        (ICON_COMPRESS, "Fit the colours to the values", "They span 0 to 1 now")
    };
    if super::table::icon_button(ui, icon, name, more).clicked() {
        *fitted = !*fitted;
    }
}

/// The name of the control after it; never broken over two lines.
pub fn caption(ui: &mut Ui, theme: &Theme, text: &str) -> Response {
    // As high as a control: in a row that wraps, what comes first does not know yet how high the row will be.
    let galley = ui.painter().layout_no_wrap(text.to_owned(), egui::TextStyle::Body.resolve(ui.style()), theme.secondary);
    let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x, theme::ROW), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    ui.painter().galley(pos2(rect.left(), rect.center().y - galley.size().y / 2.0), galley, theme.secondary);
    response
}

/// Of a [`caption`].
pub fn caption_width(ui: &Ui, text: &str) -> f32 {
    ui.painter().layout_no_wrap(text.to_owned(), egui::TextStyle::Body.resolve(ui.style()), Color32::PLACEHOLDER).size().x
}

/// The name before a value or control, left-aligned in a column of `width`.
pub fn name_cell(ui: &mut Ui, text: egui::RichText, width: f32, height: f32) -> Response {
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(vec2(width, height), layout, |ui| {
        ui.set_min_size(vec2(width, height));
        ui.add(egui::Label::new(text).truncate())
    })
    .inner
}

/// With less room than this beside the icons the controls take the whole width.
const NARROW_BAR: f32 = 190.0;

/// A row of controls that wraps, with this many icons kept at its right end. Both parts get `shared`.
pub fn bar<S: ?Sized>(
    ui: &mut Ui,
    icons: usize,
    shared: &mut S,
    left_ui: impl FnOnce(&mut Ui, &mut S),
    right_ui: impl FnOnce(&mut Ui, &mut S),
) {
    let right_width = super::table::icons_width(icons) + 8.0;
    if ui.available_width() - right_width < NARROW_BAR {
        ui.horizontal_wrapped(|ui| left_ui(ui, shared));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
            ui.set_max_height(theme::ROW);
            ui.spacing_mut().item_spacing.x = 2.0;
            right_ui(ui, shared);
        });
        return;
    }
    ui.horizontal_top(|ui| {
        let room = ui.available_width() - right_width;
        ui.scope(|ui| {
            ui.set_max_width(room);
            ui.horizontal_wrapped(|ui| left_ui(ui, shared));
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            right_ui(ui, shared);
        });
    });
}

/// Height of a [`remark`].
pub fn remark_height(ui: &Ui, text: &str) -> f32 {
    ui.painter().layout(text.to_owned(), small_font(), Color32::PLACEHOLDER, ui.available_width()).size().y
}

/// A remark under a chart: what a mark means, what is left out.
pub fn remark(ui: &mut Ui, theme: &Theme, text: impl Into<String>) {
    ui.add(egui::Label::new(theme.small(text)).wrap());
}

/// The head of a group of controls.
pub fn group(ui: &mut Ui, theme: &Theme, title: &str) {
    ui.add_space(theme::GRID * 2.0);
    ui.label(theme.group(title));
}

/// A short mark inside a row: `text`, `answer`, `3 skipped`.
pub fn tag(ui: &mut Ui, theme: &Theme, text: &str, ink: Color32) -> Response {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), small_font(), ink);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(10.0, 4.0), Sense::hover());
    ui.painter().rect_filled(rect, 3.0, theme.raised);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, small_font(), ink);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    response
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn typed_numbers_are_read_as_people_write_them() {
        assert_eq!(parse_number("2e-6"), Some(2e-6));
        assert_eq!(parse_number(" 12 %"), Some(12.0));
        assert_eq!(parse_number("1,000"), Some(1000.0));
        assert_eq!(parse_number("a few"), None);
    }
}
