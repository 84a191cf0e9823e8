//! Projects on the disk: versioned JSON, written in one piece, with paths relative to the file where they lie below it.

use super::Project;
use crate::{
    base::{Error, Result, atomic_file},
    data::is_hub,
    model::is_cache_name,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised when an old program could misread a new file.
pub const VERSION: u32 = 1;
const FORMAT: &str = "brodmann project";

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    program: String,
    project: Project,
}

/// # Errors
/// When the file cannot be written.
pub fn save(project: &Project, path: &Path) -> Result<()> {
    let mut project = project.clone();
    let folder = absolute(path.parent().unwrap_or_else(|| Path::new("")));
    // A name of the cache means the same everywhere.
    let cached = project.model.clone().filter(|m| is_cache_name(m));
    for p in paths(&mut project) {
        *p = relative(p, &folder);
    }
    if cached.is_some() {
        project.model = cached;
    }
    let file = File { format: FORMAT.into(), version: VERSION, program: crate::base::provenance::program(), project };
    let mut json = serde_json::to_vec_pretty(&file).map_err(|e| Error::format(path, e.to_string()))?;
    json.push(b'\n');
    atomic_file::write(path, &json)
}

/// # Errors
/// When the file cannot be read, is no project, or is newer than this program.
pub fn load(path: &Path) -> Result<Project> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::format(path, format!("is no JSON ({e}), expected a Brodmann project")))?;
    if value.get("format").and_then(|f| f.as_str()) != Some(FORMAT) {
        return Err(Error::format(path, format!("is no Brodmann project: it has no \"format\": \"{FORMAT}\"")));
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(v) if v <= u64::from(VERSION) && v > 0 => {}
        Some(v) => {
            return Err(Error::format(
                path,
                format!("is a project of version {v}, this program reads up to {VERSION}: open it with a newer Brodmann"),
            ));
        }
        None => return Err(Error::format(path, "has no \"version\", so it cannot be told how to read it")),
    }
    let file: File = serde_json::from_value(value).map_err(|e| Error::format(path, format!("is a damaged project: {e}")))?;
    let mut project = file.project;
    let folder = absolute(path.parent().unwrap_or_else(|| Path::new("")));
    let cached = project.model.clone().filter(|m| is_cache_name(m) && !folder.join(m).exists());
    for p in paths(&mut project) {
        if !is_demo(p) && !is_hub(p) && p.is_relative() {
            *p = folder.join(&*p);
        }
    }
    if cached.is_some() {
        project.model = cached;
    }
    Ok(project)
}

/// `demo` stands for what is built into the program.
pub fn is_demo(path: &Path) -> bool {
    path == Path::new("demo")
}

fn paths(project: &mut Project) -> impl Iterator<Item = &mut PathBuf> {
    let domains = project.domains.iter_mut().flat_map(|d| std::iter::once(&mut d.path).chain(d.mapping.prompt.shots.from.iter_mut()));
    project.model.iter_mut().chain(project.run.iter_mut()).chain(domains)
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn relative(path: &Path, folder: &Path) -> PathBuf {
    if is_demo(path) || is_hub(path) {
        return path.to_owned();
    }
    let full = absolute(path);
    match full.strip_prefix(folder) {
        Ok(p) if !p.as_os_str().is_empty() && !is_demo(p) => p.to_owned(),
        _ => full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::project::ProjectDomain,
        data::{Mapping, Shots},
    };

    fn with_shots(folder: &Path) -> Mapping {
        let mut mapping = Mapping::default();
        mapping.prompt.shots = Shots { count: 2, from: Some(folder.join("data/examples.jsonl")), ..Shots::default() };
        mapping
    }

    fn sample(folder: &Path) -> Project {
        let domain =
            |name: &str, path: PathBuf| ProjectDomain { name: name.into(), path, mapping: Mapping::default(), enabled: true, colour: 0 };
        Project {
            model: Some("demo".into()),
            run: Some("/elsewhere/run".into()),
            domains: vec![
                domain("logic", "demo".into()),
                ProjectDomain { mapping: with_shots(folder), ..domain("news", folder.join("data/news.jsonl")) },
                domain("arc", "hf:allenai/ai2_arc/ARC-Easy:test".into()),
            ],
            ..Project::default()
        }
    }

    #[test]
    fn a_moved_folder_still_opens() {
        let dir = tempfile::tempdir().expect("folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        save(&sample(&old), &old.join("p.json")).expect("save");
        let text = std::fs::read_to_string(old.join("p.json")).expect("text");
        assert!(
            text.contains("\"data/news.jsonl\"")
                && text.contains("\"data/examples.jsonl\"")
                && text.contains("\"hf:allenai/ai2_arc/ARC-Easy:test\"")
                && text.contains("\"/elsewhere/run\""),
            "{text}"
        );
        std::fs::rename(&old, &new).expect("move");
        assert_eq!(load(&new.join("p.json")).expect("load"), sample(&new));
    }

    #[test]
    fn a_model_of_the_cache_stays_a_name() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("p.json");
        for name in ["org/name", "org/name/model.Q4_0.gguf"] {
            let project = Project { model: Some(name.into()), ..Project::default() };
            save(&project, &path).expect("save");
            assert_eq!(load(&path).expect("load"), project);
        }
        // What lies beside the project is a file of its own.
        std::fs::create_dir_all(dir.path().join("org/name")).expect("folder");
        save(&Project { model: Some("org/name".into()), ..Project::default() }, &path).expect("save");
        assert_eq!(load(&path).expect("load").model, Some(dir.path().join("org/name")));
    }

    #[test]
    fn every_bad_file_is_told_apart() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("p.json");
        for (text, part) in [
            ("not json", "no JSON"),
            ("{}", "no Brodmann project"),
            (r#"{"format":"brodmann project"}"#, "no \"version\""),
            (r#"{"format":"brodmann project","version":99}"#, "version 99"),
            (r#"{"format":"brodmann project","version":1,"program":"x","project":{"controls":"many"}}"#, "damaged"),
        ] {
            std::fs::write(&path, text).expect("write");
            let message = load(&path).expect_err(text).to_string();
            assert!(message.contains(part) && message.contains("p.json"), "{message}");
        }
        assert!(load(&dir.path().join("missing.json")).expect_err("missing").to_string().contains("missing.json"));
    }

    #[test]
    fn fields_a_file_lacks_take_their_defaults() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("p.json");
        std::fs::write(&path, r#"{"format":"brodmann project","version":1,"program":"x","project":{"controls":2}}"#).expect("write");
        assert_eq!(load(&path).expect("load"), Project { controls: 2, ..Project::default() });
    }
}
