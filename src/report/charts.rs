//! The drawings: density by layer, LLMDcos by pair and layer, overlap of the top neurons. Pages and files are made of them.

use super::{
    Report,
    picture::Picture,
    svg::{Frame, colour_bar_of, escape, round_up, tick_text, ticks},
};
use crate::{
    base::{NeuronSet, heatmap::ColourMap, number, number::sig3, stats},
    scan::{DomainScan, PairSeries, recount},
};
use std::fmt::Write as _;

/// Lines over layers, one a domain, at the run's own `gamma` or another ([`recount`]).
pub fn density(report: &Report<'_>, domains: &[&DomainScan], gamma: f32) -> Option<Picture> {
    let scan = report.scan;
    let all: Vec<_> = domains.iter().filter(|d| !d.density.is_empty()).collect();
    let params = |l: usize| scan.params_per_layer.get(l).copied().unwrap_or(0);
    let shares: Vec<Vec<Option<recount::Density>>> =
        all.iter().map(|d| (0..scan.n_layers).map(|l| recount::density(d, l, params(l), scan.config.gamma, gamma)).collect()).collect();
    let top = shares.iter().flatten().flatten().map(|d| d.share).fold(0.0, f64::max);
    if all.is_empty() {
        return None;
    }
    let mut f = Frame::new(720.0, 320.0, 130.0, scan.n_layers, (0.0, round_up(top)));
    let mut labels = Vec::new();
    for (d, shares) in all.iter().zip(&shares) {
        let colour = report.colour(&d.name);
        let known = || shares.iter().enumerate().filter_map(|(l, v)| v.map(|v| (l, v)));
        let points: Vec<(f64, f64)> = known().map(|(l, v)| (l as f64, v.share)).collect();
        f.line(&points, &colour, 1.8, "", &d.name);
        for (l, v) in known() {
            let title = format!(
                "{}, layer {l}: density {} ({} of {} weights)",
                d.name,
                sig3(v.share),
                number::count(v.count),
                number::count(params(l))
            );
            f.dot(l as f64, v.share, &colour, &title);
        }
        labels.push((d.name.clone(), points.last().map_or(0.0, |p| p.1), colour));
    }
    f.end_labels(&labels);
    Some(f.finish("density", "Density by layer for each domain"))
}

/// Domains with their colours in a line.
pub fn legend(report: &Report<'_>, names: &[&str]) -> Picture {
    let mut body = String::new();
    let mut x = 56.0;
    for name in names {
        let _ = write!(
            body,
            "<circle cx=\"{x:.1}\" cy=\"10\" r=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"14\" class=\"lab\" fill=\"var(--text)\">{}</text>",
            report.colour(name),
            x + 10.0,
            escape(name)
        );
        // Letters of Inter at 12 points, on average.
        x += 30.0 + 7.4 * name.chars().count() as f64;
    }
    Picture { width: x, height: 20.0, body, label: "Domains".into(), rasters: Vec::new() }
}

/// How a matrix of domains is coloured and called.
pub struct Square<'a> {
    pub label: &'a str,
    /// Title of the colour bar.
    pub unit: &'a str,
    /// Where the colours begin and end; the larger one first turns them round: a fall is red.
    pub range: (f64, f64),
    pub colours: ColourMap,
}

/// Where the rows of a matrix of `n` domains stand: top of the first, and height of each.
pub fn matrix_rows(n: usize) -> (f64, f64) {
    (70.0, (330.0 / n.max(1) as f64).clamp(22.0, 58.0))
}

/// Domain x domain with its numbers and colour bar; `value` absent: hatched grey.
pub fn matrix(report: &Report<'_>, names: &[&str], square: &Square<'_>, value: impl Fn(&str, &str) -> Option<f64>) -> Picture {
    table(report, names, names, square, |i, j| value(names[i], names[j]))
}

