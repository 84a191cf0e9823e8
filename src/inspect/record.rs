//! One forward pass over all samples, layer by layer, that makes a [`NeuronIndex`].

use super::{
    About, DomainAbout, IndexShape, NeuronIndex,
    column_block::{Layer, Out, Samples, record_block},
    index::{NONE, OFFSETS, STATS},
    pattern::z_norms,
};
use crate::{
    base::{Ctx, Error, HookPoint, Result, hash::sha256_json, provenance, provenance::Provenance, rng::Rng},
    model::{Batch, Decoder, DecoderSpec, Hooks},
};
use half::f16;
use rayon::prelude::*;
use std::time::Instant;

/// Samples of one domain, ready as tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexDomain {
    pub name: String,
    pub sha256: String,
    /// How its prompts are made, for provenance.
    pub template: String,
    /// Line in the domain's file of each sequence; may be empty.
    pub lines: Vec<usize>,
    pub sequences: Vec<Vec<u32>>,
}

/// How much an index and its making may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLimits {
    /// Of the index.
    pub index_bytes: u64,
    /// Of the residual stream and one layer's activations of all tokens, beside the weights.
    pub work_bytes: u64,
}

impl Default for IndexLimits {
    fn default() -> Self {
        Self { index_bytes: 256 << 20, work_bytes: 2 << 30 }
    }
}

/// A domain's tokens are counted in 16 bits.
const MOST_TOKENS: usize = u16::MAX as usize;
const BATCH_TOKENS: usize = 1024;
/// Neurons that one task records: a few cache lines of each token's row.
const BLOCK: usize = 32;
/// Samples of each domain whose attention patterns are averaged: a pattern costs the square of its length.
const PATTERN_SAMPLES: usize = 16;
/// Raised when an index of the same inputs holds something else.
const VERSION: u32 = 1;

/// Floating-point operations of an index's forward pass.
pub fn flops(spec: &DecoderSpec, tokens: usize) -> f64 {
    2.0 * spec.linear_params_per_layer() as f64 * spec.n_layers as f64 * tokens as f64
}

/// What is recorded, decided before anything runs.
pub struct Plan {
    domains: Vec<IndexDomain>,
    pub shape: IndexShape,
    pub thinned: Vec<String>,
    pub key: String,
    seed: u64,
}

impl Plan {
    pub fn n_tokens(&self) -> usize {
        self.domains.iter().flat_map(|d| &d.sequences).map(Vec::len).sum()
    }
}

/// Which samples are recorded and how much is kept of them; the key of the index that [`build`] makes of it.
///
/// # Errors
/// When there is no domain, or one without a sample.
pub fn plan(decoder: &Decoder, mut domains: Vec<IndexDomain>, seed: u64, limits: IndexLimits) -> Result<Plan> {
    let spec = &decoder.model.spec;
    if domains.is_empty() {
        return Err(Error::invalid("an index of activations needs at least one domain; none is given or enabled"));
    }
    if let Some(d) = domains.iter().find(|d| d.sequences.is_empty() || d.sequences.iter().any(Vec::is_empty)) {
        return Err(Error::invalid(format!("domain {} has no sample, or an empty one", d.name)));
    }
    let (shape, words) = IndexShape::fit(spec.n_layers * spec.d_mlp, domains.len(), limits.index_bytes);
    let mut thinned: Vec<String> = words.into_iter().collect();
    let floats = limits.work_bytes / 4 / (spec.d_mlp + 2 * spec.d_model).max(1) as u64;
    let most = (usize::try_from(floats).unwrap_or(usize::MAX) / domains.len()).min(MOST_TOKENS);
    for d in &mut domains {
        let mut tokens = 0;
        let fitting = d.sequences.iter().take_while(|s| {
            tokens += s.len();
            tokens <= most
        });
        let (fitting, all) = (fitting.count().max(1), d.sequences.len());
        if fitting < all {
            thinned.push(format!("{}: the first {fitting} of {all} samples", d.name));
            d.sequences.truncate(fitting);
            d.lines.truncate(fitting);
        }
        d.sequences[0].truncate(most.max(2));
    }
    let inputs: Vec<_> = domains.iter().map(|d| (&d.name, &d.lines, &d.sequences)).collect();
    let key = sha256_json(&(VERSION, decoder.computing_key(), shape, seed, inputs));
    Ok(Plan { domains, shape, thinned, key, seed })
}

