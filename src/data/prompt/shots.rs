//! Examples before a question, chosen as lm-evaluation-harness chooses them: same seed, same rows, same order.
//! Source: lm_eval/api/samplers.py (0.4.13), `ContextSampler` and `FirstNSampler`.

use super::{ShotOrder, Shots};
use crate::{
    base::python_random::PythonRandom,
    data::{Item, domain::Shot},
};
use std::{collections::BTreeMap, sync::Arc};

/// Gives each item its examples, from `pool` or else from the items themselves, never the item's own row and no copy of it. Where rows have
/// descriptions (the subjects of MMLU) examples come from those with the same one, as each is a task of its own in the harness.
///
/// # Errors
/// When there are too few rows to choose from.
pub fn add_shots(items: &mut [Item], pool: Option<&[Item]>, shots: &Shots) -> Result<(), String> {
    if shots.count == 0 {
        return Ok(());
    }
    let from = pool.unwrap_or(items);
    let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in from.iter().filter(|i| i.gold.is_some()) {
        groups.entry(&item.description).or_default().push(item);
    }
    // A file of examples without the descriptions serves every item.
    let any: Vec<&Item> = from.iter().filter(|i| i.gold.is_some()).collect();
    let mut randoms: BTreeMap<&str, PythonRandom> = BTreeMap::new();
    let mut made: Vec<Arc<Shot>> = Vec::new();
    let mut places: BTreeMap<*const Item, usize> = BTreeMap::new();
    let mut chosen: Vec<Vec<Arc<Shot>>> = Vec::with_capacity(items.len());
    for item in items.iter() {
        if item.gold.is_none() {
            chosen.push(Vec::new());
            continue;
        }
        let group = groups.get(item.description.as_str()).or(if pool.is_some() { Some(&any) } else { None });
        let group = group.map(Vec::as_slice).unwrap_or_default();
        let random = randoms.entry(&item.description).or_insert_with(|| PythonRandom::new(shots.seed));
        let rows = choose(item, group, pool.is_some(), shots, random)?;
        let shot = |row: &&Item| {
            let at = *places.entry(std::ptr::from_ref(*row)).or_insert_with(|| {
                let gold = row.gold.unwrap_or(0);
                made.push(Arc::new(Shot { line: row.line, context: row.context_of(gold).to_owned(), answer: row.choices[gold].clone() }));
                made.len() - 1
            });
            made[at].clone()
        };
        chosen.push(rows.iter().map(shot).collect());
    }
    for (item, shots) in items.iter_mut().zip(chosen) {
        item.shots = shots;
    }
    Ok(())
}

fn choose<'a>(item: &Item, group: &[&'a Item], apart: bool, shots: &Shots, random: &mut PythonRandom) -> Result<Vec<&'a Item>, String> {
    let n = shots.count;
    let other = |row: &&&Item| !same(row, item);
    let few =
        |have: usize| format!("line {}: {n} examples were asked for, but there are only {have} other rows to take them from", item.line);
    let mut rows: Vec<&Item> = match shots.order {
        ShotOrder::First => group.iter().filter(other).take(n).copied().collect(),
        ShotOrder::Random => {
            // One more than needed, so that the row itself can be left out; a file of its own has no such row.
            let draws = if apart { n } else { n + 1 };
            if draws > group.len() {
                return Err(few(group.len().saturating_sub(usize::from(!apart))));
            }
            random.sample(group.len(), draws).into_iter().map(|i| group[i]).filter(|r| !same(r, item)).take(n).collect()
        }
    };
    if rows.len() < n && shots.order == ShotOrder::Random {
        // More than one copy of the row was drawn: again, from what is left without any.
        let rest: Vec<&Item> = group.iter().filter(other).copied().collect();
        if rest.len() >= n {
            rows = random.sample(rest.len(), n).into_iter().map(|i| rest[i]).collect();
        }
    }
    if rows.len() < n { Err(few(group.iter().filter(other).count())) } else { Ok(rows) }
}

