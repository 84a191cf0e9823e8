//! A view as a file, or as something to paste.

use super::{
    App, NoticeLevel,
    event::{Event, JobTarget},
    project_file::is_demo,
    run::shell_word,
};
use crate::{
    base::{LongTable, heatmap::ScaleKind, long_table::LongRow, provenance::Provenance},
    report::{
        Report,
        export::{self, Copied, ExportSpec, FileKind, Live, View},
    },
    scan::ScanOutput,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a worker needs to draw a view.
struct Inputs {
    scan: Arc<ScanOutput>,
    samples: Option<Arc<crate::scan::SampleSimilarity>>,
    ablation: Option<crate::ablate::AblationReport>,
    other: Option<Arc<ScanOutput>>,
    live: Option<Live>,
    colours: Vec<(String, usize)>,
}

impl Inputs {
    fn report<'a>(&'a self, spec: &ExportSpec) -> Report<'a> {
        Report {
            scan: &self.scan,
            model: None,
            metric: spec.metric,
            top_percent: spec.top_percent,
            scores: &[],
            scored_in: "",
            ablation: self.ablation.as_ref(),
            colours: &self.colours,
            map: spec.colours,
            samples: self.samples.as_deref(),
            other: self.other.as_deref(),
            live: self.live.as_ref(),
        }
    }
}

