//! What every reader gives, and the choice of the reader.

use super::{csv, files, jsonl, lines, lines::TextRows, parquet};
use crate::{
    base::{Ctx, Error, Result, hash},
    data::RowProblem,
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::{fs::File, io::Read as _, path::Path};

/// Longest row that is read; a longer one is a problem of that row (most often a quote that was never closed).
pub const MAX_ROW_BYTES: usize = 16 << 20;
/// Largest file that is read whole.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Rows that a preview reads of a Parquet file, whose beginning says nothing without its end.
const PREVIEW_ROWS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonLines,
    JsonArray,
    /// Values separated by this byte, as RFC 4180.
    Separated(u8),
    /// Plain text.
    Text(TextRows),
    Parquet,
}

/// How a file is read beyond what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Whether the first row of separated values names the columns; else they are called 1, 2, 3...
    pub header: bool,
    /// What is one row of a plain text.
    pub text: TextRows,
}

impl Default for How {
    fn default() -> Self {
        Self { header: true, text: TextRows::Lines }
    }
}

impl Format {
    /// The name a user knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "JSON Lines",
            Self::JsonArray => "JSON array",
            Self::Separated(b'\t') => "TSV",
            Self::Separated(b';') => "CSV (;)",
            Self::Separated(_) => "CSV",
            Self::Text(TextRows::Lines) => "text, one a line",
            Self::Text(TextRows::Paragraphs) => "text, one a paragraph",
            Self::Text(TextRows::Whole) => "text, one a file",
            Self::Parquet => "Parquet",
        }
    }
}

/// One row. `line` (from 1) is where it begins in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub line: usize,
    pub fields: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub format: Format,
    /// In the order in which they first appear.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    pub problems: Vec<RowProblem>,
    /// SHA-256 of the file; empty where only its beginning was read.
    pub sha256: String,
    /// False where only the beginning of the file was read.
    pub complete: bool,
}

/// Reads the rows of a file, of a folder of files, or of a data set in Hugging Face's cache (see [`files::resolve`]). With `first_bytes` only
/// about that much of it (whole rows).
///
/// # Errors
/// When a file cannot be read, is none of the known formats, or the work is cancelled. A bad row is no error: it is in `problems`.
pub fn read_table(path: &Path, first_bytes: Option<u64>, how: How, ctx: &Ctx<'_>) -> Result<Table> {
    let paths = files::resolve(path)?;
    let Some((first, others)) = paths.split_first() else {
        return Err(Error::format(path, "holds no file of rows"));
    };
    let mut table = read_file(first, first_bytes, how, ctx)?;
    let mut digests = files::digest_line(&table.sha256, first);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !others.is_empty() {
        table.problems.iter_mut().for_each(|p| p.message = format!("{}: {}", name(first), p.message));
    }
    for other in others {
        if first_bytes.is_some() {
            // What the first file shows is enough for a preview.
            table.complete = false;
            break;
        }
        let next = read_file(other, None, how, ctx)?;
        digests.push_str(&files::digest_line(&next.sha256, other));
        // Rows are counted through all files, so that a line names one row.
        let before = table.last_line();
        table.rows.extend(next.rows.into_iter().map(|r| Row { line: before + r.line, ..r }));
        let problem =
            |p: RowProblem| RowProblem { line: before + p.line, message: format!("{}: line {}: {}", name(other), p.line, p.message) };
        table.problems.extend(next.problems.into_iter().map(problem));
        let new: Vec<String> = next.columns.into_iter().filter(|c| !table.columns.contains(c)).collect();
        table.columns.extend(new);
    }
    if !others.is_empty() && table.complete {
        table.sha256 = hash::sha256_bytes(digests.as_bytes());
    }
    Ok(table)
}

fn read_file(path: &Path, first_bytes: Option<u64>, how: How, ctx: &Ctx<'_>) -> Result<Table> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, e))?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic).map_err(|e| Error::io(path, e))?;
    if magic == b"PAR1" {
        let (rows, complete) = parquet::read(path, &parquet::Opened(file, meta.len()), first_bytes.map(|_| PREVIEW_ROWS), ctx)?;
        let sha256 = if complete && first_bytes.is_none() { hash::sha256_file(path, ctx)? } else { String::new() };
        return Ok(Table { sha256, complete, ..Table::new(Format::Parquet, rows, Vec::new(), Vec::new()) });
    }
    let (mut bytes, sha256, complete) = load(path, first_bytes, ctx)?;
    if !complete {
        let end = bytes.iter().rposition(|&b| b == b'\n').map_or(bytes.len(), |i| i + 1);
        bytes.truncate(end);
    }
    let table = parse(path, &bytes, how, ctx)?;
    Ok(Table { sha256, complete, ..table })
}

