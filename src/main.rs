//! No verb: the window, or a report where there is no display. A verb: the command line.

use brodmann::{
    app::{GivenProducts, Settings},
    cli,
    compute::cpu::BigBlocks,
};
use std::{path::PathBuf, process::ExitCode};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() -> ExitCode {
    log_to_stderr();
    match cli::parse(std::env::args_os()) {
        Err(code) => code,
        Ok(cli::Request::Verb(verb, products)) => cli::run(*verb, Settings::from_env().given(products)),
        Ok(cli::Request::Window(project, products)) => window(project, products),
    }
}

/// `BRODMANN_LOG=brodmann=debug`; errors only by default.
fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("BRODMANN_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[cfg(feature = "gui")]
fn window(project: Option<PathBuf>, products: Option<GivenProducts>) -> ExitCode {
    use brodmann::{app::Command, gui};
    if !has_display() {
        return cli::report_instead_of_window(
            "There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set).",
            Settings::from_env().given(products),
        );
    }
    match gui::run(project.map(|path| Command::OpenProject { path }).into_iter().collect(), products) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => cli::report_instead_of_window(&format!("{e:#}."), Settings::from_env().given(products)),
    }
}

#[cfg(not(feature = "gui"))]
fn window(_project: Option<PathBuf>, products: Option<GivenProducts>) -> ExitCode {
    cli::report_instead_of_window("This build has no window (feature `gui` is off).", Settings::from_env().given(products))
}

/// Elsewhere than on Linux and the BSDs there always is one.
#[cfg(feature = "gui")]
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    cfg!(any(target_os = "windows", target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
