//! `brodmann sweep` and `brodmann break`

use super::{
    ablate::scan_one,
    args::{BreakArgs, ChangeArgs, Common, ControlArgs, Format, ItemArgs, SweepArgs},
    export::{beside, predictions_beside},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    ablate::{Broken, KCurve, Rule, Selection, Summary, Sweep, SweepMeasure, Totals, UnitId, predict},
    app::{Command, EvalConfig, Measured, Settings, SweepRequest},
    base::{number, stats},
    report::export::{ExportSpec, View},
    scan::MetricKind,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

pub fn run(args: SweepArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.predicts = args.predict.predict.is_some();
    if settings.predicts && args.against_k.is_some() {
        return Err(Stop::Usage("--predict is for a sweep of single units, not for --against-k; ablate predicts sets".into()));
    }
    let mut session = begin(&args.common, &args.items, &args.change, &args.controls, settings)?;
    let format = args.common.output.format;
    if let Some(selection) = &args.against_k {
        let Selection::Top { domain, .. } = selection else {
            return Err(Stop::Usage("--against-k takes a ranking, as top:arithmetic".into()));
        };
        let metric = args.metric.map_or(MetricKind::Relevance, Into::into);
        rank(&mut session, domain, metric, args.run.as_deref(), &args.common)?;
        let request = SweepRequest::AgainstK { ranking: domain.clone(), metric, percents: args.percents.clone() };
        work(&mut session, request, args.out)?;
        beside(&mut session, &args.file, shows(View::AgainstK))?;
        let curve = session.app.sweeps.against_k.as_ref().and_then(|v| v.result.as_ref()).ok_or_else(nothing)?;
        return match format {
            Format::Json => output::print_json(&json!(curve)),
            Format::Text => output::print(&curve_text(curve)),
        };
    }
    let (Some(unit), Some(domain)) = (args.unit, args.domain) else {
        return Err(Stop::Usage("a sweep needs --unit and --domain, or --against-k".into()));
    };
    let predicts = args.predict.predict.is_some();
    if predicts {
        session.app.apply(Command::Predict);
    }
    work(&mut session, SweepRequest::Units { unit, domain, layers: args.layers }, args.out)?;
    if predicts && session.app.measured.is_empty() {
        let why = session.app.prediction.not_predicted.unwrap_or("no unit has a prediction");
        return Err(Stop::Failed(vec![format!("--predict: {why}")]));
    }
    beside(&mut session, &args.file, shows(View::Sweep))?;
    predictions_beside(&mut session, &args.file, &args.predict)?;
    let view = session.app.sweeps.units.as_ref().ok_or_else(nothing)?;
    let sweep = view.result.as_ref().ok_or_else(nothing)?;
    match format {
        Format::Json => output::print_json(&units_document(sweep, view.folder.as_deref(), &session.app.measured)),
        Format::Text => output::print(&format!("{}{}", units_text(sweep, view.folder.as_deref()), agreement(&session.app.measured))),
    }
}

/// How far predictions held, in a line for each quantity.
fn agreement(points: &[Measured]) -> String {
    type Of = fn(&Summary) -> Option<f64>;
    let quantities: [(&str, Of); 2] = [("margin", |s| s.margin), ("loss", |s| s.loss)];
    let line = |(name, of): &(&str, Of)| {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().filter_map(|p| of(&p.predicted).zip(of(&p.measured))).unzip();
        let r = stats::pearson(&x, &y).map_or_else(|| "–".to_owned(), |r| format!("{r:.3}"));
        (!x.is_empty()).then(|| {
            format!("Predicted against measured changes of the {name}: r = {r} over {}\n", number::counted(x.len() as u64, "unit"))
        })
    };
    let lines: String = quantities.iter().filter_map(line).collect();
    if lines.is_empty() { lines } else { format!("{lines}{}; {}\n", predict::FORMULA, predict::OBJECTIVE) }
}

pub fn run_break(args: BreakArgs, settings: Settings) -> Result<(), Stop> {
    let mut session = begin(&args.common, &args.items, &args.change, &args.controls, settings)?;
    let metric = args.metric.map_or(MetricKind::Relevance, Into::into);
    rank(&mut session, &args.domain, metric, args.run.as_deref(), &args.common)?;
    let rule = Rule { threshold: args.threshold, penalty: args.penalty, most: args.most, ..Rule::default() };
    let request = SweepRequest::Break { domain: args.domain, metric, candidates: args.candidates, rule };
    work(&mut session, request, args.out)?;
    beside(&mut session, &args.file, shows(View::Break))?;
    let live = session.app.sweeps.broken.as_ref().and_then(|v| v.result.as_ref());
    let broken = live.and_then(|l| l.outcome.clone()).ok_or_else(nothing)?;
    match args.common.output.format {
        Format::Json => output::print_json(&json!(&*broken)),
        Format::Text => output::print(&broken_text(&broken)),
    }
}

fn shows(what: View) -> ExportSpec {
    ExportSpec { what, ..ExportSpec::default() }
}

fn nothing() -> Stop {
    Stop::Failed(vec!["the sweep ended without a result".into()])
}

/// Model, domains and settings.
fn begin(common: &Common, items: &ItemArgs, change: &ChangeArgs, controls: &ControlArgs, mut settings: Settings) -> Result<Session, Stop> {
    settings.keep_runs = false;
    let mut session = setup::session(common, settings)?;
    let config = EvalConfig {
        samples: items.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        exclude: setup::excluded(&items.exclude, &session)?,
    };
    session.app.apply(Command::SetEvalConfig { config });
    session.app.apply(Command::SetAblationMode { mode: change.mode.clone() });
    session.app.apply(Command::SetAblationAt { at: change.at.into() });
    session.app.apply(Command::SetControls { count: controls.controls });
    session.app.apply(Command::SetControlMatch { like: controls.like.into() });
    Ok(session)
}

/// A run with the domain's map: the one that is named, or one that is made now.
fn rank(session: &mut Session, domain: &str, metric: MetricKind, run: Option<&Path>, common: &Common) -> Result<(), Stop> {
    match run {
        Some(path) => setup::open_scan(session, path),
        None => scan_one(session, domain, common, &[metric]),
    }
}

fn work(session: &mut Session, request: SweepRequest, out: Option<PathBuf>) -> Result<(), Stop> {
    if let (SweepRequest::Units { .. }, Some(folder)) = (&request, &out) {
        session.kept = format!("What was measured is in {}; the same command goes on from there.", folder.display());
    } else if matches!(request, SweepRequest::Units { .. }) {
        session.kept = "What was measured is kept; the same command goes on from there.".into();
    }
    session.run(Command::Sweep { request, out })
}

fn change(sweep: &Sweep, totals: Totals, measure: SweepMeasure) -> Option<f64> {
    Some(totals.get(measure)? - sweep.baseline.get(measure)?)
}

/// Measured units, the most harmful to the loss first.
fn ranked(sweep: &Sweep) -> Vec<(UnitId, Totals)> {
    let ids = (0..sweep.n_layers).flat_map(|layer| (0..sweep.width).map(move |index| UnitId { layer, index }));
    let mut units: Vec<(UnitId, Totals)> = ids.filter_map(|id| Some((id, sweep.get(id)?))).collect();
    let key = |t: &Totals| change(sweep, *t, SweepMeasure::Loss).unwrap_or(f64::NEG_INFINITY);
    units.sort_by(|a, b| key(&b.1).total_cmp(&key(&a.1)).then(a.0.cmp(&b.0)));
    units
}

fn units_document(sweep: &Sweep, folder: Option<&Path>, points: &[Measured]) -> Value {
    let predicted: HashMap<&str, &Measured> = points.iter().map(|p| (p.label.as_str(), p)).collect();
    let unit = |(id, t): &(UnitId, Totals)| {
        let mut unit = json!({
            "unit": sweep.name(*id),
            "layer": id.layer,
            "index": id.index,
            "accuracy": t.accuracy(),
            "margin": t.margin,
            "loss": t.loss,
            "accuracy_change": change(sweep, *t, SweepMeasure::Accuracy),
            "margin_change": change(sweep, *t, SweepMeasure::Margin),
            "loss_change": change(sweep, *t, SweepMeasure::Loss),
        });
        if let Some(p) = predicted.get(sweep.name(*id).as_str()).map(|m| &m.predicted) {
            unit["predicted"] = json!({ "accuracy_change": p.acc, "margin_change": p.margin, "loss_change": p.loss });
        }
        unit
    };
    json!({
        "domain": sweep.domain,
        "unit": sweep.spec.unit,
        "mode": sweep.spec.mode,
        "at": sweep.spec.at,
        "n": sweep.baseline.n,
        "baseline": { "accuracy": sweep.baseline.accuracy(), "margin": sweep.baseline.margin, "loss": sweep.baseline.loss },
        "units": ranked(sweep).iter().map(unit).collect::<Vec<_>>(),
        "folder": folder,
        "provenance": sweep.provenance,
    })
}

const SHOWN: usize = 20;

fn signed(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), number::change)
}

