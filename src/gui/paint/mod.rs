//! What is painted by our own shaders.

pub mod heatmap;
