//! The fused scan's inner loops on digits: block by block, and through several samples while a block's weights, means and kept activations stay in the
//! first-level cache. The samples' panels take three bytes a number, so that those of a tile stay in the second-level one.
//!
//! A block's quarters come from the unit one by one. While it makes one, the one before is put together, a few rows after every few products, once its sums have
//! left the unit.

use super::{
    BLOCK, Block, SIDE, Session,
    digit_products::{LEFT, OPERATIONS, Sums, exponents, exponents_across, panel},
    digits::STEP,
};
use crate::compute::cpu::{
    panel::LINE,
    scan_pairs::{PIECE, fold},
    vector::{Avx512, Vector},
};
use std::arch::x86_64::{__m512, _MM_HINT_T1, _mm_prefetch};

/// Elements of a block.
const SIZE: usize = BLOCK * BLOCK;
/// Lines that are asked for with every other of the unit's operations. (Asking for the next panels from the second-level cache as well costs more than it brings.)
const LINES: usize = 1;
/// The first operation after which rows of the quarter before are put together: its sums have left and come back from memory without waiting, and where there are
/// two steps there are as many operations left as rows.
const FIRST: usize = 2 * OPERATIONS - SIDE - 1;
const _: () = assert!(FIRST >= LEFT && FIRST < OPERATIONS);

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
        let zero = [Avx512::zero(); 2];
        let dots = |turn: &Turn<'_>| turn.partners.len();
        let mut blocks = Blocks {
            down: tile.down,
            across: tile.across,
            panel: tile.panel,
            weights: tile.weights.as_ptr(),
            means: tile.means.as_mut_ptr(),
            kept: tile.kept.as_mut_ptr(),
            turns,
            lanes: turns.iter().map(|t| Lanes { squares: zero, dots: vec![zero; dots(t).max(1)] }).collect(),
            sums: turns.iter().map(|t| TurnSums { squares: 0.0, dots: vec![0.0; dots(t)] }).collect(),
        };
        // So many rows of a quarter after each of the unit's operations that all are done when these are, or nearly.
        if turns.iter().any(|turn| turn.tokens <= STEP) {
            blocks.run::<4>(session, tile.next, at_block);
        } else {
            blocks.run::<1>(session, tile.next, at_block);
        }
        blocks.sums
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
    /// For each partner; one that nobody reads where there is none.
    dots: Vec<[Avx512; 2]>,
}

/// What is done with a quarter's rows: its first element in each tile, or in one that nobody reads, so that no row asks what is wanted.
struct Finish {
    /// The exponents of its rows and columns.
    left: *const f32,
    right: __m512,
    weights: *const f32,
    mean: *mut f32,
    keep: *mut f32,
    partner: *const f32,
    square: Avx512,
    dot: Avx512,
    /// The next row.
    row: usize,
}

impl Finish {
    /// The next `ROWS`, where so many are left.
    ///
    /// # Safety
    /// On a processor with AVX-512, with pointers to sixteen rows of a block.
    #[inline]
    #[expect(unsafe_code, reason = "pointers that walk the tile")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn some<const ROWS: usize>(&mut self, products: &Sums) {
        const { assert!(SIDE.is_multiple_of(ROWS)) };
        for r in self.row..self.row + ROWS {
            let i = r * BLOCK;
            // SAFETY: the caller's promise.
            unsafe {
                let product = Avx512(products.row(r, *self.left.add(r), self.right));
                let a = product.abs_product(Avx512::load(self.weights.add(i)));
                let (mean, partner) = (Avx512::load(self.mean.add(i)), Avx512::load(self.partner.add(i)));
                self.square = a.fma(a, self.square);
                self.dot = a.fma(partner, self.dot);
                a.add(mean).store(self.mean.add(i));
                a.store(self.keep.add(i));
            }
        }
        self.row += ROWS;
    }
}

/// Where a turn's numbers go in a tile: from the tile's first element, or always the same that nobody reads.
#[derive(Clone, Copy)]
struct Destination {
    base: *mut f32,
    moves: bool,
}

impl Destination {
    /// Of the element so far into the tile and its block.
    fn at(self, block: usize, within: usize) -> *mut f32 {
        self.base.wrapping_add(if self.moves { block + within } else { within })
    }
}

/// What stays the same for all blocks of a turn.
#[derive(Clone, Copy)]
struct Places {
    /// Floats of a panel.
    panel: usize,
    mean: Destination,
    keep: Destination,
    partner: Destination,
}

/// A tile and the turns that go through its blocks together.
struct Blocks<'a, 'b> {
    down: usize,
    across: usize,
    panel: usize,
    weights: *const f32,
    means: *mut f32,
    kept: *mut f32,
    turns: &'a [Turn<'b>],
    lanes: Vec<Lanes>,
    sums: Vec<TurnSums>,
}

