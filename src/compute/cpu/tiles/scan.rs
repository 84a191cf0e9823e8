//! The fused scan's inner loops on the tile unit: the product of a block comes from the unit, and goes from the first-level cache into the mean, the kept
//! activations, the square norm and the product with another sample's, a few rows after every few products of the next block, while the unit makes it.
//!
//! Panels are pairs of those of [`super::planes`], 32 rows or columns wide; the depth is the sample's active tokens.

use super::{BLOCK, Block, Panels, Parts, Session, Side, Unit, plane_products::groups};
use crate::compute::{
    Mat,
    cpu::{
        panel::LINE,
        scan_block::{BlockSums, Operands, finish},
        scan_pairs::{self, fold},
        vector::{Avx512, Vector},
    },
};

/// Floats of a panel of a sample with so many active tokens; none without any.
pub(in crate::compute::cpu) fn panel_len(unit: Unit, tokens: usize) -> usize {
    if tokens == 0 { 0 } else { 2 * unit.panel_len(tokens) }
}

/// The active rows of `source` into panels; `left` for the operand of the matrix' rows.
pub(in crate::compute::cpu) fn pack(unit: Unit, left: bool, source: Mat<'_>, active: &[usize], out: &mut [f32]) {
    if !active.is_empty() {
        let side = if left { Side::Left } else { Side::Right };
        unit.pack_across(side, source.cols, active.len(), |k| source.row(active[k]), out);
    }
}

/// As [`scan_block::scan_blocks`](crate::compute::cpu), on operands that [`pack`] made.
pub(in crate::compute::cpu) fn scan_blocks(
    session: &Session,
    o: &Operands<'_>,
    mean: Option<&mut [f32]>,
    kept: Option<&mut [f32]>,
    partner: Option<&[f32]>,
) -> BlockSums {
    let elements = o.across * o.panel;
    let len = panel_len(session.unit(), o.tokens);
    assert!(
        o.panel >= o.down * SIZE
            && o.delta.len() == o.down * len
            && o.x.len() == o.across * len
            && o.weights.len() == elements
            && mean.as_ref().is_none_or(|m| m.len() == elements)
            && kept.as_ref().is_none_or(|k| k.len() == elements)
            && partner.is_none_or(|p| p.len() == elements && kept.is_some()),
        "operands of a tile do not fit"
    );
    if o.tokens == 0 {
        if let Some(kept) = kept {
            kept.fill(0.0);
        }
        return BlockSums::default();
    }
    let mean = mean.map(<[f32]>::as_mut_ptr);
    let kept = kept.map(<[f32]>::as_mut_ptr);
    let partner = partner.map(<[f32]>::as_ptr);
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on raw pointers")]
    // SAFETY: the lengths were checked above; a unit comes with AVX-512.
    unsafe {
        match session.unit().parts() {
            Parts::Planes(1) => choose::<1>(session, o, mean, kept, partner),
            Parts::Planes(2) => choose::<2>(session, o, mean, kept, partner),
            Parts::Planes(_) => choose::<3>(session, o, mean, kept, partner),
            Parts::Digits => unreachable!("digits go through a tile by `digit_scan`"),
        }
    }
}

/// Elements of a block.
const SIZE: usize = BLOCK * BLOCK;
/// Lines of the next sample's operands that are asked for with every group of products: with three planes, as many as a tile of 128 x 128 needs.
const LINES: usize = 8;

/// # Safety
/// As [`blocks`]; a pointer is good where it is given.
#[expect(unsafe_code, reason = "see `blocks`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn choose<const P: usize>(
    session: &Session,
    o: &Operands<'_>,
    mean: Option<*mut f32>,
    kept: Option<*mut f32>,
    partner: Option<*const f32>,
) -> BlockSums {
    let (none, nobody) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: the caller's promise; a null pointer is never followed.
    unsafe {
        match (mean, kept, partner) {
            (Some(mean), Some(kept), Some(partner)) => blocks::<P, true, true, true>(session, o, mean, kept, partner),
            (None, Some(kept), Some(partner)) => blocks::<P, false, true, true>(session, o, none, kept, partner),
            (Some(mean), Some(kept), None) => blocks::<P, true, true, false>(session, o, mean, kept, nobody),
            (Some(mean), None, _) => blocks::<P, true, false, false>(session, o, mean, none, nobody),
            (None, Some(kept), None) => blocks::<P, false, true, false>(session, o, none, kept, nobody),
            (None, None, _) => blocks::<P, false, false, false>(session, o, none, none, nobody),
        }
    }
}

/// What is asked for next, a few lines at a time.
struct Ahead {
    now: std::ops::Range<*const f32>,
    then: Option<std::ops::Range<*const f32>>,
}

