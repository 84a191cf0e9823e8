//! A model on the disk, memory-mapped: a folder as Hugging Face lays it out (config.json, tokenizer.json, model.safetensors, single or
//! sharded), or one GGUF file.

mod chat;
mod checkpoint;
mod file_bytes;
mod gguf;
mod on_disk;

pub(super) use file_bytes::{FileBytes, FileRange};
pub use on_disk::{About, FoundModel, find_models, find_on_disk, is_cache_name};

use super::{
    DecoderSpec, Model, ModelInfo, TextTokenizer, Weights,
    family::{self, ConfigFile, Family, Layout},
    weights::{Block, BlockNorm, BlockSource, Role, Tensor},
};
use crate::base::{Ctx, Error, Result, hash, memory::Memory};
use checkpoint::{Checkpoint, StoredTensor, float_name};
use std::{
    collections::{BTreeSet, HashMap},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// How a model is held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Half-precision and quantised blocks are widened once if all of them fit into this many bytes as f32, else at each use. `None`: half of the
    /// memory that the process may have, or three quarters of what can be had now. f32 files are mapped in any case. What is larger, widened or as a file, is read from the disk a block ahead of its use.
    pub resident_bytes: Option<u64>,
}

/// `path` may also be the name of a model in the Hugging Face cache.
///
/// # Errors
/// When a file is missing, damaged or does not fit the config; the message names file, tensor, shape found and shape expected.
pub fn load_model(path: &Path, ctx: &Ctx<'_>) -> Result<Model> {
    load_model_with(path, &LoadOptions::default(), ctx)
}

/// # Errors
/// As [`load_model`].
pub fn load_model_with(path: &Path, options: &LoadOptions, ctx: &Ctx<'_>) -> Result<Model> {
    let folder = match Place::of(&find_on_disk(path)?)? {
        Place::Gguf(file) => return gguf::load(&file, options, ctx),
        Place::Folder(folder) => folder,
    };
    let config_path = folder.join("config.json");
    let config_bytes = std::fs::read(&config_path).map_err(|e| Error::io(&config_path, e))?;
    let config = ConfigFile::parse(&config_path, &config_bytes)?;
    let family = family_of(&config)?;
    let spec = (family.spec)(&config)?;
    let checkpoint = Checkpoint::open(&folder)?;
    let tokenizer_path = folder.join("tokenizer.json");
    let mut tokenizer = TextTokenizer::from_file(&tokenizer_path)?;
    tokenizer.chat = chat::of_folder(&folder)?;
    let plain = || folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
    let name = on_disk::cached_name(&folder).unwrap_or_else(plain);

    let mut hashed: Vec<PathBuf> = checkpoint.files.clone();
    hashed.extend([config_path, tokenizer_path]);
    hashed.sort();
    let digest = |said: &Said<'_>, go_on: &GoOn<'_>| {
        let mut lines = String::new();
        for (i, path) in hashed.iter().enumerate() {
            said(i, hashed.len());
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            lines.push_str(&digest_line(&hash::sha256_file_while(path, go_on)?, &file));
        }
        Ok(hash::sha256_bytes(lines.as_bytes()))
    };
    assemble(name, folder, family, spec, checkpoint, tokenizer, digest, options, ctx)
}

/// A model that is part of the program: the bytes of its config.json, tokenizer.json and model.safetensors.
///
/// # Errors
/// As [`load_model`].
pub fn load_embedded(name: &str, config: &[u8], tokenizer: &[u8], weights: &'static [u8], ctx: &Ctx<'_>) -> Result<Model> {
    let folder = PathBuf::from(name);
    let parsed = ConfigFile::parse(&folder.join("config.json"), config)?;
    let family = family_of(&parsed)?;
    let spec = (family.spec)(&parsed)?;
    let checkpoint = Checkpoint::from_bytes(vec![folder.join("model.safetensors")], vec![Arc::new(FileBytes::embedded(weights))])?;
    let text = TextTokenizer::from_bytes(&folder.join("tokenizer.json"), tokenizer)?;
    let digest = |_: &Said<'_>, _: &GoOn<'_>| {
        let files = [("config.json", config), ("model.safetensors", weights), ("tokenizer.json", tokenizer)];
        let lines: String = files.iter().map(|(file, bytes)| digest_line(&hash::sha256_bytes(bytes), file)).collect();
        Ok(hash::sha256_bytes(lines.as_bytes()))
    };
    assemble(name.to_owned(), folder, family, spec, checkpoint, text, digest, &LoadOptions::default(), ctx)
}

