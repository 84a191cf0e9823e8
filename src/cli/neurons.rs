//! `brodmann neurons` and `brodmann prove`

use super::{
    args::{Common, Format, NeuronsArgs, ProveArgs},
    export::beside,
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    ablate::Totals,
    app::{
        Command, CurveRequest, EvalConfig, FindRequest, FindView, ProveRequest, SetsFrom, Settings,
        tasks::{find_document, prove_document},
    },
    base::number,
    report::export::{ExportSpec, View},
    scan::MetricKind,
    task::{self, TaskMatrix, matrix::Cell},
};

pub fn run(args: NeuronsArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let common = &args.common;
    let mut session = setup::session(common, settings)?;
    session.app.apply(Command::SetAblationMode { mode: args.change.mode.clone() });
    session.app.apply(Command::SetAblationAt { at: args.change.at.into() });
    scoring(&mut session, common, None, Default::default());
    let curve =
        (!args.no_curve).then(|| CurveRequest { percents: args.percents.clone(), controls: args.controls, samples: args.curve_samples });
    let request = FindRequest { config: args.find.config(common, args.percent), tasks: Vec::new(), curve };
    let view = find(&mut session, request, args.out)?;
    beside(
        &mut session,
        &args.file,
        ExportSpec { what: View::TaskNeurons, top_percent: view.request.config.percent, ..ExportSpec::default() },
    )?;
    match common.output.format {
        Format::Json => output::print_json(&find_document(&view)),
        Format::Text => output::print(&text(&view)),
    }
}

pub fn run_prove(args: ProveArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let common = &args.common;
    let mut session = setup::session(common, settings)?;
    session.app.apply(Command::SetAblationMode { mode: args.change.mode.clone() });
    session.app.apply(Command::SetAblationAt { at: args.change.at.into() });
    session.app.apply(Command::SetControls { count: args.controls.controls });
    session.app.apply(Command::SetControlMatch { like: args.controls.like.into() });
    let exclude = setup::excluded(&args.exclude, &session)?;
    scoring(&mut session, common, args.questions, exclude);
    let sets = match args.run {
        Some(path) => {
            session.run(Command::OpenRun { path })?;
            SetsFrom::Run { metric: MetricKind::Relevance, ranking: args.find.ranking.into() }
        }
        None => {
            find(&mut session, FindRequest { config: args.find.config(common, 10.0), ..FindRequest::default() }, None)?;
            SetsFrom::Found
        }
    };
    let request = ProveRequest { sets, percents: args.percents, factors: args.factors, scaled_percent: args.scaled_percent, samples: None };
    session.kept = "What was measured is kept; the same command goes on from there.".into();
    session.run(Command::ProveTasks { request: Box::new(request), out: args.out })?;
    let matrix = proved(&session)?;
    match common.output.format {
        Format::Json => output::print_json(&prove_document(matrix)),
        Format::Text => output::print(&matrix_text(matrix)),
    }
}

/// Which items are scored, and how.
fn scoring(
    session: &mut Session,
    common: &Common,
    samples: Option<usize>,
    exclude: std::collections::BTreeMap<String, std::collections::BTreeSet<usize>>,
) {
    let config = EvalConfig { samples, seed: common.seed, order: common.order.into(), max_tokens: common.max_tokens, exclude };
    session.app.apply(Command::SetEvalConfig { config });
}

fn find(session: &mut Session, request: FindRequest, out: Option<std::path::PathBuf>) -> Result<FindView, Stop> {
    session.run(Command::FindTaskNeurons { request: Box::new(request), out })?;
    session.app.tasks.find.clone().ok_or_else(|| Stop::Failed(vec!["the search ended without a result".into()]))
}

/// The matrix that was measured last.
///
/// # Errors
/// When there is none.
pub(super) fn proved(session: &Session) -> Result<&TaskMatrix, Stop> {
    let matrix = session.app.tasks.prove.as_ref().and_then(|v| v.result.as_ref());
    matrix.ok_or_else(|| Stop::Failed(vec!["the matrix ended without a result".into()]))
}

