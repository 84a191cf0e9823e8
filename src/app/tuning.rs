//! Tuning the open model on one domain: which neurons, from which rows, judged on which rows; and what came of it.

use super::{
    App, Failure, JobId,
    cut_rows::{self, CutRows},
    event::{Event, JobTarget},
    project_file::is_demo,
    state::NoticeLevel,
    task_rows::RowLimits,
    tuned,
};
use crate::{
    base::{
        Ctx, Error, NeuronSet, Result, atomic_file, number,
        provenance::{self, Provenance},
    },
    data::{Domain, demo::model_files},
    eval::{self, EvalConfig},
    model::{Decoder, Model, SaveDtype, save_model},
    task::course::relevance,
    tune::{self, Ended, Evaluated, Learn, LoraConfig, OptimizerConfig, Overlay, Target, TuneConfig, TunePoint, peft},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What of the model is to train; a share is resolved to neurons when the tuning starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TrainWhat {
    #[default]
    All,
    Neurons {
        neurons: NeuronSet,
    },
    /// The task's own: the most relevant of the rows that are trained on.
    Top {
        percent: f64,
    },
    /// As many random ones in each layer as `Top` would take there.
    Random {
        percent: f64,
    },
    Lora {
        config: LoraConfig,
    },
}

impl TrainWhat {
    /// `everything`, `its top 10 %`
    pub fn words(&self) -> String {
        match self {
            Self::All => "everything".to_owned(),
            Self::Neurons { neurons } => number::counted(neurons.len() as u64, "neuron"),
            Self::Top { percent } => format!("its top {} %", number::sig3(*percent)),
            Self::Random { percent } => format!("{} % random neurons", number::sig3(*percent)),
            Self::Lora { config } => format!("LoRA of rank {}", config.rank),
        }
    }
}

/// One tuning, as asked for. `config.target` is filled in by `what`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneRequest {
    /// Domain that is learnt.
    pub task: String,
    pub what: TrainWhat,
    #[serde(default)]
    pub config: TuneConfig,
    /// Items a domain at most, for training and for each evaluation.
    #[serde(default)]
    pub train_items: Option<usize>,
    #[serde(default)]
    pub eval_items: Option<usize>,
    /// Folder for the overlay, the curves and the checkpoints.
    pub out: PathBuf,
    /// Also as a model folder that other tools load.
    #[serde(default)]
    pub save_model: Option<PathBuf>,
}

/// What came of a tuning; `tune.json` of its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneReport {
    pub task: String,
    pub what: TrainWhat,
    pub config: TuneConfig,
    /// Scalars that trained, of all.
    pub trained: usize,
    pub parameters: u64,
    /// Rows (lines of the file) that were learnt.
    pub train_lines: Vec<usize>,
    /// How many of them were longer than max tokens, or than the model's context, and were cut.
    #[serde(default)]
    pub train_cut: usize,
    /// Where the rows came from that judge: another split, or rows kept from training.
    pub judged_on: String,
    pub before: Evaluated,
    /// Of the weights that are kept.
    pub after: Evaluated,
    pub best_step: usize,
    pub steps: usize,
    pub ended: Ended,
    pub seconds: f64,
    pub tokens: u64,
    pub points: Vec<TunePoint>,
    pub overlay_sha256: String,
    pub provenance: Provenance,
}

/// A tuning under way or done, for whoever watches.
#[derive(Clone, Debug, Default)]
pub struct TuningView {
    pub task: String,
    /// As asked for; of a tuning that was read from its folder there is none.
    pub request: Option<TuneRequest>,
    pub job: Option<JobId>,
    /// Why it ended without a result: `stopped`, or what went wrong.
    pub failed: Option<Failure>,
    pub points: Vec<TunePoint>,
    pub report: Option<Arc<TuneReport>>,
    /// Where the report lies.
    pub folder: Option<PathBuf>,
}

pub const OVERLAY_FILE: &str = "overlay.safetensors";
pub const REPORT_FILE: &str = "tune.json";

/// Samples whose relevance chooses a task's neurons.
const RELEVANCE_SAMPLES: usize = 64;

/// Rows to learn from and, for each domain, rows that judge.
struct Split {
    train: Arc<Domain>,
    /// Says which step is the best, and when to stop.
    validation: Arc<Domain>,
    /// Every domain's rows that are reported: they neither train nor choose.
    judges: Vec<Domain>,
    words: String,
}

