//! Our half of the comparison with PyTorch: scans on demand, so that a driver can take turns.
//!
//! Run `python benches/peers/scan_vs_pytorch.py`, which writes a random model, starts this with `--serve FOLDER THREADS OBJECTIVE` and reads its
//! lines: first what is scanned, then for every line on stdin one scan's seconds and numbers. Without arguments it only says so.

use brodmann::{
    base::{Ctx, job::silently},
    compute::cpu::{BigBlocks, CpuBackend},
    model::{Decoder, load_model},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, scan_prepared},
};
use std::{io::BufRead as _, path::Path, sync::Arc, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    silently(serve)
}

fn serve(ctx: &Ctx<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--serve").skip(1).collect();
    let [folder, threads, objective, ..] = &args[..] else {
        println!("scan_vs_pytorch: run `python benches/peers/scan_vs_pytorch.py`, which needs torch, numpy and safetensors");
        return Ok(());
    };
    let folder = Path::new(folder);
    let tokens: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder.join("tokens.json"))?)?;
    let objective = if objective == "loss" { ObjectiveKind::Loss } else { ObjectiveKind::MaxLogit };
    let domain = PreparedDomain::from_tokens("random", tokens, objective, 0);
    let config = ScanConfig { objective, metrics: vec![MetricKind::ParamActivation, MetricKind::Llmdcos], ..ScanConfig::default() };
    let backend = Arc::new(CpuBackend::new(Some(threads.parse()?)));
    let decoder = Decoder::new(Arc::new(load_model(folder, ctx)?), backend);
    println!("{}", serde_json::json!({ "device": decoder.backend.device(), "cycle": domain.source.self_cycle, "gamma": config.gamma }));
    for line in std::io::stdin().lock().lines() {
        line?;
        let (start, cpu_before) = (Instant::now(), cpu_seconds());
        let scan = scan_prepared(&decoder, std::slice::from_ref(&domain), &config, Limits::default(), ctx)?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds().zip(cpu_before).map(|(now, before)| now - before);
        let counts = &scan.domains[0].activated_count;
        println!(
            "{}",
            serde_json::json!({ "seconds": seconds, "cpu_seconds": cpu_seconds, "counts": counts, "cosines": scan.llmdcos[0].cosines })
        );
    }
    Ok(())
}

/// Processor time of all threads, in hundredths of a second (`utime` and `stime` of proc(5)).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}
