//! A config.json with checked look-ups: every number is inside sane bounds before anything is computed from it.

use crate::base::{Error, Result};
use crate::model::spec::{RopeScaling, RopeSpec};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// No dimension of a real model comes near this; it keeps every product of two inside 64 bits.
const LARGEST: usize = 1 << 28;
const MOST_LAYERS: usize = 1 << 14;

pub struct ConfigFile {
    path: PathBuf,
    object: Map<String, Value>,
}

impl ConfigFile {
    /// # Errors
    /// When the bytes are not a JSON object.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Ok(Self { path: path.to_owned(), object }),
            Ok(_) => Err(Error::format(path, "a model's config is a JSON object; this is another kind of JSON")),
            Err(e) => Err(Error::format(path, format!("not valid JSON: {e}"))),
        }
    }
    /// A config that was put together from another kind of file; `path` is for error messages.
    pub fn from_object(path: &Path, object: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), object }
    }
    /// An error that names this file.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, message)
    }
    /// A key's value; `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }
    /// # Errors
    /// When the key is missing or no text.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.error(format!("`{key}` is {other}, expected a text"))),
            None => Err(self.error(format!("`{key}` is missing"))),
        }
    }
    /// A dimension: a whole number from 1 up.
    ///
    /// # Errors
    /// When the key is missing or not such a number.
    pub fn size(&self, key: &str) -> Result<usize> {
        self.size_or(key, None)?.ok_or_else(|| self.error(format!("`{key}` is missing; it must be a whole number from 1 up")))
    }
    /// # Errors
    /// When the key is there and is no whole number from 1 up.
    pub fn size_or(&self, key: &str, default: Option<usize>) -> Result<Option<usize>> {
        self.get(key).map_or(Ok(default), |value| self.bounded(key, value, LARGEST).map(Some))
    }
    /// # Errors
    /// When the key is missing or no believable number of layers.
    pub fn layers(&self, key: &str) -> Result<usize> {
        let value = self.get(key).ok_or_else(|| self.error(format!("`{key}` is missing; it must be a whole number from 1 up")))?;
        self.bounded(key, value, MOST_LAYERS)
    }
    fn bounded(&self, key: &str, value: &Value, most: usize) -> Result<usize> {
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..=most).contains(&n) => Ok(n),
            _ => Err(self.error(format!("`{key}` is {value}, expected a whole number from 1 to {most}"))),
        }
    }
    /// # Errors
    /// When the key is there and is neither true nor false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(self.error(format!("`{key}` is {other}, expected true or false"))),
        }
    }
    /// A finite number above 0.
    ///
    /// # Errors
    /// When the key is there and is no such number.
    pub fn positive(&self, key: &str, default: f64) -> Result<f64> {
        self.get(key).map_or(Ok(default), |v| self.as_positive(key, v))
    }
    fn as_positive(&self, key: &str, value: &Value) -> Result<f64> {
        match value.as_f64() {
            Some(x) if x.is_finite() && x > 0.0 => Ok(x),
            _ => Err(self.error(format!("`{key}` is {value}, expected a number above 0"))),
        }
    }

    /// Rotary embedding from either generation of config: `rope_parameters`, or top-level `rope_theta` with `rope_scaling`.
    ///
    /// # Errors
    /// For a rope type that the decoder does not have, naming those it has, and for numbers that are none.
    pub fn rope(&self, default_theta: f64, max_positions: usize) -> Result<RopeSpec> {
        let group = if self.get("rope_parameters").is_some() { "rope_parameters" } else { "rope_scaling" };
        let empty = Map::new();
        let inner = match self.get(group) {
            None => &empty,
            Some(Value::Object(map)) => map,
            Some(other) => return Err(self.error(format!("`{group}` is {other}, expected an object"))),
        };
        let value = |key: &str| inner.get(key).filter(|v| !v.is_null());
        let number = |key: &str| match value(key) {
            Some(v) => self.as_positive(&format!("{group}.{key}"), v),
            None => Err(self.error(format!("`{group}.{key}` is missing; this rope type needs it"))),
        };
        let theta = match value("rope_theta") {
            Some(_) => number("rope_theta")?,
            None => self.positive("rope_theta", default_theta)?,
        };
        let partial = match value("partial_rotary_factor") {
            Some(_) => number("partial_rotary_factor")?,
            None => self.positive("partial_rotary_factor", 1.0)?,
        };
        if partial != 1.0 {
            return Err(self.error(format!("`partial_rotary_factor` is {partial}; only 1 is supported")));
        }
        let kind = match value("rope_type").or_else(|| value("type")) {
            None => "default",
            Some(Value::String(kind)) => kind,
            Some(other) => return Err(self.error(format!("`{group}.rope_type` is {other}, expected a text"))),
        };
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: number("factor")? },
            "llama3" => {
                let original = match value("original_max_position_embeddings") {
                    Some(_) => number("original_max_position_embeddings")? as usize,
                    None => max_positions,
                };
                let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if low >= high {
                    return Err(self.error(format!("`{group}.low_freq_factor` is {low}, expected less than high_freq_factor {high}")));
                }
                RopeScaling::Llama3 {
                    factor: number("factor")?,
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_max_positions: original,
                }
            }
            other => return Err(self.error(format!("rope type `{other}` is not supported; supported: default, linear, llama3"))),
        };
        Ok(RopeSpec { theta, scaling })
    }
}
