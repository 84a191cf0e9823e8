//! Matrix products and fused scans by each arithmetic that the processor has: GFLOP/s, and how far from f64.
//!
//! `cargo bench --bench products [-- THREADS [part of a line's name]]`. Shapes are SmolLM2-135M's, eight samples of 128 tokens. Kinds take turns and the best time counts; the
//! error is the largest of some hundred elements, relative to the sum of the sizes of the element's terms (one f32 rounding is 6e-8).

use brodmann::{
    base::rng::Rng,
    compute::{
        Backend, Mat, MatMut, SampleSpan, ScanJob, ScanSums,
        cpu::{BigBlocks, CpuBackend, Products},
    },
};
use std::time::Instant;

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

#[derive(Clone, Copy)]
enum Form {
    Nt,
    Nn,
    Tn,
}

struct Line {
    name: &'static str,
    form: Form,
    m: usize,
    n: usize,
    k: usize,
    /// The right operand as stored in bfloat16.
    stored: bool,
}

/// Turns of all kinds, fewer for long ones.
const TURNS: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let threads = args.first().and_then(|a| a.parse().ok());
    let wanted = |name: &str| args.get(1).is_none_or(|part| name.contains(part.as_str()));
    let kinds: Vec<(Products, CpuBackend)> =
        Products::ALL.into_iter().filter(|p| p.available()).map(|p| (p, CpuBackend::with_products(threads, p))).collect();
    for (_, backend) in &kinds {
        println!("{}", backend.device());
    }
    let line = |name, form, m, n, k, stored| Line { name, form, m, n, k, stored };
    for l in [
        line("forward", Form::Nt, 1024, 1536, 576, false),
        line("forward", Form::Nt, 1024, 576, 1536, false),
        line("forward", Form::Nt, 1024, 576, 576, false),
        line("forward", Form::Nt, 1024, 192, 576, false),
        line("forward, weight of bfloat16", Form::Nt, 1024, 1536, 576, true),
        line("forward, weight of bfloat16", Form::Nt, 1024, 576, 1536, true),
        line("logits", Form::Nt, 256, 49152, 576, false),
        line("logits, weight of bfloat16", Form::Nt, 256, 49152, 576, true),
        line("few rows", Form::Nt, 32, 1536, 576, false),
        line("few rows", Form::Nt, 8, 1536, 576, false),
        line("one row", Form::Nt, 1, 1536, 576, false),
        line("one row", Form::Nt, 1, 49152, 576, false),
        line("one row, weight of bfloat16", Form::Nt, 1, 49152, 576, true),
        line("input gradients", Form::Nn, 1024, 576, 1536, false),
        line("input gradients", Form::Nn, 1024, 1536, 576, false),
        line("input gradients, weight of bfloat16", Form::Nn, 1024, 576, 1536, true),
        line("input gradients of the head", Form::Nn, 8, 576, 49152, false),
        line("weight gradients", Form::Tn, 1536, 576, 1024, false),
        line("weight gradients", Form::Tn, 576, 1536, 1024, false),
        line("weight gradients of the head", Form::Tn, 49152, 576, 256, false),
    ] {
        if wanted(l.name) {
            product(&kinds, &l);
        }
    }
    for (out, inp, tokens, samples, pairs) in [
        (1536, 576, 128, 8, false),
        (1536, 576, 128, 8, true),
        (576, 1536, 128, 8, true),
        (576, 576, 128, 8, true),
        (1536, 576, 24, 42, true),
        (1536, 576, 1, 8, true),
    ] {
        let name = format!("scan, {samples} x {tokens} tokens{}", if pairs { ", pairs" } else { "" });
        if wanted(&name) {
            scan(&kinds, &name, out, inp, tokens, samples, pairs);
        }
    }
}

/// Numbers of a bell curve.
fn numbers(rng: &mut Rng, n: usize, scale: f64) -> Vec<f32> {
    (0..n).map(|_| (rng.normal() * scale) as f32).collect()
}

fn print(name: &str, shape: &str, results: &[(Products, f64, String)]) {
    print!("{name:>38} {shape:>18}");
    for (kind, gflops, note) in results {
        print!("  {kind} {gflops:>7.1} ({note})");
    }
    println!();
}

