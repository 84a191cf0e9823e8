//! Items as token sequences in steps of a few dozen, and from the last residual back to scores.
//!
//! A model reads each sequence without its last token, which is only predicted. Choices whose reading is the beginning of another's share one
//! sequence: all one-token choices of a question cost one forward pass. What the choices of a question have in common at the beginning (the
//! prompt) is read once, and each goes on from there; so is what questions of a step have in common (a template, examples, a system prompt). That is
//! exact, for attention looks only back.

use super::{ItemScore, RowTags, encode_pair, encode_text, prompt_text};
use crate::{
    base::{Ctx, Error, Result},
    data::{DomainKind, Item},
    model::{Batch, Decoder, DecoderSpec, RowsAt, TextTokenizer},
};

/// What is cut and how much runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of a sequence; a context is cut on the left, a text on the right.
    pub max_tokens: usize,
    /// Tokens of a step, unless one item alone has more.
    pub batch_tokens: usize,
    /// Changes the time, no result.
    pub share: Sharing,
}

/// Which beginnings are read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// None: every choice is a sequence of its own.
    Nothing,
    /// What the choices of a question have in common.
    Choices,
    /// That, and what the questions of a step have in common. Not where a question's own chance changes its activations ([`super::Switch::draws`]).
    Questions,
}

impl Limits {
    /// Tokens that a sequence may have for this model. The last token is only predicted, so one more than its positions fits.
    pub fn longest(&self, spec: &DecoderSpec) -> usize {
        self.max_tokens.min(spec.max_positions.saturating_add(1)).max(2)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_tokens: 256, batch_tokens: 2048, share: Sharing::Questions }
    }
}

/// Items of a step: enough to fill a batch, few enough that a result is seen soon.
const STEP_ITEMS: usize = 48;

/// The tokens of one choice (or text) that are scored: token `targets[i]` is predicted at position `first + i` of sequence `sequence` of the
/// item.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    sequence: usize,
    first: usize,
    tokens: Vec<u32>,
}

/// Tokens that are read; those of a branch follow the first `len` tokens of the item's first sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    len: usize,
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
    /// Tokens that did not fit.
    cut: usize,
    sequences: Vec<Reading>,
    /// One for each choice; one for a text.
    targets: Vec<Target>,
    /// Tokens at the beginning that other items may share: where nothing is scored, of texts that turn alike whatever follows.
    open: usize,
}

/// Items that run in one forward pass.
#[derive(Clone, Debug)]
pub struct Step {
    items: Vec<Prepared>,
    pub batch: Batch,
    /// Of the batch's rows.
    pub tags: RowTags,
    /// The rows whose predictions are scored: all that the last layer need compute.
    pub at: RowsAt,
    /// Of the rows `at`.
    pub at_tags: RowTags,
    /// Every token that is asked for, item by item, with the number of its row among those of `at`.
    wanted: Vec<(usize, u32)>,
}

/// What is asked of one item, by rows of its step's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub gold: Option<usize>,
    /// Rows of all sequences of the item, but for what others had read for it.
    pub rows: std::ops::Range<usize>,
    /// For each choice (one for a text): the rows that predict it, and the tokens asked of them.
    pub choices: Vec<Vec<(usize, u32)>>,
}

/// A step in the making.
#[derive(Default)]
struct StepLayout {
    items: Vec<Prepared>,
    batch: Batch,
    tags: RowTags,
    /// Tokens that are asked for, by row of the batch.
    asked: Vec<(usize, u32)>,
    /// Sequences that begin a text, and how much of the text, up to their end, others may share.
    texts: Vec<(usize, Vec<u32>)>,
}

impl StepLayout {
    /// The sequence that has most tokens in common with the beginning of `reading`, and how many may be shared.
    fn parent(&self, item: &Prepared, reading: &Reading, share: Sharing) -> Option<(usize, usize)> {
        if share < Sharing::Questions || reading.len > 0 {
            return None;
        }
        // A sequence keeps a token of its own.
        let own = &reading.tokens[..item.open.min(reading.tokens.len().saturating_sub(1))];
        let same = |text: &[u32]| own.iter().zip(text).take_while(|(a, b)| a == b).count();
        let longest =
            self.texts.iter().map(|(sequence, text)| (*sequence, same(text))).reduce(|best, t| if t.1 > best.1 { t } else { best });
        longest.filter(|l| l.1 > 0)
    }

