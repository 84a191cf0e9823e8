//! How a row becomes a prompt: one recipe for each shape of data set. Templates are those of lm-evaluation-harness 0.4 where it has the task.
//! To add a shape, add a line to [`RECIPES`]; detection, mapping, preview and the list in error messages follow from it.

use super::{
    DomainKind, TextPair,
    gold::truth,
    row::{Fields, RowView, scalar_text},
};
use crate::data::read::Row;
use serde_json::Value;

/// A part that a column can play.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    /// Column names that play it unasked, compared without case and punctuation. A `*` stands for 0, 1, 2... or A, B, C... of several columns.
    pub aliases: &'static [&'static str],
    pub required: bool,
}

const fn need(name: &'static str, aliases: &'static [&'static str]) -> Field {
    Field { name, aliases, required: true }
}

const fn may(name: &'static str, aliases: &'static [&'static str]) -> Field {
    Field { name, aliases, required: false }
}

/// What is right in a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Right {
    /// Nothing is asked.
    #[default]
    Nothing,
    /// This choice.
    Index(usize),
    /// The choice that this value names; read once the whole file was seen.
    Named(Value),
    /// This text; where a file has few different ones they become the choices.
    Text(String),
}

/// A row on its way to an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Stands once, before any examples.
    pub description: String,
    pub context: String,
    pub choices: Vec<String>,
    pub choice_contexts: Vec<String>,
    pub right: Right,
    /// The model is asked for the letter of a choice instead of its text.
    pub lettered: bool,
    pub pair: Option<TextPair>,
}

impl Draft {
    fn choose(context: String, choices: Vec<String>, right: Right) -> Self {
        Self { context, choices, right, ..Self::default() }
    }
    fn answer(context: String, text: String) -> Self {
        Self::choose(context, Vec::new(), Right::Text(text))
    }
}

