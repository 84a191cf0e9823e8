//! What the fused scan of one weight matrix takes and gives.
//!
//! Per sample `s` the parameter activation is `A(s) = |W o (delta_s^T x_s)|` (METHODS 1). It is formed tile by tile and reduced in
//! place: no weight gradient is ever stored.

use super::Mat;

/// Tokens `start..end` of one sample, belonging to `domain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSpan {
    pub start: usize,
    pub end: usize,
    pub domain: usize,
}

/// Histogram bins of a domain mean: bin = `bits >> 20` of the f32 relative to 2^-40, i.e. 8 bins an octave (each at most 1/8 of an octave's
/// value wide), 48 octaves from 2^-40 to 2^8. Smaller values fall into bin 0, larger into the last.
pub const HISTOGRAM_BINS: usize = 48 * 8;

/// One weight matrix `[out, in]` with the inputs and output gradients of every sample.
#[derive(Clone, Copy)]
pub struct ScanJob<'a> {
    pub w: Mat<'a>,
    /// `[tokens, in]`
    pub x: Mat<'a>,
    /// `[tokens, out]`
    pub delta: Mat<'a>,
    pub samples: &'a [SampleSpan],
    pub n_domains: usize,
    /// Pairs of sample indices whose activations are multiplied (`A(a) . A(b)`).
    pub pairs: &'a [(usize, usize)],
    /// A domain mean counts as activated above this.
    pub gamma: f32,
    /// Domain means, counts, histograms and sums are wanted.
    pub want_means: bool,
}

impl ScanJob<'_> {
    /// # Panics
    /// When weights, inputs and gradients do not fit together: a bug of the caller.
    pub fn assert_fits(&self) {
        let (out, inp) = (self.w.rows, self.w.cols);
        assert!(
            self.x.cols == inp && self.delta.cols == out && self.x.rows == self.delta.rows,
            "scan of {out} x {inp} with inputs {} x {} and gradients {} x {}",
            self.x.rows,
            self.x.cols,
            self.delta.rows,
            self.delta.cols
        );
    }
    /// True where another matrix' scan has the same inputs, samples and questions.
    pub fn reads_as(&self, other: &Self) -> bool {
        std::ptr::eq(self.x.data, other.x.data)
            && (self.x.rows, self.x.cols, self.x.stride) == (other.x.rows, other.x.cols, other.x.stride)
            && (self.n_domains, self.gamma, self.want_means) == (other.n_domains, other.gamma, other.want_means)
            && self.samples == other.samples
            && self.pairs == other.pairs
    }
}

/// Sums over one matrix; add those of a block's matrices for the block.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanSums {
    /// `A(a) . A(b)` for each pair of the job.
    pub pair_dots: Vec<f64>,
    /// `|A(s)|^2` for each sample.
    pub square_norms: Vec<f64>,
    /// For each domain: how many entries of the mean over its samples exceed gamma.
    pub counts: Vec<u64>,
    /// For each domain: [`HISTOGRAM_BINS`] counts of the entries of the mean.
    pub histograms: Vec<Vec<u64>>,
    /// For each domain: row sums `[out]` of the mean.
    pub row_sums: Vec<Vec<f32>>,
    /// For each domain: column sums `[in]` of the mean.
    pub col_sums: Vec<Vec<f32>>,
}

impl ScanSums {
    pub fn zeros(job: &ScanJob<'_>) -> Self {
        let d = if job.want_means { job.n_domains } else { 0 };
        Self {
            pair_dots: vec![0.0; job.pairs.len()],
            square_norms: vec![0.0; job.samples.len()],
            counts: vec![0; d],
            histograms: vec![vec![0; HISTOGRAM_BINS]; d],
            row_sums: vec![vec![0.0; job.w.rows]; d],
            col_sums: vec![vec![0.0; job.w.cols]; d],
        }
    }
}

/// Bin of a non-negative value.
#[inline(always)]
pub fn histogram_bin(value: f32) -> usize {
    // 2^-40 has biased exponent 87; three mantissa bits give 8 bins an octave.
    let key = (value.to_bits() >> 20) as i32 - (87 << 3);
    key.clamp(0, HISTOGRAM_BINS as i32 - 1) as usize
}

/// Lower edge of bin `i` (`i = HISTOGRAM_BINS` gives the upper edge of the last). Bin 0 also holds everything below its edge, zero included.
pub fn histogram_edge(i: usize) -> f32 {
    f32::from_bits(((i as u32) + (87 << 3)) << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_between_the_edges_of_its_bin() {
        assert_eq!(histogram_edge(0), 2f32.powi(-40));
        assert_eq!(histogram_edge(HISTOGRAM_BINS), 2f32.powi(8));
        for value in [1e-12f32, 2e-6, 5e-6, 0.3, 1.0, 1.99, 200.0] {
            let bin = histogram_bin(value);
            assert!(histogram_edge(bin) <= value && value < histogram_edge(bin + 1), "{value}");
        }
        assert_eq!(histogram_bin(0.0), 0);
        assert_eq!(histogram_bin(1e9), HISTOGRAM_BINS - 1);
    }
}
