//! The window: reads `&App`, sends `Command`s, calls no engine.
pub mod widgets;
