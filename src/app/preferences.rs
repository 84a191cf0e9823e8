//! What a user set once for this machine: kept in the configuration folder, apart from projects. No number depends on them but the time it takes;
//! only the arithmetic of products is told by every result.

use super::DeviceChoice;
use crate::{
    base::{Error, Result, atomic_file, heatmap::ColourMap},
    compute::cpu::Products,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeChoice {
    #[default]
    System,
    Light,
    Dark,
}

/// Whether products can be had, as [`Products::usable`] says it.
pub type UsableProducts = fn(Products) -> Result<Products, String>;

/// Arithmetic of matrix products. What a newer program wrote, or another processor can that reads the same file, is no error and stays written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "serde_json::Value", into = "String")]
pub enum ProductsChoice {
    /// The fastest with an error of f32's order.
    #[default]
    Auto,
    Of(Products),
    /// A word that means nothing to this program.
    Unknown(String),
}

impl ProductsChoice {
    /// What is computed with where these can be had; `None`: what `auto` takes.
    ///
    /// # Errors
    /// Why they cannot, so that `auto` takes their place, as a clause.
    pub fn taken(&self, usable: UsableProducts) -> Result<Option<Products>, String> {
        match self {
            Self::Auto => Ok(None),
            Self::Of(products) => usable(*products).map(Some),
            Self::Unknown(word) => word.parse().map(Some),
        }
    }
}

impl fmt::Display for ProductsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(products) => products.fmt(f),
            Self::Unknown(word) => f.write_str(word),
        }
    }
}

impl From<serde_json::Value> for ProductsChoice {
    fn from(value: serde_json::Value) -> Self {
        let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match word.parse() {
            Ok(products) => Self::Of(products),
            Err(_) if word == "auto" => Self::Auto,
            Err(_) => Self::Unknown(word),
        }
    }
}

impl From<ProductsChoice> for String {
    fn from(choice: ProductsChoice) -> Self {
        choice.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    pub theme: ThemeChoice,
    /// Of the interface, 0.75 to 2.
    pub scale: f32,
    /// Threads that compute; `None`: the physical cores, less one for the window where there are more than two.
    pub threads: Option<usize>,
    /// Memory that a scan or an evaluation may use for what it keeps; `None`: three fifths of what is free when it starts.
    pub memory_bytes: Option<u64>,
    /// Disk that an evaluation may use for residuals it has no memory for, in the system's folder for temporary files; 0: none.
    pub spill_bytes: u64,
    pub device: DeviceChoice,
    pub products: ProductsChoice,
    /// Of magnitudes; signed maps are always blue-white-red.
    pub colours: ColourMap,
    pub remembered: Remembered,
}

/// What the program learned by itself; "back to the defaults" leaves it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// Newest first.
    pub recent_projects: Vec<PathBuf>,
    /// Labels of actions, newest first.
    pub recent_actions: Vec<String>,
    /// Where a model lies on this machine, by its SHA-256: said once by the user for a project that came from elsewhere.
    pub model_places: BTreeMap<String, PathBuf>,
    /// The tour was taken or sent away.
    pub tour_done: bool,
    /// Floating-point operations a second that scans will about reach, by what was measured: products, place, widths.
    pub speeds: BTreeMap<String, f64>,
}

/// Recent things kept.
const RECENT: usize = 10;

impl Remembered {
    pub fn used_project(&mut self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        to_front(&mut self.recent_projects, path);
    }
    pub fn used_action(&mut self, label: &str) {
        to_front(&mut self.recent_actions, label.to_owned());
    }
}

fn to_front<T: PartialEq>(list: &mut Vec<T>, new: T) {
    list.retain(|old| *old != new);
    list.insert(0, new);
    list.truncate(RECENT);
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::default(),
            scale: 1.0,
            threads: None,
            memory_bytes: None,
            spill_bytes: 4 << 30,
            device: DeviceChoice::default(),
            products: ProductsChoice::default(),
            colours: ColourMap::default(),
            remembered: Remembered::default(),
        }
    }
}

