//! Made-up task neurons and their matrix, for tests and snapshots of the fronts. No number here was measured on anything.

use super::{
    App, CurveRequest, FindRequest, FindView, ProveRequest, ProveView,
    testing::{DOMAINS, sample_app},
};
use crate::{
    ablate::{KPoint, Totals},
    base::{Grid, provenance::Provenance, rng::Rng},
    scan::DomainSource,
    task::{CURVE_PERCENTS, Cell, DetectConfig, KneeCurve, MatrixPlan, STABILITY_PERCENTS, Stability, TaskMatrix, TaskNeurons},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

fn totals(n: usize, accuracy: f64) -> Totals {
    let correct = (n as f64 * accuracy.clamp(0.0, 1.0)).round() as usize;
    Totals { n, correct: Some(correct), margin: Some(4.0 * accuracy - 1.0), loss: Some(2.0 - 1.6 * accuracy) }
}

fn provenance(verb: &str) -> Provenance {
    Provenance {
        program: "brodmann 0.0.0 (sample)".into(),
        model: "demo".into(),
        model_sha256: "5a".repeat(32),
        data_sha256: vec![(DOMAINS[0].into(), "d0".repeat(32))],
        formula: DetectConfig::default().relevance.formula(),
        command: format!("brodmann {verb} --model demo"),
        created: "2026-01-31T12:00:00Z".into(),
        ..Provenance::default()
    }
}

/// The first `found` tasks with their neurons, and curves of all of them but the last.
pub fn sample_app_found(data_dir: &Path, found: usize) -> App {
    let mut app = sample_app(data_dir);
    let Some(run) = app.library.scan().cloned() else { return app };
    let config = DetectConfig::default();
    let task = |(d, name): (usize, &&str)| -> Option<Arc<TaskNeurons>> {
        let relevance: &Grid = run.domain(name)?.relevance.as_ref()?;
        let stable = |&percent: &f64| {
            let mean = 0.55 + 0.13 * (percent.log10() + 2.0) - 0.02 * d as f64;
            let chance = percent / (200.0 - percent);
            let mean = if percent >= 100.0 { 1.0 } else { mean.clamp(chance, 0.97) };
            let half = 0.07 * (1.0 - mean).sqrt();
            let neurons = (percent / 100.0 * relevance.values().len() as f64).round().max(1.0) as usize;
            Stability { percent, neurons, mean, low: mean - half, high: (mean + half).min(1.0), chance }
        };
        Some(Arc::new(TaskNeurons {
            name: (*name).to_owned(),
            source: DomainSource { sha256: "d0".repeat(32), sample_lines: (1..=64).collect(), ..DomainSource::default() },
            samples: 64,
            tokens: 64 * 20,
            mean_loss: 0.3 + 0.05 * d as f64,
            relevance: relevance.clone(),
            columns: None,
            stability: STABILITY_PERCENTS.iter().map(stable).collect(),
            draws: 50,
            completeness: None,
        }))
    };
    let tasks: Vec<_> = DOMAINS.iter().enumerate().take(found).filter_map(task).collect();
    let curve = |(d, t): (usize, &Arc<TaskNeurons>)| {
        let at = |k: f64, own: f64| totals(64, 0.28 + (0.66 - 0.02 * d as f64) / (1.0 + (k / own).powf(1.6)));
        let points = CURVE_PERCENTS.iter().map(|&percent| KPoint {
            percent,
            neurons: (4096.0 * percent / 100.0) as usize,
            scores: vec![at(percent, 2.0 + d as f64)],
            controls: vec![vec![at(percent, 30.0)]],
        });
        let mut curve = KneeCurve {
            task: t.name.clone(),
            rows: "64 rows of the validation split that did not choose the neurons".into(),
            lines: (65..=128).collect(),
            baseline: at(0.0, 3.0),
            points: points.collect(),
            knee: None,
        };
        curve.conclude();
        curve
    };
    let curves = tasks.iter().enumerate().take(DOMAINS.len() - 1).map(curve).collect();
    let request = FindRequest { config, tasks: Vec::new(), curve: Some(CurveRequest::default()) };
    let view = FindView::new(request, DOMAINS.iter().map(|d| (*d).to_owned()).collect());
    app.tasks.find =
        Some(FindView { tasks, curves, provenance: provenance("neurons"), seconds: Some(4.2), version: 1, running: false, ..view });
    app
}

/// The same with a matrix of all six tasks, measured up to this share of its cells.
pub fn sample_app_proved(data_dir: &Path, share: f64) -> App {
    let mut app = sample_app_found(data_dir, DOMAINS.len());
    let plan = MatrixPlan {
        tasks: DOMAINS.iter().map(|d| (*d).to_owned()).collect(),
        percents: vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0],
        controls: 3,
        factors: vec![0.0, 0.5, 1.0, 1.5, 2.0, 3.0],
        scaled_at: 3,
        scaled_controls: 1,
    };
    let mut rng = Rng::new(11);
    let before: Vec<Totals> = (0..DOMAINS.len()).map(|d| totals(240, 0.98 - 0.015 * d as f64)).collect();
    let all = plan.cells();
    let done = (share * all.len() as f64).round() as usize;
    let mut cells = BTreeMap::new();
    for id in &all[..done.min(all.len())] {
        let start = before[id.task].accuracy().unwrap_or(1.0);
        let k = plan.percents[id.k];
        let reach = match (id.seed, id.set == id.task) {
            (None, true) => 6.0,
            (None, false) => 22.0 + 3.0 * ((id.set * 5 + id.task * 3) % 7) as f64,
            (Some(_), _) => 30.0,
        };
        let strength = id.factor.map_or(1.0, |f| (plan.factors[f] - 1.0).abs().powf(1.3));
        let fall = 0.7 / (1.0 + (k * strength / reach).powf(-1.7));
        let accuracy = start - fall + 0.012 * rng.normal();
        let after = totals(240, accuracy.clamp(0.2, 1.0));
        let lost = before[id.task].correct.unwrap_or(0).saturating_sub(after.correct.unwrap_or(0));
        cells.insert(*id, Cell { totals: after, lost: lost + 3, gained: 3 });
    }
    let matrix = TaskMatrix {
        total: all.len(),
        neurons: plan.percents.iter().map(|p| vec![(4096.0 * p / 100.0) as usize; DOMAINS.len()]).collect(),
        plan,
        sets: "top k % of all neurons by relevance (sum over tokens)".into(),
        switched: "set to 0 at every position".into(),
        before,
        left_out: vec![0; DOMAINS.len()],
        cells,
        provenance: provenance("prove"),
    };
    let request = ProveRequest { percents: matrix.plan.percents.clone(), ..ProveRequest::default() };
    app.tasks.prove =
        Some(ProveView { request: Some(request), result: Some(matrix), version: 1, running: false, failed: None, folder: None });
    app
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_suggests_a_share_and_fills_by_share() {
        let dir = tempfile::tempdir().expect("folder");
        let app = sample_app_proved(dir.path(), 0.5);
        let find = app.tasks.find.as_ref().expect("found");
        assert!(find.curve(DOMAINS[0]).expect("curve").knee.is_some() && find.curve(DOMAINS[5]).is_none());
        let matrix = app.tasks.prove.as_ref().and_then(|v| v.result.as_ref()).expect("matrix");
        assert!(matrix.done() < matrix.total && matrix.summary(0).is_some() && matrix.summary(5).is_none());
    }
}
