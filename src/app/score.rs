//! Scoring items under changes of the model: what a toggle pays for, and what it finds ready.

use super::ablation::{ItemSource, Part, Task, Unit};
use crate::{
    ablate::{EvalSession, SessionLimits},
    base::{Ctx, Error, Head, NeuronSet, Result, hash::sha256_bytes},
    data::Domain,
    eval::{self, AblationMode, Intervention, ItemScore, Means},
    model::Decoder,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// What is switched off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
}

impl Default for Change {
    fn default() -> Self {
        Self { neurons: NeuronSet::new(), heads: BTreeSet::new(), mode: AblationMode::Zero }
    }
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
}

/// Domains whose tokens and residuals are kept, and the memory of the residuals of all of them.
const SESSIONS: usize = 12;
const RESIDUAL_BYTES: usize = 768 << 20;

impl Shared {
    fn session(&self, decoder: &Decoder, source: &ItemSource, limits: SessionLimits, ctx: &Ctx<'_>) -> Result<Arc<EvalSession>> {
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
        if held.len() > SESSIONS {
            held.remove(0);
        }
        Ok(session)
    }
}

/// Scores items under changes of the model.
pub(super) struct Scorer {
    pub decoder: Decoder,
    pub shared: Arc<Shared>,
    /// Domains and which of their items may give the means of a mean ablation: never items that are scored.
    pub means_from: Vec<(Arc<Domain>, Vec<usize>)>,
    pub max_tokens: usize,
    /// What a user allows; `None`: no word about it.
    pub memory_bytes: Option<u64>,
}

impl Scorer {
    fn limits(&self) -> SessionLimits {
        let allowed = self.memory_bytes.map_or(usize::MAX, |b| usize::try_from(b / 2).unwrap_or(usize::MAX));
        let eval = eval::Limits { max_tokens: self.max_tokens, ..eval::Limits::default() };
        SessionLimits { eval, cache_bytes: RESIDUAL_BYTES.min(allowed) / SESSIONS }
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
            let session = self.shared.session(&self.decoder, &task.source, self.limits(), ctx)?;
            let change = if task.change.is_none() { None } else { Some(self.intervention(&task.change, ctx)?) };
            session.evaluate_from(task.known, change.as_ref(), ctx, &mut |items| {
                done += items.len();
                scored(&task.unit, items);
                ctx.progress(phase.as_str(), done, total, "items");
            })?;
        }
        Ok(())
    }

    pub(super) fn intervention(&self, change: &Change, ctx: &Ctx<'_>) -> Result<Intervention> {
        let means = if change.mode == AblationMode::Mean { Some(self.means(ctx)?) } else { None };
        Ok(Intervention { neurons: change.neurons.clone(), heads: change.heads.clone(), mode: change.mode, means })
    }

    /// Same key, same means.
    pub(super) fn means_key(&self) -> String {
        let from = self.means_from.iter().filter(|f| !f.1.is_empty());
        let (hashes, indices): (Vec<&str>, Vec<_>) = from.map(|f| (f.0.items_sha256.as_str(), &f.1)).unzip();
        sha256_bytes(format!("{}\n{hashes:?}\n{indices:?}\n{}", self.decoder.model.info.sha256, self.max_tokens).as_bytes())
    }

    fn means(&self, ctx: &Ctx<'_>) -> Result<Means> {
        let words = |(d, items): &(Arc<Domain>, Vec<usize>)| {
            let what = if items.len() == d.items.len() { format!("the {} split", d.split) } else { "items that are not scored".to_owned() };
            format!("{} ({what}, {} items)", d.name, items.len())
        };
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
