//! One weight matrix at a time through the fused scan, and what a layer's matrices add up to.

use super::metrics::param_activation::LayerActivation;
use crate::{
    base::{Ctx, Error, Result},
    compute::{Backend, Mat, SampleSpan, ScanJob, ScanSums},
    model::{Matrix, Weights},
};

/// What one layer gives, summed over its matrices and over all micro-batches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerSums {
    /// For each pair, `A(a) . A(b)`.
    pub pair_dots: Vec<f64>,
    /// For each sample, `|A|^2`.
    pub square_norms: Vec<f64>,
    /// For each domain; empty where no means are wanted.
    pub activation: Vec<LayerActivation>,
    /// Sums over samples, `[domain][f]` and `[domain][heads]`.
    pub relevance: Vec<Vec<f64>>,
    pub head_relevance: Vec<Vec<f64>>,
    /// Sums over tokens, `[domain][f]`.
    pub mean: Vec<Vec<f64>>,
    pub mean_abs: Vec<Vec<f64>>,
}

/// The samples of all domains and what is wanted of their activations.
pub(super) struct Scanner<'a> {
    pub backend: &'a dyn Backend,
    pub weights: &'a Weights,
    pub samples: &'a [SampleSpan],
    pub n_domains: usize,
    pub pairs: &'a [(usize, usize)],
    pub gamma: f32,
    pub want_means: bool,
    /// Says which sample an index is, for errors.
    pub sample_name: &'a (dyn Fn(usize) -> String + Sync),
    pub ctx: &'a Ctx<'a>,
}

/// A call to the kernel does at most about this much arithmetic, so that a cancel is felt in time on a slow machine too.
const FLOPS_A_CALL: f64 = 2e10;
const LEAST_ROWS: usize = 256;

impl Scanner<'_> {
    /// Adds matrix `matrix` of layer `layer`: `x` `[tokens, in]`, `delta` `[tokens, out]`, all samples.
    pub fn scan(&self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32], into: &mut LayerSums) -> Result<()> {
        let block = self.weights.block(layer);
        let w = block.matrix(matrix);
        let &[out, input] = &w.shape[..] else {
            return Err(Error::numeric(weight_name(layer, matrix), format!("has shape {:?}, expected two dimensions", w.shape)));
        };
        let tokens = self.samples.last().map_or(0, |s| s.end);
        let a_row = 2.0 * tokens as f64 * input as f64;
        let rows_a_call = ((FLOPS_A_CALL / a_row.max(1.0)) as usize).max(LEAST_ROWS);
        let (w, x, delta) = (Mat::new(w, out, input), Mat::new(x, tokens, input), Mat::new(delta, tokens, out));
        for first in (0..out).step_by(rows_a_call) {
            self.ctx.check()?;
            let rows = rows_a_call.min(out - first);
            let job = ScanJob {
                w: w.rows(first, rows),
                x,
                delta: delta.columns(first, rows),
                samples: self.samples,
                n_domains: self.n_domains,
                pairs: self.pairs,
                gamma: self.gamma,
                want_means: self.want_means,
            };
            let mut sums = ScanSums::zeros(&job);
            self.backend.scan(&job, &mut sums);
            self.verify(layer, matrix, &sums)?;
            into.add(matrix, first, &sums);
        }
        Ok(())
    }

    fn verify(&self, layer: usize, matrix: Matrix, sums: &ScanSums) -> Result<()> {
        let name = || weight_name(layer, matrix);
        if let Some(s) = sums.square_norms.iter().position(|v| !v.is_finite()) {
            let message = format!("the parameter activation of {} is not finite", (self.sample_name)(s));
            return Err(Error::numeric(name(), message));
        }
        if sums.pair_dots.iter().any(|v| !v.is_finite()) {
            return Err(Error::numeric(name(), "a product of two samples' parameter activations is not finite"));
        }
        if sums.row_sums.iter().chain(&sums.col_sums).flatten().any(|v| !v.is_finite()) {
            return Err(Error::numeric(name(), "a sum of mean parameter activations is not finite"));
        }
        Ok(())
    }
}

impl LayerSums {
    pub fn zeros(samples: usize, pairs: usize, domains: usize, want_means: bool, d_mlp: usize, heads: usize) -> Self {
        Self {
            pair_dots: vec![0.0; pairs],
            square_norms: vec![0.0; samples],
            activation: vec![LayerActivation::zeros(d_mlp); if want_means { domains } else { 0 }],
            relevance: vec![vec![0.0; d_mlp]; domains],
            head_relevance: vec![vec![0.0; heads]; domains],
            mean: vec![vec![0.0; d_mlp]; domains],
            mean_abs: vec![vec![0.0; d_mlp]; domains],
        }
    }
    /// Sums over rows `first_row..` of one matrix.
    fn add(&mut self, matrix: Matrix, first_row: usize, sums: &ScanSums) {
        self.pair_dots.iter_mut().zip(&sums.pair_dots).for_each(|(a, b)| *a += b);
        self.square_norms.iter_mut().zip(&sums.square_norms).for_each(|(a, b)| *a += b);
        for (domain, activation) in self.activation.iter_mut().enumerate() {
            activation.add(matrix, first_row, sums, domain);
        }
    }
}

/// The checkpoint's own name, as a user knows it.
pub(super) fn weight_name(layer: usize, matrix: Matrix) -> String {
    let part = match matrix {
        Matrix::Q => "self_attn.q_proj",
        Matrix::K => "self_attn.k_proj",
        Matrix::V => "self_attn.v_proj",
        Matrix::O => "self_attn.o_proj",
        Matrix::Gate => "mlp.gate_proj",
        Matrix::Up => "mlp.up_proj",
        Matrix::Down => "mlp.down_proj",
    };
    format!("model.layers.{layer}.{part}.weight")
}
