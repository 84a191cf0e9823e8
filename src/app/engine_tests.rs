//! The app with its engines, on the small fixture model.

use super::{App, Command, EvalConfig, Failure, JobState, Loading, NoticeLevel, SweepKind, SweepRequest, testing};
use crate::{
    ablate::{BreakStep, ControlMatch, KCurve, Rule, SweepMeasure, SweepUnit, Totals},
    base::{Neuron, NeuronSet},
    data::Mapping,
    eval::{AblationAt, AblationMode, DomainScore},
    scan::{MetricKind, ScanConfig},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

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
    assert!(app.ablation.failed.as_ref().and_then(Failure::message).is_some_and(|m| m.contains("not scored")), "{:?}", app.ablation.failed);
    app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
    testing::settle(&mut app);
    assert_eq!(app.ablation.failed, None);
    let report = app.ablation_report().expect("complete");
    assert_eq!(report.domains[0].after.n(), 20);
    let provenance = report.provenance;
    assert!(provenance.formula.contains("set to their mean, over a (items that are not scored, 10 items)"), "{}", provenance.formula);
    assert!(provenance.dtype.ends_with("computed in f32"), "{}", provenance.dtype);
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
    let matrix = app.tasks.prove.as_ref().and_then(|v| v.result.clone()).expect("matrix");
    app.apply(Command::AddTopSet { domain: "b".into(), metric: MetricKind::Relevance, percent: 20.0 });
    testing::settle(&mut app);
    let report = app.ablation_report().expect("complete");
    assert_eq!(matrix.neurons[0][1], report.neurons);
    // Three of thirty rows of each domain gave its set. The matrix leaves them out of their column in every row; one set of b leaves out b's.
    assert_eq!(matrix.before.iter().map(|b| b.n).collect::<Vec<_>>(), [27, 27]);
    assert_eq!(report.domains.iter().map(|d| (d.after.n(), d.left_out)).collect::<Vec<_>>(), [(30, 0), (27, 3)]);
    let run = app.library.scan().expect("run").clone();
    let common = |score: &DomainScore| {
        let chose = &run.domain(&score.domain).expect("scanned").source.sample_lines;
        let items = score.items.iter().filter(|i| !chose.contains(&i.line)).cloned().collect();
        Totals::of(&DomainScore { items, ..score.clone() })
    };
    for (column, d) in report.domains.iter().enumerate() {
        assert_eq!(matrix.before[column], common(&d.before));
        assert_eq!(matrix.get(0, 1, column).expect("measured").totals, common(&d.after));
        assert_eq!(matrix.controls(0, 1, column), [common(&d.controls[0])]);
    }
}

/// A run with one metric for both domains, 20 of 30 items scored.
fn ranked(folder: &Path) -> App {
    let mut app = opening(folder);
    app.settings.keep_runs = false;
    let config = ScanConfig { samples: 3, metrics: vec![MetricKind::Relevance, MetricKind::MeanAbsActivation], ..ScanConfig::default() };
    app.apply(Command::SetScanConfig { config });
    app.apply(Command::SetControls { count: 2 });
    app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
    app.apply(Command::StartScan { out: None });
    testing::settle(&mut app);
    app
}

#[test]
fn a_sweep_fills_its_map_and_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = ranked(dir.path());
    let request = SweepRequest::Units { unit: SweepUnit::Neuron, domain: "a".into(), layers: Some((1, 2)) };
    let out = dir.path().join("sweep");
    let ask = |app: &mut App| app.apply(Command::Sweep { request: request.clone(), out: Some(out.clone()) });
    ask(&mut app);
    // Stopped once something is there.
    let measured = |app: &App| app.sweeps.units.as_ref().and_then(|v| v.result.as_ref()).map_or(0, |s| s.done());
    while measured(&app) == 0 {
        app.pump();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    app.apply(Command::CancelNewest);
    testing::settle(&mut app);
    let view = app.sweeps.units.clone().expect("view");
    assert!(!view.running, "{view:?}");
    let partial = view.result.expect("some");
    ask(&mut app);
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    let view = app.sweeps.units.clone().expect("view");
    let sweep = view.result.expect("all");
    assert_eq!((sweep.done(), sweep.total, view.failed), (176, 176, None));
    assert!(partial.effects.iter().zip(&sweep.effects).all(|(p, s)| p.is_none() || p == s));
    let grid = sweep.grid(SweepMeasure::Loss);
    assert!(grid.row(0).iter().all(|v| v.is_nan()) && grid.row(2).iter().all(|v| v.is_finite()));
    let command = &sweep.provenance.command;
    assert!(command.starts_with("brodmann sweep --model ") && command.contains("--unit neuron --domain a --layers 1-2"), "{command}");
    // One unit of it is what a toggle shows.
    app.apply(Command::SetControls { count: 0 });
    app.apply(Command::EnableDomain { name: "b".into(), on: false });
    app.apply(Command::ToggleNeuron { neuron: Neuron::new(2, 5) });
    testing::settle(&mut app);
    let toggled = app.ablation_report().expect("complete");
    let unit = sweep.get(crate::ablate::UnitId { layer: 2, index: 5 }).expect("measured");
    assert_eq!(unit.loss, toggled.domains[0].after.loss());
    // Another request does not write into the same folder.
    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(2.0) });
    ask(&mut app);
    testing::settle(&mut app);
    assert!(errors(&app).iter().any(|e| e.contains("name a new folder")), "{:?}", errors(&app));
}

