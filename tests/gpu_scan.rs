//! The scan's kernels on a graphics adapter against their processor twins, on odd shapes. Runs on whatever `brodmann devices` lists first; without a
//! card that is the software adapter (package mesa-vulkan-drivers).
//!
//! Tolerances: counts exact but for means within 1e-6 relative of gamma (or of a bin's edge), sums 1e-4 relative, cosines 1e-5.

use brodmann::{
    base::{Ctx, Error, Result, job::silently, rng::Rng},
    compute::{
        Backend, HISTOGRAM_BINS, Mat, SampleSpan, ScanDevice, ScanJob, ScanSums,
        cpu::CpuBackend,
        scan_job::histogram_edge,
        wgpu::{Budget, GpuScan, TileShape, find},
    },
    model::{Decoder, load_model},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, ScanOutput, sample_similarity_prepared, scan_prepared},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn open(tile: Option<TileShape>, budget: Option<Budget>) -> GpuScan {
    let entry = find(None).expect("a graphics adapter; on a machine without one, install mesa-vulkan-drivers");
    let card = GpuScan::open_entry(entry, tile, budget).expect("the adapter opens");
    println!("on {}", card.name());
    card
}

struct Case {
    out: usize,
    inp: usize,
    w: Vec<f32>,
    x: Vec<f32>,
    delta: Vec<f32>,
    samples: Vec<SampleSpan>,
    n_domains: usize,
    pairs: Vec<(usize, usize)>,
}

const GAMMA: f32 = 1e-4;

