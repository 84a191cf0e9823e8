//! A folder may be asked for more than it holds (more seeds, methods, shares): only what is new is learnt. Whatever else changed is refused.

use super::RowCounts;
use crate::base::{Error, Result, provenance::Provenance};
use serde_json::Value;
use std::{fmt::Display, path::Path};

/// What all results of a folder rest on. Decides nothing by its provenance and rows, which say what changed where the digests do not agree.
pub(super) struct Ground<'a> {
    /// In their order.
    pub tasks: Vec<&'a str>,
    pub others: Vec<&'a str>,
    pub rows: &'a [RowCounts],
    /// Settings without the lists that may grow.
    pub settings: Value,
    pub provenance: &'a Provenance,
}

/// A list that may grow, as the folder holds it and as it is asked for.
pub(super) struct Grows {
    what: &'static str,
    kept: Vec<String>,
    asked: Vec<String>,
}

impl Grows {
    pub fn new<T: Display>(what: &'static str, kept: impl IntoIterator<Item = T>, asked: impl IntoIterator<Item = T>) -> Self {
        let texts = |list: &mut dyn Iterator<Item = T>| list.map(|v| v.to_string()).collect();
        Self { what, kept: texts(&mut kept.into_iter()), asked: texts(&mut asked.into_iter()) }
    }
    /// Nothing that is held is left out.
    pub fn holds(&self) -> bool {
        self.kept.iter().all(|k| self.asked.contains(k))
    }
}

/// `noun`: what the folder holds. `same_digest`: of model, program, arithmetic and rows.
///
/// # Errors
/// When anything but the lists changed, or a list lacks what the folder holds.
pub(super) fn verify(path: &Path, noun: &str, same_digest: bool, kept: &Ground<'_>, asked: &Ground<'_>, lists: &[Grows]) -> Result<()> {
    if !same_digest || kept.settings != asked.settings {
        let why = difference(kept, asked).unwrap_or_else(|| "the text of the tasks' rows, or which rows play which part".into());
        return Err(Error::format(path, format!("is of another {noun}: {why}; ask for what it was made with, or name another folder")));
    }
    if let Some(list) = lists.iter().find(|l| !l.holds()) {
        let (what, held, asked) = (list.what, list.kept.join(", "), list.asked.join(", "));
        return Err(Error::format(
            path,
            format!(
                "holds more than is asked for: it has {what} {held}, asked for is {asked}. It stays as it is; ask for at least what it has (more is \
                 added to it), or name another folder"
            ),
        ));
    }
    Ok(())
}

/// The first thing that is another, as found and as asked for.
fn difference(kept: &Ground<'_>, asked: &Ground<'_>) -> Option<String> {
    let say = |what: &str, held: &str, now: &str| (held != now).then(|| words(what, held, now));
    let (a, b) = (kept.provenance, asked.provenance);
    let named = |list: &[(String, String)]| list.iter().map(|(n, v)| format!("{n} {v}")).collect::<Vec<_>>().join(", ");
    let rows = |list: &[RowCounts]| {
        list.iter().map(|r| format!("{} {}/{}/{}", r.name, r.train, r.validation, r.test)).collect::<Vec<_>>().join(", ")
    };
    say("the tasks in their order", &kept.tasks.join(", "), &asked.tasks.join(", "))
        .or_else(|| say("the domains that are judged only", &kept.others.join(", "), &asked.others.join(", ")))
        .or_else(|| say("the model", &model(a), &model(b)))
        .or_else(|| say("the arithmetic", &a.dtype, &b.dtype))
        .or_else(|| setting("", &kept.settings, &asked.settings))
        .or_else(|| say("how many rows are learnt/say when to stop/judge", &rows(kept.rows), &rows(asked.rows)))
        .or_else(|| say("the data", &named(&a.data_sha256), &named(&b.data_sha256)))
        .or_else(|| say("the prompts", &named(&a.prompts), &named(&b.prompts)))
        .or_else(|| say("the program", &a.program, &b.program))
}

fn words(what: &str, held: &str, now: &str) -> String {
    format!("{what}: it has {held}, asked for is {now}")
}

fn model(p: &Provenance) -> String {
    format!("{} ({})", p.model, p.model_sha256)
}

/// The first setting that is another: `tune.batch: it has 4, asked for is 8`.
fn setting(at: &str, kept: &Value, asked: &Value) -> Option<String> {
    match (kept, asked) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            let below = |name: &String| if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            names
                .map(|n| (n, a.get(n).unwrap_or(&Value::Null), b.get(n).unwrap_or(&Value::Null)))
                .find_map(|(n, a, b)| setting(&below(n), a, b))
        }
        _ => (kept != asked).then(|| words(at, &kept.to_string(), &asked.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_is_named_with_both_values() {
        let (a, b) =
            (json!({"tune": {"batch": 4, "steps": 5}, "percent": 10.0}), json!({"tune": {"batch": 8, "steps": 5}, "percent": 10.0}));
        assert_eq!(setting("", &a, &b).as_deref(), Some("tune.batch: it has 4, asked for is 8"));
        assert_eq!(setting("", &a, &a), None);
        assert_eq!(setting("", &json!({}), &json!({"x": 1})).as_deref(), Some("x: it has null, asked for is 1"));
    }

    #[test]
    fn a_list_grows_in_any_order_and_loses_nothing() {
        assert!(Grows::new("seeds", [1, 2], [3, 2, 1]).holds());
        assert!(!Grows::new("seeds", [1, 2], [1, 3]).holds());
        assert!(Grows::new("shares", [0.5, 10.0], [10.0, 0.5]).holds());
    }
}
