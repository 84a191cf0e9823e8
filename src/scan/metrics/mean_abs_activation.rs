//! Mean absolute activation of a neuron over all tokens.

use super::{MetricInfo, mean_activation::add_values};
use crate::{model::Batch, scan::MetricKind};

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::MeanAbsActivation,
    id: "mean_abs_activation",
    label: "Mean |activation|",
    formula: "mean over all tokens of all samples of |mlp.hook_post|",
    source: "plain mean of the hook point's absolute values",
    unit: "units of mlp.hook_post",
    signed: false,
    map: Some(|d| d.mean_abs_activation.as_ref()),
};

pub fn add_abs_activation(batch: &Batch, domains: &[usize], values: &[f32], sums: &mut [Vec<f64>]) {
    add_values(batch, domains, values, sums, f64::abs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::metrics::mean_activation::add_activation;

    #[test]
    fn each_sequence_counts_for_its_own_domain() {
        let batch = Batch::new(&[vec![1u32, 2], vec![3]]);
        let a = [1.0, -2.0, 3.0, -1.0, 5.0, -5.0];
        let (mut means, mut abs) = (vec![vec![0.0; 2]; 2], vec![vec![0.0; 2]; 2]);
        add_activation(&batch, &[1, 0], &a, &mut means);
        add_abs_activation(&batch, &[1, 0], &a, &mut abs);
        assert_eq!(means, vec![vec![5.0, -5.0], vec![4.0, -3.0]]);
        assert_eq!(abs, vec![vec![5.0, 5.0], vec![4.0, 3.0]]);
    }
}
