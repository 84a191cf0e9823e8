//! Projects come from files and go into them: when asked, and by themselves every few seconds; and what to do where the model lies elsewhere.

use super::{
    App, NoticeLevel, Project, Remembered,
    history::History,
    library::{Loading, ModelEntry},
    project_file::{self, Document, ModelMark, is_demo},
    results::Results,
};
use crate::{data::is_hub, model::find_on_disk};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A change is on the disk this long after it was made at the latest, however many follow it; writing comes on top.
const AUTOSAVE_AFTER: Duration = Duration::from_secs(2);

/// The model of an opened project that is not where the project says.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingModel {
    /// Where it was when the project was saved.
    pub path: PathBuf,
    pub mark: ModelMark,
}

/// What is on the disk, and who writes it.
#[derive(Default)]
pub(super) struct Saving {
    /// The project as last written to its file.
    saved: Project,
    /// The same of the file that is written by itself.
    autosaved: Option<Work>,
    /// When the first change was made that autosave has not written.
    changed_at: Option<Instant>,
    writer: Option<Writer>,
    /// The mark of the model that the opened project was made with.
    expected: Option<ModelMark>,
    /// Layouts that came with projects: how many, so that the window sees a new one.
    pub layouts: u64,
    /// The history that came with the project just opened.
    incoming: Option<(String, History)>,
}

#[derive(Clone, PartialEq)]
struct Work {
    document: Document,
}

