//! Keeps [`AblationLive`] true to the project: what is off, how, in which domains. Every change starts over with what is not known yet.

use super::{
    AblationLive, App, EvalConfig, Failure, NoticeLevel,
    cut_rows::{self, CutRows},
    event::Event,
    event::JobTarget,
    score,
};
use crate::{
    ablate::{ControlMatch, random_heads_like, random_neurons},
    base::{Grid, Head, NeuronSet, hash::sha256_bytes, rng::Rng},
    data::{Domain, Item},
    eval::{self, AblationAt, AblationMode, DomainScore, ItemScore},
    model::Decoder,
    scan::{MetricKind, Order},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// One domain under one change of the model: the piece in which scores are measured and kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unit {
    pub part: Part,
    pub domain: String,
    /// Everything its scores depend on.
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Before,
    After,
    Control(u64),
}

/// What an evaluation in force depends on.
#[derive(Clone, Debug, PartialEq)]
struct Wish {
    /// [`Decoder::computing_key`]
    model: String,
    off: NeuronSet,
    heads: BTreeSet<Head>,
    mode: AblationMode,
    at: AblationAt,
    controls: usize,
    control_match: ControlMatch,
    eval: EvalConfig,
    /// Name, and hash of what is read.
    domains: Vec<(String, String)>,
    asked: bool,
}

#[derive(Default)]
pub(super) struct Evaluation {
    wish: Option<Wish>,
    generation: u64,
    /// Something ended that an evaluation may have waited for.
    pub due: bool,
    /// `Evaluate` was asked for: accuracy is wanted even with nothing off.
    asked: bool,
    units: Vec<Unit>,
    /// Scores by [`Unit::key`], complete or as far as they came.
    cache: HashMap<String, Vec<ItemScore>>,
    shared: Arc<score::Shared>,
    /// The last warning of items that the model's context cut: every toggle scores the same again.
    told_cut: Option<(String, String)>,
}

/// Units kept; one holds some hundred items of about a hundred bytes.
const CACHE: usize = 600;

/// Work of one evaluation job.
pub(super) struct Task {
    pub unit: Unit,
    pub source: ItemSource,
    /// Items whose scores are known.
    pub known: usize,
    pub change: score::Change,
}

/// The items of one domain that are scored.
#[derive(Clone)]
pub(super) struct ItemSource {
    /// Same key, same items, same model.
    pub key: String,
    pub domain: Arc<Domain>,
    pub items: Arc<Vec<Item>>,
}

impl App {
    /// Accuracy of the enabled domains with nothing off; starts as soon as model and domains are read.
    pub(super) fn evaluate(&mut self) {
        if self.library.model.is_none() {
            return self.notice(NoticeLevel::Error, "There is no model to evaluate", "Open a model folder, or `demo`.");
        }
        if self.project.enabled().next().is_none() {
            return self.notice(NoticeLevel::Error, "There is no domain to evaluate", "Add a dataset and switch it on.");
        }
        self.evaluation.asked = true;
        self.evaluation.wish = None;
    }

