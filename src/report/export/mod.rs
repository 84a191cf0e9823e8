//! One view of a run as a file: a picture (PNG, SVG) with axes, colour bar and provenance, or its numbers as a table in long form (CSV).

mod clusters;
mod neurons;
mod pictures;
mod sets;
mod sheet;
mod table;

use super::{Report, neuron_order::NeuronOrder};
use crate::{
    base::{
        Ctx, Error, NeuronSet, Result, atomic_file,
        heatmap::{ColourMap, Combine, PerLayer, ScaleKind, scale::PERCENTILE},
        provenance::Provenance,
    },
    scan::{DomainScan, MetricKind},
};
use serde::{Deserialize, Serialize};
use sheet::Sheet;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Layers x neurons of a metric.
    #[default]
    Neurons,
    /// Density by layer.
    Density,
    /// LLMDcos: domain x domain, curves, a pair's box plot.
    Similarity,
    /// Jaccard index of the domains' top neurons.
    Overlap,
    /// Exclusive intersections of the domains' top neurons (UpSet plot).
    Upset,
    /// Overlap of the top neurons against the share that is taken.
    OverlapCurve,
    /// Domains clustered by LLMDcos: dendrogram beside the matrix that it orders.
    Tree,
    /// LLMDcos of all pairs of samples at one layer.
    Samples,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    #[default]
    Png,
    Svg,
    Csv,
}

impl View {
    pub const ALL: [Self; 8] =
        [Self::Neurons, Self::Density, Self::Similarity, Self::Overlap, Self::Upset, Self::OverlapCurve, Self::Tree, Self::Samples];
    /// As `--what` reads it, and in file names.
    pub fn id(self) -> &'static str {
        match self {
            Self::Neurons => "neurons",
            Self::Density => "density",
            Self::Similarity => "similarity",
            Self::Overlap => "overlap",
            Self::Upset => "upset",
            Self::OverlapCurve => "overlap-curve",
            Self::Tree => "tree",
            Self::Samples => "samples",
        }
    }
}

impl FileKind {
    pub const ALL: [Self; 3] = [Self::Png, Self::Svg, Self::Csv];
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Csv => "csv",
        }
    }
    /// By the end of a file's name.
    pub fn of(path: &Path) -> Option<Self> {
        let end = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|k| k.extension() == end)
    }
}

/// What is to be shown, and how. Whatever a run has not is an error that says what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportSpec {
    pub what: View,
    pub kind: FileKind,
    /// Of the neuron map and of the overlap.
    pub metric: MetricKind,
    /// Empty: all of the run.
    pub domains: Vec<String>,
    /// Each domain's neuron map is compared with this one's.
    pub minus: Option<String>,
    /// How it is compared with `minus`.
    pub combine: Combine,
    /// Whether each layer of the neuron map has a scale of its own.
    pub per_layer: PerLayer,
    /// Order of the neurons within a layer; tables carry each neuron's place.
    pub order: NeuronOrder,
    /// A pair whose curve by layer is shown too.
    pub pair: Option<(String, String)>,
    pub scale: ScaleKind,
    /// Where a clipped scale ends, in percent of all magnitudes.
    pub percentile: f32,
    /// Of magnitudes.
    pub colours: ColourMap,
    pub top_percent: f64,
    /// Threshold of the density; `None`: the run's own.
    pub gamma: Option<f32>,
    /// Layers `first..=last` that LLMDcos is averaged over; `None`: METHODS' range.
    pub layers: Option<(usize, usize)>,
    /// Of the samples' matrix; `None`: the last one there is.
    pub layer: Option<usize>,
    /// Hatched in the neuron map.
    pub off: NeuronSet,
    /// Pixels a point, 0.5 to 8 (PNG, and the cells of an SVG's neuron map).
    pub pixels: f32,
    pub dark: bool,
}

impl Default for ExportSpec {
    fn default() -> Self {
        Self {
            what: View::default(),
            kind: FileKind::default(),
            metric: MetricKind::Relevance,
            domains: Vec::new(),
            minus: None,
            combine: Combine::default(),
            per_layer: PerLayer::default(),
            order: NeuronOrder::default(),
            pair: None,
            scale: ScaleKind::Log,
            percentile: PERCENTILE,
            colours: ColourMap::Viridis,
            top_percent: 10.0,
            gamma: None,
            layers: None,
            layer: None,
            off: NeuronSet::new(),
            pixels: 2.0,
            dark: false,
        }
    }
}

/// Widest and highest picture, in pixels.
const MOST_PIXELS: f64 = 16_384.0;

