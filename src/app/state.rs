//! The state of the program and the only two places where it changes: `apply` (requests) and `pump` (news from workers).

use super::{
    DeviceReport, HeldOut, Inspection, JobId, JobState, JobView, LensLive, Library, ModelsReport, Project, Settings, TuningView,
    ablation::Evaluation,
    event::{Event, JobTarget},
    generate::Generated,
    history::{History, HistoryRow},
    jobs::{Failure, Message, Runner},
    neuron_order::Arranged,
    prediction::{Measured, PredictionLive, Predictor},
    saving::{MissingModel, Saving},
};
use crate::{base::provenance, eval::DomainScore, model::Decoder, report::export::Copied};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    Info,
    /// Something that was asked for is done.
    Done,
    Warn,
    Error,
}

/// A line of the log; all but `Info` are also shown as toasts.
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
    /// Domains of which rows are left out, or should be.
    pub held_out: BTreeMap<String, HeldOut>,
    /// Still being measured.
    pub running: bool,
    pub failed: Option<Failure>,
}

/// Log lines kept.
const LOG_KEPT: usize = 2_000;
/// Messages handled by one `pump`, so that a flood never costs a frame.
const PUMPED: usize = 256;

pub struct App {
    pub project: Project,
    pub library: Library,
    pub ablation: AblationLive,
    /// What is predicted of the same ablation.
    pub prediction: PredictionLive,
    /// Changes that were predicted and then measured, in this session; oldest first.
    pub measured: Vec<Measured>,
    /// What is known of single neurons and heads.
    pub inspection: Inspection,
    /// The text that every layer answers.
    pub lens: LensLive,
    /// Newest last.
    pub jobs: Vec<JobView>,
    /// Newest last.
    pub log: Vec<Notice>,
    pub settings: Settings,
    /// The project's file, once it has one.
    pub project_path: Option<PathBuf>,
    pub(super) history: History,
    pub(super) runner: Runner,
    pub(super) decoder: Option<Decoder>,
    /// Newest request for each kind of thing; older news is dropped.
    pub(super) generation: u64,
    pub(super) model_generation: u64,
    pub(super) domain_generations: BTreeMap<String, u64>,
    /// A scan that was asked for while model or domains were still read: starts as soon as they are. Holds its run folder.
    pub(super) scan_wish: Option<Option<PathBuf>>,
    /// The last sweeps, as far as they came.
    pub sweeps: super::Sweeps,
    /// Task-specific neurons, found and proved.
    pub tasks: super::Tasks,
    /// What the model wrote last.
    pub generated: Option<Arc<Generated>>,
    /// The last tuning, its curves filling in while it runs.
    pub tuning: Option<TuningView>,
    /// What the last tuning made, beside its base.
    pub tuned: Option<super::TunedModel>,
    /// The last replay of a project.
    pub replay: Option<super::ReplayView>,
    /// The last sequence of tasks, and the last study of transfer; their tables fill while they run.
    pub continual: Option<super::ContinualView>,
    pub transfer: Option<super::TransferView>,
    /// Made for the clipboard, not yet taken.
    pub(super) copied: Option<Arc<Copied>>,
    /// Result of the last `FindDevices`.
    pub devices: Option<Arc<DeviceReport>>,
    /// Result of the last `FindModels`.
    pub models: Option<Arc<ModelsReport>>,
    pub(super) evaluation: Evaluation,
    pub(super) predictor: Predictor,
    pub(super) arranged: Arranged,
    /// The layout of the panels, as the window told it last.
    pub(super) layout: Option<serde_json::Value>,
    /// Set while the model of the project that was opened is nowhere to be found.
    pub missing_model: Option<MissingModel>,
    pub(super) saving: Saving,
    /// What speed was measured of last, so that a measurement that failed is not made again and again.
    pub(super) speed_tried: Option<String>,
}

