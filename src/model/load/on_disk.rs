//! Which models lie on this disk: what a user's path or name means, and what the Hugging Face cache holds. Nothing is ever fetched.

use super::{Checkpoint, gguf, gguf_files, is_gguf};
use crate::{
    base::{
        Ctx, Error, Result,
        hub::{self, Repo},
    },
    model::{
        DecoderSpec,
        family::{self, ConfigFile},
    },
};
use std::path::{Path, PathBuf};

/// A model in the cache.
#[derive(Clone, Debug)]
pub struct FoundModel {
    /// What `--model` takes: `org/name`, or `org/name/file.gguf`.
    pub id: String,
    /// Snapshot folder or GGUF file.
    pub path: PathBuf,
    /// Of its weights.
    pub size_bytes: u64,
    /// What its config or header says; or why it cannot be opened.
    pub about: Result<About, String>,
}

/// What can be said of a model without reading its weights.
#[derive(Clone, Debug)]
pub struct About {
    pub model_type: String,
    /// As stored, where the config says so.
    pub dtype: String,
    pub spec: DecoderSpec,
}

/// What a path or a name of the cache (`org/name`, `org/name/file.gguf`) means on this disk.
///
/// # Errors
/// Every place that was searched, when there is no such model.
pub fn find_on_disk(named: &Path) -> Result<PathBuf> {
    find_below(named, hub::cache_root().as_deref())
}

fn find_below(named: &Path, root: Option<&Path>) -> Result<PathBuf> {
    if named.exists() {
        return Ok(named.to_owned());
    }
    let text = named.to_string_lossy();
    let (id, file) = parts_of(&text);
    if !hub::is_id(id) {
        let expected = "expected a model folder with config.json, tokenizer.json and model.safetensors, a .gguf file, or the name of a model in \
                        the Hugging Face cache (org/name)";
        return Err(Error::format(named, format!("no such folder or file; {expected}")));
    }
    let here = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
    let mut searched = vec![format!("{}: no such folder or file", here.display())];
    match root {
        None => searched.push("the Hugging Face cache: no home folder to look for it in".into()),
        Some(root) => {
            let repo = hub::folder(root, Repo::Model, id);
            let snapshots = snapshots(&repo);
            if snapshots.is_empty() {
                let what = if repo.is_dir() { "no snapshot in it" } else { "no such folder" };
                searched.push(format!("{}: {what}", repo.display()));
            }
            for snapshot in snapshots {
                match Snapshot::read(&snapshot, id).and_then(|s| s.choose(file)) {
                    Ok(path) => return Ok(path),
                    Err(why) => searched.push(format!("{}: {why}", snapshot.display())),
                }
            }
        }
    }
    Err(Error::invalid(format!(
        "model {text} is not on this disk. Searched:\n  {}\nNothing is downloaded; HF_HUB_CACHE or HF_HOME say where the cache is",
        searched.join("\n  ")
    )))
}

/// Whether a path is a name that only the cache can know: of its form, and nothing lies there.
pub fn is_cache_name(path: &Path) -> bool {
    let text = path.to_string_lossy();
    hub::is_id(parts_of(&text).0) && !path.exists()
}

/// Repository and file.
fn parts_of(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('/') {
        Some((id, file)) if is_gguf(Path::new(file)) => (id, Some(file)),
        _ => (text, None),
    }
}

/// Every model of the cache below `root`, in the order of their names.
///
/// # Errors
/// When cancelled.
pub fn find_models(root: &Path, ctx: &Ctx<'_>) -> Result<Vec<FoundModel>> {
    let mut repos: Vec<PathBuf> = std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).collect();
    repos.sort();
    let mut found = Vec::new();
    for repo in repos {
        ctx.check()?;
        if let Some(id) = id_of(&repo) {
            found.extend(models_of(&repo, &id));
        }
    }
    Ok(found)
}

/// `models--org--name` to `org/name`.
fn id_of(repo: &Path) -> Option<String> {
    let id = repo.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/");
    hub::is_id(&id).then_some(id)
}

/// The name by which the cache knows a snapshot's folder.
pub(super) fn cached_name(folder: &Path) -> Option<String> {
    let snapshots = folder.parent().filter(|p| p.file_name().is_some_and(|n| n == "snapshots"))?;
    id_of(snapshots.parent()?)
}

/// Of the best snapshot: the first whole one, else what is missing in the first that looks like a model at all.
fn models_of(repo: &Path, id: &str) -> Vec<FoundModel> {
    let mut problem = None;
    for snapshot in snapshots(repo) {
        match Snapshot::read(&snapshot, id) {
            Ok(whole) => return whole.models(),
            Err(why) if snapshot.join("config.json").is_file() => {
                problem.get_or_insert(FoundModel { id: id.to_owned(), path: snapshot, size_bytes: 0, about: Err(why) });
            }
            Err(_) => {}
        }
    }
    problem.into_iter().collect()
}

