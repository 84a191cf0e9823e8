//! Where the program keeps its own files.

use super::{DeviceChoice, Preferences, UsableProducts};
use crate::compute::cpu::Products;
use std::{fmt, path::PathBuf};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Runs, the last project. `$XDG_DATA_HOME/brodmann`, else `~/.local/share/brodmann`.
    pub data_dir: PathBuf,
    /// Keep the project in the data folder up to date while it changes.
    pub autosave: bool,
    /// First-order predictions are made as soon as something is switched off, or somebody looks.
    pub predicts: bool,
    /// A project that is opened brings the run it showed; a replay makes that run anew instead.
    pub open_runs: bool,
    /// Every scan becomes a run folder, below the data folder where none was named.
    pub keep_runs: bool,
    /// The activations of the shown run are indexed unasked, for whoever points at a neuron next.
    pub auto_index: bool,
    /// Where no run tells how fast scans go here, a very short measurement does.
    pub measures_speed: bool,
    /// Where scans run.
    pub device: DeviceChoice,
    /// Arithmetic of products that was asked for at start: as long as the program runs it wins over the preferences.
    pub given_products: Option<GivenProducts>,
    /// Why what the environment asks for instead cannot be had.
    pub refused_products: Option<String>,
    /// Which products can be had: the processor says so, and in tests another one.
    pub usable_products: UsableProducts,
    /// What the window's user set; `threads`, `memory_bytes`, `products` and, in the window, `device` come from here.
    pub preferences: Preferences,
    /// Where they are kept; `None`: nowhere.
    pub preferences_file: Option<PathBuf>,
}

/// Arithmetic of products that was asked for when the program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenProducts {
    /// `None`: `auto`.
    pub products: Option<Products>,
    /// What asked, up to the word: `--products `, `BRODMANN_PRODUCTS=`.
    by: &'static str,
}

impl GivenProducts {
    pub fn by_flag(products: Option<Products>) -> Self {
        Self { products, by: "--products " }
    }
    /// What the environment asks for, or why that cannot be had.
    fn by_environment() -> Result<Option<Self>, String> {
        Ok(Products::from_env().transpose()?.map(|products| Self { products, by: "BRODMANN_PRODUCTS=" }))
    }
}

/// As it was written.
impl fmt::Display for GivenProducts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.by, self.products.map_or("auto", Products::key))
    }
}

/// What the processor's kernels are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BackendSettings {
    pub threads: Option<usize>,
    pub products: Products,
}

impl Settings {
    pub(super) fn backend(&self) -> BackendSettings {
        BackendSettings { threads: self.preferences.threads, products: self.products().unwrap_or_else(|| self.auto_products()) }
    }
    /// The arithmetic of products that is asked for, at start or else in the preferences; `None`: `auto`.
    pub fn products(&self) -> Option<Products> {
        match self.given_products {
            Some(given) => given.products,
            None => self.preferences.products.taken(self.usable_products).unwrap_or_default(),
        }
    }
    /// What `auto` takes.
    pub fn auto_products(&self) -> Products {
        (self.usable_products)(Products::Int8x8).unwrap_or(Products::F32)
    }
    /// With the products that a flag asks for, if one does: it wins over the environment.
    pub fn given(self, products: Option<GivenProducts>) -> Self {
        Self { given_products: products.or(self.given_products), ..self }
    }
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
        let (given_products, refused_products) = match GivenProducts::by_environment() {
            Ok(given) => (given, None),
            Err(problem) => {
                tracing::error!("BRODMANN_PRODUCTS: {problem}; it is not followed");
                (None, Some(problem))
            }
        };
        let data_dir = data.map_or_else(|| std::env::temp_dir().join("brodmann"), |d| d.join("brodmann"));
        Self {
            data_dir,
            autosave: false,
            predicts: false,
            open_runs: true,
            keep_runs: true,
            auto_index: false,
            measures_speed: false,
            device: DeviceChoice::Auto,
            given_products,
            refused_products,
            usable_products: Products::usable,
            preferences: Preferences::default(),
            preferences_file: None,
        }
    }
    /// `$XDG_CONFIG_HOME/brodmann/settings.json`, else in `~/.config`; on Windows and macOS beside the data.
    pub fn preferences_path(&self) -> PathBuf {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = || if cfg!(any(windows, target_os = "macos")) { None } else { set("HOME").map(|h| h.join(".config")) };
        let folder = set("XDG_CONFIG_HOME").filter(|p| p.is_absolute()).or_else(home).map(|c| c.join("brodmann"));
        folder.unwrap_or_else(|| self.data_dir.clone()).join("settings.json")
    }
    pub fn runs_dir(&self) -> PathBuf {
        self.data_dir.join("runs")
    }
    pub fn last_project(&self) -> PathBuf {
        self.data_dir.join("last-project.json")
    }
}