impl Blocks<'_, '_> {
    /// Of a tile.
    fn elements(&self) -> usize {
        self.across * self.panel
    }
    /// Elements before a block.
    fn offset(&self, block: usize) -> usize {
        block / self.down * self.panel + block % self.down * SIZE
    }
    fn places(&self, session: &Session, spare: &mut Block) -> Vec<Places> {
        let elements = self.elements();
        let spare = Destination { base: spare.0.as_mut_ptr(), moves: false };
        let to = |base: *mut f32, place: Option<usize>| {
            place.map_or(spare, |place| Destination { base: base.wrapping_add(place * elements), moves: true })
        };
        let of = |turn: &Turn<'_>| Places {
            panel: session.unit().panel_len(turn.tokens),
            mean: to(self.means, turn.mean),
            keep: to(self.kept, turn.slot),
            partner: to(self.kept, turn.partners.first().map(|p| p.0)),
        };
        self.turns.iter().map(of).collect()
    }

    /// Keeps a quarter's sums, and ends its turn's block with the last.
    ///
    /// # Safety
    /// On a processor with AVX-512; operands as [`scan_turns`] checks.
    #[inline]
    #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn done(&mut self, at: Quarter, square: Avx512, dot: Avx512) {
        let (mine, (_, beside)) = (&mut self.lanes[at.turn], at.halves());
        mine.squares[beside] = square;
        mine.dots[0][beside] = dot;
        if at.quarter == 3 {
            // SAFETY: the caller's promise.
            unsafe { self.done_block(at) };
        }
    }

    /// What is left to do with a turn's block when all of its rows are done.
    ///
    /// # Safety
    /// On a processor with AVX-512; operands as [`scan_turns`] checks.
    #[expect(unsafe_code, reason = "pointers that walk the tile")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    #[inline(never)]
    unsafe fn done_block(&mut self, at: Quarter) {
        let (elements, from, count) = (self.elements(), self.offset(at.block), self.down * self.across);
        let (turn, mine, kept) = (&self.turns[at.turn], &mut self.lanes[at.turn], self.kept.cast_const());
        // The first partner was met on the way.
        for (dot, (slot, _)) in mine.dots.iter_mut().zip(turn.partners).skip(1) {
            let own = turn.slot.unwrap_or_default();
            // SAFETY: a slot is inside `kept`, a block inside a tile.
            unsafe {
                let of = |slot: usize| std::slice::from_raw_parts(kept.add(slot * elements + from), SIZE);
                add_product(of(own), of(*slot), dot);
            }
        }
        // Single precision sums no more than the piece that `scan_pairs` goes through at a time.
        if at.block + 1 == count || (at.block + 1).is_multiple_of(PIECE / SIZE) {
            let sums = &mut self.sums[at.turn];
            // SAFETY: the caller's promise.
            unsafe {
                let zero = [Avx512::zero(); 2];
                sums.squares += f64::from(fold(std::mem::replace(&mut mine.squares, zero)));
                for (sum, dot) in sums.dots.iter_mut().zip(&mut mine.dots) {
                    *sum += f64::from(fold(std::mem::replace(dot, zero)));
                }
            }
        }
    }

    /// All blocks, and in each of them all turns.
    ///
    /// # Safety
    /// On a processor with AVX-512; operands as [`scan_turns`] checks.
    #[expect(unsafe_code, reason = "code compiled for more than the baseline, and pointers that walk the tile")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn run<const ROWS: usize>(&mut self, session: &Session, next: &[&[f32]], mut at_block: impl FnMut(usize)) {
        let (down, turns) = (self.down, self.turns);
        let mut spare = Block([0.0; SIZE]);
        let places = self.places(session, &mut spare);
        let mut ahead = Ahead { now: &[], then: next.iter() };
        // Of the quarter before, from when the unit is about the next: a pointer, since both write and read there in turns.
        let mut sums = Sums::new();
        let before: *mut Sums = &raw mut sums;
        let mut waiting: Option<(Quarter, Finish)> = None;
        for block in 0..down * self.across {
            at_block(block);
            let from = self.offset(block);
            for ((i, turn), to) in turns.iter().enumerate().zip(&places) {
                if turn.begins {
                    // SAFETY: a block of the turn's mean, or what nobody reads; the quarter that waits is another turn's.
                    unsafe { std::slice::from_raw_parts_mut(to.mean.at(from, 0), SIZE) }.fill(0.0);
                }
                for quarter in 0..4 {
                    let at = Quarter { block, turn: i, quarter };
                    let (below, beside) = at.halves();
                    let left = &turn.delta[panel(2 * (block % down) + below, to.panel)];
                    let right = &turn.x[panel(2 * (block / down) + beside, to.panel)];
                    // SAFETY: the caller's promise; rows are read when nothing is written there any more.
                    unsafe {
                        match &mut waiting {
                            Some((of, finish)) => {
                                session.multiply_sums(left, right, turn.tokens, before, |step, operation| {
                                    if operation % 2 == 1 {
                                        ahead.ask();
                                    }
                                    if (step > 0 || operation >= FIRST) && finish.row < SIDE {
                                        finish.some::<ROWS>(&*before);
                                    } else {
                                        Session::pause();
                                    }
                                });
                                while finish.row < SIDE {
                                    finish.some::<ROWS>(&*before);
                                }
                                let (of, square, dot) = (*of, finish.square, finish.dot);
                                self.done(of, square, dot);
                            }
                            None => session.multiply_sums(left, right, turn.tokens, before, |_, _| Session::pause()),
                        }
                        let (within, lanes) = (below * SIDE * BLOCK + beside * SIDE, &self.lanes[i]);
                        let finish = Finish {
                            left: exponents(left).as_ptr(),
                            right: exponents_across(right),
                            weights: self.weights.add(from + within),
                            mean: to.mean.at(from, within),
                            keep: to.keep.at(from, within),
                            partner: to.partner.at(from, within),
                            square: lanes.squares[beside],
                            dot: lanes.dots[0][beside],
                            row: 0,
                        };
                        waiting = Some((at, finish));
                    }
                }
            }
        }
        if let Some((at, mut finish)) = waiting {
            session.last_sums(&mut sums);
            // SAFETY: as above.
            unsafe {
                while finish.row < SIDE {
                    finish.some::<ROWS>(&sums);
                }
                self.done(at, finish.square, finish.dot);
            }
        }
    }
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
