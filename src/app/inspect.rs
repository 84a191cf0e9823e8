//! What is known of single neurons, heads and texts: the index of activations, details of the neuron that is looked at, texts that are read.

use super::{
    App, JobId, JobState,
    event::{Event, JobTarget},
    jobs::{Failure, Outbox},
    library::Loading,
    run::shell_word,
    score::Change,
    state::NoticeLevel,
};
use crate::{
    base::{Ctx, Error, Head, Neuron, Result, provenance::Provenance},
    data::Domain,
    inspect::{self, HeadLens, IndexDomain, IndexLimits, LogitLens, Neighbours, NeuronIndex, Pattern},
    model::{Decoder, TextTokenizer},
    scan::{self, ObjectiveKind, Order, ScanConfig},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A text to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Text(String),
    /// A sample of the index of activations.
    Sample(usize),
}

/// The index of activations of the shown run.
#[derive(Clone, Debug, Default)]
pub enum IndexState {
    /// Not made, and nobody asked.
    #[default]
    None,
    /// A forward pass this long is not made without being asked for: tokens and layers.
    Waits(usize, usize),
    Working(JobId),
    Stopped,
    Ready(Arc<IndexEntry>),
    Failed(String),
}

/// An index with the words of its tokens.
#[derive(Debug)]
pub struct IndexEntry {
    pub index: NeuronIndex,
    pub pieces: HashMap<u32, String>,
    /// Its file; `None` where it could not be kept.
    pub path: Option<PathBuf>,
    /// It was read, not made.
    pub from_disk: bool,
}

impl IndexEntry {
    /// The command line that told of the same index when it was made.
    fn command_for(&self, what: &str) -> String {
        self.index.about.provenance.command.replacen(ANY_NEURON, &format!("inspect {what}"), 1)
    }
    pub fn piece(&self, token: u32) -> &str {
        self.pieces.get(&token).map_or("?", String::as_str)
    }
}

/// A token as it is shown, with a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    pub token: u32,
    pub piece: String,
    pub value: f32,
}

/// What is worked out for one neuron when it is looked at.
#[derive(Clone, Debug)]
pub struct NeuronDetails {
    pub neuron: Neuron,
    pub lens: LogitLens,
    pub lens_formula: String,
    pub promotes: Vec<Word>,
    pub suppresses: Vec<Word>,
    /// `None` while it is worked out.
    pub by_weight: Option<Neighbours>,
    /// `None` without an index; a reason where it is too small.
    pub by_activation: Option<Result<Neighbours, String>>,
}

/// One neuron over one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    pub neuron: Neuron,
    pub reading: Reading,
    pub words: Vec<Word>,
}

/// One layer's heads over one text.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadReading {
    pub reading: Reading,
    pub pieces: Vec<String>,
    /// Tokens of the text that were left out at its end.
    pub left_out: usize,
    pub pattern: Pattern,
    /// Whose output is read through the unembedding.
    pub head: Head,
    /// At each token.
    pub writes: Vec<Written>,
    pub lens_formula: String,
}

/// What a head writes at one token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Written {
    /// Largest logit first.
    pub promotes: Vec<Word>,
    /// Smallest first.
    pub suppresses: Vec<Word>,
    /// Over the vocabulary.
    pub mean: f32,
    /// Length of the head's part of `hook_attn_out`.
    pub norm: f32,
}

/// A thing that was asked for: the newest request, and what came of it.
#[derive(Clone, Debug)]
pub struct Asked<K, T> {
    pub wish: Option<K>,
    pub found: Option<Arc<T>>,
    pub failed: Option<String>,
}

impl<K, T> Default for Asked<K, T> {
    fn default() -> Self {
        Self { wish: None, found: None, failed: None }
    }
}

#[derive(Default)]
pub struct Inspection {
    pub index: IndexState,
    /// Of the neurons looked at last.
    pub details: BTreeMap<Neuron, Arc<NeuronDetails>>,
    pub details_failed: Option<(Neuron, String)>,
    pub strip: Asked<(Neuron, Reading), Strip>,
    pub head: Asked<(Head, Reading), HeadReading>,
    pub(super) wish: Option<IndexWish>,
    /// Newest last.
    recent: Vec<Neuron>,
}

