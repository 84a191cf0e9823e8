#![cfg(feature = "gui")]
use brodmann::{
    app::testing,
    gui::{Shell, dock::LayoutId},
};
use eframe::egui;
use egui_kittest::Harness;
#[test]
fn draw() {
    let dir = tempfile::tempdir().expect("folder");
    for (theme, t) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let app = testing::sample_app_ablated(dir.path());
        let mut h =
            Harness::builder().with_size([1440., 900.]).with_theme(theme).wgpu().with_max_steps(30).build_eframe(|cc| Shell::new(cc, app));
        for l in LayoutId::ALL {
            h.state_mut().dock.active = l;
            h.run_steps(6);
            h.render().expect("render").save(format!("/tmp/win_{}_{t}.png", l.name())).expect("save");
        }
    }
}
