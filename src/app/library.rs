//! Loaded models, domains and runs. Results live here and are not undone.

use super::Failure;
use crate::{
    check::CheckReport,
    data::{Domain, Mapping},
    model::{DecoderSpec, ModelInfo},
    scan::{SampleSimilarity, ScanOutput},
};
use std::{path::PathBuf, sync::Arc};

/// A thing that is being read, is there, or could not be read.
#[derive(Clone, Debug)]
pub enum Loading<T> {
    Working,
    Ready(T),
    /// By hand, before it was there.
    Stopped,
    Failed(String),
}

impl<T> From<Failure> for Loading<T> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Cancelled => Self::Stopped,
            Failure::Failed(message) => Self::Failed(message),
        }
    }
}

impl<T> Loading<T> {
    pub fn ready(&self) -> Option<&T> {
        match self {
            Self::Ready(t) => Some(t),
            _ => None,
        }
    }
    pub fn failed(&self) -> Option<&str> {
        match self {
            Self::Failed(message) => Some(message),
            _ => None,
        }
    }
}

#[derive(Clone)]
pub struct ModelEntry {
    pub path: PathBuf,
    pub state: Loading<(ModelInfo, DecoderSpec)>,
}

#[derive(Clone)]
pub struct DomainEntry {
    pub name: String,
    pub path: PathBuf,
    pub mapping: Mapping,
    /// What a scan reads (a demo domain's validation split; a user's file).
    pub state: Loading<Arc<Domain>>,
    /// What accuracy is measured on, where that is another split (a demo domain's test split).
    pub test: Option<Arc<Domain>>,
}

impl DomainEntry {
    /// What accuracy is measured on.
    pub fn scored(&self) -> Option<&Arc<Domain>> {
        self.test.as_ref().or(self.state.ready())
    }
}

#[derive(Clone)]
pub struct RunEntry {
    /// `run 3`
    pub name: String,
    /// Its folder; `demo` for the stored run of the demo.
    pub path: Option<PathBuf>,
    pub output: Arc<ScanOutput>,
    /// All pairs of its samples, for the layers that were asked for.
    pub samples: Option<Arc<SampleSimilarity>>,
}

#[derive(Clone, Default)]
pub struct Library {
    pub model: Option<ModelEntry>,
    /// Certificate of the open model, once it was checked.
    pub check: Option<Arc<CheckReport>>,
    /// Of its base or tuned twin, which does not compute now, and of other arithmetic.
    pub other_checks: Vec<Arc<CheckReport>>,
    pub domains: Vec<DomainEntry>,
    pub runs: Vec<RunEntry>,
    /// Index into `runs` of what the panels show.
    pub shown: Option<usize>,
}

impl Library {
    pub fn run(&self) -> Option<&RunEntry> {
        self.runs.get(self.shown?)
    }
    pub fn scan(&self) -> Option<&ScanOutput> {
        self.run().map(|r| &*r.output)
    }
    pub fn spec(&self) -> Option<&DecoderSpec> {
        self.model.as_ref()?.state.ready().map(|(_, spec)| spec)
    }
    pub fn model_info(&self) -> Option<&ModelInfo> {
        self.model.as_ref()?.state.ready().map(|(info, _)| info)
    }
    pub fn domain(&self, name: &str) -> Option<&DomainEntry> {
        self.domains.iter().find(|d| d.name == name)
    }
}
