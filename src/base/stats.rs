//! Small statistics with named formulas.

/// Wilson score interval for `k` successes of `n` at 95 % (z = 1.959964); `(0, 1)` for `n = 0`.
/// Source: Wilson, JASA 22 (1927) 209-212.
pub fn wilson_95(k: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (p, n) = (k as f64 / n as f64, n as f64);
    let z = 1.959_963_984_540_054;
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// 95 % interval of the difference of two paired shares, second minus first, from the four kinds of pairs: right in both, only in the first, only in
/// the second, in neither. Wilson intervals of both shares combined, with their correlation. Source: Newcombe, Statistics in Medicine 17 (1998)
/// 2635-2650, method 10. `(-1, 1)` without pairs.
pub fn paired_difference_95(both: usize, first: usize, second: usize, neither: usize) -> (f64, f64) {
    let n = both + first + second + neither;
    if n == 0 {
        return (-1.0, 1.0);
    }
    let (a, b, c, d, n_f) = (both as f64, first as f64, second as f64, neither as f64, n as f64);
    let (p1, p2) = ((a + b) / n_f, (a + c) / n_f);
    let ((l1, u1), (l2, u2)) = (wilson_95(both + first, n), wilson_95(both + second, n));
    let margins = (a + b) * (c + d) * (a + c) * (b + d);
    let cross = a * d - b * c;
    // Corrected for continuity where it is positive.
    let cross = if cross > n_f / 2.0 { cross - n_f / 2.0 } else { cross.min(0.0) };
    let phi = if margins > 0.0 { cross / margins.sqrt() } else { 0.0 };
    let width = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
    let difference = p2 - p1;
    ((difference - width(p2 - l2, u1 - p1)).max(-1.0), (difference + width(u2 - p2, p1 - l1)).min(1.0))
}

/// Pearson's correlation; `None` below two pairs, or where one side does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mx, my) = (mean(x)?, mean(y)?);
    let pairs = || x.iter().zip(y).map(|(x, y)| (x - mx, y - my));
    let (xy, xx, yy) = pairs().fold((0.0, 0.0, 0.0), |(xy, xx, yy), (x, y)| (xy + x * y, xx + x * x, yy + y * y));
    // Equal values differ from their mean by its rounding: of three times 0.1 with itself that would make a correlation of 1.
    let varies = |squares: f64, mean: f64| squares.sqrt() > 1e-13 * mean.abs();
    (x.len() == y.len() && varies(xx, mx) && varies(yy, my)).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation, equal values sharing their mean rank; `None` where [`pearson`] of the ranks is.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// Ranks from 0, equal values sharing their mean rank.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &i in group {
            ranks[i] = before as f64 + (group.len() as f64 - 1.0) / 2.0;
        }
        before += group.len();
    }
    ranks
}

/// Mean; `None` for an empty slice.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (n - 1); `None` below two values.
pub fn std_dev(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let m = mean(values)?;
    let ss: f64 = values.iter().map(|v| (v - m) * (v - m)).sum();
    Some((ss / (values.len() - 1) as f64).sqrt())
}

/// Quantile by linear interpolation between order statistics (Hyndman-Fan type 7, NumPy's default).
/// `sorted` ascending, `q` in `[0, 1]`; `None` for an empty slice.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (lo, hi) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[lo] + (at - lo as f64) * (sorted[hi] - sorted[lo]))
}

