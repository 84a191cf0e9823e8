//! The check itself: random weights of every matrix are moved in an f64 twin, all at once as candidates of one batch.

use super::{
    CheckReport, ForwardCheck, MatrixCheck,
    certificate::VERSION,
    golden,
    reference::{Nudge, Reference},
};
use crate::{
    base::{
        Ctx, Error, HookPoint, Result,
        provenance::{Provenance, now_utc, program},
        rng::Rng,
    },
    compute::Activation,
    model::{Batch, BlockTape, Decoder, Matrix, NoHooks, Objective, Role, Taps},
};
use std::{collections::HashMap, time::Instant};

/// Of the largest logit: f32 sums in another order differ by some 1e-6.
const FORWARD: f64 = 1e-4;
/// Of stored logits, absolute, as elsewhere in the program.
const GOLDEN: f64 = 1e-4;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckConfig {
    /// Weights to move, at least one in every matrix.
    pub weights: usize,
    /// Tokens of the sequence, drawn at random from the vocabulary.
    pub tokens: usize,
    pub seed: u64,
    /// Allowed |gradient - difference|, relative to the larger of the difference and the matrix's root mean square gradient.
    pub tolerance: f64,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self { weights: 64, tokens: 8, seed: 0, tolerance: 1e-3 }
    }
}

/// The objective is the mean cross-entropy of the random tokens, so that every position counts.
///
/// # Errors
/// When a pass fails, a tap does not fire or the user stops it. A wrong number is no error but a certificate that did not pass.
pub fn check_model(decoder: &Decoder, config: &CheckConfig, ctx: &Ctx<'_>) -> Result<CheckReport> {
    let begun = Instant::now();
    let spec = &decoder.model.spec;
    let mut rng = Rng::stream(config.seed, "check");
    let n_tokens = config.tokens.clamp(2, spec.max_positions.max(2));
    let tokens: Vec<u32> = (0..n_tokens).map(|_| rng.below(spec.vocab) as u32).collect();
    let probes = probes(decoder, config, &mut rng);

    let (logits, found) = analytic(decoder, &tokens, &probes, ctx)?;
    let golden = golden::compare(decoder, GOLDEN)?;
    let (exact, differences) = numeric(decoder, &tokens, &probes, ctx)?;

    let worst = logits.iter().zip(&exact).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, larger);
    let largest = exact.iter().map(|v| v.abs()).fold(0.0, larger);
    let forward = ForwardCheck { tokens: n_tokens, worst, largest, tolerance: FORWARD };
    let mut matrices = Vec::new();
    for layer in 0..spec.n_layers {
        for &matrix in spec.matrices() {
            let tap = &found[&(layer, matrix)];
            let rms = tap.gradient_rms;
            let here = probes.iter().enumerate().filter(|(_, p)| (p.layer, p.matrix) == (layer, matrix));
            let errors: Vec<f64> = here
                .map(|(i, _)| {
                    let scale = differences[i].abs().max(rms);
                    if scale > 0.0 { (tap.at[&i] - differences[i]).abs() / scale } else { 0.0 }
                })
                .collect();
            let worst = errors.iter().copied().fold(0.0, larger);
            // A gradient of zeros agrees with anything that does not move; it is no gradient.
            let passed = rms.is_finite() && rms > 0.0 && worst <= config.tolerance;
            matrices.push(MatrixCheck { layer, matrix, gradient_rms: rms, weights: errors.len(), worst, passed });
        }
    }
    let passed = forward.passed() && golden.as_ref().is_none_or(|g| g.passed) && matrices.iter().all(|m| m.passed);
    let info = &decoder.model.info;
    Ok(CheckReport {
        model: info.name.clone(),
        model_sha256: info.sha256.clone(),
        version: VERSION,
        forward,
        golden,
        weights: probes.len(),
        matrices,
        tolerance: config.tolerance,
        seconds: begun.elapsed().as_secs_f64(),
        passed,
        provenance: Provenance {
            program: program(),
            model: info.name.clone(),
            model_sha256: info.sha256.clone(),
            formula: "central differences in f64 of single weights against the program's gradient; logits against f64".into(),
            objective: "mean cross-entropy of random tokens".into(),
            seed: config.seed,
            dtype: format!("{} weights, {} against f64 arithmetic", info.dtype, decoder.backend.arithmetic()),
            device: decoder.backend.device(),
            created: now_utc(),
            ..Provenance::default()
        },
    })
}

