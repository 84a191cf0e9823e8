//! What the top neurons of domains share, on a sheet and as rows: exclusive intersections, and overlap against the share taken.

use super::{
    super::{Report, overlap as draw},
    ExportSpec,
    neurons::samples,
    rows::{NEURONS, Row},
    sheet::Content,
};
use crate::{
    base::{
        Error, Grid, Result,
        number::{self, sig3},
        overlap::{Curves, TopSets, upset as intersections},
    },
    scan::DomainScan,
};

fn names<'a>(chosen: &[&'a DomainScan]) -> Vec<&'a str> {
    chosen.iter().map(|d| d.name.as_str()).collect()
}

fn top(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<TopSets> {
    let top = draw::top(report, &names(chosen));
    if top.names.len() < 2 {
        return Err(Error::invalid(format!("overlap needs maps of {} of two domains or more", spec.metric.label())));
    }
    Ok(top)
}

pub fn upset(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Content> {
    let top = top(spec, report, chosen)?;
    let (picture, left_out) = draw::upset(report, &top);
    let mut notes =
        vec!["Ticks: size on average if each domain had its neurons at random places of the layers that they are in.".to_owned()];
    if left_out > 0 {
        notes.push(format!("{} are not shown; the table (CSV) has all.", number::counted(left_out as u64, "smaller intersection")));
    }
    Ok(Content {
        title: format!("Intersections of the top {} % of neurons of {}", spec.top_percent, report.scan.provenance.model),
        subtitle: format!("by {}, ranked over the whole model; {}", spec.metric.label(), samples(chosen)),
        rows: vec![vec![picture]],
        notes,
    })
}

/// One row an intersection, and one for its size by chance; `n`: how many sets meet.
pub fn upset_rows(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
    let top = top(spec, report, chosen)?;
    let mut rows = Vec::new();
    for c in intersections(&top) {
        let members: Vec<&str> = c.members.iter().map(|&i| top.names[i].as_str()).collect();
        for (metric, value) in [("exclusive_count", c.neurons.len() as f64), ("exclusive_count_by_chance", c.expected)] {
            rows.push(Row {
                layer: None,
                module: NEURONS,
                neuron: None,
                domain: members.join("|"),
                metric: format!("{metric}_top_{}_{}", spec.top_percent, spec.metric.info().id),
                value: Some(value),
                n: c.members.len(),
            });
        }
    }
    Ok(rows)
}

/// Domains that have the map, with it; and the pair that stands out.
type Maps<'a> = (Vec<(&'a str, &'a Grid)>, (usize, usize));

fn maps<'a>(spec: &ExportSpec, chosen: &[&'a DomainScan]) -> Result<Maps<'a>> {
    let maps: Vec<(&str, &Grid)> = chosen.iter().filter_map(|d| Some((d.name.as_str(), d.map(spec.metric)?))).collect();
    if maps.len() < 2 {
        return Err(Error::invalid(format!("overlap needs maps of {} of two domains or more", spec.metric.label())));
    }
    let place = |name: &str| maps.iter().position(|m| m.0 == name);
    let pair = spec.pair.as_ref().and_then(|(a, b)| Some((place(a)?, place(b)?))).filter(|(a, b)| a != b).unwrap_or((0, 1));
    Ok((maps, (pair.0.min(pair.1), pair.0.max(pair.1))))
}

pub fn curve(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Content> {
    let (maps, pair) = maps(spec, chosen)?;
    let names: Vec<&str> = maps.iter().map(|m| m.0).collect();
    let curves = Curves::new(maps.iter().map(|m| m.1), pair);
    Ok(Content {
        title: format!("Overlap of {} and {} against the share taken, {}", names[pair.0], names[pair.1], report.scan.provenance.model),
        subtitle: format!(
            "Jaccard index of the top k % of neurons by {}, ranked over the whole model; {}",
            spec.metric.label(),
            samples(chosen)
        ),
        rows: vec![vec![draw::curves(&names, &curves, pair)]],
        notes: vec![
            "Dashes and band: mean and middle 95 % of random sets with as many neurons in each layer (exact). Grey: the other pairs."
                .to_owned(),
        ],
    })
}

/// Every pair at every share; of the pair that stands out what chance gives, too. `n`: neurons that are taken.
pub fn curve_rows(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan]) -> Result<Vec<Row>> {
    let (maps, pair) = maps(spec, chosen)?;
    let curves = Curves::new(maps.iter().map(|m| m.1), pair);
    let total = report.scan.n_layers * report.scan.d_mlp;
    let mut rows = Vec::new();
    for ((a, b), values) in &curves.pairs {
        for (i, &share) in curves.shares.iter().enumerate() {
            let mut put = |metric: &str, value: Option<f64>| {
                rows.push(Row {
                    layer: None,
                    module: NEURONS,
                    neuron: None,
                    domain: format!("{}|{}", maps[*a].0, maps[*b].0),
                    metric: format!("{metric}_top_{}_{}", sig3(share), spec.metric.info().id),
                    value,
                    n: (share / 100.0 * total as f64).round() as usize,
                });
            };
            put("jaccard", values[i]);
            if (*a, *b) == pair {
                let chance = curves.chance[i];
                put("jaccard_by_chance", chance.map(|c| c.expected));
                put("jaccard_by_chance_low95", chance.map(|c| c.low));
                put("jaccard_by_chance_high95", chance.map(|c| c.high));
            }
        }
    }
    Ok(rows)
}