#[test]
fn a_sweep_that_was_broken_off_is_shown_by_the_next_session() {
    let dir = tempfile::tempdir().expect("folder");
    let session = || {
        let mut app = opening(dir.path());
        app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
        testing::settle(&mut app);
        app
    };
    let request = |layers| SweepRequest::Units { unit: SweepUnit::Neuron, domain: "b".into(), layers };
    let mut app = session();
    app.apply(Command::Sweep { request: request(Some((2, 2))), out: None });
    testing::settle(&mut app);
    let view = app.sweeps.units.clone().expect("view");
    let (whole, folder) = (view.result.expect("all"), view.folder.expect("folder"));
    // What a kill leaves: the beginning of the file.
    let path = folder.join(crate::ablate::sweep_file::SWEEP_FILE);
    let text = std::fs::read_to_string(&path).expect("file");
    std::fs::write(&path, text.lines().take(2 + 30).map(|l| format!("{l}\n")).collect::<String>()).expect("cut");

    let mut app = session();
    let find = |app: &mut App, request| {
        app.apply(Command::FindSweep { kind: SweepKind::Units, request });
        testing::settle(app);
        app.sweeps.units.clone()
    };
    assert!(find(&mut app, Some(request(None))).is_none(), "one over all layers was never begun");
    let view = find(&mut app, None).expect("found");
    assert_eq!((&view.request, view.running, view.failed), (&request(Some((2, 2))), false, Some(Failure::Cancelled)));
    let part = view.result.expect("what is there");
    assert_eq!((part.done(), part.total), (30, 88));
    assert!(part.effects.iter().zip(&whole.effects).all(|(p, w)| p.is_none() || p == w));
    // Gone on with, it is the session's own; a second look changes nothing.
    app.apply(Command::Sweep { request: view.request, out: view.folder });
    testing::settle(&mut app);
    let version = app.sweeps.units.as_ref().expect("view").version;
    let view = find(&mut app, Some(request(Some((2, 2))))).expect("the same");
    assert_eq!((view.version, view.failed), (version, None));
    assert_eq!(view.result.expect("all").effects, whole.effects);

    // Another way to switch them is another sweep.
    let mut app = session();
    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(2.0) });
    assert!(find(&mut app, None).is_none());
    assert_eq!(errors(&app), Vec::<String>::new());
}

