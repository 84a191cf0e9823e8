//! Did the same items change, and more than under random sets? Tests and intervals on pairs of outcomes.

use crate::{
    base::{rng::Rng, stats},
    eval::DomainScore,
};
use serde::Serialize;

/// A difference with its 95 % interval and a two-sided p-value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Of no difference.
    pub p: f64,
    /// Items.
    pub n: usize,
    pub method: Method,
}

/// Where interval and p-value come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Method {
    /// Wilson intervals of both shares, combined with their correlation (Newcombe 1998, method 10), and McNemar's exact p. No change of few items is
    /// still uncertain, which resampling them would not show.
    PairedWilson,
    /// Items drawn again with replacement, both outcomes of an item together; percentiles. Says what other items of the kind would show.
    PairedBootstrap { draws: usize, seed: u64 },
    /// Student's t for one more random set beside `sets` of them on the same items: `s sqrt(1 + 1/sets)` with `sets - 1` degrees of freedom. Says
    /// whether the set differs from a random one; where it was chosen at random too, the interval covers 0 in 95 of 100 cases.
    ControlSpread { sets: usize },
}

impl Method {
    pub fn words(self) -> String {
        match self {
            Self::PairedWilson => "95 % interval of paired shares (Newcombe), McNemar's exact p".to_owned(),
            Self::PairedBootstrap { draws, seed } => {
                format!("95 % percentile interval of {draws} paired bootstrap draws of the items, seed {seed}")
            }
            Self::ControlSpread { sets } => format!("95 % prediction interval by the spread of {sets} random sets (Student's t)"),
        }
    }
}

/// Draws of [`bootstrap`], and the seed that results are shown with.
pub const DRAWS: usize = 2000;
pub const SEED: u64 = 0;

/// `sum numerators / sum denominators` with its paired bootstrap: items are drawn again with replacement. `None` below two items, whose spread
/// nobody knows.
///
/// The p-value is the share of draws on the other side of 0, twice (Efron and Tibshirani 1993, section 15.4), with one added to count and total so
/// that it is never 0; nor is it below the least that the signs of so few items can reach, `2^(1 - n)`.
pub fn bootstrap(numerators: &[f64], denominators: &[f64], seed: u64) -> Option<Difference> {
    let n = numerators.len();
    let total: f64 = denominators.iter().sum();
    if n < 2 || n != denominators.len() || total <= 0.0 {
        return None;
    }
    let mut rng = Rng::stream(seed, "paired bootstrap");
    let mut draws: Vec<f64> = Vec::with_capacity(DRAWS);
    while draws.len() < DRAWS {
        let (mut above, mut below) = (0.0, 0.0);
        for _ in 0..n {
            let i = rng.below(n);
            above += numerators[i];
            below += denominators[i];
        }
        // A draw of items without a token says nothing.
        if below > 0.0 {
            draws.push(above / below);
        }
    }
    draws.sort_by(f64::total_cmp);
    let side = |count: usize| (count + 1) as f64 / (DRAWS + 1) as f64;
    let (down, up) = (draws.iter().filter(|d| **d <= 0.0).count(), draws.iter().filter(|d| **d >= 0.0).count());
    Some(Difference {
        value: numerators.iter().sum::<f64>() / total,
        low: stats::quantile_sorted(&draws, 0.025)?,
        high: stats::quantile_sorted(&draws, 0.975)?,
        p: (2.0 * side(down).min(side(up))).max((1.0 - n as f64).exp2()).min(1.0),
        n,
        method: Method::PairedBootstrap { draws: DRAWS, seed },
    })
}

/// A measured value against those of random sets on the same `n` items. `None` below two sets, and where all sets give the same value: few sets and
/// an accuracy that moves in steps of `1/n` often do, and that tells nothing of how far one more set would lie.
pub fn beyond_controls(value: f64, controls: &[f64], n: usize) -> Option<Difference> {
    let sets = controls.len();
    let (mean, spread) = (stats::mean(controls)?, stats::std_dev(controls)?);
    // Equal values differ from their mean by its rounding.
    if spread <= 1e-12 * mean.abs() {
        return None;
    }
    let (difference, freedom) = (value - mean, (sets - 1) as f64);
    let scale = spread * (1.0 + 1.0 / sets as f64).sqrt();
    let half = stats::student_quantile(0.975, freedom) * scale;
    let p = 2.0 * stats::student_cdf(-(difference / scale).abs(), freedom);
    Some(Difference { value: difference, low: difference - half, high: difference + half, p, n, method: Method::ControlSpread { sets } })
}

