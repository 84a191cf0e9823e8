//! From requests to engines: what runs on a worker for each [`super::Command`].

use super::{App, NoticeLevel, TraceInput, ablation::Task, ablation::Unit};
use crate::{
    base::{Ctx, Error, Head, NeuronSet, Result},
    data::Domain,
    eval::{AblationMode, ItemScore},
    model::Decoder,
    scan::MetricKind,
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// What is switched off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
}

impl Default for Change {
    fn default() -> Self {
        Self { neurons: NeuronSet::new(), heads: BTreeSet::new(), mode: AblationMode::Zero }
    }
}

impl Change {
    pub fn is_none(&self) -> bool {
        self.neurons.is_empty() && self.heads.is_empty()
    }
}

pub(super) fn score_all(
    _decoder: &Decoder,
    _tasks: Vec<Task>,
    _means_from: &[Arc<Domain>],
    _max_tokens: usize,
    _ctx: &Ctx<'_>,
    _scored: impl Fn(&Unit, Vec<ItemScore>),
) -> Result<()> {
    Err(Error::invalid("accuracy is not wired yet"))
}

impl App {
    pub(super) fn start_scan(&mut self, _out: Option<PathBuf>) {
        self.notice(NoticeLevel::Error, "Scanning is not wired yet", "");
    }
    pub(super) fn trace(&mut self, _input: TraceInput, _hooks: Vec<String>, _out: PathBuf) {
        self.notice(NoticeLevel::Error, "Tracing is not wired yet", "");
    }
    pub(super) fn ablation_matrix(&mut self, _metric: MetricKind, _percent: f64) {
        self.notice(NoticeLevel::Error, "The ablation matrix is not wired yet", "");
    }
    pub(super) fn train_demo(&mut self, _out: PathBuf, _seed: u64) {
        self.notice(NoticeLevel::Error, "Training is not wired yet", "");
    }
    pub(super) fn write_report(&mut self, _path: PathBuf) {
        self.notice(NoticeLevel::Error, "Reports are not wired yet", "");
    }
}
