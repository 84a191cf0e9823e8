//! Predictions of the app with its engines, on the small fixture model.

use super::{App, Command, EvalConfig, Failure, JobState, JobTarget, Origin, testing};
use crate::{
    base::{Head, Neuron, NeuronSet},
    eval::AblationMode,
};
use std::{collections::BTreeSet, path::Path};

/// Model and two domains of 30 questions, read; effects asked for and there.
fn predicted(folder: &Path) -> App {
    let mut app = testing::for_tests(folder);
    app.settings.predicts = true;
    testing::open_two_domains(&mut app, folder);
    app.apply(Command::SetControls { count: 2 });
    testing::settle(&mut app);
    app.apply(Command::Predict);
    testing::settle(&mut app);
    app
}

#[test]
fn a_toggle_is_predicted_at_once_and_measured_after() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = predicted(dir.path());
    assert_eq!(app.prediction.ready.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert!(app.prediction.domains.is_empty() && app.measured.is_empty());
    app.apply(Command::AddSet {
        name: "x".into(),
        neurons: NeuronSet::parse("L0N0-39,L2N3").expect("set"),
        source: String::new(),
        chosen_on: Vec::new(),
    });
    // Before any worker had a word: nothing is measured, all is predicted.
    assert!(app.ablation.after.is_empty() && app.ablation.running);
    let p = app.prediction.domains["a"].clone();
    assert!(p.n == 30 && p.n_all == 30 && p.change().loss.is_some_and(|d| d != 0.0), "{p:?}");
    testing::settle(&mut app);
    // The set and two controls in two domains.
    assert_eq!(app.measured.len(), 6);
    let point = app.measured.iter().find(|m| m.domain == "a" && m.origin == Origin::Toggle).expect("point");
    assert_eq!((point.label.as_str(), point.n, point.predicted), ("41 neurons", 30, p.change()));
    let score = |scores: &std::collections::BTreeMap<String, crate::eval::DomainScore>| scores["a"].loss().expect("loss");
    let measured = score(&app.ablation.after) - score(&app.ablation.before);
    assert!(app.ablation_report().expect("complete").provenance.command.ends_with(" --predict"));
    assert_eq!(point.measured.loss, Some(measured));
    let control = app.measured.iter().find(|m| m.origin == Origin::Control).expect("control");
    assert_eq!((control.neurons.len(), control.neurons.layers().collect::<Vec<_>>()), (41, vec![0, 2]));

    app.apply(Command::Undo);
    assert!(app.prediction.domains.is_empty(), "nothing is off any more");
    app.apply(Command::Redo);
    assert_eq!(app.prediction.domains["a"], p);
    testing::settle(&mut app);
    assert_eq!(app.measured.len(), 6, "the same change is one point");
    app.apply(Command::ForgetMeasured);
    assert!(app.measured.is_empty());
}

#[test]
fn the_first_toggle_asks_for_effects_by_itself_and_a_new_one_cancels_the_old_scoring() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = predicted(dir.path());
    let fresh = tempfile::tempdir().expect("folder");
    let mut late = predicted(fresh.path());
    late.predictor = super::prediction::Predictor::default();
    late.prediction = Default::default();
    late.apply(Command::ToggleNeuron { neuron: Neuron::new(1, 5) });
    assert!(late.prediction.running && late.prediction.domains.is_empty());
    testing::settle(&mut late);
    assert_eq!(late.prediction.domains.len(), 2);
    assert_eq!(late.measured.iter().filter(|m| m.origin == Origin::Toggle && m.label == "L1N5").count(), 2);

    for i in 0..8 {
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, i) });
        assert_eq!(app.jobs.iter().filter(|j| j.state == JobState::Running).count(), 1, "one evaluation at a time");
        assert_eq!(app.prediction.domains.len(), 2);
    }
    testing::settle(&mut app);
    let last = app.measured.iter().filter(|m| m.origin == Origin::Toggle).map(|m| m.label.clone()).collect::<BTreeSet<_>>();
    assert!(last.contains("8 neurons"), "{last:?}");
}

