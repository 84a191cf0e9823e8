//! Every option of task relevance against an independent PyTorch computation, and the identities that its formulas promise.
//!
//! The values under tests/fixtures/relevance were made by scripts/reference/relevance_reference.py (versions in each file's metadata): float64, one
//! sequence at a time, a gate tensor on every neuron. The engine has no gates and computes in float32.

#[path = "support/scan_reference.rs"]
mod scan_reference;

use brodmann::{
    base::{CancelToken, Ctx, Error, Grid, job::silently},
    compute::cpu::CpuBackend,
    data::Domain,
    model::{Decoder, load_model},
    scan::{Aggregation, Order, RelevanceConfig, TaskRelevance, task_relevance},
};
use safetensors::{Dtype, SafeTensors};
use scan_reference::{domain, errors, fixture};
use std::{collections::HashMap, path::Path, sync::Arc};

const STEPS: usize = 16;
const NAMES: [&str; 2] = ["text", "choice"];

fn decoder(name: &str) -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Decoder::new(Arc::new(silently(|ctx| load_model(&folder, ctx)).expect("model")), Arc::new(CpuBackend::new(Some(2))))
}

fn data(name: &str) -> Arc<Domain> {
    domain(name, &fixture(&format!("{name}.jsonl")))
}

fn stored(name: &str) -> HashMap<String, Vec<f64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/relevance").join(format!("{name}.safetensors"));
    let bytes = std::fs::read(path).expect("fixture");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("header");
    assert_eq!(header.metadata().as_ref().expect("metadata")["steps"], STEPS.to_string());
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |view: safetensors::tensor::TensorView<'_>| -> Vec<f64> {
        match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            _ => view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        }
    };
    tensors.iter().map(|(name, view)| (name.to_owned(), values(view))).collect()
}

fn config(aggregation: Aggregation, steps: Option<usize>) -> RelevanceConfig {
    RelevanceConfig {
        samples: 6,
        max_tokens: 48,
        order: Order::File,
        aggregation,
        steps,
        columns: true,
        draws: 0,
        ..RelevanceConfig::default()
    }
}

fn measure(decoder: &Decoder, name: &str, config: &RelevanceConfig) -> TaskRelevance {
    silently(|ctx| task_relevance(decoder, &data(name), config, ctx)).expect("relevance")
}

/// 1e-3 of each value that is at least a hundredth of the largest. Smaller ones are sums of products that cancel, or, near 0, of float32's own noise:
/// those are held to 1e-5 of the largest (float32 carries 6e-8, a few hundred times over in sums and through the layers).
fn close(found: &Grid, expected: &[f64], what: &str) {
    let (abs, rel) = errors(found.values(), expected, 1e-2);
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(rel < 1e-3 && abs < 1e-5 * largest, "{what}: {rel:e} relative, {abs:e} of {largest:e}");
}

#[test]
fn every_option_agrees_with_pytorch() {
    // A gated MLP, one without a gate and with biases, and one between two norms with another activation.
    for model in ["llama", "gpt2", "gemma3"] {
        let decoder = decoder(&format!("tiny-{model}"));
        let stored = stored(&format!("tiny_{model}"));
        for name in NAMES {
            for (aggregation, word) in [(Aggregation::Sum, "sum"), (Aggregation::PerToken, "per_token"), (Aggregation::Signed, "signed")] {
                for (steps, prefix) in [(None, ""), (Some(STEPS), "ig_")] {
                    let found = measure(&decoder, name, &config(aggregation, steps));
                    let what = format!("{model} {name} {prefix}{word}");
                    close(&found.neurons, &stored[&format!("{name}/neurons/{prefix}{word}")], &what);
                    close(
                        found.columns.as_ref().expect("asked for"),
                        &stored[&format!("{name}/columns/{prefix}{word}")],
                        &format!("columns of {what}"),
                    );
                    let of = &stored[&format!("{name}/completeness")];
                    assert!((found.mean_loss - of[0]).abs() < 1e-5 * of[0], "{what}: loss {} {}", found.mean_loss, of[0]);
                    match (steps, aggregation) {
                        (Some(_), Aggregation::Sum | Aggregation::Signed) => {
                            let c = found.completeness.expect("an integral");
                            // Differences of losses near 6 that are known to 1e-6 each.
                            for (found, expected) in [c.open, c.shut, c.integral].into_iter().zip(of) {
                                assert!((found - expected).abs() < 1e-5, "{what}: {c:?} {of:?}");
                            }
                        }
                        _ => assert_eq!(found.completeness, None),
                    }
                }
            }
        }
    }
}

