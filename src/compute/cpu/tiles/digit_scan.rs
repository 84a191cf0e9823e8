//! The fused scan's inner loops on digits: block by block, and through several samples while a block's weights, means and kept activations stay in the
//! first-level cache. The samples' panels take three bytes a number, so that those of a tile stay in the second-level one.
//!
//! A block's quarters come from the unit one by one. While it makes one, the one before is put together, a few rows after every few products.

use super::{
    BLOCK, SIDE, Session,
    digit_products::{Sums, exponents, exponents_across, panel, rows_beside},
};
use crate::compute::cpu::{
    panel::LINE,
    scan_pairs::{PIECE, fold},
    vector::{Avx512, Vector},
};
use std::arch::x86_64::{__m512, _MM_HINT_T1, _mm_prefetch};

/// Elements of a block.
const SIZE: usize = BLOCK * BLOCK;
/// Lines that are asked for with every few products.
const LINES: usize = 2;

/// One sample's turn on a tile.
pub(in crate::compute::cpu) struct Turn<'a> {
    /// Its panels of the tile's rows and columns.
    pub delta: &'a [f32],
    pub x: &'a [f32],
    /// At least one.
    pub tokens: usize,
    /// Where its domain's activations are summed, if they are, and whether they begin with it.
    pub mean: Option<usize>,
    pub begins: bool,
    /// Where its activations are kept, if they are.
    pub slot: Option<usize>,
    /// Samples whose turn was earlier and that it is multiplied with, in a slot each; not without one of its own.
    pub partners: &'a [(usize, usize)],
}

/// The tile: `[across][panel]`, a panel `[down][BLOCK][BLOCK]` and what other kernels' blocks take beyond.
pub(in crate::compute::cpu) struct Tile<'a> {
    pub down: usize,
    pub across: usize,
    /// Floats of a panel.
    pub panel: usize,
    pub weights: &'a [f32],
    /// `[places][tile]`
    pub means: &'a mut [f32],
    /// `[slots][tile]`
    pub kept: &'a mut [f32],
    /// What the thread will want next.
    pub next: &'a [&'a [f32]],
}

/// A turn's sums: of the squares of its activations, and of their products with those of each partner.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compute::cpu) struct TurnSums {
    pub squares: f64,
    pub dots: Vec<f64>,
}

/// The turns' activations of a tile, one after another within a block. `at_block` is called before each block. The bits of a product are those of
/// [`crate::compute::cpu::scan_pairs`] where a panel has nothing beyond its blocks.
pub(in crate::compute::cpu) fn scan_turns(
    session: &Session,
    tile: &mut Tile<'_>,
    turns: &[Turn<'_>],
    at_block: impl FnMut(usize),
) -> Vec<TurnSums> {
    let elements = tile.across * tile.panel;
    let (places, slots) = (tile.means.len() / elements.max(1), tile.kept.len() / elements.max(1));
    let fits = |turn: &Turn<'_>| {
        let len = session.unit().panel_len(turn.tokens);
        turn.tokens > 0
            && turn.delta.len() == 2 * tile.down * len
            && turn.x.len() == 2 * tile.across * len
            && turn.mean.is_none_or(|place| place < places)
            && turn.slot.is_none_or(|slot| slot < slots)
            && turn.partners.iter().all(|(slot, _)| *slot < slots && turn.slot.is_some_and(|own| own != *slot))
    };
    assert!(tile.panel >= tile.down * SIZE && tile.weights.len() == elements && turns.iter().all(fits), "operands of a tile do not fit");
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    // SAFETY: the lengths were checked above; a unit comes with AVX-512.
    unsafe {
        blocks(session, tile, turns, at_block)
    }
}

/// What is asked for next, a few lines at a time.
struct Ahead<'a> {
    now: &'a [f32],
    then: std::slice::Iter<'a, &'a [f32]>,
}

impl Ahead<'_> {
    #[inline(always)]
    fn ask(&mut self) {
        let Some((lines, rest)) = self.now.split_at_checked(LINES * LINE) else {
            self.now = self.then.next().copied().unwrap_or_default();
            return;
        };
        for i in 0..LINES {
            #[expect(unsafe_code, reason = "a hint to the processor")]
            // SAFETY: a prefetch of an address that is there.
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(&lines[i * LINE]).cast());
            }
        }
        self.now = rest;
    }
}

