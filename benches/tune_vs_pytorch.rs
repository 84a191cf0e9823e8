//! Our half of the comparison of training steps with PyTorch: steps on demand, so that a driver can take turns.
//!
//! Run `python benches/peers/tune_vs_pytorch.py`, which writes a random model, starts this with `--serve FOLDER THREADS full|neurons`, and reads a line
//! for every line on stdin: seconds, loss and gradient norm of one step, and the process' peak memory so far. `neurons` trains one hidden neuron in ten.
//! Without arguments it only says so.

use brodmann::{
    base::{Ctx, Neuron, NeuronSet, job::silently, memory::peak_rss_bytes},
    compute::cpu::{BigBlocks, CpuBackend},
    model::load_model,
    tune::{AdamWConfig, Schedule, Target, TrainConfig, TrainSequence, Trainer},
};
use serde_json::json;
use std::{error::Error, io::BufRead as _, path::Path, sync::Arc, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() -> Result<(), Box<dyn Error>> {
    silently(serve)
}

fn serve(ctx: &Ctx<'_>) -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--serve").skip(1).collect();
    let [folder, threads, what, ..] = &args[..] else {
        println!("tune_vs_pytorch: run `python benches/peers/tune_vs_pytorch.py`, which needs torch, numpy and safetensors");
        return Ok(());
    };
    let folder = Path::new(folder);
    let tokens: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder.join("tokens.json"))?)?;
    let backend = Arc::new(CpuBackend::new(Some(threads.parse()?)));
    let model = load_model(folder, ctx)?;
    let spec = &model.spec;
    let one_in_ten = || -> NeuronSet {
        (0..spec.n_layers as u32).flat_map(|l| (0..spec.d_mlp as u32).step_by(10).map(move |i| Neuron::new(l, i))).collect()
    };
    let target = if what == "neurons" { Target::Neurons(one_in_ten()) } else { Target::All };
    // As the peer: a constant rate, PyTorch's betas, decay of matrices, gradients cut to norm 1.
    let optimizer = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let schedule = Schedule { peak: 1e-5, warmup_steps: 0, total_steps: 1, floor: 1.0 };
    let n: usize = tokens.iter().map(Vec::len).sum();
    let config = TrainConfig { schedule, optimizer: optimizer.into(), clip: 1.0, micro_batch_tokens: n };
    let weights = |t: &Vec<u32>| (0..t.len()).map(|i| if i == 0 { 0.0 } else { 1.0 }).collect();
    let batch: Vec<TrainSequence> = tokens.iter().map(|t| TrainSequence { tokens: t.clone(), weights: weights(t) }).collect();
    let mut trainer = Trainer::with_target(model, backend.clone(), config, &target, 0)?;
    println!("{}", json!({ "device": brodmann::compute::Backend::device(&*backend), "trained": trainer.n_trained() }));
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let report = trainer.step(&batch)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{}", json!({ "seconds": seconds, "loss": report.loss, "norm": report.gradient_norm, "peak": peak_rss_bytes() }));
    }
    Ok(())
}
