//! The scan on a graphics card beside the processor's: kernels alone, matrices with their transfers, whole runs. Random weights.
//!
//! `cargo bench --bench scan_gpu [-- gpu:N] [kernels] [matrices] [runs] [small]`; without words all three parts, `small` for a machine whose only
//! adapter is a software one. Rounds are interleaved, medians are printed.

use brodmann::{
    base::{Result, job::silently, rng::Rng},
    compute::{
        Backend, Mat, SampleSpan, ScanDevice, ScanJob, ScanSums,
        cpu::{BigBlocks, CpuBackend},
        wgpu::{GpuScan, TileShape, find},
    },
    model::{Decoder, Model, Tensor, Weights, load_model},
    scan::{Limits, MetricKind, PreparedDomain, ScanConfig, ScanOutput, scan_prepared},
};
use std::{path::Path, sync::Arc, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

/// Values from a few thousand draws over and over: what they are does not matter to the time.
struct Draws(Vec<f32>);

impl Draws {
    fn new() -> Self {
        let mut rng = Rng::new(1);
        Self((0..65_537).map(|_| rng.normal() as f32).collect())
    }
    fn take(&self, seed: usize, n: usize, scale: f32) -> Vec<f32> {
        self.0.iter().cycle().skip(seed * 7919 % self.0.len()).take(n).map(|v| v * scale).collect()
    }
}

/// One weight matrix with samples of two domains; pairs as a run asks for them.
struct Matrix {
    name: String,
    out: usize,
    inp: usize,
    w: Vec<f32>,
    x: Vec<f32>,
    delta: Vec<f32>,
    samples: Vec<SampleSpan>,
    pairs: Vec<(usize, usize)>,
}

impl Matrix {
    fn new(draws: &Draws, name: &str, (out, inp): (usize, usize), n: usize, tokens: usize, paired: bool) -> Self {
        let half = n / 2;
        let mut pairs: Vec<(usize, usize)> =
            (0..half).flat_map(|m| [(m, half + m), (m, (m + 1) % half), (half + m, half + (m + 1) % half)]).collect();
        if !paired {
            pairs.clear();
        }
        Self {
            name: format!("{name} {out}x{inp}, {n} x {tokens}{}", if paired { ", pairs" } else { "" }),
            out,
            inp,
            w: draws.take(1, out * inp, 0.05),
            x: draws.take(2, n * tokens * inp, 1.0),
            delta: draws.take(3, n * tokens * out, 1e-4),
            samples: (0..n).map(|i| SampleSpan { start: i * tokens, end: (i + 1) * tokens, domain: i / half.max(1) % 2 }).collect(),
            pairs,
        }
    }
    fn job(&self) -> ScanJob<'_> {
        let tokens = self.samples.last().map_or(0, |s| s.end);
        ScanJob {
            w: Mat::new(&self.w, self.out, self.inp),
            x: Mat::new(&self.x, tokens, self.inp),
            delta: Mat::new(&self.delta, tokens, self.out),
            samples: &self.samples,
            n_domains: 2,
            pairs: &self.pairs,
            gamma: 2e-6,
            want_means: true,
        }
    }
    fn flops(&self) -> f64 {
        2.0 * self.samples.last().map_or(0, |s| s.end) as f64 * (self.out * self.inp) as f64
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let said = |w: &str| words.iter().any(|a| a == w);
    let all = !["kernels", "matrices", "runs"].iter().any(|w| said(w));
    let index = words.iter().find_map(|w| w.strip_prefix("gpu:")).and_then(|n| n.parse().ok());
    let small = said("small");
    let entry = match find(index) {
        Ok(entry) => entry,
        Err(e) => {
            println!("scan_gpu: {e}");
            return Ok(());
        }
    };
    let (cpu, draws) = (CpuBackend::new(None), Draws::new());
    println!("{}\n{}", entry.facts.title(), cpu.device());
    if all || said("kernels") {
        println!("\nkernels alone, TFLOP/s (2 x tokens x out x in), tile shapes rows x columns, weights held or read again");
        let shapes = [(4, 1, true), (4, 1, false), (8, 1, true), (8, 1, false), (8, 2, true), (8, 2, false)];
        let n = if small { 4 } else { 64 };
        let matrices = [
            Matrix::new(&draws, "mlp", (1536, 576), n, 128, false),
            Matrix::new(&draws, "mlp", (1536, 576), n, 128, true),
            Matrix::new(&draws, "mlp", (1536, 576), n, 32, true),
            Matrix::new(&draws, "mlp 1B", if small { (512, 512) } else { (8192, 2048) }, n, 128, false),
            Matrix::new(&draws, "mlp 1B", if small { (512, 512) } else { (8192, 2048) }, n, 128, true),
        ];
        for (rows, cols, held) in shapes {
            let card = GpuScan::open_entry(entry, Some(TileShape { rows, cols, held }), None)?;
            for m in &matrices {
                let seconds = median(card.kernel_seconds(&m.job(), if small { 3 } else { 9 })?);
                let word = if held { "held" } else { "read" };
                println!(
                    "  {:>3}x{:<3} {word} {:>36} {:>9.3} ms {:>7.2} TFLOP/s",
                    16 * rows,
                    64 * cols,
                    m.name,
                    seconds * 1e3,
                    m.flops() / seconds / 1e12
                );
            }
        }
    }
    let card = Arc::new(GpuScan::open_entry(entry, None, None)?);
    if all || said("matrices") {
        matrices(&card, &cpu, &draws, small)?;
    }
    if all || said("runs") {
        let shape = |layers, width, mlp, heads, kv, vocab| Shape { layers, width, mlp, heads, kv, vocab };
        if small {
            run(&card, &draws, "135M shape, 2 of 30 layers", &shape(2, 576, 1536, 9, 3, 4096), 8, 128, 3)?;
        } else {
            run(&card, &draws, "SmolLM2-135M shape", &shape(30, 576, 1536, 9, 3, 49_152), 32, 128, 3)?;
            run(&card, &draws, "1B shape, 4 of 16 layers", &shape(4, 2048, 8192, 32, 8, 16_384), 16, 128, 3)?;
        }
    }
    Ok(())
}

/// All seven matrices of a layer, transfers included.
fn matrices(card: &GpuScan, cpu: &CpuBackend, draws: &Draws, small: bool) -> Result<()> {
    println!("\na layer's matrices with transfers, ms (median), and how far the two agree");
    let n = if small { 4 } else { 64 };
    let layers: &[(&str, usize, usize, usize, usize)] =
        if small { &[("135M", 576, 1536, 192, n)] } else { &[("135M", 576, 1536, 192, n), ("1B", 2048, 8192, 512, n / 2)] };
    for &(name, d, f, kv, n) in layers {
        let shapes = [("q", d, d), ("k", kv, d), ("v", kv, d), ("o", d, d), ("gate", f, d), ("up", f, d), ("down", d, f)];
        let all: Vec<Matrix> = shapes.iter().map(|(m, o, i)| Matrix::new(draws, m, (*o, *i), n, 128, true)).collect();
        let jobs: Vec<ScanJob<'_>> = all.iter().map(Matrix::job).collect();
        let flops: f64 = all.iter().map(Matrix::flops).sum();
        let (mut on_card, mut on_cpu) = (Vec::new(), Vec::new());
        let mut worst = (0u64, 0.0f64);
        for round in 0..6 {
            let begun = Instant::now();
            let sums = card.scan(&jobs, &|| Ok(()))?;
            let card_s = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let want: Vec<ScanSums> = jobs
                .iter()
                .map(|job| {
                    let mut sums = ScanSums::zeros(job);
                    cpu.scan(job, &mut sums);
                    sums
                })
                .collect();
            let cpu_s = begun.elapsed().as_secs_f64();
            for (job, (g, w)) in jobs.iter().zip(sums.iter().zip(&want)) {
                worst.0 += g.counts.iter().zip(&w.counts).map(|(a, b)| a.abs_diff(*b)).sum::<u64>();
                let cosine =
                    |s: &ScanSums, p: usize| s.pair_dots[p] / (s.square_norms[job.pairs[p].0] * s.square_norms[job.pairs[p].1]).sqrt();
                worst.1 = (0..job.pairs.len()).fold(worst.1, |m, p| m.max((cosine(g, p) - cosine(w, p)).abs()));
            }
            if round > 0 {
                on_card.push(card_s);
                on_cpu.push(cpu_s);
            } else {
                worst.0 = 0;
            }
        }
        let (g, c) = (median(on_card), median(on_cpu));
        println!(
            "  {name}: {n} samples of 128 tokens, {:.0} GFLOP: card {:.1} ms ({:.2} TFLOP/s), processor {:.1} ms ({:.2}), {:.1}x; counts differ by {} a layer, cosines by {:.1e}",
            flops / 1e9,
            g * 1e3,
            flops / g / 1e12,
            c * 1e3,
            flops / c / 1e12,
            c / g,
            worst.0 / 5,
            worst.1
        );
    }
    Ok(())
}

struct Shape {
    layers: usize,
    width: usize,
    mlp: usize,
    heads: usize,
    kv: usize,
    vocab: usize,
}

/// Whole runs of two domains, forward and backward on the processor, with and without the card.
fn run(card: &Arc<GpuScan>, draws: &Draws, name: &str, s: &Shape, samples: usize, tokens: usize, rounds: usize) -> Result<()> {
    let folder = Path::new("tests/fixtures/tiny-llama");
    let Model { info, mut spec, tokenizer, .. } = silently(|ctx| load_model(folder, ctx))?;
    (spec.n_layers, spec.d_model, spec.d_mlp, spec.vocab, spec.max_positions) = (s.layers, s.width, s.mlp, s.vocab, 2048);
    (spec.attention.n_heads, spec.attention.n_kv_heads, spec.attention.head_dim) = (s.heads, s.kv, s.width / s.heads);
    spec.tied_head = true;
    let mut seed = 0;
    let weights = Weights::build(&spec, |_, shape| {
        seed += 1;
        let n: usize = shape.iter().product();
        let fan_in = shape.last().copied().unwrap_or(1) as f32;
        Ok(if shape.len() == 1 { Tensor::new(shape, vec![1.0; n]) } else { Tensor::new(shape, draws.take(seed, n, fan_in.powf(-0.5))) })
    })?;
    let params: usize = spec.n_layers * (2 * s.width * s.width * (s.heads + s.kv) / s.heads + 3 * s.width * s.mlp);
    let model = Arc::new(Model { info, spec, weights, tokenizer });
    let decoder = Decoder::new(model, Arc::new(CpuBackend::new(None)));
    let with_card = decoder.clone().with_scan_device(Some(card.clone()));
    let config = ScanConfig { metrics: vec![MetricKind::ParamActivation, MetricKind::Llmdcos], ..ScanConfig::default() };
    let domain = |d: usize| {
        let all = (0..samples)
            .map(|i| (0..tokens).map(|t| ((t * 7919 + i * 104_729 + d * 31 + t * t * 17) % s.vocab) as u32).collect())
            .collect();
        PreparedDomain::from_tokens(if d == 0 { "a" } else { "b" }, all, config.objective, 0)
    };
    let domains = [domain(0), domain(1)];
    let (mut on_card, mut on_cpu, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        last.clear();
        for (decoder, times) in [(&with_card, &mut on_card), (&decoder, &mut on_cpu)] {
            let out: ScanOutput = silently(|ctx| scan_prepared(decoder, &domains, &config, Limits::default(), ctx))?;
            if round > 0 {
                times.push(out.timing.seconds);
            }
            last.push(out);
        }
    }
    let (g, c) = (median(on_card), median(on_cpu));
    let n = 2.0 * samples as f64;
    let cosines = |o: &ScanOutput| -> Vec<f32> { o.llmdcos.iter().flat_map(|p| p.cosines.iter().flatten().flatten().copied()).collect() };
    let off = cosines(&last[0]).iter().zip(&cosines(&last[1])).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let counts: u64 = last[0]
        .domains
        .iter()
        .zip(&last[1].domains)
        .flat_map(|(a, b)| a.activated_count.iter().zip(&b.activated_count))
        .map(|(a, b)| a.abs_diff(*b))
        .sum();
    println!(
        "\n{name}, {:.0} M block weights, 2 x {samples} samples of {tokens} tokens: card {:.2} samples/s, processor alone {:.2}, {:.2}x; counts differ by {counts} in {:.0} M, cosines by {off:.1e}",
        params as f64 / 1e6,
        n / g,
        n / c,
        c / g,
        2.0 * params as f64 / 1e6
    );
    Ok(())
}
