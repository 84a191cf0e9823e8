//! The bounded thread pool and how kernels share work on it.

#[cfg(target_arch = "x86_64")]
use super::tiles::{Parts, Unit};
use super::{Isa, Products, crew::Crew, pairs::Words, products::Maker};
use std::sync::{Mutex, PoisonError};

/// Below this many elements an elementwise kernel stays on the calling thread: waking another costs more.
const SERIAL_BELOW: usize = 16 * 1024;
/// Elements a task of an elementwise kernel should have.
const TASK_ELEMENTS: usize = 16 * 1024;

/// Worker threads and the instruction level of the code they run.
pub(super) struct Pool {
    pub threads: usize,
    pub isa: Isa,
    pub products: Products,
    /// Operands of products and of the fused scan, where no unit makes them.
    pub words: Words,
    /// What makes the products, where it is not f32 multiply-adds.
    #[cfg(target_arch = "x86_64")]
    pub unit: Option<Unit>,
    /// What makes those of the fused scan, likewise.
    #[cfg(target_arch = "x86_64")]
    pub scan_unit: Option<Unit>,
    /// The threads besides the caller's.
    crew: Option<Crew>,
    /// Big buffers between two uses.
    buffers: Mutex<Vec<Vec<f32>>>,
}

/// Floats of buffers kept between two uses (128 MiB).
const KEPT_BUFFERS: usize = 32 << 20;

impl Pool {
    /// `threads` is cut to what the process may use; `None` takes the physical cores, less one for the window where there are more than two.
    pub fn new(threads: Option<usize>, isa: Isa) -> Self {
        Self::with_products(threads, isa, Products::F32)
    }
    /// As [`Pool::new`], with another arithmetic of products that this processor has.
    pub fn with_products(threads: Option<usize>, isa: Isa, products: Products) -> Self {
        // The system is asked for the unit before there are threads.
        let maker = products.maker().unwrap_or(Maker::MultiplyAdds);
        #[cfg(target_arch = "x86_64")]
        let unit = maker.unit();
        let available = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = threads.unwrap_or_else(|| default_threads(available)).clamp(1, available);
        let crew = (threads > 1).then(|| Crew::new(threads - 1)).and_then(|crew| {
            crew.inspect_err(|e| tracing::warn!("no compute threads could be started ({e}); computing on the calling thread")).ok()
        });
        Self {
            threads: if crew.is_some() { threads } else { 1 },
            isa,
            products,
            words: maker.words(),
            #[cfg(target_arch = "x86_64")]
            unit,
            #[cfg(target_arch = "x86_64")]
            scan_unit: unit,
            crew,
            buffers: Mutex::default(),
        }
    }
    /// Whether the tile unit makes the fused scan's products of digits.
    pub fn scans_digits(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.scan_unit.is_some_and(|unit| unit.parts() == Parts::Digits);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
    /// Runs `task` for `0..count` in any order. Tasks must not depend on each other.
    pub fn for_each(&self, count: usize, task: impl Fn(usize) + Send + Sync) {
        match &self.crew {
            Some(crew) if count > 1 => crew.run(count, &task),
            _ => (0..count).for_each(task),
        }
    }
    /// As [`Pool::for_each`], with a scratch value for each worker and the results in order.
    pub fn map_with<S: Send, R: Send>(
        &self,
        count: usize,
        scratch: impl Fn() -> S + Send + Sync,
        task: impl Fn(&mut S, usize) -> R + Send + Sync,
    ) -> Vec<R> {
        match &self.crew {
            Some(crew) if count > 1 => {
                // Scratch goes from task to task, as many as there are threads.
                let idle = Mutex::new(Vec::new());
                let results: Vec<Mutex<Option<R>>> = (0..count).map(|_| Mutex::new(None)).collect();
                crew.run(count, &|i| {
                    let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let mut s = taken.unwrap_or_else(&scratch);
                    let result = task(&mut s, i);
                    *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                    idle.lock().unwrap_or_else(PoisonError::into_inner).push(s);
                });
                results.into_iter().filter_map(|r| r.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
            }
            _ => {
                let mut s = scratch();
                (0..count).map(|i| task(&mut s, i)).collect()
            }
        }
    }
    /// A buffer of at least `len` floats that hold anything: clearing megabytes for every matrix would cost as much as filling them.
    pub fn take_buffer(&self, len: usize) -> Vec<f32> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is long enough, else the longest, which grows.
        let best = (0..buffers.len()).min_by_key(|&i| {
            let capacity = buffers[i].capacity();
            if capacity >= len { (0, capacity) } else { (1, usize::MAX - capacity) }
        });
        let mut buffer = best.map(|i| buffers.swap_remove(i)).unwrap_or_default();
        drop(buffers);
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        // Who reads what nobody wrote shall notice.
        #[cfg(test)]
        buffer.fill(f32::NAN);
        buffer
    }
    /// A buffer as by [`Pool::take_buffer`] that comes back by itself.
    pub fn lend(&self, len: usize) -> Lent<'_> {
        Lent { pool: self, buffer: self.take_buffer(len) }
    }
    pub fn return_buffer(&self, buffer: Vec<f32>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.iter().map(Vec::capacity).sum::<usize>() + buffer.capacity() <= KEPT_BUFFERS {
            buffers.push(buffer);
        }
    }
    /// How many rows of `width` elements go to a task; all of them when there is too little work to share.
    pub fn rows_per_task(&self, rows: usize, width: usize) -> usize {
        if self.threads == 1 || rows * width < SERIAL_BELOW { rows.max(1) } else { (TASK_ELEMENTS / width.max(1)).clamp(1, rows.max(1)) }
    }
}

