//! Predicted against measured: a scatter a quantity, and both numbers of every point.

use super::{
    super::{
        Report,
        picture::Picture,
        xy::{Span, Xy},
    },
    ExportSpec,
    live::{Live, Point, PointKind, live},
    sheet::Content,
};
use crate::{
    ablate::{Summary, predict},
    base::{
        Ctx, Error, LongTable, Result,
        long_table::{LongRow, MODEL},
        number::{self, sig3},
        stats,
    },
    scan::DomainScan,
};

struct Quantity {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    of: fn(&Summary) -> Option<f64>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity { id: "margin", title: "margin", unit: "nat", of: |s| s.margin },
    Quantity { id: "loss", title: "loss", unit: "nat a token", of: |s| s.loss },
    Quantity { id: "accuracy", title: "accuracy", unit: "points", of: |s| s.acc.map(|a| 100.0 * a) },
];

pub fn formula() -> String {
    format!("{}; {}", predict::FORMULA, predict::OBJECTIVE)
}

fn points<'a>(report: &Report<'a>) -> Result<&'a Live> {
    let none = "nothing was predicted and then measured: switch neurons off and wait until every question is scored";
    live(report, none).and_then(|l| if l.points.is_empty() { Err(Error::invalid(none)) } else { Ok(l) })
}

pub fn content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let live = points(report)?;
    let mut pictures = Vec::new();
    let mut notes = vec![
        "Discs: sets that were switched; crosses: their random controls; squares: units of a sweep. Dashed: predicted = measured."
            .to_owned(),
    ];
    for q in &QUANTITIES {
        let all: Vec<(&Point, f64, f64)> =
            live.points.iter().filter_map(|p| Some((p, (q.of)(&p.predicted)?, (q.of)(&p.measured)?))).collect();
        if all.is_empty() {
            continue;
        }
        pictures.push(scatter(report, q, &all));
        let (x, y): (Vec<f64>, Vec<f64>) = all.iter().map(|p| (p.1, p.2)).unzip();
        let errors: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (y - x).abs()).collect();
        let text = |v: Option<f64>| v.map_or("undefined".to_owned(), |v| format!("{v:.2}"));
        notes.push(format!(
            "Change of {}: Pearson {}, Spearman {}, mean |measured − predicted| {} {} over {}.",
            q.title,
            text(stats::pearson(&x, &y)),
            text(stats::spearman(&x, &y)),
            stats::mean(&errors).map_or("undefined".into(), sig3),
            q.unit,
            number::counted(all.len() as u64, "point")
        ));
    }
    let mut domains: Vec<&str> = Vec::new();
    for p in &live.points {
        if !domains.contains(&p.domain.as_str()) {
            domains.push(&p.domain);
        }
    }
    Ok(Content {
        title: format!("First-order predictions against measurements of {}", live.provenance.model),
        subtitle: format!("one point a set and domain; {}", domains.join(", ")),
        rows: vec![pictures, vec![super::super::charts::legend(report, &domains)]],
        notes,
    })
}

fn scatter(report: &Report<'_>, q: &Quantity, all: &[(&Point, f64, f64)]) -> Picture {
    let values = || all.iter().flat_map(|p| [p.1, p.2]);
    let both = Span::around(values(), true);
    let mut xy = Xy::new((380.0, 330.0), 14.0, both, both);
    xy.line(&[(both.from, both.from), (both.to, both.to)], "var(--faint)", 1.0, "4 3", "predicted = measured");
    for (p, x, y) in all {
        let colour = report.colour(&p.domain);
        let title = format!("{} ({}, {}), {}: predicted {}, measured {}", p.label, p.kind.word(), p.mode, p.domain, sig3(*x), sig3(*y));
        match p.kind {
            PointKind::Set => xy.disc((*x, *y), 3.2, &colour, &title),
            PointKind::Control => xy.cross((*x, *y), &colour, &title),
            PointKind::Sweep => xy.square((*x, *y), &colour, &title),
        }
    }
    let title = |what: &str| format!("{what} change of {} ({})", q.title, q.unit);
    xy.finish(&title("predicted"), &title("measured"), &format!("Predicted against measured change of {}", q.title))
}

pub fn table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let live = points(report)?;
    let mut rows = Vec::new();
    for (i, p) in live.points.iter().enumerate() {
        // A set of one has a place of its own; of any other the module says how many, and which change it was.
        let single = p.neurons.iter().next().filter(|_| p.neurons.len() == 1);
        for q in &QUANTITIES {
            for (which, value) in [("predicted", (q.of)(&p.predicted)), ("measured", (q.of)(&p.measured))] {
                if let Some(value) = value {
                    rows.push(LongRow {
                        layer: single.map(|n| n.layer),
                        module: if single.is_some() { super::rows::NEURONS.into() } else { MODEL.into() },
                        neuron: single.map(|n| n.index),
                        domain: p.domain.clone(),
                        metric: format!("{which}_change_of_{} [{} {}: {}, {}]", q.id, i + 1, p.kind.word(), p.label, p.mode),
                        value: Some(value),
                        n: p.n as u64,
                        ..LongRow::default()
                    });
                }
            }
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&live.provenance.model, live.provenance.seed) })
}
