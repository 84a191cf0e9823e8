//! Blocks of sixteen rows times sixteen columns of packed digits.
//!
//! One instruction multiplies 16 rows of 64 whole numbers of eight bits with 64 x 16 and adds the products to 16 x 16 sums of 32 bits, without any error
//! (TDPBSSD in Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). Of the nine products of two numbers' digits (see [`super::digits`]) the
//! eight largest are made; the ninth is below 2^-30 of the largest numbers' product. Products of the same weight share a sum:
//!
//! `x y = 2^32 x1 y1 + 2^24 (x1 y2 + x2 y1) + 2^16 (x1 y3 + x2 y2 + x3 y1) + 2^8 (x2 y3 + x3 y2) + x3 y3`
//!
//! Four registers hold the sums and four the operands' tiles, each of which is read once a step. In the last step the sums are finished one after another and leave
//! while the others are still made. A tile takes half as long to read as a product takes to make, and two thirds where another thread works on the same core.
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

/// The products of a step by groups of two, of a left panel at `a` and a right one at `b`, which is read by the instruction given. The sums are in the first
/// registers.
macro_rules! group {
    (first, $load:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {s}*1]\n",
            $load,
            " tmm5, [{b} + {s}*1]\n",
            "tdpbssd tmm0, tmm4, tmm5\n",
            $load,
            " tmm6, [{b} + {s}*1 + 1024]\n",
            "tdpbssd tmm1, tmm4, tmm6",
        )
    };
    (second, $load:literal) => {
        concat!(
            $load,
            " tmm7, [{b} + {s}*1 + 2048]\n",
            "tdpbssd tmm2, tmm4, tmm7\n",
            "tileloadd tmm4, [{a} + {s}*1 + 1024]\n",
            "tdpbssd tmm3, tmm4, tmm7",
        )
    };
    (third) => {
        concat!("tdpbssd tmm1, tmm4, tmm5\n", "tdpbssd tmm2, tmm4, tmm6")
    };
    (fourth) => {
        concat!("tileloadd tmm4, [{a} + {s}*1 + 2048]\n", "tdpbssd tmm3, tmm4, tmm6\n", "tdpbssd tmm2, tmm4, tmm5")
    };
}

/// Groups of the last step, which put the sums at `c`. Its first group is [`group`]'s.
macro_rules! last_group {
    (second, $load:literal) => {
        concat!(
            $load,
            " tmm7, [{b} + {s}*1 + 2048]\n",
            "tdpbssd tmm2, tmm4, tmm7\n",
            "tilestored [{c} + {s}*1], tmm0\n",
            "tileloadd tmm4, [{a} + {s}*1 + 1024]\n",
            "tdpbssd tmm1, tmm4, tmm5",
        )
    };
    (third) => {
        concat!("tdpbssd tmm3, tmm4, tmm7\n", "tilestored [{c} + {s}*1 + 1024], tmm1\n", "tdpbssd tmm2, tmm4, tmm6")
    };
    (fourth) => {
        concat!(
            "tileloadd tmm4, [{a} + {s}*1 + 2048]\n",
            "tdpbssd tmm3, tmm4, tmm6\n",
            "tilestored [{c} + {s}*1 + 3072], tmm3\n",
            "tdpbssd tmm2, tmm4, tmm5\n",
            "tilestored [{c} + {s}*1 + 2048], tmm2",
        )
    };
}

/// Eight lines at `p`, and on to the next.
macro_rules! ask {
    () => {
        concat!(
            "prefetcht1 [{p}]\n",
            "prefetcht1 [{p} + 64]\n",
            "prefetcht1 [{p} + 128]\n",
            "prefetcht1 [{p} + 192]\n",
            "prefetcht1 [{p} + 256]\n",
            "prefetcht1 [{p} + 320]\n",
            "prefetcht1 [{p} + 384]\n",
            "prefetcht1 [{p} + 448]\n",
            "add {p}, 512",
        )
    };
}

