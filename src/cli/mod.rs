//! The command line: clap -> `Command` -> `App` -> progress on stderr, table or JSON on stdout.

mod ablate;
mod args;
mod check;
mod continual;
mod demo;
mod devices;
mod eval;
mod export;
mod generate;
mod info;
mod inspect;
mod lens;
mod models;
mod neurons;
mod output;
mod prompt_args;
mod replay;
mod scan;
mod script;
mod setup;
mod similarity;
mod sweep;
mod trace;
mod tune;
mod watch;

pub use args::{Cli, Verb};
use watch::Stop;

use crate::app::{GivenProducts, Settings};
use clap::{CommandFactory as _, FromArgMatches as _};
use std::{ffi::OsString, process::ExitCode};

/// What the command line asks for.
pub enum Request {
    /// The window, on a project file where one was named.
    Window(Option<std::path::PathBuf>, Option<GivenProducts>),
    Verb(Box<Verb>, Option<GivenProducts>),
}

/// As declared, but that a number below zero is a value everywhere: what it is wrong for says so, rather than that there is no argument `-1`.
fn command() -> clap::Command {
    let takes_values = |arg: &clap::Arg| arg.get_action().takes_values();
    Cli::command().mut_subcommands(|verb| verb.mut_args(|arg| if takes_values(&arg) { arg.allow_negative_numbers(true) } else { arg }))
}

/// Reads the arguments (the first is the program).
///
/// # Errors
/// The exit code after help, version or a usage message was printed.
pub fn parse<I: IntoIterator<Item = OsString>>(arguments: I) -> Result<Request, ExitCode> {
    match command().try_get_matches_from(arguments).and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(Cli { verb, project, products }) => {
            let given = products.map(|p| GivenProducts::by_flag(p.0));
            Ok(match verb {
                Some(verb) => Request::Verb(Box::new(verb), given),
                None => Request::Window(project, given),
            })
        }
        Err(e) => {
            // Help for a reader that has gone is no error.
            let _ = e.print();
            Err(ExitCode::from(if e.use_stderr() { 2 } else { 0 }))
        }
    }
}

/// Runs a verb to its end.
pub fn run(verb: Verb, settings: Settings) -> ExitCode {
    let result = match verb {
        Verb::Scan(a) => scan::run(a, settings),
        Verb::Eval(a) => eval::run(a, settings),
        Verb::Ablate(a) => ablate::run(a, settings),
        Verb::Sweep(a) => sweep::run(a, settings),
        Verb::Break(a) => sweep::run_break(a, settings),
        Verb::Neurons(a) => neurons::run(a, settings),
        Verb::Prove(a) => neurons::run_prove(a, settings),
        Verb::Trace(a) => trace::run(a, settings),
        Verb::Similarity(a) => similarity::run(a, settings),
        Verb::Export(a) => export::run(a, settings),
        Verb::Replay(a) => replay::run(a, settings),
        Verb::Script(a) => script::run(a, settings),
        Verb::Info(a) => info::run(a, settings),
        Verb::Inspect(a) => inspect::run(a, settings),
        Verb::Lens(a) => lens::run(a, settings),
        Verb::Devices(a) => devices::run(a, settings),
        Verb::Models(a) => models::run(a, settings),
        Verb::Generate(a) => generate::run(a, settings),
        Verb::Check(a) => check::run(a, settings),
        Verb::Tune(a) => tune::run(a, settings),
        Verb::Continual(a) => continual::run(a, settings),
        Verb::Transfer(a) => continual::run_transfer(a, settings),
        Verb::Demo(a) => demo::run(a, settings),
    };
    exit_code(result)
}

/// Without a display: the demo's scan as an HTML page.
pub fn report_instead_of_window(why: &str, settings: Settings) -> ExitCode {
    output::error_line(&format!("{why} The demo is scanned instead and written as an HTML report."));
    exit_code(scan::demo_report(settings))
}

fn exit_code(result: Result<(), Stop>) -> ExitCode {
    match result {
        Ok(()) | Err(Stop::BrokenPipe) => ExitCode::SUCCESS,
        Err(Stop::Failed(messages)) => {
            for message in messages {
                output::error_line(&format!("error: {message}"));
            }
            ExitCode::from(1)
        }
        Err(Stop::Usage(message)) => {
            output::error_line(&format!("error: {message}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
        Err(Stop::Interrupted(kept)) => {
            output::error_line(&format!("Stopped. {kept}"));
            // A worker deep in arithmetic must not hold the program back.
            std::process::exit(1);
        }
    }
}
