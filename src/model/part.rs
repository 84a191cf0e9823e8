//! Parts of a block, for whoever knows the rest of a forward pass already: an ablation does.

use super::{
    Batch, Decoder, Hooks, Matrix,
    block::Scratch,
    spec::{MlpSpec, Residual},
    weights::{BlockNorm, Tensor},
};
use crate::{
    base::Result,
    compute::{AttentionSpan, Mat, MatMut},
};

/// Chosen rows of a batch, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsAt {
    pub rows: Vec<usize>,
    /// The rows as a batch of their own.
    pub batch: Batch,
    /// Where the chosen rows of each sequence of the whole batch begin among them all, and their number at the end.
    pub starts: Vec<usize>,
    pub(super) spans: Vec<AttentionSpan>,
    /// Rows of the whole batch.
    n: usize,
}

impl RowsAt {
    pub fn new(batch: &Batch, rows: Vec<usize>) -> Self {
        let (part, spans) = batch.select(&rows);
        let starts = batch.starts.iter().map(|&start| rows.partition_point(|&r| r < start)).collect();
        Self { rows, batch: part, starts, spans, n: batch.n_tokens() }
    }
    /// The rows of each of `times` copies of the batch, which has `n` tokens.
    pub fn repeat(&self, batch: &Batch, times: usize) -> Self {
        let n = batch.n_tokens();
        Self::new(&batch.repeat(times), (0..times).flat_map(|i| self.rows.iter().map(move |r| i * n + r)).collect())
    }
    /// Moves the chosen rows of `values` `[n, width]` to its beginning.
    pub(super) fn take(&self, values: &mut [f32], width: usize) {
        for (i, &r) in self.rows.iter().enumerate() {
            values.copy_within(r * width..(r + 1) * width, i * width);
        }
    }
    /// Writes `[rows, width]` over the chosen rows of `values` `[n, width]`.
    pub fn put(&self, chosen: &[f32], values: &mut [f32], width: usize) {
        for (&r, row) in self.rows.iter().zip(chosen.chunks_exact(width.max(1))) {
            values[r * width..(r + 1) * width].copy_from_slice(row);
        }
    }
    /// `[rows, width]` at their places in `all` `[n, width]`, the others being 0.
    pub(super) fn spread(&self, chosen: &[f32], all: &mut [f32]) {
        all.fill(0.0);
        self.put(chosen, all, all.len() / self.n.max(1));
    }
    /// `[rows, width]` at their places among all rows of the batch, the others being 0.
    pub fn among_zeros(&self, chosen: &[f32]) -> Vec<f32> {
        let width = chosen.len() / self.rows.len().max(1);
        let mut all = vec![0.0; self.n * width];
        self.put(chosen, &mut all, width);
        all
    }
    /// A copy of the chosen rows of `values` `[n, width]`.
    pub fn of(&self, values: &[f32], width: usize) -> Vec<f32> {
        self.rows.iter().flat_map(|&r| &values[r * width..(r + 1) * width]).copied().collect()
    }
    /// As [`RowsAt::of`], into `chosen` `[rows, width]`.
    pub(super) fn copy(&self, values: &[f32], width: usize, chosen: &mut [f32]) {
        for (&r, row) in self.rows.iter().zip(chosen.chunks_exact_mut(width)) {
            row.copy_from_slice(&values[r * width..(r + 1) * width]);
        }
    }
}

impl Decoder {
    /// Runs block `layer` for the rows `at` only: `resid` `[n, d_model]` is `hook_resid_pre` of all rows of the batch, for their keys and values;
    /// the result is `hook_resid_post` of the chosen ones. Hooks see the chosen rows, but for `hook_k` and `hook_v`. Each row is that of
    /// [`Decoder::block_forward`], bit for bit.
    ///
    /// # Errors
    /// Those of the hooks.
    pub fn block_forward_at(&self, layer: usize, batch: &Batch, resid: &[f32], at: &RowsAt, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let d = self.model.spec.d_model;
        assert_eq!(resid.len(), batch.n_tokens() * d, "residual of {} tokens", batch.n_tokens());
        let block = &*self.model.weights.block(layer);
        let mut scratch = self.take_scratch();
        let Scratch { tape, wide, .. } = &mut scratch;
        tape.resid_pre.clear();
        tape.resid_pre.extend_from_slice(resid);
        let mut chosen = Vec::new();
        let done = self
            .attention_part(layer, block, batch, Some(at), None, &mut chosen, tape, wide, hooks)
            .and_then(|()| self.mlp_part(layer, block, &at.batch, &mut chosen, tape, wide, hooks));
        self.return_scratch(scratch);
        done.map(|()| chosen)
    }

    /// The attention's part of block `layer` alone: `resid` is its `hook_resid_pre` on entry, its `hook_resid_mid` on return.
    ///
    /// # Errors
    /// Those of the hooks.
    pub fn attention_forward(&self, layer: usize, batch: &Batch, resid: &mut Vec<f32>, hooks: &mut dyn Hooks) -> Result<()> {
        let block = &*self.model.weights.block(layer);
        let mut scratch = self.take_scratch();
        let Scratch { tape, wide, .. } = &mut scratch;
        std::mem::swap(&mut tape.resid_pre, resid);
        let done = self.attention_part(layer, block, batch, None, None, resid, tape, wide, hooks);
        self.return_scratch(scratch);
        done
    }

