//! What workers tell, and for whom a job works.

use super::{
    DeviceReport, ModelsReport, TuneReport,
    ablation::Unit,
    continual::{ContinualNews, TransferNews},
    generate::Generated,
    inspect::{Found, Looking},
    results_folder::OpenedResults,
    settings::BackendSettings,
    sweep::SweepNews,
    tasks::{TaskJob, TaskNews},
};
use crate::{
    ablate::Attribution,
    base::heatmap::Permutation,
    check::CheckReport,
    data::Domain,
    eval::ItemScore,
    model::Decoder,
    report::export::Copied,
    scan::{SampleSimilarity, ScanOutput},
    tune::TunePoint,
};
use std::{path::PathBuf, sync::Arc};

/// The place in the state that a job fills. Numbers are generations: news for an older one is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobTarget {
    Model(u64),
    Domain {
        name: String,
        generation: u64,
    },
    Run,
    /// The run beside the shown one.
    OtherRun(PathBuf),
    /// Order of the neurons in maps.
    Order(u64),
    Scan,
    Samples,
    Replay,
    /// Into its folder.
    Tune(PathBuf),
    Devices,
    Models,
    /// Another backend for the open model.
    Backend,
    /// How fast products are made here.
    Speed,
    /// The certificate of the model with this [`Decoder::computing_key`].
    Check(String),
    Evaluation(u64),
    Attribution(u64),
    Sweep(super::SweepKind),
    /// A look for a sweep on the disk.
    KeptSweep(super::SweepKind),
    Tasks(TaskJob),
    /// The sequence of tasks.
    Continual,
    /// What learning one task does to the others.
    Transfer,
    /// One neuron, head or text; only the index of activations is listed as a job.
    Looking(Looking),
    /// A file that somebody waits for.
    Export(PathBuf),
    Other,
}

impl JobTarget {
    /// Whether such a job stands in the list of jobs: most looks at one neuron, head, text or folder are over before anybody could read of them.
    pub fn is_listed(&self) -> bool {
        match self {
            Self::Looking(looking) => *looking == Looking::Index,
            Self::KeptSweep(_) | Self::Speed => false,
            _ => true,
        }
    }
    /// Whether it computes something that stays, in the arithmetic that it began in: what the panels show of the present goes with the model instead.
    pub fn makes_results(&self) -> bool {
        let alone = matches!(self, Self::Scan | Self::Samples | Self::Replay | Self::Tune(_) | Self::Check(_) | Self::Sweep(_));
        alone || matches!(self, Self::Tasks(_) | Self::Continual | Self::Transfer)
    }
}

pub(super) enum Event {
    Model {
        generation: u64,
        how: BackendSettings,
        decoder: Decoder,
    },
    Domain {
        name: String,
        generation: u64,
        scanned: Arc<Domain>,
        test: Option<Arc<Domain>>,
    },
    Sweep(SweepNews),
    Task(TaskNews),
    Devices(Arc<DeviceReport>),
    Models(Arc<ModelsReport>),
    Checked(Arc<CheckReport>),
    /// Floating-point operations a second, by what was measured.
    Speed(String, f64),
    Generated(Arc<Generated>),
    TunePoint(TunePoint),
    Tuned {
        report: Arc<TuneReport>,
        folder: PathBuf,
    },
    OpenedResults {
        folder: PathBuf,
        opened: OpenedResults,
    },
    TunedModel(Box<super::TunedModel>),
    Replayed(Arc<super::ReplayReport>),
    Continual(ContinualNews),
    Transfer(TransferNews),
    Found(Found),
    /// For the clipboard.
    Copied(Arc<Copied>),
    Run {
        output: Arc<ScanOutput>,
        path: Option<PathBuf>,
    },
    /// First-order effects on one more domain.
    Attributed {
        generation: u64,
        key: String,
        effects: Arc<Attribution>,
    },
    OtherRun {
        output: Arc<ScanOutput>,
        path: PathBuf,
    },
    Ordered {
        generation: u64,
        permutation: Arc<Permutation>,
    },
    /// Matrices of the run with this output.
    Samples {
        run: Arc<ScanOutput>,
        samples: Arc<SampleSimilarity>,
    },
    /// A part of the work that could not be done; the rest goes on.
    Warning(String, String),
    /// The next items of a unit.
    Scored {
        generation: u64,
        unit: Unit,
        items: Vec<ItemScore>,
    },
}
