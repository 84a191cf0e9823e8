//! What the panel Tasks holds, made ready for an export.

use super::{App, TuneReport};
use crate::report::export::{
    Live, View,
    live::{Found, TuningSheet},
};
use std::path::Path;

fn sheet(r: &TuneReport) -> TuningSheet {
    TuningSheet {
        task: r.task.clone(),
        what: r.what.words(),
        trained: r.trained,
        parameters: r.parameters,
        judged_on: r.judged_on.clone(),
        points: r.points.clone(),
        before: r.before.clone(),
        after: r.after.clone(),
        best_step: r.best_step,
        steps: r.steps,
    }
}

impl App {
    /// Why a view of the tasks cannot be exported now; `None` also for every other view.
    pub(super) fn cannot_export_tasks(&self, view: View) -> Option<&'static str> {
        let (there, why) = match view {
            View::TaskNeurons => (
                self.tasks.find.as_ref().is_some_and(|v| !v.tasks.is_empty()),
                "No task's neurons are found: the Tasks panel does it under Find.",
            ),
            View::Deactivation => (
                self.tasks.prove.as_ref().and_then(|v| v.result.as_ref()).is_some_and(|m| m.done() > 0),
                "No cell of the matrix is measured: the Tasks panel does it under Prove.",
            ),
            View::Tuning => (
                self.tuning.as_ref().is_some_and(|v| v.report.is_some()),
                "No tuning has ended: the Tasks panel starts one under Train, and opens earlier ones.",
            ),
            View::Continual => (
                self.continual.as_ref().and_then(|v| v.state.as_ref()).is_some_and(|s| s.before.iter().any(Option::is_some)),
                "No sequence of tasks has a score: the Tasks panel starts one under Continual; Open run… opens earlier ones.",
            ),
            View::Transfer => (
                self.transfer.as_ref().and_then(|v| v.state.as_ref()).is_some_and(|s| !s.units.is_empty()),
                "No task was learnt and judged: the Tasks panel starts a study under Generalise; Open run… opens earlier ones.",
            ),
            _ => return None,
        };
        (!there).then_some(why)
    }

    /// `percent`: the share whose neurons are shown.
    pub(super) fn tasks_live(&self, view: View, percent: f64) -> Option<Live> {
        match view {
            View::TaskNeurons => {
                let v = self.tasks.find.as_ref()?;
                let found = Found { tasks: v.tasks.clone(), curves: v.curves.clone(), percent, ranking: v.ranking() };
                Some(Live { provenance: v.provenance.clone(), found: Some(found), ..Live::default() })
            }
            View::Deactivation => {
                let matrix = self.tasks.prove.as_ref()?.result.clone()?;
                Some(Live { provenance: matrix.provenance.clone(), matrix: Some(matrix.into()), ..Live::default() })
            }
            View::Tuning => {
                let report = self.tuning.as_ref()?.report.as_ref()?;
                Some(Live { provenance: report.provenance.clone(), tuning: Some(sheet(report)), ..Live::default() })
            }
            View::Continual => {
                let state = self.continual.as_ref()?.state.clone()?;
                Some(Live { provenance: state.provenance.clone(), continual: Some(state), ..Live::default() })
            }
            View::Transfer => {
                let state = self.transfer.as_ref()?.state.clone()?;
                Some(Live { provenance: state.provenance.clone(), transfer: Some(state), ..Live::default() })
            }
            _ => None,
        }
    }

    /// The folder that `export` reads the view from.
    pub(super) fn tasks_folder(&self, view: View) -> Option<&Path> {
        match view {
            View::Deactivation => self.tasks.prove.as_ref()?.folder.as_deref(),
            View::Tuning => self.tuning.as_ref()?.folder.as_deref(),
            View::Continual => self.continual.as_ref().filter(|v| v.whole).map(|v| v.folder.as_path()),
            View::Transfer => self.transfer.as_ref().filter(|v| v.whole).map(|v| v.folder.as_path()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        app::{App, Command, testing, testing_lessons, testing_tasks, testing_tuning},
        report::export::{ExportSpec, FileKind, View},
        tune::Ended,
    };
    use std::path::Path;

    #[test]
    fn every_tab_of_the_tasks_is_exported_and_says_how_to_make_it_again() {
        let dir = tempfile::tempdir().expect("folder");
        type Case = (View, fn(&Path) -> App, &'static str);
        let cases: [Case; 5] = [
            (View::TaskNeurons, |d| testing_tasks::sample_app_found(d, 6), "brodmann neurons --model demo --export"),
            (View::Deactivation, |d| testing_tasks::sample_app_proved(d, 1.0), "run: brodmann prove --model demo"),
            (View::Tuning, |d| testing_tuning::sample_app_tuned(d, Ended::Finished), "--what tuning"),
            (View::Continual, |d| testing_lessons::sample_app_continual(d, 1.0), "export /runs/continual --what continual"),
            (View::Transfer, |d| testing_lessons::sample_app_transfer(d, 1.0), "export /runs/transfer --what transfer"),
        ];
        for (what, make, command) in cases {
            let mut app = testing::sample_app(dir.path());
            assert!(app.cannot_export(what).is_some(), "{what:?} without a result");
            app = make(dir.path());
            for kind in [FileKind::Svg, FileKind::Csv] {
                let path = dir.path().join(format!("{}.{}", what.id(), kind.extension()));
                let spec = ExportSpec { what, kind, ..ExportSpec::default() };
                app.apply(Command::Export { spec, path: path.clone() });
                testing::settle(&mut app);
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{what:?}: {e} {:?}", app.log));
                assert!(text.lines().count() > 5 && !text.contains("NaN"), "{what:?}");
                if kind == FileKind::Svg {
                    assert!(text.contains(command), "{what:?}");
                    assert!(text.contains(&"5a".repeat(6)), "the model's digest: {what:?}");
                }
            }
        }
    }
}
