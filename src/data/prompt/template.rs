//! Prompt templates: Jinja as lm-evaluation-harness uses it. A field that a template names must be there: nothing is silently left empty.

use super::{PromptTemplate, Prompting};
use crate::data::{
    read::Row,
    recipes::{Draft, Right},
};
use minijinja::{
    Environment, ErrorKind, State, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Serde, ValueKind},
};
use serde_json::Map;
use std::collections::BTreeSet;

/// Steps and output bytes that one prompt may take; a long one takes some thousands.
const FUEL: u64 = 4_000_000;

/// The templates of a domain, checked against its columns.
pub struct Compiled {
    env: Environment<'static>,
    /// Names in `env`; what each needs of a row.
    text: Option<Needs>,
    target: Option<Needs>,
    choices: Option<Choices>,
    description: Option<Needs>,
}

type Needs = BTreeSet<String>;

enum Choices {
    /// A template a choice: `["no", "yes"]`.
    Each(usize, Needs),
    /// One expression that gives them all: `{{choices}}`.
    All(String, Needs),
}

impl Compiled {
    /// # Errors
    /// When a template is no template, or names what is no column.
    pub fn new(prompting: &Prompting, columns: &[String]) -> Result<Self, String> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_unknown_method_callback(method);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|e| e.to_string())?);
        let mut compiled = Self { env, text: None, target: None, choices: None, description: None };
        if let Some(PromptTemplate { text, choices, target }) = &prompting.template {
            compiled.text = Some(compiled.add("template", text, columns)?);
            compiled.target = target.as_ref().map(|t| compiled.add("target", &field(t, columns), columns)).transpose()?;
            compiled.choices = choices.as_ref().map(|c| compiled.choices(c, columns)).transpose()?;
        }
        compiled.description = prompting.description.as_ref().map(|d| compiled.add("description", d, columns)).transpose()?;
        Ok(compiled)
    }

    fn add(&mut self, name: &str, source: &str, columns: &[String]) -> Result<Needs, String> {
        self.env.add_template_owned(name.to_owned(), source.to_owned()).map_err(|e| format!("the {name} is none: {e}"))?;
        let needs = self.env.get_template(name).map(|t| t.undeclared_variables(false)).unwrap_or_default();
        self.check(name, needs.into_iter().collect(), columns)
    }

    fn check(&self, name: &str, needs: Needs, columns: &[String]) -> Result<Needs, String> {
        let globals: BTreeSet<&str> = self.env.globals().map(|(name, _)| name).collect();
        let needs: Needs = needs.into_iter().filter(|n| !globals.contains(n.as_str())).collect();
        match needs.iter().find(|n| !columns.contains(n)) {
            None => Ok(needs),
            Some(missing) => {
                let have: Vec<String> = columns.iter().take(40).map(|c| format!("`{c}`")).collect();
                Err(format!("the {name} names `{missing}`, which is no column; the columns are {}", have.join(", ")))
            }
        }
    }

    fn choices(&mut self, source: &str, columns: &[String]) -> Result<Choices, String> {
        if let Ok(each) = serde_json::from_str::<Vec<String>>(source) {
            let mut needs = Needs::new();
            for (i, choice) in each.iter().enumerate() {
                needs.extend(self.add(&format!("choice {i}"), choice, columns)?);
            }
            return Ok(Choices::Each(each.len(), needs));
        }
        let source = field(source, columns);
        let inner = source.trim().strip_prefix("{{").and_then(|s| s.strip_suffix("}}")).filter(|s| !s.contains("{{"));
        let Some(expression) = inner else {
            return Err(format!(
                "the choices `{source}` are neither a JSON list such as [\"no\", \"yes\"] nor one expression such as {{{{choices}}}}"
            ));
        };
        let compiled =
            self.env.compile_expression_owned(expression.to_owned()).map_err(|e| format!("the choices are no expression: {e}"))?;
        let needs = compiled.undeclared_variables(false).into_iter().collect();
        drop(compiled);
        Ok(Choices::All(expression.to_owned(), self.check("choices", needs, columns)?))
    }

    /// The draft of a row: `base` is what the recipe makes of it, where one is needed.
    ///
    /// # Errors
    /// When the row lacks what a template names, or a template fails.
    pub fn draft(&self, row: &Row, base: Option<Draft>) -> Result<Draft, String> {
        let mut draft = base.unwrap_or_default();
        if let Some(needs) = &self.text {
            draft.context = self.render("template", needs, row)?;
            // The words of the recipe's own prompt do not belong before another one.
            draft.description.clear();
        }
        if let Some(choices) = &self.choices {
            draft.choices = self.list(choices, row)?;
            draft.choice_contexts.clear();
            draft.lettered = false;
            if let Right::Text(text) = draft.right {
                draft.right = Right::Named(text.into());
            }
        }
        if let Some(needs) = &self.target {
            let target = self.render("target", needs, row)?;
            draft.right = if self.choices.is_some() { Right::Named(target.into()) } else { Right::Text(target) };
        }
        if let Some(needs) = &self.description {
            draft.description = self.render("description", needs, row)?;
        }
        Ok(draft)
    }

    pub fn gives_choices(&self) -> bool {
        self.choices.is_some()
    }

    fn values(&self, name: &str, needs: &Needs, row: &Row) -> Result<Value, String> {
        if let Some(missing) = needs.iter().find(|n| !row.fields.contains_key(*n)) {
            let have: Vec<String> = row.fields.keys().take(40).map(|c| format!("`{c}`")).collect();
            return Err(format!("the {name} needs `{missing}`, which this row has not; it has {}", have.join(", ")));
        }
        let used: Map<String, serde_json::Value> =
            row.fields.iter().filter(|(k, _)| needs.contains(*k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Value::from(Serde(used)))
    }

    fn render(&self, name: &str, needs: &Needs, row: &Row) -> Result<String, String> {
        let values = self.values(name, needs, row)?;
        let rendered = self.env.get_template(name).and_then(|t| t.render(values));
        rendered.map_err(|e| failed(name, &e, row))
    }

    fn list(&self, choices: &Choices, row: &Row) -> Result<Vec<String>, String> {
        let list = match choices {
            Choices::Each(n, needs) => (0..*n).map(|i| self.render(&format!("choice {i}"), needs, row)).collect::<Result<Vec<_>, _>>()?,
            Choices::All(expression, needs) => {
                let values = self.values("choices", needs, row)?;
                let value = self.env.compile_expression(expression).and_then(|e| e.eval(values)).map_err(|e| failed("choices", &e, row))?;
                let items = value.try_iter().map_err(|_| format!("the choices are {value}, expected a list"))?;
                items.take(65).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect()
            }
        };
        if (2..=64).contains(&list.len()) { Ok(list) } else { Err(format!("the choices are {}, expected 2 to 64", list.len())) }
    }
}

