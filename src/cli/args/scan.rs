//! `scan`, `similarity`, `eval`.

use super::{
    common::Common,
    parse::{parse_count, parse_gamma, parse_layer_or_range, parse_lines},
    values::{Lines, MetricArg, ObjectiveArg},
};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct ScanArgs {
    #[command(flatten)]
    pub common: Common,
    /// Samples of each domain.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub samples: usize,
    /// What is differentiated: the largest logit at a prompt's last position, or the loss of the right answer.
    #[arg(long, value_enum, default_value_t = ObjectiveArg::MaxLogit)]
    pub objective: ObjectiveArg,
    /// A weight counts as activated in a domain above this mean |w dD/dw|.
    #[arg(long, default_value = "2e-6", value_parser = parse_gamma)]
    pub gamma: f32,
    /// What to measure. Default: all.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METRIC,...")]
    pub metrics: Vec<MetricArg>,
    /// Run folder (default: a new one below the data folder).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The run as one HTML page.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("layers").required(true).args(["layer", "all_layers"])))]
pub struct SimilarityArgs {
    #[command(flatten)]
    pub common: Common,
    /// A layer, or layers FIRST-LAST; repeatable.
    #[arg(long, value_name = "L|FIRST-LAST", value_parser = parse_layer_or_range)]
    pub layer: Vec<(usize, usize)>,
    /// Every layer of the model.
    #[arg(long)]
    pub all_layers: bool,
    /// Samples of each domain.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub samples: usize,
    /// What is differentiated: the largest logit at a prompt's last position, or the loss of the right answer.
    #[arg(long, value_enum, default_value_t = ObjectiveArg::MaxLogit)]
    pub objective: ObjectiveArg,
    /// Where the matrices go, with the samples' lines and texts.
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
}

#[derive(Args, Debug)]
pub struct EvalArgs {
    #[command(flatten)]
    pub common: Common,
    /// One JSON line an item: its row, the log-likelihood of every choice, the chosen one, whether it is right.
    #[arg(long, value_name = "FILE.jsonl")]
    pub log_samples: Option<PathBuf>,
    /// Items of each domain. Default: all of them.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub samples: Option<usize>,
    /// Lines of a domain's file that are not scored; repeatable. Rows that `top:` chose its neurons on are left out anyway.
    #[arg(long, value_name = "NAME=1-64,70", value_parser = parse_lines)]
    pub exclude: Vec<Lines>,
}