impl App {
    pub(super) fn tune(&mut self, request: TuneRequest) {
        // A tuned model's next tuning starts from its base, as its overlay says.
        let Some(decoder) = self.base_decoder() else {
            let what = "Open a model folder, or `demo`, and wait until it is read.";
            return self.notice(NoticeLevel::Error, "There is no model to tune", what);
        };
        let split = match self.split(&request) {
            Ok(split) => split,
            Err(e) => return self.notice(NoticeLevel::Error, "The tuning cannot start", e.to_string()),
        };
        let mut provenance = self.provenance();
        provenance.objective = request.config.learn.words().to_owned();
        provenance.seed = request.config.seed;
        provenance.dtype = format!("{} computed in {}", decoder.model.info.dtype, decoder.backend.arithmetic());
        of_model(&mut provenance, &decoder.model.info);
        provenance.command = self.tune_command(&request);
        let view = TuningView { task: request.task.clone(), request: Some(request.clone()), ..TuningView::default() };
        let title = format!("Tuning on {}", request.task);
        let (out, data_dir) = (request.out.clone(), self.settings.data_dir.clone());
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Tune(_)));
        let job = self.runner.spawn(&mut self.jobs, title, JobTarget::Tune(out.clone()), move |ctx, news| {
            let (report, overlay) =
                run(&decoder, request, split, provenance, ctx, &mut |point| news.send(Event::TunePoint(point.clone())))?;
            let rows = CutRows { domain: &report.task, cut: report.train_cut, of: report.train_lines.len() };
            cut_rows::warn(&[rows], decoder.model.spec.max_positions, report.config.max_tokens, news);
            let report = Arc::new(report);
            news.send(Event::Tuned { report: report.clone(), folder: out.clone() });
            tuned::send(tuned::made(&decoder, overlay, report, &out)?, &data_dir, news);
            Ok(())
        });
        self.tuning = Some(TuningView { job: Some(job), ..view });
    }

    pub(super) fn tuning_ended(&mut self, folder: PathBuf, failure: Option<Failure>) {
        if failure.is_none() {
            self.notice(NoticeLevel::Done, "Tuned", folder.display().to_string());
        }
        if let Some(view) = &mut self.tuning {
            (view.job, view.failed) = (None, failure);
        }
    }

    pub(super) fn tune_point(&mut self, point: TunePoint) {
        if let Some(view) = &mut self.tuning {
            view.points.push(point);
        }
    }

    pub(super) fn tuned(&mut self, report: Arc<TuneReport>, folder: PathBuf) {
        // Another one may have begun while a folder was read.
        let own = self.tuning.as_ref().and_then(|v| v.request.as_ref()).is_some_and(|r| r.out == folder);
        if !own && self.tuning.as_ref().is_some_and(|v| v.job.is_some()) {
            return;
        }
        // What was opened has nothing to do with a tuning that failed before.
        let view = self.tuning.take().filter(|v| v.job.is_some()).unwrap_or_default();
        let (task, points, folder) = (report.task.clone(), report.points.clone(), Some(folder));
        self.tuning = Some(TuningView { task, points, folder, report: Some(report), ..view });
    }

    fn split(&self, request: &TuneRequest) -> Result<Split> {
        let limits = RowLimits { train: request.train_items, validation: request.eval_items, test: None };
        let rows = self.row_source(&request.task)?.part(limits, request.config.seed)?;
        let mut judges = Vec::new();
        for d in self.project.enabled() {
            let Some(scored) = self.library.domain(&d.name).and_then(|e| e.scored()) else { continue };
            // Of a file that is learnt from only the rows that are kept to judge, whichever domain reads it.
            let read = self.library.domain(&d.name).and_then(|e| e.state.ready());
            let learnt = read.is_some_and(|read| read.sha256 == rows.train.sha256);
            // Each by its own reading of them.
            let kept: BTreeSet<usize> = rows.test.items.iter().map(|i| i.line).collect();
            let mut items = match (d.name == request.task, learnt) {
                (true, _) => rows.test.items.clone(),
                (_, true) => scored.items.iter().filter(|i| kept.contains(&i.line)).cloned().collect(),
                _ => scored.items.clone(),
            };
            items.truncate(request.eval_items.unwrap_or(usize::MAX));
            judges.push(Domain { items, ..(**scored).clone() });
        }
        Ok(Split { train: rows.train, validation: rows.validation, judges, words: rows.words })
    }
}

