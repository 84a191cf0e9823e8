//! Lines over any axis, with a band of what chance gives.

use super::{
    axis::Axis,
    chart::{Chart, EndLabel, Plot, small_width, spread},
    number::sig3,
};
use crate::gui::Theme;
use eframe::egui::{Color32, Mesh, Pos2, Shape, Stroke, Ui, Vec2, pos2};

pub struct Curve {
    pub name: String,
    pub colour: Color32,
    /// Ascending in x; a gap where undefined.
    pub points: Vec<(f64, Option<f64>)>,
    pub dashed: bool,
    /// In the background: thin, without dots and without a name at its end.
    pub ghost: bool,
}

/// Between two values at each x.
pub struct Band {
    pub colour: Color32,
    pub points: Vec<(f64, f64, f64)>,
}

pub struct Curves<'a> {
    pub name: &'a str,
    pub x: Axis,
    pub y: Axis,
    pub curves: &'a [Curve],
    pub band: Option<&'a Band>,
    pub size: Vec2,
    /// An upright line, as for the share in force.
    pub mark: Option<f64>,
    /// A place on a whole-number axis that some view has under the pointer.
    pub place: Option<usize>,
}

pub struct CurvesOutput {
    pub plot: Plot,
    /// Index of the point of the first curve whose x is nearest to the pointer.
    pub hovered: Option<usize>,
    /// Where on the x axis was clicked.
    pub clicked: Option<f64>,
}

impl Curves<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> CurvesOutput {
        let named = || self.curves.iter().filter(|c| !c.ghost);
        let right = (named().map(|c| small_width(ui, &c.name)).fold(0.0f32, f32::max) + 32.0).min(self.size.x * 0.45);
        let spoken = || named().map(describe).collect::<Vec<_>>().join("; ");
        let chart = Chart { name: self.name, x: self.x.clone(), y: self.y.clone(), size: self.size, right };
        let plot = chart.begin(ui, theme, spoken);
        let at_pointer = |p: Pos2| plot.x.value((p.x - plot.rect.left()) / plot.rect.width());
        let over = plot.response.hover_pos().filter(|p| plot.rect.expand(6.0).contains(*p));
        let nearest = |p: Pos2| {
            let points = self.curves.first()?.points.iter().enumerate();
            points.map(|(i, (x, _))| (i, (plot.px(*x) - p.x).abs())).min_by(|a, b| a.1.total_cmp(&b.1)).map(|n| n.0)
        };
        let hovered = over.and_then(nearest);
        let clicked = plot.response.clicked().then(|| over.map(at_pointer)).flatten();
        let painter = plot.inside();
        if let Some(l) = self.place.filter(|_| hovered.is_none()) {
            plot.mark_place(theme, l);
        }
        if let Some(x) = hovered.and_then(|i| Some(self.curves.first()?.points.get(i)?.0)) {
            let x = painter.round_to_pixel_center(plot.px(x));
            painter.vline(x, plot.rect.y_range(), Stroke::new(1.0, theme.tint(theme.text, 0.35)));
        }
        if let Some(band) = self.band {
            let mut mesh = Mesh::default();
            for (i, &(x, low, high)) in band.points.iter().enumerate() {
                mesh.colored_vertex(plot.at(x, low), band.colour);
                mesh.colored_vertex(plot.at(x, high), band.colour);
                if i > 0 {
                    let k = 2 * i as u32;
                    mesh.add_triangle(k - 2, k - 1, k);
                    mesh.add_triangle(k - 1, k, k + 1);
                }
            }
            painter.add(Shape::mesh(mesh));
        }
        for c in self.curves.iter().rev() {
            let colour = if c.ghost { theme.tint(c.colour, 0.45) } else { c.colour };
            let stroke = Stroke::new(if c.ghost { 1.0 } else { 1.75 }, colour);
            let defined = |p: &(f64, Option<f64>)| p.1.map(|v| plot.at(p.0, v));
            for run in c.points.split(|p| p.1.is_none()) {
                let run: Vec<Pos2> = run.iter().filter_map(defined).collect();
                match c.dashed {
                    true => {
                        painter.extend(Shape::dashed_line(&run, stroke, 4.0, 3.0));
                    }
                    false if run.len() > 1 => {
                        painter.line(run.clone(), stroke);
                    }
                    false => {}
                }
                if !c.ghost && !c.dashed && (c.points.len() <= 32 || run.len() == 1) {
                    run.iter().for_each(|p| {
                        painter.circle_filled(*p, 2.5, colour);
                    });
                }
            }
        }
        if let Some(x) = self.mark.filter(|x| (plot.x.min..=plot.x.max).contains(x)) {
            plot.upright(x, Stroke::new(1.0, theme.accent));
        }
        let last = |c: &Curve| c.points.iter().rev().find_map(|(x, v)| v.map(|v| plot.at(*x, v)));
        let ends: Vec<(&Curve, Pos2)> = named().filter_map(|c| Some((c, last(c)?))).collect();
        let placed = spread(&ends.iter().map(|e| e.1.y).collect::<Vec<_>>(), 14.0, plot.rect.top() - 8.0, plot.rect.bottom() + 8.0);
        for ((c, from), y) in ends.into_iter().zip(placed) {
            let at = pos2(plot.rect.right() + 14.0, y);
            EndLabel { from, at, name: &c.name, colour: c.colour, faded: false, room: right - 16.0 }.paint(&plot.painter, theme);
        }
        CurvesOutput { hovered, clicked, plot }
    }
}

fn describe(c: &Curve) -> String {
    let mut defined = c.points.iter().filter_map(|p| p.1);
    match (defined.next(), defined.next_back()) {
        (Some(a), Some(b)) => format!("{} from {} to {}", c.name, sig3(a), sig3(b)),
        (Some(a), None) => format!("{} {}", c.name, sig3(a)),
        _ => format!("{} undefined", c.name),
    }
}
