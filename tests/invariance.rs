//! What a number must not depend on, for every family: how the work was cut, how many threads did it, what else was asked for, and, but for the
//! rounding of a mean, the order of the samples.

use brodmann::{
    base::{HookPoint, Result, job::silently},
    compute::cpu::CpuBackend,
    data::{Mapping, open_domain},
    eval::{EvalConfig, evaluate},
    model::{Batch, Decoder, GenerateConfig, Hooks, Kept, LoadOptions, Model, NoHooks, generate, load_model, load_model_with},
    scan::{DomainScan, Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, ScanOutput, scan_prepared},
};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

const FAMILIES: [&str; 9] = ["llama", "mistral", "qwen2", "qwen3", "gemma3", "phi3", "gpt2", "gpt_neox", "opt"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Each model is read once.
fn model(family: &str) -> Arc<Model> {
    static READ: Mutex<Option<HashMap<String, Arc<Model>>>> = Mutex::new(None);
    let mut read = READ.lock().expect("no test panics while it holds this");
    let models = read.get_or_insert_default();
    let load = || Arc::new(silently(|ctx| load_model(&fixtures().join(format!("tiny-{family}")), ctx)).expect("model"));
    models.entry(family.to_owned()).or_insert_with(load).clone()
}

fn decoder(family: &str, threads: usize) -> Decoder {
    Decoder::new(model(family), Arc::new(CpuBackend::new(Some(threads))))
}

/// Token sequences of these lengths, different ones for every name.
fn domain(decoder: &Decoder, name: &str, lengths: &[usize], objective: ObjectiveKind) -> PreparedDomain {
    let vocab = decoder.model.spec.vocab.min(500) as u32;
    let by = 7 + 2 * name.len() as u32;
    let tokens =
        lengths.iter().enumerate().map(|(s, &n)| (0..n as u32).map(|i| (i * i * by + s as u32 * 31 + i) % (vocab - 5) + 3).collect());
    PreparedDomain::from_tokens(name, tokens.collect(), objective, 5)
}

fn scan(decoder: &Decoder, domains: &[PreparedDomain], config: &ScanConfig, limits: Limits) -> ScanOutput {
    silently(|ctx| scan_prepared(decoder, domains, config, limits, ctx)).expect("scan")
}

/// Everything but timing, device and time of day.
fn numbers(mut run: ScanOutput) -> ScanOutput {
    run.timing = Default::default();
    run.provenance = Default::default();
    run
}

fn roomy() -> Limits {
    Limits { memory_bytes: 1 << 30, batch_tokens: 4096 }
}

fn family() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&FAMILIES[..])
}

fn objective() -> impl Strategy<Value = ObjectiveKind> {
    prop::sample::select(&[ObjectiveKind::MaxLogit, ObjectiveKind::Loss][..])
}

fn lengths(samples: std::ops::Range<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(2usize..48, samples)
}

/// Largest difference, relative to the largest of the second.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-30f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// The same numbers but for the rounding of sums taken in another order.
fn assert_alike(what: &str, a: &DomainScan, b: &DomainScan, params: &[u64]) {
    for (l, (a, b)) in a.activated_count.iter().zip(&b.activated_count).enumerate() {
        // A mean moves by an ulp or two, which matters to those nearest gamma only.
        assert!(a.abs_diff(*b) <= 2 + params[l] / 100_000, "{what}: {a} and {b} parameters of layer {l} above gamma");
    }
    assert!((a.mean_objective - b.mean_objective).abs() <= 1e-12 * b.mean_objective.abs().max(1.0), "{what}: objective");
    let grids = [
        ("row sums", &a.param_activation, &b.param_activation),
        ("relevance", &a.relevance, &b.relevance),
        ("heads' relevance", &a.head_relevance, &b.head_relevance),
        ("mean activation", &a.mean_activation, &b.mean_activation),
        ("mean absolute activation", &a.mean_abs_activation, &b.mean_abs_activation),
    ];
    for (name, a, b) in grids {
        let (Some(a), Some(b)) = (a, b) else {
            assert!(a.is_none() && b.is_none());
            continue;
        };
        let apart = apart(a.values(), b.values());
        // Sums of up to 10 samples and some hundred parameters in f32.
        assert!(apart < 5e-6, "{what}: {name} differ by {apart:e}");
    }
}

