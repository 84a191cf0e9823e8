//! File dialogs. A dialog blocks its own thread, never a frame; where the system has none, a path is typed.

use super::{Ask, Theme, dropped::add_domain, typed_path::TypedPath};
use crate::{
    app::{Command, MapChange},
    report::export::FileKind,
};
use eframe::egui::Context;
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

/// A dialog that closes without an answer sooner than this was never seen by anybody.
const UNSEEN: Duration = Duration::from_millis(250);

/// Dialogs that are open, and what came of those that closed.
#[derive(Default)]
pub struct Dialogs {
    open: Vec<mpsc::Receiver<Closed>>,
    /// Asked in the window instead.
    typed: TypedPath,
    /// Paths are typed even where the system has dialogs.
    always_typed: bool,
}

pub enum Picked {
    Commands(Vec<Command>),
    /// Where an export goes.
    ExportPath(PathBuf),
    /// Where the missing model may lie.
    ModelPlace(PathBuf),
    /// A file to write.
    Write(PathBuf, Vec<u8>),
}

/// What is to be picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    /// A model's folder; where the path is typed, also a model in one file.
    Model,
    /// One that need not be there yet.
    NewFolder,
    File,
    Files,
    /// A file to write, with the name that is proposed.
    Save(String),
}

/// What a dialog asks for, and what becomes of the answer.
pub struct Wanted {
    pub title: String,
    pub kind: Kind,
    /// Name and ends of the files that are shown.
    filter: Option<(&'static str, Vec<&'static str>)>,
    /// Where it begins.
    pub folder: Option<PathBuf>,
    pub made: Box<dyn FnOnce(Vec<PathBuf>) -> Picked + Send>,
}

enum Closed {
    Picked(Picked),
    Cancelled,
    /// The system has no file dialog.
    Missing(Wanted),
}

impl Wanted {
    fn new(title: &str, kind: Kind, made: impl FnOnce(Vec<PathBuf>) -> Picked + Send + 'static) -> Self {
        Self { title: title.to_owned(), kind, filter: None, folder: None, made: Box::new(made) }
    }
    /// What leads to one command about one path.
    fn one(title: &str, kind: Kind, command: impl FnOnce(PathBuf) -> Command + Send + 'static) -> Self {
        Self::new(title, kind, move |paths| Picked::Commands(paths.into_iter().next().map(command).into_iter().collect()))
    }
    fn filter(self, name: &'static str, ends: &[&'static str]) -> Self {
        Self { filter: Some((name, ends.to_vec())), ..self }
    }

    /// Blocks until the system's dialog closes.
    fn picked(&self) -> Option<Vec<PathBuf>> {
        let mut dialog = rfd::FileDialog::new().set_title(&self.title);
        if let Some((name, ends)) = &self.filter {
            dialog = dialog.add_filter(*name, ends);
        }
        if let Some(folder) = &self.folder {
            dialog = dialog.set_directory(folder);
        }
        match &self.kind {
            Kind::Folder | Kind::NewFolder | Kind::Model => dialog.pick_folder().map(|p| vec![p]),
            Kind::File => dialog.pick_file().map(|p| vec![p]),
            Kind::Files => dialog.pick_files(),
            Kind::Save(name) => dialog.set_file_name(name).save_file().map(|p| vec![p]),
        }
    }
}

