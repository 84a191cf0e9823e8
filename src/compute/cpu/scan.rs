//! The fused scan: parameter activations of one matrix, formed and reduced tile by tile.
//!
//! The matrix is walked in super-blocks. For each, the rows of `x` and `delta` that it needs are packed into panels once and shared; its tiles
//! are tasks. A tile goes through all samples in an order that keeps few of them ([`super::scan_order`]), with the sums of its domains in hand;
//! the activations of samples that take part in pairs stay until the last of their partners has come. Tiles hand back small partial sums, which are added in the
//! order of the tiles whatever thread made them. Where nearly every two samples are a pair, all are kept to the tile's end and multiplied there, and the sums are not
//! small: then every n-th tile adds to one of a fixed number of lanes, in order, and the lanes are added up at the end.

#[cfg(target_arch = "x86_64")]
use super::tiles::scan as tile_scan;
use super::{
    pairs::Words,
    panel::{LINE, aligned, pack_across},
    pool::{Pool, SharedMut},
    scan_block::{Geometry, UNIT},
    scan_gram,
    scan_order::{Asked, Turns},
    scan_tile::{self, GramSums, NextTile, Panels, TileJob, TileScratch, TileSums},
};
use crate::compute::{Mat, ScanJob, ScanSums, all_zero};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Floats of packed input that all threads share (64 MiB).
const PACKED_BUDGET: usize = 16 << 20;
/// Floats of one tile's rows that a thread packs for itself, in its second-level cache (1 MiB), instead of all rows for all threads.
const STRIP: usize = 256 << 10;
/// Floats after which places in memory fall on one of four lots of lines of the first-level cache (1 KiB).
const ALIASED: usize = 256;
/// Columns of a matrix for which gradients are too few times multiplied to be worth packing.
const NARROW: usize = 256;
/// Floats of kept activations and sums that a thread holds near (1.25 MiB), whether all of its second-level cache or a little more: smaller tiles lose more on
/// their inputs than on these.
const KEPT_NEAR: usize = 320 << 10;
/// Floats of kept activations for each thread where they do not fit there (5 MiB: the third level).
const KEPT_FAR: usize = 5 << 18;
/// Elements below which a tile spends more on its inputs than it saves on kept activations.
const SMALL_TILE: usize = 48 * 64;
/// Tile rows and columns where memory allows: the tile's weights, mean and inputs stay in the second-level cache.
const TILE_ROWS: usize = 96;
const TILE_COLUMNS: usize = 128;
/// The same for the tile unit, to which operands come faster than from the third-level cache: larger tiles ask for fewer of them.
const UNIT_ROWS: usize = 192;
const UNIT_COLUMNS: usize = 192;
/// Of digits the operands of all columns' tiles pass by the same rows' gradients, which stay: narrow tiles leave them more room, and cost nothing.
const DIGIT_COLUMNS: usize = 96;
const KEPT_UNIT: usize = 256 << 10;
/// Active tokens from which a sample goes to the tile unit. For fewer, what becomes of the products takes longer than they do, and vectors do both in less time.
#[cfg(target_arch = "x86_64")]
const UNIT_TOKENS: usize = 64;
/// Elements of a super-block, which bounds the partial sums alive at once.
const SUPER_ELEMENTS: usize = 256 * TILE_ROWS * TILE_COLUMNS;
/// Samples from which all pairs are worth a matrix product of their own.
const GRAM_FROM: usize = 16;
/// Floats of kept activations for each thread in that product: large tiles spare inputs, and a piece of them at a time is in cache (4 MiB).
const KEPT_GRAM: usize = 1 << 20;
/// Lanes that partial Gram matrices are added up in, where they take no more than this many sums in all (64 MiB).
const LANES: usize = 64;
const LANE_SUMS: usize = 8 << 20;
const LEAST_LANES: usize = 4;

/// What a tile goes through, and where its operands lie.
pub(super) struct Plan {
    pub turns: Turns,
    /// Tokens of each sample whose gradient is not all zero; the others add nothing. In the last layer, with an objective at one position,
    /// that is one token for most matrices.
    pub active: Vec<Vec<usize>>,
    /// Where each sample begins in the packed panels, in the order of the turns, and how long it is there.
    pub packed_start: Vec<Packed>,
    pub packed_len: Vec<Packed>,
    pub packed_total: Packed,
    /// Gradients may be read where they lie: the words of all products are numbers, and each sample's active tokens neighbours.
    neighbours: bool,
    /// Samples of each domain.
    pub domain_sizes: Vec<usize>,
    /// Slots of both samples and number in the job of every pair, where nearly every two samples are one.
    pub gram: Option<Vec<(usize, usize, usize)>>,
}

