//! An index in one safetensors file; what it is of stands in the metadata.

use super::{About, NeuronIndex, index::OFFSETS, index::STATS};
use crate::base::{Error, Result, atomic_file};
use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use std::{borrow::Cow, collections::HashMap, path::Path};

const FORMAT: &str = "brodmann index 1";

struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl View for &Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn stored<T: bytemuck::Pod>(dtype: Dtype, values: &[T], shape: &[usize]) -> Stored<'static> {
    // Little-endian, as the format says; every machine this runs on is.
    Stored { dtype, shape: shape.to_vec(), bytes: Cow::Owned(bytemuck::cast_slice(values).to_vec()) }
}

/// # Errors
/// When the file cannot be written.
pub fn write_index(path: &Path, index: &NeuronIndex) -> Result<()> {
    let (n, d, s) = (index.n_neurons(), index.about.domains.len(), &index.about.shape);
    let (layers, heads, m) = (index.about.n_layers, index.about.n_heads, index.positions.len());
    let tensors = [
        ("tokens", stored(Dtype::U32, &index.tokens, &[index.tokens.len()])),
        ("starts", stored(Dtype::U32, &index.starts, &[index.starts.len()])),
        ("positions", stored(Dtype::U32, &index.positions, &[m])),
        ("scale", stored(Dtype::F32, &index.scale, &[n, 3])),
        ("histogram", stored(Dtype::U16, &index.histogram, &[n, d, s.bins])),
        ("stats", stored(Dtype::F32, &index.stats, &[n, d, STATS])),
        ("peaks", stored(Dtype::U32, &index.peaks, &[n, s.peaks()])),
        ("peak_values", stored(Dtype::F32, &index.peak_values, &[n, s.peaks()])),
        ("windows", stored(Dtype::F16, &index.windows, &[n, s.peaks(), s.window()])),
        ("compared", stored(Dtype::F16, &index.compared, &[n, m])),
        ("offsets", stored(Dtype::F32, &index.offsets, &[layers, heads, OFFSETS])),
        ("looks", stored(Dtype::F32, &index.looks, &[layers, heads, 2])),
        ("z_norm", stored(Dtype::F32, &index.z_norm, &[layers, heads, d])),
    ];
    let about = serde_json::to_string(&index.about).map_err(|e| Error::format(path, e.to_string()))?;
    let metadata = HashMap::from([("format".to_owned(), FORMAT.to_owned()), ("about".to_owned(), about)]);
    let views = tensors.iter().map(|(name, t)| (*name, t));
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
    atomic_file::write(path, &bytes)
}

/// # Errors
/// When the file is missing, damaged, or of another version; it can be made again.
pub fn read_index(path: &Path) -> Result<NeuronIndex> {
    let bad = |message: String| Error::format(path, message);
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let (_, head) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(format!("not a safetensors file: {e}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(format!("not a safetensors file: {e}")))?;
    let metadata = head.metadata().as_ref();
    let word = |name: &str| metadata.and_then(|m| m.get(name)).map(String::as_str).unwrap_or_default();
    if word("format") != FORMAT {
        return Err(bad(format!("is {:?}, expected {FORMAT:?}", word("format"))));
    }
    let about: About = serde_json::from_str(word("about")).map_err(|e| bad(format!("says wrongly what it is of: {e}")))?;
    let (d, s) = (about.domains.len(), about.shape);
    let n = about.n_layers.checked_mul(about.d_mlp).ok_or_else(|| bad("is of too many neurons".into()))?;
    let reader = Reader { path, file: &file };
    let counts = [about.n_heads, s.bins, s.peaks(), s.window()];
    if d == 0 || n == 0 || counts.iter().any(|&c| c == 0 || c > 1 << 20) {
        return Err(bad(format!("has {n} neurons, {d} domains and sizes {counts:?}")));
    }
    let heads = (about.n_layers, about.n_heads);
    let (tokens, starts, positions) = (reader.u32s("tokens", None)?, reader.u32s("starts", None)?, reader.u32s("positions", None)?);
    let samples: usize = about.domains.iter().map(|a| a.samples).sum();
    let rising = starts.first() == Some(&0) && starts.windows(2).all(|w| w[0] < w[1]) && starts.last() == Some(&(tokens.len() as u32));
    if starts.len() != samples + 1 || !rising || positions.iter().any(|&p| p as usize >= tokens.len()) {
        return Err(bad(format!("{samples} samples of {} tokens do not fit where they begin", tokens.len())));
    }
    let m = positions.len();
    let peaks = reader.u32s("peaks", Some(&[n, s.peaks()]))?;
    if let Some(p) = peaks.iter().find(|&&p| p != super::index::NONE && p as usize >= tokens.len()) {
        return Err(bad(format!("an extreme stands at token {p} of {}", tokens.len())));
    }
    Ok(NeuronIndex {
        scale: reader.f32s("scale", &[n, 3])?,
        histogram: reader.values("histogram", Dtype::U16, Some(&[n, d, s.bins]), u16::from_le_bytes)?,
        stats: reader.f32s("stats", &[n, d, STATS])?,
        peak_values: reader.f32s("peak_values", &[n, s.peaks()])?,
        windows: reader.values("windows", Dtype::F16, Some(&[n, s.peaks(), s.window()]), f16::from_le_bytes)?,
        compared: reader.values("compared", Dtype::F16, Some(&[n, m]), f16::from_le_bytes)?,
        offsets: reader.f32s("offsets", &[heads.0, heads.1, OFFSETS])?,
        looks: reader.f32s("looks", &[heads.0, heads.1, 2])?,
        z_norm: reader.f32s("z_norm", &[heads.0, heads.1, d])?,
        about,
        tokens,
        starts,
        positions,
        peaks,
    })
}

struct Reader<'a> {
    path: &'a Path,
    file: &'a SafeTensors<'a>,
}

impl Reader<'_> {
    fn values<const N: usize, T>(&self, name: &str, dtype: Dtype, shape: Option<&[usize]>, one: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let bad = |message: String| Error::format(self.path, format!("tensor {name}: {message}"));
        let view = self.file.tensor(name).map_err(|e| bad(e.to_string()))?;
        if view.dtype() != dtype || shape.is_some_and(|s| s != view.shape()) {
            return Err(bad(format!("is {:?} {:?}, expected {dtype:?} {shape:?}", view.dtype(), view.shape())));
        }
        Ok(view.data().as_chunks::<N>().0.iter().map(|b| one(*b)).collect())
    }
    fn u32s(&self, name: &str, shape: Option<&[usize]>) -> Result<Vec<u32>> {
        self.values(name, Dtype::U32, shape, u32::from_le_bytes)
    }
    fn f32s(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.values(name, Dtype::F32, Some(shape), f32::from_le_bytes)?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(Error::format(self.path, format!("tensor {name} holds {v}"))),
            None => Ok(values),
        }
    }
}