impl Case {
    /// Samples of the given lengths, dealt to the domains in turn so that the domains interleave.
    fn new(seed: u64, (out, inp): (usize, usize), lengths: &[usize], n_domains: usize, pairs: &[(usize, usize)]) -> Self {
        let mut rng = Rng::new(seed);
        let tokens: usize = lengths.iter().sum();
        let mut random = |n: usize, scale: f64| -> Vec<f32> { (0..n).map(|_| (rng.normal() * scale) as f32).collect() };
        let (w, x, delta) = (random(out * inp, 0.05), random(tokens * inp, 1.0), random(tokens * out, 1e-3));
        let mut start = 0;
        let samples = lengths
            .iter()
            .enumerate()
            .map(|(i, len)| {
                start += len;
                SampleSpan { start: start - len, end: start, domain: i % n_domains }
            })
            .collect();
        Self { out, inp, w, x, delta, samples, n_domains, pairs: pairs.to_vec() }
    }
    fn job(&self, want_means: bool) -> ScanJob<'_> {
        let tokens = self.samples.last().map_or(0, |s| s.end);
        ScanJob {
            w: Mat::new(&self.w, self.out, self.inp),
            x: Mat::new(&self.x, tokens, self.inp),
            delta: Mat::new(&self.delta, tokens, self.out),
            samples: &self.samples,
            n_domains: self.n_domains,
            pairs: &self.pairs,
            gamma: GAMMA,
            want_means,
        }
    }
    fn on_cpu(&self, want_means: bool) -> ScanSums {
        let job = self.job(want_means);
        let mut sums = ScanSums::zeros(&job);
        CpuBackend::new(None).scan(&job, &mut sums);
        sums
    }
    fn on(&self, card: &GpuScan, want_means: bool) -> ScanSums {
        card.scan(&[self.job(want_means)], &|| Ok(())).expect("scan").remove(0)
    }
    /// The domain's mean of `A`, in f64.
    fn mean(&self, domain: usize) -> Vec<f64> {
        let members: Vec<&SampleSpan> = self.samples.iter().filter(|s| s.domain == domain).collect();
        let mut mean = vec![0.0; self.out * self.inp];
        for s in &members {
            let mut g = vec![0.0f64; self.out * self.inp];
            for t in s.start..s.end {
                for (o, row) in g.chunks_mut(self.inp).enumerate() {
                    let d = f64::from(self.delta[t * self.out + o]);
                    row.iter_mut().zip(&self.x[t * self.inp..]).for_each(|(g, x)| *g += d * f64::from(*x));
                }
            }
            for ((m, g), w) in mean.iter_mut().zip(&g).zip(&self.w) {
                *m += (g * f64::from(*w)).abs() / members.len() as f64;
            }
        }
        mean
    }
    /// The card's sums against the processor's.
    fn compare(&self, card: &GpuScan, want_means: bool) {
        let (got, want) = (self.on(card, want_means), self.on_cpu(want_means));
        let name = format!("{} x {} on {}", self.out, self.inp, card.name());
        let near =
            |what: &str, got: f64, want: f64| assert!((got - want).abs() <= 1e-4 * want, "{name}, {what}: {got:e}, the CPU has {want:e}");
        for (s, (g, w)) in got.square_norms.iter().zip(&want.square_norms).enumerate() {
            near(&format!("square norm of sample {s}"), *g, *w);
        }
        assert_eq!((got.pair_dots.len(), got.square_norms.len()), (want.pair_dots.len(), want.square_norms.len()));
        let cosine = |s: &ScanSums, p: usize| {
            let (a, b) = self.pairs[p];
            let norms = (s.square_norms[a] * s.square_norms[b]).sqrt();
            if norms == 0.0 { 0.0 } else { s.pair_dots[p] / norms }
        };
        for p in 0..self.pairs.len() {
            let (g, w) = (cosine(&got, p), cosine(&want, p));
            assert!((g - w).abs() <= 1e-5, "{name}: cosine of pair {:?} is {g}, the CPU has {w}", self.pairs[p]);
        }
        assert_eq!(got.counts.len(), want.counts.len());
        for d in 0..want.counts.len() {
            let mean = self.mean(d);
            // Below gamma the error is that of terms that cancel, which does not shrink with their sum.
            let on_edge = |edge: f64| mean.iter().filter(|v| (**v - edge).abs() <= 1e-6 * edge.max(f64::from(GAMMA))).count() as i64;
            let off = |a: u64, b: u64| (a as i64 - b as i64).abs();
            assert!(off(got.counts[d], want.counts[d]) <= on_edge(f64::from(GAMMA)), "{name}: {} and {}", got.counts[d], want.counts[d]);
            assert_eq!(got.histograms[d].iter().sum::<u64>(), self.w.len() as u64, "{name}");
            for i in 0..HISTOGRAM_BINS {
                let (lower, upper) = (f64::from(histogram_edge(i)), f64::from(histogram_edge(i + 1)));
                let slack = on_edge(lower) + on_edge(upper);
                assert!(off(got.histograms[d][i], want.histograms[d][i]) <= slack, "{name}: bin {i} of domain {d}");
            }
            for (what, got, want) in [("row", &got.row_sums[d], &want.row_sums[d]), ("column", &got.col_sums[d], &want.col_sums[d])] {
                assert_eq!(got.len(), want.len());
                for (i, (g, w)) in got.iter().zip(want).enumerate() {
                    near(&format!("{what} {i} of domain {d}"), f64::from(*g), f64::from(*w));
                }
            }
        }
    }
}

/// Odd in every way: single entries, edges of tiles, samples without tokens, one long sample, more domains than samples of some.
fn odd_cases() -> Vec<Case> {
    let pairs = [(0, 2), (1, 3), (0, 1), (2, 2), (4, 1), (0, 2)];
    vec![
        Case::new(1, (1, 1), &[1, 1, 1, 1, 1], 2, &pairs),
        Case::new(2, (3, 17), &[3, 1, 17, 2, 65], 2, &pairs),
        Case::new(3, (65, 7), &[8, 0, 5, 40, 1], 3, &pairs),
        Case::new(4, (131, 193), &[12, 9, 31, 0, 8], 2, &pairs),
        Case::new(5, (40, 200), &[600, 3, 128, 1, 2], 5, &pairs),
        Case::new(6, (128, 64), &[16, 32, 48], 1, &[]),
        Case::new(7, (300, 261), &[7; 30], 4, &[(3, 29), (29, 3), (11, 12)]),
    ]
}

#[test]
fn kernels_agree_with_the_processor_on_odd_shapes() {
    let card = open(None, None);
    for case in odd_cases() {
        for want_means in [true, false] {
            case.compare(&card, want_means);
        }
    }
}

