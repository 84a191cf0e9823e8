//! `brodmann trace`

use super::{
    args::{Format, TraceArgs},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::app::{Command, Settings, TraceInput};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

pub fn run(args: TraceArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.device = args.device;
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::OpenModel { path: args.model.clone() })?;
    super::setup::put_on(&mut session, args.tuned.clone())?;
    let input = match args.text.clone() {
        Some(text) => TraceInput::Text(text),
        None => TraceInput::Tokens(args.tokens.clone()),
    };
    session.run(Command::Trace { input, hooks: args.hooks.clone(), out: args.out.clone() })?;
    // What is told is what the file holds.
    let failed = |e: String| Stop::Failed(vec![format!("{}: {e}", args.out.display())]);
    let bytes = std::fs::read(&args.out).map_err(|e| failed(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| failed(e.to_string()))?;
    let mut shapes: Vec<(&str, &[usize])> = Vec::new();
    let views = tensors.tensors();
    shapes.extend(views.iter().map(|(name, view)| (name.as_str(), view.shape())));
    shapes.sort_unstable();
    match args.output.format {
        Format::Json => {
            let shapes: Map<String, Value> = shapes.iter().map(|(name, shape)| ((*name).to_owned(), json!(shape))).collect();
            output::print_json(&json!({ "out": args.out, "tensors": shapes }))
        }
        Format::Text => {
            let mut t = Table::new(["tensor", "shape"]);
            for (name, shape) in shapes {
                t.row([name.to_owned(), format!("{shape:?}")]);
            }
            output::print(&format!("{}\n{}\n", t.render(), args.out.display()))
        }
    }
}
