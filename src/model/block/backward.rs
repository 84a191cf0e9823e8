//! The vector-Jacobian product of a block, from what its forward pass kept.

use super::{BlockTape, Buffer, Scratch};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut, all_zero},
    model::{
        Batch, BlockNorm, Decoder, Matrix, Role, RowsAt, Taps, Tensor,
        decoder::{add, add_rows, sized},
        spec::{MlpSpec, Residual},
        weights::Block,
    },
};

/// Rows of a gradient that are not all 0, put together.
#[derive(Default)]
pub(super) struct Live {
    rows: Vec<usize>,
    delta: Vec<f32>,
    d_x: Vec<f32>,
}

impl Decoder {
    /// VJP of block `layer`: `d_resid` is dD/d`hook_resid_post` on entry, dD/d`hook_resid_pre` on return. A hook that changed a value in the
    /// forward pass counts as the identity here: gradients are those at the changed values. Without `onward`, for the lowest block of a pass, taps see the
    /// same, but nothing flows on below the block's matrices: `d_resid` is of no use afterwards, and norms of what enters the block get no gradient.
    ///
    /// # Errors
    /// Those of the taps, and a gradient that is not finite, naming where it first appears.
    pub fn block_backward(
        &self,
        layer: usize,
        batch: &Batch,
        tape: &BlockTape,
        d_resid: &mut [f32],
        onward: bool,
        taps: &mut dyn Taps,
    ) -> Result<()> {
        let mut scratch = self.take_scratch();
        let done = self.backward_with(layer, batch, None, tape, d_resid, onward, taps, &mut scratch);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_backward`], from the tape of [`Decoder::block_forward_for`]: `d_resid` is 0 but for the rows `at`. Of what belongs to these
    /// rows alone, taps are shown these, by [`Taps::linear_at`] and [`Taps::activation_at`]; every number is that of a whole pass, bit for bit.
    ///
    /// # Errors
    /// As [`Decoder::block_backward`].
    #[expect(clippy::too_many_arguments, reason = "one block's backward")]
    pub fn block_backward_for(
        &self,
        layer: usize,
        batch: &Batch,
        at: &RowsAt,
        tape: &BlockTape,
        d_resid: &mut [f32],
        onward: bool,
        taps: &mut dyn Taps,
    ) -> Result<()> {
        let mut scratch = self.take_scratch();
        let done = self.backward_with(layer, batch, Some(at), tape, d_resid, onward, taps, &mut scratch);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_backward`], for the lowest block of a pass that asks for gradients of the MLP's matrices alone: nothing flows on, and taps see
    /// no other matrix.
    ///
    /// # Errors
    /// Those of the taps.
    pub fn block_backward_mlp(&self, layer: usize, batch: &Batch, tape: &BlockTape, d_resid: &[f32], taps: &mut dyn Taps) -> Result<()> {
        let (spec, n) = (&self.model.spec, batch.n_tokens());
        assert_eq!(d_resid.len(), n * spec.d_model, "residual gradient of {n} tokens");
        let block = &*self.model.weights.block(layer);
        let mut scratch = self.take_scratch();
        let s = &mut scratch;
        let mut d_branch = std::mem::take(&mut s.d_branch);
        let norm = match spec.residual {
            Residual::Sequential | Residual::Parallel => None,
            Residual::Sandwich => Some(BlockNorm::PostMlp),
            Residual::PostNorm => Some(BlockNorm::Mlp),
        };
        let delta = match norm {
            None => d_resid,
            Some(norm) => {
                zeroed(&mut d_branch, d_resid.len());
                self.norm_gradient(layer, block, norm, &tape.before_post_mlp, d_resid, &mut d_branch, taps);
                &d_branch
            }
        };
        self.mlp_backward(layer, block, tape, Rows::All(n), delta, false, taps, s)?;
        s.d_branch = d_branch;
        self.return_scratch(scratch);
        Ok(())
    }

