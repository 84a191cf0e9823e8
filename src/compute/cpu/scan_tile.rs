//! One tile of the fused scan: every sample in turn through the inner loops, then the domain's mean and the pairs are read off.
//!
//! A tile is stored as blocks of the inner loops' [`Geometry`], each contiguous, edges filled up with zeros: zero weights give zero
//! activations, which no sum notices.

#[cfg(target_arch = "x86_64")]
use super::tiles::{
    Parts, Session,
    digit_scan::{self, Tile, Turn},
    scan as tile_scan,
};
use super::{
    isa::{Isa, per_isa},
    numeric::{LANES, fold},
    pairs::Words,
    panel::{LINE, aligned, prefetch},
    pool::{Lent, Pool},
    scan::{Operand, Plan, pack_sample},
    scan_block::{BlockSums, Geometry, Operands, UNIT, scan_blocks},
    scan_gram, scan_pairs,
};
use crate::compute::{HISTOGRAM_BINS, Mat, ScanJob, scan_job::histogram_bin};
use std::{hint::black_box, ops::Range};

/// Packed operands; see `scan::pack`.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub values: &'a [f32],
    pub operand: Operand,
    /// Rows or columns that were packed, and the tile's first among them.
    pub width: usize,
    pub first: usize,
}

impl<'a> Panels<'a> {
    /// Those of sample `s` for `count` rows or columns of the tile.
    fn of_sample(&self, plan: &Plan, g: Geometry, s: usize, count: usize) -> &'a [f32] {
        let panel = self.operand.width(g);
        let (start, len) = (plan.packed_start[s], plan.packed_len[s]);
        &self.values[start.floats(panel, self.width) + len.floats(panel, self.first)..][..len.floats(panel, count)]
    }
}

/// What a tile is made from.
pub(super) struct TileJob<'a> {
    pub job: &'a ScanJob<'a>,
    /// Of the job among those at work.
    pub number: usize,
    pub plan: &'a Plan,
    pub geometry: Geometry,
    /// Of the super-block's rows; `None` where each thread packs those of a tile for itself, or reads them where they lie.
    pub delta_panels: Option<Panels<'a>>,
    /// Of the super-block's columns.
    pub x_panels: Panels<'a>,
    /// Of the tile within the matrix.
    pub first_row: usize,
    pub first_col: usize,
    pub rows: usize,
    pub cols: usize,
    /// The tile that the same thread is likely to make next (not where all pairs are asked for: then another is between).
    pub next: Option<NextTile<'a>>,
}

/// Where a tile's operands lie.
pub(super) struct NextTile<'a> {
    pub w: Mat<'a>,
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    pub delta_panels: Option<Panels<'a>>,
    pub x_panels: Panels<'a>,
}

impl TileJob<'_> {
    /// Asks for the weights of the next tile's rows that fall to turn `i` of `n`: nothing has read them for a whole pass, so they lie far away.
    fn ask_for_next(&self, i: usize, n: usize) {
        if let Some(next) = &self.next {
            let part = |i: usize| next.rows.start + next.rows.len() * i / n;
            (part(i)..part(i + 1)).for_each(|r| prefetch(&next.w.row(r)[next.cols.clone()]));
        }
    }
    /// The inputs and, where all threads share them, the gradients of turn `i`, or of the first of the next tile after the last.
    fn operands_of(&self, i: usize) -> [&[f32]; 2] {
        let (plan, g) = (self.plan, self.geometry);
        let (turn, rows, cols, delta, x) = match (plan.turns.list.get(i), &self.next) {
            (Some(turn), _) => (turn, self.rows, self.cols, self.delta_panels, self.x_panels),
            (None, Some(next)) if !plan.turns.list.is_empty() => {
                (&plan.turns.list[0], next.rows.len(), next.cols.len(), next.delta_panels, next.x_panels)
            }
            _ => return [&[]; 2],
        };
        let x = x.of_sample(plan, g, turn.sample, cols);
        [x, delta.map_or(&[], |delta| delta.of_sample(plan, g, turn.sample, rows))]
    }
    /// Floats of a panel of columns, and of the whole tile.
    fn shape(&self) -> (usize, usize) {
        let panel = self.geometry.stored(self.rows) * self.geometry.cols;
        (panel, panel * self.cols.div_ceil(self.geometry.cols))
    }
}

