//! Writing a run.

use super::{DomainEntry, FORMAT, GRIDS_FILE, RUN_FILE, RunFile, System, UNDEFINED, VERSION, names};
use crate::{
    base::{
        Error, Grid, Result, atomic_file,
        hash::sha256_bytes,
        tensor_file::{Tensor, Values, to_bytes},
    },
    compute::scan_job::{HISTOGRAM_BINS, histogram_edge},
    scan::{DomainScan, ScanOutput},
};
use std::path::Path;

/// Writes grids.safetensors, then run.json, which names the other's digest: a write that was cut off is noticed on reading.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn write_run(folder: &Path, output: &ScanOutput) -> Result<()> {
    let mut tensors = Vec::new();
    let mut entries = Vec::new();
    for d in &output.domains {
        let own = domain_tensors(d)?;
        entries.push(DomainEntry {
            name: d.name.clone(),
            samples: d.samples,
            tokens: d.tokens,
            mean_objective: d.mean_objective,
            source: d.source.clone(),
            tensors: own.iter().map(|t| t.name.clone()).collect(),
        });
        tensors.extend(own.into_iter().map(|t| Tensor { name: format!("{}/{}", t.name, d.name), ..t }));
    }
    for p in &output.llmdcos {
        let values = p.cosines.iter().flatten().map(|c| c.unwrap_or(UNDEFINED)).collect();
        let name = format!("{}/{}|{}", names::LLMDCOS, p.a, p.b);
        tensors.push(Tensor { name, shape: vec![p.cosines.len(), output.n_layers], values: Values::F32(values) });
    }
    let edges: Vec<f32> = (0..=HISTOGRAM_BINS).map(histogram_edge).collect();
    let edges = serde_json::to_string(&edges).map_err(|e| Error::format(folder.join(GRIDS_FILE), e.to_string()))?;
    let metadata = [
        ("format", format!("{FORMAT} {VERSION}")),
        ("program", output.provenance.program.clone()),
        ("model_sha256", output.provenance.model_sha256.clone()),
        ("histogram_edges", edges),
        ("histogram", "bin i counts edges[i] <= value < edges[i + 1]; the first also what is below, the last what is above".into()),
        ("llmdcos", format!("{UNDEFINED} where a norm is 0 and the cosine undefined")),
        ("described_in", RUN_FILE.into()),
    ];
    let grids = to_bytes(tensors, &metadata);
    let run = RunFile {
        format: FORMAT.into(),
        version: VERSION,
        grids_sha256: sha256_bytes(&grids),
        provenance: output.provenance.clone(),
        system: System { os: std::env::consts::OS.into(), arch: std::env::consts::ARCH.into() },
        config: output.config.clone(),
        timing: output.timing.clone(),
        n_layers: output.n_layers,
        d_mlp: output.d_mlp,
        params_per_layer: output.params_per_layer.clone(),
        domains: entries,
        llmdcos: output.llmdcos.iter().map(|p| (p.a.clone(), p.b.clone())).collect(),
    };
    let json = serde_json::to_string_pretty(&run).map_err(|e| Error::format(folder.join(RUN_FILE), e.to_string()))?;
    atomic_file::write(&folder.join(GRIDS_FILE), &grids)?;
    atomic_file::write(&folder.join(RUN_FILE), json.as_bytes())
}

/// Named by their first parts only.
fn domain_tensors(d: &DomainScan) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    let mut add = |name: &str, shape: Vec<usize>, values: Values| tensors.push(Tensor { name: name.to_owned(), shape, values });
    let counts = |values: &mut dyn Iterator<Item = u64>| -> Result<Values> {
        let all: Result<Vec<i64>, _> = values.map(i64::try_from).collect();
        all.map(Values::I64).map_err(|_| Error::invalid(format!("domain {}: a count above 2^63", d.name)))
    };
    if !d.activated_count.is_empty() {
        let l = d.activated_count.len();
        add(names::DENSITY, vec![l], Values::F32(d.density.iter().map(|&v| v as f32).collect()));
        add(names::COUNT, vec![l], counts(&mut d.activated_count.iter().copied())?);
        add(names::HISTOGRAM, vec![l, HISTOGRAM_BINS], counts(&mut d.histogram.iter().flatten().copied())?);
    }
    let mut map = |name: &str, grid: &Option<Grid>| {
        if let Some(g) = grid {
            add(name, vec![g.rows(), g.cols()], Values::F32(g.values().to_vec()));
        }
    };
    map(names::PARAM_ACTIVATION, &d.param_activation);
    map(names::RELEVANCE, &d.relevance);
    map(names::HEAD_RELEVANCE, &d.head_relevance);
    map(names::ATTRIBUTION, &d.attribution);
    map(names::MEAN, &d.mean_activation);
    map(names::MEAN_ABS, &d.mean_abs_activation);
    Ok(tensors)
}
