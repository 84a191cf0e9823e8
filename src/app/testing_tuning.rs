//! Tunings that no engine made, for pictures and tests of what shows them.

use super::{
    TrainWhat, TuneReport, TuneRequest, TuningView,
    testing::{DOMAINS, sample_app},
};
use crate::{
    app::App,
    base::{provenance::Provenance, rng::Rng},
    tune::{Ended, Evaluated, TuneConfig, TunePoint},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Learning the first domain over `steps` of 200: its accuracy rises, one other falls a little, the rest stay.
fn points(steps: usize) -> Vec<TunePoint> {
    let mut rng = Rng::new(5);
    let judged = |step: usize| {
        let t = 1.0 - (-(step as f64) / 60.0).exp();
        let (mut accuracy, mut loss) = (BTreeMap::new(), BTreeMap::new());
        for (i, name) in DOMAINS.iter().enumerate() {
            let (start, gain) = [(0.31, 0.55), (0.82, 0.0), (0.74, -0.12), (0.91, -0.01), (0.88, 0.0), (0.66, 0.02)][i % 6];
            accuracy.insert((*name).to_owned(), start + gain * t);
            loss.insert((*name).to_owned(), 1.6 - start - gain * t);
        }
        Evaluated { score: accuracy[DOMAINS[0]], accuracy, loss }
    };
    (0..=steps)
        .map(|step| TunePoint {
            step,
            loss: (step > 0).then(|| 0.35 + 1.1 * (-(step as f64) / 45.0).exp() + 0.06 * rng.normal()),
            gradient_norm: (step > 0).then_some(1.0),
            learning_rate: 1e-4,
            evaluated: step.is_multiple_of(25).then(|| judged(step)),
        })
        .collect()
}

fn request() -> TuneRequest {
    TuneRequest {
        task: DOMAINS[0].into(),
        what: TrainWhat::Top { percent: 10.0 },
        config: TuneConfig { evaluate_every: 25, patience: 4, ..TuneConfig::default() },
        train_items: None,
        eval_items: Some(128),
        out: "/tuned/demo-arithmetic-top".into(),
        save_model: None,
    }
}

/// A tuning as it stands after some of its steps.
pub fn sample_tuning(steps: usize) -> TuningView {
    TuningView { task: DOMAINS[0].into(), request: Some(request()), points: points(steps), ..TuningView::default() }
}

/// As [`super::testing::sample_app`], with a tuning that came to its end.
pub fn sample_app_tuned(data_dir: &Path, ended: Ended) -> App {
    let mut app = sample_app(data_dir);
    let steps = if ended == Ended::Finished { 200 } else { 150 };
    let view = sample_tuning(steps);
    let judged = |step: usize| view.points.iter().find(|p| p.step == step).and_then(|p| p.evaluated.clone()).unwrap_or_default();
    let report = TuneReport {
        task: view.task.clone(),
        what: TrainWhat::Top { percent: 10.0 },
        config: request().config,
        trained: 314_880,
        parameters: 4_198_656,
        train_lines: (1..=384).collect(),
        train_cut: 0,
        judged_on: "the test split".into(),
        before: judged(0),
        after: judged(steps),
        best_step: steps,
        steps,
        ended,
        seconds: 74.2,
        tokens: 96_400,
        points: view.points.clone(),
        overlay_sha256: "7c".repeat(32),
        provenance: Provenance {
            program: "brodmann 0.1.0".into(),
            model: "demo".into(),
            model_sha256: "5a".repeat(32),
            data_sha256: vec![(DOMAINS[0].into(), "b3".repeat(32))],
            formula: "314880 of 4198656 scalars trained".into(),
            objective: "cross-entropy of the answer's tokens given the prompt".into(),
            dtype: "f32 computed in f32".into(),
            device: "cpu (AVX-512, 2 threads)".into(),
            command: "brodmann tune --model demo --task arithmetic --train top:10 --steps 200 --out tuned".into(),
            created: "2026-01-31T12:00:00Z".into(),
            ..Provenance::default()
        },
    };
    app.tuning = Some(TuningView { report: Some(Arc::new(report)), folder: Some("/runs/tuned".into()), ..view });
    app
}
