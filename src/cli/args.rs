//! What can be typed. Parsing only: every check that needs a file or a model happens later.

use super::prompt_args::PromptArgs;
use crate::{
    ablate::{ControlMatch, Selection, SweepUnit},
    app::{DeviceChoice, TrainWhat},
    base::{
        NeuronSet,
        heatmap::{
            ColourMap, Combine, PerLayer, ScaleKind,
            scale::{PERCENTILE, PERCENTILES},
        },
    },
    eval::{AblationAt, AblationMode},
    report::{
        export::{FileKind, VIEWS, View},
        neuron_order::NeuronOrder,
    },
    scan::{MetricKind, ObjectiveKind, Order},
    tune::{Learn, LoraConfig, OptimizerConfig, SgdConfig, TuneConfig},
};
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use std::{collections::BTreeSet, path::PathBuf};

#[derive(Parser, Debug)]
#[command(
    name = "brodmann",
    version,
    about = "See which neurons of a language model serve which domain, switch them off and watch what breaks.",
    long_about = "See which neurons of a language model serve which domain, switch them off and watch what breaks.\n\nWithout a verb the window opens on the last project, or on the demo. Where there is no display, the demo is scanned and an HTML report written instead.",
    after_help = "Exit codes: 0 done, 1 failure (or stopped by Ctrl-C), 2 usage.\nBRODMANN_LOG sets what is logged on stderr, e.g. BRODMANN_LOG=brodmann=debug.",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Project file for the window.
    #[arg(value_name = "PROJECT")]
    pub project: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Density, LLMDcos, relevance and activations of every neuron in every domain; writes a run folder.
    Scan(ScanArgs),
    /// Accuracy and perplexity of a model in every domain.
    Eval(EvalArgs),
    /// Accuracy before and after neurons are switched off, beside random controls of the same size.
    Ablate(AblateArgs),
    /// Each neuron, head or layer switched by itself over a domain; or accuracy against the share of neurons that is switched.
    Sweep(SweepArgs),
    /// The smallest set of neurons found that breaks a domain and spares the others.
    Break(BreakArgs),
    /// The hook points' tensors of one forward pass, under their TransformerLens names.
    Trace(TraceArgs),
    /// One neuron or head: where it fires, the texts that drive it, what it writes, what is like it.
    Inspect(InspectArgs),
    /// What every layer of a model would say next after a text.
    Lens(LensArgs),
    /// How alike every two samples use a layer's weights (LLMDcos), exactly; writes one [N, N] matrix a layer.
    Similarity(SimilarityArgs),
    /// One view of a run as a picture (PNG, SVG) with axes, colour bar and provenance, as a table in long form (CSV, TSV, Parquet), or as dense arrays
    /// (safetensors).
    Export(ExportArgs),
    /// A saved project's numbers made again and compared with those it holds. Exit code 1 and a table of differences when they are not the same.
    Replay(ReplayArgs),
    /// Commands as the window sends them, one JSON object a line.
    Script(ScriptArgs),
    /// What a model folder or a run folder holds and, for a run, the command that repeats it.
    Info(InfoArgs),
    /// Graphics cards that scans can run on, and which one `--device auto` takes.
    Devices(DevicesArgs),
    /// Models in the Hugging Face cache: size, family, and whether there is memory for them. Nothing is downloaded.
    Models(ModelsArgs),
    /// Text that a model writes after a prompt.
    Generate(GenerateArgs),
    /// Whether a model is computed rightly: its forward pass and its gradients against plain f64 arithmetic. Exit code 1 if not.
    Check(CheckArgs),
    /// Trains a model, only some of its neurons, or low-rank adapters on one domain; every domain is judged before and after.
    Tune(TuneArgs),
    /// The built-in demo: train its model from nothing, its facts, its ablation matrix.
    Demo(DemoArgs),
}

