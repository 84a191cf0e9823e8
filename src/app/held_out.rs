//! Rows that neurons were chosen on do not judge them: what an evaluation leaves out, and what it cannot leave out.

use super::{App, EvalConfig, library::Loading};
pub use crate::ablate::ChosenOn;
use crate::data::Domain;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What an evaluation did about the rows of a domain that should not be scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldOut {
    /// Items that are not scored.
    pub left_out: usize,
    /// Items that are scored although a set in force was chosen on them: without them too few would be left.
    pub chosen_on: usize,
}

/// Fewer items than these say nothing; then those that a set was chosen on are scored too, and it is said.
pub const LEAST_SCORED: usize = 8;

impl App {
    /// Rows that the shown run scanned of these domains.
    pub(super) fn scanned_rows(&self, domains: &[String]) -> Vec<ChosenOn> {
        let Some(scan) = self.library.scan() else { return Vec::new() };
        let of = |name: &String| {
            let source = &scan.domain(name)?.source;
            let lines: BTreeSet<usize> = source.sample_lines.iter().copied().collect();
            (!lines.is_empty()).then(|| ChosenOn { domain: name.clone(), sha256: source.sha256.clone(), lines })
        };
        domains.iter().filter_map(of).collect()
    }

    /// The enabled domains as they are scored; `None` while one is still read.
    pub(super) fn scored_domains(&self) -> Option<Vec<Arc<Domain>>> {
        let mut domains = Vec::new();
        for d in self.project.enabled() {
            match self.library.domain(&d.name) {
                Some(entry) if matches!(entry.state, Loading::Working) => return None,
                Some(entry) => domains.extend(entry.scored().cloned()),
                None => {}
            }
        }
        Some(domains)
    }

    /// The evaluation settings with the rows left out that the sets in force were chosen on.
    pub(super) fn eval_in_force(&self, domains: &[Arc<Domain>]) -> (EvalConfig, BTreeMap<String, HeldOut>) {
        let chosen: Vec<&ChosenOn> = self.project.sets.iter().filter(|s| s.on).flat_map(|s| &s.chosen_on).collect();
        hold_out(&self.project.eval, domains, &chosen)
    }
}

/// `eval` with the lines of `chosen` left out of the domains that read the same file, where enough are left.
pub(super) fn hold_out(eval: &EvalConfig, domains: &[Arc<Domain>], chosen: &[&ChosenOn]) -> (EvalConfig, BTreeMap<String, HeldOut>) {
    let mut eval = eval.clone();
    let mut report = BTreeMap::new();
    for domain in domains {
        let asked = eval.exclude.get(&domain.name).cloned().unwrap_or_default();
        let used: BTreeSet<usize> = chosen.iter().filter(|c| c.sha256 == domain.sha256).flat_map(|c| c.lines.iter().copied()).collect();
        let count = |lines: &BTreeSet<usize>| domain.items.iter().filter(|i| lines.contains(&i.line)).count();
        let both: BTreeSet<usize> = asked.union(&used).copied().collect();
        let (asked_items, all) = (count(&asked), count(&both));
        let held = if all > asked_items && domain.items.len() - all < LEAST_SCORED {
            HeldOut { left_out: asked_items, chosen_on: all - asked_items }
        } else {
            if !both.is_empty() {
                eval.exclude.insert(domain.name.clone(), both);
            }
            HeldOut { left_out: all, chosen_on: 0 }
        };
        if held != HeldOut::default() {
            report.insert(domain.name.clone(), held);
        }
    }
    (eval, report)
}

/// `1-3,7`, as `--exclude` reads it.
pub fn fold_lines(lines: &BTreeSet<usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &line in lines {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => runs.push((line, line)),
        }
    }
    let text = |&(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::sample_domain;

    fn chosen(sha256: &str, lines: std::ops::RangeInclusive<usize>) -> ChosenOn {
        ChosenOn { domain: "a".into(), sha256: sha256.into(), lines: lines.collect() }
    }

    #[test]
    fn rows_of_the_same_file_are_left_out_whatever_the_domain_is_called() {
        // All sample domains have one hash: as if they read one file of 20 rows.
        let domains = [Arc::new(sample_domain("a", "all", 20)), Arc::new(sample_domain("b", "all", 20))];
        let used = chosen(&domains[0].sha256, 1..=12);
        let (eval, held) = hold_out(&EvalConfig::default(), &domains, &[&used]);
        assert_eq!(held["a"], HeldOut { left_out: 12, chosen_on: 0 });
        assert_eq!((held["b"], &eval.exclude["b"]), (held["a"], &used.lines));
        let other = chosen("another file", 1..=12);
        let (eval, held) = hold_out(&EvalConfig::default(), &domains, &[&other]);
        assert!(held.is_empty() && eval == EvalConfig::default());
    }

    #[test]
    fn too_few_left_means_all_are_scored_and_counted() {
        let domains = [Arc::new(sample_domain("a", "all", 20))];
        let used = chosen(&domains[0].sha256, 1..=13);
        let (eval, held) = hold_out(&EvalConfig::default(), &domains, &[&used]);
        assert_eq!(held["a"], HeldOut { left_out: 0, chosen_on: 13 });
        assert!(eval.exclude.is_empty());
        // What was asked for stays left out, however little remains.
        let asked = EvalConfig { exclude: [("a".to_owned(), (1..=18).collect())].into(), ..EvalConfig::default() };
        let (eval, held) = hold_out(&asked, &domains, &[&used]);
        assert_eq!(held["a"], HeldOut { left_out: 18, chosen_on: 0 });
        assert_eq!(eval, asked);
    }

    #[test]
    fn lines_fold_into_ranges() {
        assert_eq!(fold_lines(&[1, 2, 3, 7, 9, 10].into()), "1-3,7,9-10");
        assert_eq!(fold_lines(&BTreeSet::new()), "");
    }
}
