//! The whole loop through the window, by label, with a real engine behind it: open a model, open datasets, scan, look, switch neurons off,
//! watch accuracy, take it back.
#![cfg(feature = "gui")]

#[path = "support/harness.rs"]
mod harness;
#[path = "support/window.rs"]
mod support;

use brodmann::{
    ablate::SweepUnit,
    app::{App, Command, EvalConfig, Loading, SweepRequest, testing},
};
use eframe::egui::{Key, Modifiers, accesskit::Role};
use egui_kittest::kittest::Queryable;
use std::path::{Path, PathBuf};
use support::{Window, app, sees, type_into, window};

fn wait(h: &mut Window, what: &str, reached: impl Fn(&App) -> bool) {
    support::wait(h, what, reached);
    h.check_accessibility();
}

/// Presses the first thing with this name.
fn press(h: &mut Window, label: &str) {
    let Some(node) = h.query_all_by_label(label).next() else { panic!("there is no `{label}`") };
    node.click();
    h.run_steps(3);
}

fn press_button(h: &mut Window, label: &str) {
    let Some(node) = h.query_all_by_role_and_label(Role::Button, label).next() else { panic!("there is no button `{label}`") };
    node.click();
    h.run_steps(3);
}

/// Questions whose answers a model without training can only guess.
fn questions(path: &Path, things: &[&str]) {
    let mut rows = String::new();
    for (i, thing) in things.iter().cycle().take(24).enumerate() {
        let answer = i % 2;
        rows.push_str(&format!(
            "{{\"question\": \"{i}: which one is a {thing}?\", \"choices\": [\"the {thing}\", \"the stone\"], \"answer\": {answer}}}\n"
        ));
    }
    std::fs::write(path, rows).expect("write questions");
}

/// From a scanned model on: look at density and similarity, switch a set off and on, undo. `domain`: whose neurons.
fn look_and_ablate(h: &mut Window, domain: &str, other: &str) {
    assert!(sees(h, "counts are exact"), "the density panel draws the run");
    let cell = format!("{other} and {domain}: 0.");
    assert!(sees(h, &cell), "the matrix holds a number for {other} and {domain}");
    h.query_all_by_label_contains(&cell).next().expect("cell").click();
    h.run_steps(3);
    assert_eq!(app(h).project.view.pair, Some((other.to_owned(), domain.to_owned())));

    press_button(h, "Ablate");
    assert!(sees(h, "Nothing is switched off"));
    press(h, "Switch off the top neurons");
    assert_eq!(app(h).project.sets.len(), 1);
    wait(h, "accuracy with a set off", |a| {
        let live = &a.ablation;
        let whole = |s: &std::collections::BTreeMap<_, brodmann::eval::DomainScore>| {
            !s.is_empty() && live.n_total.iter().all(|(d, n)| s.get(d).is_some_and(|s| s.n() == *n))
        };
        !live.running && live.failed.is_none() && whole(&live.before) && whole(&live.after)
    });
    assert!(sees(h, &format!("{domain}: accuracy before")), "the row of {domain} speaks its numbers");

    let on = h.query_all_by_label_contains(": off in the model").next().expect("the set's switch");
    on.click();
    h.run_steps(3);
    assert!(!app(h).project.sets[0].on && sees(h, "Nothing is switched off"));
    h.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    h.run_steps(3);
    assert!(app(h).project.sets[0].on, "undo puts the set in force again");
    h.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    h.run_steps(3);
    assert!(app(h).project.sets.is_empty(), "undo takes the set back");
    h.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    h.run_steps(3);
    assert_eq!(app(h).project.sets.len(), 1, "redo brings it again");
}

#[test]
fn the_loop_on_a_model_and_files_of_ones_own() {
    let dir = tempfile::tempdir().expect("folder");
    let animals = dir.path().join("animals.jsonl");
    let colours = dir.path().join("colours.jsonl");
    questions(&animals, &["cat", "dog", "horse"]);
    questions(&colours, &["red", "blue", "green"]);
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    let mut h = window(testing::for_tests(dir.path()));
    assert!(sees(&h, "Open the demo"), "an empty window says how to begin");

    press_button(&mut h, "Models");
    type_into(&mut h, "Path of a model folder", &model.display().to_string());
    press_button(&mut h, "Open");
    wait(&mut h, "the model", |a| a.library.spec().is_some());
    assert!(sees(&h, "tiny-llama"));

    press_button(&mut h, "Domains");
    for (file, n) in [(&animals, 1), (&colours, 2)] {
        type_into(&mut h, "Path of a dataset", &file.display().to_string());
        press_button(&mut h, "Add");
        wait(&mut h, "a dataset", |a| a.library.domains.iter().filter(|d| matches!(d.state, Loading::Ready(_))).count() == n);
    }
    assert!(sees(&h, "gold") && sees(&h, "which one is a red?"), "the first prompts are shown before anything runs");

    press_button(&mut h, "Scan");
    press(&mut h, "Scan 2 domains");
    wait(&mut h, "the scan", |a| a.library.scan().is_some() && a.running().is_none());
    look_and_ablate(&mut h, "animals", "colours");
}

