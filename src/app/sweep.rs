//! Sweeps, accuracy against k, and the search for a set that breaks a domain: requests, jobs, and what the panels show.

use super::{
    App, ChosenOn, Failure, NoticeLevel,
    ablation::{ItemSource, item_source},
    event::{Event, JobTarget},
    held_out::hold_out,
    run::shell_word,
    score::{Change, Scorer},
    sweep_kept::KeptSweep,
};
use crate::{
    ablate::{
        BreakBegun, BreakStep, Broken, ControlMatch, EvalSession, Halves, KCurve, KPoint, Rule, Sweep, SweepFile, SweepHeader, SweepSpec,
        SweepUnit, Totals, UnitId, against_k, break_domain, random_neurons, sweep,
    },
    base::{
        Ctx, Error, Grid, Neuron, NeuronSet, Result, atomic_file,
        hash::{sha256_bytes, sha256_json},
        provenance::{self, Provenance},
    },
    eval::{AblationAt, AblationMode, Intervention},
    scan::MetricKind,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is measured. What becomes of an activation, where, with how many controls, and which items are scored are the project's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum SweepRequest {
    /// Each unit switched by itself, one domain scored.
    Units {
        unit: SweepUnit,
        domain: String,
        /// First and last; `None`: all.
        #[serde(default)]
        layers: Option<(usize, usize)>,
    },
    /// The top k % of a domain's map in the shown run switched, every enabled domain scored.
    AgainstK { ranking: String, metric: MetricKind, percents: Vec<f64> },
    /// The smallest set found among the top `candidates` of a domain's map in the shown run that breaks the domain and spares the other enabled
    /// ones.
    Break { domain: String, metric: MetricKind, candidates: usize, rule: Rule },
}

impl SweepRequest {
    pub(super) fn kind(&self) -> SweepKind {
        match self {
            Self::Units { .. } => SweepKind::Units,
            Self::AgainstK { .. } => SweepKind::AgainstK,
            Self::Break { .. } => SweepKind::Break,
        }
    }
    fn title(&self) -> String {
        match self {
            Self::Units { unit, domain, .. } => format!("Sweep of {unit}s over {domain}"),
            Self::AgainstK { ranking, .. } => format!("Accuracy against k of {ranking}"),
            Self::Break { domain, .. } => format!("Breaking {domain}"),
        }
    }
}

/// Which of the results a job fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepKind {
    #[default]
    Units,
    AgainstK,
    Break,
}

/// A result that fills while it is measured, and stays until the next of its kind is asked for.
#[derive(Clone, Debug)]
pub struct SweepView<T> {
    pub request: SweepRequest,
    /// `None` until the first numbers are there.
    pub result: Option<T>,
    /// Counts up with every change of `result`: what is made of it can be kept until then.
    pub version: u64,
    pub running: bool,
    pub failed: Option<Failure>,
    /// Where it is kept.
    pub folder: Option<PathBuf>,
}

/// A search as far as it came, and its outcome.
#[derive(Clone, Debug, Default)]
pub struct BreakLive {
    pub steps: Vec<BreakStep>,
    pub outcome: Option<Arc<Broken>>,
}

/// The last results of each kind.
#[derive(Clone, Debug, Default)]
pub struct Sweeps {
    pub units: Option<SweepView<Sweep>>,
    pub against_k: Option<SweepView<KCurve>>,
    pub broken: Option<SweepView<BreakLive>>,
}

/// From a sweep's worker.
pub(super) enum SweepNews {
    /// Found on the disk.
    Kept(Box<KeptSweep>),
    /// What was worked on last, by what it was asked for with.
    Begun(SweepRequest),
    Started(Box<Sweep>),
    Measured(Vec<(UnitId, Totals)>),
    Curve(Box<KCurve>),
    Point(Box<KPoint>),
    Step(BreakStep),
    Broken(Arc<Broken>),
}

/// No version is given twice: what is made of a result must not be taken for that of the one before.
pub(super) fn next_version<T>(view: &Option<SweepView<T>>) -> u64 {
    view.as_ref().map_or(0, |v| v.version + 1)
}