/// True when two scores are of the same items, in the same order.
fn paired(a: &DomainScore, b: &DomainScore) -> bool {
    !a.items.is_empty() && a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| a.line == b.line)
}

/// Accuracy of `after` less that of `before`. `None` without choices, or for other items.
pub fn accuracy_difference(before: &DomainScore, after: &DomainScore) -> Option<Difference> {
    let (lost, gained) = discordant(before, after)?;
    let n = before.items.len();
    let both = before.items.iter().zip(&after.items).filter(|(b, a)| b.correct && a.correct).count();
    let (low, high) = stats::paired_difference_95(both, lost, gained, n - both - lost - gained);
    let value = (gained as f64 - lost as f64) / n as f64;
    Some(Difference { value, low, high, p: mcnemar_exact(lost, gained), n, method: Method::PairedWilson })
}

/// Mean loss a token of `after` less that of `before`, nat. `None` for other items.
pub fn loss_difference(before: &DomainScore, after: &DomainScore, seed: u64) -> Option<Difference> {
    let changes: Vec<f64> = before.items.iter().zip(&after.items).map(|(b, a)| a.nll - b.nll).collect();
    let tokens: Vec<f64> = after.items.iter().map(|i| i.n_tokens as f64).collect();
    paired(before, after).then(|| bootstrap(&changes, &tokens, seed)).flatten()
}

/// McNemar's exact test: of `b` items right only before and `c` right only after, how likely is a split at least this uneven if either way were
/// equally likely. Two-sided binomial; 1 where nothing changed. Source: McNemar 1947, exact form as in SciPy's `binomtest`.
pub fn mcnemar_exact(b: usize, c: usize) -> f64 {
    let n = b + c;
    if n == 0 {
        return 1.0;
    }
    // log2 C(n, k), added up so that thousands of items neither overflow nor vanish.
    let mut log_choose = 0.0f64;
    let mut tail = 0.0f64;
    for k in 0..=b.min(c) {
        if k > 0 {
            log_choose += ((n - k + 1) as f64).log2() - (k as f64).log2();
        }
        tail += (log_choose - n as f64).exp2();
    }
    (2.0 * tail).min(1.0)
}