#[derive(Args, Debug, Clone)]
pub struct Common {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
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
    /// The accuracies as a picture (.png, .svg) or a table in long form (.csv, .tsv, .parquet), beside what is printed.
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Pixels a point of an exported PNG.
    #[arg(long, value_name = "SCALE", default_value_t = 2.0, value_parser = parse_pixels)]
    pub pixels: f32,
    /// Of an exported picture.
    #[arg(long, value_enum, default_value_t = ThemeArg::Light)]
    pub theme: ThemeArg,
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["unit", "against_k"])))]
pub struct SweepArgs {
    #[command(flatten)]
    pub common: Common,
    /// Switch each neuron, head or layer (all of its neurons and heads) by itself, and score --domain each time. Goes on where it was stopped.
    #[arg(long, value_name = "neuron|head|layer", value_parser = parse_unit, requires = "domain")]
    pub unit: Option<SweepUnit>,
    /// The domain that is scored.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
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
    /// `resample=DOMAIN` (their values in that domain's texts; drawn by a seed, `resample=DOMAIN@7`), `scale=K` (0 to 5 damps or amplifies).
    #[arg(long, value_name = "MODE", default_value = "zero", value_parser = parse_mode)]
    pub mode: AblationMode,
    /// Where: at every position, or only at those that predict the answer.
    #[arg(long, value_enum, default_value_t = AtArg::All)]
    pub at: AtArg,
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("input").required(true).args(["text", "tokens"])))]
pub struct TraceArgs {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// What the model reads.
    #[arg(long, value_name = "STRING")]
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
    #[arg(long, value_name = "STRING")]
    pub text: Option<String>,
}