fn text(view: &FindView) -> String {
    let config = &view.request.config;
    let (percent, ranking) = (config.percent, config.ranking);
    let dash = || "–".to_owned();
    let mut t = Table::new(["task", "samples", "loss", "neurons", "layers (first to last)", "stability", "by chance", "suggested k"]);
    for task in &view.tasks {
        let set = task.set(percent, ranking);
        let layers: Vec<String> = task.by_layer(&set).iter().map(ToString::to_string).collect();
        let stable = task.stability_near(percent);
        let knee = view.curve(&task.name).map(|c| match c.knee {
            None => "none: no bend, or no fall beyond chance".to_owned(),
            Some(k) if c.bends_at_smallest() => format!("{} %, the least measured", k.percent),
            Some(k) => format!("{} %", k.percent),
        });
        t.row([
            task.name.clone(),
            number::count(task.samples as u64),
            number::sig3(task.mean_loss),
            number::count(set.len() as u64),
            layers.join(" "),
            stable.map_or_else(dash, |s| format!("{:.2} ({:.2} to {:.2})", s.mean, s.low, s.high)),
            stable.map_or_else(dash, |s| format!("{:.2}", s.chance)),
            knee.unwrap_or_else(dash),
        ]);
    }
    let mut out = format!("{} in {}\n\n{}", config.words(percent), view.provenance.model, t.render());
    let draws = view.tasks.iter().map(|t| t.draws).max().unwrap_or(0);
    if draws > 0 {
        out += &format!(
            "\nstability: Jaccard of the set and those of {}, mean (95 % of them); loss: mean, nat; suggested k: where accuracy against k bends\n",
            number::counted(draws as u64, "bootstrap resample")
        );
    }
    for task in &view.tasks {
        if let Some(c) = task.completeness {
            out += &format!(
                "{}: the integrals of all neurons add up to {}, the loss with every neuron less that without any is {} ({:.2} % missed)\n",
                task.name,
                number::change(c.integral),
                number::change(c.open - c.shut),
                100.0 * c.error()
            );
        }
        if task.columns.is_some() {
            let columns = task.columns_of(percent, ranking);
            let layers: Vec<String> = (0..task.relevance.rows()).map(|l| columns.layer(l).count().to_string()).collect();
            out += &format!(
                "{}: {} of the same share, by layer {}\n",
                task.name,
                number::counted(columns.len() as u64, "output coordinate"),
                layers.join(" ")
            );
        }
    }
    for curve in &view.curves {
        let word = if curve.has_accuracy() { "accuracy" } else { "minus the loss" };
        let start = curve.baseline.accuracy().or_else(|| curve.baseline.loss.map(|l| -l)).unwrap_or(f64::NAN);
        let random = curve.random();
        let points: Vec<String> = (curve.values().iter())
            .map(|(k, v)| {
                let beside = random.iter().find(|r| r.0 == *k).map_or_else(String::new, |r| format!(" [random {:.3}]", r.1));
                format!("{k} %: {v:.3}{beside}")
            })
            .collect();
        out += &format!("{}, {word} with its own top k % off, {}: nothing off {start:.3}, {}\n", curve.task, curve.rows, points.join(", "));
    }
    if view.tasks.len() > 1 {
        let tops = task::overlap(&view.tasks, percent, ranking);
        let mut t = Table::new(std::iter::once("overlap (Jaccard)".to_owned()).chain(tops.names.iter().cloned()));
        let n = tops.names.len();
        for (i, name) in tops.names.iter().enumerate() {
            let cells = (0..n).map(|j| tops.jaccard[i * n + j].map_or_else(dash, |v| format!("{v:.3}")));
            t.row(std::iter::once(name.clone()).chain(cells));
        }
        out += &format!("\n{}", t.render());
    }
    if let Some(folder) = &view.folder {
        out += &format!("\nwritten: {} (sets below it)\n", folder.display());
    }
    out + &format!("\n{}\n", view.provenance.device)
}

