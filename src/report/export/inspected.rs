//! The inspector on a sheet: one neuron's histograms, relevance, texts and logit lens; one head's reach, relevance and attention on a text.

use super::{
    super::{
        Report,
        picture::{Picture, Raster},
        svg::{colour_bar, escape, tick_text, ticks},
        xy::{Span, Xy},
    },
    ExportSpec,
    live::{HeadSheet, NeuronSheet, Piece, live},
    rows::NEURONS,
    sheet::Content,
};
use crate::{
    base::{
        Ctx, Error, LongTable, Result,
        heatmap::ColourMap,
        long_table::LongRow,
        number::{self, sig3},
        visible,
    },
    inspect::symlog,
    scan::DomainScan,
};
use std::fmt::Write as _;

const NO_NEURON: &str = "no neuron is looked at, or it is not indexed yet: point at one and wait for the index of activations";
const NO_HEAD: &str = "no head is looked at: choose one in a map of heads";

fn neuron<'a>(report: &Report<'a>) -> Result<&'a NeuronSheet> {
    live(report, NO_NEURON)?.neuron.as_ref().ok_or_else(|| Error::invalid(NO_NEURON))
}

fn head<'a>(report: &Report<'a>) -> Result<&'a HeadSheet> {
    live(report, NO_HEAD)?.head.as_ref().ok_or_else(|| Error::invalid(NO_HEAD))
}

pub fn neuron_content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let sheet = neuron(report)?;
    let p = &live(report, NO_NEURON)?.provenance;
    let (n, facts) = (sheet.facts.neuron, &sheet.facts);
    let mut first = vec![histograms(report, sheet)];
    if !sheet.relevance.is_empty() {
        first.push(bars(report, &sheet.relevance, "relevance"));
    }
    let mut rows = vec![first];
    if !sheet.texts.is_empty() {
        rows.push(vec![texts(report, sheet)]);
    }
    if !sheet.promotes.is_empty() {
        rows.push(vec![words(&sheet.promotes, "makes likelier"), words(&sheet.suppresses, "less likely")]);
    }
    let mut notes = vec![format!(
        "Histograms: tokens by activation, logarithmic counts; the axis is linear below {} and logarithmic above (symlog), one for all domains.",
        sig3(f64::from(facts.turn))
    )];
    if !sheet.promotes.is_empty() {
        notes.push(format!("Logit lens: {}.", sheet.lens_formula));
    }
    let tokens: usize = facts.stats.iter().map(|s| s.tokens).sum();
    Ok(Content {
        title: format!("{n} of {}", p.model),
        subtitle: format!("blocks.{}.mlp.hook_post[{}]; {}", n.layer, n.index, number::counted(tokens as u64, "token")),
        rows,
        notes,
    })
}