fn run(
    decoder: &Decoder,
    mut request: TuneRequest,
    split: Split,
    mut provenance: Provenance,
    ctx: &Ctx<'_>,
    on_point: &mut dyn FnMut(&TunePoint),
) -> Result<(TuneReport, Overlay)> {
    let (base, backend) = (&decoder.model, decoder.backend.clone());
    std::fs::create_dir_all(&request.out).map_err(|e| Error::io(&request.out, e))?;
    request.config.target = target(decoder, &request, &split.train, ctx)?;
    let config = &request.config;
    let tune::Examples { sequences, cut } = tune::examples(
        &split.train,
        &split.train.items,
        &base.tokenizer,
        config.learn,
        config.max_tokens.min(base.spec.max_positions),
        ctx,
    )?;
    let eval = EvalConfig { max_tokens: config.max_tokens, ..EvalConfig::default() };
    let mut evaluate = |decoder: &Decoder, ctx: &Ctx<'_>| -> Result<Evaluated> {
        let mut found = Evaluated::default();
        for domain in &split.judges {
            let score = eval::evaluate(decoder, domain, &eval, None, ctx, &mut |_| {})?;
            found.accuracy.extend(score.acc().map(|a| (domain.name.clone(), a)));
            found.loss.extend(score.loss().map(|l| (domain.name.clone(), l)));
        }
        let score = eval::evaluate(decoder, &split.validation, &eval, None, ctx, &mut |_| {})?;
        // The loss parts what equal accuracies do not.
        let loss = score.loss().unwrap_or(0.0);
        found.score = score.acc().map_or(-loss, |a| a - 1e-3 * loss.min(100.0));
        Ok(found)
    };
    let tuned = tune::tune(base, backend.clone(), &sequences, config, Some(&request.out), &mut evaluate, on_point, ctx)?;
    let evaluated = |step: usize| tuned.points.iter().find(|p| p.step == step).and_then(|p| p.evaluated.clone()).unwrap_or_default();
    let (before, after) = (evaluated(0), evaluated(tuned.best_step));
    provenance.formula = format!(
        "{} of {} scalars trained; accuracy by log-likelihood of the choices, on {}",
        tuned.n_trained, base.info.n_params, split.words
    );
    provenance.created = provenance::now_utc();
    let overlay = Overlay {
        target: config.target.clone(),
        base_sha256: base.info.sha256.clone(),
        base_name: base.info.name.clone(),
        values: tuned.values,
        provenance: provenance.clone(),
    };
    overlay.save(&request.out.join(OVERLAY_FILE))?;
    if let Target::Lora(lora) = &config.target {
        peft::save(&request.out.join("adapter"), base, lora, &overlay.values)?;
    }
    if let Some(folder) = &request.save_model {
        save_folder(folder, base, &tuned.model)?;
    }
    let report = TuneReport {
        task: request.task,
        what: request.what,
        config: request.config,
        trained: tuned.n_trained,
        parameters: base.info.n_params,
        train_lines: split.train.items.iter().map(|i| i.line).collect(),
        train_cut: cut,
        judged_on: split.words,
        before,
        after,
        best_step: tuned.best_step,
        steps: tuned.steps,
        ended: tuned.ended,
        seconds: tuned.seconds,
        tokens: tuned.tokens,
        points: tuned.points,
        overlay_sha256: overlay.digest(),
        provenance,
    };
    let path = request.out.join(REPORT_FILE);
    let text = serde_json::to_string_pretty(&report).map_err(|e| Error::format(&path, e.to_string()))?;
    atomic_file::write(&path, format!("{text}\n").as_bytes())?;
    Ok((report, overlay))
}

/// The neurons or adapters that the request means. Relevance is that of the rows to learn, never of those that judge.
fn target(decoder: &Decoder, request: &TuneRequest, train: &Arc<Domain>, ctx: &Ctx<'_>) -> Result<Target> {
    let top = |percent: f64| -> Result<NeuronSet> {
        let c = &request.config;
        let maps = relevance(decoder, std::slice::from_ref(train), RELEVANCE_SAMPLES, c.seed, c.max_tokens, ctx)?;
        Ok(maps.first().map(|map| NeuronSet::top_percent(map, percent)).unwrap_or_default())
    };
    Ok(match &request.what {
        TrainWhat::All => Target::All,
        TrainWhat::Neurons { neurons } => Target::Neurons(neurons.clone()),
        TrainWhat::Top { percent } => Target::Neurons(top(*percent)?),
        TrainWhat::Random { percent } => Target::Neurons(top(*percent)?.random_like(decoder.model.spec.d_mlp, request.config.seed)),
        TrainWhat::Lora { config } => Target::Lora(config.clone()),
    })
}

