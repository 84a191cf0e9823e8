//! Rows of JSON Lines into items: an error or a domain, whatever the bytes.
#![no_main]

mod rows;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rows::read(&["rows.jsonl"], data));
