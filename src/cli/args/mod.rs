//! What can be typed. Parsing only: every check that needs a file or a model happens later.

mod ablate;
mod common;
mod continual;
mod export;
mod info;
mod look;
mod neurons;
mod parse;
mod project;
mod scan;
mod tune;
mod values;

pub use ablate::{AblateArgs, BreakArgs, SweepArgs};
pub use common::{ChangeArgs, Common, ControlArgs, FileArgs, ItemArgs, PredictArgs};
pub use continual::{ContinualArgs, TransferArgs};
pub use export::{ExportArgs, RangeArg};
pub use info::{CheckArgs, DemoArgs, DemoVerb, DevicesArgs, InfoArgs, ModelsArgs};
pub use look::{GenerateArgs, InspectArgs, LensArgs, TraceArgs};
pub use neurons::{NeuronsArgs, ProveArgs};
pub use project::{ReplayArgs, ScriptArgs};
pub use scan::{EvalArgs, ScanArgs, SimilarityArgs};
pub use tune::{TrainArg, TuneArgs};
pub use values::{Data, Format, Lines, MatchArg, ProductsArg, ThemeArg};

use clap::{Parser, Subcommand};
use parse::{parse_products, products_help};
use std::path::PathBuf;

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
    #[arg(long, global = true, value_name = "auto|f32|int8x8|bf16x6|bf16x3|bf16", help = products_help(), value_parser = parse_products)]
    pub products: Option<ProductsArg>,
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
    /// The neurons that each task needs: how stable they are, what tasks share, and how many are worth taking; writes set files.
    Neurons(NeuronsArgs),
    /// Whose neurons serve whom: every task scored with each task's own neurons off, every other's, and random ones.
    Prove(ProveArgs),
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
    /// Learns tasks one after another by several methods: what each learns, and what it forgets. Goes on where it was stopped.
    Continual(ContinualArgs),
    /// Trains each task's neurons and judges every task: whether tasks that share neurons help each other, and how many neurons must train.
    Transfer(TransferArgs),
    /// The built-in demo: train its model from nothing, its facts, its ablation matrix.
    Demo(DemoArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
