//! Correlation of two n x n matrices over their off-diagonal cells, with a p-value that knows that the cells of a row depend on each other: the
//! labels of one matrix are permuted, not its cells. Source: Mantel, Cancer Research 27 (1967) 209-220.

use super::{rng::Rng, stats};
use serde::{Deserialize, Serialize};

/// Permutations that are all gone through: up to 8 labels.
const EXACT_UP_TO: usize = 40_320;
/// Random permutations of more labels.
const DRAWN: usize = 9_999;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// Ordered pairs of labels.
    pub pairs: usize,
    pub pearson: f64,
    /// Two-sided, by permutation of labels.
    pub pearson_p: f64,
    /// Two-sided, by Student's t, as if the pairs were independent: what papers usually print.
    pub pearson_p_t: f64,
    pub spearman: f64,
    /// Two-sided, by permutation of labels.
    pub spearman_p: f64,
    /// Whether every permutation was gone through; else random ones, with their own counted in.
    pub exact: bool,
    pub permutations: usize,
}

impl Correlation {
    /// How the p-values were found, in words.
    pub fn words(&self) -> String {
        let how = if self.exact { "all" } else { "random" };
        format!("p two-sided by {how} {} permutations of the labels (Mantel)", self.permutations)
    }
}

/// `x` and `y` are row-major `[n, n]`; diagonals are not looked at. `None` below three labels, where a cell off the diagonal is not finite, or
/// where one side does not vary. `seed` draws permutations where there are too many to go through.
pub fn correlate(n: usize, x: &[f64], y: &[f64], seed: u64) -> Option<Correlation> {
    if n < 3 || x.len() != n * n || y.len() != n * n {
        return None;
    }
    let cells: Vec<usize> = (0..n * n).filter(|c| c / n != c % n).collect();
    let off = |m: &[f64]| cells.iter().map(|&c| m[c]).collect::<Vec<f64>>();
    let (xs, ys) = (off(x), off(y));
    if xs.iter().chain(&ys).any(|v| !v.is_finite()) {
        return None;
    }
    let (pearson, spearman) = (stats::pearson(&xs, &ys)?, stats::spearman(&xs, &ys)?);
    // A permutation of labels moves cells about, so that means, spreads and ranks stay: only the sum of products changes.
    let (zx, zy) = (standard(&xs), back(n, &cells, &standard(&ys)));
    let (rx, ry) = (standard(&stats::ranks(&xs)), back(n, &cells, &standard(&stats::ranks(&ys))));
    let under = |order: &[usize]| {
        let mut sums = (0.0, 0.0);
        for (k, &c) in cells.iter().enumerate() {
            let there = order[c / n] * n + order[c % n];
            sums.0 += zx[k] * zy[there];
            sums.1 += rx[k] * ry[there];
        }
        sums
    };
    // What rounding makes of equal sums is equal.
    let (most, most_rank) = (pearson.abs() - 1e-9, spearman.abs() - 1e-9);
    let (mut beyond, mut beyond_rank, mut permutations) = (0usize, 0usize, 0usize);
    let mut count = |order: &[usize]| {
        let (r, rho) = under(order);
        beyond += usize::from(r.abs() >= most);
        beyond_rank += usize::from(rho.abs() >= most_rank);
        permutations += 1;
    };
    let exact = (1..=n).try_fold(1usize, |f, k| f.checked_mul(k).filter(|f| *f <= EXACT_UP_TO)).is_some();
    let mut order: Vec<usize> = (0..n).collect();
    if exact {
        each_permutation(&mut order, &mut count);
    } else {
        count(&order);
        let mut rng = Rng::stream(seed, "mantel");
        for _ in 0..DRAWN {
            rng.shuffle(&mut order);
            count(&order);
        }
    }
    let share = |k: usize| k as f64 / permutations as f64;
    let freedom = xs.len() as f64 - 2.0;
    let t = pearson.abs() * (freedom / (1.0 - pearson * pearson).max(1e-300)).sqrt();
    Some(Correlation {
        pairs: xs.len(),
        pearson,
        pearson_p: share(beyond),
        pearson_p_t: (2.0 * stats::student_cdf(-t, freedom)).min(1.0),
        spearman,
        spearman_p: share(beyond_rank),
        exact,
        permutations,
    })
}

/// Least-squares line through the points, as `(slope, intercept)`; `None` where x does not vary.
pub fn line(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let (mx, my) = (stats::mean(x)?, stats::mean(y)?);
    let (xy, xx) = x.iter().zip(y).fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + (x - mx) * (y - my), xx + (x - mx) * (x - mx)));
    (xx > 0.0).then(|| (xy / xx, my - xy / xx * mx))
}

/// Mean 0, sum of squares 1.
fn standard(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let norm = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>().sqrt();
    values.iter().map(|v| (v - mean) / norm).collect()
}

