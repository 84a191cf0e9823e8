//! A sequence of tasks on the disk: one JSON file that says what is asked for and holds every finished cell, and beside it what was learnt.

use super::{
    ContinualConfig, Measures, Method, RowCounts, Score, Spread,
    extend::{self, Fit, Ground, Grows},
    measures::{self, measures},
};
use crate::base::{Error, Result, atomic_file, provenance::Provenance};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// Name inside the folder.
pub const CONTINUAL_FILE: &str = "continual.json";
const FORMAT: &str = "brodmann continual 1";

/// Everything that is known of a sequence, while it runs and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinualState {
    pub format: String,
    /// Digest of model, settings and rows: only the same sequence is gone on with.
    pub key: String,
    /// In the order in which they are learnt.
    pub tasks: Vec<String>,
    /// Judged and never learnt; the last columns of every matrix.
    pub others: Vec<String>,
    /// Of every column.
    pub rows: Vec<RowCounts>,
    pub config: ContinualConfig,
    /// The model as it was, by column.
    pub before: Vec<Option<Score>>,
    /// Cosine of each column's test questions with each task's training questions, `[columns][tasks]`, in the model as it was; empty without W-NCFT.
    pub cosines: Vec<Vec<f64>>,
    pub runs: Vec<MethodRun>,
    pub lessons: Vec<Lesson>,
    pub finished: bool,
    pub provenance: Provenance,
}

/// One method with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodRun {
    pub method: Method,
    pub seed: u64,
    /// `[tasks][columns]`: after task i, on column j.
    pub cells: Vec<Vec<Option<Score>>>,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// That trains; W-NCFT uses what NCFT trained.
    pub method: Method,
    pub seed: u64,
    /// Place in the order, from 0.
    pub task: usize,
    /// Scalars that trained, and neurons where those are meant.
    pub trained: usize,
    pub neurons: Option<usize>,
    pub steps: usize,
    /// Whose weights are kept: the best on the validation rows.
    pub best_step: usize,
    pub seconds: f64,
    pub tokens: u64,
    /// Digest of the values that were learnt.
    pub values_sha256: String,
}

impl ContinualConfig {
    /// Without what may grow; of the learning rates those of what `other` trains too.
    fn ground(&self, other: &Self) -> Value {
        let fixed = Self { methods: Default::default(), seeds: Vec::new(), rates: Default::default(), ..self.clone() };
        let mut ground = json!(fixed);
        if let Value::Object(fields) = &mut ground {
            fields.extend(
                self.trainings().intersection(&other.trainings()).map(|&m| (format!("learning rate of {}", m.id()), json!(self.rate(m)))),
            );
        }
        ground
    }
    /// From these settings to those that are asked for.
    fn growth(&self, asked: &Self) -> [Grows; 2] {
        let methods = |c: &Self| c.methods.iter().map(|m| m.id()).collect::<Vec<_>>();
        [Grows::new("seeds", &self.seeds, &asked.seeds), Grows::new("methods", methods(self), methods(asked))]
    }
}

impl ContinualState {
    pub fn new(
        key: String,
        tasks: Vec<String>,
        others: Vec<String>,
        rows: Vec<RowCounts>,
        config: ContinualConfig,
        provenance: Provenance,
    ) -> Self {
        let columns = tasks.len() + others.len();
        let runs = config.seeds.iter().flat_map(|&seed| config.methods.iter().map(move |&method| (method, seed)));
        let cells = vec![vec![None; columns]; tasks.len()];
        let runs = runs.map(|(method, seed)| MethodRun { method, seed, cells: cells.clone() }).collect();
        Self {
            format: FORMAT.into(),
            key,
            before: vec![None; columns],
            tasks,
            others,
            rows,
            config,
            cosines: Vec::new(),
            runs,
            lessons: Vec::new(),
            finished: false,
            provenance,
        }
    }

