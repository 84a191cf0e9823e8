//! `brodmann tune`

use super::{
    args::{Format, TrainArg, TuneArgs},
    output::{self, Table},
    setup,
    watch::Stop,
};
use crate::{
    ablate::set_file,
    app::{Command, Settings, TrainWhat, TuneReport, TuneRequest},
    base::number,
    tune::{Ended, OptimizerConfig, TuneConfig},
};

pub fn run(args: TuneArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let common = &args.common;
    let mut session = setup::training_session("tune", common, settings)?;
    if session.app.project.domain(&args.task).is_none() {
        let names: Vec<String> = session.app.project.domains.iter().map(|d| d.name.clone()).collect();
        return Err(Stop::Usage(format!("--task is `{}`, but the domains are {}", args.task, names.join(", "))));
    }
    let what = match &args.train {
        TrainArg::What(what) => what.clone(),
        TrainArg::File(path) => {
            let file = set_file::read_selected(path).map_err(|e| Stop::Failed(vec![e.to_string()]))?;
            TrainWhat::Neurons { neurons: file.neurons }
        }
    };
    let defaults = TuneConfig::default();
    let config = TuneConfig {
        learn: args.learn.into(),
        steps: args.steps,
        batch: args.batch,
        learning_rate: args.rate,
        optimizer: with_decay(args.optimizer.into(), args.weight_decay),
        warmup: args.warmup,
        floor: args.floor,
        clip: args.clip,
        micro_batch_tokens: args.micro_batch,
        seed: common.seed,
        max_tokens: common.max_tokens,
        evaluate_every: args.evaluate_every,
        patience: args.patience,
        ..defaults
    };
    let request = TuneRequest {
        task: args.task.clone(),
        what,
        config,
        train_items: args.train_items,
        eval_items: args.samples,
        out: args.out.clone(),
        save_model: args.save_model.clone(),
    };
    session.kept = format!("{} holds the last checkpoint; the same command goes on from there.", args.out.display());
    session.run(Command::Tune { request: Box::new(request) })?;
    let Some(report) = session.app.tuning.as_ref().and_then(|t| t.report.clone()) else {
        return Err(Stop::Failed(vec!["the tuning ended without a result".into()]));
    };
    match common.output.format {
        Format::Json => output::print_json(&serde_json::json!(*report)),
        Format::Text => output::print(&text(&report, &args)),
    }
}

fn with_decay(mut optimizer: OptimizerConfig, decay: f64) -> OptimizerConfig {
    match &mut optimizer {
        OptimizerConfig::AdamW(a) => a.weight_decay = decay,
        OptimizerConfig::Sgd(s) => s.weight_decay = decay,
    }
    optimizer
}

fn text(r: &TuneReport, args: &TuneArgs) -> String {
    let mut t = Table::new(["domain", "accuracy before", "after", "change", "loss before", "after"]);
    let dash = || "–".to_owned();
    for name in r.before.loss.keys() {
        let (b, a) = (r.before.accuracy.get(name), r.after.accuracy.get(name));
        let mark = if *name == r.task { format!("{name} (trained)") } else { name.clone() };
        t.row([
            mark,
            b.map_or_else(dash, |v| number::sig3(*v)),
            a.map_or_else(dash, |v| number::sig3(*v)),
            b.zip(a).map_or_else(dash, |(b, a)| number::change(a - b)),
            r.before.loss.get(name).map_or_else(dash, |v| number::sig3(*v)),
            r.after.loss.get(name).map_or_else(dash, |v| number::sig3(*v)),
        ]);
    }
    let mut rows = number::counted(r.train_lines.len() as u64, "row");
    if r.train_cut > 0 {
        rows.push_str(&format!(" ({} cut to what fits)", number::count(r.train_cut as u64)));
    }
    let ended = match r.ended {
        Ended::Finished => "all steps made",
        Ended::Early => "stopped early: no evaluation got better",
        Ended::Cancelled => "stopped by the user",
    };
    format!(
        "{} of {} scalars trained ({:.3} %) on {} of {}; {ended}\n{} in {}, best at step {}\n\n{}\njudged on {}; {}\noverlay: {}\n",
        number::count(r.trained as u64),
        number::count(r.parameters),
        100.0 * r.trained as f64 / r.parameters.max(1) as f64,
        rows,
        r.task,
        number::counted(r.steps as u64, "step"),
        number::duration(std::time::Duration::from_secs_f64(r.seconds.max(0.0))),
        r.best_step,
        t.render(),
        r.judged_on,
        r.provenance.device,
        args.out.join(crate::app::OVERLAY_FILE).display()
    )
}
