//! Products of many rows where registers are 512 bits wide: the right operand is packed once and shared by all threads, the left one is read where it
//! lies (packed too where it runs along the depth).
//!
//! The `gemm` crate packs both operands of every piece that a thread takes, and a product is cut into pieces so that no thread waits. (docs/speed.md says what
//! that cost.) Each element is the same chain of multiply-adds here and there, cut at the same depths.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx512, Vector};
use super::{
    Isa,
    isa::Level,
    matmul::{Form, K_BLOCK},
    panel::{LINE, aligned},
    pool::{Pool, SharedMut},
};
use crate::compute::Mat;
use std::hint::black_box;

/// Columns of a panel: four registers.
const WIDTH: usize = 64;
/// Rows of a block.
const ROWS: usize = 6;
/// Columns packed at once (4 MiB at full depth).
const COLUMNS: usize = 2048;
/// Rows packed at once, where the left operand is (4 MiB at full depth).
const PACKED_ROWS: usize = 342 * ROWS;
/// Rows and columns of a task: the columns' panels stay in the second-level cache.
const TASK_ROWS: usize = 16 * ROWS;
const TASK_COLUMNS: usize = 4 * WIDTH;

/// Depths of a turned panel that are packed at a time (16 KiB).
const RUN: usize = 64;

/// Whether the processor has the registers.
pub(super) fn available() -> bool {
    cfg!(target_arch = "x86_64") && Isa::highest().level() == Level::Avx512
}

/// `out[m,n] = a . b (+ out)`, operands as the form says; rows of `out` `stride` apart. The shapes were checked by the caller.
pub(super) fn multiply(pool: &Pool, form: Form, out: SharedMut, stride: usize, a: Mat<'_>, b: Mat<'_>, add: bool) {
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let n = if form == Form::Nt { b.rows } else { b.cols };
    let mut lent = pool.lend(n.min(COLUMNS).next_multiple_of(WIDTH) * K_BLOCK.min(k) + LINE);
    // The depths of some columns one after another, so that a result wider than the caches is met there again.
    for c in (0..n).step_by(COLUMNS) {
        let cols = COLUMNS.min(n - c);
        for first in (0..k).step_by(K_BLOCK) {
            let depth = K_BLOCK.min(k - first);
            let right = aligned(&mut lent.buffer, cols.next_multiple_of(WIDTH) * depth);
            pack_right(pool, form, b, first, depth, c, cols, right);
            let step = if form == Form::Tn { PACKED_ROWS } else { m };
            for r in (0..m).step_by(step) {
                let rows = step.min(m - r);
                let lent = (form == Form::Tn).then(|| pack_left(pool, a, first, depth, r, rows));
                let left = match &lent {
                    Some((lent, at)) => {
                        Left { ptr: lent.buffer[*at..].as_ptr().expose_provenance(), row: 1, depth: ROWS, panel: ROWS * depth }
                    }
                    None => Left {
                        ptr: a.data[r * a.stride + first..].as_ptr().expose_provenance(),
                        row: a.stride,
                        depth: 1,
                        panel: ROWS * a.stride,
                    },
                };
                let (down, across) = (rows.div_ceil(TASK_ROWS), cols.div_ceil(TASK_COLUMNS));
                let right = &*right;
                pool.for_each(down * across, |task| {
                    let (tr, tc) = (task / across * TASK_ROWS, task % across * TASK_COLUMNS);
                    let job = Job {
                        rows: TASK_ROWS.min(rows - tr),
                        cols: TASK_COLUMNS.min(cols - tc),
                        depth,
                        left: Left { ptr: left.ptr + size_of::<f32>() * (tr / ROWS) * left.panel, ..left },
                        right: &right[tc * depth..],
                        out: out.ptr((r + tr) * stride + c + tc),
                        stride,
                        add: add || first > 0,
                    };
                    #[expect(unsafe_code, reason = "each task writes its own rectangle of the result")]
                    // SAFETY: the caller checked the operands against their slices; rectangles of different tasks share no element.
                    unsafe {
                        run(&job);
                    }
                });
            }
        }
    }
}

/// Element `(r, k)` of the left operand at `r / ROWS * panel + r % ROWS * row + k * depth`, floats from an address.
#[derive(Clone, Copy)]
struct Left {
    ptr: usize,
    row: usize,
    depth: usize,
    panel: usize,
}

