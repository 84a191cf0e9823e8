//! `replay`, `script`.

use super::common::Output;
use clap::Args;
use std::path::PathBuf;

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
