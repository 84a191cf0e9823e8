//! One tile of the fused scan: every sample in turn through the inner loops, then the domain's mean and the pairs are read off.
//!
//! A tile is stored as blocks of the inner loops' [`Geometry`], each contiguous, edges filled up with zeros: zero weights give zero
//! activations, which no sum notices.

use super::{
    isa::{Isa, per_isa},
    numeric::{LANES, fold},
    panel::aligned,
    pool::Pool,
    scan::Plan,
    scan_block::{Geometry, Operands, scan_blocks},
    scan_gram, scan_pairs,
};
#[cfg(target_arch = "x86_64")]
use super::{scan_planes, tile_unit::Session};
use crate::compute::{HISTOGRAM_BINS, ScanJob, scan_job::histogram_bin};

/// What a tile is made from.
pub(super) struct TileJob<'a> {
    pub job: &'a ScanJob<'a>,
    pub plan: &'a Plan,
    pub geometry: Geometry,
    /// Of the super-block; see `scan::pack`.
    pub delta_panels: &'a [f32],
    pub x_panels: &'a [f32],
    pub row_panels: usize,
    pub col_panels: usize,
    /// Of the tile within the super-block.
    pub first_row_panel: usize,
    pub first_col_panel: usize,
    /// Of the tile within the matrix.
    pub first_row: usize,
    pub first_col: usize,
    pub rows: usize,
    pub cols: usize,
}

impl TileJob<'_> {
    /// Blocks from top to bottom, and elements of the whole tile.
    fn shape(&self) -> (usize, usize) {
        let g = self.geometry;
        let (down, across) = (self.rows.div_ceil(g.rows), self.cols.div_ceil(g.cols));
        (down, down * g.rows * across * g.cols)
    }
}

/// Buffers of one thread.
pub(super) struct TileScratch {
    weights: Vec<f32>,
    mean: Vec<f32>,
    /// `[n_slots, tile]`
    kept: Vec<f32>,
}

impl TileScratch {
    pub fn new(plan: &Plan, elements: usize) -> Self {
        let mut scratch = Self { weights: Vec::new(), mean: Vec::new(), kept: Vec::new() };
        aligned(&mut scratch.weights, elements);
        aligned(&mut scratch.mean, elements);
        aligned(&mut scratch.kept, plan.n_slots * elements);
        scratch
    }
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

pub(super) fn run(pool: &Pool, t: &TileJob<'_>, scratch: &mut TileScratch) -> TileSums {
    let (job, plan) = (t.job, t.plan);
    let kernel = Kernel::of(pool);
    let (down, elements) = t.shape();
    let weights = aligned(&mut scratch.weights, elements);
    load_weights(t, down, weights);
    let mean = aligned(&mut scratch.mean, elements);
    let kept = aligned(&mut scratch.kept, plan.n_slots * elements);
    let mut squares = vec![0.0; job.samples.len()];
    let mut domains = Vec::new();
    let mut order = plan.order.iter();
    for (domain, &size) in plan.domain_sizes.iter().enumerate() {
        mean.fill(0.0);
        for &s in order.by_ref().take(size) {
            debug_assert_eq!(job.samples[s].domain, domain);
            squares[s] = sample(&kernel, t, s, weights, job.want_means.then_some(&mut *mean), kept);
        }
        if job.want_means {
            domains.push(read_mean(pool.isa, t, down, mean, size));
        }
    }
    let mut dots = vec![0.0; job.pairs.len()];
    scan_pairs::add_products(pool.isa, kept, elements, &plan.stars, &mut dots);
    TileSums { squares, dots, domains }
}

/// Adds one tile's squares and products of all kept samples.
pub(super) fn run_all_pairs(pool: &Pool, t: &TileJob<'_>, scratch: &mut TileScratch, sums: &mut GramSums) {
    let plan = t.plan;
    let kernel = Kernel::of(pool);
    let (down, elements) = t.shape();
    let weights = aligned(&mut scratch.weights, elements);
    load_weights(t, down, weights);
    let kept = aligned(&mut scratch.kept, plan.n_slots * elements);
    for &s in &plan.order {
        sums.squares[s] += sample(&kernel, t, s, weights, None, kept);
    }
    scan_gram::add_gram(pool.isa, kept, plan.n_slots, elements, &mut sums.gram);
}

/// What multiplies the blocks on this thread.
enum Kernel {
    Level(Isa),
    #[cfg(target_arch = "x86_64")]
    Tiles(Session),
}

impl Kernel {
    fn of(pool: &Pool) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = pool.scan_unit {
            return Self::Tiles(unit.begin());
        }
        Self::Level(pool.isa)
    }
}

