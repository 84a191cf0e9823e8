//! A GGUF file's header, read in place: every count, length and offset is held against the file before anything is made of it.
//! Nothing is copied but tensor names and keys, so a hostile file costs no more memory than a small multiple of itself.
//!
//! Format, versions 1 to 3: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use super::{GgmlType, value::Value};
use crate::base::{Error, Result};
use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::Path};

const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Real files nest arrays once at most.
const DEEPEST_ARRAY: usize = 8;
/// Of the format.
const MOST_DIMS: u32 = 4;

pub(super) struct Header<'a> {
    pub metadata: BTreeMap<Cow<'a, str>, Value<'a>>,
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorInfo {
    pub dtype: GgmlType,
    /// Slowest dimension first, as everywhere else: a linear weight is `[out, in]`.
    pub shape: Vec<usize>,
    /// Bytes of the file; empty for a type that we cannot size.
    pub bytes: Range<usize>,
}

impl<'a> Header<'a> {
    /// # Errors
    /// When the bytes are not a whole GGUF file.
    pub fn read(path: &Path, file: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { file, at: 0, wide: true };
        reader.header().map_err(|message| Error::format(path, message))
    }
}

/// A name for an error message: a damaged one may be of any length.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().nth(80).is_some() { short + "…" } else { short }
}

type Step<T> = std::result::Result<T, String>;

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    /// Lengths are 64 bits: since version 2.
    wide: bool,
}

impl<'a> Reader<'a> {
    fn header(&mut self) -> Step<Header<'a>> {
        if self.file.get(..4) != Some(MAGIC) {
            return Err("not a GGUF file: it does not begin with `GGUF`".into());
        }
        self.at = 4;
        let version = self.u32("version")?;
        match version {
            1 => self.wide = false,
            2 | 3 => {}
            swapped if matches!(swapped.swap_bytes(), 1..=3) => {
                return Err("a big-endian GGUF file; expected the little-endian kind, which nearly every model is published as".into());
            }
            other => return Err(format!("GGUF version {other}; expected 1, 2 or 3")),
        }
        // No entry is shorter than its key's length, its type and one byte; no tensor shorter than name length, counts, type and offset.
        let n_tensors = self.count("tensors", 20)?;
        let n_entries = self.count("metadata entries", 9)?;
        let mut metadata = BTreeMap::new();
        for i in 0..n_entries {
            let key = self.text("a metadata key").map_err(|e| format!("metadata entry {i}: {e}"))?;
            let value = self.value().map_err(|e| format!("metadata `{}`: {e}", shown(&key)))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("metadata `{}` is there twice", shown(&key)));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value
                .unsigned()
                .filter(|a| a.is_power_of_two() && *a <= 1 << 20)
                .ok_or_else(|| format!("`general.alignment` is {value}, expected a power of two up to {}", 1 << 20))?,
        };
        let mut found = Vec::new();
        for i in 0..n_tensors {
            found.push(self.tensor().map_err(|e| format!("tensor {i} of {n_tensors}: {e}"))?);
        }
        let data = (self.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for entry in found {
            let (name, info) = entry.place(data, self.file.len())?;
            if tensors.insert(name.clone(), info).is_some() {
                return Err(format!("tensor {} is there twice", shown(&name)));
            }
        }
        apart(&tensors)?;
        Ok(Header { metadata, tensors })
    }

    fn take(&mut self, n: usize, what: &str) -> Step<&'a [u8]> {
        let left = self.file.len() - self.at;
        if n > left {
            return Err(format!("{what} needs {n} bytes at offset {} and {left} are left; was the download cut short?", self.at));
        }
        let bytes = &self.file[self.at..self.at + n];
        self.at += n;
        Ok(bytes)
    }
    fn array<const N: usize>(&mut self, what: &str) -> Step<[u8; N]> {
        let bytes = self.take(N, what)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }
    fn u32(&mut self, what: &str) -> Step<u32> {
        self.array(what).map(u32::from_le_bytes)
    }
    fn u64(&mut self, what: &str) -> Step<u64> {
        self.array(what).map(u64::from_le_bytes)
    }
    fn length(&mut self, what: &str) -> Step<u64> {
        if self.wide { self.u64(what) } else { self.u32(what).map(u64::from) }
    }
    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, what: &str, least: usize) -> Step<usize> {
        let n = self.length(what)?;
        let left = self.file.len() - self.at;
        match usize::try_from(n) {
            Ok(n) if n <= left / least => Ok(n),
            _ => Err(format!(
                "says it holds {n} {what}, which do not fit into the {left} bytes that follow; is the file damaged or cut short?"
            )),
        }
    }
    /// Bytes with their length before them.
    fn string(&mut self, what: &str) -> Step<&'a [u8]> {
        let n = self.length(what)?;
        // More than the address space is more than the file.
        self.take(usize::try_from(n).unwrap_or(usize::MAX), what)
    }
    fn text(&mut self, what: &str) -> Step<Cow<'a, str>> {
        self.string(what).map(String::from_utf8_lossy)
    }

    fn value(&mut self) -> Step<Value<'a>> {
        let kind = self.u32("its type")?;
        self.value_of(kind, 0)
    }

    fn value_of(&mut self, kind: u32, depth: usize) -> Step<Value<'a>> {
        const WHAT: &str = "its value";
        Ok(match kind {
            0 => Value::Unsigned(self.array::<1>(WHAT)?[0].into()),
            1 => Value::Signed(i8::from_le_bytes(self.array(WHAT)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array(WHAT)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array(WHAT)?).into()),
            4 => Value::Unsigned(self.u32(WHAT)?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array(WHAT)?).into()),
            6 => Value::F32(f32::from_le_bytes(self.array(WHAT)?)),
            7 => Value::Bool(self.array::<1>(WHAT)?[0] != 0),
            8 => Value::Text(self.string(WHAT)?),
            9 => self.array_value(depth)?,
            10 => Value::Unsigned(self.u64(WHAT)?),
            11 => Value::Signed(i64::from_le_bytes(self.array(WHAT)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(WHAT)?)),
            other => return Err(format!("has value type {other}, expected 0 to 12")),
        })
    }

    /// Walks over the array so that reading its elements later cannot fail; keeps only where it lies.
    fn array_value(&mut self, depth: usize) -> Step<Value<'a>> {
        if depth == DEEPEST_ARRAY {
            return Err(format!("arrays are nested deeper than {DEEPEST_ARRAY} levels"));
        }
        let kind = self.u32("its element type")?;
        let width = fixed_width(kind);
        let least = width.unwrap_or(if kind == 9 { 8 } else { 4 });
        let n = self.count("elements", least)?;
        let start = self.at;
        match width {
            Some(width) => {
                // Fits: `count` has looked.
                self.take(n * width, "its elements")?;
            }
            None => {
                for _ in 0..n {
                    self.value_of(kind, depth + 1)?;
                }
            }
        }
        Ok(Value::Array { kind, n, bytes: &self.file[start..self.at], wide: self.wide })
    }

    fn tensor(&mut self) -> Step<TensorEntry> {
        let name = self.text("its name")?.into_owned();
        let n_dims = self.u32("its number of dimensions")?;
        if !(1..=MOST_DIMS).contains(&n_dims) {
            return Err(format!("{} has {n_dims} dimensions, expected 1 to {MOST_DIMS}", shown(&name)));
        }
        let mut dims = [1; MOST_DIMS as usize];
        for dim in &mut dims[..n_dims as usize] {
            *dim = self.length("a dimension")?;
        }
        let dtype = GgmlType(self.u32("its type")?);
        let offset = self.u64("its offset")?;
        Ok(TensorEntry { name, dims, n_dims: n_dims as usize, dtype, offset })
    }
}

