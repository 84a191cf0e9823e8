//! Which domain's neurons hurt which domain: every domain's top set off in turn, every domain scored.

use crate::{base::provenance::Provenance, eval::DomainScore, scan::MetricKind};

/// Rows: the set that is off; columns: the domain that is scored.
#[derive(Clone, Debug, PartialEq)]
pub struct AblationMatrix {
    pub domains: Vec<String>,
    pub metric: MetricKind,
    pub percent: f64,
    /// Neurons of each set.
    pub neurons: Vec<usize>,
    /// The run whose maps gave the sets, and how many samples of each domain it had scanned.
    pub run: String,
    pub run_samples: Vec<usize>,
    /// With nothing off, by column.
    pub before: Vec<DomainScore>,
    /// `[set][domain]`
    pub after: Vec<Vec<DomainScore>>,
    /// Random sets of the same size in each layer: `[set][seed][domain]`.
    pub controls: Vec<Vec<Vec<DomainScore>>>,
    pub provenance: Provenance,
}
