//! Truth values of boolean expressions: constants, brackets, and two named variables. True and false answers are equally frequent.

use super::{Split, draft::Draft};
use crate::base::rng::Rng;

const VARIABLES: [&str; 6] = ["p", "q", "r", "s", "u", "v"];

pub(super) fn draw(rng: &mut Rng) -> Draft {
    let wanted = rng.below(2) == 0;
    loop {
        let (context, value) = if rng.below(2) == 0 { constants(rng) } else { variables(rng) };
        if value == wanted {
            let key = format!("logic {context}");
            let split = Split::of_key(&key);
            return Draft::new(key, split, context, word(value).into(), [word(!value).into()], 1);
        }
    }
}

fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn operator(rng: &mut Rng) -> (&'static str, fn(bool, bool) -> bool) {
    match rng.below(5) {
        0 | 1 => ("and", |a, b| a && b),
        2 | 3 => ("or", |a, b| a || b),
        _ => ("xor", |a, b| a != b),
    }
}

fn literal(rng: &mut Rng) -> (String, bool) {
    let value = rng.below(2) == 0;
    if rng.below(3) == 0 { (format!("not {}", word(value)), !value) } else { (word(value).into(), value) }
}

/// `( true and not false ) xor true is`
fn constants(rng: &mut Rng) -> (String, bool) {
    let ((a, va), (b, vb), (c, vc)) = (literal(rng), literal(rng), literal(rng));
    let ((p, fp), (q, fq)) = (operator(rng), operator(rng));
    match rng.below(2) {
        0 => (format!("( {a} {p} {b} ) {q} {c} is"), fq(fp(va, vb), vc)),
        _ => (format!("{a} {p} ( {b} {q} {c} ) is"), fp(va, fq(vb, vc))),
    }
}

/// `Let p be true and q be false. Then p and not q is`
fn variables(rng: &mut Rng) -> (String, bool) {
    let names = rng.sample(VARIABLES.len(), 2);
    let values = [rng.below(2) == 0, rng.below(2) == 0];
    let (first, second) = if rng.below(2) == 0 { (0, 1) } else { (1, 0) };
    let name = |i: usize| VARIABLES[names[i]];
    let setting = format!("Let {} be {} and {} be {}.", name(first), word(values[first]), name(second), word(values[second]));
    let part =
        |i: usize, rng: &mut Rng| if rng.below(3) == 0 { (format!("not {}", name(i)), !values[i]) } else { (name(i).into(), values[i]) };
    let (x, y) = if rng.below(2) == 0 { (0, 1) } else { (1, 0) };
    let ((a, va), (b, vb)) = (part(x, rng), part(y, rng));
    let (op, f) = operator(rng);
    (format!("{setting} Then {a} {op} {b} is"), f(va, vb))
}