/// A rectangle of the result.
struct Job<'a> {
    rows: usize,
    cols: usize,
    depth: usize,
    left: Left,
    /// `[cols / WIDTH][depth][WIDTH]`
    right: &'a [f32],
    out: *mut f32,
    stride: usize,
    add: bool,
}

/// Columns `c..c + cols` at depths `first..first + depth` of the right operand into panels `[cols / WIDTH][depth][WIDTH]`, filled up with zeros.
#[expect(clippy::too_many_arguments, reason = "a rectangle of a matrix and where it goes")]
fn pack_right(pool: &Pool, form: Form, b: Mat<'_>, first: usize, depth: usize, c: usize, cols: usize, panels: &mut [f32]) {
    let count = cols.div_ceil(WIDTH);
    let panels = SharedMut::new(panels);
    pool.for_each(count, |p| {
        #[expect(unsafe_code, reason = "each task packs its own panel")]
        // SAFETY: panels of different tasks share no element.
        let panel = unsafe { panels.slice(p * WIDTH * depth, WIDTH * depth) };
        let (from, width) = (c + p * WIDTH, WIDTH.min(cols - p * WIDTH));
        match form {
            Form::Nt => turn(Isa::highest(), width, depth, |j| &b.row(from + j)[first..first + depth], panel),
            Form::Nn | Form::Tn => {
                for (k, line) in panel.chunks_exact_mut(WIDTH).enumerate() {
                    let row = &b.row(first + k)[from..from + width];
                    match <&[f32; WIDTH]>::try_from(row) {
                        Ok(whole) => line.copy_from_slice(whole),
                        Err(_) => {
                            line[..width].copy_from_slice(row);
                            line[width..].fill(0.0);
                        }
                    }
                }
            }
        }
    });
}

/// Columns `r..r + rows` at depths `first..first + depth` of a left operand `[k, m]` into blocks `[rows / ROWS][depth][ROWS]`, filled up with zeros;
/// and where in the buffer they begin.
fn pack_left<'p>(pool: &'p Pool, a: Mat<'_>, first: usize, depth: usize, r: usize, rows: usize) -> (super::pool::Lent<'p>, usize) {
    let len = rows.next_multiple_of(ROWS) * depth;
    let mut lent = pool.lend(len + LINE);
    let at = lent.buffer.as_ptr().align_offset(4 * LINE).min(LINE);
    let blocks = SharedMut::new(&mut lent.buffer[at..at + len]);
    /// Blocks a task packs together, so that it reads whole lines.
    const TOGETHER: usize = 8;
    pool.for_each(rows.div_ceil(TOGETHER * ROWS), |task| {
        let from = task * TOGETHER * ROWS;
        let count = (TOGETHER * ROWS).min(rows - from);
        #[expect(unsafe_code, reason = "each task packs its own blocks")]
        // SAFETY: blocks of different tasks share no element.
        let out = unsafe { blocks.slice(from * depth, count.next_multiple_of(ROWS) * depth) };
        for k in 0..depth {
            let (whole, rest) = a.row(first + k)[r + from..r + from + count].as_chunks::<ROWS>();
            let mut to = k * ROWS;
            for part in whole {
                out[to..to + ROWS].copy_from_slice(part);
                to += ROWS * depth;
            }
            if !rest.is_empty() {
                out[to..to + rest.len()].copy_from_slice(rest);
                out[to + rest.len()..to + ROWS].fill(0.0);
            }
        }
    });
    (lent, at)
}

/// `n` rows of `depth` floats become the columns of one panel.
fn turn<'a>(isa: Isa, n: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panel: &mut [f32]) {
    super::panel::pack_panel(isa, n, depth, WIDTH, RUN, row, panel);
}

