//! What an ablation gives.

use super::{Difference, paired};
use crate::{
    base::{provenance::Provenance, stats},
    eval::{AblationAt, AblationMode, DomainScore},
};

#[derive(Clone, Debug, PartialEq)]
pub struct DomainAblation {
    pub name: String,
    pub before: DomainScore,
    pub after: DomainScore,
    /// One score for each random control (same number of neurons in each layer), in the order of the seeds asked for.
    pub controls: Vec<DomainScore>,
    /// Items that were not scored: the neurons were chosen on them, or the user said so.
    pub left_out: usize,
    /// Items that were scored although the neurons were chosen on them.
    pub chosen_on: usize,
}

impl DomainAblation {
    fn control_accs(&self) -> Vec<f64> {
        self.controls.iter().filter_map(DomainScore::acc).collect()
    }
    pub fn control_mean(&self) -> Option<f64> {
        stats::mean(&self.control_accs())
    }
    pub fn control_std(&self) -> Option<f64> {
        stats::std_dev(&self.control_accs())
    }
    /// Mean and standard deviation of the controls' losses, for domains without choices (and beside accuracy).
    pub fn control_loss(&self) -> (Option<f64>, Option<f64>) {
        let losses: Vec<f64> = self.controls.iter().filter_map(DomainScore::loss).collect();
        (stats::mean(&losses), stats::std_dev(&losses))
    }
    /// McNemar's exact p of before against after: whether the items that changed could have changed either way. `None` without choices.
    pub fn p_value(&self) -> Option<f64> {
        let (b, c) = paired::discordant(&self.before, &self.after)?;
        Some(paired::mcnemar_exact(b, c))
    }
    /// Accuracy after less before, over the items.
    pub fn accuracy_change(&self) -> Option<Difference> {
        paired::accuracy_difference(&self.before, &self.after)
    }
    /// Loss after less before, nat a token, over the items (paired bootstrap).
    pub fn loss_change(&self) -> Option<Difference> {
        paired::loss_difference(&self.before, &self.after, paired::SEED)
    }
    /// Accuracy with the set off less that with random sets off, by their spread.
    pub fn accuracy_beyond_control(&self) -> Option<Difference> {
        paired::beyond_controls(self.after.acc()?, &self.control_accs(), self.after.n())
    }
    /// Loss with the set off less that with random sets off, by their spread.
    pub fn loss_beyond_control(&self) -> Option<Difference> {
        let losses: Vec<f64> = self.controls.iter().filter_map(DomainScore::loss).collect();
        paired::beyond_controls(self.after.loss()?, &losses, self.after.n())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AblationReport {
    pub mode: AblationMode,
    pub at: AblationAt,
    pub neurons: usize,
    pub heads: usize,
    pub domains: Vec<DomainAblation>,
    pub provenance: Provenance,
}
