//! Which neurons (and heads), from text: `L3N17,L4N0-15,L2H3`, a JSON file, `top:DOMAIN:PERCENT`, or a [`Formula`].

use super::{
    formula::{Formula, Names},
    set_file,
};
use crate::base::{Error, Head, NeuronSet, Result};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What a user wrote, before any file is read or map looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    Places { neurons: NeuronSet, heads: BTreeSet<Head> },
    File(std::path::PathBuf),
    Top { domain: String, percent: f64 },
    Formula(Formula),
}

/// Neurons and heads, and where they came from in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub source: String,
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
            Some(_) if !text.contains(['(', '|', '&']) && (text.to_lowercase().ends_with(".json") || text.contains(['/', '\\'])) => {
                Ok(Self::File(text.into()))
            }
            // A word alone is a slip rather than a set: the command line has none with a name.
            Some(_) if text.contains(['(', '|', '&']) || text.contains(" - ") => text.parse().map(Self::Formula),
            Some(error) => Err(Error::invalid(format!("{error}; {}", how_to_write(text)))),
        }
    }
}

fn how_to_write(text: &str) -> String {
    format!(
        "`{text}`: neurons are written L3N17,L4N0-15, heads L2H3, a file FILE.json, the most relevant ones \
         top:DOMAIN:PERCENT, formulas as top(logic, 10%) - top(code, 10%)"
    )
}

/// Neurons and heads of a list, and the first error.
fn places(text: &str) -> (NeuronSet, BTreeSet<Head>, Option<Error>) {
    let (mut neurons, mut heads) = (NeuronSet::new(), BTreeSet::new());
    // Names with brackets, which have commas of their own.
    if text.contains('[') {
        return match NeuronSet::parse(text) {
            Ok(set) => (set, heads, None),
            Err(e) => (neurons, heads, Some(e)),
        };
    }
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
    /// The neurons and heads; `names` gives the maps and sets that [`Selection::Top`] and [`Selection::Formula`] need (a scan may have to run for it).
    ///
    /// # Errors
    /// When the file cannot be read, or a map or set cannot be had.
    pub fn resolve(self, names: &dyn Names) -> Result<Selected> {
        let selected = |neurons, source| Selected { neurons, heads: BTreeSet::new(), source };
        match self {
            Self::Places { neurons, heads } => Ok(Selected { neurons, heads, source: "given one by one".to_owned() }),
            Self::File(path) => set_file::read_selected(&path),
            Self::Top { domain, percent } => {
                let map = names.map(&domain, None)?;
                Ok(selected(NeuronSet::top_percent(&map, percent), format!("top {percent} % relevance of {domain}")))
            }
            Self::Formula(formula) => Ok(selected(formula.evaluate(names)?, formula.text().to_owned())),
        }
    }
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
    use crate::base::Grid;
    use proptest::prelude::*;

    /// One map, of `world:facts`.
    struct Facts;

    impl Names for Facts {
        fn set(&self, name: &str) -> Result<NeuronSet> {
            Err(Error::invalid(format!("no set {name}")))
        }
        fn map(&self, domain: &str, _: Option<&str>) -> Result<Grid> {
            assert_eq!(domain, "world:facts");
            Grid::new(2, 2, vec![0.1, 0.4, 0.3, 0.2])
        }
        fn d_mlp(&self) -> Result<usize> {
            Ok(2)
        }
    }

    #[test]
    fn places_mix_neurons_ranges_and_heads() {
        let s = "L3N17, L4N0-2,L2H3".parse::<Selection>().expect("places").resolve(&Facts).expect("selected");
        assert_eq!(s.to_string(), "L3N17,L4N0-2,L2H3");
        assert_eq!((s.neurons.len(), s.heads.len()), (4, 1));
        let s = "model.layers.3.mlp.down_proj.weight[:, 17], blocks.4.mlp.hook_post[0:3]".parse::<Selection>().expect("names");
        assert_eq!(s.resolve(&Facts).expect("selected").to_string(), "L3N17,L4N0-2");
    }

    #[test]
    fn top_takes_the_map_of_its_domain() {
        let s = "top:world:facts:25%".parse::<Selection>().expect("top");
        assert_eq!(s, Selection::Top { domain: "world:facts".into(), percent: 25.0 });
        assert_eq!(s.resolve(&Facts).expect("selected").neurons.to_string(), "L0N1");
    }

    #[test]
    fn a_formula_is_told_from_a_file_and_a_list() {
        let s = "top(world:facts, 50%) - L0N1".parse::<Selection>().expect("formula");
        let s = s.resolve(&Facts).expect("selected");
        assert_eq!((s.neurons.to_string().as_str(), s.source.as_str()), ("L1N0", "top(world:facts, 50%) - L0N1"));
        assert!(matches!("sets/a - b.json".parse(), Ok(Selection::File(_))));
        assert!(matches!("'sets/a.json' | L0N1".parse(), Ok(Selection::Formula(_))));
    }

    #[test]
    fn a_file_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("set.json");
        std::fs::write(&path, r#"{"3": [17, 18], "0": [1]}"#).expect("write");
        let plain = path.to_string_lossy().parse::<Selection>().expect("file").resolve(&Facts).expect("selected");
        assert_eq!((plain.neurons.to_string().as_str(), plain.source.as_str()), ("L0N1,L3N17-18", "set.json"));
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
