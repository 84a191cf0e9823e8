//! One tile of the fused scan: `A = |W o (delta^T x)|` of every sample in turn, straight from registers into the sums.
//!
//! A tile is stored as blocks of `rows x cols` of the microkernel's [`Geometry`], each contiguous, edges filled up with zeros: zero weights
//! give zero activations, which no sum notices.

use super::{
    isa::{Isa, Level, per_isa},
    numeric::{LANES, dot, fma, fold},
    scan::Plan,
};
use crate::compute::{HISTOGRAM_BINS, ScanJob, scan_job::histogram_bin};

/// Rows and columns whose sums over tokens stand in registers at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub rows: usize,
    pub cols: usize,
}

impl Geometry {
    pub fn of(isa: Isa) -> Self {
        match isa.level() {
            Level::Avx512 | Level::Avx2 | Level::Baseline => Self { rows: 6, cols: 16 },
        }
    }
}

/// Floats of kept activations that the pair products go through at a time, so that they come from cache.
const PAIR_PIECE: usize = 96 * 1024;

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

/// Buffers of one thread.
pub(super) struct TileScratch {
    weights: Vec<f32>,
    mean: Vec<f32>,
    /// `[n_slots, tile]`
    kept: Vec<f32>,
}

impl TileScratch {
    pub fn new(plan: &Plan, elements: usize) -> Self {
        Self { weights: vec![0.0; elements], mean: vec![0.0; elements], kept: vec![0.0; plan.n_slots * elements] }
    }
}

/// Sums over one tile, fields as in [`crate::compute::ScanSums`].
pub(super) struct TileSums {
    pub squares: Vec<f64>,
    pub dots: Vec<f64>,
    pub domains: Vec<DomainTile>,
}

pub(super) struct DomainTile {
    pub count: u64,
    pub histogram: Vec<u32>,
    pub row_sums: Vec<f32>,
    pub col_sums: Vec<f32>,
}

pub(super) fn run(isa: Isa, t: &TileJob<'_>, scratch: &mut TileScratch) -> TileSums {
    let (job, plan, g) = (t.job, t.plan, t.geometry);
    let (down, across) = (t.rows.div_ceil(g.rows), t.cols.div_ceil(g.cols));
    let elements = down * g.rows * across * g.cols;
    let weights = &mut scratch.weights[..elements];
    load_weights(t, down, weights);
    let mean = &mut scratch.mean[..elements];
    let mut squares = vec![0.0; job.samples.len()];
    let mut domains = Vec::new();
    let mut order = plan.order.iter();
    for (domain, &size) in plan.domain_sizes.iter().enumerate() {
        mean.fill(0.0);
        for &s in order.by_ref().take(size) {
            debug_assert_eq!(job.samples[s].domain, domain);
            let tokens = job.samples[s].end - job.samples[s].start;
            let (ds, xs) = (plan.packed_start[s] * t.row_panels * g.rows, plan.packed_start[s] * t.col_panels * g.cols);
            let operands = Operands {
                delta: &t.delta_panels[ds + t.first_row_panel * tokens * g.rows..][..down * tokens * g.rows],
                x: &t.x_panels[xs + t.first_col_panel * tokens * g.cols..][..across * tokens * g.cols],
                weights,
                tokens,
                down,
                across,
            };
            let kept = plan.slot[s].map(|slot| &mut scratch.kept[slot * elements..][..elements]);
            squares[s] = match (job.want_means, kept) {
                (true, Some(kept)) => mean_and_keep(isa, &operands, mean, kept),
                (true, None) => mean_only(isa, &operands, mean),
                (false, Some(kept)) => keep_only(isa, &operands, kept),
                (false, None) => norm_only(isa, &operands),
            };
        }
        if job.want_means {
            domains.push(read_mean(isa, t, down, mean, size));
        }
    }
    let mut dots = vec![0.0; job.pairs.len()];
    if !plan.cross_pairs.is_empty() {
        let step = (PAIR_PIECE / plan.n_slots / LANES * LANES).max(16 * LANES);
        for first in (0..elements).step_by(step) {
            pair_products(isa, &scratch.kept, elements, first..(first + step).min(elements), &plan.cross_pairs, &mut dots);
        }
    }
    TileSums { squares, dots, domains }
}

/// The tile's weights in block order.
fn load_weights(t: &TileJob<'_>, down: usize, weights: &mut [f32]) {
    let g = t.geometry;
    weights.fill(0.0);
    for r in 0..t.rows {
        let row = &t.job.w.row(t.first_row + r)[t.first_col..t.first_col + t.cols];
        for (c, part) in row.chunks(g.cols).enumerate() {
            let at = ((c * down + r / g.rows) * g.rows + r % g.rows) * g.cols;
            weights[at..at + part.len()].copy_from_slice(part);
        }
    }
}

/// Packed operands of one sample and the tile's weights, all in panels and blocks.
struct Operands<'a> {
    delta: &'a [f32],
    x: &'a [f32],
    weights: &'a [f32],
    tokens: usize,
    down: usize,
    across: usize,
}

const ROWS: usize = 6;
const COLS: usize = 16;

/// Sums over tokens of one block.
#[inline(always)]
fn block<const FMA: bool>(delta: &[f32], x: &[f32]) -> [[f32; COLS]; ROWS] {
    let mut acc = [[0.0f32; COLS]; ROWS];
    for (d, x) in delta.chunks_exact(ROWS).zip(x.chunks_exact(COLS)) {
        for r in 0..ROWS {
            for c in 0..COLS {
                acc[r][c] = fma::<FMA>(d[r], x[c], acc[r][c]);
            }
        }
    }
    acc
}