impl Sweeps {
    fn begin(&mut self, request: SweepRequest, folder: Option<PathBuf>) {
        fn begin<T>(view: &mut Option<SweepView<T>>, request: SweepRequest, result: Option<T>, folder: Option<PathBuf>) {
            *view = Some(SweepView { request, result, version: next_version(view), running: true, failed: None, folder });
        }
        match request.kind() {
            SweepKind::Units => begin(&mut self.units, request, None, folder),
            SweepKind::AgainstK => begin(&mut self.against_k, request, None, folder),
            SweepKind::Break => begin(&mut self.broken, request, Some(BreakLive::default()), folder),
        }
    }

    fn hear(&mut self, news: SweepNews) {
        fn change<T>(view: &mut Option<SweepView<T>>, with: impl FnOnce(&mut Option<T>)) {
            if let Some(view) = view {
                with(&mut view.result);
                view.version += 1;
            }
        }
        match news {
            SweepNews::Kept(kept) => self.show_kept(*kept),
            // Whether it is what would be gone on with, the program says.
            SweepNews::Begun(_) => {}
            SweepNews::Started(sweep) => change(&mut self.units, |r| *r = Some(*sweep)),
            SweepNews::Measured(rows) => change(&mut self.units, |r| {
                if let Some(sweep) = r {
                    rows.into_iter().for_each(|(id, totals)| sweep.set(id, totals));
                }
            }),
            SweepNews::Curve(curve) => change(&mut self.against_k, |r| *r = Some(*curve)),
            SweepNews::Point(point) => change(&mut self.against_k, |r| {
                if let Some(curve) = r {
                    curve.points.push(*point);
                    curve.points.sort_by(|a, b| a.percent.total_cmp(&b.percent));
                }
            }),
            SweepNews::Step(step) => change(&mut self.broken, |r| r.get_or_insert_default().steps.push(step)),
            SweepNews::Broken(outcome) => change(&mut self.broken, |r| r.get_or_insert_default().outcome = Some(outcome)),
        }
    }

    fn end(&mut self, kind: SweepKind, failure: Option<Failure>) {
        fn end<T>(view: &mut Option<SweepView<T>>, failure: Option<Failure>) {
            if let Some(view) = view {
                (view.running, view.failed) = (false, failure);
                view.version += 1;
            }
        }
        match kind {
            SweepKind::Units => end(&mut self.units, failure),
            SweepKind::AgainstK => end(&mut self.against_k, failure),
            SweepKind::Break => end(&mut self.broken, failure),
        }
    }
}

/// A curve as it will be measured, or was.
pub(super) struct CurvePlan {
    pub request: SweepRequest,
    switching: Switching,
    map: Grid,
    /// What the map is called.
    ranking: String,
    sources: Vec<ItemSource>,
    pub percents: Vec<f64>,
    provenance: Provenance,
    pub folder: PathBuf,
}

/// Files in the folders of a curve and of a search: what is known of one that was begun, and its end.
pub(super) const CURVE: &str = "against-k.json";
pub(super) const CURVE_BEGUN: &str = "against-k.begun.json";
pub(super) const SEARCH_BEGUN: &str = "break.begun.json";
pub(super) const BROKEN: &str = "break.json";

/// What is known of a curve.
#[derive(Serialize, Deserialize)]
pub(super) struct CurveBegun {
    /// For who looks at it; a curve that goes on measures it again.
    baseline: Vec<Totals>,
    pub points: Vec<KPoint>,
}

impl CurvePlan {
    fn key(&self) -> String {
        self.switching.key(&self.sources, &self.map)
    }
    /// What an earlier session, or a stopped job, left of it.
    pub fn known(&self) -> Option<CurveBegun> {
        read_begun(&self.folder.join(CURVE_BEGUN), &self.key())
    }
    pub fn curve(&self, known: CurveBegun) -> KCurve {
        KCurve {
            ranking: self.ranking.clone(),
            domains: self.sources.iter().map(|s| s.domain.name.clone()).collect(),
            baseline: known.baseline,
            points: known.points.into_iter().filter(|p| self.percents.contains(&p.percent)).collect(),
            provenance: self.provenance.clone(),
        }
    }
}

