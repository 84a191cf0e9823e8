//! The charts: density by layer, LLMDcos by pair and layer, overlap of the top neurons, accuracies. Each gives (picture, caption).

use super::{
    Report,
    maps::capital,
    svg::{Frame, domain_colour, escape, round_up},
};
use crate::{
    base::{NeuronSet, heatmap::ColourMap, number, number::sig3, stats},
    scan::{PairSeries, ScanOutput},
};
use std::fmt::Write as _;

type Figure = Option<(String, String)>;

pub fn density(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    let all: Vec<_> = scan.domains.iter().filter(|d| !d.density.is_empty()).collect();
    let top = all.iter().flat_map(|d| &d.density).copied().fold(0.0, f64::max);
    if all.is_empty() {
        return None;
    }
    let mut f = Frame::new(720.0, 320.0, 130.0, scan.n_layers, (0.0, round_up(top)));
    let mut labels = Vec::new();
    for d in &all {
        let colour = report.colour(&d.name);
        let points: Vec<(f64, f64)> = d.density.iter().enumerate().map(|(l, &v)| (l as f64, v)).collect();
        f.line(&points, &colour, 1.8, "", &d.name);
        for (l, &v) in d.density.iter().enumerate() {
            let of = scan.params_per_layer.get(l).copied().unwrap_or(0);
            let title = format!(
                "{}, layer {l}: density {} ({} of {} weights)",
                d.name,
                sig3(v),
                number::count(d.activated_count[l]),
                number::count(of)
            );
            f.dot(l as f64, v, &colour, &title);
        }
        labels.push((d.name.clone(), d.density.last().copied().unwrap_or(0.0), colour));
    }
    f.end_labels(&labels);
    let caption = format!(
        "<b>Density by layer.</b> Share of a block's linear weights whose activation |w · dD/dw|, averaged over the domain's samples, exceeds γ = {:e} (objective {}).",
        scan.config.gamma,
        escape(&scan.provenance.objective)
    );
    Some((f.finish("density", "Density by layer for each domain"), caption))
}

/// Domain x domain, value in [0, 1] or absent.
fn matrix(report: &Report<'_>, label: &str, lo: f64, hi: f64, value: impl Fn(&str, &str) -> Option<f64>) -> String {
    let names: Vec<&str> = report.scan.domains.iter().map(|d| d.name.as_str()).collect();
    let n = names.len();
    let cell = (330.0 / n.max(1) as f64).clamp(22.0, 58.0);
    let (left, top) = (96.0, 70.0);
    let side = cell * n as f64;
    // The last column's slanted name reaches beyond the square.
    let (w, h) = (left + side + 44.0, top + side + 8.0);
    let mut out = format!("<svg viewBox=\"0 0 {w} {h}\" width=\"{w}\" role=\"img\" aria-label=\"{}\">", escape(label));
    for (i, a) in names.iter().enumerate() {
        let at = i as f64 * cell + cell / 2.0;
        let colour = report.colour(a);
        let name = escape(&number::elided(a, 9, 3));
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{name}</text><text transform=\"translate({:.1} {:.1}) rotate(-40)\" class=\"lab\" style=\"fill:{colour}\">{name}</text>",
            left - 8.0,
            top + at + 4.0,
            left + at - 2.0,
            top - 8.0
        );
        for (j, b) in names.iter().enumerate() {
            let (x, y) = (left + j as f64 * cell, top + i as f64 * cell);
            let Some(v) = value(a, b) else {
                let _ = write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell:.1}\" height=\"{cell:.1}\" class=\"none\"/>");
                continue;
            };
            let [r, g, bl] = ColourMap::Viridis.at((v - lo) / (hi - lo));
            let light = 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(bl);
            let ink = if light > 125.0 { "#10141a" } else { "#ffffff" };
            let text = if cell >= 34.0 { format!("{v:.2}") } else { format!("{v:.2}").trim_start_matches('0').to_owned() };
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"rgb({r} {g} {bl})\"><title>{} and {}: {}</title></rect><text x=\"{:.1}\" y=\"{:.1}\" class=\"cell\" text-anchor=\"middle\" style=\"fill:{ink}\">{text}</text>",
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
    out.push_str("</svg>");
    out
}

