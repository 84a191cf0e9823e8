//! `brodmann replay`: a saved project's numbers made again and held against those it holds.

use super::{
    args::{Format, ReplayArgs},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Compared, DeviceChoice, Results, Settings, TOLERANCE, Verdict, compare, project_file},
    base::number,
};
use serde_json::json;

pub fn run(args: ReplayArgs, mut settings: Settings) -> Result<(), Stop> {
    let failed = |e: String| Stop::Failed(vec![e]);
    let stored = project_file::load_results(&args.file).map_err(|e| failed(e.to_string()))?;
    if stored.is_empty() {
        let file = args.file.display();
        return Err(failed(format!("{file} holds no numbers to compare with: open it, scan or measure, and save it again")));
    }
    (settings.keep_runs, settings.open_runs) = (false, false);
    // A run that the processor made is made again by it; one of a card wants a card.
    settings.device = match &stored.scan {
        Some(scan) if !scan.device.starts_with("cpu") => DeviceChoice::Auto,
        _ => DeviceChoice::Cpu,
    };
    let mut session = Session::new(settings, args.output.quiet);
    session.app.apply(Command::OpenProject { path: args.file.clone() });
    if let Some(missing) = session.app.missing_model.clone() {
        let Some(path) = args.model.clone() else {
            let (path, mark) = (missing.path.display(), missing.mark);
            return Err(failed(format!(
                "the project's model {} (SHA-256 {}) is not at {path}; say where it lies on this machine: --model PATH",
                mark.name, mark.sha256
            )));
        };
        session.app.apply(Command::RelocateModel { path });
    }
    session.settle()?;
    let found = recompute(&mut session, &stored)?;
    let lines = compare(&stored, &found);
    let done = match args.output.format {
        Format::Json => output::print_json(&document(&stored, &found, &lines)),
        Format::Text => output::print(&text(&stored, &found, &lines, args.all)),
    };
    done?;
    let bad = lines.iter().filter(|l| matches!(l.verdict, Verdict::Different | Verdict::Missing)).count();
    if bad > 0 {
        return Err(failed(format!(
            "{bad} of {} are not the numbers that the project holds",
            number::counted(lines.len() as u64, "array")
        )));
    }
    Ok(())
}

/// The accuracies in force first, then the run, which needs other domains switched on.
fn recompute(session: &mut Session, stored: &Results) -> Result<Results, Stop> {
    let mut found = Results::default();
    if !stored.scores.is_empty() {
        session.run(Command::Evaluate)?;
        found = session.app.results();
    }
    if let Some(scan) = &stored.scan {
        session.app.apply(Command::ClearAblation);
        let names: Vec<String> = session.app.project.domains.iter().map(|d| d.name.clone()).collect();
        for name in names {
            let on = scan.domains.contains(&name);
            session.app.apply(Command::EnableDomain { name, on });
        }
        session.app.apply(Command::SetScanConfig { config: scan.config.clone() });
        session.run(Command::StartScan { out: None })?;
        let Results { scan, arithmetic, model_sha256, .. } = session.app.results();
        found = Results { scan, arithmetic, model_sha256, ..found };
    }
    Ok(found)
}

fn count(lines: &[Compared], verdict: Verdict) -> usize {
    lines.iter().filter(|l| l.verdict == verdict).count()
}

fn document(stored: &Results, found: &Results, lines: &[Compared]) -> serde_json::Value {
    json!({
        "identical": lines.iter().all(|l| l.verdict == Verdict::Identical),
        "counts": {
            "identical": count(lines, Verdict::Identical),
            "close": count(lines, Verdict::Close),
            "different": count(lines, Verdict::Different),
            "missing": count(lines, Verdict::Missing),
        },
        "tolerance": TOLERANCE,
        "model_sha256": { "stored": stored.model_sha256, "found": found.model_sha256 },
        "arithmetic": { "stored": stored.arithmetic, "found": found.arithmetic },
        "device": {
            "stored": stored.scan.as_ref().map(|s| &s.device),
            "found": found.scan.as_ref().map(|s| &s.device),
        },
        "arrays": lines,
    })
}

fn text(stored: &Results, found: &Results, lines: &[Compared], all: bool) -> String {
    let mut table = Table::new(["array", "verdict", "distance", "stored", "found"]);
    let shown: Vec<&Compared> = lines.iter().filter(|l| all || l.verdict != Verdict::Identical).collect();
    let short = |hash: &Option<String>| hash.as_ref().map_or_else(|| "–".to_owned(), |h| h.chars().take(12).collect());
    for l in &shown {
        let verdict = match l.verdict {
            Verdict::Identical => "identical",
            Verdict::Close => "close",
            Verdict::Different => "different",
            Verdict::Missing => "missing",
        };
        let distance = l.distance.map_or_else(|| "–".to_owned(), |d| if d == 0.0 { "0".into() } else { number::sig3(d) });
        table.row([l.what.clone(), verdict.to_owned(), distance, short(&l.stored), short(&l.found)]);
    }
    let mut out = if shown.is_empty() { String::new() } else { format!("{}\n", table.render_left()) };
    let arrays = number::counted(lines.len() as u64, "array");
    let identical = count(lines, Verdict::Identical);
    if identical == lines.len() {
        out.push_str(&format!("All {arrays} are identical to the last bit.\n"));
    } else {
        out.push_str(&format!("{identical} of {arrays} are identical to the last bit.\n"));
    }
    if count(lines, Verdict::Close) > 0 {
        out.push_str(&format!(
            "{} are within {TOLERANCE} of norm, sum and largest value: they were computed by other arithmetic ({} then, {} now).\n",
            number::count(count(lines, Verdict::Close) as u64),
            arithmetic(stored),
            arithmetic(found)
        ));
    }
    if stored.model_sha256 != found.model_sha256 {
        out.push_str(&format!("The model is another: SHA-256 {} then, {} now.\n", stored.model_sha256, found.model_sha256));
    }
    out
}

fn arithmetic(r: &Results) -> String {
    let device = r.scan.as_ref().map_or(String::new(), |s| format!(", {}", s.device));
    format!("{}{device}", r.arithmetic)
}
