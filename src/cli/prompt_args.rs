//! Arguments that say how prompts are made, for one domain (`NAME=VALUE`) or for all (`VALUE`).

use super::watch::Stop;
use crate::data::{Mapping, PromptTemplate, ShotOrder, prompt::escape};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Prompts")]
pub struct PromptArgs {
    /// The prompt before a choice, as lm-evaluation-harness's doc_to_text: `arc='Question: {{question}}\nAnswer:'`. `\n` is a line end.
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_text)]
    pub template: Vec<Of<String>>,
    /// The choices: `{{choices.text}}`, `{{[sol1, sol2]}}` or `["no", "yes"]`. Default: as the columns say.
    #[arg(long, value_name = "NAME=LIST", value_parser = parse_text)]
    pub template_choices: Vec<Of<String>>,
    /// What is right: the index, letter or text of a choice; without choices the answer itself. Default: as the columns say.
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_text)]
    pub template_target: Vec<Of<String>>,
    /// Stands once before the examples and the question.
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_text)]
    pub description: Vec<Of<String>>,
    /// Answered examples before each question, from the domain's other rows.
    #[arg(long, value_name = "[NAME=]K", value_parser = parse_count)]
    pub shots: Vec<Of<usize>>,
    /// Seed of the examples. Default: 1234, with which they are those of lm-evaluation-harness.
    #[arg(long, value_name = "[NAME=]SEED", value_parser = parse_seed)]
    pub shots_seed: Vec<Of<u64>>,
    /// `random`: drawn anew for every question; `first`: the first rows.
    #[arg(long, value_name = "[NAME=]ORDER", value_parser = parse_order)]
    pub shots_order: Vec<Of<ShotOrder>>,
    /// File that the examples are taken from, read like the domain's own.
    #[arg(long, value_name = "[NAME=]PATH", value_parser = parse_path)]
    pub shots_from: Vec<Of<PathBuf>>,
    /// Put prompts through the model's chat template: of every domain, or of the named ones; repeatable.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = ALL)]
    pub chat_template: Vec<String>,
}

const ALL: &str = "*";

/// A value for one domain, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of<T> {
    pub domain: Option<String>,
    pub value: T,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrderWord {
    Random,
    First,
}

fn of<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Of<T>, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok(Of { domain: Some(name.trim().to_owned()), value: read(value)? }),
        _ => Ok(Of { domain: None, value: read(text)? }),
    }
}

/// A template is always for a named domain: templates hold `=` themselves.
fn parse_text(text: &str) -> Result<Of<String>, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !name.contains(['{', '\n']) => {
            Ok(Of { domain: Some(name.trim().to_owned()), value: escape::from_line(value) })
        }
        _ => Err("write it as NAME=TEXT, e.g. arc='Question: {{question}}\\nAnswer:'".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<Of<usize>, String> {
    of(text, |t| t.parse().ok().filter(|n| *n <= 1_000).ok_or_else(|| "expected a whole number up to 1000, e.g. 5 or arc=5".to_owned()))
}

fn parse_seed(text: &str) -> Result<Of<u64>, String> {
    of(text, |t| t.parse().map_err(|_| "expected a whole number, e.g. 1234 or arc=1234".to_owned()))
}

fn parse_order(text: &str) -> Result<Of<ShotOrder>, String> {
    of(text, |t| match OrderWord::from_str(t, true) {
        Ok(OrderWord::Random) => Ok(ShotOrder::Random),
        Ok(OrderWord::First) => Ok(ShotOrder::First),
        Err(_) => Err("expected random or first, e.g. arc=first".to_owned()),
    })
}

fn parse_path(text: &str) -> Result<Of<PathBuf>, String> {
    of(text, |t| if t.is_empty() { Err("expected a path".to_owned()) } else { Ok(PathBuf::from(t)) })
}

impl PromptArgs {
    /// Puts the arguments into the mappings of the domains they are for. What names a domain wins over what is for all.
    ///
    /// # Errors
    /// When an argument names a domain that is not there, or says something of a template that is not given.
    pub fn apply<'a>(&self, domains: &mut [(&'a str, &'a mut Mapping)]) -> Result<(), Stop> {
        each("--template", &self.template, domains, |m, v| m.prompt.template.get_or_insert_default().text.clone_from(v))?;
        each("--template-choices", &self.template_choices, domains, |m, v| template(m).choices = Some(v.clone()))?;
        each("--template-target", &self.template_target, domains, |m, v| template(m).target = Some(v.clone()))?;
        each("--description", &self.description, domains, |m, v| m.prompt.description = Some(v.clone()))?;
        each("--shots", &self.shots, domains, |m, v| m.prompt.shots.count = *v)?;
        each("--shots-seed", &self.shots_seed, domains, |m, v| m.prompt.shots.seed = *v)?;
        each("--shots-order", &self.shots_order, domains, |m, v| m.prompt.shots.order = *v)?;
        each("--shots-from", &self.shots_from, domains, |m, v| m.prompt.shots.from = Some(v.clone()))?;
        let chat: Vec<Of<bool>> = self.chat_template.iter().map(|n| Of { domain: (n != ALL).then(|| n.clone()), value: true }).collect();
        each("--chat-template", &chat, domains, |m, v| m.prompt.chat = *v)?;
        for (name, mapping) in domains.iter() {
            if mapping.prompt.template.as_ref().is_some_and(|t| t.text.is_empty()) {
                return Err(Stop::Usage(format!(
                    "{name} has a template for the choices or the target, but --template {name}=TEXT is missing"
                )));
            }
            if mapping.prompt.shots.from.is_some() && mapping.prompt.shots.count == 0 {
                return Err(Stop::Usage(format!("{name} has a file of examples; say how many with --shots {name}=K")));
            }
        }
        Ok(())
    }
}

