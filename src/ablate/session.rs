//! A domain prepared for being evaluated again and again while neurons are switched: tokens, the baseline's scores, and a cache of residuals, so
//! that a change in layer l runs the layers from l on only. The arithmetic of those layers is the same as in a full pass, so scores are
//! equal bit for bit; nothing is approximated.

use crate::{
    base::{Ctx, Result},
    data::{DomainKind, Item},
    eval::{DomainScore, Intervention, ItemScore, Limits, Step, Switch, prepare, run_blocks},
    model::{Decoder, NoHooks},
};
use std::sync::OnceLock;

/// What a session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    pub eval: Limits,
    /// Bytes of cached residuals. With too few for every layer, every second, third... layer is kept.
    pub cache_bytes: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { eval: Limits::default(), cache_bytes: 256 << 20 }
    }
}

/// Shared between threads freely: the caches fill themselves once.
pub struct EvalSession {
    decoder: Decoder,
    name: String,
    kind: DomainKind,
    n_items: usize,
    steps: Vec<CachedStep>,
    /// `hook_resid_pre` is kept for layers that are multiples of this; 0: for none.
    stride: usize,
}

struct CachedStep {
    step: Step,
    /// Unablated `hook_resid_pre` of layers `stride`, `2 * stride`...
    resid: Vec<OnceLock<Vec<f32>>>,
    /// Scores with nothing switched.
    baseline: OnceLock<Vec<ItemScore>>,
}

impl EvalSession {
    /// Tokenises the items; runs no model yet.
    ///
    /// # Errors
    /// When the tokenizer fails, an item cannot be scored, or the work is cancelled.
    pub fn new(decoder: Decoder, name: &str, kind: DomainKind, items: &[Item], limits: SessionLimits, ctx: &Ctx<'_>) -> Result<Self> {
        let spec = &decoder.model.spec;
        let steps = prepare(name, kind, items, &decoder.model.tokenizer, spec.max_positions, limits.eval, ctx)?;
        let tokens: usize = steps.iter().map(|s| s.batch.n_tokens()).sum();
        let stride = stride(spec.n_layers, tokens * spec.d_model * size_of::<f32>(), limits.cache_bytes);
        let slots = (spec.n_layers - 1).checked_div(stride).unwrap_or(0);
        let cached = |step| CachedStep { step, resid: (0..slots).map(|_| OnceLock::new()).collect(), baseline: OnceLock::new() };
        let steps = steps.into_iter().map(cached).collect();
        Ok(Self { name: name.to_owned(), kind, n_items: items.len(), steps, stride, decoder })
    }

    pub fn n_items(&self) -> usize {
        self.n_items
    }
    pub fn domain(&self) -> &str {
        &self.name
    }
    /// Bytes of residuals held now.
    pub fn cached_bytes(&self) -> usize {
        let held = self.steps.iter().flat_map(|s| &s.resid).filter_map(OnceLock::get);
        held.map(|r| r.len() * size_of::<f32>()).sum()
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
        Ok(DomainScore { domain: self.name.clone(), kind: self.kind, items })
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
        for cached in &self.steps {
            let end = first + cached.step.n_items();
            if end > known {
                ctx.check()?;
                let new = cached.scores(&self.decoder, self.stride, switch.as_ref(), ctx)?;
                on_items(&new[known.saturating_sub(first)..]);
            }
            first = end;
        }
        Ok(())
    }
}

impl CachedStep {
    fn scores(&self, decoder: &Decoder, stride: usize, switch: Option<&Switch>, ctx: &Ctx<'_>) -> Result<Vec<ItemScore>> {
        let layers = decoder.model.spec.n_layers;
        let Some(changed) = switch.and_then(Switch::first_layer) else {
            if let Some(known) = self.baseline.get() {
                return Ok(known.clone());
            }
            let resid = self.resid_pre(decoder, stride, layers, ctx)?;
            let scores = self.step.scores(decoder, &resid)?;
            return Ok(self.baseline.get_or_init(|| scores).clone());
        };
        let mut resid = self.resid_pre(decoder, stride, changed, ctx)?;
        run_blocks(decoder, &self.step.batch, &mut resid, changed..layers, switch, ctx)?;
        self.step.scores(decoder, &resid)
    }

    /// Unablated `hook_resid_pre` of `layer` (or, for the number of layers, the last `hook_resid_post`), from the nearest cached layer before
    /// it; what it passes on the way is cached.
    fn resid_pre(&self, decoder: &Decoder, stride: usize, layer: usize, ctx: &Ctx<'_>) -> Result<Vec<f32>> {
        let batch = &self.step.batch;
        let nearest = (0..self.resid.len()).rev().filter(|i| (i + 1) * stride <= layer).find_map(|i| Some((i + 1, self.resid[i].get()?)));
        let (mut at, mut resid) = match nearest {
            Some((slot, held)) => (slot * stride, held.clone()),
            None => (0, decoder.embed(batch, &mut NoHooks)?),
        };
        while at < layer {
            let next = at.checked_div(stride).map_or(layer, |slot| ((slot + 1) * stride).min(layer));
            run_blocks(decoder, batch, &mut resid, at..next, None, ctx)?;
            at = next;
            if stride > 0
                && at % stride == 0
                && let Some(slot) = self.resid.get(at / stride - 1)
            {
                slot.get_or_init(|| resid.clone());
            }
        }
        Ok(resid)
    }
}

/// The smallest distance of cached layers whose residuals fit; layer 0 is the embedding and costs nothing. 0: not even one fits.
fn stride(layers: usize, bytes_a_layer: usize, cache_bytes: usize) -> usize {
    (1..layers).find(|s| ((layers - 1) / s).saturating_mul(bytes_a_layer) <= cache_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::stride;

    #[test]
    fn the_cache_thins_out_to_fit() {
        // 8 layers have 7 residuals worth keeping, every second leaves 3, every fourth 1.
        assert_eq!(stride(8, 10, 70), 1);
        assert_eq!(stride(8, 10, 69), 2);
        assert_eq!(stride(8, 10, 29), 3);
        assert_eq!(stride(8, 10, 10), 4);
        assert_eq!(stride(8, 10, 9), 0);
        assert_eq!(stride(1, 10, 100), 0);
    }
}
