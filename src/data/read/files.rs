//! Which files a user's path stands for: a file, a folder of them, or a data set in Hugging Face's cache, where `:SPLIT` chooses the split.

use crate::base::{
    Error, Result,
    hub::{self, Repo},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Marks a data set of the cache in projects and commands, so that it is never taken for a relative path.
pub const HUB: &str = "hf:";

/// Kinds of files, the first that a folder has is what it holds: a repository of Parquet also has JSON beside it that are no rows.
const KINDS: [&[&str]; 6] = [&["parquet"], &["jsonl", "ndjson"], &["json"], &["csv"], &["tsv", "tab"], &["txt", "text"]];
/// Files beside the rows in repositories of data sets.
const NO_ROWS: [&str; 7] =
    ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "readme.txt", "license.txt", "requirements.txt"];
const MAX_DEPTH: usize = 6;
const MAX_FILES: usize = 20_000;

/// As `sha256sum` prints it.
pub(super) fn digest_line(digest: &str, path: &Path) -> String {
    format!("{digest}  {}\n", path.file_name().unwrap_or_default().to_string_lossy())
}

/// `hf:org/name:split` for the id of a data set; a path as it is where it exists or cannot be an id.
pub fn canonical(path: PathBuf) -> PathBuf {
    let text = path.to_string_lossy();
    let (bare, _) = split_off(&text);
    if is_hub(&path) || path.exists() || Path::new(bare).exists() || !is_data_id(bare) {
        return path;
    }
    PathBuf::from(format!("{HUB}{text}"))
}

/// A data set of the cache, as [`canonical`] writes it.
pub fn is_hub(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.starts_with(HUB))
}

/// The files to read, in order.
///
/// # Errors
/// When there is no such file, folder or data set, or it does not say which of several splits is meant.
pub fn resolve(path: &Path) -> Result<Vec<PathBuf>> {
    let path = canonical(path.to_owned());
    let text = path.to_string_lossy();
    if let Some(id) = text.strip_prefix(HUB) {
        let (bare, split) = split_off(id);
        return of_hub(bare, split, hub::cache_root().as_deref());
    }
    if path.is_dir() {
        return of_folder(&path, None, &text);
    }
    let (bare, split) = split_off(&text);
    if split.is_some() && !path.exists() && Path::new(bare).is_dir() {
        return of_folder(Path::new(bare), split, bare);
    }
    Ok(vec![path])
}

/// `place:split`; a colon before the last separator is part of the path.
fn split_off(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((bare, split)) if !bare.is_empty() && bare != "hf" && !split.is_empty() && !split.contains(['/', '\\']) => (bare, Some(split)),
        _ => (text, None),
    }
}

/// `name`, `org/name` or `org/name/config`.
fn is_data_id(text: &str) -> bool {
    // A mistyped file must not be looked for in the cache.
    let kinds = KINDS.iter().flat_map(|k| k.iter()).copied().chain(["gz", "zip", "xlsx", "md", "arrow"]);
    if Path::new(text).extension().is_some_and(|e| kinds.clone().any(|k| e.eq_ignore_ascii_case(k))) {
        return false;
    }
    let at_most_three = text.split('/').count() <= 3;
    let two: Vec<&str> = text.splitn(3, '/').collect();
    // A single word is more often a mistyped file than a data set without an owner.
    at_most_three && two.len() >= 2 && hub::is_id(&two[..2].join("/")) && two.get(2).is_none_or(|config| hub::is_id(config))
}

fn of_hub(id: &str, split: Option<&str>, root: Option<&Path>) -> Result<Vec<PathBuf>> {
    let not_found = |searched: &[PathBuf]| {
        let places: Vec<String> = searched.iter().map(|p| p.display().to_string()).collect();
        let home = "set HF_HUB_CACHE or HF_HOME if the cache is elsewhere; nothing is downloaded";
        Error::invalid(format!("data set {id} is not on this disk; searched {}; {home}", places.join(", ")))
    };
    let Some(root) = root else { return Err(not_found(&["~/.cache/huggingface/hub".into()])) };
    let mut searched = Vec::new();
    let mut parts: Vec<&str> = id.split('/').collect();
    let mut config = None;
    loop {
        let name = parts.join("/");
        if hub::is_id(&name) {
            let folder = hub::folder(root, Repo::Dataset, &name);
            if folder.is_dir() {
                let snapshot = hub::snapshot(&folder).map_err(|places| not_found(&places))?;
                return choose(data_files(&snapshot)?, config, split, &format!("{HUB}{name}"));
            }
            searched.push(folder);
        }
        match parts.pop() {
            Some(last) if !parts.is_empty() => config = Some(last),
            _ => return Err(not_found(&searched)),
        }
    }
}

