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
}