/// Python's methods, and `list.index`, by which tasks name the right choice.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, minijinja::Error> {
    let ([wanted], "index", ValueKind::Seq) = (args, name, value.kind()) else {
        return minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args);
    };
    let at = value.try_iter()?.position(|v| v == *wanted);
    at.map(Value::from).ok_or_else(|| minijinja::Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in {value}")))
}

/// The name of a column alone stands for its value, as in the harness.
fn field(source: &str, columns: &[String]) -> String {
    if columns.iter().any(|c| c == source) { format!("{{{{{source}}}}}") } else { source.to_owned() }
}

fn failed(name: &str, e: &minijinja::Error, row: &Row) -> String {
    let detail = e.detail().unwrap_or_default();
    match e.kind() {
        ErrorKind::OutOfFuel => format!("the {name} runs without end"),
        ErrorKind::UndefinedError => {
            let have: Vec<&str> = row.fields.keys().take(40).map(String::as_str).collect();
            let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            format!("the {name} names something that this row has not{detail}; it has {}", have.join(", "))
        }
        _ => format!("the {name} fails: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: serde_json::Value) -> Row {
        Row { line: 1, fields: value.as_object().expect("object").clone() }
    }

    fn compiled(text: &str, choices: Option<&str>, target: Option<&str>, row: &Row) -> Result<Compiled, String> {
        let template = PromptTemplate { text: text.into(), choices: choices.map(Into::into), target: target.map(Into::into) };
        let columns: Vec<String> = row.fields.keys().cloned().collect();
        Compiled::new(&Prompting { template: Some(template), ..Prompting::default() }, &columns)
    }

    fn draft(text: &str, choices: Option<&str>, target: Option<&str>, row: &Row) -> Result<Draft, String> {
        compiled(text, choices, target, row)?.draft(row, None)
    }

    #[test]
    fn the_plain_cases_of_the_harness() {
        let r = row(json!({
            "goal": "dry  socks", "sol1": "in the sun", "sol2": "in the sea", "label": 0, "ok": true,
            "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B", "list": ["x", "y"], "name": "some_words"
        }));
        // piqa
        let d = draft("Question: {{goal}}\nAnswer:", Some("{{[sol1, sol2]}}"), Some("label"), &r).expect("piqa");
        assert_eq!(
            (d.context.as_str(), d.choices, d.right),
            ("Question: dry  socks\nAnswer:", vec!["in the sun".into(), "in the sea".into()], Right::Named(json!("0")))
        );
        // arc_easy
        let d = draft("{{goal}}", Some("{{choices.text}}"), Some("{{choices.label.index(answerKey)}}"), &r);
        assert_eq!(d.map(|d| (d.choices, d.right)), Ok((vec!["a".into(), "b".into()], Right::Named(json!("1")))));
        // boolq, and a choice that is a template
        let d = draft("{{goal}}?", Some(r#"["no", "yes {{sol1}}"]"#), Some("{{ok|int}}"), &r).expect("boolq");
        assert_eq!((d.choices, d.right), (vec!["no".into(), "yes in the sun".into()], Right::Named(json!("1"))));
        let d = draft("{{list[1]}} {{name.replace('_', ' ')|capitalize}} {{list|join(', ')}}\n", None, Some(" {{goal|trim}}"), &r)
            .expect("filters");
        assert_eq!((d.context.as_str(), d.right), ("y Some words x, y\n", Right::Text(" dry  socks".into())));
        let d = draft("{% for c in list %}{{loop.index}}. {{c}}\n{% endfor %}Answer:", Some("list"), Some("{{label}}"), &r).expect("loop");
        assert_eq!((d.context.as_str(), d.choices.len()), ("1. x\n2. y\nAnswer:", 2));
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        let r = row(json!({"question": "q", "list": ["x"]}));
        let e = compiled("{{questoin}}", None, None, &r).err().expect("no column");
        assert!(e.contains("`questoin`") && e.contains("`question`"), "{e}");
        let c = compiled("{{question}} {{list[3]}}", None, None, &r).expect("columns are there");
        let e = c.draft(&r, None).expect_err("index");
        assert!(e.contains("template") && e.contains("question, list"), "{e}");
        let e = c.draft(&row(json!({"list": []})), None).expect_err("row");
        assert!(e.contains("needs `question`") && e.contains("`list`"), "{e}");
        assert!(compiled("{{question", None, None, &r).err().expect("open").contains("template"));
        assert!(compiled("x", Some("yes or no"), None, &r).err().expect("choices").contains("JSON list"));
        assert!(draft("x", Some("{{question}}"), None, &r).is_err(), "a text is no list");
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let r = row(json!({"a": "x"}));
        let e = draft("{% for i in range(100000) %}{% for j in range(100000) %}{{a}}{% endfor %}{% endfor %}", None, None, &r);
        assert!(e.expect_err("endless").contains("without end"));
    }
}
