//! `brodmann scan`

use super::{
    args::{Format, ScanArgs},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Settings},
    base::number,
    scan::{MetricKind, PairSeries, ScanConfig, ScanOutput},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub fn run(args: ScanArgs, settings: Settings) -> Result<(), Stop> {
    let common = &args.common;
    let mut session = setup::session(common, settings)?;
    let mut metrics: Vec<MetricKind> = args.metrics.iter().map(|&m| m.into()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    if metrics.is_empty() {
        metrics = MetricKind::ALL.to_vec();
    }
    let config = ScanConfig {
        samples: args.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        objective: args.objective.into(),
        gamma: args.gamma,
        metrics,
    };
    session.app.apply(Command::SetScanConfig { config });
    session.run(Command::StartScan { out: args.out.clone() })?;
    if let Some(path) = args.report.clone() {
        session.run(Command::WriteReport { path })?;
    }
    show(&session, common.output.format, args.report.as_deref())
}

fn show(session: &Session, format: Format, report: Option<&std::path::Path>) -> Result<(), Stop> {
    let Some(run) = session.app.library.run() else {
        return Err(Stop::Failed(vec!["the scan ended without a result".into()]));
    };
    let folder = run.path.as_ref().map(|p| p.display().to_string());
    match format {
        Format::Json => output::print_json(&document(&run.output))?,
        Format::Text => output::print(&text(&run.output))?,
    }
    if let Some(folder) = folder {
        session.remark(&format!("run folder: {folder}"));
    }
    if let Some(report) = report {
        session.remark(&format!("report: {}", report.display()));
    }
    Ok(())
}

/// The document of `--format json`.
pub fn document(out: &ScanOutput) -> Value {
    let domains: Map<String, Value> = out
        .domains
        .iter()
        .map(|d| {
            let values = json!({
                "density": d.density,
                "activated_count": d.activated_count,
                "samples": d.samples,
                "cut_samples": d.source.cut,
                "longest_tokens": d.source.longest,
                "mean_objective": d.mean_objective,
            });
            (d.name.clone(), values)
        })
        .collect();
    let pair = |p: &PairSeries| json!({ "per_layer_mean": p.per_layer_mean(), "per_layer_std": p.per_layer_std(), "scalar": p.scalar() });
    let llmdcos: Map<String, Value> = out.llmdcos.iter().map(|p| (format!("{}|{}", p.a, p.b), pair(p))).collect();
    json!({
        "domains": domains,
        "llmdcos": llmdcos,
        "timing": out.timing,
        "device": out.provenance.device,
        "provenance": out.provenance,
    })
}

/// Tables for people.
pub fn text(out: &ScanOutput) -> String {
    let mut text = format!(
        "{}: {} of {} neurons, objective {}\n\n",
        out.provenance.model,
        number::counted(out.n_layers as u64, "layer"),
        number::count(out.d_mlp as u64),
        out.provenance.objective
    );
    let mut t = Table::new(["domain", "samples", "tokens", "mean objective"]);
    for d in &out.domains {
        t.row([d.name.clone(), number::count(d.samples as u64), number::count(d.tokens as u64), number::sig3(d.mean_objective)]);
    }
    text.push_str(&t.render());
    for d in out.domains.iter().filter(|d| d.source.cut > 0) {
        text.push_str(&format!("{}: {}\n", d.name, d.source.cut_words()));
    }
    if out.domains.iter().any(|d| !d.density.is_empty()) {
        text.push_str(&format!("\nDensity: share of a layer's weights with mean |w dD/dw| above {:e}\n", out.config.gamma));
        let head = std::iter::once("layer".to_owned()).chain(out.domains.iter().map(|d| d.name.clone()));
        let mut t = Table::new(head);
        for l in 0..out.n_layers {
            let cells = out.domains.iter().map(|d| d.density.get(l).map_or("–".into(), |v| number::sig3(*v)));
            t.row(std::iter::once(l.to_string()).chain(cells));
        }
        text.push_str(&t.render());
    }
    if !out.llmdcos.is_empty() {
        let first = out.n_layers / 2;
        let last = out.n_layers.saturating_sub(3).max(first);
        let layers = if first == last { format!("layer {first}") } else { format!("layers {first} to {last}") };
        text.push_str(&format!("\nLLMDcos: cosine, mean over sample pairs and {layers}\n"));
        let mut t = Table::new(std::iter::once(String::new()).chain(out.domains.iter().map(|d| d.name.clone())));
        for a in &out.domains {
            let cells = out.domains.iter().map(|b| match out.pair(&a.name, &b.name).and_then(PairSeries::scalar) {
                Some(v) => format!("{v:.3}"),
                None => "–".into(),
            });
            t.row(std::iter::once(a.name.clone()).chain(cells));
        }
        text.push_str(&t.render());
    }
    text.push_str(&format!(
        "\n{} in all, {} samples/s, peak memory {}, {}\n",
        number::duration(Duration::from_secs_f64(out.timing.seconds.max(0.0))),
        number::sig3(out.timing.samples_per_second),
        number::bytes(out.timing.peak_rss_bytes),
        out.provenance.device
    ));
    text
}

/// The demo scanned and reported, for a machine without a display.
pub fn demo_report(settings: Settings) -> Result<(), Stop> {
    let folder = settings.data_dir.clone();
    let mut session = Session::new(settings, false);
    session.run(Command::OpenDemo)?;
    // The stored run may be there at once; what was asked for is a scan on this machine.
    if session.app.library.run().is_none_or(|r| r.path.as_deref() == Some(std::path::Path::new("demo"))) {
        session.run(Command::StartScan { out: None })?;
    }
    session.run(Command::Evaluate)?;
    let path = session.app.library.run().and_then(|r| r.path.clone()).unwrap_or(folder).join("report.html");
    session.run(Command::WriteReport { path: path.clone() })?;
    let scan = session.app.library.scan().map(text).unwrap_or_default();
    output::print(&format!("{scan}\nreport: {}", path.display()))
}
