//! One pass over each domain feeds every chosen metric (METHODS 1 and 2).

pub mod config;
pub mod output;
pub mod recount;

pub use config::{MetricKind, ObjectiveKind, Order, ScanConfig};
pub use output::{DomainScan, DomainSource, PairSeries, ScanOutput, Timing};
