//! Text to token ids, by the model's own tokenizer.

use crate::base::{Error, Result};
use std::path::Path;
use tokenizers::{Tokenizer, decoders::DecoderWrapper};

#[derive(Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    /// Ids that `encode` puts before the text.
    prefix: Vec<u32>,
    /// Ids that it puts after it.
    suffix: Vec<u32>,
    /// Tokens spell bytes by the letters of GPT-2's table.
    byte_level: bool,
    /// How a conversation becomes a text, where the model says so.
    pub chat: Option<ChatTemplate>,
}

/// A model's chat template (Jinja) and the tokens it may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    pub source: String,
    /// Empty where the model has none.
    pub bos_token: String,
    pub eos_token: String,
}

impl TextTokenizer {
    /// # Errors
    /// When the file is missing or is no tokenizer.
    pub fn from_file(path: &Path) -> Result<Self> {
        if !path.is_file() {
            let hint = "`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` in Python with transformers writes one";
            return Err(Error::format(path, format!("there is no such file, and a model needs its tokenizer; {hint}")));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes(path, &bytes)
    }
    /// `path` is for error messages.
    ///
    /// # Errors
    /// When the bytes are no tokenizer.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let inner = parse(bytes).map_err(|e| Error::format(path, format!("not a tokenizer: {e}")))?;
        Self::from_tokenizer(path, inner)
    }
    /// # Errors
    /// When the tokenizer cannot encode even one letter; `path` is for that message.
    pub(super) fn from_tokenizer(path: &Path, mut inner: Tokenizer) -> Result<Self> {
        // Cutting and padding are the program's business: a file that asks for them would change prompts unseen.
        inner.with_truncation(None).map_err(|e| Error::format(path, e.to_string()))?;
        inner.with_padding(None);
        let probe = inner.encode("a", true).map_err(|e| Error::format(path, format!("cannot encode text: {e}")))?;
        let (ids, special) = (probe.get_ids(), probe.get_special_tokens_mask());
        let before = special.iter().take_while(|&&s| s == 1).count();
        let after = if before == ids.len() { 0 } else { special.iter().rev().take_while(|&&s| s == 1).count() };
        let (prefix, suffix) = (ids[..before].to_vec(), ids[ids.len() - after..].to_vec());
        let byte_level = inner.get_decoder().is_some_and(is_byte_level);
        Ok(Self { inner, prefix, suffix, byte_level, chat: None })
    }
    /// The tokenizer as a tokenizer.json.
    ///
    /// # Errors
    /// When it cannot be written as one.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(|e| Error::invalid(format!("the tokenizer cannot be written as tokenizer.json: {e}")))
    }
    /// Ids with the special tokens the tokenizer itself adds (BOS where its post-processor says so).
    ///
    /// # Errors
    /// When the tokenizer cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, true).map_err(|e| Error::invalid(format!("the tokenizer failed: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }
    /// Text of the ids; special tokens are left out.
    ///
    /// # Errors
    /// When the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| Error::invalid(format!("the tokenizer failed: {e}")))
    }
    /// The piece of text one id stands for, for token strips (bytes that are no character alone are shown as `\xNN`).
    pub fn piece(&self, id: u32) -> String {
        let Some(token) = self.inner.id_to_token(id) else { return format!("<{id}?>") };
        if self.inner.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id) {
            return token;
        }
        if self.byte_level {
            let bytes: Option<Vec<u8>> = token.chars().map(byte_of_letter).collect();
            return bytes.map_or(token, |bytes| show_bytes(&bytes));
        }
        let byte = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.map_or_else(|| token.replace('\u{2581}', " "), |b| show_bytes(&[b]))
    }
    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
    /// Tokens that `encode` puts before the text itself.
    pub fn prefix_len(&self) -> usize {
        self.prefix.len()
    }
    /// Tokens that `encode` puts after the text: an EOS, with few tokenizers.
    pub fn suffix_len(&self) -> usize {
        self.suffix.len()
    }
    /// For provenance: `adds <s>` or `none`.
    pub fn bos_policy(&self) -> String {
        let names = |ids: &[u32]| ids.iter().map(|&id| self.piece(id)).collect::<Vec<_>>().join(" ");
        match (self.prefix.is_empty(), self.suffix.is_empty()) {
            (true, true) => "none".into(),
            (false, true) => format!("adds {}", names(&self.prefix)),
            (true, false) => format!("adds {} at the end", names(&self.suffix)),
            (false, false) => format!("adds {}, and {} at the end", names(&self.prefix), names(&self.suffix)),
        }
    }
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

/// GPT-2 writes a byte as the letter of the same code where that is printable, else as the next free letter from U+0100.
/// Source: `bytes_to_unicode` of github.com/openai/gpt-2.
fn byte_of_letter(letter: char) -> Option<u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(letter);
    match u8::try_from(code) {
        Ok(b) => printable(b).then_some(b),
        Err(_) => (0..=255u8).filter(|&b| !printable(b)).nth(code.checked_sub(256)? as usize),
    }
}

fn show_bytes(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        for b in chunk.invalid() {
            shown.push_str(&format!("\\x{b:02X}"));
        }
    }
    shown
}

/// The library's own reader panics on some damaged files (a decoder whose JSON is broken inside): here that is an error like any other.
fn parse(bytes: &[u8]) -> std::result::Result<Tokenizer, String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| e.to_string())?;
    match std::panic::catch_unwind(|| Tokenizer::from_bytes(bytes)) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("its parts do not fit together; save it again with transformers".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpt2_letters_spell_every_byte_once() {
        let letters = (0u32..0x180).filter_map(char::from_u32);
        let mut bytes: Vec<u8> = letters.filter_map(byte_of_letter).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        // The published table writes a space as G with a dot above, a newline as C with a dot above.
        assert_eq!((byte_of_letter('\u{120}'), byte_of_letter('\u{10a}'), byte_of_letter('A')), (Some(b' '), Some(b'\n'), Some(b'A')));
        assert_eq!(byte_of_letter('\u{4e00}'), None);
    }

    #[test]
    fn a_byte_that_is_no_character_is_shown_in_hex() {
        assert_eq!(show_bytes("é".as_bytes()), "é");
        assert_eq!(show_bytes(&[b'a', 0xc3]), "a\\xC3");
    }
}
