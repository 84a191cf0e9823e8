//! Undo and redo of the project: whole snapshots, one step a gesture.

use super::Project;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Commands of one gesture closer together than this are one step.
const GESTURE: Duration = Duration::from_millis(600);
/// Steps kept, and neurons kept over all steps (a set of a large model holds hundreds of thousands).
const STEPS: usize = 200;
const NEURONS: usize = 4_000_000;

struct Step {
    label: String,
    /// The project on the other side of the step.
    project: Project,
    gesture: Option<&'static str>,
    at: Instant,
}

#[derive(Default)]
pub(super) struct History {
    past: VecDeque<Step>,
    future: Vec<Step>,
}

impl History {
    /// Notes that `before` was left behind by a command.
    pub fn record(&mut self, label: String, before: Project, gesture: Option<&'static str>, now: Instant) {
        self.future.clear();
        if let Some(last) = self.past.back_mut()
            && gesture.is_some()
            && last.gesture == gesture
            && now.duration_since(last.at) < GESTURE
        {
            last.at = now;
            last.label = label;
            return;
        }
        self.past.push_back(Step { label, project: before, gesture, at: now });
        while self.past.len() > STEPS || self.past.len() > 1 && self.past.iter().map(|s| s.project.weight()).sum::<usize>() > NEURONS {
            self.past.pop_front();
        }
    }
    pub fn undo(&mut self, current: &Project) -> Option<Project> {
        let step = self.past.pop_back()?;
        self.future.push(Step { label: step.label, project: current.clone(), gesture: None, at: step.at });
        Some(step.project)
    }
    pub fn redo(&mut self, current: &Project) -> Option<Project> {
        let step = self.future.pop()?;
        self.past.push_back(Step { label: step.label, project: current.clone(), gesture: None, at: step.at });
        Some(step.project)
    }
    pub fn undo_label(&self) -> Option<&str> {
        self.past.back().map(|s| s.label.as_str())
    }
    pub fn redo_label(&self) -> Option<&str> {
        self.future.last().map(|s| s.label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_gamma(gamma: f32) -> Project {
        let mut p = Project::default();
        p.view.gamma = Some(gamma);
        p
    }

    #[test]
    fn a_drag_is_one_step_and_a_pause_starts_another() {
        let (mut h, t) = (History::default(), Instant::now());
        for i in 0..10u16 {
            h.record("gamma".into(), with_gamma(f32::from(i)), Some("gamma"), t + Duration::from_millis(500) * u32::from(i));
        }
        h.record("gamma".into(), with_gamma(10.0), Some("gamma"), t + Duration::from_millis(4_500 + 601));
        let now = with_gamma(11.0);
        assert_eq!(h.undo(&now), Some(with_gamma(10.0)));
        assert_eq!(h.undo(&with_gamma(10.0)), Some(with_gamma(0.0)));
        assert_eq!(h.undo(&with_gamma(0.0)), None);
        assert_eq!(h.redo(&with_gamma(0.0)), Some(with_gamma(10.0)));
        assert_eq!(h.redo(&with_gamma(10.0)), Some(now));
    }

    #[test]
    fn a_new_step_forgets_the_future() {
        let (mut h, t) = (History::default(), Instant::now());
        h.record("a".into(), with_gamma(0.0), None, t);
        h.undo(&with_gamma(1.0));
        assert_eq!(h.redo_label(), Some("a"));
        h.record("b".into(), with_gamma(0.0), None, t);
        assert_eq!((h.redo_label(), h.undo_label()), (None, Some("b")));
    }

    #[test]
    fn old_steps_fall_off() {
        let (mut h, t) = (History::default(), Instant::now());
        for _ in 0..300 {
            h.record("x".into(), Project::default(), None, t);
        }
        assert_eq!(h.past.len(), STEPS);
    }
}
