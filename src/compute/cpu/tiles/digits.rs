//! f32 numbers as fixed-point numbers of three digits, packed for the tile unit.
//!
//! A row of the left operand, or a column of the right one, is multiplied by the largest power of two that leaves its largest number at or below
//! 127 * (2^16 + 2^8 + 1), and rounded to whole numbers: what is left out of a number is at most 2^-22.99 of the largest beside it. A whole number
//! is `d1 2^16 + d2 2^8 + d3` with digits from -128 to 127. (Splitting operands so that integer units multiply them without error is Ootomo, Ozaki and
//! Yokota, "DGEMM on integer matrix multiplication unit", IJHPCA 2024.)
//!
//! A panel is sixteen rows or columns, cut along the depth into steps of 64: a head with the exponents of what its whole numbers are to be multiplied
//! by, then for every step and digit a tile of 1 KiB, the uppermost digits first. Tiles hold four depths as a 32-bit word, by row and word `[16][16]` on the
//! left, by word and column `[16][16]` on the right; word `j` of a step has depths `j`, `16 + j`, `32 + j` and `48 + j`. What is beyond the operand is zero.
//!
//! The exponent of a row with a number that is not finite is no number.

use super::{
    HEAD, SIDE, Side, TILE, Unit,
    registers::{call_for, load, store, turn},
};
use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_cmpge_epi32_mask, _mm512_cvtepi32_ps,
    _mm512_cvtps_epi32, _mm512_loadu_si512, _mm512_mask_mov_ps, _mm512_maskz_loadu_ps, _mm512_max_epi32, _mm512_reduce_max_epi32,
    _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps, _mm512_ternarylogic_epi32, _mm512_xor_si512,
};

/// Digits of a number.
pub(super) const DIGITS: usize = 3;
/// Depths of a tile.
pub(super) const STEP: usize = 64;
/// Panels that are filled together where rows run across the depth: so wide that what is read of a row comes by itself.
pub(super) const TOGETHER: usize = 8;
/// What digits are counted from, in each of them.
const MIDDLE: i32 = 0x0080_8080;
/// Bits of the smallest number that is not finite.
const INFINITE: i32 = 0x7f80_0000;

/// See [`Unit::pack_along`].
pub(super) fn pack_along<'a>(unit: Unit, side: Side, count: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
    for (p, panel) in panels.chunks_exact_mut(unit.panel_len(depth)).enumerate() {
        let rows: [&[f32]; SIDE] = std::array::from_fn(|r| if p * SIDE + r < count { &row(p * SIDE + r)[..depth] } else { &[] });
        #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
        // SAFETY: a `Unit`, like its twin in tests, exists only where the processor has AVX-512.
        unsafe {
            along(side, &rows, panel);
        }
    }
}

/// See [`Unit::pack_across`], for at most [`TOGETHER`] panels.
pub(super) fn pack_across<'a>(_: Unit, side: Side, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32], len: usize) {
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: as in `pack_along`.
    unsafe {
        across(side, depth, row, panels, len);
    }
}

/// Exponents of what the whole numbers of sixteen rows or columns are to be multiplied by, from the bits of their largest numbers without signs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn exponents(largest: __m512i) -> __m512 {
    // Biased exponent of the largest number, one more for those that would be above the largest of three digits: from 0x7f_7f7f and a half on.
    let exponent = _mm512_srli_epi32::<23>(_mm512_add_epi32(largest, _mm512_set1_epi32(0x0001_0101)));
    let exponent = _mm512_cvtepi32_ps(_mm512_sub_epi32(exponent, _mm512_set1_epi32(149)));
    let bad = _mm512_cmpge_epi32_mask(largest, _mm512_set1_epi32(INFINITE));
    _mm512_mask_mov_ps(exponent, bad, _mm512_set1_ps(f32::NAN))
}

/// The larger of bits without signs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn larger(largest: __m512i, x: __m512) -> __m512i {
    _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MAX)))
}

