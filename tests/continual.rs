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
    let tune::Examples { sequences, .. } =
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

/// Every file below the folder, byte for byte; of the one that says what is finished, without how long each training took.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn below(at: &Path, found: &mut Vec<std::path::PathBuf>) {
        for path in std::fs::read_dir(at).expect("folder").map(|e| e.expect("entry").path()) {
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(folder, &mut found);
    let named = |path: std::path::PathBuf| {
        let (name, mut bytes) = (path.strip_prefix(folder).expect("below").display().to_string(), std::fs::read(&path).expect("file"));
        if name.ends_with(".json") {
            let mut state: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            let trainings = if state["units"].is_array() { "units" } else { "lessons" };
            state[trainings].as_array_mut().expect("trainings").iter_mut().for_each(|t| t["seconds"] = 0.into());
            bytes = serde_json::to_vec_pretty(&state).expect("JSON");
        }
        (name, bytes)
    };
    found.into_iter().map(named).collect()
}

#[test]
fn a_folder_that_is_asked_for_more_learns_what_is_new_and_ends_with_the_bytes_of_the_larger_plan() {
    use Method::{Ncft, Random, Sequential, Wncft};
    let (whole, grown) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let decoder = decoder(2);
    let asked = |methods: &[Method], seeds: &[u64]| ContinualConfig {
        methods: methods.iter().copied().collect(),
        seeds: seeds.to_vec(),
        // The rate of a method that comes later may be said then.
        rates: methods.contains(&Sequential).then_some((Sequential, 3e-3)).into_iter().collect(),
        ..config()
    };
    let all = [Sequential, Random, Ncft, Wncft];
    silently(|ctx| run(&decoder, &plan(whole.path(), asked(&all, &[5, 3])), ctx, &mut |_| {})).expect("ends");
    // One method and one seed, finished.
    let first = silently(|ctx| run(&decoder, &plan(grown.path(), asked(&[Ncft], &[3])), ctx, &mut |_| {})).expect("ends");
    assert!(first.finished && first.lessons.len() == 2);
    let small = files(grown.path());
    // More of both, stopped in the middle of a lesson.
    let cancel = CancelToken::default();
    let mut stop = |p: LessonPoint| {
        assert!((p.method, p.seed) != (Ncft, 3), "what was learnt is learnt again");
        if (p.method, p.seed, p.task, p.point.step) == (Ncft, 5, 1, 3) {
            cancel.cancel();
        }
    };
    let more = plan(grown.path(), asked(&[Sequential, Ncft, Wncft], &[5, 3]));
    let ended = run(&decoder, &more, &Ctx::new(&cancel, &|_| {}), &mut stop);
    assert!(ended.is_err_and(|e| e.is_cancelled()));
    let half = ContinualState::read(grown.path()).expect("state");
    assert!(!half.finished && half.lessons.len() == 5 && half.runs.len() == 6, "{:?}", half.lessons);
    // What fills stands in the new plan's order, with all that was known.
    assert_eq!(half.run(Ncft, 3), first.run(Ncft, 3));
    assert!(half.measures(Ncft, 3).is_some() && half.measures(Ncft, 5).is_none());
    // And more still, of a half-finished one.
    let mut trained = BTreeSet::new();
    let mut hear = |p: LessonPoint| {
        trained.insert((p.method, p.seed, p.task));
    };
    let state = silently(|ctx| run(&decoder, &plan(grown.path(), asked(&all, &[5, 3])), ctx, &mut hear)).expect("ends");
    assert!(state.finished && state.runs.len() == 8 && state.lessons.len() == 12);
    assert_eq!(
        trained,
        BTreeSet::from([
            (Ncft, 5, 1),
            (Sequential, 3, 0),
            (Sequential, 3, 1),
            (Random, 3, 0),
            (Random, 3, 1),
            (Random, 5, 0),
            (Random, 5, 1)
        ])
    );
    let (whole, grown_files) = (files(whole.path()), files(grown.path()));
    assert_eq!(grown_files.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(grown_files[name] == *bytes, "{name} is another");
    }
    // A part of it is told without a step, as if it had been learnt by itself; nothing is written.
    let told =
        silently(|ctx| run(&decoder, &plan(grown.path(), asked(&[Ncft], &[3])), ctx, &mut |_| panic!("nothing is new"))).expect("told");
    assert_eq!(told, first, "even how long it took");
    assert!(files(grown.path()) == grown_files);
    // The lessons that were there first lie there untouched.
    assert!(small.iter().filter(|(name, _)| name.contains("ncft-seed3/")).all(|(name, bytes)| grown_files[name] == *bytes));
    // The order of the seeds is how they are told and costs nothing.
    let turned =
        silently(|ctx| run(&decoder, &plan(grown.path(), asked(&all, &[3, 5])), ctx, &mut |_| panic!("nothing is new"))).expect("ends");
    assert!(turned.finished && turned.runs[0].seed == 3 && turned.lessons[0].seed == 3);
}

