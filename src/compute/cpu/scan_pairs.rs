//! Products of a sample's activations with those kept before it, `A(a) . A(b)`, over one tile.
//!
//! Partners go four at a time, so that the sample's activations are loaded once for four products. The first of them is multiplied
//! with by the inner loops of [`super::scan_block`] and [`super::tiles::scan`] already, while the activations are in registers; here come the others.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{
    isa::{Isa, Level},
    vector::{Portable, Vector},
};

/// Partners handled together.
const PARTNERS: usize = 4;
/// Floats gone through at a time: a sample's and its partners' come from the second-level cache, and single precision sums no more of them.
pub(super) const PIECE: usize = 12 * 1024;

/// Adds the products of the tile in slot `slot` with those of its `partners` (slot and number of the pair) to `dots`; `kept` is `[slots, elements]`,
/// `elements` a multiple of 16.
pub(super) fn add_products(isa: Isa, kept: &[f32], elements: usize, slot: usize, partners: &[(usize, usize)], dots: &mut [f64]) {
    let mut out = [0.0f64; PARTNERS];
    for first in (0..elements).step_by(PIECE) {
        let len = PIECE.min(elements - first);
        let part = |slot: usize| &kept[slot * elements + first..][..len];
        for some in partners.chunks(PARTNERS) {
            let mut others = [part(slot); PARTNERS];
            for (other, (slot, _)) in others.iter_mut().zip(some) {
                *other = part(*slot);
            }
            products(isa, part(slot), &others[..some.len()], &mut out);
            for ((_, pair), v) in some.iter().zip(&out) {
                dots[*pair] += v;
            }
        }
    }
}

/// `out[i] = a . partners[i]`
fn products(isa: Isa, a: &[f32], partners: &[&[f32]], out: &mut [f64; PARTNERS]) {
    assert!(a.len().is_multiple_of(16) && partners.len() <= PARTNERS && partners.iter().all(|p| p.len() == a.len()));
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: lengths were checked above; an `Isa` of a level exists only where the processor has it.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(a, partners, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(a, partners, out),
            _ => choose::<Portable>(a, partners, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `several`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn avx512(a: &[f32], partners: &[&[f32]], out: &mut [f64; PARTNERS]) {
    // SAFETY: the caller's promise.
    unsafe { choose::<Avx512>(a, partners, out) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `several`")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: &[f32], partners: &[&[f32]], out: &mut [f64; PARTNERS]) {
    // SAFETY: the caller's promise.
    unsafe { choose::<Avx2>(a, partners, out) }
}

#[inline(always)]
#[expect(unsafe_code, reason = "see `several`")]
unsafe fn choose<V: Vector>(a: &[f32], partners: &[&[f32]], out: &mut [f64; PARTNERS]) {
    // SAFETY: the caller's promise.
    unsafe {
        match partners.len() {
            1 => several::<V, 1>(a, partners, out),
            2 => several::<V, 2>(a, partners, out),
            3 => several::<V, 3>(a, partners, out),
            4 => several::<V, 4>(a, partners, out),
            _ => {}
        }
    }
}

/// # Safety
/// Inside code compiled for `V`; `N` partners as long as `a`, a multiple of 16.
#[inline(always)]
#[expect(unsafe_code, reason = "vector loads at computed places")]
unsafe fn several<V: Vector, const N: usize>(a: &[f32], partners: &[&[f32]], out: &mut [f64; PARTNERS]) {
    // SAFETY: `i` and `i + WIDTH` stay below the common length.
    unsafe {
        let mut acc = [[V::zero(); 2]; N];
        let step = 2 * V::WIDTH;
        let mut i = 0;
        while i + step <= a.len() {
            let (a0, a1) = (V::load(a.as_ptr().add(i)), V::load(a.as_ptr().add(i + V::WIDTH)));
            for (acc, p) in acc.iter_mut().zip(partners) {
                acc[0] = a0.fma(V::load(p.as_ptr().add(i)), acc[0]);
                acc[1] = a1.fma(V::load(p.as_ptr().add(i + V::WIDTH)), acc[1]);
            }
            i += step;
        }
        if i < a.len() {
            // Only a 16-wide register leaves half a step over.
            let a0 = V::load(a.as_ptr().add(i));
            for (acc, p) in acc.iter_mut().zip(partners) {
                acc[0] = a0.fma(V::load(p.as_ptr().add(i)), acc[0]);
            }
        }
        for (out, acc) in out.iter_mut().zip(acc) {
            *out = f64::from(fold(acc));
        }
    }
}

/// The sum over all lanes of two registers.
///
/// # Safety
/// Inside code compiled for `V`.
#[inline(always)]
#[expect(unsafe_code, reason = "stores a register")]
pub(super) unsafe fn fold<V: Vector>(sums: [V; 2]) -> f32 {
    let mut lanes = [0.0f32; 16];
    // SAFETY: the caller's promise; no register is wider.
    unsafe { sums[0].add(sums[1]).store(lanes.as_mut_ptr()) };
    let mut width = V::WIDTH / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
