//! How a domain's prompts are made beyond its columns: a template, a description, examples, the model's chat template.

pub mod escape;
mod shots;
mod template;

pub use shots::add_shots;
pub(super) use template::Compiled;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// lm-evaluation-harness's default seed of the examples.
pub const SHOT_SEED: u64 = 1234;

/// Default: the recipe's own prompt, no examples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prompting {
    pub template: Option<PromptTemplate>,
    /// Stands once before the examples; a template like the prompt's. `None`: the recipe's own, where it has one.
    pub description: Option<String>,
    pub shots: Shots,
    /// Put the prompt through the model's chat template.
    pub chat: bool,
}

/// The harness's `doc_to_text`, `doc_to_choice` and `doc_to_target`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptTemplate {
    /// `{{question}}\nAnswer:`
    pub text: String,
    /// `{{choices}}`, `{{[sol1, sol2]}}`, or a list of templates `["no", "yes"]`. `None`: the recipe's.
    pub choices: Option<String>,
    /// `{{label}}`: the right choice by index, letter or text; without choices the answer itself. `None`: the recipe's.
    pub target: Option<String>,
}

impl PromptTemplate {
    /// Whether it leaves something to the recipe: then the columns must fit one.
    pub fn needs_recipe(&self) -> bool {
        self.target.is_none()
    }
}

/// Examples before each question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shots {
    pub count: usize,
    pub seed: u64,
    pub order: ShotOrder,
    /// A file of examples, read like the domain's own. `None`: the domain's other rows.
    pub from: Option<PathBuf>,
}

impl Default for Shots {
    fn default() -> Self {
        Self { count: 0, seed: SHOT_SEED, order: ShotOrder::Random, from: None }
    }
}

/// Which rows become examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShotOrder {
    /// Drawn anew for every question, as the harness does.
    #[default]
    Random,
    /// The first of the file, for every question the same (the harness's `first_n`).
    First,
}

impl Prompting {
    /// What is added to the words of a domain's template; empty where nothing is.
    pub fn words(&self) -> String {
        let mut words = String::new();
        if self.description.as_ref().is_some_and(|d| !d.is_empty()) {
            words.push_str("; after a description");
        }
        let Shots { count, seed, order, from } = &self.shots;
        if *count > 0 {
            let place = from.as_ref().map_or("the other rows".to_owned(), |f| f.display().to_string());
            let which = match order {
                ShotOrder::Random => format!("drawn from {place} with seed {seed}"),
                ShotOrder::First => format!("the first of {place}"),
            };
            words.push_str(&format!("; after {count} {}, {which}", if *count == 1 { "example" } else { "examples" }));
        }
        if self.chat {
            words.push_str("; in the model's chat template");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_added_and_nothing_else() {
        assert_eq!(Prompting::default().words(), "");
        let shots = Shots { count: 5, ..Shots::default() };
        let all = Prompting { description: Some("d".into()), shots, chat: true, ..Prompting::default() };
        assert_eq!(
            all.words(),
            "; after a description; after 5 examples, drawn from the other rows with seed 1234; in the model's chat template"
        );
    }

    #[test]
    fn old_projects_have_no_prompting_and_partial_ones_fill_up() {
        let read = |text: &str| serde_json::from_str::<Prompting>(text).expect(text);
        assert_eq!(read("{}"), Prompting::default());
        assert_eq!(read(r#"{"shots": {"count": 2}}"#).shots, Shots { count: 2, ..Shots::default() });
    }
}
