//! Sweeps: one unit at a time, accuracy against k, and the search that breaks a domain.

use super::{
    super::{
        Report,
        picture::Picture,
        svg::{colour_bar, escape, tick_text},
        xy::{Span, Xy},
    },
    ExportSpec,
    before_after::{BeforeAfter, before_after},
    live::{Search, live},
    neurons::paint,
    rows::{BLOCK, NEURONS},
    sheet::Content,
};
use crate::{
    ablate::{KCurve, Sweep, SweepMeasure, SweepUnit, Totals, UnitId},
    base::{
        Ctx, Error, LongTable, NeuronSet, Result,
        heatmap::{ColourMap, Scale, Summary},
        long_table::{LongRow, MODEL},
        number::{self, sig3},
        stats,
    },
    scan::DomainScan,
};
use std::fmt::Write as _;

const NO_UNITS: &str = "no unit has been measured: start a sweep in the Sweep panel, or with `brodmann sweep`";
const NO_CURVE: &str = "no k has been measured: measure the curve in the Sweep panel, or with `brodmann sweep`";
const NO_BREAK: &str = "no search has added a neuron: start one in the Sweep panel, or with `brodmann break`";

fn units<'a>(report: &Report<'a>) -> Result<&'a Sweep> {
    live(report, NO_UNITS)?.units.as_deref().filter(|s| s.done() > 0).ok_or_else(|| Error::invalid(NO_UNITS))
}

fn curve<'a>(report: &Report<'a>) -> Result<&'a KCurve> {
    live(report, NO_CURVE)?.curve.as_deref().filter(|c| !c.points.is_empty()).ok_or_else(|| Error::invalid(NO_CURVE))
}

fn search<'a>(report: &Report<'a>) -> Result<&'a Search> {
    let found = live(report, NO_BREAK)?.broken.as_ref();
    found.filter(|s| !s.steps.is_empty()).ok_or_else(|| Error::invalid(NO_BREAK))
}

fn measures(sweep: &Sweep) -> impl Iterator<Item = SweepMeasure> {
    SweepMeasure::ALL.into_iter().filter(|m| sweep.baseline.get(*m).is_some())
}

pub fn units_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<Content> {
    let sweep = units(report)?;
    let mut rows = Vec::new();
    for measure in measures(sweep) {
        ctx.check()?;
        rows.push(vec![match sweep.spec.unit {
            SweepUnit::Layer => layers_picture(report, sweep, measure),
            _ => map_picture(spec, sweep, measure)?,
        }]);
    }
    let n = number::counted(sweep.baseline.n as u64, "item");
    Ok(Content {
        title: format!("Each {} of {} switched by itself", sweep.spec.unit, sweep.provenance.model),
        subtitle: format!(
            "{} over {}, {n}; {} of {} measured; change against nothing switched",
            sweep.spec.mode.words(),
            sweep.domain,
            number::count(sweep.done() as u64),
            number::count(sweep.total as u64)
        ),
        rows,
        notes: if sweep.done() < sweep.total { vec!["Grey hatched: not measured.".to_owned()] } else { Vec::new() },
    })
}

