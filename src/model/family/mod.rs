//! Config keys and weight names of each family. No forward code.

pub mod llama;