/// NaN counts as the largest.
fn larger(a: f64, b: f64) -> f64 {
    if b.is_nan() || a.is_nan() { f64::NAN } else { a.max(b) }
}

/// A random weight.
struct Probe {
    layer: usize,
    matrix: Matrix,
    out: usize,
    input: usize,
}

/// Spread evenly: every matrix gets as many as the others, and at least one.
fn probes(decoder: &Decoder, config: &CheckConfig, rng: &mut Rng) -> Vec<Probe> {
    let spec = &decoder.model.spec;
    let places: Vec<(usize, Matrix)> = (0..spec.n_layers).flat_map(|l| spec.matrices().iter().map(move |&m| (l, m))).collect();
    let each = config.weights.div_ceil(places.len().max(1)).max(1);
    let mut probes = Vec::new();
    for (layer, matrix) in places {
        let (rows, cols) = spec.matrix_shape(matrix);
        probes.extend((0..each).map(|_| Probe { layer, matrix, out: rng.below(rows), input: rng.below(cols) }));
    }
    probes
}

/// What the program says of one matrix.
struct Tapped {
    gradient_rms: f64,
    /// Gradient at each probe, by its number.
    at: HashMap<usize, f64>,
}

/// By layer and matrix.
type TappedAll = HashMap<(usize, Matrix), Tapped>;

struct ProbeTaps<'a> {
    probes: &'a [Probe],
    tokens: usize,
    found: TappedAll,
}

impl Taps for ProbeTaps<'_> {
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        let n = self.tokens;
        let (input, out) = (x.len() / n, delta.len() / n);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // |delta^T x|^2 = sum over pairs of tokens of (delta_s . delta_t) (x_s . x_t): the gradient itself is never formed.
        let mut square = 0.0;
        for s in 0..n {
            for t in 0..n {
                square += dot(&delta[s * out..][..out], &delta[t * out..][..out]) * dot(&x[s * input..][..input], &x[t * input..][..input]);
            }
        }
        let at = self.probes.iter().enumerate().filter(|(_, p)| (p.layer, p.matrix) == (layer, matrix));
        let at = at.map(|(i, p)| (i, (0..n).map(|t| f64::from(delta[t * out + p.out]) * f64::from(x[t * input + p.input])).sum()));
        let tapped = Tapped { gradient_rms: (square.max(0.0) / (input * out) as f64).sqrt(), at: at.collect() };
        if self.found.insert((layer, matrix), tapped).is_some() {
            return Err(Error::numeric(Role::Weight(layer, matrix).to_string(), "its tap fired twice in one backward pass"));
        }
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
}

/// The program's logits `[tokens, vocab]` and gradients.
fn analytic(decoder: &Decoder, tokens: &[u32], probes: &[Probe], ctx: &Ctx<'_>) -> Result<(Vec<f32>, TappedAll)> {
    let spec = &decoder.model.spec;
    let batch = Batch::new(&[tokens]);
    let mut resid = decoder.embed(&batch, &mut NoHooks)?;
    let mut tapes = Vec::with_capacity(spec.n_layers);
    for layer in 0..spec.n_layers {
        ctx.check()?;
        let mut tape = BlockTape::default();
        decoder.block_forward(layer, &batch, &mut resid, Some(&mut tape), &mut NoHooks)?;
        tapes.push(tape);
    }
    let logits = decoder.logits(&resid, &(0..tokens.len()).collect::<Vec<_>>())?;
    let mut d_resid = decoder.objective(&batch, &resid, &[Objective::Loss { from: 1 }])?.d_resid;
    let mut taps = ProbeTaps { probes, tokens: tokens.len(), found: HashMap::new() };
    for layer in (0..spec.n_layers).rev() {
        ctx.check()?;
        decoder.block_backward(layer, &batch, &tapes[layer], &mut d_resid, true, &mut taps)?;
    }
    for layer in 0..spec.n_layers {
        for &m in spec.matrices() {
            if !taps.found.contains_key(&(layer, m)) {
                return Err(Error::numeric(Role::Weight(layer, m).to_string(), "received no gradient"));
            }
        }
    }
    Ok((logits, taps.found))
}

