//! Maps of neurons as a person or a screen reader meets them: order, scales, folding, the table twin, and maps beside each other. Numbers come from
//! `app::testing`; no engine runs.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{View, bench_at_rest as bench, builder, folder};
use brodmann::{
    app::{App, Collapse, Command, MapChange, MapScale, RunEntry, testing},
    base::{
        Grid, Head, Neuron, NeuronSet,
        heatmap::{Combine, PerLayer, Reduce},
    },
    gui::{Shell, dock::LayoutId},
    report::neuron_order::NeuronOrder,
    scan::MetricKind,
};
use eframe::egui::{self, Key, Modifiers, Pos2, Rect, accesskit::Role, pos2};
use egui_kittest::{
    Harness, SnapshotResults,
    kittest::{NodeT, Queryable},
};
use std::{path::Path, sync::Arc};

fn change(app: &mut App, change: MapChange) {
    app.apply(Command::ChangeMap { change });
    testing::settle(app);
}

fn by_value(domain: &str) -> NeuronOrder {
    NeuronOrder::Value { metric: MetricKind::Relevance, domain: domain.into() }
}

fn relevance(app: &App, domain: &str) -> Grid {
    app.library.scan().and_then(|s| s.domain(domain)?.relevance.clone()).expect("map")
}

fn neurons(app: App) -> View {
    bench("neurons", (720.0, 460.0), egui::Theme::Dark, app)
}

fn label<S>(h: &Harness<'_, S>, part: &str) -> String {
    h.get_by_label_contains(part).accesskit_node().label().unwrap_or_default()
}

fn at(r: Rect, x: f32, y: f32) -> Pos2 {
    pos2(r.left() + x * r.width(), r.top() + y * r.height())
}

fn choose(h: &mut View, combo: &str, option: &str) {
    // What the row has no room for stands behind one button, its options open.
    let inside = h.query_by_label(combo).is_none();
    h.get_by_label(if inside { "Scale and order" } else { combo }).click();
    h.run_steps(3);
    h.get_by_label(option).click();
    h.run_steps(2);
    if inside {
        h.key_press(Key::Escape);
        h.run_steps(2);
    }
    // The option lay over the map, which would read out what is now under the pointer.
    h.hover_at(pos2(2.0, 2.0));
    h.run_steps(4);
}

/// The largest neuron of a layer.
fn largest(grid: &Grid, layer: usize) -> Neuron {
    let row = grid.row(layer);
    let i = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("cells");
    Neuron::new(layer as u32, i as u32)
}

#[test]
fn a_sorted_map_still_speaks_of_true_neurons() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    choose(&mut h, "Order of neurons", "by relevance of arithmetic");
    testing::settle(&mut h.state_mut().app);
    h.run_steps(3);
    let said = label(&h, "Map of relevance");
    assert!(said.ends_with("sorted by relevance of arithmetic"), "{said}");
    let map = relevance(&h.state().app, "arithmetic");
    let top = largest(&map, 3);
    let r = h.get_by_label_contains("Map of relevance").rect();
    h.hover_at(at(r, 0.5 / 512.0, 3.5 / 8.0));
    h.run_steps(3);
    let said = label(&h, "Map of relevance");
    assert!(said.contains(&format!("layer 3, neuron {}, ", top.index)) && said.ends_with(" nat"), "{said}, largest {top}");
    h.key_press(Key::Space);
    h.run_steps(3);
    assert_eq!(h.state().app.project.off(), NeuronSet::from_iter([top]));
    assert!(label(&h, "Map of relevance").ends_with("ablated"));
    // The neighbour in the picture is the second largest.
    h.key_press(Key::ArrowRight);
    h.run_steps(2);
    h.hover_at(pos2(2.0, 2.0));
    h.run_steps(3);
    let mut row: Vec<f32> = map.row(3).to_vec();
    row.sort_by(|a, b| b.total_cmp(a));
    let second = map.row(3).iter().position(|v| *v == row[1]).expect("second");
    assert!(label(&h, "Map of relevance").contains(&format!("layer 3, neuron {second}, ")), "{}", label(&h, "Map of relevance"));
}