/// The digits of sixteen numbers, the lowest in the lowest byte of each word; `scale` is an exponent.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn digits(x: __m512, scale: __m512) -> __m512i {
    let middle = _mm512_set1_epi32(MIDDLE);
    let whole = _mm512_cvtps_epi32(_mm512_scalef_ps(x, scale));
    _mm512_xor_si512(_mm512_add_epi32(whole, middle), middle)
}

/// Words of four neighbours' digits, the uppermost digits first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn gather([a, b, c, d]: [__m512i; 4]) -> [__m512i; DIGITS] {
    // Bits of the second where the first has ones, else of the third.
    const CHOICE: i32 = 0xca;
    let (even, low) = (_mm512_set1_epi32(0x00ff_00ff), _mm512_set1_epi32(0xffff));
    let outer = |a, b| _mm512_ternarylogic_epi32::<CHOICE>(even, a, _mm512_slli_epi32::<8>(b));
    let inner = |a, b| _mm512_ternarylogic_epi32::<CHOICE>(even, _mm512_srli_epi32::<8>(a), b);
    let (ab, cd) = (outer(a, b), outer(c, d));
    [
        _mm512_ternarylogic_epi32::<CHOICE>(low, _mm512_srli_epi32::<16>(ab), cd),
        _mm512_ternarylogic_epi32::<CHOICE>(low, inner(a, b), _mm512_slli_epi32::<16>(inner(c, d))),
        _mm512_ternarylogic_epi32::<CHOICE>(low, ab, _mm512_slli_epi32::<16>(cd)),
    ]
}

/// Depths that rows along them are asked for in advance.
const AHEAD: usize = 4 * STEP;

/// Sixteen numbers at `from`, those outside of the mask zero.
///
/// # Safety
/// Those inside of the mask can be read.
#[inline]
#[expect(unsafe_code, reason = "a load of a register")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
unsafe fn masked(mask: u16, from: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_maskz_loadu_ps(mask, from) }
}

/// Which of sixteen numbers from the first on there are, of so many.
#[inline]
fn inside(count: usize) -> u16 {
    u16::MAX.checked_shr(SIDE.saturating_sub(count) as u32).unwrap_or(0)
}

#[expect(unsafe_code, reason = "loads at computed places, masked where a row ends")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn along(side: Side, rows: &[&[f32]; SIDE], panel: &mut [f32]) {
    let mut largest = [0i32; SIDE];
    for (r, (largest, row)) in largest.iter_mut().zip(rows).enumerate() {
        // Its end asks for the beginning of the next.
        let next = rows.get(r + 1).copied().unwrap_or_default();
        let mut seen = [_mm512_setzero_si512(); 2];
        for first in (0..row.len()).step_by(2 * SIDE) {
            for at in [first + AHEAD, first + AHEAD + SIDE] {
                if at < row.len() { call_for(row, at) } else { call_for(next, at - row.len()) }
            }
            seen[0] = larger(seen[0], load(&row[first..]));
            seen[1] = larger(seen[1], load(&row[(first + SIDE).min(row.len())..]));
        }
        *largest = _mm512_reduce_max_epi32(_mm512_max_epi32(seen[0], seen[1]));
    }
    // SAFETY: sixteen numbers each.
    let exponents: [f32; SIDE] = unsafe {
        let mut exponents_of = [0.0; SIDE];
        _mm512_storeu_ps(exponents_of.as_mut_ptr(), exponents(_mm512_loadu_si512(largest.as_ptr().cast())));
        exponents_of
    };
    panel[..HEAD].copy_from_slice(&exponents);
    let depth = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    debug_assert!(rows.iter().all(|row| row.is_empty() || row.len() == depth), "rows of one length, or of none");
    let mut words = [[_mm512_setzero_si512(); SIDE]; DIGITS];
    for (step, tiles) in panel[HEAD..].chunks_exact_mut(DIGITS * TILE).enumerate() {
        let masks: [u16; 4] = std::array::from_fn(|i| inside(depth.saturating_sub(step * STEP + i * SIDE)));
        for (r, (row, exponent)) in rows.iter().zip(exponents).enumerate() {
            let (from, scale) = (row.as_ptr().wrapping_add(step * STEP), _mm512_set1_ps(-exponent));
            // Rows are of one length, or of none.
            let there = if row.is_empty() { 0 } else { u16::MAX };
            // SAFETY: numbers inside of a row.
            let part = |i: usize| digits(unsafe { masked(masks[i] & there, from.wrapping_add(i * SIDE)) }, scale);
            let gathered = gather([part(0), part(1), part(2), part(3)]);
            for (digit, word) in gathered.into_iter().enumerate() {
                match side {
                    Side::Left => store(word, &mut tiles[digit * TILE + r * SIDE..]),
                    Side::Right => words[digit][r] = word,
                }
            }
        }
        if side == Side::Right {
            store_turned(&words, tiles);
        }
    }
}