/// Lengths of samples in packed panels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    /// Words of samples for the level's loops: each takes a float a row or column.
    pub words: usize,
    /// Floats of samples for the tile unit, of [`UNIT`] rows or columns.
    pub unit: usize,
}

impl Packed {
    /// Floats for so many rows or columns, in panels of `panel` and of [`UNIT`].
    pub fn floats(self, panel: usize, count: usize) -> usize {
        self.words * count.next_multiple_of(panel) + self.unit * count.div_ceil(UNIT)
    }
    fn add(&mut self, other: Self) {
        self.words += other.words;
        self.unit += other.unit;
    }
}

impl Plan {
    fn new(pool: &Pool, job: &ScanJob<'_>) -> Self {
        let n = job.samples.len();
        let mut domain_sizes = vec![0; job.n_domains];
        for (s, sample) in job.samples.iter().enumerate() {
            assert!(
                sample.start <= sample.end && sample.end <= job.x.rows && sample.domain < job.n_domains,
                "sample {s} has tokens {}..{} of {} and domain {} of {}",
                sample.start,
                sample.end,
                job.x.rows,
                sample.domain,
                job.n_domains
            );
            domain_sizes[sample.domain] += 1;
        }
        let domain_of: Vec<usize> = job.samples.iter().map(|s| s.domain).collect();
        let asked = Asked { domain_of: &domain_of, n_domains: job.n_domains, pairs: job.pairs, want_means: job.want_means };
        let (turns, gram) = if asks_for_all(job) {
            let turns = Turns::keeping_all(asked);
            let mut slot = vec![0; n];
            turns.list.iter().for_each(|t| slot[t.sample] = t.slot.unwrap_or_default());
            let pairs = job.pairs.iter().enumerate().filter(|(_, (a, b))| a != b);
            let gram = pairs.map(|(i, &(a, b))| (slot[a], slot[b], i)).collect();
            (turns, Some(gram))
        } else {
            (Turns::new(asked), None)
        };
        let active = active(pool, job);
        let packed_len: Vec<Packed> = active.iter().map(|tokens| packed_length(pool, tokens.len())).collect();
        let mut packed_start = vec![Packed::default(); n];
        let mut packed_total = Packed::default();
        for turn in &turns.list {
            packed_start[turn.sample] = packed_total;
            packed_total.add(packed_len[turn.sample]);
        }
        let neighbours = |tokens: &Vec<usize>| tokens.last().is_none_or(|last| last - tokens[0] + 1 == tokens.len());
        let numbers = pool.words == Words::Numbers && packed_total.unit == 0;
        let neighbours = gram.is_none() && numbers && active.iter().all(neighbours);
        Self { turns, active, packed_start, packed_len, packed_total, neighbours, domain_sizes, gram }
    }
    /// Whether the tile unit makes a sample's products. It depends on the sample alone, so that its bits are the same in any company.
    pub(super) fn by_unit(&self, sample: usize) -> bool {
        self.packed_len[sample].unit > 0
    }
    /// Whether a job's gradients are read where they lie. Tokens that share lines of the first-level cache push each other out of it: these are packed, unless the
    /// matrix is so narrow that packing costs more.
    pub(super) fn in_place(&self, job: &ScanJob<'_>) -> bool {
        self.neighbours && (!job.delta.stride.is_multiple_of(ALIASED) || job.w.cols <= NARROW)
    }
    /// Rows and columns of a tile: smaller when many samples are kept.
    fn tile(&self, pool: &Pool, g: Geometry) -> (usize, usize) {
        let held = self.turns.held().max(1);
        // Also where all samples are too short for the unit: sums of tiles of one size have the same bits in any company.
        let near = if g.with_unit { KEPT_UNIT } else { KEPT_NEAR };
        let limit = match self.gram {
            Some(_) => (KEPT_GRAM / held).max(SMALL_TILE),
            None => (near / held).max(SMALL_TILE.min(KEPT_FAR / held)),
        };
        let (mut rows, mut cols) = match g.with_unit {
            true if pool.scans_digits() => (UNIT_ROWS, DIGIT_COLUMNS),
            true => (UNIT_ROWS, UNIT_COLUMNS),
            false => (TILE_ROWS, TILE_COLUMNS),
        };
        while rows * cols > limit {
            if cols >= rows && cols > g.cols {
                cols = (cols / 2).next_multiple_of(g.cols);
            } else if rows >= 2 * g.cut() && rows > 2 * g.rows {
                rows /= 2;
            } else if cols > g.cols {
                cols = (cols / 2).next_multiple_of(g.cols);
            } else {
                break;
            }
        }
        (rows.next_multiple_of(g.cut()), cols)
    }
}