#[test]
fn the_percentile_of_a_clipped_scale_is_chosen_and_shown_in_the_colour_bar() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    assert!(h.query_by_label("Percentile of the clip").is_none(), "only where it is used");
    h.get_by_label("clipped").click();
    h.run_steps(3);
    assert!(label(&h, "Colour bar").contains("clipped at the 99.9th percentile"));
    h.state_mut().app.apply(Command::ChangeMap { change: MapChange::Percentile(95.0) });
    h.run_steps(3);
    assert!(label(&h, "Colour bar").contains("clipped at the 95th percentile"));
    h.state_mut().app.apply(Command::Undo);
    h.run_steps(3);
    assert!(label(&h, "Colour bar").contains("99.9th"));
}

#[test]
fn layers_can_have_a_scale_of_their_own_and_the_bar_says_so() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    choose(&mut h, "Scale within layers", "layer rank");
    assert!(label(&h, "Colour bar").contains("rank within the layer, 0 to 1"));
    let top = largest(&relevance(&h.state().app, "arithmetic"), 5);
    let r = h.get_by_label_contains("Map of relevance").rect();
    h.hover_at(at(r, (top.index as f32 + 0.5) / 512.0, 5.5 / 8.0));
    h.run_steps(3);
    let said = label(&h, "Map of relevance");
    assert!(said.contains(" nat, 1.00 rank within the layer"), "both the value and its rank: {said}");
}

#[test]
fn two_domains_are_compared_by_difference_ratio_and_rank() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    choose(&mut h, "Minus domain", "logic");
    assert!(label(&h, "Colour bar").contains("arithmetic − logic (nat)"), "{}", label(&h, "Colour bar"));
    choose(&mut h, "How they are compared", "over: ratio, as log2");
    assert!(label(&h, "Colour bar").contains("arithmetic ÷ logic (log2)"), "{}", label(&h, "Colour bar"));
    let (a, b) = (relevance(&h.state().app, "arithmetic"), relevance(&h.state().app, "logic"));
    let r = h.get_by_label_contains("Map of relevance").rect();
    h.hover_at(at(r, 100.5 / 512.0, 3.5 / 8.0));
    h.run_steps(3);
    let said = label(&h, "Map of relevance");
    let spoken: f64 = said.rsplit(", ").next().and_then(|v| v.strip_suffix(" log2")).and_then(|v| v.parse().ok()).expect(&said);
    let want = (f64::from(a.get(3, 100).expect("cell")) / f64::from(b.get(3, 100).expect("cell"))).log2();
    // Three significant digits.
    assert!((spoken - want).abs() <= want.abs() * 5e-3 + 1e-9, "{spoken} {want}");
    choose(&mut h, "How they are compared", "rank minus rank");
    assert!(label(&h, "Colour bar").contains("(percentile points)"), "{}", label(&h, "Colour bar"));
}

#[test]
fn the_map_folds_into_layers_and_a_click_unfolds_it() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    choose(&mut h, "Collapse the map to", "layers");
    let said = label(&h, "Map of relevance");
    assert!(said.contains("8 layers of 6 columns"), "{said}");
    h.get_by_label("sum").click();
    h.run_steps(3);
    let r = h.get_by_label_contains("Map of relevance").rect();
    // Third of six columns: sentiment.
    h.hover_at(at(r, 2.5 / 6.0, 4.5 / 8.0));
    h.run_steps(3);
    let said = label(&h, "Map of relevance");
    let want: f64 = relevance(&h.state().app, "sentiment").row(4).iter().map(|v| f64::from(*v)).sum();
    let spoken: f64 = said.rsplit(", ").next().and_then(|v| v.strip_suffix(" nat")).and_then(|v| v.parse().ok()).expect(&said);
    assert!(said.contains("layer 4, sentiment") && (spoken / want - 1.0).abs() < 5e-3, "{said}, {want}");
    h.drag_at(at(r, 2.5 / 6.0, 4.5 / 8.0));
    h.run_steps(1);
    h.drop_at(at(r, 2.5 / 6.0, 4.5 / 8.0));
    h.run_steps(3);
    let view = &h.state().app.project.view;
    assert_eq!((view.domain.as_deref(), view.map.collapse), (Some("sentiment"), Collapse::Neurons));
    // No heads were measured in this run, so none are offered.
    h.get_by_label("Scale and order").click();
    h.run_steps(3);
    assert!(h.get_by_label("heads").accesskit_node().is_disabled());
}

