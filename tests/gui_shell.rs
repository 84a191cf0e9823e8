//! The window driven by label, as a person or a screen reader meets it. Numbers come from `app::testing`; no engine runs.
#![cfg(feature = "gui")]

#[path = "support/harness.rs"]
mod harness;

use brodmann::{
    app::{App, Command, GivenProducts, NoticeLevel, Preferences, Products, ProductsChoice, ThemeChoice, testing},
    base::{Neuron, NeuronSet, heatmap::ColourMap},
    gui::{Link, Panel, PanelCx, Shell, Theme, dock::LayoutId, panels},
};
use eframe::egui::{self, Key, Modifiers, Pos2, Rect, accesskit::Role, pos2};
use egui_kittest::{
    Harness, SnapshotResults,
    kittest::{NodeT, Queryable},
};
use harness::builder;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

type Window = Harness<'static, Shell>;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn window(app: App, layout: LayoutId, size: (f32, f32), theme: egui::Theme) -> Window {
    let mut h = builder(size, theme).build_eframe(|cc| {
        let mut shell = Shell::new(cc, app);
        shell.dock.active = layout;
        shell
    });
    // `run` fails when the window never comes to rest: an idle window asks for no frame.
    h.run();
    h
}

fn explore(dir: &Path) -> Window {
    window(testing::sample_app(dir), LayoutId::Explore, (1280.0, 800.0), egui::Theme::Dark)
}

fn map_rect(h: &Window) -> Rect {
    h.get_by_label_contains("Map of relevance").rect()
}

fn map_label(h: &Window) -> String {
    h.get_by_label_contains("Map of relevance").accesskit_node().label().unwrap_or_default()
}

/// A point in the map by share of its width and height.
fn at(h: &Window, x: f32, y: f32) -> Pos2 {
    let r = map_rect(h);
    pos2(r.left() + x * r.width(), r.top() + y * r.height())
}

fn key(h: &mut Window, modifiers: Modifiers, k: Key) {
    h.key_press_modifiers(modifiers, k);
    h.run();
}

#[test]
fn arithmetic_coarser_than_f32_is_told_in_the_bar() {
    for (products, told) in [(None, false), (Some(Products::F32), false), (Some(Products::Bf16), true)] {
        let dir = folder();
        let mut app = testing::sample_app(dir.path());
        app.settings.given_products = Some(GivenProducts::by_flag(products));
        let h = window(app, LayoutId::Explore, (1280.0, 800.0), egui::Theme::Dark);
        assert_eq!(h.query_by_label_contains(" · bf16 products").is_some(), told, "{products:?}");
    }
}

/// A processor with AVX512_BF16 and no tile unit, whatever computes here.
fn usable_with_pairs(products: Products) -> Result<Products, String> {
    match products {
        Products::F32 | Products::Bf16 => Ok(products),
        lacking => Err(format!("{lacking} needs {}, which this processor or system lacks", lacking.needs())),
    }
}

fn products_app(dir: &Path, usable: fn(Products) -> Result<Products, String>) -> App {
    let mut app = testing::sample_app(dir);
    (app.settings.usable_products, app.settings.given_products) = (usable, None);
    app.settings.preferences_file = Some(dir.join("settings.json"));
    app.settings.preferences.remembered.tour_done = true;
    app
}

fn settings_of(app: App) -> Window {
    let mut h = window(app, LayoutId::Explore, (1280.0, 800.0), egui::Theme::Dark);
    key(&mut h, Modifiers::COMMAND, Key::Comma);
    h.run_steps(2);
    h
}

