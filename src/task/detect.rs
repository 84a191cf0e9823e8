//! The neurons of several tasks: relevance of each, how stable the top set is, how much the sets have in common.

use super::stability::{Ranking, STABILITY_PERCENTS, Stability, stability, top};
use crate::{
    base::{Ctx, Grid, NeuronSet, Result, overlap::TopSets},
    data::Domain,
    model::Decoder,
    scan::{Completeness, DomainSource, RelevanceConfig, task_relevance},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectConfig {
    pub relevance: RelevanceConfig,
    pub ranking: Ranking,
    /// Share that the sets take.
    pub percent: f64,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self { relevance: RelevanceConfig::default(), ranking: Ranking::Global, percent: 10.0 }
    }
}

impl DetectConfig {
    /// `top 10 % of all neurons by |sum_t ...|`.
    pub fn words(&self, percent: f64) -> String {
        let r = &self.relevance;
        let integral = r.steps.map_or_else(String::new, |n| format!(", integrated over {n} steps"));
        format!("top {percent} % {} by relevance ({} over tokens{integral})", self.ranking.words(), r.aggregation.word())
    }
}

/// What is known of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskNeurons {
    pub name: String,
    pub source: DomainSource,
    pub samples: usize,
    pub tokens: usize,
    /// Mean over the samples, nat.
    pub mean_loss: f64,
    /// `[L, d_mlp]`
    pub relevance: Grid,
    /// `[L, d_model]`: output coordinates, where they were asked for.
    pub columns: Option<Grid>,
    /// By rising share.
    pub stability: Vec<Stability>,
    /// Resamples behind it.
    pub draws: usize,
    pub completeness: Option<Completeness>,
}

impl TaskNeurons {
    pub fn set(&self, percent: f64, ranking: Ranking) -> NeuronSet {
        top(&self.relevance, percent, ranking)
    }
    /// Neurons of a set in each layer.
    pub fn by_layer(&self, set: &NeuronSet) -> Vec<usize> {
        (0..self.relevance.rows()).map(|l| set.layer(l).count()).collect()
    }
    /// Output coordinates of the same share, `(layer, coordinate)`; empty where they were not asked for.
    pub fn columns_of(&self, percent: f64, ranking: Ranking) -> NeuronSet {
        self.columns.as_ref().map_or_else(NeuronSet::new, |c| top(c, percent, ranking))
    }
    /// The stability worked out at the share nearest to `percent` on a logarithmic axis.
    pub fn stability_near(&self, percent: f64) -> Option<&Stability> {
        let apart = |s: &&Stability| (s.percent / percent).ln().abs();
        self.stability.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)))
    }
    /// Lines of the file that its ranking was made on.
    pub fn chosen_lines(&self) -> impl Iterator<Item = usize> + '_ {
        self.source.sample_lines.iter().copied()
    }
}

/// Finds the neurons of each task in turn; `found` hears of each as soon as it is complete.
///
/// # Errors
/// As [`task_relevance`].
pub fn detect(
    decoder: &Decoder,
    domains: &[Arc<Domain>],
    config: &DetectConfig,
    ctx: &Ctx<'_>,
    found: &mut dyn FnMut(Arc<TaskNeurons>),
) -> Result<Vec<Arc<TaskNeurons>>> {
    let mut percents = STABILITY_PERCENTS.to_vec();
    percents.push(config.percent);
    percents.sort_by(f64::total_cmp);
    percents.dedup();
    let mut all = Vec::with_capacity(domains.len());
    for domain in domains {
        let r = task_relevance(decoder, domain, &config.relevance, ctx)?;
        ctx.check()?;
        let task = Arc::new(TaskNeurons {
            stability: stability(&r.neurons, &r.draws, &percents, config.ranking),
            draws: r.draws.len(),
            name: r.name,
            source: r.source,
            samples: r.samples,
            tokens: r.tokens,
            mean_loss: r.mean_loss,
            relevance: r.neurons,
            columns: r.columns,
            completeness: r.completeness,
        });
        found(task.clone());
        all.push(task);
    }
    Ok(all)
}

/// How much the tasks' sets have in common at one share.
pub fn overlap(tasks: &[Arc<TaskNeurons>], percent: f64, ranking: Ranking) -> TopSets {
    let (layers, width) = tasks.first().map_or((0, 0), |t| (t.relevance.rows(), t.relevance.cols()));
    TopSets::of(tasks.iter().map(|t| (t.name.clone(), t.set(percent, ranking))), layers, width)
}
