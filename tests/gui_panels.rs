//! Every panel, light and dark, in the states it can be in, and what its controls ask for. The numbers shown come from `app::testing`.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{Bench, View, bench_at_rest as bench, folder, settle, until};
use brodmann::{
    ablate::SweepUnit,
    app::{
        App, Command, DeviceChoice, Failure, Fit, GivenProducts, HeldOut, JobId, JobState, JobTarget, JobView, Loading, MemoryNeed,
        ModelFacts, ModelRow, ModelsReport, Notice, NoticeLevel, OverlapView, PanelView, Products, ReplayView, SweepKind, SweepRequest,
        testing, testing_lessons, testing_sweeps, testing_tasks, testing_tuning,
    },
    base::{
        Neuron, NeuronSet, Progress,
        overlap::{TopSets, upset},
        provenance::Provenance,
    },
    check::{CheckReport, ForwardCheck, MatrixCheck},
    data::{Domain, DomainKind, RowProblem},
    gui::panels,
    model::Matrix,
    scan::recount::exact_near,
    tune::Ended,
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{SnapshotResults, kittest::Queryable};
use std::{path::Path, sync::Arc, time::Duration};

/// Draws the panel in both themes and compares with the committed pictures.
fn pictures(results: &mut SnapshotResults, name: &str, panel: &str, size: (f32, f32), app: impl Fn(&Path) -> App) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut harness = bench(panel, size, theme, app(dir.path()));
        // A file is looked at on a thread of its own.
        until(&mut harness, "the file was looked at", |h| h.query_by_label("Looking at the file.").is_none());
        harness.run();
        harness.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut harness);
    }
}

#[test]
fn density_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "density", "density", (620.0, 460.0), testing::sample_app);
    pictures(r, "density_empty", "density", (420.0, 260.0), testing::for_tests);
}

#[test]
fn similarity_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "similarity", "similarity", (900.0, 420.0), testing::sample_app);
    pictures(r, "similarity_tall", "similarity", (440.0, 700.0), testing::sample_app);
}

#[test]
fn ablation_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "ablation", "ablation", (760.0, 520.0), testing::sample_app_ablated);
    pictures(r, "ablation_predicted", "ablation", (880.0, 520.0), testing::sample_app_predicted);
    pictures(r, "ablation_narrow", "ablation", (400.0, 640.0), testing::sample_app_ablated);
    pictures(r, "ablation_nothing_off", "ablation", (620.0, 420.0), testing::sample_app);
    pictures(r, "ablation_empty", "ablation", (420.0, 260.0), testing::for_tests);
}

#[test]
fn prediction_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "prediction", "prediction", (640.0, 700.0), testing::sample_app_predicted);
    pictures(r, "prediction_narrow", "prediction", (360.0, 520.0), testing::sample_app_predicted);
    pictures(r, "prediction_empty", "prediction", (480.0, 260.0), testing::for_tests);
    pictures(r, "prediction_nothing_off", "prediction", (480.0, 260.0), testing::sample_app);
    pictures(r, "prediction_working", "prediction", (480.0, 260.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.prediction.running = true;
        let mut effects = job_for(JobTarget::Attribution(1), 1, "First-order effects on 6 domains", JobState::Running);
        effects.progress = Progress { phase: "predicting logic".into(), done: 96, total: 240, unit: "items" };
        app.jobs.push(effects);
        app
    });
    pictures(r, "prediction_failed", "prediction", (480.0, 300.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.prediction.failed = Some("mean ablation needs items that are not scored, and every item is".into());
        app
    });
}

/// What the panel says holds no word of a failure, and offers `way`.
fn is_calm(h: &View, way: &str) {
    for word in ["could not", "failed", "Copy details", egui_material_icons::icons::ICON_ERROR.codepoint] {
        assert!(h.query_all_by_label_contains(word).next().is_none(), "`{word}` beside `{way}`");
    }
    assert!(h.query_by_label(way).is_some(), "`{way}` is offered");
}

#[test]
fn what_was_stopped_by_hand_is_no_failure() {
    let dir = folder();
    let show = |panel: &str, set: &dyn Fn(&mut App)| {
        let mut app = testing::sample_app(dir.path());
        set(&mut app);
        let mut h = bench(panel, (620.0, 620.0), egui::Theme::Dark, app);
        h.run();
        h
    };
    for panel in ["prediction", "ablation"] {
        let mut h = show(panel, &|app| app.prediction.failed = Some(Failure::Cancelled));
        is_calm(&h, "Go on");
        h.get_by_label("Go on").click();
        h.run();
        assert_eq!(sent(&h), [Command::Predict], "{panel}");
    }
    let mut h = show("ablation", &|app| app.ablation.failed = Some(Failure::Cancelled));
    is_calm(&h, "Go on");
    h.get_by_label("Go on").click();
    h.run();
    assert_eq!(sent(&h), [Command::Evaluate]);

    let replay = |app: &mut App| {
        app.replay = Some(ReplayView { file: "paper.json".into(), failed: Some(Failure::Cancelled), ..ReplayView::default() });
    };
    is_calm(&show("replay", &replay), "Replay again");
    for target in [JobTarget::Scan, JobTarget::Samples] {
        let h = show("similarity", &|app| {
            app.library.shown = None;
            app.jobs.push(job_for(target.clone(), 1, "Scan of 6 domains", JobState::Cancelled));
        });
        is_calm(&h, "Scan 6 domains");
    }
    is_calm(&show("scan", &|app| app.jobs.push(job(1, "Scan of 6 domains", JobState::Cancelled))), "Scan 6 domains");

    // The model itself, in whatever panel waits for it.
    for panel in ["prediction", "ablation", "sweep", "tasks", "density", "lens", "models"] {
        let mut app = testing::for_tests(dir.path());
        app.library.model = Some(brodmann::app::ModelEntry { path: "/models/tiny".into(), state: Loading::Stopped });
        let mut h = Bench { applies: |_| false, ..Bench::new(app, (panels::find(panel).expect(panel).make)()) }
            .shown((620.0, 420.0), egui::Theme::Dark);
        is_calm(&h, "Open it");
        h.get_by_label("Open it").click();
        h.run();
        assert!(sent(&h).contains(&Command::OpenModel { path: "/models/tiny".into() }), "{panel}");
    }
    let h = show("domains", &|app| {
        app.library.domains[0].state = Loading::Stopped;
    });
    assert!(h.query_all_by_label_contains("stopped").next().is_some() && h.query_all_by_label_contains("failed").next().is_none());
}

