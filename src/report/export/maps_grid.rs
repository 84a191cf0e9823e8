//! Maps beside each other: any metrics and domains of a run and of a second one, alone or compared, as the Maps panel shows them.

use super::{
    super::{
        Report,
        picture::Picture,
        svg::{colour_bar, escape, tick_text, ticks},
    },
    ExportSpec,
    neurons::{paint, samples},
    rows::NEURONS,
    sheet::Content,
};
use crate::{
    base::{
        Ctx, Error, Grid, LongTable, Result,
        heatmap::{ColourMap, Combine, PerLayer, Scale, Summary},
        long_table::LongMap,
        number,
        tensor_file::{Tensor, Values},
    },
    scan::{DomainScan, MetricKind, ScanOutput},
};
use serde::{Deserialize, Serialize};
use std::{fmt, fmt::Write as _, str::FromStr};

/// A domain's map in the run, or in the second one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapOf {
    pub domain: String,
    /// Of the second run.
    #[serde(default)]
    pub second: bool,
}

/// One map: `relevance:logic`, `relevance:b/logic` of the second run, `relevance:b/logic:difference:logic` compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSpec {
    pub metric: MetricKind,
    pub of: MapOf,
    #[serde(default)]
    pub against: Option<MapOf>,
    #[serde(default)]
    pub combine: Combine,
}

impl fmt::Display for MapOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.second { "b/" } else { "" }, self.domain)
    }
}

impl fmt::Display for MapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.metric.info().id.replace('_', "-"), self.of)?;
        match &self.against {
            Some(b) => write!(f, ":{}:{b}", self.combine.id()),
            None => Ok(()),
        }
    }
}

impl FromStr for MapSpec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let of = |t: &str| match t.strip_prefix("b/") {
            Some(domain) => MapOf { domain: domain.to_owned(), second: true },
            None => MapOf { domain: t.to_owned(), second: false },
        };
        let metric = |t: &str| {
            let id = t.replace('-', "_");
            let found = MetricKind::ALL.into_iter().find(|m| m.info().id == id && m.info().map.is_some());
            found.ok_or_else(|| format!("`{t}` is no metric that has a map"))
        };
        let combine = |t: &str| {
            let all: Vec<&str> = Combine::ALL.iter().map(|c| c.id()).collect();
            Combine::ALL.into_iter().find(|c| c.id() == t).ok_or_else(|| format!("`{t}`: expected {}", all.join(", ")))
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            [m, a] if !a.is_empty() => Ok(Self { metric: metric(m)?, of: of(a), against: None, combine: Combine::default() }),
            [m, a, how, b] if !a.is_empty() && !b.is_empty() => {
                Ok(Self { metric: metric(m)?, of: of(a), against: Some(of(b)), combine: combine(how)? })
            }
            _ => {
                Err(format!("`{text}`: expected METRIC:DOMAIN or METRIC:DOMAIN:COMBINE:DOMAIN, with b/ before a domain of the second run"))
            }
        }
    }
}

/// A map that is there.
struct Made<'a> {
    spec: MapSpec,
    title: String,
    grid: Grid,
    domain: &'a DomainScan,
    signed: bool,
}

impl MapSpec {
    fn unit(&self) -> &'static str {
        let own = self.metric.info().unit;
        if self.against.is_some() { self.combine.unit(own) } else { own }
    }
    /// At the end of the metric's name in a table.
    fn compared(&self, per_layer: PerLayer) -> String {
        let against = self.against.as_ref().map_or(String::new(), |b| match self.combine {
            Combine::Difference => format!(" minus {b}"),
            how => format!(" {} {b}", how.id()),
        });
        let per_layer = if per_layer == PerLayer::None { String::new() } else { format!(" layer {}", per_layer.id()) };
        format!("{}{against}{per_layer}", self.metric.info().id)
    }
}

fn made<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan]) -> Result<Vec<Made<'a>>> {
    let all = || {
        let with = chosen.iter().filter(|d| d.map(spec.metric).is_some());
        let of = |d: &&DomainScan| MapOf { domain: d.name.clone(), second: false };
        with.map(|d| MapSpec { metric: spec.metric, of: of(d), against: None, combine: Combine::default() }).collect::<Vec<_>>()
    };
    let wanted = if spec.maps.is_empty() { all() } else { spec.maps.clone() };
    let made: Vec<Made<'a>> = wanted.into_iter().map(|m| one(m, spec, report)).collect::<Result<_>>()?;
    if made.is_empty() {
        return Err(Error::invalid(format!("the run has no map of {}: it was not measured", spec.metric.label())));
    }
    Ok(made)
}

