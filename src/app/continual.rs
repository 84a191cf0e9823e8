//! A sequence of tasks, and what learning one task does to the others: requests, jobs, and what the panel shows.

use super::{
    App, Failure,
    cut_rows::{self, CutRows},
    event::{Event, JobTarget},
    jobs::Outbox,
    run::shell_word,
    state::NoticeLevel,
    task_rows::{RowLimits, RowSource},
    tuning::of_model,
};
use crate::{
    base::{Ctx, Result, hash::sha256_json, provenance},
    model::DecoderSpec,
    task::{
        ContinualConfig, ContinualPlan, ContinualState, Method, RowCounts, TaskRows, TransferConfig, TransferPlan, TransferState,
        continual::{self, LessonPoint, Listeners},
        continual_file::CONTINUAL_FILE,
        transfer,
        transfer_file::TRANSFER_FILE,
    },
    tune::{Learn, LoraConfig, OptimizerConfig, TuneConfig, TunePoint},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A sequence of tasks, as asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinualRequest {
    /// Domains in the order in which they are learnt; others that are switched on are judged and never learnt.
    pub order: Vec<String>,
    #[serde(default)]
    pub config: ContinualConfig,
    #[serde(default)]
    pub rows: RowLimits,
    /// Folder of the results; default: one below the data folder that the same request finds again.
    #[serde(default)]
    pub out: Option<PathBuf>,
}

/// What learning one task does to the others, as asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferRequest {
    pub tasks: Vec<String>,
    #[serde(default)]
    pub config: TransferConfig,
    #[serde(default)]
    pub rows: RowLimits,
    #[serde(default)]
    pub out: Option<PathBuf>,
}

/// The lesson under way.
#[derive(Clone, Debug, PartialEq)]
pub struct LessonCurve {
    pub method: Method,
    pub seed: u64,
    pub task: usize,
    pub points: Vec<TunePoint>,
}

/// A sequence under way or done.
#[derive(Clone, Debug)]
pub struct ContinualView {
    /// As asked for; of one that was read from its folder there is none.
    pub request: Option<ContinualRequest>,
    pub folder: PathBuf,
    /// `None` until the work has begun.
    pub state: Option<Arc<ContinualState>>,
    pub lesson: Option<LessonCurve>,
    pub running: bool,
    /// The folder holds no more than is shown.
    pub whole: bool,
    pub failed: Option<Failure>,
}

/// A study of transfer under way or done.
#[derive(Clone, Debug)]
pub struct TransferView {
    /// As asked for; of one that was read from its folder there is none.
    pub request: Option<TransferRequest>,
    pub folder: PathBuf,
    pub state: Option<Arc<TransferState>>,
    pub running: bool,
    /// The folder holds no more than is shown.
    pub whole: bool,
    pub failed: Option<Failure>,
}

/// From the worker of a sequence.
pub(super) enum ContinualNews {
    State(Arc<ContinualState>),
    Point(LessonPoint),
    Ended { whole: bool },
}

/// From the worker of a study.
pub(super) enum TransferNews {
    State(Arc<TransferState>),
    Ended { whole: bool },
}

/// Where the model's context cut rows that the setting would have let pass.
fn warn_of_cut(rows: &[RowCounts], spec: &DecoderSpec, asked: usize, out: &Outbox) {
    let rows: Vec<CutRows<'_>> = rows.iter().map(|r| CutRows { domain: &r.name, cut: r.cut, of: r.all() }).collect();
    cut_rows::warn(&rows, spec.max_positions, asked, out);
}

