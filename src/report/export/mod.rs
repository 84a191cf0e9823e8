//! One view as a file: a picture (PNG, SVG) with axes, colour bar and provenance, its numbers as a table in long form (CSV, TSV, Parquet), or its dense
//! arrays (safetensors).

mod ablation;
mod before_after;
mod clusters;
mod formats;
mod inspected;
mod lessons;
pub mod live;
mod maps_grid;
mod neurons;
mod pictures;
mod predictions;
mod rows;
mod sets;
mod sheet;
mod sweeps;
mod tasks;
mod tensors;
mod views;

pub use live::Live;
pub use maps_grid::{MapOf, MapSpec};
pub use views::{VIEWS, ViewInfo};

use super::{Report, neuron_order::NeuronOrder};
use crate::{
    base::{
        Ctx, Error, Head, LongTable, Neuron, NeuronSet, Result, atomic_file,
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
    /// Accuracy of every domain before and after.
    Ablation,
    /// Maps beside each other, of one run or two.
    Maps,
    /// Predicted against measured changes.
    Prediction,
    /// One unit switched at a time.
    Sweep,
    /// Accuracy against the share that is switched.
    AgainstK,
    /// The search for a set that breaks a domain.
    Break,
    /// One neuron, as the inspector shows it.
    Neuron,
    /// One head, as the inspector shows it.
    Head,
    /// The neurons that each task needs.
    TaskNeurons,
    /// Each task with each task's neurons off.
    Deactivation,
    /// One tuning.
    Tuning,
    /// A sequence of tasks.
    Continual,
    /// What learning one task does to the others.
    Transfer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    #[default]
    Png,
    Svg,
    Csv,
    Tsv,
    Parquet,
    Safetensors,
}

impl View {
    pub const ALL: [Self; 21] = [
        Self::Neurons,
        Self::Density,
        Self::Similarity,
        Self::Overlap,
        Self::Upset,
        Self::OverlapCurve,
        Self::Tree,
        Self::Samples,
        Self::Ablation,
        Self::Maps,
        Self::Prediction,
        Self::Sweep,
        Self::AgainstK,
        Self::Break,
        Self::Neuron,
        Self::Head,
        Self::TaskNeurons,
        Self::Deactivation,
        Self::Tuning,
        Self::Continual,
        Self::Transfer,
    ];
}

impl FileKind {
    pub const ALL: [Self; 6] = [Self::Png, Self::Svg, Self::Csv, Self::Tsv, Self::Parquet, Self::Safetensors];
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
        }
    }
    /// What is looked at; the others are numbers.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Png | Self::Svg)
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
    /// Maps beside each other; empty: one a domain of the run.
    pub maps: Vec<MapSpec>,
    /// Each of them on a scale of its own.
    pub own_range: bool,
    /// Of the inspector.
    pub neuron: Option<Neuron>,
    pub head: Option<Head>,
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
            maps: Vec::new(),
            own_range: false,
            neuron: None,
            head: None,
            off: NeuronSet::new(),
            pixels: 2.0,
            dark: false,
        }
    }
}

/// Widest and highest picture, in pixels.
const MOST_PIXELS: f64 = 16_384.0;

/// Writes the file, and for a text table its provenance beside it (the other kinds hold it); gives back what was written. `report`: the run, what was
/// measured, the colours of its domains; `command`: what makes the same file again.
///
/// # Errors
/// When what is asked for is not there, the file cannot be written, or the work is cancelled.
pub fn write(path: &Path, spec: &ExportSpec, report: &Report<'_>, command: &str, ctx: &Ctx<'_>) -> Result<Vec<PathBuf>> {
    let chosen = chosen(spec, report)?;
    let source = Source { provenance: spec.what.provenance(report), spec, command };
    let info = spec.what.info();
    match spec.kind {
        FileKind::Csv | FileKind::Tsv | FileKind::Parquet => {
            let table = (info.table)(spec, report, &chosen, ctx)?;
            return write_table(path, spec.kind, &table, &source.json(), ctx);
        }
        FileKind::Safetensors => {
            let Some(tensors) = info.tensors else {
                return Err(Error::invalid(format!("{} has no dense arrays; choose csv, tsv or parquet for its numbers", info.label)));
            };
            let metadata = [("format", "brodmann export 1".to_owned()), ("view", info.id.to_owned()), (NOTE, source.json())];
            formats::write_tensors(path, tensors(spec, report, &chosen, ctx)?, &metadata)?;
        }
        FileKind::Svg => {
            let sheet = sheet(spec, report, &chosen, &source, ctx)?;
            ctx.check()?;
            atomic_file::write(path, sheet.svg(&source.json())?.as_bytes())?;
        }
        FileKind::Png => {
            let sheet = sheet(spec, report, &chosen, &source, ctx)?;
            small_enough(&sheet, spec)?;
            let bytes = sheet.png(spec.pixels, &source.json())?;
            ctx.check()?;
            atomic_file::write(path, &bytes)?;
        }
    }
    Ok(vec![path.to_owned()])
}