/// As `sha256sum` prints it.
fn digest_line(digest: &str, file: &str) -> String {
    format!("{digest}  {file}\n")
}

/// What a user's path means.
enum Place {
    Folder(PathBuf),
    Gguf(PathBuf),
}

impl Place {
    /// Of a path that is there: a model folder, a GGUF file, a folder that holds one, or a file inside a model folder that a user picked instead.
    fn of(path: &Path) -> Result<Self> {
        if path.is_file() && is_gguf(path) {
            return Ok(Self::Gguf(path.to_owned()));
        }
        let folder = if path.is_file() { path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned) } else { path.to_owned() };
        // Many folders of GGUF files come with the config.json of the model they were made from.
        if !Checkpoint::is_in(&folder) {
            match &gguf_files(&folder)[..] {
                [] => {}
                [only] => return Ok(Self::Gguf(only.clone())),
                several => {
                    let names: Vec<String> =
                        several.iter().map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
                    return Err(Error::format(&folder, format!("holds {} GGUF files; open one of them: {}", names.len(), some_of(&names))));
                }
            }
        }
        if !folder.join("config.json").is_file() {
            return Err(Error::format(&folder, "there is no config.json in it; expected a model folder as Hugging Face lays it out"));
        }
        // Gives `.` and the like the name a user knows it by.
        Ok(Self::Folder(folder.canonicalize().unwrap_or(folder)))
    }
}

/// Whether a path names a model in one file.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// GGUF files of a folder that are models by their names, in name order.
fn gguf_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let model = |p: &PathBuf| is_gguf(p) && !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mmproj"));
    let mut files: Vec<PathBuf> = entries.filter(model).collect();
    files.sort();
    files
}

/// A tensor of a file, as the family expects it.
trait Stored: Clone + Send + Sync + 'static {
    /// Bytes of memory that its values take: 0 where they are borrowed from the file.
    fn resident_bytes(&self) -> u64;
    fn to_tensor(&self) -> Tensor;
    fn in_file(&self) -> FileRange;
}

fn family_of(config: &ConfigFile) -> Result<&'static Family> {
    family::find(config.text("model_type")?).map_err(|e| config.error(e.to_string()))
}

#[expect(clippy::too_many_arguments, reason = "the parts of a model, put together in one place")]
fn assemble(
    name: String,
    folder: PathBuf,
    family: &'static Family,
    spec: DecoderSpec,
    checkpoint: Checkpoint,
    tokenizer: TextTokenizer,
    digest: impl FnOnce(&Said<'_>, &GoOn<'_>) -> Result<String> + Send,
    options: &LoadOptions,
    ctx: &Ctx<'_>,
) -> Result<Model> {
    let stored = checked(family, &spec, &checkpoint)?;
    let dtypes: BTreeSet<&str> = stored.values().filter_map(|t| float_name(t.tensor.dtype)).collect();
    let dtype = match dtypes.first() {
        Some(only) if dtypes.len() == 1 => (*only).to_owned(),
        _ => "mixed".to_owned(),
    };
    let (sha256, weights) = beside(&name, digest, || read(&name, &spec, stored, checkpoint.size_bytes, options, ctx), ctx)?;
    let info = ModelInfo {
        name,
        folder,
        model_type: family.model_type.to_owned(),
        n_params: spec.n_params(),
        dtype,
        size_bytes: checkpoint.size_bytes,
        sha256,
    };
    Ok(Model { info, spec, weights, tokenizer })
}

