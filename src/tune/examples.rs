//! Items of a domain as sequences to learn from: the prompt and its right answer, tokenised as an evaluation does it.

use super::TrainSequence;
use crate::{
    base::{Ctx, Error, Result},
    data::{Domain, Item},
    eval::{encode_pair, encode_text, prompt_text},
    model::TextTokenizer,
};
use serde::{Deserialize, Serialize};

/// Which tokens of a sequence are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learn {
    /// Those of the right answer, given the prompt (METHODS 2); of a text all.
    #[default]
    Answer,
    /// Every token that something stands before.
    All,
}

impl Learn {
    /// In words, for provenance.
    pub fn words(self) -> &'static str {
        match self {
            Self::Answer => "cross-entropy of the answer's tokens given the prompt",
            Self::All => "cross-entropy of all tokens",
        }
    }
}

/// What a domain gives to learn.
#[derive(Clone, Debug)]
pub struct Examples {
    /// One for each item that has something to learn.
    pub sequences: Vec<TrainSequence>,
    /// How many of them were longer than may be and were cut.
    pub cut: usize,
}

/// One sequence for each item that has something to learn.
///
/// # Errors
/// When the tokenizer or a chat template fails, or nothing is left to learn.
pub fn examples(
    domain: &Domain,
    items: &[Item],
    tokenizer: &TextTokenizer,
    learn: Learn,
    max_tokens: usize,
    ctx: &Ctx<'_>,
) -> Result<Examples> {
    let mut sequences = Vec::with_capacity(items.len());
    let mut cut = 0;
    for (i, item) in items.iter().enumerate() {
        if i % 64 == 0 {
            ctx.check()?;
        }
        if let Some((sequence, left_out)) = example(item, tokenizer, learn, max_tokens)? {
            sequences.push(sequence);
            cut += usize::from(left_out > 0);
        }
    }
    if sequences.is_empty() {
        return Err(Error::invalid(format!("domain {}: none of its {} items has a token to learn", domain.name, items.len())));
    }
    Ok(Examples { sequences, cut })
}

/// The item's sequence with how many of its tokens did not fit.
fn example(item: &Item, tokenizer: &TextTokenizer, learn: Learn, max_tokens: usize) -> Result<Option<(TrainSequence, usize)>> {
    let encoded = match item.gold {
        Some(gold) => encode_pair(tokenizer, &prompt_text(tokenizer, item, gold)?, &item.continuation(gold), max_tokens)?,
        None => encode_text(tokenizer, &item.context, max_tokens)?,
    };
    let from = match learn {
        Learn::Answer => encoded.from,
        Learn::All => 1,
    };
    let weights: Vec<f32> = (0..encoded.tokens.len()).map(|i| if i >= from.max(1) { 1.0 } else { 0.0 }).collect();
    let learns = weights.iter().any(|w| *w > 0.0);
    Ok(learns.then_some((TrainSequence { tokens: encoded.tokens, weights }, encoded.cut)))
}
