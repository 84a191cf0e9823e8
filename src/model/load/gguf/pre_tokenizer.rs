//! `tokenizer.ggml.pre`: by which rules a text is cut into words before byte-pair merges, under the names that llama.cpp gives them.
//!
//! The expressions are those of the models' own tokenizer.json; where a name stands for several models, of the first.

use serde_json::{Value, json};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    /// Applied one after the other; what matches and what lies between is cut apart.
    splits: &'static [&'static str],
    /// GPT-2's expression comes last.
    gpt2: bool,
    /// Text is brought into Unicode's composed form first.
    nfc: bool,
    /// A word that is a token needs no merges.
    pub ignore_merges: bool,
    /// Where the file does not say.
    pub add_bos: bool,
}

const PLAIN: PreTokenizer = PreTokenizer { names: &[], splits: &[], gpt2: true, nfc: false, ignore_merges: false, add_bos: false };

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

/// Every name that is read, one line each.
const PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer { names: &["gpt-2", "phi-2", "exaone4", "gigachat", "mellum"], ..PLAIN },
    PreTokenizer { names: &["olmo", "mpt"], nfc: true, ..PLAIN },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0"],
        splits: &[LLAMA3],
        gpt2: false,
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["dbrx", "smaug-bpe"], splits: &[LLAMA3], gpt2: false, ..PLAIN },
    PreTokenizer { names: &["qwen2", "deepseek-r1-qwen", "megrez"], splits: &[QWEN2], gpt2: false, nfc: true, ..PLAIN },
    PreTokenizer { names: &["qwen35"], splits: &[QWEN35], gpt2: false, nfc: true, ..PLAIN },
    PreTokenizer { names: &["stablelm2"], splits: &[QWEN2], gpt2: false, ..PLAIN },
    PreTokenizer { names: &["seed-coder"], splits: &[SEED], gpt2: false, ..PLAIN },
    PreTokenizer { names: &["smollm", "starcoder", "refact", "codeshell", "minerva-7b"], splits: &[DIGIT], ..PLAIN },
    PreTokenizer { names: &["command-r"], splits: &[DIGIT], nfc: true, ..PLAIN },
    PreTokenizer { names: &["tekken"], splits: &[TEKKEN], gpt2: false, ignore_merges: true, add_bos: true, ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4", "kanana2"], splits: &[GPT4O], gpt2: false, ..PLAIN },
    PreTokenizer {
        names: &["deepseek-llm"],
        splits: &[r"[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
        gpt2: false,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", DIGIT],
        gpt2: false,
        ..PLAIN
    },
    PreTokenizer { names: &["deepseek-v3"], splits: &[r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3], gpt2: false, ..PLAIN },
    // What llama.cpp does where a file names none.
    PreTokenizer { names: &["default"], splits: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], gpt2: false, ..PLAIN },
];

/// # Errors
/// All names that are known, when this is none of them.
pub(super) fn find(name: &str) -> Result<&'static PreTokenizer, String> {
    PRE_TOKENIZERS.iter().find(|p| p.names.contains(&name)).ok_or_else(|| {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|p| p.names.iter().copied()).collect();
        known.join(", ")
    })
}

impl PreTokenizer {
    pub fn normalizer(&self) -> Option<NormalizerWrapper> {
        self.nfc.then(|| tokenizers::normalizers::NFC.into())
    }

    pub fn wrapper(&self) -> serde_json::Result<PreTokenizerWrapper> {
        let split = |regex: &&str| json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
        let mut steps: Vec<Value> = self.splits.iter().map(split).collect();
        steps.push(json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": self.gpt2 }));
        serde_json::from_value(json!({ "type": "Sequence", "pretokenizers": steps }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn words(name: &str, text: &str) -> Vec<String> {
        let pre = find(name).unwrap_or_else(|_| panic!("{name}")).wrapper().expect("regexes");
        let mut string = PreTokenizedString::from(text);
        pre.pre_tokenize(&mut string).expect("split");
        let splits = string.get_splits(OffsetReferential::Original, OffsetType::Byte);
        // By their places in the text: pieces themselves are spelt in GPT-2's letters.
        splits.into_iter().map(|(_, (from, to), _)| text[from..to].to_owned()).collect()
    }

    #[test]
    fn each_kind_cuts_as_its_model_does() {
        let text = "It's 12345 o'CLOCK:\n\n  go";
        for (name, want) in [
            ("gpt-2", vec!["It", "'s", " 12345", " o", "'", "CLOCK", ":", "\n\n ", " go"]),
            ("smollm", vec!["It", "'s", " ", "1", "2", "3", "4", "5", " o", "'", "CLOCK", ":", "\n\n ", " go"]),
            ("llama-bpe", vec!["It", "'s", " ", "123", "45", " o", "'CLOCK", ":\n\n", " ", " go"]),
            ("qwen2", vec!["It", "'s", " ", "1", "2", "3", "4", "5", " o", "'CLOCK", ":\n\n", " ", " go"]),
            ("gpt-4o", vec!["It's", " ", "123", "45", " o", "'CLOCK", ":\n\n", " ", " go"]),
            ("tekken", vec!["It", "'s", " ", "1", "2", "3", "4", "5", " o", "'CLOCK", ":\n\n", " ", " go"]),
            ("deepseek-v3", vec!["It", "'s", " ", "123", "45", " o", "'CLOCK", ":\n\n", " ", " go"]),
            ("deepseek-coder", vec!["It", "'", "s", " ", "1", "2", "3", "4", "5", " o", "'", "CLOCK", ":", "\n", "\n", " ", " go"]),
        ] {
            assert_eq!(words(name, text), want, "{name}");
        }
    }

    #[test]
    fn every_name_is_there_once_and_its_expressions_compile() {
        let names: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|p| p.names.iter().copied()).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{name} twice");
            words(name, "a 1\n");
        }
        assert!(find("unheard-of").is_err_and(|known| known.contains("qwen2") && known.contains("smollm")));
    }
}
