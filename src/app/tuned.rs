//! A tuned model beside its base: one or the other computes, at once; what changed in the weights; and the ways to keep it.

use super::{
    App, NoticeLevel, TuneReport, check,
    event::{Event, JobTarget},
    jobs::Outbox,
    library::Loading,
    project_file::is_demo,
    results_folder::read_tuning,
    tuning::{OVERLAY_FILE, save_folder},
};
use crate::{
    base::{Error, Result},
    model::{Decoder, Model, ModelInfo},
    tune::{Overlay, Target, WeightChange, peft, weight_change},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Base and tuned model, both ready to compute; they share every tensor that did not train.
#[derive(Clone)]
pub struct TunedModel {
    pub(super) base: Decoder,
    pub(super) tuned: Decoder,
    /// The tuned one computes.
    pub on: bool,
    pub target: Target,
    pub report: Arc<TuneReport>,
    /// Folder of overlay and report.
    pub folder: PathBuf,
    pub change: Arc<WeightChange>,
    values: Arc<Vec<(String, Vec<f32>)>>,
}

impl TunedModel {
    pub fn base_info(&self) -> &ModelInfo {
        &self.base.model.info
    }
    pub fn tuned_info(&self) -> &ModelInfo {
        &self.tuned.model.info
    }
    /// The same with the backend of `base`, which holds the same weights.
    pub(super) fn on_backend(self, base: &Decoder) -> Self {
        let tuned = Decoder::new(self.tuned.model.clone(), base.backend.clone());
        Self { base: base.clone(), tuned, ..self }
    }
    /// The one of the two that computes.
    pub(super) fn computing(&self) -> &Decoder {
        if self.on { &self.tuned } else { &self.base }
    }
    /// Whether it is an adapter, which PEFT can load.
    pub fn is_adapter(&self) -> bool {
        matches!(self.target, Target::Lora(_))
    }
}

/// The tuned model of an overlay, with what changed.
pub(super) fn made(base: &Decoder, overlay: Overlay, report: Arc<TuneReport>, folder: &Path) -> Result<TunedModel> {
    let model = overlay.apply(&base.model, &base.backend)?;
    let change = Arc::new(weight_change(&base.model, &model)?);
    let tuned = Decoder::new(Arc::new(model), base.backend.clone());
    let Overlay { target, values, .. } = overlay;
    let (base, values) = (base.clone(), Arc::new(values));
    Ok(TunedModel { base, tuned, on: true, target, report, folder: folder.to_owned(), change, values })
}

/// The tuned model computes from now on; with the certificate that was once made of the same weights.
pub(super) fn send(tuned: TunedModel, data_dir: &Path, out: &Outbox) {
    let check = check::kept(data_dir, &tuned.tuned_info().sha256, tuned.tuned.backend.arithmetic());
    out.send(Event::TunedModel(Box::new(tuned)));
    check.into_iter().for_each(|c| out.send(Event::Checked(c)));
}

/// How a tuned model is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunedFile {
    /// A model folder that other tools load.
    Model,
    /// `adapter_config.json` and `adapter_model.safetensors`, of LoRA alone.
    Adapter,
}

impl App {
    /// The model that is trained: the base, also while its tuned child computes.
    pub(super) fn base_decoder(&self) -> Option<Decoder> {
        self.tuned.as_ref().map(|t| t.base.clone()).or_else(|| self.decoder.clone())
    }

    /// Whether what the panels show was measured on another model than the open one; base and tuned are one.
    pub fn shows_another_model(&self) -> bool {
        let Some(run) = self.library.scan() else { return false };
        let open = [self.library.model_info(), self.base_info()];
        open[0].is_some() && open.into_iter().flatten().all(|m| m.sha256 != run.provenance.model_sha256)
    }

    /// What the project's model is, also while its tuned child computes.
    pub fn base_info(&self) -> Option<&ModelInfo> {
        self.tuned.as_ref().map(TunedModel::base_info).or_else(|| self.library.model_info())
    }

    pub(super) fn tuned_made(&mut self, tuned: TunedModel) {
        // Another model may have been opened meanwhile.
        if self.base_info().is_none_or(|i| i.sha256 != tuned.base.model.info.sha256) {
            return;
        }
        // So may the way it computes have changed, and base and tuned model are always of one kind.
        let Some(base) = self.base_decoder() else { return };
        self.tuned = Some(TunedModel { on: false, ..tuned.on_backend(&base) });
        self.use_tuned(true);
    }

