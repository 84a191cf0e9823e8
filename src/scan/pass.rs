//! One pass over all samples of all domains: forward layer by layer, objective, backward layer by layer.
//!
//! Where memory allows, every block's tape is kept; otherwise only the residual stream that enters each block, and blocks run forward a
//! second time on the way back. Where one layer's inputs and gradients are too much at once, the layer's backward is repeated for a few matrices
//! at a time. All three give the same numbers.

use super::{
    lane::{Lane, Load},
    metrics::{mean_abs_activation::add_abs_activation, mean_activation::add_activation},
    plan::{Input, Limits, MemoryPlan, Sizes, micro_batches},
    scanner::{CallSize, LayerSums, Scanner},
    taps::{Gathered, ScanTaps, Seen, Sink},
};
use crate::{
    base::{Ctx, Error, HookPoint, Result},
    compute::SampleSpan,
    model::{Batch, BlockTape, Decoder, Hooks, Matrix, NoHooks, Objective, RowsAt},
};

/// Tokens of one sample and what is differentiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub tokens: Vec<u32>,
    pub objective: Objective,
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    pub means: bool,
    pub pairs: bool,
    pub relevance: bool,
    pub mean: bool,
    pub mean_abs: bool,
}

impl Wants {
    pub fn scan(self) -> bool {
        self.means || self.pairs
    }
    pub fn backward(self) -> bool {
        self.scan() || self.relevance
    }
}

pub(super) struct PassInput<'a> {
    pub decoder: &'a Decoder,
    /// Samples of all domains one after another.
    pub sequences: &'a [&'a Sequence],
    pub domain_of: &'a [usize],
    pub n_domains: usize,
    pub pairs: &'a [(usize, usize)],
    /// Layers whose weights are scanned, ascending; `None`: all.
    pub layers: Option<&'a [usize]>,
    pub gamma: f32,
    pub wants: Wants,
    pub limits: Limits,
    pub sample_name: &'a (dyn Fn(usize) -> String + Sync),
}

pub(super) struct PassOutput {
    /// The objective of each sample.
    pub values: Vec<f32>,
    pub layers: Vec<LayerSums>,
}

/// Counts work in units of one token through one block forward, reports it in a unit that people read.
pub(super) struct Meter<'a> {
    pub ctx: &'a Ctx<'a>,
    pub phase: &'static str,
    pub done: f64,
    pub total: f64,
    /// `total` in the unit reported.
    pub units: usize,
}

/// Relative cost of a block's backward and of its fused scan, one forward being 1.
const BACKWARD: f64 = 1.2;
const SCAN: f64 = 1.3;

impl PassInput<'_> {
    fn is_scanned(&self, layer: usize) -> bool {
        self.wants.scan() && self.layers.is_none_or(|chosen| chosen.contains(&layer))
    }
    /// The lowest layer that the way back reaches.
    fn lowest(&self) -> usize {
        self.layers.map_or(0, |chosen| chosen.iter().copied().min().unwrap_or(self.decoder.model.spec.n_layers))
    }
    /// Of the fused scan of one layer, in the meter's units: a product of two samples costs as much as one more token.
    fn scan_cost(&self) -> f64 {
        let tokens: usize = self.sequences.iter().map(|s| s.tokens.len()).sum();
        SCAN * (tokens + self.pairs.len()) as f64
    }
}

impl Meter<'_> {
    pub fn cost(input: &PassInput<'_>) -> f64 {
        let tokens = input.sequences.iter().map(|s| s.tokens.len()).sum::<usize>() as f64;
        let n_layers = input.decoder.model.spec.n_layers;
        let scanned = (0..n_layers).filter(|&l| input.is_scanned(l)).count() as f64;
        let back = if input.wants.backward() { (n_layers - input.lowest()) as f64 } else { 0.0 };
        tokens * (n_layers as f64 + BACKWARD * back) + input.scan_cost() * scanned
    }
    fn add(&mut self, cost: f64) -> Result<()> {
        self.done += cost;
        let share = (self.done / self.total.max(1.0)).min(1.0);
        self.ctx.progress(self.phase, (share * self.units as f64) as usize, self.units, "sample-layers");
        self.ctx.check()
    }
}

