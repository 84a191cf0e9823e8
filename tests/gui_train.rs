//! The Train tab of the Tasks panel: what its controls ask for, what it shows while training and after, in both themes.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{Bench, View, folder, settle, until};
use brodmann::{
    app::{App, Command, JobId, JobState, JobTarget, JobView, TrainWhat, TuneRequest, TunedFile, TuningView, testing, testing_tuning},
    base::{NeuronSet, Progress},
    gui::{Ask, panels},
    tune::{Ended, OptimizerConfig, TuneConfig},
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{SnapshotResults, kittest::Queryable};
use std::{path::Path, time::Duration};

/// The panel with its Train tab in front.
fn train(app: App, size: (f32, f32), theme: egui::Theme, deaf: bool) -> View {
    let mut b = Bench::new(app, (panels::find("tasks").expect("registered").make)());
    if deaf {
        b.applies = |_| false;
    }
    let mut h = b.shown(size, theme);
    h.get_by_role_and_label(Role::Button, "Train").click();
    h.run_steps(4);
    h
}

/// To train everything on colours, into a folder in `dir`.
fn all_of_it(config: TuneConfig, dir: &Path) -> TuneRequest {
    let (task, what, out) = ("colours".into(), TrainWhat::All, dir.join("tuned"));
    TuneRequest { task, what, config, train_items: None, eval_items: Some(8), out, save_model: None }
}

fn asked(h: &View) -> TuneRequest {
    let sent = h.state().sent.iter().rev().find_map(|c| if let Command::Tune { request } = c { Some((**request).clone()) } else { None });
    sent.expect("a tuning was asked for")
}

fn start(h: &mut View) {
    // The tab is called so too, and comes first.
    h.query_all_by_role_and_label(Role::Button, "Train").last().expect("the button").click();
    h.run_steps(4);
}

#[test]
fn what_is_chosen_is_what_is_asked_for() {
    let dir = folder();
    let mut h = train(testing::sample_app_with_sets(dir.path()), (900.0, 560.0), egui::Theme::Dark, true);
    start(&mut h);
    let first = asked(&h);
    assert_eq!((first.task.as_str(), &first.what), ("arithmetic", &TrainWhat::Top { percent: 10.0 }));
    assert!(first.out.starts_with(dir.path()) && first.out.to_string_lossy().contains("arithmetic-top"));

    let press = |h: &mut View, label: &str| {
        h.get_by_label(label).click();
        h.run_steps(4);
    };
    let open = |h: &mut View| {
        if h.query_by_label("Show the settings").is_some() {
            h.get_by_label("Show the settings").click();
            h.run_steps(4);
        }
    };
    open(&mut h);
    press(&mut h, "random");
    press(&mut h, "SGD");
    press(&mut h, "all tokens");
    start(&mut h);
    let second = asked(&h);
    assert_eq!(second.what, TrainWhat::Random { percent: 10.0 });
    assert!(matches!(second.config.optimizer, OptimizerConfig::Sgd(_)));
    assert_ne!(second.out, first.out, "another request has another folder");

    press(&mut h, "LoRA");
    press(&mut h, "down");
    start(&mut h);
    let TrainWhat::Lora { config } = asked(&h).what else { panic!("LoRA") };
    let targets: Vec<&str> = config.targets.iter().map(|m| m.name()).collect();
    assert_eq!((config.rank, targets), (8, vec!["q", "v", "down"]));

    press(&mut h, "a set");
    start(&mut h);
    let TrainWhat::Neurons { neurons } = asked(&h).what else { panic!("a set") };
    assert_eq!(neurons, h.state().app.project.sets[0].neurons);
    press(&mut h, "everything");
    start(&mut h);
    assert_eq!(asked(&h).what, TrainWhat::All);
}

/// The tiny llama with questions to learn.
fn tiny(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    app.apply(Command::OpenModel { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
    for (name, word) in [("colours", "red"), ("numbers", "two")] {
        let path = dir.join(format!("{name}.jsonl"));
        let rows: Vec<String> = (0..40)
            .map(|i| format!("{{\"question\": \"Which is number {i}?\", \"choices\": [\"{word}\", \"other\"], \"answer\": {}}}", i % 2))
            .collect();
        std::fs::write(&path, rows.join("\n")).expect("questions");
        app.apply(Command::AddDomain { name: name.into(), path, mapping: Default::default() });
    }
    testing::settle(&mut app);
    app
}

#[test]
fn a_set_is_tuned_its_change_is_seen_and_base_and_tuned_are_switched_at_once() {
    let dir = folder();
    let mut app = tiny(dir.path());
    let neurons = NeuronSet::parse("L0N0-15,L2N3").expect("set");
    app.apply(Command::KeepSet { name: "mine".into(), neurons: neurons.clone(), source: "typed".into(), chosen_on: vec![] });
    let base = app.library.model_info().expect("model").sha256.clone();
    let config = TuneConfig { steps: 6, batch: 4, evaluate_every: 3, learning_rate: 1e-3, ..Default::default() };
    let request = TuneRequest {
        task: "colours".into(),
        what: TrainWhat::Neurons { neurons: neurons.clone() },
        config,
        train_items: None,
        eval_items: Some(8),
        out: dir.path().join("tuned"),
        save_model: None,
    };
    let mut h = train(app, (900.0, 1200.0), egui::Theme::Dark, false);
    h.state_mut().app.apply(Command::Tune { request: Box::new(request) });
    settle(&mut h);
    let app = &h.state().app;
    let tuned = app.tuned.as_ref().unwrap_or_else(|| panic!("{:?}", app.log.last()));
    assert!(tuned.on && app.library.model_info().is_some_and(|i| i.sha256 != base), "the tuned model computes");
    assert_eq!(tuned.change.untouched, 3 * 88 - neurons.len(), "only the set's neurons moved");
    let moved: NeuronSet = (0..3u32)
        .flat_map(|l| (0..88u32).map(move |j| brodmann::base::Neuron::new(l, j)))
        .filter(|n| tuned.change.neurons.get(n.layer as usize, n.index as usize).is_some_and(|v| v > 0.0))
        .collect();
    assert_eq!(moved, neurons);
    assert!(h.query_all_by_label_contains("colours (trained)").next().is_some());
    assert!(h.query_all_by_label_contains("untouched to the last bit").next().is_some());

    h.get_by_role_and_label(Role::Button, "base").click();
    h.run_steps(4);
    assert!(h.state().app.library.model_info().is_some_and(|i| i.sha256 == base), "the base computes in the same frame");
    h.get_by_role_and_label(Role::Button, "tuned").click();
    h.run_steps(4);
    assert!(h.state().app.library.model_info().is_some_and(|i| i.sha256 != base));
    h.get_by_label("Save as a model…").click();
    h.run_steps(3);
    assert_eq!(h.state().asked, [Ask::SaveTuned(TunedFile::Model)]);

    // Saved, it is a model as any other; an adapter it is none.
    let out = dir.path().join("model");
    h.state_mut().app.apply(Command::SaveTuned { path: out.clone(), kind: TunedFile::Model });
    settle(&mut h);
    assert!(out.join("model.safetensors").is_file() && out.join("tokenizer.json").is_file());
    h.state_mut().app.apply(Command::SaveTuned { path: dir.path().join("adapter"), kind: TunedFile::Adapter });
    settle(&mut h);
    assert!(h.state().app.log.iter().any(|n| n.details.contains("only a LoRA tuning is an adapter")));

    // Another program puts it on again from its folder; a project keeps the base.
    let mut other = tiny(dir.path());
    other.apply(Command::OpenTuned { path: dir.path().join("tuned") });
    testing::settle(&mut other);
    assert!(other.tuned.as_ref().is_some_and(|t| t.on && t.change.untouched == 3 * 88 - neurons.len()), "{:?}", other.log.last());
    let file = dir.path().join("p.json");
    other.apply(Command::SaveProject { path: Some(file.clone()) });
    let project: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("project")).expect("json");
    assert_eq!(project["model"]["sha256"], base);
    other.apply(Command::ForgetTuned);
    assert!(other.tuned.is_none() && other.library.model_info().is_some_and(|i| i.sha256 == base));
}

#[test]
fn a_certificate_is_there_again_when_its_model_computes_again() {
    let dir = folder();
    let mut app = tiny(dir.path());
    let certificate = |app: &App| app.library.check.as_ref().map(|c| c.model_sha256.clone());
    let check = |app: &mut App| {
        app.apply(Command::CheckModel { again: false });
        testing::settle(app);
    };
    check(&mut app);
    let base = app.library.model_info().expect("model").sha256.clone();
    assert_eq!(certificate(&app), Some(base.clone()));
    let config = TuneConfig { steps: 2, batch: 4, evaluate_every: 2, ..Default::default() };
    let request = all_of_it(config, dir.path());
    app.apply(Command::Tune { request: Box::new(request.clone()) });
    testing::settle(&mut app);
    let tuned = app.library.model_info().expect("model").sha256.clone();
    assert!(tuned != base && certificate(&app).is_none(), "nobody has checked the tuned model");
    app.apply(Command::UseTuned { on: false });
    assert_eq!(certificate(&app), Some(base.clone()), "in the same frame");
    app.apply(Command::UseTuned { on: true });
    check(&mut app);
    assert_eq!(certificate(&app), Some(tuned.clone()));
    for (on, of) in [(false, &base), (true, &tuned)] {
        app.apply(Command::UseTuned { on });
        assert_eq!(certificate(&app).as_ref(), Some(of));
    }
    // From the disk, when the tuning is opened another day.
    app.apply(Command::ForgetTuned);
    app.library.other_checks.clear();
    app.apply(Command::OpenTuned { path: request.out });
    testing::settle(&mut app);
    assert_eq!(certificate(&app), Some(tuned));
}

#[test]
fn a_stopped_tuning_keeps_its_best_and_goes_on() {
    let dir = folder();
    let mut app = tiny(dir.path());
    let config = TuneConfig { steps: 4000, batch: 4, evaluate_every: 2, ..Default::default() };
    let request = all_of_it(config, dir.path());
    app.apply(Command::Tune { request: Box::new(request.clone()) });
    let mut h = train(app, (900.0, 900.0), egui::Theme::Dark, false);
    until(&mut h, "some points", |h| h.state().app.tuning.as_ref().is_some_and(|t| t.points.len() > 6));
    h.get_by_label("Stop and keep the best").click();
    settle(&mut h);
    let report = h.state().app.tuning.as_ref().and_then(|t| t.report.clone()).expect("what was best is kept");
    assert!(report.ended == Ended::Cancelled && report.steps < 4000 && h.state().app.tuned.is_some());
    h.get_by_label("Resume").click();
    h.run_steps(3);
    assert_eq!(h.state().sent.last(), Some(&Command::Tune { request: Box::new(request) }));
    let further = |t: &TuningView| t.points.last().is_some_and(|p| p.step > report.steps);
    until(&mut h, "steps beyond the first stop", |h| h.state().app.tuning.as_ref().is_some_and(further));
    h.get_by_label("Stop and keep the best").click();
    settle(&mut h);
    let again = h.state().app.tuning.as_ref().and_then(|t| t.report.clone()).expect("a report");
    assert!(again.steps > report.steps, "it went on where it was: {} after {}", again.steps, report.steps);
    // Read back from JSON text, whose digits may lose the last bit.
    let same = |a: &Option<f64>, b: &Option<f64>| a.zip(*b).is_none_or(|(a, b)| (a - b).abs() < 1e-12);
    let first = again.points.iter().zip(&report.points).take(3);
    assert!(
        first.clone().count() == 3 && first.into_iter().all(|(a, b)| a.step == b.step && same(&a.loss, &b.loss)),
        "the same first steps"
    );
}

/// A program in some state.
type Make<'a> = &'a dyn Fn(&Path) -> App;

#[test]
fn training_looks_right_in_every_state() {
    let mut results = SnapshotResults::new();
    let working = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        let mut view = testing_tuning::sample_tuning(90);
        view.job = Some(JobId(700));
        app.tuning = Some(view);
        app.jobs.push(JobView {
            id: JobId(700),
            target: JobTarget::Tune("/runs/tune".into()),
            title: "Tuning on arithmetic".into(),
            state: JobState::Running,
            progress: Progress { phase: "training: loss 0.482, 0.37 s a step".into(), done: 90, total: 200, unit: "steps" },
            elapsed: Duration::from_secs(33),
            rate: Some(2.7),
            left: Some(Duration::from_secs(41)),
            stopping: false,
        });
        app
    };
    let failed = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        let mut view = testing_tuning::sample_tuning(0);
        view.points.clear();
        view.failed = Some("training.state.json: is of a run with other settings, data or another model".into());
        app.tuning = Some(view);
        app
    };
    let states: [(&str, (f32, f32), Make<'_>); 6] = [
        ("train_empty", (720.0, 420.0), &|dir| testing::sample_app(dir)),
        ("train_narrow", (420.0, 560.0), &|dir| testing::sample_app(dir)),
        ("train_working", (860.0, 420.0), &working),
        ("train_failed", (720.0, 460.0), &failed),
        ("train_done", (860.0, 900.0), &|dir| testing_tuning::sample_app_tuned(dir, Ended::Finished)),
        ("train_stopped", (520.0, 1100.0), &|dir| testing_tuning::sample_app_tuned(dir, Ended::Cancelled)),
    ];
    for (name, size, make) in states {
        for (theme, word) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
            let dir = folder();
            let mut h = train(make(dir.path()), size, theme, true);
            h.run_steps(4);
            results.add(h.try_snapshot(format!("panel_{name}_{word}")));
        }
    }
}