impl App {
    /// Why the view cannot be exported now, and what to do.
    pub fn cannot_export(&self, view: View) -> Option<&'static str> {
        if view.info().stored {
            let Some(run) = self.library.run() else { return Some("There is no run to export: scan first, or open a run.") };
            let samples = view == View::Samples && run.samples.is_none();
            return samples.then_some("No samples have been compared: the Similarity panel does it under Samples.");
        }
        if view != View::Ablation {
            return self.cannot_export_live(view);
        }
        self.ablation_report()
            .is_none()
            .then_some("Nothing is measured to its end: switch neurons off and wait until every question is scored.")
    }

    /// Writes the file on a worker: a map of millions of neurons takes longer than a frame.
    pub(super) fn export(&mut self, spec: ExportSpec, path: PathBuf) {
        let Some(inputs) = self.export_inputs(&spec) else { return };
        let command = self.export_command(&spec, &path);
        let title = format!("Exporting {}", path.display());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Export(path.clone()), move |ctx, _| {
            ctx.progress("drawing", 0, 0, "");
            export::write(&path, &spec, &inputs.report(&spec), &command, ctx).map(|_| ())
        });
    }

    /// Makes the view for the clipboard, which belongs to the window: it takes [`App::copied`].
    pub(super) fn copy_view(&mut self, spec: ExportSpec) {
        let Some(inputs) = self.export_inputs(&spec) else { return };
        let command = self.export_command(&spec, Path::new(&format!("FILE.{}", spec.kind.extension())));
        self.runner.spawn(&mut self.jobs, format!("Copying {}", spec.what.info().label), JobTarget::Other, move |ctx, out| {
            let copied = export::copy(&spec, &inputs.report(&spec), &command, ctx)?;
            out.send(Event::Copied(Arc::new(copied)));
            Ok(())
        });
    }

    /// What was made for the clipboard since the last call.
    pub fn take_copied(&mut self) -> Option<Arc<Copied>> {
        self.copied.take()
    }

    /// Rows that a panel has worked out, as CSV, TSV or Parquet by the end of the file's name.
    pub(super) fn export_rows(&mut self, title: &str, rows: Vec<LongRow>, path: PathBuf) {
        let Some(kind) = FileKind::of(&path).filter(|k| !k.is_picture()) else {
            let details = format!("{}: a table is written as .csv, .tsv or .parquet", path.display());
            return self.notice(NoticeLevel::Error, "The table could not be exported", details);
        };
        let provenance = self.library.run().map_or_else(|| self.provenance(), |r| r.output.provenance.clone());
        let table = LongTable { rows, ..LongTable::new(&provenance.model, provenance.seed) };
        let note =
            serde_json::to_string_pretty(&serde_json::json!({ "shows": title, "provenance": provenance })).unwrap_or_default() + "\n";
        let title = format!("Exporting {}", path.display());
        self.runner.spawn(&mut self.jobs, title, JobTarget::Export(path.clone()), move |ctx, _| {
            export::write_table(&path, kind, &table, &note, ctx).map(|_| ())
        });
    }

    fn export_inputs(&mut self, spec: &ExportSpec) -> Option<Inputs> {
        let view = spec.what;
        if let Some(why) = self.cannot_export(view) {
            self.notice(NoticeLevel::Error, "There is nothing to export", why);
            return None;
        }
        let mut colours: Vec<(String, usize)> = self.project.domains.iter().map(|d| (d.name.clone(), d.colour)).collect();
        let scan = self.library.run().map(|r| r.output.clone()).unwrap_or_default();
        let ablation = if view == View::Ablation { self.ablation_report() } else { None };
        let other = self.other_run().filter(|_| view == View::Maps).map(|r| r.output.clone());
        let live = self.live_of(spec);
        // Of results that were opened without their project, by place.
        for (place, name) in live.iter().flat_map(Live::names).enumerate() {
            if !colours.iter().any(|c| c.0 == *name) {
                colours.push((name.to_owned(), place));
            }
        }
        let samples = self.library.run().and_then(|r| r.samples.clone());
        Some(Inputs { scan, samples, ablation, other, live, colours })
    }

    /// Where the numbers of a view come from.
    pub fn export_provenance(&self, spec: &ExportSpec) -> Option<Provenance> {
        match spec.what {
            View::Samples => self.library.run().and_then(|r| r.samples.as_ref()).map(|s| s.provenance.clone()),
            view if view.info().stored => self.library.run().map(|r| r.output.provenance.clone()),
            View::Ablation => self.ablation_report().map(|r| r.provenance),
            _ => self.live_of(spec).map(|l| l.provenance),
        }
    }

    /// The command that makes the numbers of a view again as it is shown, and whether it writes the file too.
    fn repeats(&self, spec: &ExportSpec, again: String) -> (String, bool) {
        match spec.what {
            // Their commands write no file; where the folder holds what is shown, `export` reads it.
            View::Deactivation | View::Continual | View::Transfer => (again, false),
            View::Prediction => match self.predicted_by() {
                Some(by) => (by.command.clone(), true),
                None => (again, false),
            },
            // Before its end a search has no result that a command would write.
            View::Break => (again, self.live_of(spec).and_then(|l| l.broken).is_some_and(|b| b.outcome.is_some())),
            View::Neuron | View::Head => {
                let run = self.library.run().and_then(|r| r.path.as_deref()).filter(|p| !again.is_empty() && !is_demo(p));
                let full = |p: &Path| shell_word(&std::path::absolute(p).unwrap_or_else(|_| p.to_owned()).display().to_string());
                let demo = self.library.run().and_then(|r| r.path.as_deref()).is_some_and(is_demo);
                let run = run.map(full).or_else(|| demo.then(|| "demo".to_owned()));
                (run.map_or(again.clone(), |r| format!("{again} --run {r}")), true)
            }
            View::TaskNeurons => {
                let asked = self.tasks.find.as_ref().map_or(spec.top_percent, |v| v.request.config.percent);
                (again.replacen(&format!("--percent {asked}"), &format!("--percent {}", spec.top_percent), 1), true)
            }
            _ => (again, true),
        }
    }

    /// The command line that writes the same file.
    pub fn export_command(&self, spec: &ExportSpec, path: &Path) -> String {
        if spec.what.info().stored {
            let other = self.other_run().filter(|_| spec.maps.iter().any(|m| m.of.second || m.against.as_ref().is_some_and(|b| b.second)));
            return export_command(self.library.run().and_then(|r| r.path.as_deref()), other.and_then(|r| r.path.as_deref()), spec, path);
        }
        if let Some(folder) = self.tasks_folder(spec.what) {
            return export_command(Some(folder), None, spec, path);
        }
        let again = match spec.what {
            View::Ablation => self.provenance().command,
            _ => self.live_of(spec).map_or_else(String::new, |l| l.provenance.command),
        };
        let (again, whole) = self.repeats(spec, again);
        if !whole {
            return again;
        }
        let flag = if spec.what == View::Prediction { "--predict" } else { "--export" };
        let mut words = vec![again, flag.to_owned(), shell_word(&path.display().to_string())];
        if spec.kind.is_picture() {
            words.extend(["--pixels".to_owned(), spec.pixels.to_string()]);
            if spec.dark {
                words.extend(["--theme".to_owned(), "dark".to_owned()]);
            }
            if spec.colours != ExportSpec::default().colours {
                words.extend(["--colours".to_owned(), spec.colours.name().to_owned()]);
            }
        }
        words.join(" ")
    }
}

