//! The scan against an independent PyTorch autograd reference, and the identities that its formulas promise.
//!
//! The values under tests/fixtures/scan were made by scripts/reference/scan_fixtures.py (versions in each file's metadata): transformers'
//! own classes with eager attention, one sequence at a time, torch.autograd.grad. They are float64 results; the same in float32 gives the
//! same counts, and other values within 1.7e-6 of a tensor's largest.

#[path = "support/scan_reference.rs"]
mod scan_reference;

use brodmann::{
    base::{CancelToken, Ctx, Error, HookPoint, Result, job::silently},
    compute::{
        cpu::CpuBackend,
        scan_job::{HISTOGRAM_BINS, histogram_bin},
    },
    model::{Batch, BlockTape, Decoder, Matrix, Model, NoHooks, Objective, Taps, Weights, load_model, weights::Role},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, ScanOutput, scan_prepared},
};
use scan_reference::{agrees_with_pytorch, domain, errors, fixture};
use std::{collections::HashMap, path::Path, sync::Arc};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn decoder(folder: &Path, threads: Option<usize>) -> Decoder {
    let model = silently(|ctx| load_model(folder, ctx)).expect("model");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(threads)))
}

fn tiny(threads: Option<usize>) -> Decoder {
    decoder(&root().join("tests/fixtures/tiny-llama"), threads)
}

#[test]
fn a_scan_of_a_model_of_every_family_agrees_with_pytorch_for_both_objectives() {
    let domains = [domain("text", &fixture("text.jsonl")), domain("choice", &fixture("choice.jsonl"))];
    for family in brodmann::model::family::FAMILIES {
        let name = family.model_type.trim_end_matches("_text");
        let decoder = decoder(&root().join(format!("tests/fixtures/tiny-{name}")), None);
        for objective in [ObjectiveKind::MaxLogit, ObjectiveKind::Loss] {
            agrees_with_pytorch(&decoder, &domains, &format!("tiny_{name}"), objective);
        }
    }
}

#[test]
fn a_scan_of_stories260k_agrees_with_pytorch_for_both_objectives() {
    let shared = root().join("../shared");
    let model = shared.join("models/stories260K");
    let data = [("stories", "tinystories"), ("boolq", "boolq_validation"), ("arc", "arc_easy")];
    if !model.is_dir() {
        println!("SKIPPED: {} is missing, so the scan of a trained model was not compared with PyTorch", model.display());
        return;
    }
    let decoder = decoder(&model, None);
    let domains = data.map(|(name, file)| domain(name, &shared.join("data").join(file).with_extension("jsonl")));
    for objective in [ObjectiveKind::MaxLogit, ObjectiveKind::Loss] {
        agrees_with_pytorch(&decoder, &domains, "stories260k", objective);
    }
}

/// Token sequences of uneven length, two domains.
fn uneven(vocab: usize, objective: ObjectiveKind) -> Vec<PreparedDomain> {
    let sequence = |seed: usize, n: usize| (0..n).map(|i| ((seed * 7919 + i * 104_729 + i * i * 31) % vocab) as u32).collect::<Vec<u32>>();
    let make = |name: &str, lengths: &[usize]| {
        PreparedDomain::from_tokens(name, lengths.iter().enumerate().map(|(i, &n)| sequence(i + name.len(), n)).collect(), objective, 5)
    };
    vec![make("a", &[9, 31, 2, 17, 40]), make("bb", &[23, 5, 64])]
}

fn scan(decoder: &Decoder, domains: &[PreparedDomain], config: &ScanConfig, limits: Limits) -> ScanOutput {
    silently(|ctx| scan_prepared(decoder, domains, config, limits, ctx)).expect("scan")
}

/// What must not depend on how the work was cut: everything but timing, device and time of day.
fn numbers(mut run: ScanOutput) -> ScanOutput {
    run.timing = Default::default();
    run.provenance = Default::default();
    run
}

#[test]
fn results_do_not_depend_on_micro_batches_memory_or_threads() {
    let (one, two) = (tiny(Some(1)), tiny(Some(2)));
    for objective in [ObjectiveKind::MaxLogit, ObjectiveKind::Loss] {
        let config = ScanConfig { objective, ..ScanConfig::default() };
        let domains = uneven(one.model.spec.vocab, objective);
        let whole = Limits { memory_bytes: 1 << 30, batch_tokens: 4096 };
        let expected = numbers(scan(&one, &domains, &config, whole));
        assert_eq!(numbers(scan(&two, &domains, &config, whole)), expected, "threads");
        for batch_tokens in [1, 50, 4096] {
            // From everything kept, through recomputed blocks, down to one matrix at a time, until it is refused.
            let mut memory_bytes = 4 << 20;
            let mut runs = 0;
            while let Ok(found) = silently(|ctx| scan_prepared(&two, &domains, &config, Limits { memory_bytes, batch_tokens }, ctx)) {
                assert_eq!(numbers(found), expected, "micro-batches of {batch_tokens} tokens within {memory_bytes} bytes");
                memory_bytes = memory_bytes / 4 * 3;
                runs += 1;
            }
            assert!(runs > 4 && memory_bytes < 1 << 20, "{runs} runs, refused at {memory_bytes} bytes");
        }
    }
}

