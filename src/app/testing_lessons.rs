//! Made-up sequences of tasks and studies of transfer for tests and snapshots of the fronts.

use super::{
    App, ContinualRequest, ContinualView, LessonCurve, RowLimits, TransferRequest, TransferView,
    testing::{DOMAINS, sample_app},
};
use crate::{
    base::{provenance::Provenance, rng::Rng},
    task::{ContinualConfig, ContinualState, Lesson, Method, RowCounts, Score, TransferConfig, TransferState, TransferUnit},
    tune::TunePoint,
};
use std::{path::Path, sync::Arc};

fn provenance(verb: &str) -> Provenance {
    Provenance {
        program: "brodmann 0.0.0 (sample)".into(),
        model: "demo".into(),
        model_sha256: "5a".repeat(32),
        formula: "tasks learnt one after another; accuracy by log-likelihood of the choices".into(),
        command: format!("brodmann {verb} --model demo"),
        created: "2026-01-31T12:00:00Z".into(),
        ..Provenance::default()
    }
}

fn score(accuracy: f64) -> Score {
    Score { n: 300, correct: (300.0 * accuracy.clamp(0.0, 1.0)).round() as usize, loss: 2.0 - 1.6 * accuracy }
}

fn rows(name: &str) -> RowCounts {
    RowCounts {
        name: name.into(),
        train: 600,
        validation: 240,
        test: 300,
        cut: 0,
        words: "the demo's train, validation and test splits".into(),
    }
}

/// A sequence over all but the last domain, with this share of its cells.
pub fn sample_app_continual(data_dir: &Path, share: f64) -> App {
    let mut app = sample_app(data_dir);
    let (tasks, others) = DOMAINS.split_at(DOMAINS.len() - 1);
    let n = tasks.len();
    let names = |d: &[&str]| d.iter().map(|d| (*d).to_owned()).collect::<Vec<String>>();
    let config = ContinualConfig { seeds: vec![0, 1, 2], ..ContinualConfig::default() };
    let counts = DOMAINS.iter().enumerate().map(|(i, d)| if i < n { rows(d) } else { RowCounts { train: 0, validation: 0, ..rows(d) } });
    let mut state = ContinualState::new("k".into(), names(tasks), names(others), counts.collect(), config.clone(), provenance("continual"));
    let mut rng = Rng::new(11);
    let chance = |j: usize| 0.3 + 0.04 * j as f64;
    state.before = (0..DOMAINS.len()).map(|j| Some(score(chance(j)))).collect();
    state.cosines =
        (0..DOMAINS.len()).map(|j| (0..n).map(|t| if j == t { 0.99 } else { 0.80 + 0.02 * ((j + t) % 5) as f64 }).collect()).collect();
    let total = state.runs.len() * n * DOMAINS.len();
    let mut done = 0;
    for run in &mut state.runs {
        let (top, forgets) = match run.method {
            Method::Sequential => (0.95, 0.20),
            Method::SequentialLora => (0.86, 0.15),
            Method::Random => (0.80, 0.09),
            Method::Ncft => (0.90, 0.06),
            Method::Wncft => (0.88, 0.02),
            Method::Single => (0.95, 0.0),
        };
        for i in 0..n {
            for j in 0..DOMAINS.len() {
                done += 1;
                if done as f64 > share * total as f64 {
                    continue;
                }
                let since = i as f64 - j as f64;
                let value = if j == i {
                    top
                } else if j < i && run.method != Method::Single {
                    (top - forgets * since).max(chance(j))
                } else {
                    chance(j) + 0.03
                };
                run.cells[i][j] = Some(score(value + 0.02 * rng.normal()));
            }
        }
    }
    state.finished = share >= 1.0;
    state.lessons.push(Lesson {
        method: Method::Sequential,
        seed: 0,
        task: 0,
        trained: 1_255_008,
        neurons: None,
        steps: 200,
        best_step: 150,
        seconds: 4.0,
        tokens: 60_000,
        values_sha256: "ab".repeat(32),
    });
    let request = ContinualRequest { order: names(tasks), config, rows: RowLimits::default(), out: None };
    app.continual = Some(ContinualView {
        request: Some(request),
        folder: "/runs/continual".into(),
        state: Some(Arc::new(state)),
        lesson: None,
        running: false,
        whole: true,
        failed: None,
    });
    app
}

