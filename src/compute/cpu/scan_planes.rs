//! The fused scan's inner loops on the tile unit: the product of a block comes from the unit, and goes from the first-level cache into the mean, the kept
//! activations and the square norm while the unit makes the next.
//!
//! Panels are pairs of those of [`super::planes`], 32 rows or columns wide; the depth is the sample's active tokens.

use super::{
    planes::{self, Side, pack_across},
    scan_block::{Operands, finish},
    tile_unit::{BLOCK, Block, Panels, Session, Unit},
    vector::{Avx512, Vector},
};
use crate::compute::Mat;

/// Floats of a panel of a sample with so many active tokens; none without any.
pub(super) fn panel_len(unit: Unit, tokens: usize) -> usize {
    if tokens == 0 { 0 } else { 2 * planes::panel_len(unit.planes(), tokens) }
}

/// The active rows of `source` into panels; `left` for the operand of the matrix' rows.
pub(super) fn pack(unit: Unit, left: bool, source: Mat<'_>, active: &[usize], out: &mut [f32]) {
    if !active.is_empty() {
        let side = if left { Side::Left } else { Side::Right };
        pack_across(unit, side, source.cols, active.len(), |k| source.row(active[k]), out);
    }
}

/// As [`super::scan_block::scan_blocks`], on operands that [`pack`] made; blocks are `[BLOCK][BLOCK]`.
pub(super) fn scan_blocks(session: &Session, o: &Operands<'_>, mean: Option<&mut [f32]>, kept: Option<&mut [f32]>) -> f64 {
    let elements = o.down * o.across * BLOCK * BLOCK;
    let len = panel_len(session.unit(), o.tokens);
    assert!(
        o.delta.len() == o.down * len
            && o.x.len() == o.across * len
            && o.weights.len() == elements
            && mean.as_ref().is_none_or(|m| m.len() == elements)
            && kept.as_ref().is_none_or(|k| k.len() == elements),
        "operands of a tile do not fit"
    );
    if o.tokens == 0 {
        if let Some(kept) = kept {
            kept.fill(0.0);
        }
        return 0.0;
    }
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: the lengths were checked above; a unit comes with AVX-512.
    unsafe {
        match (mean, kept) {
            (Some(mean), Some(kept)) => blocks::<true, true>(session, o, mean, kept),
            (Some(mean), None) => blocks::<true, false>(session, o, mean, &mut []),
            (None, Some(kept)) => blocks::<false, true>(session, o, &mut [], kept),
            (None, None) => blocks::<false, false>(session, o, &mut [], &mut []),
        }
    }
}

