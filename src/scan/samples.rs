//! LLMDcos of every two samples within a layer, exactly: the Gram matrix of their parameter activations, formed tile by tile.
//!
//! The same pass as a scan, asked for all pairs. No gradient is stored, nor any sample's full vector; the way back ends at the lowest layer wanted.

use super::{
    DomainSource, Limits, PreparedDomain, ScanConfig, Sequence, Timing,
    metrics::llmdcos::{self, cosine},
    pass::{self, Meter, PassInput, Wants},
    plan::estimate,
    prepare, run,
};
use crate::{
    base::{Ctx, Error, Grid, Result, memory::peak_rss_bytes, number, provenance::Provenance},
    compute::cpu::Products,
    data::Domain,
    model::{Decoder, DecoderSpec},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// Stands for a cosine whose norm is 0.
pub const UNDEFINED: f32 = -1.0;

/// Samples of one domain, in the order scanned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampledDomain {
    pub name: String,
    pub source: DomainSource,
    /// Tokens of each sample.
    pub tokens: Vec<usize>,
    /// What the model read of each: cut as it was scanned.
    pub texts: Vec<String>,
}

/// Cosines of all pairs of samples of all domains, for some layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleSimilarity {
    pub provenance: Provenance,
    pub config: ScanConfig,
    pub timing: Timing,
    /// Of the model.
    pub n_layers: usize,
    pub domains: Vec<SampledDomain>,
    /// `[N, N]` by layer, symmetric, samples of the domains one after another; [`UNDEFINED`] where a norm is 0.
    pub layers: BTreeMap<usize, Grid>,
}

/// What all pairs will cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplesEstimate {
    pub samples: usize,
    /// Bytes of activations, gradients, partial sums and matrices when everything is kept.
    pub fast_bytes: u64,
    /// Bytes below which the work is refused.
    pub least_bytes: u64,
    pub flops: f64,
}

/// Cost of all pairs of `samples` samples with `tokens` tokens in all at these layers.
pub fn estimate_samples(spec: &DecoderSpec, tokens: usize, samples: usize, layers: &[usize]) -> SamplesEstimate {
    let config = ScanConfig { metrics: vec![super::MetricKind::Llmdcos], ..ScanConfig::default() };
    let scan = estimate(spec, tokens, samples, &config);
    let matrices = matrix_bytes(samples, layers.len());
    // A forward pass, a backward pass as deep as wanted, then each wanted layer's gradients and products.
    let forward = 2.0 * spec.linear_params_per_layer() as f64 * tokens as f64;
    let depth = layers.iter().min().map_or(0, |l| spec.n_layers.saturating_sub(*l));
    let products = spec.linear_params_per_layer() as f64 * samples as f64 * samples as f64;
    let flops = forward * (spec.n_layers + depth) as f64 + layers.len() as f64 * (forward + products);
    SamplesEstimate { samples, fast_bytes: scan.fast_bytes + matrices, least_bytes: scan.least_bytes + matrices, flops }
}

/// Bytes that grow with the square of the samples: the list of pairs, sums while they are made, the matrices themselves.
fn matrix_bytes(samples: usize, layers: usize) -> u64 {
    let n = samples as u64;
    let pairs = n * n.saturating_sub(1) / 2;
    // Pair list and the kernel's copy of it, sums of one matrix, then a sum a layer, and the f32 matrix of each.
    pairs * (16 + 24 + 16) + layers as u64 * (pairs * 8 + n * n * 4)
}

