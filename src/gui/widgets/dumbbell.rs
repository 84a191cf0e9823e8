//! Before and after, one row a domain: a hollow mark, a solid mark, their intervals, and the random control as a ghost.

use super::{axis::Axis, chart::small_font};
use crate::gui::{Theme, theme};
use eframe::egui::{self, Align2, Color32, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Usual height of a row.
pub const ROW: f32 = 30.0;

/// A value and its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub struct DumbbellRow {
    pub name: String,
    pub colour: Color32,
    pub before: Option<Mark>,
    pub after: Option<Mark>,
    /// What `after` is predicted to be.
    pub predicted: Option<f64>,
    /// Mean of the controls and mean ± standard deviation.
    pub control: Option<Mark>,
    /// What guessing gives.
    pub chance: Option<f64>,
    /// One text for each title of the table at the right.
    pub cells: Vec<String>,
    /// The same numbers as one line, for a panel with no room beside the marks.
    pub folded: String,
    /// Spoken and shown on hover.
    pub summary: String,
    /// Scored so far, 0 to 1; below 1 the solid mark is not final and is drawn lighter.
    pub scored: f32,
}

impl DumbbellRow {
    /// With these of its cells.
    #[must_use]
    pub fn with_cells(&self, shown: &[usize]) -> Self {
        Self { cells: shown.iter().filter_map(|&c| self.cells.get(c).cloned()).collect(), ..self.clone() }
    }
}

pub struct Dumbbell<'a> {
    pub name: &'a str,
    pub axis: Axis,
    pub rows: &'a [DumbbellRow],
    /// Titles and widths of the columns at the right. Where there is no room for all of them the numbers stand under the marks.
    pub columns: &'a [(&'a str, f32)],
    pub width: f32,
    /// Height of a row's marks.
    pub row: f32,
    /// A domain to mark.
    pub marked: Option<&'a str>,
    /// Rows have random controls.
    pub control: bool,
    /// Rows have a chance level.
    pub chance: bool,
    /// Rows have a prediction.
    pub predicted: bool,
}

/// Which marks beside before and after the legend explains.
#[derive(Clone, Copy)]
struct Explained {
    predicted: bool,
    control: bool,
    chance: bool,
}

impl<'a> Dumbbell<'a> {
    fn legend(&self) -> Explained {
        Explained { predicted: self.predicted, control: self.control, chance: self.chance }
    }

    /// The columns, each as wide as its widest cell needs: a small error has a digit more (`0.987 ± 0.007`).
    fn widened(&self, ui: &Ui, theme: &Theme) -> Vec<(&'a str, f32)> {
        const APART: f32 = 8.0;
        let font = egui::FontId::proportional(theme::BODY);
        let width = |cell: &String| ui.painter().layout_no_wrap(cell.clone(), font.clone(), theme.text).size().x;
        let widest = |c: usize| self.rows.iter().filter_map(|r| r.cells.get(c)).map(width).fold(0.0f32, f32::max);
        self.columns.iter().enumerate().map(|(c, &(title, least))| (title, least.max(widest(c) + APART))).collect()
    }

