//! Our half of the comparison with PyTorch in f64: one forward pass and one scan by each arithmetic.
//!
//! Run `python benches/peers/accuracy_vs_f64.py`, which starts this with `--serve FOLDER KINDS`, FOLDER a model and tokens.json beside it, KINDS as on the
//! command line between commas. For each kind it writes KIND.logits (f32, `[tokens, vocab]`) there and prints a line with the scan's numbers. Without
//! arguments it only says so.

use brodmann::{
    base::{Ctx, job::silently},
    compute::cpu::{BigBlocks, CpuBackend, Products},
    model::{Batch, Decoder, NoHooks, load_model},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, scan_prepared},
};
use std::{error::Error, path::Path, sync::Arc};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() -> Result<(), Box<dyn Error>> {
    silently(serve)
}

fn serve(ctx: &Ctx<'_>) -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--serve").skip(1).collect();
    let [folder, kinds, ..] = &args[..] else {
        println!("accuracy: run `python benches/peers/accuracy_vs_f64.py`, which needs torch and transformers");
        return Ok(());
    };
    let folder = Path::new(folder);
    let tokens: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder.join("tokens.json"))?)?;
    let model = Arc::new(load_model(folder, ctx)?);
    for kind in kinds.split(',') {
        let backend = Arc::new(CpuBackend::with_products(None, kind.parse::<Products>()?));
        let decoder = Decoder::new(model.clone(), backend);
        let resid = decoder.forward(&Batch::new(&tokens), &mut NoHooks)?;
        let rows: Vec<usize> = (0..tokens.iter().map(Vec::len).sum()).collect();
        let logits: Vec<u8> = decoder.logits(&resid, &rows)?.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{kind}.logits")), logits)?;
        let domain = PreparedDomain::from_tokens("text", tokens.clone(), ObjectiveKind::Loss, 0);
        let metrics = vec![MetricKind::ParamActivation, MetricKind::Llmdcos];
        let config = ScanConfig { objective: ObjectiveKind::Loss, metrics, ..ScanConfig::default() };
        let scan = scan_prepared(&decoder, std::slice::from_ref(&domain), &config, Limits::default(), ctx)?;
        let of = &scan.domains[0];
        let line = serde_json::json!({
            "kind": kind, "device": decoder.backend.device(), "gamma": config.gamma, "objective": of.mean_objective, "count": of.activated_count,
            "cosines": scan.llmdcos[0].cosines, "units": of.param_activation.as_ref().map(|grid| grid.values().to_vec()),
        });
        println!("{line}");
    }
    Ok(())
}