/// Layers x units of one measure's change, on a scale of its own around zero.
fn map_picture(spec: &ExportSpec, sweep: &Sweep, measure: SweepMeasure) -> Result<Picture> {
    const LEFT: f64 = 52.0;
    const WIDTH: f64 = 960.0;
    let grid = sweep.grid(measure);
    let summary = Summary::at(&grid, spec.percentile);
    let scale = Scale::fit(&summary, spec.scale, true);
    let row = (220.0 / sweep.n_layers.max(1) as f64).clamp(4.0, 26.0).floor();
    let height = row * sweep.n_layers as f64;
    let top = 22.0;
    let mut body = format!("<text x=\"{LEFT}\" y=\"14\" class=\"lab\" fill=\"var(--text)\">change of {}</text>", escape(measure.label()));
    let bare = ExportSpec { off: NeuronSet::new(), ..spec.clone() };
    let raster = paint(&grid, None, &bare, &scale, ColourMap::BlueRed, (LEFT, top, WIDTH, height))?;
    let every = (11.0 / row).ceil().max(1.0) as usize;
    for l in (0..sweep.n_layers).step_by(every) {
        let y = top + (l as f64 + 0.5) * row + 3.5;
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{y:.1}\" class=\"tick\" text-anchor=\"end\">L{l}</text>", LEFT - 6.0);
    }
    let mut y = top + height;
    for v in super::super::svg::ticks(0.0, sweep.width.saturating_sub(1) as f64, 10).into_iter().filter(|v| v.fract() == 0.0) {
        let x = LEFT + (v + 0.5) / sweep.width.max(1) as f64 * WIDTH;
        let _ = write!(
            body,
            "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            y + 14.0,
            number::count(v as u64)
        );
    }
    let _ = write!(
        body,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>",
        LEFT + WIDTH / 2.0,
        y + 30.0,
        sweep.spec.unit
    );
    y += 42.0;
    let marks: Vec<(f64, String)> = scale.ticks(6).into_iter().map(|v| (scale.position(v), tick_text(v))).collect();
    let title = format!("change of {} ({}), {}", measure.label(), measure.unit(), scale.label());
    body.push_str(&colour_bar(ColourMap::BlueRed, (LEFT + WIDTH / 2.0 - 260.0, y), 520.0, &marks, &title));
    let label = format!("Change of {} by {}", measure.label(), sweep.spec.unit);
    Ok(Picture { width: LEFT + WIDTH + 12.0, height: y + 50.0, body, label, rasters: vec![raster] })
}

fn layers_picture(report: &Report<'_>, sweep: &Sweep, measure: SweepMeasure) -> Picture {
    let grid = sweep.grid(measure);
    let points: Vec<(f64, f64)> =
        grid.values().iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(l, v)| (l as f64, f64::from(*v))).collect();
    let x = Span { from: -0.5, to: sweep.n_layers as f64 - 0.5, log: false };
    let mut xy = Xy::new((760.0, 260.0), 120.0, x, Span::around(points.iter().map(|p| p.1), true));
    let colour = report.colour(&sweep.domain);
    xy.line(&[(x.from, 0.0), (x.to, 0.0)], "var(--faint)", 1.0, "4 3", "nothing switched");
    xy.line(&points, &colour, 1.8, "", &sweep.domain);
    for p in &points {
        xy.disc(*p, 2.6, &colour, &format!("layer {}: {}", p.0, sig3(p.1)));
    }
    if let Some(last) = points.last() {
        xy.end_labels(&[(sweep.domain.clone(), *last, colour)]);
    }
    let title = format!("change of {} ({})", measure.label(), measure.unit());
    xy.finish("layer that is switched", &title, &format!("Change of {} by layer", measure.label()))
}

pub fn units_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let sweep = units(report)?;
    let module = match sweep.spec.unit {
        SweepUnit::Neuron => NEURONS,
        SweepUnit::Head => "attn.hook_z",
        SweepUnit::Layer => BLOCK,
    };
    let mut rows = Vec::new();
    for (i, totals) in sweep.effects.iter().enumerate() {
        let (Some(totals), id) = (totals, UnitId { layer: i / sweep.width.max(1), index: i % sweep.width.max(1) }) else { continue };
        for measure in measures(sweep) {
            let Some((value, before)) = totals.get(measure).zip(sweep.baseline.get(measure)) else { continue };
            let name = measure.label().replace(' ', "_");
            for (metric, value) in [(format!("{name}_switched"), value), (format!("change_of_{name}"), value - before)] {
                rows.push(LongRow {
                    layer: Some(id.layer as u32),
                    module: module.into(),
                    neuron: (sweep.spec.unit != SweepUnit::Layer).then_some(id.index as u32),
                    domain: sweep.domain.clone(),
                    metric,
                    value: Some(value),
                    n: totals.n as u64,
                    ..LongRow::default()
                });
            }
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&sweep.provenance.model, sweep.provenance.seed) })
}

fn shown(curve: &KCurve) -> (fn(&Totals) -> Option<f64>, &'static str) {
    if curve.baseline.iter().any(|b| b.accuracy().is_some()) {
        (Totals::accuracy, "accuracy (share of questions answered right)")
    } else {
        (|t| t.loss, "loss (nat a token)")
    }
}

