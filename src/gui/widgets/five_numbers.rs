//! What a box plot draws: quartiles, whiskers, mean, outliers.

use crate::base::stats;

/// Quartiles by linear interpolation (Hyndman-Fan 7); whiskers reach the outermost values within 1.5 interquartile ranges of the box (Tukey).
#[derive(Clone, Debug, PartialEq)]
pub struct BoxStats {
    pub n: usize,
    /// Values that were undefined and left out.
    pub undefined: usize,
    pub low: f64,
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
    pub high: f64,
    pub mean: f64,
    pub outliers: Vec<f64>,
}

impl BoxStats {
    /// `None` when no value is defined.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut undefined = 0;
        let mut sorted = Vec::new();
        for v in values {
            match v.filter(|v| v.is_finite()) {
                Some(v) => sorted.push(v),
                None => undefined += 1,
            }
        }
        sorted.sort_by(f64::total_cmp);
        let (q1, median, q3) =
            (stats::quantile_sorted(&sorted, 0.25)?, stats::quantile_sorted(&sorted, 0.5)?, stats::quantile_sorted(&sorted, 0.75)?);
        let reach = 1.5 * (q3 - q1);
        let inside = |v: &&f64| (q1 - reach..=q3 + reach).contains(*v);
        Some(Self {
            n: sorted.len(),
            undefined,
            low: sorted.iter().find(inside).copied()?,
            q1,
            median,
            q3,
            high: sorted.iter().rev().find(inside).copied()?,
            mean: stats::mean(&sorted)?,
            outliers: sorted.iter().filter(|v| !inside(v)).copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tukey_box_of_a_known_sample() {
        // NumPy: percentiles of 1..=9 and 30 are 3.25, 5.5, 7.75; 30 lies above 7.75 + 1.5 * 4.5 = 14.5.
        let values = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 30.0];
        let b = BoxStats::of(values.map(Some)).expect("box");
        assert_eq!((b.q1, b.median, b.q3), (3.25, 5.5, 7.75));
        assert_eq!((b.low, b.high), (1.0, 9.0));
        assert_eq!(b.outliers, vec![30.0]);
        assert_eq!(b.mean, 7.5);
    }

    #[test]
    fn undefined_values_are_counted_not_drawn() {
        let b = BoxStats::of([Some(0.5), None, Some(f64::NAN), Some(0.7)]).expect("box");
        assert_eq!((b.n, b.undefined), (2, 2));
        assert_eq!(BoxStats::of([None, None]), None);
    }
}