/// What a request asks the user for; requests that need no dialog are given back.
fn wanted(ask: Ask) -> Result<Wanted, Ask> {
    let project = ("Brodmann project", ["json"]);
    Ok(match ask {
        Ask::OpenModel => {
            Wanted::one("Open a model (config.json, tokenizer.json, *.safetensors)", Kind::Model, |path| Command::OpenModel { path })
        }
        Ask::OpenGguf => Wanted::one("Open a model in one file", Kind::File, |path| Command::OpenModel { path }).filter("GGUF", &["gguf"]),
        Ask::OpenOtherRun => {
            Wanted::one("Open a run to compare with", Kind::Folder, |path| Command::ChangeMap { change: MapChange::OtherRun(Some(path)) })
        }
        Ask::OpenRun => Wanted::one("Open a run folder (run.json, grids.safetensors)", Kind::Folder, |path| Command::OpenRun { path }),
        Ask::AddDomain => {
            let made = |files: Vec<PathBuf>| Picked::Commands(files.iter().map(|f| add_domain(f)).collect());
            Wanted::new("Add datasets as domains", Kind::Files, made).filter("Datasets", &["jsonl", "json", "csv", "tsv", "parquet", "txt"])
        }
        Ask::OpenProject => Wanted::one("Open a project", Kind::File, |path| Command::OpenProject { path }).filter(project.0, &project.1),
        Ask::OpenSet => {
            let made = |files: Vec<PathBuf>| Picked::Commands(files.into_iter().map(|path| Command::AddSetFile { path }).collect());
            Wanted::new("Add neuron sets", Kind::Files, made).filter("Neuron set", &["json"])
        }
        Ask::SaveSet(index, vocabulary) => {
            Wanted::one("Save the neuron set", Kind::Save("set.json".into()), move |path| Command::ExportSet { index, vocabulary, path })
        }
        Ask::LocateModel => Wanted::new("Where the project's model lies", Kind::Model, |paths| {
            Picked::ModelPlace(paths.into_iter().next().unwrap_or_default())
        }),
        Ask::SaveProjectAs => {
            Wanted::one("Save the project", Kind::Save("project.json".into()), |path| Command::SaveProject { path: Some(path) })
        }
        Ask::ExportPath(now) => {
            let name = now.file_name().map_or_else(|| "export.png".to_owned(), |n| n.to_string_lossy().into_owned());
            let made = |paths: Vec<PathBuf>| Picked::ExportPath(paths.into_iter().next().unwrap_or_default());
            let folder = now.parent().filter(|f| f.is_dir()).map(Path::to_owned);
            Wanted { folder, ..Wanted::new("Export to", Kind::Save(name), made) }
                .filter("Pictures, tables, arrays", &FileKind::ALL.map(FileKind::extension))
        }
        Ask::OpenTuned => Wanted::one("Open a tuning (tune.json, overlay.safetensors)", Kind::Folder, |path| Command::OpenTuned { path }),
        Ask::SaveTuned(kind) => Wanted::one("A folder for the tuned model", Kind::NewFolder, move |path| Command::SaveTuned { path, kind }),
        Ask::ReplayProject => Wanted::one("Replay a project", Kind::File, |path| Command::Replay { path: Some(path), model: None })
            .filter(project.0, &project.1),
        Ask::SaveReport => Wanted::one("Save the report", Kind::Save("report.html".into()), |path| Command::WriteReport { path }),
        Ask::SaveFile(name, bytes) => {
            Wanted::new("Save as", Kind::Save(name), move |paths| Picked::Write(paths.into_iter().next().unwrap_or_default(), bytes))
        }
        other => return Err(other),
    })
}

/// Whether anything could show a file dialog. Without a session bus there is no portal; `zenity` is what is tried then.
fn has_dialogs() -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let bus = set("DBUS_SESSION_BUS_ADDRESS").is_some() || set("XDG_RUNTIME_DIR").is_some_and(|d| Path::new(&d).join("bus").exists());
    bus || set("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| d.join("zenity").is_file()))
}

impl Dialogs {
    /// Paths are typed in the window, whatever the system has.
    pub fn always_typed() -> Self {
        Self { always_typed: true, ..Self::default() }
    }

    /// Opens the dialog for a request; requests that need none are given back.
    pub fn ask(&mut self, ctx: &Context, ask: Ask) -> Option<Ask> {
        let wanted = match wanted(ask) {
            Ok(wanted) => wanted,
            Err(ask) => return Some(ask),
        };
        if self.always_typed {
            self.typed.ask(wanted);
            return None;
        }
        let (send, receive) = mpsc::channel();
        let ctx = ctx.clone();
        std::thread::spawn(move || {
            let closed = if has_dialogs() {
                let opened = Instant::now();
                match wanted.picked() {
                    Some(paths) if !paths.is_empty() => Closed::Picked((wanted.made)(paths)),
                    _ if opened.elapsed() < UNSEEN => Closed::Missing(wanted),
                    _ => Closed::Cancelled,
                }
            } else {
                Closed::Missing(wanted)
            };
            // The window may be gone by the time the dialog closes.
            let _ = send.send(closed);
            ctx.request_repaint();
        });
        self.open.push(receive);
        None
    }

    /// Results of dialogs that closed since the last call.
    pub fn take(&mut self) -> Vec<Picked> {
        let mut done = Vec::new();
        let typed = &mut self.typed;
        self.open.retain(|r| match r.try_recv() {
            Ok(closed) => {
                match closed {
                    Closed::Picked(picked) => done.push(picked),
                    Closed::Missing(wanted) => typed.ask(wanted),
                    Closed::Cancelled => {}
                }
                false
            }
            Err(mpsc::TryRecvError::Empty) => true,
            Err(mpsc::TryRecvError::Disconnected) => false,
        });
        done.extend(self.typed.take());
        done
    }

    /// The field for a path, while one is wanted.
    pub fn ui(&mut self, ctx: &Context, theme: &Theme) {
        self.typed.ui(ctx, theme);
    }
    pub fn is_typing(&self) -> bool {
        self.typed.is_open()
    }
    /// Leaves what is being typed.
    pub fn close(&mut self) {
        self.typed.close();
    }
}
