//! The order of neurons that maps show, worked out on a worker, and the run that stands beside the shown one.

use super::{
    App, Failure, MapChange, RunEntry,
    event::{Event, JobTarget},
    library::Loading,
    opening::read_run,
};
use crate::{base::heatmap::Permutation, report::neuron_order::NeuronOrder, scan::ScanOutput};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The order in force of the shown run.
#[derive(Default)]
pub(super) struct Arranged {
    /// Of which run (kept, so that its address stays its own) and by what.
    of: Option<(Arc<ScanOutput>, NeuronOrder)>,
    state: Option<Loading<Arc<Permutation>>>,
    generation: u64,
    /// A second run that was not opened, and why; it is asked for once.
    other_failed: Option<(PathBuf, Failure)>,
}

impl App {
    /// How the neurons of the shown run are ordered; `None` by their index. While it is worked out, maps show the index.
    pub fn neuron_order(&self) -> Option<&Loading<Arc<Permutation>>> {
        self.arranged.state.as_ref()
    }
    /// The order, once it is there.
    pub fn permutation(&self) -> Option<&Arc<Permutation>> {
        self.neuron_order()?.ready()
    }

    /// Starts what the view asks for and is not there: the order of neurons, the second run.
    pub(super) fn refresh_maps(&mut self) {
        let order = self.project.view.map.order.clone();
        let run = self.library.run().map(|r| r.output.clone());
        let same = match (&self.arranged.of, &run) {
            (Some((of, by)), Some(run)) => Arc::ptr_eq(of, run) && *by == order,
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.runner.supersede(&mut self.jobs, |t| matches!(t, JobTarget::Order(_)));
            self.arranged.state = None;
            self.arranged.of = run.clone().map(|run| (run, order.clone()));
            if let Some(run) = run.filter(|_| order != NeuronOrder::Index) {
                let generation = self.next_generation();
                self.arranged.generation = generation;
                self.arranged.state = Some(Loading::Working);
                let title = match &order {
                    NeuronOrder::Profile { .. } => "Clustering neurons",
                    _ => "Sorting neurons",
                };
                self.runner.spawn(&mut self.jobs, title, JobTarget::Order(generation), move |ctx, out| {
                    if let Some(permutation) = order.permutation(&run, ctx)? {
                        out.send(Event::Ordered { generation, permutation: Arc::new(permutation) });
                    }
                    Ok(())
                });
            }
        }
        let wanted = self.project.view.map.other_run.clone();
        match wanted {
            Some(path) if self.library.run_named(&path).is_none() && self.arranged.other_failed.as_ref().is_none_or(|f| f.0 != path) => {
                if !self.runner.is_running(|t| *t == JobTarget::OtherRun(path.clone())) {
                    let title = format!("Opening run {}", path.display());
                    self.runner.spawn(&mut self.jobs, title, JobTarget::OtherRun(path.clone()), move |_, out| {
                        let output = Arc::new(read_run(&path)?);
                        out.send(Event::OtherRun { output, path });
                        Ok(())
                    });
                }
            }
            Some(_) => {}
            None => self.arranged.other_failed = None,
        }
    }

    pub(super) fn ordered(&mut self, generation: u64, permutation: Arc<Permutation>) {
        if self.arranged.generation == generation {
            self.arranged.state = Some(Loading::Ready(permutation));
        }
    }
    pub(super) fn order_failed(&mut self, generation: u64, failure: Failure) {
        if self.arranged.generation == generation {
            self.arranged.state = Some(failure.into());
        }
    }
    pub(super) fn other_run_failed(&mut self, path: PathBuf, failure: Failure) {
        self.arranged.other_failed = Some((path, failure));
    }
    /// Whoever chooses a second run again wants it opened again.
    pub(super) fn change_map(&mut self, change: MapChange) {
        let asks = matches!(change, MapChange::OtherRun(Some(_)));
        change.make(&mut self.project.view.map);
        if asks {
            self.arranged.other_failed = None;
            self.refresh_maps();
        }
    }
    /// Into the library; the panels go on showing the run they show.
    pub(super) fn add_other_run(&mut self, output: Arc<ScanOutput>, path: PathBuf) {
        if self.library.run_named(&path).is_none() {
            let name = super::opening::run_name(&self.library, Some(&path), &output);
            self.library.runs.push(RunEntry { name, path: Some(path), output, samples: None });
        }
    }
    /// The run beside the shown one, once it is open.
    pub fn other_run(&self) -> Option<&RunEntry> {
        self.library.run_named(self.project.view.map.other_run.as_deref()?)
    }
    /// How the chosen second run stands; `None` where none is chosen.
    pub fn other_run_state(&self) -> Option<Loading<()>> {
        let chosen = self.project.view.map.other_run.as_ref()?;
        Some(match &self.arranged.other_failed {
            _ if self.other_run().is_some() => Loading::Ready(()),
            Some((path, failure)) if path == chosen => failure.clone().into(),
            _ => Loading::Working,
        })
    }
}

