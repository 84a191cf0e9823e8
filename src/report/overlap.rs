//! Drawings of what the domains' top neurons share: exclusive intersections (UpSet), and the overlap against the share that is taken.

use super::{
    Report,
    figures::top_sets,
    picture::Picture,
    svg::{Frame, escape, round_up, tick_text, ticks},
};
use crate::base::{
    number::{self, sig3},
    overlap::{Chance, Curves, SHARES, TopSets, upset as intersections},
};
use std::fmt::Write as _;

/// Columns of a drawing; smaller intersections are counted in its caption.
const MOST_COLUMNS: usize = 24;

/// The top sets of these domains by the report's metric, of those that have it.
pub fn top(report: &Report<'_>, names: &[&str]) -> TopSets {
    let sets = top_sets(report, names).into_iter().map(|(name, set)| (name.to_owned(), set));
    TopSets::of(sets, report.scan.n_layers, report.scan.d_mlp)
}

/// The UpSet plot, and how many intersections it leaves out.
pub fn upset(report: &Report<'_>, top: &TopSets) -> (Picture, usize) {
    let all = intersections(top);
    let shown = &all[..all.len().min(MOST_COLUMNS)];
    let colours: Vec<String> = top.names.iter().map(|n| report.colour(n)).collect();
    let (bars, names, sizes) = (150.0, 96.0, 120.0);
    let (row, column, top_pad) = (22.0, 24.0, 22.0);
    let left = sizes + names + 16.0;
    let rows = top.names.len() as f64;
    let width = (left + column * shown.len() as f64 + 24.0).max(420.0);
    let base = top_pad + bars;
    let highest = shown.iter().map(|c| (c.neurons.len() as f64).max(c.expected)).fold(1.0, f64::max);
    let scale = round_up(highest);
    let y = |v: f64| base - v / scale * bars;
    let mut out = String::new();
    for v in ticks(0.0, scale, 4) {
        let _ = write!(
            out,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" class=\"grid\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"end\">{}</text>",
            width - 16.0,
            y(v),
            y(v),
            left - 6.0,
            y(v) + 3.5,
            tick_text(v)
        );
    }
    let _ = write!(out, "<text x=\"{:.1}\" y=\"12\" class=\"axis\">neurons in exactly these domains</text>", left - 4.0);
    for (k, c) in shown.iter().enumerate() {
        let x = left + (k as f64 + 0.5) * column;
        let n = c.neurons.len();
        let members: Vec<&str> = c.members.iter().map(|&i| top.names[i].as_str()).collect();
        let title =
            format!("exactly {}: {}, {} expected by chance", members.join(" and "), number::counted(n as u64, "neuron"), sig3(c.expected));
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"{:.1}\" fill=\"var(--text)\" opacity=\"0.8\"><title>{}</title></rect><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--accent)\" stroke-width=\"2\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            x - 7.0,
            y(n as f64),
            (base - y(n as f64)).max(0.5),
            escape(&title),
            x - 10.0,
            x + 10.0,
            y(c.expected),
            y(c.expected),
            y((n as f64).max(c.expected)) - 4.0,
            number::short_count(n as u64)
        );
    }
    let widest = top.sets.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64;
    for (i, name) in top.names.iter().enumerate() {
        let at = base + 12.0 + (i as f64 + 0.5) * row;
        if i % 2 == 0 {
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{row}\" fill=\"var(--line)\" opacity=\"0.35\"/>",
                left - 2.0,
                at - row / 2.0,
                width - left - 14.0
            );
        }
        let n = top.sets[i].len();
        let bar = n as f64 / widest * (sizes - 44.0);
        let colour = &colours[i];
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"12\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"end\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" style=\"fill:{colour}\">{}</text>",
            sizes - bar,
            at - 6.0,
            sizes - bar - 5.0,
            at + 3.5,
            number::short_count(n as u64),
            sizes + 8.0,
            at + 4.0,
            escape(&number::elided(name, 9, 3))
        );
        for (k, c) in shown.iter().enumerate() {
            let x = left + (k as f64 + 0.5) * column;
            let _ = match c.members.contains(&i) {
                true => write!(out, "<circle cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"6\" fill=\"{colour}\"/>"),
                false => write!(out, "<circle cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"2.5\" fill=\"var(--ghost)\"/>"),
            };
        }
    }
    for (k, c) in shown.iter().enumerate() {
        if let (Some(first), Some(last)) = (c.members.first(), c.members.last()) {
            let x = left + (k as f64 + 0.5) * column;
            let at = |i: usize| base + 12.0 + (i as f64 + 0.5) * row;
            let _ = write!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--text)\" stroke-width=\"1.5\" opacity=\"0.55\"/>",
                at(*first),
                at(*last)
            );
        }
    }
    let height = base + 12.0 + rows * row + 26.0;
    let _ = write!(out, "<text x=\"{sizes:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"end\">set size</text>", height - 8.0);
    let label = "UpSet plot of the domains' top neurons".to_owned();
    (Picture { width, height, body: out, label, rasters: Vec::new() }, all.len() - shown.len())
}

