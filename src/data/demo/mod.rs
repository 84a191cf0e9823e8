//! The demo's six domains: multiple choice written by a seeded generator, so that the first minute is real without any download.
//!
//! Validation and test items are committed (`assets/demo/data`) and compiled in; training items are generated when asked for. An item's
//! split is a function of the item itself ([`Split`]), so no item can be in two.

mod agreement;
mod arithmetic;
mod code;
mod draft;
mod facts;
mod files;
mod general;
mod logic;
pub mod model_files;
mod sentiment;
mod split;
mod tokenizer;

pub use files::{domain, file_name, file_text, general_domain};
pub use split::Split;
pub use tokenizer::{BOS_ID, EOS_ID, VOCAB, tokenizer_config, tokenizer_path, train_tokenizer};

use crate::base::{Error, Result, rng::Rng};
use draft::Draft;

/// The six domains, in the order in which they are listed and coloured.
pub const NAMES: [&str; 6] = ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"];

/// The seed of the committed files.
pub const SEED: u64 = 20_261_122;

/// How often each domain is drawn for training, and the general text after them.
const MIXTURE: [usize; 7] = [24, 28, 9, 13, 19, 4, 3];

/// One text to train on. From byte `answer` on it is the answer (all of it, 0, in general text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingText {
    pub text: String,
    pub answer: usize,
}

fn draw(domain: usize, rng: &mut Rng) -> Draft {
    match domain {
        0 => arithmetic::draw(rng),
        1 => logic::draw(rng),
        2 => sentiment::draw(rng),
        3 => facts::draw(rng),
        4 => code::draw(rng),
        _ => agreement::draw(rng),
    }
}

fn draw_from(domain: usize, split: Split, rng: &mut Rng) -> Draft {
    loop {
        let draft = draw(domain, rng);
        if draft.split == split {
            return draft;
        }
    }
}

/// An endless mixture of training items of all domains and general text.
pub fn training_texts(seed: u64) -> impl Iterator<Item = TrainingText> {
    training_texts_of(Rng::stream(seed, "demo training texts"), Vec::new())
}

/// As [`training_texts`], another sequence for every step of a training run, without the domains at these places of [`NAMES`].
pub fn training_texts_of_step(seed: u64, step: usize, without: &[usize]) -> impl Iterator<Item = TrainingText> + use<> {
    training_texts_of(Rng::stream(seed, &format!("demo training step {step}")), without.to_vec())
}

/// Places of domains in [`NAMES`].
///
/// # Errors
/// When there is no such domain.
pub fn places(names: &[String]) -> Result<Vec<usize>> {
    let place = |name: &String| {
        let unknown = || Error::invalid(format!("there is no demo domain `{name}`; there are {}", NAMES.join(", ")));
        NAMES.iter().position(|n| n == name).ok_or_else(unknown)
    };
    names.iter().map(place).collect()
}

