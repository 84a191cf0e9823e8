//! The numbers of a run's views in long form.

use super::{
    super::{Report, charts::jaccard_by_layer, figures::top_sets},
    ExportSpec,
    neurons::maps,
    pictures::layers,
};
use crate::{
    base::{
        Ctx, Error, LongTable, Result,
        heatmap::{Combine, PerLayer},
        long_table::{LongMap, LongRow},
        overlap::TopSets,
        stats,
    },
    scan::{DomainScan, recount},
};

pub use crate::base::long_table::{BLOCK, NEURONS};

/// A row whose places are counted as code counts them.
pub struct Row {
    pub layer: Option<usize>,
    pub module: &'static str,
    pub neuron: Option<usize>,
    pub domain: String,
    pub metric: String,
    /// `None` where undefined.
    pub value: Option<f64>,
    /// What the value is over.
    pub n: usize,
}

impl From<Row> for LongRow {
    fn from(r: Row) -> Self {
        let place = |n: Option<usize>| n.map(|n| n as u32);
        let (layer, neuron) = (place(r.layer), place(r.neuron));
        Self { layer, module: r.module.into(), neuron, domain: r.domain, metric: r.metric, value: r.value, n: r.n as u64, seed: None }
    }
}

/// Rows that were worked out before, as a table of the run.
pub fn ready(report: &Report<'_>, rows: Vec<Row>) -> LongTable {
    LongTable { rows: rows.into_iter().map(LongRow::from).collect(), ..table(report) }
}

fn table(report: &Report<'_>) -> LongTable {
    let p = &report.scan.provenance;
    LongTable::new(&p.model, p.seed)
}

pub fn neurons<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<LongTable> {
    let metric = format!("{}{}", spec.metric.info().id, compared(spec));
    let n = |name: &str| report.scan.domain(name).map_or(0, |d| d.samples as u64);
    let map =
        |(name, grid): (&str, _)| LongMap { module: NEURONS.into(), domain: name.to_owned(), metric: metric.clone(), grid, n: n(name) };
    let order = spec.order.permutation(report.scan, ctx)?;
    Ok(LongTable { maps: maps(spec, report, chosen)?.into_iter().map(map).collect(), order, ..table(report) })
}

/// How a map differs from the metric's own, at the end of the metric's name.
pub fn compared(spec: &ExportSpec) -> String {
    let minus = spec.minus.as_ref().map_or(String::new(), |m| match spec.combine {
        Combine::Difference => format!(" minus {m}"),
        how => format!(" {} {m}", how.id()),
    });
    let per_layer = if spec.per_layer == PerLayer::None { String::new() } else { format!(" layer {}", spec.per_layer.id()) };
    format!("{minus}{per_layer}")
}

/// What tells densities apart, at the end of their names: counted by the scan, counted at another gamma, or estimated from the histogram.
pub fn above(run_gamma: f32, gamma: f32, exact: bool) -> String {
    match exact {
        true if gamma == run_gamma => String::new(),
        true => format!("_gamma_{gamma:e}"),
        false => format!("_estimated_gamma_{gamma:e}"),
    }
}

pub fn density<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let scan = report.scan;
    let gamma = spec.gamma.unwrap_or(scan.config.gamma);
    let mut rows = Vec::new();
    for d in chosen {
        for l in 0..scan.n_layers {
            let params = scan.params_per_layer.get(l).copied().unwrap_or(0);
            let Some(found) = recount::density(d, l, params, scan.config.gamma, gamma) else { continue };
            let row = |metric: &str, value: f64| LongRow {
                layer: Some(l as u32),
                module: BLOCK.into(),
                domain: d.name.clone(),
                metric: format!("{metric}{}", above(scan.config.gamma, gamma, found.exact)),
                value: Some(value),
                n: d.samples as u64,
                ..LongRow::default()
            };
            rows.push(row("density", found.share));
            rows.push(row("activated_count", found.count as f64));
        }
    }
    if rows.is_empty() {
        return Err(Error::invalid("the run has no densities: parameter activation was not among its metrics"));
    }
    Ok(LongTable { rows, ..table(report) })
}