fn of_folder(folder: &Path, split: Option<&str>, shown: &str) -> Result<Vec<PathBuf>> {
    let inside = if folder.join("snapshots").is_dir() {
        hub::snapshot(folder)
            .map_err(|_| Error::format(folder, "is a cache folder without a whole snapshot; was the download cut short?"))?
    } else {
        folder.to_owned()
    };
    choose(data_files(&inside)?, None, split, shown)
}

/// A file of rows with the configuration and the split that its place and name say.
struct DataFile {
    config: String,
    split: String,
    path: PathBuf,
}

/// Files of rows below a folder, all of one kind, in name order.
fn data_files(folder: &Path) -> Result<Vec<DataFile>> {
    let mut found = Vec::new();
    collect(folder, 0, &mut found).map_err(|e| Error::io(folder, e))?;
    found.sort();
    let extension = |p: &Path| p.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kind = KINDS.iter().find(|kind| found.iter().any(|p| kind.contains(&extension(p).as_str())));
    let Some(kind) = kind else {
        return Err(Error::format(folder, "holds no file of rows (.parquet, .jsonl, .json, .csv, .tsv, .txt)"));
    };
    let files = found.into_iter().filter(|p| kind.contains(&extension(p).as_str()));
    Ok(files.map(|path| named(folder, path)).collect())
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.starts_with('.') || NO_ROWS.contains(&name.as_str()) || found.len() >= MAX_FILES {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, found)?;
            }
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// `config/data/train-00000-of-00002.parquet` and the other ways in which repositories lay out their files.
fn named(folder: &Path, path: PathBuf) -> DataFile {
    let inside = path.strip_prefix(folder).unwrap_or(&path);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut parents: Vec<String> =
        inside.parent().into_iter().flat_map(Path::iter).map(|p| p.to_string_lossy().into_owned()).filter(|p| p != "data").collect();
    let split = if let Some(name) = sharded(&stem) {
        // The exact name of a split stands before the number of the shard.
        Some(name.to_owned())
    } else {
        keyword(&stem).map(str::to_owned).or_else(|| {
            let at = parents.iter().rposition(|p| keyword(p).is_some())?;
            keyword(&parents.remove(at)).map(str::to_owned)
        })
    };
    DataFile { config: parents.join("/"), split: split.unwrap_or_else(|| "train".to_owned()), path }
}

/// `train` of `train-00000-of-00002`.
fn sharded(stem: &str) -> Option<&str> {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (rest, n) = stem.rsplit_once("-of-")?;
    let (name, i) = rest.rsplit_once('-')?;
    (digits(n) && digits(i) && !name.is_empty()).then_some(name)
}

/// The split that a word of a name says, as the `datasets` library reads them.
fn keyword(name: &str) -> Option<&'static str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| match word.to_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "validation" | "valid" | "val" | "dev" => Some("validation"),
        "test" | "testing" | "eval" | "evaluation" => Some("test"),
        _ => None,
    })
}

