//! Our half of the comparison with PyTorch: cosines of all pairs of samples of one matrix, on demand, so that a driver can take turns.
//!
//! Run `python benches/peers/all_pairs_vs_pytorch.py`, which writes operands and starts this with `--serve FILE THREADS`. Without arguments it times
//! random operands of its own at several counts of samples.

use brodmann::{
    base::rng::Rng,
    compute::{
        Backend, Mat, SampleSpan, ScanJob, ScanSums,
        cpu::{BigBlocks, CpuBackend},
    },
};
use safetensors::SafeTensors;
use std::{io::BufRead as _, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

struct Operands {
    out: usize,
    inp: usize,
    samples: usize,
    tokens: usize,
    w: Vec<f32>,
    x: Vec<f32>,
    delta: Vec<f32>,
}

impl Operands {
    fn random(samples: usize, tokens: usize, out: usize, inp: usize) -> Self {
        let mut rng = Rng::new(1);
        let mut random = |n: usize, scale: f64| -> Vec<f32> { (0..n).map(|_| (rng.normal() * scale) as f32).collect() };
        let n = samples * tokens;
        Self { out, inp, samples, tokens, w: random(out * inp, 0.05), x: random(n * inp, 1.0), delta: random(n * out, 1e-3) }
    }
    /// `w` `[out, in]`, `x` `[samples, tokens, in]`, `delta` `[samples, tokens, out]`.
    fn read(path: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let floats = |name: &str| -> Result<Vec<f32>, safetensors::SafeTensorError> {
            Ok(file.tensor(name)?.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        let (w, x) = (file.tensor("w")?, file.tensor("x")?);
        let (&[out, inp], &[samples, tokens, _]) = (w.shape(), x.shape()) else { return Err("operands of other shapes".into()) };
        Ok(Self { out, inp, samples, tokens, w: floats("w")?, x: floats("x")?, delta: floats("delta")? })
    }
    /// Cosines of all pairs `a < b`, and the seconds they took.
    fn cosines(&self, backend: &CpuBackend) -> (Vec<f64>, f64) {
        let n = self.samples * self.tokens;
        let span = |i: usize| SampleSpan { start: i * self.tokens, end: (i + 1) * self.tokens, domain: 0 };
        let samples: Vec<SampleSpan> = (0..self.samples).map(span).collect();
        let pairs: Vec<(usize, usize)> = (0..self.samples).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let start = Instant::now();
        let job = ScanJob {
            w: Mat::new(&self.w, self.out, self.inp),
            x: Mat::new(&self.x, n, self.inp),
            delta: Mat::new(&self.delta, n, self.out),
            samples: &samples,
            n_domains: 1,
            pairs: &pairs,
            gamma: 0.0,
            want_means: false,
        };
        let mut sums = ScanSums::zeros(&job);
        backend.scan(&job, &mut sums);
        let norm = |s: usize| sums.square_norms[s].sqrt();
        let cosines = pairs.iter().zip(&sums.pair_dots).map(|(&(a, b), dot)| dot / (norm(a) * norm(b))).collect();
        (cosines, start.elapsed().as_secs_f64())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--serve").skip(1).collect();
    if let [file, threads, ..] = &args[..] {
        let (operands, backend) = (Operands::read(file)?, CpuBackend::new(Some(threads.parse()?)));
        println!("{}", serde_json::json!({ "device": backend.device() }));
        for line in std::io::stdin().lock().lines() {
            line?;
            let (cosines, seconds) = operands.cosines(&backend);
            println!("{}", serde_json::json!({ "seconds": seconds, "cosines": cosines }));
        }
        return Ok(());
    }
    for threads in [1, 2] {
        let backend = CpuBackend::new(Some(threads));
        println!("{}", backend.device());
        for (samples, tokens) in [(16, 128), (64, 128), (64, 32), (384, 20)] {
            let operands = Operands::random(samples, tokens, 1376, 512);
            let mut seconds: Vec<f64> = (0..7).map(|_| operands.cosines(&backend).1).skip(2).collect();
            seconds.sort_by(f64::total_cmp);
            let (weights, n) = (1376.0 * 512.0, samples as f64);
            let flops = weights * n * (2.0 * tokens as f64 + n - 1.0);
            println!(
                "  {samples:>4} samples x {tokens:>3} tokens: {:>8.1} ms, {:>6.1} GFLOP/s",
                1e3 * seconds[0],
                flops / seconds[0] / 1e9
            );
        }
    }
    Ok(())
}
