//! Keeps the first-order prediction of the ablation in force true to the project, and notes how far predictions held.

use super::{
    App, Failure, NoticeLevel,
    ablation::{ItemSource, chosen, item_source},
    event::{Event, JobTarget},
    score::Change,
};
use crate::{
    ablate::{
        Attribution, AttributionLimits, Prediction, Summary, UnitId, attribute, attributed_mode, everything, random_heads_like,
        random_neurons,
    },
    base::{Head, NeuronSet, hash::sha256_bytes, number, provenance::Provenance},
    data::Domain,
    eval::{self, AblationAt, AblationMode, DomainScore},
    model::DecoderSpec,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// What is predicted of the ablation in force.
#[derive(Clone, Debug, Default)]
pub struct PredictionLive {
    /// By domain; empty while nothing is off.
    pub domains: BTreeMap<String, Prediction>,
    /// Effects are being computed.
    pub running: bool,
    pub failed: Option<Failure>,
    /// Why the way to ablate that is in force has no prediction.
    pub not_predicted: Option<&'static str>,
    /// Domains whose effects are there.
    pub ready: BTreeSet<String>,
}

/// A change of a model that was predicted and then measured on a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// `L3N17`, `410 neurons`
    pub label: String,
    pub neurons: Arc<NeuronSet>,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    pub at: AblationAt,
    pub domain: String,
    /// Items that both are means over.
    pub n: usize,
    /// Changes of accuracy, margin and loss.
    pub predicted: Summary,
    pub measured: Summary,
    pub origin: Origin,
    /// What model predicted and measured, in which arithmetic: [`crate::model::Decoder::computing_key`].
    pub computed: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Toggle,
    /// A random control of a toggle.
    Control,
    Sweep,
}

#[derive(Default)]
pub(super) struct Predictor {
    /// Somebody looks at predictions before anything is off.
    wanted: bool,
    /// Domain and key of its effects, in the project's order.
    wish: Vec<(String, String)>,
    generation: u64,
    cache: HashMap<String, Arc<Attribution>>,
    /// Keys of the points that were noted.
    noted: BTreeSet<String>,
    /// Version of the sweep that was looked at last, and which sweep that was; and its units that are points.
    swept: (u64, String),
    swept_units: BTreeSet<usize>,
}

/// Memory of all tables of effects that are kept.
const TABLE_BYTES: usize = 512 << 20;
/// Points kept; the oldest go first.
const POINTS: usize = 20_000;
/// Units of a sweep that are noted at one look: a frame waits for no more.
const SWEPT_AT_ONCE: usize = 256;

impl App {
    /// First-order effects of the enabled domains, before anything is switched off: the first toggle then finds them ready.
    pub(super) fn predict(&mut self) {
        self.predictor.wanted = true;
        if self.prediction.failed.is_some() {
            self.predictor.wish.clear();
        }
        self.refresh_prediction();
    }

