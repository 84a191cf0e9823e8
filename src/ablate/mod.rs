//! Accuracy before and after switching neurons off, beside random controls of the same size.

pub mod report;

pub use report::{AblationReport, DomainAblation};
