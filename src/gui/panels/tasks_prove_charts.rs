//! Charts beside the task matrix: means against the share, and accuracy against the factor.

use super::{tasks::percent_of, tasks_find_charts::key};
use crate::{
    gui::{
        PanelCx,
        widgets::{
            axis::Axis,
            chart::{Chart, EndLabel, Plot, filled, spread},
            number::sig3,
        },
    },
    task::TaskMatrix,
};
use eframe::egui::{Color32, Pos2, Shape, Stroke, Ui, pos2, vec2};

/// Mean accuracy over tasks against the share: own, another's, random, nothing. A click takes the nearest share.
pub fn means_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, m: &TaskMatrix, shown: &mut usize, height: f32) {
    let shares = &m.plan.percents;
    let points: Vec<_> = shares.iter().enumerate().filter_map(|(k, p)| Some((*p, m.summary(k)?))).collect();
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else { return };
    if points.is_empty() {
        return;
    }
    let theme = cx.theme;
    let x = Axis::log(first / 1.15, last * 1.15, "k (% of neurons switched), logarithmic");
    let y = Axis::linear(0.0, 1.0, "mean accuracy over tasks");
    let size = vec2(ui.available_width(), height);
    let spoken = || {
        let say = |(p, s): &(f64, crate::task::matrix::Summary)| {
            format!("{} %: own {}, random {}", percent_of(*p), sig3(s.own), s.random.map_or_else(|| "–".into(), sig3))
        };
        points.iter().map(say).collect::<Vec<_>>().join("; ")
    };
    let plot = Chart { name: "Mean accuracy against k", x, y, size, right: 8.0 }.begin(ui, theme, spoken);
    let (own, other, random) = (theme.bad, theme.domain(1), theme.secondary);
    let painter = plot.inside();
    let at = |of: &dyn Fn(&crate::task::matrix::Summary) -> Option<f64>| -> Vec<Pos2> {
        points.iter().filter_map(|(p, s)| Some(plot.at(*p, of(s)?))).collect()
    };
    let before = at(&|s| Some(s.before));
    painter.extend(Shape::dashed_line(&before, Stroke::new(1.0, theme.tint(theme.text, 0.5)), 2.0, 3.0));
    let randoms = at(&|s| s.random);
    painter.extend(Shape::dashed_line(&randoms, Stroke::new(1.75, random), 5.0, 3.0));
    for (line, colour) in [(at(&|s| s.other), other), (at(&|s| Some(s.own)), own)] {
        painter.line(line.clone(), Stroke::new(2.0, colour));
        line.iter().for_each(|p| {
            painter.circle_filled(*p, 3.0, colour);
        });
    }
    if let Some(p) = shares.get(*shown) {
        plot.painter.vline(plot.px(*p), plot.rect.y_range(), Stroke::new(1.5, theme.accent));
    }
    let nearest =
        |at: Pos2| (0..shares.len()).min_by(|&a, &b| (plot.px(shares[a]) - at.x).abs().total_cmp(&(plot.px(shares[b]) - at.x).abs()));
    if let Some(k) = plot.response.hover_pos().filter(|p| plot.rect.contains(*p)).and_then(nearest)
        && let Some((p, s)) = points.iter().find(|(p, _)| *p == shares[k])
    {
        let part = |name: &str, v: Option<f64>| v.map_or_else(String::new, |v| format!(", {name} {}", sig3(v)));
        let words = format!(
            "{} %: own {}{}{}, nothing off {}",
            percent_of(*p),
            sig3(s.own),
            part("another task's", s.other),
            part("random", s.random),
            sig3(s.before)
        );
        cx.link.readout(words);
    }
    if plot.response.clicked()
        && let Some(k) = plot.response.interact_pointer_pos().and_then(nearest)
    {
        *shown = k;
    }
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        key(ui, theme, "own neurons", own, false);
        key(ui, theme, "another task's", other, false);
        key(ui, theme, "random", random, true);
        key(ui, theme, "nothing", theme.tint(theme.text, 0.5), true);
    });
}

