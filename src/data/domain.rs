//! A domain: a named list of items that a model reads, and maybe answers.

use super::prompt::Prompting;
use crate::base::hash;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, path::PathBuf, sync::Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// `context` only; the loss runs over all of its tokens.
    Text,
    /// One right answer to generate (`choices` holds just it); the loss runs over its tokens.
    Answer,
    /// `choices` of which `gold` is right.
    MultipleChoice,
    /// Two texts with a score of their likeness, read one under the other; the loss runs over all tokens.
    Pairs,
}

/// Stands between a context and a choice, as in lm-evaluation-harness (`target_delimiter`).
pub const DELIMITER: &str = " ";

/// Stands between two examples, as in lm-evaluation-harness (`fewshot_delimiter`).
pub const SHOT_DELIMITER: &str = "\n\n";

/// One row, turned into what the model reads: a description, examples, a context, [`DELIMITER`], a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Line in the source file, from 1.
    pub line: usize,
    pub context: String,
    pub choices: Vec<String>,
    /// Index into `choices`; `None` where nothing is asked ([`DomainKind::Text`], [`DomainKind::Pairs`]).
    pub gold: Option<usize>,
    /// Empty, but for questions whose choices differ in the context and share the continuation (WinoGrande): the context of each choice. There
    /// `context` repeats the gold choice's, so that who needs one prompt has the right one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choice_contexts: Vec<String>,
    /// Stands once before all examples; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Answered examples that stand before the context; never the row itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shots: Vec<Arc<Shot>>,
    /// The model reads it through its own chat template: description, examples and context become messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chat: bool,
    /// What the row sets side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<TextPair>,
}

/// An answered example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// Line of its row, in the same file or in the one that examples are taken from.
    pub line: usize,
    pub context: String,
    pub answer: String,
}

/// Two texts of a row: sentences with the likeness that people gave them, or a prompt and its corrupted twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextPair {
    pub first: String,
    pub second: String,
    pub score: Option<f64>,
}

/// A score comes from a file and is never NaN.
impl Eq for TextPair {}

fn joined(choice: &str) -> String {
    // A choice that begins with white space (code) brings its own delimiter.
    if choice.starts_with(char::is_whitespace) { choice.to_owned() } else { format!("{DELIMITER}{choice}") }
}

impl Shot {
    /// Question and answer as they stand in a prompt.
    pub fn text(&self) -> String {
        format!("{}{}", self.context, joined(&self.answer))
    }
}

impl Item {
    /// The row's own text before choice `i`.
    pub fn context_of(&self, i: usize) -> &str {
        self.choice_contexts.get(i).unwrap_or(&self.context)
    }
    /// Description and examples.
    pub fn before(&self) -> String {
        let mut text = self.description.clone();
        for shot in &self.shots {
            text.push_str(&shot.text());
            text.push_str(SHOT_DELIMITER);
        }
        text
    }
    /// All that stands before choice `i`, without a chat template.
    pub fn prompt_of(&self, i: usize) -> Cow<'_, str> {
        let own = self.context_of(i);
        if self.description.is_empty() && self.shots.is_empty() { own.into() } else { format!("{}{own}", self.before()).into() }
    }
    /// What is scored of choice `i`: the delimiter and the choice. After a chat template, which ends a turn, the choice alone.
    pub fn continuation(&self, i: usize) -> String {
        let choice = &self.choices[i];
        if self.chat { choice.clone() } else { joined(choice) }
    }
    /// Prompt and gold choice as the model reads them without a chat template; the context alone where nothing is asked.
    pub fn gold_text(&self) -> String {
        match self.gold {
            Some(gold) => format!("{}{}", self.prompt_of(gold), self.continuation(gold)),
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
    /// SHA-256 of the items themselves: what the model reads, whatever file, mapping and examples it came from.
    pub items_sha256: String,
    pub prompt: Prompting,
}

impl Domain {
    /// Digest of items for [`Domain::items_sha256`].
    pub fn digest(items: &[Item]) -> String {
        hash::sha256_json(&items)
    }
}

/// How a file is read: which column plays which part (empty: detected from the names; keys a user writes as `--map NAME.FIELD=COLUMN`), and how
/// prompts are made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mapping {
    /// FIELD -> COLUMN; fields: text, label, question, context, choices, answer, ... (see `data::mapping`).
    pub columns: std::collections::BTreeMap<String, String>,
    /// Refuse the file at its first bad row instead of skipping such rows.
    pub strict: bool,
    pub prompt: Box<Prompting>,
}
