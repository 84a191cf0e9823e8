//! A domain prepared for being evaluated again and again while neurons are switched: tokens, the baseline's scores, and a cache of residuals, so
//! that a change in layer l runs the layers from l on only.
//!
//! The arithmetic of those layers is the same as in a full pass, so scores are equal bit for bit, with one exception: where only a few neurons
//! of the first changed layer are switched, what they add to the residual is corrected instead of running the layer (rank-k correction), which
//! rounds otherwise; in the last layer the logits are corrected likewise. Which way is taken depends on the change and the session's limits alone, never
//! on what is cached.

use super::{
    cache::{Place, ResidualCache},
    stack,
};
use crate::{
    base::{Ctx, HookPoint, Result},
    data::{DomainKind, Item},
    eval::{Cancellable, DomainScore, Intervention, ItemScore, Limits, Sharing, Step, Switch, prepare},
    model::{Batch, Decoder, Hooks, NoHooks, spec::Residual},
};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// What a session may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    pub eval: Limits,
    /// Bytes of residuals kept in memory.
    pub cache_bytes: usize,
    /// Bytes of logits kept in memory; a domain whose scored rows have more keeps none. With them, a change of a few neurons of the last layer costs a
    /// few rows of the head's product instead of all.
    pub logit_bytes: usize,
    /// Bytes of residuals kept in a temporary file once memory is full; 0: none. With too little room for every layer in both, every second,
    /// third... layer is kept.
    pub spill_bytes: u64,
    /// Folder of that file; `None`: the system's for temporary files.
    pub spill_folder: Option<PathBuf>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { eval: Limits::default(), cache_bytes: 256 << 20, logit_bytes: 256 << 20, spill_bytes: 0, spill_folder: None }
    }
}

/// Shared between threads freely: the caches fill themselves once.
pub struct EvalSession {
    pub(super) decoder: Decoder,
    name: String,
    kind: DomainKind,
    n_items: usize,
    steps: Vec<CachedStep>,
    /// The same items without a row in common, for changes that draw something for every item. Their numbers follow those of `steps`.
    apart: OnceLock<Vec<CachedStep>>,
    limits: Limits,
    plan: Plan,
    /// Whether logits are kept: decided once, so that a change's bits do not depend on what was evaluated before.
    keeps_logits: bool,
    cache: ResidualCache,
}

pub(super) struct CachedStep {
    pub step: Step,
    /// Scores with nothing switched.
    baseline: OnceLock<Vec<ItemScore>>,
    /// [`Decoder::undivided_logits`] of the scored rows.
    logits: OnceLock<Resid>,
}

impl CachedStep {
    fn new(step: Step) -> Self {
        Self { step, baseline: OnceLock::new(), logits: OnceLock::new() }
    }
}

/// A residual, `[rows, d_model]`.
pub(super) type Resid = Arc<Vec<f32>>;

/// Which residuals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// `hook_resid_pre` is kept for layers that are multiples of this; 0: for none.
    stride: usize,
    /// `hook_resid_mid` is kept from this layer on.
    mid_from: usize,
}

impl EvalSession {
    /// Tokenises the items; runs no model yet.
    ///
    /// # Errors
    /// When the tokenizer fails, an item cannot be scored, or the work is cancelled.
    pub fn new(decoder: Decoder, name: &str, kind: DomainKind, items: &[Item], limits: SessionLimits, ctx: &Ctx<'_>) -> Result<Self> {
        let spec = &decoder.model.spec;
        let steps = prepare(name, kind, items, &decoder.model.tokenizer, spec, limits.eval, ctx)?;
        let row = spec.d_model * size_of::<f32>();
        let layer: usize = steps.iter().map(|s| s.batch.n_tokens() * row).sum();
        let scored: usize = steps.iter().map(|s| s.at.rows.len() * row).sum();
        let logits: usize = steps.iter().map(|s| s.at.rows.len() * spec.vocab * size_of::<f32>()).sum();
        let keeps_logits = logits <= limits.logit_bytes && decoder.divides_last();
        let room = limits.cache_bytes.saturating_add(usize::try_from(limits.spill_bytes).unwrap_or(usize::MAX));
        let plan = Plan::of(spec.n_layers, layer, scored, room, spec.residual != Residual::Parallel);
        let cache = ResidualCache::new(limits.cache_bytes, limits.spill_bytes, limits.spill_folder.unwrap_or_else(std::env::temp_dir));
        let steps = steps.into_iter().map(CachedStep::new).collect();
        Ok(Self {
            name: name.to_owned(),
            kind,
            n_items: items.len(),
            steps,
            apart: OnceLock::new(),
            limits: limits.eval,
            plan,
            keeps_logits,
            cache,
            decoder,
        })
    }

