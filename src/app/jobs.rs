//! Work in the background: what it is, how far it is, how it ended; and the threads that do it.

use super::event::{Event, JobTarget};
use crate::base::{CancelToken, Ctx, Error, Progress, Result};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    Running,
    Done,
    Cancelled,
    Failed(String),
}

/// Why work ended without its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// By hand: what somebody wanted, and no failure to them.
    Cancelled,
    Failed(String),
}

impl Failure {
    /// What went wrong; nothing did where it was stopped by hand.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Cancelled => None,
            Self::Failed(message) => Some(message),
        }
    }
    pub fn is_cancelled(&self) -> bool {
        *self == Self::Cancelled
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

/// What a panel shows of a job.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    /// What it works for.
    pub target: JobTarget,
    /// `Scan of 6 domains`
    pub title: String,
    pub state: JobState,
    pub progress: Progress,
    pub elapsed: Duration,
    /// Units a second over the current phase.
    pub rate: Option<f64>,
    pub left: Option<Duration>,
    /// Asked to stop, not yet stopped.
    pub stopping: bool,
}

/// Progress reaches the window at most ten times a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Ended jobs kept for the Jobs panel.
const ENDED_KEPT: usize = 50;

pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

pub(super) enum Message {
    Progress(JobId, Progress),
    Event(JobId, Event),
    Ended(JobId, Result<(), Failure>),
}

/// A worker's way to tell news before it ends.
pub(super) struct Outbox {
    id: JobId,
    tx: Sender<Message>,
    wake: Wake,
}

impl Outbox {
    pub fn send(&self, event: Event) {
        // Nobody listens any more once the program is closing.
        let _ = self.tx.send(Message::Event(self.id, event));
        (self.wake)();
    }
}

struct Handle {
    id: JobId,
    target: JobTarget,
    cancel: CancelToken,
    started: Instant,
    /// Start of the phase in progress and what was done then.
    phase: Option<(String, Instant, u64)>,
    /// Replaced by a newer job: leaves no trace in the list.
    superseded: bool,
}

/// Starts threads, hears of them, keeps the list that panels show.
pub(super) struct Runner {
    next: u64,
    running: Vec<Handle>,
    tx: Sender<Message>,
    rx: Receiver<Message>,
    wake: Wake,
}

impl Runner {
    pub fn new(wake: Wake) -> Self {
        let (tx, rx) = channel();
        Self { next: 1, running: Vec::new(), tx, rx, wake }
    }