/// See [`crate::compute::Backend::scan`] and [`crate::compute::Backend::scan_all`].
///
/// # Panics
/// When a job's shapes do not fit together: a bug of the caller.
pub(super) fn scan_all(pool: &Pool, jobs: &[ScanJob<'_>], sums: &mut [ScanSums]) {
    assert_eq!(jobs.len(), sums.len(), "sums for each of {} jobs", jobs.len());
    let Some(first) = jobs.first() else { return };
    jobs.iter().for_each(ScanJob::assert_fits);
    let plan = Plan::new(pool, first);
    let alike = |job: &ScanJob<'_>| first.reads_as(job) && plan.gram.is_none() && active(pool, job) == plan.active;
    if jobs.len() > 1 && !jobs[1..].iter().all(alike) {
        return jobs.iter().zip(sums).for_each(|(job, sums)| scan_all(pool, std::slice::from_ref(job), std::slice::from_mut(sums)));
    }
    let g = Geometry::of(pool);
    let (tile_rows, tile_cols) = plan.tile(pool, g);
    let inp = first.x.cols;
    let (super_rows, super_cols) = super_block(&plan, g, inp, tile_rows, tile_cols);
    let mut totals: Vec<Total> = jobs.iter().map(Total::new).collect();
    let lanes = lanes(&plan, first);
    let x_len = plan.packed_total.floats(g.cols, super_cols.min(inp));
    // A thread goes through the tiles of the same rows one after another.
    let strip_len = plan.packed_total.floats(g.rows, tile_rows);
    let strips = plan.gram.is_none() && strip_len <= STRIP;
    let own = |job: usize| strips || plan.in_place(&jobs[job]);
    let longest = jobs.iter().map(|job| super_rows.min(job.w.rows)).max().unwrap_or(0);
    let delta_len = if (0..jobs.len()).all(own) { 0 } else { plan.packed_total.floats(g.rows, longest) };
    let (mut x_store, mut delta_store) = (pool.take_buffer(x_len + LINE), pool.take_buffer(delta_len + LINE));
    let (x_panels, delta_panels) = (aligned(&mut x_store, x_len), aligned(&mut delta_store, delta_len));
    for c0 in (0..inp).step_by(super_cols) {
        let cols = super_cols.min(inp - c0);
        pack(pool, &plan, first.x.columns(c0, cols), Operand::Input, g, x_panels);
        let across = Cut::new(c0..c0 + cols, g.cols, tile_cols);
        let mut blocks: Vec<Block> = Vec::new();
        for (j, job) in jobs.iter().enumerate() {
            for r0 in (0..job.w.rows).step_by(super_rows) {
                let rows = r0..job.w.rows.min(r0 + super_rows);
                blocks.push(Block { job: j, down: Cut::new(rows, g.cut(), tile_rows).even() });
            }
        }
        // With gradients that all threads share, one super-block at a time; else as many as the sums of their tiles have room.
        let elements = |block: &Block| block.down.range.len() * cols;
        let room = |together: &[Block]| {
            together.iter().all(|block| own(block.job)) && together.iter().map(elements).sum::<usize>() <= SUPER_ELEMENTS
        };
        let mut rest = &blocks[..];
        while !rest.is_empty() {
            let many = (2..=rest.len()).take_while(|n| room(&rest[..*n])).last().unwrap_or(1);
            let (together, others) = rest.split_at(many);
            rest = others;
            let shared = !own(together[0].job);
            if shared {
                let (job, rows) = (&jobs[together[0].job], &together[0].down.range);
                pack(pool, &plan, job.delta.columns(rows.start, rows.len()), Operand::Gradient, g, delta_panels);
            }
            let places: Vec<Place> = together.iter().flat_map(|block| block.places(&across)).collect();
            let tile = |i: usize| {
                let Place { job, rows, cols: columns } = places[i].clone();
                let delta_panels = |rows: &Range<usize>| {
                    shared.then(|| Panels {
                        values: &*delta_panels,
                        operand: Operand::Gradient,
                        width: together[0].down.range.len(),
                        first: rows.start - together[0].down.range.start,
                    })
                };
                let x_panels =
                    |columns: &Range<usize>| Panels { values: &*x_panels, operand: Operand::Input, width: cols, first: columns.start - c0 };
                let next = |p: &Place| NextTile {
                    w: jobs[p.job].w,
                    rows: p.rows.clone(),
                    cols: p.cols.clone(),
                    delta_panels: delta_panels(&p.rows),
                    x_panels: x_panels(&p.cols),
                };
                TileJob {
                    job: &jobs[job],
                    number: job,
                    plan: &plan,
                    geometry: g,
                    delta_panels: delta_panels(&rows),
                    x_panels: x_panels(&columns),
                    first_row: rows.start,
                    first_col: columns.start,
                    rows: rows.len(),
                    cols: columns.len(),
                    next: places.get(i + 1).map(next),
                }
            };
            let scratch = || TileScratch::new(pool, &plan, tile_rows * tile_cols, if strips { strip_len } else { 0 });
            if plan.gram.is_some() {
                pool.map_with(lanes.len(), scratch, |scratch, lane| {
                    let mut sums = lanes[lane].lock().unwrap_or_else(PoisonError::into_inner);
                    for i in (lane..places.len()).step_by(lanes.len()) {
                        scan_tile::run_all_pairs(pool, &tile(i), scratch, &mut sums);
                    }
                });
                continue;
            }
            let found = pool.map_with(places.len(), scratch, |scratch, i| scan_tile::run(pool, &tile(i), scratch));
            for (sums, place) in found.iter().zip(&places) {
                totals[place.job].add(sums, place.rows.start, place.cols.start);
            }
        }
    }
    for lane in lanes {
        totals[0].add_gram(&plan, &lane.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    pool.return_buffer(x_store);
    pool.return_buffer(delta_store);
    for ((total, job), sums) in totals.into_iter().zip(jobs).zip(sums) {
        total.finish(job, sums);
    }
}

/// See [`Plan::active`].
fn active(pool: &Pool, job: &ScanJob<'_>) -> Vec<Vec<usize>> {
    pool.map_with(
        job.samples.len(),
        || (),
        |(), s| {
            let tokens = job.samples[s].start..job.samples[s].end;
            tokens.filter(|&t| !all_zero(job.delta.row(t))).collect::<Vec<usize>>()
        },
    )
}

/// Rows of one matrix whose tiles are made in one go.
struct Block {
    job: usize,
    down: Cut,
}

impl Block {
    /// Its tiles, row by row.
    fn places(&self, across: &Cut) -> Vec<Place> {
        let tiles = (0..self.down.parts).flat_map(|d| (0..across.parts).map(move |a| (d, a)));
        tiles.map(|(d, a)| Place { job: self.job, rows: self.down.part(d), cols: across.part(a) }).collect()
    }
}

/// A tile within its matrix.
#[derive(Clone)]
struct Place {
    job: usize,
    rows: Range<usize>,
    cols: Range<usize>,
}

/// A side of a super-block cut into tiles, whole blocks each and as even as can be.
#[derive(Clone)]
struct Cut {
    /// Rows or columns of the matrix.
    range: Range<usize>,
    block: usize,
    parts: usize,
}

impl Cut {
    /// Into tiles of at most `most`, a multiple of `block`.
    fn new(range: Range<usize>, block: usize, most: usize) -> Self {
        let parts = range.len().div_ceil(most);
        Self { range, block, parts }
    }
    /// One part more where that makes an even number: two threads with as many tiles each are done at the same time.
    fn even(self) -> Self {
        let parts = self.parts.next_multiple_of(2);
        if self.parts > 1 && parts <= self.blocks() { Self { parts, ..self } } else { self }
    }
    fn blocks(&self) -> usize {
        self.range.len().div_ceil(self.block)
    }
    fn part(&self, i: usize) -> Range<usize> {
        let start = |i: usize| (self.range.start + self.blocks() * i / self.parts * self.block).min(self.range.end);
        start(i)..start(i + 1)
    }
}

/// True where nearly every two of the samples that are multiplied with others are a pair, and means do not ask for an order.
fn asks_for_all(job: &ScanJob<'_>) -> bool {
    let mut paired = vec![false; job.samples.len()];
    let mut pairs = 0;
    for &(a, b) in job.pairs.iter().filter(|(a, b)| a != b) {
        (paired[a], paired[b]) = (true, true);
        pairs += 1;
    }
    let samples = paired.iter().filter(|p| **p).count();
    !job.want_means && samples >= GRAM_FROM && 4 * pairs >= 3 * (samples * (samples - 1) / 2)
}

/// One for every n-th tile, none where the plan has no Gram matrix; depends on the job alone.
fn lanes(plan: &Plan, job: &ScanJob<'_>) -> Vec<Mutex<GramSums>> {
    let sums = scan_gram::half(plan.turns.slots);
    let count = if plan.gram.is_some() { (LANE_SUMS / sums.max(1)).clamp(LEAST_LANES, LANES) } else { 0 };
    (0..count).map(|_| Mutex::new(GramSums { squares: vec![0.0; job.samples.len()], gram: vec![0.0; sums] })).collect()
}

/// Rows and columns of a super-block, multiples of the tile's; depends on the job and the kernels alone.
fn super_block(plan: &Plan, g: Geometry, inp: usize, tile_rows: usize, tile_cols: usize) -> (usize, usize) {
    // Columns whose panels fit; those of rows take as much.
    let side = (PACKED_BUDGET / plan.packed_total.floats(g.cols, g.cols).max(1) * g.cols).max(2 * g.cols);
    let cols = inp.min(side / 2).next_multiple_of(tile_cols);
    let rows = side.saturating_sub(cols).min(SUPER_ELEMENTS / cols).max(1).next_multiple_of(tile_rows);
    (rows, cols)
}

/// Length of a sample of so many active tokens in the packed panels.
fn packed_length(pool: &Pool, tokens: usize) -> Packed {
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = pool.scan_unit.filter(|unit| Geometry::of(pool).with_unit && (UNIT_TOKENS..=unit.deepest()).contains(&tokens)) {
        return Packed { unit: tile_scan::panel_len(unit, tokens), words: 0 };
    }
    Packed { words: pool.words.of(tokens), unit: 0 }
}

/// Which operand of the gradient's product is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// Of the matrix' rows.
    Gradient,
    /// Of its columns.
    Input,
}

impl Operand {
    /// Of a panel for the level's loops.
    pub fn width(self, g: Geometry) -> usize {
        if self == Self::Input { g.cols } else { g.rows }
    }
}

/// Copies the active rows of `source` into panels: for each sample in order, for each panel, `[words, width]`; the last panel is filled
/// up with zeros, so that edges need no code of their own. (For the tile unit each is what [`tile_scan::pack`] makes.)
fn pack(pool: &Pool, plan: &Plan, source: Mat<'_>, operand: Operand, g: Geometry, panels: &mut [f32]) {
    let floats = |packed: Packed| packed.floats(operand.width(g), source.cols);
    let panels = SharedMut::new(panels);
    pool.for_each(plan.turns.list.len(), |i| {
        let s = plan.turns.list[i].sample;
        #[expect(unsafe_code, reason = "each task writes the panels of its own sample")]
        // SAFETY: samples have disjoint ranges of packed lengths.
        let out = unsafe { panels.slice(floats(plan.packed_start[s]), floats(plan.packed_len[s])) };
        pack_sample(pool, plan, source, operand, g, s, out);
    });
}

/// [`pack`] for sample `s` alone.
pub(super) fn pack_sample(pool: &Pool, plan: &Plan, source: Mat<'_>, operand: Operand, g: Geometry, s: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = pool.scan_unit.filter(|_| plan.by_unit(s)) {
        return tile_scan::pack(unit, operand == Operand::Gradient, source, &plan.active[s], out);
    }
    let tokens = &plan.active[s][..];
    // Fixed lengths become plain moves; a call for every handful of floats would cost more than the copy.
    match operand.width(g) {
        6 => pack_rows::<6>(pool.words, source, tokens, out),
        8 => pack_rows::<8>(pool.words, source, tokens, out),
        12 => pack_rows::<12>(pool.words, source, tokens, out),
        16 => pack_rows::<16>(pool.words, source, tokens, out),
        32 => pack_rows::<32>(pool.words, source, tokens, out),
        width => unreachable!("no block is {width} wide"),
    }
}

/// One sample's rows into panels `[words, W]`, a few panels at a time: with all at once each row would be written to as many places a power of two
/// apart, which share too few lines of the cache.
fn pack_rows<const W: usize>(words: Words, source: Mat<'_>, tokens: &[usize], out: &mut [f32]) {
    // Whole lines of the source, whatever `W` is.
    const TOGETHER: usize = 4;
    // A sample without active tokens has nothing to pack.
    if tokens.is_empty() {
        return;
    }
    let width = source.cols;
    for (first, panels) in (0..width).step_by(TOGETHER * W).zip(out.chunks_mut(TOGETHER * words.of(tokens.len()) * W)) {
        let columns = first..width.min(first + TOGETHER * W);
        pack_across::<W>(words, tokens.len(), |t| &source.row(tokens[t])[columns.clone()], panels);
    }
}

/// Sums over tiles, wide until the end.
struct Total {
    squares: Vec<f64>,
    dots: Vec<f64>,
    counts: Vec<u64>,
    histograms: Vec<Vec<u64>>,
    rows: Vec<Vec<f64>>,
    cols: Vec<Vec<f64>>,
}

impl Total {
    fn new(job: &ScanJob<'_>) -> Self {
        let domains = if job.want_means { job.n_domains } else { 0 };
        Self {
            squares: vec![0.0; job.samples.len()],
            dots: vec![0.0; job.pairs.len()],
            counts: vec![0; domains],
            histograms: vec![vec![0; crate::compute::HISTOGRAM_BINS]; domains],
            rows: vec![vec![0.0; job.w.rows]; domains],
            cols: vec![vec![0.0; job.w.cols]; domains],
        }
    }
    fn add(&mut self, tile: &TileSums, first_row: usize, first_col: usize) {
        add_all(&mut self.squares, &tile.squares);
        add_all(&mut self.dots, &tile.dots);
        for (d, t) in tile.domains.iter().enumerate() {
            self.counts[d] += t.count;
            for (h, c) in self.histograms[d].iter_mut().zip(&t.histogram) {
                *h += u64::from(*c);
            }
            for (r, v) in self.rows[d][first_row..].iter_mut().zip(&t.row_sums) {
                *r += f64::from(*v);
            }
            for (c, v) in self.cols[d][first_col..].iter_mut().zip(&t.col_sums) {
                *c += f64::from(*v);
            }
        }
    }
    fn add_gram(&mut self, plan: &Plan, lane: &GramSums) {
        add_all(&mut self.squares, &lane.squares);
        for &(a, b, pair) in plan.gram.iter().flatten() {
            self.dots[pair] += lane.gram[scan_gram::place(a, b)];
        }
    }
    fn finish(mut self, job: &ScanJob<'_>, sums: &mut ScanSums) {
        for (i, &(a, b)) in job.pairs.iter().enumerate() {
            if a == b {
                self.dots[i] = self.squares[a];
            }
        }
        add_all(&mut sums.square_norms, &self.squares);
        add_all(&mut sums.pair_dots, &self.dots);
        for d in 0..self.counts.len() {
            sums.counts[d] += self.counts[d];
            for (s, h) in sums.histograms[d].iter_mut().zip(&self.histograms[d]) {
                *s += h;
            }
            for (s, v) in sums.row_sums[d].iter_mut().zip(&self.rows[d]) {
                *s += *v as f32;
            }
            for (s, v) in sums.col_sums[d].iter_mut().zip(&self.cols[d]) {
                *s += *v as f32;
            }
        }
    }
}

fn add_all(to: &mut [f64], from: &[f64]) {
    for (t, f) in to.iter_mut().zip(from) {
        *t += f;
    }
}
