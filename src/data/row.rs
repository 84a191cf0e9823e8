//! One row seen through a mapping: values by field, as text, lists and truth values, with messages that name field and column.

use super::{read::Row, read::jsonl::kind};
use serde_json::Value;
use std::collections::BTreeMap;

/// FIELD -> columns that play it (several only for `choices` and `text`).
pub type Fields = BTreeMap<&'static str, Vec<String>>;

pub struct RowView<'a> {
    pub row: &'a Row,
    pub fields: &'a Fields,
}

impl<'a> RowView<'a> {
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }
    /// The value of the field's first column; `None` for an unmapped field and a missing or null value.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        let column = self.fields.get(field)?.first()?;
        self.row.fields.get(column).filter(|v| !v.is_null())
    }
    /// # Errors
    /// When the value is missing.
    pub fn required(&self, field: &str) -> Result<&'a Value, String> {
        self.value(field).ok_or_else(|| format!("{} is missing", self.place(field)))
    }
    /// Text that is not blank.
    ///
    /// # Errors
    /// When the value is missing, blank, or no text.
    pub fn text(&self, field: &str) -> Result<String, String> {
        let value = self.required(field)?;
        let text = scalar_text(value).ok_or_else(|| format!("{} holds {}, expected text", self.place(field), kind(value)))?;
        if text.trim().is_empty() { Err(format!("{} is empty", self.place(field))) } else { Ok(text) }
    }
    /// Text, empty where there is none.
    pub fn optional_text(&self, field: &str) -> String {
        self.value(field).and_then(scalar_text).unwrap_or_default()
    }
    /// As [`RowView::text`]; of a list its first entry.
    ///
    /// # Errors
    /// See [`RowView::text`].
    pub fn first_text(&self, field: &str) -> Result<String, String> {
        match self.value(field) {
            Some(Value::Array(list)) => {
                let first = list.first().and_then(scalar_text).filter(|t| !t.trim().is_empty());
                first.ok_or_else(|| format!("{} holds a list without text", self.place(field)))
            }
            _ => self.text(field),
        }
    }
    /// Texts of several columns, of a list (also one written as JSON into a CSV cell), or of ARC's `{"text": [..], "label": [..]}`.
    ///
    /// # Errors
    /// With fewer than two, more than 64, or an empty one.
    pub fn list(&self, field: &str) -> Result<Vec<String>, String> {
        let columns = self.fields.get(field).map(Vec::as_slice).unwrap_or_default();
        let values: Vec<Value> = if let [_] = columns {
            let value = self.required(field)?;
            let list = match value {
                Value::Object(o) => o.get("text").cloned(),
                Value::String(s) => serde_json::from_str(s).ok(),
                other => Some(other.clone()),
            };
            match list {
                Some(Value::Array(list)) => list,
                _ => return Err(format!("{} holds {}, expected a list such as [\"one\", \"two\"]", self.place(field), kind(value))),
            }
        } else {
            columns.iter().map(|c| self.row.fields.get(c).cloned().unwrap_or(Value::Null)).collect()
        };
        let texts: Vec<Option<String>> = values.iter().map(|v| scalar_text(v).filter(|t| !t.trim().is_empty())).collect();
        // Columns that are empty at the end mean fewer choices in this row.
        let used = texts.iter().rposition(Option::is_some).map_or(0, |i| i + 1);
        if !(2..=64).contains(&used) {
            return Err(format!("{} gives {used} choices, expected 2 to 64", self.place(field)));
        }
        texts
            .into_iter()
            .take(used)
            .enumerate()
            .map(|(i, t)| t.ok_or_else(|| format!("choice {} of {} is empty", i + 1, self.place(field))))
            .collect()
    }
    /// `question (column Question)`, or the field alone where the column is called so.
    pub fn place(&self, field: &str) -> String {
        match self.fields.get(field).map(Vec::as_slice) {
            Some([column]) if column == field => format!("`{field}`"),
            Some([column]) => format!("`{field}` (column `{column}`)"),
            Some(columns) => format!("`{field}` (columns {})", columns.join(", ")),
            None => format!("`{field}`"),
        }
    }
}

/// Text of a string, number or truth value.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A value as a message shows it: at most 40 characters.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { format!("{}...", text.chars().take(37).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(value: Value, columns: &[&str], field: &'static str) -> Result<Vec<String>, String> {
        let row = Row { line: 1, fields: value.as_object().expect("object").clone() };
        let fields = Fields::from([(field, columns.iter().map(|c| (*c).to_owned()).collect())]);
        RowView { row: &row, fields: &fields }.list(field)
    }

    #[test]
    fn choices_come_from_lists_cells_and_columns() {
        let xy = Ok(vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!(view(json!({"c": ["x", "y"]}), &["c"], "choices"), xy);
        assert_eq!(view(json!({"c": "[\"x\", \"y\"]"}), &["c"], "choices"), xy);
        assert_eq!(view(json!({"c": {"text": ["x", "y"], "label": ["A", "B"]}}), &["c"], "choices"), xy);
        assert_eq!(view(json!({"a": "x", "b": "y", "d": ""}), &["a", "b", "d"], "choices"), xy);
    }

    #[test]
    fn a_message_names_field_and_column() {
        let e = view(json!({"c": "x | y"}), &["c"], "choices").expect_err("no list");
        assert!(e.contains("`choices` (column `c`)") && e.contains("a string"), "{e}");
        let e = view(json!({"a": "x", "b": "", "d": "z"}), &["a", "b", "d"], "choices").expect_err("hole");
        assert!(e.contains("choice 2"), "{e}");
        assert!(view(json!({"c": ["x"]}), &["c"], "choices").is_err());
    }
}
