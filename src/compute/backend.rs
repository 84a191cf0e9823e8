//! The list of kernels a device offers, each with its backward. Slices are f32 and dense row-major unless a view says otherwise.
//! A kernel never allocates more than a few tiles of scratch, and its result does not depend on how many rows it is given at once.

use super::{Mat, MatMut, ScanJob, ScanSums};
use std::ops::Range;

/// Elementwise nonlinearity of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// `x * Phi(x)`, with the error function.
    Gelu,
    /// The same by `tanh`: `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `max(x, 0)`; its slope at 0 is 0, as in PyTorch.
    Relu,
}

/// What a norm does to each row before its gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Divides by the root of the mean square.
    Rms,
    /// Takes off the mean, then divides by the standard deviation.
    Layer,
}

/// A norm of rows: `y = (x - mean) / sqrt(variance + eps) * (gain_offset + gain) + bias`, without the mean for [`NormKind::Rms`].
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Norm {
    pub kind: NormKind,
    pub eps: f32,
    /// Added to the stored gain: 1 where a family stores it less 1.
    pub gain_offset: f32,
}

/// Heads of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub n_heads: usize,
    /// Divides `n_heads`; smaller than it for grouped-query attention.
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// Multiplies `q . k`; usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// A query sees this many positions, its own included; `None`: all before it.
    pub window: Option<usize>,
    /// Scores `s` become `cap * tanh(s / cap)` before the softmax.
    pub soft_cap: Option<f32>,
}

/// Queries that stand in one line of text, and the keys they see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionSpan {
    /// Rows of the queries, neighbours in the text.
    pub rows: Range<usize>,
    /// Position of the first of them.
    pub first: usize,
    /// Rows of the keys at positions 0, 1, 2... up to the last query's own.
    pub keys: Vec<Range<usize>>,
}

/// cos and sin of every position and rotated pair: `[max_positions, pairs]` each. Pair `i` of a head is coordinates `i` and `i + pairs`
/// (the half-split layout of Hugging Face); coordinates from `2 * pairs` on stay as they are. Long-context scalings multiply cos and sin by a
/// factor.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTable {
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
    pub pairs: usize,
}

/// One update of AdamW (Loshchilov and Hutter, ICLR 2019), in PyTorch's order of operations: every value follows from its own four numbers alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Learning rate over the first moment's bias correction.
    pub step_size: f32,
    /// Root of the second moment's bias correction.
    pub root2: f32,
    /// `1 - rate * decay`
    pub keep: f32,
    /// Gradients are multiplied by it (clipping).
    pub scale: f32,
}

/// Rows of logits that a change of low rank moves: `cap((undivided + delta . directions) scale + bias)`.
#[derive(Clone, Copy)]
pub struct MovedLogits<'a> {
    /// What the logits were before the final norm's division, `[rows, vocab]`.
    pub undivided: Mat<'a>,
    /// `[rows, k]`
    pub delta: Mat<'a>,
    /// `[k, vocab]`
    pub directions: Mat<'a>,
    /// Of each row: the final norm's division under the change.
    pub scale: &'a [f32],
    /// `[vocab]`
    pub bias: Option<&'a [f32]>,
    /// As in [`AttentionShape::soft_cap`].
    pub soft_cap: Option<f32>,
    /// Logits asked for, by row and token.
    pub wanted: &'a [(usize, u32)],
}

