//! `info`, `devices`, `models`, `check`, `demo`.

use super::{
    common::Output,
    parse::{parse_count, parse_percent},
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
pub struct InfoArgs {
    /// Model folder, GGUF file, org/name of the Hugging Face cache, folder that a verb wrote with --out, or `demo`.
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
        /// Other than the committed weights had (6000).
        #[arg(long, value_name = "N", value_parser = parse_count)]
        steps: Option<usize>,
        /// A domain that is left out of the training texts, for a model that lacks it; repeatable.
        #[arg(long, value_name = "DOMAIN")]
        without: Vec<String>,
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
