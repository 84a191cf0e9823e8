//! The app with its engines, on the small fixture model.

use super::{App, Command, EvalConfig, JobState, Loading, NoticeLevel, testing};
use crate::{
    base::{Neuron, NeuronSet},
    data::Mapping,
    eval::{AblationMode, DomainScore},
    scan::{MetricKind, ScanConfig},
};
use std::path::{Path, PathBuf};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

fn write_questions(folder: &Path, name: &str, n: usize) -> PathBuf {
    let path = folder.join(format!("{name}.jsonl"));
    let rows: Vec<String> = (0..n)
        .map(|i| format!(r#"{{"question":"{name}: which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3))
        .collect();
    std::fs::write(&path, rows.join("\n")).expect("questions");
    path
}

/// Model and two domains asked for, nothing waited for.
fn opening(folder: &Path) -> App {
    let mut app = testing::for_tests(folder);
    app.apply(Command::OpenModel { path: tiny() });
    for name in ["a", "b"] {
        let path = write_questions(folder, name, 30);
        app.apply(Command::AddDomain { name: name.into(), path, mapping: Mapping::default() });
    }
    app
}

fn errors(app: &App) -> Vec<String> {
    app.log.iter().filter(|n| n.level == NoticeLevel::Error).map(|n| format!("{}: {}", n.title, n.details)).collect()
}

#[test]
fn a_scan_asked_for_too_early_starts_when_all_is_read_and_is_kept() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.apply(Command::SetScanConfig { config: ScanConfig { samples: 3, ..ScanConfig::default() } });
    app.apply(Command::StartScan { out: None });
    assert!(matches!(app.library.model.as_ref().expect("model").state, Loading::Working));
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    let run = app.library.run().expect("run");
    let folder = run.path.clone().expect("folder");
    assert!(folder.starts_with(dir.path().join("runs")) && folder.join("report.html").exists());
    assert_eq!((run.output.domains.len(), app.project.view.domain.as_deref()), (2, Some("a")));
    assert!(run.output.provenance.command.contains("--samples 3"), "{}", run.output.provenance.command);

    // The same numbers come back from the disk.
    let before = run.output.clone();
    app.apply(Command::OpenRun { path: folder });
    testing::settle(&mut app);
    assert_eq!(*app.library.run().expect("run").output, *before);
    assert_eq!(app.library.runs.len(), 1);
}

#[test]
fn every_toggle_is_measured_and_going_back_costs_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.apply(Command::SetControls { count: 2 });
    testing::settle(&mut app);
    assert!(app.ablation.before.is_empty() && !app.ablation.running, "nothing was asked for yet");

    let neurons = NeuronSet::parse("L0N0-40").expect("set");
    app.apply(Command::AddSet { name: "x".into(), neurons, source: String::new(), chosen_on: Vec::new() });
    assert!(app.ablation.running);
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    assert!(!app.ablation.running);
    let first = app.ablation_report().expect("complete");
    assert_eq!((first.neurons, first.domains.len(), first.domains[0].controls.len()), (41, 2, 2));
    assert!(first.domains.iter().all(|d| d.before.n() == 30 && d.after.n() == 30));
    assert_ne!(first.domains[0].before.items, first.domains[0].after.items);

    app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 0) });
    testing::settle(&mut app);
    let second = app.ablation_report().expect("complete");
    assert_eq!(second.neurons, 40);
    assert_eq!(second.domains[0].before, first.domains[0].before);
    assert_ne!(second.domains[0].after.items, first.domains[0].after.items);

    // Known scores are there within the same call, and no job starts.
    app.apply(Command::Undo);
    assert!(!app.ablation.running && app.is_idle());
    let again = app.ablation_report().expect("complete at once");
    assert_eq!(again.domains, first.domains);

    // Scaling by one is no change at all, bit for bit.
    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(1.0) });
    testing::settle(&mut app);
    let same = app.ablation_report().expect("complete");
    assert_eq!(same.domains[0].before.items, same.domains[0].after.items);
}

