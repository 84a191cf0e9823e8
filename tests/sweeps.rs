//! Sweeps on a small model: every unit's numbers are those of its own evaluation, a sweep that was stopped goes on to the same numbers, curves and
//! searches add up.

use brodmann::{
    ablate::{
        EvalSession, Halves, Rule, SessionLimits, Sweep, SweepFile, SweepHeader, SweepMeasure, SweepSpec, SweepUnit, Totals, UnitId,
        against_k,
        break_domain::{self, BreakBegun},
        sweep, sweep_file,
    },
    base::{CancelToken, Ctx, Grid, Neuron, NeuronSet, job::silently, provenance::Provenance, rng::Rng},
    compute::cpu::CpuBackend,
    data::{Domain, Mapping, open_domain},
    eval::{AblationAt, AblationMode, EvalConfig, Intervention, Sharing, evaluate},
    model::{Decoder, load_model},
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

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let model = silently(|ctx| load_model(&fixture("tiny-llama"), ctx)).expect("model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(2))))
});

fn session(domain: &Domain, keep: impl Fn(usize) -> bool) -> EvalSession {
    let items: Vec<_> = domain.items.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, item)| item.clone()).collect();
    silently(|ctx| EvalSession::new(DECODER.clone(), &domain.name, domain.kind, &items, SessionLimits::default(), ctx)).expect("session")
}

fn spec(unit: SweepUnit, layers: Option<(usize, usize)>) -> SweepSpec {
    SweepSpec { unit, layers, mode: AblationMode::Zero, at: AblationAt::All }
}

fn change(spec: &SweepSpec, id: UnitId) -> Intervention {
    let (neurons, heads) = spec.places(&DECODER.model.spec, id);
    Intervention::new(neurons, heads, spec.mode.clone())
}

/// Measures what `known` does not hold, into `folder`; stops after `chunks` appends.
fn sweep_into(folder: &Path, session: &EvalSession, spec: &SweepSpec, chunks: usize) -> Sweep {
    let model = &DECODER.model.spec;
    let baseline = Totals::of(&silently(|ctx| session.evaluate(None, ctx, &mut |_| {})).expect("baseline"));
    let provenance = Provenance { model_sha256: "m".into(), ..Provenance::default() };
    let header = SweepHeader::new(spec.clone(), "d", (model.n_layers, spec.unit.per_layer(model)), "i", baseline, provenance);
    let (mut file, header, known) = SweepFile::open(folder, &header).expect("file");
    let mut state = Sweep::new(spec.clone(), "d", model, baseline, header.provenance).expect("sweep");
    known.iter().for_each(|&(id, t)| state.set(id, t));
    let open: Vec<UnitId> = spec.units(model).expect("units").into_iter().filter(|&id| state.get(id).is_none()).collect();
    let cancel = CancelToken::default();
    let mut left = chunks;
    let ended = sweep::run(session, &open, &|id| Ok(change(spec, id)), &Ctx::new(&cancel, &|_| {}), &mut |rows| {
        file.append(rows)?;
        rows.iter().for_each(|&(id, t)| state.set(id, t));
        left -= 1;
        if left == 0 {
            cancel.cancel();
        }
        Ok(())
    });
    assert!(ended.is_ok() || ended.is_err_and(|e| e.is_cancelled()));
    state
}

#[test]
fn every_unit_of_a_sweep_is_its_own_evaluation() {
    let d = domain("eval_choices.jsonl");
    let session = session(&d, |_| true);
    for (unit, layers) in [(SweepUnit::Neuron, Some((1, 2))), (SweepUnit::Head, None), (SweepUnit::Layer, None)] {
        let dir = tempfile::tempdir().expect("folder");
        let spec = spec(unit, layers);
        let state = sweep_into(dir.path(), &session, &spec, usize::MAX);
        assert_eq!(state.done(), state.total, "{unit}");
        let plain = EvalConfig { share: Sharing::Nothing, ..EvalConfig::default() };
        for id in spec.units(&DECODER.model.spec).expect("units").into_iter().step_by(7) {
            let score = silently(|ctx| evaluate(&DECODER, &d, &plain, Some(&change(&spec, id)), ctx, &mut |_| {})).expect("score");
            let (ours, full) = (state.get(id).expect("measured"), Totals::of(&score));
            assert_eq!((ours.n, ours.correct), (full.n, full.correct), "{unit} {id:?}");
            for measure in [SweepMeasure::Loss, SweepMeasure::Margin] {
                // A rank-k correction rounds otherwise: within 1e-5, as the exactness test holds it to.
                let (a, b) = (ours.get(measure).expect("value"), full.get(measure).expect("value"));
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{unit} {id:?} {measure:?}: {a}, full {b}");
            }
        }
        // The map is the change, and holds nothing where nothing was measured.
        let grid = state.grid(SweepMeasure::Loss);
        assert_eq!((grid.rows(), grid.cols()), (3, state.width));
        assert_eq!(grid.row(0).iter().all(|v| v.is_nan()), layers.is_some());
        let id = UnitId { layer: 2, index: 0 };
        let expected = state.get(id).expect("measured").loss.expect("loss") - state.baseline.loss.expect("loss");
        assert!((f64::from(grid.get(2, 0).expect("cell")) - expected).abs() < 1e-6);
    }
}