/// A search as it will be made, or was.
pub(super) struct SearchPlan {
    pub request: SweepRequest,
    switching: Switching,
    map: Grid,
    ranking: String,
    sources: Vec<ItemSource>,
    /// The candidates.
    neurons: Vec<Neuron>,
    rule: Rule,
    provenance: Provenance,
    pub folder: PathBuf,
}

impl SearchPlan {
    fn key(&self) -> String {
        let key = self.switching.key(&self.sources, &self.map);
        sha256_bytes(format!("{key}\n{:?}\n{:?}", self.neurons, self.rule).as_bytes())
    }
    /// What an earlier session, or a stopped job, left of it.
    pub fn known(&self) -> Option<BreakBegun> {
        read_begun(&self.folder.join(SEARCH_BEGUN), &self.key())
    }
}

/// How sets are switched: the project's settings when the job began.
pub(super) struct Switching {
    scorer: Scorer,
    mode: AblationMode,
    at: AblationAt,
    d_mlp: usize,
    like: ControlMatch,
    scale: Option<Grid>,
    seeds: Vec<u64>,
}

impl Switching {
    fn change(&self, neurons: NeuronSet, heads: BTreeSet<crate::base::Head>, ctx: &Ctx<'_>) -> Result<Intervention> {
        self.scorer.intervention(&Change { neurons, heads, mode: self.mode.clone(), at: self.at }, ctx)
    }
    /// Where what is written in a neuron's place comes from; empty where the way to switch needs no other texts.
    pub(super) fn reference(&self) -> String {
        if !self.mode.needs_data() {
            return String::new();
        }
        let donors = self.scorer.resample_from.as_ref().map(|(d, rows)| (&d.items_sha256, rows));
        format!("\n{} {donors:?}", self.scorer.means_key())
    }
    /// Digest of all that decides what a set of this ranking does to these items, beside the set.
    fn key(&self, sources: &[ItemSource], map: &Grid) -> String {
        let bytes = |g: &Grid| sha256_bytes(&g.values().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        let sources: Vec<&str> = sources.iter().map(|s| s.key.as_str()).collect();
        let controls = (format!("{:?}", self.like), self.scale.as_ref().map(bytes), &self.seeds);
        sha256_json(&(provenance::program(), sources, &self.mode, self.at, controls, bytes(map), self.reference()))
    }
    fn control(&self, set: &NeuronSet, seed: u64) -> NeuronSet {
        random_neurons(set, self.d_mlp, self.like, self.scale.as_ref(), seed)
    }
}

impl App {
    /// Starts, or goes on with, what is asked for. Results go into `out`, or a folder below the data folder that is named after the request.
    pub(super) fn start_sweep(&mut self, request: SweepRequest, out: Option<PathBuf>) {
        let kind = request.kind();
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Sweep(kind));
        let started = match &request {
            SweepRequest::Units { unit, domain, layers } => self.start_units(&request, *unit, domain, *layers, out),
            SweepRequest::AgainstK { .. } => self.start_against_k(&request, out),
            SweepRequest::Break { .. } => self.start_break(&request, out),
        };
        if let Err(details) = started {
            self.sweeps.begin(request.clone(), None);
            self.sweeps.end(kind, Some(details.clone().into()));
            self.notice(NoticeLevel::Error, format!("{} cannot start", request.title()), details);
        }
    }

    pub(super) fn sweep_news(&mut self, news: SweepNews) {
        match news {
            SweepNews::Begun(request) => self.find_sweep(request.kind(), Some(request)),
            news => self.sweeps.hear(news),
        }
    }

    pub(super) fn sweep_ended(&mut self, kind: SweepKind, failure: Option<Failure>) {
        self.sweeps.end(kind, failure);
    }

