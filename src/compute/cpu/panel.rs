//! Rows times panels of columns: the inner loops of products with few rows.
//!
//! The right operand lies in panels two registers wide; the left one is read where it is, an element at a time. Each element of the result is one chain
//! of multiply-adds along the depth, so that it does not depend on the rows and columns beside it.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512, Avx512Pairs};
use super::{
    isa::{Isa, Level},
    pairs::{self, Words},
    vector::{Portable, Vector},
};
use std::hint::black_box;

/// Columns of the widest panel.
const WIDEST: usize = 32;
/// Rows of the tallest block.
const TALLEST: usize = 12;

/// Asks for what will be read soon.
pub(super) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "an instruction that only asks")]
        // SAFETY: every x86-64 processor has it, and it reads nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Columns of a panel.
pub(super) fn panel_width(isa: Isa) -> usize {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 2 * Avx512::WIDTH,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 2 * Avx2::WIDTH,
        _ => 2 * Portable::WIDTH,
    }
}

/// Left operand: element `(r, k)` at `r * rs + k * cs`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub ptr: *const f32,
    pub rs: usize,
    pub cs: usize,
}

/// Right operand: panel `p`, depth `k`, column `c` of the panel at `p * step + k * row + c`.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    pub ptr: *const f32,
    pub step: usize,
    pub row: usize,
}

/// `out[m, cols] = left . right + beta * out`, rows of `out` `out_row` apart.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub m: usize,
    pub cols: usize,
    pub depth: usize,
    pub left: Left,
    pub right: Panels,
    pub out: *mut f32,
    pub out_row: usize,
    /// What `out` held counts, else it is overwritten.
    pub add: bool,
    /// Of both operands; `depth` counts them.
    pub words: Words,
}