    /// The hovered row.
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> Option<usize> {
        let names = self
            .rows
            .iter()
            .map(|r| ui.painter().layout_no_wrap(r.name.clone(), egui::FontId::proportional(theme::BODY), theme.text).size().x)
            .fold(0.0f32, f32::max);
        let left = (names + 24.0).clamp(60.0, 160.0);
        // The table stands at the right while the marks keep 130 points.
        let columns = self.widened(ui, theme);
        let wide = columns.iter().map(|c| c.1).sum::<f32>() + 16.0;
        let table = if self.width - left - wide >= 130.0 { wide } else { 0.0 };
        let under: Vec<_> = if table > 0.0 {
            Vec::new()
        } else {
            let lay_out = |r: &DumbbellRow| ui.painter().layout(r.folded.clone(), small_font(), theme.text, self.width - 18.0);
            self.rows.iter().map(lay_out).collect()
        };
        let row_height = self.row + under.iter().map(|g| g.size().y + 2.0).fold(0.0f32, f32::max);
        // The legend does not share a line with the titles of the columns.
        let apart = table > 0.0;
        let (head, foot) = (if apart { 38.0 } else { 22.0 }, 32.0);
        let size = vec2(self.width, head + row_height * self.rows.len() as f32 + foot);
        let (outer, chart) = ui.allocate_exact_size(size, Sense::hover());
        let painter = ui.painter_at(outer);
        let font = small_font();
        let plot = Rect::from_min_max(
            pos2((outer.left() + left).round(), outer.top() + head),
            pos2((outer.right() - table - 14.0).round(), outer.bottom() - foot),
        );
        let x_of = |v: f64| plot.left() + self.axis.unit(v).clamp(0.0, 1.0) * plot.width();

        let ticks = self.axis.ticks((plot.width() / 56.0) as usize);
        let step = ticks.windows(2).next().map_or(0.0, |w| w[1] - w[0]);
        for &t in &ticks {
            let x = painter.round_to_pixel_center(x_of(t));
            painter.vline(x, plot.y_range(), theme.hairline_stroke());
            painter.text(pos2(x, plot.bottom() + 4.0), Align2::CENTER_TOP, self.axis.tick_label(t, step), font.clone(), theme.secondary);
        }
        painter.text(pos2(plot.right(), outer.bottom() - 1.0), Align2::RIGHT_BOTTOM, &self.axis.title, font.clone(), theme.secondary);
        // Over the marks; where it would not end there, from where there is room.
        let legend_width = legend(None, ui, theme, Pos2::ZERO, self.legend());
        let legend_left = plot.left().min(outer.right() - legend_width).max(outer.left());
        legend(Some(&painter), ui, theme, pos2(legend_left, outer.top() + 9.0), self.legend());
        if table > 0.0 {
            let mut right = outer.right();
            let y = outer.top() + if apart { 27.0 } else { 9.0 };
            for (title, width) in columns.iter().rev() {
                painter.text(pos2(right, y), Align2::RIGHT_CENTER, title, font.clone(), theme.secondary);
                right -= width;
            }
        }

        let mut hovered = None;
        for (i, row) in self.rows.iter().enumerate() {
            let band = Rect::from_min_size(pos2(outer.left(), plot.top() + i as f32 * row_height), vec2(outer.width(), row_height));
            let response = ui.interact(band, ui.scope_id().with((self.name, &row.name)), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Row, true, &row.summary));
            if response.hovered() || self.marked == Some(row.name.as_str()) {
                painter.rect_filled(band, 3.0, theme.text.gamma_multiply(0.05));
            }
            if response.hovered() {
                hovered = Some(i);
            }
            let y = painter.round_to_pixel_center(band.top() + self.row / 2.0);
            painter.circle_filled(pos2(outer.left() + 5.0, y), 4.0, row.colour);
            let mut job = egui::text::LayoutJob::simple_singleline(row.name.clone(), egui::FontId::proportional(theme::BODY), theme.text);
            job.wrap = egui::text::TextWrapping::truncate_at_width(left - 22.0);
            let galley = painter.layout_job(job);
            painter.galley(pos2(outer.left() + 14.0, y - galley.size().y / 2.0), galley, theme.text);
            marks(&painter, theme, row, (y, (self.row / ROW).sqrt()), x_of, plot);
            if table > 0.0 {
                let mut right = outer.right();
                for (cell, (_, width)) in row.cells.iter().zip(&columns).rev() {
                    painter.text(pos2(right, y), Align2::RIGHT_CENTER, cell, egui::FontId::proportional(theme::BODY), theme.text);
                    right -= width;
                }
            }
            if let Some(galley) = under.get(i) {
                painter.galley(pos2(outer.left() + 14.0, band.top() + self.row - 1.0), galley.clone(), theme.text);
            }
        }
        if let Some(i) = hovered {
            // One tooltip for the chart: one a row would keep the last row's words until the pointer rests.
            chart.on_hover_text_at_pointer(&self.rows[i].summary);
        }
        hovered
    }
}

/// `scale`: of the marks, 1 in a row of the usual height.
fn marks(painter: &Painter, theme: &Theme, row: &DumbbellRow, (y, scale): (f32, f32), x_of: impl Fn(f64) -> f32, plot: Rect) {
    if let Some(chance) = row.chance {
        let x = x_of(chance);
        painter.extend(Shape::dashed_line(
            &[pos2(x, y - 10.0 * scale), pos2(x, y + 10.0 * scale)],
            Stroke::new(1.0, theme.tint(theme.secondary, 0.7)),
            2.0,
            2.0,
        ));
    }
    if let Some(control) = row.control {
        let ghost = theme.tint(theme.secondary, 0.45);
        if let Some((lo, hi)) = control.interval {
            let mut span = Rect::from_x_y_ranges(x_of(lo)..=x_of(hi), y - 7.0 * scale..=y + 7.0 * scale);
            if span.width() < 3.0 {
                span = Rect::from_center_size(span.center(), vec2(3.0, 14.0 * scale));
            }
            painter.rect_filled(span.intersect(plot.expand(3.0)), 2.0, theme.tint(theme.secondary, 0.22));
        }
        painter.vline(x_of(control.value), y - 7.0 * scale..=y + 7.0 * scale, Stroke::new(2.0, ghost));
    }
    if let (Some(b), Some(a)) = (row.before, row.after) {
        painter.hline(x_of(b.value.min(a.value))..=x_of(b.value.max(a.value)), y, Stroke::new(3.0 * scale, theme.tint(row.colour, 0.4)));
    }
    let whisker = |mark: Mark, y: f32, colour: Color32| {
        if let Some((lo, hi)) = mark.interval {
            let (a, b) = (x_of(lo), x_of(hi));
            painter.hline(a..=b, y, Stroke::new(1.25, colour));
            painter.vline(a, y - 3.0 * scale..=y + 3.0 * scale, Stroke::new(1.25, colour));
            painter.vline(b, y - 3.0 * scale..=y + 3.0 * scale, Stroke::new(1.25, colour));
        }
    };
    if let Some(v) = row.predicted {
        let at = pos2(x_of(v), y + 4.0 * scale);
        // Alone it stands for the effect; under the solid mark its tips look out.
        if let Some(b) = row.before.filter(|_| row.after.is_none()) {
            let line = [pos2(x_of(b.value), y), pos2(at.x, y)];
            painter.extend(Shape::dashed_line(&line, Stroke::new(1.5, theme.tint(row.colour, 0.6)), 4.0, 3.0));
        }
        painter.add(diamond(at, scale, theme.panel, Stroke::new(1.75, row.colour)));
    }
    // Before and its interval sit a little above the line, after a little below, so that equal values stay readable.
    if let Some(b) = row.before {
        whisker(b, y - 4.0 * scale, theme.tint(row.colour, 0.75));
        painter.circle(pos2(x_of(b.value), y - 4.0 * scale), 4.5 * scale, theme.panel, Stroke::new(1.75, row.colour));
    }
    if let Some(a) = row.after {
        let colour = if row.scored < 1.0 { theme.tint(row.colour, 0.6) } else { row.colour };
        whisker(a, y + 4.0 * scale, colour);
        painter.circle_filled(pos2(x_of(a.value), y + 4.0 * scale), 5.0 * scale, colour);
    }
}

