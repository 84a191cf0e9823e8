//! What becomes of the app's numbers when the arithmetic of products changes, on the small fixture model. Where the processor has one kind alone there is
//! nothing to change to, and a test says that it was left out.

use super::{App, Command, GivenProducts, JobState, JobTarget, NoticeLevel, Preferences, Products, ProductsChoice, SweepRequest, testing};
use crate::{
    ablate::{AblationReport, SweepUnit},
    base::NeuronSet,
    scan::ScanConfig,
};
use std::path::Path;

/// A kind that the processor has beside `auto`'s, the coarsest.
fn other() -> Option<Products> {
    let found = Products::ALL.into_iter().rfind(|p| p.available() && *p != Products::fastest());
    if found.is_none() {
        eprintln!("left out: this processor makes products in one way, {}", Products::fastest());
    }
    found
}

/// Model and two domains of 30 questions, asked for; `auto` is in force, whatever the environment says.
fn opening(folder: &Path) -> App {
    let mut app = testing::for_tests(folder);
    app.settings.given_products = None;
    testing::open_two_domains(&mut app, folder);
    app.apply(Command::SetControls { count: 1 });
    app.apply(Command::SetScanConfig { config: ScanConfig { samples: 3, ..ScanConfig::default() } });
    app
}

fn opened(folder: &Path) -> App {
    let mut app = opening(folder);
    testing::settle(&mut app);
    app
}

fn choose(app: &mut App, products: ProductsChoice) {
    let preferences = Preferences { products, ..app.settings.preferences.clone() };
    app.apply(Command::SetPreferences { preferences });
}

fn switch_off(app: &mut App) {
    let neurons = NeuronSet::parse("L0N0-39,L2N3").expect("set");
    app.apply(Command::AddSet { name: "x".into(), neurons, source: String::new(), chosen_on: Vec::new() });
    testing::settle(app);
}

fn report(app: &App) -> AblationReport {
    app.ablation_report().expect("all is measured")
}

#[test]
fn accuracies_are_made_anew_in_the_new_arithmetic_and_found_again_in_the_old() {
    let Some(other) = other() else { return };
    let (dir, fresh) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let mut app = opened(dir.path());
    switch_off(&mut app);
    let (first, off) = (report(&app), app.project.off());
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    let second = report(&app);
    assert_eq!((app.products(), app.project.off()), (other, off), "what is off stays off");
    assert!(second.provenance.dtype.ends_with(&format!(" computed in {}", other.arithmetic())), "{}", second.provenance.dtype);
    assert!(second.provenance.command.contains(&format!("--products {other}")), "{}", second.provenance.command);
    for (a, b) in first.domains.iter().zip(&second.domains) {
        assert_ne!(a.before.items, b.before.items, "baseline and effect are of one arithmetic");
        assert_ne!(a.after.items, b.after.items);
    }
    let told = app.log.iter().find(|n| n.level == NoticeLevel::Done).expect("a notice");
    assert!(told.title.contains(&format!("in {other}")), "{}", told.title);

    // As if there had never been another: nothing of it leaked in.
    let mut alone = opening(fresh.path());
    choose(&mut alone, ProductsChoice::Of(other));
    testing::settle(&mut alone);
    switch_off(&mut alone);
    let items = |r: &AblationReport| r.domains.iter().map(|d| (d.before.items.clone(), d.after.items.clone())).collect::<Vec<_>>();
    assert_eq!(items(&report(&alone)), items(&second));

    choose(&mut app, ProductsChoice::Auto);
    while app.products() == other {
        app.pump();
    }
    assert!(!app.ablation.running, "what is known is there at once");
    assert_eq!(report(&app).domains, first.domains);
    assert!(!report(&app).provenance.command.contains("--products"));
}

