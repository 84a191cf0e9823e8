//! Values with names, and those of more than one part.

use crate::{
    ablate::ControlMatch,
    app::Products,
    base::heatmap::{ColourMap, Combine, PerLayer, ScaleKind},
    eval::AblationAt,
    scan::{MetricKind, ObjectiveKind, Order},
};
use clap::ValueEnum;
use std::{collections::BTreeSet, path::PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AtArg {
    All,
    Answer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MatchArg {
    Size,
    Scale,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OrderArg {
    Shuffle,
    File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ObjectiveArg {
    MaxLogit,
    Loss,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScaleArg {
    Linear,
    Log,
    /// Linear up to --percentile.
    Clipped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CombineArg {
    Difference,
    /// log2 of the magnitudes' ratio.
    Ratio,
    /// Percentile points between their ranks.
    RankDifference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PerLayerArg {
    None,
    /// Share of the layer's largest magnitude.
    Max,
    /// Rank within the layer, 0 to 1.
    Rank,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ColoursArg {
    Viridis,
    Cividis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThemeArg {
    Light,
    Dark,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MetricArg {
    #[value(alias = "param_activation", alias = "density")]
    ParamActivation,
    Llmdcos,
    Relevance,
    #[value(alias = "mean_activation")]
    MeanActivation,
    #[value(alias = "mean_abs_activation")]
    MeanAbsActivation,
}

impl From<AtArg> for AblationAt {
    fn from(a: AtArg) -> Self {
        match a {
            AtArg::All => Self::All,
            AtArg::Answer => Self::Answer,
        }
    }
}

impl From<MatchArg> for ControlMatch {
    fn from(m: MatchArg) -> Self {
        match m {
            MatchArg::Size => Self::Size,
            MatchArg::Scale => Self::Scale,
        }
    }
}

impl From<OrderArg> for Order {
    fn from(o: OrderArg) -> Self {
        match o {
            OrderArg::Shuffle => Self::Shuffle,
            OrderArg::File => Self::File,
        }
    }
}

impl From<ObjectiveArg> for ObjectiveKind {
    fn from(o: ObjectiveArg) -> Self {
        match o {
            ObjectiveArg::MaxLogit => Self::MaxLogit,
            ObjectiveArg::Loss => Self::Loss,
        }
    }
}

impl From<CombineArg> for Combine {
    fn from(c: CombineArg) -> Self {
        match c {
            CombineArg::Difference => Self::Difference,
            CombineArg::Ratio => Self::Ratio,
            CombineArg::RankDifference => Self::RankDifference,
        }
    }
}

impl From<PerLayerArg> for PerLayer {
    fn from(p: PerLayerArg) -> Self {
        match p {
            PerLayerArg::None => Self::None,
            PerLayerArg::Max => Self::Max,
            PerLayerArg::Rank => Self::Rank,
        }
    }
}

impl From<ScaleArg> for ScaleKind {
    fn from(s: ScaleArg) -> Self {
        match s {
            ScaleArg::Linear => Self::Linear,
            ScaleArg::Log => Self::Log,
            ScaleArg::Clipped => Self::Clipped,
        }
    }
}

impl From<ColoursArg> for ColourMap {
    fn from(c: ColoursArg) -> Self {
        match c {
            ColoursArg::Viridis => Self::Viridis,
            ColoursArg::Cividis => Self::Cividis,
        }
    }
}

impl From<MetricArg> for MetricKind {
    fn from(m: MetricArg) -> Self {
        match m {
            MetricArg::ParamActivation => Self::ParamActivation,
            MetricArg::Llmdcos => Self::Llmdcos,
            MetricArg::Relevance => Self::Relevance,
            MetricArg::MeanActivation => Self::MeanActivation,
            MetricArg::MeanAbsActivation => Self::MeanAbsActivation,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    AllDemo,
    Domain { name: String, path: PathBuf },
}

/// Lines of a domain's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    pub domain: String,
    pub lines: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldMap {
    pub domain: String,
    pub field: String,
    pub column: String,
}

/// What `--products` says; `None`: `auto`.
#[derive(Clone, Copy, Debug)]
pub struct ProductsArg(pub Option<Products>);
