//! Blocks of sixteen rows times sixteen columns of packed digits.
//!
//! One instruction multiplies 16 rows of 64 whole numbers of eight bits with 64 x 16 and adds the products to 16 x 16 sums of 32 bits, without any error
//! (TDPBSSD in Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). Of the nine products of two numbers' digits (see [`super::digits`]) the
//! eight largest are made; the ninth is below 2^-30 of the largest numbers' product. Products of the same weight share a sum:
//!
//! `x y = 2^32 x1 y1 + 2^24 (x1 y2 + x2 y1) + 2^16 (x1 y3 + x2 y2 + x3 y1) + 2^8 (x2 y3 + x3 y2) + x3 y3`
//!
//! Four registers hold the sums and four the operands' tiles, each of which is read once a step. A block's sums stay in their registers until the next block's first
//! products need these: stored between those products they cost nothing, stored at the block's own end they would wait for its last ones. A tile takes half as
//! long to read as a product takes to make.
//!
//! No product is larger than 2^14, so a sum of three of them has room for a depth of [`DEEPEST`]. The sums are whole numbers: neither the order of the depths nor what
//! stands beside a row or a column, nor which operand is left, changes a bit. They are put together in f32, by three multiply-adds.

use super::{
    BLOCK, Block, HEAD, Panels, SIDE, Session, TILE,
    digits::{DIGITS, STEP},
};
use std::{
    arch::{
        asm,
        x86_64::{
            __m512, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_mask_storeu_ps,
            _mm512_maskz_loadu_ps, _mm512_scalef_ps, _mm512_set1_ps,
        },
    },
    ops::Range,
};

/// Sums of a block.
const SUMS: usize = 4;
/// Where their products come from (left, right, from the uppermost digit on): one sum of each weight.
#[cfg(test)]
const PAIRS: [&[(usize, usize)]; SUMS] = [&[(0, 0)], &[(0, 1), (1, 0)], &[(0, 2), (1, 1), (2, 0)], &[(1, 2), (2, 1)]];
/// Depths that no sum overflows in: 3 * 2^14 for each.
pub(super) const DEEPEST: usize = 1 << 15;
const _: () = assert!(3 * (1 << 14) * DEEPEST < 1 << 31);

/// The sums of a block of [`SIDE`] x [`SIDE`].
#[repr(C, align(64))]
pub(super) struct Sums([i32; SUMS * SIDE * SIDE]);

impl Sums {
    pub const fn new() -> Self {
        Self([0; SUMS * SIDE * SIDE])
    }
    /// Row `r`'s products: of a row of a left panel with these exponents, and right ones with those.
    ///
    /// # Safety
    /// On a processor with AVX-512.
    #[inline]
    #[expect(unsafe_code, reason = "loads of registers")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub unsafe fn row(&self, r: usize, left: f32, right: __m512) -> __m512 {
        debug_assert!(r < SIDE);
        // SAFETY: a row below `SIDE` of each of the aligned sums.
        let sum = |i: usize| unsafe { _mm512_load_si512(self.0.as_ptr().add((i * SIDE + r) * SIDE).cast()) };
        let digit = _mm512_set1_ps(256.0);
        let upper = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum(0)), digit, _mm512_cvtepi32_ps(sum(1)));
        let lower = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum(2)), digit, _mm512_cvtepi32_ps(sum(3)));
        let all = _mm512_fmadd_ps(upper, _mm512_set1_ps(65536.0), lower);
        _mm512_scalef_ps(all, _mm512_add_ps(right, _mm512_set1_ps(left)))
    }
}

/// The exponents of a left panel's rows.
pub(super) fn exponents(left: &[f32]) -> &[f32; SIDE] {
    left.first_chunk().expect("a panel begins with its head")
}

/// Those of a right panel's columns, and what the lowest of eight products is to be multiplied by.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exponents_across(right: &[f32]) -> __m512 {
    let head = &right[..HEAD];
    #[expect(unsafe_code, reason = "a load of a register")]
    // SAFETY: sixteen floats.
    let exponents = unsafe { _mm512_loadu_ps(head.as_ptr()) };
    _mm512_add_ps(exponents, _mm512_set1_ps(8.0))
}

/// One of the [`OPERATIONS`] of a step on a left panel at `a`, which stays in the first-level cache, and a right one at `b`, which passes by it. The sums are in the
/// first registers; a register is cleared as soon as nothing reads it any more.
macro_rules! operation {
    (0) => {
        "tileloadd tmm4, [{a} + {s}*1]\n"
    };
    (1) => {
        "tileloaddt1 tmm5, [{b} + {s}*1]\n"
    };
    (2) => {
        "tdpbssd tmm0, tmm4, tmm5\n"
    };
    (3) => {
        "tileloaddt1 tmm6, [{b} + {s}*1 + 1024]\n"
    };
    (4) => {
        "tdpbssd tmm1, tmm4, tmm6\n"
    };
    (5) => {
        "tileloaddt1 tmm7, [{b} + {s}*1 + 2048]\n"
    };
    (6) => {
        "tdpbssd tmm2, tmm4, tmm7\ntilezero tmm4\n"
    };
    (7) => {
        "tileloadd tmm4, [{a} + {s}*1 + 1024]\n"
    };
    (8) => {
        "tdpbssd tmm3, tmm4, tmm7\ntilezero tmm7\n"
    };
    (9) => {
        "tdpbssd tmm1, tmm4, tmm5\n"
    };
    (10) => {
        "tdpbssd tmm2, tmm4, tmm6\ntilezero tmm4\n"
    };
    (11) => {
        "tileloadd tmm4, [{a} + {s}*1 + 2048]\n"
    };
    (12) => {
        "tdpbssd tmm3, tmm4, tmm6\ntilezero tmm6\n"
    };
    (13) => {
        "tdpbssd tmm2, tmm4, tmm5\ntilezero tmm4\ntilezero tmm5\n"
    };
}

