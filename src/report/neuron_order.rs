//! In which order the neurons of a layer stand in a map: by index, by value, or beside those that serve the same domains.

use crate::{
    base::{
        Ctx, Error, Grid, Result,
        heatmap::{Permutation, cluster},
    },
    scan::{MetricKind, ScanOutput},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum NeuronOrder {
    #[default]
    Index,
    /// Largest value of a domain's map first.
    Value { metric: MetricKind, domain: String },
    /// Clustered by the values over all domains of the run.
    Profile { metric: MetricKind },
}

impl NeuronOrder {
    /// Each layer's order in this run; `None` where neurons stand by their index.
    ///
    /// # Errors
    /// When the run lacks the maps that the order is made of, or the work is cancelled.
    pub fn permutation(&self, scan: &ScanOutput, ctx: &Ctx<'_>) -> Result<Option<Permutation>> {
        match self {
            Self::Index => Ok(None),
            Self::Value { metric, domain } => {
                let map = scan.domain(domain).and_then(|d| d.map(*metric));
                let map = map.ok_or_else(|| Error::invalid(format!("the run has no map of {} for {domain} to sort by", metric.label())))?;
                Ok(Some(Permutation::by_value(map)))
            }
            Self::Profile { metric } => {
                let maps: Vec<&Grid> = scan.domains.iter().filter_map(|d| d.map(*metric)).collect();
                if maps.is_empty() {
                    return Err(Error::invalid(format!("the run has no map of {} to cluster by", metric.label())));
                }
                cluster::by_profile(&maps, ctx).map(Some)
            }
        }
    }
    /// `sorted by relevance of logic`; empty for the index. `cols`: neurons of a layer.
    pub fn words(&self, cols: usize) -> String {
        match self {
            Self::Index => String::new(),
            Self::Value { metric, domain } => format!("sorted by {} of {domain}", metric.label()),
            Self::Profile { metric } if cols > cluster::MOST => {
                format!("the {} most active clustered by {} over the domains, the rest by size", cluster::MOST, metric.label())
            }
            Self::Profile { metric } => format!("clustered by {} over the domains", metric.label()),
        }
    }
    /// As `--order` reads it back.
    pub fn id(&self) -> String {
        match self {
            Self::Index => "index".into(),
            Self::Value { metric, domain } => format!("value:{}:{domain}", metric.info().id),
            Self::Profile { metric } => format!("profile:{}", metric.info().id),
        }
    }
    /// # Errors
    /// A message that shows how to write an order.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let metric = |word: &str| {
            MetricKind::ALL.into_iter().find(|m| m.info().id == word.replace('-', "_")).ok_or_else(|| format!("`{word}` is no metric"))
        };
        let mut words = text.splitn(3, ':');
        match (words.next(), words.next(), words.next()) {
            (Some("index"), None, None) => Ok(Self::Index),
            (Some("value"), Some(m), Some(domain)) => Ok(Self::Value { metric: metric(m)?, domain: domain.to_owned() }),
            (Some("profile"), Some(m), None) => Ok(Self::Profile { metric: metric(m)? }),
            _ => Err(format!("`{text}` is no order: write index, value:METRIC:DOMAIN or profile:METRIC")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::job::silently, scan::DomainScan};

    #[test]
    fn an_order_reads_back_what_it_writes() {
        let metric = MetricKind::MeanAbsActivation;
        for order in [NeuronOrder::Index, NeuronOrder::Value { metric, domain: "a:b".into() }, NeuronOrder::Profile { metric }] {
            assert_eq!(NeuronOrder::parse(&order.id()).expect("its own words"), order);
        }
        assert!(NeuronOrder::parse("value:relevance").expect_err("no domain").contains("DOMAIN"));
        assert!(NeuronOrder::parse("profile:height").is_err());
    }

    #[test]
    fn an_order_of_what_the_run_has_not_says_so() {
        let map = Grid::new(1, 3, vec![1.0, 3.0, 2.0]).ok();
        let scan =
            ScanOutput { domains: vec![DomainScan { name: "a".into(), relevance: map, ..DomainScan::default() }], ..ScanOutput::default() };
        let of = |order: NeuronOrder| silently(|ctx| order.permutation(&scan, ctx));
        assert_eq!(of(NeuronOrder::Index).expect("index"), None);
        let sorted = of(NeuronOrder::Value { metric: MetricKind::Relevance, domain: "a".into() }).expect("map").expect("order");
        assert_eq!(sorted.layer(0), [1, 2, 0]);
        let e = of(NeuronOrder::Value { metric: MetricKind::Relevance, domain: "b".into() }).expect_err("no b");
        assert!(e.to_string().contains("relevance for b"), "{e}");
        assert!(of(NeuronOrder::Profile { metric: MetricKind::MeanActivation }).is_err());
    }
}
