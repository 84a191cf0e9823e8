//! The inspector and "Try a text" on a real, tiny model: what they show, what their controls ask for, how every state looks.
#![cfg(feature = "gui")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/harness.rs"]
mod harness;

use bench::{Bench, View, settle};
use brodmann::{
    app::{App, Command, IndexState, JobId, JobState, JobTarget, JobView, Loading, Looking, ModelEntry, Reading, testing},
    base::{Head, Neuron, NeuronSet, Progress},
    data::Mapping,
    gui::{Link, Panel, panels},
    scan::ScanConfig,
};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::{SnapshotResults, kittest::Queryable};
use std::{path::Path, time::Duration};

fn bench(panel: Box<dyn Panel>, size: (f32, f32), theme: egui::Theme, app: App, link: impl Fn(&mut Link)) -> View {
    let mut b = Bench::new(app, panel);
    link(&mut b.link);
    b.shown(size, theme)
}

fn inspector() -> Box<dyn Panel> {
    Box::<panels::inspector::Inspector>::default()
}

fn lens() -> Box<dyn Panel> {
    (panels::find("lens").expect("registered").make)()
}

/// The tiny llama with two domains of texts in several scripts, scanned.
fn scanned(dir: &Path) -> App {
    let mut app = testing::for_tests(dir);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    app.apply(Command::OpenModel { path: model });
    let words = ["neurons", "layers", "naïve fish", "神经元", "ニューロン", "нейроны", "a tab\tand a line\nbreak"];
    for (name, of) in [("stories", "Once upon a time there were"), ("code", "def count(items): return len(items) #")] {
        let path = dir.join(format!("{name}.jsonl"));
        let rows: Vec<String> = (0..12)
            .map(|i| serde_json::json!({ "text": format!("{of} {} and {} of {i}.", words[i % 7], words[(i * 3 + 1) % 7]) }).to_string())
            .collect();
        std::fs::write(&path, rows.join("\n")).expect("texts");
        app.apply(Command::AddDomain { name: name.into(), path, mapping: Mapping::default() });
    }
    app.apply(Command::SetScanConfig { config: ScanConfig { samples: 12, ..ScanConfig::default() } });
    testing::settle(&mut app);
    app.apply(Command::StartScan { out: Some(dir.join("run")) });
    testing::settle(&mut app);
    assert!(app.library.run().is_some(), "{:?}", app.log.last());
    app
}

fn indexed(dir: &Path) -> App {
    let mut app = scanned(dir);
    app.apply(Command::IndexActivations);
    testing::settle(&mut app);
    assert!(app.index().is_some(), "{:?}", app.log.last());
    app
}

const NEURON: Neuron = Neuron::new(2, 17);

fn on_neuron(link: &mut Link) {
    link.focus_neuron = Some(NEURON);
}

fn pictures(
    results: &mut SnapshotResults,
    name: &str,
    panel: fn() -> Box<dyn Panel>,
    size: (f32, f32),
    app: impl Fn(&Path) -> App,
    link: impl Fn(&mut Link),
) {
    for (theme, suffix) in [(egui::Theme::Dark, "dark"), (egui::Theme::Light, "light")] {
        let dir = tempfile::tempdir().expect("folder");
        let mut h = bench(panel(), size, theme, app(dir.path()), &link);
        settle(&mut h);
        h.snapshot(format!("panel_{name}_{suffix}"));
        results.extend_harness(&mut h);
    }
}

#[test]
fn the_inspector_looks_right() {
    let r = &mut SnapshotResults::new();
    pictures(r, "inspector_indexed", inspector, (304.0, 1500.0), indexed, on_neuron);
    pictures(r, "inspector_wide", inspector, (384.0, 900.0), indexed, on_neuron);
    pictures(r, "inspector_head", inspector, (304.0, 900.0), indexed, |link| link.focus_head = Some(Head::new(1, 2)));
}

#[test]
fn every_state_of_the_index_looks_right() {
    let r = &mut SnapshotResults::new();
    let size = (304.0, 420.0);
    pictures(r, "inspector_unindexed", inspector, size, scanned, on_neuron);
    pictures(r, "inspector_indexing", inspector, size, |dir| working(scanned(dir)), on_neuron);
    pictures(
        r,
        "inspector_index_failed",
        inspector,
        size,
        |dir| {
            let mut app = scanned(dir);
            app.inspection.index =
                IndexState::Failed("blocks.3.mlp.hook_post: neuron 7 is inf at a token, expected a finite number".into());
            app
        },
        on_neuron,
    );
}

fn working(mut app: App) -> App {
    app.jobs.push(JobView {
        id: JobId(900),
        target: JobTarget::Looking(Looking::Index),
        title: "Index of activations".into(),
        state: JobState::Running,
        progress: Progress { phase: "recording activations".into(), done: 31_000, total: 92_000, unit: "tokens × layers" },
        elapsed: Duration::from_secs(7),
        rate: Some(4430.0),
        left: Some(Duration::from_millis(13_800)),
        stopping: false,
    });
    app.inspection.index = IndexState::Working(JobId(900));
    app
}