/// Snapshots of a repository: the one that `refs/main` names, then the newest first.
fn snapshots(repo: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repo.join("snapshots")).into_iter().flatten().flatten();
    let mut dated: Vec<_> = entries.map(|e| (e.metadata().and_then(|m| m.modified()).ok(), e.path())).filter(|(_, p)| p.is_dir()).collect();
    dated.sort_by(|a, b| b.cmp(a));
    let mut paths: Vec<PathBuf> = dated.into_iter().map(|(_, p)| p).collect();
    if let Ok(main) = std::fs::read_to_string(repo.join("refs/main")) {
        // Stable: only the named one moves.
        paths.sort_by_key(|p| p.file_name().is_none_or(|n| n != main.trim()));
    }
    paths
}

/// A snapshot that holds a whole model.
struct Snapshot {
    id: String,
    folder: PathBuf,
    /// Safetensors with all that belongs to them; their bytes.
    weights: Option<u64>,
    gguf: Vec<PathBuf>,
}

impl Snapshot {
    /// # Errors
    /// What is missing.
    fn read(folder: &Path, id: &str) -> Result<Self, String> {
        let gguf: Vec<PathBuf> = gguf_files(folder).into_iter().filter(|p| size(p) > 0).collect();
        let weights = match Checkpoint::size_on_disk(folder) {
            Ok(bytes) => match ["config.json", "tokenizer.json"].into_iter().find(|f| !folder.join(f).is_file()) {
                None => Some(bytes),
                Some(missing) if gguf.is_empty() => return Err(format!("{missing} is missing")),
                Some(_) => None,
            },
            Err(why) if gguf.is_empty() => return Err(why),
            Err(_) => None,
        };
        Ok(Self { id: id.to_owned(), folder: folder.to_owned(), weights, gguf })
    }

    fn choose(self, file: Option<&str>) -> Result<PathBuf, String> {
        let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match file {
            Some(file) => self.gguf.into_iter().find(|p| name(p) == file).ok_or_else(|| format!("{file} is not in it")),
            None if self.weights.is_some() => Ok(self.folder),
            None if self.gguf.len() == 1 => Ok(self.gguf.into_iter().next().unwrap_or(self.folder)),
            None => {
                let names: Vec<String> = self.gguf.iter().map(|p| format!("{}/{}", self.id, name(p))).collect();
                Err(format!("holds several GGUF files, ask for one of them: {}", names.join(", ")))
            }
        }
    }

