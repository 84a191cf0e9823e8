//! From the arguments that several verbs share to commands: model, domains, mappings.

use super::{
    args::{Common, Data, Lines},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Settings, demo},
    data::Mapping,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// An app with the model and the domains of the arguments, all read.
///
/// # Errors
/// On a mapping without its domain, a domain named twice, or anything that cannot be read.
pub fn session(common: &Common, settings: Settings) -> Result<Session, Stop> {
    open(common, domains(common)?, settings)
}

/// The same for a verb that trains. What trains starts from the base.
///
/// # Errors
/// As [`session`]; also where a tuning is to be put on the model.
pub fn training_session(verb: &str, common: &Common, settings: Settings) -> Result<Session, Stop> {
    match &common.tuned {
        None => session(common, settings),
        Some(folder) => Err(Stop::Usage(format!(
            "{verb} trains the model of --model itself, so --tuned {} would not be used: leave it out; to go on from a tuned model write it as a folder \
             (`tune` with --save-model) and name that with --model",
            folder.display()
        ))),
    }
}

/// The same with the model alone.
///
/// # Errors
/// When it cannot be read.
pub fn model_session(common: &Common, settings: Settings) -> Result<Session, Stop> {
    open(common, Vec::new(), settings)
}

fn open(common: &Common, domains: Vec<NamedFile>, mut settings: Settings) -> Result<Session, Stop> {
    settings.device = common.device;
    let mut session = Session::new(settings, common.output.quiet);
    session.app.apply(Command::OpenModel { path: common.model.clone() });
    for (name, path, mapping) in domains {
        session.app.apply(Command::AddDomain { name, path, mapping });
    }
    session.settle()?;
    put_on(&mut session, common.tuned.clone())?;
    Ok(session)
}

/// The tuning in a folder on the model that is open, if one is named.
///
/// # Errors
/// When it is none, or of another model.
pub fn put_on(session: &mut Session, tuned: Option<PathBuf>) -> Result<(), Stop> {
    tuned.map_or(Ok(()), |path| session.run(Command::OpenTuned { path }))
}

/// The run of a scan; folders of other results are refused.
///
/// # Errors
/// When it cannot be read, or holds no scan.
pub fn open_scan(session: &mut Session, path: &Path) -> Result<(), Stop> {
    let before = session.app.library.runs.len();
    session.run(Command::OpenRun { path: path.to_owned() })?;
    let shown = session.app.library.run().is_some_and(|r| r.path.as_deref() == Some(path));
    if shown || session.app.library.runs.len() > before {
        return Ok(());
    }
    Err(Stop::Failed(vec![format!("{}: it holds no scan", path.display())]))
}

/// What `--exclude` says, by domain.
///
/// # Errors
/// When it names a domain that is not there.
pub fn excluded(given: &[Lines], session: &Session) -> Result<BTreeMap<String, BTreeSet<usize>>, Stop> {
    let mut by_domain: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for Lines { domain, lines } in given {
        if session.app.project.domain(domain).is_none() {
            let names: Vec<&str> = session.app.project.domains.iter().map(|d| d.name.as_str()).collect();
            return Err(Stop::Usage(format!("--exclude names the domain `{domain}`, but the domains are {}", names.join(", "))));
        }
        by_domain.entry(domain.clone()).or_default().extend(lines);
    }
    Ok(by_domain)
}

type NamedFile = (String, std::path::PathBuf, Mapping);

fn domains(common: &Common) -> Result<Vec<NamedFile>, Stop> {
    let all_demo = [Data::AllDemo];
    let given = if common.data.is_empty() { &all_demo[..] } else { &common.data };
    let mut domains: Vec<NamedFile> = Vec::new();
    for data in given {
        match data {
            Data::AllDemo => domains.extend(demo::NAMES.iter().map(|n| ((*n).to_owned(), "demo".into(), Mapping::default()))),
            Data::Domain { name, path } => domains.push((name.clone(), path.clone(), Mapping::default())),
        }
    }
    for (i, (name, ..)) in domains.iter().enumerate() {
        if domains[..i].iter().any(|d| d.0 == *name) {
            return Err(Stop::Usage(format!("two domains are called `{name}`; give each --data its own name")));
        }
    }
    for map in &common.map {
        let names = domains.iter().map(|d| d.0.clone()).collect::<Vec<_>>().join(", ");
        let Some(domain) = domains.iter_mut().find(|d| d.0 == map.domain) else {
            return Err(Stop::Usage(format!("--map names the domain `{}`, but --data gives {names}", map.domain)));
        };
        domain.2.columns.insert(map.field.clone(), map.column.clone());
    }
    for domain in &mut domains {
        domain.2.strict = common.strict;
    }
    let mut mappings: Vec<(&str, &mut Mapping)> = domains.iter_mut().map(|(name, _, mapping)| (name.as_str(), mapping)).collect();
    common.prompts.apply(&mut mappings)?;
    Ok(domains)
}
