//! Scoring items under changes of the model: what a toggle pays for, and what it finds ready.

use super::ablation::{ItemSource, Part, Task, Unit};
use crate::{
    ablate::{EvalSession, SessionLimits},
    base::{Ctx, Error, Head, NeuronSet, Result, hash::sha256_bytes},
    data::{Domain, Item},
    eval::{self, AblationAt, AblationMode, Donors, Intervention, ItemScore, Means},
    model::Decoder,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// What is switched off.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Change {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    pub at: AblationAt,
}

impl Change {
    pub fn is_none(&self) -> bool {
        self.neurons.is_empty() && self.heads.is_empty()
    }
}

/// What evaluations of one program share, so that a toggle pays only for what it changes: tokens and residuals by domain, means.
#[derive(Default)]
pub(super) struct Shared {
    /// By [`ItemSource::key`], oldest use first.
    sessions: Mutex<Vec<(String, Arc<EvalSession>)>>,
    means: Mutex<Option<(String, Means)>>,
    /// Activations of other texts for the changes of late, oldest use first.
    donors: Mutex<Vec<(String, Arc<Donors>)>>,
}

/// Domains whose tokens and residuals are kept, and the memory of the residuals of all of them.
const SESSIONS: usize = 12;
const RESIDUAL_BYTES: usize = 768 << 20;
/// Logits of the scored positions that a session may keep, for changes of the last layer.
const LOGIT_BYTES: usize = 256 << 20;
/// A set with its controls.
const DONORS: usize = 8;
/// Texts that a resampled activation is drawn from.
const RESAMPLED_TEXTS: usize = 32;

impl Shared {
    fn session(
        &self,
        decoder: &Decoder,
        source: &ItemSource,
        limits: SessionLimits,
        most: usize,
        ctx: &Ctx<'_>,
    ) -> Result<Arc<EvalSession>> {
        let mut held = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|s| s.0 == source.key) {
            let found = held.remove(at);
            let session = found.1.clone();
            held.push(found);
            return Ok(session);
        }
        drop(held);
        let domain = &source.domain;
        let session = Arc::new(EvalSession::new(decoder.clone(), &domain.name, domain.kind, &source.items, limits, ctx)?);
        let mut held = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((source.key.clone(), session.clone()));
        // Each may fill its share of the memory: no more are kept than the shares were made for.
        let surplus = held.len().saturating_sub(most);
        held.drain(..surplus);
        Ok(session)
    }
}

/// A domain and which of its items are not scored.
pub(super) type Unscored = (Arc<Domain>, Vec<usize>);

/// Scores items under changes of the model.
pub(super) struct Scorer {
    pub decoder: Decoder,
    pub shared: Arc<Shared>,
    /// Domains and which of their items may give the means of a mean ablation: never items that are scored.
    pub means_from: Vec<Unscored>,
    /// For a change that resamples: the domain it names, as above; `None`: there is none.
    pub resample_from: Option<Unscored>,
    /// Sets of items, usually domains, that share the memory for residuals.
    pub domains: usize,
    /// Bytes of residuals that may lie on the disk.
    pub spill_bytes: u64,
    pub max_tokens: usize,
    /// What a user allows; `None`: no word about it.
    pub memory_bytes: Option<u64>,
}

impl Scorer {
    fn limits(&self) -> SessionLimits {
        let allowed = self.memory_bytes.map_or(usize::MAX, |b| usize::try_from(b / 2).unwrap_or(usize::MAX));
        let eval = eval::Limits { max_tokens: self.max_tokens, ..eval::Limits::default() };
        let share = self.shares();
        SessionLimits {
            eval,
            cache_bytes: RESIDUAL_BYTES.min(allowed) / share,
            logit_bytes: LOGIT_BYTES.min(allowed / 2) / share,
            spill_bytes: self.spill_bytes / share as u64,
            spill_folder: None,
        }
    }
    /// Works off the tasks in order; `scored` gets the next items of a unit as soon as they are there.
    pub fn score_all(&self, tasks: &[Task], ctx: &Ctx<'_>, scored: &mut dyn FnMut(&Unit, &[ItemScore])) -> Result<()> {
        let total: usize = tasks.iter().map(|t| t.source.items.len() - t.known).sum();
        let mut done = 0;
        for task in tasks {
            let phase = match task.unit.part {
                Part::Before => format!("scoring {}", task.unit.domain),
                Part::After => format!("scoring {}, ablated", task.unit.domain),
                Part::Control(seed) => format!("scoring {}, random control {}", task.unit.domain, seed + 1),
            };
            ctx.progress(phase.as_str(), done, total, "items");
            let session = self.session(&task.source, ctx)?;
            let change = if task.change.is_none() { None } else { Some(self.intervention(&task.change, ctx)?) };
            session.evaluate_from(task.known, change.as_ref(), ctx, &mut |items| {
                done += items.len();
                scored(&task.unit, items);
                ctx.progress(phase.as_str(), done, total, "items");
            })?;
        }
        Ok(())
    }

