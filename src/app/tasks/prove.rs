//! Proving sets: every task scored with each task's own neurons off, with every other's, and with random ones.

use super::{
    TaskJob, TaskNews,
    find::{relevance_flags, set_path},
};
use crate::{
    ablate::{EvalSession, Totals, against_k, random_neurons, set_file},
    app::{
        App, ChosenOn, EvalConfig, Failure, NoticeLevel,
        ablation::{ItemSource, item_source},
        event::{Event, JobTarget},
        held_out::hold_out,
        run::shell_word,
        score::Change,
    },
    base::{NeuronSet, Result, hash::sha256_bytes, number, provenance},
    eval::AblationAt,
    scan::{MetricKind, Order},
    task::{
        MatrixFile, MatrixPlan, MatrixWork, Ranking, TaskMatrix,
        matrix::{self, baselines},
        top,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

/// Whose maps rank the neurons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum SetsFrom {
    /// The tasks that were found last.
    #[default]
    Found,
    /// The shown run.
    Run {
        metric: MetricKind,
        #[serde(default)]
        ranking: Ranking,
    },
}

/// What becomes of an activation, where, with how many controls and of which kind are the project's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProveRequest {
    pub sets: SetsFrom,
    pub percents: Vec<f64>,
    /// Activations times these instead, at one share; empty: not.
    pub factors: Vec<f64>,
    pub scaled_percent: f64,
    /// Questions of a task at most; `None`: as the project's accuracy settings say.
    pub samples: Option<usize>,
}

impl Default for ProveRequest {
    fn default() -> Self {
        Self { sets: SetsFrom::Found, percents: vec![10.0], factors: Vec::new(), scaled_percent: 10.0, samples: None }
    }
}

#[derive(Clone, Debug)]
pub struct ProveView {
    /// As asked for; of one that was read from its folder there is none.
    pub request: Option<ProveRequest>,
    /// `None` until the scores with nothing off are there.
    pub result: Option<TaskMatrix>,
    pub version: u64,
    pub running: bool,
    pub failed: Option<Failure>,
    /// Where it is kept; `None`: nowhere.
    pub folder: Option<PathBuf>,
}

impl ProveView {
    pub(super) fn hear(&mut self, news: TaskNews) {
        self.version += 1;
        match (news, &mut self.result) {
            (TaskNews::Matrix(matrix), result) => *result = Some(*matrix),
            (TaskNews::Cells(cells), Some(matrix)) => matrix.cells.extend(cells),
            _ => {}
        }
    }
}

/// The sets of a matrix and what they stand for.
struct Sets {
    tasks: Vec<String>,
    /// `[share][task]`
    sets: Vec<Vec<NeuronSet>>,
    words: String,
    chosen: Vec<ChosenOn>,
}

