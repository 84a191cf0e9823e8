//! Which neurons (and heads), from text: `L3N17,L4N0-15,L2H3`, a JSON file, or `top:DOMAIN:PERCENT`.

use crate::base::{Error, Grid, Head, NeuronSet, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, path::Path, str::FromStr};

/// What a user wrote, before any file is read or map looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    Places { neurons: NeuronSet, heads: BTreeSet<Head> },
    File(std::path::PathBuf),
    Top { domain: String, percent: f64 },
}

/// Neurons and heads, and where they came from in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub source: String,
}

/// A neuron set as a file: `{"3": [17, 18]}`, or the same under `neurons` with where it came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NeuronSetFile {
    pub neurons: NeuronSet,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Head>,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub model_sha256: String,
}

impl FromStr for Selection {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("top:") {
            let bad = || Error::invalid(format!("`{text}`: write the domain and a percentage above 0, at most 100, as top:arithmetic:10"));
            let (domain, percent) = rest.rsplit_once(':').ok_or_else(bad)?;
            let percent: f64 = percent.trim_end_matches('%').trim().parse().map_err(|_| bad())?;
            if domain.trim().is_empty() || !(percent > 0.0 && percent <= 100.0) {
                return Err(bad());
            }
            return Ok(Self::Top { domain: domain.trim().to_owned(), percent });
        }
        let (neurons, heads, rest) = places(text);
        match rest {
            None if neurons.is_empty() && heads.is_empty() => Err(Error::invalid(how_to_write(text))),
            None => Ok(Self::Places { neurons, heads }),
            Some(_) if text.to_lowercase().ends_with(".json") || text.contains(['/', '\\']) => Ok(Self::File(text.into())),
            Some(error) => Err(Error::invalid(format!("{error}; {}", how_to_write(text)))),
        }
    }
}

fn how_to_write(text: &str) -> String {
    format!("`{text}`: neurons are written L3N17,L4N0-15, heads L2H3, a file FILE.json, the most relevant ones top:DOMAIN:PERCENT")
}

/// Neurons and heads of a list, and the first error.
fn places(text: &str) -> (NeuronSet, BTreeSet<Head>, Option<Error>) {
    let (mut neurons, mut heads) = (NeuronSet::new(), BTreeSet::new());
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if part.contains(['H', 'h']) {
            match part.parse::<Head>() {
                Ok(h) => {
                    heads.insert(h);
                }
                Err(e) => return (neurons, heads, Some(e)),
            }
        } else {
            match NeuronSet::parse(part) {
                Ok(set) => neurons = neurons.union(&set),
                Err(e) => return (neurons, heads, Some(e)),
            }
        }
    }
    (neurons, heads, None)
}

impl Selection {
    /// The neurons and heads; `relevance` gives the map of a domain where [`Selection::Top`] needs one (a scan may have to run for it).
    ///
    /// # Errors
    /// When the file cannot be read, or the map cannot be had.
    pub fn resolve(self, relevance: impl FnOnce(&str) -> Result<Grid>) -> Result<Selected> {
        match self {
            Self::Places { neurons, heads } => Ok(Selected { neurons, heads, source: "given one by one".to_owned() }),
            Self::File(path) => read_file(&path),
            Self::Top { domain, percent } => {
                let map = relevance(&domain)?;
                let neurons = NeuronSet::top_percent(&map, percent);
                Ok(Selected { neurons, heads: BTreeSet::new(), source: format!("top {percent} % relevance of {domain}") })
            }
        }
    }
}

/// Reads either form of a neuron set file.
///
/// # Errors
/// When it cannot be read or is neither.
pub fn read_file(path: &Path) -> Result<Selected> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let bad = |why: String| Error::format(path, format!("{why}; expected {{\"3\": [17, 18]}} (layer: neurons), or that under \"neurons\""));
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(format!("not JSON: {e}")))?;
    let file: NeuronSetFile = if value.get("neurons").is_some() {
        serde_json::from_value(value).map_err(|e| bad(e.to_string()))?
    } else {
        let neurons = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
        NeuronSetFile { neurons, ..NeuronSetFile::default() }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let source = if file.source.is_empty() { name.into_owned() } else { format!("{name}: {}", file.source) };
    Ok(Selected { neurons: file.neurons, heads: file.heads.into_iter().collect(), source })
}

/// Writes a neuron set with where it came from, so that `read_file` and `--neurons FILE.json` take it back.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(path: &Path, file: &NeuronSetFile) -> Result<()> {
    let json = serde_json::to_vec_pretty(file).map_err(|e| Error::format(path, e.to_string()))?;
    crate::base::atomic_file::write(path, &json)
}

impl fmt::Display for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.neurons)?;
        for (i, head) in self.heads.iter().enumerate() {
            let comma = if i == 0 && self.neurons.is_empty() { "" } else { "," };
            write!(f, "{comma}{head}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn no_map(_: &str) -> Result<Grid> {
        Err(Error::invalid("no map was asked for"))
    }

    #[test]
    fn places_mix_neurons_ranges_and_heads() {
        let s = "L3N17, L4N0-2,L2H3".parse::<Selection>().expect("places").resolve(no_map).expect("selected");
        assert_eq!(s.to_string(), "L3N17,L4N0-2,L2H3");
        assert_eq!((s.neurons.len(), s.heads.len()), (4, 1));
    }

    #[test]
    fn top_takes_the_map_of_its_domain() {
        let s = "top:world:facts:25%".parse::<Selection>().expect("top");
        assert_eq!(s, Selection::Top { domain: "world:facts".into(), percent: 25.0 });
        let s = s.resolve(|domain| {
            assert_eq!(domain, "world:facts");
            Grid::new(2, 2, vec![0.1, 0.4, 0.3, 0.2])
        });
        assert_eq!(s.expect("selected").neurons.to_string(), "L0N1");
    }

    #[test]
    fn both_file_forms_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("set.json");
        std::fs::write(&path, r#"{"3": [17, 18], "0": [1]}"#).expect("write");
        let plain = path.to_string_lossy().parse::<Selection>().expect("file").resolve(no_map).expect("selected");
        assert_eq!(plain.neurons.to_string(), "L0N1,L3N17-18");
        let file = NeuronSetFile {
            neurons: plain.neurons.clone(),
            heads: vec![Head::new(1, 2)],
            source: "by hand".into(),
            model_sha256: "ab".into(),
        };
        write_file(&path, &file).expect("write");
        let back = read_file(&path).expect("read");
        assert_eq!((back.neurons, back.heads.len(), back.source.as_str()), (plain.neurons, 1, "set.json: by hand"));
        std::fs::write(&path, r#"{"layer three": [17]}"#).expect("write");
        let e = read_file(&path).expect_err("bad").to_string();
        assert!(e.contains("set.json") && e.contains("{\"3\": [17, 18]}"), "{e}");
    }

    #[test]
    fn mistakes_say_how_to_write_it() {
        for text in ["", "L3", "top:arithmetic", "top::5", "top:a:0", "top:a:101", "top:a:NaN", "L3N5-2", "L2H", "neurons"] {
            let e = text.parse::<Selection>().expect_err(text).to_string();
            assert!(e.contains("top:") || e.contains("L3N17") || e.contains("L4N0"), "{text}: {e}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,30}|[LNHlnh0-9,:.\\-top ]{0,30}") {
            let _ = text.parse::<Selection>();
        }
    }
}