impl App {
    /// Starts a sequence, or goes on with it.
    pub(super) fn start_continual(&mut self, request: ContinualRequest) {
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Continual);
        let judged = self.project.enabled().map(|d| d.name.clone()).collect::<Vec<_>>();
        let mut ground = request.clone();
        (ground.config.methods, ground.config.seeds, ground.config.rates) = Default::default();
        let fits =
            |folder: &Path| !folder.join(CONTINUAL_FILE).exists() || ContinualState::read(folder).is_ok_and(|s| s.fits(&request.config));
        let keys = (sha256_json(&ground), sha256_json(&request));
        let folder = self.lessons_folder(request.out.as_ref(), "continual", &judged, keys, &fits);
        let view =
            ContinualView { request: Some(request.clone()), folder, state: None, lesson: None, running: true, whole: true, failed: None };
        self.continual = Some(view);
        if let Err(e) = self.spawn_continual(request) {
            self.continual_ended(Some(e.to_string().into()));
            self.notice(NoticeLevel::Error, "The sequence of tasks cannot start", e.to_string());
        }
    }

    fn spawn_continual(&mut self, request: ContinualRequest) -> Result<()> {
        let decoder = self.base_decoder().ok_or_else(no_model)?;
        let named = |names: &[String]| names.iter().map(|n| self.row_source(n)).collect::<Result<Vec<RowSource>>>();
        let others: Vec<String> = self.project.enabled().map(|d| d.name.clone()).filter(|n| !request.order.contains(n)).collect();
        let (tasks, judged) = (named(&request.order)?, named(&others)?);
        request.config.verify()?;
        let folder = self.continual.as_ref().map(|v| v.folder.clone()).unwrap_or_default();
        let c = &request.config;
        let mut p = self.provenance();
        // Of copies that train, which are f32 whatever the model is stored in.
        p.dtype = decoder.backend.arithmetic().into();
        p.formula = format!(
            "tasks learnt one after another: {}; accuracy by log-likelihood of the choices on test rows, neurons and training on training rows, best step \
             by validation rows; {} % of the neurons by relevance |sum_t a dLoss/da| on {} training rows; W-NCFT: softmax of cosines / {}",
            c.methods.iter().map(|m| m.label()).collect::<Vec<_>>().join(", "),
            c.percent,
            c.relevance_samples,
            c.temperature
        );
        p.objective = c.tune.learn.words().to_owned();
        p.seed = c.tune.seed;
        p.dtype = format!("{} computed in {}", decoder.model.info.dtype, decoder.backend.arithmetic());
        of_model(&mut p, &decoder.model.info);
        let mut words = self.words_of("continual", self.project.enabled().map(|d| d.name.as_str()));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        add("--tasks", request.order.join(","));
        add("--methods", c.methods.iter().map(|m| m.id()).collect::<Vec<_>>().join(","));
        add("--seeds", join(&c.seeds));
        add("--percent", c.percent.to_string());
        add("--temperature", c.temperature.to_string());
        if c.lora != LoraConfig::default() {
            add("--lora", format!("{}:{}", c.lora.rank, c.lora.alpha));
        }
        c.rates.iter().for_each(|(m, rate)| add("--rate-of", format!("{}={rate}", m.id())));
        words.extend(tune_words(&c.tune, request.rows, c.relevance_samples));
        p.command = words.join(" ");
        p.created = provenance::now_utc();
        let title = format!("Learning {} in turn", request.order.join(", "));
        let (limits, seed, config) = (request.rows, c.tune.seed, request.config.clone());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Continual, move |ctx, out| {
            let plan = ContinualPlan {
                tasks: parted(&tasks, limits, seed, ctx)?,
                others: parted(&judged, limits, seed, ctx)?,
                config,
                folder,
                provenance: p,
            };
            let mut on = Listeners {
                state: &mut |state| out.send(Event::Continual(ContinualNews::State(Arc::new(state.clone())))),
                point: &mut |point| out.send(Event::Continual(ContinualNews::Point(point))),
            };
            let state = continual::run(&decoder, &plan, &mut on, ctx)?;
            warn_of_cut(&state.rows, &decoder.model.spec, state.config.tune.max_tokens, out);
            let whole = ContinualState::read(&plan.folder)?.config == state.config;
            out.send(Event::Continual(ContinualNews::Ended { whole }));
            Ok(())
        });
        Ok(())
    }

    pub(super) fn continual_news(&mut self, news: ContinualNews) {
        let Some(view) = &mut self.continual else { return };
        match news {
            ContinualNews::State(state) => view.state = Some(state),
            ContinualNews::Ended { whole } => view.whole = whole,
            ContinualNews::Point(LessonPoint { method, seed, task, point }) => {
                let same = view.lesson.as_ref().is_some_and(|l| (l.method, l.seed, l.task) == (method, seed, task));
                let lesson = match &mut view.lesson {
                    Some(lesson) if same => lesson,
                    other => other.insert(LessonCurve { method, seed, task, points: Vec::new() }),
                };
                lesson.points.push(point);
            }
        }
    }

    pub(super) fn continual_ended(&mut self, failure: Option<Failure>) {
        if let Some(view) = &mut self.continual {
            (view.running, view.failed) = (false, failure);
        }
    }

    /// Starts a study of transfer, or goes on with it.
    pub(super) fn start_transfer(&mut self, request: TransferRequest) {
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Transfer);
        let mut ground = request.clone();
        (ground.config.percents, ground.config.seeds) = Default::default();
        let fits =
            |folder: &Path| !folder.join(TRANSFER_FILE).exists() || TransferState::read(folder).is_ok_and(|s| s.fits(&request.config));
        let keys = (sha256_json(&ground), sha256_json(&request));
        let folder = self.lessons_folder(request.out.as_ref(), "transfer", &request.tasks, keys, &fits);
        self.transfer =
            Some(TransferView { request: Some(request.clone()), folder, state: None, running: true, whole: true, failed: None });
        if let Err(e) = self.spawn_transfer(request) {
            self.transfer_ended(Some(e.to_string().into()));
            self.notice(NoticeLevel::Error, "The study of transfer cannot start", e.to_string());
        }
    }

    fn spawn_transfer(&mut self, request: TransferRequest) -> Result<()> {
        let decoder = self.base_decoder().ok_or_else(no_model)?;
        let tasks = request.tasks.iter().map(|n| self.row_source(n)).collect::<Result<Vec<_>>>()?;
        request.config.verify()?;
        let folder = self.transfer.as_ref().map(|v| v.folder.clone()).unwrap_or_default();
        let c = &request.config;
        let mut p = self.provenance();
        // Of copies that train, which are f32 whatever the model is stored in.
        p.dtype = decoder.backend.arithmetic().into();
        p.formula = format!(
            "each task's neurons trained from the base, every task judged: overlap = Jaccard of the top {} % by relevance |sum_t a dLoss/da| on {} training \
             rows; similarity = cosine of the two sets' parameters in the trained model, aligned by index over their union; accuracy by log-likelihood of \
             the choices on test rows",
            c.percent, c.relevance_samples
        );
        p.objective = c.tune.learn.words().to_owned();
        p.seed = c.tune.seed;
        p.dtype = format!("{} computed in {}", decoder.model.info.dtype, decoder.backend.arithmetic());
        of_model(&mut p, &decoder.model.info);
        let named = self.project.enabled().map(|d| d.name.as_str()).filter(|n| request.tasks.iter().any(|t| t == n));
        let mut words = self.words_of("transfer", named);
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        add("--percent", c.percent.to_string());
        add("--percents", join(&c.percents));
        add("--seeds", join(&c.seeds));
        words.extend(tune_words(&c.tune, request.rows, c.relevance_samples));
        p.command = words.join(" ");
        p.created = provenance::now_utc();
        let title = format!("Transfer between {} tasks", request.tasks.len());
        let (limits, seed, config) = (request.rows, c.tune.seed, request.config.clone());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Transfer, move |ctx, out| {
            let plan = TransferPlan { tasks: parted(&tasks, limits, seed, ctx)?, config, folder, provenance: p };
            let state =
                transfer::run(&decoder, &plan, &mut |state| out.send(Event::Transfer(TransferNews::State(Arc::new(state.clone())))), ctx)?;
            warn_of_cut(&state.rows, &decoder.model.spec, state.config.tune.max_tokens, out);
            let whole = TransferState::read(&plan.folder)?.config == state.config;
            out.send(Event::Transfer(TransferNews::Ended { whole }));
            Ok(())
        });
        Ok(())
    }

    pub(super) fn transfer_news(&mut self, news: TransferNews) {
        let Some(view) = &mut self.transfer else { return };
        match news {
            TransferNews::State(state) => view.state = Some(state),
            TransferNews::Ended { whole } => view.whole = whole,
        }
    }

    pub(super) fn transfer_ended(&mut self, failure: Option<Failure>) {
        if let Some(view) = &mut self.transfer {
            (view.running, view.failed) = (false, failure);
        }
    }

    /// `out`, or a folder that the same request about the same model and the same rows of these domains finds again. `keys`: of the request without the
    /// lists that may grow, and of all of it: a request goes on in the folder of smaller ones, and a part of what a folder holds is told from it, unless
    /// one of its own is there or that folder holds what it does not ask for and lacks what it does (`fits`).
    fn lessons_folder(
        &self,
        out: Option<&PathBuf>,
        word: &str,
        domains: &[String],
        keys: (String, String),
        fits: &dyn Fn(&Path) -> bool,
    ) -> PathBuf {
        if let Some(out) = out {
            return out.clone();
        }
        // What the key of the results holds too.
        let model = self.base_decoder().map_or_else(String::new, |d| d.computing_key());
        let model = format!("{} {model}", provenance::program());
        let rows = |name: &String| self.library.domain(name).and_then(|d| d.scored()).map(|d| (name.clone(), d.items_sha256.clone()));
        let rows: Vec<_> = domains.iter().map(rows).collect();
        let folder = |key: &str| {
            let key = crate::base::hash::sha256_bytes(format!("{model} {rows:?} {key}").as_bytes());
            self.settings.data_dir.join("lessons").join(format!("{word}-{}", &key[..12]))
        };
        let (shared, own) = (folder(&keys.0), folder(&keys.1));
        if !own.exists() && fits(&shared) { shared } else { own }
    }
}

