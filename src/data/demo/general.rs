//! A little running text with the words of all domains in it. Its sums and facts are told, not asked, and no kept-back item is in it.

use super::{Split, agreement, facts, sentiment};
use crate::base::rng::Rng;

const NAMES: [&str; 8] = ["Tom", "Anna", "Luis", "Mei", "Omar", "Nina", "Paul", "Sara"];

/// A text of one split.
pub(super) fn draw_from(split: Split, rng: &mut Rng) -> String {
    loop {
        let text = draw(rng);
        if Split::of_key(&text) == split {
            return text;
        }
    }
}

/// Two to four sentences about one person.
fn draw(rng: &mut Rng) -> String {
    let name = *rng.pick(&NAMES);
    let n = 2 + rng.below(3);
    (0..n).map(|_| sentence(rng, name)).collect::<Vec<_>>().join(" ")
}

fn sentence(rng: &mut Rng, name: &str) -> String {
    let (country, capital, currency, continent) = *rng.pick(&facts::COUNTRIES);
    let good = rng.below(2) == 0;
    let adjective = sentiment::adjective(rng, good);
    let people = agreement::people(rng);
    let number = 2 + rng.below(60);
    match rng.below(9) {
        0 => format!("{name} flew to {capital} and saw {number} {people}."),
        1 => format!("In {country} {name} paid {number} {currency} for a meal that was {adjective}."),
        2 => format!("The {people} said that the film was {adjective}."),
        3 => format!("{name} wrote a list of {number} cities in {continent}."),
        4 => format!("It is {} that {name} was late.", if good { "true" } else { "false" }),
        5 => format!("The hotel in {capital} was {adjective}, and {name} stayed {number} days."),
        6 => format!("{name} and the {people} played cards, and either {name} or the {people} won."),
        7 => format!("{name} typed '{}' and the program printed {number}.", ["AB", "CAD", "MEG", "BED", "FACE"][rng.below(5)]),
        _ => format!("The {people} from {country} were not {adjective}."),
    }
}