/// Items right only in `before` and only in `after`, paired by place. `None` for domains without choices or scores of different items.
pub fn discordant(before: &DomainScore, after: &DomainScore) -> Option<(usize, usize)> {
    before.acc().and(after.acc())?;
    if !paired(before, after) {
        return None;
    }
    let count =
        |one: &DomainScore, other: &DomainScore| one.items.iter().zip(&other.items).filter(|(a, b)| a.correct && !b.correct).count();
    Some((count(before, after), count(after, before)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::DomainKind, eval::ItemScore};

    #[test]
    fn p_values_match_scipy() {
        // scipy.stats.binomtest(min(b, c), b + c).pvalue
        for (b, c, p) in [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 0.021484375), (0, 12, 0.00048828125), (30, 12, 0.007915897334896727)] {
            assert!((mcnemar_exact(b, c) - p).abs() < 1e-9, "{b} {c}: {} not {p}", mcnemar_exact(b, c));
            assert_eq!(mcnemar_exact(b, c), mcnemar_exact(c, b));
        }
        assert!(mcnemar_exact(4000, 3000) > 0.0);
    }

    #[test]
    fn a_bootstrap_agrees_with_the_normal_interval_where_that_holds() {
        // 400 differences with mean 0.1 and standard deviation 1: standard error 0.05, so about 0.1 -+ 0.098 and p near 0.0455. Tolerances are
        // three standard errors of a 2.5 % quantile from 2000 draws (0.0028 / density 1.17 at 0.05 scale).
        let mut rng = Rng::new(4);
        let mut d: Vec<f64> = (0..400).map(|_| rng.normal()).collect();
        let (m, s) = (stats::mean(&d).expect("mean"), stats::std_dev(&d).expect("deviation"));
        d.iter_mut().for_each(|v| *v = (*v - m) / s + 0.1);
        let b = bootstrap(&d, &vec![1.0; 400], 7).expect("bootstrap");
        assert!((b.value - 0.1).abs() < 1e-12 && (b.low - 0.002).abs() < 0.01 && (b.high - 0.198).abs() < 0.01, "{b:?}");
        assert!((b.p - 0.0455).abs() < 0.02, "{b:?}");
        assert_eq!(bootstrap(&d, &vec![1.0; 400], 7), Some(b), "the seed decides");
        let none = bootstrap(&[0.0; 9], &[1.0; 9], 0).expect("bootstrap");
        assert_eq!((none.value, none.low, none.high, none.p), (0.0, 0.0, 0.0, 1.0));
        assert_eq!(bootstrap(&[], &[], 0), None);
    }

    #[test]
    fn the_spread_of_controls_covers_another_random_set_in_95_of_100_cases() {
        // Values of six random sets from one distribution: whichever is taken as the set, 0 lies inside in 95 % of cases. 4000 cases: three
        // standard errors are 1.03 %.
        let mut rng = Rng::new(11);
        let covered = (0..4000)
            .filter(|_| {
                let v: Vec<f64> = (0..6).map(|_| 0.3 + 0.02 * rng.normal()).collect();
                let d = beyond_controls(v[0], &v[1..], 100).expect("difference");
                assert_eq!(d.p < 0.05, d.low > 0.0 || d.high < 0.0, "{d:?}");
                d.low <= 0.0 && 0.0 <= d.high
            })
            .count();
        assert!((0.9397..0.9603).contains(&(covered as f64 / 4000.0)), "{covered} of 4000");
        assert_eq!(beyond_controls(1.0, &[0.5], 9), None);
    }

    #[test]
    fn controls_that_agree_by_chance_prove_nothing() {
        // One question of ten more than both sets: once this had p = 0.
        assert_eq!(beyond_controls(0.8, &[0.9, 0.9], 10), None);
        // The mean of three times 0.9 is not 0.9 to the last bit.
        assert_eq!(beyond_controls(0.8, &[0.9, 0.9, 0.9], 10), None);
        assert!(beyond_controls(0.8, &[0.9, 0.8], 10).is_some_and(|d| d.p > 0.5));
    }

    #[test]
    fn few_items_are_never_certain() {
        assert_eq!(bootstrap(&[0.7], &[1.0], 0), None, "one item has no spread");
        // Three items that all rise: a sign test gives 2 * 0.5^3.
        assert_eq!(bootstrap(&[0.7, 0.5, 0.6], &[1.0; 3], 0).expect("three").p, 0.25);
    }

    #[test]
    fn pairs_are_counted_by_item() {
        let item = |line, correct| ItemScore {
            line,
            log_likelihoods: vec![],
            correct,
            correct_norm: correct,
            margin: None,
            nll: 1.0,
            n_tokens: 1,
            cut: 0,
        };
        let score = |rights: &[bool]| DomainScore {
            domain: "d".into(),
            kind: DomainKind::MultipleChoice,
            items: rights.iter().enumerate().map(|(i, &c)| item(i, c)).collect(),
        };
        let (a, b) = (score(&[true, true, false, true]), score(&[false, true, true, false]));
        assert_eq!(discordant(&a, &b), Some((2, 1)));
        let change = accuracy_difference(&a, &b).expect("change");
        assert_eq!((change.value, change.p, change.n), (-0.25, 1.0, 4));
        assert!(change.low < -0.25 && change.high > 0.0, "{change:?}");
        // Nothing changed in three questions, which is little evidence that nothing ever would.
        let same = accuracy_difference(&score(&[true; 3]), &score(&[true; 3])).expect("none");
        assert!(same.value == 0.0 && same.low < -0.3 && same.high > 0.3 && same.p == 1.0, "{same:?}");
        assert_eq!(discordant(&a, &score(&[true])), None);
    }
}
