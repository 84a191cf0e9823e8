//! How a map of values becomes a picture: scale, colour map, pooling. Shared by the window (whose shader does the same on the GPU), the report and
//! exports; [`raster`] is the reference that the shader is compared with, pixel by pixel.

pub mod colour_map;
pub mod pyramid;
pub mod raster;
pub mod scale;

pub use colour_map::ColourMap;
pub use pyramid::Pyramid;
pub use raster::{Marks, Plan, Style, Window};
pub use scale::{Scale, ScaleKind, Summary};
