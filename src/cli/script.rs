//! `brodmann script`: commands as the window sends them, one JSON object a line, from a file or a pipe.

use super::{
    args::{Format, ScriptArgs},
    output,
    watch::{Session, Stop},
};
use crate::app::{Command, Settings};
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::Duration,
};

/// Between two looks at what should be saved, while nobody says anything.
const IDLE: Duration = Duration::from_millis(50);

pub fn run(args: ScriptArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.autosave = args.autosave;
    settings.keep_runs = !args.no_runs;
    let mut session = Session::new(settings, args.output.quiet);
    if let Some(path) = args.project.clone() {
        session.run(Command::OpenProject { path })?;
    }
    let input: Box<dyn Read + Send> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let bad = |e| Stop::Failed(vec![format!("{}: {e}", args.file.display())]);
        Box::new(std::fs::File::open(&args.file).map_err(bad)?)
    };
    // A pipe may say nothing for long; what was said before it is saved meanwhile.
    // Bounded: who writes faster than commands are applied waits.
    let (send, lines) = sync_channel(8);
    std::thread::spawn(move || BufReader::new(input).lines().try_for_each(|line| send.send(line).map_err(drop)));
    let mut number = 0;
    loop {
        session.app.pump();
        let line = match lines.recv_timeout(IDLE) {
            Ok(line) => line.map_err(|e| Stop::Failed(vec![format!("the script could not be read: {e}")]))?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        number += 1;
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let command: Command = serde_json::from_str(&line).map_err(|e| {
            Stop::Failed(vec![format!("line {number} is no command ({e}); expected as {{\"do\": \"toggle_neuron\", \"neuron\": ...}}")])
        })?;
        let label = command.undo_label();
        // An evaluation in force may run on while the next command comes, as in the window; it is waited for at the end.
        if args.wait || label.is_none() {
            session.run(command)?
        } else {
            session.app.apply(command)
        }
        if args.output.format == Format::Json {
            output::print(&json!({ "line": number, "step": label, "off": session.app.project.off().len() }).to_string())?;
        }
    }
    session.settle()?;
    session.app.close();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_usual_value_need_not_be_written() {
        let read = |line: &str| serde_json::from_str::<Command>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let added = Command::AddDomain { name: "q".into(), path: "q.jsonl".into(), mapping: Default::default() };
        assert_eq!(read(r#"{"do": "add_domain", "name": "q", "path": "q.jsonl"}"#), added);
        assert_eq!(read(r#"{"do": "start_scan"}"#), Command::StartScan { out: None });
        assert_eq!(read(r#"{"do": "save_project"}"#), Command::SaveProject { path: None });
    }
}
