//! Sums, differences and comparisons of numbers of one or two digits. `a + b` and `b + a` are the same item in every wording.

use super::{Split, draft::Draft};
use crate::base::rng::Rng;

const NAMES: [&str; 8] = ["Tom", "Anna", "Luis", "Mei", "Omar", "Nina", "Paul", "Sara"];
const THINGS: [&str; 6] = ["coins", "apples", "cards", "books", "stones", "stamps"];

pub(super) fn draw(rng: &mut Rng) -> Draft {
    match rng.below(10) {
        0..4 => sum(rng),
        4..7 => difference(rng),
        _ => comparison(rng),
    }
}

fn sum(rng: &mut Rng) -> Draft {
    let (a, b) = (rng.below(50), rng.below(50));
    let key = format!("arithmetic add {} {}", a.min(b), a.max(b));
    let context = match rng.below(4) {
        0 => format!("{a} + {b} ="),
        1 => format!("{a} plus {b} equals"),
        2 => format!("The sum of {a} and {b} is"),
        _ => {
            let (name, thing) = (rng.pick(&NAMES), rng.pick(&THINGS));
            format!("{name} has {a} {thing} and gets {b} more. The total is")
        }
    };
    near(rng, key, context, a + b)
}

fn difference(rng: &mut Rng) -> Draft {
    let (x, y) = (rng.below(61), rng.below(61));
    let (a, b) = (x.max(y), x.min(y));
    let key = format!("arithmetic subtract {a} {b}");
    let context = match rng.below(4) {
        0 => format!("{a} - {b} ="),
        1 => format!("{a} minus {b} equals"),
        2 => format!("{a} less {b} leaves"),
        _ => {
            let (name, thing) = (rng.pick(&NAMES), rng.pick(&THINGS));
            format!("{name} has {a} {thing} and gives away {b}. The rest is")
        }
    };
    near(rng, key, context, a - b)
}

fn comparison(rng: &mut Rng) -> Draft {
    let a = 10 + rng.below(90);
    let b = loop {
        let b = 10 + rng.below(90);
        if b != a {
            break b;
        }
    };
    let larger = rng.below(2) == 0;
    let (lo, hi) = (a.min(b), a.max(b));
    let key = format!("arithmetic compare {lo} {hi}");
    let (word, answer, other) = if larger { ("larger", hi, lo) } else { ("smaller", lo, hi) };
    let context = match rng.below(2) {
        0 => format!("The {word} number of {a} and {b} is"),
        _ => format!("Out of {a} and {b} the {word} is"),
    };
    let split = Split::of_key(&key);
    Draft::new(key, split, context, answer.to_string(), [other.to_string()], 1)
}

/// Three wrong numbers close to the right one: off by one, two, ten, or with its digits swapped.
fn near(rng: &mut Rng, key: String, context: String, answer: usize) -> Draft {
    let n = answer as i64;
    let mut candidates = vec![n - 1, n + 1, n - 2, n + 2, n - 10, n + 10];
    if n >= 10 {
        candidates.push((n % 10) * 10 + n / 10);
    }
    rng.shuffle(&mut candidates);
    // Always enough left for three after prefixes and negatives are dropped.
    candidates.extend([n + 11, n + 9, n + 3, n + 12, n + 20]);
    let split = Split::of_key(&key);
    let candidates: Vec<String> = candidates.into_iter().filter(|c| *c >= 0 && *c < 130).map(|c| c.to_string()).collect();
    Draft::new(key, split, context, answer.to_string(), candidates, 3)
}
