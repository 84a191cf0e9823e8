//! SGD, LoRA and neuron-set training against PyTorch: ten steps each on a tiny random model. scripts/reference/tuning_reference.py made the values.

use brodmann::{
    base::{NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    model::{Matrix, family, load_model},
    tune::{AdamWConfig, LoraConfig, OptimizerConfig, Schedule, SgdConfig, Target, TrainConfig, TrainSequence, Trained, Trainer},
};
use serde_json::Value;
use std::{path::Path, sync::Arc};

const STEPS: usize = 10;
const RANK: usize = 3;

/// The generator of the script.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = (self.0 * 1_103_515_245 + 12345) % (1 << 31);
        self.0 / 65536
    }
}

fn sequences(step: usize) -> Vec<TrainSequence> {
    let mut numbers = Numbers(12345 + step as u64);
    [9usize, 17, 5]
        .map(|n| {
            let tokens: Vec<u32> = (0..n).map(|_| (numbers.next() % 512) as u32).collect();
            let weights = (0..n).map(|i| if i == 0 { 0.0 } else { [1.0, 0.25, 0.25][i % 3] }).collect();
            TrainSequence { tokens, weights }
        })
        .to_vec()
}

fn adamw() -> OptimizerConfig {
    AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.1 }.into()
}

fn trainer(target: &Target, optimizer: OptimizerConfig, peak: f64) -> Trainer {
    let model = silently(|ctx| load_model(Path::new("tests/fixtures/tiny-llama"), ctx)).expect("fixture");
    let schedule = Schedule { peak, warmup_steps: 3, total_steps: STEPS, floor: 0.1 };
    // Smaller than a step's 31 tokens, so that gradients are accumulated over micro-batches.
    let config = TrainConfig { schedule, optimizer, clip: 1.0, micro_batch_tokens: 20 };
    Trainer::with_target(model, Arc::new(CpuBackend::new(Some(2))), config, target, 0).expect("trainer")
}

fn reference(of: &str) -> Value {
    let text = std::fs::read_to_string("tests/fixtures/tuning_reference.json").expect("fixture");
    serde_json::from_str::<Value>(&text).expect("json")[of].take()
}

/// f32 on both sides with other summation orders: 1e-5 relative is some 100 roundings.
const RELATIVE: f64 = 1e-5;

fn steps(t: &mut Trainer, reference: &Value) {
    for step in 0..STEPS {
        let report = t.step(&sequences(step)).expect("step");
        let number = |key: &str| reference[key][step].as_f64().expect("number");
        let (loss, norm) = (number("losses"), number("gradient_norms"));
        assert!((report.loss - loss).abs() < RELATIVE * loss, "step {step}: loss {} reference {loss}", report.loss);
        assert!(
            (report.gradient_norm - norm).abs() < 10.0 * RELATIVE * norm,
            "step {step}: norm {} reference {norm}",
            report.gradient_norm
        );
    }
}

/// `each`: of a single value, relative to the typical one of its tensor.
fn compare(name: &str, ours: &[f32], expected: &Value, each: f64) {
    let norm: f64 = ours.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let reference_norm = expected["norm"].as_f64().unwrap_or_else(|| panic!("no {name} in the reference"));
    assert!((norm - reference_norm).abs() < RELATIVE * reference_norm, "{name}: norm {norm} reference {reference_norm}");
    let scale = reference_norm / (ours.len() as f64).sqrt();
    let values = expected["values"].as_array().expect("values");
    let every = expected["every"].as_u64().expect("every") as usize;
    assert_eq!(ours.iter().step_by(every).count(), values.len(), "{name}");
    for (value, theirs) in ours.iter().step_by(every).zip(values) {
        let difference = (f64::from(*value) - theirs.as_f64().expect("value")).abs();
        assert!(difference < each * scale, "{name}: {value} reference {theirs}, typical size {scale}");
    }
}

#[test]
fn ten_steps_of_sgd_equal_pytorch() {
    let reference = reference("sgd");
    let sgd = OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.05 });
    let mut t = trainer(&Target::All, sgd, 0.1);
    steps(&mut t, &reference);
    let model = &t.decoder().model;
    let llama = family::find("llama").expect("registered");
    for role in model.spec.roles() {
        let name = (llama.tensor_name)(role);
        // SGD is linear in the gradient: no value may be off by more than rounding makes it.
        compare(&name, &model.weights.get(role).expect("weight"), &reference["weights"][&name], RELATIVE);
    }
}

#[test]
fn ten_steps_of_a_neuron_set_equal_pytorch() {
    let reference = reference("neurons");
    let set = NeuronSet::parse("L0N1-3,L1N0-3,L1N17,L2N5").expect("set");
    let mut t = trainer(&Target::Neurons(set.clone()), adamw(), 3e-3);
    steps(&mut t, &reference);
    let model = &t.decoder().model;
    let llama = family::find("llama").expect("registered");
    let trained = Trained::neurons(&model.spec, &set).expect("fits");
    for (slice, values) in trained.slices.iter().zip(trained.read(&model.weights).expect("fits")) {
        let name = (llama.tensor_name)(slice.role);
        // Adam divides by the gradient's own size, so where a gradient is only noise its sign may differ: relative to the typical weight.
        compare(&name, &values, &reference["weights"][&name], 2e-4);
    }
}

#[test]
fn ten_steps_of_lora_equal_pytorch() {
    let reference = reference("lora");
    let lora = LoraConfig { rank: RANK, alpha: 6.0, targets: [Matrix::Q, Matrix::V, Matrix::Down].into() };
    let mut t = trainer(&Target::Lora(lora), adamw(), 3e-3);
    // A begins as in the script; adapters lie in the same order, layer by layer, q, v, down.
    let starts: Vec<Vec<f32>> = t.lora().expect("lora").adapters.iter().map(|a| a.a.clone()).collect();
    let mut numbers = Numbers(777);
    for (adapter, start) in starts.iter().enumerate() {
        for (i, old) in start.iter().enumerate() {
            let new = ((numbers.next() % 2001) as f64 - 1000.0) / 10000.0;
            t.nudge_adapter(adapter, false, i, (new - f64::from(*old)) as f32).expect("nudge");
        }
    }
    steps(&mut t, &reference);
    let llama = family::find("llama").expect("registered");
    for adapter in &t.lora().expect("lora").adapters {
        let name = (llama.tensor_name)(adapter.role);
        for (part, values) in [("lora_a", &adapter.a), ("lora_b", &adapter.b)] {
            compare(&format!("{name} {part}"), values, &reference["weights"][format!("{name} {part}")], 2e-4);
        }
    }
}
