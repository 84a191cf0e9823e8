//! Everything that can be done from the keyboard or the menu, in one list: the menu, the shortcuts and the palette walk it.

use super::{Ask, dock::LayoutId, panels};
use crate::app::{App, Command};
use eframe::egui::{Key, KeyboardShortcut, Modifiers};

/// What an action does: a change of state, a dialog, or something of the window alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Send(Command),
    Ask(Ask),
    Layout(LayoutId),
    ResetLayout,
    ToggleTheme,
    FollowSystemTheme,
    Settings,
    /// Of the panel in focus.
    Export,
    ToggleLibrary,
    ToggleInspector,
    Palette,
    FindNeuron,
    FullScreen,
    /// Larger or smaller.
    Zoom(bool),
    ResetZoom,
    NextDomain(isize),
    Quit,
}

pub struct Action {
    pub label: String,
    pub menu: &'static str,
    pub shortcut: Option<KeyboardShortcut>,
    /// Also bound, but not shown.
    pub second: Option<KeyboardShortcut>,
    pub enabled: bool,
    pub act: Act,
    /// A hairline above it in the menu.
    pub starts_group: bool,
}

pub const MENUS: [&str; 6] = ["File", "Edit", "Run", "Export", "View", "Panels"];

const fn key(modifiers: Modifiers, key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(modifiers, key))
}

const CTRL: Modifiers = Modifiers::COMMAND;
const NONE: Modifiers = Modifiers::NONE;
const CTRL_SHIFT: Modifiers = Modifiers { command: true, shift: true, ..Modifiers::NONE };

