//! The fused scan against the full-gradient computation in f64: `A(s) = |W o (delta_s^T x_s)|` formed whole, then reduced.

use brodmann::{
    base::rng::Rng,
    compute::{
        Backend, HISTOGRAM_BINS, Mat, SampleSpan, ScanJob, ScanSums,
        cpu::{CpuBackend, Isa, Products},
        scan_job::{histogram_bin, histogram_edge},
    },
};

struct Case {
    out: usize,
    inp: usize,
    w: Vec<f32>,
    x: Vec<f32>,
    delta: Vec<f32>,
    samples: Vec<SampleSpan>,
    n_domains: usize,
    pairs: Vec<(usize, usize)>,
    gamma: f32,
}

impl Case {
    /// Samples of the given lengths, dealt to the domains in turn so that the domains interleave.
    fn new(seed: u64, out: usize, inp: usize, lengths: &[usize], n_domains: usize, pairs: &[(usize, usize)]) -> Self {
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
        Self { out, inp, w, x, delta, samples, n_domains, pairs: pairs.to_vec(), gamma: 1e-4 }
    }
    fn job(&self, want_means: bool) -> ScanJob<'_> {
        let tokens = self.x.len() / self.inp;
        ScanJob {
            w: Mat::new(&self.w, self.out, self.inp),
            x: Mat::new(&self.x, tokens, self.inp),
            delta: Mat::new(&self.delta, tokens, self.out),
            samples: &self.samples,
            n_domains: self.n_domains,
            pairs: &self.pairs,
            gamma: self.gamma,
            want_means,
        }
    }
    fn scan(&self, backend: &CpuBackend, want_means: bool) -> ScanSums {
        let job = self.job(want_means);
        let mut sums = ScanSums::zeros(&job);
        backend.scan(&job, &mut sums);
        sums
    }
    /// `A(s)` whole, in f64.
    fn activation(&self, s: usize) -> Vec<f64> {
        let span = self.samples[s];
        let mut g = vec![0.0f64; self.out * self.inp];
        for t in span.start..span.end {
            for o in 0..self.out {
                let d = f64::from(self.delta[t * self.out + o]);
                for (g, x) in g[o * self.inp..(o + 1) * self.inp].iter_mut().zip(&self.x[t * self.inp..]) {
                    *g += d * f64::from(*x);
                }
            }
        }
        g.iter().zip(&self.w).map(|(g, w)| (g * f64::from(*w)).abs()).collect()
    }
    fn check(&self, got: &ScanSums, want_means: bool) {
        let a: Vec<Vec<f64>> = (0..self.samples.len()).map(|s| self.activation(s)).collect();
        let dot = |i: usize, j: usize| a[i].iter().zip(&a[j]).map(|(x, y)| x * y).sum::<f64>();
        // f32 products of up to 600 terms, then sums of positive terms: 2e-6 relative holds with room.
        let near = |what: &str, got: f64, want: f64| assert!((got - want).abs() <= 5e-6 * want, "{what}: {got:e}, expected {want:e}");
        for s in 0..a.len() {
            near("square norm", got.square_norms[s], dot(s, s));
        }
        for (p, &(i, j)) in self.pairs.iter().enumerate() {
            near("pair", got.pair_dots[p], dot(i, j));
        }
        if !want_means {
            assert!(got.counts.is_empty() && got.histograms.is_empty() && got.row_sums.is_empty() && got.col_sums.is_empty());
            return;
        }
        for d in 0..self.n_domains {
            let members: Vec<usize> = (0..a.len()).filter(|&s| self.samples[s].domain == d).collect();
            let mean: Vec<f64> =
                (0..self.w.len()).map(|i| members.iter().map(|&s| a[s][i]).sum::<f64>() / members.len().max(1) as f64).collect();
            // Entries so close to a border that f32 may put them on either side: products of 5e-5 cancel down to 1e-10 at worst.
            let on_edge = |border: f64| mean.iter().filter(|v| (**v - border).abs() <= 1e-5 * border + 1e-10).count() as i64;
            let gamma = f64::from(self.gamma);
            let count = mean.iter().filter(|v| **v > gamma).count() as i64;
            assert!((got.counts[d] as i64 - count).abs() <= on_edge(gamma), "domain {d}: {} above gamma, expected {count}", got.counts[d]);
            assert_eq!(got.histograms[d].iter().sum::<u64>(), self.w.len() as u64);
            let mut histogram = vec![0i64; HISTOGRAM_BINS];
            mean.iter().for_each(|v| histogram[histogram_bin(*v as f32)] += 1);
            for (i, (h, want)) in got.histograms[d].iter().zip(&histogram).enumerate() {
                let slack = on_edge(f64::from(histogram_edge(i))) + on_edge(f64::from(histogram_edge(i + 1)));
                assert!((*h as i64 - want).abs() <= slack, "domain {d} bin {i}: {h}, expected {want}");
            }
            for o in 0..self.out {
                near("row", f64::from(got.row_sums[d][o]), mean[o * self.inp..(o + 1) * self.inp].iter().sum());
            }
            for i in 0..self.inp {
                near("column", f64::from(got.col_sums[d][i]), (0..self.out).map(|o| mean[o * self.inp + i]).sum());
            }
        }
    }
}

