//! A tensor of a GGUF file as the family expects it.

use super::{
    GgmlType,
    header::TensorInfo,
    place::{Change, Place},
};
use crate::model::{
    load::{FileBytes, FileRange, Stored},
    weights::Tensor,
};
use std::{ops::Range, sync::Arc};

/// One tensor of the model in the file.
#[derive(Clone)]
pub(super) struct GgufTensor {
    file: Arc<FileBytes>,
    pub dtype: GgmlType,
    pub shape: Vec<usize>,
    bytes: Range<usize>,
    change: Change,
}

impl GgufTensor {
    /// Ours, of this shape, in a stored tensor whose shape is that of its place.
    pub fn new(file: &Arc<FileBytes>, info: &TensorInfo, place: &Place, shape: Vec<usize>) -> Self {
        // Rows are whole blocks: where they are single numbers, only types without blocks are let through.
        let row = info.bytes.len() / place.shape[0];
        let start = info.bytes.start + place.first_row * row;
        Self { file: file.clone(), dtype: info.dtype, bytes: start..start + shape[0] * row, shape, change: place.change }
    }
}

impl Stored for GgufTensor {
    fn resident_bytes(&self) -> u64 {
        // The map begins at a page.
        let borrowed = self.dtype == GgmlType::F32 && self.change == Change::None && self.bytes.start.is_multiple_of(4);
        if borrowed { 0 } else { 4 * self.shape.iter().product::<usize>() as u64 }
    }

    fn in_file(&self) -> FileRange {
        FileRange { file: self.file.clone(), bytes: self.bytes.clone() }
    }

    fn to_tensor(&self) -> Tensor {
        if self.dtype == GgmlType::F32
            && self.change == Change::None
            && let Some(mapped) = Tensor::mapped(self.shape.clone(), &self.file, self.bytes.start, self.bytes.end)
        {
            return mapped;
        }
        let mut values = vec![0f32; self.shape.iter().product()];
        self.dtype.widen(&self.file[self.bytes.clone()], &mut values);
        let values = match self.change {
            Change::None => values,
            Change::Uninterleave { heads } => uninterleave(&values, self.shape[0], heads),
            Change::LessOne => values.into_iter().map(|v| v - 1.0).collect(),
        };
        Tensor::new(self.shape.clone(), values)
    }
}

/// Source: `LlamaModel.permute` of llama.cpp's converter, whose inverse this is.
fn uninterleave(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, head) = (values.len() / rows, rows / heads);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        let (h, half, i) = (row / head, row % head / (head / 2), row % (head / 2));
        let from = h * head + 2 * i + half;
        out.extend_from_slice(&values[from * width..(from + 1) * width]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_put_back_in_halves() {
        // Two heads of four rows of one value each; the file holds each head as 0, 2, 1, 3.
        let stored = [0., 2., 1., 3., 10., 12., 11., 13.];
        assert_eq!(uninterleave(&stored, 8, 2), [0., 1., 2., 3., 10., 11., 12., 13.]);
        // Rows of two.
        assert_eq!(uninterleave(&[0., 0.5, 1., 1.5], 2, 1), [0., 0.5, 1., 1.5]);
    }
}