/// The same of two lists of domains, by their places: `value(row, column)`.
pub fn table(
    report: &Report<'_>,
    rows: &[&str],
    columns: &[&str],
    square: &Square<'_>,
    value: impl Fn(usize, usize) -> Option<f64>,
) -> Picture {
    let (lo, hi) = square.range;
    let (top, cell) = matrix_rows(rows.len().max(columns.len()));
    let left = 96.0;
    let (width, height) = (cell * columns.len() as f64, cell * rows.len() as f64);
    // The last column's slanted name reaches beyond the square.
    let (w, h) = (left + width + 44.0, top + height + 60.0);
    let mut out = String::new();
    let middle = |i: usize| i as f64 * cell + cell / 2.0;
    let shown = |name: &str| (report.colour(name), escape(&number::elided(name, 9, 3)));
    for (j, b) in columns.iter().enumerate() {
        let (colour, name) = shown(b);
        let _ = write!(
            out,
            "<text transform=\"translate({:.1} {:.1}) rotate(-40)\" class=\"lab\" style=\"fill:{colour}\">{name}</text>",
            left + middle(j) - 2.0,
            top - 8.0
        );
    }
    for (i, a) in rows.iter().enumerate() {
        let (colour, name) = shown(a);
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{name}</text>",
            left - 8.0,
            top + middle(i) + 4.0
        );
        for (j, b) in columns.iter().enumerate() {
            let (x, y) = (left + j as f64 * cell, top + i as f64 * cell);
            let Some(v) = value(i, j) else {
                let _ = write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell:.1}\" height=\"{cell:.1}\" class=\"none\"/>");
                continue;
            };
            let [r, g, bl] = square.colours.at((v - lo) / (hi - lo));
            let light = 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(bl);
            let ink = if light > 125.0 { "#10141a" } else { "#ffffff" };
            // What rounds to nothing has no sign.
            let text = format!("{v:.2}").replace("-0.00", "0.00");
            let text = if cell >= 34.0 { text } else { text.trim_start_matches('0').to_owned() };
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"rgb({r},{g},{bl})\"><title>{} and {}: {}</title></rect><text x=\"{:.1}\" y=\"{:.1}\" class=\"cell\" text-anchor=\"middle\" style=\"fill:{ink}\">{text}</text>",
                x + 0.5,
                y + 0.5,
                cell - 1.0,
                cell - 1.0,
                escape(a),
                escape(b),
                sig3(v),
                x + cell / 2.0,
                y + cell / 2.0 + 4.0
            );
        }
    }
    let (least, most) = (lo.min(hi), lo.max(hi));
    let marks: Vec<(f64, String)> = ticks(least, most, 4).into_iter().map(|v| ((v - least) / (most - least), tick_text(v))).collect();
    let colour = |v: f64| square.colours.at(if lo > hi { 1.0 - v } else { v });
    out.push_str(&colour_bar_of(colour, (left, top + height + 14.0), width, &marks, square.unit));
    Picture { width: w, height: h, body: out, label: square.label.to_owned(), rasters: Vec::new() }
}

/// Ends of a colour scale that hold the values, never equal.
pub fn range_of(values: &[f64]) -> (f64, f64) {
    let lo = values.iter().copied().fold(f64::INFINITY, f64::min);
    let hi = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !lo.is_finite() {
        return (0.0, 1.0);
    }
    let lo = (lo * 20.0).floor() / 20.0;
    (lo, ((hi * 20.0).ceil() / 20.0).max(lo + 0.05))
}

fn layer_means(p: &PairSeries) -> Vec<(f64, f64)> {
    p.per_layer_mean().into_iter().enumerate().filter_map(|(l, v)| Some((l as f64, v?))).collect()
}

/// Mean LLMDcos by layer: coloured lines pair a domain with itself, grey ones two domains.
pub fn curves(report: &Report<'_>, names: &[&str]) -> Picture {
    let scan = report.scan;
    let shown = |p: &&PairSeries| names.contains(&p.a.as_str()) && names.contains(&p.b.as_str());
    let all: Vec<f64> = scan.llmdcos.iter().filter(shown).flat_map(layer_means).map(|p| p.1).collect();
    let mut f = Frame::new(520.0, 380.0, 112.0, scan.n_layers, range_of(&all));
    let mut labels = Vec::new();
    let (same, other): (Vec<_>, Vec<_>) = scan.llmdcos.iter().filter(shown).partition(|p| p.a == p.b);
    for p in other {
        f.line(&layer_means(p), "var(--ghost)", 1.0, "", &format!("{} and {}", p.a, p.b));
    }
    for p in same {
        let (colour, points) = (report.colour(&p.a), layer_means(p));
        f.line(&points, &colour, 1.8, "", &format!("{} with itself", p.a));
        if let Some(last) = points.last() {
            labels.push((p.a.clone(), last.1, colour));
        }
    }
    f.end_labels(&labels);
    f.finish("LLMDcos, mean over pairs", "LLMDcos by layer")
}

/// Lower end of the axis of box plots of these pairs.
pub fn box_floor<'a>(pairs: impl Iterator<Item = &'a PairSeries>) -> f64 {
    let lowest = pairs.flat_map(|p| p.cosines.iter().flatten().flatten()).copied().fold(1.0f32, f32::min);
    (f64::from(lowest) * 10.0).floor() / 10.0
}

/// LLMDcos over sample pairs, a box a layer.
pub fn box_plot(report: &Report<'_>, p: &PairSeries, lo: f64) -> Picture {
    let mut f = Frame::new(490.0, 280.0, 12.0, report.scan.n_layers, (lo, 1.0));
    let half = (f.band() * 0.32).min(14.0);
    for l in 0..p.n_layers() {
        let mut v: Vec<f64> = p.cosines.iter().filter_map(|row| row[l]).map(f64::from).collect();
        v.sort_by(f64::total_cmp);
        let q = |at| stats::quantile_sorted(&v, at);
        let (Some(q1), Some(q2), Some(q3)) = (q(0.25), q(0.5), q(0.75)) else { continue };
        let reach = 1.5 * (q3 - q1);
        let inside = |x: &&f64| **x >= q1 - reach && **x <= q3 + reach;
        let low = v.iter().find(inside).copied().unwrap_or(q1);
        let high = v.iter().rev().find(inside).copied().unwrap_or(q3);
        let x = f.x(l as f64);
        let (y1, y2, y3, yl, yh) = (f.y(q1), f.y(q2), f.y(q3), f.y(low), f.y(high));
        f.push(&format!(
            "<g class=\"box\"><title>layer {l}: median {}, quartiles {} to {}, n {}</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{yl:.1}\" y2=\"{yh:.1}\"/><rect x=\"{:.1}\" y=\"{y3:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><line class=\"median\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y2:.1}\" y2=\"{y2:.1}\"/></g>",
            sig3(q2),
            sig3(q1),
            sig3(q3),
            v.len(),
            x - half,
            2.0 * half,
            (y1 - y3).max(0.5),
            x - half,
            x + half
        ));
        for beyond in v.iter().filter(|x| !inside(x)) {
            let y = f.y(*beyond);
            f.push(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\" class=\"beyond\"/>"));
        }
    }
    f.finish("LLMDcos", &format!("Box plot of LLMDcos by layer, {} and {}", p.a, p.b))
}

