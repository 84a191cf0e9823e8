//! One vector register of each instruction level, for the one kernel whose registers are placed by hand (see [`super::scan_block`]).

/// A register of `WIDTH` f32.
///
/// # Safety
/// The functions may only be called inside code compiled for the level, on a processor that has it; pointers must be good for `WIDTH`
/// elements, at any alignment.
#[expect(unsafe_code, reason = "vector instructions and raw loads")]
pub(super) unsafe trait Vector: Copy {
    const WIDTH: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Asks for a cache line that will be read soon; the pointer may be anything.
    unsafe fn prefetch(from: *const f32);
    /// `self * b + c`
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// The same of two operands of a product, whose words may be other than numbers ([`super::pairs::Words`]).
    #[inline(always)]
    unsafe fn product(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.fma(b, c) }
    }
    unsafe fn add(self, b: Self) -> Self;
    /// `|self * b|`
    unsafe fn abs_product(self, b: Self) -> Self;
}

/// Four lanes that any compiler turns into one 128-bit register.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

#[expect(unsafe_code, reason = "raw loads")]
// SAFETY: plain arithmetic; loads and stores are as wide as promised.
unsafe impl Vector for Portable {
    const WIDTH: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        const FMA: bool = cfg!(target_arch = "aarch64");
        Self(std::array::from_fn(|i| super::numeric::fma::<FMA>(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn abs_product(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| (self.0[i] * b.0[i]).abs()))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Pairs};

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions")]
mod x86 {
    use super::Vector;
    use std::{
        arch::x86_64::{
            __m256, __m512, __m512bh, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_andnot_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
            _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_abs_ps, _mm512_add_ps, _mm512_dpbf16_ps,
            _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
        },
        mem::transmute,
    };

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    // SAFETY: each function is one or two AVX, AVX2 or FMA instructions on eight lanes.
    unsafe impl Vector for Avx2 {
        const WIDTH: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY (here and below): the caller's promise about the processor and the pointer.
            Self(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm256_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        unsafe fn abs_product(self, b: Self) -> Self {
            Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_mul_ps(self.0, b.0)) })
        }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(pub(in super::super) __m512);

    // SAFETY: each function is one or two AVX-512F instructions on sixteen lanes.
    unsafe impl Vector for Avx512 {
        const WIDTH: usize = 16;
        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        unsafe fn abs_product(self, b: Self) -> Self {
            Self(unsafe { _mm512_abs_ps(_mm512_mul_ps(self.0, b.0)) })
        }
    }
    /// As [`Avx512`], with operands of products in pairs.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512Pairs(Avx512);

    // SAFETY: as `Avx512`, and one AVX512_BF16 instruction on its sixteen words.
    unsafe impl Vector for Avx512Pairs {
        const WIDTH: usize = Avx512::WIDTH;
        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(unsafe { Avx512::zero() })
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { Avx512::splat(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { Avx512::load(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { self.0.store(to) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { Avx512::prefetch(from) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { self.0.fma(b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn product(self, b: Self, c: Self) -> Self {
            let words = |v: Self| unsafe { transmute::<__m512, __m512bh>(v.0.0) };
            Self(Avx512(unsafe { _mm512_dpbf16_ps(c.0.0, words(self), words(b)) }))
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Self(unsafe { self.0.add(b.0) })
        }
        #[inline(always)]
        unsafe fn abs_product(self, b: Self) -> Self {
            Self(unsafe { self.0.abs_product(b.0) })
        }
    }
}