#[test]
fn quick_toggles_leave_one_evaluation_and_the_right_one() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.apply(Command::SetControls { count: 0 });
    testing::settle(&mut app);
    for i in 0..20 {
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, i) });
        app.pump();
    }
    assert_eq!(app.jobs.iter().filter(|j| j.state == JobState::Running).count(), 1);
    testing::settle(&mut app);
    let quick = app.ablation_report().expect("complete");
    // The same set at once gives the same scores: nothing of the overtaken evaluations leaked in.
    let other = tempfile::tempdir().expect("folder");
    let mut slow = opening(other.path());
    slow.apply(Command::SetControls { count: 0 });
    testing::settle(&mut slow);
    let neurons = NeuronSet::parse("L0N0-19").expect("set");
    slow.apply(Command::AddSet { name: "x".into(), neurons, source: String::new(), chosen_on: Vec::new() });
    testing::settle(&mut slow);
    assert_eq!(quick.domains, slow.ablation_report().expect("complete").domains);
}

#[test]
fn mean_ablation_never_takes_means_from_scored_items() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.apply(Command::SetControls { count: 0 });
    app.apply(Command::SetAblationMode { mode: AblationMode::Mean });
    testing::settle(&mut app);
    app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
    testing::settle(&mut app);
    // Every item is scored, so there is nothing to take a mean of.
    assert!(app.ablation.failed.as_deref().is_some_and(|m| m.contains("not scored")), "{:?}", app.ablation.failed);
    app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
    testing::settle(&mut app);
    assert_eq!(app.ablation.failed, None);
    assert_eq!(app.ablation_report().expect("complete").domains[0].after.n(), 20);
}

#[test]
fn undo_brings_a_removed_domain_back_and_the_model_too() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    testing::settle(&mut app);
    app.apply(Command::RemoveDomain { name: "a".into() });
    assert_eq!(app.library.domains.len(), 1);
    app.apply(Command::Undo);
    testing::settle(&mut app);
    assert_eq!(app.library.domain("a").and_then(|d| d.state.ready()).map(|d| d.items.len()), Some(30));
    app.apply(Command::OpenModel { path: "no-such-model".into() });
    testing::settle(&mut app);
    assert!(app.library.model.as_ref().expect("entry").state.failed().is_some_and(|m| m.contains("no-such-model")));
    app.apply(Command::Undo);
    testing::settle(&mut app);
    assert!(app.library.spec().is_some());
}

#[test]
fn the_matrix_repeats_what_single_ablations_give() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.settings.keep_runs = false;
    let config = ScanConfig { samples: 3, metrics: vec![MetricKind::Relevance], ..ScanConfig::default() };
    app.apply(Command::SetScanConfig { config });
    app.apply(Command::SetControls { count: 1 });
    app.apply(Command::StartScan { out: None });
    testing::settle(&mut app);
    app.apply(Command::AblationMatrix { metric: MetricKind::Relevance, percent: 20.0 });
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    let matrix = app.matrix.clone().expect("matrix");
    app.apply(Command::AddTopSet { domain: "b".into(), metric: MetricKind::Relevance, percent: 20.0 });
    testing::settle(&mut app);
    let report = app.ablation_report().expect("complete");
    assert_eq!(matrix.neurons[1], report.neurons);
    // Three of thirty rows of each domain gave its set. The matrix leaves them out of their column in every row; one set of b leaves out b's.
    assert_eq!(matrix.before.iter().map(DomainScore::n).collect::<Vec<_>>(), [27, 27]);
    assert_eq!(report.domains.iter().map(|d| (d.after.n(), d.left_out)).collect::<Vec<_>>(), [(30, 0), (27, 3)]);
    let common = |wide: &DomainScore, narrow: &DomainScore| {
        let mut wide = wide.clone();
        wide.items.retain(|i| narrow.items.iter().any(|j| j.line == i.line));
        wide
    };
    for (column, d) in report.domains.iter().enumerate() {
        for (of_matrix, alone) in
            [(&matrix.before[column], &d.before), (&matrix.after[1][column], &d.after), (&matrix.controls[1][0][column], &d.controls[0])]
        {
            assert_eq!(*of_matrix, common(alone, of_matrix));
        }
    }
}