/// Writes the file, and for CSV its provenance beside it; gives back what was written. `report`: the run and the colours of its domains; `command`:
/// what makes the same file again.
///
/// # Errors
/// When the run has not what is asked for, the file cannot be written, or the work is cancelled.
pub fn write(path: &Path, spec: &ExportSpec, report: &Report<'_>, command: &str, ctx: &Ctx<'_>) -> Result<Vec<PathBuf>> {
    let chosen = chosen(spec, report)?;
    // The matrices of samples may be younger than the run that they belong to.
    let provenance = match (spec.what, report.samples) {
        (View::Samples, Some(s)) => &s.provenance,
        _ => &report.scan.provenance,
    };
    let source = Source { provenance, spec, command };
    if spec.kind == FileKind::Csv {
        let rows = table::rows(spec, report, &chosen, ctx)?;
        atomic_file::write_with(path, |out| table::write(out, report, rows, ctx))?;
        let beside = PathBuf::from(format!("{}.provenance.json", path.display()));
        atomic_file::write(&beside, source.json().as_bytes())?;
        return Ok(vec![path.to_owned(), beside]);
    }
    let sheet = sheet(spec, report, &chosen, &source, ctx)?;
    let bytes = match spec.kind {
        FileKind::Png => {
            if sheet.width.max(sheet.height) * f64::from(spec.pixels) > MOST_PIXELS {
                let (w, h) = (sheet.width, sheet.height);
                return Err(Error::invalid(format!(
                    "a picture of {w} x {h} points at {} pixels a point is larger than {MOST_PIXELS} pixels; choose fewer",
                    spec.pixels
                )));
            }
            sheet.png(spec.pixels, &source.json())?
        }
        _ => sheet.svg(&source.json())?.into_bytes(),
    };
    ctx.check()?;
    atomic_file::write(path, &bytes)?;
    Ok(vec![path.to_owned()])
}

fn sheet(spec: &ExportSpec, report: &Report<'_>, chosen: &[&DomainScan], source: &Source<'_>, ctx: &Ctx<'_>) -> Result<Sheet> {
    if !(0.5..=8.0).contains(&spec.pixels) {
        return Err(Error::invalid(format!("{} pixels a point: choose between 0.5 and 8", spec.pixels)));
    }
    let content = match spec.what {
        View::Neurons => neurons::content(spec, report, chosen, ctx)?,
        View::Density => pictures::density(spec, report, chosen)?,
        View::Similarity => pictures::similarity(spec, report, chosen)?,
        View::Overlap => pictures::overlap(spec, report, chosen)?,
        View::Upset => sets::upset(spec, report, chosen)?,
        View::OverlapCurve => sets::curve(spec, report, chosen)?,
        View::Tree => clusters::tree(spec, report, chosen)?,
        View::Samples => clusters::samples(spec, report)?,
    };
    Ok(Sheet::new(content, &source.lines(), spec.dark))
}

/// The domains asked for, in the run's order.
fn chosen<'a>(spec: &ExportSpec, report: &Report<'a>) -> Result<Vec<&'a DomainScan>> {
    let named = spec.domains.iter().chain(&spec.minus).chain(spec.pair.iter().flat_map(|(a, b)| [a, b]));
    for name in named {
        if report.scan.domain(name).is_none() {
            let all: Vec<&str> = report.scan.domains.iter().map(|d| d.name.as_str()).collect();
            return Err(Error::invalid(format!("the run has no domain `{name}`; it has {}", all.join(", "))));
        }
    }
    Ok(report.scan.domains.iter().filter(|d| spec.domains.is_empty() || spec.domains.contains(&d.name)).collect())
}

/// Where the numbers of a file come from.
struct Source<'a> {
    provenance: &'a Provenance,
    spec: &'a ExportSpec,
    command: &'a str,
}

#[derive(Serialize)]
struct Note<'a> {
    provenance: &'a Provenance,
    shows: &'a ExportSpec,
    command: &'a str,
}

impl Source<'_> {
    fn json(&self) -> String {
        let note = Note { provenance: self.provenance, shows: self.spec, command: self.command };
        // Maps with text keys and finite numbers always serialise.
        serde_json::to_string_pretty(&note).unwrap_or_default() + "\n"
    }

    /// For the foot of a picture.
    fn lines(&self) -> Vec<String> {
        let p = self.provenance;
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        let data: Vec<String> = p.data_sha256.iter().map(|(name, hash)| format!("{name} {}", short(hash))).collect();
        let formula = match self.spec.what {
            View::Neurons => {
                let compared = self.spec.minus.as_ref().map(|b| format!("A = each domain, B = {b}: {}; ", self.spec.combine.formula()));
                let per_layer = Some(self.spec.per_layer.words()).filter(|w| !w.is_empty()).map(|w| format!("{w}; "));
                format!("{}{}{}", per_layer.unwrap_or_default(), compared.unwrap_or_default(), self.spec.metric.info().formula)
            }
            View::Overlap => {
                format!("J(A, B) = |A and B| / |A or B| of the top {} %; {}", self.spec.top_percent, self.spec.metric.info().formula)
            }
            View::Density => MetricKind::ParamActivation.info().formula.to_owned(),
            View::Similarity => MetricKind::Llmdcos.info().formula.to_owned(),
            View::Upset => {
                format!("neurons in the top {} % of exactly these domains; {}", self.spec.top_percent, self.spec.metric.info().formula)
            }
            View::OverlapCurve => format!("J(A, B) = |A and B| / |A or B| of the top k %; {}", self.spec.metric.info().formula),
            View::Tree => format!("average linkage on 1 - mean LLMDcos; {}", MetricKind::Llmdcos.info().formula),
            View::Samples => self.provenance.formula.clone(),
        };
        vec![
            format!("{} · model {} sha256 {} · data sha256 {}", p.program, p.model, short(&p.model_sha256), data.join(", ")),
            format!("{formula} · objective {} · seed {} · {} on {} · {}", p.objective, p.seed, p.dtype, p.device, p.created),
            format!("run: {}", p.command),
            format!("file: {}", self.command),
        ]
    }
}

#[cfg(test)]
mod tests;
