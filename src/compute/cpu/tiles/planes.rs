//! f32 numbers as sums of bfloat16 numbers, packed for the tile unit.
//!
//! `h` is the nearest bfloat16 number to `x`, `m` to `x - h`, `l` to `x - h - m`: with eight significant bits each, and signs of their own, `h + m + l = x`
//! exactly, and `|m| <= 2^-8 |x|`, `|l| <= 2^-16 |x|`. Each of the three is a plane.
//!
//! A panel is sixteen rows of a left operand, or sixteen columns of a right one, cut along the depth into steps of 32: a head of one cache line, then
//! for every step and plane a tile of 1 KiB. Tiles hold pairs of neighbouring depths as 32-bit words, by row and pair `[16][16]` on the left, by pair
//! and column `[16][16]` on the right; what is beyond the operand is zero.
//!
//! The unit takes bfloat16 numbers below 2^-126 for zero, which would cost small operands their lower planes: a panel whose largest number is below
//! 2^-64, or so large that splitting it would overflow, is multiplied by a power of two, which is exact, and its head says so. (Numbers below 2^-108 beside
//! one above 2^-64 do lose lower planes.) A number that is not finite leaves one that is not finite.

use super::{
    HEAD, Parts, SIDE, Side, TILE, Unit,
    registers::{call_for, load, store, turn},
};
use std::arch::x86_64::{
    __m512, __m512i, _mm512_castps_si512, _mm512_loadu_si512, _mm512_mul_ps, _mm512_or_si512, _mm512_permutex2var_epi16, _mm512_range_ps,
    _mm512_reduce_max_ps, _mm512_reduce_or_epi32, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_srli_epi32, _mm512_sub_ps, _mm512_test_epi32_mask,
};

/// Depths of a tile.
pub(super) const STEP: usize = 32;
/// Panels that are filled together where rows run across the depth, pairs of them.
pub(super) const TOGETHER: usize = 4;

/// Panels whose largest number is smaller or larger are multiplied by a power of two: 2^-64, 2^96.
const SMALL: f32 = f32::from_bits((127 - 64) << 23);
const LARGE: f32 = f32::from_bits((127 + 96) << 23);
/// The largest such power, either way.
const MOST: i32 = 126;

/// What a panel's head says: it holds `x * 2^shift`, and planes from `live` on are zero throughout (and may not have been written, unless the panel beside it has
/// them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub shift: i32,
    pub live: usize,
}

impl Head {
    pub fn of(panel: &[f32]) -> Self {
        Self { shift: panel[0] as i32, live: panel[1] as usize }
    }
    fn write(self, panel: &mut [f32]) {
        panel[0] = self.shift as f32;
        panel[1] = self.live as f32;
    }
}

/// See [`Unit::pack_along`].
pub(super) fn pack_along<'a>(unit: Unit, side: Side, count: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
    let planes = unit.planes();
    let len = unit.panel_len(depth);
    for (p, panel) in panels.chunks_exact_mut(len).enumerate() {
        let rows: [Option<&[f32]>; SIDE] = std::array::from_fn(|r| (p * SIDE + r < count).then(|| &row(p * SIDE + r)[..depth]));
        #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
        // SAFETY: a `Unit`, like its twin in tests, exists only where the processor has AVX-512.
        unsafe {
            match planes {
                1 => along::<1>(side, &rows, depth, panel),
                2 => along::<2>(side, &rows, depth, panel),
                _ => along::<3>(side, &rows, depth, panel),
            }
        }
    }
    clear_unwritten(planes, panels, len);
}

impl Unit {
    /// Planes of an operand.
    pub(super) fn planes(self) -> usize {
        match self.parts() {
            Parts::Planes(planes) => planes,
            Parts::Digits => unreachable!("digits are no planes"),
        }
    }
}

/// Two panels are multiplied together, with the planes that either holds: what one of them lacks beside the other was not written, and is cleared.
fn clear_unwritten(planes: usize, panels: &mut [f32], len: usize) {
    for pair in panels.chunks_exact_mut(2 * len) {
        let (first, second) = pair.split_at_mut(len);
        let live = [Head::of(first).live, Head::of(second).live];
        if live[0] != live[1] {
            for (panel, live) in [(first, live[0]), (second, live[1])] {
                panel[HEAD..].chunks_exact_mut(planes * TILE).for_each(|tiles| tiles[live * TILE..].fill(0.0));
            }
        }
    }
}