/// One sample's activations over the tile, added to `mean` and put into its slot of `kept`; the sum of their squares.
fn sample(kernel: &Kernel, t: &TileJob<'_>, s: usize, weights: &[f32], mean: Option<&mut [f32]>, kept: &mut [f32]) -> f64 {
    let (plan, g) = (t.plan, t.geometry);
    let (down, across) = (t.rows.div_ceil(g.rows), t.cols.div_ceil(g.cols));
    let (start, len) = (plan.packed_start[s], plan.packed_len[s]);
    let operands = Operands {
        delta: &t.delta_panels[(start * t.row_panels + t.first_row_panel * len) * g.row_floats..][..down * len * g.row_floats],
        x: &t.x_panels[(start * t.col_panels + t.first_col_panel * len) * g.col_floats..][..across * len * g.col_floats],
        weights,
        tokens: plan.active[s].len(),
        down,
        across,
    };
    let kept = plan.slot[s].map(|slot| &mut kept[slot * weights.len()..][..weights.len()]);
    match kernel {
        Kernel::Level(isa) => scan_blocks(*isa, &operands, mean, kept),
        #[cfg(target_arch = "x86_64")]
        Kernel::Tiles(session) => scan_planes::scan_blocks(session, &operands, mean, kept),
    }
}

/// The tile's weights in block order.
fn load_weights(t: &TileJob<'_>, down: usize, weights: &mut [f32]) {
    let g = t.geometry;
    if !t.rows.is_multiple_of(g.rows) || !t.cols.is_multiple_of(g.cols) {
        weights.fill(0.0);
    }
    match g.cols {
        8 => copy_weights::<8>(t, down, weights),
        16 => copy_weights::<16>(t, down, weights),
        32 => copy_weights::<32>(t, down, weights),
        _ => unreachable!("no block is {} wide", g.cols),
    }
}

/// Fixed lengths become plain moves.
fn copy_weights<const W: usize>(t: &TileJob<'_>, down: usize, weights: &mut [f32]) {
    let g = t.geometry;
    for r in 0..t.rows {
        let row = &t.job.w.row(t.first_row + r)[t.first_col..t.first_col + t.cols];
        let (whole, rest) = row.as_chunks::<W>();
        let mut at = (r / g.rows * g.rows + r % g.rows) * W;
        for part in whole {
            weights[at..at + W].copy_from_slice(part);
            at += down * g.rows * W;
        }
        if !rest.is_empty() {
            weights[at..at + rest.len()].copy_from_slice(rest);
        }
    }
}

/// Count, histogram, row and column sums of a domain's mean; `mean` holds the sum over its `size` samples and ends as the mean.
fn read_mean(isa: Isa, t: &TileJob<'_>, down: usize, mean: &mut [f32], size: usize) -> DomainTile {
    let g = t.geometry;
    let mut out = DomainTile { count: 0, histogram: vec![0; HISTOGRAM_BINS], row_sums: vec![0.0; t.rows], col_sums: vec![0.0; t.cols] };
    // Neighbours often fall into one bin; four tables keep their increments from waiting for each other.
    let mut tables = [[0u32; HISTOGRAM_BINS]; 4];
    let divisor = size.max(1) as f32;
    // Exact where the number of samples is a power of two, which spares a slow division an element.
    let by = if size.is_power_of_two() { Some(1.0 / divisor) } else { None };
    for (c, column) in mean.chunks_mut(down * g.rows * g.cols).enumerate() {
        let width = g.cols.min(t.cols - c * g.cols);
        let cols = &mut out.col_sums[c * g.cols..c * g.cols + width];
        for (r, row) in column.chunks_mut(g.cols).take(t.rows).enumerate() {
            let row = &mut row[..width];
            out.count += u64::from(finish_row(isa, row, divisor, by, t.job.gamma, &mut out.row_sums[r], cols));
            for four in row.chunks(4) {
                for (v, table) in four.iter().zip(&mut tables) {
                    table[histogram_bin(*v)] += 1;
                }
            }
        }
    }
    for table in &tables {
        for (h, v) in out.histogram.iter_mut().zip(table) {
            *h += v;
        }
    }
    out
}

#[inline(always)]
fn finish_row_body<const FMA: bool>(row: &mut [f32], divisor: f32, by: Option<f32>, gamma: f32, sum: &mut f32, cols: &mut [f32]) -> u32 {
    match by {
        Some(by) => row.iter_mut().for_each(|v| *v *= by),
        None => row.iter_mut().for_each(|v| *v /= divisor),
    }
    // In lanes: one running sum would wait for itself at every element.
    let (mut acc, mut counts) = ([0.0f32; LANES], [0u32; LANES]);
    let (whole, rest) = row.as_chunks::<LANES>();
    let (whole_cols, rest_cols) = cols.as_chunks_mut::<LANES>();
    for (v, c) in whole.iter().zip(whole_cols) {
        for i in 0..LANES {
            c[i] += v[i];
            acc[i] += v[i];
            counts[i] += u32::from(v[i] > gamma);
        }
    }
    let mut total = fold(&acc);
    let mut count = counts.iter().sum();
    for (v, c) in rest.iter().zip(rest_cols) {
        *c += *v;
        total += *v;
        count += u32::from(*v > gamma);
    }
    *sum += total;
    count
}
per_isa! {
    fn finish_row(row: &mut [f32], divisor: f32, by: Option<f32>, gamma: f32, sum: &mut f32, cols: &mut [f32]) -> u32 { finish_row_body }
}