#[test]
fn products_are_chosen_in_the_settings_and_told_in_the_bar_at_once() {
    let dir = folder();
    let mut h = settings_of(products_app(dir.path(), usable_with_pairs));
    let chosen = |h: &Window| h.state().app.settings.preferences.products.clone();
    let told = |h: &Window| h.query_by_label_contains(" · bf16 products").is_some();
    for (word, there) in [("auto", true), ("f32", true), ("bf16x6", false), ("bf16x3", false), ("bf16", true)] {
        assert_eq!(h.get_by_label(word).accesskit_node().is_disabled(), !there, "{word}");
    }
    h.get_by_label_contains("Here: f32");
    assert!(!told(&h));
    h.get_by_label("bf16x6").click();
    h.run();
    assert_eq!(chosen(&h), ProductsChoice::Auto);
    h.get_by_label("bf16").click();
    h.run();
    assert_eq!(chosen(&h), ProductsChoice::Of(Products::Bf16));
    assert!(told(&h));
    h.get_by_label_contains("2^-7");

    // Kept, and there after a restart.
    let file = dir.path().join("settings.json");
    let until = Instant::now() + Duration::from_secs(20);
    let kept = loop {
        let kept = Preferences::load(&file).expect("settings");
        if kept.products != ProductsChoice::Auto || Instant::now() > until {
            break kept;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut app = products_app(dir.path(), usable_with_pairs);
    app.settings.preferences = kept;
    let mut h = settings_of(app);
    assert!(told(&h) && chosen(&h) == ProductsChoice::Of(Products::Bf16));
    // The scan's own lies below.
    let back = h.get_all_by_label("Back to the defaults").min_by(|a, b| a.rect().top().total_cmp(&b.rect().top()));
    back.expect("the settings' button").click();
    h.run();
    assert!(!told(&h) && chosen(&h) == ProductsChoice::Auto);
}

#[test]
fn the_scan_says_what_it_multiplies_with_and_leads_to_the_choice() {
    let dir = folder();
    let mut h = window(products_app(dir.path(), usable_with_pairs), LayoutId::Explore, (1280.0, 1300.0), egui::Theme::Dark);
    h.state_mut().dock.show_panel("scan");
    h.run();
    // The sample's run is of f32.
    h.get_by_label("f32 (auto)");
    h.get_by_label_contains("of memory · about ");
    h.get_by_label("Choose products").click();
    h.run();
    h.get_by_label("bf16").click();
    h.run();
    key(&mut h, Modifiers::NONE, Key::Escape);
    h.get_by_label("bf16 (settings)");
    h.get_by_label_contains("the time is known after a first scan with bf16 products");
    assert!(h.query_by_label_contains("of memory · about ").is_none());
}

#[test]
fn products_given_at_start_hold_and_the_settings_say_so() {
    let dir = folder();
    let mut app = products_app(dir.path(), usable_with_pairs);
    app.settings.given_products = Some(GivenProducts::by_flag(Some(Products::F32)));
    let mut h = settings_of(app);
    h.get_by_label_contains("--products f32 was given at start");
    h.get_by_label("bf16").click();
    h.run();
    assert_eq!(h.state().app.settings.preferences.products, ProductsChoice::Of(Products::Bf16), "for the next start");
    assert_eq!(h.state().app.products(), Products::F32);
    assert!(h.query_by_label_contains(" · bf16 products").is_none());
}

#[test]
fn products_that_cannot_be_had_leave_auto_in_their_place() {
    let f32_alone = |products: Products| match products {
        Products::F32 => Ok(products),
        lacking => Err(format!("{lacking} needs more")),
    };
    for (stored, says) in [
        (ProductsChoice::Of(Products::Bf16), "bf16 needs more: auto takes f32 instead"),
        (ProductsChoice::Unknown("fp8".into()), "expected auto, f32, int8x8, bf16x6, bf16x3 or bf16: auto takes f32 instead"),
    ] {
        let dir = folder();
        let mut app = products_app(dir.path(), f32_alone);
        app.settings.preferences.products = stored;
        app.warn_of_products();
        let mut h = settings_of(app);
        assert!(h.state().app.log.last().is_some_and(|n| n.level == NoticeLevel::Warn && n.title.contains("auto takes f32")));
        h.get_by_label_contains(says);
        assert_eq!(h.state().app.products(), Products::F32);
        h.get_by_label("auto").click();
        h.run();
        assert!(h.query_by_label_contains(says).is_none() && h.state().app.settings.preferences.products == ProductsChoice::Auto);
    }
}

#[test]
fn pointing_at_a_neuron_reads_it_out_everywhere() {
    let dir = folder();
    let mut h = explore(dir.path());
    // Layer 3 of 8 is at 3.5/8 of the height, neuron 100 of 512 at 100.5/512 of the width.
    let p = at(&h, 100.5 / 512.0, 3.5 / 8.0);
    h.hover_at(p);
    h.run();
    let want = h.state().app.library.scan().expect("run").domains[0].relevance.as_ref().expect("map").get(3, 100).expect("cell");
    let label = map_label(&h);
    assert!(label.contains("layer 3, neuron 100, "), "{label}");
    let value = label.rsplit(", ").next().and_then(|v| v.strip_suffix(" nat")).expect("a value with its unit");
    let spoken: f64 = value.parse().expect("number");
    assert!((spoken / f64::from(want) - 1.0).abs() < 5e-3, "three digits of {want}: {spoken}");
    let hover = h.state().hover().clone();
    assert_eq!((hover.neuron, hover.layer), (Some(Neuron::new(3, 100)), Some(3)));
    h.get_by_label_contains("L3 N100 · relevance");
    h.get_by_label("L3N100");
}

#[test]
fn space_switches_the_neuron_off_and_undo_brings_it_back() {
    let dir = folder();
    let mut h = explore(dir.path());
    let p = at(&h, 100.5 / 512.0, 3.5 / 8.0);
    h.hover_at(p);
    h.run();
    key(&mut h, Modifiers::NONE, Key::Space);
    assert!(h.state().app.project.is_off(Neuron::new(3, 100)));
    assert!(map_label(&h).contains("ablated"), "{}", map_label(&h));
    key(&mut h, Modifiers::COMMAND, Key::Z);
    assert!(h.state().app.project.off().is_empty());
    key(&mut h, Modifiers::COMMAND, Key::Y);
    assert!(h.state().app.project.is_off(Neuron::new(3, 100)));
}

#[test]
fn a_click_selects_and_a_shift_drag_brushes_a_rectangle() {
    let dir = folder();
    let mut h = explore(dir.path());
    let p = at(&h, 7.5 / 512.0, 0.5 / 8.0);
    h.hover_at(p);
    h.run();
    h.drag_at(p);
    h.run();
    h.drop_at(p);
    h.run();
    assert_eq!(h.state().app.project.view.selection, NeuronSet::parse("L0N7").expect("set"));

    // From inside (1, 10) to inside (2, 19): 2 layers x 10 neurons.
    let (from, to) = (at(&h, 10.5 / 512.0, 1.5 / 8.0), at(&h, 19.5 / 512.0, 2.5 / 8.0));
    h.event_modifiers(egui::Event::PointerMoved(from), Modifiers::SHIFT);
    h.run();
    let press =
        |pos, pressed| egui::Event::PointerButton { pos, button: egui::PointerButton::Primary, pressed, modifiers: Modifiers::SHIFT };
    h.event_modifiers(press(from, true), Modifiers::SHIFT);
    h.run();
    for k in 1..=4 {
        h.event_modifiers(egui::Event::PointerMoved(from + (to - from) * (k as f32 / 4.0)), Modifiers::SHIFT);
        h.run();
    }
    h.event_modifiers(press(to, false), Modifiers::SHIFT);
    h.run();
    assert_eq!(h.state().app.project.view.selection, NeuronSet::parse("L1N10-19,L2N10-19").expect("set"));
    h.get_by_label("20 selected").click();
    h.run();
    h.get_by_label("Make set, off").click();
    h.run();
    assert_eq!(h.state().app.project.off().len(), 20);
}

#[test]
fn the_wheel_zooms_about_the_pointer_and_home_shows_all_again() {
    let dir = folder();
    let mut h = explore(dir.path());
    let p = at(&h, 300.5 / 512.0, 5.5 / 8.0);
    h.hover_at(p);
    h.run();
    h.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        delta: egui::vec2(0.0, 300.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    // The wheel runs out smoothly, and the pointer rests long enough for a tooltip.
    h.run_steps(12);
    assert!(map_label(&h).contains("layer 5, neuron 300, "), "still under the pointer: {}", map_label(&h));
    let edge = at(&h, 0.001, 5.5 / 8.0);
    h.hover_at(edge);
    h.run();
    assert!(!map_label(&h).contains("neuron 0, "), "zoomed in, the left edge is another neuron: {}", map_label(&h));
    key(&mut h, Modifiers::NONE, Key::Home);
    assert!(map_label(&h).contains("neuron 0, "), "{}", map_label(&h));
}

#[test]
fn arrows_move_the_cell_cursor_and_pages_the_layer() {
    let dir = folder();
    let mut h = explore(dir.path());
    let p = at(&h, 50.5 / 512.0, 4.5 / 8.0);
    h.hover_at(p);
    h.run();
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    key(&mut h, Modifiers::NONE, Key::PageDown);
    // The pointer leaves; the map keeps the keyboard.
    h.hover_at(pos2(5.0, 5.0));
    h.run();
    assert!(map_label(&h).contains("layer 5, neuron 52, "), "{}", map_label(&h));
    key(&mut h, Modifiers::NONE, Key::Space);
    assert_eq!(h.state().app.project.off(), NeuronSet::parse("L5N52").expect("set"));
}

#[test]
fn a_neuron_is_found_by_name() {
    let dir = folder();
    let mut h = explore(dir.path());
    key(&mut h, Modifiers::COMMAND, Key::F);
    h.get_by_label("Find a neuron").type_text("l6n499");
    h.run();
    key(&mut h, Modifiers::NONE, Key::Enter);
    assert_eq!(h.state().app.project.view.selection, NeuronSet::parse("L6N499").expect("set"));
    assert!(h.query_by_label("Find a neuron").is_none(), "it closes");
}

#[test]
fn the_palette_runs_actions_and_layouts_are_tabs() {
    let dir = folder();
    let mut h = explore(dir.path());
    key(&mut h, Modifiers::COMMAND, Key::P);
    h.get_by_label("Every action").type_text("compare");
    h.run();
    key(&mut h, Modifiers::NONE, Key::Enter);
    assert_eq!(h.state().dock.active, LayoutId::Compare);
    h.get_by_label("Ablate").click();
    h.run();
    assert_eq!(h.state().dock.active, LayoutId::Ablate);
    key(&mut h, Modifiers::COMMAND, Key::Num1);
    assert_eq!(h.state().dock.active, LayoutId::Explore);
}

#[test]
fn brackets_step_through_domains_and_the_menu_has_every_action() {
    let dir = folder();
    let mut h = explore(dir.path());
    key(&mut h, Modifiers::NONE, Key::CloseBracket);
    assert_eq!(h.state().app.project.view.domain.as_deref(), Some("logic"));
    assert!(map_label(&h).contains("of logic"), "{}", map_label(&h));
    h.get_by_label("Menu").click();
    h.run();
    h.get_by_label("File").click();
    h.run();
    h.get_by_label_contains("Save project as");
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

#[test]
fn a_dropped_dataset_becomes_a_domain_and_anything_else_is_explained() {
    let dir = folder();
    let file = dir.path().join("tides.jsonl");
    std::fs::write(&file, "{\"text\": \"The sea rises.\"}\n").expect("write");
    let mut h = explore(dir.path());
    h.input_mut().dropped_files.push(Arc::new(Dropped(file)));
    h.step();
    assert!(h.state().app.project.domains.iter().any(|d| d.name == "tides"));
    h.input_mut().dropped_files.push(Arc::new(Dropped(dir.path().join("weights.bin"))));
    h.step();
    h.step();
    h.get_by_label("Nothing that can be opened");
    h.get_by_label("Copy details");
}

#[test]
fn an_error_of_the_log_is_shown_with_details_to_copy() {
    let dir = folder();
    let mut h = explore(dir.path());
    h.state_mut().app.log.push(testing::notice(NoticeLevel::Error, "The model could not be opened", "config.json: no such file"));
    h.step();
    h.step();
    h.get_by_label("The model could not be opened");
    h.get_by_label("Copy details").click();
    h.run_steps(6);
    h.get_by_label("Copied");
    h.get_all_by_label("Dismiss").last().expect("a toast").click();
}

#[test]
fn the_library_shows_and_switches_domains_and_sets() {
    let dir = folder();
    let mut h = window(testing::sample_app_ablated(dir.path()), LayoutId::Explore, (1280.0, 800.0), egui::Theme::Light);
    h.get_by_label("Scan facts").click();
    h.run();
    assert!(!h.state().app.project.domain("facts").expect("domain").enabled);
    assert!(h.get_all_by_label("Scan 5 domains").count() > 0);
    // What it would take is told where it is asked for, also where the panel of the scan is not seen.
    let told = |h: &Harness<'_, Shell>| h.query_all_by_label_contains("of memory · about").count();
    let before = told(&h);
    h.get_all_by_label("Scan 5 domains").min_by(|a, b| a.rect().left().total_cmp(&b.rect().left())).expect("a button").hover();
    h.run();
    assert_eq!(told(&h), before + 1);
    h.get_by_label("arithmetic top 10 % off").click();
    h.run();
    assert!(!h.state().app.project.sets[0].on);
}

#[test]
fn overlap_lists_shared_neurons_and_selects_them() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    app.apply(Command::ShowPair { a: "arithmetic".into(), b: "logic".into() });
    let mut h = window(app, LayoutId::Compare, (1920.0, 1080.0), egui::Theme::Dark);
    let run = h.state().app.library.run().expect("run").output.clone();
    let top = |d: usize| NeuronSet::top_percent(run.domains[d].relevance.as_ref().expect("map"), 10.0);
    let both = top(0).intersection(&top(1));
    h.get_by_label_contains(&format!("{} shared neurons of 410 and 410", both.len()));
    h.get_all_by_label("Select").last().expect("button").click();
    h.run();
    let chosen = h.state().app.project.view.selection.clone();
    assert!(chosen == both || chosen == top(0), "one of the two Select buttons: {} neurons", chosen.len());
}

#[test]
fn the_whole_window_looks_right() {
    let dir = folder();
    let r = &mut SnapshotResults::new();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut shot = |name: &str, app: App, layout: LayoutId, size: (f32, f32), open: Option<(Modifiers, Key)>| {
            let mut h = window(app, layout, size, theme);
            if let Some((modifiers, k)) = open {
                key(&mut h, modifiers, k);
                // A window over the panels takes its size in the first frame and its place in the second.
                h.run_steps(3);
            }
            h.snapshot(format!("window_{name}_{suffix}"));
            r.extend_harness(&mut h);
        };
        let large = (1440.0, 900.0);
        shot("explore", testing::sample_app(dir.path()), LayoutId::Explore, large, None);
        shot("compare", testing::sample_app(dir.path()), LayoutId::Compare, large, None);
        shot("ablate", testing::sample_app_ablated(dir.path()), LayoutId::Ablate, large, None);
        shot("explore_small", testing::sample_app(dir.path()), LayoutId::Explore, (1280.0, 720.0), None);
        shot("fresh", testing::for_tests(dir.path()), LayoutId::Explore, (1280.0, 720.0), None);
        let settings = Some((Modifiers::COMMAND, Key::Comma));
        let on_pairs = |products: ProductsChoice, given: Option<GivenProducts>| {
            let mut app = testing::sample_app(dir.path());
            (app.settings.usable_products, app.settings.given_products) = (usable_with_pairs, given);
            app.settings.preferences.products = products;
            app
        };
        let small = (1024.0, 640.0);
        shot("settings", on_pairs(ProductsChoice::Auto, None), LayoutId::Explore, small, settings);
        let given = GivenProducts::by_flag(Some(Products::F32));
        shot("settings_given", on_pairs(ProductsChoice::Of(Products::Bf16), Some(given)), LayoutId::Explore, small, settings);
        shot("settings_unusable", on_pairs(ProductsChoice::Of(Products::Bf16x3), None), LayoutId::Explore, small, settings);
    }
}

#[test]
fn settings_change_theme_scale_and_colours_at_once() {
    let dir = folder();
    let mut h = explore(dir.path());
    key(&mut h, Modifiers::COMMAND, Key::Comma);
    h.get_by_label("cividis").click();
    h.run();
    h.get_by_label("light").click();
    h.run();
    h.get_by_label("125").click();
    h.run();
    let p = h.state().app.settings.preferences.clone();
    assert_eq!((p.colours, p.theme, p.scale), (ColourMap::Cividis, ThemeChoice::Light, 1.25));
    assert_eq!((h.ctx.theme(), h.ctx.zoom_factor()), (egui::Theme::Light, 1.25));
    key(&mut h, Modifiers::COMMAND, Key::Minus);
    assert_eq!(h.state().app.settings.preferences.scale, 1.1);
    key(&mut h, Modifiers::COMMAND, Key::Num0);
    assert_eq!(h.ctx.zoom_factor(), 1.0);
    assert!(h.query_by_label("Memory budget in gigabytes").is_some());
    key(&mut h, Modifiers::NONE, Key::Escape);
    assert!(h.query_by_label("Memory budget in gigabytes").is_none(), "Esc closes what lies over the panels");
}

#[test]
fn the_panel_in_focus_is_exported_into_a_file() {
    let dir = folder();
    let mut h = explore(dir.path());
    key(&mut h, Modifiers::COMMAND, Key::E);
    // What there is nothing of cannot be chosen.
    for (view, there) in [("density", true), ("ablation", false), ("sweep", false), ("tuning", false)] {
        let option = h.get_by_label(view);
        assert_eq!(option.accesskit_node().is_disabled(), !there, "{view}");
    }
    h.get_by_label("density").click();
    h.run();
    h.get_by_label("CSV").click();
    h.run();
    let path = dir.path().join("out/densities");
    h.get_by_label("File to export to").focus();
    h.run();
    key(&mut h, Modifiers::COMMAND, Key::A);
    h.get_by_label("File to export to").type_text(&path.display().to_string());
    h.run();
    h.get_by_role_and_label(Role::Button, "Export").click();
    let started = Instant::now();
    while h.query_by_label("Exported").is_none() && started.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(5));
        h.step();
    }
    h.get_by_label("Exported");
    let text = std::fs::read_to_string(path.with_extension("csv")).expect("the end of the kind was added");
    assert!(text.starts_with("model,layer,module,neuron,domain,metric,value,n,seed\ndemo,0,block,,arithmetic,density,"), "{text}");
    assert!(path.with_extension("csv.provenance.json").is_file());
}

