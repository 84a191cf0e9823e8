//! Requests: what each [`Command`] does to the state.

use super::{App, Command, NamedSet, NoticeLevel, Preferences, Project, history::History, sets};
use crate::{ablate::Vocabulary, base::NeuronSet};
use std::time::Instant;

impl App {
    /// The only place where state changes on request.
    pub fn apply(&mut self, command: Command) {
        tracing::debug!(?command, "apply");
        match command {
            Command::Undo => return self.travel(History::undo),
            Command::Redo => return self.travel(History::redo),
            Command::GoToStep { id } => return self.travel(|history, now| history.go(id, now)),
            _ => {}
        }
        if let Command::Arrange { from, .. } = &command {
            self.settle_arrangement(from);
        }
        let (label, gesture) = (command.undo_label(), command.gesture());
        let before = label.as_ref().map(|_| self.project.clone());
        // The first thing ever opened leaves nothing behind to go back to.
        let opens = matches!(command, Command::OpenDemo | Command::OpenProject { .. });
        let evaluates = matches!(command, Command::Evaluate);
        self.dispatch(command);
        let (Some(label), Some(before)) = (label, before) else {
            if evaluates {
                self.refresh_ablation();
            }
            return;
        };
        // A project that was opened brings its own history.
        let took = self.took_history(&before);
        if before != self.project {
            if !(took || opens && before == Project::default()) {
                self.history.record(label, before, gesture, Instant::now());
            }
            self.mark_changed();
            self.reconcile();
            self.refresh_ablation();
            self.refresh_prediction();
            self.refresh_inspection();
        }
    }

    fn travel(&mut self, go: impl FnOnce(&mut History, &Project) -> Option<Project>) {
        if let Some(there) = go(&mut self.history, &self.project) {
            // Which run is shown follows the library: results are not undone.
            let run = self.project.run.take();
            self.project = Project { run, ..there };
            self.mark_changed();
            self.reconcile();
            self.refresh_ablation();
            self.refresh_prediction();
            self.refresh_inspection();
        }
    }

