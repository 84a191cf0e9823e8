//! Very few rows against a weight `[out, in]`, which is what writing a text asks for at every token: the weight is read once, where it lies, and turned
//! in registers.
//!
//! Sixteen rows of the weight are the sixteen lanes of a register. Each element of the result is the same chain of multiply-adds as in
//! [`super::panel`], cut at the same depths, by numbers or by pairs of rounded ones ([`super::pairs`]).

use super::{
    pairs::{Words, row_of},
    tiles::turn,
};
use std::{
    arch::x86_64::{
        __m512bh, __m512i, _MM_HINT_T1, _mm_loadu_ps, _mm_prefetch, _mm512_add_ps, _mm512_castps_si512, _mm512_castps128_ps512,
        _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_insertf32x4, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_unpackhi_ps,
        _mm512_unpacklo_ps,
    },
    mem::transmute,
};

/// Rows of the weight, columns of the result, taken at once.
pub(super) const LANES: usize = 16;
/// Rows of the left operand for which turning in registers beats turning into a panel: measured.
pub(super) const MOST_ROWS: usize = 4;
/// Depths turned at once.
const FOUR: usize = 4;
/// Floats of a line of the cache.
const LINE: usize = 16;

/// Columns `0..cols` of `out[m, cols] = a . b^T (+ out)`.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub m: usize,
    pub cols: usize,
    pub depth: usize,
    /// Rows `a_row` apart.
    pub a: &'a [f32],
    pub a_row: usize,
    /// Rows of the weight `b_row` apart, the first of `cols`.
    pub b: &'a [f32],
    pub b_row: usize,
    pub out: *mut f32,
    pub out_row: usize,
    /// What `out` held counts, else it is overwritten.
    pub add: bool,
    /// Of `a`: with pairs its rows are words already. Those of the weight are rounded on the way.
    pub words: Words,
}

/// Does the job on the calling thread.
///
/// # Safety
/// The processor has AVX-512; `out` is writable and nothing else touches it meanwhile.
///
/// # Panics
/// When an operand is shorter than the job says, or has more than [`MOST_ROWS`] rows: a bug of the caller.
#[expect(unsafe_code, reason = "code compiled for more than the baseline, on raw pointers")]
pub(super) unsafe fn multiply(job: &Job<'_>) {
    let covers = |data: &[f32], rows: usize, row: usize, long: usize| rows == 0 || data.len() >= (rows - 1) * row + long;
    assert!(
        covers(job.a, job.m, job.a_row, job.words.of(job.depth)) && covers(job.b, job.cols, job.b_row, job.depth),
        "operands of {} and {} rows",
        job.m,
        job.cols
    );
    // SAFETY: lengths were checked above, and pairs are made only where the processor multiplies them; the rest is the caller's promise.
    unsafe {
        match (job.m, job.words) {
            (0, _) => {}
            (1, Words::Numbers) => rows::<1>(job),
            (2, Words::Numbers) => rows::<2>(job),
            (3, Words::Numbers) => rows::<3>(job),
            (MOST_ROWS, Words::Numbers) => rows::<MOST_ROWS>(job),
            (1, Words::Pairs) => pairs_of_rows::<1>(job),
            (2, Words::Pairs) => pairs_of_rows::<2>(job),
            (3, Words::Pairs) => pairs_of_rows::<3>(job),
            (MOST_ROWS, Words::Pairs) => pairs_of_rows::<MOST_ROWS>(job),
            (m, _) => panic!("{m} rows"),
        }
    }
}