/// The files of the configuration and split that are asked for, or the only ones there are.
fn choose(files: Vec<DataFile>, config: Option<&str>, split: Option<&str>, shown: &str) -> Result<Vec<PathBuf>> {
    let mut groups: BTreeMap<(String, String), Vec<PathBuf>> = BTreeMap::new();
    for f in files {
        groups.entry((f.config, f.split)).or_default().push(f.path);
    }
    let all: BTreeSet<&String> = groups.keys().map(|(c, _)| c).collect();
    let config = match config {
        Some(c) if all.iter().any(|a| *a == c) => c.to_owned(),
        Some(c) => {
            return Err(Error::invalid(format!(
                "{shown} has no configuration {c}; it has {}",
                listed(all.into_iter().map(String::as_str))
            )));
        }
        None if all.len() == 1 => all.first().map(|c| (*c).clone()).unwrap_or_default(),
        // Files at the top beside folders: those are meant unless a folder is named.
        None if all.contains(&String::new()) => String::new(),
        None => {
            let names = listed(all.iter().map(|c| c.as_str()));
            let example = all.last().map_or("", |c| c.as_str());
            return Err(Error::invalid(format!("{shown} has several configurations: {names}; name one, e.g. {shown}/{example}")));
        }
    };
    let splits: Vec<&str> = groups.keys().filter(|(c, _)| *c == config).map(|(_, s)| s.as_str()).collect();
    let here = if config.is_empty() { shown.to_owned() } else { format!("{shown}/{config}") };
    let chosen = match split {
        Some(s) => splits.iter().find(|have| **have == s).or_else(|| splits.iter().find(|have| Some(**have) == keyword(s))),
        None if splits.len() == 1 => splits.first(),
        None => None,
    };
    match chosen.map(|s| (config.clone(), (*s).to_owned())) {
        Some(key) => Ok(groups.remove(&key).unwrap_or_default()),
        None => {
            let example = splits.iter().find(|s| **s != "train").or(splits.first()).copied().unwrap_or("test");
            let problem = match split {
                Some(s) => format!("has no split {s}; it has {}", listed(splits.iter().copied())),
                None => format!("has several splits: {}", listed(splits.iter().copied())),
            };
            Err(Error::invalid(format!("{here} {problem}; name one, e.g. {here}:{example}")))
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.filter(|n| !n.is_empty()).take(40).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for f in files {
            let path = root.path().join(f);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, "{\"text\": \"x\"}\n").expect("file");
        }
        root
    }

    fn names(files: Result<Vec<PathBuf>>) -> Vec<String> {
        files.expect("files").iter().map(|p| p.file_name().expect("name").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn shards_of_a_split_come_in_order_and_the_split_is_asked_for() {
        let root = tree(&[
            "datasets--org--name/snapshots/abc/data/train-00001-of-00002.parquet",
            "datasets--org--name/snapshots/abc/data/train-00000-of-00002.parquet",
            "datasets--org--name/snapshots/abc/data/test_sft-00000-of-00001.parquet",
            "datasets--org--name/snapshots/abc/dataset_infos.json",
            "datasets--org--name/snapshots/abc/README.md",
            "datasets--org--name/snapshots/abc/.gitattributes",
        ]);
        let of = |id: &str, split| of_hub(id, split, Some(root.path()));
        assert_eq!(names(of("org/name", Some("train"))), ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]);
        assert_eq!(names(of("org/name", Some("test_sft"))), ["test_sft-00000-of-00001.parquet"]);
        let e = of("org/name", None).expect_err("which").to_string();
        assert!(e.contains("test_sft, train") && e.contains("hf:org/name:test_sft"), "{e}");
        let e = of("org/name", Some("validation")).expect_err("none").to_string();
        assert!(e.contains("no split validation"), "{e}");
        let e = of("org/other", None).expect_err("miss").to_string();
        assert!(e.contains("datasets--org--other") && e.contains("nothing is downloaded"), "{e}");
        // The same folder by its path, with the split behind it.
        let folder = root.path().join("datasets--org--name");
        assert_eq!(names(resolve(&PathBuf::from(format!("{}:train", folder.display())))).len(), 2);
    }

    #[test]
    fn configurations_are_folders_and_splits_may_be_too() {
        let root = tree(&[
            "datasets--ai2_arc/snapshots/abc/ARC-Easy/test-00000-of-00001.parquet",
            "datasets--ai2_arc/snapshots/abc/ARC-Challenge/test-00000-of-00001.parquet",
        ]);
        let of = |id: &str, split| of_hub(id, split, Some(root.path()));
        assert!(of("ai2_arc/ARC-Easy", None).expect("files")[0].to_string_lossy().contains("ARC-Easy"));
        let e = of("ai2_arc", None).expect_err("which").to_string();
        assert!(e.contains("ARC-Challenge, ARC-Easy") && e.contains("hf:ai2_arc/ARC-Easy"), "{e}");
        let e = of("ai2_arc/Nope", None).expect_err("none").to_string();
        assert!(e.contains("no configuration Nope"), "{e}");
        let converted = tree(&["default/train/0000.parquet", "default/partial-val/0000.parquet"]);
        assert_eq!(names(of_folder(converted.path(), Some("validation"), "x")), ["0000.parquet"]);
    }

    #[test]
    fn plain_folders_and_names_say_their_split() {
        let root = tree(&["train.jsonl", "dev.jsonl", "notes.csv", "sub/my-test-set.jsonl"]);
        let of = |split| of_folder(&root.path().join(""), split, "x");
        let e = of(None).expect_err("two splits").to_string();
        assert!(e.contains("several splits: train, validation"), "{e}");
        assert_eq!(names(resolve(&root.path().join("sub"))), ["my-test-set.jsonl"]);
        assert_eq!(names(of(Some("val"))), ["dev.jsonl"]);
        assert_eq!(names(of(Some("train"))), ["train.jsonl"]);
        assert!(of_folder(tree(&["a.md"]).path(), None, "x").expect_err("none").to_string().contains("no file of rows"));
    }

    #[test]
    fn a_path_that_is_there_is_never_taken_for_an_id() {
        let root = tree(&["org/name.jsonl"]);
        let path = root.path().join("org/name.jsonl");
        assert_eq!(canonical(path.clone()), path);
        assert_eq!(canonical("org/name:test".into()), PathBuf::from("hf:org/name:test"));
        assert_eq!(canonical("hf:org/name".into()), PathBuf::from("hf:org/name"));
        for path in ["rows.jsonl", "data/rows.jsonl", "/nowhere/rows.jsonl", "../rows", "a/b/c/d", "demo"] {
            assert_eq!(canonical(path.into()), PathBuf::from(path));
        }
        assert_eq!(split_off("C:\\data\\x"), ("C:\\data\\x", None));
    }
}
