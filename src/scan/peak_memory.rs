//! How much memory the process has held at most.

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
