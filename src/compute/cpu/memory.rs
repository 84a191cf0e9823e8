//! Keeping freed memory for the next layer.

/// Tells glibc to keep big freed blocks instead of returning them to the system, which would fault every page in again at the next layer
/// (it saved up to a quarter of the time of allocation-heavy code). Call once, before the first model is loaded. Does nothing elsewhere.
pub fn keep_big_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // glibc refuses a larger mmap threshold than 32 MiB.
        const MMAP_THRESHOLD: libc::c_int = 32 << 20;
        const TRIM_THRESHOLD: libc::c_int = 512 << 20;
        const TOP_PAD: libc::c_int = 16 << 20;
        #[expect(unsafe_code, reason = "mallopt is a C function")]
        // SAFETY: mallopt only sets the allocator's tunables; it may be called at any time.
        let accepted = unsafe {
            [
                libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD),
                libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD),
                libc::mallopt(libc::M_TOP_PAD, TOP_PAD),
            ]
        };
        if accepted.contains(&0) {
            tracing::debug!("the allocator did not take every setting: {accepted:?}");
        }
    }
}
