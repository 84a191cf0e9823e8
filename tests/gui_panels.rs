//! Every panel, light and dark, in the states it can be in, and what its controls ask for. The numbers shown come from `app::testing`.
#![cfg(feature = "gui")]

use brodmann::{
    app::{App, Command, testing},
    gui::{Link, Panel, PanelCx, Theme, panels},
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{
    Harness, SnapshotResults,
    kittest::{NodeT, Queryable},
};
use std::path::Path;

/// One panel on a bench: what it asks for is applied, as the shell does, and kept for the test.
struct Bench {
    app: App,
    panel: Box<dyn Panel>,
    link: Link,
    sent: Vec<Command>,
}

impl Bench {
    fn frame(&mut self, ui: &mut egui::Ui) {
        let theme = Theme::of(ui.ctx());
        let margin = egui::Margin::symmetric(12, 8);
        let mut out = Vec::new();
        ui.painter().rect_filled(ui.ctx().content_rect(), 0.0, theme.panel);
        egui::Frame::NONE.inner_margin(margin).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            let mut cx = PanelCx { app: &self.app, out: &mut out, theme, link: &mut self.link, gpu: None };
            self.panel.ui(ui, &mut cx);
        });
        for command in out {
            self.sent.push(command.clone());
            self.app.apply(command);
        }
        if self.link.turn() {
            ui.ctx().request_repaint();
        }
    }
}

fn bench(panel: &str, size: (f32, f32), theme: egui::Theme, app: App) -> Harness<'static, Bench> {
    let info = panels::find(panel).unwrap_or_else(|| panic!("no panel {panel}"));
    let state = Bench { app, panel: (info.make)(), link: Link::default(), sent: Vec::new() };
    let mut harness = Harness::builder()
        .with_size(size)
        .with_theme(theme)
        .with_context_setup(Theme::install)
        .wgpu()
        .build_ui_state(|ui, bench: &mut Bench| bench.frame(ui), state);
    harness.run();
    harness
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Draws the panel in both themes and compares with the committed pictures.
fn pictures(results: &mut SnapshotResults, name: &str, panel: &str, size: (f32, f32), app: impl Fn(&Path) -> App) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut harness = bench(panel, size, theme, app(dir.path()));
        harness.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut harness);
    }
}

#[test]
fn density_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "density", "density", (620.0, 460.0), testing::sample_app);
    pictures(r, "density_empty", "density", (420.0, 260.0), testing::for_tests);
}

#[test]
fn similarity_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "similarity", "similarity", (900.0, 420.0), testing::sample_app);
    pictures(r, "similarity_tall", "similarity", (440.0, 700.0), testing::sample_app);
}

#[test]
fn ablation_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "ablation", "ablation", (760.0, 520.0), testing::sample_app_ablated);
    pictures(r, "ablation_narrow", "ablation", (400.0, 640.0), testing::sample_app_ablated);
    pictures(r, "ablation_nothing_off", "ablation", (620.0, 420.0), testing::sample_app);
    pictures(r, "ablation_empty", "ablation", (420.0, 260.0), testing::for_tests);
}

#[test]
fn moving_gamma_asks_for_it_and_changes_the_density() {
    let dir = folder();
    let mut h = bench("density", (620.0, 460.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    assert!(h.query_by_label_contains("counts are exact").is_some());
    h.get_by_role_and_label(Role::Slider, "Threshold gamma").focus();
    h.key_press(egui::Key::ArrowRight);
    h.run();
    let sent = h.state().sent.clone();
    assert!(matches!(sent.as_slice(), [Command::SetGamma { gamma }] if *gamma > 2e-6), "{sent:?}");
    assert!(h.query_by_label_contains("recounted from the histogram").is_some());
}
