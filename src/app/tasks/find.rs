//! Finding the neurons of each task, and how many are worth taking.

use super::{TaskJob, TaskNews, document};
use crate::{
    ablate::{NeuronSetFile, Totals, Vocabulary, set_file},
    app::{
        App, ChosenOn, EvalConfig, Failure, NamedSet, NoticeLevel,
        ablation::item_source,
        cut_rows::{self, CutRows},
        event::{Event, JobTarget},
        held_out::LEAST_SCORED,
        run::shell_word,
        score::Change,
        sets::made,
    },
    base::{
        Error, NeuronSet, Result, atomic_file,
        memory::peak_rss_bytes,
        number,
        provenance::{self, Provenance},
        tensor_file::{Tensor, Values, to_bytes},
    },
    data::Domain,
    eval::AblationAt,
    model::DecoderSpec,
    scan::{self, Aggregation, DomainScan, Order, RelevanceConfig, ScanOutput, Timing},
    task::{self, CURVE_PERCENTS, DetectConfig, KneeCurve, Ranking, TaskNeurons},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// Accuracy against k of each task with its own neurons off, on rows that did not choose them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurveRequest {
    pub percents: Vec<f64>,
    /// Random sets of the same size in each layer.
    pub controls: usize,
    /// Rows at most.
    pub samples: usize,
}

