//! Changes of a model at work on one step of items, side by side: each begins at its own first changed layer from what an unablated pass left
//! there, and from then on they run as one batch.

use super::EvalSession;
use crate::{
    base::{Ctx, Result},
    eval::{AblationAt, Cancellable, ItemScore, RowTags, Step, Switch, SwitchHooks},
    model::{Batch, Decoder, spec::Residual},
};

/// Rows that are enough for a matrix product to run at full speed; more changes side by side gain nothing.
const STACKED_ROWS: usize = 1024;
/// A rank-k correction pays while its neurons are at most this part of a layer's.
const RANK_PART: usize = 8;

/// Kept logits pay while the neurons are at most this part of the residual's width.
const LOGIT_PART: usize = 4;

/// Which of the changes `of` run together: by number, in the order of their first layer, those without one apart.
pub(super) fn groups(switches: &[Switch], of: &[usize], step: &Step, layers: usize) -> Vec<Vec<usize>> {
    let mut order = of.to_vec();
    let first = |i: usize| switches[i].first_layer();
    order.sort_by_key(|&i| first(i));
    let rows = |i: usize| match first(i) {
        None => 0,
        Some(l) if l + 1 == layers => step.at.rows.len(),
        Some(_) => step.batch.n_tokens(),
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut held = 0;
    for i in order {
        let alone = |i: usize| switches[i].at() == AblationAt::Answer;
        let fits = groups.last().is_some_and(|g| {
            let before = g[g.len() - 1];
            held + rows(i) <= STACKED_ROWS && first(before).is_some() == first(i).is_some() && !alone(before) && !alone(i)
        });
        match groups.last_mut() {
            Some(group) if fits => group.push(i),
            _ => {
                groups.push(vec![i]);
                held = 0;
            }
        }
        held += rows(i);
    }
    groups
}

/// Scores of a step's items under each of the changes, which are in the order of their first layer.
pub(super) fn scores(session: &EvalSession, s: usize, switches: &[&Switch], ctx: &Ctx<'_>) -> Result<Vec<Vec<ItemScore>>> {
    let (decoder, step) = (&session.decoder, &session.step(s).step);
    if let [one] = switches
        && one.at() == AblationAt::Answer
    {
        let rows = answer_rows(session, s, one, ctx)?;
        return step.scores_at(decoder, &rows, ctx);
    }
    let last = decoder.model.spec.n_layers - 1;
    let known: Vec<bool> = switches.iter().map(|w| moves_logits(session, w) && !step.at.rows.is_empty()).collect();
    if known.contains(&true) {
        let some = |want: bool| switches.iter().zip(&known).filter(|(_, k)| **k == want).map(|(w, _)| *w).collect::<Vec<_>>();
        let others = some(false);
        let mut moved = moved_scores(session, s, &some(true), ctx)?.into_iter();
        let mut run = if others.is_empty() { Vec::new() } else { scores(session, s, &others, ctx)? }.into_iter();
        return Ok(known.iter().filter_map(|k| if *k { moved.next() } else { run.next() }).collect());
    }
    let first = |i: usize| switches[i].first_layer().unwrap_or(0);
    let n = step.batch.n_tokens();
    let mut resid: Vec<f32> = Vec::new();
    // The first so many changes have begun.
    let mut begun = 0;
    let mut together = Stacked::new(step, 0);
    for layer in switches.first().map_or(last, |_| first(0))..last {
        ctx.check()?;
        if begun > 0 {
            let mut hooks = together.hooks(&switches[..begun], n);
            decoder.block_forward(layer, &together.batch, &mut resid, None, &mut Cancellable { hooks: &mut hooks, ctx })?;
        }
        let end = (begun..switches.len()).find(|&i| first(i) > layer).unwrap_or(switches.len());
        if end > begun {
            begin(session, s, layer, &switches[begun..end], &mut resid, ctx)?;
            begun = end;
            together = Stacked::new(step, begun);
        }
    }
    ctx.check()?;
    let mut rows = Vec::new();
    if begun > 0 {
        let at = step.at.repeat(&step.batch, begun);
        let tags = repeated(&step.at_tags, begun);
        let mut hooks = parts(&switches[..begun], step.at.rows.len(), &tags);
        rows = decoder.block_forward_at(last, &together.batch, &resid, &at, &mut Cancellable { hooks: &mut hooks, ctx })?;
    }
    if begun < switches.len() {
        begin(session, s, last, &switches[begun..], &mut rows, ctx)?;
    }
    if step.at.rows.is_empty() {
        // Nothing to score: as many empty answers as changes.
        return Ok(vec![step.scores_at(decoder, &[], ctx)?.swap_remove(0); switches.len()]);
    }
    step.scores_at(decoder, &rows, ctx)
}

/// Copies of a step's batch, one for each change.
struct Stacked {
    batch: Batch,
    tags: RowTags,
}

impl Stacked {
    fn new(step: &Step, copies: usize) -> Self {
        Self { batch: step.batch.repeat(copies), tags: repeated(&step.tags, copies) }
    }
    fn hooks<'a>(&'a self, switches: &[&'a Switch], rows: usize) -> SwitchHooks<'a> {
        parts(switches, rows, &self.tags)
    }
}

fn repeated(tags: &RowTags, copies: usize) -> RowTags {
    let mut all = RowTags::default();
    (0..copies).for_each(|_| all.append(tags));
    all
}

fn parts<'a>(switches: &[&'a Switch], rows: usize, tags: &'a RowTags) -> SwitchHooks<'a> {
    SwitchHooks { parts: switches.iter().enumerate().map(|(i, &s)| (s, i * rows..(i + 1) * rows)).collect(), tags }
}

/// Appends `hook_resid_post` of `layer`, the first that each of the changes touches: of all rows or, of the last layer, the scored ones.
fn begin(session: &EvalSession, s: usize, layer: usize, switches: &[&Switch], resid: &mut Vec<f32>, ctx: &Ctx<'_>) -> Result<()> {
    let (decoder, step) = (&session.decoder, &session.step(s).step);
    let spec = &decoder.model.spec;
    let is_last = layer + 1 == spec.n_layers;
    let (batch, tags) = if is_last { (&step.at.batch, &step.at_tags) } else { (&step.batch, &step.tags) };
    let few: Vec<&Switch> = switches.iter().copied().filter(|w| corrects(decoder, w, layer)).collect();
    let known = if few.is_empty() {
        None
    } else if is_last {
        Some(session.last_rows(s, ctx)?)
    } else {
        Some((session.mlp_input(s, layer, ctx)?, session.resid_pre(s, layer + 1, ctx)?))
    };
    let correction = known.map(|(read, post)| Correction::new(decoder, layer, &few, &read, post));
    for switch in switches {
        ctx.check()?;
        if let Some(correction) = correction.as_ref().filter(|_| corrects(decoder, switch, layer)) {
            resid.extend(correction.of(decoder, switch, batch, tags));
            continue;
        }
        let mut hooks = SwitchHooks::one(switch, tags);
        let mut hooks = Cancellable { hooks: &mut hooks, ctx };
        if !switch.changes_heads(layer) && spec.residual != Residual::Parallel {
            let mid = if is_last { session.last_rows(s, ctx)?.0 } else { session.mlp_input(s, layer, ctx)? };
            let mut mine = mid.to_vec();
            decoder.mlp_forward(layer, batch, &mut mine, &mut hooks)?;
            resid.extend(mine);
        } else if is_last {
            let pre = session.resid_pre(s, layer, ctx)?;
            resid.extend(decoder.block_forward_at(layer, &step.batch, &pre, &step.at, &mut hooks)?);
        } else {
            let mut mine = session.resid_pre(s, layer, ctx)?.to_vec();
            decoder.block_forward(layer, &step.batch, &mut mine, None, &mut hooks)?;
            resid.extend(mine);
        }
    }
    Ok(())
}

/// True where a change is made by moving the kept logits.
fn moves_logits(session: &EvalSession, switch: &Switch) -> bool {
    let spec = &session.decoder.model.spec;
    let last = spec.n_layers - 1;
    session.keeps_logits()
        && switch.first_layer() == Some(last)
        && corrects(&session.decoder, switch, last)
        && switch.neurons(last).len() * LOGIT_PART <= spec.d_model
}

/// Scores under changes of a few neurons of the last layer each: kept logits and what the neurons write to them.
fn moved_scores(session: &EvalSession, s: usize, switches: &[&Switch], ctx: &Ctx<'_>) -> Result<Vec<Vec<ItemScore>>> {
    let (decoder, step) = (&session.decoder, &session.step(s).step);
    let last = decoder.model.spec.n_layers - 1;
    let (read, post) = session.last_rows(s, ctx)?;
    let logits = session.logits(s, &post);
    let correction = Correction::new(decoder, last, switches, &read, post);
    let moved = |switch: &&Switch| {
        ctx.check()?;
        let (mine, delta) = correction.delta(switch, &step.at.batch, &step.at_tags);
        step.scores_moved(decoder, &correction.moved(decoder, &mine, &delta), &logits, &mine, &delta)
    };
    switches.iter().map(moved).collect()
}

/// True where the change of a layer is made by a rank-k correction: decided by the change alone.
fn corrects(decoder: &Decoder, switch: &Switch, layer: usize) -> bool {
    decoder.adds_neurons() && !switch.changes_heads(layer) && switch.neurons(layer).len() * RANK_PART <= decoder.model.spec.d_mlp
}

/// What rank-k corrections of one layer share: the activations of all their neurons, and the residual that they are added to.
struct Correction {
    layer: usize,
    /// Ascending.
    neurons: Vec<usize>,
    /// `[rows, neurons]`
    values: Vec<f32>,
    post: std::sync::Arc<Vec<f32>>,
}

impl Correction {
    fn new(decoder: &Decoder, layer: usize, switches: &[&Switch], read: &[f32], post: std::sync::Arc<Vec<f32>>) -> Self {
        let mut neurons: Vec<usize> = switches.iter().flat_map(|s| s.neurons(layer)).collect();
        neurons.sort_unstable();
        neurons.dedup();
        let values = decoder.neurons_at(layer, read, &neurons);
        Self { layer, neurons, values, post }
    }

    /// `hook_resid_post` under one change.
    fn of(&self, decoder: &Decoder, switch: &Switch, batch: &Batch, tags: &RowTags) -> Vec<f32> {
        let (mine, delta) = self.delta(switch, batch, tags);
        self.moved(decoder, &mine, &delta)
    }

    fn moved(&self, decoder: &Decoder, mine: &[usize], delta: &[f32]) -> Vec<f32> {
        let mut resid = self.post.to_vec();
        decoder.add_neurons(self.layer, mine, delta, &mut resid);
        resid
    }

    /// The neurons of one change, and what it adds to their activations, `[rows, neurons]`.
    fn delta(&self, switch: &Switch, batch: &Batch, tags: &RowTags) -> (Vec<usize>, Vec<f32>) {
        let mine: Vec<usize> = switch.neurons(self.layer).collect();
        let columns: Vec<usize> = mine.iter().map(|&i| self.neurons.partition_point(|&j| j < i)).collect();
        let old: Vec<f32> = self.values.chunks_exact(self.neurons.len().max(1)).flat_map(|row| columns.iter().map(|&c| row[c])).collect();
        let mut delta = old.clone();
        switch.apply_packed(self.layer, &batch.positions, tags.all(), &mut delta);
        delta.iter_mut().zip(&old).for_each(|(new, old)| *new -= old);
        (mine, delta)
    }
}

/// The last `hook_resid_post` at the scored rows under a change of these rows alone: what stands before them stays as it was, so from the first
/// changed layer on only they are computed, on the unablated keys and values of the others.
fn answer_rows(session: &EvalSession, s: usize, switch: &Switch, ctx: &Ctx<'_>) -> Result<Vec<f32>> {
    let (decoder, step) = (&session.decoder, &session.step(s).step);
    let (layers, d) = (decoder.model.spec.n_layers, decoder.model.spec.d_model);
    let first = switch.first_layer().unwrap_or(0);
    let mut base = session.resid_pre(s, first, ctx)?.to_vec();
    let mut rows: Vec<f32> = step.at.of(&base, d);
    for layer in first..layers {
        ctx.check()?;
        let unablated = (layer + 1 < layers).then(|| -> Result<Vec<f32>> {
            if session.has_resid_pre(s, layer + 1) {
                return Ok(session.resid_pre(s, layer + 1, ctx)?.to_vec());
            }
            let mut next = base.clone();
            session.run_block(s, layer, &mut next, ctx)?;
            Ok(next)
        });
        let next = unablated.transpose()?;
        step.at.put(&rows, &mut base, d);
        let mut hooks = SwitchHooks::one(switch, &step.at_tags);
        rows = decoder.block_forward_at(layer, &step.batch, &base, &step.at, &mut Cancellable { hooks: &mut hooks, ctx })?;
        base = next.unwrap_or_default();
    }
    Ok(rows)
}
