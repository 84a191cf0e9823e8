//! What running work may touch: report progress and ask whether to stop. No screen here.

use crate::base::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Shared stop flag. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a job is. `phase` is a short word a user reads ("scanning arithmetic"), `unit` what is counted ("samples").
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub phase: String,
    pub done: u64,
    pub total: u64,
    pub unit: &'static str,
}

/// Handed to every engine call that may take longer than a frame.
pub struct Ctx<'a> {
    pub cancel: &'a CancelToken,
    report: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Ctx<'a> {
    pub fn new(cancel: &'a CancelToken, report: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { cancel, report }
    }
    /// Call once a batch; a cancel must be felt within 200 ms.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the user has asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
    /// May be called as often as one likes: the receiver throttles.
    pub fn progress(&self, phase: impl Into<String>, done: usize, total: usize, unit: &'static str) {
        (self.report)(Progress { phase: phase.into(), done: done as u64, total: total as u64, unit });
    }
}

/// Runs `work` with a context that reports to nobody and is never cancelled: tests, benches, tiny jobs.
pub fn silently<T>(work: impl FnOnce(&Ctx<'_>) -> T) -> T {
    let cancel = CancelToken::default();
    work(&Ctx::new(&cancel, &|_| {}))
}
