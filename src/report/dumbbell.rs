//! Before and after, one row a domain: a hollow mark, a solid one, their intervals, and the random controls as a ghost.

use super::{
    Report,
    picture::Picture,
    svg::{escape, round_up, tick_text, ticks},
};
use crate::{
    ablate::{AblationReport, DomainAblation},
    base::{number, number::sig3, stats},
    eval::DomainScore,
};
use std::fmt::Write as _;

/// A value and its interval.
type Mark = (f64, Option<(f64, f64)>);

struct Row<'a> {
    name: &'a str,
    before: Mark,
    after: Mark,
    control: Option<Mark>,
    /// What guessing gives.
    chance: Option<f64>,
    /// Before, after, change, control, n, p.
    cells: [String; 6],
}

const LEFT: f64 = 120.0;
const PLOT: f64 = 400.0;
const ROW: f64 = 34.0;
const TOP: f64 = 26.0;
/// Titles and right ends of the columns, from the plot's right end.
const COLUMNS: [(&str, f64); 6] =
    [("before", 96.0), ("after", 188.0), ("change", 250.0), ("random control", 356.0), ("n", 400.0), ("McNemar p", 476.0)];

/// One drawing for the domains with choices (accuracy), one for the others (perplexity).
pub fn dumbbells(report: &Report<'_>, ablation: &AblationReport) -> Vec<Picture> {
    let (accuracy, perplexity): (Vec<_>, Vec<_>) = ablation.domains.iter().partition(|d| d.before.acc().is_some());
    let mut pictures = Vec::new();
    let rows: Vec<Row<'_>> = accuracy.into_iter().filter_map(accuracy_row).collect();
    if !rows.is_empty() {
        pictures.push(draw(report, &rows, (0.0, 1.0), "accuracy (share of questions answered right)"));
    }
    let rows: Vec<Row<'_>> = perplexity.into_iter().filter_map(perplexity_row).collect();
    if !rows.is_empty() {
        let most = rows.iter().flat_map(|r| [Some(r.before), Some(r.after), r.control]).flatten().map(|m| m.0).fold(1.0, f64::max);
        pictures.push(draw(report, &rows, (0.0, round_up(most)), "perplexity (lower is better)"));
    }
    pictures
}

fn spread(values: &[f64]) -> Option<Mark> {
    let mean = stats::mean(values)?;
    Some((mean, stats::std_dev(values).map(|s| (mean - s, mean + s))))
}

fn accuracy_row(d: &DomainAblation) -> Option<Row<'_>> {
    let mark = |s: &DomainScore| Some((s.acc()?, s.acc_interval()));
    let (before, after) = (mark(&d.before)?, mark(&d.after)?);
    let accs: Vec<f64> = d.controls.iter().filter_map(DomainScore::acc).collect();
    let shares: Vec<f64> = d.before.items.iter().map(|i| 1.0 / i.log_likelihoods.len().max(1) as f64).collect();
    Some(Row {
        name: &d.name,
        before,
        after,
        control: spread(&accs),
        chance: stats::mean(&shares),
        cells: [
            number::plus_minus(before.0, d.before.stderr()),
            number::plus_minus(after.0, d.after.stderr()),
            number::change(after.0 - before.0),
            d.control_mean().map_or_else(|| "–".into(), |m| number::plus_minus(m, d.control_std())),
            number::count(d.after.n() as u64),
            d.p_value().map_or_else(|| "–".into(), |p| if p < 1e-4 { "< 1e-4".into() } else { sig3(p) }),
        ],
    })
}

fn perplexity_row(d: &DomainAblation) -> Option<Row<'_>> {
    let (before, after) = (d.before.perplexity()?, d.after.perplexity()?);
    let controls: Vec<f64> = d.controls.iter().filter_map(DomainScore::perplexity).collect();
    let control = spread(&controls);
    Some(Row {
        name: &d.name,
        before: (before, None),
        after: (after, None),
        control,
        chance: None,
        cells: [
            sig3(before),
            sig3(after),
            format!("× {}", sig3(after / before)),
            control.map_or_else(|| "–".into(), |c| sig3(c.0)),
            number::count(d.after.n() as u64),
            "–".into(),
        ],
    })
}

