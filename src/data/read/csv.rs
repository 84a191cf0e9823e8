//! CSV and TSV (RFC 4180): quotes, embedded line ends, BOM, CR LF. All values are strings.

use super::{
    Row,
    table::{self, MAX_ROW_BYTES},
};
use crate::{
    base::{Ctx, Error, Result},
    data::RowProblem,
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Every row repeats the names of its columns in memory: a header that is no header must not make a small file large.
const MAX_COLUMNS: usize = 2_000;
const MAX_NAME_BYTES: usize = 1_000;

/// The separator of a header line: the most frequent of tab, comma, semicolon and bar outside quotes; `None` without any.
pub(super) fn separator(head: &[u8]) -> Option<u8> {
    let mut quoted = false;
    let mut counts = [(0usize, b'\t'), (0, b','), (0, b';'), (0, b'|')];
    for &b in head {
        quoted ^= b == b'"';
        if let Some(c) = counts.iter_mut().find(|c| c.1 == b && !quoted) {
            c.0 += 1;
        }
    }
    // A tab hardly ever stands in a header by chance, a comma may stand in a name.
    if counts[0].0 > 0 {
        return Some(b'\t');
    }
    counts.iter().copied().max_by_key(|c| c.0).filter(|c| c.0 > 0).map(|c| c.1)
}

/// Rows, problems and the header's columns. Tab-separated files often hold bare quotes in their text; they are read the way that leaves
/// fewer rows broken.
///
/// # Errors
/// When there are too many columns, or the work is cancelled.
pub fn read(body: &[u8], by: u8, header: bool, ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>, Vec<String>)> {
    let quoted = read_as(body, by, header, true, ctx)?;
    if by != b'\t' || !body.contains(&b'"') {
        return Ok(quoted);
    }
    let plain = read_as(body, by, header, false, ctx)?;
    let better = (plain.1.len(), quoted.0.len()) < (quoted.1.len(), plain.0.len());
    Ok(if better { plain } else { quoted })
}

fn read_as(body: &[u8], by: u8, header: bool, quoting: bool, ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>, Vec<String>)> {
    let mut reader = csv::ReaderBuilder::new().delimiter(by).flexible(true).has_headers(false).quoting(quoting).from_reader(body);
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut columns: Option<Vec<String>> = None;
    let mut record = csv::ByteRecord::new();
    // The crate's own line numbers are one short after CR LF and blank lines, so they are counted here.
    let (mut line, mut at) = (1usize, 0usize);
    for i in 0.. {
        if i % 1024 == 0 {
            ctx.check()?;
        }
        let start = reader.position().byte() as usize;
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            // Reading from memory does not fail; whatever the crate may add, the file simply ends there.
            Err(e) => {
                problems.push(RowProblem { line, message: format!("cannot be read: {e}") });
                break;
            }
        }
        let skipped = body[start.min(body.len())..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let begin = (start + skipped).min(body.len());
        line += body[at..begin].iter().filter(|&&b| b == b'\n').count();
        at = begin;
        let names = match &columns {
            Some(names) => names,
            None if record.len() > MAX_COLUMNS => {
                return Err(Error::invalid(format!("has {} columns, at most {MAX_COLUMNS} are read; is it a table?", record.len())));
            }
            None if header => {
                columns = Some(unique_names(&record));
                continue;
            }
            None => columns.insert((1..=record.len()).map(|i| i.to_string()).collect()),
        };
        match fields(&record, names) {
            Ok(fields) => rows.push(Row { line, fields }),
            Err(message) => problems.push(RowProblem { line, message }),
        }
    }
    Ok((rows, problems, columns.unwrap_or_default()))
}

fn fields(record: &csv::ByteRecord, names: &[String]) -> Result<Map<String, Value>, String> {
    if record.as_slice().len() > MAX_ROW_BYTES {
        return Err(format!("the row has {} bytes: a quote opened here was never closed?", record.as_slice().len()));
    }
    if record.len() != names.len() {
        return Err(format!("has {} fields, the header has {}", record.len(), names.len()));
    }
    let value = |(name, bytes): (&String, &[u8])| Ok((name.clone(), Value::from(table::utf8(bytes)?)));
    names.iter().zip(record.iter()).map(value).collect()
}

/// Names of the header; an empty one is called by its place, a repeated one gets a number, a long one is cut.
fn unique_names(record: &csv::ByteRecord) -> Vec<String> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::with_capacity(record.len());
    for (i, bytes) in record.iter().enumerate() {
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NAME_BYTES)]).trim().to_owned();
        let base = if name.is_empty() { (i + 1).to_string() } else { name };
        let mut name = base.clone();
        let mut n = taken.get(&base).copied().unwrap_or(0);
        while taken.contains_key(&name) {
            n = n.max(1) + 1;
            name = format!("{base}_{n}");
        }
        taken.insert(base, n.max(1));
        taken.entry(name.clone()).or_insert(1);
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;
    use proptest::prelude::*;

    fn csv(body: &[u8]) -> (Vec<Row>, Vec<RowProblem>, Vec<String>) {
        silently(|ctx| read(body, b',', true, ctx)).expect("rows")
    }

    #[test]
    fn quotes_line_ends_and_lines_are_right() {
        let (rows, problems, columns) = csv(b"text,label\r\n\"a, \"\"b\"\"\r\nc\",1\r\n\r\nd,2,3\r\n\xff,4\r\ne,5");
        assert_eq!(columns, ["text", "label"]);
        assert_eq!(rows[0].fields["text"], "a, \"b\"\r\nc");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [5, 6]);
        assert!(problems[0].message.contains("3 fields, the header has 2"), "{problems:?}");
    }

    #[test]
    fn a_header_gets_usable_names_and_can_be_absent() {
        assert_eq!(csv(b"a,,a, b \n").2, ["a", "2", "a_2", "b"]);
        assert_eq!(csv(b"a,a,a_2,a\n").2, ["a", "a_2", "a_2_2", "a_3"]);
        let (rows, _, columns) = silently(|ctx| read(b"x,y\nz,w\n", b',', false, ctx)).expect("rows");
        assert_eq!((rows.len(), columns), (2, vec!["1".to_owned(), "2".to_owned()]));
    }

    #[test]
    fn a_header_that_is_none_cannot_make_every_row_large() {
        let e = silently(|ctx| read(&[b','; 100_000], b',', true, ctx)).expect_err("columns").to_string();
        assert!(e.contains("100001 columns"), "{e}");
        let long = format!("{},b\n1,2\n", "x".repeat(100_000));
        let (rows, _, columns) = csv(long.as_bytes());
        assert_eq!((rows.len(), columns[0].len()), (1, MAX_NAME_BYTES));
    }

    #[test]
    fn bare_quotes_in_a_tsv_are_text() {
        let body = b"a\tb\n\"Hello, she said\t1\nsecond\t2\n";
        let (rows, problems, _) = silently(|ctx| read(body, b'\t', true, ctx)).expect("rows");
        assert_eq!((rows.len(), problems.len()), (2, 0));
        assert_eq!(rows[0].fields["a"], "\"Hello, she said");
    }

    #[test]
    fn the_separator_is_found_outside_quotes() {
        assert_eq!(separator(b"\"a;b;c\",d"), Some(b','));
        assert_eq!(separator(b"a;b,c;d"), Some(b';'));
        assert_eq!(separator(b"text"), None);
    }

    proptest! {
        #[test]
        fn written_by_the_csv_crate_reads_back(cells in proptest::collection::vec(("\\PC{1,12}", "[a\",\r\n\t]{1,8}"), 1..10)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["x", "y"]).expect("header");
            for (x, y) in &cells {
                writer.write_record([x, y]).expect("row");
            }
            let bytes = writer.into_inner().expect("bytes");
            let (rows, problems, _) = csv(&bytes);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            let back: Vec<(String, String)> = rows
                .iter()
                .map(|r| (r.fields["x"].as_str().expect("x").to_owned(), r.fields["y"].as_str().expect("y").to_owned()))
                .collect();
            prop_assert_eq!(back, cells);
        }
    }
}
