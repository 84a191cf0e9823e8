//! What learning one task consists of: rows to learn from, rows that say when to stop, rows that judge; finding the task's neurons, training, scoring.

use crate::{
    base::{Ctx, Error, Grid, NeuronSet, Progress, Result, number, one_writer},
    data::{Domain, Item},
    eval::{self, EvalConfig, encode_pair, prompt_text},
    model::{Decoder, Model, TextTokenizer},
    scan::{self, MetricKind, ObjectiveKind, ScanConfig},
    tune::{self, Ended, Evaluated, TuneConfig, TunePoint, Tuned},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs::File, path::Path, sync::Arc};

/// A task's rows in three parts that share none.
#[derive(Clone, Debug)]
pub struct TaskRows {
    pub name: String,
    /// Learnt from; neurons are chosen on them.
    pub train: Arc<Domain>,
    /// Say when to stop and which step was the best.
    pub validation: Arc<Domain>,
    /// Judge, and nothing else.
    pub test: Arc<Domain>,
    /// Where the parts come from, in words.
    pub words: String,
}

/// How many rows of a domain play which part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowCounts {
    pub name: String,
    /// 0 for a domain that is judged only.
    pub train: usize,
    pub validation: usize,
    pub test: usize,
    /// Rows of all parts that were longer than max tokens, or than the model's context, and were cut. 0 also in what earlier versions wrote.
    #[serde(default)]
    pub cut: usize,
    pub words: String,
}

impl RowCounts {
    /// Of all parts.
    pub fn all(&self) -> usize {
        self.train + self.validation + self.test
    }
    /// `, 3 of them cut`, or nothing.
    pub fn cut_words(&self) -> String {
        if self.cut == 0 { String::new() } else { format!(", {} of them cut", number::count(self.cut as u64)) }
    }
}

/// Items of which no more than `longest` tokens are read though some choice has more.
fn count_cut(items: &[Item], tokenizer: &TextTokenizer, longest: usize, ctx: &Ctx<'_>) -> Result<usize> {
    let mut count = 0;
    for (i, item) in items.iter().enumerate() {
        if i % 64 == 0 {
            ctx.check()?;
        }
        for choice in 0..item.choices.len() {
            let encoded = encode_pair(tokenizer, &prompt_text(tokenizer, item, choice)?, &item.continuation(choice), longest)?;
            if encoded.cut > 0 {
                count += 1;
                break;
            }
        }
    }
    Ok(count)
}

impl TaskRows {
    /// Of a task that is learnt.
    ///
    /// # Errors
    /// When the tokenizer or a chat template fails, or the work is cancelled.
    pub fn counts(&self, model: &Model, max_tokens: usize, ctx: &Ctx<'_>) -> Result<RowCounts> {
        let mut counts = self.judged(model, max_tokens, ctx)?;
        for (part, count) in [(&self.train, &mut counts.train), (&self.validation, &mut counts.validation)] {
            *count = part.items.len();
            counts.cut += count_cut(&part.items, &model.tokenizer, max_tokens.min(model.spec.max_positions), ctx)?;
        }
        Ok(counts)
    }
    /// Of one that is judged only.
    ///
    /// # Errors
    /// As [`Self::counts`].
    pub fn judged(&self, model: &Model, max_tokens: usize, ctx: &Ctx<'_>) -> Result<RowCounts> {
        let items = &self.test.items;
        Ok(RowCounts {
            name: self.name.clone(),
            train: 0,
            validation: 0,
            test: items.len(),
            cut: count_cut(items, &model.tokenizer, max_tokens.min(model.spec.max_positions), ctx)?,
            words: self.words.clone(),
        })
    }
    /// Everything of the rows that a result depends on.
    pub(super) fn digest(&self) -> String {
        let part = |d: &Domain| Domain::digest(&d.items);
        format!("{} {} {} {}", self.name, part(&self.train), part(&self.validation), part(&self.test))
    }
}

/// What a model makes of a task's test rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub n: usize,
    pub correct: usize,
    /// Mean cross-entropy a token of the right answers (natural log).
    pub loss: f64,
}

impl Score {
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.n.max(1) as f64
    }
    /// 95 % Wilson interval.
    pub fn interval(&self) -> (f64, f64) {
        crate::base::stats::wilson_95(self.correct, self.n)
    }
}

/// # Errors
/// When the domain has no choices, an item cannot be scored, or the work is cancelled.
pub fn score(decoder: &Decoder, domain: &Domain, max_tokens: usize, ctx: &Ctx<'_>) -> Result<Score> {
    let config = EvalConfig { max_tokens, ..EvalConfig::default() };
    let scored = eval::evaluate(decoder, domain, &config, None, ctx, &mut |_| {})?;
    let (Some(_), Some(loss)) = (scored.acc(), scored.loss()) else { return Err(no_choices(&domain.name)) };
    Ok(Score { n: scored.n(), correct: scored.items.iter().filter(|i| i.correct).count(), loss })
}