/// A micro-batch on its way through the layers.
struct Part {
    batch: Batch,
    first_token: usize,
    samples: std::ops::Range<usize>,
    /// The residual stream on the way up, its gradient on the way down.
    resid: Vec<f32>,
    /// The rows of the last layer that the objectives look at; `None` where all of it is computed.
    last: Option<RowsAt>,
}

impl Part {
    /// Runs a block, of the last one only what is looked at.
    fn forward(&mut self, layer: usize, input: &PassInput<'_>, tape: Option<&mut BlockTape>, hooks: &mut dyn Hooks) -> Result<()> {
        let decoder = input.decoder;
        match (&self.last, tape) {
            (Some(at), Some(tape)) if layer + 1 == decoder.model.spec.n_layers => {
                decoder.block_forward_for(layer, &self.batch, &mut self.resid, at, tape, hooks)
            }
            (_, tape) => decoder.block_forward(layer, &self.batch, &mut self.resid, tape, hooks),
        }
    }
}

/// The rows of a batch that its objectives look at, if they are few enough to be worth it.
fn looked_at(batch: &Batch, sequences: &[&Sequence]) -> Option<RowsAt> {
    let rows = |(i, s): (usize, &&Sequence)| {
        let span = batch.span(i);
        match s.objective {
            Objective::MaxLogit => span.end.saturating_sub(1).max(span.start)..span.end,
            Objective::Loss { from } => {
                (span.start + from).saturating_sub(1).clamp(span.start, span.end)..span.end.saturating_sub(1).max(span.start)
            }
        }
    };
    let rows: Vec<usize> = sequences.iter().enumerate().flat_map(rows).collect();
    (!rows.is_empty() && 2 * rows.len() <= batch.n_tokens()).then(|| RowsAt::new(batch, rows))
}

/// How a block's tape comes about on the way back.
enum Kept {
    Tapes(Vec<Vec<BlockTape>>),
    Residuals(Vec<Vec<Vec<f32>>>),
}

