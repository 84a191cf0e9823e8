//! Pooled copies of a map, so that a whole model fits a few pixels without losing its hottest cell.

use crate::base::Grid;
use rayon::prelude::*;
use std::ops::Range;

/// Stands for a cell that is not finite. No measured value is this large; NaN itself is not safe in a shader.
pub const NOT_FINITE: f32 = f32::MIN;

/// Level 0 is the map; an entry of level k is the largest by magnitude, sign kept, of 2^k neighbours along a row. Rows are never pooled here:
/// layers are few. Levels lie one after another, each column by column: a picture needs the same cells of every row, and these lie beside each
/// other, so that no byte is fetched in vain.
pub struct Pyramid {
    pub rows: usize,
    pub cols: usize,
    /// `[level][column >> level][row]`
    pub values: Vec<f32>,
    /// Where each level starts in `values`.
    pub offsets: Vec<usize>,
}

/// Orders values by magnitude, below all of them what is not finite. Of integers, a maximum needs no branch.
fn heat(v: f32) -> i32 {
    if v == NOT_FINITE { -1 } else { v.abs().to_bits() as i32 }
}

/// Cells of a row that are turned at a time: a cache line of each.
const TURNED: usize = 16;

impl Pyramid {
    pub fn new(grid: &Grid) -> Self {
        let (rows, cols) = (grid.rows(), grid.cols());
        let mut offsets = vec![0];
        let mut width = cols;
        while width > 1 {
            offsets.push(offsets[offsets.len() - 1] + width * rows);
            width = width.div_ceil(2);
        }
        let mut values = vec![0.0; offsets[offsets.len() - 1] + width * rows];
        values[..rows * cols].par_chunks_mut((TURNED * rows).max(1)).enumerate().for_each(|(k, turned)| {
            for row in 0..rows {
                let cells = &grid.row(row)[k * TURNED..];
                for (column, &v) in turned.chunks_exact_mut(rows).zip(cells) {
                    // Subnormals become 0: a GPU may flush them, the CPU would not.
                    column[row] = match v {
                        v if !v.is_finite() => NOT_FINITE,
                        v if v.abs() < f32::MIN_POSITIVE => 0.0,
                        v => v,
                    };
                }
            }
        });
        let mut width = cols;
        for pair in offsets.windows(2) {
            let (done, new) = values.split_at_mut(pair[1]);
            width = width.div_ceil(2);
            // Some columns at a time, so that a thread has enough to do.
            let (many, twice) = (64 * rows, 128 * rows);
            new[..width * rows].par_chunks_mut(many.max(1)).zip(done[pair[0]..].par_chunks(twice.max(1))).for_each(|(new, old)| {
                for (new, pair) in new.chunks_exact_mut(rows).zip(old.chunks(2 * rows)) {
                    let (a, b) = pair.split_at(rows);
                    new.copy_from_slice(a);
                    raise(new, b);
                }
            });
        }
        Self { rows, cols, values, offsets }
    }
    /// A cell is not finite.
    pub fn has_nan(&self) -> bool {
        self.values[..self.rows * self.cols].contains(&NOT_FINITE)
    }
    /// Of each row of `rows`, the hottest of cells `from..to`, which are in the map; `hottest` is as long as `rows`. At most
    /// 2 log2(to - from) entries of a row are read.
    pub fn hottest(&self, rows: Range<usize>, from: usize, to: usize, hottest: &mut [f32]) {
        hottest.fill(NOT_FINITE);
        let top = self.offsets.len() - 1;
        let mut at = from;
        while at < to {
            // The widest entry that starts here and ends inside.
            let level = (at.trailing_zeros().min((to - at).ilog2()) as usize).min(top);
            let column = self.offsets[level] + (at >> level) * self.rows;
            raise(hottest, &self.values[column + rows.start..column + rows.end]);
            at += 1 << level;
        }
    }
}

/// The hotter of each two.
fn raise(a: &mut [f32], b: &[f32]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = hotter(*a, b);
    }
}

/// The larger by magnitude, of equally large ones the former; a cell that is not finite yields to any that is.
pub fn hotter(a: f32, b: f32) -> f32 {
    if heat(b) > heat(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_hottest_of_any_range_is_found(
            values in proptest::collection::vec(prop_oneof![9 => -1f32..1.0, 1 => Just(f32::NAN)], 3..200), cut in (0.0..1.0f64, 0.0..1.0f64)
        ) {
            let cols = values.len() / 3;
            let grid = Grid::new(3, cols, values[..3 * cols].to_vec()).expect("grid");
            let pyramid = Pyramid::new(&grid);
            let (a, b) = ((cut.0 * cols as f64) as usize, (cut.1 * cols as f64) as usize);
            let (from, to) = (a.min(b), a.max(b).max(a.min(b) + 1).min(cols));
            let mut hottest = [0.0; 3];
            pyramid.hottest(0..3, from, to, &mut hottest);
            let mut two = [0.0; 2];
            pyramid.hottest(1..3, from, to, &mut two);
            prop_assert_eq!(&two, &hottest[1..]);
            for (row, found) in hottest.into_iter().enumerate() {
                let want = grid.row(row)[from..to].iter().copied().filter(|v| v.is_finite())
                    .fold(None, |m: Option<f32>, v| if m.is_none_or(|m| v.abs() > m.abs()) { Some(v) } else { m });
                prop_assert_eq!(found, want.unwrap_or(NOT_FINITE));
            }
        }
    }

    #[test]
    fn columns_lie_beside_each_other_at_every_level() {
        // Two rows of five, the second negative: pairs 1 2 | 3 4 | 5, then fours, then all.
        let p = Pyramid::new(&Grid::new(2, 5, vec![1.0, 2.0, 3.0, 4.0, 5.0, -1.0, -2.0, -3.0, -4.0, -5.0]).expect("grid"));
        assert_eq!(p.offsets, [0, 10, 16, 20]);
        assert_eq!(p.values[..4], [1.0, -1.0, 2.0, -2.0]);
        assert_eq!(p.values[10..], [2.0, -2.0, 4.0, -4.0, 5.0, -5.0, 4.0, -4.0, 5.0, -5.0, 5.0, -5.0]);
    }

    #[test]
    fn one_hot_cell_is_on_every_level() {
        let mut v = vec![0.1; 1000];
        v[777] = -3.0;
        let p = Pyramid::new(&Grid::new(1, 1000, v).expect("grid"));
        assert_eq!(p.offsets.len(), 11);
        for level in 0..11 {
            assert_eq!(p.values[p.offsets[level] + (777 >> level)], -3.0);
        }
    }
}