#[test]
fn where_there_is_no_file_dialog_a_path_is_typed() {
    let dir = folder();
    let mut h = explore(dir.path());
    h.state_mut().type_paths();
    let enter = |h: &mut Window, path: &Path| {
        h.get_by_label("Path of the file or folder").focus();
        h.run();
        key(h, Modifiers::COMMAND, Key::A);
        h.get_by_label("Path of the file or folder").type_text(&path.display().to_string());
        h.run();
        key(h, Modifiers::NONE, Key::Enter);
        h.run();
    };
    // Asked again where it will not do, with the reason.
    let save = |h: &mut Window| key(h, Modifiers::COMMAND | Modifiers::SHIFT, Key::S);
    save(&mut h);
    assert!(h.query_all_by_label("Save the project").next().is_some());
    enter(&mut h, &dir.path().join("nowhere/p.json"));
    assert!(h.query_by_label_contains("its folder is not there").is_some());
    let file = dir.path().join("p.json");
    enter(&mut h, &file);
    assert!(file.is_file() && h.query_by_label("Path of the file or folder").is_none(), "saved, and the question is gone");
    assert_eq!(h.state().app.project_path.as_deref(), Some(file.as_path()));
    // What is there is replaced only when that is said.
    save(&mut h);
    enter(&mut h, &file);
    assert!(h.query_by_label_contains("is there already").is_some());
    h.get_by_label("Replace it").click();
    h.run();
    assert!(h.query_by_label("Path of the file or folder").is_none());
    // Opening wants what is there.
    key(&mut h, Modifiers::COMMAND, Key::O);
    enter(&mut h, &file);
    assert!(h.query_by_label_contains("neither a folder nor a .gguf file").is_some());
    let one_file = dir.path().join("model.gguf");
    std::fs::write(&one_file, b"no model").expect("a file");
    enter(&mut h, &one_file);
    assert!(h.query_by_label("Path of the file or folder").is_none(), "a model in one file will do");
    key(&mut h, Modifiers::COMMAND, Key::O);
    enter(&mut h, &dir.path().join("none"));
    assert!(h.query_by_label_contains("there is nothing by this name").is_some());
    key(&mut h, Modifiers::NONE, Key::Escape);
    h.run();
    assert!(h.query_by_label("Path of the file or folder").is_none(), "Esc closes it");
}