/// As [`read_table`], one file from memory; the extension of `path` helps to tell the format.
///
/// # Errors
/// See [`read_table`].
pub fn parse(path: &Path, bytes: &[u8], how: How, ctx: &Ctx<'_>) -> Result<Table> {
    let format = detect(path, bytes, how)?;
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (rows, problems, header_columns) = match format {
        Format::JsonLines => with_no_header(jsonl::read_lines(body, ctx)?),
        Format::JsonArray => with_no_header(jsonl::read_array(body, ctx)?),
        Format::Separated(by) => csv::read(body, by, how.header, ctx).map_err(|e| named(path, e))?,
        Format::Text(rows) => with_no_header(lines::read(body, rows, ctx)?),
        Format::Parquet => (parquet::read(path, &bytes, None, ctx)?.0, Vec::new(), Vec::new()),
    };
    Ok(Table::new(format, rows, problems, header_columns))
}

/// A reader of bytes knows no file.
fn named(path: &Path, e: Error) -> Error {
    match e {
        Error::Invalid(message) => Error::format(path, message),
        other => other,
    }
}

impl Table {
    fn new(format: Format, rows: Vec<Row>, problems: Vec<RowProblem>, header: Vec<String>) -> Self {
        let mut columns = header;
        let mut seen: std::collections::HashSet<String> = columns.iter().cloned().collect();
        for name in rows.iter().flat_map(|r: &Row| r.fields.keys()) {
            if !seen.contains(name) {
                seen.insert(name.clone());
                columns.push(name.clone());
            }
        }
        Self { format, columns, rows, problems, sha256: String::new(), complete: true }
    }
    fn last_line(&self) -> usize {
        self.rows.iter().map(|r| r.line).chain(self.problems.iter().map(|p| p.line)).max().unwrap_or(0)
    }
}

type Parsed = (Vec<Row>, Vec<RowProblem>, Vec<String>);

fn with_no_header((rows, problems): (Vec<Row>, Vec<RowProblem>)) -> Parsed {
    (rows, problems, Vec::new())
}

fn load(path: &Path, first_bytes: Option<u64>, ctx: &Ctx<'_>) -> Result<(Vec<u8>, String, bool)> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, e))?;
    let limit = first_bytes.unwrap_or(MAX_FILE_BYTES);
    if first_bytes.is_none() && meta.len() > limit {
        return Err(Error::format(
            path,
            format!("has {} MB; at most {} MB are read: take a part of it (`head -n 100000`)", meta.len() >> 20, limit >> 20),
        ));
    }
    let mut file = file.take(limit + 1);
    let mut hasher = Sha256::new();
    let mut bytes = Vec::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        ctx.check()?;
        let n = file.read(&mut buffer).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        bytes.extend_from_slice(&buffer[..n]);
    }
    let complete = bytes.len() as u64 <= limit;
    bytes.truncate(limit as usize);
    let sha256 = if complete { hasher.finalize().iter().map(|b| format!("{b:02x}")).collect() } else { String::new() };
    Ok((bytes, sha256, complete))
}

