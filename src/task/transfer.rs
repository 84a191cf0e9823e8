//! What learning one task does to the others: for each task its neurons are trained from the same base, and every task is judged. Sets that overlap,
//! parameters that are alike, and the share that trains are then held against the scores out of the task's own domain (METHODS 2).

use super::{
    RowCounts, TaskRows, TransferState, TransferUnit,
    course::{self, LessonPlan, learn, relevance, score, within},
};
use crate::{
    base::{
        Ctx, Error, Grid, NeuronSet, Result, hash,
        provenance::{self, Provenance},
    },
    model::{Decoder, DecoderSpec, Matrix, Model, Role},
    tune::{Overlay, Target, Trained, TuneConfig},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Everything that decides what the study gives, beside model and rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransferConfig {
    /// Share of all neurons that are a task's own: of overlap and similarity.
    pub percent: f64,
    /// Shares that train in the proportion study; `percent` is one of them, listed or not.
    pub percents: Vec<f64>,
    pub seeds: Vec<u64>,
    /// Of each training; its target and seed are filled in.
    pub tune: TuneConfig,
    /// Training rows whose relevance chooses a task's neurons.
    pub relevance_samples: usize,
}

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            percent: 10.0,
            percents: vec![1.0, 5.0, 10.0, 20.0, 50.0, 100.0],
            seeds: vec![0],
            tune: TuneConfig { evaluate_every: 50, patience: 3, ..TuneConfig::default() },
            relevance_samples: 64,
        }
    }
}

