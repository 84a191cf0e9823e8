//! Ablation on a small model: the residual cache changes no bit, nothing ablated is the baseline, and reports add up.

use brodmann::{
    ablate::{AblationRequest, EvalSession, Part, SessionLimits, random_heads_like, run},
    base::{CancelToken, Ctx, Head, Neuron, NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    data::{Domain, Mapping, open_domain},
    eval::{AblationMode, DomainScore, EvalConfig, Intervention, Limits, evaluate, means},
    model::{Decoder, load_model},
};
use proptest::prelude::*;
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

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let model = silently(|ctx| load_model(&fixture("tiny-llama"), ctx)).expect("model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(2))))
});

fn session(domain: &Domain, cache_bytes: usize, batch_tokens: usize) -> EvalSession {
    let limits = SessionLimits { eval: Limits { max_tokens: 256, batch_tokens }, cache_bytes };
    silently(|ctx| EvalSession::new(DECODER.clone(), &domain.name, domain.kind, &domain.items, limits, ctx)).expect("session")
}

fn full(domain: &Domain, change: Option<&Intervention>) -> DomainScore {
    silently(|ctx| evaluate(&DECODER, domain, &EvalConfig::default(), change, ctx, &mut |_| {})).expect("score")
}

fn zero(neurons: NeuronSet, heads: BTreeSet<Head>) -> Intervention {
    Intervention { neurons, heads, mode: AblationMode::Zero, means: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Toggles one after another on the same session, with every cache size, give the bits of a full pass without a cache.
    #[test]
    fn cached_scores_equal_full_ones_bit_for_bit(
        sets in proptest::collection::vec(
            (proptest::collection::vec((0u32..3, 0u32..88), 0..12), proptest::collection::vec((0u32..3, 0u32..4), 0..2), 0usize..3), 1..4),
        cache in prop_oneof![Just(0usize), Just(20_000), Just(1 << 20)],
        batch_tokens in prop_oneof![Just(1usize), Just(100), Just(4096)],
    ) {
        for name in ["eval_choices.jsonl", "eval_texts.txt"] {
            let d = domain(name);
            let session = session(&d, cache, batch_tokens);
            for (neurons, heads, mode) in &sets {
                let mode = [AblationMode::Zero, AblationMode::Scale(0.25), AblationMode::Scale(-2.0)][*mode];
                let change = Intervention {
                    neurons: neurons.iter().map(|&(l, i)| Neuron::new(l, i)).collect(),
                    heads: heads.iter().map(|&(l, i)| Head::new(l, i)).collect(),
                    mode,
                    means: None,
                };
                let cached = silently(|ctx| session.evaluate(Some(&change), ctx, &mut |_| {})).expect("cached");
                prop_assert_eq!(&cached, &full(&d, Some(&change)));
                let undone = silently(|ctx| session.evaluate(None, ctx, &mut |_| {})).expect("undone");
                prop_assert_eq!(&undone, &full(&d, None));
            }
            prop_assert!(session.cached_bytes() <= cache);
        }
    }
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
    assert_eq!(texts.controls[1], full(&domains[1], Some(&control)));
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
