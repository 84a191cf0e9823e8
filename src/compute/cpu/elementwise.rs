//! Bias and soft-cap.

use super::{
    isa::per_isa,
    numeric::tanh,
    pool::{Pool, SharedMut},
};

/// Elements a task handles; edges fall at the same places for any thread count.
const PIECE: usize = 8 * 1024;

/// `x = cap * tanh(x / cap)`
pub(super) fn soft_cap(pool: &Pool, x: &mut [f32], cap: f32) {
    let n = x.len();
    let x = SharedMut::new(x);
    pool.for_each(n.div_ceil(PIECE), |task| {
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let x = unsafe { x.slice(task * PIECE, PIECE.min(n - task * PIECE)) };
        cap_all(pool.isa, x, cap);
    });
}

#[inline(always)]
fn cap_all_body<const FMA: bool>(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh::<FMA>(*x / cap);
    }
}
per_isa! { pub(super) fn cap_all(x: &mut [f32], cap: f32) { cap_all_body } }

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
