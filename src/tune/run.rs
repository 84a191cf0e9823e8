//! A tuning from its first step to its last: batches by seed, evaluations in between, early stopping, checkpoints, exact resume. Whoever asks gets
//! every point of the curves as it is made.

use super::{
    Learn, OptimizerConfig, Schedule, StepReport, Target, TrainConfig, TrainSequence, Trainer,
    checkpoint::{self, Beside},
    need,
};
use crate::{
    base::{Ctx, Error, Result, rng::Rng},
    compute::Backend,
    model::{Decoder, Model},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// Everything that decides what a tuning gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TuneConfig {
    pub target: Target,
    pub learn: Learn,
    pub steps: usize,
    /// Sequences a step; more than a micro-batch holds are accumulated.
    pub batch: usize,
    pub learning_rate: f64,
    /// Share of the steps in which the rate rises.
    pub warmup: f64,
    /// Share of the rate left at the last step; 1 keeps it.
    pub floor: f64,
    pub optimizer: OptimizerConfig,
    pub clip: f64,
    /// Tokens that are computed at once.
    pub micro_batch_tokens: usize,
    pub seed: u64,
    pub max_tokens: usize,
    /// Steps between two evaluations; 0: only before the first and after the last.
    pub evaluate_every: usize,
    /// Evaluations without a better one after which the run stops; 0: never.
    pub patience: usize,
    /// Steps between two checkpoints; 0: only when stopped.
    pub checkpoint_every: usize,
}

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            target: Target::All,
            learn: Learn::Answer,
            steps: 200,
            batch: 16,
            learning_rate: 1e-4,
            warmup: 0.05,
            floor: 0.1,
            optimizer: OptimizerConfig::AdamW(super::AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }),
            clip: 1.0,
            micro_batch_tokens: 2048,
            seed: 0,
            max_tokens: 256,
            evaluate_every: 50,
            patience: 0,
            checkpoint_every: 100,
        }
    }
}

impl TuneConfig {
    fn train(&self) -> TrainConfig {
        let schedule = Schedule {
            peak: self.learning_rate,
            warmup_steps: (self.warmup * self.steps as f64).round() as usize,
            total_steps: self.steps,
            floor: self.floor,
        };
        TrainConfig { schedule, optimizer: self.optimizer, clip: self.clip, micro_batch_tokens: self.micro_batch_tokens.max(1) }
    }
    /// # Errors
    /// When a number makes no sense.
    pub fn verify(&self) -> Result<()> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let decay = self.optimizer.weight_decay();
        let wrong = if self.steps == 0 || self.batch == 0 {
            format!("{} steps of {} sequences: both must be at least 1", self.steps, self.batch)
        } else if !positive(self.learning_rate) || !positive(self.clip) {
            format!("learning rate {} and clip {}: both must be finite and above 0", self.learning_rate, self.clip)
        } else if !share(self.warmup) || !share(self.floor) {
            format!("warm-up {} and floor {}: both are shares, from 0 to 1", self.warmup, self.floor)
        } else if !share(decay) {
            format!("weight decay {decay}: it is a share, from 0 to 1")
        } else if self.max_tokens < 2 {
            format!("max tokens {}: a sequence needs at least 2", self.max_tokens)
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the training settings make no sense: {wrong}")))
    }
}

/// What an evaluation found; the run keeps the weights of the best one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Share of right answers by domain, where it has choices.
    pub accuracy: BTreeMap<String, f64>,
    /// Mean cross-entropy a token by domain.
    pub loss: BTreeMap<String, f64>,
    /// The larger the better: decides early stopping and what is kept.
    pub score: f64,
}

/// One point of the curves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunePoint {
    /// Steps done.
    pub step: usize,
    /// Weighted mean cross-entropy of the step's sequences; `None` at step 0.
    pub loss: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub learning_rate: f64,
    pub evaluated: Option<Evaluated>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All steps were made.
    Finished,
    /// No evaluation got better for as long as was asked.
    Early,
    /// The user stopped it; the best so far is kept.
    Cancelled,
}

pub struct Tuned {
    /// With the weights of the best evaluation, or of the last step where there was none.
    pub model: Model,
    /// Trained values by name, as an overlay holds them.
    pub values: Vec<(String, Vec<f32>)>,
    pub points: Vec<TunePoint>,
    pub ended: Ended,
    pub best_step: usize,
    pub steps: usize,
    pub n_trained: usize,
    /// Time of the training steps.
    pub seconds: f64,
    pub tokens: u64,
}

