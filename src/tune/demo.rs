//! The demo model from nothing: tokenizer, random weights, training, a model folder, its accuracy.

use super::{AdamWConfig, Schedule, TrainConfig, TrainSequence, Trainer, checkpoint, init};
use crate::{
    base::{Ctx, Error, Result, atomic_file, hash},
    compute::Backend,
    data::{Domain, demo},
    eval::{self, EvalConfig},
    model::{Decoder, DecoderSpec, Model, ModelInfo, SaveDtype, TextTokenizer, load_model, save_model, spec::Sizes},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

/// Standard deviation of the random embedding.
const EMBEDDING_STD: f64 = 0.05;
/// Weight of the loss of tokens outside the answer; the answer's weigh 1.
const OUTSIDE_WEIGHT: f32 = 0.2;
/// One line of the log for so many steps.
const LOG_EVERY: usize = 50;

pub const CHECKPOINT: &str = "training.checkpoint.safetensors";
const LOG: &str = "training.log.json";
/// What was trained, how, and what came of it.
pub const RECORD: &str = "training.json";

/// Settings of a training run; the defaults are those of the committed weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemoOptions {
    pub steps: usize,
    /// Training texts a step.
    pub texts: usize,
    pub learning_rate: f64,
    /// Steps between two checkpoints.
    pub checkpoint_every: usize,
    /// Domains whose texts are left out: a base that lacks them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { steps: 6000, texts: 64, learning_rate: 2e-3, checkpoint_every: 250, without: Vec::new() }
    }
}

/// Shape of the demo model: 1.26 million parameters in eight layers of 384 neurons.
pub fn spec() -> DecoderSpec {
    let sizes =
        Sizes { n_layers: 8, d_model: 96, d_mlp: 384, vocab: demo::VOCAB, max_positions: 256, n_heads: 4, n_kv_heads: 2, head_dim: 24 };
    DecoderSpec { tied_head: true, ..DecoderSpec::llama(sizes) }
}

/// Mean of the steps since the line before (or since the run went on from a checkpoint).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub step: usize,
    /// Weighted cross-entropy a token (natural log).
    pub loss: f64,
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Log {
    seed: u64,
    options: DemoOptions,
    seconds: f64,
    tokens: u64,
    lines: Vec<LogLine>,
}

/// Kept as `training.json` beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemoRecord {
    pub program: String,
    pub seed: u64,
    pub options: DemoOptions,
    pub train: TrainConfig,
    pub outside_weight: f32,
    pub embedding_std: f64,
    pub n_params: u64,
    pub device: String,
    pub tokens: u64,
    /// Time of the training steps, wall clock.
    pub seconds: f64,
    /// Share of right answers by domain, of the weights as saved.
    pub validation_accuracy: BTreeMap<String, f64>,
    pub test_accuracy: BTreeMap<String, f64>,
    pub weights_sha256: String,
    pub log: Vec<LogLine>,
}

/// Trains the demo model into `folder`, which then is a model folder like any other. Goes on from a checkpoint that an earlier call with
/// the same seed and options left there. The same seed gives the same weights, whatever the number of threads.
///
/// # Errors
/// [`Error::Cancelled`] (a checkpoint is kept); a folder that cannot be written to; a number that is not finite.
pub fn train(folder: &Path, seed: u64, options: DemoOptions, backend: Arc<dyn Backend>, ctx: &Ctx<'_>) -> Result<DemoRecord> {
    let (config, log) = fit(folder, seed, &options, &backend, ctx)?;
    // What is reported is what was saved: the rounded weights, read back.
    let decoder = Decoder::new(Arc::new(load_model(folder, ctx)?), backend);
    let mut record = DemoRecord {
        program: format!("brodmann {}", env!("CARGO_PKG_VERSION")),
        seed,
        options,
        train: config,
        outside_weight: OUTSIDE_WEIGHT,
        embedding_std: EMBEDDING_STD,
        n_params: decoder.model.info.n_params,
        device: decoder.backend.device(),
        tokens: log.tokens,
        seconds: log.seconds,
        validation_accuracy: BTreeMap::new(),
        test_accuracy: BTreeMap::new(),
        weights_sha256: hash::sha256_file(&folder.join("model.safetensors"), ctx)?,
        log: log.lines,
    };
    for name in demo::NAMES {
        record.validation_accuracy.insert(name.into(), accuracy(&decoder, &demo::domain(name, demo::Split::Validation)?, ctx)?);
        record.test_accuracy.insert(name.into(), accuracy(&decoder, &demo::domain(name, demo::Split::Test)?, ctx)?);
    }
    write_json(&folder.join(RECORD), &record)?;
    for done_with in [CHECKPOINT, LOG] {
        let path = folder.join(done_with);
        std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
    }
    Ok(record)
}

