//! `export`.

use super::{
    parse::{parse_gamma, parse_layers, parse_neurons, parse_pair, parse_percent, parse_percentile, parse_pixels},
    values::{ColoursArg, CombineArg, MetricArg, PerLayerArg, ScaleArg, ThemeArg},
};
use crate::{
    base::{NeuronSet, heatmap::scale::PERCENTILE},
    report::{
        export::{FileKind, MapSpec, VIEWS, View},
        neuron_order::NeuronOrder,
    },
};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RangeArg {
    Shared,
    Own,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Run folder, `demo` for the stored run of the demo, or the folder that `prove`, `tune`, `continual` or `transfer` wrote.
    #[arg(value_name = "RUN", default_value = "demo")]
    pub run: PathBuf,
    /// Which view.
    #[arg(long, value_name = "VIEW", default_value = "neurons", value_parser = view_parser())]
    pub what: View,
    /// What kind of file. Default: by the end of --out.
    #[arg(long, value_name = "KIND", value_parser = file_parser())]
    pub format: Option<FileKind>,
    /// Of the neuron map and the overlap. Default: relevance where the run has it.
    #[arg(long, value_enum)]
    pub metric: Option<MetricArg>,
    /// A domain that is shown; repeatable. Default: all of the run.
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// A domain whose neuron map is taken off the others' (or divides them, see --combine).
    #[arg(long, value_name = "NAME")]
    pub minus: Option<String>,
    /// How the others are compared with --minus.
    #[arg(long, value_enum, default_value_t = CombineArg::Difference)]
    pub combine: CombineArg,
    /// Each layer of the neuron map on a scale of its own.
    #[arg(long, value_enum, default_value_t = PerLayerArg::None)]
    pub per_layer: PerLayerArg,
    /// Order of the neurons within a layer: index, value:METRIC:DOMAIN, profile:METRIC (clustered). A CSV then has a column `place`.
    #[arg(long, value_name = "ORDER", default_value = "index", value_parser = NeuronOrder::parse)]
    pub order: NeuronOrder,
    /// Two domains whose curve by layer is shown too (similarity, overlap).
    #[arg(long, value_name = "A|B", value_parser = parse_pair)]
    pub pair: Option<(String, String)>,
    /// How the neuron map's colours follow the values.
    #[arg(long, value_enum, default_value_t = ScaleArg::Log)]
    pub scale: ScaleArg,
    /// Where --scale clipped ends, in percent of all magnitudes (50 to 100).
    #[arg(long, value_name = "PERCENT", default_value_t = PERCENTILE, value_parser = parse_percentile)]
    pub percentile: f32,
    /// Of magnitudes; differences are always blue, white, red.
    #[arg(long, value_enum, default_value_t = ColoursArg::Viridis)]
    pub colours: ColoursArg,
    /// Share of all neurons that overlap compares, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = parse_percent)]
    pub top: f64,
    /// Threshold of the density; other values than the run's own are counted exactly or estimated from its histogram, as the file then says. Default: the run's own.
    #[arg(long, value_parser = parse_gamma)]
    pub gamma: Option<f32>,
    /// Layers that LLMDcos is averaged over. Default: from the middle, without the last two.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_layers)]
    pub layers: Option<(usize, usize)>,
    /// Layer of the samples' matrix. Default: the last one that was compared.
    #[arg(long, value_name = "L")]
    pub layer: Option<usize>,
    /// A map of `--what maps`: METRIC:DOMAIN, or METRIC:DOMAIN:COMBINE:DOMAIN (difference, ratio, rank-difference); `b/` before a domain of --other.
    /// Repeatable. Default: one map a domain.
    #[arg(long, value_name = "METRIC:DOMAIN")]
    pub map: Vec<MapSpec>,
    /// A second run whose maps stand beside the first's (`--what maps`).
    #[arg(long, value_name = "RUN")]
    pub other: Option<PathBuf>,
    /// One colour scale for all maps, or each its own.
    #[arg(long, value_enum, default_value_t = RangeArg::Shared)]
    pub range: RangeArg,
    /// Neurons that are hatched in the map, as `ablate --neurons` writes them.
    #[arg(long, value_name = "L3N17,L4N0-15", value_parser = parse_neurons)]
    pub hatch: Option<NeuronSet>,
    /// Pixels a point of a PNG, and of the cells in an SVG: 1 for a screen, 2 to 4 for print.
    #[arg(long, value_name = "SCALE", default_value_t = 2.0, value_parser = parse_pixels)]
    pub pixels: f32,
    #[arg(long, value_enum, default_value_t = ThemeArg::Light)]
    pub theme: ThemeArg,
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// No progress: warnings and errors only.
    #[arg(long, short)]
    pub quiet: bool,
}

/// The views that a folder has.
fn view_parser() -> impl TypedValueParser<Value = View> {
    let values = VIEWS.iter().filter(|v| v.stored || v.view.has_folder()).map(|v| PossibleValue::new(v.id).help(v.hint).aliases(v.alias));
    PossibleValuesParser::new(values)
        .map(|id| VIEWS.iter().find(|v| v.id == id || v.alias == Some(id.as_str())).map_or_else(View::default, |v| v.view))
}

fn file_parser() -> impl TypedValueParser<Value = FileKind> {
    let values = FileKind::ALL.map(FileKind::extension);
    PossibleValuesParser::new(values).map(|end| FileKind::ALL.into_iter().find(|k| k.extension() == end).unwrap_or_default())
}
