//! Charts, tables and controls that panels are made of. They take plain values and know no `App`.

pub mod axis;
pub mod five_numbers;
pub mod number;

pub use crate::scan::recount;
