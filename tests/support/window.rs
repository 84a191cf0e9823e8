//! The whole window without a screen: made, waited for, pressed by label.

#![allow(dead_code, reason = "each test binary uses its own part")]

use brodmann::{app::App, gui::Shell};
use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::{Harness, kittest::Queryable};
use std::time::{Duration, Instant};

pub use super::harness::builder;

pub type Window = Harness<'static, Shell>;

/// Far beyond what a step takes: a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub fn window_of(app: App, size: (f32, f32), theme: egui::Theme) -> Window {
    let mut h = builder(size, theme).build_eframe(|cc| Shell::new(cc, app));
    h.run_steps(3);
    h
}

/// At the usual size.
pub fn window(app: App) -> Window {
    window_of(app, (1440.0, 900.0), egui::Theme::Dark)
}

pub fn app(h: &Window) -> &App {
    &h.state().app
}

/// Frames until `reached`; what the program says when it takes for ever.
pub fn wait(h: &mut Window, what: &str, reached: impl Fn(&App) -> bool) {
    let started = Instant::now();
    while !reached(app(h)) {
        if started.elapsed() > PATIENCE {
            let log: Vec<String> = app(h).log.iter().map(|n| format!("{} {}", n.title, n.details)).collect();
            panic!("{what}: not after {PATIENCE:?}\n{}", log.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
        h.step();
    }
    h.run_steps(3);
}

/// The button of this name; where there is none, whatever else is called so.
pub fn press(h: &mut Window, label: &str) {
    // Headings may say the same as a tab or button.
    let button = h.query_all_by_role_and_label(Role::Button, label).next();
    let Some(node) = button.or_else(|| h.query_all_by_label(label).next()) else { panic!("there is no `{label}`") };
    node.click();
    h.run_steps(4);
}

pub fn key(h: &mut Window, modifiers: Modifiers, k: Key) {
    h.key_press_modifiers(modifiers, k);
    h.run_steps(3);
}

pub fn sees(h: &Window, text: &str) -> bool {
    h.query_all_by_label_contains(text).next().is_some()
}

pub fn type_into(h: &mut Window, label: &str, text: &str) {
    h.get_by_label(label).focus();
    h.run_steps(2);
    h.get_by_label(label).type_text(text);
    h.run_steps(2);
}
