//! Where the program keeps its own files.

use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Runs, the last project. `$XDG_DATA_HOME/brodmann`, else `~/.local/share/brodmann`.
    pub data_dir: PathBuf,
    /// Keep the project in the data folder up to date while it changes.
    pub autosave: bool,
    /// Every scan becomes a run folder, below the data folder where none was named.
    pub keep_runs: bool,
    pub device: DeviceChoice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The fastest there is.
    #[default]
    Auto,
    Cpu,
}

impl Settings {
    pub fn from_env() -> Self {
        let home = || std::env::var_os(if cfg!(windows) { "LOCALAPPDATA" } else { "HOME" }).filter(|h| !h.is_empty()).map(PathBuf::from);
        let data = std::env::var_os("XDG_DATA_HOME").filter(|d| !d.is_empty()).map(PathBuf::from);
        let data = data.filter(|d| d.is_absolute()).or_else(|| {
            home().map(|h| match std::env::consts::OS {
                "windows" => h,
                "macos" => h.join("Library/Application Support"),
                _ => h.join(".local/share"),
            })
        });
        let data_dir = data.map_or_else(|| std::env::temp_dir().join("brodmann"), |d| d.join("brodmann"));
        Self { data_dir, autosave: false, keep_runs: true, device: DeviceChoice::Auto }
    }
    pub fn runs_dir(&self) -> PathBuf {
        self.data_dir.join("runs")
    }
    pub fn last_project(&self) -> PathBuf {
        self.data_dir.join("last-project.json")
    }
}
