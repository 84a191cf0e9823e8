//! What the numbers of a project are, so that they can be recomputed elsewhere and compared: digests of the shown run and of the evaluation in force.
//! Digests are of the numbers alone, never of times, places or names of machines.

use super::App;
use crate::{
    base::hash::sha256_bytes,
    compute::cpu::{Isa, Products},
    eval::DomainScore,
    scan::{ScanConfig, ScanOutput},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of one array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Print {
    /// SHA-256 over the little-endian f64 of the values, in order.
    pub sha256: String,
    pub n: usize,
    /// Of the values: for a look at how far another machine's are off, whose last bits may differ.
    pub sum: f64,
    pub sum_of_squares: f64,
    pub largest: f64,
}

impl Print {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut bytes = Vec::new();
        let (mut n, mut sum, mut squares, mut largest) = (0, 0.0, 0.0, 0.0f64);
        for v in values {
            // One digest for every NaN.
            let v = if v.is_nan() { f64::NAN } else { v };
            bytes.extend(v.to_le_bytes());
            n += 1;
            if v.is_finite() {
                sum += v;
                squares += v * v;
                largest = largest.max(v.abs());
            }
        }
        Self { sha256: sha256_bytes(&bytes), n, sum, sum_of_squares: squares, largest }
    }

    /// How far the values can be told to be apart: the largest relative difference of norm and largest value, and of the sums against the norm.
    pub fn distance(&self, other: &Self) -> f64 {
        self.distance_beyond(other, 0.0)
    }

    /// As [`Print::distance`] of counts: a value at a bin's edge falls to one side or the other by its last bit, so the largest count may be off by
    /// [`AT_EDGES`], which is much of a small one.
    pub fn distance_of_counts(&self, other: &Self) -> f64 {
        self.distance_beyond(other, AT_EDGES)
    }

    fn distance_beyond(&self, other: &Self, slack: f64) -> f64 {
        if self.n != other.n {
            return f64::INFINITY;
        }
        let relative = |a: f64, b: f64| {
            let size = a.abs().max(b.abs());
            if size > 0.0 { (a - b).abs() / size } else { 0.0 }
        };
        let (a, b) = (self.sum_of_squares.sqrt(), other.sum_of_squares.sqrt());
        // Sums of values of both signs cancel; their size is judged by that of the values.
        let scale = a.max(b) * (self.n.max(1) as f64).sqrt();
        let sums = if scale > 0.0 { (self.sum - other.sum).abs() / scale } else { 0.0 };
        let largest = if (self.largest - other.largest).abs() <= slack { 0.0 } else { relative(self.largest, other.largest) };
        relative(a, b).max(largest).max(sums)
    }
}

/// Counts that values at a bin's two edges make.
const AT_EDGES: f64 = 2.0;

/// Another instruction set adds in another order; what is left of a sum over a hundred layers stays below this, far below any effect.
pub const TOLERANCE: f64 = 2e-3;

/// What a project's numbers were when it was saved, and what made them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    pub model_sha256: String,
    /// What the processor's arithmetic was: the same gives the same bits. Of the scores; a run may be older, and say its own.
    pub arithmetic: String,
    /// Of the shown run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanResults>,
    /// Of the accuracies in force, once all are measured. By `before/domain`, `after/domain`, `control 0/domain`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Print>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanResults {
    pub config: ScanConfig,
    /// Scanned, in order.
    pub domains: Vec<String>,
    /// Where it ran.
    pub device: String,
    /// What it was computed in, as its provenance has it; empty in projects from before there was a choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtype: String,
    /// By `metric/domain`.
    pub prints: BTreeMap<String, Print>,
}

impl Results {
    pub fn is_empty(&self) -> bool {
        self.scan.is_none() && self.scores.is_empty()
    }
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub what: String,
    pub verdict: Verdict,
    /// See [`Print::distance`]; absent where one side is missing.
    pub distance: Option<f64>,
    pub stored: Option<String>,
    pub found: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To the last bit.
    Identical,
    /// Computed by other arithmetic, and within [`TOLERANCE`].
    Close,
    Different,
    /// Stored, but not recomputed.
    Missing,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Close => "close",
            Self::Different => "different",
            Self::Missing => "missing",
        }
    }
}

