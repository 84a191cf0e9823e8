//! The panel Tasks: what its tabs show, light and dark and narrow, and what their controls ask for. The numbers shown come from `app::testing_tasks`.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{Bench, View, folder};
use brodmann::{
    app::{App, Command, Failure, JobId, JobState, JobTarget, JobView, SetsFrom, TaskJob, testing, testing_tasks},
    base::Progress,
    gui::panels,
    scan::Aggregation,
    task::Ranking,
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{
    SnapshotResults,
    kittest::{NodeT, Queryable},
};
use std::{path::Path, time::Duration};

/// The panel; what its jobs would compute is not asked of a worker.
fn bench(size: (f32, f32), theme: egui::Theme, app: App) -> View {
    let mut b = Bench::new(app, (panels::find("tasks").expect("registered").make)());
    b.applies = |c| !matches!(c, Command::FindTaskNeurons { .. } | Command::ProveTasks { .. });
    let mut h = b.shown(size, theme);
    h.run();
    h
}

/// Draws the panel in both themes, after these labels were pressed, and compares with the committed pictures.
fn pictures(results: &mut SnapshotResults, name: &str, size: (f32, f32), app: impl Fn(&Path) -> App, press: &[&str]) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut harness = bench(size, theme, app(dir.path()));
        for label in press {
            harness.get_by_label(label).click();
            harness.run();
        }
        harness.snapshot(format!("panel_tasks{name}_{suffix}"));
        results.extend_harness(&mut harness);
    }
}

fn job(task: TaskJob, title: &str, phase: &str, done: u64, total: u64, unit: &'static str) -> JobView {
    JobView {
        id: JobId(1),
        target: JobTarget::Tasks(task),
        title: title.into(),
        state: JobState::Running,
        progress: Progress { phase: phase.into(), done, total, unit },
        elapsed: Duration::from_millis(10_500),
        rate: Some(12.3),
        left: Some(Duration::from_millis(5_900)),
        stopping: false,
    }
}

#[test]
fn find_looks_right() {
    let r = &mut SnapshotResults::new();
    let all = |dir: &Path| testing_tasks::sample_app_found(dir, 6);
    pictures(r, "", (760.0, 620.0), all, &[]);
    pictures(r, "_narrow", (320.0, 720.0), all, &[]);
    pictures(r, "_overlap", (620.0, 600.0), all, &["overlap"]);
    pictures(r, "_empty", (480.0, 260.0), testing::for_tests, &[]);
    pictures(r, "_options", (620.0, 420.0), testing::sample_app, &["Options: as in the paper"]);
    pictures(
        r,
        "_working",
        (620.0, 560.0),
        |dir| {
            let mut app = testing_tasks::sample_app_found(dir, 2);
            let view = app.tasks.find.as_mut().expect("search");
            (view.running, view.seconds) = (true, None);
            view.curves.clear();
            app.jobs.push(job(TaskJob::Find, "Neurons of 6 tasks", "relevance of sentiment", 40, 64, "samples"));
            app
        },
        &[],
    );
    pictures(
        r,
        "_failed",
        (520.0, 300.0),
        |dir| {
            let mut app = testing_tasks::sample_app_found(dir, 0);
            let view = app.tasks.find.as_mut().expect("search");
            view.failed = Some("domain facts: none of its 12 items gives a prompt of at least two tokens with something to predict".into());
            app
        },
        &[],
    );
}

#[test]
fn prove_looks_right() {
    let r = &mut SnapshotResults::new();
    let all = |dir: &Path| testing_tasks::sample_app_proved(dir, 1.0);
    pictures(r, "_prove", (760.0, 1060.0), all, &["Prove"]);
    pictures(r, "_prove_change", (620.0, 560.0), all, &["Prove", "change"]);
    pictures(r, "_prove_narrow", (320.0, 900.0), all, &["Prove"]);
    pictures(r, "_prove_table", (760.0, 520.0), all, &["Prove", "Show the matrix as a table"]);
    pictures(r, "_prove_start", (620.0, 300.0), |dir| testing_tasks::sample_app_found(dir, 6), &["Prove"]);
    pictures(
        r,
        "_prove_working",
        (620.0, 600.0),
        |dir| {
            let mut app = testing_tasks::sample_app_proved(dir, 0.55);
            app.tasks.prove.as_mut().expect("matrix").running = true;
            app.jobs.push(job(TaskJob::Prove, "Task matrix of 6 tasks", "top 10 % off: facts", 52_000, 130_000, "items"));
            app
        },
        &["Prove"],
    );
    pictures(
        r,
        "_prove_failed",
        (560.0, 320.0),
        |dir| {
            let mut app = testing_tasks::sample_app_proved(dir, 1.0);
            let view = app.tasks.prove.as_mut().expect("matrix");
            view.result = None;
            view.failed = Some("60 of the 64 rows of facts chose its neurons and must not judge them; too few others are left.".into());
            app
        },
        &["Prove"],
    );
}

