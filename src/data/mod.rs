//! Text in: datasets, domains, column mapping, prompts. And the generated demo domains.

pub mod domain;

pub use domain::{Domain, DomainKind, Item, Mapping, RowProblem};
