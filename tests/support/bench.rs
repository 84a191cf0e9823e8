//! One panel on a bench: what it asks for is applied, as the shell does, and remembered.

#![allow(dead_code, reason = "each test binary uses its own part")]

use brodmann::{
    app::{App, Command},
    base::Neuron,
    gui::{Ask, Link, Panel, PanelCx, Theme, panels},
};
use eframe::egui;
use egui_kittest::Harness;
use std::time::{Duration, Instant};

pub use super::harness::builder;

pub struct Bench {
    pub app: App,
    pub panel: Box<dyn Panel>,
    pub link: Link,
    pub sent: Vec<Command>,
    pub asked: Vec<Ask>,
    /// What the pointer is over in another view.
    pub hover: Option<Neuron>,
    /// Which commands are applied. The others are remembered only: what they would start has no place in a picture.
    pub applies: fn(&Command) -> bool,
}

pub type View = Harness<'static, Bench>;

impl Bench {
    pub fn new(app: App, panel: Box<dyn Panel>) -> Self {
        Self { app, panel, link: Link::default(), sent: Vec::new(), asked: Vec::new(), hover: None, applies: |_| true }
    }

    fn frame(&mut self, ui: &mut egui::Ui) {
        self.app.pump();
        let theme = Theme::of(ui.ctx());
        let mut out = Vec::new();
        ui.painter().rect_filled(ui.ctx().content_rect(), 0.0, theme.panel);
        egui::Frame::NONE.inner_margin(egui::Margin::symmetric(12, 8)).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            let mut cx = PanelCx { app: &self.app, out: &mut out, theme, link: &mut self.link, gpu: None };
            self.panel.ui(ui, &mut cx);
        });
        for command in out {
            self.sent.push(command.clone());
            if (self.applies)(&command) {
                self.app.apply(command);
            }
            ui.ctx().request_repaint();
        }
        if let Some(n) = self.hover {
            self.link.hover_neuron(n);
        }
        self.asked.append(&mut self.link.asks);
        if self.link.turn() {
            ui.ctx().request_repaint();
        }
    }

    pub fn shown(self, size: (f32, f32), theme: egui::Theme) -> View {
        let mut harness =
            builder(size, theme).with_context_setup(Theme::install).build_ui_state(|ui, bench: &mut Bench| bench.frame(ui), self);
        harness.run_steps(3);
        harness
    }
}

/// A panel by its id.
pub fn bench(panel: &str, size: (f32, f32), theme: egui::Theme, app: App) -> View {
    Bench::new(app, (panels::find(panel).expect(panel).make)()).shown(size, theme)
}

/// The same once it asks for no more frames; fails where it never does.
pub fn bench_at_rest(panel: &str, size: (f32, f32), theme: egui::Theme, app: App) -> View {
    let mut h = bench(panel, size, theme, app);
    h.run();
    h
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Far beyond what a step takes: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs frames until `reached`.
pub fn until(h: &mut View, what: &str, reached: impl Fn(&View) -> bool) {
    let started = Instant::now();
    while !reached(h) {
        assert!(started.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
        h.run_steps(2);
    }
}

/// Runs frames until no worker is busy; what was just clicked needs one to be heard of.
pub fn settle(h: &mut View) {
    h.run_steps(2);
    until(h, "rest", |h| h.state().app.is_idle());
    h.run_steps(3);
}