/// Hollow where `fill` is the ground's colour.
fn diamond(at: Pos2, scale: f32, fill: Color32, stroke: Stroke) -> Shape {
    let r = 7.0 * scale;
    let tips = vec![at + vec2(0.0, -r), at + vec2(r, 0.0), at + vec2(0.0, r), at + vec2(-r, 0.0)];
    Shape::convex_polygon(tips, fill, stroke)
}

/// Its width; draws it where there is a painter.
fn legend(painter: Option<&Painter>, ui: &Ui, theme: &Theme, at: Pos2, explained: Explained) -> f32 {
    let ink = theme.secondary;
    let mut x = at.x + 5.0;
    let draw = |shape: Shape| {
        if let Some(p) = painter {
            p.add(shape);
        }
    };
    let entry = |marks: Vec<Shape>, text: &str, x: &mut f32| {
        marks.into_iter().for_each(draw);
        let galley = ui.painter().layout_no_wrap(text.to_owned(), small_font(), ink);
        let (left, size) = (*x + 8.0, galley.size());
        draw(Shape::galley(pos2(left, at.y - size.y / 2.0), galley, ink));
        *x = left + size.x + 14.0;
    };
    let line = Stroke::new(1.5, ink);
    let ring = Shape::Circle(egui::epaint::CircleShape { center: pos2(x, at.y), radius: 4.0, fill: theme.panel, stroke: line });
    entry(vec![ring], "before", &mut x);
    entry(vec![Shape::circle_filled(pos2(x, at.y), 4.5, ink)], "after", &mut x);
    if explained.predicted {
        let mark = diamond(pos2(x + 1.0, at.y), 1.0, theme.panel, line);
        x += 3.0;
        entry(vec![mark], "predicted", &mut x);
    }
    if explained.control {
        let band = Shape::rect_filled(Rect::from_center_size(pos2(x, at.y), vec2(10.0, 12.0)), 2.0, theme.tint(theme.secondary, 0.22));
        let middle = Shape::line_segment([pos2(x, at.y - 6.0), pos2(x, at.y + 6.0)], Stroke::new(2.0, theme.tint(theme.secondary, 0.45)));
        entry(vec![band, middle], "random control", &mut x);
    }
    if explained.chance {
        let dashes = Shape::dashed_line(&[pos2(x, at.y - 6.0), pos2(x, at.y + 6.0)], Stroke::new(1.0, ink), 2.0, 2.0);
        entry(dashes, "chance", &mut x);
    }
    x - 14.0 - at.x
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui_kittest::Harness;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let row = |after: &str| DumbbellRow {
            name: "logic".into(),
            colour: Color32::RED,
            before: None,
            after: None,
            predicted: None,
            control: None,
            chance: None,
            cells: vec!["1.00".into(), after.into()],
            folded: String::new(),
            summary: String::new(),
            scored: 1.0,
        };
        let widths = |rows: Vec<DumbbellRow>| {
            let found = std::cell::Cell::new((0.0, 0.0));
            let show = |ui: &mut Ui| {
                let axis = Axis::linear(0.0, 1.0, "accuracy");
                let columns = [("before", 78.0), ("after", 84.0)];
                let (rows, columns) = (&rows[..], &columns[..]);
                let chart = Dumbbell {
                    name: "chart",
                    axis,
                    rows,
                    columns,
                    width: 600.0,
                    row: ROW,
                    marked: None,
                    control: false,
                    chance: false,
                    predicted: false,
                };
                let wide = chart.widened(ui, Theme::of(ui.ctx()));
                found.set((wide[0].1, wide[1].1));
            };
            Harness::new_ui(show).run();
            found.get()
        };
        assert_eq!(widths(vec![row("0.84 ± 0.02")]), (78.0, 84.0));
        let (before, after) = widths(vec![row("0.84 ± 0.02"), row("0.98712 ± 0.00712")]);
        assert!(before == 78.0 && after > 100.0, "{before}, {after}");
    }
}
