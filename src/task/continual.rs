//! Tasks learnt one after another: NCFT and W-NCFT beside sequential full tuning, sequential LoRA, random neurons, and one model a task.
//!
//! Decided, where the paper leaves it open: a task's neurons are those of the model as it stands when the task comes, found on its training rows. A
//! task's update is what its training changed in them. W-NCFT puts, for the questions of a domain, the model together from the base and the updates so
//! far, each weighted by a softmax over cosines of task features ([`super::feature`]); it trains nothing that NCFT does not. Sequential LoRA goes on
//! with the same adapters.

use super::{
    ContinualState, Lesson, Score, TaskRows,
    course::{self, LessonPlan, learn, score, task_neurons, within},
    feature,
    weighted::{Update, weighted},
};
use crate::{
    base::{
        Ctx, Error, NeuronSet, Result, hash,
        provenance::{self, Provenance},
    },
    data::Domain,
    model::{Decoder, Model},
    tune::{LoraConfig, Overlay, Target, Trained, TuneConfig, TunePoint},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a sequence of tasks is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every parameter, task after task.
    Sequential,
    /// The same adapters, task after task.
    #[serde(rename = "lora", alias = "sequential_lora")]
    SequentialLora,
    /// Only the task's neurons.
    Ncft,
    /// NCFT's updates, weighted at test time.
    #[serde(rename = "w-ncft", alias = "wncft")]
    Wncft,
    /// As many random neurons in each layer as NCFT would train.
    Random,
    /// Every parameter, from the base for each task: one model a task.
    Single,
}

impl Method {
    pub const ALL: [Self; 6] = [Self::Sequential, Self::SequentialLora, Self::Random, Self::Ncft, Self::Wncft, Self::Single];

    /// As it is typed and stored.
    pub fn id(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::SequentialLora => "lora",
            Self::Ncft => "ncft",
            Self::Wncft => "w-ncft",
            Self::Random => "random",
            Self::Single => "single",
        }
    }
    pub fn label(self) -> &'static str {
        match self {
            Self::Sequential => "sequential, full",
            Self::SequentialLora => "sequential, LoRA",
            Self::Ncft => "NCFT",
            Self::Wncft => "W-NCFT",
            Self::Random => "random neurons",
            Self::Single => "one model a task",
        }
    }
    /// What it does, for a tooltip.
    pub fn words(self) -> &'static str {
        match self {
            Self::Sequential => "every parameter trains, task after task",
            Self::SequentialLora => "the same low-rank adapters train, task after task",
            Self::Ncft => "only the neurons of the task at hand train; all else stays bit for bit",
            Self::Wncft => "NCFT's updates, each weighted at test time by how alike the questions are to its task's",
            Self::Random => "as many random neurons in each layer as NCFT would train: the control",
            Self::Single => "every parameter trains, from the base for each task; a model for each",
        }
    }
    /// The method whose training it uses.
    pub fn trains(self) -> Self {
        if self == Self::Wncft { Self::Ncft } else { self }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.id() == text)
    }
}

/// Everything that decides what a sequence gives, beside model and rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContinualConfig {
    pub methods: BTreeSet<Method>,
    pub seeds: Vec<u64>,
    /// Share of all neurons that are a task's own.
    pub percent: f64,
    /// Of W-NCFT's softmax.
    pub temperature: f64,
    pub lora: LoraConfig,
    /// Of each task; its target and seed are filled in.
    pub tune: TuneConfig,
    /// Learning rates of methods that have their own.
    pub rates: BTreeMap<Method, f64>,
    /// Training rows whose relevance chooses a task's neurons.
    pub relevance_samples: usize,
    /// Questions whose mean state is a domain's feature.
    pub feature_items: usize,
}

impl Default for ContinualConfig {
    fn default() -> Self {
        Self {
            methods: Method::ALL.into(),
            seeds: vec![0, 1, 2],
            percent: 10.0,
            temperature: 0.05,
            lora: LoraConfig::default(),
            tune: TuneConfig { evaluate_every: 50, patience: 3, ..TuneConfig::default() },
            rates: BTreeMap::new(),
            relevance_samples: 64,
            feature_items: 64,
        }
    }
}