pub(super) fn run(input: &PassInput<'_>, meter: &mut Meter<'_>) -> Result<PassOutput> {
    let model = &input.decoder.model;
    let spec = &model.spec;
    let (sizes, expected, ctx) = (Sizes::new(spec), spec.matrices(), meter.ctx);
    let lengths: Vec<usize> = input.sequences.iter().map(|s| s.tokens.len()).collect();
    let tokens: usize = lengths.iter().sum();
    let mut at = 0;
    let samples: Vec<SampleSpan> = lengths
        .iter()
        .zip(input.domain_of)
        .map(|(&n, &domain)| {
            at += n;
            SampleSpan { start: at - n, end: at, domain }
        })
        .collect();
    let zeros = |layer: usize| {
        let pairs = if input.is_scanned(layer) { input.pairs.len() } else { 0 };
        LayerSums::zeros(samples.len(), pairs, input.n_domains, input.wants.means, spec.d_mlp, spec.attention.n_heads)
    };
    let mut sums: Vec<LayerSums> = (0..spec.n_layers).map(zeros).collect();
    let lowest = input.lowest();
    let mut parts: Vec<Part> = micro_batches(&lengths, input.limits.tokens_at_once(&sizes))
        .into_iter()
        .map(|range| {
            let sequences = &input.sequences[range.clone()];
            let batch = Batch::new(&sequences.iter().map(|s| &s.tokens[..]).collect::<Vec<_>>());
            // Mean activations are those of all tokens.
            let last = if input.wants.mean || input.wants.mean_abs { None } else { looked_at(&batch, sequences) };
            Part { batch, first_token: samples[range.start].start, samples: range, resid: Vec::new(), last }
        })
        .collect();
    let device = input.decoder.scan_device().filter(|_| input.wants.scan());
    let loads = match device {
        // One is scanned while the next is filled.
        Some(_) => 2,
        None => usize::from(parts.len() > 1 && input.wants.scan()),
    };
    let plan = MemoryPlan::new(spec, tokens, loads, input.limits)?;

    // Up
    let mut kept = match plan.keep_tapes {
        true => Kept::Tapes((0..spec.n_layers).map(|_| input.decoder.take_tapes(parts.len())).collect()),
        false => Kept::Residuals(vec![Vec::new(); spec.n_layers]),
    };
    for part in &mut parts {
        ctx.check()?;
        part.resid = input.decoder.embed(&part.batch, &mut NoHooks)?;
        verify_resid(HookPoint::Embed, part, input)?;
    }
    for layer in 0..spec.n_layers {
        for (p, part) in parts.iter_mut().enumerate() {
            let mut means =
                MeanHooks { layer, domains: &input.domain_of[part.samples.clone()], wants: input.wants, sums: &mut sums[layer] };
            let tape = match &mut kept {
                Kept::Tapes(tapes) if input.wants.backward() && layer >= lowest => Some(&mut tapes[layer][p]),
                Kept::Residuals(residuals) if input.wants.backward() && layer >= lowest => {
                    residuals[layer].push(part.resid.clone());
                    None
                }
                _ => None,
            };
            part.forward(layer, input, tape, &mut means)?;
            verify_resid(HookPoint::ResidPost(layer), part, input)?;
            meter.add(part.batch.n_tokens() as f64)?;
        }
    }

    // Turn
    let mut values = Vec::with_capacity(samples.len());
    for part in &mut parts {
        ctx.check()?;
        let objectives: Vec<Objective> = input.sequences[part.samples.clone()].iter().map(|s| s.objective).collect();
        let turned = input.decoder.objective(&part.batch, &part.resid, &objectives)?;
        part.resid = turned.d_resid;
        values.extend(turned.values);
    }
    if let Some(s) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::numeric("objective", format!("{} for {}", values[s], (input.sample_name)(s))));
    }

    // Down
    if input.wants.backward() {
        let scanner = Scanner {
            backend: &*input.decoder.backend,
            weights: &model.weights,
            samples: &samples,
            n_domains: input.n_domains,
            pairs: input.pairs,
            gamma: input.gamma,
            want_means: input.wants.means,
            sample_name: input.sample_name,
            call: CallSize::default(),
            ctx,
        };
        std::thread::scope(|scope| {
            let mut lane = device.map(|device| Lane::start(scope, device, &scanner));
            let mut scratch = BlockTape::default();
            for layer in (lowest..spec.n_layers).rev() {
                let scanned = input.is_scanned(layer);
                for (g, group) in plan.groups.iter().enumerate() {
                    let last = g + 1 == plan.groups.len();
                    if !scanned && !last {
                        continue;
                    }
                    let mut gathered = (loads > 0 && scanned).then(|| match &mut lane {
                        Some(lane) => lane.gathered(&sizes, group, tokens),
                        None => Gathered::new(&sizes, group, tokens),
                    });
                    for (p, part) in parts.iter_mut().enumerate() {
                        let tape = match &kept {
                            Kept::Tapes(tapes) => &tapes[layer][p],
                            Kept::Residuals(residuals) => {
                                let gradient = std::mem::replace(&mut part.resid, residuals[layer][p].clone());
                                part.forward(layer, input, Some(&mut scratch), &mut NoHooks)?;
                                part.resid = gradient;
                                &scratch
                            }
                        };
                        let mut taps = ScanTaps {
                            layer,
                            batch: &part.batch,
                            domains: &input.domain_of[part.samples.clone()],
                            first_token: part.first_token,
                            of: group,
                            sink: match &mut gathered {
                                Some(all) => Sink::Gather(all),
                                None if scanned => Sink::Scan(&scanner),
                                None => Sink::None,
                            },
                            relevance: (input.wants.relevance && last).then_some(spec.attention.head_dim),
                            sums: &mut sums[layer],
                            ctx,
                            seen: Seen::default(),
                        };
                        let mut copy = if last { Vec::new() } else { part.resid.clone() };
                        let resid = if last { &mut part.resid } else { &mut copy };
                        match &part.last {
                            Some(at) if layer + 1 == spec.n_layers => {
                                input.decoder.block_backward_for(layer, &part.batch, at, tape, resid, layer > lowest, &mut taps)?;
                            }
                            _ => input.decoder.block_backward(layer, &part.batch, tape, resid, layer > lowest, &mut taps)?,
                        }
                        taps.seen.complete(layer, expected)?;
                        if last {
                            // Without loads there is one part, which was scanned on the way.
                            let direct = if loads == 0 && scanned { input.scan_cost() } else { 0.0 };
                            meter.add(part.batch.n_tokens() as f64 * BACKWARD + direct)?;
                        }
                    }
                    let share = |m: Matrix| (sizes.input(m) * sizes.output(m)) as f64 / sizes.params as f64;
                    match (&mut lane, gathered) {
                        (Some(lane), Some(gathered)) => {
                            let block = model.weights.block(layer);
                            lane.put(Load { layer, block, group, gathered }, &mut |layer, m, done| {
                                scanner.add(layer, m, 0, done, &mut sums[layer])?;
                                meter.add(input.scan_cost() * share(m))
                            })?;
                        }
                        (None, Some(all)) => {
                            for alike in group.chunk_by(|a, b| Input::of(*a) == Input::of(*b)) {
                                let of: Vec<(Matrix, &[f32])> = alike.iter().map(|&m| (m, all.delta(m))).collect();
                                scanner.scan(layer, &of, &samples, all.x(alike[0]), &mut sums[layer])?;
                                meter.add(input.scan_cost() * alike.iter().map(|&m| share(m)).sum::<f64>())?;
                            }
                        }
                        _ => {}
                    }
                }
                if let Kept::Residuals(residuals) = &mut kept {
                    residuals[layer] = Vec::new();
                }
                verify_layer(layer, &sums[layer])?;
            }
            let Some(lane) = lane else { return Ok(()) };
            lane.finish(&mut |layer, m, done| {
                scanner.add(layer, m, 0, done, &mut sums[layer])?;
                let share = (sizes.input(m) * sizes.output(m)) as f64 / sizes.params as f64;
                meter.add(input.scan_cost() * share)
            })
        })?;
    }
    if let Kept::Tapes(tapes) = kept {
        // The first are taken first, each for the layer that it was.
        input.decoder.return_tapes(tapes.into_iter().rev().flatten());
    }
    Ok(PassOutput { values, layers: sums })
}

