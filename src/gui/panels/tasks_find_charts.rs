//! Charts of a task's neurons: how many each layer gives, and stability and accuracy against the share that is taken.

use super::tasks::percent_of;
use crate::{
    app::FindView,
    gui::{
        PanelCx, Theme,
        widgets::{
            axis::Axis,
            chart::{Chart, Plot, small_font},
            number::{counted, sig3},
        },
    },
    task::{KneeCurve, TaskNeurons},
};
use eframe::egui::{Color32, CornerRadius, Mesh, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Bars: neurons of the set in each layer.
pub fn layers_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, task: &TaskNeurons, by_layer: &[usize], colour: Color32, size: Vec2) {
    let n = by_layer.len();
    let most = by_layer.iter().copied().max().unwrap_or(0).max(1) as f64;
    let y = Axis::around([0.0, most], "neurons of the set");
    let spoken = || {
        let (layer, count) = by_layer.iter().enumerate().max_by_key(|(_, c)| **c).map_or((0, 0), |(l, c)| (l, *c));
        format!("most in layer {layer}: {count}")
    };
    let plot = Chart { name: "Neurons by layer", x: Axis::layers(n), y, size, right: 4.0 }.begin(ui, cx.theme, spoken);
    let hovered = plot.hovered_place(n);
    let marked = hovered.or_else(|| cx.link.hover().layer.filter(|l| *l < n));
    let half = ((plot.px(1.0) - plot.px(0.0)).abs() * 0.36).clamp(1.0, 16.0);
    for (layer, &count) in by_layer.iter().enumerate().filter(|(_, c)| **c > 0) {
        let x = plot.px(layer as f64);
        let bar = Rect::from_min_max(pos2(x - half, plot.py(count as f64)), pos2(x + half, plot.rect.bottom()));
        let ink = if marked == Some(layer) { colour } else { cx.theme.tint(colour, 0.75) };
        plot.painter.rect_filled(bar, CornerRadius { nw: 2, ne: 2, sw: 0, se: 0 }, ink);
    }
    if let Some(layer) = hovered {
        cx.link.hover_layer(layer);
        let share = 100.0 * by_layer[layer] as f64 / task.relevance.cols().max(1) as f64;
        cx.link.readout(format!(
            "layer {layer}: {} of {}, {} % of the layer",
            counted(by_layer[layer] as u64, "neuron"),
            task.name,
            sig3(share)
        ));
    }
}

/// Stability (as a band), and accuracy with the set off beside random sets, against the share; the share in force and the knee marked.
pub fn shares_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    view: &FindView,
    task: &TaskNeurons,
    curve: Option<&KneeCurve>,
    percent: f64,
    size: Vec2,
) {
    let curve = curve.filter(|c| c.has_accuracy() && !c.points.is_empty());
    let lowest = curve.and_then(|c| c.points.first()).map_or(0.01, |p| p.percent.min(0.1));
    let x = Axis::log(lowest, 100.0, "k (% of neurons), logarithmic");
    let title = if curve.is_some() { "accuracy, stability (0 to 1)" } else { "stability (Jaccard index)" };
    let spoken = || {
        let knee =
            curve.and_then(|c| c.knee).map_or_else(|| "no k suggested".to_owned(), |k| format!("suggested k {} %", percent_of(k.percent)));
        let stable = task
            .stability_near(percent)
            .map_or_else(String::new, |s| format!(", stability {} at {} %", sig3(s.mean), percent_of(s.percent)));
        format!("{knee}{stable}")
    };
    let wide = vec2(size.x, size.y);
    let plot = Chart { name: "Stability and accuracy against k", x, y: Axis::linear(0.0, 1.0, title), size: wide, right: 14.0 }
        .begin(ui, cx.theme, spoken);
    let theme = cx.theme;
    let painter = plot.inside();
    let grey = theme.secondary;
    // Stability: band of the middle 95 %, line of the mean, dotted chance.
    let known: Vec<_> = task.stability.iter().filter(|s| s.percent >= lowest).collect();
    let mut mesh = Mesh::default();
    for (i, s) in known.iter().enumerate() {
        mesh.colored_vertex(plot.at(s.percent, s.high), grey.gamma_multiply(0.16));
        mesh.colored_vertex(plot.at(s.percent, s.low), grey.gamma_multiply(0.16));
        if i > 0 {
            let b = 2 * i as u32;
            mesh.add_triangle(b - 2, b - 1, b);
            mesh.add_triangle(b - 1, b, b + 1);
        }
    }
    painter.add(Shape::mesh(mesh));
    let line = |of: &dyn Fn(&crate::task::Stability) -> f64| -> Vec<Pos2> { known.iter().map(|s| plot.at(s.percent, of(s))).collect() };
    painter.line(line(&|s| s.mean), Stroke::new(1.5, grey));
    painter.extend(Shape::dashed_line(&line(&|s| s.chance), Stroke::new(1.0, theme.tint(grey, 0.5)), 1.5, 3.0));
    if let Some(c) = curve {
        let colour = cx.domain_colour(&task.name);
        let at = |points: &[(f64, f64)]| -> Vec<Pos2> { points.iter().map(|(k, v)| plot.at(*k, *v)).collect() };
        let random = at(&c.random());
        painter.extend(Shape::dashed_line(&random, Stroke::new(1.25, theme.tint(colour, 0.7)), 5.0, 3.0));
        let own = at(&c.values());
        painter.line(own.clone(), Stroke::new(2.0, colour));
        own.iter().for_each(|p| {
            painter.circle_filled(*p, 2.5, colour);
        });
        if let Some(knee) = c.knee {
            let v = c.values().iter().find(|p| p.0 == knee.percent).map_or(knee.value, |p| p.1);
            plot.upright(knee.percent, Stroke::new(1.25, colour));
            painter.circle_stroke(plot.at(knee.percent, v), 6.0, Stroke::new(1.75, theme.text));
            mark(&plot, knee.percent, &format!("suggested {} %", percent_of(knee.percent)), theme.text);
        }
    }
    let x = plot.px(percent);
    if plot.rect.x_range().contains(x) {
        plot.painter.vline(x, plot.rect.y_range(), Stroke::new(1.5, theme.accent));
    }
    if let Some(p) = plot.response.hover_pos().filter(|p| plot.rect.contains(*p)) {
        let k = plot.x.value((p.x - plot.rect.left()) / plot.rect.width());
        let near = |points: &[(f64, f64)]| points.iter().copied().min_by(|a, b| (a.0 / k).ln().abs().total_cmp(&(b.0 / k).ln().abs()));
        let mut words = format!("{} at {} %", task.name, percent_of(k));
        if let Some(s) = task.stability_near(k) {
            words += &format!(" · stability {} ({} to {}), by chance {}", sig3(s.mean), sig3(s.low), sig3(s.high), sig3(s.chance));
        }
        if let Some((at, v)) = curve.and_then(|c| near(&c.values())) {
            let random = curve
                .and_then(|c| c.random().into_iter().find(|r| r.0 == at))
                .map_or_else(String::new, |r| format!(", random {}", sig3(r.1)));
            words += &format!(" · accuracy {} at {} % off{random}", sig3(v), percent_of(at));
        }
        cx.link.readout(words);
    }
    legend_ui(ui, cx, task, curve, view);
}

