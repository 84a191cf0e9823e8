//! Signed attribution of the task's loss to a neuron: relevance without its absolute value.

use super::MetricInfo;
use crate::scan::MetricKind;

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::Attribution,
    id: "attribution",
    label: "Attribution",
    formula: "mean over samples of sum_t a_tj dLoss/da_tj, signed, a = mlp.hook_post, Loss as for relevance; setting the neuron to 0 is predicted, to first order, to change the mean loss by minus this",
    source: "signed variant of Leng and Xiong, COLING 2025, arXiv 2407.06488",
    unit: "nat",
    signed: true,
    map: Some(|d| d.attribution.as_ref()),
};
