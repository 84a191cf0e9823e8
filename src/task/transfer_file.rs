//! The study of transfer on the disk: one JSON file that says what is asked for and holds every finished cell.

use super::{RowCounts, Score, TransferConfig};
use crate::base::{Error, Result, atomic_file, provenance::Provenance};
use serde::{Deserialize, Serialize};
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

    pub(super) fn resume(folder: &Path, fresh: Self) -> Result<Self> {
        if !folder.join(TRANSFER_FILE).exists() {
            return Ok(fresh);
        }
        let kept = Self::read(folder)?;
        if kept.key != fresh.key {
            return Err(Error::format(
                folder.join(TRANSFER_FILE),
                "is of another study (other tasks, rows, settings, products, another model or version of the program); use the same ones, or another folder",
            ));
        }
        Ok(Self { provenance: fresh.provenance, ..kept })
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
