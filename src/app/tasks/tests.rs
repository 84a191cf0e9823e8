//! Task neurons from command to result, on the small fixture model.

use super::{CurveRequest, FindRequest, ProveRequest, find_document, prove_document};
use crate::{
    ablate::set_file,
    app::{App, Command, Failure, JobState, NoticeLevel, testing},
    data::Mapping,
    scan::{self, RelevanceConfig},
    task::{DetectConfig, TaskMatrix, matrix_file},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Model and two tasks of so many questions each, all read.
fn opened(folder: &Path, rows: usize) -> App {
    let mut app = testing::for_tests(folder);
    app.settings.keep_runs = false;
    app.apply(Command::OpenModel { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
    for name in ["a", "b"] {
        let row =
            |i: usize| format!(r#"{{"question":"{name}: which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3);
        let path = folder.join(format!("{name}.jsonl"));
        std::fs::write(&path, (0..rows).map(row).collect::<Vec<_>>().join("\n")).expect("questions");
        app.apply(Command::AddDomain { name: name.into(), path, mapping: Mapping::default() });
    }
    testing::settle(&mut app);
    app
}

fn errors(app: &App) -> Vec<String> {
    app.log.iter().filter(|n| n.level == NoticeLevel::Error).map(|n| format!("{}: {}", n.title, n.details)).collect()
}

fn find(app: &mut App, samples: usize, curve: bool, out: Option<PathBuf>) {
    let config = DetectConfig {
        relevance: RelevanceConfig { samples, draws: 10, columns: true, ..RelevanceConfig::default() },
        percent: 20.0,
        ..DetectConfig::default()
    };
    let curve = curve.then(|| CurveRequest { percents: vec![5.0, 20.0, 50.0], controls: 1, samples: 10 });
    let request = FindRequest { config, tasks: Vec::new(), curve };
    app.apply(Command::FindTaskNeurons { request: Box::new(request), out });
    testing::settle(app);
}

#[test]
fn what_is_found_is_a_run_with_sets_whose_rows_are_known() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path(), 40);
    let out = dir.path().join("found");
    find(&mut app, 12, true, Some(out.clone()));
    assert_eq!(errors(&app), Vec::<String>::new());
    let view = app.tasks.find.clone().expect("found");
    assert_eq!((view.tasks.len(), view.curves.len(), view.running, view.failed.clone()), (2, 2, false, None));
    for (task, curve) in view.tasks.iter().zip(&view.curves) {
        let chose: BTreeSet<usize> = task.chosen_lines().collect();
        assert_eq!((chose.len(), curve.lines.len(), curve.points.len(), curve.baseline.n), (12, 10, 3, 10));
        assert!(curve.lines.iter().all(|l| !chose.contains(l)), "rows that rank do not suggest k");
        // 3 layers of 88: a fifth.
        assert_eq!(task.set(20.0, view.ranking()).len(), curve.points[1].neurons);
        let (first, last) = (task.stability[0], *task.stability.last().expect("shares"));
        assert!((first.low..=first.high).contains(&first.mean) && last.mean == 1.0, "{:?}", task.stability);
        assert_eq!(task.columns.as_ref().map(|c| (c.rows(), c.cols())), Some((task.relevance.rows(), 32)));
    }
    // The folder is a run like a scan's, and its sets are set files.
    let run = scan::read_run(&out).expect("a run");
    assert_eq!(run.domains[0].relevance.as_ref(), Some(&view.tasks[0].relevance));
    assert!(run.provenance.command.starts_with("brodmann neurons --model") && run.provenance.command.contains("--percents 5,20,50"));
    let set = set_file::read(&out.join("sets/a.json")).expect("a set");
    assert_eq!(set.neurons, view.tasks[0].set(20.0, view.ranking()));
    assert_eq!(set.chosen_on[0].lines.len(), 22);
    let document: Value = serde_json::from_slice(&std::fs::read(out.join("neurons.json")).expect("read")).expect("json");
    assert_eq!(digits(&document["tasks"]), digits(&find_document(&view)["tasks"]));
    assert_eq!(document["overlap"].as_array().map(Vec::len), Some(1));
    // As a set in force, its rows do not judge it, from memory and from the file alike.
    app.apply(Command::KeepTaskSet { task: "a".into(), percent: 20.0, on: true });
    testing::settle(&mut app);
    let n = |app: &App| app.ablation_report().expect("complete").domains[0].after.n();
    assert_eq!(n(&app), 18);
    app.apply(Command::ClearAblation);
    app.apply(Command::AddSetFile { path: out.join("sets/a.json") });
    testing::settle(&mut app);
    assert_eq!(n(&app), 18);
}

/// Numbers by twelve digits: JSON may lose their last bit.
fn digits(value: &Value) -> Value {
    match value {
        Value::Number(n) => format!("{:.12e}", n.as_f64().unwrap_or(f64::NAN)).into(),
        Value::Array(all) => all.iter().map(digits).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), digits(v))).collect::<serde_json::Map<_, _>>().into(),
        other => other.clone(),
    }
}