    pub fn spawn(
        &mut self,
        views: &mut Vec<JobView>,
        title: impl Into<String>,
        target: JobTarget,
        work: impl FnOnce(&Ctx<'_>, &Outbox) -> Result<()> + Send + 'static,
    ) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        let title = title.into();
        tracing::info!(job = id.0, "{title}");
        let cancel = CancelToken::default();
        let handle = Handle { id, target: target.clone(), cancel: cancel.clone(), started: Instant::now(), phase: None, superseded: false };
        self.running.push(handle);
        views.push(JobView {
            id,
            target,
            title,
            state: JobState::Running,
            progress: Progress::default(),
            elapsed: Duration::ZERO,
            rate: None,
            left: None,
            stopping: false,
        });
        let ended = views.iter().filter(|v| v.state != JobState::Running).count();
        if ended > ENDED_KEPT {
            let mut surplus = ended - ENDED_KEPT;
            views.retain(|v| {
                v.state == JobState::Running || surplus == 0 || {
                    surplus -= 1;
                    false
                }
            });
        }
        let (tx, wake) = (self.tx.clone(), self.wake.clone());
        let outbox = Outbox { id, tx: tx.clone(), wake: wake.clone() };
        let body = {
            let (tx, wake) = (tx.clone(), wake.clone());
            move || {
                let last = Mutex::new((Instant::now(), String::new()));
                let report = |progress: Progress| {
                    let Ok(mut last) = last.lock() else { return };
                    let news = last.1 != progress.phase || progress.done >= progress.total;
                    if news || last.0.elapsed() >= PROGRESS_EVERY {
                        *last = (Instant::now(), progress.phase.clone());
                        let _ = tx.send(Message::Progress(id, progress));
                        wake();
                    }
                };
                let result = catch_unwind(AssertUnwindSafe(|| work(&Ctx::new(&cancel, &report), &outbox)));
                let result = match result {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(Error::Cancelled)) => Err(Failure::Cancelled),
                    Ok(Err(e)) => Err(Failure::Failed(e.to_string())),
                    Err(panic) => Err(Failure::Failed(format!("the program made a mistake: {}", panic_message(&*panic)))),
                };
                let _ = tx.send(Message::Ended(id, result));
                wake();
            }
        };
        if let Err(e) = std::thread::Builder::new().name(format!("job {}", id.0)).spawn(body) {
            let _ = tx.send(Message::Ended(id, Err(Failure::Failed(format!("no thread could be started: {e}")))));
            wake();
        }
        id
    }

    pub fn try_next(&self) -> Option<Message> {
        self.rx.try_recv().ok()
    }

    /// Notes the end of a job; `None` when it was replaced by a newer one and nobody should hear of it.
    pub fn end(&mut self, views: &mut Vec<JobView>, id: JobId, state: JobState) -> Option<JobTarget> {
        let at = self.running.iter().position(|h| h.id == id)?;
        let handle = self.running.remove(at);
        if handle.superseded {
            views.retain(|v| v.id != id);
            return None;
        }
        if let Some(view) = views.iter_mut().find(|v| v.id == id) {
            view.elapsed = handle.started.elapsed();
            view.left = None;
            view.stopping = false;
            view.state = state;
        }
        Some(handle.target)
    }

    pub fn progress(&mut self, views: &mut [JobView], id: JobId, progress: Progress) {
        let (Some(handle), Some(view)) = (self.running.iter_mut().find(|h| h.id == id), views.iter_mut().find(|v| v.id == id)) else {
            return;
        };
        let now = Instant::now();
        if handle.phase.as_ref().is_none_or(|(phase, _, done)| *phase != progress.phase || progress.done < *done) {
            // The first report of a phase may come with work done; what was done before is no evidence of the rate.
            handle.phase = Some((progress.phase.clone(), now, progress.done));
        }
        if let Some((_, since, first)) = &handle.phase {
            (view.rate, view.left) =
                rate_and_left(now.duration_since(*since), progress.done - first, progress.total.saturating_sub(progress.done));
        }
        view.progress = progress;
        view.elapsed = now.duration_since(handle.started);
    }

    /// Brings the clocks of running jobs up to date.
    pub fn tick(&self, views: &mut [JobView]) {
        for h in &self.running {
            if let Some(view) = views.iter_mut().find(|v| v.id == h.id) {
                view.elapsed = h.started.elapsed();
            }
        }
    }

    pub fn cancel(&mut self, views: &mut [JobView], id: JobId) -> bool {
        let Some(h) = self.running.iter().find(|h| h.id == id) else { return false };
        h.cancel.cancel();
        if let Some(view) = views.iter_mut().find(|v| v.id == id) {
            view.stopping = true;
        }
        true
    }

    /// Stops jobs that work for a target of the same kind, silently: a newer one takes their place.
    pub fn supersede(&mut self, views: &mut Vec<JobView>, same: impl Fn(&JobTarget) -> bool) {
        for h in self.running.iter_mut().filter(|h| same(&h.target)) {
            h.cancel.cancel();
            h.superseded = true;
            views.retain(|v| v.id != h.id);
        }
    }

    pub fn is_superseded(&self, id: JobId) -> bool {
        self.running.iter().find(|h| h.id == id).is_none_or(|h| h.superseded)
    }

    /// Of the jobs that are listed: nobody can mean to stop what he cannot see.
    pub fn newest(&self) -> Option<JobId> {
        self.running.iter().rev().find(|h| !h.superseded && !h.cancel.is_cancelled() && h.target.is_listed()).map(|h| h.id)
    }

    pub fn is_running(&self, same: impl Fn(&JobTarget) -> bool) -> bool {
        self.running.iter().any(|h| !h.superseded && same(&h.target))
    }
    /// Nothing works, not even what was asked to stop.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        for h in &self.running {
            h.cancel.cancel();
        }
    }
}

