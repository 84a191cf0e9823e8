//! Products of many rows where registers are 512 bits wide: the right operand is packed once and shared by all threads, the left one is read where it
//! lies (where it runs along the depth, each thread packs the rows that it takes).
//!
//! The `gemm` crate packs both operands of every piece that a thread takes, and a product is cut into pieces so that no thread waits. (docs/speed.md says what
//! that cost.) Each element is the same chain of multiply-adds here and there, cut at the same depths.

use super::{
    Isa,
    isa::Level,
    matmul::{Form, K_BLOCK},
    panel::{self, Job, LINE, Left, Panels, aligned, pack_across, pack_panel},
    pool::{Lent, Pool, SharedMut},
};
use crate::compute::Mat;

/// Columns of a panel: two registers.
const WIDTH: usize = 32;
/// Rows of a block.
const ROWS: usize = 12;
/// Columns packed at once (4 MiB at full depth).
const COLUMNS: usize = 2048;
/// Rows and columns of a task, whose operands stay in the second-level cache (192 and 512 KiB at full depth).
const TASK_ROWS: usize = 8 * ROWS;
const TASK_COLUMNS: usize = 8 * WIDTH;
/// Panels that a task packs.
const TOGETHER: usize = 4;
/// Depths of a turned panel that are packed at a time.
const RUN: usize = 64;

/// Whether the processor has the registers.
pub(super) fn available() -> bool {
    cfg!(target_arch = "x86_64") && Isa::highest().level() == Level::Avx512
}

/// `out[m,n] = a . b (+ out)`, operands as the form says; rows of `out` `stride` apart. The shapes were checked by the caller.
pub(super) fn multiply(pool: &Pool, form: Form, out: SharedMut, stride: usize, a: Mat<'_>, b: Mat<'_>, add: bool) {
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let n = if form == Form::Nt { b.rows } else { b.cols };
    debug_assert_eq!(panel::panel_width(Isa::highest()), WIDTH, "a panel of the inner loops");
    let mut lent = pool.lend(n.min(COLUMNS).next_multiple_of(WIDTH) * K_BLOCK.min(k) + LINE);
    // Nearly equal, so that no thread waits long for the last.
    let rows_each = m.div_ceil(m.div_ceil(TASK_ROWS).next_multiple_of(pool.threads)).next_multiple_of(ROWS);
    // The depths of some columns one after another, so that a result wider than the caches is met there again.
    for c in (0..n).step_by(COLUMNS) {
        let cols = COLUMNS.min(n - c);
        for first in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - first);
            let right = aligned(&mut lent.buffer, cols.next_multiple_of(WIDTH) * depth);
            pack_right(pool, form, b, first, depth, c, cols, right);
            let (down, across) = (m.div_ceil(rows_each), cols.div_ceil(TASK_COLUMNS));
            let right = &*right;
            let strip = || Strip { lent: pool.lend(if form == Form::Tn { rows_each * depth } else { 0 } + LINE), of: None };
            pool.map_with(down * across, strip, |strip, task| {
                let (r, tc) = (task / across * rows_each, task % across * TASK_COLUMNS);
                let rows = rows_each.min(m - r);
                if form == Form::Tn && strip.of != Some(r) {
                    pack_across::<ROWS>(
                        depth,
                        |k| &a.row(first + k)[r..r + rows],
                        aligned(&mut strip.lent.buffer, rows.next_multiple_of(ROWS) * depth),
                    );
                    strip.of = Some(r);
                }
                let blocks = aligned(&mut strip.lent.buffer, if form == Form::Tn { rows.next_multiple_of(ROWS) * depth } else { 0 });
                // A block of rows stays in the first-level cache, panels pass by.
                for block in (0..rows).step_by(ROWS) {
                    let left = match form {
                        Form::Tn => Left { ptr: blocks[block * depth..].as_ptr(), rs: 1, cs: ROWS },
                        _ => Left { ptr: a.data[(r + block) * a.stride + first..].as_ptr(), rs: a.stride, cs: 1 },
                    };
                    let job = Job {
                        m: ROWS.min(rows - block),
                        cols: TASK_COLUMNS.min(cols - tc),
                        depth,
                        left,
                        right: Panels { ptr: right[tc * depth..].as_ptr(), step: WIDTH * depth, row: WIDTH },
                        out: out.ptr((r + block) * stride + c + tc),
                        out_row: stride,
                        add: add || first > 0,
                    };
                    #[expect(unsafe_code, reason = "each task writes its own rectangle of the result")]
                    // SAFETY: the caller checked operands and result against their slices; rectangles of different tasks share no element.
                    unsafe {
                        panel::multiply(Isa::highest(), &job);
                    }
                }
            });
        }
    }
}

