//! One block: its forward pass, and its vector-Jacobian product from what the forward kept.

use super::{
    Batch, Decoder, Hooks, Matrix, NoHooks, RowsAt, Taps,
    decoder::{add, add_rows, call, sized},
    kept::KeptLayer,
    spec::{MlpSpec, Residual},
    weights::{Block, BlockNorm, Role, Tensor},
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut},
};

/// What a block's backward needs from its forward, after hooks had their say. Reusing one tape for block after block reuses its memory.
#[derive(Default)]
pub struct BlockTape {
    /// `[n, d_model]`
    pub(super) resid_pre: Vec<f32>,
    /// Input of q, k and v, `[n, d_model]`.
    x_attn: Vec<f32>,
    /// Before their norm, where there is one.
    q_raw: Vec<f32>,
    k_raw: Vec<f32>,
    /// Normed and rotated.
    q: Vec<f32>,
    /// Normed and rotated.
    k: Vec<f32>,
    v: Vec<f32>,
    z: Vec<f32>,
    /// What goes into the norm after attention, where there is one, `[n, d_model]`.
    before_post_attn: Vec<f32>,
    resid_mid: Vec<f32>,
    /// Input of gate and up, `[n, d_model]`.
    x_mlp: Vec<f32>,
    /// Stays empty without a gate.
    gate: Vec<f32>,
    up: Vec<f32>,
    post: Vec<f32>,
    /// What goes into the norm after the MLP, where there is one.
    before_post_mlp: Vec<f32>,
}

impl BlockTape {
    /// Exchanges what [`Decoder::block_backward`] can do without where attention's matrices do not train: their inputs, which it then shows to no tap,
    /// and those of the MLP's, which it makes again. A trainer has one spare tape for all blocks: before the forward pass of each it lends these buffers,
    /// afterwards it takes them back, and two fifths of a tape need not be kept. Not for a pass in which hooks changed a value.
    pub fn exchange_inputs(&mut self, spare: &mut Self) {
        let Self { x_attn, z, x_mlp, post, .. } = self;
        for (mine, other) in [(x_attn, &mut spare.x_attn), (z, &mut spare.z), (x_mlp, &mut spare.x_mlp), (post, &mut spare.post)] {
            std::mem::swap(mine, other);
        }
    }
    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let Self { resid_pre, x_attn, q_raw, k_raw, q, k, v, z, before_post_attn, resid_mid, x_mlp, gate, up, post, before_post_mlp } =
            self;
        let all = [resid_pre, x_attn, q_raw, k_raw, q, k, v, z, before_post_attn, resid_mid, x_mlp, gate, up, post, before_post_mlp];
        4 * all.into_iter().map(Vec::capacity).sum::<usize>()
    }
    /// `blocks.{l}.mlp.hook_post` of the forward pass, `[n, d_mlp]`.
    pub fn mlp_post(&self) -> &[f32] {
        &self.post
    }
    /// `blocks.{l}.attn.hook_z`, `[n, n_heads * head_dim]`.
    pub fn z(&self) -> &[f32] {
        &self.z
    }
}

/// Working memory of a pass.
#[derive(Default)]
pub(super) struct Scratch {
    pub tape: BlockTape,
    /// Output of attention or MLP in a forward pass; gradient of a normed input in a backward pass.
    pub wide: Vec<f32>,
    /// Gradient of what attention or MLP writes, where that is not the residual's.
    d_branch: Vec<f32>,
    d_z: Vec<f32>,
    d_q: Vec<f32>,
    d_k: Vec<f32>,
    d_v: Vec<f32>,
    d_raw: Vec<f32>,
    d_post: Vec<f32>,
    d_gate: Vec<f32>,
    d_up: Vec<f32>,
    live: Live,
    /// Inputs of the MLP's matrices, where the tape does not have them.
    x_mlp: Vec<f32>,
    post: Vec<f32>,
}

/// Rows of a gradient that are not all 0, put together.
#[derive(Default)]
struct Live {
    rows: Vec<usize>,
    delta: Vec<f32>,
    d_x: Vec<f32>,
}

