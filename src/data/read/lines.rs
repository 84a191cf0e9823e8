//! Plain text: one text a line, in a column called `text`.

use super::{Row, table};
use crate::{
    base::{Ctx, Result},
    data::RowProblem,
};
use serde_json::{Map, Value};

/// Rows and problems; blank lines are no rows.
///
/// # Errors
/// When the work is cancelled.
pub fn read(body: &[u8], ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>)> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (line, bytes) in numbered(body) {
        if line % 4096 == 0 {
            ctx.check()?;
        }
        match table::utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => rows.push(Row { line, fields: Map::from_iter([("text".to_owned(), Value::from(text))]) }),
            Err(message) => problems.push(RowProblem { line, message }),
        }
    }
    Ok((rows, problems))
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
        let (rows, problems) = silently(|ctx| read(b"one\r\n\n  \nb\xffd\ntwo", ctx)).expect("rows");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(rows[0].fields["text"], "one");
        assert_eq!(problems[0].line, 4);
        assert!(problems[0].message.contains("byte 2") && problems[0].message.contains("0xff"), "{}", problems[0].message);
    }
}
