//! The ground every chart stands on: plot area, grid, tick labels, axis titles, the layer under the pointer.

use super::axis::Axis;
use crate::gui::{Theme, theme};
use eframe::egui::{
    Color32, FontId, Painter, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};

pub fn small_font() -> FontId {
    FontId::proportional(theme::SMALL)
}

/// Width of words in it.
pub fn small_width(ui: &Ui, text: &str) -> f32 {
    ui.painter().layout_no_wrap(text.to_owned(), small_font(), Color32::PLACEHOLDER).size().x
}

/// Of a chart that has little height to give away.
const LOW: f32 = 130.0;

/// A height or width among others in what scrolls: larger in a window that is higher than most.
pub fn grown(ui: &Ui, usual: f32) -> f32 {
    usual * (ui.ctx().content_rect().height() / 1080.0).clamp(1.0, 2.0)
}

/// Height of a chart that takes what `below` leaves of the visible part of its panel: no lower than [`grown`], no higher than becomes its width.
pub fn filled(ui: &Ui, usual: f32, below: f32, width: f32) -> f32 {
    (ui.available_height() - below).min(0.75 * width).max(grown(ui, usual))
}

/// Lines of this height that the visible part of a panel has left.
pub fn lines_that_fit(ui: &Ui, line: f32) -> usize {
    (ui.available_height() / (line + ui.spacing().item_spacing.y)) as usize
}

/// What is asked of a chart.
pub struct Chart<'a> {
    /// Spoken name: `Density by layer`.
    pub name: &'a str,
    pub x: Axis,
    pub y: Axis,
    pub size: Vec2,
    /// Room at the right for labels at the ends of lines.
    pub right: f32,
}

/// A chart with its axes drawn, ready for marks.
pub struct Plot {
    pub rect: Rect,
    pub response: Response,
    pub painter: Painter,
    pub x: Axis,
    pub y: Axis,
}

impl Chart<'_> {
    /// Draws grid and labels. `spoken` is what assistive technology and tests read of the chart now.
    pub fn begin(self, ui: &mut Ui, theme: &Theme, spoken: impl Fn() -> String) -> Plot {
        let size = self.size.max(vec2(120.0, 80.0));
        let (outer, response) = ui.allocate_exact_size(size, Sense::click());
        let name = self.name.to_owned();
        response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, format!("{name}. {}", spoken())));
        let painter = ui.painter_at(outer.expand(1.0));
        let font = small_font();

        let title = |words: &str, room: f32| {
            let mut job = LayoutJob::simple_singleline(words.to_owned(), font.clone(), theme.secondary);
            job.wrap = TextWrapping::truncate_at_width(room);
            painter.layout_job(job)
        };
        let x_title = title(&self.x.title, outer.width());
        // In a low chart the name of the axis stands at its end, where there is room beside it and under the lowest label, and that of the other leaves the room over the
        // labels at the right to them.
        let low = outer.height() < LOW;
        let beside = low && x_title.size().x + 10.0 <= self.right;
        let (top, bottom) = (if low { 16.0 } else { 20.0 }, if beside { 22.0 } else { 30.0 });
        let room = outer.width() - if low { self.right } else { 0.0 };
        let mut y_title = title(&self.y.title, room);
        if y_title.elided {
            y_title = title(self.y.title.split(" (").next().unwrap_or_default(), room);
        }
        let y_ticks = self.y.ticks(((outer.height() - top - bottom) / 36.0) as usize);
        let y_step = y_ticks.windows(2).next().map_or(0.0, |w| w[1] - w[0]);
        let labels: Vec<_> =
            y_ticks.iter().map(|&v| painter.layout_no_wrap(self.y.tick_label(v, y_step), font.clone(), theme.secondary)).collect();
        let left = labels.iter().map(|g| g.size().x).fold(16.0f32, f32::max) + 8.0;
        let rect = Rect::from_min_max(
            pos2((outer.left() + left).round(), (outer.top() + top).round()),
            pos2((outer.right() - self.right.max(4.0)).round(), (outer.bottom() - bottom).round()),
        );
        let plot = Plot { rect, response, painter, x: self.x, y: self.y };
        let p = &plot.painter;

        for (&v, label) in y_ticks.iter().zip(labels) {
            let y = p.round_to_pixel_center(plot.py(v));
            p.hline(rect.x_range(), y, theme.hairline_stroke());
            p.galley(pos2(rect.left() - 8.0 - label.size().x, y - label.size().y / 2.0), label, theme.secondary);
        }
        let x_ticks = plot.x.ticks((rect.width() / if plot.x.whole { 28.0 } else { 56.0 }) as usize);
        let x_step = x_ticks.windows(2).next().map_or(0.0, |w| w[1] - w[0]);
        for &v in &x_ticks {
            let x = p.round_to_pixel_center(plot.px(v));
            if !plot.x.whole {
                p.vline(x, rect.y_range(), Stroke::new(1.0, theme.tint(theme.hairline, 0.6)));
            }
            p.vline(x, rect.bottom()..=rect.bottom() + 3.0, theme.hairline_stroke());
            let label = p.layout_no_wrap(plot.x.tick_label(v, x_step), font.clone(), theme.secondary);
            let from = (x - label.size().x / 2.0).min(outer.right() - label.size().x);
            p.galley(pos2(from, rect.bottom() + 4.0), label, theme.secondary);
        }
        p.hline(rect.x_range(), p.round_to_pixel_center(rect.bottom()), Stroke::new(1.0, theme.tint(theme.secondary, 0.5)));
        p.galley(outer.left_top(), y_title, theme.secondary);
        // Under the end of the axis; where the axis is shorter than its name, under the whole chart.
        let x = if beside { rect.right() + 10.0 } else { (rect.right() - x_title.size().x).max(outer.left()) };
        p.galley(pos2(x, outer.bottom() - 1.0 - x_title.size().y), x_title, theme.secondary);
        plot
    }
}

