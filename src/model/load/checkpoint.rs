//! Named tensors of one or several safetensors files, checked but not yet read.

use super::{FileBytes, FileRange, Stored};
use crate::{
    base::{Error, Result, json::UniqueKeys},
    model::{family::Layout, weights::Tensor},
};
use half::slice::HalfFloatSliceExt as _;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// One tensor's place in a file.
#[derive(Clone)]
pub struct StoredTensor {
    bytes: Arc<FileBytes>,
    /// Index into [`Checkpoint::files`].
    pub file: usize,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    start: usize,
    end: usize,
}

impl StoredTensor {
    /// Our part of this tensor as f32 of the given shape; as [`Self::to_tensor`] where that is all of it.
    pub fn part(&self, layout: &Layout, shape: &[usize]) -> Tensor {
        if layout.is_whole() {
            return self.to_tensor();
        }
        let width = shape.get(1).copied().unwrap_or(1);
        let mut values = vec![0f32; shape.iter().product()];
        if layout.transposed {
            let all = self.to_tensor();
            values.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
                let (start, step) = layout.source(row);
                out.iter_mut().zip(all[start..].iter().step_by(step)).for_each(|(v, s)| *v = *s);
            });
        } else {
            // Only what is ours is converted: a fused matrix is read in parts.
            let bytes = &self.bytes[self.start..self.end];
            let size = self.dtype.bitsize() / 8;
            values.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
                let (start, _) = layout.source(row);
                widen(self.dtype, &bytes[start * size..(start + width) * size], out);
            });
        }
        Tensor::new(shape.to_vec(), values)
    }
}

impl Stored for StoredTensor {
    fn resident_bytes(&self) -> u64 {
        if self.dtype == Dtype::F32 { 0 } else { 4 * self.shape.iter().product::<usize>() as u64 }
    }

    fn in_file(&self) -> FileRange {
        FileRange { file: self.bytes.clone(), bytes: self.start..self.end }
    }

    /// f32 values: borrowed from the map where they are f32 and aligned there, else converted into memory of their own, on all cores.
    ///
    /// # Panics
    /// For a dtype that [`float_name`] does not name: checked when a model is opened.
    fn to_tensor(&self) -> Tensor {
        if self.dtype == Dtype::F32
            && let Some(mapped) = Tensor::mapped(self.shape.clone(), &self.bytes, self.start, self.end)
        {
            return mapped;
        }
        let bytes = &self.bytes[self.start..self.end];
        let mut values = vec![0f32; self.shape.iter().product()];
        const CHUNK: usize = 1 << 16;
        let width = self.dtype.bitsize() / 8;
        values.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * width)).for_each(|(out, raw)| widen(self.dtype, raw, out));
        Tensor::new(self.shape.clone(), values)
    }
}

/// Little-endian floats as f32.
///
/// # Panics
/// For a dtype that [`float_name`] does not name.
pub(super) fn widen(dtype: Dtype, raw: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (v, b) in out.iter_mut().zip(raw.as_chunks::<4>().0) {
                *v = f32::from_le_bytes(*b);
            }
        }
        Dtype::BF16 => {
            for (v, b) in out.iter_mut().zip(raw.as_chunks::<2>().0) {
                *v = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
            }
        }
        Dtype::F16 => {
            // By vector instructions where the bytes lie as f16 values do, which they nearly always do.
            if cfg!(target_endian = "little")
                && let Ok(halves) = bytemuck::try_cast_slice::<u8, half::f16>(raw)
            {
                return halves.convert_to_f32_slice(out);
            }
            for (v, b) in out.iter_mut().zip(raw.as_chunks::<2>().0) {
                *v = half::f16::from_le_bytes(*b).to_f32();
            }
        }
        other => unreachable!("{other} was refused when the model was opened"),
    }
}

/// `f32`, `f16`, `bf16`; `None` for every other dtype.
pub fn float_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F32 => Some("f32"),
        Dtype::F16 => Some("f16"),
        Dtype::BF16 => Some("bf16"),
        _ => None,
    }
}

/// All tensors of a model's weight files.
pub struct Checkpoint {
    /// Weight files in name order.
    pub files: Vec<PathBuf>,
    pub tensors: BTreeMap<String, StoredTensor>,
    /// Of all weight files.
    pub size_bytes: u64,
}

