//! The gradient certificate of the open model: made on request, kept by the model's hash.

use super::{
    App, JobView,
    event::{Event, JobTarget},
    state::NoticeLevel,
};
use crate::{
    base::atomic_file,
    check::{CheckConfig, CheckReport, check_model},
    compute::cpu::Products,
    model::Decoder,
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
        let (title, target) = (format!("Check of {}", decoder.model.info.name), JobTarget::Check(decoder.computing_key()));
        let products = self.products_flag().map(|p| format!(" --products {p}")).unwrap_or_default();
        let model = self.project.model.as_ref().map_or("demo".into(), |p| p.display().to_string());
        let command = format!("brodmann check {model} --again{products}");
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
        let key = self.decoder.as_ref().map(Decoder::computing_key).or_else(|| Some(self.library.model_info()?.sha256.clone()))?;
        self.last_job(|t| matches!(t, JobTarget::Check(of) if *of == key))
    }

    pub(super) fn checked(&mut self, report: Arc<CheckReport>) {
        if self.library.model_info().is_none() || self.is_check_of_now(&report) {
            self.library.check = Some(report);
            return;
        }
        // Base or tuned twin was checked while the other computes, or the arithmetic was changed meanwhile.
        let tuned = self.tuned.as_ref().map(|t| t.tuned_info());
        if self.base_info().into_iter().chain(tuned).any(|m| m.sha256 == report.model_sha256) {
            let others = &mut self.library.other_checks;
            others.retain(|c| (&c.model_sha256, products_of(c)) != (&report.model_sha256, products_of(&report)));
            others.push(report);
        }
    }

    /// Whether it certifies what computes now.
    pub(super) fn is_check_of_now(&self, report: &CheckReport) -> bool {
        self.library.model_info().is_some_and(|m| m.sha256 == report.model_sha256) && products_of(report) == self.products()
    }
}

fn products_of(report: &CheckReport) -> Products {
    Products::named_in(&report.provenance.dtype)
}

/// One for each arithmetic: who goes from one to another and back has not lost the first.
fn path_of(data_dir: &Path, sha256: &str, products: Products) -> PathBuf {
    let file = if products == Products::fastest() { format!("{sha256}.json") } else { format!("{sha256}-{products}.json") };
    data_dir.join("checks").join(file)
}

/// A certificate that cannot be kept is made again another time.
fn keep(data_dir: &Path, report: &CheckReport) {
    let path = path_of(data_dir, &report.model_sha256, products_of(report));
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
    let bytes = std::fs::read(path_of(data_dir, sha256, Products::named_in(arithmetic))).ok()?;
    let report: CheckReport = serde_json::from_slice(&bytes).ok()?;
    let same = report.provenance.dtype.ends_with(&format!("weights, {arithmetic} against f64 arithmetic"));
    (report.model_sha256 == sha256 && same && report.is_current()).then(|| Arc::new(report))
}