    /// What flows `onward` from the block's inputs is left in `d_resid`.
    #[expect(clippy::too_many_arguments, reason = "one block's backward")]
    fn backward_with(
        &self,
        l: usize,
        batch: &Batch,
        at: Option<&RowsAt>,
        t: &BlockTape,
        d_resid: &mut [f32],
        onward: bool,
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, n) = (&self.model.spec, batch.n_tokens());
        assert!(!batch.is_branched(), "a batch whose sequences go on from others runs forward only");
        assert_eq!(d_resid.len(), n * spec.d_model, "residual gradient of {n} tokens");
        assert_eq!(t.resid_pre.len(), n * spec.d_model, "a tape of this batch");
        let block = &*self.model.weights.block(l);
        let (mut d_branch, mut chosen) = (std::mem::take(&mut s.d_branch), std::mem::take(&mut s.chosen));
        let rows = at.map_or(Rows::All(n), Rows::At);
        // The gradient of the residual's rows that have one, down to where keys and values reach all.
        let d = match at {
            None => &mut *d_resid,
            Some(at) => {
                at.copy(d_resid, spec.d_model, sized(&mut chosen, at.rows.len() * spec.d_model));
                &mut chosen
            }
        };
        let done = match spec.residual {
            Residual::Sequential => self.mlp_backward(l, block, t, rows, d, true, taps, s).and_then(|()| {
                self.norm_gradient(l, block, BlockNorm::Mlp, &t.resid_mid, &s.wide, d, taps);
                self.attention_backward(l, block, t, batch, at, d, onward, taps, s)
            }),
            Residual::Parallel => {
                // Both parts write into the same sum, so both get its gradient, not the one that the other has added to.
                d_branch.copy(d);
                self.mlp_backward(l, block, t, rows, &d_branch, onward, taps, s).and_then(|()| {
                    if onward {
                        self.norm_gradient(l, block, BlockNorm::Mlp, t.read_by_parallel_mlp(rows.count(), spec.d_model), &s.wide, d, taps);
                    }
                    self.attention_backward(l, block, t, batch, at, &d_branch, onward, taps, s)
                })
            }
            Residual::Sandwich => {
                zeroed(&mut d_branch, d.len());
                self.norm_gradient(l, block, BlockNorm::PostMlp, &t.before_post_mlp, d, &mut d_branch, taps);
                self.mlp_backward(l, block, t, rows, &d_branch, true, taps, s).and_then(|()| {
                    self.norm_gradient(l, block, BlockNorm::Mlp, &t.resid_mid, &s.wide, d, taps);
                    zeroed(&mut d_branch, d.len());
                    self.norm_gradient(l, block, BlockNorm::PostAttn, &t.before_post_attn, d, &mut d_branch, taps);
                    self.attention_backward(l, block, t, batch, at, &d_branch, onward, taps, s)
                })
            }
            Residual::PostNorm => {
                zeroed(&mut d_branch, d.len());
                self.norm_gradient(l, block, BlockNorm::Mlp, &t.before_post_mlp, d, &mut d_branch, taps);
                self.mlp_backward(l, block, t, rows, &d_branch, true, taps, s).and_then(|()| {
                    self.backend.add(&mut d_branch, &s.wide);
                    d.fill(0.0);
                    self.norm_gradient(l, block, BlockNorm::Attn, &t.before_post_attn, &d_branch, d, taps);
                    self.attention_backward(l, block, t, batch, at, d, onward, taps, s)
                })
            }
        };
        if done.is_ok() && onward {
            if let Some(at) = at {
                at.put(&chosen, d_resid, spec.d_model);
            }
            match spec.residual {
                Residual::PostNorm => self.backend.add(d_resid, &s.wide),
                _ => self.norm_gradient(l, block, BlockNorm::Attn, &t.resid_pre, &s.wide, d_resid, taps),
            }
        }
        (s.d_branch, s.chosen) = (d_branch, chosen);
        done.and_then(|()| self.verify_gradients(l, at, d_resid, onward, s))
    }

    /// From the gradient of what the MLP writes to that of its input, left in `s.wide` where it is to flow `onward`.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's backward")]
    fn mlp_backward(
        &self,
        l: usize,
        block: &Block,
        t: &BlockTape,
        rows: Rows<'_>,
        delta: &[f32],
        onward: bool,
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, rows.count());
        let (d, f) = (spec.d_model, spec.d_mlp);
        let Scratch { x_mlp, post, d_post, d_gate, d_up, wide, live, .. } = s;
        let post: &[f32] = if t.keeps_post {
            &t.post
        } else {
            match spec.mlp {
                MlpSpec::Gated { act, .. } => b.gated(act, &t.gate, &t.up, post.sized(n * f)),
                MlpSpec::Plain { act, .. } => b.activate(act, &t.up, post.sized(n * f)),
            }
            post
        };
        tap(taps, l, Matrix::Down, rows, post, delta, block)?;
        self.input_gradient(delta, block.matrix(Matrix::Down), n, d_post.sized(n * f), false, live);
        tap_activation(taps, HookPoint::MlpPost(l), rows, post, d_post)?;
        let (d_gate, d_up) = (d_gate.sized(if spec.mlp.is_gated() { n * f } else { 0 }), d_up.sized(n * f));
        match spec.mlp {
            MlpSpec::Gated { act, .. } => b.gated_backward(act, &t.gate, &t.up, d_post, d_gate, d_up),
            MlpSpec::Plain { act, .. } => b.activate_backward(act, &t.up, d_post, d_up),
        }
        let gated = [(Matrix::Gate, &*d_gate), (Matrix::Up, &*d_up)];
        let of = if spec.mlp.is_gated() { &gated[..] } else { &gated[1..] };
        let read = match spec.residual {
            Residual::Parallel => t.read_by_parallel_mlp(n, d),
            Residual::Sequential | Residual::Sandwich | Residual::PostNorm => &t.resid_mid,
        };
        let x = self.input_again(l, block, BlockNorm::Mlp, read, of, x_mlp, taps);
        tap_all(taps, l, rows, x, of, block)?;
        if onward {
            let d_x = wide.sized(n * d);
            for (i, (m, delta)) in of.iter().enumerate() {
                self.input_gradient(delta, block.matrix(*m), n, d_x, i > 0, live);
            }
        }
        Ok(())
    }

    /// From the gradient of what attention writes to that of its input, left in `s.wide` where it is to flow `onward`.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's backward")]
    fn attention_backward(
        &self,
        l: usize,
        block: &Block,
        t: &BlockTape,
        batch: &Batch,
        at: Option<&RowsAt>,
        delta: &[f32],
        onward: bool,
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let (a, shape) = (&spec.attention, spec.attention_shape(l));
        let mut x_attn = std::mem::take(&mut s.x_attn);
        let rows = at.map_or(Rows::All(n), Rows::At);
        let m = rows.count();
        tap(taps, l, Matrix::O, rows, &t.z, delta, block)?;
        self.input_gradient(delta, block.matrix(Matrix::O), m, s.d_z.sized(m * spec.q_width()), false, &mut s.live);
        tap_activation(taps, HookPoint::Z(l), rows, &t.z, &s.d_z)?;
        s.d_q.sized(n * spec.q_width());
        s.d_k.sized(n * spec.kv_width());
        s.d_v.sized(n * spec.kv_width());
        // Queries without a gradient cost nothing there, whatever they are.
        let (q, d_z) = match at {
            None => (&t.q, &s.d_z),
            Some(at) => {
                at.spread(&t.q, s.q_spread.sized(n * spec.q_width()));
                at.spread(&s.d_z, s.d_z_spread.sized(n * spec.q_width()));
                (&s.q_spread, &s.d_z_spread)
            }
        };
        b.attention_backward(q, &t.k, &t.v, d_z, &batch.starts, &shape, &mut s.d_q, &mut s.d_k, &mut s.d_v);
        if let Some(at) = at {
            at.take(&mut s.d_q, spec.q_width());
            s.d_q.sized(m * spec.q_width());
        }
        if let Some((table, places)) = self.rope_for(l, batch) {
            let chosen = at.map(|at| at.rows.iter().map(|&r| places[r]).collect::<Vec<u32>>());
            b.rope(&mut s.d_q, chosen.as_deref().unwrap_or(&places), &table, a.n_heads, a.head_dim, true);
            b.rope(&mut s.d_k, &places, &table, a.n_kv_heads, a.head_dim, true);
        }
        if a.qk_norm {
            for (norm, raw, d) in [(BlockNorm::Q, &t.q_raw, &mut s.d_q), (BlockNorm::K, &t.k_raw, &mut s.d_k)] {
                zeroed(&mut s.d_raw, d.len());
                self.norm_gradient(l, block, norm, raw, d, &mut s.d_raw, taps);
                std::mem::swap(d, &mut s.d_raw);
            }
        }
        let d_x = s.wide.sized(n * spec.d_model);
        let of = [(Matrix::Q, &s.d_q[..]), (Matrix::K, &s.d_k[..]), (Matrix::V, &s.d_v[..])];
        let x = self.input_again(l, block, BlockNorm::Attn, &t.resid_pre, &of, &mut x_attn, taps);
        match at {
            None => tap_all(taps, l, rows, x, &of, block)?,
            Some(at) => {
                let x_q = s.x_q.sized(if x.is_empty() { 0 } else { m * spec.d_model });
                at.copy(x, spec.d_model, x_q);
                tap(taps, l, Matrix::Q, rows, x_q, &s.d_q, block)?;
                tap_all(taps, l, Rows::All(n), x, &of[1..], block)?;
            }
        }
        s.x_attn = x_attn;
        if !onward {
            return Ok(());
        }
        match at {
            None => self.input_gradient(&s.d_q, block.matrix(Matrix::Q), n, d_x, false, &mut s.live),
            Some(at) => {
                let d_chosen = s.x_q.sized(m * spec.d_model);
                self.input_gradient(&s.d_q, block.matrix(Matrix::Q), m, d_chosen, false, &mut s.live);
                d_x.fill(0.0);
                at.put(d_chosen, d_x, spec.d_model);
            }
        }
        for (m, d) in [(Matrix::K, &s.d_k), (Matrix::V, &s.d_v)] {
            self.input_gradient(d, block.matrix(m), n, d_x, true, &mut s.live);
        }
        Ok(())
    }

    /// Whatever goes wrong in a backward pass that goes on ends up in `d_resid`, since a value that is not finite stays so through every product and sum;
    /// else in what the block's matrices get.
    fn verify_gradients(&self, l: usize, at: Option<&RowsAt>, d_resid: &[f32], onward: bool, s: &Scratch) -> Result<()> {
        let ends: &[&[f32]] = if onward { &[d_resid] } else { &[&s.d_up, &s.d_q, &s.d_k, &s.d_v] };
        if ends.iter().all(|values| self.backend.all_finite(values)) {
            return Ok(());
        }
        let gated = self.model.spec.mlp.is_gated();
        let steps: [(HookPoint, &[f32]); 8] = [
            (HookPoint::MlpPost(l), &s.d_post),
            (HookPoint::MlpPre(l), if gated { &s.d_gate } else { &s.d_up }),
            (HookPoint::MlpPreLinear(l), if gated { &s.d_up } else { &[] }),
            (HookPoint::Z(l), &s.d_z),
            (HookPoint::Q(l), &s.d_q),
            (HookPoint::K(l), &s.d_k),
            (HookPoint::V(l), &s.d_v),
            (HookPoint::ResidPre(l), d_resid),
        ];
        let (point, values) = steps.iter().find(|(_, v)| !self.backend.all_finite(v)).unwrap_or(&steps[7]);
        let place = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        let spec = &self.model.spec;
        let (width, of_chosen) = match point {
            HookPoint::ResidPre(_) => (spec.d_model, false),
            HookPoint::K(_) | HookPoint::V(_) => (spec.kv_width(), false),
            HookPoint::Z(_) | HookPoint::Q(_) => (spec.q_width(), true),
            _ => (spec.d_mlp, true),
        };
        let (row, column) = (place / width, place % width);
        let token = at.filter(|_| of_chosen).map_or(row, |at| at.rows[row]);
        let message = format!("{} at token {token}, column {column}, expected a finite number", values[place]);
        Err(Error::numeric(format!("gradient at {point}"), message))
    }

    /// What the matrices of `of` read, made again from what their `norm` read: bit for bit that of the forward pass. Empty where no tap asks for it.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's backward")]
    fn input_again<'x>(
        &self,
        l: usize,
        block: &Block,
        norm: BlockNorm,
        read: &'x [f32],
        of: &[(Matrix, &[f32])],
        made: &'x mut Buffer,
        taps: &dyn Taps,
    ) -> &'x [f32] {
        if !of.iter().any(|(m, _)| taps.wants_input(l, *m)) {
            return &[];
        }
        // There the norm stands behind.
        if self.model.spec.residual == Residual::PostNorm {
            return read;
        }
        self.norm(block, norm, read, made.sized(read.len()));
        made
    }

    /// Adds the input gradient of a norm to `d_x`.
    #[expect(clippy::too_many_arguments, reason = "the operands of one norm's backward")]
    fn norm_gradient(&self, l: usize, block: &Block, norm: BlockNorm, x: &[f32], d_y: &[f32], d_x: &mut [f32], taps: &mut dyn Taps) {
        if block.norm_bias(norm).is_some()
            && let Some(sum) = taps.parameter(Role::NormBias(norm, l))
        {
            add_rows(sum, d_y);
        }
        let gain = taps.parameter(Role::Norm(norm, l));
        self.backend.norm_backward(&self.model.spec.norm.norm(), x, block.norm(norm), d_y, d_x, gain);
    }

    /// `d_x = delta W`, or `d_x += delta W`. Rows of `delta` that are 0 cost nothing: with an objective at one position that is nearly all of
    /// them in the last block.
    fn input_gradient(&self, delta: &[f32], w: &Tensor, n: usize, d_x: &mut [f32], add_to: bool, live: &mut Live) {
        let (rows, cols) = (w.shape[0], w.shape[1]);
        live.rows.clear();
        let is_live = |(_, row): &(usize, &[f32])| !all_zero(row);
        live.rows.extend(delta.chunks_exact(rows).enumerate().filter(is_live).map(|(i, _)| i).take(n / 2 + 1));
        let k = live.rows.len();
        let w = Mat::new(w, rows, cols);
        if 2 * k > n {
            let beta = if add_to { 1.0 } else { 0.0 };
            self.backend.gemm_nn(MatMut::new(d_x, n, cols), Mat::new(delta, n, rows), w, 1.0, beta);
            return;
        }
        live.delta.clear();
        for &i in &live.rows {
            live.delta.extend_from_slice(&delta[i * rows..(i + 1) * rows]);
        }
        if !add_to {
            d_x.fill(0.0);
        }
        if k == 0 {
            return;
        }
        let out = sized(&mut live.d_x, k * cols);
        self.backend.gemm_nn(MatMut::new(out, k, cols), Mat::new(&live.delta, k, rows), w, 1.0, 0.0);
        for (&i, row) in live.rows.iter().zip(out.chunks_exact(cols)) {
            add(&mut d_x[i * cols..(i + 1) * cols], row);
        }
    }
}

