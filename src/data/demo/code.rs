//! Values of small expressions over lists of digits and strings of capitals, as a Python prompt would print them.

use super::{
    Split,
    draft::{Draft, shuffled},
};
use crate::base::rng::Rng;

const LETTERS: [char; 10] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'K', 'M'];
const VERBS: usize = 10;

pub(super) fn draw(rng: &mut Rng) -> Draft {
    let (expression, answer, wrong, count) = match rng.below(VERBS) {
        0 => list_index(rng),
        1 => list_extreme(rng),
        2 => list_length(rng),
        3 => list_reverse(rng),
        4 => list_concat(rng),
        5 => text_index(rng),
        6 => text_reverse(rng),
        7 => text_concat(rng),
        8 => text_repeat(rng),
        _ => membership(rng),
    };
    let key = format!("code {expression}");
    let split = Split::of_key(&key);
    Draft::new(key, split, format!("> {expression} ->"), answer, wrong, count)
}

type Case = (String, String, Vec<String>, usize);

fn digits(rng: &mut Rng, n: usize) -> Vec<usize> {
    let mut d = rng.sample(10, n);
    rng.shuffle(&mut d);
    d
}

fn letters(rng: &mut Rng, n: usize) -> Vec<char> {
    let mut l: Vec<char> = rng.sample(LETTERS.len(), n).into_iter().map(|i| LETTERS[i]).collect();
    rng.shuffle(&mut l);
    l
}

fn list(d: &[usize]) -> String {
    format!("[{}]", d.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

fn text(l: &[char]) -> String {
    format!("'{}'", l.iter().collect::<String>())
}

fn list_index(rng: &mut Rng) -> Case {
    let n = 3 + rng.below(2);
    let (d, i) = (digits(rng, n), rng.below(n));
    let others = d.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, v)| v.to_string()).collect();
    (format!("{}[{i}]", list(&d)), d[i].to_string(), others, 3)
}

fn list_extreme(rng: &mut Rng) -> Case {
    let n = 3 + rng.below(2);
    let d = digits(rng, n);
    let mut sorted = d.clone();
    sorted.sort_unstable();
    let (name, at) = if rng.below(2) == 0 { ("max", n - 1) } else { ("min", 0) };
    let others = d.iter().filter(|v| **v != sorted[at]).map(usize::to_string).collect();
    (format!("{name}({})", list(&d)), sorted[at].to_string(), others, 3)
}

fn list_length(rng: &mut Rng) -> Case {
    let n = 1 + rng.below(5);
    let d = digits(rng, n);
    let near: Vec<String> = [n + 1, n - 1, n + 2].iter().map(usize::to_string).collect();
    (format!("len({})", list(&d)), n.to_string(), near, 3)
}

fn list_reverse(rng: &mut Rng) -> Case {
    let d = digits(rng, 3);
    let mut reversed = d.clone();
    reversed.reverse();
    let wrong = vec![list(&d), list(&[d[2], d[0], d[1]]), list(&[d[1], d[2], d[0]])];
    (format!("{}[::-1]", list(&d)), list(&reversed), wrong, 3)
}

fn list_concat(rng: &mut Rng) -> Case {
    let d = digits(rng, 3);
    let cut = 1 + rng.below(2);
    let (a, b) = d.split_at(cut);
    let wrong = shuffled(&[list(&[b, a].concat()), list(&[d[0], d[2], d[1]]), list(&[d[1], d[0], d[2]])], rng);
    (format!("{} + {}", list(a), list(b)), list(&d), wrong, 3)
}

fn text_index(rng: &mut Rng) -> Case {
    let n = 3 + rng.below(2);
    let (l, i) = (letters(rng, n), rng.below(n));
    let others = l.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, c)| text(&[*c])).collect();
    (format!("{}[{i}]", text(&l)), text(&[l[i]]), others, 3)
}

fn text_reverse(rng: &mut Rng) -> Case {
    let l = letters(rng, 3);
    let reversed: Vec<char> = l.iter().rev().copied().collect();
    let wrong = vec![text(&l), text(&[l[2], l[0], l[1]]), text(&[l[1], l[2], l[0]])];
    (format!("{}[::-1]", text(&l)), text(&reversed), wrong, 3)
}

fn text_concat(rng: &mut Rng) -> Case {
    let l = letters(rng, 4);
    let (a, b) = l.split_at(2);
    let wrong = vec![text(&[b, a].concat()), text(&[l[0], l[2], l[1], l[3]]), text(&[l[1], l[0], l[2], l[3]])];
    (format!("{} + {}", text(a), text(b)), text(&l), wrong, 3)
}

fn text_repeat(rng: &mut Rng) -> Case {
    let (l, n) = (letters(rng, 2), 2 + rng.below(2));
    let wrong = vec![text(&[l[1], l[0]].repeat(n)), text(&l.repeat(5 - n)), text(&[[l[0]].repeat(n), [l[1]].repeat(n)].concat())];
    (format!("{} * {n}", text(&l)), text(&l.repeat(n)), wrong, 3)
}

fn membership(rng: &mut Rng) -> Case {
    let l = letters(rng, 4);
    let inside = rng.below(2) == 0;
    let asked = if inside { l[rng.below(3)] } else { l[3] };
    let word = |b: bool| if b { "True" } else { "False" };
    (format!("{} in {}", text(&[asked]), text(&l[..3])), word(inside).into(), vec![word(!inside).into()], 1)
}