    /// Step `s` of those with or of those without common rows.
    pub(super) fn step(&self, s: usize) -> &CachedStep {
        match s.checked_sub(self.steps.len()) {
            None => &self.steps[s],
            Some(s) => &self.apart()[s],
        }
    }

    fn apart(&self) -> &[CachedStep] {
        let limits = Limits { share: self.limits.share.min(Sharing::Choices), ..self.limits };
        self.apart.get_or_init(|| Step::again(self.steps.iter().map(|s| &s.step), limits).into_iter().map(CachedStep::new).collect())
    }

    /// The numbers of the steps that a change may run on.
    fn steps_for(&self, switch: Option<&Switch>) -> Range<usize> {
        let n = self.steps.len();
        if switch.is_some_and(Switch::draws) { n..n + self.apart().len() } else { 0..n }
    }

    pub fn n_items(&self) -> usize {
        self.n_items
    }
    pub fn domain(&self) -> &str {
        &self.name
    }
    pub fn kind(&self) -> DomainKind {
        self.kind
    }
    /// Tokens that a full pass runs, beginnings that choices share counted once.
    pub fn n_tokens(&self) -> usize {
        self.steps.iter().map(|s| s.step.batch.n_tokens()).sum()
    }
    /// Bytes of residuals held in memory now.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes_in_memory()
    }
    /// Bytes of residuals held on the disk now.
    pub fn spilled_bytes(&self) -> u64 {
        self.cache.bytes_on_disk()
    }

    /// Scores every item; `on_items` gets those of each step as soon as they are there, in order.
    ///
    /// # Errors
    /// When the intervention does not fit the model, a number is not finite, or the work is cancelled.
    pub fn evaluate(&self, change: Option<&Intervention>, ctx: &Ctx<'_>, on_items: &mut dyn FnMut(&[ItemScore])) -> Result<DomainScore> {
        let mut items = Vec::with_capacity(self.n_items);
        self.evaluate_from(0, change, ctx, &mut |new| {
            items.extend_from_slice(new);
            on_items(new);
        })?;
        Ok(self.score_of(items))
    }

    /// As [`EvalSession::evaluate`], for items `known..` only: goes on where a cancelled evaluation stopped.
    ///
    /// # Errors
    /// As [`EvalSession::evaluate`].
    pub fn evaluate_from(
        &self,
        known: usize,
        change: Option<&Intervention>,
        ctx: &Ctx<'_>,
        on_items: &mut dyn FnMut(&[ItemScore]),
    ) -> Result<()> {
        let switch = change.map(|c| Switch::new(c, &self.decoder.model.spec)).transpose()?.filter(|s| s.first_layer().is_some());
        let mut first = 0;
        for s in self.steps_for(switch.as_ref()) {
            let end = first + self.step(s).step.n_items();
            if end > known {
                ctx.check()?;
                let new = match &switch {
                    Some(switch) => stack::scores(self, s, &[switch], ctx)?.swap_remove(0),
                    None => self.baseline(s, ctx)?,
                };
                on_items(&new[known.saturating_sub(first)..]);
            }
            first = end;
        }
        Ok(())
    }

    /// Scores every item under each of the changes, several side by side where that is faster; the scores are those of
    /// [`EvalSession::evaluate`], bit for bit. `on_step` hears how many of the changes times items are done.
    ///
    /// # Errors
    /// As [`EvalSession::evaluate`].
    pub fn evaluate_many(&self, changes: &[Intervention], ctx: &Ctx<'_>, on_step: &mut dyn FnMut(usize)) -> Result<Vec<DomainScore>> {
        let spec = &self.decoder.model.spec;
        let switches = changes.iter().map(|c| Switch::new(c, spec)).collect::<Result<Vec<_>>>()?;
        let mut items: Vec<Vec<ItemScore>> = vec![Vec::with_capacity(self.n_items); changes.len()];
        let mut done = 0;
        for draws in [false, true] {
            let of: Vec<usize> = (0..switches.len()).filter(|&i| switches[i].draws() == draws).collect();
            let Some(&first) = of.first() else { continue };
            for s in self.steps_for(Some(&switches[first])) {
                for group in stack::groups(&switches, &of, &self.step(s).step, spec.n_layers) {
                    ctx.check()?;
                    let together: Vec<&Switch> = group.iter().map(|&i| &switches[i]).collect();
                    let scores = if together.iter().any(|t| t.first_layer().is_none()) {
                        vec![self.baseline(s, ctx)?; group.len()]
                    } else {
                        stack::scores(self, s, &together, ctx)?
                    };
                    for (&i, scores) in group.iter().zip(scores) {
                        done += scores.len();
                        items[i].extend(scores);
                    }
                    on_step(done);
                }
            }
        }
        Ok(items.into_iter().map(|items| self.score_of(items)).collect())
    }

    fn score_of(&self, items: Vec<ItemScore>) -> DomainScore {
        DomainScore { domain: self.name.clone(), kind: self.kind, items }
    }

    fn baseline(&self, s: usize, ctx: &Ctx<'_>) -> Result<Vec<ItemScore>> {
        let CachedStep { step, baseline, .. } = self.step(s);
        if let Some(known) = baseline.get() {
            return Ok(known.clone());
        }
        let (_, post) = self.last_rows(s, ctx)?;
        let scores = step.scores_at(&self.decoder, &post, ctx)?.swap_remove(0);
        Ok(baseline.get_or_init(|| scores).clone())
    }

    /// What the MLP of the last layer reads, and what that layer gives, at the scored rows of the unablated pass. (A parallel block reads
    /// `hook_resid_pre`.)
    pub(super) fn last_rows(&self, s: usize, ctx: &Ctx<'_>) -> Result<(Resid, Resid)> {
        if let (Some(mid), Some(post)) = (self.cache.get(s, Place::LastMid), self.cache.get(s, Place::LastPost)) {
            return Ok((mid, post));
        }
        let (decoder, step) = (&self.decoder, &self.step(s).step);
        let spec = &decoder.model.spec;
        let last = spec.n_layers - 1;
        let pre = self.resid_pre(s, last, ctx)?;
        let mut keep = Keep { point: HookPoint::ResidMid(last), values: Vec::new() };
        let post = decoder.block_forward_at(last, &step.batch, &pre, &step.at, &mut Cancellable { hooks: &mut keep, ctx })?;
        let read = if spec.residual == Residual::Parallel { step.at.of(&pre, spec.d_model) } else { keep.values };
        self.cache.put(s, Place::LastPost, &post);
        self.cache.put(s, Place::LastMid, &read);
        Ok((Arc::new(read), Arc::new(post)))
    }

    /// True where [`EvalSession::logits`] are worth their memory.
    pub(super) fn keeps_logits(&self) -> bool {
        self.keeps_logits
    }

    /// [`Decoder::undivided_logits`] of the unablated pass at the scored rows, whose last residual is `post`.
    pub(super) fn logits(&self, s: usize, post: &[f32]) -> Resid {
        self.step(s).logits.get_or_init(|| Arc::new(self.decoder.undivided_logits(post))).clone()
    }

    /// What the MLP of a layer reads, for all rows of the unablated pass.
    pub(super) fn mlp_input(&self, s: usize, layer: usize, ctx: &Ctx<'_>) -> Result<Resid> {
        if self.decoder.model.spec.residual == Residual::Parallel {
            return self.resid_pre(s, layer, ctx);
        }
        if let Some(held) = self.cache.get(s, Place::Mid(layer)) {
            return Ok(held);
        }
        let pre = self.resid_pre(s, layer, ctx)?;
        let mut resid = pre.to_vec();
        let step = &self.step(s).step;
        self.decoder.attention_forward(layer, &step.batch, &mut resid, &mut Cancellable { hooks: &mut NoHooks, ctx })?;
        if layer >= self.plan.mid_from {
            self.cache.put(s, Place::Mid(layer), &resid);
        }
        Ok(Arc::new(resid))
    }

    /// Unablated `hook_resid_pre` of `layer`, from the nearest cached layer before it; what it passes on the way is cached.
    pub(super) fn resid_pre(&self, s: usize, layer: usize, ctx: &Ctx<'_>) -> Result<Resid> {
        let (decoder, batch) = (&self.decoder, &self.step(s).step.batch);
        let nearest = (1..=layer).rev().find_map(|l| Some((l, self.cache.get(s, Place::Pre(l))?)));
        let (mut at, mut resid) = match nearest {
            Some((l, held)) if l == layer => return Ok(held),
            Some((l, held)) => (l, held.to_vec()),
            None => (0, decoder.embed(batch, &mut NoHooks)?),
        };
        while at < layer {
            ctx.check()?;
            self.run_block(s, at, &mut resid, ctx)?;
            at += 1;
            if self.plan.stride > 0 && at.is_multiple_of(self.plan.stride) {
                self.cache.put(s, Place::Pre(at), &resid);
            }
        }
        Ok(Arc::new(resid))
    }

    /// True when [`EvalSession::resid_pre`] has only to look it up.
    pub(super) fn has_resid_pre(&self, s: usize, layer: usize) -> bool {
        self.cache.holds(s, Place::Pre(layer))
    }

    /// One unablated layer over all rows of a step.
    pub(super) fn run_block(&self, s: usize, layer: usize, resid: &mut Vec<f32>, ctx: &Ctx<'_>) -> Result<()> {
        let batch = &self.step(s).step.batch;
        let wanted = layer >= self.plan.mid_from && !self.cache.holds(s, Place::Mid(layer));
        let point = if wanted { HookPoint::ResidMid(layer) } else { HookPoint::FinalNorm };
        let mut keep = Keep { point, values: Vec::new() };
        self.decoder.block_forward(layer, batch, resid, None, &mut Cancellable { hooks: &mut keep, ctx })?;
        if wanted {
            self.cache.put(s, Place::Mid(layer), &keep.values);
        }
        Ok(())
    }
}

