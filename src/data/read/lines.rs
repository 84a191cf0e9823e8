//! Plain text, in a column called `text`: one row a line (the default), a paragraph (what stands between blank lines), or the whole file.

use super::{Row, table};
use crate::{
    base::{Ctx, Result},
    data::RowProblem,
};
use serde_json::{Map, Value};

/// What is one row of a plain text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextRows {
    /// Each line that is not blank.
    #[default]
    Lines,
    /// Lines up to the next blank one, with their line ends between them.
    Paragraphs,
    Whole,
}

/// Rows and problems; what is blank is no row.
///
/// # Errors
/// When the work is cancelled.
pub fn read(body: &[u8], unit: TextRows, ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>)> {
    let pieces: Box<dyn Iterator<Item = (usize, &[u8])>> = match unit {
        TextRows::Lines => Box::new(numbered(body)),
        TextRows::Paragraphs => Box::new(paragraphs(body)),
        TextRows::Whole => Box::new(std::iter::once((1, body))),
    };
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (i, (line, bytes)) in pieces.enumerate() {
        if i % 4096 == 0 {
            ctx.check()?;
        }
        match table::utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => rows.push(Row { line, fields: Map::from_iter([("text".to_owned(), Value::from(text.replace("\r\n", "\n")))]) }),
            Err(message) => problems.push(RowProblem { line, message }),
        }
    }
    Ok((rows, problems))
}

/// Paragraphs with the line each begins on.
fn paragraphs(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        let blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        let mut found: Option<(usize, usize, usize)> = None;
        while at < body.len() {
            let end = body[at..].iter().position(|&b| b == b'\n').map_or(body.len(), |n| at + n);
            let (here, number) = (&body[at..end], line);
            let start = at;
            (at, line) = ((end + 1).min(body.len()), line + 1);
            match (&mut found, blank(here)) {
                (Some(_), true) => break,
                (Some(paragraph), false) => paragraph.2 = end,
                (None, true) => {}
                (None, false) => found = Some((number, start, end)),
            }
        }
        let (number, start, end) = found?;
        let text = &body[start..end];
        Some((number, text.strip_suffix(b"\r").unwrap_or(text)))
    })
}

/// Lines from 1, without their line ends (LF or CR LF).
pub(super) fn numbered(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = body.split(|&b| b == b'\n').enumerate();
    lines.map(|(i, line)| (i + 1, line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;

    #[test]
    fn blank_lines_are_skipped_and_bad_bytes_named() {
        let (rows, problems) = silently(|ctx| read(b"one\r\n\n  \nb\xffd\ntwo", TextRows::Lines, ctx)).expect("rows");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(rows[0].fields["text"], "one");
        assert_eq!(problems[0].line, 4);
        assert!(problems[0].message.contains("byte 2") && problems[0].message.contains("0xff"), "{}", problems[0].message);
    }

    #[test]
    fn paragraphs_lie_between_blank_lines() {
        let body = b"\n\none\r\nmore\r\n \t\r\ntwo\n\n\nthree";
        let (rows, problems) = silently(|ctx| read(body, TextRows::Paragraphs, ctx)).expect("rows");
        let texts: Vec<_> = rows.iter().map(|r| (r.line, r.fields["text"].as_str().expect("text"))).collect();
        assert_eq!((texts, problems.len()), (vec![(3, "one\nmore"), (6, "two"), (9, "three")], 0));
        let (rows, _) = silently(|ctx| read(b"one\n\ntwo\n", TextRows::Whole, ctx)).expect("rows");
        assert_eq!((rows.len(), &rows[0].fields["text"]), (1, &Value::from("one\n\ntwo\n")));
        assert!(silently(|ctx| read(b" \n\n", TextRows::Paragraphs, ctx)).expect("rows").0.is_empty());
    }
}
