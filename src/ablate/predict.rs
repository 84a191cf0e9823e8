//! From first-order effects to what a set is predicted to do: sums over its neurons and heads, for every item of a domain.

use super::attribution::{Attribution, Effects, rivals};
use crate::{
    base::{Grid, Head, NeuronSet, Result, stats},
    eval::{AblationMode, DomainScore, ItemScore},
};
use std::collections::BTreeSet;

/// What an effect is an effect on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Negative log-likelihood of the right answer (of a text: of all its tokens), nat.
    Loss,
    /// LL(right) - LL(best other choice of the model as it is), nat.
    Margin,
}

/// How a prediction is made, in words; `what` names the way to ablate.
pub const FORMULA: &str =
    "first-order prediction: sum over the set of sum_t (r_tj - a_tj) dQ/da_tj at the model as it is, r = what the ablation writes";
pub const OBJECTIVE: &str = "Q = LL(right) - LL(best other choice) for accuracy and margin, Q = -LL(right answer) for loss, nat";

/// An attributed item at the model as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    pub line: usize,
    pub nll: f64,
    pub n_tokens: usize,
    pub margin: Option<f64>,
    /// The right choice stands before its best rival, so it is chosen where both are equal, as in the harness.
    pub wins_ties: bool,
}

impl Known {
    pub fn new(score: &ItemScore, gold: Option<usize>) -> Self {
        let rivals = rivals(score, gold);
        Self {
            line: score.line,
            nll: score.nll,
            n_tokens: score.n_tokens,
            margin: score.margin.filter(|_| rivals.is_some()),
            wins_ties: rivals.is_some_and(|(gold, other)| gold < other),
        }
    }
}

/// Means over the items of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Share of items answered right; `None` without choices.
    pub acc: Option<f64>,
    /// Mean log-likelihood margin, nat.
    pub margin: Option<f64>,
    /// Mean negative log-likelihood a token, nat.
    pub loss: Option<f64>,
}

impl Summary {
    pub fn of(score: &DomainScore) -> Self {
        Self { acc: score.acc(), margin: score.mean_margin(), loss: score.loss() }
    }
    /// `self - before`, where both are there.
    pub fn minus(&self, before: &Self) -> Self {
        let minus = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
        Self { acc: minus(self.acc, before.acc), margin: minus(self.margin, before.margin), loss: minus(self.loss, before.loss) }
    }
}

/// What a set is predicted to do to a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Items it is made of, of all that the evaluation has.
    pub n: usize,
    pub n_all: usize,
    /// Of the same items.
    pub before: Summary,
    pub after: Summary,
}

impl Prediction {
    pub fn change(&self) -> Summary {
        self.after.minus(&self.before)
    }
}

impl Effects {
    /// Sum of the rows of a set, `[items]`, in f64.
    fn sum(&self, shape: &Attribution, neurons: &NeuronSet, heads: &BTreeSet<Head>) -> Vec<f64> {
        let n = shape.items.len();
        let mut sums = vec![0.0f64; n];
        let mut add = |row: Option<&[f32]>| {
            if let Some(row) = row {
                sums.iter_mut().zip(row).for_each(|(s, &e)| *s += f64::from(e));
            }
        };
        for layer in neurons.layers().filter(|&l| l < shape.n_layers) {
            for i in neurons.layer(layer).filter(|&i| i < shape.d_mlp) {
                let at = (layer * shape.d_mlp + i) * n;
                add(self.neurons.get(at..at + n));
            }
        }
        for h in heads.iter().filter(|h| (h.index as usize) < shape.n_heads) {
            let at = (h.layer as usize * shape.n_heads + h.index as usize) * n;
            add(self.heads.get(at..at + n));
        }
        sums
    }
}

