//! Root-mean-square norm, forward and backward.

use super::{
    isa::per_isa,
    numeric::{dot, fma},
    pool::{Pool, SharedMut},
};

/// Columns of the gain's gradient that one task sums over all rows.
const GAIN_COLUMNS: usize = 128;

/// `y = x / sqrt(mean(x^2) + eps) * gain` for each row.
pub(super) fn rms_norm(pool: &Pool, x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) {
    let d = gain.len();
    let n = rows(x, d);
    assert_eq!(x.len(), y.len(), "norm's output");
    let step = pool.rows_per_task(n, d);
    let y = SharedMut::new(y);
    pool.for_each(n.div_ceil(step), |task| {
        let (first, count) = (task * step * d, step.min(n - task * step) * d);
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let y = unsafe { y.slice(first, count) };
        forward(pool.isa, &x[first..first + count], gain, eps, y);
    });
}

/// Adds to `dx` and `d_gain`.
pub(super) fn rms_norm_backward(pool: &Pool, x: &[f32], gain: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], d_gain: Option<&mut [f32]>) {
    let d = gain.len();
    let n = rows(x, d);
    assert!(x.len() == dy.len() && x.len() == dx.len(), "norm's gradients");
    let step = pool.rows_per_task(n, d);
    let mut inverse = vec![0.0f32; n];
    let (dx, inv) = (SharedMut::new(dx), SharedMut::new(&mut inverse));
    pool.for_each(n.div_ceil(step), |task| {
        let (row, count) = (task * step, step.min(n - task * step));
        let (first, len) = (row * d, count * d);
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let (dx, inv) = unsafe { (dx.slice(first, len), inv.slice(row, count)) };
        backward(pool.isa, &x[first..first + len], gain, eps, &dy[first..first + len], dx, inv);
    });
    let Some(d_gain) = d_gain else { return };
    assert_eq!(d_gain.len(), d, "norm's gain");
    let d_gain = SharedMut::new(d_gain);
    // Each column is summed over the rows in order by one task, so the threads cannot change the sum.
    let across = if x.len() < 16 * 1024 { d.max(1) } else { GAIN_COLUMNS };
    pool.for_each(d.div_ceil(across), |task| {
        let (first, count) = (task * across, across.min(d - task * across));
        #[expect(unsafe_code, reason = "each task writes its own columns")]
        // SAFETY: columns of different tasks share no element.
        let out = unsafe { d_gain.slice(first, count) };
        gain_gradient(pool.isa, x, dy, &inverse, d, first, out);
    });
}

fn rows(x: &[f32], d: usize) -> usize {
    assert!(d > 0 && x.len().is_multiple_of(d), "norm of {} elements in rows of {d}", x.len());
    x.len() / d
}

#[inline(always)]
fn inverse_rms<const FMA: bool>(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot::<FMA>(x, x) / x.len() as f32 + eps).sqrt()
}

#[inline(always)]
fn forward_body<const FMA: bool>(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) {
    let d = gain.len();
    for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
        let r = inverse_rms::<FMA>(x, eps);
        for ((y, x), g) in y.iter_mut().zip(x).zip(gain) {
            *y = x * r * g;
        }
    }
}
per_isa! { fn forward(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) { forward_body } }

#[inline(always)]
fn backward_body<const FMA: bool>(x: &[f32], gain: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], inv: &mut [f32]) {
    let d = gain.len();
    let mut weighted = vec![0.0f32; d];
    for (((x, dy), dx), inv) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(inv) {
        let r = inverse_rms::<FMA>(x, eps);
        *inv = r;
        for ((w, dy), g) in weighted.iter_mut().zip(dy).zip(gain) {
            *w = dy * g;
        }
        // d/dx of x_j r: r delta_ij - r^3 x_i x_j / d
        let along = -dot::<FMA>(&weighted, x) * r * r * r / d as f32;
        for ((dx, w), x) in dx.iter_mut().zip(&weighted).zip(x) {
            *dx += fma::<FMA>(*x, along, w * r);
        }
    }
}
per_isa! { fn backward(x: &[f32], gain: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], inv: &mut [f32]) { backward_body } }

#[inline(always)]
fn gain_gradient_body<const FMA: bool>(x: &[f32], dy: &[f32], inv: &[f32], d: usize, first: usize, out: &mut [f32]) {
    let len = out.len();
    for ((x, dy), r) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(inv) {
        for ((o, x), dy) in out.iter_mut().zip(&x[first..first + len]).zip(&dy[first..first + len]) {
            *o = fma::<FMA>(x * r, *dy, *o);
        }
    }
}
per_isa! { fn gain_gradient(x: &[f32], dy: &[f32], inv: &[f32], d: usize, first: usize, out: &mut [f32]) { gain_gradient_body } }
