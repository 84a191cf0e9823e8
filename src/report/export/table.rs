//! The numbers of a view in long form: one value a row, RFC 4180.

use super::{
    super::{Report, charts::jaccard_by_layer, figures::top_sets},
    ExportSpec, View, clusters,
    neurons::maps,
    pictures::layers,
    sets,
};
use crate::{
    base::{
        Ctx, Error, Grid, Neuron, Result,
        heatmap::{Combine, PerLayer, Permutation},
        overlap::TopSets,
        stats,
    },
    scan::{DomainScan, recount},
};
use std::io::Write;

pub const HEAD: [&str; 9] = ["model", "layer", "module", "neuron", "domain", "metric", "value", "n", "seed"];

/// The tenth column, of maps whose neurons are ordered: place of the neuron within its layer, from 0.
pub const PLACE: &str = "place";

/// One row but for model and seed, which all rows share.
pub struct Row {
    pub layer: Option<usize>,
    pub module: &'static str,
    pub neuron: Option<usize>,
    pub domain: String,
    pub metric: String,
    /// Empty where undefined.
    pub value: Option<f64>,
    /// What the value is over: samples, sample pairs, or for a Jaccard index the neurons in either set.
    pub n: usize,
}

/// What is written: whole maps cell by cell, or rows that were worked out before.
pub enum Rows<'a> {
    Maps { metric: String, maps: Vec<(&'a str, Grid, usize)>, order: Option<Permutation> },
    Ready(Vec<Row>),
}

pub const NEURONS: &str = "mlp.hook_post";
pub const BLOCK: &str = "block";

pub fn rows<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<Rows<'a>> {
    Ok(match spec.what {
        View::Neurons => {
            let minus = spec.minus.as_ref().map_or(String::new(), |m| match spec.combine {
                Combine::Difference => format!(" minus {m}"),
                how => format!(" {} {m}", how.id()),
            });
            let per_layer = if spec.per_layer == PerLayer::None { String::new() } else { format!(" layer {}", spec.per_layer.id()) };
            let n = |name: &str| report.scan.domain(name).map_or(0, |d| d.samples);
            let maps = maps(spec, report, chosen)?.into_iter().map(|(name, grid)| (name, grid, n(name))).collect();
            let order = spec.order.permutation(report.scan, ctx)?;
            Rows::Maps { metric: format!("{}{minus}{per_layer}", spec.metric.info().id), maps, order }
        }
        View::Density => Rows::Ready(density(spec, report, chosen)?),
        View::Similarity => Rows::Ready(similarity(spec, report, chosen)?),
        View::Overlap => Rows::Ready(overlap(spec, report, chosen)?),
        View::Upset => Rows::Ready(sets::upset_rows(spec, report, chosen)?),
        View::OverlapCurve => Rows::Ready(sets::curve_rows(spec, report, chosen)?),
        View::Tree => Rows::Ready(clusters::tree_rows(spec, report, chosen)?),
        View::Samples => Rows::Ready(clusters::samples_rows(spec, report)?),
    })
}

fn density(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
    let scan = report.scan;
    let gamma = spec.gamma.unwrap_or(scan.config.gamma);
    let mut rows = Vec::new();
    for d in chosen {
        for l in 0..scan.n_layers {
            let params = scan.params_per_layer.get(l).copied().unwrap_or(0);
            let Some(found) = recount::density(d, l, params, scan.config.gamma, gamma) else { continue };
            let row = |metric: &str, value: f64| Row {
                layer: Some(l),
                module: BLOCK,
                neuron: None,
                domain: d.name.clone(),
                metric: if gamma == scan.config.gamma { metric.to_owned() } else { format!("{metric}_gamma_{gamma:e}") },
                value: Some(value),
                n: d.samples,
            };
            rows.push(row("density", found.share));
            rows.push(row("activated_count", found.count as f64));
        }
    }
    if rows.is_empty() {
        return Err(Error::invalid("the run has no densities: parameter activation was not among its metrics"));
    }
    Ok(rows)
}

fn similarity(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
    let scan = report.scan;
    let (first, last) = layers(spec, scan.n_layers);
    let mut rows = Vec::new();
    let shown = |name: &String| chosen.iter().any(|d| d.name == *name);
    for p in scan.llmdcos.iter().filter(|p| shown(&p.a) && shown(&p.b)) {
        let row = |layer: Option<usize>, metric: String, value: Option<f64>, n: usize| Row {
            layer,
            module: BLOCK,
            neuron: None,
            domain: format!("{}|{}", p.a, p.b),
            metric,
            value,
            n,
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
    Ok(rows)
}

fn overlap(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
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
    Ok(rows)
}

pub fn write(out: &mut dyn Write, report: &Report<'_>, rows: Rows<'_>, ctx: &Ctx<'_>) -> Result<()> {
    let p = &report.scan.provenance;
    let mut csv = csv::Writer::from_writer(out);
    let bad = |e: csv::Error| Error::invalid(format!("the table could not be written: {e}"));
    // Where neurons are ordered, each says its place.
    let order = match &rows {
        Rows::Maps { order, .. } => order.as_ref(),
        Rows::Ready(_) => None,
    };
    csv.write_record(HEAD.into_iter().chain(order.map(|_| PLACE))).map_err(bad)?;
    let seed = p.seed.to_string();
    let mut put = |layer: Option<usize>, module: &str, neuron: Option<usize>, domain: &str, metric: &str, value: String, n: usize| {
        let place = order.zip(layer).zip(neuron).map(|((o, l), i)| o.place(Neuron::new(l as u32, i as u32)).to_string());
        let place = place.as_deref();
        let number = |n: Option<usize>| n.map_or(String::new(), |n| n.to_string());
        let (layer, neuron, n) = (number(layer), number(neuron), n.to_string());
        csv.write_record([p.model.as_str(), &layer, module, &neuron, domain, metric, &value, &n, &seed].into_iter().chain(place))
            .map_err(bad)
    };
    // Shortest digits that give the same number again; nothing for what is no number.
    let text32 = |v: f32| if v.is_finite() { v.to_string() } else { String::new() };
    let text64 = |v: Option<f64>| v.filter(|v| v.is_finite()).map_or(String::new(), |v| v.to_string());
    match &rows {
        Rows::Ready(rows) => {
            for r in rows {
                put(r.layer, r.module, r.neuron, &r.domain, &r.metric, text64(r.value), r.n)?;
            }
        }
        Rows::Maps { metric, maps, .. } => {
            let total = maps.iter().map(|m| m.1.rows()).sum();
            let mut done = 0;
            for (domain, grid, n) in maps {
                for layer in 0..grid.rows() {
                    ctx.check()?;
                    ctx.progress(format!("writing {domain}"), done, total, "layers");
                    for (neuron, &v) in grid.row(layer).iter().enumerate() {
                        put(Some(layer), NEURONS, Some(neuron), domain, metric, text32(v), *n)?;
                    }
                    done += 1;
                }
            }
        }
    }
    csv.flush().map_err(|e| bad(e.into()))
}