/// One row a domain, on one axis of activation.
fn histograms(report: &Report<'_>, sheet: &NeuronSheet) -> Picture {
    const LEFT: f64 = 110.0;
    const WIDTH: f64 = 420.0;
    const ROW: f64 = 44.0;
    let facts = &sheet.facts;
    let bins = facts.edges.len().saturating_sub(1).max(1);
    let place = |v: f32| f64::from(symlog::position(v, facts.turn));
    let (lo, hi) = facts.edges.first().zip(facts.edges.last()).map_or((0.0, 1.0), |(a, b)| (place(*a), place(*b)));
    let x = |v: f32| LEFT + WIDTH * if hi > lo { (place(v) - lo) / (hi - lo) } else { 0.5 };
    let top = facts.histogram.iter().flatten().copied().max().unwrap_or(1);
    let height = |c: u16| (ROW - 10.0) * f64::from(1 + u32::from(c)).ln() / f64::from(1 + u32::from(top)).ln().max(1e-9);
    let mut body = String::new();
    for (d, (name, counts)) in sheet.domains.iter().zip(&facts.histogram).enumerate() {
        let (base, colour) = ((d as f64 + 1.0) * ROW, report.colour(name));
        let _ = write!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{}</text><line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{base:.1}\" y2=\"{base:.1}\" class=\"grid\"/>",
            LEFT - 10.0,
            base - 8.0,
            escape(&number::elided(name, 11, 3)),
            LEFT + WIDTH
        );
        for (i, &c) in counts.iter().enumerate().take(bins).filter(|c| *c.1 > 0) {
            let (a, b) = (x(facts.edges[i]), x(facts.edges[i + 1]));
            let h = height(c);
            let title = format!(
                "{name}, {} to {}: {}",
                sig3(f64::from(facts.edges[i])),
                sig3(f64::from(facts.edges[i + 1])),
                number::counted(u64::from(c), "token")
            );
            let _ = write!(
                body,
                "<rect x=\"{a:.2}\" y=\"{:.1}\" width=\"{:.2}\" height=\"{h:.1}\" fill=\"{colour}\"><title>{}</title></rect>",
                base - h,
                (b - a - 0.4).max(0.6),
                escape(&title)
            );
        }
        if let Some(s) = facts.stats.get(d) {
            let _ = write!(
                body,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\">mean {}, max {}, n {}</text>",
                LEFT + WIDTH + 10.0,
                base - 8.0,
                sig3(f64::from(s.mean)),
                sig3(f64::from(s.max)),
                number::count(s.tokens as u64)
            );
        }
    }
    let bottom = ROW * sheet.domains.len() as f64;
    // Ends, zero and the turn: what the axis is read by.
    let (first, last) = facts.edges.first().zip(facts.edges.last()).map_or((0.0, 1.0), |(a, b)| (*a, *b));
    let mut taken: Vec<f64> = Vec::new();
    for v in [0.0, first, last, facts.turn, -facts.turn].into_iter().filter(|v| (first..=last).contains(v)) {
        let at = x(v);
        if taken.iter().any(|t| (t - at).abs() < 44.0) {
            continue;
        }
        taken.push(at);
        let _ = write!(
            body,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\" class=\"axisline\"/><text x=\"{at:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            bottom + 4.0,
            bottom + 16.0,
            if v == 0.0 { "0".to_owned() } else { sig3(f64::from(v)) }
        );
    }
    let _ = write!(
        body,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">activation (mlp.hook_post)</text>",
        LEFT + WIDTH / 2.0,
        bottom + 34.0
    );
    Picture {
        width: LEFT + WIDTH + 190.0,
        height: bottom + 42.0,
        body,
        label: "Histograms of the activation by domain".into(),
        rasters: Vec::new(),
    }
}

/// One bar a domain.
fn bars(report: &Report<'_>, values: &[(String, f32)], title: &str) -> Picture {
    const LEFT: f64 = 110.0;
    const WIDTH: f64 = 200.0;
    let top = values.iter().map(|v| v.1.abs()).fold(f32::MIN_POSITIVE, f32::max);
    let mut body = format!("<text x=\"{LEFT}\" y=\"14\" class=\"axis\">{}</text>", escape(title));
    for (i, (name, v)) in values.iter().enumerate() {
        let (y, colour) = (24.0 + 24.0 * i as f64, report.colour(name));
        let w = WIDTH * f64::from(v.abs() / top);
        let _ = write!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" text-anchor=\"end\" style=\"fill:{colour}\">{}</text><rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"14\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\">{}</text>",
            LEFT - 10.0,
            y + 11.0,
            escape(&number::elided(name, 11, 3)),
            LEFT + w + 6.0,
            y + 11.0,
            sig3(f64::from(*v))
        );
    }
    Picture { width: LEFT + WIDTH + 70.0, height: 30.0 + 24.0 * values.len() as f64, body, label: title.to_owned(), rasters: Vec::new() }
}