    /// # Errors
    /// When the file cannot be read or is no sequence.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONTINUAL_FILE);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let state: Self =
            serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, format!("is no sequence of tasks of this program: {e}")))?;
        let (n, columns) = (state.tasks.len(), state.columns());
        let fits = state.before.len() == columns
            && state.rows.len() == columns
            && state.runs.iter().all(|r| r.cells.len() == n && r.cells.iter().all(|row| row.len() == columns));
        match (state.format == FORMAT, fits) {
            (true, true) => Ok(state),
            (false, _) => Err(Error::format(&path, format!("has format `{}`, expected `{FORMAT}`", state.format))),
            _ => Err(Error::format(&path, format!("its tables do not fit {n} tasks and {columns} columns"))),
        }
    }

    /// What the folder holds of the same sequence, of one with fewer seeds or methods, or of a larger one that `fresh` is a part of; else `fresh`.
    /// `key_of`: digest of a plan with other settings.
    ///
    /// # Errors
    /// When it holds another one, or what `fresh` does not ask for and not all that it does.
    pub(super) fn resume(folder: &Path, fresh: Self, key_of: &dyn Fn(&ContinualConfig) -> String) -> Result<Self> {
        if !folder.join(CONTINUAL_FILE).exists() {
            return Ok(fresh);
        }
        let kept = Self::read(folder)?;
        if kept.key == fresh.key {
            return Ok(Self { provenance: fresh.provenance, ..kept });
        }
        let (path, same) = (folder.join(CONTINUAL_FILE), key_of(&kept.config) == kept.key);
        let asked = fresh.ground(fresh.config.ground(&kept.config));
        let held = kept.ground(kept.config.ground(&fresh.config));
        match extend::verify(&path, "sequence", same, &held, &asked, &kept.config.growth(&fresh.config))? {
            Fit::Grows => Ok(fresh.holding(kept)),
            Fit::Part => Ok(kept),
        }
    }

    /// Whether a plan with `config` may go on with it, or is a part of it, as far as settings say.
    pub fn fits(&self, config: &ContinualConfig) -> bool {
        config.ground(&self.config) == self.config.ground(config) && extend::fit(&self.config.growth(config)).is_some()
    }

    /// Of it what `fresh` asks for, as if its plan had been learnt by itself.
    pub(super) fn part(&self, fresh: &Self) -> Self {
        let (config, finished) = (&fresh.config, self.finished);
        if *config == self.config {
            return self.clone();
        }
        let mut part = fresh.clone().holding(self.clone());
        let trains = config.trainings();
        part.lessons.retain(|l| trains.contains(&l.method) && config.seeds.contains(&l.seed));
        if !config.methods.contains(&Method::Wncft) {
            part.cosines.clear();
        }
        part.finished = finished || part.is_complete();
        part
    }
    /// Nothing is left to learn or to judge.
    pub(super) fn is_complete(&self) -> bool {
        self.before.iter().all(Option::is_some) && self.runs.iter().flat_map(|r| &r.cells).flatten().all(Option::is_some)
    }

    fn ground(&self, settings: Value) -> Ground<'_> {
        Ground {
            tasks: self.tasks.iter().map(String::as_str).collect(),
            others: self.others.iter().map(String::as_str).collect(),
            rows: &self.rows,
            settings,
            provenance: &self.provenance,
        }
    }

    /// What a smaller plan gave, in the order of this one.
    fn holding(mut self, kept: Self) -> Self {
        for run in &mut self.runs {
            if let Some(old) = kept.run(run.method, run.seed) {
                run.cells.clone_from(&old.cells);
            }
        }
        (self.before, self.cosines, self.lessons) = (kept.before, kept.cosines, kept.lessons);
        self.order_lessons();
        self
    }
    /// As they are learnt: whatever was there first, the same plan gives the same file.
    pub(super) fn order_lessons(&mut self) {
        let place = |seed: u64| self.config.seeds.iter().position(|s| *s == seed);
        self.lessons.sort_by_key(|l| (place(l.seed), l.method, l.task));
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(CONTINUAL_FILE);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::format(&path, e.to_string()))?;
        atomic_file::write(&path, format!("{text}\n").as_bytes())
    }

    /// Tasks, then domains that are judged only.
    pub fn columns(&self) -> usize {
        self.tasks.len() + self.others.len()
    }
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().chain(&self.others).map(String::as_str)
    }
    pub fn run(&self, method: Method, seed: u64) -> Option<&MethodRun> {
        self.runs.iter().find(|r| r.method == method && r.seed == seed)
    }
    pub(super) fn run_mut(&mut self, method: Method, seed: u64) -> Option<&mut MethodRun> {
        self.runs.iter_mut().find(|r| r.method == method && r.seed == seed)
    }
    pub fn lesson(&self, trains: Method, seed: u64, task: usize) -> Option<&Lesson> {
        self.lessons.iter().find(|l| l.method == trains && l.seed == seed && l.task == task)
    }

    pub fn before_accuracy(&self) -> Vec<Option<f64>> {
        self.before.iter().map(|s| s.map(|s| s.accuracy())).collect()
    }
    /// Accuracies of one method and seed, `[tasks][columns]`.
    pub fn matrix(&self, method: Method, seed: u64) -> Option<Vec<Vec<Option<f64>>>> {
        let of = |row: &Vec<Option<Score>>| row.iter().map(|s| s.map(|s| s.accuracy())).collect();
        Some(self.run(method, seed)?.cells.iter().map(of).collect())
    }
    /// The seeds that a method's mean is over: those it is finished with; before the first is, that alone with which it began.
    pub fn mean_seeds(&self, method: Method) -> Vec<u64> {
        let cells = |seed: u64| self.run(method, seed).into_iter().flat_map(|r| r.cells.iter().flatten());
        measures::mean_seeds(&self.config.seeds, |s| cells(s).all(Option::is_some), |s| cells(s).any(Option::is_some))
    }
    /// Mean over [`Self::mean_seeds`].
    pub fn mean_matrix(&self, method: Method) -> Vec<Vec<Option<f64>>> {
        let matrices: Vec<_> = self.mean_seeds(method).into_iter().filter_map(|s| self.matrix(method, s)).collect();
        let cell = |i: usize, j: usize| {
            let there: Vec<f64> = matrices.iter().filter_map(|m| m[i][j]).collect();
            crate::base::stats::mean(&there)
        };
        (0..self.tasks.len()).map(|i| (0..self.columns()).map(|j| cell(i, j)).collect()).collect()
    }
    /// `None` while a cell is missing.
    pub fn measures(&self, method: Method, seed: u64) -> Option<Measures> {
        measures(&self.before_accuracy(), &self.matrix(method, seed)?, self.tasks.len(), method == Method::Single)
    }
    /// A figure of a method over the seeds that are finished.
    pub fn spread(&self, method: Method, figure: impl Fn(&Measures) -> Option<f64>) -> Option<Spread> {
        let values: Vec<f64> =
            self.config.seeds.iter().filter_map(|&seed| self.measures(method, seed)).filter_map(|m| figure(&m)).collect();
        measures::Spread::of(&values)
    }
    /// W-NCFT's weights of each learnt task's update for a column, once `learnt` tasks are.
    pub fn weights(&self, column: usize, learnt: usize) -> Option<Vec<f64>> {
        let cosines = self.cosines.get(column)?.get(..learnt)?;
        Some(super::feature::weights(cosines, self.config.temperature))
    }
}
