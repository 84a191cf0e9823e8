//! Threads that share a kernel's tasks with the one that calls it.
//!
//! A pass is hundreds of kernels of about a millisecond, one after another. Putting the caller to sleep and waking others takes 25 to 250 microseconds each
//! time (docs/speed.md), so the caller works itself, and helpers look out for the next kernel for a moment before they sleep.

use std::{
    any::Any,
    hint::spin_loop,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a helper looks out for the next kernel: longer than what lies between two of one pass.
const LOOK_OUT: Duration = Duration::from_micros(200);
/// Looks between two glances at the clock.
const LOOKS: usize = 64;

/// A caller's helpers.
pub(super) struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Changes, under the lock, with every call.
    calls: AtomicUsize,
}

#[derive(Default)]
struct State {
    open: Vec<Posted>,
    asleep: usize,
    closing: bool,
}

/// A call that helpers may see. It lives on its caller's stack, who takes it back and waits for whoever has picked it.
#[derive(Clone, Copy, PartialEq)]
struct Posted(*const Call<'static>);

#[expect(unsafe_code, reason = "a call is lent to other threads; see `Crew::run`")]
// SAFETY: a `Call` may be shared, and `Crew::run` keeps it alive for as long as it is posted or picked.
unsafe impl Send for Posted {}

/// `task` for `0..count`, and how far it is.
struct Call<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    shares: Box<[Share]>,
    helping: AtomicUsize,
    failed: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Tasks side by side, the first in the lower half, the end in the upper. Whose they are takes the first, others the last, so that
/// neighbours, which often read the same, stay with one thread.
#[repr(align(64))]
struct Share(AtomicU64);

impl Share {
    fn new(first: usize, end: usize) -> Self {
        debug_assert!(end < 1 << 32, "{end} tasks");
        Self(AtomicU64::new(first as u64 | (end as u64) << 32))
    }
    /// The task that `pick` of `(first, end)` gives, and what is left.
    fn take(&self, pick: impl Fn(u64, u64) -> (u64, u64, u64)) -> Option<usize> {
        let mut taken = 0;
        let left = |both: u64| {
            let (first, end) = (both & u64::from(u32::MAX), both >> 32);
            (first < end).then(|| {
                let (task, first, end) = pick(first, end);
                taken = task;
                first | end << 32
            })
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok().map(|_| taken as usize)
    }
    fn first(&self) -> Option<usize> {
        self.take(|first, end| (first, first + 1, end))
    }
    fn last(&self) -> Option<usize> {
        self.take(|first, end| (end - 1, first, end - 1))
    }
    fn is_empty(&self) -> bool {
        let both = self.0.load(Ordering::Relaxed);
        both & u64::from(u32::MAX) >= both >> 32
    }
}

impl Call<'_> {
    /// Does tasks until none is left. `who` has a share of its own.
    fn work(&self, who: usize) {
        let n = self.shares.len();
        let own = who % n;
        let next = || self.shares[own].first().or_else(|| (1..n).find_map(|i| self.shares[(own + i) % n].last()));
        let all = || {
            while let Some(task) = next() {
                (self.task)(task);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            lock(&self.failed).get_or_insert(panic);
        }
    }
    fn has_work(&self) -> bool {
        self.shares.iter().any(|s| !s.is_empty())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    /// `helpers` threads besides the caller's.
    ///
    /// # Errors
    /// When not one of them can be started.
    pub fn new(helpers: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), calls: AtomicUsize::new(0) });
        let mut crew = Self { shared, helpers: Vec::with_capacity(helpers) };
        for i in 0..helpers {
            let shared = crew.shared.clone();
            match thread::Builder::new().name(format!("compute-{i}")).spawn(move || shared.help(1 + i)) {
                Ok(helper) => crew.helpers.push(helper),
                Err(e) if crew.helpers.is_empty() => return Err(e),
                Err(_) => break,
            }
        }
        Ok(crew)
    }
    /// Runs `task` for `0..count` on the calling thread and on helpers. A task's panic goes on here, after all that were begun have ended.
    pub fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let parts = (1 + self.helpers.len()).min(count.max(1));
        let shares = (0..parts).map(|p| Share::new(count * p / parts, count * (p + 1) / parts)).collect();
        let call = Call { task, shares, helping: AtomicUsize::new(0), failed: Mutex::default() };
        let posted = Posted(std::ptr::from_ref(&call).cast());
        self.shared.post(posted, count.saturating_sub(1));
        call.work(0);
        lock(&self.shared.state).open.retain(|p| *p != posted);
        // Nobody picks it from here on.
        let mut looks = 0;
        while call.helping.load(Ordering::Acquire) > 0 {
            looks += 1;
            // Whoever is late may be waiting for this processor.
            if looks % (16 * LOOKS) == 0 { thread::yield_now() } else { spin_loop() }
        }
        let failed = lock(&call.failed).take();
        if let Some(panic) = failed {
            resume_unwind(panic);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.shared.state);
            state.closing = true;
            self.shared.calls.fetch_add(1, Ordering::Release);
        }
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // It ends without a panic: tasks' are caught.
            let _ = helper.join();
        }
    }
}