#[test]
fn a_panels_cancel_is_for_its_own_job() {
    let dir = folder();
    let other = || job_for(JobTarget::Other, 9, "Writing", JobState::Running);
    let mut app = testing_sweeps::sample_app_swept(dir.path(), SweepUnit::Neuron, 0.4);
    app.sweeps.units.as_mut().expect("sweep").running = true;
    app.jobs.push(other());
    let h = bench("sweep", (760.0, 560.0), egui::Theme::Dark, app);
    assert!(h.query_by_label("Cancel").is_none() && h.query_by_label("starting…").is_some());
    let mut app = testing::sample_app_ablated(dir.path());
    app.ablation.running = true;
    app.jobs.push(other());
    let h = bench("ablation", (760.0, 520.0), egui::Theme::Dark, app);
    assert!(h.query_by_label("Stop").is_none());
    for target in [JobTarget::Attribution(1), JobTarget::Evaluation(1)] {
        let mut app = testing::sample_app(dir.path());
        (app.prediction.running, app.ablation.running) = (true, true);
        app.jobs.extend([job_for(target, 4, "of the panel", JobState::Running), other()]);
        let mut h = bench("prediction", (480.0, 260.0), egui::Theme::Dark, app);
        h.get_by_label("Cancel").click();
        h.run();
        assert_eq!(sent(&h), [Command::CancelJob { id: 4 }]);
    }
}

/// Two points lie on a line whatever they are.
#[test]
fn no_correlation_is_told_of_two_points() {
    let dir = folder();
    let of = |n: usize| {
        let mut app = testing::sample_app_predicted(dir.path());
        app.measured.truncate(n);
        bench("prediction", (640.0, 900.0), egui::Theme::Dark, app)
    };
    assert!(of(2).query_all_by_label_contains("2 points: mean |measured").next().is_some());
    assert!(of(3).query_all_by_label_contains("3 points: Pearson").next().is_some());
}

#[test]
fn an_outlier_of_the_prediction_is_selected_and_quantities_and_domains_are_chosen() {
    let dir = folder();
    let mut h = bench("prediction", (640.0, 900.0), egui::Theme::Dark, testing::sample_app_predicted(dir.path()));
    let says = |h: &View, text: &str| h.query_all_by_label_contains(text).next().is_some();
    assert!(says(&h, "54 points: Pearson 0.9"), "the chart's agreement is said");
    // The largest disagreement is the set itself, in arithmetic.
    h.get_by_label("Select 410 neurons of arithmetic").click();
    h.run();
    assert!(matches!(sent(&h).as_slice(), [Command::SelectNeurons { neurons }] if neurons.len() == 410));
    h.get_by_label("accuracy").click();
    h.run();
    h.get_by_label("controls").click();
    h.run();
    assert!(says(&h, "38 points: Pearson"), "16 controls are left out");
    h.get_by_label("Domain of the points").click();
    h.run();
    h.get_by_label("logic").click();
    h.run();
    assert!(says(&h, "points: Pearson") && h.query_by_label("Select 410 neurons of arithmetic").is_none());
    h.get_by_label("Show predictions as a table").click();
    h.run();
    assert!(h.query_by_label("predicted, points").is_some());
    h.get_by_label("Forget the points").click();
    h.run();
    assert!(h.state().app.measured.is_empty() && says(&h, "Switch neurons off: each set"));
}

/// The same with these buttons pressed before the picture is taken.
fn pictures_after(results: &mut SnapshotResults, name: &str, panel: &str, size: (f32, f32), app: impl Fn(&Path) -> App, press: &[&str]) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut harness = bench(panel, size, theme, app(dir.path()));
        for label in press {
            harness.get_by_label(label).click();
            harness.run();
        }
        harness.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut harness);
    }
}

#[test]
fn sweep_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "sweep", "sweep", (760.0, 620.0), |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Neuron, 1.0));
    pictures(r, "sweep_heads", "sweep", (560.0, 560.0), |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Head, 1.0));
    pictures(r, "sweep_layers", "sweep", (560.0, 560.0), |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Layer, 1.0));
    pictures(r, "sweep_empty", "sweep", (480.0, 260.0), testing::for_tests);
    pictures(r, "sweep_not_started", "sweep", (620.0, 260.0), testing::sample_app);
    pictures(r, "sweep_working", "sweep", (760.0, 560.0), |dir| {
        let mut app = testing_sweeps::sample_app_swept(dir, SweepUnit::Neuron, 0.4);
        app.sweeps.units.as_mut().expect("sweep").running = true;
        let mut sweeping = job_for(JobTarget::Sweep(SweepKind::Units), 1, "Sweep of neurons over arithmetic", JobState::Running);
        sweeping.progress = Progress { phase: "sweeping layer 4".into(), done: 1638, total: 4096, unit: "units" };
        app.jobs.push(sweeping);
        app
    });
    pictures(r, "sweep_failed", "sweep", (620.0, 560.0), |dir| {
        let mut app = testing_sweeps::sample_app_swept(dir, SweepUnit::Head, 0.4);
        app.sweeps.units.as_mut().expect("sweep").failed = Some("/runs/sweep: No space left on device".into());
        app
    });
    pictures_after(r, "sweep_curve", "sweep", (760.0, 560.0), testing_sweeps::sample_app_curve_and_set, &["against k"]);
    pictures_after(r, "sweep_set", "sweep", (760.0, 700.0), testing_sweeps::sample_app_curve_and_set, &["smallest set"]);
}

