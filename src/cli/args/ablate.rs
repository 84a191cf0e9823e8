//! `ablate`, `sweep`, `break`.

use super::{
    common::{ChangeArgs, Common, ControlArgs, FileArgs, ItemArgs, PredictArgs},
    parse::{parse_count, parse_layers, parse_percent, parse_ranking, parse_selection, parse_share, parse_unit, parse_weight},
    values::MetricArg,
};
use crate::ablate::{Selection, SweepUnit};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct AblateArgs {
    #[command(flatten)]
    pub common: Common,
    /// Neurons to switch off: `L3N17,L4N0-15` (heads as `L3H2`), a JSON file `{"3": [17]}`, `top:DOMAIN:PERCENT` by
    /// relevance, or a formula: `top(logic, 10%) - top(code, 10%)`, `cap(a, 20)`, `layers(a, 4-9)`, `random_like(a, SEED)`, with | & - and parentheses.
    #[arg(long, value_name = "SET", value_parser = parse_selection)]
    pub neurons: Selection,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub controls: ControlArgs,
    #[command(flatten)]
    pub items: ItemArgs,
    /// Run folder that `top:` and formulas take their maps from. Default: 64 samples of the domains are scanned first.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    #[command(flatten)]
    pub predict: PredictArgs,
    #[command(flatten)]
    pub file: FileArgs,
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["unit", "against_k"])))]
pub struct SweepArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub file: FileArgs,
    /// Switch each neuron, head or layer (all of its neurons and heads) by itself, and score --domain each time. Goes on where it was stopped.
    #[arg(long, value_name = "neuron|head|layer", value_parser = parse_unit, requires = "domain")]
    pub unit: Option<SweepUnit>,
    /// The domain that is scored.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    #[command(flatten)]
    pub predict: PredictArgs,
    /// Only these layers. Default: all.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_layers, requires = "unit")]
    pub layers: Option<(usize, usize)>,
    /// Switch the top k % of a domain's map, k rising, and score every domain, beside random sets.
    #[arg(long, value_name = "top:DOMAIN", value_parser = parse_ranking, conflicts_with_all = ["unit", "domain"])]
    pub against_k: Option<Selection>,
    /// The k of --against-k.
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,...", value_parser = parse_percent, default_value = "0.1,0.2,0.5,1,2,5,10,20")]
    pub percents: Vec<f64>,
    /// Which map --against-k ranks by.
    #[arg(long, value_enum)]
    pub metric: Option<MetricArg>,
    /// Run folder (or `demo`) that --against-k takes its map from. Default: 64 samples of the domain are scanned first.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub controls: ControlArgs,
    #[command(flatten)]
    pub items: ItemArgs,
    /// Folder of the results; an earlier sweep in it, if it is the same, is gone on with. Default: one below the data folder, named after the request.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct BreakArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub file: FileArgs,
    /// The domain that is to break; the other domains are to be spared.
    #[arg(long, value_name = "NAME")]
    pub domain: String,
    /// Neurons the search chooses from: the top N of the domain's map.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = parse_count)]
    pub candidates: usize,
    /// Accuracy at or below which the domain counts as broken. Default: chance.
    #[arg(long, value_name = "ACCURACY", value_parser = parse_share)]
    pub threshold: Option<f64>,
    /// Weight of the mean damage to the other domains against the damage to this one.
    #[arg(long, value_name = "WEIGHT", default_value_t = 1.0, value_parser = parse_weight)]
    pub penalty: f64,
    /// Neurons of the largest set.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub most: usize,
    /// Which map the candidates are the top of.
    #[arg(long, value_enum)]
    pub metric: Option<MetricArg>,
    /// Run folder (or `demo`) with that map. Default: 64 samples of the domain are scanned first.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub controls: ControlArgs,
    #[command(flatten)]
    pub items: ItemArgs,
    /// Folder of the result. Default: one below the data folder, named after the request.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