/// Sums `mlp.hook_post` on the way up.
struct MeanHooks<'a> {
    layer: usize,
    domains: &'a [usize],
    wants: Wants,
    sums: &'a mut LayerSums,
}

impl Hooks for MeanHooks<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point == HookPoint::MlpPost(self.layer) && (self.wants.mean || self.wants.mean_abs)
    }
    fn changes(&self, _: HookPoint) -> bool {
        false
    }
    fn at(&mut self, _: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        if self.wants.mean {
            add_activation(batch, self.domains, values, &mut self.sums.mean);
        }
        if self.wants.mean_abs {
            add_abs_activation(batch, self.domains, values, &mut self.sums.mean_abs);
        }
        Ok(())
    }
}

/// A value that is not finite is named where it first appears, not where it ends up.
fn verify_resid(point: HookPoint, part: &Part, input: &PassInput<'_>) -> Result<()> {
    if input.decoder.backend.all_finite(&part.resid) {
        return Ok(());
    }
    let at = part.resid.iter().position(|v| !v.is_finite()).unwrap_or(0);
    let d = input.decoder.model.spec.d_model;
    let sample = (0..part.batch.n_sequences()).find(|&i| part.batch.span(i).contains(&(at / d))).unwrap_or(0);
    let name = (input.sample_name)(part.samples.start + sample);
    Err(Error::numeric(point.to_string(), format!("column {} of {name} is {}, expected a finite number", at % d, part.resid[at])))
}

fn verify_layer(layer: usize, sums: &LayerSums) -> Result<()> {
    let at =
        |point: HookPoint, what: &str, index: usize| Error::numeric(point.to_string(), format!("{what} {index}: relevance is not finite"));
    let bad = |all: &[Vec<f64>]| all.iter().find_map(|d| d.iter().position(|v| !v.is_finite()));
    if let Some(j) = bad(&sums.relevance).or_else(|| bad(&sums.attribution)) {
        return Err(at(HookPoint::MlpPost(layer), "neuron", j));
    }
    if let Some(h) = bad(&sums.head_relevance) {
        return Err(at(HookPoint::Z(layer), "head", h));
    }
    if let Some(j) = bad(&sums.mean).or_else(|| bad(&sums.mean_abs)) {
        return Err(Error::numeric(HookPoint::MlpPost(layer).to_string(), format!("neuron {j}: activation is not finite")));
    }
    Ok(())
}