/// The command line that writes the same file.
fn export_command(run: Option<&Path>, other: Option<&Path>, spec: &ExportSpec, path: &Path) -> String {
    let full = |p: &Path| if is_demo(p) { p.to_owned() } else { std::path::absolute(p).unwrap_or_else(|_| p.to_owned()) };
    // A scan that was not kept has no folder to export from.
    let run = run.map_or_else(|| "RUN".to_owned(), |p| full(p).display().to_string());
    let mut words = vec!["brodmann".to_owned(), "export".to_owned(), shell_word(&run)];
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
    let usual = ExportSpec::default();
    add("--what", spec.what.id().into());
    let maps = spec.what == View::Maps;
    if matches!(spec.what, View::Neurons | View::Overlap | View::Upset | View::OverlapCurve) || maps && spec.maps.is_empty() {
        add("--metric", spec.metric.info().id.replace('_', "-"));
    }
    for domain in &spec.domains {
        add("--domain", domain.clone());
    }
    if let Some(minus) = &spec.minus {
        add("--minus", minus.clone());
    }
    for map in spec.maps.iter().filter(|_| maps) {
        add("--map", map.to_string());
    }
    if let Some(other) = other {
        add("--other", full(other).display().to_string());
    }
    if maps && spec.own_range {
        add("--range", "own".into());
    }
    if spec.what == View::Neurons || maps {
        if spec.minus.is_some() && spec.combine != usual.combine {
            add("--combine", spec.combine.id().into());
        }
        if spec.per_layer != usual.per_layer {
            add("--per-layer", spec.per_layer.id().into());
        }
        if spec.order != usual.order {
            add("--order", spec.order.id());
        }
    }
    if let Some((a, b)) = spec.pair.as_ref().filter(|_| matches!(spec.what, View::Similarity | View::Overlap | View::OverlapCurve)) {
        add("--pair", format!("{a}|{b}"));
    }
    if (spec.what == View::Neurons || maps) && spec.kind.is_picture() && spec.scale != usual.scale {
        add("--scale", super::command::scale_word(spec.scale).into());
        if spec.scale == ScaleKind::Clipped && spec.percentile != usual.percentile {
            add("--percentile", spec.percentile.to_string());
        }
    }
    if spec.kind.is_picture() && spec.colours != usual.colours {
        add("--colours", spec.colours.name().into());
    }
    if matches!(spec.what, View::Overlap | View::Upset | View::Deactivation) {
        add("--top", spec.top_percent.to_string());
    }
    if let Some(gamma) = spec.gamma {
        add("--gamma", format!("{gamma:e}"));
    }
    if let Some((first, last)) = spec.layers {
        add("--layers", format!("{first}-{last}"));
    }
    if let Some(layer) = spec.layer.filter(|_| spec.what == View::Samples) {
        add("--layer", layer.to_string());
    }
    if !spec.off.is_empty() {
        add("--hatch", spec.off.to_string());
    }
    if spec.kind.is_picture() {
        add("--pixels", spec.pixels.to_string());
        if spec.dark {
            add("--theme", "dark".into());
        }
    }
    add("--format", spec.kind.extension().into());
    add("--out", path.display().to_string());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{Command, testing},
        base::NeuronSet,
        report::export::FileKind,
    };

    #[test]
    fn a_view_is_exported_by_a_job_and_told() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let path = dir.path().join("pictures/n.svg");
        let spec = ExportSpec { kind: FileKind::Svg, domains: vec!["logic".into()], ..ExportSpec::default() };
        app.apply(Command::Export { spec: spec.clone(), path: path.clone() });
        testing::settle(&mut app);
        assert!(std::fs::read_to_string(&path).expect("file").contains("Relevance of every neuron of demo"));
        let last = app.log.last().expect("notice");
        assert!(last.level == NoticeLevel::Done && last.details == path.display().to_string(), "{last:?}");
        // What the run has not is said, and nothing is written.
        let nowhere = ExportSpec { domains: vec!["tides".into()], ..spec };
        app.apply(Command::Export { spec: nowhere, path: dir.path().join("x.svg") });
        testing::settle(&mut app);
        let last = app.log.last().expect("notice");
        assert!(last.level == NoticeLevel::Error && last.details.contains("`tides`") && last.details.contains("arithmetic"), "{last:?}");
        assert!(!dir.path().join("x.svg").exists());
    }

    #[test]
    fn the_command_says_all_that_differs() {
        let spec = ExportSpec {
            minus: Some("world facts".into()),
            off: NeuronSet::parse("L0N1-3").expect("set"),
            dark: true,
            ..ExportSpec::default()
        };
        let command = export_command(Some(Path::new("demo")), None, &spec, Path::new("/tmp/a b.png"));
        assert_eq!(
            command,
            "brodmann export demo --what neurons --metric relevance --minus 'world facts' --hatch L0N1-3 --pixels 2 --theme dark --format png --out '/tmp/a b.png'"
        );
    }
}
