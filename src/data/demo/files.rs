//! The items of a split: generated, written as JSONL, compiled in.

use super::{NAMES, SEED, Split, draw_from, general};
use crate::{
    base::{Error, Result, hash, rng::Rng},
    data::{Domain, DomainKind, Item, Prompting},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, fmt::Write as _, path::PathBuf};

/// A line of a domain's file. Keys as in HellaSwag's plain form: the prompt is `query`, one space, a choice.
#[derive(Serialize, Deserialize)]
struct Row {
    query: String,
    choices: Vec<String>,
    gold: usize,
}

#[derive(Serialize, Deserialize)]
struct TextRow {
    text: String,
}

/// Items a split holds. Facts are finite: one wording of each fact for test and one for validation.
fn size(domain: usize, split: Split) -> usize {
    match (NAMES[domain], split) {
        (_, Split::Train) => 600,
        ("facts", _) => 272,
        (_, Split::Validation) => 240,
        (_, Split::Test) => 300,
    }
}

const GENERAL_SIZE: usize = 100;

/// File of a committed split, relative to `assets/demo/data`.
pub fn file_name(name: &str, split: Split) -> String {
    format!("{name}.{split}.jsonl")
}

/// What the generator writes into a split's file: one JSON object a line. `name` is one of [`NAMES`] or `general`.
///
/// # Errors
/// When there is no such domain.
pub fn file_text(name: &str, split: Split) -> Result<String> {
    let mut rng = Rng::stream(SEED, &format!("demo file {name} {split}"));
    let mut out = String::new();
    if name == "general" {
        let mut seen = HashSet::new();
        while seen.len() < GENERAL_SIZE {
            let text = general::draw_from(split, &mut rng);
            if seen.insert(text.clone()) {
                push_line(&mut out, &TextRow { text })?;
            }
        }
        return Ok(out);
    }
    let domain = NAMES.iter().position(|n| *n == name).ok_or_else(|| unknown(name))?;
    let mut seen = HashSet::new();
    let mut draws = 0;
    while seen.len() < size(domain, split) {
        draws += 1;
        if draws > 1000 * size(domain, split) {
            return Err(Error::invalid(format!("{name} has only {} different items for {split}", seen.len())));
        }
        let draft = draw_from(domain, split, &mut rng);
        if seen.insert(draft.key.clone()) {
            let (choices, gold) = draft.choices(&mut rng);
            push_line(&mut out, &Row { query: draft.context, choices, gold })?;
        }
    }
    Ok(out)
}

fn push_line(out: &mut String, row: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(row).map_err(|e| Error::invalid(format!("a demo row cannot be written: {e}")))?;
    writeln!(out, "{line}").map_err(|e| Error::invalid(e.to_string()))
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("there is no demo domain `{name}`; there are {} and general", NAMES.join(", ")))
}

macro_rules! committed {
    ($($name:literal),*) => {
        /// Text of a committed file.
        fn committed(name: &str, split: Split) -> Option<&'static str> {
            match (name, split) {
                $(
                    ($name, Split::Validation) => Some(include_str!(concat!("../../../assets/demo/data/", $name, ".validation.jsonl"))),
                    ($name, Split::Test) => Some(include_str!(concat!("../../../assets/demo/data/", $name, ".test.jsonl"))),
                )*
                _ => None,
            }
        }
    };
}
committed!("arithmetic", "logic", "sentiment", "facts", "code", "agreement", "general");

/// Text of a split's file: the committed one, or generated for training.
fn text_of(name: &str, split: Split) -> Result<std::borrow::Cow<'static, str>> {
    match committed(name, split) {
        Some(text) => Ok(text.into()),
        None => Ok(file_text(name, split)?.into()),
    }
}

fn lines<T: for<'de> Deserialize<'de>>(source: &std::path::Path, text: &str) -> Result<Vec<T>> {
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Error::Row { path: source.to_owned(), line: i + 1, message: e.to_string() })
    };
    text.lines().enumerate().map(parse).collect()
}

/// One split of one of the six domains.
///
/// # Errors
/// When `name` is not one of [`NAMES`].
pub fn domain(name: &str, split: Split) -> Result<Domain> {
    if !NAMES.contains(&name) {
        return Err(unknown(name));
    }
    let (source, text) = (source(name, split), text_of(name, split)?);
    let rows: Vec<Row> = lines(&source, &text)?;
    let items: Vec<Item> = rows
        .into_iter()
        .enumerate()
        .map(|(i, r)| Item { line: i + 1, context: r.query, choices: r.choices, gold: Some(r.gold), ..Item::default() })
        .collect();
    Ok(Domain {
        name: name.into(),
        source,
        split: split.to_string(),
        kind: DomainKind::MultipleChoice,
        template: "{query} {choice}".into(),
        items_sha256: Domain::digest(&items),
        items,
        skipped: Vec::new(),
        sha256: hash::sha256_bytes(text.as_bytes()),
        prompt: Prompting::default(),
    })
}

/// Running text with the words of all domains.
///
/// # Errors
/// When its file is broken.
pub fn general_domain(split: Split) -> Result<Domain> {
    let (source, text) = (source("general", split), text_of("general", split)?);
    let rows: Vec<TextRow> = lines(&source, &text)?;
    let items: Vec<Item> = rows.into_iter().enumerate().map(|(i, r)| Item { line: i + 1, context: r.text, ..Item::default() }).collect();
    Ok(Domain {
        name: "general".into(),
        source,
        split: split.to_string(),
        kind: DomainKind::Text,
        template: "{text}".into(),
        items_sha256: Domain::digest(&items),
        items,
        skipped: Vec::new(),
        sha256: hash::sha256_bytes(text.as_bytes()),
        prompt: Prompting::default(),
    })
}

fn source(name: &str, split: Split) -> PathBuf {
    PathBuf::from("demo").join(file_name(name, split))
}
