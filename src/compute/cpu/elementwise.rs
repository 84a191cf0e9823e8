//! Gated activation and bias.

use super::{
    isa::per_isa,
    numeric::{fma, sigmoid},
    pool::{Pool, SharedMut},
};
use crate::compute::Activation;

/// Elements a task handles: the operands stay in the first-level cache's reach and edges fall at the same places for any thread count.
const PIECE: usize = 8 * 1024;

/// `out = act(gate) * up`
pub(super) fn gated(pool: &Pool, act: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let n = gate.len();
    assert!(up.len() == n && out.len() == n, "gated activation");
    let out = SharedMut::new(out);
    pool.for_each(n.div_ceil(PIECE), |task| {
        let (first, count) = (task * PIECE, PIECE.min(n - task * PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let out = unsafe { out.slice(first, count) };
        match act {
            Activation::Silu => silu(pool.isa, &gate[first..first + count], &up[first..first + count], out),
        }
    });
}

/// Overwrites `d_gate`, `d_up`.
pub(super) fn gated_backward(pool: &Pool, act: Activation, gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
    let n = gate.len();
    assert!(up.len() == n && d_out.len() == n && d_gate.len() == n && d_up.len() == n, "gated activation's gradients");
    let (d_gate, d_up) = (SharedMut::new(d_gate), SharedMut::new(d_up));
    pool.for_each(n.div_ceil(PIECE), |task| {
        let (first, count) = (task * PIECE, PIECE.min(n - task * PIECE));
        let part = first..first + count;
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let (d_gate, d_up) = unsafe { (d_gate.slice(first, count), d_up.slice(first, count)) };
        match act {
            Activation::Silu => silu_backward(pool.isa, &gate[part.clone()], &up[part.clone()], &d_out[part], d_gate, d_up),
        }
    });
}

#[inline(always)]
fn silu_body<const FMA: bool>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
        *o = g * sigmoid::<FMA>(*g) * u;
    }
}
per_isa! { fn silu(gate: &[f32], up: &[f32], out: &mut [f32]) { silu_body } }

#[inline(always)]
fn silu_backward_body<const FMA: bool>(gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
    for ((((dg, du), g), u), d) in d_gate.iter_mut().zip(d_up).zip(gate).zip(up).zip(d_out) {
        let s = sigmoid::<FMA>(*g);
        let silu = g * s;
        *du = d * silu;
        // (x s)' = s + x s (1 - s)
        *dg = d * u * fma::<FMA>(silu, 1.0 - s, s);
    }
}
per_isa! {
    fn silu_backward(gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) { silu_backward_body }
}

/// `x[r, ..] += bias`
pub(super) fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    assert!(d > 0 && x.len().is_multiple_of(d), "bias of {d} for {} elements", x.len());
    let n = x.len() / d;
    let step = pool.rows_per_task(n, d);
    let x = SharedMut::new(x);
    pool.for_each(n.div_ceil(step), |task| {
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let x = unsafe { x.slice(task * step * d, step.min(n - task * step) * d) };
        for row in x.chunks_exact_mut(d) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    });
}