#[test]
fn a_head_that_is_clicked_is_switched_off_and_shown_in_the_inspector() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let mut output = testing::sample_output(8, 512, 0);
    for d in &mut output.domains {
        d.head_relevance = Grid::new(8, 4, (0..32).map(|i| i as f32).collect::<Vec<f32>>()).ok();
    }
    app.library.runs[0].output = Arc::new(output);
    change(&mut app, MapChange::Collapse(Collapse::Heads));
    let mut h = neurons(app);
    let p = at(h.get_by_label_contains("Map of relevance").rect(), 1.5 / 4.0, 3.5 / 8.0);
    h.hover_at(p);
    h.run_steps(2);
    h.drag_at(p);
    h.run_steps(1);
    h.drop_at(p);
    h.run_steps(3);
    let head = Head { layer: 3, index: 1 };
    assert_eq!(h.state().app.project.heads.iter().copied().collect::<Vec<_>>(), [head]);
    assert_eq!(h.state().link.focus_head, Some(head));
}

#[test]
fn pinned_layers_stay_at_the_top() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    change(&mut app, MapChange::Pin { layer: 6, on: true });
    change(&mut app, MapChange::Pin { layer: 1, on: true });
    let mut h = neurons(app);
    let r = h.get_by_label_contains("Map of relevance").rect();
    for (i, layer) in [1, 6].into_iter().enumerate() {
        h.hover_at(pos2(r.left() + 10.0, r.top() + 8.0 + 16.0 * i as f32));
        h.run_steps(3);
        assert!(label(&h, "Map of relevance").contains(&format!("layer {layer}, ")), "{}", label(&h, "Map of relevance"));
    }
}

#[test]
fn the_table_lists_sorts_filters_and_selects() {
    let dir = folder();
    let mut h = neurons(testing::sample_app(dir.path()));
    h.get_by_label("Show the neurons as a table").click();
    h.run_steps(3);
    h.get_by_label("Select 4,096 neurons");
    // The domain's name stands in the head and in the choice above it.
    let head = h.get_all_by_label("logic").last().expect("a column").rect().center();
    h.hover_at(head);
    h.run_steps(1);
    h.drag_at(head);
    h.run_steps(1);
    h.drop_at(head);
    h.run_steps(3);
    let map = relevance(&h.state().app, "logic");
    let best = NeuronSet::top_count(&map, 1).iter().next().expect("one");
    let rect = h.get_by_label(&best.to_string()).rect();
    assert!(rect.top() < h.get_by_label_contains("Select 4,096").rect().bottom() + 70.0, "the largest stands first: {rect:?}");
    h.get_by_label("Filter neurons").focus();
    h.run_steps(2);
    h.get_by_label("Filter neurons").type_text("L2-3");
    h.run_steps(4);
    h.get_by_label("Select 1,024 neurons").click();
    h.run_steps(3);
    let selection = &h.state().app.project.view.selection;
    assert_eq!((selection.len(), selection.layers().collect::<Vec<_>>()), (1024, vec![2, 3]));
}

fn window(app: App, layout: LayoutId) -> Harness<'static, Shell> {
    let mut h = builder((1440.0, 900.0), egui::Theme::Dark).build_eframe(|cc| {
        let mut shell = Shell::new(cc, app);
        shell.dock.active = layout;
        shell
    });
    h.run();
    h
}

#[test]
fn neurons_are_found_by_rank_number_and_range() {
    let dir = folder();
    let mut h = window(testing::sample_app(dir.path()), LayoutId::Explore);
    let best = NeuronSet::top_count(&relevance(&h.state().app, "arithmetic"), 1);
    for (text, want) in [("top 1", best), ("L2N10-19", NeuronSet::parse("L2N10-19").expect("set"))] {
        h.key_press_modifiers(Modifiers::COMMAND, Key::F);
        h.run();
        h.get_by_label("Find a neuron").type_text(text);
        h.run();
        h.key_press(Key::Enter);
        // The neuron flashes for a while; the window asks for frames until then.
        h.run_steps(8);
        assert_eq!(h.state().app.project.view.selection, want, "{text}");
    }
    h.key_press_modifiers(Modifiers::COMMAND, Key::F);
    h.run_steps(3);
    h.get_by_label("Find a neuron").type_text("L99N1");
    h.run_steps(3);
    h.get_by_label_contains("layers 0 to 7");
}