fn one<'a>(m: MapSpec, spec: &ExportSpec, report: &Report<'a>) -> Result<Made<'a>> {
    let (domain, own) = grid_of(&m.of, m.metric, report)?;
    let grid = match &m.against {
        None => own.clone(),
        Some(b) => {
            let other = grid_of(b, m.metric, report)?.1;
            if (own.rows(), own.cols()) != (other.rows(), other.cols()) {
                return Err(Error::invalid(format!(
                    "{} has {} layers of {} neurons, {b} has {} of {}: only models of one shape have the same neurons to compare",
                    m.of,
                    own.rows(),
                    own.cols(),
                    other.rows(),
                    other.cols()
                )));
            }
            m.combine.of(own, other)?
        }
    };
    let two = m.of.second || m.against.as_ref().is_some_and(|b| b.second);
    let name = |o: &MapOf| match (two, o.second) {
        (false, _) => o.domain.clone(),
        (true, false) => format!("{} in A", o.domain),
        (true, true) => format!("{} in B", o.domain),
    };
    let title = m.against.as_ref().map_or_else(|| name(&m.of), |b| m.combine.words(&name(&m.of), &name(b)));
    let signed = m.against.is_some() || m.metric.info().signed;
    Ok(Made { title, grid: spec.per_layer.of(&grid), domain, signed, spec: m })
}

fn grid_of<'a>(of: &MapOf, metric: MetricKind, report: &Report<'a>) -> Result<(&'a DomainScan, &'a Grid)> {
    let run: &ScanOutput = if of.second {
        report.other.ok_or_else(|| Error::invalid(format!("{of} is of a second run, and there is none: name it with --other")))?
    } else {
        report.scan
    };
    let domain = run.domain(&of.domain).ok_or_else(|| {
        let names: Vec<&str> = run.domains.iter().map(|d| d.name.as_str()).collect();
        Error::invalid(format!("the run has no domain `{}`; it has {}", of.domain, names.join(", ")))
    })?;
    let map = domain.map(metric).ok_or_else(|| Error::invalid(format!("{} of {of} was not measured", metric.label())))?;
    Ok((domain, map))
}

const MAP: f64 = 960.0;
const LEFT: f64 = 52.0;
const NAME: f64 = 20.0;

pub fn content<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<Content> {
    let made = made(spec, report, chosen)?;
    let order = spec.order.permutation(report.scan, ctx)?;
    let first = &made[0].spec;
    let alike = made.iter().all(|m| {
        m.spec.metric == first.metric && m.signed == made[0].signed && m.spec.unit() == first.unit() && m.spec.combine == first.combine
    }) && !spec.own_range;
    let summary = |m: &Made<'_>| Summary::at(&m.grid, spec.percentile);
    let joined = made.iter().map(summary).reduce(|a, b| a.join(&b));
    let mut rows = Vec::new();
    let last = made.len() - 1;
    for (i, m) in made.iter().enumerate() {
        ctx.check()?;
        let range = joined.as_ref().filter(|_| alike).cloned().unwrap_or_else(|| summary(m));
        let scale = Scale::fit(&range, spec.scale, m.signed);
        // The order belongs to the shown run; a map of another shape keeps its own.
        let order = order.as_ref().filter(|o| (o.rows(), o.cols()) == (m.grid.rows(), m.grid.cols()));
        rows.push(vec![picture(spec, report, m, &scale, order, !alike || i == last, made.len())?]);
    }
    let mut notes = Vec::new();
    if let Some(b) = report.other {
        let p = &b.provenance;
        notes.push(format!(
            "A: {}; B: {}, model sha256 {}, {}.",
            report.scan.provenance.model,
            p.model,
            p.model_sha256.chars().take(12).collect::<String>(),
            p.command
        ));
    }
    if order.is_some() {
        notes.push(format!("Neurons within a layer by {}.", spec.order.words(report.scan.d_mlp)));
    }
    notes.push("Each pixel shows the value of largest magnitude of the neurons under it.".to_owned());
    let domains: Vec<&DomainScan> = made.iter().map(|m| m.domain).collect();
    Ok(Content {
        title: format!("{} of {}", number::capital(first.metric.info().label), report.scan.provenance.model),
        subtitle: format!(
            "{}; {}; {}",
            number::counted(made.len() as u64, "map"),
            if alike { "one scale" } else { "each on a scale of its own" },
            samples(&domains)
        ),
        rows,
        notes,
    })
}