/// Trains and saves the model folder; checkpoint and log stay.
fn fit(folder: &Path, seed: u64, options: &DemoOptions, backend: &Arc<dyn Backend>, ctx: &Ctx<'_>) -> Result<(TrainConfig, Log)> {
    let tokenizer_json = demo::train_tokenizer(seed)?;
    let tokenizer = TextTokenizer::from_bytes(demo::tokenizer_path(), tokenizer_json.as_bytes())?;
    atomic_file::write(&folder.join("tokenizer.json"), tokenizer_json.as_bytes())?;
    atomic_file::write(&folder.join("tokenizer_config.json"), demo::tokenizer_config().as_bytes())?;

    let spec = spec();
    let weights = init::random_weights(&spec, EMBEDDING_STD, seed)?;
    let n_params = spec.roles().iter().filter_map(|r| weights.get(*r)).map(|t| t.len() as u64).sum();
    let info = ModelInfo {
        name: "demo".into(),
        folder: folder.to_owned(),
        model_type: "llama".into(),
        n_params,
        dtype: "f32".into(),
        size_bytes: 4 * n_params,
        sha256: String::new(),
    };
    let config = TrainConfig {
        schedule: Schedule { peak: options.learning_rate, warmup_steps: options.steps * 3 / 100, total_steps: options.steps, floor: 0.02 },
        optimizer: AdamWConfig::default().into(),
        clip: 1.0,
        micro_batch_tokens: 2048,
    };
    let mut trainer = Trainer::new(Model { info, spec, weights, tokenizer }, backend.clone(), config)?;
    let log = run(&mut trainer, folder, seed, options, ctx)?;

    let model = trainer.into_model()?;
    let extra = serde_json::json!({ "bos_token_id": demo::BOS_ID, "eos_token_id": demo::EOS_ID });
    let extra = extra.as_object().cloned().unwrap_or_default();
    save_model(folder, "llama", &model.spec, &model.weights, SaveDtype::Bf16, &extra)?;
    Ok((config, log))
}

/// All steps that are left, with checkpoints.
fn run(trainer: &mut Trainer, folder: &Path, seed: u64, options: &DemoOptions, ctx: &Ctx<'_>) -> Result<Log> {
    let (path, log_path) = (folder.join(CHECKPOINT), folder.join(LOG));
    let mut log = Log { seed, options: options.clone(), ..Log::default() };
    if path.exists() {
        checkpoint::load(trainer, &path)?;
        let text = std::fs::read(&log_path).map_err(|e| Error::io(&log_path, e))?;
        log = serde_json::from_slice(&text).map_err(|e| Error::format(&log_path, format!("not the log of a training run: {e}")))?;
        if (log.seed, &log.options) != (seed, options) {
            return Err(Error::format(
                &path,
                "is of a run with another seed or other options; use the same ones, or remove it to start anew",
            ));
        }
        // Written after the checkpoint it belongs to: one line may be ahead.
        log.lines.retain(|l| l.step <= trainer.steps_done());
    }
    let (before, started, first) = (log.seconds, Instant::now(), trainer.steps_done());
    let without = demo::places(&options.without)?;
    let (mut loss, mut norm, mut n, mut tokens) = (0.0, 0.0, 0, 0u64);
    while trainer.steps_done() < options.steps {
        let stop = ctx.check().is_err();
        if !stop {
            let sequences = sequences(&trainer.decoder().model.tokenizer, seed, trainer.steps_done(), options.texts, &without)?;
            let report = trainer.step(&sequences)?;
            (loss, norm, n, tokens) = (loss + report.loss, norm + report.gradient_norm, n + 1, tokens + report.tokens as u64);
            log.tokens += report.tokens as u64;
            log.seconds = before + started.elapsed().as_secs_f64();
            if report.step % LOG_EVERY == 0 {
                let mean = |sum: f64| sum / f64::from(n);
                log.lines.push(LogLine { step: report.step, loss: mean(loss), gradient_norm: mean(norm), learning_rate: report.rate });
                (loss, norm, n) = (0.0, 0.0, 0);
            }
            let seconds = started.elapsed().as_secs_f64();
            let left = seconds / (report.step - first) as f64 * (options.steps - report.step) as f64;
            let speed = tokens as f64 / seconds;
            let phase = format!("training: loss {:.3}, {speed:.0} tokens/s, {} left", report.loss, minutes(left));
            ctx.progress(phase, report.step, options.steps, "steps");
        }
        let done = trainer.steps_done();
        if stop || done.is_multiple_of(options.checkpoint_every.max(1)) || done == options.steps {
            checkpoint::save(trainer, &path)?;
            write_json(&log_path, &log)?;
        }
        if stop {
            return Err(Error::Cancelled);
        }
    }
    Ok(log)
}

fn minutes(seconds: f64) -> String {
    format!("{}:{:02}", seconds as u64 / 60, seconds as u64 % 60)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::format(path, e.to_string()))?;
    atomic_file::write(path, format!("{text}\n").as_bytes())
}

