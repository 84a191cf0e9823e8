//! Coloured cells with their number in them, rows and columns named apart from each other: what happened to each column in each row.

use super::{
    chart::small_font,
    matrix::{ColourBar, hatch, readable_on},
};
use crate::gui::Theme;
use eframe::egui::{Align2, Color32, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, epaint, pos2, text, vec2};

pub struct LabelledGrid<'a> {
    /// Spoken: `Accuracy after each task, NCFT`.
    pub name: &'a str,
    pub rows: &'a [String],
    /// Name and colour.
    pub columns: &'a [(String, Color32)],
    /// Row-major; `None`: not there (yet).
    pub values: &'a [Option<f64>],
    /// How a value is written in its cell and spoken.
    pub text: &'a dyn Fn(f64) -> String,
    pub range: (f64, f64),
    /// What the colour means, with its unit.
    pub unit: &'a str,
    pub map: fn(f32) -> Color32,
    /// Cells with a frame: of a task and its own row.
    pub framed: &'a dyn Fn(usize, usize) -> bool,
    /// A line under the first so many rows, for what is apart from the rest; 0: none.
    pub head_rows: usize,
    pub width: f32,
    /// What a cell says after a moment.
    pub tip: &'a dyn Fn(&mut Ui, usize, usize),
}

const CELL_HIGH: f32 = 24.0;
const CELL_MOST: f32 = 72.0;
const CELL_LEAST: f32 = 26.0;
const BAR: f32 = 30.0;

impl LabelledGrid<'_> {
    /// Gives the cell under the pointer.
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> Option<(usize, usize)> {
        let (n, m) = (self.rows.len(), self.columns.len());
        let font = small_font();
        let wide = |t: &str| ui.painter().layout_no_wrap(t.to_owned(), font.clone(), Color32::PLACEHOLDER).size().x;
        let longest = self.rows.iter().map(|r| wide(r)).fold(0.0f32, f32::max) + 10.0;
        // Names of rows give way only where cells would become too small for their number.
        let left = longest.min((self.width - m as f32 * CELL_LEAST).max(48.0));
        let side = ((self.width - left - 2.0) / m.max(1) as f32).clamp(14.0, CELL_MOST).floor();
        let widest = self.columns.iter().map(|c| wide(&c.0)).fold(0.0f32, f32::max);
        let widest_value = self.values.iter().flatten().map(|&v| wide(&(self.text)(v))).fold(0.0f32, f32::max);
        let level = widest + 14.0 <= side;
        let lean = widest * 0.71;
        let top = if level { 20.0 } else { lean.min(90.0) + 20.0 };
        let gap = if self.head_rows > 0 { 5.0 } else { 0.0 };
        // Leaning names of the last columns stick out at the right.
        let side = if level { side } else { ((self.width - left - lean.min(40.0)) / m.max(1) as f32).clamp(14.0, CELL_MOST).floor() };
        let size = vec2(self.width, top + n as f32 * CELL_HIGH + gap + BAR + 6.0);
        let (outer, response) = ui.allocate_exact_size(size, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, self.name));
        let p = ui.painter_at(outer);
        let x0 = (outer.left() + left).round();
        let cell = |r: usize, c: usize| {
            let y = outer.top() + top + r as f32 * CELL_HIGH + if r >= self.head_rows { gap } else { 0.0 };
            Rect::from_min_size(pos2(x0 + c as f32 * side, y.round()), vec2(side, CELL_HIGH)).shrink(0.5)
        };
        let share = |v: f64| ((v - self.range.0) / (self.range.1 - self.range.0).max(1e-12)).clamp(0.0, 1.0) as f32;
        let fits = widest_value <= side - 4.0;
        let mut hovered = None;
        for r in 0..n {
            for c in 0..m {
                let (rect, value) = (cell(r, c), self.values.get(r * m + c).copied().flatten());
                // Each cell is a thing of its own to assistive technology and to tests.
                let one = ui.interact(rect, response.id.with((r, c)), Sense::click());
                let words =
                    format!("{}, {}: {}", self.rows[r], self.columns[c].0, value.map_or("not there yet".to_owned(), |v| (self.text)(v)));
                one.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
                match value {
                    Some(v) => {
                        let fill = (self.map)(share(v));
                        p.rect_filled(rect, 2.0, fill);
                        if fits {
                            p.text(rect.center(), Align2::CENTER_CENTER, (self.text)(v), font.clone(), readable_on(fill));
                        }
                    }
                    None => {
                        p.rect_filled(rect, 2.0, theme.raised);
                        hatch(&p, rect, theme.tint(theme.secondary, 0.5));
                    }
                }
                if (self.framed)(r, c) {
                    p.rect_stroke(rect, 2.0, Stroke::new(2.5, theme.panel), StrokeKind::Inside);
                    p.rect_stroke(rect, 2.0, Stroke::new(1.5, theme.text), StrokeKind::Inside);
                }
                if one.hovered() || one.has_focus() {
                    hovered = Some((r, c));
                    p.rect_stroke(rect, 2.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
                }
                one.on_hover_ui(|ui| (self.tip)(ui, r, c));
            }
            let ink = if hovered.is_some_and(|h| h.0 == r) { theme.text } else { theme.secondary };
            let mut job = text::LayoutJob::simple_singleline(self.rows[r].clone(), font.clone(), ink);
            job.wrap = text::TextWrapping::truncate_at_width(left - 8.0);
            let galley = p.layout_job(job);
            p.galley(pos2(outer.left(), cell(r, 0).center().y - galley.size().y / 2.0), galley, ink);
        }
        for (c, (name, colour)) in self.columns.iter().enumerate() {
            let x = x0 + (c as f32 + 0.5) * side;
            let y = outer.top() + top - 9.0;
            let galley = p.layout_no_wrap(name.clone(), font.clone(), theme.text);
            if level {
                let from = x - (galley.size().x + 10.0) / 2.0;
                p.circle_filled(pos2(from + 3.0, y), 3.5, *colour);
                p.galley(pos2(from + 10.0, y - galley.size().y / 2.0), galley, theme.text);
                continue;
            }
            p.circle_filled(pos2(x, y), 3.5, *colour);
            let height = galley.size().y;
            let mut shape = epaint::TextShape::new(pos2(x + 1.0, y - 6.0 - height / 2.0), galley, theme.text);
            shape.angle = -std::f32::consts::FRAC_PI_4;
            p.add(Shape::Text(shape));
        }
        let bar = Rect::from_min_size(pos2(x0, outer.bottom() - BAR + 4.0), vec2(side * m as f32, 6.0));
        let pointed = hovered.and_then(|(r, c)| self.values.get(r * m + c).copied().flatten());
        ColourBar { map: self.map, range: self.range, name: self.unit, pointed }.paint(&p, theme, bar);
        hovered
    }
}
