//! From columns to a recipe: found from the names and values, or as the user maps them with `--map NAME.FIELD=COLUMN`.
//!
//! A mapping that names any field is taken alone: nothing is guessed beside it. Three keys are no fields: `recipe` picks one by its id,
//! `header=none` reads a separated file without a header line (columns 1, 2, 3...), `rows=paragraphs` or `rows=file` says what is one row of a
//! plain text (by default a line).

use super::{
    Mapping,
    read::{How, Table, TextRows},
    recipes::{Field, RECIPES, Recipe, match_columns, plain, views},
    row::Fields,
};

/// Rows that decide whether a recipe fits.
const LOOK_AT: usize = 500;

pub struct Reading {
    pub recipe: &'static Recipe,
    pub fields: Fields,
}

impl Reading {
    /// The mapping that says the same in so many words.
    pub fn as_mapping(&self, given: &Mapping) -> Mapping {
        let mut columns: std::collections::BTreeMap<String, String> =
            self.fields.iter().map(|(field, columns)| ((*field).to_owned(), columns.join(","))).collect();
        columns.insert("recipe".to_owned(), self.recipe.id.to_owned());
        for key in ["header", "rows"] {
            if let Some(value) = given.columns.get(key) {
                columns.insert(key.to_owned(), value.clone());
            }
        }
        Mapping { columns, ..given.clone() }
    }
}

/// What the mapping says of the file itself.
///
/// # Errors
/// When `header` or `rows` is mapped to something unknown.
pub fn how(mapping: &Mapping) -> Result<How, String> {
    let header = match mapping.columns.get("header").map(String::as_str) {
        None | Some("yes" | "true") => true,
        Some("none" | "no" | "false") => false,
        Some(other) => return Err(format!("header={other}: write header=none for a file without a header line")),
    };
    let text = match mapping.columns.get("rows").map(String::as_str) {
        None | Some("lines") => TextRows::Lines,
        Some("paragraphs") => TextRows::Paragraphs,
        Some("file") => TextRows::Whole,
        Some(other) => return Err(format!("rows={other}: write rows=lines, rows=paragraphs or rows=file for a plain text")),
    };
    Ok(How { header, text })
}

/// # Errors
/// With what was found and how to map it, when no recipe fits.
pub fn read_columns(table: &Table, mapping: &Mapping) -> Result<Reading, String> {
    let wanted = match mapping.columns.get("recipe") {
        None => None,
        Some(id) => Some(RECIPES.iter().find(|r| r.id == plain_id(id)).ok_or_else(|| {
            format!("there is no recipe `{id}`; there are {}", RECIPES.iter().map(|r| r.id).collect::<Vec<_>>().join(", "))
        })?),
    };
    let given: Vec<(&String, &String)> =
        mapping.columns.iter().filter(|(k, _)| !matches!(k.as_str(), "recipe" | "header" | "rows")).collect();
    if given.is_empty() { detect(table, wanted) } else { explicit(table, wanted, &given) }
}

fn plain_id(id: &str) -> String {
    id.trim().to_lowercase().replace('_', "-")
}

fn fits(recipe: &Recipe, table: &Table, fields: &Fields) -> bool {
    (recipe.fits)(&views(&table.rows[..table.rows.len().min(LOOK_AT)], fields))
}

fn detect(table: &Table, wanted: Option<&'static Recipe>) -> Result<Reading, String> {
    for recipe in RECIPES.iter().filter(|r| wanted.is_none_or(|w| w.id == r.id)) {
        if let Some(fields) = match_columns(recipe, &table.columns)
            && (wanted.is_some() || fits(recipe, table, &fields))
        {
            return Ok(Reading { recipe, fields });
        }
    }
    // No mapping helps where there is nothing to map.
    if let (true, Some(first)) = (table.rows.is_empty(), table.problems.first()) {
        let (count, line, message) = (table.problems.len(), first.line, &first.message);
        return Err(format!("none of its {count} rows can be read; line {line}: {message}"));
    }
    let columns = found(table);
    Err(match wanted {
        Some(recipe) => format!("{columns}; recipe {} needs {}: map each as --map NAME.FIELD=COLUMN", recipe.id, needs(recipe)),
        None => format!(
            "{columns}, which do not say by themselves what to read; map them as --map NAME.FIELD=COLUMN, for example --map NAME.text={0} \
             for plain text, or text and label, question and answer, or context, choices and answer",
            table.columns.first().map_or("COLUMN", String::as_str)
        ),
    })
}

fn explicit(table: &Table, wanted: Option<&'static Recipe>, given: &[(&String, &String)]) -> Result<Reading, String> {
    let known = |name: &str| RECIPES.iter().flat_map(|r| r.fields).any(|f| f.name == name);
    for (field, _) in given {
        if !known(field) {
            let mut names: Vec<&str> = RECIPES.iter().flat_map(|r| r.fields).map(|f| f.name).collect();
            names.sort_unstable();
            names.dedup();
            return Err(format!("`{field}` is no field; the fields are {}", names.join(", ")));
        }
    }
    let mut candidates = Vec::new();
    for recipe in RECIPES.iter().filter(|r| wanted.is_none_or(|w| w.id == r.id)) {
        let takes = |name: &str| recipe.fields.iter().find(|f| f.name == name);
        let complete = recipe.fields.iter().filter(|f| f.required).all(|f| given.iter().any(|(k, _)| *k == f.name));
        if !complete || !given.iter().all(|(k, _)| takes(k).is_some()) {
            continue;
        }
        let mut fields = Fields::new();
        for (name, column) in given {
            if let Some(Field { name, .. }) = takes(name) {
                fields.insert(name, columns_of(name, column, table)?);
            }
        }
        candidates.push(Reading { recipe, fields });
    }
    let best = candidates.iter().position(|c| fits(c.recipe, table, &c.fields)).unwrap_or(0);
    if best < candidates.len() {
        return Ok(candidates.swap_remove(best));
    }
    let names: Vec<&str> = given.iter().map(|(k, _)| k.as_str()).collect();
    Err(match wanted {
        Some(recipe) => format!("recipe {} needs {}, but the mapping gives {}", recipe.id, needs(recipe), names.join(", ")),
        None => {
            let sets: Vec<String> = RECIPES.iter().map(|r| format!("{} ({})", needs(r), r.id)).collect();
            format!("no recipe takes just {}; a mapping names every field it uses: {}", names.join(", "), sets.join("; "))
        }
    })
}

/// One column, or several separated by commas.
fn columns_of(field: &str, value: &str, table: &Table) -> Result<Vec<String>, String> {
    let find = |name: &str| {
        let exact = table.columns.iter().find(|c| *c == name);
        exact.or_else(|| table.columns.iter().find(|c| !plain(c).is_empty() && plain(c) == plain(name))).cloned()
    };
    if let Some(column) = find(value) {
        return Ok(vec![column]);
    }
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    parts.iter().map(|part| find(part).ok_or_else(|| format!("{field}={value}: there is no column `{part}`; {}", found(table)))).collect()
}

fn needs(recipe: &Recipe) -> String {
    let text = |f: &Field| if f.required { f.name.to_owned() } else { format!("[{}]", f.name) };
    recipe.fields.iter().map(text).collect::<Vec<_>>().join(" + ")
}

fn found(table: &Table) -> String {
    if table.columns.is_empty() {
        return "no columns were found".to_owned();
    }
    let names: Vec<String> = table.columns.iter().take(40).map(|c| format!("`{c}`")).collect();
    let more = table.columns.len().saturating_sub(40);
    format!("the columns are {}{}", names.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}
