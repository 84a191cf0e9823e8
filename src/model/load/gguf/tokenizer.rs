//! A tokenizer from a GGUF file's metadata: byte-level BPE (`gpt2`) and SentencePiece (`llama`), as the model's own tokenizer.json would be.

use super::{metadata::Metadata, pre_tokenizer};
use crate::{
    base::Result,
    model::{TextTokenizer, tokenizer::ChatTemplate},
};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};
use tokenizers::{
    AddedToken, Tokenizer,
    models::bpe::{BPE, Merges, Vocab},
};

/// `tokenizer.ggml.token_type`.
mod kind {
    pub const NORMAL: u64 = 1;
    pub const UNKNOWN: u64 = 2;
    pub const CONTROL: u64 = 3;
    pub const USER_DEFINED: u64 = 4;
    pub const BYTE: u64 = 6;
}

/// Longer pieces are reached by no merges. SentencePiece's own limit is 16 characters.
const LONGEST_PIECE: usize = 256;

/// # Errors
/// When the metadata have no tokenizer, or one of a kind that is not read.
pub(super) fn read(meta: &Metadata<'_, '_>) -> Result<TextTokenizer> {
    let mut tokenizer = match meta.text("tokenizer.huggingface.json")? {
        Some(json) => TextTokenizer::from_bytes(meta.path, json.as_bytes())?,
        None => from_ggml(meta)?,
    };
    tokenizer.chat = chat_template(meta)?;
    Ok(tokenizer)
}

fn chat_template(meta: &Metadata<'_, '_>) -> Result<Option<ChatTemplate>> {
    let Some(source) = meta.text("tokenizer.chat_template")? else { return Ok(None) };
    let tokens = meta.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |key: &str| -> Result<String> {
        let id = meta.whole(key)?.and_then(|id| usize::try_from(id).ok());
        Ok(id.and_then(|id| tokens.get(id)).map_or_else(String::new, ToString::to_string))
    };
    let (bos_token, eos_token) = (token("tokenizer.ggml.bos_token_id")?, token("tokenizer.ggml.eos_token_id")?);
    Ok(Some(ChatTemplate { source: source.into_owned(), bos_token, eos_token }))
}

fn from_ggml(meta: &Metadata<'_, '_>) -> Result<TextTokenizer> {
    let key = "tokenizer.ggml.model";
    let model = meta.text(key)?.ok_or_else(|| meta.error(format!("metadata `{key}` is missing, and a model needs its tokenizer")))?;
    let tokens = Tokens::read(meta)?;
    let parts = match &*model {
        "gpt2" => byte_level(meta, &tokens)?,
        "llama" => sentence_piece(meta, &tokens)?,
        other => return Err(meta.error(format!("metadata `{key}` is `{other}`; supported: gpt2, llama"))),
    };
    let failed = |e: tokenizers::Error| meta.error(format!("its tokenizer does not fit together: {e}"));
    let mut inner = parts.build(&tokens).map_err(failed)?;
    if let Some(processor) = post_processor(meta, &tokens, &parts.ends)? {
        let processor: tokenizers::PostProcessorWrapper =
            serde_json::from_value(processor).map_err(|e| meta.error(format!("its tokenizer does not fit together: {e}")))?;
        inner.with_post_processor(Some(processor));
    }
    TextTokenizer::from_tokenizer(meta.path, inner)
}

/// The vocabulary, as listed.
struct Tokens {
    /// By id; each different.
    texts: Vec<String>,
    kinds: Vec<u64>,
}

impl Tokens {
    fn read(meta: &Metadata<'_, '_>) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let listed =
            meta.texts(key)?.filter(|t| !t.is_empty()).ok_or_else(|| meta.error(format!("metadata `{key}` is missing or empty")))?;
        let mut seen = HashSet::with_capacity(listed.len());
        let mut texts = Vec::with_capacity(listed.len());
        for (id, token) in listed.into_iter().enumerate() {
            // What no text can come to keeps its id, and a name of its own.
            let name = if token.is_empty() || !seen.insert(token.clone()) { format!("[UNREACHABLE_{id}]") } else { token.into_owned() };
            texts.push(name);
        }
        let key = "tokenizer.ggml.token_type";
        let kinds = match meta.numbers(key)? {
            None => vec![kind::NORMAL; texts.len()],
            Some(kinds) if kinds.len() >= texts.len() => kinds.into_iter().map(|k| k as u64).collect(),
            Some(kinds) => return Err(meta.error(format!("metadata `{key}` has {} entries for {} tokens", kinds.len(), texts.len()))),
        };
        Ok(Self { texts, kinds })
    }
    fn vocab(&self) -> Vocab {
        self.texts.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)).collect()
    }
    /// The token whose id a metadata key holds; `default` is the id without that key.
    fn named(&self, meta: &Metadata<'_, '_>, key: &str, default: Option<u64>) -> Result<Option<(u64, &str)>> {
        let Some(id) = meta.whole(key)?.or(default) else { return Ok(None) };
        Ok(usize::try_from(id).ok().and_then(|i| self.texts.get(i)).map(|token| (id, token.as_str())))
    }
}

