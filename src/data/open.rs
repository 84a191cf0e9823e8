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
    if let Some(blank) = choices.iter().position(|c| c.trim().is_empty()) {
        return Err(format!("choice {} is empty", blank + 1));
    }
    if let Some(own) = gold.and_then(|g| choice_contexts.get(g)) {
        context.clone_from(own);
    }
    Ok(Item { line, context, choices, gold, choice_contexts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{read::table::parse, recipes::RECIPES};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![Just("A".to_owned()), Just("2".to_owned()), Just("yes".to_owned()), Just("a _ b".to_owned()), "\\PC{0,6}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-1i64..6).prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        let list = proptest::collection::vec(leaf.clone(), 0..5);
        let labelled = (list.clone(), list.clone()).prop_map(|(text, label)| serde_json::json!({"text": text, "label": label}));
        prop_oneof![6 => leaf, 3 => list.prop_map(Value::from), 1 => labelled]
    }

    /// Column names that mean something to one recipe.
    fn columns() -> impl Strategy<Value = (usize, Vec<String>)> {
        (0..RECIPES.len()).prop_map(|i| {
            let name = |alias: &&str| match alias.strip_suffix('*') {
                Some(stem) => vec![format!("{stem}1"), format!("{stem}2"), format!("{stem}3")],
                None => vec![(*alias).to_owned()],
            };
            (i, RECIPES[i].fields.iter().flat_map(|f| f.aliases.first().map(name).unwrap_or_default()).collect())
        })
    }

    proptest! {
        #[test]
        fn whatever_the_values_every_row_is_an_item_or_a_problem(
            (recipe, columns) in columns(),
            values in proptest::collection::vec(proptest::collection::vec(value(), 12), 1..12),
            forced in any::<bool>(),
        ) {
            let row = |values: &Vec<Value>| serde_json::to_string(&columns.iter().cloned().zip(values.iter().cloned()).collect::<serde_json::Map<_, _>>());
            let text = values.iter().map(|v| row(v).expect("json")).collect::<Vec<_>>().join("\n");
            let table = silently(|ctx| parse(Path::new("x.jsonl"), text.as_bytes(), true, ctx)).expect("table");
            let mut mapping = Mapping::default();
            if forced {
                mapping.columns.insert("recipe".to_owned(), RECIPES[recipe].id.to_owned());
            }
            let Ok(reading) = mapping::read_columns(&table, &mapping) else { return Ok(()) };
            let made = make_items(&table, &reading);
            let mut lines: Vec<usize> = made.items.iter().map(|i| i.line).chain(made.skipped.iter().map(|p| p.line)).collect();
            lines.sort_unstable();
            prop_assert_eq!(lines, (1..=values.len()).collect::<Vec<_>>());
            for item in &made.items {
                prop_assert!(!item.gold_text().trim().is_empty());
                prop_assert_eq!(item.gold.is_none(), made.kind == DomainKind::Text);
                prop_assert!(item.gold.is_none_or(|g| g < item.choices.len()));
                prop_assert!(made.kind != DomainKind::MultipleChoice || item.choices.len() > 1);
                prop_assert!(item.choices.iter().all(|c| !c.trim().is_empty()), "{:?}", item);
                prop_assert!(item.choice_contexts.is_empty() || item.choice_contexts.len() == item.choices.len());
            }
            // A mapping in so many words reads the same.
            let spelt = mapping::read_columns(&table, &reading.as_mapping(&mapping)).expect("own mapping");
            prop_assert_eq!(make_items(&table, &spelt).items, made.items);
        }
    }

    #[test]
    fn a_large_file_is_previewed_by_its_beginning() {
        let file = tempfile::NamedTempFile::with_suffix(".jsonl").expect("file");
        let rows: String = (0..1000).map(|i| format!("{{\"text\": \"row {i}\"}}\n")).collect();
        std::fs::write(file.path(), rows).expect("write");
        let p = silently(|ctx| preview_within(file.path(), &Mapping::default(), 1000, ctx)).expect("preview");
        // 18 bytes a row up to row 9, 19 after: 180 + 43 * 19 = 997 of the 1000 bytes.
        assert_eq!((p.complete, p.usable), (false, 53));
        assert_eq!(p.reading.expect("reading").items[4].context, "row 4");
    }
}