#[test]
fn what_was_learnt_names_the_request_that_the_folder_holds() {
    let folder = tempfile::tempdir().expect("folder");
    let decoder = decoder(2);
    let asked = |seeds: &[u64], command: &str| ContinualPlan {
        config: ContinualConfig { methods: [Method::Ncft].into(), seeds: seeds.to_vec(), ..config() },
        provenance: Provenance { command: command.into(), created: format!("as {command} ran"), ..Provenance::default() },
        ..plan(folder.path(), config())
    };
    let go = |plan: &ContinualPlan| silently(|ctx| run(&decoder, plan, ctx, &mut |_| {})).expect("ends");
    go(&asked(&[3], "the small one"));
    let file = |seed: u64, task: usize| folder.path().join(format!("ncft-seed{seed}/task{task}.safetensors"));
    let before = Overlay::load(&file(3, 2)).expect("overlay");
    assert_eq!(before.provenance.command, "the small one");
    let state = go(&asked(&[3, 5], "the large one"));
    for (seed, task) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
        assert_eq!(Overlay::read_provenance(&file(seed, task)).expect("header").command, "the large one");
    }
    let after = Overlay::load(&file(3, 2)).expect("overlay");
    assert_eq!(
        (after.digest(), after.provenance.created.as_str()),
        (before.digest(), "as the small one ran"),
        "its values and its day stay"
    );
    assert!(state.lesson(Method::Ncft, 3, 1).is_some_and(|l| l.values_sha256 == after.digest()));
    // A part that is told renames nothing.
    go(&asked(&[3], "the small one"));
    assert_eq!(Overlay::read_provenance(&file(3, 2)).expect("header").command, "the large one");
}