pub fn similarity<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let scan = report.scan;
    let (first, last) = layers(spec, scan.n_layers);
    let mut rows = Vec::new();
    let shown = |name: &String| chosen.iter().any(|d| d.name == *name);
    for p in scan.llmdcos.iter().filter(|p| shown(&p.a) && shown(&p.b)) {
        let row = |layer: Option<usize>, metric: String, value: Option<f64>, n: usize| LongRow {
            layer: layer.map(|l| l as u32),
            module: BLOCK.into(),
            domain: format!("{}|{}", p.a, p.b),
            metric,
            value,
            n: n as u64,
            ..LongRow::default()
        };
        for l in 0..p.n_layers() {
            let defined: Vec<f64> = p.cosines.iter().filter_map(|row| row[l]).map(f64::from).collect();
            rows.push(row(Some(l), "llmdcos".into(), stats::mean(&defined), defined.len()));
            rows.push(row(Some(l), "llmdcos_std".into(), stats::std_dev(&defined), defined.len()));
        }
        let n = p.cosines.iter().flat_map(|row| &row[first..=last.min(row.len().saturating_sub(1))]).flatten().count();
        rows.push(row(None, format!("llmdcos_layers_{first}_{last}"), p.mean_over(first..=last), n));
    }
    if rows.is_empty() {
        return Err(Error::invalid("the run has no LLMDcos: it was not among its metrics"));
    }
    Ok(LongTable { rows, ..table(report) })
}

pub fn overlap<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let names: Vec<&str> = chosen.iter().map(|d| d.name.as_str()).collect();
    let sets = top_sets(report, &names);
    if sets.len() < 2 {
        return Err(Error::invalid(format!("overlap needs maps of {} of two domains or more", spec.metric.label())));
    }
    let named = sets.iter().map(|(name, set)| ((*name).to_owned(), set.clone()));
    let top = TopSets::of(named, report.scan.n_layers, report.scan.d_mlp);
    let tests = top.tests();
    let mut rows = Vec::new();
    for (i, (a, set_a)) in sets.iter().enumerate() {
        for (j, (b, set_b)) in sets.iter().enumerate().skip(i + 1) {
            let any = set_a.union(set_b);
            let row = |what: &str, layer: Option<usize>, value: Option<f64>, n: usize| Row {
                layer,
                module: NEURONS,
                neuron: None,
                domain: format!("{a}|{b}"),
                metric: format!("{what}_top_{}_{}", spec.top_percent, spec.metric.info().id),
                value,
                n,
            };
            rows.push(row("jaccard", None, set_a.jaccard(set_b), any.len()));
            // Against random sets with as many neurons in each layer.
            if let Some(t) = tests.iter().find(|t| (t.a, t.b) == (i, j)) {
                let log10 = |ln: f64| Some(ln / std::f64::consts::LN_10);
                rows.push(row("jaccard_by_chance", None, t.chance.map(|c| c.expected), any.len()));
                rows.push(row("jaccard_by_chance_low95", None, t.chance.map(|c| c.low), any.len()));
                rows.push(row("jaccard_by_chance_high95", None, t.chance.map(|c| c.high), any.len()));
                rows.push(row("log10_p", None, log10(t.ln_p), t.shared));
                rows.push(row("log10_p_holm", None, log10(t.ln_p_holm), t.shared));
            }
            let chance = top.chance_by_layer(i, j);
            for (l, value) in jaccard_by_layer(report.scan.n_layers, set_a, set_b).into_iter().enumerate() {
                rows.push(row("jaccard", Some(l), value, any.layer(l).count()));
                rows.push(row("jaccard_by_chance", Some(l), chance[l].map(|c| c.expected), any.layer(l).count()));
            }
        }
    }
    Ok(ready(report, rows))
}
