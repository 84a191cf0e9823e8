//! `brodmann similarity`

use super::{
    args::{Format, SimilarityArgs},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Settings},
    base::number,
    scan::{SampleSimilarity, ScanConfig, store::read_samples},
};
use serde_json::{Map, Value, json};
use std::{path::Path, time::Duration};

pub fn run(args: SimilarityArgs, settings: Settings) -> Result<(), Stop> {
    let common = &args.common;
    let mut session = setup::session(common, settings)?;
    let layers = layers(&args, &session)?;
    let config = ScanConfig {
        samples: args.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        objective: args.objective.into(),
        ..ScanConfig::default()
    };
    session.app.apply(Command::SetScanConfig { config });
    let out = args.out.clone();
    session.run(Command::SampleSimilarity { layers, samples: args.samples, domains: Vec::new(), out: Some(out.clone()) })?;
    // What is told is what the file holds.
    let made = read_samples(&out).map_err(|e| Stop::Failed(vec![e.to_string()]))?;
    match common.output.format {
        Format::Json => output::print_json(&document(&made, &out)),
        Format::Text => output::print(&text(&made, &out)),
    }
}

/// The layers named, or all of the model.
fn layers(args: &SimilarityArgs, session: &Session) -> Result<Vec<usize>, Stop> {
    let Some(spec) = session.app.library.spec() else {
        return Err(Stop::Failed(vec![format!("{}: the model could not be opened", args.common.model.display())]));
    };
    let all = || (0..spec.n_layers).collect();
    Ok(if args.all_layers { all() } else { args.layer.iter().flat_map(|r| r.0..=r.1).collect() })
}

fn document(s: &SampleSimilarity, out: &Path) -> Value {
    let domains: Vec<Value> = s
        .domains
        .iter()
        .map(|d| json!({ "name": d.name, "samples": d.tokens.len(), "tokens": d.tokens.iter().sum::<usize>(), "lines": d.source.sample_lines }))
        .collect();
    let layers: Map<String, Value> = s
        .layers
        .keys()
        .map(|&layer| {
            let means = s.block_means(layer);
            let n = s.domains.len();
            let pairs = (0..n).flat_map(|a| (a..n).map(move |b| (a, b)));
            let blocks: Map<String, Value> =
                pairs.map(|(a, b)| (format!("{}|{}", s.domains[a].name, s.domains[b].name), json!(means[a * n + b]))).collect();
            (layer.to_string(), json!({ "tensor": format!("llmdcos/layer_{layer}"), "block_means": blocks }))
        })
        .collect();
    json!({
        "out": out,
        "samples": s.n(),
        "domains": domains,
        "layers": layers,
        "timing": s.timing,
        "device": s.provenance.device,
        "provenance": s.provenance,
    })
}

fn text(s: &SampleSimilarity, out: &Path) -> String {
    let mut text = format!(
        "{}: LLMDcos of all pairs of {}, objective {}\n",
        s.provenance.model,
        number::counted(s.n() as u64, "sample"),
        s.provenance.objective
    );
    let n = s.domains.len();
    for &layer in s.layers.keys() {
        text.push_str(&format!("\nLayer {layer}: mean over the pairs of samples of two domains\n"));
        let means = s.block_means(layer);
        let mut t = Table::new(std::iter::once(String::new()).chain(s.domains.iter().map(|d| d.name.clone())));
        for (a, d) in s.domains.iter().enumerate() {
            let cells = (0..n).map(|b| means[a * n + b].map_or("–".into(), |v| format!("{v:.3}")));
            t.row(std::iter::once(d.name.clone()).chain(cells));
        }
        text.push_str(&t.render());
    }
    text.push_str(&format!(
        "\n{} in all, peak memory {}, {}\n{}\n",
        number::duration(Duration::from_secs_f64(s.timing.seconds.max(0.0))),
        number::bytes(s.timing.peak_rss_bytes),
        s.provenance.device,
        out.display()
    ));
    text
}
