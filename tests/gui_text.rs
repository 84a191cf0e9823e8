//! No text of the window is cut at its sides, painted over or laid upon other text: every layout with every panel in front,
//! in every state that has words of its own, at three sizes and in both themes. Nothing is painted, so that all of it takes seconds;
//! `BRODMANN_PICTURES=FOLDER` paints it too, to be looked at; `BRODMANN_PICTURES_OF="3840 light"` only what has these words in its name.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/seen.rs"]
mod seen;

use bench::folder;
use brodmann::{
    ablate::SweepUnit,
    app::{
        App, Command, GivenProducts, MapChange, OverlapView, PanelView, Products, testing, testing_jobs, testing_lessons, testing_sweeps,
        testing_tasks, testing_tuning,
    },
    base::Neuron,
    gui::{LEAST_SIZE, Shell, Theme, dock::LayoutId, panels},
    tune::Ended,
};
use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::{Harness, kittest::Queryable};
use seen::{scrolls, seen, short};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const SIZES: [(f32, f32); 3] = [(1280.0, 720.0), (1920.0, 1080.0), (3840.0, 2160.0)];

type Window = Harness<'static, Shell>;

/// Where pictures go, if they are wanted.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("BRODMANN_PICTURES").map(PathBuf::from)
}

/// Whether a picture of this name is.
fn wanted(name: &str) -> bool {
    std::env::var("BRODMANN_PICTURES_OF").map_or(true, |words| words.split(' ').all(|w| name.contains(w)))
}

/// Without a renderer frames are laid out, none is painted.
fn window(app: App, size: (f32, f32), theme: egui::Theme) -> Window {
    let builder = Harness::builder().with_size(size).with_theme(theme).with_max_steps(200);
    let builder = if pictures().is_some() { builder.wgpu() } else { builder };
    let mut h = builder.build_eframe(|cc| Shell::new(cc, app));
    h.run_steps(4);
    h
}

/// What was found, by what is wrong, with the places.
#[derive(Default)]
struct Found {
    faults: BTreeMap<String, BTreeSet<String>>,
    notes: BTreeMap<String, BTreeSet<String>>,
    /// What is looked at lies over the window.
    floating: bool,
}

impl Found {
    fn look(&mut self, h: &mut Window, place: &str) {
        if let Some(folder) = pictures().filter(|_| wanted(place)) {
            std::fs::create_dir_all(&folder).expect("folder");
            h.render().expect("picture").save(folder.join(format!("{}.png", place.replace(' ', "_")))).expect("written");
        }
        let mut seen = seen(h, self.floating);
        // One of each that is cut by the same edge says it for all.
        seen.cut.dedup_by_key(|c| c.2);
        for (text, at, clip) in std::mem::take(&mut seen.cut) {
            if !scrolls(h, at, clip) {
                seen.faults.push(format!("`{}` is cut above or below and does not scroll: {clip}", short(&text)));
            }
        }
        for (all, into) in [(seen.faults, &mut self.faults), (seen.notes, &mut self.notes)] {
            for what in all {
                into.entry(what).or_default().insert(place.to_owned());
            }
        }
    }
    fn report(&self) {
        let list = |all: &BTreeMap<String, BTreeSet<String>>| {
            let line = |(what, places): (&String, &BTreeSet<String>)| {
                let first: Vec<&str> = places.iter().take(4).map(String::as_str).collect();
                format!("{what} ({}: {})", places.len(), first.join("; "))
            };
            all.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        println!("{}", list(&self.notes));
        assert!(self.faults.is_empty(), "{}", list(&self.faults));
    }
}

/// Presses what is called so, the last where there are several; whether there was one.
fn press(h: &mut Window, label: &str) -> bool {
    let buttons = h.query_all_by_role_and_label(Role::Button, label).last();
    let Some(node) = buttons.or_else(|| h.query_all_by_label(label).last()) else { return false };
    node.click();
    h.run_steps(4);
    true
}

type Make = fn(&Path) -> App;

/// A program in some state; which layouts and panels say something of it, and what is pressed in them, one after the other.
struct State {
    name: &'static str,
    make: Make,
    shown: &'static [(LayoutId, &'static str, &'static [&'static str])],
}

