//! Opening a data set: rows, recipe, items. And the preview that shows what a model would read before anything runs.

use super::{
    Domain, DomainKind, Item, Mapping, RowProblem,
    gold::GoldForm,
    mapping::{self, Reading},
    prompt::{self, Compiled, PromptTemplate, Prompting, escape},
    read::{Row, Table, read_table, table::parse},
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
    let (table, mut made) = read_items(path, mapping, &bad_mapping, ctx)?;
    if let Some(first) = made.skipped.first().filter(|_| mapping.strict) {
        return Err(Error::Row { path: path.to_owned(), line: first.line, message: first.message.clone() });
    }
    if made.items.is_empty() {
        return Err(Error::format(path, nothing_usable(&made.skipped)));
    }
    let shots = &mapping.prompt.shots;
    let pool = match shots.from.as_ref().filter(|_| shots.count > 0) {
        None => None,
        Some(from) => {
            let bad_mapping = |m: String| Error::format(from, m.replace("NAME.", &format!("{name}.")));
            Some(read_items(from, mapping, &bad_mapping, ctx)?.1.items)
        }
    };
    let mut domain = Domain {
        name: name.to_owned(),
        source: path.to_owned(),
        split: "all".to_owned(),
        kind: made.kind,
        template: std::mem::take(&mut made.template),
        items: made.items,
        skipped: made.skipped,
        sha256: table.sha256,
        items_sha256: String::new(),
        prompt: Prompting::default(),
    };
    domain.prompt_as(&mapping.prompt, pool.as_deref()).map_err(|m| Error::format(path, m))?;
    Ok(domain)
}

/// As [`open_domain`] without examples, one file from memory; the extension of `path` helps to tell the format.
///
/// # Errors
/// See [`open_domain`].
pub fn domain_from_bytes(path: &Path, bytes: &[u8], mapping: &Mapping, ctx: &Ctx<'_>) -> Result<Domain> {
    let bad = |m: String| Error::format(path, m);
    let table = parse(path, bytes, mapping::how(mapping).map_err(bad)?, ctx)?;
    let plan = Plan::of(&table, mapping).map_err(bad)?;
    let Made { kind, template, items, skipped } = make_items(&table, &plan);
    let sha256 = crate::base::hash::sha256_bytes(bytes);
    let (items_sha256, prompt) = (Domain::digest(&items), Prompting::default());
    Ok(Domain {
        name: String::new(),
        source: path.to_owned(),
        split: "all".to_owned(),
        kind,
        template,
        items,
        skipped,
        sha256,
        items_sha256,
        prompt,
    })
}

fn read_items(path: &Path, mapping: &Mapping, bad_mapping: &dyn Fn(String) -> Error, ctx: &Ctx<'_>) -> Result<(Table, Made)> {
    let how = mapping::how(mapping).map_err(bad_mapping)?;
    let table = read_table(path, None, how, ctx)?;
    let plan = Plan::of(&table, mapping).map_err(bad_mapping)?;
    ctx.check()?;
    let made = make_items(&table, &plan);
    Ok((table, made))
}

impl Domain {
    /// Puts description, examples and chat template before the items, and takes their digest.
    ///
    /// # Errors
    /// When there are too few rows to take examples from.
    pub fn prompt_as(&mut self, prompting: &Prompting, pool: Option<&[Item]>) -> Result<(), String> {
        if prompting.shots.count > 0 && matches!(self.kind, DomainKind::Text | DomainKind::Pairs) {
            return Err("asks nothing, so it cannot have examples; map a question and an answer, or take no examples".to_owned());
        }
        prompt::add_shots(&mut self.items, pool, &prompting.shots)?;
        for item in &mut self.items {
            item.chat = prompting.chat && item.gold.is_some();
        }
        self.template.push_str(&prompting.words());
        self.prompt = prompting.clone();
        self.items_sha256 = Self::digest(&self.items);
        Ok(())
    }
}

/// How rows become items: by a recipe, by templates, or by both.
struct Plan {
    reading: Option<Reading>,
    templates: Option<Compiled>,
    template: Option<PromptTemplate>,
}

