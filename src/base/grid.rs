//! A dense `[rows, cols]` map of f32, cheap to share: usually `[layer, d_mlp]`.

use crate::base::{Error, Result};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    rows: usize,
    cols: usize,
    values: Arc<[f32]>,
}

impl Grid {
    /// # Errors
    /// When `values.len() != rows * cols`.
    pub fn new(rows: usize, cols: usize, values: impl Into<Arc<[f32]>>) -> Result<Self> {
        let values = values.into();
        if values.len() != rows * cols {
            return Err(Error::invalid(format!("a grid of {rows} x {cols} needs {} values, got {}", rows * cols, values.len())));
        }
        Ok(Self { rows, cols, values })
    }
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, values: vec![0.0; rows * cols].into() }
    }
    pub fn rows(&self) -> usize {
        self.rows
    }
    pub fn cols(&self) -> usize {
        self.cols
    }
    pub fn values(&self) -> &[f32] {
        &self.values
    }
    pub fn shared(&self) -> Arc<[f32]> {
        self.values.clone()
    }
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.cols..(row + 1) * self.cols]
    }
    pub fn get(&self, row: usize, col: usize) -> Option<f32> {
        (row < self.rows && col < self.cols).then(|| self.values[row * self.cols + col])
    }
    /// Elementwise `self - other`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn minus(&self, other: &Self) -> Result<Self> {
        if (self.rows, self.cols) != (other.rows, other.cols) {
            return Err(Error::invalid(format!(
                "cannot subtract a {} x {} map from a {} x {} one",
                other.rows, other.cols, self.rows, self.cols
            )));
        }
        let values: Vec<f32> = self.values.iter().zip(other.values.iter()).map(|(a, b)| a - b).collect();
        Self::new(self.rows, self.cols, values)
    }
    /// Smallest and largest finite value; `None` for a grid without one.
    pub fn range(&self) -> Option<(f32, f32)> {
        let mut finite = self.values.iter().copied().filter(|v| v.is_finite());
        let first = finite.next()?;
        Some(finite.fold((first, first), |(lo, hi), v| (lo.min(v), hi.max(v))))
    }
}