pub fn similarity(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    if scan.llmdcos.is_empty() {
        return None;
    }
    let values: Vec<f64> = scan.llmdcos.iter().filter_map(PairSeries::scalar).collect();
    let (lo, hi) = range_of(&values);
    let square = matrix(report, "LLMDcos of every pair of domains", lo, hi, |a, b| scan.pair(a, b).and_then(PairSeries::scalar));
    let curves = curves(report);
    let first = scan.n_layers / 2;
    let last = scan.n_layers.saturating_sub(3).max(first);
    let layers = if first == last { format!("layer {first}") } else { format!("layers {first} to {last}") };
    let caption = format!(
        "<b>LLMDcos.</b> Left: cosine of two samples' parameter activations, mean over sample pairs and {layers}; colours from {} to {}. Right: mean by layer; coloured lines pair a domain with itself, grey ones two domains.",
        sig3(lo),
        sig3(hi)
    );
    Some((format!("<div class=\"pair\">{square}{curves}</div>"), caption))
}

/// Ends of a colour scale that hold the values, never equal.
fn range_of(values: &[f64]) -> (f64, f64) {
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

fn curves(report: &Report<'_>) -> String {
    let scan = report.scan;
    let all: Vec<f64> = scan.llmdcos.iter().flat_map(layer_means).map(|p| p.1).collect();
    let (lo, hi) = range_of(&all);
    let mut f = Frame::new(520.0, 380.0, 112.0, scan.n_layers, (lo, hi));
    let mut labels = Vec::new();
    let (same, other): (Vec<_>, Vec<_>) = scan.llmdcos.iter().partition(|p| p.a == p.b);
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

/// Box plots by layer of the pair shown and of the most and least alike pairs.
pub fn boxes(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    let mut pairs: Vec<(&PairSeries, f64)> = scan.llmdcos.iter().filter(|p| p.a != p.b).filter_map(|p| Some((p, p.scalar()?))).collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut chosen: Vec<&PairSeries> = pairs.first().into_iter().chain(pairs.last()).map(|p| p.0).collect();
    chosen.dedup_by(|a, b| std::ptr::eq(*a, *b));
    if chosen.is_empty() {
        return None;
    }
    let lowest = chosen.iter().flat_map(|p| p.cosines.iter().flatten().flatten()).copied().fold(1.0f32, f32::min);
    let lo = (f64::from(lowest) * 10.0).floor() / 10.0;
    let pictures: Vec<String> = chosen.iter().map(|p| format!("<div>{}</div>", box_plot(report, p, lo))).collect();
    let caption = "<b>LLMDcos by layer, over sample pairs,</b> of the most alike and the least alike two domains. Box: quartiles and median; whiskers: the furthest value within 1.5 interquartile ranges; dots: values beyond.".to_owned();
    Some((format!("<div class=\"pair\">{}</div>", pictures.concat()), caption))
}

fn box_plot(report: &Report<'_>, p: &PairSeries, lo: f64) -> String {
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
    let title = format!(
        "<p class=\"sub\"><b style=\"color:{}\">{}</b> and <b style=\"color:{}\">{}</b> <span class=\"faint\">mean {}</span></p>",
        report.colour(&p.a),
        escape(&p.a),
        report.colour(&p.b),
        escape(&p.b),
        p.scalar().map_or("undefined".into(), sig3)
    );
    title + &f.finish("LLMDcos", &format!("Box plot of LLMDcos by layer, {} and {}", p.a, p.b))
}

pub fn overlap(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    let sets: Vec<(&str, NeuronSet)> = scan
        .domains
        .iter()
        .filter_map(|d| Some((d.name.as_str(), NeuronSet::top_percent(d.map(report.metric)?, report.top_percent))))
        .collect();
    if sets.len() < 2 {
        return None;
    }
    let set = |name: &str| sets.iter().find(|s| s.0 == name).map(|s| &s.1);
    let between: Vec<f64> = sets.iter().enumerate().flat_map(|(i, a)| sets[..i].iter().filter_map(|b| a.1.jaccard(&b.1))).collect();
    let hi = between.iter().copied().fold(0.0, f64::max);
    let hi = ((hi * 10.0).ceil() / 10.0).max(0.1);
    let square = matrix(report, "Jaccard overlap of top neurons", 0.0, hi, |a, b| if a == b { None } else { set(a)?.jaccard(set(b)?) });
    let layers = layer_counts(report, &sets);
    // Two independent random sets of share p share p^2 of all neurons and cover 2p - p^2.
    let p = report.top_percent / 100.0;
    let caption = format!(
        "<b>Overlap of the top {} % of neurons</b> by {}, ranked over the whole model. Left: Jaccard index; two random sets of that size would have {}. Right: where these neurons lie.",
        report.top_percent,
        report.metric.label(),
        sig3(p / (2.0 - p))
    );
    Some((format!("<div class=\"pair\">{square}{layers}</div>"), caption))
}

fn layer_counts(report: &Report<'_>, sets: &[(&str, NeuronSet)]) -> String {
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

pub fn accuracy(report: &Report<'_>) -> Figure {
    if report.scores.is_empty() {
        return None;
    }
    let mut out = String::from(
        "<table><thead><tr><th>domain</th><th class=\"n\">n</th><th class=\"n\">accuracy</th><th>95 % interval</th><th class=\"n\">length-normalised</th><th class=\"n\">loss (nat/token)</th><th class=\"n\">perplexity</th></tr></thead><tbody>",
    );
    let dash = || "–".to_owned();
    for s in report.scores {
        let acc = s.acc().map_or_else(dash, |a| number::plus_minus(a, s.stderr()));
        let bar =
            s.acc_interval().zip(s.acc()).map_or_else(String::new, |((lo, hi), a)| interval_bar(lo, hi, a, &report.colour(&s.domain)));
        let _ = write!(
            out,
            "<tr><td><b style=\"color:{}\">●</b> {}</td><td class=\"n\">{}</td><td class=\"n\">{acc}</td><td>{bar}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            report.colour(&s.domain),
            escape(&s.domain),
            number::count(s.n() as u64),
            s.acc_norm().map_or_else(dash, |a| format!("{a:.2}")),
            s.loss().map_or_else(dash, sig3),
            s.perplexity().map_or_else(dash, sig3),
        );
    }
    out.push_str("</tbody></table>");
    Some((
        out,
        "<b>Accuracy with nothing switched off.</b> Multiple choice by log-likelihood; ± one standard error; Wilson intervals.".into(),
    ))
}

fn interval_bar(lo: f64, hi: f64, value: f64, colour: &str) -> String {
    let x = |v: f64| 2.0 + 136.0 * v;
    format!(
        "<svg viewBox=\"0 0 140 16\" width=\"140\" role=\"img\" aria-label=\"{lo:.2} to {hi:.2}\"><line x1=\"2\" x2=\"138\" y1=\"8\" y2=\"8\" class=\"grid\"/><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"8\" y2=\"8\" stroke=\"{colour}\" stroke-width=\"3\" opacity=\"0.5\"/><circle cx=\"{:.1}\" cy=\"8\" r=\"3.2\" fill=\"{colour}\"/></svg>",
        x(lo),
        x(hi),
        x(value)
    )
}

pub fn ablation(report: &Report<'_>) -> Figure {
    let ablation = report.ablation?;
    let mut out = String::from(
        "<table><thead><tr><th>domain</th><th class=\"n\">n</th><th class=\"n\">before</th><th class=\"n\">after</th><th class=\"n\">change</th><th class=\"n\">random control</th></tr></thead><tbody>",
    );
    let dash = || "–".to_owned();
    for d in &ablation.domains {
        let both = d.before.acc().zip(d.after.acc());
        let _ = write!(
            out,
            "<tr><td><b style=\"color:{}\">●</b> {}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            report.colour(&d.name),
            escape(&d.name),
            number::count(d.after.n() as u64),
            d.before.acc().map_or_else(dash, |a| number::plus_minus(a, d.before.stderr())),
            d.after.acc().map_or_else(dash, |a| number::plus_minus(a, d.after.stderr())),
            both.map_or_else(dash, |(b, a)| number::change(a - b)),
            d.control_mean().map_or_else(dash, |m| number::plus_minus(m, d.control_std())),
        );
    }
    out.push_str("</tbody></table>");
    let seeds = ablation.domains.iter().map(|d| d.controls.len()).max().unwrap_or(0);
    let caption = format!(
        "<b>{} off.</b> Accuracy before and after, ± one standard error; random control: mean ± standard deviation over {seeds} sets with as many neurons in each layer.",
        capital(&number::counted(ablation.neurons as u64, "neuron"))
    );
    let left_out: Vec<String> = ablation
        .domains
        .iter()
        .filter(|d| d.left_out > 0)
        .map(|d| format!("{} of {}", number::count(d.left_out as u64), escape(&d.name)))
        .collect();
    let caption = if left_out.is_empty() {
        caption
    } else {
        format!("{caption} Rows that are not scored, since the neurons were chosen on them: {}.", left_out.join(", "))
    };
    Some((out, caption))
}

/// Colours of domains that a run names but nobody has given a colour.
pub fn colour_by_order(scan: &ScanOutput, name: &str) -> String {
    domain_colour(scan.domains.iter().position(|d| d.name == name).unwrap_or(7))
}