    /// Tokens that an item would add.
    fn cost(&self, item: &Prepared, share: Sharing) -> usize {
        let of = |reading: &Reading| reading.tokens.len() - self.parent(item, reading, share).map_or(0, |p| p.1);
        item.sequences.iter().map(of).sum()
    }

    fn push(&mut self, item: Prepared, share: Sharing) {
        let first = self.batch.n_sequences();
        for reading in &item.sequences {
            let sequence = self.batch.n_sequences();
            match (reading.len, self.parent(&item, reading, share)) {
                (0, None) => self.batch.push(&reading.tokens),
                (0, Some((parent, len))) => self.batch.branch(parent, len, &reading.tokens[len..]),
                (len, _) => self.batch.branch(first, len, &reading.tokens),
            }
            if reading.len == 0 {
                self.texts.push((sequence, reading.tokens[..item.open.min(reading.tokens.len())].to_vec()));
            }
        }
        for t in &item.targets {
            let row = |i: usize| self.batch.row(first + t.sequence, t.first + i);
            self.asked.extend(t.tokens.iter().enumerate().map(|(i, &token)| (row(i), token)));
        }
        self.tags.lines.resize(self.batch.n_tokens(), u32::try_from(item.line).unwrap_or(u32::MAX));
        self.items.push(item);
    }

    fn finish(self) -> Step {
        let Self { items, batch, mut tags, asked, .. } = self;
        let mut rows: Vec<usize> = asked.iter().map(|w| w.0).collect();
        rows.sort_unstable();
        rows.dedup();
        tags.answer = vec![false; batch.n_tokens()];
        rows.iter().for_each(|&r| tags.answer[r] = true);
        let wanted = asked.into_iter().map(|(row, token)| (rows.partition_point(|&r| r < row), token)).collect();
        let at_tags = tags.select(&rows);
        let at = RowsAt::new(&batch, rows);
        Step { items, batch, tags, at, at_tags, wanted }
    }
}

/// Items in steps, in order.
fn in_steps(items: impl IntoIterator<Item = Prepared>, limits: Limits) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut pending = StepLayout::default();
    for item in items {
        let full = pending.batch.n_tokens() + pending.cost(&item, limits.share) > limits.batch_tokens || pending.items.len() == STEP_ITEMS;
        if full && !pending.items.is_empty() {
            steps.push(std::mem::take(&mut pending).finish());
        }
        pending.push(item, limits.share);
    }
    if !pending.items.is_empty() {
        steps.push(pending.finish());
    }
    steps
}

impl Step {
    /// The items of steps laid out anew.
    pub fn again<'a>(steps: impl IntoIterator<Item = &'a Step>, limits: Limits) -> Vec<Step> {
        in_steps(steps.into_iter().flat_map(|s| s.items.iter().cloned()), limits)
    }

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
                let row = |i: usize| self.batch.row(first + t.sequence, t.first + i);
                t.tokens.iter().enumerate().map(|(i, &token)| (row(i), token)).collect()
            };
            let rows = self.batch.starts[first]..self.batch.starts[sequence];
            Question { gold: item.gold, rows, choices: item.targets.iter().map(asked).collect() }
        };
        self.items.iter().map(question).collect()
    }

    /// Scores of the step's items from the last `hook_resid_post` `[n, d_model]` of its batch.
    ///
    /// # Errors
    /// When a number is not finite, or the work is cancelled.
    pub fn scores(&self, decoder: &Decoder, resid: &[f32], ctx: &Ctx<'_>) -> Result<Vec<ItemScore>> {
        let rows = self.at.of(resid, decoder.model.spec.d_model);
        Ok(self.scores_at(decoder, &rows, ctx)?.swap_remove(0))
    }

    /// The same from the rows `at` alone, `[copies, rows, d_model]`: of as many passes over the batch as there are copies.
    ///
    /// # Errors
    /// As [`Step::scores`].
    pub fn scores_at(&self, decoder: &Decoder, resid: &[f32], ctx: &Ctx<'_>) -> Result<Vec<Vec<ItemScore>>> {
        let rows = self.at.rows.len();
        let copies = (resid.len() / decoder.model.spec.d_model).checked_div(rows).unwrap_or(1).max(1);
        let wanted: Vec<(usize, u32)> =
            (0..copies).flat_map(|c| self.wanted.iter().map(move |&(row, token)| (c * rows + row, token))).collect();
        Ok(self.scores_of(copies, &log_probs(decoder, resid, &wanted, ctx)?))
    }

    /// Scores from what neurons of the last layer moved; see [`Decoder::moved_log_probs`], for the rows `at`.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn scores_moved(
        &self,
        decoder: &Decoder,
        resid: &[f32],
        undivided: &[f32],
        neurons: &[usize],
        delta: &[f32],
    ) -> Result<Vec<ItemScore>> {
        let log_probs = decoder.moved_log_probs(resid, undivided, neurons, delta, &self.wanted);
        finite(&log_probs)?;
        Ok(self.scores_of(1, &log_probs).swap_remove(0))
    }

    /// From the log-probabilities of everything that is wanted, once for each copy.
    fn scores_of(&self, copies: usize, log_probs: &[f64]) -> Vec<Vec<ItemScore>> {
        let mut at = 0;
        let mut score = |item: &Prepared| {
            let sums = item.targets.iter().map(|t| {
                let sum = log_probs[at..at + t.tokens.len()].iter().sum();
                at += t.tokens.len();
                sum
            });
            item.score(sums.collect())
        };
        (0..copies).map(|_| self.items.iter().map(&mut score).collect()).collect()
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
            cut: self.cut,
            log_likelihoods: if matches!(self.kind, DomainKind::Text | DomainKind::Pairs) { Vec::new() } else { sums },
        }
    }
}