/// Every number that was stored against what was found.
pub fn compare(stored: &Results, found: &Results) -> Vec<Compared> {
    let others = stored.arithmetic != found.arithmetic;
    let products = |s: &ScanResults| (!s.dtype.is_empty()).then(|| Products::named_in(&s.dtype));
    let elsewhere = |(a, b): (&ScanResults, &ScanResults)| {
        let in_other = products(a).zip(products(b)).is_some_and(|(a, b)| a != b);
        in_other || kind_of(&a.device) != kind_of(&b.device)
    };
    let elsewhere = stored.scan.as_ref().zip(found.scan.as_ref()).is_some_and(elsewhere);
    let line = |what: String, a: &Print, b: Option<&Print>, other: bool| {
        let counts = ["histogram/", "activated_count/"].iter().any(|kind| what.starts_with(kind));
        let distance = b.map(|b| if counts { a.distance_of_counts(b) } else { a.distance(b) });
        let verdict = match b {
            None => Verdict::Missing,
            Some(b) if a.sha256 == b.sha256 => Verdict::Identical,
            Some(_) if other && distance.is_some_and(|d| d <= TOLERANCE) => Verdict::Close,
            Some(_) => Verdict::Different,
        };
        Compared { what, verdict, distance, stored: Some(a.sha256.clone()), found: b.map(|b| b.sha256.clone()) }
    };
    let mut lines = Vec::new();
    if let Some(scan) = &stored.scan {
        for (name, print) in &scan.prints {
            let there = found.scan.as_ref().and_then(|s| s.prints.get(name));
            lines.push(line(name.clone(), print, there, others || elsewhere));
        }
    }
    for (name, print) in &stored.scores {
        lines.push(line(format!("scores {name}"), print, found.scores.get(name), others));
    }
    lines
}

/// As before there were other products where none are made.
fn arithmetic(products: Products) -> String {
    let plain = format!("{} {}", std::env::consts::ARCH, Isa::best().key());
    match products.bits() {
        None => plain,
        Some(bits) => format!("{plain} {bits}"),
    }
}

/// `cpu (AVX-512` of `cpu (AVX-512, 2 threads)`: the number of threads changes no bit.
fn kind_of(device: &str) -> &str {
    device.split(',').next().unwrap_or(device)
}

pub fn scan_results(output: &ScanOutput) -> ScanResults {
    let mut prints = BTreeMap::new();
    for d in &output.domains {
        let mut add = |metric: &str, values: Vec<f64>| {
            if !values.is_empty() {
                prints.insert(format!("{metric}/{}", d.name), Print::of(values));
            }
        };
        add("density", d.density.clone());
        add("activated_count", d.activated_count.iter().map(|&c| c as f64).collect());
        add("histogram", d.histogram.iter().flatten().map(|&c| c as f64).collect());
        add("objective", vec![d.mean_objective]);
        add("sample_lines", d.source.sample_lines.iter().map(|&l| l as f64).collect());
        let maps = [
            ("param_activation", &d.param_activation),
            ("relevance", &d.relevance),
            ("head_relevance", &d.head_relevance),
            ("mean_activation", &d.mean_activation),
            ("mean_abs_activation", &d.mean_abs_activation),
        ];
        for (metric, grid) in maps {
            if let Some(grid) = grid {
                add(metric, grid.values().iter().map(|&v| f64::from(v)).collect());
            }
        }
    }
    for p in &output.llmdcos {
        let values = p.cosines.iter().flatten().map(|c| c.map_or(f64::NAN, f64::from));
        // The same pair whichever comes first.
        let (a, b) = if p.a <= p.b { (&p.a, &p.b) } else { (&p.b, &p.a) };
        prints.insert(format!("llmdcos/{a}|{b}"), Print::of(values));
    }
    ScanResults {
        config: output.config.clone(),
        domains: output.domains.iter().map(|d| d.name.clone()).collect(),
        device: output.provenance.device.clone(),
        dtype: output.provenance.dtype.clone(),
        prints,
    }
}

/// Which item was scored, what it scored, whether it was right.
fn score_print(score: &DomainScore) -> Print {
    let mut items: Vec<_> = score.items.iter().collect();
    items.sort_by_key(|i| i.line);
    Print::of(items.into_iter().flat_map(|i| {
        let flags = [i.line as f64, f64::from(u8::from(i.correct)), f64::from(u8::from(i.correct_norm)), i.nll, i.n_tokens as f64];
        flags.into_iter().chain(i.log_likelihoods.iter().copied())
    }))
}

impl App {
    /// The numbers that the project has now. Only what the open model made counts; an evaluation only when it is complete.
    pub fn results(&self) -> Results {
        let sha256 = self.base_info().map_or_else(String::new, |m| m.sha256.clone());
        if sha256.is_empty() {
            return Results::default();
        }
        // A project names its base: what a tuned child scores could not be made again from it.
        let scores = if self.tuned.as_ref().is_some_and(|t| t.on) { BTreeMap::new() } else { self.score_prints() };
        let scan = self.library.run().filter(|r| r.output.provenance.model_sha256 == sha256 && self.has_all(&r.output));
        Results { arithmetic: arithmetic(self.products()), scan: scan.map(|r| scan_results(&r.output)), scores, model_sha256: sha256 }
    }

