//! Our half of the comparison with transformers: losses of token rows and greedy text on demand, so that a driver can take turns.
//!
//! Run `python benches/peers/text_vs_transformers.py MODEL`, which starts this with `--serve FOLDER THREADS`, writes a request a line and reads an
//! answer a line: `{"score": [[tokens], ...]}` gives the seconds and each row's mean loss, `{"write": [tokens], "tokens": n}` the seconds and
//! the tokens. Without arguments it only says so.

use brodmann::{
    base::{Ctx, job::silently},
    compute::cpu::{BigBlocks, CpuBackend, Products},
    model::{Batch, Decoder, GenerateConfig, NoHooks, generate, load_model},
};
use serde_json::{Value, json};
use std::{error::Error, io::BufRead as _, path::Path, sync::Arc, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() -> Result<(), Box<dyn Error>> {
    silently(serve)
}

fn serve(ctx: &Ctx<'_>) -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--serve").skip(1).collect();
    let [folder, threads, ..] = &args[..] else {
        println!("text_vs_transformers: run `python benches/peers/text_vs_transformers.py MODEL`, which needs torch and transformers");
        return Ok(());
    };
    let begun = Instant::now();
    let threads = Some(threads.parse()?);
    let decoder = Decoder::new(Arc::new(load_model(Path::new(folder), ctx)?), Arc::new(CpuBackend::new(threads)));
    // As `brodmann generate` does it.
    let products = Products::from_env().and_then(Result::ok).flatten().unwrap_or(Products::F32);
    let writer = Decoder::new(decoder.model.clone(), Arc::new(CpuBackend::with_products(threads, products)));
    println!("{}", json!({ "device": decoder.backend.device(), "seconds": begun.elapsed().as_secs_f64() }));
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let begun = Instant::now();
        let mut answer = if request["score"].is_array() {
            json!({ "losses": losses(&decoder, &serde_json::from_value::<Vec<Vec<u32>>>(request["score"].clone())?)? })
        } else {
            let prompt: Vec<u32> = serde_json::from_value(request["write"].clone())?;
            let config = GenerateConfig { tokens: serde_json::from_value(request["tokens"].clone())?, ..GenerateConfig::default() };
            json!({ "written": generate(&writer, &prompt, &config, &mut NoHooks, ctx)? })
        };
        answer["seconds"] = begun.elapsed().as_secs_f64().into();
        println!("{answer}");
    }
    Ok(())
}

/// Mean loss of every row from its second token on.
fn losses(decoder: &Decoder, rows: &[Vec<u32>]) -> Result<Vec<f64>, Box<dyn Error>> {
    let batch = Batch::new(rows);
    let resid = decoder.forward(&batch, &mut NoHooks)?;
    let scored: Vec<usize> = (0..rows.len()).flat_map(|i| batch.span(i).skip(1)).collect();
    let mut scores = decoder.log_probs(&batch, &resid, &scored)?.into_iter();
    Ok(rows.iter().map(|r| -scores.by_ref().take(r.len() - 1).map(|(p, _)| f64::from(p)).sum::<f64>() / (r.len() - 1) as f64).collect())
}