use LayoutId::{Ablate, Compare, Explore, Tasks};

const STATES: &[State] = &[
    State {
        name: "swept",
        make: |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Neuron, 1.0),
        shown: &[(Ablate, "sweep", &["Show the sweep as a table"])],
    },
    State { name: "broken off", make: testing_sweeps::sample_app_broken_off, shown: &[(Ablate, "sweep", &[])] },
    State {
        name: "swept heads",
        make: |dir| testing_sweeps::sample_app_swept(dir, SweepUnit::Head, 1.0),
        shown: &[(Ablate, "sweep", &[]), (Explore, "sweep", &[])],
    },
    State {
        name: "curve and set",
        make: testing_sweeps::sample_app_curve_and_set,
        shown: &[(Ablate, "sweep", &["against k", "smallest set"]), (Tasks, "sweep", &["against k", "smallest set"])],
    },
    State {
        name: "compared",
        make: testing::sample_app_compared,
        shown: &[(Compare, "similarity", &["Clustered", "Domains", "Samples"]), (Explore, "similarity", &["Domains", "Samples"])],
    },
    State { name: "predicted", make: testing::sample_app_predicted, shown: &[(Ablate, "prediction", &["loss", "accuracy"])] },
    State {
        name: "sets",
        make: testing::sample_app_with_sets,
        shown: &[(Explore, "sets", &[]), (Ablate, "sets", &[]), (Tasks, "sets", &[])],
    },
    State {
        name: "upset",
        make: |dir| overlap(dir, OverlapView::Upset),
        shown: &[(Compare, "overlap", &[]), (Explore, "overlap", &[]), (Ablate, "overlap", &[]), (Tasks, "overlap", &[])],
    },
    State {
        name: "overlap against k",
        make: |dir| overlap(dir, OverlapView::Curve),
        shown: &[(Compare, "overlap", &[]), (Explore, "overlap", &[]), (Ablate, "overlap", &[]), (Tasks, "overlap", &[])],
    },
    State {
        name: "found",
        make: |dir| testing_tasks::sample_app_found(dir, 6),
        shown: &[(Tasks, "tasks", &["overlap", "Options: as in the paper"])],
    },
    State {
        name: "proved",
        make: |dir| testing_tasks::sample_app_proved(dir, 1.0),
        shown: &[(Tasks, "tasks", &["Prove", "change", "Show the matrix as a table"])],
    },
    State {
        name: "tuned",
        make: |dir| testing_tuning::sample_app_tuned(dir, Ended::Finished),
        shown: &[(Tasks, "tasks", &["Train"]), (Explore, "neurons", &[])],
    },
    State {
        name: "learned",
        make: |dir| testing_lessons::sample_app_continual(dir, 1.0),
        shown: &[(Tasks, "tasks", &["Continual", "NCFT"])],
    },
    State {
        name: "transferred",
        make: |dir| testing_lessons::sample_app_transfer(dir, 1.0),
        shown: &[(Tasks, "tasks", &["Generalise", "by layer"])],
    },
    State {
        name: "at work",
        make: testing_jobs::sample_app_at_work,
        shown: &[
            (Explore, "jobs", &[]),
            (Ablate, "jobs", &[]),
            (Ablate, "ablation", &[]),
            (Ablate, "sweep", &[]),
            (Tasks, "jobs", &[]),
            (Tasks, "tasks", &[]),
        ],
    },
    State {
        name: "swept in other products",
        make: |dir| in_other_products(testing_sweeps::sample_app_swept(dir, SweepUnit::Head, 0.4)),
        shown: &[(Ablate, "sweep", &[]), (Tasks, "sweep", &[])],
    },
    State {
        name: "curve and set in other products",
        make: |dir| in_other_products(testing_sweeps::sample_app_curve_and_set(dir)),
        shown: &[(Ablate, "sweep", &["against k", "smallest set"])],
    },
    State {
        name: "found and proved in other products",
        make: |dir| in_other_products(testing_tasks::sample_app_proved(dir, 0.5)),
        shown: &[(Tasks, "tasks", &["overlap", "Prove"])],
    },
    State {
        name: "tuned in other products",
        make: |dir| in_other_products(testing_tuning::sample_app_tuned(dir, Ended::Finished)),
        shown: &[(Tasks, "tasks", &["Train"])],
    },
    State {
        name: "learned in other products",
        make: |dir| in_other_products(testing_lessons::sample_app_continual(dir, 1.0)),
        shown: &[(Tasks, "tasks", &["Continual"])],
    },
    State {
        name: "transferred in other products",
        make: |dir| in_other_products(testing_lessons::sample_app_transfer(dir, 1.0)),
        shown: &[(Tasks, "tasks", &["Generalise", "by layer"])],
    },
    State { name: "tabs of tasks", make: testing::sample_app, shown: &[(Tasks, "tasks", &["Prove", "Train", "Continual", "Generalise"])] },
];