fn picture(
    spec: &ExportSpec,
    report: &Report<'_>,
    m: &Made<'_>,
    scale: &Scale,
    order: Option<&crate::base::heatmap::Permutation>,
    bar: bool,
    maps: usize,
) -> Result<Picture> {
    let (layers, cells) = (m.grid.rows(), m.grid.cols());
    let row = ((if maps == 1 { 400.0 } else { 150.0 }) / layers.max(1) as f64).clamp(3.0, 26.0).floor();
    let height = row * layers as f64;
    let colours = if m.signed { ColourMap::BlueRed } else { spec.colours };
    let mut body = format!(
        "<circle cx=\"{:.1}\" cy=\"10\" r=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"14\" class=\"lab\" fill=\"var(--text)\">{}</text><text x=\"{:.1}\" y=\"14\" class=\"tick\" text-anchor=\"end\">{}</text>",
        LEFT + 4.0,
        report.colour(&m.domain.name),
        LEFT + 14.0,
        escape(&m.title),
        LEFT + MAP,
        escape(m.spec.metric.label())
    );
    let raster = paint(&m.grid, order, spec, scale, colours, (LEFT, NAME, MAP, height))?;
    let every = (11.0 / row).ceil().max(1.0) as usize;
    for l in (0..layers).step_by(every) {
        let at = NAME + (l as f64 + 0.5) * row + 3.5;
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{at:.1}\" class=\"tick\" text-anchor=\"end\">L{l}</text>", LEFT - 6.0);
    }
    let mut y = NAME + height;
    for v in ticks(0.0, cells.saturating_sub(1) as f64, 10) {
        let x = LEFT + (v + 0.5) / cells.max(1) as f64 * MAP;
        let n = number::count(v as u64);
        let _ = write!(body, "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{n}</text>", y + 13.0);
    }
    y += 18.0;
    if bar {
        let axis = if order.is_some() { "place of the neuron in its layer" } else { "neuron (coordinate of mlp.hook_post)" };
        let _ =
            write!(body, "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{axis}</text>", LEFT + MAP / 2.0, y + 8.0);
        y += 20.0;
        let unit = match (spec.per_layer, m.spec.unit()) {
            (PerLayer::None, "") => String::new(),
            (PerLayer::None, unit) => format!(" ({unit})"),
            (per_layer, _) => format!(" ({})", per_layer.words()),
        };
        let marks: Vec<(f64, String)> = scale.ticks(6).into_iter().map(|v| (scale.position(v), tick_text(v))).collect();
        let title = format!("{}{unit}, {}", m.spec.metric.info().label, scale.label());
        body.push_str(&colour_bar(colours, (LEFT + MAP / 2.0 - 260.0, y), 520.0, &marks, &title));
        y += 50.0;
    }
    Ok(Picture { width: LEFT + MAP + 12.0, height: y, body, label: format!("Map of {}", m.title), rasters: vec![raster] })
}

pub fn table<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<LongTable> {
    let made = made(spec, report, chosen)?;
    let order = spec.order.permutation(report.scan, ctx)?;
    // A place is of the shown run's neurons; maps of another shape have none.
    let order = order.filter(|o| made.iter().all(|m| (m.grid.rows(), m.grid.cols()) == (o.rows(), o.cols())));
    let map = |m: Made<'_>| LongMap {
        module: NEURONS.into(),
        domain: m.spec.of.to_string(),
        metric: m.spec.compared(spec.per_layer),
        n: m.domain.samples as u64,
        grid: m.grid,
    };
    let p = &report.scan.provenance;
    Ok(LongTable { maps: made.into_iter().map(map).collect(), order, ..LongTable::new(&p.model, p.seed) })
}

pub fn tensors<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Vec<Tensor>> {
    let tensor = |m: Made<'_>| {
        let shape = vec![m.grid.rows(), m.grid.cols()];
        let name = format!("{}/{}", m.spec.compared(spec.per_layer), m.spec.of);
        Tensor { name, shape, values: Values::F32(m.grid.values().to_vec()) }
    };
    Ok(made(spec, report, chosen)?.into_iter().map(tensor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_as_it_is_written() {
        for text in ["relevance:logic", "mean-activation:b/world facts", "relevance:b/logic:difference:logic", "relevance:a:ratio:b"] {
            let spec: MapSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), text);
        }
        for bad in ["logic", "nothing:logic", "relevance:", "relevance:a:plus:b", "relevance:a:difference", "llmdcos:a"] {
            assert!(bad.parse::<MapSpec>().is_err(), "{bad}");
        }
    }
}