#[test]
fn every_shape_of_tile_gives_the_same() {
    for (rows, cols) in [(4, 1), (8, 1), (4, 2), (8, 2)] {
        for held in [true, false] {
            let card = open(Some(TileShape { rows, cols, held }), None);
            for case in &odd_cases()[3..5] {
                case.compare(&card, true);
            }
        }
    }
}

/// So little memory that operands travel in pieces, the matrix is cut into regions and pairs into passes.
#[test]
fn a_card_with_little_memory_gives_the_same() {
    let pairs: Vec<(usize, usize)> = (0..90).flat_map(|i| [(i, (i + 1) % 90), (i, (i * 7 + 5) % 90), (i, i)]).collect();
    let lengths: Vec<usize> = (0..90).map(|i| i % 9).collect();
    let case = Case::new(8, (333, 270), &lengths, 3, &pairs);
    for (operand, scratch) in [(1 << 30, 40 * 16_384), (40_000, 1 << 26), (24_000, 12 * 16_384)] {
        let card = open(Some(TileShape::SMALL), Some(Budget { operand, scratch }));
        case.compare(&card, true);
    }
    let long = Case::new(9, (70, 80), &[200], 1, &[]);
    let card = open(Some(TileShape::SMALL), Some(Budget { operand: 40_000, scratch: 1 << 20 }));
    let message = card.scan(&[long.job(true)], &|| Ok(())).expect_err("200 tokens are too many").to_string();
    assert!(message.contains("200 tokens") && message.contains("--device cpu"), "{message}");
    assert!(!card.is_lost());
}

/// The Gram matrix of all samples.
#[test]
fn all_pairs_of_samples() {
    let n = 37;
    let pairs: Vec<(usize, usize)> = (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).collect();
    let lengths: Vec<usize> = (0..n).map(|i| 1 + i % 5).collect();
    let case = Case::new(10, (70, 90), &lengths, 1, &pairs);
    let card = open(None, None);
    case.compare(&card, false);
    let sums = case.on(&card, false);
    for (p, &(a, b)) in pairs.iter().enumerate() {
        assert_eq!(sums.pair_dots[p], sums.pair_dots[b * n + a], "symmetric");
    }
}

#[test]
fn a_scan_repeats_to_the_bit() {
    let case = &odd_cases()[6];
    let card = open(None, None);
    let first = case.on(&card, true);
    for _ in 0..3 {
        assert_eq!(case.on(&card, true), first);
    }
    assert_eq!(case.on(&open(None, None), true), first);
}

#[test]
fn tokens_without_a_gradient_and_empty_domains() {
    let mut case = Case::new(11, (50, 70), &[6, 9, 4], 1, &[(0, 1), (1, 2)]);
    let live = [5, 7, 14];
    (0..19).filter(|t| !live.contains(t)).for_each(|t| case.delta[t * 50..(t + 1) * 50].fill(0.0));
    case.n_domains = 3;
    let card = open(None, None);
    case.compare(&card, true);
    let sums = case.on(&card, true);
    assert_eq!((sums.square_norms[2], sums.counts[1], sums.histograms[1][0]), (0.0, 0, 3500));
    let none = Case::new(12, (10, 20), &[], 1, &[]);
    let sums = none.on(&card, true);
    assert_eq!((sums.counts[0], sums.histograms[0][0]), (0, 200));
}

/// Jobs in a row that read the same input send it once; one that only looks the same is sent anew.
#[test]
fn several_matrices_at_once() {
    let card = open(None, None);
    let a = Case::new(13, (30, 44), &[5, 6, 7], 2, &[(0, 1)]);
    let mut b = Case::new(14, (52, 44), &[5, 6, 7], 2, &[(0, 1)]);
    b.delta[..6 * 52].fill(0.0);
    let other = Case::new(15, (30, 44), &[5, 6, 7], 2, &[(0, 1)]);
    let mut jobs = vec![a.job(true), b.job(true), a.job(true), other.job(true)];
    jobs[1].x = jobs[0].x;
    let together = card.scan(&jobs, &|| Ok(())).expect("scan");
    for (job, sums) in jobs.iter().zip(&together) {
        let alone = card.scan(std::slice::from_ref(job), &|| Ok(())).expect("scan");
        assert_eq!(&alone[0], sums);
    }
    assert_ne!(together[0], together[3]);
}

