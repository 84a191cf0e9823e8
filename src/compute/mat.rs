//! Row-major matrix views over f32 slices.

/// `[rows, cols]`, row `r` starting at `r * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

/// As [`Mat`], for writing.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

impl<'a> Mat<'a> {
    /// A dense `[rows, cols]` view.
    ///
    /// # Panics
    /// When `data` is not exactly that long: a bug of the caller.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix view of {rows} x {cols}");
        Self { data, rows, cols, stride: cols }
    }
    /// Columns `first..first + cols` of every row.
    pub fn columns(self, first: usize, cols: usize) -> Self {
        assert!(first + cols <= self.cols, "columns {first}+{cols} of {}", self.cols);
        Self { data: &self.data[first.min(self.data.len())..], cols, ..self }
    }
    /// Rows `first..first + rows`.
    pub fn rows(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows {first}+{rows} of {}", self.rows);
        Self { data: &self.data[(first * self.stride).min(self.data.len())..], rows, ..self }
    }
    pub fn row(&self, r: usize) -> &'a [f32] {
        &self.data[r * self.stride..r * self.stride + self.cols]
    }
}

impl<'a> MatMut<'a> {
    /// A dense `[rows, cols]` view.
    ///
    /// # Panics
    /// When `data` is not exactly that long: a bug of the caller.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix view of {rows} x {cols}");
        Self { data, rows, cols, stride: cols }
    }
    /// Columns `first..first + cols` of every row.
    pub fn columns(self, first: usize, cols: usize) -> Self {
        assert!(first + cols <= self.cols, "columns {first}+{cols} of {}", self.cols);
        let first = first.min(self.data.len());
        Self { data: &mut self.data[first..], cols, ..self }
    }
}

/// Whether all are 0 (or -0): rows of gradients that no objective reaches are, and cost nothing once they are known.
#[must_use]
pub fn all_zero(values: &[f32]) -> bool {
    // Blocks without a way out become vector code; a way out after each of them spares what follows.
    const BLOCK: usize = 64;
    let live = |block: &[f32]| block.iter().fold(0, |bits, v| bits | v.to_bits() << 1) != 0;
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    !blocks.iter().any(|b| live(b)) && !live(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_anywhere_is_seen_and_signs_of_zero_are_not() {
        for n in [0, 1, 63, 64, 65, 200] {
            let mut values = vec![0.0f32; n];
            values.iter_mut().step_by(3).for_each(|v| *v = -0.0);
            assert!(all_zero(&values), "{n}");
            for i in 0..n {
                for live in [1e-45, -1.0, f32::NAN, f32::NEG_INFINITY] {
                    let before = std::mem::replace(&mut values[i], live);
                    assert!(!all_zero(&values), "{live} at {i} of {n}");
                    values[i] = before;
                }
            }
        }
    }
}
