//! Reading a run, which may have been written by anybody.

use super::{DomainEntry, FORMAT, GRIDS_FILE, RUN_FILE, RunFile, UNDEFINED, VERSION, names};
use crate::{
    base::{Error, Grid, Result, hash::sha256_bytes},
    compute::scan_job::HISTOGRAM_BINS,
    scan::{DomainScan, PairSeries, ScanOutput},
};
use safetensors::{Dtype, SafeTensors};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Reads what [`super::write_run`] wrote: `read_run(folder)` equals the output that was written.
///
/// # Errors
/// When a file is missing, damaged, of another version, or holds numbers that no scan gives; the message names file and tensor.
pub fn read_run(folder: &Path) -> Result<ScanOutput> {
    parse_run(folder, &read_file(&folder.join(RUN_FILE))?, &read_file(&folder.join(GRIDS_FILE))?)
}

/// As [`read_run`], from the bytes of run.json and grids.safetensors; `folder` is how messages call the place.
///
/// # Errors
/// As [`read_run`].
pub fn parse_run(folder: &Path, json: &[u8], grids: &[u8]) -> Result<ScanOutput> {
    let json_path = folder.join(RUN_FILE);
    let bad = |message: String| Error::format(&json_path, message);
    let run: RunFile = serde_json::from_slice(json).map_err(|e| bad(format!("not a run description: {e}")))?;
    if run.format != FORMAT || run.version != VERSION {
        let found = format!("{:?} version {}", run.format, run.version);
        return Err(bad(format!("is {found}, expected {FORMAT:?} version {VERSION}; made by another version of the program?")));
    }
    verify(&run).map_err(bad)?;

    let grids_path = folder.join(GRIDS_FILE);
    if sha256_bytes(grids) != run.grids_sha256 {
        let message =
            format!("does not belong to the {RUN_FILE} beside it (SHA-256 differs): the run was cut off while it was written, or changed");
        return Err(Error::format(grids_path, message));
    }
    let tensors = SafeTensors::deserialize(grids).map_err(|e| Error::format(&grids_path, format!("not a safetensors file: {e}")))?;
    let grids = Grids { path: grids_path, tensors };
    let domains = run.domains.iter().map(|d| read_domain(&run, d, &grids)).collect::<Result<_>>()?;
    let llmdcos = run.llmdcos.iter().map(|(a, b)| read_pair(&run, a, b, &grids)).collect::<Result<_>>()?;
    Ok(ScanOutput {
        config: run.config,
        provenance: run.provenance,
        timing: run.timing,
        n_layers: run.n_layers,
        d_mlp: run.d_mlp,
        params_per_layer: run.params_per_layer,
        domains,
        llmdcos,
    })
}

