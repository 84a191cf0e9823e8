//! Models, domains and runs come into the library and leave it: the library follows what the project names.

use super::{
    App, DomainEntry, Library, ModelEntry, NoticeLevel, Project, RunEntry, demo,
    event::{Event, JobTarget},
    library::Loading,
    project::ProjectDomain,
    project_file::is_demo,
    results_folder::FolderKind,
    samples::kept_samples,
    settings::BackendSettings,
};
use crate::{
    base::{Ctx, Error, Result},
    compute::{
        Backend,
        cpu::{CpuBackend, Products},
    },
    data::{self, Domain, Item, Mapping, Prompting},
    eval::prompt_text,
    model::{Decoder, load_model},
    scan::ScanOutput,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

impl App {
    /// Loads what the project names and the library lacks; drops what the project no longer names.
    pub(super) fn reconcile(&mut self) {
        self.refresh_maps();
        if self.project.model.as_ref() != self.library.model.as_ref().map(|m| &m.path) {
            // Another model was chosen than the one that was asked for.
            self.missing_model = None;
            self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Model(_)));
            (self.decoder, self.tuned) = (None, None);
            self.library.check = None;
            self.library.other_checks.clear();
            self.forget_evaluation();
            self.forget_prediction();
            self.model_generation = self.next_generation();
            self.library.model = self.project.model.clone().map(|path| ModelEntry { path, state: Loading::Working });
            if let Some(path) = self.project.model.clone() {
                let (generation, title) = (self.model_generation, format!("Opening {}", path.display()));
                let how = self.settings.backend();
                let data_dir = self.settings.data_dir.clone();
                self.runner.spawn(&mut self.jobs, title, JobTarget::Model(generation), move |ctx, out| {
                    let decoder = open_decoder(&path, how, ctx)?;
                    let check = super::check::kept(&data_dir, &decoder.model.info.sha256, decoder.backend.arithmetic());
                    out.send(Event::Model { generation, how, decoder });
                    if let Some(check) = check {
                        out.send(Event::Checked(check));
                    }
                    Ok(())
                });
            }
        }
        let wanted = self.project.domains.clone();
        let mut old = std::mem::take(&mut self.library.domains);
        for d in wanted {
            let at = old.iter().position(|e| e.name == d.name && e.path == d.path && e.mapping == d.mapping);
            let entry = match at {
                Some(at) => old.remove(at),
                None => self.load_domain(&d),
            };
            self.library.domains.push(entry);
        }
        for gone in old {
            if self.library.domain(&gone.name).is_none() {
                self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Domain { name, .. } if *name == gone.name));
            }
        }
    }

    fn load_domain(&mut self, d: &ProjectDomain) -> DomainEntry {
        let generation = self.next_generation();
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Domain { name, .. } if *name == d.name));
        self.domain_generations.insert(d.name.clone(), generation);
        let target = JobTarget::Domain { name: d.name.clone(), generation };
        let (name, path, mapping) = (d.name.clone(), d.path.clone(), d.mapping.clone());
        self.runner.spawn(&mut self.jobs, format!("Reading {name}"), target, move |ctx, out| {
            let (scanned, test) = read_domain(&name, &path, &mapping, ctx)?;
            out.send(Event::Domain { name, generation, scanned: Arc::new(scanned), test: test.map(Arc::new) });
            Ok(())
        });
        DomainEntry { name: d.name.clone(), path: d.path.clone(), mapping: d.mapping.clone(), state: Loading::Working, test: None }
    }

    pub(super) fn domain_loaded(&mut self, name: &str, generation: u64, scanned: Arc<Domain>, test: Option<Arc<Domain>>) {
        if self.domain_generations.get(name) != Some(&generation) {
            return;
        }
        if !scanned.skipped.is_empty() {
            let rows: Vec<String> = scanned.skipped.iter().take(20).map(|r| format!("line {}: {}", r.line, r.message)).collect();
            let title = format!("{name}: {} of {} rows skipped", scanned.skipped.len(), scanned.skipped.len() + scanned.items.len());
            self.notice(NoticeLevel::Warn, title, rows.join("\n"));
        }
        if let Some(entry) = self.library.domains.iter_mut().find(|d| d.name == name) {
            entry.state = Loading::Ready(scanned);
            entry.test = test;
        }
    }

    pub(super) fn add_domain(&mut self, name: String, path: PathBuf, mut mapping: Mapping) {
        let path = if is_demo(&path) { path } else { data::canonical_path(path) };
        mapping.prompt.shots.from = mapping.prompt.shots.from.map(data::canonical_path);
        let name = name.trim().to_owned();
        if name.is_empty() || name.contains('|') {
            let details = "It is used in tables and as part of tensor names, where `|` parts two domains.";
            return self.notice(NoticeLevel::Error, format!("`{name}` cannot name a domain"), details);
        }
        // Asked for again means read again.
        self.library.domains.retain(|d| d.name != name);
        let colour = self.project.free_colour();
        match self.project.domain_mut(&name) {
            Some(d) => (d.path, d.mapping, d.enabled) = (path, mapping, true),
            None => self.project.domains.push(ProjectDomain { name, path, mapping, enabled: true, colour }),
        }
        self.reconcile();
    }

    /// An item of a domain in the chat template, as the open model reads it up to the right choice; `None` for other items, and without a model.
    pub fn chat_prompt(&self, item: &Item) -> Option<Result<String, String>> {
        let decoder = self.decoder.as_ref().filter(|_| item.chat)?;
        let text = prompt_text(&decoder.model.tokenizer, item, item.gold.unwrap_or(0));
        Some(text.map(std::borrow::Cow::into_owned).map_err(|e| e.to_string()))
    }

    pub(super) fn add_run(&mut self, output: Arc<ScanOutput>, path: Option<PathBuf>) {
        let at = path.as_ref().and_then(|p| self.library.runs.iter().position(|r| r.path.as_ref() == Some(p)));
        let index = match at {
            Some(at) => {
                self.library.runs[at].output = output;
                self.library.runs[at].samples = None;
                at
            }
            None => {
                let name = run_name(&self.library, path.as_deref(), &output);
                self.library.runs.push(RunEntry { name, path, output, samples: None });
                self.library.runs.len() - 1
            }
        };
        self.show_run(index);
    }

    /// The panels show this run; what they show of it must be in it.
    pub(super) fn show_run(&mut self, index: usize) {
        let Some(run) = self.library.runs.get(index) else {
            return self.notice(NoticeLevel::Error, format!("There is no run number {index}"), "");
        };
        self.library.shown = Some(index);
        self.project.run = run.path.clone();
        let names: Vec<&str> = run.output.domains.iter().map(|d| d.name.as_str()).collect();
        let view = &mut self.project.view;
        if view.domain.as_deref().is_none_or(|d| !names.contains(&d)) {
            view.domain = names.first().map(|n| (*n).to_owned());
        }
        if view.minus.as_deref().is_some_and(|d| !names.contains(&d)) {
            view.minus = None;
        }
        if view.pair.as_ref().is_none_or(|(a, b)| run.output.pair(a, b).is_none()) {
            let other = names.get(1).or(names.first());
            view.pair = names.first().zip(other).map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        }
        if view.layer_range.is_some_and(|(_, last)| last >= run.output.n_layers) {
            view.layer_range = None;
        }
        let has = |m| run.output.domains.iter().any(|d| d.map(m).is_some());
        if !has(view.metric)
            && let Some(first) = crate::scan::MetricKind::ALL.into_iter().find(|&m| has(m))
        {
            view.metric = first;
        }
        self.refresh_maps();
    }

    pub(super) fn open_run(&mut self, path: PathBuf) {
        if let Some(kind) = FolderKind::in_folder(&path) {
            return self.open_results(kind, path);
        }
        self.runner.spawn(&mut self.jobs, format!("Opening run {}", path.display()), JobTarget::Run, move |_, out| {
            let output = Arc::new(read_run(&path)?);
            out.send(Event::Run { output: output.clone(), path: Some(path.clone()) });
            match kept_samples(&path, &output) {
                Some(Ok(samples)) => out.send(Event::Samples { run: output, samples: Arc::new(samples) }),
                Some(Err(e)) => out.send(Event::Warning("The run's matrices of samples could not be read".into(), e.to_string())),
                None => {}
            }
            Ok(())
        });
    }

    /// The demo: its model, its six domains, its stored run (or a scan as soon as both are read).
    pub(super) fn open_demo(&mut self) {
        let domain = |(colour, name): (usize, &&str)| ProjectDomain {
            name: (*name).into(),
            path: "demo".into(),
            mapping: Mapping::default(),
            enabled: true,
            colour,
        };
        let domains = demo::NAMES.iter().enumerate().map(domain).collect();
        self.project = Project { model: Some("demo".into()), domains, ..Project::default() };
        self.project.scan.gamma = demo::GAMMA;
        self.mark_saved(None);
        self.reconcile();
        if let Some(at) = self.library.runs.iter().position(|r| r.path.as_deref().is_some_and(is_demo)) {
            self.show_run(at);
        } else if demo::has_run() {
            self.open_run("demo".into());
        } else {
            self.start_scan(None);
        }
    }
}