impl Decoder {
    /// Runs block `layer`: `resid` `[n, d_model]` is its `hook_resid_pre` on entry, its `hook_resid_post` on return.
    /// With `tape`, keeps what [`Decoder::block_backward`] needs.
    ///
    /// # Errors
    /// Those of the hooks.
    pub fn block_forward(
        &self,
        layer: usize,
        batch: &Batch,
        resid: &mut [f32],
        tape: Option<&mut BlockTape>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let mut scratch = self.take_scratch();
        let Scratch { tape: own, wide, .. } = &mut scratch;
        let done = self.forward_into(layer, batch, None, resid, tape.unwrap_or(own), wide, hooks);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_forward`], for tokens that go on from those whose keys and values `kept` holds; it takes in theirs.
    pub(super) fn block_forward_kept(&self, layer: usize, batch: &Batch, resid: &mut [f32], kept: &mut KeptLayer) -> Result<()> {
        let mut scratch = self.take_scratch();
        let Scratch { tape, wide, .. } = &mut scratch;
        let done = self.forward_into(layer, batch, Some(kept), resid, tape, wide, &mut NoHooks);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_forward`] with a tape, where nothing after the block looks at any row but those of `at`: only they are computed, but for
    /// keys and values, bit for bit as in a whole pass. The others are 0 in `resid` and, but for what keys and values come from, in the tape, which
    /// [`Decoder::block_backward`] takes as it is: their gradients are 0 whatever stands there.
    ///
    /// # Errors
    /// Those of the hooks, which see the chosen rows.
    pub fn block_forward_for(
        &self,
        layer: usize,
        batch: &Batch,
        resid: &mut [f32],
        at: &RowsAt,
        t: &mut BlockTape,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, block) = (&self.model.spec, &*self.model.weights.block(layer));
        let d = spec.d_model;
        assert_eq!(resid.len(), batch.n_tokens() * d, "residual of {} tokens", batch.n_tokens());
        let mut scratch = self.take_scratch();
        let out = &mut scratch.wide;
        call(hooks, HookPoint::ResidPre(layer), batch, resid)?;
        keep(&mut t.resid_pre, resid);
        let mut chosen = at.of(resid, d);
        let done = self
            .attention_part(layer, block, batch, Some(at), None, &mut chosen, t, out, hooks)
            .and_then(|()| self.mlp_part(layer, block, &at.batch, &mut chosen, t, out, hooks));
        self.return_scratch(scratch);
        done?;
        keep(&mut t.resid_pre, resid);
        match spec.residual {
            Residual::PostNorm => keep(&mut t.x_attn, &t.resid_pre),
            _ => self.norm(block, BlockNorm::Attn, &t.resid_pre, &mut t.x_attn),
        }
        let of_rows = [
            &mut t.q_raw,
            &mut t.q,
            &mut t.z,
            &mut t.before_post_attn,
            &mut t.resid_mid,
            &mut t.x_mlp,
            &mut t.gate,
            &mut t.up,
            &mut t.post,
            &mut t.before_post_mlp,
        ];
        for values in of_rows {
            at.spread(values, batch.n_tokens());
        }
        resid.fill(0.0);
        at.put(&chosen, resid, d);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one block's forward")]
    fn forward_into(
        &self,
        l: usize,
        batch: &Batch,
        kept: Option<&mut KeptLayer>,
        resid: &mut [f32],
        t: &mut BlockTape,
        out: &mut Vec<f32>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        assert_eq!(resid.len(), batch.n_tokens() * self.model.spec.d_model, "residual of {} tokens", batch.n_tokens());
        let block = &*self.model.weights.block(l);
        call(hooks, HookPoint::ResidPre(l), batch, resid)?;
        keep(&mut t.resid_pre, resid);
        self.attention_part(l, block, batch, None, kept, resid, t, out, hooks)?;
        self.mlp_part(l, block, batch, resid, t, out, hooks)
    }

