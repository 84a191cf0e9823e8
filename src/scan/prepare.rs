//! Which items of a domain are scanned, in which order, as which tokens.

use super::{DomainSource, ObjectiveKind, Order, ScanConfig, Sequence};
use crate::{
    base::{Ctx, Error, Result, rng::Rng},
    data::{Domain, DomainKind, Item},
    eval::{encode_pair, encode_prompt, encode_text},
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
        let (prompt, answer) = sequences(domain, item, tokenizer, max_tokens)?;
        let Objective::Loss { from } = answer.objective else { continue };
        if prompt.tokens.len() < 2 || from >= answer.tokens.len() {
            prepared.source.too_short.push(item.line);
            continue;
        }
        prepared.source.sample_lines.push(item.line);
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

/// The prompt alone, and prompt with answer.
fn sequences(domain: &Domain, item: &Item, tokenizer: &TextTokenizer, max_tokens: usize) -> Result<(Sequence, Sequence)> {
    let (prompt, answer) = match (domain.kind, item.gold) {
        (DomainKind::Text, _) | (_, None) => {
            let text = encode_text(tokenizer, &item.context, max_tokens)?;
            (text.tokens.clone(), text)
        }
        (_, Some(gold)) => {
            let context = item.context_of(gold);
            (encode_prompt(tokenizer, context, max_tokens)?, encode_pair(tokenizer, context, &item.continuation(gold), max_tokens)?)
        }
    };
    Ok((
        Sequence { tokens: prompt, objective: Objective::MaxLogit },
        Sequence { tokens: answer.tokens, objective: Objective::Loss { from: answer.from } },
    ))
}

/// One cycle through all samples, so that none is paired with itself; empty for fewer than two.
fn self_cycle(seed: u64, name: &str, n: usize) -> Vec<usize> {
    if n < 2 { Vec::new() } else { Rng::stream(seed, &format!("scan self pairs {name}")).cycle(n) }
}
