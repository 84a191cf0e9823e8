//! Domains clustered by LLMDcos: the dendrogram beside the matrix that it orders.

use super::{
    picture::Picture,
    svg::{escape, tick_text, ticks},
};
use crate::{base::dendrogram::Tree, scan::ScanOutput};
use std::{fmt::Write as _, ops::RangeInclusive};

/// Average linkage on 1 - mean LLMDcos over these layers; pairs without a value count as unlike (1).
pub fn tree_of(scan: &ScanOutput, names: &[&str], layers: RangeInclusive<usize>) -> Tree {
    let mean = |i: usize, j: usize| scan.pair(names[i], names[j]).and_then(|p| p.mean_over(layers.clone()));
    Tree::average_linkage(names.len(), |i, j| 1.0 - mean(i, j).unwrap_or(0.0))
}

/// The tree, its leaves at the left in rows of `cell` points from `top` on; as high as the matrix beside it.
pub fn dendrogram(tree: &Tree, names: &[&str], colours: &[String], (top, cell, height): (f64, f64, f64)) -> Picture {
    let (left, width) = (12.0, 260.0);
    let root = tree.height().max(1e-9);
    // A little room beyond the root for its stem.
    let scale = root * 1.08;
    let x = |h: f64| left + h / scale * (width - left - 16.0);
    let places = tree.places();
    let y = |cluster: usize| top + (places[cluster] + 0.5) * cell;
    let bottom = top + cell * tree.leaves() as f64;
    let mut out = String::new();
    for v in ticks(0.0, scale, 3) {
        let _ = write!(
            out,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            x(v),
            x(v),
            x(v),
            bottom + 16.0,
            tick_text(v)
        );
    }
    for m in &tree.merges {
        let (xa, xb, xm) = (x(tree.height_of(m.a)), x(tree.height_of(m.b)), x(m.height));
        let _ = write!(
            out,
            "<path d=\"M{xa:.1} {:.1}H{xm:.1}V{:.1}H{xb:.1}\" fill=\"none\" stroke=\"var(--text)\" stroke-width=\"1.4\"><title>{} leaves meet at {}</title></path>",
            y(m.a),
            y(m.b),
            m.size,
            tick_text(m.height)
        );
    }
    if let Some(last) = places.len().checked_sub(1).filter(|_| !tree.merges.is_empty()) {
        let _ = write!(out, "<path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"var(--text)\" stroke-width=\"1.4\"/>", x(root), y(last), x(scale));
    }
    for (i, name) in names.iter().enumerate() {
        let _ = write!(
            out,
            "<circle cx=\"{left}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{}\"><title>{}</title></circle>",
            y(i),
            colours[i],
            escape(name)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">1 − mean LLMDcos</text>",
        (left + width) / 2.0,
        bottom + 40.0
    );
    Picture { width, height, body: out, label: "Dendrogram of the domains".to_owned(), rasters: Vec::new() }
}
