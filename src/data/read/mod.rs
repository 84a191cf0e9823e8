//! Files of rows: JSON Lines, a JSON array, CSV, TSV, Parquet, plain text. A reader turns bytes into rows of named values and knows no meaning.

pub mod csv;
pub mod files;
pub mod jsonl;
pub mod lines;
pub mod parquet;
pub mod table;

pub use lines::TextRows;
pub use table::{Format, How, Row, Table, read_table};