/// A thread's rows of a left operand that runs along the depth, `[rows / ROWS][depth][ROWS]`, and which they are.
struct Strip<'a> {
    lent: Lent<'a>,
    of: Option<usize>,
}

/// Columns `c..c + cols` at depths `first..first + depth` of the right operand into panels `[cols / WIDTH][depth][WIDTH]`, filled up with zeros.
#[expect(clippy::too_many_arguments, reason = "a rectangle of a matrix and where it goes")]
fn pack_right(pool: &Pool, form: Form, b: Mat<'_>, first: usize, depth: usize, c: usize, cols: usize, panels: &mut [f32]) {
    let count = cols.div_ceil(WIDTH);
    let panels = SharedMut::new(panels);
    pool.for_each(count.div_ceil(TOGETHER), |task| {
        let p = task * TOGETHER;
        let (from, width) = (c + p * WIDTH, (TOGETHER * WIDTH).min(cols - p * WIDTH));
        #[expect(unsafe_code, reason = "each task packs its own panels")]
        // SAFETY: panels of different tasks share no element.
        let panels = unsafe { panels.slice(p * WIDTH * depth, TOGETHER.min(count - p) * WIDTH * depth) };
        if form == Form::Nt {
            for (i, panel) in panels.chunks_exact_mut(WIDTH * depth).enumerate() {
                let row = |j: usize| &b.row(from + i * WIDTH + j)[first..first + depth];
                pack_panel(Isa::highest(), WIDTH.min(width - i * WIDTH), depth, WIDTH, RUN, row, panel);
            }
        } else {
            pack_across::<WIDTH>(depth, |k| &b.row(first + k)[from..from + width], panels);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::matmul::{View, product};

    #[test]
    fn every_form_gives_the_bits_of_the_plain_product() {
        if !available() {
            return;
        }
        let pool = Pool::new(Some(2), Isa::best());
        let numbers = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin()).collect::<Vec<f32>>();
        // Ragged in every direction, and deeper than one piece.
        for (m, n, k) in [(25, 70, 3), (97, 257, 600), (31, 64, 513), (130, 2100, 40)] {
            for form in [Form::Nt, Form::Nn, Form::Tn] {
                let (a, b) = (numbers(m * k, 0.37), numbers(n * k, 0.11));
                let (a, av) = match form {
                    Form::Tn => (Mat::new(&a, k, m), View::new(&a, m).transposed()),
                    _ => (Mat::new(&a, m, k), View::new(&a, k)),
                };
                let (b, bv) = match form {
                    Form::Nt => (Mat::new(&b, n, k), View::new(&b, k).transposed()),
                    _ => (Mat::new(&b, k, n), View::new(&b, n)),
                };
                for add in [false, true] {
                    // Rows lie apart, and what is between them stays.
                    let stride = n + 5;
                    let (mut ours, mut plain) = (vec![0.5f32; m * stride], vec![0.5f32; m * stride]);
                    multiply(&pool, form, SharedMut::new(&mut ours), stride, a, b, add);
                    #[expect(unsafe_code, reason = "the reference")]
                    // SAFETY: operands and result have the product's shape.
                    unsafe {
                        product(m, n, k, plain.as_mut_ptr(), stride, av, bv, 1.0, if add { 1.0 } else { 0.0 });
                    }
                    assert!(ours == plain, "{m} x {n} x {k}, {add}");
                }
            }
        }
    }
}