    /// Starts, restarts or stops the evaluation when what it depends on has changed.
    pub(super) fn refresh_ablation(&mut self) {
        let Some(decoder) = self.decoder.clone() else { return };
        let Some(domains) = self.scored_domains() else { return };
        let (eval, held_out) = self.eval_in_force(&domains);
        let wish = Wish {
            model: decoder.computing_key(),
            off: self.project.off(),
            heads: self.project.heads.clone(),
            mode: self.project.mode.clone(),
            at: self.project.at,
            controls: self.project.controls,
            control_match: self.project.control_match,
            eval,
            domains: domains.iter().map(|d| (d.name.clone(), d.items_sha256.clone())).collect(),
            asked: self.evaluation.asked,
        };
        if self.evaluation.wish.as_ref() == Some(&wish) {
            return;
        }
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Evaluation(_)));
        self.evaluation.generation = self.next_generation();
        self.ablation = AblationLive { held_out, ..AblationLive::default() };

        let ablates = !wish.off.is_empty() || !wish.heads.is_empty();
        let mut changes = vec![(Part::Before, score::Change::default())];
        if ablates {
            let change = |neurons, heads| score::Change { neurons, heads, mode: wish.mode.clone(), at: wish.at };
            changes.push((Part::After, change(wish.off.clone(), wish.heads.clone())));
            let scale = self.activation_scale();
            if wish.control_match == ControlMatch::Scale && scale.is_none() && wish.controls > 0 && !wish.off.is_empty() {
                let details =
                    "The shown run holds no mean |activation| of this model; scan with that metric. Until then they match in size.";
                self.notice(NoticeLevel::Warn, "The random controls cannot match in activation scale", details);
            }
            changes.extend((0..wish.controls as u64).map(|seed| {
                let spec = &decoder.model.spec;
                let neurons = random_neurons(&wish.off, spec.d_mlp, wish.control_match, scale.as_ref(), seed);
                let heads = random_heads_like(&wish.heads, spec.attention.n_heads, seed);
                (Part::Control(seed), change(neurons, heads))
            }));
        }
        let sources: Vec<ItemSource> = domains.iter().map(|d| item_source(&wish.model, d, &wish.eval)).collect();
        if let Some(empty) = sources.iter().find(|s| s.items.is_empty()).filter(|_| ablates || wish.asked) {
            let details = format!("All of its {} items are left out.", empty.domain.items.len());
            self.notice(NoticeLevel::Error, format!("Nothing of {} is left to score", empty.domain.name), details);
            self.evaluation.wish = Some(wish);
            return;
        }
        let (mut units, mut tasks) = (Vec::new(), Vec::new());
        for (part, change) in changes {
            for source in &sources {
                let domain = &source.domain;
                let unit = Unit { part, domain: domain.name.clone(), key: unit_key(source, &change) };
                self.ablation.n_total.insert(domain.name.clone(), source.items.len());
                let known = self.evaluation.cache.get(&unit.key).map_or(0, Vec::len);
                if let Some(scores) = self.evaluation.cache.get(&unit.key).cloned() {
                    self.show(&unit, domain, scores);
                }
                if known < source.items.len() && (ablates || wish.asked) {
                    tasks.push(Task { unit: unit.clone(), source: source.clone(), known, change: change.clone() });
                }
                units.push(unit);
            }
        }
        // A domain is told before and after as soon as may be, the one that is looked at first; what chance does comes last.
        let looked_at = self.project.view.domain.as_deref();
        let place = |domain: &str| (looked_at != Some(domain), domains.iter().position(|d| d.name == domain));
        tasks.sort_by_key(|t| match t.unit.part {
            Part::Before => (0, place(&t.unit.domain), 0),
            Part::After => (0, place(&t.unit.domain), 1),
            Part::Control(seed) => (seed + 1, place(&t.unit.domain), 0),
        });
        let title = if ablates { format!("Accuracy with {} off", count_of(&wish)) } else { "Accuracy".to_owned() };
        let (generation, eval) = (self.evaluation.generation, wish.eval.clone());
        self.evaluation.wish = Some(wish);
        self.evaluation.units = units;
        self.trim_cache();
        if tasks.is_empty() {
            return;
        }
        self.ablation.running = true;
        let scorer = self.scorer(decoder, &eval);
        self.runner.spawn(&mut self.jobs, title, JobTarget::Evaluation(generation), move |ctx, out| {
            scorer.score_all(&tasks, ctx, &mut |unit, items| {
                out.send(Event::Scored { generation, unit: unit.clone(), items: items.to_vec() });
            })
        });
    }

    /// What scores items, with everything it may need from the library.
    pub(super) fn scorer(&self, decoder: Decoder, eval: &EvalConfig) -> score::Scorer {
        let unscored = |name: &str| -> Option<score::Unscored> {
            let entry = self.library.domain(name)?;
            let scanned = entry.state.ready()?;
            Some(match &entry.test {
                Some(_) => (scanned.clone(), (0..scanned.items.len()).collect()),
                // One file for both: what is not scored may give its activations.
                None => {
                    let scored: BTreeSet<usize> = chosen(scanned, eval).into_iter().collect();
                    (scanned.clone(), (0..scanned.items.len()).filter(|i| !scored.contains(i)).collect())
                }
            })
        };
        let means_from = self.project.enabled().filter_map(|d| unscored(&d.name));
        let resample_from = match &self.project.mode {
            AblationMode::Resample { domain, .. } => unscored(domain),
            _ => None,
        };
        score::Scorer {
            decoder,
            shared: self.evaluation.shared.clone(),
            means_from: means_from.collect(),
            resample_from,
            domains: self.project.enabled().count(),
            spill_bytes: self.settings.preferences.spill_bytes,
            max_tokens: eval.max_tokens,
            memory_bytes: self.settings.preferences.memory_bytes,
        }
    }

    /// Mean |activation| of each neuron of the open model over the domains of the shown run.
    pub(super) fn activation_scale(&self) -> Option<Grid> {
        let (scan, spec) = (self.library.scan()?, self.library.spec()?);
        let maps: Vec<&Grid> = scan.domains.iter().filter_map(|d| d.map(MetricKind::MeanAbsActivation)).collect();
        let same = (scan.n_layers, scan.d_mlp) == (spec.n_layers, spec.d_mlp);
        if maps.is_empty() || !same {
            return None;
        }
        let mean = |i: usize| maps.iter().map(|m| m.values()[i]).sum::<f32>() / maps.len() as f32;
        Grid::new(spec.n_layers, spec.d_mlp, (0..spec.n_layers * spec.d_mlp).map(mean).collect::<Vec<_>>()).ok()
    }

    /// The next items of a unit have been scored.
    pub(super) fn scored(&mut self, generation: u64, unit: &Unit, items: Vec<ItemScore>) {
        if generation != self.evaluation.generation {
            return;
        }
        let scores = self.evaluation.cache.entry(unit.key.clone()).or_default();
        scores.extend(items);
        let scores = scores.clone();
        if let Some(domain) = self.library.domain(&unit.domain).and_then(|d| d.scored()).cloned() {
            self.show(unit, &domain, scores);
        }
    }

    pub(super) fn evaluation_ended(&mut self, generation: u64, failure: Option<Failure>) {
        if generation == self.evaluation.generation {
            self.ablation.running = false;
            self.ablation.failed = failure;
            self.warn_of_cut_items();
        }
    }

    /// Says once that the model's context is shorter than the settings promise, if items were cut by that.
    fn warn_of_cut_items(&mut self) {
        let (Some(spec), Some(wish)) = (self.library.spec(), &self.evaluation.wish) else { return };
        let limits = eval::Limits { max_tokens: wish.eval.max_tokens, ..eval::Limits::default() };
        let rows: Vec<CutRows<'_>> =
            self.ablation.before.iter().map(|(domain, score)| CutRows { domain, cut: score.cut(), of: score.n() }).collect();
        let warning = cut_rows::warning(&rows, limits.longest(spec), limits.max_tokens);
        if let Some((title, details)) = warning.filter(|w| self.evaluation.told_cut.as_ref() != Some(w)) {
            self.evaluation.told_cut = Some((title.clone(), details.clone()));
            self.notice(NoticeLevel::Warn, title, details);
        }
    }

    fn show(&mut self, unit: &Unit, domain: &Domain, items: Vec<ItemScore>) {
        let score = DomainScore { domain: domain.name.clone(), kind: domain.kind, items };
        match unit.part {
            Part::Before => {
                self.ablation.before.insert(unit.domain.clone(), score);
            }
            Part::After => {
                self.ablation.after.insert(unit.domain.clone(), score);
            }
            Part::Control(seed) => {
                let controls = self.ablation.controls.entry(unit.domain.clone()).or_default();
                let seed = seed as usize;
                while controls.len() <= seed {
                    controls.push(DomainScore { domain: domain.name.clone(), kind: domain.kind, items: Vec::new() });
                }
                controls[seed] = score;
            }
        }
    }

    /// Domains under the set in force, with a key of everything that their scores depend on.
    pub(super) fn after_units(&self) -> impl Iterator<Item = (&String, &str)> {
        self.evaluation.units.iter().filter(|u| u.part == Part::After).map(|u| (&u.domain, u.key.as_str()))
    }

    /// Forgets scores that are not in force when there are too many.
    fn trim_cache(&mut self) {
        let Evaluation { cache, units, .. } = &mut self.evaluation;
        if cache.len() > CACHE {
            cache.retain(|key, _| units.iter().any(|u| u.key == *key));
        }
    }

    /// A model or domain went: nothing measured stands.
    pub(super) fn forget_evaluation(&mut self) {
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Evaluation(_)));
        self.evaluation.wish = None;
        self.ablation = AblationLive::default();
    }
}

