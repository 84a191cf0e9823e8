//! A scan from domains to numbers.

use super::{
    DomainScan, Limits, MetricKind, ObjectiveKind, PairSeries, PreparedDomain, ScanConfig, ScanOutput, Sequence, Timing,
    metrics::llmdcos::{PairPlan, cosine, plan_pairs},
    pass::{self, Meter, PassInput, PassOutput, Wants},
    prepare,
};
use crate::{
    base::{
        Ctx, Error, Grid, Result,
        memory::peak_rss_bytes,
        provenance::{Provenance, now_utc, program},
    },
    data::Domain,
    model::Decoder,
};
use std::{sync::Arc, time::Instant};

/// Scans the first `config.samples` usable items of every domain.
///
/// # Errors
/// When a domain gives no sample, the memory does not suffice, a tap stays silent, a number is not finite, or the user cancels.
pub fn run_scan(decoder: &Decoder, domains: &[Arc<Domain>], config: &ScanConfig, ctx: &Ctx<'_>) -> Result<ScanOutput> {
    run_scan_within(decoder, domains, config, Limits::default(), ctx)
}

/// As [`run_scan`], with a say in how much memory it takes.
///
/// # Errors
/// As [`run_scan`].
pub fn run_scan_within(
    decoder: &Decoder,
    domains: &[Arc<Domain>],
    config: &ScanConfig,
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<ScanOutput> {
    let begun = Instant::now();
    let model = &decoder.model;
    let prepared: Vec<PreparedDomain> =
        domains.iter().map(|d| prepare(d, &model.tokenizer, model.spec.max_positions, config, ctx)).collect::<Result<_>>()?;
    scan_since(begun, decoder, &prepared, config, limits, ctx)
}

/// Scans ready token sequences. `config.samples`, `order` and `max_tokens` are only recorded.
///
/// # Errors
/// As [`run_scan`].
pub fn scan_prepared(
    decoder: &Decoder,
    domains: &[PreparedDomain],
    config: &ScanConfig,
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<ScanOutput> {
    scan_since(Instant::now(), decoder, domains, config, limits, ctx)
}

/// `begun` counts the tokenising in.
fn scan_since(
    begun: Instant,
    decoder: &Decoder,
    domains: &[PreparedDomain],
    config: &ScanConfig,
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<ScanOutput> {
    verify_request(domains, config)?;
    let wants = |m| config.metrics.contains(&m);
    let wants_loss = config.metrics.iter().any(|m| m.needs_loss());
    let objective_wants = Wants {
        means: wants(MetricKind::ParamActivation),
        pairs: wants(MetricKind::Llmdcos),
        relevance: wants_loss && config.objective == ObjectiveKind::Loss,
        mean: wants(MetricKind::MeanActivation),
        mean_abs: wants(MetricKind::MeanAbsActivation),
    };
    let loss_wants = Wants { means: false, pairs: false, relevance: true, mean: false, mean_abs: false };
    let needs_loss_pass = wants_loss && config.objective == ObjectiveKind::MaxLogit;

    let counts: Vec<usize> = domains.iter().map(|d| d.sequences.len()).collect();
    let domain_of: Vec<usize> = counts.iter().enumerate().flat_map(|(d, &n)| std::iter::repeat_n(d, n)).collect();
    let cycles: Vec<&[usize]> = domains.iter().map(|d| &d.source.self_cycle[..]).collect();
    let plans = if objective_wants.pairs { plan_pairs(&counts, &cycles) } else { Vec::new() };
    let pairs: Vec<(usize, usize)> = plans.iter().flat_map(|p| p.samples.iter().copied()).collect();
    let sample_name = |s: usize| sample_name(domains, s);
    let sequences: Vec<&Sequence> = domains.iter().flat_map(|d| &d.sequences).collect();
    let answers: Vec<&Sequence> = domains.iter().flat_map(|d| &d.answers).collect();
    let input = PassInput {
        decoder,
        sequences: &sequences,
        domain_of: &domain_of,
        n_domains: domains.len(),
        pairs: &pairs,
        layers: None,
        gamma: config.gamma,
        wants: objective_wants,
        limits,
        sample_name: &sample_name,
    };
    let loss_input = PassInput { sequences: &answers, pairs: &[], wants: loss_wants, ..input };

    let mut meter = Meter {
        ctx,
        phase: "scanning",
        done: 0.0,
        total: Meter::cost(&input) + if needs_loss_pass { Meter::cost(&loss_input) } else { 0.0 },
        units: sequences.len() * decoder.model.spec.n_layers,
    };
    let main = pass::run(&input, &mut meter)?;
    let loss = if needs_loss_pass {
        meter.phase = "scanning (task loss)";
        Some(pass::run(&loss_input, &mut meter)?)
    } else {
        None
    };

    let seconds = begun.elapsed().as_secs_f64();
    let spec = &decoder.model.spec;
    let params_per_layer = vec![spec.linear_params_per_layer(); spec.n_layers];
    let relevance_pass = if objective_wants.relevance { Some(&main) } else { loss.as_ref() };
    let scans = (0..domains.len())
        .map(|d| domain_scan(d, &domains[d], &counts, &main, relevance_pass, (objective_wants, config), &params_per_layer))
        .collect::<Result<_>>()?;
    Ok(ScanOutput {
        config: config.clone(),
        provenance: provenance(decoder, domains, config),
        timing: Timing { seconds, samples_per_second: sequences.len() as f64 / seconds.max(1e-9), peak_rss_bytes: peak_rss_bytes() },
        n_layers: spec.n_layers,
        d_mlp: spec.d_mlp,
        params_per_layer,
        domains: scans,
        llmdcos: series(&plans, domains, &main),
    })
}

/// Which sample number `s` of all domains is, for errors.
pub(super) fn sample_name(domains: &[PreparedDomain], s: usize) -> String {
    let mut m = s;
    for d in domains {
        if m < d.sequences.len() {
            let line = d.source.sample_lines.get(m).map(|l| format!(" (line {l})")).unwrap_or_default();
            return format!("sample {m}{line} of domain {}", d.name);
        }
        m -= d.sequences.len();
    }
    format!("sample {s}")
}

pub(super) fn verify_request(domains: &[PreparedDomain], config: &ScanConfig) -> Result<()> {
    if domains.is_empty() {
        return Err(Error::invalid("a scan needs at least one domain; none is given or enabled"));
    }
    if config.metrics.is_empty() {
        return Err(Error::invalid("a scan needs at least one metric"));
    }
    if !(config.gamma.is_finite() && config.gamma >= 0.0) {
        return Err(Error::invalid(format!("gamma is {}, expected a number that is not negative", config.gamma)));
    }
    for (i, d) in domains.iter().enumerate() {
        // The names become parts of tensor names, `llmdcos/{a}|{b}`.
        if d.name.is_empty() || d.name.contains(['|', '/']) || d.name.contains(char::is_control) {
            return Err(Error::invalid(format!("`{}` cannot name a domain: it is empty or holds `|`, `/` or a control character", d.name)));
        }
        if domains[..i].iter().any(|other| other.name == d.name) {
            return Err(Error::invalid(format!("two domains are called {}; rename one", d.name)));
        }
        if d.sequences.is_empty() || d.sequences.iter().chain(&d.answers).any(|s| s.tokens.is_empty()) {
            return Err(Error::invalid(format!("domain {} has no sample, or an empty one", d.name)));
        }
        let needs_answers = config.objective == ObjectiveKind::MaxLogit && config.metrics.iter().any(|m| m.needs_loss());
        if needs_answers && d.answers.len() != d.sequences.len() {
            return Err(Error::invalid(format!(
                "domain {}: relevance needs the task's loss of {} samples, got {}",
                d.name,
                d.sequences.len(),
                d.answers.len()
            )));
        }
        let (cycle, n) = (&d.source.self_cycle, d.sequences.len());
        if !cycle.is_empty() && (cycle.len() != n || cycle.iter().any(|&m| m >= n)) {
            return Err(Error::invalid(format!("domain {}: the self pairs do not fit its {n} samples", d.name)));
        }
    }
    Ok(())
}

fn domain_scan(
    d: usize,
    domain: &PreparedDomain,
    counts: &[usize],
    main: &PassOutput,
    relevance: Option<&PassOutput>,
    (wants, config): (Wants, &ScanConfig),
    params_per_layer: &[u64],
) -> Result<DomainScan> {
    let first: usize = counts[..d].iter().sum();
    let samples = counts[d];
    let tokens: usize = domain.sequences.iter().map(|s| s.tokens.len()).sum();
    let values = &main.values[first..first + samples];
    let layers = &main.layers;
    let of_loss = |metric: MetricKind| relevance.filter(|_| config.metrics.contains(&metric)).map(|p| p.layers.iter());
    let by = samples as f64;
    let activated_count: Vec<u64> = if wants.means { layers.iter().map(|l| l.activation[d].count).collect() } else { Vec::new() };
    Ok(DomainScan {
        name: domain.name.clone(),
        source: domain.source.clone(),
        samples,
        tokens,
        mean_objective: rounded(values.iter().map(|&v| f64::from(v)).sum::<f64>() / samples as f64),
        density: activated_count.iter().zip(params_per_layer).map(|(&c, &p)| c as f64 / p.max(1) as f64).collect(),
        activated_count,
        histogram: if wants.means { layers.iter().map(|l| l.activation[d].histogram.clone()).collect() } else { Vec::new() },
        param_activation: wants.means.then(|| grid(layers.iter().map(|l| &l.activation[d].roll_up), 1.0)).transpose()?,
        relevance: of_loss(MetricKind::Relevance).map(|p| grid(p.map(|l| &l.relevance[d]), by)).transpose()?,
        head_relevance: of_loss(MetricKind::Relevance).map(|p| grid(p.map(|l| &l.head_relevance[d]), by)).transpose()?,
        attribution: of_loss(MetricKind::Attribution).map(|p| grid(p.map(|l| &l.attribution[d]), by)).transpose()?,
        mean_activation: wants.mean.then(|| grid(layers.iter().map(|l| &l.mean[d]), tokens as f64)).transpose()?,
        mean_abs_activation: wants.mean_abs.then(|| grid(layers.iter().map(|l| &l.mean_abs[d]), tokens as f64)).transpose()?,
    })
}

/// To 15 significant digits, which every JSON reader gives back bit for bit (17 need a slower one), so that a stored run equals the live one.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.14e}").parse().unwrap_or(value)
}

/// One row a layer, each value divided by `by`.
fn grid<'a>(rows: impl ExactSizeIterator<Item = &'a Vec<f64>>, by: f64) -> Result<Grid> {
    let n = rows.len();
    let values: Vec<f32> = rows.flat_map(|row| row.iter().map(|v| (v / by) as f32)).collect();
    Grid::new(n, values.len() / n.max(1), values)
}

/// `[M, L]` cosines of each plan; the plans' pairs lie one after another in every layer's dot products.
fn series(plans: &[PairPlan], domains: &[PreparedDomain], main: &PassOutput) -> Vec<PairSeries> {
    let mut first = 0;
    plans
        .iter()
        .map(|plan| {
            let cosines = plan.samples.iter().enumerate().map(|(m, &(a, b))| {
                main.layers.iter().map(|l| cosine(l.pair_dots[first + m], l.square_norms[a], l.square_norms[b])).collect()
            });
            let cosines = cosines.collect();
            first += plan.samples.len();
            PairSeries { a: domains[plan.a].name.clone(), b: domains[plan.b].name.clone(), cosines }
        })
        .collect()
}

pub(super) fn provenance(decoder: &Decoder, domains: &[PreparedDomain], config: &ScanConfig) -> Provenance {
    let info = &decoder.model.info;
    let formulas: Vec<String> =
        config.metrics.iter().map(|m| format!("{}: {} ({})", m.info().id, m.info().formula, m.info().source)).collect();
    Provenance {
        program: program(),
        model: info.name.clone(),
        model_sha256: info.sha256.clone(),
        data_sha256: domains.iter().map(|d| (d.name.clone(), d.source.sha256.clone())).collect(),
        prompts: domains.iter().map(|d| (d.name.clone(), d.source.template.clone())).collect(),
        bos: decoder.model.tokenizer.bos_policy(),
        formula: formulas.join("; "),
        objective: match config.objective {
            ObjectiveKind::MaxLogit => "max-logit: D = max_v logit_v at the last position of the prompt".into(),
            ObjectiveKind::Loss => "loss: D = mean cross-entropy of the answer's tokens (plain text: of all tokens from the second)".into(),
        },
        seed: config.seed,
        dtype: format!("{} weights, {} arithmetic, f64 sums", info.dtype, decoder.backend.arithmetic()),
        device: decoder.scan_place(),
        // Only who read the request knows how it was put: the app fills this in.
        command: String::new(),
        created: now_utc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_makes_no_sense_is_refused_with_a_reason() {
        let domain = |name: &str| PreparedDomain::from_tokens(name, vec![vec![1, 2], vec![3, 4]], ObjectiveKind::MaxLogit, 0);
        let refusal = |domains: &[PreparedDomain], config: &ScanConfig| verify_request(domains, config).expect_err("refused").to_string();
        let config = ScanConfig::default();
        assert!(verify_request(&[domain("a"), domain("b")], &config).is_ok());
        assert!(refusal(&[], &config).contains("at least one domain"));
        assert!(refusal(&[domain("a"), domain("a")], &config).contains("two domains are called a"));
        assert!(refusal(&[domain("a|b")], &config).contains("`a|b`"));
        assert!(refusal(&[domain("a")], &ScanConfig { gamma: f32::NAN, ..config.clone() }).contains("gamma"));
        assert!(refusal(&[domain("a")], &ScanConfig { metrics: vec![], ..config.clone() }).contains("metric"));
        let mut odd = domain("a");
        odd.answers.pop();
        assert!(refusal(&[odd], &config).contains("2 samples, got 1"));
        let mut odd = domain("a");
        odd.source.self_cycle = vec![0, 7];
        assert!(refusal(&[odd], &config).contains("self pairs"));
    }
}
