//! `tune`.

use super::{
    common::Common,
    parse::{parse_count, parse_percent},
};
use crate::{
    ablate::Selection,
    app::TrainWhat,
    model::Matrix,
    tune::{Learn, LoraConfig, OptimizerConfig, SgdConfig, TuneConfig},
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct TuneArgs {
    #[command(flatten)]
    pub common: Common,
    /// Domain that is learnt. A file's rows are parted by the seed: 60 % are learnt, 15 % choose the best step, 25 % judge at the end (the demo has its own three
    /// splits). A row that judges is never learnt and chooses nothing.
    #[arg(long, value_name = "NAME")]
    pub task: String,
    /// What trains: `all`, `top:PERCENT` (the task's most relevant neurons), `random:PERCENT` (as many in each layer), `L3N17,L4N0-15`, a JSON file
    /// of neurons, or `lora[:RANK[:ALPHA[:q,v,...]]]`. What does not train stays bit for bit.
    #[arg(long, value_name = "WHAT", default_value = "top:10", value_parser = parse_train)]
    pub train: TrainArg,
    /// Which tokens are learnt: the right answer's, or all.
    #[arg(long, value_enum, default_value_t = LearnArg::Answer)]
    pub learn: LearnArg,
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = parse_count)]
    pub steps: usize,
    /// Sequences a step.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = parse_count)]
    pub batch: usize,
    /// Highest learning rate; see --warmup and --floor.
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub rate: f64,
    #[arg(long, value_enum, default_value_t = OptimizerArg::Adamw)]
    pub optimizer: OptimizerArg,
    /// Of matrices: decoupled with AdamW, added to the gradient with SGD.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Share of the steps in which the rate rises, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub warmup: f64,
    /// Share of the rate that a cosine leaves at the last step; 1 keeps it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub floor: f64,
    /// Gradients are scaled down to this length where theirs is larger.
    #[arg(long, value_name = "LENGTH", default_value_t = 1.0)]
    pub clip: f64,
    /// Tokens that are computed at once; the gradients of a batch are summed over as many as it takes.
    #[arg(long, value_name = "TOKENS", default_value_t = 2048, value_parser = parse_count)]
    pub micro_batch: usize,
    /// Rows that are learnt, at most. Default: all.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub train_items: Option<usize>,
    /// Items of each domain that judge, at most. Default: all.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub samples: Option<usize>,
    /// Steps between two evaluations; 0: before the first and after the last only.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub evaluate_every: usize,
    /// Evaluations without a better one after which training stops; 0: never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub patience: usize,
    /// Folder for the overlay, the curves (tune.json) and the checkpoints; the same command goes on from a checkpoint there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Also write the tuned model as a folder that other tools load.
    #[arg(long, value_name = "DIR")]
    pub save_model: Option<PathBuf>,
}

/// What trains, before a file of neurons is read.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainArg {
    What(TrainWhat),
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LearnArg {
    Answer,
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OptimizerArg {
    Adamw,
    /// With momentum 0.9.
    Sgd,
}

impl From<LearnArg> for Learn {
    fn from(l: LearnArg) -> Self {
        match l {
            LearnArg::Answer => Self::Answer,
            LearnArg::All => Self::All,
        }
    }
}

impl From<OptimizerArg> for OptimizerConfig {
    fn from(o: OptimizerArg) -> Self {
        match o {
            OptimizerArg::Adamw => TuneConfig::default().optimizer,
            OptimizerArg::Sgd => Self::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.0 }),
        }
    }
}

fn parse_train(text: &str) -> Result<TrainArg, String> {
    if text == "all" {
        return Ok(TrainArg::What(TrainWhat::All));
    }
    if let Some(percent) = text.strip_prefix("random:") {
        return Ok(TrainArg::What(TrainWhat::Random { percent: parse_percent(percent)? }));
    }
    if let Some(percent) = text.strip_prefix("top:") {
        return Ok(TrainArg::What(TrainWhat::Top { percent: parse_percent(percent)? }));
    }
    if text == "lora" || text.starts_with("lora:") {
        let mut parts = text.split(':').skip(1);
        let defaults = LoraConfig::default();
        let rank = parts.next().map_or(Ok(defaults.rank), |r| parse_count(r).map_err(|e| format!("the rank: {e}")))?;
        let alpha = match parts.next() {
            None => 2.0 * rank as f64,
            Some(a) => a.parse::<f64>().ok().filter(|a| a.is_finite()).ok_or_else(|| format!("`{a}` is no number for alpha"))?,
        };
        let named = |t: &str| {
            let names: Vec<&str> = Matrix::ALL.iter().map(|m| m.name()).collect();
            let found = Matrix::ALL.into_iter().find(|m| m.name() == t);
            found.ok_or_else(|| format!("`{t}` is no matrix; there are {}", names.join(", ")))
        };
        let targets = parts.next().map_or(Ok(defaults.targets), |t| t.split(',').map(named).collect())?;
        return Ok(TrainArg::What(TrainWhat::Lora { config: LoraConfig { rank, alpha, targets } }));
    }
    match text.parse::<Selection>().map_err(|e| e.to_string())? {
        Selection::Places { heads, .. } if !heads.is_empty() => Err("heads cannot be trained alone; name neurons".into()),
        Selection::Places { neurons, .. } => Ok(TrainArg::What(TrainWhat::Neurons { neurons })),
        Selection::File(path) => Ok(TrainArg::File(path)),
        Selection::Top { .. } => Err("write top:PERCENT; the domain is --task".into()),
        Selection::Formula(_) => Err("a formula needs a run's maps; write its set to a file first and name that".into()),
    }
}
