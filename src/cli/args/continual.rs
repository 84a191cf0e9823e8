//! `continual`, `transfer`.

use super::{
    common::Common,
    parse::{parse_count, parse_percent},
    tune::{LearnArg, OptimizerArg},
};
use crate::{
    app::RowLimits,
    task::{ContinualConfig, Method, TransferConfig},
    tune::{LoraConfig, TuneConfig},
};
use clap::Args;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Args, Debug)]
pub struct ContinualArgs {
    #[command(flatten)]
    pub common: Common,
    /// Domains in the order in which they are learnt; other domains of --data are judged and never learnt. Default: all of --data, as given.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub tasks: Vec<String>,
    /// `sequential` (every parameter), `lora` (the same adapters), `ncft` (only the task's neurons), `w-ncft` (those updates, weighted at test time),
    /// `random` (as many random neurons), `single` (one model a task). Default: all.
    #[arg(long, value_delimiter = ',', value_name = "METHOD,...", value_parser = parse_method)]
    pub methods: Vec<Method>,
    /// Each method is repeated with these: order of the rows, random neurons, adapters' start.
    #[arg(long, value_delimiter = ',', value_name = "SEED,...", default_value = "0,1,2")]
    pub seeds: Vec<u64>,
    /// Share of all neurons that are a task's own.
    #[arg(long, default_value_t = 10.0, value_parser = parse_percent)]
    pub percent: f64,
    /// Of W-NCFT's softmax over cosines of task features.
    #[arg(long, default_value_t = ContinualConfig::default().temperature)]
    pub temperature: f64,
    /// Rank and alpha of the adapters.
    #[arg(long, value_name = "RANK[:ALPHA]", value_parser = parse_lora, default_value = "8")]
    pub lora: LoraConfig,
    /// Highest learning rate of one method, where it is not --rate; repeatable.
    #[arg(long, value_name = "METHOD=RATE", value_parser = parse_rate)]
    pub rate_of: Vec<(Method, f64)>,
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Folder of the results; the same command goes on in it where it was stopped, one with more seeds or methods adds to it, one with fewer is told from
    /// it. Default: one below the data folder, named after the request.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct TransferArgs {
    #[command(flatten)]
    pub common: Common,
    /// Share of all neurons that are a task's own: of overlap and similarity.
    #[arg(long, default_value_t = 10.0, value_parser = parse_percent)]
    pub percent: f64,
    /// Shares that train, for scores against the share.
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,...", value_parser = parse_percent, default_value = "1,5,10,20,50,100")]
    pub percents: Vec<f64>,
    /// Each training is repeated with these.
    #[arg(long, value_delimiter = ',', value_name = "SEED,...", default_value = "0")]
    pub seeds: Vec<u64>,
    #[command(flatten)]
    pub training: TrainingArgs,
    /// Folder of the results; the same command goes on in it where it was stopped, one with more seeds or shares adds to it, one with fewer is told from
    /// it. Default: one below the data folder, named after the request.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// How each task is learnt.
#[derive(Args, Debug)]
pub struct TrainingArgs {
    /// Steps a task, at most.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = parse_count)]
    pub steps: usize,
    /// Sequences a step.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = parse_count)]
    pub batch: usize,
    /// Highest learning rate: it rises over the first twentieth of the steps and falls by a cosine to a tenth.
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub rate: f64,
    /// Which tokens are learnt: the right answer's, or all.
    #[arg(long, value_enum, default_value_t = LearnArg::Answer)]
    pub learn: LearnArg,
    #[arg(long, value_enum, default_value_t = OptimizerArg::Adamw)]
    pub optimizer: OptimizerArg,
    /// Steps between two looks at the validation rows.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub evaluate_every: usize,
    /// Looks without a better one after which a task is done; 0: never. The best weights are kept.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub patience: usize,
    /// Training rows whose relevance chooses a task's neurons.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub relevance_samples: usize,
    /// Rows of a task that are learnt, at most. A file's rows are parted by --seed: a quarter of them judge, 15 % say when to stop. Default: all.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub train_items: Option<usize>,
    /// Rows of a task that say when to stop, at most. Default: all.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub validation_items: Option<usize>,
    /// Test rows of each domain, at most. Default: all.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub samples: Option<usize>,
}

impl TrainingArgs {
    fn config(&self, common: &Common, base: TuneConfig) -> TuneConfig {
        TuneConfig {
            learn: self.learn.into(),
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.rate,
            optimizer: self.optimizer.into(),
            seed: common.seed,
            max_tokens: common.max_tokens,
            evaluate_every: self.evaluate_every,
            patience: self.patience,
            ..base
        }
    }
    pub fn rows(&self) -> RowLimits {
        RowLimits { train: self.train_items, validation: self.validation_items, test: self.samples }
    }
}

impl ContinualArgs {
    pub fn config(&self) -> ContinualConfig {
        let usual = ContinualConfig::default();
        ContinualConfig {
            methods: if self.methods.is_empty() { usual.methods.clone() } else { self.methods.iter().copied().collect() },
            seeds: self.seeds.clone(),
            percent: self.percent,
            temperature: self.temperature,
            lora: self.lora.clone(),
            rates: self.rate_of.iter().copied().collect::<BTreeMap<_, _>>(),
            relevance_samples: self.training.relevance_samples,
            tune: self.training.config(&self.common, usual.tune.clone()),
            ..usual
        }
    }
}

impl TransferArgs {
    pub fn config(&self) -> TransferConfig {
        let usual = TransferConfig::default();
        TransferConfig {
            percent: self.percent,
            percents: self.percents.clone(),
            seeds: self.seeds.clone(),
            relevance_samples: self.training.relevance_samples,
            tune: self.training.config(&self.common, usual.tune),
        }
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let ids = || Method::ALL.map(Method::id).join(", ");
    Method::parse(text).ok_or_else(|| format!("there is no method `{text}`; there are {}", ids()))
}

fn parse_rate(text: &str) -> Result<(Method, f64), String> {
    let (method, rate) = text.split_once('=').ok_or("write METHOD=RATE, e.g. ncft=1e-3")?;
    let rate = rate.parse::<f64>().map_err(|_| format!("`{rate}` is no number"))?;
    Ok((parse_method(method)?, rate))
}

fn parse_lora(text: &str) -> Result<LoraConfig, String> {
    let (rank, alpha) = text.split_once(':').map_or((text, None), |(r, a)| (r, Some(a)));
    let rank = parse_count(rank).map_err(|e| format!("the rank: {e}"))?;
    let alpha = match alpha {
        None => 2.0 * rank as f64,
        Some(a) => a.parse::<f64>().ok().filter(|a| a.is_finite()).ok_or_else(|| format!("`{a}` is no number for alpha"))?,
    };
    Ok(LoraConfig { rank, alpha, ..LoraConfig::default() })
}
