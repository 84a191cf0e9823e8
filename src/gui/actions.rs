//! Everything that can be done from the keyboard or the menu, in one list: the menu, the shortcuts and the palette walk it.

use super::{Ask, dock::LayoutId, export::views_of, panels};
use crate::app::{App, Command};
use eframe::egui::{Key, KeyboardShortcut, Modifiers};

/// What an action does: a change of state, a dialog, or something of the window alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Send(Box<Command>),
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
    Tour,
    /// Of the project as it is; shows how it goes.
    Replay,
    Quit,
}

fn send(command: Command) -> Act {
    Act::Send(Box::new(command))
}

pub struct Action {
    pub label: String,
    pub menu: &'static str,
    pub shortcut: Option<KeyboardShortcut>,
    /// Also bound, but not shown.
    pub second: Option<KeyboardShortcut>,
    pub enabled: bool,
    /// Why it cannot be done now; empty where it can.
    pub why: &'static str,
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

/// Whether something can be done: `Err` says why not.
type Gate = Result<(), &'static str>;

fn gate(possible: bool, why: &'static str) -> Gate {
    if possible { Ok(()) } else { Err(why) }
}

const FREE: Gate = Ok(());

/// All actions as they stand now.
pub fn all(app: &App) -> Vec<Action> {
    let mut list: Vec<Action> = Vec::new();
    let mut add = |menu: &'static str, label: String, shortcut: Option<KeyboardShortcut>, gate: Gate, act: Act| {
        let why = gate.err().unwrap_or_default();
        list.push(Action { label, menu, shortcut, second: None, enabled: gate.is_ok(), why, act, starts_group: false });
        list.len() - 1
    };
    let model = gate(app.library.spec().is_some(), "Open a model first");
    let domains = app.project.domains.iter().filter(|d| d.enabled).count();
    let some_domain = gate(domains > 0, "Add a dataset and switch it on first");
    let off = !app.project.sets.is_empty() || !app.project.single.is_empty() || !app.project.heads.is_empty();
    let running = app.running().is_some();

    add("File", "Open model folder…".into(), key(CTRL, Key::O), FREE, Act::Ask(Ask::OpenModel));
    add("File", "Open GGUF file…".into(), None, FREE, Act::Ask(Ask::OpenGguf));
    add("File", "Add datasets…".into(), key(CTRL_SHIFT, Key::O), FREE, Act::Ask(Ask::AddDomain));
    add("File", "Open run…".into(), None, FREE, Act::Ask(Ask::OpenRun));
    add("File", "Add a neuron set…".into(), None, FREE, Act::Ask(Ask::OpenSet));
    add("File", "Open the demo".into(), None, FREE, send(Command::OpenDemo));
    let group = add("File", "New project".into(), key(CTRL, Key::N), FREE, send(Command::NewProject));
    add("File", "Open project…".into(), None, FREE, Act::Ask(Ask::OpenProject));
    let mut recent = None;
    for path in app.settings.preferences.remembered.recent_projects.iter().take(5) {
        let label = format!("Open recent: {}", shown_project(path));
        // Whether it is still there is not asked in a frame: the disk may be slow. Opening says so.
        let at = add("File", label, None, FREE, send(Command::OpenProject { path: path.clone() }));
        recent = recent.or(Some(at));
    }
    let save = add("File", "Save project".into(), key(CTRL, Key::S), FREE, Act::Ask(Ask::SaveProject));
    add("File", "Save project as…".into(), key(CTRL_SHIFT, Key::S), FREE, Act::Ask(Ask::SaveProjectAs));
    let quit = add("File", "Quit".into(), key(CTRL, Key::Q), FREE, Act::Quit);

    let label = |verb: &str, what: Option<&str>| what.map_or_else(|| verb.to_owned(), |w| format!("{verb} {w}"));
    let undo = label("Undo", app.undo_label());
    let redo = label("Redo", app.redo_label());
    add("Edit", undo, key(CTRL, Key::Z), gate(app.undo_label().is_some(), "This is the beginning"), send(Command::Undo));
    let redo_gate = gate(app.redo_label().is_some(), "Nothing was undone");
    let redo = add("Edit", redo, key(CTRL_SHIFT, Key::Z), redo_gate, send(Command::Redo));
    let find = add("Edit", "Find a neuron…".into(), key(CTRL, Key::F), model, Act::FindNeuron);
    add("Edit", "Every action…".into(), key(CTRL, Key::P), FREE, Act::Palette);
    let settings = add("Edit", "Settings…".into(), key(CTRL, Key::Comma), FREE, Act::Settings);
    let selection = &app.project.view.selection;
    let some = gate(!selection.is_empty(), "Select neurons in a view first: click, or shift-drag");
    let keep = |on: bool| {
        let name = app.free_set_name(&format!("selection of {}", selection.len()));
        let chosen_on = app.project.view.domain.iter().chain(&app.project.view.minus).cloned().collect();
        let (neurons, source) = (selection.clone(), "selected in a view".to_owned());
        send(if on { Command::AddSet { name, neurons, source, chosen_on } } else { Command::KeepSet { name, neurons, source, chosen_on } })
    };
    let kept = add("Edit", "Keep the selection as a set".into(), None, some, keep(false));
    add("Edit", "Switch the selection off".into(), None, some, keep(true));
    let clear_gate = gate(off, "Nothing is off");
    add("Edit", "Switch all neurons back on".into(), None, clear_gate, send(Command::ClearAblation));