/// Values of the cells as a matrix again.
fn back(n: usize, cells: &[usize], values: &[f64]) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    cells.iter().zip(values).for_each(|(&c, &v)| matrix[c] = v);
    matrix
}

/// Heap's algorithm.
fn each_permutation(order: &mut [usize], visit: &mut impl FnMut(&[usize])) {
    let n = order.len();
    let mut state = vec![0; n];
    visit(order);
    let mut i = 1;
    while i < n {
        if state[i] < i {
            let j = if i % 2 == 0 { 0 } else { state[i] };
            order.swap(j, i);
            visit(order);
            state[i] += 1;
            i = 1;
        } else {
            state[i] = 0;
            i += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_permutation_comes_once() {
        let mut seen = BTreeSet::new();
        each_permutation(&mut [0, 1, 2, 3, 4], &mut |p| {
            assert!(seen.insert(p.to_vec()), "{p:?} twice");
        });
        assert_eq!(seen.len(), 120);
    }

    /// Three labels have six permutations, and of these cells only the identity gives a correlation of 1 or -1: p is 1/6.
    #[test]
    fn a_matrix_with_itself_is_as_unlikely_as_labels_allow() {
        let x = [0.0, 1.0, 2.0, 3.0, 0.0, 10.0, 5.0, 6.0, 0.0];
        let c = correlate(3, &x, &x, 0).expect("defined");
        assert!((c.pearson - 1.0).abs() < 1e-12 && (c.spearman - 1.0).abs() < 1e-12);
        assert_eq!((c.pairs, c.exact, c.permutations), (6, true, 6));
        assert!((c.pearson_p - 1.0 / 6.0).abs() < 1e-12 && (c.spearman_p - 1.0 / 6.0).abs() < 1e-12, "{c:?}");
    }

    /// Student's t with n - 2 degrees of freedom: the usual test of a correlation.
    #[test]
    fn the_p_of_independent_pairs_is_that_of_student() {
        let n = 4;
        let cell = |i: usize, j: usize, a: usize, b: usize| ((i * a + j * b) * 7 % 13) as f64;
        let make = |a, b| (0..n * n).map(|c| cell(c / n, c % n, a, b)).collect::<Vec<f64>>();
        let (x, y) = (make(3, 5), make(2, 9));
        let c = correlate(n, &x, &y, 0).expect("defined");
        let r = c.pearson;
        let t = r * (10.0 / (1.0 - r * r)).sqrt();
        assert!((c.pearson_p_t - 2.0 * stats::student_cdf(-t.abs(), 10.0)).abs() < 1e-12);
        assert_eq!(c.permutations, 24);
        // At least the identity is counted, and at most all.
        assert!((1.0 / 24.0..=1.0).contains(&c.pearson_p) && (1.0 / 24.0..=1.0).contains(&c.spearman_p));
    }

    /// Under the null the p-value is uniform: of 300 pairs of random symmetric matrices about 5 % lie below 0.05 (binomial: 15 +- 3.8, four
    /// deviations are 15), although their cells are not independent.
    #[test]
    fn chance_is_called_significant_as_rarely_as_it_says() {
        let mut rng = Rng::new(4);
        let n = 5;
        let mut matrix = || {
            let of: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            (0..n * n).map(|c| of[c / n] + of[c % n] + 0.1 * rng.normal()).collect::<Vec<f64>>()
        };
        let below = (0..300).filter(|_| correlate(n, &matrix(), &matrix(), 0).expect("defined").pearson_p <= 0.05).count();
        assert!((1..=30).contains(&below), "{below} of 300");
    }

    #[test]
    fn many_labels_are_drawn_and_the_same_seed_gives_the_same_p() {
        let n = 9;
        let mut rng = Rng::new(1);
        let x: Vec<f64> = (0..n * n).map(|_| rng.normal()).collect();
        let y: Vec<f64> = x.iter().map(|v| v + 0.5 * rng.normal()).collect();
        let c = correlate(n, &x, &y, 3).expect("defined");
        assert!(!c.exact && c.permutations == DRAWN + 1 && c.pearson_p < 0.01, "{c:?}");
        assert_eq!(correlate(n, &x, &y, 3), Some(c));
        assert_eq!(correlate(2, &x[..4], &y[..4], 3), None);
        assert_eq!(correlate(n, &vec![1.0; 81], &y, 3), None);
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let (slope, intercept) = line(&[1.0, 2.0, 4.0], &[3.0, 5.0, 9.0]).expect("varies");
        assert!((slope - 2.0).abs() < 1e-12 && (intercept - 1.0).abs() < 1e-12);
        assert_eq!(line(&[1.0, 1.0], &[0.0, 1.0]), None);
    }
}
