//! Scores a domain, step by step.

use super::{DomainScore, Intervention, ItemScore, Switch, prepared::Limits, prepared::prepare};
use crate::{
    base::{Ctx, Error, Result},
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
}

impl Default for EvalConfig {
    fn default() -> Self {
        let Limits { max_tokens, batch_tokens } = Limits::default();
        Self { max_items: None, exclude_lines: BTreeSet::new(), max_tokens, batch_tokens }
    }
}

impl EvalConfig {
    pub fn limits(&self) -> Limits {
        Limits { max_tokens: self.max_tokens, batch_tokens: self.batch_tokens }
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

/// Blocks `from..` on `resid`, the `hook_resid_pre` of block `from`. Asks before every block whether to stop.
///
/// # Errors
/// Of the forward pass; when the work is cancelled.
pub fn run_blocks(
    decoder: &Decoder,
    batch: &Batch,
    resid: &mut [f32],
    layers: std::ops::Range<usize>,
    switch: Option<&Switch>,
    ctx: &Ctx<'_>,
) -> Result<()> {
    let mut switched = switch;
    let mut none = NoHooks;
    for layer in layers {
        ctx.check()?;
        let hooks: &mut dyn Hooks = match &mut switched {
            Some(s) => s,
            None => &mut none,
        };
        decoder.block_forward(layer, batch, resid, None, hooks)?;
    }
    Ok(())
}

/// Scores the domain. `on_items` gets the scores of every step as soon as they are there, in order.
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
    let steps = prepare(&domain.name, domain.kind, &items, &decoder.model.tokenizer, spec.max_positions, config.limits(), ctx)?;
    let mut scores = Vec::with_capacity(items.len());
    for step in &steps {
        ctx.progress(format!("scoring {}", domain.name), scores.len(), items.len(), "items");
        let mut resid = decoder.embed(&step.batch, &mut NoHooks)?;
        run_blocks(decoder, &step.batch, &mut resid, 0..spec.n_layers, switch.as_ref(), ctx)?;
        let new = step.scores(decoder, &resid)?;
        on_items(&new);
        scores.extend(new);
    }
    ctx.progress(format!("scoring {}", domain.name), scores.len(), items.len(), "items");
    Ok(DomainScore { domain: domain.name.clone(), kind: domain.kind, items: scores })
}
