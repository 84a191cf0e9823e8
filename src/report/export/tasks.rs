//! Task-specific neurons: what was found of each task, and the matrix that proves whose they are.

use super::{
    super::{
        Report,
        charts::{self, Square, range_of},
        picture::Picture,
        xy::{Span, Xy},
    },
    ExportSpec,
    live::{Found, live},
    rows::NEURONS,
    sheet::Content,
    sweeps::{each, whole},
};
use crate::{
    base::{
        Ctx, Error, LongTable, Result,
        heatmap::ColourMap,
        long_table::LongRow,
        number::{self, sig3},
    },
    scan::DomainScan,
    task::{KneeCurve, Stability, TaskMatrix},
};

const NO_TASKS: &str = "no task's neurons are found: the Tasks panel does it under Find, `brodmann neurons` on the command line";
const NO_MATRIX: &str = "no cell of the matrix is measured: the Tasks panel does it under Prove, `brodmann prove` on the command line";

fn found<'a>(report: &Report<'a>) -> Result<&'a Found> {
    live(report, NO_TASKS)?.found.as_ref().filter(|f| !f.tasks.is_empty()).ok_or_else(|| Error::invalid(NO_TASKS))
}

fn matrix<'a>(report: &Report<'a>) -> Result<&'a TaskMatrix> {
    live(report, NO_MATRIX)?.matrix.as_deref().filter(|m| m.done() > 0).ok_or_else(|| Error::invalid(NO_MATRIX))
}

/// How the neurons lie over the layers, what the tasks share, how stable the sets are, and accuracy against k where it was measured.
pub fn found_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let found = found(report)?;
    let names: Vec<&str> = found.tasks.iter().map(|t| t.name.as_str()).collect();
    let mut first = vec![by_layer(report, found)];
    if names.len() > 1 {
        let sets: Vec<_> = found.tasks.iter().map(|t| t.set(found.percent, found.ranking)).collect();
        let jaccard = |i: usize, j: usize| sets[i].jaccard(&sets[j]).filter(|_| i != j);
        let values: Vec<Vec<Option<f64>>> = (0..sets.len()).map(|i| (0..sets.len()).map(|j| jaccard(i, j)).collect()).collect();
        let flat: Vec<f64> = values.iter().flatten().flatten().copied().collect();
        let square = Square {
            label: "Jaccard index of the tasks' sets",
            unit: "Jaccard index",
            range: (0.0, range_of(&flat).1),
            colours: spec.colours,
        };
        first.push(charts::table(report, &names, &names, &square, |i, j| values[i][j]));
    }
    let mut rows = vec![first];
    let (mut second, mut notes) = (Vec::new(), Vec::new());
    if found.tasks.iter().any(|t| !t.stability.is_empty()) {
        second.push(stability_picture(report, found));
        notes.push(
            "Stability: mean Jaccard index with the sets of bootstrap resamples, band: the middle 95 %; dotted: two random sets.".into(),
        );
    }
    if found.curves.iter().any(|c| c.has_accuracy() && !c.points.is_empty()) {
        second.push(curves_picture(report, &found.curves));
        let knees: Vec<String> = found.curves.iter().filter_map(|c| Some(format!("{} {} %", c.task, c.knee?.percent))).collect();
        let suggested = if knees.is_empty() { "none".to_owned() } else { knees.join(", ") };
        notes.push(format!(
            "Accuracy with the task's own top k % off (solid) and with random sets of the same layers (dashed). Suggested k: {suggested}."
        ));
    }
    if !second.is_empty() {
        rows.push(second);
    }
    let samples: Vec<String> = found.tasks.iter().map(|t| format!("{} {}", t.name, t.samples)).collect();
    Ok(Content {
        title: format!("Task neurons of {}", live(report, NO_TASKS)?.provenance.model),
        subtitle: format!("top {} % {}; samples: {}", sig3(found.percent), found.ranking.words(), samples.join(", ")),
        rows,
        notes,
    })
}

