//! Products of many rows on processors with AVX-512 or AVX2: the right operand is packed once and shared by all threads, a piece while the one before is
//! multiplied; the left one is read where it lies (where it runs along the depth, or its rows lie so that they share lines of the first-level cache, each thread
//! packs the rows that it takes).
//!
//! Operands may be rounded to pairs of bfloat16 numbers while they are packed ([`super::pairs`]), the left one too; the loops are the same.
//!
//! The `gemm` crate packs both operands of every piece that a thread takes, and a product is cut into pieces so that no thread waits. (docs/speed.md says what
//! that cost.) Each element is the same chain of multiply-adds here and there, cut at the same depths.

use super::{
    Isa,
    isa::Level,
    matmul::{Form, K_BLOCK},
    pairs::Words,
    panel::{self, Job, LINE, Left, Panels, aligned, pack_across, pack_words},
    pool::{Lent, Pool, SharedMut},
};
use crate::compute::Mat;

/// Columns packed at once (4 MiB at full depth).
const COLUMNS: usize = 2048;
/// Rows of a task, whose operands stay in the second-level cache (192 KiB of rows at full depth, 512 or 256 KiB of panels).
const TASK_ROWS: usize = 96;
/// Panels of a task.
const TASK_PANELS: usize = 8;
/// Panels that a task packs.
const TOGETHER: usize = 4;
/// Depths of a turned panel that are packed at a time.
const RUN: usize = 64;
/// Floats after which places in memory share lines of the first-level cache (4 KiB). It holds eight or twelve of a kind; a block has six or twelve rows, and panels
/// pass by.
const ALIASED: usize = 1024;

/// What a level's inner loops take at once.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    isa: Isa,
    /// Columns of a panel: two registers.
    width: usize,
    /// Rows of a block.
    rows: usize,
}

impl Blocks {
    /// Of this level, if it is worth it.
    fn of(isa: Isa) -> Option<Self> {
        let rows = match isa.level() {
            Level::Avx512 => 12,
            Level::Avx2 => 6,
            Level::Baseline => return None,
        };
        Some(Self { isa, width: panel::panel_width(isa), rows })
    }
    /// Of the level of the `gemm` crate's kernels, whose bits these are.
    pub fn here() -> Option<Self> {
        Self::of(Isa::highest())
    }
    /// [`pack_across`] into panels or blocks of so many.
    fn across<'a>(self, to: usize, words: Words, depth: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
        match to {
            6 => pack_across::<6>(words, depth, row, out),
            12 => pack_across::<12>(words, depth, row, out),
            16 => pack_across::<16>(words, depth, row, out),
            32 => pack_across::<32>(words, depth, row, out),
            _ => unreachable!("no level has panels or blocks of {to}"),
        }
    }
    /// Rows `r..r + rows` at depths `first..first + depth` of the left operand into blocks `[rows / self.rows][words][self.rows]`.
    fn pack_left(
        self,
        words: Words,
        form: Form,
        a: Mat<'_>,
        (first, depth): (usize, usize),
        (r, rows): (usize, usize),
        blocks: &mut [f32],
    ) {
        if form == Form::Tn {
            return self.across(self.rows, words, depth, |k| &a.row(first + k)[r..r + rows], blocks);
        }
        for (i, block) in blocks.chunks_exact_mut(self.rows * words.of(depth)).enumerate() {
            let row = |j: usize| &a.row(r + i * self.rows + j)[first..first + depth];
            pack_words(self.isa, words, self.rows.min(rows - i * self.rows), depth, self.rows, RUN, row, block);
        }
    }
}