/// What an index depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IndexWish {
    /// [`Decoder::computing_key`]
    model: String,
    /// Name, and hash of what is read.
    domains: Vec<(String, String)>,
    config: ScanConfig,
}

/// For whom an unlisted job works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looking {
    Index,
    Details(Neuron),
    Strip,
    Head,
    Lens,
}

/// What such jobs tell.
pub(super) enum Found {
    Index(Arc<IndexEntry>),
    Waits(usize, usize),
    Details(Arc<NeuronDetails>),
    Strip(Arc<Strip>),
    Head(Arc<HeadReading>),
    Lens(super::lens::LensNews),
}

/// Verb of an index's command line.
const ANY_NEURON: &str = "inspect L0N0";
const TITLE: &str = "Index of activations";
/// Neurons whose details are kept.
const DETAILS_KEPT: usize = 64;
/// Words of the logit lens, and neighbours of each kind.
pub const WORDS: usize = 10;
pub const NEIGHBOURS: usize = 8;
/// Words that a head promotes and suppresses at each token.
pub const HEAD_WORDS: usize = 5;
/// An attention pattern has the square of this many cells.
pub const PATTERN_TOKENS: usize = 64;
/// Tokens of a text read for one neuron.
const STRIP_TOKENS: usize = 512;
/// Indices kept on the disk, newest first, as far as they fit.
const INDEX_FILES_BYTES: u64 = 2 << 30;
/// Longer forward passes (floating-point operations) are made only when asked for.
const UNASKED_FLOPS: f64 = 2e13;
/// A pointer that passes over neurons starts nothing.
const REST: Duration = Duration::from_millis(60);

impl App {
    pub fn index(&self) -> Option<&Arc<IndexEntry>> {
        match &self.inspection.index {
            IndexState::Ready(entry) => Some(entry),
            _ => None,
        }
    }

    /// Whether a job runs that a scan would have to wait for: all but the index, which gives way.
    pub fn is_busy(&self) -> bool {
        self.jobs.iter().any(|j| j.state == JobState::Running && j.target != JobTarget::Looking(Looking::Index))
    }

    /// Which samples an index is of: those of the shown run where model and data are there, else those that a scan would take.
    fn index_inputs(&self) -> Option<(Decoder, Vec<Arc<Domain>>, ScanConfig)> {
        let decoder = self.decoder.clone()?;
        if self.library.domains.iter().any(|d| matches!(d.state, Loading::Working)) {
            return None;
        }
        let ready = |name: &str| self.library.domain(name).and_then(|d| d.state.ready()).cloned();
        let run = self.library.run().filter(|r| r.output.provenance.model_sha256 == decoder.model.info.sha256);
        if let Some(run) = run {
            let read = |d: &scan::DomainScan| ready(&d.name).filter(|read| d.source.sha256.is_empty() || read.sha256 == d.source.sha256);
            let domains: Vec<_> = run.output.domains.iter().filter_map(read).collect();
            if !domains.is_empty() {
                return Some((decoder, domains, run.output.config.clone()));
            }
        }
        let domains: Vec<_> = self.project.enabled().filter_map(|d| ready(&d.name)).collect();
        (!domains.is_empty()).then(|| (decoder, domains, self.project.scan.clone()))
    }

    fn index_wish(&self) -> Option<IndexWish> {
        let (decoder, domains, config) = self.index_inputs()?;
        let domains = domains.iter().map(|d| (d.name.clone(), d.items_sha256.clone())).collect();
        // What a sample is depends on these alone.
        let config = ScanConfig { gamma: 0.0, metrics: Vec::new(), ..config };
        Some(IndexWish { model: decoder.computing_key(), domains, config })
    }

