//! Switching neurons and heads off (or up, or down) during a forward pass.

use crate::base::{Grid, Head, NeuronSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "factor", rename_all = "snake_case")]
pub enum AblationMode {
    /// The activation becomes 0 at every position.
    Zero,
    /// It becomes its mean over a named split that is never the evaluation split.
    Mean,
    /// It is multiplied by a factor.
    Scale(f32),
}

/// What is changed at `mlp.hook_post` (neurons) and `attn.hook_z` (heads), at every position.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention {
    pub neurons: NeuronSet,
    pub heads: BTreeSet<Head>,
    pub mode: AblationMode,
    /// For [`AblationMode::Mean`]: `[layer, d_mlp]` and `[layer, n_heads * head_dim]`.
    pub means: Option<Means>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    pub mlp_post: Grid,
    pub z: Grid,
    /// Which data they are means of, for provenance.
    pub source: String,
}