/// Toggle, predicted mark in the same frame, measured mark, undo: by label, with the engines.
#[test]
fn a_toggle_is_predicted_within_its_frame_then_measured_then_undone() {
    let dir = tempfile::tempdir().expect("folder");
    let animals = dir.path().join("animals.jsonl");
    questions(&animals, &["cat", "dog", "horse"]);
    let mut program = testing::for_tests(dir.path());
    program.settings.predicts = true;
    program.apply(Command::OpenModel { path: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
    program.apply(Command::AddDomain { name: "animals".into(), path: animals, mapping: Default::default() });
    let mut h = window(program);
    wait(&mut h, "model and dataset", |a| a.library.spec().is_some() && a.library.domains.iter().all(|d| d.scored().is_some()));
    // A panel that is looked at asks for the effects before anything is off.
    press_button(&mut h, "Ablate");
    wait(&mut h, "the effects", |a| a.prediction.ready.contains("animals") && a.running().is_none());
    assert!(sees(&h, "Nothing is switched off"));
    type_into(&mut h, "Neurons by name", "L0N0-43, L1N7");
    h.get_by_label("Add these").click();
    h.step();
    // The click is handled in this frame; what it asks for is applied at its end, and the next frame draws it.
    h.step();
    assert!(app(&h).prediction.domains.contains_key("animals"), "predicted before any worker had a word");
    assert!(sees(&h, "(first order)"), "and drawn, with what the model was before");
    wait(&mut h, "the measured accuracy", |a| !a.ablation.running && a.ablation.after.get("animals").is_some_and(|s| s.n() == 24));
    assert!(sees(&h, "(first order)") && sees(&h, ", after ") && sees(&h, "McNemar p"), "the row speaks all three answers");
    press(&mut h, "Prediction");
    assert!(sees(&h, "points: Pearson") && sees(&h, "Select 45 neurons of animals"));
    h.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    h.run_steps(3);
    assert!(app(&h).prediction.domains.is_empty() && sees(&h, "Nothing is switched off"));
}

/// What a session that was closed in the middle of a sweep had measured stands in the next one's map at once, marked as a part.
#[test]
fn a_sweep_that_was_broken_off_is_seen_in_the_next_session() {
    let dir = tempfile::tempdir().expect("folder");
    let animals = dir.path().join("animals.jsonl");
    questions(&animals, &["cat", "dog", "horse"]);
    let session = || {
        let mut program = testing::for_tests(dir.path());
        program.apply(Command::OpenModel { path: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
        program.apply(Command::AddDomain { name: "animals".into(), path: animals.clone(), mapping: Default::default() });
        let mut h = window(program);
        wait(&mut h, "model and dataset", |a| a.library.spec().is_some() && a.library.domains.iter().all(|d| d.scored().is_some()));
        press_button(&mut h, "Ablate");
        press(&mut h, "Sweep");
        h
    };
    let mut h = session();
    let request = SweepRequest::Units { unit: SweepUnit::Neuron, domain: "animals".into(), layers: Some((2, 2)) };
    h.state_mut().app.apply(Command::Sweep { request, out: None });
    wait(&mut h, "the sweep", |a| a.sweeps.units.as_ref().is_some_and(|v| !v.running));
    assert!(sees(&h, "88 of 88 measured") && !sees(&h, "partial"));
    let file = app(&h).sweeps.units.as_ref().and_then(|v| v.folder.clone()).expect("folder").join("sweep.csv");
    drop(h);
    // What a kill leaves: the beginning of the file.
    let text = std::fs::read_to_string(&file).expect("file");
    std::fs::write(&file, text.lines().take(2 + 40).map(|l| format!("{l}\n")).collect::<String>()).expect("cut");

    let mut h = session();
    wait(&mut h, "the sweep of the session before", |a| a.sweeps.units.is_some());
    assert!(
        sees(&h, "partial") && sees(&h, "40 of 88 measured") && sees(&h, "Sweep 88 neurons"),
        "what is there, and the form that asks for it"
    );
    press_button(&mut h, "Resume");
    wait(&mut h, "the rest", |a| a.sweeps.units.as_ref().is_some_and(|v| !v.running));
    assert!(sees(&h, "88 of 88 measured") && !sees(&h, "partial"));
}

#[test]
fn the_loop_on_the_demo() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = window(testing::for_tests(dir.path()));
    press(&mut h, "Open the demo");
    wait(&mut h, "the demo's model", |a| a.library.model.as_ref().is_some_and(|m| !matches!(m.state, Loading::Working)));
    assert!(app(&h).library.spec().is_some(), "{:?}", app(&h).library.model.as_ref().and_then(|m| m.state.failed()));
    // Enough questions to see the effect, few enough for a test.
    let eval = EvalConfig { samples: Some(48), ..EvalConfig::default() };
    h.state_mut().app.apply(Command::SetEvalConfig { config: eval });
    h.state_mut().app.apply(Command::SetControls { count: 1 });
    wait(&mut h, "the demo's maps", |a| a.library.scan().is_some() && a.running().is_none());
    look_and_ablate(&mut h, "arithmetic", "logic");
    let acc = |h: &Window, of: fn(&App) -> &std::collections::BTreeMap<String, brodmann::eval::DomainScore>| {
        of(app(h)).get("arithmetic").and_then(|s| s.acc())
    };
    wait(&mut h, "accuracy after redo", |a| !a.ablation.running && a.ablation.after.contains_key("arithmetic"));
    let (before, after) = (acc(&h, |a| &a.ablation.before).expect("before"), acc(&h, |a| &a.ablation.after).expect("after"));
    assert!(after < before - 0.05, "a tenth of the model, the part most relevant to arithmetic, is off: {before} became {after}");
}