/// The first of the largest, as NumPy's `argmax`, which the harness uses.
fn arg_max(values: &[f64]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, &v)| if v > values[best] { i } else { best })
}

/// Natural-log probability of each token at its row, in f64 from the logits and their log-sum. Rows that are asked for several tokens are computed once.
fn log_probs(decoder: &Decoder, resid: &[f32], wanted: &[(usize, u32)], ctx: &Ctx<'_>) -> Result<Vec<f64>> {
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
        ctx.check()?;
        let logits = decoder.logits(resid, slice)?;
        let mut log_sums = vec![0.0; slice.len()];
        decoder.backend.log_sum_exp(&logits, &mut log_sums);
        for ((&row, logits), &log_sum) in slice.iter().zip(logits.chunks_exact(vocab)).zip(&log_sums) {
            while let Some(&i) = by_row.get(next).filter(|&&i| wanted[i].0 == row) {
                out[i] = f64::from(logits[wanted[i].1 as usize]) - log_sum;
                next += 1;
            }
        }
    }
    finite(&out)?;
    Ok(out)
}

fn finite(log_probs: &[f64]) -> Result<()> {
    match log_probs.iter().find(|v| !v.is_finite()) {
        Some(bad) => Err(Error::numeric("log-probability", format!("{bad}, expected a finite number"))),
        None => Ok(()),
    }
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
    spec: &DecoderSpec,
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<Vec<Step>> {
    let max_tokens = limits.longest(spec);
    // A text that is long to its rotation turns from its first token on otherwise than a short one.
    let share = (limits.share > Sharing::Nothing).then(|| spec.long_from().unwrap_or(usize::MAX));
    let mut prepared = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if i % 64 == 0 {
            ctx.check()?;
        }
        prepared.push(prepare_item(domain, kind, item, tokenizer, max_tokens, share)?);
    }
    // A text of one token has nothing to predict. Some such among others weigh nothing; alone they leave no number to tell.
    if prepared.iter().all(|p| p.targets.iter().all(|t| t.tokens.is_empty())) && !prepared.is_empty() {
        return Err(Error::invalid(format!(
            "domain {domain}: none of its {} items has a second token, so nothing can be scored",
            prepared.len()
        )));
    }
    Ok(in_steps(prepared, limits))
}

fn prepare_item(
    domain: &str,
    kind: DomainKind,
    item: &Item,
    tokenizer: &TextTokenizer,
    max_tokens: usize,
    share_up_to: Option<usize>,
) -> Result<Prepared> {
    let (mut encoded, mut cut) = (Vec::new(), 0);
    if matches!(kind, DomainKind::Text | DomainKind::Pairs) || item.choices.is_empty() {
        let text = encode_text(tokenizer, &item.context, max_tokens)?;
        cut = text.cut;
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
            cut = cut.max(pair.cut);
            encoded.push((pair.tokens, pair.from.min(n - 1)));
        }
    }
    Ok(Prepared { cut, ..lay_out(item, kind, &encoded, share_up_to) })
}

