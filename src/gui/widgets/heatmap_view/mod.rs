//! A map of all neurons: layers down, neurons across. Zoom, pan, brush, a cell cursor for the keyboard, exact readout from the CPU's copy.

mod input;
mod navigate;
mod picture;
mod place;
mod surroundings;
mod view;

pub use input::{Columns, HeatmapInput};
pub use view::{HeatmapOutput, HeatmapView, foot};