#[test]
fn a_folder_refuses_what_is_neither_more_nor_a_part_and_whatever_else_changed_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let decoder = decoder(2);
    let usual = || ContinualConfig { methods: [Method::Ncft, Method::Sequential].into(), seeds: vec![3, 5], ..config() };
    // Half-finished is enough: one lesson.
    let cancel = CancelToken::default();
    let mut stop = |p: LessonPoint| {
        if p.task == 1 {
            cancel.cancel();
        }
    };
    let made = ContinualPlan { provenance: Provenance { dtype: "f32".into(), ..Provenance::default() }, ..plan(folder.path(), usual()) };
    assert!(run(&decoder, &made, &Ctx::new(&cancel, &|_| {}), &mut stop).is_err_and(|e| e.is_cancelled()));
    let before = files(folder.path());
    let refused = |decoder: &Decoder, change: &dyn Fn(&mut ContinualPlan), words: &[&str]| {
        let mut plan = ContinualPlan { provenance: made.provenance.clone(), ..plan(folder.path(), usual()) };
        // More of everything that may grow: alone it would be let in.
        plan.config.seeds.push(9);
        plan.config.methods.insert(Method::Single);
        change(&mut plan);
        let error = silently(|ctx| run(decoder, &plan, ctx, &mut |_| panic!("it trains"))).expect_err("refused").to_string();
        assert!(words.iter().all(|w| error.contains(w)) && error.contains("another folder"), "{words:?}: {error}");
        assert!(files(folder.path()) == before, "{words:?} touched the folder");
    };
    let other = "another sequence";
    refused(&decoder, &|p| p.config.seeds = vec![5], &["lacks what is", "seeds 3, 5", "asked for is 5", "methods", "stays as it is"]);
    refused(&decoder, &|p| p.config.seeds = vec![3, 9], &["lacks what is", "asked for is 3, 9"]);
    refused(&decoder, &|p| p.config.methods = [Method::Ncft].into(), &["lacks what is", "methods sequential, ncft", "asked for is ncft"]);
    refused(&decoder, &|p| p.tasks.reverse(), &[other, "it has logic, sentiment, asked for is sentiment, logic"]);
    refused(&decoder, &|p| p.others.clear(), &[other, "judged only"]);
    refused(&decoder, &|p| p.config.percent = 5.0, &[other, "percent: it has 10.0, asked for is 5.0"]);
    refused(&decoder, &|p| p.config.tune.batch = 8, &[other, "tune.batch: it has 4, asked for is 8"]);
    refused(
        &decoder,
        &|p| p.config.rates = [(Method::Ncft, 2e-2)].into(),
        &[other, "learning rate of ncft: it has 0.01, asked for is 0.02"],
    );
    refused(&decoder, &|p| p.provenance.dtype = "bf16".into(), &[other, "the arithmetic: it has f32, asked for is bf16"]);
    // As many rows, one of them with another answer.
    let edit = |p: &mut ContinualPlan| {
        let train = Arc::make_mut(&mut p.tasks[0].train);
        let item = &mut train.items[0];
        item.gold = item.gold.map(|g| (g + 1) % item.choices.len());
    };
    refused(&decoder, &edit, &[other, "the text of the tasks' rows"]);
    let files = (model_files::CONFIG, model_files::TOKENIZER, model_files::WEIGHTS);
    let mut model = silently(|ctx| load_embedded("demo", files.0, files.1, files.2, ctx)).expect("the demo model");
    model.info.sha256 = "another".into();
    let of_another = Decoder::new(Arc::new(model), decoder.backend.clone());
    refused(&of_another, &|p| p.provenance.model_sha256 = "another".into(), &[other, "the model", "(another)"]);
    // A part goes on as far as it is asked for: one lesson was learnt, one is left.
    let trained = std::cell::RefCell::new(BTreeSet::new());
    let mut hear = |p: LessonPoint| {
        trained.borrow_mut().insert((p.method, p.seed, p.task));
    };
    let few = ContinualPlan {
        config: ContinualConfig { methods: [Method::Sequential].into(), seeds: vec![3], ..config() },
        provenance: Provenance { command: "the part".into(), ..made.provenance.clone() },
        ..plan(folder.path(), usual())
    };
    let part = silently(|ctx| run(&decoder, &few, ctx, &mut hear)).expect("ends");
    assert!(part.finished && part.runs.len() == 1 && part.lessons.len() == 2 && part.provenance.command == "the part");
    assert!(trained.borrow().iter().all(|t| (t.0, t.1) == (Method::Sequential, 3)), "{trained:?}");
    let kept = ContinualState::read(folder.path()).expect("state");
    assert!(!kept.finished && kept.config == made.config && kept.provenance == made.provenance);
    // The same plan with no change goes on.
    let state = silently(|ctx| run(&decoder, &made, ctx, &mut |_| {})).expect("ends");
    assert!(state.finished);
}