#[test]
fn a_curve_and_a_search_rank_by_the_shown_run() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = ranked(dir.path());
    app.apply(Command::SetControlMatch { like: ControlMatch::Scale });
    let request = SweepRequest::AgainstK { ranking: "b".into(), metric: MetricKind::Relevance, percents: vec![50.0, 2.0] };
    app.apply(Command::Sweep { request, out: Some(dir.path().join("k")) });
    testing::settle(&mut app);
    assert_eq!(errors(&app), Vec::<String>::new());
    let curve = app.sweeps.against_k.clone().and_then(|v| v.result).expect("curve");
    // The ranking's own domain comes first, less the three rows it was scanned on where they are scored.
    assert_eq!(curve.domains, ["b", "a"]);
    assert_eq!(curve.points.iter().map(|p| (p.neurons, p.controls.len())).collect::<Vec<_>>(), [(5, 2), (132, 2)]);
    let kept: crate::ablate::KCurve =
        serde_json::from_slice(&std::fs::read(dir.path().join("k/against-k.json")).expect("file")).expect("json");
    assert_eq!(kept.points.len(), 2);
    assert!(kept.provenance.command.contains("--against-k top:b --percents 2,50") && kept.provenance.command.contains("--match scale"));

    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(5.0) });
    let rule = Rule { threshold: Some(0.2), most: 3, ..Rule::default() };
    let request = SweepRequest::Break { domain: "a".into(), metric: MetricKind::Relevance, candidates: 12, rule };
    app.apply(Command::Sweep { request, out: Some(dir.path().join("broken")) });
    testing::settle(&mut app);
    let live = app.sweeps.broken.clone().expect("view");
    // Random weights may be no better than 0.2 to begin with: then the search says so.
    match live.result.and_then(|l| l.outcome) {
        Some(broken) => assert!(broken.set.len() <= 3 && broken.judged.len() == 2 && dir.path().join("broken/break.json").exists()),
        None => {
            assert!(live.failed.as_ref().and_then(Failure::message).is_some_and(|f| f.contains("nothing to break")), "{:?}", live.failed)
        }
    }
    // What cannot start says why, in the view too.
    let request = SweepRequest::Units { unit: SweepUnit::Head, domain: "c".into(), layers: None };
    app.apply(Command::Sweep { request, out: None });
    assert!(app.sweeps.units.as_ref().and_then(|v| v.failed.as_ref()?.message()).is_some_and(|f| f.contains("`c`")));
}

#[test]
fn a_curve_and_a_search_that_were_broken_off_are_shown_by_the_next_session() {
    let dir = tempfile::tempdir().expect("folder");
    let curve = SweepRequest::AgainstK { ranking: "b".into(), metric: MetricKind::Relevance, percents: vec![2.0, 20.0] };
    let rule = Rule { threshold: Some(0.0), most: 3, ..Rule::default() };
    let search = SweepRequest::Break { domain: "a".into(), metric: MetricKind::Relevance, candidates: 12, rule };
    let mut app = ranked(dir.path());
    for request in [&curve, &search] {
        app.apply(Command::Sweep { request: request.clone(), out: None });
        testing::settle(&mut app);
    }
    assert_eq!(errors(&app), Vec::<String>::new());
    let first = app.sweeps.clone();
    let whole = first.against_k.and_then(|v| Some((v.result?, v.folder?))).expect("curve");
    let found = first.broken.and_then(|v| Some((v.result?, v.folder?))).expect("search");

    let next = |request: Option<&SweepRequest>| {
        let mut app = ranked(dir.path());
        for kind in [SweepKind::AgainstK, SweepKind::Break] {
            app.apply(Command::FindSweep { kind, request: request.filter(|r| r.kind() == kind).cloned() });
            testing::settle(&mut app);
        }
        (app.sweeps.against_k.clone(), app.sweeps.broken.clone())
    };
    // What came to its end is shown as such.
    let (k, b) = next(None);
    let (k, b) = (k.expect("the curve"), b.expect("the search"));
    assert_eq!((&k.request, &k.failed, &b.request, &b.failed), (&curve, &None, &search, &None));
    let shares = |curve: &KCurve| curve.points.iter().map(|p| p.percent).collect::<Vec<_>>();
    let neurons = |steps: &[BreakStep]| steps.iter().map(|s| s.neuron).collect::<Vec<_>>();
    assert_eq!(shares(k.result.as_ref().expect("points")), [2.0, 20.0]);
    assert_eq!(b.result.as_ref().expect("steps").outcome.as_ref().expect("end").set, found.0.outcome.as_ref().expect("end").set);

    // What a kill leaves: the first point, and the first round.
    let cut = |path: PathBuf, list: &str| {
        let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("file")).expect("json");
        state["known"][list].as_array_mut().expect("list").truncate(1);
        std::fs::write(&path, state.to_string()).expect("written");
    };
    cut(whole.1.join("against-k.begun.json"), "points");
    cut(found.1.join("break.begun.json"), "steps");
    for (k, b) in [next(None), (next(Some(&curve)).0, next(Some(&search)).1)] {
        let (k, b) = (k.expect("the curve"), b.expect("the search"));
        assert_eq!((&k.failed, &b.failed), (&Some(Failure::Cancelled), &Some(Failure::Cancelled)));
        assert_eq!((k.folder, b.folder), (Some(whole.1.clone()), Some(found.1.clone())));
        let (k, b) = (k.result.expect("points"), b.result.expect("steps"));
        assert_eq!((shares(&k), &k.ranking, &k.domains), (vec![2.0], &whole.0.ranking, &whole.0.domains));
        assert!(k.baseline.iter().zip(&whole.0.baseline).all(|(a, b)| (a.n, a.correct) == (b.n, b.correct)) && k.baseline.len() == 2);
        assert_eq!((neurons(&b.steps), b.outcome), (neurons(&found.0.steps[..1]), None));
    }
    // Another one was never begun.
    let other = SweepRequest::AgainstK { ranking: "b".into(), metric: MetricKind::Relevance, percents: vec![3.0] };
    assert!(next(Some(&other)).0.is_none());
}