/// Distribution function of Student's t with `freedom` degrees of freedom, through the incomplete beta function.
pub fn student_cdf(t: f64, freedom: f64) -> f64 {
    let x = freedom / (freedom + t * t);
    let tail = 0.5 * incomplete_beta(x, freedom / 2.0, 0.5);
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The `t` with `student_cdf(t) = q`, for `q` in (0, 1): by bisection, to about 1e-12.
pub fn student_quantile(q: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (-1e8, 1e8);
    for _ in 0..120 {
        let middle = 0.5 * (low + high);
        if student_cdf(middle, freedom) < q { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Regularised incomplete beta function `I_x(a, b)` by its continued fraction (Lentz). Source: DLMF 8.17.22.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    let tiny = 1e-300;
    let guard = |v: f64| if v.abs() < tiny { tiny } else { v };
    let (mut c, mut d) = (1.0, 1.0 / guard(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..400 {
        let m = f64::from(m);
        for coefficient in
            [m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)), -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))]
        {
            d = 1.0 / guard(1.0 + coefficient * d);
            c = guard(1.0 + coefficient / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// Logarithm of the gamma function for `x > 0`, to about 1e-14: Stirling's series after shifting `x` beyond 12. Source: DLMF 5.11.1.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 12.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_matches_a_published_example() {
        // Newcombe 1998, table I: 81 of 263 gives 0.2553 .. 0.3662.
        let (lo, hi) = wilson_95(81, 263);
        assert!((lo - 0.2553).abs() < 5e-5 && (hi - 0.3662).abs() < 5e-5, "{lo} {hi}");
        assert!(wilson_95(0, 5).0 < 1e-12);
    }

    #[test]
    fn quantiles_interpolate() {
        let v = [1.0, 2.0, 4.0];
        assert_eq!(quantile_sorted(&v, 0.5), Some(2.0));
        assert_eq!(quantile_sorted(&v, 0.75), Some(3.0));
        assert_eq!(quantile_sorted(&[], 0.5), None);
    }

    /// Coverage is the definition: of 4,000 draws of 120 dependent pairs the interval holds the true difference in 95 %, give or take 1.5 % (four standard
    /// errors of a share of 0.95 over 4,000 draws are 1.4 %).
    #[test]
    fn a_paired_interval_covers_the_truth_as_often_as_it_says() {
        let mut rng = crate::base::rng::Rng::new(3);
        for (p_both, p_first, p_second) in [(0.6, 0.1, 0.1), (0.5, 0.25, 0.05), (0.1, 0.3, 0.2)] {
            let covered = (0..4_000).filter(|_| {
                let mut counts = [0usize; 4];
                for _ in 0..120 {
                    let u = rng.unit();
                    let kind = [p_both, p_both + p_first, p_both + p_first + p_second].iter().filter(|edge| u >= **edge).count();
                    counts[kind] += 1;
                }
                let (lo, hi) = paired_difference_95(counts[0], counts[1], counts[2], counts[3]);
                let truth: f64 = p_second - p_first;
                lo <= truth && truth <= hi
            });
            let share = covered.count() as f64 / 4_000.0;
            assert!((share - 0.95).abs() < 0.015, "{share} of ({p_both}, {p_first}, {p_second})");
        }
    }

    #[test]
    fn a_paired_interval_turns_with_its_sides() {
        let (lo, hi) = paired_difference_95(40, 20, 5, 35);
        let (back_lo, back_hi) = paired_difference_95(40, 5, 20, 35);
        assert!((lo + back_hi).abs() < 1e-12 && (hi + back_lo).abs() < 1e-12);
        assert!(lo < -0.15 && -0.15 < hi && hi < 0.0, "{lo} {hi}");
        // Nothing changed: 0, as far as so few pairs can tell.
        let (lo, hi) = paired_difference_95(10, 0, 0, 0);
        assert!(lo < 0.0 && hi > 0.0 && (lo + hi).abs() < 1e-12);
        assert_eq!(paired_difference_95(0, 0, 0, 0), (-1.0, 1.0));
    }

    #[test]
    fn correlations_match_those_of_python() {
        // statistics.correlation(x, y), and with method="ranked".
        let (x, y) = ([1.0, 2.0, 2.0, 4.0, 7.0], [2.0, 1.0, 3.0, 3.0, 9.0]);
        assert!((pearson(&x, &y).expect("r") - 0.916_516_115_619_229_2).abs() < 1e-12, "{:?}", pearson(&x, &y));
        assert!((spearman(&x, &y).expect("rho") - 0.763_157_894_736_842_1).abs() < 1e-12, "{:?}", spearman(&x, &y));
        assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(pearson(&[0.1; 3], &[0.1; 3]), None, "the mean of three times 0.1 is not 0.1");
        assert_eq!(pearson(&[0.1; 3], &[1.0, 2.0, 4.0]), None);
        assert_eq!(pearson(&[], &[]), None);
    }

    #[test]
    fn student_matches_its_tables() {
        // Quantiles at 0.975: 12.706204736, 4.302652730, 2.776445105, 2.570581836, 1.962339081 for 1, 2, 4, 5 and 1000 degrees of freedom.
        for (freedom, t) in
            [(1.0, 12.706_204_736), (2.0, 4.302_652_730), (4.0, 2.776_445_105), (5.0, 2.570_581_836), (1000.0, 1.962_339_081)]
        {
            assert!((student_quantile(0.975, freedom) - t).abs() < 1e-8, "{freedom}: {}", student_quantile(0.975, freedom));
            assert!((student_cdf(-t, freedom) - 0.025).abs() < 1e-10);
        }
        // With one degree of freedom it is Cauchy's: 1/2 + atan(t) / pi.
        assert!((student_cdf(0.7, 1.0) - (0.5 + 0.7f64.atan() / std::f64::consts::PI)).abs() < 1e-13);
    }

    #[test]
    fn deviation_needs_two_values() {
        assert_eq!(std_dev(&[1.0]), None);
        assert!((std_dev(&[1.0, 3.0]).expect("two") - std::f64::consts::SQRT_2).abs() < 1e-12);
    }
}
