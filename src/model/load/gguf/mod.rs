//! A model in one GGUF file, memory-mapped: header, architecture, tokenizer, tensors. Quantised weights are widened to f32 a block at a time;
//! whatever is computed, gradients too, is that of the widened weights.

mod architecture;
mod header;
mod metadata;
mod place;
mod pre_tokenizer;
mod quant;
mod rope;
mod tensor;
mod tokenizer;
mod value;

use quant::GgmlType;

use super::{About, FileBytes, LoadOptions, beside, family_of, read, some_of};
use crate::{
    base::{Ctx, Error, Result, hash},
    model::{
        DecoderSpec, Model, ModelInfo, TextTokenizer,
        family::{ConfigFile, Family},
        weights::Role,
    },
};
use architecture::Architecture;
use header::Header;
use metadata::Metadata;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};
use tensor::GgufTensor;

/// # Errors
/// When the file is damaged or holds something that is not supported.
pub(super) fn load(path: &Path, options: &LoadOptions, ctx: &Ctx<'_>) -> Result<Model> {
    // The folder's own name, but not what a link stands for: files of the cache are links to blobs without names.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).canonicalize();
    let path = folder.ok().zip(path.file_name()).map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name));
    let file = Arc::new(FileBytes::map(&path)?);
    let found = Found::read(&path, &file)?;
    let tokenizer = found.tokenizer(&path, &file)?;
    let name = path.file_stem().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let dtype = found.dtype();
    let weights = || read(&name, &found.spec, found.tensors, file.len() as u64, options, ctx);
    let (sha256, weights) = beside(&name, |_, go_on| hash::sha256_file_while(&path, go_on), weights, ctx)?;
    let info = ModelInfo {
        name,
        folder: path,
        model_type: found.family.model_type.to_owned(),
        n_params: found.spec.n_params(),
        dtype,
        size_bytes: file.len() as u64,
        sha256,
    };
    Ok(Model { info, spec: found.spec, weights, tokenizer })
}

/// Only what the header says, without tokenizer and values.
///
/// # Errors
/// As [`load`].
pub(super) fn look(path: &Path) -> Result<About> {
    let file = Arc::new(FileBytes::map(path)?);
    let found = Found::read(path, &file)?;
    Ok(About { model_type: found.family.model_type.to_owned(), dtype: found.dtype(), spec: found.spec })
}

/// What the header says of the model, checked.
struct Found {
    family: &'static Family,
    spec: DecoderSpec,
    tensors: HashMap<Role, GgufTensor>,
}

impl Found {
    fn read(path: &Path, file: &Arc<FileBytes>) -> Result<Self> {
        let header = Header::read(path, file)?;
        let meta = Metadata::new(path, &header)?;
        let architecture = architecture::find(&meta)?;
        let config = ConfigFile::from_object(path, architecture.config(&meta, file)?);
        let family = family_of(&config)?;
        let spec = (family.spec)(&config)?;
        let tensors = checked(architecture, &spec, &meta, file)?;
        Ok(Self { family, spec, tensors })
    }

    fn tokenizer(&self, path: &Path, file: &FileBytes) -> Result<TextTokenizer> {
        let header = Header::read(path, file)?;
        let tokenizer = tokenizer::read(&Metadata::new(path, &header)?)?;
        // An id that the embedding has no row for must not come out of a prompt.
        if tokenizer.vocab_size() > self.spec.vocab {
            return Err(Error::format(
                path,
                format!("its tokenizer has {} tokens and its embedding {} rows", tokenizer.vocab_size(), self.spec.vocab),
            ));
        }
        Ok(tokenizer)
    }

    /// `gguf q4_k/q6_k mixed`: types of the matrices, the one that most values have first.
    fn dtype(&self) -> String {
        let mut values: BTreeMap<GgmlType, usize> = BTreeMap::new();
        for tensor in self.tensors.values().filter(|t| t.shape.len() > 1) {
            *values.entry(tensor.dtype).or_default() += tensor.shape.iter().product::<usize>();
        }
        let mut kinds: Vec<(usize, GgmlType)> = values.into_iter().map(|(kind, n)| (n, kind)).collect();
        kinds.sort_by(|a, b| b.cmp(a));
        let names: Vec<String> = kinds.iter().map(|(_, kind)| kind.to_string().to_lowercase()).collect();
        let mixed = if names.len() > 1 { " mixed" } else { "" };
        format!("gguf {}{mixed}", names.join("/"))
    }
}

/// Every tensor of the spec, found with the right shape and a type that is read; nothing is allocated before that is known.
fn checked(
    architecture: &Architecture,
    spec: &DecoderSpec,
    meta: &Metadata<'_, '_>,
    file: &Arc<FileBytes>,
) -> Result<HashMap<Role, GgufTensor>> {
    let held = meta.header.tensors.len();
    if spec.n_layers > held {
        return Err(meta.error(format!("says it has {} layers and holds {held} tensors", spec.n_layers)));
    }
    let (mut tensors, mut missing, mut used) = (HashMap::new(), Vec::new(), BTreeSet::new());
    for role in spec.roles() {
        let place = architecture.place(role, spec, meta);
        let name = &place.name;
        let Some(info) = meta.header.tensors.get(name) else {
            missing.push(place.name);
            continue;
        };
        let Some((block, _)) = info.dtype.block() else {
            return Err(meta.error(format!("tensor {name} is {}, expected one of {}", info.dtype, GgmlType::supported())));
        };
        if info.shape != place.shape {
            return Err(meta.error(format!("tensor {name} has shape {:?}, expected {:?}", info.shape, place.shape)));
        }
        if block > 1 && info.shape.len() == 1 {
            return Err(meta.error(format!("tensor {name} is a vector of {}, expected F32, F16 or BF16", info.dtype)));
        }
        tensors.insert(role, GgufTensor::new(file, info, &place, spec.shape(role).unwrap_or_default()));
        used.insert(place.name);
    }
    missing.dedup();
    let unused: Vec<&str> = meta.header.tensors.keys().map(String::as_str).filter(|name| !used.contains(*name)).collect();
    if !missing.is_empty() {
        let mut message = format!("{} of {} tensors are missing: {}", missing.len(), missing.len() + used.len(), some_of(&missing));
        if !unused.is_empty() {
            message += &format!("; present but unused: {}", some_of(&unused));
        }
        return Err(meta.error(message));
    }
    // A tensor inside a block that the metadata does not speak of would silently give wrong numbers.
    let layer = |name: &str| name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
    let strange: Vec<&str> = unused.iter().copied().filter(|name| layer(name).is_some_and(|l| l < spec.n_layers)).collect();
    if !strange.is_empty() {
        return Err(meta.error(format!(
            "a {} model has no such tensors: {}; without them it would compute something else",
            architecture.name,
            some_of(&strange)
        )));
    }
    let idle: Vec<&str> = unused.into_iter().filter(|name| !rope::TABLES.contains(name)).collect();
    if !idle.is_empty() {
        tracing::warn!("{}: {} tensors are not used: {}", meta.path.display(), idle.len(), some_of(&idle));
    }
    Ok(tensors)
}
