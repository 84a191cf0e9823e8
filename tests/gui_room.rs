//! The room of a window is used: a very large one shows more at once, and in a small one what matters keeps its place.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/window.rs"]
mod support;

use bench::folder;
use brodmann::{
    app::{App, testing, testing_jobs, testing_lessons, testing_tasks, testing_tuning},
    gui::{LEAST_SIZE, dock::LayoutId},
};
use eframe::egui::{self, Rect, Shape};
use egui_kittest::kittest::{NodeT as _, Queryable};
use support::{Window, press, sees, window_of};

const SMALL: (f32, f32) = (1280.0, 720.0);
/// 1280 by 720 at an interface scale of 125 %.
const SMALL_AT_125: (f32, f32) = (SMALL.0 / 1.25, SMALL.1 / 1.25);
const LARGE: (f32, f32) = (1920.0, 1080.0);
const VERY_LARGE: (f32, f32) = (3840.0, 2160.0);

fn shown(app: App, size: (f32, f32), layout: LayoutId, panel: &str) -> Window {
    let mut h = window_of(app, size, egui::Theme::Dark);
    h.state_mut().dock.active = layout;
    h.state_mut().dock.show_panel(panel);
    h.run_steps(4);
    h
}

/// Where the first thing stands whose name has these words.
fn place(h: &Window, words: &str) -> Rect {
    let Some(node) = h.query_all_by_label_contains(words).next() else { panic!("there is no `{words}`") };
    node.rect()
}

