//! Relevance of a task's neurons with its options: how tokens are put together, integrated gradients along the gates, the columns of the MLP's output
//! matrix as a second population, and the same ranking under bootstrap resamples of the samples.
//!
//! Source: Leng and Xiong, COLING 2025, arXiv 2407.06488 (METHODS 2). A neuron is one coordinate j of `mlp.hook_post`; its gate `g_j` multiplies it. With
//! `a` the activation and L the task's loss, `dL/dg_j = sum_t a_tj dL/da_tj` at `g = 1`.

use super::{DomainSource, Order, ScanConfig, Sequence, plan::Sizes, prepare, relevance_pass::Pass};
use crate::{
    base::{Ctx, Error, Grid, Result, rng::Rng},
    data::Domain,
    model::{Decoder, DecoderSpec},
    scan::{MetricKind, ObjectiveKind},
};
use serde::{Deserialize, Serialize};

/// How a sample's tokens become one number a neuron, before the mean over samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// `|sum_t a dL/da|`: tokens that pull both ways cancel.
    #[default]
    Sum,
    /// `sum_t |a dL/da|`: every token counts.
    PerToken,
    /// `-sum_t a dL/da`: positive where the loss is predicted to rise when the neuron is off.
    Signed,
}

impl Aggregation {
    pub const ALL: [Self; 3] = [Self::Sum, Self::PerToken, Self::Signed];
    /// As `--tokens` reads it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::PerToken => "per-token",
            Self::Signed => "signed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelevanceConfig {
    /// Samples a domain (fewer where the domain has fewer).
    pub samples: usize,
    pub seed: u64,
    pub order: Order,
    pub max_tokens: usize,
    pub aggregation: Aggregation,
    /// Steps of the integral along the gates; `None`: the gradient of the model as it is.
    pub steps: Option<usize>,
    /// Also the d_model rows of W_down that write the residual stream.
    pub columns: bool,
    /// Bootstrap resamples of the samples; a single sample has none.
    pub draws: usize,
}

impl Default for RelevanceConfig {
    fn default() -> Self {
        Self {
            samples: 64,
            seed: 0,
            order: Order::Shuffle,
            max_tokens: 256,
            aggregation: Aggregation::Sum,
            steps: None,
            columns: false,
            draws: 50,
        }
    }
}

impl RelevanceConfig {
    /// What the numbers are, for provenance and hover texts.
    pub fn formula(&self) -> String {
        let one = match (self.steps, self.aggregation) {
            (None, Aggregation::Sum) => "|sum_t a_tj dLoss/da_tj|".to_owned(),
            (None, Aggregation::PerToken) => "sum_t |a_tj dLoss/da_tj|".to_owned(),
            (None, Aggregation::Signed) => "-sum_t a_tj dLoss/da_tj (predicted rise of the loss with neuron j off)".to_owned(),
            (Some(n), Aggregation::PerToken) => format!("mean over {n} midpoints g of sum_t |a_tj(g) dLoss/d(g a_tj)|, every gate at g"),
            (Some(n), aggregation) => {
                let integral = format!("integral over g from 0 to 1 of dLoss/dg_j with every gate at g, midpoint rule, {n} steps");
                match aggregation {
                    Aggregation::Signed => format!("-({integral})"),
                    _ => format!("|{integral}|"),
                }
            }
        };
        let columns = if self.columns { "; output coordinate i: the same with (W_down a)_ti, without bias, for a_tj" } else { "" };
        format!(
            "R_j = mean over samples of {one}, a = mlp.hook_post, Loss = mean cross-entropy of the answer's tokens (plain text: of all){columns}"
        )
    }
    pub const SOURCE: &str = "Leng and Xiong, COLING 2025, arXiv 2407.06488";

    /// The same samples as a scan with these settings takes.
    pub fn scan(&self) -> ScanConfig {
        ScanConfig {
            samples: self.samples,
            seed: self.seed,
            order: self.order,
            max_tokens: self.max_tokens,
            objective: ObjectiveKind::Loss,
            metrics: vec![MetricKind::Relevance],
            ..ScanConfig::default()
        }
    }
}

/// Whether the integral adds up: the sum of all neurons' integrals is the loss with every gate open less that with every gate shut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completeness {
    /// Mean loss with every neuron as it is, and with every neuron off.
    pub open: f64,
    pub shut: f64,
    /// Mean over samples of the sum over all neurons of the integral.
    pub integral: f64,
}

impl Completeness {
    /// Share of the difference that the steps miss.
    pub fn error(&self) -> f64 {
        (self.integral - (self.open - self.shut)).abs() / (self.open - self.shut).abs().max(f64::MIN_POSITIVE)
    }
}

/// One domain's.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRelevance {
    pub name: String,
    pub source: DomainSource,
    pub samples: usize,
    pub tokens: usize,
    /// Mean over samples of the loss.
    pub mean_loss: f64,
    /// `[L, d_mlp]`
    pub neurons: Grid,
    /// `[L, d_model]`
    pub columns: Option<Grid>,
    /// Of each resample, `[L, d_mlp]`.
    pub draws: Vec<Grid>,
    /// Of an integral whose tokens are summed.
    pub completeness: Option<Completeness>,
}

/// Bytes that the resamples' sums may take; fewer resamples are drawn where they need more.
const DRAW_BYTES: usize = 768 << 20;

