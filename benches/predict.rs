//! First-order predictions: seconds to compute the effects of every neuron and head on a domain's items, and microseconds to predict a set from them.
//!
//! `cargo bench --bench predict -- MODEL_FOLDER DATASET [items]`; without arguments the small fixture model and its questions. Medians and minima
//! over repeats, because machines are shared.

use brodmann::{
    ablate::{AttributionLimits, attribute},
    base::{Grid, NeuronSet, job::silently, rng::Rng},
    compute::cpu::{BigBlocks, CpuBackend},
    data::{Mapping, open_domain},
    eval::{AblationMode, Intervention},
    model::{Decoder, load_model},
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Instant};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let fixture = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let folder = words.first().map_or_else(|| fixture("tiny-llama"), PathBuf::from);
    let data = words.get(1).map_or_else(|| fixture("data/eval_choices.jsonl"), PathBuf::from);
    let most = words.get(2).and_then(|n| n.parse().ok()).unwrap_or(64);

    let model = silently(|ctx| load_model(&folder, ctx)).expect("model");
    let mut domain = silently(|ctx| open_domain("domain", &data, &Mapping::default(), ctx)).expect("domain");
    domain.items.truncate(most);
    let decoder = Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)));
    let spec = decoder.model.spec.clone();
    let (layers, width) = (spec.n_layers, spec.d_mlp);
    println!("{}, {}", decoder.model.info.name, decoder.backend.device());

    let reference = Intervention::new(NeuronSet::new(), BTreeSet::new(), AblationMode::Zero);
    let begun = Instant::now();
    let limits = AttributionLimits { table_bytes: 1 << 30, ..AttributionLimits::default() };
    let effects = silently(|ctx| attribute(&decoder, "domain", domain.kind, &domain.items, &reference, limits, ctx)).expect("effects");
    println!(
        "effects of {} neurons on {} of {} items: {:.2} s, {:.1} MB",
        layers * width,
        effects.n(),
        effects.n_all,
        begun.elapsed().as_secs_f64(),
        effects.bytes() as f64 / 1e6
    );

    let mut rng = Rng::new(1);
    let noise: Vec<f32> = (0..layers * width).map(|_| rng.unit() as f32).collect();
    let noise = Grid::new(layers, width, noise).expect("grid");
    for (name, set) in [
        ("1 neuron", NeuronSet::top_count(&noise, 1)),
        ("1 % of all", NeuronSet::top_percent(&noise, 1.0)),
        ("10 % of all", NeuronSet::top_percent(&noise, 10.0)),
        ("all", NeuronSet::top_percent(&noise, 100.0)),
    ] {
        let mut times: Vec<f64> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                std::hint::black_box(effects.predict(&set, &BTreeSet::new(), &AblationMode::Zero, None));
                begun.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("predict {name:>12} ({:>6} neurons): min {:>8.1} µs, median {:>8.1} µs", set.len(), times[0], times[100]);
    }
}
