//! Ablation on a small model: the residual cache changes no bit, nothing ablated is the baseline, and reports add up.

use brodmann::{
    ablate::{AblationRequest, EvalSession, Part, SessionLimits, random_heads_like, run},
    base::{CancelToken, Ctx, Head, Neuron, NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    data::{Domain, Item, Mapping, open_domain},
    eval::{
        AblationAt, AblationMode, DomainScore, EvalConfig, Intervention, Limits, Sharing, evaluate, means, positional_means,
        resample_donors,
    },
    model::{Decoder, Matrix, Role, load_model},
};
use proptest::{prelude::*, test_runner::TestCaseError};
use std::{
    collections::{BTreeMap, BTreeSet},
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

static DECODER: LazyLock<Decoder> = LazyLock::new(|| decoder("tiny-llama"));
/// Sequential, plain MLP with biases and learned positions; parallel; norms after each part with windows and two rotations.
static FAMILIES: LazyLock<Vec<Decoder>> =
    LazyLock::new(|| ["tiny-llama", "tiny-gpt2", "tiny-gpt_neox", "tiny-gemma3"].into_iter().map(decoder).collect());

fn session_of(decoder: &Decoder, domain: &Domain, limits: SessionLimits) -> EvalSession {
    silently(|ctx| EvalSession::new(decoder.clone(), &domain.name, domain.kind, &domain.items, limits, ctx)).expect("session")
}

fn session(domain: &Domain, cache_bytes: usize, batch_tokens: usize) -> EvalSession {
    let eval = Limits { batch_tokens, ..Limits::default() };
    session_of(&DECODER, domain, SessionLimits { eval, cache_bytes, ..SessionLimits::default() })
}

/// Every layer over every choice by itself: nothing cached, nothing shared.
fn full_of(decoder: &Decoder, domain: &Domain, change: Option<&Intervention>) -> DomainScore {
    let plain = EvalConfig { share: Sharing::Nothing, ..EvalConfig::default() };
    silently(|ctx| evaluate(decoder, domain, &plain, change, ctx, &mut |_| {})).expect("score")
}

fn full(domain: &Domain, change: Option<&Intervention>) -> DomainScore {
    full_of(&DECODER, domain, change)
}

fn zero(neurons: NeuronSet, heads: BTreeSet<Head>) -> Intervention {
    Intervention::new(neurons, heads, AblationMode::Zero)
}

/// A rank-k correction adds in another order than the full sum: each log-probability differs by a few roundings.
fn close(ours: &DomainScore, full: &DomainScore) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.n(), full.n());
    for (a, b) in ours.items.iter().zip(&full.items) {
        prop_assert_eq!((a.line, a.n_tokens), (b.line, b.n_tokens));
        let near = |x: f64, y: f64| (x - y).abs() <= 1e-5 * (1.0 + y.abs());
        let lls = a.log_likelihoods.iter().zip(&b.log_likelihoods).all(|(x, y)| near(*x, *y));
        prop_assert!(lls && near(a.nll, b.nll), "{:?} is not {:?}", a, b);
    }
    Ok(())
}