/// `out[m,n] = a . b (+ out)`, operands as the form says, by numbers or by pairs; rows of `out` `stride` apart. The shapes were checked by the caller.
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
pub(super) fn multiply(
    pool: &Pool,
    blocks: Blocks,
    words: Words,
    form: Form,
    out: SharedMut,
    stride: usize,
    a: Mat<'_>,
    b: Mat<'_>,
    add: bool,
) {
    let Blocks { isa, width, rows: height } = blocks;
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let n = if form == Form::Nt { b.rows } else { b.cols };
    // The depths of some columns one after another, so that a result wider than the caches is met there again.
    let pieces = || {
        (0..n).step_by(COLUMNS).flat_map(move |c| {
            let piece =
                move |first| Piece { blocks, column: c, cols: COLUMNS.min(n - c), first, depth: depth_of(words).min(k - first), words };
            (0..k).step_by(depth_of(words)).map(piece)
        })
    };
    let strips = form == Form::Tn || words == Words::Pairs || a.stride.is_multiple_of(ALIASED);
    // While one piece is multiplied the next is packed.
    let longest = n.min(COLUMNS).next_multiple_of(width) * words.of(depth_of(words).min(k));
    let (mut here, mut there) = (pool.lend(longest + LINE), pool.lend(if pieces().nth(1).is_some() { longest + LINE } else { 0 }));
    // Nearly equal, so that no thread waits long for the last.
    let rows_each = m.div_ceil(m.div_ceil(TASK_ROWS).next_multiple_of(pool.threads)).next_multiple_of(height);
    let task_columns = TASK_PANELS * width;
    let mut rest = pieces().peekable();
    if let Some(first) = rest.peek() {
        let panels = SharedMut::new(aligned(&mut here.buffer, first.floats()));
        pool.for_each(first.pack_tasks(), |task| first.pack(form, b, task, panels));
    }
    while let Some(piece) = rest.next() {
        let Piece { column, cols, first, depth, .. } = piece;
        let long = words.of(depth);
        let right = &*aligned(&mut here.buffer, piece.floats());
        let next = rest.peek().map(|next| (next, SharedMut::new(aligned(&mut there.buffer, next.floats()))));
        let (down, across) = (m.div_ceil(rows_each), cols.div_ceil(task_columns));
        let strip = || Strip { lent: pool.lend(if strips { rows_each * long } else { 0 } + LINE), of: None };
        // What is packed comes last: small tasks, so that no thread waits long.
        let packing = next.map_or(0, |(next, _)| next.pack_tasks());
        pool.map_with(down * across + packing, strip, |strip, task| {
            if let (Some(packed), Some((next, panels))) = (task.checked_sub(down * across), next) {
                return next.pack(form, b, packed, panels);
            }
            let (r, tc) = (task / across * rows_each, task % across * task_columns);
            let rows = rows_each.min(m - r);
            let packed = aligned(&mut strip.lent.buffer, if strips { rows.next_multiple_of(height) * long } else { 0 });
            if strips && strip.of != Some(r) {
                blocks.pack_left(words, form, a, (first, depth), (r, rows), packed);
                strip.of = Some(r);
            }
            // A block of rows stays in the first-level cache, panels pass by.
            for block in (0..rows).step_by(height) {
                let left = if strips {
                    Left { ptr: packed[block * long..].as_ptr(), rs: 1, cs: height }
                } else {
                    Left { ptr: a.data[(r + block) * a.stride + first..].as_ptr(), rs: a.stride, cs: 1 }
                };
                let job = Job {
                    m: height.min(rows - block),
                    cols: task_columns.min(cols - tc),
                    depth: long,
                    left,
                    right: Panels { ptr: right[tc * long..].as_ptr(), step: width * long, row: width },
                    out: out.ptr((r + block) * stride + column + tc),
                    out_row: stride,
                    add: add || first > 0,
                    words,
                };
                #[expect(unsafe_code, reason = "each task writes its own rectangle of the result")]
                // SAFETY: the caller checked operands and result against their slices; rectangles of different tasks share no element.
                unsafe {
                    panel::multiply(isa, &job);
                }
            }
        });
        std::mem::swap(&mut here, &mut there);
    }
}

/// A thread's rows of a left operand that is packed, `[rows / height][depth][height]`, and which they are.
struct Strip<'a> {
    lent: Lent<'a>,
    of: Option<usize>,
}

/// Longest sum made in one piece, of as many words with either kind.
pub(super) fn depth_of(words: Words) -> usize {
    match words {
        Words::Numbers => K_BLOCK,
        Words::Pairs => 2 * K_BLOCK,
    }
}

/// A rectangle of the right operand: columns `column..column + cols` at depths `first..first + depth`.
#[derive(Clone, Copy)]
struct Piece {
    blocks: Blocks,
    column: usize,
    cols: usize,
    first: usize,
    depth: usize,
    words: Words,
}

