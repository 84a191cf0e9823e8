//! f32 numbers as pairs of bfloat16 numbers in the words of a vector, whose instruction multiplies both and adds both products (AVX512_BF16: Intel since
//! Cooper Lake, AMD since Zen 4).
//!
//! A product of numbers that were rounded to eight significant bits, summed in f32: twice the products an instruction, half the bytes, and an error of up to 2^-7 a
//! product, 2^-9 or so in the mean. Two neighbouring depths make a word, the earlier one in its lower half; where the depth is odd the last word's upper half is zero. A matrix
//! of words has the shape of one of f32 numbers of half the depth, and everything that packs and moves these serves it as well.
//!
//! The instruction takes numbers below 2^-126 for zero. What is not finite stays so.

/// What the words of a product's operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// One f32 number each.
    Numbers,
    /// Two bfloat16 numbers each, of neighbouring depths. Made only where the processor multiplies them.
    Pairs,
}

impl Words {
    /// Words of so many depths.
    pub fn of(self, depth: usize) -> usize {
        match self {
            Self::Numbers => depth,
            Self::Pairs => depth.div_ceil(2),
        }
    }
    /// Pairs, where the processor multiplies them.
    pub fn pairs() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            use super::{Isa, isa::Level};
            let has = Isa::highest().level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16");
            has.then_some(Self::Pairs)
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// Whether a product of this depth gains by pairs; it depends on nothing else, so that rows computed alone have the bits they have in company.
pub(super) fn gain(depth: usize) -> bool {
    depth >= 8
}

/// A row that runs along the depth: `out[i]` is numbers `2 i` and `2 i + 1` of it.
pub(super) fn along(row: &[f32], out: &mut [f32]) {
    assert_eq!(out.len(), row.len().div_ceil(2), "words of {} numbers", row.len());
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: words of pairs are made only where the processor has the instructions ([`Words::pairs`]).
    unsafe {
        x86::along(row, out);
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no processor of this kind multiplies pairs");
}

/// Rows across the depth: `out[i]` is number `i` of two neighbours. The later one is empty where the depth ends between them.
pub(super) fn across(earlier: &[f32], later: &[f32], out: &mut [f32]) {
    assert!(earlier.len() == out.len() && (later.len() == out.len() || later.is_empty()), "words of rows of {} numbers", earlier.len());
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: as in `along`.
    unsafe {
        x86::across(earlier, later, out);
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no processor of this kind multiplies pairs");
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::row_of;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{
        arch::x86_64::{
            __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi32,
            _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_storeu_si512,
        },
        mem::transmute,
    };

    const LANES: usize = 16;

    /// Up to sixteen numbers, zeros beyond.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "loads of a register")]
    fn load(from: &[f32]) -> __m512 {
        // SAFETY: only numbers of the slice are read.
        unsafe {
            if from.len() >= LANES { _mm512_loadu_ps(from.as_ptr()) } else { _mm512_maskz_loadu_ps((1 << from.len()) - 1, from.as_ptr()) }
        }
    }

    /// Both registers' numbers rounded to the nearest, `low`'s in the lower half.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "one register seen as another kind")]
    fn rounded(high: __m512, low: __m512) -> __m512i {
        // SAFETY: both are 512 bits of plain numbers.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }

    /// The first words of the register, as many as there is room for up to sixteen.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "stores of a register")]
    fn store(words: __m512i, to: &mut [f32]) {
        // SAFETY: only words of the slice are written.
        unsafe {
            if to.len() >= LANES {
                _mm512_storeu_si512(to.as_mut_ptr().cast(), words);
            } else {
                _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), (1 << to.len()) - 1, words);
            }
        }
    }

    /// Sixteen words of up to 32 numbers, zeros beyond.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(in super::super) fn row_of(numbers: &[f32]) -> __m512i {
        let (low, high) = numbers.split_at(numbers.len().min(LANES));
        rounded(load(high), load(low))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(in super::super) fn along(row: &[f32], out: &mut [f32]) {
        for (numbers, words) in row.chunks(2 * LANES).zip(out.chunks_mut(LANES)) {
            store(row_of(numbers), words);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "loads a table")]
    pub(in super::super) fn across(earlier: &[f32], later: &[f32], out: &mut [f32]) {
        /// Places of the halves of words: one of the lower numbers, then one of the higher.
        const BY_TURNS: [u16; 2 * LANES] = {
            let mut at = [0; 2 * LANES];
            let mut i = 0;
            while i < LANES {
                at[2 * i] = i as u16;
                at[2 * i + 1] = (LANES + i) as u16;
                i += 1;
            }
            at
        };
        // SAFETY: the table has 32 words of 16 bits.
        let by_turns = unsafe { _mm512_loadu_si512(BY_TURNS.as_ptr().cast()) };
        for (i, words) in out.chunks_mut(LANES).enumerate() {
            let at = i * LANES;
            let both = rounded(load(later.get(at..).unwrap_or_default()), load(&earlier[at..]));
            store(_mm512_permutexvar_epi16(by_turns, both), words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn words_hold_the_nearest_numbers_of_neighbouring_depths() {
        if Words::pairs().is_none() {
            eprintln!("skipped: no AVX512_BF16 here");
            return;
        }
        let number = |i: usize| (i as f32 * 0.37).sin() * 10f32.powi(i as i32 % 9 - 4);
        let word = |low: f32, high: f32| u32::from(bf16::from_f32(high).to_bits()) << 16 | u32::from(bf16::from_f32(low).to_bits());
        for n in [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 75] {
            let (a, b): (Vec<f32>, Vec<f32>) = ((0..n).map(number).collect(), (0..n).map(|i| number(i + 100)).collect());
            let mut words = vec![0.0; n.div_ceil(2)];
            along(&a, &mut words);
            for (i, w) in words.iter().enumerate() {
                assert_eq!(w.to_bits(), word(a[2 * i], a.get(2 * i + 1).copied().unwrap_or_default()), "word {i} of {n} numbers");
            }
            let mut words = vec![0.0; n];
            across(&a, &b, &mut words);
            assert!(words.iter().enumerate().all(|(i, w)| w.to_bits() == word(a[i], b[i])), "{n} across");
            across(&a, &[], &mut words);
            assert!(words.iter().enumerate().all(|(i, w)| w.to_bits() == word(a[i], 0.0)), "{n} across, the last");
        }
        let mut word = [0.0];
        for odd in [f32::NAN, f32::INFINITY, f32::from_bits(0x7fff_ffff), f32::from_bits(0x7f80_0001)] {
            along(&[1.0, odd], &mut word);
            assert!(!f32::from_bits(word[0].to_bits() & 0xffff_0000).is_finite(), "{odd}");
        }
    }
}
