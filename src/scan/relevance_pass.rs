//! The passes behind [`super::relevance`]: samples in micro-batches, forward and backward once, or once for each step of the integral.

use super::{
    Aggregation, RelevanceConfig, Sequence,
    metrics::relevance::add_products,
    plan::{Limits, Sizes, micro_batches},
};
use crate::{
    base::{Ctx, Error, HookPoint, Result},
    compute::{Mat, MatMut},
    model::{Batch, BlockTape, Decoder, Matrix, Model, NoHooks, Objective, Taps},
};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

pub(super) struct Pass<'a> {
    pub decoder: &'a Decoder,
    pub name: &'a str,
    pub sequences: &'a [Sequence],
    pub config: &'a RelevanceConfig,
    /// `[draw][sample]`
    pub weights: &'a [Vec<u32>],
    pub sizes: Sizes,
    pub ctx: &'a Ctx<'a>,
}

/// Sums over samples.
pub(super) struct Sums {
    pub loss: f64,
    /// With every neuron off; where there is an integral.
    pub shut: Option<f64>,
    /// Of all neurons' integrals, signed.
    pub integral: f64,
    /// `[L * d_mlp]`
    pub neurons: Vec<f64>,
    /// `[L * d_model]`
    pub columns: Option<Vec<f64>>,
    /// `[draw][L * d_mlp]`
    pub draws: Vec<Vec<f32>>,
}

/// A place of all gates (`None`: as they are), and what its products weigh in the integral.
struct At {
    gate: Option<f32>,
    weight: f64,
}

/// Bytes of a micro-batch's tapes; with more, blocks run forward a second time.
const TAPE_BYTES: usize = 512 << 20;

impl Pass<'_> {
    pub fn run(&self) -> Result<Sums> {
        let spec = &self.decoder.model.spec;
        let (f, d, layers) = (spec.d_mlp, spec.d_model, spec.n_layers);
        let lengths: Vec<usize> = self.sequences.iter().map(|s| s.tokens.len()).collect();
        let signed = self.config.aggregation != Aggregation::PerToken;
        let mut sums = Sums {
            loss: 0.0,
            shut: (self.config.steps.is_some() && signed).then_some(0.0),
            integral: 0.0,
            neurons: vec![0.0; layers * f],
            columns: self.config.columns.then(|| vec![0.0; layers * d]),
            draws: vec![vec![0.0; layers * f]; self.weights.len()],
        };
        let places = self.places();
        let limits = Limits::default();
        let parts = micro_batches(&lengths, limits.tokens_at_once(&self.sizes));
        let (phase, total) = (format!("relevance of {}", self.name), self.sequences.len() * places.len());
        let mut done = 0;
        for range in parts {
            let batch = Batch::new(&self.sequences[range.clone()].iter().map(|s| &s.tokens[..]).collect::<Vec<_>>());
            let mut found = Found::zeros(range.len(), layers * f, self.config.columns.then_some(layers * d));
            for at in &places {
                self.ctx.progress(phase.as_str(), done, total, "samples");
                let loss = self.backward(at, &batch, &range, &mut found)?;
                if self.config.steps.is_none() {
                    sums.loss += loss;
                }
                done += range.len();
            }
            if self.config.steps.is_some() {
                sums.loss += self.loss(self.decoder, &batch, &range)?;
                if let Some(shut) = &mut sums.shut {
                    *shut += self.loss(&gated(self.decoder, 0.0), &batch, &range)?;
                }
            }
            self.add(found, range, &mut sums);
        }
        self.ctx.progress(phase, total, total, "samples");
        Ok(sums)
    }

    /// Where the gates stand: as they are, or at the midpoints of the integral.
    fn places(&self) -> Vec<At> {
        match self.config.steps {
            None => vec![At { gate: None, weight: 1.0 }],
            Some(n) => (0..n)
                .map(|i| {
                    let gate = (i as f64 + 0.5) / n as f64;
                    // Activation times gradient at the activation is gate times dLoss/dgate.
                    At { gate: Some(gate as f32), weight: 1.0 / (gate * n as f64) }
                })
                .collect(),
        }
    }

    fn objectives(&self, range: &Range<usize>) -> Vec<Objective> {
        self.sequences[range.clone()].iter().map(|s| s.objective).collect()
    }

    fn loss(&self, decoder: &Decoder, batch: &Batch, range: &Range<usize>) -> Result<f64> {
        let mut resid = decoder.embed(batch, &mut NoHooks)?;
        for layer in 0..decoder.model.spec.n_layers {
            self.ctx.check()?;
            decoder.block_forward(layer, batch, &mut resid, None, &mut NoHooks)?;
        }
        self.sum_of(&decoder.objective(batch, &resid, &self.objectives(range))?.values, range)
    }

    fn sum_of(&self, values: &[f32], range: &Range<usize>) -> Result<f64> {
        if let Some(s) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::numeric("loss", format!("{} for sample {} of domain {}", values[s], range.start + s, self.name)));
        }
        Ok(values.iter().map(|&v| f64::from(v)).sum())
    }

    /// One pass up and down; adds each sample's products to `found`. Returns the sum of the losses.
    fn backward(&self, at: &At, batch: &Batch, range: &Range<usize>, found: &mut Found) -> Result<f64> {
        // Made here and dropped after: such a model keeps a scaled block at hand, and one a step would add up.
        let scaled = at.gate.map(|gate| gated(self.decoder, gate));
        let decoder = scaled.as_ref().unwrap_or(self.decoder);
        let spec = &decoder.model.spec;
        let keeps = batch.n_tokens() * spec.n_layers * self.sizes.tape * size_of::<f32>() <= TAPE_BYTES;
        let mut tapes: Vec<BlockTape> = (0..if keeps { spec.n_layers } else { 0 }).map(|_| BlockTape::default()).collect();
        let mut residuals: Vec<Vec<f32>> = Vec::new();
        let mut resid = decoder.embed(batch, &mut NoHooks)?;
        for layer in 0..spec.n_layers {
            self.ctx.check()?;
            if !keeps {
                residuals.push(resid.clone());
            }
            decoder.block_forward(layer, batch, &mut resid, tapes.get_mut(layer), &mut NoHooks)?;
        }
        let turned = decoder.objective(batch, &resid, &self.objectives(range))?;
        let loss = self.sum_of(&turned.values, range)?;
        let mut d_resid = turned.d_resid;
        let mut scratch = BlockTape::default();
        for layer in (0..spec.n_layers).rev() {
            self.ctx.check()?;
            let tape = match tapes.get(layer) {
                Some(tape) => tape,
                None => {
                    decoder.block_forward(layer, batch, &mut residuals[layer], Some(&mut scratch), &mut NoHooks)?;
                    &scratch
                }
            };
            let mut taps = ProductTaps { decoder, layer, batch, weight: at.weight, config: self.config, found, fired: [0; 2] };
            decoder.block_backward(layer, batch, tape, &mut d_resid, layer > 0, &mut taps)?;
            for (times, point) in taps.fired.into_iter().zip([HookPoint::MlpPost(layer), HookPoint::MlpOut(layer)]) {
                if times != 1 {
                    return Err(Error::numeric(
                        point.to_string(),
                        format!("its tap fired {times} times in one backward pass, expected once"),
                    ));
                }
            }
        }
        Ok(loss)
    }

    /// Finished samples into the sums.
    fn add(&self, found: Found, range: Range<usize>, sums: &mut Sums) {
        let finish = |sample: &mut [f64]| match self.config.aggregation {
            Aggregation::Sum => sample.iter_mut().for_each(|v| *v = v.abs()),
            Aggregation::Signed => sample.iter_mut().for_each(|v| *v = -*v),
            // Each product had its bars.
            Aggregation::PerToken => {}
        };
        for (s, mut sample) in range.zip(found.neurons) {
            sums.integral += sample.iter().sum::<f64>();
            finish(&mut sample);
            sums.neurons.iter_mut().zip(&sample).for_each(|(sum, v)| *sum += v);
            let narrow: Vec<f32> = sample.iter().map(|&v| v as f32).collect();
            sums.draws.par_iter_mut().zip(self.weights).filter(|(_, w)| w[s] > 0).for_each(|(draw, weights)| {
                let times = weights[s] as f32;
                draw.iter_mut().zip(&narrow).for_each(|(sum, v)| *sum += times * v);
            });
        }
        if let Some(columns) = &mut sums.columns {
            for mut sample in found.columns {
                finish(&mut sample);
                columns.iter_mut().zip(&sample).for_each(|(sum, v)| *sum += v);
            }
        }
    }
}