#[test]
fn reading_on_gives_the_bits_of_reading_everything_at_once() {
    for family in FAMILIES {
        let decoder = decoder(family, 2);
        let d = decoder.model.spec.d_model;
        // Longer than any window of these models, and than the length from which phi3 turns otherwise.
        let n = decoder.model.spec.max_positions.min(150);
        let tokens: Vec<u32> = (0..n as u32).map(|i| (i * 37 + i * i) % 490 + 3).collect();
        for pieces in [vec![n], vec![40, 1, 1, 10, 1, 1, 1, n - 55], vec![1, n - 2, 1]] {
            let mut kept = Kept::default();
            for piece in pieces {
                let before = kept.tokens().len();
                let resid = decoder.read_on(&tokens[before..before + piece], &mut kept).expect("read on");
                let whole = decoder.forward(&Batch::new(&[&tokens[..before + piece]]), &mut NoHooks).expect("whole");
                assert!(resid == whole[before * d..], "{family}: {piece} tokens after {before}");
            }
        }
    }
}

#[test]
fn text_beyond_the_models_positions_is_refused_and_nothing_is_kept() {
    let decoder = decoder("llama", 1);
    let most = decoder.model.spec.max_positions;
    let mut kept = Kept::default();
    decoder.read_on(&vec![5; most - 1], &mut kept).expect("room");
    decoder.read_on(&[5], &mut kept).expect("the last position");
    assert_eq!(kept.tokens().len(), most);
    let message = decoder.read_on(&[5], &mut kept).expect_err("no room").to_string();
    assert!(message.contains("positions"), "{message}");
    assert!(kept.tokens().is_empty());
}

/// Up and down, blocks kept and blocks made again on the way down, one after another over the same model.
#[test]
fn a_model_larger_than_its_memory_is_read_ahead_to_the_same_bits() {
    let objective = ObjectiveKind::MaxLogit;
    let config = ScanConfig { objective, metrics: MetricKind::ALL.to_vec(), ..ScanConfig::default() };
    for family in FAMILIES {
        let options = LoadOptions { resident_bytes: Some(1000) };
        let stored = silently(|ctx| load_model_with(&fixtures().join(format!("tiny-{family}")), &options, ctx)).expect("model");
        let stored = Decoder::new(Arc::new(stored), Arc::new(CpuBackend::new(Some(2))));
        let resident = decoder(family, 2);
        let domains = [domain(&resident, "a", &[9, 20, 14], objective)];
        let tapes = scan(&resident, &domains, &config, roomy());
        for memory_bytes in [roomy().memory_bytes, 3 << 20] {
            let limits = Limits { memory_bytes, ..roomy() };
            assert!(numbers(scan(&stored, &domains, &config, limits)) == numbers(tapes.clone()), "{family} in {memory_bytes} bytes");
        }
    }
}

/// Looks, and leaves everything as it is.
struct Onlooker;