/// Share of each layer's neurons in each domain's top set.
pub fn layer_counts(report: &Report<'_>, sets: &[(&str, NeuronSet)]) -> Picture {
    let (layers, width) = (report.scan.n_layers, report.scan.d_mlp as f64);
    let share = |s: &NeuronSet, l: usize| s.layer(l).count() as f64 / width;
    let top = sets.iter().flat_map(|s| (0..layers).map(|l| share(&s.1, l))).fold(0.0, f64::max);
    let mut f = Frame::new(520.0, 380.0, 112.0, layers, (0.0, round_up(top * 100.0)));
    let mut labels = Vec::new();
    for (name, set) in sets {
        let colour = report.colour(name);
        let points: Vec<(f64, f64)> = (0..layers).map(|l| (l as f64, 100.0 * share(set, l))).collect();
        f.line(&points, &colour, 1.8, "", name);
        labels.push(((*name).to_owned(), points.last().map_or(0.0, |p| p.1), colour));
    }
    f.end_labels(&labels);
    f.finish("share of the layer's neurons, %", "Share of each layer's neurons in the top set")
}

/// Jaccard index of two sets inside each layer; `None` where neither has a neuron.
pub fn jaccard_by_layer(layers: usize, a: &NeuronSet, b: &NeuronSet) -> Vec<Option<f64>> {
    let (both, any) = (a.intersection(b), a.union(b));
    let of = |l: usize| {
        let any = any.layer(l).count();
        (any > 0).then(|| both.layer(l).count() as f64 / any as f64)
    };
    (0..layers).map(of).collect()
}

/// The Jaccard index of two domains' top sets by layer, beside what random sets would have.
pub fn shared_by_layer(report: &Report<'_>, (a, set_a): (&str, &NeuronSet), (b, set_b): (&str, &NeuronSet)) -> Picture {
    let layers = report.scan.n_layers;
    let values = jaccard_by_layer(layers, set_a, set_b);
    let chance = by_chance(set_a.len(), set_b.len(), layers * report.scan.d_mlp);
    let top = values.iter().flatten().copied().fold(chance, f64::max);
    let mut f = Frame::new(520.0, 280.0, 112.0, layers, (0.0, round_up(top)));
    let points: Vec<(f64, f64)> = values.iter().enumerate().filter_map(|(l, v)| Some((l as f64, (*v)?))).collect();
    let level: Vec<(f64, f64)> = [0, layers.saturating_sub(1)].map(|l| (l as f64, chance)).to_vec();
    f.line(&level, "var(--ghost)", 1.2, "4 3", "two random sets of these sizes");
    f.line(&points, "var(--text)", 1.8, "", &format!("{a} and {b}"));
    for &(l, v) in &points {
        f.dot(l, v, "var(--text)", &format!("layer {l}: {}", sig3(v)));
    }
    let last = points.last().map_or(0.0, |p| p.1);
    f.end_labels(&[("shared".to_owned(), last, "var(--text)".to_owned()), ("chance".to_owned(), chance, "var(--faint)".to_owned())]);
    f.finish("Jaccard", &format!("Jaccard index of the top neurons of {a} and {b} by layer"))
}

/// Jaccard index of two sets of these sizes that share as many neurons as random ones do on average (|A||B|/n of `n`).
pub fn by_chance(a: usize, b: usize, n: usize) -> f64 {
    let (a, b) = (a as f64, b as f64);
    let both = a * b / (n as f64).max(1.0);
    if a + b > 0.0 { both / (a + b - both) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaccard_of_layers_and_of_chance() {
        let set = |t: &str| NeuronSet::parse(t).expect("set");
        // Layer 0: {0 1 2} and {1 2 3}; layer 1: {0} and nothing; layer 2: nothing in either.
        let (a, b) = (set("L0N0-2,L1N0"), set("L0N1-3"));
        assert_eq!(jaccard_by_layer(3, &a, &b), [Some(0.5), Some(0.0), None]);
        // 4 * 4 / 8 = 2 shared of 6.
        assert!((by_chance(4, 4, 8) - 2.0 / 6.0).abs() < 1e-12);
        assert_eq!(by_chance(0, 0, 8), 0.0);
    }
}
