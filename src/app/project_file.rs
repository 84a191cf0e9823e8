//! Projects on the disk: versioned JSON, written in one piece, with paths relative to the file where they lie below it. Beside the project itself the file
//! holds the layout of the panels, the history, which model it was made with, and what its numbers were.

use super::{
    Project,
    history::{History, SavedHistory},
    results::Results,
};
use crate::{
    base::{Error, Result, atomic_file},
    data::is_hub,
    model::is_cache_name,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Raised when an old program could misread a new file. 2: layout, history, model and results beside the project.
pub const VERSION: u32 = 2;
const FORMAT: &str = "brodmann project";

/// The model a project was made with, to know it again elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelMark {
    pub name: String,
    pub sha256: String,
    pub size_bytes: u64,
}

/// All that a project file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    pub project: Project,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelMark>,
    /// The window's, which alone can read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<SavedHistory>,
    /// Of a file that was saved by itself: the project's own file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    program: String,
    #[serde(flatten)]
    document: Document,
}

/// # Errors
/// When the file cannot be written.
pub fn save(project: &Project, path: &Path) -> Result<()> {
    save_document(&Document { project: project.clone(), ..Document::default() }, None, path)
}

/// `history`: in the place of the document's, with its paths made relative like the project's.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn save_document(document: &Document, history: Option<&History>, path: &Path) -> Result<()> {
    let mut document = document.clone();
    let folder = absolute(path.parent().unwrap_or_else(|| Path::new("")));
    if let Some(history) = history {
        document.history = Some(history.saved(&document.project, &|p| move_into(p, &folder)));
    }
    move_into(&mut document.project, &folder);
    let file = File { format: FORMAT.into(), version: VERSION, program: crate::base::provenance::program(), document };
    let mut json = serde_json::to_vec_pretty(&file).map_err(|e| Error::format(path, e.to_string()))?;
    json.push(b'\n');
    atomic_file::write(path, &json)
}

/// Paths below `folder` become relative to it.
fn move_into(project: &mut Project, folder: &Path) {
    // A name of the cache means the same everywhere.
    let cached = project.model.clone().filter(|m| is_cache_name(m));
    for p in paths(project) {
        *p = relative(p, folder);
    }
    if cached.is_some() {
        project.model = cached;
    }
}

/// Paths that are relative to `folder` become whole.
fn move_out(project: &mut Project, folder: &Path) {
    let cached = project.model.clone().filter(|m| is_cache_name(m) && !folder.join(m).exists());
    for p in paths(project) {
        if !is_demo(p) && !is_hub(p) && p.is_relative() {
            *p = folder.join(&*p);
        }
    }
    if cached.is_some() {
        project.model = cached;
    }
}

/// # Errors
/// When the file cannot be read, is no project, or is newer than this program.
pub fn load(path: &Path) -> Result<Project> {
    load_document(path).map(|d| d.0.project)
}

/// The file's contents and its history.
///
/// # Errors
/// When the file cannot be read, is no project, or is newer than this program.
pub(super) fn load_document(path: &Path) -> Result<(Document, Option<History>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::format(path, format!("is no JSON ({e}), expected a Brodmann project")))?;
    if value.get("format").and_then(|f| f.as_str()) != Some(FORMAT) {
        return Err(Error::format(path, format!("is no Brodmann project: it has no \"format\": \"{FORMAT}\"")));
    }
    match value.get("version").and_then(Value::as_u64) {
        // What version 2 added may be absent, so that a file of version 1 reads as it is.
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
    let mut document = file.document;
    let folder = absolute(path.parent().unwrap_or_else(|| Path::new("")));
    move_out(&mut document.project, &folder);
    let history = document.history.take().and_then(|saved| History::restored(&saved, &document.project, &|p| move_out(p, &folder)));
    Ok((document, history))
}

/// What the file says its numbers were.
///
/// # Errors
/// As [`load`].
pub fn load_results(path: &Path) -> Result<Results> {
    load_document(path).map(|d| d.0.results.unwrap_or_default())
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
            (r#"{"format":"brodmann project","version":2,"program":"x","project":{},"results":3}"#, "damaged"),
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

    /// Written by version 1 of the program; see the file.
    #[test]
    fn a_project_of_version_1_still_opens() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/projects/version-1.json");
        let (document, history) = load_document(&path).expect("load");
        let p = &document.project;
        assert_eq!(
            (p.sets[0].name.as_str(), p.sets[0].neurons.to_string().as_str(), p.sets[0].on),
            ("logic top 1 %", "L2N3,L5N40-41", true)
        );
        assert_eq!((p.single.to_string().as_str(), p.view.domain.as_deref(), p.notes.as_str()), ("L0N7", Some("logic"), "as it was"));
        assert_eq!((p.mode.clone(), p.controls, p.eval.samples), (crate::eval::AblationMode::Scale(0.5), 3, Some(48)));
        assert_eq!(p.domains[1].path, path.parent().expect("folder").join("data/animals.jsonl"));
        assert!(history.is_none() && document.results.is_none() && document.layout.is_none());
    }

    #[test]
    fn everything_beside_the_project_comes_back_and_its_history_moves_with_the_folder() {
        let dir = tempfile::tempdir().expect("folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let before = sample(&old);
        let after = Project { notes: "later".into(), ..before.clone() };
        let mut history = History::default();
        history.record("notes".into(), before, None, std::time::Instant::now());
        let document = Document {
            project: after,
            model: Some(ModelMark { name: "m".into(), sha256: "ab".into(), size_bytes: 7 }),
            layout: Some(serde_json::json!({ "active": "Ablate" })),
            results: Some(Results { arithmetic: "x86_64 avx512".into(), ..Results::default() }),
            ..Document::default()
        };
        save_document(&document, Some(&history), &old.join("p.json")).expect("save");
        std::fs::rename(&old, &new).expect("move");
        let (back, moved) = load_document(&new.join("p.json")).expect("load");
        let mut expected = document.clone();
        expected.project = Project { notes: "later".into(), ..sample(&new) };
        assert_eq!(back, expected);
        let mut moved = moved.expect("history");
        assert_eq!(moved.undo_label(), Some("notes"));
        assert_eq!(moved.undo(&back.project), Some(sample(&new)));
    }
}
