//! The trainer against PyTorch, and its promise that a resumed run is the unbroken run.

use brodmann::{
    base::job::silently,
    compute::cpu::CpuBackend,
    model::{family, load_model},
    tune::{AdamWConfig, Schedule, TrainConfig, TrainSequence, Trainer, checkpoint},
};
use std::{path::Path, sync::Arc};

const STEPS: usize = 10;

fn config() -> TrainConfig {
    TrainConfig {
        schedule: Schedule { peak: 3e-3, warmup_steps: 3, total_steps: STEPS, floor: 0.1 },
        optimizer: AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.1 },
        clip: 1.0,
        // Smaller than a step's 31 tokens, so that gradients are accumulated over micro-batches.
        micro_batch_tokens: 20,
    }
}

fn trainer(threads: usize) -> Trainer {
    let model = silently(|ctx| load_model(Path::new("tests/fixtures/tiny-llama"), ctx)).expect("fixture");
    Trainer::new(model, Arc::new(CpuBackend::new(Some(threads))), config())
}

/// The same generator as in scripts/reference/adamw_reference.py.
fn sequences(step: usize) -> Vec<TrainSequence> {
    let mut state = 12345 + step as u64;
    [9usize, 17, 5]
        .map(|n| {
            let tokens: Vec<u32> = (0..n)
                .map(|_| {
                    state = (state * 1_103_515_245 + 12345) % (1 << 31);
                    (state / 65536 % 512) as u32
                })
                .collect();
            let weights = (0..n).map(|i| if i == 0 { 0.0 } else { [1.0, 0.25, 0.25][i % 3] }).collect();
            TrainSequence { tokens, weights }
        })
        .to_vec()
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    let model = &trainer.decoder().model;
    let tensors = model.spec.roles().into_iter().filter_map(|r| model.weights.get(r));
    tensors.flat_map(|t| t.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}

#[test]
fn ten_steps_equal_pytorch() {
    let text = std::fs::read_to_string("tests/fixtures/adamw_reference.json").expect("fixture");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("json");
    let number = |key: &str, i: usize| reference[key][i].as_f64().expect("number");
    let mut t = trainer(2);
    for step in 0..STEPS {
        let report = t.step(&sequences(step)).expect("step");
        let (loss, norm) = (number("losses", step), number("gradient_norms", step));
        // f32 on both sides with other summation orders: 1e-5 relative is some 100 roundings.
        assert!((report.loss - loss).abs() < 1e-5 * loss, "step {step}: loss {} reference {loss}", report.loss);
        assert!((report.gradient_norm - norm).abs() < 1e-4 * norm, "step {step}: norm {} reference {norm}", report.gradient_norm);
    }
    let model = &t.decoder().model;
    let llama = family::find("llama").expect("registered");
    for role in model.spec.roles() {
        let ours = model.weights.get(role).expect("weight");
        let expected = &reference["weights"][(llama.tensor_name)(role)];
        let norm: f64 = ours.values().iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let reference_norm = expected["norm"].as_f64().expect("norm");
        assert!((norm - reference_norm).abs() < 1e-5 * reference_norm, "{role}: norm {norm} reference {reference_norm}");
        let every = expected["every"].as_u64().expect("every") as usize;
        let scale = reference_norm / (ours.len() as f64).sqrt();
        for (value, theirs) in ours.values().iter().step_by(every).zip(expected["values"].as_array().expect("values")) {
            // Adam divides by the gradient's own size, so where a gradient is only noise its sign may differ: relative to the typical weight.
            let difference = (f64::from(*value) - theirs.as_f64().expect("value")).abs();
            assert!(difference < 2e-4 * scale, "{role}: {value} reference {theirs}, typical size {scale}");
        }
    }
}

#[test]
fn a_resumed_run_has_the_bytes_of_an_unbroken_one_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("checkpoint.safetensors");
    let mut whole = trainer(2);
    let start = bits(&whole);
    for step in 0..STEPS {
        whole.step(&sequences(step)).expect("step");
    }
    let mut first = trainer(1);
    for step in 0..4 {
        first.step(&sequences(step)).expect("step");
    }
    checkpoint::save(&first, &path).expect("save");
    drop(first);
    let mut resumed = trainer(1);
    checkpoint::load(&mut resumed, &path).expect("load");
    assert_eq!(resumed.steps_done(), 4);
    for step in 4..STEPS {
        resumed.step(&sequences(step)).expect("step");
    }
    assert_ne!(bits(&whole), start);
    assert_eq!(bits(&whole), bits(&resumed));
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("checkpoint.safetensors");
    let mut t = trainer(1);
    t.step(&sequences(0)).expect("step");
    checkpoint::save(&t, &path).expect("save");
    let before = bits(&t);
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("write");
    assert!(checkpoint::load(&mut t, &path).expect_err("cut").to_string().contains("checkpoint"));
    std::fs::write(&path, &bytes).expect("write");
    t.config.clip = 2.0;
    assert!(checkpoint::load(&mut t, &path).expect_err("other settings").to_string().contains("settings"));
    assert_eq!(bits(&t), before);
}

#[test]
fn a_step_without_weights_or_with_a_scored_first_token_is_refused() {
    let mut t = trainer(1);
    let unscored = TrainSequence { tokens: vec![1, 2], weights: vec![0.0, 0.0] };
    assert!(t.step(&[unscored]).is_err());
    let first = TrainSequence { tokens: vec![1, 2], weights: vec![1.0, 0.0] };
    assert!(t.step(&[first]).is_err());
}