fn same(a: &Item, b: &Item) -> bool {
    a.context == b.context && a.choices == b.choices && a.gold == b.gold && a.choice_contexts == b.choice_contexts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(line: usize, text: &str) -> Item {
        Item { line, context: text.to_owned(), choices: vec!["no".into(), "yes".into()], gold: Some(line % 2), ..Item::default() }
    }

    fn lines(items: &[Item]) -> Vec<Vec<usize>> {
        items.iter().map(|i| i.shots.iter().map(|s| s.line).collect()).collect()
    }

    #[test]
    fn examples_are_those_of_the_harness() {
        // lm_eval's ContextSampler(list(range(1, 41)), rnd=1234): [s.sample(2, d) for d in (1, 2, 3, 4)], then a file of its own: s.sample(2).
        let mut items: Vec<Item> = (1..=40).map(|i| item(i, &format!("q{i}"))).collect();
        let shots = Shots { count: 2, ..Shots::default() };
        add_shots(&mut items, None, &shots).expect("enough");
        assert_eq!(lines(&items[..4]), OWN);
        let pool: Vec<Item> = (1..=40).map(|i| item(i, &format!("p{i}"))).collect();
        add_shots(&mut items, Some(&pool), &shots).expect("enough");
        assert_eq!(lines(&items[..2]), APART);
        add_shots(&mut items, None, &Shots { order: ShotOrder::First, ..shots }).expect("enough");
        assert_eq!(lines(&items[..3]), [[2, 3], [1, 3], [1, 2]]);
    }

    #[test]
    fn examples_keep_to_their_subject_where_the_file_has_it() {
        let about = |line: usize, d: &str| Item { description: d.to_owned(), ..item(line, &format!("{d}{line}")) };
        let mut items: Vec<Item> = (1..=12).map(|i| about(i, if i % 2 == 0 { "even" } else { "odd" })).collect();
        add_shots(&mut items, None, &Shots { count: 3, ..Shots::default() }).expect("enough");
        assert!(items.iter().all(|i| i.shots.iter().all(|s| s.line % 2 == i.line % 2)));
        let plain: Vec<Item> = (1..=12).map(|i| item(i, "x")).collect();
        add_shots(&mut items, Some(&plain), &Shots { count: 3, ..Shots::default() }).expect("any will do");
    }

    #[test]
    fn too_few_rows_are_an_error() {
        let mut items = vec![item(1, "a"), item(2, "b")];
        let e = add_shots(&mut items, None, &Shots { count: 2, ..Shots::default() }).expect_err("one other row");
        assert!(e.contains("2 examples") && e.contains("only 1 other"), "{e}");
        let mut copies = vec![item(1, "a"), Item { line: 3, ..item(1, "a") }, item(2, "b")];
        assert!(add_shots(&mut copies, None, &Shots { count: 2, order: ShotOrder::First, ..Shots::default() }).is_err());
    }

    proptest! {
        #[test]
        fn no_question_sees_itself_or_an_example_twice(texts in proptest::collection::vec(0usize..9, 8..40), count in 1usize..4, seed in any::<u64>()) {
            let mut items: Vec<Item> = texts.iter().enumerate().map(|(i, t)| Item { gold: Some(0), ..item(i + 1, &t.to_string()) }).collect();
            let shots = Shots { count, seed, ..Shots::default() };
            if add_shots(&mut items, None, &shots).is_ok() {
                for i in &items {
                    prop_assert_eq!(i.shots.len(), count);
                    prop_assert!(i.shots.iter().all(|s| s.context != i.context));
                    let different: std::collections::BTreeSet<usize> = i.shots.iter().map(|s| s.line).collect();
                    prop_assert_eq!(different.len(), count);
                }
            }
        }
    }

    const OWN: [[usize; 2]; 4] = [[29, 8], [6, 38], [6, 7], [16, 2]];
    const APART: [[usize; 2]; 2] = [[29, 8], [1, 6]];
}
