//! A config.json with checked look-ups: every number is inside sane bounds before anything is computed from it.

use crate::{
    base::{Error, Result, json::UniqueKeys},
    compute::Activation,
    model::spec::{RopeScaling, RopeSpec},
};
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
            Ok(UniqueKeys(Value::Object(object))) => Ok(Self { path: path.to_owned(), object }),
            Ok(_) => Err(Error::format(path, "a model's config is a JSON object; this is another kind of JSON")),
            Err(e) if e.is_data() => Err(Error::format(path, e.to_string())),
            Err(e) => Err(Error::format(path, format!("not valid JSON: {e}"))),
        }
    }
    /// A config that was put together from another kind of file; `path` is for error messages.
    pub fn from_object(path: &Path, object: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), object }
    }
    /// The config of the part that speaks, where a model of several kinds of input nests it; itself where nothing is nested.
    ///
    /// # Errors
    /// When the entry is no object.
    pub fn nested(&self, key: &str) -> Result<Self> {
        match self.get(key) {
            None => Ok(Self { path: self.path.clone(), object: self.object.clone() }),
            Some(Value::Object(object)) => Ok(Self { path: self.path.clone(), object: object.clone() }),
            Some(other) => Err(self.error(format!("`{key}` is {other}, expected an object"))),
        }
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
    /// A whole number from 0 up.
    ///
    /// # Errors
    /// When the key is there and is no such number.
    pub fn whole_or(&self, key: &str, default: usize) -> Result<usize> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let n = value.as_u64().and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| self.error(format!("`{key}` is {value}, expected a whole number from 0 up")))
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

    /// As [`Self::positive`], without a default.
    ///
    /// # Errors
    /// When the key is there and is no number above 0.
    pub fn positive_or_none(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|v| self.as_positive(key, v)).transpose()
    }

    /// The nonlinearity a key names.
    ///
    /// # Errors
    /// For one that the decoder does not have, naming those it has.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        match self.get(key).map(|v| v.as_str().unwrap_or("?")) {
            None => Ok(default),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("relu") => Ok(Activation::Relu),
            Some(_) => {
                let known = "silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu";
                Err(self.error(format!("`{key}` is {}, supported: {known}", self.get(key).unwrap_or(&Value::Null))))
            }
        }
    }

    /// Windows of the layers from `layer_types` and `sliding_window`; without `layer_types`, `slides` says which layers have one.
    ///
    /// # Errors
    /// For a kind of layer that the decoder does not have, a list of another length, and a window that is needed and missing.
    pub fn windows(&self, n_layers: usize, default: Option<usize>, slides: impl Fn(usize) -> bool) -> Result<Vec<Option<usize>>> {
        let window = match self.object.get("sliding_window") {
            Some(Value::Null) => None,
            _ => self.size_or("sliding_window", default)?,
        };
        let sliding: Vec<bool> = match self.get("layer_types") {
            None => (0..n_layers).map(|l| window.is_some() && slides(l)).collect(),
            Some(Value::Array(types)) if types.len() == n_layers => types
                .iter()
                .map(|t| match t.as_str() {
                    Some("sliding_attention") => Ok(true),
                    Some("full_attention") => Ok(false),
                    _ => Err(self.error(format!("`layer_types` has {t}, expected \"full_attention\" or \"sliding_attention\""))),
                })
                .collect::<Result<_>>()?,
            Some(Value::Array(types)) => {
                return Err(self.error(format!("`layer_types` has {} entries, expected one for each of {n_layers} layers", types.len())));
            }
            Some(other) => return Err(self.error(format!("`layer_types` is {other}, expected a list"))),
        };
        if !sliding.contains(&true) {
            return Ok(Vec::new());
        }
        let window = window.ok_or_else(|| self.error("`sliding_window` is missing, and `layer_types` has sliding layers"))?;
        Ok(sliding.into_iter().map(|s| s.then_some(window)).collect())
    }

    /// Rotary embedding from either generation of config: `rope_parameters`, or top-level `rope_theta` with `rope_scaling`.
    ///
    /// # Errors
    /// For a rope type that the decoder does not have, naming those it has, and for numbers that are none.
    pub fn rope(&self, defaults: &RopeDefaults) -> Result<RopeSpec> {
        let group = if self.get("rope_parameters").is_some() { "rope_parameters" } else { "rope_scaling" };
        let empty = Map::new();
        let inner = match self.get(group) {
            None => &empty,
            Some(Value::Object(map)) => map,
            Some(other) => return Err(self.error(format!("`{group}` is {other}, expected an object"))),
        };
        self.rope_of(&Group { name: group, inner, defaults })
    }

    /// Rotary embedding of one kind of layer, from `rope_parameters.{kind}`; `None` where the config has no such group.
    ///
    /// # Errors
    /// As [`Self::rope`].
    pub fn rope_of_layers(&self, kind: &str, defaults: &RopeDefaults) -> Result<Option<RopeSpec>> {
        let Some(inner) = self.get("rope_parameters").and_then(|p| p.get(kind)).and_then(Value::as_object) else { return Ok(None) };
        self.rope_of(&Group { name: &format!("rope_parameters.{kind}"), inner, defaults }).map(Some)
    }

    fn rope_of(&self, g: &Group<'_>) -> Result<RopeSpec> {
        let theta = match g.value("rope_theta") {
            Some(v) => self.as_positive(&g.key("rope_theta"), v)?,
            None => self.positive(g.defaults.theta_key, g.defaults.theta)?,
        };
        let partial = match g.value("partial_rotary_factor") {
            Some(v) => self.as_positive(&g.key("partial_rotary_factor"), v)?,
            None => self.positive(g.defaults.partial_key, g.defaults.partial)?,
        };
        let dims = (g.defaults.head_dim as f64 * partial) as usize;
        if partial > 1.0 || dims == 0 || !dims.is_multiple_of(2) {
            let head = g.defaults.head_dim;
            return Err(self.error(format!(
                "`partial_rotary_factor` {partial} of heads {head} wide rotates {dims}; expected an even number, at most {head}"
            )));
        }
        let kind = match g.value("rope_type").or_else(|| g.value("type")) {
            None => "default",
            Some(Value::String(kind)) => kind,
            Some(other) => return Err(self.error(format!("`{}` is {other}, expected a text", g.key("rope_type")))),
        };
        let kind = g.defaults.aliases.iter().find(|(name, _)| *name == kind).map_or(kind, |(_, means)| means);
        let number = |key: &str| match g.value(key) {
            Some(v) => self.as_positive(&g.key(key), v),
            None => Err(self.error(format!("`{}` is missing; this rope type needs it", g.key(key)))),
        };
        let number_or = |key: &str, default: f64| g.value(key).map_or(Ok(default), |v| self.as_positive(&g.key(key), v));
        let original = || -> Result<usize> {
            match g.value("original_max_position_embeddings") {
                Some(v) => self.bounded(&g.key("original_max_position_embeddings"), v, LARGEST),
                None => Ok(self.size_or("original_max_position_embeddings", None)?.unwrap_or(g.defaults.max_positions)),
            }
        };
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: number("factor")? },
            "llama3" => {
                let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if low >= high {
                    return Err(self.error(format!("`{}` is {low}, expected less than high_freq_factor {high}", g.key("low_freq_factor"))));
                }
                RopeScaling::Llama3 {
                    factor: number("factor")?,
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_max_positions: original()?,
                }
            }
            "yarn" => {
                let original_max_positions = original()?;
                let factor = number_or("factor", g.defaults.max_positions as f64 / original_max_positions as f64)?;
                let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
                let inferred = match (g.value("mscale"), g.value("mscale_all_dim")) {
                    (Some(_), Some(_)) => scale(number("mscale")?) / scale(number("mscale_all_dim")?),
                    _ => scale(1.0),
                };
                RopeScaling::Yarn {
                    factor,
                    beta_fast: number_or("beta_fast", 32.0)?,
                    beta_slow: number_or("beta_slow", 1.0)?,
                    original_max_positions,
                    attention_factor: to_15_digits(number_or("attention_factor", inferred)?),
                    truncate: g.value("truncate").is_none_or(|v| v != &Value::Bool(false)),
                }
            }
            "longrope" => {
                let original_max_positions = original()?;
                let factor = number_or("factor", g.defaults.max_positions as f64 / original_max_positions as f64)?;
                let inferred = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original_max_positions as f64).ln()).sqrt() };
                let list = |key: &str| -> Result<Vec<f64>> {
                    let list = g.value(key).and_then(Value::as_array).filter(|list| list.len() == dims / 2);
                    let list = list.ok_or_else(|| self.error(format!("`{}` must be a list of {} numbers", g.key(key), dims / 2)))?;
                    list.iter().map(|v| self.as_positive(&g.key(key), v)).collect()
                };
                RopeScaling::LongRope {
                    short: list("short_factor")?,
                    long: list("long_factor")?,
                    original_max_positions,
                    attention_factor: to_15_digits(number_or("attention_factor", inferred)?),
                }
            }
            other => {
                return Err(self.error(format!("rope type `{other}` is not supported; supported: default, linear, llama3, yarn, longrope")));
            }
        };
        Ok(RopeSpec { theta, dims, scaling })
    }
}