#[test]
fn a_study_of_transfer_that_is_asked_for_more_ends_with_the_bytes_of_the_larger_one() {
    let (whole, grown) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let decoder = decoder(2);
    let study = |folder: &Path, seeds: &[u64], percents: &[f64]| TransferPlan {
        tasks: ["logic", "sentiment"].map(rows).to_vec(),
        config: TransferConfig {
            percents: percents.to_vec(),
            seeds: seeds.to_vec(),
            relevance_samples: 8,
            tune: config().tune,
            ..TransferConfig::default()
        },
        folder: folder.to_owned(),
        provenance: Provenance::default(),
    };
    let go = |plan: &TransferPlan| silently(|ctx| transfer::run(&decoder, plan, &mut |_| {}, ctx));
    go(&study(whole.path(), &[2, 1], &[2.0, 10.0, 30.0])).expect("ends");
    let small = go(&study(grown.path(), &[1], &[30.0])).expect("ends");
    assert!(small.finished && small.units.len() == 4);
    // More seeds, stopped in its second training; then more shares.
    let cancel = CancelToken::default();
    let report = |p: brodmann::base::Progress| {
        if p.done == STEPS as u64 + 3 {
            cancel.cancel();
        }
    };
    let ended = transfer::run(&decoder, &study(grown.path(), &[2, 1], &[30.0]), &mut |_| {}, &Ctx::new(&cancel, &report));
    assert!(ended.is_err_and(|e| e.is_cancelled()));
    let state = go(&study(grown.path(), &[2, 1], &[30.0, 2.0])).expect("ends");
    assert!(state.finished && state.units.len() == 12);
    let seconds = |s: &brodmann::task::TransferState, seed, percent, task| s.unit(seed, percent, task).map(|u| u.seconds);
    for (percent, task) in [(10.0, 0), (10.0, 1), (30.0, 0), (30.0, 1)] {
        assert_eq!(seconds(&state, 1, percent, task), seconds(&small, 1, percent, task), "it was trained again");
    }
    // The list of shares is how it is typed; what is done is the same.
    let state = go(&study(grown.path(), &[2, 1], &[2.0, 10.0, 30.0])).expect("ends");
    assert_eq!((state.proportions().len(), state.pairs().len()), (3, 2));
    assert!(files(grown.path()) == files(whole.path()));
    let before = files(grown.path());
    let told = silently(|ctx| transfer::run(&decoder, &study(grown.path(), &[1], &[30.0]), &mut |_| {}, ctx)).expect("told");
    assert_eq!(told, small, "a part of it, even how long it took");
    assert!(files(grown.path()) == before);
    for (plan, words) in [
        (study(grown.path(), &[1, 3], &[2.0, 30.0]), "lacks what is: it has seeds 2, 1, asked for is 1, 3"),
        (study(grown.path(), &[1, 2, 3], &[30.0, 40.0]), "it has shares 10, 2, 30, asked for is 10, 30, 40"),
        (
            TransferPlan { tasks: ["sentiment", "logic"].map(rows).to_vec(), ..study(grown.path(), &[1, 2, 3], &[2.0, 30.0]) },
            "another study: the tasks in their order: it has logic, sentiment, asked for is sentiment, logic",
        ),
    ] {
        assert!(go(&plan).is_err_and(|e| e.to_string().contains(words)), "{words}");
        assert!(files(grown.path()) == before, "{words}");
    }
}

#[test]
fn rows_that_do_not_fit_are_counted_in_every_part_and_told() {
    let decoder = decoder(1);
    let task = rows("facts");
    let counts = |longest| silently(|ctx| task.counts(&decoder.model, longest, ctx)).expect("counts");
    let whole = counts(512);
    assert_eq!((whole.train, whole.validation, whole.test, whole.cut, whole.cut_words().as_str()), (24, 8, 8, 0, ""));
    let none = counts(2);
    assert_eq!((none.cut, none.cut_words().as_str()), (40, ", 40 of them cut"));
    // One that is judged only has no other parts.
    let judged = silently(|ctx| task.judged(&decoder.model, 2, ctx)).expect("counts");
    assert_eq!((judged.train, judged.test, judged.cut), (0, 8, 8));
    // Rows are as long as they are: the count falls as more of them fit.
    let some: Vec<usize> = (2..40).map(|longest| counts(longest).cut).collect();
    assert!(some.is_sorted_by(|a, b| a >= b) && some.iter().any(|n| (1..40).contains(n)), "{some:?}");
}