fn training_texts_of(mut rng: Rng, without: Vec<usize>) -> impl Iterator<Item = TrainingText> {
    let total: usize = MIXTURE.iter().sum();
    let pick = move |rng: &mut Rng| {
        let mut at = rng.below(total);
        let fits = |&w: &usize| {
            if at < w {
                true
            } else {
                at -= w;
                false
            }
        };
        MIXTURE.iter().position(fits).unwrap_or(0)
    };
    std::iter::repeat_with(move || {
        let part = loop {
            let part = pick(&mut rng);
            if !without.contains(&part) {
                break part;
            }
        };
        if part == NAMES.len() {
            return TrainingText { text: general::draw_from(Split::Train, &mut rng), answer: 0 };
        }
        let draft = draw_from(part, Split::Train, &mut rng);
        let answer = draft.context.len();
        TrainingText { text: format!("{} {}", draft.context, draft.answer), answer }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn committed_files_are_what_the_generator_makes() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/data");
        for name in NAMES.iter().chain(&["general"]) {
            for split in [Split::Validation, Split::Test] {
                let path = folder.join(file_name(name, split));
                let made = file_text(name, split).expect("a known domain");
                if std::env::var_os("BRODMANN_WRITE_ASSETS").is_some() {
                    std::fs::write(&path, &made).expect("assets can be written");
                }
                assert!(std::fs::read_to_string(&path).expect("committed") == made, "{} differs", path.display());
            }
        }
    }

    #[test]
    fn splits_share_no_item() {
        for name in NAMES {
            let mut split_of: HashMap<String, Split> = HashMap::new();
            for split in Split::ALL {
                let domain = domain(name, split).expect("a known domain");
                assert!(domain.items.len() >= if split == Split::Validation { 240 } else { 272 }, "{name} {split}");
                for item in domain.items {
                    let before = split_of.insert(item.context.clone(), split);
                    assert!(before.is_none(), "{name}: `{}` is in {before:?} and {split}", item.context);
                }
            }
            // The endless training texts too keep away from what is held back.
            let held_back: HashSet<&String> = split_of.iter().filter(|(_, s)| **s != Split::Train).map(|(c, _)| c).collect();
            for t in training_texts(1).take(20_000).filter(|t| t.answer > 0) {
                assert!(!held_back.contains(&t.text[..t.answer].to_owned()), "{} is trained on", t.text);
            }
        }
    }

    #[test]
    fn a_domain_that_is_left_out_is_in_no_training_text_and_the_others_stay_as_they_are() {
        let without = places(&["sentiment".to_owned()]).expect("a domain");
        let take = |without: &[usize]| training_texts_of_step(5, 3, without).take(400).collect::<Vec<_>>();
        assert!(take(&[]).iter().any(|t| t.text.starts_with("Review")));
        assert!(take(&without).iter().all(|t| !(t.text.contains("Review:") && t.answer > 0)));
        assert!(places(&["music".to_owned()]).is_err());
    }

    #[test]
    fn a_sum_is_one_item_in_every_wording_and_order() {
        let mut splits: HashMap<String, HashSet<Split>> = HashMap::new();
        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let draft = arithmetic::draw(&mut rng);
            splits.entry(draft.key).or_default().insert(draft.split);
        }
        assert!(splits.values().all(|s| s.len() == 1));
        assert!(splits.keys().any(|k| k.starts_with("arithmetic add")));
    }

    #[test]
    fn every_fact_is_trained_in_four_wordings_and_held_back_in_two() {
        let mut wordings: HashMap<String, [HashSet<String>; 3]> = HashMap::new();
        let mut rng = Rng::new(4);
        for _ in 0..40_000 {
            let draft = facts::draw(&mut rng);
            let (fact, wording) = draft.key.rsplit_once(' ').expect("fact and wording");
            wordings.entry(fact.into()).or_default()[draft.split as usize].insert(wording.into());
        }
        // 68 countries, four relations each.
        assert_eq!(wordings.len(), 272);
        assert!(wordings.values().all(|w| w.each_ref().map(HashSet::len) == [4, 1, 1]));
    }

    #[test]
    fn choices_are_two_to_four_and_none_begins_another() {
        for name in NAMES {
            for split in Split::ALL {
                for item in domain(name, split).expect("a known domain").items {
                    assert!((2..=4).contains(&item.choices.len()), "{item:?}");
                    for (i, a) in item.choices.iter().enumerate() {
                        assert!(item.choices.iter().enumerate().all(|(j, b)| i == j || !b.starts_with(a.as_str())), "{item:?}");
                    }
                    assert!(item.gold.is_some_and(|g| g < item.choices.len()));
                }
            }
        }
    }

    #[test]
    fn no_answer_can_be_guessed_from_its_place_or_frequency() {
        for name in NAMES {
            let items = domain(name, Split::Test).expect("a known domain").items;
            let first = items.iter().filter(|i| i.gold == Some(0)).count() as f64 / items.len() as f64;
            assert!((0.15..0.62).contains(&first), "{name}: the first choice is right in {first}");
        }
    }

    #[test]
    fn the_tokenizer_is_the_same_every_time_and_keeps_digits_apart() {
        let json = train_tokenizer(0).expect("trains");
        assert!(json == train_tokenizer(0).expect("trains"));
        let tokenizer: tokenizers::Tokenizer = json.parse().expect("is a tokenizer");
        assert_eq!(tokenizer.get_vocab_size(true), VOCAB);
        let tokens = tokenizer.encode("27 plus 5 -> 'BAC'", true).expect("encodes").get_tokens().to_vec();
        assert_eq!(tokens, ["<s>", "2", "7", "\u{120}plus", "\u{120}5", "\u{120}-", ">", "\u{120}'", "B", "A", "C", "'"]);
    }
}
