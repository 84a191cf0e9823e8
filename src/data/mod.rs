//! Text in: datasets, domains, column mapping, prompts. And the generated demo domains.

pub mod demo;
pub mod domain;
pub mod gold;
pub mod mapping;
pub mod open;
pub mod read;
pub mod recipes;
pub mod row;

pub use domain::{DELIMITER, Domain, DomainKind, Item, Mapping, RowProblem};
pub use open::{Preview, PreviewReading, open_domain, preview};
