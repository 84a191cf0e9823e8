//! One process at a time writes a folder of results.

use crate::base::{Error, Result};
use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

/// What was just cancelled has left by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Locks `file` until it is closed, which the end of the process does too. `place` and `busy` (`another sweep is writing here`) are for the message;
/// `check` ends the wait. A file system without locks is written without one.
///
/// # Errors
/// When another goes on writing there; of `check`.
pub fn lock(file: &File, place: &Path, busy: &str, check: &dyn Fn() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                check()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(Error::format(place, format!("{busy}; wait for it, or name another folder"))),
            Err(TryLockError::Error(e)) => {
                tracing::debug!("{} cannot be locked: {e}", place.display());
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_waits_and_is_told_and_a_cancelled_one_leaves() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).expect("file");
        let (first, second) = (open(), open());
        lock(&first, &path, "another is writing here", &|| Ok(())).expect("free");
        let cancelled = lock(&second, &path, "another is writing here", &|| Err(Error::Cancelled));
        assert!(cancelled.is_err_and(|e| e.is_cancelled()));
        // The first leaves while the second waits.
        let leaves = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(first);
        });
        lock(&second, &path, "another is writing here", &|| Ok(())).expect("free soon");
        leaves.join().expect("left");
        let began = Instant::now();
        let refused = lock(&open(), &path, "another is writing here", &|| Ok(())).expect_err("taken").to_string();
        assert!(refused.ends_with("lock: another is writing here; wait for it, or name another folder"), "{refused}");
        assert!(began.elapsed() >= PATIENCE, "it did not wait");
    }
}