/// A buffer of the pool's.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    pub buffer: Vec<f32>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.return_buffer(std::mem::take(&mut self.buffer));
    }
}

/// Physical cores as far as the process may use them, less one where there are more than two: the window needs it.
fn default_threads(available: usize) -> usize {
    let cores = num_cpus::get_physical().clamp(1, available);
    if cores > 2 { cores - 1 } else { cores }
}

/// A pointer that tasks share, each writing its own part of what it points to.
#[derive(Clone, Copy)]
pub(super) struct SharedMut(*mut f32, usize);

#[expect(unsafe_code, reason = "tasks write disjoint parts of one buffer through it; see `SharedMut::ptr`")]
// SAFETY: the pointer is only dereferenced in unsafe blocks whose tasks own disjoint elements.
unsafe impl Send for SharedMut {}
#[expect(unsafe_code, reason = "as for Send")]
// SAFETY: as for Send.
unsafe impl Sync for SharedMut {}

impl SharedMut {
    pub fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr(), data.len())
    }
    /// Pointer to element `offset`, which must lie inside or one past the end.
    pub fn ptr(self, offset: usize) -> *mut f32 {
        assert!(offset <= self.1, "element {offset} of {}", self.1);
        self.0.wrapping_add(offset)
    }
    /// The elements `first..first + len`.
    ///
    /// # Safety
    /// No other reference to any of them may live at the same time.
    #[expect(unsafe_code, reason = "gives a task its own part")]
    pub unsafe fn slice<'a>(&self, first: usize, len: usize) -> &'a mut [f32] {
        assert!(first <= self.1 && len <= self.1 - first, "elements {first}+{len} of {}", self.1);
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_by_what_the_process_may_use() {
        let available = std::thread::available_parallelism().expect("count").get();
        assert!(Pool::new(Some(10_000), Isa::BASELINE).threads <= available);
        assert_eq!(Pool::new(Some(0), Isa::BASELINE).threads, 1);
        let default = Pool::new(None, Isa::BASELINE).threads;
        assert!(default >= 1 && default <= available && (available <= 2 || default < available));
    }

    #[test]
    fn results_come_in_order() {
        let pool = Pool::new(Some(2), Isa::BASELINE);
        assert_eq!(pool.map_with(100, || 0, |_, i| i * i), (0..100).map(|i| i * i).collect::<Vec<_>>());
    }
}
