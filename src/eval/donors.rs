//! Activations of other texts that stand in for those of the text that is read: position by position, for chosen neurons and heads.

use super::{encode_text, gold_text};
use crate::{
    base::{Ctx, Error, Head, HookPoint, NeuronSet, Result, rng::Rng},
    data::Item,
    model::{Batch, Decoder, DecoderSpec, Hooks},
};
use std::collections::BTreeSet;

/// Values of chosen coordinates of one tensor kind, by layer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    /// Ascending, by layer.
    columns: Vec<Vec<usize>>,
    /// `[positions of all samples, columns]`, by layer.
    rows: Vec<Vec<f32>>,
}

impl Values {
    fn take(&mut self, layer: usize, values: &[f32], batch: &Batch) {
        let width = values.len() / batch.n_tokens().max(1);
        let columns = &self.columns[layer];
        for row in values.chunks_exact(width.max(1)) {
            self.rows[layer].extend(columns.iter().map(|&c| row[c]));
        }
    }
}

/// Activations at `mlp.hook_post` and `attn.hook_z` of samples, one after another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Donors {
    mlp: Values,
    z: Values,
    /// Sample `i` has rows `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    /// Which data they are of, for provenance.
    pub source: String,
}

/// One coordinate's values in all samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Donor<'a> {
    rows: &'a [f32],
    width: usize,
    column: usize,
}

impl Donor<'_> {
    pub fn at(&self, row: usize) -> f32 {
        self.rows[row * self.width + self.column]
    }
}

impl Donors {
    fn of(spec: &DecoderSpec, neurons: &NeuronSet, heads: &BTreeSet<Head>) -> Self {
        let (n, width) = (spec.n_layers, spec.attention.head_dim);
        let mut mlp = Values { columns: vec![Vec::new(); n], rows: vec![Vec::new(); n] };
        let mut z = mlp.clone();
        for layer in 0..n {
            mlp.columns[layer] = neurons.layer(layer).filter(|&i| i < spec.d_mlp).collect();
            let heads = heads.iter().filter(|h| h.layer as usize == layer && (h.index as usize) < spec.attention.n_heads);
            z.columns[layer] = heads.flat_map(|h| h.index as usize * width..(h.index as usize + 1) * width).collect();
        }
        Self { mlp, z, starts: vec![0], source: String::new() }
    }

    pub fn n_samples(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
    /// Positions of the longest sample.
    pub fn longest(&self) -> usize {
        self.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }
    /// The row of a position of a sample; a sample that is too short starts over.
    pub(super) fn row(&self, sample: usize, position: usize) -> usize {
        let (from, to) = (self.starts[sample], self.starts[sample + 1]);
        from + position % (to - from)
    }
    pub(super) fn donor(&self, point: HookPoint, index: usize) -> Option<Donor<'_>> {
        let (values, layer) = match point {
            HookPoint::MlpPost(l) => (&self.mlp, l),
            HookPoint::Z(l) => (&self.z, l),
            _ => return None,
        };
        let columns = values.columns.get(layer)?;
        let column = columns.binary_search(&index).ok()?;
        Some(Donor { rows: &values.rows[layer], width: columns.len(), column })
    }

