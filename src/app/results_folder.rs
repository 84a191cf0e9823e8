//! Folders that hold other results than a scan: a deactivation matrix, a tuning, a sequence of tasks, a study of transfer. They open like runs.

use super::{
    App, ContinualView, NoticeLevel, ProveView, TransferView, TuneReport,
    event::{Event, JobTarget},
    sweep::{BROKEN, CURVE},
    tuning::REPORT_FILE,
};
use crate::{
    ablate::sweep_file::SWEEP_FILE,
    base::{Error, Result, provenance::Provenance},
    scan::store::RUN_FILE,
    task::{
        ContinualState, MATRIX_FILE, TaskMatrix, TransferState, continual_file::CONTINUAL_FILE, matrix_file, transfer_file::TRANSFER_FILE,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a folder holds, by the file that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FolderKind {
    Matrix,
    Continual,
    Transfer,
    Tuning,
}

/// The same, read.
pub(super) enum OpenedResults {
    Matrix(Box<TaskMatrix>),
    Continual(Arc<ContinualState>),
    Transfer(Arc<TransferState>),
    Tuning(Arc<TuneReport>),
}

impl FolderKind {
    const FILES: [(&'static str, Self); 4] =
        [(MATRIX_FILE, Self::Matrix), (CONTINUAL_FILE, Self::Continual), (TRANSFER_FILE, Self::Transfer), (REPORT_FILE, Self::Tuning)];

    /// `None`: a scan (whatever else lies beside it), or nothing of this program's.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        if folder.join(RUN_FILE).is_file() {
            return None;
        }
        Self::FILES.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|f| f.1)
    }
    /// What it is called, and the tab of the panel Tasks that shows it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Matrix => ("deactivation matrix", "Prove"),
            Self::Continual => ("sequence of tasks", "Continual"),
            Self::Transfer => ("study of transfer", "Generalise"),
            Self::Tuning => ("tuning", "Train"),
        }
    }
    fn read(self, folder: &Path) -> Result<OpenedResults> {
        Ok(match self {
            Self::Matrix => OpenedResults::Matrix(Box::new(matrix_file::read(folder)?)),
            Self::Continual => OpenedResults::Continual(Arc::new(ContinualState::read(folder)?)),
            Self::Transfer => OpenedResults::Transfer(Arc::new(TransferState::read(folder)?)),
            Self::Tuning => OpenedResults::Tuning(Arc::new(read_tuning(folder)?)),
        })
    }
}

impl OpenedResults {
    fn kind(&self) -> FolderKind {
        match self {
            Self::Matrix(_) => FolderKind::Matrix,
            Self::Continual(_) => FolderKind::Continual,
            Self::Transfer(_) => FolderKind::Transfer,
            Self::Tuning(_) => FolderKind::Tuning,
        }
    }
}

/// Files that hold results other than a scan's, with what each is.
const RESULT_FILES: [(&str, &str); 7] = [
    (MATRIX_FILE, "deactivation matrix"),
    (CONTINUAL_FILE, "sequence of tasks"),
    (TRANSFER_FILE, "study of transfer"),
    (REPORT_FILE, "tuning"),
    (SWEEP_FILE, "sweep"),
    (CURVE, "accuracy against k"),
    (BROKEN, "search for the smallest set"),
];