/// A sum of the block before to its place at `c`, and cleared: in a block's first step, before that sum's first product.
macro_rules! leave {
    (0) => {
        "tilestored [{c} + {s}*1], tmm0\ntilezero tmm0\n"
    };
    (1) => {
        "tilestored [{c} + {s}*1 + 1024], tmm1\ntilezero tmm1\n"
    };
    (2) => {
        "tilestored [{c} + {s}*1 + 2048], tmm2\ntilezero tmm2\n"
    };
    (3) => {
        "tilestored [{c} + {s}*1 + 3072], tmm3\ntilezero tmm3\n"
    };
}

impl Session {
    /// One left panel times one right one. The sums stay with the unit until the next block moves them to where it is told to, or [`Self::last_sums`]; `before` gets
    /// those of the block before this one (of none: anything), until [`LEFT`] operations of the first step are done.
    ///
    /// `beside` is called after each of the [`OPERATIONS`] of a step, with the number of the step and of the operation. What it does goes on while the unit works, and
    /// it should do something, if only [`Self::pause`].
    ///
    /// # Safety
    /// `before` can be written, and nothing else touches it until then.
    #[inline(always)]
    #[expect(unsafe_code, reason = "instructions the language has no functions for")]
    pub(super) unsafe fn multiply_sums(
        &self,
        left: &[f32],
        right: &[f32],
        depth: usize,
        before: *mut Sums,
        mut beside: impl FnMut(usize, usize),
    ) {
        let len = self.unit().panel_len(depth);
        assert!(left.len() == len && right.len() == len && (1..=DEEPEST).contains(&depth), "panels of a depth of {depth}");
        #[cfg(test)]
        if self.unit().is_twin() {
            // SAFETY: the caller's promise.
            return self.multiply_twin(left, right, depth, unsafe { &mut *before });
        }
        let (mut a, mut b, c) = (left[HEAD..].as_ptr(), right[HEAD..].as_ptr(), before.cast::<i32>());
        // SAFETY: the session holds the unit; panels of so many steps were found; the caller's promise about four tiles' room. The tile registers are those of the
        // modules beside this one. The compiler knows none of them, so it keeps nothing there and changes none.
        unsafe {
            macro_rules! left {
                ($n:tt) => {
                    asm!(operation!($n), a = in(reg) a, s = in(reg) 64usize, options(nostack))
                };
            }
            macro_rules! right {
                ($n:tt) => {
                    asm!(operation!($n), b = in(reg) b, s = in(reg) 64usize, options(nostack))
                };
            }
            macro_rules! product {
                ($n:tt) => {
                    asm!(operation!($n), options(nostack))
                };
                ($n:tt, $sum:tt) => {
                    asm!(concat!(leave!($sum), operation!($n)), c = in(reg) c, s = in(reg) 64usize, options(nostack))
                };
            }
            // What each operation is, by its number, and which sum leaves before it.
            macro_rules! operations {
                ($step:expr; $($kind:ident($n:tt $(, $sum:tt)?)),*) => {
                    $($kind!($n $(, $sum)?); beside($step, $n);)*
                };
            }
            operations!(0; left(0), right(1), product(2, 0), right(3), product(4, 1), right(5), product(6, 2), left(7), product(8, 3), product(9), product(10), left(11), product(12), product(13));
            for step in 1..depth.div_ceil(STEP) {
                (a, b) = (a.add(DIGITS * TILE), b.add(DIGITS * TILE));
                operations!(step; left(0), right(1), product(2), right(3), product(4), right(5), product(6), left(7), product(8), product(9), product(10), left(11), product(12), product(13));
            }
        }
    }

    /// Some time between two of the unit's instructions.
    #[inline(always)]
    pub(super) fn pause() {
        #[expect(unsafe_code, reason = "instructions the language has no functions for")]
        // SAFETY: they do nothing.
        unsafe {
            asm!(apart!(), options(nostack, nomem, preserves_flags));
        }
    }