fn maps(app: App, size: (f32, f32)) -> View {
    bench("maps", size, egui::Theme::Dark, app)
}

fn all_maps(h: &View) -> Vec<String> {
    h.query_all_by_label_contains("Map of ").map(|n| n.accesskit_node().label().unwrap_or_default()).collect()
}

#[test]
fn all_domains_stand_beside_each_other_with_one_window_and_one_pointer() {
    let dir = folder();
    let mut h = maps(testing::sample_app(dir.path()), (1100.0, 640.0));
    assert_eq!(all_maps(&h).len(), 6);
    assert_eq!(h.get_all_by_label_contains("Colour bar").count(), 1, "one range, one bar");
    let first = h.get_all_by_label_contains("Map of ").next().expect("map").rect();
    h.hover_at(at(first, 300.5 / 512.0, 5.5 / 8.0));
    h.run_steps(2);
    let wheel = |h: &mut View| {
        h.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: egui::vec2(0.0, 300.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        h.run_steps(14);
    };
    wheel(&mut h);
    // The same place in another map is the same neuron: its window followed.
    let third = h.get_all_by_label_contains("Map of ").nth(2).expect("map").rect();
    h.hover_at(at(third, 0.5 / 512.0, 5.5 / 8.0));
    h.run_steps(3);
    let said = all_maps(&h)[2].clone();
    assert!(said.contains("relevance of sentiment: layer 5, neuron ") && !said.contains("neuron 0, "), "zoomed along: {said}");
    // Unlinked, the others stay.
    h.get_by_label("Link the maps' view").click();
    h.run_steps(3);
    assert!(h.state().app.project.view.map.own_view);
    h.hover_at(at(first, 0.5, 5.5 / 8.0));
    h.run_steps(2);
    h.key_press(Key::Home);
    h.run_steps(4);
    h.hover_at(at(third, 0.5 / 512.0, 5.5 / 8.0));
    h.run_steps(3);
    assert!(!all_maps(&h)[2].contains("neuron 0, "), "still zoomed: {}", all_maps(&h)[2]);
    h.get_by_label("Link the maps' range").click();
    h.run_steps(3);
    assert_eq!(h.get_all_by_label_contains("Colour bar").count(), 6, "each map its own range");
}

#[test]
fn a_map_is_compared_removed_and_taken_back() {
    let dir = folder();
    let mut h = maps(testing::sample_app(dir.path()), (1100.0, 640.0));
    h.get_by_label("Remove map 6").click();
    h.run_steps(3);
    assert_eq!(all_maps(&h).len(), 5);
    h.get_by_label("Compare map 2 with another").click();
    h.run_steps(3);
    assert!(all_maps(&h)[1].contains("relevance of logic minus arithmetic"), "{:?}", all_maps(&h));
    h.state_mut().app.apply(Command::Undo);
    h.state_mut().app.apply(Command::Undo);
    h.run_steps(3);
    assert_eq!(all_maps(&h).len(), 6);
    h.get_by_label("Remove map 1").click();
    h.run_steps(3);
    h.get_by_label("all domains").click();
    h.run_steps(3);
    assert_eq!(all_maps(&h).len(), 6);
}

#[test]
fn linked_maps_of_one_kind_share_a_range_beside_those_of_another() {
    let dir = folder();
    let mut h = maps(testing::sample_app(dir.path()), (1100.0, 640.0));
    h.get_by_label("Compare map 2 with another").click();
    h.run_steps(3);
    let bars = |h: &View| -> Vec<String> {
        let all = h.get_all_by_label_contains("Colour bar");
        all.map(|n| n.accesskit_node().label().unwrap_or_default()).collect()
    };
    let range = |bar: &str| bar.split_once("(nat), ").expect(bar).1.to_owned();
    let linked: Vec<String> = bars(&h).iter().map(|b| range(b)).collect();
    assert_eq!(linked.len(), 6, "two kinds: each map has a bar");
    assert!([2, 3, 4, 5].iter().all(|i| linked[*i] == linked[0]), "five of one kind: {linked:?}");
    assert_ne!(linked[1], linked[0], "the difference has its own");
    h.get_by_label("Link the maps' range").click();
    h.run_steps(3);
    let own: Vec<String> = bars(&h).iter().map(|b| range(b)).collect();
    assert!([2, 3, 4, 5].iter().any(|i| own[*i] != own[0]), "{own:?}");
}

#[test]
fn the_value_of_the_pointed_neuron_is_said_by_every_map() {
    let dir = folder();
    let mut h = maps(testing::sample_app(dir.path()), (1100.0, 640.0));
    let first = h.get_all_by_label_contains("Map of ").next().expect("map").rect();
    h.hover_at(at(first, 100.5 / 512.0, 3.5 / 8.0));
    h.run_steps(4);
    let said = all_maps(&h);
    for (i, domain) in ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"].into_iter().enumerate() {
        let value = f64::from(relevance(&h.state().app, domain).get(3, 100).expect("cell"));
        let want = format!("Map of relevance of {domain}: layer 3, neuron 100, {} nat", brodmann::base::number::sig3(value));
        assert_eq!(said[i], want);
    }
}

