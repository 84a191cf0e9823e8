//! Which items of a domain are scanned, in which order, as which tokens.

use super::{DomainSource, ObjectiveKind, Order, ScanConfig, Sequence};
use crate::{
    base::{Ctx, Error, Result, rng::Rng},
    data::{Domain, DomainKind, Item},
    eval::{encode_pair, encode_prompt, encode_text, prompt_text},
    model::{Objective, TextTokenizer},
};

/// A domain as token sequences. Without a tokenizer it can be made by hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreparedDomain {
    pub name: String,
    pub source: DomainSource,
    /// What the objective is taken of.
    pub sequences: Vec<Sequence>,
    /// The same samples with the task's loss, which relevance always uses. Empty where the objective is that loss.
    pub answers: Vec<Sequence>,
}

impl PreparedDomain {
    /// Ready token sequences that all have the same objective, with the seed's self pairs.
    pub fn from_tokens(name: impl Into<String>, tokens: Vec<Vec<u32>>, objective: ObjectiveKind, seed: u64) -> Self {
        let name = name.into();
        let with = |objective: Objective| -> Vec<Sequence> { tokens.iter().map(|t| Sequence { tokens: t.clone(), objective }).collect() };
        let loss = with(Objective::Loss { from: 1 });
        let (sequences, answers) = match objective {
            ObjectiveKind::MaxLogit => (with(Objective::MaxLogit), loss),
            ObjectiveKind::Loss => (loss, Vec::new()),
        };
        let source = DomainSource { self_cycle: self_cycle(seed, &name, tokens.len()), ..DomainSource::default() };
        Self { name, source, sequences, answers }
    }
}

/// Takes the first `config.samples` usable items of the chosen order. An item is usable when its prompt has at least two tokens and its loss at
/// least one token to predict, whatever is measured, so that every objective and metric sees the same samples.
///
/// # Errors
/// When no item is usable, or the tokenizer fails.
pub fn prepare(
    domain: &Domain,
    tokenizer: &TextTokenizer,
    max_positions: usize,
    config: &ScanConfig,
    ctx: &Ctx<'_>,
) -> Result<PreparedDomain> {
    let max_tokens = config.max_tokens.min(max_positions);
    if max_tokens < 2 || config.samples == 0 {
        return Err(Error::invalid(format!(
            "a scan needs at least 1 sample of at least 2 tokens, asked for {} of {max_tokens}",
            config.samples
        )));
    }
    let mut order: Vec<usize> = (0..domain.items.len()).collect();
    if config.order == Order::Shuffle {
        Rng::stream(config.seed, &format!("scan order {}", domain.name)).shuffle(&mut order);
    }
    let mut prepared = PreparedDomain {
        name: domain.name.clone(),
        source: DomainSource {
            file: domain.source.clone(),
            sha256: domain.sha256.clone(),
            split: domain.split.clone(),
            kind: domain.kind,
            template: domain.template.clone(),
            unreadable: domain.skipped.len(),
            longest: max_tokens,
            ..DomainSource::default()
        },
        ..PreparedDomain::default()
    };
    for i in order {
        ctx.check()?;
        if prepared.sequences.len() == config.samples {
            break;
        }
        let item = &domain.items[i];
        let (prompt, answer, cut) = sequences(domain, item, tokenizer, max_tokens)?;
        let Objective::Loss { from } = answer.objective else { continue };
        if prompt.tokens.len() < 2 || from >= answer.tokens.len() {
            prepared.source.too_short.push(item.line);
            continue;
        }
        prepared.source.sample_lines.push(item.line);
        prepared.source.cut += usize::from(cut > 0);
        match config.objective {
            ObjectiveKind::MaxLogit => {
                prepared.sequences.push(prompt);
                prepared.answers.push(answer);
            }
            ObjectiveKind::Loss => prepared.sequences.push(answer),
        }
    }
    let n = prepared.sequences.len();
    if n == 0 {
        return Err(Error::invalid(format!(
            "domain {}: none of its {} items gives a prompt of at least two tokens with something to predict",
            domain.name,
            domain.items.len()
        )));
    }
    prepared.source.self_cycle = self_cycle(config.seed, &domain.name, n);
    Ok(prepared)
}

/// The prompt alone, prompt with answer, and how many tokens of the latter did not fit.
fn sequences(domain: &Domain, item: &Item, tokenizer: &TextTokenizer, max_tokens: usize) -> Result<(Sequence, Sequence, usize)> {
    let (prompt, answer) = match (domain.kind, item.gold) {
        (DomainKind::Text | DomainKind::Pairs, _) | (_, None) => {
            let text = encode_text(tokenizer, &item.context, max_tokens)?;
            (text.tokens.clone(), text)
        }
        (_, Some(gold)) => {
            let context = prompt_text(tokenizer, item, gold)?;
            (encode_prompt(tokenizer, &context, max_tokens)?, encode_pair(tokenizer, &context, &item.continuation(gold), max_tokens)?)
        }
    };
    Ok((
        Sequence { tokens: prompt, objective: Objective::MaxLogit },
        Sequence { tokens: answer.tokens, objective: Objective::Loss { from: answer.from } },
        answer.cut,
    ))
}

