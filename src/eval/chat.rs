//! The text a model reads before a choice: an item's own prompt, or its description, examples and question as messages in the model's chat
//! template. Messages as lm-evaluation-harness makes them with `--apply_chat_template` (examples as turns of their own); the template runs as
//! transformers runs it. Source: `ConfigurableTask.fewshot_context` (lm_eval 0.4.13), `_compile_jinja_template` (transformers 5).

use crate::{
    base::{Error, Result},
    data::Item,
    model::{TextTokenizer, tokenizer::ChatTemplate},
};
use minijinja::{Environment, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use std::borrow::Cow;

/// Steps and output bytes that one conversation may take.
const FUEL: u64 = 8_000_000;
/// No template that a person wrote is longer.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

fn message(role: &'static str, content: impl Into<String>) -> Message {
    Message { role, content: content.into() }
}

/// All that stands before choice `i` of an item.
///
/// # Errors
/// When the item asks for a chat template and the model has none, or the template fails.
pub fn prompt_text<'a>(tokenizer: &TextTokenizer, item: &'a Item, i: usize) -> Result<Cow<'a, str>> {
    if !item.chat {
        return Ok(item.prompt_of(i));
    }
    let Some(template) = &tokenizer.chat else {
        return Err(Error::invalid(
            "the model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); it is a base model, or the file \
             was not downloaded: evaluate it without --chat-template",
        ));
    };
    Ok(render(template, messages(item, i))?.into())
}

/// Prompt and gold choice as the model reads them; the context alone where nothing is asked.
///
/// # Errors
/// As [`prompt_text`].
pub fn gold_text(tokenizer: &TextTokenizer, item: &Item) -> Result<String> {
    match item.gold {
        Some(gold) => Ok(format!("{}{}", prompt_text(tokenizer, item, gold)?, item.continuation(gold))),
        None => Ok(item.context.clone()),
    }
}

fn messages(item: &Item, i: usize) -> Vec<Message> {
    let mut messages = Vec::with_capacity(2 * item.shots.len() + 2);
    if !item.description.is_empty() {
        messages.push(message("system", item.description.clone()));
    }
    for shot in &item.shots {
        messages.push(message("user", shot.context.clone()));
        messages.push(message("assistant", shot.answer.clone()));
    }
    messages.push(message("user", item.context_of(i)));
    messages
}

