//! Accuracy before and after, for every domain, beside random controls.

use super::{AblationReport, DomainAblation, EvalSession, SessionLimits, random_heads_like};
use crate::{
    base::{Ctx, Head, NeuronSet, Result, provenance, provenance::Provenance},
    data::Domain,
    eval::{AblationAt, AblationMode, DomainScore, Donors, EvalConfig, Intervention, Means},
    model::Decoder,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq)]
pub struct AblationRequest {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    pub at: AblationAt,
    /// Needed for [`AblationMode::Mean`] and [`AblationMode::PositionalMean`]: of data that is not evaluated.
    pub means: Option<Means>,
    /// Needed for [`AblationMode::PositionalMean`] and [`AblationMode::Resample`], with the neurons of the controls.
    pub donors: Option<Arc<Donors>>,
    /// One random control for each.
    pub control_seeds: Vec<u64>,
    pub eval: EvalConfig,
    /// Lines left out of a domain's evaluation beside those of `eval`, by domain: the rows the set was chosen on.
    pub exclude: BTreeMap<String, BTreeSet<usize>>,
}

impl AblationRequest {
    pub fn new(neurons: NeuronSet, mode: AblationMode) -> Self {
        Self {
            neurons,
            heads: BTreeSet::new(),
            mode,
            at: AblationAt::default(),
            means: None,
            donors: None,
            control_seeds: (0..5).collect(),
            eval: EvalConfig::default(),
            exclude: BTreeMap::new(),
        }
    }
    fn intervention(&self, neurons: NeuronSet, heads: BTreeSet<Head>) -> Intervention {
        let (means, donors) = (self.means.clone(), self.donors.clone());
        Intervention { neurons, heads, mode: self.mode.clone(), at: self.at, means, donors }
    }
}

/// Which of the scores of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Before,
    After,
    /// By seed.
    Control(u64),
}

/// Evaluates every domain with nothing switched, with the set switched, and with random sets of the same size in each layer. `on_partial` sees
/// the score of a part as it grows, complete at the end.
///
/// # Errors
/// When the set does not fit the model, a domain cannot be evaluated, or the work is cancelled.
pub fn run(
    decoder: &Decoder,
    domains: &[impl AsRef<Domain>],
    request: &AblationRequest,
    ctx: &Ctx<'_>,
    on_partial: &mut dyn FnMut(Part, &DomainScore),
) -> Result<AblationReport> {
    let spec = &decoder.model.spec;
    let mut changes = vec![(Part::Before, None)];
    changes.push((Part::After, Some(request.intervention(request.neurons.clone(), request.heads.clone()))));
    for &seed in &request.control_seeds {
        let neurons = request.neurons.random_like(spec.d_mlp, seed);
        let heads = random_heads_like(&request.heads, spec.attention.n_heads, seed);
        changes.push((Part::Control(seed), Some(request.intervention(neurons, heads))));
    }
    let mut reports = Vec::new();
    for (i, domain) in domains.iter().enumerate() {
        let domain = domain.as_ref();
        let mut eval = request.eval.clone();
        eval.exclude_lines.extend(request.exclude.get(&domain.name).into_iter().flatten());
        let items = eval.choose(domain)?;
        let left_out = domain.items.iter().filter(|i| eval.exclude_lines.contains(&i.line)).count();
        let limits = SessionLimits { eval: eval.limits(), ..SessionLimits::default() };
        let session = EvalSession::new(decoder.clone(), &domain.name, domain.kind, &items, limits, ctx)?;
        let total = domains.len() * changes.len() * items.len();
        let mut scores = Vec::with_capacity(changes.len());
        for (c, (part, change)) in changes.iter().enumerate() {
            let before = (i * changes.len() + c) * items.len();
            let mut growing = DomainScore { domain: domain.name.clone(), kind: domain.kind, items: Vec::new() };
            let score = session.evaluate(change.as_ref(), ctx, &mut |new| {
                growing.items.extend_from_slice(new);
                ctx.progress(format!("ablating: {}", domain.name), before + growing.items.len(), total, "items");
                on_partial(*part, &growing);
            })?;
            scores.push(score);
        }
        let controls = scores.split_off(2);
        let (Some(after), Some(before)) = (scores.pop(), scores.pop()) else { continue };
        reports.push(DomainAblation { name: domain.name.clone(), before, after, controls, left_out, chosen_on: 0 });
    }
    Ok(AblationReport {
        mode: request.mode.clone(),
        at: request.at,
        neurons: request.neurons.len(),
        heads: request.heads.len(),
        domains: reports,
        provenance: provenance_of(decoder, domains, request),
    })
}

fn provenance_of(decoder: &Decoder, domains: &[impl AsRef<Domain>], request: &AblationRequest) -> Provenance {
    let info = &decoder.model.info;
    let given = [request.means.as_ref().map(|m| m.source.as_str()), request.donors.as_ref().map(|d| d.source.as_str())];
    let given: String = given.iter().flatten().filter(|_| request.mode.needs_data()).map(|s| format!("; {s}")).collect();
    Provenance {
        program: provenance::program(),
        model: info.name.clone(),
        model_sha256: info.sha256.clone(),
        data_sha256: domains.iter().map(|d| (d.as_ref().name.clone(), d.as_ref().sha256.clone())).collect(),
        prompts: domains.iter().map(|d| (d.as_ref().name.clone(), d.as_ref().template.clone())).collect(),
        bos: decoder.model.tokenizer.bos_policy(),
        formula: format!(
            "accuracy by log-likelihood with mlp.hook_post of the neurons (attn.hook_z of the heads) {} {}{given}",
            request.mode.words(),
            request.at.words()
        ),
        objective: "log-likelihood".to_owned(),
        seed: request.control_seeds.first().copied().unwrap_or(0),
        dtype: format!("{} computed in {}", info.dtype, decoder.backend.arithmetic()),
        device: decoder.backend.device(),
        command: String::new(),
        created: provenance::now_utc(),
    }
}
