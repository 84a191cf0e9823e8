//! How much an index keeps of each neuron.

use serde::{Deserialize, Serialize};

/// Sizes of what is kept of one neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexShape {
    /// Bins of a domain's histogram.
    pub bins: usize,
    /// Samples with the largest and with the smallest activations.
    pub top: usize,
    pub bottom: usize,
    /// Tokens kept before and after an extreme.
    pub before: usize,
    pub after: usize,
    /// Token positions at which all neurons are compared.
    pub positions: usize,
}

/// From the fullest to the thinnest.
const SHAPES: [IndexShape; 5] = [
    IndexShape { bins: 64, top: 8, bottom: 4, before: 15, after: 8, positions: 512 },
    IndexShape { bins: 64, top: 8, bottom: 4, before: 11, after: 4, positions: 256 },
    IndexShape { bins: 32, top: 8, bottom: 4, before: 7, after: 4, positions: 128 },
    IndexShape { bins: 32, top: 4, bottom: 2, before: 5, after: 2, positions: 64 },
    IndexShape { bins: 16, top: 2, bottom: 1, before: 5, after: 2, positions: 32 },
];

impl IndexShape {
    pub const fn full() -> Self {
        SHAPES[0]
    }
    /// Tokens of a window round an extreme.
    pub fn window(&self) -> usize {
        self.before + 1 + self.after
    }
    pub fn peaks(&self) -> usize {
        self.top + self.bottom
    }
    /// Bytes of one neuron: scale, histograms (u16) and statistics of each domain, extremes with their windows (f16), compared positions (f16).
    pub fn bytes_a_neuron(&self, domains: usize) -> u64 {
        let domain = 2 * self.bins + 4 * super::index::STATS;
        (12 + domains * domain + self.peaks() * (8 + 2 * self.window()) + 2 * self.positions) as u64
    }
    /// The fullest shape whose index fits, and in words what was thinned. The thinnest is taken even where it does not fit.
    pub fn fit(neurons: usize, domains: usize, bytes: u64) -> (Self, Option<String>) {
        let size = |s: &Self| neurons as u64 * s.bytes_a_neuron(domains);
        let shape = *SHAPES.iter().find(|s| size(s) <= bytes).unwrap_or(&SHAPES[SHAPES.len() - 1]);
        let full = SHAPES[0];
        let words = (shape != full).then(|| {
            format!(
                "kept of each neuron: {} of {} histogram bins, {} of {} extremes, {} of {} tokens round each, {} of {} compared positions",
                shape.bins,
                full.bins,
                shape.peaks(),
                full.peaks(),
                shape.window(),
                full.window(),
                shape.positions,
                full.positions
            )
        });
        (shape, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_model_is_thinned_and_says_so() {
        let (small, words) = IndexShape::fit(4096, 6, 256 << 20);
        assert_eq!((small, words), (IndexShape::full(), None));
        // 32 layers of 11,008 neurons, as a model of 7 billion parameters has.
        let neurons = 32 * 11_008;
        let (large, words) = IndexShape::fit(neurons, 6, 256 << 20);
        assert!(neurons as u64 * large.bytes_a_neuron(6) <= 256 << 20);
        assert!(words.is_some_and(|w| w.contains("of 512 compared positions")));
    }
}
