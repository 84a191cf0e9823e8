//! An `App` driven without a screen: waits for its workers, shows their progress, hears Ctrl-C.

use crate::app::{App, Command, JobState, JobView, NoticeLevel, Settings};
use crate::base::number;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

/// Why a verb ended without a result.
#[derive(Debug)]
pub enum Stop {
    /// What went wrong, each with what to do.
    Failed(Vec<String>),
    /// A request that cannot be meant like this.
    Usage(String),
    /// By Ctrl-C; says what was kept.
    Interrupted(String),
    /// Nobody reads stdout any more.
    BrokenPipe,
}

/// Workers get this long to stop after Ctrl-C; then the program ends without them.
const PATIENCE: Duration = Duration::from_millis(800);

pub struct Session {
    pub app: App,
    woken: Receiver<()>,
    interrupts: Arc<AtomicUsize>,
    bar: Option<ProgressBar>,
    quiet: bool,
    /// What remains after Ctrl-C.
    pub kept: String,
    /// Log lines already handled.
    seen: usize,
}

impl Session {
    pub fn new(settings: Settings, quiet: bool) -> Self {
        let (tx, woken) = channel();
        let interrupts = Arc::new(AtomicUsize::new(0));
        let (counter, waker) = (interrupts.clone(), tx.clone());
        let heard = ctrlc::set_handler(move || {
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                // Asked twice: nobody wants to wait.
                std::process::exit(1);
            }
            let _ = waker.send(());
        });
        if let Err(e) = heard {
            tracing::warn!("Ctrl-C will not be heard: {e}");
        }
        let app = App::with_settings(
            Arc::new(move || {
                let _ = tx.send(());
            }),
            settings,
        );
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {msg}") {
                bar.set_style(style.progress_chars("━━─"));
            }
            bar
        });
        Self { app, woken, interrupts, bar, quiet, kept: "Nothing was written.".into(), seen: 0 }
    }

    /// Applies a command and waits until no worker is busy.
    ///
    /// # Errors
    /// When something failed, or the user pressed Ctrl-C.
    pub fn run(&mut self, command: Command) -> Result<(), Stop> {
        self.app.apply(command);
        self.settle()
    }

    /// Waits until no worker is busy.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn settle(&mut self) -> Result<(), Stop> {
        loop {
            while self.app.pump() {}
            if self.interrupts.load(Ordering::SeqCst) > 0 {
                return self.interrupted();
            }
            if self.app.is_idle() {
                break;
            }
            self.show_progress();
            let _ = self.woken.recv_timeout(Duration::from_millis(100));
            while self.woken.try_recv().is_ok() {}
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut failures = Vec::new();
        let news: Vec<_> = self.app.log[self.seen.min(self.app.log.len())..].to_vec();
        self.seen = self.app.log.len();
        for notice in news {
            let text = if notice.details.is_empty() { notice.title } else { format!("{}: {}", notice.title, notice.details) };
            match notice.level {
                NoticeLevel::Error => failures.push(text),
                NoticeLevel::Warn => self.line(&format!("warning: {text}")),
                NoticeLevel::Info | NoticeLevel::Done => {}
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Stop::Failed(failures)) }
    }

    fn interrupted(&mut self) -> Result<(), Stop> {
        let began = Instant::now();
        while self.app.running().is_some_and(|j| !j.stopping) {
            self.app.apply(Command::CancelNewest);
        }
        while !self.app.is_idle() && began.elapsed() < PATIENCE {
            let _ = self.woken.recv_timeout(Duration::from_millis(20));
            self.app.pump();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Err(Stop::Interrupted(self.kept.clone()))
    }

    /// A line on stderr, unless quiet.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A line on stderr in any case: a warning says that a result is not what was asked for.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| super::output::error_line(text)),
            None => super::output::error_line(text),
        }
    }

    fn show_progress(&self) {
        let (Some(bar), Some(job)) = (&self.bar, self.app.running()) else { return };
        bar.set_length(job.progress.total.max(1));
        bar.set_position(job.progress.done);
        bar.set_message(progress_line(job));
    }
}

/// `scanning logic 41/64 samples · 3.9 /s · 6 s left`
pub fn progress_line(job: &JobView) -> String {
    let p = &job.progress;
    if job.state == JobState::Running && p.total == 0 {
        return job.title.clone();
    }
    let mut text = format!(
        "{} {}/{} {}",
        if p.phase.is_empty() { &job.title } else { &p.phase },
        number::count(p.done),
        number::count(p.total),
        p.unit
    );
    if let Some(rate) = job.rate {
        text.push_str(&format!(" · {} /s", number::sig3(rate)));
    }
    if let Some(left) = job.left {
        text.push_str(&format!(" · {} left", number::duration(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{JobId, JobTarget},
        base::Progress,
    };

    #[test]
    fn progress_says_rate_and_time_left() {
        let job = JobView {
            id: JobId(1),
            target: JobTarget::Scan,
            title: "Scan".into(),
            state: JobState::Running,
            progress: Progress { phase: "scanning logic".into(), done: 41, total: 64, unit: "samples" },
            elapsed: Duration::from_secs(10),
            rate: Some(3.9),
            left: Some(Duration::from_secs_f64(5.9)),
            stopping: false,
        };
        assert_eq!(progress_line(&job), "scanning logic 41/64 samples · 3.90 /s · 5.9 s left");
    }
}
