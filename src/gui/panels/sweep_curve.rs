//! Accuracy with the top k % of a map switched, beside random sets of the same size.

use super::{
    arithmetic::other_arithmetic_ui,
    sweep::{control_ui, domain_choice, nothing_yet_ui, ranking_choice, settings_words},
    sweep_sought::Sought,
};
use crate::{
    ablate::KCurve,
    app::{Command, Failure, SweepKind, SweepRequest, SweepView},
    base::stats,
    gui::{
        PanelCx,
        widgets::{
            axis::Axis,
            chart::{Chart, EndLabel, spread},
            control::{bar, caption, remark, remark_height, room_for, tag},
            number::{count, plus_minus, sig3},
            states::empty_ui,
            table::{Table, twin_switch},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{Mesh, Pos2, ScrollArea, Shape, Stroke, TextEdit, Ui, pos2, vec2};
use egui_material_icons::icons;

pub struct CurveTab {
    domain: Option<String>,
    metric: MetricKind,
    percents: String,
    table: bool,
    /// Request that the form was last made to show.
    followed: Option<SweepRequest>,
    sought: Sought,
}

impl Default for CurveTab {
    fn default() -> Self {
        let percents = "0.1, 0.5, 1, 2, 5, 10, 20, 50".into();
        Self { domain: None, metric: MetricKind::Relevance, percents, table: false, followed: None, sought: Sought::default() }
    }
}

/// One domain's line: k and value, and the controls' mean and standard deviation.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    controls: Vec<(f64, f64, f64)>,
}

impl CurveTab {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if cx.app.library.scan().is_none() {
            if empty_ui(
                ui,
                cx.theme,
                icons::ICON_GRADIENT,
                "Scan the domains: the map of one of them ranks the neurons.",
                "Scan the domains",
            ) {
                cx.send(Command::StartScan { out: None });
            }
            return;
        }
        let app = cx.app;
        let view = app.sweeps.against_k.as_ref();
        self.follow(view);
        control_ui(ui, cx, view, SweepKind::AgainstK, |ui, cx| {
            let request = self.request_ui(ui, cx);
            self.sought.look(cx, SweepKind::AgainstK, view, request.as_ref());
            (request, "Measure the curve".to_owned())
        });
        let Some(curve) = view.and_then(|v| v.result.as_ref()) else {
            nothing_yet_ui(ui, cx, &format!("Neurons are {}, in every domain that is switched on.", settings_words(cx)));
            return;
        };
        let table = &mut self.table;
        bar(
            ui,
            2,
            cx,
            |ui, cx| {
                if view.is_some_and(|v| v.failed == Some(Failure::Cancelled)) {
                    tag(ui, cx.theme, "partial", cx.theme.warn)
                        .on_hover_text("Broken off before every k was measured; it can be gone on with");
                }
                other_arithmetic_ui(ui, cx, &curve.provenance);
                ui.label(cx.theme.small(format!("{} · {} of k measured", curve.ranking, curve.points.len())));
            },
            |ui, _| twin_switch(ui, table, "the curve", || table_of(curve)),
        );
        if self.table {
            table_of(curve).ui(ui, cx.theme, "accuracy against k");
        } else {
            let room = ui.available_height();
            ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| chart_ui(ui, cx, curve, room));
        }
    }
}

impl CurveTab {
    /// The form asks for what is shown, wherever that came from.
    fn follow(&mut self, view: Option<&SweepView<KCurve>>) {
        let Some(view) = view.filter(|v| self.followed.as_ref() != Some(&v.request)) else { return };
        if let SweepRequest::AgainstK { ranking, metric, percents } = &view.request {
            (self.domain, self.metric) = (Some(ranking.clone()), *metric);
            self.percents = percents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        }
        self.followed = Some(view.request.clone());
    }