#[test]
fn in_a_narrow_head_one_button_says_what_is_compared_and_how() {
    let dir = folder();
    let mut h = maps(testing::sample_app(dir.path()), (500.0, 640.0));
    h.get_by_label("Compare map 2 with another").click();
    h.run_steps(3);
    h.get_by_label("What map 2 compares").click();
    h.run_steps(3);
    h.get_by_label("over: ratio, as log2").click();
    h.run_steps(3);
    let cell = &h.state().app.project.view.map.cells[1];
    assert_eq!(cell.combine, Combine::Ratio);
    assert!(all_maps(&h)[1].contains("logic over arithmetic"), "{:?}", all_maps(&h));
}

/// The sample with a second run of another seed and model.
fn two_runs(dir: &Path, layers: usize) -> App {
    let mut app = testing::sample_app(dir);
    let mut output = testing::sample_output(layers, 512, 7);
    output.provenance.model = "demo-tuned".into();
    output.provenance.model_sha256 = "7c".repeat(32);
    app.library.runs.push(RunEntry { name: "run 2".into(), path: None, output: Arc::new(output), samples: None });
    app
}

#[test]
fn two_models_of_one_shape_give_delta_maps() {
    let dir = folder();
    let mut h = maps(two_runs(dir.path(), 8), (1100.0, 640.0));
    choose(&mut h, "Run B", "run 2, demo-tuned 7c7c7c7c");
    assert!(h.query_by_label_contains("A: run 1, demo 5a5a5a5a").is_some());
    h.get_by_label("Delta maps").click();
    h.run_steps(3);
    let all = all_maps(&h);
    assert_eq!(all.len(), 6);
    assert!(all[0].contains("relevance of arithmetic B minus arithmetic A"), "{all:?}");
    let rect = h.get_all_by_label_contains("Map of ").next().expect("map").rect();
    h.hover_at(at(rect, 100.5 / 512.0, 3.5 / 8.0));
    h.run_steps(3);
    let said = all_maps(&h)[0].clone();
    let cell = |i: usize| h.state().app.library.runs[i].output.domains[0].relevance.as_ref().and_then(|g| g.get(3, 100)).expect("cell");
    let want = f64::from(cell(1) - cell(0));
    let spoken: f64 = said.rsplit(", ").next().and_then(|v| v.strip_suffix(" nat")).and_then(|v| v.parse().ok()).expect(&said);
    assert!((spoken - want).abs() <= want.abs() * 5e-3, "{spoken} {want}");
}

#[test]
fn models_of_two_shapes_say_why_they_cannot_be_compared() {
    let dir = folder();
    let mut h = maps(two_runs(dir.path(), 6), (1100.0, 640.0));
    choose(&mut h, "Run B", "run 2, demo-tuned 7c7c7c7c");
    h.get_by_label("Delta maps").click();
    h.run_steps(3);
    assert!(all_maps(&h).is_empty());
    let said = h.get_all_by_label_contains("only models of one shape").next().and_then(|n| n.accesskit_node().value()).expect("a message");
    assert!(said.contains("6 layers of 512 neurons") && said.contains("8 layers of 512 neurons"), "{said}");
}

