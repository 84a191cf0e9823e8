//! Rows that did not fit: those a setting cuts are told in the result; where the model's context is shorter than the setting promises, a warning
//! says so too.

use super::{event::Event, jobs::Outbox};
use crate::{base::number, scan::DomainSource};

/// How many rows of one domain were cut.
pub(super) struct CutRows<'a> {
    pub domain: &'a str,
    pub cut: usize,
    pub of: usize,
}

impl<'a> CutRows<'a> {
    pub fn of_source(domain: &'a str, source: &DomainSource) -> Self {
        Self { domain, cut: source.cut, of: source.sample_lines.len() }
    }
}

/// Title and details where the model takes no more than `longest` tokens of a row though `asked` were allowed, and rows were cut by that.
pub(super) fn warning(rows: &[CutRows<'_>], longest: usize, asked: usize) -> Option<(String, String)> {
    let (cut, of) = rows.iter().fold((0, 0), |(cut, of), r| (cut + r.cut, of + r.of));
    if cut == 0 || longest >= asked {
        return None;
    }
    let title = format!(
        "{} of {} were cut to {} tokens",
        number::count(cut as u64),
        number::counted(of as u64, "row"),
        number::count(longest as u64)
    );
    let list: Vec<String> = rows.iter().filter(|r| r.cut > 0).map(|r| format!("{} {} of {}", r.domain, r.cut, r.of)).collect();
    let details = format!(
        "The model takes no more, though max tokens is {} ({}). A text loses its end, a prompt its beginning.",
        number::count(asked as u64),
        list.join(", ")
    );
    Some((title, details))
}

/// The same, to whoever waits for the job.
pub(super) fn warn(rows: &[CutRows<'_>], longest: usize, asked: usize, out: &Outbox) {
    if let Some((title, details)) = warning(rows, longest, asked) {
        out.send(Event::Warning(title, details));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_context_shorter_than_what_was_asked_for_warns() {
        let rows = [CutRows { domain: "boolq", cut: 3, of: 8 }, CutRows { domain: "sst2", cut: 0, of: 8 }];
        let (title, details) = warning(&rows, 128, 256).expect("a warning");
        assert_eq!(title, "3 of 16 rows were cut to 128 tokens");
        assert!(details.contains("max tokens is 256 (boolq 3 of 8)"), "{details}");
        assert!(warning(&rows, 128, 128).is_none(), "the setting was told by who made it");
        assert!(warning(&rows[1..], 128, 256).is_none());
    }
}
