//! Sweeps, curves and searches that lie in the data folder: found again, and shown as far as they came.

use super::{
    App, BreakLive, Failure, SweepKind, SweepRequest, SweepView, Sweeps,
    event::{Event, JobTarget},
    sweep::{BROKEN, CURVE_BEGUN, CurvePlan, SEARCH_BEGUN, SearchPlan, SweepNews, begun_request, next_version, units_key},
};
use crate::{
    ablate::{
        Broken, KCurve, Sweep,
        sweep_file::{self, SWEEP_FILE},
    },
    base::Result,
    eval::{AblationAt, AblationMode},
    model::{Decoder, DecoderSpec},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What a folder has of what was asked for.
pub(super) struct KeptSweep {
    request: SweepRequest,
    folder: PathBuf,
    found: Found,
    /// It was broken off.
    partial: bool,
}

enum Found {
    Units(Sweep),
    Curve(KCurve),
    Search(BreakLive),
}

impl KeptSweep {
    fn units(folder: PathBuf, model: &DecoderSpec) -> Result<Self> {
        let (header, rows) = sweep_file::read(&folder)?;
        let mut sweep = Sweep::new(header.spec, &header.domain, model, header.baseline, header.provenance)?;
        rows.into_iter().for_each(|(id, totals)| sweep.set(id, totals));
        let Sweep { spec, domain, .. } = &sweep;
        let request = SweepRequest::Units { unit: spec.unit, domain: domain.clone(), layers: spec.layers };
        Ok(Self { request, folder, partial: sweep.done() < sweep.total, found: Found::Units(sweep) })
    }
    fn curve(plan: CurvePlan) -> Option<Self> {
        let curve = plan.curve(plan.known().filter(|known| !known.points.is_empty())?);
        let partial = curve.points.len() < plan.percents.len();
        Some(Self { request: plan.request, folder: plan.folder, found: Found::Curve(curve), partial })
    }
    fn search(plan: SearchPlan) -> Option<Self> {
        let steps = plan.known().filter(|known| !known.steps.is_empty())?.steps;
        let read = |path: PathBuf| serde_json::from_slice::<Broken>(&std::fs::read(path).ok()?).ok();
        // An end may be that of an earlier search: this one's went the same way.
        let outcome = read(plan.folder.join(BROKEN)).filter(|end| end.steps == steps);
        let partial = outcome.is_none();
        let found = Found::Search(BreakLive { steps, outcome: outcome.map(Arc::new) });
        Some(Self { request: plan.request, folder: plan.folder, found, partial })
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
}

/// Folders with this file, the one that was written to last first.
fn by_time(sweeps: &Path, file: &str) -> Vec<PathBuf> {
    let written = |folder: &Path| std::fs::metadata(folder.join(file)).and_then(|m| m.modified()).ok();
    let folders = std::fs::read_dir(sweeps).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut by_time: Vec<(SystemTime, PathBuf)> = folders.filter_map(|folder| Some((written(&folder)?, folder))).collect();
    by_time.sort_unstable_by(|a, b| b.cmp(a));
    by_time.into_iter().map(|(_, folder)| folder).collect()
}

impl App {
    /// Looks for it on a worker. Nothing is said where there is none, or nothing to look with yet.
    pub(super) fn find_sweep(&mut self, kind: SweepKind, request: Option<SweepRequest>) {
        let sweeps = self.sweeps_dir();
        match (kind, request) {
            (SweepKind::Units, request) => {
                let Some((decoder, wanted)) = self.wanted_units(request) else { return };
                self.look_for_sweep(kind, move || {
                    let newest = by_time(&sweeps, SWEEP_FILE).into_iter().find(|folder| wanted.is(folder));
                    let kept = newest.map(|folder| KeptSweep::units(folder, &decoder.model.spec)).transpose()?;
                    Ok(kept.map(|kept| SweepNews::Kept(Box::new(kept))))
                });
            }
            (kind, None) => {
                let file = if kind == SweepKind::AgainstK { CURVE_BEGUN } else { SEARCH_BEGUN };
                self.look_for_sweep(kind, move || {
                    let begun = by_time(&sweeps, file).into_iter().find_map(|folder| begun_request(&folder.join(file)));
                    Ok(begun.map(SweepNews::Begun))
                });
            }
            (SweepKind::AgainstK, Some(request)) => {
                let Ok(plan) = self.plan_curve(&request, None) else { return };
                self.look_for_sweep(kind, move || Ok(KeptSweep::curve(plan).map(|kept| SweepNews::Kept(Box::new(kept)))));
            }
            (SweepKind::Break, Some(request)) => {
                let Ok(plan) = self.plan_search(&request, None) else { return };
                self.look_for_sweep(kind, move || Ok(KeptSweep::search(plan).map(|kept| SweepNews::Kept(Box::new(kept)))));
            }
        }
    }

    fn look_for_sweep(&mut self, kind: SweepKind, look: impl FnOnce() -> Result<Option<SweepNews>> + Send + 'static) {
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::KeptSweep(kind));
        self.runner.spawn(&mut Vec::new(), "", JobTarget::KeptSweep(kind), move |_, out| {
            if let Some(news) = look()? {
                out.send(Event::Sweep(news));
            }
            Ok(())
        });
    }

    fn wanted_units(&self, request: Option<SweepRequest>) -> Option<(Decoder, Wanted)> {
        let (decoder, first) = (self.decoder.clone()?, self.project.enabled().next()?);
        let (switching, sources) = (self.switching().ok()?, self.sweep_sources(&first.name, &[]).ok()?);
        let wanted = Wanted {
            request,
            model_sha256: self.provenance().model_sha256,
            mode: self.project.mode.clone(),
            at: self.project.at,
            keys: sources.iter().map(|s| (s.domain.name.clone(), units_key(s, &switching))).collect(),
        };
        Some((decoder, wanted))
    }
}

impl Sweeps {
    /// What is measured now, or was in this session, is at least as new.
    pub(super) fn show_kept(&mut self, kept: KeptSweep) {
        fn show<T>(view: &mut Option<SweepView<T>>, (request, folder, partial): (SweepRequest, PathBuf, bool), found: T) {
            let newer = |v: &SweepView<T>| v.running || (v.result.is_some() && v.folder.as_ref() == Some(&folder));
            if view.as_ref().is_some_and(newer) {
                return;
            }
            let failed = partial.then_some(Failure::Cancelled);
            *view =
                Some(SweepView { request, version: next_version(view), running: false, failed, folder: Some(folder), result: Some(found) });
        }
        let KeptSweep { request, folder, found, partial } = kept;
        let of = (request, folder, partial);
        match found {
            Found::Units(sweep) => show(&mut self.units, of, sweep),
            Found::Curve(curve) => show(&mut self.against_k, of, curve),
            Found::Search(live) => show(&mut self.broken, of, live),
        }
    }
}