/// [`rows`] by pairs.
///
/// # Safety
/// As [`multiply`], with `M` rows and operands that are long enough, on a processor with AVX512_BF16.
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn pairs_of_rows<const M: usize>(job: &Job<'_>) {
    /// Numbers that one row of a square of words is made of.
    const SIDE: usize = 2 * LANES;
    for c in (0..job.cols).step_by(LANES) {
        let count = LANES.min(job.cols - c);
        let mut acc = [_mm512_setzero_ps(); M];
        for k in (0..job.depth).step_by(SIDE) {
            let deep = SIDE.min(job.depth - k);
            let mut square = [_mm512_setzero_si512(); LANES];
            for (r, words) in square.iter_mut().take(count).enumerate() {
                let at = (c + r) * job.b_row + k;
                // Fetched ahead: where there are no further rows, nothing happens.
                let after = job.b.as_ptr().wrapping_add(at + LANES * job.b_row);
                _mm_prefetch::<_MM_HINT_T1>(after.cast());
                _mm_prefetch::<_MM_HINT_T1>(after.wrapping_add(LINE).cast());
                *words = row_of(&job.b[at..at + deep]);
            }
            let columns = turn(&square);
            for (m, acc) in acc.iter_mut().enumerate() {
                let words = &job.a[m * job.a_row + k / 2..][..job.words.of(deep)];
                for (word, column) in words.iter().zip(&columns) {
                    // SAFETY: registers of the same 512 bits.
                    let [word, column] =
                        unsafe { [_mm512_castps_si512(_mm512_set1_ps(*word)), *column].map(|w| transmute::<__m512i, __m512bh>(w)) };
                    *acc = _mm512_dpbf16_ps(*acc, word, column);
                }
            }
        }
        let present = (!0u16).unbounded_shr((LANES - count) as u32);
        for (m, acc) in acc.into_iter().enumerate() {
            // SAFETY: `count` columns of every row of `out` are readable and writable.
            unsafe {
                let to = job.out.add(m * job.out_row + c);
                let sum = if job.add { _mm512_add_ps(acc, _mm512_maskz_loadu_ps(present, to)) } else { acc };
                _mm512_mask_storeu_ps(to, present, sum);
            }
        }
    }
}

/// # Safety
/// As [`multiply`], with `M` rows and operands that are long enough.
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn rows<const M: usize>(job: &Job<'_>) {
    let whole = job.cols / LANES * LANES;
    for c in (0..whole).step_by(LANES) {
        // SAFETY: sixteen rows from `c` on lie inside `b`, and their columns inside `out`.
        unsafe { lanes::<M>(job, job.b.as_ptr().add(c * job.b_row), job.b_row, job.out.add(c), job.out_row) };
    }
    let left = job.cols - whole;
    if left == 0 {
        return;
    }
    // The last rows, filled up by zeros, in a copy.
    let mut padded = vec![0.0f32; LANES * job.depth];
    for (to, r) in padded.chunks_exact_mut(job.depth.max(1)).zip(whole..job.cols) {
        to.copy_from_slice(&job.b[r * job.b_row..][..job.depth]);
    }
    let mut edge = [0.0f32; MOST_ROWS * LANES];
    // SAFETY: `left` columns of every row of `out` are readable and writable.
    unsafe {
        let out = job.out.add(whole);
        for r in (0..M).filter(|_| job.add) {
            std::ptr::copy_nonoverlapping(out.add(r * job.out_row), edge[r * LANES..].as_mut_ptr(), left);
        }
        lanes::<M>(job, padded.as_ptr(), job.depth, edge.as_mut_ptr(), LANES);
        for r in 0..M {
            std::ptr::copy_nonoverlapping(edge[r * LANES..].as_ptr(), out.add(r * job.out_row), left);
        }
    }
}