impl Attribution {
    pub fn n(&self) -> usize {
        self.items.len()
    }
    /// Lines of the attributed items, in order.
    pub fn lines(&self) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().map(|i| i.line)
    }
    pub fn bytes(&self) -> usize {
        let of = |e: &Effects| (e.neurons.len() + e.heads.len()) * size_of::<f32>();
        of(&self.nll) + self.margin.as_ref().map_or(0, of)
    }

    fn effects(&self, quantity: Quantity) -> Option<&Effects> {
        match quantity {
            Quantity::Loss => Some(&self.nll),
            Quantity::Margin => self.margin.as_ref(),
        }
    }

    /// Share of the attributed effects that this way to ablate has; `None` where it is another way.
    fn share(&self, mode: &AblationMode) -> Option<f64> {
        match (&self.mode, mode) {
            // a (k - 1) = (1 - k) (0 - a)
            (AblationMode::Zero, AblationMode::Scale(k)) => Some(1.0 - f64::from(*k)),
            (own, asked) => (own == asked).then_some(1.0),
        }
    }

    /// Predicted change of the quantity of each item, in order; `None` where the way to ablate was not attributed or the domain has no such
    /// quantity.
    pub fn changes(&self, quantity: Quantity, neurons: &NeuronSet, heads: &BTreeSet<Head>, mode: &AblationMode) -> Option<Vec<f64>> {
        let share = self.share(mode)?;
        let mut sums = self.effects(quantity)?.sum(self, neurons, heads);
        sums.iter_mut().for_each(|s| *s *= share);
        Some(sums)
    }

    /// Predicted accuracy, margin and loss with a set ablated, over the attributed items at `lines` (`None`: all). `None` for a way to ablate that
    /// was not attributed.
    pub fn predict(
        &self,
        neurons: &NeuronSet,
        heads: &BTreeSet<Head>,
        mode: &AblationMode,
        lines: Option<&BTreeSet<usize>>,
    ) -> Option<Prediction> {
        let nll = self.changes(Quantity::Loss, neurons, heads, mode)?;
        let margin = self.changes(Quantity::Margin, neurons, heads, mode);
        let none = vec![0.0; self.n()];
        let kept: Vec<usize> = (0..self.n()).filter(|&i| lines.is_none_or(|l| l.contains(&self.items[i].line))).collect();
        Some(Prediction {
            n: kept.len(),
            n_all: lines.map_or(self.n_all, BTreeSet::len),
            before: self.summary(&kept, &none, margin.is_some().then_some(&none[..])),
            after: self.summary(&kept, &nll, margin.as_deref()),
        })
    }

    fn summary(&self, kept: &[usize], nll: &[f64], margin: Option<&[f64]>) -> Summary {
        let items = || kept.iter().map(|&i| (i, &self.items[i]));
        let tokens: usize = items().map(|(_, k)| k.n_tokens).sum();
        let total: f64 = items().map(|(i, k)| k.nll + nll[i]).sum();
        let margins: Vec<(f64, bool)> =
            margin.map_or_else(Vec::new, |changes| items().filter_map(|(i, k)| Some((k.margin? + changes[i], k.wins_ties))).collect());
        let right = margins.iter().filter(|(m, ties)| *m > 0.0 || (*m == 0.0 && *ties)).count();
        // An item without a right choice is never answered right.
        let acc = margin.filter(|_| !kept.is_empty()).map(|_| right as f64 / kept.len() as f64);
        Summary {
            acc,
            margin: stats::mean(&margins.iter().map(|m| m.0).collect::<Vec<_>>()),
            loss: (tokens > 0).then(|| total / tokens as f64),
        }
    }

    /// `[layer, d_mlp]`: predicted change of the mean quantity when that neuron alone is ablated (loss: nat a token; margin: nat an item).
    ///
    /// # Errors
    /// Never for effects of a whole model.
    pub fn map(&self, quantity: Quantity) -> Result<Option<Grid>> {
        let Some(effects) = self.effects(quantity) else { return Ok(None) };
        let n = match quantity {
            Quantity::Loss => self.items.iter().map(|i| i.n_tokens).sum::<usize>(),
            Quantity::Margin => self.n(),
        };
        let mean = |row: &[f32]| (row.iter().map(|&e| f64::from(e)).sum::<f64>() / n.max(1) as f64) as f32;
        let values: Vec<f32> = effects.neurons.chunks_exact(self.n().max(1)).map(mean).collect();
        Grid::new(self.n_layers, self.d_mlp, values).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::DomainKind, eval::AblationAt};

    /// One layer of two neurons and one head, three items.
    fn attribution() -> Attribution {
        let known = |line, margin, wins_ties| Known { line, nll: 2.0, n_tokens: 2, margin: Some(margin), wins_ties };
        Attribution {
            domain: "a".into(),
            kind: DomainKind::MultipleChoice,
            mode: AblationMode::Zero,
            at: AblationAt::All,
            n_layers: 1,
            d_mlp: 2,
            n_heads: 1,
            n_all: 5,
            items: vec![known(1, 1.0, true), known(3, 0.5, false), known(5, -0.25, true)],
            nll: Effects { neurons: vec![1.0, 0.0, 2.0, 0.5, 0.5, 0.5], heads: vec![0.0; 3] },
            margin: Some(Effects { neurons: vec![-1.0, -0.5, 0.0, 0.0, 0.0, 0.5], heads: vec![0.0, 0.0, 0.25] }),
        }
    }

    fn set(text: &str) -> NeuronSet {
        NeuronSet::parse(text).expect("set")
    }

    #[test]
    fn a_set_is_the_sum_of_its_neurons_and_ties_go_by_the_order_of_choices() {
        let a = attribution();
        let none = BTreeSet::new();
        let nothing = a.predict(&NeuronSet::new(), &none, &AblationMode::Zero, None).expect("zero");
        assert_eq!((nothing.n, nothing.n_all, nothing.before), (3, 5, nothing.after));
        assert_eq!(nothing.before, Summary { acc: Some(2.0 / 3.0), margin: Some(1.25 / 3.0), loss: Some(1.0) });
        // Margins become 0 (wins the tie), 0 (loses it) and -0.25: one of three stays right.
        let one = a.predict(&set("L0N0"), &none, &AblationMode::Zero, None).expect("zero");
        assert_eq!((one.after.acc, one.after.loss), (Some(1.0 / 3.0), Some(9.0 / 6.0)));
        // The second neuron lifts the last item to 0.25, the head alone to 0, a tie it wins.
        assert_eq!(a.predict(&set("L0N0-1"), &none, &AblationMode::Zero, None).expect("zero").after.acc, Some(2.0 / 3.0));
        // Of lines 3 and 4 only line 3 was attributed.
        let part = a.predict(&set("L0N0"), &none, &AblationMode::Zero, Some(&BTreeSet::from([3, 4]))).expect("zero");
        assert_eq!((part.n, part.n_all, part.before.acc, part.after.acc), (1, 2, Some(1.0), Some(0.0)));
        let head = BTreeSet::from([Head::new(0, 0)]);
        assert_eq!(a.predict(&NeuronSet::new(), &head, &AblationMode::Zero, None).expect("zero").after.acc, Some(1.0));
    }

    #[test]
    fn a_scale_is_a_share_and_another_way_is_not_predicted() {
        let a = attribution();
        let none = BTreeSet::new();
        let changes = |mode| a.changes(Quantity::Margin, &set("L0N0"), &none, &mode);
        assert_eq!(changes(AblationMode::Scale(3.0)), Some(vec![2.0, 1.0, 0.0]));
        assert_eq!(changes(AblationMode::Scale(1.0)), Some(vec![0.0, 0.0, 0.0]));
        assert_eq!(changes(AblationMode::Scale(0.0)), changes(AblationMode::Zero));
        assert_eq!(changes(AblationMode::Mean), None);
    }

    #[test]
    fn a_map_is_the_mean_over_items_and_tokens() {
        let a = attribution();
        assert_eq!(a.map(Quantity::Margin).expect("map").expect("margin").values(), [-0.5, 0.5 / 3.0]);
        assert_eq!(a.map(Quantity::Loss).expect("map").expect("loss").values(), [0.5, 0.25]);
    }
}
