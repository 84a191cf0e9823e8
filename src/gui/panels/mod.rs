//! The panels, one file each. The registry gives the menu, the dock, saved layouts and the snapshot test.

pub mod ablation;
mod ablation_mode;
mod ablation_rows;
mod ablation_sets;
mod arithmetic;
mod certificate;
pub mod density;
mod domain_mapping;
mod domain_prompts;
mod domain_template;
pub mod domains;
mod found_models;
pub mod history;
mod inspect_head;
mod inspect_index;
mod inspect_neuron;
mod inspect_parts;
mod inspect_without;
pub mod inspector;
pub mod jobs;
pub mod lens;
pub mod library;
pub mod log;
mod map_actions;
pub(super) mod map_controls;
mod map_options;
pub mod maps;
mod maps_grid;
mod maps_head;
pub mod models;
mod neuron_list;
mod neuron_rows;
mod neuron_table;
pub mod neurons;
mod neurons_collapsed;
mod open_model;
pub mod overlap;
mod overlap_found;
mod overlap_pairs;
mod overlap_upset;
pub mod prediction;
mod prediction_state;
pub mod replay;
pub mod scan;
mod scan_cost;
pub mod sets;
mod shown_run;
pub mod similarity;
mod similarity_samples;
pub mod sweep;
mod sweep_break;
mod sweep_curve;
mod sweep_sought;
mod sweep_units;
pub mod tasks;
mod tasks_continual;
mod tasks_find;
mod tasks_find_charts;
mod tasks_find_options;
mod tasks_generalise;
mod tasks_lessons;
mod tasks_outline;
mod tasks_prove;
mod tasks_prove_charts;
mod tasks_train;
mod tasks_train_result;
mod worker;

use super::PanelInfo;
use crate::report::export::View;
use egui_material_icons::icons;

/// In the order of the menu.
pub const PANELS: &[PanelInfo] = &[
    PanelInfo { id: "neurons", title: "Neurons", icon: icons::ICON_GRID_ON, export: Some(View::Neurons), make: neurons::make },
    PanelInfo { id: "maps", title: "Maps", icon: icons::ICON_GRID_VIEW, export: Some(View::Maps), make: maps::make },
    PanelInfo { id: "models", title: "Models", icon: icons::ICON_DEPLOYED_CODE, export: None, make: models::make },
    PanelInfo { id: "domains", title: "Domains", icon: icons::ICON_DATABASE, export: None, make: domains::make },
    PanelInfo { id: "scan", title: "Scan", icon: icons::ICON_RADAR, export: None, make: scan::make },
    PanelInfo { id: "density", title: "Density", icon: icons::ICON_SHOW_CHART, export: Some(View::Density), make: density::make },
    PanelInfo {
        id: "similarity",
        title: "Similarity",
        icon: icons::ICON_COMPARE_ARROWS,
        export: Some(View::Similarity),
        make: similarity::make,
    },
    PanelInfo { id: "overlap", title: "Overlap", icon: icons::ICON_JOIN_INNER, export: Some(View::Overlap), make: overlap::make },
    PanelInfo { id: "ablation", title: "Ablation", icon: icons::ICON_TOGGLE_OFF, export: Some(View::Ablation), make: ablation::make },
    PanelInfo {
        id: "prediction",
        title: "Prediction",
        icon: icons::ICON_SCATTER_PLOT,
        export: Some(View::Prediction),
        make: prediction::make,
    },
    PanelInfo { id: "lens", title: "Try a text", icon: icons::ICON_EDIT_NOTE, export: None, make: lens::make },
    PanelInfo { id: "sets", title: "Sets", icon: icons::ICON_BOOKMARKS, export: None, make: sets::make },
    PanelInfo { id: "history", title: "History", icon: icons::ICON_HISTORY, export: None, make: history::make },
    PanelInfo { id: "sweep", title: "Sweep", icon: icons::ICON_GRADIENT, export: Some(View::Sweep), make: sweep::make },
    PanelInfo { id: "replay", title: "Replay", icon: icons::ICON_REPLAY, export: None, make: replay::make },
    PanelInfo { id: "tasks", title: "Tasks", icon: icons::ICON_TARGET, export: Some(View::TaskNeurons), make: tasks::make },
    PanelInfo { id: "jobs", title: "Jobs", icon: icons::ICON_PENDING_ACTIONS, export: None, make: jobs::make },
    PanelInfo { id: "log", title: "Log", icon: icons::ICON_NOTES, export: None, make: log::make },
];

pub fn find(id: &str) -> Option<&'static PanelInfo> {
    PANELS.iter().find(|p| p.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_titles_say_something() {
        for (i, p) in PANELS.iter().enumerate() {
            assert!(!p.id.is_empty() && !p.title.is_empty());
            assert!(PANELS[..i].iter().all(|q| q.id != p.id && q.title != p.title), "{} twice", p.id);
            assert!(p.id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}: ids are stored in files", p.id);
        }
    }
}