impl ContinualConfig {
    /// Highest learning rate of a method.
    pub fn rate(&self, method: Method) -> f64 {
        self.rates.get(&method.trains()).copied().unwrap_or(self.tune.learning_rate)
    }
    /// Methods that train something of their own.
    pub fn trainings(&self) -> BTreeSet<Method> {
        self.methods.iter().map(|m| m.trains()).collect()
    }
    /// # Errors
    /// When a number makes no sense.
    pub fn verify(&self) -> Result<()> {
        self.tune.verify()?;
        let distinct: BTreeSet<u64> = self.seeds.iter().copied().collect();
        let wrong = if self.methods.is_empty() {
            "no method is chosen".to_owned()
        } else if self.seeds.is_empty() || distinct.len() != self.seeds.len() {
            format!("seeds {:?}: there must be at least one, and none twice", self.seeds)
        } else if !(self.percent > 0.0 && self.percent <= 100.0) {
            format!("{} % of the neurons: it must be above 0 and at most 100", self.percent)
        } else if !(self.temperature.is_finite() && self.temperature > 0.0) {
            format!("temperature {}: it must be above 0", self.temperature)
        } else if let Some((m, rate)) = self.rates.iter().find(|(_, r)| !(r.is_finite() && **r > 0.0)) {
            format!("learning rate {rate} of {}: it must be above 0", m.label())
        } else if let Some((m, _)) = self.rates.iter().find(|(m, _)| m.trains() != **m) {
            format!("{} trains nothing of its own; its learning rate is that of {}", m.label(), m.trains().label())
        } else if self.relevance_samples == 0 || self.feature_items == 0 {
            "at least one row must choose neurons and make a task's feature".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the settings of the sequence make no sense: {wrong}")))
    }
}

/// A sequence to learn.
pub struct ContinualPlan {
    /// In the order in which they are learnt.
    pub tasks: Vec<TaskRows>,
    /// Domains that are judged and never learnt.
    pub others: Vec<TaskRows>,
    pub config: ContinualConfig,
    /// Of the results; the same sequence goes on in it where it was stopped, one with more seeds or methods adds to it, and one with fewer is told from it.
    pub folder: PathBuf,
    pub provenance: Provenance,
}

impl ContinualPlan {
    /// Digest of everything that decides the results of a plan with these settings.
    fn key(&self, model: &Model, config: &ContinualConfig) -> String {
        let digests: Vec<String> = self.tasks.iter().map(TaskRows::digest).collect();
        let others: Vec<String> = self.others.iter().map(|o| format!("{} {}", o.name, Domain::digest(&o.test.items))).collect();
        hash::sha256_json(&(provenance::program(), &self.provenance.dtype, &model.info.sha256, config, &digests, &others))
    }
    fn state(&self, model: &Model, ctx: &Ctx<'_>) -> Result<ContinualState> {
        let names = |rows: &[TaskRows]| rows.iter().map(|t| t.name.clone()).collect();
        let longest = self.config.tune.max_tokens;
        let counts = self.tasks.iter().map(|t| t.counts(model, longest, ctx));
        let judged = self.others.iter().map(|o| o.judged(model, longest, ctx));
        Ok(ContinualState::new(
            self.key(model, &self.config),
            names(&self.tasks),
            names(&self.others),
            counts.chain(judged).collect::<Result<_>>()?,
            self.config.clone(),
            self.provenance.clone(),
        ))
    }
    fn columns(&self) -> impl Iterator<Item = &Arc<Domain>> {
        self.tasks.iter().chain(&self.others).map(|t| &t.test)
    }
}

/// Which lesson is under way, and a point of its curve.
#[derive(Clone, Debug, PartialEq)]
pub struct LessonPoint {
    pub method: Method,
    pub seed: u64,
    pub task: usize,
    pub point: TunePoint,
}

/// Who hears of a sequence while it runs.
pub struct Listeners<'a> {
    /// After every cell.
    pub state: &'a mut dyn FnMut(&ContinualState),
    /// After every step.
    pub point: &'a mut dyn FnMut(LessonPoint),
}

