//! `brodmann continual`, `brodmann transfer`

use super::{
    args::{ContinualArgs, Format, TransferArgs},
    output::{self, Table},
    setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, ContinualRequest, Settings, TransferRequest},
    base::{mantel::Correlation, number},
    task::{ContinualState, FIGURES, Figure, Method, Outcome, RowCounts, Spread, TransferState},
};
use serde_json::{Map, Value, json};

pub fn run(args: ContinualArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let mut session = setup::training_session("continual", &args.common, settings)?;
    let names: Vec<String> = session.app.project.domains.iter().map(|d| d.name.clone()).collect();
    let order = if args.tasks.is_empty() { names.clone() } else { args.tasks.clone() };
    if let Some(unknown) = order.iter().find(|t| !names.contains(t)) {
        return Err(Stop::Usage(format!("--tasks names `{unknown}`, but the domains are {}", names.join(", "))));
    }
    let request = ContinualRequest { order, config: args.config(), rows: args.training.rows(), out: args.out.clone() };
    session.app.apply(Command::Continual { request: Box::new(request) });
    if let Some(view) = &session.app.continual {
        session.kept = kept(&view.folder);
    }
    session.settle()?;
    let Some(state) = session.app.continual.as_ref().and_then(|v| v.state.clone()).filter(|s| s.finished) else {
        return Err(Stop::Failed(vec!["the sequence ended without a result".into()]));
    };
    match args.common.output.format {
        Format::Json => output::print_json(&continual_document(&state)),
        Format::Text => output::print(&continual_text(&state, &session)),
    }
}

fn kept(folder: &std::path::Path) -> String {
    format!("{} holds every finished cell and the last checkpoint; the same command goes on from there.", folder.display())
}

fn continual_document(s: &ContinualState) -> Value {
    let spread = |v: Option<Spread>| v.map_or(Value::Null, |v| json!(v));
    let method = |m: Method| {
        let figures: Map<String, Value> = FIGURES.iter().map(|f| (f.id.to_owned(), spread(s.spread(m, f.of)))).collect();
        let seeds: Vec<Value> = s.config.seeds.iter().map(|&seed| json!({ "seed": seed, "measures": s.measures(m, seed) })).collect();
        let value = json!({ "label": m.label(), "figures": figures, "seeds": seeds, "mean_accuracy": s.mean_matrix(m) });
        (m.id().to_owned(), value)
    };
    let methods: Map<String, Value> = s.config.methods.iter().map(|&m| method(m)).collect();
    let weights: Vec<Option<Vec<f64>>> = (0..s.columns()).map(|j| s.weights(j, s.tasks.len())).collect();
    let mut document = json!(s);
    if let Value::Object(fields) = &mut document {
        fields.insert("methods".into(), Value::Object(methods));
        fields.insert("weights".into(), json!(weights));
    }
    document
}

fn percent(v: f64) -> String {
    format!("{:.1}", 100.0 * v)
}

fn continual_text(s: &ContinualState, session: &Session) -> String {
    let dash = || "–".to_owned();
    let mut t = Table::new(std::iter::once("method").chain(FIGURES.iter().map(|f| f.label)));
    for &m in &s.config.methods {
        let cell = |f: &Figure| f.text(s.spread(m, f.of));
        t.row(std::iter::once(m.label().to_owned()).chain(FIGURES.iter().map(cell)));
    }
    let mut text = format!(
        "{} in turn; accuracy in %, mean ± standard deviation over seeds {:?}\n\n{}",
        s.tasks.join(", "),
        s.config.seeds,
        t.render()
    );
    for &m in &s.config.methods {
        let mut t = Table::new(std::iter::once("after".to_owned()).chain(s.column_names().map(str::to_owned)));
        let row = |cells: &[Option<f64>]| cells.iter().map(|c| c.map_or_else(dash, percent)).collect::<Vec<_>>();
        t.row(std::iter::once("nothing".to_owned()).chain(row(&s.before_accuracy())));
        for (task, cells) in s.tasks.iter().zip(s.mean_matrix(m)) {
            t.row(std::iter::once(task.clone()).chain(row(&cells)));
        }
        text.push_str(&format!("\n{}\n{}", m.label(), t.render()));
    }
    if !s.cosines.is_empty() {
        let mut t = Table::new(std::iter::once("weight of".to_owned()).chain(s.tasks.iter().cloned()));
        for (j, name) in s.column_names().enumerate() {
            let weights = s.weights(j, s.tasks.len()).unwrap_or_default();
            t.row(std::iter::once(format!("for {name}")).chain(weights.iter().map(|w| format!("{w:.3}"))));
        }
        text.push_str(&format!("\nW-NCFT's weights after the last task, temperature {}\n{}", s.config.temperature, t.render()));
    }
    let folder = session.app.continual.as_ref().map_or(String::new(), |v| v.folder.display().to_string());
    text.push_str(&format!(
        "\n{}\nkept (FG): after the last task, mean over earlier tasks of accuracy / accuracy right after learning; forward: accuracy just before learning minus that of the model as it was\n{}; folder: {folder}\n",
        rows_words(&s.rows),
        s.provenance.device
    ));
    text
}

