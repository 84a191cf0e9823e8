//! The window: reads `&App`, sends `Command`s, calls no engine.

pub mod paint;
pub mod panel;
pub mod panels;
pub mod theme;
pub mod widgets;

pub use panel::{Ask, Hover, Link, Panel, PanelCx, PanelInfo};
pub use theme::Theme;