/// A turn's sums while they are summed, as [`fold`] takes them.
struct Lanes {
    squares: [Avx512; 2],
    dots: Vec<[Avx512; 2]>,
}

/// A quarter of a block.
#[derive(Clone, Copy)]
struct Quarter {
    block: usize,
    turn: usize,
    quarter: usize,
}

impl Quarter {
    /// Its halves of the rows and of the columns. Those of one half of the columns come first, so that each lane of a register is summed from above to below, as
    /// in whole rows.
    fn halves(self) -> (usize, usize) {
        (self.quarter % 2, self.quarter / 2)
    }
}

/// What is done with a quarter's rows.
struct Finish<'a> {
    products: &'a Sums,
    left: &'a [f32; SIDE],
    right: __m512,
    /// The quarter's first element in each of them; null where it is not wanted.
    weights: *const f32,
    mean: *mut f32,
    keep: *mut f32,
    partner: *const f32,
    square: Avx512,
    dot: Avx512,
    /// The next row.
    row: usize,
}

impl Finish<'_> {
    /// The next `rows`, or as many as are left.
    ///
    /// # Safety
    /// On a processor with AVX-512.
    #[inline]
    #[expect(unsafe_code, reason = "pointers that walk the tile")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn some(&mut self, rows: usize) {
        let rows = self.row..SIDE.min(self.row + rows);
        self.row = rows.end;
        let (mut square, mut dot) = (self.square, self.dot);
        for r in rows {
            let i = r * BLOCK;
            // SAFETY: the caller's promise; what is not wanted is not followed.
            unsafe {
                let a = Avx512(self.products.row(r, self.left[r], self.right)).abs_product(Avx512::load(self.weights.add(i)));
                if !self.mean.is_null() {
                    a.add(Avx512::load(self.mean.add(i))).store(self.mean.add(i));
                }
                if !self.keep.is_null() {
                    a.store(self.keep.add(i));
                }
                square = a.fma(a, square);
                if !self.partner.is_null() {
                    dot = a.fma(Avx512::load(self.partner.add(i)), dot);
                }
            }
        }
        (self.square, self.dot) = (square, dot);
    }
}

