//! A run as one HTML file: figures as inline SVG and PNG, no script, no link to anywhere, light and dark. And single views of it as files
//! ([`export`]).

mod charts;
mod dumbbell;
pub mod export;
mod figures;
mod maps;
pub mod neuron_order;
mod overlap;
mod picture;
mod samples;
mod svg;
mod tree;
mod xy;

use crate::{
    ablate::AblationReport,
    base::{heatmap::ColourMap, number},
    eval::DomainScore,
    model::ModelInfo,
    scan::{MetricKind, SampleSimilarity, ScanOutput},
};
use std::{fmt::Write as _, time::Duration};
use svg::escape;

/// What a report shows.
pub struct Report<'a> {
    pub scan: &'a ScanOutput,
    pub model: Option<&'a ModelInfo>,
    /// Metric of the neuron maps and of the overlap.
    pub metric: MetricKind,
    pub top_percent: f64,
    /// Accuracy with nothing off; may be empty.
    pub scores: &'a [DomainScore],
    /// What scores and ablation were computed in, as provenance names it; empty without any.
    pub scored_in: &'a str,
    pub ablation: Option<&'a AblationReport>,
    /// Palette numbers of domains that have one.
    pub colours: &'a [(String, usize)],
    /// Of magnitudes in matrices.
    pub map: ColourMap,
    /// All pairs of the run's samples, for some layers.
    pub samples: Option<&'a SampleSimilarity>,
    /// The run beside it.
    pub other: Option<&'a ScanOutput>,
    /// What the open program measured and no run holds.
    pub live: Option<&'a export::Live>,
}

impl Report<'_> {
    fn colour(&self, name: &str) -> String {
        match self.colours.iter().find(|c| c.0 == name) {
            Some(c) => svg::domain_colour(c.1),
            None => figures::colour_by_order(self.scan, name),
        }
    }
}

/// The metric of the maps: `wanted` where the run has it, else the first that it has.
pub fn metric_of(scan: &ScanOutput, wanted: MetricKind) -> MetricKind {
    let has = |m: MetricKind| scan.domains.iter().any(|d| d.map(m).is_some());
    let order = [wanted, MetricKind::Relevance, MetricKind::ParamActivation, MetricKind::MeanAbsActivation, MetricKind::MeanActivation];
    order.into_iter().find(|&m| has(m)).unwrap_or(wanted)
}

const STYLE: &str = concat!(include_str!("style.css"), include_str!("svg.css"));

/// The page.
pub fn html(report: &Report<'_>) -> String {
    let scan = report.scan;
    let p = &scan.provenance;
    let name = report.model.map_or(p.model.as_str(), |m| m.name.as_str());
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{} · Brodmann</title><style>{STYLE}</style></head><body><main>",
        escape(name)
    );
    let _ = write!(
        out,
        "<header><p class=\"kicker\">Brodmann · which neurons serve which domain</p><h1>{}</h1><p class=\"facts\">",
        escape(name)
    );
    out.push_str(&facts(report).join(" <i>·</i> "));
    out.push_str("</p><p class=\"chips\">");
    for d in &scan.domains {
        let _ = write!(
            out,
            "<span class=\"chip\"><b style=\"color:{}\">●</b> {} <span class=\"faint\">{}, {}</span></span>",
            report.colour(&d.name),
            escape(&d.name),
            number::counted(d.samples as u64, "sample"),
            number::counted(d.tokens as u64, "token")
        );
    }
    out.push_str("</p></header>");
    let all = [
        maps::figure(report),
        figures::density(report),
        figures::similarity(report),
        figures::boxes(report),
        figures::overlap(report),
        figures::upset(report),
        figures::accuracy(report),
        figures::ablation(report),
    ];
    for (i, (picture, caption)) in all.into_iter().flatten().enumerate() {
        let _ = write!(
            out,
            "<figure><div class=\"wide\">{picture}</div><figcaption><span class=\"no\">Figure {}</span> {caption}</figcaption></figure>",
            i + 1
        );
    }
    out.push_str(&provenance(report));
    out.push_str("</main></body></html>\n");
    out
}