impl Checkpoint {
    /// Whether the folder holds weights in our way of naming them.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(SINGLE).is_file() || folder.join(INDEX).is_file()
    }

    /// Bytes of a folder's weight files, without looking into them.
    ///
    /// # Errors
    /// What is missing.
    pub fn size_on_disk(folder: &Path) -> Result<u64, String> {
        let size = |name: &str| {
            let bytes = folder.join(name).metadata().map_or(0, |m| m.len());
            if bytes > 0 { Ok(bytes) } else { Err(format!("{name} is missing or empty")) }
        };
        if folder.join(SINGLE).is_file() {
            return size(SINGLE);
        }
        let index = folder.join(INDEX);
        if !index.is_file() {
            return Err(no_weights(folder));
        }
        let map = read_index(&index).map_err(|e| e.to_string())?;
        map.values().collect::<BTreeSet<_>>().into_iter().map(|name| size(name)).sum()
    }

    /// The weights of a Hugging Face folder.
    ///
    /// # Errors
    /// When there are none, or a file is damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        if folder.join(SINGLE).is_file() {
            return Self::from_files(vec![folder.join(SINGLE)]);
        }
        let index = folder.join(INDEX);
        if !index.is_file() {
            return Err(Error::format(folder, no_weights(folder)));
        }
        let map = read_index(&index)?;
        let names: BTreeSet<&str> = map.values().map(String::as_str).collect();
        let checkpoint = Self::from_files(names.into_iter().map(|name| folder.join(name)).collect())?;
        for (tensor, file) in &map {
            let found = checkpoint.tensors.get(tensor).is_some_and(|t| checkpoint.files[t.file] == folder.join(file));
            if !found {
                return Err(Error::format(&index, format!("tensor {tensor} should be in {file}, which does not have it")));
            }
        }
        Ok(checkpoint)
    }

    pub fn from_files(files: Vec<PathBuf>) -> Result<Self> {
        let bytes: Result<Vec<_>> = files.iter().map(|path| FileBytes::map(path).map(Arc::new)).collect();
        Self::from_bytes(files, bytes?)
    }

    pub fn from_bytes(files: Vec<PathBuf>, bytes: Vec<Arc<FileBytes>>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        let mut size_bytes = 0;
        for (file, (path, bytes)) in files.iter().zip(bytes).enumerate() {
            size_bytes += bytes.len() as u64;
            let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| {
                Error::format(path, format!("not a whole safetensors file ({e}); {} bytes were found. Download it again?", bytes.len()))
            })?;
            let data = 8 + header;
            for (name, info) in metadata.tensors() {
                let (start, end) = (data + info.data_offsets.0, data + info.data_offsets.1);
                let stored = StoredTensor { bytes: bytes.clone(), file, dtype: info.dtype, shape: info.shape.clone(), start, end };
                if let Some(first) = tensors.insert(name.clone(), stored) {
                    return Err(Error::format(path, format!("tensor {name} is also in {}", files[first.file].display())));
                }
            }
        }
        Ok(Self { files, tensors, size_bytes })
    }

    /// The tensor, if it is there with this shape and a dtype that we read.
    ///
    /// # Errors
    /// When its shape or dtype is another.
    pub fn find(&self, name: &str, shape: &[usize]) -> Result<Option<&StoredTensor>> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(None) };
        let path = &self.files[tensor.file];
        if tensor.shape != shape {
            return Err(Error::format(path, format!("tensor {name} has shape {:?}, expected {shape:?}", tensor.shape)));
        }
        if float_name(tensor.dtype).is_none() {
            return Err(Error::format(path, format!("tensor {name} is {}, expected F32, F16 or BF16", tensor.dtype)));
        }
        Ok(Some(tensor))
    }
}

/// Tensor name to file name.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let UniqueKeys(value) = serde_json::from_slice(&bytes).map_err(|e| Error::format(path, format!("not a usable index: {e}")))?;
    let map = value.get("weight_map").and_then(Value::as_object).ok_or_else(|| Error::format(path, "`weight_map` is missing"))?;
    let mut files = BTreeMap::new();
    for (tensor, file) in map {
        // A shard lies beside its index; anything else would let a downloaded file make us read somewhere else.
        let plain = file.as_str().filter(|f| f.ends_with(".safetensors") && Path::new(f).file_name().is_some_and(|n| n == *f));
        let Some(plain) = plain else {
            return Err(Error::format(
                path,
                format!("tensor {tensor} is said to be in {file}, expected the name of a .safetensors file beside it"),
            ));
        };
        files.insert(tensor.clone(), plain.to_owned());
    }
    if files.is_empty() {
        return Err(Error::format(path, "`weight_map` is empty"));
    }
    Ok(files)
}

/// Says what is there instead, and what to do.
fn no_weights(folder: &Path) -> String {
    let expected = format!("no weights: expected {SINGLE} or {INDEX}");
    let names: Vec<String> = std::fs::read_dir(folder)
        .map(|dir| dir.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let ends = |ending: &str| names.iter().find(|n| n.ends_with(ending));
    if let Some(pickle) = [".bin", ".pt", ".pth", ".ckpt"].iter().find_map(|e| ends(e)) {
        format!(
            "{expected}, found {pickle}. Pickle files are not opened because reading one runs code from it; convert it where you trust it: \
             `AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder, safe_serialization=True)` in Python with transformers"
        )
    } else if let Some(other) = ends(".safetensors") {
        format!("{expected}, found {other}. Rename it to {SINGLE} if it holds the whole model")
    } else {
        expected
    }
}
