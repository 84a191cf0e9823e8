//! Text in: datasets, domains, column mapping, prompts. And the generated demo domains.

pub mod demo;
pub mod domain;
pub mod gold;
pub mod mapping;
pub mod open;
pub mod prompt;
pub mod read;
pub mod recipes;
pub mod row;

pub use domain::{DELIMITER, Domain, DomainKind, Item, Mapping, RowProblem, Shot, TextPair};
pub use open::{Preview, PreviewReading, domain_from_bytes, open_domain, preview};
pub use prompt::{PromptTemplate, Prompting, ShotOrder, Shots};
pub use read::files::{canonical as canonical_path, is_hub};
