//! All pairs of samples over one tile: the lower half of the Gram matrix of the kept activations.
//!
//! Where nearly every two samples are a pair, their products are one symmetric matrix product. A few samples go against a few others at a time, so
//! that every register that is loaded serves several products; nothing is packed, since both sides lie along the sum.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{
    isa::{Isa, Level},
    vector::Portable,
};

/// Floats of kept activations gone through at a time, so that all of them come from the second-level cache.
const PIECE: usize = 192 * 1024;
/// Shorter pieces would spend their time adding up lanes.
const LEAST_PIECE: usize = 1024;

/// Numbers of the lower half of an `n x n` matrix, diagonal included.
pub(super) const fn half(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Where the product of samples `a` and `b` stands in the lower half, stored row by row.
pub(super) fn place(a: usize, b: usize) -> usize {
    let (row, column) = if a >= b { (a, b) } else { (b, a) };
    half(row) + column
}

/// Adds the products over a tile of `elements` (a multiple of 16) to the lower half `gram` of `[n, n]`; `kept` is `[n, elements]`.
pub(super) fn add_gram(isa: Isa, kept: &[f32], n: usize, elements: usize, gram: &mut [f64]) {
    assert!(
        kept.len() == n * elements && gram.len() == half(n) && elements.is_multiple_of(16),
        "{n} samples of {elements} elements in {} floats and {} sums",
        kept.len(),
        gram.len()
    );
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: lengths were checked above; an `Isa` of a level exists only where the processor has it.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(kept, n, elements, gram),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(kept, n, elements, gram),
            _ => four_by_three::add::<Portable>(kept, n, elements, gram),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `add`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn avx512(kept: &[f32], n: usize, elements: usize, gram: &mut [f64]) {
    // SAFETY: the caller's promise.
    unsafe { six_by_four::add::<Avx512>(kept, n, elements, gram) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `add`")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(kept: &[f32], n: usize, elements: usize, gram: &mut [f64]) {
    // SAFETY: the caller's promise.
    unsafe { four_by_three::add::<Avx2>(kept, n, elements, gram) }
}

/// The pointers, moved on, as registers.
macro_rules! load {
    ($from:ident, $i:ident, [$($b:literal)*]) => { [$(V::load($from[$b].add($i))),*] };
}
/// One sample's register against those of the others.
macro_rules! multiply {
    ($acc:ident, $a:literal, $left:ident, $right:ident, [$($b:literal)*]) => {
        $($acc[$a][$b] = $left.fma($right[$b], $acc[$a][$b]);)*
    };
}
macro_rules! rows_of {
    ($row:ident, $first:expr, [$($b:literal)*]) => { [$($row($first + $b)),*] };
}

/// The loops for so many samples against so many others. Every index of the accumulators is a literal: an index that a loop counts would keep them
/// in memory, to be written back after every product.
macro_rules! grid {
    ($name:ident, $rows:literal by $cols:literal: [$($a:literal)*], $b:tt) => {
        mod $name {
            use super::{LEAST_PIECE, PIECE, half};
            use super::super::vector::Vector;

            const ROWS: usize = $rows;
            const COLUMNS: usize = $cols;

            /// # Safety
            /// Inside code compiled for `V`; lengths as `add_gram` checks.
            #[inline(always)]
            #[expect(unsafe_code, reason = "registers are placed by hand and pointers walk the kept activations")]
            pub(super) unsafe fn add<V: Vector>(kept: &[f32], n: usize, elements: usize, gram: &mut [f64]) {
                let piece = (PIECE / n.max(1) / 32 * 32).max(LEAST_PIECE);
                for first in (0..elements).step_by(piece) {
                    let len = piece.min(elements - first);
                    // Beyond the last sample stands the last once more; its products are not read.
                    let row = |i: usize| kept[i.min(n - 1) * elements + first..][..len].as_ptr();
                    for i in (0..n).step_by(ROWS) {
                        let left = rows_of!(row, i, [$($a)*]);
                        for j in (0..n.min(i + ROWS)).step_by(COLUMNS) {
                            let right = rows_of!(row, j, $b);
                            // SAFETY: `len` floats lie behind each pointer; the caller's promise about `V`.
                            let out = unsafe { products::<V>(&left, &right, len) };
                            for (r, out) in out.iter().enumerate().take(n - i) {
                                let columns = (i + r + 1).saturating_sub(j).min(COLUMNS);
                                let sums = &mut gram[half(i + r) + j.min(i + r)..][..columns];
                                sums.iter_mut().zip(out).for_each(|(sum, v)| *sum += f64::from(*v));
                            }
                        }
                    }
                }
            }

            /// # Safety
            /// Inside code compiled for `V`; `len`, a multiple of 16, floats behind each pointer.
            #[inline(always)]
            #[expect(unsafe_code, reason = "see `add`")]
            unsafe fn products<V: Vector>(
                left: &[*const f32; ROWS],
                right: &[*const f32; COLUMNS],
                len: usize,
            ) -> [[f32; COLUMNS]; ROWS] {
                // SAFETY: `i` stays below `len`, a multiple of every register's width.
                unsafe {
                    let mut acc = [[V::zero(); COLUMNS]; ROWS];
                    let mut i = 0;
                    while i < len {
                        let b = load!(right, i, $b);
                        $(
                            let a = V::load(left[$a].add(i));
                            multiply!(acc, $a, a, b, $b);
                        )*
                        i += V::WIDTH;
                    }
                    let mut out = [[0.0; COLUMNS]; ROWS];
                    for (out, acc) in out.iter_mut().zip(acc) {
                        for (out, acc) in out.iter_mut().zip(acc) {
                            let mut lanes = [0.0f32; 16];
                            acc.store(lanes.as_mut_ptr());
                            let mut width = V::WIDTH / 2;
                            while width > 0 {
                                for i in 0..width {
                                    lanes[i] += lanes[i + width];
                                }
                                width /= 2;
                            }
                            *out = lanes[0];
                        }
                    }
                    out
                }
            }
        }
    };
}
grid!(four_by_three, 4 by 3: [0 1 2 3], [0 1 2]);
#[cfg(target_arch = "x86_64")]
grid!(six_by_four, 6 by 4: [0 1 2 3 4 5], [0 1 2 3]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_lower_half_agrees_with_plain_sums_for_any_count_of_samples() {
        let mut rng = Rng::new(3);
        for isa in Isa::available() {
            for (n, elements) in [(1, 16), (2, 48), (5, 32), (7, 2064), (24, 1040), (65, 64)] {
                let kept: Vec<f32> = (0..n * elements).map(|_| rng.unit() as f32).collect();
                let mut gram = vec![1.0; half(n)];
                add_gram(isa, &kept, n, elements, &mut gram);
                for a in 0..n {
                    for b in 0..=a {
                        let row = |i: usize| &kept[i * elements..][..elements];
                        let want: f64 = row(a).iter().zip(row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                        let got = gram[place(b, a)] - 1.0;
                        // Sums of up to 1024 positive f32 products, a register's lanes apart.
                        assert!((got - want).abs() <= 2e-6 * (want + 1.0), "{n} x {elements}, {a} {b}: {got} for {want}");
                    }
                }
            }
        }
    }
}