fn backends() -> Vec<CpuBackend> {
    Isa::available().into_iter().flat_map(|isa| [Some(1), Some(2)].map(|t| CpuBackend::with_isa(t, isa))).collect()
}

#[test]
fn sums_agree_with_whole_gradients() {
    let within_across_and_self = [(0, 2), (1, 3), (0, 1), (2, 2), (4, 1), (0, 2)];
    for (seed, out, inp, lengths, domains) in [
        (1, 1, 1, vec![1, 1, 1, 1, 1], 2),
        (2, 3, 17, vec![3, 1, 17, 2, 65], 2),
        (3, 65, 7, vec![8, 0, 5, 40, 1], 3),
        (4, 131, 193, vec![12, 9, 31, 0, 8], 2),
        (5, 40, 200, vec![600, 3, 128, 1, 2], 5),
    ] {
        let case = Case::new(seed, out, inp, &lengths, domains, &within_across_and_self);
        for backend in backends() {
            for means in [true, false] {
                case.check(&case.scan(&backend, means), means);
            }
        }
    }
}

#[test]
fn without_pairs_nothing_is_multiplied() {
    let case = Case::new(6, 97, 130, &[5, 6, 7], 1, &[]);
    for backend in backends() {
        let sums = case.scan(&backend, true);
        case.check(&sums, true);
        assert!(sums.pair_dots.is_empty());
    }
}

#[test]
fn a_sample_without_tokens_counts_as_zero() {
    let case = Case::new(7, 10, 20, &[0, 4], 1, &[(0, 1), (0, 0)]);
    let sums = case.scan(&CpuBackend::new(None), true);
    case.check(&sums, true);
    assert_eq!((sums.square_norms[0], sums.pair_dots[0], sums.pair_dots[1]), (0.0, 0.0, 0.0));
}

/// Tokens without a gradient are left out of the sums; here all but one, as in a last layer, and all of one sample.
#[test]
fn tokens_without_a_gradient_add_nothing() {
    let mut case = Case::new(15, 50, 70, &[6, 9, 4], 1, &[(0, 1), (1, 2)]);
    let live = [5, 7, 14];
    (0..19).filter(|t| !live.contains(t)).for_each(|t| case.delta[t * 50..(t + 1) * 50].fill(0.0));
    for backend in backends() {
        let sums = case.scan(&backend, true);
        case.check(&sums, true);
        assert!(sums.square_norms[0] > 0.0 && sums.square_norms[2] == 0.0);
    }
}

#[test]
fn a_domain_without_samples_and_a_job_without_any_are_all_zero() {
    let mut case = Case::new(8, 10, 20, &[4, 3], 2, &[]);
    case.samples.iter_mut().for_each(|s| s.domain = 1);
    let sums = case.scan(&CpuBackend::new(None), true);
    assert_eq!((sums.counts[0], sums.histograms[0][0]), (0, 200));
    assert!(sums.counts[1] > 0);
    let empty = Case::new(9, 10, 20, &[], 1, &[]);
    let sums = empty.scan(&CpuBackend::new(None), true);
    assert_eq!((sums.counts[0], sums.histograms[0][0]), (0, 200));
}