impl Shared {
    /// Lets up to `wanted` helpers see a call.
    fn post(&self, call: Posted, wanted: usize) {
        let asleep = {
            let mut state = lock(&self.state);
            state.open.push(call);
            self.calls.fetch_add(1, Ordering::Release);
            state.asleep
        };
        if wanted >= asleep {
            if asleep > 0 {
                self.wake.notify_all();
            }
        } else {
            (0..wanted).for_each(|_| self.wake.notify_one());
        }
    }
    /// A helper's life.
    fn help(&self, who: usize) {
        loop {
            let seen = self.calls.load(Ordering::Acquire);
            if let Some(Posted(call)) = self.pick() {
                #[expect(unsafe_code, reason = "reads a call on another thread's stack")]
                // SAFETY: it was picked while posted, and its caller waits until `helping` is back to zero, which is the last that is done to it here.
                unsafe {
                    (*call).work(who);
                    (*call).helping.fetch_sub(1, Ordering::Release);
                }
            } else if !self.called_again(seen) {
                let mut state = lock(&self.state);
                while self.calls.load(Ordering::Relaxed) == seen && !state.closing {
                    state.asleep += 1;
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.asleep -= 1;
                }
                if state.closing {
                    return;
                }
            }
        }
    }
    /// A call that has tasks left, counted as helped with.
    fn pick(&self) -> Option<Posted> {
        let state = lock(&self.state);
        state.open.iter().copied().find(|Posted(call)| {
            #[expect(unsafe_code, reason = "reads a call on another thread's stack")]
            // SAFETY: what is posted lives; its caller takes it back under this lock.
            let call = unsafe { &**call };
            let some = call.has_work();
            if some {
                call.helping.fetch_add(1, Ordering::Relaxed);
            }
            some
        })
    }
    /// Looks out for a call after `seen`, for a moment.
    fn called_again(&self, seen: usize) -> bool {
        let since = Instant::now();
        while since.elapsed() < LOOK_OUT {
            for _ in 0..LOOKS {
                if self.calls.load(Ordering::Acquire) != seen {
                    return true;
                }
                spin_loop();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_up(n: &AtomicUsize) {
        n.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn every_task_is_done_once() {
        let crew = Crew::new(3).expect("threads");
        for count in [0, 1, 2, 3, 4, 5, 100, 1_000] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            crew.run(count, &|i| count_up(&done[i]));
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1), "{count}");
        }
    }

    #[test]
    fn callers_at_once_and_calls_within_calls_all_end() {
        let crew = Crew::new(2).expect("threads");
        let sum = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for round in 0..200 {
                        if round % 50 == 0 {
                            // Long enough for helpers to sleep.
                            thread::sleep(2 * LOOK_OUT);
                        }
                        crew.run(3, &|_| crew.run(5, &|_| count_up(&sum)));
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 200 * 15);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_crew_goes_on() {
        let crew = Crew::new(1).expect("threads");
        for bad in [0, 7] {
            let done = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                crew.run(8, &|i| {
                    assert!(i != bad, "task {i}");
                    count_up(&done);
                });
            }));
            let message = caught.expect_err("panics");
            assert_eq!(message.downcast_ref::<String>().map(String::as_str), Some(format!("task {bad}").as_str()));
            crew.run(8, &|_| count_up(&done));
            assert!(done.into_inner() >= 8);
        }
    }
}