/// The same in the middle of a lesson.
pub fn sample_app_learning(data_dir: &Path) -> App {
    let mut app = sample_app_continual(data_dir, 0.32);
    if let Some(view) = &mut app.continual {
        view.running = true;
        let point = |step: usize| TunePoint {
            step,
            loss: (step > 0).then(|| 0.2 + 1.4 * (-(step as f64) / 30.0).exp() + 0.05 * (step as f64 * 0.7).sin()),
            gradient_norm: Some(1.0),
            learning_rate: 1e-3,
            evaluated: None,
        };
        view.lesson = Some(LessonCurve { method: Method::Ncft, seed: 0, task: 2, points: (0..120).map(point).collect() });
    }
    app
}

/// A study of all domains with this share of its trainings.
pub fn sample_app_transfer(data_dir: &Path, share: f64) -> App {
    let mut app = sample_app(data_dir);
    let (n, n_layers) = (DOMAINS.len(), 8);
    let config = TransferConfig { seeds: vec![0, 1], ..TransferConfig::default() };
    let mut state =
        TransferState::new("k".into(), DOMAINS.iter().map(|d| rows(d)).collect(), n_layers, config.clone(), provenance("transfer"));
    let mut rng = Rng::new(5);
    state.before = (0..n).map(|j| Some(score(0.35 + 0.03 * j as f64))).collect();
    let overlap = |i: usize, j: usize| if i == j { 1.0 } else { 0.1 + 0.05 * ((i * j + i + j) % 7) as f64 };
    state.overlap = (0..n).map(|i| (0..n).map(|j| overlap(i, j)).collect()).collect();
    let total = config.seeds.len() * config.shares().len() * n;
    'all: for &seed in &config.seeds {
        for percent in config.shares() {
            for task in 0..n {
                if state.units.len() as f64 >= share * total as f64 {
                    break 'all;
                }
                let learnt = 1.0 - (-percent / 8.0f64).exp();
                let cell = |j: usize, rng: &mut Rng| {
                    let before = 0.35 + 0.03 * j as f64;
                    let gain = if j == task { 0.55 * learnt } else { (0.5 * overlap(task, j) - 0.09) * learnt - 0.0006 * percent };
                    Some(score(before + gain + 0.01 * rng.normal()))
                };
                let like = |j: usize, l: usize| {
                    Some((overlap(task, j) * (0.5 + 0.5 * l as f64 / 7.0) + 0.1 * ((task + 2 * j + l) % 3) as f64).min(1.0))
                };
                let similarity = if percent == config.percent {
                    (0..n).map(|j| (0..n_layers).map(|l| like(j, l)).collect()).collect()
                } else {
                    Vec::new()
                };
                state.units.push(TransferUnit {
                    seed,
                    percent,
                    task,
                    cells: (0..n).map(|j| cell(j, &mut rng)).collect(),
                    neurons: (40.96 * percent) as usize,
                    trained: 1000,
                    steps: 200,
                    best_step: 150,
                    seconds: 2.0,
                    similarity,
                });
            }
        }
    }
    state.finished = share >= 1.0;
    let request =
        TransferRequest { tasks: DOMAINS.iter().map(|d| (*d).to_owned()).collect(), config, rows: RowLimits::default(), out: None };
    app.transfer = Some(TransferView {
        request: Some(request),
        folder: "/runs/transfer".into(),
        state: Some(Arc::new(state)),
        running: false,
        whole: true,
        failed: None,
    });
    app
}
