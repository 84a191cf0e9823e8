//! Hugging Face's cache on this disk. Nothing is ever fetched: what is not here is an error that names every place that was searched.
//!
//! Layout: `ROOT/models--org--name/refs/<revision>` holds a commit, `snapshots/<commit>/file` its files; `datasets--...` likewise.
//! Source: huggingface.co/docs/huggingface_hub, "Understand caching".

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repo {
    Model,
    Dataset,
}

impl Repo {
    fn prefix(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub` (or below `$XDG_CACHE_HOME`). `None` without a home.
pub fn cache_root() -> Option<PathBuf> {
    root_from(|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
}

fn root_from(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(root) = var("HF_HUB_CACHE").or_else(|| var("HUGGINGFACE_HUB_CACHE")) {
        return Some(root);
    }
    if let Some(home) = var("HF_HOME") {
        return Some(home.join("hub"));
    }
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").or_else(|| var("USERPROFILE")).map(|home| home.join(".cache")))?;
    Some(cache.join("huggingface/hub"))
}

/// Whether this can name a repository: `name` or `org/name`.
pub fn is_id(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with(['.', '-'])
            && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !p.contains("--")
    };
    let parts: Vec<&str> = text.split('/').collect();
    text.len() <= 200 && parts.len() <= 2 && parts.iter().all(|p| part(p))
}

/// The folder of a repository below `root`: `datasets--org--name`.
pub fn folder(root: &Path, repo: Repo, id: &str) -> PathBuf {
    root.join(format!("{}--{}", repo.prefix(), id.replace('/', "--")))
}

/// The snapshot that a repository's folder has: that of `refs/main`, else the newest that holds anything.
///
/// # Errors
/// With every place that was searched.
pub fn snapshot(folder: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let main = folder.join("refs/main");
    let snapshots = folder.join("snapshots");
    let mut searched = vec![main.clone()];
    if let Ok(commit) = std::fs::read_to_string(&main) {
        let commit = commit.trim();
        // A name in a file must not lead out of the cache.
        if !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric()) {
            let found = snapshots.join(commit);
            if holds_anything(&found) {
                return Ok(found);
            }
            searched.push(found);
        }
    }
    let entries = std::fs::read_dir(&snapshots).into_iter().flatten().flatten().map(|e| e.path());
    let dated = entries.filter(|p| holds_anything(p)).map(|p| (p.metadata().and_then(|m| m.modified()).ok(), p));
    searched.push(snapshots.clone());
    dated.max().map(|(_, path)| path).ok_or(searched)
}

fn holds_anything(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_follows_the_variables_in_their_order() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> = set.iter().map(|(k, v)| ((*k).to_owned(), v.into())).collect();
            root_from(|name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let all = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/d")];
        assert_eq!(with(&all), Some("/a".into()));
        assert_eq!(with(&all[1..]), Some("/b/hub".into()));
        assert_eq!(with(&all[2..]), Some("/c/huggingface/hub".into()));
        assert_eq!(with(&all[3..]), Some("/d/.cache/huggingface/hub".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn ids_are_told_from_paths() {
        for id in ["squad", "org/name", "Org-1/some.name_2"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["", "a/b/c", "/a", "../a", "./a", "a/", "C:\\x", "a b", "a--b/c", "~/x"] {
            assert!(!is_id(path), "{path}");
        }
    }

    #[test]
    fn a_snapshot_is_that_of_main_else_the_newest() {
        let root = tempfile::tempdir().expect("folder");
        let repo = folder(root.path(), Repo::Dataset, "org/name");
        assert!(repo.ends_with("datasets--org--name"));
        let e = snapshot(&repo).expect_err("nothing there");
        assert!(e.iter().all(|p| p.starts_with(&repo)) && e.len() == 2, "{e:?}");
        for commit in ["aaa", "bbb", "empty"] {
            std::fs::create_dir_all(repo.join("snapshots").join(commit)).expect("folder");
        }
        std::fs::write(repo.join("snapshots/aaa/x"), "").expect("file");
        std::fs::write(repo.join("snapshots/bbb/x"), "").expect("file");
        let time = |commit: &str, s| {
            let file = std::fs::File::open(repo.join("snapshots").join(commit)).expect("open");
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(s)).expect("time");
        };
        for (commit, seconds) in [("aaa", 9), ("bbb", 5), ("empty", 99)] {
            time(commit, seconds);
        }
        assert_eq!(snapshot(&repo), Ok(repo.join("snapshots/aaa")));
        std::fs::create_dir_all(repo.join("refs")).expect("folder");
        std::fs::write(repo.join("refs/main"), "bbb\n").expect("ref");
        assert_eq!(snapshot(&repo), Ok(repo.join("snapshots/bbb")));
        std::fs::write(repo.join("refs/main"), "../../..").expect("ref");
        assert_eq!(snapshot(&repo), Ok(repo.join("snapshots/aaa")));
    }
}