/// All blocks of a tile for one sample: adds to the mean, keeps, returns the sum of squares.
#[inline(always)]
fn sample<const FMA: bool, const MEAN: bool, const KEEP: bool>(o: &Operands<'_>, mean: &mut [f32], kept: &mut [f32]) -> f64 {
    let mut squares = [0.0f32; COLS];
    for c in 0..o.across {
        let x = &o.x[c * o.tokens * COLS..][..o.tokens * COLS];
        for r in 0..o.down {
            let delta = &o.delta[r * o.tokens * ROWS..][..o.tokens * ROWS];
            let acc = block::<FMA>(delta, x);
            let at = (c * o.down + r) * ROWS * COLS;
            let w = &o.weights[at..at + ROWS * COLS];
            let mut a = [0.0f32; ROWS * COLS];
            for i in 0..ROWS {
                for j in 0..COLS {
                    a[i * COLS + j] = (acc[i][j] * w[i * COLS + j]).abs();
                    squares[j] = fma::<FMA>(a[i * COLS + j], a[i * COLS + j], squares[j]);
                }
            }
            if MEAN {
                for (m, a) in mean[at..at + ROWS * COLS].iter_mut().zip(&a) {
                    *m += a;
                }
            }
            if KEEP {
                kept[at..at + ROWS * COLS].copy_from_slice(&a);
            }
        }
    }
    f64::from(fold(&squares))
}

#[inline(always)]
fn mean_and_keep_body<const FMA: bool>(o: &Operands<'_>, mean: &mut [f32], kept: &mut [f32]) -> f64 {
    sample::<FMA, true, true>(o, mean, kept)
}
per_isa! { fn mean_and_keep(o: &Operands<'_>, mean: &mut [f32], kept: &mut [f32]) -> f64 { mean_and_keep_body } }

#[inline(always)]
fn mean_only_body<const FMA: bool>(o: &Operands<'_>, mean: &mut [f32]) -> f64 {
    sample::<FMA, true, false>(o, mean, &mut [])
}
per_isa! { fn mean_only(o: &Operands<'_>, mean: &mut [f32]) -> f64 { mean_only_body } }

#[inline(always)]
fn keep_only_body<const FMA: bool>(o: &Operands<'_>, kept: &mut [f32]) -> f64 {
    sample::<FMA, false, true>(o, &mut [], kept)
}
per_isa! { fn keep_only(o: &Operands<'_>, kept: &mut [f32]) -> f64 { keep_only_body } }

#[inline(always)]
fn norm_only_body<const FMA: bool>(o: &Operands<'_>) -> f64 {
    sample::<FMA, false, false>(o, &mut [], &mut [])
}
per_isa! { fn norm_only(o: &Operands<'_>) -> f64 { norm_only_body } }

/// Products of kept activations over the elements `part` of the tile, added to `dots`.
#[inline(always)]
fn pair_products_body<const FMA: bool>(
    kept: &[f32],
    elements: usize,
    part: std::ops::Range<usize>,
    pairs: &[(usize, usize, usize)],
    dots: &mut [f64],
) {
    for &(i, a, b) in pairs {
        let (a, b) = (&kept[a * elements..][part.clone()], &kept[b * elements..][part.clone()]);
        dots[i] += f64::from(dot::<FMA>(a, b));
    }
}
per_isa! {
    fn pair_products(kept: &[f32], elements: usize, part: std::ops::Range<usize>, pairs: &[(usize, usize, usize)], dots: &mut [f64]) {
        pair_products_body
    }
}

/// Count, histogram, row and column sums of a domain's mean; `mean` holds the sum over its `size` samples and ends as the mean.
fn read_mean(isa: Isa, t: &TileJob<'_>, down: usize, mean: &mut [f32], size: usize) -> DomainTile {
    let g = t.geometry;
    let mut out = DomainTile { count: 0, histogram: vec![0; HISTOGRAM_BINS], row_sums: vec![0.0; t.rows], col_sums: vec![0.0; t.cols] };
    // Neighbours often fall into one bin; four tables keep their increments from waiting for each other.
    let mut tables = [[0u32; HISTOGRAM_BINS]; 4];
    let divisor = size.max(1) as f32;
    for (c, column) in mean.chunks_mut(down * g.rows * g.cols).enumerate() {
        let width = g.cols.min(t.cols - c * g.cols);
        let cols = &mut out.col_sums[c * g.cols..c * g.cols + width];
        for (r, row) in column.chunks_mut(g.cols).take(t.rows).enumerate() {
            let row = &mut row[..width];
            out.count += u64::from(finish_row(isa, row, divisor, t.job.gamma, &mut out.row_sums[r], cols));
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
fn finish_row_body<const FMA: bool>(row: &mut [f32], divisor: f32, gamma: f32, sum: &mut f32, cols: &mut [f32]) -> u32 {
    let mut count = 0;
    let mut total = 0.0;
    for (v, c) in row.iter_mut().zip(cols) {
        *v /= divisor;
        *c += *v;
        total += *v;
        count += u32::from(*v > gamma);
    }
    *sum += total;
    count
}
per_isa! {
    fn finish_row(row: &mut [f32], divisor: f32, gamma: f32, sum: &mut f32, cols: &mut [f32]) -> u32 { finish_row_body }
}