/// The texts of one step: they depend on nothing but seed and step.
fn sequences(tokenizer: &TextTokenizer, seed: u64, step: usize, count: usize, without: &[usize]) -> Result<Vec<TrainSequence>> {
    let sequence = |t: demo::TrainingText| {
        let mut tokens = tokenizer.encode(&t.text)?;
        let end = tokens.len();
        let from = if t.answer == 0 { end } else { tokenizer.encode(&t.text[..t.answer])?.len() };
        tokens.push(demo::EOS_ID);
        let weight = |i: usize| match i {
            0 => 0.0,
            _ if (from..end).contains(&i) => 1.0,
            _ => OUTSIDE_WEIGHT,
        };
        let weights = (0..tokens.len()).map(weight).collect();
        Ok(TrainSequence { tokens, weights })
    };
    demo::training_texts_of_step(seed, step, without).take(count).map(sequence).collect()
}

/// Share of items whose right choice is the likeliest.
fn accuracy(decoder: &Decoder, domain: &Domain, ctx: &Ctx<'_>) -> Result<f64> {
    let score = eval::evaluate(decoder, domain, &EvalConfig::default(), None, ctx, &mut |_| {})?;
    score.acc().ok_or_else(|| Error::invalid(format!("domain {} has no accuracy", domain.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{CancelToken, job::silently},
        compute::cpu::CpuBackend,
    };

    const SHORT: DemoOptions = DemoOptions { steps: 6, texts: 4, learning_rate: 2e-3, checkpoint_every: 100, without: Vec::new() };

    fn backend(threads: usize) -> Arc<dyn Backend> {
        Arc::new(CpuBackend::new(Some(threads)))
    }

    fn bytes(folder: &Path) -> Vec<u8> {
        std::fs::read(folder.join("model.safetensors")).expect("saved")
    }

    #[test]
    fn a_cancelled_run_goes_on_to_the_bytes_of_an_unbroken_one() {
        let (whole, broken) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let (_, log) = silently(|ctx| fit(whole.path(), 7, &SHORT, &backend(2), ctx)).expect("trains");
        assert!(log.tokens > 100 && log.seconds > 0.0);

        let cancel = CancelToken::default();
        let report = |p: crate::base::Progress| {
            if p.done == 3 {
                cancel.cancel();
            }
        };
        let stopped = fit(broken.path(), 7, &SHORT, &backend(1), &Ctx::new(&cancel, &report));
        assert!(stopped.is_err_and(|e| e.is_cancelled()));
        assert!(!broken.path().join("model.safetensors").exists());
        let other = silently(|ctx| fit(broken.path(), 8, &SHORT, &backend(1), ctx));
        assert!(other.is_err_and(|e| e.to_string().contains("another seed")));
        silently(|ctx| fit(broken.path(), 7, &SHORT, &backend(1), ctx)).expect("goes on");
        assert!(bytes(whole.path()) == bytes(broken.path()));
    }

    #[test]
    fn the_committed_model_has_this_shape_and_tokenizer() {
        let model = silently(|ctx| {
            crate::model::load_embedded("demo", demo::model_files::CONFIG, demo::model_files::TOKENIZER, demo::model_files::WEIGHTS, ctx)
        })
        .expect("the demo model");
        assert_eq!(model.spec, spec());
        let record: DemoRecord = serde_json::from_slice(demo::model_files::TRAINING_RECORD).expect("a record");
        assert_eq!(record.options, DemoOptions::default());
        assert_eq!((record.n_params, &record.weights_sha256), (model.info.n_params, &hash::sha256_bytes(demo::model_files::WEIGHTS)));
        assert!(demo::train_tokenizer(record.seed).expect("trains").as_bytes() == demo::model_files::TOKENIZER);
    }

    #[test]
    fn the_committed_model_answers_as_its_record_says() {
        let (decoder, record) = silently(|ctx| {
            let files = (demo::model_files::CONFIG, demo::model_files::TOKENIZER, demo::model_files::WEIGHTS);
            let model = crate::model::load_embedded("demo", files.0, files.1, files.2, ctx).expect("the demo model");
            let record: DemoRecord = serde_json::from_slice(demo::model_files::TRAINING_RECORD).expect("a record");
            (Decoder::new(Arc::new(model), backend(2)), record)
        });
        for name in demo::NAMES {
            let test = demo::domain(name, demo::Split::Test).expect("a demo domain");
            let now = silently(|ctx| accuracy(&decoder, &test, ctx)).expect("scores");
            // One item of 272 may tip on another processor.
            assert!((now - record.test_accuracy[name]).abs() <= 1.01 / test.items.len() as f64, "{name}: {now}");
            assert!(now >= 0.85, "{name}: {now}");
        }
    }
}
