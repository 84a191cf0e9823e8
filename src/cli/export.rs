//! `brodmann export`

use super::{
    args::{ExportArgs, FileArgs, PredictArgs, RangeArg, ThemeArg},
    output, setup,
    watch::{Session, Stop},
};
use crate::{
    app::{Command, MapChange, RunEntry, Settings},
    report::export::{ExportSpec, FileKind, View},
    scan::{MetricKind, recount},
};
use std::path::{Path, PathBuf};

/// The kind of file that was named, else the one its end says.
pub fn kind_of(given: Option<FileKind>, path: &Path) -> Result<FileKind, Stop> {
    given.map_or_else(|| kind_by_end(path).map_err(Stop::Usage), Ok)
}

/// # Errors
/// When the end of the name is none of a file that can be written.
pub fn kind_by_end(path: &Path) -> Result<FileKind, String> {
    FileKind::of(path).ok_or_else(|| {
        let ends: Vec<String> = FileKind::ALL.map(|k| format!(".{}", k.extension())).to_vec();
        format!("`{}` does not say by its end what file is wanted: end it in {}", path.display(), ends.join(", "))
    })
}

/// Writes what was asked for beside what is printed.
pub fn beside(session: &mut Session, file: &FileArgs, spec: ExportSpec) -> Result<(), Stop> {
    match file.export.clone() {
        Some(path) => write_to(session, file, path, spec),
        None => Ok(()),
    }
}

/// As [`beside`], predicted against measured.
pub fn predictions_beside(session: &mut Session, file: &FileArgs, predict: &PredictArgs) -> Result<(), Stop> {
    match predict.predict.clone().flatten() {
        Some(path) => write_to(session, file, path, ExportSpec { what: View::Prediction, ..ExportSpec::default() }),
        None => Ok(()),
    }
}

fn write_to(session: &mut Session, file: &FileArgs, path: PathBuf, spec: ExportSpec) -> Result<(), Stop> {
    let spec = ExportSpec {
        kind: kind_of(None, &path)?,
        pixels: file.pixels,
        dark: file.theme == ThemeArg::Dark,
        colours: file.colours.into(),
        ..spec
    };
    session.run(Command::Export { spec, path })
}

pub fn run(args: ExportArgs, mut settings: Settings) -> Result<(), Stop> {
    settings.keep_runs = false;
    let kind = kind_of(args.format, &args.out)?;
    let mut session = Session::new(settings, args.quiet);
    session.run(Command::OpenRun { path: args.run.clone() })?;
    if let Some(other) = &args.other {
        let first = session.app.library.shown;
        setup::open_scan(&mut session, other)?;
        let key = session.app.library.run().map(RunEntry::key);
        if let Some(index) = first {
            session.app.apply(Command::ShowRun { index });
        }
        session.app.apply(Command::ChangeMap { change: MapChange::OtherRun(key) });
    }
    let wanted = args.metric.map_or(MetricKind::Relevance, Into::into);
    let metric = match session.app.library.scan() {
        Some(scan) if args.metric.is_none() => crate::report::metric_of(scan, wanted),
        Some(_) => wanted,
        None if args.what.info().stored => {
            let why = format!("{}: it holds no scan, and {} is a view of one", args.run.display(), args.what.id());
            return Err(Stop::Failed(vec![why]));
        }
        None => wanted,
    };
    if let Some(why) = session.app.cannot_export(args.what).filter(|_| args.what.has_folder()) {
        return Err(Stop::Failed(vec![format!("{}: {why}", args.run.display())]));
    }
    let spec = ExportSpec {
        what: args.what,
        kind,
        metric,
        domains: args.domain,
        minus: args.minus,
        combine: args.combine.into(),
        per_layer: args.per_layer.into(),
        order: args.order,
        pair: args.pair,
        scale: args.scale.into(),
        percentile: args.percentile,
        colours: args.colours.into(),
        top_percent: args.top,
        gamma: args.gamma,
        layers: args.layers,
        layer: args.layer,
        maps: args.map,
        own_range: args.range == RangeArg::Own,
        off: args.hatch.unwrap_or_default(),
        pixels: args.pixels,
        dark: args.theme == ThemeArg::Dark,
        ..ExportSpec::default()
    };
    let own = session.app.library.scan().map(|scan| scan.config.gamma);
    session.run(Command::Export { spec, path: args.out.clone() })?;
    if let (View::Density, Some(own), Some(gamma)) = (args.what, own, args.gamma) {
        let (lower, upper) = recount::exact_around(own, gamma);
        if lower < upper {
            session.remark(&format!(
                "densities above {gamma:e} are estimates; exact ones: --gamma {lower:e} or {upper:e}, or a scan with --gamma {gamma:e}"
            ));
        }
    }
    output::print(&args.out.display().to_string())
}
