//! Charts, tables and controls that panels are made of. They take plain values and know no `App`; only `states` looks into a `PanelCx`.

pub mod arrange;
pub mod axis;
pub mod box_plot;
pub mod cell_grid;
pub mod chart;
pub mod control;
pub mod curves;
pub mod dendrogram;
pub mod dumbbell;
pub mod five_numbers;
pub mod heatmap_view;
pub mod histograms;
pub mod labelled_grid;
pub mod legend;
pub mod line_chart;
pub mod matrix;
pub mod overlay;
pub mod prepared_map;
pub mod provenance;
pub mod sample_matrix;
pub mod scatter;
pub mod sparkline;
pub mod states;
pub mod table;
pub mod token_strip;
pub mod upset;

pub use crate::{base::number, scan::recount};
