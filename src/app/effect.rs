//! What an ablation does to a domain, over the questions scored on both sides so far, and what random sets of the same size do.

use super::AblationLive;
use crate::{
    ablate::paired::mcnemar_exact,
    base::stats,
    eval::{DomainScore, ItemScore},
};

/// A difference of accuracies, after minus before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    pub difference: f64,
    /// 95 %, paired (Newcombe's method 10).
    pub interval: (f64, f64),
    /// McNemar's exact test, two-sided.
    pub p_value: f64,
    /// Questions scored on both sides.
    pub n: usize,
}

impl Effect {
    /// Of two scores of the same questions, as far as both came; `None` without choices or without a common question.
    pub fn of(before: &DomainScore, after: &DomainScore) -> Option<Self> {
        before.acc().and(after.acc())?;
        let pairs = paired(before, after)?;
        let count = |b: bool, a: bool| pairs.iter().filter(|(x, y)| (x.correct, y.correct) == (b, a)).count();
        let (both, first, second, neither) = (count(true, true), count(true, false), count(false, true), count(false, false));
        let n = pairs.len();
        Some(Self {
            difference: (second as f64 - first as f64) / n as f64,
            interval: stats::paired_difference_95(both, first, second, neither),
            p_value: mcnemar_exact(first, second),
            n,
        })
    }
}

/// The items of two scores side by side, up to the end of the shorter one; `None` where they are other items.
fn paired<'a>(before: &'a DomainScore, after: &'a DomainScore) -> Option<Vec<(&'a ItemScore, &'a ItemScore)>> {
    let pairs: Vec<_> = before.items.iter().zip(&after.items).collect();
    (!pairs.is_empty() && pairs.iter().all(|(a, b)| a.line == b.line)).then_some(pairs)
}

impl AblationLive {
    /// What the ablation in force does to the accuracy of a domain.
    pub fn effect(&self, domain: &str) -> Option<Effect> {
        Effect::of(self.before.get(domain)?, self.after.get(domain)?)
    }
    /// What each random control does, by seed.
    pub fn control_effects(&self, domain: &str) -> Vec<Effect> {
        let Some(before) = self.before.get(domain) else { return Vec::new() };
        self.controls.get(domain).into_iter().flatten().filter_map(|c| Effect::of(before, c)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::testing::sample_score, base::rng::Rng};

    #[test]
    fn an_effect_is_over_the_questions_both_sides_have() {
        let mut rng = Rng::new(1);
        let before = sample_score("a", 40, 0.9, &mut rng);
        let mut after = sample_score("a", 40, 0.4, &mut rng);
        after.items.truncate(25);
        let effect = Effect::of(&before, &after).expect("effect");
        let right = |s: &DomainScore| s.items.iter().take(25).filter(|i| i.correct).count() as f64 / 25.0;
        assert!((effect.difference - (right(&after) - right(&before))).abs() < 1e-12);
        assert_eq!(effect.n, 25);
        assert!(effect.interval.0 < effect.difference && effect.difference < effect.interval.1 && effect.p_value < 0.05);
        after.items[3].line = 99;
        assert_eq!(Effect::of(&before, &after), None, "other questions");
        after.items.clear();
        assert_eq!(Effect::of(&before, &after), None, "no question yet");
    }
}
