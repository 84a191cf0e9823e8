//! JSON Lines and JSON arrays of objects. An array is cut into its elements first, so that one bad element loses only itself.

use super::{Row, lines, table};
use crate::{
    base::{Ctx, Result, json::UniqueKeys},
    data::RowProblem,
};
use serde_json::{Map, Value};

/// One object a line; blank lines are no rows.
///
/// # Errors
/// When the work is cancelled.
pub fn read_lines(body: &[u8], ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>)> {
    collect(lines::numbered(body), ctx)
}

/// `[{...}, {...}]`.
///
/// # Errors
/// When the work is cancelled.
pub fn read_array(body: &[u8], ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>)> {
    let (elements, trouble) = split(body);
    let (rows, mut problems) = collect(elements.into_iter(), ctx)?;
    problems.extend(trouble);
    Ok((rows, problems))
}

fn collect<'a>(pieces: impl Iterator<Item = (usize, &'a [u8])>, ctx: &Ctx<'_>) -> Result<(Vec<Row>, Vec<RowProblem>)> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (i, (line, bytes)) in pieces.enumerate() {
        if i % 1024 == 0 {
            ctx.check()?;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match table::utf8(bytes).and_then(|text| object(text, line)) {
            Ok(fields) => rows.push(Row { line, fields }),
            Err(message) => problems.push(RowProblem { line, message }),
        }
    }
    Ok((rows, problems))
}

/// `line`: where `text` begins in the file.
fn object(text: &str, line: usize) -> Result<Map<String, Value>, String> {
    let UniqueKeys(row) = serde_json::from_str(text).map_err(|e| not_json(&e, line))?;
    match row {
        Value::Object(fields) => Ok(fields),
        text @ Value::String(_) => Ok(Map::from_iter([("text".to_owned(), text)])),
        other => Err(format!("a row must be a JSON object such as {{\"text\": \"...\"}}, found {}", kind(&other))),
    }
}

/// The parser counts lines from the row's beginning; a user counts them in the file.
fn not_json(error: &serde_json::Error, line: usize) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    // JSON it is where the parser is not to blame.
    let what = if error.is_data() { what.to_owned() } else { format!("not valid JSON: {what}") };
    match error.line().saturating_sub(1) {
        0 => format!("{what} at column {}", error.column()),
        further => format!("{what} at line {}, column {}", line + further, error.column()),
    }
}

pub(in crate::data) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Elements of the outermost array with the lines they begin on. Knows only strings and nesting; each element is parsed by itself later.
fn split(body: &[u8]) -> (Vec<(usize, &[u8])>, Option<RowProblem>) {
    let mut elements = Vec::new();
    let (mut depth, mut line, mut in_string, mut escaped) = (0usize, 1usize, false, false);
    // Where the element that is being read begins, once its first byte was seen.
    let mut start: Option<(usize, usize)> = None;
    for (i, &b) in body.iter().enumerate() {
        if depth == 1 && start.is_none() && !b.is_ascii_whitespace() && !matches!(b, b',' | b']') {
            start = Some((line, i));
        }
        match b {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                if depth <= 1
                    && let Some((at, from)) = start.take()
                {
                    elements.push((at, &body[from..i]));
                }
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let rest = body[i + 1..].iter().any(|b| !b.is_ascii_whitespace());
                    let problem =
                        rest.then(|| RowProblem { line, message: "there is more after the end of the array; it was not read".to_owned() });
                    return (elements, problem);
                }
            }
            b',' if depth == 1 => {
                if let Some((at, from)) = start.take() {
                    elements.push((at, &body[from..i]));
                }
            }
            _ => {}
        }
    }
    if let Some((at, from)) = start {
        elements.push((at, &body[from..]));
    }
    (elements, Some(RowProblem { line, message: "the file ends before the array does".to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;
    use proptest::prelude::*;

    #[test]
    fn bad_lines_are_named_and_the_others_kept() {
        let body = b"{\"text\": \"a\"}\r\n\n{\"text\": \"b\"\n[1]\n{\"text\": \"\xff\"}\n\"c\"";
        let (rows, problems) = silently(|ctx| read_lines(body, ctx)).expect("rows");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(rows[1].fields["text"], "c");
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [3, 4, 5]);
        assert!(problems[1].message.contains("a list") && problems[2].message.contains("UTF-8"), "{problems:?}");
        // The third line of the file is the first that the parser sees.
        assert!(problems[0].message.contains("at column 12") && !problems[0].message.contains("line"), "{problems:?}");
    }

    #[test]
    fn a_row_with_a_key_twice_is_bad() {
        let body =
            b"{\"text\": \"a\", \"answer\": 0, \"answer\": 1}\n{\"text\": \"b\"}\n{\"meta\": {\"id\": 1, \"id\": 1}, \"text\": \"c\"}";
        let (rows, problems) = silently(|ctx| read_lines(body, ctx)).expect("rows");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2]);
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(problems[0].message, "the key `answer` stands twice in one object (keep one), the second time at column 35");
        assert!(problems[1].message.contains("the key `id` stands twice"), "{problems:?}");
        let array = b"[{\"text\": \"a\"},\n {\"text\": \"b\",\n  \"text\": \"c\"}]";
        let (rows, problems) = silently(|ctx| read_array(array, ctx)).expect("rows");
        assert_eq!((rows.len(), problems[0].line), (1, 2));
        assert!(problems[0].message.contains("`text` stands twice") && problems[0].message.contains("at line 3, column 8"), "{problems:?}");
    }

    #[test]
    fn deep_nesting_is_a_problem_of_its_row() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let (rows, problems) = silently(|ctx| read_lines(deep.as_bytes(), ctx)).expect("rows");
        assert!(rows.is_empty() && problems[0].message.contains("recursion"), "{problems:?}");
    }

    #[test]
    fn an_array_loses_only_its_bad_element() {
        let body = br#"[
          {"text": "a, ] \" }"},
          {"text": 1 2},
          {"text": "b", "choices": ["x", "y"]}
        ]"#;
        let (rows, problems) = silently(|ctx| read_array(body, ctx)).expect("rows");
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [3]);
        let spread = b"[\n{\"text\":\n 1 2}]";
        let (_, problems) = silently(|ctx| read_array(spread, ctx)).expect("rows");
        assert!(problems[0].line == 2 && problems[0].message.contains("at line 3, column 4"), "{problems:?}");
        let (rows, problems) = silently(|ctx| read_array(&body[..40], ctx)).expect("rows");
        assert_eq!((rows.len(), problems.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn an_array_gives_the_rows_of_the_same_lines(texts in proptest::collection::vec("\\PC{0,20}", 1..8), indent in any::<bool>()) {
            let rows: Vec<Value> = texts.iter().map(|t| serde_json::json!({"text": t, "choices": [t, "x"]})).collect();
            let lines = rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            let array = if indent { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) }.expect("json");
            let fields = |rows: Vec<Row>| rows.into_iter().map(|r| r.fields).collect::<Vec<_>>();
            let (a, pa) = silently(|ctx| read_lines(lines.as_bytes(), ctx)).expect("lines");
            let (b, pb) = silently(|ctx| read_array(array.as_bytes(), ctx)).expect("array");
            prop_assert!(pa.is_empty() && pb.is_empty());
            prop_assert_eq!(fields(a), fields(b));
        }
    }
}