#[test]
fn points_of_predictions_are_of_one_arithmetic() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path());
    app.settings.predicts = true;
    switch_off(&mut app);
    let request = SweepRequest::Units { unit: SweepUnit::Head, domain: "a".into(), layers: Some((0, 0)) };
    app.apply(Command::Sweep { request, out: None });
    testing::settle(&mut app);
    let first: Vec<_> = app.points().cloned().collect();
    // The set and its control in two domains, and the sweep's heads.
    assert!(first.len() > 4, "{}", first.len());
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    let second: Vec<_> = app.points().cloned().collect();
    assert_eq!(second.len(), 4, "a sweep of the arithmetic before stands beside no prediction of this one");
    assert!(second.iter().all(|p| first.iter().all(|f| f.measured != p.measured && f.predicted != p.predicted)));
    assert_eq!(app.measured.len(), first.len() + second.len());
    choose(&mut app, ProductsChoice::Auto);
    testing::settle(&mut app);
    assert_eq!(app.points().cloned().collect::<Vec<_>>(), first);
}

#[test]
fn a_scan_ends_in_the_arithmetic_it_began_in_and_runs_say_theirs() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path());
    app.apply(Command::StartScan { out: None });
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    app.apply(Command::StartScan { out: None });
    testing::settle(&mut app);
    let runs = &app.library.runs;
    let dtype = |i: usize| Products::named_in(&runs[i].output.provenance.dtype);
    assert_eq!((runs.len(), dtype(0), dtype(1)), (2, Products::fastest(), other));
    let command = |i: usize| runs[i].output.provenance.command.contains("--products");
    assert!(!command(0) && command(1), "{}", runs[1].output.provenance.command);
    let coarse = if other.is_coarse() { format!("run 2 ({other})") } else { "run 2".into() };
    assert_eq!((runs[0].name.as_str(), runs[1].name.as_str()), ("run 1", coarse.as_str()));
    assert!(runs.iter().all(|r| r.path.as_ref().is_some_and(|p| p.join("report.html").exists())), "nothing on the disk goes");
}

#[test]
fn matrices_of_samples_are_not_replaced_by_those_of_another_arithmetic() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path());
    app.apply(Command::StartScan { out: None });
    testing::settle(&mut app);
    let compare = |layer: usize| Command::SampleSimilarity { layers: vec![layer], samples: 3, domains: Vec::new(), out: None };
    app.apply(compare(0));
    testing::settle(&mut app);
    let kept = |app: &App| app.library.run().and_then(|r| r.samples.clone()).expect("matrices");
    let before = kept(&app);
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    app.apply(compare(1));
    testing::settle(&mut app);
    assert_eq!(*kept(&app), *before);
    assert!(app.log.last().is_some_and(|n| n.level == NoticeLevel::Error && n.details.contains(&format!("ones with {other}"))));
    choose(&mut app, ProductsChoice::Auto);
    testing::settle(&mut app);
    app.apply(compare(1));
    testing::settle(&mut app);
    assert_eq!(kept(&app).layers.len(), 2);
}

#[test]
fn a_change_while_the_model_is_read_holds() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    assert_eq!(app.products(), other);
    assert!(app.device().is_some_and(|d| d.contains(other.key()) || other == Products::F32), "{:?}", app.device());
    // To and fro before the first has happened: the last word counts.
    choose(&mut app, ProductsChoice::Auto);
    choose(&mut app, ProductsChoice::Of(other));
    choose(&mut app, ProductsChoice::Auto);
    testing::settle(&mut app);
    assert_eq!(app.products(), Products::fastest());
    assert!(app.jobs.iter().all(|j| j.state == JobState::Done), "{:?}", app.jobs);
}

