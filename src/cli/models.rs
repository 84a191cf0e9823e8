//! `brodmann models`

use super::{
    args::{Format, ModelsArgs},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, ModelsReport, Settings},
    base::number,
};
use serde_json::json;

pub fn run(args: ModelsArgs, settings: Settings) -> Result<(), Stop> {
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::FindModels)?;
    let Some(report) = session.app.models.clone() else {
        return Err(Stop::Failed(vec!["the search for models ended without a result".into()]));
    };
    match args.output.format {
        Format::Json => output::print_json(&json!(*report)),
        Format::Text => output::print(&text(&report)),
    }
}

fn text(report: &ModelsReport) -> String {
    let Some(cache) = &report.cache else {
        return "There is no home folder to look for a Hugging Face cache in; set HF_HUB_CACHE or HF_HOME.\n".into();
    };
    let place = cache.display();
    if report.models.is_empty() {
        return format!(
            "No model in {place}; HF_HUB_CACHE or HF_HOME say where else to look. Folders and .gguf files open by their path.\n"
        );
    }
    let mut t = Table::new(["model", "family", "parameters", "stored as", "on disk", "memory"]);
    for m in &report.models {
        let size = number::bytes(m.size_bytes);
        match (&m.facts, &m.problem) {
            (Some(f), _) => {
                let fit = f.fit.map_or_else(String::new, |fit| format!("{}: ", fit.label()));
                let need = format!("{fit}{}, at least {}", number::bytes(f.memory.fast_bytes), number::bytes(f.memory.least_bytes));
                t.row([m.name.clone(), f.model_type.clone(), number::short_count(f.n_params), f.dtype.clone(), size, need]);
            }
            (None, problem) => {
                let problem = problem.as_deref().unwrap_or_default();
                t.row([m.name.clone(), "–".into(), "–".into(), "–".into(), size, format!("cannot be opened: {problem}")]);
            }
        }
    }
    let free = report.free_bytes.map_or_else(String::new, |b| format!("; {} are free", number::bytes(b)));
    format!("{}\nin {place}. Memory is for a scan of 64 samples of up to 256 tokens{free}.\n", t.render_left())
}
