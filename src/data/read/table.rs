//! What every reader gives, and the choice of the reader.

use super::{csv, jsonl, lines};
use crate::{
    base::{Ctx, Error, Result},
    data::RowProblem,
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::{fs::File, io::Read as _, path::Path};

/// Longest row that is read; a longer one is a problem of that row (most often a quote that was never closed).
pub const MAX_ROW_BYTES: usize = 16 << 20;
/// Largest file that is read whole.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonLines,
    JsonArray,
    /// Values separated by this byte, as RFC 4180.
    Separated(u8),
    /// One text a line.
    Lines,
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
            Self::Lines => "text, one a line",
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

/// Reads a file of rows. With `first_bytes` only about that much of it (whole rows). `header` false: a separated file without a header line,
/// whose columns are called 1, 2, 3...
///
/// # Errors
/// When the file cannot be read, is none of the known formats, or the work is cancelled. A bad row is no error: it is in `problems`.
pub fn read_table(path: &Path, first_bytes: Option<u64>, header: bool, ctx: &Ctx<'_>) -> Result<Table> {
    let (mut bytes, sha256, complete) = load(path, first_bytes, ctx)?;
    if !complete {
        let end = bytes.iter().rposition(|&b| b == b'\n').map_or(bytes.len(), |i| i + 1);
        bytes.truncate(end);
    }
    let table = parse(path, &bytes, header, ctx)?;
    Ok(Table { sha256, complete, ..table })
}

/// As [`read_table`], from memory; the extension of `path` helps to tell the format.
///
/// # Errors
/// See [`read_table`].
pub fn parse(path: &Path, bytes: &[u8], header: bool, ctx: &Ctx<'_>) -> Result<Table> {
    let format = detect(path, bytes)?;
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (rows, problems, header_columns) = match format {
        Format::JsonLines => with_no_header(jsonl::read_lines(body, ctx)?),
        Format::JsonArray => with_no_header(jsonl::read_array(body, ctx)?),
        Format::Separated(by) => csv::read(body, by, header, ctx)?,
        Format::Lines => with_no_header(lines::read(body, ctx)?),
    };
    let mut columns = header_columns;
    let mut seen: std::collections::HashSet<String> = columns.iter().cloned().collect();
    for name in rows.iter().flat_map(|r: &Row| r.fields.keys()) {
        if !seen.contains(name) {
            seen.insert(name.clone());
            columns.push(name.clone());
        }
    }
    Ok(Table { format, columns, rows, problems, sha256: String::new(), complete: true })
}

type Parsed = (Vec<Row>, Vec<RowProblem>, Vec<String>);

fn with_no_header((rows, problems): (Vec<Row>, Vec<RowProblem>)) -> Parsed {
    (rows, problems, Vec::new())
}

fn load(path: &Path, first_bytes: Option<u64>, ctx: &Ctx<'_>) -> Result<(Vec<u8>, String, bool)> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, e))?;
    if meta.is_dir() {
        return Err(Error::format(path, "is a folder; give a .jsonl, .json, .csv, .tsv or .txt file"));
    }
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
fn detect(path: &Path, bytes: &[u8]) -> Result<Format> {
    let refuse = |what: &str| Err(Error::format(path, what));
    match bytes {
        [b'P', b'A', b'R', b'1', ..] => {
            return refuse(
                "is a Parquet file, which cannot be read yet; save it as JSON Lines (pandas: df.to_json(path, orient=\"records\", lines=True))",
            );
        }
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
        ("txt" | "text", _) => Format::Lines,
        ("tsv" | "tab", _) => Format::Separated(b'\t'),
        ("csv", _) => Format::Separated(csv::separator(head).unwrap_or(b',')),
        ("json" | "jsonl" | "ndjson", b'[') => Format::JsonArray,
        ("jsonl" | "ndjson", _) | (_, b'{') => Format::JsonLines,
        ("json", _) => return refuse("begins neither with { nor with [, so it is no JSON of rows"),
        (_, b'[') => Format::JsonArray,
        _ => csv::separator(head).map_or(Format::Lines, Format::Separated),
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
        silently(|ctx| parse(Path::new(name), bytes, true, ctx))
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for name in ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a"] {
                let _ = table(name, &bytes);
                let _ = silently(|ctx| parse(Path::new(name), &bytes, false, ctx));
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
            (b"One day a cat\nsat\n", Format::Lines),
        ] {
            assert_eq!(table("a", bytes).expect("table").format, format, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn files_that_are_no_text_say_what_to_do() {
        for (bytes, word) in [
            (&b"PAR1...."[..], "Parquet"),
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
            let whole = read_table(file.path(), None, true, ctx).expect("whole");
            assert_eq!(whole.sha256, crate::base::hash::sha256_bytes(b"one\ntwo\nthree\n"));
            assert!(whole.complete && whole.rows.len() == 3);
            let part = read_table(file.path(), Some(6), true, ctx).expect("part");
            assert!(!part.complete && part.rows.len() == 1 && part.sha256.is_empty());
        });
    }
}