    let scan = if domains == 1 { "Scan 1 domain".to_owned() } else { format!("Scan {domains} domains") };
    let free = gate(!app.is_busy(), "Something is running; wait for it or cancel it");
    let scan_gate = model.and(some_domain).and(free);
    add("Run", scan, key(CTRL, Key::Enter), scan_gate, send(Command::StartScan { out: None }));
    add("Run", "Measure accuracy".into(), key(CTRL_SHIFT, Key::Enter), model.and(some_domain), send(Command::Evaluate));
    let replay_gate = model.and(free);
    let replay = add("Run", "Replay this project".into(), None, replay_gate, Act::Replay);
    add("Run", "Replay a project file…".into(), None, free, Act::Ask(Ask::ReplayProject));
    let cancel_gate = gate(running, "Nothing is running");
    let cancel = add("Run", "Cancel the running job".into(), key(NONE, Key::Escape), cancel_gate, send(Command::CancelNewest));

    let have_run = gate(app.library.run().is_some(), "Scan first, or open a run");
    add("Export", "Export the panel in focus…".into(), key(CTRL, Key::E), FREE, Act::Export);
    for p in panels::PANELS {
        if let Some(view) = p.export {
            let some_tab = views_of(view).iter().any(|v| app.cannot_export(*v).is_none());
            let possible = if some_tab { FREE } else { app.cannot_export(view).map_or(FREE, Err) };
            add("Export", format!("Export {}…", p.title.to_lowercase()), None, possible, Act::Ask(Ask::Export(view)));
        }
    }
    let report = add("Export", "Save a report of the run (HTML)…".into(), None, have_run, Act::Ask(Ask::SaveReport));

    for (layout, k) in LayoutId::ALL.into_iter().zip([Key::Num1, Key::Num2, Key::Num3, Key::Num4]) {
        add("View", format!("{} layout", layout.name()), key(CTRL, k), FREE, Act::Layout(layout));
    }
    add("View", "Reset this layout".into(), None, FREE, Act::ResetLayout);
    let library = add("View", "Library".into(), key(CTRL, Key::B), FREE, Act::ToggleLibrary);
    add("View", "Inspector".into(), key(CTRL, Key::I), FREE, Act::ToggleInspector);
    let theme = add("View", "Switch between light and dark".into(), None, FREE, Act::ToggleTheme);
    add("View", "Follow the system's theme".into(), None, FREE, Act::FollowSystemTheme);
    let zoom = add("View", "Larger".into(), key(CTRL, Key::Plus), FREE, Act::Zoom(true));
    let larger = zoom;
    add("View", "Smaller".into(), key(CTRL, Key::Minus), FREE, Act::Zoom(false));
    add("View", "Actual size".into(), key(CTRL, Key::Num0), FREE, Act::ResetZoom);
    add("View", "Full screen".into(), key(NONE, Key::F11), FREE, Act::FullScreen);
    let many = gate(app.library.scan().is_some_and(|r| r.domains.len() > 1), "The shown run has no other domain");
    let domain = add("View", "Next domain".into(), key(NONE, Key::CloseBracket), many, Act::NextDomain(1));
    add("View", "Previous domain".into(), key(NONE, Key::OpenBracket), many, Act::NextDomain(-1));
    let tour = add("View", "Take the tour".into(), None, FREE, Act::Tour);

    for p in panels::PANELS {
        add("Panels", p.title.into(), None, FREE, Act::Ask(Ask::ShowPanel(p.id)));
    }
    for i in [group, save, quit, find, settings, kept, replay, cancel, report, library, theme, zoom, domain, tour].into_iter().chain(recent)
    {
        list[i].starts_group = true;
    }
    list[redo].second = key(CTRL, Key::Y);
    list[larger].second = key(CTRL, Key::Equals);
    list
}

/// `name.json in folder`
fn shown_project(path: &std::path::Path) -> String {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    match path.parent().and_then(|p| p.file_name()) {
        Some(folder) => format!("{name} in {}", folder.to_string_lossy()),
        None => name,
    }
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
        assert!(list.iter().all(|a| a.enabled == a.why.is_empty()), "what cannot be done says why");
    }
}