fn units_text(sweep: &Sweep, folder: Option<&Path>) -> String {
    let mut layers = Table::new(["layer", "units", "mean loss change", "largest loss change", "by"]);
    for (layer, summary) in sweep.layer_summary(SweepMeasure::Loss).into_iter().enumerate().filter_map(|(l, s)| Some((l, s?))) {
        let (mean, id, most) = summary;
        let measured = (0..sweep.width).filter(|&index| sweep.get(UnitId { layer, index }).is_some()).count();
        layers.row([layer.to_string(), number::count(measured as u64), number::change(mean), number::change(most), sweep.name(id)]);
    }
    let mut top = Table::new(["unit", "accuracy", "change", "margin change", "loss change (nat/token)"]);
    for (id, t) in ranked(sweep).into_iter().take(SHOWN) {
        top.row([
            sweep.name(id),
            t.accuracy().map_or_else(|| "–".to_owned(), |a| format!("{a:.3}")),
            signed(change(sweep, t, SweepMeasure::Accuracy)),
            signed(change(sweep, t, SweepMeasure::Margin)),
            signed(change(sweep, t, SweepMeasure::Loss)),
        ]);
    }
    let accuracy = sweep.baseline.accuracy().map_or_else(String::new, |a| format!("accuracy {a:.3}, "));
    let kept = folder.map_or_else(String::new, |f| format!("Kept in {}\n", f.display()));
    format!(
        "{} of {} {}s over {} ({} items; {accuracy}loss {} with nothing switched), each {} {}\n\n{}\nThe {} that raise the loss most:\n{}\n{kept}",
        number::count(sweep.done() as u64),
        number::count(sweep.total as u64),
        sweep.spec.unit,
        sweep.domain,
        sweep.baseline.n,
        sweep.baseline.loss.map_or_else(|| "–".into(), number::sig3),
        sweep.spec.mode.words().replace("their", "its"),
        sweep.spec.at.words(),
        layers.render(),
        SHOWN.min(sweep.done()),
        top.render(),
    )
}

