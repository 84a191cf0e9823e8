//! A domain: a named list of items that a model reads, and maybe answers.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// `context` only; the loss runs over all of its tokens.
    Text,
    /// One right answer to generate (`choices` holds just it); the loss runs over its tokens.
    Answer,
    /// `choices` of which `gold` is right.
    MultipleChoice,
}

/// Stands between a context and a choice, as in lm-evaluation-harness (`target_delimiter`).
pub const DELIMITER: &str = " ";

/// One row, turned into what the model reads: a context, [`DELIMITER`], a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Line in the source file, from 1.
    pub line: usize,
    pub context: String,
    pub choices: Vec<String>,
    /// Index into `choices`; `None` only for [`DomainKind::Text`].
    pub gold: Option<usize>,
    /// Empty, but for questions whose choices differ in the context and share the continuation (WinoGrande): the context of each choice. There
    /// `context` repeats the gold choice's, so that who needs one prompt has the right one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choice_contexts: Vec<String>,
}

impl Item {
    /// What stands before choice `i`.
    pub fn context_of(&self, i: usize) -> &str {
        self.choice_contexts.get(i).unwrap_or(&self.context)
    }
    /// What is scored of choice `i`: the delimiter and the choice. A choice that begins with white space (code) brings its own delimiter.
    pub fn continuation(&self, i: usize) -> String {
        let choice = &self.choices[i];
        if choice.starts_with(char::is_whitespace) { choice.clone() } else { format!("{DELIMITER}{choice}") }
    }
    /// Context and gold choice as the model reads them; the context alone where nothing is asked.
    pub fn gold_text(&self) -> String {
        match self.gold {
            Some(gold) => format!("{}{}", self.context_of(gold), self.continuation(gold)),
            None => self.context.clone(),
        }
    }
}

/// A row that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowProblem {
    pub line: usize,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub name: String,
    pub source: PathBuf,
    /// For a demo domain `train`, `validation` or `test`; `all` for a file of the user's.
    pub split: String,
    pub kind: DomainKind,
    /// How a prompt is made from a row, in words: shown to the user and stored with results.
    pub template: String,
    pub items: Vec<Item>,
    pub skipped: Vec<RowProblem>,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Which column plays which part. Empty: detected from the names. Keys a user writes as `--map NAME.FIELD=COLUMN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mapping {
    /// FIELD -> COLUMN; fields: text, label, question, context, choices, answer, ... (see `data::mapping`).
    pub columns: std::collections::BTreeMap<String, String>,
    /// Refuse the file at its first bad row instead of skipping such rows.
    pub strict: bool,
}