fn product(kinds: &[(Products, CpuBackend)], l: &Line) {
    let mut rng = Rng::new(1);
    let (m, n, k) = (l.m, l.n, l.k);
    let (a, mut b) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 0.05));
    if l.stored {
        b.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits() & 0xffff_0000));
    }
    let (left, right) = match l.form {
        Form::Nt => (Mat::new(&a, m, k), Mat::new(&b, n, k)),
        Form::Nn => (Mat::new(&a, m, k), Mat::new(&b, k, n)),
        Form::Tn => (Mat::new(&a, k, m), Mat::new(&b, k, n)),
    };
    let mut outs = vec![vec![0.0f32; m * n]; kinds.len()];
    let mut best = vec![f64::INFINITY; kinds.len()];
    let flop = 2.0 * (m * n * k) as f64;
    let turns = if flop > 5e9 { 3 } else { TURNS };
    for _ in 0..turns {
        for (i, (_, backend)) in kinds.iter().enumerate() {
            let out = MatMut::new(&mut outs[i], m, n);
            let start = Instant::now();
            match l.form {
                Form::Nt => backend.gemm_nt(out, left, right, 1.0, 0.0),
                Form::Nn => backend.gemm_nn(out, left, right, 1.0, 0.0),
                Form::Tn => backend.gemm_tn(out, left, right, 1.0, 0.0),
            }
            best[i] = best[i].min(start.elapsed().as_secs_f64());
        }
    }
    let at = |r: usize, c: usize, i: usize| {
        let x = if matches!(l.form, Form::Tn) { a[i * m + r] } else { a[r * k + i] };
        let y = if matches!(l.form, Form::Nt) { b[c * k + i] } else { b[i * n + c] };
        f64::from(x) * f64::from(y)
    };
    let mut errors = vec![0.0f64; kinds.len()];
    for _ in 0..200 {
        let (r, c) = (rng.below(m), rng.below(n));
        let (want, size) = (0..k).fold((0.0, 0.0), |(sum, size), i| (sum + at(r, c, i), size + at(r, c, i).abs()));
        for (error, out) in errors.iter_mut().zip(&outs) {
            *error = error.max((f64::from(out[r * n + c]) - want).abs() / size);
        }
    }
    let results: Vec<_> = (0..kinds.len()).map(|i| (kinds[i].0, flop / best[i] * 1e-9, format!("{:.1e}", errors[i]))).collect();
    print(l.name, &format!("{m} x {n} x {k}"), &results);
}

fn scan(kinds: &[(Products, CpuBackend)], name: &str, out: usize, inp: usize, tokens: usize, samples: usize, pairs: bool) {
    let mut rng = Rng::new(2);
    let n = samples * tokens;
    let (w, x, delta) = (numbers(&mut rng, out * inp, 0.05), numbers(&mut rng, n * inp, 1.0), numbers(&mut rng, n * out, 1e-3));
    let spans: Vec<SampleSpan> = (0..samples).map(|i| SampleSpan { start: i * tokens, end: (i + 1) * tokens, domain: 0 }).collect();
    let pairs: Vec<(usize, usize)> = if pairs { (0..samples).map(|i| (i, (i + 1) % samples)).collect() } else { Vec::new() };
    let job = ScanJob {
        w: Mat::new(&w, out, inp),
        x: Mat::new(&x, n, inp),
        delta: Mat::new(&delta, n, out),
        samples: &spans,
        n_domains: 1,
        pairs: &pairs,
        gamma: 1e-4,
        want_means: true,
    };
    let mut best = vec![f64::INFINITY; kinds.len()];
    let mut sums: Vec<ScanSums> = Vec::new();
    for turn in 0..TURNS {
        for (i, (_, backend)) in kinds.iter().enumerate() {
            let mut result = ScanSums::zeros(&job);
            let start = Instant::now();
            backend.scan(&job, &mut result);
            best[i] = best[i].min(start.elapsed().as_secs_f64());
            if turn == 0 {
                sums.push(result);
            }
        }
    }
    let flop = 2.0 * (n * out * inp) as f64;
    let result = |i: usize| {
        // Against the first kind, f32.
        let apart =
            |get: fn(&ScanSums) -> &[f64]| get(&sums[i]).iter().zip(get(&sums[0])).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
        let apart = apart(|s| &s.square_norms).max(apart(|s| &s.pair_dots));
        (kinds[i].0, flop / best[i] * 1e-9, format!("{apart:.1e}, {} counted", sums[i].counts[0]))
    };
    print(name, &format!("{out} x {inp}"), &(0..kinds.len()).map(result).collect::<Vec<_>>());
}
