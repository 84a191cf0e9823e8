//! Products of kept activations, `A(a) . A(b)`, over one tile.
//!
//! Partners of one sample go four at a time, so that its activations are loaded once for four products, and the pairs are ordered by the
//! samples' place in their domains: a run asks for sample m of every domain with sample m of every other, and those few are then hot together.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{
    isa::{Isa, Level},
    vector::{Portable, Vector},
};

/// Partners handled together.
const PARTNERS: usize = 4;
/// Floats of kept activations gone through at a time, so that all of them come from the second-level cache.
const PIECE: usize = 96 * 1024;
/// Shorter pieces would spend their time adding up lanes.
const LEAST_PIECE: usize = 384;

/// One sample and up to [`PARTNERS`] others.
#[derive(Clone, Debug)]
pub(super) struct Star {
    slot: usize,
    /// Slot of the partner and index of the pair in the job.
    partners: Vec<(usize, usize)>,
}

/// `(rank of the first sample in its domain, its slot, the second's slot, index in the job)` for each pair.
pub(super) fn stars(mut pairs: Vec<(usize, usize, usize, usize)>) -> Vec<Star> {
    pairs.sort_unstable();
    let mut stars: Vec<Star> = Vec::new();
    for (_, slot, partner, index) in pairs {
        match stars.last_mut() {
            Some(star) if star.slot == slot && star.partners.len() < PARTNERS => star.partners.push((partner, index)),
            _ => stars.push(Star { slot, partners: vec![(partner, index)] }),
        }
    }
    stars
}

/// Adds the products over a tile of `elements` (a multiple of 16) to `dots`; `kept` is `[n_slots, elements]`.
pub(super) fn add_products(isa: Isa, kept: &[f32], elements: usize, stars: &[Star], dots: &mut [f64]) {
    if elements == 0 {
        return;
    }
    let piece = (PIECE / (kept.len() / elements).max(1) / 32 * 32).max(LEAST_PIECE);
    let mut out = [0.0f64; PARTNERS];
    for first in (0..elements).step_by(piece) {
        let len = piece.min(elements - first);
        for star in stars {
            let part = |slot: usize| &kept[slot * elements + first..][..len];
            let mut partners = [part(star.slot); PARTNERS];
            for (p, (slot, _)) in partners.iter_mut().zip(&star.partners) {
                *p = part(*slot);
            }
            products(isa, part(star.slot), &partners[..star.partners.len()], &mut out);
            for ((_, index), v) in star.partners.iter().zip(&out) {
                dots[*index] += v;
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
            let mut lanes = [0.0f32; 16];
            acc[0].add(acc[1]).store(lanes.as_mut_ptr());
            let mut width = V::WIDTH / 2;
            while width > 0 {
                for i in 0..width {
                    lanes[i] += lanes[i + width];
                }
                width /= 2;
            }
            *out = f64::from(lanes[0]);
        }
    }
}
