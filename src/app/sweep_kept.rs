//! Sweeps of single units that lie in the data folder: found again, and shown as far as they came.

use super::{
    App, Failure, SweepRequest, SweepView, Sweeps,
    event::{Event, JobTarget},
    sweep::{SweepNews, next_version, units_key},
};
use crate::{
    ablate::{
        Sweep,
        sweep_file::{self, SWEEP_FILE},
    },
    base::Result,
    eval::{AblationAt, AblationMode},
    model::DecoderSpec,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A sweep as its folder has it.
pub(super) struct KeptSweep {
    folder: PathBuf,
    sweep: Sweep,
}

impl KeptSweep {
    fn read(folder: PathBuf, model: &DecoderSpec) -> Result<Self> {
        let (header, rows) = sweep_file::read(&folder)?;
        let mut sweep = Sweep::new(header.spec, &header.domain, model, header.baseline, header.provenance)?;
        rows.into_iter().for_each(|(id, totals)| sweep.set(id, totals));
        Ok(Self { folder, sweep })
    }
    fn request(&self) -> SweepRequest {
        let Sweep { spec, domain, .. } = &self.sweep;
        SweepRequest::Units { unit: spec.unit, domain: domain.clone(), layers: spec.layers }
    }
}

/// What would be gone on with: sweeps of this model, switched in this way, over these items.
struct Wanted {
    request: Option<SweepRequest>,
    model_sha256: String,
    mode: AblationMode,
    at: AblationAt,
    /// By domain.
    keys: BTreeMap<String, String>,
}

impl Wanted {
    fn is(&self, folder: &Path) -> bool {
        let Ok(header) = sweep_file::read_header(folder) else { return false };
        let spec = &header.spec;
        let asked = self
            .request
            .as_ref()
            .is_none_or(|request| *request == SweepRequest::Units { unit: spec.unit, domain: header.domain.clone(), layers: spec.layers });
        let same = header.provenance.model_sha256 == self.model_sha256 && (&spec.mode, spec.at) == (&self.mode, self.at);
        asked && same && self.keys.get(&header.domain) == Some(&header.items_sha256)
    }
    /// The folder that was written to last.
    fn newest(&self, sweeps: &Path) -> Option<PathBuf> {
        let written = |folder: &Path| std::fs::metadata(folder.join(SWEEP_FILE)).and_then(|m| m.modified()).ok();
        let folders = std::fs::read_dir(sweeps).ok()?.flatten().map(|entry| entry.path());
        let mut by_time: Vec<(SystemTime, PathBuf)> = folders.filter_map(|folder| Some((written(&folder)?, folder))).collect();
        by_time.sort_unstable_by(|a, b| b.cmp(a));
        by_time.into_iter().map(|(_, folder)| folder).find(|folder| self.is(folder))
    }
}

impl App {
    /// Looks for it on a worker. Nothing is said where there is none, or nothing to look with yet.
    pub(super) fn find_sweep(&mut self, request: Option<SweepRequest>) {
        let (Some(decoder), Some(first)) = (self.decoder.clone(), self.project.enabled().next()) else { return };
        let (Ok(switching), Ok(sources)) = (self.switching(), self.sweep_sources(&first.name, &[])) else { return };
        let wanted = Wanted {
            request,
            model_sha256: self.provenance().model_sha256,
            mode: self.project.mode.clone(),
            at: self.project.at,
            keys: sources.iter().map(|s| (s.domain.name.clone(), units_key(s, &switching))).collect(),
        };
        let sweeps = self.sweeps_dir();
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::KeptSweep);
        self.runner.spawn(&mut Vec::new(), "", JobTarget::KeptSweep, move |_, out| {
            if let Some(folder) = wanted.newest(&sweeps) {
                let kept = KeptSweep::read(folder, &decoder.model.spec)?;
                out.send(Event::Sweep(SweepNews::Kept(Box::new(kept))));
            }
            Ok(())
        });
    }
}

impl Sweeps {
    /// What is measured now, or was in this session, is at least as new.
    pub(super) fn show_kept(&mut self, kept: KeptSweep) {
        let newer = |v: &SweepView<Sweep>| v.running || (v.result.is_some() && v.folder.as_ref() == Some(&kept.folder));
        if self.units.as_ref().is_some_and(newer) {
            return;
        }
        let partial = kept.sweep.done() < kept.sweep.total;
        self.units = Some(SweepView {
            request: kept.request(),
            version: next_version(&self.units),
            running: false,
            failed: partial.then_some(Failure::Cancelled),
            folder: Some(kept.folder),
            result: Some(kept.sweep),
        });
    }
}