/// Text that is painted, whether it has a name or not.
fn texts(h: &Window) -> Vec<egui::epaint::TextShape> {
    fn among(shape: &Shape, found: &mut Vec<egui::epaint::TextShape>) {
        match shape {
            Shape::Text(t) => found.push(t.clone()),
            Shape::Vec(parts) => parts.iter().for_each(|part| among(part, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    h.output().shapes.iter().for_each(|s| among(&s.shape, &mut found));
    found
}

fn written(h: &Window) -> Vec<String> {
    texts(h).iter().map(|t| t.galley.text().to_owned()).collect()
}

/// What stands behind tabs in a large window has a place of its own in a very large one, and goes back behind them.
#[test]
fn a_very_large_window_shows_more_panels_at_once() {
    let dir = folder();
    let all = [
        (LayoutId::Explore, "neurons", ["scan", "domains", "sets", "lens", "similarity", "overlap"].as_slice()),
        (LayoutId::Compare, "maps", &["maps", "neurons", "density", "similarity", "overlap"]),
        (LayoutId::Ablate, "ablation", &["ablation", "neurons", "prediction", "sweep", "overlap", "sets"]),
        (LayoutId::Tasks, "tasks", &["tasks", "neurons", "overlap", "similarity", "sets", "domains"]),
    ];
    for (layout, front, panels) in all {
        let mut h = shown(testing::sample_app_ablated(dir.path()), LARGE, layout, front);
        let seen = |h: &Window| panels.iter().filter(|p| h.state().dock.shows(p)).count();
        let before = h.state().dock.arrangement();
        assert!(seen(&h) < panels.len(), "{layout:?}");
        h.set_size(VERY_LARGE.into());
        h.run_steps(4);
        assert_eq!(seen(&h), panels.len(), "{layout:?}");
        assert!(h.state().app.undo_label().is_none_or(|l| !l.contains("arrange")), "a window's size is no change of the project");
        h.set_size(LARGE.into());
        h.run_steps(4);
        assert!(h.state().dock.arrangement() == before && h.state().dock.shows(front), "{layout:?}");
    }
}

#[test]
fn outcomes_and_charts_stand_beside_each_other_in_a_very_large_window() {
    let dir = folder();
    let beside = |app, tab: &str, left: &str, right: &str| {
        let mut h = shown(app, VERY_LARGE, LayoutId::Tasks, "tasks");
        press(&mut h, tab);
        let (left, right) = (place(&h, left), place(&h, right));
        assert!(left.right() <= right.left() && right.top() < left.bottom(), "{tab}: {left} and {right}");
    };
    let tuned = testing_tuning::sample_app_tuned(dir.path(), brodmann::tune::Ended::Finished);
    beside(tuned, "Train", "the weights of step", "arithmetic: accuracy before");
    beside(testing_lessons::sample_app_transfer(dir.path(), 1.0), "Generalise", "Pairs of tasks", "Correlation by layer");
    beside(testing_tasks::sample_app_found(dir.path(), 6), "overlap", "arithmetic and logic: 0.", "Neurons of every task by layer");
}

/// More of the selection is read where the inspector is high enough.
#[test]
fn selected_neurons_are_listed_with_their_values() {
    let dir = folder();
    let mut app = testing::sample_app(dir.path());
    app.apply(brodmann::app::Command::SelectNeurons { neurons: testing::sample_set() });
    let first = testing::sample_set().iter().next().expect("a neuron");
    let h = shown(app, LARGE, LayoutId::Ablate, "ablation");
    assert!(sees(&h, &format!("{first}: arithmetic 0.")));
}

#[test]
fn charts_of_task_neurons_fill_a_very_large_window() {
    let dir = folder();
    let at = |size| {
        let h = shown(testing_tasks::sample_app_found(dir.path(), 6), size, LayoutId::Tasks, "tasks");
        let chips = h
            .query_all_by_label_contains("L")
            .filter(|n| n.accesskit_node().label().is_some_and(|l| l.starts_with('L') && l.contains('N')))
            .count();
        (place(&h, "Neurons by layer").height(), chips)
    };
    let (large, very_large) = (at(LARGE), at(VERY_LARGE));
    assert!(very_large.0 > 500.0 && very_large.0 > 1.8 * large.0, "{} of 2160 points, {} of 1080", very_large.0, large.0);
    assert!(very_large.1 >= 150 && large.1 >= 24, "{} and {} neurons are listed", very_large.1, large.1);
}

#[test]
fn every_method_of_a_sequence_is_seen_where_there_is_room() {
    let dir = folder();
    let at = |size| {
        let mut h = shown(testing_lessons::sample_app_continual(dir.path(), 1.0), size, LayoutId::Tasks, "tasks");
        press(&mut h, "Continual");
        let of = |method: &str| h.query_all_by_label(&format!("Accuracy after each task, {method}")).map(|n| n.rect()).next();
        (of("sequential, full"), of("sequential, LoRA"), of("W-NCFT"))
    };
    let (first, second, other) = at(VERY_LARGE);
    let (first, second) = (first.expect("one"), second.expect("beside it"));
    assert!(first.top() == second.top() && first.right() < second.left() && other.is_some());
    let (first, second, _) = at(SMALL);
    assert!(first.is_some() && second.is_none(), "one at a time");
}

#[test]
fn rows_and_cells_grow_in_a_very_large_window() {
    let dir = folder();
    let at = |size| {
        let h = shown(testing::sample_app_ablated(dir.path()), size, LayoutId::Ablate, "ablation");
        let row = place(&h, "arithmetic: accuracy before").height();
        let h = shown(testing::sample_app(dir.path()), size, LayoutId::Compare, "similarity");
        (row, place(&h, "arithmetic and logic: 0.").width())
    };
    assert_eq!(at(LARGE).0, 30.0);
    let (row, cell) = at(VERY_LARGE);
    assert!(row > 45.0 && cell > 76.0, "rows of {row}, cells of {cell}");
}

#[test]
fn a_small_screen_holds_the_window_at_a_large_scale() {
    assert!(LEAST_SIZE[0] <= SMALL_AT_125.0 && LEAST_SIZE[1] <= SMALL_AT_125.1, "{LEAST_SIZE:?}");
}

/// A bar that is too short for a name along it has it beside it.
#[test]
fn colour_bars_of_small_matrices_are_named() {
    let dir = folder();
    let h = shown(testing::sample_app(dir.path()), SMALL_AT_125, LayoutId::Compare, "similarity");
    let written = written(&h);
    let names = |word: &str| written.iter().any(|t| t.ends_with(word) && t.len() < 16);
    assert!(names("LLMDcos") && names("Jaccard"), "{written:?}");
}

#[test]
fn a_small_map_keeps_its_layers_and_its_colour_bar() {
    let dir = folder();
    let mut app = testing::sample_app_ablated(dir.path());
    app.apply(brodmann::app::Command::SelectNeurons { neurons: testing::sample_set() });
    let mut h = shown(app, SMALL_AT_125, LayoutId::Tasks, "neurons");
    let bar = place(&h, "Colour bar: Relevance");
    assert!(bar.bottom() <= 576.0 - 26.0, "the colour bar ends above the status bar: {bar}");
    // What the row has no room for is behind one button.
    assert!(h.query_by_label("Top percent of neurons").is_none());
    h.get_by_label("Top neurons").click();
    h.run_steps(4);
    assert!(h.query_by_label("Top percent of neurons").is_some() && h.query_by_label("Select").is_some());
}

/// While a sweep fills its map, that and its colour bar are seen in the smallest window; the form gives way.
#[test]
fn a_sweep_at_work_shows_its_map_in_a_small_window() {
    let dir = folder();
    let h = shown(testing_jobs::sample_app_at_work(dir.path()), SMALL, LayoutId::Ablate, "sweep");
    assert!(h.query_by_label("First layer of the sweep").is_none());
    let bar = place(&h, "Colour bar: Change of loss");
    assert!(bar.bottom() <= 720.0 - 26.0 - 4.0, "{bar}");
    assert!(sees(&h, "1,639 of 4,096 measured") && !sees(&h, "partial"));
}

/// The matrix grows, and under it stand those of the other shares.
#[test]
fn the_task_matrix_fills_a_very_large_window() {
    let dir = folder();
    let at = |size| {
        let mut app = testing_tasks::sample_app_proved(dir.path(), 1.0);
        // Without the chart of factors, which else takes the room.
        app.tasks.prove.as_mut().and_then(|v| v.result.as_mut()).expect("a matrix").plan.factors.clear();
        let mut h = shown(app, size, LayoutId::Tasks, "tasks");
        press(&mut h, "Prove");
        let cell = place(&h, "arithmetic and arithmetic: 0.").width();
        // Those of Overlap and Similarity stand at the right.
        let own = |r: &Rect| r.left() < size.0 / 2.0;
        let mut matrices: Vec<Rect> =
            h.query_all_by_label_contains("arithmetic and arithmetic: 0.").map(|n| n.rect()).filter(own).collect();
        matrices.sort_by(|a, b| a.top().total_cmp(&b.top()));
        (h, cell, matrices)
    };
    let (_, cell, matrices) = at(LARGE);
    assert!(cell < 60.0 && matrices.len() == 1, "{cell}, {matrices:?}");
    let (mut h, cell, matrices) = at(VERY_LARGE);
    let shares = matrices.len() - 1;
    assert!(cell >= 44.0 && shares > 2, "{cell}, {matrices:?}");
    assert!(matrices[1].width() >= 28.0 && matrices[shares].bottom() < 2160.0, "{matrices:?}");
    // One of them is a click away from being the large one.
    let readout = |h: &Window| h.query_by_label_contains("Mean accuracy over tasks at 1 %").is_some();
    assert!(!readout(&h));
    press(&mut h, "1 %");
    assert!(readout(&h));
}

/// A short list of sets shows where each set's neurons lie, as large as it has room for.
#[test]
fn few_sets_fill_their_panel() {
    let dir = folder();
    let bars = |size| {
        let h = shown(testing::sample_app_with_sets(dir.path()), size, LayoutId::Tasks, "sets");
        h.query_all_by_label_contains("by layer: layer").map(|n| n.rect().height()).fold(0.0f32, f32::max)
    };
    assert!(bars(SMALL) < 20.0 && bars(VERY_LARGE) >= 56.0, "{} and {}", bars(SMALL), bars(VERY_LARGE));
}

#[test]
fn names_of_colour_bars_are_not_broken_within_a_word() {
    let dir = folder();
    for layout in [LayoutId::Explore, LayoutId::Compare] {
        let h = shown(testing::sample_app(dir.path()), SMALL_AT_125, layout, "similarity");
        let names: Vec<_> = texts(&h).into_iter().filter(|t| t.galley.text().ends_with("LLMDcos")).collect();
        assert!(!names.is_empty(), "{layout:?}");
        for name in names {
            assert!(name.galley.rows.len() <= name.galley.text().split(' ').count(), "{layout:?}: {}", name.galley.text());
        }
    }
}

/// Where the name of an axis stands at its end, the labels of lines stand over it.
#[test]
fn the_name_of_a_low_axis_stands_clear_of_the_labels() {
    let dir = folder();
    let h = shown(testing::sample_app(dir.path()), SMALL, LayoutId::Compare, "density");
    let texts = texts(&h);
    let bounds = |of: &str| -> Vec<Rect> { texts.iter().filter(|t| t.galley.text() == of).map(|t| t.visual_bounding_rect()).collect() };
    let layers = bounds("layer");
    assert!(!layers.is_empty());
    for domain in testing::DOMAINS {
        for label in bounds(domain) {
            // A pixel of their boxes is no ink.
            assert!(layers.iter().all(|l| !l.shrink(1.0).intersects(label)), "{domain}: {label} and {layers:?}");
        }
    }
}
