//! All pairs of samples at one layer as a picture: cells as pixels, the domains as bands along both sides.

use super::{
    Report,
    charts::range_of,
    picture::{Picture, Raster},
    svg::{colour_bar, escape, tick_text, ticks},
};
use crate::{
    base::{
        heatmap::{ColourMap, raster::NAN_GROUND},
        number,
    },
    scan::SampleSimilarity,
};
use std::fmt::Write as _;

/// Points of the square.
const SIDE: f64 = 560.0;
/// Points of the domains' bands.
const BAND: f64 = 8.0;

/// Ends of the colours: the values off the diagonal.
pub fn range(s: &SampleSimilarity, layer: usize) -> (f64, f64) {
    let n = s.n();
    let off = (0..n * n).filter(|i| i / n != i % n).filter_map(|i| s.cosine(layer, i / n, i % n)).map(f64::from);
    range_of(&off.collect::<Vec<_>>())
}

pub fn matrix(report: &Report<'_>, s: &SampleSimilarity, layer: usize, colours: ColourMap, pixels: f64) -> Picture {
    let n = s.n();
    let (lo, hi) = range(s, layer);
    let (left, top) = (110.0, 30.0);
    let side = ((SIDE * pixels).round() as usize).max(n);
    let mut rgba = Vec::with_capacity(side * side * 4);
    for py in 0..side {
        for px in 0..side {
            // The pixel's middle: cells of equal width, none left out while pixels are as many.
            let at = |p: usize| ((2 * p + 1) * n / (2 * side)).min(n - 1);
            let colour = s.cosine(layer, at(py), at(px)).map_or(NAN_GROUND, |v| colours.at((f64::from(v) - lo) / (hi - lo)));
            rgba.extend([colour[0], colour[1], colour[2], 0xff]);
        }
    }
    let mut out = String::new();
    let cell = SIDE / n.max(1) as f64;
    for (d, rows) in s.domains.iter().zip(s.ranges()) {
        let (from, to) = (rows.start as f64 * cell, rows.end as f64 * cell);
        let colour = report.colour(&d.name);
        let name = escape(&number::elided(&d.name, 10, 3));
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{BAND}\" height=\"{:.1}\" fill=\"{colour}\"/><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAND}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{name}</text>",
            left - BAND - 2.0,
            top + from + 0.5,
            (to - from - 1.0).max(0.5),
            left + from + 0.5,
            top - BAND - 2.0,
            (to - from - 1.0).max(0.5),
            left - BAND - 8.0,
            top + (from + to) / 2.0 + 4.0
        );
    }
    let marks: Vec<(f64, String)> = ticks(lo, hi, 4).into_iter().map(|v| ((v - lo) / (hi - lo), tick_text(v))).collect();
    out.push_str(&colour_bar(colours, (left + SIDE / 2.0 - 160.0, top + SIDE + 14.0), 320.0, &marks, "LLMDcos of two samples"));
    let raster = Raster { x: left, y: top, width: SIDE, height: SIDE, pixels: (side as u32, side as u32), rgba };
    let label = format!("LLMDcos of {} at layer {layer}", number::counted(n as u64, "sample"));
    Picture { width: left + SIDE + 16.0, height: top + SIDE + 64.0, body: out, label, rasters: vec![raster] }
}
