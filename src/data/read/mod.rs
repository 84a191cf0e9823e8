//! Files of rows: JSON Lines, a JSON array, CSV, TSV, one text a line. A reader turns bytes into rows of named values and knows no meaning.

pub mod csv;
pub mod jsonl;
pub mod lines;
pub mod table;

pub use table::{Format, Row, Table, read_table};
