//! What the overlap panel shows, found off the interface thread where maps are large; and its tables.

use super::worker::{Stands, Worker};
use crate::base::Grid;
use crate::{
    base::{
        number::p_value,
        overlap::{Curves, Intersection, PairTest, TopSets, upset},
    },
    gui::{
        PanelCx,
        widgets::{
            number::{count, sig3},
            table::Table,
        },
    },
    scan::MetricKind,
};

/// Top sets of all domains with what follows from them.
pub struct Found {
    pub top: TopSets,
    /// Every pair `a < b`.
    pub tests: Vec<PairTest>,
    pub upset: Vec<Intersection>,
}

impl Found {
    pub fn new(maps: &[(String, Grid)], percent: f64) -> Self {
        let top = TopSets::new(maps, percent);
        Self { tests: top.tests(), upset: upset(&top), top }
    }
    /// Of a pair, whichever way round; `None` of a domain with itself.
    pub fn test(&self, a: usize, b: usize) -> Option<&PairTest> {
        self.tests.iter().find(|t| (t.a, t.b) == (a.min(b), a.max(b)))
    }
    pub fn jaccard(&self, a: usize, b: usize) -> Option<f64> {
        self.top.jaccard[a * self.top.names.len() + b]
    }
}

#[derive(Clone, Copy, PartialEq)]
pub struct FoundKey {
    pub run: usize,
    pub metric: MetricKind,
    pub percent: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub struct CurveKey {
    pub run: usize,
    pub metric: MetricKind,
    pub pair: (usize, usize),
}

pub type FoundWorker = Worker<FoundKey, Found>;
pub type CurvesWorker = Worker<CurveKey, Curves>;

impl Stands for FoundKey {
    fn stands_for(&self, other: &Self) -> bool {
        (self.run, self.metric) == (other.run, other.metric)
    }
}

impl Stands for CurveKey {
    fn stands_for(&self, other: &Self) -> bool {
        self == other
    }
}

pub fn shown_pair(cx: &PanelCx<'_>, top: &TopSets) -> (usize, usize) {
    let place = |name: &str| top.names.iter().position(|n| n == name);
    cx.app.project.view.pair.as_ref().and_then(|(a, b)| Some((place(a)?, place(b)?))).unwrap_or((0, 1))
}

/// A number, or that there is none.
pub fn text(v: Option<f64>) -> String {
    v.map_or_else(|| "undefined".to_owned(), sig3)
}

pub fn pair_table(found: &Found) -> Table {
    let columns = ["Jaccard", "by chance", "95 % low", "95 % high", "p", "p (Holm)", "shared", "in a", "in b"];
    let mut table = Table::new(&[("a", false), ("b", false)]);
    columns.iter().for_each(|c| table.column(*c, true));
    let top = &found.top;
    for t in &found.tests {
        let chance = |pick: fn(&crate::base::overlap::Chance) -> f64| text(t.chance.as_ref().map(pick));
        let mut row = vec![top.names[t.a].clone(), top.names[t.b].clone(), text(found.jaccard(t.a, t.b))];
        row.extend([chance(|c| c.expected), chance(|c| c.low), chance(|c| c.high), p_value(t.ln_p), p_value(t.ln_p_holm)]);
        row.extend([t.shared, top.sets[t.a].len(), top.sets[t.b].len()].map(|n| count(n as u64)));
        table.row(row);
    }
    table
}
