//! Made-up work in the background, for tests and snapshots of the fronts.

use super::{
    App, JobId, JobState, JobTarget, JobView, SweepKind, TaskJob, testing_sweeps::sample_app_swept, testing_tasks::sample_app_found,
};
use crate::{ablate::SweepUnit, base::Progress};
use std::{path::Path, time::Duration};

/// 1,638 of 4,096 units.
pub fn sample_job(id: u64, target: JobTarget, title: &str, phase: &str, state: JobState) -> JobView {
    JobView {
        id: JobId(id),
        target,
        title: title.into(),
        state,
        progress: Progress { phase: phase.into(), done: 1638, total: 4096, unit: "units" },
        elapsed: Duration::from_millis(41_500),
        rate: Some(39.5),
        left: Some(Duration::from_millis(62_200)),
        stopping: false,
    }
}

/// A sweep and the search for task neurons under way, with what they have so far; work that was done, was stopped and has failed.
pub fn sample_app_at_work(data_dir: &Path) -> App {
    let mut app = sample_app_found(data_dir, 3);
    app.sweeps = sample_app_swept(data_dir, SweepUnit::Neuron, 0.4).sweeps;
    if let Some(view) = &mut app.sweeps.units {
        view.running = true;
    }
    if let Some(view) = &mut app.tasks.find {
        view.running = true;
    }
    app.prediction.running = true;
    let failed = JobState::Failed("/data/reviews.csv: No such file or directory (os error 2)".into());
    app.jobs = vec![
        sample_job(1, JobTarget::Other, "Reading reviews", "", failed),
        sample_job(2, JobTarget::Scan, "Scan of 6 domains", "", JobState::Done),
        sample_job(3, JobTarget::Samples, "Similarity of 384 samples", "", JobState::Cancelled),
        sample_job(4, JobTarget::Attribution(1), "First-order effects on 6 domains", "predicting logic", JobState::Running),
        sample_job(
            5,
            JobTarget::Tasks(TaskJob::Find),
            "Neurons of 6 tasks",
            "accuracy against k of sentiment, 2 of 11 shares",
            JobState::Running,
        ),
        sample_job(6, JobTarget::Sweep(SweepKind::Units), "Sweep of neurons over arithmetic", "sweeping layer 4", JobState::Running),
    ];
    app
}