/// What is cut is told where it is asked for and where it was measured.
#[test]
fn a_context_shorter_than_max_tokens_is_told_beside_it_and_in_the_run() {
    let dir = folder();
    let of = |max_tokens: usize, cut: usize| {
        let mut app = testing::sample_app(dir.path());
        app.project.scan.max_tokens = max_tokens;
        let mut output = (*app.library.runs[0].output).clone();
        (output.domains[0].source.cut, output.domains[0].source.longest) = (cut, 256);
        app.library.runs[0].output = Arc::new(output);
        bench("scan", (620.0, 900.0), egui::Theme::Dark, app)
    };
    let h = of(256, 0);
    assert!(h.query_by_label_contains("the model takes").is_none() && h.query_by_label_contains("cut to").is_none());
    let h = of(512, 3);
    assert!(h.query_by_label("the model takes 256").is_some());
    assert!(h.query_by_label_contains("arithmetic: 3 of").is_some_and(|_| h.query_by_label_contains("cut to 256 tokens").is_some()));
}

/// The sample's results are of f32.
#[test]
fn finished_results_say_when_they_are_of_another_arithmetic() {
    type Make = fn(&Path) -> App;
    let shown: [(&str, Make, &[&str]); 8] = [
        ("sweep", |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Neuron, 0.4), &[]),
        ("sweep", testing_sweeps::sample_app_curve_and_set, &["against k"]),
        ("sweep", testing_sweeps::sample_app_curve_and_set, &["smallest set"]),
        ("tasks", |dir| testing_tasks::sample_app_found(dir, 6), &["Find"]),
        ("tasks", |dir| testing_tasks::sample_app_proved(dir, 1.0), &["Prove"]),
        ("tasks", |dir| testing_tuning::sample_app_tuned(dir, Ended::Finished), &["Train"]),
        ("tasks", |dir| testing_lessons::sample_app_continual(dir, 1.0), &["Continual"]),
        ("tasks", |dir| testing_lessons::sample_app_transfer(dir, 1.0), &["Generalise"]),
    ];
    for (panel, make, press) in shown {
        let dir = folder();
        let mut h = bench(panel, (900.0, 1400.0), egui::Theme::Dark, make(dir.path()));
        for label in press {
            h.get_by_label(label).click();
            h.run();
        }
        assert!(h.query_by_label("f32").is_none(), "{panel} {press:?}");
        h.state_mut().app.settings.given_products = Some(GivenProducts::by_flag(Some(Products::Bf16)));
        h.run_steps(2);
        h.get_by_label("f32").hover();
        h.run();
        assert!(h.query_by_label_contains("The model computes with bf16 now").is_some(), "{panel} {press:?}");
    }
}