/// One backend for the whole program, made anew when threads or products change: its threads are shared by all jobs.
pub(super) fn backend(how: BackendSettings) -> Arc<dyn Backend> {
    type Made = (BackendSettings, Arc<dyn Backend>);
    static BACKEND: Mutex<Option<Made>> = Mutex::new(None);
    let mut made = BACKEND.lock().unwrap_or_else(PoisonError::into_inner);
    match made.as_ref().filter(|m| m.0 == how) {
        Some(m) => m.1.clone(),
        None => made.insert((how, Arc::new(CpuBackend::with_products(how.threads, how.products)))).1.clone(),
    }
}

fn open_decoder(path: &Path, how: BackendSettings, ctx: &Ctx<'_>) -> Result<Decoder> {
    let model = if is_demo(path) { demo::model(ctx)? } else { load_model(path, ctx)? };
    Ok(Decoder::new(Arc::new(model), backend(how)))
}

/// What a scan reads, and what accuracy is measured on where that is another split.
fn read_domain(name: &str, path: &Path, mapping: &Mapping, ctx: &Ctx<'_>) -> Result<(Domain, Option<Domain>)> {
    if is_demo(path) {
        let (mut scanned, mut test) = demo::domain(name)?;
        if *mapping.prompt != Prompting::default() {
            for domain in [&mut scanned, &mut test] {
                prompt_demo(domain, &mapping.prompt).map_err(|m| Error::format(path, format!("{name}: {m}")))?;
            }
        }
        return Ok((scanned, Some(test)));
    }
    Ok((data::open_domain(name, path, mapping, ctx)?, None))
}

/// Each split takes its examples from its own other rows.
fn prompt_demo(domain: &mut Domain, prompting: &Prompting) -> Result<(), String> {
    if prompting.template.is_some() || prompting.description.is_some() || prompting.shots.from.is_some() {
        return Err("a built-in domain has its own prompts and examples; templates and files of examples are for files".to_owned());
    }
    domain.prompt_as(prompting, None)
}

/// `run 3`; where its arithmetic is coarser than f32 every mention says so: `run 3 (bf16)`.
pub(super) fn run_name(library: &Library, path: Option<&Path>, output: &ScanOutput) -> String {
    if path.is_some_and(is_demo) {
        return "demo run".to_owned();
    }
    let (number, products) = (library.runs.len() + 1, Products::named_in(&output.provenance.dtype));
    if products.is_coarse() { format!("run {number} ({products})") } else { format!("run {number}") }
}

pub(super) fn read_run(path: &Path) -> Result<ScanOutput> {
    if is_demo(path) { demo::run() } else { crate::scan::store::read_run(path) }
}
