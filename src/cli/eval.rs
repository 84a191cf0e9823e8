//! `brodmann eval`

use super::{
    args::{EvalArgs, Format},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, EvalConfig, Settings},
    base::number,
    eval::DomainScore,
};
use serde_json::{Map, Value, json};

pub fn run(args: EvalArgs, settings: Settings) -> Result<(), Stop> {
    let common = &args.common;
    let mut session = setup::session(common, settings)?;
    let config = EvalConfig {
        samples: args.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        exclude: setup::excluded(&args.exclude, &session)?,
    };
    session.app.apply(Command::SetEvalConfig { config });
    session.run(Command::Evaluate)?;
    let scores = in_order(&session)?;
    match common.output.format {
        Format::Json => output::print_json(&document(&session, &scores)),
        Format::Text => output::print(&text(&session, &scores)),
    }
}

/// Scores with nothing off, in the order of the domains.
fn in_order(session: &Session) -> Result<Vec<DomainScore>, Stop> {
    let mut scores = Vec::new();
    for d in session.app.project.enabled() {
        match session.app.ablation.before.get(&d.name) {
            Some(score) => scores.push(score.clone()),
            None => return Err(Stop::Failed(vec![format!("{} was not scored", d.name)])),
        }
    }
    Ok(scores)
}

fn document(session: &Session, scores: &[DomainScore]) -> Value {
    let domains: Map<String, Value> = scores
        .iter()
        .map(|s| {
            let values = json!({
                "acc": s.acc(),
                "acc_norm": s.acc_norm(),
                "stderr": s.stderr(),
                "n": s.n(),
                "loss": s.loss(),
                "perplexity": s.perplexity(),
            });
            (s.domain.clone(), values)
        })
        .collect();
    let provenance = session.app.provenance();
    json!({ "domains": domains, "device": provenance.device, "provenance": provenance })
}

fn text(session: &Session, scores: &[DomainScore]) -> String {
    let mut t = Table::new(["domain", "n", "accuracy", "95 % interval", "length-normalised", "loss (nat/token)", "perplexity"]);
    let dash = || "–".to_owned();
    for s in scores {
        t.row([
            s.domain.clone(),
            number::count(s.n() as u64),
            s.acc().map_or_else(dash, |a| number::plus_minus(a, s.stderr())),
            s.acc_interval().map_or_else(dash, |(lo, hi)| format!("{lo:.3} to {hi:.3}")),
            s.acc_norm().map_or_else(dash, |a| format!("{a:.3}")),
            s.loss().map_or_else(dash, number::sig3),
            s.perplexity().map_or_else(dash, number::sig3),
        ]);
    }
    let p = session.app.provenance();
    format!("{}\n{} on {}; accuracy ± one standard error, Wilson interval\n", t.render(), p.model, p.device)
}