impl Hooks for Onlooker {
    fn wants(&self, _: HookPoint) -> bool {
        false
    }
    fn at(&mut self, _: HookPoint, _: &Batch, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_read_is_kept_without_changing_the_text() {
    for family in FAMILIES {
        let config = GenerateConfig { tokens: 40, temperature: 1.5, seed: 9, ..GenerateConfig::default() };
        let decoder = decoder(family, 2);
        let write = |hooks: &mut dyn Hooks| silently(|ctx| generate(&decoder, &[1, 40, 99], &config, hooks, ctx)).expect("text");
        assert_eq!(write(&mut NoHooks), write(&mut Onlooker), "{family}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_repeats_to_the_bit_whatever_the_threads_batches_and_memory(
        family in family(), objective in objective(), a in lengths(1..5), b in lengths(2..4), batch_tokens in 1usize..160, share in 1u64..12,
    ) {
        let config = ScanConfig { objective, ..ScanConfig::default() };
        let (one, two) = (decoder(family, 1), decoder(family, 2));
        let domains = [domain(&one, "a", &a, objective), domain(&one, "bb", &b, objective)];
        let expected = numbers(scan(&one, &domains, &config, roomy()));
        prop_assert!(numbers(scan(&two, &domains, &config, Limits { batch_tokens, ..roomy() })) == expected, "cut at {batch_tokens} tokens");
        // As little memory as it takes at all: blocks are recomputed, matrices scanned one at a time.
        let tight = Limits { memory_bytes: share << 18, batch_tokens };
        if let Ok(found) = silently(|ctx| scan_prepared(&two, &domains, &config, tight, ctx)) {
            prop_assert!(numbers(found) == expected, "within {share} quarters of a MiB");
        }
    }

    #[test]
    fn the_order_of_samples_changes_no_more_than_the_rounding_of_a_mean(
        family in family(), objective in objective(), lengths in lengths(2..7), turn in 0usize..7,
    ) {
        let config = ScanConfig { objective, ..ScanConfig::default() };
        let decoder = decoder(family, 2);
        let plain = domain(&decoder, "a", &lengths, objective);
        let n = lengths.len();
        // Sample `order[i]` comes i-th; the pairs of the domain with itself stay the same pairs.
        let order: Vec<usize> = (0..n).map(|i| (n - 1 - i + turn) % n).collect();
        let place = |s: usize| order.iter().position(|o| *o == s).expect("a permutation");
        let mut turned = plain.clone();
        turned.sequences = order.iter().map(|&s| plain.sequences[s].clone()).collect();
        if !plain.answers.is_empty() {
            turned.answers = order.iter().map(|&s| plain.answers[s].clone()).collect();
        }
        turned.source.self_cycle = order.iter().map(|&s| place(plain.source.self_cycle[s])).collect();
        let (a, b) = (scan(&decoder, &[plain], &config, roomy()), scan(&decoder, &[turned], &config, roomy()));
        assert_alike("turned", &b.domains[0], &a.domains[0], &a.params_per_layer);
        for (i, &s) in order.iter().enumerate() {
            for (x, y) in b.llmdcos[0].cosines[i].iter().zip(&a.llmdcos[0].cosines[s]) {
                prop_assert!((x.expect("defined") - y.expect("defined")).abs() < 1e-6, "cosine of sample {s}");
            }
        }
    }

    #[test]
    fn what_else_is_scanned_does_not_matter(family in family(), objective in objective(), a in lengths(2..5), b in lengths(2..5)) {
        let config = ScanConfig { objective, ..ScanConfig::default() };
        let decoder = decoder(family, 2);
        let (a, b) = (domain(&decoder, "a", &a, objective), domain(&decoder, "bb", &b, objective));
        let both = scan(&decoder, &[a.clone(), b.clone()], &config, roomy());
        let turned = scan(&decoder, &[b, a.clone()], &config, roomy());
        let alone = scan(&decoder, std::slice::from_ref(&a), &config, roomy());
        // A mean is over the domain's own samples in their own order.
        prop_assert_eq!(&both.domains[0].activated_count, &alone.domains[0].activated_count);
        prop_assert_eq!(&both.domains[0].activated_count, &turned.domains[1].activated_count);
        prop_assert_eq!(&both.domains[0].relevance, &alone.domains[0].relevance);
        assert_alike("alone", &alone.domains[0], &both.domains[0], &both.params_per_layer);
        assert_alike("second", &turned.domains[1], &both.domains[0], &both.params_per_layer);
        let one_metric = ScanConfig { metrics: vec![MetricKind::ParamActivation], ..config };
        let only = scan(&decoder, &[a], &one_metric, roomy());
        prop_assert_eq!(&only.domains[0].activated_count, &alone.domains[0].activated_count);
        let pair = |run: &ScanOutput, a: &str, b: &str| -> Vec<Vec<Option<f32>>> {
            let found = run.llmdcos.iter().find(|p| (p.a == a && p.b == b) || (p.a == b && p.b == a));
            found.expect("every pair is there").cosines.clone()
        };
        for (names, other) in [(("a", "a"), &alone), (("a", "bb"), &turned)] {
            for (x, y) in pair(&both, names.0, names.1).iter().flatten().zip(pair(other, names.0, names.1).iter().flatten()) {
                prop_assert!((x.expect("defined") - y.expect("defined")).abs() < 1e-6, "{names:?}");
            }
        }
    }

    #[test]
    fn a_score_is_the_same_to_the_bit_whatever_the_threads_and_batches(family in family(), batch_tokens in 1usize..400, items in 1usize..9) {
        let data = silently(|ctx| open_domain("choices", &fixtures().join("data/eval_choices.jsonl"), &Mapping::default(), ctx)).expect("domain");
        let run = |threads: usize, batch_tokens: usize| {
            let config = EvalConfig { max_items: Some(items), max_tokens: 128, batch_tokens, ..EvalConfig::default() };
            silently(|ctx| evaluate(&decoder(family, threads), &data, &config, None, ctx, &mut |_| {})).expect("scores").items
        };
        let expected = run(1, 4096);
        prop_assert_eq!(expected.len(), items.min(data.items.len()));
        prop_assert!(run(2, batch_tokens) == expected);
    }
}
