//! What a scan is asked to do.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// `max_v logit_v` at the last position of the prompt; needs no label.
    #[default]
    MaxLogit,
    /// Mean cross-entropy of the answer's tokens given the prompt, or of all tokens of a plain text.
    Loss,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Shuffled by the seed.
    #[default]
    Shuffle,
    /// As in the file.
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Density, activated counts, histogram, row roll-up.
    ParamActivation,
    Llmdcos,
    Relevance,
    /// Relevance with its sign.
    Attribution,
    MeanActivation,
    MeanAbsActivation,
}

impl MetricKind {
    pub const ALL: [Self; 6] =
        [Self::ParamActivation, Self::Llmdcos, Self::Relevance, Self::Attribution, Self::MeanActivation, Self::MeanAbsActivation];
    /// Needs gradients of the task's loss.
    pub fn needs_loss(self) -> bool {
        matches!(self, Self::Relevance | Self::Attribution)
    }
    /// As it reads in a sentence.
    pub fn label(self) -> &'static str {
        match self {
            Self::ParamActivation => "parameter activation",
            Self::Llmdcos => "LLMDcos",
            Self::Relevance => "relevance",
            Self::Attribution => "attribution",
            Self::MeanActivation => "mean activation",
            Self::MeanAbsActivation => "mean absolute activation",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanConfig {
    /// Samples a domain (fewer where the domain has fewer).
    pub samples: usize,
    pub seed: u64,
    pub order: Order,
    /// Longest sample; a plain text keeps its first tokens, a prompt loses its left end.
    pub max_tokens: usize,
    pub objective: ObjectiveKind,
    /// Activation threshold of the density. METHODS 1: 2e-6 in the authors' code.
    pub gamma: f32,
    pub metrics: Vec<MetricKind>,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            samples: 64,
            seed: 0,
            order: Order::Shuffle,
            max_tokens: 256,
            objective: ObjectiveKind::MaxLogit,
            gamma: 2e-6,
            metrics: MetricKind::ALL.to_vec(),
        }
    }
}