/// Does the job on the calling thread.
///
/// # Safety
/// Both operands must be readable to the full width of their last panel, `out` writable, and nothing else may touch it meanwhile.
#[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on raw pointers")]
pub(super) unsafe fn multiply(isa: Isa, job: &Job) {
    // SAFETY: the caller's promise; an `Isa` of a level exists only where the processor has it.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if job.words == Words::Pairs => avx512_pairs(job),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(job),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(job),
            _ => panels::<Portable, false>(job),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn avx512(job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { panels::<Avx512, true>(job) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn avx512_pairs(job: &Job) {
    // SAFETY: the caller's promise; pairs are made only where the processor multiplies them.
    unsafe { panels::<Avx512Pairs, true>(job) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { panels::<Avx2, false>(job) }
}

/// # Safety
/// As [`multiply`], inside code compiled for `V`.
#[inline(always)]
#[expect(unsafe_code, reason = "see `multiply`")]
unsafe fn panels<V: Vector, const TALL: bool>(job: &Job) {
    let width = 2 * V::WIDTH;
    // Edges are made in full width and copied.
    let mut edge = [0.0f32; TALLEST * WIDEST];
    let mut first = 0;
    let mut panel = job.right.ptr;
    while first < job.cols {
        let cols = width.min(job.cols - first);
        let mut r = 0;
        macro_rules! blocks {
            ($tile:ident, $rows:literal) => {
                while job.m - r >= $rows {
                    // SAFETY: rows `r..r + $rows` and columns `first..first + cols` lie inside the operands by the caller's promise.
                    unsafe {
                        let left = Left { ptr: job.left.ptr.add(r * job.left.rs), ..job.left };
                        let out = job.out.add(r * job.out_row + first);
                        if cols == width {
                            $tile::<V>(job.depth, left, panel, job.right.row, out, job.out_row, job.add);
                        } else {
                            if job.add {
                                copy($rows, cols, out, job.out_row, edge.as_mut_ptr(), width);
                            }
                            $tile::<V>(job.depth, left, panel, job.right.row, edge.as_mut_ptr(), width, job.add);
                            copy($rows, cols, edge.as_ptr(), width, out, job.out_row);
                        }
                    }
                    r += $rows;
                }
            };
        }
        if TALL {
            blocks!(twelve, 12);
        } else {
            blocks!(six, 6);
        }
        blocks!(four, 4);
        blocks!(one, 1);
        first += width;
        panel = panel.wrapping_add(job.right.step);
    }
}

/// # Safety
/// `rows` rows of `cols` elements must be readable and writable.
#[inline(always)]
#[expect(unsafe_code, reason = "moves the edge of a result")]
unsafe fn copy(rows: usize, cols: usize, from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    for r in 0..rows {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from.add(r * from_row), to.add(r * to_row), cols) }
    }
}

/// Depths ahead of their use that a panel is asked for.
const AHEAD: usize = 16;

/// A block of so many rows (row, base pointer, rows from it) times one panel. Every index of the accumulators is a literal: an index that a loop counts
/// would keep them in memory. Rows are reached from a pointer for every four of them, for want of registers.
macro_rules! tile {
    ($name:ident, $rows:literal: $($r:literal $base:literal $from:literal),*) => {
        /// # Safety
        /// As [`multiply`], inside code compiled for `V`.
        #[inline(always)]
        #[expect(unsafe_code, reason = "registers are placed by hand")]
        unsafe fn $name<V: Vector>(depth: usize, left: Left, mut b: *const f32, row: usize, out: *mut f32, out_row: usize, add: bool) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut acc = [[V::zero(); 2]; $rows];
                // Opaque: each address made from the one before, which a compiler finds, is a chain as long as the block's products.
                let mut base = [0, 4, 8].map(|r| black_box(left.ptr.wrapping_add(r * left.rs)));
                let rows = [0, left.rs, black_box(2 * left.rs), black_box(3 * left.rs)];
                // In a pass over many layers what is written comes from memory, as what is added to does.
                for r in 0..$rows {
                    V::prefetch(out.wrapping_add(r * out_row));
                    V::prefetch(out.wrapping_add(r * out_row + V::WIDTH));
                }
                for _ in 0..depth {
                    let (b0, b1) = (V::load(b), V::load(b.add(V::WIDTH)));
                    V::prefetch(b.wrapping_add(AHEAD * row));
                    V::prefetch(b.wrapping_add(AHEAD * row + V::WIDTH));
                    $(
                        let a = V::splat(*base[$base].add(rows[$from]));
                        acc[$r][0] = a.product(b0, acc[$r][0]);
                        acc[$r][1] = a.product(b1, acc[$r][1]);
                    )*
                    base = base.map(|p| p.wrapping_add(left.cs));
                    b = b.wrapping_add(row);
                }
                if add {
                    $(
                        let to = out.add($r * out_row);
                        acc[$r][0].add(V::load(to)).store(to);
                        acc[$r][1].add(V::load(to.add(V::WIDTH))).store(to.add(V::WIDTH));
                    )*
                } else {
                    $(
                        let to = out.add($r * out_row);
                        acc[$r][0].store(to);
                        acc[$r][1].store(to.add(V::WIDTH));
                    )*
                }
            }
        }
    };
}
tile!(twelve, 12: 0 0 0, 1 0 1, 2 0 2, 3 0 3, 4 1 0, 5 1 1, 6 1 2, 7 1 3, 8 2 0, 9 2 1, 10 2 2, 11 2 3);
tile!(six, 6: 0 0 0, 1 0 1, 2 0 2, 3 0 3, 4 1 0, 5 1 1);
tile!(four, 4: 0 0 0, 1 0 1, 2 0 2, 3 0 3);
tile!(one, 1: 0 0 0);

/// Floats of a cache line.
pub(super) const LINE: usize = 16;

/// A buffer's first `len` floats from a cache line's beginning on, so that no load straddles two lines. What they hold is left over.
pub(super) fn aligned(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0.0);
    }
    let first = buffer.as_ptr().align_offset(4 * LINE).min(LINE);
    &mut buffer[first..first + len]
}