/// How many rows play which part, and how many of them were cut.
fn rows_words(rows: &[RowCounts]) -> String {
    let words = |r: &RowCounts| match r.train {
        0 => format!("{}: {} judge{}", r.name, r.test, r.cut_words()),
        _ => format!("{}: {} learnt, {} say when to stop, {} judge{}", r.name, r.train, r.validation, r.test, r.cut_words()),
    };
    let how = rows.first().map_or("", |r| r.words.as_str());
    format!("rows: {} ({how})", rows.iter().map(words).collect::<Vec<_>>().join("; "))
}

pub fn run_transfer(args: TransferArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let mut session = setup::training_session("transfer", &args.common, settings)?;
    let tasks: Vec<String> = session.app.project.domains.iter().map(|d| d.name.clone()).collect();
    let request = TransferRequest { tasks, config: args.config(), rows: args.training.rows(), out: args.out.clone() };
    session.app.apply(Command::Transfer { request: Box::new(request) });
    if let Some(view) = &session.app.transfer {
        session.kept = kept(&view.folder);
    }
    session.settle()?;
    let Some(state) = session.app.transfer.as_ref().and_then(|v| v.state.clone()).filter(|s| s.finished) else {
        return Err(Stop::Failed(vec!["the study ended without a result".into()]));
    };
    match args.common.output.format {
        Format::Json => output::print_json(&transfer_document(&state)),
        Format::Text => {
            let folder = session.app.transfer.as_ref().map_or(String::new(), |v| v.folder.display().to_string());
            output::print(&format!("{}{}; folder: {folder}\n", transfer_text(&state), state.provenance.device))
        }
    }
}

fn transfer_document(s: &TransferState) -> Value {
    let pairs = s.pairs();
    let outcome = |outcome: Outcome| {
        let layers: Vec<Option<Correlation>> = (0..s.n_layers).map(|l| s.correlation(&pairs, outcome, |p| p.similarity[l])).collect();
        json!({
            "outcome": outcome.words(),
            "overlap": s.correlation(&pairs, outcome, |p| Some(p.overlap)),
            "similarity_by_layer": layers,
            "mean_similarity": s.correlation(&pairs, outcome, |p| p.mean_similarity()),
        })
    };
    let mut document = json!(s);
    if let Value::Object(fields) = &mut document {
        fields.insert("pairs".into(), json!(pairs));
        fields.insert("correlations".into(), json!({ "gain": outcome(Outcome::Gain), "score": outcome(Outcome::Score) }));
        fields.insert("proportions".into(), json!(s.proportions()));
    }
    document
}

fn transfer_text(s: &TransferState) -> String {
    let dash = || "–".to_owned();
    let pairs = s.pairs();
    let names: Vec<String> = s.tasks().map(str::to_owned).collect();
    let mut t = Table::new(["learnt", "judged", "overlap", "mean similarity", "accuracy, %", "change, points"]);
    for p in &pairs {
        t.row([
            names[p.learnt].clone(),
            names[p.judged].clone(),
            number::sig3(p.overlap),
            p.mean_similarity().map_or_else(dash, number::sig3),
            percent(p.score),
            format!("{:+.1}", 100.0 * p.gain),
        ]);
    }
    let mut text = format!("Top {} % of each task trained from the base; the other task judged\n\n{}", s.config.percent, t.render());
    let mut c = Table::new(["against the change on the other task", "Pearson r", "p", "p (t)", "Spearman rho", "p"]);
    let mut row = |name: String, found: Option<Correlation>| {
        c.row(match found {
            Some(f) => [
                name,
                number::sig3(f.pearson),
                number::sig3(f.pearson_p),
                number::sig3(f.pearson_p_t),
                number::sig3(f.spearman),
                number::sig3(f.spearman_p),
            ],
            None => [name, dash(), dash(), dash(), dash(), dash()],
        });
    };
    let gain = Outcome::Gain;
    let overlap = s.correlation(&pairs, gain, |p| Some(p.overlap));
    row("overlap of the sets".into(), overlap);
    row("similarity, mean of layers".into(), s.correlation(&pairs, gain, |p| p.mean_similarity()));
    for l in 0..s.n_layers {
        row(format!("similarity, layer {l}"), s.correlation(&pairs, gain, |p| p.similarity[l]));
    }
    text.push_str(&format!("\n{}", c.render()));
    if let Some(f) = overlap {
        text.push_str(&format!("{} ordered pairs; {}; p (t) takes the pairs for independent, which they are not\n", f.pairs, f.words()));
    }
    let mut k = Table::new(["share trained, %", "own task, %", "other tasks, %"]);
    for p in s.proportions() {
        let cell = |v: Option<Spread>| {
            v.map_or_else(dash, |v| percent(v.mean) + &v.sd.map_or(String::new(), |sd| format!(" ± {:.1}", 100.0 * sd)))
        };
        k.row([number::sig3(p.percent), cell(p.inside), cell(p.outside)]);
    }
    text.push_str(&format!("\n{}\n{}\n", k.render(), rows_words(&s.rows)));
    text
}
