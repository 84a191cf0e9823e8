//! Items as token sequences in steps of a few dozen, and from the last residual back to scores.
//!
//! A model reads each sequence without its last token, which is only predicted. Choices whose reading is the beginning of another's share one
//! sequence: all one-token choices of a question cost one forward pass. That is exact, for attention looks only back.

use super::{ItemScore, encode_pair, encode_text, prompt_text};
use crate::{
    base::{Ctx, Error, Result},
    data::{DomainKind, Item},
    model::{Batch, Decoder, TextTokenizer},
};

/// What is cut and how much runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of a sequence; a context is cut on the left, a text on the right.
    pub max_tokens: usize,
    /// Tokens of a step, unless one item alone has more.
    pub batch_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_tokens: 256, batch_tokens: 2048 }
    }
}

/// Items of a step: enough to fill a batch, few enough that a result is seen soon.
const STEP_ITEMS: usize = 48;

/// The tokens of one choice (or text) that are scored: token `targets[i]` is predicted at row `first + i` of sequence `sequence` of the item.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    sequence: usize,
    first: usize,
    tokens: Vec<u32>,
}

/// One item ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prepared {
    line: usize,
    kind: DomainKind,
    gold: Option<usize>,
    /// Characters of each choice.
    chars: Vec<usize>,
    sequences: Vec<Vec<u32>>,
    /// One for each choice; one for a text.
    targets: Vec<Target>,
}

/// Items that run in one forward pass.
#[derive(Clone, Debug)]
pub struct Step {
    items: Vec<Prepared>,
    pub batch: Batch,
}

/// What is asked of one item, by rows of its step's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub gold: Option<usize>,
    /// Rows of all sequences of the item.
    pub rows: std::ops::Range<usize>,
    /// For each choice (one for a text): the rows that predict it, and the tokens asked of them.
    pub choices: Vec<Vec<(usize, u32)>>,
}

impl Step {
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Where the step's items are scored, in order.
    pub fn questions(&self) -> Vec<Question> {
        let mut sequence = 0;
        let question = |item: &Prepared| {
            let first = sequence;
            sequence += item.sequences.len();
            let asked = |t: &Target| {
                let row = self.batch.starts[first + t.sequence] + t.first;
                t.tokens.iter().enumerate().map(|(i, &token)| (row + i, token)).collect()
            };
            let rows = self.batch.starts[first]..self.batch.starts[sequence];
            Question { gold: item.gold, rows, choices: item.targets.iter().map(asked).collect() }
        };
        self.items.iter().map(question).collect()
    }

    /// Scores of the step's items from the last `hook_resid_post` `[n, d_model]` of its batch.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn scores(&self, decoder: &Decoder, resid: &[f32]) -> Result<Vec<ItemScore>> {
        // Every (row, token) that is asked for, rows as they lie in the batch.
        let mut wanted: Vec<(usize, u32)> = Vec::new();
        let mut sequence = 0;
        for item in &self.items {
            for t in &item.targets {
                let first = self.batch.starts[sequence + t.sequence] + t.first;
                wanted.extend(t.tokens.iter().enumerate().map(|(i, &token)| (first + i, token)));
            }
            sequence += item.sequences.len();
        }
        let log_probs = log_probs(decoder, resid, &wanted)?;
        let mut at = 0;
        let scores = self.items.iter().map(|item| {
            let sums: Vec<f64> = item
                .targets
                .iter()
                .map(|t| {
                    let sum = log_probs[at..at + t.tokens.len()].iter().sum();
                    at += t.tokens.len();
                    sum
                })
                .collect();
            item.score(sums)
        });
        Ok(scores.collect())
    }
}

impl Prepared {
    fn score(&self, sums: Vec<f64>) -> ItemScore {
        let about = self.gold.unwrap_or(0);
        let (nll, n_tokens) = (-sums[about], self.targets[about].tokens.len());
        let choice = self.kind == DomainKind::MultipleChoice;
        let per_char: Vec<f64> = sums.iter().zip(&self.chars).map(|(s, &c)| s / c.max(1) as f64).collect();
        let others = sums.iter().enumerate().filter(|(i, _)| Some(*i) != self.gold).map(|(_, &s)| s);
        let best_other = others.fold(f64::NEG_INFINITY, f64::max);
        ItemScore {
            line: self.line,
            correct: choice && Some(arg_max(&sums)) == self.gold,
            correct_norm: choice && Some(arg_max(&per_char)) == self.gold,
            margin: (choice && best_other.is_finite()).then(|| sums[about] - best_other),
            nll,
            n_tokens,
            log_likelihoods: if matches!(self.kind, DomainKind::Text | DomainKind::Pairs) { Vec::new() } else { sums },
        }
    }
}

