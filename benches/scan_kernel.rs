//! The fused scan alone: milliseconds a matrix, beside a bare matrix product of the same work and the share that the reductions add.
//!
//! `cargo bench --bench scan_kernel [-- threads [part of a shape's name]]`. Rounds are interleaved and the medians and minima printed, because machines are shared. With
//! one thread on Linux the time is the thread's own, without the time in which others had the core.

use brodmann::{
    base::rng::Rng,
    compute::{
        Backend, Mat, MatMut, SampleSpan, ScanJob, ScanSums,
        cpu::{BigBlocks, CpuBackend},
    },
};
use std::time::Instant;

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

/// Milliseconds since `new`.
enum Clock {
    Own(f64),
    Wall(Instant),
}

impl Clock {
    /// Milliseconds this thread has run.
    fn own() -> Option<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(text.split(' ').next()?.parse::<f64>().ok()? * 1e-6)
    }
    fn new(threads: usize) -> Self {
        match Self::own() {
            Some(ms) if threads == 1 => Self::Own(ms),
            _ => Self::Wall(Instant::now()),
        }
    }
    fn ms(&self) -> f64 {
        match self {
            Self::Own(start) => Self::own().unwrap_or(f64::NAN) - start,
            Self::Wall(start) => start.elapsed().as_secs_f64() * 1e3,
        }
    }
}

struct Shape {
    out: usize,
    inp: usize,
    tokens: usize,
    samples: usize,
    domains: usize,
    pairs: bool,
}

fn main() {
    let threads = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let backend = CpuBackend::new(threads);
    println!("{}", backend.device());
    println!("{:>34} {:>20} {:>20} {:>10}", "samples x tokens, out x in", "scan ms (min median)", "product ms", "GFLOP/s");
    let shape = |out, inp, tokens, samples, domains, pairs| Shape { out, inp, tokens, samples, domains, pairs };
    for s in [
        shape(1376, 512, 128, 8, 1, false),
        shape(1376, 512, 128, 8, 2, true),
        shape(512, 512, 128, 8, 1, false),
        shape(1376, 512, 8, 64, 1, false),
        shape(1376, 512, 16, 64, 1, false),
        shape(1376, 512, 32, 64, 1, false),
        shape(512, 192, 24, 384, 6, true),
        shape(2048, 2048, 32, 16, 1, false),
    ] {
        measure(&backend, &s);
    }
}

fn measure(backend: &CpuBackend, s: &Shape) {
    let name = format!("{}x{}, {}x{}{}", s.samples, s.tokens, s.out, s.inp, if s.pairs { ", pairs" } else { "" });
    if std::env::args().nth(2).is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut rng = Rng::new(1);
    let mut random = |n: usize, scale: f64| -> Vec<f32> { (0..n).map(|_| ((rng.unit() - 0.5) * scale) as f32).collect() };
    let n = s.samples * s.tokens;
    let (w, x, delta) = (random(s.out * s.inp, 0.1), random(n * s.inp, 2.0), random(n * s.out, 2e-3));
    let samples: Vec<SampleSpan> =
        (0..s.samples).map(|i| SampleSpan { start: i * s.tokens, end: (i + 1) * s.tokens, domain: i * s.domains / s.samples }).collect();
    let per_domain = s.samples / s.domains;
    // As a run asks for them: sample m of every domain with sample m of every other, and each domain with itself.
    let mut pairs = Vec::new();
    if s.pairs {
        for a in 0..s.domains {
            for b in a..s.domains {
                pairs.extend((0..per_domain).map(|m| (a * per_domain + m, b * per_domain + (m + usize::from(a == b)) % per_domain)));
            }
        }
    }
    let job = ScanJob {
        w: Mat::new(&w, s.out, s.inp),
        x: Mat::new(&x, n, s.inp),
        delta: Mat::new(&delta, n, s.out),
        samples: &samples,
        n_domains: s.domains,
        pairs: &pairs,
        gamma: 2e-6,
        want_means: true,
    };
    let mut product = vec![0.0; s.out * s.inp];
    let (mut scans, mut products) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let clock = Clock::new(backend.threads());
        let mut sums = ScanSums::zeros(&job);
        backend.scan(&job, &mut sums);
        let scan = clock.ms();
        assert!(sums.counts[0] > 0);
        let clock = Clock::new(backend.threads());
        for span in &samples {
            let rows = span.end - span.start;
            let (d, x) = (job.delta.rows(span.start, rows), job.x.rows(span.start, rows));
            backend.gemm_tn(MatMut::new(&mut product, s.out, s.inp), d, x, 1.0, 0.0);
        }
        let product_ms = clock.ms();
        // The first rounds fault pages in.
        if round > 1 {
            scans.push(scan);
            products.push(product_ms);
        }
    }
    scans.sort_by(f64::total_cmp);
    products.sort_by(f64::total_cmp);
    let flops = 2.0 * (n * s.out * s.inp) as f64;
    println!(
        "{:>34} {:>9.2} {:>10.2} {:>9.2} {:>10.2} {:>10.1}",
        name,
        scans[0],
        scans[scans.len() / 2],
        products[0],
        products[products.len() / 2],
        flops / scans[0] / 1e6
    );
}