    pub(super) fn switching(&self) -> Result<Switching, String> {
        let decoder = self.decoder.clone().ok_or("There is no model: open one and wait until it is read.")?;
        let p = &self.project;
        let d_mlp = decoder.model.spec.d_mlp;
        let scale = self.activation_scale();
        if p.control_match == ControlMatch::Scale && scale.is_none() {
            return Err("Controls that match in activation scale need a run with mean |activation| of this model: scan first.".into());
        }
        Ok(Switching {
            scorer: self.scorer(decoder, &p.eval),
            mode: p.mode.clone(),
            at: p.at,
            d_mlp,
            like: p.control_match,
            scale,
            seeds: (0..p.controls as u64).collect(),
        })
    }

    /// Items of the enabled domains, `first` before the others, without rows that a choice by its map would judge.
    pub(super) fn sweep_sources(&self, first: &str, chosen: &[ChosenOn]) -> Result<Vec<ItemSource>, String> {
        let decoder = self.decoder.as_ref().ok_or("There is no model: open one and wait until it is read.")?;
        let mut domains = self.scored_domains().ok_or("A domain is still being read.")?;
        let place = domains.iter().position(|d| d.name == first).ok_or_else(|| {
            let names: Vec<&str> = domains.iter().map(|d| d.name.as_str()).collect();
            format!("There is no domain `{first}` that is read and switched on; there are {}.", names.join(", "))
        })?;
        let target = domains.remove(place);
        domains.insert(0, target);
        let eval = hold_out(&self.project.eval, &domains, &chosen.iter().collect::<Vec<_>>()).0;
        let sources: Vec<ItemSource> = domains.iter().map(|d| item_source(&decoder.computing_key(), d, &eval)).collect();
        match sources.iter().find(|s| s.items.is_empty()) {
            Some(empty) => Err(format!("Nothing of {} is left to score.", empty.domain.name)),
            None => Ok(sources),
        }
    }

    /// The map of a domain in the shown run, and what it is called.
    fn ranking(&self, domain: &str, metric: MetricKind) -> Result<(Grid, String), String> {
        let run = self.library.run().ok_or("There is no run to rank neurons by: scan first, or open one.")?;
        let map = run.output.domain(domain).and_then(|d| d.map(metric));
        let map = map.ok_or_else(|| format!("{} holds no {} of {domain}.", run.name, metric.label()))?;
        Ok((map.clone(), format!("{} of {domain}, {}", metric.label(), run.name)))
    }

    /// `out`, or a folder that the same request finds again.
    fn sweep_folder(&self, out: Option<PathBuf>, word: &str, key: &str) -> PathBuf {
        out.unwrap_or_else(|| self.sweeps_dir().join(format!("{word}-{}", &sha256_bytes(key.as_bytes())[..12])))
    }

    pub(super) fn sweeps_dir(&self) -> PathBuf {
        self.settings.data_dir.join("sweeps")
    }

    fn sweep_provenance(&self, what: &str, domains: &[&ItemSource], command: String) -> Provenance {
        let mut p = self.provenance();
        p.data_sha256 = domains.iter().map(|s| (s.domain.name.clone(), s.domain.sha256.clone())).collect();
        p.prompts = domains.iter().map(|s| (s.domain.name.clone(), s.domain.template.clone())).collect();
        let (mode, at) = (self.project.mode.words(), self.project.at.words());
        let texts = self.taken_from().map_or_else(String::new, |from| format!(", over {from},"));
        p.formula = format!(
            "{what}; mlp.hook_post of neurons and attn.hook_z of heads {mode}{texts} {at}; multiple choice by log-likelihood, loss by token"
        );
        p.command = command;
        p
    }