/// The first of the largest, as NumPy's `argmax`, which the harness uses.
fn arg_max(values: &[f64]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, &v)| if v > values[best] { i } else { best })
}

/// Natural-log probability of each token at its row, in f64 from the logits. Rows that are asked for several tokens are computed once.
fn log_probs(decoder: &Decoder, resid: &[f32], wanted: &[(usize, u32)]) -> Result<Vec<f64>> {
    /// Rows whose logits are held at once.
    const ROWS: usize = 128;
    let mut rows: Vec<usize> = wanted.iter().map(|w| w.0).collect();
    rows.sort_unstable();
    rows.dedup();
    let mut by_row: Vec<usize> = (0..wanted.len()).collect();
    by_row.sort_by_key(|&i| wanted[i].0);
    let vocab = decoder.model.spec.vocab;
    let mut out = vec![0.0; wanted.len()];
    let mut next = 0;
    for slice in rows.chunks(ROWS) {
        let logits = decoder.logits(resid, slice)?;
        for (&row, logits) in slice.iter().zip(logits.chunks_exact(vocab)) {
            let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let log_sum = top + logits.iter().map(|&v| (f64::from(v) - top).exp()).sum::<f64>().ln();
            while let Some(&i) = by_row.get(next).filter(|&&i| wanted[i].0 == row) {
                out[i] = f64::from(logits[wanted[i].1 as usize]) - log_sum;
                next += 1;
            }
        }
    }
    if let Some(bad) = out.iter().find(|v| !v.is_finite()) {
        return Err(Error::numeric("log-probability", format!("{bad}, expected a finite number")));
    }
    Ok(out)
}

