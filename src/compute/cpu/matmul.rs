//! Matrix products through the `gemm` crate, in a way that makes each element independent of how many rows and columns stand beside it.
//!
//! The crate adds up an element's products one after another in blocks along `k`; the block length follows the shape only when `k` exceeds
//! 512, so longer sums are cut here. It takes other paths, with another order, for vectors and for tiny products of two matrices that both
//! run along `k`; those go through a small transposed copy instead.
//!
//! A few rows against a weight `[out, in]`, which is what writing a text asks for all the time, are no job for it: it would turn the whole weight for
//! them. These go through [`super::panel`], the fewest through [`super::row_lanes`], whose chains of multiply-adds are the same.

#[cfg(target_arch = "x86_64")]
use super::tiles::product as tiled;
use super::{
    Isa, packed,
    pairs::{self, Words},
    panel::{self, Job, LINE, Left, Panels, aligned, pack_columns, panel_width},
    pool::{Pool, SharedMut},
};
#[cfg(target_arch = "x86_64")]
use super::{isa::Level, row_lanes};
use crate::compute::{Mat, MatMut, all_zero};

/// Longest sum handed to the `gemm` crate in one piece: up to here it never splits.
pub(super) const K_BLOCK: usize = 512;
/// Products with at most this many elements may take the crate's horizontal path.
const TINY: usize = 16 * 16;
/// Work (multiply-adds) below which a product stays on one thread.
const SERIAL_BELOW: usize = 64 * 64 * 64;
/// Pieces are multiples of what the crate's kernels take at once, so that only the last has a ragged edge.
const COLUMN_STEP: usize = 16;
const ROW_STEP: usize = 24;

/// A matrix seen through a pointer: element `(r, c)` at `r * rs + c * cs`.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub ptr: *const f32,
    pub rs: usize,
    pub cs: usize,
}

impl View {
    pub fn new(data: &[f32], rs: usize) -> Self {
        Self { ptr: data.as_ptr(), rs, cs: 1 }
    }
    pub fn transposed(self) -> Self {
        Self { rs: self.cs, cs: self.rs, ..self }
    }
    fn at(self, r: usize, c: usize) -> *const f32 {
        self.ptr.wrapping_add(r * self.rs + c * self.cs)
    }
    fn rows_from(self, r: usize) -> Self {
        Self { ptr: self.at(r, 0), ..self }
    }
    fn columns_from(self, c: usize) -> Self {
        Self { ptr: self.at(0, c), ..self }
    }
}

/// `out[m,n] = alpha * a[m,k] . b[k,n] + beta * out` on the calling thread. Rows of `out` are `stride` apart.
///
/// # Safety
/// Every element of the three matrices must be readable (`out` also writable), and nothing else may touch `out`'s meanwhile.
#[expect(unsafe_code, reason = "strided views of parts of buffers that other tasks write other parts of")]
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
pub(super) unsafe fn product(m: usize, n: usize, k: usize, out: *mut f32, stride: usize, a: View, b: View, alpha: f32, beta: f32) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        for r in 0..m {
            for c in 0..n {
                // SAFETY: inside `out` by the caller's promise.
                unsafe {
                    let o = out.add(r * stride + c);
                    *o = if beta == 0.0 { 0.0 } else { beta * *o };
                }
            }
        }
        return;
    }
    if m == 1 || n == 1 || (m * n <= TINY && a.cs == 1 && b.rs == 1) {
        // SAFETY: the caller's promise.
        unsafe { small_product(m, n, k, out, stride, a, b, alpha, beta) };
        return;
    }
    let mut first = 0;
    while first < k {
        let depth = K_BLOCK.min(k - first);
        let (a, b) = (a.columns_from(first), b.rows_from(first));
        let keep = if first == 0 { beta } else { 1.0 };
        // SAFETY: the caller's promise.
        unsafe { block(m, n, depth, out, stride, a, b, alpha, keep) };
        first += depth;
    }
}

