//! What a scan can measure: one file each, one line in [`METRICS`] each.

pub mod attribution;
pub mod llmdcos;
pub mod mean_abs_activation;
pub mod mean_activation;
pub mod param_activation;
pub mod relevance;

use super::{DomainScan, MetricKind};
use crate::base::Grid;

/// What a user reads about a metric, and what provenance says of it.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    pub kind: MetricKind,
    /// As in `--metrics` and in file names.
    pub id: &'static str,
    pub label: &'static str,
    pub formula: &'static str,
    pub source: &'static str,
    /// Of the neuron map's values; empty for a pure number.
    pub unit: &'static str,
    /// Values have both signs: draw them on a diverging map.
    pub signed: bool,
    /// The `[layer, d_mlp]` map of a domain; `None` for a metric that has none.
    pub map: Option<fn(&DomainScan) -> Option<&Grid>>,
}

/// Every metric, in the order shown.
pub const METRICS: [MetricInfo; 6] =
    [param_activation::INFO, llmdcos::INFO, relevance::INFO, attribution::INFO, mean_activation::INFO, mean_abs_activation::INFO];

impl MetricKind {
    pub fn info(self) -> &'static MetricInfo {
        match self {
            Self::ParamActivation => &param_activation::INFO,
            Self::Llmdcos => &llmdcos::INFO,
            Self::Relevance => &relevance::INFO,
            Self::Attribution => &attribution::INFO,
            Self::MeanActivation => &mean_activation::INFO,
            Self::MeanAbsActivation => &mean_abs_activation::INFO,
        }
    }
}

impl DomainScan {
    /// The neuron map `[layer, d_mlp]` of a metric; `None` where it was not measured or the metric has no map.
    pub fn map(&self, metric: MetricKind) -> Option<&Grid> {
        metric.info().map.and_then(|of| of(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_once_and_described() {
        assert_eq!(METRICS.len(), MetricKind::ALL.len());
        for kind in MetricKind::ALL {
            let info = kind.info();
            assert_eq!(info.kind, kind);
            assert_eq!(METRICS.iter().filter(|m| m.id == info.id).count(), 1);
            assert!(!info.label.is_empty() && !info.formula.is_empty() && !info.source.is_empty());
            // The id is what serde writes, so that a project file, `--metrics` and a tensor's name agree.
            assert_eq!(serde_json::to_value(kind).expect("json"), info.id);
        }
    }
}
