//! Every panel and every layout with the demo's own numbers at three sizes and in both themes, as pictures to be looked at; and what a program can see of
//! them: no control without a name, none outside the window, no picture of one colour.
//!
//! Not run by default, since it measures for minutes: `BRODMANN_PICTURES=FOLDER cargo test --test picture_audit -- --ignored`
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/seen.rs"]
mod seen;
#[path = "support/window.rs"]
mod support;

use bench::{Bench, bench};
use brodmann::{
    ablate::{Rule, SweepUnit},
    app::{App, Command, EvalConfig, SweepRequest, testing},
    base::{Head, Neuron},
    gui::{dock::LayoutId, panels},
    scan::MetricKind,
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::NodeT;
use std::path::{Path, PathBuf};

const SIZES: [(f32, f32); 3] = [(1280.0, 720.0), (1920.0, 1080.0), (3840.0, 2160.0)];

/// The demo with something in every panel.
fn demo(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    app.settings.predicts = true;
    let mut run = |command: Command| {
        app.apply(command);
        testing::settle(&mut app);
    };
    run(Command::OpenDemo);
    run(Command::SetEvalConfig { config: EvalConfig { samples: Some(24), ..EvalConfig::default() } });
    run(Command::SetControls { count: 2 });
    run(Command::Predict);
    run(Command::AddTopSet { domain: "arithmetic".into(), metric: MetricKind::Relevance, percent: 2.0 });
    run(Command::ToggleNeuron { neuron: Neuron::new(3, 17) });
    run(Command::IndexActivations);
    run(Command::InspectNeuron { neuron: Neuron::new(3, 17) });
    run(Command::TryText { text: "12 + 7 =".into() });
    run(Command::SampleSimilarity { layers: vec![3], samples: 6, domains: Vec::new(), out: None });
    let unit = SweepRequest::Units { unit: SweepUnit::Head, domain: "arithmetic".into(), layers: None };
    let curve = SweepRequest::AgainstK { ranking: "arithmetic".into(), metric: MetricKind::Relevance, percents: vec![0.5, 2.0, 8.0, 32.0] };
    let rule = Rule { most: 3, tried: 4, ..Rule::default() };
    let search = SweepRequest::Break { domain: "arithmetic".into(), metric: MetricKind::Relevance, candidates: 10, rule };
    for request in [unit, curve, search] {
        run(Command::Sweep { request, out: None });
    }
    run(Command::Replay { path: None, model: None });
    app
}

/// What is wrong with a picture, as far as a program can tell.
fn faults(h: &egui_kittest::Harness<'_, impl Sized>, picture: &image::RgbaImage, size: (f32, f32)) -> Vec<String> {
    let mut found = seen::seen(h, false).faults;
    let colours: std::collections::BTreeSet<[u8; 4]> = picture.pixels().step_by(97).map(|p| p.0).collect();
    if colours.len() < 8 {
        found.push(format!("{} colours only", colours.len()));
    }
    for node in h.root().children_recursive() {
        let node = node.accesskit_node();
        let Some(b) = node.bounding_box() else { continue };
        let (w, height) = (f64::from(size.0) + 1.0, f64::from(size.1) + 1.0);
        // What scrolls lies below the window; what is cut at its right or left never comes into view.
        let pressed =
            matches!(node.role(), Role::Button | Role::CheckBox | Role::ComboBox | Role::Slider | Role::SpinButton | Role::TextInput);
        if pressed && b.x0 < w && (b.x1 > w || b.x0 < -1.0) && b.y0 < height {
            found.push(format!("`{}` reaches from {:.0} to {:.0} of {:.0}", node.label().unwrap_or_default(), b.x0, b.x1, w - 1.0));
        }
    }
    found
}

#[test]
#[ignore = "measures for minutes and writes pictures to be looked at"]
fn every_panel_and_layout_at_every_size() {
    let folder = PathBuf::from(std::env::var_os("BRODMANN_PICTURES").expect("BRODMANN_PICTURES names the folder for the pictures"));
    std::fs::create_dir_all(&folder).expect("folder");
    let only = std::env::var("BRODMANN_PANEL").unwrap_or_default();
    let dir = tempfile::tempdir().expect("folder");
    let mut app = demo(dir.path());
    let mut all = Vec::new();
    let mut keep = |name: String, picture: image::RgbaImage, faults: Vec<String>| {
        picture.save(folder.join(format!("{name}.png"))).expect("written");
        all.extend(faults.into_iter().map(|f| format!("{name}: {f}")));
    };
    for size in SIZES {
        for (theme, word) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
            for info in panels::PANELS.iter().filter(|p| only.is_empty() || p.id == only) {
                let mut h = bench(info.id, size, theme, app);
                h.run_steps(6);
                let picture = h.render().expect("picture");
                let faults = faults(&h, &picture, size);
                keep(format!("{}_{}_{word}", info.id, size.0), picture, faults);
                app = std::mem::replace(&mut h.state_mut().app, testing::for_tests(dir.path()));
            }
            for (name, neuron, head) in [("neuron", Some(Neuron::new(3, 17)), None), ("head", None, Some(Head::new(3, 2)))] {
                if !only.is_empty() && only != name {
                    continue;
                }
                let mut b = Bench::new(app, Box::<panels::inspector::Inspector>::default());
                (b.link.focus_neuron, b.link.focus_head) = (neuron, head);
                let mut h = b.shown((320.0, size.1), theme);
                bench::settle(&mut h);
                h.run_steps(6);
                let picture = h.render().expect("picture");
                let faults = faults(&h, &picture, (320.0, size.1));
                keep(format!("inspector_{name}_{}_{word}", size.1), picture, faults);
                app = std::mem::replace(&mut h.state_mut().app, testing::for_tests(dir.path()));
            }
            for layout in LayoutId::ALL.into_iter().filter(|l| only.is_empty() || only == l.name()) {
                let mut h = support::window_of(app, size, theme);
                h.state_mut().dock.active = layout;
                h.run_steps(10);
                let picture = h.render().expect("picture");
                let faults = faults(&h, &picture, size);
                keep(format!("window_{}_{}_{word}", layout.name(), size.0), picture, faults);
                app = std::mem::replace(&mut h.state_mut().app, testing::for_tests(dir.path()));
            }
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
