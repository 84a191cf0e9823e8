//! Density for another threshold, from the stored histogram of a domain mean. No engine runs.
//!
//! The histogram has 8 bins an octave. Where gamma lies just below an edge between two of them ([`exact_near`]), what is above it is counted, as it is at the
//! run's own gamma, whose count is stored. Elsewhere it is estimated: inside a bin the values are taken as evenly spread, so a density is off by at most the
//! share of weights in the one bin that holds gamma. The first bin also holds every zero (weights of dead neurons, of heads that nothing reads),
//! which no gamma counts, so nothing of it is taken as activated.

use super::DomainScan;
use crate::compute::scan_job::{HISTOGRAM_BINS, histogram_bin, histogram_edge};

/// A density and how it was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Density {
    /// Share of weights above gamma.
    pub share: f64,
    /// Weights above gamma (rounded when estimated).
    pub count: u64,
    /// Counted, not estimated.
    pub exact: bool,
    /// Largest possible error of `share`: 0 when exact.
    pub error: f64,
}

/// Density of one layer at `gamma`; `None` where the run holds neither count nor histogram for it. `params`: weights of the layer.
pub fn density(scan: &DomainScan, layer: usize, params: u64, run_gamma: f32, gamma: f32) -> Option<Density> {
    if gamma == run_gamma {
        let (share, count) = (*scan.density.get(layer)?, *scan.activated_count.get(layer)?);
        return Some(Density { share, count, exact: true, error: 0.0 });
    }
    let histogram = scan.histogram.get(layer)?;
    if histogram.len() != HISTOGRAM_BINS || params == 0 {
        return None;
    }
    let above = above(histogram, gamma);
    let exact = ends_a_bin(gamma);
    let error = if exact { 0.0 } else { histogram[histogram_bin(gamma)] as f64 / params as f64 };
    Some(Density { share: above / params as f64, count: above.round() as u64, exact, error })
}

/// Whether `gamma` is the largest number of its bin, so that what is above it is what the bins after it hold. (The last bin has no end.)
fn ends_a_bin(gamma: f32) -> bool {
    let bin = histogram_bin(gamma);
    bin + 1 < HISTOGRAM_BINS && gamma == histogram_edge(bin + 1).next_down()
}

/// The nearest thresholds at or below and at or above `gamma` (of positive numbers) at which a run whose own is `run_gamma` has exact counts, at most an eighth
/// of an octave apart.
pub fn exact_around(run_gamma: f32, gamma: f32) -> (f32, f32) {
    let bin = histogram_bin(gamma);
    // Beyond the histogram's range the nearest within it.
    let end = |bin: usize| histogram_edge((bin + 1).min(HISTOGRAM_BINS - 1)).next_down();
    let (mut lower, mut upper) = (end(bin.saturating_sub(1)), end(bin));
    if ends_a_bin(gamma) || gamma == run_gamma {
        return (gamma, gamma);
    }
    if run_gamma < gamma && run_gamma > lower {
        lower = run_gamma;
    }
    if run_gamma > gamma && run_gamma < upper {
        upper = run_gamma;
    }
    (lower, upper)
}

/// The one of [`exact_around`] that is nearer to `gamma`, by their ratio.
pub fn exact_near(run_gamma: f32, gamma: f32) -> f32 {
    let (lower, upper) = exact_around(run_gamma, gamma);
    if f64::from(gamma) * f64::from(gamma) < f64::from(lower) * f64::from(upper) { lower } else { upper }
}

/// Values of a histogram above `gamma`: exactly where it ends a bin, else as if those of its bin were evenly spread; of the first bin, where zeros are, none.
pub fn above(histogram: &[u64], gamma: f32) -> f64 {
    let bin = histogram_bin(gamma);
    let whole: u64 = histogram[bin + 1..].iter().sum();
    if bin == 0 || ends_a_bin(gamma) {
        return whole as f64;
    }
    let (lo, hi) = (f64::from(histogram_edge(bin)), f64::from(histogram_edge(bin + 1)));
    let part = ((hi - f64::from(gamma)) / (hi - lo)).clamp(0.0, 1.0);
    whole as f64 + part * histogram[bin] as f64
}

/// The gamma above which `share` of all values of the histograms lie (evenly spread inside a bin): the relative threshold. Where so many are zero
/// that no gamma has so many above it, the end of the first bin, which has the most.
pub fn gamma_of_share<'a>(histograms: impl IntoIterator<Item = &'a [u64]>, share: f64) -> Option<f32> {
    let mut pooled = vec![0u64; HISTOGRAM_BINS];
    for h in histograms {
        pooled.iter_mut().zip(h).for_each(|(p, n)| *p += n);
    }
    let total: u64 = pooled.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = share.clamp(0.0, 1.0) * total as f64;
    let mut passed = 0.0;
    for bin in (1..HISTOGRAM_BINS).rev() {
        let here = pooled[bin] as f64;
        if passed + here >= wanted && here > 0.0 {
            let (lo, hi) = (f64::from(histogram_edge(bin)), f64::from(histogram_edge(bin + 1)));
            return Some((hi - (wanted - passed) / here * (hi - lo)) as f32);
        }
        passed += here;
    }
    Some(histogram_edge(1))
}

