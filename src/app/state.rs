//! The state of the program and the only two places where it changes: `apply` (requests) and `pump` (news from workers).

use super::{Command, JobView, Library, Project};
use crate::eval::DomainScore;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    Info,
    Warn,
    Error,
}

/// A line of the log; `Error` and `Warn` are also shown as toasts.
#[derive(Clone, Debug)]
pub struct Notice {
    pub level: NoticeLevel,
    pub title: String,
    /// For copying into a bug report.
    pub details: String,
    /// UTC.
    pub time: String,
}

/// Accuracy under the ablation in force, filling in while questions are scored. Scores hold only the items scored so far.
#[derive(Clone, Debug, Default)]
pub struct AblationLive {
    /// With nothing off, by domain.
    pub before: BTreeMap<String, DomainScore>,
    pub after: BTreeMap<String, DomainScore>,
    /// Random controls, by domain, one score a seed.
    pub controls: BTreeMap<String, Vec<DomainScore>>,
    /// Items each domain will have when all are scored.
    pub n_total: BTreeMap<String, usize>,
    /// Still being measured.
    pub running: bool,
    pub failed: Option<String>,
}

pub struct App {
    pub project: Project,
    pub library: Library,
    pub ablation: AblationLive,
    /// Newest last.
    pub jobs: Vec<JobView>,
    /// Newest last.
    pub log: Vec<Notice>,
}

impl App {
    /// `wake` is called from workers when `pump` has something to do.
    pub fn new(_wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        todo!()
    }
    /// The only place where state changes on request.
    pub fn apply(&mut self, _command: Command) {
        todo!()
    }
    /// The only place where state changes on news from workers. Never blocks. True when something changed.
    pub fn pump(&mut self) -> bool {
        todo!()
    }
    /// What undo would take back (`toggle L3N17`).
    pub fn undo_label(&self) -> Option<&str> {
        todo!()
    }
    pub fn redo_label(&self) -> Option<&str> {
        todo!()
    }
    pub fn running(&self) -> Option<&JobView> {
        self.jobs.iter().rev().find(|j| j.state == super::JobState::Running)
    }
}
