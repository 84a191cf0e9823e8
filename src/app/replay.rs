//! A project's numbers made again and held against those it holds: a second program without a screen, on a worker.

use super::{
    App, Command, DeviceChoice, Failure, JobState, NoticeLevel, Settings,
    event::{Event, JobTarget},
    project_file,
    results::{Compared, Results, Verdict, compare},
};
use crate::base::{Ctx, Error, Result, number, provenance::now_utc};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    pub file: PathBuf,
    pub stored: Results,
    pub found: Results,
    pub lines: Vec<Compared>,
    pub seconds: f64,
    /// UTC.
    pub finished: String,
}

impl ReplayReport {
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|l| l.verdict == verdict).count()
    }
    /// Numbers that are not those the project holds.
    pub fn bad(&self) -> usize {
        self.count(Verdict::Different) + self.count(Verdict::Missing)
    }
}

/// The last replay, under way or done.
#[derive(Clone, Debug, Default)]
pub struct ReplayView {
    pub file: PathBuf,
    /// Of the project as it was then, not of a file.
    pub of_project: bool,
    pub running: bool,
    pub failed: Option<Failure>,
    pub report: Option<Arc<ReplayReport>>,
}

impl App {
    /// `path`: a project file; `None`: the project as it is now. `model`: where its model lies, if not where it says.
    pub(super) fn replay_project(&mut self, path: Option<PathBuf>, model: Option<PathBuf>) {
        let of_project = path.is_none();
        let path = match path.map_or_else(|| self.write_for_replay(), Ok) {
            Ok(path) => path,
            Err(e) => return self.notice(NoticeLevel::Error, "There is nothing to replay", e.to_string()),
        };
        let settings = Settings {
            keep_runs: false,
            open_runs: false,
            autosave: false,
            predicts: false,
            auto_index: false,
            measures_speed: false,
            preferences_file: None,
            ..self.settings.clone()
        };
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Replay);
        self.replay = Some(ReplayView { file: path.clone(), of_project, running: true, ..ReplayView::default() });
        let title = format!("Replay of {}", path.display());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Replay, move |ctx, out| {
            let report = replay(&path, model, settings, ctx)?;
            out.send(Event::Replayed(Arc::new(report)));
            Ok(())
        });
    }

    /// The project with the numbers it has now, in a file of its own.
    fn write_for_replay(&self) -> Result<PathBuf> {
        let results = self.results();
        if results.is_empty() {
            return Err(Error::invalid("The project has no numbers of its model and data yet: scan, or measure accuracies, first."));
        }
        let path = self.settings.data_dir.join("replay.json");
        project_file::save_document(&self.document_with(results), None, &path)?;
        Ok(path)
    }

    pub(super) fn replayed(&mut self, report: Arc<ReplayReport>) {
        if let Some(view) = &mut self.replay {
            view.report = Some(report);
        }
    }

    pub(super) fn replay_ended(&mut self, failure: Option<Failure>) {
        if let Some(view) = &mut self.replay {
            (view.running, view.failed) = (false, failure);
        }
    }
}

/// # Errors
/// When the file cannot be read or holds no numbers, its model is missing, something cannot be computed, or the user stops it.
fn replay(path: &Path, model: Option<PathBuf>, mut settings: Settings, ctx: &Ctx<'_>) -> Result<ReplayReport> {
    let began = Instant::now();
    let stored = project_file::load_results(path)?;
    if stored.is_empty() {
        let what = "holds no numbers to compare with: open it, scan or measure, and save it again";
        return Err(Error::format(path, what));
    }
    // A run that the processor made is made again by it; one of a card wants a card.
    settings.device = match &stored.scan {
        Some(scan) if !scan.device.starts_with("cpu") => DeviceChoice::Auto,
        _ => DeviceChoice::Cpu,
    };
    let mut second = Second::new(settings);
    second.app.apply(Command::OpenProject { path: path.to_owned() });
    if let Some(missing) = second.app.missing_model.clone() {
        let Some(path) = model else {
            let (path, mark) = (missing.path.display(), missing.mark);
            return Err(Error::invalid(format!(
                "the project's model {} (SHA-256 {}) is not at {path}; say where it lies on this machine: --model PATH, or open the project and \
                 choose the model's place",
                mark.name, mark.sha256
            )));
        };
        second.app.apply(Command::RelocateModel { path });
    }
    second.settle(ctx)?;
    let found = recompute(&mut second, &stored, ctx)?;
    let lines = compare(&stored, &found);
    let seconds = began.elapsed().as_secs_f64();
    Ok(ReplayReport { file: path.to_owned(), stored, found, lines, seconds, finished: now_utc() })
}