/// What the hooks of one micro-batch keep of one layer.
struct Recorder<'a> {
    layer: usize,
    /// Rows of this batch, `[n, f]`.
    post: &'a mut [f32],
    heads: &'a mut HeadSums,
    head_dim: usize,
    /// Domain of each sequence, and whether its pattern counts.
    sequences: &'a [(usize, bool)],
    next: usize,
    /// Patterns are wanted of this batch.
    patterns: bool,
}

/// Sums over one layer's heads.
struct HeadSums {
    n_heads: usize,
    /// `[heads, offsets]` and how many queries had a key there, `[offsets]`.
    offsets: Vec<f64>,
    counted: Vec<u64>,
    first: Vec<f64>,
    entropy: Vec<f64>,
    /// Queries after the first token; queries in all.
    later: u64,
    queries: u64,
    /// `[heads, domains]`
    z: Vec<f64>,
}

impl Hooks for Recorder<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        match point {
            HookPoint::MlpPost(l) | HookPoint::Z(l) => l == self.layer,
            HookPoint::Pattern(l) => l == self.layer && self.patterns,
            _ => false,
        }
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        match point {
            HookPoint::MlpPost(_) => self.post.copy_from_slice(values),
            HookPoint::Pattern(_) => {
                let (at, counts) = (self.next, self.sequences[self.next].1);
                self.next += 1;
                if counts {
                    self.heads.add_pattern(values, batch.span(at).len());
                }
            }
            _ => {
                let (heads, n) = (self.heads.n_heads, batch.n_tokens());
                let norms = z_norms(values, heads, self.head_dim);
                let domains = self.heads.z.len() / heads;
                for (i, &(domain, _)) in self.sequences.iter().enumerate() {
                    for h in 0..heads {
                        let sum = norms[h * n..(h + 1) * n][batch.span(i)].iter().map(|&v| f64::from(v)).sum::<f64>();
                        self.heads.z[h * domains + domain] += sum;
                    }
                }
            }
        }
        Ok(())
    }
}

impl HeadSums {
    fn new(n_heads: usize, domains: usize) -> Self {
        Self {
            n_heads,
            offsets: vec![0.0; n_heads * OFFSETS],
            counted: vec![0; OFFSETS],
            first: vec![0.0; n_heads],
            entropy: vec![0.0; n_heads],
            later: 0,
            queries: 0,
            z: vec![0.0; n_heads * domains],
        }
    }
    /// `pattern` is `[heads, n, n]` of one sequence.
    fn add_pattern(&mut self, pattern: &[f32], n: usize) {
        for q in 0..n {
            for offset in 0..=q.min(OFFSETS - 1) {
                self.counted[offset] += 1;
            }
        }
        self.later += n.saturating_sub(1) as u64;
        self.queries += n as u64;
        for h in 0..self.n_heads {
            let offsets = &mut self.offsets[h * OFFSETS..(h + 1) * OFFSETS];
            for (q, row) in pattern[h * n * n..(h + 1) * n * n].chunks_exact(n).enumerate() {
                let mut entropy = 0.0;
                for (k, &p) in row[..=q].iter().enumerate() {
                    let p = f64::from(p);
                    offsets[(q - k).min(OFFSETS - 1)] += p;
                    if p > 0.0 {
                        entropy -= p * p.log2();
                    }
                }
                self.entropy[h] += entropy;
                if q > 0 {
                    self.first[h] += f64::from(row[0]);
                }
            }
        }
    }
    fn put(&self, offsets: &mut Vec<f32>, looks: &mut Vec<f32>, z_norm: &mut Vec<f32>, tokens: &[usize]) {
        for h in 0..self.n_heads {
            let sums = &self.offsets[h * OFFSETS..(h + 1) * OFFSETS];
            offsets.extend(sums.iter().zip(&self.counted).map(|(s, &n)| (s / n.max(1) as f64) as f32));
            looks.push((self.first[h] / self.later.max(1) as f64) as f32);
            looks.push((self.entropy[h] / self.queries.max(1) as f64) as f32);
            let z = &self.z[h * tokens.len()..(h + 1) * tokens.len()];
            z_norm.extend(z.iter().zip(tokens).map(|(s, &n)| (s / n.max(1) as f64) as f32));
        }
    }
}

