//! The study of transfer on the disk: one JSON file that says what is asked for and holds every finished cell.

use super::{
    RowCounts, Score, TransferConfig,
    extend::{self, Fit, Ground, Grows},
};
use crate::base::{Error, Result, atomic_file, provenance::Provenance};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// Name inside the folder.
pub const TRANSFER_FILE: &str = "transfer.json";
/// No model has more.
const MOST_LAYERS: usize = 10_000;
const FORMAT: &str = "brodmann transfer 1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferState {
    pub format: String,
    /// Digest of model, settings and rows: only the same study is gone on with.
    pub key: String,
    /// Of every task.
    pub rows: Vec<RowCounts>,
    pub n_layers: usize,
    pub config: TransferConfig,
    /// The model as it was, by task.
    pub before: Vec<Option<Score>>,
    /// Jaccard index of two tasks' sets, `[tasks][tasks]`; empty before they are found.
    pub overlap: Vec<Vec<f64>>,
    pub units: Vec<TransferUnit>,
    pub finished: bool,
    pub provenance: Provenance,
}

/// One task's neurons trained, and what became of every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferUnit {
    pub seed: u64,
    /// Share of all neurons that trained.
    pub percent: f64,
    pub task: usize,
    /// By task that is judged.
    pub cells: Vec<Option<Score>>,
    pub neurons: usize,
    /// Scalars.
    pub trained: usize,
    pub steps: usize,
    pub best_step: usize,
    pub seconds: f64,
    /// Cosine of this task's neurons' parameters with each task's in the trained model, `[tasks][layers]`; empty at other shares than the sets'.
    pub similarity: Vec<Vec<Option<f64>>>,
}

impl TransferConfig {
    /// Without what may grow.
    fn ground(&self) -> Value {
        json!(Self { percents: Vec::new(), seeds: Vec::new(), ..self.clone() })
    }
    /// From these settings to those that are asked for.
    fn growth(&self, asked: &Self) -> [Grows; 2] {
        [Grows::new("seeds", &self.seeds, &asked.seeds), Grows::new("shares", self.shares(), asked.shares())]
    }
}

impl TransferState {
    pub fn new(key: String, rows: Vec<RowCounts>, n_layers: usize, config: TransferConfig, provenance: Provenance) -> Self {
        Self {
            format: FORMAT.into(),
            key,
            before: vec![None; rows.len()],
            rows,
            n_layers,
            config,
            overlap: Vec::new(),
            units: Vec::new(),
            finished: false,
            provenance,
        }
    }

    /// # Errors
    /// When the file cannot be read or is no study.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(TRANSFER_FILE);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let state: Self =
            serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, format!("is no study of transfer of this program: {e}")))?;
        let n = state.rows.len();
        let square = |m: &Vec<Vec<f64>>| m.is_empty() || (m.len() == n && m.iter().all(|r| r.len() == n));
        let fits = state.n_layers <= MOST_LAYERS
            && state.before.len() == n
            && square(&state.overlap)
            && state.units.iter().all(|u| {
                let layers = |s: &Vec<Option<f64>>| s.len() == state.n_layers;
                u.task < n && u.cells.len() == n && (u.similarity.is_empty() || u.similarity.len() == n && u.similarity.iter().all(layers))
            });
        match (state.format == FORMAT, fits) {
            (true, true) => Ok(state),
            (false, _) => Err(Error::format(&path, format!("has format `{}`, expected `{FORMAT}`", state.format))),
            _ => Err(Error::format(&path, format!("its tables do not fit {n} tasks and {} layers", state.n_layers))),
        }
    }

    /// What the folder holds of the same study, of one with fewer seeds or shares, or of a larger one that `fresh` is a part of; else `fresh`. `key_of`:
    /// digest of a plan with other settings.
    ///
    /// # Errors
    /// When it holds another one, or what `fresh` does not ask for and not all that it does.
    pub(super) fn resume(folder: &Path, fresh: Self, key_of: &dyn Fn(&TransferConfig) -> String) -> Result<Self> {
        if !folder.join(TRANSFER_FILE).exists() {
            return Ok(fresh);
        }
        let kept = Self::read(folder)?;
        if kept.key == fresh.key {
            return Ok(Self { provenance: fresh.provenance, ..kept });
        }
        let (path, same) = (folder.join(TRANSFER_FILE), key_of(&kept.config) == kept.key);
        match extend::verify(&path, "study", same, &kept.ground(), &fresh.ground(), &kept.config.growth(&fresh.config))? {
            Fit::Grows => Ok(fresh.holding(kept)),
            Fit::Part => Ok(kept),
        }
    }

    /// What a smaller plan gave, in the order of this one.
    fn holding(self, kept: Self) -> Self {
        let mut state = Self { before: kept.before, overlap: kept.overlap, units: kept.units, ..self };
        state.order_units();
        state
    }

    /// Whether a plan with `config` may go on with it, or is a part of it, as far as settings say.
    pub fn fits(&self, config: &TransferConfig) -> bool {
        self.config.ground() == config.ground() && extend::fit(&self.config.growth(config)).is_some()
    }

    /// Of it what `fresh` asks for, as if its plan had been gone through by itself.
    pub(super) fn part(&self, fresh: &Self) -> Self {
        let (config, finished) = (&fresh.config, self.finished);
        if *config == self.config {
            return self.clone();
        }
        let mut part = fresh.clone().holding(self.clone());
        let shares = config.shares();
        part.units.retain(|u| config.seeds.contains(&u.seed) && shares.contains(&u.percent));
        part.finished = finished || part.is_complete();
        part
    }
    /// Nothing is left to train or to judge.
    pub(super) fn is_complete(&self) -> bool {
        let whole = |seed, percent, task| self.unit(seed, percent, task).is_some_and(|u| u.cells.iter().all(Option::is_some));
        let shares = self.config.shares();
        let units = self.config.seeds.iter().flat_map(|s| shares.iter().map(move |p| (*s, *p)));
        self.before.iter().all(Option::is_some)
            && !self.overlap.is_empty()
            && units.into_iter().all(|(seed, percent)| (0..self.rows.len()).all(|task| whole(seed, percent, task)))
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            tasks: self.tasks().collect(),
            others: Vec::new(),
            rows: &self.rows,
            settings: self.config.ground(),
            provenance: &self.provenance,
        }
    }
    /// As they are trained: whatever was there first, the same plan gives the same file.
    pub(super) fn order_units(&mut self) {
        let shares = self.config.shares();
        let place = |u: &TransferUnit| {
            let seed = self.config.seeds.iter().position(|s| *s == u.seed);
            (seed, shares.iter().position(|p| *p == u.percent), u.task)
        };
        self.units.sort_by_key(place);
    }

    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(TRANSFER_FILE);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::format(&path, e.to_string()))?;
        atomic_file::write(&path, format!("{text}\n").as_bytes())
    }

    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|r| r.name.as_str())
    }
    pub fn unit(&self, seed: u64, percent: f64, task: usize) -> Option<&TransferUnit> {
        self.units.iter().find(|u| u.seed == seed && u.percent == percent && u.task == task)
    }
    pub(super) fn unit_mut(&mut self, seed: u64, percent: f64, task: usize) -> Option<&mut TransferUnit> {
        self.units.iter_mut().find(|u| u.seed == seed && u.percent == percent && u.task == task)
    }
}