/// Turns (tokens, first scored) of every choice into as few sequences as possible, or into one each where `share_up_to` is `None`. Sequences
/// longer than it share no beginning with others.
fn lay_out(item: &Item, kind: DomainKind, encoded: &[(Vec<u32>, usize)], share_up_to: Option<usize>) -> Prepared {
    // What is read, and where its scored positions begin.
    let read = |(tokens, from): &(Vec<u32>, usize)| {
        let n = tokens.len().saturating_sub(1).max(usize::from(tokens.len() == 1));
        (tokens[..n].to_vec(), from.saturating_sub(1))
    };
    let readings: Vec<(Vec<u32>, usize)> = encoded.iter().map(read).collect();
    // Scored positions must be those of every text that a sequence stands for: an ablation may change these alone.
    let within = |r: &(Vec<u32>, usize), other: &(Vec<u32>, usize)| r.1 == other.1 && other.0.starts_with(&r.0);
    let mut whole: Vec<&(Vec<u32>, usize)> = Vec::new();
    for (i, r) in readings.iter().enumerate() {
        let elsewhere = |other: &(Vec<u32>, usize)| within(r, other) && other.0.len() > r.0.len();
        let shared = share_up_to.is_some() && (readings.iter().any(elsewhere) || readings[..i].contains(r));
        if !shared && !r.0.is_empty() {
            whole.push(r);
        }
    }
    let place = |i: usize, r: &(Vec<u32>, usize)| match share_up_to {
        Some(_) => whole.iter().position(|w| within(r, w)).unwrap_or(0),
        None => i.min(whole.len().saturating_sub(1)),
    };
    let common = share_up_to.map_or(0, |most| common_beginning(&whole, most));
    // The common beginning is the first sequence, and the others follow it.
    let shift = usize::from(common > 0);
    let targets = encoded.iter().zip(&readings).enumerate().map(|(i, ((tokens, from), r))| Target {
        sequence: place(i, r) + shift,
        first: r.1,
        tokens: tokens.get(*from..).unwrap_or_default().to_vec(),
    });
    let targets: Vec<Target> = targets.collect();
    let open = match share_up_to {
        Some(most) if whole.iter().all(|w| w.0.len() <= most) => targets.iter().map(|t| t.first).min().unwrap_or(0),
        _ => 0,
    };
    let mut sequences = Vec::with_capacity(whole.len() + shift);
    if common > 0 {
        sequences.push(Reading { len: 0, tokens: whole[0].0[..common].to_vec() });
    }
    sequences.extend(whole.iter().map(|w| Reading { len: common, tokens: w.0[common..].to_vec() }));
    let chars = item.choices.iter().map(|c| c.chars().count()).collect();
    Prepared { line: item.line, kind, gold: item.gold, chars, cut: 0, sequences, targets, open }
}

