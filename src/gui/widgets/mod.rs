//! Charts, tables and controls that panels are made of. They take plain values and know no `App`; only `states` looks into a `PanelCx`.

pub mod axis;
pub mod five_numbers;
pub mod number;
pub mod states;

pub use crate::scan::recount;
