//! Layout, exports and replay through the window, by label.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/window.rs"]
mod support;

use bench::{Bench, bench, folder, settle};
use brodmann::{
    ablate::SweepUnit,
    app::{
        App, Command, Failure, JobId, JobState, JobTarget, JobView, ReplayReport, ReplayView, Results, compare, testing,
        testing_sweeps::{sample_app_curve_and_set, sample_app_swept},
    },
    base::{Neuron, NeuronSet, Progress},
    gui::{Ask, dock::LayoutId, export::Subject, panels},
    report::export::{FileKind, View},
};
use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::{SnapshotResults, kittest::Queryable};
use std::{path::Path, sync::Arc, time::Duration};
use support::{app, key, press, sees, wait, window};

#[test]
fn a_closed_panel_comes_back_with_undo_and_a_project_lays_the_panels() {
    let dir = folder();
    let mut h = window(testing::sample_app(dir.path()));
    assert!(h.state().dock.has("density"));
    press(&mut h, "Density menu");
    press(&mut h, "Close the panel");
    assert!(!h.state().dock.has("density"));
    assert_eq!(app(&h).undo_label(), Some("close density in Explore"));
    // A click on a tab is no step.
    press(&mut h, "Overlap");
    assert_eq!(app(&h).undo_label(), Some("close density in Explore"));
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert!(h.state().dock.has("density") && h.state().dock.shows("overlap"), "the panel is back, and what was in front stays there");
    key(&mut h, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert!(!h.state().dock.has("density"));
    // Another gesture, then both are taken back in turn.
    h.state_mut().app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
    h.run_steps(3);
    let file = dir.path().join("p.json");
    h.state_mut().app.apply(Command::SaveProject { path: Some(file.clone()) });
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert!(!h.state().dock.has("density") && app(&h).project.off().is_empty(), "one step at a time");
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert!(h.state().dock.has("density"));

    let mut other = window(testing::for_tests(dir.path()));
    assert!(other.state().dock.has("density"));
    other.state_mut().app.apply(Command::OpenProject { path: file });
    other.run_steps(4);
    assert!(!other.state().dock.has("density"), "the project's panels lie as it was saved");
    assert!(!app(&other).is_dirty(), "opening it changed nothing");
    key(&mut other, Modifiers::COMMAND, Key::Z);
    key(&mut other, Modifiers::COMMAND, Key::Z);
    assert!(other.state().dock.has("density"), "its history lays them too");
}

#[test]
fn compare_shows_overlap_and_maps_at_once() {
    let dir = folder();
    let mut h = support::window_of(testing::sample_app(dir.path()), (1280.0, 720.0), egui::Theme::Dark);
    h.state_mut().dock.active = LayoutId::Compare;
    h.run_steps(4);
    for panel in ["similarity", "overlap", "maps", "density"] {
        assert!(h.state().dock.shows(panel), "{panel}");
    }
    // Where there is no room for both, the pair and its neurons are one click away, without a cell being hit.
    press(&mut h, "arithmetic and logic");
    assert!(sees(&h, "Shared neurons"));
    press(&mut h, "All pairs");
    assert!(!sees(&h, "Shared neurons"));
}

#[test]
fn keys_are_written_as_they_are_printed_on_them() {
    let dir = folder();
    let mut h = window(testing::sample_app(dir.path()));
    key(&mut h, Modifiers::COMMAND, Key::P);
    h.get_by_label("Every action").type_text("previous domain");
    h.run_steps(4);
    let shown: Vec<String> = h.query_all_by_label_contains("Previous domain").map(|n| format!("{n:?}")).collect();
    assert!(shown.iter().any(|t| t.contains('[')) && shown.iter().all(|t| !t.contains("OpenBracket")), "{shown:?}");
}

fn exported(app: &mut App, what: View, subject: Subject, dir: &Path) -> usize {
    for kind in [FileKind::Csv, FileKind::Svg] {
        let path = dir.join(format!("{}.{}", what.id(), kind.extension()));
        let spec = brodmann::gui::export::shown_spec(app, what, kind, false, subject);
        app.apply(Command::Export { spec, path: path.clone() });
        testing::settle(app);
        assert!(path.is_file(), "{what:?} {kind:?}: {:?}", app.log.last());
    }
    std::fs::read_to_string(dir.join(format!("{}.csv", what.id()))).expect("table").lines().count()
}

#[test]
fn what_panels_measured_is_exported_as_they_show_it() {
    let dir = folder();
    let mut app = testing::sample_app_predicted(dir.path());
    assert!(!app.measured.is_empty());
    let rows = exported(&mut app, View::Prediction, Subject::default(), dir.path());
    assert!(rows > 2 * app.measured.len(), "{rows}");
    // Nothing there: said so, before anything is drawn.
    for view in [View::Sweep, View::AgainstK, View::Break] {
        assert!(app.cannot_export(view).is_some_and(|why| why.contains("Sweep panel")), "{view:?}");
    }
    assert!(app.cannot_export(View::Neuron).is_some_and(|why| why.contains("indexed")));
    let rows = exported(&mut app, View::Maps, Subject::default(), dir.path());
    assert_eq!(rows, 1 + 6 * 8 * 512);
    let mut units = sample_app_swept(dir.path(), SweepUnit::Neuron, 0.7);
    assert!(exported(&mut units, View::Sweep, Subject::default(), dir.path()) > 1000);
    let mut others = sample_app_curve_and_set(dir.path());
    for view in [View::AgainstK, View::Break] {
        assert!(exported(&mut others, view, Subject::default(), dir.path()) > 10, "{view:?}");
    }
}

/// The tiny llama, scanned and indexed.
fn indexed(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    app.apply(Command::OpenModel { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
    let path = dir.join("stories.jsonl");
    let rows: Vec<String> = (0..12).map(|i| format!("{{\"text\": \"Once upon a time there were {i} naïve fish & <b>.\"}}")).collect();
    std::fs::write(&path, rows.join("\n")).expect("texts");
    app.apply(Command::AddDomain { name: "stories".into(), path, mapping: Default::default() });
    let config = brodmann::scan::ScanConfig { samples: 6, ..Default::default() };
    app.apply(Command::SetScanConfig { config });
    testing::settle(&mut app);
    app.apply(Command::StartScan { out: Some(dir.join("run")) });
    testing::settle(&mut app);
    app.apply(Command::IndexActivations);
    testing::settle(&mut app);
    app
}

#[test]
fn a_neuron_and_a_head_leave_the_inspector_with_their_texts() {
    let dir = folder();
    let mut app = indexed(dir.path());
    let neuron = Neuron::new(1, 5);
    app.apply(Command::InspectNeuron { neuron });
    testing::settle(&mut app);
    exported(&mut app, View::Neuron, Subject { neuron: Some(neuron), ..Subject::default() }, dir.path());
    let csv = std::fs::read_to_string(dir.path().join("neuron.csv")).expect("csv");
    assert!(csv.contains("activation_mean") && csv.contains("relevance") && csv.contains("logit [promotes"), "{csv}");
    let svg = std::fs::read_to_string(dir.path().join("neuron.svg")).expect("svg");
    assert!(svg.contains("L1N5 of tiny-llama") && svg.contains("makes likelier") && svg.contains("brodmann inspect L1N5"), "the picture");

    let panel = Box::<panels::inspector::Inspector>::default();
    let mut bench = Bench::new(app, panel);
    bench.link.focus_head = Some("L1H1".parse().expect("head"));
    let mut h = bench.shown((320.0, 1100.0), egui::Theme::Dark);
    settle(&mut h);
    assert!(h.query_all_by_label_contains("what it writes at").next().is_some());
    h.get_by_label("Export the head").click();
    h.run_steps(4);
    h.get_by_label("Export…").click();
    h.run_steps(4);
    let head = Some("L1H1".parse().expect("head"));
    assert!(h.state().asked.contains(&Ask::ExportOf(View::Head, Subject { head, ..Subject::default() })), "{:?}", h.state().asked);
    let app = &mut h.state_mut().app;
    exported(app, View::Head, Subject { head, ..Subject::default() }, dir.path());
    let csv = std::fs::read_to_string(dir.path().join("head.csv")).expect("csv");
    assert!(csv.contains("attention [1 ") && csv.contains("mean_attention_0_back") && csv.contains("promotes"), "{csv}");
}

#[test]
fn a_project_is_replayed_in_the_window() {
    let dir = folder();
    let app_before = indexed(dir.path());
    let mut h = window(app_before);
    h.state_mut().dock.show_panel("replay");
    h.run_steps(3);
    press(&mut h, "Replay this project");
    wait(&mut h, "the replay", |a| a.replay.as_ref().is_some_and(|r| !r.running));
    let replay = app(&h).replay.clone().expect("a replay");
    assert!(replay.failed.is_none(), "{:?}", replay.failed);
    let report = replay.report.expect("a report");
    assert!(report.lines.len() > 5 && report.bad() == 0, "{:?}", report.lines);
    assert!(sees(&h, "are identical to the last bit") && sees(&h, "model SHA-256"));
    // The project itself was not touched by the second program.
    assert!(app(&h).library.run().is_some() && app(&h).project.domains.len() == 1);
}

/// A program in some state.
type Make<'a> = &'a dyn Fn(&Path) -> App;

fn replayed(dir: &Path, spoil: bool) -> App {
    let mut app = testing::sample_app_ablated(dir);
    let mut stored = app.results();
    // Not that of whoever runs the test.
    stored.arithmetic = "x86_64 avx512".into();
    let mut found: Results = stored.clone();
    if spoil {
        let scan = found.scan.as_mut().expect("scan");
        for name in ["relevance/logic", "density/code"] {
            let print = scan.prints.get_mut(name).expect("print");
            print.sha256 = "0".repeat(64);
            print.largest *= 1.25;
        }
        found.scores.remove("after/logic");
    }
    let lines = compare(&stored, &found);
    let file = "projects/paper.json".into();
    let report = ReplayReport { file, stored, found, lines, seconds: 41.5, finished: "2026-01-31T12:00:00Z".into() };
    app.replay = Some(ReplayView { file: "projects/paper.json".into(), report: Some(Arc::new(report)), ..ReplayView::default() });
    app
}

#[test]
fn a_replay_looks_right_in_every_state() {
    let mut results = SnapshotResults::new();
    let failed = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        let why =
            "the project's model demo (SHA-256 5a5a) is not at /models/demo; say where it lies on this machine: --model PATH".to_owned();
        app.replay = Some(ReplayView { file: "projects/paper.json".into(), failed: Some(Failure::Failed(why)), ..ReplayView::default() });
        app
    };
    let working = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        app.jobs.push(JobView {
            id: JobId(1),
            target: JobTarget::Replay,
            title: "Replay of projects/paper.json".into(),
            state: JobState::Running,
            progress: Progress { phase: "scanning logic".into(), done: 41, total: 64, unit: "samples" },
            elapsed: Duration::from_millis(10_500),
            rate: Some(3.9),
            left: Some(Duration::from_millis(5_900)),
            stopping: false,
        });
        app.replay = Some(ReplayView { file: "projects/paper.json".into(), running: true, ..ReplayView::default() });
        app
    };
    let states: [(&str, Make<'_>); 5] = [
        ("replay_working", &working),
        ("replay_empty", &|dir| testing::sample_app(dir)),
        ("replay", &|dir| replayed(dir, false)),
        ("replay_different", &|dir| replayed(dir, true)),
        ("replay_failed", &failed),
    ];
    for (name, make) in states {
        for (theme, word) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
            let dir = folder();
            let mut h = bench("replay", (560.0, 440.0), theme, make(dir.path()));
            h.run_steps(4);
            results.add(h.try_snapshot(format!("panel_{name}_{word}")));
        }
    }
}

#[test]
fn an_arrangement_is_recorded_once_a_gesture_whatever_the_panels_are_called() {
    let dir = folder();
    let mut h = window(testing::sample_app(dir.path()));
    let before = app(&h).history().len();
    press(&mut h, "Compare");
    press(&mut h, "Ablate");
    press(&mut h, "Explore");
    assert_eq!(app(&h).history().len(), before, "switching layouts is no step");
    assert!(h.query_all_by_role_and_label(Role::Button, "Explore").next().is_some());
    h.state_mut().app.apply(Command::SelectNeurons { neurons: NeuronSet::parse("L0N1").expect("set") });
    h.run_steps(3);
    assert_eq!(app(&h).undo_label(), Some("selection"));
}