/// One thread that writes what it was given last: a sync of the disk can take longer than a frame, and an older state must never replace a newer.
struct Writer {
    work: Sender<(Work, History, PathBuf)>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start() -> Option<Self> {
        let (work, inbox) = channel::<(Work, History, PathBuf)>();
        let body = move || {
            while let Ok(mut next) = inbox.recv() {
                while let Ok(newer) = inbox.try_recv() {
                    next = newer;
                }
                let (work, history, path) = next;
                if let Err(e) = project_file::save_document(&work.document, Some(&history), &path) {
                    tracing::warn!("the last project could not be kept: {e}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("autosave".into()).spawn(body).ok()?;
        Some(Self { work, thread })
    }
}

impl App {
    /// The project differs from its file.
    pub fn is_dirty(&self) -> bool {
        self.project != self.saving.saved
    }
    /// How many layouts came with projects so far, and the newest.
    pub fn opened_layout(&self) -> (u64, Option<&serde_json::Value>) {
        (self.saving.layouts, self.layout.as_ref())
    }

    /// The project has come by this arrangement without anybody changing it.
    pub(super) fn arrangement_is_no_change(&mut self, now: &super::Arrangement) {
        self.saving.saved.arrangement.get_or_insert_with(|| now.clone());
    }

    pub(super) fn set_layout(&mut self, layout: serde_json::Value) {
        if self.layout.as_ref() != Some(&layout) {
            self.layout = Some(layout);
            self.mark_changed();
        }
    }

    fn document(&self) -> Document {
        let info = self.base_info().filter(|_| self.library.model.as_ref().map(|m| &m.path) == self.project.model.as_ref());
        let mark = info.map(|m| ModelMark { name: m.name.clone(), sha256: m.sha256.clone(), size_bytes: m.size_bytes });
        Document {
            project: self.project.clone(),
            // While the model is still read, or is missing, it is the one that was.
            model: mark.or_else(|| self.saving.expected.clone()),
            layout: self.layout.clone(),
            ..Document::default()
        }
    }

    pub(super) fn document_with(&self, results: Results) -> Document {
        Document { results: Some(results).filter(|r| !r.is_empty()), ..self.document() }
    }

    pub(super) fn save_project(&mut self, path: Option<PathBuf>) {
        let path = path.or_else(|| self.project_path.clone()).unwrap_or_else(|| self.settings.last_project());
        let document = self.document_with(self.results());
        match project_file::save_document(&document, Some(&self.history), &path) {
            Ok(()) => {
                self.saving.saved = self.project.clone();
                self.remember(|r| r.used_project(&path));
                self.notice(NoticeLevel::Done, "Project saved", path.display().to_string());
                self.project_path = Some(path);
            }
            Err(e) => self.notice(NoticeLevel::Error, "The project could not be saved", e.to_string()),
        }
    }

    /// Changes what the program remembers, and writes it.
    pub(super) fn remember(&mut self, change: impl FnOnce(&mut Remembered)) {
        let mut preferences = self.settings.preferences.clone();
        change(&mut preferences.remembered);
        self.set_preferences(preferences);
    }

    /// The project was replaced by what `path` holds.
    pub(super) fn mark_saved(&mut self, path: Option<&Path>) {
        self.saving.saved = self.project.clone();
        self.saving.expected = None;
        self.missing_model = None;
        self.project_path = path.map(Path::to_owned);
    }

    pub(super) fn mark_changed(&mut self) {
        // The first change counts: a stream of them must not put saving off.
        self.saving.changed_at.get_or_insert_with(Instant::now);
    }

    /// How long until [`App::pump`] has something to save.
    pub fn autosave_due_in(&self) -> Option<Duration> {
        let at = self.saving.changed_at.filter(|_| self.settings.autosave)?;
        Some(AUTOSAVE_AFTER.saturating_sub(at.elapsed()))
    }

    pub(super) fn autosave_when_due(&mut self) {
        if self.autosave_due_in().is_none_or(|d| !d.is_zero()) {
            return;
        }
        self.saving.changed_at = None;
        let work = self.autosave_work();
        if self.saving.autosaved.as_ref() == Some(&work) {
            return;
        }
        self.saving.autosaved = Some(work.clone());
        let path = self.settings.last_project();
        let history = self.history.clone();
        let writer = match self.saving.writer.take() {
            Some(w) => Some(w),
            None => Writer::start(),
        };
        match writer {
            Some(w) => {
                // The writer ends only when it is dropped.
                let _ = w.work.send((work, history, path));
                self.saving.writer = Some(w);
            }
            None => self.write_now(&work, &path),
        }
    }

    fn autosave_work(&self) -> Work {
        Work { document: Document { file: self.project_path.clone(), ..self.document() } }
    }

    fn write_now(&self, work: &Work, path: &Path) {
        if let Err(e) = project_file::save_document(&work.document, Some(&self.history), path) {
            tracing::warn!("the last project could not be kept: {e}");
        }
    }

    /// Writes what autosave has not written yet; called when the window closes.
    pub fn close(&mut self) {
        if !self.settings.autosave {
            return;
        }
        if let Some(Writer { work, thread }) = self.saving.writer.take() {
            drop(work);
            // A writer that died has said so.
            let _ = thread.join();
        }
        let work = self.autosave_work();
        if self.saving.autosaved.as_ref() != Some(&work) {
            self.write_now(&work, &self.settings.last_project());
            self.saving.autosaved = Some(work);
        }
    }

    pub(super) fn open_project(&mut self, path: &Path) {
        match project_file::load_document(path) {
            Ok((document, history)) => {
                self.take_document(document, history, path);
                self.remember(|r| r.used_project(path));
                self.notice(NoticeLevel::Info, "Project opened", path.display().to_string());
            }
            Err(e) => self.notice(NoticeLevel::Error, "The project could not be opened", e.to_string()),
        }
    }

    fn take_document(&mut self, document: Document, history: Option<History>, path: &Path) {
        let Document { mut project, model: mark, layout, .. } = document;
        self.find_data(&mut project, path);
        let run = project.run.clone();
        self.project = project;
        self.mark_saved(Some(path));
        if let Some(layout) = layout {
            self.layout = Some(layout);
            self.saving.layouts += 1;
        }
        self.saving.incoming = history.map(|h| (format!("open {}", path.display()), h));
        self.saving.expected = mark;
        self.find_model(path);
        if let Some(run) = run.filter(|_| self.settings.open_runs) {
            self.open_run(run);
        }
    }

    /// The history of a project that was just opened takes the place of the one there is, or hangs under it. `before`: the project that was left.
    pub(super) fn took_history(&mut self, before: &Project) -> bool {
        let Some((label, history)) = self.saving.incoming.take() else { return false };
        if *before == Project::default() {
            self.history = history;
        } else {
            self.history.graft(history, label, before.clone());
        }
        true
    }

    /// Data that is not where the project says, but beside it, is taken from there.
    fn find_data(&mut self, project: &mut Project, path: &Path) {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for d in &mut project.domains {
            if is_demo(&d.path) || is_hub(&d.path) || d.path.exists() {
                continue;
            }
            let Some(name) = d.path.file_name() else { continue };
            if let Some(found) = [folder.join(name), folder.join("data").join(name)].into_iter().find(|p| p.exists()) {
                let details = format!("{} is not there; {} is read instead.", d.path.display(), found.display());
                self.notice(NoticeLevel::Info, format!("{} was found beside the project", d.name), details);
                d.path = found;
            }
        }
    }

    /// The model where the project says, where this machine is known to have it, or beside the project; else the user is asked.
    fn find_model(&mut self, path: &Path) {
        let Some(wanted) = self.project.model.clone() else { return };
        if is_demo(&wanted) || find_on_disk(&wanted).is_ok() {
            return;
        }
        let mark = self.saving.expected.clone().unwrap_or_default();
        let known = self.settings.preferences.remembered.model_places.get(&mark.sha256).cloned();
        let beside = wanted.file_name().and_then(|name| Some(path.parent()?.join(name)));
        match known.into_iter().chain(beside).find(|p| p.exists()) {
            Some(place) => {
                self.notice(NoticeLevel::Info, "The model is read from where it lies on this machine", place.display().to_string());
                self.put_model(&wanted, place);
            }
            None => {
                let why = format!("{} is not on this machine; say where the model lies", wanted.display());
                self.library.model = Some(ModelEntry { path: wanted.clone(), state: Loading::Failed(why) });
                self.decoder = None;
                self.forget_evaluation();
                self.model_generation = self.next_generation();
                self.missing_model = Some(MissingModel { path: wanted, mark });
            }
        }
    }

    /// The project and its history name the model by where it lies here.
    fn put_model(&mut self, old: &Path, new: PathBuf) {
        let moved = |p: &mut Project| {
            if p.model.as_deref() == Some(old) {
                p.model = Some(new.clone());
            }
        };
        self.history.rewrite(moved);
        if let Some((_, history)) = &mut self.saving.incoming {
            history.rewrite(moved);
        }
        // That it lies elsewhere is no change of the project that would have to be saved.
        moved(&mut self.saving.saved);
        moved(&mut self.project);
    }

    pub(super) fn relocate_model(&mut self, path: PathBuf) {
        let Some(missing) = self.missing_model.clone() else {
            return self.notice(NoticeLevel::Error, "No model is missing", "Open another model from the menu instead.");
        };
        match find_on_disk(&path) {
            Err(e) => self.notice(NoticeLevel::Error, "There is no model", e.to_string()),
            Ok(_) => {
                if !missing.mark.sha256.is_empty() {
                    let sha256 = missing.mark.sha256.clone();
                    let place = path.clone();
                    self.remember(|r| {
                        r.model_places.insert(sha256, place);
                    });
                }
                self.put_model(&missing.path, path.clone());
                self.move_data_along(&missing.path, &path);
                self.missing_model = None;
                self.mark_changed();
                self.reconcile();
                self.refresh_ablation();
                self.refresh_prediction();
            }
        }
    }

    /// Data that lay in the same place as the model is looked for in the model's new place.
    fn move_data_along(&mut self, old: &Path, new: &Path) {
        let same_end = old.components().rev().zip(new.components().rev()).take_while(|(a, b)| a == b).count();
        let root = |p: &Path| p.ancestors().nth(same_end).map(Path::to_owned);
        let (Some(old_root), Some(new_root)) = (root(old), root(new)) else { return };
        let mut moves = Vec::new();
        for d in self.project.domains.iter().filter(|d| !is_demo(&d.path) && !is_hub(&d.path) && !d.path.exists()) {
            if let Ok(rest) = d.path.strip_prefix(&old_root)
                && new_root.join(rest).exists()
            {
                moves.push((d.path.clone(), new_root.join(rest)));
            }
        }
        let moved = |p: &mut Project| {
            for d in &mut p.domains {
                if let Some((_, to)) = moves.iter().find(|(from, _)| *from == d.path) {
                    d.path.clone_from(to);
                }
            }
        };
        self.history.rewrite(moved);
        moved(&mut self.saving.saved);
        moved(&mut self.project);
    }

    /// After a model was read: whether it is the one that the project was made with.
    pub(super) fn verify_model(&mut self) {
        let Some((info, mark)) = self.library.model_info().cloned().zip(self.saving.expected.take()) else { return };
        if !mark.sha256.is_empty() && mark.sha256 != info.sha256 {
            let details = format!(
                "The project was made with {} (SHA-256 {}); {} has {}. Its sets and numbers may mean something else here.",
                mark.name,
                mark.sha256,
                info.folder.display(),
                info.sha256
            );
            self.notice(NoticeLevel::Warn, "This is another model than the project's", details);
        }
    }

    /// The last project where there is one that opens, else the demo.
    pub fn open_last_or_demo(&mut self) {
        let path = self.settings.last_project();
        match path.exists().then(|| project_file::load_document(&path)) {
            Some(Ok((document, history))) if document.project.model.is_some() => {
                let file = document.file.clone();
                self.take_document(document, history, &path);
                self.took_history(&Project::default());
                // What the project's own file holds says whether there is something to save.
                self.project_path = file.filter(|f| f.exists());
                self.saving.saved = self.project_path.as_deref().and_then(|f| project_file::load(f).ok()).unwrap_or_default();
                self.reconcile();
                self.refresh_ablation();
                self.refresh_prediction();
            }
            Some(Err(e)) => {
                self.notice(NoticeLevel::Warn, "The last project could not be opened, so this is the demo", e.to_string());
                self.apply(super::Command::OpenDemo);
            }
            _ => self.apply(super::Command::OpenDemo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{Command, testing::for_tests},
        base::{Neuron, NeuronSet},
    };

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
    }

    fn copy_of_fixture(to: &Path) {
        std::fs::create_dir_all(to).expect("folder");
        for file in std::fs::read_dir(fixture()).expect("fixture").flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copy");
        }
    }

    #[test]
    fn a_project_asks_once_for_a_model_that_lies_elsewhere() {
        let dir = tempfile::tempdir().expect("folder");
        let there = dir.path().join("there/models/tiny");
        copy_of_fixture(&there);
        let mut app = for_tests(dir.path());
        app.apply(Command::OpenModel { path: there.clone() });
        crate::app::testing::settle(&mut app);
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
        let file = dir.path().join("projects/p.json");
        app.apply(Command::SaveProject { path: Some(file.clone()) });

        let here = dir.path().join("here/tiny");
        std::fs::create_dir_all(here.parent().expect("folder")).expect("folder");
        std::fs::rename(&there, &here).expect("move");
        let mut other = for_tests(dir.path());
        other.apply(Command::OpenProject { path: file.clone() });
        let missing = other.missing_model.clone().expect("asked");
        assert_eq!((missing.path, missing.mark.name.as_str(), missing.mark.sha256.len()), (there.clone(), "tiny", 64));
        assert!(other.log.iter().all(|n| n.level < NoticeLevel::Warn), "it is asked for, not complained of: {:?}", other.log);
        other.apply(Command::RelocateModel { path: dir.path().join("nowhere") });
        assert!(other.missing_model.is_some() && other.log.last().is_some_and(|n| n.level == NoticeLevel::Error));
        other.apply(Command::RelocateModel { path: here.clone() });
        crate::app::testing::settle(&mut other);
        assert!(other.missing_model.is_none() && other.library.model_info().is_some() && !other.is_dirty());
        assert_eq!(other.project.off(), NeuronSet::parse("L0N1").expect("set"));
        // Undo does not lead back to where the model was.
        other.apply(Command::Undo);
        assert_eq!((other.project.model.as_deref(), other.project.off().len()), (Some(here.as_path()), 0));

        // The next time nobody is asked.
        let mut third = for_tests(dir.path());
        third.settings.preferences = other.settings.preferences.clone();
        third.apply(Command::OpenProject { path: file });
        assert!(third.missing_model.is_none());
        assert_eq!(third.project.model.as_deref(), Some(here.as_path()));
    }

    #[test]
    fn another_model_in_the_place_of_the_project_s_is_told() {
        let dir = tempfile::tempdir().expect("folder");
        let place = dir.path().join("tiny");
        copy_of_fixture(&place);
        let mut app = for_tests(dir.path());
        app.apply(Command::OpenModel { path: place.clone() });
        crate::app::testing::settle(&mut app);
        let file = dir.path().join("p.json");
        app.apply(Command::SaveProject { path: Some(file.clone()) });
        let config = place.join("config.json");
        let text = std::fs::read_to_string(&config).expect("config");
        std::fs::write(&config, format!("{text}\n")).expect("changed");
        let mut other = for_tests(dir.path());
        other.apply(Command::OpenProject { path: file });
        crate::app::testing::settle(&mut other);
        let warned = other.log.iter().find(|n| n.level == NoticeLevel::Warn).expect("warning");
        assert!(warned.title.contains("another model") && warned.details.contains("SHA-256"), "{warned:?}");
    }

    #[test]
    fn a_stream_of_changes_does_not_put_saving_off() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = for_tests(dir.path());
        app.settings.autosave = true;
        let began = Instant::now();
        let mut seen = None;
        let mut i = 0;
        while began.elapsed() < Duration::from_secs(6) && seen.is_none() {
            i += 1;
            app.apply(Command::SetNotes { notes: format!("note {i}") });
            app.pump();
            std::thread::sleep(Duration::from_millis(20));
            seen = project_file::load(&app.settings.last_project()).ok().map(|p| p.notes);
        }
        assert!(seen.is_some_and(|n| n.starts_with("note ")), "nothing was saved in {:?} of changes every 20 ms", began.elapsed());
        app.close();
        assert_eq!(project_file::load(&app.settings.last_project()).expect("last").notes, format!("note {i}"));
    }

    #[test]
    fn what_was_saved_by_itself_knows_the_project_s_own_file() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = for_tests(dir.path());
        app.settings.autosave = true;
        app.apply(Command::OpenModel { path: fixture() });
        crate::app::testing::settle(&mut app);
        let file = dir.path().join("mine.json");
        app.apply(Command::SaveProject { path: Some(file.clone()) });
        app.apply(Command::SetNotes { notes: "later".into() });
        app.close();
        let mut next = for_tests(dir.path());
        next.open_last_or_demo();
        assert_eq!((next.project_path.as_deref(), next.project.notes.as_str(), next.is_dirty()), (Some(file.as_path()), "later", true));
        assert_eq!(next.undo_label(), Some("notes"));
        next.apply(Command::Undo);
        assert!(!next.is_dirty());
    }
}