/// `n` rows of `depth` floats become columns of words: panels `[n / width][words][width]`, the last filled up with zeros. Row `r` is `row(r)`.
pub(super) fn pack_columns<'a>(isa: Isa, words: Words, n: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
    let (width, long) = (panel_width(isa), words.of(depth));
    assert!(panels.len() >= n.div_ceil(width) * width * long, "panels of {n} columns, {depth} deep");
    for (p, panel) in panels.chunks_exact_mut((width * long).max(1)).take(n.div_ceil(width)).enumerate() {
        pack_words(isa, words, width.min(n - p * width), depth, width, long, |r| row(p * width + r), panel);
    }
}

/// As [`pack_panel`] into `[words][width]`, `run` words at a time.
#[expect(clippy::too_many_arguments, reason = "a panel, and how to fill it")]
pub(super) fn pack_words<'a>(
    isa: Isa,
    words: Words,
    n: usize,
    depth: usize,
    width: usize,
    run: usize,
    row: impl Fn(usize) -> &'a [f32],
    panel: &mut [f32],
) {
    /// Words turned together.
    const RUN: usize = 64;
    if words == Words::Numbers {
        return pack_panel(isa, n, depth, width, run, row, panel);
    }
    let mut rows = [[0.0f32; RUN]; WIDEST];
    for (first, panel) in (0..depth).step_by(2 * RUN).zip(panel.chunks_mut(RUN * width)) {
        let depths = (2 * RUN).min(depth - first);
        let long = words.of(depths);
        for (r, rounded) in rows.iter_mut().take(n).enumerate() {
            let row = row(r);
            prefetch(&row[first + depths..depth.min(first + 2 * depths)]);
            pairs::along(&row[first..first + depths], &mut rounded[..long]);
        }
        pack_panel(isa, n, long, width, long, |r| &rows[r][..long], panel);
    }
}

/// `n` rows of `depth` floats become the columns of one panel `[depth][width]`, filled up with zeros, `run` depths at a time: short runs fill lines up while
/// they are in the first-level cache, long ones let memory be read ahead.
pub(super) fn pack_panel<'a>(
    isa: Isa,
    n: usize,
    depth: usize,
    width: usize,
    run: usize,
    row: impl Fn(usize) -> &'a [f32],
    panel: &mut [f32],
) {
    for first in (0..depth).step_by(run.max(1)) {
        let depths = run.min(depth - first);
        if first + depths < depth {
            // Rows lie too far apart for the processor to see that they go on.
            (0..n.min(width)).for_each(|i| prefetch(&row(i)[first + depths..depth.min(first + depths + run)]));
        }
        let mut c = 0;
        while c < width {
            let to = &mut panel[first * width + c..];
            let (columns, there) = (width - c, n.saturating_sub(c));
            if columns >= EIGHT && there >= EIGHT {
                let rows: [&[f32]; EIGHT] = std::array::from_fn(|i| &row(c + i)[first..first + depths]);
                turn(isa, &rows, width, to);
                c += EIGHT;
            } else if columns >= FOUR && there >= FOUR {
                let rows: [&[f32]; FOUR] = std::array::from_fn(|i| &row(c + i)[first..first + depths]);
                turn_four(&rows, width, to);
                c += FOUR;
            } else {
                let source = (there > 0).then(|| row(c));
                for k in 0..depths {
                    to[k * width] = source.map_or(0.0, |s| s[first + k]);
                }
                c += 1;
            }
        }
    }
}

