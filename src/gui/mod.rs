//! The window: reads `&App`, sends `Command`s, calls no engine.

pub mod actions;
mod arrangement;
mod device_combo;
mod dialogs;
pub mod dock;
mod dock_tabs;
mod dropped;
pub mod export;
mod find;
mod keys;
mod layouts;
mod missing;
mod motion;
pub mod paint;
mod palette;
pub mod panel;
pub mod panels;
mod products_choice;
mod run;
pub mod settings;
pub mod shell;
mod status;
pub mod theme;
mod toasts;
mod top_bar;
pub mod tour;
mod typed_path;
pub mod widgets;

pub use panel::{Ask, Hover, Link, Panel, PanelCx, PanelInfo};
pub use run::{LEAST_SIZE, run};
pub use shell::Shell;
pub use theme::Theme;