/// Sixteen rows of the weight at `b`. The sixteen after them are fetched meanwhile, into the second-level cache: where there are none, nothing happens.
///
/// # Safety
/// As [`rows`]; sixteen floats of every row of `out` readable and writable.
#[inline]
#[expect(unsafe_code, reason = "see `multiply`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn lanes<const M: usize>(job: &Job<'_>, b: *const f32, b_row: usize, out: *mut f32, out_row: usize) {
    let a = job.a.as_ptr();
    // SAFETY: the caller's promise; addresses that are only fetched ahead may lie anywhere.
    unsafe {
        let mut acc = [_mm512_setzero_ps(); M];
        // Depths `0..4` from a column of floats, `row` apart.
        macro_rules! four {
            ($from:expr, $row:expr) => {{
                let (from, row): (*const f32, usize) = ($from, $row);
                macro_rules! every_fourth {
                    ($first:literal) => {{
                        let p = from.add($first * row);
                        let r = _mm512_castps128_ps512(_mm_loadu_ps(p));
                        let r = _mm512_insertf32x4::<1>(r, _mm_loadu_ps(p.add(FOUR * row)));
                        let r = _mm512_insertf32x4::<2>(r, _mm_loadu_ps(p.add(2 * FOUR * row)));
                        _mm512_insertf32x4::<3>(r, _mm_loadu_ps(p.add(3 * FOUR * row)))
                    }};
                }
                let r = [every_fourth!(0), every_fourth!(1), every_fourth!(2), every_fourth!(3)];
                let (low, high) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
                let (low2, high2) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
                [
                    _mm512_shuffle_ps::<0b01_00_01_00>(low, low2),
                    _mm512_shuffle_ps::<0b11_10_11_10>(low, low2),
                    _mm512_shuffle_ps::<0b01_00_01_00>(high, high2),
                    _mm512_shuffle_ps::<0b11_10_11_10>(high, high2),
                ]
            }};
        }
        let deep = job.depth / FOUR * FOUR;
        for k in (0..deep).step_by(FOUR) {
            if k % LINE == 0 {
                for r in 0..LANES {
                    _mm_prefetch::<_MM_HINT_T1>(b.wrapping_add((LANES + r) * b_row + k).cast());
                }
            }
            let columns = four!(b.add(k), b_row);
            for (m, acc) in acc.iter_mut().enumerate() {
                let x = a.add(m * job.a_row + k);
                for (i, &column) in columns.iter().enumerate() {
                    *acc = _mm512_fmadd_ps(_mm512_set1_ps(*x.add(i)), column, *acc);
                }
            }
        }
        if deep < job.depth {
            let rest = job.depth - deep;
            let mut last = [0.0f32; LANES * FOUR];
            for (r, to) in last.chunks_exact_mut(FOUR).enumerate() {
                std::ptr::copy_nonoverlapping(b.add(r * b_row + deep), to.as_mut_ptr(), rest);
            }
            let columns = four!(last.as_ptr(), FOUR);
            for (m, acc) in acc.iter_mut().enumerate() {
                let x = a.add(m * job.a_row + deep);
                for (i, &column) in columns.iter().take(rest).enumerate() {
                    *acc = _mm512_fmadd_ps(_mm512_set1_ps(*x.add(i)), column, *acc);
                }
            }
        }
        for (m, acc) in acc.into_iter().enumerate() {
            let to = out.add(m * out_row);
            _mm512_storeu_ps(to, if job.add { _mm512_add_ps(acc, _mm512_loadu_ps(to)) } else { acc });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Isa,
        isa::Level,
        pairs::along,
        panel::{self, Left, Panels, aligned, pack_columns, panel_width},
    };
    use super::*;

    #[test]
    fn turning_in_registers_gives_the_bits_of_turning_into_panels() {
        let isa = Isa::highest();
        if isa.level() != Level::Avx512 {
            eprintln!("skipped: no AVX-512 here");
            return;
        }
        for words in [Some(Words::Numbers), Words::pairs()].into_iter().flatten() {
            agree(isa, words);
        }
    }

    fn agree(isa: Isa, words: Words) {
        let numbers = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin()).collect::<Vec<f32>>();
        // Ragged in every direction; rows apart in all three.
        for (m, n, depth) in [(1, 16, 4), (1, 17, 1), (2, 33, 7), (3, 5, 64), (4, 100, 513), (4, 48, 18), (1, 15, 2)] {
            let (a_row, b_row, out_row) = (depth + 3, depth + 1, n + 2);
            let (a, b) = (numbers(m * a_row, 0.37), numbers(n * b_row, 0.11));
            let mut store = Vec::new();
            let width = panel_width(isa);
            let long = words.of(depth);
            let panels = aligned(&mut store, n.div_ceil(width) * width * long);
            pack_columns(isa, words, n, depth, |r| &b[r * b_row..][..depth], panels);
            // Rows of words lie apart too.
            let mut a_words = vec![0.0f32; m * a_row];
            for (r, made) in a_words.chunks_exact_mut(a_row).enumerate() {
                let row = &a[r * a_row..][..depth];
                match words {
                    Words::Numbers => made[..depth].copy_from_slice(row),
                    Words::Pairs => along(row, &mut made[..long]),
                }
            }
            let a = a_words;
            for add in [false, true] {
                let (mut ours, mut theirs) = (vec![0.5f32; m * out_row], vec![0.5f32; m * out_row]);
                let right = Panels { ptr: panels.as_ptr(), step: width * long, row: width };
                let left = Left { ptr: a.as_ptr(), rs: a_row, cs: 1 };
                let reference = panel::Job { m, cols: n, depth: long, left, right, out: theirs.as_mut_ptr(), out_row, add, words };
                let job = Job { m, cols: n, depth, a: &a, a_row, b: &b, b_row, out: ours.as_mut_ptr(), out_row, add, words };
                #[expect(unsafe_code, reason = "the code under test")]
                // SAFETY: operands and results have the jobs' shapes; the processor was asked above.
                unsafe {
                    panel::multiply(isa, &reference);
                    multiply(&job);
                }
                assert!(ours == theirs, "{m} x {n} x {depth}, {add}");
            }
        }
    }
}
