//! Brodmann shows which neurons of a language model serve which domain, and lets one switch them off and watch what breaks.
//!
//! Modules in dependency order: a module imports only from those above it (see ARCHITECTURE.md).

pub mod base;

pub mod compute;
pub mod data;

pub mod model;

pub mod eval;

pub mod ablate;
pub mod check;
pub mod inspect;
pub mod scan;
pub mod tune;

pub mod task;

pub mod report;

pub mod app;

pub mod cli;
#[cfg(feature = "gui")]
pub mod gui;
