//! A path that is typed, where the system has no file dialog: on a bare window manager, over a remote display, in a container.

use super::{
    Theme,
    dialogs::{Kind, Picked, Wanted},
    theme,
    widgets::{control::remark, overlay::overlay},
};
use crate::model::is_gguf;
use eframe::egui::{Context, Key, TextEdit, Ui};
use std::path::{Path, PathBuf};

#[derive(Default)]
pub struct TypedPath {
    wanted: Option<Wanted>,
    text: String,
    /// Why the path that was entered last will not do.
    problem: Option<String>,
    /// The file that would be written over, once that was said.
    replaces: Option<PathBuf>,
    fresh: bool,
    picked: Option<Picked>,
}

impl TypedPath {
    pub fn ask(&mut self, wanted: Wanted) {
        let folder = wanted.folder.clone().or_else(|| std::env::home_dir().filter(|h| h.is_dir())).unwrap_or_default();
        self.text = match &wanted.kind {
            Kind::Save(name) => folder.join(name).display().to_string(),
            _ => String::new(),
        };
        (self.problem, self.replaces, self.fresh) = (None, None, true);
        self.wanted = Some(wanted);
    }
    pub fn is_open(&self) -> bool {
        self.wanted.is_some()
    }
    pub fn close(&mut self) {
        self.wanted = None;
    }
    /// What was entered since the last call.
    pub fn take(&mut self) -> Option<Picked> {
        self.picked.take()
    }

    pub fn ui(&mut self, ctx: &Context, theme: &Theme) {
        let Some(wanted) = &self.wanted else { return };
        let (title, kind) = (wanted.title.clone(), wanted.kind.clone());
        let mut open = true;
        overlay(ctx, theme, &title, 520.0, &mut open, |ui| self.body_ui(ui, theme, &kind));
        if !open {
            self.close();
        }
    }

    fn body_ui(&mut self, ui: &mut Ui, theme: &Theme, kind: &Kind) {
        let opens = !matches!(kind, Kind::Save(_) | Kind::NewFolder);
        let more = if opens { " What you drop on the window opens as well." } else { "" };
        remark(ui, theme, format!("This system shows no file dialog: type the path.{more}"));
        ui.add_space(theme::GRID);
        let hint = match kind {
            Kind::Folder | Kind::NewFolder => "/path/of/a/folder",
            Kind::Model => "/path/of/a/folder or /path/of/a/file.gguf",
            Kind::File | Kind::Files => "/path/of/a/file",
            Kind::Save(_) => "/path/of/the/file",
        };
        let field = ui
            .add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(f32::INFINITY))
            .accessible_name("Path of the file or folder");
        if std::mem::take(&mut self.fresh) {
            field.request_focus();
        }
        if field.changed() {
            (self.problem, self.replaces) = (None, None);
        }
        let mut entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        if let Some(problem) = &self.problem {
            ui.add_space(theme::GRID);
            ui.add(eframe::egui::Label::new(eframe::egui::RichText::new(problem).color(theme.bad)).wrap());
        }
        ui.add_space(theme::GRID * 2.0);
        let words = match (opens, &self.replaces) {
            (true, _) => "Open",
            (false, None) => "Save",
            (false, Some(_)) => "Replace it",
        };
        ui.horizontal(|ui| {
            let usable = !self.text.trim().is_empty();
            entered |= ui.add_enabled(usable, theme.primary(words)).clicked();
            if ui.button("Cancel").clicked() {
                self.close();
            }
        });
        if ui.input(|i| i.key_pressed(Key::Escape)) {
            self.close();
        } else if entered && !self.text.trim().is_empty() {
            self.enter(kind);
        }
    }

    fn enter(&mut self, kind: &Kind) {
        let path = path_of(self.text.trim());
        match check(&path, kind, self.replaces.as_deref()) {
            Ok(()) => {
                if let Some(wanted) = self.wanted.take() {
                    self.picked = Some((wanted.made)(vec![path]));
                }
            }
            Err(Problem::Refused(why)) => self.problem = Some(why),
            Err(Problem::Exists) => {
                self.problem = Some(format!("{} is there already.", path.display()));
                self.replaces = Some(path);
            }
        }
        // The field lost it with Enter.
        self.fresh = self.wanted.is_some();
    }
}

enum Problem {
    Refused(String),
    /// It would be written over; entered a second time it is.
    Exists,
}

/// `~` is the home folder; what is relative begins where the program was started.
fn path_of(text: &str) -> PathBuf {
    let home = std::env::home_dir();
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (None, Some(home)) if text == "~" => home,
        _ => PathBuf::from(text),
    };
    std::path::absolute(&path).unwrap_or(path)
}

fn check(path: &Path, kind: &Kind, agreed: Option<&Path>) -> Result<(), Problem> {
    let refused = |why: &str| Err(Problem::Refused(format!("{}: {why}", path.display())));
    match kind {
        Kind::Save(_) if path.is_dir() => refused("this is a folder; add the file's name"),
        Kind::Save(_) if path.exists() && agreed != Some(path) => Err(Problem::Exists),
        Kind::Save(_) if path.parent().is_some_and(|p| !p.is_dir()) => refused("its folder is not there"),
        Kind::Save(_) => Ok(()),
        Kind::NewFolder if path.is_file() => refused("this is a file, and a folder is wanted"),
        Kind::NewFolder => Ok(()),
        _ if !path.exists() => refused("there is nothing by this name"),
        Kind::Model if !path.is_dir() && !is_gguf(path) => refused("this is neither a folder nor a .gguf file"),
        Kind::Folder if !path.is_dir() => refused("this is a file, and a folder is wanted"),
        Kind::File | Kind::Files if path.is_dir() => refused("this is a folder, and a file is wanted"),
        _ => Ok(()),
    }
}
