//! Who may import whom: base <- {data, compute} <- model <- eval <- {scan, ablate, check, inspect, tune} <- task <- report <- app <- {cli, gui} <- main.
//! A module imports only from levels before its own, never from a sibling on its own level.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

const LEVELS: &[&[&str]] = &[
    &["base"],
    &["data", "compute"],
    &["model"],
    &["eval"],
    &["scan", "ablate", "check", "inspect", "tune"],
    &["task"],
    &["report"],
    &["app"],
    &["cli", "gui"],
];

/// The fronts ask an `App`; these words would mean that they call an engine themselves.
const ENGINE_CALLS: &[&str] =
    &["run_scan", "load_model", "CpuBackend", "Decoder::new", "check_model", "generate(&", "block_forward", "open_domain"];

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|l| l.contains(&module))
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("source folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Source without comments and string literals, so that prose about other modules is no import.
fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
                out.push('\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => {
                            chars.next();
                        }
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '\'' => {
                // A quoted character, or the start of a lifetime: only a quoted quote could confuse the rest.
                let mut ahead = chars.clone();
                match (ahead.next(), ahead.next()) {
                    (Some('\\'), Some(_)) => {
                        chars.next();
                        chars.next();
                        chars.by_ref().find(|c| *c == '\'');
                    }
                    (Some(_), Some('\'')) => {
                        chars.next();
                        chars.next();
                    }
                    _ => out.push(c),
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The words that follow `prefix` in paths: `prefix::word` and every branch of `prefix::{word, word::x}`.
fn roots_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (1, 0);
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if (c == ',' && depth == 1) || depth == 0 {
                    found.insert(first_word(&group[start..i]).to_owned());
                    start = i + 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(first_word(rest).to_owned());
        }
    }
    found.remove("");
    found
}

/// Top-level modules that a file whose module lies `depth` levels below the crate's root names.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let mut all = roots_after(code, "crate::");
    // That many `super`s reach the root.
    all.extend(roots_after(code, &"super::".repeat(depth)).into_iter().filter(|w| level(w).is_some()));
    all
}

#[test]
fn imports_point_only_to_earlier_levels() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 40, "only {} source files found", files.len());
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let parts: Vec<String> = inside.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
        let module = parts[0].as_str();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = level(module) else {
            wrong.push(format!("{}: module `{module}` has no place in the order of tests/layering.rs", inside.display()));
            continue;
        };
        let depth = parts.len() - usize::from(parts.last().is_some_and(|p| p == "mod"));
        let code = code_only(&std::fs::read_to_string(&file).expect("readable"));
        for import in imports(&code, depth) {
            match level(&import) {
                _ if import == module => {}
                Some(other) if other < own => seen += 1,
                Some(_) => wrong.push(format!("{}: `{module}` imports `{import}`, which does not come before it", inside.display())),
                None => wrong.push(format!("{}: `crate::{import}` is no module of the order", inside.display())),
            }
        }
        if matches!(module, "cli" | "gui") {
            for call in ENGINE_CALLS.iter().filter(|c| code.contains(*c)) {
                wrong.push(format!("{}: a front calls the engine (`{call}`); send a Command instead", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Guards against a reader that sees nothing.
    assert!(seen > 30, "only {seen} imports seen");
}

#[test]
fn the_reader_sees_every_way_to_name_a_module() {
    let code = code_only(
        "use crate::{base::{Error, Grid}, scan::ScanOutput};\n// crate::gui\nfn f() -> crate::eval::X { \"crate::app\"; '\"'; crate::data::g() }\n",
    );
    assert_eq!(imports(&code, 1).into_iter().collect::<Vec<_>>(), ["base", "data", "eval", "scan"]);
    assert_eq!(imports("use super::super::model::X; use super::other;", 2).into_iter().collect::<Vec<_>>(), ["model"]);
}
