//! The trainer against PyTorch, and its promise that a resumed run is the unbroken run.

use brodmann::{
    base::{Neuron, NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    model::{Matrix, Role, family, load_model},
    tune::{AdamWConfig, LoraConfig, OptimizerConfig, Schedule, SgdConfig, Target, TrainConfig, TrainSequence, Trainer, checkpoint},
};
use std::{path::Path, sync::Arc};

const STEPS: usize = 10;

fn config() -> TrainConfig {
    TrainConfig {
        schedule: Schedule { peak: 3e-3, warmup_steps: 3, total_steps: STEPS, floor: 0.1 },
        optimizer: AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.1 }.into(),
        clip: 1.0,
        // Smaller than a step's 31 tokens, so that gradients are accumulated over micro-batches.
        micro_batch_tokens: 20,
    }
}

fn trainer(threads: usize) -> Trainer {
    let model = silently(|ctx| load_model(Path::new("tests/fixtures/tiny-llama"), ctx)).expect("fixture");
    Trainer::new(model, Arc::new(CpuBackend::new(Some(threads))), config()).expect("trainer")
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

/// Clipping depends on everything that trains; without it one parameter's update is its own.
fn unclipped() -> TrainConfig {
    TrainConfig { clip: 1e9, ..config() }
}

fn targeted(target: &Target, config: TrainConfig) -> Trainer {
    let model = silently(|ctx| load_model(Path::new("tests/fixtures/tiny-llama"), ctx)).expect("fixture");
    Trainer::with_target(model, Arc::new(CpuBackend::new(Some(2))), config, target, 3).expect("trainer")
}

/// Whether each scalar belongs to a neuron of the set, tensor after tensor.
fn belongs(trainer: &Trainer, set: &NeuronSet) -> Vec<bool> {
    let model = &trainer.decoder().model;
    let inside = |role: Role| {
        let tensor = model.weights.get(role).expect("weight");
        let width = *tensor.shape.last().expect("shape");
        let of = move |i: usize| match role {
            Role::Weight(l, Matrix::Gate | Matrix::Up) => set.contains(Neuron::new(l as u32, (i / width) as u32)),
            Role::Weight(l, Matrix::Down) => set.contains(Neuron::new(l as u32, (i % width) as u32)),
            _ => false,
        };
        (0..tensor.len()).map(of).collect::<Vec<_>>()
    };
    model.spec.roles().into_iter().flat_map(inside).collect()
}

#[test]
fn a_neuron_set_trains_as_it_does_in_full_training_and_the_rest_keeps_its_bytes() {
    let set = NeuronSet::parse("L1N0-3,L1N17,L2N5").expect("set");
    let mut full = targeted(&Target::All, unclipped());
    let mut part = targeted(&Target::Neurons(set.clone()), unclipped());
    let start = bits(&part);
    assert_eq!(bits(&full), start);
    full.step(&sequences(0)).expect("step");
    part.step(&sequences(0)).expect("step");
    let (inside, whole, now) = (belongs(&part, &set), bits(&full), bits(&part));
    assert_eq!(inside.iter().filter(|b| **b).count(), part.n_trained());
    for i in 0..start.len() {
        if inside[i] {
            let (a, b) = (f32::from_bits(whole[i]), f32::from_bits(now[i]));
            // The products are summed in another order; Adam's first update is the sign of the gradient, so where one is noise it may turn.
            assert!((a - b).abs() < 1e-5 || (a - b).abs() > 1e-3, "{i}: {a} in full training, {b} alone");
        }
    }
    let differ = (0..start.len()).filter(|&i| inside[i] && (f32::from_bits(whole[i]) - f32::from_bits(now[i])).abs() > 1e-5).count();
    assert!(differ * 100 < part.n_trained(), "{differ} of {} turned", part.n_trained());
    for step in 1..4 {
        part.step(&sequences(step)).expect("step");
    }
    let now = bits(&part);
    assert!((0..start.len()).all(|i| inside[i] || now[i] == start[i]), "a frozen weight changed");
    assert!((0..start.len()).filter(|&i| inside[i]).all(|i| now[i] != start[i]), "a weight of the set did not change");
}

#[test]
fn adapters_get_the_gradient_of_central_differences() {
    let lora = LoraConfig { rank: 3, alpha: 6.0, targets: [Matrix::Q, Matrix::V, Matrix::Down].into() };
    // A step of plain SGD shows its gradient: w - rate * g.
    let config = TrainConfig {
        schedule: Schedule { peak: 1e-3, warmup_steps: 0, total_steps: STEPS, floor: 1.0 },
        optimizer: OptimizerConfig::Sgd(SgdConfig { momentum: 0.0, weight_decay: 0.0 }),
        ..unclipped()
    };
    let mut t = targeted(&Target::Lora(lora), config);
    let start = bits(&t);
    for step in 0..3 {
        t.step(&sequences(step)).expect("step");
    }
    assert_ne!(bits(&t), start);
    let before: Vec<(Vec<f32>, Vec<f32>)> = t.lora().expect("lora").adapters.iter().map(|a| (a.a.clone(), a.b.clone())).collect();
    // The loss of W + d at fixed A, B, in f64 by the loss of the moved model.
    let loss = |t: &mut Trainer| t.step(&sequences(9)).expect("step").loss;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("c.safetensors");
    checkpoint::save(&t, &path).expect("save");
    loss(&mut t);
    let after: Vec<(Vec<f32>, Vec<f32>)> = t.lora().expect("lora").adapters.iter().map(|a| (a.a.clone(), a.b.clone())).collect();
    let rate = config.schedule.rate(3);
    for adapter in [0, before.len() - 1] {
        for (which, index) in [(0, 1), (1, 2)] {
            let pick = |p: &(Vec<f32>, Vec<f32>)| f64::from(if which == 0 { p.0[index] } else { p.1[index] });
            let gradient = (pick(&before[adapter]) - pick(&after[adapter])) / rate;
            let eps = 2e-2f32;
            let mut moved = [0.0; 2];
            for (side, sign) in [(0, 1.0f32), (1, -1.0)] {
                checkpoint::load(&mut t, &path).expect("load");
                t.nudge_adapter(adapter, which == 1, index, sign * eps).expect("nudge");
                moved[side] = loss(&mut t);
            }
            let numeric = (moved[0] - moved[1]) / (2.0 * f64::from(eps));
            // f32 losses near 6 are good to 1e-6, over 0.04 to 3e-5; the curvature adds its square.
            assert!(
                (gradient - numeric).abs() < 2e-4 + 0.02 * numeric.abs(),
                "adapter {adapter} part {which}: {gradient} numeric {numeric}"
            );
        }
    }
}

#[test]
fn a_neuron_run_resumes_byte_for_byte() {
    let target = Target::Neurons(NeuronSet::parse("L0N1-9,L2N30").expect("set"));
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("c.safetensors");
    let (mut whole, mut first) = (targeted(&target, config()), targeted(&target, config()));
    for step in 0..6 {
        whole.step(&sequences(step)).expect("step");
        if step < 3 {
            first.step(&sequences(step)).expect("step");
        }
    }
    checkpoint::save(&first, &path).expect("save");
    let mut resumed = targeted(&target, config());
    checkpoint::load(&mut resumed, &path).expect("load");
    for step in 3..6 {
        resumed.step(&sequences(step)).expect("step");
    }
    assert_eq!(bits(&whole), bits(&resumed));
    // The checkpoint of a set holds its rows and columns and their state only.
    let size = std::fs::metadata(&path).expect("file").len() as usize;
    assert!(size < 3 * 4 * first.n_trained() + 4_000, "{size} bytes for {} scalars", first.n_trained());
}