/// One call of the crate with `k` at most [`K_BLOCK`].
#[expect(unsafe_code, reason = "see `product`")]
#[expect(clippy::too_many_arguments, reason = "see `product`")]
unsafe fn block(m: usize, n: usize, k: usize, out: *mut f32, stride: usize, a: View, b: View, alpha: f32, beta: f32) {
    let padded;
    let (a, b, k) = if k <= 2 {
        // The crate's rank-1 and rank-2 path rounds its edges otherwise than its middle: add products with zero.
        padded = pad_depth(m, n, k, a, b);
        (View::new(&padded.0, PADDED), View::new(&padded.1, n), PADDED)
    } else {
        (a, b, k)
    };
    // SAFETY: the caller's promise, or the padded copies, which have the full shape.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            beta != 0.0,
            a.ptr,
            a.cs as isize,
            a.rs as isize,
            b.ptr,
            b.cs as isize,
            b.rs as isize,
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Depth that [`pad_depth`] fills up to.
const PADDED: usize = 3;

/// Copies with zeros up to a depth of [`PADDED`].
#[expect(unsafe_code, reason = "reads views")]
fn pad_depth(m: usize, n: usize, k: usize, a: View, b: View) -> (Vec<f32>, Vec<f32>) {
    let (mut pa, mut pb) = (vec![0.0; m * PADDED], vec![0.0; PADDED * n]);
    for i in 0..k {
        for r in 0..m {
            // SAFETY: `product`'s caller promised that `a` is readable.
            pa[r * PADDED + i] = unsafe { *a.at(r, i) };
        }
        for c in 0..n {
            // SAFETY: as for `a`.
            pb[i * n + c] = unsafe { *b.at(i, c) };
        }
    }
    (pa, pb)
}

/// A product that is a vector or tiny, on the path of the big ones: `a` copied with at least two rows lying side by side, and at least two
/// columns of `b`.
#[expect(unsafe_code, reason = "see `product`")]
#[expect(clippy::too_many_arguments, reason = "see `product`")]
unsafe fn small_product(m: usize, n: usize, k: usize, out: *mut f32, stride: usize, a: View, b: View, alpha: f32, beta: f32) {
    let (pm, pn) = (m.max(2), n.max(2));
    let mut result = vec![0.0f32; pm * pn];
    if beta != 0.0 {
        for r in 0..m {
            for c in 0..n {
                // SAFETY: inside `out` by the caller's promise.
                result[r * pn + c] = unsafe { *out.add(r * stride + c) };
            }
        }
    }
    let mut at = vec![0.0f32; K_BLOCK.min(k) * pm];
    let mut two_columns = if n == 1 { vec![0.0f32; K_BLOCK.min(k) * pn] } else { Vec::new() };
    let mut first = 0;
    while first < k {
        let depth = K_BLOCK.min(k - first);
        for r in 0..m {
            for i in 0..depth {
                // SAFETY: `a` is readable by the caller's promise.
                at[i * pm + r] = unsafe { *a.at(r, first + i) };
            }
        }
        let mut right = b.rows_from(first);
        if n == 1 {
            for i in 0..depth {
                // SAFETY: `b` is readable by the caller's promise.
                two_columns[i * pn] = unsafe { *b.at(first + i, 0) };
            }
            right = View::new(&two_columns, pn);
        }
        let left = View { ptr: at.as_ptr(), rs: 1, cs: pm };
        // SAFETY: `left` and `result` are own copies of the padded shape, `right` is readable by the caller's promise.
        unsafe { block(pm, pn, depth, result.as_mut_ptr(), pn, left, right, alpha, if first == 0 { beta } else { 1.0 }) };
        first += depth;
    }
    for r in 0..m {
        for c in 0..n {
            // SAFETY: inside `out` by the caller's promise.
            unsafe { *out.add(r * stride + c) = result[r * pn + c] };
        }
    }
}

fn check(what: &str, data: &[f32], rows: usize, cols: usize, stride: usize) {
    assert!(stride >= cols, "{what}: rows of {cols} elements, {stride} apart");
    assert!(rows == 0 || cols == 0 || data.len() >= (rows - 1) * stride + cols, "{what}: {rows} x {cols} in {} elements", data.len());
}

/// How the operands of [`multiply`] lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `a[m,k] . b[n,k]^T`
    Nt,
    /// `a[m,k] . b[k,n]`
    Nn,
    /// `a[k,m]^T . b[k,n]`
    Tn,
}

/// `out = alpha * a . b + beta * out` on the pool. Rows of `a` that are all zero cost nothing: with an objective at one position, most rows of
/// the last layer's gradients are.
///
/// # Panics
/// When the shapes do not fit: a bug of the caller.
pub(super) fn multiply(pool: &Pool, form: Form, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
    if form == Form::Nn && out.rows == a.rows && a.rows >= SPARSE_ROWS {
        let live: Vec<usize> = (0..a.rows).filter(|&r| !all_zero(a.row(r))).collect();
        if live.len() <= a.rows / 2 {
            return multiply_rows(pool, &live, out, a, b, alpha, beta);
        }
    }
    multiply_dense(pool, form, out, a, b, alpha, beta);
}

/// Below this many rows nobody looks for zero ones.
const SPARSE_ROWS: usize = 16;

