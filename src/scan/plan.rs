//! What a scan needs before it starts: memory, arithmetic, and how its sequences are cut into micro-batches.

use super::{MetricKind, ObjectiveKind, ScanConfig};
use crate::{
    base::{Error, Result, memory::Memory},
    model::{BlockTape, DecoderSpec, Matrix},
};

/// How much a scan may hold and how much it does at once. Neither changes a result beyond rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes for activations and gradients; the weights come on top.
    pub memory_bytes: u64,
    /// A micro-batch ends before the sequence that would take it past this (a single longer sequence is its own).
    pub batch_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(Memory::now())
    }
}

const DEFAULT_BATCH_TOKENS: usize = 2048;

/// What a scan will cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Bytes of activations and gradients when everything is kept (fastest).
    pub fast_bytes: u64,
    /// Bytes below which the scan refuses to start: one matrix's inputs and gradients at a time, blocks recomputed.
    pub least_bytes: u64,
    /// Floating-point operations of the matrix products (multiply and add counted apart), with everything kept.
    pub flops: f64,
}

impl Limits {
    /// Three fifths of what can be had.
    pub fn of(memory: Option<Memory>) -> Self {
        Self { memory_bytes: memory.map_or(4 << 30, |m| m.available_bytes) / 5 * 3, batch_tokens: DEFAULT_BATCH_TOKENS }
    }
    /// Tokens a micro-batch: few enough that one block forward stays short on a large model, so that a cancel is felt.
    pub(super) fn tokens_at_once(self, sizes: &Sizes) -> usize {
        const FLOPS_A_BLOCK: usize = 40_000_000_000;
        self.batch_tokens.min((FLOPS_A_BLOCK / (2 * sizes.params).max(1)).max(128))
    }
}

/// Cost of scanning `sequences` with `tokens` tokens in all (`samples * max_tokens * domains` bounds it from above).
pub fn estimate(spec: &DecoderSpec, tokens: usize, sequences: usize, config: &ScanConfig) -> Estimate {
    let sizes = Sizes::new(spec);
    let need = Need::new(spec, tokens, DEFAULT_BATCH_TOKENS);
    let widest = spec.matrices().iter().map(|m| sizes.gathered(&[*m])).max().unwrap_or(0);
    let fast_bytes = need.held + need.tapes + bytes(tokens * sizes.gathered(spec.matrices()));
    let least_bytes = (need.held + need.residuals + bytes(tokens * widest)).min(fast_bytes);

    let wants = |m| config.metrics.contains(&m);
    let blocks = 2.0 * sizes.params as f64 * spec.n_layers as f64 * tokens as f64;
    // Causal attention: scores and mixing, half of the square each.
    let mean_length = tokens as f64 / sequences.max(1) as f64;
    let attention = 2.0 * tokens as f64 * mean_length * sizes.qw as f64 * spec.n_layers as f64;
    let head = 2.0 * sequences as f64 * (spec.vocab * sizes.d) as f64;
    let forward = blocks + attention + head;
    // Input gradients cost a forward (attention twice), parameter activation one more product for each weight.
    let backward = forward + attention;
    let scanned = wants(MetricKind::ParamActivation) || wants(MetricKind::Llmdcos);
    let mut flops = forward;
    if scanned {
        flops += backward + blocks;
    }
    if config.metrics.iter().any(|m| m.needs_loss()) {
        flops += match (config.objective, scanned) {
            (ObjectiveKind::Loss, true) => 0.0,
            (ObjectiveKind::Loss, false) => backward,
            (ObjectiveKind::MaxLogit, _) => forward + backward,
        };
    }
    Estimate { fast_bytes, least_bytes, flops }
}

fn bytes(floats: usize) -> u64 {
    4 * floats as u64
}

/// Bytes by what they hold.
struct Need {
    /// The residual stream and its gradient, and one micro-batch at work.
    held: u64,
    /// Every block's tape.
    tapes: u64,
    /// The residual stream that enters each block.
    residuals: u64,
}

