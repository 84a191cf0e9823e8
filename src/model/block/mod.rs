//! One block: its forward pass, and (backward.rs) its vector-Jacobian product from what the forward kept.

mod backward;

use super::{
    Batch, Decoder, Hooks, Matrix, NoHooks, RowsAt,
    buffer::Buffer,
    decoder::{call, sized},
    kept::KeptLayer,
    spec::{DecoderSpec, MlpSpec, Residual},
    weights::{Block, BlockNorm, Tensor},
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut},
};

/// What a block's backward needs from its forward, after hooks had their say. Reusing one tape for block after block reuses its memory. Where some rows
/// were chosen ([`Decoder::block_forward_for`]) it holds these, but for what keys and values come from.
#[derive(Default)]
pub struct BlockTape {
    /// `[n, d_model]`
    pub(super) resid_pre: Vec<f32>,
    /// Its chosen rows, which the MLP of a parallel block reads; stale where all were computed.
    resid_pre_at: Buffer,
    /// Input of q, k and v, `[n, d_model]`.
    x_attn: Buffer,
    /// Before their norm, where there is one.
    q_raw: Buffer,
    k_raw: Buffer,
    /// Normed and rotated.
    q: Buffer,
    /// Normed and rotated.
    k: Buffer,
    v: Buffer,
    z: Buffer,
    /// What goes into the norm after attention, where there is one, `[n, d_model]`.
    before_post_attn: Buffer,
    resid_mid: Vec<f32>,
    /// Input of gate and up, `[n, d_model]`.
    x_mlp: Buffer,
    /// Stays empty without a gate.
    gate: Buffer,
    up: Buffer,
    post: Buffer,
    /// Whether `post` is that of the last pass with this tape. Else, as always `x_attn` and `x_mlp`, it is made again.
    keeps_post: bool,
    /// What goes into the norm after the MLP, where there is one.
    before_post_mlp: Buffer,
}

impl BlockTape {
    /// Floats of a token that it keeps from a forward pass to the backward one, where no hook changes `mlp.hook_post`.
    pub fn floats_a_token(spec: &DecoderSpec) -> usize {
        let (d, q, kv) = (spec.d_model, spec.q_width(), spec.kv_width());
        let gates = if spec.mlp.is_gated() { 2 } else { 1 };
        let normed = if spec.attention.qk_norm { q + kv } else { 0 };
        let branches = if matches!(spec.residual, Residual::Sandwich | Residual::PostNorm) { 2 * d } else { 0 };
        2 * d + 2 * q + 2 * kv + gates * spec.d_mlp + normed + branches
    }
    /// Exchanges what a backward pass makes again, from what stands beside it: every norm's result and, unless a hook changed it, `mlp.hook_post`. For the
    /// time of a block's forward pass they stand in buffers of all blocks; a third of a tape need not be kept.
    fn exchange_what_is_made_again(&mut self, own: &mut Self) {
        std::mem::swap(&mut self.x_attn, &mut own.x_attn);
        std::mem::swap(&mut self.x_mlp, &mut own.x_mlp);
        if !self.keeps_post {
            std::mem::swap(&mut self.post, &mut own.post);
        }
    }
    /// Exchanges `attn.hook_z`, which [`Decoder::block_backward`] can do without where attention's output matrix does not train; no tap is shown it then. A
    /// trainer has one spare tape for all blocks: before the forward pass of each it lends the buffer, afterwards it takes it back.
    pub fn exchange_z(&mut self, spare: &mut Self) {
        std::mem::swap(&mut self.z, &mut spare.z);
    }
    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let Self { resid_pre_at, x_attn, q_raw, k_raw, q, k, v, z, before_post_attn, x_mlp, gate, up, post, before_post_mlp, .. } = self;
        let all = [resid_pre_at, x_attn, q_raw, k_raw, q, k, v, z, before_post_attn, x_mlp, gate, up, post, before_post_mlp];
        all.into_iter().map(Buffer::bytes).sum::<usize>() + 4 * (self.resid_pre.capacity() + self.resid_mid.capacity())
    }
    /// What the MLP's norm of a parallel block reads, of `rows` rows, all or the chosen ones.
    fn read_by_parallel_mlp(&self, rows: usize, d_model: usize) -> &[f32] {
        if self.resid_pre.len() == rows * d_model { &self.resid_pre } else { &self.resid_pre_at }
    }
}