/// Floats of operands of a tile that stay in the second-level cache while its blocks are gone through (832 KiB): eight samples of 128 tokens.
#[cfg(target_arch = "x86_64")]
const TOGETHER: usize = 208 << 10;

/// Buffers of one thread.
pub(super) struct TileScratch<'a> {
    weights: Lent<'a>,
    /// Sums of domains, `[means, tile]`.
    means: Lent<'a>,
    /// `[slots, tile]`. Rows beyond those of a kernel's blocks hold zeros.
    kept: Lent<'a>,
    /// The packed gradients of a tile's rows, and which job's and row they begin with.
    strip: Lent<'a>,
    strip_of: Option<(usize, usize)>,
}

impl<'a> TileScratch<'a> {
    /// `strip` floats where threads pack their gradients themselves.
    pub fn new(pool: &'a Pool, plan: &Plan, elements: usize, strip: usize) -> Self {
        let lengths = [elements, sums(plan) * elements, plan.turns.slots * elements, strip];
        let [weights, means, kept, strip] = lengths.map(|len| pool.lend(len + LINE));
        Self { weights, means, kept, strip, strip_of: None }
    }
}

/// Sums of domains in hand at a time; one where all domains are empty.
fn sums(plan: &Plan) -> usize {
    plan.turns.means.max(1)
}

/// Sums over one tile, fields as in [`crate::compute::ScanSums`].
pub(super) struct TileSums {
    pub squares: Vec<f64>,
    pub dots: Vec<f64>,
    pub domains: Vec<DomainTile>,
}

/// Sums over tiles where all pairs of samples are asked for.
pub(super) struct GramSums {
    /// For each sample.
    pub squares: Vec<f64>,
    /// Lower half of the products of kept samples, by slot.
    pub gram: Vec<f64>,
}

pub(super) struct DomainTile {
    pub count: u64,
    pub histogram: Vec<u32>,
    pub row_sums: Vec<f32>,
    pub col_sums: Vec<f32>,
}

pub(super) fn run(pool: &Pool, t: &TileJob<'_>, scratch: &mut TileScratch<'_>) -> TileSums {
    let (job, plan) = (t.job, t.plan);
    let kernel = Kernel::of(pool, plan);
    let (panel, elements) = t.shape();
    let weights = aligned(&mut scratch.weights.buffer, elements);
    load_weights(t, panel, weights);
    let delta = gradients(pool, t, &mut scratch.strip.buffer, &mut scratch.strip_of);
    let means = aligned(&mut scratch.means.buffer, sums(plan) * elements);
    let kept = aligned(&mut scratch.kept.buffer, plan.turns.slots * elements);
    clear_edge(t, kept);
    let (mut squares, mut dots) = (vec![0.0; job.samples.len()], vec![0.0; job.pairs.len()]);
    let mut domains: Vec<Option<DomainTile>> = plan.domain_sizes.iter().map(|_| None).collect();
    let mut i = 0;
    while let Some(turn) = plan.turns.list.get(i) {
        let by_pieces = plan.by_unit(turn.sample) && panel == t.rows.next_multiple_of(UNIT) * t.geometry.cols;
        #[cfg(target_arch = "x86_64")]
        if let Some(session) = kernel.digits().filter(|_| by_pieces) {
            let together = turns_together(t, i);
            let turns: Vec<Turn<'_>> = (i..i + together).map(|i| turn_of(t, delta, i)).collect();
            let next = wanted_next(t, i + together);
            let mut tile = Tile { next: &next, ..tile_of(t, weights, means, kept) };
            let blocks = tile.down * tile.across;
            let sums = digit_scan::scan_turns(session, &mut tile, &turns, |block| {
                if i == 0 {
                    t.ask_for_next(block, blocks);
                }
            });
            for (turn, sums) in plan.turns.list[i..i + together].iter().zip(sums) {
                squares[turn.sample] = sums.squares;
                turn.partners.iter().zip(sums.dots).for_each(|((_, pair), dot)| dots[*pair] += dot);
                if turn.ends {
                    let mean = &means[turn.mean * elements..][..elements];
                    domains[turn.domain] = Some(read_mean(pool.isa, t, panel, mean, plan.domain_sizes[turn.domain]));
                }
            }
            i += together;
            continue;
        }
        t.ask_for_next(i, plan.turns.list.len());
        let mean = &mut means[turn.mean * elements..][..elements];
        if turn.begins {
            mean.fill(0.0);
        }
        // The first partner is multiplied with on the way, the others once the tile is there.
        let (partner, others) = match turn.partners.split_first() {
            Some((partner, others)) if by_pieces || elements <= scan_pairs::PIECE => (Some(partner), others),
            _ => (None, &turn.partners[..]),
        };
        let mean_of_domain = job.want_means.then_some(&mut *mean);
        let sums = sample(&kernel, t, delta, i, weights, mean_of_domain, kept, partner.map(|p| p.0));
        squares[turn.sample] = sums.squares;
        if let Some((_, pair)) = partner {
            dots[*pair] += sums.dot;
        }
        if turn.ends {
            domains[turn.domain] = Some(read_mean(pool.isa, t, panel, mean, plan.domain_sizes[turn.domain]));
        }
        if let Some(slot) = turn.slot {
            scan_pairs::add_products(pool.isa, kept, elements, slot, others, &mut dots);
        }
        i += 1;
    }
    let domains = if job.want_means {
        let mut of_none = || {
            let mean = &mut means[..elements];
            mean.fill(0.0);
            read_mean(pool.isa, t, panel, mean, 0)
        };
        domains.into_iter().map(|d| d.unwrap_or_else(&mut of_none)).collect()
    } else {
        Vec::new()
    };
    TileSums { squares, dots, domains }
}

