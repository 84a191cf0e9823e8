//! A text as its tokens, each on a ground that says how strongly something answers to it.

use super::{chart::small_font, number::sig3};
use crate::{
    base::{heatmap::ColourMap, visible},
    gui::{Theme, theme},
};
use eframe::egui::{
    self, Align2, Color32, FontId, Mesh, Rect, Response, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};

/// One token of a strip.
pub struct StripWord<'a> {
    pub piece: &'a str,
    pub value: f32,
    /// Framed: the extreme that the text is shown for.
    pub marked: bool,
}

/// How a strip looks.
pub struct StripLook {
    /// Value of the full colours.
    pub largest: f32,
    /// Rows beyond this are not shown; 0: all.
    pub rows: usize,
    /// A line end in the text begins a new row.
    pub breaks: bool,
    /// The text goes on before, after.
    pub cut: (bool, bool),
}

const HEIGHT: f32 = 18.0;

/// Ground of a value: from the panel's own colour at 0 to blue (below) or red (above) at `largest`.
pub fn ground(theme: &Theme, value: f32, largest: f32) -> Color32 {
    let t = if largest > 0.0 && value.is_finite() { (value / largest).clamp(-1.0, 1.0) } else { 0.0 };
    let [r, g, b] = ColourMap::BlueRed.at(if t < 0.0 { 0.12 } else { 0.88 });
    theme.tint(Color32::from_rgb(r, g, b), t.abs())
}

/// Black or white, whichever stands out more.
pub fn ink_on(ground: Color32) -> Color32 {
    let linear = |v: u8| {
        let v = f32::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    };
    let light = 0.2126 * linear(ground.r()) + 0.7152 * linear(ground.g()) + 0.0722 * linear(ground.b());
    // Where the contrast with white, 1.05 / (light + 0.05), equals that with black, (light + 0.05) / 0.05.
    if light > 0.179 { Color32::BLACK } else { Color32::WHITE }
}