    fn index_command(&self, verb: &str, domains: &[Arc<Domain>], config: &ScanConfig) -> String {
        let mut command = self.words_of(verb, domains.iter().map(|d| d.name.as_str())).join(" ");
        command.push_str(&format!(
            " --samples {} --seed {} --order {} --max-tokens {} --objective {}",
            config.samples,
            config.seed,
            if config.order == Order::File { "file" } else { "shuffle" },
            config.max_tokens,
            if config.objective == ObjectiveKind::Loss { "loss" } else { "max-logit" }
        ));
        command
    }

    /// The command line that tells of one neuron or head from the samples of the index, where there is one, and what it does in a text.
    fn inspect_command(&self, what: &str, reading: Option<&Reading>) -> String {
        let verb = format!("inspect {what}");
        let mut command = match self.index() {
            None => format!("{} --no-index", self.words_of(&verb, std::iter::empty()).join(" ")),
            // A kept index may have been made where files lay elsewhere: where they lie now is what helps.
            Some(entry) => match self.index_inputs().filter(|_| self.index_wish() == self.inspection.wish) {
                Some((_, domains, config)) => self.index_command(&verb, &domains, &config),
                None => entry.command_for(what),
            },
        };
        match reading {
            Some(Reading::Text(text)) => command.push_str(&format!(" --text {}", shell_word(text))),
            Some(Reading::Sample(sample)) => command.push_str(&format!(" --sample {sample}")),
            None => {}
        }
        command
    }

    /// Where the inspector's numbers of one neuron or head come from.
    pub fn inspect_provenance(&self, what: &str, reading: Option<&Reading>) -> Provenance {
        let command = self.inspect_command(what, reading);
        match self.index() {
            Some(entry) => Provenance { command, ..entry.index.about.provenance.clone() },
            None => Provenance {
                command,
                formula: "attention of one text (attn.hook_pattern); logit lens of what the head writes".into(),
                objective: String::new(),
                data_sha256: Vec::new(),
                prompts: Vec::new(),
                ..self.provenance()
            },
        }
    }

