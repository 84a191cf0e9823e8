//! Work in the background: what it is, how far it is, how it ended.

use crate::base::Progress;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    Running,
    Done,
    Cancelled,
    Failed(String),
}

/// What a panel shows of a job.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    /// `Scan of 6 domains`
    pub title: String,
    pub state: JobState,
    pub progress: Progress,
    pub elapsed: Duration,
    /// Units a second over the current phase.
    pub rate: Option<f64>,
    pub left: Option<Duration>,
}