impl TransferConfig {
    /// `percent` first, for it answers two questions; then the others, rising.
    pub fn shares(&self) -> Vec<f64> {
        let mut others: Vec<f64> = self.percents.iter().copied().filter(|p| *p != self.percent).collect();
        others.sort_by(f64::total_cmp);
        others.dedup();
        std::iter::once(self.percent).chain(others).collect()
    }
    /// # Errors
    /// When a number makes no sense.
    pub fn verify(&self) -> Result<()> {
        self.tune.verify()?;
        let distinct: BTreeSet<u64> = self.seeds.iter().copied().collect();
        let wrong = if let Some(p) = self.shares().into_iter().find(|p| !(*p > 0.0 && *p <= 100.0)) {
            format!("{p} % of the neurons: it must be above 0 and at most 100")
        } else if self.seeds.is_empty() || distinct.len() != self.seeds.len() {
            format!("seeds {:?}: there must be at least one, and none twice", self.seeds)
        } else if self.relevance_samples == 0 {
            "at least one row must choose neurons".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the settings of the study make no sense: {wrong}")))
    }
}

pub struct TransferPlan {
    pub tasks: Vec<TaskRows>,
    pub config: TransferConfig,
    /// Of the results; the same study goes on in it where it was stopped, one with more seeds or shares adds to it, and one with fewer is told from it.
    pub folder: PathBuf,
    pub provenance: Provenance,
}

impl TransferPlan {
    /// Digest of everything that decides the results of a plan with these settings.
    fn key(&self, model: &Model, config: &TransferConfig) -> String {
        let digests: Vec<String> = self.tasks.iter().map(TaskRows::digest).collect();
        hash::sha256_json(&(provenance::program(), &self.provenance.dtype, &model.info.sha256, config, &digests))
    }
    fn state(&self, model: &Model, ctx: &Ctx<'_>) -> Result<TransferState> {
        let key = self.key(model, &self.config);
        let rows = self.tasks.iter().map(|t| t.counts(model, self.config.tune.max_tokens, ctx)).collect::<Result<Vec<RowCounts>>>()?;
        Ok(TransferState::new(key, rows, model.spec.n_layers, self.config.clone(), self.provenance.clone()))
    }
}

/// Trains and judges every task's neurons, or goes on with it. `on_state` hears of every finished cell, which is in the folder at once.
///
/// # Errors
/// As [`super::continual::run`].
pub fn run(decoder: &Decoder, plan: &TransferPlan, on_state: &mut dyn FnMut(&TransferState), ctx: &Ctx<'_>) -> Result<TransferState> {
    plan.config.verify()?;
    if plan.tasks.len() < 2 {
        return Err(Error::invalid("transfer is from one task to another: at least two tasks are needed"));
    }
    course::verify(&plan.tasks, &[])?;
    let _lock = course::lock(&plan.folder, ctx)?;
    let fresh = plan.state(&decoder.model, ctx)?;
    let mut state = TransferState::resume(&plan.folder, fresh.clone(), &|config| plan.key(&decoder.model, config))?;
    let on_state: &mut dyn FnMut(&TransferState) = &mut |state| on_state(&state.part(&fresh));
    let config = &plan.config;
    let (n, max_tokens) = (plan.tasks.len(), config.tune.max_tokens);
    let shares = config.shares();
    let total = n * shares.len() * config.seeds.len() * config.tune.steps;
    on_state(&state);
    for (j, task) in plan.tasks.iter().enumerate() {
        if state.before[j].is_none() {
            let phase = format!("scoring {} before", task.name);
            state.before[j] = Some(within(ctx, &phase, 0, total, |ctx| score(decoder, &task.test, max_tokens, ctx))?);
            tell(&state, plan, on_state)?;
        }
    }
    if state.part(&fresh).is_complete() {
        return ended(state, plan, &fresh, on_state);
    }
    let train: Vec<_> = plan.tasks.iter().map(|t| t.train.clone()).collect();
    let maps = within(ctx, "finding every task's neurons", 0, total, |ctx| {
        relevance(decoder, &train, config.relevance_samples, config.tune.seed, max_tokens, ctx)
    })?;
    let sets: Vec<NeuronSet> = maps.iter().map(|m| NeuronSet::top_percent(m, config.percent)).collect();
    let jaccard = |a: &NeuronSet, b: &NeuronSet| (a.jaccard(b).unwrap_or(0.0) * 1e9).round() / 1e9;
    state.overlap = sets.iter().map(|a| sets.iter().map(|b| jaccard(a, b)).collect()).collect();
    tell(&state, plan, on_state)?;
    let mut done = 0;
    for &seed in &config.seeds {
        for &percent in &shares {
            for (i, map) in maps.iter().enumerate() {
                ctx.check()?;
                let at = Unit { seed, percent, i, done, total };
                unit(decoder, plan, &mut state, &at, (map, &sets), on_state, ctx)?;
                done += config.tune.steps;
            }
        }
    }
    ended(state, plan, &fresh, on_state)
}

/// All that is asked for is there; what else the folder is to hold may not be.
fn ended(
    mut state: TransferState,
    plan: &TransferPlan,
    fresh: &TransferState,
    on_state: &mut dyn FnMut(&TransferState),
) -> Result<TransferState> {
    let complete = state.is_complete();
    if state.config == plan.config || complete != state.finished {
        state.finished = complete;
        tell(&state, plan, on_state)?;
    }
    Ok(state.part(fresh))
}

fn tell(state: &TransferState, plan: &TransferPlan, on_state: &mut dyn FnMut(&TransferState)) -> Result<()> {
    state.save(&plan.folder)?;
    on_state(state);
    Ok(())
}

/// One training, and where the work stands.
struct Unit {
    seed: u64,
    percent: f64,
    i: usize,
    done: usize,
    total: usize,
}

impl Unit {
    fn overlay_name(&self) -> String {
        format!("seed{}-{}-task{}.safetensors", self.seed, self.percent, self.i + 1)
    }
}

fn unit(
    decoder: &Decoder,
    plan: &TransferPlan,
    state: &mut TransferState,
    at: &Unit,
    (map, sets): (&Grid, &[NeuronSet]),
    on_state: &mut dyn FnMut(&TransferState),
    ctx: &Ctx<'_>,
) -> Result<()> {
    let &Unit { seed, percent, i, done, total } = at;
    if state.unit(seed, percent, i).is_some_and(|u| u.cells.iter().all(Option::is_some)) {
        return remove(&plan.folder, &at.overlay_name());
    }
    let (config, task, model) = (&plan.config, &plan.tasks[i], &decoder.model);
    let training = plan.folder.join(format!("seed{seed}-{percent}-task{}", i + 1));
    let file = plan.folder.join(at.overlay_name());
    let overlay = if state.unit(seed, percent, i).is_some() {
        Overlay::load(&file)?
    } else {
        let set = NeuronSet::top_percent(map, percent);
        let tune = TuneConfig { seed, target: Target::Neurons(set.clone()), ..config.tune.clone() };
        let lesson = LessonPlan { model, decoder, task, start: None, config: &tune, folder: &training };
        let phase = format!("{percent} % of {}, seed {seed}", task.name);
        let tuned = within(ctx, &phase, done, total, |ctx| learn(&lesson, &mut |_| {}, ctx))?;
        let overlay = Overlay {
            target: tune.target.clone(),
            base_sha256: model.info.sha256.clone(),
            base_name: model.info.name.clone(),
            values: tuned.values,
            provenance: state.provenance.clone(),
        };
        overlay.save(&file)?;
        let similarity = if percent == config.percent {
            let after = overlay.apply(model, &decoder.backend)?;
            sets.iter().map(|other| similarity(&after, &set, other)).collect::<Result<Vec<_>>>()?
        } else {
            Vec::new()
        };
        state.units.push(TransferUnit {
            seed,
            percent,
            task: i,
            cells: vec![None; plan.tasks.len()],
            neurons: set.len(),
            trained: tuned.n_trained,
            steps: tuned.steps,
            best_step: tuned.best_step,
            seconds: tuned.seconds,
            similarity,
        });
        state.order_units();
        tell(state, plan, on_state)?;
        if training.exists() {
            std::fs::remove_dir_all(&training).map_err(|e| Error::io(&training, e))?;
        }
        overlay
    };
    let after = Decoder::new(Arc::new(overlay.apply(model, &decoder.backend)?), decoder.backend.clone());
    for (j, judged) in plan.tasks.iter().enumerate() {
        if state.unit(seed, percent, i).is_none_or(|u| u.cells[j].is_some()) {
            continue;
        }
        let phase = format!("{percent} % of {}: scoring {}", task.name, judged.name);
        let found = within(ctx, &phase, done + config.tune.steps, total, |ctx| score(&after, &judged.test, config.tune.max_tokens, ctx))?;
        if let Some(unit) = state.unit_mut(seed, percent, i) {
            unit.cells[j] = Some(found);
        }
        tell(state, plan, on_state)?;
    }
    remove(&plan.folder, &at.overlay_name())
}

/// A kill may have left it, or taken it.
fn remove(folder: &std::path::Path, name: &str) -> Result<()> {
    let path = folder.join(name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, e)),
        _ => Ok(()),
    }
}

