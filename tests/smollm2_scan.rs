//! A scan of SmolLM2-135M from its GGUF file against PyTorch autograd on the dequantised weights: density, LLMDcos and relevance on real rows.
//!
//! The values were made by scripts/reference/scan_fixtures.py from the folder that scripts/reference/smollm2_folder.py writes; the engine reads
//! the GGUF file itself. The rows are samples in ../shared/data.

#[path = "support/gguf.rs"]
mod gguf;
#[path = "support/scan_reference.rs"]
mod scan_reference;

use brodmann::{
    base::job::silently,
    compute::cpu::CpuBackend,
    model::{Decoder, load_model},
    scan::ObjectiveKind,
};
use scan_reference::{agrees_with_pytorch, domain};
use std::{path::Path, sync::Arc};

#[test]
fn a_scan_of_smollm2_from_its_gguf_agrees_with_pytorch_for_both_objectives() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Some(path) = gguf::smollm2() else { return };
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    let model = silently(|ctx| load_model(&path, ctx)).unwrap_or_else(|e| panic!("{e}"));
    let decoder = Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)));
    let domains = [("boolq", "boolq_validation"), ("humaneval", "humaneval")]
        .map(|(name, file)| domain(name, &data.join(file).with_extension("jsonl")));
    for objective in [ObjectiveKind::MaxLogit, ObjectiveKind::Loss] {
        agrees_with_pytorch(&decoder, &domains, "smollm2", objective);
    }
}
