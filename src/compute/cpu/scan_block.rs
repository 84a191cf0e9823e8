//! The fused scan's inner loops: `|W o (delta^T x)|` of one sample over one tile, block by block, from registers straight into the mean, the
//! kept activations, the square norm and the product with another sample's. The gradient is never stored.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512, Avx512Pairs};
use super::{
    isa::{Isa, Level},
    pairs::Words,
    panel::LINE,
    pool::Pool,
    scan_pairs::fold,
    vector::{Portable, Vector},
};

/// Rows and columns of a block: what a level's registers hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub rows: usize,
    pub cols: usize,
    /// Some samples' products may come from the tile unit, by blocks of [`UNIT`] x [`UNIT`].
    pub with_unit: bool,
}

/// Rows and columns of a tile unit's block: as wide as one of AVX-512's registers, so that both find their way through one tile.
pub(super) const UNIT: usize = 32;
#[cfg(target_arch = "x86_64")]
const _: () = assert!(UNIT == super::tiles::BLOCK);

impl Geometry {
    const fn new<V: Vector>(rows: usize) -> Self {
        Self { rows, cols: 2 * V::WIDTH, with_unit: false }
    }
    /// Of the pool's kernels.
    pub fn of(pool: &Pool) -> Self {
        let level = Self::of_level(pool.isa);
        #[cfg(target_arch = "x86_64")]
        return Self { with_unit: pool.scan_unit.is_some() && level.cols == UNIT, ..level };
        #[cfg(not(target_arch = "x86_64"))]
        level
    }
    /// Two registers a row, and as many rows as leave registers for the operands.
    pub fn of_level(isa: Isa) -> Self {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Self::new::<Avx512>(12),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Self::new::<Avx2>(6),
            _ => Self::new::<Portable>(6),
        }
    }
    /// Rows after which every kernel begins a block: the least common multiple of theirs.
    pub fn cut(self) -> usize {
        let mut rows = self.rows;
        while self.with_unit && !rows.is_multiple_of(UNIT) {
            rows += self.rows;
        }
        rows
    }
    /// Rows that a tile of `rows` is stored as: what each kernel's blocks fill.
    pub fn stored(self, rows: usize) -> usize {
        let level = rows.next_multiple_of(self.rows);
        if self.with_unit { level.max(rows.next_multiple_of(UNIT)) } else { level }
    }
}

/// Packed operands of one sample and the tile's weights (for the tile unit see [`super::tiles::scan`]). A tile is `across` panels of columns, each of its rows one after another: `down` blocks, and
/// what another kernel's blocks take beyond.
pub(super) struct Operands<'a> {
    /// `[down][words][rows]`, or gradients where they lie: a panel and a token further are so many floats further.
    pub delta: &'a [f32],
    pub delta_panel: usize,
    pub delta_token: usize,
    /// `[across][words][cols]`
    pub x: &'a [f32],
    /// `[across][panel]`, a panel `[rows][cols]`
    pub weights: &'a [f32],
    /// Floats of a panel.
    pub panel: usize,
    /// Active tokens, in words of the operands (for the tile unit: in tokens).
    pub tokens: usize,
    pub down: usize,
    pub across: usize,
    /// For the tile unit: what the thread will want next of `x` and `delta`.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no other processor has a tile unit"))]
    pub next: [&'a [f32]; 2],
}

/// Sums over one sample's activations in a tile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BlockSums {
    pub squares: f64,
    /// Of products with the partner's; 0 without one.
    pub dot: f64,
}

