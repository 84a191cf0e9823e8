//! A labelled matrix of values: coloured cells with their number in them, names at the top and the left, a colour bar.

use super::{
    chart::{small_font, small_width},
    number::sig3,
};
use crate::{base::heatmap::ColourMap, gui::Theme};
use eframe::egui::{
    self, Align2, Color32, Key, Mesh, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use std::sync::Arc;

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
    /// What a cell says after a moment.
    pub tip: &'a dyn Fn(&mut Ui, usize, usize),
}

/// Room for the colour bar and its labels.
const BAR_UNDER: f32 = 34.0;
const BAR_BESIDE: f32 = 44.0;
/// Smallest cells that can be told apart, and clicked.
const LEAST_CELL: f32 = 14.0;

/// Largest cells in a room of this height: in a very large window they grow with it.
pub fn largest_cell(room: f32) -> f32 {
    (0.11 * room).clamp(64.0, 128.0)
}

/// Colour of a share of the range, for magnitudes.
pub fn sequential(map: ColourMap) -> fn(f32) -> Color32 {
    fn of(map: ColourMap, share: f32) -> Color32 {
        let [r, g, b] = map.at(f64::from(share));
        Color32::from_rgb(r, g, b)
    }
    match map {
        ColourMap::Cividis => |share| of(ColourMap::Cividis, share),
        ColourMap::Viridis | ColourMap::BlueRed => |share| of(ColourMap::Viridis, share),
    }
}

/// Width of the names before the rows, with their spots.
pub fn names_width(ui: &Ui, labels: &[(String, Color32)]) -> f32 {
    let wide = |name: &str| ui.painter().layout_no_wrap(name.to_owned(), small_font(), Color32::PLACEHOLDER).size().x;
    labels.iter().map(|(name, _)| wide(name)).fold(0.0f32, f32::max) + 18.0
}

/// Width of a matrix with cells of this size and its colour bar beside it.
pub fn width_of(names: f32, n: usize, cell: f32) -> f32 {
    names + n as f32 * cell + BAR_BESIDE
}

/// Height of a matrix with cells of this size, dots over its columns and its colour bar under it.
pub fn height_of(n: usize, cell: f32) -> f32 {
    16.0 + n as f32 * cell + BAR_UNDER
}

/// How the columns are named.
#[derive(Clone, Copy, PartialEq)]
enum Heads {
    Level,
    Leaning,
    Dots,
}