/// Cosine, in each layer, of the parameters of two tasks' neurons (rows of gate and up, columns of down) in one model, aligned by the neurons' index over
/// the union of both sets: a neuron that a set lacks is 0 there. So it is the weight of what the two share. 0 where only one of the two has neurons in a
/// layer, `None` where neither has.
///
/// # Errors
/// When a set does not fit the model.
pub fn similarity(model: &Model, a: &NeuronSet, b: &NeuronSet) -> Result<Vec<Option<f64>>> {
    let spec: &DecoderSpec = &model.spec;
    let union = a.union(b);
    if union.is_empty() {
        return Ok(vec![None; spec.n_layers]);
    }
    let trained = Trained::neurons(spec, &union)?;
    let values = trained.read(&model.weights)?;
    let mut out = vec![None; spec.n_layers];
    for (layer, cell) in out.iter_mut().enumerate() {
        let members: Vec<usize> = union.layer(layer).collect();
        if members.is_empty() {
            continue;
        }
        let mut energy = vec![0.0f64; members.len()];
        for (slice, packed) in trained.slices.iter().zip(&values) {
            if matches!(slice.role, Role::Weight(l, Matrix::Gate | Matrix::Up | Matrix::Down) if l == layer) {
                let each = packed.len() / members.len();
                for (sum, neuron) in energy.iter_mut().zip(packed.chunks_exact(each)) {
                    *sum += neuron.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
                }
            }
        }
        let within = |set: &NeuronSet| set.layer(layer).collect::<BTreeSet<usize>>();
        let (in_a, in_b) = (within(a), within(b));
        let sum = |inside: &dyn Fn(&usize) -> bool| members.iter().zip(&energy).filter(|(m, _)| inside(m)).map(|(_, e)| e).sum::<f64>();
        let (aa, bb) = (sum(&|m| in_a.contains(m)), sum(&|m| in_b.contains(m)));
        let both = sum(&|m| in_a.contains(m) && in_b.contains(m));
        let norms = (aa * bb).sqrt();
        let cosine = if norms > 0.0 { both / norms } else { 0.0 };
        // The sum of no numbers is -0.
        *cell = Some((cosine * 1e9).round() / 1e9 + 0.0);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::job::silently, model::load_model};
    use std::path::Path;

    #[test]
    fn similarity_is_the_cosine_of_vectors_over_the_union() {
        let model = silently(|ctx| load_model(Path::new("tests/fixtures/tiny-llama"), ctx)).expect("fixture");
        let set = |t: &str| NeuronSet::parse(t).expect("set");
        let (a, b) = (set("L0N1-3,L1N0"), set("L0N3-4,L2N5"));
        let found = similarity(&model, &a, &b).expect("fits");
        // By hand: vectors over neurons 1 to 4 of layer 0, each neuron its gate row, up row and down column.
        let tensor = |m: Matrix| model.weights.get(Role::Weight(0, m)).expect("weight");
        let (gate, up, down) = (tensor(Matrix::Gate), tensor(Matrix::Up), tensor(Matrix::Down));
        let (d, f) = (model.spec.d_model, model.spec.d_mlp);
        let neuron = |n: usize, inside: bool| -> Vec<f64> {
            let all = gate[n * d..(n + 1) * d].iter().chain(&up[n * d..(n + 1) * d]).chain(down.iter().skip(n).step_by(f));
            all.map(|v| if inside { f64::from(*v) } else { 0.0 }).collect()
        };
        let vector = |members: [bool; 4]| (1..5).flat_map(|n| neuron(n, members[n - 1])).collect::<Vec<f64>>();
        let expected = super::super::feature::cosine(&vector([true, true, true, false]), &vector([false, false, true, true]));
        assert!((found[0].expect("defined") - expected).abs() < 1e-8, "{found:?} {expected}");
        assert_eq!(found[1..3], [Some(0.0), Some(0.0)]);
        assert!(found[1].is_some_and(f64::is_sign_positive), "files say 0, not -0");
        assert!(found[3..].iter().all(Option::is_none));
        let same = similarity(&model, &a, &a).expect("fits");
        assert_eq!((same[0], same[1]), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn the_share_of_both_questions_comes_first_and_once() {
        let config = TransferConfig { percent: 10.0, percents: vec![50.0, 10.0, 1.0, 1.0], ..TransferConfig::default() };
        assert_eq!(config.shares(), [10.0, 1.0, 50.0]);
        assert!(TransferConfig { percents: vec![0.0], ..config.clone() }.verify().is_err());
        assert!(TransferConfig { seeds: vec![1, 1], ..config }.verify().is_err());
    }
}
