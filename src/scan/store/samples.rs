//! Similarities of samples as one safetensors file.
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `llmdcos/layer_{l}` | `[N, N]` f32 | cosines of all pairs of samples; -1 where undefined |
//! | `sample_domain` | `[N]` i64 | index into the metadata's `domains` |
//! | `sample_line` | `[N]` i64 | line of the domain's file; -1 where unknown |
//!
//! The metadata says the rest: `provenance`, `config`, `timing` and `domains` (with the samples' texts) as JSON.

use crate::{
    base::{
        Error, Grid, Result, atomic_file,
        tensor_file::{Tensor, Values, to_bytes},
    },
    scan::samples::{SampleSimilarity, SampledDomain, UNDEFINED},
};
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, path::Path};

/// Beside run.json.
pub const SAMPLES_FILE: &str = "samples.safetensors";
const FORMAT: &str = "brodmann samples 1";
const LAYER: &str = "llmdcos/layer_";

/// # Errors
/// When the file cannot be written.
pub fn write_samples(path: &Path, s: &SampleSimilarity) -> Result<()> {
    let json = |v: serde_json::Result<String>| v.map_err(|e| Error::format(path, e.to_string()));
    let n = s.n();
    let mut tensors: Vec<Tensor> = s
        .layers
        .iter()
        .map(|(l, g)| Tensor { name: format!("{LAYER}{l}"), shape: vec![n, n], values: Values::F32(g.values().to_vec()) })
        .collect();
    let (mut domains, mut lines) = (Vec::new(), Vec::new());
    for (d, domain) in s.domains.iter().enumerate() {
        for m in 0..domain.tokens.len() {
            domains.push(d as i64);
            lines.push(domain.source.sample_lines.get(m).map_or(-1, |l| *l as i64));
        }
    }
    tensors.push(Tensor { name: "sample_domain".into(), shape: vec![n], values: Values::I64(domains) });
    tensors.push(Tensor { name: "sample_line".into(), shape: vec![n], values: Values::I64(lines) });
    let metadata = [
        ("format", FORMAT.to_owned()),
        ("n_layers", s.n_layers.to_string()),
        (
            "llmdcos",
            format!("{UNDEFINED} where a norm is 0 and the cosine undefined; rows and columns: the samples of the domains in turn"),
        ),
        ("provenance", json(serde_json::to_string(&s.provenance))?),
        ("config", json(serde_json::to_string(&s.config))?),
        ("timing", json(serde_json::to_string(&s.timing))?),
        ("domains", json(serde_json::to_string(&s.domains))?),
    ];
    atomic_file::write(path, &to_bytes(tensors, &metadata))
}

/// Reads what [`write_samples`] wrote.
///
/// # Errors
/// When the file is missing, damaged, of another kind, or holds numbers that no cosine has.
pub fn read_samples(path: &Path) -> Result<SampleSimilarity> {
    parse_samples(path, &super::read::read_file(path)?)
}