/// Rows of one length become panels `[length / W][words][W]`, filled up with zeros. Row `k` of `depth` is `row(k)`.
pub(super) fn pack_across<'a, const W: usize>(words: Words, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
    /// Rows ahead of their use that are asked for: they lie too far apart for the processor to see that they follow.
    const AHEAD: usize = 12;
    match words {
        Words::Numbers => {
            for k in 0..depth {
                if k + AHEAD < depth {
                    prefetch(row(k + AHEAD));
                }
                spread::<W>(row(k), k, depth, panels);
            }
        }
        Words::Pairs => {
            let long = words.of(depth);
            let mut both = [0.0f32; TOGETHER];
            for k in (0..depth).step_by(2) {
                for ahead in (k..k + 2).map(|k| k + AHEAD).filter(|k| *k < depth) {
                    prefetch(row(ahead));
                }
                let (earlier, later) = (row(k), if k + 1 < depth { row(k + 1) } else { &[] });
                // A few panels at a time.
                for (first, panels) in (0..earlier.len()).step_by(TOGETHER / W * W).zip(panels.chunks_mut(TOGETHER / W * W * long)) {
                    let columns = first..earlier.len().min(first + TOGETHER / W * W);
                    let both = &mut both[..columns.len()];
                    pairs::across(&earlier[columns.clone()], later.get(columns).unwrap_or_default(), both);
                    spread::<W>(both, k / 2, long, panels);
                }
            }
        }
    }
}

/// Words of a row that are rounded together.
const TOGETHER: usize = 128;

/// Row `k` of `depth` into its place in each panel. Fixed lengths become plain moves.
#[inline]
fn spread<const W: usize>(row: &[f32], k: usize, depth: usize, panels: &mut [f32]) {
    let (whole, rest) = row.as_chunks::<W>();
    let mut to = k * W;
    for part in whole {
        panels[to..to + W].copy_from_slice(part);
        to += W * depth;
    }
    if !rest.is_empty() {
        panels[to..to + rest.len()].copy_from_slice(rest);
        panels[to + rest.len()..to + W].fill(0.0);
    }
}

/// Rows turned at once.
const EIGHT: usize = 8;
const FOUR: usize = 4;

/// Column `k` of eight rows becomes `out[k * width..][..8]`.
fn turn(isa: Isa, rows: &[&[f32]; EIGHT], width: usize, out: &mut [f32]) {
    let depth = rows[0].len();
    assert!(rows.iter().all(|r| r.len() == depth) && (depth == 0 || out.len() >= (depth - 1) * width + EIGHT), "eight rows of {depth}");
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa.level() != Level::Baseline {
        done = depth / EIGHT * EIGHT;
        #[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on raw pointers")]
        // SAFETY: lengths were checked above; an `Isa` of a level exists only where the processor has it.
        unsafe {
            turn_avx2(rows, done, width, out.as_mut_ptr());
        }
    }
    let _ = isa;
    for k in done..depth {
        for (to, row) in out[k * width..][..EIGHT].iter_mut().zip(rows) {
            *to = row[k];
        }
    }
}

/// As [`turn`] for four rows, four depths at a time: moves that any compiler makes of it.
fn turn_four(rows: &[&[f32]; FOUR], width: usize, out: &mut [f32]) {
    let parts = rows.map(|r| r.as_chunks::<FOUR>());
    let whole = parts[0].0.len();
    for i in 0..whole {
        let r = parts.map(|(whole, _)| whole[i]);
        for k in 0..FOUR {
            out[(i * FOUR + k) * width..][..FOUR].copy_from_slice(&[r[0][k], r[1][k], r[2][k], r[3][k]]);
        }
    }
    for k in whole * FOUR..rows[0].len() {
        for (to, row) in out[k * width..][..FOUR].iter_mut().zip(rows) {
            *to = row[k];
        }
    }
}

