//! The decoder once more, in f64 and without the kernels: what each formula says, row by row. Slow and easy to read; the certificate's other
//! side. Batches are `candidates` copies of one token sequence, row `candidate * tokens + position`.

use crate::{
    compute::{Activation, AttentionShape, Norm, NormKind},
    model::{
        BlockNorm, DecoderSpec, Matrix, Model, Role, Tensor,
        spec::{MlpSpec, PositionSpec, Residual},
    },
};

/// One weight moved by `step`, in one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nudge {
    pub candidate: usize,
    pub layer: usize,
    pub matrix: Matrix,
    pub out: usize,
    pub input: usize,
    pub step: f64,
}

pub(super) struct Reference<'a> {
    pub model: &'a Model,
    /// Tokens of the sequence.
    pub tokens: usize,
}

impl Reference<'_> {
    fn spec(&self) -> &DecoderSpec {
        &self.model.spec
    }

    /// `[tokens, d_model]`
    pub fn embed(&self, tokens: &[u32]) -> Vec<f64> {
        let (spec, weights) = (self.spec(), &self.model.weights);
        let width = spec.embedding.width;
        let mut x = Vec::with_capacity(tokens.len() * width);
        for &t in tokens {
            let row = &weights.embedding[t as usize * width..][..width];
            x.extend(row.iter().map(|v| f64::from(*v) * f64::from(spec.embedding.scale)));
        }
        if let Some(project) = weights.outer(Role::ProjectIn) {
            x = linear(&x, project, None);
        }
        if let (Some(table), PositionSpec::Learned { offset }) = (weights.outer(Role::Positions), &spec.positions) {
            let d = spec.d_model;
            for (p, row) in x.chunks_exact_mut(d).enumerate() {
                row.iter_mut().zip(&table[(p + offset) * d..]).for_each(|(v, t)| *v += f64::from(*t));
            }
        }
        x
    }

    /// Runs block `layer` over `resid` `[candidates * tokens, d_model]`; each nudge of this layer moves its candidate's weight.
    pub fn block(&self, layer: usize, resid: &mut Vec<f64>, nudges: &[Nudge]) {
        let spec = self.spec();
        let block = self.model.weights.block(layer);
        let norm = |n: BlockNorm, x: &[f64]| norm_rows(&spec.norm.norm(), x, block.norm(n), block.norm_bias(n));
        let apply = |m: Matrix, x: &[f64]| {
            let w = block.matrix(m);
            let (rows, cols) = (w.shape[0], w.shape[1]);
            let mut y = linear(x, w, block.bias(m));
            for n in nudges.iter().filter(|n| n.layer == layer && n.matrix == m) {
                for t in n.candidate * self.tokens..(n.candidate + 1) * self.tokens {
                    y[t * rows + n.out] += n.step * x[t * cols + n.input];
                }
            }
            y
        };

        let x = if spec.residual == Residual::PostNorm { resid.clone() } else { norm(BlockNorm::Attn, resid) };
        let (mut q, mut k, v) = (apply(Matrix::Q, &x), apply(Matrix::K, &x), apply(Matrix::V, &x));
        if spec.attention.qk_norm {
            q = norm(BlockNorm::Q, &q);
            k = norm(BlockNorm::K, &k);
        }
        self.rotate(layer, &mut q, spec.attention.n_heads);
        self.rotate(layer, &mut k, spec.attention.n_kv_heads);
        let mut out = apply(Matrix::O, &attention(&q, &k, &v, self.tokens, &spec.attention_shape(layer)));
        if spec.residual == Residual::Sandwich {
            out = norm(BlockNorm::PostAttn, &out);
        }
        let before = resid.clone();
        add(resid, &out);
        let x = match spec.residual {
            Residual::Sequential | Residual::Sandwich => norm(BlockNorm::Mlp, resid),
            Residual::Parallel => norm(BlockNorm::Mlp, &before),
            Residual::PostNorm => {
                *resid = norm(BlockNorm::Attn, resid);
                resid.clone()
            }
        };
        let mut post = apply(Matrix::Up, &x);
        match spec.mlp {
            MlpSpec::Gated { act, .. } => {
                let gate = apply(Matrix::Gate, &x);
                post.iter_mut().zip(&gate).for_each(|(u, g)| *u *= activation(act, *g));
            }
            MlpSpec::Plain { act, .. } => post.iter_mut().for_each(|u| *u = activation(act, *u)),
        }
        let mut out = apply(Matrix::Down, &post);
        if spec.residual == Residual::Sandwich {
            out = norm(BlockNorm::PostMlp, &out);
        }
        add(resid, &out);
        if spec.residual == Residual::PostNorm {
            *resid = norm(BlockNorm::Mlp, resid);
        }
    }

    fn rotate(&self, layer: usize, x: &mut [f64], heads: usize) {
        let Some(rope) = self.spec().rope(layer) else { return };
        let (head_dim, pairs) = (self.spec().attention.head_dim, rope.dims / 2);
        let table = rope.angles(self.tokens);
        let width = heads * head_dim;
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            let position = row % self.tokens;
            for head in x.chunks_exact_mut(head_dim) {
                for i in 0..pairs {
                    let (cos, sin) = table[position * pairs + i];
                    let (a, b) = (head[i], head[i + pairs]);
                    head[i] = a * cos - b * sin;
                    head[i + pairs] = b * cos + a * sin;
                }
            }
        }
    }

    /// Logits `[rows, vocab]`.
    pub fn logits(&self, resid: &[f64]) -> Vec<f64> {
        let (spec, weights) = (self.spec(), &self.model.weights);
        let normed = match weights.outer(Role::NormFinal) {
            Some(gain) => norm_rows(&spec.norm.norm(), resid, gain, weights.outer(Role::NormFinalBias)),
            None => resid.to_vec(),
        };
        let hidden = weights.outer(Role::ProjectOut).map(|p| linear(&normed, p, None)).unwrap_or(normed);
        let mut logits = linear(&hidden, weights.head(), None);
        if let Some(cap) = spec.logit_soft_cap.map(f64::from) {
            logits.iter_mut().for_each(|v| *v = cap * (*v / cap).tanh());
        }
        logits
    }

    /// Mean cross-entropy of tokens 1.. of one candidate's rows of logits.
    pub fn loss(&self, logits: &[f64], tokens: &[u32]) -> f64 {
        let vocab = self.spec().vocab;
        let rows = logits.chunks_exact(vocab).zip(&tokens[1..]);
        let total: f64 = rows
            .map(|(row, &t)| {
                let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln() - row[t as usize]
            })
            .sum();
        total / (tokens.len() - 1) as f64
    }
}