/// A run of the largest models holds some ten million numbers; what is far bigger is no run.
const LARGEST_FILE: u64 = 4 << 30;

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if size > LARGEST_FILE {
        return Err(Error::format(path, format!("has {size} bytes, a run has at most {LARGEST_FILE}")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

fn verify(run: &RunFile) -> Result<(), String> {
    if run.n_layers == 0 || run.d_mlp == 0 || run.params_per_layer.len() != run.n_layers {
        return Err(format!("{} layers of {} neurons with {} sizes", run.n_layers, run.d_mlp, run.params_per_layer.len()));
    }
    if !(run.config.gamma.is_finite() && run.config.gamma >= 0.0) {
        return Err(format!("gamma is {}, expected a number that is not negative", run.config.gamma));
    }
    let timing = [run.timing.seconds, run.timing.samples_per_second];
    if timing.iter().any(|t| !t.is_finite() || *t < 0.0) {
        return Err(format!("timing is {timing:?}"));
    }
    for (i, d) in run.domains.iter().enumerate() {
        if run.domains[..i].iter().any(|other| other.name == d.name) {
            return Err(format!("domain {} stands twice", d.name));
        }
        if d.samples == 0 || d.tokens < d.samples || !d.mean_objective.is_finite() {
            return Err(format!("domain {}: {} tokens in {} samples, objective {}", d.name, d.tokens, d.samples, d.mean_objective));
        }
        let (lines, cycle) = (&d.source.sample_lines, &d.source.self_cycle);
        if !lines.is_empty() && lines.len() != d.samples {
            return Err(format!("domain {}: {} sample lines for {} samples", d.name, lines.len(), d.samples));
        }
        if !cycle.is_empty() && (cycle.len() != d.samples || cycle.iter().any(|&m| m >= d.samples)) {
            return Err(format!("domain {}: the self pairs do not fit its {} samples", d.name, d.samples));
        }
    }
    let known = |name: &String| run.domains.iter().any(|d| d.name == *name);
    match run.llmdcos.iter().find(|(a, b)| !known(a) || !known(b)) {
        Some((a, b)) => Err(format!("LLMDcos of {a} and {b}, which are not both domains of the run")),
        None => Ok(()),
    }
}

fn read_domain(run: &RunFile, d: &DomainEntry, grids: &Grids<'_>) -> Result<DomainScan> {
    let (layers, f) = (run.n_layers, run.d_mlp);
    let has = |name: &str| d.tensors.iter().any(|t| t == name);
    let map = |name: &str, cols: Option<usize>, least: f32| -> Result<Option<Grid>> {
        has(name).then(|| grids.map(name, &d.name, layers, cols, least)).transpose()
    };
    let mut out = DomainScan {
        name: d.name.clone(),
        source: d.source.clone(),
        samples: d.samples,
        tokens: d.tokens,
        mean_objective: d.mean_objective,
        param_activation: map(names::PARAM_ACTIVATION, Some(f), 0.0)?,
        relevance: map(names::RELEVANCE, Some(f), 0.0)?,
        head_relevance: map(names::HEAD_RELEVANCE, None, 0.0)?,
        attribution: map(names::ATTRIBUTION, Some(f), f32::NEG_INFINITY)?,
        mean_activation: map(names::MEAN, Some(f), f32::NEG_INFINITY)?,
        mean_abs_activation: map(names::MEAN_ABS, Some(f), 0.0)?,
        ..DomainScan::default()
    };
    if has(names::COUNT) {
        out.activated_count = grids.counts(names::COUNT, &d.name, &[layers])?;
        out.density = out.activated_count.iter().zip(&run.params_per_layer).map(|(&c, &p)| c as f64 / p.max(1) as f64).collect();
        let stored = grids.f32s(names::DENSITY, &d.name, &[layers])?;
        // Both are the same quotient, one of them rounded to f32.
        if let Some(l) = (0..layers).find(|&l| !((f64::from(stored[l]) - out.density[l]).abs() < 1e-6 && out.density[l] <= 1.0)) {
            let (count, params) = (out.activated_count[l], run.params_per_layer[l]);
            let message = format!("layer {l} says {}, but {count} of {params} weights are activated", stored[l]);
            return Err(grids.error(names::DENSITY, &d.name, message));
        }
        let flat = grids.counts(names::HISTOGRAM, &d.name, &[layers, HISTOGRAM_BINS])?;
        out.histogram = flat.chunks_exact(HISTOGRAM_BINS).map(<[u64]>::to_vec).collect();
        for (l, (h, &params)) in out.histogram.iter().zip(&run.params_per_layer).enumerate() {
            let total = h.iter().try_fold(0u64, |sum, n| sum.checked_add(*n));
            if total != Some(params) {
                let message = format!("layer {l} counts {total:?} weights, expected {params}");
                return Err(grids.error(names::HISTOGRAM, &d.name, message));
            }
        }
    }
    Ok(out)
}

fn read_pair(run: &RunFile, a: &str, b: &str, grids: &Grids<'_>) -> Result<PairSeries> {
    let samples = |name: &str| run.domains.iter().find(|d| d.name == name);
    let rows = match (samples(a), samples(b)) {
        (Some(x), Some(_)) if a == b => x.source.self_cycle.len(),
        (Some(x), Some(y)) => x.samples.min(y.samples),
        _ => 0,
    };
    let pair = format!("{a}|{b}");
    let flat = grids.f32s(names::LLMDCOS, &pair, &[rows, run.n_layers])?;
    if let Some(v) = flat.iter().find(|v| **v != UNDEFINED && !(0.0..=1.0).contains(*v)) {
        return Err(grids.error(names::LLMDCOS, &pair, format!("holds {v}, expected cosines in 0..1, or {UNDEFINED}")));
    }
    let cosine = |v: &f32| (*v != UNDEFINED).then_some(*v);
    let cosines = flat.chunks_exact(run.n_layers).map(|row| row.iter().map(cosine).collect()).collect();
    Ok(PairSeries { a: a.into(), b: b.into(), cosines })
}

struct Grids<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
}

impl Grids<'_> {
    fn error(&self, kind: &str, name: &str, message: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format!("tensor {kind}/{name}: {message}"))
    }
    /// Bytes of a tensor of this type whose shape `fits`.
    fn bytes(&self, kind: &str, name: &str, dtype: Dtype, fits: impl Fn(&[usize]) -> bool, expected: &str) -> Result<(Vec<usize>, &[u8])> {
        let view = self.tensors.tensor(&format!("{kind}/{name}")).map_err(|e| self.error(kind, name, e))?;
        if view.dtype() != dtype || !fits(view.shape()) {
            return Err(self.error(kind, name, format!("is {:?} {:?}, expected {dtype:?} {expected}", view.dtype(), view.shape())));
        }
        Ok((view.shape().to_vec(), view.data()))
    }
    fn f32s(&self, kind: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (_, bytes) = self.bytes(kind, name, Dtype::F32, |s| s == shape, &format!("{shape:?}"))?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
    fn counts(&self, kind: &str, name: &str, shape: &[usize]) -> Result<Vec<u64>> {
        let (_, bytes) = self.bytes(kind, name, Dtype::I64, |s| s == shape, &format!("{shape:?}"))?;
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| u64::try_from(i64::from_le_bytes(*b)).map_err(|_| self.error(kind, name, "holds a negative count")))
            .collect()
    }
    /// `[layers, cols]` finite numbers of at least `least`; `cols` unset: any width.
    fn map(&self, kind: &str, name: &str, layers: usize, cols: Option<usize>, least: f32) -> Result<Grid> {
        let fits = |s: &[usize]| matches!(s, [r, c] if *r == layers && *c > 0 && cols.is_none_or(|want| want == *c));
        let (shape, bytes) = self.bytes(kind, name, Dtype::F32, fits, &format!("[{layers}, {cols:?}]"))?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if let Some(i) = values.iter().position(|v| !v.is_finite() || *v < least) {
            return Err(self.error(kind, name, format!("layer {} holds {}", i / shape[1], values[i])));
        }
        Grid::new(layers, shape[1], values)
    }
}