fn facts(report: &Report<'_>) -> Vec<String> {
    let scan = report.scan;
    let mut facts = Vec::new();
    if let Some(m) = report.model {
        facts.push(format!("{} parameters", number::short_count(m.n_params)));
        facts.push(escape(&m.model_type));
        facts.push(format!("stored as {}", escape(&m.dtype)));
    }
    facts.push(format!("{} of {} neurons", number::counted(scan.n_layers as u64, "layer"), number::count(scan.d_mlp as u64)));
    facts.push(format!(
        "scanned in {} on {}",
        number::duration(Duration::from_secs_f64(scan.timing.seconds.max(0.0))),
        escape(&scan.provenance.device)
    ));
    facts
}

fn provenance(report: &Report<'_>) -> String {
    let (scan, p) = (report.scan, &report.scan.provenance);
    let mut rows = vec![
        ("program", p.program.clone()),
        ("model", format!("{} (sha256 {})", p.model, p.model_sha256)),
        ("formula", p.formula.clone()),
        ("objective", p.objective.clone()),
        ("gamma", format!("{:e}", scan.config.gamma)),
        ("seed", p.seed.to_string()),
        ("dtype", p.dtype.clone()),
        ("device", p.device.clone()),
        (
            "speed",
            format!(
                "{} samples a second, peak memory {}",
                number::sig3(scan.timing.samples_per_second),
                number::bytes(scan.timing.peak_rss_bytes)
            ),
        ),
        ("created", p.created.clone()),
    ];
    rows.extend(p.data_sha256.iter().map(|(name, hash)| ("data", format!("{name} (sha256 {hash})"))));
    let rows: String = rows.iter().map(|(k, v)| format!("<tr><th>{k}</th><td>{}</td></tr>", escape(v))).collect();
    format!(
        "<section><h2>The same numbers again</h2><pre>{}</pre><details open><summary>Provenance</summary><table class=\"provenance\"><tbody>{rows}</tbody></table></details></section>",
        escape(&p.command)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Grid;
    use crate::scan::{DomainScan, PairSeries, ScanConfig};

    fn scan(names: &[&str]) -> ScanOutput {
        let grid = |k: usize| Grid::new(3, 40, (0..120).map(|i| ((i * 7 + k * 13) % 97) as f32 + 0.5).collect::<Vec<_>>()).ok();
        let domain = |(k, name): (usize, &&str)| DomainScan {
            name: (*name).into(),
            samples: 2,
            tokens: 9,
            density: vec![0.3, 0.2, 0.1],
            activated_count: vec![30, 20, 10],
            relevance: grid(k),
            ..DomainScan::default()
        };
        let pair = |a: &str, b: &str| PairSeries {
            a: a.into(),
            b: b.into(),
            cosines: vec![vec![Some(0.9), Some(0.5), None], vec![Some(0.8), Some(0.4), None]],
        };
        ScanOutput {
            config: ScanConfig::default(),
            n_layers: 3,
            d_mlp: 40,
            params_per_layer: vec![100; 3],
            domains: names.iter().enumerate().map(domain).collect(),
            llmdcos: names.iter().enumerate().flat_map(|(i, a)| names[i..].iter().map(move |b| pair(a, b))).collect(),
            ..ScanOutput::default()
        }
    }

    fn page(scan: &ScanOutput) -> String {
        html(&Report {
            scan,
            model: None,
            metric: MetricKind::Relevance,
            top_percent: 10.0,
            scores: &[],
            scored_in: "",
            ablation: None,
            colours: &[],
            map: ColourMap::Viridis,
            samples: None,
            other: None,
            live: None,
        })
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = page(&scan(&["a", "b"]));
        for outside in ["http:", "https:", "<script", "<link", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<figure>").count(), 6);
        // Two maps and one colour bar.
        assert_eq!(page.matches("data:image/png;base64,").count(), 3);
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn names_are_text_and_never_markup() {
        let page = page(&scan(&["<b>x", "y&z"]));
        assert!(!page.contains("<b>x") && page.contains("&lt;b&gt;x") && page.contains("y&amp;z"));
    }

    #[test]
    fn a_run_of_one_domain_without_maps_still_gives_a_page() {
        let mut one = scan(&["a"]);
        one.domains[0].relevance = None;
        one.llmdcos.clear();
        assert_eq!(page(&one).matches("<figure>").count(), 1);
    }
}
