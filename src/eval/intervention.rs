//! Switching neurons and heads off (or up, or down) during a forward pass.

use super::Donors;
use crate::base::{Grid, Head, NeuronSet};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

/// What a changed activation becomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "factor", rename_all = "snake_case")]
pub enum AblationMode {
    /// 0.
    #[default]
    Zero,
    /// Its mean over a named split that is never the evaluation split.
    Mean,
    /// Its mean at the same position (from the start of the text) over such a split; beyond the longest text seen, the plain mean.
    PositionalMean,
    /// Its value at the same position of another domain's sample, which is drawn once for each item by the seed. A sample that is too short
    /// starts over.
    Resample { domain: String, seed: u64 },
    /// Itself times a factor.
    Scale(f32),
}

/// Where activations change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AblationAt {
    /// At every position.
    #[default]
    All,
    /// Only at the positions whose predictions are scored: the prompt's last and those of the answer but its last. What the model made of
    /// the prompt before them stays as it was.
    Answer,
}

impl AblationMode {
    /// As `--mode` reads it.
    pub fn word(&self) -> String {
        match self {
            Self::Zero => "zero".into(),
            Self::Mean => "mean".into(),
            Self::PositionalMean => "positional-mean".into(),
            Self::Resample { domain, seed: 0 } => format!("resample={domain}"),
            Self::Resample { domain, seed } => format!("resample={domain}@{seed}"),
            Self::Scale(k) => format!("scale={k}"),
        }
    }
    /// After `neurons are`: `set to 0`.
    pub fn words(&self) -> String {
        match self {
            Self::Zero => "set to 0".into(),
            Self::Mean => "set to their mean".into(),
            Self::PositionalMean => "set to their mean at the same position".into(),
            Self::Resample { domain, seed } => format!("set to their values in samples of {domain} (seed {seed})"),
            Self::Scale(k) => format!("multiplied by {k}"),
        }
    }
    /// Needs activations of data that is not scored.
    pub fn needs_data(&self) -> bool {
        matches!(self, Self::Mean | Self::PositionalMean | Self::Resample { .. })
    }
}

/// Reads [`AblationMode::word`].
impl FromStr for AblationMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "zero" => Ok(Self::Zero),
            None if text == "mean" => Ok(Self::Mean),
            None if text == "positional-mean" => Ok(Self::PositionalMean),
            Some(("resample", from)) if !from.trim().is_empty() => {
                let seeded = from.rsplit_once('@').and_then(|(domain, seed)| Some((domain, seed.trim().parse().ok()?)));
                let (domain, seed) = seeded.filter(|s| !s.0.trim().is_empty()).unwrap_or((from, 0));
                Ok(Self::Resample { domain: domain.trim().to_owned(), seed })
            }
            Some(("scale", k)) => match k.parse::<f32>() {
                Ok(k) if k.is_finite() => Ok(Self::Scale(k)),
                _ => Err(format!("`{k}` is no number to scale by")),
            },
            _ => Err("expected zero, mean, positional-mean, resample=DOMAIN or scale=K, e.g. scale=0.5".into()),
        }
    }
}

impl AblationAt {
    pub const ALL: [Self; 2] = [Self::All, Self::Answer];
    /// As `--at` reads it.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Answer => "answer",
        }
    }
    pub fn words(self) -> &'static str {
        match self {
            Self::All => "at every position",
            Self::Answer => "at the positions that predict the answer only",
        }
    }
}

impl fmt::Display for AblationAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is changed at `mlp.hook_post` (neurons) and `attn.hook_z` (heads).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intervention {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    pub at: AblationAt,
    /// For [`AblationMode::Mean`] and, beyond the longest text seen, [`AblationMode::PositionalMean`].
    pub means: Option<Means>,
    /// For [`AblationMode::PositionalMean`] and [`AblationMode::Resample`]: values of at least these neurons and heads.
    pub donors: Option<Arc<Donors>>,
}

impl Intervention {
    pub fn new(neurons: NeuronSet, heads: BTreeSet<Head>, mode: AblationMode) -> Self {
        Self { neurons, heads, mode, ..Self::default() }
    }
    pub fn is_empty(&self) -> bool {
        self.neurons.is_empty() && self.heads.is_empty()
    }
}

/// Mean activations: `[layer, d_mlp]` and `[layer, n_heads * head_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    pub mlp_post: Grid,
    pub z: Grid,
    /// Which data they are means of, for provenance.
    pub source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_their_own_words_and_old_files() {
        for mode in [
            AblationMode::Zero,
            AblationMode::Mean,
            AblationMode::PositionalMean,
            AblationMode::Resample { domain: "a=b".into(), seed: 0 },
            AblationMode::Resample { domain: "me@home".into(), seed: 7 },
            AblationMode::Scale(-0.5),
        ] {
            assert_eq!(mode.word().parse(), Ok(mode.clone()));
            let json = serde_json::to_string(&mode).expect("json");
            assert_eq!(serde_json::from_str::<AblationMode>(&json).expect("own json"), mode);
        }
        for bad in ["scale=x", "half", "resample=", "resample"] {
            bad.parse::<AblationMode>().expect_err(bad);
        }
        // As projects of version 0.1 hold them.
        let old = |text: &str| serde_json::from_str::<AblationMode>(text).expect("old");
        assert_eq!(old(r#"{"kind":"zero"}"#), AblationMode::Zero);
        assert_eq!(old(r#"{"kind":"scale","factor":0.5}"#), AblationMode::Scale(0.5));
    }
}
