//! What an ablation gives.

use crate::{
    base::provenance::Provenance,
    eval::{AblationMode, DomainScore},
};

#[derive(Clone, Debug, PartialEq)]
pub struct DomainAblation {
    pub name: String,
    pub before: DomainScore,
    pub after: DomainScore,
    /// One score for each random control (same number of neurons in each layer), seeds 0, 1, ...
    pub controls: Vec<DomainScore>,
}

impl DomainAblation {
    fn control_accs(&self) -> Vec<f64> {
        self.controls.iter().filter_map(DomainScore::acc).collect()
    }
    pub fn control_mean(&self) -> Option<f64> {
        crate::base::stats::mean(&self.control_accs())
    }
    pub fn control_std(&self) -> Option<f64> {
        crate::base::stats::std_dev(&self.control_accs())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AblationReport {
    pub mode: AblationMode,
    pub neurons: usize,
    pub heads: usize,
    pub domains: Vec<DomainAblation>,
    pub provenance: Provenance,
}