    /// Starts what is missing for a prediction, and predicts what is in force from what is there.
    pub(super) fn refresh_prediction(&mut self) {
        if !self.settings.predicts {
            return;
        }
        let Some(decoder) = self.decoder.clone() else { return };
        let Some(domains) = self.scored_domains() else { return };
        let ablates = !self.project.off().is_empty() || !self.project.heads.is_empty();
        if !ablates {
            self.prediction.domains.clear();
            if !self.predictor.wanted {
                return;
            }
        }
        let (mode, at) = (attributed_mode(&self.project.mode), self.project.at);
        if donated_bytes(&mode, &decoder.model.spec) > DONATED_BYTES {
            self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Attribution(_)));
            self.prediction = PredictionLive { not_predicted: Some(NOT_PREDICTED), ..PredictionLive::default() };
            self.predictor.wish.clear();
            return;
        }
        let eval = self.project.eval.clone();
        // A mean is that of the evaluation in force; effects on rows that are left out are there all the same.
        let held_out = mode.needs_data().then(|| self.eval_in_force(&domains).0);
        let scorer = self.scorer(decoder.clone(), held_out.as_ref().unwrap_or(&eval));
        let model = decoder.computing_key();
        let reference = if mode.needs_data() { scorer.means_key() } else { String::new() };
        let sources: Vec<ItemSource> =
            domains.iter().map(|d| item_source(&model, d, &eval)).filter(|s: &ItemSource| !s.items.is_empty()).collect();
        let key = |s: &ItemSource| sha256_bytes(format!("{}\n{mode:?} {at:?}\n{reference}", s.key).as_bytes());
        let wish: Vec<(String, String)> = sources.iter().map(|s| (s.domain.name.clone(), key(s))).collect();
        if wish == self.predictor.wish {
            return self.predict_in_force(&domains);
        }
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Attribution(_)));
        let generation = self.next_generation();
        self.predictor.generation = generation;
        self.predictor.wish = wish;
        self.prediction = PredictionLive::default();
        let budget = self.settings.preferences.memory_bytes.map_or(TABLE_BYTES, |b| TABLE_BYTES.min((b / 4) as usize));
        let limits = AttributionLimits {
            eval: eval::Limits { max_tokens: eval.max_tokens, ..eval::Limits::default() },
            table_bytes: budget / sources.len().max(1),
            ..AttributionLimits::default()
        };
        self.trim_effects(budget);
        let missing: Vec<(String, ItemSource)> =
            self.predictor.wish.iter().map(|w| w.1.clone()).zip(sources).filter(|(k, _)| !self.predictor.cache.contains_key(k)).collect();
        if !missing.is_empty() {
            self.prediction.running = true;
            let title = format!("First-order effects on {}", number::counted(missing.len() as u64, "domain"));
            self.runner.spawn(&mut self.jobs, title, JobTarget::Attribution(generation), move |ctx, out| {
                // What is written of other texts must be there for every neuron and head.
                let (neurons, heads) = if mode.needs_data() { everything(&scorer.decoder.model.spec) } else { Default::default() };
                let reference = scorer.intervention(&Change { neurons, heads, mode, at }, ctx)?;
                for (key, source) in missing {
                    let Domain { name, kind, .. } = &*source.domain;
                    let effects = attribute(&scorer.decoder, name, *kind, &source.items, &reference, limits, ctx)?;
                    out.send(Event::Attributed { generation, key, effects: Arc::new(effects) });
                }
                Ok(())
            });
        }
        self.predict_in_force(&domains);
    }

    /// Effects on one more domain are there.
    pub(super) fn attributed(&mut self, generation: u64, key: String, effects: Arc<Attribution>) {
        if generation != self.predictor.generation {
            return;
        }
        if effects.n() < effects.n_all {
            let details = format!("{} of {} questions fit the memory kept for it.", effects.n(), effects.n_all);
            self.notice(NoticeLevel::Info, format!("The first-order prediction of {} is made from a part", effects.domain), details);
        }
        self.predictor.cache.insert(key, effects);
        if let Some(domains) = self.scored_domains() {
            self.predict_in_force(&domains);
        }
    }

    pub(super) fn attribution_ended(&mut self, generation: u64, failure: Option<Failure>) {
        if generation == self.predictor.generation {
            self.prediction.running = false;
            self.prediction.failed = failure;
        }
    }

    /// A model or domain went.
    pub(super) fn forget_prediction(&mut self) {
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Attribution(_)));
        self.predictor.wish.clear();
        self.prediction = PredictionLive::default();
    }

    /// Sums the effects of what is off: far less than a frame.
    fn predict_in_force(&mut self, domains: &[Arc<Domain>]) {
        let (off, heads, mode) = (self.project.off(), &self.project.heads, &self.project.mode);
        let held_out = self.eval_in_force(domains).0;
        self.prediction.domains.clear();
        self.prediction.ready.clear();
        for (name, key) in &self.predictor.wish {
            let Some(effects) = self.predictor.cache.get(key) else { continue };
            self.prediction.ready.insert(name.clone());
            if off.is_empty() && heads.is_empty() {
                continue;
            }
            let same = held_out.exclude.get(name) == self.project.eval.exclude.get(name);
            let domain = domains.iter().find(|d| d.name == *name).filter(|_| !same);
            let lines: Option<BTreeSet<usize>> = domain.map(|d| chosen(d, &held_out).into_iter().map(|i| d.items[i].line).collect());
            if let Some(p) = effects.predict(&off, heads, mode, lines.as_ref()).filter(|p| p.n > 0) {
                self.prediction.domains.insert(name.clone(), p);
            }
        }
    }

    /// Effects of a domain under the way to ablate in force, once they are there.
    pub fn effects(&self, domain: &str) -> Option<&Arc<Attribution>> {
        let (_, key) = self.predictor.wish.iter().find(|w| w.0 == domain)?;
        self.predictor.cache.get(key)
    }

    /// Notes every domain whose change in force is measured to the end beside what was predicted of it.
    pub(super) fn note_measured(&mut self) {
        let Some(spec) = self.library.spec() else { return };
        let (width, n_heads) = (spec.d_mlp, spec.attention.n_heads);
        let pending = self.unnoted();
        if pending.is_empty() {
            return;
        }
        let (off, scale) = (Arc::new(self.project.off()), self.activation_scale());
        for (name, seed, key) in pending {
            let live = &self.ablation;
            let Some(before) = live.before.get(&name) else { continue };
            let score = match seed {
                None => live.after.get(&name),
                Some(seed) => live.controls.get(&name).and_then(|c| c.get(seed)),
            };
            let Some(score) = score else { continue };
            let (neurons, heads, origin) = match seed {
                None => (off.clone(), self.project.heads.clone(), Origin::Toggle),
                Some(seed) => {
                    let heads = random_heads_like(&self.project.heads, n_heads, seed as u64);
                    let like = self.project.control_match;
                    let neurons = random_neurons(&off, width, like, scale.as_ref(), seed as u64);
                    (Arc::new(neurons), heads, Origin::Control)
                }
            };
            if let Some(point) = self.point(&name, before, score, neurons, heads, origin) {
                self.measured.push(point);
            }
            self.predictor.noted.insert(key);
        }
        self.trim_points();
    }

    /// Domain, control seed (`None`: the set itself) and key of what is measured to the end, has a prediction, and was not noted yet.
    fn unnoted(&self) -> Vec<(String, Option<usize>, String)> {
        let live = &self.ablation;
        let mut pending = Vec::new();
        for (name, unit) in self.after_units().filter(|(name, _)| self.effects(name).is_some()) {
            let total = live.n_total.get(name).copied().unwrap_or(0);
            let complete = |score: &DomainScore| total > 0 && score.n() == total;
            if !live.before.get(name).is_some_and(complete) {
                continue;
            }
            let after = live.after.get(name).map(|s| (None, s, unit.to_owned()));
            let controls = live.controls.get(name).into_iter().flatten().enumerate();
            let all = after.into_iter().chain(controls.map(|(i, s)| (Some(i), s, format!("{unit} control {i}"))));
            let new = all.filter(|(_, score, key)| complete(score) && !self.predictor.noted.contains(key));
            pending.extend(new.map(|(seed, _, key)| (name.clone(), seed, key)));
        }
        pending
    }

    /// Prediction and measurement of a change of a domain, over the items that both have.
    fn point(
        &self,
        domain: &str,
        before: &DomainScore,
        after: &DomainScore,
        neurons: Arc<NeuronSet>,
        heads: BTreeSet<Head>,
        origin: Origin,
    ) -> Option<Measured> {
        let (effects, computed) = (self.effects(domain)?, self.computing_key());
        let scored: BTreeSet<usize> = after.items.iter().map(|i| i.line).collect();
        let prediction = effects.predict(&neurons, &heads, &self.project.mode, Some(&scored)).filter(|p| p.n > 0)?;
        let both: BTreeSet<usize> = effects.lines().filter(|l| scored.contains(l)).collect();
        let of = |score: &DomainScore| {
            let items = score.items.iter().filter(|i| both.contains(&i.line)).cloned().collect();
            Summary::of(&DomainScore { items, ..score.clone() })
        };
        Some(Measured {
            label: label_of(&neurons, &heads),
            neurons,
            heads,
            mode: self.project.mode.clone(),
            at: self.project.at,
            domain: domain.to_owned(),
            n: prediction.n,
            predicted: prediction.change(),
            measured: of(after).minus(&of(before)),
            origin,
            computed,
        })
    }

    /// Notes the units of a sweep that were measured since the last look beside what is predicted of each.
    /// True when there were some.
    pub(super) fn note_swept(&mut self) -> bool {
        let Some(view) = self.sweeps.units.as_ref() else { return false };
        let (Some(sweep), Some(spec)) = (view.result.as_ref(), self.library.spec()) else { return false };
        if !self.is_computed_as_now(&sweep.provenance) {
            return false;
        }
        let Some(effects) = self.effects(&sweep.domain).filter(|e| e.at == sweep.spec.at) else { return false };
        let base = format!("sweep {:?} {} {}", sweep.spec, sweep.domain, sweep.provenance.created);
        if self.predictor.swept.1 == base && self.predictor.swept.0 == view.version {
            return false;
        }
        let known = if self.predictor.swept.1 == base { &self.predictor.swept_units } else { &BTreeSet::new() };
        let before = Summary { acc: sweep.baseline.accuracy(), margin: sweep.baseline.margin, loss: sweep.baseline.loss };
        let (mut points, mut seen, computed) = (Vec::new(), known.clone(), self.computing_key());
        for (i, totals) in sweep.effects.iter().enumerate().filter_map(|(i, t)| Some((i, (*t)?))) {
            if points.len() == SWEPT_AT_ONCE || known.contains(&i) {
                continue;
            }
            let id = UnitId { layer: i / sweep.width, index: i % sweep.width };
            let (neurons, heads) = sweep.spec.places(spec, id);
            let Some(prediction) = effects.predict(&neurons, &heads, &sweep.spec.mode, None) else { break };
            seen.insert(i);
            let after = Summary { acc: totals.accuracy(), margin: totals.margin, loss: totals.loss };
            points.push(Measured {
                label: sweep.name(id),
                neurons: Arc::new(neurons),
                heads,
                mode: sweep.spec.mode.clone(),
                at: sweep.spec.at,
                domain: sweep.domain.clone(),
                n: prediction.n,
                predicted: prediction.change(),
                measured: after.minus(&before),
                origin: Origin::Sweep,
                computed: computed.clone(),
            });
        }
        let (new, more) = (!points.is_empty(), points.len() == SWEPT_AT_ONCE);
        // No version is this one: the rest is noted at the next look.
        self.predictor.swept = (if more { u64::MAX } else { view.version }, base);
        self.predictor.swept_units = seen;
        self.measured.extend(points);
        self.trim_points();
        new
    }

    /// Changes that the model which computes now predicted and measured; those of another, or of another arithmetic, come back with it.
    pub fn points(&self) -> impl Iterator<Item = &Measured> {
        let now = self.computing_key();
        self.measured.iter().filter(move |m| m.computed == now)
    }

    /// Drops the oldest points beyond the limit, those of sweeps first: there are many of them and they can be had again.
    fn trim_points(&mut self) {
        let mut surplus = self.measured.len().saturating_sub(POINTS);
        self.measured.retain(|m| {
            let goes = surplus > 0 && m.origin == Origin::Sweep;
            surplus -= usize::from(goes);
            !goes
        });
        self.measured.drain(..surplus);
    }

    /// What one command would make all points again: the sweep whose units they are, or the ablation in force. `None` where there is more to them.
    pub(super) fn predicted_by(&self) -> Option<Provenance> {
        let (swept, switched): (Vec<&Measured>, Vec<&Measured>) = self.points().partition(|m| m.origin == Origin::Sweep);
        if switched.is_empty() {
            let sweep = self.sweeps.units.as_ref()?.result.as_ref()?;
            let same = swept.iter().all(|m| m.domain == sweep.domain && m.mode == sweep.spec.mode && m.at == sweep.spec.at);
            return (same && swept.len() == sweep.done()).then(|| sweep.provenance.clone());
        }
        let (toggles, controls): (Vec<&Measured>, Vec<&Measured>) = switched.into_iter().partition(|m| m.origin == Origin::Toggle);
        let p = &self.project;
        let in_force = |m: &&Measured| *m.neurons == p.off() && m.heads == p.heads && m.mode == p.mode && m.at == p.at;
        let one = swept.is_empty() && toggles.iter().all(in_force) && controls.len() <= toggles.len() * p.controls;
        one.then(|| self.provenance())
    }

    /// Forgets the points of predicted against measured.
    pub(super) fn forget_measured(&mut self) {
        self.measured.clear();
        // What is in force now is forgotten too, until it is measured anew.
        let in_force: Vec<String> = self.after_units().map(|(_, key)| key.to_owned()).collect();
        self.predictor.noted.retain(|key| in_force.iter().any(|f| key.starts_with(f.as_str())));
    }

    fn trim_effects(&mut self, budget: usize) {
        let Predictor { cache, wish, .. } = &mut self.predictor;
        if cache.values().map(|e| e.bytes()).sum::<usize>() > budget {
            cache.retain(|key, _| wish.iter().any(|w| w.1 == *key));
        }
    }
}

