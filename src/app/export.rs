//! A view of the shown run as a file.

use super::{App, NoticeLevel, event::Target, project_file::is_demo, run::shell_word};
use crate::{
    base::heatmap::ScaleKind,
    report::{
        Report,
        export::{self, ExportSpec, View},
    },
};
use std::path::{Path, PathBuf};

impl App {
    /// Writes the file on a worker: a map of millions of neurons takes longer than a frame.
    pub(super) fn export(&mut self, spec: ExportSpec, path: PathBuf) {
        let Some(run) = self.library.run() else {
            return self.notice(NoticeLevel::Error, "There is no run to export", "Scan first, or open a run.");
        };
        let command = export_command(run.path.as_deref(), &spec, &path);
        let (scan, samples) = (run.output.clone(), run.samples.clone());
        let colours: Vec<(String, usize)> = self.project.domains.iter().map(|d| (d.name.clone(), d.colour)).collect();
        let title = format!("Exporting {}", path.display());
        self.runner.spawn(&mut self.jobs, title, Target::Export(path.clone()), move |ctx, _| {
            ctx.progress("drawing", 0, 0, "");
            let report = Report {
                scan: &scan,
                model: None,
                metric: spec.metric,
                top_percent: spec.top_percent,
                scores: &[],
                ablation: None,
                colours: &colours,
                map: spec.colours,
                samples: samples.as_deref(),
            };
            export::write(&path, &spec, &report, &command, ctx).map(|_| ())
        });
    }
}

/// The command line that writes the same file.
fn export_command(run: Option<&Path>, spec: &ExportSpec, path: &Path) -> String {
    let full = |p: &Path| if is_demo(p) { p.to_owned() } else { std::path::absolute(p).unwrap_or_else(|_| p.to_owned()) };
    // A scan that was not kept has no folder to export from.
    let run = run.map_or_else(|| "RUN".to_owned(), |p| full(p).display().to_string());
    let mut words = vec!["brodmann".to_owned(), "export".to_owned(), shell_word(&run)];
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
    let usual = ExportSpec::default();
    add("--what", spec.what.id().into());
    if matches!(spec.what, View::Neurons | View::Overlap | View::Upset | View::OverlapCurve) {
        add("--metric", spec.metric.info().id.replace('_', "-"));
    }
    for domain in &spec.domains {
        add("--domain", domain.clone());
    }
    if let Some(minus) = &spec.minus {
        add("--minus", minus.clone());
    }
    if spec.what == View::Neurons {
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
    if spec.what == View::Neurons && spec.scale != usual.scale {
        add("--scale", super::command::scale_word(spec.scale).into());
        if spec.scale == ScaleKind::Clipped && spec.percentile != usual.percentile {
            add("--percentile", spec.percentile.to_string());
        }
    }
    if spec.colours != usual.colours {
        add("--colours", spec.colours.name().into());
    }
    if matches!(spec.what, View::Overlap | View::Upset) {
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
    if spec.kind != export::FileKind::Csv {
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
        let command = export_command(Some(Path::new("demo")), &spec, Path::new("/tmp/a b.png"));
        assert_eq!(
            command,
            "brodmann export demo --what neurons --metric relevance --minus 'world facts' --hatch L0N1-3 --pixels 2 --theme dark --format png --out '/tmp/a b.png'"
        );
    }
}