#[test]
fn sweeps_are_asked_for_stopped_and_gone_on_with_by_label() {
    let dir = folder();
    let mut h = bench("sweep", (760.0, 700.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("heads").click();
    h.run();
    h.get_by_label("Sweep 64 heads").click();
    h.run();
    let asked = SweepRequest::Units { unit: SweepUnit::Head, domain: "arithmetic".into(), layers: None };
    // First whatever an earlier session left, then what it left of the heads.
    let found = |request| Command::FindSweep { kind: SweepKind::Units, request };
    assert_eq!(sent(&h), [found(None), found(Some(asked.clone())), Command::Sweep { request: asked.clone(), out: None }]);

    // What was stopped can be gone on with.
    let mut app = testing_sweeps::sample_app_swept(dir.path(), SweepUnit::Head, 0.5);
    app.sweeps.units.as_mut().expect("sweep").failed = Some(Failure::Cancelled);
    let mut h = bench("sweep", (760.0, 700.0), egui::Theme::Dark, app);
    assert!(h.query_by_label("partial").is_some() && h.query_by_label_contains("32 of 64 measured").is_some());
    // The form asks for what is shown.
    assert!(h.query_by_label("Sweep 64 heads").is_some());
    h.get_by_label("Resume").click();
    h.run();
    assert!(matches!(&sent(&h)[..], [_, Command::Sweep { request, .. }] if *request == asked));

    let mut h = bench("sweep", (760.0, 900.0), egui::Theme::Dark, testing_sweeps::sample_app_curve_and_set(dir.path()));
    h.get_by_label("smallest set").click();
    h.run();
    h.get_by_label("Make set").click();
    h.run();
    let commands = sent(&h);
    let [
        Command::FindSweep { .. },
        Command::FindSweep { kind: SweepKind::Break, request: Some(SweepRequest::Break { .. }) },
        Command::AddSet { name, neurons, chosen_on, .. },
    ] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(
        (name.as_str(), neurons.len(), chosen_on.as_slice()),
        ("smallest set that breaks arithmetic", 18, &["arithmetic".to_owned()][..])
    );
    h.get_by_label("Search").click();
    h.run();
    assert!(matches!(sent(&h).last(), Some(Command::Sweep { request: SweepRequest::Break { candidates: 200, .. }, .. })));
    h.get_by_label("against k").click();
    h.run();
    h.get_by_label("Measure the curve").click();
    h.run();
    assert!(
        matches!(sent(&h).last(), Some(Command::Sweep { request: SweepRequest::AgainstK { percents, .. }, .. }) if percents.len() == 8)
    );
}

#[test]
fn a_way_to_ablate_its_places_and_its_controls_are_chosen_by_label() {
    use brodmann::{
        ablate::ControlMatch,
        eval::{AblationAt, AblationMode},
    };
    let dir = folder();
    let mut h = bench("ablation", (760.0, 640.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    for way in ["positional mean", "scale"] {
        h.get_by_label("Way to ablate").click();
        h.run();
        h.get_by_label(way).click();
        h.run();
    }
    assert!(h.query_all_by_label("Factor").next().is_some());
    h.get_by_label("answer only").click();
    h.run();
    h.get_by_label("size and scale").click();
    h.run();
    let expected = [
        Command::SetAblationMode { mode: AblationMode::PositionalMean },
        Command::SetAblationMode { mode: AblationMode::Scale(0.5) },
        Command::SetAblationAt { at: AblationAt::Answer },
        Command::SetControlMatch { like: ControlMatch::Scale },
    ];
    assert_eq!(sent(&h), expected);
    h.get_by_label("Way to ablate").click();
    h.run();
    h.get_by_label("resample").click();
    h.run();
    assert!(h.query_by_label("Domain that is resampled").is_some() && h.query_all_by_label("Factor").next().is_none());
}

#[test]
fn models_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "models", "models", (360.0, 480.0), testing::sample_app);
    pictures(r, "models_empty", "models", (360.0, 200.0), testing::for_tests);
    pictures(r, "models_failed", "models", (360.0, 400.0), failed_model);
    pictures(r, "models_found", "models", (360.0, 400.0), |dir| found_models(testing::for_tests(dir)));
}

/// Seven matrices of eight layers; with `failed`, the gradient of one of them is off.
fn certificate(app: &App, failed: bool) -> CheckReport {
    let info = app.library.model_info().expect("model");
    let kinds = [Matrix::Q, Matrix::K, Matrix::V, Matrix::O, Matrix::Gate, Matrix::Up, Matrix::Down];
    let check = |layer: usize, matrix: Matrix| {
        let off = failed && layer == 5 && matrix == Matrix::Gate;
        let worst = if off { 0.31 } else { 2e-6 * (1.0 + layer as f64) };
        MatrixCheck { layer, matrix, gradient_rms: 3e-4, weights: 2, worst, passed: !off }
    };
    let matrices: Vec<_> = (0..8).flat_map(|l| kinds.map(|m| check(l, m))).collect();
    CheckReport {
        model: info.name.clone(),
        model_sha256: info.sha256.clone(),
        version: 1,
        forward: ForwardCheck { tokens: 8, worst: 3.1e-6, largest: 12.5, tolerance: 1e-4 },
        golden: None,
        weights: matrices.len() * 2,
        matrices,
        tolerance: 1e-3,
        seconds: 0.4,
        passed: !failed,
        provenance: Provenance { device: "cpu (AVX2, 2 threads)".into(), created: "2026-11-25T10:00:00Z".into(), ..Provenance::default() },
    }
}

#[test]
fn the_certificate_of_a_model_looks_right() {
    let r = &mut SnapshotResults::new();
    for (name, failed) in [("models_checked", false), ("models_check_failed", true)] {
        pictures(r, name, "models", (360.0, 820.0), |dir| {
            let mut app = testing::sample_app(dir);
            app.library.check = Some(Arc::new(certificate(&app, failed)));
            app
        });
    }
    pictures(r, "models_checking", "models", (360.0, 480.0), |dir| {
        let mut app = testing::sample_app(dir);
        let (name, sha256) = app.library.model_info().map(|m| (m.name.clone(), m.sha256.clone())).expect("model");
        let mut checking = job_for(JobTarget::Check(sha256), 1, &format!("Check of {name}"), JobState::Running);
        checking.progress = Progress { phase: "moving weights".into(), done: 12, total: 56, unit: "weights" };
        app.jobs.push(checking);
        app
    });
}

#[test]
fn a_check_is_asked_for_in_the_models_panel() {
    let dir = folder();
    let mut h = bench("models", (360.0, 900.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("not checked");
    h.get_by_label("Check this model").click();
    h.run();
    assert_eq!(h.state().sent, [Command::CheckModel { again: false }]);
    let report = certificate(&h.state().app, false);
    h.state_mut().app.library.check = Some(Arc::new(report));
    h.run();
    h.get_by_label("checked");
    h.get_by_label("Check again").click();
    h.run();
    assert_eq!(h.state().sent.last(), Some(&Command::CheckModel { again: true }));
}

/// A cache with a model that fits, one that does not, and one that cannot be opened.
fn found_models(mut app: App) -> App {
    let facts = |model_type: &str, dtype: &str, n_params: u64, fit: Fit| ModelFacts {
        model_type: model_type.into(),
        dtype: dtype.into(),
        n_params,
        n_layers: 30,
        d_mlp: 1536,
        memory: MemoryNeed { fast_bytes: 4 * n_params + 2_000_000_000, least_bytes: n_params + 500_000_000 },
        fit: Some(fit),
    };
    let row = |name: &str, size_bytes: u64, facts: Option<ModelFacts>, problem: Option<&str>| ModelRow {
        name: name.into(),
        path: format!("/cache/hub/models--{}/snapshots/0123", name.replace('/', "--")).into(),
        size_bytes,
        problem: problem.map(str::to_owned),
        facts,
    };
    app.models = Some(Arc::new(ModelsReport {
        cache: Some("/cache/hub".into()),
        free_bytes: Some(21_000_000_000),
        models: vec![
            row("HuggingFaceTB/SmolLM2-135M", 269_000_000, Some(facts("llama", "bf16", 134_500_000, Fit::Fits)), None),
            row("Qwen/Qwen3-8B-GGUF", 5_030_000_000, Some(facts("qwen3", "gguf q4_k/q6_k mixed", 8_190_000_000, Fit::Tight)), None),
            row("google-bert/bert-base-uncased", 440_000_000, None, Some("config.json: model_type `bert` is not supported")),
        ],
    }));
    app
}

#[test]
fn a_model_of_the_cache_opens_by_a_click() {
    let dir = folder();
    let mut h = bench("models", (360.0, 400.0), egui::Theme::Dark, found_models(testing::for_tests(dir.path())));
    h.get_by_label("Qwen/Qwen3-8B-GGUF").click();
    h.run_steps(2);
    assert_eq!(h.state().sent, [Command::OpenModel { path: "Qwen/Qwen3-8B-GGUF".into() }]);
    // What cannot be opened cannot be asked for.
    h.get_by_label("google-bert/bert-base-uncased").click();
    h.run_steps(2);
    assert_eq!(h.state().sent.len(), 1);
    let mut h = bench("models", (360.0, 400.0), egui::Theme::Dark, found_models(testing::for_tests(dir.path())));
    h.get_by_label("Look again").click();
    h.run_steps(2);
    assert_eq!(h.state().sent, [Command::FindModels]);
}

#[test]
fn domains_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "domains", "domains", (400.0, 760.0), testing::sample_app);
    pictures(r, "domains_skipped", "domains", (400.0, 760.0), |dir| {
        let mut app = testing::sample_app(dir);
        let mut domain = testing::sample_domain("reviews", "all", 40);
        domain.source = "/data/reviews.csv".into();
        domain.kind = DomainKind::Text;
        domain.skipped = vec![RowProblem { line: 7, message: "`label` is empty".into() }];
        put(&mut app, 0, domain);
        app
    });
    pictures(r, "domains_failed", "domains", (400.0, 560.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.library.domains[0].state = Loading::Failed("questions.jsonl:1: this is not JSON: expected `,` at column 14".into());
        app.library.domains[0].path = "/data/questions.jsonl".into();
        app
    });
    pictures(r, "domains_empty", "domains", (400.0, 200.0), testing::for_tests);
}

#[test]
fn scan_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "scan", "scan", (440.0, 640.0), testing::sample_app);
    pictures(r, "scan_working", "scan", (440.0, 480.0), scanning);
    pictures(r, "scan_failed", "scan", (440.0, 480.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.jobs.push(job(1, "Scan of 6 domains", JobState::Failed("out of memory: 3.10 GB wanted, 1.20 GB free".into())));
        app
    });
    pictures(r, "scan_empty", "scan", (440.0, 220.0), testing::for_tests);
}

