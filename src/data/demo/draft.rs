//! What a domain's generator makes before it becomes an item: the question, its answer, wrong answers, and which split it belongs to.

use super::Split;
use crate::base::rng::Rng;

/// One generated question. `context`, one space, `answer` is the training text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// Two drafts of one domain with the same key are the same item, whatever else differs.
    pub key: String,
    pub split: Split,
    pub context: String,
    pub answer: String,
    /// Wrong answers. None is a prefix of another choice, or the shorter one would always be the likelier.
    pub wrong: Vec<String>,
}

impl Draft {
    /// Keeps up to `count` usable wrong answers out of `candidates`, in their order.
    pub fn new(
        key: String,
        split: Split,
        context: String,
        answer: String,
        candidates: impl IntoIterator<Item = String>,
        count: usize,
    ) -> Self {
        let mut wrong: Vec<String> = Vec::with_capacity(count);
        for c in candidates {
            if wrong.len() == count {
                break;
            }
            let clash = |other: &String| other.starts_with(c.as_str()) || c.starts_with(other.as_str());
            if !clash(&answer) && !wrong.iter().any(clash) {
                wrong.push(c);
            }
        }
        Self { key, split, context, answer, wrong }
    }

    /// All choices in random order, and where the right one landed.
    pub fn choices(&self, rng: &mut Rng) -> (Vec<String>, usize) {
        let mut choices = self.wrong.clone();
        rng.shuffle(&mut choices);
        let gold = rng.below(choices.len() + 1);
        choices.insert(gold, self.answer.clone());
        (choices, gold)
    }
}

/// `items` in random order.
pub(super) fn shuffled<T: Clone>(items: &[T], rng: &mut Rng) -> Vec<T> {
    let mut items = items.to_vec();
    rng.shuffle(&mut items);
    items
}