/// Resamples of a model of this size that fit.
pub fn draws_within(spec: &DecoderSpec, wanted: usize) -> usize {
    wanted.min(DRAW_BYTES / (size_of::<f32>() * spec.n_layers * spec.d_mlp).max(1)).max(usize::from(wanted > 0))
}

/// Relevance of every neuron for the loss of the first `config.samples` usable items of a domain.
///
/// Resamples are sums with weights drawn beforehand, so memory grows with their number, not with that of the samples.
///
/// # Errors
/// When a setting makes no sense, the domain gives no sample, a number is not finite, or the work is cancelled.
pub fn task_relevance(decoder: &Decoder, domain: &Domain, config: &RelevanceConfig, ctx: &Ctx<'_>) -> Result<TaskRelevance> {
    if config.steps == Some(0) {
        return Err(Error::invalid("an integral needs at least 1 step; 16 or more are usual"));
    }
    let model = &decoder.model;
    let prepared = prepare(domain, &model.tokenizer, model.spec.max_positions, &config.scan(), ctx)?;
    relevance_of(decoder, &prepared.name, prepared.source, &prepared.sequences, config, ctx)
}

/// The same for ready token sequences. `config.samples`, `order` and `max_tokens` say nothing here.
///
/// # Errors
/// As [`task_relevance`].
pub fn relevance_of(
    decoder: &Decoder,
    name: &str,
    source: DomainSource,
    sequences: &[Sequence],
    config: &RelevanceConfig,
    ctx: &Ctx<'_>,
) -> Result<TaskRelevance> {
    let spec = &decoder.model.spec;
    let n = sequences.len();
    if n == 0 {
        return Err(Error::invalid(format!("domain {name} has no sample")));
    }
    // Every resample of one sample is that sample: how far a set would move under others it cannot say.
    let draws = if n < 2 { 0 } else { draws_within(spec, config.draws) };
    let weights = resamples(config.seed, name, n, draws);
    let pass = Pass { decoder, name, sequences, config, weights: &weights, sizes: Sizes::new(spec), ctx };
    let sums = pass.run()?;
    let by = n as f64;
    let grid = |sums: &[f64], by: f64| -> Result<Grid> {
        let values: Vec<f32> = sums.iter().map(|v| (v / by) as f32).collect();
        Grid::new(spec.n_layers, values.len() / spec.n_layers.max(1), values)
    };
    if let Some(at) = sums.neurons.iter().position(|v| !v.is_finite()) {
        let message = format!("the relevance of neuron {} for {name} is not finite", at % spec.d_mlp);
        return Err(Error::numeric(format!("blocks.{}.mlp.hook_post", at / spec.d_mlp), message));
    }
    let others = sums.columns.iter().flatten().copied().chain(sums.draws.iter().flatten().map(|v| f64::from(*v)));
    if let Some(v) = others.into_iter().find(|v| !v.is_finite()) {
        return Err(Error::numeric("relevance", format!("{v} among output coordinates or bootstrap resamples of {name}")));
    }
    let draws = sums.draws.into_iter().map(|d| {
        let values: Vec<f32> = d.into_iter().map(|v| v / n as f32).collect();
        Grid::new(spec.n_layers, spec.d_mlp, values)
    });
    Ok(TaskRelevance {
        name: name.to_owned(),
        source,
        samples: n,
        tokens: sequences.iter().map(|s| s.tokens.len()).sum(),
        mean_loss: sums.loss / by,
        neurons: grid(&sums.neurons, by)?,
        columns: sums.columns.map(|c| grid(&c, by)).transpose()?,
        draws: draws.collect::<Result<_>>()?,
        completeness: sums.shut.map(|shut| Completeness { open: sums.loss / by, shut: shut / by, integral: sums.integral / by }),
    })
}

/// How often each sample is in each resample: `[draw][sample]`, every row sums to `n`.
fn resamples(seed: u64, name: &str, n: usize, draws: usize) -> Vec<Vec<u32>> {
    let mut rng = Rng::stream(seed, &format!("bootstrap of samples {name}"));
    let draw = |_| {
        let mut times = vec![0u32; n];
        (0..n).for_each(|_| times[rng.below(n)] += 1);
        times
    };
    (0..draws).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resample_takes_as_many_samples_as_there_are() {
        let weights = resamples(3, "a", 10, 40);
        assert!(weights.iter().all(|w| w.iter().sum::<u32>() == 10));
        assert_eq!(weights, resamples(3, "a", 10, 40));
        assert_ne!(weights, resamples(4, "a", 10, 40));
        // Left out with probability (1 - 1/10)^10 = 0.349; 400 cells, standard error 0.024.
        let out = weights.iter().flatten().filter(|w| **w == 0).count() as f64 / 400.0;
        assert!((out - 0.349).abs() < 0.08, "{out}");
    }

    #[test]
    fn the_formula_says_what_was_chosen() {
        let formula = |aggregation, steps, columns| RelevanceConfig { aggregation, steps, columns, ..RelevanceConfig::default() }.formula();
        assert!(formula(Aggregation::Sum, None, false).contains("|sum_t a_tj dLoss/da_tj|"));
        assert!(
            formula(Aggregation::PerToken, None, true).contains("sum_t |a_tj") && formula(Aggregation::Sum, None, true).contains("W_down")
        );
        assert!(formula(Aggregation::Signed, Some(16), false).contains("midpoint rule, 16 steps"));
    }
}
