//! Parameter activation of a domain: density, histogram, and the roll-up onto hidden units.

use super::MetricInfo;
use crate::{
    compute::{ScanSums, scan_job::HISTOGRAM_BINS},
    model::Matrix,
    scan::MetricKind,
};

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::ParamActivation,
    id: "param_activation",
    label: "Parameter activation",
    formula: "A_i = mean over samples of |w_i dD/dw_i|; neuron j: sum of A over gate row j, up row j and down column j; density: share of a block's A_i > gamma",
    source: "Wang et al., AAAI 2025, arXiv 2405.17799; the sum over a neuron's weights is ours",
    unit: "units of D",
    signed: false,
    map: Some(|d| d.param_activation.as_ref()),
};

/// One domain's parameter activation in one layer, summed over the layer's matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerActivation {
    pub count: u64,
    pub histogram: Vec<u64>,
    /// `[f]`
    pub roll_up: Vec<f64>,
}

impl LayerActivation {
    pub fn zeros(d_mlp: usize) -> Self {
        Self { count: 0, histogram: vec![0; HISTOGRAM_BINS], roll_up: vec![0.0; d_mlp] }
    }
    /// Adds domain `domain` of the sums over rows `first_row..` of one matrix. Hidden unit j owns row j of gate and up, column j of down.
    pub fn add(&mut self, matrix: Matrix, first_row: usize, sums: &ScanSums, domain: usize) {
        self.count += sums.counts[domain];
        self.histogram.iter_mut().zip(&sums.histograms[domain]).for_each(|(h, n)| *h += n);
        let (first, of_units) = match matrix {
            Matrix::Gate | Matrix::Up => (first_row, &sums.row_sums[domain]),
            Matrix::Down => (0, &sums.col_sums[domain]),
            Matrix::Q | Matrix::K | Matrix::V | Matrix::O => return,
        };
        self.roll_up[first..].iter_mut().zip(of_units).for_each(|(r, &a)| *r += f64::from(a));
    }
}