pub struct MatrixOutput {
    pub hovered: Option<(usize, usize)>,
    pub clicked: Option<(usize, usize)>,
    /// Where the cells are.
    pub cells: Rect,
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
        let n_f = n as f32;
        // Names give way only where the cells would become too small; what is cut off is shown on hover.
        let left = (widest + 18.0).min((self.size.x - n_f * LEAST_CELL).max(48.0));
        // The colour bar stands under the cells where there is height to spare, else at their right.
        let beside = self.size.x - left - BAR_BESIDE > self.size.y - 22.0 - BAR_UNDER;
        let ends = small_width(ui, &short(self.range.0)).max(small_width(ui, &short(self.range.1)));
        let bar = if beside { vec2(BAR_BESIDE.max(ends + 22.0), 0.0) } else { vec2(0.0, BAR_UNDER) };
        let side_with = |top: f32, lean: f32| {
            ((self.size.x - left - bar.x.max(lean)) / n_f)
                .min((self.size.y - top - bar.y) / n_f)
                .clamp(10.0, largest_cell(self.size.y))
                .floor()
        };
        // Names stand level where they fit the cells, lean where the cells stay large enough, and are left to the rows otherwise: the matrix is
        // symmetric and every column keeps its colour.
        let slanted = (widest * 0.71 + 18.0, (widest * 0.71 + 8.0).min(48.0));
        let heads = if widest + 12.0 <= side_with(22.0, 0.0) {
            Heads::Level
        } else if side_with(slanted.0, slanted.1) >= 30.0 {
            Heads::Leaning
        } else {
            Heads::Dots
        };
        let (top, lean) = match heads {
            Heads::Level => (22.0, 0.0),
            Heads::Leaning => slanted,
            Heads::Dots => (16.0, 0.0),
        };
        let side = side_with(top, lean);
        // What an upright bar is too short to be named along stands beside it, word by word, where there is room.
        let bar_name = ColourBar { map: self.map, range: self.range, name: self.unit, pointed: None };
        let named = if beside && !bar_name.leans(ui, side * n_f) { 24.0 + longest_word(ui, self.unit) } else { 0.0 };
        // It takes its room from the cells where it would have to be broken within a word.
        let side = side.min(((self.size.x - left - named) / n_f).floor().max(10.0));
        let right = bar.x.max(lean).max(named.min(self.size.x - left - side * n_f));
        let size = vec2(left + side * n_f + right, top + side * n_f + bar.y);
        let (outer, response) = ui.allocate_exact_size(size, Sense::click());
        let cells = Rect::from_min_size(pos2((outer.left() + left).round(), (outer.top() + top).round()), Vec2::splat(side * n_f));
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
                cell.on_hover_ui(|ui| (self.tip)(ui, r, c));
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
        let digits = digits(self.values, |text| painter.layout_no_wrap(text, font.clone(), theme.text).size().x <= side - 5.0);
        for r in 0..self.labels.len() {
            for c in 0..self.labels.len() {
                let rect = cell_rect(r, c);
                match self.values[r * n + c] {
                    Some(v) => {
                        let fill = (self.map)(unit(v, self.range));
                        painter.rect_filled(rect, 2.0, fill);
                        if let Some(text) = digits.map(|d| d(v)) {
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
                if side >= 24.0 {
                    painter.rect_stroke(cell_rect(r, c), 2.0, Stroke::new(1.5, theme.panel), StrokeKind::Inside);
                }
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
            let cut = galley.elided;
            painter.galley(pos2(outer.left() + 13.0, y - galley.size().y / 2.0), galley, ink);
            let x = cells.left() + (i as f32 + 0.5) * side;
            let heading = Rect::from_center_size(pos2(x, cells.top() - 8.0), vec2(side, 16.0));
            let before = Rect::from_min_max(pos2(outer.left(), y - side / 2.0), pos2(cells.left(), y + side / 2.0));
            for (rect, end, short) in [(before, "row", cut), (heading, "column", heads == Heads::Dots)] {
                if short {
                    ui.interact(rect, response.id.with((end, i)), Sense::hover()).on_hover_text(name);
                }
            }
            if heads == Heads::Level {
                let galley = painter.layout_no_wrap(name.clone(), font.clone(), ink);
                let from = x - (galley.size().x + 10.0) / 2.0;
                painter.circle_filled(pos2(from + 3.0, cells.top() - 11.0), 3.5, *colour);
                painter.galley(pos2(from + 10.0, cells.top() - 11.0 - galley.size().y / 2.0), galley, ink);
                continue;
            }
            painter.circle_filled(pos2(x, cells.top() - 8.0), 3.5, *colour);
            if heads == Heads::Leaning {
                let galley = painter.layout_no_wrap(name.clone(), font.clone(), ink);
                let height = galley.size().y;
                let mut text = egui::epaint::TextShape::new(pos2(x + 2.0, cells.top() - 14.0 - height / 2.0), galley, ink);
                text.angle = -std::f32::consts::FRAC_PI_4;
                painter.add(Shape::Text(text));
            }
        }
        let pointed = hovered.and_then(|(r, c)| self.values[r * n + c]);
        let bar_rect = if beside {
            Rect::from_min_size(cells.right_top() + vec2(10.0, 0.0), vec2(6.0, cells.height()))
        } else {
            Rect::from_min_size(cells.left_bottom() + vec2(0.0, 10.0), vec2(cells.width(), 6.0))
        };
        ColourBar { pointed, ..bar_name }.paint(&painter, theme, bar_rect);
        MatrixOutput { hovered, clicked, cells }
    }
}

/// How the numbers are written so that every one fits its cell: three significant digits, else two decimals, else those without the zero before
/// the point; `None` where not even that fits.
fn digits(values: &[Option<f64>], fits: impl Fn(String) -> bool) -> Option<fn(f64) -> String> {
    let ways: [fn(f64) -> String; 3] = [sig3, |v| format!("{v:.2}"), |v| format!("{v:.2}").replacen("0.", ".", 1)];
    ways.into_iter().find(|way| values.iter().flatten().all(|&v| fits(way(v))))
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

/// A colour bar with its ends, what it measures, and a mark at the value under the pointer. Upright where its rectangle is taller than wide.
pub struct ColourBar<'a> {
    pub map: fn(f32) -> Color32,
    pub range: (f64, f64),
    pub name: &'a str,
    pub pointed: Option<f64>,
}

/// A name along an upright bar.
fn leaning(painter: &Painter, x: f32, bar: Rect, name: Arc<egui::Galley>, ink: Color32) {
    let at = pos2(x + name.size().y, bar.center().y - name.size().x / 2.0);
    let mut text = egui::epaint::TextShape::new(at, name, ink);
    text.angle = std::f32::consts::FRAC_PI_2;
    painter.add(Shape::Text(text));
}

fn longest_word(ui: &Ui, name: &str) -> f32 {
    name.split(' ').map(|word| small_width(ui, word)).fold(0.0, f32::max)
}

/// Of an upright bar: its ends are written there.
const ENDS: f32 = 36.0;

impl ColourBar<'_> {
    /// Whether some form of the name fits along an upright bar of this height.
    fn leans(&self, ui: &Ui, height: f32) -> bool {
        [self.name].into_iter().chain(self.short_names()).any(|name| small_width(ui, name) < height - ENDS)
    }
    /// `LLMDcos` of `LLMDcos of two samples` and of `mean LLMDcos`; `Jaccard` of `Jaccard index`.
    fn short_names(&self) -> [&str; 2] {
        let what = self.name.split(" of ").next().unwrap_or_default().trim_start_matches("mean ");
        [what, what.split(' ').next().unwrap_or_default()]
    }
    pub fn paint(&self, painter: &Painter, theme: &Theme, rect: Rect) {
        let upright = rect.height() > rect.width();
        let mut mesh = Mesh::default();
        let steps = 48u32;
        for i in 0..=steps {
            let t = i as f32 / steps as f32;
            let (a, b) = if upright {
                let y = rect.bottom() - t * rect.height();
                (pos2(rect.left(), y), pos2(rect.right(), y))
            } else {
                let x = rect.left() + t * rect.width();
                (pos2(x, rect.top()), pos2(x, rect.bottom()))
            };
            mesh.colored_vertex(a, (self.map)(t));
            mesh.colored_vertex(b, (self.map)(t));
            if i > 0 {
                let k = i * 2;
                mesh.add_triangle(k - 2, k - 1, k);
                mesh.add_triangle(k - 1, k, k + 1);
            }
        }
        painter.add(Shape::mesh(mesh));
        let (font, ink) = (small_font(), theme.secondary);
        if upright {
            let x = rect.right() + 4.0;
            painter.text(pos2(x, rect.bottom()), Align2::LEFT_BOTTOM, short(self.range.0), font.clone(), ink);
            painter.text(pos2(x, rect.top()), Align2::LEFT_TOP, short(self.range.1), font.clone(), ink);
            let upright = |name: &str| painter.layout_no_wrap(name.to_owned(), font.clone(), ink);
            let room = painter.clip_rect().right() - x;
            let lines = painter.layout(self.name.to_owned(), font.clone(), ink, room);
            let fits = |g: &Arc<egui::Galley>| g.size().x < rect.height() - ENDS;
            let whole_words = self.name.split(' ').all(|w| upright(w).size().x <= room);
            if let Some(galley) = Some(upright(self.name)).filter(fits) {
                leaning(painter, x, rect, galley, ink);
            } else if whole_words && lines.size().y < rect.height() - 28.0 && lines.rows.len() <= 4 && lines.size().x <= room {
                painter.galley(pos2(x, rect.center().y - lines.size().y / 2.0), lines, ink);
            } else if let Some(galley) = self.short_names().map(upright).into_iter().find(fits) {
                leaning(painter, x, rect, galley, ink);
            }
        } else {
            let y = rect.bottom() + 3.0;
            let low = painter.text(pos2(rect.left(), y), Align2::LEFT_TOP, short(self.range.0), font.clone(), ink);
            let high = painter.text(pos2(rect.right(), y), Align2::RIGHT_TOP, short(self.range.1), font.clone(), ink);
            // The name, or what it names of more, where it stands clear of both ends.
            let room = 2.0 * (rect.center().x - low.right()).min(high.left() - rect.center().x) - 8.0;
            let names = [self.name].into_iter().chain(self.short_names());
            let names: Vec<_> = names.map(|n| painter.layout_no_wrap(n.to_owned(), font.clone(), ink)).collect();
            let beside = rect.right() + 6.0;
            if let Some(name) = names.iter().find(|g| g.size().x <= room) {
                painter.galley(pos2(rect.center().x - name.size().x / 2.0, y), name.clone(), ink);
            } else if let Some(name) = names.into_iter().find(|g| beside + g.size().x <= painter.clip_rect().right()) {
                painter.galley(pos2(beside, rect.center().y - name.size().y / 2.0), name, ink);
            }
        }
        if let Some(v) = self.pointed {
            let t = unit(v, self.range);
            let tip = if upright {
                let tip = pos2(rect.left() - 1.0, rect.bottom() - t * rect.height());
                [tip, tip + vec2(-6.0, -4.0), tip + vec2(-6.0, 4.0)]
            } else {
                let tip = pos2(rect.left() + t * rect.width(), rect.top() - 1.0);
                [tip, tip + vec2(-4.0, -6.0), tip + vec2(4.0, -6.0)]
            };
            painter.add(Shape::convex_polygon(tip.to_vec(), theme.text, Stroke::NONE));
        }
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
    fn numbers_are_shortened_together() {
        let values = [Some(0.2437), None, Some(0.5)];
        let written = |room: usize| digits(&values, |t| t.len() <= room).map(|d| (d(0.2437), d(0.5)));
        assert_eq!(written(5), Some(("0.244".into(), "0.500".into())));
        assert_eq!(written(4), Some(("0.24".into(), "0.50".into())));
        assert_eq!(written(3), Some((".24".into(), ".50".into())));
        assert_eq!(written(2), None);
    }

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
