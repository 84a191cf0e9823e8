//! First-order predictions on a small model: they are the derivative of what an evaluation measures, and the scan's relevance with its sign.

use brodmann::{
    ablate::{Attribution, AttributionLimits, EvalSession, Quantity, SessionLimits, Summary, attribute},
    base::{Grid, Head, Neuron, NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    data::{Domain, Mapping, open_domain},
    eval::{AblationMode, Intervention, ItemScore, Means},
    model::{Decoder, load_model},
    scan::{MetricKind, ObjectiveKind, Order, ScanConfig, run_scan},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn domain(name: &str) -> Domain {
    silently(|ctx| open_domain(name, &fixture("data").join(name), &Mapping::default(), ctx)).expect("domain")
}

fn decoder(name: &str) -> Decoder {
    let model = silently(|ctx| load_model(&fixture(name), ctx)).expect("model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(2))))
}

static LLAMA: LazyLock<Decoder> = LazyLock::new(|| decoder("tiny-llama"));

fn change(neurons: &NeuronSet, heads: &BTreeSet<Head>, mode: AblationMode, means: Option<Means>) -> Intervention {
    Intervention { means, ..Intervention::new(neurons.clone(), heads.clone(), mode) }
}

fn reference(mode: AblationMode, means: Option<Means>) -> Intervention {
    change(&NeuronSet::new(), &BTreeSet::new(), mode, means)
}

fn attributed(decoder: &Decoder, d: &Domain, reference: &Intervention, limits: AttributionLimits) -> Attribution {
    silently(|ctx| attribute(decoder, &d.name, d.kind, &d.items, reference, limits, ctx)).expect("attribution")
}

fn zero(decoder: &Decoder, d: &Domain) -> Attribution {
    attributed(decoder, d, &reference(AblationMode::Zero, None), AttributionLimits::default())
}

fn scored(decoder: &Decoder, d: &Domain, change: Option<&Intervention>) -> Vec<ItemScore> {
    silently(|ctx| {
        let session = EvalSession::new(decoder.clone(), &d.name, d.kind, &d.items, SessionLimits::default(), ctx)?;
        session.evaluate(change, ctx, &mut |_| {})
    })
    .expect("scores")
    .items
}

/// Q with neurons and heads scaled by 1 ± EPS gives dQ/dk at k = 1 by central differences, which is minus the effect of zero. Log-likelihoods come
/// from f32 logits of about 5, so their error of some 1e-6 becomes 1e-4 over 2 EPS; the curvature adds EPS^2 times a third derivative.
#[test]
fn predictions_are_the_central_difference_of_what_is_measured() {
    const EPS: f32 = 0.01;
    for model in ["tiny-llama", "tiny-gpt2", "tiny-gemma3"] {
        let decoder = decoder(model);
        let spec = &decoder.model.spec;
        let neurons: NeuronSet =
            (0..spec.n_layers as u32).flat_map(|l| (0..spec.d_mlp as u32 / 2).map(move |i| Neuron::new(l, 2 * i))).collect();
        let heads = BTreeSet::from([Head::new(1, 0)]);
        for name in ["eval_choices.jsonl", "eval_contexts.jsonl", "eval_texts.txt"] {
            let d = domain(name);
            let attribution = zero(&decoder, &d);
            for (neurons, heads) in [(&neurons, &BTreeSet::new()), (&NeuronSet::new(), &heads)] {
                let at = |k: f32| scored(&decoder, &d, Some(&change(neurons, heads, AblationMode::Scale(k), None)));
                let (more, less) = (at(1.0 + EPS), at(1.0 - EPS));
                let slope = |a: f64, b: f64| (a - b) / f64::from(2.0 * EPS);
                let measured = |q: Quantity, i: usize| match q {
                    Quantity::Loss => Some(slope(more[i].nll, less[i].nll)),
                    Quantity::Margin => Some(slope(more[i].margin?, less[i].margin?)),
                };
                for quantity in [Quantity::Loss, Quantity::Margin] {
                    let Some(predicted) = attribution.changes(quantity, neurons, heads, &AblationMode::Zero) else {
                        assert!(quantity == Quantity::Margin && name == "eval_texts.txt");
                        continue;
                    };
                    let largest = predicted.iter().fold(0.0f64, |m, p| m.max(p.abs()));
                    assert!(largest > 2e-3, "{model} {name} {quantity:?}: the set does nothing: {largest}");
                    for (i, p) in predicted.iter().enumerate() {
                        let m = measured(quantity, i).expect("choices have margins");
                        assert!(
                            (m + p).abs() < 4e-4 + 1e-2 * p.abs(),
                            "{model} {name} {quantity:?} item {i}: {m} measured, {} predicted",
                            -p
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_loss_of_an_answer_gives_the_scans_relevance() {
    let d = domain("eval_choices.jsonl");
    let (n, attribution) = (d.items.len(), zero(&LLAMA, &d));
    let scores = scored(&LLAMA, &d, None);
    let config = ScanConfig {
        samples: n,
        order: Order::File,
        objective: ObjectiveKind::Loss,
        metrics: vec![MetricKind::Relevance, MetricKind::Attribution],
        ..ScanConfig::default()
    };
    let scan = silently(|ctx| run_scan(&LLAMA, &[Arc::new(d)], &config, ctx)).expect("scan");
    let (map, heads) = (scan.domains[0].relevance.as_ref().expect("map"), scan.domains[0].head_relevance.as_ref().expect("heads"));
    let mean = |neurons: &NeuronSet, heads: &BTreeSet<Head>| {
        // The scan's loss is the mean over the answer's tokens, an item's is their sum.
        let effects = attribution.changes(Quantity::Loss, neurons, heads, &AblationMode::Zero).expect("zero");
        effects.iter().zip(&scores).map(|(e, s)| e.abs() / s.n_tokens as f64).sum::<f64>() / n as f64
    };
    let largest = f64::from(map.range().expect("values").1);
    for (i, &relevance) in map.values().iter().enumerate() {
        let neuron = Neuron::new((i / map.cols()) as u32, (i % map.cols()) as u32);
        let effect = mean(&NeuronSet::from_iter([neuron]), &BTreeSet::new());
        // Both passes sum f32 products in their own order.
        assert!((effect - f64::from(relevance)).abs() < 1e-4 * largest, "{neuron}: {effect} and {relevance}");
    }
    // The signed metric is what the activation adds to the loss; an effect is what its absence adds.
    let signed = scan.domains[0].attribution.as_ref().expect("attribution");
    for (i, &attribution_of) in signed.values().iter().enumerate() {
        let neuron = Neuron::new((i / signed.cols()) as u32, (i % signed.cols()) as u32);
        let one = NeuronSet::from_iter([neuron]);
        let effects = attribution.changes(Quantity::Loss, &one, &BTreeSet::new(), &AblationMode::Zero).expect("zero");
        let effect = effects.iter().zip(&scores).map(|(e, s)| e / s.n_tokens as f64).sum::<f64>() / n as f64;
        assert!((effect + f64::from(attribution_of)).abs() < 1e-4 * largest, "{neuron}: {effect} and {attribution_of}");
    }
    assert!(signed.values().iter().any(|v| *v > 0.0) && signed.values().iter().any(|v| *v < 0.0));
    for (i, &relevance) in heads.values().iter().enumerate() {
        let head = Head::new((i / heads.cols()) as u32, (i % heads.cols()) as u32);
        let effect = mean(&NeuronSet::new(), &BTreeSet::from([head]));
        assert!((effect - f64::from(relevance)).abs() < 1e-4 * largest.max(effect), "{head}: {effect} and {relevance}");
    }
}

#[test]
fn nothing_ablated_is_what_is_measured() {
    for name in ["eval_choices.jsonl", "eval_contexts.jsonl", "eval_texts.txt"] {
        let d = domain(name);
        let p = zero(&LLAMA, &d).predict(&NeuronSet::new(), &BTreeSet::new(), &AblationMode::Zero, None).expect("zero");
        let score = brodmann::eval::DomainScore { domain: name.into(), kind: d.kind, items: scored(&LLAMA, &d, None) };
        assert_eq!((p.before, p.after, p.n), (Summary::of(&score), Summary::of(&score), d.items.len()), "{name}");
    }
}

#[test]
fn memory_changes_how_many_items_not_their_numbers() {
    let d = domain("eval_choices.jsonl");
    let whole = zero(&LLAMA, &d);
    let usual = AttributionLimits::default();
    let of = |limits| attributed(&LLAMA, &d, &reference(AblationMode::Zero, None), limits);
    // Without room for tapes the blocks run forward a second time.
    assert_eq!(of(AttributionLimits { tape_bytes: 0, ..usual }).lines().collect::<Vec<_>>(), whole.lines().collect::<Vec<_>>());
    let set = NeuronSet::parse("L0N0-87,L2N3").expect("set");
    let changes = |a: &Attribution| a.changes(Quantity::Margin, &set, &BTreeSet::new(), &AblationMode::Zero).expect("margins");
    // One item a step instead of all: products of other shapes round another way.
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let again = changes(&of(AttributionLimits { tape_bytes: 0, ..usual }));
    assert!(close(&again, &changes(&whole)), "{again:?}");
    let thin = of(AttributionLimits { table_bytes: whole.bytes() / 2, ..usual });
    assert_eq!((thin.n(), thin.n_all), (4, 8));
    let expected: Vec<f64> = changes(&whole).into_iter().step_by(2).collect();
    assert!(close(&changes(&thin), &expected));
    assert!(thin.bytes() <= whole.bytes() / 2);
}

/// Effects are linear in what is written: E(m) = sum g (m - a), so E(m) - E(0) for a mean m that is the same for all neurons grows with m.
#[test]
fn a_mean_moves_the_effect_by_the_gradient() {
    let d = domain("eval_choices.jsonl");
    let spec = &LLAMA.model.spec;
    let means = |v: f32| Means {
        mlp_post: Grid::new(spec.n_layers, spec.d_mlp, vec![v; spec.n_layers * spec.d_mlp]).expect("grid"),
        z: Grid::zeros(spec.n_layers, spec.q_width()),
        source: "made up".into(),
    };
    let set = NeuronSet::parse("L0N0-87").expect("set");
    let changes = |v: f32| {
        let a = attributed(&LLAMA, &d, &reference(AblationMode::Mean, Some(means(v))), AttributionLimits::default());
        assert_eq!(a.predict(&set, &BTreeSet::new(), &AblationMode::Zero, None), None, "means say nothing of zero");
        a.changes(Quantity::Loss, &set, &BTreeSet::new(), &AblationMode::Mean).expect("mean")
    };
    let of_zero = zero(&LLAMA, &d).changes(Quantity::Loss, &set, &BTreeSet::new(), &AblationMode::Zero).expect("zero");
    let (none, one, two) = (changes(0.0), changes(0.1), changes(0.2));
    assert_eq!(none, of_zero);
    for i in 0..none.len() {
        assert!((two[i] - 2.0 * one[i] + none[i]).abs() < 1e-5 * (1.0 + two[i].abs()), "item {i}");
    }
    assert!(none.iter().zip(&one).any(|(a, b)| (a - b).abs() > 1e-4), "the gradient is nowhere 0");
}
