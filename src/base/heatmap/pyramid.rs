//! Pooled copies of a map, so that a whole model fits a few pixels without losing its hottest cell.

use crate::base::Grid;
use rayon::prelude::*;

/// Stands for a cell that is not finite. No measured value is this large; NaN itself is not safe in a shader.
pub const NOT_FINITE: f32 = f32::MIN;

/// Level 0 is the map; an entry of level k is the largest by magnitude, sign kept, of 2^k neighbours along a row. Rows are never pooled here:
/// layers are few. Levels lie one after another, each row-major.
pub struct Pyramid {
    pub rows: usize,
    pub cols: usize,
    pub values: Vec<f32>,
    /// Where each level starts in `values`.
    pub offsets: Vec<usize>,
}

/// The larger by magnitude; a cell that is not finite yields to any that is.
fn hotter(a: f32, b: f32) -> f32 {
    if a == NOT_FINITE || (b != NOT_FINITE && b.abs() > a.abs()) { b } else { a }
}

/// Number of entries of a row at `level`.
pub fn level_width(cols: usize, level: usize) -> usize {
    cols.div_ceil(1 << level)
}

impl Pyramid {
    pub fn new(grid: &Grid) -> Self {
        let (rows, cols) = (grid.rows(), grid.cols());
        let mut values: Vec<f32> = Vec::with_capacity(2 * grid.values().len() + 32 * rows);
        // Subnormals become 0: a GPU may flush them, the CPU would not.
        values.extend(grid.values().iter().map(|&v| match v {
            v if !v.is_finite() => NOT_FINITE,
            v if v.abs() < f32::MIN_POSITIVE => 0.0,
            v => v,
        }));
        let mut offsets = vec![0];
        let mut width = cols;
        while width > 1 {
            let half = width.div_ceil(2);
            let from = offsets[offsets.len() - 1];
            let to = values.len();
            offsets.push(to);
            values.resize(to + rows * half, 0.0);
            let (done, new) = values.split_at_mut(to);
            new.par_chunks_mut(half).zip(done[from..].par_chunks(width)).for_each(|(new, old)| {
                for (n, pair) in new.iter_mut().zip(old.chunks(2)) {
                    *n = pair.iter().copied().reduce(hotter).unwrap_or(NOT_FINITE);
                }
            });
            width = half;
        }
        Self { rows, cols, values, offsets }
    }
    /// A cell is not finite.
    pub fn has_nan(&self) -> bool {
        self.values[..self.rows * self.cols].contains(&NOT_FINITE)
    }
    /// Largest by magnitude of row `row`, cells `from..to`, in at most 2 log2(to - from) steps.
    pub fn hottest(&self, row: usize, from: usize, to: usize) -> f32 {
        let top = self.offsets.len() - 1;
        let mut best = NOT_FINITE;
        let mut at = from;
        while at < to {
            // The widest entry that starts here and ends inside.
            let level = (at.trailing_zeros().min((to - at).ilog2()) as usize).min(top);
            let entry = self.values[self.offsets[level] + row * level_width(self.cols, level) + (at >> level)];
            best = hotter(best, entry);
            at += 1 << level;
        }
        best
    }
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
            for row in 0..3 {
                let want = grid.row(row)[from..to].iter().copied().filter(|v| v.is_finite())
                    .fold(None, |m: Option<f32>, v| if m.is_none_or(|m| v.abs() > m.abs()) { Some(v) } else { m });
                prop_assert_eq!(pyramid.hottest(row, from, to), want.unwrap_or(NOT_FINITE));
            }
        }
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
