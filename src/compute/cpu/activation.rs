//! The nonlinearities of MLPs, gated and plain, forward and backward.

use super::{
    isa::per_isa,
    numeric::{erf, exp, fma, sigmoid},
    pool::{Pool, SharedMut},
};
use crate::compute::Activation;

/// Elements a task handles: the operands stay in the first-level cache's reach and edges fall at the same places for any thread count.
const PIECE: usize = 8 * 1024;

/// Calls `$kernel` of the activation's own module, each compiled apart so that its loop is vector code.
macro_rules! of_activation {
    ($act:expr, $kernel:ident($($arg:expr),*)) => {
        match $act {
            Activation::Silu => silu::$kernel($($arg),*),
            Activation::Gelu => gelu::$kernel($($arg),*),
            Activation::GeluTanh => gelu_tanh::$kernel($($arg),*),
            Activation::QuickGelu => quick_gelu::$kernel($($arg),*),
            Activation::Relu => relu::$kernel($($arg),*),
        }
    };
}

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
        of_activation!(act, gated(pool.isa, &gate[first..first + count], &up[first..first + count], out));
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
        of_activation!(act, gated_backward(pool.isa, &gate[part.clone()], &up[part.clone()], &d_out[part.clone()], d_gate, d_up));
    });
}

/// `out = act(pre)`
pub(super) fn activate(pool: &Pool, act: Activation, pre: &[f32], out: &mut [f32]) {
    let n = pre.len();
    assert_eq!(out.len(), n, "activation");
    let out = SharedMut::new(out);
    pool.for_each(n.div_ceil(PIECE), |task| {
        let (first, count) = (task * PIECE, PIECE.min(n - task * PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let out = unsafe { out.slice(first, count) };
        of_activation!(act, plain(pool.isa, &pre[first..first + count], out));
    });
}

/// Overwrites `d_pre`.
pub(super) fn activate_backward(pool: &Pool, act: Activation, pre: &[f32], d_out: &[f32], d_pre: &mut [f32]) {
    let n = pre.len();
    assert!(d_out.len() == n && d_pre.len() == n, "activation's gradient");
    let d_pre = SharedMut::new(d_pre);
    pool.for_each(n.div_ceil(PIECE), |task| {
        let (first, count) = (task * PIECE, PIECE.min(n - task * PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let d_pre = unsafe { d_pre.slice(first, count) };
        of_activation!(act, plain_backward(pool.isa, &pre[first..first + count], &d_out[first..first + count], d_pre));
    });
}

/// The kernels of one activation from its value and slope at `x`.
macro_rules! activation {
    ($name:ident, $value_and_slope:ident) => {
        mod $name {
            use super::*;

            #[inline(always)]
            fn gated_body<const FMA: bool>(gate: &[f32], up: &[f32], out: &mut [f32]) {
                for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
                    *o = $value_and_slope::<FMA>(*g).0 * u;
                }
            }
            per_isa! { pub(super) fn gated(gate: &[f32], up: &[f32], out: &mut [f32]) { gated_body } }

            #[inline(always)]
            fn gated_backward_body<const FMA: bool>(gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
                for ((((dg, du), g), u), d) in d_gate.iter_mut().zip(d_up).zip(gate).zip(up).zip(d_out) {
                    let (value, slope) = $value_and_slope::<FMA>(*g);
                    *du = d * value;
                    *dg = d * u * slope;
                }
            }
            per_isa! {
                pub(super) fn gated_backward(gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
                    gated_backward_body
                }
            }

            #[inline(always)]
            fn plain_body<const FMA: bool>(pre: &[f32], out: &mut [f32]) {
                for (o, x) in out.iter_mut().zip(pre) {
                    *o = $value_and_slope::<FMA>(*x).0;
                }
            }
            per_isa! { pub(super) fn plain(pre: &[f32], out: &mut [f32]) { plain_body } }

            #[inline(always)]
            fn plain_backward_body<const FMA: bool>(pre: &[f32], d_out: &[f32], d_pre: &mut [f32]) {
                for ((dp, x), d) in d_pre.iter_mut().zip(pre).zip(d_out) {
                    *dp = d * $value_and_slope::<FMA>(*x).1;
                }
            }
            per_isa! { pub(super) fn plain_backward(pre: &[f32], d_out: &[f32], d_pre: &mut [f32]) { plain_backward_body } }
        }
    };
}

activation!(silu, of_silu);
activation!(gelu, of_gelu);
activation!(gelu_tanh, of_gelu_tanh);
activation!(quick_gelu, of_quick_gelu);
activation!(relu, of_relu);

#[inline(always)]
fn of_silu<const FMA: bool>(x: f32) -> (f32, f32) {
    let s = sigmoid::<FMA>(x);
    let value = x * s;
    // (x s)' = s + x s (1 - s)
    (value, fma::<FMA>(value, 1.0 - s, s))
}

#[inline(always)]
fn of_gelu<const FMA: bool>(x: f32) -> (f32, f32) {
    // Phi(x) = (1 + erf(x / sqrt 2)) / 2; its derivative is the normal density.
    let phi = 0.5 * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2));
    let density = 0.398_942_3 * exp::<FMA>(-0.5 * x * x);
    (x * phi, fma::<FMA>(x, density, phi))
}

#[inline(always)]
fn of_gelu_tanh<const FMA: bool>(x: f32) -> (f32, f32) {
    const ROOT: f32 = 0.797_884_6;
    const CUBIC: f32 = 0.044_715;
    let square = x * x;
    let u = ROOT * x * fma::<FMA>(CUBIC, square, 1.0);
    // (1 + tanh u) / 2 = 1 / (1 + e^-2u) =: h, and (1 - tanh^2 u) / 4 = h (1 - h): no difference of nearly equal numbers on either side.
    let e = exp::<FMA>(2.0 * u);
    let rest = 1.0 / (1.0 + e);
    let h = if u > 0.0 { 1.0 - rest } else { e * rest };
    let inner = ROOT * fma::<FMA>(3.0 * CUBIC, square, 1.0);
    (x * h, fma::<FMA>(2.0 * x * h * rest, inner, h))
}

#[inline(always)]
fn of_quick_gelu<const FMA: bool>(x: f32) -> (f32, f32) {
    let s = sigmoid::<FMA>(1.702 * x);
    (x * s, fma::<FMA>(1.702 * x * s, 1.0 - s, s))
}

#[inline(always)]
fn of_relu<const FMA: bool>(x: f32) -> (f32, f32) {
    // Written so that a NaN stays one.
    if x <= 0.0 { (0.0, 0.0) } else { (x, 1.0) }
}
