//! Mean activation of a neuron over all tokens.

use super::MetricInfo;
use crate::{model::Batch, scan::MetricKind};

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::MeanActivation,
    id: "mean_activation",
    label: "Mean activation",
    formula: "mean over all tokens of all samples of mlp.hook_post",
    source: "plain mean of the hook point's values",
    unit: "units of mlp.hook_post",
    signed: true,
    map: Some(|d| d.mean_activation.as_ref()),
};

/// Adds `f(a)` over the tokens of every sequence to `sums` of its domain, `[width]`, in f64.
pub(super) fn add_values(batch: &Batch, domains: &[usize], values: &[f32], sums: &mut [Vec<f64>], f: impl Fn(f64) -> f64) {
    let width = values.len() / batch.n_tokens().max(1);
    for (i, &domain) in domains.iter().enumerate() {
        let span = batch.span(i);
        for row in values[span.start * width..span.end * width].chunks_exact(width) {
            sums[domain].iter_mut().zip(row).for_each(|(s, &a)| *s += f(f64::from(a)));
        }
    }
}

pub fn add_activation(batch: &Batch, domains: &[usize], values: &[f32], sums: &mut [Vec<f64>]) {
    add_values(batch, domains, values, sums, |a| a);
}