/// `out = alpha * a . b + beta * out` where only the rows `live` of `a` are not zero.
fn multiply_rows(pool: &Pool, live: &[usize], out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
    let (n, k) = (out.cols, a.cols);
    let mut rows = vec![0.0; live.len() * k];
    let mut result = vec![0.0; live.len() * n];
    for (row, &r) in rows.chunks_exact_mut(k).zip(live) {
        row.copy_from_slice(a.row(r));
    }
    for r in 0..out.rows {
        let row = &mut out.data[r * out.stride..][..n];
        match beta {
            0.0 => row.fill(0.0),
            1.0 => {}
            _ => row.iter_mut().for_each(|v| *v *= beta),
        }
    }
    if beta != 0.0 {
        // The rows already stand multiplied by beta.
        for (row, &r) in result.chunks_exact_mut(n).zip(live) {
            row.copy_from_slice(&out.data[r * out.stride..][..n]);
        }
    }
    let keep = if beta == 0.0 { 0.0 } else { 1.0 };
    multiply_dense(pool, Form::Nn, MatMut::new(&mut result, live.len(), n), Mat::new(&rows, live.len(), k), b, alpha, keep);
    for (row, &r) in result.chunks_exact(n).zip(live) {
        out.data[r * out.stride..][..n].copy_from_slice(row);
    }
}

fn multiply_dense(pool: &Pool, form: Form, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let (n, bk) = if form == Form::Nt { (b.rows, b.cols) } else { (b.cols, b.rows) };
    assert!(k == bk && out.rows == m && out.cols == n, "product of {m} x {k} and {bk} x {n} into {} x {}", out.rows, out.cols);
    check("left matrix", a.data, a.rows, a.cols, a.stride);
    check("right matrix", b.data, b.rows, b.cols, b.stride);
    check("result", out.data, m, n, out.stride);
    if m == 0 || n == 0 {
        return;
    }
    let av = View::new(a.data, a.stride);
    let av = Address::of(if form == Form::Tn { av.transposed() } else { av });
    let bv = View::new(b.data, b.stride);
    let bv = Address::of(if form == Form::Nt { bv.transposed() } else { bv });
    let stride = out.stride;
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = pool.unit.filter(|unit| alpha == 1.0 && (beta == 0.0 || beta == 1.0) && tiled::gains(*unit, k)) {
        return tiled::multiply(pool, unit, form, SharedMut::new(out.data), stride, a, b, beta == 1.0);
    }
    let plain = alpha == 1.0 && (beta == 0.0 || beta == 1.0);
    // As for the unit, form and depth alone decide.
    if pool.words == Words::Pairs && plain && pairs::gain(k) {
        if form == Form::Nt && m <= FEW_ROWS {
            return few_rows(pool, Words::Pairs, out, a, b, beta == 1.0);
        }
        if let Some(blocks) = packed::Blocks::here() {
            return packed::multiply(pool, blocks, Words::Pairs, form, SharedMut::new(out.data), stride, a, b, beta == 1.0);
        }
    }
    if form == Form::Nt && m <= FEW_ROWS && plain && k > 0 && n > 1 {
        return few_rows(pool, Words::Numbers, out, a, b, beta == 1.0);
    }
    let shared = SharedMut::new(out.data);
    // For few rows a large weight takes longer to turn than the crate's pieces lose.
    let turns = form != Form::Nt || n <= TURNED_TO || m >= TURNED_FOR;
    let large = k > 2 && turns && m >= PACKED_FROM && n >= PACKED_FROM && m * n * k >= SERIAL_BELOW;
    if let Some(blocks) = packed::Blocks::here().filter(|_| plain && large) {
        return packed::multiply(pool, blocks, Words::Numbers, form, shared, stride, a, b, beta == 1.0);
    }
    let (rows, cols) = pieces(pool.threads, m, n, k);
    let (across, down) = (n.div_ceil(cols.max(1)), m.div_ceil(rows.max(1)));
    pool.for_each(across * down, |piece| {
        let (r, c) = (piece / across * rows, piece % across * cols);
        let (a, b) = (av.view().rows_from(r), bv.view().columns_from(c));
        #[expect(unsafe_code, reason = "each task writes its own rectangle of the result")]
        // SAFETY: the views were checked against their slices above; rectangles of different tasks share no element.
        unsafe {
            product(rows.min(m - r), cols.min(n - c), k, shared.ptr(r * stride + c), stride, a, b, alpha, beta);
        }
    });
}

/// Rows and columns from which a packed operand is worth its packing.
const PACKED_FROM: usize = 24;
/// Rows of a weight up to which turning it once always pays, and rows that a larger one has to be multiplied by: measured.
const TURNED_TO: usize = 1024;
const TURNED_FOR: usize = 256;

/// Rows up to which a weight is turned a little at a time instead of as a whole.
const FEW_ROWS: usize = 32;
/// Columns turned at once.
const FEW_COLUMNS: usize = 64;