/// See [`Unit::pack_across`], for at most [`TOGETHER`] panels.
pub(super) fn pack_across<'a>(unit: Unit, side: Side, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32], len: usize) {
    let planes = unit.planes();
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: as in `pack_along`.
    unsafe {
        match planes {
            1 => across::<1>(side, depth, row, panels, len),
            2 => across::<2>(side, depth, row, panels, len),
            _ => across::<3>(side, depth, row, panels, len),
        }
    }
    clear_unwritten(planes, panels, len);
}

/// What was seen while a panel was filled.
#[derive(Clone, Copy)]
struct Seen {
    /// Largest number without its sign.
    largest: __m512,
    /// Bits of the second plane: where it is empty, so is the third.
    m: __m512i,
}

impl Seen {
    #[target_feature(enable = "avx512f")]
    fn nothing() -> Self {
        Self { largest: _mm512_setzero_ps(), m: _mm512_setzero_si512() }
    }
    /// The head of a panel of `planes` packed with `shift`, or the shift to pack it with instead.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn head(&self, planes: usize, shift: i32) -> Result<Head, i32> {
        let largest = _mm512_reduce_max_ps(self.largest);
        if shift == 0 && largest.is_finite() && largest > 0.0 && !(SMALL..=LARGE).contains(&largest) {
            // Biased exponent; 0 for numbers below all exponents.
            let exponent = (largest.to_bits() >> 23) as i32 - 127;
            return Err((-exponent).clamp(-MOST, MOST));
        }
        let empty = _mm512_reduce_or_epi32(self.m) & i32::MAX == 0;
        Ok(Head { shift, live: if empty { 1 } else { planes } })
    }
}

/// The nearest number of eight significant bits, exactly, for numbers up to [`LARGE`]; what is not finite becomes not a number. (Veltkamp's splitting; a proof
/// is in Boldo, "Pitfalls of a full floating-point proof: example on the formal proof of the Veltkamp/Dekker algorithms", IJCAR 2006.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn nearest(x: __m512) -> __m512 {
    let spread = _mm512_mul_ps(x, _mm512_set1_ps(65_537.0));
    _mm512_sub_ps(spread, _mm512_sub_ps(spread, x))
}

/// The planes of sixteen numbers, each in the upper half of its word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn split<const P: usize>(x: __m512, seen: &mut Seen) -> [__m512i; P] {
    let mut planes = [_mm512_setzero_si512(); P];
    // The larger without signs; a number that is none does not count.
    seen.largest = _mm512_range_ps::<0b1011>(seen.largest, x);
    let h = nearest(x);
    planes[0] = _mm512_castps_si512(h);
    if P > 1 {
        let rest = _mm512_sub_ps(x, h);
        let m = nearest(rest);
        planes[1] = _mm512_castps_si512(m);
        seen.m = _mm512_or_si512(seen.m, planes[1]);
        if P > 2 {
            // Seven bits are left, which need no rounding.
            planes[2] = _mm512_castps_si512(_mm512_sub_ps(rest, m));
        }
    }
    planes
}

/// Depths that rows along them are asked for in advance.
const AHEAD: usize = 3 * STEP;

/// The words of one step and panel that are to be turned, turned.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn store_turned<const P: usize>(words: &[[__m512i; SIDE]; P], to: &mut [f32]) {
    for (words, tile) in words.iter().zip(to.chunks_exact_mut(TILE)) {
        for (w, line) in turn(words).iter().zip(tile.chunks_exact_mut(SIDE)) {
            store(*w, line);
        }
    }
}