/// Learns the sequence with every method and seed, or goes on with it; what a smaller plan with the same settings learnt in the folder stays, and of a
/// larger one that it holds only what is asked for is learnt and told. Every finished cell is in the folder at once.
///
/// # Errors
/// When the settings make no sense, the folder holds another sequence, or lacks some of what is asked for and holds more, or cannot be written to, a task cannot be judged, a number is not finite;
/// [`Error::Cancelled`] keeps the trainer's checkpoint.
pub fn run(decoder: &Decoder, plan: &ContinualPlan, on: &mut Listeners<'_>, ctx: &Ctx<'_>) -> Result<ContinualState> {
    plan.config.verify()?;
    if plan.tasks.is_empty() {
        return Err(Error::invalid("a sequence needs at least one task"));
    }
    course::verify(&plan.tasks, &plan.others)?;
    let _lock = course::lock(&plan.folder, ctx)?;
    let fresh = plan.state(&decoder.model, ctx)?;
    let state = ContinualState::resume(&plan.folder, fresh.clone(), &|config| plan.key(&decoder.model, config))?;
    name_request(&state, &plan.folder)?;
    let trainings = plan.config.trainings();
    let lessons = trainings.len() * plan.config.seeds.len() * plan.tasks.len();
    let mut sequence = Sequence { decoder, plan, fresh, state, done: 0, total: lessons * plan.config.tune.steps };
    (on.state)(&sequence.part());
    sequence.before(on, ctx)?;
    for &seed in &plan.config.seeds {
        for &method in &trainings {
            sequence.learn_all(method, seed, on, ctx)?;
        }
    }
    let (complete, whole) = (sequence.state.is_complete(), sequence.state.config == plan.config);
    if whole || complete != sequence.state.finished {
        sequence.state.finished = complete;
        sequence.state.save(&plan.folder)?;
    }
    let part = sequence.part();
    (on.state)(&part);
    Ok(part)
}

/// What was learnt at the wish of a smaller plan names the plan that the folder holds now: that command makes it again.
fn name_request(state: &ContinualState, folder: &Path) -> Result<()> {
    for lesson in &state.lessons {
        let file = lesson_folder(folder, lesson.method, lesson.seed).join(format!("task{}.safetensors", lesson.task + 1));
        if !file.exists() || Overlay::read_provenance(&file)?.command == state.provenance.command {
            continue;
        }
        let overlay = known(&file, lesson)?;
        let provenance = Provenance { created: overlay.provenance.created.clone(), ..state.provenance.clone() };
        Overlay { provenance, ..overlay }.save(&file)?;
    }
    Ok(())
}

fn lesson_folder(folder: &Path, method: Method, seed: u64) -> PathBuf {
    folder.join(format!("{}-seed{seed}", method.id()))
}

struct Sequence<'a> {
    decoder: &'a Decoder,
    plan: &'a ContinualPlan,
    /// As the plan begins.
    fresh: ContinualState,
    /// As the folder holds it: of this plan, or of a larger one.
    state: ContinualState,
    /// Steps behind, of all.
    done: usize,
    total: usize,
}

/// What a training has made so far.
struct Standing {
    /// The model after the last task.
    model: Arc<Model>,
    /// Values of the last lesson.
    values: Option<Vec<(String, Vec<f32>)>>,
    /// Of each task, where only neurons train.
    updates: Vec<Update>,
}