#[test]
fn the_share_shown_is_the_papers_once_it_is_measured_and_the_chosen_one_always() {
    let dir = folder();
    let shown = |h: &View| {
        let slider = h.get_all_by_label("Share shown").find_map(|n| n.accesskit_node().numeric_value());
        slider.expect("a slider over the shares") as usize
    };
    let app = |share: f64| testing_tasks::sample_app_proved(dir.path(), share);
    let shares = app(1.0).tasks.prove.expect("matrix").result.expect("cells").plan.percents.clone();
    let paper = shares.iter().position(|p| *p == 10.0).expect("10 %");
    // Shares are measured in their order: with a few cells only the first has any.
    let mut h = bench((620.0, 600.0), egui::Theme::Dark, app(0.08));
    h.get_by_label("Prove").click();
    h.run();
    assert_eq!(shown(&h), 0);
    h.state_mut().app = app(1.0);
    h.run();
    assert_eq!(shown(&h), paper);
    h.get_by_role_and_label(Role::Slider, "Share shown").focus();
    h.run();
    h.key_press(egui::Key::ArrowLeft);
    h.run();
    assert_eq!(shown(&h), paper - 1);
    h.state_mut().app = app(0.08);
    h.run();
    assert_eq!(shown(&h), paper - 1, "what was chosen stays");
}