/// Upper halves of the words of two registers, one register's after the other's.
const UPPER: [u16; 32] = {
    let mut at = [0; 32];
    let mut i = 0;
    while i < 32 {
        at[i] = 2 * i as u16 + 1;
        i += 1;
    }
    at
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn along<const P: usize>(side: Side, rows: &[Option<&[f32]>; SIDE], depth: usize, panel: &mut [f32]) {
    if P > 1 && along_short(side, rows, depth, P, panel) {
        return Head { shift: 0, live: 1 }.write(panel);
    }
    let mut shift = 0;
    let head = loop {
        let seen = along_once::<P>(side, rows, depth, shift, panel);
        match seen.head(P, shift) {
            Ok(head) => break head,
            Err(needed) => shift = needed,
        }
    };
    head.write(panel);
}

/// Whether numbers have eight significant bits, as weights stored in bfloat16 do, and need neither more planes nor another size.
struct Short {
    low: __m512i,
    largest: __m512,
}

impl Short {
    #[target_feature(enable = "avx512f")]
    fn new() -> Self {
        Self { low: _mm512_setzero_si512(), largest: _mm512_setzero_ps() }
    }
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn see(&mut self, x: __m512) -> __m512i {
        let bits = _mm512_castps_si512(x);
        self.low = _mm512_or_si512(self.low, bits);
        self.largest = _mm512_range_ps::<0b1011>(self.largest, x);
        bits
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn holds(&self) -> bool {
        _mm512_test_epi32_mask(self.low, _mm512_set1_epi32(0xffff)) == 0
    }
    #[target_feature(enable = "avx512f")]
    fn fits(&self) -> bool {
        let largest = _mm512_reduce_max_ps(self.largest);
        largest == 0.0 || !largest.is_finite() || (SMALL..=LARGE).contains(&largest)
    }
}

/// Packs the first of `planes` alone, if the others are empty. Says so, and otherwise leaves the panel for [`along_once`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn along_short(side: Side, rows: &[Option<&[f32]>; SIDE], depth: usize, planes: usize, panel: &mut [f32]) -> bool {
    #[expect(unsafe_code, reason = "loads a table")]
    // SAFETY: the table has 32 words of 16 bits.
    let upper = unsafe { _mm512_loadu_si512(UPPER.as_ptr().cast()) };
    let mut short = Short::new();
    let mut words = [[_mm512_setzero_si512(); SIDE]];
    for (first, tiles) in (0..depth).step_by(STEP).zip(panel[HEAD..].chunks_exact_mut(planes * TILE)) {
        for (r, row) in rows.iter().enumerate() {
            let both = row.map_or(_mm512_setzero_si512(), |row| {
                call_for(row, first + AHEAD);
                call_for(row, first + AHEAD + SIDE);
                let (near, far) = (load(&row[first..]), load(&row[(first + SIDE).min(depth)..]));
                _mm512_permutex2var_epi16(short.see(near), upper, short.see(far))
            });
            match side {
                Side::Left => store(both, &mut tiles[r * SIDE..]),
                Side::Right => words[0][r] = both,
            }
        }
        if !short.holds() {
            return false;
        }
        if side == Side::Right {
            store_turned(&words, &mut tiles[..TILE]);
        }
    }
    short.fits()
}

/// As [`along_short`] for [`across_once`], of one panel whose columns begin at `at`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn across_short<'a>(side: Side, depth: usize, row: &impl Fn(usize) -> &'a [f32], at: usize, planes: usize, panel: &mut [f32]) -> bool {
    let mut short = Short::new();
    let mut words = [[_mm512_setzero_si512(); SIDE]];
    for (first, tiles) in (0..depth).step_by(STEP).zip(panel[HEAD..].chunks_exact_mut(planes * TILE)) {
        for pair in 0..SIDE {
            let both = [0, 1].map(|i| {
                let k = first + 2 * pair + i;
                let row = if k < depth { row(k) } else { &[] };
                row.get(at..).unwrap_or_default()
            });
            let [even, odd] = [short.see(load(both[0])), short.see(load(both[1]))];
            let both = _mm512_or_si512(_mm512_srli_epi32::<16>(even), odd);
            match side {
                Side::Right => store(both, &mut tiles[pair * SIDE..]),
                Side::Left => words[0][pair] = both,
            }
        }
        if !short.holds() {
            return false;
        }
        if side == Side::Left {
            store_turned(&words, &mut tiles[..TILE]);
        }
    }
    short.fits()
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn along_once<const P: usize>(side: Side, rows: &[Option<&[f32]>; SIDE], depth: usize, shift: i32, panel: &mut [f32]) -> Seen {
    #[expect(unsafe_code, reason = "loads a table")]
    // SAFETY: the table has 32 words of 16 bits.
    let upper = unsafe { _mm512_loadu_si512(UPPER.as_ptr().cast()) };
    let scale = _mm512_set1_ps(power_of_two(shift));
    let mut seen = Seen::nothing();
    let mut words = [[_mm512_setzero_si512(); SIDE]; P];
    for (first, tiles) in (0..depth).step_by(STEP).zip(panel[HEAD..].chunks_exact_mut(P * TILE)) {
        for (r, row) in rows.iter().enumerate() {
            let Some(row) = row else {
                if side == Side::Left {
                    (0..P).for_each(|p| tiles[p * TILE + r * SIDE..][..SIDE].fill(0.0));
                }
                continue;
            };
            let (near, far) = (&row[first..], &row[(first + SIDE).min(depth)..]);
            call_for(row, first + AHEAD);
            call_for(row, first + AHEAD + SIDE);
            let near = split::<P>(_mm512_mul_ps(load(near), scale), &mut seen);
            let far = split::<P>(_mm512_mul_ps(load(far), scale), &mut seen);
            for p in 0..P {
                let both = _mm512_permutex2var_epi16(near[p], upper, far[p]);
                match side {
                    Side::Left => store(both, &mut tiles[p * TILE + r * SIDE..]),
                    Side::Right => words[p][r] = both,
                }
            }
        }
        if side == Side::Right {
            store_turned(&words, tiles);
        }
    }
    seen
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn across<'a, const P: usize>(side: Side, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32], len: usize) {
    let mut heads = [None; TOGETHER];
    if P > 1 {
        for (c, (panel, head)) in panels.chunks_mut(len).zip(&mut heads).enumerate() {
            *head = across_short(side, depth, &row, c * SIDE, P, panel).then_some(Head { shift: 0, live: 1 });
        }
    }
    let mut shifts = [0; TOGETHER];
    // A second time only for panels of small numbers.
    while heads.iter().zip(panels.chunks(len)).any(|(h, _)| h.is_none()) {
        let seen = across_once::<P>(side, depth, &row, &shifts, &heads, panels, len);
        for ((head, seen), shift) in heads.iter_mut().zip(seen).zip(&mut shifts) {
            if head.is_none() {
                match seen.head(P, *shift) {
                    Ok(h) => *head = Some(h),
                    Err(needed) => *shift = needed,
                }
            }
        }
    }
    for (panel, head) in panels.chunks_mut(len).zip(heads.iter().flatten()) {
        head.write(panel);
    }
}

/// Fills the panels that have no head yet.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn across_once<'a, const P: usize>(
    side: Side,
    depth: usize,
    row: &impl Fn(usize) -> &'a [f32],
    shifts: &[i32; TOGETHER],
    heads: &[Option<Head>; TOGETHER],
    panels: &mut [f32],
    len: usize,
) -> [Seen; TOGETHER] {
    let mut seen = [Seen::nothing(); TOGETHER];
    let mut words = [[_mm512_setzero_si512(); SIDE]; P];
    for (step, first) in (0..depth).step_by(STEP).enumerate() {
        let rows: [&[f32]; STEP] = std::array::from_fn(|i| if first + i < depth { row(first + i) } else { &[] });
        // Of each row a few lines are wanted, which no processor guesses.
        for next in first + STEP..depth.min(first + 2 * STEP) {
            (0..TOGETHER).for_each(|c| call_for(row(next), c * SIDE));
        }
        for (c, panel) in panels.chunks_mut(len).enumerate() {
            if heads[c].is_some() {
                continue;
            }
            let scale = _mm512_set1_ps(power_of_two(shifts[c]));
            let part = |r: &'a [f32]| &r[(c * SIDE).min(r.len())..];
            let tiles = &mut panel[HEAD + step * P * TILE..][..P * TILE];
            for pair in 0..SIDE {
                let even = split::<P>(_mm512_mul_ps(load(part(rows[2 * pair])), scale), &mut seen[c]);
                let odd = split::<P>(_mm512_mul_ps(load(part(rows[2 * pair + 1])), scale), &mut seen[c]);
                for p in 0..P {
                    let both = _mm512_or_si512(_mm512_srli_epi32::<16>(even[p]), odd[p]);
                    match side {
                        Side::Right => store(both, &mut tiles[p * TILE + pair * SIDE..]),
                        Side::Left => words[p][pair] = both,
                    }
                }
            }
            if side == Side::Left {
                store_turned(&words, tiles);
            }
        }
    }
    seen
}