/// Adds one tile's squares and products of all kept samples.
pub(super) fn run_all_pairs(pool: &Pool, t: &TileJob<'_>, scratch: &mut TileScratch<'_>, sums: &mut GramSums) {
    let plan = t.plan;
    let kernel = Kernel::of(pool, plan);
    let (panel, elements) = t.shape();
    let weights = aligned(&mut scratch.weights.buffer, elements);
    load_weights(t, panel, weights);
    let delta = gradients(pool, t, &mut scratch.strip.buffer, &mut scratch.strip_of);
    let slots = plan.turns.slots;
    let kept = aligned(&mut scratch.kept.buffer, slots * elements);
    clear_edge(t, kept);
    for (i, turn) in plan.turns.list.iter().enumerate() {
        sums.squares[turn.sample] += sample(&kernel, t, delta, i, weights, None, kept, None).squares;
    }
    scan_gram::add_gram(pool.isa, kept, slots, elements, &mut sums.gram);
}

/// Where one kernel's blocks end before another's, a sample's leave rows of the tile alone: they are to hold zeros.
fn clear_edge(t: &TileJob<'_>, kept: &mut [f32]) {
    let g = t.geometry;
    if g.with_unit && t.rows.next_multiple_of(g.rows) != t.rows.next_multiple_of(UNIT) {
        kept.fill(0.0);
    }
}

/// What multiplies the blocks on this thread.
struct Kernel {
    isa: Isa,
    words: Words,
    /// For the samples that go to the tile unit, if there are any.
    #[cfg(target_arch = "x86_64")]
    session: Option<Session>,
}

impl Kernel {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "no other processor has a tile unit"))]
    fn of(pool: &Pool, plan: &Plan) -> Self {
        Self {
            isa: pool.isa,
            words: pool.words,
            #[cfg(target_arch = "x86_64")]
            session: pool.scan_unit.filter(|_| plan.packed_total.unit > 0).map(|unit| unit.begin()),
        }
    }
    /// The unit, where it is given digits.
    #[cfg(target_arch = "x86_64")]
    fn digits(&self) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.unit().parts() == Parts::Digits)
    }
}

