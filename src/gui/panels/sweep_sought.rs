//! What earlier sessions measured of a sweep is looked for, once for each form and settings.

use crate::{
    app::{App, Command, EvalConfig, SweepKind, SweepRequest, SweepView},
    eval::{AblationAt, AblationMode},
    gui::PanelCx,
};
use std::path::PathBuf;

/// What was looked for last.
#[derive(Default)]
pub(super) struct Sought(Option<Key>);

/// What decides which sweep is found.
#[derive(PartialEq)]
struct Key {
    model_sha256: String,
    request: SweepRequest,
    mode: AblationMode,
    at: AblationAt,
    eval: EvalConfig,
    /// Digests of what the domains score.
    items: Vec<String>,
    /// The run whose maps rank neurons.
    run: Option<PathBuf>,
}

impl Key {
    /// `None` while something is read.
    fn of(request: SweepRequest, app: &App) -> Option<Self> {
        let p = &app.project;
        let items = |name: &str| Some(app.library.domain(name)?.scored()?.items_sha256.clone());
        Some(Self {
            model_sha256: app.library.model_info()?.sha256.clone(),
            request,
            mode: p.mode.clone(),
            at: p.at,
            eval: p.eval.clone(),
            items: p.enabled().map(|d| items(&d.name)).collect::<Option<_>>()?,
            run: app.library.run().map(|r| r.key()),
        })
    }
}

impl Sought {
    /// At first whatever was measured last is looked for; then what the form asks for.
    pub fn look<T>(&mut self, cx: &mut PanelCx<'_>, kind: SweepKind, view: Option<&SweepView<T>>, request: Option<&SweepRequest>) {
        if view.is_some_and(|v| v.running) {
            return;
        }
        let Some(key) = request.and_then(|r| Key::of(r.clone(), cx.app)).filter(|k| self.0.as_ref() != Some(k)) else { return };
        let any = view.is_none() && self.0.is_none();
        cx.send(Command::FindSweep { kind, request: request.filter(|_| !any).cloned() });
        self.0 = Some(key);
    }
}
