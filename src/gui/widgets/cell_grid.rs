//! A grid of coloured cells with rows and columns of their own, few enough to be looked at one by one: attention heads by layer.

use super::{
    chart::{grown, small_font, small_width},
    matrix::{ColourBar, readable_on},
    number::sig3,
};
use crate::{base::heatmap::ColourMap, gui::Theme};
use eframe::egui::{Align2, Color32, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};

pub struct CellGrid<'a> {
    pub name: &'a str,
    pub rows: usize,
    pub cols: usize,
    /// Row-major; `None`: not there (yet).
    pub values: &'a [Option<f64>],
    /// Title of the rows and of the columns: `layer`, `head`.
    pub titles: (&'a str, &'a str),
    /// How a cell is called.
    pub label: &'a dyn Fn(usize, usize) -> String,
    /// What the colour means, with its unit.
    pub unit: &'a str,
    pub size: Vec2,
    pub selected: Option<(usize, usize)>,
}

pub struct CellOutput {
    pub hovered: Option<(usize, usize)>,
    pub clicked: Option<(usize, usize)>,
}

const LEFT: f32 = 44.0;
const TOP: f32 = 20.0;
const BAR: f32 = 52.0;
/// The same where the bar is too low for its name to stand along it: the name lies beside it.
const WIDE_BAR: f32 = 108.0;

/// Largest cells in a usual window: those that hold their number.
const MOST: (f32, f32) = (72.0, 36.0);

/// Blue, white, red over a share of the range.
fn diverging(share: f32) -> Color32 {
    let [r, g, b] = ColourMap::BlueRed.at(f64::from(share));
    Color32::from_rgb(r, g, b)
}

/// Symmetric about 0, so that white is no change.
pub fn symmetric(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let most = values.filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    let most = if most > 0.0 { most } else { 1.0 };
    (-most, most)
}

impl CellGrid<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> CellOutput {
        let (rows, cols) = (self.rows.max(1), self.cols.max(1));
        let bar = if small_width(ui, self.unit) + 62.0 + (rows as f32) < self.size.y { BAR } else { WIDE_BAR };
        let side = vec2(
            ((self.size.x - LEFT - bar) / cols as f32).clamp(6.0, grown(ui, MOST.0)).floor(),
            ((self.size.y - TOP - 6.0) / rows as f32).clamp(6.0, grown(ui, MOST.1)).floor(),
        );
        let (outer, response) = ui.allocate_exact_size(vec2(self.size.x, TOP + side.y * rows as f32 + 6.0), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, self.name));
        let cells = Rect::from_min_size(outer.min + vec2(LEFT, TOP), vec2(side.x * cols as f32, side.y * rows as f32));
        let (p, font) = (ui.painter_at(outer), small_font());
        let range = symmetric(self.values.iter().flatten().copied());
        let share = |v: f64| ((v - range.0) / (range.1 - range.0)).clamp(0.0, 1.0) as f32;
        let widest = self.values.iter().flatten().map(|&v| small_width(ui, &sig3(v))).fold(0.0f32, f32::max);
        let written = widest + 8.0 <= side.x && side.y >= 18.0;
        let mut out = CellOutput { hovered: None, clicked: None };
        for r in 0..self.rows {
            for c in 0..self.cols {
                let rect = Rect::from_min_size(cells.min + vec2(c as f32 * side.x, r as f32 * side.y), side).shrink(0.5);
                let value = self.values.get(r * self.cols + c).copied().flatten();
                // Each cell is a thing of its own to assistive technology and to tests.
                let cell = ui.interact(rect, response.id.with((r, c)), Sense::click());
                let words = format!("{}: {}", (self.label)(r, c), value.map_or("not measured".to_owned(), sig3));
                cell.widget_info(|| WidgetInfo::selected(Role::Button, true, self.selected == Some((r, c)), &words));
                match value {
                    Some(v) => {
                        let fill = diverging(share(v));
                        p.rect_filled(rect, 2.0, fill);
                        if written {
                            p.text(rect.center(), Align2::CENTER_CENTER, sig3(v), font.clone(), readable_on(fill));
                        }
                    }
                    None => {
                        p.rect_filled(rect, 2.0, theme.raised);
                    }
                }
                if cell.hovered() || cell.has_focus() {
                    out.hovered = Some((r, c));
                }
                if cell.clicked() {
                    out.clicked = Some((r, c));
                }
                cell.on_hover_text(words);
            }
        }
        for (mark, stroke) in [(out.hovered, Stroke::new(1.5, theme.text)), (self.selected, Stroke::new(2.0, theme.accent))] {
            if let Some((r, c)) = mark {
                let rect = Rect::from_min_size(cells.min + vec2(c as f32 * side.x, r as f32 * side.y), side);
                p.rect_stroke(rect, 2.0, stroke, StrokeKind::Middle);
            }
        }
        // As many numbers as fit.
        let every = |size: f32, least: f32| (least / size).ceil().max(1.0) as usize;
        for r in (0..self.rows).step_by(every(side.y, 13.0)) {
            let at = pos2(cells.left() - 6.0, cells.top() + (r as f32 + 0.5) * side.y);
            p.text(at, Align2::RIGHT_CENTER, r.to_string(), font.clone(), theme.secondary);
        }
        for c in (0..self.cols).step_by(every(side.x, 20.0)) {
            let at = pos2(cells.left() + (c as f32 + 0.5) * side.x, cells.top() - 4.0);
            p.text(at, Align2::CENTER_BOTTOM, c.to_string(), font.clone(), theme.secondary);
        }
        p.text(pos2(outer.left(), cells.top() - 4.0), Align2::LEFT_BOTTOM, self.titles.0, font.clone(), theme.secondary);
        p.text(pos2(cells.right() + 6.0, cells.top() - 4.0), Align2::LEFT_BOTTOM, self.titles.1, font, theme.secondary);
        let pointed = out.hovered.and_then(|(r, c)| self.values.get(r * self.cols + c).copied().flatten());
        let bar = Rect::from_min_size(cells.right_top() + vec2(12.0, 0.0), vec2(8.0, cells.height()));
        ColourBar { map: diverging, range, name: self.unit, pointed }.paint(&p, theme, bar);
        out
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_change_is_in_the_middle() {
        assert_eq!(super::symmetric([0.5, -2.0, f64::NAN].into_iter()), (-2.0, 2.0));
        assert_eq!(super::symmetric(std::iter::empty()), (-1.0, 1.0));
    }
}
