//! Arguments that several verbs share.

use super::{
    super::prompt_args::PromptArgs,
    parse::{parse_count, parse_data, parse_export, parse_lines, parse_map, parse_mode, parse_pixels},
    values::{AtArg, ColoursArg, Data, FieldMap, Format, Lines, MatchArg, OrderArg, ThemeArg},
};
use crate::{app::DeviceChoice, eval::AblationMode};
use clap::Args;
use std::path::PathBuf;

/// What is printed, as a file too.
#[derive(Args, Debug, Clone)]
pub struct FileArgs {
    /// Also as a picture (.png, .svg) or a table in long form (.csv, .tsv, .parquet).
    #[arg(long, value_name = "FILE", value_parser = parse_export)]
    pub export: Option<PathBuf>,
    /// Pixels a point of an exported PNG.
    #[arg(long, value_name = "SCALE", default_value_t = 2.0, value_parser = parse_pixels)]
    pub pixels: f32,
    /// Of an exported picture.
    #[arg(long, value_enum, default_value_t = ThemeArg::Light)]
    pub theme: ThemeArg,
    /// Colours of an exported map that has no sign.
    #[arg(long, value_enum, default_value_t = ColoursArg::Viridis)]
    pub colours: ColoursArg,
}

#[derive(Args, Debug, Clone)]
pub struct PredictArgs {
    /// Also predict every change to first order, from one backward pass over each domain, and say it beside what is measured. With FILE, predicted against
    /// measured as a picture (.png, .svg) or a table (.csv, .tsv, .parquet).
    #[arg(long, value_name = "FILE", num_args = 0..=1, value_parser = parse_export)]
    pub predict: Option<Option<PathBuf>>,
}

#[derive(Args, Debug, Clone)]
pub struct Common {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// Folder that `tune` wrote: its overlay is put on the model, which must be the one it was tuned from.
    #[arg(long, value_name = "DIR")]
    pub tuned: Option<PathBuf>,
    /// A domain and its file (JSONL, JSON, CSV, TSV, Parquet or text) or folder of files; `NAME=ORG/NAME:SPLIT` for a data set in Hugging Face's
    /// cache; repeatable. `NAME=demo` or just `demo` for built-in ones. Default: all demo domains.
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_data)]
    pub data: Vec<Data>,
    /// Which column plays which part, e.g. `news.text=body`; repeatable. Default: found from the columns' names. Beside columns: `NAME.recipe=ID`,
    /// `NAME.header=none`, `NAME.rows=paragraphs` (of a plain text; default `lines`, or `file`).
    #[arg(long, value_name = "NAME.FIELD=COLUMN", value_parser = parse_map)]
    pub map: Vec<FieldMap>,
    /// Refuse a file at its first bad row instead of skipping and counting such rows.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// Seed of every shuffle and random control.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Which items come first.
    #[arg(long, value_enum, default_value_t = OrderArg::Shuffle)]
    pub order: OrderArg,
    /// Longest sequence. Text keeps its first N tokens; a question's context is cut on the left.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = parse_count)]
    pub max_tokens: usize,
    /// Where scans run: `auto` (a graphics card where that is faster, transfers included), `cpu`, `gpu` or `gpu:N` as `brodmann devices` lists them.
    /// All else is computed on the processor.
    #[arg(long, value_name = "auto|cpu|gpu[:N]", default_value = "auto")]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug, Clone)]
pub struct Output {
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// No progress, no remarks: results, warnings and errors only.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Random sets beside a set.
#[derive(Args, Debug, Clone)]
pub struct ControlArgs {
    /// Random controls: sets with as many neurons in each layer.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub controls: usize,
    /// What controls have in common with the set: as many neurons in each layer (`size`), or also in each tenth of a layer by mean |activation|
    /// (`scale`; needs a run that holds it).
    #[arg(long = "match", value_enum, default_value_t = MatchArg::Size)]
    pub like: MatchArg,
}

/// Which items are scored.
#[derive(Args, Debug, Clone)]
pub struct ItemArgs {
    /// Items of each domain. Default: all of them.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub samples: Option<usize>,
    /// Lines of a domain's file that are not scored; repeatable. Rows that neurons were chosen on are left out anyway.
    #[arg(long, value_name = "NAME=1-64,70", value_parser = parse_lines)]
    pub exclude: Vec<Lines>,
}

/// What happens to the neurons, and where.
#[derive(Args, Debug, Clone)]
pub struct ChangeArgs {
    /// What happens to them: `zero`, `mean` (their mean over a split that is not scored), `positional-mean` (at the same position),
    /// `resample=DOMAIN` (their values in that domain's texts; drawn by a seed, `resample=DOMAIN@7`), `scale=K` (K below 1 damps, above 1 amplifies).
    #[arg(long, value_name = "MODE", default_value = "zero", value_parser = parse_mode)]
    pub mode: AblationMode,
    /// Where: at every position, or only at those that predict the answer.
    #[arg(long, value_enum, default_value_t = AtArg::All)]
    pub at: AtArg,
}