/// Records every neuron and head.
///
/// # Errors
/// When a value is not finite, or the work is cancelled.
pub fn build(decoder: &Decoder, plan: Plan, ctx: &Ctx<'_>) -> Result<NeuronIndex> {
    let begun = Instant::now();
    let spec = &decoder.model.spec;
    let (layers, f, n_heads) = (spec.n_layers, spec.d_mlp, spec.attention.n_heads);
    let Plan { domains, shape, thinned, key, seed } = plan;
    let all: Vec<(usize, bool, &[u32])> = domains
        .iter()
        .enumerate()
        .flat_map(|(d, domain)| domain.sequences.iter().enumerate().map(move |(s, t)| (d, s < PATTERN_SAMPLES, t.as_slice())))
        .collect();
    let tokens: Vec<u32> = all.iter().flat_map(|s| s.2.iter().copied()).collect();
    let samples = lay_out(&domains, &shape, seed);
    let total = tokens.len();
    let mut index = empty(layers, f, n_heads, domains.len(), &shape, samples.positions.len());

    // Micro-batches of whole sequences.
    let mut batches: Vec<(Batch, Vec<(usize, bool)>)> = Vec::new();
    for &(d, counts, sequence) in &all {
        match batches.last_mut().filter(|b| b.0.n_tokens() + sequence.len() <= BATCH_TOKENS) {
            Some((batch, of)) => {
                batch.push(sequence);
                of.push((d, counts));
            }
            None => batches.push((Batch::new(&[sequence]), vec![(d, counts)])),
        }
    }
    let mut residuals = Vec::with_capacity(batches.len());
    for (batch, _) in &batches {
        ctx.check()?;
        residuals.push(decoder.embed(batch, &mut crate::model::NoHooks)?);
    }
    let mut post = vec![0.0; total * f];
    for layer in 0..layers {
        let mut heads = HeadSums::new(n_heads, domains.len());
        let mut at = 0;
        for ((batch, sequences), resid) in batches.iter().zip(&mut residuals) {
            ctx.check()?;
            ctx.progress("recording activations", layer * total + at, layers * total, "tokens × layers");
            let n = batch.n_tokens();
            let mut recorder = Recorder {
                layer,
                post: &mut post[at * f..(at + n) * f],
                heads: &mut heads,
                head_dim: spec.attention.head_dim,
                sequences,
                next: 0,
                patterns: sequences.iter().any(|s| s.1),
            };
            decoder.block_forward(layer, batch, resid, None, &mut recorder)?;
            at += n;
        }
        record_layer(&Layer { post: &post, f }, layer, &samples, &shape, &mut index, ctx)?;
        heads.put(&mut index.offsets, &mut index.looks, &mut index.z_norm, &samples.tokens);
    }
    let name =
        |d: &IndexDomain, n: usize| DomainAbout { name: d.name.clone(), samples: d.sequences.len(), tokens: n, lines: d.lines.clone() };
    index.about = About {
        key,
        n_layers: layers,
        d_mlp: f,
        n_heads,
        shape,
        domains: domains.iter().zip(&samples.tokens).map(|(d, &n)| name(d, n)).collect(),
        thinned,
        seconds: begun.elapsed().as_secs_f64(),
        provenance: provenance_of(decoder, &domains, samples.positions.len(), seed),
    };
    (index.tokens, index.starts, index.positions) = (tokens, samples.starts, samples.positions);
    Ok(index)
}

/// Where the samples lie, and at which tokens neurons are compared: as many of each domain, never the first of a sample, which stands for the
/// beginning of a text more than for its word.
fn lay_out(domains: &[IndexDomain], shape: &IndexShape, seed: u64) -> Samples {
    let (mut starts, mut domain, mut tokens, mut positions) = (vec![0u32], Vec::new(), Vec::new(), Vec::new());
    let share = shape.positions / domains.len().max(1);
    for (d, of) in domains.iter().enumerate() {
        let mut places = Vec::new();
        let before = starts.last().copied().unwrap_or(0);
        for s in &of.sequences {
            let start = starts.last().copied().unwrap_or(0);
            let end = start + s.len() as u32;
            places.extend(start + 1..end);
            starts.push(end);
            domain.push(d);
        }
        tokens.push((starts.last().copied().unwrap_or(0) - before) as usize);
        let mut rng = Rng::stream(seed, &format!("compared positions {}", of.name));
        positions.extend(rng.sample(places.len(), share).into_iter().map(|i| places[i]));
    }
    Samples { starts, domain, tokens, positions }
}