pub fn curve_content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let curve = curve(report)?;
    let (value, title) = shown(curve);
    let x = Span::log_around(curve.points.iter().map(|p| p.percent));
    let controls = |p: &crate::ablate::KPoint, d: usize| {
        let all: Vec<f64> = p.controls.iter().filter_map(|c| value(c.get(d)?)).collect();
        Some((stats::mean(&all)?, stats::std_dev(&all).unwrap_or(0.0)))
    };
    let all = curve.points.iter().flat_map(|p| {
        let own = p.scores.iter().filter_map(&value).collect::<Vec<_>>();
        own.into_iter().chain((0..curve.domains.len()).filter_map(|d| controls(p, d).map(|c| c.0)).collect::<Vec<_>>())
    });
    let accuracies = title.starts_with("accuracy");
    let y = if accuracies { Span { from: 0.0, to: 1.0, log: false } } else { Span::around(all, false) };
    let mut xy = Xy::new((900.0, 420.0), 140.0, x, y);
    let mut labels = Vec::new();
    for (d, name) in curve.domains.iter().enumerate() {
        let colour = report.colour(name);
        let random: Vec<(f64, f64, f64)> =
            curve.points.iter().filter_map(|p| controls(p, d).map(|(m, s)| (p.percent, m - s, m + s))).collect();
        if !random.is_empty() {
            xy.band(&random, &colour);
            let mean: Vec<(f64, f64)> = random.iter().map(|r| (r.0, f64::midpoint(r.1, r.2))).collect();
            xy.line(&mean, &colour, 1.0, "4 3", &format!("{name}, random sets"));
        }
        let points: Vec<(f64, f64)> = curve.points.iter().filter_map(|p| Some((p.percent, value(p.scores.get(d)?)?))).collect();
        xy.line(&points, &colour, 1.8, "", name);
        for p in &points {
            xy.disc(*p, 2.8, &colour, &format!("{name}, top {} %: {}", p.0, sig3(p.1)));
        }
        labels.extend(points.last().map(|p| (name.clone(), *p, colour.clone())));
    }
    xy.end_labels(&labels);
    let n: Vec<String> = curve.domains.iter().zip(&curve.baseline).map(|(d, t)| format!("{d} {}", t.n)).collect();
    Ok(Content {
        title: format!("Accuracy against k of {}", curve.provenance.model),
        subtitle: format!("top k % by {} switched; items: {}", curve.ranking, n.join(", ")),
        rows: vec![vec![xy.finish("k: share of all neurons switched (%), logarithmic", title, "Accuracy against k")]],
        notes: vec!["Dashed with band: random sets of the same size in each layer, mean ± standard deviation.".to_owned()],
    })
}

/// Accuracy, margin and loss there are of a score.
pub(super) fn each(totals: &Totals) -> impl Iterator<Item = (String, f64)> {
    let t = *totals;
    SweepMeasure::ALL.into_iter().filter_map(move |m| Some((m.label().replace(' ', "_"), t.get(m)?)))
}

pub(super) fn whole(domain: &str, metric: String, value: f64, n: usize, seed: Option<u64>) -> LongRow {
    LongRow { module: MODEL.into(), domain: domain.to_owned(), metric, value: Some(value), n: n as u64, seed, ..LongRow::default() }
}

pub fn curve_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let curve = curve(report)?;
    let mut rows = Vec::new();
    for (d, name) in curve.domains.iter().enumerate() {
        if let Some(t) = curve.baseline.get(d) {
            rows.extend(each(t).map(|(m, v)| whole(name, m, v, t.n, None)));
        }
        for p in &curve.points {
            if let Some(t) = p.scores.get(d) {
                rows.extend(each(t).map(|(m, v)| whole(name, format!("{m}_top_{}", p.percent), v, t.n, None)));
            }
            for (seed, t) in p.controls.iter().enumerate().filter_map(|(s, c)| Some((s, c.get(d)?))) {
                rows.extend(each(t).map(|(m, v)| whole(name, format!("{m}_random_{}", p.percent), v, t.n, Some(seed as u64))));
            }
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&curve.provenance.model, curve.provenance.seed) })
}