fn by_layer(report: &Report<'_>, found: &Found) -> Picture {
    let counts: Vec<Vec<usize>> = found.tasks.iter().map(|t| t.by_layer(&t.set(found.percent, found.ranking))).collect();
    let layers = counts.iter().map(Vec::len).max().unwrap_or(0);
    let most = counts.iter().flatten().map(|c| *c as f64);
    let x = Span { from: -0.5, to: layers as f64 - 0.5, log: false };
    let mut xy = Xy::new((560.0, 320.0), 120.0, x, Span::around(most, true));
    let mut labels = Vec::new();
    for (task, counts) in found.tasks.iter().zip(&counts) {
        let colour = report.colour(&task.name);
        let points: Vec<(f64, f64)> = counts.iter().enumerate().map(|(l, c)| (l as f64, *c as f64)).collect();
        xy.line(&points, &colour, 1.8, "", &task.name);
        for p in &points {
            xy.disc(*p, 2.4, &colour, &format!("{}, layer {}: {} neurons", task.name, p.0, p.1));
        }
        labels.extend(points.last().map(|p| (task.name.clone(), *p, colour)));
    }
    xy.end_labels(&labels);
    xy.finish("layer", "neurons of the set", "Neurons of each task's set by layer")
}

fn stability_picture(report: &Report<'_>, found: &Found) -> Picture {
    let all = || found.tasks.iter().flat_map(|t| &t.stability);
    let x = Span::log_around(all().map(|s| s.percent));
    let mut xy = Xy::new((560.0, 320.0), 120.0, x, Span { from: 0.0, to: 1.0, log: false });
    let mut labels = Vec::new();
    for task in &found.tasks {
        let colour = report.colour(&task.name);
        let of = |value: fn(&Stability) -> f64| -> Vec<(f64, f64)> { task.stability.iter().map(|s| (s.percent, value(s))).collect() };
        let band: Vec<(f64, f64, f64)> = task.stability.iter().map(|s| (s.percent, s.low, s.high)).collect();
        xy.band(&band, &colour);
        xy.line(&of(|s| s.chance), "var(--faint)", 1.0, "1.5 3", "two random sets");
        let mean = of(|s| s.mean);
        xy.line(&mean, &colour, 1.8, "", &task.name);
        labels.extend(mean.last().map(|p| (task.name.clone(), *p, colour)));
    }
    xy.end_labels(&labels);
    xy.finish("k: share of all neurons (%), logarithmic", "stability (Jaccard index)", "Stability of the sets against k")
}

fn curves_picture(report: &Report<'_>, curves: &[KneeCurve]) -> Picture {
    let shown: Vec<&KneeCurve> = curves.iter().filter(|c| c.has_accuracy() && !c.points.is_empty()).collect();
    let x = Span::log_around(shown.iter().flat_map(|c| c.points.iter().map(|p| p.percent)));
    let mut xy = Xy::new((560.0, 320.0), 120.0, x, Span { from: 0.0, to: 1.0, log: false });
    let mut labels = Vec::new();
    for curve in shown {
        let colour = report.colour(&curve.task);
        xy.line(&curve.random(), &colour, 1.0, "4 3", &format!("{}, random sets", curve.task));
        let points = curve.values();
        xy.line(&points, &colour, 1.8, "", &curve.task);
        for p in &points {
            xy.disc(*p, 2.4, &colour, &format!("{}, top {} % off: {}", curve.task, p.0, sig3(p.1)));
        }
        if let Some(p) = curve.knee.and_then(|k| points.iter().find(|p| p.0 == k.percent)) {
            xy.disc(*p, 5.0, &colour, &format!("{}: suggested k {} %", curve.task, p.0));
        }
        labels.extend(points.last().map(|p| (curve.task.clone(), *p, colour)));
    }
    xy.end_labels(&labels);
    xy.finish("k: own neurons off (%), logarithmic", "accuracy", "Accuracy with a task's own neurons off")
}