/// Tokens at the beginning that all sequences have in common and may share: each keeps one of its own, and where their scored positions begin
/// apart, none of these is shared.
fn common_beginning(whole: &[&(Vec<u32>, usize)], most: usize) -> usize {
    let [first, rest @ ..] = whole else { return 0 };
    if rest.is_empty() || whole.iter().any(|w| w.0.len() > most) {
        return 0;
    }
    let same = rest.iter().map(|w| first.0.iter().zip(&w.0).take_while(|(a, b)| a == b).count()).min().unwrap_or(0);
    let shortest = whole.iter().map(|w| w.0.len()).min().unwrap_or(0);
    let scored = if rest.iter().all(|w| w.1 == first.1) { usize::MAX } else { whole.iter().map(|w| w.1).min().unwrap_or(0) };
    same.min(shortest.saturating_sub(1)).min(scored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Option<usize> = Some(usize::MAX);

    fn item(choices: &[&str]) -> Item {
        Item { line: 3, choices: choices.iter().map(|c| (*c).to_owned()).collect(), gold: Some(0), ..Item::default() }
    }

    #[test]
    fn one_token_choices_share_the_reading_of_their_context() {
        let encoded = [(vec![1, 2, 3, 7], 3), (vec![1, 2, 3, 8], 3), (vec![1, 2, 3, 7, 9], 3)];
        let p = lay_out(&item(&["a", "b", "c d"]), DomainKind::MultipleChoice, &encoded, SHARED);
        // Choices 0 and 1 need 1 2 3, the beginning of what choice 2 reads.
        assert_eq!(p.sequences, [Reading { len: 0, tokens: vec![1, 2, 3, 7] }]);
        let at = |t: usize| (p.targets[t].sequence, p.targets[t].first, p.targets[t].tokens.clone());
        assert_eq!((at(0), at(1), at(2)), ((0, 2, vec![7]), (0, 2, vec![8]), (0, 2, vec![7, 9])));
    }

    #[test]
    fn choices_read_their_prompt_once() {
        let encoded = [(vec![1, 2, 3, 7, 8], 3), (vec![1, 2, 3, 7, 9, 4], 3), (vec![1, 2, 3, 5], 3)];
        let p = lay_out(&item(&["a", "b", "c"]), DomainKind::MultipleChoice, &encoded, SHARED);
        // Read are 1 2 3 7, 1 2 3 7 9 and 1 2 3: the first and the last are beginnings of the second.
        assert_eq!(p.sequences.len(), 1);
        let encoded = [(vec![1, 2, 3, 7, 8], 3), (vec![1, 2, 3, 6, 9, 4], 3), (vec![1, 2, 3, 5], 3)];
        let p = lay_out(&item(&["a", "b", "c"]), DomainKind::MultipleChoice, &encoded, SHARED);
        let reading = |len, tokens: &[u32]| Reading { len, tokens: tokens.to_vec() };
        assert_eq!(p.sequences, [reading(0, &[1, 2, 3]), reading(3, &[7]), reading(3, &[6, 9])]);
        let s = in_steps([p.clone()], Limits::default()).swap_remove(0);
        assert_eq!((s.batch.n_tokens(), s.batch.positions.as_slice()), (6, &[0, 1, 2, 3, 3, 4][..]));
        // 7 8 and 6 9 4 and 5: the first token of each is predicted where the prompt ends, in row 2.
        assert_eq!(s.at.rows, [2, 3, 4, 5]);
        assert_eq!(s.wanted, [(0, 7), (1, 8), (0, 6), (2, 9), (3, 4), (0, 5)]);
        assert_eq!(s.tags.answer, [false, false, true, true, true, true]);
        // A sequence that is long to its rotation stays whole; so do all when nothing is to be shared.
        let whole = lay_out(&item(&["a", "b", "c"]), DomainKind::MultipleChoice, &encoded, Some(4));
        assert_eq!(whole.sequences.iter().map(|s| s.len).collect::<Vec<_>>(), [0, 0]);
        let apart = lay_out(&item(&["a", "b", "c"]), DomainKind::MultipleChoice, &encoded, None);
        assert_eq!((apart.sequences.len(), apart.targets[2].sequence), (3, 2));
    }

    #[test]
    fn choices_of_other_contexts_share_what_stands_before_both_answers() {
        let encoded = [(vec![1, 2, 5, 6], 2), (vec![1, 3, 5, 6], 2)];
        let p = lay_out(&item(&["x y", "x y"]), DomainKind::MultipleChoice, &encoded, SHARED);
        assert_eq!(
            p.sequences.iter().map(|s| (s.len, s.tokens.clone())).collect::<Vec<_>>(),
            [(0, vec![1]), (1, vec![2, 5]), (1, vec![3, 5])]
        );
        assert_eq!((p.targets[1].sequence, p.targets[1].first), (2, 1));
        // The first is scored from position 1 on, the second from 2: position 1 is not the same to both.
        let encoded = [(vec![1, 2, 5, 6], 2), (vec![1, 2, 4, 6], 3)];
        let p = lay_out(&item(&["5 6", "6"]), DomainKind::MultipleChoice, &encoded, SHARED);
        assert_eq!(p.sequences[0].tokens, [1]);
    }

    #[test]
    fn questions_read_what_they_have_in_common_once() {
        let question = |line: usize, encoded: &[(Vec<u32>, usize)]| {
            lay_out(&Item { line, ..item(&["a", "b"]) }, DomainKind::MultipleChoice, encoded, SHARED)
        };
        // Two words of template, then each question's own; the third begins as the second does; answers of one token and of two.
        let questions = || {
            [
                question(1, &[(vec![1, 2, 10, 7], 3), (vec![1, 2, 10, 8], 3)]),
                question(2, &[(vec![1, 2, 20, 21, 7, 9], 4), (vec![1, 2, 20, 21, 8, 9], 4)]),
                question(3, &[(vec![1, 2, 20, 30, 7], 4), (vec![1, 2, 20, 30, 8], 4)]),
                // What is scored in another question is not shared with it, nor the other way round: of 1 2 10 7 the row of 10 is.
                question(4, &[(vec![1, 2, 10, 40, 7], 4), (vec![1, 2, 10, 40, 8], 4)]),
            ]
        };
        let step = in_steps(questions(), Limits::default()).swap_remove(0);
        let b = &step.batch;
        assert_eq!(b.tokens, [1, 2, 10, 20, 21, 7, 8, 30, 10, 40]);
        assert_eq!(b.positions, [0, 1, 2, 2, 3, 4, 4, 3, 2, 3]);
        assert_eq!(step.tags.lines, [1, 1, 1, 2, 2, 2, 2, 3, 4, 4]);
        assert_eq!(step.at.rows, [2, 4, 5, 6, 7, 9]);
        assert_eq!(b.spans()[4].keys, [0..2, 3..4, 7..8]);
        let apart = in_steps(questions(), Limits { share: Sharing::Choices, ..Limits::default() }).swap_remove(0);
        assert_eq!(apart.batch.n_tokens(), 3 + 6 + 4 + 4);
        assert_eq!(apart.wanted.iter().map(|w| w.1).collect::<Vec<_>>(), step.wanted.iter().map(|w| w.1).collect::<Vec<_>>());
        // Nothing is lost when it is laid out anew.
        let again = Step::again([&apart], Limits::default()).swap_remove(0);
        assert_eq!((again.batch, again.wanted), (step.batch, step.wanted));
    }

    #[test]
    fn a_step_counts_what_is_read() {
        // Twelve tokens of examples before a question of two and an answer of one: 14 tokens are read for the first, 2 for each of the others.
        let question = |i: u32| {
            let tokens: Vec<u32> = (0..12).chain([100 + i, 99, 7]).collect();
            lay_out(&item(&["a"]), DomainKind::MultipleChoice, &[(tokens, 14)], SHARED)
        };
        let steps = |share| in_steps((0..10).map(question), Limits { batch_tokens: 20, share, ..Limits::default() });
        assert_eq!(steps(Sharing::Questions).iter().map(Step::n_items).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(steps(Sharing::Choices).len(), 10);
    }

    #[test]
    fn a_text_is_scored_from_its_beginning_so_nothing_is_shared() {
        let text = |line| lay_out(&Item { line, context: "x".into(), ..Item::default() }, DomainKind::Text, &[(vec![4, 5, 6], 1)], SHARED);
        let step = in_steps([text(1), text(2)], Limits::default()).swap_remove(0);
        assert!(!step.batch.is_branched() && step.batch.n_tokens() == 4);
    }

    #[test]
    fn a_text_of_one_token_has_nothing_to_score() {
        let p = lay_out(&Item { line: 1, context: "x".into(), ..Item::default() }, DomainKind::Text, &[(vec![4], 1)], SHARED);
        assert_eq!((p.sequences.len(), p.targets[0].tokens.len()), (1, 0));
        let s = p.score(vec![0.0]);
        assert_eq!((s.n_tokens, s.margin, s.correct), (0, None, false));
    }

    #[test]
    fn scores_follow_the_harness() {
        let p = lay_out(&item(&["ab", "abcdef"]), DomainKind::MultipleChoice, &[(vec![1, 2], 1), (vec![1, 3], 1)], SHARED);
        // -2 beats -3, but -3 over 6 characters beats -2 over 2.
        let s = p.score(vec![-2.0, -3.0]);
        assert_eq!((s.correct, s.correct_norm, s.margin, s.nll, s.n_tokens), (true, false, Some(1.0), 2.0, 1));
        // A tie goes to the first, as argmax does.
        assert!(p.score(vec![-2.0, -2.0]).correct);
        assert_eq!(arg_max(&[-1.0, -1.0, -0.5, -0.5]), 2);
    }
}
