//! Norms of rows, forward and backward.

use super::{
    isa::per_isa,
    numeric::{LANES, dot, fma, fold},
    pool::{Pool, SharedMut},
};
use crate::compute::{Norm, NormKind};

/// Columns of the gain's gradient that one task sums over all rows.
const GAIN_COLUMNS: usize = 128;

/// See [`crate::compute::Backend::norm`].
pub(super) fn norm(pool: &Pool, norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let d = gain.len();
    let n = rows(x, d);
    assert!(x.len() == y.len() && bias.is_none_or(|b| b.len() == d), "norm's output and bias");
    let step = pool.rows_per_task(n, d);
    let y = SharedMut::new(y);
    pool.for_each(n.div_ceil(step), |task| {
        let (first, count) = (task * step * d, step.min(n - task * step) * d);
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let y = unsafe { y.slice(first, count) };
        forward(pool.isa, norm, &x[first..first + count], gain, bias, y);
    });
}

/// Of one row.
struct RowStats {
    mean: f32,
    inverse: f32,
}

/// See [`crate::compute::Backend::norm_backward`].
pub(super) fn norm_backward(pool: &Pool, norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], d_gain: Option<&mut [f32]>) {
    let d = gain.len();
    let n = rows(x, d);
    assert!(x.len() == dy.len() && x.len() == dx.len(), "norm's gradients");
    let step = pool.rows_per_task(n, d);
    // Mean and inverse deviation of each row, which the gain's gradient needs again.
    let mut stats = vec![0.0f32; 2 * n];
    let (dx, shared) = (SharedMut::new(dx), SharedMut::new(&mut stats));
    pool.for_each(n.div_ceil(step), |task| {
        let (row, count) = (task * step, step.min(n - task * step));
        let (first, len) = (row * d, count * d);
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let (dx, stats) = unsafe { (dx.slice(first, len), shared.slice(2 * row, 2 * count)) };
        backward(pool.isa, norm, &x[first..first + len], gain, &dy[first..first + len], dx, stats);
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
        gain_gradient(pool.isa, x, dy, &stats, d, first, out);
    });
}

fn rows(x: &[f32], d: usize) -> usize {
    assert!(d > 0 && x.len().is_multiple_of(d), "norm of {} elements in rows of {d}", x.len());
    x.len() / d
}

#[inline(always)]
fn row_stats<const FMA: bool>(norm: &Norm, x: &[f32]) -> RowStats {
    let d = x.len() as f32;
    match norm.kind {
        NormKind::Rms => RowStats { mean: 0.0, inverse: 1.0 / (dot::<FMA>(x, x) / d + norm.eps).sqrt() },
        NormKind::Layer => {
            let mean = lanes(x, |v| v) / d;
            // About the mean, so that a large common offset does not cancel.
            let variance = lanes(x, |v| (v - mean) * (v - mean)) / d;
            RowStats { mean, inverse: 1.0 / (variance + norm.eps).sqrt() }
        }
    }
}

/// Sum of `f(x[i])` in lanes.
#[inline(always)]
fn lanes(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for c in &mut chunks {
        for i in 0..LANES {
            acc[i] += f(c[i]);
        }
    }
    fold(&acc) + chunks.remainder().iter().map(|v| f(*v)).sum::<f32>()
}

#[inline(always)]
fn forward_body<const FMA: bool>(norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let d = gain.len();
    for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
        let RowStats { mean, inverse } = row_stats::<FMA>(norm, x);
        for ((y, x), g) in y.iter_mut().zip(x).zip(gain) {
            *y = (x - mean) * inverse * (norm.gain_offset + g);
        }
        if let Some(bias) = bias {
            for (y, b) in y.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}
per_isa! { fn forward(norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]) { forward_body } }

#[inline(always)]
fn backward_body<const FMA: bool>(norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], stats: &mut [f32]) {
    let d = gain.len();
    let mut weighted = vec![0.0f32; d];
    let mut centred = vec![0.0f32; if norm.kind == NormKind::Layer { d } else { 0 }];
    for (((x, dy), dx), stats) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(stats.chunks_exact_mut(2)) {
        let RowStats { mean, inverse: r } = row_stats::<FMA>(norm, x);
        stats.copy_from_slice(&[mean, r]);
        for ((w, dy), g) in weighted.iter_mut().zip(dy).zip(gain) {
            *w = dy * (norm.gain_offset + g);
        }
        match norm.kind {
            NormKind::Rms => {
                // d/dx of x_j r: r delta_ij - r^3 x_i x_j / d
                let along = -dot::<FMA>(&weighted, x) * r * r * r / d as f32;
                for ((dx, w), x) in dx.iter_mut().zip(&weighted).zip(x) {
                    *dx += fma::<FMA>(*x, along, w * r);
                }
            }
            NormKind::Layer => {
                // With c = x - mean: r (w_i - mean(w)) - r^3 c_i mean(w c), where mean(w c) = mean(w x) - mean(w) mean(x) would cancel.
                let flat = lanes(&weighted, |w| w) / d as f32;
                for (c, x) in centred.iter_mut().zip(x) {
                    *c = x - mean;
                }
                let dots = dot::<FMA>(&weighted, &centred);
                let along = -dots * r * r * r / d as f32;
                for ((dx, w), c) in dx.iter_mut().zip(&weighted).zip(&centred) {
                    *dx += fma::<FMA>(*c, along, (w - flat) * r);
                }
            }
        }
    }
}
per_isa! {
    fn backward(norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], stats: &mut [f32]) { backward_body }
}

#[inline(always)]
fn gain_gradient_body<const FMA: bool>(x: &[f32], dy: &[f32], stats: &[f32], d: usize, first: usize, out: &mut [f32]) {
    let len = out.len();
    for ((x, dy), s) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(stats.chunks_exact(2)) {
        let (mean, inverse) = (s[0], s[1]);
        for ((o, x), dy) in out.iter_mut().zip(&x[first..first + len]).zip(&dy[first..first + len]) {
            *o = fma::<FMA>((x - mean) * inverse, *dy, *o);
        }
    }
}
per_isa! { fn gain_gradient(x: &[f32], dy: &[f32], stats: &[f32], d: usize, first: usize, out: &mut [f32]) { gain_gradient_body } }
