//! A project from the first look to the file and back, through the window and by label, with the demo's own model behind it: the same pixels and the same
//! numbers after it was opened again.
#![cfg(feature = "gui")]

#[path = "support/harness.rs"]
mod harness;
#[path = "support/window.rs"]
mod support;

use brodmann::{
    app::{App, Command, EvalConfig, testing},
    base::NeuronSet,
    eval::DomainScore,
    gui::{Link, Panel, PanelCx, Shell, Theme, dock::LayoutId, panels},
};
use eframe::egui::{self, Key, Modifiers, Pos2, accesskit::Role, pos2};
use egui_kittest::{Harness, SnapshotResults, kittest::Queryable};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use support::{Window, app, builder, key, press, type_into, wait, window};

/// From `from` to `to` (shares of the map) with Shift held.
fn brush(h: &mut Window, from: (f32, f32), to: (f32, f32)) {
    let rect = h.get_by_label_contains("Map of ").rect();
    let at = |p: (f32, f32)| -> Pos2 { pos2(rect.left() + p.0 * rect.width(), rect.top() + p.1 * rect.height()) };
    let (from, to) = (at(from), at(to));
    let press =
        |pos, pressed| egui::Event::PointerButton { pos, button: egui::PointerButton::Primary, pressed, modifiers: Modifiers::SHIFT };
    h.event_modifiers(egui::Event::PointerMoved(from), Modifiers::SHIFT);
    h.run_steps(2);
    h.event_modifiers(press(from, true), Modifiers::SHIFT);
    h.run_steps(2);
    for k in 1..=4 {
        h.event_modifiers(egui::Event::PointerMoved(from + (to - from) * (k as f32 / 4.0)), Modifiers::SHIFT);
        h.run_steps(2);
    }
    h.event_modifiers(press(to, false), Modifiers::SHIFT);
    h.run_steps(3);
}

fn measured(a: &App) -> bool {
    let live = &a.ablation;
    let whole =
        |s: &BTreeMap<String, DomainScore>| !s.is_empty() && live.n_total.iter().all(|(d, n)| s.get(d).is_some_and(|s| s.n() == *n));
    let controls = live.controls.values().flatten().all(|c| live.n_total.get(&c.domain) == Some(&c.n()));
    !live.running && live.failed.is_none() && whole(&live.before) && whole(&live.after) && controls && a.running().is_none()
}

/// Accuracies before, after and of the controls.
fn numbers(a: &App) -> Vec<(String, Vec<u64>)> {
    let bits = |s: &DomainScore| s.items.iter().flat_map(|i| i.log_likelihoods.iter().map(|v| v.to_bits())).collect::<Vec<_>>();
    let live = &a.ablation;
    let parts = [("before", &live.before), ("after", &live.after)];
    let mut all: Vec<_> = parts.iter().flat_map(|(part, s)| s.iter().map(move |(d, s)| (format!("{part} {d}"), bits(s)))).collect();
    all.extend(live.controls.iter().flat_map(|(d, c)| c.iter().map(move |s| (format!("control {d}"), bits(s)))));
    all
}

/// Nothing hovers, no note is shown.
fn at_rest(h: &mut Window) -> image::RgbaImage {
    h.event(egui::Event::PointerGone);
    while h.query_all_by_label("Dismiss").next().is_some() {
        press(h, "Dismiss");
        h.event(egui::Event::PointerGone);
    }
    h.run_steps(12);
    h.render().expect("a picture")
}