/// Rate over a phase and time left at that rate; both unknown before something was done.
fn rate_and_left(elapsed: Duration, done: u64, todo: u64) -> (Option<f64>, Option<Duration>) {
    let seconds = elapsed.as_secs_f64();
    if done == 0 || seconds < 1e-3 {
        return (None, None);
    }
    let rate = done as f64 / seconds;
    (Some(rate), Duration::try_from_secs_f64(todo as f64 / rate).ok())
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn runner() -> (Runner, Vec<JobView>) {
        (Runner::new(Arc::new(|| {})), Vec::new())
    }

    /// Messages until the job's end.
    fn until_end(runner: &Runner) -> (Vec<Progress>, Result<(), Failure>) {
        let mut seen = Vec::new();
        loop {
            match runner.rx.recv_timeout(Duration::from_secs(20)).expect("the job ends") {
                Message::Progress(_, p) => seen.push(p),
                Message::Ended(_, result) => return (seen, result),
                Message::Event(..) => {}
            }
        }
    }

    #[test]
    fn a_panic_ends_as_failed_with_its_message() {
        let (mut r, mut views) = runner();
        r.spawn(&mut views, "x", JobTarget::Other, |_, _| panic!("index {} of 3", 7));
        let (_, result) = until_end(&r);
        assert!(matches!(result, Err(Failure::Failed(m)) if m.contains("index 7 of 3")));
    }

    #[test]
    fn cancel_is_an_outcome_and_no_failure() {
        let (mut r, mut views) = runner();
        let id = r.spawn(&mut views, "x", JobTarget::Other, |ctx, _| {
            loop {
                ctx.check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        assert!(r.cancel(&mut views, id) && views[0].stopping);
        let (_, result) = until_end(&r);
        assert!(matches!(result, Err(Failure::Cancelled)));
    }

    #[test]
    fn progress_is_throttled_but_its_last_word_arrives() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = wakes.clone();
        let mut r = Runner::new(Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let mut views = Vec::new();
        r.spawn(&mut views, "x", JobTarget::Other, |ctx, _| {
            for i in 0..=100_000 {
                ctx.progress("a", i, 100_000, "items");
            }
            Ok(())
        });
        let started = Instant::now();
        let (seen, _) = until_end(&r);
        // One for the phase, one for its end, and at most ten a second between.
        let most = 3 + started.elapsed().as_millis() as usize / 100;
        assert!((2..=most).contains(&seen.len()), "{} of at most {most}", seen.len());
        assert_eq!(seen.last().map(|p| p.done), Some(100_000));
        assert!(wakes.load(Ordering::Relaxed) >= seen.len());
    }

    #[test]
    fn a_superseded_job_leaves_no_trace() {
        let (mut r, mut views) = runner();
        let id = r.spawn(&mut views, "x", JobTarget::Other, |ctx, _| {
            while ctx.check().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        r.supersede(&mut views, |t| matches!(t, JobTarget::Other));
        assert!(views.is_empty() && r.is_superseded(id));
        let _ = until_end(&r);
        assert!(r.end(&mut views, id, JobState::Done).is_none() && r.is_idle());
    }

    #[test]
    fn the_newest_to_stop_is_one_that_is_listed() {
        let (mut r, mut views) = runner();
        let wait = |ctx: &Ctx<'_>, _: &Outbox| {
            while ctx.check().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        let listed = r.spawn(&mut views, "x", JobTarget::Scan, wait);
        let look = r.spawn(&mut Vec::new(), "", JobTarget::Looking(super::super::inspect::Looking::Head), wait);
        assert_eq!(r.newest(), Some(listed), "nobody sees the look, so nobody means to stop it");
        assert!(r.cancel(&mut views, listed) && r.newest().is_none());
        r.cancel(&mut views, look);
        let _ = (until_end(&r), until_end(&r));
    }

    #[test]
    fn rate_and_time_left() {
        // 30 of 90 in 10 s: 3 a second, 20 s for the remaining 60.
        assert_eq!(rate_and_left(Duration::from_secs(10), 30, 60), (Some(3.0), Some(Duration::from_secs(20))));
        assert_eq!(rate_and_left(Duration::from_secs(10), 0, 60), (None, None));
    }
}
