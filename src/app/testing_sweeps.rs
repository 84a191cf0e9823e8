//! Made-up sweeps for tests and snapshots of the fronts.

use super::{
    App, BreakLive, Failure, SweepRequest, SweepView,
    testing::{DOMAINS, sample_app_predicted, sample_set},
};
use crate::{
    ablate::{BreakStep, Broken, Judged, KCurve, KPoint, Rule, Sweep, SweepSpec, SweepUnit, Totals},
    base::{Neuron, provenance::Provenance, rng::Rng},
    eval::{AblationAt, AblationMode},
    scan::MetricKind,
};
use std::{path::Path, sync::Arc};

fn totals(accuracy: f64) -> Totals {
    let correct = (240.0 * accuracy.clamp(0.0, 1.0)).round() as usize;
    Totals { n: 240, correct: Some(correct), margin: Some(4.0 * accuracy - 1.0), loss: Some(2.0 - 1.6 * accuracy) }
}

fn provenance() -> Provenance {
    Provenance {
        program: "brodmann 0.0.0 (sample)".into(),
        model: "demo".into(),
        model_sha256: "5a".repeat(32),
        data_sha256: vec![(DOMAINS[0].into(), "d0".repeat(32))],
        formula: "each unit by itself, change against nothing switched".into(),
        command: "brodmann sweep --model demo".into(),
        created: "2026-01-31T12:00:00Z".into(),
        ..Provenance::default()
    }
}

fn view<T>(request: SweepRequest, result: T) -> Option<SweepView<T>> {
    Some(SweepView { request, result: Some(result), version: 1, running: false, failed: None, folder: None })
}

/// A sweep of this kind of unit over the first domain, measured from the last layer up to this share of its units.
pub fn sample_app_swept(data_dir: &Path, unit: SweepUnit, share: f64) -> App {
    let mut app = sample_app_predicted(data_dir);
    let Some(model) = app.library.spec().cloned() else { return app };
    let spec = SweepSpec { unit, layers: None, mode: AblationMode::Zero, at: AblationAt::All };
    let (Ok(mut sweep), Ok(units)) = (Sweep::new(spec.clone(), DOMAINS[0], &model, totals(0.9), provenance()), spec.units(&model)) else {
        return app;
    };
    let mut rng = Rng::new(17);
    let done = (units.len() as f64 * share).ceil() as usize;
    for &id in &units[..done.min(units.len())] {
        let size = match unit {
            SweepUnit::Neuron => 0.004,
            SweepUnit::Head => 0.03,
            SweepUnit::Layer => 0.2,
        };
        let hot = if (id.index * 37 + id.layer * 11) % 61 == 0 { 6.0 } else { 1.0 };
        let mut after = totals(0.9 - size * hot * rng.normal().abs());
        after.loss = after.loss.map(|l| l + 0.02 * size * rng.normal());
        sweep.set(id, after);
    }
    app.sweeps.units = view(SweepRequest::Units { unit, domain: DOMAINS[0].into(), layers: None }, sweep);
    app
}

/// A sweep that an earlier session did not finish.
pub fn sample_app_broken_off(data_dir: &Path) -> App {
    let mut app = sample_app_swept(data_dir, SweepUnit::Neuron, 0.4);
    if let Some(view) = &mut app.sweeps.units {
        view.failed = Some(Failure::Cancelled);
    }
    app
}

/// Accuracy against k, and a search with its outcome.
pub fn sample_app_curve_and_set(data_dir: &Path) -> App {
    let mut app = sample_app_swept(data_dir, SweepUnit::Neuron, 1.0);
    let percents = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
    let at = |d: usize, k: f64, own: f64| totals(0.25 + (0.7 - 0.02 * d as f64) / (1.0 + (k / own).powf(1.4)));
    let points = percents.iter().map(|&percent| KPoint {
        percent,
        neurons: (4096.0 * percent / 100.0) as usize,
        scores: (0..DOMAINS.len()).map(|d| at(d, percent, if d == 0 { 3.0 } else { 25.0 })).collect(),
        controls: (0..3).map(|s| (0..DOMAINS.len()).map(|d| at(d, percent, 30.0 + 4.0 * f64::from(s))).collect()).collect(),
    });
    let curve = KCurve {
        ranking: format!("relevance of {}, run 1", DOMAINS[0]),
        domains: DOMAINS.iter().map(|d| (*d).to_owned()).collect(),
        baseline: (0..DOMAINS.len()).map(|d| at(d, 0.0, 3.0)).collect(),
        points: points.collect(),
        provenance: provenance(),
    };
    let metric = MetricKind::Relevance;
    app.sweeps.against_k = view(SweepRequest::AgainstK { ranking: DOMAINS[0].into(), metric, percents: percents.to_vec() }, curve);

    let steps: Vec<BreakStep> = (0..7u32)
        .map(|i| BreakStep {
            neuron: Neuron::new(7 - i % 4, 31 * i + 5),
            accuracy: Some(0.9 - 0.09 * f64::from(i)),
            damage: 0.4 * f64::from(i + 1),
            others: 0.03 * f64::from(i),
            merit: 0.4 * f64::from(i + 1) - 0.03 * f64::from(i),
        })
        .collect();
    let judged = |(d, name): (usize, &&str)| Judged {
        domain: (*name).to_owned(),
        before: totals(0.92),
        after: totals(if d == 0 { 0.34 } else { 0.9 - 0.01 * d as f64 }),
        controls: (0..3).map(|s| totals(0.91 - 0.01 * f64::from(s))).collect(),
    };
    let broken = Broken {
        domain: DOMAINS[0].into(),
        rule: Rule::default(),
        threshold: 0.36,
        candidates: 200,
        ranking: format!("the top 200 by relevance of {}, run 1", DOMAINS[0]),
        steps: steps.clone(),
        set: sample_set(),
        reached: true,
        accuracy_before: Some(0.9),
        accuracy_after: Some(0.36),
        judged: DOMAINS.iter().enumerate().map(judged).collect(),
        provenance: provenance(),
    };
    let live = BreakLive { steps, outcome: Some(Arc::new(broken)) };
    app.sweeps.broken = view(SweepRequest::Break { domain: DOMAINS[0].into(), metric, candidates: 200, rule: Rule::default() }, live);
    app
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablate::UnitId;

    #[test]
    fn a_sample_sweep_fills_from_the_last_layer_up() {
        let dir = tempfile::tempdir().expect("folder");
        let app = sample_app_swept(dir.path(), SweepUnit::Head, 0.5);
        let sweep = app.sweeps.units.and_then(|v| v.result).expect("sweep");
        assert_eq!((sweep.done(), sweep.total), (32, 64));
        assert!(sweep.get(UnitId { layer: 7, index: 0 }).is_some() && sweep.get(UnitId { layer: 3, index: 7 }).is_none());
    }
}
