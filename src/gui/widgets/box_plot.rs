//! Box plots over layers with the curve of means.

use super::{axis::Axis, chart::Chart, five_numbers::BoxStats, number::sig3};
use crate::gui::Theme;
use eframe::egui::{Color32, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, pos2};

pub struct BoxPlot<'a> {
    pub name: &'a str,
    pub y: Axis,
    /// One a layer; `None` where no value is defined.
    pub boxes: &'a [Option<BoxStats>],
    pub colour: Color32,
    pub size: Vec2,
    pub marked: Option<usize>,
    /// Layers that the scalar is a mean over.
    pub range: Option<(usize, usize)>,
}

impl BoxPlot<'_> {
    /// The hovered layer.
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> (eframe::egui::Response, Option<usize>) {
        let n = self.boxes.len();
        let spoken = || {
            let at = self.marked.and_then(|l| Some((l, self.boxes.get(l)?.as_ref()?)));
            match at {
                Some((l, b)) => format!("layer {l}: median {}, mean {}, n {}", sig3(b.median), sig3(b.mean), b.n),
                None => format!("{n} layers"),
            }
        };
        let chart = Chart { name: self.name, x: Axis::layers(n), y: self.y.clone(), size: self.size, right: 8.0 };
        let plot = chart.begin(ui, theme, spoken);
        let hovered = plot.hovered_place(n);
        let painter = plot.inside();
        let step = (plot.px(1.0) - plot.px(0.0)).abs();

        if let Some((a, b)) = self.range {
            let span = Rect::from_x_y_ranges(plot.px(a as f64 - 0.4)..=plot.px(b as f64 + 0.4), plot.rect.y_range()).intersect(plot.rect);
            plot.painter.rect_filled(span, 2.0, theme.tint(theme.accent, 0.08));
            plot.painter.hline(span.x_range(), plot.rect.bottom() - 1.0, Stroke::new(2.0, theme.accent));
        }
        if let Some(l) = hovered.or(self.marked).filter(|&l| l < n) {
            plot.mark_place(theme, l);
        }
        let half = (step * 0.3).clamp(1.0, 11.0);
        let line = Stroke::new(1.25, self.colour);
        let mut means = Vec::new();
        for (l, b) in self.boxes.iter().enumerate() {
            let x = painter.round_to_pixel_center(plot.px(l as f64));
            let Some(b) = b else {
                // Undefined: a cross at the foot, never a value.
                let c = pos2(x, plot.rect.bottom() - 8.0);
                painter.line_segment([c + Vec2::splat(-3.0), c + Vec2::splat(3.0)], Stroke::new(1.25, theme.secondary));
                painter.line_segment([c + Vec2::new(-3.0, 3.0), c + Vec2::new(3.0, -3.0)], Stroke::new(1.25, theme.secondary));
                continue;
            };
            let y = |v: f64| plot.py(v);
            painter.vline(x, y(b.high)..=y(b.q3), line);
            painter.vline(x, y(b.q1)..=y(b.low), line);
            if half > 3.0 {
                painter.hline(x - half * 0.5..=x + half * 0.5, y(b.high), line);
                painter.hline(x - half * 0.5..=x + half * 0.5, y(b.low), line);
            }
            let rect = Rect::from_min_max(pos2(x - half, y(b.q3)), pos2(x + half, y(b.q1)));
            painter.rect(rect, 1.0, theme.tint(self.colour, 0.22), line, StrokeKind::Middle);
            painter.hline(x - half..=x + half, y(b.median), Stroke::new(2.0, self.colour));
            for &o in &b.outliers {
                painter.circle_stroke(pos2(x, y(o)), 1.75, Stroke::new(1.0, theme.tint(self.colour, 0.8)));
            }
            means.push(pos2(x, y(b.mean)));
        }
        if means.len() > 1 {
            painter.extend(Shape::dashed_line(&means, Stroke::new(1.25, theme.tint(theme.text, 0.6)), 4.0, 3.0));
        }
        for m in means {
            let d = 3.5;
            let diamond = vec![m + Vec2::new(0.0, -d), m + Vec2::new(d, 0.0), m + Vec2::new(0.0, d), m + Vec2::new(-d, 0.0)];
            painter.add(Shape::convex_polygon(diamond, theme.text, Stroke::new(1.0, theme.panel)));
        }
        (plot.response, hovered)
    }
}