#[test]
fn a_broken_gradient_shows_in_the_norm() {
    let mut case = Case::new(16, (33, 20), &[4, 6], 1, &[(0, 1)]);
    case.delta[40] = f32::NAN;
    let sums = case.on(&open(None, None), false);
    assert!(sums.square_norms[0].is_nan() && sums.pair_dots[0].is_nan() && sums.square_norms[1].is_finite());
}

#[test]
fn a_cancel_ends_the_scan_and_leaves_the_card_usable() {
    let card = open(None, None);
    let case = &odd_cases()[6];
    let whole = case.on(&card, true);
    // How often it asks depends on how fast it is.
    let asked = AtomicUsize::new(0);
    let count = || -> Result<()> {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    card.scan(&[case.job(true)], &count).expect("scan");
    let times = asked.into_inner();
    assert!(times > 3, "asked {times} times");
    // The first half of them: a later one may come less often next time.
    for stop_at in [1, times / 4 + 1, times / 2] {
        let asked = AtomicUsize::new(0);
        let check = || -> Result<()> { if asked.fetch_add(1, Ordering::Relaxed) + 1 >= stop_at { Err(Error::Cancelled) } else { Ok(()) } };
        let stopped = card.scan(&[case.job(true)], &check).expect_err("cancelled");
        assert!(stopped.is_cancelled() && !card.is_lost(), "{stopped}");
        assert_eq!(case.on(&card, true), whole);
    }
}

fn tiny() -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    let model = silently(|ctx| load_model(&folder, ctx)).expect("model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)))
}

/// Token sequences of uneven length, two domains.
fn uneven(vocab: usize, objective: ObjectiveKind) -> Vec<PreparedDomain> {
    let sequence = |seed: usize, n: usize| (0..n).map(|i| ((seed * 7919 + i * 104_729 + i * i * 31) % vocab) as u32).collect::<Vec<u32>>();
    let make = |name: &str, lengths: &[usize]| {
        PreparedDomain::from_tokens(name, lengths.iter().enumerate().map(|(i, &n)| sequence(i + name.len(), n)).collect(), objective, 5)
    };
    vec![make("a", &[9, 31, 2, 17, 40]), make("bb", &[23, 5, 64])]
}

fn run(decoder: &Decoder, domains: &[PreparedDomain], config: &ScanConfig, limits: Limits) -> Result<ScanOutput> {
    silently(|ctx| scan_prepared(decoder, domains, config, limits, ctx))
}

/// What must not depend on how the work was cut.
fn numbers(mut run: ScanOutput) -> ScanOutput {
    run.timing = Default::default();
    run.provenance = Default::default();
    run
}

/// A whole run: the processor's forward and backward, the card's scan one layer behind.
#[test]
fn a_run_with_a_card_agrees_with_one_without() {
    let cpu = tiny();
    let name = open(None, None).name();
    let with_card = cpu.clone().with_scan_device(Some(Arc::new(open(None, None))));
    for objective in [ObjectiveKind::MaxLogit, ObjectiveKind::Loss] {
        let config = ScanConfig { objective, gamma: 1e-5, ..ScanConfig::default() };
        let domains = uneven(cpu.model.spec.vocab, objective);
        let whole = Limits { memory_bytes: 1 << 30, batch_tokens: 4096 };
        let want = run(&cpu, &domains, &config, whole).expect("scan");
        let got = run(&with_card, &domains, &config, whole).expect("scan");
        let place = &got.provenance.device;
        assert!(place.contains(&name) && place.contains(&want.provenance.device), "{place}");
        for (g, w) in got.domains.iter().zip(&want.domains) {
            // Of 12,544 weights a layer, at most this many lie within rounding of gamma, or of some edge.
            for (a, b) in g.activated_count.iter().zip(&w.activated_count) {
                assert!(*b > 0 && a.abs_diff(*b) <= 2, "{}: {a} and {b}", g.name);
            }
            for (a, b) in g.histogram.iter().zip(&w.histogram) {
                assert_eq!(a.iter().sum::<u64>(), b.iter().sum::<u64>());
                assert!(a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).sum::<u64>() <= 20);
            }
            let grids = g.param_activation.as_ref().zip(w.param_activation.as_ref()).expect("maps");
            for (a, b) in grids.0.values().iter().zip(grids.1.values()) {
                assert!((a - b).abs() <= 1e-4 * b, "{}: {a} and {b}", g.name);
            }
            // The processor's part, bit for bit.
            assert_eq!((&g.relevance, &g.mean_activation, g.mean_objective), (&w.relevance, &w.mean_activation, w.mean_objective));
        }
        assert_eq!(got.llmdcos.len(), 3);
        for (g, w) in got.llmdcos.iter().zip(&want.llmdcos) {
            for (a, b) in g.cosines.iter().flatten().zip(w.cosines.iter().flatten()) {
                let (a, b) = a.zip(*b).expect("a cosine");
                assert!((a - b).abs() <= 1e-5, "{} {}: {a} and {b}", g.a, g.b);
            }
        }
        // However the processor cuts its work, and however often it is repeated: the same bits.
        let expected = numbers(got);
        for batch_tokens in [1, 50, 4096] {
            let mut memory_bytes = 4 << 20;
            let mut runs = 0;
            while let Ok(found) = run(&with_card, &domains, &config, Limits { memory_bytes, batch_tokens }) {
                assert_eq!(numbers(found), expected, "micro-batches of {batch_tokens} tokens within {memory_bytes} bytes");
                memory_bytes = memory_bytes / 4 * 3;
                runs += 1;
            }
            assert!(runs > 4, "{runs} runs, refused at {memory_bytes} bytes");
        }
    }
}