/// Sequences lie one after another without padding: sequence `i` has rows `starts[i]..starts[i + 1]`.
pub trait Backend: Send + Sync {
    /// A word for provenance: `cpu (AVX-512, 2 threads)`.
    fn device(&self) -> String;
    /// What it computes in, for provenance.
    fn arithmetic(&self) -> &'static str {
        "f32"
    }

    /// `out[m,n] = alpha * a[m,k] . b[n,k]^T + beta * out`: a linear layer, `b` the weight `[out, in]`.
    fn gemm_nt(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32);
    /// `out[m,n] = alpha * a[m,k] . b[k,n] + beta * out`: gradient of a linear layer's input.
    fn gemm_nn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32);
    /// `out[m,n] = alpha * a[k,m]^T . b[k,n] + beta * out`: gradient of a weight (the trainer's; a scan never forms it).
    fn gemm_tn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32);

    /// [`Norm`] of each row. `x`, `y` `[n, d]`, `gain`, `bias` `[d]`.
    fn norm(&self, norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]);
    /// Adds the input gradient of [`Backend::norm`] to `dx` and, when wanted, the gain's gradient to `d_gain`. (The bias' is the sum of `dy`.)
    fn norm_backward(&self, norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], d_gain: Option<&mut [f32]>);

    /// Rotates every head of `x` `[n, heads * head_dim]` in place by its row's position. `inverse` is its backward, and undoes it where the
    /// table is not scaled.
    fn rope(&self, x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool);

    /// Causal softmax attention inside each sequence. `q` `[n, n_heads * head_dim]`, `k`, `v` `[n, n_kv_heads * head_dim]`, `z` as `q`.
    fn attention(&self, q: &[f32], k: &[f32], v: &[f32], starts: &[usize], shape: &AttentionShape, z: &mut [f32]);
    /// As [`Backend::attention`] where queries and keys lie apart: `q`, `z` `[m, ..]`, `k`, `v` `[n, ..]`. Each row of `z` is that of a plain pass
    /// over its text, bit for bit; rows that no span names stay.
    fn attention_spans(&self, q: &[f32], k: &[f32], v: &[f32], spans: &[AttentionSpan], shape: &AttentionShape, z: &mut [f32]);
    /// The probabilities of one sequence: `[n_heads, t, t]` for `q` `[t, ..]`, `k` `[t, ..]`.
    fn attention_pattern(&self, q: &[f32], k: &[f32], shape: &AttentionShape) -> Vec<f32>;
    /// Overwrites `dq`, `dk`, `dv`; the probabilities are recomputed.
    #[expect(clippy::too_many_arguments, reason = "the operands of one kernel")]
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
    );

    /// `out = act(gate) * up`
    fn gated(&self, act: Activation, gate: &[f32], up: &[f32], out: &mut [f32]);
    /// Overwrites `d_gate`, `d_up`.
    fn gated_backward(&self, act: Activation, gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]);

    /// `out = act(pre)`
    fn activate(&self, act: Activation, pre: &[f32], out: &mut [f32]);
    /// Overwrites `d_pre`.
    fn activate_backward(&self, act: Activation, pre: &[f32], d_out: &[f32], d_pre: &mut [f32]);

    /// `x = cap * tanh(x / cap)`
    fn soft_cap(&self, x: &mut [f32], cap: f32);

    /// `x += y`
    fn add(&self, x: &mut [f32], y: &[f32]);

    /// `out = x + y`
    fn sum(&self, out: &mut [f32], x: &[f32], y: &[f32]);

    /// `sum x^2`: in f32 over every 4096 elements, these sums in f64, in order.
    fn square_norm(&self, x: &[f32]) -> f64;

    /// `out[r, i] = x[r, columns[i]]`; `out` `[x.rows, columns.len()]`.
    fn gather_columns(&self, out: MatMut<'_>, x: Mat<'_>, columns: &[usize]);

    /// Whether no element is an infinity or NaN.
    fn all_finite(&self, x: &[f32]) -> bool;

    /// `x[r, ..] += bias` for every row.
    fn add_bias(&self, x: &mut [f32], bias: &[f32]);

    /// Cross-entropy of each row of `logits` `[n, vocab]` against `targets` `[n]`, into `losses` `[n]` (natural log). With `weights` `[n]` the
    /// rows are replaced by `weights[r] * (softmax - onehot)`, the gradient of `sum_r weights[r] * losses[r]`.
    fn cross_entropy(&self, logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]);

    /// `ln sum_v exp(logits[r, v])` of each row of `logits` `[out.len(), vocab]`, to about 1e-7: exponentials in f32, summed in blocks into f64.
    fn log_sum_exp(&self, logits: &[f32], out: &mut [f64]);

    /// [`Backend::log_sum_exp`] of the rows of [`MovedLogits`], and the wanted ones of their logits. Each row follows from its own numbers alone.
    fn moved_logits(&self, job: &MovedLogits<'_>, log_sums: &mut [f64], picked: &mut [f32]);

    /// `g = scale * gradient; mean += (g - mean)(1 - beta1); square = beta2 square + (1 - beta2) g^2;
    /// w = keep w - step_size mean / (sqrt(square) / root2 + eps)`, each rounded as written. All slices have one length.
    fn adamw(&self, step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]);

    /// Parameter activation of one matrix over all samples, reduced tile by tile (METHODS 1). Adds to `sums`.
    fn scan(&self, job: &ScanJob<'_>, sums: &mut ScanSums);

    /// [`Backend::scan`] of several matrices, to the same bits: those that read one input ([`ScanJob::reads_as`]) may share its preparation.
    fn scan_all(&self, jobs: &[ScanJob<'_>], sums: &mut [ScanSums]) {
        jobs.iter().zip(sums).for_each(|(job, sums)| self.scan(job, sums));
    }
}
