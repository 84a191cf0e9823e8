//! The charts: density by layer, LLMDcos by pair and layer, overlap of the top neurons, accuracies. Each gives (picture, caption).

use super::{
    Report, charts,
    charts::{Square, box_floor, by_chance, range_of},
    overlap,
    svg::{domain_colour, escape},
};
use crate::{
    base::{NeuronSet, number, number::sig3},
    compute::cpu::Products,
    scan::{DomainScan, PairSeries, ScanOutput},
};
use std::fmt::Write as _;

type Figure = Option<(String, String)>;

pub fn density(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    let all: Vec<&DomainScan> = scan.domains.iter().collect();
    let picture = charts::density(report, &all, scan.config.gamma)?;
    let caption = format!(
        "<b>Density by layer.</b> Share of a block's linear weights whose activation |w · dD/dw|, averaged over the domain's samples, exceeds γ = {:e} (objective {}).",
        scan.config.gamma,
        escape(&scan.provenance.objective)
    );
    Some((picture.html(), caption))
}

fn names<'a>(report: &Report<'a>) -> Vec<&'a str> {
    report.scan.domains.iter().map(|d| d.name.as_str()).collect()
}

pub fn similarity(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    if scan.llmdcos.is_empty() {
        return None;
    }
    let values: Vec<f64> = scan.llmdcos.iter().filter_map(PairSeries::scalar).collect();
    let (lo, hi) = range_of(&values);
    let square = Square { label: "LLMDcos of every pair of domains", unit: "mean LLMDcos", range: (lo, hi), colours: report.map };
    let names = names(report);
    let matrix = charts::matrix(report, &names, &square, |a, b| scan.pair(a, b).and_then(PairSeries::scalar));
    let curves = charts::curves(report, &names);
    let first = scan.n_layers / 2;
    let last = scan.n_layers.saturating_sub(3).max(first);
    let layers = if first == last { format!("layer {first}") } else { format!("layers {first} to {last}") };
    let caption = format!(
        "<b>LLMDcos.</b> Left: cosine of two samples' parameter activations, mean over sample pairs and {layers}; colours from {} to {}. Right: mean by layer; coloured lines pair a domain with itself, grey ones two domains.",
        sig3(lo),
        sig3(hi)
    );
    Some((format!("<div class=\"pair\">{}{}</div>", matrix.html(), curves.html()), caption))
}

/// Box plots by layer of the most and the least alike two domains.
pub fn boxes(report: &Report<'_>) -> Figure {
    let scan = report.scan;
    let mut pairs: Vec<(&PairSeries, f64)> = scan.llmdcos.iter().filter(|p| p.a != p.b).filter_map(|p| Some((p, p.scalar()?))).collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut chosen: Vec<&PairSeries> = pairs.first().into_iter().chain(pairs.last()).map(|p| p.0).collect();
    chosen.dedup_by(|a, b| std::ptr::eq(*a, *b));
    if chosen.is_empty() {
        return None;
    }
    let lo = box_floor(chosen.iter().copied());
    let titled = |p: &&PairSeries| {
        let (a, b) = (report.colour(&p.a), report.colour(&p.b));
        format!(
            "<div><p class=\"sub\"><b style=\"color:{a}\">{}</b> and <b style=\"color:{b}\">{}</b> <span class=\"faint\">mean {}</span></p>{}</div>",
            escape(&p.a),
            escape(&p.b),
            p.scalar().map_or("undefined".into(), sig3),
            charts::box_plot(report, p, lo).html()
        )
    };
    let pictures: Vec<String> = chosen.iter().map(titled).collect();
    let caption = "<b>LLMDcos by layer, over sample pairs,</b> of the most alike and the least alike two domains. Box: quartiles and median; whiskers: the furthest value within 1.5 interquartile ranges; dots: values beyond.".to_owned();
    Some((format!("<div class=\"pair\">{}</div>", pictures.concat()), caption))
}