    /// From `t.resid_pre` `[n, d_model]` to `hook_resid_mid` (of a parallel block: what the MLP's part is added to), which `resid` becomes. With
    /// `at`, keys and values are those of all rows and everything else of the chosen ones; then `resid` holds these, and so does the tape. With `kept`, the
    /// tokens go on from those whose keys and values it holds.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's forward")]
    pub(super) fn attention_part(
        &self,
        l: usize,
        block: &Block,
        batch: &Batch,
        at: Option<&RowsAt>,
        kept: Option<&mut KeptLayer>,
        resid: &mut [f32],
        t: &mut BlockTape,
        out: &mut Vec<f32>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let (a, shape) = (&spec.attention, spec.attention_shape(l));
        let w = |m: Matrix| (block.matrix(m), block.bias(m));
        // The rows whose queries are computed.
        let (rows, m) = at.map_or((batch, n), |at| (&at.batch, at.rows.len()));
        match spec.residual {
            Residual::PostNorm => keep(&mut t.x_attn, &t.resid_pre),
            _ => self.norm(block, BlockNorm::Attn, &t.resid_pre, &mut t.x_attn),
        }
        self.linear(&t.x_attn, w(Matrix::K), n, &mut t.k);
        self.linear(&t.x_attn, w(Matrix::V), n, &mut t.v);
        if let Some(at) = at {
            at.take(&mut t.x_attn, spec.d_model);
            at.take(&mut t.resid_pre, spec.d_model);
        }
        self.linear(&t.x_attn, w(Matrix::Q), m, &mut t.q);
        call(hooks, HookPoint::Q(l), rows, &mut t.q)?;
        call(hooks, HookPoint::K(l), batch, &mut t.k)?;
        call(hooks, HookPoint::V(l), batch, &mut t.v)?;
        if a.qk_norm {
            std::mem::swap(&mut t.q_raw, &mut t.q);
            std::mem::swap(&mut t.k_raw, &mut t.k);
            self.norm(block, BlockNorm::Q, &t.q_raw, &mut t.q);
            self.norm(block, BlockNorm::K, &t.k_raw, &mut t.k);
        }
        if let Some((table, places)) = self.rope_for(l, batch) {
            let chosen = at.map(|at| at.rows.iter().map(|&r| places[r]).collect::<Vec<u32>>());
            b.rope(&mut t.q, chosen.as_deref().unwrap_or(&places), &table, a.n_heads, a.head_dim, false);
            b.rope(&mut t.k, &places, &table, a.n_kv_heads, a.head_dim, false);
        }
        if hooks.wants(HookPoint::Pattern(l)) {
            if at.is_some() || batch.is_branched() {
                return Err(Error::invalid("attention patterns are those of whole sequences: run each by itself"));
            }
            for i in 0..batch.n_sequences() {
                let rows = |width: usize| batch.span(i).start * width..batch.span(i).end * width;
                let (q, k) = (&t.q[rows(spec.q_width())], &t.k[rows(spec.kv_width())]);
                let mut pattern = b.attention_pattern(q, k, &shape);
                hooks.at(HookPoint::Pattern(l), batch, &mut pattern)?;
            }
        }
        let z = sized(&mut t.z, m * spec.q_width());
        match (kept, at) {
            (Some(kept), _) => {
                let span = kept.push(&t.k, &t.v, n);
                b.attention_spans(&t.q, &kept.k, &kept.v, &[span], &shape, z);
            }
            (None, Some(at)) => b.attention_spans(&t.q, &t.k, &t.v, &at.spans, &shape, z),
            (None, None) if batch.is_branched() => b.attention_spans(&t.q, &t.k, &t.v, &batch.spans(), &shape, z),
            (None, None) => b.attention(&t.q, &t.k, &t.v, &batch.starts, &shape, z),
        }
        call(hooks, HookPoint::Z(l), rows, &mut t.z)?;
        self.linear(&t.z, w(Matrix::O), m, out);
        if spec.residual == Residual::Sandwich {
            std::mem::swap(&mut t.before_post_attn, out);
            self.norm(block, BlockNorm::PostAttn, &t.before_post_attn, out);
        }
        call(hooks, HookPoint::AttnOut(l), rows, out)?;
        // Not by a GEMM that accumulates into the residual: with and without a hook the sums must round alike.
        b.add(resid, out);
        if spec.residual == Residual::PostNorm {
            keep(&mut t.before_post_attn, resid);
            self.norm_into(block, BlockNorm::Attn, &t.before_post_attn, resid);
        }
        if spec.residual == Residual::Parallel { Ok(()) } else { call(hooks, HookPoint::ResidMid(l), rows, resid) }
    }

