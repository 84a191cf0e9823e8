//! `brodmann inspect`

use super::{
    args::{Format, InspectArgs},
    export::beside,
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{
        Command, IndexEntry, IndexState, NeuronDetails, Reading, Settings, Word,
        inspect::{HeadReading, Strip, Written},
    },
    base::{Head, Neuron, number, number::sig3, visible},
    inspect::{ACTIVATION_FORMULA, HeadFacts, Neighbour, Neighbours, NeuronFacts, Peak, WEIGHT_FORMULA},
    report::export::{ExportSpec, View},
    scan::ScanConfig,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub fn run(args: InspectArgs, mut settings: Settings) -> Result<(), Stop> {
    let common = &args.common;
    settings.keep_runs = false;
    let mut session = if args.no_index { setup::model_session(common, settings) } else { setup::session(common, settings) }?;
    let spec = session.app.library.spec().map(|s| (s.n_layers, s.d_mlp, s.attention.n_heads));
    let (layers, width, heads) = spec.ok_or_else(|| failed("there is no model"))?;
    let place = place(&args.what, layers, width, heads)?;
    let config = ScanConfig {
        samples: args.samples,
        seed: common.seed,
        order: common.order.into(),
        max_tokens: common.max_tokens,
        objective: args.objective.into(),
        ..ScanConfig::default()
    };
    session.app.apply(Command::SetScanConfig { config });
    if let Some(path) = &args.run {
        setup::open_scan(&mut session, path)?;
    }
    match place {
        Place::Head(head) if args.no_index => head_run(&args, &mut session, None, head),
        Place::Neuron(_) if args.no_index => {
            Err(Stop::Usage("--no-index is for a head: a neuron is told by the samples that drive it".into()))
        }
        Place::Neuron(neuron) => {
            let entry = indexed(&args, &mut session)?;
            neuron_run(&args, &mut session, &entry, neuron)
        }
        Place::Head(head) => {
            let entry = indexed(&args, &mut session)?;
            head_run(&args, &mut session, Some(&entry), head)
        }
    }
}

/// The index of the samples, which hold the one that was asked for.
fn indexed(args: &InspectArgs, session: &mut Session) -> Result<Arc<IndexEntry>, Stop> {
    session.run(Command::IndexActivations)?;
    let entry = match &session.app.inspection.index {
        IndexState::Ready(entry) => entry.clone(),
        _ => return Err(failed("the index of activations ended without a result")),
    };
    let n = entry.index.n_samples();
    match args.sample {
        Some(sample) if sample >= n => {
            Err(Stop::Usage(format!("--sample {sample} is outside the samples that are read, 0 to {}", n.saturating_sub(1))))
        }
        _ => Ok(entry),
    }
}

/// The text that was asked for.
fn reading(args: &InspectArgs) -> Option<Reading> {
    args.text.clone().map(Reading::Text).or_else(|| args.sample.map(Reading::Sample))
}

enum Place {
    Neuron(Neuron),
    Head(Head),
}

fn failed(why: &str) -> Stop {
    Stop::Failed(vec![why.to_owned()])
}

fn place(text: &str, layers: usize, width: usize, heads: usize) -> Result<Place, Stop> {
    let outside = |what: &str, n: usize| {
        failed(&format!("{text} is outside this model, which has layers 0..{} and {what} 0..{}", layers - 1, n.saturating_sub(1)))
    };
    let inside = |layer: u32, index: u32, n: usize| (layer as usize) < layers && (index as usize) < n;
    match (text.parse::<Neuron>(), text.parse::<Head>()) {
        (Ok(n), _) => {
            if inside(n.layer, n.index, width) {
                Ok(Place::Neuron(n))
            } else {
                Err(outside("neurons", width))
            }
        }
        (_, Ok(h)) => {
            if inside(h.layer, h.index, heads) {
                Ok(Place::Head(h))
            } else {
                Err(outside("heads", heads))
            }
        }
        (Err(e), Err(_)) => Err(Stop::Usage(format!("{e}; a head as L3H2"))),
    }
}

fn neuron_run(args: &InspectArgs, session: &mut Session, entry: &IndexEntry, neuron: Neuron) -> Result<(), Stop> {
    session.run(Command::InspectNeuron { neuron })?;
    if let Some((_, why)) = &session.app.inspection.details_failed {
        return Err(failed(why));
    }
    let details = session.app.inspection.details.get(&neuron).cloned().ok_or_else(|| failed("the neuron's details did not come"))?;
    let mut strip: Option<Arc<Strip>> = None;
    let reading = reading(args);
    if let Some(reading) = reading.clone() {
        session.run(Command::ReadNeuron { neuron, reading })?;
        if let Some(why) = &session.app.inspection.strip.failed {
            return Err(failed(why));
        }
        strip = session.app.inspection.strip.found.clone();
    }
    beside(session, &args.file, ExportSpec { what: View::Neuron, neuron: Some(neuron), ..ExportSpec::default() })?;
    let facts = entry.index.neuron(neuron).ok_or_else(|| failed("the neuron is not in the index"))?;
    match args.common.output.format {
        Format::Json => {
            let mut document = neuron_document(entry, &facts, &details, strip.as_deref());
            document["provenance"] = json!(session.app.inspect_provenance(&neuron.to_string(), reading.as_ref()));
            output::print_json(&document)
        }
        Format::Text => output::print(&neuron_text(entry, &facts, &details, strip.as_deref())),
    }
}

fn head_run(args: &InspectArgs, session: &mut Session, entry: Option<&IndexEntry>, head: Head) -> Result<(), Stop> {
    let reading = reading(args).unwrap_or(Reading::Sample(0));
    session.run(Command::ReadHead { head, reading: reading.clone() })?;
    if let Some(why) = &session.app.inspection.head.failed {
        return Err(failed(why));
    }
    let read = session.app.inspection.head.found.clone().ok_or_else(|| failed("the attention pattern did not come"))?;
    beside(session, &args.file, ExportSpec { what: View::Head, head: Some(head), ..ExportSpec::default() })?;
    let facts =
        entry.map(|e| e.index.head(head).map(|facts| (e, facts)).ok_or_else(|| failed("the head is not in the index"))).transpose()?;
    let facts = facts.as_ref().map(|(entry, facts)| (*entry, facts));
    match args.common.output.format {
        Format::Json => {
            let mut document = head_document(head, facts, &read);
            document["provenance"] = json!(session.app.inspect_provenance(&head.to_string(), Some(&reading)));
            output::print_json(&document)
        }
        Format::Text => {
            let model = session.app.library.model_info().map_or("", |m| m.name.as_str());
            output::print(&head_text(model, head, facts, &read))
        }
    }
}

fn words(words: &[Word], name: &str) -> Value {
    let word = |w: &Word| json!({ "token": w.token, "piece": w.piece, name: w.value });
    words.iter().map(word).collect()
}

fn neighbours(n: &Neighbours, formula: &str) -> Value {
    let list = |l: &[Neighbour]| -> Value { l.iter().map(|n| json!({ "neuron": n.neuron.to_string(), "likeness": n.likeness })).collect() };
    json!({ "formula": formula, "in_layer": list(&n.in_layer), "in_model": list(&n.in_model) })
}

fn index_document(entry: &IndexEntry) -> Value {
    let index = &entry.index;
    json!({
        "samples": index.n_samples(),
        "tokens": index.n_tokens(),
        "compared_positions": index.n_compared(),
        "size_bytes": index.size_bytes(),
        "thinned": index.about.thinned,
        "seconds": index.about.seconds,
        "read_from_disk": entry.from_disk,
        "file": entry.path,
    })
}

fn neuron_document(entry: &IndexEntry, facts: &NeuronFacts, details: &NeuronDetails, strip: Option<&Strip>) -> Value {
    let about = &entry.index.about;
    let domains: Map<String, Value> = about
        .domains
        .iter()
        .zip(facts.stats.iter().zip(&facts.histogram))
        .map(|(d, (s, h))| {
            let mut value = json!(s);
            value["histogram"] = json!(h);
            (d.name.clone(), value)
        })
        .collect();
    let peak = |p: &Peak| {
        let text: Value =
            p.tokens.iter().zip(&p.values).map(|(t, v)| json!({ "token": t, "piece": entry.piece(*t), "activation": v })).collect();
        json!({
            "domain": about.domains[p.domain].name,
            "line": p.line,
            "sample": p.sample,
            "position": p.position,
            "value": p.value,
            "first": p.first,
            "text": text,
        })
    };
    let lens = &details.lens;
    json!({
        "neuron": facts.neuron.to_string(),
        "hook": format!("blocks.{}.mlp.hook_post[{}]", facts.neuron.layer, facts.neuron.index),
        "domains": domains,
        "histogram_edges": facts.edges,
        "top": facts.top.iter().map(peak).collect::<Vec<_>>(),
        "bottom": facts.bottom.iter().map(peak).collect::<Vec<_>>(),
        "logit_lens": {
            "formula": details.lens_formula,
            "promotes": words(&details.promotes, "logit"),
            "suppresses": words(&details.suppresses, "logit"),
            "mean": lens.mean,
            "std": lens.std,
        },
        "neighbours": {
            "weight": details.by_weight.as_ref().map(|n| neighbours(n, WEIGHT_FORMULA)),
            "activation": details.by_activation.as_ref().and_then(|n| n.as_ref().ok()).map(|n| neighbours(n, ACTIVATION_FORMULA)),
        },
        "text": strip.map(|s| words(&s.words, "activation")),
        "index": index_document(entry),
    })
}

fn snippet(entry: &IndexEntry, p: &Peak) -> String {
    let mut text = String::new();
    if p.first > 0 {
        text.push('…');
    }
    for (i, &t) in p.tokens.iter().enumerate() {
        let piece = visible::inline(entry.piece(t));
        if p.first + i == p.position { text.push_str(&format!("[[{piece}]]")) } else { text.push_str(&piece) }
    }
    if p.first + p.tokens.len() < p.sample_tokens {
        text.push('…');
    }
    text
}

fn neuron_text(entry: &IndexEntry, facts: &NeuronFacts, details: &NeuronDetails, strip: Option<&Strip>) -> String {
    let about = &entry.index.about;
    let n = facts.neuron;
    let mut out = format!("{n}  blocks.{}.mlp.hook_post[{}] of {}\n\n", n.layer, n.index, about.provenance.model);
    let mut t = Table::new(["domain", "tokens", "mean", "std", "mean |a|", "min", "max", "sparsity"]);
    for (d, s) in about.domains.iter().zip(&facts.stats) {
        let cells = [s.mean, s.std, s.mean_abs, s.min, s.max].map(|v| sig3(f64::from(v)));
        let sparsity = s.sparsity.map_or("–".into(), |v| sig3(f64::from(v)));
        t.row([d.name.clone(), number::count(s.tokens as u64)].into_iter().chain(cells).chain([sparsity]));
    }
    out.push_str(&t.render());
    for (name, peaks) in [("Largest activations", &facts.top), ("Smallest activations", &facts.bottom)] {
        out.push_str(&format!("\n{name}, one a text\n"));
        if peaks.is_empty() {
            out.push_str("none\n");
        }
        for p in peaks {
            let line = p.line.map_or(String::new(), |l| format!(":{l}"));
            out.push_str(&format!("{:>8}  {}{line}  {}\n", sig3(f64::from(p.value)), about.domains[p.domain].name, snippet(entry, p)));
        }
    }
    out.push_str(&format!("\nLogit lens: {}\n", details.lens_formula));
    let mut t = Table::new(["promotes", "logit", "suppresses", "logit"]);
    for i in 0..details.promotes.len().max(details.suppresses.len()) {
        let cell = |words: &[Word]| {
            words.get(i).map_or_else(|| [String::new(), String::new()], |w| [visible::alone(&w.piece), sig3(f64::from(w.value))])
        };
        t.row(cell(&details.promotes).into_iter().chain(cell(&details.suppresses)));
    }
    out.push_str(&t.render());
    let mut table = |title: String, n: &Neighbours| {
        out.push_str(&format!("\n{title}\n"));
        let line = |l: &[Neighbour]| l.iter().map(|n| format!("{} {:.2}", n.neuron, n.likeness)).collect::<Vec<_>>().join("  ");
        out.push_str(&format!("same layer   {}\nwhole model  {}\n", line(&n.in_layer), line(&n.in_model)));
    };
    if let Some(n) = &details.by_weight {
        table(format!("Nearest by weight: {WEIGHT_FORMULA}"), n);
    }
    if let Some(Ok(n)) = &details.by_activation {
        table(format!("Nearest by activation: {ACTIVATION_FORMULA} ({})", entry.index.n_compared()), n);
    }
    if let Some(strip) = strip {
        out.push_str("\nActivation at every token\n");
        let mut t = Table::new(["token", "activation"]);
        for w in &strip.words {
            t.row([visible::alone(&w.piece), sig3(f64::from(w.value))]);
        }
        out.push_str(&t.render());
    }
    out.push_str(&index_line(entry));
    out
}

fn index_line(entry: &IndexEntry) -> String {
    let index = &entry.index;
    let mut line = format!(
        "\nIndex of {} tokens of {} samples, {} in memory, made in {:.1} s{}\n",
        number::count(index.n_tokens() as u64),
        number::count(index.n_samples() as u64),
        number::bytes(index.size_bytes()),
        index.about.seconds,
        if entry.from_disk { ", read from the disk" } else { "" }
    );
    for words in &index.about.thinned {
        line.push_str(&format!("thinned: {words}\n"));
    }
    line
}

/// `facts`: from the samples, where there are any.
fn head_document(head: Head, facts: Option<(&IndexEntry, &HeadFacts)>, read: &HeadReading) -> Value {
    let n = read.pattern.tokens.len();
    let one = |w: &Written| json!({ "promotes": words(&w.promotes, "logit"), "suppresses": words(&w.suppresses, "logit"), "mean": w.mean, "written_norm": w.norm });
    let lens: Value = read.writes.iter().map(one).collect();
    let z = |(e, f): (&IndexEntry, &HeadFacts)| -> Map<String, Value> {
        e.index.about.domains.iter().zip(&f.z_norm).map(|(d, v)| (d.name.clone(), json!(v))).collect()
    };
    json!({
        "head": head.to_string(),
        "hook": format!("blocks.{}.attn.hook_pattern[{}]", head.layer, head.index),
        "by_offset": facts.map(|f| &f.1.by_offset),
        "first_token": facts.map(|f| f.1.first_token),
        "entropy_bits": facts.map(|f| f.1.entropy_bits),
        "z_norm": facts.map(z),
        "text": { "pieces": read.pieces, "left_out": read.left_out },
        "pattern": read.pattern.head(head.index as usize).chunks_exact(n).collect::<Vec<_>>(),
        "logit_lens": { "formula": read.lens_formula, "tokens": lens },
        "index": facts.map(|f| index_document(f.0)),
    })
}

fn head_facts_text(out: &mut String, entry: &IndexEntry, facts: &HeadFacts) {
    let last = facts.by_offset.len() - 1;
    let mut t = Table::new(["looks back", "mean attention"]);
    for (i, v) in facts.by_offset.iter().enumerate().filter(|(i, v)| *i < 8 || (*i == last && **v > 0.0)) {
        t.row([if i == last { format!("{i} or more") } else { i.to_string() }, sig3(f64::from(*v))]);
    }
    out.push_str(&t.render());
    out.push_str(&format!(
        "first token  {}\nentropy      {} bits\n\n",
        sig3(f64::from(facts.first_token)),
        sig3(f64::from(facts.entropy_bits))
    ));
    let mut t = Table::new(["domain", "mean |z|"]);
    for (d, v) in entry.index.about.domains.iter().zip(&facts.z_norm) {
        t.row([d.name.clone(), sig3(f64::from(*v))]);
    }
    out.push_str(&t.render());
    out.push('\n');
}

fn head_text(model: &str, head: Head, facts: Option<(&IndexEntry, &HeadFacts)>, read: &HeadReading) -> String {
    let mut out = format!("{head}  blocks.{}.attn.hook_pattern[{}] of {model}\n\n", head.layer, head.index);
    if let Some((entry, facts)) = facts {
        head_facts_text(&mut out, entry, facts);
    }
    out.push_str("What each token looks at most\n");
    let n = read.pattern.tokens.len();
    let mut t = Table::new(["token", "looks at", "attention"]);
    for (q, row) in read.pattern.head(head.index as usize).chunks_exact(n).enumerate() {
        let best = row.iter().enumerate().fold((0, 0f32), |best, (k, &p)| if p > best.1 { (k, p) } else { best });
        let name = |i: usize| format!("{i} {}", visible::alone(&read.pieces[i]));
        t.row([name(q), name(best.0), sig3(f64::from(best.1))]);
    }
    out.push_str(&t.render());
    out.push_str(&format!("\nLogit lens of what it writes: {}\n", read.lens_formula));
    let mut t = Table::new(["token", "promotes", "logit", "suppresses", "logit"]);
    for (i, w) in read.writes.iter().enumerate() {
        let cell = |words: &[Word]| {
            words.first().map_or_else(|| [String::new(), String::new()], |w| [visible::alone(&w.piece), sig3(f64::from(w.value))])
        };
        t.row([format!("{i} {}", visible::alone(&read.pieces[i]))].into_iter().chain(cell(&w.promotes)).chain(cell(&w.suppresses)));
    }
    out.push_str(&t.render());
    if let Some((entry, _)) = facts {
        out.push_str(&index_line(entry));
    }
    out
}