impl Default for CurveRequest {
    fn default() -> Self {
        Self { percents: CURVE_PERCENTS.to_vec(), controls: 1, samples: 64 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindRequest {
    pub config: DetectConfig,
    /// Domains; empty: every one that is switched on.
    pub tasks: Vec<String>,
    /// `None`: no curves, and so no suggestion of k.
    pub curve: Option<CurveRequest>,
}

/// Fills while tasks are worked on, and stays until the next search.
#[derive(Clone, Debug)]
pub struct FindView {
    pub request: FindRequest,
    /// Every task that is asked for, in order.
    pub expected: Vec<String>,
    pub tasks: Vec<Arc<TaskNeurons>>,
    pub curves: Vec<KneeCurve>,
    pub provenance: Provenance,
    pub seconds: Option<f64>,
    /// Counts up with every change: what is made of it can be kept until then.
    pub version: u64,
    pub running: bool,
    pub failed: Option<Failure>,
    /// Where it is kept.
    pub folder: Option<PathBuf>,
}

impl FindView {
    pub(in crate::app) fn new(request: FindRequest, expected: Vec<String>) -> Self {
        Self {
            request,
            expected,
            tasks: Vec::new(),
            curves: Vec::new(),
            provenance: Provenance::default(),
            seconds: None,
            version: 0,
            running: true,
            failed: None,
            folder: None,
        }
    }
    pub fn task(&self, name: &str) -> Option<&Arc<TaskNeurons>> {
        self.tasks.iter().find(|t| t.name == name)
    }
    pub fn curve(&self, name: &str) -> Option<&KneeCurve> {
        self.curves.iter().find(|c| c.task == name)
    }
    pub fn ranking(&self) -> Ranking {
        self.request.config.ranking
    }
    /// Rows that chose a task's neurons, or their number.
    pub(in crate::app) fn chosen_on(&self, task: &TaskNeurons) -> ChosenOn {
        let curve = self.curve(&task.name).map(|c| c.lines.clone()).unwrap_or_default();
        ChosenOn { domain: task.name.clone(), sha256: task.source.sha256.clone(), lines: task.chosen_lines().chain(curve).collect() }
    }
    pub(super) fn hear(&mut self, news: TaskNews) {
        self.version += 1;
        match news {
            TaskNews::Found(task) => self.tasks.push(task),
            TaskNews::Curve(curve) => match self.curves.iter_mut().find(|c| c.task == curve.task) {
                Some(old) => *old = *curve,
                None => self.curves.push(*curve),
            },
            TaskNews::FindEnded { seconds } => self.seconds = Some(seconds),
            TaskNews::Matrix(_) | TaskNews::Cells(_) => {}
        }
    }
}

impl App {
    /// Starts the search, which replaces the last one's result. Results go into `out`, else into a run folder where runs are kept.
    pub(in crate::app) fn find_task_neurons(&mut self, request: FindRequest, out: Option<PathBuf>) {
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Tasks(TaskJob::Find));
        if let Err(details) = self.start_find(request.clone(), out) {
            let view = FindView::new(request, Vec::new());
            self.tasks.find = Some(FindView { running: false, failed: Some(details.clone().into()), ..view });
            self.notice(NoticeLevel::Error, "Task neurons cannot be found", details);
        }
    }

    fn start_find(&mut self, request: FindRequest, out: Option<PathBuf>) -> Result<(), String> {
        let decoder = self.decoder.clone().ok_or("There is no model: open one and wait until it is read.")?;
        let DetectConfig { percent, relevance, .. } = &request.config;
        if !(*percent > 0.0 && *percent <= 100.0) {
            return Err(format!("k is {percent} %: choose a share above 0, at most 100 %."));
        }
        let curve = request.curve.clone();
        let percents = curve
            .as_ref()
            .map(|c| crate::ablate::against_k::percentages(&c.percents))
            .transpose()
            .map_err(|e| e.to_string())?
            .unwrap_or_default();
        let mut domains: Vec<Arc<Domain>> = Vec::new();
        for name in self.task_names(&request.tasks)? {
            let ready = self.library.domain(&name).and_then(|d| d.state.ready());
            domains.push(ready.cloned().ok_or_else(|| format!("{name} is not read yet, or could not be."))?);
        }
        let names: Vec<String> = domains.iter().map(|d| d.name.clone()).collect();
        let mut provenance = self.provenance();
        provenance.data_sha256 = domains.iter().map(|d| (d.name.clone(), d.sha256.clone())).collect();
        provenance.prompts = domains.iter().map(|d| (d.name.clone(), d.template.clone())).collect();
        provenance.formula =
            format!("{} ({}); sets: top k % {}", relevance.formula(), RelevanceConfig::SOURCE, request.config.ranking.words());
        provenance.objective = "loss: mean cross-entropy of the answer's tokens (plain text: of all tokens from the second)".into();
        provenance.seed = relevance.seed;
        provenance.dtype = format!("{} weights, {} arithmetic, f64 sums", decoder.model.info.dtype, decoder.backend.arithmetic());
        provenance.command = self.find_command(&request, &names);
        let folder = if self.settings.keep_runs { Some(out.unwrap_or_else(|| self.new_run_folder())) } else { out };
        let eval = EvalConfig { samples: curve.as_ref().map(|c| c.samples), max_tokens: relevance.max_tokens, ..self.project.eval.clone() };
        let scorer = self.scorer(decoder.clone(), &eval);
        let (mode, at) = (self.project.mode.clone(), self.project.at);
        let mut view = FindView::new(request.clone(), names.clone());
        view.provenance = provenance.clone();
        view.folder.clone_from(&folder);
        self.tasks.find = Some(view.clone());
        let title = format!("Neurons of {}", number::counted(names.len() as u64, "task"));
        self.runner.spawn(&mut self.jobs, title, JobTarget::Tasks(TaskJob::Find), move |ctx, out| {
            let begun = Instant::now();
            if let Some(folder) = &folder {
                crate::app::run::verify_run_folder(folder)?;
            }
            let news = |news| out.send(Event::Task(news));
            let config = &request.config;
            let tasks = task::detect(&decoder, &domains, config, ctx, &mut |task| news(TaskNews::Found(task)))?;
            let spec = &decoder.model.spec;
            let rows: Vec<CutRows<'_>> = tasks.iter().map(|t| CutRows::of_source(&t.name, &t.source)).collect();
            cut_rows::warn(&rows, spec.max_positions, config.relevance.max_tokens, out);
            let change = |neurons| scorer.intervention(&Change { neurons, heads: BTreeSet::new(), mode: mode.clone(), at }, ctx);
            let control = |set: &NeuronSet, seed| set.random_like(spec.d_mlp, seed);
            for (task, domain) in tasks.iter().zip(&domains).filter(|_| curve.is_some()) {
                let mut used: BTreeSet<usize> = task.chosen_lines().collect();
                used.extend(eval.exclude.get(&task.name).into_iter().flatten());
                let eval = EvalConfig { exclude: BTreeMap::from([(task.name.clone(), used)]), ..eval.clone() };
                let source = item_source(&decoder.computing_key(), domain, &eval);
                let n = source.items.len();
                let mut measured = KneeCurve {
                    task: task.name.clone(),
                    rows: format!("{} of the {} split that did not choose the neurons", number::counted(n as u64, "row"), domain.split),
                    lines: source.items.iter().map(|i| i.line).collect(),
                    baseline: Totals::default(),
                    points: Vec::new(),
                    knee: None,
                };
                if n < LEAST_SCORED {
                    let details = format!(
                        "{} of its {} rows chose the neurons; a curve needs {LEAST_SCORED} others. Take fewer samples.",
                        task.samples,
                        domain.items.len()
                    );
                    out.send(Event::Warning(format!("No k is suggested for {}", task.name), details));
                    continue;
                }
                let session = scorer.session(&source, ctx)?;
                measured.baseline = Totals::of(&session.evaluate(None, ctx, &mut |_| {})?);
                let seeds: Vec<u64> = (0..curve.as_ref().map_or(0, |c| c.controls) as u64).collect();
                let (shares, hear) = ((&percents[..], &seeds[..]), &mut |c: &KneeCurve| news(TaskNews::Curve(Box::new(c.clone()))));
                task::curve::measure(&mut measured, &session, &task.relevance, config.ranking, shares, &change, &control, ctx, hear)?;
                view.curves.push(measured);
            }
            let seconds = begun.elapsed().as_secs_f64();
            view.tasks = tasks;
            view.seconds = Some(seconds);
            news(TaskNews::FindEnded { seconds });
            folder.as_ref().map_or(Ok(()), |folder| write(folder, &view, spec))
        });
        Ok(())
    }

    /// The tasks asked for, or every domain that is switched on.
    pub(super) fn task_names(&self, asked: &[String]) -> Result<Vec<String>, String> {
        let enabled: Vec<String> = self.project.enabled().map(|d| d.name.clone()).collect();
        if let Some(name) = asked.iter().find(|n| !enabled.contains(n)) {
            return Err(format!("There is no domain `{name}` that is switched on; there are {}.", enabled.join(", ")));
        }
        match (asked.is_empty(), enabled.is_empty()) {
            (false, _) => Ok(asked.to_vec()),
            (true, false) => Ok(enabled),
            (true, true) => Err("There is no domain: add a dataset for each task and switch it on.".into()),
        }
    }

    /// The command line that finds the same neurons again.
    fn find_command(&self, request: &FindRequest, names: &[String]) -> String {
        let mut words = self.words_of("neurons", names.iter().map(String::as_str));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        relevance_flags(&request.config, &mut add);
        match &request.curve {
            Some(c) => {
                let list: Vec<String> = c.percents.iter().map(ToString::to_string).collect();
                add("--percents", list.join(","));
                add("--controls", c.controls.to_string());
                add("--curve-samples", c.samples.to_string());
                add("--mode", self.project.mode.word());
                if self.project.at != AblationAt::All {
                    add("--at", self.project.at.word().into());
                }
            }
            None => words.push("--no-curve".into()),
        }
        words.join(" ")
    }

    /// Keeps the top share of a task that was found as a set.
    pub(in crate::app) fn keep_task_set(&mut self, name: &str, percent: f64, on: bool) {
        let Some((view, task)) = self.tasks.find.as_ref().and_then(|v| Some((v, v.task(name)?))) else {
            return self.notice(NoticeLevel::Error, format!("The neurons of `{name}` are not found yet"), "Find them first.");
        };
        let set = task.set(percent, view.ranking());
        let source = format!("{} of {name}", view.request.config.words(percent));
        let run = view.folder.as_ref().and_then(|f| f.file_name()).map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let (chosen_on, model_sha256) = (vec![view.chosen_on(task)], view.provenance.model_sha256.clone());
        if !self.inside(&set) {
            return;
        }
        let title = self.free_set_name(&format!("{name} task {} %", number::sig3(percent)));
        self.project.sets.push(NamedSet { on, run, model_sha256, chosen_on, ..made(title, set, source) });
        if on {
            self.warn_of_chosen_rows();
        }
    }
}

/// Flags of what `neurons` and `prove` find.
pub(super) fn relevance_flags(config: &DetectConfig, add: &mut dyn FnMut(&str, String)) {
    let r = &config.relevance;
    add("--samples", r.samples.to_string());
    add("--seed", r.seed.to_string());
    add("--order", if r.order == Order::File { "file" } else { "shuffle" }.into());
    add("--max-tokens", r.max_tokens.to_string());
    add("--percent", config.percent.to_string());
    if config.ranking == Ranking::PerLayer {
        add("--ranking", "per-layer".into());
    }
    if r.aggregation != Aggregation::Sum {
        add("--tokens", r.aggregation.word().into());
    }
    if let Some(steps) = r.steps {
        add("--steps", steps.to_string());
    }
    if r.columns {
        add("--columns", "true".into());
    }
    add("--draws", r.draws.to_string());
}

/// What was found of each task: neurons.json of the folder.
pub const NEURONS_FILE: &str = "neurons.json";
/// Relevance of the output coordinates.
pub const COLUMNS_FILE: &str = "columns.safetensors";

/// A run folder that every reader of scans reads, with the sets, what is known of them, and the relevance of output coordinates beside it.
fn write(folder: &Path, view: &FindView, spec: &DecoderSpec) -> Result<()> {
    let config = &view.request.config;
    let domain = |t: &Arc<TaskNeurons>| DomainScan {
        name: t.name.clone(),
        source: t.source.clone(),
        samples: t.samples,
        tokens: t.tokens,
        mean_objective: scan::rounded(t.mean_loss),
        relevance: Some(t.relevance.clone()),
        ..DomainScan::default()
    };
    let seconds = view.seconds.unwrap_or(0.0);
    let samples: usize = view.tasks.iter().map(|t| t.samples).sum();
    let output = ScanOutput {
        config: config.relevance.scan(),
        provenance: view.provenance.clone(),
        timing: Timing { seconds, samples_per_second: samples as f64 / seconds.max(1e-9), peak_rss_bytes: peak_rss_bytes() },
        n_layers: spec.n_layers,
        d_mlp: spec.d_mlp,
        params_per_layer: vec![spec.linear_params_per_layer(); spec.n_layers],
        domains: view.tasks.iter().map(domain).collect(),
        llmdcos: Vec::new(),
    };
    std::fs::create_dir_all(folder.join("sets")).map_err(|e| Error::io(folder, e))?;
    scan::write_run(folder, &output)?;
    for t in &view.tasks {
        let file = NeuronSetFile {
            name: format!("{} task {} %", t.name, number::sig3(config.percent)),
            neurons: t.set(config.percent, config.ranking),
            source: format!("{} of {}", config.words(config.percent), t.name),
            run: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model_sha256: view.provenance.model_sha256.clone(),
            chosen_on: vec![view.chosen_on(t)],
            ..NeuronSetFile::default()
        };
        set_file::write(&set_path(folder, &t.name), &file, Vocabulary::Layers, None)?;
    }
    let columns: Vec<Tensor> = (view.tasks.iter())
        .filter_map(|t| Some((t, t.columns.as_ref()?)))
        .map(|(t, c)| Tensor {
            name: format!("column_relevance/{}", t.name),
            shape: vec![c.rows(), c.cols()],
            values: Values::F32(c.values().to_vec()),
        })
        .collect();
    if !columns.is_empty() {
        let metadata = [("program", provenance::program()), ("formula", view.provenance.formula.clone())];
        atomic_file::write(&folder.join(COLUMNS_FILE), &to_bytes(columns, &metadata))?;
    }
    let path = folder.join(NEURONS_FILE);
    let mut json = serde_json::to_vec_pretty(&document::find_document(view)).map_err(|e| Error::format(&path, e.to_string()))?;
    json.push(b'\n');
    atomic_file::write(&path, &json)
}

/// A task's set in a folder of task neurons.
pub(super) fn set_path(folder: &Path, task: &str) -> PathBuf {
    let plain: String = task.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    folder.join("sets").join(format!("{plain}.json"))
}
