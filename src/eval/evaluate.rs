//! Scores a domain, step by step.

use super::{
    DomainScore, Intervention, ItemScore, Switch, SwitchHooks,
    prepared::{Limits, Sharing, prepare},
};
use crate::{
    base::{Ctx, Error, HookPoint, Result},
    data::{Domain, Item},
    model::{Batch, Decoder, Hooks, NoHooks},
};
use std::collections::BTreeSet;

/// Which items are scored and how.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalConfig {
    /// At most so many, the first of the file; `None`: all.
    pub max_items: Option<usize>,
    /// Lines left out: the rows that a neuron set was chosen on must not also judge it.
    pub exclude_lines: BTreeSet<usize>,
    pub max_tokens: usize,
    pub batch_tokens: usize,
    /// See [`Limits::share`].
    pub share: Sharing,
}

impl Default for EvalConfig {
    fn default() -> Self {
        let Limits { max_tokens, batch_tokens, share } = Limits::default();
        Self { max_items: None, exclude_lines: BTreeSet::new(), max_tokens, batch_tokens, share }
    }
}

impl EvalConfig {
    pub fn limits(&self) -> Limits {
        Limits { max_tokens: self.max_tokens, batch_tokens: self.batch_tokens, share: self.share }
    }
    /// The items that are scored, in file order.
    ///
    /// # Errors
    /// When none is left.
    pub fn choose(&self, domain: &Domain) -> Result<Vec<Item>> {
        let kept = domain.items.iter().filter(|i| !self.exclude_lines.contains(&i.line));
        let items: Vec<Item> = kept.take(self.max_items.unwrap_or(usize::MAX)).cloned().collect();
        if items.is_empty() {
            return Err(Error::invalid(format!(
                "domain {}: none of its {} items is left to evaluate ({} were used for the selection)",
                domain.name,
                domain.items.len(),
                self.exclude_lines.len()
            )));
        }
        Ok(items)
    }
}

/// Hooks that also end the pass, at the next matrix, once the work is cancelled.
pub struct Cancellable<'a, 'c> {
    pub hooks: &'a mut dyn Hooks,
    pub ctx: &'a Ctx<'c>,
}

impl Hooks for Cancellable<'_, '_> {
    fn wants(&self, point: HookPoint) -> bool {
        self.hooks.wants(point) || (self.ctx.cancel.is_cancelled() && !matches!(point, HookPoint::Pattern(_)))
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        self.ctx.check()?;
        if self.hooks.wants(point) { self.hooks.at(point, batch, values) } else { Ok(()) }
    }
}

/// Scores the domain by running every layer over all of it, the last at the scored positions: what an ablation is held against. `on_items` gets the scores of every step as soon as they are there, in order.
///
/// # Errors
/// When no item is left, one cannot be scored, a number is not finite, or the work is cancelled.
pub fn evaluate(
    decoder: &Decoder,
    domain: &Domain,
    config: &EvalConfig,
    intervention: Option<&Intervention>,
    ctx: &Ctx<'_>,
    on_items: &mut dyn FnMut(&[ItemScore]),
) -> Result<DomainScore> {
    let spec = &decoder.model.spec;
    let switch = intervention.map(|i| Switch::new(i, spec)).transpose()?;
    let items = config.choose(domain)?;
    let most = if switch.as_ref().is_some_and(Switch::draws) { Sharing::Choices } else { Sharing::Questions };
    let limits = Limits { share: config.share.min(most), ..config.limits() };
    let steps = prepare(&domain.name, domain.kind, &items, &decoder.model.tokenizer, spec, limits, ctx)?;
    let mut scores = Vec::with_capacity(items.len());
    for step in &steps {
        ctx.progress(format!("scoring {}", domain.name), scores.len(), items.len(), "items");
        let hooked = |tags| switch.as_ref().map(|s| SwitchHooks::one(s, tags));
        let (mut none, mut switched) = (NoHooks, hooked(&step.tags));
        let mut hooks = Cancellable { hooks: switched.as_mut().map_or(&mut none, |s| s as &mut dyn Hooks), ctx };
        let mut resid = decoder.embed(&step.batch, &mut hooks)?;
        for layer in 0..spec.n_layers - 1 {
            ctx.check()?;
            decoder.block_forward(layer, &step.batch, &mut resid, None, &mut hooks)?;
        }
        // Nothing looks at the last layer's other rows; those that are looked at have the bits of a whole pass.
        let (mut none, mut switched) = (NoHooks, hooked(&step.at_tags));
        let mut hooks = Cancellable { hooks: switched.as_mut().map_or(&mut none, |s| s as &mut dyn Hooks), ctx };
        let rows = match step.at.rows.is_empty() {
            true => Vec::new(),
            false => decoder.block_forward_at(spec.n_layers - 1, &step.batch, &resid, &step.at, &mut hooks)?,
        };
        let new = step.scores_at(decoder, &rows, ctx)?.swap_remove(0);
        on_items(&new);
        scores.extend(new);
    }
    ctx.progress(format!("scoring {}", domain.name), scores.len(), items.len(), "items");
    Ok(DomainScore { domain: domain.name.clone(), kind: domain.kind, items: scores })
}
