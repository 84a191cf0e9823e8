//! The gradient certificate of the open model: made on request, kept by the model's hash.

use super::{
    App, JobView,
    event::{Event, JobTarget},
    state::NoticeLevel,
};
use crate::{
    base::atomic_file,
    check::{CheckConfig, CheckReport, check_model},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

impl App {
    pub(super) fn check_model(&mut self, again: bool) {
        let Some(decoder) = self.decoder.clone() else {
            let what = "Open a model folder, or `demo`, and wait until it is read.";
            return self.notice(NoticeLevel::Error, "There is no model to check", what);
        };
        if !again && self.library.check.is_some() {
            return;
        }
        let folder = self.settings.data_dir.clone();
        let info = &decoder.model.info;
        let (title, target) = (format!("Check of {}", info.name), JobTarget::Check(info.sha256.clone()));
        let command = format!("brodmann check {} --again", self.project.model.as_ref().map_or("demo".into(), |p| p.display().to_string()));
        self.runner.spawn(&mut self.jobs, title, target, move |ctx, out| {
            let mut report = check_model(&decoder, &CheckConfig::default(), ctx)?;
            report.provenance.command = command;
            keep(&folder, &report);
            out.send(Event::Checked(Arc::new(report)));
            Ok(())
        });
    }

    /// The newest check of the open model that is listed, running or ended.
    pub fn check_job(&self) -> Option<&JobView> {
        let sha256 = &self.library.model_info()?.sha256;
        self.last_job(|t| matches!(t, JobTarget::Check(of) if of == sha256))
    }

    pub(super) fn checked(&mut self, report: Arc<CheckReport>) {
        if self.library.model_info().is_none_or(|m| m.sha256 == report.model_sha256) {
            self.library.check = Some(report);
        } else if self.base_info().is_some_and(|m| m.sha256 == report.model_sha256) {
            // The base was checked, and its tuned child computes meanwhile.
            self.library.other_checks.insert(report.model_sha256.clone(), report);
        }
    }
}

fn path_of(data_dir: &Path, sha256: &str) -> PathBuf {
    data_dir.join("checks").join(format!("{sha256}.json"))
}

/// A certificate that cannot be kept is made again another time.
fn keep(data_dir: &Path, report: &CheckReport) {
    let path = path_of(data_dir, &report.model_sha256);
    let written = serde_json::to_vec_pretty(report).map_err(|e| e.to_string()).and_then(|bytes| {
        std::fs::create_dir_all(path.parent().unwrap_or(data_dir)).map_err(|e| e.to_string())?;
        atomic_file::write(&path, &bytes).map_err(|e| e.to_string())
    });
    if let Err(e) = written {
        tracing::warn!("{}: the certificate was not kept: {e}", path.display());
    }
}

/// The certificate of an earlier check of the same weights by the same formulas and arithmetic.
pub(super) fn kept(data_dir: &Path, sha256: &str, arithmetic: &str) -> Option<Arc<CheckReport>> {
    let bytes = std::fs::read(path_of(data_dir, sha256)).ok()?;
    let report: CheckReport = serde_json::from_slice(&bytes).ok()?;
    let same = report.provenance.dtype.ends_with(&format!("weights, {arithmetic} against f64 arithmetic"));
    (report.model_sha256 == sha256 && same && report.is_current()).then(|| Arc::new(report))
}