fn template(mapping: &mut Mapping) -> &mut PromptTemplate {
    mapping.prompt.template.get_or_insert_default()
}

fn each<T>(flag: &str, values: &[Of<T>], domains: &mut [(&str, &mut Mapping)], set: impl Fn(&mut Mapping, &T)) -> Result<(), Stop> {
    let (all, named): (Vec<_>, Vec<_>) = values.iter().partition(|v| v.domain.is_none());
    for value in all {
        domains.iter_mut().for_each(|(_, mapping)| set(mapping, &value.value));
    }
    for value in named {
        let name = value.domain.as_deref().unwrap_or_default();
        match domains.iter_mut().find(|(n, _)| *n == name) {
            Some((_, mapping)) => set(mapping, &value.value),
            None => {
                let names: Vec<&str> = domains.iter().map(|(n, _)| *n).collect();
                return Err(Stop::Usage(format!("{flag} names the domain `{name}`, but --data gives {}", names.join(", "))));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(args: &PromptArgs) -> Result<(Mapping, Mapping), Stop> {
        let (mut a, mut b) = (Mapping::default(), Mapping::default());
        args.apply(&mut [("a", &mut a), ("b", &mut b)])?;
        Ok((a, b))
    }

    #[test]
    fn what_names_a_domain_wins() {
        let args = PromptArgs {
            shots: vec![parse_count("a=5").expect("named"), parse_count("2").expect("all")],
            template: vec![parse_text("b={{x}} = {{y}}\\nAnswer:").expect("template")],
            chat_template: vec!["b".into()],
            ..PromptArgs::default()
        };
        let (a, b) = applied(&args).expect("both there");
        assert_eq!((a.prompt.shots.count, b.prompt.shots.count), (5, 2));
        assert_eq!(b.prompt.template.expect("template").text, "{{x}} = {{y}}\nAnswer:");
        assert_eq!((a.prompt.chat, b.prompt.chat, a.prompt.template), (false, true, None));
    }

    #[test]
    fn what_fits_no_domain_is_a_usage_error() {
        for args in [
            PromptArgs { shots: vec![parse_count("c=5").expect("parses")], ..PromptArgs::default() },
            PromptArgs { template_target: vec![parse_text("a={{y}}").expect("parses")], ..PromptArgs::default() },
            PromptArgs { shots_from: vec![parse_path("x.jsonl").expect("parses")], ..PromptArgs::default() },
        ] {
            assert!(matches!(applied(&args), Err(Stop::Usage(_))), "{args:?}");
        }
        parse_text("{{question}}").expect_err("no name");
        parse_count("many").expect_err("no number");
        parse_order("last").expect_err("no order");
    }
}
