//! `brodmann ablate`

use super::{
    args::{AblateArgs, Common, Format, MatchArg},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    ablate::{AblationReport, DomainAblation, Selection, Summary, predict},
    app::{Command, EvalConfig, Measured, Origin, Settings},
    base::number,
    report::export::{ExportSpec, View},
    scan::{MetricKind, ScanConfig},
};
use serde_json::{Map, Value, json};

pub fn run(args: AblateArgs, mut settings: Settings) -> Result<(), Stop> {
    let common = &args.common;
    settings.keep_runs = false;
    settings.predicts = args.predict.predict.is_some();
    let mut session = setup::session(common, settings)?;
    let config = EvalConfig {
        samples: args.items.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        exclude: setup::excluded(&args.items.exclude, &session)?,
    };
    session.app.apply(Command::SetEvalConfig { config });
    session.app.apply(Command::SetControls { count: args.controls.controls });
    session.app.apply(Command::SetAblationMode { mode: args.change.mode.clone() });
    session.app.apply(Command::SetAblationAt { at: args.change.at.into() });
    session.app.apply(Command::SetControlMatch { like: args.controls.like.into() });
    if let Some(path) = args.run.clone() {
        session.run(Command::OpenRun { path })?;
    }
    match &args.neurons {
        Selection::Places { neurons, heads } => {
            for &head in heads {
                session.app.apply(Command::ToggleHead { head });
            }
            if !neurons.is_empty() {
                let set = Command::AddSet {
                    name: "--neurons".into(),
                    neurons: neurons.clone(),
                    source: "command line".into(),
                    chosen_on: vec![],
                };
                session.app.apply(set);
            }
        }
        Selection::File(path) => session.app.apply(Command::AddSetFile { path: path.clone() }),
        Selection::Formula(formula) => {
            let domains: Vec<String> = formula.domains().into_iter().collect();
            if args.run.is_none() && !domains.is_empty() {
                let mut metrics = vec![MetricKind::Relevance];
                metrics.extend(MetricKind::ALL.into_iter().filter(|m| formula.metrics().contains(m.info().id)));
                if matches!(args.controls.like, MatchArg::Scale) {
                    metrics.push(MetricKind::MeanAbsActivation);
                }
                metrics.sort_unstable();
                metrics.dedup();
                scan_only(&mut session, &domains, common, &metrics)?;
            }
            let formula = formula.text().to_owned();
            session.app.apply(Command::AddFormula { name: "--neurons".into(), formula, on: true });
        }
        Selection::Top { domain, percent } => {
            if args.run.is_none() {
                let mut metrics = vec![MetricKind::Relevance];
                if matches!(args.controls.like, MatchArg::Scale) {
                    metrics.push(MetricKind::MeanAbsActivation);
                }
                scan_one(&mut session, domain, common, &metrics)?;
            }
            session.app.apply(Command::AddTopSet { domain: domain.clone(), metric: MetricKind::Relevance, percent: *percent });
        }
    }
    session.settle()?;
    let Some(report) = session.app.ablation_report() else {
        return Err(Stop::Failed(vec!["the ablation ended without a result".into()]));
    };
    super::export::beside(&mut session, &args.file, ExportSpec { what: View::Ablation, ..ExportSpec::default() })?;
    super::export::predictions_beside(&mut session, &args.file, &args.predict)?;
    let predicted: Vec<&Measured> = session.app.measured.iter().filter(|m| m.origin == Origin::Toggle).collect();
    if args.predict.predict.is_some() && predicted.is_empty() {
        let why = session.app.prediction.not_predicted.unwrap_or("no domain has a prediction");
        return Err(Stop::Failed(vec![format!("--predict: {why}")]));
    }
    match common.output.format {
        Format::Json => output::print_json(&document(&session, &report)),
        Format::Text => output::print(&format!("{}{}", text(&report), predicted_text(&predicted))),
    }
}

/// Maps of one domain, measured here and now.
pub(super) fn scan_one(session: &mut Session, domain: &str, common: &Common, metrics: &[MetricKind]) -> Result<(), Stop> {
    scan_only(session, &[domain.to_owned()], common, metrics)
}

/// Maps of these domains, measured here and now.
fn scan_only(session: &mut Session, domains: &[String], common: &Common, metrics: &[MetricKind]) -> Result<(), Stop> {
    let names: Vec<String> = session.app.project.domains.iter().map(|d| d.name.clone()).collect();
    if let Some(domain) = domains.iter().find(|d| !names.contains(d)) {
        return Err(Stop::Usage(format!("neurons are to be ranked by `{domain}`, but the domains are {}", names.join(", "))));
    }
    let config = ScanConfig {
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        metrics: metrics.to_vec(),
        ..ScanConfig::default()
    };
    session.app.apply(Command::SetScanConfig { config });
    for name in names.iter().filter(|n| !domains.contains(n)) {
        session.app.apply(Command::EnableDomain { name: name.clone(), on: false });
    }
    session.run(Command::StartScan { out: None })?;
    for name in names {
        session.app.apply(Command::EnableDomain { name, on: true });
    }
    Ok(())
}