/// Tokenises the items and lays them out in steps, in order.
///
/// # Errors
/// When the tokenizer fails, an item has nothing to score, or the work is cancelled.
pub fn prepare(
    domain: &str,
    kind: DomainKind,
    items: &[Item],
    tokenizer: &TextTokenizer,
    max_positions: usize,
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<Vec<Step>> {
    // The last token is only predicted, so one more than the model's positions fits.
    let max_tokens = limits.max_tokens.min(max_positions.saturating_add(1)).max(2);
    let mut steps = Vec::new();
    let (mut pending, mut tokens): (Vec<Prepared>, usize) = (Vec::new(), 0);
    for (i, item) in items.iter().enumerate() {
        if i % 64 == 0 {
            ctx.check()?;
        }
        let item = prepare_item(domain, kind, item, tokenizer, max_tokens)?;
        let n: usize = item.sequences.iter().map(Vec::len).sum();
        if !pending.is_empty() && (tokens + n > limits.batch_tokens || pending.len() == STEP_ITEMS) {
            steps.push(step(std::mem::take(&mut pending)));
            tokens = 0;
        }
        tokens += n;
        pending.push(item);
    }
    if !pending.is_empty() {
        steps.push(step(pending));
    }
    Ok(steps)
}

fn step(items: Vec<Prepared>) -> Step {
    let sequences: Vec<&[u32]> = items.iter().flat_map(|i| i.sequences.iter().map(Vec::as_slice)).collect();
    let batch = Batch::new(&sequences);
    Step { items, batch }
}

fn prepare_item(domain: &str, kind: DomainKind, item: &Item, tokenizer: &TextTokenizer, max_tokens: usize) -> Result<Prepared> {
    let mut encoded = Vec::new();
    if matches!(kind, DomainKind::Text | DomainKind::Pairs) || item.choices.is_empty() {
        let text = encode_text(tokenizer, &item.context, max_tokens)?;
        encoded.push((text.tokens, text.from));
    } else {
        let shared = if item.choice_contexts.is_empty() { Some(prompt_text(tokenizer, item, 0)?) } else { None };
        for c in 0..item.choices.len() {
            let own = if shared.is_none() { Some(prompt_text(tokenizer, item, c)?) } else { None };
            let prompt = own.as_ref().or(shared.as_ref()).map_or("", |p| p.as_ref());
            let pair = encode_pair(tokenizer, prompt, &item.continuation(c), max_tokens)?;
            let n = pair.tokens.len();
            if n < 2 {
                return Err(Error::invalid(format!(
                    "domain {domain}, line {}: nothing stands before choice {}, and this tokenizer adds no BOS token, so it cannot be scored; \
                     give the item a context",
                    item.line,
                    c + 1
                )));
            }
            // A continuation that melts into the context's last token is scored by that token.
            encoded.push((pair.tokens, pair.from.min(n - 1)));
        }
    }
    Ok(share(item, kind, &encoded))
}

/// Turns (tokens, first scored) of every choice into as few sequences as possible.
fn share(item: &Item, kind: DomainKind, encoded: &[(Vec<u32>, usize)]) -> Prepared {
    let read = |(tokens, _): &(Vec<u32>, usize)| tokens[..tokens.len().saturating_sub(1).max(usize::from(tokens.len() == 1))].to_vec();
    let readings: Vec<Vec<u32>> = encoded.iter().map(read).collect();
    let mut sequences: Vec<Vec<u32>> = Vec::new();
    for (i, r) in readings.iter().enumerate() {
        let longer = |other: &Vec<u32>| other.len() > r.len() && other.starts_with(r);
        if !readings.iter().any(longer) && !readings[..i].contains(r) && !r.is_empty() {
            sequences.push(r.clone());
        }
    }
    let targets = encoded.iter().zip(&readings).map(|((tokens, from), r)| {
        let sequence = sequences.iter().position(|s| s.starts_with(r)).unwrap_or(0);
        Target { sequence, first: from.saturating_sub(1), tokens: tokens.get(*from..).unwrap_or_default().to_vec() }
    });
    let targets = targets.collect();
    let chars = item.choices.iter().map(|c| c.chars().count()).collect();
    Prepared { line: item.line, kind, gold: item.gold, chars, sequences, targets }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(choices: &[&str]) -> Item {
        Item { line: 3, choices: choices.iter().map(|c| (*c).to_owned()).collect(), gold: Some(0), ..Item::default() }
    }

    #[test]
    fn one_token_choices_share_the_reading_of_their_context() {
        let encoded = [(vec![1, 2, 3, 7], 3), (vec![1, 2, 3, 8], 3), (vec![1, 2, 3, 7, 9], 3)];
        let p = share(&item(&["a", "b", "c d"]), DomainKind::MultipleChoice, &encoded);
        // Choices 0 and 1 need 1 2 3, the beginning of what choice 2 reads.
        assert_eq!(p.sequences, [vec![1, 2, 3, 7]]);
        let at = |t: usize| (p.targets[t].sequence, p.targets[t].first, p.targets[t].tokens.clone());
        assert_eq!((at(0), at(1), at(2)), ((0, 2, vec![7]), (0, 2, vec![8]), (0, 2, vec![7, 9])));
    }

    #[test]
    fn choices_of_other_contexts_keep_their_own_sequence() {
        let encoded = [(vec![1, 2, 5, 6], 2), (vec![1, 3, 5, 6], 2)];
        let p = share(&item(&["x y", "x y"]), DomainKind::MultipleChoice, &encoded);
        assert_eq!(p.sequences, [vec![1, 2, 5], vec![1, 3, 5]]);
        assert_eq!((p.targets[1].sequence, p.targets[1].first), (1, 1));
    }

    #[test]
    fn a_text_of_one_token_has_nothing_to_score() {
        let p = share(&Item { line: 1, context: "x".into(), ..Item::default() }, DomainKind::Text, &[(vec![4], 1)]);
        assert_eq!((p.sequences.len(), p.targets[0].tokens.len()), (1, 0));
        let s = p.score(vec![0.0]);
        assert_eq!((s.n_tokens, s.margin, s.correct), (0, None, false));
    }

    #[test]
    fn scores_follow_the_harness() {
        let p = share(&item(&["ab", "abcdef"]), DomainKind::MultipleChoice, &[(vec![1, 2], 1), (vec![1, 3], 1)]);
        // -2 beats -3, but -3 over 6 characters beats -2 over 2.
        let s = p.score(vec![-2.0, -3.0]);
        assert_eq!((s.correct, s.correct_norm, s.margin, s.nll, s.n_tokens), (true, false, Some(1.0), 2.0, 1));
        // A tie goes to the first, as argmax does.
        assert!(p.score(vec![-2.0, -2.0]).correct);
        assert_eq!(arg_max(&[-1.0, -1.0, -0.5, -0.5]), 2);
    }
}