#[test]
fn jobs_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "jobs", "jobs", (420.0, 300.0), |dir| {
        let mut app = scanning(dir);
        app.jobs.insert(0, job(2, "Opening demo", JobState::Done));
        app.jobs.insert(1, job_for(JobTarget::Evaluation(1), 3, "Accuracy with 410 neurons off", JobState::Cancelled));
        app.jobs.insert(2, job(4, "Reading reviews", JobState::Failed("/data/reviews.csv: No such file or directory".into())));
        app
    });
    pictures(r, "jobs_empty", "jobs", (420.0, 160.0), testing::for_tests);
}

#[test]
fn log_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "log", "log", (560.0, 220.0), logged);
    pictures(r, "log_empty", "log", (420.0, 160.0), testing::for_tests);
}

#[test]
fn states_before_a_run_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "density_working", "density", (460.0, 280.0), |dir| {
        let mut app = scanning(dir);
        app.library.shown = None;
        app
    });
    pictures(r, "similarity_failed", "similarity", (460.0, 280.0), failed_model);
    pictures(r, "similarity_unscanned", "similarity", (460.0, 280.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.library.shown = None;
        app
    });
}

#[test]
fn panels_that_wait_for_a_run_show_the_scan_and_its_failure() {
    let r = &mut SnapshotResults::new();
    let working = |dir: &Path| {
        let mut app = scanning(dir);
        app.library.shown = None;
        app
    };
    let failed = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        app.library.shown = None;
        app.jobs.push(job(1, "Scan of 6 domains", JobState::Failed("out of memory: 3.10 GB wanted, 1.20 GB free".into())));
        app
    };
    for panel in ["neurons", "maps", "overlap", "similarity", "density"] {
        if panel != "density" {
            pictures(r, &format!("{panel}_working"), panel, (460.0, 280.0), working);
        }
        if panel != "similarity" {
            pictures(r, &format!("{panel}_failed"), panel, (460.0, 280.0), failed);
        }
    }
    pictures(r, "similarity_empty", "similarity", (420.0, 260.0), testing::for_tests);
}

#[test]
fn accuracies_show_how_far_they_are_and_what_stopped_them() {
    let r = &mut SnapshotResults::new();
    pictures(r, "ablation_working", "ablation", (760.0, 520.0), |dir| {
        let mut app = testing::sample_app_ablated(dir);
        app.ablation.running = true;
        // Half of the questions are in, the last domains have none yet.
        for (i, score) in app.ablation.after.values_mut().enumerate() {
            score.items.truncate(if i < 3 { 120 } else { 0 });
        }
        app.ablation.controls.clear();
        app.jobs.push(job_for(JobTarget::Evaluation(1), 1, "Accuracy with 410 neurons off", JobState::Running));
        app
    });
    pictures(r, "ablation_failed", "ablation", (760.0, 420.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.ablation.failed = Some("mean ablation needs items that are not scored, and every item is".into());
        app
    });
    pictures(r, "ablation_held_out", "ablation", (620.0, 520.0), |dir| {
        let mut app = testing::sample_app_ablated(dir);
        app.ablation.held_out.insert("arithmetic".into(), HeldOut { left_out: 64, chosen_on: 0 });
        app.ablation.held_out.insert("logic".into(), HeldOut { left_out: 0, chosen_on: 50 });
        app
    });
}

#[test]
fn models_and_domains_that_are_read_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "models_working", "models", (360.0, 320.0), |dir| {
        let mut app = testing::for_tests(dir);
        app.library.model = Some(brodmann::app::ModelEntry { path: "/models/tiny".into(), state: Loading::Working });
        let mut opening = job_for(JobTarget::Model(1), 1, "Opening /models/tiny", JobState::Running);
        opening.progress = Progress { phase: "reading weights".into(), done: 3, total: 8, unit: "files" };
        app.jobs.push(opening);
        app
    });
    pictures(r, "domains_working", "domains", (400.0, 320.0), |dir| {
        let mut app = testing::sample_app(dir);
        app.library.domains[0].state = Loading::Working;
        app.library.domains[0].path = "/data/questions.jsonl".into();
        let mut reading =
            job_for(JobTarget::Domain { name: "arithmetic".into(), generation: 1 }, 1, "Reading arithmetic", JobState::Running);
        reading.progress = Progress { phase: "hashing".into(), done: 12, total: 40, unit: "MB" };
        app.jobs.push(reading);
        app
    });
}

/// Which pictures there are is part of what a panel is: whoever adds one draws its states too.
#[test]
fn every_panel_has_a_picture_of_every_state() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for panel in panels::PANELS {
        // What only lists what happens has no work of its own that could be under way or fail.
        let states: &[&str] =
            if matches!(panel.id, "jobs" | "log" | "sets" | "history") { &["", "_empty"] } else { &["", "_empty", "_working", "_failed"] };
        for state in states {
            for theme in ["dark", "light"] {
                let file = format!("panel_{}{state}_{theme}.png", panel.id);
                assert!(folder.join(&file).is_file(), "there is no picture {file}");
            }
        }
    }
}

fn job(id: u64, title: &str, state: JobState) -> JobView {
    job_for(JobTarget::Scan, id, title, state)
}

fn job_for(target: JobTarget, id: u64, title: &str, state: JobState) -> JobView {
    JobView {
        id: JobId(id),
        target,
        title: title.into(),
        state,
        progress: Progress { phase: "scanning logic".into(), done: 41, total: 64, unit: "samples" },
        elapsed: Duration::from_millis(10_500),
        rate: Some(3.9),
        left: Some(Duration::from_millis(5_900)),
        stopping: false,
    }
}

