//! One weight matrix at a time through the fused scan, and what a layer's matrices add up to.

use super::metrics::param_activation::LayerActivation;
use crate::{
    base::{Ctx, Error, Result},
    compute::{Backend, Mat, SampleSpan, ScanJob, ScanSums},
    model::{Block, Matrix, Role, Weights},
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
    /// As `relevance`, signed.
    pub attribution: Vec<Vec<f64>>,
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
    pub call: CallSize,
    pub ctx: &'a Ctx<'a>,
}

/// How much one call to the kernel does, so that a cancel is felt in time on a slow machine too.
#[derive(Clone, Copy)]
pub(super) struct CallSize {
    /// About, at most.
    pub flops: f64,
    /// Rows of the weight all the same.
    pub least_rows: usize,
}

impl Default for CallSize {
    fn default() -> Self {
        Self { flops: 5e9, least_rows: 256 }
    }
}

impl Scanner<'_> {
    /// Adds matrices of layer `layer` that read one `x` `[tokens, in]`, each with its `delta` `[tokens, out]`, of `samples`: all of them, whether with all their
    /// tokens or with those alone that have a gradient.
    pub fn scan(&self, layer: usize, of: &[(Matrix, &[f32])], samples: &[SampleSpan], x: &[f32], into: &mut LayerSums) -> Result<()> {
        let block = self.weights.block(layer);
        // Parts of a call: first rows and jobs.
        let (mut call, mut flops): (Vec<(Matrix, usize, ScanJob<'_>)>, f64) = (Vec::new(), 0.0);
        for &(matrix, delta) in of {
            let whole = self.job(&block, layer, matrix, samples, x, delta)?;
            let out = whole.w.rows;
            // All pairs of many samples cost more than their gradients.
            let a_row = 2.0 * whole.x.rows.max(self.pairs.len()) as f64 * whole.x.cols as f64;
            let rows_a_call = ((self.call.flops / a_row.max(1.0)) as usize).max(self.call.least_rows);
            for first in (0..out).step_by(rows_a_call) {
                let rows = rows_a_call.min(out - first);
                if flops + rows as f64 * a_row > self.call.flops && !call.is_empty() {
                    self.scan_call(layer, &std::mem::take(&mut call), into)?;
                    flops = 0.0;
                }
                call.push((matrix, first, ScanJob { w: whole.w.rows(first, rows), delta: whole.delta.columns(first, rows), ..whole }));
                flops += rows as f64 * a_row;
            }
        }
        self.scan_call(layer, &call, into)
    }

    fn scan_call(&self, layer: usize, call: &[(Matrix, usize, ScanJob<'_>)], into: &mut LayerSums) -> Result<()> {
        self.ctx.check()?;
        let jobs: Vec<ScanJob<'_>> = call.iter().map(|c| c.2).collect();
        let mut sums: Vec<ScanSums> = jobs.iter().map(ScanSums::zeros).collect();
        self.backend.scan_all(&jobs, &mut sums);
        call.iter().zip(&sums).try_for_each(|((matrix, first, _), sums)| self.add(layer, *matrix, *first, sums, into))
    }

    /// The scan of a whole matrix of `layer`, which is `block`.
    pub fn job<'j>(
        &'j self,
        block: &'j Block,
        layer: usize,
        matrix: Matrix,
        samples: &'j [SampleSpan],
        x: &'j [f32],
        delta: &'j [f32],
    ) -> Result<ScanJob<'j>> {
        let w = block.matrix(matrix);
        let &[out, input] = &w.shape[..] else {
            return Err(Error::numeric(weight_name(layer, matrix), format!("has shape {:?}, expected two dimensions", w.shape)));
        };
        let tokens = samples.last().map_or(0, |s| s.end);
        Ok(ScanJob {
            w: Mat::new(w, out, input),
            x: Mat::new(x, tokens, input),
            delta: Mat::new(delta, tokens, out),
            samples,
            n_domains: self.n_domains,
            pairs: self.pairs,
            gamma: self.gamma,
            want_means: self.want_means,
        })
    }

    /// Adds the sums over rows `first_row..` of a matrix, if they are numbers.
    pub fn add(&self, layer: usize, matrix: Matrix, first_row: usize, sums: &ScanSums, into: &mut LayerSums) -> Result<()> {
        self.verify(layer, matrix, sums)?;
        into.add(matrix, first_row, sums);
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
            attribution: vec![vec![0.0; d_mlp]; domains],
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

/// A weight's name in messages.
pub(super) fn weight_name(layer: usize, matrix: Matrix) -> String {
    Role::Weight(layer, matrix).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{job::silently, rng::Rng},
        compute::{Backend, cpu::CpuBackend},
        model::load_model,
    };

    #[test]
    fn rows_taken_a_few_at_a_time_give_the_same_sums() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
        let model = silently(|ctx| load_model(&folder, ctx)).expect("fixture");
        let backend: &dyn Backend = &CpuBackend::new(Some(1));
        let samples = [(0, 5, 0), (5, 12, 1), (12, 14, 0)].map(|(start, end, domain)| SampleSpan { start, end, domain });
        let mut rng = Rng::new(1);
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal() as f32).collect() };
        // gate: [88, 32], down: [32, 88]
        let operands = [(Matrix::Gate, random(14 * 32), random(14 * 88)), (Matrix::Down, random(14 * 88), random(14 * 32))];
        let sums = |call: CallSize| {
            silently(|ctx| {
                let scanner = Scanner {
                    backend,
                    weights: &model.weights,
                    samples: &samples,
                    n_domains: 2,
                    pairs: &[(0, 1), (2, 0)],
                    gamma: 0.05,
                    want_means: true,
                    sample_name: &|s| s.to_string(),
                    call,
                    ctx,
                };
                let mut sums = LayerSums::zeros(3, 2, 2, true, 88, 4);
                for (m, x, delta) in &operands {
                    scanner.scan(1, &[(*m, delta)], &samples, x, &mut sums).expect("scan");
                }
                sums
            })
        };
        let (whole, cut) = (sums(CallSize::default()), sums(CallSize { flops: 0.0, least_rows: 7 }));
        for (w, c) in whole.activation.iter().zip(&cut.activation) {
            assert!(w.count > 0 && w.count == c.count && w.histogram == c.histogram);
            // f32 column sums of down are added in another order: an ulp or two of the 32 terms.
            assert!(w.roll_up.iter().zip(&c.roll_up).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs()), "{w:?} {c:?}");
        }
        let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| *a > 0.0 && (a - b).abs() <= 1e-6 * a);
        assert!(close(&whole.pair_dots, &cut.pair_dots) && close(&whole.square_norms, &cut.square_norms));
    }
}
