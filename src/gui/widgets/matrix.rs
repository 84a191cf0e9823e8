//! A labelled matrix of values: coloured cells with their number in them, names at the top and the left, a colour bar.

use super::{chart::small_font, number::sig3};
use crate::gui::Theme;
use eframe::egui::{
    self, Align2, Color32, Key, Mesh, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

pub struct Matrix<'a> {
    pub name: &'a str,
    /// Name and colour of row and column `i`.
    pub labels: &'a [(String, Color32)],
    /// Row-major; `None` where undefined.
    pub values: &'a [Option<f64>],
    pub selected: Option<(usize, usize)>,
    /// Rows and columns to bring forward.
    pub marked: Option<(usize, usize)>,
    pub range: (f64, f64),
    /// What the colour means: `mean LLMDcos`.
    pub unit: &'a str,
    /// Colour of a share of the range.
    pub map: fn(f32) -> Color32,
    pub size: Vec2,
}

pub struct MatrixOutput {
    pub hovered: Option<(usize, usize)>,
    pub clicked: Option<(usize, usize)>,
}

impl Matrix<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> MatrixOutput {
        let n = self.labels.len().max(1);
        let font = small_font();
        let widest = self
            .labels
            .iter()
            .map(|(name, _)| ui.painter().layout_no_wrap(name.clone(), font.clone(), theme.text).size().x)
            .fold(0.0f32, f32::max);
        let left = (widest + 18.0).min(self.size.x * 0.4);
        let bar = 34.0;
        // Names stand level where they fit the cells, else they lean.
        let side_if_level = ((self.size.x - left) / n as f32).min((self.size.y - 22.0 - bar) / n as f32);
        let level = widest + 12.0 <= side_if_level;
        let top = if level { 22.0 } else { (widest * 0.71 + 18.0).min(self.size.y * 0.35) };
        let lean = if level { 0.0 } else { (widest * 0.71 + 8.0).min(48.0) };
        let side = ((self.size.x - left - lean) / n as f32).min((self.size.y - top - bar) / n as f32).clamp(14.0, 64.0).floor();
        let size = vec2(left + side * n as f32 + lean, top + side * n as f32 + bar);
        let (outer, response) = ui.allocate_exact_size(size, Sense::click());
        let cells = Rect::from_min_size(pos2((outer.left() + left).round(), (outer.top() + top).round()), Vec2::splat(side * n as f32));
        let painter = ui.painter_at(outer);

