//! An allocator that keeps freed memory for the next layer and asks for large pages.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, told (on Linux with glibc) to keep big freed blocks, and the kernel to back them by large pages.
///
/// Returned blocks would be faulted in again, page by page, at the next layer (up to a quarter of the time of allocation-heavy code); matrices of
/// a few megabytes span more pages of 4 KiB than the processor remembers addresses of (docs/speed.md says what that cost). For a binary's
/// `#[global_allocator]`.
pub struct BigBlocks;

/// Blocks from here on get large pages.
#[cfg(any(target_os = "linux", test))]
const BIG: usize = 1 << 20;

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
// SAFETY: every block comes from the system's allocator and goes back to it; `back` only advises the kernel.
unsafe impl GlobalAlloc for BigBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        set_up();
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        back(block, layout.size());
        block
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        set_up();
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc_zeroed(layout) };
        back(block, layout.size());
        block
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        set_up();
        // SAFETY: the caller's promise.
        let block = unsafe { System.realloc(block, layout, size) };
        back(block, size);
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Bytes that glibc's heap grows by beyond what is asked for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const STORE: usize = 16 << 20;

/// Sets glibc up, before it has given anything.
fn set_up() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::sync::Once;
        // glibc refuses a larger mmap threshold than 32 MiB.
        const MMAP_THRESHOLD: libc::c_int = 32 << 20;
        const TRIM_THRESHOLD: libc::c_int = 512 << 20;
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            #[expect(unsafe_code, reason = "mallopt is a C function")]
            // SAFETY: mallopt only sets the allocator's tunables; it may be called at any time. What it does not accept stays as it was.
            unsafe {
                libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
                libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
                libc::mallopt(libc::M_TOP_PAD, STORE as libc::c_int);
                // One heap for all threads: that of a job's own would be returned with its last block.
                libc::mallopt(libc::M_ARENA_MAX, 1);
            }
        });
    }
}

/// Asks for large pages under a big block and around it, since blocks lie side by side.
fn back(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    if size >= BIG && !block.is_null() {
        const LARGE: usize = 2 << 20;
        let first = block.addr() / LARGE * LARGE;
        let end = (block.addr() + size).next_multiple_of(LARGE).max(store_end(block, size));
        #[expect(unsafe_code, reason = "madvise is a C function")]
        // SAFETY: the advice changes neither contents nor what may be read or written; where nothing is mapped, or the kernel has no such pages, it fails.
        unsafe {
            libc::madvise(block.with_addr(first).cast(), end - first, libc::MADV_HUGEPAGE);
        }
    }
    let _ = (block, size);
}

/// Where what glibc has in store behind a block of its heap ends, which will be written to before it is seen here; else 0.
#[cfg(target_os = "linux")]
fn store_end(block: *mut u8, size: usize) -> usize {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "sbrk is a C function")]
        // SAFETY: moved by nothing, the heap's end is only asked for.
        let heap = unsafe { libc::sbrk(0) }.addr();
        if block.addr() < heap && heap - block.addr() < size + STORE {
            return heap;
        }
    }
    let _ = (block, size);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_what_they_hold() {
        for size in [100, BIG - 1, BIG, 5 * BIG + 3, 40 << 20] {
            let layout = Layout::from_size_align(size, 16).expect("layout");
            #[expect(unsafe_code, reason = "calls an allocator")]
            // SAFETY: blocks are used within their sizes and given back once, with the layout they have by then.
            unsafe {
                let block = BigBlocks.alloc_zeroed(layout);
                assert!(!block.is_null());
                assert!(std::slice::from_raw_parts(block, size).iter().all(|b| *b == 0), "{size}");
                block.write_bytes(7, size);
                let block = BigBlocks.realloc(block, layout, 2 * size);
                assert!(std::slice::from_raw_parts(block, size).iter().all(|b| *b == 7), "{size}");
                BigBlocks.dealloc(block, Layout::from_size_align(2 * size, 16).expect("layout"));
                let block = BigBlocks.alloc(layout);
                block.write_bytes(9, size);
                BigBlocks.dealloc(block, layout);
            }
        }
    }
}