impl Session {
    /// One left panel times one right one. `ahead` is brought to the second-level cache meanwhile: [`super::AHEAD`] floats for each step.
    pub(super) fn multiply_sums(&self, left: &[f32], right: &[f32], depth: usize, ahead: *const f32, sums: &mut Sums) {
        let len = self.unit().panel_len(depth);
        assert!(left.len() == len && right.len() == len && depth <= DEEPEST, "panels of a depth of {depth}");
        let steps = depth.div_ceil(STEP);
        #[cfg(test)]
        if self.unit().is_twin() {
            return twin::multiply(left, right, depth, sums);
        }
        if steps == 0 {
            return sums.0.fill(0);
        }
        #[expect(unsafe_code, reason = "instructions the language has no functions for")]
        // SAFETY: the session holds the unit; panels of so many steps were found; the sums have room for four tiles. The tile registers are those of the
        // modules beside this one, and none is live between two blocks.
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "test {n}, {n}",
                "jz 3f",
                "2:",
                ask!(),
                // The left panel stays in the first-level cache, the right one passes by.
                group!(first, "tileloaddt1"),
                group!(second, "tileloaddt1"),
                group!(third),
                group!(fourth),
                "add {a}, 3072",
                "add {b}, 3072",
                "dec {n}",
                "jnz 2b",
                "3:",
                ask!(),
                group!(first, "tileloaddt1"),
                last_group!(second, "tileloaddt1"),
                last_group!(third),
                last_group!(fourth),
                a = inout(reg) left[HEAD..].as_ptr() => _,
                b = inout(reg) right[HEAD..].as_ptr() => _,
                n = inout(reg) steps - 1 => _,
                p = inout(reg) ahead => _,
                s = in(reg) 64usize,
                c = in(reg) sums.0.as_mut_ptr(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// As [`Self::multiply_sums`]; `beside` is called [`GROUPS`] times a step, and what it does goes on while the unit works.
    ///
    /// # Safety
    /// Panels of at least one step, of this depth, and a processor with AVX-512.
    #[inline(always)]
    #[expect(unsafe_code, reason = "instructions the language has no functions for")]
    pub(super) unsafe fn multiply_beside_digits(
        &self,
        left: &[f32],
        right: &[f32],
        depth: usize,
        sums: &mut Sums,
        mut beside: impl FnMut(),
    ) {
        debug_assert!(left.len() == self.unit().panel_len(depth) && right.len() == left.len() && (1..=DEEPEST).contains(&depth));
        #[cfg(test)]
        if self.unit().is_twin() {
            return twin::multiply(left, right, depth, sums);
        }
        let (mut a, mut b, c) = (left[HEAD..].as_ptr(), right[HEAD..].as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: as in `multiply_sums`. The compiler knows no tile registers, so it keeps nothing there and changes none.
        unsafe {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack));
            for _ in 1..depth.div_ceil(STEP) {
                asm!(group!(first, "tileloadd"), a = in(reg) a, b = in(reg) b, s = in(reg) 64usize, options(nostack));
                beside();
                asm!(group!(second, "tileloadd"), a = in(reg) a, b = in(reg) b, s = in(reg) 64usize, options(nostack));
                beside();
                asm!(group!(third), options(nostack));
                beside();
                asm!(group!(fourth), a = in(reg) a, s = in(reg) 64usize, options(nostack));
                beside();
                (a, b) = (a.add(DIGITS * TILE), b.add(DIGITS * TILE));
            }
            asm!(group!(first, "tileloadd"), a = in(reg) a, b = in(reg) b, s = in(reg) 64usize, options(nostack));
            beside();
            asm!(last_group!(second, "tileloadd"), a = in(reg) a, b = in(reg) b, c = in(reg) c, s = in(reg) 64usize, options(nostack));
            beside();
            asm!(last_group!(third), c = in(reg) c, s = in(reg) 64usize, options(nostack));
            beside();
            asm!(last_group!(fourth), a = in(reg) a, c = in(reg) c, s = in(reg) 64usize, options(nostack));
            beside();
        }
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
                self.multiply_sums(left, right, panels.depth, panels.ahead, &mut sums);
                let place = Place { rows: SIDE, cols: SIDE, out: out.0[i * SIDE * BLOCK + j * SIDE..].as_mut_ptr() };
                #[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on a pointer with a stride")]
                // SAFETY: a quarter of the block; a unit comes with AVX-512.
                unsafe {
                    settle(&sums, left, right, place, BLOCK, false);
                }
            }
        }
    }
}

/// Calls of `beside` a step.
pub(super) const GROUPS: usize = 4;

/// Where a block's numbers go.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub rows: usize,
    pub cols: usize,
    pub out: *mut f32,
}

/// Puts a block's sums together and moves them to their place, or adds them to what is there.
///
/// # Safety
/// The place must be writable, nothing else touching it, and the processor must have AVX-512.
#[expect(unsafe_code, reason = "code compiled for more than the baseline, and a pointer with a stride")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
pub(super) unsafe fn settle(sums: &Sums, left: &[f32], right: &[f32], place: Place, stride: usize, add: bool) {
    let (left, right) = (exponents(left), exponents_across(right));
    let mask = (u32::MAX >> (32 - place.cols)) as u16;
    for (r, left) in left.iter().enumerate().take(place.rows) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut made = sums.row(r, *left, right);
            let to = place.out.add(r * stride);
            if add {
                made = _mm512_add_ps(made, _mm512_maskz_loadu_ps(mask, to));
            }
            _mm512_mask_storeu_ps(to, mask, made);
        }
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
