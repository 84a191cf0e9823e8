//! Working memory that is used again at another length without being cleared.

use std::ops::{Deref, DerefMut};

/// Floats of which the first `len` count. A vector that is cut to the few rows of a last layer and grown again for the next pass would be cleared each time.
#[derive(Default)]
pub(super) struct Buffer {
    store: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// Sets the length; what stands there is whatever an earlier use left.
    pub fn sized(&mut self, len: usize) -> &mut [f32] {
        if self.store.len() < len {
            self.store.resize(len, 0.0);
        }
        self.len = len;
        self
    }
    pub fn copy(&mut self, from: &[f32]) {
        self.sized(from.len()).copy_from_slice(from);
    }
    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        4 * self.store.capacity()
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.store[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.store[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_set_without_touching_what_was_there() {
        let mut b = Buffer::default();
        b.copy(&[1.0, 2.0, 3.0]);
        assert_eq!(b.sized(1), [1.0]);
        assert_eq!(b.sized(4), [1.0, 2.0, 3.0, 0.0]);
        assert!(b.bytes() >= 16);
    }
}