pub fn found_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let found = found(report)?;
    let mut rows = Vec::new();
    for task in &found.tasks {
        for n in task.set(found.percent, found.ranking).iter() {
            rows.push(LongRow {
                layer: Some(n.layer),
                module: NEURONS.into(),
                neuron: Some(n.index),
                domain: task.name.clone(),
                metric: format!("relevance_top_{}", found.percent),
                value: task.relevance.get(n.layer as usize, n.index as usize).map(f64::from),
                n: task.samples as u64,
                ..LongRow::default()
            });
        }
        for s in &task.stability {
            for (metric, value) in
                [("stability", s.mean), ("stability_low_95", s.low), ("stability_high_95", s.high), ("stability_chance", s.chance)]
            {
                rows.push(whole(&task.name, format!("{metric}_top_{}", s.percent), value, task.draws, None));
            }
        }
    }
    for curve in &found.curves {
        let n = curve.baseline.n;
        rows.extend(each(&curve.baseline).map(|(m, v)| whole(&curve.task, m, v, n, None)));
        for p in &curve.points {
            if let Some(t) = p.scores.first() {
                rows.extend(each(t).map(|(m, v)| whole(&curve.task, format!("{m}_off_{}", p.percent), v, t.n, None)));
            }
            for (seed, t) in p.controls.iter().enumerate().filter_map(|(s, c)| Some((s, c.first()?))) {
                rows.extend(each(t).map(|(m, v)| whole(&curve.task, format!("{m}_random_off_{}", p.percent), v, t.n, Some(seed as u64))));
            }
        }
        rows.extend(curve.knee.map(|k| whole(&curve.task, "suggested_k_percent".into(), k.percent, n, None)));
    }
    let p = &live(report, NO_TASKS)?.provenance;
    Ok(LongTable { rows, ..LongTable::new(&p.model, p.seed) })
}

/// The matrix at the share asked for (by `top_percent`, else the one nearest), beyond random beside it; means against k.
pub fn matrix_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let m = matrix(report)?;
    let names: Vec<&str> = m.plan.tasks.iter().map(String::as_str).collect();
    let apart = |p: f64| (p.max(1e-9) / spec.top_percent.max(1e-9)).ln().abs();
    let k = (0..m.plan.percents.len()).min_by(|&a, &b| apart(m.plan.percents[a]).total_cmp(&apart(m.plan.percents[b]))).unwrap_or(0);
    let choices = m.before.iter().any(|b| b.accuracy().is_some());
    let value = |set: usize, task: usize| {
        let t = m.get(k, set, task)?.totals;
        if choices { t.accuracy() } else { Some(t.loss? - m.before.get(task)?.loss?) }
    };
    let all: Vec<f64> = (0..names.len()).flat_map(|i| (0..names.len()).map(move |j| (i, j))).filter_map(|(i, j)| value(i, j)).collect();
    let (range, unit) =
        if choices { ((0.0, 1.0), "accuracy") } else { ((0.0, range_of(&all).1.max(0.05)), "rise of the loss, nat a token") };
    let square = Square { label: "Each task with each set off", unit, range, colours: spec.colours };
    let mut first = vec![charts::table(report, &names, &names, &square, value)];
    let beyond = |set: usize, task: usize| Some(m.get(k, set, task)?.totals.accuracy()? - m.random(k, set, task)?.0);
    let most = (0..names.len())
        .flat_map(|i| (0..names.len()).map(move |j| (i, j)))
        .filter_map(|(i, j)| beyond(i, j))
        .fold(0.05, |a: f64, v| a.max(v.abs()));
    if choices && m.plan.controls > 0 {
        let square =
            Square { label: "Beyond random", unit: "accuracy less random sets'", range: (most, -most), colours: ColourMap::BlueRed };
        first.push(charts::table(report, &names, &names, &square, beyond));
    }
    let mut rows = vec![first];
    if m.plan.percents.len() > 1 && choices {
        rows.push(vec![means_picture(m)]);
    }
    let percent = m.plan.percents.get(k).copied().unwrap_or_default();
    let n: Vec<String> = m.plan.tasks.iter().zip(&m.before).map(|(t, b)| format!("{t} {}", b.n)).collect();
    let mut notes = vec!["Rows: whose neurons are switched; columns: which task is scored.".to_owned()];
    if let Some(s) = m.summary(k) {
        let part = |name: &str, v: f64| format!("{name} {:.1} %", 100.0 * v);
        let mut parts = vec![part("nothing off", s.before)];
        parts.extend(s.random.map(|v| part("random", v)));
        parts.extend(s.other.map(|v| part("another task's", v)));
        parts.push(part("own", s.own));
        notes.push(format!("Mean accuracy over tasks at {percent} %: {}.", parts.join(", ")));
    }
    if m.done() < m.total {
        notes.push(format!("{} of {} cells measured; grey: not measured.", number::count(m.done() as u64), number::count(m.total as u64)));
    }
    let left: usize = m.left_out.iter().sum();
    if left > 0 {
        notes.push(format!("{} that chose neurons or k are not scored.", number::counted(left as u64, "row")));
    }
    Ok(Content {
        title: format!("Deactivation matrix of {} at k = {percent} %", m.provenance.model),
        subtitle: format!("{}; {}; questions: {}", m.sets, m.switched, n.join(", ")),
        rows,
        notes,
    })
}