#[test]
fn a_curve_and_a_search_go_on_from_what_was_measured_and_from_nothing_else() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = ranked(dir.path());
    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(5.0) });
    let out = dir.path().join("k");
    let curve = |app: &mut App, percents: &[f64]| {
        let request = SweepRequest::AgainstK { ranking: "b".into(), metric: MetricKind::Relevance, percents: percents.to_vec() };
        app.apply(Command::Sweep { request, out: Some(out.clone()) });
        testing::settle(app);
        assert_eq!(errors(app), Vec::<String>::new());
        app.sweeps.against_k.clone().and_then(|v| v.result).expect("curve").points
    };
    let whole = curve(&mut app, &[2.0, 20.0, 50.0]);
    // As a stop after the first point leaves it: that point marked, so that it is known again.
    let begun = out.join("against-k.begun.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&begun).expect("file")).expect("json");
    let points = state["known"]["points"].as_array_mut().expect("points");
    points.truncate(1);
    points[0]["neurons"] = 77.into();
    std::fs::write(&begun, state.to_string()).expect("written");
    let resumed = curve(&mut app, &[2.0, 20.0, 50.0]);
    assert_eq!((resumed[0].neurons, &resumed[1..]), (77, &whole[1..]), "the first is taken, the others are measured");
    // Under another change all is measured anew.
    std::fs::write(&begun, state.to_string()).expect("written");
    app.apply(Command::SetAblationMode { mode: AblationMode::Zero });
    assert_eq!(curve(&mut app, &[2.0])[0].neurons, whole[0].neurons);

    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(5.0) });
    let rule = Rule { threshold: Some(0.0), most: 3, ..Rule::default() };
    let request = SweepRequest::Break { domain: "a".into(), metric: MetricKind::Relevance, candidates: 12, rule };
    let search = |app: &mut App| {
        app.apply(Command::Sweep { request: request.clone(), out: Some(dir.path().join("broken")) });
        testing::settle(app);
        let mut search = app.sweeps.broken.clone().and_then(|v| v.result).expect("search");
        // The two end at different times.
        if let Some(broken) = search.outcome.as_mut() {
            Arc::make_mut(broken).provenance.created.clear();
        }
        search
    };
    let first = search(&mut app);
    let again = search(&mut app);
    assert_eq!(first.outcome, again.outcome);
    assert_eq!(first.steps, again.steps, "the rounds are told again, none twice");
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("broken/break.begun.json")).expect("file")).expect("json");
    assert_eq!(state["known"]["steps"].as_array().map(Vec::len), Some(first.steps.len()));
}

#[test]
fn every_kind_of_ablation_runs_and_says_what_it_is() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = ranked(dir.path());
    app.apply(Command::ToggleNeuron { neuron: Neuron::new(1, 1) });
    let mut seen = Vec::new();
    for mode in [AblationMode::PositionalMean, AblationMode::Resample { domain: "b".into(), seed: 2 }, AblationMode::Scale(5.0)] {
        for at in AblationAt::ALL {
            app.apply(Command::SetAblationMode { mode: mode.clone() });
            app.apply(Command::SetAblationAt { at });
            testing::settle(&mut app);
            let report = app.ablation_report().unwrap_or_else(|| panic!("{mode:?} {at:?}: {:?}", app.ablation.failed));
            let p = &report.provenance;
            assert!(p.formula.contains(&mode.words()) && p.formula.contains(at.words()), "{}", p.formula);
            assert!(p.command.contains(&format!("--mode {}", mode.word())), "{}", p.command);
            assert_eq!(p.command.contains("--at answer"), at == AblationAt::Answer);
            let items = report.domains[0].after.items.clone();
            assert!(!seen.contains(&items), "{mode:?} {at:?} is another change");
            seen.push(items);
        }
    }
    app.apply(Command::SetAblationMode { mode: AblationMode::Resample { domain: "nowhere".into(), seed: 0 } });
    testing::settle(&mut app);
    assert!(app.ablation.failed.as_ref().and_then(Failure::message).is_some_and(|m| m.contains("nowhere")), "{:?}", app.ablation.failed);
}