    pub fn session(&self, source: &ItemSource, ctx: &Ctx<'_>) -> Result<Arc<EvalSession>> {
        self.shared.session(&self.decoder, source, self.limits(), self.shares(), ctx)
    }

    /// Parts that the memory for residuals goes in.
    fn shares(&self) -> usize {
        self.domains.clamp(1, SESSIONS)
    }

    /// Whose activations a change takes, in words; `None` for one that takes none.
    pub fn taken_from(&self, mode: &AblationMode) -> Option<String> {
        let from = match mode {
            AblationMode::Resample { .. } => self.resample_from.as_slice(),
            _ if mode.needs_data() => &self.means_from[..],
            _ => return None,
        };
        Some(from.iter().filter(|f| !f.1.is_empty()).map(words).collect::<Vec<_>>().join(", "))
    }

    /// The change with the activations it needs of other texts.
    pub fn intervention(&self, change: &Change, ctx: &Ctx<'_>) -> Result<Intervention> {
        let Change { neurons, heads, mode, at } = change;
        let means = if matches!(mode, AblationMode::Mean | AblationMode::PositionalMean) { Some(self.means(ctx)?) } else { None };
        let donors = match mode {
            AblationMode::PositionalMean | AblationMode::Resample { .. } => Some(self.donors(change, ctx)?),
            _ => None,
        };
        Ok(Intervention { neurons: neurons.clone(), heads: heads.clone(), mode: mode.clone(), at: *at, means, donors })
    }

    fn donors(&self, change: &Change, ctx: &Ctx<'_>) -> Result<Arc<Donors>> {
        let from: Vec<&Unscored> = match &change.mode {
            AblationMode::Resample { domain, .. } => match &self.resample_from {
                Some(from) if !from.1.is_empty() => vec![from],
                Some(_) => {
                    return Err(Error::invalid(format!(
                        "resampling from {domain} needs items of it that are not scored, and every item is: score fewer (--samples, or Accuracy settings)"
                    )));
                }
                None => return Err(Error::invalid(format!("resampling from {domain}: there is no such domain, or it is not read"))),
            },
            _ => self.means_from.iter().filter(|f| !f.1.is_empty()).collect(),
        };
        let key = {
            let hashes: Vec<_> = from.iter().map(|f| (&f.0.items_sha256, &f.1)).collect();
            let Change { neurons, heads, mode, .. } = change;
            let model = self.decoder.computing_key();
            sha256_bytes(format!("{model}\n{hashes:?}\n{}\n{neurons}\n{heads:?}\n{mode:?}", self.max_tokens).as_bytes())
        };
        let mut held = self.shared.donors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|h| h.0 == key) {
            let found = held.remove(at);
            let donors = found.1.clone();
            held.push(found);
            return Ok(donors);
        }
        drop(held);
        let items: Vec<&Item> = from.iter().flat_map(|(d, indices)| indices.iter().map(|&i| &d.items[i])).collect();
        let source = from.iter().map(|f| words(f)).collect::<Vec<_>>().join(", ");
        let places = (&change.neurons, &change.heads);
        let donors = Arc::new(match change.mode {
            AblationMode::Resample { seed, .. } => {
                eval::resample_donors(&self.decoder, &items, places, RESAMPLED_TEXTS, seed, self.max_tokens, &source, ctx)?
            }
            _ => eval::positional_means(&self.decoder, &items, places, self.max_tokens, &source, ctx)?,
        });
        let mut held = self.shared.donors.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((key, donors.clone()));
        if held.len() > DONORS {
            held.remove(0);
        }
        Ok(donors)
    }

    /// Same key, same means.
    pub(super) fn means_key(&self) -> String {
        let from = self.means_from.iter().filter(|f| !f.1.is_empty());
        let (hashes, indices): (Vec<&str>, Vec<_>) = from.map(|f| (f.0.items_sha256.as_str(), &f.1)).unzip();
        sha256_bytes(format!("{}\n{hashes:?}\n{indices:?}\n{}", self.decoder.computing_key(), self.max_tokens).as_bytes())
    }

    fn means(&self, ctx: &Ctx<'_>) -> Result<Means> {
        let from: Vec<_> = self.means_from.iter().filter(|f| !f.1.is_empty()).collect();
        if from.is_empty() {
            return Err(Error::invalid(
                "mean ablation needs items that are not scored, and every item is: score fewer (--samples, or Accuracy settings), or use zero",
            ));
        }
        let source = format!("mean over {}", from.iter().map(|f| words(f)).collect::<Vec<_>>().join(", "));
        let key = self.means_key();
        let mut held = self.shared.means.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, means)) = held.as_ref().filter(|h| h.0 == key) {
            return Ok(means.clone());
        }
        let items = from.iter().flat_map(|(d, indices)| indices.iter().map(|&i| &d.items[i]));
        let means = eval::means(&self.decoder, items, self.max_tokens, source, ctx)?;
        *held = Some((key, means.clone()));
        Ok(means)
    }
}

fn words((d, items): &Unscored) -> String {
    let what = if items.len() == d.items.len() { format!("the {} split", d.split) } else { "items that are not scored".to_owned() };
    format!("{} ({what}, {} items)", d.name, items.len())
}