fn scanning(dir: &Path) -> App {
    let mut app = testing::sample_app(dir);
    app.jobs.push(job(1, "Scan of 6 domains", JobState::Running));
    app
}

fn failed_model(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    app.library.model = Some(brodmann::app::ModelEntry {
        path: "/models/tiny".into(),
        state: Loading::Failed("/models/tiny: there is no config.json".into()),
    });
    app
}

fn logged(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    let lines = [
        (NoticeLevel::Info, "Scan done", "6 domains, 384 samples in 12.5 s"),
        (NoticeLevel::Warn, "3 rows of reviews skipped", "reviews.csv:7: `label` is empty"),
        (NoticeLevel::Error, "The project could not be saved", "/home/a/p.json: Permission denied"),
    ];
    for (i, (level, title, details)) in lines.into_iter().enumerate() {
        let time = format!("2026-01-31T12:00:0{i}Z");
        app.log.push(Notice { level, title: title.into(), details: details.into(), time });
    }
    app
}

fn put(app: &mut App, index: usize, domain: Domain) {
    let entry = &mut app.library.domains[index];
    entry.name.clone_from(&domain.name);
    entry.path.clone_from(&domain.source);
    entry.test = None;
    app.project.domains[index].name.clone_from(&domain.name);
    entry.state = Loading::Ready(Arc::new(domain));
}

fn sent(h: &View) -> Vec<Command> {
    h.state().sent.clone()
}