        let cell_rect =
            |r: usize, c: usize| Rect::from_min_size(cells.min + vec2(c as f32 * side, r as f32 * side), Vec2::splat(side)).shrink(0.5);
        let at = |p: Pos2| {
            let q = (p - cells.min) / side;
            (cells.contains(p) && q.x >= 0.0 && q.y >= 0.0).then(|| ((q.y as usize).min(n - 1), (q.x as usize).min(n - 1)))
        };
        let hovered = response.hover_pos().and_then(at).filter(|_| !self.labels.is_empty());
        let mut clicked = response.clicked().then(|| response.interact_pointer_pos().and_then(at)).flatten();
        // Each cell is a thing of its own to assistive technology and to tests.
        for r in 0..self.labels.len() {
            for c in 0..self.labels.len() {
                let cell = ui.interact(cell_rect(r, c), response.id.with((r, c)), Sense::click());
                let value = self.values[r * n + c].map_or("undefined".to_owned(), sig3);
                let label = format!("{} and {}: {value}", self.labels[r].0, self.labels[c].0);
                cell.widget_info(|| WidgetInfo::selected(Role::Button, true, self.selected == Some((r, c)), &label));
                if cell.clicked() {
                    clicked = Some((r, c));
                }
                if cell.has_focus() {
                    painter.rect_stroke(cell_rect(r, c), 2.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
                }
            }
        }
        let hovered = hovered.or_else(|| ui.input(|i| i.pointer.hover_pos()).filter(|_| response.contains_pointer()).and_then(at));
        if let Some((r, c)) = self.selected.filter(|_| response.has_focus()) {
            clicked = clicked.or_else(|| moved(ui, r, c, n));
        }

        let bright = |r: usize, c: usize| match hovered.or(self.marked) {
            Some((a, b)) => r == a || c == b,
            None => true,
        };
        for r in 0..self.labels.len() {
            for c in 0..self.labels.len() {
                let rect = cell_rect(r, c);
                match self.values[r * n + c] {
                    Some(v) => {
                        let fill = (self.map)(unit(v, self.range));
                        painter.rect_filled(rect, 2.0, fill);
                        if side >= 30.0 {
                            let text = if side >= 36.0 { sig3(v) } else { format!("{v:.2}") };
                            painter.text(rect.center(), Align2::CENTER_CENTER, text, font.clone(), readable_on(fill));
                        }
                    }
                    None => {
                        painter.rect_filled(rect, 2.0, theme.raised);
                        hatch(&painter, rect, theme.secondary);
                    }
                }
                if !bright(r, c) {
                    painter.rect_filled(rect, 2.0, theme.panel.gamma_multiply(0.45));
                }
            }
        }
        for (mark, stroke) in [(hovered, Stroke::new(1.0, theme.text)), (self.selected, Stroke::new(2.0, theme.accent))] {
            if let Some((r, c)) = mark {
                painter.rect_stroke(cell_rect(r, c), 2.0, Stroke::new(stroke.width + 2.0, theme.panel), StrokeKind::Inside);
                painter.rect_stroke(cell_rect(r, c), 2.0, stroke, StrokeKind::Outside);
            }
        }
        for (i, (name, colour)) in self.labels.iter().enumerate() {
            let strong = hovered.or(self.marked).is_some_and(|(r, c)| r == i || c == i);
            let ink = if strong || hovered.is_none() { theme.text } else { theme.secondary };
            let y = cells.top() + (i as f32 + 0.5) * side;
            painter.circle_filled(pos2(outer.left() + 5.0, y), 3.5, *colour);
            let mut job = egui::text::LayoutJob::simple_singleline(name.clone(), font.clone(), ink);
            job.wrap = egui::text::TextWrapping::truncate_at_width(left - 18.0);
            let galley = painter.layout_job(job);
            painter.galley(pos2(outer.left() + 13.0, y - galley.size().y / 2.0), galley, ink);
            let x = cells.left() + (i as f32 + 0.5) * side;
            if level {
                let galley = painter.layout_no_wrap(name.clone(), font.clone(), ink);
                let from = x - (galley.size().x + 10.0) / 2.0;
                painter.circle_filled(pos2(from + 3.0, cells.top() - 11.0), 3.5, *colour);
                painter.galley(pos2(from + 10.0, cells.top() - 11.0 - galley.size().y / 2.0), galley, ink);
            } else {
                painter.circle_filled(pos2(x, cells.top() - 8.0), 3.5, *colour);
                let galley = painter.layout_no_wrap(name.clone(), font.clone(), ink);
                let height = galley.size().y;
                let mut text = egui::epaint::TextShape::new(pos2(x + 2.0, cells.top() - 14.0 - height / 2.0), galley, ink);
                text.angle = -std::f32::consts::FRAC_PI_4;
                painter.add(Shape::Text(text));
            }
        }
        let bar_rect = Rect::from_min_size(pos2(cells.left(), cells.bottom() + 10.0), vec2(cells.width().max(80.0), 6.0));
        let pointed = hovered.and_then(|(r, c)| self.values[r * n + c]);
        colour_bar(&painter, theme, bar_rect, self.map, self.range, self.unit, pointed);
        MatrixOutput { hovered, clicked }
    }
}