/// Bytes of an element of an array; `None` for texts and arrays.
pub(super) const fn fixed_width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

struct TensorEntry {
    name: String,
    /// Fastest dimension first, as stored.
    dims: [u64; MOST_DIMS as usize],
    n_dims: usize,
    dtype: GgmlType,
    /// From the start of the data.
    offset: u64,
}

impl TensorEntry {
    /// Its bytes in a file of `len` bytes whose data begin at `data`.
    fn place(self, data: u64, len: usize) -> Step<(String, TensorInfo)> {
        let Self { name, dims, n_dims, dtype, offset } = self;
        let called = shown(&name);
        let too_large = || {
            format!("tensor {called} of shape {:?} does not fit into the file of {len} bytes; was the download cut short?", &dims[..n_dims])
        };
        let shape: Option<Vec<usize>> = dims[..n_dims].iter().rev().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.ok_or_else(too_large)?;
        if shape.contains(&0) {
            return Err(format!("tensor {called} has shape {shape:?}, with a dimension of 0"));
        }
        let start = data.checked_add(offset).and_then(|s| usize::try_from(s).ok()).filter(|&s| s <= len).ok_or_else(too_large)?;
        let Some((block, block_bytes)) = dtype.block() else {
            // Nobody can say how long it is; whoever needs it is told so.
            return Ok((name, TensorInfo { dtype, shape, bytes: start..start }));
        };
        let row = shape[n_dims - 1];
        if !row.is_multiple_of(block) {
            return Err(format!("tensor {called} is {dtype} with rows of {row} values, expected a multiple of {block}"));
        }
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(too_large)?;
        let size = (elements / block).checked_mul(block_bytes).ok_or_else(too_large)?;
        let end = start.checked_add(size).filter(|&e| e <= len).ok_or_else(too_large)?;
        Ok((name, TensorInfo { dtype, shape, bytes: start..end }))
    }
}

/// Two tensors in the same bytes would let a small file ask for any amount of memory.
fn apart(tensors: &BTreeMap<String, TensorInfo>) -> Step<()> {
    let mut by_place: Vec<(&str, &TensorInfo)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    by_place.sort_by_key(|(_, t)| (t.bytes.start, t.bytes.end));
    match by_place.windows(2).find(|pair| pair[0].1.bytes.end > pair[1].1.bytes.start) {
        Some(pair) => Err(format!("tensors {} and {} overlap", shown(pair[0].0), shown(pair[1].0))),
        None => Ok(()),
    }
}
