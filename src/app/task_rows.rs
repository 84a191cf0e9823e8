//! A task's rows in three parts: to learn from, to say when to stop, to judge. The demo has them; a file of the user's is parted by a seed.

use super::{App, held_out::LEAST_SCORED, library::DomainEntry, project_file::is_demo};
use crate::{
    base::{Error, Result, rng::Rng},
    data::{
        Domain, Item,
        demo::{self, Split},
    },
    task::TaskRows,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows of each part at most; `None`: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowLimits {
    pub train: Option<usize>,
    pub validation: Option<usize>,
    pub test: Option<usize>,
}

/// Shares of a single file that judge, and that say when to stop.
const TEST: f64 = 0.25;
const VALIDATION: f64 = 0.15;

/// Where a task's rows come from; parted by the worker that learns them.
pub(super) enum RowSource {
    Demo { validation: Arc<Domain>, test: Arc<Domain> },
    File(Arc<Domain>),
}

impl App {
    /// # Errors
    /// When there is no such domain, or it is not read.
    pub(super) fn row_source(&self, name: &str) -> Result<RowSource> {
        let names = || self.project.domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
        let entry: &DomainEntry =
            self.library.domain(name).ok_or_else(|| Error::invalid(format!("there is no domain `{name}`; the domains are {}", names())))?;
        let ready = entry.state.ready().ok_or_else(|| Error::invalid(format!("{name} is not read yet, or could not be")))?;
        Ok(match &entry.test {
            Some(test) if is_demo(&entry.path) => RowSource::Demo { validation: ready.clone(), test: test.clone() },
            _ => RowSource::File(ready.clone()),
        })
    }
}

impl RowSource {
    /// # Errors
    /// When there are too few rows.
    pub fn part(&self, limits: RowLimits, seed: u64) -> Result<TaskRows> {
        let (train, validation, test, words) = match self {
            Self::Demo { validation, test } => {
                let mut train = demo::domain(&validation.name, Split::Train)?;
                if validation.prompt != train.prompt {
                    train.prompt_as(&validation.prompt, None).map_err(Error::invalid)?;
                }
                (train, (**validation).clone(), (**test).clone(), "the demo's train, validation and test splits".to_owned())
            }
            Self::File(domain) => {
                let shots = &domain.prompt.shots;
                if shots.count > 0 && shots.from.is_none() {
                    return Err(Error::invalid(format!(
                        "the prompts of {} show {} examples out of the same file, so rows that judge would be learnt with their answers; give the \
                         examples a file of their own (--shots-from), or show none",
                        domain.name, shots.count
                    )));
                }
                let [train, validation, test] = three(domain, seed)?;
                let percent = |share: f64| (100.0 * share).round();
                let words = format!(
                    "rows of one file, parted by seed {seed}: {} % judge and {} % say when to stop, and neither is learnt",
                    percent(TEST),
                    percent(VALIDATION)
                );
                (train, validation, test, words)
            }
        };
        let cut = |mut domain: Domain, most: Option<usize>| {
            domain.items.truncate(most.unwrap_or(usize::MAX));
            domain.items_sha256 = Domain::digest(&domain.items);
            Arc::new(domain)
        };
        Ok(TaskRows {
            name: train.name.clone(),
            train: cut(train, limits.train),
            validation: cut(validation, limits.validation),
            test: cut(test, limits.test),
            words,
        })
    }
}

/// Parts of a file's rows. Of two domains that read the same file no row is learnt in one and judged in the other.
fn three(domain: &Domain, seed: u64) -> Result<[Domain; 3]> {
    let n = domain.items.len();
    if n < 3 * LEAST_SCORED {
        return Err(Error::invalid(format!(
            "{} has {n} items; {LEAST_SCORED} are needed to judge, {LEAST_SCORED} to say when to stop and {LEAST_SCORED} to learn from",
            domain.name
        )));
    }
    let share = |s: f64| ((s * n as f64).round() as usize).max(LEAST_SCORED);
    let (n_test, n_validation) = (share(TEST), share(VALIDATION));
    let mut order: Vec<usize> = (0..n).collect();
    Rng::stream(seed, &format!("parts of {}", domain.sha256)).shuffle(&mut order);
    let part = |indices: &[usize], split: &str| {
        let items: Vec<Item> = indices.iter().map(|&i| domain.items[i].clone()).collect();
        Domain { split: split.into(), items_sha256: Domain::digest(&items), items, ..domain.clone() }
    };
    let (test, rest) = order.split_at(n_test);
    let (validation, train) = rest.split_at(n_validation);
    Ok([part(train, "train"), part(validation, "validation"), part(test, "test")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::sample_domain;
    use std::collections::BTreeSet;

    #[test]
    fn parts_of_a_file_share_no_row_and_are_the_same_for_the_same_file() {
        let (a, b) = (sample_domain("a", "all", 40), sample_domain("b", "all", 40));
        let parts = three(&a, 3).expect("enough");
        let lines = |d: &Domain| d.items.iter().map(|i| i.line).collect::<BTreeSet<usize>>();
        // A quarter judges; 15 % are 6, but 8 are the least that say anything.
        assert_eq!(parts.each_ref().map(|p| p.items.len()), [22, 8, 10]);
        let all: BTreeSet<usize> = parts.iter().flat_map(lines).collect();
        assert_eq!(all.len(), 40);
        // The sample domains have one hash: as if they read one file.
        let other = three(&b, 3).expect("enough");
        assert_eq!(parts.each_ref().map(lines), other.each_ref().map(lines));
        assert_ne!(lines(&parts[2]), lines(&three(&a, 4).expect("enough")[2]));
        assert!(three(&sample_domain("a", "all", 23), 3).is_err());
    }

    #[test]
    fn the_demo_has_its_own_parts() {
        let of = |split| Arc::new(demo::domain("logic", split).expect("demo"));
        let source = RowSource::Demo { validation: of(Split::Validation), test: of(Split::Test) };
        let rows = source.part(RowLimits { train: Some(50), validation: None, test: Some(7) }, 0).expect("parts");
        assert_eq!([&rows.train, &rows.validation, &rows.test].map(|d| d.items.len()), [50, 240, 7]);
        assert_eq!(rows.name, "logic");
        let text = |d: &Domain| d.items.iter().map(|i| i.context.clone()).collect::<BTreeSet<_>>();
        assert!(text(&rows.train).is_disjoint(&text(&rows.test)) && text(&rows.train).is_disjoint(&text(&rows.validation)));
    }
}
