//! `brodmann demo`: the built-in model, domains and run.

use super::{
    args::{DemoArgs, DemoVerb, Format},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    ablate::Totals,
    app::{App, Command, EvalConfig, Settings},
    base::number,
    scan::MetricKind,
    task::TaskMatrix,
};
use serde_json::{Map, Value, json};

pub fn run(args: DemoArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    match args.verb {
        DemoVerb::Train { out, seed, steps, without, output } => {
            let mut session = Session::new(settings, output.quiet);
            session.kept = format!("The last checkpoint in {} was kept; the same command goes on from there.", out.display());
            session.run(Command::TrainDemo { out: out.clone(), seed, steps, without })?;
            match output.format {
                Format::Json => output::print_json(&json!({ "out": out, "seed": seed })),
                Format::Text => output::print(&format!("model folder: {}", out.display())),
            }
        }
        DemoVerb::Info { output } => info(Session::new(settings, output.quiet), output.format),
        DemoVerb::AblationMatrix { percent, controls, samples, output } => {
            let mut session = Session::new(settings, output.quiet);
            session.run(Command::OpenDemo)?;
            session.app.apply(Command::SetEvalConfig { config: EvalConfig { samples, ..EvalConfig::default() } });
            session.app.apply(Command::SetControls { count: controls });
            session.run(Command::AblationMatrix { metric: MetricKind::Relevance, percent })?;
            let matrix = super::neurons::proved(&session)?;
            match output.format {
                Format::Json => output::print_json(&document(matrix, &session.app, percent)),
                Format::Text => output::print(&text(matrix, &session.app, percent)),
            }
        }
    }
}

fn info(mut session: Session, format: Format) -> Result<(), Stop> {
    session.run(Command::OpenDemo)?;
    let app = &session.app;
    let Some((info, spec)) = app.library.model.as_ref().and_then(|m| m.state.ready()) else {
        return Err(Stop::Failed(vec!["the demo model could not be read".into()]));
    };
    let count = |d: Option<&std::sync::Arc<crate::data::Domain>>| d.map_or(0, |d| d.items.len());
    match format {
        Format::Json => {
            let domains: Map<String, Value> = app
                .library
                .domains
                .iter()
                .map(|d| (d.name.clone(), json!({ "validation": count(d.state.ready()), "test": count(d.test.as_ref()) })))
                .collect();
            let run = app.library.scan().map(|s| &s.provenance);
            output::print_json(&json!({ "model": info, "spec": spec, "domains": domains, "run": run }))
        }
        Format::Text => {
            let mut t = Table::new(["domain", "validation items", "test items"]);
            for d in &app.library.domains {
                t.row([d.name.clone(), count(d.state.ready()).to_string(), count(d.test.as_ref()).to_string()]);
            }
            let run = app.library.scan().map_or(String::new(), |s| format!("\nstored run: {}\n", s.provenance.command));
            output::print(&format!(
                "{}: {}, {}, {} of {} neurons, {}\n\n{}{run}",
                info.name,
                info.model_type,
                number::counted(info.n_params, "parameter"),
                number::counted(spec.n_layers as u64, "layer"),
                number::count(spec.d_mlp as u64),
                info.dtype,
                t.render()
            ))
        }
    }
}

/// The matrix in the words of the demo.
fn document(m: &TaskMatrix, app: &App, percent: f64) -> Value {
    let names = &m.plan.tasks;
    let by = |of: &dyn Fn(usize) -> Value| -> Map<String, Value> { names.iter().enumerate().map(|(i, d)| (d.clone(), of(i))).collect() };
    let cell = |t: &Totals| {
        let stderr = t.accuracy().map(|a| (a * (1.0 - a) / (t.n.max(2) - 1) as f64).sqrt());
        json!({ "acc": t.accuracy(), "stderr": stderr, "n": t.n })
    };
    let random = |set: usize, task: usize| {
        let found = m.random(0, set, task);
        json!({ "mean": found.map(|r| r.0), "std": found.and_then(|r| r.1) })
    };
    let row = |set: usize| {
        json!({
            "neurons": m.neurons[0][set],
            "after": by(&|task| m.get(0, set, task).map_or(Value::Null, |c| cell(&c.totals))),
            "control": by(&|task| random(set, task)),
        })
    };
    json!({
        "metric": MetricKind::Relevance,
        "percent": percent,
        "chosen_on": { "run": run_name(app), "samples": by(&|i| json!(scanned(app, &names[i]))) },
        "before": by(&|i| cell(&m.before[i])),
        "off": by(&row),
        "provenance": m.provenance,
    })
}

fn run_name(app: &App) -> String {
    app.library.run().map_or_else(String::new, |r| r.name.clone())
}

/// Items of a domain that the shown run scanned.
fn scanned(app: &App, domain: &str) -> usize {
    app.library.scan().and_then(|s| s.domain(domain)).map_or(0, |d| d.samples)
}

/// `64`, or `64, 12` where they differ.
fn join(counts: &[usize]) -> String {
    match counts.first() {
        Some(first) if counts.iter().all(|n| n == first) => first.to_string(),
        _ => counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn text(m: &TaskMatrix, app: &App, percent: f64) -> String {
    let names = &m.plan.tasks;
    let mut t = Table::new(std::iter::once("off".to_owned()).chain(names.iter().cloned()));
    let acc = |t: Option<&Totals>| t.and_then(Totals::accuracy).map_or("–".to_owned(), |a| format!("{:.1}", 100.0 * a));
    t.row(std::iter::once("nothing".to_owned()).chain(m.before.iter().map(|b| acc(Some(b)))));
    for (i, d) in names.iter().enumerate() {
        t.row(std::iter::once(d.clone()).chain((0..names.len()).map(|c| acc(m.get(0, i, c).map(|c| &c.totals)))));
    }
    for (i, d) in names.iter().enumerate().filter(|_| m.plan.controls > 0) {
        let cells = (0..names.len()).map(|c| match m.random(0, i, c) {
            Some((mean, std)) => number::plus_minus(100.0 * mean, std.map(|s| 100.0 * s)),
            None => "–".into(),
        });
        t.row(std::iter::once(format!("random as {d}")).chain(cells));
    }
    format!(
        "Test accuracy in %, with the top {percent} % of all neurons by {} of one domain off (rows)\n\n{}\nsets: from the {}, over {} scanned items; scored: n = {}; random: mean ± standard deviation over {} with as many neurons in each layer; {}\n",
        MetricKind::Relevance.label(),
        t.render(),
        run_name(app),
        join(&names.iter().map(|d| scanned(app, d)).collect::<Vec<_>>()),
        join(&m.before.iter().map(|b| b.n).collect::<Vec<_>>()),
        number::counted(m.plan.controls as u64, "random set"),
        m.provenance.device
    )
}