#[test]
fn plain_keys_move_the_map_but_never_while_text_is_typed() {
    let dir = folder();
    let mut h = explore(dir.path());
    // Found, so that there is a cell cursor; the pointer is elsewhere and nothing has the focus.
    key(&mut h, Modifiers::COMMAND, Key::F);
    h.get_by_label("Find a neuron").type_text("L2N40");
    h.run();
    assert!(h.state().app.project.off().is_empty());
    key(&mut h, Modifiers::NONE, Key::Enter);
    h.run();
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    key(&mut h, Modifiers::NONE, Key::PageDown);
    key(&mut h, Modifiers::NONE, Key::Space);
    assert_eq!(h.state().app.project.off(), NeuronSet::parse("L3N41").expect("set"));
    key(&mut h, Modifiers::COMMAND, Key::P);
    h.get_by_label("Every action").type_text("x y");
    h.run();
    key(&mut h, Modifiers::NONE, Key::CloseBracket);
    key(&mut h, Modifiers::NONE, Key::Space);
    assert_eq!(h.state().app.project.view.domain.as_deref(), Some("arithmetic"), "a bracket is text in a field");
    assert_eq!(h.state().app.project.off().len(), 1, "so is a space");
}

#[test]
fn what_the_keys_point_at_is_read_out_while_the_pointer_rests() {
    let dir = folder();
    let mut h = explore(dir.path());
    let p = at(&h, 100.5 / 512.0, 3.5 / 8.0);
    h.hover_at(p);
    h.run();
    key(&mut h, Modifiers::NONE, Key::ArrowRight);
    key(&mut h, Modifiers::NONE, Key::ArrowDown);
    assert!(map_label(&h).contains("layer 4, neuron 101, "), "{}", map_label(&h));
    h.get_by_label_contains("L4 N101 · relevance");
    assert_eq!(h.state().hover().neuron, Some(Neuron::new(4, 101)));
    key(&mut h, Modifiers::NONE, Key::Space);
    assert_eq!(h.state().app.project.off(), NeuronSet::parse("L4N101").expect("set"), "what is read out is what is switched");
    // A pointer that moves speaks again.
    h.hover_at(p + egui::vec2(40.0, 0.0));
    h.run();
    assert_eq!(h.state().hover().neuron.map(|n| n.layer), Some(3));
}

