//! The dense arrays of a run's views.

use super::{
    super::{Report, figures::top_sets},
    ExportSpec,
    neurons::maps,
    rows::{above, compared},
};
use crate::{
    base::{
        Ctx, Error, Result,
        tensor_file::{Tensor, Values},
    },
    scan::{DomainScan, recount},
};

/// `metric/domain`, `[layer, d_mlp]` f32: the map's own bits.
pub fn neurons<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let compared = compared(spec);
    let tensor = |(name, grid): (&str, crate::base::Grid)| Tensor {
        name: format!("{}/{name}{compared}", spec.metric.info().id),
        shape: vec![grid.rows(), grid.cols()],
        values: Values::F32(grid.values().to_vec()),
    };
    Ok(maps(spec, report, chosen)?.into_iter().map(tensor).collect())
}

/// `density/domain`, `[layer]` f64; at another gamma than the run's with what it is in the name.
pub fn density<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let scan = report.scan;
    let own = scan.config.gamma;
    let gamma = spec.gamma.unwrap_or(own);
    let found = |d: &DomainScan, l: usize| {
        let params = scan.params_per_layer.get(l).copied().unwrap_or(0);
        recount::density(d, l, params, own, gamma)
    };
    let known = chosen.iter().filter(|d| !d.density.is_empty());
    let tensors: Vec<Tensor> = known
        .map(|d| {
            let layers: Vec<_> = (0..scan.n_layers).map(|l| found(d, l)).collect();
            let exact = layers.iter().flatten().all(|d| d.exact);
            Tensor {
                name: format!("density{}/{}", above(own, gamma, exact), d.name),
                shape: vec![scan.n_layers],
                values: Values::F64(layers.iter().map(|d| d.map_or(f64::NAN, |d| d.share)).collect()),
            }
        })
        .collect();
    if tensors.is_empty() {
        return Err(Error::invalid("the run has no densities: parameter activation was not among its metrics"));
    }
    Ok(tensors)
}

/// `llmdcos/a|b`, `[sample pair, layer]` f32, NaN where undefined.
pub fn similarity<'a>(_: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let shown = |name: &String| chosen.iter().any(|d| d.name == *name);
    let pairs = report.scan.llmdcos.iter().filter(|p| shown(&p.a) && shown(&p.b));
    let tensors: Vec<Tensor> = pairs
        .map(|p| Tensor {
            name: format!("llmdcos/{}|{}", p.a, p.b),
            shape: vec![p.cosines.len(), p.n_layers()],
            values: Values::F32(p.cosines.iter().flatten().map(|c| c.unwrap_or(f32::NAN)).collect()),
        })
        .collect();
    if tensors.is_empty() {
        return Err(Error::invalid("the run has no LLMDcos: it was not among its metrics"));
    }
    Ok(tensors)
}

/// `jaccard`, `[domain, domain]` f64 in the run's order, and `top/domain`, `[neurons, 2]` i64 (layer, neuron).
pub fn overlap<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let names: Vec<&str> = chosen.iter().map(|d| d.name.as_str()).collect();
    let sets = top_sets(report, &names);
    if sets.len() < 2 {
        return Err(Error::invalid(format!("overlap needs maps of {} of two domains or more", spec.metric.label())));
    }
    let values = sets.iter().flat_map(|(_, a)| sets.iter().map(|(_, b)| a.jaccard(b).unwrap_or(f64::NAN))).collect();
    let mut tensors = vec![Tensor { name: "jaccard".into(), shape: vec![sets.len(); 2], values: Values::F64(values) }];
    tensors.extend(sets.iter().map(|(name, set)| Tensor {
        name: format!("top/{name}"),
        shape: vec![set.len(), 2],
        values: Values::I64(set.iter().flat_map(|n| [i64::from(n.layer), i64::from(n.index)]).collect()),
    }));
    Ok(tensors)
}

/// `llmdcos/layer`, `[sample, sample]` f32 in the order of the domains.
pub fn samples<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let samples = report.samples.ok_or_else(|| Error::invalid("no samples of the run have been compared"))?;
    let tensor = |(layer, grid): (&usize, &crate::base::Grid)| Tensor {
        name: format!("llmdcos/{layer}"),
        shape: vec![grid.rows(), grid.cols()],
        values: Values::F32(grid.values().to_vec()),
    };
    Ok(samples.layers.iter().map(tensor).collect())
}
