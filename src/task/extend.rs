//! A folder may be asked for more than it holds (more seeds, methods, shares): only what is new is learnt. It may be asked for a part of what it holds:
//! then the part is told and the rest stays. Whatever else changed is refused.

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
    /// All that is asked for is held.
    pub fn is_part(&self) -> bool {
        self.asked.iter().all(|a| self.kept.contains(a))
    }
}

/// How what is asked for stands to what a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All that it holds, and perhaps more.
    Grows,
    /// Less, and nothing that it lacks.
    Part,
}

/// `None`: some of what is held is left out, and something else is asked for.
pub(super) fn fit(lists: &[Grows]) -> Option<Fit> {
    if lists.iter().all(Grows::holds) {
        return Some(Fit::Grows);
    }
    lists.iter().all(Grows::is_part).then_some(Fit::Part)
}

/// `noun`: what the folder holds. `same_digest`: of model, program, arithmetic and rows.
///
/// # Errors
/// When anything but the lists changed, or the lists leave out what the folder holds and ask for what it lacks.
pub(super) fn verify(path: &Path, noun: &str, same_digest: bool, kept: &Ground<'_>, asked: &Ground<'_>, lists: &[Grows]) -> Result<Fit> {
    if !same_digest || kept.settings != asked.settings {
        let why = difference(kept, asked).unwrap_or_else(|| "the text of the tasks' rows, or which rows play which part".into());
        return Err(Error::format(path, format!("is of another {noun}: {why}; ask for what it was made with, or name another folder")));
    }
    fit(lists).ok_or_else(|| {
        let said = |l: &Grows| format!("it has {} {}, asked for is {}", l.what, l.kept.join(", "), l.asked.join(", "));
        let differing: Vec<String> = lists.iter().filter(|l| !(l.holds() && l.is_part())).map(said).collect();
        Error::format(
            path,
            format!(
                "holds what is not asked for, and lacks what is: {}. It stays as it is; ask for at least what it has (more is added to it), or for a \
                 part of it, or name another folder",
                differing.join("; ")
            ),
        )
    })
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

    #[test]
    fn what_is_asked_for_is_more_a_part_or_neither() {
        let lists = |seeds: &[u64], methods: &[&'static str]| {
            [Grows::new("seeds", &[1, 2], seeds), Grows::new("methods", vec!["a", "b"], methods.to_vec())]
        };
        assert_eq!(fit(&lists(&[2, 1, 3], &["a", "b"])), Some(Fit::Grows));
        assert_eq!(fit(&lists(&[1, 2], &["b", "a"])), Some(Fit::Grows), "the same in another order");
        assert_eq!(fit(&lists(&[2], &["a", "b"])), Some(Fit::Part));
        assert_eq!(fit(&lists(&[2], &["b", "c"])), None);
        assert_eq!(fit(&lists(&[1, 2, 3], &["b"])), None, "more seeds of fewer methods");
    }
}