#[test]
fn neurons_are_found_as_the_options_say() {
    let dir = folder();
    let mut h = bench((760.0, 620.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Options: as in the paper").click();
    h.run();
    for label in ["signed", "each layer", "Integrated gradients", "Output coordinates"] {
        h.get_by_label(label).click();
        h.run();
    }
    assert!(h.query_by_label_contains("signed, integrated over 16 steps, layer by layer, with output coordinates").is_some());
    h.get_by_label("Suggest k").click();
    h.run();
    h.get_by_label("Find the neurons of 6 tasks").click();
    h.run();
    let [Command::FindTaskNeurons { request, out: None }] = &h.state().sent[..] else { panic!("{:?}", h.state().sent) };
    let r = &request.config.relevance;
    assert_eq!((r.aggregation, r.steps, r.columns, r.samples, r.draws), (Aggregation::Signed, Some(16), true, 64, 50));
    assert_eq!((request.config.ranking, request.config.percent, &request.curve), (Ranking::PerLayer, 10.0, &None));
}

#[test]
fn the_suggested_share_is_taken_and_its_neurons_become_a_set_that_its_rows_do_not_judge() {
    let dir = folder();
    let mut h = bench((760.0, 620.0), egui::Theme::Dark, testing_tasks::sample_app_found(dir.path(), 6));
    h.get_by_label("Neurons of logic").click();
    h.run();
    let knee = h.state().app.tasks.find.as_ref().and_then(|v| v.curve("logic")?.knee).expect("a knee").percent;
    assert!(h.query_by_label_contains("410 neurons of 4,096").is_some(), "10 % of them");
    h.get_by_label_contains("Take the suggested").click();
    h.run();
    let count = (4096.0 * knee / 100.0).round() as usize;
    assert!(h.query_by_label_contains(&format!("{count} neurons of 4,096")).is_some(), "{knee} %");
    h.get_by_label("Save as set").click();
    h.run();
    let set = h.state().app.project.sets.last().expect("a set");
    assert_eq!((set.neurons.len(), set.on), (count, false));
    assert!(set.source.contains("relevance (sum over tokens) of logic"), "{}", set.source);
    // 64 rows ranked the neurons, 64 others the share.
    assert_eq!(set.chosen_on[0].lines.len(), 128);
    h.state_mut().app.apply(Command::Undo);
    assert!(h.state().app.project.sets.is_empty());
}

#[test]
fn a_matrix_is_asked_for_shown_at_a_share_and_gone_on_with() {
    let dir = folder();
    let mut h = bench((760.0, 1060.0), egui::Theme::Dark, testing_tasks::sample_app_found(dir.path(), 6));
    h.get_by_label("Prove").click();
    h.run();
    h.get_by_label("Also damp and amplify").click();
    h.run();
    h.get_by_label("Measure the matrix").click();
    h.run();
    let [Command::ProveTasks { request, out: None }] = &h.state().sent[..] else { panic!("{:?}", h.state().sent) };
    assert_eq!((request.sets, request.samples, request.percents.len()), (SetsFrom::Found, Some(100), 6));
    assert_eq!((request.factors.first(), request.factors.last()), (Some(&0.0), Some(&3.0)));

    let mut app = testing_tasks::sample_app_proved(dir.path(), 0.5);
    app.tasks.prove.as_mut().expect("matrix").failed = Some(Failure::Cancelled);
    let asked = app.tasks.prove.as_ref().expect("matrix").request.clone();
    let mut h = bench((760.0, 1060.0), egui::Theme::Dark, app);
    h.get_by_label("Prove").click();
    h.run();
    assert!(h.query_all_by_label_contains("stopped; what was measured is kept").next().is_some());
    h.get_by_label("Resume").click();
    h.run();
    assert!(matches!(&h.state().sent[..], [Command::ProveTasks { request, .. }] if Some(&**request) == asked.as_ref()));
}

#[test]
fn cancel_is_for_the_tabs_own_job_and_a_stop_is_no_failure() {
    let dir = folder();
    for (tab, own) in [("Find", TaskJob::Find), ("Prove", TaskJob::Prove)] {
        let mut app = testing_tasks::sample_app_proved(dir.path(), 0.5);
        let found = testing_tasks::sample_app_found(dir.path(), 2).tasks.find;
        app.tasks.find = found;
        app.tasks.find.as_mut().expect("search").running = true;
        app.tasks.prove.as_mut().expect("matrix").running = true;
        let other = if own == TaskJob::Find { TaskJob::Prove } else { TaskJob::Find };
        app.jobs.push(JobView { id: JobId(7), ..job(other, "of the other tab", "", 1, 2, "items") });
        let mut h = bench((760.0, 1060.0), egui::Theme::Dark, app);
        h.get_by_label(tab).click();
        h.run();
        assert!(h.query_by_label("Cancel").is_none() && h.query_by_label("starting…").is_some(), "{tab}");
        h.state_mut().app.jobs.insert(0, job(own, "of this tab", "", 1, 2, "items"));
        h.run();
        h.get_by_label("Cancel").click();
        h.run();
        assert_eq!(h.state().sent, [Command::CancelJob { id: 1 }], "{tab}");
        let app = &mut h.state_mut().app;
        app.jobs.clear();
        let (find, prove) = (app.tasks.find.as_mut().expect("search"), app.tasks.prove.as_mut().expect("matrix"));
        (find.running, find.failed) = (false, Some(Failure::Cancelled));
        (prove.running, prove.failed) = (false, Some(Failure::Cancelled));
        h.run();
        assert!(h.query_all_by_label_contains("stopped; what was").next().is_some(), "{tab}");
        assert!(h.query_by_label("Copy details").is_none(), "{tab}");
    }
}

#[test]
fn a_cell_of_the_matrix_speaks_and_the_means_follow_the_share() {
    let dir = folder();
    let app = testing_tasks::sample_app_proved(dir.path(), 1.0);
    let matrix = app.tasks.prove.as_ref().and_then(|v| v.result.clone()).expect("matrix");
    let mut h = bench((760.0, 1060.0), egui::Theme::Light, app);
    h.get_by_label("Prove").click();
    h.run();
    let own = matrix.get(3, 1, 1).and_then(|c| c.totals.accuracy()).expect("measured");
    let spoken = format!("logic and logic: {}", brodmann::base::number::sig3(own));
    assert!(h.query_by_label(&spoken).is_some(), "{spoken}");
    let mean = |k: usize| format!("own {:.1} %", 100.0 * matrix.summary(k).expect("all measured").own);
    assert!(h.query_by_label_contains(&mean(3)).is_some(), "10 % is shown first");
    h.get_by_role_and_label(egui::accesskit::Role::Slider, "Share shown").focus();
    h.key_press(egui::Key::ArrowRight);
    h.run();
    assert!(h.query_by_label_contains(&mean(4)).is_some(), "20 % after a step");
}

#[test]
fn every_state_says_what_to_do() {
    let dir = folder();
    let mut h = bench((480.0, 260.0), egui::Theme::Dark, testing::for_tests(dir.path()));
    h.get_by_label("Open the demo").click();
    h.run();
    assert!(matches!(h.state().sent[0], Command::OpenDemo));
    // Without task neurons and without a run with relevance there is nothing to prove.
    let mut app = testing::sample_app(dir.path());
    app.library.shown = None;
    let mut h = bench((620.0, 300.0), egui::Theme::Dark, app);
    h.get_by_label("Prove").click();
    h.run();
    assert!(h.query_by_label_contains("Find the neurons of each task first").is_some());
    h.get_by_label("Measure the matrix").click();
    h.run();
    assert!(h.state().sent.is_empty(), "{:?}", h.state().sent);
}