/// What is finished says that it was made in f32.
fn in_other_products(mut app: App) -> App {
    app.settings.given_products = Some(GivenProducts::by_flag(Some(Products::Bf16)));
    app
}

fn overlap(dir: &Path, view: OverlapView) -> App {
    let mut app = testing::sample_app(dir);
    app.apply(Command::SetPanelView { view: PanelView::Overlap(view) });
    app
}

/// Something in every panel that needs no engine, nothing chosen, and nothing open.
fn plain() -> Vec<(&'static str, Make)> {
    fn full(dir: &Path) -> App {
        let mut app = testing::sample_app_ablated(dir);
        app.apply(Command::SelectNeurons { neurons: testing::sample_set() });
        app
    }
    fn pinned(dir: &Path) -> App {
        let mut app = testing::sample_app(dir);
        app.apply(Command::ChangeMap { change: MapChange::Pin { layer: 2, on: true } });
        app.apply(Command::ShowDomain { domain: Some("logic".into()), minus: Some("arithmetic".into()) });
        app.apply(Command::SelectNeurons { neurons: std::iter::once(Neuron::new(3, 17)).collect() });
        app
    }
    vec![("ablated", full), ("pinned and compared", pinned), ("empty", testing::for_tests)]
}

fn every_size(mut look: impl FnMut((f32, f32), egui::Theme, &str)) {
    for size in SIZES {
        for (theme, word) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
            look(size, theme, &format!("{} {word}", size.0));
        }
    }
}

#[test]
fn every_panel_of_every_layout_is_whole() {
    let mut found = Found::default();
    every_size(|size, theme, at| {
        for (name, make) in plain() {
            let dir = folder();
            let mut h = window(make(dir.path()), size, theme);
            for layout in LayoutId::ALL {
                h.state_mut().dock.active = layout;
                for panel in panels::PANELS {
                    // Panels that this layout has not would change it for those after.
                    if h.state().dock.has(panel.id) {
                        h.state_mut().dock.show_panel(panel.id);
                        h.run_steps(3);
                        found.look(&mut h, &format!("{at} {} {} {name}", layout.name(), panel.id));
                    }
                }
            }
        }
    });
    found.report();
}

#[test]
fn every_state_of_a_panel_is_whole() {
    let mut found = Found::default();
    let mut missing = BTreeSet::new();
    every_size(|size, theme, at| {
        for state in STATES {
            let dir = folder();
            let mut h = window((state.make)(dir.path()), size, theme);
            for (layout, panel, buttons) in state.shown {
                h.state_mut().dock.active = *layout;
                h.state_mut().dock.show_panel(panel);
                h.run_steps(4);
                found.look(&mut h, &format!("{at} {} {panel} {}", layout.name(), state.name));
                for button in *buttons {
                    if !press(&mut h, button) {
                        missing.insert(format!("{}: {button}", state.name));
                    }
                    found.look(&mut h, &format!("{at} {} {panel} {} {button}", layout.name(), state.name));
                }
            }
        }
    });
    found.report();
    assert!(missing.is_empty(), "there is no {missing:?}");
}