fn draw(report: &Report<'_>, rows: &[Row<'_>], (lo, hi): (f64, f64), title: &str) -> Picture {
    let x = |v: f64| LEFT + (v.clamp(lo, hi) - lo) / (hi - lo) * PLOT;
    let bottom = TOP + rows.len() as f64 * ROW;
    let width = LEFT + PLOT + COLUMNS[COLUMNS.len() - 1].1 + 8.0;
    let mut out = String::new();
    for v in ticks(lo, hi, 5) {
        let at = x(v);
        let _ = write!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\" class=\"grid\"/><text x=\"{at:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            tick_text(v)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>",
        LEFT + PLOT / 2.0,
        bottom + 34.0,
        escape(title)
    );
    for (name, end) in COLUMNS {
        let _ = write!(out, "<text x=\"{:.1}\" y=\"15\" class=\"tick\" text-anchor=\"end\">{name}</text>", LEFT + PLOT + end);
    }
    for (i, row) in rows.iter().enumerate() {
        row_ui(&mut out, report, row, TOP + (i as f64 + 0.5) * ROW, &x);
    }
    legend(&mut out, bottom + 52.0, rows.iter().any(|r| r.chance.is_some()));
    Picture { width, height: bottom + 64.0, body: out, label: format!("Before and after the ablation: {title}"), rasters: Vec::new() }
}

fn row_ui(out: &mut String, report: &Report<'_>, row: &Row<'_>, y: f64, x: &dyn Fn(f64) -> f64) {
    let colour = report.colour(row.name);
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{}</text>",
        LEFT - 12.0,
        y + 4.0,
        escape(&number::elided(row.name, 12, 4))
    );
    if let Some((mean, band)) = row.control {
        let (a, b) = band.unwrap_or((mean, mean));
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"22\" rx=\"2\" fill=\"var(--faint)\" opacity=\"0.22\"/><line x1=\"{m:.1}\" x2=\"{m:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--faint)\" stroke-width=\"2\" opacity=\"0.6\"/>",
            x(a),
            y - 11.0,
            (x(b) - x(a)).max(1.0),
            y - 11.0,
            y + 11.0,
            m = x(mean)
        );
    }
    if let Some(chance) = row.chance {
        let _ = write!(
            out,
            "<line x1=\"{c:.1}\" x2=\"{c:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" class=\"axisline\" stroke-dasharray=\"2 2\"/>",
            y - 13.0,
            y + 13.0,
            c = x(chance)
        );
    }
    let (b, a) = (x(row.before.0), x(row.after.0));
    let _ = write!(out, "<line x1=\"{b:.1}\" x2=\"{a:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    for ((_, interval), at, opacity) in [(row.before, y - 4.0, 0.75), (row.after, y + 4.0, 1.0)] {
        if let Some((lo, hi)) = interval {
            let (lo, hi) = (x(lo), x(hi));
            let _ = write!(
                out,
                "<path d=\"M{lo:.1} {at:.1}H{hi:.1}M{lo:.1} {:.1}v6M{hi:.1} {:.1}v6\" stroke=\"{colour}\" stroke-width=\"1.25\" fill=\"none\" opacity=\"{opacity}\"/>",
                at - 3.0,
                at - 3.0
            );
        }
    }
    let _ = write!(
        out,
        "<circle cx=\"{b:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"var(--bg)\" stroke=\"{colour}\" stroke-width=\"1.75\"/><circle cx=\"{a:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/>",
        y - 4.0,
        y + 4.0
    );
    for (cell, (_, end)) in row.cells.iter().zip(COLUMNS) {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"cell\" text-anchor=\"end\" fill=\"var(--text)\">{}</text>",
            LEFT + PLOT + end,
            y + 4.0,
            escape(cell)
        );
    }
}

fn legend(out: &mut String, y: f64, chance: bool) {
    let mut x = LEFT;
    let mut entry = |mark: &str, word: &str, wide: f64| {
        let _ = write!(out, "<g transform=\"translate({x:.1} {y:.1})\">{mark}<text x=\"12\" y=\"4\" class=\"tick\">{word}</text></g>");
        x += wide;
    };
    entry("<circle r=\"4\" fill=\"var(--bg)\" stroke=\"var(--faint)\" stroke-width=\"1.5\"/>", "before", 66.0);
    entry("<circle r=\"4.5\" fill=\"var(--faint)\"/>", "after", 56.0);
    entry("<rect x=\"-5\" y=\"-6\" width=\"10\" height=\"12\" rx=\"2\" fill=\"var(--faint)\" opacity=\"0.3\"/>", "random control", 112.0);
    if chance {
        entry("<line y1=\"-6\" y2=\"6\" class=\"axisline\" stroke-dasharray=\"2 2\"/>", "chance", 60.0);
    }
}