/// Jaccard index against the share taken, on a logarithmic axis; the forward pair stands out, with its band of chance.
pub fn curves(names: &[&str], curves: &Curves, forward: (usize, usize)) -> Picture {
    let values = curves.pairs.iter().flat_map(|p| p.1.iter().flatten().copied());
    let top = values.chain(curves.chance.iter().flatten().map(|c| c.high)).fold(0.0, f64::max);
    let mut f = Frame::new(720.0, 340.0, 150.0, 1, (0.0, round_up(top)));
    let (from, to) = (SHARES.0.ln(), SHARES.1.ln());
    let at = |share: f64| (share.ln() - from) / (to - from) - 0.5;
    let points = |of: &dyn Fn(usize) -> Option<f64>| -> Vec<(f64, f64)> {
        curves.shares.iter().enumerate().filter_map(|(i, s)| Some((at(*s), of(i)?))).collect()
    };
    let chance = |pick: fn(&Chance) -> f64| points(&|i| curves.chance[i].as_ref().map(pick));
    let (low, high) = (chance(|c| c.low), chance(|c| c.high));
    let outline: Vec<String> = high.iter().chain(low.iter().rev()).map(|&(x, y)| format!("{:.1},{:.1}", f.x(x), f.y(y))).collect();
    f.push(&format!(
        "<polygon points=\"{}\" fill=\"var(--ghost)\" opacity=\"0.5\"><title>95 % of random sets</title></polygon>",
        outline.join(" ")
    ));
    for ((a, b), values) in curves.pairs.iter().filter(|p| p.0 != forward) {
        f.line(&points(&|i| values[i]), "var(--ghost)", 1.0, "", &format!("{} and {}", names[*a], names[*b]));
    }
    f.line(&chance(|c| c.expected), "var(--faint)", 1.2, "4 3", "expected by chance");
    let mut ends =
        vec![("by chance".to_owned(), curves.chance.last().copied().flatten().map_or(0.0, |c| c.expected), "var(--faint)".to_owned())];
    if let Some((_, values)) = curves.pairs.iter().find(|p| p.0 == forward) {
        let line = points(&|i| values[i]);
        let name = format!("{} and {}", names[forward.0], names[forward.1]);
        f.line(&line, "var(--text)", 1.8, "", &name);
        for (i, &(x, v)) in line.iter().enumerate() {
            f.dot(x, v, "var(--text)", &format!("top {} %: {}", sig3(curves.shares[i]), sig3(v)));
        }
        ends.push((number::elided(&name, 16, 4), line.last().map_or(0.0, |p| p.1), "var(--text)".to_owned()));
    }
    // End labels begin where a layer's last value would stand.
    f.end_labels_at(&ends, 0.5);
    let marks: Vec<(f64, String)> = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0].iter().map(|&s| (at(s), tick_text(s))).collect();
    f.finish_over(&marks, "share of all neurons taken, % (log)", "Jaccard", "Jaccard index against the share of neurons taken")
}