const NOT_PREDICTED: &str =
    "not predicted: the other texts' activations of every neuron of this model take more memory than is kept for them";
/// Memory of activations of other texts, for every neuron and head.
const DONATED_BYTES: usize = 512 << 20;

/// Bytes of what a way to ablate brings of other texts for every neuron and head, at some 64 positions a text.
fn donated_bytes(mode: &AblationMode, spec: &DecoderSpec) -> usize {
    let texts = match mode {
        AblationMode::Resample { .. } => 32,
        AblationMode::PositionalMean => 2,
        _ => 0,
    };
    texts * 64 * spec.n_layers * (spec.d_mlp + spec.q_width()) * size_of::<f32>()
}

/// One neuron or head by name, more by number.
pub fn label_of(neurons: &NeuronSet, heads: &BTreeSet<Head>) -> String {
    let neuron = || neurons.iter().next().map(|n| n.to_string());
    let head = || heads.iter().next().map(ToString::to_string);
    match (neurons.len(), heads.len()) {
        (1, 0) => neuron().unwrap_or_default(),
        (0, 1) => head().unwrap_or_default(),
        (n, 0) => number::counted(n as u64, "neuron"),
        (0, h) => number::counted(h as u64, "head"),
        (n, h) => format!("{} and {}", number::counted(n as u64, "neuron"), number::counted(h as u64, "head")),
    }
}
