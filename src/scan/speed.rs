//! How fast scans will about go, by a measurement of a few hundredths of a second: the products that a scan consists of, at the model's own widths.
//! It tells an order of magnitude where no scan was made yet, nothing more.

use crate::{
    base::{Ctx, Result, rng::Rng},
    compute::{Backend, Mat, MatMut, SampleSpan, ScanJob, ScanSums},
    model::DecoderSpec,
};
use std::time::{Duration, Instant};

/// Rows of the products, as four samples.
const ROWS: usize = 256;
const SAMPLE: usize = ROWS / 4;
/// A matrix is measured up to this width: wider ones are as fast, and take longer.
const WIDEST: usize = 1024;
/// Time that each kind of product may take, once it is warm.
const PATIENCE: Duration = Duration::from_millis(12);
/// Share of the products' speed that whole scans reach beside everything else they do.
const SHARE: f64 = 0.7;

/// Floating-point operations a second of whole scans, as [`super::estimate`] counts them, to an order of magnitude.
///
/// # Errors
/// When it is cancelled.
pub fn measure_speed(backend: &dyn Backend, spec: &DecoderSpec, ctx: &Ctx<'_>) -> Result<f64> {
    let (out, inp) = (spec.d_mlp.min(WIDEST), spec.d_model.min(WIDEST));
    let mut rng = Rng::stream(0, "measurement of speed");
    let mut noise = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.unit() as f32 - 0.5).collect() };
    let (w, x, delta) = (noise(out * inp), noise(ROWS * inp), noise(ROWS * out));
    let (w, x, delta) = (Mat::new(&w, out, inp), Mat::new(&x, ROWS, inp), Mat::new(&delta, ROWS, out));
    let (mut y, mut d_x) = (vec![0.0; ROWS * out], vec![0.0; ROWS * inp]);
    let samples: Vec<SampleSpan> = (0..4).map(|s| SampleSpan { start: s * SAMPLE, end: (s + 1) * SAMPLE, domain: 0 }).collect();
    let pairs: Vec<(usize, usize)> = (0..4).flat_map(|a| (a + 1..4).map(move |b| (a, b))).collect();
    let job = ScanJob { w, x, delta, samples: &samples, n_domains: 1, pairs: &pairs, gamma: 0.01, want_means: true };
    let mut sums = ScanSums::zeros(&job);
    let forward = fastest(ctx, &mut || backend.gemm_nt(MatMut::new(&mut y, ROWS, out), x, w, 1.0, 0.0))?;
    let backward = fastest(ctx, &mut || backend.gemm_nn(MatMut::new(&mut d_x, ROWS, inp), delta, w, 1.0, 0.0))?;
    let scan = fastest(ctx, &mut || backend.scan(&job, &mut sums))?;
    // A scan with every metric goes through each matrix forward and backward twice, for the logit and for the loss, and forms its gradient once.
    let flops = 5.0 * 2.0 * (ROWS * out * inp) as f64;
    Ok(SHARE * flops / (2.0 * forward + 2.0 * backward + scan))
}

/// Seconds of the fastest of several runs: whatever else the machine does makes the others slower.
fn fastest(ctx: &Ctx<'_>, run: &mut dyn FnMut()) -> Result<f64> {
    // The first has to fetch its memory and wake the threads.
    run();
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || begun.elapsed() < PATIENCE {
        ctx.check()?;
        let now = Instant::now();
        run();
        best = best.min(now.elapsed().as_secs_f64());
    }
    Ok(best.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{CancelToken, job::silently},
        compute::cpu::CpuBackend,
        model::spec::Sizes,
    };

    #[test]
    fn a_measurement_is_short_and_tells_a_speed() {
        let sizes = Sizes { n_layers: 4, d_model: 64, d_mlp: 160, vocab: 100, max_positions: 512, n_heads: 4, n_kv_heads: 2, head_dim: 16 };
        let (backend, spec) = (CpuBackend::new(Some(1)), DecoderSpec::llama(sizes));
        let begun = Instant::now();
        let speed = silently(|ctx| measure_speed(&backend, &spec, ctx)).expect("a speed");
        assert!(speed.is_finite() && speed > 1e6, "{speed} operations a second");
        assert!(begun.elapsed() < Duration::from_secs(5), "even on a busy machine: {:?}", begun.elapsed());
        let stopped = CancelToken::default();
        stopped.cancel();
        assert!(measure_speed(&backend, &spec, &Ctx::new(&stopped, &|_| {})).is_err());
    }
}