pub fn break_content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let search = search(report)?;
    let model = &live(report, NO_BREAK)?.provenance.model;
    let x = Span { from: 0.5, to: search.steps.len() as f64 + 0.5, log: false };
    let at = |of: fn(&crate::ablate::BreakStep) -> f64| -> Vec<(f64, f64)> {
        search.steps.iter().enumerate().map(|(i, s)| (i as f64 + 1.0, of(s))).collect()
    };
    let (damage, others) = (at(|s| s.damage), at(|s| s.others));
    let y = Span::around(damage.iter().chain(&others).map(|p| p.1), true);
    let mut xy = Xy::new((760.0, 300.0), 150.0, x, y);
    let colour = report.colour(&search.domain);
    xy.line(&others, "var(--faint)", 1.4, "4 3", "mean over the other domains");
    xy.line(&damage, &colour, 1.8, "", &search.domain);
    for (p, s) in damage.iter().zip(&search.steps) {
        xy.disc(*p, 2.8, &colour, &format!("{} added: damage {}, merit {}", s.neuron, sig3(s.damage), sig3(s.merit)));
    }
    let last = |points: &[(f64, f64)]| points.last().copied().unwrap_or_default();
    xy.end_labels(&[
        (search.domain.clone(), last(&damage), colour.clone()),
        ("other domains".to_owned(), last(&others), "var(--faint)".to_owned()),
    ]);
    let mut rows = vec![vec![xy.finish("neurons in the set", "damage (sd of the items' own values)", "Damage of the growing set")]];
    let mut notes = Vec::new();
    if let Some(outcome) = &search.outcome {
        rows.push(vec![judged(report, outcome)]);
        notes.push("Judged on the items that the search has not seen. Hollow: before; filled: after; bar: random sets of the same size, mean ± standard deviation.".to_owned());
        notes.push(format!("The set: {}", outcome.set));
    } else {
        notes.push("The search was stopped before the set was judged.".to_owned());
    }
    Ok(Content {
        title: format!("A set that breaks {} and spares the others, in {model}", search.domain),
        subtitle: match &search.outcome {
            Some(o) => format!(
                "{} of {} candidates; accuracy of {} {} threshold {}",
                number::counted(o.set.len() as u64, "neuron"),
                number::count(o.candidates as u64),
                o.domain,
                if o.reached { "came down to the" } else { "did not come down to the" },
                sig3(o.threshold)
            ),
            None => format!("{} so far", number::counted(search.steps.len() as u64, "neuron")),
        },
        rows,
        notes,
    })
}

fn judged(report: &Report<'_>, outcome: &crate::ablate::Broken) -> Picture {
    let mut rows = Vec::new();
    for j in &outcome.judged {
        let Some((before, after)) = j.before.accuracy().zip(j.after.accuracy()) else { continue };
        let controls: Vec<f64> = j.controls.iter().filter_map(Totals::accuracy).collect();
        let controls = stats::mean(&controls).map(|m| (m, stats::std_dev(&controls).unwrap_or(0.0)));
        rows.push(BeforeAfter { domain: &j.domain, before, after, controls, n: Some(j.before.n) });
    }
    before_after(report, &rows, 1.0, "accuracy")
}

pub fn break_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let search = search(report)?;
    let provenance = &live(report, NO_BREAK)?.provenance;
    let mut rows = Vec::new();
    for (i, s) in search.steps.iter().enumerate() {
        let all = [("accuracy", s.accuracy), ("damage", Some(s.damage)), ("damage_of_others", Some(s.others)), ("merit", Some(s.merit))];
        for (metric, value) in all.into_iter().filter(|m| m.1.is_some()) {
            rows.push(LongRow {
                layer: Some(s.neuron.layer),
                module: NEURONS.into(),
                neuron: Some(s.neuron.index),
                domain: search.domain.clone(),
                metric: format!("{metric}_after_step_{}", i + 1),
                value,
                n: i as u64 + 1,
                ..LongRow::default()
            });
        }
    }
    for j in search.outcome.iter().flat_map(|o| &o.judged) {
        for (part, t, seed) in [("before", &j.before, None), ("after", &j.after, None)]
            .into_iter()
            .chain(j.controls.iter().enumerate().map(|(s, t)| ("random", t, Some(s as u64))))
        {
            rows.extend(each(t).map(|(m, v)| whole(&j.domain, format!("{m}_{part}"), v, t.n, seed)));
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&provenance.model, provenance.seed) })
}
