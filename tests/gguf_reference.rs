//! Whole models from GGUF files against transformers on the same dequantised weights (stored by scripts/reference/gguf_losses.py).

#[path = "support/gguf.rs"]
mod gguf;

use brodmann::{
    base::job::silently,
    compute::cpu::CpuBackend,
    model::{Batch, Decoder, NoHooks, load_model},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Of the issue: nats a token.
const TOLERANCE: f64 = 1e-3;

fn stored(name: &str) -> (Value, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf_losses.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).expect("fixture")).expect("fixture");
    (all["prompt"].clone(), all["models"][name].clone())
}

fn decoder(path: &Path) -> Decoder {
    let model = silently(|ctx| load_model(path, ctx)).unwrap_or_else(|e| panic!("{e}"));
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)))
}

/// Ids and logits of the prompt's next token, and the loss of every row.
fn compare(path: &Path) {
    let name = path.file_name().expect("name").to_string_lossy();
    let (prompt, want) = stored(&name);
    let decoder = decoder(path);
    let ids = decoder.model.tokenizer.encode(prompt.as_str().expect("prompt")).expect("encode");
    assert_eq!(serde_json::json!(ids), want["prompt_ids"]);
    let logits = decoder.forward_logits(&Batch::new(&[&ids])).expect("logits");
    let last = &logits[logits.len() - decoder.model.spec.vocab..];
    for next in want["next"].as_array().expect("next") {
        let (id, logit) = (next["id"].as_u64().expect("id") as usize, next["logit"].as_f64().expect("logit") as f32);
        assert!((last[id] - logit).abs() < 2e-3, "{name}: logit of {} is {}, expected {logit}", next["text"], last[id]);
    }
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).expect("logits") as u64;
    assert_eq!(Some(best), want["next"][0]["id"].as_u64());

    let rows = want["rows"].as_array().expect("rows");
    let mut worst = 0.0f64;
    for (i, row) in rows.iter().enumerate() {
        let ids: Vec<u32> = row["ids"].as_str().expect("ids").split(' ').map(|id| id.parse().expect("id")).collect();
        let batch = Batch::new(&[&ids]);
        let resid = decoder.forward(&batch, &mut NoHooks).expect("forward");
        // Position p tells how likely the token at p is from what stands before it.
        let scored: Vec<usize> = (1..ids.len()).collect();
        let log_probs = decoder.log_probs(&batch, &resid, &scored).expect("log-probabilities");
        let loss = -log_probs.iter().map(|(lp, _)| f64::from(*lp)).sum::<f64>() / scored.len() as f64;
        let difference = (loss - row["loss"].as_f64().expect("loss")).abs();
        assert!(difference < TOLERANCE, "{name}, row {i}: loss {loss}, expected {}", row["loss"]);
        worst = worst.max(difference);
    }
    println!("{name}: {} rows, losses within {worst:.1e}", rows.len());
}

#[test]
fn smollm2_knows_the_capital_of_france_and_its_losses_are_those_of_transformers() {
    let Some(path) = gguf::smollm2() else { return };
    let decoder = decoder(&path);
    let ids = decoder.model.tokenizer.encode("The capital of France is").expect("encode");
    let logits = decoder.forward_logits(&Batch::new(&[&ids])).expect("logits");
    let last = &logits[logits.len() - decoder.model.spec.vocab..];
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).expect("logits");
    assert_eq!(decoder.model.tokenizer.piece(best as u32), " Paris");
    drop(decoder);
    compare(&path);
}

#[test]
fn stories260k_files_have_the_losses_of_transformers() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260K");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for name in ["stories260K.f32.gguf", "stories260K.q8_0.gguf"] {
        compare(&folder.join(name));
    }
}