    fn models(self) -> Vec<FoundModel> {
        let mut models = Vec::new();
        if let Some(size_bytes) = self.weights {
            let about = about_folder(&self.folder).map_err(|e| e.to_string());
            models.push(FoundModel { id: self.id.clone(), path: self.folder.clone(), size_bytes, about });
        }
        let alone = self.gguf.len() == 1 && self.weights.is_none();
        for path in self.gguf {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let id = if alone { self.id.clone() } else { format!("{}/{file}", self.id) };
            models.push(FoundModel { id, size_bytes: size(&path), about: gguf::look(&path).map_err(|e| e.to_string()), path });
        }
        models
    }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

fn about_folder(folder: &Path) -> Result<About> {
    let path = folder.join("config.json");
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let config = ConfigFile::parse(&path, &bytes)?;
    let family = family::find(config.text("model_type")?).map_err(|e| config.error(e.to_string()))?;
    let dtype = ["dtype", "torch_dtype"].into_iter().find_map(|key| config.text(key).ok());
    let dtype = match dtype {
        Some("float32") => "f32",
        Some("float16") => "f16",
        Some("bfloat16") => "bf16",
        other => other.unwrap_or_default(),
    };
    Ok(About { model_type: family.model_type.to_owned(), dtype: dtype.to_owned(), spec: (family.spec)(&config)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;
    use std::fs;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
    }

    /// A cache with one repository whose snapshot holds these files of the fixture.
    fn cached(root: &Path, id: &str, commit: &str, files: &[&str]) -> PathBuf {
        let snapshot = hub::folder(root, Repo::Model, id).join("snapshots").join(commit);
        fs::create_dir_all(&snapshot).expect("folder");
        for file in files {
            fs::copy(fixture().join(file), snapshot.join(file)).expect("copy");
        }
        snapshot
    }

    const WHOLE: &[&str] = &["config.json", "tokenizer.json", "model.safetensors"];

    fn refused(named: &str, root: &Path) -> String {
        find_below(Path::new(named), Some(root)).expect_err(named).to_string()
    }

    #[test]
    fn main_comes_first_then_the_newest_whole_snapshot() {
        let root = tempfile::tempdir().expect("folder");
        let old = cached(root.path(), "org/tiny", "aaa", WHOLE);
        let new = cached(root.path(), "org/tiny", "bbb", WHOLE);
        let cut = cached(root.path(), "org/tiny", "ccc", &WHOLE[..2]);
        for (seconds, snapshot) in [(100, &old), (200, &new), (300, &cut)] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(snapshot).and_then(|f| f.set_modified(time)).expect("time");
        }
        let find = || find_below(Path::new("org/tiny"), Some(root.path())).expect("found");
        assert_eq!(find(), new);
        let refs = root.path().join("models--org--tiny/refs");
        fs::create_dir_all(&refs).expect("refs");
        fs::write(refs.join("main"), "aaa\n").expect("ref");
        assert_eq!(find(), old);
        // Its download was cut short: the newest whole one.
        fs::write(refs.join("main"), "ccc").expect("ref");
        assert_eq!(find(), new);
        assert_eq!(cached_name(&new), Some("org/tiny".into()));
        assert_eq!(cached_name(&fixture()), None);
    }

    #[test]
    fn a_miss_names_every_place() {
        let root = tempfile::tempdir().expect("folder");
        let e = refused("org/none", root.path());
        let here = std::env::current_dir().expect("here").join("org/none");
        let repo = root.path().join("models--org--none");
        assert!(e.contains(&here.display().to_string()) && e.contains(&repo.display().to_string()), "{e}");
        assert!(e.contains("Nothing is downloaded") && e.contains("HF_HUB_CACHE"), "{e}");
        let cut = cached(root.path(), "org/cut", "abc", &WHOLE[..2]);
        let e = refused("org/cut", root.path());
        assert!(e.contains(&cut.display().to_string()) && e.contains("expected model.safetensors"), "{e}");
        cached(root.path(), "org/bare", "abc", &["config.json", "model.safetensors"]);
        assert!(refused("org/bare", root.path()).contains("tokenizer.json is missing"));
        // Nothing of the cache could be called so.
        assert!(refused("../up", root.path()).contains("no such folder or file"));
    }

    #[test]
    fn shards_must_all_be_there() {
        let root = tempfile::tempdir().expect("folder");
        let snapshot = cached(root.path(), "org/big", "abc", &WHOLE[..2]);
        let index = serde_json::json!({ "weight_map": { "a": "model-1.safetensors", "b": "model-2.safetensors" } });
        fs::write(snapshot.join("model.safetensors.index.json"), index.to_string()).expect("index");
        fs::write(snapshot.join("model-1.safetensors"), [0; 10]).expect("shard");
        assert!(refused("org/big", root.path()).contains("model-2.safetensors is missing or empty"));
        fs::write(snapshot.join("model-2.safetensors"), [0; 7]).expect("shard");
        assert_eq!(find_below(Path::new("org/big"), Some(root.path())).expect("whole"), snapshot);
        let listed = silently(|ctx| find_models(root.path(), ctx)).expect("list");
        assert_eq!((listed.len(), listed[0].id.as_str(), listed[0].size_bytes), (1, "org/big", 17));
    }

    #[test]
    fn the_list_says_what_each_is_and_why_one_cannot_be_opened() {
        let root = tempfile::tempdir().expect("folder");
        cached(root.path(), "org/tiny", "abc", WHOLE);
        cached(root.path(), "org/cut", "abc", &WHOLE[..1]);
        let other = cached(root.path(), "org/other", "abc", WHOLE);
        fs::write(other.join("config.json"), r#"{ "model_type": "bert" }"#).expect("config");
        fs::create_dir_all(root.path().join("models--org--empty/snapshots/abc")).expect("folder");
        fs::create_dir_all(root.path().join("datasets--org--data/snapshots/abc")).expect("folder");
        let files = cached(root.path(), "org/files", "abc", &[]);
        for name in ["a.Q4_0.gguf", "b.Q8_0.gguf", "mmproj-b.gguf"] {
            fs::write(files.join(name), b"GGUF").expect("file");
        }
        let listed = silently(|ctx| find_models(root.path(), ctx)).expect("list");
        let ids: Vec<&str> = listed.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["org/cut", "org/files/a.Q4_0.gguf", "org/files/b.Q8_0.gguf", "org/other", "org/tiny"]);
        let about = |i: usize| listed[i].about.as_ref();
        assert!(about(0).expect_err("cut").contains("expected model.safetensors"));
        assert!(about(1).expect_err("damaged").contains("a.Q4_0.gguf"));
        assert!(about(3).expect_err("bert").contains("`bert` is not supported"));
        let tiny = about(4).expect("whole");
        assert_eq!((tiny.model_type.as_str(), tiny.dtype.as_str(), tiny.spec.n_layers), ("llama", "f32", 3));
        let size = fs::metadata(fixture().join("model.safetensors")).expect("size").len();
        assert_eq!(listed[4].size_bytes, size);
        // One of several files is asked for by its name.
        assert!(refused("org/files", root.path()).contains("org/files/b.Q8_0.gguf"));
        assert_eq!(find_below(Path::new("org/files/b.Q8_0.gguf"), Some(root.path())).expect("file"), files.join("b.Q8_0.gguf"));
        assert!(refused("org/files/c.gguf", root.path()).contains("c.gguf is not in it"));
    }
}