    fn request_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) -> Option<SweepRequest> {
        caption(ui, cx.theme, "top k % of");
        let ranking = domain_choice(ui, cx, "Domain of the ranking", &mut self.domain)?;
        let metric = ranking_choice(ui, cx, "Metric of the ranking", &ranking, &mut self.metric);
        room_for(ui, FIELD + 28.0);
        caption(ui, cx.theme, "k");
        let edit = TextEdit::singleline(&mut self.percents).desired_width(FIELD).hint_text("1, 2, 5, 10");
        ui.add(edit).accessible_name("Percentages").on_hover_text("Shares of all neurons, percent");
        let percents: Vec<f64> = self.percents.split([',', ' ']).filter_map(|p| p.trim().parse().ok()).collect();
        let valid = !percents.is_empty() && percents.iter().all(|p| *p > 0.0 && *p <= 100.0);
        Some(SweepRequest::AgainstK { ranking, metric: metric?, percents }).filter(|_| valid)
    }
}

/// Accuracies, or losses where no domain has choices.
fn lines(curve: &KCurve) -> (Vec<Line>, bool) {
    let accuracies = curve.baseline.iter().any(|b| b.accuracy().is_some());
    let value = |t: &crate::ablate::Totals| if accuracies { t.accuracy() } else { t.loss };
    let line = |d: usize| {
        let points = curve.points.iter().filter_map(|p| Some((p.percent, value(p.scores.get(d)?)?))).collect();
        let controls = curve.points.iter().filter_map(|p| {
            let all: Vec<f64> = p.controls.iter().filter_map(|c| value(c.get(d)?)).collect();
            Some((p.percent, stats::mean(&all)?, stats::std_dev(&all).unwrap_or(0.0)))
        });
        Line { name: curve.domains[d].clone(), points, controls: controls.collect() }
    };
    ((0..curve.domains.len()).map(line).filter(|l| !l.points.is_empty()).collect(), accuracies)
}

/// Room for seven shares.
const FIELD: f32 = 180.0;

const LINES: &str = "lines: the top k % · dashed with band: random sets of the same size in each layer, mean ± standard deviation";

