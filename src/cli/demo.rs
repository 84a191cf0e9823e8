//! `brodmann demo`: the built-in model, domains and run.

use super::{
    args::{DemoArgs, DemoVerb, Format},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{AblationMatrix, Command, EvalConfig, Settings},
    base::{number, stats},
    eval::DomainScore,
    scan::MetricKind,
};
use serde_json::{Map, Value, json};

pub fn run(args: DemoArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    match args.verb {
        DemoVerb::Train { out, seed, output } => {
            let mut session = Session::new(settings, output.quiet);
            session.kept = format!("The last checkpoint in {} was kept; the same command goes on from there.", out.display());
            session.run(Command::TrainDemo { out: out.clone(), seed })?;
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
            let Some(matrix) = session.app.matrix.clone() else {
                return Err(Stop::Failed(vec!["the matrix ended without a result".into()]));
            };
            match output.format {
                Format::Json => output::print_json(&document(&matrix)),
                Format::Text => output::print(&text(&matrix)),
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

fn control(m: &AblationMatrix, row: usize, column: usize) -> (Option<f64>, Option<f64>) {
    let accs: Vec<f64> = m.controls[row].iter().filter_map(|seed| seed[column].acc()).collect();
    (stats::mean(&accs), stats::std_dev(&accs))
}

fn document(m: &AblationMatrix) -> Value {
    let by_domain = |scores: &[DomainScore]| -> Map<String, Value> {
        scores.iter().map(|s| (s.domain.clone(), json!({ "acc": s.acc(), "stderr": s.stderr(), "n": s.n() }))).collect()
    };
    let controls = |row: usize| -> Map<String, Value> {
        let cell = |c: usize| {
            let (mean, std) = control(m, row, c);
            json!({ "mean": mean, "std": std })
        };
        m.domains.iter().enumerate().map(|(c, d)| (d.clone(), cell(c))).collect()
    };
    let rows: Map<String, Value> = m
        .domains
        .iter()
        .enumerate()
        .map(|(i, d)| (d.clone(), json!({ "neurons": m.neurons[i], "after": by_domain(&m.after[i]), "control": controls(i) })))
        .collect();
    let samples: Map<String, Value> = m.domains.iter().zip(&m.run_samples).map(|(d, n)| (d.clone(), json!(n))).collect();
    json!({
        "metric": m.metric,
        "percent": m.percent,
        "chosen_on": { "run": m.run, "samples": samples },
        "before": by_domain(&m.before),
        "off": rows,
        "provenance": m.provenance,
    })
}

/// `64`, or `64, 12` where they differ.
fn join(counts: &[usize]) -> String {
    match counts.first() {
        Some(first) if counts.iter().all(|n| n == first) => first.to_string(),
        _ => counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn text(m: &AblationMatrix) -> String {
    let mut t = Table::new(std::iter::once("off".to_owned()).chain(m.domains.iter().cloned()));
    let acc = |s: &DomainScore| s.acc().map_or("–".to_owned(), |a| format!("{:.1}", 100.0 * a));
    t.row(std::iter::once("nothing".to_owned()).chain(m.before.iter().map(acc)));
    for (i, d) in m.domains.iter().enumerate() {
        t.row(std::iter::once(d.clone()).chain(m.after[i].iter().map(acc)));
    }
    let seeds = m.controls.first().map_or(0, Vec::len);
    if seeds > 0 {
        for (i, d) in m.domains.iter().enumerate() {
            let cells = (0..m.domains.len()).map(|c| match control(m, i, c) {
                (Some(mean), std) => number::plus_minus(100.0 * mean, std.map(|s| 100.0 * s)),
                _ => "–".into(),
            });
            t.row(std::iter::once(format!("random as {d}")).chain(cells));
        }
    }
    format!(
        "Test accuracy in %, with the top {} % of all neurons by {} of one domain off (rows)\n\n{}\nsets: from the {}, over {} scanned items; scored: n = {}; random: mean ± standard deviation over {} with as many neurons in each layer; {}\n",
        m.percent,
        m.metric.label(),
        t.render(),
        m.run,
        join(&m.run_samples),
        join(&m.before.iter().map(DomainScore::n).collect::<Vec<_>>()),
        number::counted(seeds as u64, "random set"),
        m.provenance.device
    )
}