    /// The tuned model computes, or its base.
    pub(super) fn use_tuned(&mut self, on: bool) {
        let Some(tuned) = &mut self.tuned else {
            return self.notice(NoticeLevel::Error, "There is no tuned model", "Tune the model, or open a folder that a tuning wrote.");
        };
        if tuned.on == on {
            return;
        }
        tuned.on = on;
        let decoder = tuned.computing().clone();
        self.put_decoder(decoder);
    }

    /// Another model of the same shape, or the same in another arithmetic, computes from now on; what was measured with the one before is forgotten or
    /// known by its computing key.
    pub(super) fn put_decoder(&mut self, decoder: Decoder) {
        if let Some(model) = self.library.model.as_mut() {
            model.state = Loading::Ready((decoder.model.info.clone(), decoder.model.spec.clone()));
        }
        self.decoder = Some(decoder);
        // A certificate is of one model's weights and arithmetic: that of the one before waits until it computes again.
        self.library.other_checks.extend(self.library.check.take());
        let computes = self.library.other_checks.iter().position(|c| self.is_check_of_now(c));
        self.library.check = computes.map(|at| self.library.other_checks.swap_remove(at));
        let measured = !self.ablation.before.is_empty();
        self.forget_evaluation();
        self.forget_prediction();
        self.forget_inspection();
        if measured {
            self.evaluate();
        }
        self.refresh_ablation();
        self.refresh_prediction();
        self.refresh_inspection();
    }

    /// Leaves the tuned model behind; its files stay.
    pub(super) fn forget_tuned(&mut self) {
        if self.tuned.is_some() {
            self.use_tuned(false);
        }
        self.tuned = None;
    }

    /// What a tuning wrote before: its folder.
    pub(super) fn open_tuned(&mut self, folder: PathBuf) {
        let Some(base) = self.base_decoder() else {
            let what = "Open the model that was tuned, and wait until it is read.";
            return self.notice(NoticeLevel::Error, "There is no model to put the tuning on", what);
        };
        if self.tuning.as_ref().is_some_and(|v| v.job.is_some()) {
            let title = format!("The tuning in {} was not opened", folder.display());
            return self.notice(NoticeLevel::Warn, title, "Another one is under way in Tasks, Train; wait for it, or cancel it.");
        }
        let data_dir = self.settings.data_dir.clone();
        self.runner.spawn(&mut self.jobs, format!("Opening {}", folder.display()), JobTarget::Other, move |ctx, out| {
            ctx.progress("reading the overlay", 0, 0, "");
            let report = read_tuning(&folder)?;
            let overlay = Overlay::load(&folder.join(OVERLAY_FILE))?;
            let report = Arc::new(report);
            let tuned = made(&base, overlay, report.clone(), &folder)?;
            out.send(Event::Tuned { report, folder: folder.clone() });
            send(tuned, &data_dir, out);
            Ok(())
        });
    }

    pub(super) fn save_tuned(&mut self, path: PathBuf, as_what: TunedFile) {
        let Some(tuned) = self.tuned.clone() else {
            return self.notice(NoticeLevel::Error, "There is no tuned model to save", "Tune the model first.");
        };
        let title = format!("Saving {}", path.display());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Export(path.clone()), move |ctx, _| {
            ctx.progress("writing", 0, 0, "");
            let base: &Model = &tuned.base.model;
            match (as_what, &tuned.target) {
                (TunedFile::Model, _) => save_folder(&path, base, &tuned.tuned.model),
                (TunedFile::Adapter, Target::Lora(config)) => peft::save(&path, base, config, &tuned.values),
                (TunedFile::Adapter, _) => {
                    Err(Error::invalid("only a LoRA tuning is an adapter; save it as a model folder, or keep its overlay"))
                }
            }
        });
    }

    /// Where a tuning goes that was given no folder: below the data folder, named after what is asked for, so that the same request goes on in it.
    pub fn tune_folder(&self, task: &str, what: &str, digest: &str) -> PathBuf {
        let clean = |t: &str| t.chars().map(|c| if c.is_alphanumeric() || "-.".contains(c) { c } else { '-' }).collect::<String>();
        let model = self.base_info().map_or("model", |i| i.name.as_str());
        let model = if is_demo(Path::new(model)) { "demo".to_owned() } else { clean(model) };
        self.settings.data_dir.join("tuned").join(format!("{model}-{}-{}-{}", clean(task), clean(what), &digest[..8.min(digest.len())]))
    }
}
