//! Likeness that is clustered, on a sheet and as rows: domains with their dendrogram, and all pairs of samples.

use super::{
    super::{
        Report, charts,
        charts::{Square, range_of},
        samples as draw,
        tree::{dendrogram, tree_of},
    },
    ExportSpec,
    neurons::samples as samples_of,
    pictures::{in_words, layers},
    rows::{BLOCK, Row},
    sheet::Content,
};
use crate::{
    base::{Error, Result, number},
    scan::{DomainScan, PairSeries, SampleSimilarity},
};

pub fn tree(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Content> {
    let scan = report.scan;
    let (names, range, tree) = clustered(spec, report, chosen)?;
    let ordered: Vec<&str> = tree.order.iter().map(|&i| names[i]).collect();
    let mean = |p: &PairSeries| p.mean_over(range.0..=range.1);
    let shown = scan.llmdcos.iter().filter(|p| names.contains(&p.a.as_str()) && names.contains(&p.b.as_str()));
    let values: Vec<f64> = shown.filter_map(mean).collect();
    let square = Square {
        label: "LLMDcos of every pair of domains, clustered",
        unit: "mean LLMDcos",
        range: range_of(&values),
        colours: spec.colours,
    };
    let matrix = charts::matrix(report, &ordered, &square, |a, b| mean(scan.pair(a, b)?));
    let place = charts::matrix_rows(ordered.len());
    let colours: Vec<String> = names.iter().map(|n| report.colour(n)).collect();
    let drawn = dendrogram(&tree, &names, &colours, (place.0, place.1, matrix.height));
    Ok(Content {
        title: format!("Domains of {} clustered by LLMDcos", scan.provenance.model),
        subtitle: format!("average linkage on 1 − mean LLMDcos over sample pairs and {}; {}", in_words(range), samples_of(chosen)),
        rows: vec![vec![matrix, drawn]],
        notes: vec![
            "Two domains meet at their cophenetic distance: the mean over all pairs of the clusters that are joined there.".to_owned(),
        ],
    })
}

type Clustered<'a> = (Vec<&'a str>, (usize, usize), crate::base::dendrogram::Tree);

fn clustered<'a>(spec: &ExportSpec, report: &Report<'_>, chosen: &[&'a DomainScan]) -> Result<Clustered<'a>> {
    let scan = report.scan;
    if scan.llmdcos.is_empty() {
        return Err(Error::invalid("the run has no LLMDcos: it was not among its metrics"));
    }
    if chosen.len() < 2 {
        return Err(Error::invalid("a dendrogram needs two domains or more"));
    }
    let names: Vec<&str> = chosen.iter().map(|d| d.name.as_str()).collect();
    let range = layers(spec, scan.n_layers);
    let tree = tree_of(scan, &names, range.0..=range.1);
    Ok((names, range, tree))
}

/// Each pair's mean and its cophenetic distance; `n`: leaves of the cluster in which they meet, for the mean the sample pairs.
pub fn tree_rows(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
    let (names, range, tree) = clustered(spec, report, chosen)?;
    let mut rows = Vec::new();
    for i in 0..names.len() {
        for j in i + 1..names.len() {
            let series = report.scan.pair(names[i], names[j]);
            let mean = series.and_then(|p| p.mean_over(range.0..=range.1));
            let distance = tree.cophenetic(i, j);
            let meets = tree.merges.iter().find(|m| m.height == distance).map_or(0, |m| m.size);
            let samples = series.map_or(0, |p| p.cosines.len());
            let all = [("llmdcos", mean, samples), ("cophenetic_distance", Some(distance), meets)];
            rows.extend(all.map(|(metric, value, n)| Row {
                layer: None,
                module: BLOCK,
                neuron: None,
                domain: format!("{}|{}", names[i], names[j]),
                metric: format!("{metric}_layers_{}_{}", range.0, range.1),
                value,
                n,
            }));
        }
    }
    Ok(rows)
}

/// The matrices, and the layer asked for.
fn layer_of<'a>(spec: &ExportSpec, report: &Report<'a>) -> Result<(&'a SampleSimilarity, usize)> {
    let none = "the run's samples were not compared: do it with Compute in the Similarity panel, or with `brodmann similarity`";
    let s = report.samples.ok_or_else(|| Error::invalid(none))?;
    let last = s.layers.keys().last().copied();
    let layer = spec.layer.or(last).filter(|l| s.layers.contains_key(l));
    layer.map(|l| (s, l)).ok_or_else(|| {
        let have: Vec<String> = s.layers.keys().map(ToString::to_string).collect();
        Error::invalid(format!("the samples were not compared at layer {}; they were at {}", spec.layer.unwrap_or(0), have.join(", ")))
    })
}

pub fn samples(spec: &ExportSpec, report: &Report<'_>) -> Result<Content> {
    let (s, layer) = layer_of(spec, report)?;
    let names: Vec<&str> = s.domains.iter().map(|d| d.name.as_str()).collect();
    let means = s.block_means(layer);
    let values: Vec<f64> = means.iter().flatten().copied().collect();
    let square = Square {
        label: "Mean LLMDcos of two domains' samples",
        unit: "mean of the block",
        range: range_of(&values),
        colours: spec.colours,
    };
    let place = |name: &str| names.iter().position(|n| *n == name);
    let blocks = charts::matrix(report, &names, &square, |a, b| means[place(a)? * names.len() + place(b)?]);
    Ok(Content {
        title: format!("LLMDcos of all pairs of samples at layer {layer} of {}", s.provenance.model),
        subtitle: format!(
            "{}, exact; {}",
            number::counted(s.n() as u64, "sample"),
            s.domains.iter().map(|d| format!("{} {}", d.name, d.tokens.len())).collect::<Vec<_>>().join(", ")
        ),
        rows: vec![vec![draw::matrix(report, s, layer, spec.colours, f64::from(spec.pixels)), blocks]],
        notes: vec![
            "Samples in the order scanned, domain after domain. Right: mean of each block, of a domain with itself without the diagonal."
                .to_owned(),
        ],
    })
}

/// One row a pair of samples, named by domain and line of its file.
pub fn samples_rows(spec: &ExportSpec, report: &Report<'_>) -> Result<Vec<Row>> {
    let (s, layer) = layer_of(spec, report)?;
    let name = |i: usize| {
        s.place(i).map_or_else(String::new, |(d, m)| {
            let domain = &s.domains[d];
            let line = domain.source.sample_lines.get(m).map_or_else(|| format!("sample {m}"), ToString::to_string);
            format!("{}:{line}", domain.name)
        })
    };
    let names: Vec<String> = (0..s.n()).map(name).collect();
    let pairs = (0..s.n()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let row = |(a, b): (usize, usize)| Row {
        layer: Some(layer),
        module: BLOCK,
        neuron: None,
        domain: format!("{}|{}", names[a], names[b]),
        metric: "llmdcos".into(),
        // The shortest digits of the f32, not those of its value in f64.
        value: s.cosine(layer, a, b).and_then(|v| v.to_string().parse().ok()),
        n: 1,
    };
    Ok(pairs.map(row).collect())
}