/// How far work is and how long it takes is never shortened, in however small a window.
#[test]
fn what_a_job_says_of_itself_is_whole() {
    for size in [LEAST_SIZE.into(), SIZES[0], SIZES[1]] {
        let dir = folder();
        let mut h = window(testing_jobs::sample_app_at_work(dir.path()), size, egui::Theme::Dark);
        for (layout, panel) in [(Ablate, "sweep"), (Ablate, "ablation"), (Ablate, "prediction"), (Tasks, "tasks"), (Explore, "jobs")] {
            h.state_mut().dock.active = layout;
            h.state_mut().dock.show_panel(panel);
            h.run_steps(4);
            assert!(h.query_all_by_label_contains("left").next().is_some(), "{panel} says how long it takes");
            let notes = seen(&h, false).notes;
            let cut: Vec<&String> = notes.iter().filter(|n| n.contains(" left") || n.contains(" /s")).collect();
            assert!(cut.is_empty(), "{panel} at {}: {cut:?}", size.0);
        }
    }
}

#[test]
fn what_opens_over_the_window_is_whole() {
    let mut found = Found { floating: true, ..Found::default() };
    every_size(|size, theme, at| {
        let dir = folder();
        let keys: [(&str, Modifiers, Key); 3] =
            [("palette", Modifiers::COMMAND, Key::P), ("settings", Modifiers::COMMAND, Key::Comma), ("export", Modifiers::COMMAND, Key::E)];
        for (name, modifiers, key) in keys {
            let mut h = window(testing::sample_app_ablated(dir.path()), size, theme);
            let before = h.output().shapes.len();
            h.key_press_modifiers(modifiers, key);
            h.run_steps(4);
            assert!(h.output().shapes.len() > before + 10, "the {name} opens");
            found.look(&mut h, &format!("{at} {name}"));
        }
    });
    found.report();
}

#[test]
fn a_larger_scale_of_the_interface_leaves_all_whole() {
    let mut found = Found::default();
    // A window shows as much at a larger scale as a smaller one does at 100 %: the least the window can be, which is
    // 1280 by 720 at 125 %, and 1920 by 1080 at 125 %.
    for size in [LEAST_SIZE.into(), (1536.0, 864.0)] {
        let dir = folder();
        let mut h = window(testing::sample_app_ablated(dir.path()), size, egui::Theme::Dark);
        for layout in LayoutId::ALL {
            h.state_mut().dock.active = layout;
            h.run_steps(4);
            found.look(&mut h, &format!("scale {} {}", size.0, layout.name()));
        }
    }
    found.report();
}

/// What is looked for is found: a name in too narrow a place, one under a box, two on each other.
#[test]
fn what_is_cut_or_covered_is_seen() {
    let faults = |add: fn(&mut egui::Ui)| {
        let mut h = Harness::builder().with_size((300.0, 100.0)).with_context_setup(Theme::install).build_ui(add);
        h.run_steps(2);
        seen(&h, false).faults.join("; ")
    };
    assert_eq!(faults(|ui| drop(ui.label("Try a text"))), "");
    let cut = faults(|ui| {
        ui.set_clip_rect(egui::Rect::from_min_size(ui.max_rect().min, egui::vec2(40.0, 40.0)));
        ui.add(egui::Label::new("Try a text").extend());
    });
    assert!(cut.contains("`Try a text` is cut by") && cut.contains("at its right"), "{cut}");
    assert_eq!(
        faults(|ui| drop(ui.add(egui::Label::new("far longer than its place ".repeat(9)).truncate()))),
        "",
        "an ellipsis is no fault"
    );
    let covered = faults(|ui| {
        let r = ui.label("Try a text").rect;
        ui.painter().rect_filled(r.with_min_x(r.center().x), 0.0, egui::Color32::BLACK);
    });
    assert!(covered.contains("`Try a text` is painted over"), "{covered}");
    let both = faults(|ui| {
        let at = ui.label("Try a text").rect.min + egui::vec2(20.0, 2.0);
        ui.painter().text(at, egui::Align2::LEFT_TOP, "Sets", egui::FontId::proportional(12.5), egui::Color32::WHITE);
    });
    assert!(both.contains("`Try a text` and `Sets` lie on each other"), "{both}");
}