#[test]
fn scales_need_no_new_effects_and_means_do() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = predicted(dir.path());
    app.apply(Command::ToggleHead { head: Head::new(1, 2) });
    let zero = app.prediction.domains["b"].change().loss.expect("loss");
    app.apply(Command::SetAblationMode { mode: AblationMode::Scale(3.0) });
    assert!(app.job_for(|t| matches!(t, JobTarget::Attribution(_))).is_none());
    let tripled = app.prediction.domains["b"].change().loss.expect("loss");
    // Rounded twice: as sums of likelihoods of about 5 nat each, and as their difference.
    assert!((tripled + 2.0 * zero).abs() < 1e-12, "{tripled} and {zero}");
    // Items that are not scored give the means.
    app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
    testing::settle(&mut app);
    assert_eq!(app.prediction.domains["b"].n, 20);
    app.apply(Command::SetAblationMode { mode: AblationMode::Mean });
    assert!(app.job_for(|t| matches!(t, JobTarget::Attribution(_))).is_some() && app.prediction.domains.is_empty());
    testing::settle(&mut app);
    let mean = app.prediction.domains["b"].change().loss.expect("loss");
    assert!(mean != zero && app.prediction.failed.is_none());
}

#[test]
fn rows_that_are_left_out_are_left_out_of_the_prediction_too() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = predicted(dir.path());
    let lines: BTreeSet<usize> = (1..=12).collect();
    let exclude = [("a".to_owned(), lines)].into();
    app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 3) });
    let whole = app.prediction.domains["a"].clone();
    // As a set that was chosen on these rows does it, by the app itself.
    let sha256 = app.library.domain("a").and_then(|d| d.scored()).expect("domain").sha256.clone();
    let chosen = super::ChosenOn { domain: "a".into(), sha256, lines: (1..=12).collect() };
    app.apply(Command::AddSet {
        name: "y".into(),
        neurons: NeuronSet::parse("L0N3").expect("set"),
        source: String::new(),
        chosen_on: Vec::new(),
    });
    app.project.sets[0].chosen_on = vec![chosen];
    app.apply(Command::SetControls { count: 0 });
    assert!(app.job_for(|t| matches!(t, JobTarget::Attribution(_))).is_none(), "the effects are there, of all rows");
    assert_eq!((app.prediction.domains["a"].n, app.prediction.domains["a"].n_all, whole.n), (18, 18, 30));
    testing::settle(&mut app);
    assert!(app.measured.iter().any(|m| m.domain == "a" && m.n == 18));
    // Left out by the user: other items are scored, so they are attributed anew.
    app.apply(Command::SetEvalConfig { config: EvalConfig { exclude, ..EvalConfig::default() } });
    assert!(app.job_for(|t| matches!(t, JobTarget::Attribution(_))).is_some());
    testing::settle(&mut app);
}

#[test]
fn effects_that_were_stopped_are_gone_on_with() {
    let dir = tempfile::tempdir().expect("folder");
    let mut app = predicted(dir.path());
    app.apply(Command::SetEvalConfig { config: EvalConfig { samples: Some(20), ..EvalConfig::default() } });
    testing::settle(&mut app);
    app.apply(Command::SetAblationMode { mode: AblationMode::Mean });
    app.apply(Command::CancelNewest);
    testing::settle(&mut app);
    assert_eq!((app.prediction.running, app.prediction.failed.clone()), (false, Some(Failure::Cancelled)));
    assert!(app.jobs.iter().any(|j| j.state == JobState::Cancelled), "{:?}", app.jobs);
    app.apply(Command::Predict);
    testing::settle(&mut app);
    assert!(app.prediction.failed.is_none() && app.prediction.ready.len() == app.project.domains.len());
}
