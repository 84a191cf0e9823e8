//! Opening a data set: rows, recipe, items. And the preview that shows what a model would read before anything runs.

use super::{
    Domain, DomainKind, Item, Mapping, RowProblem,
    gold::GoldForm,
    mapping::{self, Reading},
    read::{Table, read_table},
    recipes::{Draft, Right, few_different},
    row::RowView,
};
use crate::base::{Ctx, Error, Result, job::silently};
use serde_json::Value;
use std::path::Path;

/// How much of a file a preview reads.
const PREVIEW_BYTES: u64 = 32 << 20;
/// Different answers up to which they become the choices, where each stands in at least `REPEATS` rows on average.
const MOST_CLASSES: usize = 20;
const REPEATS: usize = 5;

/// Reads a file as a domain. A bad row is skipped and kept in `skipped`, or ends the reading when `mapping.strict`.
///
/// # Errors
/// When the file cannot be read, its columns do not fit, no row is usable, or the work is cancelled.
pub fn open_domain(name: &str, path: &Path, mapping: &Mapping, ctx: &Ctx<'_>) -> Result<Domain> {
    let bad_mapping = |m: String| Error::format(path, m.replace("NAME.", &format!("{name}.")));
    let header = mapping::has_header(mapping).map_err(bad_mapping)?;
    let table = read_table(path, None, header, ctx)?;
    let reading = mapping::read_columns(&table, mapping).map_err(bad_mapping)?;
    ctx.check()?;
    let made = make_items(&table, &reading);
    if let Some(first) = made.skipped.first().filter(|_| mapping.strict) {
        return Err(Error::Row { path: path.to_owned(), line: first.line, message: first.message.clone() });
    }
    if made.items.is_empty() {
        return Err(Error::format(path, nothing_usable(&made.skipped)));
    }
    Ok(Domain {
        name: name.to_owned(),
        source: path.to_owned(),
        split: "all".to_owned(),
        kind: made.kind,
        template: made.template,
        items: made.items,
        skipped: made.skipped,
        sha256: table.sha256,
    })
}

fn nothing_usable(skipped: &[RowProblem]) -> String {
    match skipped.first() {
        Some(p) => format!("no row can be used: {} were skipped, the first in line {}: {}", skipped.len(), p.line, p.message),
        None => "there are no rows".to_owned(),
    }
}

/// What a file looks like and what a model would read of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// `JSON Lines`, `CSV`...
    pub format: &'static str,
    /// Every column with up to three of its first values, shortened.
    pub columns: Vec<(String, Vec<String>)>,
    /// What was found, or why nothing fits (then the mapping has to be given).
    pub reading: Result<PreviewReading, String>,
    /// Rows that can be used, of those read.
    pub usable: usize,
    pub skipped: Vec<RowProblem>,
    /// False where only the beginning of a large file was read.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PreviewReading {
    pub recipe: &'static str,
    pub kind: DomainKind,
    pub template: String,
    /// The mapping in force, every field spelt out.
    pub mapping: Mapping,
    /// The first items; [`Item::gold_text`] is what the model reads.
    pub items: Vec<Item>,
    /// What the user may want to know of the prompts.
    pub notes: Vec<String>,
}

/// Looks at a file (the first 32 MB of it).
///
/// # Errors
/// When the file cannot be read or is none of the known formats. Columns that do not fit are no error here: see [`Preview::reading`].
pub fn preview(path: &Path, given: &Mapping) -> Result<Preview> {
    silently(|ctx| preview_within(path, given, PREVIEW_BYTES, ctx))
}

fn preview_within(path: &Path, given: &Mapping, first_bytes: u64, ctx: &Ctx<'_>) -> Result<Preview> {
    let header = mapping::has_header(given).map_err(|m| Error::format(path, m))?;
    let table = read_table(path, Some(first_bytes), header, ctx)?;
    let examples = |c: &String| table.rows.iter().filter_map(|r| r.fields.get(c)).take(3).map(super::row::short).collect();
    let columns = table.columns.iter().map(|c| (c.clone(), examples(c))).collect();
    let (reading, usable, skipped) = match mapping::read_columns(&table, given) {
        Err(message) => (Err(message), 0, table.problems.clone()),
        Ok(reading) => {
            let made = make_items(&table, &reading);
            let usable = made.items.len();
            let read = if usable == 0 {
                Err(nothing_usable(&made.skipped))
            } else {
                Ok(PreviewReading {
                    recipe: reading.recipe.id,
                    kind: made.kind,
                    template: made.template,
                    mapping: reading.as_mapping(given),
                    notes: notes(&made.items),
                    items: made.items.into_iter().take(5).collect(),
                })
            };
            (read, usable, made.skipped)
        }
    };
    Ok(Preview { format: table.format.name(), columns, reading, usable, skipped, complete: table.complete })
}

