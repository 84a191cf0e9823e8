//! How a map of values becomes a picture: scale, colour map, pooling. Shared by the window (whose shader does the same on the GPU), the report and
//! exports; [`raster`] is the reference that the shader is compared with, pixel by pixel.

pub mod cluster;
pub mod colour_map;
pub mod derive;
pub mod permutation;
pub mod plan;
pub mod pyramid;
pub mod raster;
pub mod scale;
pub mod shades;

pub use colour_map::ColourMap;
pub use derive::{Combine, PerLayer, Reduce};
pub use permutation::Permutation;
pub use plan::{Marks, Plan, Window};
pub use pyramid::Pyramid;
pub use raster::Style;
pub use scale::{Magnitudes, Scale, ScaleKind, Summary};
