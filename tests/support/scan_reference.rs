//! A scan held against the values that scripts/reference/scan_reference.py stored.
#![allow(dead_code, reason = "each test binary uses its own part")]

use brodmann::{
    base::{Grid, hash::sha256_bytes, job::silently},
    compute::scan_job::{histogram_bin, histogram_edge},
    data::{Domain, Mapping, open_domain},
    model::{Decoder, Objective},
    scan::{ObjectiveKind, Order, PreparedDomain, ScanConfig, ScanOutput, prepare, run_scan},
};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scan").join(name)
}

pub fn domain(name: &str, path: &Path) -> Arc<Domain> {
    Arc::new(silently(|ctx| open_domain(name, path, &Mapping::default(), ctx)).expect("domain"))
}

/// Tensors by name as f64, with their shapes, and the metadata.
struct Reference {
    values: HashMap<String, (Vec<usize>, Vec<f64>)>,
    metadata: HashMap<String, String>,
}

impl Reference {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(fixture(name)).expect("fixture");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let values = tensors.iter().map(|(name, view)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
                Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), (view.shape().to_vec(), values))
        });
        let values = values.collect();
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("header");
        Self { values, metadata: header.metadata().clone().expect("metadata") }
    }
    fn of(&self, name: &str) -> &[f64] {
        &self.values.get(name).unwrap_or_else(|| panic!("no {name} in the fixture")).1
    }
    /// Of a map that holds every so-manieth neuron of each layer.
    fn every(&self) -> usize {
        self.metadata.get("every").map_or(1, |n| n.parse().expect("number"))
    }
}

/// Largest |found - expected| and largest |found - expected| / |expected| where |expected| is at least `floor` of the largest.
pub fn errors(found: &[f32], expected: &[f64], floor: f64) -> (f64, f64) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    found.iter().zip(expected).fold((0.0f64, 0.0f64), |(abs, rel), (&f, &e)| {
        let d = (f64::from(f) - e).abs();
        (abs.max(d), if e.abs() >= floor * largest { rel.max(d / e.abs()) } else { rel })
    })
}

/// The digest that the script takes over prompts, whole sequences and where their answers begin.
fn tokens_digest(prepared: &PreparedDomain) -> String {
    let ids = |t: &[u32]| t.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let samples = prepared.sequences.iter().zip(&prepared.answers).map(|(prompt, answer)| {
        let Objective::Loss { from } = answer.objective else { panic!("an answer without its loss") };
        format!("{}|{}|{from}", ids(&prompt.tokens), ids(&answer.tokens))
    });
    sha256_bytes(samples.collect::<Vec<_>>().join(";").as_bytes())
}

pub fn agrees_with_pytorch(decoder: &Decoder, domains: &[Arc<Domain>], case: &str, objective: ObjectiveKind) {
    let word = if objective == ObjectiveKind::Loss { "loss" } else { "max-logit" };
    let reference = Reference::read(&format!("{case}.{word}.safetensors"));
    let number = |key: &str| reference.metadata[key].parse::<usize>().expect("number");
    let mut config =
        ScanConfig { samples: number("samples"), max_tokens: number("max_tokens"), order: Order::File, objective, ..ScanConfig::default() };
    let digests: HashMap<String, String> = serde_json::from_str(&reference.metadata["tokens_sha256"]).expect("digests");
    for d in domains {
        let config = ScanConfig { objective: ObjectiveKind::MaxLogit, ..config.clone() };
        let prepared = silently(|ctx| prepare(d, &decoder.model.tokenizer, decoder.model.spec.max_positions, &config, ctx));
        assert_eq!(
            tokens_digest(&prepared.expect("prepare")),
            digests[&d.name],
            "{case}: the tokens of {} differ from the reference's",
            d.name
        );
    }
    let gammas = reference.of("gammas").to_vec();
    for (g, gamma) in gammas.iter().enumerate() {
        config.gamma = *gamma as f32;
        let run = silently(|ctx| run_scan(decoder, domains, &config, ctx)).expect("scan");
        counts_agree(&run, &reference, g, case);
        if g == 0 {
            values_agree(&run, &reference, domains, case);
        }
    }
}