    fn dispatch(&mut self, command: Command) {
        let p = &mut self.project;
        match command {
            Command::OpenModel { path } => {
                p.model = Some(path);
                // Asked for again means read again: the file may have been repaired.
                self.library.model = None;
                self.reconcile();
            }
            Command::AddDomain { name, path, mapping } => self.add_domain(name, path, mapping),
            Command::RemoveDomain { name } => p.domains.retain(|d| d.name != name),
            Command::EnableDomain { name, on } => self.change_domain(&name, |d| d.enabled = on),
            Command::ColourDomain { name, colour } => self.change_domain(&name, |d| d.colour = colour),
            Command::OpenDemo => self.open_demo(),
            Command::OpenRun { path } => self.open_run(path),
            Command::ShowRun { index } => self.show_run(index),

            Command::SetScanConfig { config } => p.scan = config,
            Command::SetObjective { objective } => p.scan.objective = objective,
            Command::FindDevices => self.find_devices(),
            Command::FindModels => self.find_models(),
            Command::StartScan { out } => self.start_scan(out),
            Command::SetEvalConfig { config } => p.eval = config,
            Command::Evaluate => self.evaluate(),
            Command::Predict => self.predict(),
            Command::ForgetMeasured => self.forget_measured(),
            Command::Trace { input, hooks, out } => self.trace(input, hooks, out),
            Command::AblationMatrix { metric, percent } => {
                let sets = super::SetsFrom::Run { metric, ranking: Default::default() };
                self.prove_tasks(super::ProveRequest { sets, percents: vec![percent], ..super::ProveRequest::default() }, None, false);
            }
            Command::FindTaskNeurons { request, out } => self.find_task_neurons(*request, out),
            Command::ProveTasks { request, out } => self.prove_tasks(*request, out, true),
            Command::KeepTaskSet { task, percent, on } => self.keep_task_set(&task, percent, on),
            Command::Sweep { request, out } => self.start_sweep(request, out),
            Command::FindSweep { kind, request } => self.find_sweep(kind, request),
            Command::Generate { prompt, config } => self.generate(prompt, config),
            Command::IndexActivations => self.index_activations(),
            Command::InspectNeuron { neuron } => self.inspect_neuron(neuron),
            Command::ReadNeuron { neuron, reading } => self.read_neuron(neuron, reading),
            Command::ReadHead { head, reading } => self.read_head(head, reading),
            Command::TryText { text } => self.try_text(text),
            Command::SampleSimilarity { layers, samples, domains, out } => self.sample_similarity(layers, samples, domains, out),
            Command::CheckModel { again } => self.check_model(again),
            Command::TrainDemo { out, seed, steps, without } => self.train_demo(out, seed, steps, without),
            Command::Tune { request } => self.tune(*request),
            Command::UseTuned { on } => self.use_tuned(on),
            Command::OpenTuned { path } => self.open_tuned(path),
            Command::SaveTuned { path, kind } => self.save_tuned(path, kind),
            Command::ForgetTuned => self.forget_tuned(),
            Command::Replay { path, model } => self.replay_project(path, model),
            Command::Continual { request } => self.start_continual(*request),
            Command::Transfer { request } => self.start_transfer(*request),
            Command::WriteReport { path } => self.write_report(path),
            Command::Export { spec, path } => self.export(spec, path),
            Command::CopyView { spec } => self.copy_view(spec),
            Command::ExportRows { title, rows, path } => self.export_rows(&title, rows, path),
            Command::CancelJob { id } => {
                self.runner.cancel(&mut self.jobs, super::JobId(id));
            }
            Command::CancelNewest => {
                if let Some(id) = self.runner.newest() {
                    self.runner.cancel(&mut self.jobs, id);
                }
            }

            Command::ToggleNeuron { neuron } => {
                if self.inside(&NeuronSet::from_iter([neuron])) {
                    self.project.toggle(neuron);
                }
            }
            Command::ToggleHead { head } => {
                if !p.heads.remove(&head) {
                    p.heads.insert(head);
                }
            }
            Command::AddSet { name, neurons, source, chosen_on } => {
                self.add_set(NamedSet { on: true, ..sets::made(name, neurons, source) }, &chosen_on)
            }
            Command::KeepSet { name, neurons, source, chosen_on } => self.add_set(sets::made(name, neurons, source), &chosen_on),
            Command::AddFormula { name, formula, on } => self.add_formula(&name, &formula, on),
            Command::DuplicateSet { index } => self.duplicate_set(index),
            Command::NoteSet { index, notes } => self.change_set(index, |s| s.notes = notes),
            Command::ColourSet { index, colour } => self.change_set(index, |s| s.colour = Some(colour)),
            Command::AddSetFile { path } => self.add_set_file(&path),
            Command::SaveSet { index, path } => self.save_set(index, &path, Vocabulary::Layers),
            Command::ExportSet { index, vocabulary, path } => self.save_set(index, &path, vocabulary),
            Command::AddTopSet { domain, metric, percent } => self.add_top_set(&domain, metric, percent),
            Command::EnableSet { index, on } => self.change_set(index, |s| s.on = on),
            Command::RemoveSet { index } => {
                if index < p.sets.len() {
                    p.sets.remove(index);
                    let rest = p.sets.iter().fold(NeuronSet::new(), |all, s| all.union(&s.neurons));
                    p.spared = p.spared.intersection(&rest);
                }
            }
            Command::RenameSet { index, name } => self.change_set(index, |s| s.name = name),
            Command::ClearAblation => {
                p.sets.clear();
                p.heads.clear();
                (p.single, p.spared) = (NeuronSet::new(), NeuronSet::new());
            }
            Command::SetAblationMode { mode } => p.mode = mode,
            Command::SetAblationAt { at } => p.at = at,
            Command::SetControls { count } => p.controls = count,
            Command::SetControlMatch { like } => p.control_match = like,

            Command::SetMetric { metric } => p.view.metric = metric,
            Command::ShowDomain { domain, minus } => (p.view.domain, p.view.minus) = (domain, minus),
            Command::SetMapScale { scale } => p.view.scale = scale,
            Command::ChangeMap { change } => self.change_map(change),
            Command::SetGamma { gamma } => p.view.gamma = (gamma.is_finite() && gamma > 0.0).then_some(gamma).or(p.view.gamma),
            Command::SetTopPercent { percent } if percent.is_finite() => p.view.top_percent = percent.clamp(0.01, 100.0),
            Command::SetTopPercent { .. } => {}
            Command::SetLayerRange { range } => p.view.layer_range = range.map(|(a, b)| (a.min(b), a.max(b))),
            Command::ShowPair { a, b } => p.view.pair = Some((a, b)),
            Command::SetPanelView { view } => view.apply(&mut p.view),
            Command::SelectNeurons { neurons } => p.view.selection = neurons,

            Command::SetPreferences { preferences } => self.set_preferences(preferences),
            Command::SetNotes { notes } => p.notes = notes,
            Command::NewProject => {
                self.project = Project::default();
                self.mark_saved(None);
            }
            Command::SaveProject { path } => self.save_project(path),
            Command::OpenProject { path } => self.open_project(&path),
            Command::RelocateModel { path } => self.relocate_model(path),
            Command::Arrange { to, .. } => p.arrangement = Some(to),
            Command::SetLayout { layout } => self.set_layout(layout),
            Command::Undo | Command::Redo | Command::GoToStep { .. } => {}
        }
    }

    pub(super) fn set_preferences(&mut self, preferences: Preferences) {
        let (new, backend) = (preferences.bounded(), self.settings.backend());
        let old = std::mem::replace(&mut self.settings.preferences, new.clone());
        if new == old {
            return;
        }
        // A front may have chosen a device of its own, which what is remembered must not undo.
        if new.device != old.device {
            self.settings.device = new.device;
        }
        if self.settings.backend() != backend {
            self.change_backend();
            // What `auto` would take was raced for with the backend before.
            self.devices = None;
        }
        if let Some(path) = self.settings.preferences_file.clone() {
            // Off the interface thread: a sync of the disk can take longer than a frame.
            std::thread::spawn(move || {
                if let Err(e) = new.save(&path) {
                    tracing::warn!("the settings could not be kept: {e}");
                }
            });
        }
    }

