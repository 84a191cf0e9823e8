//! A chart of two quantities: points and lines in a frame with both axes, linear or logarithmic.

use super::{
    picture::Picture,
    svg::{escape, tick_text, ticks},
};
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub from: f64,
    pub to: f64,
    pub log: bool,
}

impl Span {
    /// Holds the values with a little room at both ends, and 0 where `zero`.
    pub fn around(values: impl Iterator<Item = f64>, zero: bool) -> Self {
        let start = if zero { (0.0, 0.0) } else { (f64::INFINITY, f64::NEG_INFINITY) };
        let (lo, hi) = values.filter(|v| v.is_finite()).fold(start, |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi {
            return Self { from: 0.0, to: 1.0, log: false };
        }
        let room = if hi > lo { 0.05 * (hi - lo) } else { 0.05 * hi.abs().max(1e-9) };
        let end = |v: f64, by: f64| if zero && v == 0.0 { 0.0 } else { v + by };
        Self { from: end(lo, -room), to: end(hi, room), log: false }
    }
    /// Logarithmic, of values above 0.
    pub fn log_around(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = values.filter(|v| *v > 0.0).fold((f64::INFINITY, 0.0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi { Self { from: 1.0, to: 10.0, log: true } } else { Self { from: lo / 1.15, to: hi * 1.15, log: true } }
    }
    /// 0 at the beginning, 1 at the end.
    fn place(&self, v: f64) -> f64 {
        let of = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).ln() } else { v };
        let (a, b) = (of(self.from), of(self.to));
        if b > a { (of(v) - a) / (b - a) } else { 0.5 }
    }
    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            return ticks(self.from, self.to, 6);
        }
        let first = self.from.log10().floor() as i32;
        let all: Vec<f64> = (first..=self.to.log10().ceil() as i32).flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e))).collect();
        all.into_iter().filter(|v| *v >= self.from && *v <= self.to).collect()
    }
}

pub struct Xy {
    pub width: f64,
    pub height: f64,
    /// Room for end labels.
    pub right: f64,
    pub x: Span,
    pub y: Span,
    body: String,
}

const LEFT: f64 = 62.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 42.0;

impl Xy {
    pub fn new((width, height): (f64, f64), right: f64, x: Span, y: Span) -> Self {
        Self { width, height, right, x, y, body: String::new() }
    }
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (w, h) = (self.width - LEFT - self.right, self.height - TOP - BOTTOM);
        (LEFT + w * self.x.place(x), TOP + h * (1.0 - self.y.place(y)))
    }
    pub fn line(&mut self, points: &[(f64, f64)], stroke: &str, width: f64, dash: &str, title: &str) {
        let d: Vec<String> = points.iter().map(|p| self.at(*p)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = write!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}><title>{}</title></polyline>",
            d.join(" "),
            escape(title)
        );
    }
    /// Between two lines over the same places: `(x, low, high)`.
    pub fn band(&mut self, points: &[(f64, f64, f64)], fill: &str) {
        let edge = |p: (f64, f64)| {
            let (x, y) = self.at(p);
            format!("{x:.1},{y:.1}")
        };
        let up = points.iter().map(|p| edge((p.0, p.2)));
        let down = points.iter().rev().map(|p| edge((p.0, p.1)));
        let d: Vec<String> = up.chain(down).collect();
        let _ = write!(self.body, "<polygon points=\"{}\" fill=\"{fill}\" fill-opacity=\"0.14\"/>", d.join(" "));
    }
    pub fn disc(&mut self, point: (f64, f64), radius: f64, fill: &str, title: &str) {
        let ((x, y), title) = (self.at(point), escape(title));
        let _ = write!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"><title>{title}</title></circle>");
    }
    pub fn cross(&mut self, point: (f64, f64), stroke: &str, title: &str) {
        let ((x, y), title) = (self.at(point), escape(title));
        let (a, b, c, d) = (x - 2.6, x + 2.6, y - 2.6, y + 2.6);
        let _ = write!(
            self.body,
            "<path d=\"M{a:.1} {c:.1}L{b:.1} {d:.1}M{a:.1} {d:.1}L{b:.1} {c:.1}\" stroke=\"{stroke}\" stroke-width=\"1.1\" fill=\"none\"><title>{title}</title></path>"
        );
    }
    pub fn square(&mut self, point: (f64, f64), fill: &str, title: &str) {
        let ((x, y), title) = (self.at(point), escape(title));
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"4.4\" height=\"4.4\" fill=\"{fill}\"><title>{title}</title></rect>",
            x - 2.2,
            y - 2.2
        );
    }
    /// Names at the right of lines, moved apart: `(name, last point, colour)`.
    pub fn end_labels(&mut self, labels: &[(String, (f64, f64), String)]) {
        let mut places: Vec<(f64, usize)> = labels.iter().enumerate().map(|(i, l)| (self.at(l.1).1, i)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        for i in 1..places.len() {
            places[i].0 = places[i].0.max(places[i - 1].0 + 14.0);
        }
        let over = places.last().map_or(0.0, |l| (l.0 - (self.height - BOTTOM)).max(0.0));
        let x = self.width - self.right + 14.0;
        for (y, i) in places {
            let (name, point, colour) = &labels[i];
            let (from, y) = (self.at(*point), y - over);
            let _ = write!(
                self.body,
                "<path d=\"M{:.1} {:.1}L{:.1} {y:.1}\" stroke=\"{colour}\" stroke-width=\"0.75\" fill=\"none\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"lab\" style=\"fill:{colour}\">{}</text>",
                from.0 + 4.0,
                from.1,
                x - 3.0,
                y + 4.0,
                escape(name)
            );
        }
    }
    pub fn finish(self, x_title: &str, y_title: &str, label: &str) -> Picture {
        let mut out = String::new();
        let (x0, x1, y1) = (LEFT, self.width - self.right, self.height - BOTTOM);
        for v in self.y.ticks() {
            let y = self.at((self.x.from, v)).1;
            let _ = write!(
                out,
                "<line x1=\"{x0}\" x2=\"{x1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"end\">{}</text>",
                x0 - 8.0,
                y + 3.5,
                tick_text(v)
            );
        }
        for v in self.x.ticks() {
            let x = self.at((v, self.y.from)).0;
            let _ = write!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1:.1}\" y2=\"{:.1}\" class=\"axisline\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
                y1 + 4.0,
                y1 + 16.0,
                tick_text(v)
            );
        }
        let (mid_x, mid_y) = ((x0 + x1) / 2.0, (TOP + y1) / 2.0);
        let _ = write!(
            out,
            "<text x=\"{mid_x:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text><text transform=\"translate(13 {mid_y:.1}) rotate(-90)\" class=\"axis\" text-anchor=\"middle\">{}</text>",
            self.height - 6.0,
            escape(x_title),
            escape(y_title)
        );
        out.push_str(&self.body);
        Picture { width: self.width, height: self.height, body: out, label: label.to_owned(), rasters: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_their_values_and_ticks_lie_inside() {
        let s = Span::around([3.0, 5.0, f64::NAN].into_iter(), false);
        assert!(s.from < 3.0 && s.to > 5.0 && s.from > 2.5);
        assert_eq!(Span::around([3.0, 5.0].into_iter(), true).from, 0.0);
        let log = Span::log_around([0.0, 1.0, 50.0].into_iter());
        assert_eq!(log.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert!((log.place((log.from * log.to).sqrt()) - 0.5).abs() < 1e-12);
        assert_eq!(Span::around(std::iter::empty(), false), Span { from: 0.0, to: 1.0, log: false });
    }
}