#[test]
fn too_little_memory_is_an_error_that_says_how_much_is_needed() {
    let decoder = tiny(Some(1));
    let domains = uneven(decoder.model.spec.vocab, ObjectiveKind::MaxLogit);
    let limits = Limits { memory_bytes: 10_000, batch_tokens: 50 };
    let message =
        silently(|ctx| scan_prepared(&decoder, &domains, &ScanConfig::default(), limits, ctx)).expect_err("too little").to_string();
    assert!(message.contains("need at least 1 MiB") && message.contains("fewer samples"), "{message}");
}

/// METHODS 6, identity 1.
#[test]
fn a_sample_is_alike_to_itself() {
    let decoder = tiny(Some(2));
    let config = ScanConfig { metrics: vec![MetricKind::Llmdcos], ..ScanConfig::default() };
    let mut domains = uneven(decoder.model.spec.vocab, ObjectiveKind::MaxLogit);
    for d in &mut domains {
        d.source.self_cycle = (0..d.sequences.len()).collect();
    }
    let run = scan(&decoder, &domains, &config, Limits::default());
    let pairs = run.llmdcos.iter().filter(|p| p.a == p.b);
    let cosines: Vec<f32> = pairs.flat_map(|p| p.cosines.iter().flatten().map(|c| c.expect("defined"))).collect();
    assert_eq!(cosines.len(), 8 * run.n_layers);
    // The norms and the product run over the same terms; f32 products in tiles leave a few ulp.
    assert!(cosines.iter().all(|c| (c - 1.0).abs() < 1e-6), "{cosines:?}");
    assert!(run.domains.iter().all(|d| d.density.is_empty() && d.relevance.is_none()), "nothing else was asked for");
}

/// Keeps what a backward pass shows of one layer's linear weights and neurons.
#[derive(Default)]
struct Collect {
    linear: HashMap<(usize, Matrix), (Vec<f32>, Vec<f32>)>,
    post: HashMap<usize, (Vec<f32>, Vec<f32>)>,
}

impl Taps for Collect {
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        self.linear.insert((layer, matrix), (x.to_vec(), delta.to_vec()));
        Ok(())
    }
    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()> {
        if let HookPoint::MlpPost(layer) = point {
            self.post.insert(layer, (values.to_vec(), gradient.to_vec()));
        }
        Ok(())
    }
}

fn collect(decoder: &Decoder, tokens: &[u32], objective: Objective) -> Collect {
    let batch = Batch::new(&[tokens]);
    let layers = decoder.model.spec.n_layers;
    let mut resid = decoder.embed(&batch, &mut NoHooks).expect("embed");
    let tapes: Vec<BlockTape> = (0..layers)
        .map(|l| {
            let mut tape = BlockTape::default();
            decoder.block_forward(l, &batch, &mut resid, Some(&mut tape), &mut NoHooks).expect("forward");
            tape
        })
        .collect();
    let mut d_resid = decoder.objective(&batch, &resid, &[objective]).expect("objective").d_resid;
    let mut taps = Collect::default();
    for l in (0..layers).rev() {
        decoder.block_backward(l, &batch, &tapes[l], &mut d_resid, true, &mut taps).expect("backward");
    }
    taps
}