/// What differs between the two kinds.
struct Parts {
    model: BPE,
    normalizer: Option<tokenizers::NormalizerWrapper>,
    pre_tokenizer: Option<tokenizers::PreTokenizerWrapper>,
    decoder: tokenizers::DecoderWrapper,
    /// White space after a special token belongs to it.
    swallows_space: bool,
    ends: Ends,
}

/// What stands before and after a text where the file does not say.
#[derive(Clone, Copy)]
struct Ends {
    bos: bool,
    bos_id: Option<u64>,
    eos_id: Option<u64>,
}

impl Parts {
    fn build(&self, tokens: &Tokens) -> tokenizers::Result<Tokenizer> {
        let mut tokenizer = Tokenizer::new(self.model.clone());
        tokenizer.with_normalizer(self.normalizer.clone())?;
        tokenizer.with_pre_tokenizer(self.pre_tokenizer.clone());
        tokenizer.with_decoder(Some(self.decoder.clone()));
        let added = tokens.texts.iter().zip(&tokens.kinds).filter_map(|(text, &kind)| {
            let special = match kind {
                kind::CONTROL | kind::UNKNOWN => true,
                kind::USER_DEFINED => false,
                _ => return None,
            };
            let swallows = self.swallows_space && !["<unk>", "<s>", "<|endoftext|>"].contains(&text.as_str());
            Some(AddedToken::from(text.clone(), special).normalized(false).rstrip(swallows))
        });
        tokenizer.add_tokens(added)?;
        Ok(tokenizer)
    }
}

fn byte_level(meta: &Metadata<'_, '_>, tokens: &Tokens) -> Result<Parts> {
    let key = "tokenizer.ggml.pre";
    let name = meta.text(key)?.unwrap_or_else(|| {
        tracing::warn!(
            "{}: `{key}` is missing; text is cut as llama.cpp does by default, which may not be how the model was trained",
            meta.path.display()
        );
        Cow::Borrowed("default")
    });
    let pre = pre_tokenizer::find(&name).map_err(|known| meta.error(format!("metadata `{key}` is `{name}`; supported: {known}")))?;
    let listed = meta.texts("tokenizer.ggml.merges")?.ok_or_else(|| meta.error("metadata `tokenizer.ggml.merges` is missing"))?;
    let vocab = tokens.vocab();
    let mut merges: Merges = Vec::with_capacity(listed.len());
    let mut joined = String::new();
    for merge in &listed {
        // The first character may itself be a space.
        let cut = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        let (left, right) =
            cut.map(|at| (&merge[..at], &merge[at + 1..])).ok_or_else(|| meta.error(format!("merge `{merge}` is not two tokens")))?;
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        if [left, right, &joined].iter().all(|t| vocab.contains_key(*t)) {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    if merges.len() < listed.len() {
        tracing::warn!("{}: {} of {} merges are of no tokens and left out", meta.path.display(), listed.len() - merges.len(), listed.len());
    }
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre.ignore_merges).build();
    Ok(Parts {
        model: bpe.map_err(|e| meta.error(format!("its merges are damaged: {e}")))?,
        normalizer: pre.normalizer(),
        pre_tokenizer: Some(pre.wrapper().map_err(|e| meta.error(e.to_string()))?),
        decoder: tokenizers::decoders::byte_level::ByteLevel::default().into(),
        swallows_space: false,
        ends: Ends { bos: pre.add_bos, bos_id: None, eos_id: None },
    })
}

/// SentencePiece joins the neighbours that make the best-scored piece, from the left where scores are equal: byte-pair merges in order of score.
fn sentence_piece(meta: &Metadata<'_, '_>, tokens: &Tokens) -> Result<Parts> {
    let key = "tokenizer.ggml.scores";
    let scores = meta.numbers(key)?.filter(|s| s.len() >= tokens.texts.len());
    let scores = scores.ok_or_else(|| meta.error(format!("metadata `{key}` is missing or shorter than the list of tokens")))?;
    let unknown = tokens.named(meta, "tokenizer.ggml.unknown_token_id", Some(0))?;
    let mut bpe = BPE::builder().vocab_and_merges(tokens.vocab(), merges_by_score(tokens, &scores)).byte_fallback(true).fuse_unk(true);
    if let Some((_, token)) = unknown {
        bpe = bpe.unk_token(token.to_owned());
    }
    let prefix = meta.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers = vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE })];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": SPACE }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let wrong = |e: serde_json::Error| meta.error(e.to_string());
    Ok(Parts {
        model: bpe.build().map_err(|e| meta.error(format!("its tokens are damaged: {e}")))?,
        normalizer: Some(serde_json::from_value(json!({ "type": "Sequence", "normalizers": normalizers })).map_err(wrong)?),
        pre_tokenizer: None,
        decoder: serde_json::from_value(json!({ "type": "Sequence", "decoders": decoders })).map_err(wrong)?,
        // Phi-3's own tokenizer.json says so of its turn markers, and no key of the format does.
        swallows_space: meta.architecture == "phi3",
        ends: Ends { bos: true, bos_id: Some(1), eos_id: Some(2) },
    })
}

