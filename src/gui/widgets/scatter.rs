//! Pairs of values as points over an identity line: what was expected across, what came up.

use super::{
    axis::{Axis, nice_step},
    chart::{Chart, Plot},
};
use crate::gui::Theme;
use eframe::egui::{self, Color32, Pos2, Stroke, Ui, Vec2, pos2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Disc,
    Cross,
    Square,
}

#[derive(Clone, Debug)]
pub struct Dot {
    pub x: f64,
    pub y: f64,
    pub colour: Color32,
    pub shape: Shape,
    /// Ringed.
    pub marked: bool,
}

pub struct Scatter<'a> {
    pub name: &'a str,
    /// With its unit.
    pub x: &'a str,
    pub y: &'a str,
    pub dots: &'a [Dot],
    pub size: Vec2,
    /// What assistive technology reads.
    pub spoken: &'a str,
}

pub struct ScatterOutput {
    pub hovered: Option<usize>,
    pub clicked: Option<usize>,
    pub response: egui::Response,
}

/// More points than these are drawn as specks, in one mesh.
const FEW: usize = 1500;
/// A point is under the pointer within this distance.
const REACH: f32 = 9.0;

impl Scatter<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> ScatterOutput {
        let (x, y) = axes(self.dots, self.x, self.y);
        let (lo, hi) = (x.min.max(y.min), x.max.min(y.max));
        let chart = Chart { name: self.name, x, y, size: self.size, right: 10.0 };
        let plot = chart.begin(ui, theme, || self.spoken.to_owned());
        let p = plot.inside();
        for (a, b) in [(plot.at(0.0, plot.y.min), plot.at(0.0, plot.y.max)), (plot.at(plot.x.min, 0.0), plot.at(plot.x.max, 0.0))] {
            p.line_segment([a, b], Stroke::new(1.0, theme.tint(theme.secondary, 0.45)));
        }
        let line = [plot.at(lo, lo), plot.at(hi, hi)];
        p.extend(egui::Shape::dashed_line(&line, Stroke::new(1.25, theme.secondary), 5.0, 4.0));
        let hovered = plot.response.hover_pos().and_then(|at| nearest(&plot, self.dots, at));
        if self.dots.len() > FEW {
            p.add(specks(&plot, theme, self.dots));
        }
        let few = if self.dots.len() > FEW { &[] } else { self.dots };
        for (i, dot) in few.iter().enumerate() {
            mark(&p, theme, plot.at(dot.x, dot.y), dot, hovered == Some(i));
        }
        // The hovered point on top of its neighbours.
        if let Some(dot) = hovered.map(|i| &self.dots[i]) {
            mark(&p, theme, plot.at(dot.x, dot.y), dot, true);
        }
        let clicked = hovered.filter(|_| plot.response.clicked());
        ScatterOutput { hovered, clicked, response: plot.response }
    }
}

/// Both axes hold 0; the same round step on both, so that slopes can be compared.
fn axes(dots: &[Dot], x: &str, y: &str) -> (Axis, Axis) {
    let range =
        |of: fn(&Dot) -> f64| dots.iter().map(of).filter(|v| v.is_finite()).fold((0.0f64, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
    let (rx, ry) = (range(|d| d.x), range(|d| d.y));
    let widest = (rx.1 - rx.0).max(ry.1 - ry.0).max(1e-9);
    let step = nice_step(widest / 5.0);
    // A little air, so that no point sits on the frame.
    let axis = |(lo, hi): (f64, f64), title: &str| {
        let air = 0.04 * widest;
        let down = if lo < 0.0 { ((lo - air) / step).floor() * step } else { -0.25 * step };
        let up = if hi > 0.0 { ((hi + air) / step).ceil() * step } else { 0.25 * step };
        Axis::linear(down, up, title)
    };
    (axis(rx, x), axis(ry, y))
}

fn nearest(plot: &Plot, dots: &[Dot], at: Pos2) -> Option<usize> {
    let distance = |d: &Dot| plot.at(d.x, d.y).distance(at);
    let (i, d) = dots.iter().map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
    (d <= REACH).then_some(i)
}

/// All points as small squares.
fn specks(plot: &Plot, theme: &Theme, dots: &[Dot]) -> egui::Shape {
    let mut mesh = egui::Mesh::default();
    for dot in dots {
        let rect = egui::Rect::from_center_size(plot.at(dot.x, dot.y), Vec2::splat(3.0));
        mesh.add_colored_rect(rect, theme.tint(dot.colour, 0.8));
    }
    egui::Shape::mesh(mesh)
}

fn mark(p: &egui::Painter, theme: &Theme, at: Pos2, dot: &Dot, strong: bool) {
    let r = if strong { 5.5 } else { 4.0 };
    match dot.shape {
        Shape::Disc => {
            p.circle(at, r, theme.tint(dot.colour, 0.85), Stroke::new(1.0, theme.panel));
        }
        Shape::Square => {
            let rect = egui::Rect::from_center_size(at, Vec2::splat(1.6 * r));
            p.rect(rect, 1.0, theme.tint(dot.colour, 0.85), Stroke::new(1.0, theme.panel), egui::StrokeKind::Outside);
        }
        Shape::Cross => {
            let (d, stroke) = (0.75 * r, Stroke::new(1.25, theme.tint(dot.colour, 0.7)));
            p.line_segment([pos2(at.x - d, at.y - d), pos2(at.x + d, at.y + d)], stroke);
            p.line_segment([pos2(at.x - d, at.y + d), pos2(at.x + d, at.y - d)], stroke);
        }
    }
    if dot.marked || strong {
        p.circle_stroke(at, r + 3.0, Stroke::new(1.5, if strong { theme.text } else { theme.accent }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_all_points_and_zero_on_round_steps() {
        let dot = |x, y| Dot { x, y, colour: Color32::WHITE, shape: Shape::Disc, marked: false };
        let (x, y) = axes(&[dot(-2.1, -0.4), dot(0.3, 0.1)], "a", "b");
        assert!(x.min <= -2.1 && x.max >= 0.3 && y.min <= -0.4 && y.max >= 0.1, "{x:?} {y:?}");
        assert!((x.min / 0.5).fract().abs() < 1e-9 && (y.min / 0.5).fract().abs() < 1e-9);
        let (x, y) = axes(&[], "a", "b");
        assert!(x.min < 0.0 && x.max > 0.0 && y.min < y.max);
    }
}