impl Piece {
    /// Of its panels `[cols / width][words][width]`, filled up with zeros.
    fn floats(self) -> usize {
        self.cols.next_multiple_of(self.blocks.width) * self.words.of(self.depth)
    }
    fn pack_tasks(self) -> usize {
        self.cols.div_ceil(TOGETHER * self.blocks.width)
    }
    /// Packs some panels of `b`, which `panels` has all of.
    fn pack(self, form: Form, b: Mat<'_>, task: usize, panels: SharedMut) {
        let Self { blocks: Blocks { isa, width, .. }, column, cols, first, depth, words } = self;
        let long = words.of(depth);
        let p = task * TOGETHER;
        let (from, count) = (column + p * width, (TOGETHER * width).min(cols - p * width));
        #[expect(unsafe_code, reason = "each task packs its own panels")]
        // SAFETY: panels of different tasks share no element.
        let panels = unsafe { panels.slice(p * width * long, count.next_multiple_of(width) * long) };
        if form == Form::Nt {
            for (i, panel) in panels.chunks_exact_mut(width * long).enumerate() {
                let row = |j: usize| &b.row(from + i * width + j)[first..first + depth];
                pack_words(isa, words, width.min(count - i * width), depth, width, RUN, row, panel);
            }
        } else {
            self.blocks.across(width, words, depth, |k| &b.row(first + k)[from..from + count], panels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{
        MatMut,
        cpu::matmul::{View, multiply as multiply_any, product},
    };

    #[test]
    fn every_form_gives_the_bits_of_the_plain_product() {
        for blocks in Isa::available().into_iter().filter_map(Blocks::of) {
            forms_give_the_bits_of_the_plain_product(blocks);
        }
    }

    fn forms_give_the_bits_of_the_plain_product(blocks: Blocks) {
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
                    multiply(&pool, blocks, Words::Numbers, form, SharedMut::new(&mut ours), stride, a, b, add);
                    #[expect(unsafe_code, reason = "the reference")]
                    // SAFETY: operands and result have the product's shape.
                    unsafe {
                        product(m, n, k, plain.as_mut_ptr(), stride, av, bv, 1.0, if add { 1.0 } else { 0.0 });
                    }
                    assert!(ours == plain, "{m} x {n} x {k}, {add}, {}", blocks.isa.name());
                }
            }
        }
    }

    /// Products of pairs against f64, relative to the sum of the products' sizes.
    #[test]
    fn pairs_keep_their_accuracy_and_rows_alone_their_bits_in_company() {
        let Some(words) = Words::pairs() else {
            eprintln!("skipped: no AVX512_BF16 here");
            return;
        };
        let mut pool = Pool::new(Some(2), Isa::best());
        pool.words = words;
        let numbers = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin() * 10f32.powi(i as i32 % 7 - 3)).collect::<Vec<f32>>();
        let turned =
            |data: &[f32], rows: usize, cols: usize| (0..data.len()).map(|i| data[i % rows * cols + i / rows]).collect::<Vec<f32>>();
        // Ragged in every direction, of odd depths, and deeper than one piece.
        for (m, n, k) in [(1, 1, 8), (25, 70, 9), (97, 257, 1100), (33, 64, 2049), (130, 2100, 40)] {
            let (a, b) = (numbers(m * k, 0.37), numbers(n * k, 0.11));
            let (at, bt) = (turned(&a, m, k), turned(&b, n, k));
            let run = |form: Form, first: usize, rows: usize, add: bool| {
                let whole = Mat::new(&a, m, k).rows(first, rows);
                let left = if form == Form::Tn { Mat::new(&at, k, m) } else { whole };
                let right = if form == Form::Nt { Mat::new(&b, n, k) } else { Mat::new(&bt, k, n) };
                let mut out = vec![0.5f32; rows * n];
                multiply_any(&pool, form, MatMut::new(&mut out, rows, n), left, right, 1.0, if add { 1.0 } else { 0.0 });
                out
            };
            let whole = run(Form::Nt, 0, m, false);
            assert!(run(Form::Nn, 0, m, false) == whole && run(Form::Tn, 0, m, false) == whole, "forms differ, {m} x {n} x {k}");
            let added = run(Form::Nn, 0, m, true);
            for (first, rows) in [(0, 1), (m / 2, 1), (m / 3, (m - m / 3).min(20))] {
                assert!(run(Form::Nt, first, rows, false) == whole[first * n..][..rows * n], "{rows} rows of {m} alone, {n} x {k}");
            }
            for (i, (got, added)) in whole.iter().zip(&added).enumerate() {
                let terms = || (0..k).map(|d| f64::from(a[i / n * k + d]) * f64::from(b[i % n * k + d]));
                let (want, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                let bound = (2f64.powi(-7) + k as f64 * 2f64.powi(-24)) * size;
                assert!((f64::from(*got) - want).abs() <= bound, "{m} x {n} x {k}: {got} for {want}");
                assert!((added - got - 0.5).abs() <= 1e-5 * (1.0 + got.abs() + size as f32), "{added} for {got} and a half");
            }
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let (mut a, b) = (vec![1.0f32; 20 * 40], vec![1.0f32; 20 * 40]);
            a[7 * 40 + 3] = bad;
            let mut out = vec![0.0; 20 * 20];
            multiply_any(&pool, Form::Nt, MatMut::new(&mut out, 20, 20), Mat::new(&a, 20, 40), Mat::new(&b, 20, 40), 1.0, 0.0);
            assert!(out.iter().enumerate().all(|(i, v)| v.is_finite() == (i / 20 != 7)), "{bad}");
        }
    }
}