#[test]
fn the_click_that_closes_a_menu_picks_nothing_in_the_map() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let selected = NeuronSet::parse("L0N7").expect("set");
    app.apply(Command::SelectNeurons { neurons: selected.clone() });
    let mut h = window(app, LayoutId::Explore, (1280.0, 800.0), egui::Theme::Dark);
    h.get_by_label("Scale and order").click();
    h.run();
    assert!(h.query_by_label("layer rank").is_some());
    // Beside the menu, on the map: closes the menu and picks nothing.
    let p = at(&h, 0.2, 0.7);
    let click = |h: &mut Window| {
        h.hover_at(p);
        h.run();
        h.drag_at(p);
        h.run();
        h.drop_at(p);
        h.run();
    };
    click(&mut h);
    assert!(h.query_by_label("layer rank").is_none());
    assert_eq!(h.state().app.project.view.selection, selected);
    click(&mut h);
    assert_ne!(h.state().app.project.view.selection, selected, "the next click picks");
}

type Made = fn() -> Box<dyn Panel>;

/// One panel alone, in both themes, compared with the committed pictures.
fn picture(results: &mut SnapshotResults, name: &str, make: Made, size: (f32, f32), app: impl Fn() -> App, link: impl Fn(&mut Link)) {
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let state = (app(), make());
        let mut h = builder(size, theme).with_context_setup(Theme::install).build_ui_state(
            |ui, (app, panel): &mut (App, Box<dyn Panel>)| {
                let theme = Theme::of(ui.ctx());
                ui.painter().rect_filled(ui.ctx().content_rect(), 0.0, theme.panel);
                let mut shared = Link::default();
                link(&mut shared);
                egui::Frame::NONE.inner_margin(egui::Margin::symmetric(12, 8)).show(ui, |ui| {
                    ui.set_min_size(ui.available_size());
                    let mut out = Vec::new();
                    panel.ui(ui, &mut PanelCx { app, out: &mut out, theme, link: &mut shared, gpu: None });
                });
            },
            state,
        );
        h.run();
        h.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut h);
    }
}

