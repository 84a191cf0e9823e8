//! What is built into the program: the demo's model, domains and stored run.

use crate::{
    base::{Ctx, Error, Result},
    data::Domain,
    model::Model,
    scan::ScanOutput,
};

/// The demo's domains, in the order in which they are listed and coloured.
pub const NAMES: [&str; 6] = ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"];

pub(super) fn model(_ctx: &Ctx<'_>) -> Result<Model> {
    Err(Error::invalid("this build holds no demo model"))
}

/// Validation split (what a scan reads) and test split (what accuracy is measured on).
pub(super) fn domain(name: &str) -> Result<(Domain, Domain)> {
    Err(Error::invalid(format!("this build holds no demo domain `{name}`")))
}

pub(super) fn has_run() -> bool {
    false
}

pub(super) fn run() -> Result<ScanOutput> {
    Err(Error::invalid("this build holds no demo run"))
}
