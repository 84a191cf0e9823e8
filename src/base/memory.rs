//! How much memory the process may take, and how much it has held at most.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Memory of the machine, as far as this process may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the machine, or fewer where a control group (a container, a batch job) allows no more.
    pub total_bytes: u64,
    /// Bytes that can still be had without swapping; files that the system keeps in memory give way.
    pub available_bytes: u64,
}

impl Memory {
    /// As it is now; `None` where the system does not say.
    pub fn now() -> Option<Self> {
        let mut system = System::new().ok()?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let machine = Self { total_bytes: system.total_memory(), available_bytes: system.available_memory() };
        let pid = sysinfo::get_current_pid().ok()?;
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, ProcessRefreshKind::nothing());
        let group = system.process(pid).and_then(|process| process.cgroup_limits());
        let memory = group.map_or(machine, |group| machine.within(group.total_memory, group.rss));
        (memory.total_bytes > 0).then_some(memory)
    }
    /// As [`Memory::now`], but up to a second old, for what is drawn again and again: asking takes a fifth of a millisecond.
    pub fn lately() -> Option<Self> {
        static LAST: Mutex<Option<(Instant, Option<Memory>)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((asked, memory)) if asked.elapsed() < Duration::from_secs(1) => memory,
            _ => {
                let memory = Self::now();
                *last = Some((Instant::now(), memory));
                memory
            }
        }
    }
    /// In a group that may hold `limit` bytes and whose processes hold `held`. What else counts for it are pages of files, which give way.
    fn within(self, limit: u64, held: u64) -> Self {
        Self { total_bytes: self.total_bytes.min(limit), available_bytes: self.available_bytes.min(limit.saturating_sub(held)) }
    }
}

/// Peak resident set size in bytes since the process began; 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    from_proc_status(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()).unwrap_or_else(from_rusage)
}

fn from_proc_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "getrusage has no safe binding in std")]
fn from_rusage() -> u64 {
    // SAFETY: `usage` is a plain C struct for which all-zero is valid; getrusage only writes into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) != 0 {
            return 0;
        }
        usage
    };
    // Bytes on Apple systems, KiB elsewhere.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit
}

#[cfg(not(unix))]
fn from_rusage() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_takes_away_what_it_does_not_allow() {
        let machine = Memory { total_bytes: 100, available_bytes: 60 };
        assert_eq!(machine.within(1000, 10), machine);
        assert_eq!(machine.within(80, 10), Memory { total_bytes: 80, available_bytes: 60 });
        assert_eq!(machine.within(40, 30), Memory { total_bytes: 40, available_bytes: 10 });
        assert_eq!(machine.within(40, 50).available_bytes, 0);
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    fn the_machine_says_what_it_has() {
        let memory = Memory::now().expect("a system that says it");
        // A wrong unit would be off by 1024.
        assert!((256 << 20..1 << 50).contains(&memory.total_bytes), "{memory:?}");
        assert!(memory.available_bytes <= memory.total_bytes, "{memory:?}");
        assert_eq!(Memory::lately().map(|m| m.total_bytes), Some(memory.total_bytes));
    }

    #[test]
    fn the_kernels_line_is_read_in_kib() {
        assert_eq!(from_proc_status("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(from_proc_status("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(unix)]
    fn what_is_touched_is_counted() {
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        // A wrong unit would be off by 1024; the process of the tests holds far less than 60 GiB.
        for peak in [peak_rss_bytes(), from_rusage()] {
            assert!((64 << 20..60 << 30).contains(&peak), "{peak}");
        }
        drop(touched);
    }
}
