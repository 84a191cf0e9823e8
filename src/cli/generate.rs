//! `brodmann generate`

use super::{
    args::{Format, GenerateArgs},
    output,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, GivenProducts, Settings},
    compute::cpu::Products,
    model::GenerateConfig,
};
use serde_json::json;

pub fn run(args: GenerateArgs, settings: Settings) -> Result<(), Stop> {
    // Text comes token by token, and a row alone is multiplied faster without the tile unit.
    let unit = settings.products().is_none() && Products::fastest() != Products::F32;
    let settings = if unit { settings.given(Some(GivenProducts::by_flag(Some(Products::F32)))) } else { settings };
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::OpenModel { path: args.model.clone() })?;
    super::setup::put_on(&mut session, args.tuned.clone())?;
    let config = GenerateConfig {
        tokens: args.tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k,
        seed: args.seed,
        stop: Vec::new(),
    };
    session.run(Command::Generate { prompt: args.prompt.clone(), config })?;
    let Some(text) = session.app.generated.clone() else {
        return Err(Stop::Failed(vec!["no text was written".into()]));
    };
    match args.output.format {
        Format::Json => output::print_json(&json!(*text)),
        Format::Text => output::print(&format!("{}{}\n", text.prompt, text.text)),
    }
}