/// `2^exponent` for exponents of normal numbers.
pub(super) fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Element `(i, k)` of a panel's plane; for tests.
#[cfg(test)]
pub(super) fn element(planes: usize, side: Side, panel: &[f32], plane: usize, i: usize, k: usize) -> f32 {
    if plane >= Head::of(panel).live { 0.0 } else { written(planes, side, panel, plane, i, k) }
}

/// What stands there, whatever the head says of the plane, as the unit reads it; for its twin.
#[cfg(test)]
pub(super) fn written(planes: usize, side: Side, panel: &[f32], plane: usize, i: usize, k: usize) -> f32 {
    let tile = &panel[HEAD + (k / STEP * planes + plane) * TILE..][..TILE];
    let pair = k % STEP / 2;
    let word = match side {
        Side::Left => tile[i * SIDE + pair],
        Side::Right => tile[pair * SIDE + i],
    };
    let half = if k.is_multiple_of(2) { word.to_bits() << 16 } else { word.to_bits() & 0xffff_0000 };
    f32::from_bits(half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Numbers of many sizes and full significands.
    fn numbers(n: usize, exponent: i32) -> Vec<f32> {
        let mut rng = Rng::new(n as u64);
        (0..n).map(|_| (rng.normal() as f32) * power_of_two(exponent - rng.below(12) as i32)).collect()
    }

    #[test]
    fn three_planes_are_the_number_and_fewer_its_upper_bits() {
        for (count, depth) in [(1, 1), (16, 32), (5, 47), (16, 65), (13, 31)] {
            for side in [Side::Left, Side::Right] {
                for unit in (1..=3).filter_map(|planes| Unit::twin(Parts::Planes(planes))) {
                    let planes = unit.planes();
                    let data = numbers(count * depth, 3);
                    let len = unit.panel_len(depth);
                    let mut panels = [vec![f32::NAN; len], vec![f32::NAN; len]];
                    unit.pack_along(side, count, depth, |r| &data[r * depth..], &mut panels[0]);
                    let turned: Vec<f32> = (0..data.len()).map(|i| data[i % count * depth + i / count]).collect();
                    unit.pack_across(side, count, depth, |k| &turned[k * count..], &mut panels[1]);
                    let [along, across] = panels.each_ref().map(|p| p[HEAD..].iter().map(|v| v.to_bits()));
                    assert!(along.eq(across), "{count} x {depth}");
                    for i in 0..SIDE {
                        for k in 0..depth.next_multiple_of(STEP) {
                            let x = if i < count && k < depth { data[i * depth + k] } else { 0.0 };
                            let sum: f64 = (0..planes).map(|p| f64::from(element(planes, side, &panels[0], p, i, k))).sum();
                            // Half a unit of eight bits for every plane, and nothing after three.
                            let bound = [2f64.powi(-8), 2f64.powi(-16), 0.0][planes - 1] * f64::from(x.abs());
                            assert!((sum - f64::from(x)).abs() <= bound, "{x} from {planes} planes is {sum}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn small_and_large_numbers_are_moved_and_keep_every_bit() {
        let Some(unit) = Unit::twin(Parts::Planes(3)) else { return };
        let (count, depth) = (16, 40);
        for exponent in [-70, -100, -120, -140, 110, 125] {
            let data: Vec<f32> = numbers(count * depth, 0).iter().map(|v| (f64::from(*v) * 2f64.powi(exponent)) as f32).collect();
            let mut panel = vec![0.0; unit.panel_len(depth)];
            unit.pack_along(Side::Left, count, depth, |r| &data[r * depth..], &mut panel);
            let head = Head::of(&panel);
            assert!(head.shift.abs() >= 60, "{head:?}");
            for (i, x) in data.iter().enumerate() {
                let planes: [f32; 3] = std::array::from_fn(|p| element(3, Side::Left, &panel, p, i / depth, i % depth));
                let sum: f64 = planes.iter().map(|v| f64::from(*v)).sum();
                assert_eq!(sum, f64::from(*x) * 2f64.powi(head.shift));
                // None that the unit would take for zero: what is left is.
                assert!(planes.iter().all(|v| *v == 0.0 || v.is_normal()));
            }
        }
    }

    #[test]
    fn a_head_says_which_planes_are_empty() {
        let Some(unit) = Unit::twin(Parts::Planes(3)) else { return };
        let short: Vec<f32> = (0..320).map(|i| (i % 97) as f32 - 40.0).collect();
        let half: Vec<f32> = short.iter().map(|v| v * 7.25 + 1.0 / 64.0).collect();
        for (data, live) in [(&short, 1), (&half, 3), (&numbers(320, 0), 3), (&vec![0.0; 320], 1)] {
            let mut panel = vec![0.0; unit.panel_len(20)];
            unit.pack_along(Side::Right, 16, 20, |r| &data[r * 20..], &mut panel);
            assert_eq!(Head::of(&panel), Head { shift: 0, live });
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0x7f80_0001)] {
            for unit in (1..=3).filter_map(|planes| Unit::twin(Parts::Planes(planes))) {
                let planes = unit.planes();
                let row = [1.0, bad, 2.0];
                let mut panel = vec![0.0; unit.panel_len(3)];
                unit.pack_along(Side::Left, 1, 3, |_| &row[..], &mut panel);
                let sum: f32 = (0..planes).map(|p| element(planes, Side::Left, &panel, p, 0, 1)).sum();
                assert!(!sum.is_finite(), "{bad} became {sum}");
            }
        }
    }
}