    /// From what [`Decoder::attention_part`] leaves (of a parallel block also `t.resid_pre`) to `hook_resid_post`.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's forward")]
    pub(super) fn mlp_part(
        &self,
        l: usize,
        block: &Block,
        batch: &Batch,
        resid: &mut [f32],
        t: &mut BlockTape,
        out: &mut Vec<f32>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let w = |m: Matrix| (block.matrix(m), block.bias(m));
        if spec.residual != Residual::Parallel {
            keep(&mut t.resid_mid, resid);
        }
        match spec.residual {
            Residual::PostNorm => keep(&mut t.x_mlp, resid),
            Residual::Parallel => self.norm(block, BlockNorm::Mlp, &t.resid_pre, &mut t.x_mlp),
            Residual::Sequential | Residual::Sandwich => self.norm(block, BlockNorm::Mlp, resid, &mut t.x_mlp),
        }
        self.linear(&t.x_mlp, w(Matrix::Up), n, &mut t.up);
        match spec.mlp {
            MlpSpec::Gated { act, .. } => {
                self.linear(&t.x_mlp, w(Matrix::Gate), n, &mut t.gate);
                call(hooks, HookPoint::MlpPre(l), batch, &mut t.gate)?;
                call(hooks, HookPoint::MlpPreLinear(l), batch, &mut t.up)?;
                b.gated(act, &t.gate, &t.up, sized(&mut t.post, n * spec.d_mlp));
            }
            MlpSpec::Plain { act, .. } => {
                call(hooks, HookPoint::MlpPre(l), batch, &mut t.up)?;
                b.activate(act, &t.up, sized(&mut t.post, n * spec.d_mlp));
            }
        }
        call(hooks, HookPoint::MlpPost(l), batch, &mut t.post)?;
        self.linear(&t.post, w(Matrix::Down), n, out);
        if spec.residual == Residual::Sandwich {
            std::mem::swap(&mut t.before_post_mlp, out);
            self.norm(block, BlockNorm::PostMlp, &t.before_post_mlp, out);
        }
        call(hooks, HookPoint::MlpOut(l), batch, out)?;
        b.add(resid, out);
        if spec.residual == Residual::PostNorm {
            keep(&mut t.before_post_mlp, resid);
            self.norm_into(block, BlockNorm::Mlp, &t.before_post_mlp, resid);
        }
        call(hooks, HookPoint::ResidPost(l), batch, resid)
    }