/// f64 logits of the unmoved model, and the central difference at each probe. Candidate 0 is the model as it is; every probe adds two, which
/// join the batch at their layer.
fn numeric(decoder: &Decoder, tokens: &[u32], probes: &[Probe], ctx: &Ctx<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let model = &decoder.model;
    let (spec, n) = (&model.spec, tokens.len());
    let reference = Reference { model, tokens: n };
    let mut resid = reference.embed(tokens);
    let mut steps = Vec::with_capacity(probes.len());
    for layer in 0..spec.n_layers {
        ctx.check()?;
        ctx.progress("checking gradients", layer, spec.n_layers, "layers");
        let block = model.weights.block(layer);
        let mut nudges = Vec::new();
        while let Some(p) = probes.get(steps.len()).filter(|p| p.layer == layer) {
            let w = block.matrix(p.matrix);
            let some = &w[..w.len().min(4096)];
            let rms = (some.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() / some.len() as f64).sqrt();
            // Far above f64's rounding, far below what would bend the loss; over the corner of a ReLU a difference must not reach.
            let small = if spec.mlp.act() == Activation::Relu { 1e-4 } else { 1e-2 };
            let step = small * if rms > 0.0 { rms } else { 1e-2 };
            for (k, step) in [step, -step].into_iter().enumerate() {
                let candidate = 1 + 2 * steps.len() + k;
                nudges.push(Nudge { candidate, layer, matrix: p.matrix, out: p.out, input: p.input, step });
                resid.extend_from_within(..n * spec.d_model);
            }
            steps.push(step);
        }
        reference.block(layer, &mut resid, &nudges);
    }
    let mut losses = Vec::new();
    let mut exact = Vec::new();
    const AT_ONCE: usize = 16;
    for rows in resid.chunks(AT_ONCE * n * spec.d_model) {
        ctx.check()?;
        let logits = reference.logits(rows);
        losses.extend(logits.chunks(n * spec.vocab).map(|logits| reference.loss(logits, tokens)));
        if exact.is_empty() {
            exact = logits[..n * spec.vocab].to_vec();
        }
    }
    let differences = steps.iter().enumerate().map(|(i, step)| (losses[1 + 2 * i] - losses[2 + 2 * i]) / (2.0 * step)).collect();
    Ok((exact, differences))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::job::silently,
        compute::cpu::CpuBackend,
        model::{family::FAMILIES, load_model},
    };
    use std::{path::Path, sync::Arc};

    fn decoder(name: &str) -> Decoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Decoder::new(Arc::new(silently(|ctx| load_model(&folder, ctx)).expect(name)), Arc::new(CpuBackend::new(None)))
    }

    #[test]
    fn every_family_passes() {
        for family in FAMILIES {
            let decoder = decoder(&format!("tiny-{}", family.model_type.trim_end_matches("_text")));
            let report = silently(|ctx| check_model(&decoder, &CheckConfig::default(), ctx)).expect("check");
            assert!(report.passed, "{}: {}\n{:#?}", family.label, report.summary(), report);
            assert!(report.weights >= 64 && report.golden.is_some());
            println!("{}: {}", family.label, report.summary());
        }
    }

    /// A backward pass that forgets something must not pass: the model's weights and the tape's disagree about one matrix.
    #[test]
    fn a_wrong_gradient_and_a_wrong_forward_are_found() {
        let good = decoder("tiny-llama");
        let config = CheckConfig::default();
        let mut rng = Rng::stream(0, "test");
        let probes = probes(&good, &config, &mut rng);
        let tokens = [5u32, 60, 100, 7, 300, 2, 9, 11];
        let (_, found) = silently(|ctx| analytic(&good, &tokens, &probes, ctx)).expect("analytic");
        // Differences of a model whose down matrix of the last layer is half as large: gradients of what comes before it are wrong.
        let mut halved = silently(|ctx| load_model(&good.model.info.folder, ctx)).expect("model");
        let role = Role::Weight(2, Matrix::Down);
        halved.weights.get_mut(role).expect("down").values_mut().iter_mut().for_each(|w| *w *= 0.5);
        let halved = Decoder::new(Arc::new(halved), good.backend.clone());
        let (_, differences) = silently(|ctx| numeric(&halved, &tokens, &probes, ctx)).expect("numeric");
        let off = |m: Matrix| {
            let tap = &found[&(2, m)];
            let here = probes.iter().enumerate().filter(|(_, p)| (p.layer, p.matrix) == (2, m));
            here.map(|(i, _)| (tap.at[&i] - differences[i]).abs() / differences[i].abs().max(tap.gradient_rms)).fold(0.0, f64::max)
        };
        assert!(off(Matrix::Gate) > 0.1 && off(Matrix::Up) > 0.1, "{} {}", off(Matrix::Gate), off(Matrix::Up));
    }
}