#[test]
fn a_sweep_that_was_stopped_goes_on_to_the_same_numbers() {
    let d = domain("eval_contexts.jsonl");
    let spec = spec(SweepUnit::Neuron, None);
    let whole = tempfile::tempdir().expect("folder");
    let uninterrupted = sweep_into(whole.path(), &session(&d, |_| true), &spec, usize::MAX);
    let parts = tempfile::tempdir().expect("folder");
    let first = sweep_into(parts.path(), &session(&d, |_| true), &spec, 2);
    assert!(first.done() > 0 && first.done() < first.total, "{} of {}", first.done(), first.total);
    // As a kill leaves it: half a line.
    let path = parts.path().join(sweep_file::SWEEP_FILE);
    let bytes = std::fs::read(&path).expect("file");
    std::fs::write(&path, &bytes[..bytes.len() - 5]).expect("cut");
    let resumed = sweep_into(parts.path(), &session(&d, |_| true), &spec, usize::MAX);
    assert_eq!(resumed.effects, uninterrupted.effects);
    let rows = |folder: &Path| {
        let mut rows = sweep_file::read(folder).expect("read").1;
        rows.sort_by_key(|r| r.0);
        rows
    };
    assert_eq!(rows(parts.path()), rows(whole.path()));
}

#[test]
fn a_curve_holds_every_point_with_its_controls() {
    let sessions = ["eval_choices.jsonl", "eval_texts.txt"].map(|n| Arc::new(session(&domain(n), |_| true)));
    let mut rng = Rng::new(1);
    let map = Grid::new(3, 88, (0..264).map(|_| rng.unit() as f32).collect::<Vec<_>>()).expect("map");
    let zero = |set: NeuronSet| Ok(Intervention::new(set, BTreeSet::new(), AblationMode::Zero));
    let control = |set: &NeuronSet, seed: u64| set.random_like(88, seed);
    let mut points = Vec::new();
    let top = |percent| NeuronSet::top_percent(&map, percent);
    silently(|ctx| {
        against_k::run(&sessions, &top, &[1.0, 20.0, 100.0], &[0, 1], &zero, &control, ctx, &mut |p| {
            points.push(p);
            Ok(())
        })
    })
    .expect("curve");
    assert_eq!(points.iter().map(|p| p.neurons).collect::<Vec<_>>(), [3, 53, 264]);
    let set = NeuronSet::top_percent(&map, 20.0);
    for (d, session) in sessions.iter().enumerate() {
        let alone = |set: NeuronSet| {
            Totals::of(&silently(|ctx| session.evaluate(Some(&zero(set).expect("change")), ctx, &mut |_| {})).expect("score"))
        };
        assert_eq!(points[1].scores[d], alone(set.clone()));
        assert_eq!(points[1].controls[1][d], alone(control(&set, 1)));
        // All neurons off is one set, whoever draws it.
        assert_eq!(points[2].controls[0][d], points[2].scores[d]);
    }
}

