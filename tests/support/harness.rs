//! What every window of the tests is built from.

use eframe::egui;
use egui_kittest::{Harness, HarnessBuilder};

/// A window of this size. A thread that ends while frames run (a file was read, an image made) asks for one more, so that far more frames than the usual
/// four may pass before the window rests; one that never does fails `run` all the same.
pub fn builder<S>(size: impl Into<egui::Vec2>, theme: egui::Theme) -> HarnessBuilder<S> {
    Harness::builder().with_size(size).with_theme(theme).with_max_steps(200).wgpu()
}