fn notes(items: &[Item]) -> Vec<String> {
    let mut notes = Vec::new();
    let asked = items.iter().filter(|i| !i.choices.is_empty());
    let spaced = asked.filter(|i| i.context.ends_with(' ') && (0..i.choices.len()).any(|c| i.continuation(c).starts_with(' '))).count();
    if spaced > 0 {
        notes.push(format!(
            "{spaced} contexts end in a space, so two spaces stand before the choice; both are scored with it, as in lm-evaluation-harness"
        ));
    }
    notes
}

struct Made {
    kind: DomainKind,
    template: String,
    items: Vec<Item>,
    /// In the order of the file.
    skipped: Vec<RowProblem>,
}

fn make_items(table: &Table, reading: &Reading) -> Made {
    let mut skipped = table.problems.clone();
    let mut drafts: Vec<(usize, Draft)> = Vec::new();
    for row in &table.rows {
        match (reading.recipe.draft)(&RowView { row, fields: &reading.fields }) {
            Ok(draft) => drafts.push((row.line, draft)),
            Err(message) => skipped.push(RowProblem { line: row.line, message }),
        }
    }
    let mut kind = reading.recipe.kind;
    let mut template = reading.recipe.template.to_owned();
    // Answers that are the same few over and over are classes, and picking among them is a question with choices.
    let answers: Vec<String> =
        drafts.iter().filter_map(|(_, d)| if let Right::Text(t) = &d.right { Some(t.clone()) } else { None }).collect();
    let explicit_label = reading.recipe.id == "label";
    let repeats = if explicit_label { 1 } else { REPEATS };
    let mut classes: Vec<String> = Vec::new();
    if kind == DomainKind::Answer && few_different(&answers, MOST_CLASSES, repeats) {
        classes = answers.iter().map(|a| a.trim().to_owned()).collect();
        classes.sort_unstable();
        classes.dedup();
        kind = DomainKind::MultipleChoice;
        template.push_str(&format!("; its {} different answers are the choices: {}", classes.len(), classes.join(", ")));
    }
    let named: Vec<(&Value, &[String])> =
        drafts.iter().filter_map(|(_, d)| if let Right::Named(v) = &d.right { Some((v, d.choices.as_slice())) } else { None }).collect();
    let form = GoldForm::of(&named);
    if !named.is_empty() {
        template.push_str(&format!("; the right choice is given by {}", form.words()));
    }
    let mut items = Vec::with_capacity(drafts.len());
    for (line, draft) in drafts {
        match finish(line, draft, form, &classes) {
            Ok(item) => items.push(item),
            Err(message) => skipped.push(RowProblem { line, message }),
        }
    }
    skipped.sort_by_key(|p| p.line);
    Made { kind, template, items, skipped }
}

fn finish(line: usize, draft: Draft, form: GoldForm, classes: &[String]) -> Result<Item, String> {
    let Draft { mut context, mut choices, choice_contexts, right, lettered } = draft;
    let gold = match right {
        Right::Nothing => None,
        Right::Index(i) => Some(i),
        Right::Named(value) => Some(form.read(&value, &choices)?),
        Right::Text(text) if classes.is_empty() => {
            choices = vec![text];
            Some(0)
        }
        Right::Text(text) => {
            choices = classes.to_vec();
            Some(classes.iter().position(|c| c == text.trim()).ok_or("its answer is none of the classes")?)
        }
    };
    if lettered {
        choices = ('A'..).take(choices.len()).map(String::from).collect();
    }
    if let Some(own) = gold.and_then(|g| choice_contexts.get(g)) {
        context.clone_from(own);
    }
    Ok(Item { line, context, choices, gold, choice_contexts })
}