    /// The project names every domain of the run, with the data it was made of: it can be made again.
    fn has_all(&self, output: &ScanOutput) -> bool {
        let known = |d: &crate::scan::DomainScan| {
            let data = self.library.domain(&d.name).and_then(|e| e.state.ready());
            data.is_none_or(|data| d.source.sha256.is_empty() || data.sha256 == d.source.sha256) && self.project.domain(&d.name).is_some()
        };
        output.domains.iter().all(known)
    }

    fn score_prints(&self) -> BTreeMap<String, Print> {
        let live = &self.ablation;
        let enabled: BTreeSet<&str> = self.project.enabled().map(|d| d.name.as_str()).collect();
        let mut prints = BTreeMap::new();
        if live.running || live.failed.is_some() {
            return prints;
        }
        let mut add = |part: String, score: &DomainScore| {
            if enabled.contains(score.domain.as_str()) && live.n_total.get(&score.domain) == Some(&score.n()) && score.n() > 0 {
                prints.insert(format!("{part}/{}", score.domain), score_print(score));
            }
        };
        live.before.values().for_each(|s| add("before".into(), s));
        live.after.values().for_each(|s| add("after".into(), s));
        for controls in live.controls.values() {
            controls.iter().enumerate().for_each(|(seed, s)| add(format!("control {seed}"), s));
        }
        prints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{sample_app, sample_app_ablated, sample_output};

    #[test]
    fn the_same_numbers_have_the_same_print_and_any_other_bit_another() {
        let values = [1.0, -2.5, f64::NAN, 0.0];
        let print = Print::of(values);
        assert_eq!(print, Print::of(values));
        assert_eq!((print.n, print.sum, print.sum_of_squares, print.largest), (4, -1.5, 7.25, 2.5));
        let other = Print::of([1.0, -2.5 + 1e-12, f64::NAN, 0.0]);
        assert!(print.sha256 != other.sha256 && print.distance(&other) < 1e-11);
        assert_ne!(Print::of([1.0, 2.0]).sha256, Print::of([2.0, 1.0]).sha256);
        assert_eq!(print.distance(&Print::of([1.0])), f64::INFINITY);
        assert!(Print::of([1.0, 1.0]).distance(&Print::of([1.0, -1.0])) > 0.5, "a sign is no rounding");
        // One of 374 in the next bin, and a few.
        let counts = |moved: f64| Print::of([120.0, 374.0 - moved, 230.0 + moved, 90.0]);
        assert!(counts(0.0).distance(&counts(1.0)) > TOLERANCE && counts(0.0).distance_of_counts(&counts(1.0)) < TOLERANCE);
        assert!(counts(0.0).distance_of_counts(&counts(9.0)) > TOLERANCE);
    }

    #[test]
    fn the_time_a_scan_took_is_no_part_of_its_numbers() {
        let mut output = sample_output(4, 32, 0);
        let before = scan_results(&output);
        output.timing.seconds += 1.0;
        output.provenance.created = "another day".into();
        assert_eq!(scan_results(&output), before);
        output.domains[1].density[0] += 1e-9;
        let changed: Vec<String> =
            scan_results(&output).prints.into_iter().filter(|(k, v)| before.prints[k] != *v).map(|(k, _)| k).collect();
        assert_eq!(changed, ["density/logic"]);
    }

    #[test]
    fn a_difference_is_close_only_where_the_arithmetic_differs() {
        let dir = tempfile::tempdir().expect("folder");
        let stored = sample_app_ablated(dir.path()).results();
        assert!(stored.scan.is_some() && stored.scores.len() == 6 * 7, "{:?}", stored.scores.keys());
        assert!(compare(&stored, &stored).iter().all(|c| c.verdict == Verdict::Identical));
        let mut found = stored.clone();
        let name = "relevance/logic";
        let scan = found.scan.as_mut().expect("scan");
        let print = scan.prints.get_mut(name).expect("print");
        *print = Print { sha256: "other".into(), largest: print.largest * (1.0 + 1e-5), ..print.clone() };
        found.scores.remove("after/logic");
        let of = |found: &Results, what: &str| compare(&stored, found).into_iter().find(|c| c.what == what).expect("line").verdict;
        assert_eq!((of(&found, name), of(&found, "scores after/logic")), (Verdict::Different, Verdict::Missing));
        let mut same = found.clone();
        found.arithmetic = "another".into();
        assert_eq!(of(&found, name), Verdict::Close);
        // A run that is older than the arithmetic in force says its own.
        same.scan.as_mut().expect("scan").dtype = "bf16 weights, f32 with bf16 products arithmetic, f64 sums".into();
        assert_eq!(of(&same, name), Verdict::Close);
    }

    #[test]
    fn a_run_of_another_model_or_of_unknown_domains_is_no_result() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        assert!(app.results().scan.is_some() && app.results().scores.is_empty());
        app.project.domains.retain(|d| d.name != "code");
        assert!(app.results().scan.is_none());
    }
}