#[test]
fn a_cell_of_the_matrix_shows_its_pair() {
    let dir = folder();
    let mut h = bench("similarity", (900.0, 420.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label_contains("facts and sentiment:").click();
    h.run();
    assert_eq!(sent(&h), [Command::ShowPair { a: "facts".into(), b: "sentiment".into() }]);
    assert!(h.query_by_label("facts and sentiment").is_some(), "the head of the box plot names the pair");
}

#[test]
fn a_set_is_switched_renamed_and_removed() {
    let dir = folder();
    let mut h = bench("ablation", (760.0, 520.0), egui::Theme::Dark, testing::sample_app_ablated(dir.path()));
    h.get_by_role(Role::Switch).click();
    h.run();
    assert_eq!(sent(&h), [Command::EnableSet { index: 0, on: false }]);
    assert!(h.query_by_label_contains("Nothing is switched off").is_some());
    h.get_by_label("Rename arithmetic top 10 %").click();
    h.run();
    h.get_by_label("Name of the set").type_text(" (mine)");
    h.run();
    h.key_press(egui::Key::Enter);
    h.run();
    h.get_by_label("Remove arithmetic top 10 % (mine)").click();
    h.run();
    let rest = &sent(&h)[1..];
    assert_eq!(rest, [Command::RenameSet { index: 0, name: "arithmetic top 10 % (mine)".into() }, Command::RemoveSet { index: 0 }]);
}

#[test]
fn neurons_can_be_typed_and_a_wrong_name_says_how() {
    let dir = folder();
    let mut h = bench("ablation", (760.0, 640.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Neurons by name").focus();
    h.run();
    h.get_by_label("Neurons by name").type_text("L99N1");
    h.run();
    h.get_by_label("Add these").click();
    h.run();
    assert!(h.query_by_label_contains("L99N1 is outside this model").is_some());
    assert!(sent(&h).is_empty());
    let field = h.get_by_label("Neurons by name");
    field.focus();
    h.run();
    h.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::A);
    h.get_by_label("Neurons by name").type_text("L3N17,L4N0-2");
    h.run();
    h.get_by_label("Add these").click();
    h.run();
    let all = sent(&h);
    assert!(matches!(all.as_slice(), [Command::AddSet { neurons, .. }] if neurons.len() == 4), "{all:?}");
}

#[test]
fn the_top_of_a_domain_becomes_a_set() {
    let dir = folder();
    let mut h = bench("ablation", (760.0, 520.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Switch off the top neurons").click();
    h.run();
    assert!(matches!(sent(&h).as_slice(), [Command::AddTopSet { percent, .. }] if *percent == 10.0));
    assert!(h.query_by_label_contains("410 neurons of 4,096").is_some());
}

#[test]
fn a_single_neuron_is_switched_on_again_by_its_chip() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let neuron = Neuron::new(3, 17);
    app.apply(Command::ToggleNeuron { neuron });
    let mut h = bench("ablation", (760.0, 520.0), egui::Theme::Dark, app);
    h.get_by_label_contains("L3N17").click();
    h.run();
    assert_eq!(sent(&h), [Command::ToggleNeuron { neuron }]);
    assert!(h.query_by_label_contains("L3N17").is_none());
}

#[test]
fn a_scan_is_set_up_and_started() {
    let dir = folder();
    let mut h = bench("scan", (440.0, 640.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("logic").click();
    h.run();
    h.get_by_label("loss").click();
    h.run();
    h.get_by_label("Scan 5 domains").click();
    h.run();
    let all = sent(&h);
    assert_eq!(all[0], Command::EnableDomain { name: "logic".into(), on: false });
    assert!(matches!(&all[1], Command::SetScanConfig { config } if config.objective == brodmann::scan::ObjectiveKind::Loss));
    assert_eq!(all[2], Command::StartScan { out: None });
}

#[test]
fn the_scans_device_is_chosen_from_what_the_machine_has() {
    let dir = folder();
    let mut h = bench("scan", (440.0, 640.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Device of the scan").click();
    // Frames go on until the cards are found.
    settle(&mut h);
    // The list asks for the cards; the processor is in it from the start.
    assert!(sent(&h).contains(&Command::FindDevices));
    h.get_by_label("cpu").click();
    h.run();
    let chosen = |c: &Command| matches!(c, Command::SetPreferences { preferences } if preferences.device == DeviceChoice::Cpu);
    assert!(sent(&h).iter().any(chosen));
    assert_eq!(h.state().app.settings.device, DeviceChoice::Cpu);
}

#[test]
fn a_running_scan_can_be_cancelled_where_it_was_started() {
    let dir = folder();
    let mut h = bench("scan", (440.0, 480.0), egui::Theme::Dark, scanning(dir.path()));
    h.get_by_label("Cancel the scan").click();
    h.run();
    assert_eq!(sent(&h), [Command::CancelJob { id: 1 }]);
}

#[test]
fn a_domain_is_left_out_and_coloured() {
    let dir = folder();
    let mut h = bench("domains", (400.0, 760.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Include logic").click();
    h.run();
    h.get_by_label("Colour of logic").click();
    h.run();
    h.get_by_label("Colour 7").click();
    h.run();
    assert_eq!(
        sent(&h),
        [Command::EnableDomain { name: "logic".into(), on: false }, Command::ColourDomain { name: "logic".into(), colour: 6 },]
    );
}

#[test]
fn columns_are_mapped_before_a_file_is_read_again() {
    let dir = folder();
    let path = dir.path().join("odd.csv");
    std::fs::write(&path, "foo,bar\nThe sky is,blue\nGrass is,green\n").expect("write");
    let mut app = testing::sample_app(dir.path());
    app.library.domains[0].path = path.clone();
    app.library.domains[0].state = Loading::Failed("the columns are `foo`, `bar`, which do not say by themselves what to read".into());
    let mut h = bench("domains", (420.0, 1000.0), egui::Theme::Dark, app);
    shows(&mut h, "Read as");
    h.get_by_label("Read as").click();
    h.run();
    h.get_by_label("question-answer").click();
    h.run();
    shows(&mut h, "Column for question");
    for (field, column) in [("question", "foo"), ("answer", "bar")] {
        h.get_by_label(&format!("Column for {field}")).click();
        h.run();
        h.get_by_label(column).click();
        h.run();
        shows(&mut h, &format!("Column for {field}"));
    }
    shows(&mut h, "Read the file like this");
    h.get_by_label("Read the file like this").click();
    h.run_steps(2);
    let all = sent(&h);
    let Some(Command::AddDomain { mapping, .. }) = all.last() else { panic!("{all:?}") };
    assert_eq!(mapping.columns.get("question").map(String::as_str), Some("foo"));
    assert_eq!(mapping.columns.get("answer").map(String::as_str), Some("bar"));
}

/// Runs frames until something with this label is there: a thread reads the file.
fn shows(h: &mut View, label: &str) {
    until(h, label, |h| h.query_by_label(label).is_some());
}

#[test]
fn the_log_is_filtered_by_words_and_weight() {
    let dir = folder();
    let mut h = bench("log", (560.0, 220.0), egui::Theme::Dark, logged(dir.path()));
    h.get_by_label("Filter the log").focus();
    h.run();
    h.get_by_label("Filter the log").type_text("reviews");
    h.run();
    assert!(h.query_by_label("3 rows of reviews skipped").is_some() && h.query_by_label("Scan done").is_none());
    h.get_by_label("errors").click();
    h.run();
    assert!(h.query_by_label("3 rows of reviews skipped").is_none());
}

#[test]
fn moving_gamma_asks_for_it_and_changes_the_density() {
    let dir = folder();
    let mut h = bench("density", (620.0, 460.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    assert!(h.query_by_label_contains("counts are exact").is_some());
    h.get_by_role_and_label(Role::Slider, "Threshold gamma").focus();
    h.key_press(egui::Key::ArrowRight);
    h.run();
    let sent = h.state().sent.clone();
    assert!(matches!(sent.as_slice(), [Command::SetGamma { gamma }] if *gamma > 2e-6), "{sent:?}");
    assert!(h.query_by_label_contains("estimated from the histogram").is_some());
}

#[test]
fn gamma_is_dragged_to_where_counts_are_exact() {
    let dir = folder();
    let mut h = bench("density", (620.0, 460.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    let rails = [h.get_by_role_and_label(Role::Slider, "Threshold gamma").rect(), h.get_by_label_contains("Magnitudes. ").rect()];
    for (name, rail) in ["slider", "chart"].into_iter().zip(rails) {
        for part in [0.3, 0.42, 0.71] {
            let pos = rail.left_center() + egui::vec2(part * rail.width(), 0.0);
            let button = |pressed| egui::Event::PointerButton {
                pos,
                button: egui::PointerButton::Primary,
                pressed,
                modifiers: egui::Modifiers::NONE,
            };
            h.state_mut().sent.clear();
            h.event(egui::Event::PointerMoved(pos));
            h.run();
            h.event(button(true));
            h.run();
            h.event(button(false));
            h.run();
            let sent = h.state().sent.clone();
            let Some(Command::SetGamma { gamma }) = sent.last() else { panic!("{name}: {sent:?}") };
            assert_eq!(exact_near(2e-6, *gamma), *gamma, "{name}");
            assert!(h.query_by_label_contains("counts are exact").is_some(), "{name} at {gamma}");
        }
    }
}

fn with_view(view: PanelView, make: impl Fn(&Path) -> App) -> impl Fn(&Path) -> App {
    move |dir| {
        let mut app = make(dir);
        app.apply(Command::SetPanelView { view });
        app
    }
}

#[test]
fn overlap_against_chance_looks_right() {
    let r = &mut SnapshotResults::new();
    let share = || with_view(PanelView::Overlap(OverlapView::Curve), testing::sample_app);
    pictures(r, "overlap_share", "overlap", (900.0, 460.0), share());
    pictures(r, "overlap_share_tall", "overlap", (420.0, 700.0), share());
    let upset = || with_view(PanelView::Overlap(OverlapView::Upset), testing::sample_app);
    pictures(r, "overlap_upset", "overlap", (900.0, 460.0), upset());
    pictures(r, "overlap_upset_narrow", "overlap", (420.0, 560.0), upset());
}

#[test]
fn a_column_of_the_upset_plot_selects_its_neurons_and_makes_a_set_of_them() {
    let dir = folder();
    let app = with_view(PanelView::Overlap(OverlapView::Upset), testing::sample_app)(dir.path());
    let run = app.library.run().expect("run").output.clone();
    let maps: Vec<_> = run.domains.iter().map(|d| (d.name.clone(), d.relevance.clone().expect("map"))).collect();
    let top = TopSets::new(&maps, 10.0);
    let columns = upset(&top);
    let both = columns.iter().filter(|c| c.members.len() == 2).max_by_key(|c| c.neurons.len()).expect("two domains share some");
    let names: Vec<&str> = both.members.iter().map(|&i| top.names[i].as_str()).collect();
    let neurons: NeuronSet = both.neurons.iter().map(|&n| top.neuron(n)).collect();
    let mut h = bench("overlap", (1400.0, 760.0), egui::Theme::Dark, app);
    h.get_by_label_contains(&format!("only {} and {}: {} neurons", names[0], names[1], neurons.len())).click();
    h.run();
    assert_eq!(sent(&h), [Command::SelectNeurons { neurons: neurons.clone() }]);
    assert_eq!(h.state().app.project.view.selection, neurons);
    h.get_by_label("Make a set").click();
    h.run();
    let set = &h.state().app.project.sets[0];
    assert_eq!((&set.neurons, set.name.as_str()), (&neurons, &*format!("{} ∩ {}", names[0], names[1])));
    assert!(set.source.contains("exactly") && set.source.contains("top 10.0 % relevance"), "{}", set.source);
    let mut results = SnapshotResults::new();
    h.snapshot("panel_overlap_upset_selected_dark");
    results.extend_harness(&mut h);
}

#[test]
fn the_views_of_the_overlap_are_chosen_and_undone() {
    let dir = folder();
    let mut h = bench("overlap", (900.0, 460.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("By share").click();
    h.run();
    assert_eq!(h.state().app.project.view.overlap, OverlapView::Curve);
    // Spoken by the chart: what chance gives at both ends.
    h.get_by_label_contains("Overlap by share. shared from");
    h.state_mut().app.apply(Command::Undo);
    h.run();
    h.get_by_label_contains("Overlap by layer. shared from");
    assert!(h.query_by_label_contains("after Holm for 15 pairs").is_some());
}

#[test]
fn samples_look_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "samples", "similarity", (900.0, 460.0), testing::sample_app_compared);
    pictures(r, "samples_tall", "similarity", (440.0, 700.0), testing::sample_app_compared);
    pictures(r, "samples_clustered", "similarity", (900.0, 460.0), with_view(PanelView::Clustered(true), testing::sample_app_compared));
    let missing = || with_view(PanelView::SampleLayer(4), testing::sample_app_compared);
    pictures(r, "samples_empty", "similarity", (620.0, 360.0), missing());
    pictures(r, "samples_working", "similarity", (620.0, 320.0), |dir| {
        let mut app = missing()(dir);
        let mut comparing = job_for(JobTarget::Samples, 1, "Similarity of 384 samples", JobState::Running);
        comparing.progress = Progress { phase: "comparing samples".into(), done: 210, total: 384, unit: "sample-layers" };
        app.jobs.push(comparing);
        app
    });
    pictures(r, "samples_failed", "similarity", (620.0, 320.0), |dir| {
        let mut app = missing()(dir);
        let message = "all pairs of 3,840 samples at 8 layers take 1.24 GB beside the weights, and 800 MB are allowed; take fewer samples, domains or layers at a time";
        app.jobs.push(job_for(JobTarget::Samples, 1, "Similarity of 3,840 samples", JobState::Failed(message.into())));
        app
    });
    pictures(r, "similarity_clustered", "similarity", (900.0, 420.0), with_view(PanelView::Clustered(true), testing::sample_app));
}

#[test]
fn a_cell_of_the_samples_shows_both_texts() {
    let dir = folder();
    let mut h = bench("similarity", (1100.0, 520.0), egui::Theme::Light, testing::sample_app_compared(dir.path()));
    let square = h.get_by_label_contains("Similarity of samples at layer 5. 48 by 48 samples").rect();
    // Row 1 is the second sample of arithmetic, column 10 the third of logic; both have a width of a 48th.
    let cell = square.width() / 48.0;
    let at = square.min + egui::vec2(10.5, 1.5) * cell;
    h.hover_at(at);
    h.run();
    assert!(h.query_by_label_contains("arithmetic, line 4 and logic, line 7: 0.").is_some(), "the readout under the pointer");
    h.drag_at(at);
    h.drop_at(at);
    h.run();
    for text in ["Question 1 of arithmetic", "Question 2 of logic"] {
        assert!(h.query_by_label_contains(text).is_some(), "{text}");
    }
    let mut results = SnapshotResults::new();
    h.snapshot("panel_samples_pair_light");
    results.extend_harness(&mut h);
    h.get_by_label("Close the texts").click();
    h.run();
    assert!(h.query_by_label("Mean of every block").is_some());
}

#[test]
fn in_a_low_panel_the_texts_take_the_matrix_place() {
    let dir = folder();
    let mut h = bench("similarity", (350.0, 330.0), egui::Theme::Dark, testing::sample_app_compared(dir.path()));
    const MATRIX: &str = "Similarity of samples at layer 5. 48 by 48 samples";
    let square = h.get_by_label_contains(MATRIX).rect();
    let at = square.min + egui::vec2(10.5, 1.5) * square.width() / 48.0;
    h.hover_at(at);
    h.run();
    h.drag_at(at);
    h.drop_at(at);
    h.run();
    for text in ["Question 1 of arithmetic", "Question 2 of logic"] {
        let seen = h.get_all_by_label_contains(text).next().map(|n| n.rect()).expect(text);
        assert!(seen.bottom() <= 330.0, "{text} at {seen:?}");
    }
    let mut results = SnapshotResults::new();
    h.snapshot("panel_samples_low_dark");
    results.extend_harness(&mut h);
    h.get_by_label("Close the texts").click();
    h.run();
    assert!(h.query_by_label_contains(MATRIX).is_some());
}

#[test]
fn a_layer_that_was_not_compared_offers_to_do_it() {
    let dir = folder();
    let app = with_view(PanelView::SampleLayer(4), testing::sample_app_compared)(dir.path());
    let mut h = bench("similarity", (620.0, 360.0), egui::Theme::Dark, app);
    assert!(h.query_by_label_contains("384 samples, 73,536 pairs").is_some(), "the estimate");
    h.get_by_label("Compute layer 4").click();
    h.run_steps(2);
    let asked = Command::SampleSimilarity { layers: vec![4], samples: 64, domains: Vec::new(), out: None };
    assert_eq!(sent(&h).last(), Some(&asked));
}