    fn start_units(
        &mut self,
        request: &SweepRequest,
        unit: SweepUnit,
        domain: &str,
        layers: Option<(usize, usize)>,
        out: Option<PathBuf>,
    ) -> Result<(), String> {
        let switching = self.switching()?;
        let source = self.sweep_sources(domain, &[])?.swap_remove(0);
        let model = switching.scorer.decoder.model.clone();
        let spec = SweepSpec { unit, layers, mode: self.project.mode.clone(), at: self.project.at };
        let units = spec.units(&model.spec).map_err(|e| e.to_string())?;
        let key = units_key(&source, &switching);
        let folder = self.sweep_folder(out, &format!("{unit}-{domain}"), &format!("{}\n{spec:?}{}", source.key, switching.reference()));
        let provenance = self.sweep_provenance(
            &format!("each {unit} by itself, change against nothing switched"),
            &[&source],
            self.sweep_command("sweep", &[&source], &{
                let mut flags = vec![("--unit", unit.word().to_owned()), ("--domain", domain.to_owned())];
                flags.extend(layers.map(|(a, b)| ("--layers", format!("{a}-{b}"))));
                flags
            }),
        );
        self.sweeps.begin(request.clone(), Some(folder.clone()));
        self.runner.spawn(&mut self.jobs, request.title(), JobTarget::Sweep(SweepKind::Units), move |ctx, out| {
            let news = |news| out.send(Event::Sweep(news));
            let session = switching.scorer.session(&source, ctx)?;
            let baseline = Totals::of(&session.evaluate(None, ctx, &mut |_| {})?);
            let shape = (model.spec.n_layers, unit.per_layer(&model.spec));
            let header = SweepHeader::new(spec.clone(), &source.domain.name, shape, &key, baseline, provenance);
            let (mut file, header, known) = SweepFile::open(&folder, &header)?;
            let mut state = Sweep::new(spec.clone(), &source.domain.name, &model.spec, baseline, header.provenance)?;
            known.iter().for_each(|&(id, totals)| state.set(id, totals));
            let open: Vec<UnitId> = units.into_iter().filter(|&id| state.get(id).is_none()).collect();
            news(SweepNews::Started(Box::new(state)));
            let change = |id: UnitId| {
                let (neurons, heads) = spec.places(&model.spec, id);
                switching.change(neurons, heads, ctx)
            };
            sweep::run(&session, &open, &change, ctx, &mut |rows| {
                file.append(rows)?;
                news(SweepNews::Measured(rows.to_vec()));
                Ok(())
            })
        });
        Ok(())
    }

    /// What a request for a curve comes to now.
    pub(super) fn plan_curve(&self, request: &SweepRequest, out: Option<PathBuf>) -> Result<CurvePlan, String> {
        let SweepRequest::AgainstK { ranking, metric, percents } = request else { return Err("This is no curve.".into()) };
        let switching = self.switching()?;
        let percents = against_k::percentages(percents).map_err(|e| e.to_string())?;
        let (map, words) = self.ranking(ranking, *metric)?;
        let sources = self.sweep_sources(ranking, &self.scanned_rows(std::slice::from_ref(ranking)))?;
        let list: Vec<String> = percents.iter().map(ToString::to_string).collect();
        let all: Vec<&ItemSource> = sources.iter().collect();
        let mut flags = vec![("--against-k", format!("top:{ranking}")), ("--percents", list.join(","))];
        flags.extend(self.run_flags(*metric));
        let command = self.sweep_command("sweep", &all, &flags);
        let provenance = self.sweep_provenance(&format!("top k % by {words}, k rising"), &all, command);
        let key = format!("{:?}\n{words}\n{percents:?}", sources.iter().map(|s| &s.key).collect::<Vec<_>>());
        let folder = self.sweep_folder(out, &format!("against-k-{ranking}"), &key);
        Ok(CurvePlan { request: request.clone(), switching, map, ranking: words, sources, percents, provenance, folder })
    }

