//! What every way of packing does with registers of sixteen words.

use super::SIDE;
use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Up to sixteen numbers, zeros beyond.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub(super) fn load(from: &[f32]) -> __m512 {
    #[expect(unsafe_code, reason = "loads of a register")]
    // SAFETY: only numbers of the slice are read.
    unsafe {
        if from.len() >= SIDE { _mm512_loadu_ps(from.as_ptr()) } else { _mm512_maskz_loadu_ps((1 << from.len()) - 1, from.as_ptr()) }
    }
}

/// Asks for the line of element `at`, if there is one.
#[inline]
pub(super) fn call_for(row: &[f32], at: usize) {
    if let Some(element) = row.get(at) {
        #[expect(unsafe_code, reason = "a hint to the processor")]
        // SAFETY: a prefetch of an address that is there.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub(super) fn store(words: __m512i, to: &mut [f32]) {
    let to = &mut to[..SIDE];
    #[expect(unsafe_code, reason = "a store of a register")]
    // SAFETY: sixteen floats are there.
    unsafe {
        _mm512_storeu_si512(to.as_mut_ptr().cast(), words);
    }
}

/// The transpose of sixteen times sixteen words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub(in crate::compute::cpu) fn turn(r: &[__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut a = *r;
    let mut b = a;
    // Words of two rows, then pairs of words of four, then quarters of registers, twice.
    for i in (0..SIDE).step_by(2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for i in (0..SIDE).step_by(4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    // Now `a[4 q + j]` holds, in its quarter `c`, word `4 c + j` of rows `4 q..4 q + 4`.
    for j in 0..4 {
        let (low, high) = (_mm512_shuffle_i32x4::<0b01_00_01_00>(a[j], a[4 + j]), _mm512_shuffle_i32x4::<0b11_10_11_10>(a[j], a[4 + j]));
        let (low2, high2) =
            (_mm512_shuffle_i32x4::<0b01_00_01_00>(a[8 + j], a[12 + j]), _mm512_shuffle_i32x4::<0b11_10_11_10>(a[8 + j], a[12 + j]));
        b[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, low2);
        b[4 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, low2);
        b[8 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high, high2);
        b[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high, high2);
    }
    b
}