#[test]
fn the_neuron_map_looks_right_in_every_state() {
    let dir = folder();
    let r = &mut SnapshotResults::new();
    let make: Made = panels::neurons::make;
    picture(r, "neurons", make, (640.0, 420.0), || testing::sample_app(dir.path()), |_| {});
    // A difference on the diverging map, with neurons off (hatch) and a selection (strip).
    let difference = || {
        let mut app = testing::sample_app_ablated(dir.path());
        app.apply(Command::ShowDomain { domain: Some("arithmetic".into()), minus: Some("logic".into()) });
        app.apply(Command::SelectNeurons { neurons: NeuronSet::parse("L2N40-90,L5N300").expect("set") });
        app
    };
    picture(r, "neurons_difference", make, (640.0, 420.0), difference, |_| {});
    // Sixteen neurons fill the width: hatch and outline.
    let close = || {
        let mut app = testing::sample_app_of(dir.path(), 8, 16);
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(2, 3) });
        app.apply(Command::SelectNeurons { neurons: NeuronSet::parse("L4N5-8,L2N4").expect("set") });
        app
    };
    picture(r, "neurons_close", make, (640.0, 420.0), close, |_| {});
    picture(r, "neurons_empty", make, (420.0, 260.0), || testing::for_tests(dir.path()), |_| {});
}