pub struct Recipe {
    /// What `--map NAME.recipe=` takes.
    pub id: &'static str,
    pub kind: DomainKind,
    pub template: &'static str,
    pub fields: &'static [Field],
    /// Whether the values fit, beyond the names of the columns. Sees the first rows of the file.
    pub fits: fn(&[RowView<'_>]) -> bool,
    pub draft: fn(&RowView<'_>) -> Result<Draft, String>,
}

/// In order of detection: the more a recipe asks for, the earlier it stands.
pub static RECIPES: &[Recipe] = &[
    Recipe {
        id: "winogrande-partial",
        kind: DomainKind::MultipleChoice,
        template: "each of {contexts}, then {continuation} (WinoGrande, partial scoring)",
        fields: &[need("contexts", &["context_options"]), need("continuation", &["continuation"]), need("answer", GOLD)],
        fits: any,
        draft: |r| {
            let contexts = r.list("contexts")?;
            Ok(same_ending(contexts, &r.text("continuation")?, Right::Named(r.required("answer")?.clone())))
        },
    },
    Recipe {
        id: "winogrande",
        kind: DomainKind::MultipleChoice,
        template: "{sentence} up to _ with each of {choices}, then the rest of {sentence} (WinoGrande, partial scoring)",
        fields: &[need("sentence", &["sentence"]), need("choices", &["option*"]), need("answer", GOLD)],
        fits: |rows| all(rows, |r| r.text("sentence").is_ok_and(|s| s.contains('_'))),
        draft: |r| {
            let sentence = r.text("sentence")?;
            let (before, after) = sentence.split_once('_').ok_or("`sentence` holds no _ to fill in")?;
            let contexts = r.list("choices")?.into_iter().map(|c| format!("{before}{c}")).collect();
            Ok(same_ending(contexts, after.trim(), Right::Named(r.required("answer")?.clone())))
        },
    },
    Recipe {
        id: "contrast",
        kind: DomainKind::MultipleChoice,
        template: "{clean}; choices {correct}, {incorrect}; {corrupted} is kept beside it",
        fields: &[
            need("clean", &["clean"]),
            need("correct", &["correct", "correct_answer"]),
            need("incorrect", &["incorrect", "incorrect_answer", "wrong"]),
            may("corrupted", &["corrupted", "corrupt"]),
        ],
        fits: any,
        draft: |r| {
            let clean = r.text("clean")?;
            let second = if r.has("corrupted") { Some(r.text("corrupted")?) } else { None };
            let pair = second.map(|second| TextPair { first: clean.clone(), second, score: None });
            let choices = vec![r.first_text("correct")?, r.first_text("incorrect")?];
            Ok(Draft { pair, ..Draft::choose(clean, choices, Right::Index(0)) })
        },
    },
    Recipe {
        id: "boolq",
        kind: DomainKind::MultipleChoice,
        template: "{passage}\\nQuestion: {question}?\\nAnswer: with the choices no, yes (BoolQ, lm-evaluation-harness)",
        fields: &[need("passage", &["passage"]), need("question", &["question"]), need("answer", &["answer", "label"])],
        fits: |rows| all(rows, |r| r.value("answer").and_then(truth).is_some()),
        draft: |r| {
            let answer = truth(r.required("answer")?).ok_or_else(|| format!("{} is not true or false", r.place("answer")))?;
            let context = format!("{}\nQuestion: {}?\nAnswer:", r.text("passage")?, r.text("question")?);
            Ok(Draft::choose(context, vec!["no".into(), "yes".into()], Right::Index(usize::from(answer))))
        },
    },
    Recipe {
        id: "truthfulqa",
        kind: DomainKind::MultipleChoice,
        template: "Q: {question}\\nA: with the best answer and the incorrect ones as choices (TruthfulQA MC1, without the harness's six examples)",
        fields: &[
            need("question", &["question"]),
            need("best_answer", &["best_answer"]),
            need("incorrect_answers", &["incorrect_answers"]),
        ],
        fits: any,
        draft: |r| {
            let mut choices = vec![r.text("best_answer")?];
            match r.required("incorrect_answers")? {
                Value::Array(list) => choices.extend(list.iter().filter_map(scalar_text)),
                _ => choices.extend(r.text("incorrect_answers")?.split(';').map(|s| s.trim().to_owned())),
            }
            choices.retain(|c| !c.trim().is_empty());
            if choices.len() < 2 {
                return Err(format!("{} holds no answer", r.place("incorrect_answers")));
            }
            Ok(Draft::choose(format!("Q: {}\nA:", r.text("question")?), choices, Right::Index(0)))
        },
    },
    Recipe {
        id: "piqa",
        kind: DomainKind::MultipleChoice,
        template: "Question: {goal}\\nAnswer: (PIQA, lm-evaluation-harness)",
        fields: &[need("goal", &["goal"]), need("choices", &["sol*"]), need("answer", GOLD)],
        fits: any,
        draft: |r| choose(r, format!("Question: {}\nAnswer:", r.text("goal")?)),
    },
    Recipe {
        id: "hellaswag",
        kind: DomainKind::MultipleChoice,
        template: "{activity}: {context} with bracketed marks removed (HellaSwag, lm-evaluation-harness)",
        fields: &[
            need("activity", &["activity_label"]),
            need("context", &["ctx"]),
            may("ctx_a", &["ctx_a"]),
            may("ctx_b", &["ctx_b"]),
            need("choices", &["endings"]),
            need("answer", GOLD),
        ],
        fits: any,
        draft: |r| {
            let context = match (r.text("ctx_a"), r.value("ctx_b").and_then(Value::as_str)) {
                (Ok(a), Some(b)) => format!("{a} {}", capitalized(b)),
                _ => r.text("context")?,
            };
            let context = hellaswag_text(&format!("{}: {context}", r.text("activity")?));
            let choices = r.list("choices")?.iter().map(|c| hellaswag_text(c)).collect();
            Ok(Draft::choose(context, choices, Right::Named(r.required("answer")?.clone())))
        },
    },
    Recipe {
        id: "choices",
        kind: DomainKind::MultipleChoice,
        template: "{context} as it is, then a choice; \\nAnswer: is added to a context that begins with `Question:`, as in lm-evaluation-harness",
        fields: &[
            need("context", &["query", "ctx", "context", "prompt", "premise"]),
            need("choices", &["choices", "endings", "options", "choice*", "ending*", "option*"]),
            need("answer", GOLD),
        ],
        fits: any,
        draft: |r| {
            let mut context = r.text("context")?;
            if context.starts_with("Question:") && !context.contains("Answer:") {
                context = format!("{}\nAnswer:", context.trim_end());
            }
            choose(r, context)
        },
    },
    Recipe {
        id: "arc",
        kind: DomainKind::MultipleChoice,
        template: "Question: {question}\\nAnswer: (ARC, lm-evaluation-harness)",
        fields: &[
            need("question", &["question", "question_stem"]),
            need("choices", &["choices"]),
            need("answer", &["answerKey", "answer"]),
        ],
        fits: |rows| all(rows, |r| r.value("choices").is_some_and(Value::is_object)),
        draft: |r| {
            let context = format!("Question: {}\nAnswer:", r.text("question")?);
            let choices = r.list("choices")?;
            let answer = r.required("answer")?;
            let Some(Value::Array(labels)) = r.value("choices").and_then(|c| c.get("label")) else {
                return Ok(Draft::choose(context, choices, Right::Named(answer.clone())));
            };
            let key = scalar_text(answer);
            let gold = labels.iter().position(|l| scalar_text(l) == key).filter(|&i| i < choices.len());
            let gold =
                gold.ok_or_else(|| format!("{} {answer} is none of the labels {}", r.place("answer"), Value::from(labels.clone())))?;
            Ok(Draft::choose(context, choices, Right::Index(gold)))
        },
    },
    Recipe {
        id: "mmlu",
        kind: DomainKind::MultipleChoice,
        template: "{question}\\nA. {choice}\\nB. ...\\nAnswer: with the letters as choices, and the subject's description above where there is one (MMLU, lm-evaluation-harness)",
        fields: &[
            need("question", &["question", "query"]),
            need("choices", &["choices", "options", "choice*", "option*", "answer*", "*"]),
            need("answer", GOLD),
            may("subject", &["subject"]),
        ],
        fits: any,
        draft: |r| {
            let choices = r.list("choices")?;
            if choices.len() > 26 {
                return Err(format!("{} choices, but there are 26 letters; map them with recipe=choices instead", choices.len()));
            }
            let mut context = r.text("question")?.trim().to_owned();
            let mut description = String::new();
            if r.has("subject") {
                let subject = r.text("subject")?.replace('_', " ");
                description = format!("The following are multiple choice questions (with answers) about {subject}.\n\n");
            }
            for (letter, choice) in ('A'..).zip(&choices) {
                context.push_str(&format!("\n{letter}. {choice}"));
            }
            context.push_str("\nAnswer:");
            Ok(Draft { description, lettered: true, ..Draft::choose(context, choices, Right::Named(r.required("answer")?.clone())) })
        },
    },
    Recipe {
        id: "nli",
        kind: DomainKind::MultipleChoice,
        template: "{premise}\\nQuestion: {hypothesis} True, False or Neither?\\nAnswer: with the choices True, Neither, False (MNLI, lm-evaluation-harness)",
        fields: &[
            need("premise", &["premise", "sentence_A", "sentence1"]),
            need("hypothesis", &["hypothesis", "sentence_B", "sentence2"]),
            need("label", &["entailment_judgment", "gold_label", "label"]),
        ],
        fits: |rows| {
            all(rows, |r| r.value("label").and_then(entailment).is_some() && (r.has_words("label") || r.plays("premise", "premise")))
        },
        draft: |r| {
            let gold = entailment(r.required("label")?)
                .ok_or_else(|| format!("{} is not entailment, neutral or contradiction", r.place("label")))?;
            // The harness ends the hypothesis with a full stop where it has none.
            let mut hypothesis = r.text("hypothesis")?.trim().to_owned();
            if !hypothesis.ends_with('.') {
                hypothesis.push('.');
            }
            let context = format!("{}\nQuestion: {hypothesis} True, False or Neither?\nAnswer:", r.text("premise")?);
            Ok(Draft::choose(context, vec!["True".into(), "Neither".into(), "False".into()], Right::Index(gold)))
        },
    },
    Recipe {
        id: "pairs",
        kind: DomainKind::Pairs,
        template: "{first}\\n{second}, with {score} kept beside them",
        fields: &[
            need("first", &["sentence1", "sentence_A", "text1", "first"]),
            need("second", &["sentence2", "sentence_B", "text2", "second"]),
            need("score", &["score", "relatedness_score", "similarity", "similarity_score", "label"]),
        ],
        // A label that is 0 or 1 is a class; a likeness has fractions.
        fits: |rows| {
            let fraction = |r: &RowView<'_>| r.value("score").and_then(score).is_some_and(|s| s.fract() != 0.0);
            all(rows, |r| r.value("score").and_then(score).is_some()) && rows.iter().any(|r| !r.plays("score", "label") || fraction(r))
        },
        draft: |r| {
            let score = score(r.required("score")?).ok_or_else(|| format!("{} is not a number", r.place("score")))?;
            let (first, second) = (r.text("first")?, r.text("second")?);
            let context = format!("{first}\n{second}");
            let pair = TextPair { first, second, score: Some(score) };
            Ok(Draft { pair: Some(pair), ..Draft::choose(context, Vec::new(), Right::Nothing) })
        },
    },
    Recipe {
        id: "mbpp",
        kind: DomainKind::Answer,
        template: "the task, its first three tests, [BEGIN], then {code} (MBPP, lm-evaluation-harness)",
        fields: &[need("text", &["text", "prompt"]), need("code", &["code"]), need("tests", &["test_list"])],
        fits: any,
        draft: |r| {
            let tests = r.list("tests").or_else(|_| r.first_text("tests").map(|t| vec![t]))?;
            let tests = tests.into_iter().take(3).collect::<Vec<_>>().join("\n");
            let context = format!(
                "You are an expert Python programmer, and here is your task: {} Your code should pass these tests:\n\n{tests}\n[BEGIN]",
                r.text("text")?
            );
            Ok(Draft::answer(context, format!("\n{}", r.text("code")?)))
        },
    },
    Recipe {
        id: "humaneval",
        kind: DomainKind::Answer,
        template: "{prompt}, then {solution} (HumanEval)",
        fields: &[need("prompt", &["prompt"]), need("solution", &["canonical_solution"])],
        fits: any,
        draft: |r| {
            let prompt = r.text("prompt")?;
            let context = prompt.trim_end();
            Ok(Draft::answer(context.to_owned(), format!("{}{}", &prompt[context.len()..], r.text("solution")?)))
        },
    },
    Recipe {
        id: "superni",
        kind: DomainKind::Answer,
        template: "Definition: {definition}\\n\\nNow complete the following example -\\nInput: {input}\\nOutput: (Super-NaturalInstructions)",
        fields: &[need("definition", &["definition"]), need("input", &["input"]), need("output", &["output"])],
        fits: any,
        draft: |r| {
            let definition = r.first_text("definition")?;
            let context = format!("Definition: {definition}\n\nNow complete the following example -\nInput: {}\nOutput:", r.text("input")?);
            Ok(Draft::answer(context, r.first_text("output")?))
        },
    },
    Recipe {
        id: "instruction",
        kind: DomainKind::Answer,
        template: "{instruction}\\n{input}\\nAnswer: then {output}",
        fields: &[
            need("instruction", &["instruction"]),
            may("input", &["input", "context"]),
            need("output", &["output", "response", "answer"]),
        ],
        fits: any,
        draft: |r| {
            let input = r.optional_text("input");
            let gap = if input.trim().is_empty() { "" } else { "\n" };
            let context = format!("{}{gap}{}\nAnswer:", r.text("instruction")?.trim_end(), input.trim());
            Ok(Draft::answer(context, r.first_text("output")?))
        },
    },
    Recipe {
        id: "input-target",
        kind: DomainKind::Answer,
        template: "Q: {input}\\nA: then {output} (BIG-Bench Hard, lm-evaluation-harness, without examples)",
        fields: &[need("input", &["input", "inputs"]), need("output", &["target", "targets", "output"])],
        fits: any,
        draft: |r| Ok(Draft::answer(format!("Q: {}\nA:", r.text("input")?), r.first_text("output")?)),
    },
    Recipe {
        id: "sst2",
        kind: DomainKind::MultipleChoice,
        template: "{sentence}\\nQuestion: Is this sentence positive or negative?\\nAnswer: with the choices negative (0), positive (1) (SST-2, lm-evaluation-harness)",
        fields: &[need("sentence", &["sentence"]), need("label", &["label"])],
        fits: |rows| all(rows, |r| r.value("label").is_some_and(|v| matches!(scalar_text(v).as_deref(), Some("0" | "1")))),
        draft: |r| {
            let label = truth(r.required("label")?).ok_or_else(|| format!("{} is neither 0 nor 1", r.place("label")))?;
            let context = format!("{}\nQuestion: Is this sentence positive or negative?\nAnswer:", r.text("sentence")?);
            Ok(Draft::choose(context, vec!["negative".into(), "positive".into()], Right::Index(usize::from(label))))
        },
    },
    Recipe {
        id: "ag-news",
        kind: DomainKind::MultipleChoice,
        template: "{title}\\n{description}\\nTopic: with the choices World (1), Sports (2), Business (3), Science (4) (AG News)",
        fields: &[need("title", &["title"]), need("description", &["description"]), need("label", &["label", "class", "class_index"])],
        fits: |rows| all(rows, |r| r.value("label").and_then(scalar_text).is_some_and(|l| matches!(l.as_str(), "1" | "2" | "3" | "4"))),
        draft: |r| {
            let label = r.value("label").and_then(scalar_text).and_then(|l| l.parse::<usize>().ok()).filter(|l| (1..=4).contains(l));
            let label = label.ok_or_else(|| format!("{} is not 1, 2, 3 or 4", r.place("label")))?;
            let context = format!("{}\n{}\nTopic:", r.text("title")?, r.text("description")?);
            let topics = ["World", "Sports", "Business", "Science"].map(str::to_owned).to_vec();
            Ok(Draft::choose(context, topics, Right::Index(label - 1)))
        },
    },
    Recipe {
        id: "label",
        kind: DomainKind::Answer,
        template: "{text}\\nLabel: then {label}",
        fields: &[
            need("text", &["text", "sentence", "content", "document", "review", "sentence_", "headline"]),
            need("label", &["label", "labels", "class", "category", "sentiment", "topic", "label_coarse", "coarse_label", "label_text"]),
        ],
        // Labels that hardly repeat are no classes: such a file is plain text.
        fits: |rows| few_different(&labels(rows), 20, 2),
        draft: |r| {
            let columns = r.fields.get("text").map(Vec::as_slice).unwrap_or_default();
            let texts: Vec<String> = columns.iter().filter_map(|c| r.row.fields.get(c).and_then(scalar_text)).collect();
            let text = texts.join("\n");
            if text.trim().is_empty() {
                return Err(format!("{} is empty", r.place("text")));
            }
            Ok(Draft::answer(format!("{text}\nLabel:"), r.first_text("label")?))
        },
    },
    Recipe {
        id: "reading",
        kind: DomainKind::Answer,
        template: "{passage}\\nQuestion: {question}\\nAnswer: then {answer}",
        fields: &[
            need("passage", &["passage", "context", "support"]),
            need("question", &["question"]),
            need("answer", &["answer", "answers", "target"]),
        ],
        fits: any,
        draft: |r| {
            let answer = match r.value("answer").and_then(|v| v.get("text")) {
                Some(Value::Array(texts)) => {
                    texts.iter().find_map(scalar_text).ok_or_else(|| format!("{} holds no text", r.place("answer")))?
                }
                _ => r.first_text("answer")?,
            };
            Ok(Draft::answer(format!("{}\nQuestion: {}\nAnswer:", r.text("passage")?, r.text("question")?), answer))
        },
    },
    Recipe {
        id: "question-answer",
        kind: DomainKind::Answer,
        template: "Question: {question}\\nAnswer: then {answer} (as GSM8K in lm-evaluation-harness, without examples)",
        fields: &[
            need("question", &["question", "query", "q"]),
            need("answer", &["answer", "answers", "target", "output", "response", "a"]),
        ],
        fits: any,
        draft: |r| Ok(Draft::answer(format!("Question: {}\nAnswer:", r.text("question")?), r.first_text("answer")?)),
    },
    Recipe {
        id: "completion",
        kind: DomainKind::Answer,
        template: "{prompt} as it is, then {completion}",
        fields: &[
            need("prompt", &["prompt", "context", "query"]),
            need("completion", &["completion", "response", "answer", "target", "output"]),
        ],
        fits: any,
        draft: |r| Ok(Draft::answer(r.text("prompt")?, r.first_text("completion")?)),
    },
    Recipe {
        id: "text",
        kind: DomainKind::Text,
        template: "{text} as it is",
        fields: &[need("text", &["text", "content", "prompt", "sentence", "document", "story", "article", "code"])],
        fits: any,
        draft: |r| Ok(Draft::choose(r.text("text")?, Vec::new(), Right::Nothing)),
    },
];

const GOLD: &[&str] = &["answer", "gold", "label", "answerKey", "answer_idx", "answer_index", "correct", "target"];

fn any(_: &[RowView<'_>]) -> bool {
    true
}

/// Holds for nine rows of ten: a few broken ones must not change how a file is read.
fn all(rows: &[RowView<'_>], holds: impl Fn(&RowView<'_>) -> bool) -> bool {
    let good = rows.iter().filter(|r| holds(r)).count();
    !rows.is_empty() && good * 10 >= rows.len() * 9
}

fn choose(r: &RowView<'_>, context: String) -> Result<Draft, String> {
    Ok(Draft::choose(context, r.list("choices")?, Right::Named(r.required("answer")?.clone())))
}

fn same_ending(contexts: Vec<String>, ending: &str, right: Right) -> Draft {
    let choices = vec![ending.to_owned(); contexts.len()];
    Draft { choice_contexts: contexts, ..Draft::choose(String::new(), choices, right) }
}

impl RowView<'_> {
    fn has_words(&self, field: &str) -> bool {
        self.value(field).and_then(Value::as_str).is_some_and(|s| s.trim().parse::<i64>().is_err())
    }
    /// The field is played by a column of this very name.
    fn plays(&self, field: &str, column: &str) -> bool {
        self.fields.get(field).is_some_and(|c| c.len() == 1 && c[0].eq_ignore_ascii_case(column))
    }
}

/// 0 entailment, 1 neutral, 2 contradiction, as word or number.
fn entailment(value: &Value) -> Option<usize> {
    let text = scalar_text(value)?.trim().to_lowercase();
    let words = [["entailment", "0"], ["neutral", "1"], ["contradiction", "2"]];
    words.iter().position(|w| w.contains(&text.as_str()))
}

/// A finite number, also one written as text.
fn score(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| n.is_finite())
}

fn labels(rows: &[RowView<'_>]) -> Vec<String> {
    rows.iter().filter_map(|r| r.value("label").and_then(scalar_text)).collect()
}

/// 2 to `most` different values, each at least `times` times on average.
pub fn few_different(values: &[String], most: usize, times: usize) -> bool {
    let different: std::collections::HashSet<&str> = values.iter().map(|v| v.trim()).collect();
    (2..=most).contains(&different.len()) && different.len() * times <= values.len()
}

/// Python's `str.capitalize`: first letter upper, the rest lower.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()).unwrap_or_default()
}

/// The harness's clean-up of WikiHow remains: `[title]` becomes a full stop, other bracketed marks vanish.
fn hellaswag_text(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else { break };
        out.push_str(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    out.replace("  ", " ")
}

/// Columns for the fields of `recipe`, or `None` where a required one is missing.
pub fn match_columns(recipe: &Recipe, columns: &[String]) -> Option<Fields> {
    let mut fields = Fields::new();
    for field in recipe.fields {
        let taken = |c: &String| fields.values().flatten().any(|t| t == c);
        let found = field.aliases.iter().find_map(|alias| by_alias(alias, columns).filter(|c| !c.iter().any(taken)));
        match found {
            Some(c) => {
                fields.insert(field.name, c);
            }
            None if field.required => return None,
            None => {}
        }
    }
    Some(fields)
}

/// The column of this name, or with a `*` the run of columns numbered 0.. or 1.. or lettered A.. .
fn by_alias(alias: &str, columns: &[String]) -> Option<Vec<String>> {
    let find = |name: &str| columns.iter().find(|c| plain(c) == name).cloned();
    let Some(stem) = alias.strip_suffix('*') else {
        // `sentence_` stands for a pair of sentences.
        if alias == "sentence_" {
            let pair = [["sentence1", "sentence2"], ["sentencea", "sentenceb"], ["question1", "question2"]];
            return pair.iter().find_map(|[a, b]| Some(vec![find(a)?, find(b)?]));
        }
        return find(&plain(alias)).map(|c| vec![c]);
    };
    let runs: [Vec<String>; 3] = [
        (0..64).map(|i| format!("{stem}{i}")).collect(),
        (1..65).map(|i| format!("{stem}{i}")).collect(),
        ('a'..='z').map(|c| format!("{stem}{c}")).collect(),
    ];
    runs.iter().map(|names| names.iter().map_while(|n| find(n)).collect::<Vec<_>>()).find(|found| found.len() >= 2)
}

/// Lower case without punctuation: `Best Answer`, `best_answer` and `bestAnswer` are one name.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A view of every row through `fields`.
pub fn views<'a>(rows: &'a [Row], fields: &'a Fields) -> Vec<RowView<'a>> {
    rows.iter().map(|row| RowView { row, fields }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut ids = std::collections::HashSet::new();
        for recipe in RECIPES {
            assert!(ids.insert(recipe.id), "{} twice", recipe.id);
            assert!(!recipe.template.is_empty() && recipe.fields.iter().any(|f| f.required), "{}", recipe.id);
            assert!(recipe.fields.iter().all(|f| !f.aliases.is_empty() && f.name != "recipe" && f.name != "header"), "{}", recipe.id);
        }
    }

    #[test]
    fn columns_match_without_case_and_punctuation_and_in_runs() {
        let columns = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(by_alias("best_answer", &columns(&["Best Answer"])), Some(columns(&["Best Answer"])));
        assert_eq!(by_alias("choice*", &columns(&["choice2", "choice0", "choice1"])), Some(columns(&["choice0", "choice1", "choice2"])));
        assert_eq!(by_alias("sol*", &columns(&["goal", "sol1", "sol2"])), Some(columns(&["sol1", "sol2"])));
        assert_eq!(by_alias("*", &columns(&["A", "B", "C", "D", "answer"])), Some(columns(&["A", "B", "C", "D"])));
        assert_eq!(by_alias("choice*", &columns(&["choice1"])), None);
    }

    #[test]
    fn hellaswag_marks_vanish_as_in_the_harness() {
        assert_eq!(hellaswag_text(" A man [title] runs [step] on  grass "), "A man. runs on grass");
        assert_eq!(hellaswag_text("open [ bracket"), "open [ bracket");
        assert_eq!(capitalized("tHE"), "The");
    }
}
