//! Which of its views a panel shows: kept with the project, so that it opens as it was.

use super::project::View;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapView {
    /// Jaccard matrix, and a pair by layer.
    #[default]
    Pairs,
    /// Jaccard matrix, and a pair against the share that is taken.
    Curve,
    /// Exclusive intersections of all domains.
    Upset,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimilarityView {
    /// Domain x domain over a range of layers.
    #[default]
    Domains,
    /// All pairs of samples at one layer.
    Samples,
}

/// A change of what a panel shows; one command for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelView {
    Overlap(OverlapView),
    Similarity(SimilarityView),
    /// Domains and samples in the order of their dendrogram instead of the given one.
    Clustered(bool),
    /// Layer of the samples' matrix.
    SampleLayer(usize),
}

impl PanelView {
    pub(super) fn apply(self, view: &mut View) {
        match self {
            Self::Overlap(shown) => view.overlap = shown,
            Self::Similarity(shown) => view.similarity = shown,
            Self::Clustered(on) => view.clustered = on,
            Self::SampleLayer(layer) => view.sample_layer = Some(layer),
        }
    }
    pub(super) fn undo_label(self) -> &'static str {
        match self {
            Self::Overlap(_) => "view of the overlap",
            Self::Similarity(_) => "view of the similarity",
            Self::Clustered(true) => "cluster",
            Self::Clustered(false) => "given order",
            Self::SampleLayer(_) => "layer of the samples",
        }
    }
    pub(super) fn gesture(self) -> Option<&'static str> {
        matches!(self, Self::SampleLayer(_)).then_some("sample layer")
    }
}
