//! The tabs Continual and Generalise of the panel Tasks, light and dark and narrow, and what their controls ask for. The numbers shown come from
//! `app::testing_lessons`.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{Bench, View, folder};
use brodmann::{
    app::{App, Command, Failure, JobId, JobState, JobTarget, JobView, testing, testing_lessons},
    base::Progress,
    gui::panels,
    task::Method,
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{SnapshotResults, kittest::Queryable};
use std::{path::Path, time::Duration};

/// The panel with this tab in front; what it asks for is kept for the test, and nothing is computed.
fn bench(tab: &str, size: (f32, f32), theme: egui::Theme, app: App) -> View {
    let mut b = Bench::new(app, (panels::find("tasks").expect("registered").make)());
    b.applies = |_| false;
    let mut h = b.shown(size, theme);
    h.get_by_label(tab).click();
    h.run();
    h
}

/// Draws the tab in both themes, after these labels were pressed, and compares with the committed pictures.
fn pictures(results: &mut SnapshotResults, tab: &str, name: &str, size: (f32, f32), app: impl Fn(&Path) -> App, press: &[&str]) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut harness = bench(tab, size, theme, app(dir.path()));
        for label in press {
            // Where two controls have one name, the later: that of what is shown.
            harness.get_all_by_label(label).last().expect("a control").click();
            harness.run();
        }
        harness.snapshot(format!("panel_tasks_{}{name}_{suffix}", tab.to_lowercase()));
        results.extend_harness(&mut harness);
    }
}

fn job(target: JobTarget, title: &str, phase: &str, done: u64, total: u64) -> JobView {
    JobView {
        id: JobId(1),
        target,
        title: title.into(),
        state: JobState::Running,
        progress: Progress { phase: phase.into(), done, total, unit: "steps" },
        elapsed: Duration::from_millis(10_500),
        rate: Some(42.0),
        left: Some(Duration::from_secs(83)),
        stopping: false,
    }
}

fn done(dir: &Path) -> App {
    testing_lessons::sample_app_continual(dir, 1.0)
}

#[test]
fn continual_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "Continual", "", (820.0, 760.0), done, &["NCFT"]);
    pictures(r, "Continual", "_weighted", (700.0, 900.0), done, &[]);
    pictures(r, "Continual", "_narrow", (320.0, 900.0), done, &[]);
    pictures(r, "Continual", "_not_started", (620.0, 300.0), testing::sample_app, &[]);
    let working = |dir: &Path| {
        let mut app = testing_lessons::sample_app_learning(dir);
        app.jobs.push(job(JobTarget::Continual, "Learning 5 tasks in turn", "NCFT, seed 0: sentiment (3 of 5)", 3_720, 15_000));
        app
    };
    pictures(r, "Continual", "_working", (760.0, 860.0), working, &[]);
    let failed = |dir: &Path| {
        let mut app = testing_lessons::sample_app_continual(dir, 0.3);
        app.continual.as_mut().expect("view").failed = Some("gradient: its norm is inf at step 12; lower the learning rate".into());
        app
    };
    pictures(r, "Continual", "_failed", (700.0, 640.0), failed, &[]);
}

#[test]
fn generalise_looks_right() {
    let r = &mut SnapshotResults::new();
    let done = |dir: &Path| testing_lessons::sample_app_transfer(dir, 1.0);
    pictures(r, "Generalise", "", (760.0, 1000.0), done, &[]);
    pictures(r, "Generalise", "_layer", (560.0, 800.0), done, &["by layer"]);
    pictures(r, "Generalise", "_narrow", (320.0, 1100.0), done, &[]);
    pictures(r, "Generalise", "_not_started", (560.0, 260.0), testing::sample_app, &[]);
    let working = |dir: &Path| {
        let mut app = testing_lessons::sample_app_transfer(dir, 0.05);
        app.transfer.as_mut().expect("view").running = true;
        app.jobs.push(job(JobTarget::Transfer, "Transfer between 6 tasks", "10 % of facts, seed 0", 730, 14_400));
        app
    };
    pictures(r, "Generalise", "_working", (640.0, 760.0), working, &[]);
    let failed = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        let mut view = testing_lessons::sample_app_transfer(dir, 0.0).transfer.expect("view");
        (view.state, view.failed) = (None, Some("logic has no choices to be right or wrong about".into()));
        app.transfer = Some(view);
        app
    };
    pictures(r, "Generalise", "_failed", (560.0, 300.0), failed, &[]);
}