/// The same model with every neuron's gate at `gate`: what it writes times that, its bias as it is.
fn gated(decoder: &Decoder, gate: f32) -> Decoder {
    let model = &decoder.model;
    let (info, spec, tokenizer) = (model.info.clone(), model.spec.clone(), model.tokenizer.clone());
    Decoder::new(Arc::new(Model { info, spec, weights: model.weights.gated(gate), tokenizer }), decoder.backend.clone())
}

/// What a micro-batch's samples give, each `[L * width]`.
struct Found {
    neurons: Vec<Vec<f64>>,
    columns: Vec<Vec<f64>>,
}

impl Found {
    fn zeros(samples: usize, neurons: usize, columns: Option<usize>) -> Self {
        Self { neurons: vec![vec![0.0; neurons]; samples], columns: columns.map_or_else(Vec::new, |c| vec![vec![0.0; c]; samples]) }
    }
}

struct ProductTaps<'a> {
    decoder: &'a Decoder,
    layer: usize,
    batch: &'a Batch,
    weight: f64,
    config: &'a RelevanceConfig,
    found: &'a mut Found,
    fired: [u32; 2],
}

impl ProductTaps<'_> {
    fn add(&mut self, values: &[f32], gradient: &[f32], columns: bool) {
        let bars = self.config.aggregation == Aggregation::PerToken;
        let width = values.len() / self.batch.n_tokens().max(1);
        let samples = if columns { &mut self.found.columns } else { &mut self.found.neurons };
        for (i, sample) in samples.iter_mut().enumerate() {
            let span = self.batch.span(i);
            let tokens = span.start * width..span.end * width;
            let sums = &mut sample[self.layer * width..(self.layer + 1) * width];
            add_products(&values[tokens.clone()], &gradient[tokens], bars, self.weight, sums);
        }
    }
}

impl Taps for ProductTaps<'_> {
    fn wants_input(&self, _: usize, _: Matrix) -> bool {
        false
    }
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        if matrix != Matrix::Down || layer != self.layer {
            return Ok(());
        }
        self.fired[1] += 1;
        if self.config.columns {
            let block = self.decoder.model.weights.block(layer);
            let w = block.matrix(Matrix::Down);
            let (n, d, f) = (self.batch.n_tokens(), w.shape[0], w.shape[1]);
            let mut written = vec![0.0; n * d];
            self.decoder.backend.gemm_nt(MatMut::new(&mut written, n, d), Mat::new(x, n, f), Mat::new(w, d, f), 1.0, 0.0);
            self.add(&written, delta, true);
        }
        Ok(())
    }
    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()> {
        if point == HookPoint::MlpPost(self.layer) {
            self.fired[0] += 1;
            self.add(values, gradient, false);
        }
        Ok(())
    }
}