/// Copies one tensor.
struct Keep {
    point: HookPoint,
    values: Vec<f32>,
}

impl Hooks for Keep {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.point
    }
    fn at(&mut self, _: HookPoint, _: &Batch, values: &mut [f32]) -> Result<()> {
        self.values = values.to_vec();
        Ok(())
    }
}

impl Plan {
    /// For residuals of `layer` bytes a layer, and `scored` bytes of the last layer's. First comes what the last layer needs, then
    /// `hook_resid_pre` of as many layers as fit evenly (layer 0's is the embedding and costs nothing), then `hook_resid_mid` from the back.
    fn of(layers: usize, layer: usize, scored: usize, room: usize, has_mid: bool) -> Self {
        let mut room = room.saturating_sub(2 * scored);
        let stride = (1..layers).find(|s| ((layers - 1) / s).saturating_mul(layer) <= room).unwrap_or(0);
        let mut mid_from = layers;
        if stride == 1 && has_mid {
            room -= (layers - 1) * layer;
            mid_from = (layers - 1).saturating_sub(room.checked_div(layer).unwrap_or(0));
        }
        // The last layer's own is kept at the scored rows only.
        Self { stride, mid_from: if mid_from >= layers - 1 { layers } else { mid_from } }
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn the_cache_thins_out_to_fit() {
        let plan = |layers, room| {
            let p = Plan::of(layers, 10, 1, room, true);
            (p.stride, p.mid_from)
        };
        // 2 for the scored rows; 8 layers have 7 residuals worth keeping, every second leaves 3, every fourth 1.
        assert_eq!(plan(8, 72), (1, 8));
        assert_eq!(plan(8, 71), (2, 8));
        assert_eq!(plan(8, 31), (3, 8));
        assert_eq!(plan(8, 12), (4, 8));
        assert_eq!(plan(8, 11), (0, 8));
        assert_eq!(plan(1, 100), (0, 1));
        // Whatever is left goes to the middles of the last layers but one.
        assert_eq!(plan(8, 92), (1, 5));
        assert_eq!(plan(8, 10_000), (1, 0));
        assert_eq!(Plan::of(8, 10, 1, 10_000, false).mid_from, 8);
    }
}