    fn change_domain(&mut self, name: &str, change: impl FnOnce(&mut super::project::ProjectDomain)) {
        match self.project.domain_mut(name) {
            Some(d) => change(d),
            None => self.notice(NoticeLevel::Error, format!("There is no domain `{name}`"), ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::testing::{for_tests, sample_app},
        base::Neuron,
        scan::MetricKind,
    };
    use std::path::Path;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("folder")
    }

    #[test]
    fn toggles_undo_and_redo_by_name() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        let neuron = Neuron::new(3, 17);
        app.apply(Command::ToggleNeuron { neuron });
        assert!(app.project.is_off(neuron));
        assert_eq!(app.undo_label(), Some("toggle L3N17"));
        app.apply(Command::Undo);
        assert!(!app.project.is_off(neuron));
        assert_eq!((app.undo_label(), app.redo_label()), (None, Some("toggle L3N17")));
        app.apply(Command::Redo);
        assert!(app.project.is_off(neuron));
    }

    #[test]
    fn what_changes_nothing_leaves_no_step() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        let metric = app.project.view.metric;
        app.apply(Command::SetMetric { metric });
        app.apply(Command::EnableSet { index: 9, on: true });
        assert_eq!(app.undo_label(), None);
    }

    #[test]
    fn a_neuron_outside_the_model_is_refused_with_the_range() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(8, 0) });
        assert!(app.project.off().is_empty());
        let last = app.log.last().expect("notice");
        assert!(last.level == NoticeLevel::Error && last.details.contains("0..7"), "{last:?}");
    }

    #[test]
    fn a_top_set_is_that_share_of_the_shown_map() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        app.apply(Command::AddTopSet { domain: "logic".into(), metric: MetricKind::Relevance, percent: 10.0 });
        // 10 % of 8 x 512.
        assert_eq!(app.project.off().len(), 410);
        assert_eq!(app.project.sets[0].source, "top 10 % relevance of logic, run 1");
        app.apply(Command::AddTopSet { domain: "logic".into(), metric: MetricKind::Llmdcos, percent: 10.0 });
        app.apply(Command::AddTopSet { domain: "nowhere".into(), metric: MetricKind::Relevance, percent: 10.0 });
        assert_eq!(app.project.sets.len(), 1);
        assert_eq!(app.log.iter().filter(|n| n.level == NoticeLevel::Error).count(), 2);
    }

    #[test]
    fn removing_a_set_forgets_what_was_spared_of_it() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        let neurons = NeuronSet::parse("L0N0-3").expect("set");
        app.apply(Command::AddSet { name: "a".into(), neurons, source: String::new(), chosen_on: Vec::new() });
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
        assert_eq!(app.project.off().to_string(), "L0N0,L0N2-3");
        app.apply(Command::RemoveSet { index: 0 });
        assert!(app.project.off().is_empty() && app.project.spared.is_empty());
        app.apply(Command::Undo);
        assert_eq!(app.project.off().to_string(), "L0N0,L0N2-3");
    }

    #[test]
    fn undo_never_changes_which_run_is_shown() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
        let output = app.library.runs[0].output.clone();
        app.add_run(output, Some("/runs/b".into()));
        app.apply(Command::Undo);
        assert_eq!(app.project.run.as_deref(), Some(Path::new("/runs/b")));
        assert_eq!(app.library.shown, Some(1));
    }

    #[test]
    fn commands_survive_json() {
        for command in [
            Command::ToggleNeuron { neuron: Neuron::new(1, 2) },
            Command::SetLayerRange { range: Some((1, 3)) },
            Command::SelectNeurons { neurons: NeuronSet::parse("L0N1-3").expect("set") },
            Command::SetAblationMode { mode: crate::eval::AblationMode::Scale(0.5) },
            Command::Undo,
        ] {
            let text = serde_json::to_string(&command).expect("json");
            assert_eq!(serde_json::from_str::<Command>(&text).expect(&text), command);
        }
    }

    #[test]
    fn a_project_opens_as_it_was_saved() {
        let dir = folder();
        let mut app = sample_app(dir.path());
        app.apply(Command::ToggleNeuron { neuron: Neuron::new(0, 1) });
        assert!(app.is_dirty());
        let path = dir.path().join("p.json");
        app.apply(Command::SaveProject { path: Some(path.clone()) });
        assert!(!app.is_dirty());
        let mut other = for_tests(dir.path());
        other.apply(Command::OpenProject { path: path.clone() });
        assert_eq!((&other.project, other.undo_label()), (&app.project, Some("toggle L0N1")));
        other.apply(Command::OpenProject { path: dir.path().join("missing.json") });
        assert_eq!(other.project, app.project);
        assert!(other.log.last().expect("notice").details.contains("missing.json"));
    }
}