#[test]
fn compared_brushed_kept_ablated_saved_and_opened_again_it_is_the_same() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = window(testing::for_tests(dir.path()));
    press(&mut h, "Open the demo");
    wait(&mut h, "the demo", |a| a.library.spec().is_some() && a.library.scan().is_some() && a.running().is_none());
    let eval = EvalConfig { samples: Some(12), ..EvalConfig::default() };
    h.state_mut().app.apply(Command::SetEvalConfig { config: eval });
    h.state_mut().app.apply(Command::SetControls { count: 1 });

    // Compare: arithmetic minus logic.
    press(&mut h, "Minus domain");
    let combo = h.get_by_label("Minus domain").rect();
    let below = |r: egui::Rect| r.top() >= combo.bottom() - 2.0 && r.left() < combo.right() && r.right() > combo.left();
    let choice = h.query_all_by_role_and_label(Role::Button, "logic").find(|n| below(n.rect())).expect("the list's logic");
    choice.click();
    h.run_steps(4);
    assert_eq!(app(&h).project.view.minus.as_deref(), Some("logic"));
    assert!(h.query_all_by_label_contains("minus logic").next().is_some());

    // Select by brush, keep it as a set.
    brush(&mut h, (0.1, 0.3), (0.25, 0.7));
    let selection = app(&h).project.view.selection.clone();
    assert!(selection.len() > 20, "{} neurons brushed", selection.len());
    press(&mut h, "Sets");
    press(&mut h, "Keep the selection as a set");
    assert_eq!((app(&h).project.sets.len(), app(&h).project.sets[0].neurons == selection, app(&h).project.off().len()), (1, true, 0));

    // Ablate it.
    press(&mut h, "Ablate");
    let name = app(&h).project.sets[0].name.clone();
    press(&mut h, &format!("{name}: not in force"));
    assert_eq!(app(&h).project.off(), selection);
    // Esc closes a menu; the measuring, which it would stop otherwise, goes on.
    press(&mut h, "Scale and order");
    assert!(h.query_by_label("layer rank").is_some() && app(&h).running().is_some());
    key(&mut h, Modifiers::NONE, Key::Escape);
    assert!(h.query_by_label("layer rank").is_none());
    wait(&mut h, "accuracy with the set off", measured);
    assert!(app(&h).jobs.iter().all(|j| j.state != brodmann::app::JobState::Cancelled));
    let with = numbers(app(&h));

    // Undo and redo.
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert_eq!(app(&h).project.off(), NeuronSet::new());
    key(&mut h, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(app(&h).project.off(), selection);
    wait(&mut h, "accuracy after redo", measured);
    assert_eq!(numbers(app(&h)), with, "what was measured is measured");

    // Save: once by a path, as the dialog does, then by the key.
    let file = dir.path().join("mine.json");
    h.state_mut().app.apply(Command::SaveProject { path: Some(file.clone()) });
    key(&mut h, Modifiers::COMMAND, Key::S);
    assert!(!app(&h).is_dirty() && app(&h).project_path.as_deref() == Some(file.as_path()));
    let project = serde_json::to_vec(&app(&h).project).expect("json");
    let before = at_rest(&mut h);

    // Another window of another start.
    let mut again = window(testing::for_tests(dir.path()));
    again.state_mut().app.apply(Command::OpenProject { path: file });
    wait(&mut again, "the project", |a| a.library.scan().is_some() && measured(a));
    assert_eq!(again.state().dock.active, LayoutId::Ablate, "the layout came with it");
    assert_eq!(numbers(app(&again)), with);
    assert_eq!(serde_json::to_vec(&app(&again).project).expect("json"), project);
    assert_eq!(app(&again).undo_label(), app(&h).undo_label());
    let after = at_rest(&mut again);
    assert_eq!(before.dimensions(), after.dimensions());
    // A letter's edge is blended from another place of the font's picture in each window, which may round to the next level.
    let other = |a: &image::Rgba<u8>, b: &image::Rgba<u8>| a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 1);
    let differ: Vec<(u32, u32)> =
        before.enumerate_pixels().filter(|(x, y, p)| other(p, after.get_pixel(*x, *y))).map(|(x, y, _)| (x, y)).collect();
    if !differ.is_empty() {
        before.save(dir.path().join("before.png")).expect("written");
        after.save(dir.path().join("after.png")).expect("written");
        let kept = dir.keep();
        panic!("{} pixels differ, the first at {:?}; see {}", differ.len(), differ[0], kept.display());
    }
}

fn sample_window(app: App, layout: LayoutId) -> Window {
    let mut h = builder([1440.0, 900.0], egui::Theme::Dark).build_eframe(|cc| {
        let mut shell = Shell::new(cc, app);
        shell.dock.active = layout;
        shell
    });
    h.run();
    h
}

#[test]
fn a_formula_shows_its_count_as_it_is_typed_and_becomes_a_set() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = sample_window(testing::sample_app(dir.path()), LayoutId::Ablate);
    press(&mut h, "Sets");
    type_into(&mut h, "Formula of a new set", "top(logic, 5%)");
    // 5 % of 8 x 512.
    assert!(h.query_by_label_contains("205 neurons").is_some(), "the count");
    type_into(&mut h, "Formula of a new set", " & oops");
    assert!(h.query_by_label_contains("there is no set `oops`").is_some(), "what is wrong");
    h.get_by_label("Formula of a new set").focus();
    for _ in 0.." & oops".len() {
        h.key_press(Key::Backspace);
    }
    h.run_steps(3);
    type_into(&mut h, "Name of the new set", "logical");
    press(&mut h, "Keep the set");
    let set = app(&h).project.sets[0].clone();
    assert_eq!((set.name.as_str(), set.formula.as_str(), set.neurons.len(), set.on), ("logical", "top(logic, 5%)", 205, false));
    press(&mut h, "Select the neurons of logical");
    assert_eq!(app(&h).project.view.selection, set.neurons);
    press(&mut h, "Menu of logical");
    press(&mut h, "Duplicate");
    assert_eq!(app(&h).project.sets[1].name, "logical 2");
    press(&mut h, "Menu of logical 2");
    press(&mut h, "Remove");
    assert_eq!(app(&h).project.sets.len(), 1);
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert_eq!(app(&h).project.sets.len(), 2, "undo brings it back");
}