#[test]
fn try_a_text_looks_right_in_every_state() {
    let r = &mut SnapshotResults::new();
    let read = |dir: &Path| {
        let mut app = scanned(dir);
        app.apply(Command::TryText { text: "Once upon a time нейрон\nthere was".into() });
        testing::settle(&mut app);
        app
    };
    pictures(r, "lens", lens, (640.0, 460.0), read, |_| {});
    pictures(
        r,
        "lens_both",
        lens,
        (900.0, 460.0),
        |dir| {
            let mut app = read(dir);
            app.apply(Command::SelectNeurons { neurons: NeuronSet::new() });
            let neurons = NeuronSet::parse("L1N0-80").expect("set");
            app.apply(Command::AddSet { name: "most of layer 1".into(), neurons, source: String::new(), chosen_on: Vec::new() });
            testing::settle(&mut app);
            app
        },
        |_| {},
    );
    pictures(r, "lens_ready", lens, (460.0, 260.0), scanned, |_| {});
    pictures(r, "lens_empty", lens, (420.0, 260.0), testing::for_tests, |_| {});
    pictures(
        r,
        "lens_working",
        lens,
        (460.0, 280.0),
        |dir| {
            let mut app = testing::for_tests(dir);
            app.library.model = Some(ModelEntry { path: "/models/tiny".into(), state: Loading::Working });
            let mut app = working(app);
            app.inspection.index = IndexState::None;
            (app.jobs[0].title, app.jobs[0].target) = ("Opening /models/tiny".into(), JobTarget::Model(1));
            app.jobs[0].progress = Progress { phase: "reading weights".into(), done: 3, total: 8, unit: "files" };
            app
        },
        |_| {},
    );
    pictures(
        r,
        "lens_failed",
        lens,
        (460.0, 280.0),
        |dir| {
            let mut app = read(dir);
            app.lens.failed = Some("blocks.1.hook_resid_post: a value is not finite".into());
            app
        },
        |_| {},
    );
}

#[test]
fn a_kept_neuron_is_worked_out_and_a_hovered_one_only_previewed() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(inspector(), (304.0, 1500.0), egui::Theme::Dark, indexed(dir.path()), on_neuron);
    settle(&mut h);
    assert!(h.state().sent.contains(&Command::InspectNeuron { neuron: NEURON }));
    for part in ["What it writes", "Neurons like it", "Texts that drive it", "Activation by domain"] {
        h.get_by_label(part);
    }
    h.get_by_label_contains("Activation in stories: mean");
    h.get_by_label_contains("Colour bar: activation");
    // Another one under the pointer: light, and the kept one is back after.
    h.state_mut().hover = Some(Neuron::new(1, 3));
    h.run_steps(4);
    h.get_by_label("L1N3");
    h.get_by_label("click to keep it");
    assert!(h.query_by_label("What it writes").is_none());
    assert!(!h.state().sent.contains(&Command::InspectNeuron { neuron: Neuron::new(1, 3) }), "a hover starts no work");
    h.state_mut().hover = None;
    h.run_steps(4);
    h.get_by_label("What it writes");
}

#[test]
fn a_section_stays_folded() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(inspector(), (304.0, 1500.0), egui::Theme::Dark, indexed(dir.path()), on_neuron);
    settle(&mut h);
    assert!(h.query_by_label_contains("Activation in stories").is_some());
    h.get_by_label("Activation by domain").click();
    h.run_steps(3);
    assert!(h.query_by_label_contains("Activation in stories").is_none());
    h.state_mut().link.focus_neuron = Some(Neuron::new(0, 1));
    h.run_steps(3);
    assert!(h.query_by_label_contains("Activation in stories").is_none(), "for every neuron");
}

#[test]
fn a_text_opens_whole_and_a_neighbour_takes_the_place() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(inspector(), (304.0, 1700.0), egui::Theme::Dark, indexed(dir.path()), on_neuron);
    settle(&mut h);
    let entry = h.state().app.index().expect("index").clone();
    let top = entry.index.neuron(NEURON).expect("inside").top[0].clone();
    h.get_all_by_label_contains("Text of ").next().expect("a text").click();
    settle(&mut h);
    assert!(h.state().sent.contains(&Command::ReadNeuron { neuron: NEURON, reading: Reading::Sample(top.sample) }));
    let strip = h.state().app.inspection.strip.found.clone().expect("read");
    assert_eq!(strip.words.len(), top.sample_tokens);
    assert_eq!(strip.words[top.position].value, top.value, "the index and the reading agree");

    h.get_by_label("by activation").click();
    h.run_steps(2);
    h.get_by_label("model").click();
    h.run_steps(2);
    let details = h.state().app.inspection.details[&NEURON].clone();
    let nearest = details.by_activation.as_ref().expect("index").as_ref().expect("enough").in_model[0];
    h.get_by_label(&format!("{}, {:.2}", nearest.neuron, nearest.likeness)).click();
    h.run_steps(3);
    assert_eq!(h.state().link.focus_neuron, Some(nearest.neuron));
    let selected = Command::SelectNeurons { neurons: NeuronSet::from_iter([nearest.neuron]) };
    assert!(h.state().sent.contains(&selected), "the maps select it too");
}