/// Files of a model folder beside config and weights that its tuned child needs as they are.
const COMPANIONS: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "added_tokens.json",
];

/// A folder that other tools load: config, weights in f32, and what stands beside them in the base's folder.
pub(super) fn save_folder(folder: &Path, base: &Model, tuned: &Model) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let from = &base.info.folder;
    if is_demo(from) {
        atomic_file::write(&folder.join("tokenizer.json"), model_files::TOKENIZER)?;
    } else {
        for name in COMPANIONS {
            let (source, to) = (from.join(name), folder.join(name));
            if source.is_file() {
                let bytes = std::fs::read(&source).map_err(|e| Error::io(&source, e))?;
                atomic_file::write(&to, &bytes)?;
            }
        }
        let tokenizer = folder.join("tokenizer.json");
        if !tokenizer.exists() {
            atomic_file::write(&tokenizer, base.tokenizer.to_json()?.as_bytes())?;
        }
    }
    // Numbers of special tokens and the like are the base's own.
    let config = std::fs::read(from.join("config.json")).ok().and_then(|b| serde_json::from_slice::<serde_json::Value>(&b).ok());
    let kept = ["bos_token_id", "eos_token_id", "pad_token_id"];
    let extra = config.as_ref().and_then(|c| c.as_object()).map_or_else(serde_json::Map::new, |c| {
        c.iter().filter(|(k, _)| kept.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
    });
    save_model(folder, &base.info.model_type, &tuned.spec, &tuned.weights, SaveDtype::F32, &extra)
}

/// Names the model that trains, which need not be the one that computes.
pub(super) fn of_model(provenance: &mut Provenance, info: &crate::model::ModelInfo) {
    (provenance.model, provenance.model_sha256) = (info.name.clone(), info.sha256.clone());
}

impl App {
    /// The command line that makes the same tuning again.
    fn tune_command(&self, request: &TuneRequest) -> String {
        use super::run::shell_word as word;
        let c = &request.config;
        let what = match &request.what {
            TrainWhat::All => "all".to_owned(),
            TrainWhat::Neurons { neurons } => neurons.to_string(),
            TrainWhat::Top { percent } => format!("top:{percent}"),
            TrainWhat::Random { percent } => format!("random:{percent}"),
            TrainWhat::Lora { config } => {
                let targets: Vec<&str> = config.targets.iter().map(|m| m.name()).collect();
                format!("lora:{}:{}:{}", config.rank, config.alpha, targets.join(","))
            }
        };
        let mut words = self.words_of("tune", self.project.enabled().map(|d| d.name.as_str()));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), word(&value)]);
        add("--task", request.task.clone());
        add("--train", what);
        if c.learn == Learn::All {
            add("--learn", "all".into());
        }
        add("--steps", c.steps.to_string());
        add("--batch", c.batch.to_string());
        add("--rate", c.learning_rate.to_string());
        let usual = TuneConfig::default();
        let decay = match c.optimizer {
            OptimizerConfig::AdamW(a) => a.weight_decay,
            OptimizerConfig::Sgd(s) => {
                add("--optimizer", "sgd".into());
                s.weight_decay
            }
        };
        let mut unusual = |flag: &str, value: f64, usual: f64| {
            if value != usual {
                add(flag, value.to_string());
            }
        };
        unusual("--weight-decay", decay, 0.0);
        unusual("--warmup", c.warmup, usual.warmup);
        unusual("--floor", c.floor, usual.floor);
        unusual("--clip", c.clip, usual.clip);
        unusual("--micro-batch", c.micro_batch_tokens as f64, usual.micro_batch_tokens as f64);
        unusual("--evaluate-every", c.evaluate_every as f64, usual.evaluate_every as f64);
        unusual("--patience", c.patience as f64, usual.patience as f64);
        for (flag, items) in [("--train-items", request.train_items), ("--samples", request.eval_items)] {
            if let Some(n) = items {
                add(flag, n.to_string());
            }
        }
        add("--seed", c.seed.to_string());
        add("--max-tokens", c.max_tokens.to_string());
        add("--out", request.out.display().to_string());
        words.join(" ")
    }
}