#[test]
fn the_history_goes_to_any_step_of_any_branch() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = sample_window(testing::sample_app_with_sets(dir.path()), LayoutId::Explore);
    press(&mut h, "History");
    let names = |h: &Window| app(h).project.sets.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&h), ["brushed", "logic, not code", "few of arithmetic", "control"]);
    // The note of the branch that was left.
    press(&mut h, "notes of a set");
    assert_eq!(names(&h), ["brushed", "logic, not code"]);
    assert_eq!(app(&h).project.sets[1].notes, "What logic has to itself.");
    press(&mut h, "add set control");
    assert_eq!(names(&h).len(), 4);
    press(&mut h, "beginning");
    assert!(app(&h).project.sets.is_empty());
    press(&mut h, "Redo in the history");
    assert_eq!(names(&h), ["brushed"]);
}

#[test]
fn a_missing_model_is_asked_for_in_the_window() {
    let dir = tempfile::tempdir().expect("folder");
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    let gone = dir.path().join("gone/tiny-llama");
    let file = dir.path().join("p.json");
    let mut project = brodmann::app::Project { model: Some(gone), ..Default::default() };
    project.notes = "mine".into();
    brodmann::app::project_file::save(&project, &file).expect("saved");
    let mut h = window(testing::for_tests(dir.path()));
    h.state_mut().app.apply(Command::OpenProject { path: file });
    h.run_steps(4);
    assert!(h.query_all_by_label("Where is the model?").next().is_some());
    type_into(&mut h, "Path of the project's model", &tiny.display().to_string());
    press(&mut h, "Use this model");
    wait(&mut h, "the model", |a| a.library.spec().is_some());
    assert!(h.query_all_by_label("Where is the model?").next().is_none());
    assert_eq!((app(&h).project.model.as_deref(), app(&h).project.notes.as_str()), (Some(tiny.as_path()), "mine"));
}

#[test]
fn the_tour_comes_once_and_goes_by_the_keyboard() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app_ = testing::sample_app(dir.path());
    let settings = dir.path().join("settings.json");
    app_.settings.preferences_file = Some(settings.clone());
    let mut h = window(app_);
    assert!(h.query_by_label("Model, domains, runs, sets").is_some());
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    assert!(h.query_by_label("One cell, one neuron").is_some());
    key(&mut h, Modifiers::NONE, Key::ArrowLeft);
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    press(&mut h, "Next");
    press(&mut h, "Next");
    assert!(h.query_by_label("4 of 4").is_some());
    press(&mut h, "Done");
    assert!(app(&h).settings.preferences.remembered.tour_done && h.query_by_label("4 of 4").is_none());
    // Sent away for ever, but for who asks for it.
    let mut next = testing::sample_app(dir.path());
    next.settings.preferences_file = Some(settings);
    next.settings.preferences = app(&h).settings.preferences.clone();
    let mut h = window(next);
    assert!(h.query_by_label("Model, domains, runs, sets").is_none());
    key(&mut h, Modifiers::COMMAND, Key::P);
    h.get_by_label("Every action").type_text("tour");
    h.run_steps(2);
    key(&mut h, Modifiers::NONE, Key::Enter);
    assert!(h.query_by_label("Model, domains, runs, sets").is_some());
    key(&mut h, Modifiers::NONE, Key::Escape);
    assert!(h.query_by_label("Model, domains, runs, sets").is_none());
    assert_eq!(app(&h).settings.preferences.remembered.recent_actions, ["Take the tour"]);
    // While it is open, the arrows are its own, even where a map's cell cursor would follow them.
    key(&mut h, Modifiers::COMMAND, Key::F);
    h.get_by_label("Find a neuron").type_text("L2N40");
    h.run_steps(2);
    key(&mut h, Modifiers::NONE, Key::Enter);
    key(&mut h, Modifiers::COMMAND, Key::P);
    h.get_by_label("Every action").type_text("tour");
    h.run_steps(2);
    key(&mut h, Modifiers::NONE, Key::Enter);
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    assert!(h.query_by_label("2 of 4").is_some());
}

#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