/// What the results in a folder are and where they came from; `None` where it holds a scan, or nothing of this program's. A file that grows line by line says
/// so in its first.
///
/// # Errors
/// When the file cannot be read or does not say where it came from.
pub fn result_in(folder: &Path) -> Result<Option<(&'static str, Provenance)>> {
    #[derive(serde::Deserialize)]
    struct Made {
        provenance: Provenance,
    }
    if folder.join(RUN_FILE).is_file() {
        return Ok(None);
    }
    let Some((path, what)) = RESULT_FILES.into_iter().map(|(file, what)| (folder.join(file), what)).find(|(path, _)| path.is_file()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let by_line = path.extension().is_none_or(|e| e != "json");
    let json = if by_line { text.lines().next().unwrap_or_default().trim_start_matches("# ") } else { &text };
    let made: Made = serde_json::from_str(json).map_err(|e| Error::format(&path, format!("does not say where it came from: {e}")))?;
    Ok(Some((what, made.provenance)))
}

/// The report of a tuning.
///
/// # Errors
/// When the file cannot be read or is none.
pub(super) fn read_tuning(folder: &Path) -> Result<TuneReport> {
    let path = folder.join(REPORT_FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::format(&path, format!("is no report of a tuning: {e}")))
}

impl App {
    pub(super) fn open_results(&mut self, kind: FolderKind, folder: PathBuf) {
        self.runner.spawn(&mut self.jobs, format!("Opening {}", folder.display()), JobTarget::Other, move |_, out| {
            let opened = kind.read(&folder)?;
            out.send(Event::OpenedResults { folder, opened });
            Ok(())
        });
    }

    pub(super) fn results_opened(&mut self, folder: PathBuf, opened: OpenedResults) {
        let kind = opened.kind();
        // With its model at hand a tuning is more than its report: the model computes.
        if let OpenedResults::Tuning(report) = &opened
            && self.base_decoder().is_some_and(|d| d.model.info.sha256 == report.provenance.model_sha256)
        {
            return self.open_tuned(folder);
        }
        let running = match kind {
            FolderKind::Matrix => self.tasks.prove.as_ref().is_some_and(|v| v.running),
            FolderKind::Continual => self.continual.as_ref().is_some_and(|v| v.running),
            FolderKind::Transfer => self.transfer.as_ref().is_some_and(|v| v.running),
            FolderKind::Tuning => self.tuning.as_ref().is_some_and(|v| v.job.is_some()),
        };
        let (what, tab) = kind.words();
        if running {
            let details = format!("Another one is under way in Tasks, {tab}; wait for it, or cancel it.");
            return self.notice(NoticeLevel::Warn, format!("The {what} in {} was not opened", folder.display()), details);
        }
        let details = format!("Tasks shows it under {tab}.");
        self.notice(NoticeLevel::Done, format!("Opened the {what} in {}", folder.display()), details);
        match opened {
            OpenedResults::Matrix(matrix) => {
                let version = self.tasks.prove.as_ref().map_or(0, |v| v.version) + 1;
                self.tasks.prove =
                    Some(ProveView { request: None, result: Some(*matrix), version, running: false, failed: None, folder: Some(folder) });
            }
            OpenedResults::Continual(state) => {
                self.continual = Some(ContinualView {
                    request: None,
                    folder,
                    state: Some(state),
                    lesson: None,
                    running: false,
                    whole: true,
                    failed: None,
                });
            }
            OpenedResults::Transfer(state) => {
                self.transfer = Some(TransferView { request: None, folder, state: Some(state), running: false, whole: true, failed: None });
            }
            OpenedResults::Tuning(report) => self.tuned(report, folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Command, testing, testing_lessons};

    #[test]
    fn a_finished_sequence_opens_like_a_run_and_a_broken_one_says_what_is_wrong() {
        let dir = tempfile::tempdir().expect("folder");
        let shown = testing_lessons::sample_app_continual(dir.path(), 1.0);
        let state = shown.continual.as_ref().and_then(|v| v.state.clone()).expect("a sequence");
        let folder = dir.path().join("sequence");
        std::fs::create_dir(&folder).expect("folder");
        std::fs::write(folder.join(CONTINUAL_FILE), serde_json::to_vec(&*state).expect("json")).expect("written");
        let mut app = testing::sample_app(dir.path());
        app.apply(Command::OpenRun { path: folder.clone() });
        testing::settle(&mut app);
        let view = app.continual.as_ref().expect("opened");
        assert_eq!((view.state.as_deref(), &view.request, &view.folder), (Some(&*state), &None, &folder));
        assert!(app.log.iter().any(|n| n.title.contains("sequence of tasks")));

        std::fs::write(folder.join(CONTINUAL_FILE), b"{").expect("written");
        let mut app = testing::sample_app(dir.path());
        app.apply(Command::OpenRun { path: folder });
        testing::settle(&mut app);
        assert!(app.continual.is_none() && app.log.iter().any(|n| n.details.contains("continual.json")), "{:?}", app.log);
    }
}
