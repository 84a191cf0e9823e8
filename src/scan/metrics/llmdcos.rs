//! LLMDcos: how alike two samples use a block's weights.

use super::MetricInfo;
use crate::scan::MetricKind;

pub const INFO: MetricInfo = MetricInfo {
    kind: MetricKind::Llmdcos,
    id: "llmdcos",
    label: "LLMDcos",
    formula: "A(s1).A(s2) / (|A(s1)| |A(s2)|) a layer, A(s) = |w dD/dw| over the block's linear weights; domain pair: sample m with sample m; a domain with itself: m with cycle(m)",
    source: "Wang et al., AAAI 2025, arXiv 2405.17799",
    unit: "",
    signed: false,
    map: None,
};

/// Cosine from a dot product and the two squared norms, all sums of products of non-negative numbers; `None` where a norm is 0.
/// Rounding may carry it past 1 by an ulp or so, which is cut off.
pub fn cosine(dot: f64, square_a: f64, square_b: f64) -> Option<f32> {
    let norms = square_a.sqrt() * square_b.sqrt();
    (norms > 0.0).then(|| (dot / norms).clamp(0.0, 1.0) as f32)
}

/// The pairs of samples behind one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairPlan {
    /// Domain indices; equal for a domain with itself.
    pub a: usize,
    pub b: usize,
    /// Indices into the samples of all domains laid one after another.
    pub samples: Vec<(usize, usize)>,
}

/// Every pair of domains a < b, sample m with sample m up to the smaller count, then each domain with itself along its cycle (METHODS 1).
/// `counts[d]` samples a domain, `cycles[d]` empty for fewer than two.
pub fn plan_pairs(counts: &[usize], cycles: &[&[usize]]) -> Vec<PairPlan> {
    let starts: Vec<usize> = counts
        .iter()
        .scan(0, |at, n| {
            let start = *at;
            *at += n;
            Some(start)
        })
        .collect();
    let mut plans = Vec::new();
    for a in 0..counts.len() {
        for b in a + 1..counts.len() {
            let samples = (0..counts[a].min(counts[b])).map(|m| (starts[a] + m, starts[b] + m)).collect();
            plans.push(PairPlan { a, b, samples });
        }
    }
    for (d, cycle) in cycles.iter().enumerate() {
        let samples = cycle.iter().enumerate().map(|(m, &other)| (starts[d] + m, starts[d] + other)).collect();
        plans.push(PairPlan { a: d, b: d, samples });
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_the_samples_and_the_cycle() {
        let plans = plan_pairs(&[3, 2], &[&[1, 2, 0], &[1, 0]]);
        assert_eq!(plans[0], PairPlan { a: 0, b: 1, samples: vec![(0, 3), (1, 4)] });
        assert_eq!(plans[1], PairPlan { a: 0, b: 0, samples: vec![(0, 1), (1, 2), (2, 0)] });
        assert_eq!(plans[2], PairPlan { a: 1, b: 1, samples: vec![(3, 4), (4, 3)] });
    }

    #[test]
    fn a_cosine_without_a_norm_is_undefined_not_nan() {
        assert_eq!(cosine(0.0, 0.0, 4.0), None);
        assert_eq!(cosine(6.0, 4.0, 9.0), Some(1.0));
        assert_eq!(cosine(3.0, 4.0, 9.0), Some(0.5));
        // Norms whose product would underflow still give a value.
        assert_eq!(cosine(1e-200, 1e-200, 1e-200), Some(1.0));
    }
}