#[derive(Args, Debug)]
pub struct LensArgs {
    /// Model folder as Hugging Face lays it out, a .gguf file, a name in the Hugging Face cache (org/name), or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// What the model reads.
    #[arg(long, value_name = "STRING")]
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
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Run folder, or `demo` for the stored run of the demo.
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
    /// Threshold of the density. Default: the run's own.
    #[arg(long, value_parser = parse_gamma)]
    pub gamma: Option<f32>,
    /// Layers that LLMDcos is averaged over. Default: from the middle, without the last two.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_layers)]
    pub layers: Option<(usize, usize)>,
    /// Layer of the samples' matrix. Default: the last one that was compared.
    #[arg(long, value_name = "L")]
    pub layer: Option<usize>,
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

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Model folder, GGUF file, org/name of the Hugging Face cache, or `demo`.
    #[arg(long, value_name = "PATH", default_value = "demo")]
    pub model: PathBuf,
    /// What the text begins with.
    #[arg(long, value_name = "STRING")]
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

#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Project file with numbers in it: saved after a scan or an evaluation.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the project's model lies on this machine, if elsewhere than the project says.
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// List what is identical too.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct ScriptArgs {
    /// Commands, one JSON object a line; `#` begins a remark; `-` reads stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Project to begin with.
    #[arg(long, value_name = "FILE")]
    pub project: Option<PathBuf>,
    /// Keep the last project up to date while it changes, as the window does.
    #[arg(long)]
    pub autosave: bool,
    /// Wait after every command until nothing works any more. Without it steps follow each other as in the window.
    #[arg(long)]
    pub wait: bool,
    /// Keep no run folders of scans.
    #[arg(long)]
    pub no_runs: bool,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct ModelsArgs {
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Model folder, GGUF file, org/name of the Hugging Face cache, or `demo`.
    #[arg(value_name = "MODEL", default_value = "demo")]
    pub model: PathBuf,
    /// Check although a certificate of these weights is kept.
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct TuneArgs {
    #[command(flatten)]
    pub common: Common,
    /// Domain that is learnt. A file's rows are parted by the seed: a quarter of them judge and are never learnt.
    #[arg(long, value_name = "NAME")]
    pub task: String,
    /// What trains: `all`, `top:PERCENT` (the task's most relevant neurons), `random:PERCENT` (as many in each layer), `L3N17,L4N0-15`, a JSON file
    /// of neurons, or `lora[:RANK[:ALPHA]]`. What does not train stays bit for bit.
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
    /// Highest learning rate: it rises over the first twentieth of the steps and falls by a cosine to a tenth.
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub rate: f64,
    #[arg(long, value_enum, default_value_t = OptimizerArg::Adamw)]
    pub optimizer: OptimizerArg,
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

#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Model folder, GGUF file, org/name of the Hugging Face cache, run folder, or `demo`.
    #[arg(value_name = "PATH", default_value = "demo")]
    pub path: PathBuf,
    /// The same, as the other verbs write it.
    #[arg(long, value_name = "PATH", conflicts_with = "path")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args, Debug)]
pub struct DemoArgs {
    #[command(subcommand)]
    pub verb: DemoVerb,
}

#[derive(Subcommand, Debug)]
pub enum DemoVerb {
    /// Trains the demo model from nothing: same seed, same machine, same bytes. Takes about seven minutes on two idle cores; resumes where it stopped.
    Train {
        /// Model folder to write; holds the checkpoint while training.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        output: Output,
    },
    /// What is built in: model, domains, run.
    Info {
        #[command(flatten)]
        output: Output,
    },
    /// Accuracy of every domain with the top neurons of each domain switched off in turn; the sets come from the stored run.
    AblationMatrix {
        /// Share of all neurons that is switched off.
        #[arg(long, default_value_t = 10.0, value_parser = parse_percent)]
        percent: f64,
        #[arg(long, value_name = "N", default_value_t = 5)]
        controls: usize,
        /// Questions of each domain that are scored. Default: all of the test split. The sets do not depend on it: they are the top neurons by the
        /// relevance of the stored run (64 validation items a domain).
        #[arg(long, value_name = "N", value_parser = parse_count)]
        samples: Option<usize>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AtArg {
    All,
    Answer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MatchArg {
    Size,
    Scale,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OrderArg {
    Shuffle,
    File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ObjectiveArg {
    MaxLogit,
    Loss,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScaleArg {
    Linear,
    Log,
    /// Linear up to --percentile.
    Clipped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CombineArg {
    Difference,
    /// log2 of the magnitudes' ratio.
    Ratio,
    /// Percentile points between their ranks.
    RankDifference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PerLayerArg {
    None,
    /// Share of the layer's largest magnitude.
    Max,
    /// Rank within the layer, 0 to 1.
    Rank,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ColoursArg {
    Viridis,
    Cividis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThemeArg {
    Light,
    Dark,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MetricArg {
    #[value(alias = "param_activation", alias = "density")]
    ParamActivation,
    Llmdcos,
    Relevance,
    #[value(alias = "mean_activation")]
    MeanActivation,
    #[value(alias = "mean_abs_activation")]
    MeanAbsActivation,
}

impl From<AtArg> for AblationAt {
    fn from(a: AtArg) -> Self {
        match a {
            AtArg::All => Self::All,
            AtArg::Answer => Self::Answer,
        }
    }
}

impl From<MatchArg> for ControlMatch {
    fn from(m: MatchArg) -> Self {
        match m {
            MatchArg::Size => Self::Size,
            MatchArg::Scale => Self::Scale,
        }
    }
}

impl From<OrderArg> for Order {
    fn from(o: OrderArg) -> Self {
        match o {
            OrderArg::Shuffle => Self::Shuffle,
            OrderArg::File => Self::File,
        }
    }
}

impl From<ObjectiveArg> for ObjectiveKind {
    fn from(o: ObjectiveArg) -> Self {
        match o {
            ObjectiveArg::MaxLogit => Self::MaxLogit,
            ObjectiveArg::Loss => Self::Loss,
        }
    }
}

impl From<CombineArg> for Combine {
    fn from(c: CombineArg) -> Self {
        match c {
            CombineArg::Difference => Self::Difference,
            CombineArg::Ratio => Self::Ratio,
            CombineArg::RankDifference => Self::RankDifference,
        }
    }
}

impl From<PerLayerArg> for PerLayer {
    fn from(p: PerLayerArg) -> Self {
        match p {
            PerLayerArg::None => Self::None,
            PerLayerArg::Max => Self::Max,
            PerLayerArg::Rank => Self::Rank,
        }
    }
}

impl From<ScaleArg> for ScaleKind {
    fn from(s: ScaleArg) -> Self {
        match s {
            ScaleArg::Linear => Self::Linear,
            ScaleArg::Log => Self::Log,
            ScaleArg::Clipped => Self::Clipped,
        }
    }
}

impl From<ColoursArg> for ColourMap {
    fn from(c: ColoursArg) -> Self {
        match c {
            ColoursArg::Viridis => Self::Viridis,
            ColoursArg::Cividis => Self::Cividis,
        }
    }
}

impl From<MetricArg> for MetricKind {
    fn from(m: MetricArg) -> Self {
        match m {
            MetricArg::ParamActivation => Self::ParamActivation,
            MetricArg::Llmdcos => Self::Llmdcos,
            MetricArg::Relevance => Self::Relevance,
            MetricArg::MeanActivation => Self::MeanActivation,
            MetricArg::MeanAbsActivation => Self::MeanAbsActivation,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    AllDemo,
    Domain { name: String, path: PathBuf },
}

/// Lines of a domain's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    pub domain: String,
    pub lines: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldMap {
    pub domain: String,
    pub field: String,
    pub column: String,
}

fn parse_data(text: &str) -> Result<Data, String> {
    if text == "demo" {
        return Ok(Data::AllDemo);
    }
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH, e.g. news=data/news.jsonl")?;
    if name.trim().is_empty() || path.is_empty() {
        return Err("both a name and a path are needed: NAME=PATH".into());
    }
    if name.contains('|') {
        return Err("a domain's name cannot hold `|`, which parts two domains in results".into());
    }
    Ok(Data::Domain { name: name.trim().to_owned(), path: path.into() })
}

fn parse_layer_or_range(text: &str) -> Result<(usize, usize), String> {
    let bad = || "write it as a layer (5) or as FIRST-LAST (4-7)".to_owned();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok()).ok_or_else(bad)?;
    if last < first || last > 100_000 { Err(bad()) } else { Ok((first, last)) }
}

fn parse_map(text: &str) -> Result<FieldMap, String> {
    let bad = || "write it as NAME.FIELD=COLUMN, e.g. news.text=body".to_owned();
    let (left, column) = text.split_once('=').ok_or_else(bad)?;
    // A domain's name may hold dots, a field's does not.
    let (domain, field) = left.rsplit_once('.').ok_or_else(bad)?;
    if domain.is_empty() || field.is_empty() || column.is_empty() {
        return Err(bad());
    }
    Ok(FieldMap { domain: domain.into(), field: field.into(), column: column.into() })
}

fn parse_lines(text: &str) -> Result<Lines, String> {
    let bad = || "write it as NAME=LINES, e.g. news=1-64,70".to_owned();
    let (domain, list) = text.rsplit_once('=').ok_or_else(bad)?;
    let mut lines = BTreeSet::new();
    for part in list.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = from.parse::<usize>().ok().zip(to.parse::<usize>().ok()).ok_or_else(bad)?;
        if from == 0 || to < from || to - from > 10_000_000 {
            return Err(format!("`{part}`: lines count from 1, and a range goes up"));
        }
        lines.extend(from..=to);
    }
    if domain.is_empty() { Err(bad()) } else { Ok(Lines { domain: domain.to_owned(), lines }) }
}

fn parse_selection(text: &str) -> Result<Selection, String> {
    text.parse::<Selection>().map_err(|e| e.to_string())
}

/// `top:DOMAIN`, without a percentage.
fn parse_ranking(text: &str) -> Result<Selection, String> {
    match text.strip_prefix("top:").map(str::trim) {
        Some(domain) if !domain.is_empty() => Ok(Selection::Top { domain: domain.to_owned(), percent: 100.0 }),
        _ => Err("write the domain whose map ranks the neurons, as top:arithmetic".into()),
    }
}

fn parse_unit(text: &str) -> Result<SweepUnit, String> {
    text.parse()
}

fn parse_share(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|s| (0.0..1.0).contains(s)).ok_or_else(|| "expected an accuracy from 0 to below 1, e.g. 0.3".into())
}

fn parse_weight(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| "expected a number from 0 on".into())
}

fn parse_mode(text: &str) -> Result<AblationMode, String> {
    text.parse()
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
        return Ok(TrainArg::What(TrainWhat::Lora { config: LoraConfig { rank, alpha, ..defaults } }));
    }
    match text.parse::<Selection>().map_err(|e| e.to_string())? {
        Selection::Places { heads, .. } if !heads.is_empty() => Err("heads cannot be trained alone; name neurons".into()),
        Selection::Places { neurons, .. } => Ok(TrainArg::What(TrainWhat::Neurons { neurons })),
        Selection::File(path) => Ok(TrainArg::File(path)),
        Selection::Top { .. } => Err("write top:PERCENT; the domain is --task".into()),
        Selection::Formula(_) => Err("a formula needs a run's maps; write its set to a file first and name that".into()),
    }
}

/// The views that a stored run has.
fn view_parser() -> impl TypedValueParser<Value = View> {
    let values = VIEWS.iter().filter(|v| v.stored).map(|v| PossibleValue::new(v.id).help(v.hint).aliases(v.alias));
    PossibleValuesParser::new(values)
        .map(|id| VIEWS.iter().find(|v| v.id == id || v.alias == Some(id.as_str())).map_or_else(View::default, |v| v.view))
}

fn file_parser() -> impl TypedValueParser<Value = FileKind> {
    let values = FileKind::ALL.map(FileKind::extension);
    PossibleValuesParser::new(values).map(|end| FileKind::ALL.into_iter().find(|k| k.extension() == end).unwrap_or_default())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('|') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("write two domains as 'A|B', e.g. 'logic|code'".into()),
    }
}

fn parse_layers(text: &str) -> Result<(usize, usize), String> {
    let (a, b) = text.split_once('-').unwrap_or((text, text));
    match (a.trim().parse(), b.trim().parse()) {
        (Ok(a), Ok(b)) if a <= b => Ok((a, b)),
        _ => Err("write layers as FIRST-LAST, e.g. 4-9".into()),
    }
}

fn parse_neurons(text: &str) -> Result<NeuronSet, String> {
    NeuronSet::parse(text).map_err(|e| e.to_string())
}

fn parse_pixels(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if (0.5..=8.0).contains(&p) => Ok(p),
        _ => Err("expected a number from 0.5 to 8".into()),
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 100.0 => Ok(p),
        _ => Err(format!("`{text}` is no share above 0 and up to 100 (percent)")),
    }
}

fn parse_percentile(text: &str) -> Result<f32, String> {
    match text.trim_end_matches('%').parse::<f32>() {
        Ok(p) if PERCENTILES.contains(&p) => Ok(p),
        _ => Err(format!("`{text}` is no percentile from {} to {}", PERCENTILES.start(), PERCENTILES.end())),
    }
}

fn parse_gamma(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(g) if g > 0.0 && g.is_finite() => Ok(g),
        _ => Err("gamma is a number above 0, e.g. 2e-6".into()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn modes_maps_and_data() {
        assert_eq!(parse_mode("scale=-0.5"), Ok(AblationMode::Scale(-0.5)));
        parse_mode("scale=x").expect_err("x");
        parse_mode("half").expect_err("half");
        let map = parse_map("a.b.text=body=x").expect("map");
        assert_eq!((map.domain.as_str(), map.field.as_str(), map.column.as_str()), ("a.b", "text", "body=x"));
        parse_map("text=body").expect_err("no domain");
        assert_eq!(parse_data("demo"), Ok(Data::AllDemo));
        let lines = parse_lines("a=b=2-4,9").expect("lines");
        assert_eq!((lines.domain.as_str(), lines.lines), ("a=b", [2, 3, 4, 9].into()));
        for bad in ["news", "news=", "=1", "news=0", "news=4-2", "news=x"] {
            parse_lines(bad).expect_err(bad);
        }
        parse_data("x.jsonl").expect_err("no name");
        parse_data("a|b=x").expect_err("bar");
    }
}