/// Draws the tokens in rows that wrap; `spoken` is what assistive technology reads. Gives back the response and the token under the pointer.
pub fn token_strip(ui: &mut Ui, theme: &Theme, words: &[StripWord<'_>], look: &StripLook, spoken: &str) -> (Response, Option<usize>) {
    let font = FontId::proportional(theme::BODY);
    let width = ui.available_width().max(40.0);
    // Places first: the height depends on them.
    let mut placed: Vec<(usize, egui::Pos2, std::sync::Arc<egui::Galley>)> = Vec::with_capacity(words.len());
    let (mut x, mut row) = (if look.cut.0 { 10.0 } else { 0.0 }, 0usize);
    let mut whole = true;
    for (i, word) in words.iter().enumerate() {
        let text = visible::inline(word.piece);
        let mut job = LayoutJob::simple_singleline(text, font.clone(), Color32::PLACEHOLDER);
        job.wrap = TextWrapping::truncate_at_width(width - 4.0);
        let galley = ui.painter().layout_job(job);
        let wide = galley.size().x.max(4.0);
        if x > 0.0 && x + wide > width {
            (x, row) = (0.0, row + 1);
        }
        if look.rows > 0 && row >= look.rows {
            whole = false;
            break;
        }
        placed.push((i, pos2(x, row as f32 * (HEIGHT + 2.0)), galley));
        x += wide;
        if look.breaks && word.piece.contains('\n') && i + 1 < words.len() {
            (x, row) = (0.0, row + 1);
        }
    }
    let rows = placed.last().map_or(1, |p| (p.1.y / (HEIGHT + 2.0)).round() as usize + 1);
    let (rect, response) = ui.allocate_exact_size(vec2(width, rows as f32 * (HEIGHT + 2.0)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, spoken));
    let painter = ui.painter_at(rect.expand(1.0));
    if look.cut.0 {
        painter.text(rect.left_top() + vec2(0.0, HEIGHT / 2.0), Align2::LEFT_CENTER, "…", font.clone(), theme.secondary);
    }
    let mut pointed = None;
    let mut end = rect.left_top();
    for (i, at, galley) in placed {
        let word = &words[i];
        let box_ = Rect::from_min_size(rect.left_top() + at.to_vec2(), vec2(galley.size().x.max(4.0), HEIGHT));
        let colour = ground(theme, word.value, look.largest);
        painter.rect_filled(box_.shrink2(vec2(0.5, 0.0)), 2.0, colour);
        if word.marked {
            painter.rect_stroke(box_, 2.0, Stroke::new(1.5, theme.text), StrokeKind::Inside);
        }
        let plain = (word.value / look.largest.max(f32::MIN_POSITIVE)).abs() < 0.12;
        let ink = if plain { theme.text } else { ink_on(colour) };
        painter.galley(pos2(box_.left(), box_.center().y - galley.size().y / 2.0), galley, ink);
        if response.hover_pos().is_some_and(|p| box_.contains(p)) {
            pointed = Some(i);
            painter.rect_stroke(box_, 2.0, Stroke::new(1.0, theme.accent), StrokeKind::Outside);
        }
        end = box_.right_top();
    }
    if (!whole || look.cut.1) && end.x + 10.0 < rect.right() {
        painter.text(end + vec2(1.0, HEIGHT / 2.0), Align2::LEFT_CENTER, "…", font, theme.secondary);
    }
    (response, pointed)
}

/// The strips' colour bar: `-largest .. 0 .. largest`, with its unit.
pub fn strip_legend(ui: &mut Ui, theme: &Theme, largest: f32, what: &str) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 14.0), Sense::hover());
    let ends = (format!("−{}", sig3(f64::from(largest))), sig3(f64::from(largest)));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Colour bar: {what}, {} to {}", ends.0, ends.1)));
    let p = ui.painter_at(rect);
    let font = small_font();
    let left = p.layout_no_wrap(ends.0, font.clone(), theme.secondary);
    let right = p.layout_no_wrap(ends.1, font.clone(), theme.secondary);
    let name = p.layout_no_wrap(what.to_owned(), font, theme.secondary);
    let y = rect.center().y;
    p.galley(pos2(rect.left(), y - name.size().y / 2.0), name.clone(), theme.secondary);
    let from = rect.left() + name.size().x + 10.0;
    p.galley(pos2(from, y - left.size().y / 2.0), left.clone(), theme.secondary);
    let bar = Rect::from_x_y_ranges(from + left.size().x + 6.0..=rect.right() - right.size().x - 6.0, y - 4.0..=y + 4.0);
    p.galley(pos2(bar.right() + 6.0, y - right.size().y / 2.0), right, theme.secondary);
    let mut mesh = Mesh::default();
    for i in 0..=32_u32 {
        let t = i as f32 / 16.0 - 1.0;
        let x = bar.left() + bar.width() * i as f32 / 32.0;
        for y in [bar.top(), bar.bottom()] {
            mesh.colored_vertex(pos2(x, y), ground(theme, t, 1.0));
        }
        if i > 0 {
            mesh.add_triangle(2 * i - 2, 2 * i - 1, 2 * i);
            mesh.add_triangle(2 * i - 1, 2 * i, 2 * i + 1);
        }
    }
    p.add(Shape::mesh(mesh));
    p.rect_stroke(bar, 0.0, theme.hairline_stroke(), StrokeKind::Outside);
    p.vline(bar.center().x, bar.y_range(), Stroke::new(1.0, theme.secondary));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::theme::{DARK, LIGHT};

    #[test]
    fn every_token_can_be_read_on_its_ground() {
        let light = |c: Color32| {
            let f = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * f(c.r()) + 0.7152 * f(c.g()) + 0.0722 * f(c.b())
        };
        for t in [DARK, LIGHT] {
            for i in -20..=20 {
                let v = i as f32 / 20.0;
                let g = ground(&t, v, 1.0);
                let ink = if v.abs() < 0.12 { t.text } else { ink_on(g) };
                let (a, b) = (light(g), light(ink));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{v} on {:?}: {contrast:.2}", t.panel);
            }
            assert_eq!(ground(&t, f32::NAN, 1.0), t.panel);
        }
    }
}