/// Takes how many files are hashed, and of how many.
type Said<'a> = dyn Fn(usize, usize) + 'a;
/// Fails once the digest is of no use any more.
type GoOn<'a> = dyn Fn() -> Result<()> + 'a;

/// The digest of a model's files, which takes one core, on a thread of its own while `read` widens their values: both need the bytes from the disk. What
/// `digest` says of the files that are done is shown once `read` has ended; a model that `read` refuses waits for no digest.
fn beside<R>(
    name: &str,
    digest: impl FnOnce(&Said<'_>, &GoOn<'_>) -> Result<String> + Send,
    read: impl FnOnce() -> Result<R>,
    ctx: &Ctx<'_>,
) -> Result<(String, R)> {
    let (reads, refused) = (AtomicBool::new(true), AtomicBool::new(false));
    let go_on = || if refused.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { ctx.check() };
    let said = |done, total| {
        if !reads.load(Ordering::Relaxed) {
            ctx.progress(format!("hashing {name}"), done, total, "files");
        }
    };
    thread::scope(|scope| {
        let digest = scope.spawn(|| digest(&said, &go_on));
        let read = read().inspect_err(|_| refused.store(true, Ordering::Relaxed))?;
        reads.store(false, Ordering::Relaxed);
        ctx.progress(format!("hashing {name}"), 0, 1, "files");
        let digest = digest.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((digest, read))
    })
}

/// A stored tensor, and how ours lies in it.
#[derive(Clone)]
struct Found {
    tensor: StoredTensor,
    layout: Layout,
    /// Of ours.
    shape: Vec<usize>,
}

impl Stored for Found {
    fn resident_bytes(&self) -> u64 {
        if self.layout.is_whole() { self.tensor.resident_bytes() } else { 4 * self.shape.iter().product::<usize>() as u64 }
    }
    fn to_tensor(&self) -> Tensor {
        self.tensor.part(&self.layout, &self.shape)
    }
    fn in_file(&self) -> FileRange {
        self.tensor.in_file()
    }
}

/// A block in the file, widened for each use.
struct StoredBlock<T> {
    spec: DecoderSpec,
    layer: usize,
    tensors: HashMap<Role, T>,
}

impl<T: Stored> BlockSource for StoredBlock<T> {
    fn block(&self) -> Block {
        let tensor = |role: Role, _| self.tensors.get(&role).map(T::to_tensor).ok_or_else(|| Error::invalid(role.to_string()));
        Block::build(&self.spec, self.layer, tensor).expect("every tensor of the block was found when the model was opened")
    }
    fn in_files(&self) -> Vec<FileRange> {
        self.tensors.values().map(T::in_file).collect()
    }
}

/// Every tensor of the spec, found with the right shape and dtype; nothing is read or allocated before that is known.
fn checked(family: &Family, spec: &DecoderSpec, checkpoint: &Checkpoint) -> Result<HashMap<Role, Found>> {
    let mut stored = HashMap::new();
    let mut missing = Vec::new();
    let mut used = BTreeSet::new();
    for role in spec.roles() {
        let layout = (family.layout)(spec, role);
        let names = family.names(role);
        match names.iter().find(|name| checkpoint.tensors.contains_key(*name)) {
            Some(name) => {
                if let Some(tensor) = checkpoint.find(name, &layout.shape)? {
                    let shape = spec.shape(role).unwrap_or_default();
                    stored.insert(role, Found { tensor: tensor.clone(), layout, shape });
                    used.insert(name.clone());
                }
            }
            None => missing.extend(names.into_iter().next()),
        }
    }
    missing.dedup();
    let unused: Vec<&str> = checkpoint.tensors.keys().map(String::as_str).filter(|name| !used.contains(*name)).collect();
    let first = &checkpoint.files[0];
    let place = if checkpoint.files.len() == 1 { first.as_path() } else { first.parent().unwrap_or(first) };
    if !missing.is_empty() {
        let mut message = format!("{} of {} tensors are missing: {}", missing.len(), missing.len() + used.len(), some_of(&missing));
        if !unused.is_empty() {
            message += &format!("; present but unused: {}", some_of(&unused));
        }
        return Err(Error::format(place, message));
    }
    // A tensor inside a block that the config does not speak of (a bias, an adapter, another norm) would silently give wrong numbers.
    let inside =
        |name: &str| !family.ignored.iter().any(|end| name.ends_with(end)) && layer_of(family, name).is_some_and(|l| l < spec.n_layers);
    let strange: Vec<&str> = unused.iter().copied().filter(|name| inside(name)).collect();
    if !strange.is_empty() {
        return Err(Error::format(
            place,
            format!("config.json describes no such tensors: {}; without them the model would compute something else", some_of(&strange)),
        ));
    }
    let worth_saying: Vec<&str> = unused.into_iter().filter(|name| !family.ignored.iter().any(|end| name.ends_with(end))).collect();
    if !worth_saying.is_empty() {
        tracing::warn!("{}: {} tensors are not used: {}", place.display(), worth_saying.len(), some_of(&worth_saying));
    }
    Ok(stored)
}