/// All pairs of samples, a layer behind the processor like a scan.
#[test]
fn samples_compared_with_a_card_are_as_alike_as_without() {
    let cpu = tiny();
    let with_card = cpu.clone().with_scan_device(Some(Arc::new(open(None, None))));
    let domains: Vec<PreparedDomain> =
        [3, 8].map(|seed| uneven(cpu.model.spec.vocab - seed, ObjectiveKind::Loss)).into_iter().flatten().collect();
    let domains: Vec<PreparedDomain> =
        domains.into_iter().enumerate().map(|(i, d)| PreparedDomain { name: format!("{}{i}", d.name), ..d }).collect();
    let config = ScanConfig { objective: ObjectiveKind::Loss, ..ScanConfig::default() };
    let compare = |decoder: &Decoder, limits| {
        silently(|ctx| sample_similarity_prepared(decoder, &domains, &config, &[1], limits, ctx)).expect("all pairs")
    };
    let want = compare(&cpu, Limits::default());
    let got = compare(&with_card, Limits::default());
    assert!(want.n() == 16 && got.provenance.device != want.provenance.device);
    for (a, b) in got.layers[&1].values().iter().zip(want.layers[&1].values()) {
        assert!((a - b).abs() <= 1e-5, "{a} and {b}");
    }
    let cut = compare(&with_card, Limits { memory_bytes: 1 << 28, batch_tokens: 40 });
    assert_eq!(cut.layers, got.layers, "however the processor cuts its work");
}

#[test]
fn cancelling_a_run_with_a_card_ends_it() {
    let decoder = tiny().with_scan_device(Some(Arc::new(open(None, None))));
    let domains = uneven(decoder.model.spec.vocab, ObjectiveKind::Loss);
    let config = ScanConfig { objective: ObjectiveKind::Loss, metrics: vec![MetricKind::ParamActivation], ..ScanConfig::default() };
    for after in [1, 4, 7, 12] {
        let (cancel, reports) = (brodmann::base::CancelToken::default(), AtomicUsize::new(0));
        let report = |_| {
            if reports.fetch_add(1, Ordering::Relaxed) + 1 == after {
                cancel.cancel();
            }
        };
        let ended =
            scan_prepared(&decoder, &domains, &config, Limits { memory_bytes: 1 << 30, batch_tokens: 40 }, &Ctx::new(&cancel, &report));
        assert!(ended.expect_err("cancelled").is_cancelled());
    }
    run(&decoder, &domains, &config, Limits::default()).expect("the card still works");
}
