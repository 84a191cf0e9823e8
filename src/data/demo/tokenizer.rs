//! The demo's tokenizer: byte-level BPE over its own training texts. Digits and the capitals of strings stand alone, so that sums and
//! string indices can be learned.

use super::training_texts;
use crate::base::{Error, Result};
use std::path::Path;
use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainerBuilder},
    },
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    processors::template::TemplateProcessing,
};

/// Begins every text; added by the tokenizer itself.
pub const BOS: &str = "<s>";
/// Ends every training text.
pub const EOS: &str = "</s>";
pub const BOS_ID: u32 = 0;
pub const EOS_ID: u32 = 1;
pub const VOCAB: usize = 1536;

/// Texts it is trained on.
const TEXTS: usize = 40_000;

/// One digit, one word, one capital, one sign, each with the space before it; white space at the end.
const PIECES: &str = r" ?\p{N}| ?\p{Lu}?[\p{Ll}\p{Lm}\p{Lo}\p{M}]+| ?\p{L}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+";

/// The text of tokenizer.json.
///
/// # Errors
/// When `tokenizers` refuses one of the settings above.
pub fn train_tokenizer(seed: u64) -> Result<String> {
    let bad = |e: tokenizers::Error| Error::invalid(format!("the demo's tokenizer could not be trained: {e}"));
    let mut tokenizer = Tokenizer::new(BPE::default());
    let split = Split::new(SplitPattern::Regex(PIECES.into()), SplitDelimiterBehavior::Isolated, false).map_err(bad)?;
    let bytes = ByteLevel::new(false, true, false);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
    tokenizer.with_decoder(Some(bytes));
    let special = [BOS, EOS].map(|t| AddedToken::from(t, true)).to_vec();
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(VOCAB)
        .min_frequency(2)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let texts: Vec<String> = training_texts(seed).take(TEXTS).map(|t| t.text).collect();
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts.into_iter()).map_err(bad)?;
    let template = template().map_err(|e| Error::invalid(format!("the demo's tokenizer cannot add {BOS}: {e}")))?;
    tokenizer.with_post_processor(Some(template));
    tokenizer.to_string(true).map_err(bad)
}

fn template() -> std::result::Result<TemplateProcessing, Box<dyn std::error::Error>> {
    let mut builder = TemplateProcessing::builder();
    builder.try_single(format!("{BOS} $A"))?.try_pair(format!("{BOS} $A {BOS} $B"))?;
    Ok(builder.special_tokens(vec![(BOS, BOS_ID)]).build()?)
}

/// tokenizer_config.json beside it, for tools that read a class name there.
pub fn tokenizer_config() -> String {
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 256,
    });
    format!("{config:#}\n")
}

/// For error messages about a tokenizer that is in no file.
pub fn tokenizer_path() -> &'static Path {
    Path::new("demo/tokenizer.json")
}