    /// Drops what no longer fits the model and the data, and makes it anew where that was asked for.
    pub(super) fn refresh_inspection(&mut self) {
        let model = self.decoder.as_ref().map(Decoder::computing_key);
        if self.inspection.wish.as_ref().is_some_and(|w| Some(&w.model) != model.as_ref()) {
            self.forget_inspection();
        }
        // While something is read, or scanned, nothing is settled.
        let busy = self.runner.is_running(|t| !matches!(t, JobTarget::Looking(_) | JobTarget::Models | JobTarget::Devices));
        if let Some(wish) = self.index_wish()
            && self.inspection.wish.as_ref() != Some(&wish)
        {
            let known = self.inspection.wish.is_some();
            if known || (self.settings.auto_index && !busy) {
                self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Looking(Looking::Index)));
                self.inspection.index = IndexState::None;
                self.inspection.details.clear();
                self.inspection.wish = None;
            }
            if self.settings.auto_index && !busy {
                self.start_index(wish, true);
            }
        }
        self.refresh_lens();
    }

    /// What is known of neurons and heads belongs to another model, or to another arithmetic of it.
    pub(super) fn forget_inspection(&mut self) {
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Looking(_)));
        self.inspection = Inspection::default();
    }

    /// A scan goes first: it needs all processors, and brings a run of its own.
    pub(super) fn pause_index(&mut self) {
        if matches!(self.inspection.index, IndexState::Working(_)) {
            self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Looking(Looking::Index)));
            (self.inspection.index, self.inspection.wish) = (IndexState::None, None);
        }
    }

    pub(super) fn index_activations(&mut self) {
        match self.index_wish() {
            Some(wish) => self.start_index(wish, false),
            None => {
                let what = "Open a model and at least one dataset, and wait until both are read.";
                self.notice(NoticeLevel::Error, "There is nothing to index", what);
            }
        }
    }

    /// `unasked`: nobody waits for it, so it must not be long.
    fn start_index(&mut self, wish: IndexWish, unasked: bool) {
        let Some((decoder, domains, config)) = self.index_inputs() else { return };
        self.inspection.wish = Some(wish);
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Looking(Looking::Index)));
        let folder = self.settings.data_dir.join("index");
        let mut limits = IndexLimits::default();
        if let Some(bytes) = self.settings.preferences.memory_bytes {
            limits = IndexLimits { index_bytes: limits.index_bytes.min(bytes / 4), work_bytes: limits.work_bytes.min(bytes / 2) };
        }
        let command = self.index_command(ANY_NEURON, &domains, &config);
        let id = self.runner.spawn(&mut self.jobs, TITLE, JobTarget::Looking(Looking::Index), move |ctx, out| {
            let mut prepared = Vec::new();
            for domain in &domains {
                ctx.progress("tokenising", prepared.len(), domains.len(), "domains");
                prepared.push(index_domain(domain, &decoder, &config, ctx)?);
            }
            let plan = inspect::plan(&decoder, prepared, config.seed, limits)?;
            let path = folder.join(format!("{}.safetensors", plan.key));
            let pieces = |index: &NeuronIndex| pieces(&decoder.model.tokenizer, index);
            if path.is_file() {
                ctx.progress("reading the index", 0, 0, "");
                match inspect::read_index(&path) {
                    Ok(index) if index.about.key == plan.key => {
                        let entry = IndexEntry { pieces: pieces(&index), index, path: Some(path), from_disk: true };
                        out.send(Event::Found(Found::Index(Arc::new(entry))));
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(e) => tracing::warn!("the kept index is made anew: {e}"),
                }
            }
            let spec = &decoder.model.spec;
            if unasked && inspect::flops(spec, plan.n_tokens()) > UNASKED_FLOPS {
                out.send(Event::Found(Found::Waits(plan.n_tokens(), spec.n_layers)));
                return Ok(());
            }
            let mut index = inspect::build(&decoder, plan, ctx)?;
            index.about.provenance.command = command;
            let path = keep(&folder, path, &index);
            let entry = IndexEntry { pieces: pieces(&index), index, path, from_disk: false };
            out.send(Event::Found(Found::Index(Arc::new(entry))));
            Ok(())
        });
        self.inspection.index = IndexState::Working(id);
    }

    /// Whether more of a neuron can be worked out than is there.
    pub fn wants_details(&self, neuron: Neuron) -> bool {
        let i = &self.inspection;
        let complete = |d: &Arc<NeuronDetails>| d.by_weight.is_some() && d.by_activation.is_some() == self.index().is_some();
        self.decoder.is_some()
            && !i.details.get(&neuron).is_some_and(complete)
            && i.details_failed.as_ref().is_none_or(|f| f.0 != neuron)
            && !self.runner.is_running(|t| *t == JobTarget::Looking(Looking::Details(neuron)))
    }

    pub(super) fn inspect_neuron(&mut self, neuron: Neuron) {
        let Some(decoder) = self.decoder.clone() else { return };
        let index = self.index().cloned();
        // Asked for again after a failure: tried again.
        self.inspection.details_failed = None;
        if !self.wants_details(neuron) {
            return;
        }
        self.look(Looking::Details(neuron), move |ctx, out| {
            std::thread::sleep(REST);
            let lens = inspect::logit_lens(&decoder, neuron, WORDS, ctx)?;
            let word = |&(token, value): &(u32, f32)| Word { token, piece: decoder.model.tokenizer.piece(token), value };
            let mut details = NeuronDetails {
                neuron,
                promotes: lens.promotes.iter().map(word).collect(),
                suppresses: lens.suppresses.iter().map(word).collect(),
                lens,
                lens_formula: LogitLens::formula(&decoder.model.spec),
                by_weight: None,
                by_activation: index.map(|i| inspect::by_activation(&i.index, neuron, NEIGHBOURS).map_err(|e| e.to_string())),
            };
            out.send(Event::Found(Found::Details(Arc::new(details.clone()))));
            details.by_weight = Some(inspect::by_weight(&decoder, neuron, NEIGHBOURS, ctx)?);
            out.send(Event::Found(Found::Details(Arc::new(details))));
            Ok(())
        });
    }

    pub(super) fn read_neuron(&mut self, neuron: Neuron, reading: Reading) {
        let wish = Some((neuron, reading.clone()));
        if self.inspection.strip.wish == wish {
            return;
        }
        let Some((decoder, entry)) = self.decoder.clone().map(|d| (d, self.index().cloned())) else { return };
        self.inspection.strip = Asked { wish, ..Asked::default() };
        self.look(Looking::Strip, move |ctx, out| {
            let (tokens, _) = tokens_of(&reading, &decoder, entry.as_deref(), STRIP_TOKENS)?;
            let values = inspect::strip(&decoder, &tokens, neuron, ctx)?;
            let word = |(&token, value): (&u32, f32)| Word { token, piece: decoder.model.tokenizer.piece(token), value };
            let words = tokens.iter().zip(values).map(word).collect();
            out.send(Event::Found(Found::Strip(Arc::new(Strip { neuron, reading, words }))));
            Ok(())
        });
    }

    pub(super) fn read_head(&mut self, head: Head, reading: Reading) {
        let wish = Some((head, reading.clone()));
        if self.inspection.head.wish == wish {
            return;
        }
        let Some((decoder, entry)) = self.decoder.clone().map(|d| (d, self.index().cloned())) else { return };
        // What is there stays until the new one comes: heads of a layer share their pattern.
        (self.inspection.head.wish, self.inspection.head.failed) = (wish, None);
        self.look(Looking::Head, move |ctx, out| {
            let (tokens, left_out) = tokens_of(&reading, &decoder, entry.as_deref(), PATTERN_TOKENS)?;
            let pattern = inspect::pattern(&decoder, &tokens, head.layer as usize, ctx)?;
            let word = |&(token, value): &(u32, f32)| Word { token, piece: decoder.model.tokenizer.piece(token), value };
            let written = |l: HeadLens| Written {
                promotes: l.promotes.iter().map(word).collect(),
                suppresses: l.suppresses.iter().map(word).collect(),
                mean: l.mean,
                norm: l.norm,
            };
            let writes = inspect::head_lens(&decoder, &pattern, head, HEAD_WORDS, ctx)?.into_iter().map(written).collect();
            let lens_formula = HeadLens::formula(&decoder.model.spec);
            let pieces = tokens.iter().map(|&t| decoder.model.tokenizer.piece(t)).collect();
            let found = HeadReading { reading, pieces, left_out, pattern, head, writes, lens_formula };
            out.send(Event::Found(Found::Head(Arc::new(found))));
            Ok(())
        });
    }

    /// The newest of its kind works, unlisted: it is over before anybody could read of it.
    pub(super) fn look(&mut self, looking: Looking, work: impl FnOnce(&Ctx<'_>, &Outbox) -> Result<()> + Send + 'static) {
        let kind = std::mem::discriminant(&looking);
        self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Looking(l) if std::mem::discriminant(l) == kind));
        self.runner.spawn(&mut Vec::new(), "", JobTarget::Looking(looking), work);
    }

    pub(super) fn found(&mut self, found: Found) {
        let i = &mut self.inspection;
        match found {
            Found::Index(entry) => i.index = IndexState::Ready(entry),
            Found::Waits(tokens, layers) => i.index = IndexState::Waits(tokens, layers),
            Found::Details(details) => {
                let neuron = details.neuron;
                i.details.insert(neuron, details);
                i.recent.retain(|n| *n != neuron);
                i.recent.push(neuron);
                if i.recent.len() > DETAILS_KEPT {
                    let oldest = i.recent.remove(0);
                    i.details.remove(&oldest);
                }
            }
            Found::Strip(strip) => i.strip.found = Some(strip),
            Found::Head(head) => i.head.found = Some(head),
            Found::Lens(news) => self.lens.take(news),
        }
    }

    pub(super) fn looked(&mut self, looking: Looking, result: Result<(), Failure>) {
        let i = &mut self.inspection;
        match (looking, result.err()) {
            (Looking::Index, Some(Failure::Cancelled)) => i.index = IndexState::Stopped,
            (Looking::Index, Some(Failure::Failed(message))) => {
                i.index = IndexState::Failed(message.clone());
                self.notice(NoticeLevel::Error, "The index of activations failed", message);
            }
            (Looking::Index, None) => {
                if let IndexState::Ready(entry) = &i.index {
                    let about = &entry.index.about;
                    let title = format!("Index of {} tokens, {:.1} s", entry.index.n_tokens(), about.seconds);
                    let details = entry.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
                    self.notice(NoticeLevel::Info, title, details);
                }
            }
            (Looking::Details(neuron), Some(Failure::Failed(message))) => i.details_failed = Some((neuron, message)),
            (Looking::Strip, Some(Failure::Failed(message))) => i.strip.failed = Some(message),
            (Looking::Head, Some(Failure::Failed(message))) => i.head.failed = Some(message),
            (Looking::Lens, failed) => self.lens.ended(failed),
            (Looking::Details(_) | Looking::Strip | Looking::Head, _) => {}
        }
    }

    /// What is switched off now.
    pub(super) fn change_in_force(&self) -> Change {
        Change { neurons: self.project.off(), heads: self.project.heads.clone(), mode: self.project.mode.clone(), at: self.project.at }
    }
}

