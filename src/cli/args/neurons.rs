//! Arguments of `brodmann neurons` and `brodmann prove`.

use super::{
    ChangeArgs, Common, ControlArgs, FileArgs, Lines,
    parse::{parse_count, parse_lines, parse_percent},
};
use crate::{
    scan::{Aggregation, RelevanceConfig},
    task::{DetectConfig, Ranking},
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How the neurons of a task are found.
#[derive(Args, Debug, Clone)]
pub struct FindArgs {
    /// Samples of each task that rank its neurons.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub samples: usize,
    /// Among which neurons the share is taken: all of the model, or each layer's own.
    #[arg(long, value_enum, default_value_t = RankingArg::Global)]
    pub ranking: RankingArg,
    /// How a sample's tokens become one number: `sum` |sum of a dLoss/da|, `per-token` sum of |a dLoss/da|, `signed` by the predicted rise of the loss
    /// when the neuron is off.
    #[arg(long, value_enum, default_value_t = TokensArg::Sum)]
    pub tokens: TokensArg,
    /// Integrate the gradient along the neurons' gates, all from shut to open, in N steps (16 is a good start; the share that they miss is said) instead of taking it at the model as it is.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub steps: Option<usize>,
    /// Also rank the output coordinates of the MLPs (the paper's columns of the output matrix); a list of their own.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, value_name = "true|false")]
    pub columns: bool,
    /// Bootstrap resamples of the samples behind the stability of a set; 0: none.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub draws: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RankingArg {
    Global,
    PerLayer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokensArg {
    Sum,
    PerToken,
    Signed,
}

impl From<RankingArg> for Ranking {
    fn from(r: RankingArg) -> Self {
        match r {
            RankingArg::Global => Self::Global,
            RankingArg::PerLayer => Self::PerLayer,
        }
    }
}

impl From<TokensArg> for Aggregation {
    fn from(t: TokensArg) -> Self {
        match t {
            TokensArg::Sum => Self::Sum,
            TokensArg::PerToken => Self::PerToken,
            TokensArg::Signed => Self::Signed,
        }
    }
}

impl FindArgs {
    pub fn config(&self, common: &Common, percent: f64) -> DetectConfig {
        DetectConfig {
            relevance: RelevanceConfig {
                samples: self.samples,
                seed: common.seed,
                order: common.order.into(),
                max_tokens: common.max_tokens,
                aggregation: self.tokens.into(),
                steps: self.steps,
                columns: self.columns,
                draws: self.draws,
            },
            ranking: self.ranking.into(),
            percent,
        }
    }
}

#[derive(Args, Debug)]
pub struct NeuronsArgs {
    #[command(flatten)]
    pub file: FileArgs,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub find: FindArgs,
    /// k: share of the neurons that a task's set takes.
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = parse_percent)]
    pub percent: f64,
    /// No accuracy against k, and so no suggestion of k.
    #[arg(long)]
    pub no_curve: bool,
    /// The k of the curve that suggests one: accuracy with the task's own neurons off, on rows that did not choose them.
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,...", value_parser = parse_percent, default_value = "0.1,0.2,0.5,1,2,5,10,20,50")]
    pub percents: Vec<f64>,
    /// Random sets beside each point of the curve.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub controls: usize,
    /// Rows of the curve at most.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub curve_samples: usize,
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Run folder: maps as a scan's, `neurons.json`, and a set file for each task that `ablate --neurons` reads (default: nowhere).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ProveArgs {
    #[command(flatten)]
    pub common: Common,
    /// Run folder of `neurons` or `scan` (or `demo`) whose relevance ranks the neurons. Default: the tasks' neurons are found first.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    #[command(flatten)]
    pub find: FindArgs,
    /// k: shares of the neurons that are switched.
    #[arg(long, alias = "percent", value_delimiter = ',', value_name = "PERCENT,...", value_parser = parse_percent, default_value = "10")]
    pub percents: Vec<f64>,
    /// Also multiply the activations of each task's neurons by these: below 1 inhibits, above 1 amplifies.
    #[arg(long, value_delimiter = ',', value_name = "FACTOR,...")]
    pub factors: Vec<f64>,
    /// The k of --factors.
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = parse_percent)]
    pub scaled_percent: f64,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub controls: ControlArgs,
    /// Items of each task that are scored, at most. Default: all. Rows that chose neurons are never among them.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub questions: Option<usize>,
    /// Lines of a task's file that are not scored; repeatable.
    #[arg(long, value_name = "NAME=1-64,70", value_parser = parse_lines)]
    pub exclude: Vec<Lines>,
    /// Folder of the matrix; an earlier one in it, if it is the same, is gone on with. Default: one below the data folder, named after the request.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