/// Renders the messages up to where the model's answer begins. A template that refuses a system message gets its text in the first question.
fn render(template: &ChatTemplate, messages: Vec<Message>) -> Result<String> {
    match render_once(template, &messages) {
        Err(e) if e.kind() != ErrorKind::OutOfFuel && messages.first().is_some_and(|m| m.role == "system") => {
            let mut messages = messages;
            let system = messages.remove(0).content;
            if let Some(first) = messages.first_mut() {
                first.content.insert_str(0, &system);
            }
            render_once(template, &messages).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

fn failed(e: minijinja::Error) -> Error {
    match e.kind() {
        ErrorKind::OutOfFuel => Error::invalid("the model's chat template runs without end"),
        _ => Error::invalid(format!("the model's chat template fails: {e}")),
    }
}

fn render_once(template: &ChatTemplate, messages: &[Message]) -> Result<String, minijinja::Error> {
    let error = |message: String| minijinja::Error::new(ErrorKind::InvalidOperation, message);
    if template.source.len() > MAX_TEMPLATE_BYTES {
        return Err(error(format!("it has {} bytes", template.source.len())));
    }
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_fuel(Some(FUEL));
    env.add_function("raise_exception", move |message: String| -> Result<Value, minijinja::Error> { Err(error(message)) });
    // Templates that can do without today's date take a fixed one, and results do not change overnight.
    if template.source.contains("strftime_now") && !template.source.contains("strftime_now is defined") {
        env.add_function("strftime_now", |_: String| "26 Jul 2024");
    }
    let source = without_generation(&template.source);
    env.template_from_str(&source)?.render(context! {
        messages => Serde(messages),
        add_generation_prompt => true,
        bos_token => template.bos_token.as_str(),
        eos_token => template.eos_token.as_str(),
        tools => Value::from(()),
        documents => Value::from(()),
    })
}

/// `{% generation %}` marks what a trainer learns from and prints nothing; only transformers knows it.
fn without_generation(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return source.into();
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(len) = rest[open..].find("%}") else { break };
        let tag = &rest[open..open + len + 2];
        let word = tag[2..tag.len() - 2].trim_matches('-').trim();
        out.push_str(&rest[..open]);
        match word {
            // A statement that does nothing keeps the white-space marks of the tag.
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[open + len + 2..];
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shot;
    use std::sync::Arc;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate { source: source.to_owned(), bos_token: "<s>".into(), eos_token: "</s>".into() }
    }

    fn item() -> Item {
        let shot = Shot { line: 2, context: "1 + 1?".into(), answer: "2".into() };
        Item {
            line: 1,
            description: "Add.".into(),
            shots: vec![Arc::new(shot)],
            context: "1 + 2?".into(),
            choices: vec!["3".into(), " 4".into()],
            gold: Some(0),
            chat: true,
            ..Item::default()
        }
    }

    /// The template of SmolLM2.
    const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn description_examples_and_question_become_turns() {
        let text = render(&template(SMOLLM2), messages(&item(), 0)).expect("renders");
        assert_eq!(
            text,
            "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n\
             <|im_start|>user\n1 + 2?<|im_end|>\n<|im_start|>assistant\n"
        );
        // After a turn's end no delimiter stands before the choice.
        assert_eq!((item().continuation(0), item().continuation(1)), ("3".into(), " 4".into()));
    }

    #[test]
    fn a_template_without_a_system_role_gets_the_description_in_the_first_question() {
        let gemma = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
                     {% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles') }}{% endif %}\
                     {% set role = 'model' if message['role'] == 'assistant' else message['role'] %}\
                     {{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}\
                     {% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
        let text = render(&template(gemma), messages(&item(), 0)).expect("renders");
        assert!(text.starts_with("<s><start_of_turn>user\nAdd.1 + 1?<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>"), "{text}");
        assert!(text.ends_with("<start_of_turn>model\n"), "{text}");
    }

    #[test]
    fn what_templates_of_the_field_use_is_there() {
        let text = |source: &str| render(&template(source), messages(&item(), 0));
        assert_eq!(
            text("{%- set ns = namespace(n=0) -%}{%- for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor -%}{{ ns.n }}")
                .expect("namespace"),
            "4"
        );
        assert_eq!(text("{{ messages[-1].content.split('?')[0].strip().upper() }}").expect("methods"), "1 + 2");
        assert_eq!(text("{% if tools %}x{% endif %}{{ tools is none }}{{ undefined_thing }}").expect("lenient"), "True");
        assert_eq!(text("{% if strftime_now is defined %}now{% else %}26 Jul 2024{% endif %}").expect("date"), "26 Jul 2024");
        assert_eq!(text("{{ strftime_now('%d %b %Y') }}").expect("date"), "26 Jul 2024");
        assert_eq!(text("  {% generation %}\n a{%- endgeneration %}\nb").expect("generation"), " ab");
        assert_eq!(
            text("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}").expect("json"),
            r#"{"role": "system", "content": "Add."}"#
        );
    }

    #[test]
    fn a_hostile_template_ends_in_an_error() {
        let text = |source: &str| render(&template(source), messages(&item(), 0)).expect_err("stopped").to_string();
        let endless = "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}";
        assert!(text(endless).contains("without end"), "{}", text(endless));
        assert!(text("{% set a = 'x' * 100000000000 %}{{ a }}").contains("chat template"));
        assert!(text("{% set a = 'x' * 90000000 %}{% for i in range(90000) %}{{ a }}{% endfor %}").contains("without end"));
        assert!(text("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").contains("chat template"));
        assert!(text("{{ messages").contains("chat template"));
        assert!(text(&"x".repeat(2 << 20)).contains("bytes"));
    }
}
