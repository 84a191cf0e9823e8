//! One block: its forward pass, and its vector-Jacobian product from what the forward kept.

use super::{
    Batch, Decoder, Hooks, Matrix, Taps,
    decoder::{call, sized},
    spec::MlpSpec,
    weights::Tensor,
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut},
};

/// What a block's backward needs from its forward, after hooks had their say. Reusing one tape for block after block reuses its memory.
#[derive(Default)]
pub struct BlockTape {
    /// `[n, d_model]`
    resid_pre: Vec<f32>,
    /// Normed input of q, k and v, `[n, d_model]`.
    x_attn: Vec<f32>,
    /// Rotated.
    q: Vec<f32>,
    /// Rotated.
    k: Vec<f32>,
    v: Vec<f32>,
    z: Vec<f32>,
    resid_mid: Vec<f32>,
    /// Normed input of gate and up, `[n, d_model]`.
    x_mlp: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    post: Vec<f32>,
}

impl BlockTape {
    /// `blocks.{l}.mlp.hook_post` of the forward pass, `[n, d_mlp]`.
    pub fn mlp_post(&self) -> &[f32] {
        &self.post
    }
    /// `blocks.{l}.attn.hook_z`, `[n, n_heads * head_dim]`.
    pub fn z(&self) -> &[f32] {
        &self.z
    }
    /// The input of a linear layer, `[n, in]`.
    pub fn input(&self, m: Matrix) -> &[f32] {
        match m {
            Matrix::Q | Matrix::K | Matrix::V => &self.x_attn,
            Matrix::O => &self.z,
            Matrix::Gate | Matrix::Up => &self.x_mlp,
            Matrix::Down => &self.post,
        }
    }
}