/// Lines of text with the token that drives the neuron set off.
fn texts(report: &Report<'_>, sheet: &NeuronSheet) -> Picture {
    let mut body = "<text x=\"56\" y=\"14\" class=\"axis\">texts that activate it most, the token set off</text>".to_owned();
    let mut y = 36.0;
    for t in &sheet.texts {
        let around = |from: usize, to: usize| -> String { t.tokens[from..to].iter().map(|p| visible::inline(&p.piece)).collect() };
        let at = t.at.min(t.tokens.len().saturating_sub(1));
        let (before, token, after) =
            (around(0, at), around(at, (at + 1).min(t.tokens.len())), around((at + 1).min(t.tokens.len()), t.tokens.len()));
        let line = t.line.map_or(String::new(), |l| format!(":{l}"));
        let _ = write!(
            body,
            "<text x=\"100\" y=\"{y:.1}\" class=\"tick\" text-anchor=\"end\">{}</text><text x=\"112\" y=\"{y:.1}\" class=\"tick\" style=\"fill:{}\">{}{line}</text><text x=\"250\" y=\"{y:.1}\" font-size=\"12\" fill=\"var(--text)\" xml:space=\"preserve\">{}<tspan font-weight=\"600\" text-decoration=\"underline\">{}</tspan>{}</text>",
            sig3(f64::from(t.value)),
            report.colour(&t.domain),
            escape(&number::elided(&t.domain, 12, 3)),
            escape(&end_of(&before, 60)),
            escape(&token),
            escape(&number::elided(&after, 50, 0))
        );
        y += 20.0;
    }
    Picture { width: 1000.0, height: y, body, label: "Texts that activate the neuron most".into(), rasters: Vec::new() }
}

/// The last `most` characters.
fn end_of(text: &str, most: usize) -> String {
    let n = text.chars().count();
    if n <= most { text.to_owned() } else { format!("…{}", text.chars().skip(n - most).collect::<String>()) }
}

fn words(all: &[Piece], title: &str) -> Picture {
    let mut body = format!("<text x=\"56\" y=\"14\" class=\"axis\">{} (logit)</text>", escape(title));
    for (i, w) in all.iter().enumerate() {
        let y = 34.0 + 18.0 * i as f64;
        let _ = write!(
            body,
            "<text x=\"56\" y=\"{y:.1}\" font-size=\"12\" fill=\"var(--text)\" xml:space=\"preserve\">{}</text><text x=\"300\" y=\"{y:.1}\" class=\"tick\" text-anchor=\"end\">{}</text>",
            escape(&visible::alone(&w.piece)),
            sig3(f64::from(w.value))
        );
    }
    Picture { width: 320.0, height: 40.0 + 18.0 * all.len() as f64, body, label: title.to_owned(), rasters: Vec::new() }
}

fn row(place: (u32, u32), module: &str, domain: &str, metric: String, value: f32, n: usize) -> LongRow {
    LongRow {
        layer: Some(place.0),
        module: module.to_owned(),
        neuron: Some(place.1),
        domain: domain.to_owned(),
        metric,
        value: crate::base::long_table::decimal(value),
        n: n as u64,
        ..LongRow::default()
    }
}

pub fn neuron_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let sheet = neuron(report)?;
    let p = &live(report, NO_NEURON)?.provenance;
    let facts = &sheet.facts;
    let at = (facts.neuron.layer, facts.neuron.index);
    let mut rows = Vec::new();
    for (name, s) in sheet.domains.iter().zip(&facts.stats) {
        let all = [("mean", s.mean), ("std", s.std), ("mean_abs", s.mean_abs), ("min", s.min), ("max", s.max)];
        rows.extend(all.map(|(m, v)| row(at, NEURONS, name, format!("activation_{m}"), v, s.tokens)));
        rows.extend(s.sparsity.map(|v| row(at, NEURONS, name, "activation_sparsity".into(), v, s.tokens)));
    }
    for ((name, counts), s) in sheet.domains.iter().zip(&facts.histogram).zip(&facts.stats) {
        for (i, &c) in counts.iter().enumerate() {
            let metric = format!("tokens_from_{}_to_{}", facts.edges[i], facts.edges[i + 1]);
            rows.push(row(at, NEURONS, name, metric, f32::from(c), s.tokens));
        }
    }
    for (name, v) in &sheet.relevance {
        rows.push(row(at, NEURONS, name, "relevance".into(), *v, report.scan.domain(name).map_or(0, |d| d.samples)));
    }
    for (i, t) in sheet.texts.iter().enumerate() {
        let domain = t.line.map_or_else(|| t.domain.clone(), |l| format!("{}:{l}", t.domain));
        for (k, piece) in t.tokens.iter().enumerate() {
            let metric = format!("activation [text {}, token {} {}]", i + 1, t.first + k, visible::alone(&piece.piece));
            rows.push(row(at, NEURONS, &domain, metric, piece.value, 1));
        }
    }
    for (name, all) in [("promotes", &sheet.promotes), ("suppresses", &sheet.suppresses)] {
        rows.extend(all.iter().map(|w| row(at, NEURONS, "", format!("logit [{name} {}]", visible::alone(&w.piece)), w.value, 1)));
    }
    Ok(LongTable { rows, ..LongTable::new(&p.model, p.seed) })
}

