//! Where the time of a job goes, kernel by kernel: wall-clock seconds inside each kernel of the backend, and what is left outside of all of them.
//!
//! `cargo bench --bench profile -- FOLDER [scan|loss-scan|evaluate|train|neurons] [samples] [tokens] [rounds]`. Random tokens; the median round is
//! printed, after one that warms up. `neurons` trains one neuron in ten.

use brodmann::{
    base::{Ctx, Neuron, NeuronSet, job::silently, memory::peak_rss_bytes, rng::Rng},
    compute::{
        Activation, AdamWStep, AttentionShape, AttentionSpan, Backend, Mat, MatMut, MovedLogits, Norm, RopeTable, ScanJob, ScanSums,
        cpu::{BigBlocks, CpuBackend},
    },
    model::{Batch, Decoder, NoHooks, load_model},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, scan_prepared},
    tune::{AdamWConfig, Schedule, Target, TrainConfig, TrainSequence, Trainer},
};
use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

/// Seconds, calls and operations (where they are those of a product) by kernel.
type Spent = BTreeMap<String, (f64, usize, f64)>;

/// The processor's backend with a clock on every kernel.
struct Timed {
    inner: CpuBackend,
    spent: Mutex<Spent>,
}

impl Timed {
    fn time<R>(&self, name: impl Into<String>, f: impl FnOnce(&CpuBackend) -> R) -> R {
        self.time_of(name, 0, f)
    }
    /// Of a kernel that makes so many multiply-adds.
    fn time_of<R>(&self, name: impl Into<String>, multiply_adds: usize, f: impl FnOnce(&CpuBackend) -> R) -> R {
        let start = Instant::now();
        let result = f(&self.inner);
        let seconds = start.elapsed().as_secs_f64();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, calls, operations) = spent.entry(name.into()).or_default();
        *sum += seconds;
        *calls += 1;
        *operations += 2.0 * multiply_adds as f64;
        result
    }
    /// Of a product of `m x k` times `k x n`.
    fn product<R>(&self, what: &str, m: usize, n: usize, k: usize, f: impl FnOnce(&CpuBackend) -> R) -> R {
        self.time_of(format!("{what} {m} x {n} from {k}"), m * n * k, f)
    }
    fn take(&self) -> Spent {
        std::mem::take(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for Timed {
    fn device(&self) -> String {
        self.inner.device()
    }
    fn gemm_nt(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        self.product("forward", a.rows, b.rows, a.cols, |i| i.gemm_nt(out, a, b, alpha, beta));
    }
    fn gemm_nn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        self.product("input gradients", a.rows, b.cols, a.cols, |i| i.gemm_nn(out, a, b, alpha, beta));
    }
    fn gemm_tn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        self.product("weight gradients", a.cols, b.cols, a.rows, |i| i.gemm_tn(out, a, b, alpha, beta));
    }
    fn norm(&self, norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        self.time("norm", |i| i.norm(norm, x, gain, bias, y));
    }
    fn norm_backward(&self, norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], d_gain: Option<&mut [f32]>) {
        self.time("norm backward", |i| i.norm_backward(norm, x, gain, dy, dx, d_gain));
    }
    fn rope(&self, x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool) {
        self.time("rope", |i| i.rope(x, positions, table, heads, head_dim, inverse));
    }
    fn attention(&self, q: &[f32], k: &[f32], v: &[f32], starts: &[usize], shape: &AttentionShape, z: &mut [f32]) {
        self.time("attention", |i| i.attention(q, k, v, starts, shape, z));
    }
    fn attention_spans(&self, q: &[f32], k: &[f32], v: &[f32], spans: &[AttentionSpan], shape: &AttentionShape, z: &mut [f32]) {
        self.time("attention", |i| i.attention_spans(q, k, v, spans, shape, z));
    }
    fn attention_pattern(&self, q: &[f32], k: &[f32], shape: &AttentionShape) -> Vec<f32> {
        self.time("attention", |i| i.attention_pattern(q, k, shape))
    }
    fn attention_backward(
        &self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        dz: &[f32],
        starts: &[usize],
        shape: &AttentionShape,
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        self.time("attention backward", |i| i.attention_backward(q, k, v, dz, starts, shape, dq, dk, dv));
    }
    fn gated(&self, act: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
        self.time("activation", |i| i.gated(act, gate, up, out));
    }
    fn gated_backward(&self, act: Activation, gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        self.time("activation backward", |i| i.gated_backward(act, gate, up, d_out, d_gate, d_up));
    }
    fn activate(&self, act: Activation, pre: &[f32], out: &mut [f32]) {
        self.time("activation", |i| i.activate(act, pre, out));
    }
    fn activate_backward(&self, act: Activation, pre: &[f32], d_out: &[f32], d_pre: &mut [f32]) {
        self.time("activation backward", |i| i.activate_backward(act, pre, d_out, d_pre));
    }
    fn soft_cap(&self, x: &mut [f32], cap: f32) {
        self.time("soft-cap", |i| i.soft_cap(x, cap));
    }
    fn add(&self, x: &mut [f32], y: &[f32]) {
        self.time("residual sums", |i| i.add(x, y));
    }
    fn sum(&self, out: &mut [f32], x: &[f32], y: &[f32]) {
        self.time("residual sums", |i| i.sum(out, x, y));
    }
    fn square_norm(&self, x: &[f32]) -> f64 {
        self.time("gradient norm", |i| i.square_norm(x))
    }
    fn gather_columns(&self, out: MatMut<'_>, x: Mat<'_>, columns: &[usize]) {
        self.time("gathering of columns", |i| i.gather_columns(out, x, columns));
    }
    fn all_finite(&self, x: &[f32]) -> bool {
        self.time("search for what is not finite", |i| i.all_finite(x))
    }
    fn add_bias(&self, x: &mut [f32], bias: &[f32]) {
        self.time("bias", |i| i.add_bias(x, bias));
    }
    fn cross_entropy(&self, logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]) {
        self.time("cross-entropy", |i| i.cross_entropy(logits, targets, weights, losses));
    }
    fn log_sum_exp(&self, logits: &[f32], out: &mut [f64]) {
        self.time("log-sum-exp", |i| i.log_sum_exp(logits, out));
    }
    fn adamw(&self, step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        self.time("AdamW", |i| i.adamw(step, w, gradient, mean, square));
    }
    fn moved_logits(&self, job: &MovedLogits<'_>, log_sums: &mut [f64], picked: &mut [f32]) {
        self.time("moved logits", |i| i.moved_logits(job, log_sums, picked));
    }
    fn scan(&self, job: &ScanJob<'_>, sums: &mut ScanSums) {
        self.scan_all(std::slice::from_ref(job), std::slice::from_mut(sums));
    }
    fn scan_all(&self, jobs: &[ScanJob<'_>], sums: &mut [ScanSums]) {
        let tokens = |job: &ScanJob<'_>| job.samples.iter().map(|s| s.end - s.start).sum::<usize>();
        let multiply_adds = jobs.iter().map(|job| job.w.rows * job.w.cols * tokens(job)).sum();
        let rows: Vec<String> = jobs.iter().map(|job| job.w.rows.to_string()).collect();
        let cols = jobs.first().map_or(0, |job| job.w.cols);
        self.time_of(format!("scan {} x {cols}", rows.join(" + ")), multiply_adds, |i| i.scan_all(jobs, sums));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    silently(run)
}

fn run(ctx: &Ctx<'_>) -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let Some(folder) = args.first() else {
        println!("profile: give a model's folder");
        return Ok(());
    };
    let what = args.get(1).map_or("scan", String::as_str);
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (samples, length, rounds) = (number(2, 8), number(3, 128), number(4, 3));
    let timed = Arc::new(Timed { inner: CpuBackend::new(None), spent: Mutex::default() });
    let model = load_model(Path::new(folder), ctx)?;
    let spec = model.spec.clone();
    let mut rng = Rng::new(1);
    let tokens: Vec<Vec<u32>> = (0..samples).map(|_| (0..length).map(|_| rng.below(spec.vocab) as u32).collect()).collect();
    println!("{what} of {samples} x {length} tokens, {}", timed.device());
    let mut round: Box<dyn FnMut() -> Result<(), Box<dyn Error>>> = match what {
        "train" | "neurons" => {
            let one_in_ten = || -> NeuronSet {
                let layers = 0..spec.n_layers as u32;
                layers.flat_map(|l| (0..spec.d_mlp as u32).step_by(10).map(move |i| Neuron::new(l, i))).collect()
            };
            let target = if what == "train" { Target::All } else { Target::Neurons(one_in_ten()) };
            let schedule = Schedule { peak: 1e-5, warmup_steps: 1, total_steps: 1000, floor: 1.0 };
            let config =
                TrainConfig { schedule, optimizer: AdamWConfig::default().into(), clip: 1.0, micro_batch_tokens: samples * length };
            let mut trainer = Trainer::with_target(model, timed.clone(), config, &target, 0)?;
            let weights = |t: &Vec<u32>| (0..t.len()).map(|i| if i == 0 { 0.0 } else { 1.0 }).collect();
            let batch: Vec<TrainSequence> = tokens.iter().map(|t| TrainSequence { tokens: t.clone(), weights: weights(t) }).collect();
            Box::new(move || Ok(trainer.step(&batch).map(|_| ())?))
        }
        "evaluate" => {
            let decoder = Decoder::new(Arc::new(model), timed.clone());
            let batch = Batch::new(&tokens);
            let scored: Vec<usize> = (0..samples).flat_map(|i| batch.span(i).skip(1)).collect();
            Box::new(move || {
                let resid = decoder.forward(&batch, &mut NoHooks)?;
                decoder.log_probs(&batch, &resid, &scored)?;
                Ok(())
            })
        }
        _ => {
            let objective = if what == "loss-scan" { ObjectiveKind::Loss } else { ObjectiveKind::MaxLogit };
            let domain = PreparedDomain::from_tokens("random", tokens, objective, 0);
            let metrics = vec![MetricKind::ParamActivation, MetricKind::Llmdcos];
            let config = ScanConfig { objective, metrics, ..ScanConfig::default() };
            let decoder = Decoder::new(Arc::new(model), timed.clone());
            Box::new(move || {
                scan_prepared(&decoder, std::slice::from_ref(&domain), &config, Limits::default(), ctx)?;
                Ok(())
            })
        }
    };
    let mut done: Vec<(f64, Spent)> = Vec::new();
    for i in 0..=rounds {
        timed.take();
        let start = Instant::now();
        round()?;
        if i > 0 {
            done.push((start.elapsed().as_secs_f64(), timed.take()));
        }
    }
    done.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (total, spent) = &done[done.len() / 2];
    let mut spent: Vec<_> = spent.iter().collect();
    spent.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (name, (seconds, calls, operations)) in &spent {
        let rate = if *operations > 0.0 { format!("{:>8.0} GFLOP/s", operations / seconds / 1e9) } else { String::new() };
        println!("{name:>40} {:>9.1} ms {:>5.1} % {calls:>6} calls{rate}", seconds * 1e3, 100.0 * seconds / total);
    }
    let rest = total - spent.iter().map(|(_, (s, ..))| s).sum::<f64>();
    println!("{:>40} {:>9.1} ms {:>5.1} %", "outside of kernels", rest * 1e3, 100.0 * rest / total);
    println!("{:>40} {:>9.1} ms; peak memory {} MiB", "all", total * 1e3, peak_rss_bytes() >> 20);
    Ok(())
}
