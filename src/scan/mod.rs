//! One pass over each domain feeds every chosen metric (METHODS 1 and 2).

pub mod config;
mod lane;
pub mod metrics;
pub mod output;
mod pass;
mod plan;
pub mod prepare;
pub mod recount;
pub mod relevance;
mod relevance_pass;
mod run;
pub mod samples;
mod scanner;
mod speed;
pub mod store;
mod taps;

pub use config::{MetricKind, ObjectiveKind, Order, ScanConfig};
pub use metrics::{METRICS, MetricInfo};
pub use output::{DomainScan, DomainSource, PairSeries, ScanOutput, Timing};
pub use pass::Sequence;
pub use plan::{Estimate, Limits, estimate};
pub use prepare::{PreparedDomain, prepare};
pub use relevance::{Aggregation, Completeness, RelevanceConfig, TaskRelevance, relevance_of, task_relevance};
pub use run::{rounded, run_scan, run_scan_within, scan_prepared};
pub use samples::{SampleSimilarity, SampledDomain, SamplesEstimate, estimate_samples, sample_similarity, sample_similarity_prepared};
pub use speed::measure_speed;
pub use store::{read_run, write_run};