fn count_of(wish: &Wish) -> String {
    let word = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    match (wish.off.len(), wish.heads.len()) {
        (n, 0) => word(n, "neuron", "neurons"),
        (0, h) => word(h, "head", "heads"),
        (n, h) => format!("{} and {}", word(n, "neuron", "neurons"), word(h, "head", "heads")),
    }
}

/// `model`: its [`Decoder::computing_key`].
pub(super) fn item_source(model: &str, domain: &Arc<Domain>, eval: &EvalConfig) -> ItemSource {
    let items = chosen(domain, eval).into_iter().map(|i| domain.items[i].clone()).collect();
    // Rows left out of another domain are nothing to this one.
    let EvalConfig { samples, seed, order, max_tokens, exclude } = eval;
    let (Domain { name, items_sha256, kind, .. }, exclude) = (&**domain, exclude.get(&domain.name));
    let text = format!("{model}\n{name}\n{items_sha256}\n{kind:?}\n{samples:?} {seed} {order:?} {max_tokens} {exclude:?}");
    let key = sha256_bytes(text.as_bytes());
    ItemSource { key, domain: domain.clone(), items: Arc::new(items) }
}

fn unit_key(source: &ItemSource, change: &score::Change) -> String {
    let heads = change.heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mode = (!change.is_none()).then_some((&change.mode, change.at));
    sha256_bytes(format!("{}\n{}\n{heads}\n{mode:?}", source.key, change.neurons).as_bytes())
}

/// Indices of the items an evaluation scores, in order.
pub(super) fn chosen(domain: &Domain, eval: &EvalConfig) -> Vec<usize> {
    let excluded = eval.exclude.get(&domain.name);
    let kept = |i: &usize| excluded.is_none_or(|lines| !lines.contains(&domain.items[*i].line));
    let mut order: Vec<usize> = (0..domain.items.len()).filter(kept).collect();
    if eval.order == Order::Shuffle && eval.samples.is_some_and(|n| n < order.len()) {
        Rng::stream(eval.seed, &format!("evaluation of {}", domain.name)).shuffle(&mut order);
    }
    order.truncate(eval.samples.unwrap_or(usize::MAX));
    order
}