/// # Safety
/// On a processor with AVX-512; lengths as `scan_blocks` checks where something is wanted.
#[expect(unsafe_code, reason = "code compiled for more than the baseline")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn blocks<const MEAN: bool, const KEEP: bool>(session: &Session, o: &Operands<'_>, mean: &mut [f32], kept: &mut [f32]) -> f64 {
    const SIZE: usize = BLOCK * BLOCK;
    let half = planes::panel_len(session.unit().planes(), o.tokens);
    let two = |i: usize| [2 * i, 2 * i + 1].map(|p| p * half..(p + 1) * half);
    let mut made = [const { Block([0.0; SIZE]) }; 2];
    // SAFETY: the caller's promise about the processor.
    let mut squares = unsafe { [Avx512::zero(); 2] };
    let count = o.down * o.across;
    // One more turn than blocks: each finishes the block of the turn before.
    for i in 0..=count {
        if i < count {
            let (delta, x) = (two(i % o.down), two(i / o.down));
            let (left, right) = (delta.map(|r| &o.delta[r]), x.map(|r| &o.x[r]));
            let panels = Panels { left, right, depth: o.tokens, mirrored: false, ahead: left[0].as_ptr() };
            session.multiply(&panels, &mut made[i % 2]);
        }
        let Some(before) = i.checked_sub(1) else { continue };
        let at = before * SIZE;
        let weights = o.weights[at..at + SIZE].as_ptr();
        let mean = if MEAN { mean[at..at + SIZE].as_mut_ptr() } else { std::ptr::null_mut() };
        let kept = if KEEP { kept[at..at + SIZE].as_mut_ptr() } else { std::ptr::null_mut() };
        let gradients = &made[before % 2].0;
        for e in (0..SIZE).step_by(BLOCK) {
            // SAFETY: `SIZE` floats lie behind each pointer that is followed; the caller's promise about the processor.
            unsafe {
                let (g0, g1) = (Avx512::load(gradients[e..].as_ptr()), Avx512::load(gradients[e + Avx512::WIDTH..].as_ptr()));
                let a0 = finish::<Avx512, MEAN, KEEP>(g0, weights, mean, kept, e);
                let a1 = finish::<Avx512, MEAN, KEEP>(g1, weights, mean, kept, e + Avx512::WIDTH);
                squares = [a0.fma(a0, squares[0]), a1.fma(a1, squares[1])];
            }
        }
    }
    let mut lanes = [0.0f32; 16];
    // SAFETY: sixteen floats are there; the caller's promise about the processor.
    unsafe { squares[0].add(squares[1]).store(lanes.as_mut_ptr()) };
    lanes.iter().map(|v| f64::from(*v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::rng::Rng,
        compute::{
            SampleSpan, ScanJob, ScanSums,
            cpu::{Isa, pool::Pool, scan::scan_all},
        },
    };

    const OUT: usize = 50;
    const INP: usize = 70;

    #[derive(Clone)]
    struct Case {
        w: Vec<f32>,
        x: Vec<f32>,
        delta: Vec<f32>,
        samples: Vec<SampleSpan>,
        pairs: Vec<(usize, usize)>,
    }

    impl Case {
        fn new(lengths: &[usize], domains: usize, pairs: Vec<(usize, usize)>) -> Self {
            let mut rng = Rng::new(9);
            let n: usize = lengths.iter().sum();
            let mut numbers = |n: usize, scale: f64| (0..n).map(|_| (rng.normal() * scale) as f32).collect::<Vec<f32>>();
            let mut start = 0;
            let sample = |(i, len): (usize, &usize)| {
                start += len;
                SampleSpan { start: start - len, end: start, domain: i % domains }
            };
            let samples = lengths.iter().enumerate().map(sample).collect();
            Self { w: numbers(OUT * INP, 0.05), x: numbers(n * INP, 1.0), delta: numbers(n * OUT, 1e-3), samples, pairs }
        }
        /// Of the first `count` samples.
        fn sums(&self, pool: &Pool, count: usize, domains: usize, want_means: bool) -> ScanSums {
            let n = self.x.len() / INP;
            let job = ScanJob {
                w: Mat::new(&self.w, OUT, INP),
                x: Mat::new(&self.x, n, INP),
                delta: Mat::new(&self.delta, n, OUT),
                samples: &self.samples[..count],
                n_domains: domains,
                pairs: &self.pairs,
                gamma: 1e-4,
                want_means,
            };
            let mut sums = ScanSums::zeros(&job);
            scan_all(pool, std::slice::from_ref(&job), std::slice::from_mut(&mut sums));
            sums
        }
    }

    fn pool(threads: usize, unit: Option<Unit>) -> Pool {
        let mut pool = Pool::new(Some(threads), Isa::highest());
        pool.scan_unit = unit;
        pool
    }

    /// Every sum of positive numbers, each with the error of its product.
    fn close(got: &[f64], want: &[f64], bound: f64) {
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= bound * w.abs(), "{g} for {want:?}");
        }
    }

    #[test]
    fn sums_agree_with_f32_kernels_and_do_not_depend_on_threads_or_company() {
        let case = Case::new(&[5, 40, 0, 33, 1], 2, vec![(0, 1), (1, 3), (4, 4)]);
        let plain = case.sums(&pool(1, None), 5, 2, true);
        for unit in Unit::all() {
            let sums = case.sums(&pool(1, Some(unit)), 5, 2, true);
            // A product's error is relative to the sum of its terms' sizes, which is a few times the sum itself in the mean.
            let bound = [3e-2, 2e-4, 3e-6][unit.planes() - 1];
            close(&sums.square_norms, &plain.square_norms, bound);
            close(&sums.pair_dots, &plain.pair_dots, bound);
            for d in 0..2 {
                let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
                close(&wide(&sums.row_sums[d]), &wide(&plain.row_sums[d]), bound);
                close(&wide(&sums.col_sums[d]), &wide(&plain.col_sums[d]), bound);
                let moved = sums.counts[d].abs_diff(plain.counts[d]);
                assert!(moved <= (bound * 2.0 * (OUT * INP) as f64) as u64, "{moved} of {} counted", plain.counts[d]);
            }
            assert_eq!(sums, case.sums(&pool(2, Some(unit)), 5, 2, true), "threads changed a bit");
            let fewer = Case { pairs: vec![(0, 1)], ..case.clone() };
            let fewer = fewer.sums(&pool(1, Some(unit)), 2, 2, true);
            assert_eq!(
                (fewer.pair_dots[0], &fewer.square_norms[..]),
                (sums.pair_dots[0], &sums.square_norms[..2]),
                "company changed a bit"
            );
        }
    }

    #[test]
    fn all_pairs_agree_with_f32_kernels() {
        let lengths: Vec<usize> = (0..17).map(|i| 3 + i % 4).collect();
        let pairs = (0..17).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let case = Case::new(&lengths, 1, pairs);
        let plain = case.sums(&pool(1, None), 17, 1, false);
        for unit in Unit::all() {
            let sums = case.sums(&pool(1, Some(unit)), 17, 1, false);
            let bound = [3e-2, 2e-4, 3e-6][unit.planes() - 1];
            close(&sums.square_norms, &plain.square_norms, bound);
            close(&sums.pair_dots, &plain.pair_dots, bound);
            assert_eq!(sums, case.sums(&pool(2, Some(unit)), 17, 1, false), "threads changed a bit");
        }
    }

    #[test]
    fn the_unit_has_the_bits_of_its_twin() {
        let case = Case::new(&[5, 40, 33], 1, vec![(0, 1)]);
        for planes in 1..=3 {
            let (Some(twin), Some(unit)) = (Unit::twin(planes), Unit::amx(planes)) else { return };
            assert_eq!(case.sums(&pool(1, Some(twin)), 3, 1, true), case.sums(&pool(1, Some(unit)), 3, 1, true));
        }
    }
}