/// What a family's rotation is where its config does not say.
pub struct RopeDefaults {
    pub theta: f64,
    /// Top-level key of the older generation.
    pub theta_key: &'static str,
    /// Share of a head that is rotated.
    pub partial: f64,
    pub partial_key: &'static str,
    pub head_dim: usize,
    pub max_positions: usize,
    /// Rope types that mean another one in this family.
    pub aliases: &'static [(&'static str, &'static str)],
}

impl RopeDefaults {
    pub fn new(theta: f64, head_dim: usize, max_positions: usize) -> Self {
        let (theta_key, partial_key) = ("rope_theta", "partial_rotary_factor");
        Self { theta, theta_key, partial: 1.0, partial_key, head_dim, max_positions, aliases: &[] }
    }
}

/// What a JSON reader gives back bit for bit.
fn to_15_digits(value: f64) -> f64 {
    format!("{value:.14e}").parse().unwrap_or(value)
}

struct Group<'a> {
    name: &'a str,
    inner: &'a Map<String, Value>,
    defaults: &'a RopeDefaults,
}

impl Group<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        self.inner.get(key).filter(|v| !v.is_null())
    }
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_an_error_that_names_it() {
        let text = br#"{"model_type": "llama", "hidden_size": 64, "hidden_size": 128}"#;
        let message = ConfigFile::parse(Path::new("m/config.json"), text).err().expect("ambiguous").to_string();
        assert!(message.contains("config.json") && message.contains("`hidden_size` stands twice"), "{message}");
    }
}
