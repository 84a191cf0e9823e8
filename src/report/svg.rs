//! Inline SVG: a frame with axes, and text that is safe to put into a page. Colours are the page's CSS variables, so one picture serves both themes.

use super::picture::Picture;
use crate::base::{heatmap::ColourMap, number::sig3};
use std::fmt::Write as _;

pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// CSS colour of palette number `n`.
pub fn domain_colour(n: usize) -> String {
    format!("var(--d{})", n % 8)
}

/// A chart's frame: plot area inside a picture, value range on y, layers on x.
pub struct Frame {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub layers: usize,
    pub y: (f64, f64),
    body: String,
}

impl Frame {
    /// `right`: room for end labels.
    pub fn new(width: f64, height: f64, right: f64, layers: usize, y: (f64, f64)) -> Self {
        let y = if y.1 > y.0 { y } else { (y.0, y.0 + 1.0) };
        Self { width, height, left: 56.0, right, top: 12.0, bottom: 40.0, layers, y, body: String::new() }
    }
    /// Layers sit in bands of equal width.
    pub fn band(&self) -> f64 {
        (self.width - self.left - self.right) / self.layers.max(1) as f64
    }
    pub fn x(&self, layer: f64) -> f64 {
        self.left + (layer + 0.5) * self.band()
    }
    pub fn y(&self, value: f64) -> f64 {
        let t = (value - self.y.0) / (self.y.1 - self.y.0);
        self.height - self.bottom - t * (self.height - self.top - self.bottom)
    }
    pub fn push(&mut self, element: &str) {
        self.body.push_str(element);
    }
    pub fn line(&mut self, points: &[(f64, f64)], stroke: &str, width: f64, dash: &str, title: &str) {
        let d: Vec<String> = points.iter().map(|&(l, v)| format!("{:.1},{:.1}", self.x(l), self.y(v))).collect();
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let title = escape(title);
        let _ = write!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}><title>{title}</title></polyline>",
            d.join(" ")
        );
    }
    pub fn dot(&mut self, layer: f64, value: f64, fill: &str, title: &str) {
        let (x, y, title) = (self.x(layer), self.y(value), escape(title));
        let _ = write!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\" fill=\"{fill}\"><title>{title}</title></circle>");
    }
    /// Names at the right end, moved apart so that none covers another. `(name, last value, colour)`
    pub fn end_labels(&mut self, labels: &[(String, f64, String)]) {
        self.end_labels_at(labels, self.layers.saturating_sub(1) as f64);
    }
    /// The same for lines that end at another place than the last layer.
    pub fn end_labels_at(&mut self, labels: &[(String, f64, String)], end: f64) {
        let mut places: Vec<(f64, usize)> = labels.iter().enumerate().map(|(i, l)| (self.y(l.1), i)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        let gap = 14.0;
        for i in 1..places.len() {
            places[i].0 = places[i].0.max(places[i - 1].0 + gap);
        }
        let lowest = self.height - self.bottom;
        if let Some(last) = places.last_mut() {
            last.0 = last.0.min(lowest);
        }
        for i in (1..places.len()).rev() {
            places[i - 1].0 = places[i - 1].0.min(places[i].0 - gap);
        }
        let from = self.x(end);
        let x = self.width - self.right + 14.0;
        for (y, i) in places {
            let (name, value, colour) = &labels[i];
            let _ = write!(
                self.body,
                "<path d=\"M{:.1} {:.1}L{:.1} {y:.1}\" stroke=\"{colour}\" stroke-width=\"0.75\" fill=\"none\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" style=\"fill:{colour}\">{}</text>",
                from + 4.0,
                self.y(*value),
                x - 3.0,
                x,
                y + 4.0,
                escape(name)
            );
        }
    }
    /// The finished picture with grid, ticks and axis titles. `label` describes it to who cannot see it.
    pub fn finish(self, y_title: &str, label: &str) -> Picture {
        let every = self.layers.div_ceil(16).max(1);
        let ticks: Vec<(f64, String)> = (0..self.layers).step_by(every).map(|l| (l as f64, l.to_string())).collect();
        self.finish_over(&ticks, "layer", y_title, label)
    }
    /// The same with other marks on the axis below, at places that [`Frame::x`] knows.
    pub fn finish_over(self, x_ticks: &[(f64, String)], x_title: &str, y_title: &str, label: &str) -> Picture {
        let mut out = String::new();
        for v in ticks(self.y.0, self.y.1, 5) {
            let (y, x0, x1) = (self.y(v), self.left, self.width - self.right);
            let _ = write!(
                out,
                "<line x1=\"{x0}\" x2=\"{x1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"end\">{}</text>",
                x0 - 8.0,
                y + 3.5,
                tick_text(v)
            );
        }
        for (at, text) in x_ticks {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
                self.x(*at),
                self.height - self.bottom + 16.0,
                escape(text)
            );
        }
        let (mid_x, mid_y) = ((self.left + self.width - self.right) / 2.0, (self.top + self.height - self.bottom) / 2.0);
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

/// A colour bar from left to right with its ticks, title and what kind of scale it is: `x`, `y`, `width` of the bar itself; takes 44 points of height.
pub fn colour_bar(colours: ColourMap, at: (f64, f64), width: f64, ticks: &[(f64, String)], title: &str) -> String {
    colour_bar_of(|v| colours.at(v), at, width, ticks, title)
}

/// The same of any colours from 0 to 1.
pub fn colour_bar_of(colour: impl Fn(f64) -> [u8; 3], (x, y): (f64, f64), width: f64, ticks: &[(f64, String)], title: &str) -> String {
    const STEPS: u32 = 96;
    let mut out = String::new();
    // Strips begin and end at whole points: between, they would show as seams.
    let edge = |i: u32| (x + width * f64::from(i) / f64::from(STEPS)).round();
    for i in (0..STEPS).filter(|i| edge(i + 1) > edge(*i)) {
        let [r, g, b] = colour(f64::from(i) / f64::from(STEPS - 1));
        let _ = write!(
            out,
            "<rect x=\"{}\" y=\"{:.0}\" width=\"{}\" height=\"9\" fill=\"rgb({r},{g},{b})\"/>",
            edge(i),
            y.round(),
            edge(i + 1) - edge(i)
        );
    }
    for (t, text) in ticks {
        let at = x + t.clamp(0.0, 1.0) * width;
        let _ = write!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" class=\"axisline\"/><text x=\"{at:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            y + 9.0,
            y + 13.0,
            y + 24.0,
            escape(text)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>",
        x + width / 2.0,
        y + 40.0,
        escape(title)
    );
    out
}

/// Round values between two ends, at most `count + 1`.
pub fn ticks(lo: f64, hi: f64, count: usize) -> Vec<f64> {
    let raw = (hi - lo) / count.max(1) as f64;
    if !(raw > 0.0 && raw.is_finite()) {
        return vec![lo];
    }
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * (1.0 - 1e-9)).unwrap_or(raw);
    let first = (lo / step - 1e-9).ceil() as i64;
    (first..).map(|k| k as f64 * step).take_while(|v| *v <= hi + step * 1e-9).collect()
}

/// A tick without trailing zeros.
pub fn tick_text(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if !(1e-3..1e6).contains(&size) {
        return sig3(value).replace(".00e", "e");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A round upper end of an axis that holds `value`.
pub fn round_up(value: f64) -> f64 {
    ticks(0.0, value * 1.25, 5).into_iter().find(|t| *t >= value).unwrap_or(value * 1.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 0.37, 5).len(), 4);
        assert_eq!(tick_text(0.6000000000000001), "0.6");
        assert_eq!(tick_text(2e-6), "2e-6");
        assert_eq!(ticks(1.0, 1.0, 5), [1.0]);
    }

    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(escape("<a & \"b\">'"), "&lt;a &amp; &quot;b&quot;&gt;&#39;");
    }
}