impl Need {
    fn new(spec: &DecoderSpec, tokens: usize, batch_tokens: usize) -> Self {
        let sizes = Sizes::new(spec);
        let at_work = tokens.min(batch_tokens) * (sizes.tape + 10 * sizes.d + 6 * sizes.f);
        Self {
            held: bytes(2 * tokens * sizes.d + at_work),
            tapes: bytes(tokens * spec.n_layers * sizes.tape),
            residuals: bytes(tokens * spec.n_layers * sizes.d),
        }
    }
}

/// What is kept between the way up and the way down, and which matrices are scanned together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    pub keep_tapes: bool,
    pub groups: Vec<&'static [Matrix]>,
}

impl MemoryPlan {
    /// `loads`: how often the inputs and gradients of all micro-batches are held at once, put together for a scan.
    ///
    /// # Errors
    /// When even one matrix at a time needs more than the limit.
    pub fn new(spec: &DecoderSpec, tokens: usize, loads: usize, limits: Limits) -> Result<Self> {
        let (sizes, all) = (Sizes::new(spec), spec.matrices());
        let need = Need::new(spec, tokens, limits.batch_tokens);
        let gathered = |of: &[Matrix]| bytes(loads * tokens * sizes.gathered(of));
        if need.held + need.tapes + gathered(all) <= limits.memory_bytes {
            return Ok(Self { keep_tapes: true, groups: vec![all] });
        }
        let least = need.held + need.residuals;
        let mut groups: Vec<&[Matrix]> = Vec::new();
        let mut first = 0;
        for end in 1..=all.len() {
            if end - first > 1 && least + gathered(&all[first..end]) > limits.memory_bytes {
                groups.push(&all[first..end - 1]);
                first = end - 1;
            }
            let one = least + gathered(&all[first..end]);
            if one > limits.memory_bytes {
                let mib = |b: u64| b.div_ceil(1 << 20);
                return Err(Error::invalid(format!(
                    "{tokens} tokens through {} layers need at least {} MiB beside the weights, and {} MiB are allowed; take fewer samples, \
                     fewer tokens a sample, or fewer domains at a time",
                    spec.n_layers,
                    mib(one),
                    mib(limits.memory_bytes)
                )));
            }
        }
        groups.push(&all[first..]);
        Ok(Self { keep_tapes: false, groups })
    }
}

/// Widths of what a block passes around.
pub(super) struct Sizes {
    pub d: usize,
    pub f: usize,
    pub qw: usize,
    pub kvw: usize,
    /// Floats a token that a kept tape holds.
    pub tape: usize,
    /// Scalars of a block's linear weights.
    pub params: usize,
}

impl Sizes {
    pub fn new(spec: &DecoderSpec) -> Self {
        let (d, f) = (spec.d_model, spec.d_mlp);
        let (qw, kvw) = (spec.attention.n_heads * spec.attention.head_dim, spec.attention.n_kv_heads * spec.attention.head_dim);
        let tape = BlockTape::floats_a_token(spec);
        Self { d, f, qw, kvw, tape, params: spec.linear_params_per_layer() as usize }
    }
    /// Width of a matrix's input.
    pub fn input(&self, m: Matrix) -> usize {
        match m {
            Matrix::Q | Matrix::K | Matrix::V | Matrix::Gate | Matrix::Up => self.d,
            Matrix::O => self.qw,
            Matrix::Down => self.f,
        }
    }
    /// Width of a matrix's output.
    pub fn output(&self, m: Matrix) -> usize {
        match m {
            Matrix::Q => self.qw,
            Matrix::K | Matrix::V => self.kvw,
            Matrix::O | Matrix::Down => self.d,
            Matrix::Gate | Matrix::Up => self.f,
        }
    }
    /// Floats a token to gather the inputs and gradients of these matrices; q, k, v share an input, and so do gate and up.
    pub fn gathered(&self, of: &[Matrix]) -> usize {
        let inputs: std::collections::BTreeMap<Input, usize> = of.iter().map(|&m| (Input::of(m), self.input(m))).collect();
        inputs.values().sum::<usize>() + of.iter().map(|&m| self.output(m)).sum::<usize>()
    }
}

/// The tensor a matrix reads; some read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    AttentionNorm,
    Z,
    MlpNorm,
    Post,
}