#[test]
fn the_index_is_asked_for_and_cancelled_where_it_would_stand() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(inspector(), (304.0, 700.0), egui::Theme::Dark, scanned(dir.path()), on_neuron);
    h.get_by_label("Index activations").click();
    settle(&mut h);
    assert!(h.state().sent.contains(&Command::IndexActivations));
    assert!(h.query_by_label_contains("Activation in code").is_some());
    let mut h = bench(inspector(), (304.0, 700.0), egui::Theme::Dark, working(scanned(dir.path())), on_neuron);
    h.get_by_label("Cancel indexing").click();
    h.run_steps(2);
    assert!(h.state().sent.contains(&Command::CancelJob { id: 900 }));
}

#[test]
fn heads_are_reached_from_their_layer_and_show_what_they_look_at() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(inspector(), (304.0, 2400.0), egui::Theme::Dark, indexed(dir.path()), on_neuron);
    settle(&mut h);
    h.get_by_label_contains("L2H1").click();
    settle(&mut h);
    assert_eq!(h.state().link.focus_head, Some(Head::new(2, 1)));
    h.get_by_label_contains("Attention of L2H1 on ");
    h.get_by_label_contains("Mean attention by distance");
    h.get_by_label("Next text").click();
    settle(&mut h);
    assert!(h.state().sent.contains(&Command::ReadHead { head: Head::new(2, 1), reading: Reading::Sample(1) }));
    h.get_by_label("Leave the head").click();
    h.run_steps(3);
    assert_eq!(h.state().link.focus_head, None);
    h.get_by_label(&NEURON.to_string());
}

#[test]
fn typing_is_answered_by_every_layer_and_the_ablation_stands_beside() {
    let dir = tempfile::tempdir().expect("folder");
    let mut h = bench(lens(), (900.0, 520.0), egui::Theme::Dark, scanned(dir.path()), |_| {});
    h.get_by_role_and_label(Role::MultilineTextInput, "Text to read").focus();
    h.run_steps(2);
    h.get_by_role_and_label(Role::MultilineTextInput, "Text to read").type_text("Once upon");
    h.run_steps(2);
    // What was typed on replaces what was being read.
    h.get_by_role_and_label(Role::MultilineTextInput, "Text to read").type_text(" a time");
    settle(&mut h);
    let live = &h.state().app.lens;
    assert_eq!(live.text, "Once upon a time");
    assert!(live.plain.len() == 3 && live.plain.iter().all(|row| row.len() == live.tokens.len()));
    assert_eq!(h.state().app.jobs.iter().filter(|j| j.title.is_empty()).count(), 0, "typing fills no list of jobs");
    h.get_by_label_contains("Next token by layer: 3 layers");
    assert!(h.query_by_label_contains("ablated").is_none());
    h.state_mut().app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 3) });
    settle(&mut h);
    h.get_by_label_contains("Next token by layer, ablated");
    let live = &h.state().app.lens;
    let changed = live.changed.as_ref().expect("both");
    assert!(changed.iter().all(|row| row.len() == live.tokens.len()) && *changed != live.plain);
    h.state_mut().app.apply(Command::Undo);
    settle(&mut h);
    assert!(h.state().app.lens.changed.is_none());
}

#[test]
fn an_index_goes_with_its_data() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = indexed(dir.path());
    let key = app.index().expect("index").index.about.key.clone();
    app.apply(Command::SetGamma { gamma: 1e-5 });
    assert!(app.index().is_some(), "what changes no sample leaves it");
    app.apply(Command::RemoveDomain { name: "code".into() });
    testing::settle(&mut app);
    assert!(app.index().is_none());
    app.apply(Command::IndexActivations);
    testing::settle(&mut app);
    assert_ne!(app.index().expect("index").index.about.key, key);
    assert_eq!(app.index().expect("index").index.about.domains.len(), 1);
    // Unasked, where the window wants it: read from the disk.
    let mut app = indexed(dir.path());
    assert!(app.index().expect("index").from_disk);
    app.settings.auto_index = true;
    app.apply(Command::SetScanConfig { config: ScanConfig { samples: 5, ..ScanConfig::default() } });
    app.apply(Command::StartScan { out: Some(dir.path().join("other")) });
    testing::settle(&mut app);
    assert_eq!(app.index().expect("made unasked").index.n_samples(), 10);
}

/// A run of another model may have neurons that the open one has not.
#[test]
fn a_neuron_that_the_open_model_has_not_is_said_to_be_none_of_its() {
    let dir = tempfile::tempdir().expect("folder");
    let h = bench(inspector(), (304.0, 700.0), egui::Theme::Dark, indexed(dir.path()), |link| link.focus_neuron = Some(Neuron::new(7, 3)));
    assert!(h.query_by_label_contains("The open model has no such neuron").is_some());
}
