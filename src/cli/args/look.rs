//! `trace`, `inspect`, `lens`, `generate`.

use super::{
    common::{Common, FileArgs, Output},
    parse::{parse_count, parse_mode, parse_selection},
    values::{AtArg, ObjectiveArg},
};
use crate::{ablate::Selection, app::DeviceChoice, eval::AblationMode};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("input").required(true).args(["text", "tokens"])))]
pub struct TraceArgs {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// Folder that `tune` wrote: its overlay is put on the model.
    #[arg(long, value_name = "DIR")]
    pub tuned: Option<PathBuf>,
    /// What the model reads.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// The same as token ids.
    #[arg(long, value_delimiter = ',', value_name = "1,2,3")]
    pub tokens: Vec<u32>,
    /// Hook points by their TransformerLens names, e.g. `blocks.0.mlp.hook_post`; `*` for every layer. Default: all.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub hooks: Vec<String>,
    /// Where the tensors go, with `logits` [pos, vocab] and `tokens`.
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
    /// As for a scan; a trace is computed on the processor.
    #[arg(long, value_name = "auto|cpu|gpu[:N]", default_value = "auto")]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// A run whose relevance stands in the exported picture.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// A neuron (`L3N17`) or a head (`L3H2`).
    #[arg(value_name = "L3N17")]
    pub what: String,
    #[command(flatten)]
    pub common: Common,
    /// Samples of each domain that are read.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_count)]
    pub samples: usize,
    /// Which samples: prompts (`max-logit`), or prompts with their right answers (`loss`), as a scan reads them.
    #[arg(long, value_enum, default_value_t = ObjectiveArg::MaxLogit)]
    pub objective: ObjectiveArg,
    /// Also the activation at every token of this text, or the head's attention on it.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// The same of one of the samples that are read, counted from 0 through all domains. Default for a head: the first.
    #[arg(long, value_name = "N", conflicts_with = "text")]
    pub sample: Option<usize>,
    /// Reads --text alone and no sample, so that no data is needed. Of a head only: a neuron is told by what drives it.
    #[arg(long, requires = "text", conflicts_with_all = ["data", "samples", "objective"])]
    pub no_index: bool,
}

#[derive(Args, Debug)]
pub struct LensArgs {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// Folder that `tune` wrote: its overlay is put on the model.
    #[arg(long, value_name = "DIR")]
    pub tuned: Option<PathBuf>,
    /// What the model reads.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub text: String,
    /// Position that the table shows, from 0. Default: the last. JSON has all.
    #[arg(long, value_name = "N")]
    pub position: Option<usize>,
    /// Neurons and heads that are switched in a second reading: `L3N17,L4N0-15,L3H2` or a JSON file.
    #[arg(long, value_name = "SET", value_parser = parse_selection)]
    pub neurons: Option<Selection>,
    /// What happens to them: `zero` or `scale=K`.
    #[arg(long, value_name = "MODE", value_parser = parse_mode, requires = "neurons")]
    pub mode: Option<AblationMode>,
    /// Where: at every position, or only at the last, which predicts the answer.
    #[arg(long, value_enum, value_name = "POSITION", default_value_t = AtArg::All, requires = "neurons")]
    pub at: AtArg,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Model folder, GGUF file, org/name of the Hugging Face cache, or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// Folder that `tune` wrote: its overlay is put on the model.
    #[arg(long, value_name = "DIR")]
    pub tuned: Option<PathBuf>,
    /// What the text begins with.
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    pub prompt: String,
    /// Most tokens to add.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = parse_count)]
    pub tokens: usize,
    /// 0 takes the likeliest token each time.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f64>,
    /// Only this many of the likeliest tokens.
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub output: Output,
}