impl Input {
    pub const COUNT: usize = 4;
    pub fn of(m: Matrix) -> Self {
        match m {
            Matrix::Q | Matrix::K | Matrix::V => Self::AttentionNorm,
            Matrix::O => Self::Z,
            Matrix::Gate | Matrix::Up => Self::MlpNorm,
            Matrix::Down => Self::Post,
        }
    }
}

/// Consecutive sequences `first..end` for each micro-batch.
pub(super) fn micro_batches(lengths: &[usize], batch_tokens: usize) -> Vec<std::ops::Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut tokens) = (0, 0);
    for (i, &n) in lengths.iter().enumerate() {
        if i > first && tokens + n > batch_tokens {
            batches.push(first..i);
            (first, tokens) = (i, 0);
        }
        tokens += n;
    }
    if first < lengths.len() {
        batches.push(first..lengths.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> DecoderSpec {
        use crate::model::spec::Sizes;
        let sizes = Sizes { n_layers: 4, d_model: 64, d_mlp: 160, vocab: 100, max_positions: 512, n_heads: 4, n_kv_heads: 2, head_dim: 16 };
        DecoderSpec { tied_head: true, ..DecoderSpec::llama(sizes) }
    }

    #[test]
    fn less_memory_means_fewer_matrices_at_once_and_then_an_error_that_says_how_much() {
        let plan = |memory_bytes| MemoryPlan::new(&spec(), 4096, 1, Limits { memory_bytes, batch_tokens: 256 });
        let cost = estimate(&spec(), 4096, 32, &ScanConfig::default());
        assert!(cost.least_bytes < cost.fast_bytes);
        assert_eq!(plan(cost.fast_bytes).expect("room"), MemoryPlan { keep_tapes: true, groups: vec![&Matrix::ALL] });
        let mut sizes = Vec::new();
        for share in [0.9, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1] {
            let Ok(plan) = plan((cost.fast_bytes as f64 * share) as u64) else { break };
            let flat: Vec<Matrix> = plan.groups.iter().flat_map(|g| g.iter().copied()).collect();
            assert_eq!(flat, Matrix::ALL, "every matrix once, in order");
            sizes.push(plan.groups.len());
        }
        assert!(sizes.windows(2).all(|w| w[0] <= w[1]) && sizes.last() > sizes.first(), "{sizes:?}");
        let message = plan(1 << 20).expect_err("1 MiB is too little").to_string();
        assert!(message.contains("4096 tokens") && message.contains("1 MiB are allowed"), "{message}");
    }

    #[test]
    fn arithmetic_of_a_scan_is_three_forwards_and_a_second_objective_adds_two() {
        let only = |metrics: &[MetricKind], objective| {
            let config = ScanConfig { metrics: metrics.to_vec(), objective, ..ScanConfig::default() };
            estimate(&spec(), 1000, 10, &config).flops
        };
        let forward = only(&[MetricKind::MeanActivation], ObjectiveKind::Loss);
        // 2 x 4 layers x (2 x 64 x 64 + 2 x 64 x 32 + 3 x 64 x 160) weights x 1000 tokens is most of it.
        assert!((forward / 344_064_000.0 - 1.0).abs() < 0.2, "{forward}");
        let scan = only(&[MetricKind::ParamActivation], ObjectiveKind::Loss);
        assert!((2.9..3.2).contains(&(scan / forward)), "{}", scan / forward);
        assert_eq!(only(&[MetricKind::ParamActivation, MetricKind::Relevance], ObjectiveKind::Loss), scan);
        let both = only(&[MetricKind::ParamActivation, MetricKind::Relevance], ObjectiveKind::MaxLogit);
        assert!((1.9..2.2).contains(&((both - scan) / forward)));
    }

    #[test]
    fn micro_batches_cover_every_sequence_once() {
        assert_eq!(micro_batches(&[4, 4, 4, 9, 1], 8), vec![0..2, 2..3, 3..4, 4..5]);
        assert_eq!(micro_batches(&[100], 8), vec![0..1]);
        assert_eq!(micro_batches(&[], 8), Vec::<std::ops::Range<usize>>::new());
    }
}
