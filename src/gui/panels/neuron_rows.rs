//! Which neurons a table lists, and in which order: filters and sorts over millions of neurons, off the interface thread where there are many.

use crate::{
    base::{Grid, Neuron, NeuronSet, number::sig3},
    scan::{MetricKind, ScanOutput},
};
use eframe::egui::Context;
use std::{
    fmt::Write as _,
    ops::RangeInclusive,
    sync::{Arc, mpsc},
};

/// Which of the neurons that pass are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Among {
    #[default]
    All,
    Selected,
    Off,
    /// Of a set, whether on or not.
    InSet,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// `L2-5`, `N17`, `L3N10-20`; empty: all.
    pub names: String,
    /// The least magnitude that one of the domains must have.
    pub above: Option<f64>,
    pub among: Among,
}

/// What a filter's words stand for.
#[derive(Clone, Debug, PartialEq)]
enum Names {
    All,
    Layers(RangeInclusive<u32>),
    Index(RangeInclusive<u32>),
    Set(NeuronSet),
}

impl Names {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_uppercase();
        let range = |t: &str| -> Option<RangeInclusive<u32>> {
            match t.split_once('-') {
                None => t.parse().ok().map(|n| n..=n),
                Some((a, b)) => Some(a.parse().ok()?..=b.trim_start_matches(['L', 'N']).parse().ok()?),
            }
        };
        if text.is_empty() {
            return Ok(Self::All);
        }
        let bad = || format!("`{text}` is no filter: write layers as L2-5, neurons as N17 or L3N10-20");
        match (text.strip_prefix('L'), text.strip_prefix('N')) {
            (Some(rest), _) if !rest.contains('N') => range(rest).map(Self::Layers).ok_or_else(bad),
            (Some(_), _) => NeuronSet::parse(&text).map(Self::Set).map_err(|e| e.to_string()),
            (_, Some(rest)) => range(rest).map(Self::Index).ok_or_else(bad),
            _ => range(&text).map(Self::Index).ok_or_else(bad),
        }
    }
    fn has(&self, n: Neuron) -> bool {
        match self {
            Self::All => true,
            Self::Layers(l) => l.contains(&n.layer),
            Self::Index(i) => i.contains(&n.index),
            Self::Set(set) => set.contains(n),
        }
    }
}

/// All that decides the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub metric: MetricKind,
    pub filter: Filter,
    /// Number of the domain's column and whether largest first; `None`: by layer and index.
    pub sort: Option<(usize, bool)>,
}

/// Why a filter cannot be read.
pub fn problem(filter: &Filter) -> Option<String> {
    Names::read(&filter.names).err()
}

/// Domains that have the metric: the columns.
pub fn columns(scan: &ScanOutput, metric: MetricKind) -> Vec<(&str, &Grid)> {
    scan.domains.iter().filter_map(|d| Some((d.name.as_str(), d.map(metric)?))).collect()
}

/// Neurons as `layer * d_mlp + index`. `among`: the set that [`Filter::among`] names, unless it is all.
fn rows(scan: &ScanOutput, wanted: &Wanted, among: Option<&NeuronSet>) -> Vec<u32> {
    let columns = columns(scan, wanted.metric);
    let Some((_, first)) = columns.first() else { return Vec::new() };
    let cols = first.cols() as u32;
    let names = Names::read(&wanted.filter.names).unwrap_or(Names::All);
    let loud = |i: usize| wanted.filter.above.is_none_or(|least| columns.iter().any(|(_, g)| f64::from(g.values()[i].abs()) >= least));
    let neuron = |i: u32| Neuron::new(i / cols.max(1), i % cols.max(1));
    let wants = |i: &u32| names.has(neuron(*i)) && loud(*i as usize);
    let mut out: Vec<u32> = match among {
        Some(set) => set.iter().map(|n| n.layer * cols + n.index).filter(|i| (*i as usize) < first.values().len()).filter(wants).collect(),
        None => (0..first.values().len() as u32).filter(wants).collect(),
    };
    if let Some((_, grid)) = wanted.sort.and_then(|(c, _)| columns.get(c)) {
        use rayon::prelude::*;
        let descending = wanted.sort.is_some_and(|s| s.1);
        let v = grid.values();
        out.par_sort_unstable_by(|&a, &b| {
            let (x, y) = (v[a as usize], v[b as usize]);
            // What is no number comes last either way.
            let by = match (x.is_finite(), y.is_finite()) {
                (true, true) if descending => y.total_cmp(&x),
                (true, true) => x.total_cmp(&y),
                (x, y) => y.cmp(&x),
            };
            by.then(a.cmp(&b))
        });
    }
    out
}

/// Rows of `range` as tab-separated text with a head.
pub fn tsv(scan: &ScanOutput, metric: MetricKind, rows: &[u32], off: &NeuronSet) -> String {
    let columns = columns(scan, metric);
    let cols = scan.d_mlp.max(1) as u32;
    let mut out = String::from("neuron\tlayer\tindex");
    columns.iter().for_each(|c| out.push_str(&format!("\t{} {}", metric.info().id, c.0)));
    out.push_str("\toff\n");
    for &i in rows {
        let n = Neuron::new(i / cols, i % cols);
        let _ = write!(out, "{n}\t{}\t{}", n.layer, n.index);
        for (_, g) in &columns {
            let v = g.values()[i as usize];
            // Shortest digits that give the same number again.
            let _ = if v.is_finite() { write!(out, "\t{v}") } else { write!(out, "\t") };
        }
        let _ = writeln!(out, "\t{}", u8::from(off.contains(n)));
    }
    out
}