/// One cycle through all samples, so that none is paired with itself; empty for fewer than two.
fn self_cycle(seed: u64, name: &str, n: usize) -> Vec<usize> {
    if n < 2 { Vec::new() } else { Rng::stream(seed, &format!("scan self pairs {name}")).cycle(n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::job::silently, data::Prompting};

    fn tokenizer() -> TextTokenizer {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama/tokenizer.json");
        TextTokenizer::from_file(&path).expect("fixture")
    }

    fn texts(texts: &[&str]) -> Domain {
        let item = |(i, t): (usize, &&str)| Item { line: i + 1, context: (*t).to_owned(), ..Item::default() };
        Domain {
            name: "t".into(),
            source: "t.jsonl".into(),
            split: "all".into(),
            kind: DomainKind::Text,
            template: String::new(),
            items: texts.iter().enumerate().map(item).collect(),
            skipped: Vec::new(),
            sha256: String::new(),
            items_sha256: String::new(),
            prompt: Prompting::default(),
        }
    }

    fn question(context: &str) -> Domain {
        let mut domain = texts(&[context]);
        domain.kind = DomainKind::MultipleChoice;
        domain.items[0].choices = vec!["no".into(), "yes".into()];
        domain.items[0].gold = Some(1);
        domain
    }

    fn prepared(domain: &Domain, config: &ScanConfig) -> Result<PreparedDomain> {
        silently(|ctx| prepare(domain, &tokenizer(), 256, config, ctx))
    }

    #[test]
    fn the_first_usable_items_are_taken_and_the_others_counted() {
        // The tokenizer puts <s> before everything: an empty text is one token, which predicts nothing.
        let domain = texts(&["", "one fish", "two fish", "", "red fish", "blue fish"]);
        let config = ScanConfig { samples: 3, order: Order::File, ..ScanConfig::default() };
        let p = prepared(&domain, &config).expect("prepared");
        assert_eq!(p.source.sample_lines, [2, 3, 5]);
        assert_eq!(p.source.too_short, [1, 4]);
        assert_eq!((p.sequences.len(), p.answers.len(), p.source.self_cycle.len()), (3, 3, 3));
        assert!(p.sequences.iter().all(|s| s.objective == Objective::MaxLogit));
        let loss = prepared(&domain, &ScanConfig { objective: ObjectiveKind::Loss, ..config }).expect("prepared");
        assert_eq!(loss.source, p.source, "the samples and their pairs do not depend on the objective");
        assert_eq!(loss.sequences, p.answers);
        assert!(loss.answers.is_empty());
    }

    #[test]
    fn a_domain_without_a_usable_item_is_an_error_that_names_it() {
        let message = prepared(&texts(&["", ""]), &ScanConfig::default()).expect_err("nothing").to_string();
        assert!(message.contains("domain t") && message.contains("2 items"), "{message}");
        assert!(prepared(&texts(&["a b"]), &ScanConfig { max_tokens: 1, ..ScanConfig::default() }).is_err());
    }

    #[test]
    fn the_seed_chooses_the_samples() {
        let words: Vec<String> = (0..50).map(|i| format!("text number {i}")).collect();
        let domain = texts(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = |seed| prepared(&domain, &ScanConfig { samples: 10, seed, ..ScanConfig::default() }).expect("prepared").source;
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1).sample_lines, lines(2).sample_lines);
        assert_ne!(lines(1).self_cycle, lines(2).self_cycle);
    }

    #[test]
    fn a_text_keeps_its_beginning_and_a_prompt_its_end() {
        let long = "one two three four five six seven eight nine ten";
        let whole = tokenizer().encode(long).expect("tokens");
        let config = ScanConfig { max_tokens: 6, order: Order::File, ..ScanConfig::default() };
        let text = prepared(&texts(&[long]), &config).expect("prepared");
        assert_eq!(text.sequences[0].tokens, whole[..6]);
        assert_eq!(text.answers[0], Sequence { tokens: whole[..6].to_vec(), objective: Objective::Loss { from: 1 } });
        let asked = prepared(&question(long), &config).expect("prepared");
        assert_eq!(asked.sequences[0].tokens, whole[whole.len() - 6..]);
        for source in [&text.source, &asked.source] {
            assert_eq!((source.longest, source.cut), (6, 1));
        }
        let fits = prepared(&texts(&[long]), &ScanConfig { max_tokens: whole.len(), ..config.clone() }).expect("prepared");
        assert_eq!((fits.source.longest, fits.source.cut), (whole.len(), 0));
        let short = silently(|ctx| prepare(&texts(&[long, "a b"]), &tokenizer(), 4, &config, ctx)).expect("prepared").source;
        assert_eq!((short.longest, short.cut), (4, 1), "the model's context is shorter than the setting");
        assert_eq!(short.cut_words(), "1 of 2 samples cut to 4 tokens");
        let answer = tokenizer().encode(&format!("{long} yes")).expect("tokens");
        let n = answer.len() - whole.len();
        assert_eq!(asked.answers[0], Sequence { tokens: answer[answer.len() - 6..].to_vec(), objective: Objective::Loss { from: 6 - n } });
    }
}