pub fn head_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let sheet = head(report)?;
    let p = &live(report, NO_HEAD)?.provenance;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let mut first = Vec::new();
    if let Some(facts) = &sheet.facts {
        first.push(reach(&facts.by_offset));
        let z: Vec<(String, f32)> = sheet.domains.iter().cloned().zip(facts.z_norm.iter().copied()).collect();
        first.push(bars(report, &z, "mean length of hook_z"));
        notes.push(format!(
            "{} % to the first token on average, entropy {} bits.",
            sig3(100.0 * f64::from(facts.first_token)),
            sig3(f64::from(facts.entropy_bits))
        ));
    }
    if !first.is_empty() {
        rows.push(first);
    }
    let mut second = Vec::new();
    if !sheet.pieces.is_empty() {
        second.push(pattern(sheet, spec));
    }
    if !sheet.relevance.is_empty() {
        second.push(bars(report, &sheet.relevance, "relevance of the head"));
    }
    if !second.is_empty() {
        rows.push(second);
    }
    if !sheet.writes.is_empty() {
        notes.push(format!("Right of each row: the token that the head's output there makes likeliest. {}.", sheet.lens_formula));
    }
    if rows.is_empty() {
        return Err(Error::invalid(NO_HEAD));
    }
    Ok(Content {
        title: format!("{} of {}", sheet.head, p.model),
        subtitle: format!("blocks.{}.attn.hook_pattern[{}]", sheet.head.layer, sheet.head.index),
        rows,
        notes,
    })
}

fn reach(by_offset: &[f32]) -> Picture {
    let last = by_offset.len().saturating_sub(1);
    let x = Span { from: -0.5, to: last as f64 + 0.5, log: false };
    let mut xy = Xy::new((560.0, 240.0), 14.0, x, Span::around(by_offset.iter().map(|v| f64::from(*v)), true));
    let points: Vec<(f64, f64)> = by_offset.iter().enumerate().map(|(i, v)| (i as f64, f64::from(*v))).collect();
    xy.line(&points, "var(--text)", 1.6, "", "mean attention by distance");
    for p in &points {
        xy.disc(*p, 2.0, "var(--text)", &format!("{} back: {}", p.0, sig3(p.1)));
    }
    xy.finish(&format!("tokens back (the last: {last} or more)"), "mean attention", "Mean attention by distance")
}

