//! Short reviews that are positive, negative or mixed, with negations. The three answers are equally frequent.

use super::{Split, draft::Draft};
use crate::base::rng::Rng;

const VERDICTS: [&str; 3] = ["positive", "negative", "mixed"];

const NOUNS: [&str; 24] = [
    "film", "plot", "cast", "ending", "music", "story", "script", "acting", "meal", "service", "soup", "dessert", "hotel", "bed", "staff",
    "view", "novel", "style", "hero", "dialogue", "concert", "singer", "menu", "room",
];
const GOOD: [&str; 22] = [
    "wonderful",
    "great",
    "superb",
    "lovely",
    "charming",
    "brilliant",
    "delightful",
    "excellent",
    "moving",
    "fresh",
    "pleasant",
    "fantastic",
    "perfect",
    "witty",
    "clever",
    "beautiful",
    "amazing",
    "stunning",
    "enjoyable",
    "graceful",
    "warm",
    "thrilling",
];
const BAD: [&str; 22] = [
    "awful", "terrible", "boring", "dull", "bland", "horrible", "clumsy", "weak", "tedious", "ugly", "stale", "poor", "lifeless",
    "annoying", "messy", "painful", "shallow", "silly", "dreadful", "rude", "bitter", "hollow",
];
const LIKED: [&str; 6] = ["loved", "enjoyed", "adored", "admired", "liked", "praised"];
const DISLIKED: [&str; 6] = ["hated", "disliked", "regretted", "despised", "loathed", "resented"];
const DEGREES: [&str; 5] = ["really ", "very ", "quite ", "truly ", ""];
const WHO: [&str; 4] = ["I", "We", "Critics", "Everyone"];

pub(super) fn draw(rng: &mut Rng) -> Draft {
    let verdict = rng.below(3);
    let first = match verdict {
        0 => true,
        1 => false,
        _ => rng.below(2) == 0,
    };
    let a = clause(rng, first);
    // One clause alone cannot be mixed.
    let context = if verdict != 2 && rng.below(3) == 0 {
        format!("Review: {a}. Verdict:")
    } else {
        let b = clause(rng, first != (verdict == 2));
        let joint = rng.pick(&[" and", ", while", ";", "."]);
        let b = if *joint == "." { b } else { uncapitalised(&b) };
        format!("Review: {a}{joint} {b}. Verdict:")
    };
    let key = format!("sentiment {context}");
    let split = Split::of_key(&key);
    Draft::new(key, split, context, VERDICTS[verdict].into(), VERDICTS.map(String::from), 2)
}

/// One statement that says something good or something bad, sometimes by denying its opposite.
fn clause(rng: &mut Rng, good: bool) -> String {
    let noun = rng.pick(&NOUNS);
    let negated = rng.below(4) == 0;
    let word_good = good != negated;
    if rng.below(4) == 0 {
        let (who, verb) = (rng.pick(&WHO), rng.pick(if word_good { &LIKED } else { &DISLIKED }));
        let not = if negated { "never " } else { "" };
        format!("{who} {not}{verb} the {noun}")
    } else {
        let adjective = rng.pick(if word_good { &GOOD } else { &BAD });
        let degree = if negated { "not " } else { rng.pick(&DEGREES) };
        format!("The {noun} was {degree}{adjective}")
    }
}

fn uncapitalised(clause: &str) -> String {
    if clause.starts_with("I ") { clause.into() } else { format!("{}{}", clause[..1].to_lowercase(), &clause[1..]) }
}

/// An adjective of the wanted kind, for the general text.
pub(super) fn adjective(rng: &mut Rng, good: bool) -> &'static str {
    let words = if good { GOOD } else { BAD };
    words[rng.below(words.len())]
}