#[test]
fn an_export_carries_the_order() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let spec = brodmann::report::export::ExportSpec {
        kind: brodmann::report::export::FileKind::Csv,
        domains: vec!["logic".into()],
        order: by_value("logic"),
        ..Default::default()
    };
    let path = dir.path().join("n.csv");
    app.apply(Command::Export { spec: spec.clone(), path: path.clone() });
    testing::settle(&mut app);
    let text = std::fs::read_to_string(&path).expect("file");
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(rows[0].last(), Some(&"place"));
    let map = relevance(&app, "logic");
    let top = largest(&map, 2);
    let row = rows.iter().find(|r| r[1] == "2" && r[3] == top.index.to_string()).expect("row");
    assert_eq!(row[9], "0", "the largest of a layer has place 0");
    assert_eq!(rows.len(), 1 + 8 * 512);
    let svg = dir.path().join("n.svg");
    let spec = brodmann::report::export::ExportSpec { kind: brodmann::report::export::FileKind::Svg, ..spec };
    app.apply(Command::Export { spec, path: svg.clone() });
    testing::settle(&mut app);
    assert!(std::fs::read_to_string(&svg).expect("file").contains("place of the neuron in its layer, sorted by relevance of logic"));
}

/// Draws a panel in both themes and compares with the committed pictures.
fn pictures(r: &mut SnapshotResults, name: &str, panel: &str, size: (f32, f32), app: impl Fn(&Path) -> App, act: impl Fn(&mut View)) {
    let dir = folder();
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let mut h = bench(panel, size, theme, app(dir.path()));
        act(&mut h);
        h.run_steps(3);
        h.snapshot(format!("panel_{name}_{suffix}"));
        r.extend_harness(&mut h);
    }
}

#[test]
fn maps_look_right() {
    let r = &mut SnapshotResults::new();
    let sorted = |dir: &Path| {
        let mut app = testing::sample_app_ablated(dir);
        change(&mut app, MapChange::Order(by_value("arithmetic")));
        change(&mut app, MapChange::Pin { layer: 5, on: true });
        app.apply(Command::SetMapScale { scale: MapScale::Clipped });
        change(&mut app, MapChange::Percentile(99.0));
        app
    };
    pictures(r, "neurons_sorted", "neurons", (720.0, 420.0), sorted, |_| {});
    let ranks = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        app.apply(Command::ShowDomain { domain: Some("logic".into()), minus: Some("facts".into()) });
        app.apply(Command::SetMapScale { scale: MapScale::Linear });
        change(&mut app, MapChange::Combine(Combine::RankDifference));
        change(&mut app, MapChange::Order(NeuronOrder::Profile { metric: MetricKind::Relevance }));
        app
    };
    pictures(r, "neurons_rank_clustered", "neurons", (720.0, 420.0), ranks, |_| {});
    let per_layer = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        change(&mut app, MapChange::PerLayer(PerLayer::Max));
        app
    };
    pictures(r, "neurons_per_layer", "neurons", (560.0, 380.0), per_layer, |_| {});
    let layers = |dir: &Path| {
        let mut app = testing::sample_app(dir);
        change(&mut app, MapChange::Collapse(Collapse::Layers));
        change(&mut app, MapChange::Reduce(Reduce::ShareOnTop));
        app
    };
    pictures(r, "neurons_layers", "neurons", (640.0, 380.0), layers, |_| {});
    let table = |h: &mut View| {
        h.get_by_label("Show the neurons as a table").click();
        h.run_steps(3);
    };
    pictures(r, "neurons_table", "neurons", (760.0, 380.0), testing::sample_app_ablated, table);
    pictures(r, "maps", "maps", (1100.0, 640.0), testing::sample_app, |_| {});
    pictures(r, "neurons_small", "neurons", (398.0, 330.0), testing::sample_app_ablated, |h| {
        h.state_mut().app.apply(Command::SelectNeurons { neurons: (0..400).map(|i| Neuron::new(3, i)).collect() });
        h.run_steps(2);
        h.get_by_label("Scale and order").click();
        h.run_steps(3);
    });
    pictures(r, "neurons_table_narrow", "neurons", (460.0, 380.0), testing::sample_app_ablated, table);
    pictures(r, "maps_narrow", "maps", (420.0, 700.0), testing::sample_app, |_| {});
    let compared = |h: &mut View| {
        h.get_by_label("Compare map 2 with another").click();
        h.run_steps(3);
        let rect = h.get_all_by_label_contains("Map of ").last().expect("map").rect();
        h.hover_at(at(rect, 0.6, 0.9));
        h.run_steps(3);
    };
    pictures(r, "maps_mixed", "maps", (500.0, 640.0), testing::sample_app, compared);
    let delta = |dir: &Path| {
        let mut app = two_runs(dir, 8);
        change(&mut app, MapChange::OtherRun(Some("run 2".into())));
        app.apply(Command::SetMapScale { scale: MapScale::Log });
        app
    };
    let press = |h: &mut View| {
        h.get_by_label("Delta maps").click();
        h.run_steps(3);
        let rect = h.get_all_by_label_contains("Map of ").nth(1).expect("map").rect();
        h.hover_at(at(rect, 0.4, 0.5));
    };
    pictures(r, "maps_delta", "maps", (1100.0, 640.0), delta, press);
    let other_shape = |dir: &Path| {
        let mut app = two_runs(dir, 6);
        change(&mut app, MapChange::OtherRun(Some("run 2".into())));
        app
    };
    let press = |h: &mut View| {
        h.get_by_label("Delta maps").click();
        h.run_steps(3);
    };
    pictures(r, "maps_two_shapes", "maps", (800.0, 420.0), other_shape, press);
    pictures(r, "maps_empty", "maps", (420.0, 260.0), testing::for_tests, |_| {});
}