#[expect(unsafe_code, reason = "loads at computed places, masked where a row ends")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn across<'a>(side: Side, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32], len: usize) {
    let count = if depth == 0 { 0 } else { row(0).len() };
    let masks: [u16; TOGETHER] = std::array::from_fn(|c| inside(count.saturating_sub(c * SIDE)));
    let checked = |k: usize| {
        let row = row(k);
        assert!(row.len() == count, "a row of {} numbers among rows of {count}", row.len());
        row
    };
    let mut largest = [_mm512_setzero_si512(); TOGETHER];
    for k in 0..depth {
        // Of each row a few lines are wanted, which no processor guesses.
        if k + SIDE < depth {
            (0..TOGETHER).for_each(|c| call_for(row(k + SIDE), c * SIDE));
        }
        let from = checked(k).as_ptr();
        for (c, largest) in largest.iter_mut().enumerate() {
            // SAFETY: numbers inside of a row.
            *largest = larger(*largest, unsafe { masked(masks[c], from.wrapping_add(c * SIDE)) });
        }
    }
    let mut scales = [_mm512_setzero_ps(); TOGETHER];
    for ((panel, largest), scale) in panels.chunks_mut(len).zip(largest).zip(&mut scales) {
        let exponents = exponents(largest);
        *scale = _mm512_sub_ps(_mm512_setzero_ps(), exponents);
        store(_mm512_castps_si512(exponents), panel);
    }
    let mut words = [[_mm512_setzero_si512(); SIDE]; DIGITS];
    let none = [0.0f32; TOGETHER * SIDE];
    for step in 0..depth.div_ceil(STEP) {
        let rows: [*const f32; STEP] =
            std::array::from_fn(|i| if step * STEP + i < depth { checked(step * STEP + i).as_ptr() } else { none.as_ptr() });
        for (c, ((panel, scale), mask)) in panels.chunks_mut(len).zip(scales).zip(masks).enumerate() {
            let tiles = &mut panel[HEAD + step * DIGITS * TILE..][..DIGITS * TILE];
            for word in 0..SIDE {
                // SAFETY: numbers inside of a row, or of `none`.
                let part = |i: usize| digits(unsafe { masked(mask, rows[i * SIDE + word].wrapping_add(c * SIDE)) }, scale);
                let gathered = gather([part(0), part(1), part(2), part(3)]);
                for (digit, gathered) in gathered.into_iter().enumerate() {
                    match side {
                        Side::Right => store(gathered, &mut tiles[digit * TILE + word * SIDE..]),
                        Side::Left => words[digit][word] = gathered,
                    }
                }
            }
            if side == Side::Left {
                store_turned(&words, tiles);
            }
        }
    }
}

/// The words of one step and panel that are to be turned, turned.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn store_turned(words: &[[__m512i; SIDE]; DIGITS], to: &mut [f32]) {
    for (words, tile) in words.iter().zip(to.chunks_exact_mut(TILE)) {
        for (w, line) in turn(words).iter().zip(tile.chunks_exact_mut(SIDE)) {
            store(*w, line);
        }
    }
}

/// Digit `digit` of row or column `i` at a depth, as the unit reads it; for tests and its twin.
#[cfg(test)]
pub(super) fn written(side: Side, panel: &[f32], digit: usize, i: usize, depth: usize) -> i8 {
    let tile = &panel[HEAD + (depth / STEP * DIGITS + digit) * TILE..][..TILE];
    let word = depth % SIDE;
    let bits = match side {
        Side::Left => tile[i * SIDE + word],
        Side::Right => tile[word * SIDE + i],
    };
    bits.to_bits().to_le_bytes()[depth % STEP / SIDE] as i8
}

