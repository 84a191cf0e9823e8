//! What is built into the program: the demo's model, domains and stored run.

use crate::{
    base::{Ctx, Result},
    data::{
        Domain,
        demo::{self, Split, model_files},
    },
    model::{Model, load::load_embedded},
    scan::{ScanOutput, store::parse_run},
};
use std::path::Path;

/// The demo's domains, in the order in which they are listed and coloured.
pub use demo::NAMES;

/// Threshold of the demo's density. The default of 2e-6 was chosen for models of billions of weights, where one weight moves the objective
/// far less; in this one nearly every weight would exceed it. 5e-4 lets about 3 in 10 do so.
pub const GAMMA: f32 = 5e-4;

/// Made by `brodmann scan --gamma 5e-4 --out DIR` with the committed model.
const RUN: &[u8] = include_bytes!("../../assets/demo/run/run.json");
const GRIDS: &[u8] = include_bytes!("../../assets/demo/run/grids.safetensors");

pub(super) fn model(ctx: &Ctx<'_>) -> Result<Model> {
    load_embedded("demo", model_files::CONFIG, model_files::TOKENIZER, model_files::WEIGHTS, ctx)
}

/// Validation split (what a scan reads) and test split (what accuracy is measured on).
pub(super) fn domain(name: &str) -> Result<(Domain, Domain)> {
    Ok((demo::domain(name, Split::Validation)?, demo::domain(name, Split::Test)?))
}

/// Empty files stand for a run that has yet to be made: then the demo is scanned when it is opened.
pub(super) fn has_run() -> bool {
    !RUN.is_empty()
}

pub(super) fn run() -> Result<ScanOutput> {
    parse_run(Path::new("demo"), RUN, GRIDS)
}