/// As [`read_samples`], from the file's bytes.
///
/// # Errors
/// As [`read_samples`].
pub fn parse_samples(path: &Path, bytes: &[u8]) -> Result<SampleSimilarity> {
    let bad = |message: String| Error::format(path, message);
    let broken = |e: safetensors::SafeTensorError| bad(format!("not a safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let word = |key: &str| metadata.get(key).map(String::as_str).ok_or_else(|| bad(format!("has no `{key}` in its metadata")));
    if word("format")? != FORMAT {
        return Err(bad(format!("is {:?}, expected {FORMAT:?}; made by another version of the program?", word("format")?)));
    }
    fn part<T: DeserializeOwned>(path: &Path, key: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|e| Error::format(path, format!("its `{key}` cannot be read: {e}")))
    }
    let domains: Vec<SampledDomain> = part(path, "domains", word("domains")?)?;
    for d in &domains {
        let lines = d.source.sample_lines.len();
        if d.tokens.is_empty() || d.texts.len() != d.tokens.len() || (lines > 0 && lines != d.tokens.len()) {
            let message = format!("domain {}: {} samples, {} texts, {lines} lines", d.name, d.tokens.len(), d.texts.len());
            return Err(bad(message));
        }
    }
    let mut s = SampleSimilarity {
        provenance: part(path, "provenance", word("provenance")?)?,
        config: part(path, "config", word("config")?)?,
        timing: part(path, "timing", word("timing")?)?,
        n_layers: part(path, "n_layers", word("n_layers")?)?,
        domains,
        layers: BTreeMap::new(),
    };
    let n = s.n();
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    for (name, view) in tensors.tensors() {
        let Some(layer) = name.strip_prefix(LAYER) else { continue };
        let layer: usize = layer
            .parse()
            .ok()
            .filter(|l| *l < s.n_layers)
            .ok_or_else(|| bad(format!("tensor {name}: the model has layers 0..{}", s.n_layers.saturating_sub(1))))?;
        if view.dtype() != Dtype::F32 || view.shape() != [n, n] {
            return Err(bad(format!("tensor {name}: is {:?} {:?}, expected F32 [{n}, {n}]", view.dtype(), view.shape())));
        }
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        for (i, v) in values.iter().enumerate() {
            let (a, b) = (i / n, i % n);
            let fits = *v == UNDEFINED || (0.0..=1.0).contains(v);
            if !fits || values[b * n + a] != *v {
                let message = format!("tensor {name}: samples {a} and {b} have {v}, the other way round {}", values[b * n + a]);
                return Err(bad(message + ", expected a cosine in 0..1 both ways"));
            }
        }
        s.layers.insert(layer, Grid::new(n, n, values)?);
    }
    if s.layers.is_empty() {
        return Err(bad("holds no layer".into()));
    }
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{DomainSource, ScanConfig};

    fn sample() -> SampleSimilarity {
        let domain = |name: &str, n: usize| SampledDomain {
            name: name.into(),
            source: DomainSource { sample_lines: (1..=n).collect(), ..DomainSource::default() },
            tokens: (2..2 + n).collect(),
            texts: (0..n).map(|i| format!("text {i} of {name}: \u{4eba} \"x\"")).collect(),
        };
        let values: Vec<f32> = (0..25).map(|i| if i / 5 == i % 5 { 1.0 } else { 0.1 * ((i / 5 + i % 5) as f32) }).collect();
        let undefined = values.iter().enumerate().map(|(i, v)| if i / 5 == 2 || i % 5 == 2 { UNDEFINED } else { *v });
        SampleSimilarity {
            config: ScanConfig::default(),
            n_layers: 12,
            domains: vec![domain("a", 2), domain("b", 3)],
            layers: BTreeMap::from([
                (3, Grid::new(5, 5, values.clone()).expect("grid")),
                (11, Grid::new(5, 5, undefined.collect::<Vec<_>>()).expect("grid")),
            ]),
            ..SampleSimilarity::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join(SAMPLES_FILE);
        let s = sample();
        write_samples(&path, &s).expect("written");
        assert_eq!(read_samples(&path).expect("read"), s);
        let bytes = std::fs::read(&path).expect("file");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        assert_eq!(tensors.tensor("sample_line").expect("lines").shape(), [5]);
    }

    #[test]
    fn numbers_that_are_no_cosines_are_refused_by_name() {
        let path = Path::new("x.safetensors");
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("s");
        let refusal = |change: &dyn Fn(&mut Vec<f32>)| {
            let mut s = sample();
            let mut values = s.layers[&3].values().to_vec();
            change(&mut values);
            s.layers.insert(3, Grid::new(5, 5, values).expect("grid"));
            write_samples(&file, &s).expect("written");
            parse_samples(path, &std::fs::read(&file).expect("file")).expect_err("refused").to_string()
        };
        assert!(refusal(&|v| v[7] = 2.0).contains("llmdcos/layer_3"));
        assert!(refusal(&|v| v[7] = 0.9).contains("the other way round"));
        assert!(refusal(&|v| v[7] = f32::NAN).contains("NaN"));
        assert!(parse_samples(path, b"nothing").expect_err("refused").to_string().contains("safetensors"));
    }
}