impl Plan {
    fn of(table: &Table, mapping: &Mapping) -> Result<Self, String> {
        let prompting = &mapping.prompt;
        let template = prompting.template.clone();
        let reading = match &template {
            Some(t) if !t.needs_recipe() => None,
            Some(_) => Some(mapping::read_columns(table, mapping).map_err(|e| format!("{e}; or give a template for the target too"))?),
            None => Some(mapping::read_columns(table, mapping)?),
        };
        let wanted = template.is_some() || prompting.description.is_some();
        let templates = if wanted { Some(Compiled::new(prompting, &table.columns)?) } else { None };
        Ok(Self { reading, templates, template })
    }
    fn draft(&self, row: &Row) -> Result<Draft, String> {
        let base = self.reading.as_ref().map(|r| (r.recipe.draft)(&RowView { row, fields: &r.fields })).transpose()?;
        match &self.templates {
            Some(templates) => templates.draft(row, base),
            None => Ok(base.unwrap_or_default()),
        }
    }
    fn kind(&self) -> DomainKind {
        match (&self.templates, &self.reading) {
            (Some(t), _) if t.gives_choices() => DomainKind::MultipleChoice,
            (_, Some(reading)) => reading.recipe.kind,
            (_, None) => DomainKind::Answer,
        }
    }
    fn words(&self) -> String {
        let base = self.reading.as_ref().map(|r| r.recipe.template);
        let Some(t) = &self.template else { return base.unwrap_or_default().to_owned() };
        let mut words = escape::to_line(&t.text);
        for (what, text) in [("choices", &t.choices), ("target", &t.target)] {
            if let Some(text) = text {
                words.push_str(&format!("; {what} {}", escape::to_line(text)));
            }
        }
        if let Some(reading) = &self.reading {
            words.push_str(&format!("; the rest as recipe {}", reading.recipe.id));
        }
        words
    }
    fn recipe_id(&self) -> &'static str {
        self.reading.as_ref().map_or("template", |r| r.recipe.id)
    }
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
    let how = mapping::how(given).map_err(|m| Error::format(path, m))?;
    let table = read_table(path, Some(first_bytes), how, ctx)?;
    let examples = |c: &String| table.rows.iter().filter_map(|r| r.fields.get(c)).take(3).map(super::row::short).collect();
    let columns = table.columns.iter().map(|c| (c.clone(), examples(c))).collect();
    let (reading, usable, skipped) = match Plan::of(&table, given) {
        Err(message) => (Err(message), 0, table.problems.clone()),
        Ok(plan) => {
            let mut made = make_items(&table, &plan);
            let usable = made.items.len();
            let read = if usable == 0 { Err(nothing_usable(&made.skipped)) } else { preview_reading(path, &plan, given, &mut made, ctx) };
            (read, usable, made.skipped)
        }
    };
    Ok(Preview { format: table.format.name(), columns, reading, usable, skipped, complete: table.complete })
}

fn preview_reading(path: &Path, plan: &Plan, given: &Mapping, made: &mut Made, ctx: &Ctx<'_>) -> Result<PreviewReading, String> {
    let shots = &given.prompt.shots;
    let pool = match shots.from.as_ref().filter(|_| shots.count > 0) {
        None => None,
        Some(from) => Some(read_items(from, given, &|m| Error::format(from, m), ctx).map_err(|e| e.to_string())?.1.items),
    };
    let mut looked = Domain {
        name: String::new(),
        source: path.to_owned(),
        split: String::new(),
        kind: made.kind,
        template: std::mem::take(&mut made.template),
        items: std::mem::take(&mut made.items),
        skipped: Vec::new(),
        sha256: String::new(),
        items_sha256: String::new(),
        prompt: Prompting::default(),
    };
    looked.prompt_as(&given.prompt, pool.as_deref())?;
    Ok(PreviewReading {
        recipe: plan.recipe_id(),
        kind: looked.kind,
        template: looked.template,
        mapping: plan.reading.as_ref().map_or_else(|| given.clone(), |r| r.as_mapping(given)),
        notes: notes(&looked.items),
        items: looked.items.into_iter().take(5).collect(),
    })
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

fn make_items(table: &Table, plan: &Plan) -> Made {
    let mut skipped = table.problems.clone();
    let mut drafts: Vec<(usize, Draft)> = Vec::new();
    for row in &table.rows {
        match plan.draft(row) {
            Ok(draft) => drafts.push((row.line, draft)),
            Err(message) => skipped.push(RowProblem { line: row.line, message }),
        }
    }
    let mut kind = plan.kind();
    let mut template = plan.words();
    // Answers that are the same few over and over are classes, and picking among them is a question with choices.
    let answers: Vec<String> =
        drafts.iter().filter_map(|(_, d)| if let Right::Text(t) = &d.right { Some(t.clone()) } else { None }).collect();
    let explicit_label = plan.recipe_id() == "label";
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
    let Draft { description, mut context, mut choices, choice_contexts, right, lettered, pair } = draft;
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
    Ok(Item { line, context, choices, gold, choice_contexts, description, shots: Vec::new(), chat: false, pair })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{read::How, recipes::RECIPES};
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
            let table = silently(|ctx| parse(Path::new("x.jsonl"), text.as_bytes(), How::default(), ctx)).expect("table");
            let mut mapping = Mapping::default();
            if forced {
                mapping.columns.insert("recipe".to_owned(), RECIPES[recipe].id.to_owned());
            }
            let Ok(plan) = Plan::of(&table, &mapping) else { return Ok(()) };
            let made = make_items(&table, &plan);
            let mut lines: Vec<usize> = made.items.iter().map(|i| i.line).chain(made.skipped.iter().map(|p| p.line)).collect();
            lines.sort_unstable();
            prop_assert_eq!(lines, (1..=values.len()).collect::<Vec<_>>());
            for item in &made.items {
                prop_assert!(!item.gold_text().trim().is_empty());
                prop_assert_eq!(item.gold.is_none(), matches!(made.kind, DomainKind::Text | DomainKind::Pairs));
                prop_assert!(item.gold.is_none_or(|g| g < item.choices.len()));
                prop_assert!(made.kind != DomainKind::MultipleChoice || item.choices.len() > 1);
                prop_assert!(item.choices.iter().all(|c| !c.trim().is_empty()), "{:?}", item);
                prop_assert!(item.choice_contexts.is_empty() || item.choice_contexts.len() == item.choices.len());
            }
            // A mapping in so many words reads the same.
            let own = plan.reading.as_ref().expect("by a recipe").as_mapping(&mapping);
            prop_assert_eq!(make_items(&table, &Plan::of(&table, &own).expect("own mapping")).items, made.items);
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