impl App {
    /// Starts, or goes on with, a matrix. It is kept in `out`, else in a folder below the data folder that the same request finds again; with
    /// `keep` false and no `out` nowhere.
    pub(in crate::app) fn prove_tasks(&mut self, request: ProveRequest, out: Option<PathBuf>, keep: bool) {
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Tasks(TaskJob::Prove));
        if let Err(details) = self.start_prove(request.clone(), out, keep) {
            self.tasks.prove = Some(ProveView {
                request: Some(request),
                result: None,
                version: 0,
                running: false,
                failed: Some(details.clone().into()),
                folder: None,
            });
            self.notice(NoticeLevel::Error, "The task matrix cannot start", details);
        }
    }

    fn start_prove(&mut self, request: ProveRequest, out: Option<PathBuf>, keep: bool) -> Result<(), String> {
        let decoder = self.decoder.clone().ok_or("There is no model: open one and wait until it is read.")?;
        let percents = against_k::percentages(&request.percents).map_err(|e| e.to_string())?;
        // Activations are f32, and so is what they are multiplied by.
        if let Some(bad) = request.factors.iter().find(|f| !(**f as f32).is_finite()) {
            return Err(format!("{bad} is no factor: give finite numbers, e.g. 0 (off), 0.5 (damped), 2 (amplified)."));
        }
        let mut shares = percents.clone();
        // The share that is scaled has a matrix of its own too.
        if !request.factors.is_empty() {
            shares.push(request.scaled_percent);
            shares = against_k::percentages(&shares).map_err(|e| e.to_string())?;
        }
        let scaled_at = shares.iter().position(|p| *p == request.scaled_percent).unwrap_or(0);
        let Sets { tasks, sets, words, chosen } = self.sets_of(request.sets, &shares)?;
        let (sources, left_out) = self.matrix_sources(&tasks, &chosen, request.samples)?;
        let p = &self.project;
        let scale = self.activation_scale();
        let (mode, at, like, controls) = (p.mode.clone(), p.at, p.control_match, p.controls);
        if like == crate::ablate::ControlMatch::Scale && scale.is_none() {
            return Err("Controls that match in activation scale need a run with mean |activation| of this model: scan first.".into());
        }
        let plan = MatrixPlan {
            tasks,
            percents: shares,
            controls,
            factors: request.factors.clone(),
            scaled_at,
            scaled_controls: if request.factors.is_empty() { 0 } else { controls.min(SCALED_CONTROLS) },
        };
        let switched = format!("{} {}", mode.words(), at.words());
        let eval = self.matrix_eval(request.samples);
        let scorer = self.scorer(decoder, &eval);
        let mut provenance = self.provenance();
        provenance.data_sha256 = sources.iter().map(|s| (s.domain.name.clone(), s.domain.sha256.clone())).collect();
        provenance.prompts = sources.iter().map(|s| (s.domain.name.clone(), s.domain.template.clone())).collect();
        provenance.formula = format!(
            "{words}, mlp.hook_post {switched}; random sets: {}; accuracy by log-likelihood, intervals: Wilson 95 % of an accuracy, Newcombe's method 10 \
             of a change",
            like.words()
        );
        provenance.seed = eval.seed;
        provenance.command = self.prove_command(&request, &plan.tasks);
        let key = {
            let keys: Vec<&str> = sources.iter().map(|s| s.key.as_str()).collect();
            let texts: Vec<String> = sets.iter().flatten().map(ToString::to_string).collect();
            let means = if mode.needs_data() { scorer.means_key() } else { String::new() };
            sha256_bytes(format!("{}\n{keys:?}\n{texts:?}\n{mode:?} {at:?} {like:?} {means}\n{plan:?}", provenance::program()).as_bytes())
        };
        let folder = out.or_else(|| keep.then(|| self.settings.data_dir.join("matrices").join(&key[..16])));
        self.tasks.prove =
            Some(ProveView { request: Some(request), result: None, version: 0, running: true, failed: None, folder: folder.clone() });
        let d_mlp = scorer.decoder.model.spec.d_mlp;
        let title = format!("Task matrix of {}", number::counted(plan.tasks.len() as u64, "task"));
        self.runner.spawn(&mut self.jobs, title, JobTarget::Tasks(TaskJob::Prove), move |ctx, out| {
            let sessions: Vec<Arc<EvalSession>> = sources.iter().map(|s| scorer.session(s, ctx)).collect::<Result<_>>()?;
            let before = baselines(&sessions, ctx)?;
            let mut matrix = TaskMatrix {
                total: plan.cells().len(),
                plan,
                sets: words,
                switched,
                neurons: sets.iter().map(|s| s.iter().map(NeuronSet::len).collect()).collect(),
                before: before.iter().map(Totals::of).collect(),
                left_out,
                cells: BTreeMap::new(),
                provenance,
            };
            let mut file = folder.as_ref().map(|f| MatrixFile::open(f, &key, &mut matrix)).transpose()?;
            out.send(Event::Task(TaskNews::Matrix(Box::new(matrix.clone()))));
            let change = |neurons, factor: Option<_>| {
                let mode = factor.unwrap_or_else(|| mode.clone());
                scorer.intervention(&Change { neurons, heads: BTreeSet::new(), mode, at }, ctx)
            };
            let control = |set: &NeuronSet, seed| random_neurons(set, d_mlp, like, scale.as_ref(), seed);
            let work = MatrixWork { sessions: &sessions, sets: &sets, change: &change, control: &control };
            let known = |id: &_| matrix.cells.contains_key(id);
            matrix::run(&matrix.plan, &work, &before, &known, ctx, &mut |cells| {
                if let Some(file) = &mut file {
                    file.append(cells)?;
                }
                out.send(Event::Task(TaskNews::Cells(cells.to_vec())));
                Ok(())
            })
        });
        Ok(())
    }

    fn matrix_eval(&self, samples: Option<usize>) -> EvalConfig {
        let eval = self.project.eval.clone();
        EvalConfig { samples: samples.or(eval.samples), ..eval }
    }

    fn sets_of(&self, from: SetsFrom, percents: &[f64]) -> Result<Sets, String> {
        let names = self.task_names(&[])?;
        let by_share = |of: &dyn Fn(f64) -> Vec<NeuronSet>| percents.iter().map(|&p| of(p)).collect();
        match from {
            SetsFrom::Found => {
                let view =
                    self.tasks.find.as_ref().filter(|v| !v.tasks.is_empty()).ok_or("No task neurons are found yet: find them first.")?;
                let ours = self.library.model_info().map_or("", |m| m.sha256.as_str());
                if view.provenance.model_sha256 != ours {
                    return Err("The task neurons that were found are another model's: find those of the open one.".into());
                }
                let tasks: Vec<_> = view.tasks.iter().filter(|t| names.contains(&t.name)).collect();
                if tasks.is_empty() {
                    return Err("None of the tasks that were found is switched on.".into());
                }
                let ranking = view.ranking();
                Ok(Sets {
                    tasks: tasks.iter().map(|t| t.name.clone()).collect(),
                    sets: by_share(&|p| tasks.iter().map(|t| t.set(p, ranking)).collect()),
                    words: view.request.config.words(percents[0]).replacen(&format!("top {} %", percents[0]), "top k %", 1),
                    chosen: tasks.iter().map(|t| view.chosen_on(t)).collect(),
                })
            }
            SetsFrom::Run { metric, ranking } => {
                let run = self.library.run().ok_or("There is no run: scan first.")?;
                let mut maps = Vec::new();
                for name in &names {
                    let map = run.output.domain(name).and_then(|s| s.map(metric));
                    maps.push(map.ok_or_else(|| format!("{} holds no {} of {name}.", run.name, metric.label()))?);
                }
                Ok(Sets {
                    sets: by_share(&|p| maps.iter().map(|m| top(m, p, ranking)).collect()),
                    words: format!("top k % {} by {}, {}", ranking.words(), metric.label(), run.name),
                    chosen: self.scanned_rows(&names).into_iter().chain(self.rows_of_sets(&names)).collect(),
                    tasks: names,
                })
            }
        }
    }

    /// Rows that the set files beside the shown run were chosen on: also those that suggested how many neurons to take.
    fn rows_of_sets(&self, names: &[String]) -> Vec<ChosenOn> {
        let folder = self.library.run().and_then(|r| r.path.as_deref());
        let read = |name: &String| set_file::read(&set_path(folder?, name)).ok();
        names.iter().filter_map(read).flat_map(|file| file.chosen_on).collect()
    }

    /// What is scored of each task, never a row that chose neurons, and how many rows are left out.
    fn matrix_sources(
        &self,
        tasks: &[String],
        chosen: &[ChosenOn],
        samples: Option<usize>,
    ) -> Result<(Vec<ItemSource>, Vec<usize>), String> {
        let decoder = self.decoder.as_ref().ok_or("There is no model: open one and wait until it is read.")?;
        let mut domains = Vec::with_capacity(tasks.len());
        for name in tasks {
            let scored = self.library.domain(name).and_then(|d| d.scored());
            domains.push(scored.cloned().ok_or_else(|| format!("{name} is not read yet, or could not be."))?);
        }
        let (eval, held) = hold_out(&self.matrix_eval(samples), &domains, &chosen.iter().collect::<Vec<_>>());
        if let Some((name, h)) = held.iter().find(|(_, h)| h.chosen_on > 0) {
            let n = domains.iter().find(|d| d.name == *name).map_or(0, |d| d.items.len());
            return Err(format!(
                "{} of the {n} rows of {name} chose its neurons and must not judge them; too few others are left. Find neurons on fewer samples, or \
                 give {name} a file with more rows.",
                h.chosen_on
            ));
        }
        let sources: Vec<ItemSource> = domains.iter().map(|d| item_source(&decoder.computing_key(), d, &eval)).collect();
        match sources.iter().find(|s| s.items.is_empty()) {
            Some(empty) => Err(format!("Nothing of {} is left to score.", empty.domain.name)),
            None => Ok((sources, tasks.iter().map(|t| held.get(t).map_or(0, |h| h.left_out)).collect())),
        }
    }

    /// The command line that measures the same matrix again.
    fn prove_command(&self, request: &ProveRequest, tasks: &[String]) -> String {
        let p = &self.project;
        let mut words = self.words_of("prove", tasks.iter().map(String::as_str));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        let list = |values: &[f64]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        add("--percents", list(&request.percents));
        add("--controls", p.controls.to_string());
        if p.control_match != crate::ablate::ControlMatch::Size {
            add("--match", p.control_match.word().into());
        }
        if !request.factors.is_empty() {
            add("--factors", list(&request.factors));
            add("--scaled-percent", request.scaled_percent.to_string());
        }
        add("--mode", p.mode.word());
        if p.at != AblationAt::All {
            add("--at", p.at.word().into());
        }
        if let Some(n) = request.samples.or(p.eval.samples) {
            add("--questions", n.to_string());
        }
        // A search's own flags say the same of the rows that rank.
        if !matches!((request.sets, &self.tasks.find), (SetsFrom::Found, Some(v)) if v.folder.is_none()) {
            add("--seed", p.eval.seed.to_string());
            add("--order", if p.eval.order == Order::File { "file" } else { "shuffle" }.into());
            add("--max-tokens", p.eval.max_tokens.to_string());
        }
        match (request.sets, &self.tasks.find) {
            (SetsFrom::Found, Some(view)) => match &view.folder {
                Some(folder) => {
                    add("--run", folder.display().to_string());
                    ranked(view.ranking(), &mut add);
                }
                None => relevance_flags(&view.request.config, &mut add),
            },
            (SetsFrom::Run { ranking, .. }, _) => {
                let run = self.library.run().and_then(|r| r.path.as_ref());
                run.into_iter().for_each(|path| add("--run", path.display().to_string()));
                ranked(ranking, &mut add);
            }
            (SetsFrom::Found, None) => {}
        }
        words.join(" ")
    }
}

fn ranked(ranking: Ranking, add: &mut dyn FnMut(&str, String)) {
    if ranking == Ranking::PerLayer {
        add("--ranking", "per-layer".into());
    }
}

/// Random sets beside each scaled set: two tell a set's own effect from that of any set of its size, and cost less than all.
const SCALED_CONTROLS: usize = 2;
