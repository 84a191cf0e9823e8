//! What is painted by our own shaders.

pub mod heatmap;
mod picture;
mod two_passes;