impl Ahead {
    fn new(next: [&[f32]; 2]) -> Self {
        let [now, then] = next.map(<[f32]>::as_ptr_range);
        Self { now, then: Some(then) }
    }
    #[inline(always)]
    fn ask(&mut self) {
        if self.now.start < self.now.end {
            for i in 0..LINES {
                call_for(self.now.start.wrapping_add(i * LINE));
            }
            self.now.start = self.now.start.wrapping_add(LINES * LINE);
        } else if let Some(then) = self.then.take() {
            self.now = then;
        }
    }
}

/// Asks for a line to be brought to the second-level cache.
#[inline(always)]
fn call_for(line: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    #[expect(unsafe_code, reason = "a hint to the processor")]
    // SAFETY: a prefetch may be of any address.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
    }
}

/// # Safety
/// On a processor with AVX-512; operands as `scan_blocks` checks, pointers to as much where something is wanted.
#[inline]
#[expect(unsafe_code, reason = "code compiled for more than the baseline, and pointers that walk the tile")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn blocks<const P: usize, const MEAN: bool, const KEEP: bool, const PAIR: bool>(
    session: &Session,
    o: &Operands<'_>,
    mean: *mut f32,
    kept: *mut f32,
    partner: *const f32,
) -> BlockSums {
    // Rows of the block before that are finished with every group: a power of two, as the block's, and so many that none is left after 128 tokens.
    let share = BLOCK.div_ceil(4 * groups(P)).next_power_of_two();
    let half = session.unit().panel_len(o.tokens);
    let two = |i: usize| [2 * i, 2 * i + 1].map(|p| p * half..(p + 1) * half);
    let mut ahead = Ahead::new(o.next);
    let mut made = [const { Block([0.0; SIZE]) }; 2];
    let mut sums = BlockSums::default();
    // SAFETY: the caller's promises.
    unsafe {
        let (mut squares, mut dots) = ([Avx512::zero(); 2], [Avx512::zero(); 2]);
        let count = o.down * o.across;
        // One more turn than blocks: each finishes the block of the turn before.
        for i in 0..=count {
            let [first, second] = &mut made;
            let (product, gradients) = if i % 2 == 0 { (first, second.0.as_ptr()) } else { (second, first.0.as_ptr()) };
            let before = i.saturating_sub(1);
            let at = before / o.down * o.panel + before % o.down * SIZE;
            let mut e = if i == 0 { SIZE } else { 0 };
            let mut row = |e: usize| {
                let g = [gradients.add(e), gradients.add(e + Avx512::WIDTH)].map(|p| Avx512::load(p));
                let e = at + e;
                let a0 = finish::<Avx512, MEAN, KEEP>(g[0], o.weights.as_ptr(), mean, kept, e);
                let a1 = finish::<Avx512, MEAN, KEEP>(g[1], o.weights.as_ptr(), mean, kept, e + Avx512::WIDTH);
                squares = [a0.fma(a0, squares[0]), a1.fma(a1, squares[1])];
                if PAIR {
                    let others = [e, e + Avx512::WIDTH].map(|e| Avx512::load(partner.add(e)));
                    dots = [a0.fma(others[0], dots[0]), a1.fma(others[1], dots[1])];
                }
            };
            if i < count {
                let (left, right) = (two(i % o.down).map(|r| &o.delta[r]), two(i / o.down).map(|r| &o.x[r]));
                let panels = Panels { left, right, depth: o.tokens, mirrored: false, ahead: left[0].as_ptr() };
                session.multiply_beside::<P>(&panels, product, || {
                    ahead.ask();
                    if e < SIZE {
                        (0..share).for_each(|r| row(e + r * BLOCK));
                        e += share * BLOCK;
                    }
                });
            }
            while e < SIZE {
                row(e);
                e += BLOCK;
            }
            // Single precision sums no more than the piece that `scan_pairs` goes through at a time.
            if i == count || i % (scan_pairs::PIECE / SIZE) == 0 {
                sums.squares += f64::from(fold(squares));
                sums.dot += f64::from(fold(dots));
                (squares, dots) = ([Avx512::zero(); 2], [Avx512::zero(); 2]);
            }
        }
    }
    sums
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

    #[derive(Clone)]
    struct Case {
        out: usize,
        inp: usize,
        w: Vec<f32>,
        x: Vec<f32>,
        delta: Vec<f32>,
        samples: Vec<SampleSpan>,
        pairs: Vec<(usize, usize)>,
    }

    impl Case {
        fn new(lengths: &[usize], domains: usize, pairs: Vec<(usize, usize)>) -> Self {
            Self::of_size(50, 70, lengths, domains, pairs)
        }
        fn of_size(out: usize, inp: usize, lengths: &[usize], domains: usize, pairs: Vec<(usize, usize)>) -> Self {
            let mut rng = Rng::new(9);
            let n: usize = lengths.iter().sum();
            let mut numbers = |n: usize, scale: f64| (0..n).map(|_| (rng.normal() * scale) as f32).collect::<Vec<f32>>();
            let mut start = 0;
            let sample = |(i, len): (usize, &usize)| {
                start += len;
                SampleSpan { start: start - len, end: start, domain: i % domains }
            };
            let samples = lengths.iter().enumerate().map(sample).collect();
            Self { out, inp, w: numbers(out * inp, 0.05), x: numbers(n * inp, 1.0), delta: numbers(n * out, 1e-3), samples, pairs }
        }
        /// Of the first `count` samples.
        fn sums(&self, pool: &Pool, count: usize, domains: usize, want_means: bool) -> ScanSums {
            let n = self.x.len() / self.inp;
            let job = ScanJob {
                w: Mat::new(&self.w, self.out, self.inp),
                x: Mat::new(&self.x, n, self.inp),
                delta: Mat::new(&self.delta, n, self.out),
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

    /// Of the relative error of a sum.
    fn bound(unit: Unit) -> f64 {
        match unit.parts() {
            Parts::Planes(planes) => [3e-2, 2e-4, 3e-6][planes - 1],
            Parts::Digits => 3e-6,
        }
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
        // Long samples go to the unit, the others to vectors, through the same tile.
        let case = Case::new(&[64, 90, 0, 5, 130, 63], 2, vec![(0, 1), (1, 4), (3, 4), (3, 5), (5, 5)]);
        let plain = case.sums(&pool(1, None), 6, 2, true);
        for unit in Unit::all() {
            let sums = case.sums(&pool(1, Some(unit)), 6, 2, true);
            assert_eq!(sums.square_norms[5], plain.square_norms[5], "a short sample's bits");
            // A product's error is relative to the sum of its terms' sizes, which is a few times the sum itself in the mean.
            let bound = bound(unit);
            close(&sums.square_norms, &plain.square_norms, bound);
            close(&sums.pair_dots, &plain.pair_dots, bound);
            for d in 0..2 {
                let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
                close(&wide(&sums.row_sums[d]), &wide(&plain.row_sums[d]), bound);
                close(&wide(&sums.col_sums[d]), &wide(&plain.col_sums[d]), bound);
                let moved = sums.counts[d].abs_diff(plain.counts[d]);
                assert!(moved <= (bound * 2.0 * (case.out * case.inp) as f64) as u64, "{moved} of {} counted", plain.counts[d]);
            }
            assert_eq!(sums, case.sums(&pool(2, Some(unit)), 6, 2, true), "threads changed a bit");
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
        let lengths: Vec<usize> = (0..17).map(|i| 62 + i % 4).collect();
        let pairs = (0..17).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let case = Case::new(&lengths, 1, pairs);
        let plain = case.sums(&pool(1, None), 17, 1, false);
        for unit in Unit::all() {
            let sums = case.sums(&pool(1, Some(unit)), 17, 1, false);
            let bound = bound(unit);
            close(&sums.square_norms, &plain.square_norms, bound);
            close(&sums.pair_dots, &plain.pair_dots, bound);
            assert_eq!(sums, case.sums(&pool(2, Some(unit)), 17, 1, false), "threads changed a bit");
        }
    }

    /// Where tiles are large, and where the last ends between the blocks of two kernels, too.
    #[test]
    fn a_product_has_the_same_bits_on_the_way_and_afterwards() {
        let case = Case::of_size(200, 100, &[70, 64, 20], 1, vec![(0, 1), (0, 2), (1, 2)]);
        for unit in Unit::all().into_iter().filter(|unit| matches!(unit.parts(), Parts::Planes(1) | Parts::Digits)) {
            let all = case.sums(&pool(2, Some(unit)), 3, 1, true);
            for (i, pair) in case.pairs.iter().enumerate() {
                let alone = Case { pairs: vec![*pair], ..case.clone() };
                let alone = alone.sums(&pool(1, Some(unit)), 3, 1, true);
                let (got, want) = (all.pair_dots[i], alone.pair_dots[0]);
                assert!((got - want).abs() <= 1e-12 * want, "pair {pair:?}: {got} for {want}");
            }
        }
    }

    #[test]
    fn the_unit_has_the_bits_of_its_twin() {
        let mixed = |rows, cols| Case::of_size(rows, cols, &[64, 100, 128, 9], 1, vec![(0, 1), (0, 2), (1, 2), (2, 3)]);
        let long = Case::of_size(40, 70, &[270, 300], 1, vec![(0, 1)]);
        for case in [mixed(50, 70), mixed(300, 200), long] {
            for parts in Parts::ALL {
                let (Some(twin), Some(unit)) = (Unit::twin(parts), Unit::here(parts)) else { return };
                for want_means in [true, false] {
                    let [twin, unit] = [twin, unit].map(|u| case.sums(&pool(1, Some(u)), case.samples.len(), 1, want_means));
                    assert_eq!(twin, unit, "{parts:?}, {} x {}, means {want_means}", case.out, case.inp);
                }
            }
        }
    }
}
