//! The only place that prints: tables and JSON on stdout, remarks and errors on stderr.

use super::watch::Stop;
use std::io::Write as _;

/// # Errors
/// [`Stop::BrokenPipe`] when nobody reads any more; [`Stop::Failed`] when stdout cannot be written for another reason.
pub fn print(text: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    written.and_then(|()| out.flush()).map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Stop::BrokenPipe,
        _ => Stop::Failed(vec![format!("the result could not be written to stdout: {e}")]),
    })
}

/// # Errors
/// As [`print()`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Stop::Failed(vec![e.to_string()]))?;
    print(&text)
}

pub fn error_line(text: &str) {
    // Nothing can be told when stderr is gone too.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Columns side by side: the first to the left, numbers to the right.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        table.row(head);
        table
    }
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
    pub fn render(&self) -> String {
        self.lay_out(false)
    }
    /// All columns to the left: names and facts.
    pub fn render_left(&self) -> String {
        self.lay_out(true)
    }
    fn lay_out(&self, left: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| self.rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, w) in widths.iter().enumerate() {
                let text = row.get(c).map_or("", String::as_str);
                let pad = " ".repeat(w - text.chars().count());
                if c > 0 {
                    line.push_str("  ");
                }
                if c == 0 || left {
                    line.push_str(text);
                    line.push_str(&pad);
                } else {
                    line.push_str(&pad);
                    line.push_str(text);
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_left_numbers_right() {
        let mut t = Table::new(["domain", "n", "accuracy"]);
        t.row(["logic", "240", "0.91 ± 0.02"]);
        t.row(["größer", "9", "–"]);
        assert_eq!(t.render(), "domain    n     accuracy\nlogic   240  0.91 ± 0.02\ngrößer    9            –\n");
    }
}
