//! `brodmann lens`

use super::{
    args::{Format, LensArgs},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    ablate::Selection,
    app::{Command, LensAnswer, LensGrid, LensLive, Settings},
    base::{number::sig3, visible},
};
use serde_json::{Value, json};

pub fn run(args: LensArgs, settings: Settings) -> Result<(), Stop> {
    if args.text.is_empty() {
        return Err(Stop::Usage("--text is empty; give the model something to read".into()));
    }
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::OpenModel { path: args.model.clone() })?;
    super::setup::put_on(&mut session, args.tuned.clone())?;
    if let Some(mode) = args.mode {
        session.app.apply(Command::SetAblationMode { mode });
    }
    session.app.apply(Command::SetAblationAt { at: args.at.into() });
    match args.neurons.clone() {
        None => {}
        Some(Selection::Places { neurons, heads }) => {
            for head in heads {
                session.app.apply(Command::ToggleHead { head });
            }
            if !neurons.is_empty() {
                let (name, source) = ("--neurons".into(), "command line".into());
                session.app.apply(Command::AddSet { name, neurons, source, chosen_on: Vec::new() });
            }
        }
        Some(Selection::File(path)) => session.app.apply(Command::AddSetFile { path }),
        Some(Selection::Formula(formula)) if formula.domains().is_empty() => {
            session.app.apply(Command::AddFormula { name: "--neurons".into(), formula: formula.text().to_owned(), on: true });
        }
        Some(Selection::Top { .. } | Selection::Formula(_)) => {
            return Err(Stop::Usage("lens takes neurons by name or from a JSON file; `top:` needs a scan, which ablate makes".into()));
        }
    }
    session.run(Command::TryText { text: args.text.clone() })?;
    let live = &session.app.lens;
    if let Some(why) = &live.failed {
        return Err(Stop::Failed(vec![why.message().unwrap_or("stopped").to_owned()]));
    }
    let position = match args.position {
        None => live.tokens.len().saturating_sub(1),
        Some(p) if p >= live.from && p < live.from + live.tokens.len() => p - live.from,
        Some(p) => {
            let last = (live.from + live.tokens.len()).saturating_sub(1);
            return Err(Stop::Usage(format!("--position {p}: the positions read out are {} to {last}", live.from)));
        }
    };
    match args.output.format {
        Format::Json => output::print_json(&document(live, position)),
        Format::Text => output::print(&text(live, position)),
    }
}

fn grid(grid: &LensGrid) -> Value {
    let one = |a: &LensAnswer| {
        let top: Value = a.top.iter().map(|w| json!({ "token": w.token, "piece": w.piece, "probability": w.value })).collect();
        json!({ "top": top, "entropy_bits": a.entropy_bits, "rank": a.rank })
    };
    grid.iter().map(|row| row.iter().map(one).collect::<Value>()).collect()
}

fn document(live: &LensLive, position: usize) -> Value {
    json!({
        "text": live.text,
        "tokens": live.tokens.iter().map(|w| json!({ "token": w.token, "piece": w.piece })).collect::<Vec<_>>(),
        "from": live.from,
        "left_out": live.left_out,
        "position": live.from + position,
        "layers": grid(&live.plain),
        "ablated": live.changed.as_ref().map(|g| grid(g)),
        "provenance": live.provenance,
    })
}

fn text(live: &LensLive, position: usize) -> String {
    let token = live.tokens.get(position).map_or_else(String::new, |w| visible::alone(&w.piece));
    let mut out = format!("After token {} `{token}`: what each layer would say next\n\n", live.from + position);
    let mut table = |title: &str, grid: &LensGrid| {
        if !title.is_empty() {
            out.push_str(&format!("\n{title}\n"));
        }
        let mut t = Table::new(["layer", "entropy", "rank", "p", "next", "p", "", "p", ""]);
        for (layer, row) in grid.iter().enumerate() {
            let Some(a) = row.get(position) else { continue };
            let words = a.top.iter().take(3).flat_map(|w| [sig3(f64::from(w.value)), visible::alone(&w.piece)]);
            t.row([layer.to_string(), format!("{:.2} bits", a.entropy_bits), (a.rank + 1).to_string()].into_iter().chain(words));
        }
        out.push_str(&t.render());
    };
    table("", &live.plain);
    if let Some(changed) = &live.changed {
        table("With the neurons switched", changed);
    }
    out.push_str("\nrank: place of the model's own answer among the layer's tokens\n");
    out
}