/// Working memory of a pass.
#[derive(Default)]
pub(super) struct Scratch {
    tape: BlockTape,
    /// Output of attention or MLP in a forward pass; gradient of a normed input in a backward pass.
    wide: Vec<f32>,
    d_z: Vec<f32>,
    d_q: Vec<f32>,
    d_k: Vec<f32>,
    d_v: Vec<f32>,
    d_post: Vec<f32>,
    d_gate: Vec<f32>,
    d_up: Vec<f32>,
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
        let done = self.forward_into(layer, batch, resid, tape.unwrap_or(own), wide, hooks);
        self.return_scratch(scratch);
        done
    }

    fn forward_into(
        &self,
        l: usize,
        batch: &Batch,
        resid: &mut [f32],
        t: &mut BlockTape,
        out: &mut Vec<f32>,
        hooks: &mut dyn Hooks,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        assert_eq!(resid.len(), n * spec.d_model, "residual of {n} tokens");
        let (a, shape, eps) = (&spec.attention, spec.attention_shape(), self.norm_eps());
        let MlpSpec::Gated { act, .. } = spec.mlp;
        let block = self.model.weights.block(l);
        let w = |m: Matrix| (block.matrix(m), block.bias(m));

        call(hooks, HookPoint::ResidPre(l), batch, resid)?;
        keep(&mut t.resid_pre, resid);
        b.rms_norm(resid, &block.norm_attn, eps, sized(&mut t.x_attn, resid.len()));
        self.linear(&t.x_attn, w(Matrix::Q), n, &mut t.q);
        self.linear(&t.x_attn, w(Matrix::K), n, &mut t.k);
        self.linear(&t.x_attn, w(Matrix::V), n, &mut t.v);
        call(hooks, HookPoint::Q(l), batch, &mut t.q)?;
        call(hooks, HookPoint::K(l), batch, &mut t.k)?;
        call(hooks, HookPoint::V(l), batch, &mut t.v)?;
        let rope = self.rope_for(batch);
        b.rope(&mut t.q, &batch.positions, &rope, a.n_heads, a.head_dim, false);
        b.rope(&mut t.k, &batch.positions, &rope, a.n_kv_heads, a.head_dim, false);
        if hooks.wants(HookPoint::Pattern(l)) {
            for i in 0..batch.n_sequences() {
                let rows = |width: usize| batch.span(i).start * width..batch.span(i).end * width;
                let (q, k) = (&t.q[rows(spec.q_width())], &t.k[rows(spec.kv_width())]);
                let mut pattern = b.attention_pattern(q, k, &shape);
                hooks.at(HookPoint::Pattern(l), batch, &mut pattern)?;
            }
        }
        b.attention(&t.q, &t.k, &t.v, &batch.starts, &shape, sized(&mut t.z, n * spec.q_width()));
        call(hooks, HookPoint::Z(l), batch, &mut t.z)?;
        self.linear(&t.z, w(Matrix::O), n, out);
        call(hooks, HookPoint::AttnOut(l), batch, out)?;
        // Not by a GEMM that accumulates into the residual: with and without a hook the sums must round alike.
        add(resid, out);
        call(hooks, HookPoint::ResidMid(l), batch, resid)?;

        keep(&mut t.resid_mid, resid);
        b.rms_norm(resid, &block.norm_mlp, eps, sized(&mut t.x_mlp, resid.len()));
        self.linear(&t.x_mlp, w(Matrix::Gate), n, &mut t.gate);
        self.linear(&t.x_mlp, w(Matrix::Up), n, &mut t.up);
        call(hooks, HookPoint::MlpPre(l), batch, &mut t.gate)?;
        call(hooks, HookPoint::MlpPreLinear(l), batch, &mut t.up)?;
        b.gated(act, &t.gate, &t.up, sized(&mut t.post, n * spec.d_mlp));
        call(hooks, HookPoint::MlpPost(l), batch, &mut t.post)?;
        self.linear(&t.post, w(Matrix::Down), n, out);
        call(hooks, HookPoint::MlpOut(l), batch, out)?;
        add(resid, out);
        call(hooks, HookPoint::ResidPost(l), batch, resid)
    }

    /// VJP of block `layer`: `d_resid` is dD/d`hook_resid_post` on entry, dD/d`hook_resid_pre` on return. A hook that changed a value in the
    /// forward pass counts as the identity here: gradients are those at the changed values.
    ///
    /// # Errors
    /// Those of the taps, and a gradient that is not finite, naming where it first appears.
    pub fn block_backward(&self, layer: usize, batch: &Batch, tape: &BlockTape, d_resid: &mut [f32], taps: &mut dyn Taps) -> Result<()> {
        let mut scratch = self.take_scratch();
        let done = self.backward_with(layer, batch, tape, d_resid, taps, &mut scratch);
        self.return_scratch(scratch);
        done
    }

    fn backward_with(
        &self,
        l: usize,
        batch: &Batch,
        t: &BlockTape,
        d_resid: &mut [f32],
        taps: &mut dyn Taps,
        s: &mut Scratch,
    ) -> Result<()> {
        let (spec, b, n) = (&self.model.spec, &*self.backend, batch.n_tokens());
        assert_eq!(d_resid.len(), n * spec.d_model, "residual gradient of {n} tokens");
        assert_eq!(t.resid_pre.len(), n * spec.d_model, "a tape of this batch");
        let (a, shape, eps) = (&spec.attention, spec.attention_shape(), self.norm_eps());
        let MlpSpec::Gated { act, .. } = spec.mlp;
        let block = self.model.weights.block(l);

        tap(taps, l, Matrix::Down, t, d_resid, spec.has_bias(Matrix::Down))?;
        self.input_gradient(d_resid, &block.down, n, sized(&mut s.d_post, n * spec.d_mlp), 0.0);
        taps.activation(HookPoint::MlpPost(l), &t.post, &s.d_post)?;
        let (d_gate, d_up) = (sized(&mut s.d_gate, n * spec.d_mlp), sized(&mut s.d_up, n * spec.d_mlp));
        b.gated_backward(act, &t.gate, &t.up, &s.d_post, d_gate, d_up);
        tap(taps, l, Matrix::Gate, t, d_gate, spec.has_bias(Matrix::Gate))?;
        tap(taps, l, Matrix::Up, t, d_up, spec.has_bias(Matrix::Up))?;
        let d_x = sized(&mut s.wide, n * spec.d_model);
        self.input_gradient(d_gate, &block.gate, n, d_x, 0.0);
        self.input_gradient(d_up, &block.up, n, d_x, 1.0);
        b.rms_norm_backward(&t.resid_mid, &block.norm_mlp, eps, d_x, d_resid, taps.norm_gain(l, false));

        tap(taps, l, Matrix::O, t, d_resid, spec.has_bias(Matrix::O))?;
        self.input_gradient(d_resid, &block.o, n, sized(&mut s.d_z, n * spec.q_width()), 0.0);
        taps.activation(HookPoint::Z(l), &t.z, &s.d_z)?;
        let d_q = sized(&mut s.d_q, n * spec.q_width());
        let (d_k, d_v) = (sized(&mut s.d_k, n * spec.kv_width()), sized(&mut s.d_v, n * spec.kv_width()));
        b.attention_backward(&t.q, &t.k, &t.v, &s.d_z, &batch.starts, &shape, d_q, d_k, d_v);
        let rope = self.rope_for(batch);
        b.rope(d_q, &batch.positions, &rope, a.n_heads, a.head_dim, true);
        b.rope(d_k, &batch.positions, &rope, a.n_kv_heads, a.head_dim, true);
        tap(taps, l, Matrix::Q, t, d_q, spec.has_bias(Matrix::Q))?;
        tap(taps, l, Matrix::K, t, d_k, spec.has_bias(Matrix::K))?;
        tap(taps, l, Matrix::V, t, d_v, spec.has_bias(Matrix::V))?;
        let d_x = sized(&mut s.wide, n * spec.d_model);
        self.input_gradient(d_q, &block.q, n, d_x, 0.0);
        self.input_gradient(d_k, &block.k, n, d_x, 1.0);
        self.input_gradient(d_v, &block.v, n, d_x, 1.0);
        b.rms_norm_backward(&t.resid_pre, &block.norm_attn, eps, d_x, d_resid, taps.norm_gain(l, true));

        // Whatever goes wrong above ends up here, since a value that is not finite stays so through every product and sum.
        if all_finite(d_resid) {
            return Ok(());
        }
        let point = HookPoint::MlpPost(l);
        let steps: [(String, &[f32]); 8] = [
            (format!("gradient at {point}"), &s.d_post),
            (format!("gradient at {}", HookPoint::MlpPre(l)), &s.d_gate),
            (format!("gradient at {}", HookPoint::MlpPreLinear(l)), &s.d_up),
            (format!("gradient at {}", HookPoint::Z(l)), &s.d_z),
            (format!("gradient at {}", HookPoint::Q(l)), &s.d_q),
            (format!("gradient at {}", HookPoint::K(l)), &s.d_k),
            (format!("gradient at {}", HookPoint::V(l)), &s.d_v),
            (format!("gradient at {}", HookPoint::ResidPre(l)), d_resid),
        ];
        let (name, values) = steps.iter().find(|(_, v)| !all_finite(v)).unwrap_or(&steps[7]);
        let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        let width = values.len() / n.max(1);
        Err(Error::numeric(name, format!("{} at token {}, column {}, expected a finite number", values[at], at / width, at % width)))
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

    /// `d_x = delta W + beta d_x`
    fn input_gradient(&self, delta: &[f32], w: &Tensor, n: usize, d_x: &mut [f32], beta: f32) {
        let (rows, cols) = (w.shape[0], w.shape[1]);
        self.backend.gemm_nn(MatMut::new(d_x, n, cols), Mat::new(delta, n, rows), Mat::new(w, rows, cols), 1.0, beta);
    }
}

/// Shows a linear layer to the taps, and sums its bias gradient where one is wanted.
fn tap(taps: &mut dyn Taps, l: usize, m: Matrix, t: &BlockTape, delta: &[f32], has_bias: bool) -> Result<()> {
    taps.linear(l, m, t.input(m), delta)?;
    if has_bias && let Some(sum) = taps.bias(l, m) {
        for row in delta.chunks_exact(sum.len()) {
            add(sum, row);
        }
    }
    Ok(())
}

fn keep(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}

fn add(sum: &mut [f32], values: &[f32]) {
    for (s, v) in sum.iter_mut().zip(values) {
        *s += v;
    }
}

/// One pass without branches: a value is finite exactly where its exponent is not all ones.
pub(super) fn all_finite(values: &[f32]) -> bool {
    values.chunks(4096).all(|chunk| chunk.iter().fold(true, |all, v| all & v.is_finite()))
}