/// Widths of the panel in the window's layouts at 1280 x 720.
const SMALL: [f32; 3] = [398.0, 436.0, 470.0];

#[test]
fn a_small_panel_keeps_its_controls_in_two_rows() {
    let dir = folder();
    for width in SMALL {
        for minus in [None, Some("sentiment".to_owned())] {
            let mut app = testing::sample_app(dir.path());
            app.apply(Command::ShowDomain { domain: Some("arithmetic".into()), minus });
            app.apply(Command::SelectNeurons { neurons: (0..400).map(|i| Neuron::new(3, i)).collect() });
            let h = bench("neurons", (width, 330.0), egui::Theme::Dark, app);
            let map = h.get_by_label_contains("Map of relevance").rect();
            // Two rows of 28 points, the spaces between and the panel's margin.
            let names = ["Metric", "Domain", "Minus domain", "Scale and order", "Show the neurons as a table", "Select", "400 selected"];
            let rects: Vec<Rect> = names.iter().map(|n| h.get_by_label(n).rect()).collect();
            assert!(map.top() <= 12.0 + 2.0 * 28.0 + 2.0 * 8.0 + 4.0, "{width}: the map begins at {}, {rects:?}", map.top());
            for (name, r) in names.iter().zip(&rects) {
                assert!(r.right() <= width && r.bottom() <= map.top(), "{width}: {name} at {r:?}");
            }
            let maps = bench("maps", (width, 330.0), egui::Theme::Dark, testing::sample_app(dir.path()));
            let first = maps.get_by_label("Domain of map 1").rect();
            assert!(first.top() <= 84.0, "{width}: the first map's head is at {}", first.top());
        }
    }
}