    /// The MLP's part of block `layer` alone: `resid` is its `hook_resid_mid` on entry, its `hook_resid_post` on return. `batch` names the rows;
    /// they need not be whole sequences.
    ///
    /// # Errors
    /// Those of the hooks.
    ///
    /// # Panics
    /// For a parallel block, whose MLP reads something else: a bug of the caller.
    pub fn mlp_forward(&self, layer: usize, batch: &Batch, resid: &mut Vec<f32>, hooks: &mut dyn Hooks) -> Result<()> {
        assert!(self.model.spec.residual != Residual::Parallel, "the MLP of a parallel block does not read `hook_resid_mid`");
        let block = &*self.model.weights.block(layer);
        let mut scratch = self.take_scratch();
        let Scratch { tape, wide, .. } = &mut scratch;
        let done = self.mlp_part(layer, block, batch, resid, tape, wide, hooks);
        self.return_scratch(scratch);
        done
    }

    /// True where a change of a layer's neurons is a sum added to its `hook_resid_post`: no norm stands between the MLP and the residual.
    pub fn adds_neurons(&self) -> bool {
        matches!(self.model.spec.residual, Residual::Sequential | Residual::Parallel)
    }

    /// `mlp.hook_post` of some neurons of a layer, `[n, neurons]`, from what its MLP's norm reads, `[n, d_model]`: `hook_resid_mid`, or
    /// `hook_resid_pre` of a parallel block. Each value is that of a full pass, bit for bit.
    pub fn neurons_at(&self, layer: usize, read: &[f32], neurons: &[usize]) -> Vec<f32> {
        let spec = &self.model.spec;
        let (d, k) = (spec.d_model, neurons.len());
        let n = read.len() / d;
        let block = &*self.model.weights.block(layer);
        let mut normed = Vec::new();
        let x = match spec.residual {
            Residual::PostNorm => read,
            _ => {
                normed.resize(read.len(), 0.0);
                self.norm(block, BlockNorm::Mlp, read, &mut normed);
                &normed
            }
        };
        let pre = |m: Matrix| {
            let (w, bias) = (block.matrix(m), block.bias(m));
            let rows: Vec<f32> = neurons.iter().flat_map(|&i| &w[i * d..(i + 1) * d]).copied().collect();
            let mut out = vec![0.0; n * k];
            self.backend.gemm_nt(MatMut::new(&mut out, n, k), Mat::new(x, n, d), Mat::new(&rows, k, d), 1.0, 0.0);
            if let Some(bias) = bias.map(Tensor::values) {
                self.backend.add_bias(&mut out, &neurons.iter().map(|&i| bias[i]).collect::<Vec<_>>());
            }
            out
        };
        let up = pre(Matrix::Up);
        let mut post = vec![0.0; n * k];
        match spec.mlp {
            MlpSpec::Gated { act, .. } => self.backend.gated(act, &pre(Matrix::Gate), &up, &mut post),
            MlpSpec::Plain { act, .. } => self.backend.activate(act, &up, &mut post),
        }
        post
    }

    /// What neurons of a layer write for each unit of activation: their columns of the down matrix, `[neurons, d_model]`.
    pub(super) fn neuron_outputs(&self, layer: usize, neurons: &[usize]) -> Vec<f32> {
        let (d, f) = (self.model.spec.d_model, self.model.spec.d_mlp);
        let block = &*self.model.weights.block(layer);
        let down = block.matrix(Matrix::Down);
        neurons.iter().flat_map(|&i| (0..d).map(move |r| down[r * f + i])).collect()
    }

    /// Adds what a change of neurons makes of `hook_resid_post` `[n, d_model]`: `delta` `[n, neurons]` through their columns of the down matrix.
    /// In exact arithmetic the full pass; in f32 the last bits differ, for the sum has another order.
    pub fn add_neurons(&self, layer: usize, neurons: &[usize], delta: &[f32], resid: &mut [f32]) {
        let (d, k) = (self.model.spec.d_model, neurons.len());
        let n = resid.len() / d;
        let columns = self.neuron_outputs(layer, neurons);
        self.backend.gemm_nn(MatMut::new(resid, n, d), Mat::new(delta, n, k), Mat::new(&columns, k, d), 1.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_to_their_places_among_zeros() {
        for rows in [vec![0], vec![4], vec![0, 1], vec![1, 2, 4], vec![0, 3], vec![2, 3, 4], vec![0, 1, 2, 3, 4]] {
            let at = RowsAt::new(&Batch::new(&[vec![1, 2, 3], vec![4, 5]]), rows.clone());
            let all: Vec<f32> = (1..=10).map(|v| v as f32).collect();
            let mut values = all.clone();
            at.take(&mut values, 2);
            let chosen = &values[..2 * rows.len()];
            assert_eq!(chosen, at.of(&all, 2), "rows {rows:?}");
            let expected: Vec<f32> = (0..10).map(|i| if rows.contains(&(i / 2)) { all[i] } else { 0.0 }).collect();
            assert_eq!(at.among_zeros(chosen), expected, "rows {rows:?}");
            let mut spread = vec![7.0; 10];
            at.spread(chosen, &mut spread);
            assert_eq!(spread, expected, "rows {rows:?}");
        }
    }
}