/// The accuracies in force first, then the run, which needs other domains switched on.
fn recompute(second: &mut Second, stored: &Results, ctx: &Ctx<'_>) -> Result<Results> {
    let mut found = Results::default();
    if !stored.scores.is_empty() {
        second.run(Command::Evaluate, ctx)?;
        found = second.app.results();
    }
    if let Some(scan) = &stored.scan {
        second.app.apply(Command::ClearAblation);
        let names: Vec<String> = second.app.project.domains.iter().map(|d| d.name.clone()).collect();
        for name in names {
            let on = scan.domains.contains(&name);
            second.app.apply(Command::EnableDomain { name, on });
        }
        second.app.apply(Command::SetScanConfig { config: scan.config.clone() });
        second.run(Command::StartScan { out: None }, ctx)?;
        let Results { scan, arithmetic, model_sha256, .. } = second.app.results();
        found = Results { scan, arithmetic, model_sha256, ..found };
    }
    Ok(found)
}

/// A program beside the one that the user sees.
struct Second {
    app: App,
    woken: Receiver<()>,
    seen: usize,
}

impl Second {
    fn new(settings: Settings) -> Self {
        let (tx, woken) = channel();
        // `App` wants a waker that any thread may call.
        let tx = std::sync::Mutex::new(tx);
        let wake = move || {
            if let Ok(tx) = tx.lock() {
                let _ = tx.send(());
            }
        };
        Self { app: App::with_settings(Arc::new(wake), settings), woken, seen: 0 }
    }
    fn run(&mut self, command: Command, ctx: &Ctx<'_>) -> Result<()> {
        self.app.apply(command);
        self.settle(ctx)
    }
    /// Waits until no worker of it is busy; passes its progress on, and a stop to it.
    fn settle(&mut self, ctx: &Ctx<'_>) -> Result<()> {
        loop {
            while self.app.pump() {}
            if let Err(stopped) = ctx.check() {
                while self.app.running().is_some_and(|j| !j.stopping) {
                    self.app.apply(Command::CancelNewest);
                }
                return Err(stopped);
            }
            if self.app.is_idle() {
                break;
            }
            if let Some(job) = self.app.jobs.iter().rev().find(|j| j.state == JobState::Running) {
                let p = &job.progress;
                let phase = if p.phase.is_empty() { job.title.clone() } else { p.phase.clone() };
                ctx.progress(phase, p.done as usize, p.total as usize, p.unit);
            }
            let _ = self.woken.recv_timeout(Duration::from_millis(50));
            while self.woken.try_recv().is_ok() {}
        }
        let news = &self.app.log[self.seen.min(self.app.log.len())..];
        let failures: Vec<String> =
            news.iter().filter(|n| n.level == NoticeLevel::Error).map(|n| format!("{}: {}", n.title, n.details)).collect();
        self.seen = self.app.log.len();
        if failures.is_empty() { Ok(()) } else { Err(Error::invalid(failures.join("; "))) }
    }
}

/// In one line: `All 42 arrays are identical to the last bit.`
pub fn verdict_words(report: &ReplayReport) -> String {
    let arrays = number::counted(report.lines.len() as u64, "array");
    match report.count(Verdict::Identical) {
        n if n == report.lines.len() => format!("All {arrays} are identical to the last bit."),
        n => format!("{n} of {arrays} are identical to the last bit."),
    }
}