/// One sample is every resample of itself: a set chosen by it alone would look perfectly stable.
#[test]
fn a_single_sample_has_no_resamples() {
    let decoder = decoder("tiny-llama");
    let draws = |samples| measure(&decoder, "text", &RelevanceConfig { samples, draws: 5, ..config(Aggregation::Sum, None) }).draws.len();
    assert_eq!((draws(1), draws(2)), (0, 5));
}

/// The midpoint rule's error falls with the square of the number of steps, so that the integrals add up to the difference that they must: what 4 steps
/// miss, 32 miss 64 times less of. Held to a tenth of that, for the float32 losses (1e-6 of 6) bound how small it can be seen to become.
#[test]
fn the_integrals_of_all_neurons_add_up_to_the_loss_that_they_cost() {
    for model in ["tiny-llama", "tiny-gpt2"] {
        let decoder = decoder(model);
        for name in NAMES {
            let error = |steps| {
                let c = measure(&decoder, name, &config(Aggregation::Sum, Some(steps))).completeness.expect("an integral");
                assert!((c.open - c.shut).abs() > 0.02, "nothing to integrate: {c:?}");
                c.error()
            };
            let (coarse, fine) = (error(4), error(32));
            // 5e-4 of a difference of 0.05: 2.5e-5, four times what the float32 losses at both ends are known to.
            assert!(fine < 5e-4 && (fine < coarse / 6.0 || fine < 1e-4), "{model} {name}: {coarse:e} with 4 steps, {fine:e} with 32");
        }
    }
}

/// METHODS 6, identity 4: both populations add up to the same number, the derivative of the loss by one gate on all of a layer's neurons.
#[test]
fn neurons_and_output_coordinates_of_a_layer_add_up_to_the_same() {
    let decoder = decoder("tiny-llama");
    for steps in [None, Some(4)] {
        let found = measure(&decoder, "choice", &config(Aggregation::Signed, steps));
        let columns = found.columns.as_ref().expect("asked for");
        for layer in 0..found.neurons.rows() {
            let sum = |g: &Grid| g.row(layer).iter().map(|&v| f64::from(v)).sum::<f64>();
            let largest = found.neurons.row(layer).iter().fold(0.0f32, |m, v| m.max(v.abs()));
            // 88 and 32 float32 terms.
            assert!((sum(&found.neurons) - sum(columns)).abs() < 1e-4 * f64::from(largest), "layer {layer}");
        }
    }
}

#[test]
fn the_default_is_the_scans_relevance_and_resamples_average_to_it() {
    let decoder = decoder("tiny-llama");
    let config = RelevanceConfig { columns: false, draws: 400, ..config(Aggregation::Sum, None) };
    let found = measure(&decoder, "text", &config);
    let scan = silently(|ctx| brodmann::scan::run_scan(&decoder, &[data("text")], &config.scan(), ctx)).expect("scan");
    let of_scan = scan.domains[0].relevance.as_ref().expect("asked for");
    let expected: Vec<f64> = of_scan.values().iter().map(|&v| f64::from(v)).collect();
    close(&found.neurons, &expected, "scan");
    assert_eq!(found.source, scan.domains[0].source);
    assert_eq!(found.draws.len(), 400);
    // A resample's mean is that of the whole on average; over 400 of them the error of the mean is a twentieth of one's own, and one's own is at most
    // the largest value: a fifth of that is four standard errors.
    let mean = |i: usize| found.draws.iter().map(|d| f64::from(d.values()[i])).sum::<f64>() / 400.0;
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(*v));
    assert!(expected.iter().enumerate().all(|(i, e)| (mean(i) - e).abs() < 0.2 * largest));
    let first = &found.draws[0];
    assert!(found.draws.iter().any(|d| d != first), "resamples differ");
    assert_eq!(measure(&decoder, "text", &config).draws[7], found.draws[7], "and repeat to the bit");
}

#[test]
fn a_search_that_is_stopped_or_makes_no_sense_says_so() {
    let decoder = decoder("tiny-llama");
    let cancel = CancelToken::default();
    cancel.cancel();
    let stopped = task_relevance(&decoder, &data("text"), &config(Aggregation::Sum, None), &Ctx::new(&cancel, &|_| {}));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let none = silently(|ctx| task_relevance(&decoder, &data("text"), &config(Aggregation::Sum, Some(0)), ctx)).expect_err("no step");
    assert!(none.to_string().contains("at least 1 step"), "{none}");
}