/// Working memory of a pass.
#[derive(Default)]
pub(super) struct Scratch {
    pub tape: BlockTape,
    /// Output of attention or MLP in a forward pass; gradient of a normed input in a backward pass.
    pub wide: Buffer,
    /// Gradient of what attention or MLP writes, where that is not the residual's.
    d_branch: Buffer,
    d_z: Buffer,
    d_q: Buffer,
    d_k: Buffer,
    d_v: Buffer,
    d_raw: Buffer,
    d_post: Buffer,
    d_gate: Buffer,
    d_up: Buffer,
    live: backward::Live,
    /// What the tape does not have, made again.
    x_attn: Buffer,
    x_mlp: Buffer,
    post: Buffer,
    /// Of chosen rows: the residual, or its gradient, and the input of q.
    chosen: Vec<f32>,
    x_q: Buffer,
    /// Chosen queries and the gradient at `attn.hook_z` among zeros.
    q_spread: Buffer,
    d_z_spread: Buffer,
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
        resid: &mut Vec<f32>,
        tape: Option<&mut BlockTape>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let mut scratch = self.take_scratch();
        let Scratch { tape: own, wide, .. } = &mut scratch;
        let done = match tape {
            None => self.forward_into(layer, batch, None, resid, own, wide, hooks),
            Some(tape) => {
                tape.keeps_post = hooks.changes(HookPoint::MlpPost(layer));
                tape.exchange_what_is_made_again(own);
                let done = self.forward_into(layer, batch, None, resid, tape, wide, hooks);
                tape.exchange_what_is_made_again(own);
                done
            }
        };
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_forward`], for tokens that go on from those whose keys and values `kept` holds; it takes in theirs.
    pub(super) fn block_forward_kept(&self, layer: usize, batch: &Batch, resid: &mut Vec<f32>, kept: &mut KeptLayer) -> Result<()> {
        let mut scratch = self.take_scratch();
        let Scratch { tape, wide, .. } = &mut scratch;
        let done = self.forward_into(layer, batch, Some(kept), resid, tape, wide, &mut NoHooks);
        self.return_scratch(scratch);
        done
    }

    /// As [`Decoder::block_forward`] with a tape, where nothing after the block looks at any row but those of `at`: only they are computed, but for
    /// keys and values, bit for bit as in a whole pass. The others are 0 in `resid`. The tape is for [`Decoder::block_backward_for`].
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
        let Scratch { tape: own, wide, chosen, .. } = &mut scratch;
        call(hooks, HookPoint::ResidPre(layer), batch, resid)?;
        keep(&mut t.resid_pre, resid);
        t.keeps_post = hooks.changes(HookPoint::MlpPost(layer));
        t.exchange_what_is_made_again(own);
        let done = self
            .attention_part(layer, block, batch, Some(at), None, chosen, t, wide, hooks)
            .and_then(|()| self.mlp_part(layer, block, &at.batch, chosen, t, wide, hooks));
        t.exchange_what_is_made_again(own);
        if done.is_ok() {
            resid.fill(0.0);
            at.put(chosen, resid, d);
        }
        self.return_scratch(scratch);
        done
    }

    #[expect(clippy::too_many_arguments, reason = "one block's forward")]
    fn forward_into(
        &self,
        l: usize,
        batch: &Batch,
        kept: Option<&mut KeptLayer>,
        resid: &mut Vec<f32>,
        t: &mut BlockTape,
        out: &mut Buffer,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        assert_eq!(resid.len(), batch.n_tokens() * self.model.spec.d_model, "residual of {} tokens", batch.n_tokens());
        let block = &*self.model.weights.block(l);
        call(hooks, HookPoint::ResidPre(l), batch, resid)?;
        std::mem::swap(&mut t.resid_pre, resid);
        self.attention_part(l, block, batch, None, kept, resid, t, out, hooks)?;
        self.mlp_part(l, block, batch, resid, t, out, hooks)
    }

    /// From `t.resid_pre` `[n, d_model]` to `hook_resid_mid` (of a parallel block: what the MLP's part is added to), which `resid` becomes, whatever it
    /// held. With `at`, keys and values are those of all rows and everything else of the chosen ones; then `resid` holds these, and so does the tape.
    /// With `kept`, the tokens go on from those whose keys and values it holds.
    #[expect(clippy::too_many_arguments, reason = "one part of a block's forward")]
    pub(super) fn attention_part(
        &self,
        l: usize,
        block: &Block,
        batch: &Batch,
        at: Option<&RowsAt>,
        kept: Option<&mut KeptLayer>,
        resid: &mut Vec<f32>,
        t: &mut BlockTape,
        out: &mut Buffer,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let (a, shape) = (&spec.attention, spec.attention_shape(l));
        let w = |m: Matrix| (block.matrix(m), block.bias(m));
        // The rows whose queries are computed.
        let (rows, m) = at.map_or((batch, n), |at| (&at.batch, at.rows.len()));
        match spec.residual {
            Residual::PostNorm => t.x_attn.copy(&t.resid_pre),
            _ => self.norm(block, BlockNorm::Attn, &t.resid_pre, t.x_attn.sized(t.resid_pre.len())),
        }
        self.linear(&t.x_attn, w(Matrix::K), n, &mut t.k);
        self.linear(&t.x_attn, w(Matrix::V), n, &mut t.v);
        let x_q = match at {
            Some(at) => {
                at.copy(&t.resid_pre, spec.d_model, t.resid_pre_at.sized(m * spec.d_model));
                at.copy(&t.x_attn, spec.d_model, out.sized(m * spec.d_model));
                &*out
            }
            None => &t.x_attn,
        };
        self.linear(x_q, w(Matrix::Q), m, &mut t.q);
        call(hooks, HookPoint::Q(l), rows, &mut t.q)?;
        call(hooks, HookPoint::K(l), batch, &mut t.k)?;
        call(hooks, HookPoint::V(l), batch, &mut t.v)?;
        if a.qk_norm {
            std::mem::swap(&mut t.q_raw, &mut t.q);
            std::mem::swap(&mut t.k_raw, &mut t.k);
            self.norm(block, BlockNorm::Q, &t.q_raw, t.q.sized(t.q_raw.len()));
            self.norm(block, BlockNorm::K, &t.k_raw, t.k.sized(t.k_raw.len()));
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
        let z = t.z.sized(m * spec.q_width());
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
            self.norm(block, BlockNorm::PostAttn, &t.before_post_attn, out.sized(t.before_post_attn.len()));
        }
        call(hooks, HookPoint::AttnOut(l), rows, out)?;
        // Not by a GEMM that accumulates into the residual: with and without a hook the sums must round alike.
        let pre: &[f32] = if at.is_some() { &t.resid_pre_at } else { &t.resid_pre };
        b.sum(sized(resid, m * spec.d_model), pre, out);
        if spec.residual == Residual::PostNorm {
            t.before_post_attn.copy(resid);
            self.norm(block, BlockNorm::Attn, &t.before_post_attn, resid);
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
        resid: &mut Vec<f32>,
        t: &mut BlockTape,
        out: &mut Buffer,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        let w = |m: Matrix| (block.matrix(m), block.bias(m));
        if spec.residual != Residual::Parallel {
            std::mem::swap(&mut t.resid_mid, resid);
        }
        match spec.residual {
            Residual::PostNorm => t.x_mlp.copy(&t.resid_mid),
            Residual::Parallel => {
                let mut x = std::mem::take(&mut t.x_mlp);
                self.norm(block, BlockNorm::Mlp, t.read_by_parallel_mlp(n, spec.d_model), x.sized(n * spec.d_model));
                t.x_mlp = x;
            }
            Residual::Sequential | Residual::Sandwich => self.norm(block, BlockNorm::Mlp, &t.resid_mid, t.x_mlp.sized(t.resid_mid.len())),
        }
        self.linear(&t.x_mlp, w(Matrix::Up), n, &mut t.up);
        match spec.mlp {
            MlpSpec::Gated { act, .. } => {
                self.linear(&t.x_mlp, w(Matrix::Gate), n, &mut t.gate);
                call(hooks, HookPoint::MlpPre(l), batch, &mut t.gate)?;
                call(hooks, HookPoint::MlpPreLinear(l), batch, &mut t.up)?;
                b.gated(act, &t.gate, &t.up, t.post.sized(n * spec.d_mlp));
            }
            MlpSpec::Plain { act, .. } => {
                call(hooks, HookPoint::MlpPre(l), batch, &mut t.up)?;
                b.activate(act, &t.up, t.post.sized(n * spec.d_mlp));
            }
        }
        call(hooks, HookPoint::MlpPost(l), batch, &mut t.post)?;
        self.linear(&t.post, w(Matrix::Down), n, out);
        if spec.residual == Residual::Sandwich {
            std::mem::swap(&mut t.before_post_mlp, out);
            self.norm(block, BlockNorm::PostMlp, &t.before_post_mlp, out.sized(t.before_post_mlp.len()));
        }
        call(hooks, HookPoint::MlpOut(l), batch, out)?;
        match spec.residual {
            Residual::Parallel => b.add(resid, out),
            _ => b.sum(sized(resid, n * spec.d_model), &t.resid_mid, out),
        }
        if spec.residual == Residual::PostNorm {
            t.before_post_mlp.copy(resid);
            self.norm(block, BlockNorm::Mlp, &t.before_post_mlp, resid);
        }
        call(hooks, HookPoint::ResidPost(l), batch, resid)
    }

    /// A norm of the block over rows of its own width.
    pub(super) fn norm(&self, block: &Block, norm: BlockNorm, x: &[f32], y: &mut [f32]) {
        let bias = block.norm_bias(norm).map(Tensor::values);
        self.backend.norm(&self.model.spec.norm.norm(), x, block.norm(norm), bias, y);
    }

    /// `out = x W^T + bias`
    fn linear(&self, x: &[f32], (w, bias): (&Tensor, Option<&Tensor>), n: usize, out: &mut Buffer) {
        let (rows, cols) = (w.shape[0], w.shape[1]);
        let out = out.sized(n * rows);
        self.backend.gemm_nt(MatMut::new(out, n, rows), Mat::new(x, n, cols), Mat::new(w, rows, cols), 1.0, 0.0);
        if let Some(bias) = bias {
            self.backend.add_bias(out, bias);
        }
    }
}

fn keep(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}
