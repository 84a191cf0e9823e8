//! [`GpuScan`]: the fused scan on a graphics card.

use super::{
    TileShape,
    adapters::{self, AdapterEntry, AdapterFacts},
    card::{Budget, Card, error_of, no_room},
    gpu::{Fault, Gpu},
};
use crate::{
    base::{Error, Result},
    compute::{ScanDevice, ScanJob, ScanSums},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// An opened card. One scan at a time; a second waits.
pub struct GpuScan {
    facts: AdapterFacts,
    card: Mutex<Card>,
    lost: AtomicBool,
}

impl GpuScan {
    /// The card of `--device gpu` (`None`: the first that works) or `--device gpu:N`.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(index: Option<usize>) -> Result<Self> {
        Self::open_entry(adapters::find(index)?, None, None)
    }

    /// With a tile's shape and a budget of its own: for tests and measurements.
    ///
    /// # Errors
    /// As [`GpuScan::open`].
    pub fn open_entry(entry: &AdapterEntry, tile: Option<TileShape>, budget: Option<Budget>) -> Result<Self> {
        let facts = entry.facts.clone();
        // Large tiles pay where registers and threads are plenty.
        let room = facts.workgroup_bytes >= TileShape::LARGE.workgroup_bytes();
        let usual = if facts.is_software() || !room { TileShape::SMALL } else { TileShape::LARGE };
        let budget = budget.unwrap_or_else(|| Budget::of(facts.max_binding_bytes.min(facts.max_buffer_bytes), facts.is_software()));
        let opened = guarded(&facts, || {
            let gpu = Gpu::open(entry, tile.unwrap_or(usual))?;
            Card::new(gpu, budget).map_err(|fault| match fault {
                Fault::Memory(words) => Error::device(facts.title(), words),
                Fault::Stop(e) => e,
            })
        });
        Ok(Self { card: Mutex::new(opened?), facts, lost: AtomicBool::new(false) })
    }

    /// Seconds of a job's kernels without its transfers, `rounds` times: for measurements.
    ///
    /// # Errors
    /// Those of the card; when the job does not fit on it whole.
    pub fn kernel_seconds(&self, job: &ScanJob<'_>, rounds: usize) -> Result<Vec<f64>> {
        let mut card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = guarded(&self.facts, || Ok(card.kernel_seconds(job, rounds)))?;
        seconds.map_err(|fault| error_of(&card.gpu, fault))
    }

    pub fn facts(&self) -> &AdapterFacts {
        &self.facts
    }
}

/// wgpu panics where it sees no way on, e.g. when a device is lost while it is waited for.
fn guarded<T>(facts: &AdapterFacts, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let what = format!("the graphics library gave up ({}); try again, or use --device cpu", words.unwrap_or("no message"));
        Err(Error::device(facts.title(), what))
    })
}

impl ScanDevice for GpuScan {
    fn name(&self) -> String {
        self.facts.title()
    }

    fn scan(&self, jobs: &[ScanJob<'_>], check: &dyn Fn() -> Result<()>) -> Result<Vec<ScanSums>> {
        if self.is_lost() {
            return Err(Error::device(self.name(), "the device was lost before; try again, or use --device cpu"));
        }
        let mut card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        let card = &mut *card;
        let done = guarded(&self.facts, || {
            loop {
                let fault = match card.scan(jobs, check) {
                    Ok(sums) => return Ok(sums),
                    Err(fault) => fault,
                };
                let Fault::Memory(words) = fault else { return Err(error_of(&card.gpu, fault)) };
                // Smaller pieces may fit; what is held goes first.
                card.release();
                card.budget = card.budget.half().ok_or_else(|| no_room(&card.gpu, &words))?;
                tracing::warn!("{}: {words}; going on with half the memory", self.facts.title());
            }
        });
        // Any failure of the card itself: it is opened anew next time.
        if matches!(done, Err(Error::Device { .. })) {
            self.lost.store(true, Ordering::Release);
        }
        done
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}