/// The activations of turn `i`'s sample over the tile, added to `mean`, put into its slot of `kept` and multiplied with those in slot `partner` there.
#[expect(clippy::too_many_arguments, reason = "a tile, a sample and where its activations go")]
fn sample(
    kernel: &Kernel,
    t: &TileJob<'_>,
    delta: Gradients<'_>,
    i: usize,
    weights: &[f32],
    mean: Option<&mut [f32]>,
    kept: &mut [f32],
    partner: Option<usize>,
) -> BlockSums {
    let turn = &t.plan.turns.list[i];
    #[cfg(target_arch = "x86_64")]
    if let Some(session) = kernel.digits().filter(|_| t.plan.by_unit(turn.sample)) {
        let partners: Vec<(usize, usize)> = partner.into_iter().map(|slot| (slot, 0)).collect();
        let turn = Turn { mean: mean.as_ref().map(|_| 0), begins: false, partners: &partners, ..turn_of(t, delta, i) };
        let next = wanted_next(t, i + 1);
        let mut tile = Tile { next: &next, ..tile_of(t, weights, mean.unwrap_or_default(), kept) };
        let mut sums = digit_scan::scan_turns(session, &mut tile, &[turn], |_| {});
        return sums.pop().map_or_else(BlockSums::default, |sums| BlockSums { squares: sums.squares, dot: sums.dots.iter().sum() });
    }
    let (plan, g, s) = (t.plan, t.geometry, turn.sample);
    let by_unit = plan.by_unit(s);
    let (rows, tokens) = if by_unit { (UNIT, plan.active[s].len()) } else { (g.rows, plan.packed_len[s].words) };
    let (delta, delta_panel, delta_token) = delta.of_sample(t, s);
    let operands = Operands {
        delta,
        delta_panel,
        delta_token,
        x: t.x_panels.of_sample(plan, g, s, t.cols),
        weights,
        panel: t.shape().0,
        tokens,
        down: t.rows.div_ceil(rows),
        across: t.cols.div_ceil(g.cols),
        next: if by_unit { t.operands_of(i + 1) } else { [&[]; 2] },
    };
    let place = |slot: usize| slot * weights.len()..(slot + 1) * weights.len();
    let (kept, partner): (_, Option<&[f32]>) = match (turn.slot, partner) {
        (Some(slot), Some(other)) => {
            let [own, other] =
                kept.get_disjoint_mut([place(slot), place(other)]).expect("two samples that are kept at once have two slots");
            (Some(own), Some(other))
        }
        (slot, _) => (slot.map(|slot| &mut kept[place(slot)]), None),
    };
    #[cfg(target_arch = "x86_64")]
    if let Some(session) = kernel.session.as_ref().filter(|_| by_unit) {
        return tile_scan::scan_blocks(session, &operands, mean, kept, partner);
    }
    scan_blocks(kernel.isa, kernel.words, &operands, mean, kept, partner)
}

/// Turns from turn `i` on that go through a tile's blocks together: samples for the tile unit whose operands stay in the second-level cache, until a domain's mean is
/// to be read.
#[cfg(target_arch = "x86_64")]
fn turns_together(t: &TileJob<'_>, i: usize) -> usize {
    let (plan, g) = (t.plan, t.geometry);
    let mut room = TOGETHER;
    let turns = plan.turns.list[i..].iter().take_while(|turn| {
        let packed = plan.packed_len[turn.sample];
        let operands = packed.floats(Operand::Gradient.width(g), t.rows) + packed.floats(Operand::Input.width(g), t.cols);
        let fits = operands <= room;
        room = room.saturating_sub(operands);
        fits && plan.by_unit(turn.sample)
    });
    let count = turns.count().max(1);
    plan.turns.list[i..i + count].iter().position(|turn| turn.ends).map_or(count, |last| last + 1)
}

/// What the thread will want after turn `i - 1`: the operands of the next turns, or of the first of the next tile after the last.
#[cfg(target_arch = "x86_64")]
fn wanted_next<'a>(t: &TileJob<'a>, i: usize) -> Vec<&'a [f32]> {
    let (plan, g) = (t.plan, t.geometry);
    let turns = &plan.turns.list;
    let (first, rows, cols, delta, x) = match &t.next {
        _ if i < turns.len() => (i, t.rows, t.cols, t.delta_panels, t.x_panels),
        Some(next) if !turns.is_empty() => (0, next.rows.len(), next.cols.len(), next.delta_panels, next.x_panels),
        _ => return Vec::new(),
    };
    let of = |turn: &'_ super::scan_order::Turn| {
        [x.of_sample(plan, g, turn.sample, cols), delta.map_or(&[][..], |delta| delta.of_sample(plan, g, turn.sample, rows))]
    };
    turns[first..][..turns_together(t, first)].iter().flat_map(of).collect()
}

/// Turn `i` with its operands.
#[cfg(target_arch = "x86_64")]
fn turn_of<'a>(t: &TileJob<'a>, delta: Gradients<'a>, i: usize) -> Turn<'a> {
    let turn = &t.plan.turns.list[i];
    Turn {
        delta: delta.of_sample(t, turn.sample).0,
        x: t.x_panels.of_sample(t.plan, t.geometry, turn.sample, t.cols),
        tokens: t.plan.active[turn.sample].len(),
        mean: t.job.want_means.then_some(turn.mean),
        begins: turn.begins,
        slot: turn.slot,
        partners: &turn.partners,
    }
}