impl Plot {
    pub fn px(&self, x: f64) -> f32 {
        self.rect.left() + self.x.unit(x) * self.rect.width()
    }
    pub fn py(&self, y: f64) -> f32 {
        self.rect.bottom() - self.y.unit(y) * self.rect.height()
    }
    pub fn at(&self, x: f64, y: f64) -> Pos2 {
        pos2(self.px(x), self.py(y))
    }
    /// Clipped to the plot area (marks at the very edge keep their radius).
    pub fn inside(&self) -> Painter {
        self.painter.with_clip_rect(self.rect.expand(4.0))
    }
    /// The whole-number place under the pointer, `0..n`.
    pub fn hovered_place(&self, n: usize) -> Option<usize> {
        let pos = self.response.hover_pos().filter(|p| self.rect.expand(6.0).contains(*p))?;
        let value = self.x.value((pos.x - self.rect.left()) / self.rect.width()).round();
        (n > 0).then(|| value.clamp(0.0, n as f64 - 1.0) as usize)
    }
    /// The upright band that marks the layer which some view has under the pointer.
    pub fn mark_place(&self, theme: &Theme, place: usize) {
        let half = (self.px(1.0) - self.px(0.0)).abs() / 2.0;
        let x = self.px(place as f64);
        let band = Rect::from_x_y_ranges(x - half.min(14.0)..=x + half.min(14.0), self.rect.y_range()).intersect(self.rect);
        self.painter.rect_filled(band, 2.0, theme.text.gamma_multiply(0.07));
    }
    /// A dashed upright line, as for a threshold.
    pub fn upright(&self, x: f64, stroke: Stroke) {
        let x = self.painter.round_to_pixel_center(self.px(x));
        self.painter.extend(Shape::dashed_line(&[pos2(x, self.rect.top()), pos2(x, self.rect.bottom())], stroke, 4.0, 3.0));
    }
}

/// Moves labels apart that would overlap, keeping their order and staying inside `top..=bottom` where there is room.
/// `wanted` are centres; the result has the same order.
pub fn spread(wanted: &[f32], height: f32, top: f32, bottom: f32) -> Vec<f32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = vec![0.0f32; wanted.len()];
    let mut floor = top + height / 2.0;
    for &i in &order {
        placed[i] = wanted[i].max(floor);
        floor = placed[i] + height;
    }
    let mut ceiling = bottom - height / 2.0;
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(ceiling);
        ceiling = placed[i] - height;
    }
    placed
}

/// A label at the right end of a line.
pub struct EndLabel<'a> {
    /// End of the line, and where its label stands.
    pub from: Pos2,
    pub at: Pos2,
    pub name: &'a str,
    pub colour: Color32,
    pub faded: bool,
    pub room: f32,
}

impl EndLabel<'_> {
    /// A leader, a dot in the line's colour, the name in text colour.
    pub fn paint(self, painter: &Painter, theme: &Theme) {
        let colour = if self.faded { theme.tint(self.colour, 0.3) } else { self.colour };
        let text = if self.faded { theme.tint(theme.secondary, 0.5) } else { theme.text };
        painter.line_segment([self.from, self.at - vec2(4.0, 0.0)], Stroke::new(1.0, theme.tint(colour, 0.5)));
        painter.circle_filled(self.at, 3.0, colour);
        let mut job = LayoutJob::simple_singleline(self.name.to_owned(), small_font(), text);
        job.wrap = TextWrapping::truncate_at_width((self.room - 8.0).max(16.0));
        let galley = painter.layout_job(job);
        painter.galley(pos2(self.at.x + 7.0, self.at.y - galley.size().y / 2.0), galley, text);
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn labels_part_and_stay_in_order_and_inside() {
        let placed = spread(&[50.0, 51.0, 52.0, 10.0], 12.0, 0.0, 100.0);
        assert_eq!(placed[3], 10.0);
        assert!(placed[1] - placed[0] >= 12.0 && placed[2] - placed[1] >= 12.0, "{placed:?}");
        let low = spread(&[98.0, 99.0], 12.0, 0.0, 100.0);
        assert!(low[1] <= 94.0 && low[1] - low[0] >= 12.0, "{low:?}");
    }
}
