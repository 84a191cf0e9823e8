//! Results as JSON: what `--format json` prints and the run folder keeps.

use super::{FindView, find::set_path};
use crate::{
    ablate::Totals,
    task::{self, KneeCurve, TaskMatrix},
};
use serde_json::{Map, Value, json};

fn totals(t: &Totals) -> Value {
    json!({ "n": t.n, "accuracy": t.accuracy(), "margin": t.margin, "loss": t.loss })
}

fn curve(c: &KneeCurve) -> Value {
    let points = c.points.iter().map(|p| {
        let controls: Vec<Value> = p.controls.iter().filter_map(|s| s.first()).map(totals).collect();
        json!({ "percent": p.percent, "neurons": p.neurons, "own": p.scores.first().map(totals), "random": controls })
    });
    json!({ "rows": c.rows, "lines": c.lines, "baseline": totals(&c.baseline), "points": points.collect::<Vec<_>>(), "knee": c.knee })
}

/// What was found of each task.
pub fn find_document(view: &FindView) -> Value {
    let config = &view.request.config;
    let (percent, ranking) = (config.percent, config.ranking);
    let tasks = view.tasks.iter().map(|t| {
        let set = t.set(percent, ranking);
        let columns = t.columns.as_ref().map(|_| t.columns_of(percent, ranking));
        json!({
            "name": t.name,
            "samples": t.samples,
            "cut_samples": t.source.cut,
            "tokens": t.tokens,
            "mean_loss": t.mean_loss,
            "count": set.len(),
            "by_layer": t.by_layer(&set),
            "neurons": set,
            "columns": columns,
            "stability": t.stability,
            "resamples": t.draws,
            "completeness": t.completeness.map(|c| json!({ "open": c.open, "shut": c.shut, "integral": c.integral, "error": c.error() })),
            "suggested_percent": view.curve(&t.name).and_then(|c| c.knee).map(|k| k.percent),
            "curve": view.curve(&t.name).map(curve),
            "set_file": view.folder.as_ref().map(|f| set_path(f, &t.name)),
        })
    });
    let tops = task::overlap(&view.tasks, percent, ranking);
    let overlap = tops.tests().into_iter().map(|t| {
        json!({
            "a": tops.names[t.a],
            "b": tops.names[t.b],
            "shared": t.shared,
            "jaccard": tops.jaccard[t.a * tops.names.len() + t.b],
            "chance": t.chance.map(|c| c.expected),
            "p": t.ln_p.exp(),
            "p_holm": t.ln_p_holm.exp(),
        })
    });
    json!({
        "format": "brodmann task neurons",
        "version": 1,
        "config": config,
        "tasks": tasks.collect::<Vec<_>>(),
        "overlap": overlap.collect::<Vec<_>>(),
        "folder": view.folder,
        "seconds": view.seconds,
        "provenance": view.provenance,
    })
}

/// The matrix for every share, with its means, and the effect of factors.
pub fn prove_document(m: &TaskMatrix) -> Value {
    let names = &m.plan.tasks;
    let cell = |k: usize, set: usize, task: usize| {
        let c = m.get(k, set, task);
        let controls = m.controls(k, set, task);
        let (random, loss) = (m.random(k, set, task), m.random_loss(k, set, task));
        json!({
            "accuracy": c.and_then(|c| c.totals.accuracy()),
            "interval": c.and_then(|c| c.interval()),
            "change": c.and_then(|c| c.change()).map(|(v, i)| json!({ "value": v, "interval": i })),
            "loss": c.and_then(|c| c.totals.loss),
            "n": c.map(|c| c.totals.n),
            "random": {
                "mean": random.map(|r| r.0),
                "std": random.and_then(|r| r.1),
                "each": controls.iter().map(Totals::accuracy).collect::<Vec<_>>(),
                "loss": { "mean": loss.map(|l| l.0), "std": loss.and_then(|l| l.1), "each": controls.iter().map(|t| t.loss).collect::<Vec<_>>() },
            },
        })
    };
    let by_task =
        |of: &dyn Fn(usize) -> Value| -> Map<String, Value> { names.iter().enumerate().map(|(t, n)| (n.clone(), of(t))).collect() };
    let shares = m.plan.percents.iter().enumerate().map(|(k, percent)| {
        json!({
            "percent": percent,
            "neurons": by_task(&|t| json!(m.neurons[k][t])),
            "means": m.summary(k),
            "off": by_task(&|set| Value::Object(by_task(&|task| cell(k, set, task)))),
        })
    });
    let scaled = m.plan.factors.iter().enumerate().map(|(f, factor)| {
        let one = |set: usize, task: usize| {
            let (own, random) = m.scaled(f, set, task);
            json!({
                "accuracy": own.and_then(|c| c.totals.accuracy()),
                "loss": own.and_then(|c| c.totals.loss),
                "random": { "mean": random.map(|r| r.0), "std": random.and_then(|r| r.1) },
            })
        };
        json!({ "factor": factor, "off": by_task(&|set| Value::Object(by_task(&|task| one(set, task)))) })
    });
    json!({
        "format": "brodmann task matrix",
        "version": 1,
        "tasks": names,
        "sets": m.sets,
        "switched": m.switched,
        "controls": m.plan.controls,
        "left_out": by_task(&|t| json!(m.left_out[t])),
        "before": by_task(&|t| totals(&m.before[t])),
        "shares": shares.collect::<Vec<_>>(),
        "scaled": json!({ "percent": m.plan.percents.get(m.plan.scaled_at), "factors": scaled.collect::<Vec<_>>() }),
        "provenance": m.provenance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_task_of_any_name_has_a_plain_file() {
        assert_eq!(set_path(Path::new("r"), "SST-2: dev/1"), Path::new("r/sets/SST-2__dev_1.json"));
    }
}