/// Under which name files carry where their numbers come from, as JSON.
const NOTE: &str = "provenance";

/// Any table as a file. `note` (JSON) says where it comes from: inside a Parquet file, beside a text.
///
/// # Errors
/// When `kind` is no kind of table, the file cannot be written, or the work is cancelled.
pub fn write_table(path: &Path, kind: FileKind, table: &LongTable, note: &str, ctx: &Ctx<'_>) -> Result<Vec<PathBuf>> {
    let separator = match kind {
        FileKind::Csv => b',',
        FileKind::Tsv => b'\t',
        FileKind::Parquet => {
            atomic_file::write_with(path, |out| formats::write_parquet(out, table, &[(NOTE, note.to_owned())], ctx))?;
            return Ok(vec![path.to_owned()]);
        }
        other => return Err(Error::invalid(format!("a table is written as csv, tsv or parquet, not as {}", other.extension()))),
    };
    atomic_file::write_with(path, |out| formats::write_text(out, table, separator, ctx))?;
    let beside = PathBuf::from(format!("{}.provenance.json", path.display()));
    atomic_file::write(&beside, note.as_bytes())?;
    Ok(vec![path.to_owned(), beside])
}

/// A view made to be pasted somewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Copied {
    /// Tab-separated, with a head.
    Table(String),
    /// `width x height`, opaque.
    Image { width: u32, height: u32, rgba: Vec<u8> },
}

/// A table of more rows than this is for a file, not for a clipboard.
pub const MOST_COPIED: usize = 200_000;

/// The view for the clipboard: its table for [`FileKind::Tsv`], else its picture.
///
/// # Errors
/// When what is asked for is not there or too large, or the work is cancelled.
pub fn copy(spec: &ExportSpec, report: &Report<'_>, command: &str, ctx: &Ctx<'_>) -> Result<Copied> {
    let chosen = chosen(spec, report)?;
    if spec.kind == FileKind::Tsv {
        let table = (spec.what.info().table)(spec, report, &chosen, ctx)?;
        if table.len() > MOST_COPIED {
            let n = crate::base::number::count(table.len() as u64);
            return Err(Error::invalid(format!("the table has {n} rows, too many for the clipboard; export it as CSV or Parquet")));
        }
        return Ok(Copied::Table(formats::text(&table, b'\t')?));
    }
    let source = Source { provenance: spec.what.provenance(report), spec, command };
    let sheet = sheet(spec, report, &chosen, &source, ctx)?;
    small_enough(&sheet, spec)?;
    ctx.check()?;
    let (width, height, rgba) = sheet.pixels(spec.pixels)?;
    Ok(Copied::Image { width, height, rgba })
}

fn small_enough(sheet: &Sheet, spec: &ExportSpec) -> Result<()> {
    if sheet.width.max(sheet.height) * f64::from(spec.pixels) > MOST_PIXELS {
        let (w, h) = (sheet.width, sheet.height);
        return Err(Error::invalid(format!(
            "a picture of {w} x {h} points at {} pixels a point is larger than {MOST_PIXELS} pixels; choose fewer",
            spec.pixels
        )));
    }
    Ok(())
}

fn sheet<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], source: &Source<'_>, ctx: &Ctx<'_>) -> Result<Sheet> {
    if !(0.5..=8.0).contains(&spec.pixels) {
        return Err(Error::invalid(format!("{} pixels a point: choose between 0.5 and 8", spec.pixels)));
    }
    let content = (spec.what.info().content)(spec, report, chosen, ctx)?;
    Ok(Sheet::new(content, &source.lines(), spec.dark))
}

/// The domains asked for, in the run's order.
fn chosen<'a>(spec: &ExportSpec, report: &Report<'a>) -> Result<Vec<&'a DomainScan>> {
    if !spec.what.info().stored {
        return Ok(Vec::new());
    }
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
        let formula = (self.spec.what.info().formula)(self.spec);
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