/// The top sets by the report's metric, of the domains that have it.
pub fn top_sets<'a>(report: &Report<'a>, names: &[&str]) -> Vec<(&'a str, NeuronSet)> {
    let shown = report.scan.domains.iter().filter(|d| names.contains(&d.name.as_str()));
    shown.filter_map(|d| Some((d.name.as_str(), NeuronSet::top_percent(d.map(report.metric)?, report.top_percent)))).collect()
}

/// Upper end of the colours of an overlap matrix: the largest value off the diagonal, rounded up.
pub fn overlap_top(sets: &[(&str, NeuronSet)]) -> f64 {
    let between = sets.iter().enumerate().flat_map(|(i, a)| sets[..i].iter().filter_map(|b| a.1.jaccard(&b.1)));
    ((between.fold(0.0, f64::max) * 10.0).ceil() / 10.0).max(0.1)
}

pub fn overlap(report: &Report<'_>) -> Figure {
    let names = names(report);
    let sets = top_sets(report, &names);
    if sets.len() < 2 {
        return None;
    }
    let set = |name: &str| sets.iter().find(|s| s.0 == name).map(|s| &s.1);
    let square =
        Square { label: "Jaccard overlap of top neurons", unit: "Jaccard index", range: (0.0, overlap_top(&sets)), colours: report.map };
    let matrix = charts::matrix(report, &names, &square, |a, b| if a == b { None } else { set(a)?.jaccard(set(b)?) });
    let layers = charts::layer_counts(report, &sets);
    let (size, all) = (sets[0].1.len(), report.scan.n_layers * report.scan.d_mlp);
    let caption = format!(
        "<b>Overlap of the top {} % of neurons</b> by {}, ranked over the whole model. Left: Jaccard index; two random sets of that size would have {}. Right: where these neurons lie.",
        report.top_percent,
        report.metric.label(),
        sig3(by_chance(size, size, all))
    );
    Some((format!("<div class=\"pair\">{}{}</div>", matrix.html(), layers.html()), caption))
}

pub fn upset(report: &Report<'_>) -> Figure {
    let top = overlap::top(report, &names(report));
    if top.names.len() < 2 {
        return None;
    }
    let (picture, left_out) = overlap::upset(report, &top);
    let more = if left_out > 0 { format!(" {} smaller ones are not shown.", number::count(left_out as u64)) } else { String::new() };
    let caption = format!(
        "<b>Exclusive intersections of the top {} % of neurons</b> by {}: how many lie in exactly the marked domains. Ticks: the size on average if each domain had its neurons at random places of the same layers.{more}",
        report.top_percent,
        report.metric.label()
    );
    Some((picture.html(), caption))
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
        format!(
            "<b>Accuracy with nothing switched off.</b> Multiple choice by log-likelihood; ± one standard error; Wilson intervals.{}",
            scored_apart(report)
        ),
    ))
}

/// Said of scores where the scan beside them was made in another arithmetic.
fn scored_apart(report: &Report<'_>) -> String {
    let (scores, scan) = (Products::named_in(report.scored_in), Products::named_in(&report.scan.provenance.dtype));
    if report.scored_in.is_empty() || scores == scan {
        return String::new();
    }
    format!(" Computed in {}, the scan in {}.", scores.arithmetic(), scan.arithmetic())
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
    let drawn: String = super::dumbbell::dumbbells(report, ablation).iter().map(super::picture::Picture::html).collect();
    out.insert_str(0, &drawn);
    let seeds = ablation.domains.iter().map(|d| d.controls.len()).max().unwrap_or(0);
    let caption = format!(
        "<b>{} off.</b> Accuracy before and after, ± one standard error; random control: mean ± standard deviation over {seeds} sets with as many neurons in each layer.",
        number::capital(&number::counted(ablation.neurons as u64, "neuron"))
    );
    let caption = format!("{caption}{}", scored_apart(report));
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