#[cfg(test)]
mod tests {
    use super::{super::Parts, *};
    use crate::base::rng::Rng;

    fn pack(unit: Unit, side: Side, count: usize, depth: usize, data: &[f32]) -> [Vec<f32>; 2] {
        let len = unit.panel_len(depth);
        let mut panels = [vec![f32::NAN; len], vec![f32::NAN; len]];
        unit.pack_along(side, count, depth, |r| &data[r * depth..], &mut panels[0]);
        let turned: Vec<f32> = (0..data.len()).map(|i| data[i % count * depth + i / count]).collect();
        unit.pack_across(side, count, depth, |k| &turned[k * count..], &mut panels[1]);
        panels
    }

    /// The number that stands for an element.
    fn number(side: Side, panel: &[f32], i: usize, k: usize) -> f64 {
        let whole = (0..DIGITS).fold(0, |whole, digit| whole * 256 + i64::from(written(side, panel, digit, i, k)));
        whole as f64 * 2f64.powi(panel[i] as i32)
    }

    #[test]
    fn a_number_keeps_twenty_three_bits_of_the_largest_beside_it() {
        let Some(unit) = Unit::twin(Parts::Digits) else { return };
        let mut rng = Rng::new(3);
        for (count, depth) in [(1, 1), (16, 64), (5, 47), (16, 130), (13, 63)] {
            for side in [Side::Left, Side::Right] {
                for exponent in [0, -100, -60, 60, 120] {
                    let number_of = |rng: &mut Rng| (rng.normal() * 2f64.powi(exponent - rng.below(12) as i32)) as f32;
                    let mut data: Vec<f32> = (0..count * depth).map(|_| number_of(&mut rng)).collect();
                    // The largest significands, and those beside the largest that three digits hold.
                    for (i, bits) in [0x7f_ffff, 0x7e_fefe, 0x7e_feff, 0x7e_ff00].into_iter().enumerate().take(count * depth / 2) {
                        data[i * depth.min(7) % (count * depth)] = f32::from_bits(((exponent + 4 + 127) as u32) << 23 | bits);
                    }
                    let [along, across] = pack(unit, side, count, depth, &data);
                    assert!(along.iter().map(|v| v.to_bits()).eq(across.iter().map(|v| v.to_bits())), "{count} x {depth}");
                    for i in 0..count {
                        let row = &data[i * depth..][..depth];
                        let largest = row.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                        for (k, x) in row.iter().enumerate() {
                            let off = (number(side, &along, i, k) - f64::from(*x)).abs();
                            assert!(off <= f64::from(largest) * 2f64.powf(-22.99), "{x} beside {largest} is off by {off}");
                        }
                    }
                    for i in 0..SIDE {
                        for k in 0..depth.next_multiple_of(STEP) {
                            let inside = i < count && k < depth;
                            assert!(inside || (0..DIGITS).all(|d| written(side, &along, d, i, k) == 0), "row {i}, depth {k}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_tiniest_numbers_are_kept() {
        let Some(unit) = Unit::twin(Parts::Digits) else { return };
        let data = [f32::from_bits(2), -f32::MIN_POSITIVE, 2f32.powi(-104), -0.0];
        for panel in pack(unit, Side::Left, 4, 1, &data) {
            let got: Vec<f64> = (0..4).map(|i| number(Side::Left, &panel, i, 0)).collect();
            assert_eq!(got, data.map(f64::from));
        }
    }

    #[test]
    fn a_row_that_is_not_finite_has_no_exponent() {
        let Some(unit) = Unit::twin(Parts::Digits) else { return };
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0x7f80_0001)] {
            let mut data = [1.0; 3 * 40];
            data[40 + 17] = bad;
            for side in [Side::Left, Side::Right] {
                for panel in pack(unit, side, 3, 40, &data) {
                    assert!(panel[0].is_finite() && panel[1].is_nan() && panel[2].is_finite(), "{bad}");
                }
            }
        }
    }
}