/// `out = a . b^T (+ out)` for few rows.
fn few_rows(pool: &Pool, words: Words, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, add: bool) {
    // The level of the crate's kernels, whose bits these must be.
    let isa = Isa::highest();
    let width = panel_width(isa);
    let (m, k, n, stride) = (a.rows, a.cols, b.rows, out.stride);
    let shared = SharedMut::new(out.data);
    let cols = if pool.threads == 1 || n * k < SERIAL_BELOW { n } else { n.div_ceil(4 * pool.threads).next_multiple_of(FEW_COLUMNS) };
    let deep = packed::depth_of(words);
    // Pairs of the left operand are made once.
    let mut lent = pool.lend(if words == Words::Pairs { m * words.of(k) } else { 0 } + LINE);
    let left = if words == Words::Pairs {
        let made = aligned(&mut lent.buffer, m * words.of(k));
        made.chunks_exact_mut(words.of(k)).enumerate().for_each(|(r, made)| pairs::along(a.row(r), made));
        Mat::new(made, m, words.of(k))
    } else {
        a
    };
    pool.map_with(
        n.div_ceil(cols),
        || pool.lend(FEW_COLUMNS * words.of(deep.min(k)) + LINE),
        |lent, task| {
            for c in (task * cols..n.min((task + 1) * cols)).step_by(FEW_COLUMNS) {
                let count = FEW_COLUMNS.min(n - c);
                for first in (0..k).step_by(deep) {
                    let depth = deep.min(k - first);
                    let (long, add) = (words.of(depth), add || first > 0);
                    let rows = Left { ptr: left.data[words.of(first)..].as_ptr(), rs: left.stride, cs: 1 };
                    if turned_in_registers(isa, words, &shared, stride, (left, words.of(first)), b, (c, count), (first, depth), add) {
                        continue;
                    }
                    let panels = aligned(&mut lent.buffer, count.next_multiple_of(width) * long);
                    pack_columns(isa, words, count, depth, |j| &b.row(c + j)[first..first + depth], panels);
                    let right = Panels { ptr: panels.as_ptr(), step: long * width, row: width };
                    let job = Job { m, cols: count, depth: long, left: rows, right, out: shared.ptr(c), out_row: stride, add, words };
                    #[expect(unsafe_code, reason = "each task writes its own columns of the result")]
                    // SAFETY: the operands were checked against their slices or packed above; columns of different tasks share no element.
                    unsafe {
                        panel::multiply(isa, &job);
                    }
                }
            }
        },
    );
}

/// Columns `c..c + count` of `out = a . b^T (+ out)` at some depths, `a` from a word of its rows on, where there are so few rows that no panel is worth making; else `false`.
#[expect(clippy::too_many_arguments, reason = "a piece of a product, and where it goes")]
fn turned_in_registers(
    isa: Isa,
    words: Words,
    out: &SharedMut,
    stride: usize,
    (a, word): (Mat<'_>, usize),
    b: Mat<'_>,
    (c, count): (usize, usize),
    (first, depth): (usize, usize),
    add: bool,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if isa.level() == Level::Avx512 && a.rows <= row_lanes::MOST_ROWS {
        let (left, right) = (&a.data[word..], &b.data[c * b.stride + first..]);
        let (a_row, b_row) = (a.stride, b.stride);
        let job =
            row_lanes::Job { m: a.rows, cols: count, depth, a: left, a_row, b: right, b_row, out: out.ptr(c), out_row: stride, add, words };
        #[expect(unsafe_code, reason = "each task writes its own columns of the result")]
        // SAFETY: the processor was asked; columns of different tasks share no element.
        unsafe {
            row_lanes::multiply(&job);
        }
        return true;
    }
    let _ = (isa, words, out, stride, a, word, b, c, count, first, depth, add);
    false
}

/// A view that tasks may share; they only read through it.
#[derive(Clone, Copy)]
struct Address(usize, usize, usize);

impl Address {
    fn of(v: View) -> Self {
        Self(v.ptr.expose_provenance(), v.rs, v.cs)
    }
    fn view(self) -> View {
        View { ptr: std::ptr::with_exposed_provenance(self.0), rs: self.1, cs: self.2 }
    }
}

/// Rows and columns of a task's rectangle: about four a thread, nearly equal, so that no thread waits long for the last. Columns are cut first:
/// each task then packs its own columns of `b` and nobody else's.
fn pieces(threads: usize, m: usize, n: usize, k: usize) -> (usize, usize) {
    if threads == 1 || m * n * k < SERIAL_BELOW {
        return (m, n);
    }
    let wanted = threads * 4;
    let even = |length: usize, parts: usize, step: usize| length.div_ceil(parts).next_multiple_of(step).min(length);
    let cols = even(n, wanted.min(n.div_ceil(4 * COLUMN_STEP)), COLUMN_STEP);
    let down = wanted.div_ceil(n.div_ceil(cols)).min(m.div_ceil(4 * ROW_STEP));
    (even(m, down, ROW_STEP), cols)
}