#[test]
fn overlap_looks_right() {
    let dir = folder();
    let r = &mut SnapshotResults::new();
    picture(r, "overlap", panels::overlap::make, (760.0, 420.0), || testing::sample_app(dir.path()), |_| {});
    picture(r, "overlap_tall", panels::overlap::make, (380.0, 640.0), || testing::sample_app(dir.path()), |_| {});
    picture(r, "overlap_empty", panels::overlap::make, (420.0, 260.0), || testing::for_tests(dir.path()), |_| {});
}

#[test]
fn library_and_inspector_look_right() {
    let dir = folder();
    let r = &mut SnapshotResults::new();
    let library: Made = || Box::new(panels::library::LibraryPanel);
    let inspector: Made = || Box::<panels::inspector::Inspector>::default();
    picture(r, "library", library, (240.0, 520.0), || testing::sample_app_ablated(dir.path()), |_| {});
    picture(r, "library_empty", library, (240.0, 400.0), || testing::for_tests(dir.path()), |_| {});
    let on_a_neuron = |link: &mut Link| link.focus_neuron = Some(Neuron::new(3, 100));
    picture(r, "inspector_neuron", inspector, (280.0, 640.0), || testing::sample_app_ablated(dir.path()), on_a_neuron);
    picture(r, "inspector_run", inspector, (280.0, 400.0), || testing::sample_app(dir.path()), |_| {});
}

#[test]
fn a_fresh_window_says_what_to_do() {
    let dir = folder();
    let mut h = window(testing::for_tests(dir.path()), LayoutId::Explore, (1024.0, 640.0), egui::Theme::Light);
    h.get_by_label("Open a model to begin, or the demo from the menu");
    // Drawing it must work too, at the smallest size; panels have their own pictures.
    h.render().expect("picture");
}

#[test]
fn maps_of_another_model_are_said_to_be_of_another() {
    let dir = tempfile::tempdir().expect("folder");
    let says = |app: App| {
        let h = window(app, LayoutId::Explore, (1280.0, 720.0), egui::Theme::Dark);
        h.query_by_label_contains("The shown run is of another model").is_some()
    };
    assert!(!says(testing::sample_app(dir.path())));
    let mut app = testing::sample_app(dir.path());
    let run = &mut app.library.runs[0].output;
    let mut other = (**run).clone();
    other.provenance.model_sha256 = "77".repeat(32);
    *run = Arc::new(other);
    assert!(says(app));
}
