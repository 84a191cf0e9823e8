//! Subject-verb agreement past nouns of the other number. The choices are the two forms of one verb with the same ending.

use super::{Split, draft::Draft};
use crate::base::rng::Rng;

/// Singular, plural.
const PEOPLE: [(&str, &str); 16] = [
    ("boy", "boys"),
    ("girl", "girls"),
    ("teacher", "teachers"),
    ("child", "children"),
    ("man", "men"),
    ("woman", "women"),
    ("farmer", "farmers"),
    ("doctor", "doctors"),
    ("pilot", "pilots"),
    ("guard", "guards"),
    ("nurse", "nurses"),
    ("author", "authors"),
    ("student", "students"),
    ("lawyer", "lawyers"),
    ("neighbour", "neighbours"),
    ("chef", "chefs"),
];
const OBJECTS: [(&str, &str); 18] = [
    ("key", "keys"),
    ("box", "boxes"),
    ("lamp", "lamps"),
    ("knife", "knives"),
    ("tree", "trees"),
    ("house", "houses"),
    ("car", "cars"),
    ("chair", "chairs"),
    ("window", "windows"),
    ("bridge", "bridges"),
    ("boat", "boats"),
    ("shelf", "shelves"),
    ("cup", "cups"),
    ("door", "doors"),
    ("horse", "horses"),
    ("mouse", "mice"),
    ("goose", "geese"),
    ("wolf", "wolves"),
];
const PLACES: [&str; 8] = ["near", "behind", "beside", "under", "above", "with", "opposite", "around"];
const COLOURS: [&str; 6] = ["red", "old", "small", "tall", "young", "grey"];
const OPENINGS: [&str; 6] = ["", "", "Today ", "Every day ", "As always ", "In the evening "];
const HABITS: [(&str, &str); 6] =
    [("admires", "admire"), ("sees", "see"), ("follows", "follow"), ("knows", "know"), ("draws", "draw"), ("avoids", "avoid")];
const ENDINGS: [(&str, &str); 14] = [
    ("is late", "are late"),
    ("was lost", "were lost"),
    ("has gone", "have gone"),
    ("waits outside", "wait outside"),
    ("moves slowly", "move slowly"),
    ("looks tired", "look tired"),
    ("stays there", "stay there"),
    ("falls down", "fall down"),
    ("seems quiet", "seem quiet"),
    ("does nothing", "do nothing"),
    ("comes back", "come back"),
    ("makes noise", "make noise"),
    ("needs help", "need help"),
    ("stands still", "stand still"),
];

fn form(pair: &(&'static str, &'static str), plural: bool) -> &'static str {
    if plural { pair.1 } else { pair.0 }
}

fn noun(rng: &mut Rng) -> &'static (&'static str, &'static str) {
    let i = rng.below(PEOPLE.len() + OBJECTS.len());
    if i < PEOPLE.len() { &PEOPLE[i] } else { &OBJECTS[i - PEOPLE.len()] }
}

pub(super) fn draw(rng: &mut Rng) -> Draft {
    let plural = rng.below(2) == 0;
    let subject = subject_phrase(rng, plural);
    // Mostly a distractor of the other number: agreeing with the nearest noun must not pay.
    let other = if rng.below(4) == 0 { plural } else { !plural };
    let distractor = form(noun(rng), other);
    let phrase = match rng.below(3) {
        0 => format!("{subject} {} the {distractor}", rng.pick(&PLACES)),
        1 => {
            let (place, second) = (rng.pick(&PLACES), form(noun(rng), !plural));
            format!("{subject} {} the {distractor} {place} the {second}", rng.pick(&PLACES))
        }
        _ => {
            let who = form(rng.pick(&PEOPLE), other);
            format!("{subject} that the {who} {}", form_of_verb(rng.pick(&HABITS), other))
        }
    };
    let opening = rng.pick(&OPENINGS);
    let the = if opening.is_empty() { "The" } else { "the" };
    let context = format!("{opening}{the} {phrase}");
    let ending = rng.pick(&ENDINGS);
    let key = format!("agreement {context}");
    let split = Split::of_key(&key);
    Draft::new(key, split, context, form_of_verb(ending, plural).into(), [form_of_verb(ending, !plural).into()], 1)
}

fn subject_phrase(rng: &mut Rng, plural: bool) -> String {
    let noun = form(noun(rng), plural);
    if rng.below(3) == 0 { format!("{} {noun}", rng.pick(&COLOURS)) } else { noun.into() }
}

/// Verbs list their singular form first, as nouns do.
fn form_of_verb(pair: &(&'static str, &'static str), plural: bool) -> &'static str {
    form(pair, plural)
}

/// A person or people, for the general text.
pub(super) fn people(rng: &mut Rng) -> &'static str {
    rng.pick(&PEOPLE).1
}