/// A label at the top of an upright line.
fn mark(plot: &Plot, k: f64, text: &str, ink: Color32) {
    let galley = plot.painter.layout_no_wrap(text.to_owned(), small_font(), ink);
    let (x, half) = (plot.px(k), galley.size().x / 2.0);
    // Above the plot, beside the title of its axis; below that, inside.
    let title = plot.painter.layout_no_wrap(plot.y.title.clone(), small_font(), ink).size().x;
    let left = (x - half).min(plot.rect.right() - 2.0 * half);
    let above = left > plot.rect.left() + title - 10.0;
    let at = if above {
        pos2(left, plot.rect.top() - galley.size().y - 3.0)
    } else {
        pos2((x + 5.0).min(plot.rect.right() - 2.0 * half), plot.rect.top() + 1.0)
    };
    plot.painter.galley(at, galley, ink);
}

fn legend_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, task: &TaskNeurons, curve: Option<&KneeCurve>, view: &FindView) {
    let theme = cx.theme;
    let colour = cx.domain_colour(&task.name);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        if let Some(c) = curve {
            let rows = c.rows.clone();
            key(ui, theme, "accuracy, own neurons off", colour, false).on_hover_text(rows.clone());
            if !c.random().is_empty() {
                key(ui, theme, "random neurons off", theme.tint(colour, 0.7), true).on_hover_text(rows);
            }
        } else if view.curve(&task.name).is_none() && view.request.curve.is_some() && view.running {
            ui.label(theme.small("accuracy follows"));
        }
        key(ui, theme, "stability", theme.secondary, false).on_hover_text(format!(
            "Jaccard index with {}: mean, and their middle 95 % as a band",
            counted(task.draws as u64, "bootstrap resample")
        ));
        key(ui, theme, "by chance", theme.tint(theme.secondary, 0.5), true).on_hover_text("Two random sets of this size");
    });
}

/// A piece of a line and what it stands for; one thing, so that a row of them wraps.
pub fn key(ui: &mut Ui, theme: &Theme, text: &str, colour: Color32, dashed: bool) -> Response {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), small_font(), theme.secondary);
    let galley = if galley.size().x + 22.0 > ui.max_rect().width() {
        ui.painter().layout(text.to_owned(), small_font(), theme.secondary, (ui.max_rect().width() - 22.0).max(40.0))
    } else {
        galley
    };
    let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x + 22.0, galley.size().y.max(16.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    let ends = [rect.left_center(), rect.left_center() + vec2(18.0, 0.0)];
    if dashed {
        ui.painter().extend(Shape::dashed_line(&ends, Stroke::new(1.5, colour), 4.0, 3.0));
    } else {
        ui.painter().line_segment(ends, Stroke::new(2.0, colour));
    }
    ui.painter().galley(pos2(rect.left() + 22.0, rect.center().y - galley.size().y / 2.0), galley, theme.secondary);
    response
}