/// The least memory that can be asked for; below it not even a small model's scan has room.
pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

impl Preferences {
    /// The same within the ranges that make sense.
    pub fn bounded(mut self) -> Self {
        self.scale = if self.scale.is_finite() { self.scale.clamp(0.75, 2.0) } else { 1.0 };
        self.threads = self.threads.filter(|&n| n > 0);
        self.memory_bytes = self.memory_bytes.filter(|&b| b > 0).map(|b| b.max(LEAST_MEMORY_BYTES));
        if self.colours.is_signed() {
            self.colours = ColourMap::default();
        }
        self
    }

    /// Those of a file; the defaults where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is something else.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::io(path, e)),
        };
        let read: Self = serde_json::from_str(&text)
            .map_err(|e| Error::format(path, format!("holds no settings ({e}); remove it to start from the defaults")))?;
        Ok(read.bounded())
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| Error::format(path, e.to_string()))?;
        json.push(b'\n');
        atomic_file::write(path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_as_saved_and_within_their_ranges() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("config/settings.json");
        assert_eq!(Preferences::load(&path).expect("none yet"), Preferences::default());
        let wild = Preferences { scale: 9.0, threads: Some(0), memory_bytes: Some(1), colours: ColourMap::BlueRed, ..Default::default() };
        let tame = wild.clone().bounded();
        assert_eq!((tame.scale, tame.threads, tame.memory_bytes), (2.0, None, Some(LEAST_MEMORY_BYTES)));
        assert_eq!(tame.colours, ColourMap::Viridis);
        wild.save(&path).expect("saved");
        assert_eq!(Preferences::load(&path).expect("read"), tame);
    }

    #[test]
    fn products_that_cannot_be_had_are_auto_and_stay_written() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("settings.json");
        for (written, chosen) in [
            (r#""auto""#, ProductsChoice::Auto),
            (r#""f32""#, ProductsChoice::Of(Products::F32)),
            (r#""bf16x3""#, ProductsChoice::Of(Products::Bf16x3)),
            (r#""fp8""#, ProductsChoice::Unknown("fp8".into())),
            ("3", ProductsChoice::Unknown("3".into())),
        ] {
            std::fs::write(&path, format!(r#"{{"scale": 1.25, "products": {written}}}"#)).expect("write");
            let read = Preferences::load(&path).expect("settings, whatever they ask for");
            assert_eq!((read.scale, &read.products), (1.25, &chosen));
            read.save(&path).expect("saved");
            assert_eq!(Preferences::load(&path).expect("read").products, chosen);
            let here = match &chosen {
                ProductsChoice::Of(products) => Some(*products).filter(|p| p.available()),
                _ => None,
            };
            let taken = chosen.taken(Products::usable);
            assert_eq!(taken.clone().ok().flatten(), here);
            let problem = taken.err();
            assert_eq!(problem.is_some(), here.is_none() && chosen != ProductsChoice::Auto, "{problem:?}");
            assert!(problem.is_none_or(|p| p.contains(&chosen.to_string())));
        }
    }

    #[test]
    fn what_was_used_last_comes_first_and_only_once() {
        let mut r = Remembered::default();
        for i in 0..20 {
            r.used_action(&format!("action {}", i % 12));
        }
        assert_eq!((r.recent_actions[0].as_str(), r.recent_actions.len()), ("action 7", RECENT));
        assert_eq!(r.recent_actions.iter().filter(|a| *a == "action 7").count(), 1);
    }

    #[test]
    fn what_a_newer_or_older_program_wrote_is_read_as_far_as_it_goes() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("settings.json");
        std::fs::write(&path, r#"{"theme": "dark", "a new one": 3}"#).expect("write");
        assert_eq!(Preferences::load(&path).expect("read"), Preferences { theme: ThemeChoice::Dark, ..Default::default() });
        std::fs::write(&path, "dark").expect("write");
        assert!(Preferences::load(&path).expect_err("no settings").to_string().contains("settings.json"));
    }
}