fn moved(ui: &Ui, r: usize, c: usize, n: usize) -> Option<(usize, usize)> {
    ui.input(|i| {
        let step = |key, dr: isize, dc: isize| {
            i.key_pressed(key).then(|| {
                let move_by = |v: usize, d: isize| v.saturating_add_signed(d).min(n - 1);
                (move_by(r, dr), move_by(c, dc))
            })
        };
        step(Key::ArrowUp, -1, 0).or(step(Key::ArrowDown, 1, 0)).or(step(Key::ArrowLeft, 0, -1)).or(step(Key::ArrowRight, 0, 1))
    })
}

fn unit(value: f64, (lo, hi): (f64, f64)) -> f32 {
    if hi > lo { ((value - lo) / (hi - lo)).clamp(0.0, 1.0) as f32 } else { 0.5 }
}

/// A level colour bar with its ends, what it measures, and a mark at the value under the pointer.
pub fn colour_bar(
    painter: &Painter,
    theme: &Theme,
    rect: Rect,
    map: fn(f32) -> Color32,
    range: (f64, f64),
    name: &str,
    pointed: Option<f64>,
) {
    let mut mesh = Mesh::default();
    let steps = 48u32;
    for i in 0..=steps {
        let t = i as f32 / steps as f32;
        let x = rect.left() + t * rect.width();
        mesh.colored_vertex(pos2(x, rect.top()), map(t));
        mesh.colored_vertex(pos2(x, rect.bottom()), map(t));
        if i > 0 {
            let k = i * 2;
            mesh.add_triangle(k - 2, k - 1, k);
            mesh.add_triangle(k - 1, k, k + 1);
        }
    }
    painter.add(Shape::mesh(mesh));
    let font = small_font();
    let y = rect.bottom() + 3.0;
    painter.text(pos2(rect.left(), y), Align2::LEFT_TOP, short(range.0), font.clone(), theme.secondary);
    painter.text(pos2(rect.right(), y), Align2::RIGHT_TOP, short(range.1), font.clone(), theme.secondary);
    painter.text(pos2(rect.center().x, y), Align2::CENTER_TOP, name, font, theme.secondary);
    if let Some(v) = pointed {
        let x = rect.left() + unit(v, range) * rect.width();
        let tip = pos2(x, rect.top() - 1.0);
        painter.add(Shape::convex_polygon(vec![tip, tip + vec2(-4.0, -6.0), tip + vec2(4.0, -6.0)], theme.text, Stroke::NONE));
    }
}

fn short(v: f64) -> String {
    if v == 0.0 || v == 1.0 { format!("{v:.0}") } else { format!("{v:.2}") }
}

/// Black or white, whichever stands out more (WCAG relative luminance).
pub fn readable_on(fill: Color32) -> Color32 {
    let channel = |v: u8| {
        let v = f32::from(v) / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * channel(fill.r()) + 0.7152 * channel(fill.g()) + 0.0722 * channel(fill.b());
    // Equal contrast to both lies at sqrt(1.05 * 0.05) - 0.05 = 0.179.
    if luminance > 0.179 { Color32::BLACK } else { Color32::WHITE }
}

/// Fine diagonal lines: undefined, or switched off.
pub fn hatch(painter: &Painter, rect: Rect, colour: Color32) {
    let clipped = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let mut x = rect.left() - rect.height();
    while x < rect.right() {
        clipped.line_segment([pos2(x, rect.bottom()), pos2(x + rect.height(), rect.top())], Stroke::new(1.0, colour.gamma_multiply(0.5)));
        x += 5.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_on_any_fill_reaches_4_5_to_1() {
        let channel = |v: u8| {
            let v = f32::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        let light = |c: Color32| 0.2126 * channel(c.r()) + 0.7152 * channel(c.g()) + 0.0722 * channel(c.b());
        for i in 0..=255 {
            let fill = Color32::from_gray(i);
            let (a, b) = (light(fill), light(readable_on(fill)));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{i}: {contrast}");
        }
    }
}