    fn run(&mut self, decoder: &Decoder, batch: &Batch, ctx: &Ctx<'_>) -> Result<()> {
        if batch.n_tokens() == 0 {
            return Ok(());
        }
        let last = self.starts.last().copied().unwrap_or(0);
        self.starts.extend(batch.starts[1..].iter().map(|s| last + s));
        let last_layer = (0..self.mlp.columns.len()).rev().find(|&l| !self.mlp.columns[l].is_empty() || !self.z.columns[l].is_empty());
        let mut resid = decoder.embed(batch, self)?;
        for layer in 0..last_layer.map_or(0, |l| l + 1) {
            ctx.check()?;
            decoder.block_forward(layer, batch, &mut resid, None, self)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        if self.n_samples() == 0 {
            return Err(Error::invalid("there is no text to take activations from: give a split with items that is not the one evaluated"));
        }
        if self.mlp.rows.iter().chain(&self.z.rows).flatten().any(|v| !v.is_finite()) {
            return Err(Error::numeric("activations of other texts", "a value is not finite"));
        }
        Ok(())
    }
}

impl Hooks for Donors {
    fn wants(&self, point: HookPoint) -> bool {
        match point {
            HookPoint::MlpPost(l) => !self.mlp.columns[l].is_empty(),
            HookPoint::Z(l) => !self.z.columns[l].is_empty(),
            _ => false,
        }
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        match point {
            HookPoint::MlpPost(l) => self.mlp.take(l, values, batch),
            HookPoint::Z(l) => self.z.take(l, values, batch),
            _ => {}
        }
        Ok(())
    }
}

const BATCH_TOKENS: usize = 2048;

/// Token ids of an item's text with its right answer, cut to its last `max_tokens`.
fn tokens(decoder: &Decoder, item: &Item, max_tokens: usize) -> Result<Vec<u32>> {
    let text = gold_text(&decoder.model.tokenizer, item)?;
    let mut ids = encode_text(&decoder.model.tokenizer, &text, usize::MAX)?.tokens;
    ids.drain(..ids.len().saturating_sub(max_tokens.min(decoder.model.spec.max_positions)));
    Ok(ids)
}

/// Activations of up to `samples` of the items, drawn by `seed`, each cut to its last `max_tokens` tokens.
///
/// # Errors
/// When there is no text, a value is not finite, or the work is cancelled.
#[expect(clippy::too_many_arguments, reason = "which activations of which texts")]
pub fn resample_donors(
    decoder: &Decoder,
    items: &[&Item],
    (neurons, heads): (&NeuronSet, &BTreeSet<Head>),
    samples: usize,
    seed: u64,
    max_tokens: usize,
    source: &str,
    ctx: &Ctx<'_>,
) -> Result<Donors> {
    let mut donors = Donors::of(&decoder.model.spec, neurons, heads);
    let mut batch = Batch::default();
    for i in Rng::stream(seed, "resampled texts").sample(items.len(), samples) {
        let ids = tokens(decoder, items[i], max_tokens)?;
        if ids.is_empty() {
            continue;
        }
        if batch.n_tokens() + ids.len() > BATCH_TOKENS {
            donors.run(decoder, &std::mem::take(&mut batch), ctx)?;
        }
        batch.push(&ids);
    }
    donors.run(decoder, &batch, ctx)?;
    donors.verify()?;
    donors.source = format!("{} texts of {source}, drawn by seed {seed}", donors.n_samples());
    Ok(donors)
}

/// Means over all of the items' texts at each position from the start, in f64: one sample, as long as the longest text.
///
/// # Errors
/// As [`resample_donors`].
pub fn positional_means(
    decoder: &Decoder,
    items: &[&Item],
    (neurons, heads): (&NeuronSet, &BTreeSet<Head>),
    max_tokens: usize,
    source: &str,
    ctx: &Ctx<'_>,
) -> Result<Donors> {
    let mut sums = Donors::of(&decoder.model.spec, neurons, heads);
    // Sums by layer and position, and how many texts reach it.
    let mut totals: [Vec<Vec<f64>>; 2] = [vec![Vec::new(); sums.mlp.columns.len()], vec![Vec::new(); sums.z.columns.len()]];
    let mut counts: Vec<usize> = Vec::new();
    let mut texts = 0;
    let mut add = |batch: &Batch| -> Result<()> {
        let mut part = Donors { starts: vec![0], ..sums.clone() };
        part.run(decoder, batch, ctx)?;
        for (i, &position) in batch.positions.iter().enumerate() {
            let position = position as usize;
            if counts.len() <= position {
                counts.resize(position + 1, 0);
            }
            counts[position] += 1;
            for (totals, values) in totals.iter_mut().zip([&part.mlp, &part.z]) {
                for ((total, columns), rows) in totals.iter_mut().zip(&values.columns).zip(&values.rows) {
                    let width = columns.len();
                    if total.len() < (position + 1) * width {
                        total.resize((position + 1) * width, 0.0);
                    }
                    let row = &rows[i * width..(i + 1) * width];
                    total[position * width..(position + 1) * width].iter_mut().zip(row).for_each(|(t, &v)| *t += f64::from(v));
                }
            }
        }
        Ok(())
    };
    let mut batch = Batch::default();
    for item in items {
        let ids = tokens(decoder, item, max_tokens)?;
        if ids.is_empty() {
            continue;
        }
        texts += 1;
        if batch.n_tokens() + ids.len() > BATCH_TOKENS {
            add(&std::mem::take(&mut batch))?;
        }
        batch.push(&ids);
    }
    if batch.n_tokens() > 0 {
        add(&batch)?;
    }
    let [mlp, z] = totals;
    for (values, totals) in [(&mut sums.mlp, mlp), (&mut sums.z, z)] {
        for ((rows, total), columns) in values.rows.iter_mut().zip(totals).zip(&values.columns) {
            let mean = |(i, t): (usize, f64)| (t / counts[i / columns.len()] as f64) as f32;
            *rows = total.into_iter().enumerate().map(mean).collect();
        }
    }
    if !counts.is_empty() {
        sums.starts.push(counts.len());
    }
    sums.verify()?;
    sums.source =
        format!("mean by position over {texts} texts of {source}, positions 0 to {}; beyond, the mean over all", counts.len() - 1);
    Ok(sums)
}