    /// VJP of block `layer`: `d_resid` is dD/d`hook_resid_post` on entry, dD/d`hook_resid_pre` on return. A hook that changed a value in the
    /// forward pass counts as the identity here: gradients are those at the changed values.
    ///
    /// # Errors
    /// Those of the taps, and a gradient that is not finite, naming where it first appears.
    pub fn block_backward(&self, layer: usize, batch: &Batch, tape: &BlockTape, d_resid: &mut [f32], taps: &mut dyn Taps) -> Result<()> {
        let mut scratch = self.take_scratch();
        let done = self.backward_with(layer, batch, tape, d_resid, true, taps, &mut scratch);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_backward`], for the lowest block of a pass: taps see the same, but nothing flows on below the block's matrices, so that
    /// `d_resid` is of no use afterwards and norms of what enters the block get no gradient.
    ///
    /// # Errors
    /// As [`Decoder::block_backward`].
    pub fn block_backward_lowest(
        &self,
        layer: usize,
        batch: &Batch,
        tape: &BlockTape,
        d_resid: &mut [f32],
        taps: &mut dyn Taps,
    ) -> Result<()> {
        let mut scratch = self.take_scratch();
        let done = self.backward_with(layer, batch, tape, d_resid, false, taps, &mut scratch);
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
        self.mlp_backward(layer, block, tape, n, delta, false, taps, s)?;
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
        let mut d_branch = std::mem::take(&mut s.d_branch);
        let done = match spec.residual {
            Residual::Sequential => {
                self.mlp_backward(l, block, t, n, d_resid, true, taps, s)?;
                self.norm_gradient(l, block, BlockNorm::Mlp, &t.resid_mid, &s.wide, d_resid, taps);
                self.attention_backward(l, block, t, batch, d_resid, onward, taps, s)?;
                if onward {
                    self.norm_gradient(l, block, BlockNorm::Attn, &t.resid_pre, &s.wide, d_resid, taps);
                }
                Ok(())
            }
            Residual::Parallel => {
                // Both parts write into the same sum, so both get its gradient, not the one that the other has added to.
                keep(&mut d_branch, d_resid);
                self.mlp_backward(l, block, t, n, &d_branch, onward, taps, s)?;
                if onward {
                    self.norm_gradient(l, block, BlockNorm::Mlp, &t.resid_pre, &s.wide, d_resid, taps);
                }
                self.attention_backward(l, block, t, batch, &d_branch, onward, taps, s)?;
                if onward {
                    self.norm_gradient(l, block, BlockNorm::Attn, &t.resid_pre, &s.wide, d_resid, taps);
                }
                Ok(())
            }
            Residual::Sandwich => {
                zeroed(&mut d_branch, d_resid.len());
                self.norm_gradient(l, block, BlockNorm::PostMlp, &t.before_post_mlp, d_resid, &mut d_branch, taps);
                self.mlp_backward(l, block, t, n, &d_branch, true, taps, s)?;
                self.norm_gradient(l, block, BlockNorm::Mlp, &t.resid_mid, &s.wide, d_resid, taps);
                zeroed(&mut d_branch, d_resid.len());
                self.norm_gradient(l, block, BlockNorm::PostAttn, &t.before_post_attn, d_resid, &mut d_branch, taps);
                self.attention_backward(l, block, t, batch, &d_branch, onward, taps, s)?;
                if onward {
                    self.norm_gradient(l, block, BlockNorm::Attn, &t.resid_pre, &s.wide, d_resid, taps);
                }
                Ok(())
            }
            Residual::PostNorm => {
                zeroed(&mut d_branch, d_resid.len());
                self.norm_gradient(l, block, BlockNorm::Mlp, &t.before_post_mlp, d_resid, &mut d_branch, taps);
                self.mlp_backward(l, block, t, n, &d_branch, true, taps, s)?;
                self.backend.add(&mut d_branch, &s.wide);
                d_resid.fill(0.0);
                self.norm_gradient(l, block, BlockNorm::Attn, &t.before_post_attn, &d_branch, d_resid, taps);
                self.attention_backward(l, block, t, batch, d_resid, onward, taps, s)?;
                if onward {
                    self.backend.add(d_resid, &s.wide);
                }
                Ok(())
            }
        };
        s.d_branch = d_branch;
        done.and_then(|()| self.verify_gradients(l, n, d_resid, onward, s))
    }

    /// From the gradient of what the MLP writes to that of its input, left in `s.wide` where it is to flow `onward`.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's backward")]
    fn mlp_backward(
        &self,
        l: usize,
        block: &Block,
        t: &BlockTape,
        n: usize,
        delta: &[f32],
        onward: bool,
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, b) = (&self.model.spec, &*self.backend);
        let (mut own_x, mut own_post) = (std::mem::take(&mut s.x_mlp), std::mem::take(&mut s.post));
        let again = t.post.is_empty();
        if again {
            match spec.residual {
                Residual::PostNorm => keep(&mut own_x, &t.resid_mid),
                Residual::Parallel => self.norm(block, BlockNorm::Mlp, &t.resid_pre, &mut own_x),
                Residual::Sequential | Residual::Sandwich => self.norm(block, BlockNorm::Mlp, &t.resid_mid, &mut own_x),
            }
            match spec.mlp {
                MlpSpec::Gated { act, .. } => b.gated(act, &t.gate, &t.up, sized(&mut own_post, n * spec.d_mlp)),
                MlpSpec::Plain { act, .. } => b.activate(act, &t.up, sized(&mut own_post, n * spec.d_mlp)),
            }
        }
        let (x, post): (&[f32], &[f32]) = if again { (&own_x, &own_post) } else { (&t.x_mlp, &t.post) };
        tap(taps, l, Matrix::Down, post, delta, block)?;
        self.input_gradient(delta, block.matrix(Matrix::Down), n, sized(&mut s.d_post, n * spec.d_mlp), false, &mut s.live);
        taps.activation(HookPoint::MlpPost(l), post, &s.d_post)?;
        let d_up = sized(&mut s.d_up, n * spec.d_mlp);
        let d_x = sized(&mut s.wide, n * spec.d_model);
        match spec.mlp {
            MlpSpec::Gated { act, .. } => {
                let d_gate = sized(&mut s.d_gate, n * spec.d_mlp);
                b.gated_backward(act, &t.gate, &t.up, &s.d_post, d_gate, d_up);
                tap(taps, l, Matrix::Gate, x, d_gate, block)?;
                tap(taps, l, Matrix::Up, x, d_up, block)?;
                if onward {
                    self.input_gradient(d_gate, block.matrix(Matrix::Gate), n, d_x, false, &mut s.live);
                    self.input_gradient(d_up, block.matrix(Matrix::Up), n, d_x, true, &mut s.live);
                }
            }
            MlpSpec::Plain { act, .. } => {
                b.activate_backward(act, &t.up, &s.d_post, d_up);
                tap(taps, l, Matrix::Up, x, d_up, block)?;
                if onward {
                    self.input_gradient(d_up, block.matrix(Matrix::Up), n, d_x, false, &mut s.live);
                }
            }
        }
        (s.x_mlp, s.post) = (own_x, own_post);
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
        delta: &[f32],
        onward: bool,
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let (a, shape) = (&spec.attention, spec.attention_shape(l));
        tap(taps, l, Matrix::O, &t.z, delta, block)?;
        self.input_gradient(delta, block.matrix(Matrix::O), n, sized(&mut s.d_z, n * spec.q_width()), false, &mut s.live);
        taps.activation(HookPoint::Z(l), &t.z, &s.d_z)?;
        sized(&mut s.d_q, n * spec.q_width());
        sized(&mut s.d_k, n * spec.kv_width());
        sized(&mut s.d_v, n * spec.kv_width());
        b.attention_backward(&t.q, &t.k, &t.v, &s.d_z, &batch.starts, &shape, &mut s.d_q, &mut s.d_k, &mut s.d_v);
        if let Some((table, rows)) = self.rope_for(l, batch) {
            b.rope(&mut s.d_q, &rows, &table, a.n_heads, a.head_dim, true);
            b.rope(&mut s.d_k, &rows, &table, a.n_kv_heads, a.head_dim, true);
        }
        if a.qk_norm {
            for (norm, raw, d) in [(BlockNorm::Q, &t.q_raw, &mut s.d_q), (BlockNorm::K, &t.k_raw, &mut s.d_k)] {
                zeroed(&mut s.d_raw, d.len());
                self.norm_gradient(l, block, norm, raw, d, &mut s.d_raw, taps);
                std::mem::swap(d, &mut s.d_raw);
            }
        }
        let d_x = sized(&mut s.wide, n * spec.d_model);
        for (i, (m, d)) in [(Matrix::Q, &s.d_q), (Matrix::K, &s.d_k), (Matrix::V, &s.d_v)].into_iter().enumerate() {
            tap(taps, l, m, &t.x_attn, d, block)?;
            if onward {
                self.input_gradient(d, block.matrix(m), n, d_x, i > 0, &mut s.live);
            }
        }
        Ok(())
    }

    /// Whatever goes wrong in a backward pass that goes on ends up in `d_resid`, since a value that is not finite stays so through every product and sum;
    /// else in what the block's matrices get.
    fn verify_gradients(&self, l: usize, n: usize, d_resid: &[f32], onward: bool, s: &Scratch) -> Result<()> {
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
        let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        let width = (values.len() / n.max(1)).max(1);
        let message = format!("{} at token {}, column {}, expected a finite number", values[at], at / width, at % width);
        Err(Error::numeric(format!("gradient at {point}"), message))
    }

    /// A norm of the block over rows of its own width.
    pub(super) fn norm(&self, block: &Block, norm: BlockNorm, x: &[f32], y: &mut Vec<f32>) {
        self.norm_into(block, norm, x, sized(y, x.len()));
    }

    fn norm_into(&self, block: &Block, norm: BlockNorm, x: &[f32], y: &mut [f32]) {
        let bias = block.norm_bias(norm).map(Tensor::values);
        self.backend.norm(&self.model.spec.norm.norm(), x, block.norm(norm), bias, y);
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

    /// `out = x W^T + bias`
    fn linear(&self, x: &[f32], (w, bias): (&Tensor, Option<&Tensor>), n: usize, out: &mut Vec<f32>) {
        let (rows, cols) = (w.shape[0], w.shape[1]);
        let out = sized(out, n * rows);
        self.backend.gemm_nt(MatMut::new(out, n, rows), Mat::new(x, n, cols), Mat::new(w, rows, cols), 1.0, 0.0);
        if let Some(bias) = bias {
            self.backend.add_bias(out, bias);
        }
    }

    /// `d_x = delta W`, or `d_x += delta W`. Rows of `delta` that are 0 cost nothing: with an objective at one position that is nearly all of
    /// them in the last block.
    fn input_gradient(&self, delta: &[f32], w: &Tensor, n: usize, d_x: &mut [f32], add_to: bool, live: &mut Live) {
        let (rows, cols) = (w.shape[0], w.shape[1]);
        live.rows.clear();
        let is_live = |(_, row): &(usize, &[f32])| row.iter().any(|v| *v != 0.0);
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

/// Shows a linear layer to the taps, and sums its bias gradient where one is wanted.
fn tap(taps: &mut dyn Taps, l: usize, m: Matrix, x: &[f32], delta: &[f32], block: &Block) -> Result<()> {
    taps.linear(l, m, x, delta)?;
    if block.bias(m).is_some()
        && let Some(sum) = taps.parameter(Role::Bias(l, m))
    {
        add_rows(sum, delta);
    }
    Ok(())
}

fn keep(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}

fn zeroed(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}