fn some_of(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(5).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(5);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// The layer in a tensor's name, in this family's ways of writing it.
fn layer_of(family: &Family, name: &str) -> Option<usize> {
    family.names(Role::Norm(BlockNorm::Attn, 0)).iter().find_map(|pattern| {
        let (prefix, _) = pattern.split_once("0.")?;
        name.strip_prefix(prefix)?.split('.').next()?.parse().ok()
    })
}

/// See [`LoadOptions::resident_bytes`].
fn usual_budget() -> u64 {
    Memory::now().map_or(8 << 30, |memory| (memory.total_bytes / 2).min(memory.available_bytes / 4 * 3))
}

fn read<T: Stored>(
    name: &str,
    spec: &DecoderSpec,
    stored: HashMap<Role, T>,
    size_bytes: u64,
    options: &LoadOptions,
    ctx: &Ctx<'_>,
) -> Result<Weights> {
    let widened_bytes: u64 = stored.iter().filter(|(role, _)| role.layer().is_some()).map(|(_, t)| t.resident_bytes()).sum();
    let budget = options.resident_bytes.unwrap_or_else(usual_budget);
    let get = |role: Role| -> Result<Tensor> {
        ctx.check()?;
        Ok(stored.get(&role).ok_or_else(|| Error::invalid(format!("{role} was not found")))?.to_tensor())
    };
    if widened_bytes <= budget {
        let weights = Weights::build(spec, |role, _| {
            if let Role::Norm(BlockNorm::Attn, layer) = role {
                ctx.progress(format!("reading {name}"), layer, spec.n_layers, "layers");
            }
            get(role)
        })?;
        return Ok(if size_bytes > budget { weights.reading_ahead() } else { weights });
    }
    let others = spec.roles().into_iter().filter(|r| r.layer().is_none()).map(|r| Ok((r, get(r)?))).collect::<Result<_>>()?;
    let mut layers: Vec<HashMap<Role, T>> = (0..spec.n_layers).map(|_| HashMap::new()).collect();
    for (role, found) in stored {
        if let Some(block) = role.layer().and_then(|l| layers.get_mut(l)) {
            block.insert(role, found);
        }
    }
    let block = |(layer, tensors)| -> Arc<dyn BlockSource> { Arc::new(StoredBlock { spec: spec.clone(), layer, tensors }) };
    Ok(Weights::stored(layers.into_iter().enumerate().map(block).collect(), others)?.reading_ahead())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;

    #[test]
    fn a_refused_model_waits_for_no_digest() {
        // Of a file without an end.
        let digest = |_: &Said<'_>, go_on: &GoOn<'_>| -> Result<String> {
            loop {
                go_on()?;
                thread::yield_now();
            }
        };
        let refused = silently(|ctx| beside("model", digest, || Err::<(), _>(Error::invalid("no such model")), ctx));
        assert_eq!(refused.expect_err("refused").to_string(), Error::invalid("no such model").to_string());
    }
}
