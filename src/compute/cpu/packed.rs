//! Products of many rows where registers are 512 bits wide: the right operand is packed once and shared by all threads, a piece while the one before is
//! multiplied; the left one is read where it lies (where it runs along the depth, or its rows lie so that they share lines of the first-level cache, each thread
//! packs the rows that it takes).
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
/// Floats after which places in memory share lines of the first-level cache (4 KiB). It holds eight of a kind; a block has twelve rows.
const ALIASED: usize = 1024;

/// Whether the processor has the registers.
pub(super) fn available() -> bool {
    cfg!(target_arch = "x86_64") && Isa::highest().level() == Level::Avx512
}

/// `out[m,n] = a . b (+ out)`, operands as the form says; rows of `out` `stride` apart. The shapes were checked by the caller.
pub(super) fn multiply(pool: &Pool, form: Form, out: SharedMut, stride: usize, a: Mat<'_>, b: Mat<'_>, add: bool) {
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let n = if form == Form::Nt { b.rows } else { b.cols };
    debug_assert_eq!(panel::panel_width(Isa::highest()), WIDTH, "a panel of the inner loops");
    // The depths of some columns one after another, so that a result wider than the caches is met there again.
    let pieces = || {
        (0..n).step_by(COLUMNS).flat_map(move |c| {
            let piece = move |first| Piece { column: c, cols: COLUMNS.min(n - c), first, depth: K_BLOCK.min(k - first) };
            (0..k).step_by(K_BLOCK).map(piece)
        })
    };
    let strips = form == Form::Tn || a.stride.is_multiple_of(ALIASED);
    // While one piece is multiplied the next is packed.
    let longest = n.min(COLUMNS).next_multiple_of(WIDTH) * K_BLOCK.min(k);
    let (mut here, mut there) = (pool.lend(longest + LINE), pool.lend(if pieces().nth(1).is_some() { longest + LINE } else { 0 }));
    // Nearly equal, so that no thread waits long for the last.
    let rows_each = m.div_ceil(m.div_ceil(TASK_ROWS).next_multiple_of(pool.threads)).next_multiple_of(ROWS);
    let mut rest = pieces().peekable();
    if let Some(first) = rest.peek() {
        let panels = SharedMut::new(aligned(&mut here.buffer, first.floats()));
        pool.for_each(first.pack_tasks(), |task| first.pack(form, b, task, panels));
    }
    while let Some(piece) = rest.next() {
        let Piece { column, cols, first, depth } = piece;
        let right = &*aligned(&mut here.buffer, piece.floats());
        let next = rest.peek().map(|next| (next, SharedMut::new(aligned(&mut there.buffer, next.floats()))));
        let (down, across) = (m.div_ceil(rows_each), cols.div_ceil(TASK_COLUMNS));
        let strip = || Strip { lent: pool.lend(if strips { rows_each * depth } else { 0 } + LINE), of: None };
        // What is packed comes last: small tasks, so that no thread waits long.
        let packing = next.map_or(0, |(next, _)| next.pack_tasks());
        pool.map_with(down * across + packing, strip, |strip, task| {
            if let (Some(packed), Some((next, panels))) = (task.checked_sub(down * across), next) {
                return next.pack(form, b, packed, panels);
            }
            let (r, tc) = (task / across * rows_each, task % across * TASK_COLUMNS);
            let rows = rows_each.min(m - r);
            let blocks = aligned(&mut strip.lent.buffer, if strips { rows.next_multiple_of(ROWS) * depth } else { 0 });
            if strips && strip.of != Some(r) {
                pack_left(form, a, first, depth, r, rows, blocks);
                strip.of = Some(r);
            }
            // A block of rows stays in the first-level cache, panels pass by.
            for block in (0..rows).step_by(ROWS) {
                let left = if strips {
                    Left { ptr: blocks[block * depth..].as_ptr(), rs: 1, cs: ROWS }
                } else {
                    Left { ptr: a.data[(r + block) * a.stride + first..].as_ptr(), rs: a.stride, cs: 1 }
                };
                let job = Job {
                    m: ROWS.min(rows - block),
                    cols: TASK_COLUMNS.min(cols - tc),
                    depth,
                    left,
                    right: Panels { ptr: right[tc * depth..].as_ptr(), step: WIDTH * depth, row: WIDTH },
                    out: out.ptr((r + block) * stride + column + tc),
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
        std::mem::swap(&mut here, &mut there);
    }
}

/// A thread's rows of a left operand that is packed, `[rows / ROWS][depth][ROWS]`, and which they are.
struct Strip<'a> {
    lent: Lent<'a>,
    of: Option<usize>,
}

/// Rows `r..r + rows` at depths `first..first + depth` of the left operand into blocks `[rows / ROWS][depth][ROWS]`.
fn pack_left(form: Form, a: Mat<'_>, first: usize, depth: usize, r: usize, rows: usize, blocks: &mut [f32]) {
    if form == Form::Tn {
        return pack_across::<ROWS>(depth, |k| &a.row(first + k)[r..r + rows], blocks);
    }
    for (i, block) in blocks.chunks_exact_mut(ROWS * depth).enumerate() {
        let row = |j: usize| &a.row(r + i * ROWS + j)[first..first + depth];
        pack_panel(Isa::highest(), ROWS.min(rows - i * ROWS), depth, ROWS, RUN, row, block);
    }
}

/// A rectangle of the right operand: columns `column..column + cols` at depths `first..first + depth`.
#[derive(Clone, Copy)]
struct Piece {
    column: usize,
    cols: usize,
    first: usize,
    depth: usize,
}

impl Piece {
    /// Of its panels `[cols / WIDTH][depth][WIDTH]`, filled up with zeros.
    fn floats(self) -> usize {
        self.cols.next_multiple_of(WIDTH) * self.depth
    }
    fn pack_tasks(self) -> usize {
        self.cols.div_ceil(TOGETHER * WIDTH)
    }
    /// Packs some panels of `b`, which `panels` has all of.
    fn pack(self, form: Form, b: Mat<'_>, task: usize, panels: SharedMut) {
        let Self { column, cols, first, depth } = self;
        let p = task * TOGETHER;
        let (from, width) = (column + p * WIDTH, (TOGETHER * WIDTH).min(cols - p * WIDTH));
        #[expect(unsafe_code, reason = "each task packs its own panels")]
        // SAFETY: panels of different tasks share no element.
        let panels = unsafe { panels.slice(p * WIDTH * depth, width.next_multiple_of(WIDTH) * depth) };
        if form == Form::Nt {
            for (i, panel) in panels.chunks_exact_mut(WIDTH * depth).enumerate() {
                let row = |j: usize| &b.row(from + i * WIDTH + j)[first..first + depth];
                pack_panel(Isa::highest(), WIDTH.min(width - i * WIDTH), depth, WIDTH, RUN, row, panel);
            }
        } else {
            pack_across::<WIDTH>(depth, |k| &b.row(first + k)[from..from + width], panels);
        }
    }
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
        // Ragged in every direction, deeper than one piece, and with rows of a left operand (of its form along the rows) that share lines of the cache.
        for (m, n, k) in [(25, 70, 3), (97, 257, 600), (31, 64, 513), (130, 2100, 40), (110, 90, 1024)] {
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