    /// The sums of the block that was multiplied last.
    pub(super) fn last_sums(&self, sums: &mut Sums) {
        #[cfg(test)]
        if self.unit().is_twin() {
            sums.0 = self.twin_sums.borrow().0;
            return;
        }
        #[expect(unsafe_code, reason = "instructions the language has no functions for")]
        // SAFETY: the session holds the unit; the sums have room for four tiles.
        unsafe {
            asm!(
                "tilestored [{c} + {s}*1], tmm0",
                "tilestored [{c} + {s}*1 + 1024], tmm1",
                "tilestored [{c} + {s}*1 + 2048], tmm2",
                "tilestored [{c} + {s}*1 + 3072], tmm3",
                s = in(reg) 64usize,
                c = in(reg) sums.0.as_mut_ptr(),
                options(nostack),
            );
        }
    }

    #[cfg(test)]
    fn multiply_twin(&self, left: &[f32], right: &[f32], depth: usize, before: &mut Sums) {
        let mut own = self.twin_sums.borrow_mut();
        before.0 = own.0;
        twin::multiply(left, right, depth, &mut own);
    }

    /// See [`Session::multiply`].
    pub(super) fn multiply_digits(&self, panels: &Panels<'_>, out: &mut Block) {
        let mut sums = Sums::new();
        for (i, left) in panels.left.into_iter().enumerate() {
            for (j, right) in panels.right.into_iter().enumerate() {
                // The same panel twice: its second columns are not wanted.
                if j > 0 && std::ptr::eq(right, panels.right[0]) {
                    continue;
                }
                let place = Place { rows: SIDE, cols: SIDE, out: out.0[i * SIDE * BLOCK + j * SIDE..].as_mut_ptr() };
                #[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on a pointer with a stride")]
                // SAFETY: the sums are nobody else's; a quarter of the block; a unit comes with AVX-512.
                unsafe {
                    self.multiply_sums(left, right, panels.depth, &raw mut sums, |_, _| Self::pause());
                    self.last_sums(&mut sums);
                    Settling::new(left, right, place).rest(&sums, BLOCK, false);
                }
            }
        }
    }
}

/// Reads of tiles and products of a step, and those of a block until the sums of the block before have left.
pub(super) const OPERATIONS: usize = 14;
pub(super) const LEFT: usize = 9;

/// Where a block's numbers go.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub rows: usize,
    pub cols: usize,
    pub out: *mut f32,
}

/// A block whose sums are put together, row by row, and moved to their place or added to what is there.
pub(super) struct Settling<'a> {
    left: &'a [f32; SIDE],
    right: __m512,
    mask: u16,
    place: Place,
    /// The next.
    row: usize,
}

#[expect(unsafe_code, reason = "code compiled for more than the baseline, and a pointer with a stride")]
impl<'a> Settling<'a> {
    /// Of the product of two panels.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new(left: &'a [f32], right: &[f32], place: Place) -> Self {
        Self { left: exponents(left), right: exponents_across(right), mask: (u32::MAX >> (32 - place.cols)) as u16, place, row: 0 }
    }
    /// The next row; `false` if none is left.
    ///
    /// # Safety
    /// The place must be writable, nothing else touching it, and the processor must have AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub unsafe fn next(&mut self, sums: &Sums, stride: usize, add: bool) -> bool {
        if self.row == self.place.rows {
            return false;
        }
        // SAFETY: the caller's promise; a place has no more rows than a panel.
        unsafe {
            let mut made = sums.row(self.row, self.left[self.row], self.right);
            let to = self.place.out.add(self.row * stride);
            if add {
                made = _mm512_add_ps(made, _mm512_maskz_loadu_ps(self.mask, to));
            }
            _mm512_mask_storeu_ps(to, self.mask, made);
        }
        self.row += 1;
        true
    }
    /// All rows that are left.
    ///
    /// # Safety
    /// As [`Self::next`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub unsafe fn rest(&mut self, sums: &Sums, stride: usize, add: bool) {
        // SAFETY: the caller's promise.
        while unsafe { self.next(sums, stride, add) } {}
    }
}

/// A panel's place among others of the same length.
pub(super) fn panel(i: usize, len: usize) -> Range<usize> {
    i * len..(i + 1) * len
}

#[cfg(test)]
mod twin {
    use super::{super::Side, PAIRS, SIDE, Sums};
    use crate::compute::cpu::tiles::digits::{DIGITS, STEP, written};

    pub(super) fn multiply(left: &[f32], right: &[f32], depth: usize, sums: &mut Sums) {
        let depth = depth.next_multiple_of(STEP);
        let read = |side, panel: &[f32]| -> Vec<Vec<i32>> {
            let row = |digit: usize, i: usize| (0..depth).map(|k| i32::from(written(side, panel, digit, i, k))).collect();
            (0..DIGITS).flat_map(|digit| (0..SIDE).map(move |i| (digit, i))).map(|(digit, i)| row(digit, i)).collect()
        };
        let (left, right) = (read(Side::Left, left), read(Side::Right, right));
        for (sums, pairs) in sums.0.chunks_exact_mut(SIDE * SIDE).zip(PAIRS) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let product = |&(p, q): &(usize, usize)| -> i32 {
                    left[p * SIDE + i / SIDE].iter().zip(&right[q * SIDE + i % SIDE]).map(|(a, b)| a * b).sum()
                };
                *sum = pairs.iter().map(product).sum();
            }
        }
    }
}
