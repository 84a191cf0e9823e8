//! Lines over layers, one a domain, named at their ends.

use super::{
    axis::Axis,
    chart::{Chart, EndLabel, Plot, small_width, spread},
    number::sig3,
};
use crate::gui::Theme;
use eframe::egui::{self, Color32, Pos2, Stroke, Ui, Vec2};

pub struct Series {
    pub name: String,
    pub colour: Color32,
    /// One value a layer; `None` where it is undefined.
    pub values: Vec<Option<f64>>,
}

pub struct LineChart<'a> {
    pub name: &'a str,
    pub y: Axis,
    pub series: &'a [Series],
    pub size: Vec2,
    /// The layer that some view has under the pointer.
    pub marked: Option<usize>,
    /// A series to bring forward.
    pub forward: Option<&'a str>,
}

pub struct LineHover {
    pub layer: usize,
    /// Index of the series nearest to the pointer, if it is near one.
    pub series: Option<usize>,
}

impl LineChart<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> (Plot, Option<LineHover>) {
        let n = self.series.iter().map(|s| s.values.len()).max().unwrap_or(0);
        let longest = self.series.iter().map(|s| small_width(ui, &s.name)).fold(0.0f32, f32::max);
        let right = (longest + 32.0).min(self.size.x * 0.35);
        let spoken = || {
            let lines: Vec<String> = self.series.iter().map(|s| describe(s, self.marked)).collect();
            lines.join("; ")
        };
        let chart = Chart { name: self.name, x: Axis::layers(n), y: self.y.clone(), size: self.size, right };
        let plot = chart.begin(ui, theme, spoken);

        let hover = plot.hovered_place(n).map(|layer| LineHover { layer, series: nearest(&plot, self.series, layer) });
        if let Some(layer) = hover.as_ref().map(|h| h.layer).or(self.marked).filter(|&l| l < n) {
            plot.mark_place(theme, layer);
        }
        let forward =
            hover.as_ref().and_then(|h| h.series).or_else(|| self.forward.and_then(|name| self.series.iter().position(|s| s.name == name)));

        let painter = plot.inside();
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by_key(|&i| forward == Some(i));
        for &i in &order {
            let s = &self.series[i];
            let faded = forward.is_some_and(|f| f != i);
            let colour = if faded { theme.tint(s.colour, 0.35) } else { s.colour };
            let width = if forward == Some(i) { 2.5 } else { 1.75 };
            for run in runs(&plot, s) {
                if run.len() > 1 {
                    painter.line(run.clone(), Stroke::new(width, colour));
                }
                // Few layers: every value is a dot; many: the line says enough.
                if n <= 24 || run.len() == 1 {
                    for p in run {
                        painter.circle_filled(p, 2.5, colour);
                    }
                }
            }
        }
        let ends: Vec<(usize, Pos2)> = (0..self.series.len()).filter_map(|i| Some((i, last_point(&plot, &self.series[i])?))).collect();
        let wanted: Vec<f32> = ends.iter().map(|(_, p)| p.y).collect();
        let placed = spread(&wanted, 14.0, plot.rect.top() - 8.0, plot.rect.bottom() + 8.0);
        for ((i, from), y) in ends.into_iter().zip(placed) {
            let at = egui::pos2(plot.rect.right() + 14.0, y);
            let faded = forward.is_some_and(|f| f != i);
            let s = &self.series[i];
            EndLabel { from, at, name: &s.name, colour: s.colour, faded, room: right - 16.0 }.paint(&plot.painter, theme);
        }
        (plot, hover)
    }
}

fn describe(s: &Series, layer: Option<usize>) -> String {
    let at = layer.and_then(|l| s.values.get(l).copied().flatten().map(|v| (l, v)));
    match at {
        Some((l, v)) => format!("{} {} at layer {l}", s.name, sig3(v)),
        None => match (s.values.first().copied().flatten(), s.values.last().copied().flatten()) {
            (Some(a), Some(b)) => format!("{} from {} to {}", s.name, sig3(a), sig3(b)),
            _ => format!("{} undefined", s.name),
        },
    }
}

/// Stretches of defined values.
fn runs(plot: &Plot, s: &Series) -> Vec<Vec<Pos2>> {
    let mut runs = vec![Vec::new()];
    for (l, v) in s.values.iter().enumerate() {
        match v {
            Some(v) => {
                if let Some(run) = runs.last_mut() {
                    run.push(plot.at(l as f64, *v));
                }
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|r| !r.is_empty());
    runs
}

fn last_point(plot: &Plot, s: &Series) -> Option<Pos2> {
    let (l, v) = s.values.iter().enumerate().rev().find_map(|(l, v)| v.map(|v| (l, v)))?;
    Some(plot.at(l as f64, v))
}

fn nearest(plot: &Plot, series: &[Series], layer: usize) -> Option<usize> {
    let y = plot.response.hover_pos()?.y;
    let distance = |s: &Series| s.values.get(layer).copied().flatten().map(|v| (plot.py(v) - y).abs());
    let (i, d) = series.iter().enumerate().filter_map(|(i, s)| Some((i, distance(s)?))).min_by(|a, b| a.1.total_cmp(&b.1))?;
    (d < 10.0).then_some(i)
}
