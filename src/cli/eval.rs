//! `brodmann eval`

use super::{
    args::{EvalArgs, Format},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, EvalConfig, Settings},
    base::{atomic_file, number},
    eval::{DomainScore, Limits},
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
    if let Some(path) = &args.log_samples {
        atomic_file::write(path, samples(&session, &scores).as_bytes()).map_err(|e| Stop::Failed(vec![e.to_string()]))?;
    }
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
            let domain = session.app.library.domain(&s.domain).and_then(|d| d.scored());
            let prompt = domain.map(|d| &d.prompt);
            let values = json!({
                "acc": s.acc(),
                "acc_norm": s.acc_norm(),
                "stderr": s.stderr(),
                "n": s.n(),
                "cut_items": s.cut(),
                "longest_tokens": longest(session),
                "loss": s.loss(),
                "perplexity": s.perplexity(),
                "template": domain.map(|d| &d.template),
                "few_shot": prompt.map_or(0, |p| p.shots.count),
                "few_shot_seed": prompt.filter(|p| p.shots.count > 0).map(|p| p.shots.seed),
                "few_shot_order": prompt.filter(|p| p.shots.count > 0).map(|p| p.shots.order),
                "few_shot_from": prompt.filter(|p| p.shots.count > 0).and_then(|p| p.shots.from.as_ref()),
                "chat_template": prompt.is_some_and(|p| p.chat),
                "bos": session.app.provenance().bos,
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
    let made = |s: &DomainScore| session.app.library.domain(&s.domain)?.scored().map(|d| d.prompt.words()).filter(|w| !w.is_empty());
    let prompts: String = scores.iter().filter_map(|s| Some(format!("{}: {}\n", s.domain, made(s)?.trim_start_matches("; ")))).collect();
    let short: String = (scores.iter().filter(|s| s.cut() > 0))
        .map(|s| format!("{}: {} of {} cut to {} tokens\n", s.domain, s.cut(), number::counted(s.n() as u64, "item"), longest(session)))
        .collect();
    format!("{}\n{prompts}{short}{} on {}, BOS: {}; accuracy ± one standard error, Wilson interval\n", t.render(), p.model, p.device, p.bos)
}

/// Tokens that an item may have: what was asked for, or what the model takes where that is less.
fn longest(session: &Session) -> usize {
    let limits = Limits { max_tokens: session.app.project.eval.max_tokens, ..Limits::default() };
    session.app.library.spec().map_or(limits.max_tokens, |spec| limits.longest(spec))
}

/// A line an item. Nothing is chosen, right or wrong where there are no choices.
fn samples(session: &Session, scores: &[DomainScore]) -> String {
    let mut out = String::new();
    for s in scores {
        let domain = session.app.library.domain(&s.domain).and_then(|d| d.scored());
        let judged = s.acc().is_some();
        for score in &s.items {
            let item = domain.and_then(|d| d.items.iter().find(|i| i.line == score.line));
            let line = json!({
                "domain": s.domain,
                "line": score.line,
                "chosen": score.chosen().filter(|_| judged),
                "gold": item.and_then(|i| i.gold).filter(|_| judged),
                "log_likelihoods": score.log_likelihoods,
                "correct": judged.then_some(score.correct),
                "correct_norm": judged.then_some(score.correct_norm),
                "nll": score.nll,
                "tokens": score.n_tokens,
                "cut_tokens": score.cut,
                "examples": item.map(|i| i.shots.iter().map(|shot| shot.line).collect::<Vec<_>>()),
            });
            out.push_str(&line.to_string());
            out.push('\n');
        }
    }
    out
}
