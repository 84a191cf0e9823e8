//! What a change did to every domain: one row each, before and after, where there are any beside random controls.

use super::super::{
    Report,
    picture::Picture,
    svg::{escape, tick_text, ticks},
};
use crate::base::number::{self, sig3};
use std::fmt::Write as _;

/// One domain.
pub struct BeforeAfter<'a> {
    pub domain: &'a str,
    pub before: f64,
    pub after: f64,
    /// Mean and standard deviation of random sets of the same size.
    pub controls: Option<(f64, f64)>,
    /// Items, where they are known.
    pub n: Option<usize>,
}

/// Hollow: before; filled: after; bar: controls. The axis goes from 0 to `most`.
pub fn before_after(report: &Report<'_>, rows: &[BeforeAfter<'_>], most: f64, axis: &str) -> Picture {
    const LEFT: f64 = 120.0;
    const WIDTH: f64 = 500.0;
    const ROW: f64 = 26.0;
    let at = |v: f64| LEFT + WIDTH * (v / most).clamp(0.0, 1.0);
    let height = ROW * rows.len() as f64;
    let mut body = String::new();
    for v in ticks(0.0, most, 5) {
        let _ = write!(
            body,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{height:.1}\" class=\"grid\"/><text x=\"{0:.1}\" y=\"{1:.1}\" class=\"tick\" text-anchor=\"middle\">{2}</text>",
            at(v),
            height + 14.0,
            tick_text(v)
        );
    }
    for (i, row) in rows.iter().enumerate() {
        let (y, colour) = (ROW * (i as f64 + 0.5), report.colour(row.domain));
        if let Some((mean, sd)) = row.controls {
            let (a, b) = (at(mean - sd), at(mean + sd));
            let _ = write!(
                body,
                "<rect x=\"{a:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" fill=\"var(--ghost)\"/>",
                y - 6.0,
                (b - a).max(2.0)
            );
        }
        let (before, after) = (at(row.before), at(row.after));
        let n = row.n.map_or(String::new(), |n| format!(", n {n}"));
        let _ = write!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{}</text><line x1=\"{before:.1}\" x2=\"{after:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"1.5\"/><circle cx=\"{before:.1}\" cy=\"{y}\" r=\"4\" fill=\"var(--bg)\" stroke=\"{colour}\" stroke-width=\"1.5\"/><circle cx=\"{after:.1}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\">{} → {}{n}</text>",
            LEFT - 10.0,
            y + 4.0,
            escape(&number::elided(row.domain, 12, 4)),
            LEFT + WIDTH + 14.0,
            y + 4.0,
            sig3(row.before),
            sig3(row.after)
        );
    }
    let _ = write!(
        body,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>",
        LEFT + WIDTH / 2.0,
        height + 32.0,
        escape(axis)
    );
    Picture { width: LEFT + WIDTH + 150.0, height: height + 40.0, body, label: "Domains before and after".into(), rasters: Vec::new() }
}