fn no_model() -> crate::base::Error {
    crate::base::Error::invalid("there is no model: open a model folder, or `demo`, and wait until it is read")
}

fn parted(sources: &[RowSource], limits: RowLimits, seed: u64, ctx: &Ctx<'_>) -> Result<Vec<TaskRows>> {
    let part = |s: &RowSource| {
        ctx.check()?;
        s.part(limits, seed)
    };
    sources.iter().map(part).collect()
}

fn join(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The flags of each training, and of the rows.
fn tune_words(c: &TuneConfig, rows: RowLimits, relevance_samples: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    add("--steps", c.steps.to_string());
    add("--batch", c.batch.to_string());
    add("--rate", c.learning_rate.to_string());
    if c.learn == Learn::All {
        add("--learn", "all".into());
    }
    if matches!(c.optimizer, OptimizerConfig::Sgd(_)) {
        add("--optimizer", "sgd".into());
    }
    add("--evaluate-every", c.evaluate_every.to_string());
    add("--patience", c.patience.to_string());
    add("--relevance-samples", relevance_samples.to_string());
    for (flag, n) in [("--train-items", rows.train), ("--validation-items", rows.validation), ("--samples", rows.test)] {
        n.into_iter().for_each(|n| add(flag, n.to_string()));
    }
    add("--seed", c.seed.to_string());
    add("--max-tokens", c.max_tokens.to_string());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Command, testing_lessons};

    /// A folder below the data folder that holds these settings' results, however few.
    fn hold(folder: &Path, file: &str, state: serde_json::Value) {
        std::fs::create_dir_all(folder).expect("folder");
        std::fs::write(folder.join(file), state.to_string()).expect("written");
    }

    #[test]
    fn a_larger_sequence_is_gone_on_with_where_the_smaller_lies_and_a_part_is_found_there() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing_lessons::sample_app_continual(dir.path(), 1.0);
        let (sample, usual) = {
            let view = app.continual.as_ref().expect("sequence");
            (view.state.clone().expect("state"), view.request.clone().expect("request"))
        };
        let asked = |seeds: &[u64], methods: &[Method]| {
            let config = ContinualConfig { seeds: seeds.to_vec(), methods: methods.iter().copied().collect(), ..usual.config.clone() };
            ContinualRequest { config, ..usual.clone() }
        };
        let mut folder = |request: &ContinualRequest| {
            app.apply(Command::Continual { request: Box::new(request.clone()) });
            app.continual.as_ref().expect("view").folder.clone()
        };
        let both = [Method::Ncft, Method::Single];
        let small = asked(&[0], &[Method::Ncft]);
        let shared = folder(&small);
        let state = |r: &ContinualRequest| {
            let s = &sample;
            let (tasks, others) = (s.tasks.clone(), s.others.clone());
            serde_json::json!(ContinualState::new("k".into(), tasks, others, s.rows.clone(), r.config.clone(), s.provenance.clone()))
        };
        hold(&shared, CONTINUAL_FILE, state(&small));
        assert_eq!(folder(&small), shared);
        assert_eq!(folder(&asked(&[2, 0], &both)), shared);
        hold(&shared, CONTINUAL_FILE, state(&asked(&[2, 0], &both)));
        assert_eq!((folder(&small), folder(&asked(&[2], &both))), (shared.clone(), shared.clone()), "a part of what is there");
        // Neither more nor a part: by itself, and its own once it is there.
        let mixed = asked(&[1, 0], &[Method::Ncft]);
        let own = folder(&mixed);
        assert_ne!(own, shared);
        hold(&own, CONTINUAL_FILE, state(&mixed));
        assert_eq!((folder(&mixed), folder(&asked(&[0, 1, 2], &both))), (own, shared.clone()));
        // Another share of the neurons is another sequence; another rate of a method that trained lies by itself.
        let mut other = asked(&[0, 2], &both);
        other.config.percent = 3.0;
        assert_ne!(folder(&other), shared);
        let mut other = asked(&[0, 2], &both);
        other.config.rates.insert(Method::Ncft, 0.5);
        assert_ne!(folder(&other), shared);
    }

    #[test]
    fn a_larger_study_is_gone_on_with_where_the_smaller_lies() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing_lessons::sample_app_transfer(dir.path(), 1.0);
        let (sample, usual) = {
            let view = app.transfer.as_ref().expect("study");
            (view.state.clone().expect("state"), view.request.clone().expect("request"))
        };
        let asked = |seeds: &[u64], percents: &[f64]| TransferRequest {
            config: TransferConfig { seeds: seeds.to_vec(), percents: percents.to_vec(), ..usual.config.clone() },
            ..usual.clone()
        };
        let mut folder = |request: &TransferRequest| {
            app.apply(Command::Transfer { request: Box::new(request.clone()) });
            app.transfer.as_ref().expect("view").folder.clone()
        };
        let small = asked(&[1], &[5.0]);
        let shared = folder(&small);
        let (rows, provenance) = (sample.rows.clone(), sample.provenance.clone());
        hold(&shared, TRANSFER_FILE, serde_json::json!(TransferState::new("k".into(), rows, 8, small.config.clone(), provenance)));
        assert_eq!(folder(&asked(&[0, 1], &[1.0, 5.0])), shared);
        assert_ne!(folder(&asked(&[0, 1], &[1.0])), shared, "5 % is not asked for, and 1 % is not there");
        assert_ne!(folder(&asked(&[0], &[5.0])), shared, "seed 1 is not asked for, and seed 0 is not there");
        assert_eq!(folder(&asked(&[1], &[])), shared, "a part of it");
    }
}
