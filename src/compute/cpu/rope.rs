//! Rotary position embedding in the half-split layout.

use super::{
    isa::per_isa,
    numeric::fma,
    pool::{Pool, SharedMut},
};
use crate::compute::RopeTable;

/// Rotates in place; see [`crate::compute::Backend::rope`].
pub(super) fn rope(pool: &Pool, x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool) {
    let width = heads * head_dim;
    let n = positions.len();
    assert_eq!(x.len(), n * width, "rope of {n} rows of {heads} heads of {head_dim}");
    assert!(2 * table.pairs <= head_dim, "{} rotated pairs in a head of {head_dim}", table.pairs);
    let step = pool.rows_per_task(n, width);
    let x = SharedMut::new(x);
    pool.for_each(n.div_ceil(step), |task| {
        let (row, count) = (task * step, step.min(n - task * step));
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let x = unsafe { x.slice(row * width, count * width) };
        rotate(pool.isa, x, &positions[row..row + count], table, heads, head_dim, inverse);
    });
}

#[inline(always)]
fn rotate_body<const FMA: bool>(x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool) {
    let pairs = table.pairs;
    let sign = if inverse { -1.0 } else { 1.0 };
    for (row, &position) in x.chunks_exact_mut((heads * head_dim).max(1)).zip(positions) {
        let at = position as usize * pairs;
        let (cos, sin) = (&table.cos[at..at + pairs], &table.sin[at..at + pairs]);
        for head in row.chunks_exact_mut(head_dim) {
            let (low, high) = head.split_at_mut(pairs);
            for (((a, b), c), s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                let (x, y, s) = (*a, *b, s * sign);
                *a = fma::<FMA>(x, *c, -(y * s));
                *b = fma::<FMA>(y, *c, x * s);
            }
        }
    }
}
per_isa! {
    fn rotate(x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool) { rotate_body }
}