/// A change of a model, with what it needs of other texts.
fn change_of(decoder: &Decoder, neurons: &[(u32, u32)], heads: &[(u32, u32)], mode: usize, at: AblationAt) -> Intervention {
    let (layers, width) = (decoder.model.spec.n_layers as u32, decoder.model.spec.d_mlp as u32);
    let neurons: NeuronSet = neurons.iter().map(|&(l, i)| Neuron::new(l % layers, i % width)).collect();
    let heads: BTreeSet<Head> = heads.iter().map(|&(l, i)| Head::new(l, i)).collect();
    let mode = [
        AblationMode::Zero,
        AblationMode::Scale(0.25),
        AblationMode::Scale(5.0),
        AblationMode::Mean,
        AblationMode::PositionalMean,
        AblationMode::Resample { domain: "texts".into(), seed: 3 },
    ][mode]
        .clone();
    let texts = domain("eval_texts.txt");
    let items: Vec<&Item> = texts.items.iter().filter(|i| i.context.len() > 8).collect();
    let means = silently(|ctx| means(decoder, items.iter().copied(), 64, "texts", ctx)).expect("means");
    let places = (&neurons, &heads);
    let donors = silently(|ctx| match &mode {
        AblationMode::Resample { seed, .. } => resample_donors(decoder, &items, places, 2, *seed, 64, "texts", ctx),
        _ => positional_means(decoder, &items, places, 64, "texts", ctx),
    });
    Intervention { at, means: Some(means), donors: Some(Arc::new(donors.expect("donors"))), ..Intervention::new(neurons, heads, mode) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Toggles one after another on the same session, in every family, mode and place, with every size of cache, give what a plain full pass gives:
    /// bit for bit, but where few neurons of the first changed layer are corrected.
    #[test]
    fn toggled_scores_are_those_of_a_full_pass(
        family in 0usize..4,
        sets in proptest::collection::vec(
            (proptest::collection::vec((0u32..3, 0u32..128), 0..20), proptest::collection::vec((0u32..3, 0u32..4), 0..2), 0usize..6, proptest::bool::ANY), 1..4),
        cache in prop_oneof![Just(0usize), Just(20_000), Just(1 << 20)],
        spill in prop_oneof![Just(0u64), Just(1 << 20)],
        batch_tokens in prop_oneof![Just(1usize), Just(100), Just(4096)],
        share in prop_oneof![Just(Sharing::Nothing), Just(Sharing::Choices), Just(Sharing::Questions)],
    ) {
        let decoder = &FAMILIES[family];
        for name in ["eval_choices.jsonl", "eval_contexts.jsonl", "eval_texts.txt"] {
            let d = domain(name);
            let eval = Limits { batch_tokens, share, ..Limits::default() };
            let session = session_of(decoder, &d, SessionLimits { eval, cache_bytes: cache, spill_bytes: spill, ..SessionLimits::default() });
            let mut changes = Vec::new();
            for (neurons, heads, mode, answer) in &sets {
                let at = AblationAt::ALL[usize::from(*answer)];
                let change = change_of(decoder, neurons, heads, *mode, at);
                let cached = silently(|ctx| session.evaluate(Some(&change), ctx, &mut |_| {})).expect("cached");
                let plain = full_of(decoder, &d, Some(&change));
                let first = change.neurons.layers().chain(change.heads.iter().map(|h| h.layer as usize)).min();
                let corrected = first.is_some_and(|l| {
                    family < 3
                        && at == AblationAt::All
                        && change.heads.iter().all(|h| h.layer as usize != l)
                        && change.neurons.layer(l).count() * 8 <= decoder.model.spec.d_mlp
                });
                if corrected {
                    close(&cached, &plain)?;
                } else {
                    prop_assert_eq!(&cached, &plain);
                }
                let undone = silently(|ctx| session.evaluate(None, ctx, &mut |_| {})).expect("undone");
                prop_assert_eq!(&undone, &full_of(decoder, &d, None));
                changes.push(change);
            }
            // Side by side they are what they are alone, bit for bit.
            let alone: Vec<DomainScore> =
                changes.iter().map(|c| silently(|ctx| session.evaluate(Some(c), ctx, &mut |_| {})).expect("alone")).collect();
            let together = silently(|ctx| session.evaluate_many(&changes, ctx, &mut |_| {})).expect("together");
            prop_assert_eq!(together, alone);
            prop_assert!(session.cached_bytes() <= cache && session.spilled_bytes() <= spill);
        }
    }
}

#[test]
fn a_model_with_the_columns_of_its_neurons_cleared_scores_the_same() {
    let d = domain("eval_choices.jsonl");
    for (name, set) in
        [("tiny-llama", "L1N3,L1N40-44,L2N7"), ("tiny-gpt2", "L0N5-9,L2N100"), ("tiny-gpt_neox", "L2N0-15"), ("tiny-gemma3", "L1N80")]
    {
        let neurons = NeuronSet::parse(set).expect("set");
        let mut edited = silently(|ctx| load_model(&fixture(name), ctx)).expect("model");
        let (f, width) = (edited.spec.d_mlp, edited.spec.d_model);
        for n in neurons.iter() {
            let down = edited.weights.get_mut(Role::Weight(n.layer as usize, Matrix::Down)).expect("down").values_mut();
            (0..width).for_each(|r| down[r * f + n.index as usize] = 0.0);
        }
        let edited = Decoder::new(Arc::new(edited), Arc::new(CpuBackend::new(Some(2))));
        let decoder = decoder(name);
        let session = session_of(&decoder, &d, SessionLimits::default());
        let toggled = silently(|ctx| session.evaluate(Some(&zero(neurons, BTreeSet::new())), ctx, &mut |_| {})).expect("toggled");
        close(&toggled, &full_of(&edited, &d, None)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn what_choices_and_questions_have_in_common_costs_its_tokens_once() {
    let d = domain("eval_choices.jsonl");
    let tokens = |share| {
        let eval = Limits { share, ..Limits::default() };
        session_of(&DECODER, &d, SessionLimits { eval, ..SessionLimits::default() }).n_tokens()
    };
    let [nothing, choices, questions] = [Sharing::Nothing, Sharing::Choices, Sharing::Questions].map(tokens);
    assert!(choices * 2 < nothing, "{choices} of {nothing}");
    assert!(questions < choices, "{questions} of {choices}");
}

#[test]
fn ablating_nothing_is_the_baseline_and_something_is_not() {
    let d = domain("eval_choices.jsonl");
    let session = session(&d, 1 << 20, 4096);
    let score = |change: Option<&Intervention>| silently(|ctx| session.evaluate(change, ctx, &mut |_| {})).expect("score");
    let baseline = score(None);
    assert_eq!(score(Some(&zero(NeuronSet::new(), BTreeSet::new()))), baseline);
    let some = NeuronSet::parse("L1N0-40").expect("set");
    let one = Intervention { mode: AblationMode::Scale(1.0), ..zero(some.clone(), BTreeSet::new()) };
    assert_eq!(score(Some(&one)), baseline);
    assert_ne!(score(Some(&zero(some, BTreeSet::new()))), baseline);
    assert_ne!(score(Some(&zero(NeuronSet::new(), BTreeSet::from([Head::new(2, 3)])))), baseline);
    assert_eq!(score(None), baseline);
}

#[test]
fn scores_come_step_by_step_and_can_go_on_where_they_stopped() {
    let d = domain("eval_choices.jsonl");
    let session = session(&d, 0, 60);
    let mut steps = Vec::new();
    let whole = silently(|ctx| session.evaluate(None, ctx, &mut |new| steps.push(new.len()))).expect("whole");
    assert!(steps.len() > 2 && steps.iter().sum::<usize>() == d.items.len(), "{steps:?}");
    let mut rest = Vec::new();
    silently(|ctx| session.evaluate_from(3, None, ctx, &mut |new| rest.extend_from_slice(new))).expect("rest");
    assert_eq!(rest, whole.items[3..]);
}

#[test]
fn a_cancel_ends_the_evaluation_within_a_step() {
    let d = domain("eval_choices.jsonl");
    let session = session(&d, 0, 1);
    let cancel = CancelToken::default();
    let ctx = Ctx::new(&cancel, &|_| {});
    let mut seen = 0;
    let e = session.evaluate(None, &ctx, &mut |_| {
        seen += 1;
        if seen == 2 {
            cancel.cancel();
        }
    });
    assert!(e.expect_err("cancelled").is_cancelled());
    assert_eq!(seen, 2);
}

#[test]
fn a_report_holds_every_part_and_only_the_lines_asked_for() {
    let domains = [Arc::new(domain("eval_choices.jsonl")), Arc::new(domain("eval_texts.txt"))];
    let exclude = BTreeMap::from([("eval_choices.jsonl".to_owned(), BTreeSet::from([1, 4]))]);
    let neurons = NeuronSet::parse("L0N0-29,L2N3").expect("set");
    let heads = BTreeSet::from([Head::new(1, 0)]);
    let request = AblationRequest { heads, exclude, control_seeds: vec![0, 1, 2], ..AblationRequest::new(neurons, AblationMode::Zero) };
    let mut parts = Vec::new();
    let report = silently(|ctx| run(&DECODER, &domains, &request, ctx, &mut |part, score| parts.push((part, score.n())))).expect("report");
    assert_eq!((report.neurons, report.heads, report.domains.len()), (31, 1, 2));
    let choices = &report.domains[0];
    assert_eq!(choices.before.items.iter().map(|i| i.line).collect::<Vec<_>>(), [2, 3, 5, 6, 7, 8]);
    assert_eq!((choices.controls.len(), choices.control_mean().is_some(), choices.p_value().is_some()), (3, true, true));
    let texts = &report.domains[1];
    assert_eq!((texts.before.acc(), texts.p_value()), (None, None));
    assert!(texts.after.loss() != texts.before.loss() && texts.control_loss().1.is_some());
    assert_ne!(choices.controls[0], choices.controls[1]);
    for part in [Part::Before, Part::After, Part::Control(2)] {
        assert!(parts.contains(&(part, 6)), "{parts:?}");
    }
    // The controls are the seeds' random sets.
    let control = zero(request.neurons.random_like(88, 1), random_heads_like(&request.heads, 4, 1));
    close(&texts.controls[1], &full(&domains[1], Some(&control))).expect("the control's scores");
}

#[test]
fn requests_that_make_no_sense_say_why() {
    let d = domain("eval_choices.jsonl");
    let failing = |change: &Intervention| {
        silently(|ctx| evaluate(&DECODER, &d, &EvalConfig::default(), Some(change), ctx, &mut |_| {})).expect_err("bad").to_string()
    };
    let set = |text: &str| NeuronSet::parse(text).expect("set");
    assert!(failing(&zero(set("L3N0"), BTreeSet::new())).contains("L3N0"));
    assert!(failing(&zero(set("L0N88"), BTreeSet::new())).contains("0..87"));
    assert!(failing(&zero(NeuronSet::new(), BTreeSet::from([Head::new(0, 4)]))).contains("L0H4"));
    let mean = Intervention { mode: AblationMode::Mean, ..zero(set("L0N1"), BTreeSet::new()) };
    assert!(failing(&mean).contains("not evaluated"));
    let nan = Intervention { mode: AblationMode::Scale(f32::NAN), ..zero(set("L0N1"), BTreeSet::new()) };
    assert!(failing(&nan).contains("finite"));
    let all = EvalConfig { exclude_lines: (0..100).collect(), ..EvalConfig::default() };
    let e = silently(|ctx| evaluate(&DECODER, &d, &all, None, ctx, &mut |_| {})).expect_err("nothing left").to_string();
    assert!(e.contains("none of its 8 items"), "{e}");
    assert!(silently(|ctx| means(&DECODER, [], 64, "nothing", ctx)).is_err());
}