/// METHODS 6, identities 4 and 5, on one sample: the weight gradient formed whole, in f64, from what the taps show.
#[test]
fn column_sums_of_down_are_the_neurons_own_effect_and_whole_gradients_give_the_same_scan() {
    let decoder = tiny(Some(2));
    let spec = &decoder.model.spec;
    let prepared = PreparedDomain::from_tokens("a", vec![(3..40).map(|i| i * 11 % 500).collect()], ObjectiveKind::Loss, 0);
    let sequence = &prepared.sequences[0];
    let config = ScanConfig { objective: ObjectiveKind::Loss, gamma: 3e-4, ..ScanConfig::default() };
    let run = scan(&decoder, std::slice::from_ref(&prepared), &config, Limits::default());
    let taps = collect(&decoder, &sequence.tokens, sequence.objective);
    let found = &run.domains[0];
    for layer in 0..spec.n_layers {
        let (mut count, mut histogram, mut roll_up) = (0u64, vec![0u64; HISTOGRAM_BINS], vec![0.0f64; spec.d_mlp]);
        let mut signed_down = vec![0.0f64; spec.d_mlp];
        for m in Matrix::ALL {
            let block = decoder.model.weights.block(layer);
            let w = block.matrix(m);
            let (out, input) = (w.shape[0], w.shape[1]);
            let (x, delta) = &taps.linear[&(layer, m)];
            for o in 0..out {
                for i in 0..input {
                    let g: f64 = (0..sequence.tokens.len()).map(|t| f64::from(delta[t * out + o]) * f64::from(x[t * input + i])).sum();
                    let signed = f64::from(w[o * input + i]) * g;
                    count += u64::from(signed.abs() > f64::from(config.gamma));
                    histogram[histogram_bin(signed.abs() as f32)] += 1;
                    match m {
                        Matrix::Gate | Matrix::Up => roll_up[o] += signed.abs(),
                        Matrix::Down => {
                            roll_up[i] += signed.abs();
                            signed_down[i] += signed;
                        }
                        _ => {}
                    }
                }
            }
        }
        assert_eq!(found.activated_count[layer], count);
        // A value within rounding of an edge may fall on its other side.
        let moved: u64 = histogram.iter().zip(&found.histogram[layer]).map(|(a, b)| a.abs_diff(*b)).sum();
        assert!(moved <= 4, "layer {layer}: {moved} values changed bins");
        let (_, error) = errors(found.param_activation.as_ref().expect("map").row(layer), &roll_up, 0.0);
        assert!(error < 1e-5, "layer {layer}: roll-up off by {error}");

        // Identity 4: sum_i W_ij dD/dW_ij = sum_t a_tj dD/da_tj; its absolute value is the relevance.
        let (a, da) = &taps.post[&layer];
        let relevance = found.relevance.as_ref().expect("map").row(layer);
        let largest = relevance.iter().copied().fold(0.0f32, f32::max);
        for j in 0..spec.d_mlp {
            let own: f64 = a.iter().zip(da).skip(j).step_by(spec.d_mlp).map(|(a, g)| f64::from(*a) * f64::from(*g)).sum();
            // The left side sums d_model products of f32 gradients, whose rounding is relative to the largest of them.
            assert!((signed_down[j] - own).abs() < 1e-5 * f64::from(largest), "layer {layer} neuron {j}: {} {own}", signed_down[j]);
            assert!((f64::from(relevance[j]) - own.abs()).abs() < 1e-6 * f64::from(largest));
            assert!(roll_up[j] >= own.abs() - 1e-9, "a sum of absolute values is at least the absolute value of the sum");
        }
    }
}

#[test]
fn a_cancel_ends_the_scan_at_once_wherever_it_is() {
    let decoder = tiny(Some(2));
    let domains = uneven(decoder.model.spec.vocab, ObjectiveKind::MaxLogit);
    let limits = Limits { batch_tokens: 20, ..Limits::default() };
    let reports = std::sync::Mutex::new(0);
    let scan_until = |stop: usize| {
        *reports.lock().expect("lock") = 0;
        let cancel = CancelToken::default();
        let report = |p: brodmann::base::Progress| {
            assert!(p.done <= p.total && p.total > 0 && p.unit == "sample-layers", "{p:?}");
            let mut n = reports.lock().expect("lock");
            *n += 1;
            if *n >= stop {
                cancel.cancel();
            }
        };
        scan_prepared(&decoder, &domains, &ScanConfig::default(), limits, &Ctx::new(&cancel, &report)).map(|_| ())
    };
    assert!(scan_until(usize::MAX).is_ok());
    let all = *reports.lock().expect("lock");
    assert!(all > 30, "{all} reports");
    for stop in [1, 2, all / 3, all / 2, all - 1] {
        assert!(matches!(scan_until(stop), Err(Error::Cancelled)), "stopped after report {stop}");
        assert_eq!(*reports.lock().expect("lock"), stop, "nothing was done after the cancel");
    }
}

#[test]
fn a_number_that_is_not_finite_is_an_error_that_names_its_place() {
    let good = tiny(Some(2));
    let spoilt = |spoil: &dyn Fn(&mut Weights)| {
        let model = &good.model;
        let mut weights = model.weights.clone();
        spoil(&mut weights);
        let model = Model {
            info: model.info.clone(),
            spec: model.spec.clone(),
            weights,
            tokenizer: silently(|ctx| load_model(&root().join("tests/fixtures/tiny-llama"), ctx)).expect("model").tokenizer,
        };
        let decoder = Decoder::new(Arc::new(model), good.backend.clone());
        let domains = uneven(decoder.model.spec.vocab, ObjectiveKind::MaxLogit);
        silently(|ctx| scan_prepared(&decoder, &domains, &ScanConfig::default(), Limits::default(), ctx))
            .expect_err("not finite")
            .to_string()
    };
    for (role, value, place) in [
        (Role::Weight(1, Matrix::Up), f32::NAN, "blocks.1.hook_resid_post: column"),
        (Role::Weight(2, Matrix::O), f32::INFINITY, "blocks.2.hook_resid_post: column"),
        (Role::Head, f32::NAN, "logits"),
    ] {
        let message = spoilt(&|w| w.get_mut(role).expect("tensor").values_mut()[7] = value);
        assert!(message.contains(place) && message.contains("NaN"), "{message}");
    }
}