    fn start_against_k(&mut self, request: &SweepRequest, out: Option<PathBuf>) -> Result<(), String> {
        let plan = self.plan_curve(request, out)?;
        self.sweeps.begin(request.clone(), Some(plan.folder.clone()));
        self.runner.spawn(&mut self.jobs, request.title(), JobTarget::Sweep(SweepKind::AgainstK), move |ctx, out| {
            let switching = &plan.switching;
            let sessions = plan.sources.iter().map(|s| switching.scorer.session(s, ctx)).collect::<Result<Vec<_>>>()?;
            // Points that a stopped curve of the same has already, by share.
            let known = plan.known().map(|known| known.points).unwrap_or_default();
            let mut curve = plan.curve(CurveBegun { baseline: baselines(&sessions, ctx)?, points: known });
            let open: Vec<f64> = plan.percents.iter().copied().filter(|p| curve.points.iter().all(|k| k.percent != *p)).collect();
            out.send(Event::Sweep(SweepNews::Curve(Box::new(curve.clone()))));
            let change = |set| switching.change(set, BTreeSet::new(), ctx);
            let control = |set: &NeuronSet, seed| switching.control(set, seed);
            let top = |percent| NeuronSet::top_percent(&plan.map, percent);
            let (path, key) = (plan.folder.join(CURVE_BEGUN), plan.key());
            against_k::run(&sessions, &top, &open, &switching.seeds, &change, &control, ctx, &mut |point| {
                curve.points.push(point.clone());
                curve.points.sort_by(|a, b| a.percent.total_cmp(&b.percent));
                out.send(Event::Sweep(SweepNews::Point(Box::new(point))));
                let known = CurveBegun { baseline: curve.baseline.clone(), points: curve.points.clone() };
                write_begun(&path, &key, &plan.request, &known)
            })?;
            write_json(&plan.folder.join(CURVE), &curve)
        });
        Ok(())
    }

    /// What a request for a search comes to now.
    pub(super) fn plan_search(&self, request: &SweepRequest, out: Option<PathBuf>) -> Result<SearchPlan, String> {
        let SweepRequest::Break { domain, metric, candidates, rule } = request else { return Err("This is no search.".into()) };
        let rule = *rule;
        let mut switching = self.switching()?;
        switching.scorer.domains *= 2;
        let (map, words) = self.ranking(domain, *metric)?;
        let sources = self.sweep_sources(domain, &self.scanned_rows(std::slice::from_ref(domain)))?;
        if sources.iter().any(|s| s.items.len() < 2) {
            return Err("Each domain needs two items: on one half the set is sought, on the other it is judged.".into());
        }
        let neurons: Vec<_> = NeuronSet::top_count(&map, (*candidates).max(1)).iter().collect();
        let ranking = format!("the top {} by {words}", neurons.len());
        let mut flags = vec![("--domain", domain.to_owned()), ("--candidates", candidates.to_string())];
        flags.extend([("--penalty", rule.penalty.to_string()), ("--most", rule.most.to_string())]);
        flags.extend(rule.threshold.map(|t| ("--threshold", t.to_string())));
        flags.extend(self.run_flags(*metric));
        let all: Vec<&ItemSource> = sources.iter().collect();
        let command = self.sweep_command("break", &all, &flags);
        let provenance = self.sweep_provenance(
            &format!("greedy search among {ranking}: merit = damage to {domain} - {} x mean damage to the others", rule.penalty),
            &all,
            command,
        );
        let key = format!("{:?}\n{words}\n{candidates} {rule:?}", sources.iter().map(|s| &s.key).collect::<Vec<_>>());
        let folder = self.sweep_folder(out, &format!("break-{domain}"), &key);
        Ok(SearchPlan { request: request.clone(), switching, map, ranking, sources, neurons, rule, provenance, folder })
    }

    fn start_break(&mut self, request: &SweepRequest, out: Option<PathBuf>) -> Result<(), String> {
        let plan = self.plan_search(request, out)?;
        self.sweeps.begin(request.clone(), Some(plan.folder.clone()));
        self.runner.spawn(&mut self.jobs, request.title(), JobTarget::Sweep(SweepKind::Break), move |ctx, out| {
            let (path, key, begun) = (plan.folder.join(SEARCH_BEGUN), plan.key(), plan.known());
            let SearchPlan { request, switching, ranking, sources, neurons, rule, provenance, folder, .. } = plan;
            let halves = sources
                .iter()
                .map(|s| {
                    let half = |odd: usize| switching.scorer.session(&half_of(s, odd), ctx);
                    Ok(Halves { search: half(0)?, judge: half(1)? })
                })
                .collect::<Result<Vec<_>>>()?;
            let Some((target, others)) = halves.split_first() else { return Err(Error::invalid("there is no domain to break")) };
            let change = |set| switching.change(set, BTreeSet::new(), ctx);
            let control = |set: &NeuronSet, seed| switching.control(set, seed);
            for step in begun.iter().flat_map(|b| &b.steps) {
                out.send(Event::Sweep(SweepNews::Step(*step)));
            }
            let broken = break_domain::run(
                target,
                others,
                &neurons,
                rule,
                &switching.seeds,
                &change,
                &control,
                (ranking, provenance),
                begun,
                ctx,
                &mut |now| {
                    if let Some(step) = now.steps.last().filter(|_| now.tried.is_empty()) {
                        out.send(Event::Sweep(SweepNews::Step(*step)));
                    }
                    write_begun(&path, &key, &request, now)
                },
            )?;
            write_json(&folder.join(BROKEN), &broken)?;
            out.send(Event::Sweep(SweepNews::Broken(Arc::new(broken))));
            Ok(())
        });
        Ok(())
    }

