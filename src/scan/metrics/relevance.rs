//! Relevance of a neuron (and of a head) for the task's loss.

use super::MetricInfo;
use crate::scan::MetricKind;

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::Relevance,
    id: "relevance",
    label: "Relevance",
    formula: "R_j = mean over samples of |sum_t a_tj dLoss/da_tj|, a = mlp.hook_post, Loss = mean cross-entropy of the answer's tokens (plain text: of all tokens)",
    source: "Leng and Xiong, COLING 2025, arXiv 2407.06488",
    unit: "nat",
    signed: false,
    map: Some(|d| d.relevance.as_ref()),
};

/// Adds `|sum over tokens and over each group of `group` neighbouring coordinates of a * da|` of every sequence of the batch to `sums` of its
/// domain, `[width / group]`, and the same without the bars to `signed`. `values`, `gradient` `[n, width]`; sequence i has rows `starts[i]..starts[i + 1]`
/// and domain `domains[i]`. Sums run in f64.
pub fn add_relevance(
    starts: &[usize],
    domains: &[usize],
    values: &[f32],
    gradient: &[f32],
    group: usize,
    sums: &mut [Vec<f64>],
    mut signed: Option<&mut Vec<Vec<f64>>>,
) {
    let width = values.len() / starts.last().copied().unwrap_or(0).max(1);
    let mut sample = vec![0.0f64; width / group];
    for (rows, &domain) in starts.windows(2).zip(domains) {
        sample.fill(0.0);
        let tokens = rows[0] * width..rows[1] * width;
        for (a, g) in values[tokens.clone()].chunks_exact(width).zip(gradient[tokens].chunks_exact(width)) {
            if group == 1 {
                sample.iter_mut().zip(a).zip(g).for_each(|((s, &a), &g)| *s += f64::from(a) * f64::from(g));
            } else {
                for ((s, a), g) in sample.iter_mut().zip(a.chunks_exact(group)).zip(g.chunks_exact(group)) {
                    *s += a.iter().zip(g).map(|(&a, &g)| f64::from(a) * f64::from(g)).sum::<f64>();
                }
            }
        }
        sums[domain].iter_mut().zip(&sample).for_each(|(s, r)| *s += r.abs());
        if let Some(signed) = &mut signed {
            signed[domain].iter_mut().zip(&sample).for_each(|(s, r)| *s += r);
        }
    }
}

/// Adds `weight * a * da` (with `bars` its absolute value) of every token of one sequence to `sums` `[width]`. `values`, `gradient` `[t, width]`.
pub fn add_products(values: &[f32], gradient: &[f32], bars: bool, weight: f64, sums: &mut [f64]) {
    let width = sums.len().max(1);
    for (a, g) in values.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        if bars {
            sums.iter_mut().zip(a).zip(g).for_each(|((s, &a), &g)| *s += (weight * f64::from(a) * f64::from(g)).abs());
        } else {
            sums.iter_mut().zip(a).zip(g).for_each(|((s, &a), &g)| *s += weight * f64::from(a) * f64::from(g));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_summed_with_or_without_bars() {
        // Two tokens, two neurons.
        let (a, g) = ([1.0, 2.0, 3.0, 1.0], [1.0, -1.0, -1.0, 0.5]);
        let mut sums = [0.0; 2];
        add_products(&a, &g, false, 2.0, &mut sums);
        assert_eq!(sums, [2.0 * (1.0 - 3.0), 2.0 * (-2.0 + 0.5)]);
        add_products(&a, &g, true, 1.0, &mut sums);
        assert_eq!(sums, [-4.0 + 4.0, -3.0 + 2.5]);
    }

    #[test]
    fn tokens_are_summed_before_the_absolute_value_and_samples_after() {
        // Two sequences of two and one token, three neurons.
        let starts = [0, 2, 3];
        let a = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        let g = [1.0, -1.0, 0.5, -1.0, -1.0, 0.5, -3.0, 0.0, 1.0];
        let (mut sums, mut signed) = (vec![vec![0.0; 3]], vec![vec![0.0; 3]]);
        add_relevance(&starts, &[0, 0], &a, &g, 1, &mut sums, Some(&mut signed));
        // |1 - 1| + |-6|, |-2 - 1| + 0, |1.5 + 0.5| + 2
        assert_eq!(sums, vec![vec![6.0, 3.0, 4.0]]);
        assert_eq!(signed, vec![vec![-6.0, -3.0, 4.0]]);
        let mut heads = vec![vec![0.0; 1]];
        add_relevance(&starts, &[0, 0], &a, &g, 3, &mut heads, None);
        // |1 - 2 + 1.5 - 1 - 1 + 0.5| + |-6 + 0 + 2|
        assert_eq!(heads, vec![vec![1.0 + 4.0]]);
    }
}