/// Mean accuracy over tasks against k: own set off, another's, random.
fn means_picture(m: &TaskMatrix) -> Picture {
    let points: Vec<(f64, crate::task::Summary)> =
        m.plan.percents.iter().enumerate().filter_map(|(k, p)| Some((*p, m.summary(k)?))).collect();
    let x = Span::log_around(m.plan.percents.iter().copied());
    let mut xy = Xy::new((760.0, 320.0), 150.0, x, Span { from: 0.0, to: 1.0, log: false });
    let mut labels = Vec::new();
    let mut line = |values: Vec<(f64, f64)>, name: &str, ink: &str, dash: &str| {
        xy.line(&values, ink, 1.8, dash, name);
        for p in &values {
            xy.disc(*p, 2.6, ink, &format!("{name} at {} %: {}", p.0, sig3(p.1)));
        }
        labels.extend(values.last().map(|p| (name.to_owned(), *p, ink.to_owned())));
    };
    line(points.iter().map(|(p, s)| (*p, s.before)).collect(), "nothing off", "var(--faint)", "1.5 3");
    line(points.iter().filter_map(|(p, s)| Some((*p, s.random?))).collect(), "random sets", "var(--faint)", "4 3");
    line(points.iter().filter_map(|(p, s)| Some((*p, s.other?))).collect(), "another task's", "var(--d1)", "");
    line(points.iter().map(|(p, s)| (*p, s.own)).collect(), "own", "var(--text)", "");
    xy.end_labels(&labels);
    xy.finish("k: neurons off (%), logarithmic", "accuracy, mean over tasks", "Mean accuracy against k")
}

pub fn matrix_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let m = matrix(report)?;
    let name = |i: usize| m.plan.tasks.get(i).map_or("", String::as_str);
    let mut rows = Vec::new();
    for (task, before) in m.before.iter().enumerate() {
        rows.extend(each(before).map(|(metric, v)| whole(name(task), metric, v, before.n, None)));
    }
    for (id, cell) in &m.cells {
        let percent = if id.factor.is_some() { m.plan.percents.get(m.plan.scaled_at) } else { m.plan.percents.get(id.k) };
        let percent = percent.copied().unwrap_or_default();
        let switched = id.factor.and_then(|f| m.plan.factors.get(f)).map_or_else(|| "off".to_owned(), |f| format!("times_{f}"));
        let random = if id.seed.is_some() { "_random_like" } else { "" };
        let of = |metric: &str| format!("{metric}_{switched}{random}_top_{percent}_of_{}", name(id.set));
        let (t, seed) = (&cell.totals, id.seed.map(|s| s as u64));
        rows.extend(each(t).map(|(metric, v)| whole(name(id.task), of(&metric), v, t.n, seed)));
        if let Some((change, (low, high))) = cell.change().filter(|_| id.seed.is_none()) {
            for (metric, v) in [("change", change), ("change_low_95", low), ("change_high_95", high)] {
                rows.push(whole(name(id.task), of(metric), v, t.n, None));
            }
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&m.provenance.model, m.provenance.seed) })
}