/// Every share's matrix in percent, and the scale curves.
fn matrix_text(m: &TaskMatrix) -> String {
    let names = &m.plan.tasks;
    let dash = || "–".to_owned();
    let share = |v: Option<f64>| v.map_or_else(dash, |a| format!("{:.1}", 100.0 * a));
    // Tasks without choices have no accuracy.
    let shown = |t: Option<&Totals>| {
        let loss = || t.and_then(|t| t.loss).map_or_else(dash, |l| format!("{} nat", number::sig3(l)));
        t.and_then(Totals::accuracy).map_or_else(loss, |a| format!("{:.1}", 100.0 * a))
    };
    let mut out = format!("{}, {}, in {}\n", m.sets, m.switched, m.provenance.model);
    for (k, percent) in m.plan.percents.iter().enumerate() {
        let mut t =
            Table::new(std::iter::once(format!("k = {percent} %: accuracy in % (loss without choices)")).chain(names.iter().cloned()));
        t.row(std::iter::once("nothing off".to_owned()).chain(m.before.iter().map(|b| shown(Some(b)))));
        for (set, name) in names.iter().enumerate() {
            let cell = |task: usize| {
                let c: Option<&Cell> = m.get(k, set, task);
                let half = c.and_then(Cell::interval).map(|(lo, hi)| 100.0 * (hi - lo) / 2.0);
                let value = shown(c.map(|c| &c.totals));
                half.map_or_else(|| value.clone(), |h| format!("{value} ± {h:.1}"))
            };
            t.row(std::iter::once(format!("neurons of {name}")).chain((0..names.len()).map(cell)));
        }
        for (set, name) in names.iter().enumerate().filter(|_| m.plan.controls > 0) {
            let cell = |task: usize| {
                let loss = || m.random_loss(k, set, task).map_or_else(dash, |(l, sd)| format!("{} nat", number::plus_minus(l, sd)));
                m.random(k, set, task).map_or_else(loss, |(v, sd)| number::plus_minus(100.0 * v, sd.map(|s| 100.0 * s)))
            };
            t.row(std::iter::once(format!("random as {name}")).chain((0..names.len()).map(cell)));
        }
        out += &format!("\n{}", t.render());
        if let Some(s) = m.summary(k) {
            out += &format!(
                "mean over tasks: {} with nothing off, {} with random neurons off, {} with another task's, {} with the task's own\n",
                share(Some(s.before)),
                share(s.random),
                share(s.other),
                share(Some(s.own))
            );
        }
    }
    if !m.plan.factors.is_empty() {
        let at = m.plan.percents.get(m.plan.scaled_at).copied().unwrap_or_default();
        let mut t = Table::new(std::iter::once(format!("own top {at} % times, accuracy %")).chain(names.iter().cloned()));
        for (f, factor) in m.plan.factors.iter().enumerate() {
            t.row(std::iter::once(factor.to_string()).chain((0..names.len()).map(|task| {
                let (own, random) = m.scaled(f, task, task);
                let beside = random.map_or_else(String::new, |r| format!(" [random {:.1}]", 100.0 * r.0));
                format!("{}{beside}", share(own.and_then(|c| c.totals.accuracy())))
            })));
        }
        out += &format!("\n{}", t.render());
    }
    let scored: Vec<String> = m.before.iter().map(|b| b.n.to_string()).collect();
    let left: usize = m.left_out.iter().sum();
    out + &format!(
        "\nrows: whose neurons are off; ±: half of Wilson's 95 % interval, of random sets the standard deviation over {}; scored: n = {}{}; {}\n",
        number::counted(m.plan.controls as u64, "set"),
        scored.join(", "),
        if left > 0 { format!(", {} that chose the neurons left out", number::counted(left as u64, "row")) } else { String::new() },
        m.provenance.device
    )
}