fn index_domain(domain: &Domain, decoder: &Decoder, config: &ScanConfig, ctx: &Ctx<'_>) -> Result<IndexDomain> {
    let prepared = scan::prepare(domain, &decoder.model.tokenizer, decoder.model.spec.max_positions, config, ctx)?;
    Ok(IndexDomain {
        name: domain.name.clone(),
        sha256: domain.sha256.clone(),
        template: domain.template.clone(),
        lines: prepared.source.sample_lines,
        sequences: prepared.sequences.into_iter().map(|s| s.tokens).collect(),
    })
}

fn pieces(tokenizer: &TextTokenizer, index: &NeuronIndex) -> HashMap<u32, String> {
    let mut all: Vec<u32> = (0..index.n_samples()).flat_map(|s| index.sample_tokens(s).iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(|t| (t, tokenizer.piece(t))).collect()
}

/// Tokens of a reading, at most `most` from its beginning, and how many were left out.
pub(super) fn tokens_of(reading: &Reading, decoder: &Decoder, entry: Option<&IndexEntry>, most: usize) -> Result<(Vec<u32>, usize)> {
    let mut tokens = match reading {
        Reading::Text(text) => {
            let mut ids = decoder.model.tokenizer.encode(text)?;
            ids.truncate(ids.len() - decoder.model.tokenizer.suffix_len().min(ids.len()));
            ids
        }
        Reading::Sample(sample) => {
            let entry = entry.filter(|e| *sample < e.index.n_samples());
            entry
                .ok_or_else(|| Error::invalid(format!("there is no sample {sample} in the index of activations")))?
                .index
                .sample_tokens(*sample)
                .to_vec()
        }
    };
    if tokens.is_empty() {
        return Err(Error::invalid("the text has no token"));
    }
    let left_out = tokens.len().saturating_sub(most.min(decoder.model.spec.max_positions));
    tokens.truncate(tokens.len() - left_out);
    Ok((tokens, left_out))
}

/// Writes an index and takes the oldest away where they grow too many. One that cannot be kept is made again another time.
fn keep(folder: &Path, path: PathBuf, index: &NeuronIndex) -> Option<PathBuf> {
    if let Err(e) = inspect::write_index(&path, index) {
        tracing::warn!("the index of activations was not kept: {e}");
        return None;
    }
    let mut files: Vec<(std::time::SystemTime, u64, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "safetensors"))
        .filter_map(|e| e.metadata().ok().map(|m| (m.modified().unwrap_or(std::time::UNIX_EPOCH), m.len(), e.path())))
        .collect();
    files.sort_by_key(|f| std::cmp::Reverse(f.0));
    let mut held = 0;
    for (_, size, file) in files {
        held += size;
        if held > INDEX_FILES_BYTES && file != path {
            let _ = std::fs::remove_file(file);
        }
    }
    Some(path)
}