/// Accuracy of each task with its own neurons' activations times a factor; random sets dashed.
pub fn factors_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, m: &TaskMatrix) {
    let factors = &m.plan.factors;
    let last = factors.iter().copied().fold(1.0f64, f64::max);
    let theme = cx.theme;
    let line = |task: usize, random: bool| -> Vec<(f64, f64)> {
        let value = |f: usize| {
            let (own, beside) = m.scaled(f, task, task);
            if random { beside.map(|b| b.0) } else { own.and_then(|c| c.totals.accuracy()) }
        };
        factors.iter().enumerate().filter_map(|(f, x)| Some((*x, value(f)?))).collect()
    };
    let names = &m.plan.tasks;
    let lines: Vec<_> = (0..names.len()).map(|t| (line(t, false), line(t, true))).collect();
    if lines.iter().all(|l| l.0.len() < 2) {
        return;
    }
    let percent = m.plan.percents.get(m.plan.scaled_at).copied().unwrap_or_default();
    let x = Axis::linear(0.0, last * 1.02, format!("own top {} % times", percent_of(percent)));
    // The last of the charts has what is left.
    let wide = ui.available_width();
    let size = vec2(wide, filled(ui, 210.0, 60.0, 0.5 * wide));
    let spoken = || {
        let say = |t: usize| lines[t].0.iter().map(|(f, a)| format!("{} times {f}: {}", names[t], sig3(*a))).collect::<Vec<_>>().join(", ");
        (0..names.len()).map(say).collect::<Vec<_>>().join("; ")
    };
    let right = if size.x > 420.0 { 104.0 } else { 8.0 };
    let plot =
        Chart { name: "Accuracy against the factor", x, y: Axis::linear(0.0, 1.0, "accuracy"), size, right }.begin(ui, theme, spoken);
    plot.upright(1.0, Stroke::new(1.0, theme.tint(theme.secondary, 0.6)));
    let forward = cx.link.hover().domain.clone();
    let painter = plot.inside();
    for (t, (own, random)) in lines.iter().enumerate() {
        let faded = forward.as_ref().is_some_and(|f| *f != names[t]);
        let colour = theme.tint(cx.domain_colour(&names[t]), if faded { 0.35 } else { 1.0 });
        let at = |l: &[(f64, f64)]| -> Vec<Pos2> { l.iter().map(|(f, a)| plot.at(*f, *a)).collect() };
        painter.extend(Shape::dashed_line(&at(random), Stroke::new(1.0, theme.tint(colour, 0.7)), 4.0, 3.0));
        painter.line(at(own), Stroke::new(2.0, colour));
        at(own).into_iter().for_each(|p| {
            painter.circle_filled(p, 2.5, colour);
        });
    }
    if right > 8.0 {
        ends_ui(&plot, cx, names, &lines.iter().map(|l| l.0.last().map(|(f, a)| plot.at(*f, *a))).collect::<Vec<_>>());
    }
    if let Some(p) = plot.response.hover_pos().filter(|p| plot.rect.contains(*p)) {
        let near = |t: usize| lines[t].0.iter().map(|(f, a)| plot.at(*f, *a).distance(p)).fold(f32::INFINITY, f32::min);
        if let Some(t) = (0..names.len()).filter(|t| near(*t) < 24.0).min_by(|a, b| near(*a).total_cmp(&near(*b))) {
            cx.link.hover_domain(&names[t]);
            let best = lines[t].0.iter().min_by(|a, b| plot.at(a.0, a.1).distance(p).total_cmp(&plot.at(b.0, b.1).distance(p)));
            if let Some((f, a)) = best {
                let beside = lines[t].1.iter().find(|r| r.0 == *f).map_or_else(String::new, |r| format!(", random {}", sig3(r.1)));
                cx.link.readout(format!("{}: own neurons times {f}: accuracy {}{beside}", names[t], sig3(*a)));
            }
        }
    }
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        key(ui, theme, "own neurons times a factor: below 1 damped, above 1 amplified", theme.text, false);
        key(ui, theme, "random neurons of the same layers", theme.secondary, true);
    });
}

fn ends_ui(plot: &Plot, cx: &PanelCx<'_>, names: &[String], ends: &[Option<Pos2>]) {
    let known: Vec<(usize, Pos2)> = ends.iter().enumerate().filter_map(|(i, p)| Some((i, (*p)?))).collect();
    let placed = spread(&known.iter().map(|(_, p)| p.y).collect::<Vec<_>>(), 14.0, plot.rect.top() - 8.0, plot.rect.bottom() + 8.0);
    for ((i, from), y) in known.into_iter().zip(placed) {
        let colour: Color32 = cx.domain_colour(&names[i]);
        EndLabel { from, at: pos2(plot.rect.right() + 14.0, y), name: &names[i], colour, faded: false, room: 90.0 }
            .paint(&plot.painter, cx.theme);
    }
}
