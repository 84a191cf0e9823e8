//! `brodmann replay`: a saved project's numbers made again and held against those it holds.

use super::{
    args::{Format, ReplayArgs},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Compared, ReplayReport, Results, Settings, TOLERANCE, Verdict, verdict_words},
    base::number,
};
use serde_json::json;

pub fn run(args: ReplayArgs, settings: Settings) -> Result<(), Stop> {
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::Replay { path: Some(args.file.clone()), model: args.model.clone() })?;
    let Some(report) = session.app.replay.as_ref().and_then(|r| r.report.clone()) else {
        return Err(Stop::Failed(vec!["the replay ended without a result".into()]));
    };
    let done = match args.output.format {
        Format::Json => output::print_json(&document(&report)),
        Format::Text => output::print(&text(&report, args.all)),
    };
    done?;
    if report.bad() > 0 {
        return Err(Stop::Failed(vec![format!(
            "{} of {} are not the numbers that the project holds",
            report.bad(),
            number::counted(report.lines.len() as u64, "array")
        )]));
    }
    Ok(())
}

fn document(r: &ReplayReport) -> serde_json::Value {
    json!({
        "identical": r.count(Verdict::Identical) == r.lines.len(),
        "counts": {
            "identical": r.count(Verdict::Identical),
            "close": r.count(Verdict::Close),
            "different": r.count(Verdict::Different),
            "missing": r.count(Verdict::Missing),
        },
        "tolerance": TOLERANCE,
        "model_sha256": { "stored": r.stored.model_sha256, "found": r.found.model_sha256 },
        "arithmetic": { "stored": r.stored.arithmetic, "found": r.found.arithmetic },
        "device": {
            "stored": r.stored.scan.as_ref().map(|s| &s.device),
            "found": r.found.scan.as_ref().map(|s| &s.device),
        },
        "arrays": r.lines,
    })
}

fn text(r: &ReplayReport, all: bool) -> String {
    let mut table = Table::new(["array", "verdict", "distance", "stored", "found"]);
    let shown: Vec<&Compared> = r.lines.iter().filter(|l| all || l.verdict != Verdict::Identical).collect();
    let short = |hash: &Option<String>| hash.as_ref().map_or_else(|| "–".to_owned(), |h| h.chars().take(12).collect());
    for l in &shown {
        let distance = l.distance.map_or_else(|| "–".to_owned(), |d| if d == 0.0 { "0".into() } else { number::sig3(d) });
        table.row([l.what.clone(), l.verdict.word().to_owned(), distance, short(&l.stored), short(&l.found)]);
    }
    let mut out = if shown.is_empty() { String::new() } else { format!("{}\n", table.render_left()) };
    out.push_str(&format!("{}\n", verdict_words(r)));
    let close = r.count(Verdict::Close);
    if close > 0 {
        out.push_str(&format!(
            "{} are within {TOLERANCE} of norm, sum and largest value: they were computed by other arithmetic ({} then, {} now).\n",
            number::count(close as u64),
            arithmetic(&r.stored),
            arithmetic(&r.found)
        ));
    }
    if r.stored.model_sha256 != r.found.model_sha256 {
        out.push_str(&format!("The model is another: SHA-256 {} then, {} now.\n", r.stored.model_sha256, r.found.model_sha256));
    }
    out
}

fn arithmetic(r: &Results) -> String {
    let device = r.scan.as_ref().map_or(String::new(), |s| format!(", {}", s.device));
    format!("{}{device}", r.arithmetic)
}