    /// Where the ranking comes from.
    fn run_flags(&self, metric: MetricKind) -> Vec<(&'static str, String)> {
        let run = self.library.run().and_then(|r| r.path.as_ref()).filter(|_| self.settings.keep_runs || self.project.run.is_some());
        let mut flags: Vec<_> = run.map(|path| ("--run", path.display().to_string())).into_iter().collect();
        if metric != MetricKind::Relevance {
            flags.push(("--metric", metric.info().id.replace('_', "-")));
        }
        flags
    }

    /// The command line that makes the same numbers again.
    fn sweep_command(&self, verb: &str, domains: &[&ItemSource], flags: &[(&str, String)]) -> String {
        let p = &self.project;
        // In the project's order: which of them is meant, a flag says.
        let names = p.enabled().map(|d| d.name.as_str()).filter(|n| domains.iter().any(|s| s.domain.name == *n));
        let mut words = self.words_of(verb, names);
        let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), shell_word(value)]);
        flags.iter().for_each(|(flag, value)| add(flag, value));
        add("--mode", &p.mode.word());
        if p.at != AblationAt::All {
            add("--at", p.at.word());
        }
        if domains.len() > 1 {
            add("--controls", &p.controls.to_string());
            if p.control_match != ControlMatch::Size {
                add("--match", p.control_match.word());
            }
        }
        words.extend(self.eval_words(&p.eval));
        words.join(" ")
    }
}

/// Digest of the items that a sweep of single units scores, and of what takes the place of what is switched.
pub(super) fn units_key(source: &ItemSource, switching: &Switching) -> String {
    format!("{}{}", source.key, switching.reference())
}

fn baselines(sessions: &[Arc<EvalSession>], ctx: &Ctx<'_>) -> Result<Vec<Totals>> {
    sessions.iter().map(|s| Ok(Totals::of(&s.evaluate(None, ctx, &mut |_| {})?))).collect()
}

/// Every second item, from the first (0) or the second (1).
fn half_of(source: &ItemSource, odd: usize) -> ItemSource {
    let items = source.items.iter().skip(odd).step_by(2).cloned().collect();
    ItemSource { key: format!("{} half {odd}", source.key), domain: source.domain.clone(), items: Arc::new(items) }
}

/// What is known of work that was begun, for whoever goes on with it.
#[derive(Serialize, Deserialize)]
struct Begun<T> {
    /// Digest of all that decides it.
    key: String,
    /// What was asked for, where the writer said so.
    #[serde(default)]
    request: Option<SweepRequest>,
    known: T,
}

/// `None` where there is nothing, or something of other work: then all is done anew.
fn read_begun<T: DeserializeOwned>(path: &Path, key: &str) -> Option<T> {
    let begun: Begun<T> = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (begun.key == key).then_some(begun.known)
}

/// What the work that was begun in this file was asked for with.
pub(super) fn begun_request(path: &Path) -> Option<SweepRequest> {
    serde_json::from_slice::<Begun<serde::de::IgnoredAny>>(&std::fs::read(path).ok()?).ok()?.request
}

fn write_begun(path: &Path, key: &str, request: &SweepRequest, known: &impl Serialize) -> Result<()> {
    write_json(path, &Begun { key: key.to_owned(), request: Some(request.clone()), known })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|e| Error::format(path, e.to_string()))?;
    json.push(b'\n');
    atomic_file::write(path, &json)
}