/// All actions as they stand now.
pub fn all(app: &App) -> Vec<Action> {
    let mut list: Vec<Action> = Vec::new();
    let mut add = |menu: &'static str, label: String, shortcut: Option<KeyboardShortcut>, enabled: bool, act: Act| {
        list.push(Action { label, menu, shortcut, second: None, enabled, act, starts_group: false });
        list.len() - 1
    };
    let have_model = app.library.spec().is_some();
    let domains = app.project.domains.iter().filter(|d| d.enabled).count();
    let off = !app.project.sets.is_empty() || !app.project.single.is_empty() || !app.project.heads.is_empty();
    let running = app.running().is_some();

    add("File", "Open model folder…".into(), key(CTRL, Key::O), true, Act::Ask(Ask::OpenModel));
    add("File", "Open GGUF file…".into(), None, true, Act::Ask(Ask::OpenGguf));
    add("File", "Add datasets…".into(), key(CTRL_SHIFT, Key::O), true, Act::Ask(Ask::AddDomain));
    add("File", "Open run…".into(), None, true, Act::Ask(Ask::OpenRun));
    add("File", "Open the demo".into(), None, true, Act::Send(Command::OpenDemo));
    let group = add("File", "New project".into(), key(CTRL, Key::N), true, Act::Send(Command::NewProject));
    add("File", "Open project…".into(), None, true, Act::Ask(Ask::OpenProject));
    add("File", "Save project".into(), key(CTRL, Key::S), true, Act::Ask(Ask::SaveProject));
    add("File", "Save project as…".into(), key(CTRL_SHIFT, Key::S), true, Act::Ask(Ask::SaveProjectAs));
    let quit = add("File", "Quit".into(), key(CTRL, Key::Q), true, Act::Quit);

    let label = |verb: &str, what: Option<&str>| what.map_or_else(|| verb.to_owned(), |w| format!("{verb} {w}"));
    let undo = label("Undo", app.undo_label());
    let redo = label("Redo", app.redo_label());
    add("Edit", undo, key(CTRL, Key::Z), app.undo_label().is_some(), Act::Send(Command::Undo));
    let redo = add("Edit", redo, key(CTRL_SHIFT, Key::Z), app.redo_label().is_some(), Act::Send(Command::Redo));
    let find = add("Edit", "Find a neuron…".into(), key(CTRL, Key::F), have_model, Act::FindNeuron);
    add("Edit", "Every action…".into(), key(CTRL, Key::P), true, Act::Palette);
    let settings = add("Edit", "Settings…".into(), key(CTRL, Key::Comma), true, Act::Settings);
    let clear = add("Edit", "Switch all neurons back on".into(), None, off, Act::Send(Command::ClearAblation));

    let scan = if domains == 1 { "Scan 1 domain".to_owned() } else { format!("Scan {domains} domains") };
    add("Run", scan, key(CTRL, Key::Enter), have_model && domains > 0 && !app.is_busy(), Act::Send(Command::StartScan { out: None }));
    add("Run", "Measure accuracy".into(), key(CTRL_SHIFT, Key::Enter), have_model && domains > 0, Act::Send(Command::Evaluate));
    let cancel = add("Run", "Cancel the running job".into(), key(NONE, Key::Escape), running, Act::Send(Command::CancelNewest));

    let have_run = app.library.run().is_some();
    add("Export", "Export the panel in focus…".into(), key(CTRL, Key::E), have_run, Act::Export);
    for p in panels::PANELS {
        if let Some(view) = p.export {
            add("Export", format!("Export {}…", p.title.to_lowercase()), None, have_run, Act::Ask(Ask::Export(view)));
        }
    }
    let report = add("Export", "Save a report of the run (HTML)…".into(), None, have_run, Act::Ask(Ask::SaveReport));

    for (layout, k) in LayoutId::ALL.into_iter().zip([Key::Num1, Key::Num2, Key::Num3]) {
        add("View", format!("{} layout", layout.name()), key(CTRL, k), true, Act::Layout(layout));
    }
    add("View", "Reset this layout".into(), None, true, Act::ResetLayout);
    let library = add("View", "Library".into(), key(CTRL, Key::B), true, Act::ToggleLibrary);
    add("View", "Inspector".into(), key(CTRL, Key::I), true, Act::ToggleInspector);
    let theme = add("View", "Switch between light and dark".into(), None, true, Act::ToggleTheme);
    add("View", "Follow the system's theme".into(), None, true, Act::FollowSystemTheme);
    let zoom = add("View", "Larger".into(), key(CTRL, Key::Plus), true, Act::Zoom(true));
    let larger = zoom;
    add("View", "Smaller".into(), key(CTRL, Key::Minus), true, Act::Zoom(false));
    add("View", "Actual size".into(), key(CTRL, Key::Num0), true, Act::ResetZoom);
    add("View", "Full screen".into(), key(NONE, Key::F11), true, Act::FullScreen);
    let many = app.library.scan().is_some_and(|r| r.domains.len() > 1);
    let domain = add("View", "Next domain".into(), key(NONE, Key::CloseBracket), many, Act::NextDomain(1));
    add("View", "Previous domain".into(), key(NONE, Key::OpenBracket), many, Act::NextDomain(-1));

    for p in panels::PANELS {
        add("Panels", p.title.into(), None, true, Act::Ask(Ask::ShowPanel(p.id)));
    }
    for i in [group, quit, find, settings, clear, cancel, report, library, theme, zoom, domain] {
        list[i].starts_group = true;
    }
    list[redo].second = key(CTRL, Key::Y);
    list[larger].second = key(CTRL, Key::Equals);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::sample_app;

    #[test]
    fn no_two_actions_share_a_shortcut_and_every_menu_has_some() {
        let dir = tempfile::tempdir().expect("dir");
        let list = all(&sample_app(dir.path()));
        let keys: Vec<_> = list.iter().flat_map(|a| [a.shortcut, a.second]).flatten().collect();
        for (i, k) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(k), "{k:?} twice");
        }
        for menu in MENUS.iter().filter(|m| **m != "Panels") {
            assert!(list.iter().any(|a| a.menu == *menu), "{menu}");
        }
        assert!(list.iter().all(|a| MENUS.contains(&a.menu) && !a.label.is_empty()));
    }
}
