//! Items to tokens, as lm-evaluation-harness does it: trailing white space of the context moves to the continuation, the whole is tokenised
//! at once, and the continuation begins at `len(tokens(context))`.
//! Source: `TemplateLM._encode_pair` and `loglikelihood_tokens` of EleutherAI/lm-evaluation-harness.

use crate::{base::Result, model::TextTokenizer};

/// Ids of a text with what the tokenizer puts before it. An EOS that a few put after it is left out: nothing follows the text yet, and what is
/// scored must not include it.
fn ids(tokenizer: &TextTokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text)?;
    ids.truncate(ids.len().saturating_sub(tokenizer.suffix_len()));
    Ok(ids)
}

/// Tokens of which those from index `from` on are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub tokens: Vec<u32>,
    /// At least 1: nothing predicts the first token. `from >= tokens.len()` where nothing is left to score.
    pub from: usize,
    /// Tokens that did not fit and were left out.
    pub cut: usize,
}

impl Encoded {
    pub fn n_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.from)
    }
}

/// A plain text: its first `max_tokens` tokens, scored from the second on.
///
/// # Errors
/// When the tokenizer fails.
pub fn encode_text(tokenizer: &TextTokenizer, text: &str, max_tokens: usize) -> Result<Encoded> {
    let mut tokens = ids(tokenizer, text)?;
    let cut = tokens.len().saturating_sub(max_tokens);
    tokens.truncate(max_tokens);
    Ok(Encoded { tokens, from: 1, cut })
}

/// What stands before the continuation, cut on the left to the last `max_tokens` tokens. White space at its end belongs to the continuation.
///
/// # Errors
/// When the tokenizer fails.
pub fn encode_prompt(tokenizer: &TextTokenizer, context: &str, max_tokens: usize) -> Result<Vec<u32>> {
    Ok(keep_right(ids(tokenizer, context.trim_end())?, max_tokens).0)
}

/// Context and continuation (which brings its own delimiter), cut on the left to the last `max_tokens` tokens.
///
/// # Errors
/// When the tokenizer fails.
pub fn encode_pair(tokenizer: &TextTokenizer, context: &str, continuation: &str, max_tokens: usize) -> Result<Encoded> {
    pair(|text| ids(tokenizer, text), context, continuation, max_tokens)
}

fn pair(encode: impl Fn(&str) -> Result<Vec<u32>>, context: &str, continuation: &str, max_tokens: usize) -> Result<Encoded> {
    let from = encode(context.trim_end())?.len();
    // Context + continuation is the same string whichever of the two the white space between them belongs to.
    let (tokens, cut) = keep_right(encode(&format!("{context}{continuation}"))?, max_tokens);
    Ok(Encoded { tokens, from: from.saturating_sub(cut).max(1), cut })
}

/// The last `max_tokens` tokens and how many were cut.
fn keep_right(mut tokens: Vec<u32>, max_tokens: usize) -> (Vec<u32>, usize) {
    let cut = tokens.len().saturating_sub(max_tokens);
    tokens.drain(..cut);
    (tokens, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 first, then one token a character; a space joins the letter after it, as in most vocabularies.
    fn fake(text: &str) -> Result<Vec<u32>> {
        let mut ids = vec![0];
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let joined = if c == ' ' { rest.next_if(|n| n.is_alphabetic()) } else { None };
            ids.push(joined.map_or(c as u32, |n| 1000 + n as u32));
        }
        Ok(ids)
    }

    fn id(c: char) -> u32 {
        c as u32
    }

    #[test]
    fn the_space_between_belongs_to_the_continuation() {
        let expected = Encoded { tokens: vec![0, id('q'), id(':'), 1000 + id('y'), id('e')], from: 3, cut: 0 };
        assert_eq!(pair(fake, "q:", " ye", 99).expect("fake"), expected);
        // A trailing space of the context moves to the continuation: " " stands alone, " y" stays whole.
        let moved = pair(fake, "q: ", " ye", 99).expect("fake");
        assert_eq!(moved, Encoded { tokens: vec![0, id('q'), id(':'), id(' '), 1000 + id('y'), id('e')], from: 3, cut: 0 });
    }

    #[test]
    fn a_cut_on_the_left_keeps_the_continuation_whole() {
        let cut = pair(fake, "abcdef", " yes", 5).expect("fake");
        assert_eq!(cut, Encoded { tokens: vec![id('e'), id('f'), 1000 + id('y'), id('e'), id('s')], from: 2, cut: 5 });
        // Longer than fits: its own beginning goes, and its first token that is left has nothing before it.
        let over = pair(fake, "abcdef", " yes", 2).expect("fake");
        assert_eq!((over.tokens.len(), over.from, over.n_scored()), (2, 1, 1));
    }

    #[test]
    fn without_a_context_the_first_token_is_not_scored() {
        let no_bos = |text: &str| fake(text).map(|ids| ids[1..].to_vec());
        assert_eq!(pair(no_bos, "", "yes", 9).expect("fake"), Encoded { tokens: vec![id('y'), id('e'), id('s')], from: 1, cut: 0 });
        assert_eq!(pair(fake, "q", "", 9).expect("fake").n_scored(), 0);
    }
}