#[test]
fn what_a_small_row_hides_is_one_button_away() {
    let dir = folder();
    let mut h = bench("neurons", (398.0, 420.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    choose(&mut h, "Linear", "clipped");
    choose(&mut h, "Scale within layers", "layer rank");
    choose(&mut h, "Order of neurons", "clustered by relevance");
    testing::settle(&mut h.state_mut().app);
    choose(&mut h, "Minus domain", "logic");
    choose(&mut h, "How they are compared", "over: ratio, as log2");
    let view = &h.state().app.project.view;
    assert_eq!((view.scale, view.map.per_layer, view.map.combine), (MapScale::Clipped, PerLayer::Rank, Combine::Ratio));
    assert_eq!(view.map.order, NeuronOrder::Profile { metric: MetricKind::Relevance });
    choose(&mut h, "Collapse the map to", "layers");
    assert_eq!(h.state().app.project.view.map.collapse, Collapse::Layers);
    let mut h = maps(testing::sample_app(dir.path()), (420.0, 500.0));
    choose(&mut h, "Links", "Link the maps' range");
    assert!(h.state().app.project.view.map.own_range);
}

#[test]
fn the_selection_of_a_small_panel_is_kept_or_emptied_from_one_button() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let neurons: NeuronSet = (0..40).map(|i| Neuron::new(2, i)).collect();
    app.apply(Command::SelectNeurons { neurons: neurons.clone() });
    let mut h = bench("neurons", (398.0, 330.0), egui::Theme::Dark, app);
    h.get_by_label("40 selected").click();
    h.run_steps(3);
    h.get_by_label("Make set, off").click();
    h.run_steps(3);
    assert_eq!(h.state().app.project.off(), neurons);
    h.get_by_label("40 selected").click();
    h.run_steps(3);
    h.get_by_label("Clear").click();
    h.run_steps(3);
    assert!(h.state().app.project.view.selection.is_empty());
}

#[test]
fn a_narrow_table_shows_whole_columns_and_the_way_to_the_others() {
    let dir = folder();
    let mut h = bench("neurons", (460.0, 380.0), egui::Theme::Dark, testing::sample_app(dir.path()));
    h.get_by_label("Show the neurons as a table").click();
    h.run_steps(3);
    let heads = |h: &View| -> Vec<String> {
        let names = ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"];
        let filter = h.get_by_label("Filter neurons").rect().bottom();
        let below =
            |n: &&&str| h.query_all_by_label(n).any(|x| x.rect().top() > filter && x.rect().left() >= 0.0 && x.rect().right() <= 460.0);
        names.iter().filter(below).map(|n| (*n).to_owned()).collect()
    };
    assert_eq!(heads(&h), ["arithmetic", "logic", "sentiment"]);
    h.get_by_label("columns 1 to 3 of 6");
    h.get_by_label("Next columns").click();
    h.run_steps(3);
    assert_eq!(heads(&h), ["facts", "code", "agreement"]);
    // The names stay, and what was sorted by a hidden column stays sorted.
    h.get_by_label("L0N0");
    h.get_by_label("Columns before").click();
    h.run_steps(3);
    assert_eq!(heads(&h), ["arithmetic", "logic", "sentiment"]);
    // The wheel turned sideways moves by columns.
    let row = h.get_by_label("L0N3").rect();
    h.hover_at(row.center());
    h.run_steps(2);
    h.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        delta: egui::vec2(-70.0, 0.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    h.run_steps(20);
    assert_eq!(heads(&h), ["logic", "sentiment", "facts"]);
}

#[test]
fn a_second_run_that_cannot_be_opened_says_why_and_is_asked_for_again() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    let path = dir.path().join("tuned");
    change(&mut app, MapChange::OtherRun(Some(path.clone())));
    let one = |side| brodmann::app::MapCell {
        metric: MetricKind::Relevance,
        of: brodmann::app::Operand { side, domain: "logic".into() },
        against: None,
        combine: Combine::Difference,
    };
    change(&mut app, MapChange::Cells(vec![one(brodmann::app::Side::A), one(brodmann::app::Side::B)]));
    let mut h = maps(app, (900.0, 420.0));
    assert!(h.query_by_label_contains("Run B could not be opened: ").is_some());
    let before = h.state().app.jobs.len();
    h.get_by_label("Open it again").click();
    h.run_steps(3);
    assert_eq!(h.state().app.jobs.len(), before + 1, "one more attempt");
}

#[test]
fn every_control_of_the_maps_has_a_name() {
    let dir = folder();
    let h = maps(testing::sample_app(dir.path()), (1100.0, 640.0));
    for name in ["Metric", "Scale within layers", "Order of neurons", "Run B", "Add a map", "Domain of map 1", "Metric of map 1"] {
        assert!(h.query_by_label(name).is_some(), "{name}");
    }
    assert!(h.get_all_by_role(Role::ComboBox).all(|n| n.accesskit_node().label().is_some_and(|l| !l.is_empty())));
}