/// # Safety
/// On a processor with AVX-512; operands as [`scan_turns`] checks.
#[expect(unsafe_code, reason = "code compiled for more than the baseline, and pointers that walk the tile")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn blocks(session: &Session, tile: &mut Tile<'_>, turns: &[Turn<'_>], mut at_block: impl FnMut(usize)) -> Vec<TurnSums> {
    let (down, count) = (tile.down, tile.down * tile.across);
    let elements = tile.across * tile.panel;
    let offset = |block: usize| block / down * tile.panel + block % down * SIZE;
    let (weights, means, kept) = (tile.weights.as_ptr(), tile.means.as_mut_ptr(), tile.kept.as_mut_ptr());
    // SAFETY: the caller's promise.
    let zero = unsafe { Avx512::zero() };
    let mut lanes: Vec<Lanes> = turns.iter().map(|t| Lanes { squares: [zero; 2], dots: vec![[zero; 2]; t.partners.len()] }).collect();
    let mut sums: Vec<TurnSums> = turns.iter().map(|t| TurnSums { squares: 0.0, dots: vec![0.0; t.partners.len()] }).collect();
    let lens: Vec<usize> = turns.iter().map(|t| session.unit().panel_len(t.tokens)).collect();
    let operands = |at: Quarter| {
        let (below, beside) = at.halves();
        let (turn, len) = (&turns[at.turn], lens[at.turn]);
        (&turn.delta[panel(2 * (at.block % down) + below, len)], &turn.x[panel(2 * (at.block / down) + beside, len)])
    };
    let mut ahead = Ahead { now: &[], then: tile.next.iter() };
    let mut made = [const { Sums::new() }; 2];
    let mut before: Option<Quarter> = None;
    let quarters =
        (0..count).flat_map(|block| (0..turns.len()).flat_map(move |turn| (0..4).map(move |quarter| Quarter { block, turn, quarter })));
    // One more step than quarters: each finishes the one of the step before.
    for (i, now) in quarters.map(Some).chain([None]).enumerate() {
        let [first, second] = &mut made;
        let (product, products) = if i % 2 == 0 { (first, &*second) } else { (second, &*first) };
        let mut finish = before.map(|at| {
            let (below, beside) = at.halves();
            let (left, right) = operands(at);
            let turn = &turns[at.turn];
            let from = offset(at.block) + below * SIDE * BLOCK + beside * SIDE;
            let to = |base: *mut f32, place: Option<usize>| {
                // SAFETY: a place or slot is inside `means` or `kept`, a block inside a tile.
                place.map_or(std::ptr::null_mut(), |place| unsafe { base.add(place * elements + from) })
            };
            Finish {
                products,
                left: exponents(left),
                right: exponents_across(right),
                // SAFETY: as above.
                weights: unsafe { weights.add(from) },
                mean: to(means, turn.mean),
                keep: to(kept, turn.slot),
                partner: to(kept, turn.partners.first().map(|p| p.0)),
                square: lanes[at.turn].squares[beside],
                dot: lanes[at.turn].dots.first().map_or(zero, |dot| dot[beside]),
                row: 0,
            }
        });
        if let Some(at) = now {
            let turn = &turns[at.turn];
            if at.quarter == 0 {
                if at.turn == 0 {
                    at_block(at.block);
                }
                if let Some(place) = turn.mean.filter(|_| turn.begins) {
                    // SAFETY: as above; the quarter that is finished meanwhile is another turn's.
                    unsafe { std::slice::from_raw_parts_mut(means.add(place * elements + offset(at.block)), SIZE) }.fill(0.0);
                }
            }
            let share = rows_beside(turn.tokens);
            let (left, right) = operands(at);
            // SAFETY: the caller's promise.
            unsafe {
                session.multiply_beside_digits(left, right, turn.tokens, product, || {
                    ahead.ask();
                    if let Some(finish) = &mut finish {
                        finish.some(share);
                    }
                });
            }
        }
        let (Some(at), Some(mut finish)) = (before, finish) else {
            before = now;
            continue;
        };
        // SAFETY: the caller's promise.
        unsafe { finish.some(SIDE) };
        let (turn, mine, (_, beside)) = (&turns[at.turn], &mut lanes[at.turn], at.halves());
        mine.squares[beside] = finish.square;
        if let Some(dot) = mine.dots.first_mut() {
            dot[beside] = finish.dot;
        }
        if at.quarter == 3 {
            // The first partner was met on the way.
            for (dot, (slot, _)) in mine.dots.iter_mut().zip(turn.partners).skip(1) {
                let own = turn.slot.unwrap_or_default();
                // SAFETY: as above.
                unsafe {
                    let of = |slot: usize| std::slice::from_raw_parts(kept.add(slot * elements + offset(at.block)), SIZE);
                    add_product(of(own), of(*slot), dot);
                }
            }
            // Single precision sums no more than the piece that `scan_pairs` goes through at a time.
            if at.block + 1 == count || (at.block + 1) % (PIECE / SIZE) == 0 {
                let sums = &mut sums[at.turn];
                // SAFETY: the caller's promise.
                unsafe {
                    sums.squares += f64::from(fold(std::mem::replace(&mut mine.squares, [zero; 2])));
                    for (sum, dot) in sums.dots.iter_mut().zip(&mut mine.dots) {
                        *sum += f64::from(fold(std::mem::replace(dot, [zero; 2])));
                    }
                }
            }
        }
        before = now;
    }
    sums
}

/// Adds the product of two blocks.
///
/// # Safety
/// On a processor with AVX-512.
#[expect(unsafe_code, reason = "vector loads at computed places")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn add_product(a: &[f32], b: &[f32], dot: &mut [Avx512; 2]) {
    let mut sum = *dot;
    for (a, b) in a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)) {
        // SAFETY: the caller's promise; two registers of numbers each.
        unsafe {
            let load = |of: &[f32], half: usize| Avx512::load(of[half * Avx512::WIDTH..].as_ptr());
            sum = [load(a, 0).fma(load(b, 0), sum[0]), load(a, 1).fma(load(b, 1), sum[1])];
        }
    }
    *dot = sum;
}
