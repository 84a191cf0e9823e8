//! Did the same items change? Tests on pairs of outcomes.

use crate::eval::DomainScore;

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
    let same = before.items.len() == after.items.len() && before.items.iter().zip(&after.items).all(|(a, b)| a.line == b.line);
    if !same {
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
    fn pairs_are_counted_by_item() {
        let item = |line, correct| ItemScore {
            line,
            log_likelihoods: vec![],
            correct,
            correct_norm: correct,
            margin: None,
            nll: 1.0,
            n_tokens: 1,
        };
        let score = |rights: &[bool]| DomainScore {
            domain: "d".into(),
            kind: DomainKind::MultipleChoice,
            items: rights.iter().enumerate().map(|(i, &c)| item(i, c)).collect(),
        };
        let (a, b) = (score(&[true, true, false, true]), score(&[false, true, true, false]));
        assert_eq!(discordant(&a, &b), Some((2, 1)));
        assert_eq!(discordant(&a, &score(&[true])), None);
    }
}