fn chart_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, curve: &KCurve, room: f32) {
    let (lines, accuracies) = lines(curve);
    if lines.is_empty() {
        remark(ui, cx.theme, "The first k is being measured.");
        return;
    }
    let all = || lines.iter().flat_map(|l| l.points.iter().map(|p| p.0));
    let (lo, hi) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let x = if hi / lo > 4.0 {
        Axis::log(lo / 1.15, hi * 1.15, "k: share of all neurons switched (%), logarithmic")
    } else {
        Axis::linear(0.0, hi * 1.05, "k: share of all neurons switched (%)")
    };
    let y = if accuracies {
        Axis::linear(0.0, 1.0, "accuracy (share of questions answered right)")
    } else {
        let values = lines.iter().flat_map(|l| l.points.iter().map(|p| p.1).chain(l.controls.iter().map(|c| c.1)));
        Axis::around(values, "loss (nat a token)")
    };
    // In a low panel the chart alone is seen; what its lines are, by scrolling.
    let beside = room - remark_height(ui, LINES) - 12.0;
    let size = vec2(
        ui.available_width(),
        if beside >= 130.0 { beside } else { room - 4.0 }.clamp(120.0, (0.75 * ui.available_width()).max(420.0)),
    );
    let spoken = || {
        let say = |l: &Line| l.points.last().map(|(k, v)| format!("{} {} at {k} %", l.name, sig3(*v))).unwrap_or_default();
        lines.iter().map(say).collect::<Vec<_>>().join("; ")
    };
    let plot = Chart { name: "Accuracy against k", x, y, size, right: 110.0 }.begin(ui, cx.theme, spoken);
    let painter = plot.inside();
    let forward = cx.link.hover().domain.clone();
    for l in &lines {
        let faded = forward.as_ref().is_some_and(|f| *f != l.name);
        let colour = cx.theme.tint(cx.domain_colour(&l.name), if faded { 0.35 } else { 1.0 });
        // The controls as a band and a dashed line.
        let edge = |sign: f64| l.controls.iter().map(move |(k, m, s)| (*k, m + sign * s));
        let mut mesh = Mesh::default();
        for (i, ((k, top), (_, low))) in edge(1.0).zip(edge(-1.0)).enumerate() {
            mesh.colored_vertex(plot.at(k, top), colour.gamma_multiply(0.14));
            mesh.colored_vertex(plot.at(k, low), colour.gamma_multiply(0.14));
            if i > 0 {
                let b = 2 * i as u32;
                mesh.add_triangle(b - 2, b - 1, b);
                mesh.add_triangle(b - 1, b, b + 1);
            }
        }
        painter.add(Shape::mesh(mesh));
        let means: Vec<Pos2> = l.controls.iter().map(|(k, m, _)| plot.at(*k, *m)).collect();
        painter.extend(Shape::dashed_line(&means, Stroke::new(1.0, cx.theme.tint(colour, 0.7)), 4.0, 3.0));
        let points: Vec<Pos2> = l.points.iter().map(|(k, v)| plot.at(*k, *v)).collect();
        painter.line(points.clone(), Stroke::new(if faded { 1.5 } else { 2.0 }, colour));
        for p in points {
            painter.circle_filled(p, 3.0, colour);
        }
    }
    let ends: Vec<Pos2> = lines.iter().filter_map(|l| l.points.last().map(|(k, v)| plot.at(*k, *v))).collect();
    let placed = spread(&ends.iter().map(|p| p.y).collect::<Vec<_>>(), 14.0, plot.rect.top() - 8.0, plot.rect.bottom() + 8.0);
    for ((l, from), y) in lines.iter().zip(ends).zip(placed) {
        let faded = forward.as_ref().is_some_and(|f| *f != l.name);
        let at = pos2(plot.rect.right() + 14.0, y);
        EndLabel { from, at, name: &l.name, colour: cx.domain_colour(&l.name), faded, room: 94.0 }.paint(&plot.painter, cx.theme);
    }
    if let Some(at) = plot.response.hover_pos().filter(|p| plot.rect.contains(*p)) {
        let near = |l: &Line| l.points.iter().map(|(k, v)| plot.at(*k, *v).distance(at)).fold(f32::INFINITY, f32::min);
        if let Some(l) = lines.iter().filter(|l| near(l) < 24.0).min_by(|a, b| near(a).total_cmp(&near(b))) {
            cx.link.hover_domain(&l.name);
            let distance = |k: f64, v: f64| plot.at(k, v).distance(at);
            if let Some(&(k, v)) = l.points.iter().min_by(|a, b| distance(a.0, a.1).total_cmp(&distance(b.0, b.1))) {
                let control =
                    l.controls.iter().find(|c| c.0 == k).map_or(String::new(), |c| format!(", random {}", plus_minus(c.1, Some(c.2))));
                cx.link.readout(format!("{} · top {k} % switched: {}{control}", l.name, sig3(v)));
            }
        }
    }
    remark(ui, cx.theme, LINES);
}

fn table_of(curve: &KCurve) -> Table {
    let (lines, accuracies) = lines(curve);
    let what = if accuracies { "accuracy" } else { "loss, nat/token" };
    let mut t = Table::new(&[("k, %", true), ("neurons", true), ("domain", false)]);
    for title in [what, "random", "± sd"] {
        t.column(title, true);
    }
    for point in &curve.points {
        for l in &lines {
            let Some((_, v)) = l.points.iter().find(|p| p.0 == point.percent) else { continue };
            let control = l.controls.iter().find(|c| c.0 == point.percent);
            t.row(vec![
                sig3(point.percent),
                count(point.neurons as u64),
                l.name.clone(),
                sig3(*v),
                control.map_or(String::new(), |c| sig3(c.1)),
                control.map_or(String::new(), |c| sig3(c.2)),
            ]);
        }
    }
    t
}