/// # Safety
/// Rows of at least `depth` floats, a multiple of 8; eight floats at every `k * width` of `out`.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions and raw loads")]
#[target_feature(enable = "avx2,fma")]
unsafe fn turn_avx2(rows: &[&[f32]; EIGHT], depth: usize, width: usize, out: *mut f32) {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    for k in (0..depth).step_by(EIGHT) {
        // SAFETY: `k + 8 <= depth`.
        let r: [_; EIGHT] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(rows[i].as_ptr().add(k)) });
        // Pairs of rows, then fours, then the two halves of the registers.
        let pairs: [_; EIGHT] = std::array::from_fn(|i| {
            let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
        });
        let fours: [_; EIGHT] = std::array::from_fn(|i| {
            let half = i / 4 * 4;
            let (a, b) = (pairs[half + i % 4 / 2], pairs[half + 2 + i % 4 / 2]);
            if i % 2 == 0 { _mm256_shuffle_ps::<0b01_00_01_00>(a, b) } else { _mm256_shuffle_ps::<0b11_10_11_10>(a, b) }
        });
        for i in 0..4 {
            // SAFETY: the caller's promise about `out`.
            unsafe {
                _mm256_storeu_ps(out.add((k + i) * width), _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]));
                _mm256_storeu_ps(out.add((k + i + 4) * width), _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern that a wrong stride would keep.
    fn numbers(n: usize, by: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * by).sin()).collect()
    }

    #[test]
    fn panels_hold_every_element_once_and_zeros_beyond() {
        for isa in Isa::available() {
            let width = panel_width(isa);
            for (n, depth) in [(1, 1), (7, 9), (8, 16), (33, 21), (64, 64), (45, 3)] {
                let data = numbers(n * depth, 0.7);
                let mut panels = vec![f32::NAN; n.div_ceil(width) * width * depth];
                pack_columns(isa, Words::Numbers, n, depth, |r| &data[r * depth..(r + 1) * depth], &mut panels);
                for (i, v) in panels.iter().enumerate() {
                    let (c, k) = (i / (width * depth) * width + i % width, i / width % depth);
                    assert_eq!(*v, if c < n { data[c * depth + k] } else { 0.0 }, "column {c}, depth {k} of {n} x {depth}");
                }
            }
        }
    }

    #[test]
    fn blocks_of_every_height_agree_with_f64_and_with_themselves_alone() {
        for isa in Isa::available() {
            let width = panel_width(isa);
            for (m, n, depth) in [(1, 1, 1), (5, 3, 2), (13, 33, 64), (30, 70, 37), (12, 32, 129)] {
                let (a, b) = (numbers(m * depth, 0.37), numbers(n * depth, 0.11));
                let mut store = Vec::new();
                let panels = aligned(&mut store, n.div_ceil(width) * width * depth);
                pack_columns(isa, Words::Numbers, n, depth, |r| &b[r * depth..(r + 1) * depth], panels);
                let run = |m: usize, first: usize, add: bool, transposed: bool| {
                    let at: Vec<f32> = (0..a.len()).map(|i| a[i % m.max(1) * depth + i / m.max(1)]).collect();
                    let left = if transposed {
                        Left { ptr: at.as_ptr(), rs: 1, cs: m }
                    } else {
                        Left { ptr: a[first * depth..].as_ptr(), rs: depth, cs: 1 }
                    };
                    let mut out = vec![1.0f32; m * (n + 3)];
                    let right = Panels { ptr: panels.as_ptr(), step: width * depth, row: width };
                    let job = Job { m, cols: n, depth, left, right, out: out.as_mut_ptr(), out_row: n + 3, add, words: Words::Numbers };
                    #[expect(unsafe_code, reason = "the kernel under test")]
                    // SAFETY: operands and result have the job's shape.
                    unsafe {
                        multiply(isa, &job);
                    }
                    out
                };
                let (plain, added) = (run(m, 0, false, false), run(m, 0, true, false));
                assert_eq!(plain, run(m, 0, false, true), "the left operand by columns");
                for r in 0..m {
                    let alone = run(1, r, false, false);
                    for c in 0..n + 3 {
                        let got = plain[r * (n + 3) + c];
                        if c >= n {
                            assert_eq!(got, 1.0, "beyond the result");
                            continue;
                        }
                        let want: f64 = (0..depth).map(|k| f64::from(a[r * depth + k]) * f64::from(b[c * depth + k])).sum();
                        assert!((f64::from(got) - want).abs() < 1e-5, "{got} for {want}");
                        assert_eq!(got, alone[c], "row {r} alone");
                        assert!((added[r * (n + 3) + c] - got - 1.0).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