/// Adds the sample's activations to `mean` and writes them to `kept`, where wanted, and multiplies them with those of a `partner`, another sample that is kept
/// (all laid out as the weights). The bits of the product are those of [`super::scan_pairs`].
pub(super) fn scan_blocks(
    isa: Isa,
    words: Words,
    o: &Operands<'_>,
    mean: Option<&mut [f32]>,
    kept: Option<&mut [f32]>,
    partner: Option<&[f32]>,
) -> BlockSums {
    let g = Geometry::of_level(isa);
    let elements = o.across * o.panel;
    assert!(
        o.panel >= o.down * g.rows * g.cols
            && (elements == 0 || o.tokens == 0 || o.delta.len() >= (o.down - 1) * o.delta_panel + (o.tokens - 1) * o.delta_token + g.rows)
            && o.x.len() == o.across * o.tokens * g.cols
            && o.weights.len() == elements
            && mean.as_ref().is_none_or(|m| m.len() == elements)
            && kept.as_ref().is_none_or(|k| k.len() == elements)
            && partner.is_none_or(|p| p.len() == elements && kept.is_some()),
        "operands of a tile do not fit"
    );
    let mean = mean.map(<[f32]>::as_mut_ptr);
    let kept = kept.map(<[f32]>::as_mut_ptr);
    let partner = partner.map(<[f32]>::as_ptr);
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline, on raw pointers")]
    // SAFETY: the lengths were checked above; an `Isa` of a level exists only where the processor has it.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if words == Words::Pairs => avx512_pairs(o, mean, kept, partner),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(o, mean, kept, partner),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(o, mean, kept, partner),
            _ => six_rows::choose::<Portable>(o, mean, kept, partner),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `blocks`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn avx512(o: &Operands<'_>, mean: Option<*mut f32>, kept: Option<*mut f32>, partner: Option<*const f32>) -> BlockSums {
    // SAFETY: the caller's promise.
    unsafe { twelve_rows::choose::<Avx512>(o, mean, kept, partner) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `blocks`")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn avx512_pairs(o: &Operands<'_>, mean: Option<*mut f32>, kept: Option<*mut f32>, partner: Option<*const f32>) -> BlockSums {
    // SAFETY: the caller's promise; pairs are made only where the processor multiplies them.
    unsafe { twelve_rows::choose::<Avx512Pairs>(o, mean, kept, partner) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "see `blocks`")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(o: &Operands<'_>, mean: Option<*mut f32>, kept: Option<*mut f32>, partner: Option<*const f32>) -> BlockSums {
    // SAFETY: the caller's promise.
    unsafe { six_rows::choose::<Avx2>(o, mean, kept, partner) }
}

/// Tokens whose gradients are asked for ahead of their use.
const AHEAD: usize = 24;
/// Cache lines from a block's beginning on that are asked for while its product is made, one of each operand a token: the block's own and some of the next.
const fn lines(elements: usize) -> usize {
    elements / LINE * 4 / 3
}

/// The loops for blocks of so many rows. Every index of the accumulators is a literal: an index that a loop counts would keep them in memory, to
/// be written back after every product.
macro_rules! rows {
    ($name:ident, $rows:literal: $($r:literal)*) => {
        mod $name {
            use super::{AHEAD, BlockSums, LINE, Operands, Vector, finish, fold, lines};

            /// # Safety
            /// As [`blocks`]; a pointer is good where it is given.
            #[inline(always)]
            #[expect(unsafe_code, reason = "see `blocks`")]
            pub(super) unsafe fn choose<V: Vector>(
                o: &Operands<'_>,
                mean: Option<*mut f32>,
                kept: Option<*mut f32>,
                partner: Option<*const f32>,
            ) -> BlockSums {
                let (none, nobody) = (std::ptr::null_mut(), std::ptr::null());
                // SAFETY: the caller's promise; a null pointer is never followed.
                unsafe {
                    match (mean, kept, partner) {
                        (Some(mean), Some(kept), Some(partner)) => blocks::<V, true, true, true>(o, mean, kept, partner),
                        (None, Some(kept), Some(partner)) => blocks::<V, false, true, true>(o, none, kept, partner),
                        (Some(mean), Some(kept), None) => blocks::<V, true, true, false>(o, mean, kept, nobody),
                        (Some(mean), None, _) => blocks::<V, true, false, false>(o, mean, none, nobody),
                        (None, Some(kept), None) => blocks::<V, false, true, false>(o, none, kept, nobody),
                        (None, None, _) => blocks::<V, false, false, false>(o, none, none, nobody),
                    }
                }
            }

            /// Adds a token's product.
            ///
            /// # Safety
            /// Inside code compiled for `V`, with as many gradients and inputs as a block has rows and columns.
            #[inline(always)]
            #[expect(unsafe_code, reason = "see `blocks`")]
            unsafe fn token<V: Vector>(delta: *const f32, x: *const f32, acc: &mut [[V; 2]; $rows]) {
                // SAFETY: the caller's promise.
                unsafe {
                    let (x0, x1) = (V::load(x), V::load(x.add(V::WIDTH)));
                    $(
                        let d = V::splat(*delta.add($r));
                        acc[$r][0] = d.product(x0, acc[$r][0]);
                        acc[$r][1] = d.product(x1, acc[$r][1]);
                    )*
                }
            }

            /// # Safety
            /// Inside code compiled for `V`; operands as long as `scan_blocks` checks.
            #[inline(always)]
            #[expect(unsafe_code, reason = "registers are placed by hand and pointers walk the packed operands")]
            unsafe fn blocks<V: Vector, const MEAN: bool, const KEEP: bool, const PAIR: bool>(
                o: &Operands<'_>,
                mean: *mut f32,
                kept: *mut f32,
                partner: *const f32,
            ) -> BlockSums {
                let cols = 2 * V::WIDTH;
                let ahead = AHEAD * o.delta_token;
                // SAFETY: every pointer stays inside the lengths that `scan_blocks` checked.
                unsafe {
                    let (mut squares, mut dots) = ([V::zero(); 2], [V::zero(); 2]);
                    for c in 0..o.across {
                        let mut at = c * o.panel;
                        let panel = o.x.as_ptr().add(c * o.tokens * cols);
                        for d in 0..o.down {
                            let mut delta = o.delta.as_ptr().wrapping_add(d * o.delta_panel);
                            let mut x = panel;
                            let mut acc = [[V::zero(); 2]; $rows];
                            // The processor does not see by itself that the next block's gradients follow, nor what the block ends with.
                            let asking = lines($rows * cols).min(o.tokens);
                            for k in 0..asking {
                                let soon = at + LINE * k;
                                V::prefetch(o.weights.as_ptr().wrapping_add(soon));
                                if MEAN {
                                    V::prefetch(mean.wrapping_add(soon));
                                }
                                if KEEP {
                                    V::prefetch(kept.wrapping_add(soon));
                                }
                                if PAIR {
                                    V::prefetch(partner.wrapping_add(soon));
                                }
                                V::prefetch(delta.wrapping_add(ahead));
                                token(delta, x, &mut acc);
                                delta = delta.wrapping_add(o.delta_token);
                                x = x.add(cols);
                            }
                            for _ in asking..o.tokens {
                                V::prefetch(delta.wrapping_add(ahead));
                                token(delta, x, &mut acc);
                                delta = delta.wrapping_add(o.delta_token);
                                x = x.add(cols);
                            }
                            $(
                                let i = [at + $r * cols, at + $r * cols + V::WIDTH];
                                let a0 = finish::<V, MEAN, KEEP>(acc[$r][0], o.weights.as_ptr(), mean, kept, i[0]);
                                let a1 = finish::<V, MEAN, KEEP>(acc[$r][1], o.weights.as_ptr(), mean, kept, i[1]);
                                squares = [a0.fma(a0, squares[0]), a1.fma(a1, squares[1])];
                                if PAIR {
                                    let others = i.map(|i| V::load(partner.add(i)));
                                    dots = [a0.fma(others[0], dots[0]), a1.fma(others[1], dots[1])];
                                }
                            )*
                            at += $rows * cols;
                        }
                    }
                    let mut lanes = [0.0f32; 16];
                    squares[0].add(squares[1]).store(lanes.as_mut_ptr());
                    BlockSums { squares: lanes.iter().map(|v| f64::from(*v)).sum(), dot: f64::from(fold(dots)) }
                }
            }
        }
    };
}
rows!(six_rows, 6: 0 1 2 3 4 5);
#[cfg(target_arch = "x86_64")]
rows!(twelve_rows, 12: 0 1 2 3 4 5 6 7 8 9 10 11);

/// One register of gradients to activations at element `i`, which are returned.
///
/// # Safety
/// As `blocks`; element `i` and the next `V::WIDTH` inside the tile.
#[inline(always)]
#[expect(unsafe_code, reason = "see `blocks`")]
pub(super) unsafe fn finish<V: Vector, const MEAN: bool, const KEEP: bool>(
    g: V,
    weights: *const f32,
    mean: *mut f32,
    kept: *mut f32,
    i: usize,
) -> V {
    // SAFETY: the caller's promise; a pointer that is not wanted is never followed.
    unsafe {
        let a = g.abs_product(V::load(weights.add(i)));
        if MEAN {
            a.add(V::load(mean.add(i))).store(mean.add(i));
        }
        if KEEP {
            a.store(kept.add(i));
        }
        a
    }
}