#[test]
fn a_search_only_keeps_what_breaks_the_domain() {
    let halves = |name: &str| {
        let d = domain(name);
        Halves { search: Arc::new(session(&d, |i| i % 2 == 0)), judge: Arc::new(session(&d, |i| i % 2 == 1)) }
    };
    let (target, others) = (halves("eval_choices.jsonl"), [halves("eval_contexts.jsonl")]);
    let before = silently(|ctx| target.search.evaluate(None, ctx, &mut |_| {})).expect("score").acc().expect("accuracy");
    let candidates: Vec<Neuron> = (0..3).flat_map(|l| (0..20).map(move |i| Neuron::new(l, i))).collect();
    // Times 5, for a model of random weights hardly notices a zero.
    let amplify = |set: NeuronSet| Ok(Intervention::new(set, BTreeSet::new(), AblationMode::Scale(5.0)));
    let control = |set: &NeuronSet, seed: u64| set.random_like(88, seed);
    let mut rounds: Vec<BreakBegun> = Vec::new();
    let from = |begun: Option<BreakBegun>, rule: Rule, rounds: &mut Vec<BreakBegun>| {
        silently(|ctx| {
            let source = ("these".to_owned(), Provenance::default());
            break_domain::run(&target, &others, &candidates, rule, &[0], &amplify, &control, source, begun, ctx, &mut |now| {
                rounds.push(now.clone());
                Ok(())
            })
        })
    };
    let mut search = |rule: Rule| from(None, rule, &mut rounds);
    let rule = Rule { threshold: Some(before - 0.01), penalty: 0.5, most: 30, tried: 8 };
    let broken = search(rule).expect("search");
    assert!(broken.reached, "{broken:?}");
    assert!(broken.accuracy_after.expect("accuracy") <= broken.threshold);
    assert!(!broken.set.is_empty() && broken.set.len() <= broken.steps.len());
    assert!(broken.steps.windows(2).all(|w| w[1].merit > w[0].merit), "each round adds merit: {:?}", broken.steps);
    assert_eq!(broken.judged.iter().map(|j| j.domain.as_str()).collect::<Vec<_>>(), ["eval_choices.jsonl", "eval_contexts.jsonl"]);
    // The set alone gives the accuracy that is told.
    let alone =
        silently(|ctx| target.search.evaluate(Some(&amplify(broken.set.clone()).expect("change")), ctx, &mut |_| {})).expect("score");
    assert_eq!(alone.acc(), broken.accuracy_after);
    assert_eq!(search(rule).expect("again"), broken, "the search is decided by its inputs");
    let e = search(Rule { threshold: Some(0.99), ..rule }).expect_err("nothing to break").to_string();
    assert!(e.contains("nothing to break"), "{e}");
    let ended = |told: &[BreakBegun]| told.iter().filter(|now| now.tried.is_empty()).count();
    assert_eq!(ended(&rounds), 2 * broken.steps.len());
    // From wherever it stood, as that lies in a file, it comes to the same end, and tries only what is left.
    let whole = &rounds[..rounds.len() / 2];
    assert!(whole[0].steps.is_empty() && whole[0].tried.len() == rule.tried, "the first round is told of on the way");
    for (i, begun) in whole.iter().enumerate() {
        let text = serde_json::to_string(begun).expect("json");
        let mut left = Vec::new();
        let resumed = from(Some(serde_json::from_str(&text).expect("json")), rule, &mut left).expect("search");
        assert_eq!((&resumed, left.as_slice()), (&broken, &whole[i + 1..]));
    }
}

/// The spread of random sets says when a set is no more than random: over many sets that are chosen at random, the interval of the difference (set
/// minus controls) covers zero in about 95 of 100 cases. Losses of sets on one domain are near enough to normal for Student's t.
#[test]
fn an_interval_against_controls_covers_zero_for_random_sets() {
    let d = domain("eval_choices.jsonl");
    let session = session(&d, |_| true);
    let model = NeuronSet::parse("L0N0-9,L1N0-9,L2N0-9").expect("set");
    // 1200 random sets in 200 groups of six: each group one case.
    let sets: Vec<Intervention> =
        (0..1200).map(|seed| Intervention::new(model.random_like(88, seed), BTreeSet::new(), AblationMode::Zero)).collect();
    let scores = silently(|ctx| session.evaluate_many(&sets, ctx, &mut |_| {})).expect("scores");
    let losses: Vec<f64> = scores.iter().filter_map(|s| s.loss()).collect();
    let covered = losses
        .chunks_exact(6)
        .filter(|six| {
            let difference = brodmann::ablate::paired::beyond_controls(six[0], &six[1..], d.items.len()).expect("difference");
            difference.low <= 0.0 && 0.0 <= difference.high
        })
        .count();
    // 200 cases of 95 %: 190, standard deviation 3.1; three of them either way.
    assert!((180..=199).contains(&covered), "{covered} of 200");
}