/// The extension decides where it says enough, else the first bytes.
fn detect(path: &Path, bytes: &[u8], how: How) -> Result<Format> {
    let refuse = |what: &str| Err(Error::format(path, what));
    match bytes {
        [b'P', b'A', b'R', b'1', ..] => return Ok(Format::Parquet),
        [0x1f, 0x8b, ..] => return refuse("is compressed (gzip); unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return refuse("is compressed (zstd); unpack it first"),
        [b'P', b'K', 3, 4, ..] => return refuse("is a ZIP archive or a spreadsheet; unpack it, or save it as CSV"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return refuse("is UTF-16 text; save it as UTF-8"),
        _ => {}
    }
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    let Some(&first) = first else {
        return refuse("is empty");
    };
    let head = first_line(body);
    Ok(match (extension.as_str(), first) {
        ("parquet", _) => return refuse("does not begin as a Parquet file; was the download cut short?"),
        ("txt" | "text", _) => Format::Text(how.text),
        ("tsv" | "tab", _) => Format::Separated(b'\t'),
        ("csv", _) => Format::Separated(csv::separator(head).unwrap_or(b',')),
        ("json" | "jsonl" | "ndjson", b'[') => Format::JsonArray,
        ("jsonl" | "ndjson", _) | (_, b'{') => Format::JsonLines,
        ("json", _) => return refuse("begins neither with { nor with [, so it is no JSON of rows"),
        (_, b'[') => Format::JsonArray,
        _ => csv::separator(head).map_or(Format::Text(how.text), Format::Separated),
    })
}

/// The first line that is not blank, at most 64 KiB of it.
fn first_line(body: &[u8]) -> &[u8] {
    let start = body.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
    let rest = &body[start..body.len().min(start + (64 << 10))];
    &rest[..rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())]
}

/// Text of a piece of the file, or what is wrong with it.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_ROW_BYTES {
        return Err(format!("the row has {} bytes; at most {MAX_ROW_BYTES} are read", bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        format!("byte {} of the row (0x{:02x}) is not UTF-8; save the file as UTF-8", at + 1, bytes[at])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;
    use proptest::prelude::*;

    fn table(name: &str, bytes: &[u8]) -> Result<Table> {
        silently(|ctx| parse(Path::new(name), bytes, How::default(), ctx))
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for name in ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a"] {
                let _ = table(name, &bytes);
                let _ = silently(|ctx| parse(Path::new(name), &bytes, How { header: false, text: TextRows::Paragraphs }, ctx));
            }
        }
        #[test]
        fn arbitrary_punctuation_never_panics(text in "[\\[\\]{}\",:;\\\\\t\r\n a0é\u{feff}]{0,120}") {
            for name in ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a"] {
                if let Ok(t) = table(name, text.as_bytes()) {
                    let lines = text.bytes().filter(|&b| b == b'\n').count() + 1;
                    prop_assert!(t.rows.iter().all(|r| r.line >= 1 && r.line <= lines));
                    prop_assert!(t.problems.iter().all(|p| p.line >= 1 && p.line <= lines), "{:?}", t.problems);
                }
            }
        }
    }

    #[test]
    fn formats_are_told_apart_without_an_extension() {
        for (bytes, format) in [
            (&b"\xef\xbb\xbf{\"text\": \"a\"}\n"[..], Format::JsonLines),
            (b" [ {\"text\": \"a\"} ]", Format::JsonArray),
            (b"a,b\n1,2\n", Format::Separated(b',')),
            (b"a\tb, c\n1\t2\n", Format::Separated(b'\t')),
            (b"One day, a cat", Format::Separated(b',')),
            (b"One day a cat\nsat\n", Format::Text(TextRows::Lines)),
        ] {
            assert_eq!(table("a", bytes).expect("table").format, format, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn files_that_are_no_text_say_what_to_do() {
        for (bytes, word) in [
            (&b"PAR1...."[..], "Parquet"),
            (b"PAR1 but nothing else of one", "Parquet"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"\n \n", "empty"),
            (b"PK\x03\x04", "ZIP"),
        ] {
            let e = table("a.csv", bytes).expect_err(word).to_string();
            assert!(e.contains(word) && e.contains("a.csv"), "{e}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_file_and_a_beginning_ends_at_a_whole_row() {
        let file = tempfile::NamedTempFile::with_suffix(".txt").expect("temporary file");
        std::fs::write(file.path(), "one\ntwo\nthree\n").expect("write");
        silently(|ctx| {
            let whole = read_table(file.path(), None, How::default(), ctx).expect("whole");
            assert_eq!(whole.sha256, crate::base::hash::sha256_bytes(b"one\ntwo\nthree\n"));
            assert!(whole.complete && whole.rows.len() == 3);
            let part = read_table(file.path(), Some(6), How::default(), ctx).expect("part");
            assert!(!part.complete && part.rows.len() == 1 && part.sha256.is_empty());
        });
    }
}