/// The rows that a gradient is of.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// So many: those of the whole batch.
    All(usize),
    At(&'a RowsAt),
}

impl Rows<'_> {
    fn count(self) -> usize {
        match self {
            Self::All(n) => n,
            Self::At(at) => at.rows.len(),
        }
    }
}

/// Shows a linear layer to the taps, and sums its bias gradient where one is wanted.
fn tap(taps: &mut dyn Taps, l: usize, m: Matrix, rows: Rows<'_>, x: &[f32], delta: &[f32], block: &Block) -> Result<()> {
    tap_all(taps, l, rows, x, &[(m, delta)], block)
}

/// [`tap`] for linear layers that read the same.
fn tap_all(taps: &mut dyn Taps, l: usize, rows: Rows<'_>, x: &[f32], of: &[(Matrix, &[f32])], block: &Block) -> Result<()> {
    match rows {
        Rows::All(_) => taps.linears(l, x, of)?,
        Rows::At(at) => of.iter().try_for_each(|(m, delta)| taps.linear_at(l, *m, at, x, delta))?,
    }
    for (m, delta) in of {
        if block.bias(*m).is_some()
            && let Some(sum) = taps.parameter(Role::Bias(l, *m))
        {
            add_rows(sum, delta);
        }
    }
    Ok(())
}

fn tap_activation(taps: &mut dyn Taps, point: HookPoint, rows: Rows<'_>, values: &[f32], gradient: &[f32]) -> Result<()> {
    match rows {
        Rows::All(_) => taps.activation(point, values, gradient),
        Rows::At(at) => taps.activation_at(point, at, values, gradient),
    }
}

fn zeroed(buffer: &mut Buffer, len: usize) {
    buffer.sized(len).fill(0.0);
}