/// As a cell shows it.
pub fn cell(v: f32) -> String {
    if v.is_finite() { sig3(f64::from(v)) } else { "–".to_owned() }
}

/// Rows up to this many are worked out at once.
const AT_ONCE: usize = 50_000;

type Key = (usize, Wanted, u64);

#[derive(Default)]
pub struct Rows {
    done: Option<(Key, Arc<Vec<u32>>)>,
    working: Option<(Key, mpsc::Receiver<Vec<u32>>)>,
}

impl Rows {
    /// The rows, or the last ones while these are worked out; and whether they are those that are wanted. `version` changes with `among`.
    pub fn get(
        &mut self,
        ctx: &Context,
        scan: &Arc<ScanOutput>,
        wanted: &Wanted,
        among: Option<&NeuronSet>,
        version: u64,
    ) -> (Arc<Vec<u32>>, bool) {
        let key = (Arc::as_ptr(scan) as usize, wanted.clone(), version);
        if let Some((k, receive)) = &self.working {
            match receive.try_recv() {
                Ok(rows) => {
                    self.done = Some((k.clone(), Arc::new(rows)));
                    self.working = None;
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => self.working = None,
            }
        }
        if let Some((k, rows)) = &self.done
            && *k == key
        {
            return (rows.clone(), true);
        }
        let small = among.map_or(scan.n_layers * scan.d_mlp, NeuronSet::len) <= AT_ONCE;
        if small {
            let rows = Arc::new(rows(scan, wanted, among));
            self.done = Some((key, rows.clone()));
            return (rows, true);
        }
        if self.working.is_none() {
            let (send, receive) = mpsc::channel();
            let (scan, wanted, among, ctx) = (scan.clone(), wanted.clone(), among.cloned(), ctx.clone());
            std::thread::spawn(move || {
                // The panel may be gone.
                let _ = send.send(rows(&scan, &wanted, among.as_ref()));
                ctx.request_repaint();
            });
            self.working = Some((key, receive));
        }
        // Rows of another run may not exist in this one.
        let old = self.done.as_ref().filter(|(k, _)| k.0 == Arc::as_ptr(scan) as usize);
        (old.map(|(_, rows)| rows.clone()).unwrap_or_default(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::DomainScan;

    fn scan() -> ScanOutput {
        let domain =
            |name: &str, v: &[f32]| DomainScan { name: name.into(), relevance: Grid::new(2, 3, v.to_vec()).ok(), ..DomainScan::default() };
        let domains = vec![domain("a", &[1.0, 5.0, f32::NAN, 2.0, 0.0, 4.0]), domain("b", &[0.0, 0.0, 9.0, 0.0, 0.0, 0.0])];
        ScanOutput { n_layers: 2, d_mlp: 3, domains, ..ScanOutput::default() }
    }

    fn of(names: &str, above: Option<f64>, sort: Option<(usize, bool)>) -> Vec<u32> {
        let filter = Filter { names: names.into(), above, among: Among::All };
        rows(&scan(), &Wanted { metric: MetricKind::Relevance, filter, sort }, None)
    }

    #[test]
    fn rows_are_filtered_by_name_and_value() {
        assert_eq!(of("", None, None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(of("L1", None, None), [3, 4, 5]);
        assert_eq!(of("n1-2", None, None), [1, 2, 4, 5]);
        assert_eq!(of("L0N2,L1N0", None, None), [2, 3]);
        // NaN in one domain and 9 in the other: 9 counts.
        assert_eq!(of("", Some(4.0), None), [1, 2, 5]);
        assert!(problem(&Filter { names: "layer three".into(), ..Filter::default() }).is_some_and(|m| m.contains("L3N10-20")));
    }

    #[test]
    fn rows_are_sorted_with_what_is_no_number_last() {
        assert_eq!(of("", None, Some((0, true))), [1, 5, 3, 0, 4, 2]);
        assert_eq!(of("", None, Some((0, false))), [4, 0, 3, 5, 1, 2]);
        let set = NeuronSet::parse("L0N1,L1N2,L7N0").expect("set");
        let wanted = Wanted { metric: MetricKind::Relevance, filter: Filter::default(), sort: Some((0, false)) };
        assert_eq!(rows(&scan(), &wanted, Some(&set)), [5, 1]);
    }

    #[test]
    fn a_copied_table_reads_back_to_the_bit() {
        let text = tsv(&scan(), MetricKind::Relevance, &[1, 2], &NeuronSet::parse("L0N2").expect("set"));
        assert_eq!(text, "neuron\tlayer\tindex\trelevance a\trelevance b\toff\nL0N1\t0\t1\t5\t0\t0\nL0N2\t0\t2\t\t9\t1\n");
    }
}