fn document(session: &Session, report: &AblationReport) -> Value {
    let of = |name: &str| session.app.measured.iter().find(|m| m.origin == Origin::Toggle && m.domain == name);
    let domains: Map<String, Value> = report.domains.iter().map(|d| (d.name.clone(), domain(d, of(&d.name)))).collect();
    json!({
        "domains": domains,
        "neurons": report.neurons,
        "heads": report.heads,
        "mode": report.mode,
        "at": report.at,
        "sets": session.app.project.sets.iter().map(|s| json!({ "name": s.name, "source": s.source, "neurons": s.neurons })).collect::<Vec<_>>(),
        "device": report.provenance.device,
        "provenance": report.provenance,
    })
}

fn domain(d: &DomainAblation, predicted: Option<&Measured>) -> Value {
    let mut all = json!({
        "before": d.before.acc(),
        "after": d.after.acc(),
        "control_mean": d.control_mean(),
        "control_std": d.control_std(),
        "n": d.after.n(),
        "left_out": d.left_out,
        "chosen_on": d.chosen_on,
        "before_interval": d.before.acc_interval(),
        "after_interval": d.after.acc_interval(),
        "controls": d.controls.iter().map(|c| c.acc()).collect::<Vec<_>>(),
        "before_loss": d.before.loss(),
        "after_loss": d.after.loss(),
        "control_loss_mean": d.control_loss().0,
        "control_loss_std": d.control_loss().1,
        "p_value": d.p_value(),
        "accuracy_change": d.accuracy_change(),
        "loss_change": d.loss_change(),
        "accuracy_beyond_control": d.accuracy_beyond_control(),
        "loss_beyond_control": d.loss_beyond_control(),
    });
    if let Some(m) = predicted {
        let summary = |s: &Summary| json!({ "accuracy_change": s.acc, "margin_change": s.margin, "loss_change": s.loss });
        all["predicted"] = summary(&m.predicted);
        all["predicted"]["n"] = m.n.into();
        all["predicted"]["measured"] = summary(&m.measured);
        all["predicted"]["formula"] = format!("{}; {}", predict::FORMULA, predict::OBJECTIVE).into();
    }
    all
}

/// Predicted beside measured changes, a line for each domain; nothing where nothing was predicted.
fn predicted_text(all: &[&Measured]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut t =
        Table::new(["domain", "n", "accuracy: predicted", "measured", "margin: predicted", "measured", "loss: predicted", "measured"]);
    let signed = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), number::change);
    for m in all {
        let (p, q) = (&m.predicted, &m.measured);
        t.row([
            m.domain.clone(),
            number::count(m.n as u64),
            signed(p.acc),
            signed(q.acc),
            signed(p.margin),
            signed(q.margin),
            signed(p.loss),
            signed(q.loss),
        ]);
    }
    format!("\n{}changes (margin: nat, loss: nat/token); {}; {}\n", t.render(), predict::FORMULA, predict::OBJECTIVE)
}

/// `0.125`, `< 0.001`
fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

fn text(report: &AblationReport) -> String {
    let mut t = Table::new([
        "domain",
        "n",
        "before",
        "after",
        "change [95 %]",
        "p",
        "random control",
        "p beyond it",
        "loss before",
        "loss after",
        "loss, control",
    ]);
    let dash = || "–".to_owned();
    for d in &report.domains {
        t.row([
            d.name.clone(),
            number::count(d.after.n() as u64),
            d.before.acc().map_or_else(dash, |a| number::plus_minus(a, d.before.stderr())),
            d.after.acc().map_or_else(dash, |a| number::plus_minus(a, d.after.stderr())),
            d.accuracy_change().map_or_else(dash, |c| format!("{} [{:.2}, {:.2}]", number::change(c.value), c.low, c.high)),
            d.p_value().map_or_else(dash, p_text),
            d.control_mean().map_or_else(dash, |m| number::plus_minus(m, d.control_std())),
            d.accuracy_beyond_control().map_or_else(dash, |b| p_text(b.p)),
            d.before.loss().map_or_else(dash, number::sig3),
            d.after.loss().map_or_else(dash, number::sig3),
            d.control_loss().0.map_or_else(dash, number::sig3),
        ]);
    }
    let mut what = Vec::new();
    if report.neurons > 0 {
        what.push(number::counted(report.neurons as u64, "neuron"));
    }
    if report.heads > 0 {
        what.push(number::counted(report.heads as u64, "head"));
    }
    let seeds = report.domains.iter().map(|d| d.controls.len()).max().unwrap_or(0);
    let mut held = String::new();
    for d in &report.domains {
        if d.left_out > 0 {
            held.push_str(&format!(
                "{}: {} that the neurons were chosen on, or that --exclude names, left out\n",
                d.name,
                rows(d.left_out)
            ));
        }
        if d.chosen_on > 0 {
            held.push_str(&format!(
                "{}: {} that the neurons were chosen on are scored too; too few others are left\n",
                d.name,
                rows(d.chosen_on)
            ));
        }
    }
    format!(
        "{} changed ({}, {}) in {}\n\n{}{held}\nbefore, after: ± one standard error; change: paired 95 % interval (Newcombe); p: McNemar, exact; control: mean ± standard \
         deviation over {}; p beyond it: against their spread; loss: mean, nat/token; {}\n",
        what.join(" and "),
        report.mode.words(),
        report.at.words(),
        report.provenance.model,
        t.render(),
        number::counted(seeds as u64, "random set"),
        report.provenance.device
    )
}

fn rows(n: usize) -> String {
    number::counted(n as u64, "row")
}