impl super::Library {
    /// The run of this folder, or of this name where it has no folder.
    pub fn run_named(&self, key: &Path) -> Option<&RunEntry> {
        self.runs.iter().find(|r| r.key() == key)
    }
}

impl RunEntry {
    /// What a project remembers it by.
    pub fn key(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| PathBuf::from(&self.name))
    }
    /// `demo 5a5a5a5a`: model and the first digits of its hash.
    pub fn model_label(&self) -> String {
        let p = &self.output.provenance;
        format!("{} {}", p.model, p.model_sha256.chars().take(8).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{Command, MapChange, testing},
        scan::MetricKind,
    };

    fn order(app: &mut App, order: NeuronOrder) {
        app.apply(Command::ChangeMap { change: MapChange::Order(order) });
        testing::settle(app);
    }

    #[test]
    fn an_order_is_worked_out_kept_and_undone() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        assert!(app.neuron_order().is_none());
        order(&mut app, NeuronOrder::Value { metric: MetricKind::Relevance, domain: "logic".into() });
        let map = app.library.scan().and_then(|s| s.domain("logic")?.relevance.clone()).expect("map");
        let sorted = app.permutation().expect("sorted").arrange(&map).expect("fits");
        assert!(sorted.row(3).windows(2).all(|w| w[0] >= w[1]));
        assert_eq!(app.undo_label(), Some("order of neurons"));
        app.apply(Command::Undo);
        assert!(app.neuron_order().is_none());
        app.apply(Command::Redo);
        testing::settle(&mut app);
        assert!(app.permutation().is_some());
        order(&mut app, NeuronOrder::Profile { metric: MetricKind::Relevance });
        assert_eq!(app.permutation().expect("clustered").cols(), 512);
    }

    #[test]
    fn an_order_that_cannot_be_made_says_why() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        order(&mut app, NeuronOrder::Value { metric: MetricKind::Relevance, domain: "tides".into() });
        assert!(app.neuron_order().and_then(Loading::failed).is_some_and(|m| m.contains("tides")));
        assert!(app.permutation().is_none());
    }

    #[test]
    fn a_second_run_stands_beside_the_shown_one() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let other = RunEntry { name: "run 2".into(), path: None, output: Arc::new(testing::sample_output(8, 512, 1)), samples: None };
        app.library.runs.push(other);
        app.apply(Command::ChangeMap { change: MapChange::OtherRun(Some("run 2".into())) });
        assert_eq!(app.other_run().map(|r| r.name.as_str()), Some("run 2"));
        assert_eq!(app.library.run().map(|r| r.name.as_str()), Some("run 1"));
        app.apply(Command::Undo);
        assert!(app.other_run().is_none());
        // A folder that is not there is asked for once and told.
        app.apply(Command::ChangeMap { change: MapChange::OtherRun(Some(dir.path().join("none"))) });
        testing::settle(&mut app);
        assert!(app.other_run().is_none() && app.other_run_state().is_some_and(|s| s.failed().is_some()));
        assert!(app.log.last().is_some_and(|n| n.title.contains("failed")));
    }

    #[test]
    fn opening_a_second_run_is_stopped_calmly_and_asked_for_again() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let none = dir.path().join("none");
        let choose = |path: &Path| Command::ChangeMap { change: MapChange::OtherRun(Some(path.to_owned())) };
        app.apply(choose(&none));
        // As it ends when it is stopped by hand before it has read anything.
        app.other_run_failed(none.clone(), Failure::Cancelled);
        assert!(matches!(app.other_run_state(), Some(Loading::Stopped)));
        testing::settle(&mut app);
        app.other_run_failed(none.clone(), Failure::Cancelled);
        app.apply(Command::SetTopPercent { percent: 3.0 });
        assert!(matches!(app.other_run_state(), Some(Loading::Stopped)), "another step does not open it");
        let steps = app.history().len();
        app.apply(choose(&none));
        assert!(matches!(app.other_run_state(), Some(Loading::Working)), "choosing it does");
        assert_eq!(app.history().len(), steps, "and is no step of its own");
        testing::settle(&mut app);
        assert!(app.other_run_state().is_some_and(|s| s.failed().is_some()), "and what is not there still fails");
    }
}
