//! Sums, bias and soft-cap.

use super::{
    isa::per_isa,
    numeric::{dot, tanh},
    pool::{Pool, SharedMut},
};
use crate::compute::{Mat, MatMut};

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

/// Elements a task of a sum handles: it is over too soon for less.
const SUM_PIECE: usize = 64 * 1024;
/// Elements whose squares are summed in f32.
const SQUARES: usize = 4096;

/// `x += y`
pub(super) fn add(pool: &Pool, x: &mut [f32], y: &[f32]) {
    let n = x.len();
    assert_eq!(n, y.len(), "terms of a sum");
    let x = SharedMut::new(x);
    pool.for_each(n.div_ceil(SUM_PIECE), |task| {
        let (first, count) = (task * SUM_PIECE, SUM_PIECE.min(n - task * SUM_PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let x = unsafe { x.slice(first, count) };
        for (x, y) in x.iter_mut().zip(&y[first..first + count]) {
            *x += y;
        }
    });
}

/// `out = x + y`
pub(super) fn sum(pool: &Pool, out: &mut [f32], x: &[f32], y: &[f32]) {
    let n = out.len();
    assert!(x.len() == n && y.len() == n, "terms of a sum");
    let out = SharedMut::new(out);
    pool.for_each(n.div_ceil(SUM_PIECE), |task| {
        let (first, count) = (task * SUM_PIECE, SUM_PIECE.min(n - task * SUM_PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let out = unsafe { out.slice(first, count) };
        for ((out, x), y) in out.iter_mut().zip(&x[first..first + count]).zip(&y[first..first + count]) {
            *out = x + y;
        }
    });
}

/// See [`crate::compute::Backend::gather_columns`].
pub(super) fn gather_columns(pool: &Pool, out: MatMut<'_>, x: Mat<'_>, columns: &[usize]) {
    let (n, stride) = (columns.len(), out.stride);
    let fits = (out.rows, out.cols) == (x.rows, n) && columns.iter().all(|c| *c < x.cols);
    assert!(fits, "{n} columns of {} x {} in {} x {}", x.rows, x.cols, out.rows, out.cols);
    let rows = (PIECE / n.max(1)).max(1);
    let out = SharedMut::new(out.data);
    pool.for_each(x.rows.div_ceil(rows), |task| {
        for r in task * rows..x.rows.min((task + 1) * rows) {
            #[expect(unsafe_code, reason = "each task writes its own rows")]
            // SAFETY: rows share no element.
            let out = unsafe { out.slice(r * stride, n) };
            let row = x.row(r);
            out.iter_mut().zip(columns).for_each(|(out, c)| *out = row[*c]);
        }
    });
}

/// See [`crate::compute::Backend::square_norm`].
pub(super) fn square_norm(pool: &Pool, x: &[f32]) -> f64 {
    let n = x.len();
    let parts = pool.map_with(
        n.div_ceil(SUM_PIECE),
        || (),
        |(), task| {
            let part = &x[task * SUM_PIECE..n.min((task + 1) * SUM_PIECE)];
            part.chunks(SQUARES).map(|c| f64::from(squares(pool.isa, c))).collect::<Vec<f64>>()
        },
    );
    parts.into_iter().flatten().sum()
}

#[inline(always)]
fn squares_body<const FMA: bool>(x: &[f32]) -> f32 {
    dot::<FMA>(x, x)
}
per_isa! { fn squares(x: &[f32]) -> f32 { squares_body } }

/// See [`crate::compute::Backend::all_finite`].
pub(super) fn all_finite(pool: &Pool, x: &[f32]) -> bool {
    let pieces = x.len().div_ceil(SUM_PIECE);
    pool.map_with(pieces, || (), |(), i| finite(pool.isa, &x[i * SUM_PIECE..x.len().min((i + 1) * SUM_PIECE)])).into_iter().all(|b| b)
}

/// A value is finite exactly where its exponent is not all ones; without branches until the end of some pages.
#[inline(always)]
fn finite_body<const FMA: bool>(x: &[f32]) -> bool {
    x.chunks(SQUARES).all(|chunk| chunk.iter().fold(true, |all, v| all & v.is_finite()))
}
per_isa! { fn finite(x: &[f32]) -> bool { finite_body } }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::Isa;

    #[test]
    fn sums_do_not_depend_on_threads_and_miss_no_element() {
        let n = 2 * SUM_PIECE + 4099;
        let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        let exact: f64 = x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        let norms = [1, 2].map(|threads| square_norm(&Pool::new(Some(threads), Isa::best()), &x));
        assert_eq!(norms[0], norms[1]);
        // f32 over 4096 elements in 16 lanes: a few ulp.
        assert!((norms[0] / exact - 1.0).abs() < 1e-6, "{} for {exact}", norms[0]);
        let mut sum = x.clone();
        add(&Pool::new(Some(2), Isa::best()), &mut sum, &x);
        assert!(sum.iter().zip(&x).all(|(s, x)| *s == x + x));
        let (mut out, y) = (vec![0.0; n], x.iter().rev().copied().collect::<Vec<f32>>());
        super::sum(&Pool::new(Some(2), Isa::best()), &mut out, &x, &y);
        assert!(out.iter().zip(&x).zip(&y).all(|((s, x), y)| *s == x + y));
    }
    #[test]
    fn gathered_columns_are_those_asked_for_whatever_the_threads() {
        let (rows, width) = (3001, 41);
        let x: Vec<f32> = (0..rows * (width + 3)).map(|i| i as f32).collect();
        let of = Mat::new(&x, rows, width + 3).columns(2, width);
        for columns in [vec![], vec![40, 0, 7, 7], (0..width).rev().collect()] {
            for threads in [1, 2] {
                // Between columns that stay as they are.
                let wide = columns.len() + 2;
                let mut out = vec![-1.0; rows * wide];
                let to = MatMut::new(&mut out, rows, wide).columns(1, columns.len());
                gather_columns(&Pool::new(Some(threads), Isa::best()), to, of, &columns);
                for (r, row) in out.chunks_exact(wide).enumerate() {
                    let want = columns.iter().map(|c| (r * (width + 3) + 2 + c) as f32);
                    let want: Vec<f32> = std::iter::once(-1.0).chain(want).chain(std::iter::once(-1.0)).collect();
                    assert_eq!(row, want, "row {r} of {columns:?}");
                }
            }
        }
    }
}
