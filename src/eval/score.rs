//! Scores of one domain.

use crate::data::DomainKind;
use serde::Serialize;

/// One item's outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ItemScore {
    pub line: usize,
    /// Sum of the natural-log probabilities of each choice's tokens.
    pub log_likelihoods: Vec<f64>,
    /// arg max of the log-likelihood is the gold choice.
    pub correct: bool,
    /// arg max of the log-likelihood per character is.
    pub correct_norm: bool,
    /// Log-likelihood of the gold choice minus that of the best other one.
    pub margin: Option<f64>,
    /// Negative log-likelihood and number of tokens that loss and perplexity are made of (gold continuation, or the whole text).
    pub nll: f64,
    pub n_tokens: usize,
    /// Tokens of the item (of its longest choice with the prompt) that were left out because they did not fit.
    pub cut: usize,
}

impl ItemScore {
    /// The choice with the largest log-likelihood, the first of equals; `None` where there are no choices.
    pub fn chosen(&self) -> Option<usize> {
        let lls = &self.log_likelihoods;
        (0..lls.len()).reduce(|best, i| if lls[i] > lls[best] { i } else { best })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DomainScore {
    pub domain: String,
    pub kind: DomainKind,
    pub items: Vec<ItemScore>,
}

impl DomainScore {
    pub fn n(&self) -> usize {
        self.items.len()
    }
    fn share(&self, f: impl Fn(&ItemScore) -> bool) -> Option<f64> {
        (self.kind == DomainKind::MultipleChoice && !self.items.is_empty())
            .then(|| self.items.iter().filter(|i| f(i)).count() as f64 / self.items.len() as f64)
    }
    /// Items that were scored without a part of their text, because it did not fit.
    pub fn cut(&self) -> usize {
        self.items.iter().filter(|i| i.cut > 0).count()
    }
    /// `None` for domains without choices.
    pub fn acc(&self) -> Option<f64> {
        self.share(|i| i.correct)
    }
    pub fn acc_norm(&self) -> Option<f64> {
        self.share(|i| i.correct_norm)
    }
    /// Standard error of `acc`: sample standard deviation over sqrt(n), as lm-evaluation-harness reports it.
    pub fn stderr(&self) -> Option<f64> {
        let (p, n) = (self.acc()?, self.n());
        (n > 1).then(|| (p * (1.0 - p) / (n - 1) as f64).sqrt())
    }
    /// 95 % Wilson interval of `acc`.
    pub fn acc_interval(&self) -> Option<(f64, f64)> {
        self.acc()?;
        let k = self.items.iter().filter(|i| i.correct).count();
        Some(crate::base::stats::wilson_95(k, self.n()))
    }
    /// Mean negative log-likelihood a token (natural log), all tokens weighted alike; `None` without tokens.
    pub fn loss(&self) -> Option<f64> {
        let tokens: usize = self.items.iter().map(|i| i.n_tokens).sum();
        (tokens > 0).then(|| self.items.iter().map(|i| i.nll).sum::<f64>() / tokens as f64)
    }
    /// `exp(loss)`.
    pub fn perplexity(&self) -> Option<f64> {
        self.loss().map(f64::exp)
    }
    /// Mean over items of the gold choice's log-likelihood margin.
    pub fn mean_margin(&self) -> Option<f64> {
        let m: Vec<f64> = self.items.iter().filter_map(|i| i.margin).collect();
        crate::base::stats::mean(&m)
    }
}