/// All pairs of the first `config.samples` usable items of every domain, at `layers`.
///
/// # Errors
/// As a scan; when a layer is not the model's, or the matrices do not fit into the memory.
pub fn sample_similarity(
    decoder: &Decoder,
    domains: &[Arc<Domain>],
    config: &ScanConfig,
    layers: &[usize],
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<SampleSimilarity> {
    let begun = Instant::now();
    let model = &decoder.model;
    let prepared: Vec<PreparedDomain> =
        domains.iter().map(|d| prepare(d, &model.tokenizer, model.spec.max_positions, config, ctx)).collect::<Result<_>>()?;
    all_pairs_since(begun, decoder, &prepared, config, layers, limits, ctx)
}

/// All pairs of ready token sequences. `config.samples`, `order` and `max_tokens` are only recorded.
///
/// # Errors
/// As [`sample_similarity`].
pub fn sample_similarity_prepared(
    decoder: &Decoder,
    domains: &[PreparedDomain],
    config: &ScanConfig,
    layers: &[usize],
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<SampleSimilarity> {
    all_pairs_since(Instant::now(), decoder, domains, config, layers, limits, ctx)
}

fn all_pairs_since(
    begun: Instant,
    decoder: &Decoder,
    domains: &[PreparedDomain],
    config: &ScanConfig,
    layers: &[usize],
    limits: Limits,
    ctx: &Ctx<'_>,
) -> Result<SampleSimilarity> {
    let config = ScanConfig { metrics: vec![super::MetricKind::Llmdcos], ..config.clone() };
    let n_layers = decoder.model.spec.n_layers;
    let layers = chosen_layers(layers, n_layers)?;
    run::verify_request(domains, &config)?;
    let counts: Vec<usize> = domains.iter().map(|d| d.sequences.len()).collect();
    let domain_of: Vec<usize> = counts.iter().enumerate().flat_map(|(d, &n)| std::iter::repeat_n(d, n)).collect();
    let n = domain_of.len();
    let limits = Limits { memory_bytes: left_of(limits.memory_bytes, n, layers.len())?, ..limits };
    let pairs: Vec<(usize, usize)> = (0..n).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let sequences: Vec<&Sequence> = domains.iter().flat_map(|d| &d.sequences).collect();
    let sample_name = |s: usize| run::sample_name(domains, s);
    let input = PassInput {
        decoder,
        sequences: &sequences,
        domain_of: &domain_of,
        n_domains: domains.len(),
        pairs: &pairs,
        layers: Some(&layers),
        gamma: config.gamma,
        wants: Wants { means: false, pairs: true, relevance: false, mean: false, mean_abs: false },
        limits,
        sample_name: &sample_name,
    };
    let units = n * layers.len();
    let mut meter = Meter { ctx, phase: "comparing samples", done: 0.0, total: Meter::cost(&input), units };
    let out = pass::run(&input, &mut meter)?;
    let mut grids = BTreeMap::new();
    for &layer in &layers {
        let sums = &out.layers[layer];
        let mut values = vec![0.0; n * n];
        for s in 0..n {
            values[s * n + s] = if sums.square_norms[s] > 0.0 { 1.0 } else { UNDEFINED };
        }
        for (&(a, b), &dot) in pairs.iter().zip(&sums.pair_dots) {
            let value = cosine(dot, sums.square_norms[a], sums.square_norms[b]).unwrap_or(UNDEFINED);
            (values[a * n + b], values[b * n + a]) = (value, value);
        }
        grids.insert(layer, Grid::new(n, n, values)?);
    }
    let seconds = run::rounded(begun.elapsed().as_secs_f64());
    let mut provenance = run::provenance(decoder, domains, &config);
    provenance.formula =
        format!("llmdcos of all pairs of samples: A(s1).A(s2) / (|A(s1)| |A(s2)|) a layer, A(s) = |w dD/dw| ({})", llmdcos::INFO.source);
    Ok(SampleSimilarity {
        provenance,
        timing: Timing { seconds, samples_per_second: run::rounded(n as f64 / seconds.max(1e-9)), peak_rss_bytes: peak_rss_bytes() },
        n_layers,
        domains: domains.iter().map(|d| sampled(decoder, d)).collect::<Result<_>>()?,
        layers: grids,
        config,
    })
}

/// Ascending, each once.
fn chosen_layers(layers: &[usize], n_layers: usize) -> Result<Vec<usize>> {
    let mut chosen = layers.to_vec();
    chosen.sort_unstable();
    chosen.dedup();
    match chosen.last() {
        None => Err(Error::invalid("no layer is named: choose one or more")),
        Some(&last) if last >= n_layers => {
            Err(Error::invalid(format!("there is no layer {last}: this model has layers 0..{}", n_layers.saturating_sub(1))))
        }
        Some(_) => Ok(chosen),
    }
}

/// What the square of the samples leaves of the memory for everything else.
fn left_of(memory_bytes: u64, samples: usize, layers: usize) -> Result<u64> {
    let need = matrix_bytes(samples, layers);
    memory_bytes.checked_sub(need).filter(|left| *left > 0).ok_or_else(|| {
        Error::invalid(format!(
            "all pairs of {} at {} take {} beside the weights, and {} are allowed; take fewer samples, domains or layers at a time",
            number::counted(samples as u64, "sample"),
            number::counted(layers as u64, "layer"),
            number::bytes(need),
            number::bytes(memory_bytes)
        ))
    })
}

fn sampled(decoder: &Decoder, domain: &PreparedDomain) -> Result<SampledDomain> {
    Ok(SampledDomain {
        name: domain.name.clone(),
        source: domain.source.clone(),
        tokens: domain.sequences.iter().map(|s| s.tokens.len()).collect(),
        texts: domain.sequences.iter().map(|s| decoder.model.tokenizer.decode(&s.tokens)).collect::<Result<_>>()?,
    })
}

impl SampleSimilarity {
    /// Samples of all domains.
    pub fn n(&self) -> usize {
        self.domains.iter().map(|d| d.tokens.len()).sum()
    }
    /// Cosine of two samples at a layer; `None` where it is undefined, not computed or out of range.
    pub fn cosine(&self, layer: usize, a: usize, b: usize) -> Option<f32> {
        self.layers.get(&layer)?.get(a, b).filter(|v| *v != UNDEFINED)
    }
    /// Domain of a sample, and its place there.
    pub fn place(&self, sample: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        self.domains.iter().enumerate().find_map(|(d, domain)| {
            let n = domain.tokens.len();
            let found = (sample >= first && sample < first + n).then(|| (d, sample - first));
            first += n;
            found
        })
    }
    /// Samples of each domain, as ranges of rows.
    pub fn ranges(&self) -> Vec<std::ops::Range<usize>> {
        let mut first = 0;
        let range = |d: &SampledDomain| {
            first += d.tokens.len();
            first - d.tokens.len()..first
        };
        self.domains.iter().map(range).collect()
    }
    /// Mean cosine of every two domains' samples at a layer, `[domains, domains]` row-major; of a domain with itself without the diagonal.
    /// `None` where no pair is defined.
    pub fn block_means(&self, layer: usize) -> Vec<Option<f64>> {
        let ranges = self.ranges();
        let mean = |a: &std::ops::Range<usize>, b: &std::ops::Range<usize>| {
            let (mut sum, mut n) = (0.0, 0_usize);
            for (i, j) in a.clone().flat_map(|i| b.clone().map(move |j| (i, j))).filter(|(i, j)| i != j) {
                if let Some(v) = self.cosine(layer, i, j) {
                    sum += f64::from(v);
                    n += 1;
                }
            }
            (n > 0).then(|| sum / n as f64)
        };
        ranges.iter().flat_map(|a| ranges.iter().map(|b| mean(a, b)).collect::<Vec<_>>()).collect()
    }
    /// The layers of both, `newer`'s where both have one.
    ///
    /// # Errors
    /// When they are not about the same samples of the same model in the same arithmetic.
    pub fn join(&self, newer: &Self) -> Result<Self> {
        let (a, b) = (&self.provenance, &newer.provenance);
        let same = a.model_sha256 == b.model_sha256
            && Products::named_in(&a.dtype) == Products::named_in(&b.dtype)
            && self.n_layers == newer.n_layers
            && self.config.objective == newer.config.objective
            && self.domains == newer.domains;
        if !same {
            return Err(Error::invalid("the two are not about the same samples of the same model in the same arithmetic"));
        }
        let mut joined = newer.clone();
        self.layers.iter().for_each(|(l, g)| {
            joined.layers.entry(*l).or_insert_with(|| g.clone());
        });
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{HookPoint, job::silently},
        compute::cpu::CpuBackend,
        model::{Batch, BlockTape, Matrix, NoHooks, Taps, load_model},
        scan::{ObjectiveKind, scan_prepared},
    };
    use std::path::Path;

    fn decoder(threads: usize) -> Decoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
        let model = silently(|ctx| load_model(&folder, ctx)).expect("fixture");
        Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(threads))))
    }

    /// `counts[d]` samples of different lengths in each domain.
    fn domains(counts: &[usize], objective: ObjectiveKind) -> Vec<PreparedDomain> {
        let tokens = |d: usize, m: usize| (0..3 + (d * 5 + m * 3) % 9).map(|t| ((d * 31 + m * 17 + t * 7) % 90 + 3) as u32).collect();
        let make =
            |(d, &n): (usize, &usize)| PreparedDomain::from_tokens(format!("d{d}"), (0..n).map(|m| tokens(d, m)).collect(), objective, 0);
        counts.iter().enumerate().map(make).collect()
    }

    fn all_pairs(decoder: &Decoder, domains: &[PreparedDomain], layers: &[usize], limits: Limits) -> Result<SampleSimilarity> {
        let config = ScanConfig { objective: ObjectiveKind::Loss, ..ScanConfig::default() };
        silently(|ctx| sample_similarity_prepared(decoder, domains, &config, layers, limits, ctx))
    }

    #[test]
    fn pairs_that_a_scan_has_are_the_same_in_the_matrix() {
        let (decoder, domains) = (decoder(1), domains(&[9, 8, 9], ObjectiveKind::Loss));
        let config = ScanConfig { objective: ObjectiveKind::Loss, ..ScanConfig::default() };
        let scan = silently(|ctx| scan_prepared(&decoder, &domains, &config, Limits::default(), ctx)).expect("scan");
        let n_layers = decoder.model.spec.n_layers;
        let all: Vec<usize> = (0..n_layers).collect();
        let s = all_pairs(&decoder, &domains, &all, Limits::default()).expect("all pairs");
        assert_eq!((s.n(), s.layers.len()), (26, n_layers));
        let ranges = s.ranges();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let pair = scan.pair(&domains[a].name, &domains[b].name).expect("pair");
            for (m, row) in pair.cosines.iter().enumerate() {
                for (l, want) in row.iter().enumerate() {
                    let got = s.cosine(l, ranges[a].start + m, ranges[b].start + m);
                    // The same f32 activations, products added in another order.
                    assert!((got.expect("cosine") - want.expect("cosine")).abs() < 2e-6, "{a} {b} {m} layer {l}: {got:?} {want:?}");
                }
            }
        }
        for (d, domain) in domains.iter().enumerate() {
            let pair = scan.pair(&domain.name, &domain.name).expect("pair");
            for (m, row) in pair.cosines.iter().enumerate() {
                let got = s.cosine(0, ranges[d].start + m, ranges[d].start + domain.source.self_cycle[m]).expect("cosine");
                assert!((got - row[0].expect("cosine")).abs() < 2e-6);
            }
        }
    }

    /// Inputs and output gradients of one layer's weights.
    struct Collect(usize, Vec<(Matrix, Vec<f32>, Vec<f32>)>);

    impl Taps for Collect {
        fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
            if layer == self.0 {
                self.1.push((matrix, x.to_vec(), delta.to_vec()));
            }
            Ok(())
        }
        fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
            Ok(())
        }
    }

    /// `|w dD/dw|` of one sample at one layer, all matrices one after another, formed whole in f64.
    fn activation(decoder: &Decoder, sequence: &Sequence, layer: usize) -> Vec<f64> {
        let batch = Batch::new(&[&sequence.tokens[..]]);
        let n_layers = decoder.model.spec.n_layers;
        let mut resid = decoder.embed(&batch, &mut NoHooks).expect("embed");
        let tapes: Vec<BlockTape> = (0..n_layers)
            .map(|l| {
                let mut tape = BlockTape::default();
                decoder.block_forward(l, &batch, &mut resid, Some(&mut tape), &mut NoHooks).expect("forward");
                tape
            })
            .collect();
        let mut d_resid = decoder.objective(&batch, &resid, &[sequence.objective]).expect("objective").d_resid;
        let mut taps = Collect(layer, Vec::new());
        for l in (0..n_layers).rev() {
            decoder.block_backward(l, &batch, &tapes[l], &mut d_resid, true, &mut taps).expect("backward");
        }
        taps.1.sort_by_key(|t| t.0 as usize);
        let block = decoder.model.weights.block(layer);
        let mut all = Vec::new();
        for (m, x, delta) in &taps.1 {
            let w = block.matrix(*m);
            let (out, input) = (w.shape[0], w.shape[1]);
            for o in 0..out {
                for i in 0..input {
                    let tokens = 0..sequence.tokens.len();
                    let g: f64 = tokens.map(|t| f64::from(delta[t * out + o]) * f64::from(x[t * input + i])).sum();
                    all.push((f64::from(w[o * input + i]) * g).abs());
                }
            }
        }
        all
    }

    #[test]
    fn cosines_are_those_of_whole_gradients_in_f64() {
        let (decoder, domains) = (decoder(2), domains(&[9, 8], ObjectiveKind::Loss));
        let s = all_pairs(&decoder, &domains, &[0, 1], Limits::default()).expect("all pairs");
        for layer in [0, 1] {
            let a: Vec<Vec<f64>> = domains.iter().flat_map(|d| &d.sequences).map(|q| activation(&decoder, q, layer)).collect();
            let dot = |i: usize, j: usize| a[i].iter().zip(&a[j]).map(|(x, y)| x * y).sum::<f64>();
            for i in 0..a.len() {
                for j in 0..a.len() {
                    let want = dot(i, j) / (dot(i, i) * dot(j, j)).sqrt();
                    let got = f64::from(s.cosine(layer, i, j).expect("cosine"));
                    // f32 activations of a few tokens, positive terms only: about 1e-6.
                    assert!((got - want).abs() < 3e-6, "layer {layer}, {i} {j}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn numbers_do_not_depend_on_threads_micro_batches_or_which_other_layers_are_asked_for() {
        let domains = domains(&[11, 10], ObjectiveKind::Loss);
        let one = all_pairs(&decoder(1), &domains, &[1], Limits::default()).expect("one thread");
        let small = Limits { batch_tokens: 16, ..Limits::default() };
        for (threads, limits, layers) in [(2, Limits::default(), vec![1]), (2, small, vec![1, 0]), (1, small, vec![0, 1, 1])] {
            let other = all_pairs(&decoder(threads), &domains, &layers, limits).expect("all pairs");
            assert_eq!(one.layers[&1], other.layers[&1], "{threads} threads, {limits:?}");
        }
    }

    #[test]
    fn a_layer_that_is_not_there_and_memory_that_does_not_suffice_are_told_with_the_figures() {
        let (decoder, domains) = (decoder(1), domains(&[40], ObjectiveKind::Loss));
        let refusal = |layers: &[usize], limits| all_pairs(&decoder, &domains, layers, limits).expect_err("refused").to_string();
        assert!(refusal(&[99], Limits::default()).contains("no layer 99"));
        assert!(refusal(&[], Limits::default()).contains("no layer is named"));
        let message = refusal(&[0], Limits { memory_bytes: 10_000, ..Limits::default() });
        assert!(message.contains("40 samples") && message.contains("allowed"), "{message}");
    }

    #[test]
    fn layers_of_the_same_samples_join_and_others_do_not() {
        let decoder = decoder(1);
        let (small, other) = (domains(&[4, 3], ObjectiveKind::Loss), domains(&[3, 4], ObjectiveKind::Loss));
        let a = all_pairs(&decoder, &small, &[0], Limits::default()).expect("a");
        let b = all_pairs(&decoder, &small, &[1], Limits::default()).expect("b");
        let both = a.join(&b).expect("joined");
        assert_eq!(both.layers.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert_eq!((&both.layers[&0], &both.layers[&1]), (&a.layers[&0], &b.layers[&1]));
        let c = all_pairs(&decoder, &other, &[1], Limits::default()).expect("c");
        assert!(a.join(&c).is_err());
        assert_eq!((both.place(3), both.place(4), both.place(7)), (Some((0, 3)), Some((1, 0)), None));
    }

    #[test]
    fn block_means_leave_out_the_diagonal_and_what_is_undefined() {
        let domain = |name: &str, n: usize| SampledDomain { name: name.into(), tokens: vec![1; n], ..SampledDomain::default() };
        let values = vec![1.0, 0.5, 0.2, 0.5, 1.0, UNDEFINED, 0.2, UNDEFINED, 1.0];
        let s = SampleSimilarity {
            domains: vec![domain("a", 2), domain("b", 1)],
            layers: BTreeMap::from([(0, Grid::new(3, 3, values).expect("grid"))]),
            n_layers: 1,
            ..SampleSimilarity::default()
        };
        let means = s.block_means(0);
        let near = |a: Option<f64>, b: f64| (a.expect("mean") - b).abs() < 1e-7;
        assert!(near(means[0], 0.5) && near(means[1], 0.2) && near(means[2], 0.2) && means[3].is_none(), "{means:?}");
    }
}
