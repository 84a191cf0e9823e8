//! Where a curve of accuracy against k bends: how many neurons are worth taking.

use serde::{Deserialize, Serialize};

/// The suggested share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    pub percent: f64,
    /// Value there, of the curve that never rises.
    pub value: f64,
    /// How far the curve lies under the line from its first to its last point there, as a share of its whole fall.
    pub depth: f64,
}

/// The bend of a falling curve: of the points `(percent, value)` by rising percent, the one that lies farthest under the straight line from the first to
/// the last, k on a logarithmic axis, both axes scaled to 0..1. Before it each further neuron costs much, after it little. The curve is first made to
/// fall by isotonic regression (pool adjacent violators), so that one noisy point decides nothing.
///
/// `None` for fewer than three points, where it falls by less than `noise` (what chance alone would do to a difference of two values), or where it
/// nowhere lies under the line.
///
/// Source: Satopää, Albrecht, Irwin, Raghavan, "Finding a Kneedle in a Haystack", ICDCS workshops 2011, for one curve known whole.
pub fn knee(points: &[(f64, f64)], noise: f64) -> Option<Knee> {
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < 3 || points.iter().any(|(k, v)| *k <= 0.0 || !k.is_finite() || !v.is_finite()) {
        return None;
    }
    let values = falling(&points.iter().map(|p| p.1).collect::<Vec<_>>());
    let (top, bottom) = (*values.first()?, *values.last()?);
    let (fall, span) = (top - bottom, (last.0 / first.0).ln());
    if !(fall > noise.max(0.0) && span > 0.0) {
        return None;
    }
    let depth = |(k, v): (f64, f64)| (1.0 - (k / first.0).ln() / span) - (v - bottom) / fall;
    let under = points.iter().zip(&values).map(|(&(k, _), &v)| Knee { percent: k, value: v, depth: depth((k, v)) });
    under.filter(|knee| knee.depth > 1e-9).reduce(|best, knee| if knee.depth > best.depth { knee } else { best })
}

/// The nearest sequence, in least squares, that never rises.
fn falling(values: &[f64]) -> Vec<f64> {
    // (mean, how many) of each block.
    let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(values.len());
    for &v in values {
        let mut block = (v, 1);
        while let Some(&(mean, n)) = blocks.last().filter(|b| b.0 < block.0) {
            blocks.pop();
            let all = n + block.1;
            block = ((mean * n as f64 + block.0 * block.1 as f64) / all as f64, all);
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bend_is_where_the_fall_ends() {
        // Flat, a steep fall to 10 %, flat again; the axis is logarithmic, so the points are evenly spaced.
        let points = [(0.1, 0.9), (1.0, 0.85), (10.0, 0.3), (100.0, 0.25)];
        let knee = knee(&points, 0.05).expect("it falls");
        assert_eq!((knee.percent, knee.value), (10.0, 0.3));
        // On the line at two thirds of the way: 1/3. There: 0.05 / 0.65.
        assert!((knee.depth - (1.0 / 3.0 - 0.05 / 0.65)).abs() < 1e-12);
    }

    #[test]
    fn a_curve_that_does_not_fall_has_no_knee() {
        assert_eq!(knee(&[(1.0, 0.9), (10.0, 0.89), (100.0, 0.9)], 0.05), None);
        assert_eq!(knee(&[(1.0, 0.2), (10.0, 0.6), (100.0, 0.9)], 0.05), None, "it rises");
        assert_eq!(knee(&[(1.0, 0.9), (10.0, 0.1)], 0.0), None, "two points have no bend");
        // A straight line, and one that bulges: nowhere does a further neuron begin to cost less.
        assert_eq!(knee(&[(1.0, 0.9), (10.0, 0.5), (100.0, 0.1)], 0.05), None);
        assert_eq!(knee(&[(1.0, 0.9), (10.0, 0.85), (100.0, 0.1)], 0.05), None);
    }

    #[test]
    fn one_noisy_point_decides_nothing() {
        assert_eq!(falling(&[1.0, 0.4, 0.6, 0.2]), [1.0, 0.5, 0.5, 0.2]);
        assert_eq!(falling(&[1.0, 2.0, 3.0]), [2.0; 3], "what only rises is flat");
        let knee = knee(&[(0.1, 0.9), (0.3, 0.92), (1.0, 0.4), (3.0, 0.45), (10.0, 0.4)], 0.05).expect("it falls");
        assert_eq!(knee.percent, 1.0);
    }
}
