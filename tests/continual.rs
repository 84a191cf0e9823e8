//! A sequence of tasks on the demo model: what trains, what is weighted, and that a stopped sequence goes on to the bytes of an unbroken one.

use brodmann::{
    base::{CancelToken, Ctx, NeuronSet, job::silently, provenance::Provenance},
    compute::cpu::CpuBackend,
    data::{
        Domain,
        demo::{self, Split, model_files},
    },
    model::{Decoder, Matrix, Model, Role, load_embedded},
    task::{
        ContinualConfig, ContinualPlan, ContinualState, Method, TaskRows, TransferConfig, TransferPlan,
        continual::{self, LessonPoint, Listeners},
        transfer,
        weighted::{Update, weighted},
    },
    tune::{self, Evaluated, Learn, LoraConfig, Overlay, Target, Trained, TuneConfig},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

fn decoder(threads: usize) -> Decoder {
    let files = (model_files::CONFIG, model_files::TOKENIZER, model_files::WEIGHTS);
    let model = silently(|ctx| load_embedded("demo", files.0, files.1, files.2, ctx)).expect("the demo model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(threads))))
}

/// A task that the demo model does not know: the choice after the right one is right.
fn rows(name: &str) -> TaskRows {
    let part = |split, n: usize| {
        let mut domain: Domain = demo::domain(name, split).expect("demo");
        domain.items.truncate(n);
        for item in &mut domain.items {
            item.gold = item.gold.map(|g| (g + 1) % item.choices.len());
        }
        Arc::new(domain)
    };
    let (train, validation, test) = (part(Split::Train, 24), part(Split::Validation, 8), part(Split::Test, 8));
    TaskRows { name: name.into(), train, validation, test, words: "the demo's splits".into() }
}

const STEPS: usize = 5;

fn config() -> ContinualConfig {
    ContinualConfig {
        seeds: vec![3],
        relevance_samples: 8,
        feature_items: 8,
        tune: TuneConfig { steps: STEPS, batch: 4, learning_rate: 1e-2, evaluate_every: 2, checkpoint_every: 2, ..TuneConfig::default() },
        ..ContinualConfig::default()
    }
}

fn plan(folder: &Path, config: ContinualConfig) -> ContinualPlan {
    let tasks = ["logic", "sentiment"].map(rows).to_vec();
    ContinualPlan { tasks, others: vec![rows("facts")], config, folder: folder.to_owned(), provenance: Provenance::default() }
}

fn run(
    decoder: &Decoder,
    plan: &ContinualPlan,
    ctx: &Ctx<'_>,
    point: &mut dyn FnMut(LessonPoint),
) -> brodmann::base::Result<ContinualState> {
    continual::run(decoder, plan, &mut Listeners { state: &mut |_| {}, point }, ctx)
}

/// Every file of values below the folder, without provenance.
fn values(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in std::fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path()).filter(|p| p.is_dir()) {
        for file in std::fs::read_dir(&line).expect("folder").map(|e| e.expect("entry").path()) {
            let name = file.strip_prefix(folder).expect("below").display().to_string();
            found.insert(name, Overlay::load(&file).expect("overlay").digest());
        }
    }
    found
}

#[test]
fn a_sequence_that_is_stopped_in_every_lesson_ends_with_the_bytes_of_an_unbroken_one() {
    let (whole, broken) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let unbroken = silently(|ctx| run(&decoder(2), &plan(whole.path(), config()), ctx, &mut |_| {})).expect("ends");
    assert!(unbroken.finished && unbroken.runs.len() == 6);
    assert!(unbroken.runs.iter().all(|r| r.cells.iter().flatten().all(Option::is_some)));
    // Stopped after the third step of each lesson, between two evaluations and after a checkpoint; gone on with by one thread.
    let single = decoder(1);
    let (mut stops, mut stopped) = (0, BTreeSet::new());
    let resumed = loop {
        let cancel = CancelToken::default();
        let ctx = Ctx::new(&cancel, &|_| {});
        let mut point = |p: LessonPoint| {
            // A lesson that goes on tells its old points again.
            if p.point.step == 3 && stopped.insert((p.method, p.task)) {
                cancel.cancel();
            }
        };
        match run(&single, &plan(broken.path(), config()), &ctx, &mut point) {
            Ok(state) => break state,
            Err(e) => assert!(e.is_cancelled(), "{e}"),
        }
        stops += 1;
        assert!(stops <= 40, "it never ends");
    };
    // Five trainings of two tasks, and most of them learnt something.
    assert!(unbroken.lessons.iter().filter(|l| l.best_step > 0).count() >= 5, "{:?}", unbroken.lessons);
    assert_eq!(stops, 10);
    assert_eq!(resumed.runs, unbroken.runs);
    assert_eq!((&resumed.before, &resumed.cosines), (&unbroken.before, &unbroken.cosines));
    let digests =
        |s: &ContinualState| s.lessons.iter().map(|l| (l.method, l.task, l.best_step, l.values_sha256.clone())).collect::<Vec<_>>();
    assert_eq!(digests(&resumed), digests(&unbroken));
    assert_eq!(values(broken.path()), values(whole.path()));
    // Asked for again it is there at once, from the file.
    let again =
        silently(|ctx| run(&single, &plan(broken.path(), config()), ctx, &mut |_| panic!("nothing is left to train"))).expect("ends");
    assert_eq!(again.runs, resumed.runs);
    let other = ContinualConfig { percent: 5.0, ..config() };
    let refused = silently(|ctx| run(&single, &plan(broken.path(), other), ctx, &mut |_| {}));
    assert!(refused.is_err_and(|e| e.to_string().contains("another sequence")));
}

#[test]
fn ncft_touches_the_tasks_neurons_alone_and_w_ncft_is_a_weighted_sum_of_its_updates() {
    let folder = tempfile::tempdir().expect("folder");
    let decoder = decoder(2);
    let settings = ContinualConfig { methods: [Method::Ncft, Method::Wncft].into(), ..config() };
    let state = silently(|ctx| run(&decoder, &plan(folder.path(), settings), ctx, &mut |_| {})).expect("ends");
    let (base, backend) = (&decoder.model, &decoder.backend);
    let load = |i: usize| Overlay::load(&folder.path().join(format!("ncft-seed3/task{i}.safetensors"))).expect("overlay");
    let (first, second) = (load(1), load(2));
    let after1 = first.apply(base, backend).expect("of the base");
    assert!(second.apply(base, backend).is_err(), "the second update lies on the first");
    let after2 = second.apply(&after1, backend).expect("of the first");
    let set = |o: &Overlay| match &o.target {
        Target::Neurons(set) => set.clone(),
        other => panic!("{other:?}"),
    };
    let (s1, s2): (NeuronSet, NeuronSet) = (set(&first), set(&second));
    // 10 % of 8 x 384.
    assert_eq!((s1.len(), s2.len()), (307, 307));
    let union = s1.union(&s2);
    let mut changed = 0;
    for role in base.spec.roles() {
        let (old, new) = (base.weights.get(role).expect("weight"), after2.weights.get(role).expect("weight"));
        let width = *old.shape.last().expect("shape");
        for (i, (a, b)) in old.iter().zip(new.iter()).enumerate() {
            let (row, column) = (i / width, i % width);
            let inside = match role {
                Role::Weight(l, Matrix::Gate | Matrix::Up) => union.layer(l).any(|n| n == row),
                Role::Weight(l, Matrix::Down) => union.layer(l).any(|n| n == column),
                _ => false,
            };
            assert!(inside || a.to_bits() == b.to_bits(), "{role} {i} is of no task's neuron and changed");
            changed += usize::from(a.to_bits() != b.to_bits());
        }
    }
    assert!(changed > 300 * 3 * 96 / 2, "{changed}");
    let update =
        |set: &NeuronSet, before, after| Update::between(Trained::neurons(&base.spec, set).expect("fits"), before, after).expect("fits");
    let updates = [update(&s1, &base.weights, &after1.weights), update(&s2, &after1.weights, &after2.weights)];
    // All of both is the sequence itself, up to the rounding of a difference that is added again.
    let all = weighted(base, &updates, &[1.0, 1.0]).expect("fits");
    for role in base.spec.roles() {
        let (a, b) = (all.weights.get(role).expect("weight"), after2.weights.get(role).expect("weight"));
        assert!(a.iter().zip(b.iter()).all(|(a, b)| (a - b).abs() < 1e-6), "{role}");
    }
    // The weights of every column sum to 1; with one task learnt there is one, so that the first rows agree.
    for j in 0..state.columns() {
        assert!((state.weights(j, 2).expect("weights").iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(state.weights(j, 1), Some(vec![1.0]));
    }
    let first_row = |m| state.run(m, 3).expect("run").cells[0].iter().map(|c| c.expect("scored").correct).collect::<Vec<_>>();
    assert_eq!(first_row(Method::Ncft), first_row(Method::Wncft));
    // A task's own questions are the likest to its training questions.
    assert!(state.cosines[0][0] > state.cosines[0][1] && state.cosines[1][1] > state.cosines[1][0], "{:?}", state.cosines);
}

#[test]
fn adapters_go_on_from_where_an_earlier_task_left_them() {
    let decoder = decoder(2);
    let (base, backend) = (&decoder.model, &decoder.backend);
    let task = rows("logic");
    let (sequences, _) =
        silently(|ctx| tune::examples(&task.train, &task.train.items, &base.tokenizer, Learn::Answer, 256, ctx)).expect("rows");
    let config = |steps, target| TuneConfig { steps, target, evaluate_every: 0, warmup: 0.0, ..config().tune };
    let lora = || Target::Lora(LoraConfig::default());
    // The later the better, so that the last step's values are kept.
    let go = |model: &Model, start: Option<&[(String, Vec<f32>)]>, config: &TuneConfig| {
        let mut score = 0.0;
        let mut evaluate = |_: &Decoder, _: &Ctx<'_>| {
            score += 1.0;
            Ok(Evaluated { score, ..Evaluated::default() })
        };
        silently(|ctx| tune::tune_from(model, start, backend.clone(), &sequences, config, None, &mut evaluate, &mut |_| {}, ctx))
    };
    let first = go(base, None, &config(4, lora())).expect("trains");
    assert_eq!(first.best_step, 4);
    let on = go(base, Some(&first.values), &config(1, lora())).expect("goes on");
    // Adapters that begin anew on the tuned model compute what the old ones do: the loss of the first step is the same, of the base it is another.
    let loss = |t: &tune::Tuned| t.points[1].loss.expect("a step's loss");
    let (merged, afresh) =
        (go(&first.model, None, &config(1, lora())).expect("trains"), go(base, None, &config(1, lora())).expect("trains"));
    assert!((loss(&on) - loss(&merged)).abs() < 1e-6 * loss(&merged), "{} {}", loss(&on), loss(&merged));
    assert!((loss(&on) - loss(&afresh)).abs() > 1e-3, "{} {}", loss(&on), loss(&afresh));
    assert!(go(base, Some(&first.values), &config(1, Target::All)).is_err_and(|e| e.to_string().contains("another target")));
}

#[test]
fn a_study_of_transfer_that_is_stopped_goes_on_to_the_same_numbers() {
    let (whole, broken) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let study = |folder: &Path| TransferPlan {
        tasks: ["logic", "sentiment", "facts"].map(rows).to_vec(),
        config: TransferConfig {
            percents: vec![2.0],
            seeds: vec![1],
            relevance_samples: 8,
            tune: config().tune,
            ..TransferConfig::default()
        },
        folder: folder.to_owned(),
        provenance: Provenance::default(),
    };
    let decoder = decoder(2);
    let unbroken = silently(|ctx| transfer::run(&decoder, &study(whole.path()), &mut |_| {}, ctx)).expect("ends");
    assert!(unbroken.finished && unbroken.units.len() == 6);
    let mut stops = 0u64;
    let resumed = loop {
        let cancel = CancelToken::default();
        // In the middle of one training after another.
        let report = |p: brodmann::base::Progress| {
            if stops < 5 && p.done % STEPS as u64 == 3 && p.done / STEPS as u64 >= stops {
                cancel.cancel();
            }
        };
        match transfer::run(&decoder, &study(broken.path()), &mut |_| {}, &Ctx::new(&cancel, &report)) {
            Ok(state) => break state,
            Err(e) => assert!(e.is_cancelled(), "{e}"),
        }
        stops += 1;
    };
    assert_eq!(stops, 5);
    let cells =
        |s: &brodmann::task::TransferState| s.units.iter().map(|u| (u.task, u.cells.clone(), u.similarity.clone())).collect::<Vec<_>>();
    assert_eq!(cells(&resumed), cells(&unbroken));
    assert_eq!(resumed.overlap, unbroken.overlap);
    assert_eq!((resumed.pairs().len(), resumed.proportions().len()), (6, 2));
    let own: Vec<_> = resumed.units.iter().filter(|u| u.percent == 10.0).map(|u| u.similarity[u.task].clone()).collect();
    assert!(own.iter().flatten().flatten().all(|c| (c - 1.0).abs() < 1e-9), "a task is like itself");
    let mut left: Vec<_> = std::fs::read_dir(broken.path()).expect("folder").map(|e| e.expect("entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["lock", "transfer.json"], "nothing else lies about");
}