/// Queries from top to bottom, keys from left to right.
fn pattern(sheet: &HeadSheet, spec: &ExportSpec) -> Picture {
    let n = sheet.pieces.len();
    const LEFT: f64 = 110.0;
    const TOP: f64 = 22.0;
    let cell = (460.0 / n.max(1) as f64).min(22.0);
    let side = cell * n as f64;
    let pixels = ((side * f64::from(spec.pixels)).round() as usize).max(n);
    let none: [u8; 3] = if spec.dark { [0x24, 0x28, 0x30] } else { [0xee, 0xf0, 0xf3] };
    let mut rgba = Vec::with_capacity(pixels * pixels * 4);
    let at = |p: usize| ((2 * p + 1) * n / (2 * pixels)).min(n - 1);
    for py in 0..pixels {
        for px in 0..pixels {
            let (q, k) = (at(py), at(px));
            let c = if k > q { none } else { spec.colours.at(f64::from(sheet.pattern.get(q * n + k).copied().unwrap_or(0.0))) };
            rgba.extend([c[0], c[1], c[2], 0xff]);
        }
    }
    let mut body = format!("<text x=\"{LEFT}\" y=\"14\" class=\"axis\">attention: rows look, columns are looked at</text>");
    if cell >= 9.0 {
        for (i, piece) in sheet.pieces.iter().enumerate() {
            let y = TOP + (i as f64 + 0.5) * cell + 3.5;
            let _ = write!(
                body,
                "<text x=\"{:.1}\" y=\"{y:.1}\" class=\"tick\" text-anchor=\"end\" xml:space=\"preserve\">{}</text>",
                LEFT - 6.0,
                escape(&number::elided(&visible::alone(piece), 12, 2))
            );
            if let Some((likely, _)) = sheet.writes.get(i) {
                let _ = write!(
                    body,
                    "<text x=\"{:.1}\" y=\"{y:.1}\" class=\"tick\" xml:space=\"preserve\">{} {}</text>",
                    LEFT + side + 8.0,
                    escape(&number::elided(&visible::alone(&likely.piece), 12, 2)),
                    sig3(f64::from(likely.value))
                );
            }
        }
    }
    let marks: Vec<(f64, String)> = ticks(0.0, 1.0, 4).into_iter().map(|v| (v, tick_text(v))).collect();
    body.push_str(&colour_bar(spec.colours, (LEFT, TOP + side + 10.0), side.max(160.0), &marks, "attention"));
    let raster = Raster { x: LEFT, y: TOP, width: side, height: side, pixels: (pixels as u32, pixels as u32), rgba };
    debug_assert!(spec.colours != ColourMap::BlueRed);
    Picture {
        width: LEFT + side.max(160.0) + 130.0,
        height: TOP + side + 60.0,
        body,
        label: format!("Attention of {}", sheet.head),
        rasters: vec![raster],
    }
}

pub fn head_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let sheet = head(report)?;
    let p = &live(report, NO_HEAD)?.provenance;
    let at = (sheet.head.layer, sheet.head.index);
    let mut rows = Vec::new();
    let mut add = |module: &str, domain: &str, metric: String, value: f32, n: usize| rows.push(row(at, module, domain, metric, value, n));
    if let Some(facts) = &sheet.facts {
        facts.by_offset.iter().enumerate().for_each(|(i, v)| add("attn.hook_pattern", "", format!("mean_attention_{i}_back"), *v, 1));
        add("attn.hook_pattern", "", "mean_attention_to_first".into(), facts.first_token, 1);
        add("attn.hook_pattern", "", "mean_entropy_bits".into(), facts.entropy_bits, 1);
        sheet.domains.iter().zip(&facts.z_norm).for_each(|(d, v)| add("attn.hook_z", d, "mean_length".into(), *v, 1));
    }
    for (name, v) in &sheet.relevance {
        add("attn.hook_z", name, "relevance".into(), *v, report.scan.domain(name).map_or(0, |d| d.samples));
    }
    let n = sheet.pieces.len();
    let name = |i: usize| format!("{i} {}", visible::alone(&sheet.pieces[i]));
    for q in 0..n {
        for k in 0..=q {
            let value = sheet.pattern.get(q * n + k).copied().unwrap_or(f32::NAN);
            add("attn.hook_pattern", "", format!("attention [{} on {}]", name(q), name(k)), value, 1);
        }
    }
    for (i, (likely, unlikely)) in sheet.writes.iter().enumerate().take(n) {
        for (what, w) in [("promotes", likely), ("suppresses", unlikely)] {
            add("attn.hook_z", "", format!("logit [at {} {what} {}]", name(i), visible::alone(&w.piece)), w.value, 1);
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&p.model, p.seed) })
}