/// SentencePiece's mark for a space.
const SPACE: &str = "\u{2581}";

/// Every way to make a token of two others, best score first.
fn merges_by_score(tokens: &Tokens, scores: &[f64]) -> Merges {
    let ids: HashMap<&str, usize> = tokens.texts.iter().enumerate().map(|(id, t)| (t.as_str(), id)).collect();
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (id, token) in tokens.texts.iter().enumerate() {
        if matches!(tokens.kinds[id], kind::UNKNOWN | kind::CONTROL | kind::BYTE) || token.len() > LONGEST_PIECE {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            if let (Some(&left), Some(&right)) = (ids.get(&token[..at]), ids.get(&token[at..])) {
                found.push((id, left, right));
            }
        }
    }
    // Stable: ways to make the same token, and tokens of one score, stay in order.
    found.sort_by(|a, b| {
        let by = |f: fn(&(usize, usize, usize)) -> usize| scores[f(b)].total_cmp(&scores[f(a)]);
        by(|m| m.0).then_with(|| a.0.cmp(&b.0)).then_with(|| by(|m| m.1)).then_with(|| by(|m| m.2))
    });
    found.into_iter().map(|(_, left, right)| (tokens.texts[left].clone(), tokens.texts[right].clone())).collect()
}

/// Puts the special tokens around a text, where the file or its kind of tokenizer says so.
fn post_processor(meta: &Metadata<'_, '_>, tokens: &Tokens, ends: &Ends) -> Result<Option<Value>> {
    let wanted = |flag: &str, default: bool, id: &str, default_id: Option<u64>| -> Result<Option<(u64, &str)>> {
        if !meta.flag(flag)?.unwrap_or(default) {
            return Ok(None);
        }
        let token = tokens.named(meta, id, default_id)?;
        token.map(Some).ok_or_else(|| meta.error(format!("`{flag}` says to add a token, and `{id}` names none of the vocabulary")))
    };
    let bos = wanted("tokenizer.ggml.add_bos_token", ends.bos, "tokenizer.ggml.bos_token_id", ends.bos_id)?;
    let eos = wanted("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id", ends.eos_id)?;
    if bos.is_none() && eos.is_none() {
        return Ok(None);
    }
    let special = |token: Option<(u64, &str)>, type_id: u8| token.map(|(_, t)| json!({ "SpecialToken": { "id": t, "type_id": type_id } }));
    let around = |sequence: &str, type_id: u8| -> Vec<Value> {
        let text = json!({ "Sequence": { "id": sequence, "type_id": type_id } });
        special(bos, type_id).into_iter().chain([text]).chain(special(eos, type_id)).collect()
    };
    let named = [bos, eos].into_iter().flatten();
    let specials: serde_json::Map<String, Value> =
        named.map(|(id, token)| (token.to_owned(), json!({ "id": token, "ids": [id], "tokens": [token] }))).collect();
    let pair = [around("A", 0), around("B", 1)].concat();
    Ok(Some(json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": specials,
    })))
}