fn counts_agree(run: &ScanOutput, reference: &Reference, g: usize, case: &str) {
    let layers = run.n_layers;
    let params: Vec<f64> = run.params_per_layer.iter().map(|&p| p as f64).collect();
    assert_eq!(params, reference.of("params_per_layer"));
    let n_gammas = reference.of("gammas").len();
    let mut worst = (0.0f64, 0.0f64);
    for d in &run.domains {
        let (counts, band) = (reference.of(&format!("count/{}", d.name)), reference.of(&format!("band/{}", d.name)));
        for l in 0..layers {
            let (expected, allowed) = (counts[l * n_gammas + g], band[l * n_gammas + g]);
            let found = d.activated_count[l] as f64;
            worst.0 = worst.0.max((found - expected).abs());
            assert!((found - expected).abs() <= allowed, "{case} {} layer {l}: {found} activated, PyTorch {expected} +- {allowed}", d.name);
            assert_eq!(d.density[l], found / params[l]);
            assert_eq!(d.histogram[l].iter().sum::<u64>(), run.params_per_layer[l]);
        }
        // The histogram, read at edges between its bins. One may differ, or as many as the reference says lie within rounding of an edge.
        let near = reference.values.get(&format!("band_at_edges/{}", d.name)).map(|v| &v.1);
        let edges = reference.of("edges");
        let at_edges = reference.of(&format!("count_at_edges/{}", d.name));
        for l in 0..layers {
            for (k, &edge) in edges.iter().enumerate() {
                let bin = histogram_bin(edge as f32);
                assert_eq!(f64::from(histogram_edge(bin)), edge);
                let found: u64 = d.histogram[l][bin..].iter().sum();
                let expected = at_edges[l * edges.len() + k];
                worst.1 = worst.1.max((found as f64 - expected).abs());
                assert!(
                    (found as f64 - expected).abs() <= near.map_or(1.0, |n| n[l * edges.len() + k].max(1.0)),
                    "{case} {} layer {l}: {found} values from {edge}, PyTorch {expected}",
                    d.name
                );
            }
        }
    }
    println!(
        "{case}: largest difference of a count {} at gamma {}, {} at the histogram's edges, of {} weights a layer",
        worst.0,
        run.config.gamma,
        worst.1,
        params.iter().copied().fold(0.0, f64::max)
    );
}

/// Each layer's sum over all neurons, also of those whose own values are not stored.
fn sums_agree(grid: &Grid, expected: &[f64], case: &str, kind: &str) {
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (l, want) in expected.iter().enumerate() {
        let sum: f64 = grid.row(l).iter().map(|v| f64::from(*v)).sum();
        assert!((sum - want).abs() < 1e-4 * largest, "{case} layer {l}: {kind} sums to {sum}, PyTorch {want}");
    }
}

fn values_agree(run: &ScanOutput, reference: &Reference, domains: &[Arc<Domain>], case: &str) {
    for d in &run.domains {
        let of = |kind: &str| reference.of(&format!("{kind}/{}", d.name));
        let objective = of("objective");
        let mean = objective.iter().sum::<f64>() / objective.len() as f64;
        assert!((d.mean_objective - mean).abs() < 1e-5 * mean.abs(), "{case} {}: objective {} {mean}", d.name, d.mean_objective);
        let whole = |grid: &Option<Grid>| grid.as_ref().expect("measured").values().to_vec();
        let error = |kind: &str, grid: &Option<Grid>| {
            let grid = grid.as_ref().expect("measured");
            let every = reference.every();
            let found: Vec<f32> = (0..grid.rows()).flat_map(|l| grid.row(l).iter().copied().step_by(every)).collect();
            if every > 1 {
                sums_agree(grid, of(&format!("sum_{kind}")), case, kind);
            }
            errors(&found, of(kind), 0.0)
        };
        // Issue: relevance to 1e-3 relative. Every value counts, however small.
        let (_, relevance) = error("relevance", &d.relevance);
        let (_, heads) = errors(&whole(&d.head_relevance), of("head_relevance"), 0.0);
        let (_, roll_up) = error("param_activation", &d.param_activation);
        let (activation, _) = error("mean_activation", &d.mean_activation);
        let (abs_activation, _) = error("mean_abs_activation", &d.mean_abs_activation);
        println!(
            "{case} {}: relative error of relevance {relevance:.1e}, of heads {heads:.1e}, of the roll-up {roll_up:.1e}; absolute of means {activation:.1e}, {abs_activation:.1e}",
            d.name
        );
        assert!(relevance < 1e-3 && heads < 1e-3 && roll_up < 1e-4, "{case} {}: {relevance} {heads} {roll_up}", d.name);
        assert!(activation < 1e-5 && abs_activation < 1e-5, "{case} {}: {activation} {abs_activation}", d.name);
    }
    let mut worst = 0.0f64;
    for p in &run.llmdcos {
        let cosine = |m: usize, l: usize| p.cosines[m][l].map(f64::from).expect("a norm of 0");
        if p.a == p.b {
            // The reference holds all pairs; the run says which it took.
            let source = &run.domain(&p.a).expect("domain").source;
            let (shape, all) = &reference.values[&format!("self_cosine/{}", p.a)];
            assert_eq!(p.cosines.len(), shape[1]);
            for (m, &other) in source.self_cycle.iter().enumerate() {
                assert_ne!(m, other);
                for l in 0..run.n_layers {
                    worst = worst.max((cosine(m, l) - all[(l * shape[1] + m) * shape[1] + other]).abs());
                }
            }
        } else {
            let expected = reference.of(&format!("llmdcos/{}|{}", p.a, p.b));
            assert_eq!(expected.len(), p.cosines.len() * run.n_layers);
            for (i, e) in expected.iter().enumerate() {
                worst = worst.max((cosine(i / run.n_layers, i % run.n_layers) - e).abs());
            }
        }
    }
    let n = domains.len();
    assert_eq!(run.llmdcos.len(), n * (n - 1) / 2 + n);
    println!("{case}: absolute error of LLMDcos {worst:.1e}");
    assert!(worst < 1e-4, "{case}: LLMDcos off by {worst}");
}