/// First and one past the last bin that hold anything (bin 0 with its zeros left out), over several histograms.
pub fn filled_range<'a>(histograms: impl IntoIterator<Item = &'a [u64]>) -> Option<(usize, usize)> {
    let mut range: Option<(usize, usize)> = None;
    for h in histograms {
        let first = h.iter().enumerate().skip(1).find(|(_, n)| **n > 0).map(|(i, _)| i);
        let last = h.iter().rposition(|&n| n > 0).filter(|&i| i > 0);
        if let (Some(first), Some(last)) = (first, last) {
            range = Some(range.map_or((first, last + 1), |(a, b)| (a.min(first), b.max(last + 1))));
        }
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(values: &[f32], gamma: f32) -> DomainScan {
        let mut histogram = vec![0u64; HISTOGRAM_BINS];
        for &v in values {
            histogram[histogram_bin(v)] += 1;
        }
        let count = values.iter().filter(|&&v| v > gamma).count() as u64;
        DomainScan {
            name: "a".into(),
            samples: 1,
            tokens: 1,
            density: vec![count as f64 / values.len() as f64],
            activated_count: vec![count],
            histogram: vec![histogram],
            ..DomainScan::default()
        }
    }

    #[test]
    fn the_runs_own_gamma_is_exact_and_others_stay_within_the_stated_error() {
        // 1000 values spread over three decades.
        let values: Vec<f32> = (0..1000).map(|i| 1e-8 * 10f32.powf(i as f32 / 333.0)).collect();
        let s = scan(&values, 2e-6);
        let own = density(&s, 0, 1000, 2e-6, 2e-6).expect("density");
        assert!(own.exact && own.error == 0.0);
        for gamma in [1e-9f32, 3e-8, 1.3e-7, 9.9e-7, 5e-6, 1e-3] {
            let truth = values.iter().filter(|&&v| v > gamma).count() as f64 / 1000.0;
            let d = density(&s, 0, 1000, 2e-6, gamma).expect("density");
            assert!(!d.exact);
            assert!((d.share - truth).abs() <= d.error + 1e-12, "{gamma}: {} against {truth}, error {}", d.share, d.error);
        }
    }

    #[test]
    fn thresholds_at_which_counts_are_exact_lie_close_on_both_sides() {
        // Many of them edges of bins, which the threshold below an edge counts and the edge itself does not.
        let values: Vec<f32> = (0..4000).map(|i| (i % 37 + 1) as f32 * 2f32.powi(-30 + i % 20)).collect();
        let s = scan(&values, 2e-6);
        for i in 0..400 {
            let gamma = 1e-9 * 1.05f32.powi(i);
            let (lower, upper) = exact_around(2e-6, gamma);
            assert!(lower <= gamma && gamma <= upper && upper / lower < 1.13 * 1.13, "{lower} {gamma} {upper}");
            let near = exact_near(2e-6, gamma);
            assert!(near == lower || near == upper);
            assert_eq!(exact_near(2e-6, near), near, "it stays where it is");
            let truth = values.iter().filter(|&&v| v > near).count() as u64;
            let d = density(&s, 0, 4000, 2e-6, near).expect("density");
            assert_eq!((d.exact, d.error, d.count), (true, 0.0, truth), "{near}");
            if near != 2e-6 {
                assert_eq!(above(&s.histogram[0], near), truth as f64);
            }
        }
        assert_eq!(exact_near(2e-6, 2.01e-6), 2e-6, "the run's own is one of them");
        for beyond in [f32::MIN_POSITIVE, 1e-13, 255.9, 1e9] {
            let near = exact_near(2e-6, beyond);
            assert!(density(&s, 0, 4000, 2e-6, near).expect("density").exact, "{beyond}: {near}");
        }
    }

    #[test]
    fn zeros_are_never_activated() {
        // Weights of dead neurons: as many zeros as anything else.
        let values: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 0.0 } else { i as f32 * 1e-6 }).collect();
        let s = scan(&values, 2e-6);
        for gamma in [f32::MIN_POSITIVE, 1e-20, 9.5e-13, 1.1e-12] {
            let d = density(&s, 0, 1000, 2e-6, gamma).expect("density");
            assert_eq!((d.share, d.count), (0.5, 500), "{gamma}");
        }
        let most = gamma_of_share([s.histogram[0].as_slice()], 0.9).expect("gamma");
        assert_eq!(above(&s.histogram[0], most), 500.0, "no gamma has 90 % above it: {most}");
    }

    #[test]
    fn density_falls_as_gamma_rises() {
        let values: Vec<f32> = (1..500).map(|i| i as f32 * 1e-7).collect();
        let s = scan(&values, 1.0);
        let shares: Vec<f64> = (0..60).map(|i| density(&s, 0, 499, 1.0, 1e-8 * 1.2f32.powi(i)).expect("density").share).collect();
        assert!(shares.windows(2).all(|w| w[1] <= w[0]), "{shares:?}");
        assert_eq!(shares[0], 1.0);
    }

    #[test]
    fn the_relative_threshold_inverts_the_recount() {
        let values: Vec<f32> = (1..2000).map(|i| i as f32 * 1e-6).collect();
        let s = scan(&values, 1.0);
        for share in [0.01, 0.1, 0.5] {
            let gamma = gamma_of_share([s.histogram[0].as_slice()], share).expect("gamma");
            let back = above(&s.histogram[0], gamma) / 1999.0;
            assert!((back - share).abs() < 1e-3, "{share} gave {gamma} gave {back}");
        }
        assert_eq!(gamma_of_share([vec![0u64; HISTOGRAM_BINS].as_slice()], 0.5), None);
    }

    #[test]
    fn a_layer_the_run_does_not_hold_has_no_density() {
        let s = scan(&[1.0], 0.5);
        assert_eq!(density(&s, 3, 1, 0.5, 0.5), None);
        assert_eq!(density(&s, 3, 1, 0.5, 0.1), None);
    }
}
