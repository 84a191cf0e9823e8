//! Residuals of unablated passes, kept so that an ablation runs the layers from the first changed one on only: in memory up to one limit, beyond
//! it in a file without a name that goes when the program does, up to another. What has no room, or could not be written or read back, is
//! computed again.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Which residual of which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// `hook_resid_pre` of a layer.
    Pre(usize),
    /// `hook_resid_mid` of a layer.
    Mid(usize),
    /// `hook_resid_mid` and `hook_resid_post` of the last layer at the scored rows.
    LastMid,
    LastPost,
}

enum Held {
    Memory(Arc<Vec<f32>>),
    /// Where it begins in the file, and its length in floats.
    Disk {
        at: u64,
        len: usize,
    },
}

#[derive(Default)]
struct State {
    held: HashMap<(usize, Place), Held>,
    memory: usize,
    /// Bytes written; nothing is ever taken out of the file.
    disk: u64,
    file: Option<File>,
    /// The disk let us down: no more of it.
    broken: bool,
}

/// Shared between threads freely.
pub(super) struct ResidualCache {
    memory_bytes: usize,
    disk_bytes: u64,
    folder: PathBuf,
    state: Mutex<State>,
}

impl ResidualCache {
    pub fn new(memory_bytes: usize, disk_bytes: u64, folder: PathBuf) -> Self {
        Self { memory_bytes, disk_bytes, folder, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bytes_in_memory(&self) -> usize {
        self.state().memory
    }

    pub fn bytes_on_disk(&self) -> u64 {
        self.state().disk
    }

    pub fn holds(&self, step: usize, place: Place) -> bool {
        self.state().held.contains_key(&(step, place))
    }

    pub fn get(&self, step: usize, place: Place) -> Option<Arc<Vec<f32>>> {
        let mut state = self.state();
        let (at, len) = match state.held.get(&(step, place))? {
            Held::Memory(values) => return Some(values.clone()),
            Held::Disk { at, len } => (*at, *len),
        };
        let mut values = vec![0f32; len];
        let read = state.file.as_mut().map(|file| {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut values))
        });
        match read {
            Some(Ok(())) => Some(Arc::new(values)),
            outcome => {
                let why = outcome.and_then(Result::err).map_or_else(String::new, |e| e.to_string());
                tracing::warn!("residuals could not be read back from {} and are computed again: {why}", self.folder.display());
                state.broken = true;
                state.held.retain(|_, h| matches!(h, Held::Memory(_)));
                None
            }
        }
    }

    /// Keeps a copy where there is room.
    pub fn put(&self, step: usize, place: Place, values: &[f32]) {
        let bytes = size_of_val(values);
        let mut state = self.state();
        if state.held.contains_key(&(step, place)) {
            return;
        }
        if state.memory + bytes <= self.memory_bytes {
            state.memory += bytes;
            state.held.insert((step, place), Held::Memory(Arc::new(values.to_vec())));
            return;
        }
        if state.broken || state.disk + bytes as u64 > self.disk_bytes {
            return;
        }
        let at = state.disk;
        match self.append(&mut state, values) {
            Ok(()) => {
                state.disk += bytes as u64;
                state.held.insert((step, place), Held::Disk { at, len: values.len() });
            }
            Err(e) => {
                // Half a residual behind `disk` is written over by nobody: the file is left alone from here on.
                tracing::warn!("residuals cannot be kept in {} and are computed again: {e}", self.folder.display());
                state.broken = true;
            }
        }
    }

    fn append(&self, state: &mut State, values: &[f32]) -> std::io::Result<()> {
        if state.file.is_none() {
            state.file = Some(tempfile::tempfile_in(&self.folder)?);
        }
        let at = state.disk;
        let Some(file) = state.file.as_mut() else { return Ok(()) };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytemuck::cast_slice(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_memory_cannot_hold_goes_to_the_disk_and_comes_back() {
        let dir = tempfile::tempdir().expect("folder");
        let cache = ResidualCache::new(8, 12, dir.path().to_owned());
        let values = |i: usize| vec![i as f32 + 0.25, -1.0];
        for i in 0..4 {
            cache.put(i, Place::Pre(1), &values(i));
        }
        // 8 bytes each: one in memory, one on the disk, and no room for the third and fourth.
        let got: Vec<_> = (0..4).map(|i| cache.get(i, Place::Pre(1)).map(|v| v.to_vec())).collect();
        assert_eq!(got, [Some(values(0)), Some(values(1)), None, None]);
        assert_eq!((cache.bytes_in_memory(), cache.bytes_on_disk()), (8, 8));
        assert_eq!(std::fs::read_dir(dir.path()).expect("folder").count(), 0, "the file has no name");
    }

    #[test]
    fn a_disk_that_takes_nothing_is_no_failure() {
        let cache = ResidualCache::new(0, 1 << 20, PathBuf::from("no/such/folder"));
        cache.put(0, Place::LastMid, &[1.0]);
        cache.put(1, Place::LastMid, &[1.0]);
        assert!(cache.get(0, Place::LastMid).is_none() && !cache.holds(1, Place::LastMid));
    }

    #[test]
    fn a_file_that_lost_its_end_is_computed_again() {
        let dir = tempfile::tempdir().expect("folder");
        let cache = ResidualCache::new(0, 1 << 20, dir.path().to_owned());
        cache.put(0, Place::Mid(2), &[1.0; 64]);
        cache.state().file.as_ref().expect("file").set_len(16).expect("cut");
        assert!(cache.get(0, Place::Mid(2)).is_none());
        assert!(!cache.holds(0, Place::Mid(2)));
    }
}