#[track_caller]
fn same_cells(a: &TaskMatrix, b: &TaskMatrix) {
    let plain = |m: &TaskMatrix| digits(&serde_json::to_value(m.cells.iter().collect::<Vec<_>>()).expect("json"));
    assert_eq!(plain(a), plain(b));
}

fn prove(app: &mut App, out: &Path) {
    let request = ProveRequest { percents: vec![5.0, 20.0], factors: vec![0.5, 1.0, 2.0], scaled_percent: 20.0, ..ProveRequest::default() };
    app.apply(Command::ProveTasks { request: Box::new(request), out: Some(out.to_owned()) });
}

#[test]
fn a_matrix_never_scores_rows_that_chose_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path(), 40);
    app.apply(Command::SetControls { count: 2 });
    find(&mut app, 12, false, None);
    let out = dir.path().join("matrix");
    prove(&mut app, &out);
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    let whole = app.tasks.prove.as_ref().and_then(|v| v.result.clone()).expect("matrix");
    assert_eq!((whole.done(), whole.left_out.clone()), (whole.total, vec![12, 12]));
    assert!(whole.before.iter().all(|b| b.n == 28));
    // Every cell agrees with an ablation by itself.
    app.apply(Command::KeepTaskSet { task: "b".into(), percent: 20.0, on: true });
    testing::settle(&mut app);
    let report = app.ablation_report().expect("complete");
    let alone = &report.domains[1];
    assert_eq!(whole.get(1, 1, 1).expect("measured").totals, crate::ablate::Totals::of(&alone.after));
    assert_eq!(whole.random(1, 1, 1).expect("random").0, alone.control_mean().expect("controls"));
    let cell = whole.get(1, 1, 1).expect("measured");
    assert_eq!(
        cell.gained as i64 - cell.lost as i64,
        cell.totals.correct.expect("choices") as i64 - whole.before[1].correct.expect("choices") as i64
    );
    app.apply(Command::ClearAblation);
    testing::settle(&mut app);

    // A file cut off in the middle goes on; what it held is not measured again.
    let path = out.join(matrix_file::MATRIX_FILE);
    let text = std::fs::read_to_string(&path).expect("file");
    let kept: Vec<&str> = text.lines().take(11).collect();
    std::fs::write(&path, format!("{}\n{{\"k\":", kept.join("\n"))).expect("cut");
    prove(&mut app, &out);
    testing::settle(&mut app);
    let again = app.tasks.prove.as_ref().and_then(|v| v.result.clone()).expect("matrix");
    same_cells(&again, &whole);
    assert!(std::fs::read_to_string(&path).expect("file").starts_with(&kept.join("\n")));
    same_cells(&matrix_file::read(&out).expect("file"), &whole);
    let document = prove_document(&again);
    assert_eq!(document["shares"][1]["off"]["b"]["b"]["n"], 28);
    assert_eq!(document["scaled"]["factors"][1]["off"]["a"]["b"]["accuracy"], document["before"]["b"]["accuracy"]);
}

#[test]
fn too_few_rows_to_judge_by_is_said_before_anything_runs() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path(), 20);
    find(&mut app, 15, true, None);
    let warned: Vec<_> = app.log.iter().filter(|n| n.level == NoticeLevel::Warn).map(|n| n.details.clone()).collect();
    assert!(warned.iter().any(|w| w.contains("15 of its 20 rows chose")), "{warned:?}");
    assert!(app.tasks.find.as_ref().expect("found").curves.is_empty());
    app.apply(Command::ProveTasks { request: Box::default(), out: None });
    assert!(errors(&app)[0].contains("15 of the 20 rows of a chose its neurons and must not judge them"), "{:?}", errors(&app));
    assert!(app.tasks.prove.as_ref().is_some_and(|v| v.failed.is_some() && !v.running));
    app.apply(Command::KeepTaskSet { task: "nobody".into(), percent: 10.0, on: true });
    assert!(errors(&app)[1].contains("`nobody`"));
}

#[test]
fn a_search_that_is_cancelled_keeps_the_tasks_it_found() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path(), 40);
    let request = FindRequest {
        config: DetectConfig { relevance: RelevanceConfig { steps: Some(400), ..RelevanceConfig::default() }, ..DetectConfig::default() },
        ..FindRequest::default()
    };
    app.apply(Command::FindTaskNeurons { request: Box::new(request), out: None });
    app.apply(Command::CancelNewest);
    testing::settle(&mut app);
    let view = app.tasks.find.as_ref().expect("search");
    assert_eq!((view.running, view.failed.clone()), (false, Some(Failure::Cancelled)));
    assert!(app.jobs.iter().any(|j| j.state == JobState::Cancelled));
}