impl Sequence<'_> {
    /// The model as it was, on every column; and how alike the columns are to the tasks.
    fn before(&mut self, on: &mut Listeners<'_>, ctx: &Ctx<'_>) -> Result<()> {
        let max_tokens = self.plan.config.tune.max_tokens;
        for (j, domain) in self.plan.columns().enumerate() {
            if self.state.before[j].is_none() {
                let phase = format!("scoring {} before", domain.name);
                self.state.before[j] = Some(within(ctx, &phase, 0, self.total, |ctx| score(self.decoder, domain, max_tokens, ctx))?);
                self.tell(on)?;
            }
        }
        if self.plan.config.methods.contains(&Method::Wncft) && self.state.cosines.is_empty() {
            let of = |domain: &Domain| {
                let items = &domain.items[..self.plan.config.feature_items.min(domain.items.len())];
                feature::feature(self.decoder, items, max_tokens, ctx)
            };
            let tasks = self.plan.tasks.iter().map(|t| of(&t.train)).collect::<Result<Vec<_>>>()?;
            let columns = self.plan.columns().map(|d| of(d)).collect::<Result<Vec<_>>>()?;
            let round = |c: f64| (c * 1e9).round() / 1e9;
            self.state.cosines = columns.iter().map(|c| tasks.iter().map(|t| round(feature::cosine(c, t))).collect()).collect();
            self.tell(on)?;
        }
        Ok(())
    }

    fn tell(&self, on: &mut Listeners<'_>) -> Result<()> {
        self.state.save(&self.plan.folder)?;
        (on.state)(&self.part());
        Ok(())
    }
    /// What is asked for.
    fn part(&self) -> ContinualState {
        self.state.part(&self.fresh)
    }

    /// The methods that are judged by what `method` trains.
    fn judged(&self, method: Method) -> Vec<Method> {
        self.plan.config.methods.iter().copied().filter(|m| m.trains() == method).collect()
    }

    /// Whether the lesson's row is complete for every method that uses it.
    fn is_row_done(&self, method: Method, seed: u64, task: usize) -> bool {
        self.state.lesson(method, seed, task).is_some()
            && self.judged(method).iter().all(|&m| self.state.run(m, seed).is_some_and(|r| r.cells[task].iter().all(Option::is_some)))
    }

    /// All tasks by one method and seed.
    fn learn_all(&mut self, method: Method, seed: u64, on: &mut Listeners<'_>, ctx: &Ctx<'_>) -> Result<()> {
        let (n, steps) = (self.plan.tasks.len(), self.plan.config.tune.steps);
        if (0..n).all(|i| self.is_row_done(method, seed, i)) {
            self.done += n * steps;
            return Ok(());
        }
        let folder = lesson_folder(&self.plan.folder, method, seed);
        let mut standing = Standing { model: self.decoder.model.clone(), values: None, updates: Vec::new() };
        for i in 0..n {
            ctx.check()?;
            let file = folder.join(format!("task{}.safetensors", i + 1));
            // Only neurons build on what every task before left; of the others the last file says all, and older ones are gone.
            let builds = matches!(method, Method::Ncft | Method::Random);
            let row_done = self.is_row_done(method, seed, i);
            if row_done && !builds && (method == Method::Single || self.state.lesson(method, seed, i + 1).is_some()) {
                self.done += steps;
                continue;
            }
            let onto = if builds { standing.model.clone() } else { self.decoder.model.clone() };
            let overlay = match self.state.lesson(method, seed, i) {
                Some(lesson) => known(&file, lesson)?,
                None => {
                    let from = if method == Method::Sequential { standing.model.clone() } else { onto.clone() };
                    let overlay = self.learn(method, seed, i, (&from, &onto), standing.values.as_deref(), &folder, on, ctx)?;
                    overlay.save(&file)?;
                    self.tell(on)?;
                    let training = folder.join(format!("task{}", i + 1));
                    if training.exists() {
                        std::fs::remove_dir_all(&training).map_err(|e| Error::io(&training, e))?;
                    }
                    overlay
                }
            };
            let after = Arc::new(overlay.apply(&onto, &self.decoder.backend)?);
            if let (Target::Neurons(set), Method::Ncft) = (&overlay.target, method) {
                standing.updates.push(Update::between(Trained::neurons(&onto.spec, set)?, &onto.weights, &after.weights)?);
            }
            self.done += steps;
            for judged in self.judged(method) {
                self.judge(judged, seed, i, &after, &standing.updates, on, ctx)?;
            }
            // What nothing will need again: the values before the last of what trains as a whole, and models of single tasks.
            let gone = match method {
                Method::Sequential | Method::SequentialLora if i > 0 => Some(folder.join(format!("task{i}.safetensors"))),
                Method::Single => Some(file),
                _ => None,
            };
            if let Some(path) = gone.filter(|p| p.exists()) {
                std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
            }
            standing.values = (method == Method::SequentialLora).then_some(overlay.values);
            standing.model = after;
        }
        Ok(())
    }

    /// One task. `models`: what training begins from, and what the values that come out lie on.
    #[expect(clippy::too_many_arguments, reason = "the parts of one lesson")]
    fn learn(
        &mut self,
        method: Method,
        seed: u64,
        i: usize,
        (from, onto): (&Arc<Model>, &Arc<Model>),
        start: Option<&[(String, Vec<f32>)]>,
        folder: &Path,
        on: &mut Listeners<'_>,
        ctx: &Ctx<'_>,
    ) -> Result<Overlay> {
        let (task, settings) = (&self.plan.tasks[i], &self.plan.config);
        let decoder = Decoder::new(from.clone(), self.decoder.backend.clone());
        let mut config = TuneConfig { seed, learning_rate: settings.rate(method), ..settings.tune.clone() };
        let phase = format!("{}, seed {seed}: {} ({} of {})", method.label(), task.name, i + 1, self.plan.tasks.len());
        let own = |ctx: &Ctx<'_>| task_neurons(&decoder, task, settings.percent, settings.relevance_samples, &config, ctx);
        let target = match method {
            Method::Sequential | Method::Single => Target::All,
            Method::SequentialLora => Target::Lora(settings.lora.clone()),
            Method::Ncft | Method::Wncft => Target::Neurons(within(ctx, &phase, self.done, self.total, own)?),
            // Other neurons for each task, as its own would be.
            Method::Random => {
                let like: NeuronSet = within(ctx, &phase, self.done, self.total, own)?;
                Target::Neurons(like.random_like(from.spec.d_mlp, seed.wrapping_mul(1_000_003).wrapping_add(i as u64)))
            }
        };
        let neurons = if let Target::Neurons(set) = &target { Some(set.len()) } else { None };
        config.target = target.clone();
        let training = folder.join(format!("task{}", i + 1));
        let lesson = LessonPlan { model: from, decoder: &decoder, task, start, config: &config, folder: &training };
        let point = &mut *on.point;
        let mut hear = |p: &TunePoint| point(LessonPoint { method, seed, task: i, point: p.clone() });
        let tuned = within(ctx, &phase, self.done, self.total, |ctx| learn(&lesson, &mut hear, ctx))?;
        let overlay = Overlay {
            target,
            base_sha256: onto.info.sha256.clone(),
            base_name: onto.info.name.clone(),
            values: tuned.values,
            provenance: self.state.provenance.clone(),
        };
        self.state.lessons.push(Lesson {
            method,
            seed,
            task: i,
            trained: tuned.n_trained,
            neurons,
            steps: tuned.steps,
            best_step: tuned.best_step,
            seconds: tuned.seconds,
            tokens: tuned.tokens,
            values_sha256: overlay.digest(),
        });
        self.state.order_lessons();
        Ok(overlay)
    }

    /// A row of a method's matrix: every column after task `i`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one row")]
    fn judge(
        &mut self,
        method: Method,
        seed: u64,
        i: usize,
        after: &Arc<Model>,
        updates: &[Update],
        on: &mut Listeners<'_>,
        ctx: &Ctx<'_>,
    ) -> Result<()> {
        let max_tokens = self.plan.config.tune.max_tokens;
        for (j, domain) in self.plan.columns().enumerate() {
            if self.state.run(method, seed).is_none_or(|r| r.cells[i][j].is_some()) {
                continue;
            }
            let model = match method {
                Method::Wncft => {
                    let weights =
                        self.state.weights(j, i + 1).ok_or_else(|| Error::invalid("the cosines of the tasks' features are missing"))?;
                    Arc::new(weighted(&self.decoder.model, updates, &weights)?)
                }
                _ => after.clone(),
            };
            let decoder = Decoder::new(model, self.decoder.backend.clone());
            let phase = format!("{}, seed {seed}: scoring {}", method.label(), domain.name);
            let found: Score = within(ctx, &phase, self.done, self.total, |ctx| score(&decoder, domain, max_tokens, ctx))?;
            if let Some(run) = self.state.run_mut(method, seed) {
                run.cells[i][j] = Some(found);
            }
            self.tell(on)?;
        }
        Ok(())
    }
}

/// What a finished lesson left.
fn known(file: &Path, lesson: &Lesson) -> Result<Overlay> {
    let overlay = Overlay::load(file)?;
    if overlay.digest() != lesson.values_sha256 {
        return Err(Error::format(file, "does not hold what was learnt; remove the folder to start anew"));
    }
    Ok(overlay)
}