/// METHODS invariant 1: the cosine of a sample with itself is 1, kept or not.
#[test]
fn a_twin_has_cosine_one() {
    let mut case = Case::new(10, 70, 90, &[9, 9], 1, &[(0, 1), (0, 0)]);
    let (x, d) = (9 * 90, 9 * 70);
    case.x.copy_within(0..x, x);
    case.delta.copy_within(0..d, d);
    for backend in backends() {
        let sums = case.scan(&backend, false);
        assert_eq!(sums.square_norms[0], sums.square_norms[1]);
        let cosine = sums.pair_dots[0] / (sums.square_norms[0] * sums.square_norms[1]).sqrt();
        assert!((cosine - 1.0).abs() < 1e-6, "{cosine}");
        assert_eq!(sums.pair_dots[1], sums.square_norms[0]);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let lengths: Vec<usize> = (0..24).map(|i| 3 + i * 5 % 17).collect();
    let pairs: Vec<(usize, usize)> = (0..24).map(|i| (i, (i * 7 + 3) % 24)).collect();
    let case = Case::new(11, 300, 280, &lengths, 3, &pairs);
    for isa in Isa::available() {
        let one = case.scan(&CpuBackend::with_isa(Some(1), isa), true);
        assert_eq!(one, case.scan(&CpuBackend::with_isa(Some(2), isa), true), "{}", isa.name());
    }
}

/// Enough kept samples that tiles shrink, and enough tokens that the matrix is cut into super-blocks.
#[test]
fn many_pairs_and_many_tokens_change_the_cutting_only() {
    let n = 2000;
    let lengths: Vec<usize> = (0..n).map(|i| if i == 7 { 60_000 } else { 1 + i % 2 }).collect();
    let pairs: Vec<(usize, usize)> = (0..n).map(|i| (i, (i + 1) % n)).collect();
    let case = Case::new(12, 200, 150, &lengths, 2, &pairs);
    let sums = case.scan(&CpuBackend::new(None), true);
    assert_eq!(sums.histograms[0].iter().sum::<u64>(), 200 * 150);
    for s in [0, 1, 500, 1999] {
        let a = case.activation(s);
        let square: f64 = a.iter().map(|v| v * v).sum();
        assert!((sums.square_norms[s] - square).abs() < 1e-5 * square);
        let dot: f64 = a.iter().zip(&case.activation((s + 1) % n)).map(|(x, y)| x * y).sum();
        assert!((sums.pair_dots[s] - dot).abs() < 1e-5 * dot);
    }
}

#[test]
fn matrices_that_read_one_input_have_the_bits_of_each_alone() {
    // Gradients of three matrices for one input; in the last case one of them lacks a token, so nothing can be shared.
    let pairs = [(0, 1), (1, 2), (2, 3), (3, 0)];
    let mut cases: Vec<Case> = [(5, 230), (6, 97), (7, 1)].map(|(seed, out)| Case::new(seed, out, 300, &[20, 33, 7, 1], 2, &pairs)).into();
    let x = cases[0].x.clone();
    for lacking in [false, true] {
        if lacking {
            cases[1].delta[5 * 97..6 * 97].fill(0.0);
        }
        for (backend, want_means) in backends().iter().flat_map(|b| [(b, true), (b, false)]) {
            let tokens = x.len() / 300;
            let jobs: Vec<ScanJob<'_>> = cases.iter().map(|c| ScanJob { x: Mat::new(&x, tokens, 300), ..c.job(want_means) }).collect();
            let alone: Vec<ScanSums> = jobs
                .iter()
                .map(|job| {
                    let mut sums = ScanSums::zeros(job);
                    backend.scan(job, &mut sums);
                    sums
                })
                .collect();
            let mut together: Vec<ScanSums> = jobs.iter().map(ScanSums::zeros).collect();
            backend.scan_all(&jobs, &mut together);
            assert_eq!(together, alone);
        }
    }
}

#[test]
fn a_second_job_adds_to_the_first() {
    let case = Case::new(13, 33, 20, &[4, 6], 1, &[(0, 1)]);
    let backend = CpuBackend::new(None);
    let once = case.scan(&backend, true);
    let job = case.job(true);
    let mut twice = once.clone();
    backend.scan(&job, &mut twice);
    assert_eq!(twice.counts[0], 2 * once.counts[0]);
    assert_eq!(twice.pair_dots[0], 2.0 * once.pair_dots[0]);
    assert_eq!(twice.row_sums[0][5], 2.0 * once.row_sums[0][5]);
}

#[test]
fn a_broken_gradient_shows_in_the_norm() {
    let mut case = Case::new(14, 33, 20, &[4, 6], 1, &[(0, 1)]);
    case.delta[40] = f32::NAN;
    let sums = case.scan(&CpuBackend::new(None), false);
    assert!(sums.square_norms[0].is_nan() && sums.pair_dots[0].is_nan() && sums.square_norms[1].is_finite());
}

/// Every two samples: the products are one symmetric matrix, made by a kernel of its own.
#[test]
fn all_pairs_agree_with_whole_gradients_and_threads_do_not_change_a_bit() {
    for (seed, out, inp, n) in [(20, 97, 131, 17), (21, 33, 300, 41)] {
        let lengths: Vec<usize> = (0..n).map(|i| if i == 3 { 0 } else { 1 + i * 5 % 11 }).collect();
        // Half of them the other way round, and some samples with themselves.
        let turned = |a: usize, b: usize| if (a + b).is_multiple_of(2) { (a, b) } else { (b, a) };
        let mut pairs: Vec<(usize, usize)> = (0..n).flat_map(|b| (0..b).map(move |a| turned(a, b))).collect();
        pairs.extend([(0, 0), (3, 3), (n - 1, n - 1)]);
        let case = Case::new(seed, out, inp, &lengths, 3, &pairs);
        for isa in Isa::available() {
            let one = case.scan(&CpuBackend::with_isa(Some(1), isa), false);
            case.check(&one, false);
            assert_eq!(one, case.scan(&CpuBackend::with_isa(Some(2), isa), false), "{}", isa.name());
        }
        // With means the pairs go the usual way, and agree.
        case.check(&case.scan(&CpuBackend::new(None), true), true);
    }
}

/// So many samples that tiles are small, and lanes few.
#[test]
fn all_pairs_of_many_samples_change_the_cutting_only() {
    let n = 700;
    let pairs: Vec<(usize, usize)> = (0..n).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let lengths: Vec<usize> = (0..n).map(|i| 1 + i % 3).collect();
    let case = Case::new(22, 130, 100, &lengths, 2, &pairs);
    let sums = case.scan(&CpuBackend::new(None), false);
    for p in [0, 1, 77, 12_345, pairs.len() - 1] {
        let (a, b) = pairs[p];
        let dot: f64 = case.activation(a).iter().zip(&case.activation(b)).map(|(x, y)| x * y).sum();
        assert!((sums.pair_dots[p] - dot).abs() < 1e-5 * dot, "{a} {b}");
    }
}

/// Of inputs and gradients rounded to bfloat16 the coarse products are exact, up to f32 sums.
#[test]
fn products_of_bfloat16_are_those_of_rounded_operands() {
    if !Products::Bf16.available() {
        return eprintln!("skipped: this processor lacks {}", Products::Bf16.needs());
    }
    let backend = |threads| CpuBackend::with_products(Some(threads), Products::Bf16);
    let pairs = [(0, 2), (1, 3), (0, 1), (2, 2), (4, 1), (0, 2)];
    for (seed, out, inp, lengths, domains) in
        [(30, 1, 1, vec![1, 1, 1, 1, 1], 2), (31, 65, 7, vec![8, 0, 5, 40, 1], 3), (32, 131, 193, vec![12, 9, 131, 0, 8], 2)]
    {
        let case = Case::new(seed, out, inp, &lengths, domains, &pairs);
        let mut rounded = Case::new(seed, out, inp, &lengths, domains, &pairs);
        rounded.x.iter_mut().chain(&mut rounded.delta).for_each(|v| *v = half::bf16::from_f32(*v).to_f32());
        for means in [true, false] {
            let sums = case.scan(&backend(1), means);
            rounded.check(&sums, means);
            assert_eq!(sums, rounded.scan(&backend(1), means), "rounded twice");
            assert_eq!(sums, case.scan(&backend(2), means), "threads changed a bit");
        }
    }
    // Every two samples, by the kernel of their own.
    let every: Vec<(usize, usize)> = (0..17).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let mut case = Case::new(33, 97, 131, &(0..17).map(|i| 1 + i * 5 % 11).collect::<Vec<_>>(), 3, &every);
    let sums = case.scan(&backend(2), false);
    case.x.iter_mut().chain(&mut case.delta).for_each(|v| *v = half::bf16::from_f32(*v).to_f32());
    case.check(&sums, false);
}