/// # Errors
/// When rows cannot be judged by accuracy, two domains have one name, or a row that judges one is learnt, or says when to stop, for another.
pub fn verify(tasks: &[TaskRows], others: &[TaskRows]) -> Result<()> {
    let rows = |d: &Arc<Domain>| d.items.iter().map(|i| (d.sha256.clone(), i.line)).collect::<Vec<_>>();
    let used: BTreeSet<(String, usize)> = tasks.iter().flat_map(|t| [rows(&t.train), rows(&t.validation)]).flatten().collect();
    let all: Vec<&TaskRows> = tasks.iter().chain(others).collect();
    for (i, task) in all.iter().enumerate() {
        if all[..i].iter().any(|t| t.name == task.name) {
            return Err(Error::invalid(format!("two tasks are called `{}`", task.name)));
        }
        if let Some((_, line)) = rows(&task.test).into_iter().find(|r| used.contains(r)) {
            return Err(Error::invalid(format!(
                "line {line} judges {} and is learnt by a task that reads the same file; give the two the same mapping, or files of their own",
                task.name
            )));
        }
        if task.test.kind != crate::data::DomainKind::MultipleChoice {
            return Err(no_choices(&task.name));
        }
    }
    Ok(())
}

/// Keeps a folder to one writer; a run that was just cancelled leaves it soon.
///
/// # Errors
/// When another goes on writing there, or the folder cannot be written to.
pub fn lock(folder: &Path, ctx: &Ctx<'_>) -> Result<File> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
    one_writer::lock(&file, folder, "another run is writing here", &|| ctx.check())?;
    Ok(file)
}

fn no_choices(name: &str) -> Error {
    Error::invalid(format!(
        "{name} has no choices to be right or wrong about; tasks in a sequence are judged by accuracy, so each needs them"
    ))
}

/// Mean relevance `|sum_t a dLoss/da|` of every neuron on rows that are learnt from, `[n_layers, d_mlp]`, one map a domain.
///
/// # Errors
/// As a scan's.
pub fn relevance(
    decoder: &Decoder,
    domains: &[Arc<Domain>],
    samples: usize,
    seed: u64,
    max_tokens: usize,
    ctx: &Ctx<'_>,
) -> Result<Vec<Grid>> {
    let config = ScanConfig {
        samples,
        seed,
        max_tokens,
        metrics: vec![MetricKind::Relevance],
        // Relevance is of the loss; another objective would be computed beside it for nothing.
        objective: ObjectiveKind::Loss,
        ..ScanConfig::default()
    };
    let output = scan::run_scan(decoder, domains, &config, ctx)?;
    let missing = |d: &Arc<Domain>| Error::invalid(format!("the scan of {} gave no relevance", d.name));
    domains.iter().map(|d| output.domain(&d.name).and_then(|s| s.map(MetricKind::Relevance)).cloned().ok_or_else(|| missing(d))).collect()
}

/// A task's neurons: the most relevant `percent` % of all.
///
/// # Errors
/// As [`relevance`].
pub fn task_neurons(
    decoder: &Decoder,
    task: &TaskRows,
    percent: f64,
    samples: usize,
    config: &TuneConfig,
    ctx: &Ctx<'_>,
) -> Result<NeuronSet> {
    let maps = relevance(decoder, std::slice::from_ref(&task.train), samples, config.seed, config.max_tokens, ctx)?;
    Ok(maps.first().map(|map| NeuronSet::top_percent(map, percent)).unwrap_or_default())
}

/// One task to learn.
pub struct LessonPlan<'a> {
    /// As the model stands when the task comes.
    pub model: &'a Model,
    pub decoder: &'a Decoder,
    pub task: &'a TaskRows,
    /// What the trained values begin from, where that is not what they are in the model: adapters that go on.
    pub start: Option<&'a [(String, Vec<f32>)]>,
    pub config: &'a TuneConfig,
    /// Of the trainer's checkpoint.
    pub folder: &'a Path,
}

/// Trains on a task's training rows; the weights that are kept are the best on its validation rows. Goes on from a checkpoint in the folder.
///
/// # Errors
/// As a tuning's; [`Error::Cancelled`] leaves a checkpoint.
pub fn learn(plan: &LessonPlan<'_>, on_point: &mut dyn FnMut(&TunePoint), ctx: &Ctx<'_>) -> Result<Tuned> {
    let LessonPlan { model, decoder, task, start, config, folder } = *plan;
    let train = &task.train;
    let tune::Examples { sequences, .. } =
        tune::examples(train, &train.items, &model.tokenizer, config.learn, config.max_tokens.min(model.spec.max_positions), ctx)?;
    let mut evaluate = |decoder: &Decoder, ctx: &Ctx<'_>| -> Result<Evaluated> {
        let found = score(decoder, &task.validation, config.max_tokens, ctx)?;
        let accuracy = found.accuracy();
        Ok(Evaluated {
            accuracy: [(task.name.clone(), accuracy)].into(),
            loss: [(task.name.clone(), found.loss)].into(),
            // The loss parts what equal accuracies do not.
            score: accuracy - 1e-3 * found.loss.min(100.0),
        })
    };
    let tuned = tune::tune_from(model, start, decoder.backend.clone(), &sequences, config, Some(folder), &mut evaluate, on_point, ctx)?;
    if tuned.ended == Ended::Cancelled { Err(Error::Cancelled) } else { Ok(tuned) }
}

/// Runs `work` with its progress told as steps of the whole: `done` before it, `total` in all. `phase` stays, so that the rate is one over the phase.
pub fn within<T>(ctx: &Ctx<'_>, phase: &str, done: usize, total: usize, work: impl FnOnce(&Ctx<'_>) -> T) -> T {
    ctx.progress(phase, done, total, "steps");
    let report = |p: Progress| {
        if p.unit == "steps" {
            ctx.progress(phase, done + p.done as usize, total, "steps");
        }
    };
    work(&Ctx::new(ctx.cancel, &report))
}