fn empty(layers: usize, f: usize, heads: usize, domains: usize, shape: &IndexShape, positions: usize) -> NeuronIndex {
    let n = layers * f;
    let about = About {
        key: String::new(),
        n_layers: layers,
        d_mlp: f,
        n_heads: heads,
        shape: *shape,
        domains: Vec::new(),
        thinned: Vec::new(),
        seconds: 0.0,
        provenance: Provenance::default(),
    };
    NeuronIndex {
        about,
        tokens: Vec::new(),
        starts: Vec::new(),
        scale: vec![0.0; n * 3],
        histogram: vec![0; n * domains * shape.bins],
        stats: vec![0.0; n * domains * STATS],
        peaks: vec![NONE; n * shape.peaks()],
        peak_values: vec![0.0; n * shape.peaks()],
        windows: vec![f16::ZERO; n * shape.peaks() * shape.window()],
        positions: Vec::new(),
        compared: vec![f16::ZERO; n * positions],
        offsets: Vec::new(),
        looks: Vec::new(),
        z_norm: Vec::new(),
    }
}

fn record_layer(layer: &Layer<'_>, l: usize, samples: &Samples, shape: &IndexShape, index: &mut NeuronIndex, ctx: &Ctx<'_>) -> Result<()> {
    ctx.check()?;
    if let Some(at) = layer.post.iter().position(|v| !v.is_finite()) {
        let message = format!("neuron {} is {} at a token, expected a finite number", at % layer.f, layer.post[at]);
        return Err(Error::numeric(HookPoint::MlpPost(l).to_string(), message));
    }
    let (f, d, m) = (layer.f, samples.tokens.len(), samples.positions.len().max(1));
    let own = |width: usize| l * f * width..(l + 1) * f * width;
    let (stats, bins, peaks, windows) = (d * STATS, d * shape.bins, shape.peaks(), shape.peaks() * shape.window());
    let compared = if samples.positions.is_empty() { 0..0 } else { own(m) };
    let mut blocks: Vec<Out<'_>> = index.scale[own(3)]
        .chunks_mut(BLOCK * 3)
        .zip(index.histogram[own(bins)].chunks_mut(BLOCK * bins))
        .zip(index.stats[own(stats)].chunks_mut(BLOCK * stats))
        .zip(index.peaks[own(peaks)].chunks_mut(BLOCK * peaks))
        .zip(index.peak_values[own(peaks)].chunks_mut(BLOCK * peaks))
        .zip(index.windows[own(windows)].chunks_mut(BLOCK * windows))
        .map(|(((((scale, histogram), stats), peaks), peak_values), windows)| Out {
            scale,
            histogram,
            stats,
            peaks,
            peak_values,
            windows,
            compared: &mut [],
        })
        .collect();
    for (block, compared) in blocks.iter_mut().zip(index.compared[compared].chunks_mut(BLOCK * m)) {
        block.compared = compared;
    }
    blocks.par_iter_mut().enumerate().for_each(|(b, out)| {
        if ctx.check().is_ok() {
            record_block(layer, b * BLOCK, out.scale.len() / 3, samples, shape, out);
        }
    });
    ctx.check()
}

fn provenance_of(decoder: &Decoder, domains: &[IndexDomain], positions: usize, seed: u64) -> Provenance {
    let info = &decoder.model.info;
    Provenance {
        program: provenance::program(),
        model: info.name.clone(),
        model_sha256: info.sha256.clone(),
        data_sha256: domains.iter().map(|d| (d.name.clone(), d.sha256.clone())).collect(),
        prompts: domains.iter().map(|d| (d.name.clone(), d.template.clone())).collect(),
        bos: decoder.model.tokenizer.bos_policy(),
        formula: format!(
            "mlp.hook_post over all tokens of the samples; extremes: the largest and smallest of a sample; correlation: Pearson over \
             {positions} token positions, as many of each domain; attention: mean over the first {PATTERN_SAMPLES} samples of each domain"
        ),
        objective: String::new(),
        seed,
        dtype: format!(
            "{} weights, {} arithmetic, f64 sums; compared activations and windows kept as f16",
            info.dtype,
            decoder.backend.arithmetic()
        ),
        device: decoder.backend.device(),
        command: String::new(),
        created: provenance::now_utc(),
    }
}
