//! Task-specific neurons (METHODS 2): found, kept as sets, proved. What the panel Tasks shows of them.

mod document;
mod find;
mod prove;
#[cfg(test)]
mod tests;

pub use document::{find_document, prove_document};
pub use find::{CurveRequest, FindRequest, FindView};
pub use prove::{ProveRequest, ProveView, SetsFrom};

use super::{App, Failure};
use crate::task::{Cell, CellId, KneeCurve, TaskMatrix, TaskNeurons};
use std::sync::Arc;

/// The last results of each kind.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    pub find: Option<FindView>,
    pub prove: Option<ProveView>,
}

/// Which of the results a job fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskJob {
    Find,
    Prove,
}

/// From a worker.
pub(super) enum TaskNews {
    Found(Arc<TaskNeurons>),
    /// As far as it is measured; replaces the task's last.
    Curve(Box<KneeCurve>),
    FindEnded {
        seconds: f64,
    },
    Matrix(Box<TaskMatrix>),
    Cells(Vec<(CellId, Cell)>),
}

impl App {
    pub(super) fn task_news(&mut self, news: TaskNews) {
        match news {
            TaskNews::Found(_) | TaskNews::Curve(_) | TaskNews::FindEnded { .. } => {
                if let Some(view) = &mut self.tasks.find {
                    view.hear(news);
                }
            }
            TaskNews::Matrix(_) | TaskNews::Cells(_) => {
                if let Some(view) = &mut self.tasks.prove {
                    view.hear(news);
                }
            }
        }
    }

    pub(super) fn task_ended(&mut self, job: TaskJob, failure: Option<Failure>) {
        match job {
            TaskJob::Find => {
                if let Some(view) = &mut self.tasks.find {
                    (view.running, view.failed) = (false, failure);
                    view.version += 1;
                }
            }
            TaskJob::Prove => {
                if let Some(view) = &mut self.tasks.prove {
                    (view.running, view.failed) = (false, failure);
                    view.version += 1;
                }
            }
        }
    }
}