#[test]
fn a_certificate_is_of_one_arithmetic_and_none_is_lost() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path());
    let check = |app: &mut App| {
        app.apply(Command::CheckModel { again: false });
        testing::settle(app);
    };
    let certified = |app: &App| app.library.check.as_ref().map(|c| Products::named_in(&c.provenance.dtype));
    check(&mut app);
    assert_eq!(certified(&app), Some(Products::fastest()));
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    assert_eq!((certified(&app), app.check_job().is_some()), (None, false));
    check(&mut app);
    assert_eq!(certified(&app), Some(other));
    choose(&mut app, ProductsChoice::Auto);
    testing::settle(&mut app);
    assert_eq!(certified(&app), Some(Products::fastest()));
    // Another session finds both on the disk.
    let mut next = opened(dir.path());
    assert_eq!(certified(&next), Some(Products::fastest()));
    choose(&mut next, ProductsChoice::Of(other));
    testing::settle(&mut next);
    assert_eq!(certified(&next), Some(other));
}

#[test]
fn what_is_known_of_neurons_belongs_to_its_arithmetic() {
    let Some(other) = other() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opening(dir.path());
    app.settings.auto_index = true;
    testing::settle(&mut app);
    let key = |app: &App| app.index().map(|e| e.index.about.key.clone()).expect("an index");
    app.apply(Command::InspectNeuron { neuron: crate::base::Neuron::new(0, 1) });
    testing::settle(&mut app);
    let first = key(&app);
    assert!(!app.inspection.details.is_empty());
    choose(&mut app, ProductsChoice::Of(other));
    testing::settle(&mut app);
    assert!(key(&app) != first && app.inspection.details.is_empty());
    choose(&mut app, ProductsChoice::Auto);
    testing::settle(&mut app);
    assert_eq!(key(&app), first);
    assert!(app.index().is_some_and(|e| e.from_disk));
}

#[test]
fn what_was_given_at_start_wins_until_the_program_ends() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = opened(dir.path());
    app.settings.given_products = Some(GivenProducts::by_flag(Some(Products::F32)));
    app.settings.preferences_file = Some(dir.path().join("settings.json"));
    let changing = |app: &App| app.last_job(|t| *t == JobTarget::Backend).is_some();
    choose(&mut app, ProductsChoice::Of(Products::Bf16));
    assert_eq!(app.settings.products(), Some(Products::F32));
    assert!(!changing(&app), "nothing that is in force changed");
    // `auto` is a word too.
    app.settings.given_products = Some(GivenProducts::by_flag(None));
    assert_eq!(app.settings.products(), None);
    app.settings.given_products = None;
    assert_eq!(app.settings.products(), Products::Bf16.usable().ok());
}

#[test]
fn settings_that_cannot_be_had_are_told_at_start_unless_something_else_was_given() {
    let dir = tempfile::tempdir().expect("folder");
    let warned = |given: Option<GivenProducts>, products: ProductsChoice| {
        let mut app = testing::for_tests(dir.path());
        app.settings.given_products = given;
        app.settings.preferences.products = products;
        app.warn_of_products();
        (app.products(), app.log.last().map(|n| format!("{}: {}", n.title, n.details)))
    };
    let unknown = || ProductsChoice::Unknown("fp8".into());
    let (products, words) = warned(None, unknown());
    assert!(products == Products::fastest() && words.as_ref().is_some_and(|w| w.contains("`fp8` is no kind of products")), "{words:?}");
    assert_eq!(warned(Some(GivenProducts::by_flag(Some(Products::F32))), unknown()), (Products::F32, None));
    assert_eq!(warned(None, ProductsChoice::Of(Products::F32)), (Products::F32, None));
}

#[test]
fn a_word_of_the_environment_that_means_nothing_is_told() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = testing::for_tests(dir.path());
    app.settings.given_products = None;
    app.settings.refused_products = Products::asked_for("fp8").err();
    app.warn_of_products();
    let told = app.log.last().expect("a notice");
    assert_eq!(told.title, format!("BRODMANN_PRODUCTS is not followed: products are made in {}", Products::fastest()));
    assert!(told.details.contains("`fp8` is no kind of products; expected auto, f32"), "{}", told.details);
    // A flag takes the variable's place, whatever that says.
    app.settings.given_products = Some(GivenProducts::by_flag(None));
    app.log.clear();
    app.warn_of_products();
    assert!(app.log.is_empty());
}