#[test]
fn the_order_is_dragged_moved_by_keys_and_asked_for() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench("Continual", (760.0, 600.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    let order = |h: &View| match h.state().sent.last() {
        Some(Command::Continual { request }) => request.order.clone(),
        other => panic!("{other:?}"),
    };
    let start = |h: &mut View| {
        h.get_by_label("Learn the tasks").click();
        h.run();
    };
    start(&mut h);
    let given = order(&h);
    assert!(given.len() >= 3, "{given:?}");
    // The first chip onto the third.
    let (from, to) = (
        h.get_by_label(&format!("{}, learnt as number 1", given[0])).rect().center(),
        h.get_by_label(&format!("{}, learnt as number 3", given[2])).rect().center(),
    );
    h.drag_at(from);
    h.run();
    h.hover_at(from + egui::vec2(12.0, 0.0));
    h.run();
    h.hover_at(to);
    h.run();
    h.drop_at(to);
    h.run();
    start(&mut h);
    let dragged = order(&h);
    assert_eq!(dragged[..3], [given[1].clone(), given[2].clone(), given[0].clone()]);
    // By keys one place back, and the first task left out.
    h.get_by_label(&format!("{}, learnt as number 3", given[0])).focus();
    h.run();
    h.key_press(egui::Key::ArrowLeft);
    h.run();
    h.get_by_label(&format!("{}, learnt as number 1", given[1])).click();
    h.run();
    start(&mut h);
    assert_eq!(order(&h)[..2], [given[0].clone(), given[2].clone()]);
    assert!(h.query_by_label(&format!("{}, judged only", given[1])).is_some());
}

#[test]
fn methods_are_chosen_and_a_stopped_sequence_is_gone_on_with() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = testing_lessons::sample_app_continual(dir.path(), 0.05);
    app.continual.as_mut().expect("view").failed = Some(Failure::Cancelled);
    let mut h = bench("Continual", (900.0, 900.0), egui::Theme::Dark, app);
    h.get_by_role_and_label(Role::CheckBox, Method::Random.label()).click();
    h.run();
    h.get_by_label("Learn the tasks").click();
    h.run();
    let Some(Command::Continual { request }) = h.state().sent.last() else { panic!("nothing asked for") };
    assert!(!request.config.methods.contains(&Method::Random) && request.config.methods.len() == 5);
    assert_eq!(request.config.seeds, [0, 1, 2]);
    h.get_by_label("Resume").click();
    h.run();
    let kept = h.state().app.continual.as_ref().expect("view").request.clone().expect("as asked for");
    assert_eq!(h.state().sent.last(), Some(&Command::Continual { request: Box::new(kept) }));
    // Each cell says what it is; the mean is over the seeds.
    assert!(h.query_all_by_label_contains("nothing learnt, arithmetic:").next().is_some());
    assert!(h.query_all_by_label_contains("not there yet").next().is_some());
}

#[test]
fn transfer_is_asked_for_and_says_its_correlations() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench("Generalise", (760.0, 1100.0), egui::Theme::Light, testing_lessons::sample_app_transfer(dir.path(), 1.0));
    let said = |h: &View, text: &str| h.query_all_by_label_contains(text).next().is_some();
    assert!(said(&h, "30 pairs") && said(&h, "Mantel"), "every ordered pair of six tasks");
    assert!(said(&h, "Correlation by layer"));
    h.get_by_label("score").click();
    h.run();
    h.run();
    assert!(said(&h, "30 pairs"));
    h.get_by_label("Measure transfer").click();
    h.run();
    let Some(Command::Transfer { request }) = h.state().sent.last() else { panic!("nothing asked for") };
    assert_eq!((request.tasks.len(), request.config.percents.len()), (6, 6));
}