#[test]
fn sets_and_projects_are_dropped_like_anything_else() {
    let dir = tempfile::tempdir().expect("folder");
    let set = dir.path().join("mine.json");
    std::fs::write(&set, r#"{"blocks.3.mlp.hook_post": [17, 18]}"#).expect("write");
    let project = dir.path().join("p.json");
    let notes = brodmann::app::Project { notes: "dropped".into(), ..Default::default() };
    brodmann::app::project_file::save(&notes, &project).expect("saved");
    let mut h = sample_window(testing::sample_app(dir.path()), LayoutId::Explore);
    h.input_mut().dropped_files.push(Arc::new(Dropped(set)));
    h.step();
    assert_eq!(app(&h).project.sets[0].neurons.to_string(), "L3N17-18");
    h.input_mut().dropped_files.push(Arc::new(Dropped(project)));
    h.step();
    assert_eq!(app(&h).project.notes, "dropped");
}

#[test]
fn a_panel_is_copied_as_a_table() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = sample_window(testing::sample_app(dir.path()), LayoutId::Explore);
    press(&mut h, "Density menu");
    press(&mut h, "Copy as table");
    wait(&mut h, "the table", |a| a.is_idle());
    h.run_steps(2);
    assert!(h.query_by_label("Copied").is_some());
}

type Made = fn() -> Box<dyn Panel>;

/// One panel alone, in both themes, compared with the committed pictures.
fn picture(
    results: &mut SnapshotResults,
    name: &str,
    make: Made,
    size: (f32, f32),
    app: impl Fn() -> App,
    act: impl Fn(&mut Harness<'_, (App, Box<dyn Panel>)>),
) {
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut h = builder(size, theme).with_context_setup(Theme::install).build_ui_state(
            |ui, (app, panel): &mut (App, Box<dyn Panel>)| {
                let theme = Theme::of(ui.ctx());
                ui.painter().rect_filled(ui.ctx().content_rect(), 0.0, theme.panel);
                let mut shared = Link::default();
                egui::Frame::NONE.inner_margin(egui::Margin::symmetric(12, 8)).show(ui, |ui| {
                    ui.set_min_size(ui.available_size());
                    let mut out = Vec::new();
                    panel.ui(ui, &mut PanelCx { app, out: &mut out, theme, link: &mut shared, gpu: None });
                });
            },
            (app(), make()),
        );
        h.run();
        act(&mut h);
        h.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut h);
    }
}

#[test]
fn sets_and_history_look_right() {
    let dir = tempfile::tempdir().expect("folder");
    let r = &mut SnapshotResults::new();
    let (sets, history): (Made, Made) = (panels::sets::make, panels::history::make);
    let some = || testing::sample_app_with_sets(dir.path());
    picture(r, "sets", sets, (560.0, 400.0), some, |h| {
        h.get_by_label("Formula of a new set").focus();
        h.run();
        h.get_by_label("Formula of a new set").type_text("cap(top(logic, 5%), 20)");
        h.run();
        h.get_by_label("logic, not code").click();
        h.run();
    });
    picture(r, "sets_problem", sets, (420.0, 300.0), some, |h| {
        h.get_by_label("Formula of a new set").focus();
        h.run();
        h.get_by_label("Formula of a new set").type_text("top(logic 5%)");
        h.run();
        h.get_by_label("How formulas are written").click();
        h.run();
    });
    picture(r, "sets_empty", sets, (420.0, 200.0), || testing::for_tests(dir.path()), |_| {});
    picture(r, "history", history, (420.0, 300.0), some, |_| {});
    picture(r, "history_empty", history, (420.0, 200.0), || testing::for_tests(dir.path()), |_| {});
}

#[test]
fn what_lies_over_the_panels_looks_right() {
    let dir = tempfile::tempdir().expect("folder");
    let r = &mut SnapshotResults::new();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut shot = |name: &str, app: App, act: &dyn Fn(&mut Window)| {
            let mut h = builder([1280.0, 720.0], theme).build_eframe(|cc| Shell::new(cc, app));
            h.run_steps(4);
            act(&mut h);
            h.run_steps(4);
            h.snapshot(format!("over_{name}_{suffix}"));
            r.extend_harness(&mut h);
        };
        shot("export", testing::sample_app(dir.path()), &|h| key(h, Modifiers::COMMAND, Key::E));
        shot("palette", testing::sample_app(dir.path()), &|h| {
            key(h, Modifiers::COMMAND, Key::P);
            h.get_by_label("Every action").type_text("re");
        });
        shot("tour", testing::sample_app(dir.path()), &|h| {
            key(h, Modifiers::COMMAND, Key::P);
            h.get_by_label("Every action").type_text("tour");
            h.run_steps(2);
            key(h, Modifiers::NONE, Key::Enter);
            key(h, Modifiers::NONE, Key::ArrowRight);
        });
        let mut missing = testing::sample_app(dir.path());
        missing.missing_model = Some(brodmann::app::MissingModel {
            path: "/elsewhere/models/SmolLM2-135M".into(),
            mark: brodmann::app::ModelMark { name: "SmolLM2-135M".into(), sha256: "3f".repeat(32), size_bytes: 269_000_000 },
        });
        shot("missing", missing, &|_| ());
    }
}