/// # Safety
/// Operands readable to the full height and width of the job's blocks (rows beyond the last are not read), `out` writable, nothing else touching it.
#[expect(unsafe_code, reason = "raw pointers and code compiled for more than the baseline")]
unsafe fn run(job: &Job<'_>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: this path is taken only where `available`.
    unsafe {
        blocks(job);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = job;
}

/// # Safety
/// As [`run`], on a processor with AVX-512.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `run`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn blocks(job: &Job<'_>) {
    // Edges are made in full and copied.
    let mut edge = [0.0f32; ROWS * WIDTH];
    let base: *const f32 = std::ptr::with_exposed_provenance(job.left.ptr);
    for (p, panel) in job.right.chunks_exact(WIDTH * job.depth).take(job.cols.div_ceil(WIDTH)).enumerate() {
        let cols = WIDTH.min(job.cols - p * WIDTH);
        for r in (0..job.rows).step_by(ROWS) {
            let rows = ROWS.min(job.rows - r);
            // SAFETY: inside the operands by the caller's promise; rows beyond the last are read as the last.
            unsafe {
                let left = base.add(r / ROWS * job.left.panel);
                let out = job.out.add(r * job.stride + p * WIDTH);
                if rows == ROWS && cols == WIDTH {
                    tile::<Avx512>(job.depth, left, job.left.row, job.left.depth, ROWS, panel.as_ptr(), out, job.stride, job.add);
                    continue;
                }
                if job.add {
                    copy(rows, cols, out, job.stride, edge.as_mut_ptr(), WIDTH);
                }
                tile::<Avx512>(job.depth, left, job.left.row, job.left.depth, rows, panel.as_ptr(), edge.as_mut_ptr(), WIDTH, job.add);
                copy(rows, cols, edge.as_ptr(), WIDTH, out, job.stride);
            }
        }
    }
}

/// # Safety
/// `rows` rows of `cols` elements must be readable and writable.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "moves the edge of a result")]
unsafe fn copy(rows: usize, cols: usize, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    for r in 0..rows {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from.add(r * from_row), to.add(r * to_row), cols) }
    }
}

/// Six rows times one panel, of which `live` rows exist: the others repeat the last. Every index of the accumulators is a literal, so that they stay in
/// registers.
///
/// # Safety
/// As [`run`], inside code compiled for `V`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "registers are placed by hand")]
#[expect(clippy::too_many_arguments, reason = "one block's operands")]
unsafe fn tile<V: Vector>(
    depth: usize,
    left: *const f32,
    row: usize,
    along: usize,
    live: usize,
    mut b: *const f32,
    out: *mut f32,
    stride: usize,
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[V::zero(); 4]; ROWS];
        // Opaque: each address made from the one before, which a compiler finds, is a chain as long as the block's products.
        let mut a: [*const f32; ROWS] = std::array::from_fn(|r| black_box(left.wrapping_add(r.min(live - 1) * row)));
        for _ in 0..depth {
            let b0 = V::load(b);
            let b1 = V::load(b.add(V::WIDTH));
            let b2 = V::load(b.add(2 * V::WIDTH));
            let b3 = V::load(b.add(3 * V::WIDTH));
            macro_rules! rows {
                ($($r:literal)*) => { $(
                    let v = V::splat(*a[$r]);
                    acc[$r][0] = v.fma(b0, acc[$r][0]);
                    acc[$r][1] = v.fma(b1, acc[$r][1]);
                    acc[$r][2] = v.fma(b2, acc[$r][2]);
                    acc[$r][3] = v.fma(b3, acc[$r][3]);
                    a[$r] = a[$r].wrapping_add(along);
                )* };
            }
            rows!(0 1 2 3 4 5);
            b = b.wrapping_add(WIDTH);
        }
        macro_rules! write {
            ($($r:literal)*) => { $(
                let to = out.add($r * stride);
                if add {
                    acc[$r][0].add(V::load(to)).store(to);
                    acc[$r][1].add(V::load(to.add(V::WIDTH))).store(to.add(V::WIDTH));
                    acc[$r][2].add(V::load(to.add(2 * V::WIDTH))).store(to.add(2 * V::WIDTH));
                    acc[$r][3].add(V::load(to.add(3 * V::WIDTH))).store(to.add(3 * V::WIDTH));
                } else {
                    acc[$r][0].store(to);
                    acc[$r][1].store(to.add(V::WIDTH));
                    acc[$r][2].store(to.add(2 * V::WIDTH));
                    acc[$r][3].store(to.add(3 * V::WIDTH));
                }
            )* };
        }
        write!(0 1 2 3 4 5);
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
