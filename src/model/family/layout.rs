//! How a family's file keeps a tensor that the decoder wants as `[out, in]` of its own.

/// Which rows of a stored tensor are ours: row `r` is stored row `first + r / block * stride + r % block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub first: usize,
    pub block: usize,
    pub stride: usize,
}

impl Rows {
    /// `count` rows from `first` on.
    pub fn range(first: usize, count: usize) -> Self {
        Self { first, block: count.max(1), stride: count }
    }
    pub fn stored_row(self, r: usize) -> usize {
        self.first + r / self.block * self.stride + r % self.block
    }
}

/// The stored tensor, and our part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub shape: Vec<usize>,
    /// Stored as `[in, out]`.
    pub transposed: bool,
    /// `None`: every row.
    pub rows: Option<Rows>,
}

impl Layout {
    /// Stored as the decoder wants it.
    pub fn whole(shape: Vec<usize>) -> Self {
        Self { shape, transposed: false, rows: None }
    }
    /// A part of a stored tensor of `rows` rows of this one's width.
    pub fn part(shape: &[usize], rows: usize, part: Rows) -> Self {
        let mut stored = shape.to_vec();
        stored[0] = rows;
        Self { shape: stored, transposed: false, rows: Some(part) }
    }
    /// Stored with its two dimensions swapped; a vector stays as it is.
    pub fn transposed(mut self) -> Self {
        self.transposed = self.shape.len() == 2;
        self.shape.reverse();
        self
    }
    pub fn is_whole(&self) -> bool {
        !self.transposed && self.rows.is_none()
    }
    /// Index in the stored tensor of each element of ours, row by row: `(start, step)` of `width` elements.
    pub fn source(&self, row: usize) -> (usize, usize) {
        let row = self.rows.map_or(row, |rows| rows.stored_row(row));
        match self.shape[..] {
            [_, stored_rows] if self.transposed => (row, stored_rows),
            [_, width] => (row * width, 1),
            _ => (row, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_find_their_rows() {
        // Three matrices of 2 rows, one after another.
        let second = Layout::part(&[2, 4], 6, Rows::range(2, 2));
        assert_eq!((second.shape.clone(), second.source(0), second.source(1)), (vec![6, 4], (8, 1), (12, 1)));
        // The same stored [in, out].
        let second = second.transposed();
        assert_eq!((second.shape.clone(), second.source(0), second.source(1)), (vec![4, 6], (2, 6), (3, 6)));
        // Two heads of width 2, each with its q, k, v: k is rows 2, 3 and 8, 9.
        let k = Rows { first: 2, block: 2, stride: 6 };
        assert_eq!([0, 1, 2, 3].map(|r| k.stored_row(r)), [2, 3, 8, 9]);
        assert!(Layout::whole(vec![3]).is_whole() && Layout::whole(vec![3]).transposed().is_whole());
    }
}