fn curve_text(curve: &KCurve) -> String {
    let mut t = Table::new(["top %", "neurons", "domain", "accuracy", "random sets", "loss", "loss, random sets"]);
    let dash = || "–".to_owned();
    let mut rows = |percent: String, neurons: String, scores: &[Totals], controls: &[Vec<Totals>]| {
        for (d, (name, score)) in curve.domains.iter().zip(scores).enumerate() {
            let of = |get: fn(&Totals) -> Option<f64>| controls.iter().filter_map(|c| get(c.get(d)?)).collect::<Vec<f64>>();
            let (accuracies, losses) = (of(Totals::accuracy), of(|t| t.loss));
            t.row([
                if d == 0 { percent.clone() } else { String::new() },
                if d == 0 { neurons.clone() } else { String::new() },
                name.clone(),
                score.accuracy().map_or_else(dash, |a| format!("{a:.3}")),
                stats::mean(&accuracies).map_or_else(dash, |m| number::plus_minus(m, stats::std_dev(&accuracies))),
                score.loss.map_or_else(dash, number::sig3),
                stats::mean(&losses).map_or_else(dash, number::sig3),
            ]);
        }
    };
    rows("0".into(), "0".into(), &curve.baseline, &[]);
    for p in &curve.points {
        rows(p.percent.to_string(), number::count(p.neurons as u64), &p.scores, &p.controls);
    }
    format!(
        "Top k % by {}\n\n{}\nrandom sets: mean ± standard deviation; loss: mean, nat/token; {}\n",
        curve.ranking,
        t.render(),
        curve.provenance.device
    )
}

fn broken_text(b: &Broken) -> String {
    let acc = |a: Option<f64>| a.map_or_else(|| "–".to_owned(), |a| format!("{a:.3}"));
    let mut steps = Table::new(["added", "accuracy", "damage", "damage to others", "merit"]);
    for s in &b.steps {
        let kept = if b.set.contains(s.neuron) { "" } else { " (taken back)" };
        steps.row([format!("{}{kept}", s.neuron), acc(s.accuracy), number::sig3(s.damage), number::sig3(s.others), number::sig3(s.merit)]);
    }
    let mut judged = Table::new(["domain", "n", "before", "after", "random sets", "loss before", "loss after"]);
    for j in &b.judged {
        let controls: Vec<f64> = j.controls.iter().filter_map(Totals::accuracy).collect();
        judged.row([
            j.domain.clone(),
            number::count(j.before.n as u64),
            acc(j.before.accuracy()),
            acc(j.after.accuracy()),
            stats::mean(&controls).map_or_else(|| "–".into(), |m| number::plus_minus(m, stats::std_dev(&controls))),
            j.before.loss.map_or_else(|| "–".into(), number::sig3),
            j.after.loss.map_or_else(|| "–".into(), number::sig3),
        ]);
    }
    let outcome = if b.reached {
        format!(
            "{} {} accuracy from {} to {}",
            number::counted(b.set.len() as u64, "neuron"),
            if b.set.len() == 1 { "brings" } else { "bring" },
            acc(b.accuracy_before),
            acc(b.accuracy_after)
        )
    } else {
        format!(
            "Not broken: with {} accuracy comes from {} to {}, and no candidate adds to it (or the largest size is reached)",
            number::counted(b.set.len() as u64, "neuron"),
            acc(b.accuracy_before),
            acc(b.accuracy_after)
        )
    };
    format!(
        "{}: {outcome} (threshold {:.3}) on the half that was searched, among {}\n\n{}\n{}\n\nOn the other half:\n{}\ndamage: fall of the mean margin in standard deviations of the items' margins; merit: damage - {} x mean damage to the others\n",
        b.domain,
        b.threshold,
        b.ranking,
        b.set,
        steps.render(),
        judged.render(),
        b.rule.penalty
    )
}