/// `x W^T + bias` by the gemm crate's f64 product; W widened a band of rows at a time.
fn linear(x: &[f64], w: &Tensor, bias: Option<&Tensor>) -> Vec<f64> {
    const BAND: usize = 512;
    let (rows, cols) = (w.shape[0], w.shape[1]);
    let n = x.len() / cols;
    let mut y = vec![0.0; n * rows];
    let mut wide = Vec::new();
    for first in (0..rows).step_by(BAND) {
        let count = BAND.min(rows - first);
        wide.clear();
        wide.extend(w[first * cols..(first + count) * cols].iter().map(|v| f64::from(*v)));
        product(n, count, cols, &mut y[first..], rows, x, &wide);
    }
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(rows) {
            row.iter_mut().zip(bias.iter()).for_each(|(v, b)| *v += f64::from(*b));
        }
    }
    y
}

/// `y[i, j] = sum_k x[i, k] w[j, k]`, rows of `y` `stride` apart.
#[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
fn product(n: usize, rows: usize, k: usize, y: &mut [f64], stride: usize, x: &[f64], w: &[f64]) {
    if n == 0 || rows == 0 {
        return;
    }
    assert!(y.len() >= (n - 1) * stride + rows && x.len() == n * k && w.len() == rows * k, "product of {n} x {k} and {rows} x {k}");
    let threads = gemm::Parallelism::Rayon(0);
    // SAFETY: the assertion above bounds every element that these strides reach; `y` is borrowed mutably, so nothing else sees it.
    unsafe {
        gemm::gemm(
            n,
            rows,
            k,
            y.as_mut_ptr(),
            1,
            stride as isize,
            false,
            x.as_ptr(),
            1,
            k as isize,
            w.as_ptr(),
            k as isize,
            1,
            0.0f64,
            1.0f64,
            false,
            false,
            false,
            threads,
        );
    }
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
}

fn norm_rows(norm: &Norm, x: &[f64], gain: &Tensor, bias: Option<&Tensor>) -> Vec<f64> {
    let d = gain.len();
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(d) {
        let mean = match norm.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => row.iter().sum::<f64>() / d as f64,
        };
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / d as f64;
        let r = 1.0 / (variance + f64::from(norm.eps)).sqrt();
        y.extend(row.iter().zip(gain.iter()).map(|(v, g)| (v - mean) * r * (f64::from(norm.gain_offset) + f64::from(*g))));
    }
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(d) {
            row.iter_mut().zip(bias.iter()).for_each(|(v, b)| *v += f64::from(*b));
        }
    }
    y
}

fn attention(q: &[f64], k: &[f64], v: &[f64], tokens: usize, shape: &AttentionShape) -> Vec<f64> {
    let (d, group) = (shape.head_dim, shape.n_heads / shape.n_kv_heads);
    let (wq, wk) = (shape.n_heads * d, shape.n_kv_heads * d);
    let mut z = vec![0.0; q.len()];
    for row in 0..q.len() / wq {
        let (start, position) = (row - row % tokens, row % tokens);
        let first = shape.window.map_or(0, |w| (position + 1).saturating_sub(w));
        for h in 0..shape.n_heads {
            let query = &q[row * wq + h * d..][..d];
            let at = |j: usize| (start + j) * wk + h / group * d;
            let mut scores: Vec<f64> = (first..=position)
                .map(|j| {
                    let s = query.iter().zip(&k[at(j)..]).map(|(a, b)| a * b).sum::<f64>() * f64::from(shape.scale);
                    shape.soft_cap.map_or(s, |cap| f64::from(cap) * (s / f64::from(cap)).tanh())
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            scores.iter_mut().for_each(|s| *s = (*s - top).exp());
            let total: f64 = scores.iter().sum();
            for (j, s) in (first..).zip(&scores) {
                z[row * wq + h * d..][..d].iter_mut().zip(&v[at(j)..]).for_each(|(z, v)| *z += s / total * v);
            }
        }
    }
    z
}

fn activation(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

/// By its series near 0, by the continued fraction of erfc beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 2.0 {
        let fraction = (1..100).rev().fold(x.abs(), |below, k| x.abs() + f64::from(k) / 2.0 / below);
        return x.signum() * (1.0 - (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt()));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}