impl App {
    /// `wake` is called from workers when `pump` has something to do.
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self::with_settings(wake, Settings::from_env())
    }

    pub fn with_settings(wake: Arc<dyn Fn() + Send + Sync>, settings: Settings) -> Self {
        Self {
            project: Project::default(),
            library: Library::default(),
            ablation: AblationLive::default(),
            prediction: PredictionLive::default(),
            measured: Vec::new(),
            inspection: Inspection::default(),
            lens: LensLive::default(),
            jobs: Vec::new(),
            log: Vec::new(),
            settings,
            project_path: None,
            history: History::default(),
            runner: Runner::new(wake),
            decoder: None,
            generation: 0,
            model_generation: 0,
            domain_generations: BTreeMap::new(),
            generated: None,
            copied: None,
            scan_wish: None,
            sweeps: super::Sweeps::default(),
            tasks: super::Tasks::default(),
            tuning: None,
            tuned: None,
            replay: None,
            continual: None,
            transfer: None,
            devices: None,
            models: None,
            evaluation: Evaluation::default(),
            predictor: Predictor::default(),
            arranged: Arranged::default(),
            layout: None,
            missing_model: None,
            saving: Saving::default(),
            speed_tried: None,
        }
    }

    /// The only place where state changes on news from workers. Never blocks. True when something changed.
    pub fn pump(&mut self) -> bool {
        let mut changed = false;
        for _ in 0..PUMPED {
            let Some(message) = self.runner.try_next() else { break };
            changed = true;
            match message {
                Message::Progress(id, progress) => self.runner.progress(&mut self.jobs, id, progress),
                Message::Event(id, event) => {
                    if !self.runner.is_superseded(id) {
                        self.on_event(event);
                    }
                }
                Message::Ended(id, result) => self.on_end(id, result),
            }
        }
        if changed {
            self.start_wished_scan();
            self.measure_speed();
            if std::mem::take(&mut self.evaluation.due) {
                self.refresh_ablation();
                self.refresh_prediction();
            }
            self.note_measured();
            self.refresh_inspection();
        }
        changed |= self.note_swept();
        self.runner.tick(&mut self.jobs);
        self.autosave_when_due();
        changed
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Model { generation, how, decoder } => self.model_loaded(generation, how, decoder),
            Event::Domain { name, generation, scanned, test } => self.domain_loaded(&name, generation, scanned, test),
            Event::Sweep(news) => self.sweep_news(news),
            Event::Task(news) => self.task_news(news),
            Event::Devices(devices) => self.devices = Some(devices),
            Event::Models(models) => self.models = Some(models),
            Event::Checked(report) => self.checked(report),
            Event::Speed(of, flops_per_second) => self.speed_measured(of, flops_per_second),
            Event::Copied(copied) => self.copied = Some(copied),
            Event::Generated(text) => self.generated = Some(text),
            Event::TunePoint(point) => self.tune_point(point),
            Event::Tuned { report, folder } => self.tuned(report, folder),
            Event::OpenedResults { folder, opened } => self.results_opened(folder, opened),
            Event::TunedModel(tuned) => self.tuned_made(*tuned),
            Event::Replayed(report) => self.replayed(report),
            Event::Continual(news) => self.continual_news(news),
            Event::Transfer(news) => self.transfer_news(news),
            Event::Found(found) => self.found(found),
            Event::Run { output, path } => self.add_run(output, path),
            Event::Attributed { generation, key, effects } => self.attributed(generation, key, effects),
            Event::OtherRun { output, path } => self.add_other_run(output, path),
            Event::Ordered { generation, permutation } => self.ordered(generation, permutation),
            Event::Samples { run, samples } => self.samples_made(&run, samples),
            Event::Warning(title, details) => self.notice(NoticeLevel::Warn, title, details),
            Event::Scored { generation, unit, items } => self.scored(generation, &unit, items),
        }
    }

    fn on_end(&mut self, id: JobId, result: Result<(), Failure>) {
        // What was waited for may be there, or never come.
        self.evaluation.due = true;
        let state = match &result {
            Ok(()) => JobState::Done,
            Err(Failure::Cancelled) => JobState::Cancelled,
            Err(Failure::Failed(m)) => JobState::Failed(m.clone()),
        };
        let title = self.jobs.iter().find(|v| v.id == id).map(|v| v.title.clone()).unwrap_or_default();
        let Some(target) = self.runner.end(&mut self.jobs, id, state) else { return };
        if let JobTarget::Looking(looking) = target {
            return self.looked(looking, result);
        }
        let failure = result.err();
        if let JobTarget::KeptSweep(_) = target {
            if let Some(Failure::Failed(message)) = failure {
                self.notice(NoticeLevel::Warn, "A sweep of an earlier session could not be read", message);
            }
            return;
        }
        match &failure {
            None => {}
            Some(Failure::Cancelled) => self.notice(NoticeLevel::Info, format!("{title}: stopped"), String::new()),
            // A missing model or domain shows where it is listed; the notice is for whoever looks elsewhere.
            Some(Failure::Failed(message)) => self.notice(NoticeLevel::Error, format!("{title} failed"), message.clone()),
        }
        match (target, failure) {
            (JobTarget::Scan, None) => {
                let run = self.library.run();
                let words = run.map(|r| format!("{}: {} domains, {:.1} s", r.name, r.output.domains.len(), r.output.timing.seconds));
                let place = run.and_then(|r| r.path.as_ref()).map_or_else(String::new, |p| p.display().to_string());
                self.notice(NoticeLevel::Info, words.unwrap_or_default(), place);
            }
            (JobTarget::Model(generation), Some(failure)) => {
                if let Some(model) = self.library.model.as_mut()
                    && self.model_generation == generation
                {
                    model.state = failure.into();
                }
            }
            (JobTarget::Domain { name, generation }, Some(failure)) => {
                let current = self.domain_generations.get(&name) == Some(&generation);
                if let Some(domain) = self.library.domains.iter_mut().find(|d| d.name == name && current) {
                    domain.state = failure.into();
                }
            }
            (JobTarget::Export(path), None) => self.notice(NoticeLevel::Done, "Exported", path.display().to_string()),
            (JobTarget::Order(generation), Some(failure)) => self.order_failed(generation, failure),
            (JobTarget::OtherRun(path), Some(failure)) => self.other_run_failed(path, failure),
            (JobTarget::Evaluation(generation), failure) => self.evaluation_ended(generation, failure),
            (JobTarget::Attribution(generation), failure) => self.attribution_ended(generation, failure),
            (JobTarget::Sweep(kind), failure) => self.sweep_ended(kind, failure),
            (JobTarget::Tune(folder), failure) => self.tuning_ended(folder, failure),
            (JobTarget::Replay, failure) => self.replay_ended(failure),
            (JobTarget::Tasks(job), failure) => self.task_ended(job, failure),
            (JobTarget::Continual, failure) => self.continual_ended(failure),
            (JobTarget::Transfer, failure) => self.transfer_ended(failure),
            _ => {}
        }
    }

    /// What undo would take back (`toggle L3N17`).
    pub fn undo_label(&self) -> Option<&str> {
        self.history.undo_label()
    }
    pub fn redo_label(&self) -> Option<&str> {
        self.history.redo_label()
    }
    /// Every step of the project's history, oldest first.
    pub fn history(&self) -> Vec<HistoryRow> {
        self.history.rows()
    }
    /// The newest job for such a target that runs.
    pub fn job_for(&self, of: impl Fn(&JobTarget) -> bool) -> Option<&JobView> {
        self.jobs.iter().rev().find(|j| j.state == JobState::Running && of(&j.target))
    }
    /// The same, running or ended.
    pub fn last_job(&self, of: impl Fn(&JobTarget) -> bool) -> Option<&JobView> {
        self.jobs.iter().rev().find(|j| of(&j.target))
    }
    /// The newest that runs, whatever for.
    pub fn running(&self) -> Option<&JobView> {
        self.jobs.iter().rev().find(|j| j.state == JobState::Running)
    }
    /// What the open model computes on: `cpu (AVX-512, 2 threads)`.
    pub fn device(&self) -> Option<String> {
        self.decoder.as_ref().map(|d| d.backend.device())
    }
    /// No worker is busy, not even one that was asked to stop.
    pub fn is_idle(&self) -> bool {
        self.runner.is_idle()
    }

    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub(super) fn notice(&mut self, level: NoticeLevel, title: impl Into<String>, details: impl Into<String>) {
        let (title, details) = (title.into(), details.into());
        match level {
            NoticeLevel::Info | NoticeLevel::Done => tracing::info!("{title} {details}"),
            NoticeLevel::Warn | NoticeLevel::Error => tracing::warn!("{title}: {details}"),
        }
        self.log.push(Notice { level, title, details, time: provenance::now_utc() });
        if self.log.len() > LOG_KEPT {
            self.log.drain(..self.log.len() - LOG_KEPT);
        }
    }

    /// A front has something to say that no command led to.
    pub fn warn(&mut self, title: impl Into<String>, details: impl Into<String>) {
        self.notice(NoticeLevel::Warn, title, details);
    }
}