#[cfg(target_arch = "x86_64")]
fn tile_of<'a>(t: &TileJob<'_>, weights: &'a [f32], means: &'a mut [f32], kept: &'a mut [f32]) -> Tile<'a> {
    let (down, across) = (t.rows.div_ceil(UNIT), t.cols.div_ceil(t.geometry.cols));
    Tile { down, across, panel: t.shape().0, weights, means, kept, next: &[] }
}

/// Gradients of a tile's rows.
#[derive(Clone, Copy)]
enum Gradients<'a> {
    Packed(Panels<'a>),
    /// Where they lie: the rows' columns of the matrix of gradients.
    InPlace(Mat<'a>),
}

impl<'a> Gradients<'a> {
    /// Those of a sample, and floats from panel to panel and from token to token.
    fn of_sample(&self, t: &TileJob<'_>, s: usize) -> (&'a [f32], usize, usize) {
        let (plan, g) = (t.plan, t.geometry);
        match self {
            Self::Packed(panels) => (panels.of_sample(plan, g, s, t.rows), plan.packed_len[s].words * g.rows, g.rows),
            Self::InPlace(gradients) => {
                let first = plan.active[s].first().map_or(0, |token| token * gradients.stride);
                (&gradients.data[first..], g.rows, gradients.stride)
            }
        }
    }
}

/// The gradients of the tile's rows: where they lie, if they do so as the inner loops read them; else those that all threads share, else this thread's strip,
/// packed where it holds other rows.
fn gradients<'a>(pool: &Pool, t: &TileJob<'a>, strip: &'a mut Vec<f32>, strip_of: &mut Option<(usize, usize)>) -> Gradients<'a> {
    if let Some(shared) = t.delta_panels {
        return Gradients::Packed(shared);
    }
    let (plan, g) = (t.plan, t.geometry);
    let source = t.job.delta.columns(t.first_row, t.rows);
    if plan.in_place(t.job) && t.rows.is_multiple_of(g.rows) {
        return Gradients::InPlace(source);
    }
    let panel = Operand::Gradient.width(g);
    let values = aligned(strip, plan.packed_total.floats(panel, t.rows));
    if *strip_of != Some((t.number, t.first_row)) {
        let mut rest = &mut *values;
        for turn in &plan.turns.list {
            let s = turn.sample;
            let (panels, others) = rest.split_at_mut(plan.packed_len[s].floats(panel, t.rows));
            pack_sample(pool, plan, source, Operand::Gradient, g, s, panels);
            rest = others;
        }
        *strip_of = Some((t.number, t.first_row));
    }
    Gradients::Packed(Panels { values, operand: Operand::Gradient, width: t.rows, first: 0 })
}

/// The tile's weights in block order.
fn load_weights(t: &TileJob<'_>, panel: usize, weights: &mut [f32]) {
    let g = t.geometry;
    if t.rows * g.cols != panel || !t.cols.is_multiple_of(g.cols) {
        weights.fill(0.0);
    }
    match g.cols {
        8 => copy_weights::<8>(t, panel, weights),
        16 => copy_weights::<16>(t, panel, weights),
        32 => copy_weights::<32>(t, panel, weights),
        _ => unreachable!("no block is {} wide", g.cols),
    }
}

/// Fixed lengths become plain moves.
fn copy_weights<const W: usize>(t: &TileJob<'_>, panel: usize, weights: &mut [f32]) {
    for r in 0..t.rows {
        let row = &t.job.w.row(t.first_row + r)[t.first_col..t.first_col + t.cols];
        let (whole, rest) = row.as_chunks::<W>();
        let mut at = r * W;
        for part in whole {
            weights[at..at + W].copy_from_slice(part);
            at += panel;
        }
        if !rest.is_empty() {
            weights[at..at + rest.len()].copy_from_slice(rest);
        }
    }
}

/// Count, histogram, row and column sums of a domain's mean; `mean` holds the sum over its `size` samples.
fn read_mean(isa: Isa, t: &TileJob<'_>, panel_len: usize, mean: &[f32], size: usize) -> DomainTile {
    let g = t.geometry;
    let mut out = DomainTile { count: 0, histogram: vec![0; HISTOGRAM_BINS], row_sums: vec![0.0; t.rows], col_sums: vec![0.0; t.cols] };
    let mut panel = PanelSums { tables: [[0; TABLE]; TABLES], rows: vec![[0.0; LANES]; t.rows], cols: vec![0.0; g.cols] };
    let divisor = size.max(1) as f32;
    // Exact where the number of samples is a power of two, which spares a slow division an element.
    let by = if size.is_power_of_two() { Some(1.0 / divisor) } else { None };
    for (values, cols) in mean.chunks(panel_len).zip(out.col_sums.chunks_mut(g.cols)) {
        panel.cols.fill(0.0);
        out.count += read_panel(isa, &values[..t.rows * g.cols], g.cols, divisor, by, t.job.gamma, &mut panel);
        cols.copy_from_slice(&panel.cols[..cols.len()]);
    }
    for table in &panel.tables {
        for (h, v) in out.histogram.iter_mut().zip(table) {
            *h += v;
        }
    }
    // What fills up the last panel was counted with the smallest values.
    out.histogram[0] -= (t.rows * (t.cols.next_multiple_of(g.cols) - t.cols)) as u32;
    out.row_sums.iter_mut().zip(&panel.rows).for_each(|(sum, lanes)| *sum = fold(lanes));
    out
}

/// Neighbours often fall into one bin; in tables of their own their increments do not wait for each other.
const TABLES: usize = 8;
/// Counts of a table: a power of two, so that no index has to be checked.
const TABLE: usize = HISTOGRAM_BINS.next_power_of_two();
/// Rows whose bins are worked out before they are counted.
const BINNED: usize = 8;

/// Sums over the panels of a tile.
struct PanelSums {
    tables: [[u32; TABLE]; TABLES],
    rows: Vec<[f32; LANES]>,
    /// Of one panel.
    cols: Vec<f32>,
}

/// Takes in one panel, `[rows][width]`; returns how many of its means are above gamma.
#[inline(always)]
fn read_panel_body<const FMA: bool>(values: &[f32], width: usize, divisor: f32, by: Option<f32>, gamma: f32, sums: &mut PanelSums) -> u64 {
    // Fixed lengths become registers.
    match (width, by) {
        (8, Some(by)) => read_rows::<8, 1>(values, |v| v * by, gamma, sums),
        (8, None) => read_rows::<8, 1>(values, |v| v / divisor, gamma, sums),
        (16, Some(by)) => read_rows::<16, 1>(values, |v| v * by, gamma, sums),
        (16, None) => read_rows::<16, 1>(values, |v| v / divisor, gamma, sums),
        (32, Some(by)) => read_rows::<16, 2>(values, |v| v * by, gamma, sums),
        (32, None) => read_rows::<16, 2>(values, |v| v / divisor, gamma, sums),
        _ => unreachable!("no block is {width} wide"),
    }
}

/// Rows of `N` registers of `W`.
#[inline(always)]
fn read_rows<const W: usize, const N: usize>(values: &[f32], mean: impl Fn(f32) -> f32, gamma: f32, sums: &mut PanelSums) -> u64 {
    let (mut counts, mut cols) = ([[0u32; W]; N], [[0.0f32; W]; N]);
    let mut bins = [[[0u32; W]; N]; BINNED];
    let rows = values.as_chunks::<W>().0.as_chunks::<N>().0;
    for (rows, lanes) in rows.chunks(BINNED).zip(sums.rows.chunks_mut(BINNED)) {
        for ((row, lanes), bins) in rows.iter().zip(lanes).zip(&mut bins) {
            for part in 0..N {
                let v = row[part].map(&mean);
                for i in 0..W {
                    cols[part][i] += v[i];
                }
                for i in 0..W {
                    lanes[i] += v[i];
                }
                for i in 0..W {
                    counts[part][i] += u32::from(v[i] > gamma);
                }
                bins[part] = v.map(|v| histogram_bin(v) as u32);
            }
        }
        // Bins are read back from memory, in a loop of their own: taken one by one from the registers they were made in they cost three times as much.
        for together in black_box(&bins[..rows.len()]).as_flattened().as_flattened().as_chunks::<TABLES>().0 {
            for (table, bin) in sums.tables.iter_mut().zip(together) {
                table[*bin as usize % TABLE] += 1;
            }
        }
    }
    sums.cols.copy_from_slice(cols.as_flattened());
    counts.as_flattened().iter().map(|n| u64::from(*n)).sum()
}
per_isa! {
    fn read_panel(values: &[f32], width: usize, divisor: f32, by: Option<f32>, gamma: f32, sums: &mut PanelSums) -> u64 { read_panel_body }
}
