//! `brodmann info`

use super::{
    args::{Format, InfoArgs},
    output::{self, Table},
    scan,
    watch::{Session, Stop},
};
use crate::{
    app::{self, Command, Settings},
    base::{number, provenance::Provenance},
};
use serde_json::json;
use std::path::Path;

pub fn run(args: InfoArgs, settings: Settings) -> Result<(), Stop> {
    let path = args.model.clone().unwrap_or(args.path);
    let mut session = Session::new(settings, args.output.quiet);
    if path.join("run.json").is_file() {
        of_run(&mut session, &path, args.output.format)
    } else if let Some((what, provenance)) = app::result_in(&path).map_err(|e| Stop::Failed(vec![e.to_string()]))? {
        of_result(&path, what, &provenance, args.output.format)
    } else {
        of_model(&mut session, &path, args.output.format)
    }
}

fn of_run(session: &mut Session, path: &Path, format: Format) -> Result<(), Stop> {
    session.run(Command::OpenRun { path: path.to_owned() })?;
    let Some(out) = session.app.library.scan() else {
        return Err(Stop::Failed(vec![format!("{}: the run could not be shown", path.display())]));
    };
    match format {
        Format::Json => output::print_json(&json!({
            "kind": "run",
            "path": path,
            "config": out.config,
            "provenance": out.provenance,
            "timing": out.timing,
            "n_layers": out.n_layers,
            "d_mlp": out.d_mlp,
            "domains": out.domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
            "command": out.provenance.command,
        })),
        Format::Text => {
            let p = &out.provenance;
            let facts = source("run", path, p);
            output::print(&format!("{}\n{}\nto repeat it:\n{}\n", facts.render_left(), scan::text(out), p.command))
        }
    }
}

/// What another verb than a scan left.
fn of_result(path: &Path, what: &str, p: &Provenance, format: Format) -> Result<(), Stop> {
    match format {
        Format::Json => output::print_json(&json!({ "kind": what, "path": path, "provenance": p, "command": p.command })),
        Format::Text => {
            let mut facts = source(what, path, p);
            for (name, value) in [
                ("formula", p.formula.clone()),
                ("objective", p.objective.clone()),
                ("seed", p.seed.to_string()),
                ("computed in", format!("{} on {}", p.dtype, p.device)),
            ] {
                facts.row([name.to_owned(), value]);
            }
            output::print(&format!("{}\nto repeat it:\n{}\n", facts.render_left(), p.command))
        }
    }
}

/// Where numbers came from: program, model, data.
fn source(what: &str, path: &Path, p: &Provenance) -> Table {
    let mut facts = Table::default();
    facts.row([what, &*path.display().to_string()]);
    facts.row(["made by", &*format!("{}, {}", p.program, p.created)]);
    facts.row(["model sha256", &*p.model_sha256]);
    for (name, hash) in &p.data_sha256 {
        facts.row([format!("{name} sha256"), hash.clone()]);
    }
    facts
}

fn of_model(session: &mut Session, path: &Path, format: Format) -> Result<(), Stop> {
    session.run(Command::OpenModel { path: path.to_owned() })?;
    let Some((info, spec)) = session.app.library.model.as_ref().and_then(|m| m.state.ready()) else {
        return Err(Stop::Failed(vec![format!("{}: the model could not be shown", path.display())]));
    };
    match format {
        Format::Json => output::print_json(&json!({ "kind": "model", "model": info, "spec": spec })),
        Format::Text => {
            let a = &spec.attention;
            let mut facts = Table::default();
            facts.row(["model", &*info.name]);
            facts.row(["folder", &*info.folder.display().to_string()]);
            facts.row(["family", &*info.model_type]);
            facts.row(["parameters", &*number::count(info.n_params)]);
            facts.row(["stored as", &*format!("{}, {}", info.dtype, number::bytes(info.size_bytes))]);
            if let Some(note) = info.note() {
                facts.row(["note", note]);
            }
            facts.row(["layers", &*spec.n_layers.to_string()]);
            facts.row(["width", &*number::count(spec.d_model as u64)]);
            facts.row(["neurons a layer", &*number::count(spec.d_mlp as u64)]);
            facts.row(["attention heads", &*format!("{} ({} key-value), {} wide", a.n_heads, a.n_kv_heads, a.head_dim)]);
            facts.row(["vocabulary", &*number::count(spec.vocab as u64)]);
            facts.row(["positions", &*number::count(spec.max_positions as u64)]);
            facts.row(["output head", if spec.tied_head { "tied to the embedding" } else { "its own matrix" }]);
            facts.row(["sha256", &*info.sha256]);
            output::print(&facts.render_left())
        }
    }
}