/// Where a run keeps what it needs to go on, in one file: a kill at any moment leaves a whole one.
pub const CHECKPOINT: &str = "training.checkpoint.safetensors";

/// Beside the trainer's state in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    config: TuneConfig,
    /// Of the sequences and their order.
    data: String,
    base_sha256: String,
    /// Of the products; states from before there was a choice are plain f32.
    #[serde(default = "plain")]
    arithmetic: String,
    points: Vec<TunePoint>,
    /// A step that was made but not evaluated yet, because the run was stopped just then.
    #[serde(default)]
    pending: Option<TunePoint>,
    best: Option<(usize, f64)>,
    stale: usize,
    seconds: f64,
    tokens: u64,
}

fn plain() -> String {
    "f32".to_owned()
}

/// Tunes a copy of `base` on `sequences`. `evaluate` scores the model as it stands (before the first step, every `evaluate_every`, after the last);
/// `on_point` hears of every step. With a `folder` the run keeps checkpoints there, and goes on from one that an earlier call with the same settings,
/// model and data left; the weights then are those of an unbroken run.
///
/// # Errors
/// When the settings do not fit, there is not memory enough, a number is not finite, the folder cannot be written to or holds a checkpoint of another run. A user's stop is
/// no error: it ends as [`Ended::Cancelled`] with the best weights so far.
#[expect(clippy::too_many_arguments, reason = "the parts of one training")]
pub fn tune(
    base: &Model,
    backend: Arc<dyn Backend>,
    sequences: &[TrainSequence],
    config: &TuneConfig,
    folder: Option<&Path>,
    evaluate: &mut dyn FnMut(&Decoder, &Ctx<'_>) -> Result<Evaluated>,
    on_point: &mut dyn FnMut(&TunePoint),
    ctx: &Ctx<'_>,
) -> Result<Tuned> {
    tune_from(base, None, backend, sequences, config, folder, evaluate, on_point, ctx)
}

/// As [`tune`], from other values of what trains than those of `base`: adapters that go on to another task. `start` is what an earlier tuning of the
/// same target gave.
///
/// # Errors
/// As [`tune`], and when `start` is of another target.
#[expect(clippy::too_many_arguments, reason = "the parts of one training")]
pub fn tune_from(
    base: &Model,
    start: Option<&[(String, Vec<f32>)]>,
    backend: Arc<dyn Backend>,
    sequences: &[TrainSequence],
    config: &TuneConfig,
    folder: Option<&Path>,
    evaluate: &mut dyn FnMut(&Decoder, &Ctx<'_>) -> Result<Evaluated>,
    on_point: &mut dyn FnMut(&TunePoint),
    ctx: &Ctx<'_>,
) -> Result<Tuned> {
    config.verify()?;
    if sequences.is_empty() {
        return Err(Error::invalid("there is nothing to train on: no sequence was given"));
    }
    need::check(base, config, sequences.iter().map(|s| s.tokens.len()).max().unwrap_or(0))?;
    let copy = Model { info: base.info.clone(), spec: base.spec.clone(), weights: base.weights.clone(), tokenizer: base.tokenizer.clone() };
    let arithmetic = backend.arithmetic().to_owned();
    let mut trainer = Trainer::with_target(copy, backend, config.train(), &config.target, config.seed)?;
    let mut data = digest(sequences);
    if let Some(start) = start {
        let same = trainer.parameters()?.iter().map(|(n, v)| (n, v.len())).eq(start.iter().map(|(n, v)| (n, v.len())));
        if !same {
            return Err(Error::invalid("the values to start from are of another target than the one that is to be trained"));
        }
        let optimizer = trainer.optimizer.clone();
        trainer.restore(start.iter().map(|(_, v)| v.clone()).collect(), optimizer)?;
        let values: Vec<u8> = start.iter().flat_map(|(_, v)| bytemuck::cast_slice::<f32, u8>(v)).copied().collect();
        data = crate::base::hash::sha256_bytes(format!("{data} {}", crate::base::hash::sha256_bytes(&values)).as_bytes());
    }
    let state = State {
        config: config.clone(),
        data,
        base_sha256: base.info.sha256.clone(),
        arithmetic,
        points: Vec::new(),
        pending: None,
        best: None,
        stale: 0,
        seconds: 0.0,
        tokens: 0,
    };
    let mut run = Run { trainer, state, best: None, folder: folder.map(Path::to_owned) };
    run.resume()?;
    for point in &run.state.points {
        on_point(point);
    }
    let ended = run.go(sequences, evaluate, on_point, ctx)?;
    run.end(ended)
}

struct Run {
    trainer: Trainer,
    state: State,
    /// Values of the best evaluation.
    best: Option<Vec<Vec<f32>>>,
    folder: Option<PathBuf>,
}

impl Run {
    fn go(
        &mut self,
        sequences: &[TrainSequence],
        evaluate: &mut dyn FnMut(&Decoder, &Ctx<'_>) -> Result<Evaluated>,
        on_point: &mut dyn FnMut(&TunePoint),
        ctx: &Ctx<'_>,
    ) -> Result<Ended> {
        let config = self.state.config.clone();
        let total = config.steps;
        if self.state.points.is_empty() && self.state.pending.is_none() {
            self.state.pending = Some(TunePoint { step: 0, loss: None, gradient_norm: None, learning_rate: 0.0, evaluated: None });
        }
        if !self.settle(evaluate, on_point, ctx)? {
            return Ok(Ended::Cancelled);
        }
        let (before, started, first) = (self.state.seconds, Instant::now(), self.trainer.steps_done());
        let mut evaluating = 0.0;
        while self.trainer.steps_done() < total {
            if config.patience > 0 && self.state.stale >= config.patience {
                self.keep()?;
                return Ok(Ended::Early);
            }
            if ctx.check().is_err() {
                self.keep()?;
                return Ok(Ended::Cancelled);
            }
            let batch = batch(sequences, config.batch, config.seed, self.trainer.steps_done());
            let StepReport { step, loss, gradient_norm, rate, tokens } = self.trainer.step(&batch)?;
            self.state.tokens += tokens as u64;
            self.state.seconds = before + started.elapsed().as_secs_f64() - evaluating;
            let point = TunePoint { step, loss: Some(loss), gradient_norm: Some(gradient_norm), learning_rate: rate, evaluated: None };
            if step == total || (config.evaluate_every > 0 && step % config.evaluate_every == 0) {
                let since = Instant::now();
                self.state.pending = Some(point);
                if !self.settle(evaluate, on_point, ctx)? {
                    return Ok(Ended::Cancelled);
                }
                evaluating += since.elapsed().as_secs_f64();
            } else {
                self.add(point, on_point);
            }
            let speed = (self.state.seconds - before) / (step - first) as f64;
            ctx.progress(format!("training: loss {loss:.3}, {:.2} s a step", speed), step, total, "steps");
            if config.checkpoint_every > 0 && step % config.checkpoint_every == 0 {
                self.keep()?;
            }
        }
        Ok(Ended::Finished)
    }

    /// Evaluates a step that waits for it. False when the user stopped meanwhile: then the step waits in the folder.
    fn settle(
        &mut self,
        evaluate: &mut dyn FnMut(&Decoder, &Ctx<'_>) -> Result<Evaluated>,
        on_point: &mut dyn FnMut(&TunePoint),
        ctx: &Ctx<'_>,
    ) -> Result<bool> {
        let Some(mut point) = self.state.pending.clone() else { return Ok(true) };
        match evaluate(self.trainer.decoder(), ctx) {
            Ok(found) => {
                self.state.pending = None;
                self.judge(&found)?;
                point.evaluated = Some(found);
                self.add(point, on_point);
                Ok(true)
            }
            Err(Error::Cancelled) => {
                self.keep()?;
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    fn add(&mut self, point: TunePoint, on_point: &mut dyn FnMut(&TunePoint)) {
        on_point(&point);
        self.state.points.push(point);
    }

    fn judge(&mut self, found: &Evaluated) -> Result<()> {
        // Nine decimals: what JSON text gives back to the last bit, so that a resumed run judges as an unbroken one.
        let score = (found.score * 1e9).round() / 1e9;
        let better = self.state.best.is_none_or(|(_, best)| score > best);
        if better {
            self.state.best = Some((self.trainer.steps_done(), score));
            self.state.stale = 0;
            self.best = Some(self.trainer.parameters()?.into_iter().map(|(_, v)| v).collect());
        } else {
            self.state.stale += 1;
        }
        Ok(())
    }

    fn keep(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(CHECKPOINT);
        let state = serde_json::to_string(&self.state).map_err(|e| Error::format(&path, e.to_string()))?;
        checkpoint::save_beside(&self.trainer, &path, Some(&Beside { state, best: self.best.clone().unwrap_or_default() }))
    }

    /// Goes back to the last checkpoint of the folder, if there is one.
    fn resume(&mut self) -> Result<()> {
        let Some(path) = self.folder.as_ref().map(|f| f.join(CHECKPOINT)).filter(|p| p.exists()) else { return Ok(()) };
        let read = |text: &str| -> Result<State> {
            serde_json::from_str(text).map_err(|e| Error::format(&path, format!("holds no state of a training run: {e}")))
        };
        let now = &self.state;
        let accept = |text: &str| {
            let then = read(text)?;
            let same = then.config == now.config && then.data == now.data;
            if same && then.base_sha256 == now.base_sha256 && then.arithmetic == now.arithmetic {
                return Ok(());
            }
            let what = "is of a run with other settings, data, products or another model";
            Err(Error::format(&path, format!("{what}; use the same ones, or another folder, or remove it to start anew")))
        };
        let beside = checkpoint::load_beside(&mut self.trainer, &path, accept)?;
        self.state = read(&beside.state)?;
        self.best = (!beside.best.is_empty()).then_some(beside.best);
        Ok(())
    }

    fn end(mut self, ended: Ended) -> Result<Tuned> {
        let steps = self.trainer.steps_done();
        let best_step = self.state.best.map_or(steps, |b| b.0);
        if let Some(best) = self.best.take().filter(|_| best_step != steps) {
            let optimizer = self.trainer.optimizer.clone();
            self.trainer.restore(best, optimizer)?;
        }
        let (values, n_trained) = (self.trainer.parameters()?, self.trainer.n_trained());
        if ended != Ended::Cancelled
            && let Some(folder) = &self.folder
        {
            let path = folder.join(CHECKPOINT);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
            }
        }
        let State { points, seconds, tokens, .. } = self.state;
        Ok(Tuned { model: self.trainer.into_model()?, values, points, ended, best_step, steps, n_trained, seconds, tokens })
    }
}

/// The sequences of step `step`: epochs of all of them, each in an order of its own that follows from seed and epoch alone.
fn batch(sequences: &[TrainSequence], size: usize, seed: u64, step: usize) -> Vec<TrainSequence> {
    let n = sequences.len();
    let mut epoch = usize::MAX;
    let mut order: Vec<usize> = Vec::new();
    (step * size..(step + 1) * size)
        .map(|at| {
            if at / n != epoch {
                epoch = at / n;
                order = (0..n).collect();
                Rng::stream(seed, &format!("epoch {epoch}")).shuffle(&mut order);
            }
            sequences[order[at % n]].clone()
        })
        .collect()
}

fn digest(sequences: &[TrainSequence]) -> String {
    let mut bytes = Vec::new();
    for s in sequences {
        bytes.extend_from_slice(bytemuck::cast_slice(&s.tokens));
        bytes.extend_from_slice(bytemuck::cast_slice(&s.weights));
        bytes.extend_from_slice(&(s.tokens.len() as u64).to_le_bytes());
    }
    crate::base::hash::sha256_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_comes_once_an_epoch_in_an_order_of_its_own() {
        let sequences: Vec<_> = (0..7).map(|i| TrainSequence { tokens: vec![i], weights: vec![0.0] }).collect();
        let ids = |step| batch(&sequences, 3, 5, step).iter().map(|s| s.tokens[0]).collect::<Vec<_>>();
        let all: Vec<u32> = (0..7).flat_map(ids).collect();
        for epoch in all.chunks(7) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_ne!(all[..7], all[7..14]);
        assert_eq!(ids(4), all[12..15]);
    }

    #[test]
    fn settings_that_make_no_sense_are_told_with_their_value() {
        assert!(TuneConfig::default().verify().is_ok());
        let decay = |weight_decay| OptimizerConfig::AdamW(crate::tune::AdamWConfig { weight_decay, ..Default::default() });
        let base = TuneConfig::default;
        for (config, said) in [
            (TuneConfig { learning_rate: f64::INFINITY, ..base() }, "learning rate inf and clip 1: both must be finite"),
            (TuneConfig { learning_rate: f64::NAN, ..base() }, "learning rate NaN"),
            (TuneConfig { clip: 0.0, ..base() }, "clip 0: both must be finite and above 0"),
            (TuneConfig { warmup: 5.0, ..base() }, "warm-up 5 and floor 0.1: both are shares"),
            (TuneConfig { floor: -0.5, ..base() }, "floor -0.5"),
            (TuneConfig { optimizer: decay(f64::NAN), ..base() }, "weight decay NaN"),
            (TuneConfig { steps: 0, ..base() }, "0 steps"),
            (TuneConfig { max_tokens: 1, ..base() }, "max tokens 1"),
        ] {
            let error = config.verify().expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
